//! A charge that takes another back: all of it, or all but a day's price.

use serde::{Deserialize, Serialize};

use crate::exact::Exact;
use crate::explanation::number;
use crate::ids::ChargeId;
use crate::money::Money;

/// What a charge takes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reversal {
    /// The charge.
    pub charge: ChargeId,
    /// What that one was, in minor units.
    pub charged: i64,
    /// The part of the month that stays charged: days, or seconds; 0 where all goes back.
    pub kept: i64,
    /// Of how many.
    pub kept_of: i64,
}

impl Reversal {
    /// The part of the month that stays charged.
    pub fn part(&self) -> Exact {
        Exact::ratio(self.kept, self.kept_of).unwrap_or_default()
    }

    /// Says what stays charged, where anything does, and what goes back: `amount`, below zero.
    pub(crate) fn steps(&self, difference: &Exact, amount: Money, mut say: impl FnMut(&str, String, String)) {
        let charged = Money::new(self.charged, amount.currency());
        let kept = charged.checked_add(amount).unwrap_or(charged).amount_string();
        if self.kept > 0 {
            let detail = format!("stays charged: {} × {}/{}, rounded", number(difference), self.kept, self.kept_of);
            say("kept", detail, kept.clone());
        }
        say("reversal", format!("{kept} less {charged} of {}", self.charge), amount.amount_string());
    }
}
