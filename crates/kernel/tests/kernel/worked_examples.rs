//! The published examples that our rules cover, each by the id it has in the collection of worked examples.

use chrono::TimeDelta;
use kernel::{
    ChargeBasis, ChargeInputs, Currency, DayRule, Exact, Money, Month, Price, UnitPrice, share_by_largest_remainder,
};

use crate::{instant, price};

const USERS_2016: &str = r#"{"model": "graduated", "bands": [{"up_to": 5, "unit": "6"}, {"up_to": 95, "unit": "8"},
    {"up_to": 995, "unit": "4"}, {"unit": "2"}]}"#;
const FONTS: &str =
    r#"{"model": "volume", "bands": [{"up_to": 5, "unit": "7"}, {"up_to": 10, "unit": "6.50"}, {"unit": "6"}]}"#;
const POLAR: &str =
    r#"{"model": "graduated", "bands": [{"up_to": 10, "unit": "10"}, {"up_to": 50, "unit": "8"}, {"unit": "6"}]}"#;
const FREE_FIVE: &str = r#"{"model": "graduated", "bands": [{"up_to": 5, "unit": "0"}, {"unit": "10"}]}"#;
const ZUPLO: &str = r#"[{"up_to": 1000, "unit": "0.10"}, {"up_to": 10000, "unit": "0.05"}, {"unit": "0.01"}]"#;
const WATER: &str = r#"[{"up_to": 1000, "unit": "1.50", "flat": "30"}, {"unit": "2.00""#;

fn banded(model: &str, bands: &str) -> String {
    format!(r#"{{"model": "{model}", "bands": {bands}}}"#)
}

#[test]
fn totals_of_the_price_models() {
    let polar_seats = r#"[{"up_to": 10, "unit": "10"}, {"unit": "8"}]"#;
    let backward = r#"[{"up_to": 20, "unit": "25"}, {"unit": "20"}]"#;
    let lago = r#"[{"up_to": 10000, "unit": "0.0010", "flat": "10"}, {"up_to": 50000, "unit": "0.0008", "flat": "10"},
        {"up_to": 100000, "unit": "0.0006", "flat": "10"}, {"unit": "0.0004", "flat": "10"}]"#;
    let package = |size: i64, unit: &str| format!(r#"{{"model": "package", "size": {size}, "unit": "{unit}"}}"#);
    let unit = |unit: &str| format!(r#"{{"model": "per_unit", "unit": "{unit}"}}"#);
    let cases: Vec<(&str, String, i64, &str)> = vec![
        // The 5 free users are included units, which bands do not count (R-22): 10 users are 5 paid ones.
        ("X-A1", USERS_2016.into(), 10 - 5, "30"),
        ("X-A2", USERS_2016.into(), 1500 - 5, "5350"),
        ("X-A8", FONTS.into(), 1, "7"),
        ("X-A8", FONTS.into(), 5, "35"),
        ("X-A8", FONTS.into(), 6, "39"),
        ("X-A8", FONTS.into(), 20, "120"),
        ("X-A8", FONTS.into(), 25, "150"),
        ("X-A10", banded("graduated", polar_seats), 14, "132"),
        ("X-A10", banded("volume", polar_seats), 14, "112"),
        ("X-A11", POLAR.into(), 5, "50"),
        ("X-A11", POLAR.into(), 10, "100"),
        ("X-A11", POLAR.into(), 15, "140"),
        ("X-A11", POLAR.into(), 50, "420"),
        ("X-A11", POLAR.into(), 51, "426"),
        ("X-A11", POLAR.into(), 100, "720"),
        ("X-A13", FREE_FIVE.into(), 3, "0"),
        ("X-A13", FREE_FIVE.into(), 5, "0"),
        ("X-A13", FREE_FIVE.into(), 8, "30"),
        ("X-A13", FREE_FIVE.into(), 15, "100"),
        ("X-A15", banded("volume", backward), 20, "500"),
        ("X-A15", banded("volume", backward), 21, "420"),
        ("X-A18", banded("graduated", ZUPLO), 15000, "600"),
        ("X-A18", banded("volume", ZUPLO), 15000, "150"),
        ("X-A19", package(100, "5"), 201 - 100, "10"),
        ("X-A21", package(10, "50"), 25, "150"),
        ("X-A22", package(1000, "1.00"), 4500, "5"),
        ("X-A23", banded("volume", lago), 65000, "49"),
        // Blocks of 10 minutes are the units of the first meter.
        ("X-A36", banded("graduated", r#"[{"up_to": 100, "unit": "1"}, {"unit": "0.5"}]"#), 150, "125"),
        ("X-A36", banded("graduated", r#"[{"up_to": 1024, "unit": "0.5"}, {"unit": "0.1"}]"#), 2048, "614.4"),
        ("X-A38", banded("graduated", &format!("{WATER}}}]")), 400, "630"),
        ("X-A38", banded("graduated", &format!("{WATER}}}]")), 1200, "1930"),
        ("X-A38", banded("volume", &format!(r#"{WATER}, "flat": "30"}}]"#)), 1200, "2430"),
        ("X-A40", banded("graduated", r#"[{"up_to": 5, "unit": "2"}, {"unit": "1"}]"#), 13, "18"),
        ("X-A41", banded("graduated", r#"[{"up_to": 100, "unit": "0"}, {"unit": "2.00"}]"#), 130, "60"),
        // The first in cents: as dollars its price would have more decimals than we keep (R-21).
        ("X-A42", unit("0.000000000001"), 1_000_000_000_000, "1"),
        ("X-A42", unit("0.005"), 100, "0.5"),
        ("X-A42", unit("0.005"), -5, "0"),
        ("X-B8", unit("29.95"), 7, "209.65"),
        ("X-B8", unit("29.95"), 10, "299.5"),
    ];
    for (id, json, quantity, expected) in cases {
        assert_eq!(price(&json).total(quantity).to_decimal_string(12), expected, "{id}: {quantity} of {json}");
    }
}

#[test]
fn a_total_that_falls_is_found_where_it_falls() {
    let backward = price(&banded("volume", r#"[{"up_to": 20, "unit": "25"}, {"unit": "20"}]"#));
    assert_eq!(backward.falls_at(0, 1000), Some((20, 21)), "X-A15");
    assert_eq!(backward.falls_at(0, 20), None, "X-A15: nobody can buy 21");
    assert_eq!(price(USERS_2016).falls_at(0, 10_000), None, "X-A1");
}

fn charged(json: &str, before: i64, after: i64, rule: DayRule, at: &str) -> String {
    let inputs = ChargeInputs {
        offer: "offer".into(),
        currency: "USD".parse().unwrap(),
        price_version: 1,
        before,
        after,
        fraction: rule.fraction(instant(at)),
        accrued_before: Exact::zero(),
        charged_before: 0,
    };
    ChargeBasis::compute(&price(json), inputs).unwrap().money().to_string()
}

#[test]
fn part_months() {
    use DayRule::{DaysAfter, InclusiveDays, None};
    let unit = |price: &str| format!(r#"{{"model": "per_unit", "unit": "{price}"}}"#);
    let cases = [
        ("X-C1", unit("1"), 0, 10, DaysAfter, "2018-04-15T10:00:00Z", "5.00"),
        ("X-C2", unit("1000"), 10, 11, DaysAfter, "2018-05-10T10:00:00Z", "677.42"),
        ("X-B16", unit("10"), 0, 1, DaysAfter, "2018-04-15T00:00:00Z", "5.00"),
        ("X-B16, the other rule", unit("10"), 0, 1, InclusiveDays, "2018-04-15T00:00:00Z", "5.33"),
        ("X-B17", unit("50"), 0, 1, InclusiveDays, "2018-04-06T00:00:00Z", "41.67"),
        ("X-R10", unit("50"), 0, 1, InclusiveDays, "2018-01-08T00:00:00Z", "38.71"),
        ("X-R13", unit("10"), 0, 1, DaysAfter, "2018-04-15T00:00:00Z", "5.00"),
        ("X-R13", unit("99"), 0, 1, DaysAfter, "2018-04-15T00:00:00Z", "49.50"),
        ("X-C7", unit("1"), 10, 20, DaysAfter, "2018-04-15T00:00:00Z", "5.00"),
        ("X-C10", unit("1"), 20, 50, DaysAfter, "2018-04-15T00:00:00Z", "15.00"),
        ("X-C13", unit("500"), 1, 2, None, "2018-04-15T00:00:00Z", "500.00"),
        ("X-C13", unit("500"), 1, 4, None, "2018-04-15T00:00:00Z", "1500.00"),
        ("X-C22", unit("30"), 1, 2, DaysAfter, "2018-09-15T00:00:00Z", "15.00"),
        ("last day", unit("30"), 0, 1, DaysAfter, "2018-09-30T23:59:59Z", "0.00"),
    ];
    for (id, json, before, after, rule, at, expected) in cases {
        assert_eq!(charged(&json, before, after, rule, at), expected, "{id}");
    }
}

#[test]
fn every_month_of_fixed_30_has_30_days() {
    for month in ["2023-05", "2023-06", "2023-02", "2024-02"] {
        let from = instant(&format!("{month}-23T00:00:00Z"));
        let to = Month::of(from).next().start() + TimeDelta::days(14);
        let after = Exact::from_int(1) - DayRule::Fixed30.fraction(to).exact();
        let whole = DayRule::Fixed30.fraction(from).exact() + after;
        assert_eq!(whole, Exact::ratio(22, 30).unwrap(), "X-C24: {month}");
    }
    let rest = |at: &str| DayRule::Fixed30.fraction(instant(at)).left;
    assert_eq!((rest("2018-01-31T00:00:00Z"), rest("2018-02-28T00:00:00Z")), (1, 3));
}

#[test]
fn the_other_day_rules() {
    let at = instant("2018-04-15T10:00:00.5Z");
    let left = |rule: DayRule| {
        let fraction = rule.fraction(at);
        (fraction.left, fraction.of)
    };
    assert_eq!(left(DayRule::DaysAfter), (15, 30));
    assert_eq!(left(DayRule::InclusiveDays), (16, 30));
    assert_eq!(left(DayRule::Seconds), (15 * 86_400 + 14 * 3_600 - 1, 30 * 86_400));
    assert_eq!(left(DayRule::None), (1, 1));
    assert_eq!("half_open_days".parse::<DayRule>().unwrap(), DayRule::InclusiveDays);
}

fn exact(text: &str) -> Exact {
    text.parse().unwrap()
}

#[test]
fn rounding() {
    let cases = [
        ("X-R11", "179699999999999988631316/10000000000000000000000", 1797),
        ("X-R12", "1994/1000", 199),
        ("X-R12", "1995/1000", 200),
        ("X-R12", "1996/1000", 200),
        ("X-R14", "175/1000", 18),
        ("X-R14", "174/1000", 17),
        ("R-24: a reversal is the mirror", "-175/1000", -18),
        ("X-R4", "19333/400", 4833),
        ("X-R5", "15467/400", 3867),
    ];
    for (id, value, minor) in cases {
        assert_eq!(exact(value).round_half_away(2), Some(minor), "{id}");
    }
    assert_eq!(Exact::from_int(i64::MAX).round_half_away(1), None);
    let price: Price = price(r#"{"model": "per_unit", "unit": "1.995"}"#);
    assert_eq!(Money::from_exact(&price.total(1), "EUR".parse().unwrap()).unwrap().to_string(), "2.00", "X-R12");
    assert_eq!("6.00".parse::<UnitPrice>().unwrap(), "6".parse().unwrap());
}

#[test]
fn tax_on_the_sum_is_shared_over_the_lines() {
    let euro: Currency = "EUR".parse().unwrap();
    let tax = |net: &[i64], percent: i64| {
        let sum = Money::new(net.iter().sum(), euro).to_exact() * Exact::ratio(percent, 100).unwrap();
        Money::from_exact(&sum, euro).unwrap().minor()
    };
    let lines = [17, 446];
    let shares = share_by_largest_remainder(tax(&lines, 20), &lines);
    assert_eq!(shares, [3, 90], "X-R1");
    assert_eq!(lines.iter().chain(&shares).sum::<i64>(), 556, "X-R1");
    assert_eq!(share_by_largest_remainder(1000, &[100, 50, 30, 20]), [500, 250, 150, 100], "X-R3");
    assert_eq!(share_by_largest_remainder(100, &[1, 1, 1]), [34, 33, 33]);
    assert_eq!(share_by_largest_remainder(-100, &[1, 1, 1]), [-34, -33, -33]);
    assert_eq!(share_by_largest_remainder(100, &[0, 0, 0]), [34, 33, 33]);
    assert_eq!(share_by_largest_remainder(5, &[0, -3, 2]), [0, 3, 2]);
    assert_eq!(share_by_largest_remainder(i64::MIN, &[i64::MIN]), [i64::MIN]);
    assert!(share_by_largest_remainder(5, &[]).is_empty());
}
