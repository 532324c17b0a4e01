//! Tax: rates by country and date, taken on the sum that a rate applies to.

use crate::{Payer, vat};
use chrono::NaiveDate;
use kernel::{CountryCode, Currency, Exact, Money, MoneyError};
use serde::Serialize;
use std::collections::BTreeMap;

/// What is stored where the payer owes the tax itself.
const REVERSE: &str = "reverse";

/// A rate in percent, in its shortest decimal form; empty for none; `reverse` where no tax is charged since the payer owes
/// it itself. Why a tax is none is a part of the rate, so that sums by rate are sums by reason too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct TaxRate(String);

impl TaxRate {
    /// No tax.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// No tax, since the payer owes it itself.
    #[must_use]
    pub fn reverse() -> Self {
        Self(REVERSE.to_owned())
    }

    /// True for reverse charge.
    #[must_use]
    pub fn is_reverse(&self) -> bool {
        self.0 == REVERSE
    }

    /// As it is stored: percent, empty for none, or `reverse`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True where there is no percentage: none is configured, or reverse charge.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty() || self.is_reverse()
    }

    /// A stored rate.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    fn part(&self) -> Exact {
        let percent = self.0.parse::<kernel::UnitPrice>().map_or_else(|_| Exact::zero(), |p| p.to_exact());
        Exact::ratio(1, 100).map_or_else(Exact::zero, |hundredth| percent * hundredth)
    }

    /// Tax on a sum.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] past the largest amount.
    pub fn on(&self, net: Money) -> Result<Money, MoneyError> {
        Money::from_exact(&(net.to_exact() * self.part()), net.currency())
    }
}

/// The configured rates.
#[derive(Clone, Debug, Default)]
pub struct TaxRates {
    by_country: BTreeMap<CountryCode, BTreeMap<NaiveDate, TaxRate>>,
    seller: Option<CountryCode>,
}

impl TaxRates {
    /// Rates of a seller in a country.
    #[must_use]
    pub fn sold_from(country: CountryCode) -> Self {
        Self { by_country: BTreeMap::new(), seller: Some(country) }
    }

    /// Whether what is sold to a country crosses a border within the European Union.
    #[must_use]
    pub fn crosses(&self, country: CountryCode) -> bool {
        let seller = self.seller.filter(|seller| vat::is_member(*seller));
        seller.is_some_and(|seller| seller != country && vat::is_member(country))
    }

    /// What a payer is charged on a day: reverse charge where its number is confirmed and the sale crosses a border
    /// within the European Union, else the rate of its country.
    #[must_use]
    pub fn of(&self, payer: &Payer, day: NaiveDate) -> TaxRate {
        if payer.tax_confirmed && self.crosses(payer.country) {
            return TaxRate::reverse();
        }
        self.on(payer.country, day)
    }

    /// Adds a rate that holds from a day on.
    pub fn add(&mut self, country: CountryCode, percent: &kernel::UnitPrice, from: NaiveDate) {
        let percent = percent.to_exact().to_decimal_string(12);
        self.by_country.entry(country).or_default().insert(from, TaxRate(percent));
    }

    /// The rate of a country on a day; none where none is configured.
    #[must_use]
    pub fn on(&self, country: CountryCode, day: NaiveDate) -> TaxRate {
        self.by_country
            .get(&country)
            .and_then(|dated| dated.range(..=day).next_back())
            .map_or_else(TaxRate::none, |(_, rate)| rate.clone())
    }
}

/// Net, tax and total of some lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Before tax.
    pub net: Money,
    /// Tax.
    pub tax: Money,
    /// Both.
    pub total: Money,
}

impl Totals {
    /// Sums lines by their rates and takes tax on each sum.
    ///
    /// # Errors
    /// [`MoneyError`] for another currency or past the largest amount.
    pub fn of(lines: impl IntoIterator<Item = (TaxRate, Money)>, currency: Currency) -> Result<Self, MoneyError> {
        let mut sums: BTreeMap<TaxRate, Money> = BTreeMap::new();
        for (rate, amount) in lines {
            let sum = sums.entry(rate).or_insert_with(|| Money::zero(currency));
            *sum = sum.checked_add(amount)?;
        }
        let (mut net, mut tax) = (Money::zero(currency), Money::zero(currency));
        for (rate, sum) in sums {
            net = net.checked_add(sum)?;
            tax = tax.checked_add(rate.on(sum)?)?;
        }
        Ok(Self { net, tax, total: net.checked_add(tax)? })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    fn eur(text: &str) -> Money {
        Money::parse_amount(text, "EUR".parse().unwrap()).unwrap()
    }

    /// X-R1, X-R4, X-R5, X-R6, X-R10: tax on the sum, rounded once.
    #[test]
    fn worked_examples() {
        for (id, rate, lines, tax, total) in [
            ("X-R1", "20", vec!["0.17", "4.46"], "0.93", "5.56"),
            ("X-R4", "25", vec!["193.33"], "48.33", "241.66"),
            ("X-R5", "25", vec!["154.67"], "38.67", "193.34"),
            ("X-R6", "23.33", vec!["29.99"], "7.00", "36.99"),
            ("X-R10", "20", vec!["38.71"], "7.74", "46.45"),
        ] {
            let lines = lines.into_iter().map(|l| (TaxRate::stored(rate), eur(l)));
            let totals = Totals::of(lines, "EUR".parse().unwrap()).unwrap();
            assert_eq!((totals.tax, totals.total), (eur(tax), eur(total)), "{id}");
        }
    }

    /// who owes the tax itself is charged none, and that is another sum than where none is configured.
    #[test]
    fn reverse_charge_is_no_tax_of_its_own() {
        let (reverse, none) = (TaxRate::stored("reverse"), TaxRate::none());
        assert!(reverse.is_reverse() && reverse.is_none() && !none.is_reverse() && reverse != none);
        assert_eq!(reverse.on(eur("100.00")), Ok(eur("0.00")));
    }

    /// the rate of the day; the day before a change has the earlier one; none configured is none.
    #[test]
    fn a_rate_holds_from_its_day() {
        let day = |text: &str| kernel::parse_date(text).unwrap();
        let (de, fr): (CountryCode, CountryCode) = ("DE".parse().unwrap(), "FR".parse().unwrap());
        let mut rates = TaxRates::default();
        rates.add(de, &"19.0".parse().unwrap(), day("2007-01-01"));
        rates.add(de, &"16".parse().unwrap(), day("2020-07-01"));
        assert_eq!(rates.on(de, day("2020-06-30")).as_str(), "19");
        assert_eq!(rates.on(de, day("2020-07-01")).as_str(), "16");
        assert!(rates.on(de, day("2006-12-31")).is_none());
        assert!(rates.on(fr, day("2020-07-01")).is_none());
    }
}
