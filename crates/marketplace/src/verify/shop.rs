//! The catalogue as its events tell it: every price version, and what offers and publishers were at any instant; and the
//! proof that the catalogue's tables are what those events say.
//!
//! A command may be decided by the catalogue that was in force when it began, and two processes' clocks are not one. So
//! an instant shortly before or after a change has both values, and either may have been used.

use std::collections::HashMap;

use kernel::{EventId, OfferId, SubscriptionId};
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::Tx;
use store::proof::{self, Fact, PriceProof};

use super::checker::Spec;
use super::told::{OfferTold, PayerTold, Published, PublisherTold, read};
use super::{Difference, PAGE, Row, VerifyError};

/// How long around a change both values count, microseconds.
const RACE: i64 = 300 * 1_000_000;

/// Values of one thing, each from an instant on.
#[derive(Clone, Debug)]
struct History(Vec<(i64, Value)>);

impl History {
    fn put(&mut self, at: i64, value: Value) {
        self.0.push((at, value));
        self.0.sort_by_key(|(at, _)| *at);
    }

    /// The values that count at an instant: that of the last change before it, those of changes around it, and before
    /// any the first. Values of one instant stand in no order, and all count.
    fn at(&self, at: i64) -> impl Iterator<Item = &Value> {
        let (from, to) = (at.saturating_sub(RACE), at.saturating_add(RACE));
        let last = self.0.iter().map(|(at, _)| *at).rfind(|at| *at <= from);
        let from = last.unwrap_or(from);
        let first = self.0.first().map_or(to, |(first, _)| *first);
        let to = to.max(first);
        self.0.iter().filter(move |(at, _)| (from..=to).contains(at)).map(|(_, value)| value)
    }

    /// The values that may be in force now.
    fn last(&self) -> impl Iterator<Item = &Value> {
        let last = self.0.last().map(|(at, _)| *at);
        self.0.iter().filter(move |(at, _)| Some(*at) == last).map(|(_, value)| value)
    }
}

/// A price version.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its number.
    pub number: i64,
    /// First day it is in force; empty for the beginning of time.
    from: String,
    published_at: i64,
    /// The price.
    pub spec: Spec,
    /// The price as its JSON.
    pub json: Value,
}

/// An offer.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Its name in addresses.
    pub slug: String,
    fields: HashMap<String, History>,
    /// By currency, lowest version first.
    prices: HashMap<String, Vec<Version>>,
}

impl Offer {
    /// The values of a field that count at an instant.
    fn field(&self, name: &str, at: i64) -> impl Iterator<Item = &Value> {
        self.fields.get(name).into_iter().flat_map(move |history| history.at(at))
    }

    /// Whether a field counted as `value` at an instant.
    pub fn was(&self, name: &str, value: impl Into<Value>, at: i64) -> bool {
        let value = value.into();
        self.field(name, at).any(|one| *one == value)
    }

    /// The words that a field counted as at an instant.
    pub fn words(&self, name: &str, at: i64) -> Vec<&str> {
        self.field(name, at).filter_map(Value::as_str).collect()
    }

    /// The version with this number.
    pub fn version(&self, currency: &str, number: i64) -> Option<&Version> {
        self.prices.get(currency)?.iter().find(|version| version.number == number)
    }

    /// The versions that may have been taken at an instant for a day (R-23): the highest that began by then.
    pub fn in_force(&self, currency: &str, day: &str, at: i64) -> impl Iterator<Item = &Version> {
        let begun = move |version: &&Version| version.from.as_str() <= day;
        let versions = self.prices.get(currency).map(Vec::as_slice).unwrap_or_default();
        let settled = versions.iter().filter(begun).filter(|v| v.published_at < at.saturating_sub(RACE));
        let lowest = settled.map(|version| version.number).max();
        versions.iter().filter(begun).filter(move |version| Some(version.number) >= lowest)
    }

    /// Whether it may have been free of charge at an instant: no price was published well before.
    pub fn may_be_free(&self, at: i64) -> bool {
        self.prices.values().flatten().all(|version| version.published_at >= at.saturating_sub(RACE))
    }
}

/// The catalogue's whole history.
#[derive(Clone, Debug)]
pub struct Shop {
    platform: String,
    offers: HashMap<OfferId, Offer>,
    publishers: HashMap<String, HashMap<String, History>>,
}

impl Shop {
    /// Reads the events that are no organization's and proves the catalogue's tables by them.
    ///
    /// # Errors
    /// The first row that is not what they say.
    pub async fn prove(tx: &Tx, platform: &str) -> Result<Self, VerifyError> {
        let mut shop = Self { platform: platform.to_owned(), offers: HashMap::new(), publishers: HashMap::new() };
        let mut published = HashMap::new();
        let mut last = EventId::from_uuid(uuid::Uuid::nil());
        loop {
            let page = proof::facts_of_none(tx, last, PAGE).await?;
            let Some(end) = page.last() else { break };
            last = end.id;
            let mut payers = Vec::new();
            for fact in &page {
                match fact.kind.as_str() {
                    "price.published" => {
                        let told: Published = read(fact)?;
                        published.insert(told.price, (told, fact.id, fact.at));
                    }
                    "offer.published" | "offer.changed" => shop.offer_told(fact, read(fact)?),
                    "publisher.changed" => {
                        let told: PublisherTold = read(fact)?;
                        keep(shop.publishers.entry(told.publisher).or_default(), fact.at, told.after);
                    }
                    "subscription.created" => payers.push((fact, read::<PayerTold>(fact)?)),
                    _ => {}
                }
            }
            prove_payers(tx, &payers).await?;
        }
        shop.prove_prices(proof::prices(tx).await?, published)?;
        shop.prove_offers(tx).await?;
        Ok(shop)
    }

    /// A catalogue without anything in it.
    #[cfg(test)]
    pub(super) fn empty() -> Self {
        Self { platform: String::new(), offers: HashMap::new(), publishers: HashMap::new() }
    }

    /// An offer.
    pub fn offer(&self, id: OfferId) -> Option<&Offer> {
        self.offers.get(&id)
    }

    /// Who may have sold an offer at an instant and for what share of it: none for the platform itself.
    pub fn sellers<'a>(&'a self, offer: &'a Offer, at: i64) -> Vec<Option<(&'a str, &'a str)>> {
        let mut sellers = Vec::new();
        for publisher in offer.words("publisher", at) {
            if publisher == self.platform {
                sellers.push(None);
                continue;
            }
            let shares = self.publishers.get(publisher).and_then(|fields| fields.get("share"));
            sellers.extend(
                shares
                    .into_iter()
                    .flat_map(|shares| shares.at(at))
                    .filter_map(Value::as_str)
                    .map(|s| Some((publisher, s))),
            );
        }
        sellers
    }

    fn offer_told(&mut self, fact: &Fact, told: OfferTold) {
        let offer = self.offers.entry(told.offer).or_default();
        offer.slug = told.slug;
        keep(&mut offer.fields, fact.at, told.after);
    }

    fn prove_prices(
        &mut self,
        rows: Vec<PriceProof>,
        mut published: HashMap<kernel::PriceId, (Published, EventId, i64)>,
    ) -> Result<(), Difference> {
        for row in rows {
            let named = Row("prices", &row.id);
            let Some((told, _, at)) = published.remove(&row.id) else {
                return Err(named.differs(format!("version {} of {}", row.version, row.offer), "no event published it"));
            };
            named.same("offer_id", row.offer, told.offer)?;
            named.same("currency", row.currency.as_str(), told.currency.as_str())?;
            named.same("version", row.version, told.version)?;
            named.same("valid_from", row.valid_from.as_str(), told.valid_from.as_str())?;
            named.same("published_at", row.published_at, at)?;
            let hash = hex::encode(Sha256::digest(row.spec.as_bytes()));
            if hash != told.spec_sha256 {
                return Err(named.differs(
                    format!("spec {} with SHA-256 {hash}", row.spec),
                    format!("a spec with SHA-256 {}", told.spec_sha256),
                ));
            }
            let parsed = serde_json::from_str(&row.spec).ok().zip(serde_json::from_str(&row.spec).ok());
            let Some((spec, json)) = parsed else {
                return Err(named.differs(format!("spec {}", row.spec), "a price"));
            };
            let version = Version { number: row.version, from: row.valid_from, published_at: at, spec, json };
            let Some(offer) = self.offers.get_mut(&row.offer) else {
                return Err(named.differs(format!("offer_id {}", row.offer), "no such offer"));
            };
            offer.prices.entry(row.currency).or_default().push(version);
        }
        if let Some((told, event, _)) = published.into_values().next() {
            return Err(Row("prices", &told.price).missing(event));
        }
        for (id, offer) in &mut self.offers {
            for (currency, versions) in &mut offer.prices {
                versions.sort_by_key(|version| version.number);
                let name = format!("of {id} in {currency}");
                for (expected, version) in (1..).zip(versions) {
                    Row("prices", &name).same("version", version.number, expected)?;
                }
            }
        }
        Ok(())
    }

    /// Offers and publishers are as they were last told, and none is there that was not.
    async fn prove_offers(&self, tx: &Tx) -> Result<(), VerifyError> {
        let rows = store::catalogue::offers(tx).await?;
        for row in &rows {
            let named = Row("offers", &row.id);
            let Some(offer) = self.offers.get(&row.id) else {
                return Err(named.differs(row.slug.to_string(), "no event published it").into());
            };
            named.same("slug", row.slug.as_str(), offer.slug.as_str())?;
            let definition: HashMap<String, Value> = serde_json::from_str(&row.definition)
                .map_err(|_| named.differs(format!("definition {}", row.definition), "a JSON object"))?;
            for (field, history) in &offer.fields {
                let stored = definition.get(field).unwrap_or(&Value::Null);
                is_last(named, field, stored, history)?;
                if field == "publisher" {
                    is_last(named, "publisher", &Value::from(row.publisher.as_str()), history)?;
                }
            }
        }
        if let Some(id) = self.offers.keys().find(|id| rows.iter().all(|row| row.id != **id)) {
            return Err(Row("offers", id).differs("no such row", "an event published it").into());
        }
        let rows = store::catalogue::publishers(tx).await?;
        for (slug, name, share) in &rows {
            let named = Row("publishers", slug);
            let Some(fields) = self.publishers.get(slug) else {
                return Err(named.differs(name, "no event named it").into());
            };
            for (field, stored) in [("name", name), ("share", share)] {
                if let Some(history) = fields.get(field) {
                    is_last(named, field, &Value::from(stored.as_str()), history)?;
                }
            }
        }
        if let Some(slug) = self.publishers.keys().find(|slug| rows.iter().all(|(row, ..)| row != *slug)) {
            return Err(Row("publishers", slug).differs("no such row", "an event named it").into());
        }
        Ok(())
    }
}

fn keep(fields: &mut HashMap<String, History>, at: i64, told: serde_json::Map<String, Value>) {
    for (field, value) in told {
        fields.entry(field).or_insert_with(|| History(Vec::new())).put(at, value);
    }
}

fn is_last(row: Row<'_>, field: &str, stored: &Value, history: &History) -> Result<(), Difference> {
    if history.last().any(|value| value == stored) {
        return Ok(());
    }
    let told = history.last().next().map(ToString::to_string).unwrap_or_default();
    Err(row.differs(format!("{field} {stored}"), format!("{field} {told}")))
}

/// Payers that came into being apart from a purchase are there, in the currency that is theirs for good.
async fn prove_payers(tx: &Tx, told: &[(&Fact, PayerTold)]) -> Result<(), VerifyError> {
    let ids: Vec<SubscriptionId> = told.iter().map(|(_, payer)| payer.subscription).collect();
    let stored = proof::currencies(tx, &ids).await?;
    for (fact, payer) in told {
        let row = Row("subscriptions", &payer.subscription);
        let currency = stored.get(&payer.subscription).ok_or_else(|| row.missing(fact.id))?;
        row.same("currency", currency, &payer.currency)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn history(values: &[(i64, &str)]) -> History {
        let mut history = History(Vec::new());
        values.iter().for_each(|(hours, value)| history.put(hours * HOUR, Value::from(*value)));
        history
    }

    fn words<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<&'a str> {
        values.filter_map(Value::as_str).collect()
    }

    /// The value of an instant is the last one before it; before any, the first; around a change, both.
    #[test]
    fn a_change_counts_from_its_instant() {
        let history = history(&[(30, "c"), (10, "a"), (20, "b")]);
        for (at, expected) in [
            (0, vec!["a"]),
            (10 * HOUR, vec!["a"]),
            (19 * HOUR, vec!["a"]),
            (20 * HOUR - 1, vec!["a", "b"]),
            (20 * HOUR + 1, vec!["a", "b"]),
            (20 * HOUR + RACE, vec!["b"]),
            (99 * HOUR, vec!["c"]),
        ] {
            assert_eq!(words(history.at(at)), expected, "{at}");
        }
        assert_eq!(words(history.last()), ["c"]);
    }

    /// Under a clock that stands still, changes of one instant have no order: each may have been the last.
    #[test]
    fn changes_of_one_instant_all_count() {
        let history = history(&[(10, "a"), (20, "b"), (20, "c")]);
        assert_eq!(words(history.at(50 * HOUR)), ["b", "c"]);
        assert_eq!(words(history.last()), ["b", "c"]);
    }

    /// R-23: the highest version that began by the day, and near its publication the one before too.
    #[test]
    fn versions_in_force() {
        let spec: Spec = serde_json::from_str(r#"{"model":"per_unit","unit":"1"}"#).unwrap();
        let version = |number, from: &str, hours: i64| {
            let (from, json) = (from.to_owned(), Value::Null);
            Version { number, from, published_at: hours * HOUR, spec: spec.clone(), json }
        };
        let versions = vec![version(1, "", 0), version(2, "2018-06-01", 10), version(3, "2018-05-01", 20)];
        let offer = Offer { prices: HashMap::from([("EUR".to_owned(), versions)]), ..Offer::default() };
        let taken = |day: &str, hours: i64| {
            offer.in_force("EUR", day, hours * HOUR).map(|version| version.number).collect::<Vec<_>>()
        };
        assert_eq!(taken("2018-04-30", 90), [1]);
        assert_eq!(taken("2018-05-01", 90), [3]);
        assert_eq!(taken("2018-06-01", 90), [3], "a later version replaces one that was announced");
        assert_eq!(taken("2018-06-01", 15), [2, 3]);
        assert_eq!(taken("2018-05-01", 20), [1, 3]);
        assert_eq!(offer.in_force("USD", "2018-06-01", 0).count(), 0);
        assert!(!offer.may_be_free(90 * HOUR));
        assert!(Offer::default().may_be_free(90 * HOUR));
    }
}
