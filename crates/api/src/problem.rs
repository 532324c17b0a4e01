//! What a client is told when a request did not succeed: RFC 9457 problems, and nowhere else HTTP's view
//! of an error.
//!
//! What the client reads and what the log holds are apart in the type: `detail` and the members are for
//! the client, `cause` is for the log and never leaves.

mod slug;

use std::borrow::Cow;
use std::fmt;

use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use kernel::PurchaseId;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::request_id;
use crate::token::TokenFault;
pub use slug::Slug;

/// The media type of problems.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A bad field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: a JSON pointer (RFC 6901) into the body, or `/name` of a query parameter.
    pub pointer: String,
    /// What is wrong, a sentence.
    pub detail: String,
}

/// Why a request did not succeed, as the client is told.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    slug: Slug,
    status: StatusCode,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    retry_after: Option<u32>,
    allow: Option<String>,
    /// A token was there, but not believed.
    bad_token: bool,
    cause: Option<String>,
}

/// What stands in the body.
#[derive(Serialize)]
struct Wire<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl Problem {
    fn new(slug: Slug, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            slug,
            status: slug.status(),
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            retry_after: None,
            allow: None,
            bad_token: false,
            cause: None,
        }))
    }

    /// First purchase without a payer; `subscriptions` as the picker lists them (R-16).
    pub fn billing_setup_required(subscriptions: impl Serialize, can_create: bool) -> Self {
        let detail = "The organization has no billing yet: choose who pays.";
        Self::new(Slug::BillingSetupRequired, detail)
            .with("subscriptions", subscriptions)
            .with("can_create", can_create)
    }

    /// A purchase names another payer than the linked one.
    pub fn billing_already_set_up(subscription: impl Serialize) -> Self {
        let detail = "The organization is billed to another subscription already.";
        Self::new(Slug::BillingAlreadySetUp, detail).with("subscription", subscription)
    }

    /// The payer cannot pay for this; `reasons` of R-11: code, message, remedy.
    pub fn subscription_not_eligible(reasons: impl Serialize) -> Self {
        let detail = "The subscription cannot pay for this; see the reasons.";
        Self::new(Slug::SubscriptionNotEligible, detail).with("reasons", reasons)
    }

    /// The caller lacks permission `missing`; `ask` lists `{name, role}` of who can help, `request` is
    /// where to ask (R-9). `detail` says it in a sentence.
    pub fn permission_denied(
        missing: &str,
        ask: impl Serialize,
        request: Option<&str>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(Slug::PermissionDenied, detail).with("missing", missing).with("ask", ask).with("request", request)
    }

    /// There is no such `what` ("organization"), or none that the caller may know of.
    pub fn not_found(what: &str) -> Self {
        let detail = format!("There is no such {what}, or you may not see it.");
        Self::new(Slug::NotFound, detail)
    }

    /// A quantity beyond what the offer takes (R-32).
    pub fn quantity_out_of_range(minimum: i64, maximum: i64) -> Self {
        let detail = format!("The quantity must be from {minimum} to {maximum}.");
        Self::new(Slug::QuantityOutOfRange, detail).with("minimum", minimum).with("maximum", maximum)
    }

    /// `from` is not what the quantity is (R-26).
    pub fn quantity_changed(quote: impl Serialize) -> Self {
        let detail = "The quantity was changed after you saw it; nothing was bought.";
        Self::new(Slug::QuantityChanged, detail).with("quote", quote)
    }

    /// A purchase without a key.
    pub fn idempotency_key_required() -> Self {
        Self::new(
            Slug::IdempotencyKeyRequired,
            "The header Idempotency-Key is missing or not 1 to 255 printable ASCII characters.",
        )
    }

    /// A key with another body (R-19).
    pub fn idempotency_key_reused() -> Self {
        Self::new(Slug::IdempotencyKeyReused, "This Idempotency-Key was used for a request with another body.")
    }

    /// The quote no longer holds.
    pub fn price_changed(quote: impl Serialize) -> Self {
        let detail = "The quote no longer holds; nothing was bought. The new one is here.";
        Self::new(Slug::PriceChanged, detail).with("quote", quote)
    }

    /// A purchase that stands for good.
    pub fn cannot_be_undone(why: &marketplace::CannotUndo) -> Self {
        let it = Self::new(Slug::CannotBeUndone, why.sentence()).with("reason", why.code());
        match why {
            marketplace::CannotUndo::LaterPurchase { purchase, .. } => it.with("purchase", purchase),
            _ => it,
        }
    }

    /// A purchase that waits for its payment holds what this one would change.
    pub fn purchase_in_progress(purchase: PurchaseId) -> Self {
        Self::new(Slug::PurchaseInProgress, "Another purchase of this waits for its payment.")
            .with("purchase", purchase)
    }

    /// The provider declined; `url` is where the payer can authenticate.
    pub fn payment_declined(reason: &str, url: Option<&str>) -> Self {
        let it =
            Self::new(Slug::PaymentDeclined, "The payment was declined; nothing was bought.").with("reason", reason);
        match url {
            Some(url) => it.with("url", url),
            None => it,
        }
    }

    /// A purchase would take a month over a budget (R-48).
    pub fn budget_exceeded(budget: impl Serialize, would_be: impl Serialize) -> Self {
        let detail = "The purchase would take a month over its budget; nothing was bought.";
        Self::new(Slug::BudgetExceeded, detail).with("budget", budget).with("would_be", would_be)
    }

    /// One field is wrong (422).
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid_fields(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    /// Fields are wrong (422).
    pub fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.pointer.is_empty() => one.detail.clone(),
            [one] => format!("{}: {}", one.pointer, one.detail),
            many => format!("{} fields are not valid; see the errors.", many.len()),
        };
        let mut it = Self::new(Slug::InvalidRequest, detail);
        it.0.errors = errors;
        it
    }

    /// What came cannot be read at all (400).
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        let mut it = Self::new(Slug::InvalidRequest, detail);
        it.0.status = StatusCode::BAD_REQUEST;
        it
    }

    /// The body has more than `limit` bytes (413).
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("The body is larger than {limit} bytes.");
        let mut it = Self::new(Slug::InvalidRequest, detail);
        it.0.status = StatusCode::PAYLOAD_TOO_LARGE;
        it
    }

    /// The body is of a type that is not taken (415).
    pub fn unsupported_media_type(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Slug::UnsupportedMediaType, detail)
    }

    /// Nobody is signed in.
    pub fn unauthenticated(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Slug::Unauthenticated, detail)
    }

    /// A token or key was shown, but is not believed.
    pub fn bad_credentials(detail: impl Into<Cow<'static, str>>) -> Self {
        let mut it = Self::new(Slug::Unauthenticated, detail);
        it.0.bad_token = true;
        it
    }

    /// Too many calls; try again after so many seconds.
    pub fn too_many_requests(retry_after: u32) -> Self {
        let mut it = Self::new(Slug::TooManyRequests, "There were too many calls; wait a little.");
        it.0.retry_after = Some(retry_after);
        it
    }

    /// The server is overloaded or the database away; try again after so many seconds.
    pub fn unavailable(retry_after: u32) -> Self {
        let detail =
            "The server cannot answer at the moment; send the same request again, a purchase with the same key.";
        let mut it = Self::new(Slug::Unavailable, detail);
        it.0.retry_after = Some(retry_after);
        it
    }

    /// A fault of ours: `cause` is logged, and the client is not told.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(Slug::InternalError, "Something went wrong here; it is logged.").with_cause(cause)
    }

    /// A route that takes other methods: `allow`, such as `GET, POST`.
    pub fn method_not_allowed(method: &Method, allow: impl Into<String>) -> Self {
        let allow = allow.into();
        let detail = format!("{} is not allowed here, but {allow}.", crate::telemetry::method_label(method));
        let mut it = Self::new(Slug::MethodNotAllowed, detail);
        it.0.allow = Some(allow);
        it
    }

    /// The same with another sentence.
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// The same with one more member. Not for those of RFC 9457.
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.0.members.insert(name.to_owned(), value);
        self
    }

    /// The same with one more bad field.
    pub fn with_error(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.errors.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// The same with a cause, which is logged when it is answered and never shown.
    pub fn with_cause(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// What kind it is.
    pub fn slug(&self) -> Slug {
        self.0.slug
    }

    /// What it is answered with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What the client is told in a sentence.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The bad fields.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The member of that name.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.0.members.get(name)
    }

    /// The body, with `instance` as the request's id.
    pub fn body(&self, instance: Option<&str>) -> String {
        let wire = Wire {
            r#type: format!("/problems/{}", self.0.slug),
            title: self.0.slug.title(),
            status: self.0.status.as_u16(),
            detail: &self.0.detail,
            instance,
            errors: &self.0.errors,
            members: &self.0.members,
        };
        // Names are texts and values are JSON already, so nothing in it can fail.
        serde_json::to_string(&wire).unwrap_or_default()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.0.slug, self.0.status.as_u16(), self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl From<TokenFault> for Problem {
    fn from(fault: TokenFault) -> Self {
        Self::bad_credentials(fault.to_string())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        let id = request_id::current();
        let instance = id.as_ref().map(request_id::RequestId::as_str);
        if let Some(cause) = &self.0.cause {
            tracing::error!(request_id = instance, problem = self.0.slug.as_str(), cause, "problem");
        }
        let mut answer = HttpResponseBuilder::new(self.0.status);
        answer.insert_header((CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON)));
        if let Some(seconds) = self.0.retry_after {
            answer.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        if let Some(allow) = &self.0.allow {
            answer.insert_header((ALLOW, allow.as_str()));
        }
        if self.0.slug == Slug::Unauthenticated {
            // RFC 6750: no error where no token was.
            let challenge = if self.0.bad_token {
                r#"Bearer realm="purser", error="invalid_token""#
            } else {
                r#"Bearer realm="purser""#
            };
            answer.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
        }
        answer.body(self.body(instance))
    }
}

#[cfg(test)]
mod tests;
