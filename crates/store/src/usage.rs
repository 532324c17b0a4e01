//! Metered use: usage events, each once for good, and what they add up to by month. Counting holds the
//! organization like the till does, so that neither a purchase nor a month's turn comes between.

use crate::row::Row;
use crate::sheet::{Columns, Kind, Sheet, insert_statement, source};
use crate::{Reads, StoreError, Tx};
use kernel::{
    Currency, Month, OfferId, OrganizationId, SubscriptionId, Timestamp, UsageBatchId, UsageId, from_micros, micros,
};
use sea_orm::{DatabaseBackend, QueryResult};
use std::collections::HashMap;
use std::sync::OnceLock;

/// Texts of a statement, one a database, made once.
type Texts = [OnceLock<String>; 2];

fn text(texts: &'static Texts, backend: DatabaseBackend, make: impl FnOnce() -> String) -> &'static str {
    let [sqlite, postgres] = texts;
    if backend == DatabaseBackend::Sqlite { sqlite.get_or_init(make) } else { postgres.get_or_init(make) }
}

/// Metered use of an offer by an organization in a month that is not billed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRow {
    /// Who used it.
    pub organization: OrganizationId,
    /// What.
    pub offer: OfferId,
    /// The month that it is counted in.
    pub month: Month,
    /// Who paid for the organization when it was counted, and will be charged.
    pub payer: SubscriptionId,
    /// Units.
    pub used: i64,
    /// How many of them were used in an earlier month.
    pub late: i64,
}

pub(crate) fn open_row(row: &QueryResult) -> Result<OpenRow, StoreError> {
    Ok(OpenRow {
        organization: row.id("organization_id")?,
        offer: row.id("offer_id")?,
        month: row.word("month")?,
        payer: row.id("subscription_id")?,
        used: row.int("used")?,
        late: row.int("late")?,
    })
}

/// What an organization used of an offer, and whether it may use more.
#[derive(Clone, Debug)]
pub struct MeterRow {
    /// Who would pay.
    pub payer: Option<SubscriptionId>,
    /// How the payer stands; none without one.
    pub status: Option<String>,
    /// The payer's currency.
    pub currency: Option<Currency>,
    /// Whether it is switched on.
    pub on: bool,
    /// Most units a month; 0 for none.
    pub cap: i64,
    /// The month that the organization has come to; none where it never had the offer.
    pub month: Option<Month>,
    /// What is used by month, of those that are not billed yet.
    pub open: Vec<OpenRow>,
}

const PAIRS: Columns = &[("organization", Kind::Uuid), ("offer", Kind::Uuid)];

/// Holds organizations, by id, so that nothing of them changes meanwhile; those that there are.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn hold(tx: &Tx, organizations: &[OrganizationId]) -> Result<Vec<OrganizationId>, StoreError> {
    const IDS: Columns = &[("id", Kind::Uuid)];
    static TEXTS: Texts = [OnceLock::new(), OnceLock::new()];
    let backend = tx.backend();
    let mut sheet = Sheet::new(IDS);
    for id in organizations {
        sheet.push([id.uuid().into()]);
    }
    let sql = text(&TEXTS, backend, || {
        if backend == DatabaseBackend::Postgres {
            return "SELECT id FROM organizations WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE".to_owned();
        }
        format!("SELECT o.id FROM {} CROSS JOIN organizations o ON o.id = r.id", source(backend, IDS, 1))
    });
    let rows = tx.query(sql, sheet.into_values(backend)).await?;
    rows.iter().map(|row| row.id("id")).collect()
}

pub(crate) fn meters_statement(backend: DatabaseBackend) -> &'static str {
    static TEXTS: Texts = [OnceLock::new(), OnceLock::new()];
    text(&TEXTS, backend, || {
        let joined = |columns: &str, table: &str, name: &str, condition: &str| {
            if backend == DatabaseBackend::Postgres {
                // Binds the search to the pair's rows, whatever the planner believes of the table.
                let inner = format!("SELECT {columns} FROM {table} {name} WHERE {condition} OFFSET 0");
                format!("LEFT JOIN LATERAL ({inner}) {name} ON true ")
            } else {
                format!("LEFT JOIN {table} {name} ON {condition} ")
            }
        };
        let joins = [
            joined("subscription_id", "links", "l", "l.organization_id = r.organization AND l.ended_at IS NULL"),
            joined("id, status, currency", "subscriptions", "s", "s.id = l.subscription_id"),
            joined(
                "metered, cap, month",
                "entitlements",
                "e",
                "e.organization_id = r.organization AND e.offer_id = r.offer",
            ),
            joined(
                "month, subscription_id, used, late",
                "usage_months",
                "u",
                "u.organization_id = r.organization AND u.offer_id = r.offer AND u.open",
            ),
        ];
        format!(
            "SELECT r.organization AS organization_id, r.offer AS offer_id, s.id AS payer, s.status, s.currency, \
             COALESCE(e.metered, {no}) AS metered, COALESCE(e.cap, 0) AS cap, e.month AS came, u.month, u.subscription_id, u.used, \
             u.late \
             FROM {} {} ORDER BY r.n",
            source(backend, PAIRS, 1),
            joins.concat(),
            no = if backend == DatabaseBackend::Postgres { "false" } else { "0" },
        )
    })
}

/// What organizations used of offers and may use, for each pair.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn meters(
    reads: &impl Reads,
    pairs: &[(OrganizationId, OfferId)],
) -> Result<HashMap<(OrganizationId, OfferId), MeterRow>, StoreError> {
    let mut meters: HashMap<_, MeterRow> = HashMap::with_capacity(pairs.len());
    if pairs.is_empty() {
        return Ok(meters);
    }
    let backend = reads.backend();
    let mut sheet = Sheet::new(PAIRS);
    for (organization, offer) in pairs {
        sheet.push([organization.uuid().into(), offer.uuid().into()]);
    }
    for row in reads.rows(meters_statement(backend), sheet.into_values(backend)).await? {
        let pair = (row.id("organization_id")?, row.id("offer_id")?);
        let open = if row.maybe_text("month")?.is_some() { Some(open_row(&row)?) } else { None };
        if let Some(known) = meters.get_mut(&pair) {
            known.open.extend(open);
            continue;
        }
        let meter = MeterRow {
            payer: row.maybe_id("payer")?,
            status: row.maybe_text("status")?,
            currency: row.maybe_word("currency")?,
            on: row.flag("metered")?,
            cap: row.int("cap")?,
            month: row.maybe_word("came")?,
            open: open.into_iter().collect(),
        };
        meters.insert(pair, meter);
    }
    Ok(meters)
}

/// A usage event that was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// Its own id.
    pub id: UsageId,
    /// Who used it.
    pub organization: OrganizationId,
    /// What.
    pub offer: OfferId,
    /// Units.
    pub quantity: i64,
    /// When it was used.
    pub at: Timestamp,
    /// The month that it is counted in.
    pub month: Month,
}

pub(crate) fn known_statement(backend: DatabaseBackend) -> &'static str {
    const IDS: Columns = &[("id", Kind::Text)];
    static TEXTS: Texts = [OnceLock::new(), OnceLock::new()];
    text(&TEXTS, backend, || {
        let rows = source(backend, IDS, 1);
        let columns = "u.id, u.organization_id, u.offer_id, u.quantity, u.at, u.month";
        if backend == DatabaseBackend::Postgres {
            let inner = "SELECT * FROM usage_events WHERE id = r.id LIMIT 1";
            format!("SELECT {columns} FROM {rows} CROSS JOIN LATERAL ({inner}) u")
        } else {
            format!("SELECT {columns} FROM {rows} CROSS JOIN usage_events u ON u.id = r.id")
        }
    })
}

/// Those of `ids` that were counted before.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn known<'a>(
    reads: &impl Reads,
    ids: impl Iterator<Item = &'a UsageId>,
) -> Result<HashMap<UsageId, UsageRow>, StoreError> {
    let backend = reads.backend();
    let mut sheet = Sheet::new(&[("id", Kind::Text)]);
    for id in ids {
        sheet.push([id.as_str().into()]);
    }
    let mut known = HashMap::new();
    for row in reads.rows(known_statement(backend), sheet.into_values(backend)).await? {
        let row = usage_row(&row)?;
        known.insert(row.id.clone(), row);
    }
    Ok(known)
}

pub(crate) fn usage_row(row: &QueryResult) -> Result<UsageRow, StoreError> {
    Ok(UsageRow {
        id: row.word("id")?,
        organization: row.id("organization_id")?,
        offer: row.id("offer_id")?,
        quantity: row.int("quantity")?,
        at: from_micros(row.int("at")?),
        month: row.word("month")?,
    })
}

const EVENTS: Columns = &[
    ("batch", Kind::Uuid),
    ("place", Kind::Int),
    ("id", Kind::Text),
    ("organization_id", Kind::Uuid),
    ("offer_id", Kind::Uuid),
    ("quantity", Kind::Int),
    ("at", Kind::Int),
    ("month", Kind::Text),
];

const MONTHS: Columns = &[
    ("organization_id", Kind::Uuid),
    ("offer_id", Kind::Uuid),
    ("month", Kind::Text),
    ("subscription_id", Kind::Uuid),
    ("used", Kind::Int),
    ("late", Kind::Int),
    ("open", Kind::Bool),
];

/// Writes what was counted: the events of each batch in their order, and what they leave of their months.
///
/// # Errors
/// [`StoreError::Conflict`] where another counted one of the events first; else as [`StoreError`] says.
pub async fn count(tx: &Tx, batches: &[(UsageBatchId, Vec<UsageRow>)], months: &[OpenRow]) -> Result<(), StoreError> {
    static TEXTS: [Texts; 2] = [[OnceLock::new(), OnceLock::new()], [OnceLock::new(), OnceLock::new()]];
    let backend = tx.backend();
    let mut events = Sheet::new(EVENTS);
    for (batch, rows) in batches {
        for (place, row) in (0_i64..).zip(rows) {
            events.push([
                batch.uuid().into(),
                place.into(),
                row.id.as_str().into(),
                row.organization.uuid().into(),
                row.offer.uuid().into(),
                row.quantity.into(),
                micros(row.at).into(),
                row.month.to_string().into(),
            ]);
        }
    }
    let mut sums = Sheet::new(MONTHS);
    for row in months {
        sums.push([
            row.organization.uuid().into(),
            row.offer.uuid().into(),
            row.month.to_string().into(),
            row.payer.uuid().into(),
            row.used.into(),
            row.late.into(),
            true.into(),
        ]);
    }
    let [first, second] = &TEXTS;
    let sql = text(first, backend, || insert_statement(backend, "usage_events", EVENTS, "", 1));
    tx.execute(sql, events.into_values(backend)).await?;
    // The organization is held, so what was read of the month still stands there.
    let tail =
        "ON CONFLICT (organization_id, offer_id, month) DO UPDATE SET used = excluded.used, late = excluded.late";
    let sql = text(second, backend, || insert_statement(backend, "usage_months", MONTHS, tail, 1));
    tx.execute(sql, sums.into_values(backend)).await?;
    Ok(())
}

/// Months that the turn charged take no more.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn close(tx: &Tx, months: &[(OrganizationId, OfferId, Month)]) -> Result<(), StoreError> {
    const KEYS: Columns = &[("organization", Kind::Uuid), ("offer", Kind::Uuid), ("month", Kind::Text)];
    static TEXTS: Texts = [OnceLock::new(), OnceLock::new()];
    if months.is_empty() {
        return Ok(());
    }
    let backend = tx.backend();
    let mut sheet = Sheet::new(KEYS);
    for (organization, offer, month) in months {
        sheet.push([organization.uuid().into(), offer.uuid().into(), month.to_string().into()]);
    }
    let sql = text(&TEXTS, backend, || {
        format!(
            "UPDATE usage_months SET open = {no} FROM {} WHERE organization_id = r.organization \
             AND offer_id = r.offer AND usage_months.month = r.month",
            source(backend, KEYS, 1),
            no = if backend == DatabaseBackend::Postgres { "false" } else { "0" },
        )
    });
    tx.execute(sql, sheet.into_values(backend)).await?;
    Ok(())
}

/// Columns of [`open_row`].
pub(crate) const OPEN: &str = "u.organization_id, u.offer_id, u.month, u.subscription_id, u.used, u.late";

/// What an organization used in months that are not billed yet.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn of_organization(reads: &impl Reads, organization: OrganizationId) -> Result<Vec<OpenRow>, StoreError> {
    let sql = format!(
        "SELECT {OPEN} FROM usage_months u WHERE u.organization_id = $1 AND u.open ORDER BY u.offer_id, u.month"
    );
    reads.rows(&sql, vec![organization.uuid().into()]).await?.iter().map(open_row).collect()
}

/// How an organization's payer stands; none without one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn payer_status(reads: &impl Reads, organization: OrganizationId) -> Result<Option<String>, StoreError> {
    let sql = "SELECT s.status FROM links l JOIN subscriptions s ON s.id = l.subscription_id \
         WHERE l.organization_id = $1 AND l.ended_at IS NULL";
    let rows = reads.rows(sql, vec![organization.uuid().into()]).await?;
    rows.first().map(|row| row.text("status")).transpose()
}
