//! The checker against the pricing: two programs that share nothing come to the same, whatever the price.

use super::super::days::{day_of, left_of_month};
use super::*;
use kernel::{ChargeBasis, ChargeInputs, Currency, DayRule, Exact, Money, Month, Price, micros};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A decimal of up to 12 places.
fn decimal() -> impl Strategy<Value = String> {
    (0u64..=2_000, 0usize..=12, 0u64..1_000_000_000_000).prop_map(|(whole, places, fraction)| {
        let fraction = format!("{fraction:012}");
        if places == 0 { whole.to_string() } else { format!("{whole}.{}", &fraction[..places]) }
    })
}

fn band() -> impl Strategy<Value = (i64, Option<String>, Option<String>)> {
    (1i64..40, prop::option::of(decimal()), prop::option::of(decimal()))
        .prop_filter("a band has a price", |band| band.1.is_some() || band.2.is_some())
}

/// Bands that tile the quantities from 1.
fn bands() -> impl Strategy<Value = Value> {
    prop::collection::vec(band(), 1..6).prop_map(|bands| {
        let (mut bound, last) = (0, bands.len() - 1);
        let bands = bands.into_iter().enumerate().map(|(place, (width, unit, flat))| {
            bound += width;
            let mut band = serde_json::Map::new();
            if place < last {
                band.insert("up_to".into(), json!(bound));
            }
            unit.map(|unit| band.insert("unit".into(), json!(unit)));
            flat.map(|flat| band.insert("flat".into(), json!(flat)));
            Value::Object(band)
        });
        Value::Array(bands.collect())
    })
}

fn spec() -> impl Strategy<Value = Value> {
    prop_oneof![
        decimal().prop_map(|flat| json!({"model": "flat", "flat": flat})),
        decimal().prop_map(|unit| json!({"model": "flat", "unit": unit})),
        decimal().prop_map(|flat| json!({"model": "flat", "bands": [{"flat": flat}]})),
        decimal().prop_map(|unit| json!({"model": "per_unit", "unit": unit})),
        (decimal(), decimal())
            .prop_map(|(unit, flat)| json!({"model": "per_unit", "bands": [{"unit": unit, "flat": flat}]})),
        bands().prop_map(|bands| json!({"model": "graduated", "bands": bands})),
        bands().prop_map(|bands| json!({"model": "volume", "bands": bands})),
        (1i64..50, decimal()).prop_map(|(size, unit)| json!({"model": "package", "size": size, "unit": unit})),
    ]
}

/// Instants from 1970 to 2200, microseconds.
fn instant() -> impl Strategy<Value = i64> {
    0i64..7_258_118_400_000_000
}

fn rule() -> impl Strategy<Value = DayRule> {
    prop::sample::select(DayRule::ALL)
}

fn currency() -> impl Strategy<Value = Currency> {
    prop::sample::select(&["EUR", "JPY", "BHD"][..]).prop_map(|code| code.parse().unwrap())
}

fn number_of(exact: &Exact) -> Number {
    number(&exact.to_string()).unwrap()
}

/// What the checker makes of a basis as it is stored.
fn checked(basis: &ChargeBasis, at: i64) -> Worked {
    let stored = serde_json::to_value(basis).unwrap();
    let spec: Spec = serde_json::from_value(stored["spec"].clone()).unwrap();
    let rule = stored["rule"].as_str().unwrap();
    let part = left_of_month(rule, at).unwrap();
    assert_eq!(part, (stored["days_left"].as_i64().unwrap(), stored["days_of"].as_i64().unwrap()));
    let currency: Currency = stored["currency"].as_str().unwrap().parse().unwrap();
    work_out(&Given {
        spec: &spec,
        before: stored["before"].as_i64().unwrap(),
        after: stored["after"].as_i64().unwrap(),
        part,
        accrued_before: &number(stored["accrued_before"].as_str().unwrap()).unwrap(),
        charged_before: stored["charged_before"].as_i64().unwrap(),
        decimals: currency.digits(),
    })
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// every model's total.
    #[test]
    fn totals_are_the_same(spec in spec(), quantity in 0i64..300) {
        let price: Price = serde_json::from_value(spec.clone()).unwrap();
        let own: Spec = serde_json::from_value(spec).unwrap();
        prop_assert_eq!(own.total(quantity).unwrap(), number_of(&price.total(quantity)));
    }

    /// two increases in one month, the second after what the first left.
    #[test]
    fn charges_are_the_same(
        spec in spec(),
        rule in rule(),
        currency in currency(),
        (start, first, second) in (0i64..60, 0i64..60, 0i64..60),
        (one, other) in (instant(), 0i64..86_400_000_000),
    ) {
        let price: Price = serde_json::from_value(spec).unwrap();
        let later = one + other;
        let same_month = day_of(one).month() == day_of(later).month();
        let (mut accrued_before, mut charged_before, mut before) = (Exact::zero(), 0, start);
        for (at, more) in [(one, first), (if same_month { later } else { one }, second)] {
            let inputs = ChargeInputs {
                offer: "x".into(),
                currency,
                price_version: 1,
                before,
                after: before + more,
                fraction: rule.fraction(kernel::from_micros(at)),
                accrued_before,
                charged_before,
            };
            let basis = ChargeBasis::compute(&price, inputs).unwrap();
            let worked = checked(&basis, at);
            prop_assert_eq!(worked.amount, basis.amount);
            prop_assert_eq!(&worked.accrued, &number_of(&basis.accrued()));
            accrued_before = basis.accrued();
            charged_before += basis.amount;
            before += more;
        }
    }

    /// days, months and their parts.
    #[test]
    fn days_are_the_same(at in instant(), rule in rule()) {
        let instant = kernel::from_micros(at);
        prop_assert_eq!(micros(instant), at);
        let month = Month::of(instant);
        prop_assert_eq!(day_of(at).text(), instant.date_naive().to_string());
        prop_assert_eq!(day_of(at).month(), month.to_string());
        prop_assert_eq!(day_of(at).following_month(), month.next().to_string());
        let fraction = rule.fraction(instant);
        prop_assert_eq!(left_of_month(rule.as_str(), at), Some((fraction.left, fraction.of)));
    }

    /// rounding and writing.
    #[test]
    fn rounding_is_the_same(above in -1_000_000_000i64..1_000_000_000, below in 1i64..5_000, currency in currency()) {
        let money = Money::from_exact(&Exact::ratio(above, below).unwrap(), currency).unwrap();
        let minor = to_minor(&Number::new(above.into(), below.into()), currency.digits()).unwrap();
        prop_assert_eq!(minor, i128::from(money.minor()));
        prop_assert_eq!(written(minor, currency.digits()), money.amount_string());
    }
}

/// Days at both ends of months, years and leap years.
#[test]
fn the_edges_of_the_calendar() {
    for text in [
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00Z",
        "1999-12-31T23:59:59Z",
        "2000-02-29T12:00:00Z",
        "2000-03-01T00:00:00Z",
        "2018-02-28T23:59:59.999999Z",
        "2020-02-29T00:00:00Z",
        "2100-02-28T23:59:59Z",
        "2100-03-01T00:00:00Z",
        "2400-02-29T23:59:59Z",
    ] {
        let at = micros(kernel::parse_rfc3339(text).unwrap());
        assert_eq!(day_of(at).text(), text[..10], "{text}");
        for rule in DayRule::ALL {
            let fraction = rule.fraction(kernel::from_micros(at));
            assert_eq!(left_of_month(rule.as_str(), at), Some((fraction.left, fraction.of)), "{rule} {text}");
        }
    }
    assert_eq!(left_of_month("half_open_days", 0), Some((31, 31)));
    assert_eq!(left_of_month("weeks", 0), None);
}

/// Half away from zero, on both sides.
#[test]
fn halves_go_away_from_zero() {
    for (text, minor) in [("0.005", 1), ("-0.005", -1), ("0.0049999", 0), ("1.015", 102), ("-7/200", -4), ("0", 0)] {
        assert_eq!(to_minor(&number(text).unwrap(), 2), Some(minor), "{text}");
    }
}

/// What is no number, or no price of a quantity, is none, and never a wrong amount.
#[test]
fn what_makes_no_sense_is_none() {
    for text in ["", "-", "--1", "1.", ".5", "1/0", "1/", "/2", "1e3", "1 ", "+1", "1_0", "1/-2"] {
        assert_eq!(number(text), None, "{text:?}");
    }
    let spec = |json: Value| serde_json::from_value::<Spec>(json).unwrap();
    for (price, quantity) in [
        (json!({"model": "graduated", "bands": [{"up_to": 5, "unit": "1"}]}), 6),
        (json!({"model": "volume", "bands": []}), 1),
        (json!({"model": "package", "size": 0, "unit": "1"}), 1),
        (json!({"model": "per_unit"}), 1),
        (json!({"model": "barter", "unit": "1"}), 1),
    ] {
        assert_eq!(spec(price.clone()).total(quantity), None, "{price}");
        assert_eq!(spec(price).total(0), Some(Number::zero()));
    }
}
