//! The till's statements: lock, load, record. Their number is fixed and their texts do not vary with the batch.

use crate::audit::{BLOCKS, EVENTS};
use crate::row::Row;
use crate::sheet::{Columns, Kind, Sheet, insert_statement, or_nil, source};
use crate::subscriptions::SubscriptionRow;
use crate::usage::OpenRow;
use crate::{Reads, StoreError, Tx};
use kernel::{
    CountryCode, Exact, Id, Month, OfferId, OrganizationId, OrganizationRole, PurchaseId, Slug, SubscriptionId,
    SubscriptionRole, Timestamp, UserId,
};
use sea_orm::{DatabaseBackend, Value};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// What one command of a batch needs to know.
#[derive(Clone, Debug)]
pub struct Ask {
    /// For whom.
    pub organization: OrganizationId,
    /// Who asks.
    pub actor: UserId,
    /// The idempotency key; empty for a question without effect.
    pub key: String,
    /// The subscription that the command names.
    pub chosen: Option<SubscriptionId>,
    /// Whether it is asked what the payer will be billed; of a payer of many organizations that is much to read.
    pub bill: bool,
}

/// An organization.
#[derive(Clone, Debug)]
pub struct OrganizationRow {
    /// Its id.
    pub id: OrganizationId,
    /// Its name in addresses.
    pub slug: Slug,
    /// Its name for people.
    pub name: String,
    /// Where it is.
    pub country: CountryCode,
}

/// An answer that was given under the same key.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// Hash of the request that it answered.
    pub request_hash: Vec<u8>,
    /// The answer, to the byte.
    pub answer: String,
    /// It waits for its payment, so the answer is not yet the last one.
    pub pending: bool,
}

/// What the database knows of one [`Ask`].
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whether the caller is a person known here.
    pub known: bool,
    /// Whether the caller runs the installation.
    pub operator: bool,
    /// The organization, if there is one.
    pub organization: Option<OrganizationRow>,
    /// The caller's role in it.
    pub role: Option<OrganizationRole>,
    /// The live billing link.
    pub link: Option<(SubscriptionId, Timestamp)>,
    /// The linked subscription, or without a link the chosen one, if it exists.
    pub payer: Option<SubscriptionRow>,
    /// The caller's role on that subscription.
    pub payer_role: Option<SubscriptionRole>,
    /// The answer given under the same key.
    pub earlier: Option<Earlier>,
}

/// The facts of a batch, in its order, with what holds for all of it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// One for each ask.
    pub facts: Vec<Facts>,
    /// The catalogue's revision.
    pub catalogue: i64,
    /// The test clock, where one is set.
    pub clock: Option<Timestamp>,
}

/// What an organization has of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntitlementRow {
    /// Whose.
    pub organization: OrganizationId,
    /// Of what.
    pub offer: OfferId,
    /// Paid units of `month`.
    pub committed: i64,
    /// Paid units that the next month will bill.
    pub next: i64,
    /// The month that `accrued` and `charged` are of.
    pub month: Month,
    /// Exact sum of the month's increases.
    pub accrued: Exact,
    /// What of it was charged, minor units.
    pub charged: i64,
    /// Whether an extension is installed.
    pub installed: bool,
    /// Whether metered use is switched on.
    pub metered: bool,
    /// Most metered units a month; 0 for none.
    pub cap: i64,
    /// Rises with every change.
    pub version: i64,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// The purchase that changed it last this month and was not undone; none where nothing did, or a month's turn or a
    /// resumption came after it, so that there is nothing to go back to.
    pub purchase: Option<PurchaseId>,
}

/// How many organizations of a payer will be billed for `next` units of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalRow {
    /// The payer.
    pub subscription: SubscriptionId,
    /// The offer.
    pub offer: OfferId,
    /// Units a organization.
    pub next: i64,
    /// Organizations with that number.
    pub organizations: i64,
}

/// What was charged to a payer and is on no invoice yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnbilledRow {
    /// The payer.
    pub subscription: SubscriptionId,
    /// The month on whose first day it is billed.
    pub bill: Month,
    /// Tax rate in percent; empty for none.
    pub tax_rate: String,
    /// Minor units, before tax.
    pub amount: i64,
}

/// How many organizations of a payer used so much of an offer in a month that is not billed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedRow {
    /// The payer.
    pub subscription: SubscriptionId,
    /// The offer.
    pub offer: OfferId,
    /// The month that it is counted in.
    pub month: Month,
    /// Units an organization.
    pub used: i64,
    /// Organizations with that number.
    pub organizations: i64,
}

/// An offer of an organization that a purchase holds until it is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldRow {
    /// Whose.
    pub organization: OrganizationId,
    /// Which.
    pub offer: OfferId,
    /// By which purchase.
    pub purchase: PurchaseId,
    /// Whether that purchase sets up billing.
    pub links: bool,
}

/// What the organizations of a batch have, and what their payers will be billed.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// Of the organizations asked for.
    pub entitlements: Vec<EntitlementRow>,
    /// Of their payers.
    pub renewals: Vec<RenewalRow>,
    /// Of their payers.
    pub unbilled: Vec<UnbilledRow>,
    /// Metered use of the organizations asked for that is not billed yet.
    pub open: Vec<OpenRow>,
    /// The same of their payers.
    pub used: Vec<UsedRow>,
    /// What pending purchases hold of the organizations asked for.
    pub held: Vec<HeldRow>,
}

const ASKS: Columns =
    &[("organization", Kind::Uuid), ("actor", Kind::Uuid), ("key", Kind::Text), ("chosen", Kind::Uuid)];

/// Locks a batch's organizations and then their payers, each by id. SQLite's one writer needs no more than its
/// transaction. What was read before this must be read again.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn lock(tx: &Tx, asks: &[Ask]) -> Result<(), StoreError> {
    if tx.backend() == DatabaseBackend::Sqlite {
        return Ok(());
    }
    let mut sheet = Sheet::new(&[("organization", Kind::Uuid), ("chosen", Kind::Uuid)]);
    for ask in asks {
        sheet.push([ask.organization.uuid().into(), or_nil(ask.chosen.map(Id::uuid))]);
    }
    tx.query("SELECT till_lock($1::uuid[], $2::uuid[])", sheet.into_values(tx.backend())).await?;
    Ok(())
}

/// The first row of a table that a condition on the set's row finds, as `name`. On PostgreSQL the limit binds the search
/// to its row, whatever the planner believes of the table: a plan that was made while the table was empty is kept, and
/// one that reads the whole table for a batch would be too.
fn found(backend: DatabaseBackend, columns: &str, table: &str, name: &str, condition: &str) -> String {
    if backend == DatabaseBackend::Postgres {
        format!("LEFT JOIN LATERAL (SELECT {columns} FROM {table} {name} WHERE {condition} LIMIT 1) {name} ON true ")
    } else {
        format!("LEFT JOIN {table} {name} ON {condition} ")
    }
}

/// As [`found`], but all rows, and none of the set's row where there is none.
pub(crate) fn each(backend: DatabaseBackend, columns: &str, table: &str, name: &str, condition: &str) -> String {
    if backend == DatabaseBackend::Postgres {
        format!("CROSS JOIN LATERAL (SELECT {columns} FROM {table} {name} WHERE {condition} OFFSET 0) {name} ")
    } else {
        // SQLite keeps the order of a cross join.
        format!("CROSS JOIN {table} {name} ON {condition} ")
    }
}

const LIVE_LINK: &str = "l.organization_id = r.organization AND l.ended_at IS NULL";

pub(crate) fn facts_statement(backend: DatabaseBackend) -> &'static str {
    static TEXT: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
    let [sqlite, postgres] = &TEXT;
    let cell = if backend == DatabaseBackend::Sqlite { sqlite } else { postgres };
    cell.get_or_init(|| {
        let found = |columns, table, name, condition| found(backend, columns, table, name, condition);
        let joins = [
            found("operator", "users", "u", "u.id = r.actor"),
            found("id, slug, name, country", "organizations", "o", "o.id = r.organization"),
            found("role", "members", "m", "m.organization_id = r.organization AND m.user_id = r.actor"),
            found("subscription_id, linked_at", "links", "l", LIVE_LINK),
            found("*", "subscriptions", "s", "s.id = COALESCE(l.subscription_id, r.chosen)"),
            found("role", "subscription_roles", "sr", "sr.subscription_id = s.id AND sr.user_id = r.actor"),
            found("request_hash, answer, state", "purchases", "p", "p.actor_id = r.actor AND p.key = r.key"),
        ];
        format!(
            "SELECT r.n, u.operator, o.id AS organization_id, o.slug, o.name AS organization_name, \
             o.country AS organization_country, m.role AS member_role, l.subscription_id AS linked, l.linked_at, \
             s.id, s.name, s.kind, s.status, s.country, s.currency, s.payment_method, s.payment_token, \
             s.spending_limit, s.marketplace_enabled, s.profile, s.created_at, s.billed_through, s.credit, s.budgeted, s.tax_confirmed, sr.role AS payer_role, p.request_hash, p.answer, p.state, \
             (SELECT value FROM settings WHERE key = 'catalogue') AS catalogue, \
             (SELECT value FROM settings WHERE key = 'clock') AS clock \
             FROM {} {} ORDER BY r.n",
            source(backend, ASKS, 1),
            joins.concat(),
        )
    })
}

/// What the database knows of each ask, in their order.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn facts(reads: &impl Reads, asks: &[Ask]) -> Result<Loaded, StoreError> {
    let mut sheet = Sheet::new(ASKS);
    for ask in asks {
        sheet.push([
            ask.organization.uuid().into(),
            ask.actor.uuid().into(),
            ask.key.as_str().into(),
            or_nil(ask.chosen.map(Id::uuid)),
        ]);
    }
    let backend = reads.backend();
    let rows = reads.rows(facts_statement(backend), sheet.into_values(backend)).await?;
    if rows.len() != asks.len() {
        return Err(StoreError::corrupt(format!("{} rows of facts for {} commands", rows.len(), asks.len())));
    }
    let mut loaded = Loaded { facts: Vec::with_capacity(rows.len()), catalogue: 0, clock: None };
    for row in rows {
        let operator: Option<bool> =
            row.try_get("", "operator").map_err(|e| StoreError::corrupt(format!("operator: {e}")))?;
        let organization = match row.maybe_id("organization_id")? {
            None => None,
            Some(id) => Some(OrganizationRow {
                id,
                slug: row.word("slug")?,
                name: row.text("organization_name")?,
                country: row.word("organization_country")?,
            }),
        };
        let payer = match row.maybe_id::<SubscriptionId>("id")? {
            None => None,
            Some(_) => Some(SubscriptionRow::read(&row)?),
        };
        let link = match row.maybe_id("linked")? {
            None => None,
            Some(id) => Some((id, row.instant("linked_at")?)),
        };
        let earlier = match row.maybe_text("answer")? {
            None => None,
            Some(answer) => {
                let pending = row.text("state")? == "pending";
                Some(Earlier { request_hash: row.bytes("request_hash")?, answer, pending })
            }
        };
        loaded.catalogue = row.maybe_word("catalogue")?.unwrap_or(0);
        loaded.clock = row.maybe_word::<i64>("clock")?.map(kernel::from_micros);
        loaded.facts.push(Facts {
            known: operator.is_some(),
            operator: operator.unwrap_or(false),
            organization,
            role: row.maybe_word("member_role")?,
            link,
            payer,
            payer_role: row.maybe_word("payer_role")?,
            earlier,
        });
    }
    Ok(loaded)
}

/// The organizations billed to a payer `p`.
const LINKED: &str = "l.subscription_id = p.id AND l.ended_at IS NULL";

const HELD: Columns = &[("organization", Kind::Uuid), ("chosen", Kind::Uuid), ("bill", Kind::Bool)];

pub(crate) fn holdings_statement(backend: DatabaseBackend) -> &'static str {
    static TEXT: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
    let [sqlite, postgres] = &TEXT;
    let cell = if backend == DatabaseBackend::Sqlite { sqlite } else { postgres };
    cell.get_or_init(|| {
        let rows = source(backend, HELD, 1);
        let linked = found(backend, "subscription_id", "links", "l", LIVE_LINK);
        let held = each(backend, "*", "entitlements", "e", "e.organization_id = r.organization");
        let renewed = renewed(backend);
        let unbilled = each(backend, "*", "unbilled", "u", "u.subscription_id = p.id");
        let open = each(backend, "*", "usage_months", "u", "u.organization_id = r.organization AND u.open");
        let used = each(backend, "*", "usage_months", "u", "u.subscription_id = p.id AND u.open");
        let kept = each(backend, "*", "held_offers", "h", "h.organization_id = r.organization");
        let words = |id: &str| {
            if backend == DatabaseBackend::Sqlite { format!("hex({id})") } else { format!("{id}::text") }
        };
        let (payer, latest) = (words("u.subscription_id"), words("e.purchase_id"));
        let purchase = words("h.purchase_id");
        format!(
            "WITH payer AS (SELECT DISTINCT COALESCE(l.subscription_id, r.chosen) AS id FROM {rows} {linked} WHERE r.bill) \
             SELECT 0 AS part, e.organization_id AS owner, e.offer_id AS offer, e.committed AS a, e.next AS b, \
                e.charged AS c, e.cap AS d, e.version AS version, e.changed_at AS at, \
                CASE WHEN e.installed THEN 1 ELSE 0 END + CASE WHEN e.metered THEN 2 ELSE 0 END AS flags, \
                e.month AS month, e.accrued AS words, {latest} AS latest \
             FROM {rows} {held} \
             UNION ALL \
             {renewed} \
             UNION ALL \
             SELECT 2, u.subscription_id, u.subscription_id, u.amount, 0, 0, 0, 0, 0, 0, u.month, u.tax_rate, '' \
             FROM payer p {unbilled} \
             UNION ALL \
             SELECT 3, u.organization_id, u.offer_id, u.used, u.late, 0, 0, 0, 0, 0, u.month, {payer}, '' FROM {rows} {open} \
             UNION ALL \
             SELECT 4, p.id, u.offer_id, u.used, COUNT(*), 0, 0, 0, 0, 0, u.month, '', '' \
             FROM payer p {used} \
             GROUP BY p.id, u.offer_id, u.used, u.month \
             UNION ALL \
             SELECT 5, h.organization_id, h.offer_id, 0, 0, 0, 0, 0, 0, CASE WHEN h.links THEN 1 ELSE 0 END, h.month, \
                {purchase}, '' FROM {rows} {kept}"
        )
    })
}

/// How many organizations of each payer `p` will be billed for how much: SQLite keeps it (`renewals`), on PostgreSQL it is
/// added up.
fn renewed(backend: DatabaseBackend) -> String {
    if backend == DatabaseBackend::Sqlite {
        return "SELECT 1, k.subscription_id, k.offer_id, k.next, k.organizations, 0, 0, 0, 0, 0, '', '', '' \
             FROM payer p CROSS JOIN renewals k ON k.subscription_id = p.id"
            .to_owned();
    }
    let links = each(backend, "organization_id", "links", "l", LINKED);
    let next = "e.organization_id = l.organization_id AND e.next > 0";
    let renewed = each(backend, "offer_id, next", "entitlements", "e", next);
    format!(
        "SELECT 1, p.id, e.offer_id, e.next, COUNT(*), 0, 0, 0, 0, 0, '', '', '' FROM payer p {links} {renewed} \
         GROUP BY p.id, e.offer_id, e.next"
    )
}

/// What the organizations of `asks` have, and what their payers (linked, else chosen) will be billed where that is asked.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn holdings(reads: &impl Reads, asks: &[Ask]) -> Result<Holdings, StoreError> {
    let mut pairs: Vec<_> = asks.iter().map(|ask| (ask.organization, ask.chosen, ask.bill)).collect();
    pairs.sort_unstable();
    // An organization whose commands name different payers stands once a payer; its own rows are told apart below.
    pairs.dedup();
    let mut sheet = Sheet::new(HELD);
    for (organization, chosen, bill) in pairs {
        sheet.push([organization.uuid().into(), or_nil(chosen.map(Id::uuid)), bill.into()]);
    }
    let backend = reads.backend();
    let mut holdings = Holdings::default();
    for row in reads.rows(holdings_statement(backend), sheet.into_values(backend)).await? {
        let part: i32 = row.try_get("", "part").map_err(|e| StoreError::corrupt(format!("part: {e}")))?;
        match part {
            0 => {
                let flags: i32 = row.try_get("", "flags").map_err(|e| StoreError::corrupt(format!("flags: {e}")))?;
                holdings.entitlements.push(EntitlementRow {
                    organization: row.id("owner")?,
                    offer: row.id("offer")?,
                    committed: row.int("a")?,
                    next: row.int("b")?,
                    charged: row.int("c")?,
                    cap: row.int("d")?,
                    version: row.int("version")?,
                    changed_at: row.instant("at")?,
                    installed: flags & 1 != 0,
                    metered: flags & 2 != 0,
                    month: row.word("month")?,
                    accrued: row.word("words")?,
                    purchase: latest(&row.text("latest")?)?,
                });
            }
            1 => holdings.renewals.push(RenewalRow {
                subscription: row.id("owner")?,
                offer: row.id("offer")?,
                next: row.int("a")?,
                organizations: row.int("b")?,
            }),
            2 => holdings.unbilled.push(UnbilledRow {
                subscription: row.id("owner")?,
                bill: row.word("month")?,
                tax_rate: row.text("words")?,
                amount: row.int("a")?,
            }),
            3 => holdings.open.push(OpenRow {
                organization: row.id("owner")?,
                offer: row.id("offer")?,
                month: row.word("month")?,
                payer: id_in(&row.text("words")?)?,
                used: row.int("a")?,
                late: row.int("b")?,
            }),
            4 => holdings.used.push(UsedRow {
                subscription: row.id("owner")?,
                offer: row.id("offer")?,
                month: row.word("month")?,
                used: row.int("a")?,
                organizations: row.int("b")?,
            }),
            _ => {
                let flags: i32 = row.try_get("", "flags").map_err(|e| StoreError::corrupt(format!("flags: {e}")))?;
                holdings.held.push(HeldRow {
                    organization: row.id("owner")?,
                    offer: row.id("offer")?,
                    purchase: id_in(&row.text("words")?)?,
                    links: flags & 1 != 0,
                });
            }
        }
    }
    Ok(holdings)
}

/// An id that stands among words.
fn id_in<I: Id>(words: &str) -> Result<I, StoreError> {
    uuid::Uuid::parse_str(words).map(I::from_uuid).map_err(|e| StoreError::corrupt(format!("an id among words: {e}")))
}

/// The purchase that an entitlement was changed by, as it stands among words; nil is none.
fn latest(words: &str) -> Result<Option<PurchaseId>, StoreError> {
    let id = uuid::Uuid::parse_str(words).map_err(|e| StoreError::corrupt(format!("entitlements.purchase_id: {e}")))?;
    Ok((!id.is_nil()).then(|| PurchaseId::from_uuid(id)))
}

/// What a batch writes, table by table.
#[derive(Clone, Debug)]
pub struct Record {
    /// New payers.
    pub subscriptions: Sheet,
    /// Their owners.
    pub roles: Sheet,
    /// New billing links.
    pub links: Sheet,
    /// What organizations have after the batch, one row each.
    pub entitlements: Sheet,
    /// Purchases with their answers.
    pub purchases: Sheet,
    /// Charges.
    pub charges: Sheet,
    /// Ledger postings.
    pub transfers: Sheet,
    /// What is added to the payers' unbilled sums.
    pub unbilled: Sheet,
    /// Events.
    pub events: Sheet,
    /// Their block.
    pub blocks: Sheet,
    /// What is charged to payers that have budgets, by payer, organization and month of service.
    pub budgeted: BTreeMap<(SubscriptionId, OrganizationId, Month), i64>,
    /// Months of metered use that were charged and take no more.
    pub closed: Vec<(OrganizationId, OfferId, Month)>,
    /// Purchases that were undone.
    pub undone: Vec<crate::undo::UndoneRow>,
}

/// Columns of the ledger's rows.
pub(crate) const TRANSFERS: Columns = &[
    ("fact", Kind::Uuid),
    ("leg", Kind::Int),
    ("debit", Kind::Text),
    ("credit", Kind::Text),
    ("amount", Kind::Int),
    ("currency", Kind::Text),
    ("at", Kind::Int),
];

struct Table {
    name: &'static str,
    columns: Columns,
    tail: &'static str,
}

const TABLES: [Table; 10] = [
    Table { name: "subscriptions", columns: crate::subscriptions::COLUMNS, tail: "" },
    Table { name: "subscription_roles", columns: crate::subscriptions::ROLES, tail: "" },
    Table {
        name: "links",
        columns: &[
            ("id", Kind::Uuid),
            ("organization_id", Kind::Uuid),
            ("subscription_id", Kind::Uuid),
            ("linked_by", Kind::Text),
            ("linked_at", Kind::Int),
        ],
        tail: "",
    },
    Table {
        name: "entitlements",
        columns: &[
            ("organization_id", Kind::Uuid),
            ("offer_id", Kind::Uuid),
            ("committed", Kind::Int),
            ("next", Kind::Int),
            ("month", Kind::Text),
            ("accrued", Kind::Text),
            ("charged", Kind::Int),
            ("installed", Kind::Bool),
            ("metered", Kind::Bool),
            ("cap", Kind::Int),
            ("version", Kind::Int),
            ("changed_at", Kind::Int),
            ("purchase_id", Kind::Uuid),
        ],
        // The organization is locked; the guard on the version is what would show a fault of ours.
        tail: "ON CONFLICT (organization_id, offer_id) DO UPDATE SET committed = excluded.committed, \
               next = excluded.next, month = excluded.month, accrued = excluded.accrued, charged = excluded.charged, \
               installed = excluded.installed, metered = excluded.metered, cap = excluded.cap, \
               version = excluded.version, changed_at = excluded.changed_at, \
               purchase_id = excluded.purchase_id \
               WHERE entitlements.version < excluded.version",
    },
    Table {
        name: "purchases",
        columns: &[
            ("id", Kind::Uuid),
            ("organization_id", Kind::Uuid),
            ("subscription_id", Kind::Uuid),
            ("actor_id", Kind::Uuid),
            ("key", Kind::Text),
            ("request_hash", Kind::Bytes),
            ("state", Kind::Text),
            ("answer", Kind::Text),
            ("at", Kind::Int),
            ("found", Kind::Text),
        ],
        tail: "",
    },
    Table {
        name: "charges",
        columns: &[
            ("id", Kind::Uuid),
            ("purchase_id", Kind::Uuid),
            ("subscription_id", Kind::Uuid),
            ("organization_id", Kind::Uuid),
            ("offer_id", Kind::Uuid),
            ("amount", Kind::Int),
            ("currency", Kind::Text),
            ("month", Kind::Text),
            ("tax_rate", Kind::Text),
            ("basis", Kind::Text),
            ("bill", Kind::Text),
            ("at", Kind::Int),
        ],
        tail: "",
    },
    Table { name: "transfers", columns: TRANSFERS, tail: "" },
    Table {
        name: "unbilled",
        columns: &[
            ("subscription_id", Kind::Uuid),
            ("month", Kind::Text),
            ("tax_rate", Kind::Text),
            ("amount", Kind::Int),
        ],
        tail: "ON CONFLICT (subscription_id, month, tax_rate) DO UPDATE SET amount = unbilled.amount + excluded.amount",
    },
    Table { name: "blocks", columns: BLOCKS, tail: "" },
    Table { name: "events", columns: EVENTS, tail: "" },
];

/// Place of the table whose rows are counted after the write.
const ENTITLEMENTS: usize = 3;

impl Default for Record {
    /// Nothing to write.
    fn default() -> Self {
        let [s, r, l, e, p, c, t, u, blocks, events] = TABLES.map(|table| Sheet::new(table.columns));
        Self {
            subscriptions: s,
            roles: r,
            links: l,
            entitlements: e,
            purchases: p,
            charges: c,
            transfers: t,
            unbilled: u,
            events,
            blocks,
            budgeted: BTreeMap::new(),
            closed: Vec::new(),
            undone: Vec::new(),
        }
    }
}

impl Record {
    fn into_sheets(self) -> [Sheet; 10] {
        [
            self.subscriptions,
            self.roles,
            self.links,
            self.entitlements,
            self.purchases,
            self.charges,
            self.transfers,
            self.unbilled,
            self.blocks,
            self.events,
        ]
    }
}

/// On PostgreSQL one statement with a part a table; on SQLite a statement a table, all in one text: what is sent at once
/// need not be waited for nine times. Either answers with the entitlements written.
pub(crate) fn record_statement(backend: DatabaseBackend) -> &'static str {
    static TEXT: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
    let [sqlite, postgres] = &TEXT;
    let cell = if backend == DatabaseBackend::Sqlite { sqlite } else { postgres };
    cell.get_or_init(|| {
        let mut first = 1;
        let mut parts = Vec::new();
        for (place, table) in TABLES.iter().enumerate() {
            let counted = if place == ENTITLEMENTS { " RETURNING 1" } else { "" };
            let insert = insert_statement(backend, table.name, table.columns, table.tail, first) + counted;
            if backend == DatabaseBackend::Sqlite {
                first += 1;
                parts.push(insert);
            } else {
                first += table.columns.len();
                parts.push(format!("w{place} AS ({insert})"));
            }
        }
        if backend == DatabaseBackend::Sqlite {
            parts.join(";\n")
        } else {
            format!("WITH {} SELECT 1 FROM w{ENTITLEMENTS}", parts.join(", "))
        }
    })
}

/// Writes a batch.
///
/// # Errors
/// [`StoreError::Conflict`] where a fact was written by another first; else as [`StoreError`] says.
pub async fn record(tx: &Tx, mut record: Record) -> Result<(), StoreError> {
    let (backend, expected) = (tx.backend(), record.entitlements.len());
    crate::usage::close(tx, &record.closed).await?;
    crate::budgets::charge(tx, &record.budgeted).await?;
    let undone = std::mem::take(&mut record.undone);
    let values: Vec<Value> = record.into_sheets().into_iter().flat_map(|s| s.into_values(backend)).collect();
    let written = tx.query(record_statement(backend), values).await?;
    if written.len() != expected {
        return Err(StoreError::Conflict("an entitlement was changed by another".into()));
    }
    // After the entitlements, so that nothing is renewed by a payer whose link ends.
    crate::undo::write(tx, &undone).await
}
