//! Organizations and their members.

use crate::row::Row;
use crate::search;
use crate::subscriptions::Holder;
use crate::till::OrganizationRow;
use crate::{Reads, StoreError, Tx};
use kernel::{
    AccessLevel, Id, OrganizationId, OrganizationRole, Slug, SubscriptionId, SubscriptionRole, Timestamp, UserId,
    micros,
};
use sea_orm::{QueryResult, Value};

fn organization(row: &QueryResult) -> Result<OrganizationRow, StoreError> {
    Ok(OrganizationRow {
        id: row.id("id")?,
        slug: row.word("slug")?,
        name: row.text("name")?,
        country: row.word("country")?,
    })
}

/// An organization with what ties one person to it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The organization.
    pub organization: OrganizationRow,
    /// The person's role in it.
    pub role: Option<OrganizationRole>,
    /// The person's access level in it.
    pub access: Option<AccessLevel>,
    /// The person's role on the subscription it is billed to.
    pub payer_role: Option<SubscriptionRole>,
    /// The subscription it is billed to; none before billing is set up.
    pub linked: Option<SubscriptionId>,
}

const STANDING: &str = "SELECT o.id, o.slug, o.name, o.country, m.role, m.access, sr.role AS payer_role, \
     l.subscription_id AS linked \
     FROM organizations o \
     LEFT JOIN members m ON m.organization_id = o.id AND m.user_id = $1 \
     LEFT JOIN links l ON l.organization_id = o.id AND l.ended_at IS NULL \
     LEFT JOIN subscription_roles sr ON sr.subscription_id = l.subscription_id AND sr.user_id = $1";

fn standing(row: &QueryResult) -> Result<Standing, StoreError> {
    Ok(Standing {
        organization: organization(row)?,
        role: row.maybe_word("role")?,
        access: row.maybe_word("access")?,
        payer_role: row.maybe_word("payer_role")?,
        linked: row.maybe_id("linked")?,
    })
}

/// The id of the organization with this slug.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn id_of(reads: &impl Reads, slug: &Slug) -> Result<Option<OrganizationId>, StoreError> {
    let rows = reads.rows("SELECT id FROM organizations WHERE slug = $1", vec![slug.as_str().into()]).await?;
    rows.first().map(|row| row.id("id")).transpose()
}

/// An organization and what ties `user` to it.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn find(
    reads: &impl Reads,
    id: OrganizationId,
    user: Option<UserId>,
) -> Result<Option<Standing>, StoreError> {
    let user = user.map_or(uuid::Uuid::nil(), Id::uuid);
    let rows = reads.rows(&format!("{STANDING} WHERE o.id = $2"), vec![user.into(), id.uuid().into()]).await?;
    rows.first().map(standing).transpose()
}

/// Organizations that `user` is a member of or holds a role on the payer of, or all; name or slug holding `q`,
/// by id.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn visible(
    reads: &impl Reads,
    user: Option<UserId>,
    all: bool,
    q: &str,
    after: Option<OrganizationId>,
    limit: i64,
) -> Result<Vec<Standing>, StoreError> {
    let nil = uuid::Uuid::nil();
    let mut values: Vec<Value> =
        vec![user.map_or(nil, Id::uuid).into(), after.map_or(nil, Id::uuid).into(), limit.into()];
    let rare = search::rare(reads, "organization_grams", q).await?;
    let mine = if all {
        ""
    } else if q.is_empty() {
        // Without a search as many of a payer's as the page holds are enough, however many it has.
        "o.id IN (SELECT organization_id FROM members WHERE user_id = $1 UNION ALL \
            SELECT x.id FROM (SELECT k.organization_id AS id FROM subscription_roles h \
            JOIN links k ON k.subscription_id = h.subscription_id WHERE h.user_id = $1 AND k.ended_at IS NULL \
            AND k.organization_id > $2 ORDER BY k.organization_id LIMIT $3) x) AND"
    } else if rare.is_some() {
        // Of few it is looked whether they are to be seen, and not which of all are.
        "(m.role IS NOT NULL OR sr.role IS NOT NULL) AND"
    } else {
        "o.id IN (SELECT organization_id FROM members WHERE user_id = $1 UNION \
            SELECT k.organization_id FROM subscription_roles h JOIN links k ON k.subscription_id = h.subscription_id \
            WHERE h.user_id = $1 AND k.ended_at IS NULL) AND"
    };
    let found = if q.is_empty() {
        ""
    } else {
        values.push(search::like(reads.backend(), q).into());
        "AND (LOWER(o.name) LIKE $4 ESCAPE '!' OR o.slug LIKE $4 ESCAPE '!')"
    };
    let few = match rare {
        None => "",
        Some(part) => {
            values.extend([search::end(&part).into(), part.into()]);
            "AND o.id IN (SELECT id FROM organization_grams WHERE gram >= $6 AND gram < $5)"
        }
    };
    let sql = format!("{STANDING} WHERE {mine} o.id > $2 {found} {few} ORDER BY o.id LIMIT $3");
    reads.rows(&sql, values).await?.iter().map(standing).collect()
}

/// Whether there is any organization.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn any(reads: &impl Reads) -> Result<bool, StoreError> {
    Ok(!reads.rows("SELECT id FROM organizations LIMIT 1", vec![]).await?.is_empty())
}

/// Writes a new organization.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn insert(tx: &Tx, row: &OrganizationRow, at: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO organizations (id, slug, name, country, created_at) VALUES ($1, $2, $3, $4, $5)",
        vec![
            row.id.uuid().into(),
            row.slug.as_str().into(),
            row.name.as_str().into(),
            row.country.as_str().into(),
            micros(at).into(),
        ],
    )
    .await?;
    Ok(())
}

/// Changes an organization's name and country.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn update(tx: &Tx, row: &OrganizationRow) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE organizations SET name = $2, country = $3 WHERE id = $1",
        vec![row.id.uuid().into(), row.name.as_str().into(), row.country.as_str().into()],
    )
    .await?;
    Ok(())
}

/// A member's role and access level, if a member.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn member(
    reads: &impl Reads,
    id: OrganizationId,
    user: UserId,
) -> Result<Option<(OrganizationRole, AccessLevel)>, StoreError> {
    let rows = reads
        .rows(
            "SELECT role, access FROM members WHERE organization_id = $1 AND user_id = $2",
            vec![id.uuid().into(), user.uuid().into()],
        )
        .await?;
    rows.first().map(|row| Ok((row.word("role")?, row.word("access")?))).transpose()
}

/// Makes `user` a member, or changes role and access level.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn set_member(
    tx: &Tx,
    id: OrganizationId,
    user: UserId,
    role: OrganizationRole,
    access: AccessLevel,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO members (organization_id, user_id, role, access) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (organization_id, user_id) DO UPDATE SET role = excluded.role, access = excluded.access",
        vec![id.uuid().into(), user.uuid().into(), role.as_str().into(), access.as_str().into()],
    )
    .await?;
    Ok(())
}

/// Ends a membership; whether there was one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn remove_member(tx: &Tx, id: OrganizationId, user: UserId) -> Result<bool, StoreError> {
    let touched = tx
        .execute(
            "DELETE FROM members WHERE organization_id = $1 AND user_id = $2",
            vec![id.uuid().into(), user.uuid().into()],
        )
        .await?;
    Ok(touched > 0)
}

/// Owner and administrators, the owner first: whom to ask.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn administrators(
    reads: &impl Reads,
    id: OrganizationId,
    limit: i64,
) -> Result<Vec<Holder<OrganizationRole>>, StoreError> {
    let rows = reads
        .rows(
            "SELECT u.id, u.name, u.email, m.role FROM members m JOIN users u ON u.id = m.user_id \
             WHERE m.organization_id = $1 AND m.role <> 'member' ORDER BY m.role DESC, u.name, u.id LIMIT $2",
            vec![id.uuid().into(), limit.into()],
        )
        .await?;
    rows.iter()
        .map(|r| {
            Ok(Holder { user: r.id("id")?, name: r.text("name")?, email: r.text("email")?, role: r.word("role")? })
        })
        .collect()
}

/// Holds an organization until the transaction ends, so that who looks at its members and changes them meets nobody;
/// whether there is such an organization.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn hold(tx: &Tx, id: OrganizationId) -> Result<bool, StoreError> {
    let lock = crate::db::row_lock(tx.backend());
    let sql = format!("SELECT id FROM organizations WHERE id = $1{lock}");
    Ok(tx.query_one(&sql, vec![id.uuid().into()]).await?.is_some())
}
