//! What organizations have, for reading; it is written by the till alone.

use crate::row::Row;
use crate::till::EntitlementRow;
use crate::{Reads, StoreError};
use kernel::OrganizationId;
use sea_orm::QueryResult;

const COLUMNS: &str = "SELECT organization_id, offer_id, committed, next, month, accrued, charged, installed, metered, \
     cap, version, changed_at, purchase_id FROM entitlements";

fn entitlement(row: &QueryResult) -> Result<EntitlementRow, StoreError> {
    Ok(EntitlementRow {
        organization: row.id("organization_id")?,
        offer: row.id("offer_id")?,
        committed: row.int("committed")?,
        next: row.int("next")?,
        month: row.word("month")?,
        accrued: row.word("accrued")?,
        charged: row.int("charged")?,
        installed: row.flag("installed")?,
        metered: row.flag("metered")?,
        cap: row.int("cap")?,
        version: row.int("version")?,
        changed_at: row.instant("changed_at")?,
        purchase: Some(row.id("purchase_id")?).filter(|id: &kernel::PurchaseId| !id.uuid().is_nil()),
    })
}

/// All that an organization has.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn of_organization(
    reads: &impl Reads,
    organization: OrganizationId,
) -> Result<Vec<EntitlementRow>, StoreError> {
    let rows = reads
        .rows(&format!("{COLUMNS} WHERE organization_id = $1 ORDER BY offer_id"), vec![organization.uuid().into()])
        .await?;
    rows.iter().map(entitlement).collect()
}
