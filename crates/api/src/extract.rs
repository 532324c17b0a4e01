//! Takes requests apart, so that whatever cannot be taken is a problem that says where and why: bodies,
//! query strings, paths, and addresses that no route takes.

mod strict;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::str::Utf8Error;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{self, Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use futures_core::Stream;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};
use utoipa::openapi::{OpenApi, PathItem};

use crate::problem::Problem;
use strict::Strict;

/// Bytes of a body where [`BodyLimit`] is not set.
const DEFAULT_LIMIT: usize = 1024 * 1024;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Bytes of a body that is too large which are read all the same: a client that still sends when the
/// connection is closed may never see the answer.
const DRAINED: usize = 16 * 1024 * 1024;

/// Bytes of a message about a field, at most: it may repeat what was sent.
const MAX_DETAIL: usize = 300;

/// The most bytes that a body may have; as `app_data`.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit(pub usize);

/// The JSON body of a request, at most [`BodyLimit`] bytes. Answers 400 to what is not JSON in UTF-8, 413 to
/// what is too large, 415 to another content type, 422 with the field's pointer to what is not a `T`.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let checked = check_headers(request);
        let payload = payload.take();
        Box::pin(async move {
            let limit = checked?;
            let bytes = read(payload, limit).await?;
            parse(&bytes).map(Self)
        })
    }
}

/// The limit, if the headers do not rule the body out.
fn check_headers(request: &HttpRequest) -> Result<Limit, Problem> {
    let headers = request.headers();
    let json = |value: &str| value.to_ascii_lowercase().contains("json");
    if let Some(value) = headers.get(CONTENT_TYPE)
        && !value.to_str().is_ok_and(json)
    {
        return Err(Problem::unsupported_media_type("Send the body as Content-Type: application/json."));
    }
    if let Some(value) = headers.get(CONTENT_ENCODING)
        && value != "identity"
    {
        return Err(Problem::unsupported_media_type("Send the body as it is, not compressed."));
    }
    let bytes = request.app_data::<BodyLimit>().map_or(DEFAULT_LIMIT, |limit| limit.0);
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Limit { bytes, announced })
}

struct Limit {
    bytes: usize,
    /// What the client says it sends.
    announced: Option<usize>,
}

async fn read(payload: Payload, limit: Limit) -> Result<Bytes, Problem> {
    let bytes = limit.bytes;
    match tokio::time::timeout(BODY_TIME, collect(payload, &limit)).await {
        Ok(Ok(Some(body))) => Ok(body),
        Ok(Ok(None)) => Err(Problem::too_large(bytes)),
        Ok(Err(PayloadError::Overflow)) => Err(Problem::too_large(bytes)),
        Ok(Err(fault)) => Err(Problem::malformed(format!("The body did not arrive whole: {fault}."))),
        Err(_) => Err(Problem::malformed("The body did not arrive in time.")),
    }
}

/// The whole body; `None` if it is too large.
async fn collect(mut payload: Payload, limit: &Limit) -> Result<Option<Bytes>, PayloadError> {
    let mut body = BytesMut::new();
    let mut seen: usize = 0;
    if limit.announced.is_some_and(|length| length > DRAINED) {
        return Ok(None);
    }
    let mut first = Bytes::new();
    while let Some(chunk) = poll_fn(|cx| Pin::new(&mut payload).poll_next(cx)).await {
        let chunk = chunk?;
        seen = seen.saturating_add(chunk.len());
        if seen > DRAINED {
            return Ok(None);
        }
        if seen > limit.bytes {
            body = BytesMut::new();
        } else if first.is_empty() && body.is_empty() {
            // Most bodies are one piece, which need not be copied.
            first = chunk;
        } else {
            if body.is_empty() {
                body.extend_from_slice(&first);
            }
            body.extend_from_slice(&chunk);
        }
    }
    if seen > limit.bytes {
        return Ok(None);
    }
    Ok(Some(if body.is_empty() { first } else { body.freeze() }))
}

/// Most bytes of a form, and most fields.
const FORM_LIMIT: usize = 64 * 1024;
const FORM_FIELDS: usize = 500;

/// The fields of a form that a page sent, lines ended as in texts of ours.
///
/// # Errors
/// 413 for what is too large, 415 for what is no form, 400 for what is not UTF-8, 422 for characters that no text may hold.
pub async fn read_form(request: &HttpRequest, payload: Payload) -> Result<Vec<(String, String)>, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Err(Problem::unsupported_media_type("Send the form as application/x-www-form-urlencoded."));
    }
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let bytes = read(payload, Limit { bytes: FORM_LIMIT, announced }).await?;
    let mut fields = Vec::new();
    for (name, value) in form_urlencoded::parse(&bytes) {
        if fields.len() == FORM_FIELDS {
            return Err(Problem::too_large(FORM_LIMIT));
        }
        let value = value.replace("\r\n", "\n");
        if name.contains('\u{fffd}') || value.contains('\u{fffd}') {
            return Err(Problem::malformed("The form is not UTF-8."));
        }
        if value.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
            return Err(Problem::invalid(segment(&name), "No control characters are allowed."));
        }
        fields.push((name.into_owned(), value));
    }
    Ok(fields)
}

/// A `T` of a body's bytes, which are JSON.
///
/// # Errors
/// 400 for what is not JSON in UTF-8, 422 for what is not a `T`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|fault| not_utf8(&fault))?;
    if text.trim_ascii().is_empty() {
        return Err(Problem::malformed("The body is empty, but must be JSON."));
    }
    if holds_nul(text) {
        return Err(Problem::invalid("", "No text may hold the character U+0000."));
    }
    // Where a field stands is only kept track of once it is known that one is wrong.
    let mut from = serde_json::Deserializer::from_str(text);
    match T::deserialize(Strict(&mut from)).and_then(|value| from.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(fault) if fault.classify() == Category::Data => Err(wrong_field::<T>(text, &fault)),
        Err(fault) => Err(Problem::malformed(format!("The body is not JSON: {fault}."))),
    }
}

fn not_utf8(fault: &Utf8Error) -> Problem {
    Problem::malformed(format!("The body is not UTF-8 from byte {} on.", fault.valid_up_to()))
}

/// Whether a text in it holds U+0000, which PostgreSQL does not keep.
fn holds_nul(text: &str) -> bool {
    text.match_indices("\\u0000").any(|(at, _)| {
        let before = text.as_bytes().get(..at).unwrap_or_default();
        let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
        backslashes.is_multiple_of(2)
    })
}

fn wrong_field<T: DeserializeOwned>(text: &str, fault: &serde_json::Error) -> Problem {
    let mut from = serde_json::Deserializer::from_str(text);
    let pointer = match serde_path_to_error::deserialize::<_, T>(Strict(&mut from)) {
        Err(tracked) => pointer(tracked.path()),
        Ok(_) => String::new(),
    };
    let message = fault.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    field_problem(pointer, message)
}

/// The problem of a field from what serde says of it.
fn field_problem(mut pointer: String, message: &str) -> Problem {
    // Serde tells where a field is missing or too much, but its name only in words.
    for begins in ["missing field `", "unknown field `", "duplicate field `"] {
        let name = message.strip_prefix(begins).and_then(|rest| rest.split_once('`'));
        if let Some((name, _)) = name {
            let end = segment(name);
            if !pointer.ends_with(&end) || begins.starts_with("missing") {
                pointer.push_str(&end);
            }
        }
    }
    Problem::invalid(pointer, sentence(message))
}

/// The JSON pointer of a path.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for part in path.iter() {
        match part {
            Segment::Seq { index } => pointer.push_str(&segment(&index.to_string())),
            Segment::Map { key } => pointer.push_str(&segment(key)),
            Segment::Enum { variant } => pointer.push_str(&segment(variant)),
            Segment::Unknown => break,
        }
    }
    pointer
}

fn segment(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// What serde says, as a sentence for somebody who does not write Rust.
fn sentence(message: &str) -> String {
    let message = message.replacen("invalid type: sequence", "invalid type: list", 1).replacen(
        "invalid type: map",
        "invalid type: object",
        1,
    );
    let mut text = message.clone();
    if let Some((before, expected)) = message.rsplit_once(", expected ") {
        let word = expected.split(' ').next().unwrap_or_default();
        let plain = match word {
            "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => Some("a whole number"),
            "struct" | "map" => Some("an object"),
            "sequence" | "tuple" => Some("a list"),
            "enum" => Some("one of its forms"),
            _ if expected == "a sequence" => Some("a list"),
            _ if expected == "a map" => Some("an object"),
            _ if expected == "a boolean" => Some("true or false"),
            _ => None,
        };
        if let Some(plain) = plain {
            text = format!("{before}, expected {plain}");
        }
    }
    if text.len() > MAX_DETAIL {
        text.truncate(text.floor_char_boundary(MAX_DETAIL));
        text.push('…');
    }
    let mut letters = text.chars();
    let begin: String = letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    let end = if text.ends_with(['.', '…']) { "" } else { "." };
    format!("{begin}{}{end}", letters.as_str())
}

/// The query string of a request. Answers 400 to what is not UTF-8, 422 with `/name` to what is not a `T`.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(parse_query(request.query_string()).map(Self))
    }
}

/// A `T` of a query string.
///
/// # Errors
/// As [`Query`].
pub fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        // What is not UTF-8 was replaced by this character, which nobody looks for.
        if name.contains('\u{fffd}') || value.contains('\u{fffd}') {
            return Err(Problem::malformed("The query string is not UTF-8."));
        }
        if value.contains(char::is_control) {
            return Err(Problem::invalid(segment(&name), "No control characters are allowed."));
        }
    }
    let from = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(from)
        .map_err(|fault| field_problem(pointer(fault.path()), &fault.inner().to_string()))
}

/// How paths are taken apart: what does not fit names nothing, and so is not found; as `app_data`.
pub fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|_, _| Problem::not_found("address").into())
}

/// The routes there are, with the methods each takes; as `app_data`, for [`unrouted`].
#[derive(Clone, Debug, Default)]
pub struct Routes(BTreeMap<String, String>);

impl Routes {
    /// The routes of a document.
    pub fn of(document: &OpenApi) -> Self {
        let mut routes = Self::default();
        for (pattern, item) in &document.paths.paths {
            routes.add(pattern, &methods(item));
        }
        routes
    }

    /// One more route, or more methods of one.
    pub fn add(&mut self, pattern: &str, methods: &[&str]) {
        let allow = self.0.entry(pattern.to_owned()).or_default();
        for method in methods {
            if !allow.split(", ").any(|known| known == *method) {
                if !allow.is_empty() {
                    allow.push_str(", ");
                }
                allow.push_str(method);
            }
        }
    }
}

fn methods(item: &PathItem) -> Vec<&'static str> {
    let all = [
        ("GET", item.get.is_some()),
        ("HEAD", item.head.is_some()),
        ("POST", item.post.is_some()),
        ("PUT", item.put.is_some()),
        ("PATCH", item.patch.is_some()),
        ("DELETE", item.delete.is_some()),
        ("OPTIONS", item.options.is_some()),
    ];
    all.into_iter().filter(|(_, is)| *is).map(|(method, _)| method).collect()
}

/// The default service of the app: 405 where [`Routes`] knows the address with other methods, else 404.
///
/// # Errors
/// Always.
pub async fn unrouted(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let routes = request.app_data::<Routes>();
    let allow = routes.and_then(|routes| routes.0.get(&request.match_pattern()?));
    Err(match allow {
        Some(allow) => Problem::method_not_allowed(request.method(), allow),
        None => Problem::not_found("address"),
    })
}

#[cfg(test)]
mod tests;
