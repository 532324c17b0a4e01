//! Metered use of a payer's organizations that is not billed yet, for its next bill. What was used belongs to
//! the payer that it was counted under, so no link is read.

use crate::row::Row;
use crate::till::UsedRow;
use crate::usage::{OPEN, OpenRow, open_row};
use crate::{Reads, StoreError};
use kernel::{Month, OrganizationId, SubscriptionId};
use sea_orm::{QueryResult, Value};

/// Metered use with the names that people read.
#[derive(Clone, Debug)]
pub struct NamedUse {
    /// What was used.
    pub row: OpenRow,
    /// The organization's name in addresses.
    pub slug: String,
    /// The organization's name.
    pub name: String,
}

fn named(row: &QueryResult) -> Result<NamedUse, StoreError> {
    Ok(NamedUse { row: open_row(row)?, slug: row.text("slug")?, name: row.text("name")? })
}

pub(crate) const FIRST: &str =
    "SELECT month FROM usage_months WHERE subscription_id = $1 AND open AND month < $2 ORDER BY month LIMIT 1";

/// The first month before `month` that something was used in.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn first(reads: &impl Reads, payer: SubscriptionId, month: Month) -> Result<Option<Month>, StoreError> {
    let rows = reads.rows(FIRST, vec![payer.uuid().into(), month.to_string().into()]).await?;
    rows.first().map(|row| row.word("month")).transpose()
}

/// What was used in months before `bill`, in the order of a bill.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn before(reads: &impl Reads, payer: SubscriptionId, bill: Month) -> Result<Vec<NamedUse>, StoreError> {
    let sql = format!(
        "SELECT {OPEN}, o.slug, o.name FROM usage_months u JOIN organizations o ON o.id = u.organization_id \
         WHERE u.subscription_id = $1 AND u.open AND u.month < $2 ORDER BY o.name, o.id, u.offer_id, u.month"
    );
    let values: Vec<Value> = vec![payer.uuid().into(), bill.to_string().into()];
    reads.rows(&sql, values).await?.iter().map(named).collect()
}

pub(crate) const SUMS: &str = "SELECT offer_id, used, COUNT(*) AS organizations FROM usage_months \
     WHERE subscription_id = $1 AND open AND month = $2 GROUP BY offer_id, used";

/// How many organizations used so much of what in a month.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn sums(reads: &impl Reads, payer: SubscriptionId, month: Month) -> Result<Vec<UsedRow>, StoreError> {
    let rows = reads.rows(SUMS, vec![payer.uuid().into(), month.to_string().into()]).await?;
    let sum = |row: &QueryResult| {
        Ok(UsedRow {
            subscription: payer,
            offer: row.id("offer_id")?,
            month,
            used: row.int("used")?,
            organizations: row.int("organizations")?,
        })
    };
    rows.iter().map(sum).collect()
}

pub(crate) fn stretch_statement() -> String {
    format!(
        "SELECT {OPEN}, o.slug, o.name FROM usage_months u JOIN organizations o ON o.id = u.organization_id \
         WHERE u.subscription_id = $1 AND u.open AND u.month = $2 AND u.organization_id >= $3 AND u.organization_id <= $4 \
         ORDER BY u.organization_id, u.offer_id"
    )
}

/// What those organizations whose ids are from the first to the last used in a month, by organization and offer.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn stretch(
    reads: &impl Reads,
    payer: SubscriptionId,
    month: Month,
    (first, last): (OrganizationId, OrganizationId),
) -> Result<Vec<NamedUse>, StoreError> {
    let values: Vec<Value> =
        vec![payer.uuid().into(), month.to_string().into(), first.uuid().into(), last.uuid().into()];
    reads.rows(&stretch_statement(), values).await?.iter().map(named).collect()
}
