//! `/docs`: the API's description to read and try in a browser, from `/openapi.json`. Everything comes from this server:
//! the program carries Swagger UI.

use crate::extract::Routes;
use crate::problem::Problem;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY};
use actix_web::web::{Path, ServiceConfig};
use actix_web::{HttpResponse, get};
use std::sync::Arc;

/// Nothing but this server's own files; icons also as `data:`, as Swagger UI's style has them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Purser: the API</title>
<link rel="icon" href="favicon-32x32.png">
<link rel="stylesheet" href="swagger-ui.css">
</head>
<body>
<noscript><p>This page needs JavaScript; the description itself is at <a href="/openapi.json">/openapi.json</a>.</p></noscript>
<main id="docs"></main>
<script src="swagger-ui-bundle.js"></script>
<script src="start.js"></script>
</body>
</html>
"#;

/// Without the validator, which would be asked over the network.
const START: &str = r##"SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#docs",
    deepLinking: true,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
});
"##;

/// The files of Swagger UI that the page asks for.
const FILES: &[&str] = &["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"];

/// The routes of this file, which are no part of the API.
pub fn routes(config: &mut ServiceConfig) {
    config.service(folder).service(file);
}

/// What is known of them where no route takes a request.
pub fn known(routes: &mut Routes) {
    routes.add("/docs", &["GET"]);
    routes.add("/docs/{file:.*}", &["GET"]);
}

/// To the page, whose files stand beside it.
#[get("/docs")]
async fn folder() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/docs/")).finish()
}

#[get("/docs/{file:.*}")]
async fn file(name: Path<String>) -> Result<HttpResponse, Problem> {
    let (kind, body) = match name.as_str() {
        "" => ("text/html; charset=utf-8".to_owned(), PAGE.as_bytes().to_vec()),
        "start.js" => ("text/javascript; charset=utf-8".to_owned(), START.as_bytes().to_vec()),
        name if FILES.contains(&name) => {
            let found = utoipa_swagger_ui::serve(name, Arc::default()).map_err(Problem::internal)?;
            let found = found.ok_or_else(|| Problem::internal("Swagger UI lacks a file"))?;
            (found.content_type, found.bytes.into_owned())
        }
        _ => return Err(Problem::not_found("address")),
    };
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((CACHE_CONTROL, "max-age=3600"))
        .body(body))
}
