//! The ledger: revenue when a month of service is over, the trial balance of any day, and an account's entries.

use serde_json::{Value, json};
use tests::{Actor, App, Billing, Options, Visitor, on_both};

on_both! {
    r_45_a_month_that_is_over_is_revenue: Options::at("2018-04-15T10:00:00Z");
    r_45_use_is_revenue_of_the_month_that_it_was_in: Options::at("2018-04-15T10:00:00Z");
    r_45_months_that_were_missed_are_recognized_once: Options::at("2018-04-15T10:00:00Z");
    r_9a_operators_see_the_ledger_as_pages: Options::at("2018-04-15T10:00:00Z");
    r_45_entries_of_an_account_come_in_pages: Options::at("2018-04-15T10:00:00Z");
}

const USERS: &str = "ms.vss-vstsuser";
/// 80 % of it are its publisher's.
const PARTNERS: &str = "berichthaus.tfstimetracker";

async fn balance(app: &App, on: &str) -> Value {
    let olga = app.as_("olga@platform.example").await;
    let balance = olga.get(&format!("/v1/ledger/trial-balance?on={on}")).await.ok();
    for currency in balance["currencies"].as_array().expect("currencies") {
        assert_eq!(currency["debit"], currency["credit"], "{balance}");
        assert_ne!(currency["debit"]["amount"], Value::Null);
    }
    balance
}

/// What stands on an account's side of a currency; nothing for an account that is not there.
fn stands(balance: &Value, currency: &str, account: &str, side: &str) -> String {
    let all = balance["currencies"].as_array().expect("currencies");
    let of = all.iter().find(|one| one["currency"] == currency);
    let accounts = of.and_then(|one| one["accounts"].as_array()).into_iter().flatten();
    let mut named = accounts.filter(|one| one["account"] == account);
    named.next().map_or_else(String::new, |one| one[side]["amount"].as_str().expect("an amount").to_owned())
}

/// what is paid for April is deferred to its end and then revenue, what is paid for May is deferred; a day's balance stays as
/// it was, and a partner's share is never our revenue.
async fn r_45_a_month_that_is_over_is_revenue(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    // 5 × 6 + 5 × 8 for half of April.
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    let april = balance(app, "2018-04-30").await;
    assert_eq!(stands(&april, "USD", "unbilled", "debit"), "35.00", "{april}");
    assert_eq!(stands(&april, "USD", "deferred_revenue", "credit"), "35.00", "{april}");
    assert_eq!(stands(&april, "USD", "revenue", "credit"), "", "{april}");
    assert_eq!(balance(app, "2018-04-14").await["currencies"], json!([]));

    app.move_clock("2018-05-01T01:59:59Z").await;
    assert_eq!(stands(&balance(app, "2018-05-01").await, "USD", "revenue", "credit"), "");
    app.move_clock("2018-05-01T02:00:00Z").await;
    let may = balance(app, "2018-05-01").await;
    assert_eq!(stands(&may, "USD", "revenue", "credit"), "35.00", "{may}");
    assert_eq!(stands(&may, "USD", "deferred_revenue", "credit"), "70.00", "{may}");
    assert_eq!(stands(&may, "USD", "deferred_revenue", "debits"), "35.00", "{may}");
    assert_eq!(stands(&may, "USD", "unbilled", "debit"), "0.00", "{may}");
    assert_eq!(balance(app, "2018-04-30").await, april, "what a day was is not changed afterwards");

    // Cancelled, so that June brings nothing but May's revenue; a partner's sale beside it.
    sue.buys("tailspin", USERS, 0, Billing::Linked).await.status(201);
    let ada = app.as_("ada@fabrikam.example").await;
    let europe = ada.subscription("Fabrikam Europe").await;
    ada.buys("fabrikam", PARTNERS, 10, Billing::Existing(&europe)).await.status(201);
    let owed = balance(app, "2018-05-31").await;
    let owed = stands(&owed, "EUR", "publisher_payable/berichthaus", "credit");
    assert_ne!(owed, "", "the publisher has its share");
    app.move_clock("2018-06-02T00:00:00Z").await;
    let deferred = "SELECT CAST(SUM(amount) AS BIGINT) FROM transfers WHERE credit LIKE 'deferred_revenue/%' AND \
                    fact IN (SELECT id FROM charges WHERE month < '2018-06-01')";
    let revenue = "SELECT CAST(SUM(amount) AS BIGINT) FROM transfers WHERE credit LIKE 'revenue/%'";
    assert_eq!(app.database.number(revenue).await, app.database.number(deferred).await);
    let posted = app.database.number("SELECT count(*) FROM recognitions").await;
    assert_eq!(posted, 3, "one posting an offer, currency and month");
    app.move_clock("2018-06-20T00:00:00Z").await;
    assert_eq!(app.database.number("SELECT count(*) FROM recognitions").await, posted, "once");
}

/// use is charged when its month is over, and is revenue of it at once.
async fn r_45_use_is_revenue_of_the_month_that_it_was_in(app: &App) {
    let (ada, platform) = (app.as_("ada@fabrikam.example").await, app.platform().await);
    let payer = ada.subscription("Fabrikam Europe").await;
    let items = json!([{ "offer": "ms.load-testing", "metered": { "on": true } }]);
    let body = json!({ "organization": "fabrikam", "items": items, "billing": { "subscription": payer } });
    ada.post("/v1/purchases", body).await.status(201);
    let used = json!([{ "id": "u-1", "organization": "fabrikam", "offer": "ms.load-testing", "quantity": 30_000,
        "at": "2018-04-15T09:00:00Z" }]);
    platform.post("/v1/usage", used).await.ok();
    assert_eq!(balance(app, "2018-04-30").await["currencies"], json!([]), "what is used is charged at the turn");
    app.move_clock("2018-05-01T02:00:00Z").await;
    let charged =
        app.database.number("SELECT CAST(SUM(amount) AS BIGINT) FROM charges WHERE month = '2018-04-01'").await;
    assert!(charged > 0);
    let may = balance(app, "2018-05-01").await;
    assert_eq!(stands(&may, "EUR", "deferred_revenue", "credit"), "0.00", "{may}");
    assert_eq!(stands(&may, "EUR", "revenue", "credit").replace('.', ""), charged.to_string(), "{may}");
}

/// a server that was down recognizes month by month what it missed, by `purser renew`, twice or two at once.
async fn r_45_months_that_were_missed_are_recognized_once(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    app.stop().await;
    let later = chrono::DateTime::parse_from_rfc3339("2018-07-01T09:00:00Z").expect("an instant").timestamp_micros();
    app.database.sql(&format!("UPDATE settings SET value = '{later}' WHERE key = 'clock'")).await;
    let renew = || app.command(&["renew", "--until", "2018-07-01"]).spawn().expect("it starts");
    let (mut one, mut other) = (renew(), renew());
    assert!(one.wait().expect("it ends").success() && other.wait().expect("it ends").success());
    app.prints(&["renew", "--until", "2018-07-01"]);
    let months = app.database.number("SELECT count(DISTINCT month) FROM recognitions").await;
    let rows = app.database.number("SELECT count(*) FROM recognitions").await;
    assert_eq!((months, rows), (3, 3), "April, May and June, each once");
    let revenue = "SELECT CAST(SUM(amount) AS BIGINT) FROM recognitions";
    assert_eq!(app.database.number(revenue).await, 3_500 + 2 * 7_000);
    app.verify();
    app.start_again().await;
}

/// entries of one account and of all of a kind, page by page, each with what it is of.
async fn r_45_entries_of_an_account_come_in_pages(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let olga = app.as_("olga@platform.example").await;
    for quantity in [10, 11, 12] {
        sue.buys("tailspin", USERS, quantity, Billing::Linked).await.status(201);
    }
    app.move_clock("2018-05-02T00:00:00Z").await;
    let payer = sue.subscription("Fabrikam Production").await;
    let all = pages(&olga, "unbilled", 100).await;
    // Three charges, a renewal, and the invoice that takes all of it.
    assert_eq!(all.len(), 5, "{all:?}");
    assert!(all.iter().all(|entry| entry["account"] == format!("unbilled/{payer}")));
    assert!(all[..4].iter().all(|entry| entry["fact"].as_str().is_some_and(|fact| fact.starts_with("chg_"))));
    assert!(all[4]["fact"].as_str().is_some_and(|fact| fact.starts_with("inv_")), "{}", all[4]);
    assert_eq!(all, pages(&olga, "unbilled", 2).await);
    assert_eq!(all, pages(&olga, &format!("unbilled/{payer}"), 3).await);
    let revenue = pages(&olga, "revenue", 100).await;
    assert!(revenue[0]["fact"].as_str().is_some_and(|fact| fact.starts_with("rec_")), "{revenue:?}");
    assert_eq!(pages(&olga, "unbilled/sub_", 100).await.len(), 0, "an account is named in full");
    for wrong in ["account=", "account=a%20b", "account=x&after=y", "account=x&limit=0", "account=x&foo=1"] {
        let status = olga.get(&format!("/v1/ledger/entries?{wrong}")).await.status;
        assert!(status == 422 || status == 400, "{wrong}: {status}");
    }
    olga.get("/v1/ledger/trial-balance?on=2018-02-30").await.problem("invalid-request");
}

/// R-9a, R-45: the pages show what the API answers, and nobody else is shown them.
async fn r_9a_operators_see_the_ledger_as_pages(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    app.move_clock("2018-05-02T00:00:00Z").await;
    let olga = Visitor::signed_in(app, "olga@platform.example").await;
    olga.get("/services").await.says(200, "href=\"/ledger\"");
    let balance = olga.get("/ledger").await;
    balance.says(200, "35.00").says(200, "href=\"/ledger/entries?account=deferred_revenue\"");
    olga.get("/ledger?on=2018-04-30").await.says(200, "unbilled").lacks("receivable");
    olga.get("/ledger?on=2018-04-14").await.says(200, "Nothing was posted by then");
    olga.get("/ledger/entries?account=receivable&limit=1").await.says(200, "href=\"/invoices/inv_");
    olga.get("/ledger/entries?account=unbilled&limit=1").await.says(200, "Later entries");
    olga.get("/ledger/entries?account=nothing").await.says(200, "No entries here");
    let sue = Visitor::signed_in(app, "sue@fabrikam.example").await;
    sue.get("/services").await.lacks("/ledger");
    for path in ["/ledger", "/ledger/entries?account=receivable"] {
        assert_eq!(sue.get(path).await.status, 403, "{path}");
    }
}

async fn pages(olga: &Actor, account: &str, limit: i64) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = olga.get(&format!("/v1/ledger/entries?account={account}&limit={limit}{after}")).await.ok();
        all.extend(page["data"].as_array().expect("entries").iter().cloned());
        match page["next"].as_str() {
            None => return all,
            Some(next) => after = format!("&after={next}"),
        }
    }
}
