//! Facts of the whole installation: the catalogue's revision, the test clock.

use crate::row::Row;
use crate::{Reads, StoreError, Tx};

/// Key of the catalogue's revision, a number that rises with every change.
pub const CATALOGUE: &str = "catalogue";
/// Key of the test clock, microseconds since 1970; absent in real use.
pub const CLOCK: &str = "clock";

/// A setting's number.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn number(reads: &impl Reads, key: &str) -> Result<Option<i64>, StoreError> {
    let rows = reads.rows("SELECT value FROM settings WHERE key = $1", vec![key.into()]).await?;
    rows.first().map(|row| row.word("value")).transpose()
}

/// Sets a setting's number.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn set_number(tx: &Tx, key: &str, number: i64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        vec![key.into(), number.to_string().into()],
    )
    .await?;
    Ok(())
}

/// Holds a setting until the transaction ends, so that who reads and raises it meets nobody; 0 if it was not there.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn hold(tx: &Tx, key: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO settings (key, value) VALUES ($1, '0') ON CONFLICT (key) DO UPDATE SET value = settings.value",
        vec![key.into()],
    )
    .await?;
    Ok(())
}
