//! Payers as their role holders see and keep them: making one, its data for the bill, who may do what on it.

use crate::caller::{Caller, Installation};
use crate::extract::{Body, Query};
use crate::problem::Problem;
use crate::routes::paging::{self, Page};
use crate::routes::roles::{RoleHolder, Seen};
use crate::routes::writes::{Act, By, Fault, Keyed, write};
use crate::routes::{roles, schema, tax};
use crate::state::{State, store_problem};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, patch, post};
use billing::new_subscription::{NewSubscriptionFault, name_fault};
use billing::{NewSubscription, PaymentMethods, Profile};
use kernel::{Currency, Email, Name, OrganizationId, Permission, SubscriptionId, SubscriptionRole, UserId, rfc3339};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use store::subscriptions::SubscriptionRow;
use store::{StoreError, Tx, subscriptions};
use utoipa_actix_web::service_config::ServiceConfig;

/// Most organizations that are shown with a payer.
const ORGANIZATIONS: i64 = 100;
/// Most role holders that are shown with a payer.
const HOLDERS: i64 = 1_000;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list).service(create).service(show).service(change);
    roles::routes(config);
}

/// How a subscription pays.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PaymentView {
    /// `invoice` or `card`.
    method: String,
}

/// A subscription: who is charged.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Subscription {
    /// Its id.
    #[schema(value_type = String)]
    pub id: SubscriptionId,
    /// Its name for people.
    name: String,
    /// `pay_as_you_go`, `enterprise_agreement`, `cloud_solution_provider`, `subscriber_benefit`, `free_trial` or
    /// `sponsorship`.
    kind: String,
    /// `active`, `warned`, `past_due`, `disabled` or `deleted`.
    status: String,
    /// Where the payer is, ISO 3166.
    country: String,
    /// Its one currency, ISO 4217.
    #[schema(value_type = String)]
    currency: Currency,
    payment: PaymentView,
    /// Whether a spending limit is on, which keeps some kinds from paying.
    spending_limit: bool,
    /// Whether an agreement allows partners' offers.
    marketplace_enabled: bool,
    #[schema(format = DateTime)]
    created_at: String,
    /// The caller's role on it: `owner`, `contributor`, `billing_manager`, `reader`; null for who has none.
    #[schema(value_type = Option<String>, required)]
    role: Option<SubscriptionRole>,
}

impl From<(SubscriptionRow, Option<SubscriptionRole>)> for Subscription {
    fn from((row, role): (SubscriptionRow, Option<SubscriptionRole>)) -> Self {
        Self {
            id: row.id,
            name: row.name,
            kind: row.kind,
            status: row.status,
            country: row.country.to_string(),
            currency: row.currency,
            payment: PaymentView { method: row.payment_method },
            spending_limit: row.spending_limit,
            marketplace_enabled: row.marketplace_enabled,
            created_at: rfc3339(row.created_at),
            role,
        }
    }
}

/// A page of subscriptions.
#[derive(Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "names the shape for the OpenAPI document")]
struct Subscriptions {
    data: Vec<Subscription>,
    #[schema(required)]
    next: Option<String>,
}

/// An organization that is billed to a subscription.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct BilledOrganization {
    #[schema(value_type = String)]
    id: OrganizationId,
    slug: String,
    name: String,
}

/// A subscription with its people, its organizations and its data for the bill.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SubscriptionDetail {
    #[serde(flatten)]
    subscription: Subscription,
    /// Who may do what on it, by name; the first 1,000.
    roles: Vec<RoleHolder>,
    /// The organizations billed to it; the first 100.
    organizations: Vec<BilledOrganization>,
    /// Tax number; like the following null where there is none, or the caller may not see invoices.
    #[schema(required)]
    tax_id: Option<String>,
    /// Where bills go.
    #[schema(value_type = Option<String>, required)]
    email: Option<Email>,
    /// Postal address, lines apart by newlines.
    #[schema(required)]
    address: Option<String>,
    /// The payer's own reference, for the bill.
    #[schema(required)]
    purchase_order: Option<String>,
}

fn profile(row: &SubscriptionRow) -> Result<Profile, StoreError> {
    serde_json::from_str(&row.profile).map_err(|e| StoreError::corrupt(format!("profile of {}: {e}", row.id)))
}

async fn detail(
    state: &State,
    row: SubscriptionRow,
    role: Option<SubscriptionRole>,
    installation: &Installation,
) -> Result<SubscriptionDetail, Problem> {
    let may = |permission| installation.may_with(permission, None, role);
    let shown = may(Permission::SubscriptionManage) || may(Permission::InvoiceView);
    let Profile { tax_id, email, address, purchase_order } =
        if shown { profile(&row).map_err(store_problem)? } else { Profile::default() };
    let holders = subscriptions::holders(&state.db, row.id, HOLDERS).await.map_err(store_problem)?;
    let billed = subscriptions::billed_to(&state.db, row.id, None, ORGANIZATIONS).await.map_err(store_problem)?;
    let organizations = billed.into_iter().map(|(id, slug, name)| BilledOrganization { id, slug, name }).collect();
    let roles = holders.into_iter().map(RoleHolder::from).collect();
    let subscription = (row, role).into();
    Ok(SubscriptionDetail { subscription, roles, organizations, tax_id, email, address, purchase_order })
}

/// The query of a list that is searched.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SubscriptionQuery {
    /// Part of the name, whatever the case.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Rows of the page, 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// `next` of the page before.
    after: Option<String>,
}

/// The subscriptions that the caller has a role on; operators see all.
#[utoipa::path(tag = "subscriptions", params(SubscriptionQuery), responses(
    (status = 200, description = "A page of subscriptions", body = Subscriptions),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not for service keys", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/subscriptions")]
async fn list(state: Data<State>, caller: Caller, query: Query<SubscriptionQuery>) -> Result<HttpResponse, Problem> {
    let user = caller.person(Permission::SubscriptionView)?.id;
    let SubscriptionQuery { q, limit, after } = query.0;
    let (limit, after, q) = (paging::limit(limit)?, paging::after(after.as_deref())?, paging::search(q)?);
    let more = limit.saturating_add(1);
    let rows = if caller.standing(&state).await?.may(Permission::SubscriptionView) {
        subscriptions::every(&state.db, user, &q, after, more).await
    } else {
        subscriptions::visible(&state.db, Some(user), &q, after, more).await
    };
    let cursor = |(row, _): &(SubscriptionRow, Option<SubscriptionRole>)| row.id.to_string();
    Ok(HttpResponse::Ok().json(Page::of(rows.map_err(store_problem)?, limit, cursor, Subscription::from)))
}

/// Creates a subscription of one's own.
///
/// Anyone signed in may, and becomes its owner. With an `Idempotency-Key` the same key and body give the same answer
/// for good.
#[utoipa::path(tag = "subscriptions", request_body = schema::NewSubscription,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters", min_length = 1, max_length = 255)),
    responses(
    (status = 201, description = "Created", body = Subscription),
    (status = 400, description = "Not JSON, or the key is none", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 402, description = "The card was declined", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not for service keys", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken, or the key was used for another body", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again with the same key", body = schema::Problem, content_type = "application/problem+json"),
))]
#[post("/v1/subscriptions")]
async fn create(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    body: Body<NewSubscription>,
) -> Result<HttpResponse, Problem> {
    let person = caller.person(Permission::SubscriptionCreate)?;
    caller.standing(&state).await?.need(Permission::SubscriptionCreate)?;
    let keyed = Keyed::of(&caller, "POST /v1/subscriptions", &request, &body.0)?;
    if let Some(earlier) = keyed.earlier(&state.db).await? {
        return Ok(earlier);
    }
    check(&body.0, state.policy.methods)?;
    let by = By::of(&caller, &request);
    write(&state, "create-subscription", &by, async |tx, act| {
        if let Some(earlier) = keyed.earlier(tx).await? {
            return Ok(earlier);
        }
        let made = make(tx, act, person.id, &body.0).await?;
        keyed.answer(tx, StatusCode::CREATED, &made, act.at).await
    })
    .await
}

fn check(data: &NewSubscription, methods: PaymentMethods) -> Result<(), Problem> {
    data.check(methods).map_err(|fault| payment_fault(fault, "no subscription was created"))
}

/// What a client is told of a payer or card that cannot be taken, and what that means for what was asked.
pub fn payment_fault(fault: NewSubscriptionFault, so: &str) -> Problem {
    match fault {
        NewSubscriptionFault::Field(field, why) => Problem::invalid(format!("/{field}"), why),
        NewSubscriptionFault::Declined(reason) => {
            Problem::payment_declined(reason, None).with_detail(format!("The card was declined; {so}."))
        }
    }
}

/// Makes a payer that `owner` owns.
///
/// # Errors
/// The store's.
pub async fn make(
    tx: &Tx,
    act: &mut Act<'_>,
    owner: UserId,
    data: &NewSubscription,
) -> Result<Subscription, StoreError> {
    let row = data.row(act.id(), act.at);
    let role = SubscriptionRole::Owner;
    subscriptions::insert(tx, &row, "", &owner.to_string()).await?;
    subscriptions::set_role(tx, row.id, owner, role).await?;
    let public = json!({
        "subscription": row.id, "owner": owner, "kind": row.kind, "status": row.status, "country": row.country,
        "currency": row.currency, "payment_method": row.payment_method, "spending_limit": row.spending_limit,
        "marketplace_enabled": row.marketplace_enabled,
    });
    act.event("subscription.created", None, &public, json!({"name": row.name, "profile": data.profile()}));
    Ok((row, Some(role)).into())
}

/// One subscription, with its people, its organizations and its data for the bill.
#[utoipa::path(tag = "subscriptions", params(("id" = String, Path, description = "sub_…")), responses(
    (status = 200, description = "The subscription", body = SubscriptionDetail),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/subscriptions/{id}")]
async fn show(state: Data<State>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let Seen { row, role, installation } = Seen::find(&state, &caller, &id).await?;
    Ok(HttpResponse::Ok().json(detail(&state, row, role, &installation).await?))
}

/// What is left out stays; null clears.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SubscriptionPatch {
    /// Its name for people, 1 to 200 characters.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 200)]
    name: Option<Name>,
    /// Tax number.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, required = false)]
    tax_id: Option<Option<String>>,
    /// Where bills go.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, required = false)]
    email: Option<Option<Email>>,
    /// Postal address, lines apart by newlines.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, required = false)]
    address: Option<Option<String>>,
    /// The payer's own reference, for the bill.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, required = false)]
    purchase_order: Option<Option<String>>,
}

/// A field that is there, `null` among its values or not.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl SubscriptionPatch {
    /// What the payer's name and profile are then.
    fn applied(&self, row: &SubscriptionRow, old: &Profile) -> Result<(String, Profile), Problem> {
        let new = Profile {
            tax_id: self.tax_id.as_ref().unwrap_or(&old.tax_id).clone(),
            email: self.email.as_ref().unwrap_or(&old.email).clone(),
            address: self.address.as_ref().unwrap_or(&old.address).clone(),
            purchase_order: self.purchase_order.as_ref().unwrap_or(&old.purchase_order).clone(),
        };
        if let Some((field, why)) = new.fault() {
            return Err(Problem::invalid(format!("/{field}"), why));
        }
        // One from before numbers were checked stays until it is changed.
        if let Some(why) = new.tax_fault(row.country).filter(|_| new.tax_id != old.tax_id) {
            return Err(Problem::invalid("/tax_id", why));
        }
        if let Some(why) = self.name.as_ref().and_then(name_fault) {
            return Err(Problem::invalid("/name", why));
        }
        Ok((self.name.as_ref().map_or(row.name.as_str(), Name::as_str).to_owned(), new.written(row.country)))
    }
}

/// Changes a subscription's name and data for the bill.
#[utoipa::path(tag = "subscriptions", params(("id" = String, Path, description = "sub_…")), request_body = SubscriptionPatch, responses(
    (status = 200, description = "The subscription as it is then", body = SubscriptionDetail),
    (status = 400, description = "Not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[patch("/v1/subscriptions/{id}")]
async fn change(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    body: Body<SubscriptionPatch>,
) -> Result<HttpResponse, Problem> {
    let seen = Seen::find(&state, &caller, &id).await?.need(&state, Permission::SubscriptionManage).await?;
    let Seen { row, role, installation } = seen;
    let by = By::of(&caller, &request);
    let row =
        write(&state, "change-subscription", &by, async |tx, act| restate(tx, act, row.id, &body.0).await).await?;
    Ok(HttpResponse::Ok().json(detail(&state, row, role, &installation).await?))
}

/// The payer as it is then.
async fn restate(
    tx: &Tx,
    act: &mut Act<'_>,
    id: SubscriptionId,
    patch: &SubscriptionPatch,
) -> Result<SubscriptionRow, Fault> {
    subscriptions::hold(tx, id).await?;
    let found = subscriptions::find(tx, id, None).await?;
    let (mut row, _) = found.ok_or_else(|| Problem::not_found("subscription"))?;
    let old = profile(&row)?;
    let (name, new) = patch.applied(&row, &old)?;
    let (before, after) = differences((&row.name, &old), (&name, &new));
    if after.is_empty() {
        return Ok(row);
    }
    row.profile = serde_json::to_string(&new).map_err(Problem::internal)?;
    row.name = name;
    subscriptions::update(tx, id, &row.name, &row.profile).await?;
    // What was confirmed was the number that it had.
    if new.tax_id != old.tax_id {
        row.tax_confirmed = false;
        tax::lose(tx, act, id).await?;
    }
    let changed: Vec<&str> = after.keys().map(String::as_str).collect();
    let public = json!({"subscription": id, "changed": changed});
    act.event("subscription.changed", None, &public, json!({"before": before, "after": after}));
    Ok(row)
}

/// The fields that differ, as they were and as they are.
fn differences(old: (&str, &Profile), new: (&str, &Profile)) -> (Map<String, Value>, Map<String, Value>) {
    let fields = |(name, profile): (&str, &Profile)| {
        let Profile { tax_id, email, address, purchase_order } = profile;
        [
            ("name", json!(name)),
            ("tax_id", json!(tax_id)),
            ("email", json!(email)),
            ("address", json!(address)),
            ("purchase_order", json!(purchase_order)),
        ]
    };
    let (mut before, mut after) = (Map::new(), Map::new());
    for ((field, was), (_, is)) in fields(old).into_iter().zip(fields(new)) {
        if was != is {
            before.insert(field.to_owned(), was);
            after.insert(field.to_owned(), is);
        }
    }
    (before, after)
}
