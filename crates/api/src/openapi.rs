//! The OpenAPI document, collected from the handlers, and what holds for all of them.

use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Purser",
        description = "The marketplace and the billing of a developer platform. Refusals are RFC 9457 problems; their types are explained under /problems/.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(crate::routes::schema::Problem)),
    security(("bearer" = []))
)]
struct Base;

/// What stands before the handlers' parts.
pub fn base() -> utoipa::openapi::OpenApi {
    Base::openapi()
}

/// The document with what holds for all: how callers show who they are.
pub fn finish(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A JWT of a person, or a service key of the platform."))
        .build();
    let components = document.components.get_or_insert_with(Default::default);
    components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            // Whoever is asked who they are may be asked to slow down.
            if let Some(response) = operation.responses.responses.get("401").cloned() {
                operation.responses.responses.entry("429".into()).or_insert(response);
            }
        }
    }
    document
}

/// The document as it is served.
pub struct Document(pub String);

impl Document {
    /// The document as text.
    pub fn new(document: &utoipa::openapi::OpenApi) -> Self {
        Self(document.to_pretty_json().unwrap_or_default())
    }
}
