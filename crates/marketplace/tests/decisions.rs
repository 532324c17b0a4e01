//! Decisions run without a database: tables and properties over the real catalogue.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use billing::payment::Outcome;
use billing::{Payer, PaymentMethod, PaymentMethods, SubscriptionKind, SubscriptionStatus, TaxRates};
use kernel::{Id, IdSource, OrganizationId, OrganizationRole, SubscriptionId, SubscriptionRole, Timestamp, UserId};
use marketplace::book::{Book, OrganizationBook, PayerBook, Standing};
use marketplace::budget::Budgets;
use marketplace::catalogue::Catalogue;
use marketplace::command::{Decision, decide};
use marketplace::order::{Act, BillingRequest, Caller, Command, ItemRequest, Order, Settling};
use marketplace::pending::{Collection, Collects};
use marketplace::{Policy, Refusal};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use store::collections::CollectionRow;

const CATALOG: &str = include_str!("../../../config/catalog.toml");
const USERS: &str = "ms.vss-vstsuser";

fn at(text: &str) -> Timestamp {
    kernel::parse_rfc3339(text).unwrap()
}

fn id<I: Id>(n: u64) -> I {
    I::from_uuid(uuid::Uuid::from_u64_pair(1, n))
}

/// One organization, its owner, and one subscription that the owner owns.
struct Shop {
    book: Book,
    standing: Standing,
    ids: IdSource,
    now: Timestamp,
    keys: u32,
    /// The last purchase that waits for its payment.
    waiting: Option<Settling>,
}

impl Shop {
    fn new(now: &str, linked: bool) -> Self {
        Self::with(CATALOG, now, linked, TaxRates::default())
    }

    fn with(catalog: &str, now: &str, linked: bool, taxes: TaxRates) -> Self {
        let mut ids = IdSource::seeded(7);
        let file = marketplace::catalogue::file::parse(catalog).unwrap();
        let catalogue = Arc::new(Catalogue::of_file(&file, at("2018-01-01T00:00:00Z"), &mut ids));
        let (organization, subscription): (OrganizationId, SubscriptionId) = (id(1), id(2));
        let policy = Arc::new(Policy {
            platform_publisher: "ms".into(),
            platform_currency: "USD".parse().unwrap(),
            taxes,
            methods: PaymentMethods { invoice: true, simulated: true, stripe: false },
            undo_hours: 24,
            terms: marketplace::invoicing::Terms {
                seller: billing::invoice::Seller {
                    name: "Platform".into(),
                    country: "DE".parse().unwrap(),
                    address: String::new(),
                    tax_id: String::new(),
                },
                series: "P".into(),
                due_days: 30,
                schedule: billing::dunning::Schedule::default(),
            },
            quote_key: [3; 32],
        });
        let payer = Payer {
            id: subscription,
            kind: SubscriptionKind::PayAsYouGo,
            status: SubscriptionStatus::Active,
            country: "DE".parse().unwrap(),
            currency: "USD".parse().unwrap(),
            method: PaymentMethod::Card,
            spending_limit: false,
            marketplace_enabled: false,
            billed_through: None,
            budgeted: false,
            tax_confirmed: false,
        };
        let row = store::till::OrganizationRow {
            id: organization,
            slug: "fabrikam".parse().unwrap(),
            name: "Fabrikam".into(),
            country: "DE".parse().unwrap(),
        };
        let held = OrganizationBook {
            row,
            link: linked.then_some(subscription),
            linked_in_batch: false,
            entitlements: BTreeMap::new(),
            held: BTreeMap::new(),
            used: BTreeMap::new(),
            last_fact: Timestamp::UNIX_EPOCH,
        };
        let book = Book {
            catalogue,
            policy,
            organizations: HashMap::from([(organization, held)]),
            payers: HashMap::from([(subscription, PayerBook::new(payer))]),
            budgets: Budgets::default(),
            collections: HashMap::new(),
            earlier: HashMap::new(),
            undoing: HashMap::new(),
            changed: HashSet::new(),
        };
        let standing = Standing {
            known: true,
            operator: false,
            role: Some(OrganizationRole::Owner),
            payer_role: Some(SubscriptionRole::Owner),
            payer: Some(subscription),
        };
        Self { book, standing, ids, now: at(now), keys: 0, waiting: None }
    }

    fn buy(&mut self, items: &[(&str, i64)]) -> Result<Value, Refusal> {
        let items = items
            .iter()
            .map(|(offer, total)| ItemRequest {
                offer: (*offer).into(),
                quantity: Some(*total),
                from: None,
                metered: None,
            })
            .collect();
        self.order(items, None)
    }

    fn order(&mut self, items: Vec<ItemRequest>, billing: Option<BillingRequest>) -> Result<Value, Refusal> {
        self.keys += 1;
        let order = Order::parse(id(1), items, billing, None).map_err(Refusal::Invalid)?;
        let command = Command {
            caller: Caller { user: id::<UserId>(3), address: None },
            act: Act::Purchase {
                order: Box::new(order),
                quote: None,
                key: format!("key-{}", self.keys).parse().unwrap(),
                request_hash: [0; 32],
            },
        };
        match decide(&mut self.book, &command, &self.standing, self.now, &mut self.ids)? {
            Decision::Write(_, answer) => Ok(serde_json::from_str(&answer).unwrap()),
            Decision::Pend(writes, settling, answer) => {
                let Some(Collects::Asked(asked)) = writes.collects else { panic!("nothing is asked for") };
                let collection = Collection::read(CollectionRow { answer: answer.clone(), ..asked.row }).unwrap();
                self.book.collections.insert(settling.purchase, collection);
                self.waiting = Some(settling);
                Ok(serde_json::from_str(&answer).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    /// What came of asking for what waits.
    fn settle(&mut self, outcome: Outcome) -> Result<Decision, Refusal> {
        let command = Command::settle(self.waiting.unwrap(), outcome);
        decide(&mut self.book, &command, &self.standing, self.now, &mut self.ids)
    }

    fn held(&self, slug: &str) -> Option<&store::till::EntitlementRow> {
        let offer = self.book.catalogue.by_slug(slug).unwrap().id;
        self.book.organizations[&id(1)].entitlements.get(&offer)
    }
}

fn minor(money: &Value) -> i64 {
    kernel::Money::parse_amount(money["amount"].as_str().unwrap(), money["currency"].as_str().unwrap().parse().unwrap())
        .unwrap()
        .minor()
}

/// X-C1 and X-C2 (R-26, R-27): 10 on 15 April cost half a month; one more on 10 May is 21 of 31 days.
#[test]
fn worked_examples_of_azure_devops() {
    let mut shop = Shop::new("2018-04-15T09:00:00Z", true);
    let bought = shop.buy(&[(USERS, 10)]).unwrap();
    // 5 × 6 + 5 × 8 = 70 a month
    assert_eq!(bought["lines"][0]["now"]["amount"], "35.00");
    assert_eq!(bought["lines"][0]["renewal"]["amount"], "70.00");
    assert_eq!(bought["next_invoice"]["net"]["amount"], "105.00");
    assert_eq!(bought["lines"][0]["usable"], serde_json::json!({"from": 5, "to": 15}));
    shop.now = at("2018-05-10T09:00:00Z");
    let more = shop.buy(&[(USERS, 11)]).unwrap();
    // 8.00 × 21/31 = 5.419…
    assert_eq!(more["lines"][0]["now"]["amount"], "5.42");
    assert_eq!(more["lines"][0]["renewal"]["amount"], "78.00");
}

/// R-29: down and up again costs nothing up to committed; the renewal follows.
#[test]
fn down_and_up_again_costs_nothing() {
    let mut shop = Shop::new("2018-04-15T09:00:00Z", true);
    shop.buy(&[(USERS, 10)]).unwrap();
    let less = shop.buy(&[(USERS, 4)]).unwrap();
    assert_eq!((minor(&less["now"]["net"]), minor(&less["renewal"]["net"])), (0, 2_400));
    assert_eq!((shop.held(USERS).unwrap().committed, shop.held(USERS).unwrap().next), (10, 4));
    let again = shop.buy(&[(USERS, 10)]).unwrap();
    assert_eq!((minor(&again["now"]["net"]), minor(&again["renewal"]["net"])), (0, 7_000));
    let cancelled = shop.buy(&[(USERS, 0)]).unwrap();
    assert_eq!(minor(&cancelled["renewal"]["net"]), 0);
    assert_eq!(shop.held(USERS).unwrap().committed, 10);
}

/// R-26, R-32: what is out of range is refused with the numbers, and nothing changes.
#[test]
fn quantities_out_of_range_change_nothing() {
    for total in [-1, i64::MIN, 100_001, i64::MAX] {
        let mut shop = Shop::new("2018-04-15T09:00:00Z", true);
        let refused = shop.buy(&[(USERS, total)]).unwrap_err();
        assert!(
            matches!(refused, Refusal::QuantityOutOfRange { minimum: 0, maximum: 100_000, .. }),
            "{total}: {refused:?}"
        );
        assert!(shop.held(USERS).is_none());
    }
}

/// R-26: a total equal to next is accepted and posts nothing.
#[test]
fn the_same_total_posts_nothing() {
    let mut shop = Shop::new("2018-04-15T09:00:00Z", true);
    shop.buy(&[(USERS, 10)]).unwrap();
    let version = shop.held(USERS).unwrap().version;
    let same = shop.buy(&[(USERS, 10)]).unwrap();
    assert_eq!(minor(&same["now"]["net"]), 0);
    assert_eq!(shop.held(USERS).unwrap().version, version);
}

/// R-26: who saw another number does nothing, and is shown what it would be now.
#[test]
fn a_changed_quantity_is_not_overwritten_unseen() {
    let mut shop = Shop::new("2018-04-15T09:00:00Z", true);
    shop.buy(&[(USERS, 10)]).unwrap();
    let item = ItemRequest { offer: USERS.into(), quantity: Some(12), from: Some(9), metered: None };
    let refused = shop.order(vec![item], None).unwrap_err();
    let Refusal::QuantityChanged(quote) = refused else { panic!("{refused:?}") };
    assert_eq!((quote.body.lines[0].quantity.from, quote.body.lines[0].quantity.to), (10, 12));
    assert_eq!(shop.held(USERS).unwrap().next, 10);
}

/// R-18: one offer twice is refused, by id and slug too.
#[test]
fn one_offer_twice_is_refused() {
    let mut shop = Shop::new("2018-04-15T09:00:00Z", true);
    let by_id = shop.book.catalogue.by_slug(USERS).unwrap().id.to_string();
    assert!(matches!(shop.buy(&[(USERS, 1), (&by_id, 2)]), Err(Refusal::Invalid(_))));
}

/// R-16, R-17: without billing the answer is that it is required; with the data of a new payer all of it happens.
#[test]
fn a_first_purchase_creates_its_payer() {
    let mut shop = Shop::new("2018-04-15T09:00:00Z", false);
    assert!(matches!(shop.buy(&[(USERS, 10)]), Err(Refusal::BillingSetupRequired)));
    let data = serde_json::json!({"new_subscription": {
        "name": "Production", "country": "DE", "currency": "EUR", "payment": {"method": "invoice"}}});
    let item = ItemRequest { offer: USERS.into(), quantity: Some(10), from: None, metered: None };
    let bought = shop.order(vec![item], Some(serde_json::from_value(data).unwrap())).unwrap();
    assert_eq!(bought["billing"], "will_create");
    assert_eq!((&bought["subscription_created"], &bought["billing_set_up"]), (&Value::from(true), &Value::from(true)));
    assert!(bought["subscription"].as_str().unwrap().starts_with("sub_"));
}

/// R-31: the first paid hosted pipeline replaces the included one.
#[test]
fn the_first_paid_pipeline_replaces_the_included_one() {
    let mut shop = Shop::new("2018-04-15T09:00:00Z", true);
    let bought = shop.buy(&[("ms.build-release-hosted-pipelines", 1)]).unwrap();
    assert_eq!(bought["lines"][0]["usable"], serde_json::json!({"from": 1, "to": 1}));
    let bought = shop.buy(&[("ms.build-release-hosted-pipelines", 3)]).unwrap();
    assert_eq!(bought["lines"][0]["usable"], serde_json::json!({"from": 1, "to": 3}));
}

/// R-24, R-49: tax is taken on the sum, at the rate of the day; next month's at its own.
#[test]
fn tax_is_taken_on_the_sum_at_the_rate_of_the_day() {
    let mut taxes = TaxRates::default();
    let de = "DE".parse().unwrap();
    taxes.add(de, &"19".parse().unwrap(), kernel::parse_date("2007-01-01").unwrap());
    taxes.add(de, &"16".parse().unwrap(), kernel::parse_date("2018-05-01").unwrap());
    let mut shop = Shop::with(CATALOG, "2018-04-15T09:00:00Z", true, taxes);
    let bought = shop.buy(&[(USERS, 10)]).unwrap();
    assert_eq!(bought["now"]["tax"]["amount"], "6.65");
    assert_eq!(bought["renewal"]["tax"]["amount"], "11.20");
    assert_eq!(bought["next_invoice"]["tax"]["amount"], "17.85");
}

/// R-40: metered use is switched on by a purchase that costs nothing now.
#[test]
fn metered_use_is_switched_on() {
    let mut shop = Shop::new("2018-04-15T09:00:00Z", true);
    assert!(matches!(shop.buy(&[("ms.load-testing", 5)]), Err(Refusal::Invalid(_))));
    let metered = serde_json::from_value(serde_json::json!({"on": true, "cap": 50_000})).unwrap();
    let item = ItemRequest { offer: "ms.load-testing".into(), quantity: None, from: None, metered: Some(metered) };
    let bought = shop.order(vec![item], None).unwrap();
    assert_eq!(minor(&bought["now"]["net"]), 0);
    let held = shop.held("ms.load-testing").unwrap();
    assert_eq!((held.metered, held.cap), (true, 50_000));
}

/// R-30, R-33: what can be undone ends a day later, but not past the month's turn.
#[test]
fn undo_ends_at_the_months_turn() {
    let mut shop = Shop::new("2018-04-30T20:00:00Z", true);
    assert_eq!(shop.buy(&[(USERS, 10)]).unwrap()["undo_until"], "2018-05-01T00:00:00Z");
    shop.now = at("2018-05-02T20:00:00Z");
    assert_eq!(shop.buy(&[(USERS, 11)]).unwrap()["undo_until"], "2018-05-03T20:00:00Z");
}

/// R-13, R-14: who cannot pay may want less of what is suspended, and neither gets nor is charged any of it.
#[test]
fn less_of_what_is_suspended_stays_suspended() {
    let mut shop = Shop::new("2018-04-15T10:00:00Z", true);
    shop.buy(&[(USERS, 10)]).unwrap();
    shop.book.payers.get_mut(&id::<SubscriptionId>(2)).unwrap().payer.status = SubscriptionStatus::PastDue;
    shop.now = at("2018-05-03T10:00:00Z");
    let (month, now) = (kernel::Month::of(shop.now), shop.now);
    marketplace::turn::turn(&mut shop.book, id(1), month, now, &mut shop.ids);
    for total in [10, 4, 0] {
        let bought = shop.buy(&[(USERS, total)]).unwrap();
        let held = shop.held(USERS).unwrap();
        assert_eq!((held.committed, held.next, held.charged, minor(&bought["now"]["net"])), (0, total, 0, 0));
    }
    assert!(shop.buy(&[(USERS, 1)]).is_err());
}

proptest! {
    /// R-28: many small increases in a day cost what one costs, in every model of the catalogue.
    #[test]
    fn many_small_steps_cost_what_one_costs(
        slug in prop::sample::select(vec![USERS, "ms.feed", "spartez.agile-cards", "berichthaus.tfstimetracker"]),
        mut steps in prop::collection::vec(1_i64..2_000, 1..12),
        day in 1_u32..=28,
    ) {
        steps.sort_unstable();
        let now = format!("2018-02-{day:02}T12:00:00Z");
        let (mut small, mut one) = (Shop::new(&now, true), Shop::new(&now, true));
        let mut total = 0;
        for step in &steps {
            total += minor(&small.buy(&[(slug, *step)]).unwrap()["now"]["net"]);
        }
        let at_once = minor(&one.buy(&[(slug, *steps.last().unwrap())]).unwrap()["now"]["net"]);
        prop_assert_eq!(total, at_once);
    }

    /// R-26, R-29: whatever totals are asked for in a month, nothing is below zero, what is charged is what the exact
    /// sum rounds to, capacity never falls within the month, and next is what was asked for last.
    #[test]
    fn any_history_of_a_month_holds(totals in prop::collection::vec((0_i64..3_000, 1_u32..=30), 1..20)) {
        let mut shop = Shop::new("2018-04-01T00:00:00Z", true);
        let mut charged = 0;
        let mut days: Vec<u32> = totals.iter().map(|(_, day)| *day).collect();
        days.sort_unstable();
        for ((total, _), day) in totals.iter().zip(days) {
            shop.now = at(&format!("2018-04-{day:02}T10:00:00Z"));
            let committed = shop.held(USERS).map_or(0, |held| held.committed);
            let bought = shop.buy(&[(USERS, *total)]).unwrap();
            let now = minor(&bought["now"]["net"]);
            prop_assert!(now >= 0);
            charged += now;
            if let Some(held) = shop.held(USERS) {
                prop_assert_eq!(held.committed, committed.max(*total));
                prop_assert_eq!(held.next, *total);
                prop_assert_eq!(held.charged, charged);
                prop_assert_eq!(held.accrued.round_half_away(2), Some(charged));
            }
            let renewal = minor(&bought["renewal"]["net"]);
            prop_assert_eq!(minor(&bought["next_invoice"]["net"]), charged + renewal);
        }
    }
}

/// R-33: a day's price stays charged of what has neither seats nor metered use, by each rule that days are counted by, and never
/// more than was charged.
#[test]
fn what_undoing_keeps() {
    let hosted = "ms.build-release-hosted-pipelines";
    for (rule, now, charged, kept) in [
        ("days_after", "2018-04-15T10:00:00Z", 6_000, 400),
        ("days_after", "2018-04-29T10:00:00Z", 400, 400),
        ("days_after", "2018-04-30T10:00:00Z", 0, 0),
        ("inclusive_days", "2018-04-30T10:00:00Z", 400, 400),
        ("fixed_30", "2018-05-31T10:00:00Z", 400, 400),
        ("seconds", "2018-04-30T12:00:00Z", 200, 200),
        ("seconds", "2018-04-16T00:00:00Z", 6_000, 400),
        ("none", "2018-04-15T10:00:00Z", 12_000, 400),
        ("none", "2018-05-15T10:00:00Z", 12_000, 387),
    ] {
        let catalog = CATALOG.replace("proration = \"days_after\"", &format!("proration = \"{rule}\""));
        let mut shop = Shop::with(&catalog, now, true, TaxRates::default());
        let bought = shop.buy(&[(hosted, 3), (USERS, 10)]).unwrap();
        let hosted_now = bought["lines"].as_array().unwrap().iter().find(|line| line["offer"] == hosted).unwrap();
        assert_eq!((minor(&hosted_now["now"]), minor(&bought["undo_keeps"])), (charged, kept), "{rule} {now}");
    }
}

const AT_ONCE: &str = r#"
[[offer]]
slug = "ms.at-once"
name = "At once"
publisher = "ms"
kind = "pipelines"
unit = "job"
collection = "at_purchase"
[offer.prices.USD]
model = "per_unit"
bands = [{ unit = "10.00" }]
"#;

/// Four of an offer that is paid at once, waiting for its payment.
fn waiting() -> Shop {
    let catalog = format!("{}{AT_ONCE}", include_str!("../../../config/catalog.toml"));
    let mut shop = Shop::with(&catalog, "2018-04-15T09:00:00Z", true, TaxRates::default());
    let pending = shop.buy(&[("ms.at-once", 4)]).unwrap();
    assert_eq!((&pending["state"], &pending["collected"]), (&Value::from("pending"), &Value::from("now")));
    assert_eq!((minor(&pending["now"]["total"]), minor(&pending["next_invoice"]["total"])), (2_000, 4_000));
    assert!(shop.held("ms.at-once").is_none());
    shop
}

fn received() -> Outcome {
    Outcome::Received("ref".into())
}

/// R-44: what waits is completed as it was decided, and only where that can still be; else the money is credit.
#[test]
fn what_is_paid_is_completed_as_it_was_decided() {
    type Meanwhile = fn(&mut Shop);
    let rows: [(&str, Meanwhile, bool); 7] = [
        ("nothing", |_| (), true),
        ("a later day", |shop| shop.now = at("2018-04-29T09:00:00Z"), true),
        ("nobody pays any more", |shop| shop.standing.payer_role = None, true),
        ("the next month", |shop| shop.now = at("2018-05-01T00:00:00Z"), false),
        ("another payer", |shop| shop.book.organizations.get_mut(&id(1)).unwrap().link = Some(id(9)), false),
        ("no payer", |shop| shop.book.organizations.get_mut(&id(1)).unwrap().link = None, false),
        (
            "another number",
            |shop| {
                let offer = shop.book.catalogue.by_slug("ms.at-once").unwrap().id;
                let month = "2018-04-01".parse().unwrap();
                let row = marketplace::book::nothing(id(1), offer, month);
                let row = store::till::EntitlementRow { next: 1, version: 1, ..row };
                shop.book.organizations.get_mut(&id(1)).unwrap().entitlements.insert(offer, row);
            },
            false,
        ),
    ];
    for (meanwhile, change, completes) in rows {
        let mut shop = waiting();
        assert!(matches!(shop.buy(&[("ms.at-once", 5)]), Err(Refusal::PurchaseInProgress(_))), "{meanwhile}");
        change(&mut shop);
        match shop.settle(received()).unwrap() {
            Decision::Write(writes, answer) => {
                assert!(completes, "{meanwhile}");
                assert_eq!(writes.charges[0].line.now.minor(), 2_000, "{meanwhile}");
                assert_eq!(writes.charges[0].bill.month(), None, "{meanwhile}: it has a bill of its own");
                assert_eq!(shop.held("ms.at-once").map(|row| (row.committed, row.next)), Some((4, 4)), "{meanwhile}");
                // Told again, it is the same.
                let again = shop.settle(received());
                assert!(matches!(again, Ok(Decision::Replay(told)) if told == answer), "{meanwhile}");
            }
            Decision::Release(writes, Refusal::PaymentDeclined { reason, .. }) => {
                assert!(!completes, "{meanwhile}");
                assert_eq!((reason.as_str(), writes.charges.len()), ("too_late", 0), "{meanwhile}");
            }
            other => panic!("{meanwhile}: {other:?}"),
        }
        assert!(shop.book.organizations[&id(1)].held.is_empty(), "{meanwhile}");
    }
}

/// R-44, R-19: declined, nothing was changed and the offer is free again; unknown, it waits on.
#[test]
fn what_is_declined_is_released() {
    let mut shop = waiting();
    assert!(matches!(shop.settle(Outcome::Unknown), Ok(Decision::Pending(_))));
    let declined = Outcome::Declined { reason: "card_declined".into(), url: Some("https://bank.example".into()) };
    assert!(matches!(shop.settle(declined.clone()), Ok(Decision::Release(..))));
    assert!(shop.held("ms.at-once").is_none() && shop.book.earlier.is_empty());
    // Whoever tells it later is told the same, even that it was paid after all.
    for late in [declined, received()] {
        let refused = shop.settle(late);
        let Err(Refusal::PaymentDeclined { reason, url }) = refused else { panic!("{refused:?}") };
        assert_eq!((reason.as_str(), url.as_deref()), ("card_declined", Some("https://bank.example")));
    }
    assert_eq!(shop.buy(&[("ms.at-once", 5)]).unwrap()["state"], "pending");
}
