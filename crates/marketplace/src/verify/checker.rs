//! The checker of charges: what a price, a part of a month and what came earlier come to, worked out from their
//! JSON alone. It shares no code with the pricing: a fault there does not hide itself here.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};
use serde::Deserialize;

/// An exact number.
pub type Number = BigRational;

/// A price as its JSON says it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    model: String,
    #[serde(default)]
    bands: Vec<Band>,
    size: Option<i64>,
    unit: Option<String>,
    flat: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Band {
    up_to: Option<i64>,
    unit: Option<String>,
    flat: Option<String>,
}

fn whole(value: i64) -> Number {
    Number::from_integer(value.into())
}

fn digits(text: &str) -> Option<BigInt> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// A percentage of tax as it is stored: none, or reverse charge, is nothing.
pub fn percent(rate: &str) -> Option<Number> {
    if rate.is_empty() || rate == "reverse" { number("0") } else { number(rate) }
}

/// Reads an integer, a decimal or a fraction, with a sign or without.
pub fn number(text: &str) -> Option<Number> {
    if let Some(positive) = text.strip_prefix('-') {
        return number(positive).filter(|_| !positive.starts_with('-')).map(|value| -value);
    }
    if let Some((above, below)) = text.split_once('/') {
        let below = digits(below).filter(|below| !below.is_zero())?;
        return Some(Number::new(digits(above)?, below));
    }
    match text.split_once('.') {
        None => digits(text).map(Number::from_integer),
        Some((before, behind)) => {
            let places = u32::try_from(behind.len()).ok().filter(|&places| places <= 40)?;
            digits(before).and(digits(behind))?;
            Some(Number::new(digits(&format!("{before}{behind}"))?, BigInt::from(10).pow(places)))
        }
    }
}

/// A price that may be left out: then it is nothing.
fn price(text: Option<&String>) -> Option<Number> {
    text.map_or_else(|| Some(Number::zero()), |text| number(text))
}

impl Spec {
    /// What a full month of `quantity` paid units costs, in major units; none where the price makes no sense.
    pub fn total(&self, quantity: i64) -> Option<Number> {
        if quantity <= 0 {
            return Some(Number::zero());
        }
        let own = match (&self.unit, &self.flat) {
            (Some(_), Some(_)) => return None,
            (one, None) | (None, one) => one.as_ref(),
        };
        match self.model.as_str() {
            "flat" => match self.bands.as_slice() {
                [] => number(own?),
                [band] => number(band.flat.as_ref().or(band.unit.as_ref())?),
                _ => None,
            },
            "package" => {
                let size = self.size.filter(|&size| size > 0)?;
                let begun = quantity / size + i64::from(quantity % size > 0);
                Some(whole(begun) * number(own?)?)
            }
            "per_unit" if self.bands.is_empty() => Some(whole(quantity) * number(own?)?),
            "per_unit" | "volume" => {
                let band = self.bands.iter().find(|band| band.up_to.unwrap_or(i64::MAX) >= quantity)?;
                Some(whole(quantity) * price(band.unit.as_ref())? + price(band.flat.as_ref())?)
            }
            "graduated" => self.graduated(quantity),
            _ => None,
        }
    }

    /// Fills band after band until no unit is left.
    fn graduated(&self, quantity: i64) -> Option<Number> {
        let (mut left, mut filled, mut sum) = (quantity, 0, Number::zero());
        for band in &self.bands {
            let room = band.up_to.map_or(left, |up_to| left.min(up_to - filled));
            sum += whole(room) * price(band.unit.as_ref())? + price(band.flat.as_ref())?;
            left -= room;
            filled += room;
            if left == 0 {
                return Some(sum);
            }
        }
        None
    }
}

/// What a charge follows from.
#[derive(Clone, Debug)]
pub struct Given<'a> {
    /// The price version in force.
    pub spec: &'a Spec,
    /// Committed paid units before.
    pub before: i64,
    /// Committed paid units after.
    pub after: i64,
    /// The part of the month that is left: so much of so much.
    pub part: (i64, i64),
    /// Exact sum of the month's earlier increases.
    pub accrued_before: &'a Number,
    /// What of it was charged, minor units.
    pub charged_before: i64,
    /// Decimals of the currency.
    pub decimals: u32,
}

/// What a charge comes to, and on the way there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worked {
    /// A full month at the new quantity.
    pub price_after: Number,
    /// A full month at the old one.
    pub price_before: Number,
    /// What is between them, never below 0.
    pub difference: Number,
    /// Its part for what is left of the month.
    pub exact: Number,
    /// The month's increases with this one.
    pub accrued: Number,
    /// The charge, minor units.
    pub amount: i64,
}

/// Works a charge out; none where the price makes no sense or the amount does not fit.
pub fn work_out(given: &Given<'_>) -> Option<Worked> {
    let (left, of) = given.part;
    if of <= 0 || left < 0 || left > of {
        return None;
    }
    let price_after = given.spec.total(given.after)?;
    let price_before = given.spec.total(given.before)?;
    let more = &price_after - &price_before;
    let grows = given.after > given.before && more.is_positive();
    let difference = if grows { more } else { Number::zero() };
    let exact = &difference * Number::new(left.into(), of.into());
    let accrued = given.accrued_before + &exact;
    let due = to_minor(&accrued, given.decimals)? - i128::from(given.charged_before);
    let amount = i64::try_from(due.max(0)).ok()?;
    Some(Worked { price_after, price_before, difference, exact, accrued, amount })
}

/// Minor units of an amount in major units, rounded once, half away from zero; none where they do not fit.
pub fn to_minor(value: &Number, decimals: u32) -> Option<i128> {
    let scaled = value.abs() * Number::from_integer(BigInt::from(10).pow(decimals));
    let twice = scaled * Number::from_integer(2.into()) + Number::one();
    let rounded = (twice / Number::from_integer(2.into())).floor().to_integer().to_i128()?;
    Some(if value.is_negative() { -rounded } else { rounded })
}

/// An amount in minor units as people write it: 1275 with 2 decimals is `12.75`.
pub fn written(minor: i128, decimals: u32) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let digits = minor.unsigned_abs().to_string();
    let places = usize::try_from(decimals).unwrap_or(0);
    if places == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (major, fraction) = padded.split_at(padded.len() - places);
    format!("{sign}{major}.{fraction}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests;
