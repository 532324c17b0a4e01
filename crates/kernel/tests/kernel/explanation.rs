//! Explanations: terse, complete enough to be checked by hand, and the same after a round trip.

use kernel::{ChargeBasis, ChargeInputs, DayRule, Exact, Step, UnitPrice};

use crate::{instant, price};

const USERS: &str = r#"{"model": "graduated", "bands": [{"up_to": 5, "unit": "6.00"}, {"unit": "8.00"}]}"#;

fn inputs(before: i64, after: i64) -> ChargeInputs {
    ChargeInputs {
        offer: "ms.vss-vstsuser".into(),
        currency: "USD".parse().unwrap(),
        price_version: 1,
        before,
        after,
        fraction: DayRule::DaysAfter.fraction(instant("2018-04-15T10:00:00Z")),
        accrued_before: Exact::zero(),
        charged_before: 0,
    }
}

fn lines(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| format!("{}: {} = {}", step.step, step.detail, step.value)).collect()
}

#[test]
fn a_first_purchase_is_explained_tersely() {
    let basis = ChargeBasis::compute(&price(USERS), inputs(0, 10)).unwrap();
    assert_eq!(
        lines(&basis.steps()),
        [
            "price_version: ms.vss-vstsuser in USD = 1",
            "price_after: 5 × 6.00 for paid units 1 to 5 = 30",
            "price_after: 5 × 8.00 for paid units 6 to 10 = 40",
            "days: days_after: 15 of 30 days = 15/30",
            "exact: 70 × 15/30 = 35",
            "rounding: to 2 decimals, half away from zero = 35.00",
        ]
    );
    let json = serde_json::to_string(&basis.steps()).unwrap();
    assert!(json.len() < 700, "{} bytes", json.len());
}

#[test]
fn a_later_increase_says_what_came_before() {
    let third = Exact::ratio(1, 3).unwrap();
    let fraction = DayRule::DaysAfter.fraction(instant("2018-05-10T10:00:00Z"));
    let inputs = ChargeInputs { accrued_before: third, charged_before: 33, fraction, ..inputs(5, 6) };
    let basis = ChargeBasis::compute(&price(USERS), inputs).unwrap();
    assert_eq!(
        lines(&basis.steps())[3..],
        [
            "price_before: 5 × 6.00 for paid units 1 to 5 = 30",
            "difference: price after less price before, not below 0 = 8",
            "days: days_after: 21 of 31 days = 21/31",
            "exact: 8 × 21/31 = 168/31",
            "earlier_this_month: exact sum of earlier increases, 0.33 of it charged = 1/3",
            "rounding: 535/93 to 2 decimals, half away from zero, less 0.33 = 5.42",
        ]
    );
    assert_eq!(basis.accrued(), "535/93".parse().unwrap());
}

#[test]
fn packages_flat_fees_and_whole_months() {
    let whole = DayRule::None.fraction(instant("2018-04-15T10:00:00Z"));
    let steps = |json: &str| {
        let inputs = ChargeInputs { fraction: whole, ..inputs(0, 25) };
        lines(&ChargeBasis::compute(&price(json), inputs).unwrap().steps())[1..].to_vec()
    };
    let rounding = |value: &str| format!("rounding: to 2 decimals, half away from zero = {value}");
    assert_eq!(
        steps(r#"{"model": "package", "size": 10, "unit": "5.00"}"#),
        ["price_after: 3 packages of 10 × 5.00 for paid units 1 to 25 = 15", &rounding("15.00")]
    );
    assert_eq!(
        steps(r#"{"model": "volume", "bands": [{"unit": "0.105", "flat": "1.00"}]}"#),
        ["price_after: 25 × 0.105 + 1.00 for paid units 1 to 25 = 3.625", &rounding("3.63")]
    );
    assert_eq!(
        steps(r#"{"model": "flat", "flat": "9"}"#),
        ["price_after: 9 for paid units 1 to 25 = 9", &rounding("9.00")]
    );
}

#[test]
fn a_basis_survives_json_and_gives_its_amount_again() {
    let basis = ChargeBasis::compute(&price(USERS), inputs(3, 7)).unwrap();
    let json = serde_json::to_string(&basis).unwrap();
    let read: ChargeBasis = serde_json::from_str(&json).unwrap();
    assert_eq!(read, basis);
    assert_eq!(read.recomputed().unwrap(), read.amount);
    assert_eq!(read.spec.parts(1)[0].unit, "6".parse::<UnitPrice>().unwrap());
}

#[test]
fn an_amount_that_does_not_fit_is_an_error() {
    let dear = price(r#"{"model": "per_unit", "unit": "999999999999999"}"#);
    assert!(ChargeBasis::compute(&dear, inputs(0, i64::MAX)).is_err());
}
