//! What is paid back of payments: what providers were asked, and what came of it.

use crate::payments::PaymentRow;
use crate::row::Row;
use crate::{Reads, StoreError, Tx};
use kernel::{CreditNoteId, Currency, Id, InvoiceId, Money, PaymentId, RefundId, SubscriptionId, Timestamp, micros};
use sea_orm::QueryResult;
use uuid::Uuid;

/// A refund as it is stored; what its words mean is `billing`'s to say.
#[derive(Clone, Debug)]
pub struct RefundRow {
    /// Its id.
    pub id: RefundId,
    /// Of which payment.
    pub payment: PaymentId,
    /// Of which credit note.
    pub note: CreditNoteId,
    /// To whom.
    pub subscription: SubscriptionId,
    /// `transfer`, `simulated` or `stripe`.
    pub provider: String,
    /// `asked`, `refunded` or `declined`.
    pub state: String,
    /// The transfer's at the bank, or the refund's at the provider; empty while unknown.
    pub reference: String,
    /// Why it was declined.
    pub reason: String,
    /// Minor units.
    pub amount: i64,
    /// Its currency.
    pub currency: Currency,
    /// When it was asked or recorded.
    pub asked_at: Timestamp,
    /// When its outcome was recorded; none before.
    pub settled_at: Option<Timestamp>,
}

const REFUND: &str = "SELECT id, payment_id, credit_note_id, subscription_id, provider, state, reference, reason, amount, \
     currency, asked_at, settled_at FROM refunds";

pub(crate) fn refund(row: &QueryResult) -> Result<RefundRow, StoreError> {
    let settled_at = row.int("settled_at")?;
    Ok(RefundRow {
        id: row.id("id")?,
        payment: row.id("payment_id")?,
        note: row.id("credit_note_id")?,
        subscription: row.id("subscription_id")?,
        provider: row.text("provider")?,
        state: row.text("state")?,
        reference: row.text("reference")?,
        reason: row.text("reason")?,
        amount: row.int("amount")?,
        currency: row.word("currency")?,
        asked_at: row.instant("asked_at")?,
        settled_at: Some(settled_at).filter(|at| *at != 0).map(kernel::from_micros),
    })
}

/// Writes a refund; of its payment so much more is paid back.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn insert(tx: &Tx, row: &RefundRow) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO refunds (id, payment_id, credit_note_id, subscription_id, provider, state, reference, reason, amount, \
         currency, asked_at, settled_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        vec![
            row.id.uuid().into(),
            row.payment.uuid().into(),
            row.note.uuid().into(),
            row.subscription.uuid().into(),
            row.provider.as_str().into(),
            row.state.as_str().into(),
            row.reference.as_str().into(),
            row.reason.as_str().into(),
            row.amount.into(),
            row.currency.code().into(),
            micros(row.asked_at).into(),
            row.settled_at.map_or(0, micros).into(),
        ],
    )
    .await?;
    add_refunded(tx, row.payment, row.amount).await
}

async fn add_refunded(tx: &Tx, payment: PaymentId, amount: i64) -> Result<(), StoreError> {
    let sql = "UPDATE payments SET refunded = refunded + $2 WHERE id = $1";
    tx.execute(sql, vec![payment.uuid().into(), amount.into()]).await?;
    Ok(())
}

/// Writes what came of a refund that was asked; of what was declined nothing is paid back.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn settle(tx: &Tx, row: &RefundRow) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE refunds SET state = $2, reference = $3, reason = $4, settled_at = $5 WHERE id = $1",
        vec![
            row.id.uuid().into(),
            row.state.as_str().into(),
            row.reference.as_str().into(),
            row.reason.as_str().into(),
            row.settled_at.map_or(0, micros).into(),
        ],
    )
    .await?;
    if row.state == "declined" { add_refunded(tx, row.payment, row.amount.saturating_neg()).await } else { Ok(()) }
}

/// One refund.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn find(reads: &impl Reads, id: RefundId) -> Result<Option<RefundRow>, StoreError> {
    let rows = reads.rows(&format!("{REFUND} WHERE id = $1"), vec![id.uuid().into()]).await?;
    rows.first().map(refund).transpose()
}

/// Refunds whose outcome is not recorded, by id, after one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn asked(reads: &impl Reads, after: Option<RefundId>, limit: i64) -> Result<Vec<RefundRow>, StoreError> {
    let after = after.map_or(Uuid::nil(), Id::uuid);
    let sql = format!("{REFUND} WHERE state = 'asked' AND id > $1 ORDER BY id LIMIT $2");
    reads.rows(&sql, vec![after.into(), limit.into()]).await?.iter().map(refund).collect()
}

/// The refunds of a payment, the oldest first; at most `limit`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn of_payment(reads: &impl Reads, payment: PaymentId, limit: i64) -> Result<Vec<RefundRow>, StoreError> {
    let sql = format!("{REFUND} WHERE payment_id = $1 ORDER BY id LIMIT $2");
    reads.rows(&sql, vec![payment.uuid().into(), limit.into()]).await?.iter().map(refund).collect()
}

/// The refunds of a credit note, the oldest first; at most `limit`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn of_note(reads: &impl Reads, note: CreditNoteId, limit: i64) -> Result<Vec<RefundRow>, StoreError> {
    let sql = format!("{REFUND} WHERE credit_note_id = $1 ORDER BY id LIMIT $2");
    reads.rows(&sql, vec![note.uuid().into(), limit.into()]).await?.iter().map(refund).collect()
}

/// A payment that went to an invoice.
#[derive(Clone, Debug)]
pub struct Source {
    /// The payment.
    pub payment: PaymentRow,
    /// What of it can be paid back: at most what went to the invoice, and what is left of the payment; minor units.
    pub left: i64,
}

/// The payments that went to an invoice and were not paid back whole, the latest first; at most `limit`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn sources(reads: &impl Reads, invoice: InvoiceId, limit: i64) -> Result<Vec<Source>, StoreError> {
    let sql = "SELECT p.*, a.went FROM (SELECT payment_id, CAST(SUM(amount) AS BIGINT) AS went FROM allocations \
         WHERE invoice_id = $1 GROUP BY payment_id) a JOIN payments p ON p.id = a.payment_id \
         WHERE p.refunded < p.amount ORDER BY p.id DESC LIMIT $2";
    let rows = reads.rows(sql, vec![invoice.uuid().into(), limit.into()]).await?;
    rows.iter()
        .map(|row| {
            let payment = crate::payments::payment(row)?;
            let left = payment.amount.saturating_sub(payment.refunded).min(row.int("went")?);
            Ok(Source { payment, left })
        })
        .collect()
}

/// What the simulated provider remembers of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// Whether it paid the money back.
    pub paid: bool,
    /// Why not; empty where it did.
    pub reason: String,
}

/// What the simulated provider remembers of a refund; none where it never heard of it.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn simulated(reads: &impl Reads, refund: RefundId) -> Result<Option<Simulated>, StoreError> {
    let sql = "SELECT paid, reason FROM simulated_refunds WHERE refund_id = $1";
    let rows = reads.rows(sql, vec![refund.uuid().into()]).await?;
    rows.first().map(|row| Ok(Simulated { paid: row.flag("paid")?, reason: row.text("reason")? })).transpose()
}

/// Lets the simulated provider remember a refund.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn remember_simulated(
    tx: &Tx,
    (refund, payment): (RefundId, PaymentId),
    amount: Money,
    what: &Simulated,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO simulated_refunds (refund_id, payment_id, amount, currency, paid, reason) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (refund_id) DO UPDATE SET paid = excluded.paid, reason = excluded.reason",
        vec![
            refund.uuid().into(),
            payment.uuid().into(),
            amount.minor().into(),
            amount.currency().code().into(),
            what.paid.into(),
            what.reason.as_str().into(),
        ],
    )
    .await?;
    Ok(())
}
