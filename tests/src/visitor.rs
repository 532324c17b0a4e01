//! Somebody at the pages without a browser: a cookie, forms, and what came back.

use crate::app::App;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Mutex;

/// A page that came back.
#[derive(Clone, Debug)]
pub struct Page {
    pub status: u16,
    pub headers: HeaderMap,
    pub html: String,
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Where it leads on to.
    #[track_caller]
    pub fn leads_to(&self) -> String {
        assert_eq!(self.status, 303, "{}", self.html);
        self.header("location").to_owned()
    }

    /// Asserts the status and that the page says so.
    #[track_caller]
    pub fn says(&self, status: u16, words: &str) -> &Self {
        assert_eq!(self.status, status, "{}", self.html);
        assert!(self.html.contains(words), "no {words:?} in {}", self.html);
        self
    }

    #[track_caller]
    pub fn lacks(&self, words: &str) -> &Self {
        assert!(!self.html.contains(words), "{words:?} in {}", self.html);
        self
    }

    /// The value of the first hidden field of this name.
    #[track_caller]
    pub fn hidden(&self, name: &str) -> String {
        let begin = format!("name=\"{name}\" value=\"");
        let at = self.html.find(&begin).unwrap_or_else(|| panic!("no field {name} in {}", self.html)) + begin.len();
        self.html[at..].split('"').next().expect("a value").to_owned()
    }
}

/// A visitor of the pages.
pub struct Visitor {
    client: reqwest::Client,
    url: String,
    cookie: Mutex<String>,
}

impl Visitor {
    /// Nobody yet.
    pub fn new(app: &App) -> Self {
        let client = crate::http().redirect(reqwest::redirect::Policy::none()).build();
        Self { client: client.expect("a client"), url: app.url().to_owned(), cookie: Mutex::default() }
    }

    /// Signed in by the demonstration's page.
    pub async fn signed_in(app: &App, email: &str) -> Self {
        let visitor = Self::new(app);
        let page = visitor.post("/sign-in", &[("person", email)]).await;
        assert_eq!(page.leads_to(), "/marketplace");
        visitor
    }

    pub fn cookie(&self) -> String {
        self.cookie.lock().expect("the cookie").clone()
    }

    pub fn set_cookie(&self, cookie: &str) {
        cookie.clone_into(&mut self.cookie.lock().expect("the cookie"));
    }

    pub async fn get(&self, path: &str) -> Page {
        self.send(self.client.get(format!("{}{path}", self.url))).await
    }

    /// Follows a redirect to this site.
    pub async fn follow(&self, page: &Page) -> Page {
        self.get(&page.leads_to()).await
    }

    /// Sends a form as it is.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.post_with(path, fields, &[]).await
    }

    /// The same with more headers.
    pub async fn post_with(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Page {
        let body = fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let body: Vec<String> = body.collect();
        let mut request = self.client.post(format!("{}{path}", self.url));
        request = request.header("content-type", "application/x-www-form-urlencoded").body(body.join("&"));
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            request = request.header(name, HeaderValue::from_str(value).expect("a value"));
        }
        self.send(request).await
    }

    /// Sends a form of a page: with the word that the page carries.
    pub async fn send_form(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let word = self.get("/services").await.hidden("csrf");
        let mut all = vec![("csrf", word.as_str())];
        all.extend_from_slice(fields);
        self.post(path, &all).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Page {
        let request = request.header("accept", "text/html,*/*;q=0.1").header("cookie", self.cookie());
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        if let Some(set) = headers.get("set-cookie").and_then(|value| value.to_str().ok()) {
            self.set_cookie(set.split(';').next().unwrap_or_default());
        }
        Page { status, headers, html: answer.text().await.expect("text") }
    }
}

/// Every byte that could mean something is written by its number.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(byte).collect()
}
