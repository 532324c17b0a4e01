//! The month's turn: committed becomes next and the month is charged in full, once an organization and month, by
//! whoever comes first: the job, or a command of the new month. Pure, as all decisions.

use crate::book::{Book, OrganizationBook, PayerBook};
use crate::catalogue::Offer;
use crate::command::{NewCharge, State, Writes, keep, partner_share};
use crate::decide::Line;
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

/// The first month up to `until` that something paid of the organization has not come to.
fn next_due(held: &OrganizationBook, until: Month) -> Option<Month> {
    let paid = |row: &&EntitlementRow| is_due(row, until);
    held.entitlements.values().filter(paid).map(|row| row.month.next()).min()
}

fn is_due(row: &EntitlementRow, month: Month) -> bool {
    row.month < month && (row.next > 0 || row.committed > 0)
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
    let rate = payer.as_ref().map_or_else(TaxRate::none, |p| book.policy.taxes.on(p.country, month.first_day()));
    let rows: Vec<EntitlementRow> = held.entitlements.values().filter(|row| is_due(row, month)).cloned().collect();

    let (mut charges, mut lines, mut after) = (Vec::new(), Vec::with_capacity(rows.len()), Vec::new());
    for before in rows {
        let offer = book.catalogue.offer(before.offer).cloned()?;
        let line = renewed(offer, before, month, (paying, currency), now);
        let charge = paying.filter(|_| !line.now.is_zero()).map(|payer| {
            let id: ChargeId = ids.next(now);
            let share = partner_share(book, &line);
            let share = share.as_ref().map(|(publisher, part)| Share { publisher, part });
            let postings = postings_of_charge(id, payer.id, line.offer.id, line.now, share);
            let (subscription, tax_rate) = (payer.id, rate.clone());
            let (bill, line) = (bill(month, payer.billed_through), line.clone());
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
    };
    if let Some(account) = payer.and_then(|payer| book.payers.get_mut(&payer.id)) {
        owe(account, &charges, &rate);
    }
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
    Some(Writes { caller: None, organization, at: now, created: None, link: None, purchase: None, charges, event })
}

/// What the payer will be billed for it.
fn owe(account: &mut PayerBook, charges: &[NewCharge], rate: &TaxRate) {
    for charge in charges {
        let sum = account.unbilled.entry((charge.bill, rate.clone())).or_insert(0);
        *sum = sum.saturating_add(charge.line.now.minor());
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
