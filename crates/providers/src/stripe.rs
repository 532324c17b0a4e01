//! Cards through Stripe's protocol: the few calls that payments off session need, each under a key of the fact that it is
//! for, and the check of its webhooks' signature.
//!
//! A webhook is taken for a hint only: what came of a payment is asked of Stripe itself, so that one that is forged,
//! sent twice or late changes nothing.

use billing::payment::{Demand, Outcome};
use hmac::{Hmac, Mac};
use kernel::{PaymentId, SubscriptionId, Timestamp};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use sha2::Sha256;
use std::sync::Arc;
use std::time::Duration;
use store::payments::{customer, keep_customer};
use store::{Db, StoreError};

/// The version of the protocol that this client speaks.
const VERSION: &str = "2024-06-20";
/// How long an answer is waited for.
const WAIT: Duration = Duration::from_secs(10);
/// How old a webhook's signature may be, in seconds (Stripe's own advice).
const TOLERANCE: i64 = 300;
/// Payment intents of a customer that are looked through, newest first.
const INTENTS: &str = "100";

/// The provider.
#[derive(Clone)]
pub struct Stripe {
    client: Client,
    url: Arc<str>,
    key: Arc<str>,
    db: Db,
}

impl std::fmt::Debug for Stripe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stripe").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
struct Object {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Listed {
    data: Vec<Intent>,
}

#[derive(Debug, Deserialize)]
struct Intent {
    id: String,
    amount: i64,
    status: String,
    #[serde(default)]
    metadata: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    last_payment_error: Option<Refusal>,
    #[serde(default)]
    next_action: Option<NextAction>,
}

#[derive(Debug, Deserialize)]
struct NextAction {
    #[serde(default)]
    redirect_to_url: Option<Redirect>,
}

#[derive(Debug, Deserialize)]
struct Redirect {
    url: String,
}

#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Refused {
    #[serde(default)]
    error: Refusal,
}

/// What a call came to.
enum Called<T> {
    Done(T),
    /// The card was refused.
    Declined(Refusal),
    /// Nobody knows whether it was done.
    Unknown,
}

impl Refusal {
    /// The provider's word for it.
    fn word(&self) -> String {
        let word = self.decline_code.as_deref().or(self.code.as_deref()).unwrap_or("card_declined");
        word.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(60).collect()
    }
}

/// A client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for Stripe cannot be made: {0}")]
pub struct ClientFault(#[from] reqwest::Error);

impl Stripe {
    /// A client of the server at `url` with this secret key, which keeps its customers' ids in `db`.
    ///
    /// # Errors
    /// [`ClientFault`] where the machine has no trusted certificates.
    pub fn new(url: &str, key: &str, db: Db) -> Result<Self, ClientFault> {
        // Whoever installed one before is right too.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(WAIT).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { client, url: url.trim_end_matches('/').into(), key: key.into(), db })
    }

    /// Asks for a payment.
    pub async fn pay(&self, demand: &Demand) -> Outcome {
        match self.customer(demand).await {
            Called::Done(customer) => self.charge(demand, &customer).await,
            Called::Declined(refusal) => Outcome::Declined { reason: refusal.word(), url: None },
            Called::Unknown => Outcome::Unknown,
        }
    }

    async fn charge(&self, demand: &Demand, customer: &str) -> Outcome {
        let (amount, currency) = (demand.amount.minor().to_string(), demand.amount.currency().code().to_lowercase());
        let (payment, subscription) = (demand.payment.to_string(), demand.subscription.to_string());
        let form = [
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("customer", customer),
            ("payment_method", &demand.token),
            ("off_session", "true"),
            ("confirm", "true"),
            ("metadata[payment]", &payment),
            ("metadata[subscription]", &subscription),
        ];
        match self.post::<Intent>("/v1/payment_intents", &form, &payment).await {
            Called::Done(intent) => outcome_of(demand, &intent),
            Called::Declined(refusal) => Outcome::Declined { reason: refusal.word(), url: None },
            Called::Unknown => Outcome::Unknown,
        }
    }

    /// What came of it; none where Stripe never heard of it.
    pub async fn look_up(&self, demand: &Demand) -> Option<Outcome> {
        let known = match customer(&self.db, demand.subscription).await {
            Ok(known) => known?,
            Err(_) => return Some(Outcome::Unknown),
        };
        let query = [("customer", known.as_str()), ("limit", INTENTS)];
        let Called::Done(listed) = self.get::<Listed>("/v1/payment_intents", &query).await else {
            return Some(Outcome::Unknown);
        };
        listed.data.iter().find(|intent| is_of(demand, intent)).map(|intent| outcome_of(demand, intent))
    }

    /// The payer's customer at Stripe, with the card attached to it.
    async fn customer(&self, demand: &Demand) -> Called<String> {
        let payer = demand.subscription;
        let known = match customer(&self.db, payer).await {
            Ok(Some(known)) => known,
            Ok(None) => match self.new_customer(payer).await {
                Called::Done(made) => made,
                Called::Declined(refusal) => return Called::Declined(refusal),
                Called::Unknown => return Called::Unknown,
            },
            Err(_) => return Called::Unknown,
        };
        let path = format!("/v1/payment_methods/{}/attach", demand.token);
        let key = format!("attach-{payer}-{}", demand.token);
        match self.post::<Object>(&path, &[("customer", known.as_str())], &key).await {
            Called::Done(_) => Called::Done(known),
            Called::Declined(refusal) => Called::Declined(refusal),
            Called::Unknown => Called::Unknown,
        }
    }

    async fn new_customer(&self, payer: SubscriptionId) -> Called<String> {
        let name = payer.to_string();
        let form = [("metadata[subscription]", name.as_str())];
        let made = match self.post::<Object>("/v1/customers", &form, &format!("customer-{payer}")).await {
            Called::Done(made) => made.id,
            Called::Declined(refusal) => return Called::Declined(refusal),
            Called::Unknown => return Called::Unknown,
        };
        let kept: Result<String, StoreError> =
            self.db.write("stripe-customer", async |tx| keep_customer(tx, payer, &made).await).await;
        kept.map_or(Called::Unknown, Called::Done)
    }

    async fn post<T: for<'de> Deserialize<'de>>(&self, path: &str, form: &[(&str, &str)], key: &str) -> Called<T> {
        let request = self.request(Method::POST, path).header("Idempotency-Key", key).form(form);
        self.call(path, request).await
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, path: &str, query: &[(&str, &str)]) -> Called<T> {
        self.call(path, self.request(Method::GET, path).query(query)).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.key)
            .header("Stripe-Version", VERSION)
    }

    async fn call<T: for<'de> Deserialize<'de>>(&self, path: &str, request: reqwest::RequestBuilder) -> Called<T> {
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(path, error = %error.without_url(), "the payment provider does not answer");
                return Called::Unknown;
            }
        };
        let status = answer.status();
        if status == StatusCode::PAYMENT_REQUIRED {
            return Called::Declined(answer.json::<Refused>().await.unwrap_or_default().error);
        }
        if !status.is_success() {
            // Ours to put right, or the provider's; never the payer's fault.
            let code = answer.json::<Refused>().await.unwrap_or_default().error.code;
            tracing::error!(path, %status, code, "the payment provider refuses the call");
            return Called::Unknown;
        }
        match answer.json().await {
            Ok(value) => Called::Done(value),
            Err(error) => {
                tracing::error!(path, error = %error.without_url(), "the payment provider's answer cannot be read");
                Called::Unknown
            }
        }
    }
}

fn is_of(demand: &Demand, intent: &Intent) -> bool {
    intent.metadata.get("payment").and_then(serde_json::Value::as_str) == Some(demand.payment.to_string().as_str())
}

fn outcome_of(demand: &Demand, intent: &Intent) -> Outcome {
    if intent.amount != demand.amount.minor() {
        tracing::error!(payment = %demand.payment, intent = intent.id, "the provider has another amount for a payment");
        return Outcome::Unknown;
    }
    match intent.status.as_str() {
        "succeeded" => Outcome::Received(intent.id.clone()),
        "processing" => Outcome::Unknown,
        "requires_action" => {
            let redirect = intent.next_action.as_ref().and_then(|next| next.redirect_to_url.as_ref());
            let url = redirect.map(|redirect| redirect.url.clone());
            Outcome::Declined { reason: "authentication_required".to_owned(), url }
        }
        _ => {
            let reason = intent.last_payment_error.as_ref().map_or_else(|| "card_declined".to_owned(), Refusal::word);
            Outcome::Declined { reason, url: None }
        }
    }
}

/// Why a webhook is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookFault {
    /// It is not signed with the secret.
    #[error("the signature is not the one of this body")]
    Signature,
    /// It was signed too long ago, or ahead of time.
    #[error("the signature is too old")]
    Age,
    /// It is no event.
    #[error("the body is no event")]
    Body,
}

#[derive(Deserialize)]
struct Event {
    data: EventData,
}

#[derive(Deserialize)]
struct EventData {
    object: EventObject,
}

#[derive(Deserialize)]
struct EventObject {
    #[serde(default)]
    metadata: serde_json::Map<String, serde_json::Value>,
}

/// The payment that a webhook is about, if it is of ours; believed only if its `Stripe-Signature` is right.
///
/// # Errors
/// [`WebhookFault`]: it is not believed.
pub fn webhook(body: &[u8], signature: &str, secret: &str, now: Timestamp) -> Result<Option<PaymentId>, WebhookFault> {
    let part = |name: &'static str| {
        signature.split(',').filter_map(move |part| part.trim().split_once('=')).filter(move |(key, _)| *key == name)
    };
    let (_, at) = part("t").next().ok_or(WebhookFault::Signature)?;
    let genuine = part("v1").any(|(_, hash)| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
        mac.update(at.as_bytes());
        mac.update(b".");
        mac.update(body);
        hex::decode(hash).is_ok_and(|hash| mac.verify_slice(&hash).is_ok())
    });
    if !genuine || secret.is_empty() {
        return Err(WebhookFault::Signature);
    }
    let at: i64 = at.parse().map_err(|_| WebhookFault::Signature)?;
    if at.abs_diff(now.timestamp()) > TOLERANCE.unsigned_abs() {
        return Err(WebhookFault::Age);
    }
    let event: Event = serde_json::from_slice(body).map_err(|_| WebhookFault::Body)?;
    let named = event.data.object.metadata.get("payment").and_then(serde_json::Value::as_str);
    Ok(named.and_then(|named| named.parse::<PaymentId>().ok()).filter(|id: &PaymentId| !id.uuid().is_nil()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_test";

    fn signed(body: &[u8], at: i64, secret: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{at}.").as_bytes());
        mac.update(body);
        format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
    }

    /// R-46: only what is signed with the secret, of this body, now, is believed.
    #[test]
    fn a_webhook_is_believed_by_its_signature() {
        let id = PaymentId::from_uuid(uuid::Uuid::from_u64_pair(1, 2));
        let body = serde_json::json!({"type": "payment_intent.succeeded",
            "data": {"object": {"id": "pi_1", "metadata": {"payment": id}}}});
        let body = body.to_string().into_bytes();
        let now = kernel::from_micros(1_700_000_000_000_000);
        let at = now.timestamp();
        let right = signed(&body, at, SECRET);
        assert_eq!(webhook(&body, &right, SECRET, now), Ok(Some(id)));
        assert_eq!(webhook(&body, &format!("v1=00,{right}"), SECRET, now), Ok(Some(id)), "one of several is enough");
        for (signature, fault) in [
            (String::new(), WebhookFault::Signature),
            ("t=,v1=".to_owned(), WebhookFault::Signature),
            (signed(&body, at, "other"), WebhookFault::Signature),
            (right.replace(&format!("t={at}"), &format!("t={}", at + 1)), WebhookFault::Signature),
            (signed(&body, at - 301, SECRET), WebhookFault::Age),
            (signed(&body, at + 301, SECRET), WebhookFault::Age),
        ] {
            assert_eq!(webhook(&body, &signature, SECRET, now), Err(fault), "{signature}");
        }
        let mut other = body.clone();
        other[20] ^= 1;
        assert_eq!(webhook(&other, &right, SECRET, now), Err(WebhookFault::Signature));
        assert_eq!(
            webhook(&body, &signed(&body, at, ""), "", now),
            Err(WebhookFault::Signature),
            "no secret, no belief"
        );
        let strange = br#"{"data": 1}"#;
        assert_eq!(webhook(strange, &signed(strange, at, SECRET), SECRET, now), Err(WebhookFault::Body));
        let foreign = br#"{"data": {"object": {"id": "cus_1"}}}"#;
        assert_eq!(webhook(foreign, &signed(foreign, at, SECRET), SECRET, now), Ok(None));
    }
}
