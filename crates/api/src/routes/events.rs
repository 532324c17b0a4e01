//! What happened, for the platform (the event feed), for people (the audit trail); and the test clock.

use crate::caller::{Caller, denied};
use crate::extract::{Body, Query};
use crate::months;
use crate::problem::Problem;
use crate::routes::paging::{self, Page, PageQuery};
use crate::routes::refusals::standing_in;
use crate::routes::schema;
use crate::routes::writes::{Act, By, Fault, Keyed, write};
use crate::state::{State, store_problem};
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get, post};
use chrono::Datelike;
use kernel::{EventId, OrganizationId, Permission, TextError, Timestamp, from_micros, micros, parse_rfc3339, rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;
use std::str::FromStr;
use store::audit::StoredEvent;
use store::{StoreError, Tx, audit, settings};
use utoipa_actix_web::service_config::ServiceConfig;

/// The test clock stays before this year: what falls due later must still have a date of four digits.
const LAST_YEAR: i32 = 9_900;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(feed).service(trail).service(clock);
}

/// A place in the feed: the number of a block and the place of an event in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor(i64, i64);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Cursor {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0);
        let cursor = text.split_once('.').and_then(|(block, place)| Some(Self(number(block)?, number(place)?)));
        cursor.filter(|cursor| cursor.to_string() == text).ok_or(TextError::new("must be a cursor such as 12.0"))
    }
}

/// Something that happened.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Event {
    #[schema(value_type = String)]
    id: EventId,
    /// Its place in the feed: `after` of what follows it.
    #[schema(example = "12.0")]
    cursor: String,
    /// What: `purchase.completed`, `member.set`, …
    kind: String,
    /// Whose, where it is one organization's.
    #[schema(value_type = Option<String>, required)]
    organization: Option<OrganizationId>,
    /// Who did it: a person, a service key, or `system`.
    actor: String,
    #[schema(format = DateTime)]
    at: String,
    /// The facts, people by id.
    #[schema(value_type = Object)]
    data: Value,
}

fn object(event: EventId, text: &str) -> Result<Value, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::corrupt(format!("event {event}: {e}")))
}

impl Event {
    fn of(event: StoredEvent) -> Result<Self, StoreError> {
        let data = object(event.id, &event.public)?;
        let StoredEvent { id, cursor: (number, place), kind, organization, actor, at, .. } = event;
        Ok(Self { id, cursor: Cursor(number, place).to_string(), kind, organization, actor, at: rfc3339(at), data })
    }
}

/// A page of the feed.
#[derive(Serialize, utoipa::ToSchema)]
struct Events {
    data: Vec<Event>,
    /// `after` of the next page; null where nothing has followed yet.
    #[schema(required)]
    next: Option<String>,
    /// `after` of whatever follows this page, also of what has yet to happen: who polls keeps this one.
    cursor: String,
}

/// The event feed: all that happened, in the order in which it is chained.
///
/// Nothing is ever put in before what was read. Read on with `after=<next>` until `next` is null; `cursor` is always
/// there, and `after=<cursor>` later answers what has happened since.
#[utoipa::path(tag = "events", params(PageQuery), responses(
    (status = 200, description = "A page of events", body = Events),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "For service keys and operators only", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/events")]
async fn feed(state: Data<State>, caller: Caller, page: Query<PageQuery>) -> Result<HttpResponse, Problem> {
    caller.standing(&state).await?.need(Permission::EventsRead)?;
    let limit = paging::limit(page.0.limit)?;
    let after = paging::after::<Cursor>(page.0.after.as_deref())?.unwrap_or_default();
    let rows = audit::events_after(&state.db, (after.0, after.1), limit.saturating_add(1)).await;
    let of = |event: &StoredEvent| Cursor(event.cursor.0, event.cursor.1).to_string();
    let Page { data, next } = Page::of(rows.map_err(store_problem)?, limit, of, Event::of);
    let data = data.into_iter().collect::<Result<Vec<Event>, StoreError>>().map_err(store_problem)?;
    let cursor = data.last().map_or_else(|| after.to_string(), |event| event.cursor.clone());
    Ok(HttpResponse::Ok().json(Events { data, next, cursor }))
}

/// An entry of the audit trail.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AuditEntry {
    #[schema(value_type = String)]
    id: EventId,
    /// What: `purchase.completed`, `member.set`, …
    kind: String,
    /// Whose, where it is one organization's.
    #[schema(value_type = Option<String>, required)]
    organization: Option<OrganizationId>,
    /// Who did it: a person, a service key, or `system`.
    actor: String,
    #[schema(format = DateTime)]
    at: String,
    /// The facts before and after, people by id.
    #[schema(value_type = Object)]
    data: Value,
    /// The address of the request; null where it did not come by one, or once it was erased.
    #[schema(required)]
    from_where: Option<String>,
    /// Names and texts that belong to the facts; null where there are none, or once they were erased.
    #[schema(value_type = Option<Object>, required)]
    personal: Option<Map<String, Value>>,
}

impl AuditEntry {
    fn of(event: StoredEvent) -> Result<Self, StoreError> {
        let data = object(event.id, &event.public)?;
        let mut personal = match &event.private {
            None => Map::new(),
            Some(text) => match object(event.id, text)? {
                Value::Object(members) => members,
                _ => Map::new(),
            },
        };
        let from_where = personal.remove("address").and_then(|address| address.as_str().map(str::to_owned));
        let personal = (!personal.is_empty()).then_some(personal);
        let StoredEvent { id, kind, organization, actor, at, .. } = event;
        Ok(Self { id, kind, organization, actor, at: rfc3339(at), data, from_where, personal })
    }
}

/// A page of the audit trail.
#[derive(Serialize, utoipa::ToSchema)]
struct AuditTrail {
    data: Vec<AuditEntry>,
    #[schema(required)]
    next: Option<String>,
}

/// The query of the audit trail.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    /// The organization, by id or slug; operators may leave it out.
    #[param(example = "fabrikam")]
    organization: Option<String>,
    /// Rows of the page, 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// `next` of the page before.
    after: Option<String>,
}

/// The audit trail, newest first: who did what, when, from where, and what was before and after.
///
/// Of an organization for its owner and administrators; of everything for operators.
#[utoipa::path(tag = "events", params(AuditQuery), responses(
    (status = 200, description = "A page of the trail", body = AuditTrail),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "A right is missing", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/audit")]
async fn trail(state: Data<State>, caller: Caller, query: Query<AuditQuery>) -> Result<HttpResponse, Problem> {
    let AuditQuery { organization, limit, after } = query.0;
    let (limit, before) = (paging::limit(limit)?, paging::after::<EventId>(after.as_deref())?);
    let installation = caller.standing(&state).await?;
    let more = limit.saturating_add(1);
    let rows = match organization {
        Some(named) => {
            let id = state.organization(&named).await?;
            standing_in(&state, &installation, id, Permission::AuditRead).await?;
            audit::trail(&state.db, id, before, more).await
        }
        None if installation.may(Permission::AuditRead) => audit::whole_trail(&state.db, before, more).await,
        None => {
            let detail = "Only operators read the whole trail; name an organization that you own or administer.";
            return Err(denied(Permission::AuditRead, Vec::new()).with_detail(detail));
        }
    };
    let page = Page::of(rows.map_err(store_problem)?, limit, |event| event.id.to_string(), AuditEntry::of);
    let data = page.data.into_iter().collect::<Result<Vec<_>, StoreError>>().map_err(store_problem)?;
    Ok(HttpResponse::Ok().json(AuditTrail { data, next: page.next }))
}

/// The test clock.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct TestClock {
    /// The instant that it shows, RFC 3339.
    #[schema(format = DateTime, example = "2018-04-15T10:00:00Z")]
    now: String,
}

/// Moves the test clock forward, where the server has one.
///
/// Business time stands still between two calls. What falls due on the way is run, in order, before the answer is given. Anyone signed in may move it, the platform too. With an
/// `Idempotency-Key` the same key and body give the same answer for good.
#[utoipa::path(tag = "operations", request_body = TestClock,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters", min_length = 1, max_length = 255)),
    responses(
    (status = 200, description = "What it shows then", body = TestClock),
    (status = 400, description = "Not JSON, or the key is none", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no test clock here", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "No such instant, an earlier one, or the key was used for another body", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[post("/v1/clock")]
async fn clock(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    body: Body<TestClock>,
) -> Result<HttpResponse, Problem> {
    // Contract: any signed-in caller; for people that they are known here is looked up with it.
    caller.standing(&state).await?;
    let now = parse_rfc3339(&body.0.now).map_err(|fault| Problem::invalid("/now", fault.to_string()))?;
    let now = Some(now).filter(|now| now.year() < LAST_YEAR);
    let now = now.ok_or_else(|| Problem::invalid("/now", format!("must be before the year {LAST_YEAR}")))?;
    let keyed = Keyed::of(&caller, "POST /v1/clock", &request, &micros(now))?;
    if keyed.earlier(&state.db).await?.is_none() {
        months::on_the_way(&state, now).await?;
    }
    let by = By::of(&caller, &request);
    let answer = write(&state, "move-clock", &by, async |tx, act| match keyed.earlier(tx).await? {
        Some(earlier) => Ok(earlier),
        None => move_clock(tx, act, now, &keyed).await,
    })
    .await?;
    // A replayed key may name an instant that has passed.
    if state.clock.is_test() && state.now() < now {
        state.clock.set_test(Some(now));
    }
    Ok(answer)
}

async fn move_clock(tx: &Tx, act: &mut Act<'_>, now: Timestamp, keyed: &Keyed) -> Result<HttpResponse, Fault> {
    let shown = TestClock { now: rfc3339(now) };
    if settings::number(tx, settings::CLOCK).await?.is_none() {
        let detail = "There is no test clock here; start the server with --clock to have one.";
        return Err(Problem::not_found("test clock").with_detail(detail).into());
    }
    settings::hold(tx, settings::CLOCK).await?;
    let before = settings::number(tx, settings::CLOCK).await?.unwrap_or(i64::MIN);
    if micros(now) < before {
        let detail = format!("must not be before {}: the clock goes forward only", rfc3339(from_micros(before)));
        return Err(Problem::invalid("/now", detail).into());
    }
    if micros(now) == before {
        return Ok(HttpResponse::Ok().json(shown));
    }
    settings::set_number(tx, settings::CLOCK, micros(now)).await?;
    act.at = now;
    let public = json!({"before": rfc3339(from_micros(before)), "after": rfc3339(now)});
    act.event("clock.moved", None, &public, json!({}));
    keyed.answer(tx, StatusCode::OK, &shown, now).await
}
