//! Purchases that are paid when they are made: the till records what is to happen, the provider is asked outside of
//! any transaction, and the till completes or releases the purchase. Whoever bought waits a while for it; what is not known
//! by then is found out by the collection job, or when the provider calls.

use crate::collecting::{self, Work};
use crate::state::State;
use billing::collection;
use billing::payment::Outcome;
use kernel::{Month, PurchaseId};
use marketplace::order::{Command, Settling};
use marketplace::pending::CollectionState;
use marketplace::till::{Answer, Failure};
use std::time::Duration;
use store::payments::PaymentRow;
use store::{StoreError, collections, payments};

/// How long who bought waits for the provider's answer.
const WAIT: Duration = Duration::from_secs(10);

/// Why a payment that never reached its provider is not asked for any more: the month that it was for is over.
const EXPIRED: &str = "expired";

/// What a purchase came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bought {
    /// It was made now.
    Now(String),
    /// It was made before under the same key.
    Before(String),
    /// It waits for its payment; how it stands.
    Pending {
        /// As a purchase shows it.
        answer: String,
        /// Whether it was asked for before under the same key.
        replayed: bool,
    },
}

/// Buys. Where the purchase is paid at once the provider is asked, and its answer waited for a while.
///
/// # Errors
/// [`Failure`]; nothing was bought.
pub async fn buy(state: &State, command: Command) -> Result<Bought, Failure> {
    let (settling, pending) = match state.till.submit(command).await? {
        Answer::Done(answer) => return Ok(Bought::Now(answer)),
        Answer::Replayed(answer) => return Ok(Bought::Before(answer)),
        Answer::Pending(answer) => return Ok(Bought::Pending { answer, replayed: true }),
        Answer::Nothing => return Err(Failure::Fault),
        Answer::Asked(settling, answer) => (settling, answer),
    };
    let work = Work::of(state);
    // It goes on when nobody waits for it any more.
    let asking = actix_web::rt::spawn(async move { ask(&work, settling).await });
    let pending = Bought::Pending { answer: pending, replayed: false };
    match tokio::time::timeout(WAIT, asking).await {
        Ok(Ok(Ok(Answer::Done(answer) | Answer::Replayed(answer)))) => Ok(Bought::Now(answer)),
        Ok(Ok(Err(Failure::Refused(refusal)))) => Err(Failure::Refused(refusal)),
        // The purchase stands as it was recorded, whatever kept us from recording more.
        Ok(Ok(_) | Err(_)) | Err(_) => Ok(pending),
    }
}

/// Asks for the payment of a purchase, and settles it.
async fn ask(work: &Work, settling: Settling) -> Result<Answer, Failure> {
    let found = payments::find(&work.db, settling.payment).await;
    let row = found.map_err(|_| Failure::Unavailable)?.ok_or(Failure::Fault)?;
    let outcome = work.providers.pay(&collection::demand(&row)).await;
    record(work, settling, &outcome).await
}

/// Records what came of asking: the purchase is completed or released. Money for one that is released by now is its payer's.
async fn record(work: &Work, settling: Settling, outcome: &Outcome) -> Result<Answer, Failure> {
    collecting::count(outcome);
    let answer = work.till.submit(Command::settle(settling, outcome.clone())).await;
    if matches!(answer, Err(Failure::Refused(_))) && matches!(outcome, Outcome::Received(_)) {
        collecting::conclude(work, settling.payment, outcome).await.map_err(|_| Failure::Unavailable)?;
    }
    answer
}

/// Finds out what came of the payment of a purchase that was left in between, by asking first; if the provider never heard of
/// it, it is asked for again, under the same key.
///
/// # Errors
/// The store's.
pub async fn settle(work: &Work, row: &PaymentRow, purchase: PurchaseId) -> Result<Outcome, StoreError> {
    let Some(found) = collections::find(&work.db, purchase).await? else {
        // `verify` tells; all other payments are to be settled nevertheless.
        tracing::error!(payment = %row.id, %purchase, "a payment is of a purchase that is not there");
        return Ok(Outcome::Unknown);
    };
    let demand = collection::demand(row);
    let looked_up = work.providers.look_up(&demand).await;
    if found.state != CollectionState::Pending.as_str() {
        // Released, so that nothing is asked for any more; but what came in is not lost sight of.
        let outcome = looked_up.unwrap_or(Outcome::Unknown);
        if matches!(outcome, Outcome::Received(_)) {
            collecting::conclude(work, row.id, &outcome).await?;
        }
        return Ok(outcome);
    }
    let outcome = match looked_up {
        Some(outcome) => outcome,
        None if Month::of(row.asked_at) == Month::of(work.now) => work.providers.pay(&demand).await,
        None => Outcome::Declined { reason: EXPIRED.to_owned(), url: None },
    };
    if outcome != Outcome::Unknown {
        let settling =
            Settling { purchase, payment: row.id, organization: found.organization, payer: found.subscription };
        match record(work, settling, &outcome).await {
            Err(Failure::Unavailable) => {
                return Err(StoreError::Unavailable("the till does not take what came of a payment".into()));
            }
            Err(Failure::Fault) => {
                tracing::error!(payment = %row.id, %purchase, "what came of a payment cannot be recorded");
                return Ok(Outcome::Unknown);
            }
            Ok(_) | Err(Failure::Refused(_)) => {}
        }
    }
    Ok(outcome)
}
