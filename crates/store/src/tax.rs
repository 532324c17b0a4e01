//! VAT numbers that were confirmed, with the evidence.

use crate::row::Row;
use crate::{Reads, StoreError, Tx};
use kernel::{CountryCode, SubscriptionId, Timestamp, micros};
use sea_orm::QueryResult;

/// A confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmationRow {
    /// Whose number.
    pub subscription: SubscriptionId,
    /// The number, as it is written on invoices.
    pub tax_id: String,
    /// Where the payer is.
    pub country: CountryCode,
    /// Who confirmed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// By what: a reference of whoever was asked.
    pub evidence: String,
}

/// The confirmation of a payer's number, if there is one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn find(reads: &impl Reads, payer: SubscriptionId) -> Result<Option<ConfirmationRow>, StoreError> {
    let sql = "SELECT * FROM tax_confirmations WHERE subscription_id = $1";
    let rows = reads.rows(sql, vec![payer.uuid().into()]).await?;
    rows.first().map(read).transpose()
}

pub(crate) fn read(row: &QueryResult) -> Result<ConfirmationRow, StoreError> {
    Ok(ConfirmationRow {
        subscription: row.id("subscription_id")?,
        tax_id: row.text("tax_id")?,
        country: row.word("country")?,
        by: row.text("confirmed_by")?,
        at: row.instant("confirmed_at")?,
        evidence: row.text("evidence")?,
    })
}

/// Keeps the confirmation of the number of a payer that is held, instead of an earlier one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn keep(tx: &Tx, row: &ConfirmationRow) -> Result<(), StoreError> {
    remove(tx, row.subscription).await?;
    tx.execute(
        "INSERT INTO tax_confirmations (subscription_id, tax_id, country, confirmed_by, confirmed_at, evidence) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        vec![
            row.subscription.uuid().into(),
            row.tax_id.as_str().into(),
            row.country.as_str().into(),
            row.by.as_str().into(),
            micros(row.at).into(),
            row.evidence.as_str().into(),
        ],
    )
    .await?;
    let sql = "UPDATE subscriptions SET tax_confirmed = (1 = 1) WHERE id = $1";
    tx.execute(sql, vec![row.subscription.uuid().into()]).await?;
    Ok(())
}

/// Takes the confirmation of a payer that is held away; whether there was one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn remove(tx: &Tx, payer: SubscriptionId) -> Result<bool, StoreError> {
    let id = || vec![payer.uuid().into()];
    let removed = tx.execute("DELETE FROM tax_confirmations WHERE subscription_id = $1", id()).await?;
    if removed > 0 {
        tx.execute("UPDATE subscriptions SET tax_confirmed = (1 = 0) WHERE id = $1", id()).await?;
    }
    Ok(removed > 0)
}
