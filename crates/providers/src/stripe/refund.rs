//! Refunds through Stripe's protocol: under the refund's id as `Idempotency-Key`, and looked for among those of the payment
//! intent before one is repeated.

use super::{Metadata, Refusal, Stripe};
use billing::payment::Outcome;
use billing::refund::RefundDemand;
use serde::Deserialize;

/// Where refunds are.
const REFUNDS: &str = "/v1/refunds";
/// Refunds of a payment that are looked through: all that Stripe gives at a time.
const LOOKED_THROUGH: &str = "100";

#[derive(Debug, Deserialize)]
struct Refund {
    id: String,
    amount: i64,
    currency: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    failure_reason: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Listed {
    data: Vec<Refund>,
}

impl Stripe {
    /// Asks for a refund. However often, it is paid once.
    pub async fn pay_back(&self, demand: &RefundDemand) -> Outcome {
        let (amount, refund) = (demand.amount.minor().to_string(), demand.refund.to_string());
        let form = [
            ("payment_intent", demand.reference.as_str()),
            ("amount", &amount),
            ("metadata[refund]", &refund),
            ("metadata[subscription]", &demand.subscription.to_string()),
        ];
        match self.post::<Refund>(REFUNDS, &form, &refund).await {
            Ok(made) => outcome_of(demand, &made),
            Err(outcome) => outcome,
        }
    }

    /// What came of it; none where Stripe never heard of it.
    pub async fn look_up_refund(&self, demand: &RefundDemand) -> Option<Outcome> {
        let query = [("payment_intent", demand.reference.as_str()), ("limit", LOOKED_THROUGH)];
        let Ok(listed) = self.get::<Listed>(REFUNDS, &query).await else { return Some(Outcome::Unknown) };
        let id = demand.refund.to_string();
        let is_it = |refund: &&Refund| {
            let named = refund.metadata.as_ref().and_then(|metadata| metadata.get("refund"));
            named.and_then(serde_json::Value::as_str) == Some(id.as_str())
        };
        listed.data.iter().find(is_it).map(|refund| outcome_of(demand, refund))
    }
}

fn outcome_of(demand: &RefundDemand, refund: &Refund) -> Outcome {
    let currency = demand.amount.currency().code();
    if refund.amount != demand.amount.minor() || !refund.currency.eq_ignore_ascii_case(currency) {
        tracing::error!(refund = %demand.refund, id = refund.id, "the provider has another amount for a refund");
        return Outcome::Unknown;
    }
    match refund.status.as_deref() {
        Some("succeeded") => Outcome::Received(refund.id.clone()),
        Some("failed" | "canceled") => {
            let reason = refund.failure_reason.clone().unwrap_or_else(|| "refund_failed".to_owned());
            Refusal { code: Some(reason), ..Refusal::default() }.declined()
        }
        _ => Outcome::Unknown,
    }
}
