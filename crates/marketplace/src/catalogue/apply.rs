//! How a file becomes the catalogue in force, in one transaction, with an event for each change.

use std::collections::BTreeMap;

use kernel::{IdSource, OfferId, PriceId, Slug, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use store::catalogue::{OfferRow, PriceRow};
use store::{Actor, AsStore, Db, NewEvent, StoreError, Tx, audit, settings};

use super::diff::{Change, changed_fields, diff, fields};
use super::file::Fault;
use super::lint::{Platform, Report, read};
use super::model::{Catalogue, Definition, Publisher};

/// Why a file was not applied. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The file has errors.
    #[error("{0}")]
    Lint(Report),
    /// What the catalogue holds does not allow it.
    #[error("{}", lines(.0))]
    Refused(Vec<Fault>),
    /// The database answered with an error.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn lines(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(|fault| format!("refused: {fault}")).collect();
    lines.join("\n")
}

impl AsStore for ApplyError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Store(e) if e.is_conflict())
    }
}

/// Makes the catalogue what the file says, in one transaction, as of `now`; the same file again changes nothing.
/// Answers what changed.
///
/// # Errors
/// [`ApplyError`]; then nothing changed.
pub async fn apply(
    db: &Db,
    text: &str,
    platform: &Platform,
    now: Timestamp,
    ids: &mut IdSource,
) -> Result<Vec<Change>, ApplyError> {
    let (file, _) = read(text, platform).map_err(ApplyError::Lint)?;
    db.write("catalogue_apply", async |tx| {
        // Two files at once would otherwise both read what is and both write the next version.
        settings::hold(tx, settings::CATALOGUE).await?;
        let current = Catalogue::load(tx).await?;
        let changes = diff(&current, &file, now.date_naive()).map_err(ApplyError::Refused)?;
        if changes.is_empty() {
            return Ok(changes);
        }
        let mut writer = Writer { tx, at: now, ids, offers: BTreeMap::new(), events: Vec::new() };
        writer.offers = current.offers().map(|offer| (offer.slug.as_str().to_owned(), offer.id)).collect();
        for change in &changes {
            writer.write(change).await?;
        }
        let events = writer.events;
        audit::append(tx, events, ids, now).await?;
        settings::set_number(tx, settings::CATALOGUE, current.revision.saturating_add(1)).await?;
        Ok(changes)
    })
    .await
}

struct Writer<'a> {
    tx: &'a Tx,
    at: Timestamp,
    ids: &'a mut IdSource,
    offers: BTreeMap<String, OfferId>,
    events: Vec<NewEvent>,
}

impl Writer<'_> {
    async fn write(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Publisher { before, after } => {
                let share = after.share.to_string();
                store::catalogue::put_publisher(self.tx, after.slug.as_str(), after.name.as_str(), &share).await?;
                let facts = |publisher: &Publisher| json!({"name": publisher.name, "share": publisher.share});
                let before = before.as_ref().map(facts);
                self.event(
                    "publisher.changed",
                    &json!({"publisher": after.slug, "before": before, "after": facts(after)}),
                );
            }
            Change::Offer { slug, before, after } => self.offer(slug, before.as_deref(), after).await?,
            Change::Price { offer, currency, version, from, price } => {
                let spec = to_text(&price.spec())?;
                let id: PriceId = self.ids.next(self.at);
                let valid_from = from.map(|day| day.to_string()).unwrap_or_default();
                let public = json!({
                    "price": id, "offer": self.offer_id(offer)?, "slug": offer, "currency": currency,
                    "version": version, "valid_from": valid_from, "spec_sha256": spec_hash(&spec),
                });
                let row = PriceRow {
                    id,
                    offer: self.offer_id(offer)?,
                    currency: *currency,
                    version: *version,
                    valid_from,
                    spec,
                };
                store::catalogue::insert_price(self.tx, &row, self.at).await?;
                self.event("price.published", &public);
            }
        }
        Ok(())
    }

    async fn offer(&mut self, slug: &Slug, before: Option<&Definition>, after: &Definition) -> Result<(), StoreError> {
        let id = match before {
            None => {
                let id: OfferId = self.ids.next(self.at);
                self.offers.insert(slug.as_str().to_owned(), id);
                id
            }
            Some(_) => self.offer_id(slug)?,
        };
        let row = OfferRow {
            id,
            slug: slug.clone(),
            publisher: after.publisher.as_str().to_owned(),
            definition: to_text(after)?,
        };
        store::catalogue::put_offer(self.tx, &row).await?;
        let (kind, public) = match before {
            None => ("offer.published", json!({"offer": id, "slug": slug, "after": fields(after)})),
            Some(before) => {
                let changed = changed_fields(before, after);
                let old: Map<_, _> = changed.iter().map(|(field, old, _)| (field.clone(), old.clone())).collect();
                let new: Map<_, _> = changed.into_iter().map(|(field, _, new)| (field, new)).collect();
                ("offer.changed", json!({"offer": id, "slug": slug, "before": old, "after": new}))
            }
        };
        self.event(kind, &public);
        Ok(())
    }

    fn offer_id(&self, slug: &Slug) -> Result<OfferId, StoreError> {
        let id = self.offers.get(slug.as_str()).copied();
        id.ok_or_else(|| StoreError::corrupt(format!("offer {slug} has a price and no row")))
    }

    fn event(&mut self, kind: &'static str, public: &Value) {
        self.events.push(NewEvent {
            kind,
            organization: None,
            actor: Actor::System,
            at: self.at,
            public: public.to_string(),
            private: None,
        });
    }
}

fn to_text(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::corrupt)
}

/// What `price.published` holds of a version's stored spec: the SHA-256 of its text, in hex, so that `verify` finds a
/// price that was altered in the database.
#[must_use]
pub fn spec_hash(spec: &str) -> String {
    hex::encode(Sha256::digest(spec.as_bytes()))
}
