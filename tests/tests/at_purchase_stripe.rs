//! Purchases that are paid when they are made, by cards through Stripe's protocol.

use crate::at_purchase::{JOBS, OFFER};
use crate::payments::{invoices, payments, pays_by, row, states};
use crate::stripe::{PATIENCE, calls, options, with_stripe};
use serde_json::{Value, json};
use tests::stripe::{SECRET, cards, signature};
use tests::{Actor, Answer, App, Billing, Db, Stripe, block_on, body_of, eventually, items_of};

with_stripe! {
    r_44_a_card_pays_at_once;
    r_44_a_card_that_is_declined;
    r_44_authenticated_after_all_the_money_is_credit;
    r_44_a_webhook_before_the_answer;
    r_44_no_answer_in_ten_seconds;
    r_44_killed_between_asking_and_recording;
}

fn run(db: Db, test: impl AsyncFn(&App, &Stripe)) {
    block_on(async {
        let stripe = Stripe::start();
        let app = App::start(db, options(stripe.port()).more_offers(OFFER)).await;
        test(&app, &stripe).await;
        app.finish().await;
    });
}

/// Tailspin's payer, by card.
async fn by_card(app: &App, token: &str) -> (Actor, String) {
    let sue = app.as_("sue@fabrikam.example").await;
    let payer = sue.subscription("Fabrikam Production").await;
    pays_by(&sue, &payer, token).await;
    (sue, payer)
}

async fn buys(sue: &Actor) -> Answer {
    let body = body_of("tailspin", items_of(&[(JOBS, 4)]), Billing::Linked);
    sue.post_keyed("/v1/purchases", &body, "k").await
}

async fn has(sue: &Actor) -> Value {
    sue.entitlement("tailspin", JOBS).await["committed"].clone()
}

/// Buys while Stripe's answer does not come; goes on when Stripe has taken the money.
async fn buys_without_answer(sue: &Actor, stripe: &Stripe) -> tokio::task::JoinHandle<Option<u16>> {
    stripe.hold().await;
    let body = body_of("tailspin", items_of(&[(JOBS, 4)]), Billing::Linked).to_string().into_bytes();
    let sue = sue.clone();
    let buying = tokio::spawn(async move {
        let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
        let answer = sue.try_raw("POST".parse().expect("a method"), "/v1/purchases", body, &headers).await;
        answer.ok().map(|answer| answer.status)
    });
    eventually("the money taken", PATIENCE, async || (stripe.taken().await == [2_000]).then_some(())).await;
    buying
}

async fn completed(sue: &Actor, payer: &str, stripe: &Stripe) {
    assert_eq!(has(sue).await, 4);
    assert_eq!(states(sue, payer).await, ["received"]);
    assert_eq!(invoices(sue, payer).await, [row("20.00", "0.00", "paid")]);
    assert_eq!((stripe.taken().await, stripe.intents().await.len()), (vec![2_000], 1));
    buys(sue).await.status(201);
}

/// also for a payer that comes with its card.
async fn r_44_a_card_pays_at_once(app: &App, stripe: &Stripe) {
    let (sue, payer) = by_card(app, "pm_card_visa").await;
    let bought = buys(&sue).await.status(201);
    assert_eq!(bought["state"], "completed", "{bought}");
    completed(&sue, &payer, stripe).await;
    let ada = app.as_("ada@fabrikam.example").await;
    let payment = json!({"method": "card", "token": "pm_card_visa"});
    let payer = json!({"name": "By card", "country": "US", "currency": "USD", "payment": payment});
    let body =
        json!({"organization": "fabrikam", "items": items_of(&[(JOBS, 2)]), "billing": {"new_subscription": payer}});
    let bought = ada.post("/v1/purchases", body).await.status(201);
    let intents = stripe.intents().await;
    assert_eq!(stripe.taken().await.len(), 2);
    assert!(intents.iter().any(|one| one["metadata"]["subscription"] == bought["subscription"]), "{intents:?}");
}

/// nothing is changed, and another card buys under the same key.
async fn r_44_a_card_that_is_declined(app: &App, stripe: &Stripe) {
    let (sue, payer) = by_card(app, &stripe.card(cards::DECLINED).await).await;
    let problem = buys(&sue).await.problem("payment-declined");
    assert_eq!(problem["reason"], "card_declined", "{problem}");
    assert_eq!((has(&sue).await, stripe.taken().await), (json!(0), vec![]));
    pays_by(&sue, &payer, "pm_card_visa").await;
    buys(&sue).await.status(201);
    assert_eq!((has(&sue).await, stripe.taken().await), (json!(4), vec![2_000]));
}

/// the purchase is released when the payer must authenticate; the money that comes in then is credit.
async fn r_44_authenticated_after_all_the_money_is_credit(app: &App, stripe: &Stripe) {
    stripe.sends_to(&format!("{}/hooks/stripe", app.url())).await;
    let (sue, payer) = by_card(app, &stripe.card(cards::AUTHENTICATED).await).await;
    let problem = buys(&sue).await.problem("payment-declined");
    assert_eq!(problem["reason"], "authentication_required", "{problem}");
    stripe.authenticate(&stripe.intents().await[0]).await;
    eventually("the payment", PATIENCE, async || (states(&sue, &payer).await == ["received"]).then_some(())).await;
    let all = payments(&sue, &payer).await;
    assert_eq!(all[0]["credit"], json!({"amount": "20.00", "currency": "USD"}), "{all:?}");
    assert_eq!(has(&sue).await, 0);
}

/// Stripe calls before it has answered; then its answer comes too.
async fn r_44_a_webhook_before_the_answer(app: &App, stripe: &Stripe) {
    let (sue, payer) = by_card(app, "pm_card_visa").await;
    let buying = buys_without_answer(&sue, stripe).await;
    buys(&sue).await.status(202);
    let event = stripe.events("payment_intent.succeeded").await.remove(0).to_string().into_bytes();
    calls(app, &event, &signature(&event, SECRET, 0)).await.status(204);
    assert_eq!(has(&sue).await, 4);
    stripe.release().await;
    assert_eq!(buying.await.expect("an answer"), Some(201));
    completed(&sue, &payer, stripe).await;
}

/// 202, and what came of it is found out.
async fn r_44_no_answer_in_ten_seconds(app: &App, stripe: &Stripe) {
    let (sue, payer) = by_card(app, "pm_card_visa").await;
    let buying = buys_without_answer(&sue, stripe).await;
    assert_eq!(buying.await.expect("an answer"), Some(202));
    stripe.release().await;
    app.move_clock("2018-04-15T10:01:00Z").await;
    completed(&sue, &payer, stripe).await;
}

/// the money was taken, and nobody recorded it.
async fn r_44_killed_between_asking_and_recording(app: &App, stripe: &Stripe) {
    let (sue, payer) = by_card(app, "pm_card_visa").await;
    let buying = buys_without_answer(&sue, stripe).await;
    app.kill().await;
    assert_eq!(buying.await.expect("no answer"), None);
    stripe.release().await;
    app.start_again().await;
    app.prints(&["renew"]);
    eventually("the purchase", PATIENCE, async || (has(&sue).await == 4).then_some(())).await;
    completed(&sue, &payer, stripe).await;
}
