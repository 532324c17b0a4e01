//! Cards through Stripe's protocol: the few calls that payments off session need, each under a key of the fact that it is
//! for, and the check of its webhooks' signature.
//!
//! A webhook is taken for a hint only: what came of a payment is asked of Stripe itself, so that one that is forged,
//! sent twice or late changes nothing.
//!
//! Two things keep money from being taken twice. A payment is demanded under its id as `Idempotency-Key`, under which
//! Stripe acts once for at least 24 hours. And before a demand is repeated, however late, the customer's payment intents
//! are looked through for one that names the payment: that needs no memory of Stripe's but its books. While a demand is
//! still at work there it may not be listed yet, and then the key holds.

mod refund;

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
/// Where cards are, by their tokens.
const CARDS: &str = "/v1/payment_methods/";
/// Where payments are.
const INTENTS: &str = "/v1/payment_intents";
/// Payment intents of a customer that are looked through, newest first: all that Stripe gives at a time, and more than are
/// asked of a payer while one of them is unknown.
const LOOKED_THROUGH: &str = "100";

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

/// What we wrote on an object; objects of others may have null.
type Metadata = Option<serde_json::Map<String, serde_json::Value>>;

#[derive(Debug, Deserialize)]
struct Object {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Card {
    id: String,
    #[serde(default)]
    customer: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    data: Vec<Intent>,
}

#[derive(Debug, Deserialize)]
struct Intent {
    id: String,
    amount: i64,
    currency: String,
    status: String,
    #[serde(default)]
    metadata: Metadata,
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
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    param: Option<String>,
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

/// What a call came to; else what that makes of the payment: declined, or unknown.
type Called<T> = Result<T, Outcome>;

impl Refusal {
    /// Whether it is for the payer to put right: a token that is none (any more), or of somebody else, or a sum that cards
    /// are not taken for. Nothing was taken then, nor will be however often it is asked.
    fn is_the_payers(&self, path: &str) -> bool {
        let of_the_card = path.starts_with(CARDS) || self.param.as_deref() == Some("payment_method");
        let of_the_sum = self.code.as_deref().is_some_and(|code| {
            code.starts_with("amount_too_") || matches!(code, "charge_already_refunded" | "charge_disputed")
        });
        self.kind.as_deref() == Some("invalid_request_error") && (of_the_card || of_the_sum)
    }

    fn declined(&self) -> Outcome {
        Outcome::Declined { reason: self.word(), url: None }
    }

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
        match self.charge(demand).await {
            Ok(intent) => outcome_of(demand, &intent),
            Err(outcome) => outcome,
        }
    }

    async fn charge(&self, demand: &Demand) -> Called<Intent> {
        let customer = self.customer(demand.subscription).await?;
        let card = self.card(demand, &customer).await?;
        let (amount, currency) = (demand.amount.minor().to_string(), demand.amount.currency().code().to_lowercase());
        let (payment, subscription) = (demand.payment.to_string(), demand.subscription.to_string());
        let form = [
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("customer", &customer),
            ("payment_method", &card),
            ("off_session", "true"),
            ("confirm", "true"),
            ("metadata[payment]", &payment),
            ("metadata[subscription]", &subscription),
        ];
        self.post(INTENTS, &form, &payment).await
    }

    /// What came of it; none where Stripe never heard of it.
    pub async fn look_up(&self, demand: &Demand) -> Option<Outcome> {
        let known = match customer(&self.db, demand.subscription).await {
            Ok(known) => known?,
            Err(_) => return Some(Outcome::Unknown),
        };
        let query = [("customer", known.as_str()), ("limit", LOOKED_THROUGH)];
        let Ok(listed) = self.get::<Listed>(INTENTS, &query).await else {
            return Some(Outcome::Unknown);
        };
        listed.data.iter().find(|intent| is_of(demand, intent)).map(|intent| outcome_of(demand, intent))
    }

    /// The payer's customer at Stripe.
    async fn customer(&self, payer: SubscriptionId) -> Called<String> {
        match customer(&self.db, payer).await {
            Ok(Some(known)) => Ok(known),
            Ok(None) => self.new_customer(payer).await,
            Err(_) => Err(Outcome::Unknown),
        }
    }

    async fn new_customer(&self, payer: SubscriptionId) -> Called<String> {
        let name = payer.to_string();
        let form = [("metadata[subscription]", name.as_str())];
        let made: Object = self.post("/v1/customers", &form, &format!("customer-{payer}")).await?;
        let kept: Result<String, StoreError> =
            self.db.write("stripe-customer", async |tx| keep_customer(tx, payer, &made.id).await).await;
        kept.map_err(|_| Outcome::Unknown)
    }

    /// The id of the card, attached to the customer. It may be another than the token: a test token such as `pm_card_visa`
    /// becomes a new card when it is attached.
    async fn card(&self, demand: &Demand, customer: &str) -> Called<String> {
        let path = format!("{CARDS}{}", demand.token);
        let card: Card = self.get(&path, &[]).await?;
        if card.customer.as_deref() == Some(customer) {
            return Ok(card.id);
        }
        let key = format!("attach-{customer}-{}", demand.token);
        let attached: Object = self.post(&format!("{path}/attach"), &[("customer", customer)], &key).await?;
        Ok(attached.id)
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
        let answer = request.send().await.map_err(|error| {
            tracing::warn!(path, error = %error.without_url(), "the payment provider does not answer");
            Outcome::Unknown
        })?;
        let status = answer.status();
        if !status.is_success() {
            let refusal = answer.json::<Refused>().await.unwrap_or_default().error;
            if status == StatusCode::PAYMENT_REQUIRED || refusal.is_the_payers(path) {
                return Err(refusal.declined());
            }
            // Ours to put right, or the provider's.
            let code = refusal.code;
            tracing::error!(path, %status, code, "the payment provider refuses the call");
            return Err(Outcome::Unknown);
        }
        answer.json().await.map_err(|error| {
            tracing::error!(path, error = %error.without_url(), "the payment provider's answer cannot be read");
            Outcome::Unknown
        })
    }
}

fn payment_of(metadata: Option<&serde_json::Map<String, serde_json::Value>>) -> Option<&str> {
    metadata.and_then(|metadata| metadata.get("payment")).and_then(serde_json::Value::as_str)
}

fn is_of(demand: &Demand, intent: &Intent) -> bool {
    payment_of(intent.metadata.as_ref()) == Some(demand.payment.to_string().as_str())
}

fn outcome_of(demand: &Demand, intent: &Intent) -> Outcome {
    let currency = demand.amount.currency().code();
    if intent.amount != demand.amount.minor() || !intent.currency.eq_ignore_ascii_case(currency) {
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
        _ => intent.last_payment_error.as_ref().unwrap_or(&Refusal::default()).declined(),
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
    metadata: Metadata,
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
    let named = payment_of(event.data.object.metadata.as_ref());
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
