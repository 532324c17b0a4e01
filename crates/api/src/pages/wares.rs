//! Offers as pages show them: what one costs at a glance, its price table, its units in words.

use super::locale::{Locale, date};
use chrono::NaiveDate;
use kernel::{Currency, Model, Price, UnitPrice};
use marketplace::catalogue::{Catalogue, Offer, OfferKind, OfferState};

/// An offer in a list.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Its name in addresses.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Who sells it.
    pub publisher: String,
    /// What it is, in a line.
    pub summary: String,
    /// Two letters that stand for it.
    pub initials: String,
    /// What one costs.
    pub price: String,
    /// Free, on trial or paid, told apart at a glance.
    pub tags: Vec<Tag>,
}

/// A word in a colour.
#[derive(Clone, Debug)]
pub struct Tag {
    /// `good`, `warn`, `bad` or none.
    pub class: &'static str,
    /// The word.
    pub words: String,
}

impl Tag {
    /// A word in a colour.
    pub fn new(class: &'static str, words: impl Into<String>) -> Self {
        Self { class, words: words.into() }
    }
}

impl Tile {
    /// An offer as it stands on a day, priced in a currency where it is sold in it, else in its first.
    pub fn of(offer: &Offer, catalogue: &Catalogue, currency: Currency, today: NaiveDate, locale: Locale) -> Self {
        let definition = &offer.definition;
        let publisher = catalogue.publisher(definition.publisher.as_str());
        Self {
            slug: offer.slug.to_string(),
            name: definition.name.to_string(),
            publisher: publisher.map_or_else(|| definition.publisher.to_string(), |one| one.name.to_string()),
            summary: definition.summary.clone(),
            initials: initials(definition.name.as_str()),
            price: price(offer, currency, today, locale),
            tags: tags(offer, locale),
        }
    }
}

/// The first letters of the first two words.
fn initials(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let letters: String = words.take(2).filter_map(|word| word.chars().next()).collect();
    letters.to_uppercase()
}

/// The currency that an offer is shown in: the one asked for where there is a price in it, else its first.
pub fn shown_in(offer: &Offer, asked: Currency) -> Currency {
    if offer.prices.contains_key(&asked) { asked } else { offer.prices.keys().next().copied().unwrap_or(asked) }
}

fn price(offer: &Offer, currency: Currency, today: NaiveDate, locale: Locale) -> String {
    let definition = &offer.definition;
    if definition.bring_your_own_license {
        return "Billed by its publisher".to_owned();
    }
    if offer.is_free() {
        return "Free".to_owned();
    }
    let currency = shown_in(offer, currency);
    let Some(version) = offer.price_on(currency, today) else { return "No price today".to_owned() };
    let spec = version.price.spec();
    let first = spec.bands.first();
    let unit = spec.unit.or_else(|| first.and_then(|band| band.unit));
    let flat = spec.flat.or_else(|| first.and_then(|band| band.flat));
    match (spec.model, unit, flat) {
        (Model::Package, Some(unit), _) => {
            let size = spec.size.unwrap_or(1);
            format!("{} / {}", locale.unit(unit, currency), units(size, definition.unit.as_str(), locale))
        }
        (Model::Flat, _, Some(flat)) | (_, None, Some(flat)) => format!("{} / month", locale.unit(flat, currency)),
        (Model::Flat, Some(unit), None) => format!("{} / month", locale.unit(unit, currency)),
        (_, Some(unit), _) => format!("{} / {}", locale.unit(unit, currency), definition.unit),
        (_, None, None) => locale.unit(UnitPrice::ZERO, currency),
    }
}

fn tags(offer: &Offer, locale: Locale) -> Vec<Tag> {
    let definition = &offer.definition;
    let mut tags = Vec::new();
    match definition.state {
        OfferState::Preview => tags.push(Tag::new("warn", "Preview")),
        OfferState::Retired => tags.push(Tag::new("bad", "No longer sold")),
        OfferState::Listed | OfferState::Hidden => {}
    }
    if offer.is_free() && !definition.bring_your_own_license {
        tags.push(Tag::new("good", "Free"));
        return tags;
    }
    if definition.included > 0 {
        let first = if definition.included == 1 { "" } else { "First " };
        tags.push(Tag::new("good", format!("{first}{} free", locale.number(definition.included))));
    }
    if definition.trial_days > 0 {
        tags.push(Tag::new("good", format!("{}-day trial", definition.trial_days)));
    }
    tags.push(Tag::new("", "Paid"));
    tags
}

/// A row of a price table.
#[derive(Clone, Debug)]
pub struct PriceRow {
    /// Which paid units.
    pub range: String,
    /// What each costs.
    pub each: String,
    /// What the band costs besides; empty for nothing.
    pub fee: String,
}

/// A price as a table.
#[derive(Clone, Debug)]
pub struct PriceTable {
    /// How it is counted, in a sentence.
    pub how: String,
    /// Its rows.
    pub rows: Vec<PriceRow>,
    /// Whether any row has a fee.
    pub fees: bool,
}

/// The table of a price.
pub fn table(price: &Price, unit: &str, currency: Currency, locale: Locale) -> PriceTable {
    let spec = price.spec();
    let money = |price: Option<UnitPrice>| price.map(|price| locale.unit(price, currency)).unwrap_or_default();
    let how = match spec.model {
        Model::Flat => "One price a month, however many.".to_owned(),
        Model::PerUnit => format!("Every {unit} costs the same."),
        Model::Graduated => format!("Each {unit} costs what its own row says."),
        Model::Volume => format!("All of them cost what the row of the last {unit} says."),
        Model::Package => {
            format!("Sold in packages of {}.", units(spec.size.unwrap_or(1), unit, locale))
        }
    };
    let mut rows = Vec::new();
    let mut from: i64 = 1;
    for band in &spec.bands {
        let range = match band.up_to {
            Some(to) if to == from => locale.number(from),
            Some(to) => format!("{} to {}", locale.number(from), locale.number(to)),
            None if from == 1 => "any number".to_owned(),
            None => format!("{} and more", locale.number(from)),
        };
        rows.push(PriceRow { range, each: money(band.unit), fee: money(band.flat) });
        from = band.up_to.map_or(from, |to| to.saturating_add(1));
    }
    if rows.is_empty() {
        let (each, fee) = if spec.model == Model::Flat {
            (String::new(), money(spec.flat.or(spec.unit)))
        } else {
            (money(spec.unit), money(spec.flat))
        };
        rows.push(PriceRow { range: "any number".to_owned(), each, fee });
    }
    PriceTable { how, fees: rows.iter().any(|row| !row.fee.is_empty()), rows }
}

/// A price that comes into force later, in words.
pub fn upcoming(offer: &Offer, currency: Currency, today: NaiveDate) -> Option<String> {
    let next = offer.versions(currency).iter().filter_map(|version| version.from).filter(|from| *from > today).min()?;
    Some(format!("Another price holds from {} on.", date(next)))
}

/// So many units, in words: `1 user`, `5 users`.
pub fn units(count: i64, unit: &str, locale: Locale) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {unit}{plural}", locale.number(count))
}

/// What a kind of offers is called, one and many.
pub const fn kind_words(kind: OfferKind) -> (&'static str, &'static str) {
    match kind {
        OfferKind::Users => ("Users", "Users"),
        OfferKind::Pipelines => ("Pipeline", "Pipelines"),
        OfferKind::Extension => ("Extension", "Extensions"),
        OfferKind::LoadTesting => ("Load testing", "Load testing"),
    }
}
