//! Confirmed VAT numbers: an operator has asked whose a number is, and keeps by what that is known. A business of another
//! member of the European Union than the seller's is then charged no tax, and owes it itself.

use crate::caller::Caller;
use crate::extract::Body;
use crate::problem::Problem;
use crate::routes::roles::Seen;
use crate::routes::schema;
use crate::routes::writes::{Act, By, Fault, write};
use crate::state::{State, store_problem};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, put};
use billing::{Profile, vat};
use kernel::{CountryCode, Permission, SubscriptionId, rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::tax::{self, ConfirmationRow};
use store::{StoreError, Tx, subscriptions};
use utoipa_actix_web::service_config::ServiceConfig;

/// Longest evidence, in characters.
const LONGEST: usize = 500;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(show).service(confirm).service(withdraw);
}

/// A VAT number that was confirmed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TaxConfirmation {
    /// Whose it is.
    #[schema(value_type = String)]
    pub subscription: SubscriptionId,
    /// The number.
    #[schema(example = "DE136695976")]
    pub tax_id: String,
    /// The payer's country.
    #[schema(value_type = String)]
    pub country: CountryCode,
    /// By what it is known, such as the consultation number of VIES.
    pub evidence: String,
    /// Who confirmed it, by id.
    pub confirmed_by: String,
    /// When.
    #[schema(format = DateTime)]
    pub confirmed_at: String,
}

impl From<ConfirmationRow> for TaxConfirmation {
    fn from(row: ConfirmationRow) -> Self {
        let ConfirmationRow { subscription, tax_id, country, by, at, evidence } = row;
        Self { subscription, tax_id, country, evidence, confirmed_by: by, confirmed_at: rfc3339(at) }
    }
}

/// Body of a confirmation.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirmed {
    /// The number that was asked about: the subscription must still have it.
    tax_id: String,
    /// By what it is known, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    evidence: String,
}

/// How a subscription's VAT number was confirmed.
#[utoipa::path(tag = "subscriptions", params(("id" = String, Path, description = "sub_…")), responses(
    (status = 200, description = "The confirmation", body = TaxConfirmation),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription, or its number is not confirmed", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/subscriptions/{id}/tax-confirmation")]
async fn show(state: Data<State>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let seen = Seen::find(&state, &caller, &id).await?.need(&state, Permission::InvoiceView).await?;
    let row = tax::find(&state.db, seen.row.id).await.map_err(store_problem)?;
    Ok(HttpResponse::Ok().json(TaxConfirmation::from(row.ok_or_else(|| Problem::not_found("confirmation"))?)))
}

/// Confirms a subscription's VAT number.
///
/// From then on it is charged by reverse charge where the sale crosses a border within the European Union. Another number
/// loses the confirmation. The same again changes nothing.
#[utoipa::path(tag = "subscriptions", params(("id" = String, Path, description = "sub_…")), request_body = Confirmed, responses(
    (status = 200, description = "The confirmation", body = TaxConfirmation),
    (status = 400, description = "Not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "It has another number, or one that is no VAT number of a member of the European Union", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[put("/v1/subscriptions/{id}/tax-confirmation")]
async fn confirm(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    body: Body<Confirmed>,
) -> Result<HttpResponse, Problem> {
    let seen = Seen::find(&state, &caller, &id).await?.need(&state, Permission::TaxConfirm).await?;
    let evidence = body.0.evidence.trim();
    if evidence.is_empty() || evidence.chars().count() > LONGEST || evidence.chars().any(char::is_control) {
        return Err(Problem::invalid("/evidence", format!("must be 1 to {LONGEST} characters on one line")));
    }
    let (by, who) = (By::of(&caller, &request), caller.actor().to_string());
    let row = write(&state, "confirm-tax", &by, async |tx, act| {
        keep(tx, act, seen.row.id, (&body.0.tax_id, evidence, &who)).await
    })
    .await?;
    Ok(HttpResponse::Ok().json(TaxConfirmation::from(row)))
}

/// Takes the confirmation of a subscription's VAT number away; where there is none, nothing changes.
#[utoipa::path(tag = "subscriptions", params(("id" = String, Path, description = "sub_…")), responses(
    (status = 204, description = "It is not confirmed"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such subscription", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[delete("/v1/subscriptions/{id}/tax-confirmation")]
async fn withdraw(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let seen = Seen::find(&state, &caller, &id).await?.need(&state, Permission::TaxConfirm).await?;
    let by = By::of(&caller, &request);
    write(&state, "withdraw-tax", &by, async |tx, act| {
        subscriptions::hold(tx, seen.row.id).await?;
        Ok(lose(tx, act, seen.row.id).await?)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn keep(
    tx: &Tx,
    act: &mut Act<'_>,
    id: SubscriptionId,
    (named, evidence, by): (&str, &str, &str),
) -> Result<ConfirmationRow, Fault> {
    // Held, so that no command is decided meanwhile.
    subscriptions::hold(tx, id).await?;
    let (row, _) = subscriptions::find(tx, id, None).await?.ok_or_else(|| Problem::not_found("subscription"))?;
    let profile: Profile = serde_json::from_str(&row.profile).map_err(StoreError::corrupt)?;
    let number = |text: &str| {
        let number = vat::checked(row.country, text).map_err(|fault| Problem::invalid("/tax_id", fault.to_string()))?;
        number.ok_or_else(|| Problem::invalid("/tax_id", "is confirmed of payers in the European Union alone"))
    };
    let tax_id = number(named)?;
    if profile.tax_id.as_deref().map(number).transpose()?.as_ref() != Some(&tax_id) {
        return Err(Problem::invalid("/tax_id", "is not the number that the subscription has").into());
    }
    let before = tax::find(tx, id).await?;
    if let Some(before) = before.filter(|before| before.tax_id == tax_id && before.evidence == evidence) {
        return Ok(before);
    }
    let (by, at, evidence) = (by.to_owned(), act.at, evidence.to_owned());
    let kept = ConfirmationRow { subscription: id, tax_id, country: row.country, by, at, evidence };
    tax::keep(tx, &kept).await?;
    let personal = json!({"tax_id": kept.tax_id, "evidence": kept.evidence});
    act.event("tax.confirmed", None, &json!({"subscription": id, "country": kept.country}), personal);
    Ok(kept)
}

/// A payer that is held loses its confirmation, if it has one.
///
/// # Errors
/// The store's.
pub async fn lose(tx: &Tx, act: &mut Act<'_>, id: SubscriptionId) -> Result<(), StoreError> {
    if tax::remove(tx, id).await? {
        act.event("tax.unconfirmed", None, &json!({"subscription": id}), json!({}));
    }
    Ok(())
}
