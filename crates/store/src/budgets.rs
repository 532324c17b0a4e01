//! Budgets: what a payer, or an organization billed to it, may come to in a month, and what is charged against it.

use crate::row::Row;
use crate::sheet::{Columns, Kind, Sheet, source};
use crate::till::each;
use crate::{Reads, StoreError, Tx};
use kernel::{Id, Month, OfferId, OrganizationId, SubscriptionId, Timestamp, micros};
use sea_orm::{DatabaseBackend, QueryResult, Value};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use uuid::Uuid;

/// Whose budget: a payer's own, or that of an organization billed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The payer.
    pub subscription: SubscriptionId,
    /// The organization; none for the payer's own.
    pub organization: Option<OrganizationId>,
}

impl Scope {
    fn key(self) -> [Value; 2] {
        [self.subscription.uuid().into(), self.organization.map_or(Uuid::nil(), Id::uuid).into()]
    }
}

fn scope(row: &QueryResult) -> Result<Scope, StoreError> {
    let organization: OrganizationId = row.id("organization_id")?;
    let organization = Some(organization).filter(|id| !id.uuid().is_nil());
    Ok(Scope { subscription: row.id("subscription_id")?, organization })
}

/// A budget and what is charged against it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetRow {
    /// Minor units a month, before tax.
    pub amount: i64,
    /// What is charged for service in a month, minor units.
    pub charged: BTreeMap<Month, i64>,
}

/// What the budgets of a batch's payers and organizations are weighed with.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Budgets.
    pub budgets: Vec<(Scope, BudgetRow)>,
    /// How many organizations of a payer renew how many units of what once they come to the month that follows this one.
    pub behind: Vec<(SubscriptionId, OfferId, i64, Month, i64)>,
}

const SCOPES: Columns = &[("subscription", Kind::Uuid), ("organization", Kind::Uuid)];

fn budgets_statement(backend: DatabaseBackend) -> &'static str {
    static TEXTS: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
    let [sqlite, postgres] = &TEXTS;
    let cell = if backend == DatabaseBackend::Sqlite { sqlite } else { postgres };
    cell.get_or_init(|| {
        let rows = source(backend, SCOPES, 1);
        let month = if backend == DatabaseBackend::Sqlite { "$2" } else { "$3" };
        let same = "b.subscription_id = r.subscription AND b.organization_id = r.organization";
        let budgets = each(backend, "*", "budgets", "b", same);
        format!(
            "SELECT b.subscription_id, b.organization_id, b.amount, m.month, m.charged FROM {rows} {budgets} \
             LEFT JOIN budget_months m ON m.subscription_id = b.subscription_id \
             AND m.organization_id = b.organization_id AND m.month >= {month}"
        )
    })
}

fn behind_statement(backend: DatabaseBackend) -> &'static str {
    static TEXTS: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
    let [sqlite, postgres] = &TEXTS;
    let cell = if backend == DatabaseBackend::Sqlite { sqlite } else { postgres };
    cell.get_or_init(|| {
        let rows = source(backend, &[("subscription", Kind::Uuid)], 1);
        let links = each(
            backend,
            "subscription_id, organization_id",
            "links",
            "l",
            "l.subscription_id = r.subscription AND l.ended_at IS NULL",
        );
        let held = "e.organization_id = l.organization_id AND e.next > 0 AND e.month < $2";
        let held = each(backend, "offer_id, next, month", "entitlements", "e", held);
        // For most of a month there is nothing behind it, which is seen at a glance.
        format!(
            "SELECT l.subscription_id, e.offer_id, e.next, e.month, COUNT(*) AS organizations FROM {rows} {links} {held} \
             WHERE EXISTS (SELECT 1 FROM entitlements x WHERE x.month < $2 AND (x.next > 0 OR x.committed > 0)) \
             GROUP BY l.subscription_id, e.offer_id, e.next, e.month"
        )
    })
}

/// The budgets of payers and of organizations billed to them, with what is charged from `since` on, and what of the payers
/// has not come to the month `until` yet.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn load(reads: &impl Reads, scopes: &[Scope], (since, until): (Month, Month)) -> Result<Loaded, StoreError> {
    let backend = reads.backend();
    let (mut named, mut payers) = (Sheet::new(SCOPES), Sheet::new(&[("subscription", Kind::Uuid)]));
    for scope in scopes {
        named.push(scope.key());
        if scope.organization.is_none() {
            payers.push([scope.subscription.uuid().into()]);
        }
    }
    let mut values = named.into_values(backend);
    values.push(since.to_string().into());
    let mut budgets: BTreeMap<Scope, BudgetRow> = BTreeMap::new();
    for row in reads.rows(budgets_statement(backend), values).await? {
        let budget = budgets.entry(scope(&row)?).or_default();
        budget.amount = row.int("amount")?;
        if let Some(month) = row.maybe_word("month")? {
            budget.charged.insert(month, row.int("charged")?);
        }
    }
    let mut loaded = Loaded { budgets: budgets.into_iter().collect(), behind: Vec::new() };
    if loaded.budgets.is_empty() {
        return Ok(loaded);
    }
    let mut values = payers.into_values(backend);
    values.push(until.to_string().into());
    for row in reads.rows(behind_statement(backend), values).await? {
        loaded.behind.push((
            row.id("subscription_id")?,
            row.id("offer_id")?,
            row.int("next")?,
            row.word("month")?,
            row.int("organizations")?,
        ));
    }
    Ok(loaded)
}

const CHARGES: Columns =
    &[("subscription", Kind::Uuid), ("organization", Kind::Uuid), ("month", Kind::Text), ("amount", Kind::Int)];

/// What is charged to payers that have budgets, by payer, organization and month of service, is added to their sums.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn charge(
    tx: &Tx,
    charges: &BTreeMap<(SubscriptionId, OrganizationId, Month), i64>,
) -> Result<(), StoreError> {
    static TEXTS: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
    if charges.is_empty() {
        return Ok(());
    }
    let backend = tx.backend();
    let [sqlite, postgres] = &TEXTS;
    let cell = if backend == DatabaseBackend::Sqlite { sqlite } else { postgres };
    let sql = cell.get_or_init(|| {
        let rows = source(backend, CHARGES, 1);
        let nil =
            if backend == DatabaseBackend::Sqlite { "zeroblob(16)" } else { "'00000000-0000-0000-0000-000000000000'" };
        // In the order of their keys, so that no two batches wait for each other in a circle.
        format!(
            "INSERT INTO budget_months (subscription_id, organization_id, month, charged, warned_at) \
             SELECT b.subscription_id, b.organization_id, r.month, CAST(SUM(r.amount) AS BIGINT), 0 FROM {rows} \
             JOIN budgets b ON b.subscription_id = r.subscription AND b.organization_id IN ({nil}, r.organization) \
             WHERE r.month >= b.since GROUP BY b.subscription_id, b.organization_id, r.month \
             ORDER BY b.subscription_id, b.organization_id, r.month \
             ON CONFLICT (subscription_id, organization_id, month) \
             DO UPDATE SET charged = budget_months.charged + excluded.charged"
        )
    });
    let mut sheet = Sheet::new(CHARGES);
    for ((subscription, organization, month), amount) in charges {
        sheet.push([
            subscription.uuid().into(),
            organization.uuid().into(),
            month.to_string().into(),
            (*amount).into(),
        ]);
    }
    tx.execute(sql, sheet.into_values(backend)).await?;
    Ok(())
}

/// The amount of a budget, if there is one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn find(reads: &impl Reads, of: Scope) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT amount FROM budgets WHERE subscription_id = $1 AND organization_id = $2";
    reads.rows(sql, of.key().to_vec()).await?.first().map(|row| row.int("amount")).transpose()
}

/// A budget of a payer that is held comes into being; what was charged from `since` on counts against it.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn insert(tx: &Tx, of: Scope, amount: i64, since: Month) -> Result<(), StoreError> {
    let mut values = of.key().to_vec();
    values.extend([amount.into(), since.to_string().into()]);
    tx.execute("INSERT INTO budgets (subscription_id, organization_id, amount, since) VALUES ($1, $2, $3, $4)", values)
        .await?;
    let mut values = of.key().to_vec();
    values.push(since.to_string().into());
    // A charge is billed on the first of its month of service or later, by which it is found.
    let whose = if of.organization.is_some() { "AND c.organization_id = b.organization_id" } else { "" };
    let sql = format!(
        "INSERT INTO budget_months (subscription_id, organization_id, month, charged, warned_at) \
         SELECT b.subscription_id, b.organization_id, c.month, CAST(SUM(c.amount) AS BIGINT), 0 FROM budgets b \
         JOIN charges c ON c.subscription_id = b.subscription_id AND c.bill >= $3 AND c.month >= $3 {whose} \
         WHERE b.subscription_id = $1 AND b.organization_id = $2 \
         GROUP BY b.subscription_id, b.organization_id, c.month"
    );
    tx.execute(&sql, values).await?;
    mark(tx, of.subscription).await
}

/// A budget of a payer that is held comes to another amount.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn change(tx: &Tx, of: Scope, amount: i64) -> Result<(), StoreError> {
    let mut values = of.key().to_vec();
    values.push(amount.into());
    let sql = "UPDATE budgets SET amount = $3 WHERE subscription_id = $1 AND organization_id = $2";
    tx.execute(sql, values).await?;
    Ok(())
}

/// A budget of a payer that is held ends, with what was kept for it.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn remove(tx: &Tx, of: Scope) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM budget_months WHERE subscription_id = $1 AND organization_id = $2",
        "DELETE FROM budgets WHERE subscription_id = $1 AND organization_id = $2",
    ] {
        tx.execute(sql, of.key().to_vec()).await?;
    }
    mark(tx, of.subscription).await
}

/// Says of a payer whether it has any budget.
async fn mark(tx: &Tx, payer: SubscriptionId) -> Result<(), StoreError> {
    let sql =
        "UPDATE subscriptions SET budgeted = EXISTS (SELECT 1 FROM budgets WHERE subscription_id = $1) WHERE id = $1";
    tx.execute(sql, vec![payer.uuid().into()]).await?;
    Ok(())
}

/// Budgets of which no warning was given in a month, and where one may be due: what is charged is at least four fifths, or
/// there is metered use that is not charged yet. By their keys, after one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn to_warn(
    reads: &impl Reads,
    month: Month,
    after: Option<Scope>,
    limit: i64,
) -> Result<Vec<Scope>, StoreError> {
    let [subscription, organization] = after.map_or([Uuid::nil().into(), Uuid::nil().into()], Scope::key);
    let rows = reads
        .rows(
            "SELECT b.subscription_id, b.organization_id FROM budgets b \
             LEFT JOIN budget_months m ON m.subscription_id = b.subscription_id \
             AND m.organization_id = b.organization_id AND m.month = $1 \
             WHERE (b.subscription_id, b.organization_id) > ($2, $3) AND COALESCE(m.warned_at, 0) = 0 \
             AND (m.charged >= b.amount - b.amount / 5 OR EXISTS (SELECT 1 FROM usage_months u \
             WHERE u.subscription_id = b.subscription_id AND u.month = $1 AND u.open)) \
             ORDER BY b.subscription_id, b.organization_id LIMIT $4",
            vec![month.to_string().into(), subscription, organization, limit.into()],
        )
        .await?;
    rows.iter().map(scope).collect()
}

/// Notes that the payer is warned of a budget in a month; whether it was not yet, and the budget is still this amount. The
/// payer is held.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn warned(tx: &Tx, of: Scope, amount: i64, month: Month, at: Timestamp) -> Result<bool, StoreError> {
    let mut values = of.key().to_vec();
    values.extend([amount.into(), month.to_string().into(), micros(at).into()]);
    let written = tx
        .execute(
            "INSERT INTO budget_months (subscription_id, organization_id, month, charged, warned_at) \
             SELECT subscription_id, organization_id, $4, 0, $5 FROM budgets \
             WHERE subscription_id = $1 AND organization_id = $2 AND amount = $3 \
             ON CONFLICT (subscription_id, organization_id, month) DO UPDATE SET warned_at = excluded.warned_at \
             WHERE budget_months.warned_at = 0",
            values,
        )
        .await?;
    Ok(written > 0)
}

/// When the payer was warned of a budget in a month; none where it was not.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn warned_at(reads: &impl Reads, of: Scope, month: Month) -> Result<Option<Timestamp>, StoreError> {
    let mut values = of.key().to_vec();
    values.push(month.to_string().into());
    let sql = "SELECT warned_at FROM budget_months \
         WHERE subscription_id = $1 AND organization_id = $2 AND month = $3 AND warned_at > 0";
    reads.rows(sql, values).await?.first().map(|row| row.instant("warned_at")).transpose()
}
