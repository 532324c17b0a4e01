//! What metered use costs: the units of a month above the included ones, in arrears, by the whole price model.

use crate::book::{OrganizationBook, PayerBook};
use crate::catalogue::Offer;
use crate::command::{NewCharge, partner_share};
use crate::decide::Line;
use crate::{Policy, book};
use billing::ledger::{Share, postings_of_charge};
use billing::{Payer, SubscriptionStatus, TaxRate};
use kernel::{ChargeBasis, ChargeId, Currency, IdSource, Money, MoneyError, Month, OfferId, Timestamp, Usage};
use serde::Serialize;
use std::sync::Arc;
use store::usage::OpenRow;

/// Units counted in a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub used: i64,
    /// How many of them were used in an earlier month and reported after it was billed.
    pub late: i64,
}

/// A month's metered use, as the audit trail keeps it when the month's turn closes it.
#[derive(Clone, Debug, Serialize)]
pub struct ClosedMonth {
    pub(crate) offer: OfferId,
    /// The month that it was counted in.
    pub(crate) month: Month,
    used: i64,
    late: i64,
    included: i64,
    charge: Option<ChargeId>,
    amount: String,
    /// Percent, empty for none, on the first day of `month`.
    tax_rate: String,
}

/// What a month's use of an offer comes to; none where it has no price in this currency or comes to more than can be
/// billed. The version in force on the month's first day counts, so that whoever uses it knows the price; where there is
/// none yet, that of its last day.
#[must_use]
pub fn charge(offer: &Offer, currency: Currency, month: Month, count: Count) -> Option<ChargeBasis> {
    let last = month.next().first_day().pred_opt()?;
    let version = offer.price_on(currency, month.first_day()).or_else(|| offer.price_on(currency, last))?;
    let usage = Usage { used: count.used, late: count.late, included: offer.definition.included };
    ChargeBasis::of_use(&version.price, (offer.slug.to_string(), currency, version.version), usage).ok()
}

/// Most units that may be used in a month: the organization's cap (0 for none), and never more paid units than the offer's
/// maximum.
#[must_use]
pub fn most(offer: &Offer, cap: i64) -> i64 {
    let maximum = offer.definition.included.saturating_add(offer.definition.maximum);
    if cap > 0 { cap.min(maximum) } else { maximum }
}

/// What an organization may use of a metered offer in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Whether it is switched on.
    pub on: bool,
    /// The cap in force: a lower one than what is used already holds at that; none for no limit.
    pub cap: Option<i64>,
    /// Units used.
    pub used: i64,
    /// Units that may still be used, while the payer can pay.
    pub left: i64,
}

impl Meter {
    /// How it stands with what is used in months that are not billed yet.
    #[must_use]
    pub fn of(offer: &Offer, held: &book::EntitlementRow, open: &[OpenRow], month: Month) -> Self {
        let used = open.iter().find(|row| row.offer == offer.id && row.month == month).map_or(0, |row| row.used);
        let left = if held.metered { most(offer, held.cap).saturating_sub(used).max(0) } else { 0 };
        Self { on: held.metered, cap: (held.cap > 0).then(|| held.cap.max(used)), used, left }
    }
}

/// Whether a payer of this status, as it is stored, pays for metered use.
#[must_use]
pub fn is_paid_for(status: Option<&str>) -> bool {
    status.is_some_and(|word| word.parse::<SubscriptionStatus>().is_ok_and(SubscriptionStatus::pays))
}

/// The tax rate of a month's use: the payer's on the first day of its service.
#[must_use]
pub fn tax(policy: &Policy, payer: &Payer, month: Month) -> TaxRate {
    policy.taxes.of(payer, month.first_day())
}

/// What the organizations of a payer used so far in a month, with its tax rate: the month's turn will charge it whatever
/// becomes of the payer.
pub(crate) fn so_far(
    book: &book::Book,
    account: &PayerBook,
    month: Month,
) -> Result<Vec<(TaxRate, Money)>, MoneyError> {
    let (currency, rate) = (account.payer.currency, tax(&book.policy, &account.payer, month));
    let mut amounts = Vec::new();
    for ((offer, _, used), organizations) in account.used.iter().filter(|((_, counted, _), _)| *counted == month) {
        let count = Count { used: *used, late: 0 };
        let offer = book.catalogue.offer(*offer);
        let Some(basis) = offer.and_then(|offer| charge(offer, currency, month, count)) else { continue };
        let all = basis.amount.checked_mul(*organizations).ok_or(MoneyError::Overflow)?;
        amounts.push((rate.clone(), Money::new(all, currency)));
    }
    Ok(amounts)
}

/// What closing the months before `came` leaves.
#[derive(Debug, Default)]
pub(crate) struct Closed {
    /// Told in the event.
    pub(crate) months: Vec<ClosedMonth>,
    /// What above the included units is charged.
    pub(crate) charges: Vec<NewCharge>,
}

/// Charges what an organization used in months before `came`, whether its payer can pay now or not: it was used, and was
/// refused from the moment on when the payer could not. What cannot be priced stays open rather than given away.
pub(crate) fn close(
    book: &book::Book,
    held: &OrganizationBook,
    account: &PayerBook,
    came: Month,
    (now, ids): (Timestamp, &mut IdSource),
) -> Closed {
    let (mut closed, payer) = (Closed::default(), &account.payer);
    for ((offer, month), count) in held.used.iter().filter(|((_, month), _)| *month < came) {
        let Some(offer) = book.catalogue.offer(*offer) else { continue };
        let basis = charge(offer, payer.currency, *month, *count);
        if basis.is_none() && !offer.is_free() {
            continue;
        }
        let rate = tax(&book.policy, payer, *month);
        let amount = basis.as_ref().map_or_else(|| Money::zero(payer.currency), ChargeBasis::money);
        let id: Option<ChargeId> = (!amount.is_zero()).then(|| ids.next(now));
        closed.months.push(ClosedMonth {
            offer: offer.id,
            month: *month,
            used: count.used,
            late: count.late,
            included: offer.definition.included,
            charge: id,
            amount: amount.amount_string(),
            tax_rate: rate.as_str().to_owned(),
        });
        let line = line(offer, held, *month, basis, amount);
        closed.charges.extend(id.map(|id| {
            let share = partner_share(book, &line);
            let share = share.as_ref().map(|(publisher, part)| Share { publisher, part });
            let postings = postings_of_charge(id, payer.id, offer.id, amount, share);
            let bill = billing::invoice::bill(came, payer.billed_through).into();
            NewCharge { id, purchase: None, subscription: payer.id, tax_rate: rate, bill, line, postings }
        }));
    }
    closed
}

/// A line of nothing but the month's use.
fn line(offer: &Arc<Offer>, held: &OrganizationBook, month: Month, basis: Option<ChargeBasis>, amount: Money) -> Line {
    let none = book::nothing(held.row.id, offer.id, month);
    let before = book::EntitlementRow { month, ..held.entitlements.get(&offer.id).cloned().unwrap_or(none) };
    let (offer, renewal) = (Arc::clone(offer), Money::zero(amount.currency()));
    Line { offer, after: before.clone(), before, basis, now: amount, renewal }
}
