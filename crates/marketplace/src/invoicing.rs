//! Issuing invoices: what waits for a bill becomes one, with its number, its postings and its event, in one
//! transaction a payer. Purchases of the payer wait meanwhile; what they charge goes on the next bill.

use billing::Profile;
use billing::invoice::{BilledTo, Document, Seller, Sums, counter, number, postings};
use chrono::{Datelike, TimeDelta};
use kernel::{IdSource, InvoiceId, Month, SubscriptionId, Timestamp};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use store::invoices::{self, DueRow, InvoiceRow};
use store::subscriptions::SubscriptionRow;
use store::{Actor, Db, NewEvent, StoreError, Tx, audit};

/// Payers that are looked up at a time.
const STRIDE: i64 = 256;

/// How this installation bills.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Who sells.
    pub seller: Seller,
    /// What numbers begin with.
    pub series: String,
    /// Days that a transfer may take.
    pub due_days: i64,
}

/// What came of issuing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Issued {
    /// Invoices.
    pub issued: u64,
    /// Payers that cannot be billed as they are; each has its line in the log.
    pub failed: u64,
}

/// Issues what is due by the first day of `month`, payer by payer. All organizations must have come to `month` before,
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
        for payer in due {
            if behind && invoices::waits(db, payer, month).await? {
                continue;
            }
            let written = db.write("issue-invoice", async |tx| issue(tx, terms, payer, (month, now), ids).await).await;
            match written {
                Ok(issued) => done.issued = done.issued.saturating_add(issued),
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                Err(error) => {
                    tracing::error!(%payer, %month, %error, "a payer cannot be billed");
                    done.failed = done.failed.saturating_add(1);
                }
            }
        }
    }
}

async fn issue(
    tx: &Tx,
    terms: &Terms,
    payer: SubscriptionId,
    (month, now): (Month, Timestamp),
    ids: &mut IdSource,
) -> Result<u64, StoreError> {
    let Some((row, due)) = invoices::hold(tx, payer, month).await? else { return Ok(0) };
    let mut bills: BTreeMap<Month, Vec<DueRow>> = BTreeMap::new();
    for line in due {
        bills.entry(line.bill).or_default().push(line);
    }
    let mut events = Vec::new();
    for (bill, lines) in bills {
        let lines = lines.into_iter().map(|line| (line.tax_rate, line.amount));
        let sums = Sums::of(lines, row.currency).map_err(|_| StoreError::corrupt(format!("{payer} owes too much")))?;
        // No line that is not nothing, no invoice.
        if sums.taxes.iter().all(|sum| sum.net == 0) {
            continue;
        }
        let invoice = new_invoice(tx, terms, &row, (bill, now), &sums, ids).await?;
        invoices::insert(tx, &invoice).await?;
        for (leg, debit, credit, amount) in postings(payer, row.country, &sums) {
            invoices::post(tx, &invoice, (leg, &debit, &credit, amount)).await?;
        }
        events.push(told(&invoice, &row, &sums));
    }
    invoices::billed(tx, payer, month).await?;
    let count = u64::try_from(events.len()).unwrap_or(0);
    if !events.is_empty() {
        audit::append(tx, events, ids, now).await?;
    }
    Ok(count)
}

async fn new_invoice(
    tx: &Tx,
    terms: &Terms,
    row: &SubscriptionRow,
    (bill, now): (Month, Timestamp),
    sums: &Sums,
    ids: &mut IdSource,
) -> Result<InvoiceRow, StoreError> {
    let issued_on = now.date_naive();
    let count = invoices::next_number(tx, &counter(&terms.series, issued_on.year())).await?;
    let days = if row.payment_method == "card" { 0 } else { terms.due_days };
    let unreadable = |error: serde_json::Error| StoreError::corrupt(error);
    let profile: Profile = serde_json::from_str(&row.profile).map_err(unreadable)?;
    let payer = BilledTo { name: row.name.clone(), country: row.country, profile };
    Ok(InvoiceRow {
        id: ids.next::<InvoiceId>(now),
        subscription: row.id,
        bill,
        number: number(&terms.series, issued_on.year(), count),
        issued_on,
        due_on: issued_on.checked_add_signed(TimeDelta::days(days)).unwrap_or(issued_on),
        currency: row.currency,
        net: sums.net,
        tax: sums.tax,
        total: sums.total,
        paid: 0,
        taxes: serde_json::to_string(&sums.taxes).map_err(unreadable)?,
        document: serde_json::to_string(&Document { seller: terms.seller.clone(), payer }).map_err(unreadable)?,
        at: now,
    })
}

/// The event: all that `purser verify` needs to prove the row; names and addresses by their hash only.
fn told(invoice: &InvoiceRow, row: &SubscriptionRow, sums: &Sums) -> NewEvent {
    let public = json!({
        "invoice": invoice.id, "subscription": invoice.subscription, "bill": invoice.bill, "number": invoice.number,
        "issued_on": invoice.issued_on, "due_on": invoice.due_on, "currency": invoice.currency,
        "country": row.country, "net": invoice.net, "tax": invoice.tax, "total": invoice.total, "taxes": sums.taxes,
        "document": hex::encode(Sha256::digest(invoice.document.as_bytes())),
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
