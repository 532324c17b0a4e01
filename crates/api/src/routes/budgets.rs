//! Budgets of subscriptions and of organizations billed to them.

use crate::caller::Caller;
use crate::extract::Body;
use crate::problem::Problem;
use crate::routes::refusals::{About, refusal, standing_in};
use crate::routes::roles::Seen;
use crate::routes::schema;
use crate::routes::writes::{Act, By, Fault, write};
use crate::state::{State, store_problem};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, put};
use kernel::{Currency, Money, Month, OrganizationId, Permission, SubscriptionId, rfc3339};
use marketplace::Refusal;
use marketplace::budget::BudgetView;
use marketplace::question::Desk;
use serde::Serialize;
use serde_json::json;
use store::budgets::{self, Scope};
use store::{Tx, subscriptions, usage};
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(show).service(set).service(remove);
    config.service(show_organization).service(set_organization).service(remove_organization);
}

/// What of a budget is used in a month.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BudgetMonth {
    /// The month, by its first day.
    #[schema(value_type = String, format = Date)]
    pub month: Month,
    /// Of the present month what is charged for it, with metered use so far; of the next one its renewal as it stands.
    #[schema(value_type = schema::Money)]
    pub used: Money,
    /// What is left; nothing where more is used than there is.
    #[schema(value_type = schema::Money)]
    pub left: Money,
}

/// A budget, and what of it is used.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Budget {
    /// Who pays.
    #[schema(value_type = String)]
    pub subscription: SubscriptionId,
    /// The organization that it is for; null for the whole subscription.
    #[schema(value_type = Option<String>, required)]
    pub organization: Option<OrganizationId>,
    /// How much a month, before tax; null where none is set.
    #[schema(value_type = Option<schema::Money>, required)]
    pub budget: Option<Money>,
    /// `none` where none is set; `within`; `warned` from 80 % of it on; `exceeded`.
    #[schema(example = "within")]
    pub state: &'static str,
    /// The present month; null where no budget is set.
    #[schema(required)]
    pub this_month: Option<BudgetMonth>,
    /// The next one; null where no budget is set.
    #[schema(required)]
    pub next_month: Option<BudgetMonth>,
    /// When the payer was warned this month; null where it was not.
    #[schema(format = DateTime, required)]
    pub warned_at: Option<String>,
}

impl Budget {
    /// A budget as it stands.
    ///
    /// # Errors
    /// The store's.
    pub async fn of(state: &State, scope: Scope) -> Result<Self, Problem> {
        let desk = Desk { db: &state.db, shelf: &state.shelf, policy: &state.policy, clock: state.clock.as_ref() };
        let view = desk.budget(scope).await.map_err(store_problem)?;
        let Scope { subscription, organization } = scope;
        let Some(view) = view else {
            let (this_month, next_month, warned_at) = (None, None, None);
            return Ok(Self {
                subscription,
                organization,
                budget: None,
                state: "none",
                this_month,
                next_month,
                warned_at,
            });
        };
        let warned = budgets::warned_at(&state.db, scope, view.this_month.month).await.map_err(store_problem)?;
        let month = |part: marketplace::budget::MonthOfBudget| {
            Some(BudgetMonth { month: part.month, used: part.used, left: part.left })
        };
        Ok(Self {
            subscription,
            organization,
            budget: Some(view.budget),
            state: word(&view),
            this_month: month(view.this_month),
            next_month: month(view.next_month),
            warned_at: warned.map(rfc3339),
        })
    }
}

fn word(view: &BudgetView) -> &'static str {
    match view {
        view if view.is_over() => "exceeded",
        view if view.warns() => "warned",
        _ => "within",
    }
}

/// The budget of a subscription, and what of it is used this month and next.
#[utoipa::path(tag = "subscriptions", params(("id" = String, Path, description = "sub_…")), responses(
    (status = 200, description = "How it stands", body = Budget),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/subscriptions/{id}/budget")]
async fn show(state: Data<State>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let seen = Seen::find(&state, &caller, &id).await?.need(&state, Permission::InvoiceView).await?;
    let scope = Scope { subscription: seen.row.id, organization: None };
    Ok(HttpResponse::Ok().json(Budget::of(&state, scope).await?))
}

/// Sets a subscription's budget a month, before tax, in its currency.
///
/// From then on no purchase takes a month over it. What runs already stays and is renewed, whatever it comes to. The same
/// amount again changes nothing.
#[utoipa::path(tag = "subscriptions", params(("id" = String, Path, description = "sub_…")), request_body = schema::Money, responses(
    (status = 200, description = "How it stands then", body = Budget),
    (status = 400, description = "Not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken: less than nothing, or another currency", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[put("/v1/subscriptions/{id}/budget")]
async fn set(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    body: Body<Money>,
) -> Result<HttpResponse, Problem> {
    let seen = Seen::find(&state, &caller, &id).await?.need(&state, Permission::BudgetManage).await?;
    let scope = Scope { subscription: seen.row.id, organization: None };
    keep(&state, &By::of(&caller, &request), scope, Some(body.0)).await?;
    Ok(HttpResponse::Ok().json(Budget::of(&state, scope).await?))
}

/// Removes a subscription's budget; where there is none, nothing changes.
#[utoipa::path(tag = "subscriptions", params(("id" = String, Path, description = "sub_…")), responses(
    (status = 204, description = "There is none"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[delete("/v1/subscriptions/{id}/budget")]
async fn remove(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let seen = Seen::find(&state, &caller, &id).await?.need(&state, Permission::BudgetManage).await?;
    let scope = Scope { subscription: seen.row.id, organization: None };
    keep(&state, &By::of(&caller, &request), scope, None).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The budget of an organization with the subscription that it is billed to.
#[utoipa::path(tag = "billing", params(("org" = String, Path, description = "Id or slug")), responses(
    (status = 200, description = "How it stands", body = Budget),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization", body = schema::Problem, content_type = "application/problem+json"),
    (status = 409, description = "billing-setup-required", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/organizations/{org}/budget")]
async fn show_organization(
    state: Data<State>,
    caller: Caller,
    organization: Path<String>,
) -> Result<HttpResponse, Problem> {
    let scope = of_organization(&state, &caller, &organization, Permission::OrganizationBillView).await?;
    Ok(HttpResponse::Ok().json(Budget::of(&state, scope).await?))
}

/// Sets the budget a month of an organization, before tax, in the currency of the subscription that it is billed to, whose
/// owner sets it. It ends with the link to that subscription.
#[utoipa::path(tag = "billing", params(("org" = String, Path, description = "Id or slug")), request_body = schema::Money, responses(
    (status = 200, description = "How it stands then", body = Budget),
    (status = 400, description = "Not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization", body = schema::Problem, content_type = "application/problem+json"),
    (status = 409, description = "billing-setup-required", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken: less than nothing, or another currency", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[put("/v1/organizations/{org}/budget")]
async fn set_organization(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    organization: Path<String>,
    body: Body<Money>,
) -> Result<HttpResponse, Problem> {
    let scope = of_organization(&state, &caller, &organization, Permission::BudgetManage).await?;
    keep(&state, &By::of(&caller, &request), scope, Some(body.0)).await?;
    Ok(HttpResponse::Ok().json(Budget::of(&state, scope).await?))
}

/// Removes an organization's budget; where there is none, nothing changes.
#[utoipa::path(tag = "billing", params(("org" = String, Path, description = "Id or slug")), responses(
    (status = 204, description = "There is none"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization", body = schema::Problem, content_type = "application/problem+json"),
    (status = 409, description = "billing-setup-required", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[delete("/v1/organizations/{org}/budget")]
async fn remove_organization(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    organization: Path<String>,
) -> Result<HttpResponse, Problem> {
    let scope = of_organization(&state, &caller, &organization, Permission::BudgetManage).await?;
    keep(&state, &By::of(&caller, &request), scope, None).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The budget of an organization that the caller has this right to. Whoever may set it owns the payer, so those are named
/// as whom to ask.
///
/// # Errors
/// `not-found`, `billing-setup-required`, `permission-denied`; the store's.
pub async fn of_organization(
    state: &State,
    caller: &Caller,
    named: &str,
    permission: Permission,
) -> Result<Scope, Problem> {
    let organization = state.organization(named).await?;
    let installation = caller.standing(state).await?;
    let standing = standing_in(state, &installation, organization, Permission::OrganizationView).await?;
    let link = subscriptions::link(&state.db, organization).await.map_err(store_problem)?;
    let Some(link) = link else {
        let Some(user) = installation.user else { return Err(Problem::not_found("budget")) };
        return Err(
            refusal(state, Refusal::BillingSetupRequired, &About { organization, user, offers: Vec::new() }).await
        );
    };
    if !installation.may_in(permission, &standing) {
        let scope = match permission {
            Permission::BudgetManage => marketplace::Scope::Subscription(link.subscription),
            _ => marketplace::Scope::Organization(organization),
        };
        let user = installation.user.ok_or_else(|| crate::caller::denied(permission, Vec::new()))?;
        let about = About { organization, user, offers: Vec::new() };
        return Err(refusal(state, Refusal::PermissionDenied { missing: permission, scope }, &about).await);
    }
    Ok(Scope { subscription: link.subscription, organization: Some(organization) })
}

/// Sets a budget, or removes it.
///
/// # Errors
/// `invalid-request` for less than nothing or another currency than the payer's; the store's.
pub async fn keep(state: &State, by: &By, scope: Scope, amount: Option<Money>) -> Result<(), Problem> {
    write(state, "budget", by, async |tx, act| keep_in(tx, act, scope, amount).await).await
}

async fn keep_in(tx: &Tx, act: &mut Act<'_>, scope: Scope, amount: Option<Money>) -> Result<(), Fault> {
    let Scope { subscription, organization } = scope;
    // In the order in which the till holds them, so that no purchase is decided meanwhile.
    if let Some(organization) = organization {
        usage::hold(tx, &[organization]).await?;
        let link = subscriptions::link(tx, organization).await?;
        if link.map(|link| link.subscription) != Some(subscription) {
            return Err(Problem::not_found("budget").into());
        }
    }
    let held = subscriptions::hold_all(tx, &[subscription]).await?;
    let currency = held.first().ok_or_else(|| Problem::not_found("subscription"))?.currency;
    let amount = amount.map(|amount| minor(amount, currency)).transpose()?;
    let before = budgets::find(tx, scope).await?;
    // The month before is kept too: of two processes one may not have come to this one yet.
    let since = Month::of(act.at).prev();
    let kind = match (before, amount) {
        (before, after) if before == after => return Ok(()),
        (None, Some(amount)) => {
            budgets::insert(tx, scope, amount, since).await?;
            "budget.set"
        }
        (Some(_), Some(amount)) => {
            budgets::change(tx, scope, amount).await?;
            "budget.set"
        }
        (_, None) => {
            budgets::remove(tx, scope).await?;
            "budget.removed"
        }
    };
    let since = before.is_none().then_some(since);
    let told = json!({
        "subscription": subscription, "organization": organization, "currency": currency, "before": before,
        "amount": amount, "since": since,
    });
    act.event(kind, organization, &told, json!({}));
    Ok(())
}

/// The amount in minor units of a payer's currency.
fn minor(amount: Money, currency: Currency) -> Result<i64, Problem> {
    if amount.currency() != currency {
        return Err(Problem::invalid("/currency", format!("must be {currency}, the subscription's")));
    }
    if amount.minor() < 0 {
        return Err(Problem::invalid("/amount", "must be 0 or more"));
    }
    Ok(amount.minor())
}
