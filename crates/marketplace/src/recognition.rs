//! Revenue recognition: when a month of service is over, what was deferred for it is revenue; one posting a month, offer
//! and currency. What is charged for the month later is recognized when it is found, as a further part.

use billing::ledger::posting_of_recognition;
use kernel::{Currency, IdSource, Month, RecognitionId, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use store::ledger::{self, DeferredRow, RecognitionRow};
use store::{Actor, Db, NewEvent, StoreError, audit};

/// What was recognized of a month of service, as the audit trail keeps it.
#[derive(Serialize)]
struct Recognized<'a> {
    month: Month,
    parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
struct Part<'a> {
    recognition: RecognitionId,
    account: &'a str,
    currency: Currency,
    part: i64,
    /// Minor units.
    amount: i64,
}

/// Recognizes what is deferred for months before `month`, one transaction a month; how many postings that took. Twice is once,
/// for then nothing is deferred.
///
/// # Errors
/// The store's, where the database is away; what was recognized stays so, and the next run goes on.
pub async fn recognize_all(db: &Db, month: Month, now: Timestamp, ids: &IdSource) -> Result<u64, StoreError> {
    let mut done: u64 = 0;
    while let Some(over) = ledger::first_deferred(db, month).await? {
        let write = db.write("recognize-revenue", async |tx| {
            let mut ids = ids.clone();
            let rows = recognized(over, ledger::take_deferred(tx, over).await?, now, &mut ids)?;
            let rows = numbered(rows, &ledger::parts(tx, over).await?);
            ledger::recognize(tx, over, &rows).await?;
            if !rows.is_empty() {
                audit::append(tx, vec![told(over, &rows, now)], &mut ids, now).await?;
            }
            Ok::<usize, StoreError>(rows.len())
        });
        done = done.saturating_add(u64::try_from(write.await?).unwrap_or(0));
    }
    Ok(done)
}

/// What is recognized of what was deferred, an account and currency each; not numbered yet.
fn recognized(
    month: Month,
    deferred: Vec<DeferredRow>,
    at: Timestamp,
    ids: &mut IdSource,
) -> Result<Vec<RecognitionRow>, StoreError> {
    let mut sums: BTreeMap<(String, Currency), i64> = BTreeMap::new();
    for DeferredRow { account, currency, amount } in deferred {
        let sum = sums.entry((account, currency)).or_default();
        *sum = sum.checked_add(amount).ok_or_else(|| StoreError::corrupt("more is deferred than can be counted"))?;
    }
    let mut rows = Vec::with_capacity(sums.len());
    for ((account, currency), amount) in sums.into_iter().filter(|(_, amount)| *amount != 0) {
        let posting = posting_of_recognition(&account, amount)
            .ok_or_else(|| StoreError::corrupt(format!("{account} defers no revenue")))?;
        rows.push(RecognitionRow { id: ids.next(at), month, account, currency, part: 0, amount, at, posting });
    }
    Ok(rows)
}

fn numbered(mut rows: Vec<RecognitionRow>, parts: &[DeferredRow]) -> Vec<RecognitionRow> {
    for row in &mut rows {
        let earlier = parts.iter().find(|part| part.account == row.account && part.currency == row.currency);
        row.part = earlier.map_or(0, |part| part.amount);
    }
    rows
}

fn told(month: Month, rows: &[RecognitionRow], at: Timestamp) -> NewEvent {
    let parts = rows
        .iter()
        .map(|row| Part {
            recognition: row.id,
            account: &row.account,
            currency: row.currency,
            part: row.part,
            amount: row.amount,
        })
        .collect();
    NewEvent {
        kind: "revenue.recognized",
        organization: None,
        actor: Actor::System,
        at,
        public: serde_json::to_string(&Recognized { month, parts }).unwrap_or_default(),
        private: None,
    }
}
