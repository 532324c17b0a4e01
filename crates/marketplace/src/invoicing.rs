//! Issuing invoices: what waits for a bill becomes one, with its number, its postings and its event, in one
//! transaction for some payers. Purchases of these payers wait meanwhile; what they charge goes on the next bill.

use crate::catalogue::Catalogue;
use crate::lines::{LinesHash, freeze};
use billing::Profile;
use billing::collection::{self, Desk};
use billing::dunning::Schedule;
use billing::invoice::{BilledTo, Document, Seller, Sums, counter, number, postings};
use chrono::{Datelike, TimeDelta};
use kernel::{IdSource, InvoiceId, Month, SubscriptionId, Timestamp};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use store::invoices::{self, DueRow, InvoiceRow};
use store::lines::{self, FrozenLine, WaitingLine};
use store::subscriptions::SubscriptionRow;
use store::{Actor, Db, NewEvent, StoreError, Tx, audit};

/// Payers that are billed in one transaction: statements and a commit for all, and not long for a purchase to wait.
const STRIDE: i64 = 64;

/// Lines that are written in one transaction, unless one invoice has more: some 300 bytes each while it runs.
const LINES: i64 = 5_000;

/// How this installation bills.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Who sells.
    pub seller: Seller,
    /// What numbers begin with.
    pub series: String,
    /// Days that a transfer may take.
    pub due_days: i64,
    /// When what is not paid is asked for again.
    pub schedule: Schedule,
}

/// What came of issuing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Issued {
    /// Invoices.
    pub issued: u64,
    /// Payers that cannot be billed as they are; each has its line in the log.
    pub failed: u64,
}

impl Issued {
    fn and(self, other: Self) -> Self {
        Self { issued: self.issued.saturating_add(other.issued), failed: self.failed.saturating_add(other.failed) }
    }
}

/// Issues what is due by the first day of `month`, in the order of payers. All organizations must have come to `month` before,
/// for a bill takes what they renew; where some are known not to (`behind`), their payers wait.
///
/// # Errors
/// The store's, where the database is away; what was issued stays, and the next run goes on.
pub async fn issue_all(
    db: &Db,
    terms: &Terms,
    month: Month,
    behind: bool,
    now: Timestamp,
    ids: &mut IdSource,
) -> Result<Issued, StoreError> {
    let (mut done, mut after) = (Issued::default(), None);
    loop {
        let due = invoices::due(db, month, after, STRIDE).await?;
        let Some(last) = due.last().copied() else { return Ok(done) };
        after = Some(last);
        let mut ready = Vec::with_capacity(due.len());
        for payer in due {
            if !behind || !invoices::waits(db, payer, month).await? {
                ready.push(payer);
            }
        }
        for some in batches(&ready, &lines::sizes(db, &ready, month).await?) {
            done = done.and(issue_some(db, terms, &some, (month, now), ids).await?);
        }
    }
}

/// Payers in their order, as many together as have [`LINES`] between them, or one that has more.
fn batches(payers: &[SubscriptionId], sizes: &[(SubscriptionId, i64)]) -> Vec<Vec<SubscriptionId>> {
    let mut batches: Vec<Vec<SubscriptionId>> = Vec::new();
    let mut lines = LINES;
    for payer in payers {
        let size: i64 = sizes.iter().filter(|(of, _)| of == payer).map(|(_, size)| size).sum();
        lines = lines.saturating_add(size);
        match batches.last_mut().filter(|_| lines <= LINES) {
            Some(batch) => batch.push(*payer),
            None => {
                lines = size;
                batches.push(vec![*payer]);
            }
        }
    }
    batches
}

/// Bills payers together; where that fails for one of them, each by itself, so that it keeps no other from it.
async fn issue_some(
    db: &Db,
    terms: &Terms,
    payers: &[SubscriptionId],
    (month, now): (Month, Timestamp),
    ids: &mut IdSource,
) -> Result<Issued, StoreError> {
    match db.write("issue-invoices", async |tx| issue(tx, terms, payers, (month, now), ids).await).await {
        Ok(issued) => return Ok(Issued { issued, failed: 0 }),
        Err(error @ StoreError::Unavailable(_)) => return Err(error),
        Err(error) => tracing::debug!(%month, %error, "payers are billed singly"),
    }
    let mut done = Issued::default();
    for payer in payers {
        let alone = std::slice::from_ref(payer);
        match db.write("issue-invoice", async |tx| issue(tx, terms, alone, (month, now), ids).await).await {
            Ok(issued) => done = done.and(Issued { issued, failed: 0 }),
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            Err(error) => {
                tracing::error!(%payer, %month, %error, "a payer cannot be billed");
                done = done.and(Issued { issued: 0, failed: 1 });
            }
        }
    }
    Ok(done)
}

/// An invoice that gets its number when all of its transaction are known.
struct Drafted<'a> {
    payer: &'a SubscriptionRow,
    bill: Month,
    sums: Sums,
}

async fn issue(
    tx: &Tx,
    terms: &Terms,
    payers: &[SubscriptionId],
    (month, now): (Month, Timestamp),
    ids: &mut IdSource,
) -> Result<u64, StoreError> {
    let held = invoices::hold(tx, payers, month).await?;
    let mut drafted = Vec::with_capacity(held.len());
    for (payer, due) in &held {
        let mut bills: BTreeMap<Month, Vec<&DueRow>> = BTreeMap::new();
        for line in due {
            bills.entry(line.bill).or_default().push(line);
        }
        for (bill, lines) in bills {
            let lines = lines.into_iter().map(|line| (line.tax_rate.clone(), line.amount));
            let sums = Sums::of(lines, payer.currency);
            let sums = sums.map_err(|_| StoreError::corrupt(format!("{} owes too much", payer.id)))?;
            // No line that is not nothing, no invoice.
            if sums.taxes.iter().any(|sum| sum.net != 0) {
                drafted.push(Drafted { payer, bill, sums });
            }
        }
    }
    invoices::billed(tx, payers, month).await?;
    if drafted.is_empty() {
        return Ok(0);
    }
    let count = i64::try_from(drafted.len()).map_err(StoreError::corrupt)?;
    let last = invoices::next_numbers(tx, &counter(&terms.series, now.date_naive().year()), count).await?;
    let first = last.saturating_sub(count).saturating_add(1);
    let (mut rows, mut events) = (Vec::with_capacity(drafted.len()), Vec::with_capacity(drafted.len()));
    let catalogue = Catalogue::load(tx).await?;
    let (waiting, mut frozen) = (waiting(tx, &drafted).await?, Vec::new());
    for ((place, draft), waiting) in (first..).zip(&drafted).zip(waiting) {
        let invoice = new_invoice(terms, draft, place, now, ids)?;
        let lines = freeze(invoice.id, waiting, &catalogue, &draft.sums)?;
        events.push(told(&invoice, draft, &lines));
        rows.push((invoice, postings(draft.payer.id, draft.payer.country, &draft.sums)));
        frozen.extend(lines);
    }
    invoices::insert(tx, &rows).await?;
    events.extend(settle(tx, terms, held.iter().map(|(payer, _)| payer), now, ids).await?);
    lines::insert(tx, &frozen).await?;
    audit::append(tx, events, ids, now).await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// What payers have as credit goes to what they owe now; the events that tell of it.
async fn settle(
    tx: &Tx,
    terms: &Terms,
    payers: impl Iterator<Item = &SubscriptionRow>,
    at: Timestamp,
    ids: &mut IdSource,
) -> Result<Vec<NewEvent>, StoreError> {
    let mut new_id = || ids.uuid(at);
    let mut desk = Desk { tx, at, actor: Actor::System, new_id: &mut new_id, events: Vec::new() };
    for payer in payers.filter(|payer| payer.credit > 0) {
        collection::use_credit(&mut desk, &terms.schedule, payer).await?;
    }
    Ok(desk.events)
}

/// What waits for each of the invoices.
async fn waiting(tx: &Tx, drafted: &[Drafted<'_>]) -> Result<Vec<Vec<WaitingLine>>, StoreError> {
    let bills: Vec<_> = drafted.iter().map(|draft| (draft.payer.id, draft.bill)).collect();
    let mut waiting: Vec<Vec<WaitingLine>> = drafted.iter().map(|_| Vec::new()).collect();
    for line in lines::waiting(tx, &bills).await? {
        if let Some(lines) = waiting.get_mut(line.bill) {
            lines.push(line);
        }
    }
    Ok(waiting)
}

fn new_invoice(
    terms: &Terms,
    draft: &Drafted<'_>,
    place: i64,
    now: Timestamp,
    ids: &mut IdSource,
) -> Result<InvoiceRow, StoreError> {
    let (row, sums, bill) = (draft.payer, &draft.sums, draft.bill);
    let issued_on = now.date_naive();
    let card = row.payment_method == "card";
    let days = if card { 0 } else { terms.due_days };
    let due_on = issued_on.checked_add_signed(TimeDelta::days(days)).unwrap_or(issued_on);
    let unreadable = |error: serde_json::Error| StoreError::corrupt(error);
    let profile: Profile = serde_json::from_str(&row.profile).map_err(unreadable)?;
    let payer = BilledTo { name: row.name.clone(), country: row.country, profile };
    Ok(InvoiceRow {
        id: ids.next::<InvoiceId>(now),
        subscription: row.id,
        bill,
        number: number(&terms.series, issued_on.year(), place),
        issued_on,
        due_on,
        // A card is asked on the day itself, a transfer is reminded of after it.
        next_on: if card { Some(due_on) } else { terms.schedule.next_on(due_on, 0) },
        currency: row.currency,
        net: sums.net,
        tax: sums.tax,
        total: sums.total,
        paid: 0,
        credited: 0,
        reduced: 0,
        taxes: serde_json::to_string(&sums.taxes).map_err(unreadable)?,
        document: serde_json::to_string(&Document { seller: terms.seller.clone(), payer }).map_err(unreadable)?,
        at: now,
    })
}

/// The event: all that `purser verify` needs to prove the row; names and addresses by their hash only, and lines too.
fn told(invoice: &InvoiceRow, draft: &Drafted<'_>, lines: &[FrozenLine]) -> NewEvent {
    let public = json!({
        "invoice": invoice.id, "subscription": invoice.subscription, "bill": invoice.bill, "number": invoice.number,
        "issued_on": invoice.issued_on, "due_on": invoice.due_on, "currency": invoice.currency,
        "country": draft.payer.country, "net": invoice.net, "tax": invoice.tax, "total": invoice.total, "taxes": draft.sums.taxes,
        "document": hex::encode(Sha256::digest(invoice.document.as_bytes())),
        "lines": lines.len(), "lines_hash": LinesHash::of(lines),
    });
    NewEvent {
        kind: "invoice.issued",
        organization: None,
        actor: Actor::System,
        at: invoice.at,
        public: public.to_string(),
        private: None,
    }
}
