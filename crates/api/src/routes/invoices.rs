//! The bill: invoices of a subscription, one with every line explained, and the next one as it stands.

use crate::app::terms;
use crate::caller::Caller;
use crate::documents;
use crate::extract::Query;
use crate::problem::Problem;
use crate::routes::paging::{self, Page, PageQuery};
use crate::routes::roles::Seen;
use crate::routes::schema;
use crate::state::{State, store_problem};
use ::documents::Format;
use actix_web::http::header::{HeaderValue, VARY};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get};
use kernel::{InvoiceId, Month, Permission};
use marketplace::bill::{Bill, Upcoming};
use marketplace::catalogue::Catalogue;
use marketplace::invoicing::Terms;
use marketplace::upcoming::From;
use store::StoreError;
use store::invoices::InvoiceRow;
use store::subscriptions::SubscriptionRow;
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file; what is upcoming stands before what has an id.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(upcoming).service(list).service(show).service(focus);
}

/// A subscription's invoices, newest first, without their lines.
#[utoipa::path(tag = "billing", params(("id" = String, Path, description = "sub_…"), PageQuery), responses(
    (status = 200, description = "A page of invoices", body = schema::Invoices),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/subscriptions/{id}/invoices")]
async fn list(
    state: Data<State>,
    caller: Caller,
    id: Path<String>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let limit = paging::limit(page.0.limit)?;
    let before = paging::after::<InvoiceId>(page.0.after.as_deref())?;
    let seen = Seen::find(&state, &caller, &id).await?.need(&state, Permission::InvoiceView).await?;
    let rows = store::invoices::of_payer(&state.db, seen.row.id, before, limit.saturating_add(1)).await;
    let heads = rows.and_then(|rows| rows.iter().map(Bill::head).collect::<Result<Vec<_>, StoreError>>());
    let cursor = |bill: &Bill| bill.id.map(|id| id.to_string()).unwrap_or_default();
    Ok(HttpResponse::Ok().json(Page::of(heads.map_err(store_problem)?, limit, cursor, |bill| bill)))
}

/// The next invoice as it stands: what was charged and waits for it, and what will be renewed for its month.
#[utoipa::path(tag = "billing", params(("id" = String, Path, description = "sub_…")), responses(
    (status = 200, description = "The next invoice", body = schema::Invoice),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/subscriptions/{id}/invoices/upcoming")]
async fn upcoming(state: Data<State>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let seen = Seen::find(&state, &caller, &id).await?.need(&state, Permission::InvoiceView).await?;
    Ok(HttpResponse::Ok().json(next_bill(&state, &seen.row).await?))
}

/// A payer's next invoice as it stands.
///
/// # Errors
/// The store's.
async fn next_bill(state: &State, row: &SubscriptionRow) -> Result<Bill, Problem> {
    let (catalogue, terms) = (state.catalogue().await?, terms(&state.config));
    next_of(state, &catalogue, &terms).of(&state.db, row).await.map_err(store_problem)
}

/// A page of a payer's next invoice as it stands, and where the next page begins.
///
/// # Errors
/// The store's.
pub async fn page_of_next_bill(
    state: &State,
    row: &SubscriptionRow,
    from: Option<From>,
    limit: i64,
) -> Result<(Bill, Option<From>), Problem> {
    let (catalogue, terms) = (state.catalogue().await?, terms(&state.config));
    next_of(state, &catalogue, &terms).page(&state.db, row, from, limit).await.map_err(store_problem)
}

fn next_of<'a>(state: &'a State, catalogue: &'a Catalogue, terms: &'a Terms) -> Upcoming<'a> {
    Upcoming {
        catalogue,
        taxes: &state.policy.taxes,
        seller: &terms.seller,
        due_days: terms.due_days,
        month: Month::of(state.now()),
    }
}

/// One invoice: as data or, by `Accept`, as a document. What is asked for and does not exist is answered with data.
#[utoipa::path(tag = "billing", params(("id" = String, Path, description = "inv_…")), responses(
    (status = 200, description = "The invoice", content(
        (schema::Invoice = "application/json"), (String = "application/pdf"), (String = "text/csv"),
        (String = "application/xml"),
    )),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such invoice", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "Seller or payer lack what an e-invoice must name", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/invoices/{id}")]
async fn show(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let bill = issued(&state, &caller, &id).await?;
    match documents::asked(request.headers()) {
        Some(format) => documents::answer(bill, format).await,
        None => Ok(HttpResponse::Ok().insert_header((VARY, HeaderValue::from_static("Accept"))).json(bill)),
    }
}

/// The costs of an invoice by the FinOps Open Cost and Usage Specification (FOCUS 1.2), as CSV.
#[utoipa::path(tag = "billing", params(("id" = String, Path, description = "inv_…")), responses(
    (status = 200, description = "The costs", body = String, content_type = "text/csv"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such invoice", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/invoices/{id}/focus")]
async fn focus(state: Data<State>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    documents::answer(issued(&state, &caller, &id).await?, Format::Focus).await
}

/// The invoice that a path names with all its lines, if the caller may see it.
///
/// # Errors
/// As [`invoice`].
pub async fn issued(state: &State, caller: &Caller, id: &str) -> Result<Bill, Problem> {
    let row = invoice(state, caller, id).await?;
    Bill::issued(&state.db, &row).await.map_err(store_problem)
}

/// The invoice that a path names, if the caller may see it.
///
/// # Errors
/// `not-found` where there is none that the caller may know of; the store's.
pub async fn invoice(state: &State, caller: &Caller, id: &str) -> Result<InvoiceRow, Problem> {
    let missing = || Problem::not_found("invoice");
    let id: InvoiceId = id.parse().map_err(|_| missing())?;
    let installation = caller.standing(state).await?;
    let row = store::invoices::find(&state.db, id).await.map_err(store_problem)?.ok_or_else(missing)?;
    let payer = store::subscriptions::find(&state.db, row.subscription, installation.user).await;
    let role = payer.map_err(store_problem)?.and_then(|(_, role)| role);
    if installation.may_with(Permission::InvoiceView, None, role) { Ok(row) } else { Err(missing()) }
}
