//! Cards through Stripe's protocol, spoken by localstripe. What that lacks is in `tests/stripe.py`, in our
//! words: a test that leans on it (keys, lists by customer) shows that we keep to those.

use crate::payments::{USERS, buys, count, invoices, payments, pays_by, row, states, status};
use serde_json::{Value, json};
use std::time::Duration;
use tests::stripe::{KEY, SECRET, cards, signature};
use tests::{Actor, Answer, App, Db, Forwarder, Options, Stripe, block_on, eventually};

/// What the harness waits for, at most.
const PATIENCE: Duration = Duration::from_secs(30);
/// A day on which the first invoice, of 105.00, was issued.
const ISSUED: &str = "2018-05-01T02:00:00Z";

/// Names each test once a database, with a Stripe of its own.
macro_rules! with_stripe {
    ($($name:ident;)+) => {$(
        mod $name {
            use super::*;
            #[test]
            fn sqlite() {
                run(Db::Sqlite, async |app, stripe| super::$name(app, stripe).await);
            }
            #[test]
            fn postgres() {
                run(Db::Postgres, async |app, stripe| super::$name(app, stripe).await);
            }
        }
    )+};
}

with_stripe! {
    r_46_a_card_pays_on_the_day_of_issue;
    r_46_a_first_purchase_may_bring_its_card;
    r_47_a_declined_card_is_replaced;
    r_46_a_token_that_is_none_is_declined;
    r_46_a_payment_that_was_declined_is_authenticated;
    r_46_a_webhook_before_the_answer;
    r_46_a_webhook_is_a_hint;
    r_46_killed_between_asking_and_recording;
    r_46_what_was_paid_is_paid_back;
}

fn options(port: u16) -> Options {
    Options::at("2018-04-15T10:00:00Z")
        .env("PURSER__PAYMENTS__METHODS", "invoice,simulated,stripe")
        .env("PURSER__PAYMENTS__STRIPE__KEY", KEY)
        .env("PURSER__PAYMENTS__STRIPE__WEBHOOK_SECRET", SECRET)
        .peer("PURSER__PAYMENTS__STRIPE__URL", &format!("http://127.0.0.1:{port}"))
}

fn run(db: Db, test: impl AsyncFn(&App, &Stripe)) {
    block_on(async {
        let stripe = Stripe::start();
        let app = App::start(db, options(stripe.port())).await;
        test(&app, &stripe).await;
        app.finish().await;
    });
}

async fn calls(app: &App, body: &[u8], signature: &str) -> Answer {
    let headers = [("content-type", "application/json"), ("stripe-signature", signature)];
    app.anonymous().raw("POST".parse().expect("a method"), "/hooks/stripe", body.to_vec(), &headers).await
}

async fn reasons(sue: &Actor, payer: &str) -> Vec<Value> {
    payments(sue, payer).await.iter().map(|payment| payment["reason"].clone()).collect()
}

/// The clock comes to the day of issue while Stripe's answer does not come; goes on when Stripe has taken the money.
async fn asks_without_answer(app: &App, stripe: &Stripe, day: &str, taken: usize) -> tokio::task::JoinHandle<()> {
    stripe.hold().await;
    let ada = app.as_("ada@fabrikam.example").await;
    let body = json!({ "now": day }).to_string().into_bytes();
    let moving = tokio::spawn(async move {
        let headers = [("content-type", "application/json")];
        // Its own answer may not come either.
        let _ = ada.try_raw("POST".parse().expect("a method"), "/v1/clock", body, &headers).await;
    });
    eventually("the money taken", PATIENCE, async || (stripe.taken().await.len() == taken).then_some(())).await;
    moving
}

/// without anybody's doing, off session; the amounts are those of the invoices.
async fn r_46_a_card_pays_on_the_day_of_issue(app: &App, stripe: &Stripe) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, "pm_card_visa").await;
    app.move_clock("2018-06-01T02:00:00Z").await;
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid"), row("70.00", "0.00", "paid")]);
    let (all, intents) = (payments(&sue, &payer).await, stripe.intents().await);
    assert_eq!(stripe.taken().await, [10_500, 7_000], "{intents:?}");
    for (payment, intent) in all.iter().zip(&intents) {
        assert_eq!((&payment["provider"], &payment["state"]), (&json!("stripe"), &json!("received")), "{payment}");
        assert_eq!((&intent["id"], &intent["currency"]), (&payment["reference"], &json!("usd")), "{intent}");
        assert_eq!((&intent["metadata"]["payment"], &intent["customer"]), (&payment["id"], &intents[0]["customer"]));
    }
    assert_eq!((status(&sue, &payer).await.as_str(), all.len()), ("active", 2));
}

/// the payer and its card come with the purchase. A currency that Stripe counts otherwise is not taken.
async fn r_46_a_first_purchase_may_bring_its_card(app: &App, stripe: &Stripe) {
    let sue = app.as_("ada@fabrikam.example").await;
    let body = |country: &str, currency: &str, token: &str| {
        let payment = json!({"method": "card", "token": token});
        let payer = json!({"name": "By card", "country": country, "currency": currency, "payment": payment});
        let items = json!([{"offer": USERS, "quantity": 10}]);
        json!({"organization": "fabrikam", "items": items, "billing": {"new_subscription": payer}})
    };
    let pointer = "/billing/new_subscription/payment";
    sue.post("/v1/purchases", body("IS", "ISK", "pm_card_visa")).await.invalid(&format!("{pointer}/method"));
    sue.post("/v1/purchases", body("US", "USD", "4242424242424242")).await.invalid(&format!("{pointer}/token"));
    sue.post("/v1/purchases", body("US", "USD", "pm_card_visa")).await.status(201);
    let payer = sue.subscription("By card").await;
    assert_eq!(stripe.intents().await, [] as [Value; 0], "nothing is due yet");
    app.move_clock(ISSUED).await;
    assert_eq!(states(&sue, &payer).await, ["received"]);
    assert_eq!(stripe.taken().await.len(), 1);
}

/// declined, dunned; a replaced card settles all, and the first is asked no more.
async fn r_47_a_declined_card_is_replaced(app: &App, stripe: &Stripe) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, &stripe.card(cards::DECLINED).await).await;
    app.move_clock("2018-05-02T02:00:00Z").await;
    assert_eq!(status(&sue, &payer).await, "warned");
    assert_eq!(reasons(&sue, &payer).await, ["card_declined", "card_declined"]);
    pays_by(&sue, &payer, &stripe.card(cards::REFUSED).await).await;
    assert_eq!(reasons(&sue, &payer).await, ["card_declined", "card_declined", "card_declined"]);
    assert_eq!(stripe.taken().await, [] as [i64; 0]);
    pays_by(&sue, &payer, "pm_card_visa").await;
    assert_eq!(status(&sue, &payer).await, "active");
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid")]);
    app.move_clock("2018-05-20T02:00:00Z").await;
    assert_eq!(stripe.taken().await, [10_500]);
}

/// what can never be paid with is declined, and keeps nobody from paying otherwise.
async fn r_46_a_token_that_is_none_is_declined(app: &App, stripe: &Stripe) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, "pm_unheard").await;
    app.move_clock(ISSUED).await;
    assert_eq!(reasons(&sue, &payer).await, ["resource_missing"]);
    pays_by(&sue, &payer, "pm_card_visa").await;
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid")]);
    assert_eq!(stripe.taken().await, [10_500]);
}

/// declined until the payer authenticates it; then Stripe says so, and it came in after all.
async fn r_46_a_payment_that_was_declined_is_authenticated(app: &App, stripe: &Stripe) {
    stripe.sends_to(&format!("{}/hooks/stripe", app.url())).await;
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, &stripe.card(cards::AUTHENTICATED).await).await;
    app.move_clock(ISSUED).await;
    assert_eq!(states(&sue, &payer).await, ["declined"]);
    assert_eq!(reasons(&sue, &payer).await, ["authentication_required"]);
    stripe.authenticate(&stripe.intents().await[0]).await;
    eventually("the payment", PATIENCE, async || (states(&sue, &payer).await == ["received"]).then_some(())).await;
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid")]);
    assert_eq!(reasons(&sue, &payer).await, [Value::Null]);
    app.move_clock("2018-05-03T02:00:00Z").await;
    assert_eq!((stripe.taken().await, status(&sue, &payer).await.as_str()), (vec![10_500], "active"));
}

/// Stripe calls before it has answered; then the answer comes too. It is one payment.
async fn r_46_a_webhook_before_the_answer(app: &App, stripe: &Stripe) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, "pm_card_visa").await;
    let moving = asks_without_answer(app, stripe, ISSUED, 1).await;
    assert_eq!(states(&sue, &payer).await, ["asked"]);
    let event = stripe.events("payment_intent.succeeded").await.remove(0).to_string().into_bytes();
    calls(app, &event, &signature(&event, SECRET, 0)).await.status(204);
    assert_eq!(states(&sue, &payer).await, ["received"]);
    stripe.release().await;
    moving.await.expect("the clock's answer");
    assert_eq!(states(&sue, &payer).await, ["received"]);
    assert_eq!((stripe.taken().await, count(app, "payment.received").await), (vec![10_500], 1));
}

/// believed by its signature alone, and no more than that something came of a payment: twice, late, of nothing of
/// ours or of what is no longer so, it changes nothing.
async fn r_46_a_webhook_is_a_hint(app: &App, stripe: &Stripe) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, &stripe.card(cards::DECLINED).await).await;
    app.move_clock(ISSUED).await;
    let declined = stripe.events("payment_intent.payment_failed").await.remove(0);
    // One that says of the declined payment that it succeeded: Stripe itself is asked.
    let mut lie = declined.clone();
    (lie["type"], lie["data"]["object"]["status"]) = (json!("payment_intent.succeeded"), json!("succeeded"));
    pays_by(&sue, &payer, "pm_card_visa").await;
    assert_eq!(states(&sue, &payer).await, ["declined", "received"]);
    let received = stripe.events("payment_intent.succeeded").await.remove(0);
    let of = |metadata: Value| {
        let mut event = received.clone();
        event["data"]["object"]["metadata"] = metadata;
        event
    };
    let unheard = json!({"payment": "pay_00000000000000000000000001"});
    let (foreign, strange) = (of(json!({})), of(Value::Null));
    for event in [&received, &received, &declined, &lie, &of(unheard), &foreign, &strange, &of(json!({"payment": 1}))] {
        let body = event.to_string().into_bytes();
        calls(app, &body, &signature(&body, SECRET, 0)).await.status(204);
    }
    let body = received.to_string().into_bytes();
    let mut other = body.clone();
    other.push(b' ');
    for (body, signature) in [
        (&body, signature(&body, "whsec_another", 0)),
        (&body, signature(&body, SECRET, 301)),
        (&other, signature(&body, SECRET, 0)),
        (&body, String::new()),
        (&b"[]".to_vec(), signature(b"[]", SECRET, 0)),
    ] {
        calls(app, body, &signature).await.problem("invalid-request");
    }
    assert_eq!(states(&sue, &payer).await, ["declined", "received"]);
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid")]);
    let told = (count(app, "payment.received").await, count(app, "payment.declined").await);
    assert_eq!((stripe.taken().await, told), (vec![10_500], (1, 1)));
}

/// what was asked is recorded before it is asked, so that after a crash it is known what to ask after.
async fn r_46_killed_between_asking_and_recording(app: &App, stripe: &Stripe) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, "pm_card_visa").await;
    let moving = asks_without_answer(app, stripe, ISSUED, 1).await;
    app.kill().await;
    moving.await.expect("no answer");
    stripe.release().await;
    app.start_again().await;
    app.prints(&["renew"]);
    assert_eq!(states(&sue, &payer).await, ["received"]);
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid")]);
    assert_eq!((stripe.taken().await, stripe.intents().await.len()), (vec![10_500], 1));
}

/// Stripe is away for weeks, and later an answer is lost whose money was taken. Nobody is dunned for it, and each
/// invoice is paid once.
fn stripe_goes_away(db: Db) {
    block_on(async {
        let stripe = Stripe::start();
        let way = Forwarder::to(stripe.port()).await;
        let app = App::start(db, options(way.port())).await;
        let (sue, payer) = buys(&app).await;
        pays_by(&sue, &payer, "pm_card_visa").await;
        way.cut();
        app.move_clock("2018-05-20T02:00:00Z").await;
        app.prints(&["renew"]);
        assert_eq!((states(&sue, &payer).await, status(&sue, &payer).await.as_str()), (vec!["asked".into()], "active"));
        assert_eq!((stripe.intents().await, count(&app, "invoice.overdue").await), (vec![], 0));
        way.lead_to(stripe.port());
        app.prints(&["renew"]);
        assert_eq!((states(&sue, &payer).await, stripe.taken().await), (vec!["received".into()], vec![10_500]));

        let moving = asks_without_answer(&app, &stripe, "2018-06-01T02:00:00Z", 2).await;
        way.cut();
        moving.await.expect("the clock's answer");
        assert_eq!(states(&sue, &payer).await, ["received", "asked"]);
        stripe.release().await;
        way.lead_to(stripe.port());
        app.prints(&["renew"]);
        assert_eq!(states(&sue, &payer).await, ["received", "received"]);
        assert_eq!(stripe.taken().await, [10_500, 7_000]);
        assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid"), row("70.00", "0.00", "paid")]);
        assert_eq!(status(&sue, &payer).await, "active");
        app.finish().await;
    });
}

#[test]
fn r_46_stripe_goes_away_sqlite() {
    stripe_goes_away(Db::Sqlite);
}

#[test]
fn r_46_stripe_goes_away_postgres() {
    stripe_goes_away(Db::Postgres);
}

/// where Stripe is not set up, nobody listens to it.
#[test]
fn r_46_no_webhook_without_stripe() {
    tests::run(Db::Sqlite, Options::new(), async |app: &App| {
        calls(app, b"{}", &signature(b"{}", SECRET, 0)).await.problem("not-found");
    });
}

/// of what Stripe took a credit note pays back part, and then the rest, under the refunds' ids.
async fn r_46_what_was_paid_is_paid_back(app: &App, stripe: &Stripe) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, "pm_card_visa").await;
    app.move_clock(ISSUED).await;
    assert_eq!(stripe.taken().await, [10_500]);
    let invoice = payments(&sue, &payer).await[0]["invoice"].as_str().expect("an id").to_owned();
    let lines = sue.get(&format!("/v1/invoices/{invoice}")).await.ok()["lines"].clone();
    let part = json!([{"charge": lines[0]["charge"], "amount": {"amount": "5.00", "currency": "USD"}}]);
    let (olga, path) = (app.as_("olga@platform.example").await, format!("/v1/invoices/{invoice}/credit-notes"));
    olga.post(&path, json!({"lines": part, "reason": "x", "refund": true})).await.status(201);
    olga.post(&path, json!({"reason": "x", "refund": true})).await.status(201);
    let all = payments(&sue, &payer).await;
    let refunds = all[0]["refunds"].as_array().expect("refunds");
    let shown: Vec<_> = refunds.iter().map(|refund| (&refund["state"], &refund["amount"]["amount"])).collect();
    let paid = json!("refunded");
    assert_eq!(shown, [(&paid, &json!("5.00")), (&paid, &json!("100.00"))], "{all:?}");
    assert!(
        refunds.iter().all(|refund| refund["reference"].as_str().is_some_and(|id| id.starts_with("re_"))),
        "{all:?}"
    );
}
