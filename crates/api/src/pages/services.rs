//! Where a visitor begins: all services, and the first page.

use super::frame::{Frame, page, see_other};
use super::visitor::Visitor;
use crate::problem::Problem;
use crate::state::State;
use actix_web::http::StatusCode;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpResponse, get};
use askama::Template;
use kernel::Permission;

/// Name, address and what is there.
const SERVICES: &[(&str, &str, &str)] = &[
    ("Marketplace", "/marketplace", "Users, pipelines, extensions and load testing to buy, try and install."),
    ("Organizations", "/organizations", "What each organization has, what was bought for it, and who pays."),
    ("Subscriptions", "/subscriptions", "Who is charged: their people, their organizations and what is coming."),
    ("API", "/docs", "All of it for programs, to read and to try."),
];

/// The same for who runs the installation.
const OPERATORS: &[(&str, &str, &str)] =
    &[("Ledger", "/ledger", "The trial balance of any day, and every account’s entries.")];

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(first).service(all);
}

#[derive(Template)]
#[template(path = "services.html")]
struct ServicesPage {
    frame: Frame,
    services: Vec<(&'static str, &'static str, &'static str)>,
    email: String,
}

#[get("/")]
async fn first(visitor: Option<Visitor>) -> HttpResponse {
    see_other(if visitor.is_some() { "/marketplace" } else { "/sign-in" })
}

#[get("/services")]
async fn all(state: Data<State>, visitor: Visitor) -> Result<HttpResponse, Problem> {
    let frame = Frame::new(&state, Some(&visitor), "services", "All services");
    let operators = if visitor.installation().may(Permission::BooksView) { OPERATORS } else { &[] };
    let services = SERVICES.iter().chain(operators).copied().collect();
    page(StatusCode::OK, &ServicesPage { frame, services, email: visitor.email })
}
