//! Revenue: each recognition is its event's, of a month that was over, with its posting; and the sums that the trial balance and
//! the next recognition are read from are those of the postings, each of which is proven by its own fact.

use std::collections::HashMap;

use kernel::{ChargeId, Currency, EventId, RecognitionId};
use serde::Deserialize;
use store::Tx;
use store::proof::{self, Counts, Fact, RecognitionProof, TransferProof};

use super::days::day_of;
use super::told::read;
use super::{Difference, PAGE, Row, Seen, VerifyError};

/// `revenue.recognized`.
#[derive(Clone, Debug, Deserialize)]
struct Recognized {
    month: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Deserialize)]
struct Part {
    recognition: RecognitionId,
    account: String,
    currency: Currency,
    part: i64,
    amount: i64,
}

/// Proves what was recognized by its events.
///
/// # Errors
/// The first row that is not what the facts say.
pub async fn prove(tx: &Tx, counts: &Counts, seen: &mut Seen) -> Result<(), VerifyError> {
    let mut last = EventId::from_uuid(uuid::Uuid::nil());
    let mut parts: HashMap<(String, String, Currency), i64> = HashMap::new();
    let mut proven = 0;
    loop {
        let page = proof::facts_of_none(tx, last, PAGE).await?;
        let Some(end) = page.last() else { break };
        last = end.id;
        for fact in page.iter().filter(|fact| fact.kind == "revenue.recognized") {
            let told: Recognized = read(fact)?;
            if told.month >= day_of(fact.at).month() {
                let facts = format!("a month before {}", day_of(fact.at).month());
                return Err(Row("events", &fact.id).differs(format!("month {}", told.month), facts).into());
            }
            for some in told.parts.chunks(usize::try_from(PAGE).unwrap_or(1)) {
                let ids: Vec<RecognitionId> = some.iter().map(|part| part.recognition).collect();
                let mut found = Found::gather(tx, &ids).await?;
                for part in some {
                    let next = parts.entry((told.month.clone(), part.account.clone(), part.currency)).or_default();
                    found.proves(fact, &told.month, part, *next, seen)?;
                    *next += 1;
                    proven += 1;
                }
            }
        }
    }
    Row("recognitions", &"").same("number of rows", counts.recognitions, proven)?;
    Ok(())
}

/// The rows that an event names.
struct Found {
    rows: HashMap<RecognitionId, RecognitionProof>,
    postings: HashMap<ChargeId, Vec<TransferProof>>,
}

impl Found {
    async fn gather(tx: &Tx, ids: &[RecognitionId]) -> Result<Self, VerifyError> {
        let facts: Vec<ChargeId> = ids.iter().map(|id| ChargeId::from_uuid(id.uuid())).collect();
        let rows = proof::recognitions(tx, ids).await?.into_iter().map(|row| (row.id, row)).collect();
        let mut found = Self { rows, postings: HashMap::new() };
        for posting in proof::transfers(tx, &facts).await? {
            found.postings.entry(posting.fact).or_default().push(posting);
        }
        Ok(found)
    }

    fn proves(&mut self, fact: &Fact, month: &str, told: &Part, part: i64, seen: &mut Seen) -> Result<(), Difference> {
        let named = Row("recognitions", &told.recognition);
        Row("events", &fact.id).same("part", told.part, part)?;
        let row = self.rows.remove(&told.recognition).ok_or_else(|| named.missing(fact.id))?;
        named.same("month", row.month.as_str(), month)?;
        named.same("account", row.account.as_str(), told.account.as_str())?;
        named.same("currency", row.currency.as_str(), told.currency.code())?;
        named.same("part", row.part, told.part)?;
        named.same("amount", row.amount, told.amount)?;
        named.same("at", row.at, fact.at)?;
        let key = ChargeId::from_uuid(told.recognition.uuid());
        let stored = self.postings.remove(&key).unwrap_or_default();
        let revenue = told.account.replacen("deferred_revenue/", "revenue/", 1);
        let (debit, credit) =
            if told.amount > 0 { (told.account.clone(), revenue) } else { (revenue, told.account.clone()) };
        let (amount, currency) = (told.amount.saturating_abs(), told.currency.code().to_owned());
        let expected = vec![TransferProof { fact: key, leg: 0, debit, credit, amount, currency, at: fact.at }];
        seen.transfers += i64::try_from(stored.len()).unwrap_or(i64::MAX);
        if stored == expected {
            return Ok(());
        }
        Err(Row("transfers", &format!("of {}", told.recognition))
            .differs(format!("{stored:?}"), format!("{expected:?}")))
    }
}

/// Proves the sums that are kept of the postings: what each account came to day by day, which balances, and what is deferred for
/// each month of service: what was charged for it, less what was recognized and taken back.
///
/// # Errors
/// The first sum that does not add up.
pub async fn sums(tx: &Tx) -> Result<(), VerifyError> {
    if let Some((name, stored, posted)) = proof::ledger_days_difference(tx).await? {
        return Err(Row("ledger_days", &name).differs(stored, posted).into());
    }
    if let Some((name, stored, posted)) = proof::deferred_difference(tx).await? {
        Row("deferred_months", &name).same("amount", stored, posted)?;
    }
    // Neither too little nor, by two at once, too much.
    if let Some((name, left)) = proof::left_unrecognized(tx).await? {
        let facts = "nothing, for it was recognized and nothing was posted since";
        return Err(Row("recognitions", &name).differs(format!("{left} left"), facts).into());
    }
    Ok(())
}
