//! Corrections of what was billed: credit notes on invoices, with what is paid back, and credits that operators grant (R-43,
//! R-46, R-9a).

use crate::app;
use crate::caller::{Caller, denied};
use crate::documents;
use crate::extract::{Body, Query};
use crate::problem::Problem;
use crate::refunding;
use crate::resuming;
use crate::routes::invoices::invoice;
use crate::routes::paging::{self, Page, PageQuery};
use crate::routes::refusals::whom_to_ask;
use crate::routes::roles::Seen;
use crate::routes::schema;
use crate::routes::writes::{Act, By, Fault, Keyed, write};
use crate::state::{State, store_problem};
use ::documents::Format;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, VARY};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, post};
use billing::collection;
use billing::credit_note::{Fault as LineFault, Wanted};
use billing::crediting::{self, NoteFault, Order};
use kernel::{
    ChargeId, CreditId, CreditNoteId, Currency, InvoiceId, Money, PaymentId, Permission, RefundId, SubscriptionId,
    rfc3339,
};
use marketplace::Scope;
use marketplace::credit_note::{CreditNote as Note, as_bill};
use serde::{Deserialize, Serialize};
use store::credit_notes::{self, CreditNoteRow, CreditRow};
use store::refunds::{self, RefundRow};
use store::{StoreError, Tx};
use utoipa_actix_web::service_config::ServiceConfig;

/// Longest reason, in characters.
const LONGEST_REASON: usize = 1_000;
/// Longest reference of a transfer, in characters.
const LONGEST_REFERENCE: usize = 140;
/// Refunds that are shown of a credit note or a payment.
const SHOWN: i64 = 100;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list).service(issue).service(show).service(grant);
}

/// What was paid back of a payment.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Refund {
    /// Its id.
    #[schema(value_type = String)]
    pub id: RefundId,
    /// Of which payment.
    #[schema(value_type = String)]
    pub payment: PaymentId,
    /// Of which credit note.
    #[schema(value_type = String)]
    pub credit_note: CreditNoteId,
    /// `transfer`, `simulated` or `stripe`.
    pub provider: String,
    /// `asked`: what came of it is not known yet; `refunded`; `declined`: it is credit again.
    pub state: String,
    /// How much.
    #[schema(value_type = schema::Money)]
    pub amount: Money,
    /// The transfer's reference at the bank, or the refund's at the provider; empty while unknown.
    pub reference: String,
    /// Why it was declined, in the provider's word; null otherwise.
    #[schema(required)]
    pub reason: Option<String>,
    /// When it was asked or recorded.
    #[schema(format = DateTime)]
    pub at: String,
}

impl From<RefundRow> for Refund {
    fn from(row: RefundRow) -> Self {
        Self {
            id: row.id,
            payment: row.payment,
            credit_note: row.note,
            provider: row.provider,
            state: row.state,
            amount: Money::new(row.amount, row.currency),
            reference: row.reference,
            reason: Some(row.reason).filter(|reason| !reason.is_empty()),
            at: rfc3339(row.asked_at),
        }
    }
}

impl Refund {
    /// The refunds of a payment, the oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn of_payment(reads: &impl store::Reads, payment: PaymentId) -> Result<Vec<Self>, StoreError> {
        Ok(refunds::of_payment(reads, payment, SHOWN).await?.into_iter().map(Self::from).collect())
    }
}

/// A credit note with what it paid back.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// The credit note.
    #[serde(flatten)]
    pub note: Note,
    /// What it paid back, the oldest first.
    pub refunds: Vec<Refund>,
}

impl Shown {
    /// A credit note with its lines and refunds.
    ///
    /// # Errors
    /// The store's.
    pub async fn of(reads: &impl store::Reads, row: &CreditNoteRow) -> Result<Self, StoreError> {
        let refunds = refunds::of_note(reads, row.id, SHOWN).await?.into_iter().map(Refund::from).collect();
        Ok(Self { note: Note::of(reads, row).await?, refunds })
    }
}

/// A line of a credit note.
#[derive(Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "names the shape for the OpenAPI document")]
struct CreditNoteLine {
    /// The place of the invoice's line on it, from 1.
    line: i64,
    /// The charge of the invoice's line.
    charge: String,
    organization: schema::InvoiceOrganization,
    /// The offer's slug.
    offer: String,
    /// The offer's name.
    name: String,
    /// The month of the service, by its first day.
    #[schema(format = Date)]
    month: String,
    /// What is credited, before tax.
    amount: schema::Money,
    /// Percent, that of the invoice's line; empty for none.
    tax_rate: String,
    /// Its part of the tax.
    tax: schema::Money,
    /// How it is worked out.
    why: Vec<schema::Step>,
}

/// A credit note: what of an issued invoice is not owed.
#[derive(Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "names the shape for the OpenAPI document")]
struct CreditNote {
    /// Its id.
    id: String,
    /// Its number, without gaps in its series and year.
    #[schema(example = "CN-P-2018-000001")]
    number: String,
    /// The invoice that it corrects.
    invoice: String,
    /// The invoice's number.
    invoice_number: String,
    /// Whose.
    subscription: String,
    /// The day of issue.
    #[schema(format = Date)]
    issued_on: String,
    /// Why, in the operator's words.
    reason: String,
    /// In the order of the invoice; empty in lists.
    lines: Vec<CreditNoteLine>,
    /// By rate.
    taxes: Vec<schema::InvoiceTax>,
    /// Before tax.
    net: schema::Money,
    /// Tax, as the invoice took it.
    tax: schema::Money,
    /// Both.
    total: schema::Money,
    /// What of it was taken off what was open of the invoice.
    reduced: schema::Money,
    /// What of it had been paid: it became the subscription's credit, or was paid back.
    credited: schema::Money,
    /// What it paid back.
    refunds: Vec<Refund>,
}

/// A page of credit notes.
#[derive(Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "names the shape for the OpenAPI document")]
struct CreditNotes {
    data: Vec<CreditNote>,
    #[schema(required)]
    next: Option<String>,
}

/// What is to be credited of a line.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineBody {
    /// The charge of the invoice's line.
    #[schema(value_type = String)]
    pub charge: ChargeId,
    /// How much before tax, in the invoice's currency; at most what is left of the line.
    #[schema(value_type = schema::Money)]
    pub amount: Money,
}

/// A credit note to be issued.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditNoteBody {
    /// The lines; left out: all that is left of the invoice.
    #[serde(default)]
    #[schema(min_items = 1)]
    pub lines: Option<Vec<LineBody>>,
    /// Why, 1 to 1000 characters; it stands on the credit note.
    #[schema(min_length = 1, max_length = 1000)]
    pub reason: String,
    /// Whether what was paid already is paid back; else it stays as credit for later invoices.
    #[serde(default)]
    pub refund: bool,
    /// The reference at the bank of the transfer by which it was paid back, for what was paid by transfer.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 140)]
    pub refund_reference: Option<String>,
}

impl CreditNoteBody {
    /// What is asked for, of an invoice in this currency.
    ///
    /// # Errors
    /// `invalid-request` with the field.
    pub fn parse(&self, currency: Currency) -> Result<Order, Problem> {
        let reason = text(&self.reason, "/reason", LONGEST_REASON)?;
        let reference = self.refund_reference.as_deref();
        let reference = reference.map(|given| text(given, "/refund_reference", LONGEST_REFERENCE)).transpose()?;
        if reference.is_some() && !self.refund {
            return Err(Problem::invalid("/refund_reference", "goes with refund: true"));
        }
        for (at, line) in self.lines.iter().flatten().enumerate() {
            if line.amount.currency() != currency {
                let pointer = format!("/lines/{at}/amount/currency");
                return Err(Problem::invalid(&pointer, format!("is not {currency}, the invoice's own")));
            }
        }
        let wanted = |line: &LineBody| Wanted { charge: line.charge, amount: line.amount.minor() };
        let lines = self.lines.as_ref().map(|lines| lines.iter().map(wanted).collect());
        Ok(Order { lines, reason, refund: self.refund, reference })
    }
}

/// Text of a person, trimmed.
fn text(given: &str, pointer: &str, longest: usize) -> Result<String, Problem> {
    let trimmed = given.trim();
    if !(1..=longest).contains(&trimmed.chars().count()) || trimmed.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Problem::invalid(pointer, format!("must be 1 to {longest} characters of text")));
    }
    Ok(trimmed.to_owned())
}

/// An invoice's credit notes, newest first, without their lines.
#[utoipa::path(tag = "billing", params(("id" = String, Path, description = "inv_…"), PageQuery), responses(
    (status = 200, description = "A page of credit notes", body = CreditNotes),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such invoice", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/invoices/{id}/credit-notes")]
async fn list(
    state: Data<State>,
    caller: Caller,
    id: Path<String>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let limit = paging::limit(page.0.limit)?;
    let before = paging::after::<CreditNoteId>(page.0.after.as_deref())?;
    let of = invoice(&state, &caller, &id).await?;
    let rows = credit_notes::of_invoice(&state.db, of.id, before, limit.saturating_add(1)).await;
    let mut shown = Vec::new();
    for row in rows.map_err(store_problem)? {
        let note = Note::head(&state.db, &row).await.map_err(store_problem)?;
        let refunds = refunds::of_note(&state.db, row.id, SHOWN).await.map_err(store_problem)?;
        shown.push(Shown { note, refunds: refunds.into_iter().map(Refund::from).collect() });
    }
    Ok(HttpResponse::Ok().json(Page::of(shown, limit, |shown| shown.note.id.to_string(), |shown| shown)))
}

/// Issues a credit note on an invoice, of all that is left of it or of chosen lines.
///
/// What it takes off what is open is owed no more. What was paid already becomes the subscription's credit, which open and
/// later invoices use, or is paid back.
#[utoipa::path(tag = "billing", request_body = CreditNoteBody,
    params(("id" = String, Path, description = "inv_…"), ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters", min_length = 1, max_length = 255)),
    responses(
    (status = 201, description = "Issued", body = CreditNote),
    (status = 400, description = "Not JSON, or the key is none", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such invoice", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken, or more is asked for than is left", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again with the same key", body = schema::Problem, content_type = "application/problem+json"),
))]
#[post("/v1/invoices/{id}/credit-notes")]
async fn issue(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    body: Body<CreditNoteBody>,
) -> Result<HttpResponse, Problem> {
    let of = invoice(&state, &caller, &id).await?;
    needs(&state, &caller, Permission::CreditNoteIssue, of.subscription).await?;
    let keyed = Keyed::of(&caller, "POST /v1/invoices/{id}/credit-notes", &request, &(&of.id, &body.0))?;
    if let Some(earlier) = keyed.earlier(&state.db).await? {
        return Ok(earlier);
    }
    let order = body.0.parse(of.currency)?;
    let by = By::of(&caller, &request);
    let (answer, note) = write(&state, "issue-credit-note", &by, async |tx, act| {
        // Held first: whoever waited for the same key finds its answer, and not that nothing is left.
        collection::held(tx, of.subscription).await?;
        if let Some(earlier) = keyed.earlier(tx).await? {
            return Ok((earlier, None));
        }
        let row = issue_note(&state, tx, act, (of.subscription, of.id), &order).await?;
        let shown = Shown::of(tx, &row).await?;
        Ok((keyed.answer(tx, StatusCode::CREATED, &shown, act.at).await?, Some(row.id)))
    })
    .await?;
    if let Some(note) = note {
        after(&state, note, of.subscription).await;
    }
    Ok(answer)
}

/// The caller, if it may do this to a payer.
///
/// # Errors
/// `permission-denied`, with whom to ask.
pub async fn needs(
    state: &State,
    caller: &Caller,
    permission: Permission,
    payer: SubscriptionId,
) -> Result<(), Problem> {
    if caller.standing(state).await?.may_with(permission, None, None) {
        return Ok(());
    }
    Err(denied(permission, whom_to_ask(state, Scope::Subscription(payer)).await?))
}

/// Issues a credit note in a transaction.
///
/// # Errors
/// `invalid-request` with the field that cannot be taken; the store's.
pub async fn issue_note(
    state: &State,
    tx: &Tx,
    act: &mut Act<'_>,
    (payer, of): (SubscriptionId, InvoiceId),
    order: &Order,
) -> Result<CreditNoteRow, Fault> {
    let payer = collection::held(tx, payer).await?.ok_or_else(|| Problem::not_found("subscription"))?;
    let terms = app::note_terms(&state.config, act.at);
    let issued = act.at_desk(tx, async |desk| crediting::issue(desk, &terms, &payer, of, order).await).await?;
    issued.map_err(|fault| Fault::Refused(note_problem(&fault, payer.currency)))
}

/// What follows once a credit note is written: cards are asked to pay back, and what was suspended resumes. What fails here
/// the job makes good.
pub async fn after(state: &State, note: CreditNoteId, payer: SubscriptionId) {
    if let Err(error) = refunding::of_note(state, note).await {
        tracing::warn!(%note, %error, "refunds wait; they go on by themselves");
    }
    resuming::of_payer(state, payer).await;
}

/// Why no credit note can be issued.
pub fn note_problem(fault: &NoteFault, currency: Currency) -> Problem {
    let left = |left: i64| format!("is more than what is left, {}", Money::new(left.max(0), currency));
    let at = |place: usize, member: &str| format!("/lines/{place}/{member}");
    match fault {
        NoteFault::Lines(LineFault::NoSuchLine(place)) => {
            Problem::invalid(at(*place, "charge"), "is on no line of this invoice")
        }
        NoteFault::Lines(LineFault::Twice(place)) => Problem::invalid(at(*place, "charge"), "stands twice"),
        NoteFault::Lines(LineFault::NotPositive(place)) => {
            Problem::invalid(at(*place, "amount/amount"), "must be more than 0")
        }
        NoteFault::Lines(LineFault::TooMuch(place, rest)) => Problem::invalid(at(*place, "amount/amount"), left(*rest)),
        NoteFault::Lines(LineFault::Nothing) => Problem::invalid("/lines", "leave nothing to credit on this invoice"),
        NoteFault::Reference => Problem::invalid(
            "/refund_reference",
            "must name the transfer by which it was paid back, for part of it was paid by transfer",
        ),
        NoteFault::TooMuch => Problem::invalid("/lines", "come to more than can be kept as credit"),
    }
}

/// The credit note that a path names, if the caller may see it.
///
/// # Errors
/// `not-found` where there is none that the caller may know of; the store's.
pub async fn credit_note(state: &State, caller: &Caller, id: &str) -> Result<CreditNoteRow, Problem> {
    let missing = || Problem::not_found("credit note");
    let id: CreditNoteId = id.parse().map_err(|_| missing())?;
    let installation = caller.standing(state).await?;
    let row = credit_notes::find(&state.db, id).await.map_err(store_problem)?.ok_or_else(missing)?;
    let payer = store::subscriptions::find(&state.db, row.subscription, installation.user).await;
    let role = payer.map_err(store_problem)?.and_then(|(_, role)| role);
    if installation.may_with(Permission::InvoiceView, None, role) { Ok(row) } else { Err(missing()) }
}

/// One credit note, with how each line is worked out: as data or, by `Accept`, as a document.
#[utoipa::path(tag = "billing", params(("id" = String, Path, description = "crn_…")), responses(
    (status = 200, description = "The credit note", content(
        (CreditNote = "application/json"), (String = "application/pdf"), (String = "text/csv"), (String = "application/xml"),
    )),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such credit note", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "Seller or payer lack what an e-invoice must name", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/credit-notes/{id}")]
async fn show(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let row = credit_note(&state, &caller, &id).await?;
    if let Some(format) = documents::asked(request.headers()).filter(|format| *format != Format::Focus) {
        return documents::answer(as_bill(&state.db, &row).await.map_err(store_problem)?, format).await;
    }
    let vary = (VARY, HeaderValue::from_static("Accept"));
    Ok(HttpResponse::Ok().insert_header(vary).json(Shown::of(&state.db, &row).await.map_err(store_problem)?))
}

/// A credit that an operator granted.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Credit {
    /// Its id.
    #[schema(value_type = String)]
    pub id: CreditId,
    /// To whom.
    #[schema(value_type = String)]
    pub subscription: SubscriptionId,
    /// How much.
    #[schema(value_type = schema::Money)]
    pub amount: Money,
    /// Why, in the operator's words.
    pub reason: String,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
}

impl From<CreditRow> for Credit {
    fn from(row: CreditRow) -> Self {
        let amount = Money::new(row.amount, row.currency);
        Self { id: row.id, subscription: row.subscription, amount, reason: row.reason, at: rfc3339(row.at) }
    }
}

/// A credit to be granted.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditBody {
    /// How much, in the subscription's currency.
    #[schema(value_type = schema::Money)]
    pub amount: Money,
    /// Why, 1 to 1000 characters.
    #[schema(min_length = 1, max_length = 1000)]
    pub reason: String,
}

/// Grants a subscription a credit without an invoice; open and later invoices use it.
#[utoipa::path(tag = "billing", request_body = CreditBody,
    params(("id" = String, Path, description = "sub_…"), ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters", min_length = 1, max_length = 255)),
    responses(
    (status = 201, description = "Granted", body = Credit),
    (status = 400, description = "Not JSON, or the key is none", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again with the same key", body = schema::Problem, content_type = "application/problem+json"),
))]
#[post("/v1/subscriptions/{id}/credits")]
async fn grant(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    body: Body<CreditBody>,
) -> Result<HttpResponse, Problem> {
    let seen = Seen::find(&state, &caller, &id).await?.need(&state, Permission::CreditGrant).await?;
    let payer = seen.row.id;
    let keyed = Keyed::of(&caller, "POST /v1/subscriptions/{id}/credits", &request, &(&payer, &body.0))?;
    if let Some(earlier) = keyed.earlier(&state.db).await? {
        return Ok(earlier);
    }
    let reason = text(&body.0.reason, "/reason", LONGEST_REASON)?;
    let amount = body.0.amount;
    if amount.minor() <= 0 {
        return Err(Problem::invalid("/amount/amount", "must be more than 0"));
    }
    if amount.currency() != seen.row.currency {
        let detail = format!("is not {}, the subscription's own", seen.row.currency);
        return Err(Problem::invalid("/amount/currency", detail));
    }
    let schedule = app::schedule(&state.config);
    let answer = write(&state, "grant-credit", &By::of(&caller, &request), async |tx, act| {
        if let Some(earlier) = keyed.earlier(tx).await? {
            return Ok(earlier);
        }
        let payer = collection::held(tx, payer).await?.ok_or_else(|| Problem::not_found("subscription"))?;
        let work = act.at_desk(tx, async |desk| crediting::grant(desk, &schedule, &payer, (amount, &reason)).await);
        let row = work.await?;
        let row = row.ok_or_else(|| Problem::invalid("/amount/amount", "is more than can be kept as credit"))?;
        keyed.answer(tx, StatusCode::CREATED, &Credit::from(row), act.at).await
    })
    .await?;
    resuming::of_payer(&state, payer).await;
    Ok(answer)
}
