//! An HTTP answer, kept whole, with the assertions that every test makes of one.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// The problems of the contract and the statuses they come with.
const PROBLEMS: &[(&str, &[u16])] = &[
    ("billing-setup-required", &[409]),
    ("billing-already-set-up", &[409]),
    ("subscription-not-eligible", &[409]),
    ("permission-denied", &[403]),
    ("not-found", &[404]),
    ("quantity-out-of-range", &[422]),
    ("quantity-changed", &[409]),
    ("idempotency-key-required", &[400]),
    ("idempotency-key-reused", &[422]),
    ("price-changed", &[409]),
    ("cannot-be-undone", &[409]),
    ("purchase-in-progress", &[409]),
    ("payment-declined", &[402]),
    ("budget-exceeded", &[409]),
    ("invalid-request", &[400, 413, 422]),
    ("unauthenticated", &[401]),
    ("too-many-requests", &[429]),
    ("unavailable", &[503]),
    ("method-not-allowed", &[405]),
    ("unsupported-media-type", &[415]),
];

/// What the server answered, and to what.
#[derive(Clone, Debug)]
pub struct Answer {
    /// `POST /v1/purchases`: for messages.
    pub request: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self}: not JSON: {error}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether an earlier answer was given again.
    pub fn replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// Asserts a 2xx and answers the body (`null` where there is none).
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self}: expected success");
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts the status and answers the body.
    #[track_caller]
    pub fn status(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts that it is the problem `slug`, whole and with the contract's status, and answers it.
    #[track_caller]
    pub fn problem(&self, slug: &str) -> Value {
        let statuses = PROBLEMS.iter().find(|(known, _)| *known == slug).expect("a problem of the contract").1;
        let kind = self.header("content-type").unwrap_or_default();
        assert!(statuses.contains(&self.status), "{self}: expected {slug} {statuses:?}");
        assert!(kind.starts_with("application/problem+json"), "{self}: content type {kind}");
        let problem = self.json();
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{self}");
        assert_eq!(problem["status"], self.status, "{self}");
        assert_eq!(problem["instance"].as_str(), self.header("x-request-id"), "{self}");
        for member in ["title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{self}: no {member}");
        }
        problem
    }

    /// Asserts a refused field: `invalid-request` with an error at the JSON pointer.
    #[track_caller]
    pub fn invalid(&self, pointer: &str) -> Value {
        let problem = self.problem("invalid-request");
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{self}: no errors"));
        assert!(errors.iter().any(|error| error["pointer"] == pointer), "{self}: nothing at {pointer}");
        assert!(errors.iter().all(|error| error["detail"].is_string()), "{self}: an error without detail");
        problem
    }

    /// What no answer may be, whatever was asked.
    #[track_caller]
    pub(crate) fn decent(self) -> Self {
        assert_ne!(self.status, 500, "{self}");
        assert!(self.header("x-request-id").is_some(), "{self}: no X-Request-Id");
        if self.status >= 400 {
            let text = self.text();
            for leak in ["SELECT ", "INSERT INTO", "sqlx", "sea_orm", "sea-orm", "panicked", "src/"] {
                assert!(!text.contains(leak), "{self}: shows its inside ({leak})");
            }
        }
        self
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.text();
        let shown: String = text.chars().take(1500).collect();
        write!(f, "{} -> {} {shown}", self.request, self.status)
    }
}
