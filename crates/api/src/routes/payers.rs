//! Who pays for an organization: billing as it stands, setting it up ahead of buying, and the picker.

use crate::caller::Caller;
use crate::extract::{Body, Query};
use crate::problem::Problem;
use crate::routes::paging::{self, Page};
use crate::routes::refusals::{About, failure, refusal, standing_in};
use crate::routes::schema;
use crate::state::{State, store_problem};
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post, put};
use billing::{Payer, Reason};
use kernel::{Currency, OrganizationId, Permission, SubscriptionId, UserId, rfc3339};
use marketplace::Refusal;
use marketplace::catalogue::Offer;
use marketplace::decide::need;
use marketplace::order::{Act, Command};
use marketplace::question::Desk;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::subscriptions::SubscriptionRow;
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(show).service(set_up).service(preview).service(pick);
}

/// How billing stands.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct BillingState {
    /// `not_set_up` or `linked`.
    #[schema(example = "linked")]
    state: &'static str,
    /// Who pays.
    #[schema(value_type = Option<String>)]
    subscription: Option<SubscriptionId>,
    /// Who set it up, by id.
    linked_by: Option<String>,
    /// When.
    linked_at: Option<String>,
    /// A change that is scheduled.
    #[schema(value_type = Option<Object>)]
    scheduled: Option<()>,
}

async fn billing_state(state: &State, organization: OrganizationId) -> Result<BillingState, Problem> {
    let link = store::subscriptions::link(&state.db, organization).await.map_err(store_problem)?;
    Ok(match link {
        None => {
            BillingState { state: "not_set_up", subscription: None, linked_by: None, linked_at: None, scheduled: None }
        }
        Some(link) => BillingState {
            state: "linked",
            subscription: Some(link.subscription),
            linked_by: Some(link.linked_by),
            linked_at: Some(rfc3339(link.linked_at)),
            scheduled: None,
        },
    })
}

/// How billing of an organization stands.
#[utoipa::path(tag = "billing", params(("org" = String, Path, description = "Id or slug")), responses(
    (status = 200, description = "How it stands", body = BillingState),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/organizations/{org}/billing")]
async fn show(state: Data<State>, caller: Caller, organization: Path<String>) -> Result<HttpResponse, Problem> {
    let organization = state.organization(&organization).await?;
    let installation = caller.standing(&state).await?;
    standing_in(&state, &installation, organization, Permission::OrganizationView).await?;
    Ok(HttpResponse::Ok().json(billing_state(&state, organization).await?))
}

/// Body of setting up billing.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SetUp {
    /// Who shall pay.
    #[schema(value_type = String)]
    subscription: SubscriptionId,
}

/// Sets up billing ahead of buying.
///
/// Linking what is linked already changes nothing. Another subscription than the linked one is refused.
#[utoipa::path(tag = "billing", params(("org" = String, Path, description = "Id or slug")), request_body = SetUp, responses(
    (status = 200, description = "How it stands then", body = BillingState),
    (status = 400, description = "Not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization or subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 409, description = "billing-already-set-up, subscription-not-eligible", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[put("/v1/organizations/{org}/billing")]
async fn set_up(
    state: Data<State>,
    caller: Caller,
    organization: Path<String>,
    body: Body<SetUp>,
) -> Result<HttpResponse, Problem> {
    let person = caller.person(Permission::BillingSetUp)?;
    let organization = state.organization(&organization).await?;
    let act = Act::SetUpBilling { organization, subscription: body.0.subscription };
    match state.till.submit(Command { caller: person.caller(), act }).await {
        Ok(_) => Ok(HttpResponse::Ok().json(billing_state(&state, organization).await?)),
        Err(failed) => Err(failure(&state, failed, &About { organization, user: person.id, offers: Vec::new() }).await),
    }
}

/// What setting up billing would do.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct Preview {
    /// For whom.
    #[schema(value_type = String)]
    organization: OrganizationId,
    /// Who would pay.
    #[schema(value_type = String)]
    subscription: SubscriptionId,
    /// `will_link`, or `linked` where it is already.
    billing: &'static str,
    /// Whether it would be accepted.
    allowed: bool,
    /// Why not.
    #[schema(value_type = Vec<schema::Reason>)]
    reasons: Vec<Reason>,
}

/// What setting up billing would do; no effect.
#[utoipa::path(tag = "billing", params(("org" = String, Path, description = "Id or slug")), request_body = SetUp, responses(
    (status = 200, description = "What would happen", body = Preview),
    (status = 400, description = "Not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization or subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 409, description = "billing-already-set-up", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[post("/v1/organizations/{org}/billing/preview")]
async fn preview(
    state: Data<State>,
    caller: Caller,
    organization: Path<String>,
    body: Body<SetUp>,
) -> Result<HttpResponse, Problem> {
    let person = caller.person(Permission::BillingSetUp)?;
    let organization = state.organization(&organization).await?;
    let subscription = body.0.subscription;
    let desk = Desk { db: &state.db, shelf: &state.shelf, policy: &state.policy, clock: state.clock.as_ref() };
    let decided = desk.set_up_billing(organization, subscription, &person.caller()).await.map_err(store_problem)?;
    let (billing, reasons) = match decided {
        Ok(true) => ("will_link", Vec::new()),
        Ok(false) => ("linked", Vec::new()),
        Err(Refusal::NotEligible(reasons)) => ("will_link", reasons),
        Err(Refusal::PermissionDenied { missing, .. }) => ("will_link", vec![Reason::missing(missing)]),
        Err(refused) => {
            let about = About { organization, user: person.id, offers: Vec::new() };
            return Err(refusal(&state, refused, &about).await);
        }
    };
    let allowed = reasons.is_empty();
    Ok(HttpResponse::Ok().json(Preview { organization, subscription, billing, allowed, reasons }))
}

/// The query of the picker.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct PickQuery {
    /// What is to be paid for, by id or slug; several with commas.
    offer: Option<String>,
    /// Part of the subscription's name.
    q: Option<String>,
    /// Rows of the page, 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// `next` of the page before.
    after: Option<String>,
}

/// A subscription in the picker.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Picked {
    /// Its id.
    #[schema(value_type = String)]
    pub id: SubscriptionId,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// How it stands.
    pub status: String,
    /// Its currency.
    #[schema(value_type = String)]
    pub currency: Currency,
    /// Whether it can pay for this, by this caller.
    pub eligible: bool,
    /// Why not, each with what to do.
    #[schema(value_type = Vec<schema::Reason>)]
    pub reasons: Vec<Reason>,
}

/// A page of the picker.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct PickedPage {
    data: Vec<Picked>,
    next: Option<String>,
    /// Whether the caller may create a subscription in checkout.
    can_create: bool,
}

/// The subscriptions that could pay, ineligible ones with their reasons.
pub struct Picker {
    /// For whom.
    pub organization: OrganizationId,
    /// Who picks.
    pub user: UserId,
    /// What is to be paid for.
    pub offers: Vec<Arc<Offer>>,
}

impl Picker {
    /// A page, and whether the caller may create one.
    ///
    /// # Errors
    /// The store's.
    pub async fn page(
        &self,
        state: &State,
        q: &str,
        after: Option<SubscriptionId>,
        limit: i64,
    ) -> Result<(Page<Picked>, bool), Problem> {
        let rows = store::subscriptions::visible(&state.db, Some(self.user), q, after, limit.saturating_add(1));
        let rows = rows.await.map_err(store_problem)?;
        let mut picked = Vec::with_capacity(rows.len());
        for (row, role) in rows {
            let payer = Payer::try_from(&row).map_err(Problem::internal)?;
            let needs: Vec<_> =
                self.offers.iter().map(|offer| need(&state.policy, offer, payer.currency, payer.country)).collect();
            let reasons = payer.reasons(role, &needs);
            picked.push(pick_view(row, reasons));
        }
        let standing = store::organizations::find(&state.db, self.organization, Some(self.user)).await;
        let role = standing.map_err(store_problem)?.and_then(|standing| standing.role);
        let can_create = role.is_some_and(|role| {
            kernel::grants(kernel::Role::Organization(role), Permission::SubscriptionCreateInCheckout)
        });
        Ok((Page::of(picked, limit, |row| row.id.to_string(), |row| row), can_create))
    }
}

fn pick_view(row: SubscriptionRow, reasons: Vec<Reason>) -> Picked {
    Picked {
        id: row.id,
        name: row.name,
        kind: row.kind,
        status: row.status,
        currency: row.currency,
        eligible: reasons.is_empty(),
        reasons,
    }
}

/// The picker: every subscription that the caller can see, ineligible ones with their reasons.
#[utoipa::path(tag = "billing", params(("org" = String, Path, description = "Id or slug"), PickQuery), responses(
    (status = 200, description = "A page of subscriptions", body = PickedPage),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not for service keys", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization or offer", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/organizations/{org}/subscriptions")]
async fn pick(
    state: Data<State>,
    caller: Caller,
    organization: Path<String>,
    query: Query<PickQuery>,
) -> Result<HttpResponse, Problem> {
    let user = caller.person(Permission::BillingSetUp)?.id;
    let limit = paging::limit(query.0.limit)?;
    let after = paging::after(query.0.after.as_deref())?;
    let q = paging::search(query.0.q.clone())?;
    let organization = state.organization(&organization).await?;
    let installation = caller.standing(&state).await?;
    standing_in(&state, &installation, organization, Permission::OrganizationView).await?;
    let catalogue = state.catalogue().await?;
    let mut offers = Vec::new();
    for named in query.0.offer.iter().flat_map(|text| text.split(',')) {
        offers.push(Arc::clone(catalogue.resolve(named).ok_or_else(|| Problem::not_found("offer"))?));
    }
    let picker = Picker { organization, user, offers };
    let (page, can_create) = picker.page(&state, &q, after, limit).await?;
    Ok(HttpResponse::Ok().json(PickedPage { data: page.data, next: page.next, can_create }))
}
