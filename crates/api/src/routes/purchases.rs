//! Purchases: the act, and what was bought.

use crate::caller::{Caller, Installation};
use crate::extract::{Body, Query};
use crate::paying::{self, Bought};
use crate::problem::Problem;
use crate::routes::paging::{self, PageQuery};
use crate::routes::refusals::{About, failure, standing_in};
use crate::routes::{keys, schema};
use crate::state::{State, field_problem, store_problem};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, post};
use kernel::{IdempotencyKey, Permission, PurchaseId, SubscriptionId};
use marketplace::order::{Act, Command, Order, PurchaseRequest, request_hash};
use marketplace::quote::{alone, shown};
use marketplace::till::Answer;
use marketplace::undo;
use std::collections::HashMap;
use store::organizations::Standing;
use store::purchases::PurchaseRow;
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(purchase).service(show).service(undone).service(of_organization);
}

/// Buys, and sets up billing where that is needed.
///
/// Subscription, billing link, quantities, charges and this answer come into being together or not at all. The same key
/// and body give the same answer for good. What is `collected` now is paid by card first: declined, nothing was changed and
/// the key is free again; without the provider's answer in 10 seconds the purchase is `pending`.
#[utoipa::path(tag = "buying", request_body = schema::PurchaseRequest,
    params(("Idempotency-Key" = String, Header, description = "1 to 255 printable ASCII characters", min_length = 1, max_length = 255)),
    responses(
    (status = 201, description = "Bought", body = schema::Purchase),
    (status = 202, description = "Waits for its payment, whose outcome is not known yet; the same key tells how it stands", body = schema::Purchase),
    (status = 400, description = "Not JSON, or no key", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 402, description = "The card was declined", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization, offer or subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 409, description = "billing-setup-required, billing-already-set-up, subscription-not-eligible, budget-exceeded, quantity-changed, price-changed, purchase-in-progress", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken, a quantity is out of range, or the key was used for another body", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again with the same key", body = schema::Problem, content_type = "application/problem+json"),
))]
#[post("/v1/purchases")]
async fn purchase(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    body: Body<PurchaseRequest>,
) -> Result<HttpResponse, Problem> {
    let person = caller.person(Permission::SubscriptionUse)?;
    let key = keys::required(&request)?;
    let request_hash = request_hash(&body.0);
    let PurchaseRequest { organization, items, billing, quote } = body.0;
    let organization = state.organization(&organization).await?;
    let order = Order::parse(organization, items, billing, None).map_err(field_problem)?;
    let about = order.clone();
    let order = Box::new(order);
    let act = Act::Purchase { order, quote, key, request_hash };
    match paying::buy(&state, Command { caller: person.caller(), act }).await {
        Ok(Bought::Now(answer)) => Ok(answered(StatusCode::CREATED, answer, false)),
        Ok(Bought::Before(answer)) => Ok(answered(StatusCode::CREATED, answer, true)),
        Ok(Bought::Pending { answer, replayed }) => Ok(answered(StatusCode::ACCEPTED, answer, replayed)),
        Err(failed) => Err(failure(&state, failed, &About::of(&about, person.id)).await),
    }
}

fn answered(status: StatusCode, answer: String, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    response.content_type("application/json");
    if replayed {
        response.insert_header((keys::REPLAYED, "true"));
    }
    response.body(answer)
}

/// One purchase.
#[utoipa::path(tag = "buying", params(("id" = String, Path, description = "pur_…")), responses(
    (status = 200, description = "The purchase", body = schema::Purchase),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such purchase", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/purchases/{id}")]
async fn show(state: Data<State>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let missing = || Problem::not_found("purchase");
    let id: PurchaseId = id.parse().map_err(|_| missing())?;
    let installation = caller.standing(&state).await?;
    let row = store::purchases::find_any(&state.db, id).await.map_err(store_problem)?.ok_or_else(missing)?;
    seen(&state, &installation, &row).await?;
    let answer = seen_by(&state, &installation, &[row]).await?.pop().ok_or_else(missing)?;
    Ok(HttpResponse::Ok().content_type("application/json").body(answer))
}

/// The organization of a purchase, for whoever may see the purchase: whoever may see the organization, and the people of
/// the subscription that paid, which need not be linked any more.
///
/// # Errors
/// `not-found` for all others; the store's.
pub async fn seen(state: &State, installation: &Installation, row: &PurchaseRow) -> Result<Standing, Problem> {
    let found = store::organizations::find(&state.db, row.organization, installation.user).await;
    let standing = found.map_err(store_problem)?.ok_or_else(|| Problem::not_found("purchase"))?;
    if installation.may_in(Permission::OrganizationView, &standing) {
        return Ok(standing);
    }
    let payer = store::subscriptions::find(&state.db, row.subscription, installation.user).await;
    let role = payer.map_err(store_problem)?.and_then(|(_, role)| role);
    if installation.may_with(Permission::OrganizationView, None, role) {
        return Ok(standing);
    }
    Err(Problem::not_found("purchase"))
}

/// Undoes a purchase.
///
/// Its quantities and switches go back to what they were, and charges of its own take back what it charged, but for a day's
/// price of offers that have neither seats nor metered use. A billing link that it made ends if nothing else uses it. Twice is
/// once.
#[utoipa::path(tag = "buying",
    params(("id" = String, Path, description = "pur_…"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters", min_length = 1, max_length = 255)),
    responses(
    (status = 200, description = "Undone", body = schema::Purchase),
    (status = 400, description = "A key that is none", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such purchase", body = schema::Problem, content_type = "application/problem+json"),
    (status = 409, description = "cannot-be-undone", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[post("/v1/purchases/{id}/undo")]
async fn undone(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let person = caller.person(Permission::SubscriptionUse)?;
    let key = keys::optional(&request)?;
    let id: PurchaseId = id.parse().map_err(|_| Problem::not_found("purchase"))?;
    if let Some(key) = &key {
        let (actor, route) = (caller.actor().to_string(), undo::path(id));
        let kept = store::idempotency::find(&state.db, &actor, &route, key.as_str()).await.map_err(store_problem)?;
        if let Some(kept) = kept {
            return keys::replay(kept, &undo::request_hash());
        }
    }
    let (answer, replayed) = undo_by(&state, person.caller(), id, key).await?;
    let mut response = HttpResponse::Ok();
    response.content_type("application/json");
    if replayed {
        response.insert_header((keys::REPLAYED, "true"));
    }
    Ok(response.body(answer))
}

/// Undoes a purchase by somebody; the purchase as it is then, and whether it was undone before.
///
/// # Errors
/// `not-found`, `permission-denied`, `cannot-be-undone`; the store's.
pub async fn undo_by(
    state: &State,
    by: marketplace::order::Caller,
    id: PurchaseId,
    key: Option<IdempotencyKey>,
) -> Result<(String, bool), Problem> {
    let row = store::purchases::find(&state.db, id).await.map_err(store_problem)?;
    let row = row.ok_or_else(|| Problem::not_found("purchase"))?;
    let about = About { organization: row.organization, user: by.user, offers: Vec::new() };
    match state.till.submit(Command { caller: by, act: undo::act(&row, key) }).await {
        Ok(Answer::Done(answer)) => Ok((answer, false)),
        Ok(Answer::Replayed(answer)) => Ok((answer, true)),
        Ok(_) => Err(Problem::internal("an undo that is none")),
        Err(failed) => Err(failure(state, failed, &about).await),
    }
}

/// The answers of purchases as somebody may read them: whole for those who may see the payer's bill, without what others
/// charge it for everybody else (R-7, R-9).
///
/// # Errors
/// The store's.
pub async fn seen_by(state: &State, installation: &Installation, rows: &[PurchaseRow]) -> Result<Vec<String>, Problem> {
    let mut known: HashMap<SubscriptionId, bool> = HashMap::new();
    let mut answers = Vec::with_capacity(rows.len());
    for row in rows {
        let sees = match known.get(&row.subscription) {
            Some(sees) => *sees,
            None => {
                let found = store::subscriptions::find(&state.db, row.subscription, installation.user).await;
                let role = found.map_err(store_problem)?.and_then(|(_, role)| role);
                let sees = installation.may_with(Permission::InvoiceView, None, role);
                known.insert(row.subscription, sees);
                sees
            }
        };
        let answer = shown(&row.answer, &row.undone);
        answers.push(if sees { answer } else { alone(&answer).map_err(Problem::internal)? });
    }
    Ok(answers)
}

/// An organization's purchases, newest first.
#[utoipa::path(tag = "buying", params(("org" = String, Path, description = "Id or slug"), PageQuery), responses(
    (status = 200, description = "A page of purchases", body = schema::Purchases),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/organizations/{org}/purchases")]
async fn of_organization(
    state: Data<State>,
    caller: Caller,
    organization: Path<String>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let limit = paging::limit(page.0.limit)?;
    let before = paging::after::<PurchaseId>(page.0.after.as_deref())?;
    let organization = state.organization(&organization).await?;
    let installation = caller.standing(&state).await?;
    standing_in(&state, &installation, organization, Permission::OrganizationView).await?;
    let rows = store::purchases::of_organization(&state.db, organization, before, limit.saturating_add(1)).await;
    let page = paging::Page::of(rows.map_err(store_problem)?, limit, |row| row.id.to_string(), |row| row);
    // The answers are JSON already.
    let answers = seen_by(&state, &installation, &page.data).await?;
    let next = serde_json::to_string(&page.next).unwrap_or_else(|_| "null".into());
    let body = format!(r#"{{"data":[{}],"next":{next}}}"#, answers.join(","));
    Ok(HttpResponse::Ok().content_type("application/json").body(body))
}
