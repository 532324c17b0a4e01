//! Fractions of two 128 bit integers, which nearly every amount is, without an allocation. Whatever does not fit is `None`,
//! and [`Exact`](super::Exact) then computes without bounds; nothing here wraps or rounds unasked.

use std::cmp::Ordering;

/// A fraction in lowest terms; the denominator is positive.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Small {
    pub(super) numerator: i128,
    pub(super) denominator: i128,
}

impl Small {
    pub(super) const ZERO: Self = Self::whole(0);

    pub(super) const fn whole(numerator: i128) -> Self {
        Self { numerator, denominator: 1 }
    }

    /// `numerator / denominator` in lowest terms; `None` also where the denominator is 0.
    pub(super) fn ratio(numerator: i128, denominator: i128) -> Option<Self> {
        match denominator.signum() {
            0 => None,
            1 => Some(Self::reduced(numerator, denominator)),
            _ => Some(Self::reduced(numerator.checked_neg()?, denominator.checked_neg()?)),
        }
    }

    pub(super) fn decimal(digits: i128, decimals: u32) -> Option<Self> {
        Some(Self::reduced(digits, power_of_ten(decimals)?))
    }

    fn reduced(numerator: i128, denominator: i128) -> Self {
        let common = gcd(numerator, denominator);
        Self { numerator: divided(numerator, common), denominator: divided(denominator, common) }
    }

    pub(super) fn checked_neg(self) -> Option<Self> {
        Some(Self { numerator: self.numerator.checked_neg()?, ..self })
    }

    pub(super) fn checked_add(self, other: Self) -> Option<Self> {
        if self.denominator == other.denominator {
            return Some(Self::reduced(self.numerator.checked_add(other.numerator)?, self.denominator));
        }
        // Knuth, The Art of Computer Programming, 4.5.1: only what divides both denominators can divide the sum, so the
        // numbers stay small. Fractions of different denominators never come to 0, whose denominator would have to be 1.
        let common = gcd(self.denominator, other.denominator);
        let left = self.numerator.checked_mul(divided(other.denominator, common))?;
        let right = other.numerator.checked_mul(divided(self.denominator, common))?;
        let sum = left.checked_add(right)?;
        let further = gcd(sum, common);
        let denominator = divided(self.denominator, common).checked_mul(divided(other.denominator, further))?;
        Some(Self { numerator: divided(sum, further), denominator })
    }

    pub(super) fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(other.checked_neg()?)
    }

    pub(super) fn checked_mul(self, other: Self) -> Option<Self> {
        // Both are in lowest terms, so that only a numerator and the other's denominator have anything in common.
        let falling = gcd(self.numerator, other.denominator);
        let rising = gcd(other.numerator, self.denominator);
        let numerator = divided(self.numerator, falling).checked_mul(divided(other.numerator, rising))?;
        let denominator = divided(self.denominator, rising).checked_mul(divided(other.denominator, falling))?;
        Some(Self { numerator, denominator })
    }

    pub(super) fn checked_cmp(self, other: Self) -> Option<Ordering> {
        if self.denominator == other.denominator || self.numerator.signum() != other.numerator.signum() {
            return Some(self.numerator.cmp(&other.numerator));
        }
        let left = self.numerator.checked_mul(other.denominator)?;
        Some(left.cmp(&other.numerator.checked_mul(self.denominator)?))
    }

    /// The value × 10^`decimals`, rounded half away from zero.
    pub(super) fn rounded(self, decimals: u32) -> Option<i128> {
        let scaled = self.numerator.checked_mul(power_of_ten(decimals)?)?;
        if self.denominator == 1 {
            return Some(scaled);
        }
        let whole = scaled / self.denominator;
        let rest = (scaled % self.denominator).unsigned_abs();
        let up = rest >= self.denominator.unsigned_abs() - rest;
        Some(if up { whole + scaled.signum() } else { whole })
    }

    /// Whether the value × 10^`decimals` is whole, which in lowest terms the denominator alone decides.
    pub(super) fn terminates_within(self, decimals: u32) -> Option<bool> {
        Some(self.denominator == 1 || power_of_ten(decimals)? % self.denominator == 0)
    }
}

fn power_of_ten(exponent: u32) -> Option<i128> {
    10i128.checked_pow(exponent)
}

/// Division of 128 bits is slow, and most often there is nothing to divide by.
const fn divided(value: i128, by: i128) -> i128 {
    if by == 1 { value } else { value / by }
}

/// The greatest common divisor, of which `positive` is a multiple: at least 1, and `positive` itself for 0.
fn gcd(value: i128, positive: i128) -> i128 {
    if positive == 1 || value == 1 {
        return 1;
    }
    let (mut left, mut right) = (value.unsigned_abs(), positive.unsigned_abs());
    while right != 0 {
        if let (Ok(left), Ok(right)) = (u64::try_from(left), u64::try_from(right)) {
            return gcd_of_words(left, right).into();
        }
        (left, right) = (right, left % right);
    }
    // It divides `positive`, so it fits.
    i128::try_from(left).unwrap_or(positive)
}

/// One division brings both to a size; from there on the binary method needs none.
const fn gcd_of_words(left: u64, right: u64) -> u64 {
    let (large, small) = if left < right { (right, left) } else { (left, right) };
    if small == 0 {
        return large;
    }
    let mut rest = large % small;
    if rest == 0 {
        return small;
    }
    let twos = (small | rest).trailing_zeros();
    let mut odd = small >> small.trailing_zeros();
    while rest != 0 {
        rest >>= rest.trailing_zeros();
        let difference = odd.abs_diff(rest);
        if rest < odd {
            odd = rest;
        }
        rest = difference;
    }
    odd << twos
}
