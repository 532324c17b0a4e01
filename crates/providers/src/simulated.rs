//! Payments that are only played, with a menu of faults by the card's token. Like a provider elsewhere it remembers what
//! it was asked, under the payment's id, whatever becomes of who asked.
//!
//! | token | what happens |
//! |---|---|
//! | `tok_declined` | declined, when it is set up and when it is asked |
//! | `tok_expired` | declined whenever it is asked |
//! | `tok_authenticate` | declined until the payer authenticates |
//! | `tok_timeout` | taken, but the answer is lost |
//! | `tok_lost` | the first demand is lost on its way, the next one is taken |
//! | `tok_away` | the provider never answers |
//! | any other | taken |

use billing::payment::{Demand, Outcome};
use store::payments::{Simulated as Remembered, remember_simulated, simulated};
use store::{Db, StoreError};

/// The provider.
#[derive(Clone, Debug)]
pub struct Simulated {
    db: Db,
}

impl Simulated {
    /// One that remembers in `db`.
    #[must_use]
    pub const fn new(db: Db) -> Self {
        Self { db }
    }

    /// Asks for a payment.
    pub async fn pay(&self, demand: &Demand) -> Outcome {
        if demand.token == "tok_away" {
            return Outcome::Unknown;
        }
        let outcome = self.db.write("simulated-payment", async |tx| play(tx, demand).await).await;
        outcome.unwrap_or(Outcome::Unknown)
    }

    /// What came of it; none where it was never heard of.
    pub async fn look_up(&self, demand: &Demand) -> Option<Outcome> {
        if demand.token == "tok_away" {
            return Some(Outcome::Unknown);
        }
        match simulated(&self.db, demand.payment).await {
            Ok(found) => found.filter(|found| found.reason != LOST).map(|found| outcome_of(demand, &found)),
            Err(_) => Some(Outcome::Unknown),
        }
    }
}

/// What stands for a demand that did not reach the provider.
const LOST: &str = "lost";

async fn play(tx: &store::Tx, demand: &Demand) -> Result<Outcome, StoreError> {
    let known = simulated(tx, demand.payment).await?;
    if let Some(known) = known.as_ref().filter(|known| known.reason != LOST) {
        return Ok(outcome_of(demand, known));
    }
    let reason = match demand.token.as_str() {
        "tok_declined" => "card_declined",
        "tok_expired" => "expired_card",
        "tok_authenticate" => "authentication_required",
        "tok_lost" if known.is_none() => LOST,
        _ => "",
    };
    let new = Remembered { taken: reason.is_empty(), reason: reason.to_owned() };
    remember_simulated(tx, demand.payment, demand.amount, &new).await?;
    let lost = matches!(demand.token.as_str(), "tok_timeout") || reason == LOST;
    Ok(if lost { Outcome::Unknown } else { outcome_of(demand, &new) })
}

fn outcome_of(demand: &Demand, known: &Remembered) -> Outcome {
    if known.taken {
        Outcome::Received(format!("simulated_{}", demand.payment))
    } else {
        Outcome::Declined { reason: known.reason.clone(), url: None }
    }
}
