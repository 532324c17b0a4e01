//! Refusals of the marketplace as problems, with what the client needs to go on: the picker, whom to ask.

use crate::caller::{Ask, Installation, denied, unknown};
use crate::problem::Problem;
use crate::routes::paging::Page;
use crate::routes::payers::{Picked, Picker};
use crate::state::{State, field_problem, store_problem, unavailable};
use kernel::{OrganizationId, Permission, UserId};
use marketplace::budget::Exceeded;
use marketplace::pending::TOO_LATE;
use marketplace::till::Failure;
use marketplace::{Refusal, Scope};

/// Most people named in a refusal.
const ASKED: i64 = 5;

/// What the picker in a refusal is for.
#[derive(Clone, Debug)]
pub struct About<'a> {
    /// The organization.
    pub organization: OrganizationId,
    /// The caller.
    pub user: UserId,
    /// The offers that were asked for, as they were named.
    pub offers: Vec<&'a str>,
}

impl<'a> About<'a> {
    /// What an order is about.
    pub fn of(order: &'a marketplace::order::Order, user: UserId) -> Self {
        let offers = order.items.iter().map(|(offer, _)| offer.as_str()).collect();
        Self { organization: order.organization, user, offers }
    }
}

/// A till's failure as a problem.
pub async fn failure(state: &State, failure: Failure, about: &About<'_>) -> Problem {
    match failure {
        Failure::Refused(refused) => refusal(state, refused, about).await,
        Failure::Unavailable => unavailable(),
        Failure::Fault => Problem::internal("the till failed; see its log line"),
    }
}

/// A refusal as a problem.
pub async fn refusal(state: &State, refusal: Refusal, about: &About<'_>) -> Problem {
    match refusal {
        Refusal::UnknownCaller => unknown(),
        Refusal::NotFound(what) => Problem::not_found(what),
        Refusal::PermissionDenied { missing, scope } => match whom_to_ask(state, scope).await {
            Ok(ask) => denied(missing, ask),
            Err(problem) => problem,
        },
        Refusal::BillingSetupRequired => setup_required(state, about).await.unwrap_or_else(|problem| problem),
        Refusal::BillingAlreadySetUp(subscription) => Problem::billing_already_set_up(subscription),
        Refusal::NotEligible(reasons) => Problem::subscription_not_eligible(reasons),
        Refusal::BudgetExceeded(Exceeded { scope, budget, would_be, month }) => {
            Problem::budget_exceeded(budget, would_be)
                .with("month", month)
                .with("subscription", scope.subscription)
                .with("organization", scope.organization)
        }
        Refusal::QuantityOutOfRange { offer, item, minimum, maximum } => {
            let detail = format!("{offer}: the quantity must be from {minimum} to {maximum}.");
            Problem::quantity_out_of_range(minimum, maximum)
                .with_detail(detail)
                .with_error(format!("/items/{item}/quantity"), format!("must be from {minimum} to {maximum}"))
        }
        Refusal::QuantityChanged(quote) => Problem::quantity_changed(quote),
        Refusal::PriceChanged(quote) => Problem::price_changed(quote),
        Refusal::KeyReused => Problem::idempotency_key_reused(),
        Refusal::CannotUndo(why) => Problem::cannot_be_undone(&why),
        Refusal::PurchaseInProgress(purchase) => Problem::purchase_in_progress(purchase),
        Refusal::PaymentDeclined { reason, url } => {
            let words = if reason == TOO_LATE {
                "The payment came too late for this purchase; the money is the subscription's credit.".to_owned()
            } else {
                format!("The payment was declined ({}); nothing was bought.", reason.replace('_', " "))
            };
            Problem::payment_declined(&reason, url.as_deref()).with_detail(words)
        }
        Refusal::Invalid(faults) => field_problem(faults),
    }
}

/// Who can grant what is missing: the organization's owner and administrators, or the subscription's owners.
pub async fn whom_to_ask(state: &State, scope: Scope) -> Result<Vec<Ask>, Problem> {
    match scope {
        Scope::Organization(id) => {
            let people = store::organizations::administrators(&state.db, id, ASKED).await.map_err(store_problem)?;
            Ok(people.into_iter().map(|p| Ask { name: p.name, role: p.role.as_str().to_owned() }).collect())
        }
        Scope::Subscription(id) => {
            let people = store::subscriptions::holders(&state.db, id, 100).await.map_err(store_problem)?;
            let owners = people
                .into_iter()
                .filter(|p| kernel::grants(kernel::Role::Subscription(p.role), Permission::RolesManage));
            let most = usize::try_from(ASKED).unwrap_or(usize::MAX);
            Ok(owners.take(most).map(|p| Ask { name: p.name, role: p.role.as_str().to_owned() }).collect())
        }
    }
}

/// a client can go on from the answer alone.
async fn setup_required(state: &State, about: &About<'_>) -> Result<Problem, Problem> {
    let catalogue = state.catalogue().await?;
    let offers = about.offers.iter().filter_map(|named| catalogue.resolve(named).cloned()).collect();
    let picker = Picker { organization: about.organization, user: about.user, offers };
    let (page, can_create): (Page<Picked>, bool) = picker.page(state, "", None, 20).await?;
    Ok(Problem::billing_setup_required(page.data, can_create).with("next", page.next))
}

/// A refusal for a caller who lacks a permission of the organization.
pub async fn organization_denied(state: &State, missing: Permission, id: OrganizationId) -> Problem {
    match whom_to_ask(state, Scope::Organization(id)).await {
        Ok(ask) => denied(missing, ask),
        Err(problem) => problem,
    }
}

/// Sees to a permission in an organization that the caller may know of.
///
/// # Errors
/// `not-found` where the caller may not know of the organization, `permission-denied` where a right is missing.
pub async fn standing_in(
    state: &State,
    installation: &Installation,
    id: OrganizationId,
    permission: Permission,
) -> Result<store::organizations::Standing, Problem> {
    let found = store::organizations::find(&state.db, id, installation.user).await.map_err(store_problem)?;
    let standing = found
        .filter(|standing| installation.may_in(Permission::OrganizationView, standing))
        .ok_or_else(|| Problem::not_found("organization"))?;
    if !installation.may_in(permission, &standing) {
        return Err(organization_denied(state, permission, id).await);
    }
    Ok(standing)
}
