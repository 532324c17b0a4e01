//! What holds for all inputs.

use std::collections::BTreeSet;

use kernel::{
    Band, ChargeBasis, ChargeInputs, Currency, DayFraction, DayRule, EventId, Exact, IdSource, Model, Money, Month,
    Price, PriceSpec, Timestamp, UnitPrice, from_micros, micros, parse_rfc3339, rfc3339, share_by_largest_remainder,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn unit_prices() -> impl Strategy<Value = UnitPrice> {
    prop_oneof!["0|[1-9][0-9]{0,4}", "(0|[1-9][0-9]{0,3})\\.[0-9]{1,12}"].prop_map(|text| text.parse().unwrap())
}

fn bands() -> impl Strategy<Value = Vec<Band>> {
    vec((1..40i64, unit_prices(), option::of(unit_prices())), 1..6).prop_map(|rows| {
        let last = rows.len() - 1;
        let mut bound = 0;
        let band = |(index, (width, unit, flat))| {
            bound += width;
            Band { up_to: (index < last).then_some(bound), unit: Some(unit), flat }
        };
        rows.into_iter().enumerate().map(band).collect()
    })
}

fn banded(model: Model) -> impl Strategy<Value = Price> {
    bands().prop_map(move |bands| Price::parse(PriceSpec { model, bands, size: None, unit: None, flat: None }).unwrap())
}

fn simple() -> impl Strategy<Value = Price> {
    (select(vec![Model::Flat, Model::PerUnit, Model::Package]), unit_prices(), 1..30i64).prop_map(
        |(model, unit, size)| {
            let size = (model == Model::Package).then_some(size);
            Price::parse(PriceSpec { model, bands: vec![], size, unit: Some(unit), flat: None }).unwrap()
        },
    )
}

/// Prices whose totals never fall.
fn rising() -> impl Strategy<Value = Price> {
    prop_oneof![banded(Model::Graduated), simple()]
}

fn any_price() -> impl Strategy<Value = Price> {
    prop_oneof![rising(), banded(Model::Volume)]
}

fn instants() -> impl Strategy<Value = Timestamp> {
    (0..4_102_444_800_000_000i64).prop_map(from_micros)
}

fn rules() -> impl Strategy<Value = DayRule> {
    select(DayRule::ALL)
}

fn fractions() -> impl Strategy<Value = DayFraction> {
    (rules(), instants()).prop_map(|(rule, at)| rule.fraction(at))
}

fn currencies() -> impl Strategy<Value = Currency> {
    select(vec!["JPY", "EUR", "BHD"]).prop_map(|code| code.parse().unwrap())
}

/// What a month has come to so far.
struct Account {
    currency: Currency,
    accrued: Exact,
    charged: i64,
}

impl Account {
    fn new(currency: Currency) -> Self {
        Self { currency, accrued: Exact::zero(), charged: 0 }
    }

    fn change(&mut self, price: &Price, before: i64, after: i64, fraction: DayFraction) -> ChargeBasis {
        let inputs = ChargeInputs {
            offer: "offer".into(),
            currency: self.currency,
            price_version: 1,
            before,
            after,
            fraction,
            accrued_before: self.accrued.clone(),
            charged_before: self.charged,
        };
        let basis = ChargeBasis::compute(price, inputs).unwrap();
        self.accrued = basis.accrued();
        self.charged += basis.amount;
        basis
    }
}

proptest! {
    #[test]
    fn no_fraction_is_lost_in_sharing(total: i64, weights in vec(any::<i64>(), 1..20)) {
        let parts = share_by_largest_remainder(total, &weights);
        prop_assert_eq!(parts.len(), weights.len());
        prop_assert_eq!(parts.iter().copied().map(i128::from).sum::<i128>(), i128::from(total));
        for (part, weight) in parts.iter().zip(&weights) {
            prop_assert!(part.signum() * total.signum() >= 0);
            prop_assert!(*weight != 0 || *part == 0 || weights.iter().all(|&weight| weight == 0));
        }
    }

    #[test]
    fn many_small_increases_in_a_day_cost_what_one_costs(
        price in rising(), currency in currencies(), fraction in fractions(),
        quantities in vec(0..300i64, 2..12).prop_map(|q| q.into_iter().collect::<BTreeSet<_>>()),
    ) {
        let steps: Vec<i64> = quantities.into_iter().collect();
        let mut small = Account::new(currency);
        for pair in steps.windows(2) {
            small.change(&price, pair[0], pair[1], fraction);
        }
        let one = Account::new(currency).change(&price, steps[0], steps[steps.len() - 1], fraction);
        prop_assert_eq!(small.charged, one.amount);
        prop_assert_eq!(small.accrued, one.accrued());
    }

    #[test]
    fn increases_over_a_month_come_to_their_exact_sum_rounded_once(
        price in any_price(), currency in currencies(),
        changes in vec((0..300i64, 0..300i64, fractions()), 1..12),
    ) {
        let mut account = Account::new(currency);
        for (before, after, fraction) in changes {
            let basis = account.change(&price, before, after, fraction);
            prop_assert!(basis.amount >= 0);
            prop_assert_eq!(account.accrued.round_half_away(currency.digits()), Some(account.charged));
        }
    }

    #[test]
    fn down_costs_nothing_and_up_again_costs_nothing_up_to_committed(
        price in any_price(), currency in currencies(), fraction in fractions(),
        committed in 0..300i64, down in 0..300i64,
    ) {
        let mut account = Account::new(currency);
        account.change(&price, 0, committed, fraction);
        let lower = account.change(&price, committed, down.min(committed), fraction);
        // A decrease leaves committed as it is, so going up again starts from it.
        let again = account.change(&price, committed, committed, fraction);
        prop_assert_eq!((lower.amount, again.amount), (0, 0));
    }

    #[test]
    fn every_step_has_a_value_that_can_be_read(
        price in any_price(), currency in currencies(), fraction in fractions(), before in 0..200i64, more in 0..200i64,
    ) {
        let mut account = Account::new(currency);
        account.change(&price, 0, before, fraction);
        let basis = account.change(&price, before, before + more, fraction);
        for step in basis.steps() {
            let value = step.value.replacen('.', "", 1);
            prop_assert!(value.parse::<Exact>().is_ok(), "{:?}", step);
        }
        let json = serde_json::to_string(&basis).unwrap();
        prop_assert_eq!(serde_json::from_str::<ChargeBasis>(&json).unwrap(), basis);
    }

    #[test]
    fn graduated_is_the_sum_of_its_units_and_never_falls(price in banded(Model::Graduated), quantity in 0..250i64) {
        let spec = price.spec();
        let mut sum = Exact::zero();
        let mut entered = None;
        for unit in 1..=quantity {
            let index = spec.bands.iter().position(|band| band.up_to.is_none_or(|up_to| unit <= up_to)).unwrap();
            let band = &spec.bands[index];
            sum = sum + band.unit.unwrap().to_exact();
            if entered.replace(index) != Some(index) {
                sum = sum + band.flat.map_or_else(Exact::zero, UnitPrice::to_exact);
            }
        }
        prop_assert_eq!(price.total(quantity), sum);
        prop_assert!(price.total(quantity + 1) >= price.total(quantity));
        prop_assert_eq!(price.falls_at(0, i64::MAX), None);
    }

    #[test]
    fn a_fall_is_found_exactly_where_it_is(price in any_price(), minimum in 0..50i64, span in 0..200i64) {
        let maximum = minimum + span;
        let first = (minimum..maximum).find(|&n| price.total(n + 1) < price.total(n)).map(|n| (n, n + 1));
        prop_assert_eq!(price.falls_at(minimum, maximum), first);
    }

    #[test]
    fn parts_tile_the_quantity_and_add_up(price in any_price(), quantity in -5..300i64) {
        let parts = price.parts(quantity);
        let sum: Exact = parts.iter().map(|part| part.amount.clone()).sum();
        prop_assert_eq!(sum, price.total(quantity));
        let mut next = 1;
        for part in &parts {
            prop_assert_eq!(part.from, next);
            next = part.to + 1;
            let fee = part.flat.map_or_else(Exact::zero, UnitPrice::to_exact);
            prop_assert_eq!(&part.amount, &(Exact::from_int(part.units) * part.unit.to_exact() + fee));
        }
        prop_assert_eq!(next, quantity.max(0) + 1);
    }

    #[test]
    fn ids_round_trip_and_sort_as_they_were_made(seed: u64, times in vec(instants(), 2..40)) {
        let mut source = IdSource::seeded(seed);
        let ids: Vec<EventId> = times.iter().map(|&at| source.next(at)).collect();
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        prop_assert!(ids.is_sorted_by(|a, b| a < b) && texts.is_sorted_by(|a, b| a < b));
        for (id, text) in ids.iter().zip(&texts) {
            prop_assert_eq!(text.parse::<EventId>().unwrap(), *id);
            prop_assert_eq!(id.uuid().get_version(), Some(uuid::Version::SortRand));
            prop_assert_eq!(id.uuid().get_variant(), uuid::Variant::RFC4122);
        }
        let mut again = IdSource::seeded(seed);
        prop_assert!(ids.into_iter().eq(times.into_iter().map(|at| again.next::<EventId>(at))));
    }

    #[test]
    fn a_part_of_a_month_is_from_0_to_1(fraction in fractions()) {
        prop_assert!(fraction.left >= 0 && fraction.left <= fraction.of && fraction.of > 0, "{:?}", fraction);
        prop_assert!(!fraction.exact().is_negative() && fraction.exact() <= Exact::from_int(1));
    }

    #[test]
    fn months_tile_time(at in instants()) {
        let month = Month::of(at);
        prop_assert!(month.start() <= at && at < month.next().start());
        prop_assert_eq!(month.next().prev(), month);
        prop_assert_eq!((month.next().first_day() - month.first_day()).num_days(), i64::from(month.days()));
        prop_assert_eq!(month.to_string().parse::<Month>().unwrap(), month);
    }

    #[test]
    fn money_and_instants_round_trip_as_text(minor: i64, currency in currencies(), at in instants()) {
        let money = Money::new(minor, currency);
        let json = serde_json::to_string(&money).unwrap();
        prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        prop_assert_eq!(Money::from_exact(&money.to_exact(), currency), Ok(money));
        prop_assert_eq!(parse_rfc3339(&rfc3339(at)).unwrap(), at);
        prop_assert_eq!(from_micros(micros(at)), at);
    }
}
