//! What a charge was computed from, as data, and the steps that people read. Computing a charge and explaining it
//! are one: the amount is a function of the basis that is kept with it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::calendar::{DayFraction, DayRule};
use crate::exact::Exact;
use crate::money::{Currency, Money, MoneyError};
use crate::price::{Model, Price, Share};
use crate::reversal::Reversal;

/// More decimals than unit prices have are shown as a fraction, which is exact.
const SHOWN_DECIMALS: u32 = 12;
/// Room for a later purchase within two bands.
const USUAL_STEPS: usize = 9;

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

/// Metered use of a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Units that were counted in the month.
    pub used: i64,
    /// How many of them were used in an earlier month and reported after it was billed.
    pub late: i64,
    /// Units of the month that are free.
    pub included: i64,
}

impl Usage {
    /// Units that are charged: what is above the included ones.
    #[must_use]
    pub const fn billed(self) -> i64 {
        let above = self.used.saturating_sub(self.included);
        if above > 0 { above } else { 0 }
    }
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
    /// What this charge is, in minor units, before tax; never below zero but where it takes another back.
    pub amount: i64,
    /// The use that is charged for; `after` is what of it is above the included units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The charge that this one takes back, which had the same basis but for this and the amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversal: Option<Reversal>,
}

/// One step of an explanation. The names in `step` are fixed; `value` is an integer, a decimal or a fraction `a/b`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `used`, `late`, `included`, `billed`, `price_version`, `price_after` (one per part), `price_before`, `difference`,
    /// `days`, `exact`, `earlier_this_month`, `rounding`, `kept` or `reversal`.
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
            usage: None,
            reversal: None,
        };
        basis.amount = basis.recomputed()?;
        Ok(basis)
    }

    /// Computes what a month's metered use costs, in arrears: the units above the included ones by the whole price
    /// model, for a full month.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]: more than 2^63 - 1 minor units.
    pub fn of_use(
        price: &Price,
        (offer, currency, price_version): (String, Currency, i64),
        usage: Usage,
    ) -> Result<Self, MoneyError> {
        let inputs = ChargeInputs {
            offer,
            currency,
            price_version,
            before: 0,
            after: usage.billed(),
            fraction: DayFraction { rule: DayRule::None, left: 1, of: 1 },
            accrued_before: Exact::zero(),
            charged_before: 0,
        };
        Ok(Self { usage: Some(usage), ..Self::compute(price, inputs)? })
    }

    /// The amount that follows from the rest, in minor units.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]: more than 2^63 - 1 minor units.
    pub fn recomputed(&self) -> Result<i64, MoneyError> {
        let whole = self.charged(&(&self.accrued_before + self.sums().increase))?;
        match &self.reversal {
            None => Ok(whole),
            Some(reversal) => {
                self.charged(&self.accrued_with(reversal))?.checked_sub(whole).ok_or(MoneyError::Overflow)
            }
        }
    }

    /// What is charged where the month's increases come to `accrued`, in minor units.
    fn charged(&self, accrued: &Exact) -> Result<i64, MoneyError> {
        let rounded = accrued.round_half_away(self.currency.digits()).ok_or(MoneyError::Overflow)?;
        let amount = rounded.checked_sub(self.charged_before).ok_or(MoneyError::Overflow)?;
        Ok(amount.max(0))
    }

    /// The same, taken back but for a part of the month that stays charged.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]: more than 2^63 - 1 minor units.
    pub fn reversed(&self, reversal: Reversal) -> Result<Self, MoneyError> {
        let mut back = Self { reversal: Some(reversal), ..self.clone() };
        back.amount = back.recomputed()?;
        Ok(back)
    }

    /// What the month's increases come to with what a reversal leaves of this one.
    fn accrued_with(&self, reversal: &Reversal) -> Exact {
        &self.accrued_before + &self.sums().difference * reversal.part()
    }

    /// The exact sum of this month's increases with this one, in major units: the next charge's `accrued_before`.
    pub fn accrued(&self) -> Exact {
        match &self.reversal {
            None => &self.accrued_before + self.sums().increase,
            Some(reversal) => self.accrued_with(reversal),
        }
    }

    /// The amount with its currency.
    pub const fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// The derivation as a person would check it by hand. Steps that say nothing are left out: the price before when there was
    /// none, the days where the whole month is charged, what came earlier when nothing did.
    pub fn steps(&self) -> Vec<Step> {
        let Sums { before, difference, increase } = self.sums();
        let mut steps = Vec::with_capacity(USUAL_STEPS);
        let mut say = |step: &str, detail, value| steps.push(Step { step: step.to_owned(), detail, value });
        if let Some(usage) = self.usage {
            say("used", "units counted in the month".to_owned(), usage.used.to_string());
            if usage.late > 0 {
                let detail = "of them used in an earlier month, reported after it was billed".to_owned();
                say("late", detail, usage.late.to_string());
            }
            say("included", "free every month".to_owned(), usage.included.to_string());
            say("billed", format!("{} − {}, not below 0", usage.used, usage.included), usage.billed().to_string());
        }
        say("price_version", format!("{} in {}", self.offer, self.currency), self.price_version.to_string());
        for share in self.spec.shares(self.after) {
            let detail = format!("{} for paid {}", Terms(&self.spec, share), Units(share.from, share.to));
            say("price_after", detail, number(&share.amount()));
        }
        let shown_difference = number(&difference);
        let days = format!("{}/{}", self.days_left, self.days_of);
        let exact = (self.rule != DayRule::None).then(|| format!("{shown_difference} × {days}"));
        if self.before > 0 {
            let detail = format!("{} for paid {}", AllTerms(&self.spec, self.before), Units(1, self.before));
            say("price_before", detail, number(&before));
            say("difference", "price after less price before, not below 0".to_owned(), shown_difference);
        }
        if let Some(exact) = exact {
            let what = if self.rule == DayRule::Seconds { "seconds" } else { "days" };
            say("days", format!("{}: {} of {} {what}", self.rule, self.days_left, self.days_of), days);
            say("exact", exact, number(&increase));
        }
        let digits = self.currency.digits();
        let rounding = if self.accrued_before.is_zero() && self.charged_before == 0 {
            format!("to {digits} decimals, half away from zero")
        } else {
            let charged = Money::new(self.charged_before, self.currency).amount_string();
            let detail = format!("exact sum of earlier increases, {charged} of it charged");
            say("earlier_this_month", detail, number(&self.accrued_before));
            let accrued = number(&(&self.accrued_before + increase));
            format!("{accrued} to {digits} decimals, half away from zero, less {charged}")
        };
        let whole = self.reversal.as_ref().map_or(self.amount, |reversal| reversal.charged);
        say("rounding", rounding, Money::new(whole, self.currency).amount_string());
        if let Some(reversal) = &self.reversal {
            reversal.steps(&difference, self.money(), say);
        }
        steps
    }

    fn sums(&self) -> Sums {
        let before = self.spec.total(self.before);
        let difference = if self.after > self.before {
            (self.spec.total(self.after) - &before).max(Exact::zero())
        } else {
            Exact::zero()
        };
        let fraction = DayFraction { rule: self.rule, left: self.days_left, of: self.days_of };
        let increase = &difference * fraction.exact();
        Sums { before, difference, increase }
    }
}

/// What the steps have in common, in major units.
struct Sums {
    /// The price before, for a full month.
    before: Exact,
    /// What the price grows by for a full month, never below zero.
    difference: Exact,
    /// The part of the difference that is charged.
    increase: Exact,
}

/// "5 × 6.00 + 10.00": what is multiplied and added in one part of a price.
struct Terms<'a>(&'a Price, Share);

impl fmt::Display for Terms<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(price, Share { units, unit, flat, .. }) = self;
        match (price.model(), flat) {
            (Model::Flat, _) => write!(f, "{unit}"),
            (Model::Package, _) => write!(f, "{units} packages of {} × {unit}", price.package_size()),
            (_, Some(flat)) => write!(f, "{units} × {unit} + {flat}"),
            (_, None) => write!(f, "{units} × {unit}"),
        }
    }
}

/// The terms of all parts of a quantity.
struct AllTerms<'a>(&'a Price, i64);

impl fmt::Display for AllTerms<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(price, quantity) = *self;
        price.shares(quantity).enumerate().try_for_each(|(index, share)| {
            let plus = if index == 0 { "" } else { " + " };
            write!(f, "{plus}{}", Terms(price, share))
        })
    }
}

struct Units(i64, i64);

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(from, to) = self;
        if from == to { write!(f, "unit {from}") } else { write!(f, "units {from} to {to}") }
    }
}

/// A decimal where one is exact, else a fraction.
pub(crate) fn number(value: &Exact) -> String {
    if value.terminates_within(SHOWN_DECIMALS) { value.to_decimal_string(SHOWN_DECIMALS) } else { value.to_string() }
}
