//! Budgets, for proving them.

use super::{Fact, read_all};
use crate::row::Row;
use crate::{Reads, StoreError};
use kernel::SubscriptionId;
use uuid::Uuid;

/// A budget as it is stored; the organization is nil for the payer's own.
#[derive(Clone, Debug)]
pub struct BudgetProof {
    /// The payer.
    pub subscription: SubscriptionId,
    /// The organization.
    pub organization: Uuid,
    /// Minor units a month.
    pub amount: i64,
    /// The first month that is kept.
    pub since: String,
    /// Months in which the payer was warned, and when, microseconds since 1970.
    pub warned: Vec<(String, i64)>,
}

/// What events tell of budgets, in the order in which their payers were held.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn budget_facts(reads: &impl Reads) -> Result<Vec<Fact>, StoreError> {
    let sql = "SELECT e.id, e.block_id, e.place, e.kind, e.organization_id, e.actor, e.at, e.public \
         FROM events e JOIN blocks b ON b.id = e.block_id \
         WHERE e.kind IN ('budget.set', 'budget.removed', 'budget.warned') ORDER BY b.seq, e.place";
    let rows = reads.rows(sql, vec![]).await?;
    read_all("events", &rows, super::trail::fact)
}

/// All budgets with their warnings.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn budgets(reads: &impl Reads) -> Result<Vec<BudgetProof>, StoreError> {
    let sql = "SELECT b.subscription_id, b.organization_id, b.amount, b.since, m.month, m.warned_at FROM budgets b \
         LEFT JOIN budget_months m ON m.subscription_id = b.subscription_id AND m.organization_id = b.organization_id \
         AND m.warned_at <> 0 ORDER BY b.subscription_id, b.organization_id, m.month";
    let mut budgets: Vec<BudgetProof> = Vec::new();
    for row in reads.rows(sql, vec![]).await? {
        let (subscription, organization) =
            (row.id("subscription_id")?, row.id::<kernel::OrganizationId>("organization_id")?);
        let organization = kernel::Id::uuid(organization);
        let same = |last: &BudgetProof| last.subscription == subscription && last.organization == organization;
        if !budgets.last().is_some_and(same) {
            let (amount, since) = (row.int("amount")?, row.text("since")?);
            budgets.push(BudgetProof { subscription, organization, amount, since, warned: Vec::new() });
        }
        if let (Some(last), Some(month)) = (budgets.last_mut(), row.maybe_text("month")?) {
            last.warned.push((month, row.int("warned_at")?));
        }
    }
    Ok(budgets)
}

/// A month of a budget of which another sum is kept than its charges come to, or one of no budget: payer, organization, month,
/// what is kept and the sum.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn budget_difference(
    reads: &impl Reads,
) -> Result<Option<(SubscriptionId, Uuid, String, i64, i64)>, StoreError> {
    let sql = "SELECT subscription_id, organization_id, month, CAST(SUM(kept) AS BIGINT) AS kept, \
         CAST(SUM(charged) AS BIGINT) AS charged FROM ( \
         SELECT subscription_id, organization_id, month, charged AS kept, 0 AS charged, 0 AS stray FROM budget_months \
         UNION ALL SELECT b.subscription_id, b.organization_id, c.month, 0, SUM(c.amount), 0 FROM budgets b \
         JOIN charges c ON c.subscription_id = b.subscription_id AND c.month >= b.since \
         AND b.organization_id IN ($1, c.organization_id) GROUP BY b.subscription_id, b.organization_id, c.month \
         UNION ALL SELECT subscription_id, organization_id, month, 0, 0, 1 FROM budget_months m WHERE NOT EXISTS \
         (SELECT 1 FROM budgets b WHERE b.subscription_id = m.subscription_id AND b.organization_id = m.organization_id) \
         ) x GROUP BY subscription_id, organization_id, month HAVING SUM(kept) <> SUM(charged) OR SUM(stray) > 0 LIMIT 1";
    let rows = reads.rows(sql, vec![Uuid::nil().into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let organization: kernel::OrganizationId = row.id("organization_id")?;
    let (kept, charged) = (row.int("kept")?, row.int("charged")?);
    Ok(Some((row.id("subscription_id")?, kernel::Id::uuid(organization), row.text("month")?, kept, charged)))
}

/// A payer that is marked as having a budget and has none, or the other way round.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn budgeted_difference(reads: &impl Reads) -> Result<Option<(SubscriptionId, bool)>, StoreError> {
    let sql = "SELECT id, budgeted FROM subscriptions s \
         WHERE budgeted <> EXISTS (SELECT 1 FROM budgets b WHERE b.subscription_id = s.id) LIMIT 1";
    let rows = reads.rows(sql, vec![]).await?;
    rows.first().map(|row| Ok((row.id("id")?, row.flag("budgeted")?))).transpose()
}
