//! What was suspended resumes once its payer pays again: next becomes committed at once, charged as an increase for
//! what is left of the month. Pure, as all decisions.

use crate::book::Book;
use crate::command::{Decision, NewCharge, State, Writes, keep, partner_share};
use crate::decide::{Line, increase};
use crate::turn::owe;
use billing::Payer;
use billing::invoice::bill;
use billing::ledger::{Share, postings_of_charge};
use kernel::{
    ChargeBasis, ChargeId, Currency, IdSource, Money, Month, OfferId, OrganizationId, SubscriptionId, Timestamp,
};
use serde::Serialize;
use store::till::EntitlementRow;
use store::{Actor, NewEvent};

/// What resumed, as the audit trail keeps it.
#[derive(Serialize)]
struct Resumed {
    organization: OrganizationId,
    subscription: SubscriptionId,
    currency: Currency,
    month: Month,
    /// Percent, empty for none, on the day.
    tax_rate: String,
    lines: Vec<ResumedLine>,
}

#[derive(Serialize)]
struct ResumedLine {
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

/// Resumes what is suspended of an organization whose payer pays; nothing where it does not, or nothing is suspended.
pub(crate) fn resume(
    book: &mut Book,
    organization: OrganizationId,
    now: Timestamp,
    ids: &mut IdSource,
) -> Option<Decision> {
    let month = Month::of(now);
    let held = book.organizations.get(&organization)?;
    let payer = held.link.and_then(|link| book.payers.get(&link)).map(|account| account.payer.clone())?;
    if !payer.status.pays() {
        return None;
    }
    // What a purchase holds resumes once that is settled.
    let free = |row: &&EntitlementRow| !held.held.contains_key(&row.offer);
    let suspended =
        held.entitlements.values().filter(|row| row.month == month && row.committed < row.next).filter(free);
    let decided: Vec<Line> = suspended.filter_map(|row| resumed(book, row, &payer, now)).collect();
    if decided.is_empty() {
        return None;
    }
    let tax_rate = book.policy.taxes.of(&payer, now.date_naive());
    let bill = bill(month.next(), payer.billed_through).into();
    let (mut lines, mut charges, mut after) = (Vec::with_capacity(decided.len()), Vec::new(), Vec::new());
    for line in decided {
        let charge: Option<ChargeId> = (!line.now.is_zero()).then(|| ids.next(now));
        lines.push(ResumedLine {
            offer: line.offer.id,
            charge,
            amount: line.now.amount_string(),
            before: Quantities { committed: line.before.committed, next: line.before.next },
            after: State::from(&line.after),
        });
        after.push(line.after.clone());
        charges.extend(charge.map(|id| {
            let share = partner_share(book, &line);
            let share = share.as_ref().map(|(publisher, part)| Share { publisher, part });
            let postings = postings_of_charge(id, payer.id, line.offer.id, line.now, share);
            let tax_rate = tax_rate.clone();
            NewCharge { id, purchase: None, subscription: payer.id, tax_rate, bill, line, postings }
        }));
    }
    let (subscription, currency) = (payer.id, payer.currency);
    let told = Resumed { organization, subscription, currency, month, tax_rate: tax_rate.as_str().to_owned(), lines };
    owe(book, organization, &charges, &[]);
    keep(book, organization, None, after.into_iter(), now);
    let public = serde_json::to_string(&told).unwrap_or_default();
    let event = NewEvent {
        kind: "entitlements.resumed",
        organization: Some(organization),
        actor: Actor::System,
        at: now,
        public,
        private: None,
    };
    let (caller, created, link, purchase, closed) = (None, None, None, None, Vec::new());
    let (undone, collects) = (None, None);
    let writes =
        Writes { caller, organization, at: now, created, link, purchase, charges, closed, undone, collects, event };
    Some(Decision::Write(Box::new(writes), String::new()))
}

/// One offer; none where it cannot be priced, which leaves it suspended rather than given away.
fn resumed(book: &Book, before: &EntitlementRow, payer: &Payer, now: Timestamp) -> Option<Line> {
    let offer = book.catalogue.offer(before.offer)?;
    let mut after = EntitlementRow {
        committed: before.next,
        version: before.version.saturating_add(1),
        changed_at: now,
        purchase: None,
        ..before.clone()
    };
    let mut basis = None;
    if !offer.is_free() {
        basis = Some(increase(offer, &mut after, (before.committed, before.next), payer.currency, now).ok()??);
    }
    let amount = basis.as_ref().map_or_else(|| Money::zero(payer.currency), ChargeBasis::money);
    let (offer, before) = (std::sync::Arc::clone(offer), before.clone());
    Some(Line { offer, before, after, basis, now: amount, renewal: amount })
}
