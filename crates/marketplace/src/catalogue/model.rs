//! The catalogue as decisions read it: publishers, offers and their dated price versions, all of it in memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;
use std::sync::Arc;

use chrono::NaiveDate;
use kernel::{
    CountryCode, Currency, DayRule, Exact, IdSource, Name, OfferId, Price, PriceId, Slug, TextError, Timestamp,
    UnitPrice, parse_date,
};
use serde::{Deserialize, Serialize};
use store::{Reads, StoreError, settings};

use super::file::CatalogueFile;

kernel::string_enum! {
    /// What an offer is a thing of.
    pub enum OfferKind {
        /// Seats for people.
        Users = "users",
        /// Jobs at a time.
        Pipelines = "pipelines",
        /// Something to install.
        Extension = "extension",
        /// Metered load tests.
        LoadTesting = "load_testing",
    }
}

impl OfferKind {
    /// Whether nothing shows that what was bought was not used: there are neither seats, as of users and extensions, nor
    /// is it metered. Undoing it keeps a day's price.
    #[must_use]
    pub const fn keeps_a_day(self) -> bool {
        matches!(self, Self::Pipelines)
    }
}

kernel::string_enum! {
    /// Where an offer stands in its life.
    pub enum OfferState {
        /// In the list, for sale.
        Listed = "listed",
        /// In the list, and may become paid later.
        Preview = "preview",
        /// Not in the list; who knows it can have it.
        Hidden = "hidden",
        /// No longer for sale.
        Retired = "retired",
    }
}

kernel::string_enum! {
    /// When what is bought is collected.
    pub enum Collection {
        /// On the payer's next invoice.
        OnInvoice = "on_invoice",
        /// At once, by card.
        AtPurchase = "at_purchase",
    }
}

/// The publisher's part of a sale, from 0 to 1; shown as it was typed, compared by value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Share(UnitPrice);

impl Share {
    /// Nothing: what the platform itself has.
    pub const ZERO: Self = Self(UnitPrice::ZERO);

    /// The share as an exact fraction.
    #[must_use]
    pub fn exact(self) -> Exact {
        self.0.to_exact()
    }
}

impl FromStr for Share {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let share = text.parse::<UnitPrice>().ok().filter(|share| share.to_exact() <= Exact::from_int(1));
        share.map(Self).ok_or(TextError::new("must be a decimal from 0 to 1, such as 0.80"))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

kernel::string_serde!(Share);

/// Who sells an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    /// Its name in addresses.
    pub slug: Slug,
    /// Its name for people.
    pub name: Name,
    /// Its part of a sale.
    pub share: Share,
}

/// All of an offer but its prices, in the catalogue file's names; also how the database keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name for people.
    pub name: Name,
    /// One line about it; may be empty.
    pub summary: String,
    /// Who sells it, by slug.
    pub publisher: Slug,
    /// What it is a thing of.
    pub kind: OfferKind,
    /// What one of it is called: "user".
    pub unit: Name,
    /// Where it stands in its life.
    pub state: OfferState,
    /// Units that every organization has free.
    pub included: i64,
    /// Fewest paid units.
    pub minimum: i64,
    /// Most paid units.
    pub maximum: i64,
    /// How much of a month is charged for what is bought within it.
    pub proration: DayRule,
    /// Days of trial; 0 for none.
    pub trial_days: i64,
    /// Whether paid units replace the included ones instead of adding to them.
    pub first_paid_replaces_included: bool,
    /// Whether the publisher bills it.
    pub bring_your_own_license: bool,
    /// When what is bought is collected.
    pub collection: Collection,
    /// Where payers may be: country codes, or `*` alone for everywhere.
    pub countries: Vec<String>,
}

/// A price, from a day on. Versions never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceVersion {
    /// Its id.
    pub id: PriceId,
    /// Its number among the offer's versions in its currency, from 1.
    pub version: i64,
    /// The first day it is in force; `None` for the beginning of time.
    pub from: Option<NaiveDate>,
    /// The price.
    pub price: Price,
}

/// A thing in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// Its name in addresses.
    pub slug: Slug,
    /// All but the prices.
    pub definition: Definition,
    /// Price versions by currency, lowest version first.
    pub prices: BTreeMap<Currency, Vec<PriceVersion>>,
}

impl Offer {
    /// Whether it has no price at all, and so is free and fits every currency.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.prices.is_empty()
    }

    /// The version in force on a day: the highest of those that began by then, so that a later version also
    /// replaces one that was announced and has not begun.
    #[must_use]
    pub fn price_on(&self, currency: Currency, date: NaiveDate) -> Option<&PriceVersion> {
        self.versions(currency).iter().rev().find(|version| version.from.is_none_or(|from| from <= date))
    }

    /// All versions in a currency, lowest first.
    #[must_use]
    pub fn versions(&self, currency: Currency) -> &[PriceVersion] {
        self.prices.get(&currency).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether payers in a country may buy it.
    #[must_use]
    pub fn serves(&self, country: CountryCode) -> bool {
        self.definition.countries.iter().any(|served| served == "*" || served == country.as_str())
    }

    /// Whether the list shows it.
    #[must_use]
    pub fn is_in_list(&self) -> bool {
        matches!(self.definition.state, OfferState::Listed | OfferState::Preview)
    }

    /// Whether the lower case text `q` stands in slug, name or summary.
    fn holds(&self, q: &str) -> bool {
        let Definition { name, summary, .. } = &self.definition;
        [self.slug.as_str(), name.as_str(), summary].iter().any(|text| text.to_lowercase().contains(q))
    }
}

/// All that is sold, as of one revision; a clone shares what it holds.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Rises with every change; 0 for a catalogue that was never written.
    pub revision: i64,
    parts: Arc<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    publishers: BTreeMap<String, Publisher>,
    offers: BTreeMap<String, Arc<Offer>>,
    by_id: HashMap<OfferId, Arc<Offer>>,
}

impl Catalogue {
    /// A catalogue without anything in it.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A catalogue of these parts.
    #[must_use]
    pub fn new(
        revision: i64,
        publishers: impl IntoIterator<Item = Publisher>,
        offers: impl IntoIterator<Item = Offer>,
    ) -> Self {
        let offers: Vec<_> = offers.into_iter().map(Arc::new).collect();
        Self {
            revision,
            parts: Arc::new(Parts {
                publishers: publishers.into_iter().map(|p| (p.slug.as_str().to_owned(), p)).collect(),
                by_id: offers.iter().map(|offer| (offer.id, Arc::clone(offer))).collect(),
                offers: offers.into_iter().map(|offer| (offer.slug.as_str().to_owned(), offer)).collect(),
            }),
        }
    }

    /// What a file would be, applied to an empty database at `at`: for decisions that are tried without one.
    #[must_use]
    pub fn of_file(file: &CatalogueFile, at: Timestamp, ids: &mut IdSource) -> Self {
        let offers = file.offers.iter().map(|entry| Offer {
            id: ids.next(at),
            slug: entry.slug.clone(),
            definition: entry.definition.clone(),
            prices: entry
                .prices
                .iter()
                .map(|(&currency, price)| {
                    let first =
                        PriceVersion { id: ids.next(at), version: 1, from: price.from, price: price.price.clone() };
                    (currency, vec![first])
                })
                .collect(),
        });
        let offers: Vec<_> = offers.collect();
        Self::new(1, file.publishers.iter().cloned(), offers)
    }

    /// Reads the catalogue. Outside a transaction it may be newer than its revision says, never older, so that who
    /// compares revisions reads it again.
    ///
    /// # Errors
    /// As [`StoreError`] says; [`StoreError::Corrupt`] for a row that no code of ours writes.
    pub async fn load(reads: &impl Reads) -> Result<Self, StoreError> {
        let revision = settings::number(reads, settings::CATALOGUE).await?.unwrap_or(0);
        let rows = store::catalogue::offers(reads).await?;
        let mut offers = BTreeMap::new();
        for row in rows {
            let definition = serde_json::from_str(&row.definition)
                .map_err(|e| StoreError::corrupt(format!("definition of offer {}: {e}", row.slug)))?;
            offers.insert(row.id, Offer { id: row.id, slug: row.slug, definition, prices: BTreeMap::new() });
        }
        for row in store::catalogue::prices(reads).await? {
            // An offer that was added between the two statements comes with the next revision.
            let Some(offer) = offers.get_mut(&row.offer) else { continue };
            let corrupt = |what: &str, e: &dyn fmt::Display| {
                StoreError::corrupt(format!("{what} of price {} of {}: {e}", row.id, offer.slug))
            };
            let from = match row.valid_from.as_str() {
                "" => None,
                day => Some(parse_date(day).map_err(|e| corrupt("valid_from", &e))?),
            };
            let price = serde_json::from_str(&row.spec).map_err(|e| corrupt("spec", &e))?;
            let version = PriceVersion { id: row.id, version: row.version, from, price };
            offer.prices.entry(row.currency).or_default().push(version);
        }
        let publishers = store::catalogue::publishers(reads).await?.into_iter().map(|(slug, name, share)| {
            let corrupt = |e: TextError| StoreError::corrupt(format!("publisher {slug}: {e}"));
            Ok(Publisher {
                slug: slug.parse().map_err(corrupt)?,
                name: name.parse().map_err(corrupt)?,
                share: share.parse().map_err(corrupt)?,
            })
        });
        let publishers = publishers.collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Self::new(revision, publishers, offers.into_values()))
    }

    /// The offer with this id.
    #[must_use]
    pub fn offer(&self, id: OfferId) -> Option<&Arc<Offer>> {
        self.parts.by_id.get(&id)
    }

    /// The offer with this slug.
    #[must_use]
    pub fn by_slug(&self, slug: &str) -> Option<&Arc<Offer>> {
        self.parts.offers.get(slug)
    }

    /// The offer that is named by its id or its slug.
    #[must_use]
    pub fn resolve(&self, id_or_slug: &str) -> Option<&Arc<Offer>> {
        let by_id = id_or_slug.parse().ok().and_then(|id| self.offer(id));
        by_id.or_else(|| self.by_slug(id_or_slug))
    }

    /// The publisher with this slug.
    #[must_use]
    pub fn publisher(&self, slug: &str) -> Option<&Publisher> {
        self.parts.publishers.get(slug)
    }

    /// All publishers, by slug.
    pub fn publishers(&self) -> impl Iterator<Item = &Publisher> {
        self.parts.publishers.values()
    }

    /// All offers, hidden and retired ones too, by slug.
    pub fn offers(&self) -> impl Iterator<Item = &Arc<Offer>> {
        self.parts.offers.values()
    }

    /// Up to `limit` offers of the list after the slug `after`, by slug, with the slug to go on after; of a kind, and
    /// holding `q` in slug, name or summary, whatever the case.
    #[must_use]
    pub fn page(
        &self,
        kind: Option<OfferKind>,
        q: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<Arc<Offer>>, Option<String>) {
        let q = q.to_lowercase();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = self
            .parts
            .offers
            .range::<str, _>((start, Bound::Unbounded))
            .map(|(_, offer)| offer)
            .filter(|offer| offer.is_in_list())
            .filter(|offer| kind.is_none_or(|kind| offer.definition.kind == kind))
            .filter(|offer| offer.holds(&q));
        let page: Vec<_> = found.by_ref().take(limit).cloned().collect();
        let more = found.next().is_some();
        let next = page.last().filter(|_| more).map(|offer| offer.slug.as_str().to_owned());
        (page, next)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use crate::catalogue::file::parse;
    use serde_json::json;

    fn day(text: &str) -> NaiveDate {
        parse_date(text).unwrap()
    }

    fn usd() -> Currency {
        "USD".parse().unwrap()
    }

    /// The shipped catalogue with its first offer changed by `change`.
    fn shipped(change: fn(&mut Definition)) -> Catalogue {
        let mut file = parse(include_str!("../../../../config/catalog.toml")).unwrap();
        change(&mut file.offers[0].definition);
        let at = kernel::parse_rfc3339("2018-04-15T10:00:00Z").unwrap();
        Catalogue::of_file(&file, at, &mut IdSource::seeded(3))
    }

    #[test]
    fn the_version_in_force_is_the_highest_that_has_begun() {
        let mut offer = shipped(|_| ()).by_slug("ms.feed").unwrap().as_ref().clone();
        let PriceVersion { id, price, .. } = offer.price_on(usd(), day("2018-05-01")).unwrap().clone();
        let versions = [(1, None), (2, Some("2018-07-01")), (3, Some("2018-06-01")), (4, Some("2018-09-01"))];
        let versions =
            versions.map(|(version, from)| PriceVersion { id, version, from: from.map(day), price: price.clone() });
        offer.prices.insert(usd(), versions.to_vec());
        for (date, version) in
            [("2018-05-31", 1), ("2018-06-01", 3), ("2018-07-01", 3), ("2018-08-31", 3), ("2018-09-01", 4)]
        {
            assert_eq!(offer.price_on(usd(), day(date)).unwrap().version, version, "{date}");
        }
        let view = serde_json::to_value(crate::catalogue::OfferView::on(&offer, day("2018-05-01"))).unwrap();
        assert_eq!(
            view["prices"]["USD"],
            json!({"price_version": 1, "from": null, "model": "per_unit", "bands": [{"unit": "4.00"}]})
        );
        let upcoming: Vec<_> =
            view["upcoming"]["USD"].as_array().unwrap().iter().map(|v| v["price_version"].clone()).collect();
        assert_eq!(upcoming, [3, 4], "the second was replaced before it began");
        assert_eq!((&view["slug"], &view["proration"]), (&json!("ms.feed"), &json!("days_after")));
    }

    #[test]
    fn the_list_is_paged_by_slug_and_searched_whatever_the_case() {
        let catalogue = shipped(|users| users.state = OfferState::Hidden);
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let (page, next) = catalogue.page(None, "", after.as_deref(), 3);
            seen.extend(page.iter().map(|offer| offer.slug.to_string()));
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 8);
        assert!(seen.is_sorted());
        let (page, next) = catalogue.page(Some(OfferKind::Extension), "WORK ITEMS", None, 2);
        assert_eq!((page.len(), next), (2, None));
        assert_eq!(catalogue.page(None, "", None, 0), (vec![], None));
        let hidden = catalogue.by_slug("ms.vss-vstsuser").unwrap();
        assert_eq!(catalogue.resolve(&hidden.id.to_string()), Some(hidden));
    }
}
