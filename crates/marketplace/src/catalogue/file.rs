//! The catalogue file (contract, "The catalogue file"): read strictly, every fault named with where it stands and what to
//! write instead. What the entries mean together is looked at in `lint`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use kernel::{CountryCode, Currency, DayRule, Price, PriceSpec, Slug, TextError, parse_date};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::model::{Collection, Definition, OfferState, Publisher};

/// Longest summary, in characters: one line.
const LONGEST_SUMMARY: usize = 500;

/// Something that is wrong in a catalogue file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The entry: `offer ms.feed`, `publisher ms`, or `file`.
    pub item: String,
    /// The field in it, with dots; empty for the entry as a whole.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Fault {
    /// A fault of `field` in `item`.
    pub fn new(item: impl Into<String>, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { item: item.into(), field: field.into(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.item)?;
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A catalogue file whose entries are well-formed one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogueFile {
    /// Its publishers, in the file's order.
    pub publishers: Vec<Publisher>,
    /// Its offers, in the file's order.
    pub offers: Vec<OfferEntry>,
}

/// An offer as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferEntry {
    /// Its name in addresses.
    pub slug: Slug,
    /// All but the prices, defaults filled in.
    pub definition: Definition,
    /// The latest price in each currency.
    pub prices: BTreeMap<Currency, PriceEntry>,
}

/// A price as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceEntry {
    /// The day it names, if it does.
    pub from: Option<NaiveDate>,
    /// The price.
    pub price: Price,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublisherFields {
    slug: String,
    name: String,
    share: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfferFields {
    slug: String,
    name: String,
    #[serde(default)]
    summary: String,
    publisher: String,
    kind: String,
    unit: String,
    state: Option<String>,
    #[serde(default)]
    included: i64,
    #[serde(default)]
    minimum: i64,
    #[serde(default = "default_maximum")]
    maximum: i64,
    proration: Option<String>,
    #[serde(default)]
    trial_days: i64,
    #[serde(default)]
    first_paid_replaces_included: bool,
    #[serde(default)]
    bring_your_own_license: bool,
    collection: Option<String>,
    countries: Option<Vec<String>>,
    #[serde(default)]
    prices: BTreeMap<String, toml::Table>,
}

const fn default_maximum() -> i64 {
    1_000_000_000
}

/// Reads a catalogue file.
///
/// # Errors
/// Every fault found: of the text as TOML, of entries, of their fields, and of prices.
pub fn parse(text: &str) -> Result<CatalogueFile, Vec<Fault>> {
    let table: toml::Table =
        toml::from_str(text).map_err(|e| vec![Fault::new("file", line_of(text, &e), e.message())])?;
    let mut faults = Vec::new();
    let mut file = CatalogueFile::default();
    for (key, value) in table {
        match key.as_str() {
            "publisher" => file.publishers = entries(&key, value, &mut faults, publisher),
            "offer" => file.offers = entries(&key, value, &mut faults, offer),
            _ => faults.push(Fault::new("file", key, "is not known; write [[publisher]] and [[offer]]")),
        }
    }
    if faults.is_empty() { Ok(file) } else { Err(faults) }
}

/// The place of a syntax error, for people: `line 7`.
fn line_of(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    before.map(|before| format!("line {}", before.matches('\n').count().saturating_add(1))).unwrap_or_default()
}

/// Reads the entries `[[key]]`, each for itself, so that one that is wrong does not hide the faults of the next.
fn entries<F: DeserializeOwned, T>(
    key: &str,
    value: toml::Value,
    faults: &mut Vec<Fault>,
    read: fn(F, &mut Entry<'_>) -> Option<T>,
) -> Vec<T> {
    let toml::Value::Array(values) = value else {
        faults.push(Fault::new("file", key, format!("must be a list of entries; write [[{key}]]")));
        return Vec::new();
    };
    let mut read_entries = Vec::new();
    for (place, value) in (1_usize..).zip(values) {
        let slug = value.get("slug").and_then(toml::Value::as_str);
        let item = slug.map_or_else(|| format!("{key} number {place}"), |slug| format!("{key} {slug}"));
        match value.try_into::<F>() {
            Ok(fields) => read_entries.extend(read(fields, &mut Entry { item: &item, faults })),
            Err(e) => faults.push(Fault::new(item, "", one_line(&e))),
        }
    }
    read_entries
}

/// The library's message; it names the place within the entry on a second line.
fn one_line(error: &toml::de::Error) -> String {
    error.to_string().trim().replace('\n', " ")
}

/// An entry that is being read, and where its faults go.
struct Entry<'a> {
    item: &'a str,
    faults: &'a mut Vec<Fault>,
}

impl Entry<'_> {
    fn fault(&mut self, field: &str, message: impl Into<String>) {
        self.faults.push(Fault::new(self.item, field, message));
    }

    fn word<T: FromStr<Err = TextError>>(&mut self, field: &str, text: &str) -> Option<T> {
        text.parse().map_err(|e| self.fault(field, format!("{e}; it is {text:?}"))).ok()
    }

    fn word_or<T: FromStr<Err = TextError>>(&mut self, field: &str, text: Option<&str>, default: T) -> Option<T> {
        text.map_or(Some(default), |text| self.word(field, text))
    }
}

fn publisher(fields: PublisherFields, entry: &mut Entry<'_>) -> Option<Publisher> {
    let slug = entry.word("slug", &fields.slug);
    let name = entry.word("name", &fields.name);
    let share = entry.word("share", &fields.share);
    Some(Publisher { slug: slug?, name: name?, share: share? })
}

fn offer(fields: OfferFields, entry: &mut Entry<'_>) -> Option<OfferEntry> {
    let slug = entry.word("slug", &fields.slug);
    let name = entry.word("name", &fields.name);
    let summary = summary(fields.summary, entry);
    let publisher = entry.word("publisher", &fields.publisher);
    let kind = entry.word("kind", &fields.kind);
    let unit = entry.word("unit", &fields.unit);
    let state = entry.word_or("state", fields.state.as_deref(), OfferState::Listed);
    let proration = entry.word_or("proration", fields.proration.as_deref(), DayRule::DaysAfter);
    let collection = entry.word_or("collection", fields.collection.as_deref(), Collection::OnInvoice);
    let countries = countries(fields.countries, entry);
    let known = entry.faults.len();
    let prices: BTreeMap<_, _> =
        fields.prices.into_iter().filter_map(|(code, table)| price(&code, table, entry)).collect();
    let prices = (entry.faults.len() == known).then_some(prices);
    Some(OfferEntry {
        slug: slug?,
        definition: Definition {
            name: name?,
            summary: summary?,
            publisher: publisher?,
            kind: kind?,
            unit: unit?,
            state: state?,
            included: fields.included,
            minimum: fields.minimum,
            maximum: fields.maximum,
            proration: proration?,
            trial_days: fields.trial_days,
            first_paid_replaces_included: fields.first_paid_replaces_included,
            bring_your_own_license: fields.bring_your_own_license,
            collection: collection?,
            countries: countries?,
        },
        prices: prices?,
    })
}

fn summary(text: String, entry: &mut Entry<'_>) -> Option<String> {
    let fits = text.chars().count() <= LONGEST_SUMMARY && !text.chars().any(char::is_control);
    if !fits {
        entry.fault("summary", format!("must be one line of at most {LONGEST_SUMMARY} characters"));
    }
    fits.then_some(text)
}

fn countries(codes: Option<Vec<String>>, entry: &mut Entry<'_>) -> Option<Vec<String>> {
    let Some(codes) = codes else { return Some(vec!["*".to_owned()]) };
    let known = entry.faults.len();
    if codes.is_empty() {
        entry.fault(
            "countries",
            "is empty, so that nobody could pay; leave it out for all countries, or retire the offer",
        );
    }
    if codes.len() > 1 && codes.iter().any(|code| code == "*") {
        entry.fault("countries", "has \"*\" beside others; write [\"*\"] for all, or the countries alone");
    }
    for code in codes.iter().filter(|code| *code != "*") {
        let _: Option<CountryCode> = entry.word("countries", code);
    }
    (entry.faults.len() == known).then_some(codes)
}

fn price(code: &str, mut table: toml::Table, entry: &mut Entry<'_>) -> Option<(Currency, PriceEntry)> {
    let field = format!("prices.{code}");
    let currency: Option<Currency> = entry.word(&field, code);
    let from = match table.remove("from") {
        None => Some(None),
        Some(value) => date(&value).map_err(|e| entry.fault(&format!("{field}.from"), e.to_string())).ok().map(Some),
    };
    let spec = table.try_into::<PriceSpec>().map_err(|e| entry.fault(&field, one_line(&e))).ok();
    let price = spec.and_then(|spec| {
        Price::parse(spec).map_err(|faults| faults.iter().for_each(|fault| entry.fault(&field, fault.to_string()))).ok()
    });
    Some((currency?, PriceEntry { from: from?, price: price? }))
}

/// A date, as text or as TOML's own.
fn date(value: &toml::Value) -> Result<NaiveDate, TextError> {
    match value {
        toml::Value::String(text) => parse_date(text),
        toml::Value::Datetime(date) => parse_date(&date.to_string()),
        _ => parse_date(""),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use crate::catalogue::model::OfferKind;

    const OFFER: &str =
        "[[offer]]\nslug = \"x.y\"\nname = \"Y\"\npublisher = \"ms\"\nkind = \"users\"\nunit = \"user\"\n";

    fn shipped() -> CatalogueFile {
        parse(include_str!("../../../../config/catalog.toml")).unwrap()
    }

    #[test]
    fn the_shipped_catalogue_is_read() {
        let file = shipped();
        assert_eq!((file.publishers.len(), file.offers.len()), (4, 9));
        let users = &file.offers[0];
        assert_eq!(users.slug.as_str(), "ms.vss-vstsuser");
        assert_eq!((users.definition.included, users.definition.maximum), (5, 100_000));
        let usd = &users.prices[&"USD".parse().unwrap()];
        assert_eq!(usd.from, None);
        assert_eq!(usd.price.total(1_495).to_decimal_string(2), "5350");
        assert!(file.offers[8].prices.is_empty());
    }

    #[test]
    fn what_is_left_out_has_the_defaults_of_the_contract() {
        let file = parse(OFFER).unwrap();
        let definition = &file.offers[0].definition;
        assert_eq!(
            *definition,
            Definition {
                name: "Y".parse().unwrap(),
                summary: String::new(),
                publisher: "ms".parse().unwrap(),
                kind: OfferKind::Users,
                unit: "user".parse().unwrap(),
                state: OfferState::Listed,
                included: 0,
                minimum: 0,
                maximum: 1_000_000_000,
                proration: DayRule::DaysAfter,
                trial_days: 0,
                first_paid_replaces_included: false,
                bring_your_own_license: false,
                collection: Collection::OnInvoice,
                countries: vec!["*".to_owned()],
            }
        );
    }

    #[test]
    fn a_date_may_be_text_or_a_date() {
        for day in ["\"2018-07-01\"", "2018-07-01"] {
            let file =
                parse(&format!("{OFFER}[offer.prices.USD]\nfrom = {day}\nmodel = \"per_unit\"\nunit = \"1\"")).unwrap();
            let price = file.offers[0].prices.values().next().unwrap();
            assert_eq!(price.from.unwrap().to_string(), "2018-07-01");
        }
    }

    #[test]
    fn faults_name_entry_field_and_remedy() {
        let usd = "[offer.prices.USD]\n";
        let cases: &[(String, &[&str])] = &[
            ("[[offer]\n".into(), &["file, line 1: "]),
            ("a = 1\n\n= 2\n".into(), &["file, line 3: "]),
            ("offers = []".into(), &["file, offers: ", "[[offer]]"]),
            ("offer = 1".into(), &["file, offer: ", "write [[offer]]"]),
            ("[[offer]]\nname = \"Y\"".into(), &["offer number 1: ", "slug"]),
            (format!("{OFFER}colour = \"red\""), &["offer x.y: ", "colour"]),
            (format!("{OFFER}included = \"5\""), &["offer x.y: ", "included"]),
            (
                format!("{OFFER}state = \"open\""),
                &["offer x.y, state: must be one of listed, preview, hidden, retired"],
            ),
            (format!("{OFFER}proration = \"weeks\""), &["offer x.y, proration: must be one of days_after"]),
            (format!("{OFFER}collection = \"later\""), &["offer x.y, collection: must be one of"]),
            (format!("{OFFER}countries = [\"DE\", \"XX\"]"), &["offer x.y, countries: ", "\"XX\""]),
            (format!("{OFFER}countries = [\"DE\", \"*\"]"), &["offer x.y, countries: ", "beside others"]),
            (format!("{OFFER}countries = []"), &["offer x.y, countries: ", "leave it out"]),
            (format!("{OFFER}summary = \"a\\nb\""), &["offer x.y, summary: must be one line"]),
            (
                format!("{OFFER}[offer.prices.XXX]\nmodel = \"flat\"\nflat = \"1\""),
                &["offer x.y, prices.XXX: ", "ISO 4217"],
            ),
            (format!("{OFFER}{usd}unit = \"1\""), &["offer x.y, prices.USD: ", "model"]),
            (format!("{OFFER}{usd}model = \"per_unit\"\nunit = 6.00"), &["offer x.y, prices.USD: ", "unit"]),
            (format!("{OFFER}{usd}model = \"per_unit\"\nunit = \"-6\""), &["offer x.y, prices.USD: ", "not negative"]),
            (
                format!("{OFFER}{usd}model = \"per_unit\"\nunit = \"6\"\nfrom = \"1.7.2018\""),
                &["offer x.y, prices.USD.from: must be a date"],
            ),
            (
                format!("{OFFER}{usd}model = \"per_unit\"\nunit = \"6\"\nfrom = 2018"),
                &["offer x.y, prices.USD.from: must be a date"],
            ),
            (
                format!("{OFFER}{usd}model = \"graduated\"\nbands = [{{ up_to = 5, unit = \"6\" }}]"),
                &["prices.USD: band 1: the last band"],
            ),
            (
                format!(
                    "{OFFER}{usd}model = \"volume\"\nbands = [{{ up_to = 5, unit = \"6\" }}, {{ up_to = 5, unit = \"5\" }}, {{ unit = \"4\" }}]"
                ),
                &["prices.USD: band 2: ", "overlap"],
            ),
            (format!("{OFFER}{usd}model = \"package\"\nunit = \"6\""), &["prices.USD: a package needs a size"]),
            (
                "[[publisher]]\nslug = \"p\"\nname = \"P\"\nshare = \"1.01\"".into(),
                &["publisher p, share: must be a decimal from 0 to 1"],
            ),
            ("[[publisher]]\nslug = \"p\"\nname = \"P\"\nshare = \"-0.1\"".into(), &["publisher p, share: "]),
            ("[[publisher]]\nslug = \"P p\"\nname = \"P\"\nshare = \"0\"".into(), &["publisher P p, slug: "]),
        ];
        for (text, expected) in cases {
            let faults = parse(text).expect_err(text);
            assert_eq!(faults.len(), 1, "{text}: {faults:?}");
            let line = faults[0].to_string();
            assert!(!line.contains('\n'), "{line}");
            for part in *expected {
                assert!(line.contains(part), "{line:?} lacks {part:?}");
            }
        }
    }

    #[test]
    fn one_fault_does_not_hide_the_next() {
        let text = format!("{OFFER}state = \"open\"\nproration = \"weeks\"\n{}", OFFER.replace("x.y", "X Y"));
        assert_eq!(parse(&text).unwrap_err().len(), 3);
    }
}
