//! The bill as pages: a subscription's invoices, one with every line explained, and the next one as it stands.

use super::frame::{Frame, page};
use super::locale::{Locale, date, month_name};
use super::organizations::ListQuery;
use super::visitor::Visitor;
use super::wares::Tag;
use crate::documents;
use crate::extract::Query;
use crate::problem::Problem;
use crate::routes::credit_notes::credit_note;
use crate::routes::invoices::{invoice, issued, page_of_next_bill};
use crate::routes::paging::{self, PageQuery};
use crate::routes::roles::Seen;
use crate::state::{State, store_problem};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{HttpResponse, get};
use askama::Template;
use kernel::{InvoiceId, Money, Permission, Step};
use marketplace::bill::{Bill, Line};
use marketplace::credit_note::as_bill;
use marketplace::upcoming::From;
use serde::Deserialize;
use store::credit_notes;

/// Invoices of a page.
const ROWS: i64 = 25;

/// Credit notes of an invoice on its page.
const NOTES: i64 = 100;

/// Lines of a bill on a page: with how each is worked out they are what makes it long.
const LINES: i64 = 30;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(list).service(coming).service(show).service(document).service(note_document);
}

struct Row {
    id: String,
    number: String,
    issued_on: String,
    due_on: String,
    total: String,
    open: String,
    state: Tag,
}

#[derive(Template)]
#[template(path = "invoices.html")]
struct ListPage {
    frame: Frame,
    payer: (String, String),
    rows: Vec<Row>,
    more: String,
}

fn state_tag(state: &str) -> Tag {
    let class = if state == "paid" { "good" } else { "" };
    Tag::new(class, state)
}

#[get("/subscriptions/{id}/invoices")]
async fn list(
    state: Data<State>,
    visitor: Visitor,
    id: Path<String>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let limit = paging::limit(query.0.limit.or(Some(ROWS)))?;
    let before = paging::after::<InvoiceId>(query.0.after.as_deref())?;
    let seen = Seen::find(&state, &visitor.caller(), &id).await?.need(&state, Permission::InvoiceView).await?;
    let rows = store::invoices::of_payer(&state.db, seen.row.id, before, limit.saturating_add(1)).await;
    let rows = paging::Page::of(rows.map_err(store_problem)?, limit, |row| row.id.to_string(), |row| row);
    let heads = rows.data.iter().map(|row| Bill::head(row).map_err(store_problem)).collect::<Result<Vec<_>, _>>()?;
    let locale = visitor.locale;
    let row = |bill: Bill| Row {
        id: bill.id.map(|id| id.to_string()).unwrap_or_default(),
        number: bill.number.unwrap_or_default(),
        issued_on: date(bill.issued_on),
        due_on: date(bill.due_on),
        total: locale.money(bill.total),
        open: locale.money(bill.open),
        state: state_tag(bill.state),
    };
    let template = ListPage {
        frame: Frame::new(&state, Some(&visitor), "subscriptions", "Invoices"),
        rows: heads.into_iter().map(row).collect(),
        more: ListQuery::default().more(&format!("/subscriptions/{}/invoices", seen.row.id), rows.next),
        payer: (seen.row.id.to_string(), seen.row.name),
    };
    page(StatusCode::OK, &template)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BillQuery {
    /// How many lines stand on the pages before.
    #[serde(default)]
    after: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextBillQuery {
    /// How many lines stand on the pages before.
    #[serde(default)]
    after: u64,
    /// Where the page begins: an organization and how many of its lines stand before, `org_….2`.
    at: Option<String>,
}

impl NextBillQuery {
    fn from(&self) -> Result<Option<From>, Problem> {
        let Some(at) = &self.at else { return Ok(None) };
        let place = at.split_once('.').and_then(|(id, lines)| Some((id.parse().ok()?, lines.parse::<u32>().ok()?)));
        let (organization, lines) = place.ok_or_else(|| Problem::invalid("/at", "is no place in a bill"))?;
        Ok(Some((organization, lines.into())))
    }
}

fn number(after: u64) -> i64 {
    i64::try_from(after).unwrap_or(i64::MAX)
}

struct BillLine {
    name: String,
    what: String,
    amount: String,
    tax: String,
    why: Vec<Step>,
}

struct Part {
    slug: String,
    name: String,
    lines: Vec<BillLine>,
    net: String,
}

/// A credit note on an invoice.
struct Note {
    /// Where its PDF is.
    pdf: String,
    number: String,
    day: String,
    reason: String,
    total: String,
}

#[derive(Template)]
#[template(path = "invoice.html")]
struct InvoicePage {
    frame: Frame,
    payer: (String, String),
    title: String,
    upcoming: bool,
    state: Tag,
    facts: Vec<(&'static str, String)>,
    seller: Vec<String>,
    to: Vec<String>,
    parts: Vec<Part>,
    /// Addresses of its documents, and their names.
    documents: Vec<(String, &'static str)>,
    /// Which of the lines these are, where they are not all.
    of_lines: String,
    more: String,
    taxes: Vec<(String, String, String)>,
    net: String,
    tax: String,
    total: String,
    paid: String,
    /// What its credit notes come to; empty for none.
    credited: String,
    /// Its credit notes, the newest first.
    notes: Vec<Note>,
    open: String,
}

#[get("/subscriptions/{id}/invoices/upcoming")]
async fn coming(
    state: Data<State>,
    visitor: Visitor,
    id: Path<String>,
    query: Query<NextBillQuery>,
) -> Result<HttpResponse, Problem> {
    let seen = Seen::find(&state, &visitor.caller(), &id).await?.need(&state, Permission::InvoiceView).await?;
    let from = query.0.from()?;
    let (mut bill, next) = page_of_next_bill(&state, &seen.row, from, LINES).await?;
    let here = format!("/subscriptions/{}/invoices/upcoming", seen.row.id);
    let whole = count(&bill.lines) == bill.in_all;
    // Past the end there is nothing to show: it starts again.
    let after =
        Some(number(query.0.after)).filter(|after| from.is_some() || whole && *after < bill.in_all).unwrap_or(0);
    if whole {
        let size = usize::try_from(LINES).unwrap_or(usize::MAX);
        bill.lines = bill.lines.into_iter().skip(usize::try_from(after).unwrap_or(usize::MAX)).take(size).collect();
    }
    let end = after.saturating_add(count(&bill.lines));
    let more = match next {
        Some((organization, lines)) => format!("{here}?after={end}&at={organization}.{lines}"),
        None if whole && end < bill.in_all => format!("{here}?after={end}"),
        None => String::new(),
    };
    shown(&state, &visitor, bill, seen.row.name, (after, more), Vec::new())
}

#[get("/invoices/{id}")]
async fn show(
    state: Data<State>,
    visitor: Visitor,
    id: Path<String>,
    query: Query<BillQuery>,
) -> Result<HttpResponse, Problem> {
    let row = invoice(&state, &visitor.caller(), &id).await?;
    let (bill, after) = Bill::page(&state.db, &row, number(query.0.after), LINES).await.map_err(store_problem)?;
    let name = bill.parties.as_ref().map(|parties| parties.payer.name.clone()).unwrap_or_default();
    let end = after.saturating_add(count(&bill.lines));
    let more = if end < bill.in_all { format!("/invoices/{}?after={end}", row.id) } else { String::new() };
    let notes = credit_notes::of_invoice(&state.db, row.id, None, NOTES).await.map_err(store_problem)?;
    let notes = notes.into_iter().map(|row| Note {
        pdf: format!("/credit-notes/{}/pdf", row.id),
        number: row.number,
        day: date(row.issued_on),
        reason: row.reason,
        total: visitor.locale.money(Money::new(row.total, row.currency)),
    });
    shown(&state, &visitor, bill, name, (after, more), notes.collect())
}

/// A document of an invoice, as a file.
#[get("/invoices/{id}/{format}")]
async fn document(state: Data<State>, visitor: Visitor, path: Path<(String, String)>) -> Result<HttpResponse, Problem> {
    let (id, name) = path.into_inner();
    let format = documents::named(&name)?;
    documents::answer(issued(&state, &visitor.caller(), &id).await?, format).await
}

/// A document of a credit note, as a file.
#[get("/credit-notes/{id}/{format}")]
async fn note_document(
    state: Data<State>,
    visitor: Visitor,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (id, name) = path.into_inner();
    let format = documents::named(&name)?;
    let row = credit_note(&state, &visitor.caller(), &id).await?;
    documents::answer(as_bill(&state.db, &row).await.map_err(store_problem)?, format).await
}

fn count(lines: &[Line]) -> i64 {
    i64::try_from(lines.len()).unwrap_or(i64::MAX)
}

/// A page of a bill, whose lines begin after the first `after` of all, and the address of those that follow.
fn shown(
    state: &State,
    visitor: &Visitor,
    bill: Bill,
    name: String,
    (after, more): (i64, String),
    notes: Vec<Note>,
) -> Result<HttpResponse, Problem> {
    let locale = visitor.locale;
    let shown = count(&bill.lines);
    let of_lines = if bill.in_all > shown {
        let [first, last, all] =
            [after.saturating_add(1), after.saturating_add(shown), bill.in_all].map(|n| locale.number(n));
        format!("Lines {first} to {last} of {all}.")
    } else {
        String::new()
    };
    let upcoming = bill.number.is_none();
    let title = bill.number.clone().unwrap_or_else(|| format!("Next invoice, on {}", date(bill.issued_on)));
    let rate = |rate: &str| if rate.is_empty() { "No tax".to_owned() } else { format!("Tax {rate} %") };
    let taxes = bill.taxes.iter().map(|tax| (rate(&tax.rate), locale.money(tax.net), locale.money(tax.tax)));
    let mut facts = vec![("Issued", date(bill.issued_on)), ("To be paid by", date(bill.due_on))];
    if let Some(order) = bill.parties.as_ref().and_then(|parties| parties.payer.profile.purchase_order.clone()) {
        facts.push(("Your reference", order));
    }
    let template = InvoicePage {
        frame: Frame::new(state, Some(visitor), "subscriptions", title.clone()),
        payer: (bill.subscription.to_string(), name),
        title,
        upcoming,
        state: state_tag(bill.state),
        facts,
        seller: seller(&bill),
        to: billed_to(&bill),
        taxes: taxes.collect(),
        net: locale.money(bill.net),
        tax: locale.money(bill.tax),
        total: locale.money(bill.total),
        paid: locale.money(bill.paid),
        notes,
        credited: if bill.credited.is_zero() { String::new() } else { locale.money(bill.credited) },
        open: locale.money(bill.open),
        parts: parts(bill.lines, upcoming, locale),
        of_lines,
        documents: bill.id.map(documents::links).unwrap_or_default(),
        more,
    };
    page(StatusCode::OK, &template)
}

fn some(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}

fn seller(bill: &Bill) -> Vec<String> {
    let Some(parties) = &bill.parties else { return Vec::new() };
    let seller = &parties.seller;
    some([seller.name.clone(), seller.address.clone(), seller.country.to_string(), seller.tax_id.clone()])
}

fn billed_to(bill: &Bill) -> Vec<String> {
    let Some(parties) = &bill.parties else { return Vec::new() };
    let (payer, profile) = (&parties.payer, &parties.payer.profile);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    some([payer.name.clone(), text(&profile.address), payer.country.to_string(), text(&profile.tax_id)])
}

/// A page of the lines, organization by organization, each with the sum of all its lines. What is upcoming has its tax by the
/// rate alone: to share it takes all lines.
fn parts(lines: Vec<Line>, upcoming: bool, locale: Locale) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for line in lines {
        let what = match line.kind {
            "renewal" => format!("{} for {} {}", line.quantity.to, month_name(line.month), line.month.year()),
            "usage" => {
                let units = locale.number(line.quantity.to);
                format!("{units} used above the included ones, {} {}", month_name(line.month), line.month.year())
            }
            _ => {
                let (from, to) = (line.quantity.from, line.quantity.to);
                format!("{from} → {to}, rest of {} {}", month_name(line.month), line.month.year())
            }
        };
        let shown = BillLine {
            name: line.name,
            what,
            amount: locale.money(line.amount),
            tax: match line.tax_rate.as_str() {
                "" if upcoming => "none".to_owned(),
                rate if upcoming => format!("{rate} %"),
                _ => locale.money(line.tax),
            },
            why: line.why.into_iter().map(|step| Step { step: step.step.replace('_', " "), ..step }).collect(),
        };
        match parts.last_mut().filter(|part| part.slug == line.organization.slug) {
            Some(part) => part.lines.push(shown),
            None => {
                let net = locale.money(line.organization_net);
                let (slug, name) = (line.organization.slug, line.organization.name);
                parts.push(Part { slug, name, lines: vec![shown], net });
            }
        }
    }
    parts
}
