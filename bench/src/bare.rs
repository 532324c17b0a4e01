//! The least that an answer to an authenticated read can cost: actix-web, the server's token check, a constant.

use crate::people::token_key;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::{Data, Path};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use clap::Args;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use kernel::UserId;
use serde::Deserialize;
use std::path::PathBuf;

/// An allowance as the server answers it.
const ANSWER: &str =
    r#"{"allowed":true,"usable":5,"until":"2018-06-01T00:00:00Z","as_of":"2018-05-16T12:34:56.123456Z","reasons":[]}"#;

/// Where to listen and what to believe.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The server's secret file.
    #[arg(long)]
    secret_file: PathBuf,
}

struct Check {
    key: DecodingKey,
    validation: Validation,
}

#[derive(Deserialize)]
struct Subject {
    sub: String,
}

async fn answer(check: Data<Check>, request: HttpRequest, path: Path<(String, String)>) -> HttpResponse {
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let subject = token.and_then(|token| decode::<Subject>(token, &check.key, &check.validation).ok());
    let user = subject.and_then(|data| data.claims.sub.parse::<UserId>().ok());
    match user {
        Some(_) if !path.0.is_empty() => HttpResponse::Ok().content_type("application/json").body(ANSWER),
        _ => HttpResponse::Unauthorized().finish(),
    }
}

/// Serves until killed; prints where.
pub fn run(options: &Options) {
    let key = token_key(&options.secret_file);
    let check = Data::new({
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_nbf = true;
        validation.set_issuer(&["purser"]);
        validation.set_audience(&["purser"]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Check { key: DecodingKey::from_secret(&key), validation }
    });
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            App::new().app_data(check.clone()).route("/v1/organizations/{org}/allowance/{offer}", web::get().to(answer))
        })
        .workers(1)
        .bind(("127.0.0.1", 0))
        .expect("a free port");
        for address in server.addrs() {
            println!("listening on http://{address}");
        }
        server.run().await.expect("a server");
    });
}
