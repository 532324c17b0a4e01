//! What all pages share: the frame around them, the headers that keep browsers strict, and problems as pages.

use super::assets::{ICON, SCRIPT, STYLE};
use super::problems;
use super::visitor::{Visitor, came_from};
use crate::problem::{Problem, Slug};
use crate::state::State;
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    X_FRAME_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use askama::Template;

/// Nothing but what this server serves, and no script or style in a page's text.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the header of every page leads to: section, address, words.
pub const SECTIONS: &[(&str, &str, &str)] = &[
    ("services", "/services", "All services"),
    ("marketplace", "/marketplace", "Marketplace"),
    ("organizations", "/organizations", "Organizations"),
    ("subscriptions", "/subscriptions", "Subscriptions"),
];

/// The frame of a page.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What the window is called.
    pub title: String,
    /// Which of [`SECTIONS`] it belongs to; empty for none.
    pub section: &'static str,
    /// Who is signed in; empty for nobody.
    pub name: String,
    /// What every form of this visitor carries.
    pub csrf: String,
    /// Whether this is a demonstration that anybody can sign in to.
    pub demo: bool,
    /// Address of the stylesheet.
    pub style: &'static str,
    /// Address of the script.
    pub script: &'static str,
    /// Address of the icon.
    pub icon: &'static str,
}

impl Frame {
    /// A frame for whoever is signed in.
    pub fn new(state: &State, visitor: Option<&Visitor>, section: &'static str, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section,
            name: visitor.map(|visitor| visitor.name.clone()).unwrap_or_default(),
            csrf: visitor.map(|visitor| visitor.csrf.clone()).unwrap_or_default(),
            demo: state.config.demo.sign_in,
            style: &STYLE.path,
            script: &SCRIPT.path,
            icon: &ICON.path,
        }
    }
}

/// A template as an answer.
///
/// # Errors
/// A fault of ours, where the template cannot be filled.
pub fn page(status: StatusCode, template: &impl Template) -> Result<HttpResponse, Problem> {
    let html = template.render().map_err(Problem::internal)?;
    Ok(HttpResponse::build(status).content_type("text/html; charset=utf-8").body(html))
}

/// To another page, which is got whatever brought the visitor here.
pub fn see_other(to: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, to)).finish()
}

/// Addresses that programs call, which never see a page.
fn is_for_programs(path: &str) -> bool {
    path.starts_with("/v1/") || path.starts_with("/metrics") || path.starts_with("/healthz")
}

fn asks_for_a_page(request: &HttpRequest) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// The middleware of pages, by `actix_web::middleware::from_fn(dress)`: what a browser is answered gets its headers, and
/// a problem becomes the page that explains it, or the way to the sign-in.
///
/// # Errors
/// What an inner middleware failed with.
pub async fn dress<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    if is_for_programs(request.path()) {
        return next.call(request).await.map(ServiceResponse::map_into_left_body);
    }
    let answer = next.call(request).await?;
    let problem = answer.response().error().and_then(|error| error.as_error::<Problem>()).cloned();
    let mut answer = match problem.filter(|_| asks_for_a_page(answer.request())) {
        None => answer.map_into_left_body(),
        Some(problem) => {
            let retry = answer.headers().get(RETRY_AFTER).cloned();
            let mut page = explained(answer.request(), &problem);
            if let Some(seconds) = retry {
                page.headers_mut().insert(RETRY_AFTER, seconds);
            }
            answer.into_response(page).map_into_right_body()
        }
    };
    let html = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if html {
        let headers = answer.headers_mut();
        for (name, value) in [
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_FRAME_OPTIONS, "DENY"),
            (REFERRER_POLICY, "same-origin"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=()"),
        ] {
            // A page with needs of its own has set them already.
            if !headers.contains_key(&name) {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
    }
    Ok(answer)
}

/// A problem as a page; whoever is not signed in is led to the sign-in and back.
fn explained(request: &HttpRequest, problem: &Problem) -> HttpResponse {
    if problem.slug() == Slug::Unauthenticated {
        let here = request.uri().path_and_query().map_or("/", |at| at.as_str());
        // What was sent with a form cannot be sent again by a link; the page that it stood on can be opened again.
        let back = if request.method() == Method::GET { here } else { came_from(request.headers()).unwrap_or("/") };
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", back).finish();
        return see_other(&format!("/sign-in?{query}"));
    }
    let extensions = request.extensions();
    let visitor = extensions.get::<Visitor>();
    let page = match request.app_data::<Data<State>>() {
        Some(state) => problems::page(state, visitor, problem),
        None => Err(Problem::internal("no state")),
    };
    page.unwrap_or_else(|fault| actix_web::ResponseError::error_response(&fault))
}
