//! What documents say in words. They are the same for every reader, so they are in English with amounts as English
//! writes them.

use billing::TaxRate;
use chrono::NaiveDate;
use kernel::{CountryCode, Money, Month};
use marketplace::bill::{Line, TaxLine};
use num_format::{Locale, ToFormattedString};

/// `1,234.50`, `−0.50`, JPY `1,234`.
pub fn amount(money: Money) -> String {
    let text = money.amount_string();
    let (sign, magnitude) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("−", rest));
    let (whole, fraction) = magnitude
        .split_once('.')
        .map_or((magnitude, ""), |(whole, _)| (whole, magnitude.get(whole.len()..).unwrap_or_default()));
    let whole = whole.parse::<u64>().map_or_else(|_| whole.to_owned(), |whole| whole.to_formatted_string(&Locale::en));
    format!("{sign}{whole}{fraction}")
}

/// `USD 1,234.50`, never broken at a line's end.
pub fn money(money: Money) -> String {
    format!("{}\u{a0}{}", money.currency(), amount(money))
}

/// `31 May 2018`.
pub fn date(date: NaiveDate) -> String {
    date.format("%-d %B %Y").to_string()
}

/// `May 2018`.
pub fn month(month: Month) -> String {
    month.first_day().format("%B %Y").to_string()
}

/// A country's code; documents go to readers of every language.
pub fn country(country: CountryCode) -> String {
    country.to_string()
}

/// What a line is for: `10 for May 2018`, `5 → 10, rest of April 2018`, and metered use.
pub fn what(line: &Line) -> String {
    let (from, to, month) = (number(line.quantity.from), number(line.quantity.to), month(line.month));
    match line.kind {
        "renewal" => format!("{to} for {month}"),
        "purchase" | "resumed" => format!("{from} → {to}, rest of {month}"),
        "undo" => format!("{from} → {to}, undone in {month}"),
        "usage" => format!("{to} used above the included ones, {month}"),
        kind => format!("{}, {month}", kind.replace('_', " ")),
    }
}

/// A whole number in groups.
pub fn number(number: i64) -> String {
    number.to_formatted_string(&Locale::en)
}

/// `No tax`, `19 %`, `Reverse charge`.
pub fn rate(rate: &str) -> String {
    let stored = TaxRate::stored(rate);
    if stored.is_reverse() {
        "Reverse charge".to_owned()
    } else if stored.is_none() {
        "No tax".to_owned()
    } else {
        format!("{rate}\u{a0}%")
    }
}

/// Why this tax, or none, is taken.
pub fn reason(tax: &TaxLine) -> String {
    let rate = TaxRate::stored(&tax.rate);
    let why = if rate.is_reverse() {
        "Reverse charge: the payer owes the tax."
    } else if rate.is_none() {
        "No rate is configured for the payer's country: none is charged."
    } else {
        "The rate of the payer's country on the first day of the service."
    };
    why.to_owned()
}

/// The last day of a month.
pub fn last_day(month: Month) -> NaiveDate {
    let next = month.next().first_day();
    next.pred_opt().unwrap_or(next)
}

/// How a step of an explanation is headed.
pub fn step(step: &str) -> String {
    step.replace('_', " ")
}
