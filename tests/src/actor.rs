//! Somebody who speaks to the server: a person with a token, the platform with a service key, or nobody known.

use crate::answer::Answer;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a purchase says who pays.
#[derive(Clone, Copy, Debug)]
pub enum Billing<'a> {
    /// Says nothing: the organization is linked, or the answer will be `billing-setup-required`.
    Linked,
    /// The id of a subscription.
    Existing(&'a str),
    /// A subscription made in the same act, paid by invoice.
    New { name: &'a str, country: &'a str, currency: &'a str },
}

impl Billing<'_> {
    fn json(self) -> Option<Value> {
        match self {
            Self::Linked => None,
            Self::Existing(subscription) => Some(json!({ "subscription": subscription })),
            Self::New { name, country, currency } => Some(json!({ "new_subscription": {
                "name": name, "country": country, "currency": currency, "payment": { "method": "invoice" },
            } })),
        }
    }
}

/// The body of a quote or purchase.
pub fn body_of(organization: &str, items: Value, billing: Billing<'_>) -> Value {
    let mut body = json!({ "organization": organization, "items": items });
    if let Some(billing) = billing.json() {
        body["billing"] = billing;
    }
    body
}

/// `items` of one offer each, by quantity.
pub fn items_of(items: &[(&str, i64)]) -> Value {
    items.iter().map(|(offer, quantity)| json!({ "offer": offer, "quantity": quantity })).collect()
}

/// What a quote says of its lines and a purchase keeps: all but the charge, which only a purchase has.
pub fn lines_of(quote: &Value) -> Vec<Value> {
    let mut lines = quote["lines"].as_array().unwrap_or_else(|| panic!("no lines in {quote}")).clone();
    for line in &mut lines {
        line.as_object_mut().expect("a line").remove("charge");
    }
    lines
}

/// Somebody who speaks to the server.
#[derive(Clone)]
pub struct Actor {
    pub(crate) client: reqwest::Client,
    pub(crate) url: String,
    pub(crate) bearer: Option<String>,
    pub(crate) keys: Arc<AtomicU64>,
}

impl Actor {
    /// The same at another server of the same database.
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// The token or service key.
    pub fn bearer(&self) -> &str {
        self.bearer.as_deref().expect("somebody known")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None, None).await
    }

    /// A POST, with a fresh `Idempotency-Key` where the contract requires one.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let key = (path == "/v1/purchases").then(|| self.fresh_key());
        self.call(Method::POST, path, Some(&body), key.as_deref()).await
    }

    pub async fn post_keyed(&self, path: &str, body: &Value, key: &str) -> Answer {
        self.call(Method::POST, path, Some(body), Some(key)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(&body), None).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Some(&body), None).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None, None).await
    }

    pub async fn quotes(&self, organization: &str, offer: &str, quantity: i64, billing: Billing<'_>) -> Answer {
        self.quotes_all(organization, &[(offer, quantity)], billing).await
    }

    pub async fn quotes_all(&self, organization: &str, items: &[(&str, i64)], billing: Billing<'_>) -> Answer {
        self.post("/v1/quotes", body_of(organization, items_of(items), billing)).await
    }

    pub async fn buys(&self, organization: &str, offer: &str, quantity: i64, billing: Billing<'_>) -> Answer {
        self.buys_all(organization, &[(offer, quantity)], billing).await
    }

    pub async fn buys_all(&self, organization: &str, items: &[(&str, i64)], billing: Billing<'_>) -> Answer {
        self.post("/v1/purchases", body_of(organization, items_of(items), billing)).await
    }

    /// What the organization has of an offer.
    pub async fn entitlement(&self, organization: &str, offer: &str) -> Value {
        self.get(&format!("/v1/organizations/{organization}/entitlements/{offer}")).await.ok()
    }

    /// The id of the subscription called `name`, as this caller sees it.
    pub async fn subscription(&self, name: &str) -> String {
        let all = self.all("/v1/subscriptions?limit=100").await;
        let found = all.iter().find(|subscription| subscription["name"] == name);
        found.and_then(|found| found["id"].as_str()).unwrap_or_else(|| panic!("no {name} in {all:?}")).to_owned()
    }

    /// Every element of a list, page by page.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        self.all_after(path, "").await
    }

    /// The elements of a list after a cursor, page by page.
    pub async fn all_after(&self, path: &str, after: &str) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), after.to_owned());
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = match after.as_str() {
                "" => self.get(path).await.ok(),
                after => self.get(&format!("{path}{separator}after={after}")).await.ok(),
            };
            let data = page["data"].as_array().unwrap_or_else(|| panic!("{path}: no data in {page}"));
            all.extend(data.iter().cloned());
            match &page["next"] {
                Value::Null => return all,
                Value::String(next) => {
                    assert!(!data.is_empty() && *next != after, "{path}: a page that leads nowhere");
                    after.clone_from(next);
                }
                other => panic!("{path}: next is {other}"),
            }
            assert!(all.len() < 100_000, "{path}: pages without end");
        }
    }

    pub fn fresh_key(&self) -> String {
        format!("test-{}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>, key: Option<&str>) -> Answer {
        let mut headers = vec![];
        if body.is_some() {
            headers.push((CONTENT_TYPE.as_str(), "application/json"));
        }
        if let Some(key) = key {
            headers.push(("idempotency-key", key));
        }
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        self.raw(method, path, body, &headers).await
    }

    /// Any request at all, asserting nothing but decency.
    pub async fn raw(&self, method: Method, path: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> Answer {
        let request = format!("{method} {path}");
        let answer = self.try_raw(method, path, body, headers).await;
        answer.unwrap_or_else(|error| panic!("{request}: {error:?}")).decent()
    }

    /// Any request, also where the server may go away.
    ///
    /// # Errors
    /// When no whole answer came back.
    pub async fn try_raw(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, reqwest::Error> {
        let request = format!("{method} {path}");
        let mut builder = self.client.request(method, format!("{}{path}", self.url));
        if let Some(bearer) = &self.bearer {
            builder = builder.bearer_auth(bearer);
        }
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        if !body.is_empty() {
            builder = builder.body(body);
        }
        let response = builder.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { request, status, headers, body: response.bytes().await?.to_vec() })
    }

    /// A purchase that may stay without an answer, since the server may be killed meanwhile.
    ///
    /// # Errors
    /// When no whole answer came back.
    pub async fn try_buy(&self, body: &Value, key: &str) -> Result<Answer, reqwest::Error> {
        let headers = [(CONTENT_TYPE.as_str(), "application/json"), ("idempotency-key", key)];
        self.try_raw(Method::POST, "/v1/purchases", body.to_string().into_bytes(), &headers).await
    }
}
