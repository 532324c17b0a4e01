//! Money that came in: transfers that operators record, what a subscription paid, how it pays, and what providers call to say.

use crate::app::schedule;
use crate::caller::Caller;
use crate::collecting;
use crate::extract::{Body, Query};
use crate::months;
use crate::problem::Problem;
use crate::resuming;
use crate::routes::credit_notes::Refund;
use crate::routes::paging::{self, Page, PageQuery};
use crate::routes::roles::Seen;
use crate::routes::schema;
use crate::routes::subscriptions::{Subscription, payment_fault};
use crate::routes::writes::{Act, By, Fault, Keyed, write};
use crate::state::{State, store_problem};
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, post, put};
use billing::Payment as Method;
use billing::collection::{self, Transfer, TransferFault};
use chrono::NaiveDate;
use kernel::{Clock, InvoiceId, Money, PaymentId, Permission, SubscriptionId, SystemClock, rfc3339};
use providers::stripe;
use serde::{Deserialize, Serialize};
use store::payments::{self, PaymentRow};
use store::{StoreError, Tx, invoices, subscriptions};
use utoipa_actix_web::service_config::ServiceConfig;

/// Longest reference of a transfer, in characters; a bank's has at most 140.
const LONGEST: usize = 140;
/// Invoices that a payment is shown with.
const SHOWN: i64 = 100;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list).service(record).service(replace).service(hear_stripe);
}

/// What of a payment went to an invoice.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Allocation {
    /// The invoice.
    #[schema(value_type = String)]
    pub invoice: InvoiceId,
    /// Its number.
    pub number: String,
    /// How much.
    #[schema(value_type = schema::Money)]
    pub amount: Money,
}

/// A payment: money that came in, or that a card was asked for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Payment {
    /// Its id.
    #[schema(value_type = String)]
    pub id: PaymentId,
    /// Who pays.
    #[schema(value_type = String)]
    pub subscription: SubscriptionId,
    /// `transfer`, `simulated` or `stripe`.
    pub provider: String,
    /// `asked`: what came of it is not known yet; `received`; `declined`.
    pub state: String,
    /// How much.
    #[schema(value_type = schema::Money)]
    pub amount: Money,
    /// The invoice that a card was asked for; null for a transfer.
    #[schema(value_type = Option<String>, required)]
    pub invoice: Option<InvoiceId>,
    /// The transfer's reference at the bank, or the payment's at the provider; empty while unknown.
    pub reference: String,
    /// Why it was declined, in the provider's word; null otherwise.
    #[schema(required)]
    pub reason: Option<String>,
    /// Where the payer can authenticate it; null for nowhere.
    #[schema(required)]
    pub url: Option<String>,
    /// The day it came in; null before.
    #[schema(value_type = Option<String>, format = Date, required)]
    pub received_on: Option<NaiveDate>,
    /// When it was asked or recorded.
    #[schema(format = DateTime)]
    pub at: String,
    /// The invoices that it went to, at most 100.
    pub allocations: Vec<Allocation>,
    /// What stayed as credit when it came in, for later invoices.
    #[schema(value_type = schema::Money)]
    pub credit: Money,
    /// What of it was paid back, or is being.
    #[schema(value_type = schema::Money)]
    pub refunded: Money,
    /// How it was paid back, the oldest first; at most 100.
    pub refunds: Vec<Refund>,
}

impl Payment {
    /// A payment with where it went.
    ///
    /// # Errors
    /// The store's.
    pub async fn of(reads: &impl store::Reads, row: PaymentRow) -> Result<Self, StoreError> {
        let went = payments::allocations_of(reads, row.id, SHOWN).await?;
        let mut allocations = Vec::with_capacity(went.len());
        let mut rest = if row.state == "received" { row.amount } else { 0 };
        for part in went {
            let number = invoices::find(reads, part.invoice).await?.map(|invoice| invoice.number).unwrap_or_default();
            rest = rest.saturating_sub(part.amount);
            let amount = Money::new(part.amount, row.currency);
            allocations.push(Allocation { invoice: part.invoice, number, amount });
        }
        let refunds = Refund::of_payment(reads, row.id).await?;
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(Self {
            id: row.id,
            subscription: row.subscription,
            provider: row.provider,
            state: row.state,
            amount: Money::new(row.amount, row.currency),
            invoice: row.invoice,
            reference: row.reference,
            reason: some(row.reason),
            url: some(row.url),
            received_on: row.received_on,
            at: rfc3339(row.asked_at),
            allocations,
            credit: Money::new(rest, row.currency),
            refunded: Money::new(row.refunded, row.currency),
            refunds,
        })
    }
}

/// A page of payments.
#[derive(Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "names the shape for the OpenAPI document")]
struct Payments {
    data: Vec<Payment>,
    #[schema(required)]
    next: Option<String>,
}

/// A subscription's payments, newest first: what came in, and what cards were asked for.
#[utoipa::path(tag = "billing", params(("id" = String, Path, description = "sub_…"), PageQuery), responses(
    (status = 200, description = "A page of payments", body = Payments),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/subscriptions/{id}/payments")]
async fn list(
    state: Data<State>,
    caller: Caller,
    id: Path<String>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let limit = paging::limit(page.0.limit)?;
    let before = paging::after::<PaymentId>(page.0.after.as_deref())?;
    let seen = Seen::find(&state, &caller, &id).await?.need(&state, Permission::InvoiceView).await?;
    let rows = payments::of_payer(&state.db, seen.row.id, before, limit.saturating_add(1)).await;
    let mut shown = Vec::new();
    for row in rows.map_err(store_problem)? {
        shown.push(Payment::of(&state.db, row).await.map_err(store_problem)?);
    }
    Ok(HttpResponse::Ok().json(Page::of(shown, limit, |payment| payment.id.to_string(), |payment| payment)))
}

/// A transfer that came in.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferBody {
    /// How much, in the subscription's currency.
    #[schema(value_type = schema::Money)]
    pub amount: Money,
    /// The day it came in.
    #[schema(value_type = String, format = Date)]
    pub received_on: NaiveDate,
    /// Its reference at the bank, 1 to 140 characters: one is recorded once.
    #[schema(min_length = 1, max_length = 140)]
    pub reference: String,
}

impl TransferBody {
    /// The transfer, if it can be taken.
    ///
    /// # Errors
    /// `invalid-request` with the field.
    pub fn parse(&self, state: &State) -> Result<Transfer, Problem> {
        if self.amount.minor() <= 0 {
            return Err(Problem::invalid("/amount/amount", "must be more than 0"));
        }
        if self.received_on > state.now().date_naive() {
            return Err(Problem::invalid("/received_on", "is in the future"));
        }
        let reference = self.reference.trim();
        let length = reference.chars().count();
        if !(1..=LONGEST).contains(&length) || reference.chars().any(char::is_control) {
            return Err(Problem::invalid("/reference", format!("must be 1 to {LONGEST} characters of text")));
        }
        Ok(Transfer { amount: self.amount, received_on: self.received_on, reference: reference.to_owned() })
    }
}

/// Records a transfer that came in.
///
/// The oldest invoices are paid first; what is over stays as the subscription's credit, which later invoices use. A
/// reference is recorded once, so that the same transfer cannot count twice.
#[utoipa::path(tag = "billing", request_body = TransferBody,
    params(("id" = String, Path, description = "sub_…"), ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters", min_length = 1, max_length = 255)),
    responses(
    (status = 201, description = "Recorded", body = Payment),
    (status = 400, description = "Not JSON, or the key is none", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken, or the transfer was recorded before", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again with the same key", body = schema::Problem, content_type = "application/problem+json"),
))]
#[post("/v1/subscriptions/{id}/payments")]
async fn record(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    body: Body<TransferBody>,
) -> Result<HttpResponse, Problem> {
    let seen = Seen::find(&state, &caller, &id).await?.need(&state, Permission::PaymentRecord).await?;
    let keyed = Keyed::of(&caller, "POST /v1/subscriptions/{id}/payments", &request, &(&seen.row.id, &body.0))?;
    if let Some(earlier) = keyed.earlier(&state.db).await? {
        return Ok(earlier);
    }
    let transfer = body.0.parse(&state)?;
    let by = By::of(&caller, &request);
    let answer = write(&state, "record-payment", &by, async |tx, act| {
        if let Some(earlier) = keyed.earlier(tx).await? {
            return Ok(earlier);
        }
        let row = record_transfer(&state, tx, act, seen.row.id, &transfer).await?;
        let made = Payment::of(tx, row).await?;
        keyed.answer(tx, StatusCode::CREATED, &made, act.at).await
    })
    .await?;
    resuming::of_payer(&state, seen.row.id).await;
    Ok(answer)
}

/// A transfer that is recorded in a transaction.
///
/// # Errors
/// `invalid-request` with the field that cannot be taken; the store's.
pub async fn record_transfer(
    state: &State,
    tx: &Tx,
    act: &mut Act<'_>,
    payer: SubscriptionId,
    transfer: &Transfer,
) -> Result<PaymentRow, Fault> {
    let payer = collection::held(tx, payer).await?.ok_or_else(|| Problem::not_found("subscription"))?;
    let schedule = schedule(&state.config);
    let recorded = act.at_desk(tx, async |desk| collection::record(desk, &schedule, &payer, transfer).await).await?;
    recorded.map_err(|fault| Fault::Refused(transfer_problem(&fault)))
}

fn transfer_problem(fault: &TransferFault) -> Problem {
    match fault {
        TransferFault::Currency(currency) => {
            Problem::invalid("/amount/currency", format!("is not {currency}, the subscription's own; send it back"))
        }
        TransferFault::Recorded(earlier) => {
            let amount = Money::new(earlier.amount, earlier.currency);
            Problem::invalid("/reference", format!("was recorded before, as {} of {amount}", earlier.id))
        }
        TransferFault::TooMuch => Problem::invalid("/amount/amount", "is more than can be kept as credit"),
    }
}

/// Replaces how a subscription pays. With a card all that is open is asked for at once.
#[utoipa::path(tag = "billing", request_body(content = schema::PaymentRequest),
    params(("id" = String, Path, description = "sub_…")), responses(
    (status = 200, description = "The subscription as it is then", body = Subscription),
    (status = 400, description = "Not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 402, description = "The card was declined", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[put("/v1/subscriptions/{id}/payment")]
async fn replace(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    body: Body<Method>,
) -> Result<HttpResponse, Problem> {
    let seen = Seen::find(&state, &caller, &id).await?.need(&state, Permission::PaymentMethodManage).await?;
    let id = seen.row.id;
    replace_method(&state, &By::of(&caller, &request), id, &body.0).await?;
    let found = subscriptions::find(&state.db, id, seen.installation.user).await.map_err(store_problem)?;
    let found = found.ok_or_else(|| Problem::not_found("subscription"))?;
    Ok(HttpResponse::Ok().json(Subscription::from(found)))
}

/// Replaces how a payer pays, and asks for what it owes.
///
/// # Errors
/// `invalid-request`, `payment-declined`; the store's.
pub async fn replace_method(state: &State, by: &By, id: SubscriptionId, method: &Method) -> Result<(), Problem> {
    let today = months::day_at(state.now());
    write(state, "replace-payment-method", by, async |tx, act| {
        let payer = collection::held(tx, id).await?.ok_or_else(|| Problem::not_found("subscription"))?;
        method
            .check(state.policy.methods, payer.currency)
            .map_err(|fault| payment_fault(fault, "the card stays as it was"))?;
        act.at_desk(tx, async |desk| collection::replace_method(desk, &payer, method.parts(), today).await).await?;
        Ok(())
    })
    .await?;
    collecting::of_payer(state, id).await.map_err(store_problem)
}

/// What Stripe calls to say that something came of a payment. Its signature is checked, and Stripe itself is asked what came of it.
#[utoipa::path(tag = "operations", security(()), request_body(content = String, content_type = "application/json"),
    params(("Stripe-Signature" = Option<String>, Header, description = "t=…,v1=…")), responses(
    (status = 204, description = "Heard"),
    (status = 400, description = "Not signed with the secret, too long ago, or no event", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "Stripe is not set up here", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[post("/hooks/stripe")]
async fn hear_stripe(state: Data<State>, request: HttpRequest, body: Bytes) -> Result<HttpResponse, Problem> {
    if state.providers.stripe().is_none() {
        return Err(Problem::not_found("page"));
    }
    let signature = request.headers().get("Stripe-Signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let secret = state.config.payments.stripe.webhook_secret.expose();
    let heard = stripe::webhook(&body, signature, secret, SystemClock.now());
    match heard.map_err(|fault| Problem::malformed(fault.to_string()))? {
        Some(payment) => collecting::hear(&state, payment).await.map_err(store_problem)?,
        // Not of ours: another program may use the same account.
        None => tracing::debug!("a webhook of Stripe names no payment of ours"),
    }
    Ok(HttpResponse::NoContent().finish())
}
