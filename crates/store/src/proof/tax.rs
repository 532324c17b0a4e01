//! Confirmed VAT numbers and what was charged by them, for proving them.

use super::read_all;
use crate::row::Row;
use crate::tax::ConfirmationRow;
use crate::{Reads, StoreError};
use kernel::{ChargeId, SubscriptionId};

/// All confirmations.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn confirmations(reads: &impl Reads) -> Result<Vec<ConfirmationRow>, StoreError> {
    let rows = reads.rows("SELECT * FROM tax_confirmations ORDER BY subscription_id", vec![]).await?;
    read_all("tax_confirmations", &rows, crate::tax::read)
}

/// A payer that is marked as confirmed and is not, or the other way round.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn confirmed_difference(reads: &impl Reads) -> Result<Option<(SubscriptionId, bool)>, StoreError> {
    let sql = "SELECT id, tax_confirmed FROM subscriptions s \
         WHERE tax_confirmed <> EXISTS (SELECT 1 FROM tax_confirmations c WHERE c.subscription_id = s.id) LIMIT 1";
    let rows = reads.rows(sql, vec![]).await?;
    rows.first().map(|row| Ok((row.id("id")?, row.flag("tax_confirmed")?))).transpose()
}

/// Charges with reverse charge, by id, after one: the charge, who pays, and when, microseconds since 1970.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn reversed(
    reads: &impl Reads,
    after: ChargeId,
    limit: i64,
) -> Result<Vec<(ChargeId, SubscriptionId, i64)>, StoreError> {
    let sql = "SELECT id, subscription_id, at FROM charges WHERE tax_rate = 'reverse' AND id > $1 ORDER BY id LIMIT $2";
    let rows = reads.rows(sql, vec![after.uuid().into(), limit.into()]).await?;
    read_all("charges", &rows, |row| Ok((row.id("id")?, row.id("subscription_id")?, row.int("at")?)))
}
