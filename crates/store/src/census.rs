//! Sums over whole tables, by which a simulation sees whether what is kept twice agrees. No server asks for them.

use crate::row::Row;
use crate::{Reads, StoreError};
use kernel::{InvoiceId, Month, OfferId, OrganizationId, SubscriptionId};
use std::collections::BTreeMap;

/// Debits less credits of each account, by account and currency.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn balances(reads: &impl Reads) -> Result<BTreeMap<(String, String), i64>, StoreError> {
    let sql = "SELECT account, currency, CAST(SUM(amount) AS BIGINT) AS amount FROM (\
                   SELECT debit AS account, currency, amount FROM transfers \
                   UNION ALL SELECT credit, currency, -amount FROM transfers) AS legs GROUP BY account, currency";
    let rows = reads.rows(sql, vec![]).await?;
    rows.iter().map(|row| Ok(((row.text("account")?, row.text("currency")?), row.int("amount")?))).collect()
}

/// What came in from a payer, and where it went, minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Money {
    /// Payments that were received.
    pub received: i64,
    /// What of them went to invoices.
    pub from_payments: i64,
    /// What of its credit went to invoices.
    pub from_credit: i64,
}

/// Payments and allocations by payer.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn money(reads: &impl Reads) -> Result<BTreeMap<SubscriptionId, Money>, StoreError> {
    let sql = "SELECT id, CAST(SUM(received) AS BIGINT) AS received, CAST(SUM(paid) AS BIGINT) AS paid, \
                   CAST(SUM(used) AS BIGINT) AS used FROM (\
                   SELECT subscription_id AS id, amount AS received, 0 AS paid, 0 AS used FROM payments \
                       WHERE state = 'received' \
                   UNION ALL SELECT subscription_id, 0, CASE WHEN payment_id = $1 THEN 0 ELSE amount END, \
                       CASE WHEN payment_id = $1 THEN amount ELSE 0 END FROM allocations) AS parts GROUP BY id";
    let rows = reads.rows(sql, vec![uuid::Uuid::nil().into()]).await?;
    let money = |row: &sea_orm::QueryResult| {
        let money =
            Money { received: row.int("received")?, from_payments: row.int("paid")?, from_credit: row.int("used")? };
        Ok((row.id("id")?, money))
    };
    rows.iter().map(money).collect()
}

/// What went to each invoice, minor units.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn allocated(reads: &impl Reads) -> Result<BTreeMap<InvoiceId, i64>, StoreError> {
    let sql = "SELECT invoice_id, CAST(SUM(amount) AS BIGINT) AS amount FROM allocations GROUP BY invoice_id";
    let rows = reads.rows(sql, vec![]).await?;
    rows.iter().map(|row| Ok((row.id("invoice_id")?, row.int("amount")?))).collect()
}

/// What the simulated provider took of each payer, minor units.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn taken(reads: &impl Reads) -> Result<BTreeMap<SubscriptionId, i64>, StoreError> {
    let sql = "SELECT p.subscription_id, CAST(SUM(s.amount) AS BIGINT) AS amount \
               FROM simulated_payments s JOIN payments p ON p.id = s.payment_id WHERE s.taken GROUP BY p.subscription_id";
    let rows = reads.rows(sql, vec![]).await?;
    rows.iter().map(|row| Ok((row.id("subscription_id")?, row.int("amount")?))).collect()
}

/// Payments of which provider and books say something different; those whose outcome is still being found out are not.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn disputed(reads: &impl Reads) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT p.state, p.amount, s.amount AS taken, s.reason FROM simulated_payments s \
               LEFT JOIN payments p ON p.id = s.payment_id WHERE p.id IS NULL OR p.amount <> s.amount \
                   OR (p.state = 'received' AND NOT s.taken) OR (p.state = 'declined' AND s.taken) \
               UNION ALL SELECT p.state, p.amount, 0, '' FROM payments p WHERE p.state = 'received' \
                   AND p.provider = 'simulated' AND NOT EXISTS (\
                       SELECT 1 FROM simulated_payments s WHERE s.payment_id = p.id)";
    let told = |row: &sea_orm::QueryResult| {
        let (state, reason) = (row.maybe_text("state")?.unwrap_or_default(), row.text("reason")?);
        let (amount, taken) = (row.maybe_int("amount")?.unwrap_or(0), row.int("taken")?);
        Ok(format!("{state} of {amount} in the books, {taken} {reason} at the provider"))
    };
    reads.rows(sql, vec![]).await?.iter().map(told).collect()
}

/// What is charged and on no invoice yet, by payer, bill and rate of tax.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn unbilled(reads: &impl Reads) -> Result<Vec<(SubscriptionId, Month, String, i64)>, StoreError> {
    let rows = reads.rows("SELECT subscription_id, month, tax_rate, amount FROM unbilled", vec![]).await?;
    let read = |row: &sea_orm::QueryResult| {
        let month = row.text("month")?.parse().map_err(StoreError::corrupt)?;
        Ok((row.id("subscription_id")?, month, row.text("tax_rate")?, row.int("amount")?))
    };
    rows.iter().map(read).collect()
}

/// Charges that are there twice: of one purchase and offer, or a renewal or a month's use of one organization and offer.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn charged_twice(reads: &impl Reads) -> Result<i64, StoreError> {
    let sql = "SELECT COUNT(*) AS twice FROM (\
                   SELECT 1 AS one FROM charges WHERE purchase_id <> $1 GROUP BY purchase_id, offer_id HAVING COUNT(*) > 1 \
                   UNION ALL SELECT 1 FROM charges WHERE purchase_id = $1 \
                       GROUP BY organization_id, offer_id, month, basis HAVING COUNT(*) > 1) AS found";
    let rows = reads.rows(sql, vec![uuid::Uuid::nil().into()]).await?;
    rows.first().map_or(Ok(0), |row| row.int("twice"))
}

/// What an organization has of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Whose.
    pub organization: OrganizationId,
    /// Of what.
    pub offer: OfferId,
    /// Paid units this month, and next month.
    pub units: (i64, i64),
    /// The month it has come to.
    pub month: Month,
    /// Minor units charged for increases this month.
    pub charged: i64,
    /// Whether metered use is switched on, and its cap.
    pub metered: (bool, i64),
}

/// What all organizations have.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn holdings(reads: &impl Reads) -> Result<Vec<Holding>, StoreError> {
    let sql = "SELECT organization_id, offer_id, committed, next, month, charged, metered, cap FROM entitlements";
    let read = |row: &sea_orm::QueryResult| {
        Ok(Holding {
            organization: row.id("organization_id")?,
            offer: row.id("offer_id")?,
            units: (row.int("committed")?, row.int("next")?),
            month: row.text("month")?.parse().map_err(StoreError::corrupt)?,
            charged: row.int("charged")?,
            metered: (row.flag("metered")?, row.int("cap")?),
        })
    };
    reads.rows(sql, vec![]).await?.iter().map(read).collect()
}
