//! The simulation's own idea of what must come about: quantities, and money by payer, bill and rate of tax. It shares no code
//! with the product but its ids and dates; that a payer can pay it takes from the product, as that follows from payments.

use super::wares::{CURRENCIES, Days, METERED, PARTNER, Price, SCALE, WARES};
use chrono::{Datelike, Months, NaiveDate, Timelike};
use kernel::{SubscriptionId, Timestamp};
use std::collections::BTreeMap;

/// A month, by its first day.
pub type First = NaiveDate;

/// The first day of the month of a day.
pub fn first(day: NaiveDate) -> First {
    day.with_day(1).unwrap_or(day)
}

/// The first day of the month after.
pub fn after(month: First) -> First {
    month.checked_add_months(Months::new(1)).unwrap_or(month)
}

/// What an organization has of a ware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub committed: i64,
    pub next: i64,
    pub month: First,
    /// The month's increases exactly: ten thousandths of the currency's unit times the parts that a month has.
    accrued: i128,
    pub charged: i64,
    pub metered: bool,
    pub cap: i64,
}

impl Held {
    fn new(month: First) -> Self {
        Self { committed: 0, next: 0, month, accrued: 0, charged: 0, metered: false, cap: 0 }
    }
}

/// Who pays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payer {
    pub currency: usize,
    pub country: String,
    pub card: bool,
    /// Whether it can pay now, as the product says.
    pub pays: bool,
    /// The last month it was billed for.
    pub billed: Option<First>,
    /// What is charged to it, by bill and rate of tax, minor units.
    pub bills: BTreeMap<(First, String), i64>,
}

#[derive(Clone, Debug, Default)]
pub struct Organization {
    pub payer: Option<SubscriptionId>,
    pub held: BTreeMap<usize, Held>,
    /// Units used by month, while they are not billed.
    pub used: BTreeMap<First, i64>,
}

/// The whole market.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub organizations: Vec<Organization>,
    pub payers: BTreeMap<SubscriptionId, Payer>,
    /// All versions, the latest last.
    pub prices: Vec<Price>,
    /// By country: from when on, percent.
    pub taxes: BTreeMap<String, BTreeMap<NaiveDate, i64>>,
}

/// How a part of the month counts.
fn part(days: Days, at: Timestamp) -> (i64, i64) {
    let month = first(at.date_naive());
    let of = (after(month) - month).num_days();
    let day = i64::from(at.day());
    match days {
        Days::After => (of - day, of),
        Days::Inclusive => (of - day + 1, of),
        Days::Fixed => (31 - day.min(30), 30),
        Days::Seconds => {
            let gone = (day - 1) * 86_400 + i64::from(at.num_seconds_from_midnight());
            (of * 86_400 - gone, of * 86_400)
        }
    }
}

/// Half away from zero; nothing here is below it.
fn rounded(value: i128, of: i128) -> i64 {
    i64::try_from((2 * value + of) / (2 * of)).unwrap_or(i64::MAX)
}

fn minor(currency: usize) -> i128 {
    10_i128.pow(CURRENCIES.get(currency).map_or(0, |currency| currency.1))
}

impl Model {
    fn price(&self, ware: usize, currency: usize, day: NaiveDate) -> Option<&Price> {
        let fits = |price: &&Price| {
            price.ware == ware && price.currency == currency && price.from.is_none_or(|from| from <= day)
        };
        self.prices.iter().rev().find(fits)
    }

    fn rate(&self, country: &str, day: NaiveDate) -> String {
        let rates = self.taxes.get(country);
        rates.and_then(|rates| rates.range(..=day).next_back()).map(|(_, rate)| rate.to_string()).unwrap_or_default()
    }

    /// Charges a payer.
    fn charge(&mut self, payer: SubscriptionId, bill: First, day: NaiveDate, amount: i64) {
        if amount == 0 {
            return;
        }
        let Some(found) = self.payers.get(&payer) else { return };
        let rate = self.rate(&found.country, day);
        let bill = found.billed.map_or(bill, |billed| bill.max(after(billed)));
        if let Some(found) = self.payers.get_mut(&payer) {
            *found.bills.entry((bill, rate)).or_default() += amount;
        }
    }

    fn paying(&self, organization: usize) -> Option<(SubscriptionId, &Payer)> {
        let payer = self.organizations.get(organization)?.payer?;
        self.payers.get(&payer).map(|found| (payer, found))
    }

    fn held(&self, organization: usize, ware: usize) -> Option<&Held> {
        self.organizations.get(organization)?.held.get(&ware)
    }

    fn keep(&mut self, organization: usize, ware: usize, held: Held) {
        if let Some(found) = self.organizations.get_mut(organization) {
            found.held.insert(ware, held);
        }
    }

    /// An organization comes to a month.
    pub fn turn(&mut self, organization: usize, until: First) {
        loop {
            let Some(found) = self.organizations.get(organization).cloned() else { return };
            let due = |(ware, held): &(&usize, &Held), month: First| {
                let used = **ware == METERED && found.used.keys().any(|used| *used < month);
                held.month < month && (held.next > 0 || held.committed > 0 || held.metered || used)
            };
            let months = found.held.iter().filter(|row| due(row, until)).map(|(_, held)| after(held.month));
            let Some(month) = months.min() else { return };
            let paying = self.paying(organization).map(|(id, payer)| (id, payer.clone()));
            if let Some((id, payer)) = &paying {
                for (used, units) in found.used.iter().filter(|(used, _)| **used < month) {
                    let amount = self.use_of(payer.currency, *used, *units);
                    self.charge(*id, month, *used, amount);
                }
                if let Some(found) = self.organizations.get_mut(organization) {
                    found.used.retain(|used, _| *used >= month);
                }
            }
            for (ware, held) in found.held.iter().filter(|row| due(row, month)) {
                let mut held = Held { month, accrued: 0, charged: 0, committed: 0, ..held.clone() };
                if let Some((id, payer)) = paying.as_ref().filter(|(_, payer)| payer.pays) {
                    held.committed = held.next;
                    let total = self.price(*ware, payer.currency, month).map_or(0, |price| price.total(held.next));
                    self.charge(*id, month, month, rounded(total * minor(payer.currency), SCALE));
                }
                self.keep(organization, *ware, held);
            }
        }
    }

    /// What a month's use comes to.
    fn use_of(&self, currency: usize, month: First, units: i64) -> i64 {
        let last = after(month).pred_opt().unwrap_or(month);
        let price = self.price(METERED, currency, month).or_else(|| self.price(METERED, currency, last));
        let above = units - WARES.get(METERED).map_or(0, |ware| ware.included);
        price.map_or(0, |price| rounded(price.total(above.max(0)) * minor(currency), SCALE))
    }

    /// More units for what is left of the month.
    fn increase(&mut self, organization: usize, ware: usize, held: &mut Held, now: Timestamp) {
        let Some((id, payer)) = self.paying(organization).map(|(id, payer)| (id, payer.clone())) else { return };
        let day = now.date_naive();
        let Some(price) = self.price(ware, payer.currency, day) else { return };
        let more = (price.total(held.next) - price.total(held.committed)).max(0);
        let (left, of) = part(WARES.get(ware).map_or(Days::After, |ware| ware.days), now);
        held.accrued += more * i128::from(left);
        let sum = rounded(held.accrued * minor(payer.currency), SCALE * i128::from(of));
        let amount = (sum - held.charged).max(0);
        held.charged += amount;
        held.committed = held.next;
        self.charge(id, after(held.month), day, amount);
    }

    /// Whether an order may be, as far as payer and numbers go: `payer` is who would pay.
    pub fn may_buy(&self, organization: usize, items: &[(usize, i64)], payer: &Payer, linked: bool) -> bool {
        let mut grows = !linked;
        let mut partner = false;
        for (ware, total) in items {
            let next = self.held(organization, *ware).map_or(0, |held| held.next);
            let Some(sold) = WARES.get(*ware) else { return false };
            let kept = *total == next || (*total == 0 && next > 0);
            if !kept && !(sold.minimum..=sold.maximum).contains(total) {
                return false;
            }
            grows |= *total > next;
            partner |= *ware == PARTNER && (!linked || *total > next);
        }
        !grows || (payer.pays && (payer.card || !partner))
    }

    /// An order that was taken: up at once, down from the next month on. Where nobody can pay nothing is
    /// committed.
    pub fn buy(&mut self, organization: usize, items: &[(usize, i64)], now: Timestamp) {
        let month = first(now.date_naive());
        let pays = self.paying(organization).is_some_and(|(_, payer)| payer.pays);
        for (ware, total) in items {
            let mut held = self.held(organization, *ware).cloned().unwrap_or_else(|| Held::new(month));
            if held.month != month {
                held = Held { month, accrued: 0, charged: 0, ..held };
            }
            let before = held.clone();
            held.next = *total;
            if held.next > held.committed && pays {
                self.increase(organization, *ware, &mut held, now);
            }
            // An extension is installed by it at the least.
            if held != before || (*ware == PARTNER && self.held(organization, *ware).is_none()) {
                self.keep(organization, *ware, held);
            }
        }
    }

    /// Whether metered use may be switched so.
    pub fn may_meter(&self, organization: usize, (on, cap): (bool, i64), payer: &Payer, linked: bool) -> bool {
        let most = |cap: i64| if cap > 0 { cap } else { i64::MAX };
        let held = self.held(organization, METERED);
        let before = held.is_some_and(|held| held.metered);
        let more = on && (!before || most(cap) > most(held.map_or(0, |held| held.cap)));
        payer.pays || (linked && !more)
    }

    /// Metered use is switched on or off.
    pub fn meter(&mut self, organization: usize, on: bool, cap: i64, now: Timestamp) {
        let month = first(now.date_naive());
        let held = self.held(organization, METERED).cloned().unwrap_or_else(|| Held::new(month));
        let after = Held { metered: on, cap: if on { cap } else { 0 }, ..held.clone() };
        if after != held {
            self.keep(organization, METERED, Held { month, ..after });
        }
    }

    /// Whether a usage event counts; the month that it counts in.
    pub fn may_use(&self, organization: usize, units: i64, at: Timestamp, now: Timestamp) -> Option<First> {
        let held = self.held(organization, METERED).filter(|held| held.metered)?;
        let (_, payer) = self.paying(organization).filter(|(_, payer)| payer.pays)?;
        let ware = WARES.get(METERED)?;
        let month = first(at.date_naive()).max(held.month);
        let used = self.organizations.get(organization)?.used.get(&month).copied().unwrap_or(0) + units;
        let most = ware.included + ware.maximum;
        let most = if held.cap > 0 { held.cap.min(most) } else { most };
        let young = now.signed_duration_since(at) <= chrono::TimeDelta::days(35);
        (young && used <= most && payer.pays).then_some(month)
    }

    /// Use is counted.
    pub fn count(&mut self, organization: usize, month: First, units: i64) {
        if let Some(found) = self.organizations.get_mut(organization) {
            *found.used.entry(month).or_default() += units;
        }
    }

    /// What was suspended of who pays again resumes.
    pub fn resume(&mut self, now: Timestamp) {
        let month = first(now.date_naive());
        for organization in 0..self.organizations.len() {
            if !self.paying(organization).is_some_and(|(_, payer)| payer.pays) {
                continue;
            }
            let suspended = |held: &Held| held.month == month && held.committed < held.next;
            let found = self.organizations.get(organization).map(|found| found.held.clone()).unwrap_or_default();
            if !found.values().any(suspended) {
                continue;
            }
            self.turn(organization, month);
            for (ware, mut held) in found.into_iter().filter(|(_, held)| suspended(held)) {
                self.increase(organization, ware, &mut held, now);
                self.keep(organization, ware, held);
            }
        }
    }

    /// Tax on what a rate applies to, minor units.
    pub fn tax(rate: &str, net: i64) -> i64 {
        rounded(i128::from(net) * i128::from(rate.parse::<i64>().unwrap_or(0)), 100)
    }
}
