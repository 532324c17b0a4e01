//! Hosted checkout: the platform opens one and sends the person to its address; what is bought there is the person's act.

use crate::app::real_now;
use crate::caller::Caller;
use crate::config::is_web_address;
use crate::extract::Body;
use crate::pages::checkout::{Draft, new_row};
use crate::problem::Problem;
use crate::routes::schema;
use crate::routes::writes::{By, Keyed, write};
use crate::state::{State, field_problem, store_problem};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, post};
use kernel::{CheckoutId, OrganizationId, Permission, PurchaseId};
use marketplace::order::{ItemRequest, Order};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::checkouts::{self, CheckoutRow};
use utoipa_actix_web::service_config::ServiceConfig;

/// Longest address to go on to, in bytes.
const LONGEST: usize = 2_000;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(open).service(show);
}

/// Body of a hosted checkout.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CheckoutRequest {
    /// The organization, by id or slug; the person chooses where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, example = "fabrikam")]
    organization: Option<String>,
    /// What is proposed; the person may change the quantities.
    #[schema(value_type = Vec<schema::ItemRequest>, min_items = 1, max_items = 50)]
    items: Vec<ItemRequest>,
    /// Where the receipt leads the person on to.
    #[schema(max_length = 2000, example = "https://forge.example/bought")]
    success_url: String,
    /// Where the person goes who gives up.
    #[schema(max_length = 2000, example = "https://forge.example/back")]
    cancel_url: String,
}

/// A hosted checkout.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct HostedCheckout {
    /// Its id.
    #[schema(value_type = String)]
    id: CheckoutId,
    /// Where to send the person.
    url: String,
    /// `open` or `completed`; a checkout is kept for seven days.
    state: &'static str,
    /// What was bought, where it is completed.
    #[schema(value_type = Option<String>, required)]
    purchase: Option<PurchaseId>,
}

impl CheckoutRequest {
    /// What cannot be taken, whatever is sold.
    fn check(&self) -> Result<(), Problem> {
        for (field, url) in [("success_url", &self.success_url), ("cancel_url", &self.cancel_url)] {
            if url.len() > LONGEST || !is_web_address(url) {
                let detail =
                    format!("must be an address that begins with http:// or https://, at most {LONGEST} bytes");
                return Err(Problem::invalid(format!("/{field}"), detail));
            }
        }
        let nobody = OrganizationId::from_uuid(uuid::Uuid::nil());
        Order::parse(nobody, self.items.clone(), None, None).map_err(field_problem)?;
        if let Some(place) = self.items.iter().position(|item| item.from.is_some()) {
            let detail = "is what a person saw, and so not for a checkout that nobody has looked at";
            return Err(Problem::invalid(format!("/items/{place}/from"), detail));
        }
        Ok(())
    }
}

/// How people reach the server: as configured, else as the platform did.
fn address(state: &State, request: &HttpRequest, id: CheckoutId) -> String {
    let info = request.connection_info();
    let url = match state.config.server.public_url.trim_end_matches('/') {
        "" => format!("http://{}", info.host()),
        url => url.to_owned(),
    };
    format!("{url}/checkout/{id}")
}

/// Opens a checkout for a person whom the platform sends to its `url`.
///
/// The person signs in, chooses who pays and buys, under their own rights; until then nothing comes into being. The
/// receipt leads on to `success_url`.
#[utoipa::path(tag = "buying", request_body = CheckoutRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters", min_length = 1, max_length = 255)),
    responses(
    (status = 201, description = "Opened", body = HostedCheckout),
    (status = 400, description = "Not JSON, or the key is none", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "No service key", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "For service keys only", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization or offer", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken, or the key was used for another body", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again with the same key", body = schema::Problem, content_type = "application/problem+json"),
))]
#[post("/v1/checkouts")]
async fn open(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    body: Body<CheckoutRequest>,
) -> Result<HttpResponse, Problem> {
    caller.standing(&state).await?.need(Permission::CheckoutCreate)?;
    let keyed = Keyed::of(&caller, "POST /v1/checkouts", &request, &body.0)?;
    if let Some(earlier) = keyed.earlier(&state.db).await? {
        return Ok(earlier);
    }
    body.0.check()?;
    let row = row(&state, &body.0).await?;
    let opened = HostedCheckout { id: row.id, url: address(&state, &request, row.id), state: "open", purchase: None };
    let by = By::of(&caller, &request);
    write(&state, "open-checkout", &by, async |tx, act| {
        if let Some(earlier) = keyed.earlier(tx).await? {
            return Ok(earlier);
        }
        checkouts::sweep(tx, real_now()).await?;
        checkouts::insert(tx, &row, real_now()).await?;
        act.event("checkout.opened", None, &json!({ "checkout": row.id }), json!({}));
        keyed.answer(tx, StatusCode::CREATED, &opened, act.at).await
    })
    .await
}

/// The checkout, for an organization and offers that are there.
async fn row(state: &State, body: &CheckoutRequest) -> Result<CheckoutRow, Problem> {
    let organization = match &body.organization {
        None => None,
        Some(named) => {
            let id = state.organization(named).await?;
            let found = store::organizations::find(&state.db, id, None).await.map_err(store_problem)?;
            Some(found.ok_or_else(|| Problem::not_found("organization"))?.organization.id)
        }
    };
    let catalogue = state.catalogue().await?;
    let mut items = body.items.clone();
    for item in &mut items {
        let offer = catalogue.resolve(&item.offer).ok_or_else(|| Problem::not_found("offer"))?;
        item.offer = offer.slug.to_string();
    }
    let draft = Draft { organization, items, billing: None, counted: true };
    new_row(state, None, &draft, (&body.success_url, &body.cancel_url))
}

/// A checkout, and whether it was completed.
#[utoipa::path(tag = "buying", params(("id" = String, Path, description = "chk_…")), responses(
    (status = 200, description = "The checkout", body = HostedCheckout),
    (status = 401, description = "No service key", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "For service keys only", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such checkout, or no longer kept", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/checkouts/{id}")]
async fn show(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    caller.standing(&state).await?.need(Permission::CheckoutCreate)?;
    let missing = || Problem::not_found("checkout");
    let id: CheckoutId = id.parse().map_err(|_| missing())?;
    let row = checkouts::find(&state.db, id, real_now()).await.map_err(store_problem)?.ok_or_else(missing)?;
    let key = id.to_string().parse().map_err(Problem::internal)?;
    let bought = match row.user {
        Some(user) => store::purchases::by_key(&state.db, user, &key).await.map_err(store_problem)?,
        None => None,
    };
    // One that waits for its payment may still be released.
    let word = if bought.as_ref().is_some_and(|row| row.state != "pending") { "completed" } else { "open" };
    let purchase = bought.map(|row| row.id);
    Ok(HttpResponse::Ok().json(HostedCheckout { id, url: address(&state, &request, id), state: word, purchase }))
}
