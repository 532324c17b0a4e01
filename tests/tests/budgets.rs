//! Budgets: what a month may come to, whoever buys, however many at once, in whichever process.

use serde_json::{Value, json};
use std::time::Duration;
use tests::{Actor, App, Billing, Options, Visitor, body_of, eventually, items_of, join_all, on_both, seeds};

on_both! {
    r_48_a_purchase_over_the_budget_is_refused: begin();
    r_48_next_months_renewal_counts_too: begin();
    r_48_exactly_what_fits_is_bought_by_many_at_once: Options::new().seed(&seeds::load(30));
    r_48_a_changed_budget_holds_for_whoever_comes_after: Options::new().seed(&seeds::load(30));
    r_48_the_organizations_own_budget: begin();
    r_48_metered_use_counts_and_is_not_refused: begin();
    r_48_the_turn_only_warns_and_counts_who_is_behind: Options::at("2018-04-15T10:00:00Z").seed(&seeds::load(3));
    r_48_what_is_set_before_and_ends: begin();
    r_48_warned_once_a_month_and_budget: begin();
    r_7_who_may_set_and_see: begin();
    r_48_a_warning_is_mailed_to_the_billing_address: begin().mailing();
    budgets_on_pages: begin();
    a_budget_that_is_none: begin();
}

const SUE: &str = "sue@fabrikam.example";
const LOAD: &str = "load@example.com";
const USERS: &str = "ms.vss-vstsuser";
const METER: &str = "ms.load-testing";

fn begin() -> Options {
    Options::at("2018-04-15T10:00:00Z")
}

fn usd(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}

/// Sue, the path of her subscription's budget, and that of Tailspin's.
async fn sue(app: &App) -> (Actor, String, String) {
    let sue = app.as_(SUE).await;
    let payer = format!("/v1/subscriptions/{}/budget", sue.subscription("Fabrikam Production").await);
    (sue, payer, "/v1/organizations/tailspin/budget".to_owned())
}

/// Used and left of this month, used and left of the next.
fn used(budget: &Value) -> [&str; 4] {
    ["/this_month/used", "/this_month/left", "/next_month/used", "/next_month/left"]
        .map(|part| budget.pointer(&format!("{part}/amount")).and_then(Value::as_str).unwrap_or("none"))
}

/// Ten users cost 70.00 a month, half of it in April; a quote says so before, and what is left.
async fn r_48_a_purchase_over_the_budget_is_refused(app: &App) {
    let (sue, path, _) = sue(app).await;
    let none = sue.get(&path).await.ok();
    assert_eq!((&none["budget"], &none["state"]), (&Value::Null, &json!("none")));
    let set = sue.put(&path, usd("70.00")).await.status(200);
    assert_eq!((used(&set), &set["state"]), (["0.00", "70.00", "0.00", "70.00"], &json!("within")));
    let quote = sue.quotes("tailspin", USERS, 10, Billing::Linked).await.ok();
    assert_eq!((&quote["allowed"], &quote["reasons"]), (&json!(true), &json!([])));
    let weighed = &quote["budgets"][0];
    assert_eq!(weighed["this_month"]["would_be"], usd("35.00"), "{quote}");
    assert_eq!((&weighed["next_month"]["would_be"], &weighed["next_month"]["left"]), (&usd("70.00"), &usd("0.00")));
    let bought = sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    assert_eq!(bought["budgets"], Value::Null, "a purchase keeps none of what was left");
    assert_eq!(used(&sue.get(&path).await.ok()), ["35.00", "35.00", "70.00", "0.00"]);

    let quote = sue.quotes("tailspin", USERS, 11, Billing::Linked).await.ok();
    assert_eq!((&quote["allowed"], &quote["reasons"][0]["code"]), (&json!(false), &json!("budget_exceeded")));
    let refused = sue.buys("tailspin", USERS, 11, Billing::Linked).await.problem("budget-exceeded");
    assert_eq!((&refused["budget"], &refused["would_be"]), (&usd("70.00"), &usd("78.00")), "{refused}");
    assert_eq!((&refused["month"], &refused["organization"]), (&json!("2018-05-01"), &Value::Null));
    // What shrinks passes, and up to what is paid costs nothing of this month, but the next.
    sue.put(&path, usd("10.00")).await.status(200);
    assert_eq!(sue.get(&path).await.ok()["state"], "exceeded");
    sue.buys("tailspin", USERS, 8, Billing::Linked).await.status(201);
    sue.buys("tailspin", USERS, 9, Billing::Linked).await.problem("budget-exceeded");
    sue.buys("tailspin", USERS, 0, Billing::Linked).await.status(201);
    sue.buys("tailspin", USERS, 2, Billing::Linked).await.problem("budget-exceeded");
    sue.buys("tailspin", USERS, 1, Billing::Linked).await.status(201);
    app.verify();
}

/// On the last day of a month nothing is left of it to pay, but the next one counts.
async fn r_48_next_months_renewal_counts_too(app: &App) {
    let (sue, path, _) = sue(app).await;
    app.move_clock("2018-04-30T10:00:00Z").await;
    sue.put(&path, usd("69.99")).await.status(200);
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.problem("budget-exceeded");
    sue.put(&path, usd("70.00")).await.status(200);
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    assert_eq!(used(&sue.get(&path).await.ok()), ["0.00", "70.00", "70.00", "0.00"]);
    // An order as a whole: five users less, and a pipeline more.
    let swap = sue.buys_all("tailspin", &[(USERS, 5), ("ms.build-release-hosted-pipelines", 1)], Billing::Linked).await;
    assert_eq!(swap.status, 201, "{swap}");
    app.verify();
}

async fn load(app: &App) -> (Actor, String) {
    let load = app.as_(LOAD).await;
    let payer = load.subscription("Load").await;
    (load, payer)
}

fn one_user(number: usize, payer: &str) -> Value {
    body_of(&format!("load-{number}"), items_of(&[(USERS, 1)]), Billing::Existing(payer))
}

/// One user is 6.00 a month; thirty organizations buy one each at once, in two processes, and exactly ten fit into 60.00.
async fn r_48_exactly_what_fits_is_bought_by_many_at_once(app: &App) {
    let (load, payer) = load(app).await;
    let other = app.another_server();
    let path = format!("/v1/subscriptions/{payer}/budget");
    load.put(&path, usd("60.00")).await.status(200);
    let buys = (1..=30).map(|number| {
        let load = if number % 2 == 0 { load.clone() } else { load.at(&other.url) };
        let body = one_user(number, &payer);
        async move { load.post("/v1/purchases", body).await }
    });
    let answers = join_all(buys).await;
    let bought = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(bought, 10, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.problem("budget-exceeded")["would_be"], usd("66.00"));
    }
    let units = "SELECT CAST(sum(next) AS BIGINT) FROM entitlements";
    assert_eq!(app.database.number(units).await, 10);
    let stands = load.get(&path).await.ok();
    assert_eq!(used(&stands)[2..], ["60.00", "0.00"]);
    app.verify();
}

/// The budget is raised and lowered while they buy: at no time was more bought than the highest allowed, and what was
/// refused at the end is over the last one.
async fn r_48_a_changed_budget_holds_for_whoever_comes_after(app: &App) {
    let (load, payer) = load(app).await;
    let other = app.another_server();
    let path = format!("/v1/subscriptions/{payer}/budget");
    let buys = (1..=30).map(|number| {
        let load = if number % 2 == 0 { load.clone() } else { load.at(&other.url) };
        let (payer, path) = (payer.clone(), path.clone());
        async move {
            if number % 5 == 0 {
                load.put(&path, usd(if number % 2 == 0 { "48.00" } else { "72.00" })).await.status(200);
            }
            load.post("/v1/purchases", one_user(number, &payer)).await.status
        }
    });
    join_all(buys).await;
    let units = "SELECT CAST(sum(next) AS BIGINT) FROM entitlements";
    let before = app.database.number(units).await;
    load.put(&path, usd("72.00")).await.status(200);
    // Those that were refused try again until nothing fits.
    let again = (1..=30).map(|number| {
        let load = if number % 2 == 0 { load.clone() } else { load.at(&other.url) };
        let body = one_user(number, &payer);
        async move { load.post("/v1/purchases", body).await.status }
    });
    join_all(again).await;
    assert_eq!(app.database.number(units).await, before.max(12));
    app.verify();
}

/// What one organization may come to, beside what the whole subscription may.
async fn r_48_the_organizations_own_budget(app: &App) {
    let (sue, payer, own) = sue(app).await;
    sue.put(&own, usd("14.00")).await.status(200);
    sue.put(&payer, usd("1000.00")).await.status(200);
    let refused = sue.buys("tailspin", USERS, 3, Billing::Linked).await.problem("budget-exceeded");
    assert_eq!((&refused["budget"], &refused["would_be"]), (&usd("14.00"), &usd("18.00")));
    assert!(refused["organization"].is_string(), "{refused}");
    sue.buys("tailspin", USERS, 2, Billing::Linked).await.status(201);
    assert_eq!(used(&sue.get(&own).await.ok()), ["6.00", "8.00", "12.00", "2.00"]);
    let quote = sue.quotes("tailspin", USERS, 3, Billing::Linked).await.ok();
    assert_eq!(quote["budgets"].as_array().map(Vec::len), Some(2), "{quote}");
    // Only the one that is left counts.
    assert_eq!(sue.delete(&own).await.status, 204);
    assert_eq!(sue.delete(&own).await.status, 204, "twice is once");
    sue.buys("tailspin", USERS, 3, Billing::Linked).await.status(201);
    app.verify();
}

async fn switch(sue: &Actor, cap: i64) -> tests::Answer {
    let items = json!([{ "offer": METER, "metered": { "on": true, "cap": cap } }]);
    sue.post("/v1/purchases", json!({ "organization": "tailspin", "items": items })).await
}

/// Use is limited by its cap, not by the budget, and counts in it; while nothing is left no more of it is allowed.
async fn r_48_metered_use_counts_and_is_not_refused(app: &App) {
    let (sue, path, _) = sue(app).await;
    let platform = app.platform().await;
    sue.put(&path, usd("0.00")).await.status(200);
    switch(&sue, 30_000).await.problem("budget-exceeded");
    sue.put(&path, usd("20.00")).await.status(200);
    switch(&sue, 30_000).await.status(201);
    let event = |id: &str, quantity: i64| json!([{ "id": id, "organization": "tailspin", "offer": METER, "quantity": quantity, "at": "2018-04-15T09:00:00Z" }]);
    platform.post("/v1/usage", event("a", 25_000)).await.status(200);
    let stands = sue.get(&path).await.ok();
    assert_eq!((used(&stands)[0], &stands["state"]), ("10.00", &json!("within")), "5,000 above the included at 0.002");
    let last = platform.post("/v1/usage", event("b", 5_000)).await.status(200);
    assert_eq!(last["accepted"], 1, "at the budget's end and past it use is counted");
    assert_eq!(used(&sue.get(&path).await.ok())[0], "20.00");
    switch(&sue, 40_000).await.problem("budget-exceeded");
    switch(&sue, 29_000).await.status(201);
    sue.buys("tailspin", USERS, 1, Billing::Linked).await.problem("budget-exceeded");
    // It is charged in arrears, in its own month.
    app.move_clock("2018-05-01T02:00:00Z").await;
    assert_eq!(used(&sue.get(&path).await.ok())[0], "0.00");
    sue.buys("tailspin", USERS, 1, Billing::Linked).await.status(201);
    app.verify();
}

/// A budget below what runs refuses nothing of it; between midnight and the job those that have not come to the month count.
async fn r_48_the_turn_only_warns_and_counts_who_is_behind(app: &App) {
    let (load, payer) = load(app).await;
    let path = format!("/v1/subscriptions/{payer}/budget");
    for number in 1..=3 {
        load.post("/v1/purchases", one_user(number, &payer)).await.status(201);
    }
    load.put(&path, usd("24.00")).await.status(200);
    app.move_clock("2018-05-01T00:30:00Z").await;
    assert_eq!(used(&load.get(&path).await.ok()), ["18.00", "6.00", "18.00", "6.00"]);
    load.buys("load-1", USERS, 3, Billing::Linked).await.problem("budget-exceeded");
    load.buys("load-1", USERS, 2, Billing::Linked).await.status(201);
    let stands = load.get(&path).await.ok();
    assert_eq!(used(&stands)[2..], ["24.00", "0.00"], "{stands}");
    load.put(&path, usd("1.00")).await.status(200);
    app.move_clock("2018-06-01T02:00:00Z").await;
    let stands = load.get(&path).await.ok();
    assert_eq!((used(&stands)[0], &stands["state"]), ("24.00", &json!("exceeded")), "all is renewed");
    app.verify();
}

/// What was charged before the budget was set counts, and what was kept for it ends with it.
async fn r_48_what_is_set_before_and_ends(app: &App) {
    let (sue, path, own) = sue(app).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    for path in [&path, &own] {
        assert_eq!(used(&sue.put(path, usd("100.00")).await.status(200)), ["35.00", "65.00", "70.00", "30.00"]);
    }
    app.verify();
    assert_eq!(sue.delete(&path).await.status, 204);
    sue.buys("tailspin", USERS, 11, Billing::Linked).await.status(201);
    assert_eq!(used(&sue.get(&own).await.ok())[0], "39.00", "the other one goes on");
    assert_eq!(sue.delete(&own).await.status, 204);
    let left = "SELECT (SELECT count(*) FROM budgets) + (SELECT count(*) FROM budget_months)";
    assert_eq!(app.database.number(left).await, 0);
    sue.buys("tailspin", USERS, 500, Billing::Linked).await.status(201);
    app.verify();
}

/// The warnings that were given, as `[organization?, month, used]`.
async fn warnings(app: &App) -> Vec<Value> {
    let told = app
        .events()
        .await
        .into_iter()
        .filter(|event| event["kind"] == "budget.warned" || event["type"] == "budget.warned");
    told.map(|event| {
        let public = ["public", "data", "facts"].iter().map(|name| &event[*name]).find(|part| part.is_object());
        let public = public.unwrap_or(&event);
        json!([public["organization"].is_string(), public["month"], public["used"]])
    })
    .collect()
}

/// Four fifths of it, by a purchase, by use, by the turn or by lowering it; the next month anew.
async fn r_48_warned_once_a_month_and_budget(app: &App) {
    let (sue, path, own) = sue(app).await;
    sue.put(&path, usd("43.76")).await.status(200);
    sue.put(&own, usd("400.00")).await.status(200);
    sue.buys("tailspin", USERS, 5, Billing::Linked).await.status(201);
    let look = async |at: &str| app.move_clock(at).await;
    look("2018-04-15T10:01:00Z").await;
    assert_eq!(warnings(app).await, [] as [Value; 0], "15.00 of 43.76");
    // 35.00 are a cent less than four fifths of 43.76.
    sue.put(&path, usd("70.00")).await.status(200);
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    sue.put(&path, usd("43.76")).await.status(200);
    look("2018-04-15T10:02:00Z").await;
    assert_eq!(warnings(app).await, [] as [Value; 0]);
    assert_eq!(sue.get(&path).await.ok()["state"], "within");
    sue.put(&path, usd("43.75")).await.status(200);
    look("2018-04-15T10:03:00Z").await;
    assert_eq!(warnings(app).await, [json!([false, "2018-04-01", 3_500])]);
    let stands = sue.get(&path).await.ok();
    assert_eq!((&stands["state"], &stands["warned_at"]), (&json!("warned"), &json!("2018-04-15T10:02:00Z")));
    sue.put(&path, usd("35.00")).await.status(200);
    look("2018-04-20T10:00:00Z").await;
    assert_eq!(warnings(app).await.len(), 1, "once a month");
    // The turn charges 70.00, whatever the budget is.
    look("2018-05-01T02:00:00Z").await;
    assert_eq!(warnings(app).await[1..], [json!([false, "2018-05-01", 7_000])]);
    // The organization's own, by use alone.
    sue.put(&path, usd("1000.00")).await.status(200);
    sue.put(&own, usd("90.00")).await.status(200);
    switch(&sue, 30_000).await.status(201);
    let event = json!([{ "id": "a", "organization": "tailspin", "offer": METER, "quantity": 21_000, "at": "2018-05-01T02:00:00Z" }]);
    app.platform().await.post("/v1/usage", event).await.status(200);
    look("2018-05-02T02:00:00Z").await;
    assert_eq!(warnings(app).await[2..], [json!([true, "2018-05-01", 7_200])]);
    // `purser renew` warns too, and all the same once.
    app.stop().await;
    app.prints(&["renew"]);
    app.verify();
}

/// the subscription's owner sets both; whoever sees the bill sees what is used; an organization's owner and
/// administrators see its own, and nothing of what others charge.
async fn r_7_who_may_set_and_see(app: &App) {
    let (sue, path, own) = sue(app).await;
    sue.put(&own, usd("50.00")).await.status(200);
    let otto = app.as_("otto@fabrikam.example").await;
    assert_eq!(used(&otto.get(&own).await.ok())[1], "50.00", "Tailspin's owner");
    let refused = otto.put(&own, usd("500.00")).await.problem("permission-denied");
    assert_eq!(refused["missing"], "budget.manage");
    assert!(refused["ask"].as_array().is_some_and(|ask| !ask.is_empty()), "{refused}");
    otto.get(&path).await.problem("not-found");
    app.as_("ada@fabrikam.example")
        .await
        .put("/v1/organizations/fabrikam/budget", usd("1.00"))
        .await
        .problem("billing-setup-required");
}

async fn a_budget_that_is_none(app: &App) {
    let (sue, path, own) = sue(app).await;
    for path in [&path, &own] {
        sue.put(path, json!({ "amount": "10.00", "currency": "EUR" })).await.invalid("/currency");
        sue.put(path, usd("-1.00")).await.invalid("/amount");
        for malformed in
            [usd("1.001"), usd("92233720368547758.08"), json!({ "amount": 5, "currency": "USD" }), json!(5)]
        {
            sue.put(path, malformed).await.problem("invalid-request");
        }
        // The largest amount there is limits nothing.
        sue.put(path, usd("92233720368547758.07")).await.status(200);
        sue.buys("tailspin", USERS, 1, Billing::Linked).await.status(201);
        sue.put(path, usd("0")).await.problem("invalid-request");
        sue.put(path, usd("0.00")).await.status(200);
        sue.buys("tailspin", USERS, 2, Billing::Linked).await.problem("budget-exceeded");
        sue.buys("tailspin", USERS, 0, Billing::Linked).await.status(201);
        assert_eq!(sue.delete(path).await.status, 204);
    }
    let twice = app.database.number("SELECT count(*) FROM events WHERE kind = 'budget.set'").await;
    sue.put(&path, usd("7.00")).await.status(200);
    sue.put(&path, usd("7.00")).await.status(200);
    assert_eq!(app.database.number("SELECT count(*) FROM events WHERE kind = 'budget.set'").await, twice + 1);
    app.verify();
}

async fn r_48_a_warning_is_mailed_to_the_billing_address(app: &App) {
    let (sue, path, _) = sue(app).await;
    let payer = path.trim_end_matches("/budget");
    sue.patch(payer, json!({ "email": "bills@fabrikam.example" })).await.ok();
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    sue.put(&path, usd("40.00")).await.status(200);
    app.move_clock("2018-04-15T11:00:00Z").await;
    let sink = app.options.mail.as_deref().expect("a sink");
    let mail = eventually("the warning", Duration::from_secs(60), async || {
        let subject = "The budget of Fabrikam Production for April 2018 is nearly used";
        sink.mails().into_iter().find(|mail| mail.header("Subject") == subject)
    })
    .await;
    assert_eq!(mail.header("To"), "bills@fabrikam.example");
    for fact in ["Budget:          $40.00 a month, before tax\n", "Used:            $35.00\n", "#budget"] {
        assert!(mail.text.contains(fact), "{fact:?} is not in\n{}", mail.text);
    }
}

/// The payer's page sets it, the organization's shows its own, the checkout says what is left and why it may not be.
async fn budgets_on_pages(app: &App) {
    let (sue, path, own) = sue(app).await;
    let page = path.trim_start_matches("/v1").trim_end_matches("/budget").to_owned();
    let visitor = Visitor::signed_in(app, SUE).await;
    visitor
        .get(&page)
        .await
        .says(200, "None is set. With one, no purchase takes a month of this subscription over it.");
    let refused = visitor.send_form(&format!("{page}/budget"), &[("amount", "<b>7")]).await;
    refused.says(422, "The amount").says(422, "&#60;b&#62;7");
    assert!(visitor.send_form(&format!("{page}/budget"), &[("amount", "70,00")]).await.leads_to().ends_with("#budget"));
    sue.buys("tailspin", USERS, 5, Billing::Linked).await.status(201);
    let shown = visitor.get(&page).await;
    shown
        .says(200, "$15.00 of $70.00, $55.00 left")
        .says(200, "$30.00 of $70.00, $40.00 left")
        .says(200, "value=\"21\"");
    visitor.send_form("/organizations/tailspin/budget", &[("amount", "20.00")]).await.leads_to();
    visitor.get("/organizations/tailspin").await.says(200, "$15.00 of $20.00, $5.00 left");
    visitor.get("/organizations/tailspin").await.says(200, "$30.00 of $20.00, more than there is").says(200, "Within");

    let change = [("organization", "tailspin"), ("offer", USERS), ("quantity", "11"), ("counted", "yes")];
    let checkout = visitor.send_form("/checkouts", &change).await.leads_to();
    let review = visitor.get(&checkout).await;
    review.says(200, "This would take a month over its budget.").says(200, "With this purchase, before tax.");
    review.says(200, "Subscription’s budget, May").says(200, "$78.00 of $70.00, more than there is");
    visitor.send_form("/organizations/tailspin/budget", &[("remove", "yes")]).await.leads_to();
    assert_eq!(sue.get(&own).await.ok()["budget"], Value::Null);

    // Tailspin's owner sees its own, and no form; a reader of the subscription sees its budget, and no form.
    sue.put(&own, usd("500.00")).await.status(200);
    let otto = Visitor::signed_in(app, "otto@fabrikam.example").await;
    otto.get("/organizations/tailspin").await.says(200, "of $500.00").lacks("Set the budget");
    assert_eq!(otto.get(&page).await.status, 404);
    let rita = Visitor::signed_in(app, "rita@fabrikam.example").await;
    rita.get(&page).await.says(200, "of $70.00").lacks("Set the budget");
    let mia = Visitor::signed_in(app, "mia@fabrikam.example").await;
    mia.get("/organizations/tailspin").await.lacks("of $500.00");
}
