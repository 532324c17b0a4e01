//! People, and the platform's service keys.

use crate::row::Row;
use crate::{Reads, StoreError, Tx};
use kernel::{Email, ServiceKeyId, Timestamp, UserId, micros};
use sea_orm::QueryResult;

/// A person.
#[derive(Clone, Debug)]
pub struct UserRow {
    /// Their id.
    pub id: UserId,
    /// Their address.
    pub email: String,
    /// Their name.
    pub name: String,
    /// Whether they run the installation (R-9a).
    pub operator: bool,
}

pub(crate) fn user(row: &QueryResult) -> Result<UserRow, StoreError> {
    Ok(UserRow {
        id: row.id("id")?,
        email: row.text("email")?,
        name: row.text("name")?,
        operator: row.flag("operator")?,
    })
}

/// The person with this address.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn by_email(reads: &impl Reads, email: &Email) -> Result<Option<UserRow>, StoreError> {
    let rows =
        reads.rows("SELECT id, email, name, operator FROM users WHERE email = $1", vec![email.as_str().into()]).await?;
    rows.first().map(user).transpose()
}

/// The person with this id.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn by_id(reads: &impl Reads, id: UserId) -> Result<Option<UserRow>, StoreError> {
    let rows = reads.rows("SELECT id, email, name, operator FROM users WHERE id = $1", vec![id.uuid().into()]).await?;
    rows.first().map(user).transpose()
}

/// Whether there is any person.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn any(reads: &impl Reads) -> Result<bool, StoreError> {
    Ok(!reads.rows("SELECT id FROM users LIMIT 1", vec![]).await?.is_empty())
}

/// Some people, by address: for telling an operator who can sign in.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn some(reads: &impl Reads, limit: i64) -> Result<Vec<UserRow>, StoreError> {
    let rows =
        reads.rows("SELECT id, email, name, operator FROM users ORDER BY email LIMIT $1", vec![limit.into()]).await?;
    rows.iter().map(user).collect()
}

/// Writes a new person.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn insert(tx: &Tx, row: &UserRow, at: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO users (id, email, name, operator, created_at) VALUES ($1, $2, $3, $4, $5)",
        vec![
            row.id.uuid().into(),
            row.email.as_str().into(),
            row.name.as_str().into(),
            row.operator.into(),
            micros(at).into(),
        ],
    )
    .await?;
    Ok(())
}

/// Changes a person's name and whether they are an operator.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn update(tx: &Tx, row: &UserRow) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE users SET name = $2, operator = $3 WHERE id = $1",
        vec![row.id.uuid().into(), row.name.as_str().into(), row.operator.into()],
    )
    .await?;
    Ok(())
}

/// Writes a service key by the hash of its text.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn insert_key(
    tx: &Tx,
    id: ServiceKeyId,
    name: &str,
    hash: &[u8; 32],
    at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO service_keys (id, name, hash, created_at) VALUES ($1, $2, $3, $4)",
        vec![id.uuid().into(), name.into(), hash.to_vec().into(), micros(at).into()],
    )
    .await?;
    Ok(())
}

/// The service key with this hash.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn key_by_hash(reads: &impl Reads, hash: &[u8; 32]) -> Result<Option<ServiceKeyId>, StoreError> {
    let rows = reads.rows("SELECT id FROM service_keys WHERE hash = $1", vec![hash.to_vec().into()]).await?;
    rows.first().map(|row| row.id("id")).transpose()
}
