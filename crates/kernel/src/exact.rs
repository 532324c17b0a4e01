//! Exact rational numbers: what amounts are until they are rounded, once. There is no binary fraction anywhere.
//! Numbers are unbounded; those that fit 128 bits, as nearly all do, cost no allocation.

mod small;

use std::cmp::Ordering;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Mul, Neg, Sub};
use std::str::FromStr;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

use self::small::Small;
use crate::text::TextError;

/// The longest text that [`Exact`] is read from: far more than any amount needs, and a bound for hostile input.
const LONGEST: usize = 200;

/// An exact rational number in lowest terms, written `35` or `3/2`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Exact(Form);

/// A value has one form only, so that forms are equal where values are: it is small wherever it fits.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    Small(Small),
    Big(Box<BigRational>),
}

impl Exact {
    /// 0.
    pub fn zero() -> Self {
        Self(Form::Small(Small::ZERO))
    }

    /// A whole number.
    pub fn from_int(value: i64) -> Self {
        Self(Form::Small(Small::whole(value.into())))
    }

    /// `numerator / denominator`; `None` where the denominator is 0.
    pub fn ratio(numerator: i64, denominator: i64) -> Option<Self> {
        // 128 bits hold the fraction of any two 64 bit numbers.
        Small::ratio(numerator.into(), denominator.into()).map(|small| Self(Form::Small(small)))
    }

    /// `digits × 10^-decimals`, exactly.
    pub(crate) fn decimal(digits: i128, decimals: u32) -> Self {
        let big = || Self::from_big(BigRational::new(digits.into(), power_of_ten(decimals)));
        Small::decimal(digits, decimals).map_or_else(big, |small| Self(Form::Small(small)))
    }

    fn from_big(value: BigRational) -> Self {
        match (value.numer().to_i128(), value.denom().to_i128()) {
            (Some(numerator), Some(denominator)) => Self(Form::Small(Small { numerator, denominator })),
            _ => Self(Form::Big(Box::new(value))),
        }
    }

    fn to_big(&self) -> BigRational {
        match &self.0 {
            Form::Small(small) => BigRational::new_raw(small.numerator.into(), small.denominator.into()),
            Form::Big(big) => big.as_ref().clone(),
        }
    }

    fn small(&self) -> Option<Small> {
        match self.0 {
            Form::Small(small) => Some(small),
            Form::Big(_) => None,
        }
    }

    /// What two small values come to where that fits, else what they come to without bounds.
    fn combined(
        &self,
        other: &Self,
        small: fn(Small, Small) -> Option<Small>,
        big: fn(BigRational, BigRational) -> BigRational,
    ) -> Self {
        let fits = self.small().zip(other.small()).and_then(|(left, right)| small(left, right));
        fits.map_or_else(|| Self::from_big(big(self.to_big(), other.to_big())), |small| Self(Form::Small(small)))
    }

    fn negated(&self) -> Self {
        let fits = self.small().and_then(Small::checked_neg);
        fits.map_or_else(|| Self::from_big(-self.to_big()), |small| Self(Form::Small(small)))
    }

    /// Less than 0.
    pub fn is_negative(&self) -> bool {
        match &self.0 {
            Form::Small(small) => small.numerator < 0,
            Form::Big(big) => big.is_negative(),
        }
    }

    /// Equal to 0.
    pub fn is_zero(&self) -> bool {
        self.0 == Form::Small(Small::ZERO)
    }

    /// The greater of the two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Ord::max(self, other)
    }

    /// The value × 10^`decimals`, rounded half away from zero, so that a reversal is the exact mirror.
    /// `None` where it does not fit.
    pub fn round_half_away(&self, decimals: u32) -> Option<i64> {
        match self.small().and_then(|small| small.rounded(decimals)) {
            Some(rounded) => i64::try_from(rounded).ok(),
            None => self.scaled(decimals).round().to_integer().to_i64(),
        }
    }

    /// For people: at most `max_decimals` decimals, without trailing zeros; rounded half away from zero where the value has
    /// more, which [`Exact::terminates_within`] tells.
    pub fn to_decimal_string(&self, max_decimals: u32) -> String {
        if let Form::Small(Small { numerator, denominator: 1 }) = self.0 {
            return numerator.to_string();
        }
        let rounded = match self.small().and_then(|small| small.rounded(max_decimals)) {
            Some(rounded) => rounded.to_string(),
            None => self.scaled(max_decimals).round().to_integer().to_string(),
        };
        let (sign, digits) = match rounded.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", rounded.as_str()),
        };
        let width = usize::try_from(max_decimals).unwrap_or(0);
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(width));
        let zeros = width.saturating_sub(fraction.len());
        let fraction = fraction.trim_end_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        if fraction.is_empty() {
            return [sign, whole].concat();
        }
        format!("{sign}{whole}.{:0<zeros$}{fraction}", "")
    }

    /// Whether `decimals` decimals write the value exactly.
    pub fn terminates_within(&self, decimals: u32) -> bool {
        let small = self.small().and_then(|small| small.terminates_within(decimals));
        small.unwrap_or_else(|| self.scaled(decimals).is_integer())
    }

    fn scaled(&self, decimals: u32) -> BigRational {
        self.to_big() * power_of_ten(decimals)
    }
}

fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

impl Ord for Exact {
    fn cmp(&self, other: &Self) -> Ordering {
        let small = self.small().zip(other.small()).and_then(|(left, right)| left.checked_cmp(right));
        small.unwrap_or_else(|| self.to_big().cmp(&other.to_big()))
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Default for Exact {
    fn default() -> Self {
        Self::zero()
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Small(Small { numerator, denominator: 1 }) => fmt::Display::fmt(numerator, f),
            Form::Small(Small { numerator, denominator }) => {
                f.pad_integral(*numerator >= 0, "", &format!("{}/{denominator}", numerator.unsigned_abs()))
            }
            Form::Big(big) => fmt::Display::fmt(big, f),
        }
    }
}

impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Exact {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let wrong = || TextError::new("must be a whole number or a fraction such as 3/2");
        if text.len() > LONGEST {
            return Err(wrong());
        }
        let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
        if !is_natural(numerator.strip_prefix('-').unwrap_or(numerator)) || !is_natural(denominator) {
            return Err(wrong());
        }
        if let (Ok(numerator), Ok(denominator)) = (numerator.parse(), denominator.parse()) {
            // Not negative, so that nothing but 0 is no denominator.
            return Small::ratio(numerator, denominator).map(|small| Self(Form::Small(small))).ok_or_else(wrong);
        }
        let numerator: BigInt = numerator.parse().map_err(|_| wrong())?;
        let denominator: BigInt = denominator.parse().map_err(|_| wrong())?;
        if denominator.is_zero() {
            return Err(wrong());
        }
        Ok(Self::from_big(BigRational::new(numerator, denominator)))
    }
}

/// The parsers of the libraries take signs and underscores as well.
fn is_natural(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

string_serde!(Exact);

macro_rules! operation {
    ($trait:ident, $method:ident, $checked:ident) => {
        impl $trait<&Exact> for &Exact {
            type Output = Exact;
            fn $method(self, other: &Exact) -> Exact {
                self.combined(other, Small::$checked, $trait::$method)
            }
        }

        impl $trait for Exact {
            type Output = Exact;
            fn $method(self, other: Exact) -> Exact {
                $trait::$method(&self, &other)
            }
        }

        impl $trait<&Exact> for Exact {
            type Output = Exact;
            fn $method(self, other: &Exact) -> Exact {
                $trait::$method(&self, other)
            }
        }

        impl $trait<Exact> for &Exact {
            type Output = Exact;
            fn $method(self, other: Exact) -> Exact {
                $trait::$method(self, &other)
            }
        }
    };
}

operation!(Add, add, checked_add);
operation!(Sub, sub, checked_sub);
operation!(Mul, mul, checked_mul);

impl Neg for Exact {
    type Output = Exact;
    fn neg(self) -> Exact {
        self.negated()
    }
}

impl Neg for &Exact {
    type Output = Exact;
    fn neg(self) -> Exact {
        self.negated()
    }
}

impl Sum for Exact {
    fn sum<I: Iterator<Item = Exact>>(values: I) -> Exact {
        values.fold(Exact::zero(), |sum, value| sum + value)
    }
}
