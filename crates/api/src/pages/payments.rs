//! Payments of a subscription as a page: what came in and what cards were asked for, how it pays, and for operators a transfer
//! to record.

use super::frame::{Frame, page, see_other};
use super::locale::date;
use super::organizations::ListQuery;
use super::payer_form::CARDS;
use super::problems::Told;
use super::subscriptions::status_tag;
use super::visitor::{Fields, Form, Visitor, field};
use super::wares::Tag;
use crate::extract::Query;
use crate::problem::Problem;
use crate::resuming;
use crate::routes::paging::{self, PageQuery};
use crate::routes::payments::{Payment, TransferBody, record_transfer, replace_method};
use crate::routes::roles::Seen;
use crate::routes::writes::{By, write};
use crate::state::{State, store_problem};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, get, post};
use askama::Template;
use billing::Payment as Method;
use kernel::{InvoiceId, Money, PaymentId, Permission, parse_date};
use store::payments;
use store::subscriptions::SubscriptionRow;

/// Payments of a page.
const ROWS: i64 = 25;
/// Open invoices that are added up.
const OPEN: i64 = 1_000;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(show).service(record).service(replace);
}

struct Row {
    day: String,
    by: String,
    reference: String,
    state: Tag,
    reason: String,
    url: String,
    went: Vec<(InvoiceId, String, String)>,
    credit: String,
    /// What was paid back, and how it stands.
    refunds: Vec<(String, Tag)>,
    amount: String,
}

#[derive(Template)]
#[template(path = "payments.html")]
struct PaymentsPage {
    frame: Frame,
    id: String,
    name: String,
    status: Tag,
    /// What the status means for what was bought; empty where all is well.
    standing: &'static str,
    facts: Vec<(&'static str, String)>,
    /// Ways to pay that may be chosen: word, words, whether it is the present one.
    methods: Vec<(&'static str, &'static str, bool)>,
    cards: &'static [(&'static str, &'static str)],
    typed_token: bool,
    may_record: bool,
    currency: String,
    zero: String,
    today: String,
    typed: (String, String, String),
    rows: Vec<Row>,
    more: String,
    refused: Option<Told>,
}

#[get("/subscriptions/{id}/payments")]
async fn show(
    state: Data<State>,
    visitor: Visitor,
    id: Path<String>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    shown(&state, &visitor, &id, query.0, None, &Vec::new()).await
}

async fn shown(
    state: &State,
    visitor: &Visitor,
    id: &str,
    query: PageQuery,
    refused: Option<Problem>,
    typed: &Fields,
) -> Result<HttpResponse, Problem> {
    let before = paging::after::<PaymentId>(query.after.as_deref())?;
    let seen = Seen::find(state, &visitor.caller(), id).await?.need(state, Permission::InvoiceView).await?;
    let may = |permission| seen.installation.may_with(permission, None, seen.role);
    let (may_record, may_change) = (may(Permission::PaymentRecord), may(Permission::PaymentMethodManage));
    let row = seen.row;
    let all = payments::of_payer(&state.db, row.id, before, ROWS.saturating_add(1)).await.map_err(store_problem)?;
    let all = paging::Page::of(all, ROWS, |row| row.id.to_string(), |row| row);
    let mut rows = Vec::with_capacity(all.data.len());
    for payment in all.data {
        let payment = Payment::of(&state.db, payment).await.map_err(store_problem)?;
        rows.push(line(payment, visitor));
    }
    let open = payments::open(&state.db, row.id, OPEN).await.map_err(store_problem)?;
    let open = open.iter().try_fold(0_i64, |sum, invoice| sum.checked_add(invoice.open));
    let text = |name| field(typed, name).to_owned();
    let status = refused.as_ref().map_or(StatusCode::OK, Problem::status);
    let methods = state.policy.methods;
    let template = PaymentsPage {
        frame: Frame::new(state, Some(visitor), "subscriptions", format!("Payments of {}", row.name)),
        status: status_tag(&row.status),
        standing: standing(&row.status),
        facts: facts(&row, open, visitor),
        methods: if may_change { ways(state, &row) } else { Vec::new() },
        cards: if may_change && methods.simulated { CARDS } else { &[] },
        typed_token: may_change && methods.stripe,
        may_record,
        currency: row.currency.to_string(),
        zero: Money::zero(row.currency).amount_string(),
        today: state.now().date_naive().to_string(),
        typed: (text("amount"), text("received_on"), text("reference")),
        rows,
        more: ListQuery::default().more(&format!("/subscriptions/{}/payments", row.id), all.next),
        refused: refused.as_ref().map(Told::of),
        id: row.id.to_string(),
        name: row.name,
    };
    page(status, &template)
}

fn line(payment: Payment, visitor: &Visitor) -> Row {
    let locale = visitor.locale;
    let (class, words) = match payment.state.as_str() {
        "received" => ("good", "received"),
        "declined" => ("bad", "declined"),
        _ => ("warn", "being asked"),
    };
    let by = match payment.provider.as_str() {
        "transfer" => "Transfer",
        "simulated" => "Card, simulated",
        _ => "Card",
    };
    let asked = payment.at.get(..10).and_then(|day| parse_date(day).ok());
    Row {
        day: payment.received_on.or(asked).map(date).unwrap_or_default(),
        by: by.to_owned(),
        reference: payment.reference,
        state: Tag::new(class, words),
        reason: payment.reason.unwrap_or_default().replace('_', " "),
        url: payment.url.unwrap_or_default(),
        went: payment
            .allocations
            .into_iter()
            .map(|part| (part.invoice, part.number, locale.money(part.amount)))
            .collect(),
        credit: if payment.credit.is_zero() { String::new() } else { locale.money(payment.credit) },
        refunds: payment
            .refunds
            .iter()
            .map(|refund| (locale.money(refund.amount), refund_tag(&refund.state)))
            .collect(),
        amount: locale.money(payment.amount),
    }
}

/// How a refund stands.
fn refund_tag(state: &str) -> Tag {
    match state {
        "refunded" => Tag::new("good", "paid back"),
        "declined" => Tag::new("bad", "not paid back: credit again"),
        _ => Tag::new("warn", "being paid back"),
    }
}

/// What a status means for what was bought, and what to do.
fn standing(status: &str) -> &'static str {
    match status {
        "warned" => "An invoice is overdue. Pay what is open before the reminders end; until then everything works.",
        "past_due" => {
            "Payment is overdue: nothing more can be bought, and what is paid ends with the month. Paying what is open puts it right at once."
        }
        "disabled" => {
            "This subscription is switched off since it was not paid. Paying what is open switches it on again."
        }
        "deleted" => "This subscription is closed.",
        _ => "",
    }
}

fn facts(row: &SubscriptionRow, open: Option<i64>, visitor: &Visitor) -> Vec<(&'static str, String)> {
    let money = |minor| visitor.locale.money(Money::new(minor, row.currency));
    let pays = if row.payment_method == "card" { "card" } else { "invoice" };
    vec![
        ("Open on invoices", open.map_or_else(|| "more than can be shown".to_owned(), money)),
        ("Credit", money(row.credit)),
        ("Pays by", pays.to_owned()),
    ]
}

fn ways(state: &State, row: &SubscriptionRow) -> Vec<(&'static str, &'static str, bool)> {
    let methods = state.policy.methods;
    let mut ways = Vec::new();
    if methods.invoice {
        ways.push(("invoice", "Invoice", row.payment_method == "invoice"));
    }
    if methods.simulated || methods.stripe {
        ways.push(("card", "Card", row.payment_method == "card"));
    }
    ways
}

#[post("/subscriptions/{id}/payments")]
async fn record(
    state: Data<State>,
    request: HttpRequest,
    id: Path<String>,
    form: Form<Fields>,
) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    let seen = Seen::find(&state, &visitor.caller(), &id).await?.need(&state, Permission::PaymentRecord).await?;
    let done = match transfer(&seen.row, &fields) {
        Err(problem) => Err(problem),
        Ok(body) => match body.parse(&state) {
            Err(problem) => Err(problem),
            Ok(transfer) => {
                let by = By::of(&visitor.caller(), &request);
                let payer = seen.row.id;
                let written = write(&state, "record-payment", &by, async |tx, act| {
                    record_transfer(&state, tx, act, payer, &transfer).await
                });
                let written = written.await.map(|_| ());
                resuming::of_payer(&state, payer).await;
                written
            }
        },
    };
    answered(&state, &visitor, &id, done, &fields).await
}

/// The transfer that a form tells of.
fn transfer(payer: &SubscriptionRow, fields: &Fields) -> Result<TransferBody, Problem> {
    let amount = field(fields, "amount").trim().replace(',', ".");
    let amount = Money::parse_amount(&amount, payer.currency)
        .map_err(|fault| Problem::invalid("/amount", format!("The amount {fault}.")))?;
    let received_on = parse_date(field(fields, "received_on"))
        .map_err(|fault| Problem::invalid("/received_on", format!("The day {fault}.")))?;
    Ok(TransferBody { amount, received_on, reference: field(fields, "reference").to_owned() })
}

#[post("/subscriptions/{id}/payment")]
async fn replace(
    state: Data<State>,
    request: HttpRequest,
    id: Path<String>,
    form: Form<Fields>,
) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    let seen = Seen::find(&state, &visitor.caller(), &id).await?.need(&state, Permission::PaymentMethodManage).await?;
    let token = [field(&fields, "pm"), field(&fields, "token")].into_iter().find(|token| !token.is_empty());
    let method = match field(&fields, "pay") {
        "invoice" => Ok(Method::Invoice {}),
        "card" => Ok(Method::Card { token: token.unwrap_or_default().to_owned() }),
        _ => Err(Problem::invalid("/pay", "Choose how to pay.")),
    };
    let done = match method {
        Err(problem) => Err(problem),
        Ok(method) => replace_method(&state, &By::of(&visitor.caller(), &request), seen.row.id, &method).await,
    };
    answered(&state, &visitor, &id, done, &Vec::new()).await
}

/// The page again, with what was refused and what was typed.
async fn answered(
    state: &State,
    visitor: &Visitor,
    id: &str,
    done: Result<(), Problem>,
    typed: &Fields,
) -> Result<HttpResponse, Problem> {
    match done {
        Ok(()) => Ok(see_other(&format!("/subscriptions/{id}/payments"))),
        Err(problem) => shown(state, visitor, id, PageQuery::default(), Some(problem), typed).await,
    }
}
