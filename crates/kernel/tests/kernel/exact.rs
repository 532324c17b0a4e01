//! Exact numbers are the same whether 128 bits hold them or not: all they do is checked against unbounded fractions, most of
//! all where numerators and denominators stop to fit.

use std::collections::HashSet;

use kernel::Exact;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive};
use proptest::prelude::*;
use proptest::sample::select;

/// Whole numbers around the edges of 32, 64 and 128 bits, their square roots, and those that amounts are made of.
fn edges() -> impl Strategy<Value = BigInt> {
    let bits = select(vec![0u32, 1, 31, 32, 62, 63, 64, 65, 126, 127, 128, 140]);
    let around = (bits, -3..=3i32, any::<bool>()).prop_map(|(bits, by, negative)| {
        let edge = BigInt::from(2).pow(bits) + by;
        if negative { -edge } else { edge }
    });
    let tens = (-999..=999i64, 0..30u32).prop_map(|(digits, zeros)| BigInt::from(digits) * BigInt::from(10).pow(zeros));
    prop_oneof![around, tens, any::<i64>().prop_map(BigInt::from), any::<i128>().prop_map(BigInt::from)]
}

fn fractions() -> impl Strategy<Value = BigRational> {
    let whole = edges().prop_map(BigRational::from_integer);
    let mixed = (edges(), edges()).prop_filter_map("a denominator", |(above, below)| {
        (below != BigInt::ZERO).then(|| BigRational::new(above, below))
    });
    let days = (edges(), 28..=31i32).prop_map(|(above, below)| BigRational::new(above, below.into()));
    let decimals = (any::<i64>(), 0..=12u32)
        .prop_map(|(digits, decimals)| BigRational::new(digits.into(), BigInt::from(10).pow(decimals)));
    prop_oneof![whole, mixed, days, decimals]
}

fn exact(value: &BigRational) -> Exact {
    value.to_string().parse().unwrap()
}

/// As a number of 10^`decimals`.
fn rounded(value: &BigRational, decimals: u32) -> BigInt {
    (value * BigInt::from(10).pow(decimals)).round().to_integer()
}

fn decimal(value: &BigRational, decimals: usize) -> String {
    let rounded = rounded(value, decimals.try_into().unwrap());
    let digits = format!("{:0>1$}", rounded.magnitude().to_string(), decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    let all = format!("{}{whole}.{fraction}", if rounded.is_negative() { "-" } else { "" });
    all.trim_end_matches('0').trim_end_matches('.').to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn operations_agree_with_unbounded_fractions(left in fractions(), right in fractions()) {
        let (a, b) = (exact(&left), exact(&right));
        for (found, expected) in
            [(&a + &b, &left + &right), (&a - &b, &left - &right), (&a * &b, &left * &right), (-&a, -&left)]
        {
            prop_assert_eq!(found.to_string(), expected.to_string());
            prop_assert_eq!(&found, &exact(&expected));
            prop_assert_eq!(found.is_negative(), expected.is_negative());
            prop_assert_eq!(found.is_zero(), expected == BigRational::from_integer(BigInt::ZERO));
        }
        prop_assert_eq!(a.cmp(&b), left.cmp(&right));
        prop_assert_eq!(a == b, left == right);
    }

    #[test]
    fn one_value_is_one_key_however_it_was_reached(value in fractions(), detour in fractions()) {
        let (start, detour) = (exact(&value), exact(&detour));
        let back = &start + &detour - &detour;
        prop_assert_eq!(&back, &start);
        prop_assert_eq!(HashSet::from([start, back]).len(), 1);
    }

    #[test]
    fn rounding_and_text_agree_with_unbounded_fractions(value in fractions(), decimals in 0..=12u32) {
        let number = exact(&value);
        prop_assert_eq!(number.to_string(), value.to_string());
        prop_assert_eq!(format!("{number:>+50}"), format!("{value:>+50}"));
        prop_assert_eq!(number.round_half_away(decimals), rounded(&value, decimals).to_i64());
        let width = decimals.try_into().unwrap();
        let shown = decimal(&value, width);
        prop_assert_eq!(number.to_decimal_string(decimals), if decimals == 0 { rounded(&value, 0).to_string() } else { shown });
        let scaled = &value * BigInt::from(10).pow(decimals);
        prop_assert_eq!(number.terminates_within(decimals), scaled.is_integer());
    }

    #[test]
    fn ratios_of_whole_numbers_are_exact(above: i64, below in prop_oneof![any::<i64>(), -3..=3i64]) {
        let expected = (below != 0).then(|| exact(&BigRational::new(above.into(), below.into())));
        prop_assert_eq!(Exact::ratio(above, below), expected);
    }
}

#[test]
fn the_edges_of_what_fits_are_exact() {
    let number = |text: &str| text.parse::<Exact>().unwrap();
    let most = number(&i128::MAX.to_string());
    let least = number(&i128::MIN.to_string());
    assert_eq!((&most + Exact::from_int(1)).to_string(), "170141183460469231731687303715884105728");
    assert_eq!(-&least, &most + Exact::from_int(1));
    assert_eq!(-(-&least), least);
    assert_eq!((&least - &most).to_string(), "-340282366920938463463374607431768211455");
    assert!(least < most && &most + &most > most);
    assert_eq!(Exact::ratio(i64::MIN, i64::MIN), Some(Exact::from_int(1)));
    assert_eq!(Exact::ratio(i64::MIN, -1).unwrap().to_string(), "9223372036854775808");
    assert_eq!(Exact::from_int(i64::MIN).round_half_away(0), Some(i64::MIN));
    assert_eq!(
        number("170141183460469231731687303715884105727/170141183460469231731687303715884105726").round_half_away(12),
        Some(1_000_000_000_000)
    );
}

#[test]
fn prices_that_fit_no_word_are_summed_exactly() {
    let price = crate::price(
        r#"{"model": "graduated", "bands": [{"up_to": 1, "unit": "0.000000000001"}, {"unit": "999999999999999.999999999999", "flat": "0.5"}]}"#,
    );
    let unit: BigRational = "999999999999999999999999999/1000000000000".parse().unwrap();
    let first: BigRational = "1/1000000000000".parse().unwrap();
    let expected = unit * BigInt::from(i64::MAX - 1) + first + BigRational::new(1.into(), 2.into());
    assert_eq!(price.total(i64::MAX), exact(&expected));
    let parts = price.parts(i64::MAX);
    assert_eq!(parts.into_iter().map(|part| part.amount).sum::<Exact>(), price.total(i64::MAX));
}
