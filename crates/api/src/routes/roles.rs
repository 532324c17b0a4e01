//! Who may do what on a payer: its role holders, kept by its owners.

use crate::caller::{Caller, Installation, denied};
use crate::extract::Body;
use crate::problem::Problem;
use crate::routes::refusals::whom_to_ask;
use crate::routes::schema;
use crate::routes::writes::{Act, By, Fault, write};
use crate::state::{State, store_problem};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, put};
use kernel::{Email, Permission, SubscriptionId, SubscriptionRole, TextError, UserId};
use marketplace::Scope;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::subscriptions::{Holder, SubscriptionRow};
use store::{StoreError, Tx, people, subscriptions};
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(put_role).service(remove_role);
}

/// A person with a role on a subscription.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RoleHolder {
    /// The person's id.
    #[schema(value_type = String)]
    user: UserId,
    name: String,
    email: String,
    /// `owner`, `contributor`, `billing_manager` or `reader`.
    #[schema(value_type = String)]
    role: SubscriptionRole,
}

impl From<Holder<SubscriptionRole>> for RoleHolder {
    fn from(holder: Holder<SubscriptionRole>) -> Self {
        let Holder { user, name, email, role } = holder;
        Self { user, name, email, role }
    }
}

/// A payer that the caller may know of, the caller's role on it and in the installation.
pub struct Seen {
    /// The payer.
    pub row: SubscriptionRow,
    /// The caller's role on it.
    pub role: Option<SubscriptionRole>,
    /// The caller's role in the installation.
    pub installation: Installation,
}

impl Seen {
    /// The payer that a path names.
    ///
    /// # Errors
    /// `not-found` where the caller may not know of it.
    pub async fn find(state: &State, caller: &Caller, id: &str) -> Result<Self, Problem> {
        let missing = || Problem::not_found("subscription");
        let installation = caller.standing(state).await?;
        let id: SubscriptionId = id.parse().map_err(|_| missing())?;
        let found = subscriptions::find(&state.db, id, installation.user).await.map_err(store_problem)?;
        found
            .filter(|(_, role)| installation.may_with(Permission::SubscriptionView, None, *role))
            .map(|(row, role)| Self { row, role, installation })
            .ok_or_else(missing)
    }

    /// The payer, if the caller may do this on it.
    ///
    /// # Errors
    /// `permission-denied`, with whom to ask.
    pub async fn need(self, state: &State, permission: Permission) -> Result<Self, Problem> {
        if self.installation.may_with(permission, None, self.role) {
            return Ok(self);
        }
        Err(denied(permission, whom_to_ask(state, Scope::Subscription(self.row.id)).await?))
    }
}

/// Body of a role.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RoleBody {
    /// `owner`, `contributor`, `billing_manager` or `reader`.
    #[schema(value_type = String, pattern = "^(owner|contributor|billing_manager|reader)$", example = "reader")]
    role: SubscriptionRole,
}

/// Gives a person a role on a subscription, instead of the one held.
///
/// The last owner cannot take another role. The same role again changes nothing.
#[utoipa::path(tag = "subscriptions", params(("id" = String, Path, description = "sub_…"), ("email" = String, Path, description = "The person's address", example = "mia@fabrikam.example")), request_body = RoleBody, responses(
    (status = 200, description = "The person had a role", body = RoleHolder),
    (status = 201, description = "The person is a new role holder", body = RoleHolder),
    (status = 400, description = "Not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription or person", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field or the address cannot be taken, or the subscription would be without owner", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[put("/v1/subscriptions/{id}/roles/{email}")]
async fn put_role(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
    body: Body<RoleBody>,
) -> Result<HttpResponse, Problem> {
    let (id, email) = path.as_ref();
    let seen = Seen::find(&state, &caller, id).await?.need(&state, Permission::RolesManage).await?;
    let email: Email = email.parse().map_err(|fault: TextError| Problem::invalid("/email", fault.to_string()))?;
    let by = By::of(&caller, &request);
    let (holder, new) =
        write(&state, "put-role", &by, async |tx, act| set_role(tx, act, seen.row.id, &email, body.0.role).await)
            .await?;
    let mut answer = if new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(holder))
}

/// The role holder as they are then, and whether they are new.
///
/// # Errors
/// `not-found` for a person who is not known here, `invalid-request` for the last owner; the store's.
pub async fn set_role(
    tx: &Tx,
    act: &mut Act<'_>,
    id: SubscriptionId,
    email: &Email,
    role: SubscriptionRole,
) -> Result<(RoleHolder, bool), Fault> {
    subscriptions::hold(tx, id).await?;
    let person = people::by_email(tx, email).await?.ok_or_else(|| Problem::not_found("person"))?;
    let before = role_of(tx, id, person.id).await?;
    if before != Some(role) {
        if before == Some(SubscriptionRole::Owner) && is_last_owner(tx, id).await? {
            let detail = "this is the last owner; make another person an owner first";
            return Err(Problem::invalid("/role", detail).into());
        }
        subscriptions::set_role(tx, id, person.id, role).await?;
        let public = json!({"subscription": id, "user": person.id, "before": before, "after": role});
        act.event("subscription.role_set", None, &public, json!({}));
    }
    let holder = RoleHolder { user: person.id, name: person.name, email: person.email, role };
    Ok((holder, before.is_none()))
}

/// Takes a person's role on a subscription away; the last owner keeps it.
#[utoipa::path(tag = "subscriptions", params(("id" = String, Path, description = "sub_…"), ("email" = String, Path, description = "The person's address", example = "mia@fabrikam.example")), responses(
    (status = 204, description = "The person has no role any more"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription or role holder", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "The person is the last owner", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[delete("/v1/subscriptions/{id}/roles/{email}")]
async fn remove_role(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (id, email) = path.as_ref();
    let seen = Seen::find(&state, &caller, id).await?.need(&state, Permission::RolesManage).await?;
    let email: Email = email.parse().map_err(|_| Problem::not_found("role holder"))?;
    let by = By::of(&caller, &request);
    write(&state, "remove-role", &by, async |tx, act| take_role(tx, act, seen.row.id, &email).await).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Takes a role away.
///
/// # Errors
/// `not-found` for who has none, `invalid-request` for the last owner; the store's.
pub async fn take_role(tx: &Tx, act: &mut Act<'_>, id: SubscriptionId, email: &Email) -> Result<(), Fault> {
    subscriptions::hold(tx, id).await?;
    let missing = || Problem::not_found("role holder");
    let user = people::by_email(tx, email).await?.ok_or_else(missing)?.id;
    let before = role_of(tx, id, user).await?.ok_or_else(missing)?;
    if before == SubscriptionRole::Owner && is_last_owner(tx, id).await? {
        let detail = "The last owner of a subscription cannot be removed; make another person an owner first.";
        return Err(Problem::invalid("", detail).into());
    }
    subscriptions::remove_role(tx, id, user).await?;
    let public = json!({"subscription": id, "user": user, "before": before, "after": null});
    act.event("subscription.role_removed", None, &public, json!({}));
    Ok(())
}

async fn role_of(tx: &Tx, id: SubscriptionId, user: UserId) -> Result<Option<SubscriptionRole>, StoreError> {
    Ok(subscriptions::find(tx, id, Some(user)).await?.and_then(|(_, role)| role))
}

/// Whether a payer has one owner, or none.
async fn is_last_owner(tx: &Tx, id: SubscriptionId) -> Result<bool, StoreError> {
    Ok(subscriptions::count_holders(tx, id, SubscriptionRole::Owner).await? <= 1)
}
