//! Rows of metered use, for proving them.

use super::read_all;
use crate::row::Row;
use crate::{Reads, StoreError};
use kernel::{OfferId, OrganizationId, SubscriptionId, UsageBatchId};

/// A usage event that was counted.
#[derive(Clone, Debug)]
pub struct UsageProof {
    /// Its place among those of its report and organization.
    pub place: i64,
    /// Its own id.
    pub id: String,
    /// Who used it.
    pub organization: OrganizationId,
    /// What.
    pub offer: OfferId,
    /// Units.
    pub quantity: i64,
    /// When it was used, microseconds since 1970.
    pub at: i64,
    /// The month that it is counted in.
    pub month: String,
}

/// What was counted of a report for one organization, in its order.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn usage_rows(reads: &impl Reads, batch: UsageBatchId) -> Result<Vec<UsageProof>, StoreError> {
    let sql = "SELECT * FROM usage_events WHERE batch = $1 ORDER BY place";
    let rows = reads.rows(sql, vec![batch.uuid().into()]).await?;
    read_all("usage_events", &rows, |row| {
        Ok(UsageProof {
            place: row.int("place")?,
            id: row.text("id")?,
            organization: row.id("organization_id")?,
            offer: row.id("offer_id")?,
            quantity: row.int("quantity")?,
            at: row.int("at")?,
            month: row.text("month")?,
        })
    })
}

/// Metered use of an offer by an organization in a month.
#[derive(Clone, Debug)]
pub struct UsageMonthProof {
    /// Who used it.
    pub organization: OrganizationId,
    /// What.
    pub offer: OfferId,
    /// The month.
    pub month: String,
    /// Who owes it.
    pub payer: SubscriptionId,
    /// Units.
    pub used: i64,
    /// How many of them were used in an earlier month.
    pub late: i64,
    /// Whether it is not charged yet.
    pub open: bool,
}

/// Months of metered use after one, by their keys.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn usage_months_after(
    reads: &impl Reads,
    after: Option<&(OrganizationId, OfferId, String)>,
    limit: i64,
) -> Result<Vec<UsageMonthProof>, StoreError> {
    let nil = uuid::Uuid::nil();
    let (organization, offer, month) = after
        .map_or((nil, nil, ""), |(organization, offer, month)| (organization.uuid(), offer.uuid(), month.as_str()));
    let sql = "SELECT * FROM usage_months WHERE (organization_id, offer_id, month) > ($1, $2, $3) \
         ORDER BY organization_id, offer_id, month LIMIT $4";
    let rows = reads.rows(sql, vec![organization.into(), offer.into(), month.into(), limit.into()]).await?;
    read_all("usage_months", &rows, |row| {
        Ok(UsageMonthProof {
            organization: row.id("organization_id")?,
            offer: row.id("offer_id")?,
            month: row.text("month")?,
            payer: row.id("subscription_id")?,
            used: row.int("used")?,
            late: row.int("late")?,
            open: row.flag("open")?,
        })
    })
}
