//! Refunds are asked for and settled like payments: outside of any transaction, under the refund's id, and one that was
//! left in between by asking first what came of it. So two at once, or one twice, pay no money back twice.

use crate::collecting::Work;
use crate::state::State;
use billing::collection::Desk;
use billing::payment::Outcome;
use billing::refunding;
use kernel::CreditNoteId;
use store::refunds::{self, RefundRow};
use store::{Actor, StoreError, audit};

/// Refunds that are looked up at a time.
const STRIDE: i64 = 100;

/// Asks for what a credit note pays back.
///
/// # Errors
/// The store's; what was not asked stays recorded, and the job goes on.
pub async fn of_note(state: &State, note: CreditNoteId) -> Result<(), StoreError> {
    let work = Work::of(state);
    for row in refunds::of_note(&state.db, note, STRIDE).await? {
        if row.state == "asked" {
            settle(&work, &row).await?;
        }
    }
    state.committed.notify_one();
    Ok(())
}

/// Finds out what came of refunds that were left in between; how many are still unknown.
///
/// # Errors
/// The store's.
pub async fn settle_all(work: &Work) -> Result<u64, StoreError> {
    let (mut unknown, mut after) = (0_u64, None);
    loop {
        let asked = refunds::asked(&work.db, after, STRIDE).await?;
        let Some(last) = asked.last() else { return Ok(unknown) };
        after = Some(last.id);
        for row in &asked {
            if settle(work, row).await? == Outcome::Unknown {
                unknown = unknown.saturating_add(1);
            }
        }
    }
}

/// Asks what came of a refund before it is asked for, under the same key.
async fn settle(work: &Work, row: &RefundRow) -> Result<Outcome, StoreError> {
    let Some(demand) = refunding::demand(&work.db, row).await? else { return Ok(Outcome::Unknown) };
    let outcome = match work.providers.look_up_refund(&demand).await {
        Some(outcome) => outcome,
        None => work.providers.pay_back(&demand).await,
    };
    let word = match &outcome {
        Outcome::Received(_) => "refunded",
        Outcome::Declined { .. } => "declined",
        Outcome::Unknown => "unknown",
    };
    metrics::counter!("refunds_total", "outcome" => word).increment(1);
    let concluded = work.db.write("conclude-refund", async |tx| {
        let mut ids = work.till.ids();
        let mut new_id = || ids.uuid(work.now);
        let mut desk = Desk { tx, at: work.now, actor: Actor::System, new_id: &mut new_id, events: Vec::new() };
        refunding::conclude(&mut desk, &work.schedule, row.id, &outcome).await?;
        let events = desk.events;
        audit::append(tx, events, &mut ids, work.now).await
    });
    concluded.await?;
    Ok(outcome)
}
