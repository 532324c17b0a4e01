//! One name for each request, and what is told of every request alike: its line in the log, its place in
//! the metrics, the headers that every answer carries.
//!
//! The name is the client's `X-Request-Id` if it sent a fit one. It is in the answer's header, in the log
//! and in a problem's `instance`, so that a complaint leads to its line.

use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpRequest};
use rand::RngCore;

use crate::problem::Problem;
use crate::telemetry::{count_request, method_label};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What stands for the route of a request that no route took.
const UNMATCHED: &str = "unmatched";

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The name of a request: 1 to 64 of `A`–`Z`, `a`–`z`, `0`–`9`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The client's name for it, if it is fit to stand in a log.
    fn given(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(X_REQUEST_ID)?.to_str().ok()?;
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        ((1..=64).contains(&text.len()) && text.bytes().all(fit)).then(|| Self(text.into()))
    }

    /// A name nobody else has. Not handed in like other randomness: nothing is decided by it.
    fn made() -> Self {
        let mut random = [0; 12];
        rand::rng().fill_bytes(&mut random);
        let mut text = [0; 24];
        hex::encode_to_slice(random, &mut text).ok();
        Self(std::str::from_utf8(&text).unwrap_or_default().into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromRequest for RequestId {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(_: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(current().ok_or_else(|| Problem::internal("a request without an id")))
    }
}

/// The id of the request that this task answers; `None` elsewhere, such as in the till's workers.
pub fn current() -> Option<RequestId> {
    CURRENT.try_with(RequestId::clone).ok()
}

/// The outermost middleware, by `actix_web::middleware::from_fn(observe)`.
///
/// # Errors
/// What an inner middleware failed with, as the answer it gives, with the same headers.
pub async fn observe<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let began = Instant::now();
    let id = RequestId::given(request.headers()).unwrap_or_else(RequestId::made);
    let trace = Trace::of(request.headers());
    let method = request.method().clone();
    let answering = async {
        next.call(request).await.map_err(|fault| {
            // Made an answer here, where the id is known.
            let mut answer = fault.error_response();
            set_headers(answer.headers_mut(), current().as_ref());
            (answer.status(), InternalError::from_response(fault, answer))
        })
    };
    match CURRENT.scope(id.clone(), answering).await {
        Ok(mut answer) => {
            set_headers(answer.headers_mut(), Some(&id));
            let route = answer.request().match_pattern();
            let route = route.as_deref().unwrap_or(UNMATCHED);
            tell(&method, route, answer.status(), began.elapsed(), &id, trace.as_ref());
            Ok(answer)
        }
        Err((status, fault)) => {
            tell(&method, UNMATCHED, status, began.elapsed(), &id, trace.as_ref());
            Err(fault.into())
        }
    }
}

fn set_headers(headers: &mut HeaderMap, id: Option<&RequestId>) {
    if let Some(id) = id
        && let Ok(value) = HeaderValue::from_str(id.as_str())
    {
        headers.insert(X_REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What may be kept says so itself.
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// The request's line and count. Neither path nor query: they may hold what is nobody's business.
fn tell(method: &Method, route: &str, status: StatusCode, took: Duration, id: &RequestId, trace: Option<&Trace>) {
    count_request(method, route, status, took);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                method = method_label(method),
                route,
                status = status.as_u16(),
                ms = milliseconds(took),
                request_id = id.as_str(),
                trace_id = trace.map(Trace::id),
                parent_id = trace.map(Trace::parent),
                "request"
            )
        };
    }
    if status.is_server_error() {
        line!(warn);
    } else {
        line!(info);
    }
}

/// Milliseconds to three decimals.
fn milliseconds(took: Duration) -> f64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    // A thousandth of a second a microsecond: the decimals stand where milliseconds have them.
    Duration::from_millis(micros).as_secs_f64()
}

/// The caller's place in its own trace, from a W3C `traceparent`.
#[derive(Debug, PartialEq, Eq)]
struct Trace(String);

impl Trace {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(TRACEPARENT)?.to_str().ok()?;
        let mut parts = text.split('-');
        let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Version 00 has four parts; later ones may have more; ff is none.
        let fits = hex_of(version, 2)
            && version != "ff"
            && (version != "00" || parts.next().is_none())
            && hex_of(id, 32)
            && hex_of(parent, 16)
            && hex_of(flags, 2)
            && text.len() <= 512;
        let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
        (fits && !zero(id) && !zero(parent)).then(|| Self(format!("{id}{parent}")))
    }

    fn id(&self) -> &str {
        self.0.get(..32).unwrap_or_default()
    }

    fn parent(&self) -> &str {
        self.0.get(32..).unwrap_or_default()
    }
}

fn hex_of(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests;
