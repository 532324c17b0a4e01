//! The catalogue as people see it.

use crate::caller::Caller;
use crate::extract::Query;
use crate::problem::Problem;
use crate::routes::paging::{self, Page};
use crate::routes::schema;
use crate::state::State;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get};
use kernel::Slug;
use marketplace::catalogue::{OfferKind, OfferState, OfferView};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list).service(show);
}

/// A range of paid units: from the band before, exclusive, to `up_to`, inclusive.
#[derive(Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "names the shape for the OpenAPI document")]
struct Band {
    /// The last paid unit of the band; the last band has none.
    #[schema(required = false, nullable = false)]
    up_to: Option<i64>,
    /// The price of a unit, a decimal.
    #[schema(required = false, nullable = false, example = "6.00")]
    unit: Option<String>,
    /// A fee for the band as a whole, a decimal.
    #[schema(required = false, nullable = false)]
    flat: Option<String>,
}

/// A version of a price.
#[derive(Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "names the shape for the OpenAPI document")]
struct Price {
    /// Its number, as quotes and charges name it.
    price_version: i64,
    /// The first day it is in force; null for the beginning of time.
    #[schema(format = Date, required)]
    from: Option<String>,
    /// `flat`, `per_unit`, `graduated`, `volume` or `package`.
    model: String,
    /// Bands, lowest first; they count paid units, after the included ones.
    #[schema(required = false)]
    bands: Vec<Band>,
    /// Units in a block of a package.
    #[schema(required = false, nullable = false)]
    size: Option<i64>,
    /// The price of a unit, or of a block of a package, a decimal.
    #[schema(required = false, nullable = false)]
    unit: Option<String>,
    /// The price of it all, a decimal.
    #[schema(required = false, nullable = false)]
    flat: Option<String>,
}

/// An offer, in the names of the catalogue file.
#[derive(Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "names the shape for the OpenAPI document")]
struct Offer {
    id: String,
    /// Its name in addresses.
    slug: String,
    name: String,
    summary: String,
    /// Who sells it, by slug.
    publisher: String,
    /// `users`, `pipelines`, `extension` or `load_testing`.
    kind: String,
    /// What one of it is called.
    unit: String,
    /// `listed`, `preview` or `retired`.
    state: String,
    /// Units that every organization has free.
    included: i64,
    /// Fewest paid units.
    minimum: i64,
    /// Most paid units.
    maximum: i64,
    /// How much of a month is charged for what is bought within it.
    proration: String,
    /// Days of trial; 0 for none.
    trial_days: i64,
    /// Whether paid units replace the included ones instead of adding to them.
    first_paid_replaces_included: bool,
    /// Whether the publisher bills it.
    bring_your_own_license: bool,
    /// `on_invoice` or `at_purchase`.
    collection: String,
    /// Where payers may be: country codes, or `*` alone for everywhere.
    countries: Vec<String>,
    /// The price in force, by currency; empty for a free offer.
    prices: BTreeMap<String, Price>,
    /// Versions that come into force later, by currency, the next one first.
    upcoming: BTreeMap<String, Vec<Price>>,
}

/// A page of offers.
#[derive(Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "names the shape for the OpenAPI document")]
struct Offers {
    data: Vec<Offer>,
    #[schema(required)]
    next: Option<String>,
}

/// The query of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct OfferQuery {
    /// Only offers of this kind: `users`, `pipelines`, `extension` or `load_testing`.
    #[param(value_type = Option<String>, pattern = "^(users|pipelines|extension|load_testing)$")]
    kind: Option<OfferKind>,
    /// Part of the slug, name or summary, whatever the case.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Rows of the page, 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// `next` of the page before.
    after: Option<String>,
}

/// What is sold.
///
/// By slug, without what is hidden or retired. Anybody may look; without a token only so many times a minute.
#[utoipa::path(tag = "catalogue", params(OfferQuery), responses(
    (status = 200, description = "A page of offers", body = Offers),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "The token is not believed", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/offers")]
async fn list(state: Data<State>, _visitor: Caller, query: Query<OfferQuery>) -> Result<HttpResponse, Problem> {
    let OfferQuery { kind, q, limit, after } = query.0;
    let limit = usize::try_from(paging::limit(limit)?).unwrap_or(usize::MAX);
    let q = paging::search(q)?;
    let after = paging::after::<Slug>(after.as_deref())?;
    let catalogue = state.catalogue().await?;
    if after.as_ref().is_some_and(|slug| catalogue.by_slug(slug.as_str()).is_none()) {
        return Err(Problem::invalid("/after", "is not the next of a page of this list"));
    }
    let (offers, next) = catalogue.page(kind, &q, after.as_ref().map(Slug::as_str), limit);
    let today = state.now().date_naive();
    let data: Vec<OfferView> = offers.iter().map(|offer| OfferView::on(offer, today)).collect();
    Ok(HttpResponse::Ok().json(Page { data, next }))
}

/// One offer, by id or slug; a retired one too.
#[utoipa::path(tag = "catalogue", params(("offer" = String, Path, description = "Id or slug", example = "ms.feed")), responses(
    (status = 200, description = "The offer", body = Offer),
    (status = 401, description = "The token is not believed", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such offer", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/offers/{offer}")]
async fn show(state: Data<State>, _visitor: Caller, named: Path<String>) -> Result<HttpResponse, Problem> {
    let catalogue = state.catalogue().await?;
    let offer = catalogue
        .resolve(&named)
        .filter(|offer| offer.definition.state != OfferState::Hidden)
        .ok_or_else(|| Problem::not_found("offer"))?;
    Ok(HttpResponse::Ok().json(OfferView::on(offer, state.now().date_naive())))
}
