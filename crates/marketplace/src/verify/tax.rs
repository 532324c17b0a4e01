//! Confirmed VAT numbers: each payer has the confirmation that events tell of, and reverse charge was made of those alone
//! that had one.

use std::collections::BTreeMap;

use kernel::{ChargeId, EventId, SubscriptionId};
use serde::Deserialize;
use store::Tx;
use store::proof;
use uuid::Uuid;

use super::told::read;
use super::{PAGE, Row, VerifyError};

/// How far two processes' clocks may be apart, microseconds.
const RACE: i64 = 300 * 1_000_000;

/// `tax.confirmed` and `tax.unconfirmed`.
#[derive(Clone, Debug, Deserialize)]
struct Told {
    subscription: SubscriptionId,
    country: Option<String>,
}

/// When a payer's number was confirmed, and until when.
#[derive(Clone, Debug)]
struct Stretch {
    from: i64,
    until: Option<i64>,
    country: String,
}

impl Stretch {
    fn holds(&self, at: i64) -> bool {
        self.from <= at.saturating_add(RACE) && self.until.is_none_or(|until| at.saturating_sub(RACE) <= until)
    }
}

/// Proves the confirmations, and every charge with reverse charge by them.
///
/// # Errors
/// The first row that is not what the facts say.
pub async fn prove(tx: &Tx) -> Result<(), VerifyError> {
    let confirmed = told(tx).await?;
    let mut open: BTreeMap<SubscriptionId, &Stretch> = BTreeMap::new();
    for (payer, stretches) in &confirmed {
        open.extend(stretches.last().filter(|last| last.until.is_none()).map(|last| (*payer, last)));
    }
    for stored in proof::confirmations(tx).await? {
        let row = Row("tax_confirmations", &stored.subscription);
        let told = open.remove(&stored.subscription).ok_or_else(|| row.differs("this row", "no event tells of it"))?;
        row.same("confirmed_at", kernel::micros(stored.at), told.from)?;
        row.same("country", stored.country.as_str(), told.country.as_str())?;
    }
    if let Some(payer) = open.keys().next() {
        return Err(Row("tax_confirmations", payer).differs("no such row", "an event tells of it").into());
    }
    if let Some((payer, marked)) = proof::confirmed_difference(tx).await? {
        let facts = format!("tax_confirmed {}", !marked);
        return Err(Row("subscriptions", &payer).differs(format!("tax_confirmed {marked}"), facts).into());
    }
    let mut after = ChargeId::from_uuid(Uuid::nil());
    loop {
        let page = proof::reversed(tx, after, PAGE).await?;
        let Some((last, ..)) = page.last() else { return Ok(()) };
        after = *last;
        for (charge, payer, at) in &page {
            if !confirmed.get(payer).into_iter().flatten().any(|stretch| stretch.holds(*at)) {
                let facts = format!("a rate, for no number of {payer} was confirmed then");
                return Err(Row("charges", charge).differs("tax_rate reverse", facts).into());
            }
        }
    }
}

async fn told(tx: &Tx) -> Result<BTreeMap<SubscriptionId, Vec<Stretch>>, VerifyError> {
    let mut confirmed: BTreeMap<SubscriptionId, Vec<Stretch>> = BTreeMap::new();
    let mut last = EventId::from_uuid(Uuid::nil());
    loop {
        let page = proof::facts_of_none(tx, last, PAGE).await?;
        let Some(end) = page.last() else { return Ok(confirmed) };
        last = end.id;
        for fact in page.iter().filter(|fact| matches!(fact.kind.as_str(), "tax.confirmed" | "tax.unconfirmed")) {
            let told: Told = read(fact)?;
            let stretches = confirmed.entry(told.subscription).or_default();
            if let Some(open) = stretches.last_mut().filter(|open| open.until.is_none()) {
                open.until = Some(fact.at);
            }
            if let Some(country) = told.country {
                stretches.push(Stretch { from: fact.at, until: None, country });
            }
        }
    }
}
