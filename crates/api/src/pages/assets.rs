//! What pages are dressed with: one stylesheet, one small script, one icon; in the program, named by their contents so
//! that browsers may keep them for good.

use crate::problem::Problem;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{Path, ServiceConfig};
use actix_web::{HttpResponse, get};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// A file that pages name.
pub struct Asset {
    body: &'static str,
    kind: &'static str,
    /// Its address, which changes with its contents.
    pub path: String,
    file: String,
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, body: &'static str) -> Self {
        let hash = hex::encode(Sha256::digest(body.as_bytes()));
        let file = format!("{stem}-{}.{extension}", hash.get(..16).unwrap_or_default());
        Self { body, kind, path: format!("/assets/{file}"), file }
    }
}

/// The stylesheet.
pub static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("purser", "css", "text/css; charset=utf-8", include_str!("../../assets/purser.css")));
/// The script.
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("purser", "js", "text/javascript; charset=utf-8", include_str!("../../assets/purser.js"))
});
/// The icon.
pub static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("purser", "svg", "image/svg+xml", include_str!("../../assets/purser.svg")));

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(asset).service(favicon).service(robots);
}

#[get("/assets/{file}")]
async fn asset(file: Path<String>) -> Result<HttpResponse, Problem> {
    let found = [&*STYLE, &*SCRIPT, &*ICON].into_iter().find(|asset| asset.file == *file);
    let asset = found.ok_or_else(|| Problem::not_found("file"))?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, asset.kind))
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(asset.body))
}

/// Browsers ask for it whatever the page says.
#[get("/favicon.ico")]
async fn favicon() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, ICON.kind))
        .insert_header((CACHE_CONTROL, "public, max-age=86400"))
        .body(ICON.body)
}

/// All but the first page is behind a sign-in.
#[get("/robots.txt")]
async fn robots() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("User-agent: *\nAllow: /$\nAllow: /sign-in\n")
}
