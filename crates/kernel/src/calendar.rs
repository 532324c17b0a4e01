//! Calendar months and the day rules. Months run from 00:00 UTC on the 1st to 00:00 UTC on the next 1st.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, Months, NaiveDate, NaiveTime};

use crate::clock::Timestamp;
use crate::exact::Exact;
use crate::text::TextError;

/// Reads a date, strictly `YYYY-MM-DD`.
///
/// # Errors
/// A sentence, where the text is not such a date.
pub fn parse_date(text: &str) -> Result<NaiveDate, TextError> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    // The parser also takes signs, spaces and single digits; none of them survives being written again.
    date.filter(|date| date.to_string() == text).ok_or(TextError::new("must be a date such as 2018-04-15"))
}

/// A calendar month in UTC, written as its first day: `2018-04-01`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(NaiveDate);

impl Month {
    /// A month by its numbers, `month` from 1 to 12.
    pub fn new(year: i32, month: u32) -> Option<Self> {
        NaiveDate::from_ymd_opt(year, month, 1).map(Self)
    }

    /// The month of an instant.
    pub fn of(at: Timestamp) -> Self {
        Self::of_date(at.date_naive())
    }

    /// The month of a date.
    pub fn of_date(date: NaiveDate) -> Self {
        Self(date.with_day(1).unwrap_or(date))
    }

    /// Its year.
    pub fn year(self) -> i32 {
        self.0.year()
    }

    /// Its number in the year, from 1.
    pub fn month(self) -> u32 {
        self.0.month()
    }

    /// Its first day.
    pub const fn first_day(self) -> NaiveDate {
        self.0
    }

    /// The instant at which it begins.
    pub fn start(self) -> Timestamp {
        self.0.and_time(NaiveTime::MIN).and_utc()
    }

    /// The month after it; the last one that can be represented is followed by itself.
    #[must_use]
    pub fn next(self) -> Self {
        self.0.checked_add_months(Months::new(1)).map_or(self, Self)
    }

    /// The month before it; the first one that can be represented follows itself.
    #[must_use]
    pub fn prev(self) -> Self {
        self.0.checked_sub_months(Months::new(1)).map_or(self, Self)
    }

    /// How many days it has.
    pub fn days(self) -> u32 {
        self.0.num_days_in_month().into()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Month {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        parse_date(text)
            .ok()
            .filter(|date| date.day() == 1)
            .map(Self)
            .ok_or(TextError::new("must be a month, written as its first day, such as 2018-04-01"))
    }
}

string_serde!(Month);

string_enum! {
    /// How much of a month is charged for what is bought within it; d is the day of the month, n its days.
    pub enum DayRule {
        /// (n − d)/n: the day of the purchase is free. The default.
        DaysAfter = "days_after",
        /// (n − d + 1)/n: the day of the purchase counts.
        InclusiveDays = "inclusive_days" | "half_open_days",
        /// (31 − min(d, 30))/30: every month has 30 days.
        Fixed30 = "fixed_30",
        /// Remaining whole seconds of all seconds of the month.
        Seconds = "seconds",
        /// 1: no proration.
        None = "none",
    }
}

impl DayRule {
    /// The part of the month of `at` that is left at `at`.
    pub fn fraction(self, at: Timestamp) -> DayFraction {
        let month = Month::of(at);
        let day = i64::from(at.day());
        let days = i64::from(month.days());
        let end = month.next().start();
        let (left, of) = match self {
            Self::DaysAfter => (days - day, days),
            Self::InclusiveDays => (days - day + 1, days),
            Self::Fixed30 => (31 - day.min(30), 30),
            Self::Seconds => ((end - at).num_seconds(), (end - month.start()).num_seconds()),
            Self::None => (1, 1),
        };
        DayFraction { rule: self, left, of }
    }
}

/// A part of a month: `left` of `of` days (seconds for [`DayRule::Seconds`]), from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DayFraction {
    /// The rule that it was counted by.
    pub rule: DayRule,
    /// What is charged: days, or seconds. 0 is possible: `days_after` on the last day of a month.
    pub left: i64,
    /// Of how many, at least 1.
    pub of: i64,
}

impl DayFraction {
    /// `left/of`; nothing of nothing is 0.
    pub fn exact(self) -> Exact {
        Exact::ratio(self.left, self.of).unwrap_or_default()
    }
}
