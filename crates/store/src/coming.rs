//! What is coming on a payer's next bill, organization by organization, for reading.

use crate::invoices::{BillLine, RenewalLine};
use crate::payer_usage::{self, NamedUse};
use crate::row::Row;
use crate::usage::{OPEN, OpenRow, open_row};
use crate::{Reads, StoreError};
use kernel::{Id, Month, OfferId, OrganizationId, SubscriptionId};
use sea_orm::{DatabaseBackend, Value};
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
        "SELECT {OPEN} FROM usage_months u \
         JOIN (SELECT o.id {page}) p ON p.id = u.organization_id WHERE u.open ORDER BY u.offer_id, u.month"
    );
    let mut used: HashMap<OrganizationId, Vec<OpenRow>> = HashMap::new();
    for row in reads.rows(&sql, values()).await? {
        let row = open_row(&row)?;
        if row.payer == payer {
            used.entry(row.organization).or_default().push(row);
        }
    }
    for row in &mut rows {
        row.renewals = renewals.remove(&row.organization).unwrap_or_default();
        row.used = used.remove(&row.organization).unwrap_or_default();
    }
    Ok(rows)
}

/// How many organizations of a payer will be billed for so many units of an offer.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn renewals(reads: &impl Reads, payer: SubscriptionId) -> Result<Vec<(OfferId, i64, i64)>, StoreError> {
    let sql = if reads.backend() == DatabaseBackend::Sqlite {
        "SELECT offer_id, next, organizations FROM renewals WHERE subscription_id = $1"
    } else {
        "SELECT e.offer_id, e.next, COUNT(*) AS organizations FROM links l \
         JOIN entitlements e ON e.organization_id = l.organization_id \
         WHERE l.subscription_id = $1 AND l.ended_at IS NULL AND e.next > 0 GROUP BY e.offer_id, e.next"
    };
    let rows = reads.rows(sql, vec![payer.uuid().into()]).await?;
    rows.iter().map(|row| Ok((row.id("offer_id")?, row.int("next")?, row.int("organizations")?))).collect()
}

/// What was charged to a payer and is on no invoice yet.
#[derive(Clone, Debug)]
pub struct Charged {
    /// Sums by tax rate (percent; empty for none), minor units.
    pub sums: Vec<(String, i64)>,
    /// How many charges they are.
    pub charges: i64,
}

/// What waits for a payer's bill.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn charged(reads: &impl Reads, payer: SubscriptionId, bill: Month) -> Result<Charged, StoreError> {
    let values = || -> Vec<Value> { vec![payer.uuid().into(), bill.to_string().into()] };
    let sql = "SELECT tax_rate, amount FROM unbilled WHERE subscription_id = $1 AND month = $2 ORDER BY tax_rate";
    let sums = reads.rows(sql, values()).await?;
    let sums = sums.iter().map(|row| Ok((row.text("tax_rate")?, row.int("amount")?)));
    let sums = sums.collect::<Result<Vec<_>, StoreError>>()?;
    let sql = "SELECT COUNT(*) AS charges FROM charges WHERE subscription_id = $1 AND bill = $2";
    let rows = reads.rows(sql, values()).await?;
    Ok(Charged { sums, charges: rows.first().map_or(Ok(0), |row| row.int("charges"))? })
}

pub(crate) const ORGANIZATIONS: &str = "SELECT id FROM (SELECT id FROM (SELECT organization_id AS id FROM links \
     WHERE subscription_id = $1 AND ended_at IS NULL AND organization_id >= $4 ORDER BY organization_id LIMIT $5) a \
     UNION SELECT id FROM (SELECT DISTINCT organization_id AS id FROM charges \
     WHERE subscription_id = $1 AND bill = $2 AND organization_id >= $4 ORDER BY organization_id LIMIT $5) b \
     UNION SELECT id FROM (SELECT DISTINCT organization_id AS id FROM usage_months \
     WHERE subscription_id = $1 AND open AND month = $3 AND organization_id >= $4 ORDER BY organization_id LIMIT $5) d) c \
     ORDER BY id LIMIT $5";

/// Organizations that are billed to a payer, that something is charged for on a bill or that used something in the month
/// before it, by id, from one on.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn organizations(
    reads: &impl Reads,
    payer: SubscriptionId,
    bill: Month,
    from: OrganizationId,
    limit: i64,
) -> Result<Vec<OrganizationId>, StoreError> {
    let (used, bill) = (bill.prev().to_string(), bill.to_string());
    let values = vec![payer.uuid().into(), bill.into(), used.into(), from.uuid().into(), limit.into()];
    reads.rows(ORGANIZATIONS, values).await?.iter().map(|row| row.id("id")).collect()
}

/// Part of a payer's bill: those organizations whose ids are from the first to the last.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// The payer.
    pub payer: SubscriptionId,
    /// The bill.
    pub bill: Month,
    /// The first organization.
    pub first: OrganizationId,
    /// The last one.
    pub last: OrganizationId,
}

impl Stretch {
    fn values(&self) -> Vec<Value> {
        vec![self.payer.uuid().into(), self.bill.to_string().into(), self.first.uuid().into(), self.last.uuid().into()]
    }

    /// Its charges, at most so many, by organization, offer, month and id.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn charges(&self, reads: &impl Reads, limit: i64) -> Result<Vec<BillLine>, StoreError> {
        let sql = "SELECT c.id, c.purchase_id, c.subscription_id, c.organization_id, c.offer_id, c.amount, c.currency, \
             c.month, c.tax_rate, c.basis, c.at, o.slug, o.name FROM charges c \
             JOIN organizations o ON o.id = c.organization_id WHERE c.subscription_id = $1 AND c.bill = $2 \
             AND c.organization_id >= $3 AND c.organization_id <= $4 \
             ORDER BY c.organization_id, c.offer_id, c.month, c.id LIMIT $5";
        let values = self.values().into_iter().chain([limit.into()]).collect();
        reads.rows(sql, values).await?.iter().map(crate::invoices::bill_line).collect()
    }

    /// What its charges come to, by organization, minor units.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn sums(&self, reads: &impl Reads) -> Result<Vec<(OrganizationId, i64)>, StoreError> {
        let sql = "SELECT organization_id, CAST(SUM(amount) AS BIGINT) AS amount FROM charges \
             WHERE subscription_id = $1 AND bill = $2 AND organization_id >= $3 AND organization_id <= $4 \
             GROUP BY organization_id";
        let rows = reads.rows(sql, self.values()).await?;
        rows.iter().map(|row| Ok((row.id("organization_id")?, row.int("amount")?))).collect()
    }

    /// What was used in the month before the bill, by organization and offer.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn used(&self, reads: &impl Reads) -> Result<Vec<NamedUse>, StoreError> {
        payer_usage::stretch(reads, self.payer, self.bill.prev(), (self.first, self.last)).await
    }

    /// What it will renew, by organization and offer.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn renewals(&self, reads: &impl Reads) -> Result<Vec<RenewalLine>, StoreError> {
        let sql = "SELECT o.id, o.slug, o.name, e.offer_id, e.next FROM links l \
             JOIN organizations o ON o.id = l.organization_id JOIN entitlements e ON e.organization_id = o.id \
             WHERE l.subscription_id = $1 AND l.ended_at IS NULL AND l.organization_id >= $3 AND l.organization_id <= $4 \
             AND e.next > 0 AND e.month < $2 ORDER BY l.organization_id, e.offer_id";
        reads.rows(sql, self.values()).await?.iter().map(crate::invoices::renewal_line).collect()
    }
}
