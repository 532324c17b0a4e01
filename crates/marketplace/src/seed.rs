//! The seed file (contract): people, organizations and payers, for a demonstration, a test or a first day. Applied twice
//! is once: people are known by e-mail address, organizations by slug, payers by `key`; what is there and differs is
//! changed, what the file does not name stays.

mod file;

use std::collections::HashMap;
use std::fmt;

use billing::PaymentMethod;
use kernel::{Email, IdSource, LinkId, OrganizationId, OrganizationRole, Slug, SubscriptionId, Timestamp, UserId};
use serde_json::{Value, json};
use store::people::UserRow;
use store::subscriptions::SubscriptionRow;
use store::till::OrganizationRow;
use store::{Actor, AsStore, Db, NewEvent, StoreError, Tx, audit, organizations, people, subscriptions};

use file::{Member, Organization, Payment, RoleHolder, Subscription, User, read};

/// Why a seed file was not applied. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// It cannot be read; the text shows where.
    #[error("the seed file cannot be read: {0}")]
    Malformed(String),
    /// It contradicts itself or what the database holds: every fault, a line each.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// The database answered with an error.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AsStore for SeedError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Store(e) if e.is_conflict())
    }
}

/// What a seed file made: how many of each are new, and how many of any were changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// New people.
    pub users: usize,
    /// New organizations.
    pub organizations: usize,
    /// New members of organizations.
    pub members: usize,
    /// New payers.
    pub subscriptions: usize,
    /// New role holders of payers.
    pub roles: usize,
    /// New billing links.
    pub links: usize,
    /// What was there and differed.
    pub changed: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { users, organizations, members, subscriptions, roles, links, changed } = self;
        write!(
            f,
            "new: {users} users, {organizations} organizations, {members} members, {subscriptions} subscriptions, \
             {roles} roles, {links} links; changed: {changed}"
        )
    }
}

/// Applies a seed file, in one transaction, as of `now`.
///
/// # Errors
/// [`SeedError`]; then nothing changed.
pub async fn apply(db: &Db, text: &str, now: Timestamp, ids: &mut IdSource) -> Result<Summary, SeedError> {
    let file = read(text)?;
    db.write("seed", async |tx| {
        let mut seeding = Seeding {
            tx,
            at: now,
            ids,
            users: HashMap::new(),
            organizations: HashMap::new(),
            faults: Vec::new(),
            events: Vec::new(),
            summary: Summary::default(),
        };
        for user in &file.users {
            seeding.user(user).await?;
        }
        for organization in &file.organizations {
            seeding.organization(organization).await?;
        }
        for subscription in &file.subscriptions {
            seeding.subscription(subscription).await?;
        }
        let Seeding { faults, events, summary, .. } = seeding;
        if !faults.is_empty() {
            return Err(SeedError::Invalid(faults));
        }
        audit::append(tx, events, ids, now).await?;
        Ok(summary)
    })
    .await
}

struct Seeding<'a> {
    tx: &'a Tx,
    at: Timestamp,
    ids: &'a mut IdSource,
    users: HashMap<String, UserId>,
    organizations: HashMap<String, OrganizationId>,
    faults: Vec<String>,
    events: Vec<NewEvent>,
    summary: Summary,
}

impl Seeding<'_> {
    async fn user(&mut self, user: &User) -> Result<(), StoreError> {
        let found = people::by_email(self.tx, &user.email).await?;
        let row = UserRow {
            id: found.as_ref().map_or_else(|| self.ids.next(self.at), |row| row.id),
            email: user.email.as_str().to_owned(),
            name: user.name.as_str().to_owned(),
            operator: user.operator,
        };
        self.users.insert(row.email.clone(), row.id);
        match found {
            None => {
                people::insert(self.tx, &row, self.at).await?;
                self.summary.users += 1;
            }
            Some(found) if found.name != row.name || found.operator != row.operator => {
                people::update(self.tx, &row).await?;
                self.summary.changed += 1;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// The person with this address; a fault where there is none.
    async fn user_id(&mut self, email: &Email, of: &str) -> Result<Option<UserId>, StoreError> {
        if let Some(&id) = self.users.get(email.as_str()) {
            return Ok(Some(id));
        }
        let Some(row) = people::by_email(self.tx, email).await? else {
            self.faults.push(format!("{of}: there is no user {email}; add a [[user]] with this address"));
            return Ok(None);
        };
        self.users.insert(row.email, row.id);
        Ok(Some(row.id))
    }

    async fn organization_id(&mut self, slug: &Slug) -> Result<Option<OrganizationId>, StoreError> {
        if let Some(&id) = self.organizations.get(slug.as_str()) {
            return Ok(Some(id));
        }
        let found = organizations::id_of(self.tx, slug).await?;
        if let Some(id) = found {
            self.organizations.insert(slug.as_str().to_owned(), id);
        }
        Ok(found)
    }

    async fn organization(&mut self, organization: &Organization) -> Result<(), StoreError> {
        let Organization { slug, name, country, members } = organization;
        let found = match self.organization_id(slug).await? {
            None => None,
            Some(id) => organizations::find(self.tx, id, None).await?.map(|standing| standing.organization),
        };
        let row = OrganizationRow {
            id: found.as_ref().map_or_else(|| self.ids.next(self.at), |row| row.id),
            slug: slug.clone(),
            name: name.as_str().to_owned(),
            country: *country,
        };
        let is_new = found.is_none();
        match found {
            None => {
                organizations::insert(self.tx, &row, self.at).await?;
                self.organizations.insert(slug.as_str().to_owned(), row.id);
                self.summary.organizations += 1;
                let public = json!({"organization": row.id, "country": country});
                self.event("organization.created", Some(row.id), &public);
            }
            Some(found) if found.name != row.name || found.country != row.country => {
                organizations::update(self.tx, &row).await?;
                self.summary.changed += 1;
                let public = json!({
                    "organization": row.id,
                    "before": {"country": found.country}, "after": {"country": country},
                });
                self.event("organization.changed", Some(row.id), &public);
            }
            Some(_) => {}
        }
        for member in members {
            self.member(row.id, slug, is_new, member).await?;
        }
        self.one_owner(row.id, slug, is_new).await
    }

    async fn member(
        &mut self,
        id: OrganizationId,
        slug: &Slug,
        is_new: bool,
        member: &Member,
    ) -> Result<(), StoreError> {
        let &Member { ref user, role, access } = member;
        let Some(user) = self.user_id(user, &format!("organization {slug}")).await? else { return Ok(()) };
        let found = if is_new { None } else { organizations::member(self.tx, id, user).await? };
        if found == Some((role, access)) {
            return Ok(());
        }
        organizations::set_member(self.tx, id, user, role, access).await?;
        *(if found.is_none() { &mut self.summary.members } else { &mut self.summary.changed }) += 1;
        let before = found.map(|(role, access)| json!({"role": role, "access": access}));
        let public = json!({
            "organization": id, "user": user,
            "before": before, "after": {"role": role, "access": access},
        });
        self.event("member.set", Some(id), &public);
        Ok(())
    }

    /// The file alone has one owner at most; with those who were there it must still be so.
    async fn one_owner(&mut self, id: OrganizationId, slug: &Slug, is_new: bool) -> Result<(), StoreError> {
        if is_new {
            return Ok(());
        }
        let managers = organizations::administrators(self.tx, id, i64::MAX).await?;
        let owners: Vec<String> = managers
            .into_iter()
            .filter(|manager| manager.role == OrganizationRole::Owner)
            .map(|manager| manager.email)
            .collect();
        if owners.len() > 1 {
            self.faults.push(format!(
                "organization {slug}: would have the owners {}; give all but one another role in the file",
                owners.join(" and ")
            ));
        }
        Ok(())
    }

    async fn subscription(&mut self, subscription: &Subscription) -> Result<(), StoreError> {
        let key = subscription.key.as_str();
        let found = match subscriptions::by_seed_key(self.tx, key).await? {
            None => None,
            Some(id) => subscriptions::find(self.tx, id, None).await?.map(|(row, _)| row),
        };
        let id = match &found {
            None => self.new_subscription(subscription).await?,
            Some(found) => self.same_subscription(found, subscription).await?,
        };
        for holder in &subscription.roles {
            self.role(id, key, found.is_none(), holder).await?;
        }
        for slug in &subscription.linked {
            self.link(id, key, slug).await?;
        }
        Ok(())
    }

    async fn new_subscription(&mut self, subscription: &Subscription) -> Result<SubscriptionId, StoreError> {
        let row = row(subscription, self.ids.next(self.at), "{}".to_owned(), self.at);
        let key = subscription.key.as_str();
        subscriptions::insert(self.tx, &row, key, &Actor::System.to_string()).await?;
        self.summary.subscriptions += 1;
        let mut public = facts(&row);
        if let Value::Object(fields) = &mut public {
            fields.insert("subscription".to_owned(), json!(row.id));
        }
        self.event("subscription.created", None, &public);
        Ok(row.id)
    }

    async fn same_subscription(
        &mut self,
        found: &SubscriptionRow,
        subscription: &Subscription,
    ) -> Result<SubscriptionId, StoreError> {
        let row = row(subscription, found.id, found.profile.clone(), found.created_at);
        if row.currency != found.currency {
            self.faults.push(format!(
                "subscription {}: its currency is {} for good; make a new one for {}",
                subscription.key, found.currency, row.currency
            ));
        }
        let (before, after) = (facts(found), facts(&row));
        if before != after || found.name != row.name || found.payment_token != row.payment_token {
            subscriptions::restate(self.tx, &row).await?;
            self.summary.changed += 1;
            let public = json!({"subscription": row.id, "before": before, "after": after});
            self.event("subscription.changed", None, &public);
        }
        Ok(row.id)
    }

    async fn role(
        &mut self,
        id: SubscriptionId,
        key: &str,
        is_new: bool,
        holder: &RoleHolder,
    ) -> Result<(), StoreError> {
        let Some(user) = self.user_id(&holder.user, &format!("subscription {key}")).await? else { return Ok(()) };
        let found = match is_new {
            true => None,
            false => subscriptions::find(self.tx, id, Some(user)).await?.and_then(|(_, role)| role),
        };
        if found == Some(holder.role) {
            return Ok(());
        }
        subscriptions::set_role(self.tx, id, user, holder.role).await?;
        *(if found.is_none() { &mut self.summary.roles } else { &mut self.summary.changed }) += 1;
        let public = json!({"subscription": id, "user": user, "before": found, "after": holder.role});
        self.event("subscription.role_set", None, &public);
        Ok(())
    }

    /// Links an organization that has no billing; one that has keeps it (R-4 is for people to decide).
    async fn link(&mut self, subscription: SubscriptionId, key: &str, slug: &Slug) -> Result<(), StoreError> {
        let Some(organization) = self.organization_id(slug).await? else {
            self.faults.push(format!(
                "subscription {key}: there is no organization {slug} to link; add an [[organization]] with this slug"
            ));
            return Ok(());
        };
        if subscriptions::link(self.tx, organization).await?.is_some() {
            return Ok(());
        }
        let id: LinkId = self.ids.next(self.at);
        let by = Actor::System.to_string();
        subscriptions::insert_link(self.tx, id, organization, subscription, &by, self.at).await?;
        self.summary.links += 1;
        let public = json!({"link": id, "organization": organization, "subscription": subscription});
        self.event("billing.set_up", Some(organization), &public);
        Ok(())
    }

    fn event(&mut self, kind: &'static str, organization: Option<OrganizationId>, public: &Value) {
        let event = NewEvent {
            kind,
            organization,
            actor: Actor::System,
            at: self.at,
            public: public.to_string(),
            private: None,
        };
        self.events.push(event);
    }
}

fn row(subscription: &Subscription, id: SubscriptionId, profile: String, created_at: Timestamp) -> SubscriptionRow {
    let (method, token) = match &subscription.payment {
        Payment::Invoice => (PaymentMethod::Invoice, ""),
        Payment::Card(token) => (PaymentMethod::Card, token.as_str()),
    };
    SubscriptionRow {
        id,
        name: subscription.name.as_str().to_owned(),
        kind: subscription.kind.as_str().to_owned(),
        status: subscription.status.as_str().to_owned(),
        country: subscription.country,
        currency: subscription.currency,
        payment_method: method.as_str().to_owned(),
        payment_token: token.to_owned(),
        spending_limit: subscription.spending_limit,
        marketplace_enabled: subscription.marketplace_enabled,
        profile,
        created_at,
        billed_through: None,
        credit: 0,
        budgeted: false,
        tax_confirmed: false,
    }
}

/// What an event says of a payer: no name, and no token.
fn facts(row: &SubscriptionRow) -> Value {
    json!({
        "kind": row.kind, "status": row.status, "country": row.country, "currency": row.currency,
        "payment_method": row.payment_method,
        "spending_limit": row.spending_limit, "marketplace_enabled": row.marketplace_enabled,
    })
}
