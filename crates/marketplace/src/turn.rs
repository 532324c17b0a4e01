//! The month's turn: committed becomes next and the month is charged in full, and metered use of the month before
//! is charged in arrears, once an organization and month, by whoever comes first: the job, or a command of the new
//! month. Pure, as all decisions.

use crate::book::{Book, OrganizationBook};
use crate::catalogue::Offer;
use crate::command::{NewCharge, State, Writes, keep, partner_share};
use crate::decide::Line;
use crate::metered::{self, Closed, ClosedMonth};
use billing::invoice::bill;
use billing::ledger::{Share, postings_of_charge};
use billing::{Payer, TaxRate};
use kernel::{
    ChargeBasis, ChargeId, ChargeInputs, Currency, DayRule, Exact, IdSource, Money, Month, OfferId, OrganizationId,
    SubscriptionId, Timestamp,
};
use serde::Serialize;
use std::sync::Arc;
use store::till::EntitlementRow;
use store::{Actor, NewEvent};

/// A month that came, as the audit trail keeps it.
#[derive(Serialize)]
struct Turned {
    organization: OrganizationId,
    subscription: Option<SubscriptionId>,
    currency: Option<Currency>,
    month: Month,
    /// Percent, empty for none, on the month's first day.
    tax_rate: String,
    /// Whether the payer could not pay, so that nothing was charged and nothing is usable.
    suspended: bool,
    lines: Vec<TurnedLine>,
    /// Metered use of the months before.
    usage: Vec<ClosedMonth>,
}

#[derive(Serialize)]
struct TurnedLine {
    offer: OfferId,
    charge: Option<ChargeId>,
    amount: String,
    before: Quantities,
    after: State,
}

#[derive(Serialize)]
struct Quantities {
    committed: i64,
    next: i64,
}

/// Brings an organization to the month `until`, month by month; what is to be written for each.
pub fn turn(
    book: &mut Book,
    organization: OrganizationId,
    until: Month,
    now: Timestamp,
    ids: &mut IdSource,
) -> Vec<Writes> {
    let mut writes = Vec::new();
    while let Some(month) = book.organizations.get(&organization).and_then(|held| next_due(held, until)) {
        let Some(turned) = one(book, organization, month, now, ids) else { break };
        writes.push(turned);
    }
    writes
}

/// The first month up to `until` that something paid or metered of the organization has not come to.
fn next_due(held: &OrganizationBook, until: Month) -> Option<Month> {
    let due = |row: &&EntitlementRow| is_due(held, row, until);
    held.entitlements.values().filter(due).map(|row| row.month.next()).min()
}

fn is_due(held: &OrganizationBook, row: &EntitlementRow, month: Month) -> bool {
    // What was switched off within its month is still to be charged for.
    let used = || held.used.keys().any(|(offer, counted)| *offer == row.offer && *counted < month);
    row.month < month && (row.next > 0 || row.committed > 0 || row.metered || used())
}

fn one(
    book: &mut Book,
    organization: OrganizationId,
    month: Month,
    now: Timestamp,
    ids: &mut IdSource,
) -> Option<Writes> {
    let held = book.organizations.get(&organization)?;
    let now = now.max(held.last_fact);
    let payer = held.link.and_then(|link| book.payers.get(&link)).map(|account| account.payer.clone());
    let currency = payer.as_ref().map_or(book.policy.platform_currency, |payer| payer.currency);
    let paying = payer.as_ref().filter(|payer| payer.status.pays());
    let rate = payer.as_ref().map_or_else(TaxRate::none, |p| book.policy.taxes.of(p, month.first_day()));
    let rows: Vec<EntitlementRow> =
        held.entitlements.values().filter(|row| is_due(held, row, month)).cloned().collect();
    let account = held.link.and_then(|link| book.payers.get(&link));
    let closed = account.map(|account| metered::close(book, held, account, month, (now, ids))).unwrap_or_default();
    let Closed { months: usage, mut charges } = closed;

    let (mut lines, mut after) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        if let Some(payer) = &payer {
            book.budgets.came(payer.id, row.offer, row.next, row.month);
        }
    }
    for before in rows {
        let offer = book.catalogue.offer(before.offer).cloned()?;
        let line = renewed(offer, before, month, (paying, currency), now);
        let charge = paying.filter(|_| !line.now.is_zero()).map(|payer| {
            let id: ChargeId = ids.next(now);
            let share = partner_share(book, &line);
            let share = share.as_ref().map(|(publisher, part)| Share { publisher, part });
            let postings = postings_of_charge(id, payer.id, line.offer.id, line.now, share);
            let (subscription, tax_rate) = (payer.id, rate.clone());
            let (bill, line) = (bill(month, payer.billed_through).into(), line.clone());
            charges.push(NewCharge { id, purchase: None, subscription, tax_rate, bill, line, postings });
            id
        });
        lines.push(TurnedLine {
            offer: line.offer.id,
            charge,
            amount: line.now.amount_string(),
            before: Quantities { committed: line.before.committed, next: line.before.next },
            after: State::from(&line.after),
        });
        after.push(line.after);
    }
    let told = Turned {
        organization,
        subscription: payer.as_ref().map(|payer| payer.id),
        currency: payer.as_ref().map(|payer| payer.currency),
        month,
        tax_rate: rate.as_str().to_owned(),
        suspended: paying.is_none(),
        lines,
        usage,
    };
    let closed: Vec<(OfferId, Month)> = told.usage.iter().map(|use_| (use_.offer, use_.month)).collect();
    owe(book, organization, &charges, &closed);
    keep(book, organization, None, after.into_iter(), now);
    let public = serde_json::to_string(&told).unwrap_or_default();
    let event = NewEvent {
        kind: "month.turned",
        organization: Some(organization),
        actor: Actor::System,
        at: now,
        public,
        private: None,
    };
    let (caller, created, link, purchase) = (None, None, None, None);
    let (undone, collects) = (None, None);
    Some(Writes { caller, organization, at: now, created, link, purchase, charges, closed, undone, collects, event })
}

/// What the payer will be billed for it, and no longer for what was used and is closed.
pub(crate) fn owe(book: &mut Book, organization: OrganizationId, charges: &[NewCharge], closed: &[(OfferId, Month)]) {
    let Some(held) = book.organizations.get_mut(&organization) else { return };
    let Some(account) = held.link.and_then(|link| book.payers.get_mut(&link)) else { return };
    for (offer, month) in closed {
        if let Some(count) = held.used.remove(&(*offer, *month)) {
            account.close(*offer, *month, count.used);
        }
    }
    account.owe(charges);
    for charge in charges {
        book.budgets.charge(charge.subscription, organization, charge.line.after.month, charge.line.now.minor());
    }
}

/// One offer, brought to a month: charged in full where the payer pays; suspended where it does not.
fn renewed(
    offer: Arc<Offer>,
    before: EntitlementRow,
    month: Month,
    (paying, currency): (Option<&Payer>, Currency),
    now: Timestamp,
) -> Line {
    let mut after = EntitlementRow {
        month,
        committed: if paying.is_some() { before.next } else { 0 },
        accrued: Exact::zero(),
        charged: 0,
        version: before.version.saturating_add(1),
        changed_at: now,
        purchase: None,
        ..before.clone()
    };
    let priced = paying.filter(|_| after.committed > 0);
    let basis = priced.and_then(|payer| full_month(&offer, payer.currency, month, after.committed));
    // What cannot be priced is suspended rather than given away.
    if basis.is_none() && !offer.is_free() {
        after.committed = 0;
    }
    let amount = basis.as_ref().map_or_else(|| Money::zero(currency), ChargeBasis::money);
    Line { offer, before, after, basis, now: amount, renewal: amount }
}

/// A full month of so many units, at the version in force on its first day; none where it has no price.
#[must_use]
pub fn full_month(offer: &Offer, currency: Currency, month: Month, units: i64) -> Option<ChargeBasis> {
    let version = offer.price_on(currency, month.first_day())?;
    let inputs = ChargeInputs {
        offer: offer.slug.to_string(),
        currency,
        price_version: version.version,
        before: 0,
        after: units,
        fraction: DayRule::None.fraction(month.start()),
        accrued_before: Exact::zero(),
        charged_before: 0,
    };
    ChargeBasis::compute(&version.price, inputs).ok()
}
