//! What operators and tools ask: health, readiness, metrics, the API's description, what problems mean.

use crate::openapi::Document;
use crate::pages::visitor::Visitor;
use crate::problem::Problem;
use crate::routes::schema;
use crate::state::State;
use crate::telemetry::metrics_handle;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get};
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(health).service(ready).service(metrics).service(document).service(problem);
}

/// The process is alive.
#[utoipa::path(tag = "operations", security(()), responses((status = 200, description = "Alive", body = schema::Status)))]
#[get("/healthz")]
async fn health() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "ok" }))
}

/// The process can do its work: the database answers.
#[utoipa::path(tag = "operations", security(()), responses(
    (status = 200, description = "Ready", body = schema::Status),
    (status = 503, description = "Not ready", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/readyz")]
async fn ready(state: Data<State>) -> Result<HttpResponse, Problem> {
    store::settings::number(&state.db, store::settings::CATALOGUE)
        .await
        .map_err(|error| Problem::unavailable(1).with_cause(error))?;
    Ok(HttpResponse::Ok().json(serde_json::json!({ "status": "ready" })))
}

/// Metrics, in Prometheus' text format.
#[utoipa::path(tag = "operations", security(()), responses((status = 200, description = "Metrics", body = String, content_type = "text/plain")))]
#[get("/metrics")]
async fn metrics() -> HttpResponse {
    let text = metrics_handle().map(|handle| handle.render()).unwrap_or_default();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}

/// This document.
#[utoipa::path(tag = "operations", security(()), responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
#[get("/openapi.json")]
async fn document(document: Data<Document>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document.0.clone())
}

/// What a problem means and what to do about it.
#[utoipa::path(tag = "operations", security(()), params(("slug" = String, Path, description = "Last part of a problem's type")), responses(
    (status = 200, description = "The explanation", body = String, content_type = "text/html"),
    (status = 404, description = "No such problem", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/problems/{slug}")]
async fn problem(state: Data<State>, visitor: Option<Visitor>, slug: Path<String>) -> Result<HttpResponse, Problem> {
    crate::pages::problems::explained(&state, visitor.as_ref(), &slug)
}
