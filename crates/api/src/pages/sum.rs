//! What a quote or a purchase says, as pages show it: the sum beside a checkout, and on the receipt. Both are read from
//! the answer that the API gives, so that a page cannot tell another story.

use super::budgets::Gauge;
use super::locale::{Locale, date, day, month_name};
use super::wares::units;
use crate::problem::Problem;
use billing::TaxRate;
use chrono::NaiveDate;
use kernel::{Money, Month, Step};
use marketplace::catalogue::Catalogue;
use serde::{Deserialize, Serialize};

/// A quote, or a purchase that keeps one.
#[derive(Clone, Debug, Deserialize)]
pub struct Quoted {
    /// Its id.
    pub id: String,
    /// When it was worked out, or bought.
    pub at: String,
    /// Line by line.
    pub lines: Vec<Line>,
    /// This purchase's part of this month.
    pub now: Totals,
    /// A full month of what was bought.
    pub renewal: Dated,
    /// The payer's next invoice, all lines.
    pub next_invoice: Dated,
    /// `now` or `on_invoice`.
    pub collected: String,
    /// Whether it would be accepted.
    pub allowed: bool,
    /// Why not.
    #[serde(default)]
    pub reasons: Vec<Said>,
    /// The budgets that it counts against; quotes only.
    #[serde(default)]
    pub budgets: Vec<Weighed>,
    /// Whether billing was set up by it; purchases only.
    #[serde(default)]
    pub billing_set_up: bool,
    /// Whether a subscription was created by it; purchases only.
    #[serde(default)]
    pub subscription_created: bool,
    /// Its charges; purchases only.
    #[serde(default)]
    pub charges: Vec<String>,
    /// Until when it can be undone.
    #[serde(default)]
    pub undo_until: String,
    /// What of `now` stays charged then, before tax; none of purchases that were made before it was told.
    pub undo_keeps: Option<Money>,
    /// What came of its undoing.
    pub undone: Option<Undone>,
    /// `completed`, `pending` or `released`; purchases only.
    #[serde(default)]
    pub state: String,
    /// The invoice that it was paid with at once.
    #[serde(default)]
    pub invoice: Option<String>,
    /// Why it was released.
    #[serde(default)]
    pub reason: String,
    /// Where the payer can authenticate the payment of a released one.
    #[serde(default)]
    pub url: Option<String>,
}

/// What came of a purchase's undoing.
#[derive(Clone, Debug, Deserialize)]
pub struct Undone {
    /// When.
    pub at: String,
    /// Who undid it.
    pub by: kernel::UserId,
    /// What stays charged, before tax.
    pub kept: Money,
    /// Whether billing is no longer set up.
    pub billing_removed: bool,
}

/// What it would make of a budget.
#[derive(Clone, Debug, Deserialize)]
pub struct Weighed {
    /// The organization whose budget it is; none for the subscription's.
    pub organization: Option<String>,
    /// How much a month.
    pub budget: Money,
    /// This month.
    pub this_month: MonthOf,
    /// The next one.
    pub next_month: MonthOf,
}

/// A month of a budget with what is asked.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct MonthOf {
    /// Its first day.
    pub month: NaiveDate,
    /// What it would come to.
    pub would_be: Money,
    /// What is left then.
    pub left: Money,
}

/// Why not, and what to do.
#[derive(Clone, Debug, Deserialize)]
pub struct Said {
    /// What clients branch on.
    pub code: String,
    /// What is so.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// Before and after.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct FromTo {
    /// Before.
    pub from: i64,
    /// After.
    pub to: i64,
}

/// One offer.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    /// Its slug.
    pub offer: String,
    /// Paid units of next month.
    pub quantity: FromTo,
    /// Units that may be used.
    pub usable: FromTo,
    /// This month's part.
    pub now: Money,
    /// A full month.
    pub renewal: Money,
    /// How it is worked out.
    pub why: Vec<Step>,
}

/// Sums.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Totals {
    /// Before tax.
    pub net: Money,
    /// Tax.
    pub tax: Money,
    /// With tax.
    pub total: Money,
}

/// Sums with their day.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Dated {
    /// The day.
    pub on: NaiveDate,
    /// The sums.
    #[serde(flatten)]
    pub totals: Totals,
}

impl Quoted {
    /// What the API answers, read back.
    ///
    /// # Errors
    /// A fault of ours.
    pub fn read(answer: &str) -> Result<Self, Problem> {
        serde_json::from_str(answer).map_err(Problem::internal)
    }

    /// The same of an answer that was not written yet.
    ///
    /// # Errors
    /// A fault of ours.
    pub fn of(answer: &impl Serialize) -> Result<Self, Problem> {
        let value = serde_json::to_value(answer).map_err(Problem::internal)?;
        serde_json::from_value(value).map_err(Problem::internal)
    }
}

/// A line of the sum.
#[derive(Clone, Debug)]
pub struct SumLine {
    /// The offer's name.
    pub name: String,
    /// Its name in addresses.
    pub slug: String,
    /// What changes: `0 → 5 users`.
    pub change: String,
    /// Units that may be used: `5 → 10`; empty where nothing is counted.
    pub usable: String,
    /// This month's part.
    pub now: String,
    /// A full month.
    pub renewal: String,
    /// How it is worked out.
    pub why: Vec<Step>,
}

/// The sum.
#[derive(Clone, Debug)]
pub struct Sum {
    /// Line by line.
    pub lines: Vec<SumLine>,
    /// `Rest of November`
    pub rest: String,
    /// This month's part, before tax.
    pub now: String,
    /// Its tax, in words and as an amount.
    pub tax: (String, String),
    /// What is to be paid at once.
    pub today: String,
    /// Whether a card is charged for it at once.
    pub at_once: bool,
    /// `On 1 December`
    pub on: String,
    /// The next invoice, all lines.
    pub next: String,
    /// What it is made of.
    pub parts: String,
    /// Each month after.
    pub monthly: String,
    /// What may still be changed.
    pub hint: &'static str,
    /// Until when it can be undone, and what would stay charged; empty once it was.
    pub undo: String,
    /// What it makes of budgets, this month and next.
    pub gauges: Vec<Gauge>,
}

impl Sum {
    /// The sum of a quote.
    pub fn of(quoted: &Quoted, catalogue: &Catalogue, locale: Locale) -> Self {
        let first = quoted.renewal.on;
        let month = Month::of_date(first).prev();
        let money = |amount: Money| locale.money(amount);
        let collected_now = quoted.collected == "now";
        let today = if collected_now { quoted.now.total } else { Money::zero(quoted.now.total.currency()) };
        let lowered = quoted.lines.iter().all(|line| line.quantity.to < line.quantity.from);
        Self {
            lines: quoted.lines.iter().map(|line| sum_line(line, catalogue, locale, first)).collect(),
            rest: format!("Rest of {}", month_name(month)),
            now: money(quoted.now.net),
            tax: (tax_words(quoted), money(quoted.now.tax)),
            today: money(today),
            at_once: collected_now,
            on: format!("On {}", day(first)),
            next: money(quoted.next_invoice.totals.total),
            parts: parts(quoted, month, locale),
            monthly: money(quoted.renewal.totals.total),
            gauges: gauges(quoted, locale),
            hint: if lowered {
                "What is paid stays usable to the end of the month. Until then you can raise it again at no cost."
            } else {
                "Lower the quantity or cancel before the 1st, and you pay only for what remains."
            },
            undo: undo_words(quoted, locale),
        }
    }
}

/// Until when it can be undone, and what would stay charged.
fn undo_words(quoted: &Quoted, locale: Locale) -> String {
    if quoted.undone.is_some() || quoted.undo_until <= quoted.at {
        return String::new();
    }
    let until = time_of(&quoted.undo_until);
    match quoted.undo_keeps.filter(|keeps| !keeps.is_zero()) {
        Some(keeps) => {
            format!("It can be undone until {until}; {} before tax would stay charged.", locale.money(keeps))
        }
        None => format!("It can be undone until {until}."),
    }
}

fn gauges(quoted: &Quoted, locale: Locale) -> Vec<Gauge> {
    let mut gauges = Vec::new();
    for weighed in &quoted.budgets {
        let whose = if weighed.organization.is_some() { "Organization’s budget" } else { "Subscription’s budget" };
        for part in [weighed.this_month, weighed.next_month] {
            let label = format!("{whose}, {}", month_name(Month::of_date(part.month)));
            gauges.push(Gauge::new(label, (part.would_be, weighed.budget, part.left), locale));
        }
    }
    gauges
}

fn sum_line(line: &Line, catalogue: &Catalogue, locale: Locale, first: NaiveDate) -> SumLine {
    let offer = catalogue.by_slug(&line.offer);
    let unit = offer.map_or("unit", |offer| offer.definition.unit.as_str());
    let metered = line.why.iter().find(|step| step.step == "metered");
    let FromTo { from, to } = line.quantity;
    let change = match metered {
        Some(step) => capitalized(&step.detail),
        None if from == to => units(to, unit, locale),
        None if to < from => format!("{} → {} from {}", locale.number(from), units(to, unit, locale), day(first)),
        None => format!("{} → {}", locale.number(from), units(to, unit, locale)),
    };
    let usable = match line.usable {
        _ if metered.is_some() => String::new(),
        FromTo { from, to } if from == to => locale.number(to),
        FromTo { from, to } => format!("{} → {}", locale.number(from), locale.number(to)),
    };
    SumLine {
        name: offer.map_or_else(|| line.offer.clone(), |offer| offer.definition.name.to_string()),
        slug: line.offer.clone(),
        change,
        usable,
        now: locale.money(line.now),
        renewal: locale.money(line.renewal),
        why: line.why.iter().map(|step| Step { step: step.step.replace('_', " "), ..step.clone() }).collect(),
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The tax's name, with its rate where one is charged.
fn tax_words(quoted: &Quoted) -> String {
    let step = quoted.lines.iter().flat_map(|line| &line.why).find(|step| step.step == "tax");
    match step {
        Some(step) if TaxRate::stored(&step.value).is_reverse() => "Tax, reverse charge".to_owned(),
        Some(step) if step.value != "0" => format!("Tax {} %", step.value),
        _ => "Tax".to_owned(),
    }
}

/// What the next invoice is made of, so that a part month and a full month on one bill surprise nobody.
fn parts(quoted: &Quoted, month: Month, locale: Locale) -> String {
    let (now, renewal) = (quoted.now.total, quoted.renewal.totals.total);
    // What is paid at once is not on it.
    let now = if quoted.collected == "now" { Money::zero(now.currency()) } else { now };
    let next = quoted.next_invoice.totals.total;
    let mut words = Vec::new();
    if !now.is_zero() {
        words.push(format!("{} for the rest of {}", locale.money(now), month_name(month)));
    }
    if !renewal.is_zero() {
        words.push(format!("{} for {}", locale.money(renewal), month_name(month.next())));
    }
    // Tax is rounded on the whole invoice, so a cent may lie between the parts and it.
    let own = now.checked_add(renewal).unwrap_or(now);
    match next.checked_sub(own) {
        Ok(rest) if rest.minor().abs() > 1 => {
            words.push(format!("{} for what else this subscription pays", locale.money(rest)));
        }
        _ => {}
    }
    words.join(" and ")
}

/// What differs between what a visitor saw and what holds, in words.
pub fn differences(shown: &[(String, String)], is: &[(String, String)]) -> Vec<String> {
    if shown.is_empty() {
        return Vec::new();
    }
    let in_other = |other: &[(String, String)], name: &str| {
        other.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    let pairs = shown.iter().filter_map(|(name, was)| match in_other(is, name) {
        Some(is) => (*was != is).then(|| format!("{name}: {was}, now {is}")),
        None => Some(format!("{name}: {was}, no longer")),
    });
    // After a month's end what was shown of it has other words: the rest of May is not the rest of June.
    let new = is.iter().filter(|(name, _)| in_other(shown, name).is_none());
    pairs.chain(new.map(|(name, is)| format!("{name}: {is}, new"))).collect()
}

/// What a form carries of what its page showed, so that a change can be told in both words.
pub fn shown_values(sum: &Sum) -> Vec<(String, String)> {
    let mut values = vec![
        (sum.rest.clone(), sum.now.clone()),
        (sum.on.clone(), sum.next.clone()),
        ("Then each month".to_owned(), sum.monthly.clone()),
    ];
    values.extend(sum.lines.iter().map(|line| (line.name.clone(), line.change.clone())));
    values
}

/// Day and time in words, from an instant of an answer: `16 April 2018, 10:00 UTC`.
pub fn time_of(at: &str) -> String {
    kernel::parse_rfc3339(at).map_or_else(|_| at.to_owned(), |at| at.format("%-d %B %Y, %H:%M UTC").to_string())
}

/// A day in words, from an instant of an answer.
pub fn day_of(at: &str) -> String {
    kernel::parse_rfc3339(at).map_or_else(|_| at.to_owned(), |at| date(at.date_naive()))
}
