//! What an invoice comes to: sums by tax rate, the tax shared over its lines, its number and its postings (R-24, R-42 to
//! Pure.

use crate::tax::TaxRate;
use kernel::{CountryCode, Currency, Money, MoneyError, Month, SubscriptionId, share_by_largest_remainder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who sells, as invoices show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seller {
    /// Its name.
    pub name: String,
    /// Where it is taxed.
    pub country: CountryCode,
    /// Its address; may be empty.
    pub address: String,
    /// Its tax number; may be empty.
    pub tax_id: String,
}

/// Who pays, as an invoice shows it: as it was on the day of issue, whatever it becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledTo {
    /// The subscription's name.
    pub name: String,
    /// Where it is.
    pub country: CountryCode,
    /// Its address, mail address, tax number and reference.
    #[serde(flatten)]
    pub profile: crate::Profile,
}

/// Seller and payer, as they were on the day of issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Who sells.
    pub seller: Seller,
    /// Who pays.
    pub payer: BilledTo,
}

/// What one rate of tax applies to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxSum {
    /// Percent; empty for none.
    pub rate: String,
    /// Sum of the lines, minor units.
    pub net: i64,
    /// Tax on it, minor units.
    pub tax: i64,
}

/// What an invoice comes to, minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// By rate, none first.
    pub taxes: Vec<TaxSum>,
    /// Before tax.
    pub net: i64,
    /// Tax.
    pub tax: i64,
    /// Both.
    pub total: i64,
}

impl Sums {
    /// Adds lines up by their rates, and takes tax once on each sum.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] past the largest amount.
    pub fn of(lines: impl IntoIterator<Item = (String, i64)>, currency: Currency) -> Result<Self, MoneyError> {
        let mut nets: BTreeMap<String, i64> = BTreeMap::new();
        for (rate, amount) in lines {
            let net = nets.entry(rate).or_insert(0);
            *net = net.checked_add(amount).ok_or(MoneyError::Overflow)?;
        }
        let mut sums = Self { taxes: Vec::with_capacity(nets.len()), net: 0, tax: 0, total: 0 };
        for (rate, net) in nets {
            let tax = TaxRate::stored(&rate).on(Money::new(net, currency))?.minor();
            sums.net = sums.net.checked_add(net).ok_or(MoneyError::Overflow)?;
            sums.tax = sums.tax.checked_add(tax).ok_or(MoneyError::Overflow)?;
            sums.taxes.push(TaxSum { rate, net, tax });
        }
        sums.total = sums.net.checked_add(sums.tax).ok_or(MoneyError::Overflow)?;
        Ok(sums)
    }

    /// Each line's part of the tax, so that the parts add up to it.
    #[must_use]
    pub fn shared(&self, lines: &[(String, i64)]) -> Vec<i64> {
        let mut parts = vec![0; lines.len()];
        for sum in &self.taxes {
            let places: Vec<usize> =
                (0..).zip(lines).filter(|(_, line)| line.0 == sum.rate).map(|(at, _)| at).collect();
            let weights: Vec<i64> = lines.iter().filter(|(rate, _)| *rate == sum.rate).map(|(_, net)| *net).collect();
            for (place, part) in places.into_iter().zip(share_by_largest_remainder(sum.tax, &weights)) {
                if let Some(slot) = parts.get_mut(place) {
                    *slot = part;
                }
            }
        }
        parts
    }
}

/// The counter that numbers of a series and year are taken from.
#[must_use]
pub fn counter(series: &str, year: i32) -> String {
    format!("invoice/{series}/{year}")
}

/// A number as people read it: `P-2018-000001`.
#[must_use]
pub fn number(series: &str, year: i32, count: i64) -> String {
    let begin = if series.is_empty() { String::new() } else { format!("{series}-") };
    format!("{begin}{year}-{count:06}")
}

/// The postings of an invoice: Dr receivable gross, Cr unbilled net, Cr tax.
#[must_use]
pub fn postings(payer: SubscriptionId, country: CountryCode, sums: &Sums) -> Vec<(i64, String, String, i64)> {
    let receivable = crate::ledger::receivable(payer);
    let credits = [(sums.net, crate::ledger::unbilled(payer)), (sums.tax, crate::ledger::tax(country))];
    let some = credits.into_iter().filter(|(amount, _)| *amount > 0);
    (0..).zip(some).map(|(leg, (amount, credit))| (leg, receivable.clone(), credit, amount)).collect()
}

/// The bill that a charge goes on: the one it belongs to, or the first that is still open.
#[must_use]
pub fn bill(natural: Month, billed_through: Option<Month>) -> Month {
    billed_through.map_or(natural, |through| natural.max(through.next()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    fn usd() -> Currency {
        "USD".parse().unwrap()
    }

    /// tax on the sum of a rate, shared so that the lines add up to it.
    #[test]
    fn tax_is_taken_on_sums_and_shared() {
        let lines: Vec<(String, i64)> = [("20", 17), ("20", 446), ("", 100), ("7.5", 33), ("7.5", 33), ("7.5", 34)]
            .map(|(rate, net)| (rate.to_owned(), net))
            .into();
        let sums = Sums::of(lines.clone(), usd()).unwrap();
        assert_eq!((sums.net, sums.tax, sums.total), (663, 93 + 8, 764));
        let parts = sums.shared(&lines);
        assert_eq!(parts.iter().sum::<i64>(), sums.tax);
        assert_eq!((parts[2], parts[0] + parts[1], parts[3] + parts[4] + parts[5]), (0, 93, 8));
        let most = [(String::new(), i64::MAX), (String::new(), 1)];
        assert_eq!(Sums::of(most, usd()), Err(MoneyError::Overflow));
        assert_eq!(Sums::of([], usd()).unwrap().total, 0);
    }

    #[test]
    fn numbers_are_read_by_people() {
        assert_eq!(number("P", 2018, 7), "P-2018-000007");
        assert_eq!(number("", 2018, 1_234_567), "2018-1234567");
        assert_eq!(counter("P", 2018), "invoice/P/2018");
    }

    /// what is billed already takes no more charges.
    #[test]
    fn a_charge_goes_on_a_bill_that_is_open() {
        let month = |text: &str| text.parse::<Month>().unwrap();
        assert_eq!(bill(month("2018-05-01"), None), month("2018-05-01"));
        assert_eq!(bill(month("2018-05-01"), Some(month("2018-04-01"))), month("2018-05-01"));
        assert_eq!(bill(month("2018-05-01"), Some(month("2018-05-01"))), month("2018-06-01"));
    }
}
