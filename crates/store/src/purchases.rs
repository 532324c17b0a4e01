//! Purchases and charges as they were written, for reading.

use crate::row::Row;
use crate::{Reads, StoreError};
use kernel::{
    ChargeId, Currency, Id, IdempotencyKey, Month, OfferId, OrganizationId, PurchaseId, SubscriptionId, Timestamp,
    UserId,
};
use sea_orm::QueryResult;

/// A purchase as it is stored.
#[derive(Clone, Debug)]
pub struct PurchaseRow {
    /// Its id.
    pub id: PurchaseId,
    /// For whom.
    pub organization: OrganizationId,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// Who bought.
    pub actor: UserId,
    /// `completed`; `pending` until it is paid; `released` where it was not, and nothing else is left of it.
    pub state: String,
    /// The answer, to the byte.
    pub answer: String,
    /// When.
    pub at: Timestamp,
    /// What it found and changed, JSON; empty for what was bought by a version that did not keep it.
    pub found: String,
    /// What came of its undoing, JSON; empty while it stands.
    pub undone: String,
}

const PURCHASE: &str =
    "SELECT id, organization_id, subscription_id, actor_id, state, answer, at, found, undone FROM purchases";

fn purchase(row: &QueryResult) -> Result<PurchaseRow, StoreError> {
    Ok(PurchaseRow {
        id: row.id("id")?,
        organization: row.id("organization_id")?,
        subscription: row.id("subscription_id")?,
        actor: row.id("actor_id")?,
        state: row.text("state")?,
        answer: row.text("answer")?,
        at: row.instant("at")?,
        found: row.text("found")?,
        undone: row.text("undone")?,
    })
}

/// One purchase.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn find(reads: &impl Reads, id: PurchaseId) -> Result<Option<PurchaseRow>, StoreError> {
    let rows = reads.rows(&format!("{PURCHASE} WHERE id = $1"), vec![id.uuid().into()]).await?;
    rows.first().map(purchase).transpose()
}

/// One purchase, or one that was released because it was not paid: of that nothing but its answer is left, and nobody
/// who bought.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn find_any(reads: &impl Reads, id: PurchaseId) -> Result<Option<PurchaseRow>, StoreError> {
    let sql = format!(
        "{PURCHASE} WHERE id = $1 UNION ALL SELECT purchase_id, organization_id, subscription_id, $2, state, answer, at, '', '' \
         FROM collections WHERE purchase_id = $1 AND state = 'released'"
    );
    let rows = reads.rows(&sql, vec![id.uuid().into(), uuid::Uuid::nil().into()]).await?;
    rows.first().map(purchase).transpose()
}

/// The purchase that a person made under a key.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn by_key(
    reads: &impl Reads,
    actor: UserId,
    key: &IdempotencyKey,
) -> Result<Option<PurchaseRow>, StoreError> {
    let sql = format!("{PURCHASE} WHERE actor_id = $1 AND key = $2");
    let rows = reads.rows(&sql, vec![actor.uuid().into(), key.as_str().into()]).await?;
    rows.first().map(purchase).transpose()
}

/// An organization's purchases, newest first, before one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn of_organization(
    reads: &impl Reads,
    organization: OrganizationId,
    before: Option<PurchaseId>,
    limit: i64,
) -> Result<Vec<PurchaseRow>, StoreError> {
    let before = before.map_or(uuid::Uuid::max(), Id::uuid);
    let rows = reads
        .rows(
            &format!("{PURCHASE} WHERE organization_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"),
            vec![organization.uuid().into(), before.into(), limit.into()],
        )
        .await?;
    rows.iter().map(purchase).collect()
}

/// All purchases by id, after one: for proving the books.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn after(reads: &impl Reads, after: Option<PurchaseId>, limit: i64) -> Result<Vec<PurchaseRow>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), Id::uuid);
    let rows =
        reads.rows(&format!("{PURCHASE} WHERE id > $1 ORDER BY id LIMIT $2"), vec![after.into(), limit.into()]).await?;
    rows.iter().map(purchase).collect()
}

/// A charge as it is stored.
#[derive(Clone, Debug)]
pub struct ChargeRow {
    /// Its id.
    pub id: ChargeId,
    /// The purchase that it is of.
    pub purchase: PurchaseId,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// For whom.
    pub organization: OrganizationId,
    /// For what.
    pub offer: OfferId,
    /// Minor units, before tax.
    pub amount: i64,
    /// In which currency.
    pub currency: Currency,
    /// Month of the service.
    pub month: Month,
    /// Tax rate in percent; empty for none.
    pub tax_rate: String,
    /// What it was computed from ([`kernel::ChargeBasis`]), JSON.
    pub basis: String,
    /// When.
    pub at: Timestamp,
}

const CHARGE: &str = "SELECT id, purchase_id, subscription_id, organization_id, offer_id, amount, currency, month, \
     tax_rate, basis, at FROM charges";

pub(crate) fn charge(row: &QueryResult) -> Result<ChargeRow, StoreError> {
    Ok(ChargeRow {
        id: row.id("id")?,
        purchase: row.id("purchase_id")?,
        subscription: row.id("subscription_id")?,
        organization: row.id("organization_id")?,
        offer: row.id("offer_id")?,
        amount: row.int("amount")?,
        currency: row.word("currency")?,
        month: row.word("month")?,
        tax_rate: row.text("tax_rate")?,
        basis: row.text("basis")?,
        at: row.instant("at")?,
    })
}

/// One charge.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn charge_by_id(reads: &impl Reads, id: ChargeId) -> Result<Option<ChargeRow>, StoreError> {
    let rows = reads.rows(&format!("{CHARGE} WHERE id = $1"), vec![id.uuid().into()]).await?;
    rows.first().map(charge).transpose()
}

/// All charges by id, after one: for proving the books.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn charges_after(
    reads: &impl Reads,
    after: Option<ChargeId>,
    limit: i64,
) -> Result<Vec<ChargeRow>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), Id::uuid);
    let rows =
        reads.rows(&format!("{CHARGE} WHERE id > $1 ORDER BY id LIMIT $2"), vec![after.into(), limit.into()]).await?;
    rows.iter().map(charge).collect()
}
