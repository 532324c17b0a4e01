//! Organizations that a caller may know of, and what may be done in them.

use crate::caller::Caller;
use crate::extract::Query;
use crate::problem::Problem;
use crate::routes::paging::{self, Page};
use crate::routes::refusals::standing_in;
use crate::routes::schema;
use crate::state::{State, store_problem};
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get};
use billing::Payer;
use kernel::{AccessLevel, OrganizationId, OrganizationRole, Permission, SubscriptionRole, UserId};
use marketplace::action::{Action, Situation};
use marketplace::catalogue::{Offer, OfferState};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::organizations::Standing;
use store::till::OrganizationRow;
use store::{entitlements, organizations, subscriptions};
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list).service(show).service(actions);
}

/// An organization, with what ties the caller to it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Organization {
    /// Its id.
    #[schema(value_type = String)]
    id: OrganizationId,
    /// Its name in addresses.
    slug: String,
    /// Its name for people.
    name: String,
    /// Where it is, ISO 3166.
    country: String,
    /// The caller's role in it: `owner`, `administrator`, `member`; null for who is no member.
    #[schema(value_type = Option<String>, required)]
    role: Option<OrganizationRole>,
    /// The caller's access in it: `stakeholder`, `basic`; null for who is no member.
    #[schema(value_type = Option<String>, required)]
    access: Option<AccessLevel>,
    /// The caller's role on the subscription that it is billed to: `owner`, `contributor`, `billing_manager`,
    /// `reader`, or null.
    #[schema(value_type = Option<String>, required)]
    subscription_role: Option<SubscriptionRole>,
}

impl From<Standing> for Organization {
    fn from(standing: Standing) -> Self {
        let Standing { organization: OrganizationRow { id, slug, name, country }, role, access, payer_role, .. } =
            standing;
        let (slug, country) = (slug.into_string(), country.to_string());
        Self { id, slug, name, country, role, access, subscription_role: payer_role }
    }
}

impl Organization {
    /// As one sees it whom nothing ties to it.
    pub fn without_roles(organization: OrganizationRow) -> Self {
        Standing { organization, role: None, access: None, payer_role: None, linked: None }.into()
    }
}

/// A page of organizations.
#[derive(Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "names the shape for the OpenAPI document")]
struct Organizations {
    data: Vec<Organization>,
    #[schema(required)]
    next: Option<String>,
}

/// The query of a list that is searched.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct OrganizationQuery {
    /// Part of the name or slug, whatever the case.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Rows of the page, 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// `next` of the page before.
    after: Option<String>,
}

/// The organizations that the caller is a member of, or that are billed to the caller's subscriptions.
///
/// Operators and the platform see all.
#[utoipa::path(tag = "organizations", params(OrganizationQuery), responses(
    (status = 200, description = "A page of organizations", body = Organizations),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/organizations")]
async fn list(state: Data<State>, caller: Caller, query: Query<OrganizationQuery>) -> Result<HttpResponse, Problem> {
    let OrganizationQuery { q, limit, after } = query.0;
    let (limit, after, q) = (paging::limit(limit)?, paging::after(after.as_deref())?, paging::search(q)?);
    let installation = caller.standing(&state).await?;
    let all = installation.may(Permission::OrganizationView);
    let rows = organizations::visible(&state.db, installation.user, all, &q, after, limit.saturating_add(1)).await;
    let cursor = |standing: &Standing| standing.organization.id.to_string();
    Ok(HttpResponse::Ok().json(Page::of(rows.map_err(store_problem)?, limit, cursor, Organization::from)))
}

/// One organization.
#[utoipa::path(tag = "organizations", params(("org" = String, Path, description = "Id or slug", example = "fabrikam")), responses(
    (status = 200, description = "The organization", body = Organization),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/organizations/{org}")]
async fn show(state: Data<State>, caller: Caller, organization: Path<String>) -> Result<HttpResponse, Problem> {
    let organization = state.organization(&organization).await?;
    let installation = caller.standing(&state).await?;
    let standing = standing_in(&state, &installation, organization, Permission::OrganizationView).await?;
    Ok(HttpResponse::Ok().json(Organization::from(standing)))
}

/// What may be done with an offer.
#[derive(Serialize, utoipa::ToSchema)]
struct Actions {
    /// Four: buy, try, install, request.
    #[schema(value_type = Vec<ActionShape>)]
    data: Vec<Action>,
}

/// An action, and whether the caller may take it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Action)]
#[allow(dead_code, reason = "names the shape for the OpenAPI document")]
struct ActionShape {
    /// `buy`, `try`, `install` or `request`.
    action: String,
    /// Whether nothing stands in its way.
    allowed: bool,
    /// What does. Codes are those of payers (`not_permitted`, `past_due`, …), and `retired`, `bring_your_own_license`,
    /// `no_trial`, `not_an_extension`, `not_needed`, `not_available`.
    reasons: Vec<schema::Reason>,
}

/// The query of what may be done.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ActionQuery {
    /// The offer, by id or slug.
    #[param(example = "ms.feed")]
    offer: String,
}

/// What the caller may do with an offer here, and if not, why and what to do.
///
/// Buying is allowed where a purchase of some quantity would be, if need be with billing set up in the same act. It
/// says nothing about quantities; a quote does.
#[utoipa::path(tag = "organizations", params(("org" = String, Path, description = "Id or slug", example = "fabrikam"), ActionQuery), responses(
    (status = 200, description = "Buy, try, install, request", body = Actions),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization or offer", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/organizations/{org}/actions")]
async fn actions(
    state: Data<State>,
    caller: Caller,
    organization: Path<String>,
    query: Query<ActionQuery>,
) -> Result<HttpResponse, Problem> {
    let organization = state.organization(&organization).await?;
    let installation = caller.standing(&state).await?;
    let standing = standing_in(&state, &installation, organization, Permission::OrganizationView).await?;
    let offer = offer(&state, organization, &query.0.offer).await?;
    let payer = payer(&state, organization, installation.user).await?;
    let payer = payer.as_ref().map(|(payer, role)| (payer, *role));
    let situation = Situation { offer: &offer, role: standing.role, payer };
    Ok(HttpResponse::Ok().json(Actions { data: situation.actions(&state.policy) }))
}

/// The offer, if it is to be seen here: a hidden one only where the organization has it.
///
/// # Errors
/// `not-found`, and the store's.
pub async fn offer(state: &State, organization: OrganizationId, named: &str) -> Result<Arc<Offer>, Problem> {
    let missing = || Problem::not_found("offer");
    let offer = state.catalogue().await?.resolve(named).cloned().ok_or_else(missing)?;
    if offer.definition.state == OfferState::Hidden {
        let held = entitlements::of_organization(&state.db, organization).await.map_err(store_problem)?;
        held.iter().find(|row| row.offer == offer.id && (row.next > 0 || row.committed > 0)).ok_or_else(missing)?;
    }
    Ok(offer)
}

/// Who pays for the organization, with the person's role on it.
///
/// # Errors
/// The store's.
pub async fn payer(
    state: &State,
    organization: OrganizationId,
    user: Option<UserId>,
) -> Result<Option<(Payer, Option<SubscriptionRole>)>, Problem> {
    let link = subscriptions::link(&state.db, organization).await.map_err(store_problem)?;
    let Some(link) = link else { return Ok(None) };
    let found = subscriptions::find(&state.db, link.subscription, user).await.map_err(store_problem)?;
    let Some((row, role)) = found else { return Ok(None) };
    Ok(Some((Payer::try_from(&row).map_err(Problem::internal)?, role)))
}
