//! What was suspended and resumed: next became committed, charged as an increase for what was left of the month,
//! worked out again from the facts.

use kernel::{Currency, EventId, OrganizationId, PurchaseId, SubscriptionId};
use num_traits::Zero;
use serde::Deserialize;
use store::proof::Fact;

use super::checker::{Given, Number, Worked, number, work_out, written};
use super::days::{day_of, left_of_month};
use super::evidence::Evidence;
use super::line::{self, Charged, Earlier, Posted};
use super::purchase::charged;
use super::shop::{Offer, Shop, Version};
use super::told::{self, Line, State};
use super::{Difference, Row, Seen};

/// One offer that resumed, with everything that is stored for it.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// The event that tells of it.
    pub event: EventId,
    /// When, microseconds since 1970.
    pub at: i64,
    organization: OrganizationId,
    subscription: SubscriptionId,
    currency: Currency,
    month: String,
    tax_rate: String,
    /// What the event says.
    pub line: Line,
    charge: Option<Charged>,
}

/// The lines of an event, with their rows.
///
/// # Errors
/// [`Difference`] where a charge has no row.
pub fn lines(
    fact: &Fact,
    told: told::Resumed,
    evidence: &mut Evidence,
    seen: &mut Seen,
) -> Result<Vec<Resumed>, Difference> {
    let told::Resumed { organization, subscription, currency, month, tax_rate, lines } = told;
    let mut resumed = Vec::with_capacity(lines.len());
    for line in lines {
        let charge = line.charge.map(|id| charged(fact, id, currency, evidence, seen)).transpose()?;
        let (event, at, month, tax_rate) = (fact.id, fact.at, month.clone(), tax_rate.clone());
        resumed.push(Resumed { event, at, organization, subscription, currency, month, tax_rate, line, charge });
    }
    Ok(resumed)
}

/// What of a stored basis says which price and which rule were taken.
#[derive(Deserialize)]
struct Taken {
    price_version: i64,
    rule: String,
}

/// A price and a rule that may have been taken, and what they come to.
struct Candidate<'a> {
    version: &'a Version,
    rule: &'a str,
    part: (i64, i64),
    worked: Worked,
}

/// Proves a line that follows `found`.
///
/// # Errors
/// The first thing that is not what the facts say.
pub fn prove(shop: &Shop, found: &State, resumed: &Resumed) -> Result<(), Difference> {
    let Resumed { line, at, .. } = resumed;
    let event = Row("events", &resumed.event);
    let offer =
        shop.offer(line.offer).ok_or_else(|| event.differs(format!("offer {}", line.offer), "no such offer"))?;
    event.same("committed before", line.before.committed, found.committed)?;
    event.same("next before", line.before.next, found.next)?;
    event.same("month", resumed.month.as_str(), found.month.as_str())?;
    event.same("month", resumed.month.clone(), day_of(*at).month())?;
    if found.committed >= found.next {
        return Err(event.differs("something resumed", "nothing was suspended"));
    }
    let resumes = State { committed: found.next, version: found.version + 1, ..found.clone() };
    let Some(charge) = &resumed.charge else { return uncharged(offer, found, &resumes, resumed) };
    let named = Row("charges", &charge.row.id);
    let taken: Taken = serde_json::from_str(&charge.row.basis).map_err(|error| {
        named.differs(format!("a basis that cannot be read ({error})"), "what it was computed from")
    })?;
    let mut may_be = candidates(offer, found, resumed).into_iter();
    let priced = may_be.find(|one| one.version.number == taken.price_version && one.rule == taken.rule);
    let Some(Candidate { version, rule, part, worked }) = priced else {
        let stored = format!("basis.price_version {} and basis.rule {}", taken.price_version, taken.rule);
        return Err(named.differs(stored, "another price or rule in force at that instant"));
    };
    leaves(found, &resumes, resumed, &worked)?;
    let bill = day_of(*at).following_month();
    let posted = Posted {
        purchase: PurchaseId::from_uuid(uuid::Uuid::nil()),
        subscription: resumed.subscription,
        organization: resumed.organization,
        offer: line.offer,
        currency: resumed.currency,
        month: &resumed.month,
        bill: &bill,
        at: *at,
        tax: if resumed.tax_rate.is_empty() { "0" } else { &resumed.tax_rate },
        before: found.committed,
        after: found.next,
        usage: None,
    };
    let earlier = Earlier { accrued: found.accrued.clone(), charged: found.charged };
    line::charge(posted, charge, worked.amount)?;
    line::basis(posted, &charge.row, &earlier, (version, rule, part), offer, &worked)?;
    line::ledger(shop, offer, posted, charge)
}

/// Nothing was charged: it is free, or what is left of the month comes to nothing.
fn uncharged(offer: &Offer, found: &State, resumes: &State, resumed: &Resumed) -> Result<(), Difference> {
    let none = || Number::zero();
    let free = Worked {
        price_after: none(),
        price_before: none(),
        difference: none(),
        exact: none(),
        accrued: number(&found.accrued).unwrap_or_else(none),
        amount: 0,
    };
    let mut right = candidates(offer, found, resumed).into_iter().map(|one| one.worked).filter(|one| one.amount == 0);
    if right.any(|worked| leaves(found, resumes, resumed, &worked).is_ok()) {
        return Ok(());
    }
    if offer.may_be_free(resumed.at) {
        return leaves(found, resumes, resumed, &free);
    }
    let facts = format!("a charge for {} units from {}", found.next, day_of(resumed.at).text());
    Err(Row("events", &resumed.event).differs("no charge", facts))
}

/// The event says what the charge leaves of the entitlement, and its amount.
fn leaves(found: &State, resumes: &State, resumed: &Resumed, worked: &Worked) -> Result<(), Difference> {
    let event = Row("events", &resumed.event);
    let Resumed { line, currency, .. } = resumed;
    let shown = written(worked.amount.into(), currency.digits());
    event.same("amount", line.amount.as_str(), shown.as_str())?;
    if number(&line.after.accrued).as_ref() != Some(&worked.accrued) {
        return Err(event.differs(format!("accrued {}", line.after.accrued), format!("accrued {}", worked.accrued)));
    }
    let charged = found.charged.saturating_add(worked.amount);
    let expected = State { accrued: line.after.accrued.clone(), charged, ..resumes.clone() };
    if line.after == expected {
        return Ok(());
    }
    Err(event.differs(format!("{:?}", line.after), format!("{expected:?}")))
}

/// What the increase may come to, by the versions in force on the day and the rules of the offer at the instant.
fn candidates<'a>(offer: &'a Offer, found: &State, resumed: &Resumed) -> Vec<Candidate<'a>> {
    let accrued_before = number(&found.accrued).unwrap_or_else(Number::zero);
    let mut candidates = Vec::new();
    let rules = offer.words("proration", resumed.at);
    for version in offer.in_force(resumed.currency.code(), &day_of(resumed.at).text(), resumed.at) {
        for rule in &rules {
            let Some(part) = left_of_month(rule, resumed.at) else { continue };
            let given = Given {
                spec: &version.spec,
                before: found.committed,
                after: found.next,
                part,
                accrued_before: &accrued_before,
                charged_before: found.charged,
                decimals: resumed.currency.digits(),
            };
            candidates.extend(work_out(&given).map(|worked| Candidate { version, rule, part, worked }));
        }
    }
    candidates
}
