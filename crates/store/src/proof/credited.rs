//! Credit notes, refunds and credits for proving them.

use super::{looked_up, read_all};
use crate::credit_notes::{CreditNoteLine, CreditNoteRow, CreditRow};
use crate::refunds::RefundRow;
use crate::row::Row;
use crate::{Reads, StoreError};
use kernel::{CreditId, CreditNoteId, EventId, InvoiceId, PaymentId, RefundId};
use std::collections::HashMap;

/// Credit notes by ids.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn credit_notes(reads: &impl Reads, ids: &[CreditNoteId]) -> Result<Vec<CreditNoteRow>, StoreError> {
    let rows = looked_up(reads, ids, |set| format!("SELECT n.* FROM {set} JOIN credit_notes n ON n.id = r.id")).await?;
    read_all("credit_notes", &rows, crate::credit_notes::credit_note)
}

/// A line of a credit note with the line of the invoice that it names, where its invoice has such a one.
#[derive(Clone, Debug)]
pub struct CreditedProof {
    /// The line.
    pub line: CreditNoteLine,
    /// What the invoice's line charges before tax, and at what rate.
    pub of: Option<(i64, String)>,
}

/// The lines of credit notes, each note's in order.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn credit_note_lines(reads: &impl Reads, ids: &[CreditNoteId]) -> Result<Vec<CreditedProof>, StoreError> {
    let rows = looked_up(reads, ids, |set| {
        format!(
            "SELECT n.*, c.amount AS of_amount, c.tax_rate AS of_rate FROM {set} \
             JOIN credit_note_lines n ON n.credit_note_id = r.id JOIN credit_notes h ON h.id = r.id \
             LEFT JOIN invoice_lines l ON l.invoice_id = h.invoice_id AND l.charge_id = n.charge_id \
             LEFT JOIN charges c ON c.id = l.charge_id ORDER BY n.credit_note_id, n.place"
        )
    })
    .await?;
    read_all("credit_note_lines", &rows, |row| {
        let of = row.maybe_int("of_amount")?.zip(row.maybe_text("of_rate")?);
        Ok(CreditedProof { line: crate::credit_notes::line(row)?, of })
    })
}

/// Refunds by ids.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn refunds(reads: &impl Reads, ids: &[RefundId]) -> Result<Vec<RefundRow>, StoreError> {
    let rows = looked_up(reads, ids, |set| format!("SELECT f.* FROM {set} JOIN refunds f ON f.id = r.id")).await?;
    read_all("refunds", &rows, crate::refunds::refund)
}

/// Credits by ids.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn granted(reads: &impl Reads, ids: &[CreditId]) -> Result<Vec<CreditRow>, StoreError> {
    let rows = looked_up(reads, ids, |set| format!("SELECT c.* FROM {set} JOIN credits c ON c.id = r.id")).await?;
    read_all("credits", &rows, crate::credit_notes::credit)
}

/// The personal parts of events, JSON, of those that still have them.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn personal_parts(reads: &impl Reads, ids: &[EventId]) -> Result<HashMap<EventId, String>, StoreError> {
    let rows = looked_up(reads, ids, |set| {
        format!("SELECT e.id, e.private FROM {set} JOIN events e ON e.id = r.id WHERE e.private IS NOT NULL")
    })
    .await?;
    rows.iter().map(|row| Ok((row.id("id")?, row.text("private")?))).collect()
}

/// The rows that there are of credit notes, their lines, refunds and credits.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn credited_counts(reads: &impl Reads) -> Result<[(&'static str, i64); 4], StoreError> {
    let sql = "SELECT (SELECT COUNT(*) FROM credit_notes) AS notes, (SELECT COUNT(*) FROM credit_note_lines) AS lines, \
         (SELECT COUNT(*) FROM refunds) AS refunds, (SELECT COUNT(*) FROM credits) AS credits";
    let rows = reads.rows(sql, vec![]).await?;
    let count = |name: &str| rows.first().map_or(Ok(0), |row| row.int(name));
    Ok([
        ("credit_notes", count("notes")?),
        ("credit_note_lines", count("lines")?),
        ("refunds", count("refunds")?),
        ("credits", count("credits")?),
    ])
}

/// The first invoice whose sums of credit notes are not theirs: what is stored of each, and what they come to.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn credited_difference(reads: &impl Reads) -> Result<Option<(InvoiceId, [i64; 4])>, StoreError> {
    let sql = "SELECT i.id, i.credited, i.reduced, COALESCE(n.total, 0) AS total, COALESCE(n.took, 0) AS took \
         FROM invoices i LEFT JOIN (SELECT invoice_id, CAST(SUM(total) AS BIGINT) AS total, \
         CAST(SUM(reduced) AS BIGINT) AS took FROM credit_notes GROUP BY invoice_id) n ON n.invoice_id = i.id \
         WHERE i.credited <> COALESCE(n.total, 0) OR i.reduced <> COALESCE(n.took, 0) ORDER BY i.id LIMIT 1";
    let rows = reads.rows(sql, vec![]).await?;
    let sums = |row: &sea_orm::QueryResult| {
        Ok::<_, StoreError>([row.int("credited")?, row.int("reduced")?, row.int("total")?, row.int("took")?])
    };
    rows.first().map(|row| Ok((row.id("id")?, sums(row)?))).transpose()
}

/// The first payment of which another sum is stored as paid back than its refunds come to: both.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn refunded_difference(reads: &impl Reads) -> Result<Option<(PaymentId, i64, i64)>, StoreError> {
    let sql = "SELECT p.id, p.refunded, COALESCE(f.amount, 0) AS went FROM payments p \
         LEFT JOIN (SELECT payment_id, CAST(SUM(amount) AS BIGINT) AS amount FROM refunds WHERE state <> 'declined' \
         GROUP BY payment_id) f ON f.payment_id = p.id WHERE p.refunded <> COALESCE(f.amount, 0) ORDER BY p.id LIMIT 1";
    let rows = reads.rows(sql, vec![]).await?;
    rows.first().map(|row| Ok((row.id("id")?, row.int("refunded")?, row.int("went")?))).transpose()
}
