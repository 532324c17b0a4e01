//! Checkouts under way: what a person has chosen so far, so that a reload, a lost connection or a second tab lose nothing.
//! Whether one was completed is not said here: the purchase under its key is the only witness.

use crate::row::Row;
use crate::{Reads, StoreError, Tx};
use kernel::{CheckoutId, Id, Timestamp, UserId, micros};
use sea_orm::QueryResult;

/// Most ended checkouts that one sweep removes.
const SWEPT: i64 = 1_000;

/// A checkout under way.
#[derive(Clone, Debug)]
pub struct CheckoutRow {
    /// Its id.
    pub id: CheckoutId,
    /// Whose it is; none for a hosted one that nobody has taken up.
    pub user: Option<UserId>,
    /// What was chosen, JSON; may be personal.
    pub draft: String,
    /// Where the platform wants the person sent afterwards; empty for none.
    pub success_url: String,
    /// Where the platform wants the person sent who gives up; empty for none.
    pub cancel_url: String,
    /// Until when it is kept.
    pub expires_at: Timestamp,
}

fn checkout(row: &QueryResult) -> Result<CheckoutRow, StoreError> {
    Ok(CheckoutRow {
        id: row.id("id")?,
        user: Some(row.id::<UserId>("user_id")?).filter(|user| !user.uuid().is_nil()),
        draft: row.text("draft")?,
        success_url: row.text("success_url")?,
        cancel_url: row.text("cancel_url")?,
        expires_at: row.instant("expires_at")?,
    })
}

/// Writes a new checkout.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn insert(tx: &Tx, row: &CheckoutRow, at: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO checkouts (id, user_id, draft, success_url, cancel_url, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        vec![
            row.id.uuid().into(),
            row.user.map_or(uuid::Uuid::nil(), Id::uuid).into(),
            row.draft.as_str().into(),
            row.success_url.as_str().into(),
            row.cancel_url.as_str().into(),
            micros(at).into(),
            micros(row.expires_at).into(),
        ],
    )
    .await?;
    Ok(())
}

/// A checkout that is still kept at `now`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn find(reads: &impl Reads, id: CheckoutId, now: Timestamp) -> Result<Option<CheckoutRow>, StoreError> {
    let sql = "SELECT id, user_id, draft, success_url, cancel_url, expires_at FROM checkouts \
         WHERE id = $1 AND expires_at > $2";
    let rows = reads.rows(sql, vec![id.uuid().into(), micros(now).into()]).await?;
    rows.first().map(checkout).transpose()
}

/// The same, held until the transaction ends, so that two tabs change it one after the other.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn hold(tx: &Tx, id: CheckoutId, now: Timestamp) -> Result<Option<CheckoutRow>, StoreError> {
    let lock = crate::db::row_lock(tx.backend());
    tx.query_one(&format!("SELECT id FROM checkouts WHERE id = $1{lock}"), vec![id.uuid().into()]).await?;
    find(tx, id, now).await
}

/// Keeps what was chosen, as this person's.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn update(tx: &Tx, id: CheckoutId, user: UserId, draft: &str) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE checkouts SET draft = $2, user_id = $3 WHERE id = $1",
        vec![id.uuid().into(), draft.into(), user.uuid().into()],
    )
    .await?;
    Ok(())
}

/// Forgets a checkout that was given up.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn remove(tx: &Tx, id: CheckoutId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM checkouts WHERE id = $1", vec![id.uuid().into()]).await?;
    Ok(())
}

/// Forgets checkouts that are no longer kept, some at a time.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn sweep(tx: &Tx, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM checkouts WHERE id IN (SELECT id FROM checkouts WHERE expires_at <= $1 LIMIT $2)",
        vec![micros(now).into(), SWEPT.into()],
    )
    .await?;
    Ok(())
}
