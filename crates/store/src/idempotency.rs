//! Answers kept for good under a caller's key, for every POST but purchases, which keep their own.

use crate::row::Row;
use crate::{Reads, StoreError, Tx};
use kernel::{Timestamp, micros};

/// A kept answer.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Hash of the request that it answered.
    pub request_hash: Vec<u8>,
    /// HTTP status.
    pub status: i64,
    /// Body, to the byte.
    pub answer: String,
}

/// The answer kept under a key.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn find(reads: &impl Reads, caller: &str, route: &str, key: &str) -> Result<Option<Kept>, StoreError> {
    let rows = reads
        .rows(
            "SELECT request_hash, status, answer FROM idempotency WHERE caller = $1 AND route = $2 AND key = $3",
            vec![caller.into(), route.into(), key.into()],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Kept { request_hash: row.bytes("request_hash")?, status: row.int("status")?, answer: row.text("answer")? }))
}

/// Keeps an answer, in the transaction that did what it tells.
///
/// # Errors
/// [`StoreError::Conflict`] where another kept one first; else as [`StoreError`] says.
pub async fn keep(
    tx: &Tx,
    (caller, route, key): (&str, &str, &str),
    kept: &Kept,
    at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO idempotency (caller, route, key, request_hash, status, answer, at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        vec![
            caller.into(),
            route.into(),
            key.into(),
            kept.request_hash.clone().into(),
            kept.status.into(),
            kept.answer.as_str().into(),
            micros(at).into(),
        ],
    )
    .await?;
    Ok(())
}
