//! How amounts, numbers and dates are written for the reader: separators and the currency's place as the reader's
//! language has them (`Accept-Language`), the words themselves in English.

use actix_web::HttpRequest;
use actix_web::http::header::ACCEPT_LANGUAGE;
use chrono::NaiveDate;
use kernel::{Currency, Money, Month, UnitPrice};
use num_format::ToFormattedString;

/// Most languages of a header that are looked at.
const MOST: usize = 20;
/// Stands between an amount and its currency, and never at a line's end.
const NO_BREAK: char = '\u{a0}';
/// Languages that put the currency before the amount.
const BEFORE: &[&str] = &["en", "ja", "zh", "ko", "hi", "th", "he", "tr", "ms", "id"];

/// A reader's way of writing numbers.
#[derive(Clone, Copy, Debug)]
pub struct Locale {
    format: num_format::Locale,
    before: bool,
}

impl Default for Locale {
    fn default() -> Self {
        Self { format: num_format::Locale::en, before: true }
    }
}

impl Locale {
    /// The first language of the request that is known, by the weights it gives them; English where none is.
    pub fn of(request: &HttpRequest) -> Self {
        let header = request.headers().get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut asked: Vec<(u16, &str)> = header.split(',').take(MOST).filter_map(weighed).collect();
        asked.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        asked.into_iter().find_map(|(_, tag)| Self::tagged(tag)).unwrap_or_default()
    }

    fn tagged(tag: &str) -> Option<Self> {
        let language = tag.split('-').next()?.to_ascii_lowercase();
        let named = |name: &str| num_format::Locale::from_name(name).ok();
        let region = tag.split('-').nth(1).map(str::to_ascii_uppercase);
        let format = region.and_then(|region| named(&format!("{language}-{region}"))).or_else(|| named(&language))?;
        Some(Self { format, before: BEFORE.contains(&language.as_str()) })
    }

    /// An amount with its currency: `€132.00`, `132,00 €`, `BHD 1.000`.
    pub fn money(self, money: Money) -> String {
        self.amount(&money.amount_string(), money.currency())
    }

    /// A price of a unit, with the decimals it was given with.
    pub fn unit(self, price: UnitPrice, currency: Currency) -> String {
        let text = price.to_string();
        let decimals = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        // A price that was typed without its minor digits is shown with them: 5 EUR is €5.00.
        let digits = usize::try_from(currency.digits()).unwrap_or(0);
        let missing = digits.saturating_sub(decimals);
        let point = if decimals == 0 && missing > 0 { "." } else { "" };
        self.amount(&format!("{text}{point}{}", "0".repeat(missing)), currency)
    }

    /// A whole number in groups.
    pub fn number(self, number: i64) -> String {
        number.to_formatted_string(&self.format)
    }

    fn amount(self, text: &str, currency: Currency) -> String {
        let (sign, magnitude) = text.strip_prefix('-').map_or(("", text), |rest| ("−", rest));
        let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
        let mut number = whole.parse::<i64>().map_or_else(|_| whole.to_owned(), |whole| self.number(whole));
        if !fraction.is_empty() {
            number.push_str(self.format.decimal());
            number.push_str(fraction);
        }
        match (symbol(currency), self.before) {
            (Some(symbol), true) => format!("{sign}{symbol}{number}"),
            (Some(symbol), false) => format!("{sign}{number}{NO_BREAK}{symbol}"),
            (None, true) => format!("{sign}{currency}{NO_BREAK}{number}"),
            (None, false) => format!("{sign}{number}{NO_BREAK}{currency}"),
        }
    }
}

/// The signs that mean one currency everywhere; others are named by their code.
fn symbol(currency: Currency) -> Option<&'static str> {
    match currency.code() {
        "USD" => Some("$"),
        "EUR" => Some("€"),
        "GBP" => Some("£"),
        "JPY" => Some("¥"),
        "INR" => Some("₹"),
        _ => None,
    }
}

/// A language of the header with its weight in thousandths.
fn weighed(part: &str) -> Option<(u16, &str)> {
    let mut pieces = part.split(';');
    let tag = pieces.next()?.trim();
    let weight = pieces.find_map(|piece| piece.trim().strip_prefix("q=")).map_or(Some(1000), thousandths)?;
    (!tag.is_empty() && weight > 0).then_some((weight, tag))
}

/// `0.8` as 800.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: u16 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    let padded = format!("{fraction:0<3}");
    let fraction: u16 = padded.get(..3)?.parse().ok()?;
    whole.checked_mul(1000)?.checked_add(fraction)
}

/// `1 December 2026`
pub fn date(date: NaiveDate) -> String {
    date.format("%-d %B %Y").to_string()
}

/// `1 December`
pub fn day(date: NaiveDate) -> String {
    date.format("%-d %B").to_string()
}

/// `November`
pub fn month_name(month: Month) -> String {
    month.first_day().format("%B").to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn locale(header: &str) -> Locale {
        Locale::of(&TestRequest::default().insert_header((ACCEPT_LANGUAGE, header)).to_http_request())
    }

    fn money(amount: &str, currency: &str) -> Money {
        Money::parse_amount(amount, currency.parse().unwrap()).unwrap()
    }

    #[test]
    fn amounts_are_written_as_the_reader_does() {
        for (header, amount, currency, expected) in [
            ("", "1234567.50", "USD", "$1,234,567.50"),
            ("en-GB,en;q=0.8", "1234.50", "EUR", "€1,234.50"),
            ("de-DE,de;q=0.9,en;q=0.5", "1234.50", "EUR", "1.234,50\u{a0}€"),
            ("fr", "-1234.50", "EUR", "−1\u{202f}234,50\u{a0}€"),
            ("en", "157", "JPY", "¥157"),
            ("en", "1.500", "BHD", "BHD\u{a0}1.500"),
            ("sv", "1.50", "CAD", "1,50\u{a0}CAD"),
            ("xx, de;q=0.1", "0.05", "EUR", "0,05\u{a0}€"),
            ("de;q=0, en", "1.00", "EUR", "€1.00"),
            ("de;q=what", "1.00", "EUR", "€1.00"),
            ("en", "92233720368547758.07", "USD", "$92,233,720,368,547,758.07"),
        ] {
            assert_eq!(locale(header).money(money(amount, currency)), expected, "{header}");
        }
    }

    #[test]
    fn unit_prices_keep_their_decimals() {
        let usd: Currency = "USD".parse().unwrap();
        for (price, expected) in [("6.00", "$6.00"), ("0.002", "$0.002"), ("5", "$5.00"), ("5.5", "$5.50")] {
            assert_eq!(Locale::default().unit(price.parse().unwrap(), usd), expected);
        }
        assert_eq!(Locale::default().unit("5".parse().unwrap(), "JPY".parse().unwrap()), "¥5");
    }

    #[test]
    fn dates_are_words() {
        let at = kernel::parse_rfc3339("2026-12-01T09:05:00Z").unwrap();
        assert_eq!((date(at.date_naive()), day(at.date_naive())), ("1 December 2026".into(), "1 December".into()));
        assert_eq!(month_name(Month::of(at)), "December");
    }
}
