//! Undoing a purchase: the page that asks once more, and the act.

use super::frame::{Frame, page, see_other};
use super::problems::Told;
use super::receipt::Bought;
use super::sum::Sum;
use super::visitor::{Fields, Form, Visitor};
use crate::problem::Problem;
use crate::routes::purchases::undo_by;
use crate::state::State;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{HttpResponse, get, post};
use askama::Template;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(ask).service(act);
}

#[derive(Template)]
#[template(path = "undo.html")]
struct UndoPage {
    frame: Frame,
    id: String,
    on: String,
    by: String,
    organization: (String, String),
    sum: Sum,
    /// What stays charged; empty for nothing.
    keeps: String,
    set_up: bool,
    created: bool,
    refused: Option<Told>,
    /// The later purchase that is to be undone first.
    blocking: String,
}

#[get("/purchases/{id}/undo")]
async fn ask(state: Data<State>, visitor: Visitor, id: Path<String>) -> Result<HttpResponse, Problem> {
    confirm(&state, &visitor, &id, None).await
}

#[post("/purchases/{id}/undo")]
async fn act(state: Data<State>, id: Path<String>, form: Form<Fields>) -> Result<HttpResponse, Problem> {
    let visitor = form.0;
    let purchase = id.parse().map_err(|_| Problem::not_found("purchase"))?;
    match undo_by(&state, visitor.buyer(), purchase, None).await {
        Ok(_) => Ok(see_other(&format!("/purchases/{purchase}"))),
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => Err(problem),
        Err(problem) => confirm(&state, &visitor, &id, Some(problem)).await,
    }
}

async fn confirm(
    state: &State,
    visitor: &Visitor,
    id: &str,
    refused: Option<Problem>,
) -> Result<HttpResponse, Problem> {
    let bought = Bought::find(state, visitor, id).await?;
    if bought.quoted.undone.is_some() {
        return Ok(see_other(&format!("/purchases/{}", bought.row.id)));
    }
    let status = refused.as_ref().map_or(StatusCode::OK, Problem::status);
    let keeps = bought.quoted.undo_keeps.filter(|keeps| !keeps.is_zero());
    let blocking = refused.as_ref().and_then(|problem| problem.member("purchase")).and_then(|id| id.as_str());
    let template = UndoPage {
        frame: Frame::new(state, Some(visitor), "organizations", "Undo a purchase"),
        id: bought.row.id.to_string(),
        on: bought.on(),
        by: bought.by,
        organization: (bought.organization.slug.to_string(), bought.organization.name),
        sum: Sum::of(&bought.quoted, &*state.catalogue().await?, visitor.locale),
        keeps: keeps.map(|keeps| visitor.locale.money(keeps)).unwrap_or_default(),
        set_up: bought.quoted.billing_set_up,
        created: bought.quoted.subscription_created,
        blocking: blocking.unwrap_or_default().to_owned(),
        refused: refused.as_ref().map(Told::of),
    };
    page(status, &template)
}
