//! Days and months from microseconds, for the checker: no code of the calendar that charges are made with.

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A day of the calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    year: i64,
    month: i64,
    day: i64,
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day of an instant in microseconds since 1970.
pub fn day_of(at: i64) -> Day {
    // 400 years are 146,097 days; counted from 1 March 2000, so that a leap day ends its cycle, year and all.
    const ERA: i64 = 146_097;
    let since = at.div_euclid(DAY) - 11_017;
    let (era, mut rest) = (since.div_euclid(ERA), since.rem_euclid(ERA));
    let centuries = (rest / 36_524).min(3);
    rest -= centuries * 36_524;
    let fours = rest / 1_461;
    rest -= fours * 1_461;
    let ones = (rest / 365).min(3);
    rest -= ones * 365;
    let mut day = Day { year: 2000 + era * 400 + centuries * 100 + fours * 4 + ones, month: 3, day: 1 };
    while rest >= days_in(day.year, day.month) {
        rest -= days_in(day.year, day.month);
        day = day.next_month();
    }
    Day { day: 1 + rest, ..day }
}

impl Day {
    fn next_month(self) -> Self {
        let (year, month) = if self.month == 12 { (self.year + 1, 1) } else { (self.year, self.month + 1) };
        Self { year, month, day: 1 }
    }

    /// `YYYY-MM-DD`.
    pub fn text(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// The first of its month, `YYYY-MM-DD`.
    pub fn month(self) -> String {
        Self { day: 1, ..self }.text()
    }

    /// The first of the month after, `YYYY-MM-DD`.
    pub fn following_month(self) -> String {
        self.next_month().text()
    }
}

/// How many days the month of an instant has.
pub fn days_of_month(at: i64) -> i64 {
    let Day { year, month, .. } = day_of(at);
    days_in(year, month)
}

/// How much of its month is left at an instant, by a rule: so much of so much. None for a word that is no rule.
pub fn left_of_month(rule: &str, at: i64) -> Option<(i64, i64)> {
    let Day { year, month, day } = day_of(at);
    let days = days_in(year, month);
    Some(match rule {
        "days_after" => (days - day, days),
        "inclusive_days" | "half_open_days" => (days - day + 1, days),
        "fixed_30" => (if day > 30 { 1 } else { 31 - day }, 30),
        "seconds" => {
            let gone = (day - 1) * DAY + at.rem_euclid(DAY);
            ((days * DAY - gone) / SECOND, days * 86_400)
        }
        "none" => (1, 1),
        _ => return None,
    })
}
