//! What the arithmetic of one purchase decision costs: nanoseconds for `ChargeBasis::compute`, for `accrued` and for
//! `steps`, over the shapes of prices and months that are bought most. Run it with
//! `cargo run --release -p kernel --example decision_cost`.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use kernel::{ChargeBasis, ChargeInputs, DayRule, Price, parse_rfc3339};

const ROUNDS: u32 = 50_000;
/// The best of several runs is what the code costs; the others are what else the machine was doing.
const RUNS: u32 = 7;

const USERS: &str = r#"{"model": "graduated", "bands": [{"up_to": 5, "unit": "6.00"}, {"unit": "8.00"}]}"#;
const PLANS: &str =
    r#"{"model": "volume", "bands": [{"up_to": 100, "unit": "52.00"}, {"unit": "0.105", "flat": "1.00"}]}"#;

struct Case {
    name: &'static str,
    price: &'static str,
    rule: DayRule,
    before: i64,
    after: i64,
    accrued: &'static str,
    charged: i64,
}

const CASES: [Case; 4] = [
    Case {
        name: "first purchase, days",
        price: USERS,
        rule: DayRule::DaysAfter,
        before: 0,
        after: 10,
        accrued: "0",
        charged: 0,
    },
    Case {
        name: "later increase, days",
        price: USERS,
        rule: DayRule::DaysAfter,
        before: 5,
        after: 60,
        accrued: "535/93",
        charged: 575,
    },
    Case {
        name: "later increase, seconds",
        price: USERS,
        rule: DayRule::Seconds,
        before: 5,
        after: 60,
        accrued: "1234567/669600",
        charged: 184,
    },
    Case {
        name: "volume band passed, whole month",
        price: PLANS,
        rule: DayRule::None,
        before: 1,
        after: 500,
        accrued: "0",
        charged: 0,
    },
];

fn inputs(case: &Case) -> Result<ChargeInputs, Box<dyn Error>> {
    Ok(ChargeInputs {
        offer: "ms.vss-vstsuser".to_owned(),
        currency: "USD".parse()?,
        price_version: 1,
        before: case.before,
        after: case.after,
        fraction: case.rule.fraction(parse_rfc3339("2018-05-10T10:11:12Z")?),
        accrued_before: case.accrued.parse()?,
        charged_before: case.charged,
    })
}

fn nanoseconds<T>(mut work: impl FnMut() -> T) -> u128 {
    let run = |_| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| drop(black_box(work())));
        start.elapsed().as_nanos() / u128::from(ROUNDS)
    };
    (0..RUNS).map(run).min().unwrap_or_default()
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("{:<34}{:>10}{:>10}{:>10}  ns", "", "compute", "accrued", "steps");
    for case in &CASES {
        let price: Price = serde_json::from_str(case.price)?;
        let inputs = inputs(case)?;
        let basis = ChargeBasis::compute(&price, inputs.clone())?;
        let compute = nanoseconds(|| ChargeBasis::compute(black_box(&price), inputs.clone()));
        let accrued = nanoseconds(|| black_box(&basis).accrued());
        let steps = nanoseconds(|| black_box(&basis).steps());
        println!("{:<34}{compute:>10}{accrued:>10}{steps:>10}", case.name);
    }
    Ok(())
}
