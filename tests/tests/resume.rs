//! R-14: what was suspended at the month's turn resumes at once when its payer pays again, charged for what is left of the
//! month.

use serde_json::{Value, json};
use tests::{Actor, App, Billing, Database, Options, join_all, on_both, seeds};

on_both! {
    r_14_a_transfer_resumes_what_was_suspended: begin();
    r_14_it_resumes_once_whoever_comes_first: begin().seed(&two());
    r_14_who_still_cannot_pay_and_what_was_cancelled_resume_nothing: begin().seed(&two());
    r_14_a_replaced_card_resumes_at_once: begin();
}

const SUE: &str = "sue@fabrikam.example";
const OLGA: &str = "olga@platform.example";
const USERS: &str = "ms.vss-vstsuser";

fn begin() -> Options {
    Options::at("2018-04-15T10:00:00Z")
}

/// The usual company, and a second organization billed to Tailspin's payer.
fn two() -> String {
    seeds::COMPANY.to_owned()
        + r#"
[[organization]]
slug = "second"
name = "Second"
country = "US"
members = [{ user = "sue@fabrikam.example", role = "owner", access = "basic" }]
"#
}

fn quantities(has: &Value) -> [i64; 3] {
    ["committed", "next", "usable"].map(|name| has[name].as_i64().expect("a number"))
}

async fn charged(database: &Database, month: &str) -> i64 {
    let sql = format!("SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM charges WHERE month = '{month}'");
    database.number(&sql).await
}

async fn buys(app: &App) -> (Actor, String) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    let payer = sue.subscription("Fabrikam Production").await;
    (sue, payer)
}

async fn transfer(olga: &Actor, payer: &str, amount: &str, reference: &str) -> Value {
    let amount = json!({"amount": amount, "currency": "USD"});
    let body = json!({"amount": amount, "received_on": "2018-04-15", "reference": reference});
    olga.post(&format!("/v1/subscriptions/{payer}/payments"), body).await.status(201)
}

async fn allowed(app: &App) -> Value {
    let platform = app.platform().await;
    platform.get(&format!("/v1/organizations/tailspin/allowance/{USERS}")).await.ok()
}

async fn resumed(app: &App) -> usize {
    app.events().await.iter().filter(|event| event.to_string().contains("entitlements.resumed")).count()
}

/// Suspended on 1 July; the transfer is recorded on 11 July: 70.00 a month for 20 of 31 days.
async fn r_14_a_transfer_resumes_what_was_suspended(app: &App) {
    let (sue, payer) = buys(app).await;
    app.move_clock("2018-07-11T10:00:00Z").await;
    assert_eq!(quantities(&sue.entitlement("tailspin", USERS).await), [0, 10, 5], "suspended at the turn");
    let olga = app.as_(OLGA).await;
    transfer(&olga, &payer, "100.00", "T-1").await;
    assert_eq!(quantities(&sue.entitlement("tailspin", USERS).await), [0, 10, 5], "5.00 are open");
    transfer(&olga, &payer, "75.00", "T-2").await;
    let has = sue.entitlement("tailspin", USERS).await;
    assert_eq!((quantities(&has), &has["state"]), ([10, 10, 15], &json!("active")));
    assert_eq!(charged(&app.database, "2018-07-01").await, 4_516);
    assert_eq!(resumed(app).await, 1);
    // What comes is what is then issued.
    let upcoming = sue.get(&format!("/v1/subscriptions/{payer}/invoices/upcoming")).await.ok();
    let line = &upcoming["lines"][0];
    assert_eq!((&line["kind"], &line["quantity"]), (&json!("resumed"), &json!({"from": 0, "to": 10})), "{upcoming}");
    assert_eq!((&line["amount"]["amount"], &line["month"]), (&json!("45.16"), &json!("2018-07-01")), "{line}");
    app.move_clock("2018-08-01T02:00:00Z").await;
    let newest = &sue.all(&format!("/v1/subscriptions/{payer}/invoices")).await[0];
    assert_eq!((&newest["total"], &newest["issued_on"]), (&upcoming["total"], &json!("2018-08-01")));
    assert_eq!(charged(&app.database, "2018-08-01").await, 7_000, "and renewed from then on");
    app.verify();
}

async fn second(app: &App) -> (Actor, String) {
    let (sue, payer) = buys(app).await;
    sue.buys("second", USERS, 7, Billing::Existing(&payer)).await.status(201);
    app.move_clock("2018-07-11T10:00:00Z").await;
    (sue, payer)
}

/// The payment, the job, the command line and a purchase at once: each organization resumes once.
async fn r_14_it_resumes_once_whoever_comes_first(app: &App) {
    let (sue, payer) = second(app).await;
    let olga = app.as_(OLGA).await;
    let runs = (0..2).map(|_| {
        let mut renew = app.command(&["renew"]);
        async move { tokio::task::spawn_blocking(move || renew.output()).await }
    });
    let (ended, _) = tokio::join!(join_all(runs), transfer(&olga, &payer, "1000.00", "T-1"));
    for ended in ended {
        let done = ended.expect("a thread").expect("an end");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    assert!(app.prints(&["renew"]).contains("0 organizations resumed"));
    assert_eq!(quantities(&sue.entitlement("tailspin", USERS).await), [10, 10, 15]);
    assert_eq!(quantities(&sue.entitlement("second", USERS).await), [7, 7, 12]);
    // 70.00 and 46.00 for 20 of 31 days.
    assert_eq!((charged(&app.database, "2018-07-01").await, resumed(app).await), (4_516 + 2_968, 2));
    app.verify();
}

/// Nothing resumes while the payer is past due, nor what was cancelled meanwhile.
async fn r_14_who_still_cannot_pay_and_what_was_cancelled_resume_nothing(app: &App) {
    let (sue, payer) = second(app).await;
    assert!(app.prints(&["renew"]).contains("0 organizations resumed"));
    assert_eq!((charged(&app.database, "2018-07-01").await, resumed(app).await), (0, 0));
    sue.buys("tailspin", USERS, 0, Billing::Linked).await.status(201);
    let olga = app.as_(OLGA).await;
    transfer(&olga, &payer, "1000.00", "T-1").await;
    assert_eq!(quantities(&sue.entitlement("tailspin", USERS).await), [0, 0, 5]);
    assert_eq!(quantities(&sue.entitlement("second", USERS).await), [7, 7, 12]);
    assert_eq!((charged(&app.database, "2018-07-01").await, resumed(app).await), (2_968, 1));
    app.verify();
}

/// A card that settles all that is open resumes at once too, and the platform allows again.
async fn r_14_a_replaced_card_resumes_at_once(app: &App) {
    let (sue, payer) = buys(app).await;
    app.move_clock("2018-07-11T10:00:00Z").await;
    assert_eq!(allowed(app).await["usable"], 5);
    let card = json!({"method": "card", "token": "tok_ok"});
    sue.put(&format!("/v1/subscriptions/{payer}/payment"), card).await.ok();
    assert_eq!(allowed(app).await["usable"], 15);
    assert_eq!(charged(&app.database, "2018-07-01").await, 4_516);
}
