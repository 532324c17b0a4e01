//! Problems as pages: what happened, what to do next, and what each kind of refusal means.

use super::frame::{Frame, page as shown};
use super::visitor::Visitor;
use crate::problem::{FieldError, Problem, Slug};
use crate::state::State;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{HttpResponse, get};
use askama::Template;
use serde_json::Value;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(all);
}

/// Why something cannot be, and what to do about it.
#[derive(Clone, Debug)]
pub struct Why {
    /// What is so.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// What a refusal tells a person.
#[derive(Clone, Debug)]
pub struct Told {
    /// In a few words.
    pub title: String,
    /// In a sentence.
    pub detail: String,
    /// The reasons, where there are several.
    pub reasons: Vec<Why>,
    /// Whom to ask: name and role.
    pub ask: Vec<(String, String)>,
    /// Fields that cannot be taken.
    pub errors: Vec<FieldError>,
    /// Where the payer can authenticate a payment.
    pub url: Option<String>,
    /// What to do next.
    pub next: &'static str,
    /// Its kind, which has a page of its own.
    pub slug: &'static str,
}

impl Told {
    /// What a problem tells.
    pub fn of(problem: &Problem) -> Self {
        let slug = problem.slug();
        Self {
            title: slug.title().to_owned(),
            // Where one field is wrong, its form stands before the reader; the pointer is for programs.
            detail: match problem.errors() {
                [one] => one.detail.clone(),
                _ => problem.detail().to_owned(),
            },
            reasons: members(problem, "reasons", |one| {
                Some(Why { message: text(one, "message")?, remedy: text(one, "remedy")? })
            }),
            ask: members(problem, "ask", |one| Some((text(one, "name")?, text(one, "role")?))),
            errors: problem.errors().to_vec(),
            url: problem.member("url").and_then(Value::as_str).map(str::to_owned),
            next: next(slug),
            slug: slug.as_str(),
        }
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn members<T>(problem: &Problem, name: &str, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    let list = problem.member(name).and_then(Value::as_array);
    list.map(|list| list.iter().filter_map(read).collect()).unwrap_or_default()
}

/// What a person does next; what programs do stands in the explanation of each kind.
const fn next(slug: Slug) -> &'static str {
    match slug {
        Slug::BillingSetupRequired => "Choose who pays.",
        Slug::BillingAlreadySetUp => "Go on with the subscription that pays already.",
        Slug::SubscriptionNotEligible => "Do what the reasons say, or choose another subscription.",
        Slug::PermissionDenied => "Ask one of the people named to do it, or to give you the role.",
        Slug::NotFound => "Look for it in the lists; the address may be old, or another person's.",
        Slug::QuantityOutOfRange => "Choose a number within the range.",
        Slug::QuantityChanged | Slug::PriceChanged => "Look at what holds now, and decide again.",
        Slug::CannotBeUndone => "Lower the quantity or cancel instead.",
        Slug::PurchaseInProgress => "Wait for the other purchase to end, then look again.",
        Slug::PaymentDeclined => "Choose another way to pay, or another card.",
        Slug::BudgetExceeded => "Buy less, or ask the subscription's owner to raise the budget.",
        Slug::InvalidRequest | Slug::UnsupportedMediaType => "Go back, correct what is marked, and send it again.",
        Slug::Unauthenticated => "Sign in.",
        Slug::TooManyRequests => "Wait a minute, then try again.",
        Slug::Unavailable => "Try again in a moment; what was bought is bought once, however often you try.",
        Slug::IdempotencyKeyRequired | Slug::IdempotencyKeyReused | Slug::MethodNotAllowed => "Open the page again.",
        Slug::InternalError => "Try again; if it stays, give the request's number to whoever runs this installation.",
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    frame: Frame,
    told: Told,
    request: String,
}

/// The page of a problem.
///
/// # Errors
/// A fault of ours.
pub fn page(state: &State, visitor: Option<&Visitor>, problem: &Problem) -> Result<HttpResponse, Problem> {
    let told = Told::of(problem);
    let request = crate::request_id::current().map(|id| id.as_str().to_owned()).unwrap_or_default();
    let frame = Frame::new(state, visitor, "", told.title.clone());
    shown(problem.status(), &ProblemPage { frame, told, request })
}

#[derive(Template)]
#[template(path = "problems.html")]
struct ProblemsPage {
    frame: Frame,
    kinds: Vec<(&'static str, &'static str, u16, &'static str)>,
}

fn kind(slug: Slug) -> (&'static str, &'static str, u16, &'static str) {
    (slug.as_str(), slug.title(), slug.status().as_u16(), slug.explanation())
}

#[get("/problems")]
async fn all(state: Data<State>, visitor: Option<Visitor>) -> Result<HttpResponse, Problem> {
    let frame = Frame::new(&state, visitor.as_ref(), "", "What refusals mean");
    shown(StatusCode::OK, &ProblemsPage { frame, kinds: Slug::ALL.iter().map(|slug| kind(*slug)).collect() })
}

/// The page that a problem's `type` names.
///
/// # Errors
/// `not-found` where there is no such kind.
pub fn explained(state: &State, visitor: Option<&Visitor>, slug: &Path<String>) -> Result<HttpResponse, Problem> {
    let slug = Slug::find(slug).ok_or_else(|| Problem::not_found("problem"))?;
    let frame = Frame::new(state, visitor, "", slug.title());
    shown(StatusCode::OK, &ProblemsPage { frame, kinds: vec![kind(slug)] })
}
