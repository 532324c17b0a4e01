//! Credit notes on issued invoices, and credits that operators grant without one.

use crate::row::Row;
use crate::sheet::{Columns, Kind, Sheet};
use crate::{Reads, StoreError, Tx};
use chrono::NaiveDate;
use kernel::{
    ChargeId, CreditId, CreditNoteId, Currency, Id, InvoiceId, SubscriptionId, Timestamp, micros, parse_date,
};
use sea_orm::QueryResult;
use uuid::Uuid;

/// A credit note as it is stored.
#[derive(Clone, Debug)]
pub struct CreditNoteRow {
    /// Its id.
    pub id: CreditNoteId,
    /// The invoice that it corrects.
    pub invoice: InvoiceId,
    /// Whose.
    pub subscription: SubscriptionId,
    /// Its number, without gaps in its series and year.
    pub number: String,
    /// The day of issue.
    pub issued_on: NaiveDate,
    /// Its currency, the invoice's.
    pub currency: Currency,
    /// Before tax, minor units.
    pub net: i64,
    /// Tax, minor units.
    pub tax: i64,
    /// Both, minor units.
    pub total: i64,
    /// What of it was taken off what was open of the invoice; the rest became credit.
    pub reduced: i64,
    /// Sums by rate, JSON.
    pub taxes: String,
    /// Seller and payer, JSON; personal.
    pub document: String,
    /// Why, in the operator's words; personal.
    pub reason: String,
    /// When it was issued.
    pub at: Timestamp,
}

const NOTE: &str = "SELECT id, invoice_id, subscription_id, number, issued_on, currency, net, tax, total, reduced, taxes, \
     document, reason, at FROM credit_notes";

pub(crate) fn credit_note(row: &QueryResult) -> Result<CreditNoteRow, StoreError> {
    let issued_on = parse_date(&row.text("issued_on")?);
    Ok(CreditNoteRow {
        id: row.id("id")?,
        invoice: row.id("invoice_id")?,
        subscription: row.id("subscription_id")?,
        number: row.text("number")?,
        issued_on: issued_on.map_err(|fault| StoreError::corrupt(format!("issued_on: {fault}")))?,
        currency: row.word("currency")?,
        net: row.int("net")?,
        tax: row.int("tax")?,
        total: row.int("total")?,
        reduced: row.int("reduced")?,
        taxes: row.text("taxes")?,
        document: row.text("document")?,
        reason: row.text("reason")?,
        at: row.instant("at")?,
    })
}

/// A line of a credit note, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditNoteLine {
    /// The credit note.
    pub note: CreditNoteId,
    /// Its place on it, from 1.
    pub place: i64,
    /// The charge, which names the invoice's line.
    pub charge: ChargeId,
    /// What is credited before tax, minor units.
    pub net: i64,
    /// Its part of the tax, minor units.
    pub tax: i64,
    /// What was credited of the invoice's line before, minor units.
    pub earlier: i64,
}

const LINES: Columns = &[
    ("credit_note_id", Kind::Uuid),
    ("place", Kind::Int),
    ("charge_id", Kind::Uuid),
    ("net", Kind::Int),
    ("tax", Kind::Int),
    ("earlier", Kind::Int),
];

/// Lines that one statement writes at most.
const SHEET: usize = 10_000;

pub(crate) fn line(row: &QueryResult) -> Result<CreditNoteLine, StoreError> {
    Ok(CreditNoteLine {
        note: row.id("credit_note_id")?,
        place: row.int("place")?,
        charge: row.id("charge_id")?,
        net: row.int("net")?,
        tax: row.int("tax")?,
        earlier: row.int("earlier")?,
    })
}

/// Writes a credit note with its lines; its invoice is credited by so much more.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn insert(tx: &Tx, row: &CreditNoteRow, lines: &[CreditNoteLine]) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO credit_notes (id, invoice_id, subscription_id, number, issued_on, currency, net, tax, total, reduced, \
         taxes, document, reason, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        vec![
            row.id.uuid().into(),
            row.invoice.uuid().into(),
            row.subscription.uuid().into(),
            row.number.as_str().into(),
            row.issued_on.to_string().into(),
            row.currency.code().into(),
            row.net.into(),
            row.tax.into(),
            row.total.into(),
            row.reduced.into(),
            row.taxes.as_str().into(),
            row.document.as_str().into(),
            row.reason.as_str().into(),
            micros(row.at).into(),
        ],
    )
    .await?;
    for some in lines.chunks(SHEET) {
        let mut sheet = Sheet::new(LINES);
        for line in some {
            sheet.push([
                line.note.uuid().into(),
                line.place.into(),
                line.charge.uuid().into(),
                line.net.into(),
                line.tax.into(),
                line.earlier.into(),
            ]);
        }
        crate::sheet::insert(tx, "credit_note_lines", LINES, sheet, "").await?;
    }
    let sql = "UPDATE invoices SET credited = credited + $2, reduced = reduced + $3 WHERE id = $1";
    tx.execute(sql, vec![row.invoice.uuid().into(), row.total.into(), row.reduced.into()]).await?;
    Ok(())
}

/// One credit note.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn find(reads: &impl Reads, id: CreditNoteId) -> Result<Option<CreditNoteRow>, StoreError> {
    let rows = reads.rows(&format!("{NOTE} WHERE id = $1"), vec![id.uuid().into()]).await?;
    rows.first().map(credit_note).transpose()
}

/// An invoice's credit notes, newest first, before one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn of_invoice(
    reads: &impl Reads,
    invoice: InvoiceId,
    before: Option<CreditNoteId>,
    limit: i64,
) -> Result<Vec<CreditNoteRow>, StoreError> {
    let before = before.map_or(Uuid::max(), Id::uuid);
    let sql = format!("{NOTE} WHERE invoice_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    reads.rows(&sql, vec![invoice.uuid().into(), before.into(), limit.into()]).await?.iter().map(credit_note).collect()
}

/// A line of an invoice, and what of it was credited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditedLine {
    /// Its charge.
    pub charge: ChargeId,
    /// Percent; empty for none.
    pub tax_rate: String,
    /// What it charges before tax, minor units.
    pub amount: i64,
    /// What of it was credited, minor units.
    pub credited: i64,
}

/// The lines of an invoice in their order, with what of each was credited.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn credited(reads: &impl Reads, invoice: InvoiceId) -> Result<Vec<CreditedLine>, StoreError> {
    let sql = "SELECT l.charge_id, c.tax_rate, c.amount, COALESCE((SELECT CAST(SUM(n.net) AS BIGINT) \
         FROM credit_note_lines n WHERE n.charge_id = l.charge_id), 0) AS credited \
         FROM invoice_lines l JOIN charges c ON c.id = l.charge_id WHERE l.invoice_id = $1 ORDER BY l.place";
    let rows = reads.rows(sql, vec![invoice.uuid().into()]).await?;
    rows.iter()
        .map(|row| {
            Ok(CreditedLine {
                charge: row.id("charge_id")?,
                tax_rate: row.text("tax_rate")?,
                amount: row.int("amount")?,
                credited: row.int("credited")?,
            })
        })
        .collect()
}

/// A line of a credit note, with the line of the invoice that it names.
#[derive(Clone, Debug)]
pub struct NamedLine {
    /// The line.
    pub line: CreditNoteLine,
    /// The place of the invoice's line on it.
    pub of_place: i64,
    /// The invoice's line.
    pub of: crate::lines::IssuedLine,
}

/// The lines of a credit note, in their order.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn lines(reads: &impl Reads, note: CreditNoteId) -> Result<Vec<NamedLine>, StoreError> {
    let sql = "SELECT n.credit_note_id, n.place, n.charge_id, n.net, n.tax, n.earlier, l.place AS of_place, l.slug, l.name, \
         l.offer_name, l.tax AS of_tax, l.organization_net, c.id, c.purchase_id, c.subscription_id, c.organization_id, \
         c.offer_id, c.amount, c.currency, c.month, c.tax_rate, c.basis, c.at \
         FROM credit_note_lines n JOIN credit_notes h ON h.id = n.credit_note_id \
         JOIN invoice_lines l ON l.invoice_id = h.invoice_id AND l.charge_id = n.charge_id \
         JOIN charges c ON c.id = n.charge_id WHERE n.credit_note_id = $1 ORDER BY n.place";
    let rows = reads.rows(sql, vec![note.uuid().into()]).await?;
    rows.iter()
        .map(|row| {
            Ok(NamedLine {
                line: line(row)?,
                of_place: row.int("of_place")?,
                of: crate::lines::IssuedLine {
                    line: crate::invoices::bill_line(row)?,
                    offer_name: row.text("offer_name")?,
                    tax: row.int("of_tax")?,
                    organization_net: row.int("organization_net")?,
                },
            })
        })
        .collect()
}

/// A credit that an operator granted.
#[derive(Clone, Debug)]
pub struct CreditRow {
    /// Its id.
    pub id: CreditId,
    /// To whom.
    pub subscription: SubscriptionId,
    /// Minor units.
    pub amount: i64,
    /// Its currency.
    pub currency: Currency,
    /// Why, in the operator's words; personal.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

pub(crate) fn credit(row: &QueryResult) -> Result<CreditRow, StoreError> {
    Ok(CreditRow {
        id: row.id("id")?,
        subscription: row.id("subscription_id")?,
        amount: row.int("amount")?,
        currency: row.word("currency")?,
        reason: row.text("reason")?,
        at: row.instant("at")?,
    })
}

/// Writes a credit, by which the payer has so much more.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn grant(tx: &Tx, row: &CreditRow) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO credits (id, subscription_id, amount, currency, reason, at) VALUES ($1, $2, $3, $4, $5, $6)",
        vec![
            row.id.uuid().into(),
            row.subscription.uuid().into(),
            row.amount.into(),
            row.currency.code().into(),
            row.reason.as_str().into(),
            micros(row.at).into(),
        ],
    )
    .await?;
    crate::payments::add_credit(tx, row.subscription, row.amount).await
}

const CREDIT: &str = "SELECT id, subscription_id, amount, currency, reason, at FROM credits";

/// One credit that was granted.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn granted(reads: &impl Reads, id: CreditId) -> Result<Option<CreditRow>, StoreError> {
    let rows = reads.rows(&format!("{CREDIT} WHERE id = $1"), vec![id.uuid().into()]).await?;
    rows.first().map(credit).transpose()
}

/// The last credits that a payer was granted, newest first.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn granted_to(reads: &impl Reads, payer: SubscriptionId, limit: i64) -> Result<Vec<CreditRow>, StoreError> {
    let sql = format!("{CREDIT} WHERE subscription_id = $1 ORDER BY id DESC LIMIT $2");
    reads.rows(&sql, vec![payer.uuid().into(), limit.into()]).await?.iter().map(credit).collect()
}
