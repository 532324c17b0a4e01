//! What organizations have, installations, and the platform's question.

use crate::allowance::Question;
use crate::caller::{Caller, Installation};
use crate::extract::Query;
use crate::problem::Problem;
use crate::routes::paging::{self, Page, PageQuery};
use crate::routes::refusals::{About, failure, standing_in};
use crate::routes::schema;
use crate::state::{State, store_problem};
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, put};
use billing::ReasonCode;
use chrono::NaiveDate;
use kernel::{Email, Month, OrganizationId, Permission, Role, UserId, grants};
use marketplace::book::{nothing, usable};
use marketplace::catalogue::{Offer, OfferKind, OfferState};
use marketplace::metered::{Meter, is_paid_for};
use marketplace::order::{Act, Command};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use store::till::EntitlementRow;
use store::usage::OpenRow;
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(allowance).service(list).service(show).service(install).service(remove);
}

/// Metered use of an offer.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct Metered {
    /// Switched on.
    on: bool,
    /// Most units a month; null for no limit. A lower one than what is used already holds at that until the month ends.
    cap: Option<i64>,
    /// Units used this month.
    used: i64,
}

/// What an organization has of an offer.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct Entitlement {
    /// The offer's slug.
    offer: String,
    /// Units that every organization has free.
    included: i64,
    /// Paid units of this month.
    committed: i64,
    /// Paid units that the next month will bill.
    next: i64,
    /// When `next` becomes `committed`.
    #[schema(value_type = String, format = Date)]
    next_on: NaiveDate,
    /// Units that may be used now; of a metered offer, what is left of the month.
    usable: i64,
    /// Seats that are assigned.
    assigned: i64,
    /// Most paid units that can be bought.
    maximum: i64,
    /// Whether the extension is installed.
    installed: bool,
    /// The running trial.
    #[schema(value_type = Option<Object>)]
    trial: Option<()>,
    /// Metered use; null where the offer is not metered.
    metered: Option<Metered>,
    /// `none`, `active`, `ending` where it is paid but will not be renewed, or `suspended` where its month came and the
    /// subscription could not pay, or it is metered and the subscription cannot pay now.
    state: &'static str,
    /// What is to be known about the state.
    #[schema(value_type = Vec<schema::Reason>)]
    reasons: Vec<billing::Reason>,
}

/// A page of what an organization has.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "names the page's shape for the OpenAPI document")]
struct Entitlements {
    data: Vec<Entitlement>,
    next: Option<String>,
}

fn view(offer: &Offer, has: &Has, month: Month) -> Entitlement {
    let none = nothing(has.organization, offer.id, month);
    let row = has.rows.get(&offer.id).unwrap_or(&none);
    let metered = offer.definition.kind == OfferKind::LoadTesting;
    let meter = metered.then(|| Meter::of(offer, row, &has.used, month));
    let running = row.next > 0 || row.metered || (row.installed && offer.is_free());
    let stopped = row.metered && !has.paid_for;
    let suspended = row.next > 0 && row.committed == 0 || stopped;
    let state = match (suspended, running, row.committed > 0) {
        (true, ..) => "suspended",
        (_, true, _) => "active",
        (_, false, true) => "ending",
        (_, false, false) => "none",
    };
    Entitlement {
        offer: offer.slug.to_string(),
        included: offer.definition.included,
        committed: row.committed,
        next: row.next,
        next_on: month.next().first_day(),
        usable: meter.map_or_else(|| usable(offer, row), |meter| if stopped { 0 } else { meter.left }),
        assigned: 0,
        maximum: offer.definition.maximum,
        installed: row.installed,
        trial: None,
        metered: meter.map(|Meter { on, cap, used, .. }| Metered { on, cap, used }),
        state,
        reasons: if suspended { vec![ReasonCode::PastDue.into()] } else { Vec::new() },
    }
}

/// What an organization has, and used of it.
struct Has {
    organization: OrganizationId,
    rows: HashMap<kernel::OfferId, EntitlementRow>,
    used: Vec<OpenRow>,
    /// Whether a payer pays for metered use.
    paid_for: bool,
}

async fn held(state: &State, id: OrganizationId) -> Result<Has, Problem> {
    let rows = store::entitlements::of_organization(&state.db, id).await.map_err(store_problem)?;
    let (mut used, mut paid_for) = (Vec::new(), true);
    if !rows.is_empty() {
        used = store::usage::of_organization(&state.db, id).await.map_err(store_problem)?;
    }
    if rows.iter().any(|row| row.metered) {
        paid_for = is_paid_for(store::usage::payer_status(&state.db, id).await.map_err(store_problem)?.as_deref());
    }
    Ok(Has { organization: id, rows: rows.into_iter().map(|row| (row.offer, row)).collect(), used, paid_for })
}

/// Whether an offer is to be seen by who has `row` of it.
fn seen(offer: &Offer, row: Option<&EntitlementRow>) -> bool {
    let has = row.is_some_and(|row| row.next > 0 || row.committed > 0 || row.installed);
    has || !matches!(offer.definition.state, OfferState::Hidden | OfferState::Retired)
}

/// What an organization has, of every offer that is to be seen.
#[utoipa::path(tag = "using", params(("org" = String, Path, description = "Id or slug"), PageQuery), responses(
    (status = 200, description = "A page of entitlements, by offer", body = Entitlements),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/organizations/{org}/entitlements")]
async fn list(
    state: Data<State>,
    caller: Caller,
    organization: Path<String>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let limit = paging::limit(page.0.limit)?;
    let organization = state.organization(&organization).await?;
    let installation = caller.standing(&state).await?;
    standing_in(&state, &installation, organization, Permission::OrganizationView).await?;
    let held = held(&state, organization).await?;
    let month = Month::of(state.now());
    let after = page.0.after.unwrap_or_default();
    let catalogue = state.catalogue().await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let rows: Vec<Arc<Offer>> = catalogue
        .offers()
        .filter(|offer| offer.slug.as_str() > after.as_str() && seen(offer, held.rows.get(&offer.id)))
        .take(most)
        .cloned()
        .collect();
    let cursor = |offer: &Arc<Offer>| offer.slug.to_string();
    let page = Page::of(rows, limit, cursor, |offer| view(&offer, &held, month));
    Ok(HttpResponse::Ok().json(page))
}

/// What an organization has of one offer; zeros where nobody bought it.
#[utoipa::path(tag = "using", params(("org" = String, Path, description = "Id or slug"), ("offer" = String, Path, description = "Id or slug")), responses(
    (status = 200, description = "The entitlement", body = Entitlement),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization or offer", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/organizations/{org}/entitlements/{offer}")]
async fn show(state: Data<State>, caller: Caller, path: Path<(String, String)>) -> Result<HttpResponse, Problem> {
    let (organization, named) = path.into_inner();
    let organization = state.organization(&organization).await?;
    let installation = caller.standing(&state).await?;
    standing_in(&state, &installation, organization, Permission::OrganizationView).await?;
    let held = held(&state, organization).await?;
    let catalogue = state.catalogue().await?;
    let offer = catalogue
        .resolve(&named)
        .filter(|offer| offer.definition.state == OfferState::Retired || seen(offer, held.rows.get(&offer.id)))
        .ok_or_else(|| Problem::not_found("offer"))?;
    Ok(HttpResponse::Ok().json(view(offer, &held, Month::of(state.now()))))
}

/// Installs an extension; twice is once.
#[utoipa::path(tag = "using", params(("org" = String, Path, description = "Id or slug"), ("offer" = String, Path, description = "Id or slug")), responses(
    (status = 204, description = "It is installed"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization or offer", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "It is no extension", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[put("/v1/organizations/{org}/entitlements/{offer}/installation")]
async fn install(state: Data<State>, caller: Caller, path: Path<(String, String)>) -> Result<HttpResponse, Problem> {
    installation(&state, &caller, path.into_inner(), true).await
}

/// Removes an extension; what was bought stays paid until it is cancelled.
#[utoipa::path(tag = "using", params(("org" = String, Path, description = "Id or slug"), ("offer" = String, Path, description = "Id or slug")), responses(
    (status = 204, description = "It is not installed"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization or offer", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "It is no extension", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[delete("/v1/organizations/{org}/entitlements/{offer}/installation")]
async fn remove(state: Data<State>, caller: Caller, path: Path<(String, String)>) -> Result<HttpResponse, Problem> {
    installation(&state, &caller, path.into_inner(), false).await
}

async fn installation(
    state: &State,
    caller: &Caller,
    (organization, offer): (String, String),
    on: bool,
) -> Result<HttpResponse, Problem> {
    let person = caller.person(Permission::ExtensionInstall)?;
    let organization = state.organization(&organization).await?;
    let act = Act::Install { organization, offer, on };
    match state.till.submit(Command { caller: person.caller(), act }).await {
        Ok(_) => Ok(HttpResponse::NoContent().finish()),
        Err(failed) => Err(failure(state, failed, &About { organization, user: person.id, offers: Vec::new() }).await),
    }
}

/// The query of the platform's question.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AllowanceQuery {
    /// A person, by id or address: may this one use it?
    user: Option<String>,
}

/// May the organization (or a person in it) use this now, how many, until when, and if not why and what fixes it.
///
/// Answered from memory, with the instant that it was known at, also while the database is away.
#[utoipa::path(tag = "using", params(("org" = String, Path, description = "Id or slug"), ("offer" = String, Path, description = "Id or slug"), AllowanceQuery), responses(
    (status = 200, description = "The answer", body = schema::Allowance),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization or offer", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Nothing is known and the database is away", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/organizations/{org}/allowance/{offer}")]
async fn allowance(
    state: Data<State>,
    caller: Caller,
    path: Path<(String, String)>,
    query: Query<AllowanceQuery>,
) -> Result<HttpResponse, Problem> {
    let (organization, named) = path.as_ref();
    let organization = state.organization(organization).await?;
    may_ask(&state, &caller, organization).await?;
    let catalogue = state.known_catalogue();
    let offer = catalogue
        .resolve(named)
        .filter(|offer| offer.definition.state != OfferState::Hidden || matches!(caller, Caller::Service(_)))
        .ok_or_else(|| Problem::not_found("offer"))?;
    let user = match query.0.user {
        None => None,
        Some(text) => Some(named_person(&state, &text).await?),
    };
    let question = Question { organization, offer, user };
    let answer = state.allowances.answer(&state.db, question, state.now()).await.map_err(store_problem)?;
    Ok(HttpResponse::Ok().content_type("application/json").body(answer))
}

/// Members ask from memory; others are looked up.
async fn may_ask(state: &State, caller: &Caller, organization: OrganizationId) -> Result<(), Problem> {
    let Caller::Person(person) = caller else {
        let installation = Installation { user: None, role: Some(Role::Service) };
        return match organization_known(state, organization).await? {
            true => installation.need(Permission::AllowanceAsk),
            false => Err(Problem::not_found("organization")),
        };
    };
    let member = state.allowances.person(&state.db, organization, person.id).await.map_err(store_problem)?;
    if member.is_some_and(|(role, _)| grants(Role::Organization(role), Permission::AllowanceAsk)) {
        return Ok(());
    }
    let installation = caller.standing(state).await?;
    standing_in(state, &installation, organization, Permission::AllowanceAsk).await.map(|_| ())
}

/// Whether there is such an organization: an id in a path may be any.
async fn organization_known(state: &State, organization: OrganizationId) -> Result<bool, Problem> {
    if state.allowances.knows(organization) {
        return Ok(true);
    }
    let found = store::organizations::find(&state.db, organization, None).await.map_err(store_problem)?;
    Ok(found.is_some())
}

/// The person that is named by id or address; the nil id, who is a member of nothing, where nobody is.
async fn named_person(state: &State, text: &str) -> Result<UserId, Problem> {
    if let Ok(id) = text.parse::<UserId>() {
        return Ok(id);
    }
    let email: Email =
        text.parse().map_err(|_| Problem::invalid("/user", "is neither a person's id nor an address"))?;
    let row = store::people::by_email(&state.db, &email).await.map_err(store_problem)?;
    Ok(row.map_or_else(|| UserId::from_uuid(uuid::Uuid::nil()), |row| row.id))
}
