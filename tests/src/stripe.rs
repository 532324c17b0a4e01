//! A server that speaks Stripe's protocol: localstripe with our front (`tests/stripe.py`), a process of each test's own.

use crate::binary;
use hmac::{Hmac, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// The key that tests call it with.
pub const KEY: &str = "sk_test_purser";
/// What its webhooks are signed with.
pub const SECRET: &str = "whsec_purser";

/// Numbers of cards by what becomes of them.
pub mod cards {
    /// Refused whenever it is to pay.
    pub const DECLINED: &str = "4000000000000341";
    /// Refused when it is attached to a customer.
    pub const REFUSED: &str = "4000000000000002";
    /// Must be authenticated by the payer each time.
    pub const AUTHENTICATED: &str = "4000002760003184";
}

/// A running server, killed when dropped.
pub struct Stripe {
    child: Child,
    port: u16,
    client: reqwest::Client,
}

impl Stripe {
    /// Starts one on a free port, which says when it listens.
    ///
    /// # Panics
    /// Where localstripe is not installed; `./test` does it.
    pub fn start() -> Self {
        let python = binary::repository().join("target/localstripe/bin/python");
        assert!(python.exists(), "no {}: run `./test`, which installs localstripe", python.display());
        let mut child = Command::new(python)
            .arg(binary::repository().join("tests/stripe.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("localstripe starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        out.read_line(&mut line).expect("its port");
        let port = line.trim().parse().expect("its port");
        Self { child, port, client: crate::http().build().expect("a client") }
    }

    /// Where it listens on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A new card with this number; its token.
    pub async fn card(&self, number: &str) -> String {
        let form = [
            ("type", "card"),
            ("card[number]", number),
            ("card[exp_month]", "12"),
            ("card[exp_year]", "2030"),
            ("card[cvc]", "123"),
        ];
        let made = self.call(Method::POST, "/v1/payment_methods", &form).await;
        made["id"].as_str().unwrap_or_else(|| panic!("no card: {made}")).to_owned()
    }

    /// All payment intents that it was asked for.
    pub async fn intents(&self) -> Vec<Value> {
        self.list("/v1/payment_intents?limit=100").await
    }

    /// The amounts that it took.
    pub async fn taken(&self) -> Vec<i64> {
        let intents = self.intents().await;
        let taken = intents.iter().filter(|intent| intent["status"] == "succeeded");
        taken.map(|intent| intent["amount"].as_i64().expect("an amount")).collect()
    }

    /// The events of this kind that it has, as it would send them.
    pub async fn events(&self, kind: &str) -> Vec<Value> {
        self.list(&format!("/v1/events?limit=100&type={kind}")).await
    }

    /// The payer authenticates a payment.
    pub async fn authenticate(&self, intent: &Value) {
        let path = format!("/v1/payment_intents/{}/_authenticate", intent["id"].as_str().expect("an id"));
        let secret = intent["client_secret"].as_str().expect("a secret");
        let done = self.call(Method::POST, &path, &[("success", "true"), ("client_secret", secret)]).await;
        assert_eq!(done["status"], "succeeded", "{done}");
    }

    /// Sends its events to `url` from now on.
    pub async fn sends_to(&self, url: &str) {
        let hook = json!({"url": url, "secret": SECRET}).to_string();
        let request = self.client.post(format!("{}/_config/webhooks/purser", self.url()));
        let done = request.header("content-type", "application/json").body(hook).send().await.expect("an answer");
        assert!(done.status().is_success(), "{done:?}");
    }

    /// Its answers to demands of payment do not come any more; it meets them all the same.
    pub async fn hold(&self) {
        self.call(Method::POST, "/_config/hold", &[]).await;
    }

    /// They come again.
    pub async fn release(&self) {
        self.call(Method::POST, "/_config/release", &[]).await;
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        let listed = self.call(Method::GET, path, &[]).await;
        listed["data"].as_array().unwrap_or_else(|| panic!("{path}: {listed}")).clone()
    }

    async fn call(&self, method: Method, path: &str, form: &[(&str, &str)]) -> Value {
        let mut request = self.client.request(method, format!("{}{path}", self.url())).bearer_auth(KEY);
        if !form.is_empty() {
            let form: Vec<String> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("content-type", "application/x-www-form-urlencoded").body(form.join("&"));
        }
        let text = request.send().await.expect("an answer").text().await.expect("a body");
        if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
        }
    }
}

impl Drop for Stripe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `Stripe-Signature` of a body, as of `age` seconds ago.
pub fn signature(body: &[u8], secret: &str, age: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let at = now - age;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
}
