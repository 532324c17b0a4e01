//! Invoices: what is due to be billed, issuing in one transaction with its number, and what was issued.

use crate::row::Row;
use crate::sheet::{Columns, Kind, Sheet, source};
use crate::subscriptions::SubscriptionRow;
use crate::till::TRANSFERS;
use crate::{Reads, StoreError, Tx};
use chrono::NaiveDate;
use kernel::{Currency, Id, InvoiceId, Month, OfferId, OrganizationId, SubscriptionId, Timestamp, micros, parse_date};
use sea_orm::{QueryResult, Value};
use std::collections::HashMap;

/// An invoice as it is stored.
#[derive(Clone, Debug)]
pub struct InvoiceRow {
    /// Its id.
    pub id: InvoiceId,
    /// Who owes it.
    pub subscription: SubscriptionId,
    /// The month on whose first day it is for.
    pub bill: Month,
    /// Its number, without gaps in its series and year.
    pub number: String,
    /// The day of issue.
    pub issued_on: NaiveDate,
    /// The day by which it is to be paid.
    pub due_on: NaiveDate,
    /// Its currency.
    pub currency: Currency,
    /// Before tax, minor units.
    pub net: i64,
    /// Tax, minor units.
    pub tax: i64,
    /// Both, minor units.
    pub total: i64,
    /// What went to it, minor units: money, credit, and what credit notes took off what was open.
    pub paid: i64,
    /// What its credit notes come to, minor units.
    pub credited: i64,
    /// What of `paid` is theirs, minor units.
    pub reduced: i64,
    /// The day on which something is to be done about it; none where it is paid, or nothing more is.
    pub next_on: Option<NaiveDate>,
    /// Sums by rate, JSON.
    pub taxes: String,
    /// Seller and payer on the day, JSON; personal.
    pub document: String,
    /// When it was issued.
    pub at: Timestamp,
}

const INVOICE: &str = "SELECT id, subscription_id, bill, number, issued_on, due_on, currency, net, tax, total, paid, \
     credited, reduced, next_on, taxes, document, at FROM invoices";

fn day(row: &QueryResult, column: &str) -> Result<NaiveDate, StoreError> {
    parse_date(&row.text(column)?).map_err(|fault| StoreError::corrupt(format!("{column}: {fault}")))
}

pub(crate) fn invoice(row: &QueryResult) -> Result<InvoiceRow, StoreError> {
    Ok(InvoiceRow {
        id: row.id("id")?,
        subscription: row.id("subscription_id")?,
        bill: row.word("bill")?,
        number: row.text("number")?,
        issued_on: day(row, "issued_on")?,
        due_on: day(row, "due_on")?,
        currency: row.word("currency")?,
        net: row.int("net")?,
        tax: row.int("tax")?,
        total: row.int("total")?,
        paid: row.int("paid")?,
        credited: row.int("credited")?,
        reduced: row.int("reduced")?,
        next_on: if row.text("next_on")?.is_empty() { None } else { Some(day(row, "next_on")?) },
        taxes: row.text("taxes")?,
        document: row.text("document")?,
        at: row.instant("at")?,
    })
}

/// Payers with something to be billed by the first day of `month`, by id, after one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn due(
    reads: &impl Reads,
    month: Month,
    after: Option<SubscriptionId>,
    limit: i64,
) -> Result<Vec<SubscriptionId>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), Id::uuid);
    let sql = "SELECT DISTINCT subscription_id FROM unbilled WHERE month <= $1 AND subscription_id > $2 \
         ORDER BY subscription_id LIMIT $3";
    let rows = reads.rows(sql, vec![month.to_string().into(), after.into(), limit.into()]).await?;
    rows.iter().map(|row| row.id("subscription_id")).collect()
}

/// The first month that something is to be billed for, if it is not after `month`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn earliest(reads: &impl Reads, month: Month) -> Result<Option<Month>, StoreError> {
    let sql = "SELECT month FROM unbilled WHERE month <= $1 ORDER BY month LIMIT 1";
    let rows = reads.rows(sql, vec![month.to_string().into()]).await?;
    rows.first().map(|row| row.word("month")).transpose()
}

/// Whether an organization of a payer has not come to `month` yet.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn waits(reads: &impl Reads, payer: SubscriptionId, month: Month) -> Result<bool, StoreError> {
    let sql = "SELECT e.offer_id FROM links l JOIN entitlements e ON e.organization_id = l.organization_id \
         WHERE l.subscription_id = $1 AND l.ended_at IS NULL AND e.month < $2 AND (e.next > 0 OR e.committed > 0 \
         OR e.metered OR EXISTS (SELECT 1 FROM usage_months u WHERE u.organization_id = l.organization_id AND u.open \
         AND u.month < $2)) LIMIT 1";
    let rows = reads.rows(sql, vec![payer.uuid().into(), month.to_string().into()]).await?;
    Ok(!rows.is_empty())
}

/// What a payer is to be billed: by bill and tax rate, minor units.
#[derive(Clone, Debug)]
pub struct DueRow {
    /// The bill.
    pub bill: Month,
    /// Percent; empty for none.
    pub tax_rate: String,
    /// Before tax.
    pub amount: i64,
}

const PAYERS: Columns = &[("payer", Kind::Uuid)];

/// The payers as a set of a statement, and a month after them.
fn payers(tx: &Tx, held: &[SubscriptionId], month: Month) -> (String, Vec<Value>) {
    let mut sheet = Sheet::new(PAYERS);
    for payer in held {
        sheet.push([payer.uuid().into()]);
    }
    let mut values = sheet.into_values(tx.backend());
    values.push(month.to_string().into());
    (source(tx.backend(), PAYERS, 1), values)
}

/// Holds payers against purchases, in the order of their ids, and reads what each is to be billed by the first day of
/// `month`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn hold(
    tx: &Tx,
    held: &[SubscriptionId],
    month: Month,
) -> Result<Vec<(SubscriptionRow, Vec<DueRow>)>, StoreError> {
    let rows = crate::subscriptions::hold_all(tx, held).await?;
    // Read only now that nobody adds to it.
    let (set, values) = payers(tx, held, month);
    let sql = format!(
        "SELECT u.subscription_id, u.month, u.tax_rate, u.amount FROM {set} \
         JOIN unbilled u ON u.subscription_id = r.payer \
         WHERE u.month <= $2 ORDER BY u.subscription_id, u.month, u.tax_rate"
    );
    let mut due: HashMap<SubscriptionId, Vec<DueRow>> = HashMap::new();
    for row in tx.query(&sql, values).await? {
        let (bill, tax_rate, amount) = (row.word("month")?, row.text("tax_rate")?, row.int("amount")?);
        due.entry(row.id("subscription_id")?).or_default().push(DueRow { bill, tax_rate, amount });
    }
    Ok(rows
        .into_iter()
        .map(|row| (due.remove(&row.id).unwrap_or_default(), row))
        .map(|(due, row)| (row, due))
        .collect())
}

/// The last of the next `count` numbers of a counter; the counter is held to the end of the transaction, so that none is
/// lost or given twice.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn next_numbers(tx: &Tx, counter: &str, count: i64) -> Result<i64, StoreError> {
    let sql = "INSERT INTO counters (name, last) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET last = counters.last + excluded.last RETURNING last";
    let row = tx.query_one(sql, vec![counter.into(), count.into()]).await?;
    row.map_or_else(|| Err(StoreError::corrupt("a counter without number")), |row| row.int("last"))
}

const COLUMNS: Columns = &[
    ("id", Kind::Uuid),
    ("subscription_id", Kind::Uuid),
    ("bill", Kind::Text),
    ("number", Kind::Text),
    ("issued_on", Kind::Text),
    ("due_on", Kind::Text),
    ("currency", Kind::Text),
    ("net", Kind::Int),
    ("tax", Kind::Int),
    ("total", Kind::Int),
    ("paid", Kind::Int),
    ("next_on", Kind::Text),
    ("taxes", Kind::Text),
    ("document", Kind::Text),
    ("at", Kind::Int),
];

/// A posting of an invoice: its place, debit, credit and amount.
pub type Posting = (i64, String, String, i64);

/// Writes invoices with their postings.
///
/// # Errors
/// [`StoreError::Conflict`] where a payer has one for that month; else as [`StoreError`] says.
pub async fn insert(tx: &Tx, invoices: &[(InvoiceRow, Vec<Posting>)]) -> Result<(), StoreError> {
    let (mut rows, mut postings) = (Sheet::new(COLUMNS), Sheet::new(TRANSFERS));
    for (row, posted) in invoices {
        rows.push([
            row.id.uuid().into(),
            row.subscription.uuid().into(),
            row.bill.to_string().into(),
            row.number.as_str().into(),
            row.issued_on.to_string().into(),
            row.due_on.to_string().into(),
            row.currency.code().into(),
            row.net.into(),
            row.tax.into(),
            row.total.into(),
            row.paid.into(),
            row.next_on.map(|day| day.to_string()).unwrap_or_default().into(),
            row.taxes.as_str().into(),
            row.document.as_str().into(),
            micros(row.at).into(),
        ]);
        for (leg, debit, credit, amount) in posted {
            postings.push([
                row.id.uuid().into(),
                (*leg).into(),
                debit.as_str().into(),
                credit.as_str().into(),
                (*amount).into(),
                row.currency.code().into(),
                micros(row.at).into(),
            ]);
        }
    }
    crate::sheet::insert(tx, "invoices", COLUMNS, rows, "").await?;
    crate::sheet::insert(tx, "transfers", TRANSFERS, postings, "").await?;
    Ok(())
}

/// Payers are billed through `month`: what waited for it waits no more, and later charges go on later bills.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn billed(tx: &Tx, held: &[SubscriptionId], month: Month) -> Result<(), StoreError> {
    let (set, values) = payers(tx, held, month);
    let sql = format!("DELETE FROM unbilled WHERE subscription_id IN (SELECT r.payer FROM {set}) AND month <= $2");
    tx.execute(&sql, values.clone()).await?;
    let sql = format!("UPDATE subscriptions SET billed_through = $2 WHERE id IN (SELECT r.payer FROM {set})");
    tx.execute(&sql, values).await?;
    Ok(())
}

/// One invoice.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn find(reads: &impl Reads, id: InvoiceId) -> Result<Option<InvoiceRow>, StoreError> {
    let rows = reads.rows(&format!("{INVOICE} WHERE id = $1"), vec![id.uuid().into()]).await?;
    rows.first().map(invoice).transpose()
}

/// A payer's invoices, newest first, before one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn of_payer(
    reads: &impl Reads,
    payer: SubscriptionId,
    before: Option<InvoiceId>,
    limit: i64,
) -> Result<Vec<InvoiceRow>, StoreError> {
    let before = before.map_or(uuid::Uuid::max(), Id::uuid);
    let sql = format!("{INVOICE} WHERE subscription_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    reads.rows(&sql, vec![payer.uuid().into(), before.into(), limit.into()]).await?.iter().map(invoice).collect()
}

/// All invoices by id, after one: for proving the books.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn after(reads: &impl Reads, after: Option<InvoiceId>, limit: i64) -> Result<Vec<InvoiceRow>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), Id::uuid);
    let sql = format!("{INVOICE} WHERE id > $1 ORDER BY id LIMIT $2");
    reads.rows(&sql, vec![after.into(), limit.into()]).await?.iter().map(invoice).collect()
}

/// The first bill that something of a payer waits for.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn first_waiting(reads: &impl Reads, payer: SubscriptionId) -> Result<Option<Month>, StoreError> {
    let sql = "SELECT month FROM unbilled WHERE subscription_id = $1 ORDER BY month LIMIT 1";
    let rows = reads.rows(sql, vec![payer.uuid().into()]).await?;
    rows.first().map(|row| row.word("month")).transpose()
}

/// The earliest month that something renewed of a payer's organizations is still of, if it is before `month`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn first_behind(
    reads: &impl Reads,
    payer: SubscriptionId,
    month: Month,
) -> Result<Option<Month>, StoreError> {
    // Most of the time nothing at all is behind, and then no organization of the payer need be looked at.
    if crate::months::earliest(reads, month).await?.is_none() {
        return Ok(None);
    }
    let sql = "SELECT e.month FROM links l JOIN entitlements e ON e.organization_id = l.organization_id \
         WHERE l.subscription_id = $1 AND l.ended_at IS NULL AND e.next > 0 AND e.month < $2 ORDER BY e.month LIMIT 1";
    let rows = reads.rows(sql, vec![payer.uuid().into(), month.to_string().into()]).await?;
    rows.first().map(|row| row.word("month")).transpose()
}

/// A line of a bill: a charge with the names that people read.
#[derive(Clone, Debug)]
pub struct BillLine {
    /// The charge.
    pub charge: crate::purchases::ChargeRow,
    /// The organization's name in addresses.
    pub slug: String,
    /// The organization's name.
    pub name: String,
}

/// The lines of a payer's bill for a month, organization by organization.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn lines(reads: &impl Reads, payer: SubscriptionId, bill: Month) -> Result<Vec<BillLine>, StoreError> {
    let sql = "SELECT c.id, c.purchase_id, c.subscription_id, c.organization_id, c.offer_id, c.amount, c.currency, \
         c.month, c.tax_rate, c.basis, c.at, o.slug, o.name FROM charges c \
         JOIN organizations o ON o.id = c.organization_id WHERE c.subscription_id = $1 AND c.bill = $2 \
         ORDER BY o.name, o.id, c.offer_id, c.id";
    let rows = reads.rows(sql, vec![payer.uuid().into(), bill.to_string().into()]).await?;
    rows.iter().map(bill_line).collect()
}

pub(crate) fn bill_line(row: &QueryResult) -> Result<BillLine, StoreError> {
    Ok(BillLine { charge: crate::purchases::charge(row)?, slug: row.text("slug")?, name: row.text("name")? })
}

/// What the next month will bill of a payer's organizations: who, what, how many units.
#[derive(Clone, Debug)]
pub struct RenewalLine {
    /// For whom.
    pub organization: OrganizationId,
    /// The organization's name in addresses.
    pub slug: String,
    /// The organization's name.
    pub name: String,
    /// Of what.
    pub offer: OfferId,
    /// Paid units.
    pub units: i64,
}

/// What `bill` will renew of a payer's organizations, those that have come to it left out, in the order of a bill.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn renewals(reads: &impl Reads, payer: SubscriptionId, bill: Month) -> Result<Vec<RenewalLine>, StoreError> {
    let sql = "SELECT o.id, o.slug, o.name, e.offer_id, e.next FROM links l \
         JOIN organizations o ON o.id = l.organization_id JOIN entitlements e ON e.organization_id = o.id \
         WHERE l.subscription_id = $1 AND l.ended_at IS NULL AND e.next > 0 AND e.month < $2 ORDER BY o.name, o.id, e.offer_id";
    let rows = reads.rows(sql, vec![payer.uuid().into(), bill.to_string().into()]).await?;
    rows.iter().map(renewal_line).collect()
}

pub(crate) fn renewal_line(row: &QueryResult) -> Result<RenewalLine, StoreError> {
    Ok(RenewalLine {
        organization: row.id("id")?,
        slug: row.text("slug")?,
        name: row.text("name")?,
        offer: row.id("offer_id")?,
        units: row.int("next")?,
    })
}
