//! One holder at a time for a job, with a fencing token. Leases keep real time, whatever the test clock says.

use crate::row::Row;
use crate::{StoreError, Tx};
use kernel::{Timestamp, micros};
use uuid::Uuid;

/// Takes or renews the lease `name` until `until`; its token, or none where another holds it. The row stays locked to
/// the end of the transaction, so work done in it is done by the holder alone.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn take(
    tx: &Tx,
    name: &str,
    holder: Uuid,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<i64>, StoreError> {
    let row = tx
        .query_one(
            "INSERT INTO leases (name, holder, token, until) VALUES ($1, $2, 1, $3) \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until, \
                token = CASE WHEN leases.holder = excluded.holder THEN leases.token ELSE leases.token + 1 END \
             WHERE leases.until < $4 OR leases.holder = excluded.holder RETURNING token",
            vec![name.into(), holder.into(), micros(until).into(), micros(now).into()],
        )
        .await?;
    row.map(|row| row.int("token")).transpose()
}

/// Gives the lease back, so that another need not wait for its end.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn give_back(tx: &Tx, name: &str, holder: Uuid) -> Result<(), StoreError> {
    tx.execute("UPDATE leases SET until = 0 WHERE name = $1 AND holder = $2", vec![name.into(), holder.into()]).await?;
    Ok(())
}
