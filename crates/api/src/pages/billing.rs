//! Setting up billing ahead of buying: choose a subscription, link it, see it linked.

use super::frame::{Frame, page, see_other};
use super::organizations::{Billing, ListQuery, billing};
use super::problems::{Told, Why};
use super::visitor::{Fields, Form, Visitor, field};
use crate::extract::Query;
use crate::problem::Problem;
use crate::routes::paging;
use crate::routes::payers::{Picked, Picker};
use crate::routes::refusals::{About, failure, standing_in, whom_to_ask};
use crate::state::State;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{get, post};
use askama::Template;
use kernel::{Permission, SubscriptionId};
use marketplace::Scope;
use marketplace::order::{Act, Command};

/// Subscriptions of a page.
const ROWS: i64 = 20;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(show).service(link);
}

struct Payer {
    id: String,
    name: String,
    detail: String,
    eligible: bool,
    why: Vec<Why>,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "billing.html")]
struct BillingPage {
    frame: Frame,
    slug: String,
    name: String,
    billing: Option<Billing>,
    q: String,
    payers: Vec<Payer>,
    more: String,
    refused: Option<Told>,
    may_set_up: bool,
    /// Whom to ask who may not: name and role.
    ask: Vec<(String, String)>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowQuery {
    #[serde(default)]
    q: String,
    after: Option<String>,
    /// The subscription that is chosen already.
    chosen: Option<SubscriptionId>,
}

#[get("/organizations/{org}/billing")]
async fn show(
    state: Data<State>,
    visitor: Visitor,
    named: Path<String>,
    query: Query<ShowQuery>,
) -> Result<HttpResponse, Problem> {
    shown(&state, &visitor, &named, query.0, None).await
}

async fn shown(
    state: &State,
    visitor: &Visitor,
    named: &str,
    query: ShowQuery,
    refused: Option<Problem>,
) -> Result<HttpResponse, Problem> {
    let organization = state.organization(named).await?;
    let standing = standing_in(state, &visitor.installation(), organization, Permission::OrganizationView).await?;
    let q = paging::search(Some(query.q.clone()))?;
    let after = paging::after(query.after.as_deref())?;
    let picker = Picker { organization, user: visitor.id, offers: Vec::new() };
    let (found, _) = picker.page(state, &q, after, ROWS).await?;
    let billing = billing(state, visitor, &standing).await?.map(|(billing, _)| billing);
    let slug = standing.organization.slug.to_string();
    let more = ListQuery { q: query.q, after: None }.more(&format!("/organizations/{slug}/billing"), found.next);
    let may_set_up = visitor.installation().may_in(Permission::BillingSetUp, &standing);
    let ask = if may_set_up || billing.is_some() {
        Vec::new()
    } else {
        whom_to_ask(state, Scope::Organization(organization)).await?
    };
    let status = refused.as_ref().map_or(StatusCode::OK, Problem::status);
    let template = BillingPage {
        may_set_up,
        ask: ask.into_iter().map(|one| (one.name, one.role)).collect(),
        frame: Frame::new(state, Some(visitor), "organizations", "Set up billing"),
        name: standing.organization.name,
        slug,
        billing,
        q,
        payers: found.data.into_iter().map(|one| payer(one, query.chosen)).collect(),
        more,
        refused: refused.as_ref().map(Told::of),
    };
    page(status, &template)
}

fn payer(one: Picked, chosen: Option<SubscriptionId>) -> Payer {
    let status = if one.status == "active" { String::new() } else { format!(" · {}", one.status.replace('_', " ")) };
    Payer {
        id: one.id.to_string(),
        name: one.name,
        detail: format!("{} · {}{status}", one.kind.replace('_', " "), one.currency),
        eligible: one.eligible,
        why: one.reasons.iter().map(|one| Why { message: one.message(), remedy: one.remedy() }).collect(),
        chosen: chosen == Some(one.id),
    }
}

#[post("/organizations/{org}/billing")]
async fn link(state: Data<State>, named: Path<String>, form: Form<Fields>) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    let organization = state.organization(&named).await?;
    let Ok(subscription) = field(&fields, "subscription").parse::<SubscriptionId>() else {
        let none = Problem::invalid("", "Choose a subscription first.");
        return shown(&state, &visitor, &named, ShowQuery::default(), Some(none)).await;
    };
    let act = Act::SetUpBilling { organization, subscription };
    match state.till.submit(Command { caller: visitor.buyer(), act }).await {
        Ok(_) => Ok(see_other(&format!("/organizations/{named}?done=linked"))),
        Err(failed) => {
            let about = About { organization, user: visitor.id, offers: Vec::new() };
            let problem = failure(&state, failed, &about).await;
            let query = ShowQuery { chosen: Some(subscription), ..ShowQuery::default() };
            shown(&state, &visitor, &named, query, Some(problem)).await
        }
    }
}
