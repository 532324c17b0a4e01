//! Who is signed in to the pages: sessions by the hash of what a cookie holds. All instants here are real time.

use crate::people::{UserRow, user};
use crate::{Reads, StoreError, Tx};
use kernel::{Timestamp, UserId, micros};

/// Most ended sessions that one sweep removes.
const SWEPT: i64 = 1_000;

/// Begins a session.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn begin(tx: &Tx, hash: &[u8; 32], user: UserId, now: Timestamp, until: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO sessions (hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        vec![hash.to_vec().into(), user.uuid().into(), micros(now).into(), micros(until).into()],
    )
    .await?;
    Ok(())
}

/// The person of a session that has not ended.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn person(reads: &impl Reads, hash: &[u8; 32], now: Timestamp) -> Result<Option<UserRow>, StoreError> {
    let rows = reads
        .rows(
            "SELECT u.id, u.email, u.name, u.operator FROM sessions s JOIN users u ON u.id = s.user_id \
             WHERE s.hash = $1 AND s.expires_at > $2",
            vec![hash.to_vec().into(), micros(now).into()],
        )
        .await?;
    rows.first().map(user).transpose()
}

/// Ends a session.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn end(tx: &Tx, hash: &[u8; 32]) -> Result<(), StoreError> {
    tx.execute("DELETE FROM sessions WHERE hash = $1", vec![hash.to_vec().into()]).await?;
    Ok(())
}

/// Ends all sessions of a person; how many there were.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn end_all(tx: &Tx, user: UserId) -> Result<u64, StoreError> {
    tx.execute("DELETE FROM sessions WHERE user_id = $1", vec![user.uuid().into()]).await
}

/// Forgets sessions that have ended, some at a time.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn sweep(tx: &Tx, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires_at <= $1 LIMIT $2)",
        vec![micros(now).into(), SWEPT.into()],
    )
    .await?;
    Ok(())
}
