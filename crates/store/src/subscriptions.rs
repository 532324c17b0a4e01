//! Payers, their role holders, and who is billed to whom.

use crate::row::Row;
use crate::search::{end, like, rare};
use crate::sheet::{Columns, Kind, Sheet, source};
use crate::{Reads, StoreError, Tx};
use kernel::{
    CountryCode, Currency, Id, LinkId, Month, OrganizationId, SubscriptionId, SubscriptionRole, Timestamp, UserId,
    micros,
};
use sea_orm::{QueryResult, Value};

pub(crate) const COLUMNS: Columns = &[
    ("id", Kind::Uuid),
    ("name", Kind::Text),
    ("kind", Kind::Text),
    ("status", Kind::Text),
    ("country", Kind::Text),
    ("currency", Kind::Text),
    ("payment_method", Kind::Text),
    ("payment_token", Kind::Text),
    ("spending_limit", Kind::Bool),
    ("marketplace_enabled", Kind::Bool),
    ("profile", Kind::Text),
    ("seed_key", Kind::Text),
    ("created_by", Kind::Text),
    ("created_at", Kind::Int),
];

pub(crate) const ROLES: Columns = &[("subscription_id", Kind::Uuid), ("user_id", Kind::Uuid), ("role", Kind::Text)];

/// A payer as it is stored; what its words mean is `billing`'s to say.
#[derive(Clone, Debug)]
pub struct SubscriptionRow {
    /// Its id.
    pub id: SubscriptionId,
    /// Its name for people.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its status.
    pub status: String,
    /// Where the payer is.
    pub country: CountryCode,
    /// Its one currency.
    pub currency: Currency,
    /// `invoice` or `card`.
    pub payment_method: String,
    /// The provider's token of the card; empty for none.
    pub payment_token: String,
    /// Whether the kind's spending limit is on.
    pub spending_limit: bool,
    /// Whether partner items are allowed to it.
    pub marketplace_enabled: bool,
    /// Billing address and the like, JSON; personal.
    pub profile: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The last month that it was billed for.
    pub billed_through: Option<Month>,
    /// What it paid too much or was granted, and no invoice used yet, minor units.
    pub credit: i64,
    /// Whether it has a budget, its own or one of an organization billed to it.
    pub budgeted: bool,
    /// Whether its VAT number is confirmed.
    pub tax_confirmed: bool,
}

/// The columns that [`SubscriptionRow::read`] reads, of a table named `s`.
const SELECT: &str = "s.id, s.name, s.kind, s.status, s.country, s.currency, s.payment_method, s.payment_token, \
     s.spending_limit, s.marketplace_enabled, s.profile, s.created_at, s.billed_through, s.credit, s.budgeted, s.tax_confirmed";

impl SubscriptionRow {
    /// Reads a row.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a column cannot be read.
    pub fn read(row: &QueryResult) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id")?,
            name: row.text("name")?,
            kind: row.text("kind")?,
            status: row.text("status")?,
            country: row.word("country")?,
            currency: row.word("currency")?,
            payment_method: row.text("payment_method")?,
            payment_token: row.text("payment_token")?,
            spending_limit: row.flag("spending_limit")?,
            marketplace_enabled: row.flag("marketplace_enabled")?,
            profile: row.text("profile")?,
            created_at: row.instant("created_at")?,
            billed_through: Some(row.text("billed_through")?)
                .filter(|text| !text.is_empty())
                .map(|text| text.parse().map_err(|fault| StoreError::corrupt(format!("billed_through: {fault}"))))
                .transpose()?,
            credit: row.int("credit")?,
            budgeted: row.flag("budgeted")?,
            tax_confirmed: row.flag("tax_confirmed")?,
        })
    }

    /// The cells of its row, in the order of the table's columns.
    #[must_use]
    pub fn cells(&self, seed_key: &str, created_by: &str) -> [Value; 14] {
        [
            self.id.uuid().into(),
            self.name.as_str().into(),
            self.kind.as_str().into(),
            self.status.as_str().into(),
            self.country.as_str().into(),
            self.currency.code().into(),
            self.payment_method.as_str().into(),
            self.payment_token.as_str().into(),
            self.spending_limit.into(),
            self.marketplace_enabled.into(),
            self.profile.as_str().into(),
            seed_key.into(),
            created_by.into(),
            micros(self.created_at).into(),
        ]
    }
}

/// Writes a new payer.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn insert(tx: &Tx, row: &SubscriptionRow, seed_key: &str, created_by: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO subscriptions (id, name, kind, status, country, currency, payment_method, payment_token, \
         spending_limit, marketplace_enabled, profile, seed_key, created_by, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        row.cells(seed_key, created_by).to_vec(),
    )
    .await?;
    Ok(())
}

/// Changes a payer's name and profile.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn update(tx: &Tx, id: SubscriptionId, name: &str, profile: &str) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE subscriptions SET name = $2, profile = $3 WHERE id = $1",
        vec![id.uuid().into(), name.into(), profile.into()],
    )
    .await?;
    Ok(())
}

/// The payer that a seed file names `key`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn by_seed_key(reads: &impl Reads, key: &str) -> Result<Option<SubscriptionId>, StoreError> {
    let rows = reads.rows("SELECT id FROM subscriptions WHERE seed_key = $1", vec![key.into()]).await?;
    rows.first().map(|row| row.id("id")).transpose()
}

/// A payer with the role that `user` has on it.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn find(
    reads: &impl Reads,
    id: SubscriptionId,
    user: Option<UserId>,
) -> Result<Option<(SubscriptionRow, Option<SubscriptionRole>)>, StoreError> {
    let sql = format!(
        "SELECT {SELECT}, sr.role FROM subscriptions s \
         LEFT JOIN subscription_roles sr ON sr.subscription_id = s.id AND sr.user_id = $2 WHERE s.id = $1"
    );
    let user = user.map_or(uuid::Uuid::nil(), Id::uuid);
    let rows = reads.rows(&sql, vec![id.uuid().into(), user.into()]).await?;
    rows.first().map(|row| Ok((SubscriptionRow::read(row)?, row.maybe_word("role")?))).transpose()
}

/// Payers that `user` has a role on (all of them for none), whose name holds `q`, after an id, by id.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn visible(
    reads: &impl Reads,
    user: Option<UserId>,
    q: &str,
    after: Option<SubscriptionId>,
    limit: i64,
) -> Result<Vec<(SubscriptionRow, Option<SubscriptionRole>)>, StoreError> {
    let mut values: Vec<Value> =
        vec![after.map_or(uuid::Uuid::nil(), Id::uuid).into(), like(reads.backend(), q).into(), limit.into()];
    let sql = match user {
        Some(user) => {
            values.push(user.uuid().into());
            format!(
                "SELECT {SELECT}, sr.role FROM subscription_roles sr JOIN subscriptions s ON s.id = sr.subscription_id \
                 WHERE sr.user_id = $4 AND s.id > $1 AND LOWER(s.name) LIKE $2 ESCAPE '!' ORDER BY s.id LIMIT $3"
            )
        }
        None => format!(
            "SELECT {SELECT}, NULL AS role FROM subscriptions s \
             WHERE s.id > $1 AND LOWER(s.name) LIKE $2 ESCAPE '!' ORDER BY s.id LIMIT $3"
        ),
    };
    let rows = reads.rows(&sql, values).await?;
    rows.iter()
        .map(|row| {
            let role = if user.is_some() { row.maybe_word("role")? } else { None };
            Ok((SubscriptionRow::read(row)?, role))
        })
        .collect()
}

/// A person with a role.
#[derive(Clone, Debug)]
pub struct Holder<R> {
    /// Who.
    pub user: UserId,
    /// Name for people.
    pub name: String,
    /// Address.
    pub email: String,
    /// Role.
    pub role: R,
}

/// Role holders of a payer, by name; at most `limit`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn holders(
    reads: &impl Reads,
    id: SubscriptionId,
    limit: i64,
) -> Result<Vec<Holder<SubscriptionRole>>, StoreError> {
    let rows = reads
        .rows(
            "SELECT u.id, u.name, u.email, sr.role FROM subscription_roles sr JOIN users u ON u.id = sr.user_id \
             WHERE sr.subscription_id = $1 ORDER BY u.name, u.id LIMIT $2",
            vec![id.uuid().into(), limit.into()],
        )
        .await?;
    rows.iter()
        .map(|r| {
            Ok(Holder { user: r.id("id")?, name: r.text("name")?, email: r.text("email")?, role: r.word("role")? })
        })
        .collect()
}

/// Gives `user` a role, instead of the one held.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn set_role(tx: &Tx, id: SubscriptionId, user: UserId, role: SubscriptionRole) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO subscription_roles (subscription_id, user_id, role) VALUES ($1, $2, $3) \
         ON CONFLICT (subscription_id, user_id) DO UPDATE SET role = excluded.role",
        vec![id.uuid().into(), user.uuid().into(), role.as_str().into()],
    )
    .await?;
    Ok(())
}

/// Takes a role away; whether there was one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn remove_role(tx: &Tx, id: SubscriptionId, user: UserId) -> Result<bool, StoreError> {
    let touched = tx
        .execute(
            "DELETE FROM subscription_roles WHERE subscription_id = $1 AND user_id = $2",
            vec![id.uuid().into(), user.uuid().into()],
        )
        .await?;
    Ok(touched > 0)
}

/// A live billing link.
#[derive(Clone, Debug)]
pub struct LinkRow {
    /// Who pays.
    pub subscription: SubscriptionId,
    /// Who made it.
    pub linked_by: String,
    /// When.
    pub linked_at: Timestamp,
}

/// The live link of an organization.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn link(reads: &impl Reads, organization: OrganizationId) -> Result<Option<LinkRow>, StoreError> {
    let rows = reads
        .rows(
            "SELECT subscription_id, linked_by, linked_at FROM links WHERE organization_id = $1 AND ended_at IS NULL",
            vec![organization.uuid().into()],
        )
        .await?;
    rows.first()
        .map(|row| {
            Ok(LinkRow {
                subscription: row.id("subscription_id")?,
                linked_by: row.text("linked_by")?,
                linked_at: row.instant("linked_at")?,
            })
        })
        .transpose()
}

/// Organizations billed to a payer, by id, after one: id, slug, name.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn billed_to(
    reads: &impl Reads,
    id: SubscriptionId,
    after: Option<OrganizationId>,
    limit: i64,
) -> Result<Vec<(OrganizationId, String, String)>, StoreError> {
    let rows = reads
        .rows(
            "SELECT o.id, o.slug, o.name FROM links l JOIN organizations o ON o.id = l.organization_id \
             WHERE l.subscription_id = $1 AND l.ended_at IS NULL AND l.organization_id > $2 \
             ORDER BY l.organization_id LIMIT $3",
            vec![id.uuid().into(), after.map_or(uuid::Uuid::nil(), Id::uuid).into(), limit.into()],
        )
        .await?;
    rows.iter().map(|r| Ok((r.id("id")?, r.text("slug")?, r.text("name")?))).collect()
}

/// Changes everything of a payer but its currency, which is for good, and its profile.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn restate(tx: &Tx, row: &SubscriptionRow) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE subscriptions SET name = $2, kind = $3, status = $4, country = $5, payment_method = $6, \
         payment_token = $7, spending_limit = $8, marketplace_enabled = $9 WHERE id = $1",
        vec![
            row.id.uuid().into(),
            row.name.as_str().into(),
            row.kind.as_str().into(),
            row.status.as_str().into(),
            row.country.as_str().into(),
            row.payment_method.as_str().into(),
            row.payment_token.as_str().into(),
            row.spending_limit.into(),
            row.marketplace_enabled.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Makes a live link; a conflict where the organization has one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn insert_link(
    tx: &Tx,
    id: LinkId,
    organization: OrganizationId,
    subscription: SubscriptionId,
    linked_by: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO links (id, organization_id, subscription_id, linked_by, linked_at) VALUES ($1, $2, $3, $4, $5)",
        vec![
            id.uuid().into(),
            organization.uuid().into(),
            subscription.uuid().into(),
            linked_by.into(),
            micros(at).into(),
        ],
    )
    .await?;
    Ok(())
}

/// Holds payers to the end of the transaction, in the order of their ids; those that there are.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn hold_all(tx: &Tx, ids: &[SubscriptionId]) -> Result<Vec<SubscriptionRow>, StoreError> {
    const IDS: Columns = &[("id", Kind::Uuid)];
    let mut sheet = Sheet::new(IDS);
    for id in ids {
        sheet.push([id.uuid().into()]);
    }
    let (set, lock) = (source(tx.backend(), IDS, 1), crate::db::row_lock(tx.backend()));
    let sql =
        format!("SELECT {SELECT} FROM subscriptions s WHERE s.id IN (SELECT r.id FROM {set}) ORDER BY s.id{lock}");
    tx.query(&sql, sheet.into_values(tx.backend())).await?.iter().map(SubscriptionRow::read).collect()
}

/// Holds a payer until the transaction ends, so that who looks at its roles and changes them meets nobody; whether
/// there is such a payer.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn hold(tx: &Tx, id: SubscriptionId) -> Result<bool, StoreError> {
    let lock = crate::db::row_lock(tx.backend());
    let sql = format!("SELECT id FROM subscriptions WHERE id = $1{lock}");
    Ok(tx.query_one(&sql, vec![id.uuid().into()]).await?.is_some())
}

/// How many people hold a role on a payer.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn count_holders(reads: &impl Reads, id: SubscriptionId, role: SubscriptionRole) -> Result<i64, StoreError> {
    let rows = reads
        .rows(
            "SELECT COUNT(*) AS holders FROM subscription_roles WHERE subscription_id = $1 AND role = $2",
            vec![id.uuid().into(), role.as_str().into()],
        )
        .await?;
    rows.first().map_or(Ok(0), |row| row.int("holders"))
}

/// All payers, with the role that `user` has on each; name holding `q`, after an id, by id.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn every(
    reads: &impl Reads,
    user: UserId,
    q: &str,
    after: Option<SubscriptionId>,
    limit: i64,
) -> Result<Vec<(SubscriptionRow, Option<SubscriptionRole>)>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), Id::uuid);
    let mut values: Vec<Value> = vec![after.into(), like(reads.backend(), q).into(), limit.into(), user.uuid().into()];
    let few = match rare(reads, "subscription_grams", q).await? {
        None => "",
        Some(part) => {
            values.extend([end(&part).into(), part.into()]);
            "AND s.id IN (SELECT id FROM subscription_grams WHERE gram >= $6 AND gram < $5)"
        }
    };
    let sql = format!(
        "SELECT {SELECT}, sr.role FROM subscriptions s \
         LEFT JOIN subscription_roles sr ON sr.subscription_id = s.id AND sr.user_id = $4 \
         WHERE s.id > $1 AND LOWER(s.name) LIKE $2 ESCAPE '!' {few} ORDER BY s.id LIMIT $3"
    );
    let rows = reads.rows(&sql, values).await?;
    rows.iter().map(|row| Ok((SubscriptionRow::read(row)?, row.maybe_word("role")?))).collect()
}
