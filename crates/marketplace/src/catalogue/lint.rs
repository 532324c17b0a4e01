//! What is wrong with a catalogue file as a whole (errors, which stop `apply`), and what an author may not have meant
//! (warnings, which don't), each with the purchase that shows it.

use std::collections::BTreeSet;
use std::fmt;

use kernel::{Currency, DayRule, Money, Price, Slug};

use super::file::{CatalogueFile, Fault, OfferEntry, PriceEntry, parse};
use super::model::Definition;

/// Largest quantity: what JSON readers keep exactly, 2^53 − 1.
const LARGEST: i64 = 9_007_199_254_740_991;

/// Longest trial, in days: ten years.
const LONGEST_TRIAL: i64 = 3_650;

/// What a file is looked at for: the installation's own publisher and currency (`platform.*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The publisher that is the platform itself; it needs no entry.
    pub publisher: Slug,
    /// The currency of quotes that name neither payer nor currency.
    pub currency: Currency,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// These stop `apply`.
    pub errors: Vec<Fault>,
    /// These don't.
    pub warnings: Vec<Fault>,
}

impl Report {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty() && self.warnings.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.errors.iter().map(|fault| ("error", fault));
        let warnings = self.warnings.iter().map(|fault| ("warning", fault));
        for (place, (word, fault)) in errors.chain(warnings).enumerate() {
            let line_end = if place == 0 { "" } else { "\n" };
            write!(f, "{line_end}{word}: {fault}")?;
        }
        Ok(())
    }
}

/// Reads a catalogue file and looks at it.
///
/// # Errors
/// The report, where it has errors.
pub fn read(text: &str, platform: &Platform) -> Result<(CatalogueFile, Report), Report> {
    let file = parse(text).map_err(|errors| Report { errors, warnings: Vec::new() })?;
    let report = look_at(&file, platform);
    if report.errors.is_empty() { Ok((file, report)) } else { Err(report) }
}

/// Everything there is to say about a catalogue file.
#[must_use]
pub fn lint(text: &str, platform: &Platform) -> Report {
    read(text, platform).map_or_else(|report| report, |(_, report)| report)
}

fn look_at(file: &CatalogueFile, platform: &Platform) -> Report {
    let mut report = Report::default();
    let mut publishers = BTreeSet::new();
    for publisher in &file.publishers {
        if !publishers.insert(&publisher.slug) {
            let message = "is there twice; keep one entry a publisher";
            report.errors.push(Fault::new(format!("publisher {}", publisher.slug), "slug", message));
        }
    }
    publishers.insert(&platform.publisher);
    let mut offers = BTreeSet::new();
    for offer in &file.offers {
        let item = format!("offer {}", offer.slug);
        if !offers.insert(&offer.slug) {
            report.errors.push(Fault::new(&item, "slug", "is there twice; keep one entry an offer"));
        }
        let publisher = &offer.definition.publisher;
        if !publishers.contains(publisher) {
            let message = format!("{publisher} is not known; add a [[publisher]] with this slug");
            report.errors.push(Fault::new(&item, "publisher", message));
        }
        let known = report.errors.len();
        numbers(&item, &offer.definition, &mut report.errors);
        // Totals of quantities that are wrong themselves would only repeat it.
        if report.errors.len() == known {
            prices(&item, offer, platform, &mut report);
        }
    }
    report.warnings.extend(free_days(file));
    report
}

fn numbers(item: &str, definition: &Definition, errors: &mut Vec<Fault>) {
    let &Definition { included, minimum, maximum, trial_days, .. } = definition;
    for (field, number, largest) in [
        ("included", included, LARGEST),
        ("minimum", minimum, LARGEST),
        ("maximum", maximum, LARGEST),
        ("trial_days", trial_days, LONGEST_TRIAL),
    ] {
        if !(0..=largest).contains(&number) {
            errors.push(Fault::new(item, field, format!("is {number}; it must be from 0 to {largest}")));
        }
    }
    if minimum > maximum {
        let message = format!("is {minimum}, more than maximum, {maximum}; nothing could be bought");
        errors.push(Fault::new(item, "minimum", message));
    }
}

fn prices(item: &str, offer: &OfferEntry, platform: &Platform, report: &mut Report) {
    let Definition { minimum, maximum, .. } = offer.definition;
    for (&currency, PriceEntry { price, .. }) in &offer.prices {
        let field = format!("prices.{currency}");
        if let Some(quantity) = too_large(price, currency, minimum, maximum) {
            let message = format!(
                "{quantity} units cost more than can be counted; lower maximum, which is {maximum}, or the price"
            );
            report.errors.push(Fault::new(item, field, message));
        } else if let Some((below, above)) = price.falls_at(minimum, maximum) {
            let (less, more) = (amount(price, currency, above), amount(price, currency, below));
            let message = format!(
                "the total falls as the quantity grows: {below} units cost {more} a month and {above} cost {less}. Whoever \
                 pays for {below} gains by buying {above}: that costs nothing now and {less} from the next month on. \
                 graduated bands never fall"
            );
            report.warnings.push(Fault::new(item, field, message));
        }
    }
    if !offer.prices.is_empty() && !offer.prices.contains_key(&platform.currency) {
        let currency = platform.currency;
        let message =
            format!("there is no price in {currency}, the platform's currency, which quotes without a payer are in");
        report.warnings.push(Fault::new(item, "prices", message));
    }
}

/// The quantities at which a total may be greatest: a total rises within a band.
fn peaks(price: &Price, minimum: i64, maximum: i64) -> impl Iterator<Item = i64> {
    let edges = price.spec().bands.into_iter().filter_map(|band| band.up_to);
    edges.filter(move |edge| (minimum..maximum).contains(edge)).chain([maximum])
}

/// The first quantity whose total is more minor units than can be counted.
fn too_large(price: &Price, currency: Currency, minimum: i64, maximum: i64) -> Option<i64> {
    peaks(price, minimum, maximum).find(|&quantity| Money::from_exact(&price.total(quantity), currency).is_err())
}

fn amount(price: &Price, currency: Currency, quantity: i64) -> String {
    format!("{} {currency}", price.total(quantity).to_decimal_string(12))
}

/// Under `days_after` the day of the purchase is free, so that cancelling and buying again gains it every month; no
/// other rule charges less for a whole month than the month's turn does. Said once, since it is the default rule.
fn free_days(file: &CatalogueFile) -> Option<Fault> {
    let gaining = |offer: &&OfferEntry| offer.definition.proration == DayRule::DaysAfter && !offer.prices.is_empty();
    let offers: Vec<&str> = file.offers.iter().filter(gaining).map(|offer| offer.slug.as_str()).collect();
    if offers.is_empty() {
        return None;
    }
    let message = format!(
        "days_after leaves the day of the purchase free: whoever cancels before the turn of the month and buys again on \
         the 1st gains a day's price every month (29/30 of a month of 30 days), and who buys on the last day and cancels \
         pays nothing. inclusive_days and seconds don't gain. So it is for {}",
        offers.join(", ")
    );
    Some(Fault::new("file", "proration", message))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    fn platform() -> Platform {
        Platform { publisher: "ms".parse().unwrap(), currency: "USD".parse().unwrap() }
    }

    /// An offer that has nothing wrong but what `more` adds.
    fn offer(more: &str) -> String {
        let proration = if more.contains("proration") { "" } else { "proration = \"inclusive_days\"\n" };
        let offer = "[[offer]]\nslug = \"x.y\"\nname = \"Y\"\npublisher = \"ms\"\nkind = \"users\"\nunit = \"user\"\n";
        format!("{offer}{proration}{more}\n")
    }

    fn priced(more: &str, price: &str) -> String {
        offer(&format!("{more}\n[offer.prices.USD]\n{price}"))
    }

    #[test]
    fn errors() {
        let twice = format!("{0}{0}", offer(""));
        let publisher = "[[publisher]]\nslug = \"p\"\nname = \"P\"\nshare = \"0.5\"\n";
        let cases = [
            (twice, "offer x.y, slug: is there twice"),
            (format!("{publisher}{publisher}"), "publisher p, slug: is there twice"),
            (offer("").replace("\"ms\"", "\"who\""), "offer x.y, publisher: who is not known; add a [[publisher]]"),
            (offer("minimum = 6\nmaximum = 5"), "offer x.y, minimum: is 6, more than maximum, 5"),
            (offer("included = -1"), "offer x.y, included: is -1"),
            (offer("minimum = -1"), "offer x.y, minimum: is -1"),
            (offer("maximum = 9007199254740992"), "offer x.y, maximum: is 9007199254740992"),
            (offer("trial_days = -1"), "offer x.y, trial_days: is -1"),
            (
                priced("maximum = 1000000000000", "model = \"per_unit\"\nunit = \"100000\""),
                "offer x.y, prices.USD: 1000000000000 units cost more than can be counted",
            ),
            (
                priced(
                    "maximum = 1000000000000",
                    "model = \"volume\"\nbands = [{ up_to = 999999999999, unit = \"100000\" }, { unit = \"1\" }]",
                ),
                "offer x.y, prices.USD: 999999999999 units cost more than can be counted",
            ),
            (offer("state = \"open\""), "offer x.y, state: must be one of"),
        ];
        for (text, expected) in cases {
            let report = lint(&text, &platform());
            assert_eq!(report.errors.len(), 1, "{report}");
            assert!(report.errors[0].to_string().starts_with(expected), "{report}");
            assert!(report.to_string().starts_with("error: "));
        }
    }

    #[test]
    fn warnings() {
        let falls = "model = \"volume\"\nbands = [{ up_to = 20, unit = \"25\" }, { unit = \"20\" }]";
        let free_day = priced("proration = \"days_after\"", "model = \"per_unit\"\nunit = \"6\"");
        let euros = priced("", "model = \"per_unit\"\nunit = \"6\"").replace("USD", "EUR");
        let cases = [
            (
                priced("", falls),
                "offer x.y, prices.USD: the total falls as the quantity grows: 20 units cost 500 USD a month and 21 cost 420 USD",
            ),
            (free_day, "file, proration: days_after leaves the day of the purchase free"),
            (euros, "offer x.y, prices: there is no price in USD"),
        ];
        for (text, expected) in cases {
            let report = lint(&text, &platform());
            assert_eq!((report.errors.len(), report.warnings.len()), (0, 1), "{report}");
            assert!(report.warnings[0].to_string().starts_with(expected), "{report}");
            assert!(read(&text, &platform()).is_ok());
        }
    }

    #[test]
    fn nothing_to_say() {
        let never_falls = "model = \"graduated\"\nbands = [{ up_to = 20, unit = \"25\" }, { unit = \"20\" }]";
        let fall_beyond_maximum = "model = \"volume\"\nbands = [{ up_to = 20, unit = \"25\" }, { unit = \"20\" }]";
        let cases = [
            String::new(),
            offer(""),
            offer("").replace("inclusive_days", "days_after"),
            priced("", never_falls),
            priced("maximum = 20", fall_beyond_maximum),
            priced("minimum = 5\nmaximum = 5", "model = \"flat\"\nflat = \"10\""),
        ];
        for text in cases {
            let report = lint(&text, &platform());
            assert!(report.is_clean(), "{text}\n{report}");
        }
    }

    #[test]
    fn the_shipped_catalogue_has_no_errors_and_its_free_days_are_known() {
        let report = lint(include_str!("../../../../config/catalog.toml"), &platform());
        assert!(report.errors.is_empty(), "{report}");
        let items: Vec<_> = report.warnings.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(items, ["proration"]);
    }
}
