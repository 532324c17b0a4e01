//! Purchases: the act, and what was bought.

use crate::caller::{Caller, Installation};
use crate::extract::{Body, Query};
use crate::problem::Problem;
use crate::routes::paging::{self, PageQuery};
use crate::routes::refusals::{About, failure, standing_in};
use crate::routes::{keys, schema};
use crate::state::{State, field_problem, store_problem};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, post};
use kernel::{Permission, PurchaseId, SubscriptionId};
use marketplace::order::{Act, Command, Order, PurchaseRequest, request_hash};
use marketplace::quote::alone;
use marketplace::till::Answer;
use std::collections::HashMap;
use store::purchases::PurchaseRow;
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(purchase).service(show).service(of_organization);
}

/// Buys, and sets up billing where that is needed.
///
/// Subscription, billing link, quantities, charges and this answer come into being together or not at all. The same key
/// and body give the same answer for good.
#[utoipa::path(tag = "buying", request_body = schema::PurchaseRequest,
    params(("Idempotency-Key" = String, Header, description = "1 to 255 printable ASCII characters", min_length = 1, max_length = 255)),
    responses(
    (status = 201, description = "Bought", body = schema::Purchase),
    (status = 400, description = "Not JSON, or no key", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 402, description = "The card was declined", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization, offer or subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 409, description = "billing-setup-required, billing-already-set-up, subscription-not-eligible, budget-exceeded, quantity-changed, price-changed", body = schema::Problem, content_type = "application/problem+json"),
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
    match state.till.submit(Command { caller: person.caller(), act }).await {
        Ok(Answer::Done(answer)) => Ok(created(answer, false)),
        Ok(Answer::Replayed(answer)) => Ok(created(answer, true)),
        Ok(Answer::Nothing) => Err(Problem::internal("a purchase that is nothing")),
        Err(failed) => Err(failure(&state, failed, &About::of(&about, person.id)).await),
    }
}

fn created(answer: String, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::Created();
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
    let row = store::purchases::find(&state.db, id).await.map_err(store_problem)?.ok_or_else(missing)?;
    let seen = standing_in(&state, &installation, row.organization, Permission::OrganizationView).await;
    seen.map_err(|problem| if problem.slug() == crate::problem::Slug::NotFound { missing() } else { problem })?;
    let answer = seen_by(&state, &installation, &[row]).await?.pop().ok_or_else(missing)?;
    Ok(HttpResponse::Ok().content_type("application/json").body(answer))
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
        answers.push(if sees { row.answer.clone() } else { alone(&row.answer).map_err(Problem::internal)? });
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
