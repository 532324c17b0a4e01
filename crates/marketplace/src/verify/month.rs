//! A month that came: what was renewed is charged in full, once, and what was not paid for is not usable.

use kernel::{Currency, EventId, OrganizationId, PurchaseId, SubscriptionId};
use num_traits::Zero;
use serde_json::Value;
use store::proof::Fact;

use super::checker::{Given, Number, number, work_out};
use super::days::day_of;
use super::evidence::Evidence;
use super::line::{self, Charged, Earlier, Posted};
use super::purchase::charged;
use super::shop::{Offer, Shop};
use super::told::{Line, State, Turned};
use super::{Difference, Row, Seen};

/// One offer of a month that came, with everything that is stored for it.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The event that tells of it.
    pub event: EventId,
    /// When, microseconds since 1970.
    pub at: i64,
    /// Whose.
    pub organization: OrganizationId,
    /// Who pays.
    pub payer: Option<(SubscriptionId, Currency)>,
    /// The month, by its first day.
    pub month: String,
    /// Percent of tax; empty for none.
    pub tax_rate: String,
    /// Whether the payer could not pay.
    pub suspended: bool,
    /// What the event says.
    pub line: Line,
    /// What was charged.
    pub charge: Option<Charged>,
}

/// The lines of an event, with their rows.
///
/// # Errors
/// [`Difference`] where a charge has no row.
pub fn lines(fact: &Fact, told: Turned, evidence: &mut Evidence, seen: &mut Seen) -> Result<Vec<Renewed>, Difference> {
    let Turned { organization, subscription, currency, month, tax_rate, suspended, lines, usage: _ } = told;
    let payer = subscription.zip(currency);
    let mut renewed = Vec::with_capacity(lines.len());
    for line in lines {
        let charge = match (line.charge, currency) {
            (Some(id), Some(currency)) => Some(charged(fact, id, currency, evidence, seen)?),
            _ => None,
        };
        let (event, at, month, tax_rate) = (fact.id, fact.at, month.clone(), tax_rate.clone());
        renewed.push(Renewed { event, at, organization, payer, month, tax_rate, suspended, line, charge });
    }
    Ok(renewed)
}

/// Proves a line that follows `found`.
///
/// # Errors
/// The first thing that is not what the facts say.
pub fn prove(shop: &Shop, found: &State, renewed: &Renewed) -> Result<(), Difference> {
    let Renewed { line, month, .. } = renewed;
    let event = Row("events", &renewed.event);
    let offer =
        shop.offer(line.offer).ok_or_else(|| event.differs(format!("offer {}", line.offer), "no such offer"))?;
    event.same("committed before", line.before.committed, found.committed)?;
    event.same("next before", line.before.next, found.next)?;
    if *month <= found.month || *month > day_of(renewed.at).month() || !month.ends_with("-01") {
        let facts = format!("a month after {} and not after {}", found.month, day_of(renewed.at).month());
        return Err(event.differs(format!("month {month}"), facts));
    }
    let full = amounts(offer, found.next, renewed);
    let unpriced = full.is_empty() && !offer.may_be_free(renewed.at);
    let ended = renewed.suspended || unpriced;
    let expected = State {
        committed: if ended { 0 } else { found.next },
        month: month.clone(),
        accrued: "0".to_owned(),
        charged: 0,
        version: found.version + 1,
        ..found.clone()
    };
    if line.after != expected {
        return Err(event.differs(format!("{:?}", line.after), format!("{expected:?}")));
    }
    let free = expected.committed == 0 || offer.may_be_free(renewed.at);
    match (&renewed.charge, renewed.payer) {
        (Some(charge), Some(payer)) if expected.committed > 0 => charge_is(shop, offer, renewed, charge, payer),
        (Some(charge), _) => Err(Row("charges", &charge.row.id).differs("this charge", "nothing was to be charged")),
        (None, _) if free || full.contains(&0) => {
            let nothing = number(&line.amount).is_some_and(|amount| amount.is_zero());
            if nothing { Ok(()) } else { Err(event.differs(format!("amount {}", line.amount), "no charge")) }
        }
        (None, _) => Err(event.differs("no charge", format!("a full month of {} units", expected.committed))),
    }
}

/// What a full month of so many units may come to, by the versions in force on its first day.
fn amounts(offer: &Offer, units: i64, renewed: &Renewed) -> Vec<i64> {
    let Some((_, currency)) = renewed.payer else { return Vec::new() };
    let nothing = Number::zero();
    let versions = offer.in_force(currency.code(), &renewed.month, renewed.at);
    let amount = |version: &super::shop::Version| {
        let given = Given {
            spec: &version.spec,
            before: 0,
            after: units,
            part: (1, 1),
            accrued_before: &nothing,
            charged_before: 0,
            decimals: currency.digits(),
        };
        work_out(&given).map(|worked| worked.amount)
    };
    versions.filter_map(amount).collect()
}

fn charge_is(
    shop: &Shop,
    offer: &Offer,
    renewed: &Renewed,
    charge: &Charged,
    (subscription, currency): (SubscriptionId, Currency),
) -> Result<(), Difference> {
    let posted = Posted {
        purchase: PurchaseId::from_uuid(uuid::Uuid::nil()),
        subscription,
        organization: renewed.organization,
        offer: renewed.line.offer,
        currency,
        month: &renewed.month,
        bill: &renewed.month,
        at: renewed.at,
        tax: if renewed.tax_rate.is_empty() { "0" } else { &renewed.tax_rate },
        before: 0,
        after: renewed.line.after.committed,
        usage: None,
    };
    let named = Row("charges", &charge.row.id);
    let basis: Value = serde_json::from_str(&charge.row.basis).unwrap_or_default();
    let number = basis.get("price_version").and_then(Value::as_i64).unwrap_or_default();
    let mut in_force = offer.in_force(currency.code(), &renewed.month, renewed.at);
    let version = in_force.find(|version| version.number == number).ok_or_else(|| {
        named.differs(format!("basis.price_version {number}"), format!("another version in force on {}", renewed.month))
    })?;
    let nothing = Number::zero();
    let given = Given {
        spec: &version.spec,
        before: 0,
        after: posted.after,
        part: (1, 1),
        accrued_before: &nothing,
        charged_before: 0,
        decimals: currency.digits(),
    };
    let worked = work_out(&given).ok_or_else(|| named.differs("this charge", "no price of that quantity"))?;
    let shown = super::checker::written(worked.amount.into(), currency.digits());
    Row("events", &renewed.event).same("amount", renewed.line.amount.as_str(), shown)?;
    let earlier = Earlier { accrued: "0".to_owned(), charged: 0 };
    line::charge(posted, charge, worked.amount)?;
    line::basis(posted, &charge.row, &earlier, (version, "none", (1, 1)), offer, &worked)?;
    line::ledger(shop, offer, posted, charge)
}
