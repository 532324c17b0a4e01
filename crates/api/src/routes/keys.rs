//! The header `Idempotency-Key`, and answers kept under it for POSTs other than purchases.

use crate::problem::Problem;
use actix_web::{HttpRequest, HttpResponse};
use kernel::IdempotencyKey;
use store::idempotency::Kept;

/// Name of the header that carries the key.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// Name of the header that tells a replayed answer.
pub const REPLAYED: &str = "Idempotent-Replayed";

/// The key, where one was sent.
///
/// # Errors
/// 400 where it is not 1 to 255 printable ASCII characters.
pub fn optional(request: &HttpRequest) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = request.headers().get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().and_then(|text| text.parse().ok());
    key.map(Some).ok_or_else(Problem::idempotency_key_required)
}

/// The key.
///
/// # Errors
/// 400 where there is none, or it is not 1 to 255 printable ASCII characters.
pub fn required(request: &HttpRequest) -> Result<IdempotencyKey, Problem> {
    optional(request)?.ok_or_else(Problem::idempotency_key_required)
}

/// A kept answer given again.
///
/// # Errors
/// `idempotency-key-reused` where the request is another.
pub fn replay(kept: Kept, request_hash: &[u8; 32]) -> Result<HttpResponse, Problem> {
    if kept.request_hash != request_hash {
        return Err(Problem::idempotency_key_reused());
    }
    let status = u16::try_from(kept.status).ok().and_then(|s| actix_web::http::StatusCode::from_u16(s).ok());
    let status = status.unwrap_or(actix_web::http::StatusCode::CREATED);
    Ok(HttpResponse::build(status).insert_header((REPLAYED, "true")).content_type("application/json").body(kept.answer))
}
