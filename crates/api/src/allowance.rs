//! What organizations may use, kept in memory for the platform's question (R-53).
//!
//! An entry is loaded when first asked for, loaded again when something of the organization changed here or, by the
//! event feed, in another process, and still answered, with its age, while the database is away.

use kernel::{
    AccessLevel, Clock, Month, OfferId, OrganizationId, OrganizationRole, ServiceKeyId, Slug, SystemClock, Timestamp,
    UserId, from_micros, micros, rfc3339,
};
use marketplace::book::usable;
use marketplace::catalogue::{Offer, OfferKind};
use marketplace::metered::{Meter, is_paid_for};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use store::till::EntitlementRow;
use store::usage::OpenRow;
use store::{Db, StoreError};

/// Most organizations, names and keys that are remembered; one in memory is some 300 bytes.
const MOST: usize = 50_000;
/// Most people remembered of one organization.
const MOST_PEOPLE: usize = 1_000;
/// How long an entry with metered use is believed at most, in microseconds: it also hangs on how the payer stands, which no
/// event of the organization tells.
const METERED_TIME: i64 = 5_000_000;

/// A map that forgets everything when it is full: simpler than an order of use, and what is asked for comes back.
#[derive(Debug)]
struct Bounded<K, V>(RwLock<HashMap<K, V>>, usize);

impl<K: Eq + Hash, V: Clone> Bounded<K, V> {
    fn new(most: usize) -> Self {
        Self(RwLock::new(HashMap::new()), most)
    }
    fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
    fn put(&self, key: K, value: V) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= self.1 {
            map.clear();
        }
        map.insert(key, value);
    }
}

#[derive(Debug)]
struct Entry {
    loaded_at: i64,
    stale: AtomicBool,
    held: Vec<EntitlementRow>,
    used: Vec<OpenRow>,
    /// Whether a payer pays for metered use (R-14).
    paid_for: bool,
    people: Bounded<UserId, Option<(OrganizationRole, AccessLevel)>>,
}

impl Entry {
    async fn load(db: &Db, organization: OrganizationId) -> Result<Self, StoreError> {
        let loaded_at = micros(SystemClock.now());
        let held = store::entitlements::of_organization(db, organization).await?;
        let used = store::usage::of_organization(db, organization).await?;
        let mut entry = Self {
            loaded_at,
            stale: AtomicBool::new(false),
            held,
            used,
            paid_for: true,
            people: Bounded::new(MOST_PEOPLE),
        };
        if entry.is_metered() {
            entry.paid_for = is_paid_for(store::usage::payer_status(db, organization).await?.as_deref());
        }
        Ok(entry)
    }

    fn is_metered(&self) -> bool {
        self.held.iter().any(|row| row.metered)
    }

    fn is_believed(&self, now: i64) -> bool {
        !self.is_metered() || now.saturating_sub(self.loaded_at) < METERED_TIME
    }
}

/// The memory.
#[derive(Debug)]
pub struct Allowances {
    entries: Bounded<OrganizationId, Arc<Entry>>,
    slugs: Bounded<String, OrganizationId>,
    keys: Bounded<[u8; 32], ServiceKeyId>,
    /// When the event feed was last seen to hold no news, microseconds of real time: entries that are not stale were
    /// still true then.
    fresh: AtomicI64,
}

/// Why something may not be used, with what fixes it.
#[derive(Clone, Copy, Debug)]
struct Why {
    code: &'static str,
    message: &'static str,
    remedy: &'static str,
}

const NOT_BOUGHT: Why = Why {
    code: "not_bought",
    message: "The organization has no units of this offer.",
    remedy: "Buy it for the organization.",
};
const SUSPENDED: Why = Why {
    code: "past_due",
    message: "What was bought is suspended: the subscription that pays could not be charged for this month.",
    remedy: "Have the subscription's owner pay what is open: it resumes at once, and is charged for the rest of the month.",
};
const NOT_INSTALLED: Why = Why {
    code: "not_installed",
    message: "The extension is not installed in the organization.",
    remedy: "Install or buy it.",
};
const NOT_A_MEMBER: Why = Why {
    code: "not_a_member",
    message: "This person is not a member of the organization.",
    remedy: "Add the person to the organization.",
};
const NEEDS_BASIC: Why = Why {
    code: "needs_basic",
    message: "This person has stakeholder access only.",
    remedy: "Give the person basic access.",
};

const NOT_SWITCHED_ON: Why = Why {
    code: "not_switched_on",
    message: "Metered use of this offer is not switched on.",
    remedy: "Switch it on for the organization.",
};
const NOT_PAID_FOR: Why = Why {
    code: "past_due",
    message: "Metered use has stopped: the subscription that pays for the organization cannot pay.",
    remedy: "Have the subscription's owner pay what is open.",
};
const OVER_CAP: Why = Why {
    code: "over_cap",
    message: "All that may be used of this offer in this month is used.",
    remedy: "Raise the cap, or wait for the first of the next month.",
};

/// The platform's question.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// For whom.
    pub organization: OrganizationId,
    /// Of what.
    pub offer: &'a Offer,
    /// For which person.
    pub user: Option<UserId>,
}

impl Allowances {
    /// Remembers nothing yet.
    pub fn new() -> Self {
        Self {
            entries: Bounded::new(MOST),
            slugs: Bounded::new(MOST),
            keys: Bounded::new(MOST),
            fresh: AtomicI64::new(0),
        }
    }

    /// The organization that is named by id or slug; an id is taken as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn resolve(&self, db: &Db, named: &str) -> Result<Option<OrganizationId>, StoreError> {
        if let Ok(id) = named.parse::<OrganizationId>() {
            return Ok(Some(id));
        }
        if let Some(id) = self.slugs.get(named) {
            return Ok(Some(id));
        }
        let Ok(slug) = named.parse::<Slug>() else { return Ok(None) };
        let id = store::organizations::id_of(db, &slug).await?;
        if let Some(id) = id {
            // A slug names the same organization for good.
            self.slugs.put(named.to_owned(), id);
        }
        Ok(id)
    }

    /// A service key that was seen before.
    pub fn known_key(&self, hash: &[u8; 32]) -> Option<ServiceKeyId> {
        self.keys.get(hash)
    }

    /// A service key by its hash.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn service_key(&self, db: &Db, hash: &[u8; 32]) -> Result<Option<ServiceKeyId>, StoreError> {
        let id = store::people::key_by_hash(db, hash).await?;
        if let Some(id) = id {
            self.keys.put(*hash, id);
        }
        Ok(id)
    }

    /// Whether an organization is in memory, and so exists.
    pub fn knows(&self, organization: OrganizationId) -> bool {
        self.entries.get(&organization).is_some()
    }

    /// Something of these organizations changed.
    pub fn forget(&self, organizations: &[OrganizationId]) {
        for id in organizations {
            if let Some(entry) = self.entries.get(id) {
                entry.stale.store(true, Ordering::Release);
            }
        }
    }

    /// The event feed held nothing that is not known here, at this instant of real time.
    pub fn fresh_at(&self, at: Timestamp) {
        self.fresh.store(micros(at), Ordering::Relaxed);
    }

    /// The role and access of a person in an organization, from memory where it is there.
    ///
    /// # Errors
    /// [`StoreError`] where it is not in memory and the database is away.
    pub async fn person(
        &self,
        db: &Db,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<Option<(OrganizationRole, AccessLevel)>, StoreError> {
        let entry = self.entry(db, organization).await?;
        if let Some(known) = entry.people.get(&user) {
            return Ok(known);
        }
        let found = store::organizations::member(db, organization, user).await?;
        entry.people.put(user, found);
        Ok(found)
    }

    async fn entry(&self, db: &Db, organization: OrganizationId) -> Result<Arc<Entry>, StoreError> {
        let known = self.entries.get(&organization);
        if let Some(entry) = &known
            && !entry.stale.load(Ordering::Acquire)
            && entry.is_believed(micros(SystemClock.now()))
        {
            return Ok(Arc::clone(entry));
        }
        match (Entry::load(db, organization).await, known) {
            (Ok(entry), _) => {
                let entry = Arc::new(entry);
                self.entries.put(organization, Arc::clone(&entry));
                Ok(entry)
            }
            // What is known is better than nothing, and its age is told.
            (Err(StoreError::Unavailable(_)), Some(entry)) => Ok(entry),
            (Err(error), _) => Err(error),
        }
    }

    /// The answer, as JSON.
    ///
    /// # Errors
    /// [`StoreError`] where nothing is known and the database is away.
    pub async fn answer(&self, db: &Db, question: Question<'_>, now: Timestamp) -> Result<String, StoreError> {
        let entry = self.entry(db, question.organization).await?;
        let person = match question.user {
            None => None,
            Some(user) => Some(self.person(db, question.organization, user).await?),
        };
        let believed = entry.is_believed(micros(SystemClock.now()));
        let as_of = if entry.stale.load(Ordering::Acquire) || !believed {
            entry.loaded_at
        } else {
            entry.loaded_at.max(self.fresh.load(Ordering::Relaxed))
        };
        Ok(render(question.offer, &entry, person, now, from_micros(as_of)))
    }
}

fn render(
    offer: &Offer,
    entry: &Entry,
    person: Option<Option<(OrganizationRole, AccessLevel)>>,
    now: Timestamp,
    as_of: Timestamp,
) -> String {
    let nothing;
    let row = match entry.held.iter().find(|row| row.offer == offer.id) {
        Some(row) => row,
        None => {
            let (organization, id): (OrganizationId, OfferId) = (kernel::Id::from_uuid(uuid::Uuid::nil()), offer.id);
            nothing = marketplace::book::nothing(organization, id, Month::of(now));
            &nothing
        }
    };
    let (mut units, mut why) = if offer.definition.kind == OfferKind::LoadTesting {
        metered(offer, row, entry, Month::of(now))
    } else {
        bought(offer, row)
    };
    why = match person {
        Some(None) => Some(NOT_A_MEMBER),
        Some(Some((_, AccessLevel::Stakeholder))) => Some(NEEDS_BASIC),
        _ => why,
    };
    if why.is_some() && row.metered {
        units = 0;
    }
    let until = if row.committed > 0 || row.metered {
        format!("\"{}\"", rfc3339(Month::of(now).next().start()))
    } else {
        "null".to_owned()
    };
    let reasons = why.map_or_else(String::new, |why| {
        format!(r#"{{"code":"{}","message":"{}","remedy":"{}"}}"#, why.code, why.message, why.remedy)
    });
    format!(
        r#"{{"allowed":{},"usable":{units},"until":{until},"as_of":"{}","reasons":[{reasons}]}}"#,
        why.is_none(),
        rfc3339(as_of)
    )
}

/// Units of an offer that is sold by quantity, and why there are none.
fn bought(offer: &Offer, row: &EntitlementRow) -> (i64, Option<Why>) {
    let units = usable(offer, row);
    let extension = offer.definition.kind == OfferKind::Extension;
    let why = match row {
        _ if units > 0 => None,
        _ if row.next > 0 && row.committed == 0 => Some(SUSPENDED),
        _ if extension && !row.installed && (row.committed > 0 || offer.definition.included > 0 || offer.is_free()) => {
            Some(NOT_INSTALLED)
        }
        _ => Some(NOT_BOUGHT),
    };
    (units, why)
}

/// Units of a metered offer that are left of the month, and why it may not be used.
fn metered(offer: &Offer, row: &EntitlementRow, entry: &Entry, month: Month) -> (i64, Option<Why>) {
    let meter = Meter::of(offer, row, &entry.used, month);
    let why = match meter {
        Meter { on: false, .. } => Some(NOT_SWITCHED_ON),
        _ if !entry.paid_for => Some(NOT_PAID_FOR),
        Meter { left: 0, .. } => Some(OVER_CAP),
        _ => None,
    };
    (meter.left, why)
}
