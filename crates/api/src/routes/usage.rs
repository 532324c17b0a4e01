//! `POST /v1/usage`: metered use, as the platform reports it.

use crate::caller::Caller;
use crate::extract::Body;
use crate::problem::Problem;
use crate::routes::schema;
use crate::routes::writes::{Act, By, Fault, Keyed, write};
use crate::state::{State, store_problem};
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, post};
use kernel::{OrganizationId, Permission, Timestamp, UsageId, parse_rfc3339, rfc3339};
use marketplace::catalogue::Catalogue;
use marketplace::usage::{self, MOST, Reported, Tally, UsageFault};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;
use std::collections::HashMap;
use store::Tx;
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(report);
}

/// A usage event.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct UsageEvent {
    /// Its own id, for good: however often it is sent, it counts once.
    #[schema(value_type = String, min_length = 1, max_length = 255, example = "run-8571/4")]
    id: UsageId,
    /// The organization that used it, by id or slug.
    #[schema(example = "fabrikam")]
    organization: String,
    /// The metered offer, by id or slug.
    #[schema(example = "ms.load-testing")]
    offer: String,
    /// Units; fewer than 1 are refused with `bad_quantity`, by themselves.
    #[schema(example = 250)]
    quantity: i64,
    /// When it was used: at most 35 days ago, and at most 5 minutes ahead.
    #[serde(deserialize_with = "instant", serialize_with = "written")]
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    parse_rfc3339(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

fn written<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*at))
}

/// What became of the usage events.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct UsageAnswer {
    /// Counted now.
    accepted: usize,
    /// Counted before.
    repeated: usize,
    /// Not counted.
    refused: Vec<RefusedUsage>,
}

/// A usage event that is not counted.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct RefusedUsage {
    /// Its id.
    #[schema(value_type = String)]
    id: UsageId,
    /// `id_reused` (counted before with other content), `bad_quantity`, `in_the_future`, `too_old`,
    /// `unknown_organization`, `unknown_offer`, `not_metered`, `not_switched_on`, `past_due` or `disabled` (the payer
    /// cannot pay), or `over_cap`.
    #[schema(value_type = String)]
    code: UsageFault,
}

impl From<Tally> for UsageAnswer {
    fn from(Tally { accepted, repeated, refused }: Tally) -> Self {
        let refused = refused.into_iter().map(|(id, code)| RefusedUsage { id, code }).collect();
        Self { accepted, repeated, refused }
    }
}

/// Reports metered use, up to 1,000 usage events at a time.
///
/// Each is counted once for good, by its own id, or refused whole: one that would go past the cap does, and a smaller one
/// behind it may still fit. Send a report again that had no answer: what was counted is repeated.
#[utoipa::path(tag = "using", request_body = Vec<UsageEvent>,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters", min_length = 1, max_length = 255)),
    responses(
    (status = 200, description = "What became of each", body = UsageAnswer),
    (status = 400, description = "Not JSON, or the key is none", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "No service key", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "For service keys only", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be taken, or the key was used for another body; nothing was counted", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[post("/v1/usage")]
async fn report(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    body: Body<Vec<UsageEvent>>,
) -> Result<HttpResponse, Problem> {
    caller.standing(&state).await?.need(Permission::UsageReport)?;
    if body.0.len() > MOST {
        return Err(Problem::invalid(
            "",
            format!("holds {} usage events; send at most {MOST} at a time", body.0.len()),
        ));
    }
    let keyed = Keyed::of(&caller, "POST /v1/usage", &request, &body.0)?;
    if let Some(earlier) = keyed.earlier(&state.db).await? {
        return Ok(earlier);
    }
    let (reported, catalogue) = (resolved(&state, body.0).await?, state.catalogue().await?);
    let by = By::of(&caller, &request);
    write(&state, "count-usage", &by, async |tx, act| count(tx, act, &catalogue, &reported, &keyed).await).await
}

/// The events with their organizations, each name looked up once.
async fn resolved(state: &State, events: Vec<UsageEvent>) -> Result<Vec<Reported>, Problem> {
    let mut organizations: HashMap<String, Option<OrganizationId>> = HashMap::new();
    let mut reported = Vec::with_capacity(events.len());
    for UsageEvent { id, organization: named, offer, quantity, at } in events {
        let organization = match organizations.get(&named) {
            Some(known) => *known,
            None => {
                let found = state.allowances.resolve(&state.db, &named).await.map_err(store_problem)?;
                organizations.insert(named, found);
                found
            }
        };
        reported.push(Reported { id, organization, offer, quantity, at });
    }
    Ok(reported)
}

async fn count(
    tx: &Tx,
    act: &mut Act<'_>,
    catalogue: &Catalogue,
    reported: &[Reported],
    keyed: &Keyed,
) -> Result<HttpResponse, Fault> {
    if let Some(earlier) = keyed.earlier(tx).await? {
        return Ok(earlier);
    }
    let done = usage::count(tx, catalogue, reported, (act.at, || act.id())).await?;
    act.at = done.at;
    let something = done.tally.accepted > 0;
    for (organization, told) in &done.told {
        let told = serde_json::to_value(told).map_err(Problem::internal)?;
        act.event("usage.counted", Some(*organization), &told, json!({}));
    }
    let answer = UsageAnswer::from(done.tally);
    // A report that changed nothing leaves its key free.
    if something {
        keyed.answer(tx, StatusCode::OK, &answer, act.at).await
    } else {
        Ok(HttpResponse::Ok().json(answer))
    }
}
