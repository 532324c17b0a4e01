//! Refunds that are only played, by the token of the card that paid: `tok_timeout` pays back but its answer is lost,
//! `tok_lost` loses the first demand on its way, `tok_refund_declined` refuses, `tok_refund_away` never answers, any other
//! pays back. Never more goes back than the payment brought in.

use billing::payment::Outcome;
use billing::refund::RefundDemand;
use store::refunds::{Simulated as Remembered, remember_simulated, simulated};
use store::{Db, StoreError, Tx};

/// A card whose provider does not answer to refunds.
const AWAY: &str = "tok_refund_away";
/// What stands for a demand that did not reach the provider.
const LOST: &str = "lost";

/// Asks for a refund.
pub async fn pay_back(db: &Db, demand: &RefundDemand) -> Outcome {
    if demand.token == AWAY {
        return Outcome::Unknown;
    }
    let outcome = db.write("simulated-refund", async |tx| play(tx, demand).await).await;
    outcome.unwrap_or(Outcome::Unknown)
}

/// What came of it; none where it was never heard of.
pub async fn look_up(db: &Db, demand: &RefundDemand) -> Option<Outcome> {
    if demand.token == AWAY {
        return Some(Outcome::Unknown);
    }
    match simulated(db, demand.refund).await {
        Ok(found) => found.filter(|found| found.reason != LOST).map(|found| outcome_of(demand, &found)),
        Err(_) => Some(Outcome::Unknown),
    }
}

async fn play(tx: &Tx, demand: &RefundDemand) -> Result<Outcome, StoreError> {
    let known = simulated(tx, demand.refund).await?;
    if let Some(known) = known.as_ref().filter(|known| known.reason != LOST) {
        return Ok(outcome_of(demand, known));
    }
    let reason = match demand.token.as_str() {
        "tok_refund_declined" => "expired_or_canceled_card",
        "tok_lost" if known.is_none() => LOST,
        _ => "",
    };
    let new = Remembered { paid: reason.is_empty(), reason: reason.to_owned() };
    remember_simulated(tx, (demand.refund, demand.payment), demand.amount, &new).await?;
    let lost = demand.token == "tok_timeout" || reason == LOST;
    Ok(if lost { Outcome::Unknown } else { outcome_of(demand, &new) })
}

fn outcome_of(demand: &RefundDemand, known: &Remembered) -> Outcome {
    if known.paid {
        Outcome::Received(format!("simulated_{}", demand.refund))
    } else {
        Outcome::Declined { reason: known.reason.clone(), url: None }
    }
}
