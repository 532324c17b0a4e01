//! R-33: the latest purchase of its offers is undone, whole and by entries; what keeps it from that; and what stays charged.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Actor, App, Billing, Options, Visitor, join_all, on_both};

on_both! {
    r_33_a_first_purchase_goes_back_whole: begin().config(RATES);
    r_33_steps_go_back_one_by_one: begin();
    r_33_what_was_lowered_or_switched_goes_back: begin();
    r_33_what_was_used_is_paid: begin();
    r_33_each_refusal_says_why: begin();
    r_33_not_across_the_months_turn: Options::at("2018-04-30T23:59:59.999998Z");
    r_33_the_hours_are_configured: begin().config("[purchases]\nundo_hours = 1\n");
    r_13_undo_works_in_every_status: begin();
    r_19_twice_is_once: begin();
    r_33_two_at_once_are_one: Options::new();
    r_33_undo_and_purchase_at_once: Options::new();
    r_33_what_nets_to_nothing_has_no_invoice: begin();
    r_51_a_partners_share_goes_back: begin();
    r_17_killed_amid_it: Options::new();
    r_33_undo_on_pages: begin();
}

const USERS: &str = "ms.vss-vstsuser";
const HOSTED: &str = "ms.build-release-hosted-pipelines";
const LOAD: &str = "ms.load-testing";
const SUE: &str = "sue@fabrikam.example";
const RATES: &str = r#"
[[tax.rates]]
country = "DE"
percent = "19"
from = "2018-01-01"
"#;

pub fn begin() -> Options {
    Options::at("2018-04-15T10:00:00Z")
}

/// Undoes a purchase.
pub async fn undo(actor: &Actor, purchase: &Value) -> tests::Answer {
    actor.post(&path(purchase), json!({})).await
}

fn path(purchase: &Value) -> String {
    format!("/v1/purchases/{}/undo", purchase["id"].as_str().expect("an id"))
}

fn euros(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

async fn quantities(actor: &Actor, organization: &str, offer: &str) -> Value {
    let has = actor.entitlement(organization, offer).await;
    json!([has["committed"], has["next"], has["usable"]])
}

async fn upcoming(actor: &Actor, payer: &str) -> Value {
    actor.get(&format!("/v1/subscriptions/{payer}/invoices/upcoming")).await.ok()
}

fn lines(bill: &Value) -> Vec<Value> {
    let lines = bill["lines"].as_array().expect("lines").iter();
    lines.map(|line| json!([line["offer"], line["kind"], line["quantity"], line["amount"]["amount"]])).collect()
}

async fn switch(actor: &Actor, on: bool, cap: Option<i64>) -> Value {
    let items = json!([{ "offer": LOAD, "metered": { "on": on, "cap": cap } }]);
    actor.post("/v1/purchases", json!({ "organization": "tailspin", "items": items })).await.status(201)
}

/// R-33, R-25, R-28: quantities, link, charges and the running sum go back; a day of what has no seats stays charged; the
/// subscription stays; buying again costs what it did.
async fn r_33_a_first_purchase_goes_back_whole(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let new = Billing::New { name: "Ours", country: "DE", currency: "EUR" };
    let items = [(USERS, 10), (HOSTED, 3)];
    let quote = ada.quotes_all("fabrikam", &items, new).await.ok();
    // 3 × 33.73 / 30 = 3.373
    let told = json!(["2018-04-16T10:00:00.000000Z", euros("3.37")]);
    let until = |view: &Value| json!([view["undo_until"], view["undo_keeps"]]);
    let same =
        |view: &Value| until(view).to_string().replace(".000000Z", "Z") == told.to_string().replace(".000000Z", "Z");
    assert!(same(&quote), "{quote}");
    let bought = ada.buys_all("fabrikam", &items, new).await.status(201);
    assert!(same(&bought), "{bought}");
    assert_eq!(bought["now"]["net"], euros("80.35"), "29.75 + 50.60");
    let payer = bought["subscription"].as_str().expect("a payer").to_owned();

    let undone = undo(&ada, &bought).await.status(200);
    assert_eq!(undone["state"], "undone");
    let after = &undone["undone"];
    assert_eq!(json!([after["kept"], after["billing_removed"]]), json!([euros("3.37"), true]), "{undone}");
    let id = bought["id"].as_str().expect("an id");
    assert_eq!(ada.get(&format!("/v1/purchases/{id}")).await.ok(), undone);
    assert_eq!(ada.all("/v1/organizations/fabrikam/purchases").await, std::slice::from_ref(&undone));
    for (offer, usable) in [(USERS, 5), (HOSTED, 1)] {
        assert_eq!(quantities(&ada, "fabrikam", offer).await, json!([0, 0, usable]), "{offer}");
    }
    assert_eq!(ada.get("/v1/organizations/fabrikam/billing").await.ok()["state"], "not_set_up");
    let bill = upcoming(&ada, &payer).await;
    let up_and_down = |offer: &str, to: i64, charged: &str, back: &str| {
        [
            json!([offer, "purchase", { "from": 0, "to": to }, charged]),
            json!([offer, "undo", { "from": to, "to": 0 }, back]),
        ]
    };
    let expected = [up_and_down(HOSTED, 3, "50.60", "-47.23"), up_and_down(USERS, 10, "29.75", "-29.75")].concat();
    assert_eq!(lines(&bill), expected, "{bill}");
    // 3.37 × 19 %
    assert_eq!(json!([bill["net"], bill["tax"]]), json!([euros("3.37"), euros("0.64")]));
    let taxes = bill["lines"].as_array().expect("lines").iter().map(|line| line["tax"]["amount"].clone());
    assert_eq!(taxes.collect::<Vec<_>>()[2..], ["5.64", "-5.64"], "the mirror, {bill}");
    let back = after["charges"][0].as_str().expect("a charge");
    let explained = app.prints(&["explain", back]);
    for words in ["takes back", "-29.75"] {
        assert!(explained.contains(words), "{words}: {explained}");
    }
    assert!(app.prints(&["explain", after["charges"][1].as_str().expect("a charge")]).contains("× 1/30"));

    let again = ada.buys_all("fabrikam", &items, Billing::Existing(&payer)).await.status(201);
    assert_eq!(again["now"]["net"], euros("80.35"));
    assert_eq!(again["next_invoice"]["net"], upcoming(&ada, &payer).await["net"], "{again}");
    app.move_clock("2018-05-02T03:00:00Z").await;
    let invoices = ada.all(&format!("/v1/subscriptions/{payer}/invoices")).await;
    // 3.37 + 80.35 + a full month of both
    assert_eq!(invoices[0]["net"], euros("244.41"), "{invoices:?}");
    let number = invoices[0]["id"].as_str().expect("an id");
    let whole = ada.get(&format!("/v1/invoices/{number}")).await.ok();
    assert_eq!(lines(&whole).iter().filter(|line| line[1] == "undo").count(), 2, "{whole}");
    for (kind, words) in [("text/csv", "-29.75"), ("application/pdf", "%PDF")] {
        let file = ada.raw(Method::GET, &format!("/v1/invoices/{number}"), Vec::new(), &[("accept", kind)]).await;
        assert!(String::from_utf8_lossy(&file.body).contains(words), "{kind}");
    }
}

/// R-33, R-28: the latest first; the month's sum goes back with each, so that many small steps still cost what one costs.
async fn r_33_steps_go_back_one_by_one(app: &App) {
    let sue = app.as_(SUE).await;
    let mut bought = Vec::new();
    for total in [1, 2, 3, 7] {
        bought.push(sue.buys("tailspin", "ms.feed", total, Billing::Linked).await.status(201));
    }
    let first = undo(&sue, &bought[1]).await.problem("cannot-be-undone");
    assert_eq!(json!([first["reason"], first["purchase"]]), json!(["later_purchase", bought[3]["id"]]));
    for (purchase, left) in bought.iter().zip([0, 1, 2, 3]).rev() {
        undo(&sue, purchase).await.status(200);
        assert_eq!(
            quantities(&sue, "tailspin", "ms.feed").await,
            json!([left, left, if left > 0 { 5 + left } else { 0 }])
        );
    }
    let payer = sue.subscription("Fabrikam Production").await;
    assert_eq!(upcoming(&sue, &payer).await["net"]["amount"], "0.00");
    let one = sue.buys("tailspin", "ms.feed", 7, Billing::Linked).await.status(201);
    let sum: f64 = bought.iter().map(|one| one["now"]["net"]["amount"].as_str().unwrap().parse::<f64>().unwrap()).sum();
    assert_eq!(one["now"]["net"]["amount"], format!("{sum:.2}"));
    assert_eq!(
        sue.get("/v1/organizations/tailspin/billing").await.ok()["state"],
        "linked",
        "none of them made the link"
    );
}

/// R-33, R-29, R-40: a decrease is withdrawn, and switches are as they were.
async fn r_33_what_was_lowered_or_switched_goes_back(app: &App) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    let lowered = sue.buys("tailspin", USERS, 4, Billing::Linked).await.status(201);
    assert_eq!(quantities(&sue, "tailspin", USERS).await, json!([10, 4, 15]));
    assert_eq!(undo(&sue, &lowered).await.status(200)["undone"]["charges"], json!([]));
    assert_eq!(quantities(&sue, "tailspin", USERS).await, json!([10, 10, 15]));
    let [on, capped, off] =
        [switch(&sue, true, None).await, switch(&sue, true, Some(30_000)).await, switch(&sue, false, None).await];
    let meter = async || sue.entitlement("tailspin", LOAD).await["metered"].clone();
    for (purchase, expected) in [
        (off, json!({ "on": true, "cap": 30_000, "used": 0 })),
        (capped, json!({ "on": true, "cap": null, "used": 0 })),
        (on, json!({ "on": false, "cap": null, "used": 0 })),
    ] {
        undo(&sue, &purchase).await.status(200);
        assert_eq!(meter().await, expected);
    }
    // One that changed nothing is undone as well.
    let same = sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    assert_eq!(undo(&sue, &same).await.status(200)["state"], "undone");
    assert_eq!(quantities(&sue, "tailspin", USERS).await, json!([10, 10, 15]));
}

/// R-33: what was used of what is new by it blocks; what was used before does not.
async fn r_33_what_was_used_is_paid(app: &App) {
    let (sue, platform) = (app.as_(SUE).await, app.platform().await);
    let used = async |id: &str, quantity: i64| {
        let event = json!({ "id": id, "organization": "tailspin", "offer": LOAD, "quantity": quantity, "at": "2018-04-15T09:00:00Z" });
        platform.post("/v1/usage", json!([event])).await.ok();
    };
    let on = switch(&sue, true, Some(25_000)).await;
    used("u-1", 10).await;
    assert_eq!(undo(&sue, &on).await.problem("cannot-be-undone")["reason"], "used");
    let raised = switch(&sue, true, Some(30_000)).await;
    used("u-2", 24_000).await;
    undo(&sue, &raised).await.status(200);
    let raised = switch(&sue, true, Some(30_000)).await;
    used("u-3", 2_000).await;
    assert_eq!(undo(&sue, &raised).await.problem("cannot-be-undone")["reason"], "used");
    let off = switch(&sue, false, None).await;
    undo(&sue, &off).await.status(200);
    assert_eq!(sue.entitlement("tailspin", LOAD).await["metered"]["used"], 26_010);
}

/// R-33, R-9: too late, a stranger's, without the right, of another kind of caller, and no purchase at all.
async fn r_33_each_refusal_says_why(app: &App) {
    let sue = app.as_(SUE).await;
    let bought = sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    undo(&app.as_("owen@contoso.example").await, &bought).await.problem("not-found");
    let rita = undo(&app.as_("rita@fabrikam.example").await, &bought).await.problem("permission-denied");
    assert_eq!(rita["missing"], "subscription.use");
    assert!(!rita["ask"].as_array().expect("whom to ask").is_empty(), "{rita}");
    undo(&app.as_("otto@fabrikam.example").await, &bought).await.problem("permission-denied");
    undo(&app.platform().await, &bought).await.problem("permission-denied");
    undo(&app.anonymous(), &bought).await.problem("unauthenticated");
    for id in ["pur_00000000000000000000000000", "x", "org_00000000000000000000000000"] {
        undo(&sue, &json!({ "id": id })).await.problem("not-found");
    }
    // Its organization is called otherwise by now.
    app.platform().await.put("/v1/organizations/tailspin", json!({ "name": "Renamed", "country": "DE" })).await.ok();
    app.move_clock("2018-04-16T09:59:59.999999Z").await;
    let later = sue.buys("tailspin", USERS, 11, Billing::Linked).await.status(201);
    undo(&sue, &later).await.status(200);
    app.move_clock("2018-04-16T10:00:00Z").await;
    assert_eq!(undo(&sue, &bought).await.problem("cannot-be-undone")["reason"], "too_late");
}

/// R-33, R-30: in the month's last microsecond it can, in the next it cannot; days_after charges nothing on the last day,
/// and so nothing goes back.
async fn r_33_not_across_the_months_turn(app: &App) {
    let sue = app.as_(SUE).await;
    let bought = sue.buys_all("tailspin", &[(USERS, 10), (HOSTED, 2)], Billing::Linked).await.status(201);
    let kept = sue.buys("tailspin", "ms.feed", 3, Billing::Linked).await.status(201);
    assert!(bought["undo_until"].as_str().expect("an instant").starts_with("2018-05-01T00:00:00"), "{bought}");
    app.move_clock("2018-04-30T23:59:59.999999Z").await;
    let undone = undo(&sue, &bought).await.status(200);
    assert_eq!(json!([undone["undone"]["charges"], undone["undone"]["kept"]["amount"]]), json!([[], "0.00"]));
    app.move_clock("2018-05-01T00:00:00Z").await;
    assert_eq!(undo(&sue, &kept).await.problem("cannot-be-undone")["reason"], "too_late");
    assert_eq!(quantities(&sue, "tailspin", "ms.feed").await, json!([3, 3, 8]));
    assert_eq!(quantities(&sue, "tailspin", USERS).await, json!([0, 0, 5]));
}

/// R-33: within so many hours.
async fn r_33_the_hours_are_configured(app: &App) {
    let sue = app.as_(SUE).await;
    let bought = sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    assert!(bought["undo_until"].as_str().expect("an instant").starts_with("2018-04-15T11:00:00"), "{bought}");
    app.move_clock("2018-04-15T11:00:00Z").await;
    assert_eq!(undo(&sue, &bought).await.problem("cannot-be-undone")["reason"], "too_late");
}

/// R-13, R-33: whatever the payer's status.
async fn r_13_undo_works_in_every_status(app: &App) {
    let sue = app.as_(SUE).await;
    for status in ["warned", "past_due", "disabled"] {
        let bought = sue.buys_all("tailspin", &[(USERS, 10), (HOSTED, 2)], Billing::Linked).await.status(201);
        set_status(app, status).await;
        undo(&sue, &bought).await.status(200);
        set_status(app, "active").await;
        assert_eq!(quantities(&sue, "tailspin", USERS).await, json!([0, 0, 5]), "{status}");
    }
}

async fn set_status(app: &App, status: &str) {
    app.database.sql(&format!("UPDATE subscriptions SET status = '{status}' WHERE name = 'Fabrikam Production'")).await;
}

/// R-19: by its state, and by the key, which needs no right any more.
async fn r_19_twice_is_once(app: &App) {
    let sue = app.as_(SUE).await;
    let con = app.as_("con@fabrikam.example").await;
    let bought = sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    let first = con.post_keyed(&path(&bought), &json!({}), "once").await;
    assert!(!first.replayed());
    let first = first.status(200);
    for (actor, key) in [(&con, Some("once")), (&con, Some("other")), (&sue, Some("once")), (&sue, None)] {
        let again = actor.call(Method::POST, &path(&bought), Some(&json!({})), key).await;
        assert!(again.replayed(), "{key:?}");
        assert_eq!(again.status(200), first);
    }
    let payer = sue.subscription("Fabrikam Production").await;
    sue.delete(&format!("/v1/subscriptions/{payer}/roles/con@fabrikam.example")).await;
    assert_eq!(con.post_keyed(&path(&bought), &json!({}), "once").await.status(200), first);
    con.post_keyed(&path(&bought), &json!({}), "new").await.problem("not-found");
    // The purchase's own key gives its own answer for good.
    let key = "bought";
    let body = json!({ "organization": "tailspin", "items": [{ "offer": USERS, "quantity": 3 }] });
    let bought = sue.post_keyed("/v1/purchases", &body, key).await.status(201);
    undo(&sue, &bought).await.status(200);
    assert_eq!(sue.post_keyed("/v1/purchases", &body, key).await.status(201), bought);
}

/// R-33, R-19: many at once do it once, through two processes too.
async fn r_33_two_at_once_are_one(app: &App) {
    let sue = app.as_(SUE).await;
    let other = app.another_server();
    for round in 0..5 {
        let bought = sue.buys("tailspin", USERS, 10 + round, Billing::Linked).await.status(201);
        let (here, there) = (sue.clone(), sue.at(&other.url));
        let path = path(&bought);
        let all = (0..8).map(|n| {
            let actor = if n % 2 == 0 { here.clone() } else { there.clone() };
            let path = path.clone();
            async move { actor.post_keyed(&path, &json!({}), &format!("{path}-{}", n / 4)).await }
        });
        let answers = join_all(all).await;
        assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 1, "round {round}");
        let bodies: Vec<Value> = answers.iter().map(|answer| answer.status(200)).collect();
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
        assert_eq!(quantities(&sue, "tailspin", USERS).await, json!([0, 0, 5]));
    }
}

/// R-33: a purchase of the same offer at the same time comes before or after, never in between.
async fn r_33_undo_and_purchase_at_once(app: &App) {
    let sue = app.as_(SUE).await;
    let other = app.another_server();
    for round in 0..6 {
        let before = sue.entitlement("tailspin", USERS).await["next"].as_i64().expect("a number");
        let bought = sue.buys("tailspin", USERS, before + 5, Billing::Linked).await.status(201);
        let buys = async { sue.buys("tailspin", USERS, before + 7, Billing::Linked).await };
        let there = sue.at(&other.url);
        let undoes = async { undo(&there, &bought).await };
        let (after, undone) = tokio::join!(buys, undoes);
        let after = after.status(201);
        let from = after["lines"][0]["quantity"]["from"].as_i64().expect("a number");
        if undone.status == 200 {
            assert_eq!(from, before, "round {round}");
        } else {
            assert_eq!(undone.problem("cannot-be-undone")["purchase"], after["id"]);
            assert_eq!(from, before + 5, "round {round}");
        }
        assert_eq!(quantities(&sue, "tailspin", USERS).await[1], before + 7);
    }
}

/// R-33, R-42: charges that are all taken back are on no invoice, and wait for none.
async fn r_33_what_nets_to_nothing_has_no_invoice(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let payer = ada.subscription("Fabrikam Europe").await;
    let bought = ada.buys("fabrikam", "berichthaus.tfstimetracker", 7, Billing::Existing(&payer)).await.status(201);
    undo(&ada, &bought).await.status(200);
    app.move_clock("2018-05-02T03:00:00Z").await;
    assert!(ada.all(&format!("/v1/subscriptions/{payer}/invoices")).await.is_empty());
    assert_eq!(app.database.number("SELECT count(*) FROM unbilled").await, 0);
}

/// R-51, R-45: each posting goes back the other way round.
async fn r_51_a_partners_share_goes_back(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let payer = ada.subscription("Fabrikam Europe").await;
    let bought = ada.buys("fabrikam", "berichthaus.tfstimetracker", 7, Billing::Existing(&payer)).await.status(201);
    undo(&ada, &bought).await.status(200);
    for account in ["publisher_payable/", "deferred_revenue/", "unbilled/"] {
        let side = |side: &str| {
            format!("SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM transfers WHERE {side} LIKE '{account}%'")
        };
        let (debit, credit) = (app.database.number(&side("debit")).await, app.database.number(&side("credit")).await);
        assert_eq!(debit, credit, "{account}");
        assert!(debit > 0, "{account}");
    }
}

/// R-33: the receipt says until when, asks once more, and says what came of it; who may not is shown no button.
async fn r_33_undo_on_pages(app: &App) {
    let sue = app.as_(SUE).await;
    let bought = sue.buys_all("tailspin", &[(USERS, 10), (HOSTED, 2)], Billing::Linked).await.status(201);
    let id = bought["id"].as_str().expect("an id");
    let (receipt, asks) = (format!("/purchases/{id}"), format!("/purchases/{id}/undo"));
    let visitor = Visitor::signed_in(app, SUE).await;
    visitor.get(&receipt).await.says(200, "undone until 16 April 2018, 10:00 UTC").says(200, &asks);
    Visitor::signed_in(app, "rita@fabrikam.example").await.get(&receipt).await.lacks(&asks);
    let page = visitor.get(&asks).await;
    page.says(200, "Undo this purchase?").says(200, "price of a day");
    visitor.post(&asks, &[("csrf", "x")]).await.says(400, "present session");
    let later = sue.buys("tailspin", USERS, 11, Billing::Linked).await.status(201);
    let csrf = page.hidden("csrf");
    let refused = visitor.post(&asks, &[("csrf", &csrf)]).await;
    refused.says(409, "Undo that one first").says(409, later["id"].as_str().expect("an id"));
    undo(&sue, &later).await.status(200);
    let done = visitor.post(&asks, &[("csrf", &csrf)]).await;
    assert_eq!(done.leads_to(), receipt);
    visitor.get(&receipt).await.says(200, "This purchase was undone").lacks(&asks);
    assert_eq!(visitor.get(&asks).await.leads_to(), receipt);
    visitor.get("/organizations/tailspin/purchases").await.says(200, "undone");
    let owen = Visitor::signed_in(app, "owen@contoso.example").await;
    owen.get(&asks).await.says(404, "");
}

/// R-17: all of it or nothing, when the server is killed.
async fn r_17_killed_amid_it(app: &App) {
    let sue = app.as_(SUE).await;
    let mut bought = Vec::new();
    for offer in [USERS, HOSTED, "ms.feed", "ms.vss-testmanager-web", "ms.build-release-private-pipelines"] {
        bought.push(sue.buys("tailspin", offer, 3, Billing::Linked).await.status(201));
    }
    let undoes = bought.iter().map(|purchase| {
        let (sue, path) = (sue.clone(), path(purchase));
        async move { sue.try_raw(Method::POST, &path, Vec::new(), &[]).await.map(|answer| answer.status) }
    });
    let (answers, ()) = tokio::join!(join_all(undoes), app.kill());
    app.start_again().await;
    app.verify();
    let sue = app.as_(SUE).await;
    for (purchase, answer) in bought.iter().zip(answers) {
        let id = purchase["id"].as_str().expect("an id");
        let now = sue.get(&format!("/v1/purchases/{id}")).await.ok();
        assert!(answer.is_err() || now["state"] == "undone", "{now}");
        undo(&sue, purchase).await.status(200);
    }
    assert_eq!(quantities(&sue, "tailspin", USERS).await, json!([0, 0, 5]));
}
