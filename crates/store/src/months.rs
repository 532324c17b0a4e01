//! Which organizations a new month has not come to yet, and which are suspended though their payers pay.

use crate::row::Row;
use crate::{Reads, StoreError};
use kernel::{Id, Month, OrganizationId, SubscriptionId};

/// Organizations with something paid or metered of a month before `month`, by id, after one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn due(
    reads: &impl Reads,
    month: Month,
    after: Option<OrganizationId>,
    limit: i64,
) -> Result<Vec<OrganizationId>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), Id::uuid);
    // What was switched off within its month is still to be charged for.
    let rows = reads
        .rows(
            "SELECT organization_id FROM (SELECT DISTINCT organization_id FROM entitlements \
             WHERE month < $1 AND (next > 0 OR committed > 0 OR metered) AND organization_id > $2 \
             ORDER BY organization_id LIMIT $3) e \
             UNION SELECT organization_id FROM (SELECT DISTINCT organization_id FROM usage_months \
             WHERE open AND month < $1 AND organization_id > $2 ORDER BY organization_id LIMIT $3) u \
             ORDER BY organization_id LIMIT $3",
            vec![month.to_string().into(), after.into(), limit.into()],
        )
        .await?;
    rows.iter().map(|row| row.id("organization_id")).collect()
}

/// The earliest month that something paid or metered is still of, if it is before `month`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn earliest(reads: &impl Reads, month: Month) -> Result<Option<Month>, StoreError> {
    let rows = reads
        .rows(
            "SELECT month FROM (SELECT month FROM entitlements \
             WHERE month < $1 AND (next > 0 OR committed > 0 OR metered) ORDER BY month LIMIT 1) e \
             UNION SELECT month FROM (SELECT month FROM usage_months WHERE open AND month < $1 ORDER BY month LIMIT 1) u \
             ORDER BY month LIMIT 1",
            vec![month.to_string().into()],
        )
        .await?;
    rows.first().map(|row| row.word("month")).transpose()
}

/// Organizations with something suspended in `month` whose payers pay, by id, after one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn suspended(
    reads: &impl Reads,
    month: Month,
    after: Option<OrganizationId>,
    limit: i64,
) -> Result<Vec<OrganizationId>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), Id::uuid);
    let rows = reads
        .rows(
            "SELECT DISTINCT e.organization_id FROM entitlements e \
             JOIN links l ON l.organization_id = e.organization_id AND l.ended_at IS NULL \
             JOIN subscriptions s ON s.id = l.subscription_id AND s.status IN ('active', 'warned') \
             WHERE e.committed < e.next AND e.month = $1 AND e.organization_id > $2 \
             ORDER BY e.organization_id LIMIT $3",
            vec![month.to_string().into(), after.into(), limit.into()],
        )
        .await?;
    rows.iter().map(|row| row.id("organization_id")).collect()
}

/// Organizations of a payer with something suspended, whatever month they have come to, if it pays; by id, after one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn suspended_of(
    reads: &impl Reads,
    payer: SubscriptionId,
    after: Option<OrganizationId>,
    limit: i64,
) -> Result<Vec<OrganizationId>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), Id::uuid);
    let rows = reads
        .rows(
            "SELECT DISTINCT e.organization_id FROM entitlements e \
             JOIN links l ON l.organization_id = e.organization_id AND l.ended_at IS NULL \
             JOIN subscriptions s ON s.id = l.subscription_id AND s.status IN ('active', 'warned') \
             WHERE e.committed < e.next AND l.subscription_id = $1 AND e.organization_id > $2 \
             ORDER BY e.organization_id LIMIT $3",
            vec![payer.uuid().into(), after.into(), limit.into()],
        )
        .await?;
    rows.iter().map(|row| row.id("organization_id")).collect()
}
