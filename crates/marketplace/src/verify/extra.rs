//! No row is more than the facts say, and what is added up elsewhere adds up.

use std::collections::HashSet;

use kernel::{BlockId, ChargeId, Currency, Id, LinkId, PurchaseId};
use store::Tx;
use store::proof::{self, Counts};
use uuid::Uuid;

use super::checker::written;
use super::told::Told;
use super::{Difference, PAGE, Row, Seen, VerifyError, complete};

/// Proves that the tables hold no more rows than were seen.
///
/// # Errors
/// A row that no event tells of.
pub async fn none(tx: &Tx, counts: &Counts, seen: &Seen) -> Result<(), VerifyError> {
    if complete(counts, seen) {
        return Ok(());
    }
    let told = |stored: i64, told: i64| Row("", &"").differs(stored.to_string(), told.to_string());
    let difference = if counts.purchases != seen.purchases {
        named::<PurchaseId>(tx, "purchases", |told| match told {
            Told::Completed(told) => vec![told.purchase.uuid()],
            _ => Vec::new(),
        })
        .await?
        .unwrap_or_else(|| Difference { table: "purchases", ..told(counts.purchases, seen.purchases) })
    } else if counts.charges != seen.charges {
        named::<ChargeId>(tx, "charges", |told| match told {
            Told::Completed(told) => told.lines.iter().filter_map(|line| line.charge).map(Id::uuid).collect(),
            Told::Resumed(told) => told.lines.iter().filter_map(|line| line.charge).map(Id::uuid).collect(),
            Told::Turned(told) => told.charges().map(Id::uuid).collect(),
            _ => Vec::new(),
        })
        .await?
        .unwrap_or_else(|| Difference { table: "charges", ..told(counts.charges, seen.charges) })
    } else if counts.links != seen.links {
        named::<LinkId>(tx, "links", |told| match told {
            Told::Completed(told) => told.link.map(Id::uuid).into_iter().collect(),
            Told::SetUp(told) => vec![told.link.uuid()],
            _ => Vec::new(),
        })
        .await?
        .unwrap_or_else(|| Difference { table: "links", ..told(counts.links, seen.links) })
    } else if counts.usage != seen.usage {
        Difference { table: "usage_events", ..told(counts.usage, seen.usage) }
    } else {
        proof::transfer_without_charge(tx).await?.map_or_else(
            || Difference { table: "transfers", ..told(counts.transfers, seen.transfers) },
            |(fact, leg)| Row("transfers", &format!("{fact}, posting {leg}")).differs("this row", "no such charge"),
        )
    };
    Err(difference.into())
}

/// The first row of a table that no event names: the events are read once more, and their ids remembered.
async fn named<I: Id>(
    tx: &Tx,
    table: &'static str,
    ids: impl Fn(&Told) -> Vec<Uuid>,
) -> Result<Option<Difference>, VerifyError> {
    let mut told = HashSet::new();
    let mut last = (BlockId::from_uuid(Uuid::nil()), 0);
    loop {
        let page = proof::facts_after(tx, last, PAGE).await?;
        let Some(end) = page.last() else { break };
        last = end.place;
        for fact in &page {
            told.extend(ids(&Told::of(fact)?));
        }
    }
    let mut after = Uuid::nil();
    loop {
        let page = proof::ids_after(tx, table, after, PAGE).await?;
        let Some(end) = page.last() else { return Ok(None) };
        after = *end;
        if let Some(id) = page.iter().find(|id| !told.contains(id)) {
            return Ok(Some(Row(table, &I::from_uuid(*id).to_string()).differs("this row", "no event tells of it")));
        }
    }
}

/// Proves the counters and the ledger's sums by the charges, each of which is proven by then.
///
/// # Errors
/// The first sum that does not add up.
pub async fn sums(tx: &Tx, seen: &Seen) -> Result<(), VerifyError> {
    if let Some(wrong) = proof::unbilled_difference(tx).await? {
        let rate = if wrong.tax_rate.is_empty() { "no tax".to_owned() } else { format!("{} %", wrong.tax_rate) };
        let name = format!("of {} for {} at {rate}", wrong.subscription, wrong.month);
        let shown = |amount: Option<i64>, none: &str| amount.map_or_else(|| none.to_owned(), |a| format!("amount {a}"));
        let (stored, facts) = (shown(wrong.stored, "no such row"), shown(wrong.charged, "no charge"));
        return Err(Row("unbilled", &name).differs(stored, facts).into());
    }
    if let Some((name, stored, counted)) = proof::renewals_difference(tx).await? {
        Row("renewals", &name).same("organizations", stored, counted)?;
    }
    let mut debited = proof::unbilled_debits(tx).await?;
    for (currency, minor) in &seen.charged {
        let found = debited.iter().position(|(code, _)| code == currency.code());
        let stored = found.map(|place| debited.swap_remove(place).1).unwrap_or_default();
        let shown = |minor: i128, currency: Currency| written(minor, currency.digits());
        let name = format!("to unbilled accounts in {currency}");
        // A credit note's mirror of the invoice debits them too.
        let minor = *minor + seen.credited.get(currency).copied().unwrap_or_default();
        Row("transfers", &name).same("sum", shown(stored.into(), *currency), shown(minor, *currency))?;
    }
    if let Some((currency, minor)) = debited.first() {
        let name = format!("to unbilled accounts in {currency}");
        return Err(Row("transfers", &name).differs(minor.to_string(), "no charge in that currency").into());
    }
    Ok(())
}
