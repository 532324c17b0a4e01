//! A purchase that was undone: quantities and sums are what it found, and what it charged was taken back by entries that
//! are its mirror, but for a day's price where that stays charged, worked out again from the facts.

use std::collections::HashMap;

use kernel::{ChargeId, Currency, EventId, OrganizationId, PurchaseId, SubscriptionId};
use num_traits::Zero;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::proof::{Fact, TransferProof};

use super::checker::{Given, Number, Spec, number, to_minor, work_out, written};
use super::days::{day_of, days_of_month};
use super::evidence::Evidence;
use super::line::{Bought, Charged};
use super::purchase::charged;
use super::shop::{Offer, Shop};
use super::told::{self, Amount, State, UndoneLine};
use super::{Difference, Row, Seen};

/// What a purchase found of an offer.
#[derive(Clone, Debug)]
pub struct Found {
    /// The purchase.
    pub purchase: PurchaseId,
    charge: Option<ChargeId>,
    state: State,
}

/// What a line found, where that was kept. Increases add up within a month; a new one starts at nothing.
pub fn found(state: &State, bought: &Bought) -> Option<Found> {
    let mut state = state.clone();
    if state.month != bought.line.after.month {
        state.month.clone_from(&bought.line.after.month);
        (state.accrued, state.charged) = ("0".to_owned(), 0);
    }
    bought.undoable.then_some(Found { purchase: bought.purchase, charge: bought.line.charge, state })
}

/// What the row of an undone purchase says of it.
#[derive(Clone, Debug)]
pub struct Undone {
    /// The purchase.
    pub id: PurchaseId,
    /// JSON.
    pub text: String,
}

/// An event that undid a purchase, with everything that is stored for it.
#[derive(Clone, Debug)]
pub struct Act {
    /// The event.
    pub event: EventId,
    /// When, microseconds since 1970.
    pub at: i64,
    /// For whom.
    pub organization: OrganizationId,
    /// The link that ended by it.
    pub link: Option<kernel::LinkId>,
    /// What went back.
    pub lines: Vec<Undoing>,
    by: String,
    purchase: PurchaseId,
    currency: Currency,
    undone: String,
}

/// One offer that went back, with everything that is stored for it.
#[derive(Clone, Debug)]
pub struct Undoing {
    /// The event that tells of it.
    pub event: EventId,
    /// When, microseconds since 1970.
    pub at: i64,
    /// What the event says.
    pub line: UndoneLine,
    organization: OrganizationId,
    subscription: SubscriptionId,
    purchase: PurchaseId,
    currency: Currency,
    charge: Option<Charged>,
    original: Option<Charged>,
}

impl Act {
    /// Takes what the event names out of the evidence.
    ///
    /// # Errors
    /// [`Difference`] where a charge has no row.
    pub fn of(fact: &Fact, told: told::Undone, evidence: &mut Evidence, seen: &mut Seen) -> Result<Self, Difference> {
        let told::Undone { purchase, organization, subscription, currency, link, undone, lines } = told;
        let mut undoing = Vec::with_capacity(lines.len());
        for line in lines {
            let charge = line.charge.map(|id| charged(fact, id, currency, evidence, seen)).transpose()?;
            let original = line
                .reverses
                .map(|id| evidence.reversed.get(&id).cloned().ok_or_else(|| Row("charges", &id).missing(fact.id)));
            undoing.push(Undoing {
                event: fact.id,
                at: fact.at,
                organization,
                subscription,
                purchase,
                currency,
                charge,
                original: original.transpose()?,
                line,
            });
        }
        let (event, at, by) = (fact.id, fact.at, fact.actor.clone());
        Ok(Self { event, at, organization, link, lines: undoing, by, purchase, currency, undone })
    }
}

/// Rows of purchases that say they were undone, and the events that undid them, until both are known.
#[derive(Debug, Default)]
pub struct Undos {
    rows: HashMap<PurchaseId, Undone>,
    acts: HashMap<PurchaseId, Act>,
}

impl Undos {
    /// A row says that it was undone; the event that did it, where it was told of already.
    ///
    /// # Errors
    /// [`Difference`] where it says another thing.
    pub fn stored(&mut self, row: Undone) -> Result<Option<Act>, Difference> {
        match self.acts.remove(&row.id) {
            Some(act) => says(&row, &act).map(|()| Some(act)),
            None => {
                self.rows.insert(row.id, row);
                Ok(None)
            }
        }
    }

    /// An event undid a purchase; it is to be replayed now, where the purchase is known already.
    ///
    /// # Errors
    /// [`Difference`] where the row says another thing, or another event undid it too.
    pub fn told(&mut self, act: Act) -> Result<Option<Act>, Difference> {
        if let Some(row) = self.rows.remove(&act.purchase) {
            return says(&row, &act).map(|()| Some(act));
        }
        let (event, purchase) = (act.event, act.purchase);
        match self.acts.insert(purchase, act) {
            None => Ok(None),
            Some(_) => {
                Err(Row("events", &event).differs(format!("the undoing of {purchase}"), "another event undid it"))
            }
        }
    }

    /// Proves that each has the other.
    ///
    /// # Errors
    /// The first that has not.
    pub fn settle(self) -> Result<(), Difference> {
        if let Some(id) = self.rows.into_keys().next() {
            return Err(Row("purchases", &id).differs("state undone", "no event undid it"));
        }
        match self.acts.into_values().next() {
            Some(act) => {
                let facts = format!("event {} undid it", act.event);
                Err(Row("purchases", &act.purchase).differs("state completed", facts))
            }
            None => Ok(()),
        }
    }
}

/// What a purchase says of its undoing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Says {
    at: String,
    by: String,
    kept: Amount,
    charges: Vec<ChargeId>,
    billing_removed: bool,
}

/// The row says what the event says.
fn says(row: &Undone, act: &Act) -> Result<(), Difference> {
    let named = Row("purchases", &row.id);
    named.same("SHA-256 of undone", hex::encode(Sha256::digest(row.text.as_bytes())), act.undone.as_str())?;
    let says: Says = serde_json::from_str(&row.text)
        .map_err(|error| named.differs(format!("undone that cannot be read ({error})"), "what came of it"))?;
    named.same("undone.at", kernel::parse_rfc3339(&says.at).map_or(i64::MIN, kernel::micros), act.at)?;
    named.same("undone.by", says.by.as_str(), act.by.as_str())?;
    named.same("undone.billing_removed", says.billing_removed, act.link.is_some())?;
    let charges: Vec<ChargeId> = act.lines.iter().filter_map(|undoing| undoing.line.charge).collect();
    if says.charges != charges {
        return Err(named.differs(format!("undone.charges {:?}", says.charges), format!("{charges:?}")));
    }
    let amount = |charged: &Option<Charged>| charged.as_ref().map_or(0, |charged| i128::from(charged.row.amount));
    let kept = act.lines.iter().map(|undoing| amount(&undoing.original) + amount(&undoing.charge)).sum();
    named.same("undone.kept", says.kept.amount.as_str(), written(kept, act.currency.digits()))?;
    named.same("undone.kept in", says.kept.currency.as_str(), act.currency.code())
}

/// What of the basis of the charge that is taken back says what it was worked out from.
#[derive(Deserialize)]
struct Original {
    spec: Spec,
    before: i64,
    after: i64,
    rule: String,
    days_left: i64,
    days_of: i64,
    accrued_before: String,
    charged_before: i64,
}

/// Proves a line that follows `now`, which `found` came before.
///
/// # Errors
/// The first thing that is not what the facts say.
pub fn prove(shop: &Shop, now: &State, found: Option<&Found>, undoing: &Undoing) -> Result<(), Difference> {
    let event = Row("events", &undoing.event);
    let line = &undoing.line;
    let Some(found) = found.filter(|found| found.purchase == undoing.purchase) else {
        let latest = found.map_or_else(|| "none".to_owned(), |found| found.purchase.to_string());
        return Err(event.differs(format!("the undoing of {}", undoing.purchase), format!("the latest is {latest}")));
    };
    let offer =
        shop.offer(line.offer).ok_or_else(|| event.differs(format!("offer {}", line.offer), "no such offer"))?;
    event.same("month", day_of(undoing.at).month(), now.month.as_str())?;
    if line.reverses != found.charge {
        return Err(event.differs(format!("reverses {:?}", line.reverses), format!("{:?}", found.charge)));
    }
    let back = match &undoing.original {
        Some(original) => Some(Back::of(offer, original, undoing)?),
        None => None,
    };
    let nothing = || number(&found.state.accrued).unwrap_or_else(Number::zero);
    let (accrued, kept) = back.as_ref().map_or_else(|| (nothing(), 0), |back| (back.accrued.clone(), back.kept));
    if number(&line.after.accrued).as_ref() != Some(&accrued) {
        return Err(event.differs(format!("accrued {}", line.after.accrued), format!("accrued {accrued}")));
    }
    let expected = State {
        accrued: line.after.accrued.clone(),
        charged: found.state.charged.saturating_add(kept),
        installed: now.installed && found.state.installed,
        version: now.version + 1,
        ..found.state.clone()
    };
    if line.after != expected {
        return Err(event.differs(format!("{:?}", line.after), format!("{expected:?}")));
    }
    let amount = back.as_ref().map_or(0, |back| back.amount);
    event.same("amount", line.amount.as_str(), written(amount.into(), undoing.currency.digits()))?;
    match (&undoing.charge, &undoing.original, back) {
        (None, ..) if amount == 0 => Ok(()),
        (Some(charge), Some(original), Some(back)) if amount != 0 => mirrors(charge, original, &back, undoing),
        (Some(charge), ..) => Err(Row("charges", &charge.row.id).differs("this charge", "nothing was to go back")),
        (None, ..) => Err(event.differs("no charge", format!("{amount} minor units to go back"))),
    }
}

/// What goes back of a charge.
struct Back {
    /// Minor units, below zero.
    amount: i64,
    /// Minor units that stay charged.
    kept: i64,
    /// The part of the month that stays charged, of how much.
    part: (i64, i64),
    /// The month's increases with what stays.
    accrued: Number,
}

impl Back {
    /// All of it, or all but a day, where there are neither seats nor metered use to show that nothing was used.
    fn of(offer: &Offer, original: &Charged, undoing: &Undoing) -> Result<Self, Difference> {
        let named = Row("charges", &original.row.id);
        let unread = || named.differs("a basis that cannot be read", "what it was computed from");
        let basis: Original = serde_json::from_str(&original.row.basis).map_err(|_| unread())?;
        let (left, of) = (basis.days_left, basis.days_of);
        let (day, of) = match basis.rule.as_str() {
            "none" => (1, days_of_month(undoing.at)),
            "seconds" => (left.min(86_400), of),
            _ => (left.min(1), of),
        };
        let part = (if offer.was("kind", "pipelines", undoing.at) { day } else { 0 }, of);
        let accrued_before = number(&basis.accrued_before).ok_or_else(unread)?;
        let worked = work_out(&Given {
            spec: &basis.spec,
            before: basis.before,
            after: basis.after,
            part,
            accrued_before: &accrued_before,
            charged_before: basis.charged_before,
            decimals: undoing.currency.digits(),
        });
        let worked = worked.ok_or_else(unread)?;
        let amount = worked.amount - original.row.amount;
        Ok(Self { amount, kept: worked.amount, part, accrued: worked.accrued })
    }
}

/// The charge is the mirror of the other: of the same purchase, month, bill and rate, explained by the same basis, and
/// posted the other way round.
fn mirrors(charge: &Charged, original: &Charged, back: &Back, undoing: &Undoing) -> Result<(), Difference> {
    let (row, other, named) = (&charge.row, &original.row, Row("charges", &charge.row.id));
    named.same("purchase_id", row.purchase, undoing.purchase)?;
    named.same("purchase_id of what it takes back", other.purchase, undoing.purchase)?;
    named.same("subscription_id", row.subscription, undoing.subscription)?;
    named.same("subscription_id", row.subscription, other.subscription)?;
    named.same("organization_id", row.organization, undoing.organization)?;
    named.same("offer_id", row.offer, undoing.line.offer)?;
    named.same("amount", row.amount, back.amount)?;
    named.same("currency", row.currency.as_str(), other.currency.as_str())?;
    named.same("month", row.month.as_str(), other.month.as_str())?;
    named.same("bill", row.bill.as_str(), other.bill.as_str())?;
    named.same("tax_rate", row.tax_rate.as_str(), other.tax_rate.as_str())?;
    named.same("at", row.at, undoing.at)?;
    let mut expected: Value = serde_json::from_str(&other.basis).unwrap_or_default();
    if let Some(members) = expected.as_object_mut() {
        members.insert("amount".to_owned(), back.amount.into());
        let (kept, of) = back.part;
        let reversal = json!({ "charge": other.id, "charged": other.amount, "kept": kept, "kept_of": of });
        members.insert("reversal".to_owned(), reversal);
    }
    let basis: Value = serde_json::from_str(&row.basis).unwrap_or_default();
    named.same("basis", &basis, &expected)?;
    let expected = postings(charge, original, undoing);
    if charge.postings == expected {
        return Ok(());
    }
    let name = format!("of {}", row.id);
    Err(Row("transfers", &name).differs(format!("{:?}", charge.postings), format!("{expected:?}")))
}

/// Each posting of the charge that is taken back, the other way round, by its part of what goes back; the first has what
/// rounding leaves.
fn postings(charge: &Charged, original: &Charged, undoing: &Undoing) -> Vec<TransferProof> {
    let (back, whole) = (Number::from_integer((-charge.row.amount).into()), original.row.amount);
    let part = |amount: i64| {
        let part = &back * Number::new(amount.into(), whole.max(1).into());
        to_minor(&part, 0).and_then(|minor| i64::try_from(minor).ok()).unwrap_or_default()
    };
    let rest: i64 = original.postings.iter().skip(1).map(|posting| part(posting.amount)).sum();
    let amounts = original.postings.iter().enumerate().map(|(place, posting)| {
        let amount = if place == 0 { -charge.row.amount - rest } else { part(posting.amount) };
        (posting, amount)
    });
    let posted = (0..).zip(amounts.filter(|(_, amount)| *amount > 0)).map(|(leg, (posting, amount))| TransferProof {
        fact: charge.row.id,
        leg,
        debit: posting.credit.clone(),
        credit: posting.debit.clone(),
        amount,
        currency: posting.currency.clone(),
        at: undoing.at,
    });
    posted.collect()
}
