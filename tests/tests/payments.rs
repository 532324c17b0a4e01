//! Money that comes in: transfers that operators record, cards that are asked, and what becomes of who does not
//! pay.

use serde_json::{Value, json};
use tests::{Actor, App, Billing, Options, join_all, on_both};

on_both! {
    r_47_a_transfer_pays_the_oldest_invoice_first: begin();
    r_46_what_is_no_transfer_is_refused: begin();
    r_47_who_does_not_pay_is_dunned: begin();
    r_46_a_card_is_asked_on_the_day_of_issue: begin();
    r_47_a_card_that_is_declined_is_asked_again: begin();
    r_47_a_replaced_card_settles_all_that_is_open: begin();
    r_47_a_card_replaced_after_all_puts_right: begin();
    r_47_a_card_instead_of_transfers_pays_what_is_open: begin();
    r_46_money_that_was_taken_without_an_answer_is_found: begin();
    r_46_a_demand_that_was_lost_is_made_again: begin();
    r_46_a_provider_that_is_away_is_nobodys_fault: begin();
    r_46_a_transfer_beside_a_card_that_is_asked_is_not_lost: begin();
    r_43_credit_goes_to_the_next_invoice: begin();
    r_13_paying_does_not_put_right_what_an_invoice_did_not_do: begin();
}

const SUE: &str = "sue@fabrikam.example";
const OLGA: &str = "olga@platform.example";
pub(crate) const USERS: &str = "ms.vss-vstsuser";

fn begin() -> Options {
    Options::at("2018-04-15T10:00:00Z")
}

fn usd(amount: &str) -> Value {
    json!({"amount": amount, "currency": "USD"})
}

/// Ten users, 5 of them for 6 and 5 for 8 dollars a month: 35.00 on the first invoice for half of April, 70.00 for May.
pub(crate) async fn buys(app: &App) -> (Actor, String) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    let payer = sue.subscription("Fabrikam Production").await;
    (sue, payer)
}

pub(crate) async fn pays_by(sue: &Actor, payer: &str, token: &str) {
    let body = json!({"method": "card", "token": token});
    sue.put(&format!("/v1/subscriptions/{payer}/payment"), body).await.ok();
}

async fn recorded(olga: &Actor, payer: &str, amount: &str, reference: &str) -> Value {
    let body = json!({"amount": usd(amount), "received_on": "2018-04-15", "reference": reference});
    olga.post(&format!("/v1/subscriptions/{payer}/payments"), body).await.status(201)
}

/// Total, paid, open and state of each invoice, the oldest first.
pub(crate) async fn invoices(sue: &Actor, payer: &str) -> Vec<(String, String, String)> {
    let text = |value: &Value| value["amount"].as_str().expect("an amount").to_owned();
    let mut all = sue.all(&format!("/v1/subscriptions/{payer}/invoices")).await;
    all.reverse();
    all.iter().map(|i| (text(&i["paid"]), text(&i["open"]), i["state"].as_str().expect("a state").to_owned())).collect()
}

pub(crate) fn row(paid: &str, open: &str, state: &str) -> (String, String, String) {
    (paid.to_owned(), open.to_owned(), state.to_owned())
}

pub(crate) async fn payments(sue: &Actor, payer: &str) -> Vec<Value> {
    let mut all = sue.all(&format!("/v1/subscriptions/{payer}/payments")).await;
    all.reverse();
    all
}

pub(crate) async fn states(sue: &Actor, payer: &str) -> Vec<String> {
    payments(sue, payer).await.iter().map(|payment| payment["state"].as_str().expect("a state").to_owned()).collect()
}

pub(crate) async fn status(sue: &Actor, payer: &str) -> String {
    let shown = sue.get(&format!("/v1/subscriptions/{payer}")).await.ok();
    shown["status"].as_str().expect("a status").to_owned()
}

pub(crate) async fn count(app: &App, kind: &str) -> usize {
    app.events().await.iter().filter(|event| event["kind"] == *kind || event["type"] == *kind).count()
}

/// partial, then the rest and more; what is over stays as credit. Twice is once.
async fn r_47_a_transfer_pays_the_oldest_invoice_first(app: &App) {
    let (sue, payer) = buys(app).await;
    app.move_clock("2018-06-01T02:00:00Z").await;
    assert_eq!(invoices(&sue, &payer).await, [row("0.00", "105.00", "open"), row("0.00", "70.00", "open")]);
    let olga = app.as_(OLGA).await;
    let first = recorded(&olga, &payer, "100.00", "T-1").await;
    assert_eq!((&first["state"], &first["credit"]["amount"]), (&json!("received"), &json!("0.00")), "{first}");
    assert_eq!(first["allocations"][0]["amount"], usd("100.00"), "{first}");
    assert_eq!(invoices(&sue, &payer).await, [row("100.00", "5.00", "open"), row("0.00", "70.00", "open")]);
    let second = recorded(&olga, &payer, "80.00", "T-2").await;
    assert_eq!(second["allocations"].as_array().map(Vec::len), Some(2), "{second}");
    assert_eq!(second["credit"], usd("5.00"), "{second}");
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid"), row("70.00", "0.00", "paid")]);
    // The same key gives the same answer; the same transfer without one is known by its reference.
    let body = json!({"amount": usd("7.00"), "received_on": "2018-04-15", "reference": "T-3"});
    let path = format!("/v1/subscriptions/{payer}/payments");
    let one = olga.post_keyed(&path, &body, "k").await.status(201);
    let again = olga.post_keyed(&path, &body, "k").await;
    assert!(again.replayed());
    assert_eq!(again.status(201), one);
    olga.post(&path, body).await.invalid("/reference");
    assert_eq!(states(&sue, &payer).await.len(), 3);
    let many = join_all((0..8).map(|_| {
        let body = json!({"amount": usd("1.00"), "received_on": "2018-04-15", "reference": "T-4"});
        let (olga, path) = (&olga, &path);
        async move { olga.post(path, body).await.status }
    }))
    .await;
    assert_eq!(many.iter().filter(|status| **status == 201).count(), 1, "{many:?}");
    assert_eq!(states(&sue, &payer).await.len(), 4);
}

/// each field that cannot be taken is named, and nothing is written.
async fn r_46_what_is_no_transfer_is_refused(app: &App) {
    let (sue, payer) = buys(app).await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    let olga = app.as_(OLGA).await;
    let path = format!("/v1/subscriptions/{payer}/payments");
    let right = json!({"amount": usd("1.00"), "received_on": "2018-05-01", "reference": "T-1"});
    for (pointer, value, fault) in [
        ("/amount", usd("0.00"), "/amount/amount"),
        ("/amount", usd("-1.00"), "/amount/amount"),
        ("/amount", json!({"amount": "1.00", "currency": "EUR"}), "/amount/currency"),
        ("/received_on", json!("2018-05-02"), "/received_on"),
        ("/reference", json!(""), "/reference"),
        ("/reference", json!(" \t "), "/reference"),
        ("/reference", json!("a\u{7}b"), "/reference"),
        ("/reference", json!("x".repeat(141)), "/reference"),
    ] {
        let mut body = right.clone();
        *body.pointer_mut(pointer).expect("a field") = value;
        let problem = olga.post(&path, body.clone()).await.invalid(fault);
        assert!(problem["errors"][0]["detail"].is_string(), "{problem}");
    }
    for amount in ["1.001", "1e3", "92233720368547758.08", "one", ""] {
        let body = json!({"amount": usd(amount), "received_on": "2018-05-01", "reference": "T-1"});
        olga.post(&path, body).await.problem("invalid-request");
    }
    assert_eq!(payments(&sue, &payer).await, [] as [Value; 0]);
    // The most that there is, and one cent more than can be kept.
    recorded(&olga, &payer, "92233720368547758.07", "T-1").await;
    let body = json!({"amount": usd("92233720368547758.07"), "received_on": "2018-05-01", "reference": "T-2"});
    olga.post(&path, body).await.invalid("/amount/amount");
    olga.post("/v1/subscriptions/sub_00000000000000000000000000/payments", right).await.problem("not-found");
}

/// the first reminder warns, the last makes past due, 14 days later disabled; each step once and audited. Who
/// pays is active again.
async fn r_47_who_does_not_pay_is_dunned(app: &App) {
    let (sue, payer) = buys(app).await;
    // Issued on 1 May, due on 31 May.
    for (instant, expected, steps) in [
        ("2018-05-31T23:00:00Z", "active", 0),
        ("2018-06-01T01:59:59Z", "active", 0),
        ("2018-06-01T02:00:00Z", "warned", 1),
        ("2018-06-03T02:00:00Z", "warned", 2),
        ("2018-06-07T02:00:00Z", "warned", 3),
        ("2018-06-14T01:00:00Z", "warned", 3),
        ("2018-06-14T02:00:00Z", "past_due", 4),
        ("2018-06-28T01:00:00Z", "past_due", 4),
        ("2018-06-28T02:00:00Z", "disabled", 5),
    ] {
        app.move_clock(instant).await;
        assert_eq!(
            (status(&sue, &payer).await.as_str(), count(app, "invoice.overdue").await),
            (expected, steps),
            "{instant}"
        );
    }
    assert_eq!(count(app, "subscription.status_changed").await, 3);
    sue.buys("tailspin", USERS, 11, Billing::Linked).await.problem("subscription-not-eligible");
    // nothing is charged while it cannot pay.
    app.move_clock("2018-07-01T02:00:00Z").await;
    assert_eq!(invoices(&sue, &payer).await.len(), 2);
    let olga = app.as_(OLGA).await;
    recorded(&olga, &payer, "100.00", "T-1").await;
    assert_eq!(status(&sue, &payer).await, "disabled", "5.00 of the first are open");
    recorded(&olga, &payer, "5.00", "T-2").await;
    // The second, of 1 June, was due on the day before: nothing of it has come yet.
    assert_eq!(status(&sue, &payer).await, "active");
    app.move_clock("2018-07-02T02:00:00Z").await;
    assert_eq!(status(&sue, &payer).await, "warned", "now the second is due");
    recorded(&olga, &payer, "70.00", "T-3").await;
    assert_eq!(status(&sue, &payer).await, "active");
}

/// a card pays on the day of issue, without anybody's doing.
async fn r_46_a_card_is_asked_on_the_day_of_issue(app: &App) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, "tok_ok").await;
    app.move_clock("2018-06-01T02:00:00Z").await;
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid"), row("70.00", "0.00", "paid")]);
    let all = payments(&sue, &payer).await;
    assert_eq!((&all[0]["provider"], &all[0]["state"]), (&json!("simulated"), &json!("received")), "{all:?}");
    assert_eq!(all[0]["received_on"], "2018-05-01");
    assert_eq!((status(&sue, &payer).await.as_str(), all.len()), ("active", 2));
}

/// declined on the day of issue nothing happens yet; declined again on day 1 it is warned; each try once.
async fn r_47_a_card_that_is_declined_is_asked_again(app: &App) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, "tok_expired").await;
    for (instant, expected, tries) in [
        ("2018-05-01T02:00:00Z", "active", 1),
        ("2018-05-01T23:00:00Z", "active", 1),
        ("2018-05-02T02:00:00Z", "warned", 2),
        ("2018-05-04T02:00:00Z", "warned", 3),
        ("2018-05-08T02:00:00Z", "warned", 4),
        ("2018-05-15T02:00:00Z", "past_due", 5),
        ("2018-05-29T02:00:00Z", "disabled", 5),
        ("2018-06-29T02:00:00Z", "disabled", 5),
    ] {
        app.move_clock(instant).await;
        assert_eq!(
            (status(&sue, &payer).await.as_str(), payments(&sue, &payer).await.len()),
            (expected, tries),
            "{instant}"
        );
    }
    let all = payments(&sue, &payer).await;
    assert!(all.iter().all(|payment| payment["reason"] == "expired_card"), "{all:?}");
    app.prints(&["renew"]);
    assert_eq!(payments(&sue, &payer).await.len(), 5);
}

/// a replaced card settles all that is open, and the payer is active again; only its owner may replace it.
async fn r_47_a_replaced_card_settles_all_that_is_open(app: &App) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, "tok_expired").await;
    app.move_clock("2018-05-16T02:00:00Z").await;
    assert_eq!(status(&sue, &payer).await, "past_due");
    let path = format!("/v1/subscriptions/{payer}/payment");
    for refused in [json!({"method": "card", "token": "4242424242424242"}), json!({"method": "card", "token": "x"})] {
        let problem = sue.put(&path, refused).await.invalid("/payment/token");
        assert!(!problem.to_string().contains("4242"), "{problem}");
    }
    sue.put(&path, json!({"method": "card", "token": "tok_declined"})).await.problem("payment-declined");
    app.as_("bill@fabrikam.example").await.put(&path, json!({"method": "invoice"})).await.problem("permission-denied");
    assert_eq!(status(&sue, &payer).await, "past_due");
    pays_by(&sue, &payer, "tok_ok").await;
    assert_eq!(status(&sue, &payer).await, "active");
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid")]);
}

/// also of a payer that is disabled a replaced card is asked; declined, it stays as it is.
async fn r_47_a_card_replaced_after_all_puts_right(app: &App) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, "tok_expired").await;
    app.move_clock("2018-07-10T10:00:00Z").await;
    assert_eq!(status(&sue, &payer).await, "disabled");
    pays_by(&sue, &payer, "tok_authenticate").await;
    assert_eq!(status(&sue, &payer).await, "disabled");
    pays_by(&sue, &payer, "tok_ok").await;
    assert_eq!(status(&sue, &payer).await, "active");
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid")]);
}

/// who goes over to a card pays at once what is open, due or not.
async fn r_47_a_card_instead_of_transfers_pays_what_is_open(app: &App) {
    let (sue, payer) = buys(app).await;
    app.move_clock("2018-05-02T10:00:00Z").await;
    assert_eq!(invoices(&sue, &payer).await, [row("0.00", "105.00", "open")]);
    pays_by(&sue, &payer, "tok_ok").await;
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid")]);
}

/// the provider took the money and its answer was lost; it is asked what came of it, and takes it no second time.
async fn r_46_money_that_was_taken_without_an_answer_is_found(app: &App) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, "tok_timeout").await;
    app.prints(&["renew"]);
    app.move_clock("2018-05-01T02:00:00Z").await;
    assert_eq!(states(&sue, &payer).await, ["received"]);
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid")]);
    assert_eq!(app.database.number("SELECT count(*) FROM simulated_payments WHERE taken").await, 1);
}

/// the demand did not reach the provider: once that is known, it is made again under the same key.
async fn r_46_a_demand_that_was_lost_is_made_again(app: &App) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, "tok_lost").await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    assert_eq!(states(&sue, &payer).await, ["received"]);
    assert_eq!(app.database.number("SELECT count(*) FROM simulated_payments").await, 1);
}

/// while nobody knows what came of a payment, no other is asked for, and the payer is not dunned for it.
async fn r_46_a_provider_that_is_away_is_nobodys_fault(app: &App) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, "tok_away").await;
    app.move_clock("2018-06-20T02:00:00Z").await;
    assert_eq!(
        (states(&sue, &payer).await, status(&sue, &payer).await),
        (vec!["asked".to_owned()], "active".to_owned())
    );
    let _ = app.prints(&["renew"]);
    assert_eq!(states(&sue, &payer).await, ["asked"]);
}

/// what comes in twice, by transfer while a card was asked, is kept as credit.
async fn r_46_a_transfer_beside_a_card_that_is_asked_is_not_lost(app: &App) {
    let (sue, payer) = buys(app).await;
    pays_by(&sue, &payer, "tok_away").await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    recorded(&app.as_(OLGA).await, &payer, "105.00", "T-1").await;
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid")]);
    // The provider comes back, and has taken it.
    app.database.sql("UPDATE payments SET token = 'tok_ok' WHERE token = 'tok_away'").await;
    app.prints(&["renew"]);
    let all = payments(&sue, &payer).await;
    assert_eq!(
        all.iter().map(|payment| payment["state"].clone()).collect::<Vec<_>>(),
        ["received", "received"],
        "{all:?}"
    );
    let over: Vec<_> = all.iter().map(|payment| payment["credit"]["amount"].clone()).collect();
    assert!(over.contains(&json!("105.00")) && over.contains(&json!("0.00")), "{over:?}");
}

/// what is over goes to the next invoice when it is issued.
async fn r_43_credit_goes_to_the_next_invoice(app: &App) {
    let (sue, payer) = buys(app).await;
    recorded(&app.as_(OLGA).await, &payer, "120.00", "T-1").await;
    app.move_clock("2018-06-01T02:00:00Z").await;
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid"), row("15.00", "55.00", "open")]);
    assert_eq!(count(app, "credit.used").await, 2);
}

/// a payer that stands badly for another reason than an invoice stays so when it pays one.
async fn r_13_paying_does_not_put_right_what_an_invoice_did_not_do(app: &App) {
    let (sue, payer) = buys(app).await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    app.database.sql("UPDATE subscriptions SET status = 'past_due' WHERE name = 'Fabrikam Production'").await;
    recorded(&app.as_(OLGA).await, &payer, "105.00", "T-1").await;
    assert_eq!(status(&sue, &payer).await, "past_due");
}
