//! What is coming on a payer's next bill, organization by organization, for reading.

use crate::row::Row;
use crate::usage::{OpenRow, open_row};
use crate::{Reads, StoreError};
use kernel::{Id, Month, OfferId, OrganizationId, SubscriptionId};
use sea_orm::Value;
use std::collections::HashMap;

/// An organization's part of what is coming.
#[derive(Clone, Debug)]
pub struct ComingRow {
    /// The organization.
    pub organization: OrganizationId,
    /// Its name in addresses.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// What was charged and is on no invoice yet, minor units, before tax.
    pub charged: i64,
    /// Paid units that the next month will bill, by offer.
    pub renewals: Vec<(OfferId, i64)>,
    /// Metered use that is not billed yet.
    pub used: Vec<OpenRow>,
}

/// The parts of organizations billed to a payer as they stand in `month`, by id, after one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn of_payer(
    reads: &impl Reads,
    payer: SubscriptionId,
    month: Month,
    after: Option<OrganizationId>,
    limit: i64,
) -> Result<Vec<ComingRow>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), Id::uuid);
    let page = "FROM links l JOIN organizations o ON o.id = l.organization_id \
         JOIN subscriptions s ON s.id = l.subscription_id WHERE l.subscription_id = $1 AND l.ended_at IS NULL AND l.organization_id > $2 \
         ORDER BY l.organization_id LIMIT $3";
    let values = || -> Vec<Value> { vec![payer.uuid().into(), after.into(), limit.into()] };
    // Whatever waits is on the bill of this month, which may not be out yet, or of the next.
    let bills = [month.to_string().into(), month.next().to_string().into()];
    let sql = format!(
        "SELECT o.id, o.slug, o.name, COALESCE((SELECT CAST(SUM(c.amount) AS BIGINT) FROM charges c \
         WHERE c.subscription_id = l.subscription_id AND c.bill IN ($4, $5) AND c.bill > s.billed_through \
         AND c.organization_id = o.id), 0) AS charged {page}"
    );
    let mut rows = Vec::new();
    for row in reads.rows(&sql, values().into_iter().chain(bills).collect()).await? {
        rows.push(ComingRow {
            organization: row.id("id")?,
            slug: row.text("slug")?,
            name: row.text("name")?,
            charged: row.int("charged")?,
            renewals: Vec::new(),
            used: Vec::new(),
        });
    }
    let sql = format!(
        "SELECT e.organization_id, e.offer_id, e.next FROM entitlements e \
         JOIN (SELECT o.id {page}) p ON p.id = e.organization_id WHERE e.next > 0 ORDER BY e.offer_id"
    );
    let mut renewals: HashMap<OrganizationId, Vec<(OfferId, i64)>> = HashMap::new();
    for row in reads.rows(&sql, values()).await? {
        renewals.entry(row.id("organization_id")?).or_default().push((row.id("offer_id")?, row.int("next")?));
    }
    let sql = format!(
        "SELECT u.organization_id, u.offer_id, u.month, u.used, u.late FROM usage_months u \
         JOIN (SELECT o.id {page}) p ON p.id = u.organization_id WHERE u.open ORDER BY u.offer_id, u.month"
    );
    let mut used: HashMap<OrganizationId, Vec<OpenRow>> = HashMap::new();
    for row in reads.rows(&sql, values()).await? {
        let row = open_row(&row)?;
        used.entry(row.organization).or_default().push(row);
    }
    for row in &mut rows {
        row.renewals = renewals.remove(&row.organization).unwrap_or_default();
        row.used = used.remove(&row.organization).unwrap_or_default();
    }
    Ok(rows)
}
