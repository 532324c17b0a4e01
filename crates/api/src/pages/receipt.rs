//! What was bought: the purchase as its answer keeps it.

use super::frame::{Frame, page as shown};
use super::sum::{Quoted, Sum, day_of};
use super::visitor::Visitor;
use crate::problem::{Problem, Slug};
use crate::routes::purchases::seen_by;
use crate::routes::refusals::standing_in;
use crate::state::{State, store_problem};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{HttpResponse, get};
use askama::Template;
use kernel::{Permission, PurchaseId};
use store::purchases::PurchaseRow;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(show);
}

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    frame: Frame,
    title: &'static str,
    id: String,
    on: String,
    by: String,
    organization: (String, String),
    payer: Option<(String, String)>,
    created: bool,
    set_up: bool,
    sum: Sum,
    charges: Vec<String>,
    state: String,
    invoice: Option<String>,
    reason: String,
    url: Option<String>,
    success_url: String,
}

#[get("/purchases/{id}")]
async fn show(state: Data<State>, visitor: Visitor, id: Path<String>) -> Result<HttpResponse, Problem> {
    let missing = || Problem::not_found("purchase");
    let id: PurchaseId = id.parse().map_err(|_| missing())?;
    let row = store::purchases::find_any(&state.db, id).await.map_err(store_problem)?.ok_or_else(missing)?;
    page(&state, &visitor, &row, "").await
}

/// The receipt of a purchase; `success_url` is where the platform wants the visitor next, if it sent them here.
///
/// # Errors
/// `not-found` where the visitor may not know of it; the store's.
pub async fn page(
    state: &State,
    visitor: &Visitor,
    purchase: &PurchaseRow,
    success_url: &str,
) -> Result<HttpResponse, Problem> {
    let seen = standing_in(state, &visitor.installation(), purchase.organization, Permission::OrganizationView).await;
    let standing = seen.map_err(|problem| match problem.slug() {
        Slug::NotFound => Problem::not_found("purchase"),
        _ => problem,
    })?;
    let answers = seen_by(state, &visitor.installation(), std::slice::from_ref(purchase)).await?;
    let quoted = Quoted::read(answers.first().map_or("", String::as_str))?;
    let catalogue = state.catalogue().await?;
    let sum = Sum::of(&quoted, &catalogue, visitor.locale);
    let buyer = store::people::by_id(&state.db, purchase.actor).await.map_err(store_problem)?;
    // Of one that was released it is not kept who it was.
    let by = match buyer {
        Some(one) => format!(", by {}", one.name),
        None if purchase.state == "released" => String::new(),
        None => ", by somebody who is no longer known".to_owned(),
    };
    let found = store::subscriptions::find(&state.db, purchase.subscription, Some(visitor.id)).await;
    let payer = found.map_err(store_problem)?;
    let payer = payer.filter(|(_, role)| visitor.installation().may_with(Permission::SubscriptionView, None, *role));
    let lowered = quoted.lines.iter().all(|line| line.quantity.to < line.quantity.from);
    let title = match purchase.state.as_str() {
        "pending" => "Waiting for the payment",
        "released" => "Not bought",
        _ if lowered => "Changed",
        _ => "Bought",
    };
    let template = ReceiptPage {
        frame: Frame::new(state, Some(visitor), "organizations", title),
        title,
        id: purchase.id.to_string(),
        on: day_of(&quoted.at),
        by,
        organization: (standing.organization.slug.to_string(), standing.organization.name),
        payer: payer.map(|(row, _)| (row.id.to_string(), row.name)),
        created: quoted.subscription_created,
        set_up: quoted.billing_set_up,
        sum,
        charges: quoted.charges,
        state: quoted.state,
        invoice: quoted.invoice,
        reason: quoted.reason.replace('_', " "),
        url: quoted.url,
        success_url: success_url.to_owned(),
    };
    shown(StatusCode::OK, &template)
}
