//! What happens in a simulated market, as a list of steps that mean something without each other: whatever is left out of it,
//! the rest can be played.

use super::wares::{CURRENCIES, METERED, WARES};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt;
use store::fuse::Side;

/// Organizations of the market.
pub const ORGANIZATIONS: usize = 5;
/// Payers that are there from the beginning: by transfer in dollars and euros, by card in yen and dinars, by card in dollars.
pub const PAYERS: usize = 5;
/// Countries of payers, with the tax that is configured in the beginning, in percent.
pub const COUNTRIES: [(&str, i64); 3] = [("DE", 19), ("US", 0), ("JP", 10)];
/// Cards of the simulated provider, by how often they are chosen.
const CARDS: [&str; 12] = [
    "tok_ok",
    "tok_ok",
    "tok_ok",
    "tok_ok",
    "tok_timeout",
    "tok_timeout",
    "tok_lost",
    "tok_lost",
    "tok_expired",
    "tok_expired",
    "tok_authenticate",
    "tok_declined",
];

/// Who shall pay, where an order says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One that is there.
    Existing(usize),
    /// One that is made with the order: currency, country, card.
    New(usize, usize, Option<&'static str>),
}

/// What jobs do while time goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jobs {
    /// Each at its hour.
    Run,
    /// None: whoever comes first turns a month.
    Idle,
    /// The server is down all the time, and does afterwards what it missed.
    Down,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Buy {
        organization: usize,
        items: Vec<(usize, i64)>,
        choice: Option<Choice>,
    },
    Meter {
        organization: usize,
        on: bool,
        cap: Option<i64>,
        choice: Option<Choice>,
    },
    SetUp {
        organization: usize,
        payer: usize,
    },
    /// Use of so many units so many hours ago; `again` sends an earlier report once more.
    Use {
        organization: usize,
        units: i64,
        hours: i64,
        again: bool,
    },
    /// So much percent of what a payer owes comes in.
    Transfer {
        payer: usize,
        percent: i64,
    },
    /// How a payer pays from now on: a card, or by transfer.
    Method {
        payer: usize,
        card: Option<&'static str>,
    },
    /// A ware's prices change to so many percent of the first ones, in so many days.
    Prices {
        ware: usize,
        percent: i64,
        days: i64,
    },
    /// A country's tax changes, in so many days; the server is started anew with it.
    Tax {
        country: usize,
        percent: i64,
        days: i64,
    },
    Wait {
        hours: i64,
        jobs: Jobs,
    },
    /// The process is killed at the commit after so many others, and another one goes on.
    Crash {
        commits: u32,
        side: Side,
    },
}

/// Steps of a seed for so many years.
pub fn steps(seed: u64, years: u32) -> Vec<Step> {
    let mut dice = Dice(StdRng::seed_from_u64(seed));
    let (mut steps, mut hours) = (Vec::new(), 0);
    while hours < i64::from(years) * 8_766 {
        let step = dice.step();
        if let Step::Wait { hours: by, .. } = &step {
            hours += by;
        }
        steps.push(step);
    }
    steps
}

struct Dice(StdRng);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    fn within(&mut self, from: i64, to: i64) -> i64 {
        self.0.random_range(from..=to)
    }

    fn card(&mut self) -> &'static str {
        let place = self.below(CARDS.len());
        CARDS.get(place).copied().unwrap_or("tok_ok")
    }

    fn choice(&mut self) -> Option<Choice> {
        match self.below(4) {
            0 => None,
            1 => {
                let card = (self.below(3) > 0).then(|| self.card());
                Some(Choice::New(self.below(CURRENCIES.len()), self.below(COUNTRIES.len()), card))
            }
            _ => Some(Choice::Existing(self.below(PAYERS))),
        }
    }

    fn quantity(&mut self) -> i64 {
        match self.below(10) {
            0 | 1 => 0,
            2..=7 => self.within(1, 30),
            8 => self.within(31, 300),
            _ => self.within(300, 12_000),
        }
    }

    fn buy(&mut self) -> Step {
        let organization = self.below(ORGANIZATIONS);
        let mut items: Vec<(usize, i64)> = Vec::new();
        for _ in 0..=self.below(3) {
            let ware = self.below(WARES.len() - 1);
            if items.iter().all(|(other, _)| *other != ware) {
                items.push((ware, self.quantity()));
            }
        }
        let choice = if self.below(3) == 0 { self.choice() } else { None };
        Step::Buy { organization, items, choice }
    }

    fn wait(&mut self) -> Step {
        let hours = match self.below(20) {
            0..=7 => self.within(1, 48),
            8..=16 => self.within(48, 24 * 16),
            17 | 18 => self.within(24 * 20, 24 * 40),
            _ => self.within(24 * 60, 24 * 150),
        };
        let jobs = match self.below(8) {
            0 => Jobs::Idle,
            1 => Jobs::Down,
            _ => Jobs::Run,
        };
        Step::Wait { hours, jobs }
    }

    /// One more step: this is where another kind of it gets its share.
    fn step(&mut self) -> Step {
        match self.below(100) {
            0..=34 => self.buy(),
            35..=57 => self.wait(),
            58..=62 => {
                let cap = (self.below(2) == 0).then(|| self.within(50, 3_000));
                let organization = self.below(ORGANIZATIONS);
                Step::Meter { organization, on: self.below(4) > 0, cap, choice: self.choice() }
            }
            63..=65 => Step::SetUp { organization: self.below(ORGANIZATIONS), payer: self.below(PAYERS) },
            66..=75 => Step::Use {
                organization: self.below(ORGANIZATIONS),
                units: self.within(1, 900),
                hours: if self.below(3) == 0 { self.within(0, 24 * 40) } else { self.within(0, 24) },
                again: self.below(5) == 0,
            },
            76..=82 => {
                let percent = [30, 100, 100, 100, 150].get(self.below(5)).copied().unwrap_or(100);
                Step::Transfer { payer: self.below(PAYERS + ORGANIZATIONS), percent }
            }
            83..=87 => {
                let card = (self.below(6) > 0).then(|| self.card());
                Step::Method { payer: self.below(PAYERS + ORGANIZATIONS), card }
            }
            88..=90 => Step::Prices {
                ware: self.below(WARES.len()),
                percent: self.within(50, 200),
                days: if self.below(2) == 0 { 0 } else { self.within(1, 45) },
            },
            91 | 92 => Step::Tax {
                country: self.below(COUNTRIES.len()),
                percent: self.within(0, 25),
                days: self.within(1, 45),
            },
            _ => {
                let commits = self.0.random_range(0..8);
                Step::Crash { commits, side: if self.below(2) == 0 { Side::Before } else { Side::After } }
            }
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Existing(payer) => write!(f, ", billed to payer {payer}"),
            Self::New(currency, country, card) => {
                let code = CURRENCIES.get(*currency).map_or("", |currency| currency.0);
                let country = COUNTRIES.get(*country).map_or("", |country| country.0);
                write!(f, ", billed to a new payer in {country} in {code} by {}", card.unwrap_or("transfer"))
            }
        }
    }
}

fn named(ware: usize) -> &'static str {
    WARES.get(ware).map_or("", |ware| ware.slug)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = |choice: &Option<Choice>| choice.as_ref().map(ToString::to_string).unwrap_or_default();
        match self {
            Self::Buy { organization, items, choice } => {
                let items: Vec<_> = items.iter().map(|(ware, total)| format!("{total} of {}", named(*ware))).collect();
                write!(f, "organization {organization} buys a total of {}{}", items.join(" and "), who(choice))
            }
            Self::Meter { organization, on, cap, choice } => {
                let word = if *on { "on" } else { "off" };
                let cap = cap.map(|cap| format!(" with a cap of {cap}")).unwrap_or_default();
                write!(f, "organization {organization} switches {} {word}{cap}{}", named(METERED), who(choice))
            }
            Self::SetUp { organization, payer } => {
                write!(f, "organization {organization} sets up billing with payer {payer}")
            }
            Self::Use { organization, again: true, .. } => {
                write!(f, "the last use of organization {organization} is reported again")
            }
            Self::Use { organization, units, hours, .. } => {
                write!(f, "organization {organization} used {units} of {} {hours} hours ago", named(METERED))
            }
            Self::Transfer { payer, percent } => {
                write!(f, "{percent} % of what payer {payer} owes comes in by transfer")
            }
            Self::Method { payer, card } => {
                write!(f, "payer {payer} pays by {} from now on", card.unwrap_or("transfer"))
            }
            Self::Prices { ware, percent, days } => {
                write!(f, "{} costs {percent} % of its first price in {days} days", named(*ware))
            }
            Self::Tax { country, percent, days } => {
                let country = COUNTRIES.get(*country).map_or("", |country| country.0);
                write!(f, "tax in {country} is {percent} % in {days} days")
            }
            Self::Wait { hours, jobs } => {
                let jobs = match jobs {
                    Jobs::Run => "",
                    Jobs::Idle => ", no job runs",
                    Jobs::Down => ", the server is down and then does what it missed",
                };
                write!(f, "{} days and {} hours go by{jobs}", hours / 24, hours % 24)
            }
            Self::Crash { commits, side } => {
                let side = if *side == Side::Before { "right before" } else { "right after" };
                write!(f, "the process will be killed {side} the commit that comes after {commits} others")
            }
        }
    }
}
