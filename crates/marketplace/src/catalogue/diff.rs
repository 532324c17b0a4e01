//! What applying a catalogue file would change, and what it may not change.
//!
//! Nothing is ever removed and no price version changes: a changed price is a new version, an offer that the file
//! no longer has stays as it is, and leaves by `state`.

use std::fmt;

use chrono::NaiveDate;
use kernel::{Currency, Name, Price, Slug, UnitPrice};
use serde_json::{Map, Value};

use super::file::{CatalogueFile, Fault, OfferEntry, PriceEntry};
use super::model::{Catalogue, Definition, Offer, OfferState, Publisher, Share};

/// One thing that applying a file changes; its text is a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A publisher is new, or has another name or share.
    Publisher {
        /// As it was, if it was there.
        before: Option<Publisher>,
        /// As it will be.
        after: Publisher,
    },
    /// An offer is new, or its definition changes.
    Offer {
        /// Which.
        slug: Slug,
        /// As it was, if it was there.
        before: Option<Box<Definition>>,
        /// As it will be.
        after: Box<Definition>,
    },
    /// A price version is new.
    Price {
        /// Of which offer.
        offer: Slug,
        /// In which currency.
        currency: Currency,
        /// Its number.
        version: i64,
        /// The first day it is in force; `None` for the beginning of time.
        from: Option<NaiveDate>,
        /// The price.
        price: Price,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publisher { before: None, after } => write!(f, "publisher {} is new", after.slug),
            Self::Publisher { before: Some(before), after } => {
                let Publisher { slug, name, share } = after;
                write!(f, "publisher {slug}: name {:?} -> {name:?}, share {} -> {share}", before.name, before.share)
            }
            Self::Offer { slug, before: None, after } => {
                write!(f, "offer {slug} is new: {}, {}", after.name, after.state)
            }
            Self::Offer { slug, before: Some(before), after } => {
                let changed: Vec<String> = changed_fields(before, after)
                    .into_iter()
                    .map(|(field, before, after)| format!("{field} {before} -> {after}"))
                    .collect();
                write!(f, "offer {slug}: {}", changed.join(", "))
            }
            Self::Price { offer, currency, version, from, price } => {
                let spec = serde_json::to_string(&price.spec()).map_err(|_| fmt::Error)?;
                write!(f, "offer {offer}: price version {version} in {currency}")?;
                match from {
                    Some(day) => write!(f, " from {day}: {spec}"),
                    None => write!(f, " from the beginning: {spec}"),
                }
            }
        }
    }
}

/// Fields of a definition that differ: name, before, after.
pub(super) fn changed_fields(before: &Definition, after: &Definition) -> Vec<(String, Value, Value)> {
    let (before, after) = (fields(before), fields(after));
    let changed = after.into_iter().filter_map(|(field, after)| {
        let before = before.get(&field).cloned().unwrap_or_default();
        (before != after).then_some((field, before, after))
    });
    changed.collect()
}

/// A definition's fields by name.
pub(super) fn fields(definition: &Definition) -> Map<String, Value> {
    match serde_json::to_value(definition) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// What applying `file` on the day `today` would change, in the order of writing; nothing for a file that says what is.
///
/// # Errors
/// Everything that may not change: a price that begins in the past, a currency that is taken away, a free offer that
/// would become paid.
pub fn diff(current: &Catalogue, file: &CatalogueFile, today: NaiveDate) -> Result<Vec<Change>, Vec<Fault>> {
    let mut plan = Plan { today, changes: Vec::new(), faults: Vec::new() };
    for publisher in &file.publishers {
        let before = current.publisher(publisher.slug.as_str());
        if before != Some(publisher) {
            plan.changes.push(Change::Publisher { before: before.cloned(), after: publisher.clone() });
        }
    }
    for publisher in unnamed_publishers(current, file) {
        plan.changes.push(Change::Publisher { before: None, after: publisher });
    }
    for entry in &file.offers {
        plan.offer(current.by_slug(entry.slug.as_str()).map(AsRef::as_ref), entry);
    }
    if plan.faults.is_empty() { Ok(plan.changes) } else { Err(plan.faults) }
}

/// Publishers that offers name and nobody defines: lint leaves only the platform itself, which needs no entry.
fn unnamed_publishers(current: &Catalogue, file: &CatalogueFile) -> Vec<Publisher> {
    let named = file.offers.iter().map(|entry| &entry.definition.publisher);
    let mut slugs: Vec<&Slug> = named
        .filter(|slug| !file.publishers.iter().any(|publisher| publisher.slug == **slug))
        .filter(|slug| current.publisher(slug.as_str()).is_none())
        .collect();
    slugs.sort_unstable();
    slugs.dedup();
    let publisher = |slug: &Slug| {
        let name: Name = slug.as_str().parse().ok()?;
        Some(Publisher { slug: slug.clone(), name, share: Share::ZERO })
    };
    slugs.into_iter().filter_map(publisher).collect()
}

struct Plan {
    today: NaiveDate,
    changes: Vec<Change>,
    faults: Vec<Fault>,
}

impl Plan {
    fn refuse(&mut self, entry: &OfferEntry, field: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault::new(format!("offer {}", entry.slug), field, message));
    }

    fn offer(&mut self, current: Option<&Offer>, entry: &OfferEntry) {
        let before = current.map(|offer| &offer.definition);
        if before != Some(&entry.definition) {
            self.changes.push(Change::Offer {
                slug: entry.slug.clone(),
                before: before.cloned().map(Box::new),
                after: Box::new(entry.definition.clone()),
            });
        }
        if let Some(offer) = current {
            self.free_stays_free(offer, entry);
            for currency in offer.prices.keys().filter(|currency| !entry.prices.contains_key(currency)) {
                let message = "cannot be taken away, since what runs is billed by it; keep it in the file";
                self.refuse(entry, format!("prices.{currency}"), message);
            }
        }
        for (&currency, price) in &entry.prices {
            let versions = current.map(|offer| offer.versions(currency)).unwrap_or_default();
            let change = match versions.last() {
                None => Some((1, price.from)),
                Some(latest) if latest.price == price.price => {
                    if price.from.is_some() && price.from != latest.from {
                        let message = format!(
                            "version {} has this price already, and the day of a version does not change; to move it, \
                             apply the price before it again, then this one",
                            latest.version
                        );
                        self.refuse(entry, format!("prices.{currency}.from"), message);
                    }
                    None
                }
                Some(latest) => self.begin(entry, currency, price).map(|from| (latest.version + 1, Some(from))),
            };
            if let Some((version, from)) = change {
                self.changes.push(Change::Price {
                    offer: entry.slug.clone(),
                    currency,
                    version,
                    from,
                    price: price.price.clone(),
                });
            }
        }
    }

    /// The first day of a later version: the one it names, if that is not past, or today.
    fn begin(&mut self, entry: &OfferEntry, currency: Currency, price: &PriceEntry) -> Option<NaiveDate> {
        let from = price.from.unwrap_or(self.today);
        if from < self.today {
            let message = format!(
                "is {from}, before today, {}: a changed price never counts for the past; name a later day, or leave it \
                 out for today",
                self.today
            );
            self.refuse(entry, format!("prices.{currency}.from"), message);
            return None;
        }
        Some(from)
    }

    /// R-52, and no way around it by moving an offer to `preview` for a while.
    fn free_stays_free(&mut self, offer: &Offer, entry: &OfferEntry) {
        let was_free = offer.prices.values().flatten().all(|version| costs_nothing(&version.price));
        if !was_free || offer.definition.state == OfferState::Preview {
            return;
        }
        if !entry.prices.values().all(|price| costs_nothing(&price.price)) {
            let message = "has been free and can never become paid; sell something new as an offer of its own, which may \
                           be free only while its state is preview";
            self.refuse(entry, "prices", message);
        } else if entry.definition.state == OfferState::Preview {
            let message = "cannot become preview, since it has been free outside of it and so stays free";
            self.refuse(entry, "state", message);
        }
    }
}

fn costs_nothing(price: &Price) -> bool {
    let spec = price.spec();
    let mut amounts = spec.bands.iter().flat_map(|band| [band.unit, band.flat]).chain([spec.unit, spec.flat]);
    amounts.all(|amount| amount.is_none_or(|amount| amount == UnitPrice::ZERO))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use crate::catalogue::file::parse;
    use kernel::IdSource;

    const PRICE: &str = "[offer.prices.USD]\nmodel = \"per_unit\"\nunit = \"6.00\"\n";

    fn day(text: &str) -> NaiveDate {
        kernel::parse_date(text).unwrap()
    }

    fn file(offer: &str) -> CatalogueFile {
        parse(&format!(
            "[[publisher]]\nslug = \"ms\"\nname = \"The platform\"\nshare = \"0\"\n[[offer]]\nslug = \"x.y\"\nname = \"Y\"\n\
             publisher = \"ms\"\nkind = \"users\"\nunit = \"user\"\n{offer}"
        ))
        .unwrap()
    }

    fn catalogue(offer: &str) -> Catalogue {
        let at = kernel::parse_rfc3339("2018-04-15T10:00:00Z").unwrap();
        Catalogue::of_file(&file(offer), at, &mut IdSource::seeded(1))
    }

    /// What applying `next` over `current` on 15 April 2018 changes or is refused for, as text.
    fn outcome(current: &Catalogue, next: &str) -> Vec<String> {
        match diff(current, &file(next), day("2018-04-15")) {
            Ok(changes) => changes.iter().map(ToString::to_string).collect(),
            Err(faults) => faults.iter().map(|fault| format!("refused: {fault}")).collect(),
        }
    }

    /// The first line of [`outcome`], of one offer that becomes another.
    fn only(current: &str, next: &str) -> String {
        let mut lines = outcome(&catalogue(current), next);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }

    #[test]
    fn everything_is_new_to_an_empty_catalogue_and_nothing_the_second_time() {
        assert_eq!(
            outcome(&Catalogue::empty(), PRICE),
            [
                "publisher ms is new",
                "offer x.y is new: Y, listed",
                "offer x.y: price version 1 in USD from the beginning: {\"model\":\"per_unit\",\"unit\":\"6.00\"}",
            ]
        );
        let none: [&str; 0] = [];
        assert_eq!(outcome(&catalogue(PRICE), PRICE), none);
        assert_eq!(outcome(&catalogue(PRICE), &PRICE.replace("6.00", "6.0")), none, "the same by value");
    }

    #[test]
    fn the_platform_itself_needs_no_entry() {
        let file = CatalogueFile { publishers: Vec::new(), ..file("") };
        let changes = diff(&Catalogue::empty(), &file, day("2018-04-15")).unwrap();
        assert!(matches!(&changes[0], Change::Publisher { before: None, after } if after.slug.as_str() == "ms"));
        assert_eq!(diff(&catalogue(""), &file, day("2018-04-15")), Ok(vec![]));
    }

    #[test]
    fn a_changed_price_is_a_new_version_from_the_day_it_names_or_today() {
        let dearer = PRICE.replace("6.00", "7.00");
        let begins = "offer x.y: price version 2 in USD from 2018-04-15:";
        assert!(only(PRICE, &dearer).starts_with(begins));
        assert!(only(PRICE, &format!("{dearer}from = \"2018-04-15\"")).starts_with(begins));
        let announced = only(PRICE, &format!("{dearer}from = \"2018-07-01\""));
        assert!(announced.starts_with("offer x.y: price version 2 in USD from 2018-07-01:"), "{announced}");
    }

    #[test]
    fn what_is_refused() {
        let cases = [
            (
                PRICE.to_owned(),
                format!("{}from = \"2018-04-14\"", PRICE.replace("6.00", "7")),
                "prices.USD.from: is 2018-04-14, before today",
            ),
            (
                format!("{PRICE}from = \"2018-01-01\""),
                format!("{PRICE}from = \"2018-05-01\""),
                "prices.USD.from: version 1 has this price already",
            ),
            (PRICE.to_owned(), PRICE.replace("USD", "EUR"), "prices.USD: cannot be taken away"),
            (PRICE.to_owned(), String::new(), "prices.USD: cannot be taken away"),
            (String::new(), PRICE.to_owned(), "prices: has been free and can never become paid"),
            (PRICE.replace("6.00", "0"), PRICE.to_owned(), "prices: has been free and can never become paid"),
            (String::new(), "state = \"preview\"".to_owned(), "state: cannot become preview"),
        ];
        for (current, next, expected) in cases {
            let lines = outcome(&catalogue(&current), &next);
            let expected = format!("refused: offer x.y, {expected}");
            assert!(lines.iter().any(|line| line.starts_with(&expected)), "{lines:?} lacks {expected}");
        }
    }

    #[test]
    fn a_free_preview_may_become_paid() {
        let lines = outcome(&catalogue("state = \"preview\""), PRICE);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "offer x.y: state \"preview\" -> \"listed\"");
        let zero = PRICE.replace("6.00", "0.00");
        assert_eq!(outcome(&catalogue(""), &zero).len(), 1, "a price of nothing leaves it free");
    }

    #[test]
    fn definitions_say_what_changes_and_missing_offers_stay() {
        assert_eq!(only(PRICE, &format!("maximum = 10\n{PRICE}")), "offer x.y: maximum 1000000000 -> 10");
        assert_eq!(
            only(PRICE, &format!("{PRICE}[[publisher]]\nslug = \"p\"\nname = \"P\"\nshare = \"0.8\"")),
            "publisher p is new"
        );
        assert_eq!(diff(&catalogue(PRICE), &CatalogueFile::default(), day("2018-04-15")), Ok(vec![]));
    }
}
