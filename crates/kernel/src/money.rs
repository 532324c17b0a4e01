//! Money: whole minor units of one currency (ISO 4217). Sums of different currencies are errors, not numbers;
//! anything finer than a minor unit is an [`Exact`] and is rounded once.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::exact::Exact;
use crate::text::TextError;

/// A currency of ISO 4217 that has minor units.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Its code: `EUR`.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimals its minor unit is: EUR 2, JPY 0, BHD 3.
    pub fn digits(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl FromStr for Currency {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        iso_currency::Currency::from_code(text)
            .filter(|currency| currency.code() == text && currency.exponent().is_some())
            .map(Self)
            .ok_or(TextError::new("must be the upper case ISO 4217 code of a currency, such as EUR"))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

string_serde!(Currency);

/// Why two amounts gave none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The amounts are of different currencies, which nothing here converts.
    #[error("the amounts are of different currencies")]
    CurrencyMismatch,
    /// The result is more than 2^63 - 1 minor units.
    #[error("the amount is too large")]
    Overflow,
}

/// An amount in whole minor units of its currency. In JSON `{"amount": "157.08", "currency": "EUR"}`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// `minor` units: 15708 and EUR are 157.08.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in a currency.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// The sum.
    ///
    /// # Errors
    /// Different currencies, or too large.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.combined(other, i64::checked_add)
    }

    /// The difference.
    ///
    /// # Errors
    /// Different currencies, or too large.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.combined(other, i64::checked_sub)
    }

    /// The exact mirror, for reversals.
    ///
    /// # Errors
    /// Too large: -2^63 has no mirror.
    pub fn checked_neg(self) -> Result<Self, MoneyError> {
        self.minor.checked_neg().map(|minor| Self { minor, ..self }).ok_or(MoneyError::Overflow)
    }

    fn combined(self, other: Self, with: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch);
        }
        with(self.minor, other.minor).map(|minor| Self { minor, ..self }).ok_or(MoneyError::Overflow)
    }

    /// Rounds an exact amount in major units (1.5 is 1.50 EUR) half away from zero to the minor unit.
    ///
    /// # Errors
    /// Too large.
    pub fn from_exact(value: &Exact, currency: Currency) -> Result<Self, MoneyError> {
        let minor = value.round_half_away(currency.digits()).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, currency })
    }

    /// The amount in major units, exactly.
    pub fn to_exact(self) -> Exact {
        Exact::decimal(self.minor.into(), self.currency.digits())
    }

    /// The amount with exactly the currency's minor digits, without the currency: `157.08`, `-0.50`, JPY `157`.
    pub fn amount_string(self) -> String {
        let sign = if self.minor < 0 { "-" } else { "" };
        let magnitude = self.minor.unsigned_abs();
        // The most digits that a currency of ISO 4217 has are 4.
        match 10u64.checked_pow(self.currency.digits()) {
            Some(major) if major > 1 => {
                let width = usize::try_from(self.currency.digits()).unwrap_or(0);
                format!("{sign}{}.{:0>width$}", magnitude / major, magnitude % major)
            }
            _ => format!("{sign}{magnitude}"),
        }
    }

    /// Reads what [`Money::amount_string`] writes, and nothing else.
    ///
    /// # Errors
    /// A sentence that says how many decimals the currency has.
    pub fn parse_amount(text: &str, currency: Currency) -> Result<Self, TextError> {
        // One point at most is dropped; whatever else was odd about the text shows when the amount is written again.
        let amount = text.replacen('.', "", 1).parse().ok().map(|minor| Self { minor, currency });
        amount.filter(|amount| amount.amount_string() == text).ok_or_else(|| {
            format!("must be an amount in {currency} with exactly {} decimals", currency.digits()).into()
        })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.amount_string())
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount_string(), self.currency)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MoneyFields {
    amount: String,
    currency: Currency,
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MoneyFields { amount: self.amount_string(), currency: self.currency }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = MoneyFields::deserialize(deserializer)?;
        Self::parse_amount(&fields.amount, fields.currency).map_err(serde::de::Error::custom)
    }
}

/// Shares `total_minor` in proportion to the weights' magnitudes so that the parts add up to it exactly: each part
/// is cut off towards zero, and what is left goes, a unit each, to the largest remainders, the earlier of equals first.
///
/// A weight of zero gets nothing unless all are zero, which counts as all equal. No weights: no parts.
pub fn share_by_largest_remainder(total_minor: i64, weights: &[i64]) -> Vec<i64> {
    let all_zero = weights.iter().all(|&weight| weight == 0);
    let weights: Vec<i128> =
        weights.iter().map(|&weight| if all_zero { 1 } else { i128::from(weight).abs() }).collect();
    let sum: i128 = weights.iter().sum();
    let total = i128::from(total_minor);
    let mut parts: Vec<(usize, i128, i128)> = weights
        .iter()
        .map(|weight| total * weight)
        .enumerate()
        .map(|(index, product)| (index, product / sum, (product % sum).abs()))
        .collect();
    let left = total - parts.iter().map(|(_, part, _)| part).sum::<i128>();
    parts.sort_by_key(|&(index, _, remainder)| (Reverse(remainder), index));
    let units = usize::try_from(left.abs()).unwrap_or(0);
    parts.iter_mut().take(units).for_each(|(_, part, _)| *part += left.signum());
    parts.sort_unstable_by_key(|&(index, _, _)| index);
    // No part is larger than the total, so each fits where the total did.
    parts.into_iter().map(|(_, part, _)| i64::try_from(part).unwrap_or(total_minor)).collect()
}
