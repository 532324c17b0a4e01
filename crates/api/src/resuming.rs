//! What is suspended resumes once its payer pays again: at once after a payment, and by the job whatever put the payer
//! right. Which organizations that are is found from the data, and the till decides each: twice is once.

use crate::state::State;
use kernel::{Month, OrganizationId, SubscriptionId};
use marketplace::order::Command;
use marketplace::till::{Answer, Failure, Till};
use store::{Db, StoreError, months};
use tokio::task::JoinSet;

/// Organizations that are looked up, and in the till's hands, at a time: half a batch, beside purchases.
const STRIDE: i64 = 32;

/// Whether something is suspended in `month` whose payer pays.
///
/// # Errors
/// The store's.
pub async fn is_due(db: &Db, month: Month) -> Result<bool, StoreError> {
    Ok(!months::suspended(db, month, None, 1).await?.is_empty())
}

/// Resumes all that is suspended in `month` whose payer pays; how many organizations did.
///
/// # Errors
/// The store's, where the database or the till is away; what was done stays done, and the next run goes on.
pub async fn all(db: &Db, till: &Till, month: Month) -> Result<u64, StoreError> {
    let (mut resumed, mut after) = (0_u64, None);
    loop {
        let due = months::suspended(db, month, after, STRIDE).await?;
        let Some(last) = due.last().copied() else { return Ok(resumed) };
        after = Some(last);
        resumed = resumed.saturating_add(hand_in(till, due).await?);
    }
}

/// Resumes at once what is suspended of a payer, if it pays. What cannot be done now is left to the job, since the payment
/// that came before it stands.
pub async fn of_payer(state: &State, payer: SubscriptionId) {
    if let Err(error) = stretch(state, payer).await {
        tracing::warn!(%error, subscription = %payer, "what is suspended waits for the job");
    }
}

async fn stretch(state: &State, payer: SubscriptionId) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let due = months::suspended_of(&state.db, payer, after, STRIDE).await?;
        let Some(last) = due.last().copied() else { return Ok(()) };
        after = Some(last);
        hand_in(&state.till, due).await?;
        state.committed.notify_one();
    }
}

async fn hand_in(till: &Till, organizations: Vec<OrganizationId>) -> Result<u64, StoreError> {
    let mut handed = JoinSet::new();
    for organization in organizations {
        let till = till.clone();
        handed.spawn(async move { (organization, till.submit(Command::resume(organization)).await) });
    }
    let mut resumed = 0_u64;
    while let Some(came) = handed.join_next().await {
        match came {
            Ok((_, Ok(Answer::Done(_)))) => {
                metrics::counter!("entitlements_resumed_total").increment(1);
                resumed = resumed.saturating_add(1);
            }
            Ok((_, Ok(_))) => {}
            Ok((_, Err(Failure::Unavailable))) => {
                return Err(StoreError::Unavailable("the till is full or the database away".into()));
            }
            Ok((organization, Err(failure))) => {
                tracing::error!(%organization, ?failure, "what is suspended of an organization cannot resume");
            }
            Err(error) => return Err(StoreError::Unavailable(error.to_string())),
        }
    }
    Ok(resumed)
}
