//! `POST /v1/quotes`: what a purchase would cost and need; no effect.

use crate::caller::Caller;
use crate::extract::Body;
use crate::problem::Problem;
use crate::routes::refusals::{About, refusal};
use crate::routes::schema;
use crate::state::{State, field_problem, store_problem};
use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use kernel::Permission;
use marketplace::order::{Order, QuoteRequest};
use marketplace::question::Desk;
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(quote);
}

/// What a purchase would cost and need.
///
/// Prices, taxes, the next invoice and every step of how they are worked out; whether the purchase would be accepted,
/// and if not, why and what to do.
#[utoipa::path(tag = "buying", request_body = schema::QuoteRequest, responses(
    (status = 200, description = "The quote", body = schema::Quote),
    (status = 400, description = "Not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 402, description = "The card was declined", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not for service keys", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization, offer or subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 409, description = "Billed to another subscription, or no price in this currency", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[post("/v1/quotes")]
async fn quote(state: Data<State>, caller: Caller, body: Body<QuoteRequest>) -> Result<HttpResponse, Problem> {
    let person = caller.person(Permission::SubscriptionUse)?;
    let QuoteRequest { organization, items, billing, currency } = body.0;
    let organization = state.organization(&organization).await?;
    let order = Order::parse(organization, items, billing, currency).map_err(field_problem)?;
    let desk = Desk { db: &state.db, shelf: &state.shelf, policy: &state.policy, clock: state.clock.as_ref() };
    match desk.quote(&order, &person.caller()).await.map_err(store_problem)? {
        Ok(view) => Ok(HttpResponse::Ok().json(view)),
        Err(refused) => Err(refusal(&state, refused, &About::of(&order, person.id)).await),
    }
}
