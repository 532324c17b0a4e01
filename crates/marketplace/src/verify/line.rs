//! One line of a purchase: what it left of the entitlement, what it charged, how it was explained, and how the ledger
//! has it, each worked out again from the facts.

use kernel::{Currency, EventId, OfferId, OrganizationId, PurchaseId, SubscriptionId};
use num_traits::Zero;
use serde::Deserialize;
use serde_json::Value;
use store::proof::{ChargeProof, TransferProof};

use super::checker::{Given, Number, Worked, number, to_minor, work_out, written};
use super::days::{day_of, left_of_month};
use super::shop::{Offer, Shop, Version};
use super::told::{AnswerLine, Line, State};
use super::{Difference, Row};

/// A charge's rows.
#[derive(Clone, Debug)]
pub struct Charged {
    /// The charge.
    pub row: ChargeProof,
    /// Its postings, in order.
    pub postings: Vec<TransferProof>,
}

/// One line with everything that is stored for it.
#[derive(Clone, Debug)]
pub struct Bought {
    /// The event that tells of it.
    pub event: EventId,
    /// When it was decided, microseconds since 1970.
    pub at: i64,
    /// When it was made: later, where it was paid in between.
    pub made_at: i64,
    /// Whether it was paid when it was made, and so is on an invoice of its own.
    pub paid: bool,
    /// The purchase that it is of.
    pub purchase: PurchaseId,
    /// For whom.
    pub organization: OrganizationId,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// In which currency.
    pub currency: Currency,
    /// What the event says.
    pub line: Line,
    /// What the stored answer says.
    pub answered: AnswerLine,
    /// What was charged.
    pub charge: Option<Charged>,
    /// What it found was kept, so that it can be undone.
    pub undoable: bool,
}

impl Bought {
    /// Whether it left the quantities as they were and charged nothing.
    pub fn is_neutral(&self) -> bool {
        let Line { before, after, charge, .. } = &self.line;
        charge.is_none() && (before.committed, before.next) == (after.committed, after.next)
    }

    fn decimals(&self) -> u32 {
        self.currency.digits()
    }

    fn posted<'a>(&'a self, bill: &'a str) -> Posted<'a> {
        Posted {
            bill,
            purchase: self.purchase,
            subscription: self.subscription,
            organization: self.organization,
            offer: self.line.offer,
            currency: self.currency,
            month: &self.line.after.month,
            at: self.made_at,
            tax: self.answered.step("tax").map_or("", |why| why.value.as_str()),
            before: self.line.before.committed,
            after: self.line.after.next,
            usage: None,
        }
    }

    fn expected(&self, stored: impl Into<String>, facts: impl Into<String>) -> Difference {
        let what = |text: String| format!("{text} in the line of {}", self.answered.offer);
        Row("purchases", &self.purchase).differs(what(stored.into()), facts)
    }
}

/// What a charge must be of.
#[derive(Clone, Copy)]
pub struct Posted<'a> {
    /// The purchase; nil for a renewal.
    pub purchase: PurchaseId,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// For whom.
    pub organization: OrganizationId,
    /// For what.
    pub offer: OfferId,
    /// In which currency.
    pub currency: Currency,
    /// The month of the service.
    pub month: &'a str,
    /// The month on whose first day it is billed, at the earliest; or the purchase, where that was paid at once.
    pub bill: &'a str,
    /// When, microseconds since 1970.
    pub at: i64,
    /// Percent of tax; `0` for none.
    pub tax: &'a str,
    /// Units that are paid for already.
    pub before: i64,
    /// Units that are paid for then.
    pub after: i64,
    /// The metered use that is charged: units, late ones among them, and how many are free.
    pub usage: Option<(i64, i64, i64)>,
}

/// What came earlier this month.
pub struct Earlier {
    /// Exact sum of increases.
    pub accrued: String,
    /// What of it was charged, minor units.
    pub charged: i64,
}

/// What a charge was computed from, as it is stored with it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Basis {
    offer: String,
    currency: String,
    price_version: i64,
    spec: Value,
    before: i64,
    after: i64,
    rule: String,
    days_left: i64,
    days_of: i64,
    accrued_before: String,
    charged_before: i64,
    amount: i64,
    usage: Option<Usage>,
    /// The charge that it takes back; as JSON, for no other than `undone` reads it.
    reversal: Option<Value>,
}

/// Metered use, as it is stored with its charge.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Usage {
    used: i64,
    late: i64,
    included: i64,
}

/// Proves a line that follows `found`.
///
/// # Errors
/// The first thing that is not what the facts say.
pub fn prove(shop: &Shop, found: &State, bought: &Bought) -> Result<(), Difference> {
    let Bought { line, at, .. } = bought;
    let event = Row("events", &bought.event);
    let offer =
        shop.offer(line.offer).ok_or_else(|| event.differs(format!("offer {}", line.offer), "no such offer"))?;
    event.same("committed before", line.before.committed, found.committed)?;
    event.same("next before", line.before.next, found.next)?;
    event.same("month", line.after.month.as_str(), day_of(*at).month())?;
    if line.after.month < found.month {
        return Err(event.differs(format!("month {}", line.after.month), format!("month {}", found.month)));
    }
    // Increases add up within a month; a new month starts at nothing.
    let earlier = if line.after.month == found.month {
        Earlier { accrued: found.accrued.clone(), charged: found.charged }
    } else {
        Earlier { accrued: "0".to_owned(), charged: 0 }
    };
    let metered = offer.was("kind", "load_testing", *at);
    if metered {
        event.same("committed", line.after.committed, found.committed)?;
        event.same("next", line.after.next, found.next)?;
    } else {
        let more = if rests(line) { found.committed } else { line.before.committed.max(line.after.next) };
        event.same("committed", line.after.committed, more)?;
        event.same("metered", line.after.metered, found.metered)?;
        event.same("cap", line.after.cap, found.cap)?;
    }
    event.same("installed", line.after.installed, found.installed || offer.was("kind", "extension", *at))?;
    answer(offer, found, bought)?;
    renewal(offer, bought, metered)?;
    let worked = priced(offer, bought, &earlier)?;
    let (amount, accrued) = match &worked {
        Some((worked, ..)) => (worked.amount, worked.accrued.clone()),
        None => (0, number(&earlier.accrued).unwrap_or_else(Number::zero)),
    };
    event.same("amount", line.amount.clone(), written(amount.into(), bought.decimals()))?;
    event.same("charged", i128::from(line.after.charged), i128::from(earlier.charged) + i128::from(amount))?;
    if number(&line.after.accrued).as_ref() != Some(&accrued) {
        return Err(event.differs(format!("accrued {}", line.after.accrued), format!("accrued {accrued}")));
    }
    match (&bought.charge, &worked) {
        (None, _) if amount == 0 => Ok(()),
        (Some(charged), Some((worked, version, rule, part))) if amount > 0 => {
            let bill = if bought.paid { bought.purchase.to_string() } else { day_of(*at).following_month() };
            let posted = bought.posted(&bill);
            charge(posted, charged, worked.amount)?;
            basis(posted, &charged.row, &earlier, (version, rule, *part), offer, worked)?;
            ledger(shop, offer, posted, charged)
        }
        (Some(charged), _) => Err(Row("charges", &charged.row.id).differs("this charge", "nothing was to be charged")),
        (None, _) => {
            Err(event.differs("no charge", format!("a charge of {}", written(amount.into(), bought.decimals()))))
        }
    }
}

/// The answer's line is the event's.
fn answer(offer: &Offer, found: &State, bought: &Bought) -> Result<(), Difference> {
    let Bought { line, answered, at, .. } = bought;
    let named = Row("purchases", &bought.purchase);
    named.same("a line of", answered.offer.as_str(), offer.slug.as_str())?;
    named.same("a line's quantity.from", answered.quantity.from, line.before.next)?;
    named.same("a line's quantity.to", answered.quantity.to, line.after.next)?;
    named.same("a line's now", answered.now.amount.as_str(), line.amount.as_str())?;
    for amount in [&answered.now, &answered.renewal] {
        named.same("a line's currency", amount.currency.as_str(), bought.currency.code())?;
    }
    if !offer.was("included", answered.included, *at) {
        return Err(bought.expected(format!("included {}", answered.included), "another number was included"));
    }
    let extension = offer.was("kind", "extension", *at);
    let replaces = |state: &State| state.committed > 0 && offer.was("first_paid_replaces_included", true, *at);
    let adds = |state: &State| state.committed == 0 || offer.was("first_paid_replaces_included", false, *at);
    for (what, shown, state) in [("from", answered.usable.from, found), ("to", answered.usable.to, &line.after)] {
        //
        let right = if extension && !state.installed {
            shown == 0
        } else {
            (replaces(state) && shown == state.committed)
                || (adds(state) && Some(shown) == answered.included.checked_add(state.committed))
        };
        if !right {
            let facts = format!(
                "{} committed, {} included, installed: {}",
                state.committed, answered.included, state.installed
            );
            return Err(bought.expected(format!("usable.{what} {shown}"), facts));
        }
    }
    Ok(())
}

/// The full month that the answer shows is that of a version in force on the next first.
fn renewal(offer: &Offer, bought: &Bought, metered: bool) -> Result<(), Difference> {
    let Bought { line, answered, at, currency, .. } = bought;
    let shown = answered.renewal.amount.as_str();
    let first = day_of(*at).following_month();
    let full = |version: &Version| to_minor(&version.spec.total(line.after.next)?, bought.decimals());
    let mut right = offer.in_force(currency.code(), &first, *at).filter_map(full);
    let free = metered || offer.may_be_free(*at);
    if right.any(|minor| shown == written(minor, bought.decimals())) || free && shown == written(0, bought.decimals()) {
        return Ok(());
    }
    Err(bought.expected(format!("renewal {shown}"), format!("another price of {} units from {first}", line.after.next)))
}

/// Whether a line leaves suspended what was, since its payer could not pay.
fn rests(line: &Line) -> bool {
    let (before, after) = (&line.before, &line.after);
    before.committed < before.next && after.next <= before.next && after.committed == before.committed
}

type Priced<'a> = (Worked, &'a Version, &'a str, (i64, i64));

/// What the line charges, by the version that its explanation names; none where nothing was to be priced.
fn priced<'a>(offer: &'a Offer, bought: &'a Bought, earlier: &Earlier) -> Result<Option<Priced<'a>>, Difference> {
    let Bought { line, answered, at, currency, .. } = bought;
    let more = line.after.next > line.before.committed && !rests(line);
    let Some(named) = answered.step("price_version") else {
        return if more && !offer.may_be_free(*at) {
            Err(bought.expected("no price", format!("{} paid units more", line.after.next - line.before.committed)))
        } else {
            Ok(None)
        };
    };
    if !more {
        return Err(bought.expected("a price", "no paid units more"));
    }
    let day = day_of(*at).text();
    let version = named.value.parse().ok().and_then(|number| offer.version(currency.code(), number));
    let in_force = |version: &&Version| offer.in_force(currency.code(), &day, *at).any(|v| v.number == version.number);
    let version = version.filter(in_force).ok_or_else(|| {
        bought.expected(format!("price_version {}", named.value), format!("another version in force on {day}"))
    })?;
    // Without prorating there is no step of days.
    let shown = answered.step("days").map(|why| why.value.as_str());
    let by = |rule: &&str| {
        let part = left_of_month(rule, *at);
        if *rule == "none" {
            shown.is_none()
        } else {
            part.map(|(left, of)| format!("{left}/{of}")).as_deref() == shown
        }
    };
    let charge = bought.charge.as_ref().and_then(|charged| serde_json::from_str::<Basis>(&charged.row.basis).ok());
    let rules = offer.words("proration", *at);
    let rule = rules.iter().copied().filter(by).find(|rule| charge.as_ref().is_none_or(|basis| basis.rule == **rule));
    let Some((rule, part)) = rule.and_then(|rule| Some((rule, left_of_month(rule, *at)?))) else {
        let stored = charge.map_or_else(String::new, |basis| format!("rule {} and ", basis.rule));
        let facts = format!("{} at that instant", rules.join(" or "));
        return Err(bought.expected(format!("{stored}days {}", shown.unwrap_or("left out")), facts));
    };
    let accrued_before = number(&earlier.accrued).unwrap_or_else(Number::zero);
    let given = Given {
        spec: &version.spec,
        before: line.before.committed,
        after: line.after.next,
        part,
        accrued_before: &accrued_before,
        charged_before: earlier.charged,
        decimals: bought.decimals(),
    };
    let worked = work_out(&given)
        .ok_or_else(|| bought.expected(format!("price_version {}", version.number), "a price of that quantity"))?;
    explained(bought, &given, &worked, rule)?;
    Ok(Some((worked, version, rule, part)))
}

/// The explanation's values are those that the charge was worked out with.
fn explained(bought: &Bought, given: &Given<'_>, worked: &Worked, rule: &str) -> Result<(), Difference> {
    let answered = &bought.answered;
    let parts = answered.why.iter().filter(|why| why.step == "price_after").map(|why| number(&why.value));
    let after: Option<Number> = parts.sum();
    let is = |step: &str, value: &Number| {
        let shown = answered.step(step);
        if shown.and_then(|why| number(&why.value)).as_ref() == Some(value) {
            return Ok(());
        }
        let stored = shown.map_or_else(|| format!("no step {step}"), |why| format!("{step} {}", why.value));
        Err(bought.expected(stored, format!("{step} {value}")))
    };
    if after.as_ref() != Some(&worked.price_after) {
        return Err(bought.expected("other steps price_after", format!("{} together", worked.price_after)));
    }
    if given.before > 0 {
        is("price_before", &worked.price_before)?;
        is("difference", &worked.difference)?;
    }
    if rule != "none" {
        is("exact", &worked.exact)?;
    }
    if !given.accrued_before.is_zero() || given.charged_before != 0 {
        is("earlier_this_month", given.accrued_before)?;
    }
    let amount = Number::new(worked.amount.into(), num_bigint::BigInt::from(10).pow(given.decimals));
    is("rounding", &amount)
}

/// The charge's row is its line's.
///
/// # Errors
/// The first column that is not.
pub fn charge(posted: Posted<'_>, charged: &Charged, amount: i64) -> Result<(), Difference> {
    let (row, named) = (&charged.row, Row("charges", &charged.row.id));
    named.same("purchase_id", row.purchase, posted.purchase)?;
    named.same("subscription_id", row.subscription, posted.subscription)?;
    named.same("organization_id", row.organization, posted.organization)?;
    named.same("offer_id", row.offer, posted.offer)?;
    named.same("amount", row.amount, amount)?;
    named.same("currency", row.currency.as_str(), posted.currency.code())?;
    named.same("month", row.month.as_str(), posted.month)?;
    // A bill that is out takes no more charges: they go on a later one.
    let later = row.bill.as_str() > posted.bill && row.bill.ends_with("-01") && posted.bill.ends_with("-01");
    if row.bill != posted.bill && !later {
        return Err(named.differs(format!("bill {}", row.bill), format!("bill {} or a later one", posted.bill)));
    }
    named.same("at", row.at, posted.at)?;
    // No rate is stored as nothing and shown as 0; which of the two is what the sums of unbilled charges tell apart.
    let stored = if row.tax_rate.is_empty() { "0" } else { row.tax_rate.as_str() };
    named.same("tax_rate", stored, posted.tax)
}

/// What is stored with the charge as its basis is what it was worked out from.
///
/// # Errors
/// The first part that is not.
pub fn basis(
    posted: Posted<'_>,
    row: &ChargeProof,
    earlier: &Earlier,
    (version, rule, (left, of)): (&Version, &str, (i64, i64)),
    offer: &Offer,
    worked: &Worked,
) -> Result<(), Difference> {
    let named = Row("charges", &row.id);
    let basis: Basis = serde_json::from_str(&row.basis).map_err(|error| {
        named.differs(format!("a basis that cannot be read ({error})"), "what it was computed from")
    })?;
    named.same("basis.offer", basis.offer.as_str(), offer.slug.as_str())?;
    named.same("basis.currency", basis.currency.as_str(), posted.currency.code())?;
    named.same("basis.price_version", basis.price_version, version.number)?;
    named.same("basis.spec", &basis.spec, &version.json)?;
    named.same("basis.before", basis.before, posted.before)?;
    named.same("basis.after", basis.after, posted.after)?;
    named.same("basis.rule", basis.rule.as_str(), rule)?;
    named.same("basis.days_left", basis.days_left, left)?;
    named.same("basis.days_of", basis.days_of, of)?;
    named.same("basis.accrued_before", basis.accrued_before.as_str(), earlier.accrued.as_str())?;
    named.same("basis.charged_before", basis.charged_before, earlier.charged)?;
    let usage = basis.usage.map(|Usage { used, late, included }| (used, late, included));
    if usage != posted.usage {
        return Err(named.differs(format!("basis.usage {usage:?}"), format!("{:?}", posted.usage)));
    }
    if basis.reversal.is_some() {
        return Err(named.differs("basis.reversal", "a charge that takes no other back"));
    }
    named.same("basis.amount", basis.amount, worked.amount)
}

/// The ledger has exactly the postings that the charge implies.
///
/// # Errors
/// The first posting that is missing, other or too much.
pub fn ledger(shop: &Shop, offer: &Offer, posted: Posted<'_>, charged: &Charged) -> Result<(), Difference> {
    let row = &charged.row;
    let expected: Vec<_> =
        shop.sellers(offer, posted.at).into_iter().filter_map(|seller| postings(posted, row, seller)).collect();
    if expected.contains(&charged.postings) {
        return Ok(());
    }
    let expected = expected.into_iter().next().unwrap_or_default();
    let name = |leg: usize| format!("{}, posting {leg}", row.id);
    for (leg, facts) in expected.iter().enumerate() {
        let name = name(leg);
        let named = Row("transfers", &name);
        let Some(stored) = charged.postings.get(leg) else {
            return Err(named.differs("no such row", format!("charge {} posted it", row.id)));
        };
        named.same("leg", stored.leg, facts.leg)?;
        named.same("debit", stored.debit.as_str(), facts.debit.as_str())?;
        named.same("credit", stored.credit.as_str(), facts.credit.as_str())?;
        named.same("amount", stored.amount, facts.amount)?;
        named.same("currency", stored.currency.as_str(), facts.currency.as_str())?;
        named.same("at", stored.at, facts.at)?;
    }
    let name = name(expected.len());
    Err(Row("transfers", &name).differs("this row", format!("charge {} has {} postings", row.id, expected.len())))
}

fn postings(posted: Posted<'_>, row: &ChargeProof, seller: Option<(&str, &str)>) -> Option<Vec<TransferProof>> {
    let theirs = match seller {
        None => 0,
        Some((_, share)) => {
            let part = Number::from_integer(row.amount.into()) * number(share)?;
            i64::try_from(to_minor(&part, 0)?).ok()?
        }
    };
    let ours = row.amount.checked_sub(theirs)?;
    let publisher = seller.map_or("", |(publisher, _)| publisher);
    let credits =
        [(ours, format!("deferred_revenue/{}", posted.offer)), (theirs, format!("publisher_payable/{publisher}"))];
    let credits = credits.into_iter().filter(|(amount, _)| *amount > 0);
    let posting = |(leg, (amount, credit))| TransferProof {
        fact: row.id,
        leg,
        debit: format!("unbilled/{}", posted.subscription),
        credit,
        amount,
        currency: posted.currency.code().to_owned(),
        at: posted.at,
    };
    Some((0..).zip(credits).map(posting).collect())
}
