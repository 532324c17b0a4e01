//! Reading whole tables for `purser verify`, in pages by key, so that memory does not grow with the database.
//!
//! Rows come out as they are stored, words as text: what a row may say is for the proof to judge, and a word that no
//! code of ours writes is a difference with a row's name, not a row that cannot be read.

mod credited;
mod rows;
mod trail;
mod usage;

pub use credited::{
    CreditedProof, credit_note_lines, credit_notes, credited_counts, credited_difference, granted, personal_parts,
    refunded_difference, refunds,
};
pub use rows::{
    BilledProof, ChargeProof, EntitlementProof, LineCharge, LineProof, LinkProof, PriceProof, PurchaseProof,
    TransferProof, allocations, charges, counters, currencies, entitlements_after, invoice_lines, invoices, links,
    payments, prices, purchases, transfers,
};
pub use trail::{Fact, checkpoints, event_without_block, facts_after, facts_of_none, next_number, unchained_blocks};
pub use usage::{UsageMonthProof, UsageProof, usage_months_after, usage_rows};

use crate::row::Row;
use crate::sheet::{Columns, Kind, Sheet, source};
use crate::{Reads, StoreError, Tx};
use kernel::{ChargeId, EventId, Id, InvoiceId, SubscriptionId};
use sea_orm::{DatabaseBackend, QueryResult};
use uuid::Uuid;

const IDS: Columns = &[("id", Kind::Uuid)];

fn sheet_of(ids: impl IntoIterator<Item = Uuid>) -> Sheet {
    let mut sheet = Sheet::new(IDS);
    for id in ids {
        sheet.push([id.into()]);
    }
    sheet
}

/// The rows that a statement selects from `r`, the set of `ids`, joined to a table. None for no ids.
async fn looked_up<I: Id>(
    reads: &impl Reads,
    ids: &[I],
    statement: impl Fn(&str) -> String,
) -> Result<Vec<QueryResult>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let backend = reads.backend();
    let sheet = sheet_of(ids.iter().map(|id| id.uuid()));
    reads.rows(&statement(&source(backend, IDS, 1)), sheet.into_values(backend)).await
}

/// Reads the rows of a table; one that cannot be read says of which table it is.
fn read_all<T>(
    table: &str,
    rows: &[QueryResult],
    read: impl Fn(&QueryResult) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let read = |row| {
        read(row).map_err(|error| match error {
            StoreError::Corrupt(what) => StoreError::Corrupt(format!("{table}: {what}")),
            other => other,
        })
    };
    rows.iter().map(read).collect()
}

/// Lets PostgreSQL look rows up by their keys (`true`) whatever it knows of the tables' sizes, or choose for itself, as
/// sums over whole tables want it; and lets such a sum take its time. SQLite needs neither.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn look_up(tx: &Tx, by_key: bool) -> Result<(), StoreError> {
    if tx.backend() == DatabaseBackend::Sqlite {
        return Ok(());
    }
    let joins = if by_key { "off" } else { "on" };
    tx.execute("SET LOCAL statement_timeout = 0", vec![]).await?;
    for setting in ["enable_hashjoin", "enable_mergejoin", "enable_seqscan"] {
        tx.execute(&format!("SET LOCAL {setting} = {joins}"), vec![]).await?;
    }
    Ok(())
}

/// How many rows each table has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Organizations.
    pub organizations: i64,
    /// Purchases.
    pub purchases: i64,
    /// Charges.
    pub charges: i64,
    /// Ledger postings.
    pub transfers: i64,
    /// Billing links, ended ones too.
    pub links: i64,
    /// Entitlements.
    pub entitlements: i64,
    /// Events.
    pub events: i64,
    /// Blocks that have a number.
    pub chained: i64,
    /// Blocks that have none yet.
    pub unchained: i64,
    /// Checkpoints.
    pub checkpoints: i64,
    /// Invoices.
    pub invoices: i64,
    /// Payments.
    pub payments: i64,
    /// What went to invoices.
    pub allocations: i64,
    /// Their lines.
    pub invoice_lines: i64,
    /// Usage events.
    pub usage: i64,
}

/// Counts the tables.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn counts(reads: &impl Reads) -> Result<Counts, StoreError> {
    let sql = "SELECT (SELECT COUNT(*) FROM organizations) AS organizations, (SELECT COUNT(*) FROM purchases) AS purchases, (SELECT COUNT(*) FROM charges) AS charges, \
         (SELECT COUNT(*) FROM transfers) AS transfers, (SELECT COUNT(*) FROM links) AS links, \
         (SELECT COUNT(*) FROM entitlements) AS entitlements, (SELECT COUNT(*) FROM events) AS events, \
         (SELECT COUNT(*) FROM blocks WHERE number IS NOT NULL) AS chained, \
         (SELECT COUNT(*) FROM blocks WHERE number IS NULL) AS unchained, \
         (SELECT COUNT(*) FROM checkpoints) AS checkpoints, (SELECT COUNT(*) FROM invoices) AS invoices, \
         (SELECT COUNT(*) FROM payments) AS payments, (SELECT COUNT(*) FROM allocations) AS allocations, \
         (SELECT COUNT(*) FROM invoice_lines) AS invoice_lines, \
         (SELECT COUNT(*) FROM usage_events) AS usage";
    let rows = reads.rows(sql, vec![]).await?;
    let Some(row) = rows.first() else { return Ok(Counts::default()) };
    Ok(Counts {
        organizations: row.int("organizations")?,
        purchases: row.int("purchases")?,
        charges: row.int("charges")?,
        transfers: row.int("transfers")?,
        links: row.int("links")?,
        entitlements: row.int("entitlements")?,
        events: row.int("events")?,
        chained: row.int("chained")?,
        unchained: row.int("unchained")?,
        checkpoints: row.int("checkpoints")?,
        invoices: row.int("invoices")?,
        payments: row.int("payments")?,
        allocations: row.int("allocations")?,
        invoice_lines: row.int("invoice_lines")?,
        usage: row.int("usage")?,
    })
}

/// A counter of what is unbilled that is not the sum of its charges, either side missing where there is none.
#[derive(Clone, Debug)]
pub struct UnbilledDifference {
    /// The payer.
    pub subscription: SubscriptionId,
    /// The bill.
    pub month: String,
    /// Tax rate.
    pub tax_rate: String,
    /// The counter.
    pub stored: Option<i64>,
    /// The charges' sum.
    pub charged: Option<i64>,
}

/// The first counter that is wrong.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn unbilled_difference(reads: &impl Reads) -> Result<Option<UnbilledDifference>, StoreError> {
    // What is on an invoice waits no more.
    let sums = "(SELECT subscription_id, bill AS month, tax_rate, CAST(SUM(amount) AS BIGINT) AS amount FROM charges x \
                WHERE NOT EXISTS (SELECT 1 FROM invoices i WHERE i.subscription_id = x.subscription_id AND i.bill = x.bill) \
                GROUP BY subscription_id, bill, tax_rate)";
    let same = "u.subscription_id = c.subscription_id AND u.month = c.month AND u.tax_rate = c.tax_rate";
    let statements = [
        format!(
            "SELECT c.subscription_id, c.month, c.tax_rate, u.amount AS stored, c.amount AS charged \
             FROM {sums} AS c LEFT JOIN unbilled u ON {same} WHERE u.amount IS NULL OR u.amount <> c.amount LIMIT 1"
        ),
        format!(
            "SELECT u.subscription_id, u.month, u.tax_rate, u.amount AS stored, CAST(NULL AS BIGINT) AS charged \
             FROM unbilled u WHERE NOT EXISTS (SELECT 1 FROM {sums} AS c WHERE {same}) LIMIT 1"
        ),
    ];
    for sql in &statements {
        if let Some(row) = reads.rows(sql, vec![]).await?.first() {
            return Ok(Some(UnbilledDifference {
                subscription: row.id("subscription_id")?,
                month: row.text("month")?,
                tax_rate: row.text("tax_rate")?,
                stored: row.maybe_int("stored")?,
                charged: row.maybe_int("charged")?,
            }));
        }
    }
    Ok(None)
}

/// The first number of organizations kept in SQLite's `renewals` that is not what their entitlements come to, as it is named
/// (payer, offer, units), stored and counted.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn renewals_difference(reads: &impl Reads) -> Result<Option<(String, i64, i64)>, StoreError> {
    if reads.backend() != DatabaseBackend::Sqlite {
        return Ok(None);
    }
    let sql = "SELECT subscription_id, offer_id, next, SUM(stored) AS stored, SUM(counted) AS counted FROM ( \
         SELECT subscription_id, offer_id, next, organizations AS stored, 0 AS counted FROM renewals UNION ALL \
         SELECT l.subscription_id, e.offer_id, e.next, 0, COUNT(*) FROM links l \
         JOIN entitlements e ON e.organization_id = l.organization_id WHERE l.ended_at IS NULL AND e.next > 0 \
         GROUP BY l.subscription_id, e.offer_id, e.next) x \
         GROUP BY subscription_id, offer_id, next HAVING SUM(stored) <> SUM(counted) LIMIT 1";
    let rows = reads.rows(sql, vec![]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (payer, offer): (SubscriptionId, kernel::OfferId) = (row.id("subscription_id")?, row.id("offer_id")?);
    let name = format!("of {payer} for {} units of {offer}", row.int("next")?);
    Ok(Some((name, row.int("stored")?, row.int("counted")?)))
}

/// Sums of the ledger, debits of `unbilled/…` accounts alone, by currency.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn unbilled_debits(reads: &impl Reads) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = reads
        .rows(
            "SELECT currency, CAST(SUM(amount) AS BIGINT) AS amount FROM transfers WHERE debit LIKE 'unbilled/%' \
             GROUP BY currency ORDER BY currency",
            vec![],
        )
        .await?;
    rows.iter().map(|row| Ok((row.text("currency")?, row.int("amount")?))).collect()
}

/// A posting of a charge that is not there.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn transfer_without_charge(reads: &impl Reads) -> Result<Option<(ChargeId, i64)>, StoreError> {
    let rows = reads
        .rows(
            "SELECT t.fact, t.leg FROM transfers t \
             WHERE NOT EXISTS (SELECT 1 FROM charges c WHERE c.id = t.fact) \
             AND NOT EXISTS (SELECT 1 FROM invoices i WHERE i.id = t.fact) \
             AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.id = t.fact) \
             AND NOT EXISTS (SELECT 1 FROM allocations a WHERE a.id = t.fact) \
             AND NOT EXISTS (SELECT 1 FROM credit_notes n WHERE n.id = t.fact) \
             AND NOT EXISTS (SELECT 1 FROM refunds f WHERE f.id = t.fact) \
             AND NOT EXISTS (SELECT 1 FROM credits g WHERE g.id = t.fact) ORDER BY t.fact, t.leg LIMIT 1",
            vec![],
        )
        .await?;
    rows.first().map(|row| Ok((row.id("fact")?, row.int("leg")?))).transpose()
}

/// The first invoice whose sum of what was paid is not what went to it: what is stored, and what went.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn paid_difference(reads: &impl Reads) -> Result<Option<(InvoiceId, i64, i64)>, StoreError> {
    let sql = "SELECT i.id, i.paid, COALESCE(a.amount, 0) AS went FROM invoices i \
         LEFT JOIN (SELECT invoice_id, CAST(SUM(amount) AS BIGINT) AS amount FROM allocations GROUP BY invoice_id) a \
         ON a.invoice_id = i.id WHERE i.paid <> COALESCE(a.amount, 0) ORDER BY i.id LIMIT 1";
    let rows = reads.rows(sql, vec![]).await?;
    rows.first().map(|row| Ok((row.id("id")?, row.int("paid")?, row.int("went")?))).transpose()
}

/// What payers have as credit, those that have any.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn credits(reads: &impl Reads) -> Result<Vec<(SubscriptionId, i64)>, StoreError> {
    let rows = reads.rows("SELECT id, credit FROM subscriptions WHERE credit <> 0 ORDER BY id", vec![]).await?;
    rows.iter().map(|row| Ok((row.id("id")?, row.int("credit")?))).collect()
}

/// Ids of `table`, which is one of this crate's, after one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn ids_after(
    reads: &impl Reads,
    table: &'static str,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let sql = format!("SELECT id FROM {table} WHERE id > $1 ORDER BY id LIMIT $2");
    let rows = reads.rows(&sql, vec![after.into(), limit.into()]).await?;
    rows.iter().map(|row| row.id::<EventId>("id").map(Id::uuid)).collect()
}
