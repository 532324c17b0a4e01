//! The act: whole or not at all, once for its key, and what it answers (R-15 to R-19, R-26).

use serde_json::{Value, json};
use std::collections::HashSet;
use tests::{Answer, App, Billing, Options, body_of, items_of, join_all, on_both};

on_both! {
    r_15_a_subscription_lives_and_dies_with_its_purchase: Options::new();
    r_16_the_refusal_is_enough_to_go_on: Options::new();
    r_18_several_offers_whole_or_not_at_all: Options::new();
    r_18_one_offer_twice_is_refused: Options::new();
    r_19_the_same_answer_to_the_byte: Options::new();
    r_19_another_body_is_refused: Options::new();
    r_19_a_refusal_leaves_the_key_free: Options::new();
    r_19_a_key_belongs_to_its_caller_and_path: Options::new();
    r_19_two_at_once_one_acts: Options::new();
    r_19_other_posts_take_keys_too: Options::new();
    r_17_sixteen_first_purchases_make_one_link: Options::new();
    r_17_sixteen_new_payers_make_one_link_and_one_payer: Options::new();
    r_20_links_and_purchases_at_once: Options::new();
    r_26_increase_decrease_cancel: Options::new();
    r_26_from_protects_against_the_unseen: Options::new();
    listing_purchases: Options::new();
}

const ADA: &str = "ada@fabrikam.example";
const USERS: &str = "ms.vss-vstsuser";

/// Rows of a table.
async fn count(app: &App, table: &str) -> i64 {
    app.database.number(&format!("SELECT count(*) FROM {table}")).await
}

/// R-15: made with what the request says, and not at all where the purchase fails.
async fn r_15_a_subscription_lives_and_dies_with_its_purchase(app: &App) {
    let ada = app.as_(ADA).await;
    let before = count(app, "subscriptions").await;
    let new = Billing::New { name: "New one", country: "DE", currency: "EUR" };
    ada.buys("fabrikam", USERS, 100_001, new).await.problem("quantity-out-of-range");
    ada.buys_all("fabrikam", &[(USERS, 5), ("unheard.of", 1)], new).await.problem("not-found");
    // A partner's extension takes a card (R-12).
    let refused = ada.buys("fabrikam", "berichthaus.tfstimetracker", 5, new).await;
    assert_eq!(refused.problem("subscription-not-eligible")["reasons"][0]["code"], "card_required");
    let yen = Billing::New { name: "Yen", country: "JP", currency: "JPY" };
    let refused = ada.buys("fabrikam", USERS, 5, yen).await;
    assert_eq!(refused.problem("subscription-not-eligible")["reasons"][0]["code"], "currency_mismatch");
    assert_eq!(count(app, "subscriptions").await, before);
    assert_eq!(ada.get("/v1/organizations/fabrikam/billing").await.ok()["state"], "not_set_up");

    let purchase = ada.buys("fabrikam", USERS, 5, new).await.status(201);
    assert_eq!(count(app, "subscriptions").await, before + 1);
    let made = ada.get(&format!("/v1/subscriptions/{}", purchase["subscription"].as_str().expect("an id"))).await.ok();
    assert_eq!(made["kind"], "pay_as_you_go", "{made}");
    assert_eq!((&made["country"], &made["currency"]), (&json!("DE"), &json!("EUR")), "{made}");
}

/// R-16: the answer holds the picker and whether the caller may create one; a member is told whom to ask.
async fn r_16_the_refusal_is_enough_to_go_on(app: &App) {
    let adam = app.as_("adam@fabrikam.example").await;
    let problem = adam.buys("fabrikam", USERS, 5, Billing::Linked).await.problem("billing-setup-required");
    assert_eq!((&problem["subscriptions"], &problem["can_create"]), (&json!([]), &json!(true)), "{problem}");
    let ada = app.as_(ADA).await;
    let problem = ada.buys("fabrikam", USERS, 5, Billing::Linked).await.problem("billing-setup-required");
    let picker = ada.get(&format!("/v1/organizations/fabrikam/subscriptions?offer={USERS}")).await.ok();
    assert_eq!(problem["subscriptions"], picker["data"], "{problem}");
    let quote = ada.quotes("fabrikam", USERS, 5, Billing::Linked).await.ok();
    assert_eq!((&quote["billing"], &quote["allowed"]), (&json!("setup_required"), &json!(false)), "{quote}");
    assert_eq!(quote["renewal"]["net"], json!({ "amount": "30.00", "currency": "USD" }), "in platform.currency");
    let quote = json!({ "organization": "fabrikam", "items": items_of(&[(USERS, 5)]), "currency": "EUR" });
    let quote = ada.post("/v1/quotes", quote).await.ok();
    assert_eq!(quote["renewal"]["net"], json!({ "amount": "25.50", "currency": "EUR" }), "{quote}");
}

/// R-18: several offers in one purchase; one that fails takes the others with it.
async fn r_18_several_offers_whole_or_not_at_all(app: &App) {
    let ada = app.as_(ADA).await;
    let payer = ada.subscription("Fabrikam Production").await;
    let pipelines = "ms.build-release-hosted-pipelines";
    for (bad, slug) in [
        ((pipelines, 501), "quantity-out-of-range"),
        (("unheard.of", 1), "not-found"),
        (("spartez.agile-cards", 1), "subscription-not-eligible"),
    ] {
        let refused = ada.buys_all("fabrikam", &[(USERS, 5), bad], Billing::Existing(&payer)).await;
        refused.problem(slug);
        assert_eq!(ada.entitlement("fabrikam", USERS).await["next"], 0);
    }
    for table in ["purchases", "charges", "transfers", "entitlements"] {
        assert_eq!(count(app, table).await, 0, "{table}");
    }
    let all = [(USERS, 5), (pipelines, 2), ("ms.feed", 3)];
    let purchase = ada.buys_all("fabrikam", &all, Billing::Existing(&payer)).await.status(201);
    let lines = purchase["lines"].as_array().expect("lines");
    let offers: Vec<_> = lines.iter().map(|line| line["offer"].as_str().expect("an offer")).collect();
    assert_eq!(offers, all.map(|(offer, _)| offer), "in the order asked for");
    assert_eq!(purchase["renewal"]["net"], json!({ "amount": "122.00", "currency": "USD" }));
    for (offer, quantity) in all {
        assert_eq!(ada.entitlement("fabrikam", offer).await["committed"], quantity);
    }
}

async fn r_18_one_offer_twice_is_refused(app: &App) {
    let ada = app.as_(ADA).await;
    let payer = ada.subscription("Fabrikam Production").await;
    let id = ada.get(&format!("/v1/offers/{USERS}")).await.ok()["id"].as_str().expect("an id").to_owned();
    for items in [[(USERS, 5), (USERS, 5)], [(USERS, 5), (id.as_str(), 6)]] {
        ada.buys_all("fabrikam", &items, Billing::Existing(&payer)).await.problem("invalid-request");
        let quote = body_of("fabrikam", items_of(&items), Billing::Existing(&payer));
        ada.post("/v1/quotes", quote).await.problem("invalid-request");
    }
    assert_eq!(count(app, "purchases").await, 0);
}

/// R-19: kept for good, whatever has become of the rest; compared parsed, so spelling does not matter.
async fn r_19_the_same_answer_to_the_byte(app: &App) {
    let ada = app.as_(ADA).await;
    let payer = ada.subscription("Fabrikam Production").await;
    let body = body_of("fabrikam", items_of(&[(USERS, 5)]), Billing::Existing(&payer));
    let first = ada.post_keyed("/v1/purchases", &body, "once").await;
    first.status(201);
    assert!(!first.replayed());
    let again = ada.post_keyed("/v1/purchases", &body, "once").await;
    assert!(again.replayed());
    assert_eq!((again.status, &again.body), (first.status, &first.body));

    ada.buys("fabrikam", USERS, 7, Billing::Linked).await.status(201);
    let spelt = format!(
        r#" {{"items":[{{"quantity" : 5, "offer":"{USERS}"}}], "billing":{{"subscription":"{payer}"}}, "organization":"\u0066abrikam"}} "#
    );
    let headers = [("content-type", "application/json"), ("idempotency-key", "once")];
    let again = ada.raw("POST".parse().expect("POST"), "/v1/purchases", spelt.into_bytes(), &headers).await;
    assert!(again.replayed(), "{again}");
    assert_eq!(again.body, first.body);

    // No more is needed than to be who one was: no role is left, and the answer is still given.
    let sue = app.as_("sue@fabrikam.example").await;
    sue.delete(&format!("/v1/subscriptions/{payer}/roles/{ADA}")).await.ok();
    let again = ada.post_keyed("/v1/purchases", &body, "once").await;
    assert!(again.replayed(), "{again}");
    assert_eq!(again.body, first.body);
    assert_eq!(count(app, "purchases").await, 2);
    assert!(!first.text().contains("Ada") && !first.text().contains('@'), "ids of people, not names: {first}");

    app.stop().await;
    app.start_again().await;
    assert_eq!(ada.post_keyed("/v1/purchases", &body, "once").await.body, first.body);
}

async fn r_19_another_body_is_refused(app: &App) {
    let ada = app.as_(ADA).await;
    let payer = ada.subscription("Fabrikam Production").await;
    let body = |quantity| body_of("fabrikam", items_of(&[(USERS, quantity)]), Billing::Existing(&payer));
    ada.post_keyed("/v1/purchases", &body(5), "once").await.status(201);
    ada.post_keyed("/v1/purchases", &body(6), "once").await.problem("idempotency-key-reused");
    assert_eq!(ada.entitlement("fabrikam", USERS).await["next"], 5);
    ada.call("POST".parse().expect("POST"), "/v1/purchases", Some(&body(6)), None)
        .await
        .problem("idempotency-key-required");
    for bad in ["", &"x".repeat(256), "tab\there"] {
        let answer = ada.post_keyed("/v1/purchases", &body(6), bad).await;
        assert_eq!(answer.status, 400, "{answer}");
    }
    ada.post_keyed("/v1/purchases", &body(6), &"~".repeat(255)).await.status(201);
}

async fn r_19_a_refusal_leaves_the_key_free(app: &App) {
    let ada = app.as_(ADA).await;
    let payer = ada.subscription("Fabrikam Production").await;
    let body = |quantity, billing| body_of("fabrikam", items_of(&[(USERS, quantity)]), billing);
    ada.post_keyed("/v1/purchases", &body(5, Billing::Linked), "once").await.problem("billing-setup-required");
    let refused = ada.post_keyed("/v1/purchases", &body(-1, Billing::Linked), "once").await;
    assert!((400..500).contains(&refused.status), "{refused}");
    let bought = ada.post_keyed("/v1/purchases", &body(5, Billing::Existing(&payer)), "once").await;
    bought.status(201);
    assert!(!bought.replayed());
}

/// R-19: another caller's same key is another key, and so it is on another path.
async fn r_19_a_key_belongs_to_its_caller_and_path(app: &App) {
    let (sue, bill) = (app.as_("sue@fabrikam.example").await, app.as_("bill@fabrikam.example").await);
    let body = |quantity| body_of("tailspin", items_of(&[(USERS, quantity)]), Billing::Linked);
    sue.post_keyed("/v1/purchases", &body(5), "once").await.status(201);
    let other = bill.post_keyed("/v1/purchases", &body(6), "once").await;
    other.status(201);
    assert!(!other.replayed());
    let made = json!({ "name": "Mine", "country": "US", "currency": "USD", "payment": { "method": "invoice" } });
    let made = sue.post_keyed("/v1/subscriptions", &made, "once").await;
    made.status(201);
    assert!(!made.replayed());
}

async fn r_19_two_at_once_one_acts(app: &App) {
    let ada = app.as_(ADA).await;
    let payer = ada.subscription("Fabrikam Production").await;
    let body = body_of("fabrikam", items_of(&[(USERS, 5)]), Billing::Existing(&payer));
    let answers = join_all((0..16).map(|_| ada.post_keyed("/v1/purchases", &body, "once"))).await;
    let acted: Vec<&Answer> = answers.iter().filter(|answer| !answer.replayed()).collect();
    assert_eq!(acted.len(), 1, "{answers:#?}");
    for answer in &answers {
        answer.status(201);
        assert_eq!(answer.body, acted[0].body);
    }
    assert_eq!(count(app, "purchases").await, 1);
    assert_eq!(count(app, "charges").await, i64::from(is_charged(&acted[0].json())));
}

/// Whether the purchase's first line costs anything now: on the last day of a month it does not.
fn is_charged(purchase: &Value) -> bool {
    purchase["lines"][0]["now"]["amount"] != "0.00"
}

/// R-19: every other POST takes a key, and then keeps to it.
async fn r_19_other_posts_take_keys_too(app: &App) {
    let ada = app.as_(ADA).await;
    let body = json!({ "name": "Mine", "country": "US", "currency": "USD", "payment": { "method": "invoice" } });
    let before = count(app, "subscriptions").await;
    let answers = join_all((0..8).map(|_| ada.post_keyed("/v1/subscriptions", &body, "once"))).await;
    for answer in &answers {
        assert_eq!(answer.status(201), answers[0].json());
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 1);
    assert_eq!(count(app, "subscriptions").await, before + 1);
    let other = json!({ "name": "Other", "country": "US", "currency": "USD", "payment": { "method": "invoice" } });
    ada.post_keyed("/v1/subscriptions", &other, "once").await.problem("idempotency-key-reused");
}

/// R-17: whoever comes first links; the others find it linked to the payer that they name as well.
async fn r_17_sixteen_first_purchases_make_one_link(app: &App) {
    let ada = app.as_(ADA).await;
    let payer = ada.subscription("Fabrikam Production").await;
    let links = count(app, "links").await;
    let buys = (1..=16).map(|quantity| ada.buys("fabrikam", USERS, quantity, Billing::Existing(&payer)));
    let answers = join_all(buys).await;
    let bought: Vec<Value> = answers.iter().map(|answer| answer.status(201)).collect();
    assert_eq!(bought.iter().filter(|one| one["billing_set_up"] == true).count(), 1, "{bought:#?}");
    assert_eq!(count(app, "links").await, links + 1);
    assert_eq!(count(app, "purchases").await, 16);
    // Each began where another ended: one chain from nothing to what is there now.
    let from: HashSet<i64> = bought.iter().map(|one| quantity(one, "from")).collect();
    let mut ends: HashSet<i64> = bought.iter().map(|one| quantity(one, "to")).collect();
    ends.insert(0);
    let next = ada.entitlement("fabrikam", USERS).await["next"].as_i64().expect("next");
    assert!(from.contains(&0) && ends.remove(&next) && ends == from, "{bought:#?}");
}

fn quantity(purchase: &Value, side: &str) -> i64 {
    purchase["lines"][0]["quantity"][side].as_i64().expect("a quantity")
}

async fn r_17_sixteen_new_payers_make_one_link_and_one_payer(app: &App) {
    let ada = app.as_(ADA).await;
    let (links, payers) = (count(app, "links").await, count(app, "subscriptions").await);
    let new = Billing::New { name: "At once", country: "US", currency: "USD" };
    let answers = join_all((0..16).map(|_| ada.buys("fabrikam", USERS, 5, new))).await;
    let bought: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(bought.len(), 1, "{answers:#?}");
    assert_eq!(bought[0].json()["subscription_created"], true);
    let payer = bought[0].json()["subscription"].clone();
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        let named = refused.problem("billing-already-set-up")["subscription"].to_string();
        assert!(named.contains(payer.as_str().expect("an id")), "{refused}");
    }
    assert_eq!(count(app, "links").await, links + 1);
    assert_eq!(count(app, "subscriptions").await, payers + 1);
}

/// R-1, R-20: links ahead of buying and first purchases meet, by two payers: one link, and whoever wanted another payer
/// is told who pays.
async fn r_20_links_and_purchases_at_once(app: &App) {
    let ada = app.as_(ADA).await;
    let payers = [ada.subscription("Fabrikam Production").await, ada.subscription("Fabrikam Europe").await];
    let acts = (0..16).map(|number| {
        let (ada, payer) = (&ada, &payers[number / 2 % 2]);
        async move {
            let answer = match number % 2 {
                0 => ada.put("/v1/organizations/fabrikam/billing", json!({ "subscription": payer })).await,
                _ => ada.buys("fabrikam", USERS, 5, Billing::Existing(payer)).await,
            };
            (payer, answer)
        }
    });
    let answers = join_all(acts).await;
    let billing = ada.get("/v1/organizations/fabrikam/billing").await.ok().to_string();
    for (payer, answer) in answers {
        if billing.contains(payer.as_str()) {
            answer.ok();
        } else {
            let other = answer.problem("billing-already-set-up")["subscription"].to_string();
            assert!(billing.contains(other.trim_matches('"')), "{answer}");
        }
    }
    assert_eq!(app.database.number("SELECT count(*) FROM links WHERE ended_at IS NULL").await, 2, "Tailspin's and one");
}

/// R-26, R-29: the buyer states the new total.
async fn r_26_increase_decrease_cancel(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    for (total, from, committed, next, charged) in [
        (5, 0, 5, 5, true),
        (8, 5, 8, 8, true),
        (8, 8, 8, 8, false),
        (3, 8, 8, 3, false),
        (0, 3, 8, 0, false),
        (0, 0, 8, 0, false),
    ] {
        let purchase = sue.buys("tailspin", "ms.feed", total, Billing::Linked).await.status(201);
        assert_eq!(purchase["lines"][0]["quantity"], json!({ "from": from, "to": total }), "{purchase}");
        if !charged {
            assert_eq!(purchase["now"]["net"]["amount"], "0.00", "{purchase}");
        }
        let has = sue.entitlement("tailspin", "ms.feed").await;
        assert_eq!((&has["committed"], &has["next"]), (&json!(committed), &json!(next)), "{has}");
        assert_eq!((&has["included"], &has["usable"]), (&json!(5), &json!(5 + committed)), "{has}");
    }
    assert_eq!(count(app, "purchases").await, 6);
}

/// R-26: what the buyer saw no longer holds, so nothing happens and a new quote is given.
async fn r_26_from_protects_against_the_unseen(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let buy = async |from: i64, to: i64| {
        let items = json!([{ "offer": "ms.feed", "quantity": to, "from": from }]);
        sue.post("/v1/purchases", body_of("tailspin", items, Billing::Linked)).await
    };
    buy(0, 5).await.status(201);
    let problem = buy(0, 7).await.problem("quantity-changed");
    assert_eq!(problem["quote"]["lines"][0]["quantity"], json!({ "from": 5, "to": 7 }), "{problem}");
    assert_eq!(sue.entitlement("tailspin", "ms.feed").await["next"], 5);
    buy(5, 7).await.status(201);
    let answers = join_all((8..16).map(|to| buy(7, to))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1, "{answers:#?}");
}

/// Purchases are listed newest first or oldest first, but each once and in one order, and shown one by one.
async fn listing_purchases(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let mut made = Vec::new();
    for quantity in 1..=7 {
        made.push(sue.buys("tailspin", "ms.feed", quantity, Billing::Linked).await.status(201));
    }
    let path = "/v1/organizations/tailspin/purchases";
    let whole = sue.all(path).await;
    let paged = sue.all(&format!("{path}?limit=3")).await;
    assert_eq!(whole, paged);
    let ids = |all: &[Value]| all.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>();
    let (mut listed, mut expected) = (ids(&whole), ids(&made));
    assert!(expected.is_sorted(), "ids sort as they were made: {expected:?}");
    assert!(listed.is_sorted() || listed.iter().rev().is_sorted(), "{listed:?}");
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    for one in &made {
        let id = one["id"].as_str().expect("an id");
        assert_eq!(sue.get(&format!("/v1/purchases/{id}")).await.ok(), *one);
        // The payer's whole bill is not a member's to see (R-7); all else of a purchase is.
        let mut hers = app.as_("mia@fabrikam.example").await.get(&format!("/v1/purchases/{id}")).await.ok();
        hers["next_invoice"] = one["next_invoice"].clone();
        assert_eq!(hers, *one);
    }
    sue.get(&format!("{path}?limit=0")).await.problem("invalid-request");
    sue.get(&format!("{path}?limit=101")).await.problem("invalid-request");
    sue.get(&format!("{path}?after=nonsense")).await.problem("invalid-request");
    sue.get("/v1/purchases/pur_00000000000000000000000000").await.problem("not-found");
    sue.get("/v1/purchases/nonsense").await.problem("not-found");
}
