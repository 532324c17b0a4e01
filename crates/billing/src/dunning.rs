//! When an unpaid invoice is asked for again, and what that makes of its payer. Pure.

use crate::payer::SubscriptionStatus;
use chrono::{NaiveDate, TimeDelta};

/// The steps of dunning: days after an invoice was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    days: Vec<i64>,
    disable_after: i64,
}

impl Default for Schedule {
    /// The rule's own days.
    fn default() -> Self {
        Self { days: vec![1, 3, 7, 14], disable_after: 14 }
    }
}

impl Schedule {
    /// Reminders and retries on `days` after the due day, the first of which warns and the last of which makes the payer past
    /// due; `disable_after` that last day it is disabled. None where there is no day, or they do not go up.
    #[must_use]
    pub fn new(days: Vec<i64>, disable_after: i64) -> Option<Self> {
        let up =
            days.first().is_some_and(|first| *first > 0) && days.iter().zip(days.iter().skip(1)).all(|(a, b)| a < b);
        (up && disable_after > 0).then_some(Self { days, disable_after })
    }

    /// Reminders and retries that there are.
    #[must_use]
    pub fn tries(&self) -> i64 {
        i64::try_from(self.days.len()).unwrap_or(i64::MAX)
    }

    /// Days after the due day on which the step after `taken` steps falls; none after the last.
    fn day(&self, taken: i64) -> Option<i64> {
        let place = usize::try_from(taken).ok()?;
        match self.days.get(place) {
            Some(day) => Some(*day),
            None if place == self.days.len() => self.days.last()?.checked_add(self.disable_after),
            None => None,
        }
    }

    /// The day of the step after `taken` steps, for an invoice that was due on `due_on`; none after the last.
    #[must_use]
    pub fn next_on(&self, due_on: NaiveDate, taken: i64) -> Option<NaiveDate> {
        due_on.checked_add_signed(TimeDelta::try_days(self.day(taken)?)?)
    }

    /// How many steps fall due by `today` for an invoice that was due on `due_on`.
    #[must_use]
    pub fn reached(&self, due_on: NaiveDate, today: NaiveDate) -> i64 {
        (0..)
            .take_while(|taken| self.next_on(due_on, *taken).is_some_and(|day| day <= today))
            .count()
            .try_into()
            .unwrap_or(0)
    }

    /// What `taken` steps make of the payer.
    #[must_use]
    pub fn status(&self, taken: i64) -> SubscriptionStatus {
        match taken {
            ..=0 => SubscriptionStatus::Active,
            taken if taken > self.tries() => SubscriptionStatus::Disabled,
            taken if taken == self.tries() => SubscriptionStatus::PastDue,
            _ => SubscriptionStatus::Warned,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use SubscriptionStatus::{Active, Disabled, PastDue, Warned};

    fn day(text: &str) -> NaiveDate {
        kernel::parse_date(text).unwrap()
    }

    /// reminders on days 1, 3, 7, 14, the first warns, the last makes past due; 14 days later disabled.
    #[test]
    fn steps_fall_on_their_days() {
        let schedule = Schedule::new(vec![1, 3, 7, 14], 14).unwrap();
        let due = day("2018-01-31");
        for (today, reached, status, next) in [
            ("2018-01-30", 0, Active, Some("2018-02-01")),
            ("2018-01-31", 0, Active, Some("2018-02-01")),
            ("2018-02-01", 1, Warned, Some("2018-02-03")),
            ("2018-02-02", 1, Warned, Some("2018-02-03")),
            ("2018-02-03", 2, Warned, Some("2018-02-07")),
            ("2018-02-07", 3, Warned, Some("2018-02-14")),
            ("2018-02-14", 4, PastDue, Some("2018-02-28")),
            ("2018-02-27", 4, PastDue, Some("2018-02-28")),
            ("2018-02-28", 5, Disabled, None),
            ("2019-02-28", 5, Disabled, None),
        ] {
            assert_eq!(schedule.reached(due, day(today)), reached, "{today}");
            assert_eq!(schedule.status(reached), status, "{today}");
            assert_eq!(schedule.next_on(due, reached), next.map(day), "{today}");
        }
    }

    /// One reminder is the first and the last: it makes past due.
    #[test]
    fn one_reminder_is_the_last() {
        let schedule = Schedule::new(vec![5], 1).unwrap();
        assert_eq!((schedule.status(0), schedule.status(1), schedule.status(2)), (Active, PastDue, Disabled));
    }

    #[test]
    fn a_schedule_goes_up() {
        for days in [vec![], vec![0], vec![-1], vec![3, 3], vec![7, 3]] {
            assert_eq!(Schedule::new(days.clone(), 14), None, "{days:?}");
        }
        assert_eq!(Schedule::new(vec![1], 0), None);
        let far = Schedule::new(vec![i64::MAX], i64::MAX).unwrap();
        assert_eq!(far.next_on(day("2018-01-31"), 0), None, "a day that no calendar has never comes");
    }
}
