//! What a charge was computed from, as data, and the steps that people read. Computing a charge and explaining it
//! are one: the amount is a function of the basis that is kept with it.

use serde::{Deserialize, Serialize};

use crate::calendar::{DayFraction, DayRule};
use crate::exact::Exact;
use crate::money::{Currency, Money, MoneyError};
use crate::price::{Model, Price, PricePart};

/// More decimals than unit prices have are shown as a fraction, which is exact.
const SHOWN_DECIMALS: u32 = 12;

/// What [`ChargeBasis::compute`] takes, beside the price.
#[derive(Debug, Clone)]
pub struct ChargeInputs {
    /// The offer's slug.
    pub offer: String,
    /// The subscription's currency.
    pub currency: Currency,
    /// The price version in force that day.
    pub price_version: i64,
    /// Committed paid units before.
    pub before: i64,
    /// Committed paid units after.
    pub after: i64,
    /// The part of the month that is left.
    pub fraction: DayFraction,
    /// The exact sum of the earlier increases of this entitlement this month, in major units.
    pub accrued_before: Exact,
    /// What of it was charged already, in minor units.
    pub charged_before: i64,
}

/// Everything a charge follows from, and its amount. Who has this can recompute the amount without the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargeBasis {
    /// The offer's slug.
    pub offer: String,
    /// The currency of all amounts.
    pub currency: Currency,
    /// The price version in force that day.
    pub price_version: i64,
    /// That version's price.
    pub spec: Price,
    /// Committed paid units before.
    pub before: i64,
    /// Committed paid units after.
    pub after: i64,
    /// How the part of the month was counted.
    pub rule: DayRule,
    /// The part of the month that is charged: days, or seconds.
    pub days_left: i64,
    /// Of how many.
    pub days_of: i64,
    /// The exact sum of the earlier increases of this entitlement this month, in major units.
    pub accrued_before: Exact,
    /// What of it was charged already, in minor units.
    pub charged_before: i64,
    /// What this charge is, in minor units, before tax; never below zero.
    pub amount: i64,
}

/// One step of an explanation. The names in `step` are fixed; `value` is an integer, a decimal or a fraction `a/b`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `price_version`, `price_after` (one per part), `price_before`, `difference`, `days`, `exact`,
    /// `earlier_this_month` or `rounding`.
    pub step: String,
    /// A plain sentence part: "5 × 6.00 for paid units 1 to 5".
    pub detail: String,
    /// The step's result.
    pub value: String,
}

impl ChargeBasis {
    /// Computes a charge: the difference of the prices by the whole price model, times the day rule, added to what the
    /// month's earlier increases come to exactly; what that rounds to, less what was charged before. Many small steps cost
    /// what one costs. Fewer units cost nothing, and so does a total that falls as the quantity grows.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]: more than 2^63 - 1 minor units.
    pub fn compute(price: &Price, inputs: ChargeInputs) -> Result<Self, MoneyError> {
        let ChargeInputs { offer, currency, price_version, before, after, fraction, accrued_before, charged_before } =
            inputs;
        let mut basis = Self {
            offer,
            currency,
            price_version,
            spec: price.clone(),
            before,
            after,
            rule: fraction.rule,
            days_left: fraction.left,
            days_of: fraction.of,
            accrued_before,
            charged_before,
            amount: 0,
        };
        basis.amount = basis.recomputed()?;
        Ok(basis)
    }

    /// The amount that follows from the rest, in minor units.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]: more than 2^63 - 1 minor units.
    pub fn recomputed(&self) -> Result<i64, MoneyError> {
        let rounded = self.accrued().round_half_away(self.currency.digits()).ok_or(MoneyError::Overflow)?;
        let amount = rounded.checked_sub(self.charged_before).ok_or(MoneyError::Overflow)?;
        Ok(amount.max(0))
    }

    /// The exact sum of this month's increases with this one, in major units: the next charge's `accrued_before`.
    pub fn accrued(&self) -> Exact {
        &self.accrued_before + self.increase()
    }

    /// The amount with its currency.
    pub const fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    fn fraction(&self) -> DayFraction {
        DayFraction { rule: self.rule, left: self.days_left, of: self.days_of }
    }

    /// What the price grows by for a full month, never below zero.
    fn difference(&self) -> Exact {
        if self.after <= self.before {
            return Exact::zero();
        }
        (self.spec.total(self.after) - self.spec.total(self.before)).max(Exact::zero())
    }

    fn increase(&self) -> Exact {
        self.difference() * self.fraction().exact()
    }

    /// The derivation as a person would check it by hand. Steps that say nothing are left out: the price before when there was
    /// none, the days where the whole month is charged, what came earlier when nothing did.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = vec![step("price_version", format!("{} in {}", self.offer, self.currency), self.price_version)];
        for part in self.spec.parts(self.after) {
            let detail = format!("{} for paid {}", self.terms(&part), units(part.from, part.to));
            steps.push(step("price_after", detail, number(&part.amount)));
        }
        let difference = number(&self.difference());
        if self.before > 0 {
            let terms: Vec<String> = self.spec.parts(self.before).iter().map(|part| self.terms(part)).collect();
            let detail = format!("{} for paid {}", terms.join(" + "), units(1, self.before));
            steps.push(step("price_before", detail, number(&self.spec.total(self.before))));
            steps.push(step("difference", "price after less price before, not below 0", &difference));
        }
        if self.rule != DayRule::None {
            let what = if self.rule == DayRule::Seconds { "seconds" } else { "days" };
            let detail = format!("{}: {} of {} {what}", self.rule, self.days_left, self.days_of);
            steps.push(step("days", detail, format!("{}/{}", self.days_left, self.days_of)));
            let detail = format!("{difference} × {}/{}", self.days_left, self.days_of);
            steps.push(step("exact", detail, number(&self.increase())));
        }
        let digits = self.currency.digits();
        let mut rounding = format!("to {digits} decimals, half away from zero");
        if !self.accrued_before.is_zero() || self.charged_before != 0 {
            let charged = Money::new(self.charged_before, self.currency);
            let detail = format!("exact sum of earlier increases, {charged} of it charged");
            steps.push(step("earlier_this_month", detail, number(&self.accrued_before)));
            rounding = format!("{} {rounding}, less {charged}", number(&self.accrued()));
        }
        steps.push(step("rounding", rounding, self.money()));
        steps
    }

    /// "5 × 6.00 + 10.00": what is multiplied and added in one part.
    fn terms(&self, part: &PricePart) -> String {
        let flat = part.flat.map(|flat| format!(" + {flat}")).unwrap_or_default();
        match self.spec.model() {
            Model::Flat => part.unit.to_string(),
            Model::Package => {
                let size = self.spec.spec().size.unwrap_or(1);
                format!("{} packages of {size} × {}", part.units, part.unit)
            }
            _ => format!("{} × {}{flat}", part.units, part.unit),
        }
    }
}

fn step(name: &str, detail: impl Into<String>, value: impl ToString) -> Step {
    Step { step: name.to_owned(), detail: detail.into(), value: value.to_string() }
}

fn units(from: i64, to: i64) -> String {
    if from == to { format!("unit {from}") } else { format!("units {from} to {to}") }
}

/// A decimal where one is exact, else a fraction.
fn number(value: &Exact) -> String {
    if value.terminates_within(SHOWN_DECIMALS) { value.to_decimal_string(SHOWN_DECIMALS) } else { value.to_string() }
}
