//! What a batch decided, as the rows that are written.

use crate::book::Book;
use crate::command::Writes;
use kernel::{IdSource, Month, PurchaseId, SubscriptionId, SubscriptionRole, Timestamp, micros};
use sea_orm::Value;
use std::collections::BTreeMap;
use store::audit;
use store::till::{EntitlementRow, Record};
use uuid::Uuid;

/// The rows of a batch: entitlements as they are in the book at its end, all else as each command left it.
#[must_use]
pub fn record(book: &Book, writes: Vec<Writes>, ids: &mut IdSource, at: Timestamp, origin: Uuid) -> Record {
    let mut record = Record::default();
    let mut events = Vec::with_capacity(writes.len());
    let mut unbilled: BTreeMap<(SubscriptionId, Month, String), i64> = BTreeMap::new();
    for write in writes {
        payer_rows(&mut record, &write);
        purchase_row(&mut record, &write);
        charge_rows(&mut record, &write, book, &mut unbilled);
        record.undone.extend(write.undone.clone());
        record.closed.extend(write.closed.iter().map(|(offer, month)| (write.organization, *offer, *month)));
        events.push(write.event);
    }
    (record.events, record.blocks) = audit::seal(events, ids, at, origin);
    // Rows are in the order of their keys, so that no two batches wait for each other in a circle.
    for ((subscription, month, rate), amount) in unbilled {
        record.unbilled.push([subscription.uuid().into(), month.to_string().into(), rate.into(), amount.into()]);
    }
    let mut changed: Vec<_> = book.changed.iter().collect();
    changed.sort_unstable();
    for (organization, offer) in changed {
        let held = book.organizations.get(organization).and_then(|o| o.entitlements.get(offer));
        if let Some(row) = held {
            record.entitlements.push(entitlement(row));
        }
    }
    record
}

fn payer_rows(record: &mut Record, write: &Writes) {
    let Some(actor) = write.caller.as_ref().map(|caller| caller.user) else { return };
    if let Some(row) = &write.created {
        record.subscriptions.push(row.cells("", &actor.to_string()));
        record.roles.push([row.id.uuid().into(), actor.uuid().into(), SubscriptionRole::Owner.as_str().into()]);
    }
    if let Some((link, subscription)) = write.link {
        record.links.push([
            link.uuid().into(),
            write.organization.uuid().into(),
            subscription.uuid().into(),
            actor.to_string().into(),
            micros(write.at).into(),
        ]);
    }
}

fn purchase_row(record: &mut Record, write: &Writes) {
    let (Some(purchase), Some(caller)) = (&write.purchase, &write.caller) else { return };
    record.purchases.push([
        purchase.id.uuid().into(),
        write.organization.uuid().into(),
        purchase.subscription.uuid().into(),
        caller.user.uuid().into(),
        purchase.key.as_str().into(),
        purchase.request_hash.to_vec().into(),
        purchase.state.into(),
        purchase.answer.as_str().into(),
        micros(write.at).into(),
        purchase.found.as_str().into(),
    ]);
}

fn charge_rows(
    record: &mut Record,
    write: &Writes,
    book: &Book,
    unbilled: &mut BTreeMap<(SubscriptionId, Month, String), i64>,
) {
    let at = micros(write.at);
    for charge in &write.charges {
        let line = &charge.line;
        let basis = line.basis.as_ref().and_then(|basis| serde_json::to_string(basis).ok()).unwrap_or_default();
        record.charges.push([
            charge.id.uuid().into(),
            charge.purchase.map_or(Uuid::nil(), PurchaseId::uuid).into(),
            charge.subscription.uuid().into(),
            write.organization.uuid().into(),
            line.offer.id.uuid().into(),
            line.now.minor().into(),
            line.now.currency().code().into(),
            line.after.month.to_string().into(),
            charge.tax_rate.as_str().into(),
            basis.into(),
            charge.bill.to_string().into(),
            at.into(),
        ]);
        // What is paid at once waits for no bill.
        if let Some(month) = charge.bill.month() {
            let sum = unbilled.entry((charge.subscription, month, charge.tax_rate.as_str().to_owned())).or_insert(0);
            *sum = sum.saturating_add(line.now.minor());
        }
        if book.payers.get(&charge.subscription).is_some_and(|account| account.payer.budgeted) {
            let key = (charge.subscription, write.organization, line.after.month);
            let sum = record.budgeted.entry(key).or_insert(0);
            *sum = sum.saturating_add(line.now.minor());
        }
        for posting in &charge.postings {
            record.transfers.push([
                posting.fact.uuid().into(),
                posting.leg.into(),
                posting.debit.as_str().into(),
                posting.credit.as_str().into(),
                posting.amount.minor().into(),
                posting.amount.currency().code().into(),
                at.into(),
            ]);
        }
    }
}

fn entitlement(row: &EntitlementRow) -> [Value; 13] {
    [
        row.organization.uuid().into(),
        row.offer.uuid().into(),
        row.committed.into(),
        row.next.into(),
        row.month.to_string().into(),
        row.accrued.to_string().into(),
        row.charged.into(),
        row.installed.into(),
        row.metered.into(),
        row.cap.into(),
        row.version.into(),
        micros(row.changed_at).into(),
        row.purchase.map_or(Uuid::nil(), PurchaseId::uuid).into(),
    ]
}
