//! Checking of prices, the forms they may be written in, and their JSON.

use chrono::NaiveDate;
use kernel::{Price, PriceFaultKind as Kind, PriceSpec, UnitPrice};
use serde::Deserialize;

use crate::{price, spec};

#[test]
fn each_fault_is_named_with_its_band() {
    let cases = [
        (r#"{"model": "graduated"}"#, vec![(None, Kind::Empty)]),
        (r#"{"model": "per_unit", "bands": []}"#, vec![(None, Kind::Empty)]),
        (r#"{"model": "volume", "bands": [{"up_to": 5, "unit": "1"}]}"#, vec![(Some(0), Kind::LastBandBounded)]),
        (
            r#"{"model": "graduated", "bands": [{"up_to": 0, "unit": "1"}, {"unit": "1"}]}"#,
            vec![(Some(0), Kind::BoundNotPositive)],
        ),
        (
            r#"{"model": "graduated", "bands": [{"up_to": 9, "unit": "1"}, {"up_to": 9, "unit": "1"}, {}]}"#,
            vec![(Some(1), Kind::BoundNotRising), (Some(2), Kind::BandWithoutPrice)],
        ),
        (
            r#"{"model": "graduated", "bands": [{"unit": "1"}, {"unit": "1"}]}"#,
            vec![(Some(0), Kind::UnboundedBandNotLast)],
        ),
        (r#"{"model": "package", "size": 0, "unit": "1"}"#, vec![(None, Kind::SizeTooSmall)]),
        (r#"{"model": "package", "unit": "1"}"#, vec![(None, Kind::SizeTooSmall)]),
        (r#"{"model": "per_unit", "bands": [{"flat": "1"}]}"#, vec![(None, Kind::UnitMissing)]),
    ];
    for (json, expected) in cases {
        let faults = Price::parse(spec(json)).unwrap_err();
        let found: Vec<_> = faults.iter().map(|fault| (fault.band, fault.kind)).collect();
        assert_eq!(found, expected, "{json}");
    }
}

#[test]
fn fields_that_a_model_does_not_use_are_faults() {
    for json in [
        r#"{"model": "graduated", "unit": "1"}"#,
        r#"{"model": "volume", "unit": "1", "bands": [{"unit": "1"}]}"#,
        r#"{"model": "flat", "unit": "1", "flat": "1"}"#,
        r#"{"model": "flat", "bands": [{"unit": "1", "flat": "1"}]}"#,
        r#"{"model": "flat", "bands": [{"up_to": 5, "flat": "1"}, {"flat": "2"}]}"#,
        r#"{"model": "per_unit", "unit": "1", "size": 10}"#,
        r#"{"model": "per_unit", "unit": "1", "flat": "1"}"#,
        r#"{"model": "package", "size": 10, "bands": [{"unit": "1"}]}"#,
        r#"{"model": "package", "size": 10, "unit": "1", "flat": "1"}"#,
    ] {
        let faults = Price::parse(spec(json)).unwrap_err();
        assert!(matches!(faults[0].kind, Kind::WrongFields(_)), "{json}: {faults:?}");
    }
    assert!(serde_json::from_str::<PriceSpec>(r#"{"model": "flat", "flat": "1", "tiers": []}"#).is_err());
}

#[test]
fn a_fault_reads_as_a_sentence() {
    let json = r#"{"model": "volume", "bands": [{"up_to": 5, "unit": "1"}]}"#;
    let message = serde_json::from_str::<Price>(json).unwrap_err().to_string();
    assert_eq!(message, "band 1: the last band must have no up_to: larger quantities would have no price");
}

#[test]
fn both_ways_to_write_a_simple_price_are_one_price() {
    for (left, right) in [
        (r#"{"model": "flat", "flat": "9.00"}"#, r#"{"model": "flat", "bands": [{"unit": "9"}]}"#),
        (r#"{"model": "flat", "unit": "9.00"}"#, r#"{"model": "flat", "bands": [{"flat": "9"}]}"#),
        (r#"{"model": "per_unit", "unit": "9"}"#, r#"{"model": "per_unit", "bands": [{"unit": "9.0"}]}"#),
    ] {
        for quantity in [-1, 0, 1, 7] {
            assert_eq!(price(left).total(quantity), price(right).total(quantity), "{left}: {quantity}");
        }
    }
}

#[test]
fn json_is_as_it_was_typed() {
    let json = r#"{"model":"graduated","bands":[{"up_to":5,"unit":"6.00"},{"unit":"8","flat":"1.50"}]}"#;
    assert_eq!(serde_json::to_string(&price(json)).unwrap(), json);
    assert_eq!(serde_json::to_string(&price(json).spec()).unwrap(), json);
}

#[test]
fn a_catalogue_table_may_hold_a_price_beside_its_date() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Dated {
        from: Option<NaiveDate>,
        #[serde(flatten)]
        price: PriceSpec,
    }
    let dated: Dated = serde_json::from_str(r#"{"from": "2018-01-01", "model": "flat", "flat": "1"}"#).unwrap();
    assert_eq!((dated.from.is_some(), dated.price), (true, spec(r#"{"model": "flat", "flat": "1"}"#)));
    assert!(serde_json::from_str::<Dated>(r#"{"model": "flat", "flat": "1", "form": "2018-01-01"}"#).is_err());
}

#[test]
fn unit_prices_are_strict_decimals() {
    for text in ["0", "6.00", "0.000000000001", "999999999999999.999999999999", "10.50"] {
        assert_eq!(text.parse::<UnitPrice>().unwrap().to_string(), text);
    }
    let too_long = ["0.0000000000001", "1000000000000000"];
    for text in ["", ".", "1.", ".5", "-1", "+1", "01", "1e3", "1,5", " 1", "1_0", "٣"].iter().chain(&too_long) {
        assert!(text.parse::<UnitPrice>().is_err(), "{text}");
    }
}
