//! Metered use: what was counted is what usage events add up to, each in its own month or a later one, and what
//! a month's turn charged follows from that by the whole price model.

use std::collections::{BTreeMap, HashMap};

use kernel::{Currency, OfferId, OrganizationId, PurchaseId, SubscriptionId};
use num_traits::Zero;
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::proof::{self, Fact, UsageMonthProof, UsageProof};
use store::{StoreError, Tx};

use super::checker::{Given, Number, work_out, written};
use super::days::day_of;
use super::line::{self, Charged, Earlier, Posted};
use super::shop::{Offer, Shop, Version};
use super::told::{Closed, Counted};
use super::{Difference, PAGE, Row, VerifyError};

/// An organization's use of an offer in a month.
type Key = (OrganizationId, OfferId, String);

/// Units that were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    used: i128,
    late: i128,
}

/// Metered use as far as it is replayed.
#[derive(Debug, Default)]
pub struct Used {
    /// With who paid then.
    counted: HashMap<Key, (SubscriptionId, Count)>,
    /// With who was charged.
    closed: HashMap<Key, (SubscriptionId, Closed)>,
}

/// What a month's turn says of use, and whom and when it charged.
#[derive(Clone, Copy)]
pub struct Turning<'a> {
    /// The event that tells of it.
    pub fact: &'a Fact,
    /// Whose.
    pub organization: OrganizationId,
    /// Who pays.
    pub payer: Option<(SubscriptionId, Currency)>,
    /// The month that came.
    pub came: &'a str,
}

impl Used {
    /// Adds a report's rows, which must be those that its event has the hash of.
    ///
    /// # Errors
    /// The first row that is not what the event says.
    pub fn count(&mut self, fact: &Fact, told: &Counted, rows: &[UsageProof]) -> Result<(), Difference> {
        let batch = format!("of {}", told.batch);
        let named = Row("usage_events", &batch);
        let mut hash = Sha256::new();
        let mut months: BTreeMap<(OfferId, String), (i64, Count)> = BTreeMap::new();
        for (place, row) in (0_i64..).zip(rows) {
            let UsageProof { id, offer, quantity, at, month, .. } = row;
            hash.update(format!("{id}\n{offer}\n{quantity}\n{at}\n{month}\n"));
            named.same("place", row.place, place)?;
            named.same("organization_id", row.organization, told.organization)?;
            let own = day_of(*at).month();
            if *month < own {
                return Err(named.differs(format!("month {month} of {id}"), format!("{own} or a later one")));
            }
            let (events, count) = months.entry((*offer, month.clone())).or_default();
            *events += 1;
            count.used += i128::from(*quantity);
            count.late += if *month > own { i128::from(*quantity) } else { 0 };
        }
        named.same("SHA-256 of rows", hex::encode(hash.finalize()), told.rows.as_str())?;
        named.same("months", months.len(), told.months.len())?;
        let event = Row("events", &fact.id);
        for said in &told.months {
            let (events, count) = months.get(&(said.offer, said.month.clone())).copied().unwrap_or_default();
            event.same("usage events", said.events, events)?;
            event.same("units", i128::from(said.after) - i128::from(said.before), count.used)?;
            event.same("late units", i128::from(said.late_after) - i128::from(said.late_before), count.late)?;
            let key = (told.organization, said.offer, said.month.clone());
            let (payer, sum) = self.counted.entry(key).or_insert_with(|| (told.subscription, Count::default()));
            event.same("subscription", told.subscription, *payer)?;
            sum.used += count.used;
            sum.late += count.late;
        }
        Ok(())
    }

    /// Proves what a month's turn charged for a month's use; that it is what was counted is proven when all is replayed.
    ///
    /// # Errors
    /// The first thing that is not what the facts say.
    pub fn close(
        &mut self,
        shop: &Shop,
        turning: Turning<'_>,
        told: Closed,
        charge: Option<&Charged>,
    ) -> Result<(), Difference> {
        let event = Row("events", &turning.fact.id);
        if told.month.as_str() >= turning.came || !told.month.ends_with("-01") {
            return Err(event.differs(format!("use of {}", told.month), format!("a month before {}", turning.came)));
        }
        let offer = shop.offer(told.offer);
        let offer = offer.ok_or_else(|| event.differs(format!("offer {}", told.offer), "no such offer"))?;
        if !offer.was("included", told.included, turning.fact.at) {
            return Err(event.differs(format!("included {}", told.included), "another number was included"));
        }
        let payer = charged(shop, offer, turning, &told, charge)?;
        let key = (turning.organization, told.offer, told.month.clone());
        match self.closed.insert(key, (payer, told)) {
            None => Ok(()),
            Some((_, twice)) => Err(event.differs(format!("use of {}", twice.month), "another event charged it")),
        }
    }

    /// Proves what the months stand at, once all events are replayed. `mine` tells the organizations of this share;
    /// `payer` who pays for an organization; `came` the month that one with a payer has come to with an offer.
    ///
    /// # Errors
    /// The first month that is not what was counted.
    pub async fn settle(
        mut self,
        tx: &Tx,
        mine: impl Fn(OrganizationId) -> bool,
        payer: impl Fn(OrganizationId) -> Option<SubscriptionId>,
        came: impl Fn(OrganizationId, OfferId) -> Option<String>,
    ) -> Result<(), VerifyError> {
        let mut last = None;
        loop {
            let page = proof::usage_months_after(tx, last.as_ref(), PAGE).await?;
            let Some(end) = page.last() else { break };
            last = Some((end.organization, end.offer, end.month.clone()));
            for row in page.iter().filter(|row| mine(row.organization)) {
                self.stands(row, payer(row.organization), came(row.organization, row.offer))?;
            }
        }
        let left = self.counted.keys().chain(self.closed.keys()).next();
        left.map_or(Ok(()), |(organization, offer, month)| {
            let name = name(*organization, *offer, month);
            Err(Row("usage_months", &name).differs("no such row", "an event counted or charged it").into())
        })
    }

    fn stands(
        &mut self,
        row: &UsageMonthProof,
        payer: Option<SubscriptionId>,
        came: Option<String>,
    ) -> Result<(), Difference> {
        let name = name(row.organization, row.offer, &row.month);
        let named = Row("usage_months", &name);
        let key = (row.organization, row.offer, row.month.clone());
        let (counted_for, count) =
            self.counted.remove(&key).ok_or_else(|| named.differs("there", "no event counted it"))?;
        named.same("subscription_id", row.payer, counted_for)?;
        if payer != Some(row.payer) {
            return Err(named.differs(format!("subscription_id {}", row.payer), "another pays for the organization"));
        }
        named.same("used", i128::from(row.used), count.used)?;
        named.same("late", i128::from(row.late), count.late)?;
        let closed = self.closed.remove(&key);
        named.same("open", row.open, closed.is_none())?;
        match closed {
            Some((charged, told)) => {
                named.same("subscription_id", row.payer, charged)?;
                named.same("used when it was charged", i128::from(told.used), count.used)?;
                named.same("late when it was charged", i128::from(told.late), count.late)
            }
            None if came.as_ref().is_some_and(|came| *came > row.month) => {
                Err(named.differs("open", format!("charged when {} came", came.unwrap_or_default())))
            }
            None => Ok(()),
        }
    }
}

fn name(organization: OrganizationId, offer: OfferId, month: &str) -> String {
    format!("of {organization} for {offer} in {month}")
}

/// The rows of a report.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn rows(tx: &Tx, told: &Counted) -> Result<Vec<UsageProof>, StoreError> {
    proof::usage_rows(tx, told.batch).await
}

/// The versions that may be in force on the month's first day; where none is yet, on its last.
fn versions<'a>(offer: &'a Offer, currency: Currency, month: &str, at: i64) -> Vec<&'a Version> {
    let first: Vec<_> = offer.in_force(currency.code(), month, at).collect();
    if !first.is_empty() {
        return first;
    }
    // As text, every day of the month is before it.
    let last = format!("{}-31", month.get(..7).unwrap_or_default());
    offer.in_force(currency.code(), &last, at).collect()
}

/// The charge is what the units above the included ones come to; who was charged.
fn charged(
    shop: &Shop,
    offer: &Offer,
    turning: Turning<'_>,
    told: &Closed,
    charge: Option<&Charged>,
) -> Result<SubscriptionId, Difference> {
    let event = Row("events", &turning.fact.id);
    let billed = told.used.saturating_sub(told.included).max(0);
    let Some((subscription, currency)) = turning.payer else {
        return Err(event.differs(format!("use of {}", told.month), "nobody paid"));
    };
    let nothing = Number::zero();
    let worked = |version: &Version| {
        let (spec, accrued_before, decimals) = (&version.spec, &nothing, currency.digits());
        work_out(&Given { spec, before: 0, after: billed, part: (1, 1), accrued_before, charged_before: 0, decimals })
    };
    let versions = versions(offer, currency, &told.month, turning.fact.at);
    let Some(charge) = charge else {
        let free = billed == 0 || offer.may_be_free(turning.fact.at);
        let none = free || versions.iter().any(|version| worked(version).is_some_and(|worked| worked.amount == 0));
        event.same("amount", told.amount.as_str(), written(0, currency.digits()))?;
        return if none {
            Ok(subscription)
        } else {
            Err(event.differs("no charge", format!("{billed} units to be charged")))
        };
    };
    let posted = Posted {
        purchase: PurchaseId::from_uuid(uuid::Uuid::nil()),
        subscription,
        organization: turning.organization,
        offer: told.offer,
        currency,
        month: &told.month,
        bill: turning.came,
        at: turning.fact.at,
        tax: if told.tax_rate.is_empty() { "0" } else { &told.tax_rate },
        before: 0,
        after: billed,
        usage: Some((told.used, told.late, told.included)),
    };
    let named = Row("charges", &charge.row.id);
    let basis: Value = serde_json::from_str(&charge.row.basis).unwrap_or_default();
    let number = basis.get("price_version").and_then(Value::as_i64).unwrap_or_default();
    let version = versions.into_iter().find(|version| version.number == number).ok_or_else(|| {
        named.differs(format!("basis.price_version {number}"), format!("another version in force in {}", told.month))
    })?;
    let worked = worked(version).ok_or_else(|| named.differs("this charge", "no price of that quantity"))?;
    event.same("amount", told.amount.as_str(), written(worked.amount.into(), currency.digits()))?;
    let earlier = Earlier { accrued: "0".to_owned(), charged: 0 };
    line::charge(posted, charge, worked.amount)?;
    line::basis(posted, &charge.row, &earlier, (version, "none", (1, 1)), offer, &worked)?;
    line::ledger(shop, offer, posted, charge)?;
    Ok(subscription)
}
