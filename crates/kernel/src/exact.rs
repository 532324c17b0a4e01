//! Exact rational numbers: what amounts are until they are rounded, once. There is no binary fraction anywhere.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Mul, Neg, Sub};
use std::str::FromStr;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

use crate::text::TextError;

/// The longest text that [`Exact`] is read from: far more than any amount needs, and a bound for hostile input.
const LONGEST: usize = 200;

/// An exact rational number in lowest terms, written `35` or `3/2`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exact(BigRational);

impl Exact {
    /// 0.
    pub fn zero() -> Self {
        Self(BigRational::zero())
    }

    /// A whole number.
    pub fn from_int(value: i64) -> Self {
        Self(BigRational::from_integer(value.into()))
    }

    /// `numerator / denominator`; `None` where the denominator is 0.
    pub fn ratio(numerator: i64, denominator: i64) -> Option<Self> {
        (denominator != 0).then(|| Self(BigRational::new(numerator.into(), denominator.into())))
    }

    /// `digits × 10^-decimals`, exactly.
    pub(crate) fn decimal(digits: impl Into<BigInt>, decimals: u32) -> Self {
        Self(BigRational::new(digits.into(), power_of_ten(decimals)))
    }

    /// Less than 0.
    pub fn is_negative(&self) -> bool {
        self.0.is_negative()
    }

    /// Equal to 0.
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// The greater of the two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Ord::max(self, other)
    }

    /// The value × 10^`decimals`, rounded half away from zero, so that a reversal is the exact mirror.
    /// `None` where it does not fit.
    pub fn round_half_away(&self, decimals: u32) -> Option<i64> {
        self.scaled(decimals).round().to_integer().to_i64()
    }

    /// For people: at most `max_decimals` decimals, without trailing zeros; rounded half away from zero where the value has
    /// more, which [`Exact::terminates_within`] tells.
    pub fn to_decimal_string(&self, max_decimals: u32) -> String {
        let rounded = self.scaled(max_decimals).round().to_integer();
        let width = usize::try_from(max_decimals).unwrap_or(0);
        let sign = if rounded.is_negative() { "-" } else { "" };
        let digits = format!("{:0>1$}", rounded.magnitude().to_string(), width + 1);
        let (whole, fraction) = digits.split_at(digits.len() - width);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }

    /// Whether `decimals` decimals write the value exactly.
    pub fn terminates_within(&self, decimals: u32) -> bool {
        self.scaled(decimals).is_integer()
    }

    fn scaled(&self, decimals: u32) -> BigRational {
        &self.0 * power_of_ten(decimals)
    }
}

fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

impl Default for Exact {
    fn default() -> Self {
        Self::zero()
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
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
        let (negative, digits) = match numerator.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, numerator),
        };
        let magnitude = natural(digits).ok_or_else(wrong)?;
        let denominator = natural(denominator).filter(|value| !value.is_zero()).ok_or_else(wrong)?;
        let numerator = if negative { -magnitude } else { magnitude };
        Ok(Self(BigRational::new(numerator, denominator)))
    }
}

fn natural(text: &str) -> Option<BigInt> {
    // The parser of the library takes signs and underscores as well.
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

string_serde!(Exact);

macro_rules! operation {
    ($trait:ident, $method:ident) => {
        impl $trait for Exact {
            type Output = Exact;
            fn $method(self, other: Exact) -> Exact {
                Exact($trait::$method(self.0, other.0))
            }
        }

        impl $trait<&Exact> for Exact {
            type Output = Exact;
            fn $method(self, other: &Exact) -> Exact {
                Exact($trait::$method(self.0, &other.0))
            }
        }

        impl $trait<Exact> for &Exact {
            type Output = Exact;
            fn $method(self, other: Exact) -> Exact {
                Exact($trait::$method(&self.0, other.0))
            }
        }

        impl $trait<&Exact> for &Exact {
            type Output = Exact;
            fn $method(self, other: &Exact) -> Exact {
                Exact($trait::$method(&self.0, &other.0))
            }
        }
    };
}

operation!(Add, add);
operation!(Sub, sub);
operation!(Mul, mul);

impl Neg for Exact {
    type Output = Exact;
    fn neg(self) -> Exact {
        Exact(-self.0)
    }
}

impl Neg for &Exact {
    type Output = Exact;
    fn neg(self) -> Exact {
        Exact(-&self.0)
    }
}

impl Sum for Exact {
    fn sum<I: Iterator<Item = Exact>>(values: I) -> Exact {
        values.fold(Exact::zero(), |sum, value| sum + value)
    }
}
