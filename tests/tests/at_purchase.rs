//! Purchases that are paid when they are made (R-44): paid, declined, unknown for a while, killed in between, and what they
//! hold meanwhile.

use crate::pages::{self, begins};
use crate::payments::{USERS, count, invoices, payments, pays_by, row, states};
use serde_json::{Value, json};
use std::time::Duration;
use tests::{Actor, Answer, App, Billing, Options, Visitor, body_of, eventually, items_of, join_all, on_both, seeds};

on_both! {
    r_44_what_is_paid_at_once_is_there_at_once: begin();
    r_44_declined_nothing_is_changed: begin();
    r_44_only_a_card_pays_at_once: begin();
    r_44_a_first_purchase_brings_its_card: begin();
    r_44_a_first_purchase_that_is_declined_leaves_nothing: begin();
    r_44_all_of_a_purchase_is_paid_at_once: begin();
    r_44_nothing_to_pay_completes_without_asking: Options::at("2018-04-30T10:00:00Z").more_offers(OFFER);
    r_44_unknown_it_waits_and_holds_its_offers: begin();
    r_44_a_first_purchase_that_waits_holds_the_billing: begin();
    r_44_a_demand_that_was_lost_is_made_again: begin();
    r_44_killed_while_it_waits: begin();
    r_44_two_at_once_pay_once: begin();
    r_44_organizations_of_one_payer_do_not_wait_for_each_other: begin();
    r_44_completed_as_it_was_decided: begin();
    r_44_paid_after_its_month_the_money_is_credit: begin();
    r_44_not_paid_within_its_month_it_is_released: begin();
    r_44_late_money_brings_its_payer: begin();
    r_44_pages_say_what_the_card_is_charged: begin();
}

const SUE: &str = "sue@fabrikam.example";
const ADA: &str = "ada@fabrikam.example";
pub(crate) const JOBS: &str = "ms.jobs-at-once";
/// 10 dollars a month each: on 15 April half of it.
pub(crate) const OFFER: &str = r#"
[[offer]]
slug = "ms.jobs-at-once"
name = "Jobs at once"
publisher = "ms"
kind = "pipelines"
unit = "job"
collection = "at_purchase"
[offer.prices.USD]
model = "per_unit"
bands = [{ unit = "10.00" }]
"#;

fn begin() -> Options {
    Options::at("2018-04-15T10:00:00Z").more_offers(OFFER)
}

fn usd(amount: &str) -> Value {
    json!({"amount": amount, "currency": "USD"})
}

/// Tailspin's payer, by card.
async fn by_card(app: &App, token: &str) -> (Actor, String) {
    let sue = app.as_(SUE).await;
    let payer = sue.subscription("Fabrikam Production").await;
    pays_by(&sue, &payer, token).await;
    (sue, payer)
}

fn body(quantity: i64) -> Value {
    body_of("tailspin", items_of(&[(JOBS, quantity)]), Billing::Linked)
}

async fn buys(sue: &Actor, quantity: i64, key: &str) -> Answer {
    sue.post_keyed("/v1/purchases", &body(quantity), key).await
}

async fn has(sue: &Actor, organization: &str) -> (i64, i64) {
    let has = sue.entitlement(organization, JOBS).await;
    (has["committed"].as_i64().expect("a number"), has["next"].as_i64().expect("a number"))
}

fn id(purchase: &Value) -> &str {
    purchase["id"].as_str().expect("an id")
}

/// One step of the clock, so that what waits is looked after.
async fn a_minute_later(app: &App) {
    app.move_clock("2018-04-15T10:01:00Z").await;
}

/// R-44, R-43: an invoice of its own, numbered and paid; the next one is for the next month alone, as the quote said.
async fn r_44_what_is_paid_at_once_is_there_at_once(app: &App) {
    let (sue, payer) = by_card(app, "tok_ok").await;
    let quote = sue.quotes("tailspin", JOBS, 4, Billing::Linked).await.ok();
    assert_eq!((&quote["collected"], &quote["now"]["total"]), (&json!("now"), &usd("20.00")), "{quote}");
    assert_eq!(quote["next_invoice"]["total"], usd("40.00"), "{quote}");
    let mut named = body(4);
    named["quote"] = quote["id"].clone();
    let bought = sue.post_keyed("/v1/purchases", &named, "k").await.status(201);
    assert_eq!((&bought["state"], &bought["subscription"]), (&json!("completed"), &json!(payer)), "{bought}");
    assert_eq!(has(&sue, "tailspin").await, (4, 4));
    let invoice = sue.get(&format!("/v1/invoices/{}", bought["invoice"].as_str().expect("an invoice"))).await.ok();
    assert_eq!((&invoice["state"], &invoice["total"]), (&json!("paid"), &usd("20.00")), "{invoice}");
    assert_eq!((&invoice["number"], &invoice["due_on"]), (&json!("P-2018-000001"), &json!("2018-04-15")), "{invoice}");
    assert_eq!(invoice["lines"][0]["purchase"], bought["id"], "{invoice}");
    assert_eq!(states(&sue, &payer).await, ["received"]);
    let upcoming = sue.get(&format!("/v1/subscriptions/{payer}/invoices/upcoming")).await.ok();
    assert_eq!(upcoming["total"], usd("40.00"), "{upcoming}");
    let again = sue.post_keyed("/v1/purchases", &named, "k").await;
    assert!(again.replayed());
    assert_eq!(again.status(201), bought);
    assert_eq!(sue.get(&format!("/v1/purchases/{}", id(&bought))).await.ok(), bought);
    // More, and less, which is never collected; then the month renews it as all else.
    buys(&sue, 6, "more").await.status(201);
    let less = buys(&sue, 5, "less").await.status(201);
    assert_eq!((&less["collected"], &less["charges"]), (&json!("on_invoice"), &json!([])), "{less}");
    app.move_clock("2018-05-01T02:00:00Z").await;
    let paid = |total: &str| row(total, "0.00", "paid");
    assert_eq!(invoices(&sue, &payer).await, [paid("20.00"), paid("10.00"), paid("50.00")]);
    let explained = app.prints(&["explain", bought["invoice"].as_str().expect("an invoice")]);
    assert!(explained.contains("P-2018-000001") && explained.contains("20.00"), "{explained}");
}

/// R-44, R-19: 402 with the reason; nothing was changed, and the key is free again.
async fn r_44_declined_nothing_is_changed(app: &App) {
    let (sue, payer) = by_card(app, "tok_expired").await;
    let problem = buys(&sue, 4, "k").await.problem("payment-declined");
    assert_eq!((&problem["status"], &problem["reason"]), (&json!(402), &json!("expired_card")), "{problem}");
    assert_eq!(has(&sue, "tailspin").await, (0, 0));
    assert_eq!(sue.all("/v1/organizations/tailspin/purchases").await, [] as [Value; 0]);
    assert_eq!(states(&sue, &payer).await, ["declined"]);
    let events = app.events().await;
    let released = events.iter().find(|event| event["kind"] == "purchase.released").expect("an event");
    let purchase = released["data"]["purchase"].as_str().expect("an id");
    let shown = sue.get(&format!("/v1/purchases/{purchase}")).await.ok();
    assert_eq!((&shown["state"], &shown["reason"]), (&json!("released"), &json!("expired_card")), "{shown}");
    pays_by(&sue, &payer, "tok_ok").await;
    let bought = buys(&sue, 3, "k").await;
    assert!(!bought.replayed());
    bought.status(201);
    assert_eq!(has(&sue, "tailspin").await, (3, 3));
    app.move_clock("2018-05-01T02:00:00Z").await;
    assert_eq!(invoices(&sue, &payer).await, [row("15.00", "0.00", "paid"), row("30.00", "0.00", "paid")]);
}

/// R-44, R-11: who pays by transfer has its remedy named.
async fn r_44_only_a_card_pays_at_once(app: &App) {
    let sue = app.as_(SUE).await;
    let problem = buys(&sue, 4, "k").await.problem("subscription-not-eligible");
    assert_eq!(problem["reasons"][0]["code"], "card_required", "{problem}");
    let actions = sue.get(&format!("/v1/organizations/tailspin/actions?offer={JOBS}")).await.ok();
    assert!(actions.to_string().contains("card_required"), "{actions}");
}

fn first(token: &str) -> Value {
    let payment = json!({"method": "card", "token": token});
    let payer = json!({"name": "By card", "country": "US", "currency": "USD", "payment": payment,
        "address": "1 Main Street"});
    json!({"organization": "fabrikam", "items": items_of(&[(JOBS, 4)]), "billing": {"new_subscription": payer}})
}

/// R-44, R-15, R-17: payer, link, quantities, invoice: all of it is there when it was paid.
async fn r_44_a_first_purchase_brings_its_card(app: &App) {
    let ada = app.as_(ADA).await;
    let bought = ada.post("/v1/purchases", first("tok_ok")).await.status(201);
    let set_up = (&bought["subscription_created"], &bought["billing_set_up"], &bought["billing"]);
    assert_eq!(set_up, (&json!(true), &json!(true), &json!("will_create")), "{bought}");
    let payer = ada.subscription("By card").await;
    assert_eq!(bought["subscription"], json!(payer));
    assert_eq!(has(&ada, "fabrikam").await, (4, 4));
    assert_eq!(invoices(&ada, &payer).await, [row("20.00", "0.00", "paid")]);
    let invoice = ada.get(&format!("/v1/invoices/{}", bought["invoice"].as_str().expect("an invoice"))).await.ok();
    assert_eq!(invoice["payer"]["address"], "1 Main Street", "{invoice}");
}

/// R-44, R-15: no payer, no link, no purchase.
async fn r_44_a_first_purchase_that_is_declined_leaves_nothing(app: &App) {
    let ada = app.as_(ADA).await;
    let before = ada.all("/v1/subscriptions?limit=100").await;
    for token in ["tok_expired", "tok_authenticate"] {
        ada.post_keyed("/v1/purchases", &first(token), "k").await.problem("payment-declined");
    }
    assert_eq!(ada.all("/v1/subscriptions?limit=100").await, before);
    assert_eq!(ada.get("/v1/organizations/fabrikam/billing").await.ok()["state"], "not_set_up");
    assert_eq!(has(&ada, "fabrikam").await, (0, 0));
    for (table, left) in [("purchases", 0), ("held_offers", 0), ("charges", 0), ("payments", 2)] {
        assert_eq!(app.database.number(&format!("SELECT count(*) FROM {table}")).await, left, "{table}");
    }
    ada.post_keyed("/v1/purchases", &first("tok_ok"), "k").await.status(201);
}

/// R-44, R-18: what is bought together is paid together.
async fn r_44_all_of_a_purchase_is_paid_at_once(app: &App) {
    let (sue, payer) = by_card(app, "tok_ok").await;
    let bought = sue.buys_all("tailspin", &[(USERS, 10), (JOBS, 4)], Billing::Linked).await.status(201);
    assert_eq!((&bought["collected"], &bought["now"]["total"]), (&json!("now"), &usd("55.00")), "{bought}");
    assert_eq!(bought["charges"].as_array().map(Vec::len), Some(2), "{bought}");
    assert_eq!(invoices(&sue, &payer).await, [row("55.00", "0.00", "paid")]);
    // Lowered, the offer that is paid at once asks for nothing, and the other goes to the next invoice.
    let other = sue.buys_all("tailspin", &[(USERS, 11), (JOBS, 1)], Billing::Linked).await.status(201);
    assert_eq!(other["collected"], "on_invoice", "{other}");
    assert_eq!(states(&sue, &payer).await.len(), 1);
}

/// R-44: on the last day of a month nothing is left of it to pay.
async fn r_44_nothing_to_pay_completes_without_asking(app: &App) {
    let (sue, payer) = by_card(app, "tok_away").await;
    let bought = buys(&sue, 4, "k").await.status(201);
    assert_eq!((&bought["collected"], &bought["now"]["total"]), (&json!("on_invoice"), &usd("0.00")), "{bought}");
    assert_eq!(has(&sue, "tailspin").await, (4, 4));
    assert_eq!(payments(&sue, &payer).await, [] as [Value; 0]);
}

/// R-44: 202, the same key tells how it stands, others are told which purchase they wait for, all else goes on.
async fn r_44_unknown_it_waits_and_holds_its_offers(app: &App) {
    let (sue, payer) = by_card(app, "tok_timeout").await;
    let pending = buys(&sue, 4, "k").await;
    assert!(!pending.replayed());
    let pending = pending.status(202);
    assert_eq!((&pending["state"], &pending["charges"]), (&json!("pending"), &json!([])), "{pending}");
    let again = buys(&sue, 4, "k").await;
    assert!(again.replayed());
    assert_eq!(again.status(202), pending);
    buys(&sue, 5, "k").await.problem("idempotency-key-reused");
    assert_eq!(has(&sue, "tailspin").await, (0, 0));
    let problem = buys(&sue, 6, "other").await.problem("purchase-in-progress");
    assert_eq!(problem["purchase"], pending["id"], "{problem}");
    let quote = sue.quotes("tailspin", JOBS, 6, Billing::Linked).await.ok();
    let reason = &quote["reasons"][0]["code"];
    assert_eq!((&quote["allowed"], reason), (&json!(false), &json!("purchase_in_progress")), "{quote}");
    sue.buys("tailspin", USERS, 1, Billing::Linked).await.status(201);
    assert_eq!(sue.get(&format!("/v1/purchases/{}", id(&pending))).await.ok(), pending);
    app.verify();
    a_minute_later(app).await;
    let bought = buys(&sue, 4, "k").await;
    assert!(bought.replayed());
    let bought = bought.status(201);
    assert_eq!((&bought["id"], &bought["state"]), (&pending["id"], &json!("completed")), "{bought}");
    assert_eq!(has(&sue, "tailspin").await, (4, 4));
    assert_eq!(states(&sue, &payer).await, ["received"]);
    buys(&sue, 6, "other").await.status(202);
    assert_eq!(count(app, "purchase.pending").await, 2);
}

/// R-44: nobody else sets up billing, or installs what is held, while a first purchase waits.
async fn r_44_a_first_purchase_that_waits_holds_the_billing(app: &App) {
    let ada = app.as_(ADA).await;
    let pending = ada.post_keyed("/v1/purchases", &first("tok_away"), "k").await.status(202);
    assert_eq!(pending["subscription"], Value::Null, "{pending}");
    let payer = ada.subscription("Fabrikam Europe").await;
    let held = ada.buys("fabrikam", USERS, 1, Billing::Existing(&payer)).await.problem("purchase-in-progress");
    assert_eq!(held["purchase"], pending["id"], "{held}");
    let linking = json!({ "subscription": payer });
    ada.put("/v1/organizations/fabrikam/billing", linking).await.problem("purchase-in-progress");
    assert_eq!(ada.get("/v1/organizations/fabrikam/billing").await.ok()["state"], "not_set_up");
}

/// R-44, R-46: the provider never heard of it, so it is asked again under the same key.
async fn r_44_a_demand_that_was_lost_is_made_again(app: &App) {
    let (sue, payer) = by_card(app, "tok_lost").await;
    buys(&sue, 4, "k").await.status(202);
    a_minute_later(app).await;
    buys(&sue, 4, "k").await.status(201);
    assert_eq!(states(&sue, &payer).await, ["received"]);
    assert_eq!(app.database.number("SELECT count(*) FROM simulated_payments").await, 1);
}

/// R-44, R-46: what was left by a kill, with the money taken or not, is settled when the server is there again.
async fn r_44_killed_while_it_waits(app: &App) {
    for (quantity, token) in [(4, "tok_timeout"), (8, "tok_lost")] {
        let (sue, _) = by_card(app, token).await;
        let key = format!("k{quantity}");
        buys(&sue, quantity, &key).await.status(202);
        app.kill().await;
        app.verify();
        app.start_again().await;
        eventually("the purchase", Duration::from_secs(60), async || {
            (buys(&sue, quantity, &key).await.status == 201).then_some(())
        })
        .await;
        assert_eq!(has(&sue, "tailspin").await, (quantity, quantity));
    }
    assert_eq!(app.database.number("SELECT count(*) FROM simulated_payments WHERE taken").await, 2);
}

/// R-44, R-19: one of two with the same numbers seen buys, whatever their keys.
async fn r_44_two_at_once_pay_once(app: &App) {
    let (sue, payer) = by_card(app, "tok_ok").await;
    let mut body = body(4);
    body["items"][0]["from"] = json!(0);
    let many = join_all((0..12).map(|n| {
        let (sue, body) = (&sue, &body);
        async move { sue.post_keyed("/v1/purchases", body, &format!("k{}", n % 6)).await }
    }))
    .await;
    for answer in &many {
        let known = [201, 202].contains(&answer.status)
            || ["purchase-in-progress", "quantity-changed"].iter().any(|slug| answer.text().contains(slug));
        assert!(known, "{answer}");
    }
    assert!(many.iter().any(|answer| answer.status == 201), "{many:?}");
    assert_eq!(states(&sue, &payer).await, ["received"]);
    assert_eq!(has(&sue, "tailspin").await, (4, 4));
}

/// R-44: a payment of one purchase that nobody knows of keeps no other from being paid, nor what is owed.
async fn r_44_organizations_of_one_payer_do_not_wait_for_each_other(app: &App) {
    let (sue, payer) = by_card(app, "tok_away").await;
    buys(&sue, 4, "k").await.status(202);
    pays_by(&sue, &payer, "tok_ok").await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    let other = Billing::Existing(&payer);
    app.as_(ADA).await.buys("fabrikam", JOBS, 2, other).await.status(201);
    app.move_clock("2018-05-01T02:00:00Z").await;
    assert_eq!(states(&sue, &payer).await, ["asked", "received", "received"]);
    assert_eq!(invoices(&sue, &payer).await, [row("10.00", "0.00", "paid"), row("125.00", "0.00", "paid")]);
}

/// R-44: prices, rights and the payer's status may change while it waits; it is what was decided.
async fn r_44_completed_as_it_was_decided(app: &App) {
    let (sue, payer) = by_card(app, "tok_away").await;
    buys(&sue, 4, "k").await.status(202);
    let dear = format!("{}{}", seeds::catalog(), OFFER.replace("10.00", "99.00"));
    app.prints(&["catalog", "apply", &app.file("dear.toml", &dear)]);
    app.database.sql("UPDATE subscriptions SET status = 'disabled' WHERE name = 'Fabrikam Production'").await;
    app.database.sql("UPDATE payments SET token = 'tok_ok' WHERE state = 'asked'").await;
    a_minute_later(app).await;
    assert_eq!(has(&sue, "tailspin").await, (4, 4));
    assert_eq!(invoices(&sue, &payer).await, [row("20.00", "0.00", "paid")]);
}

/// R-44: the money came, but the month that it was for is over: the purchase is released, and the money is credit.
async fn r_44_paid_after_its_month_the_money_is_credit(app: &App) {
    let (sue, payer) = by_card(app, "tok_away").await;
    buys(&sue, 4, "k").await.status(202);
    app.move_clock("2018-05-02T10:00:00Z").await;
    buys(&sue, 4, "k").await.status(202);
    taken(app).await;
    app.move_clock("2018-05-02T10:01:00Z").await;
    assert_eq!(has(&sue, "tailspin").await, (0, 0));
    let all = payments(&sue, &payer).await;
    assert_eq!((&all[0]["state"], &all[0]["credit"]), (&json!("received"), &usd("20.00")), "{all:?}");
    assert_eq!(app.database.number("SELECT count(*) FROM held_offers").await, 0);
    pays_by(&sue, &payer, "tok_ok").await;
    buys(&sue, 4, "k").await.status(201);
}

/// The provider took the money that it was asked for, and answers again.
async fn taken(app: &App) {
    let simulated = "INSERT INTO simulated_payments (payment_id, amount, currency, taken, reason) \
         SELECT id, amount, currency, (1 = 1), '' FROM payments WHERE state = 'asked'";
    app.database.sql(simulated).await;
    app.database.sql("UPDATE payments SET token = 'tok_ok' WHERE state = 'asked'").await;
}

/// R-44: the provider never heard of it, and the month is over: nobody pays for what cannot be any more.
async fn r_44_not_paid_within_its_month_it_is_released(app: &App) {
    let (sue, payer) = by_card(app, "tok_away").await;
    buys(&sue, 4, "k").await.status(202);
    app.move_clock("2018-05-02T10:00:00Z").await;
    app.database.sql("UPDATE payments SET token = 'tok_ok' WHERE state = 'asked'").await;
    app.move_clock("2018-05-02T10:01:00Z").await;
    assert_eq!(states(&sue, &payer).await, ["declined"]);
    assert_eq!(app.database.number("SELECT count(*) FROM simulated_payments").await, 0);
    assert_eq!(has(&sue, "tailspin").await, (0, 0));
}

/// R-44: money of a released first purchase brings the payer into being that it would have created, with it as credit.
async fn r_44_late_money_brings_its_payer(app: &App) {
    let ada = app.as_(ADA).await;
    ada.post_keyed("/v1/purchases", &first("tok_away"), "k").await.status(202);
    app.move_clock("2018-05-02T10:00:00Z").await;
    taken(app).await;
    app.move_clock("2018-05-02T10:01:00Z").await;
    assert_eq!(ada.get("/v1/organizations/fabrikam/billing").await.ok()["state"], "not_set_up");
    let payer = ada.subscription("By card").await;
    let all = payments(&ada, &payer).await;
    assert_eq!((&all[0]["state"], &all[0]["credit"]), (&json!("received"), &usd("20.00")), "{all:?}");
}

/// R-44: the review says so beforehand, a refusal says what to do, what waits is shown as it stands, and the receipt has the
/// invoice; all without a script.
async fn r_44_pages_say_what_the_card_is_charged(app: &App) {
    let (sue, payer) = by_card(app, "tok_expired").await;
    let visitor = Visitor::signed_in(app, SUE).await;
    let checkout = begins(&visitor, JOBS, "tailspin", "4").await;
    visitor.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "4"), ("go", "on")]).await.leads_to();
    visitor.get(&checkout).await.says(200, "The card is charged $20.00 now.").lacks("for the rest of April");
    let declined = pages::buys(&visitor, &checkout).await;
    declined.says(402, "expired card").says(402, "another card").says(402, "Review");
    pays_by(&sue, &payer, "tok_timeout").await;
    assert_eq!(pages::buys(&visitor, &checkout).await.leads_to(), checkout);
    let waiting = visitor.get(&checkout).await;
    waiting.says(200, "not known yet").says(200, "Waiting for the payment").lacks("has what was");
    a_minute_later(app).await;
    visitor.get(&checkout).await.says(200, "Bought").says(200, "/invoices/inv_").says(200, "$20.00 was paid by card");
    let events = app.events().await;
    let released = events.iter().find(|event| event["kind"] == "purchase.released").expect("an event");
    let purchase = released["data"]["purchase"].as_str().expect("an id");
    visitor.get(&format!("/purchases/{purchase}")).await.says(200, "Not bought").says(200, "expired card");
    visitor.get(&format!("/subscriptions/{payer}/invoices")).await.says(200, "P-2018-000001");
}
