//! A long walk of random purchases, some of them undone, beside a model of the rules that shares no code with the server
//!

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tests::{App, Billing, Options, lines_of, on_both, setting};

on_both! {
    a_random_walk_agrees_with_the_model: Options::at("2018-04-01T00:00:00Z");
}

const DAYS: i64 = 30;

/// An offer of the catalogue, its EUR price in cents.
struct Offer {
    slug: &'static str,
    included: i64,
    replaces: bool,
    extension: bool,
    /// A day's price stays charged when it is undone.
    keeps: bool,
    total: fn(i64) -> i64,
}

fn graduated(mut quantity: i64, bands: &[(i64, i64)]) -> i64 {
    let (mut sum, mut below) = (0, 0);
    for (up_to, unit) in bands {
        let units = quantity.min(up_to - below);
        sum += units * unit;
        quantity -= units;
        below = *up_to;
    }
    sum
}

const fn offer(slug: &'static str, included: i64, total: fn(i64) -> i64) -> Offer {
    Offer { slug, included, replaces: false, extension: false, keeps: false, total }
}

const fn extension(slug: &'static str, included: i64, total: fn(i64) -> i64) -> Offer {
    Offer { extension: true, ..offer(slug, included, total) }
}

const OFFERS: &[Offer] = &[
    offer("ms.vss-vstsuser", 5, |n| graduated(n, &[(5, 510), (95, 680), (995, 340), (i64::MAX, 170)])),
    Offer { replaces: true, keeps: true, ..offer("ms.build-release-hosted-pipelines", 1, |n| n * 3373) },
    Offer { keeps: true, ..offer("ms.build-release-private-pipelines", 1, |n| n * 1265) },
    extension("ms.vss-testmanager-web", 0, |n| n * 4385),
    extension("ms.feed", 5, |n| n * 337),
    extension("berichthaus.tfstimetracker", 0, |n| graduated(n, &[(10, 210), (i64::MAX, 170)])),
    extension("spartez.agile-cards", 0, |n| (n + 24) / 25 * 850),
];

/// What the model knows of an organization's offer.
#[derive(Clone, Default)]
struct Held {
    committed: i64,
    next: i64,
    /// Cents times days of this month's increases.
    accrued: i64,
    /// Cents charged.
    charged: i64,
    bought: bool,
}

impl Held {
    /// Takes a new total on a day of the month and answers what it costs now.
    fn buy(&mut self, offer: &Offer, total: i64, day: i64) -> i64 {
        self.bought = true;
        self.next = total;
        if total <= self.committed {
            return 0;
        }
        self.accrued += ((offer.total)(total) - (offer.total)(self.committed)) * (DAYS - day);
        self.committed = total;
        let now = (2 * self.accrued + DAYS) / (2 * DAYS) - self.charged;
        self.charged += now;
        now
    }

    /// Goes back to what it was, but for a day's price where that stays charged; how much that is.
    fn undo(&mut self, offer: &Offer, was: &Self, charged: i64) -> i64 {
        let committed = self.committed;
        *self = was.clone();
        if !offer.keeps || charged == 0 {
            return 0;
        }
        self.accrued += (offer.total)(committed) - (offer.total)(was.committed);
        let kept = (2 * self.accrued + DAYS) / (2 * DAYS) - self.charged;
        self.charged += kept;
        kept
    }

    fn usable(&self, offer: &Offer) -> i64 {
        match (offer.replaces, offer.extension && !self.bought) {
            (_, true) => 0,
            (true, _) if self.committed > 0 => self.committed,
            (true, _) => offer.included,
            _ => offer.included + self.committed,
        }
    }
}

/// A purchase that stands, its hour, and what was there of each offer and charged for it.
type Standing = (Value, i64, Vec<(&'static Offer, Held, i64)>);

fn euros(cents: i64) -> Value {
    json!({ "amount": format!("{}.{:02}", cents / 100, cents % 100), "currency": "EUR" })
}

async fn a_random_walk_agrees_with_the_model(app: &App) {
    let seed = setting("PURSER_SEED", 1);
    let mut random = StdRng::seed_from_u64(seed);
    let ada = app.as_("ada@fabrikam.example").await;
    let payer = ada.subscription("Fabrikam Europe").await;
    let mut held: BTreeMap<&str, Held> = OFFERS.iter().map(|offer| (offer.slug, Held::default())).collect();
    let (mut day, mut hour) = (1, 0);
    // What may be undone, the latest last.
    let mut standing: Vec<Standing> = Vec::new();
    for step in 0..120 {
        if random.random_ratio(1, 4) && day < DAYS {
            day += random.random_range(1..=3).min(DAYS - day);
            hour = random.random_range(0..24);
            app.move_clock(&format!("2018-04-{day:02}T{hour:02}:00:00Z")).await;
        }
        if random.random_ratio(1, 3) && !standing.is_empty() {
            let (purchase, at, lines) = standing.pop().expect("one");
            let context = format!("seed {seed}, step {step}, day {day}, undo of {purchase}");
            let answer = crate::undo::undo(&ada, &purchase).await;
            if day * 24 + hour >= at + 24 {
                assert_eq!(answer.problem("cannot-be-undone")["reason"], "too_late", "{context}");
                standing.clear();
                continue;
            }
            let undone = answer.status(200);
            let mut kept = 0;
            for (offer, was, charged) in lines {
                let held = held.get_mut(offer.slug).expect("a known offer");
                kept += held.undo(offer, &was, charged);
                let has = ada.entitlement("fabrikam", offer.slug).await;
                let expected = json!([held.committed, held.next, held.usable(offer)]);
                assert_eq!(json!([has["committed"], has["next"], has["usable"]]), expected, "{context}: {has}");
            }
            assert_eq!(undone["undone"]["kept"], euros(kept), "{context}");
            assert_eq!(purchase["undo_keeps"], euros(kept), "{context}");
            let bill = ada.get(&format!("/v1/subscriptions/{payer}/invoices/upcoming")).await.ok();
            let charged: i64 = held.values().map(|held| held.charged).sum();
            let linked = undone["undone"]["billing_removed"] == false;
            let coming: i64 = OFFERS.iter().map(|offer| (offer.total)(held[offer.slug].next)).sum();
            assert!(linked || coming == 0, "{context}");
            assert_eq!(bill["net"], euros(charged + coming), "{context}");
            continue;
        }
        let count = random.random_range(1..=3);
        let chosen: Vec<&'static Offer> = OFFERS.choose_multiple(&mut random, count).collect();
        let most = *[3, 30, 300].choose(&mut random).expect("one of them");
        let items: Vec<(&str, i64)> = chosen.iter().map(|offer| (offer.slug, random.random_range(0..=most))).collect();
        let context = format!("seed {seed}, step {step}, day {day}, {items:?}");

        let quote = ada.quotes_all("fabrikam", &items, Billing::Existing(&payer)).await.ok();
        let bought = ada.buys_all("fabrikam", &items, Billing::Existing(&payer)).await.status(201);
        assert_eq!(lines_of(&bought), lines_of(&quote), "{context}");
        let (mut now_sum, mut renewal_sum, mut found) = (0, 0, Vec::new());
        for ((offer, (_, total)), line) in chosen.iter().zip(&items).zip(bought["lines"].as_array().expect("lines")) {
            let held = held.get_mut(offer.slug).expect("a known offer");
            let (next, usable, was) = (held.next, held.usable(offer), held.clone());
            let now = held.buy(offer, *total, day);
            found.push((*offer, was, now));
            let renewal = (offer.total)(*total);
            let expected = json!([{ "from": next, "to": total }, { "from": usable, "to": held.usable(offer) }]);
            assert_eq!(json!([line["quantity"], line["usable"]]), expected, "{context}: {line}");
            assert_eq!((&line["now"], &line["renewal"]), (&euros(now), &euros(renewal)), "{context}: {line}");
            let has = ada.entitlement("fabrikam", offer.slug).await;
            let expected = json!([held.committed, held.next, held.usable(offer)]);
            assert_eq!(json!([has["committed"], has["next"], has["usable"]]), expected, "{context}: {has}");
            now_sum += now;
            renewal_sum += renewal;
        }
        assert_eq!(bought["now"]["net"], euros(now_sum), "{context}");
        assert_eq!(bought["renewal"]["net"], euros(renewal_sum), "{context}");
        let charged: i64 = held.values().map(|held| held.charged).sum();
        let coming: i64 = OFFERS.iter().map(|offer| (offer.total)(held[offer.slug].next)).sum();
        assert_eq!(bought["next_invoice"]["net"], euros(charged + coming), "{context}");
        standing.push((bought, day * 24 + hour, found));
    }
}
