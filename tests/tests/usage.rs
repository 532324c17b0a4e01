//! Metered use (R-40, R-41, R-14): what is counted, once and for good, what is refused, and what a month's turn makes of it.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Actor, App, Billing, Options, Visitor, join_all, on_both};

on_both! {
    r_40_usage_is_counted_and_charged_in_arrears: Options::at("2018-04-15T10:00:00Z").config(RATES);
    r_40_each_refusal_has_its_code: Options::at("2018-04-15T10:00:00Z");
    r_40_the_cap_holds_whatever_is_at_once: Options::new();
    r_40_a_lower_cap_holds_at_once: Options::at("2018-04-15T10:00:00Z");
    r_41_a_repeat_counts_once_for_good: Options::at("2018-04-15T10:00:00Z");
    r_41_repeats_at_once_in_two_processes: Options::new();
    r_41_each_month_takes_its_own_until_it_is_turned: Options::at("2018-01-31T23:59:59.999999Z");
    r_41_the_ends_of_what_is_taken: Options::at("2018-04-15T10:00:00Z");
    r_14_metered_stops_at_once: Options::at("2018-04-15T10:00:00Z");
    r_40_switched_off_within_the_month: Options::at("2018-04-15T10:00:00Z");
    r_40_a_turn_amid_reports_loses_nothing: Options::at("2018-04-15T10:00:00Z");
    r_42_yen_and_the_whole_price_model: Options::at("2018-04-15T10:00:00Z").more_offers(YEN).seed(&yen());
    r_53_the_platform_learns_of_the_cap: Options::at("2018-04-15T10:00:00Z");
    r_53_other_processes_learn_of_the_cap: Options::new();
    usage_that_is_none: Options::at("2018-04-15T10:00:00Z");
    metered_use_on_pages: Options::at("2018-04-15T10:00:00Z");
}

const SUE: &str = "sue@fabrikam.example";
const LOAD: &str = "ms.load-testing";
const RATES: &str = r#"
[[tax.rates]]
country = "US"
percent = "7.25"
from = "2018-01-01"
[[tax.rates]]
country = "US"
percent = "19"
from = "2018-05-01"
"#;

/// Sue switches load testing of Tailspin on, with or without a cap, or off.
async fn switch(app: &App, on: bool, cap: Option<i64>) -> Value {
    let items = json!([{ "offer": LOAD, "metered": { "on": on, "cap": cap } }]);
    let body = json!({ "organization": "tailspin", "items": items });
    app.as_(SUE).await.post("/v1/purchases", body).await.status(201)
}

fn event(id: &str, quantity: i64, at: &str) -> Value {
    json!({ "id": id, "organization": "tailspin", "offer": LOAD, "quantity": quantity, "at": at })
}

async fn report(platform: &Actor, events: &[Value]) -> Value {
    platform.post("/v1/usage", json!(events)).await.status(200)
}

/// `[accepted, repeated, [codes]]`
fn outcome(answer: &Value) -> Value {
    let refused = answer["refused"].as_array().expect("refused").iter().map(|one| one["code"].clone());
    json!([answer["accepted"], answer["repeated"], refused.collect::<Vec<_>>()])
}

async fn metered(app: &App) -> Value {
    app.as_(SUE).await.entitlement("tailspin", LOAD).await["metered"].clone()
}

async fn upcoming(sue: &Actor) -> Value {
    let payer = sue.subscription("Fabrikam Production").await;
    sue.get(&format!("/v1/subscriptions/{payer}/invoices/upcoming")).await.ok()
}

async fn newest_invoice(sue: &Actor) -> Value {
    let payer = sue.subscription("Fabrikam Production").await;
    let list = sue.all(&format!("/v1/subscriptions/{payer}/invoices")).await;
    let id = list.first().expect("an invoice")["id"].as_str().expect("an id").to_owned();
    sue.get(&format!("/v1/invoices/{id}")).await.ok()
}

/// What must be the same of the next invoice and of the one that it becomes.
fn essence(bill: &Value) -> Value {
    let line = |line: &Value| {
        let names = ["organization", "offer", "kind", "month", "quantity", "amount", "tax_rate", "tax", "why"];
        names.map(|name| line[name].clone())
    };
    let lines: Vec<_> = bill["lines"].as_array().expect("lines").iter().map(line).collect();
    let names = ["month", "issued_on", "taxes", "net", "tax", "total"];
    json!([lines, names.map(|name| bill[name].clone())])
}

/// R-40, R-42, R-49, R-25: switched on for nothing; used, shown as it grows, charged above included at the turn with the
/// rate of the month of service, on one bill with the rest, to the cent what upcoming said; then from nothing again.
async fn r_40_usage_is_counted_and_charged_in_arrears(app: &App) {
    let (sue, platform) = (app.as_(SUE).await, app.platform().await);
    sue.buys("tailspin", "ms.vss-vstsuser", 10, Billing::Linked).await.status(201);
    let on = switch(app, true, None).await;
    assert_eq!(on["now"]["net"]["amount"], "0.00", "{on}");
    assert_eq!(metered(app).await, json!({ "on": true, "cap": null, "used": 0 }));
    let at = "2018-04-15T09:00:00Z";
    report(&platform, &[event("a", 15_000, at)]).await;
    assert_eq!(metered(app).await["used"], 15_000);
    let before = upcoming(&sue).await;
    assert_eq!(before["net"]["amount"], "105.00", "what is included is no line: {before}");
    report(&platform, &[event("b", 10_000, at), event("c", 2_000_000, at)]).await;
    let quote = sue.quotes("tailspin", "ms.vss-vstsuser", 10, Billing::Linked).await.ok();
    let bill = upcoming(&sue).await;
    // 2,005,000 above 20,000: 2,000,000 × 0.002 + 5,000 × 0.001.
    assert_eq!(bill["net"]["amount"], "4110.00", "{bill}");
    assert_eq!(quote["next_invoice"]["total"], bill["total"], "{quote}");
    let line = bill["lines"].as_array().expect("lines").iter().find(|line| line["kind"] == "usage").expect("use");
    assert_eq!((&line["month"], &line["tax_rate"]), (&json!("2018-04-01"), &json!("7.25")), "{line}");
    let steps: Vec<_> =
        line["why"].as_array().expect("steps").iter().map(|why| (&why["step"], &why["value"])).collect();
    for step in [("used", "2025000"), ("included", "20000"), ("billed", "2005000"), ("rounding", "4005.00")] {
        assert!(steps.contains(&(&json!(step.0), &json!(step.1))), "{step:?} in {line}");
    }
    app.move_clock("2018-05-01T02:00:00Z").await;
    let invoice = newest_invoice(&sue).await;
    assert_eq!(essence(&invoice), essence(&bill));
    let charge = invoice["lines"].as_array().expect("lines").iter().find(|line| line["kind"] == "usage");
    let charge = charge.and_then(|line| line["charge"].as_str()).expect("a charge").to_owned();
    let explained = app.prints(&["explain", &charge]);
    assert!(explained.contains("metered use of the month") && explained.contains("2025000"), "{explained}");
    assert_eq!(metered(app).await, json!({ "on": true, "cap": null, "used": 0 }), "included resets on the 1st");
    assert_eq!(upcoming(&sue).await["net"]["amount"], "70.00");
    report(&platform, &[event("d", 20_001, "2018-05-01T01:00:00Z")]).await;
    assert_eq!(upcoming(&sue).await["net"]["amount"], "70.00", "one unit is 0.002, which rounds to nothing");
    app.move_clock("2018-06-01T02:00:00Z").await;
    assert_eq!(newest_invoice(&sue).await["net"]["amount"], "70.00");
    let said = app.prints(&["verify"]);
    assert!(said.contains("4 usage events"), "{said}");
}

/// R-40, R-41: each code; what is beside it in the report is counted all the same.
async fn r_40_each_refusal_has_its_code(app: &App) {
    let platform = app.platform().await;
    let now = "2018-04-15T10:00:00Z";
    let off = report(&platform, &[event("off", 1, now)]).await;
    assert_eq!(off["refused"], json!([{ "id": "off", "code": "not_switched_on" }]));
    switch(app, true, Some(100)).await;
    let with = |id: &str, field: &str, value: Value| {
        let mut event = event(id, 1, now);
        event[field] = value;
        event
    };
    let events = [
        event("fine", 60, now),
        with("1", "organization", json!("unheard")),
        with("2", "organization", json!("org_00000000000000000000000000")),
        with("3", "offer", json!("unheard.of")),
        with("4", "offer", json!("ms.feed")),
        with("5", "organization", json!("fabrikam")),
        with("6", "quantity", json!(0)),
        with("7", "quantity", json!(-1)),
        with("8", "at", json!("2018-03-11T09:59:59Z")),
        with("9", "at", json!("2018-04-15T10:05:01Z")),
        with("10", "quantity", json!(41)),
        with("11", "quantity", json!(i64::MAX)),
        with("fine", "quantity", json!(61)),
        event("too", 40, now),
        event("many", 1, now),
    ];
    let answer = report(&platform, &events).await;
    let codes: Vec<_> = answer["refused"].as_array().expect("refused").iter().map(|one| one["code"].clone()).collect();
    let expected = [
        "unknown_organization",
        "unknown_organization",
        "unknown_offer",
        "not_metered",
        "not_switched_on",
        "bad_quantity",
        "bad_quantity",
        "too_old",
        "in_the_future",
        "over_cap",
        "over_cap",
        "id_reused",
        "over_cap",
    ];
    assert_eq!(codes, expected.map(|code| json!(code)), "{answer}");
    assert_eq!((&answer["accepted"], &answer["repeated"]), (&json!(2), &json!(0)));
    assert_eq!(metered(app).await, json!({ "on": true, "cap": 100, "used": 100 }));
    // Ids of organizations and offers name the same.
    let id = app.as_(SUE).await.get("/v1/organizations/tailspin").await.ok()["id"].clone();
    let again = report(&platform, &[with("fine", "organization", id)]).await;
    assert_eq!(outcome(&again), json!([0, 0, ["id_reused"]]), "another quantity");
    let told = app.events().await.into_iter().filter(|event| event.to_string().contains("usage.counted")).count();
    assert_eq!(told, 1, "one event a report and organization, and none for what was refused");
}

/// R-40: many at once never pass the cap together, and fill it to the last unit.
async fn r_40_the_cap_holds_whatever_is_at_once(app: &App) {
    let platform = app.platform().await;
    let other = app.another_server();
    switch(app, true, Some(1_000)).await;
    let at = &tests::now();
    let reports = (0..30).map(|number| {
        let platform = if number % 2 == 0 { platform.clone() } else { platform.at(&other.url) };
        async move {
            let event = |part: i64| event(&format!("{number}-{part}"), 7 + part, at);
            report(&platform, &[event(0), event(5), event(9), event(12)]).await
        }
    });
    let accepted: i64 =
        join_all(reports).await.iter().map(|answer| answer["accepted"].as_i64().expect("a number")).sum();
    let used = metered(app).await["used"].as_i64().expect("a number");
    assert!(used <= 1_000 && used > 1_000 - 7, "{used}: the smallest of 7 would have fit");
    let sql = "SELECT CAST(sum(quantity) AS BIGINT) FROM usage_events";
    assert_eq!(app.database.number(sql).await, used);
    assert_eq!(app.database.number("SELECT count(*) FROM usage_events").await, accepted);
}

/// R-40: a lower cap holds at once, but not below what is used; in the next month it is what was asked for.
async fn r_40_a_lower_cap_holds_at_once(app: &App) {
    let platform = app.platform().await;
    switch(app, true, Some(500)).await;
    report(&platform, &[event("a", 300, "2018-04-15T09:00:00Z")]).await;
    switch(app, true, Some(200)).await;
    assert_eq!(metered(app).await, json!({ "on": true, "cap": 300, "used": 300 }));
    let answer = report(&platform, &[event("b", 1, "2018-04-15T09:00:00Z")]).await;
    assert_eq!(outcome(&answer), json!([0, 0, ["over_cap"]]));
    app.move_clock("2018-05-01T02:00:00Z").await;
    assert_eq!(metered(app).await, json!({ "on": true, "cap": 200, "used": 0 }));
    let events = [event("b", 200, "2018-05-01T01:00:00Z"), event("c", 1, "2018-05-01T01:00:00Z")];
    assert_eq!(outcome(&report(&platform, &events).await), json!([1, 0, ["over_cap"]]));
    let sue = app.as_(SUE).await;
    for cap in [0, -1, 1_000_000_001] {
        let items = json!([{ "offer": LOAD, "metered": { "on": true, "cap": cap } }]);
        let body = json!({ "organization": "tailspin", "items": items });
        sue.post("/v1/purchases", body).await.problem("quantity-out-of-range");
    }
}

/// R-41: within a report, one after the other, by another spelling, under a key, after the month's turn and long after.
async fn r_41_a_repeat_counts_once_for_good(app: &App) {
    let platform = app.platform().await;
    switch(app, true, None).await;
    let first = event("a", 5, "2018-04-15T09:00:00Z");
    let twice = [first.clone(), first.clone(), event("b", 6, "2018-04-15T09:00:00Z")];
    assert_eq!(outcome(&report(&platform, &twice).await), json!([2, 1, []]));
    assert_eq!(outcome(&report(&platform, &twice).await), json!([0, 3, []]));
    let spelled = event("a", 5, "2018-04-15T11:00:00.000+02:00");
    assert_eq!(outcome(&report(&platform, &[spelled]).await), json!([0, 1, []]), "the same instant");
    let keyed = json!([event("k", 1, "2018-04-15T09:00:00Z")]);
    let one = platform.post_keyed("/v1/usage", &keyed, "key").await;
    let other = platform.post_keyed("/v1/usage", &keyed, "key").await;
    assert_eq!((one.status(200), other.replayed()), (other.status(200), true));
    platform.post_keyed("/v1/usage", &json!([]), "key").await.problem("idempotency-key-reused");
    app.move_clock("2018-05-01T02:00:00Z").await;
    assert_eq!(outcome(&report(&platform, &twice).await), json!([0, 3, []]), "after the turn");
    app.move_clock("2018-07-15T00:00:00Z").await;
    assert_eq!(outcome(&report(&platform, &twice).await), json!([0, 3, []]), "too old to be new");
    assert_eq!(app.database.number("SELECT count(*) FROM usage_events").await, 3);
    assert_eq!(app.database.number("SELECT CAST(sum(used) AS BIGINT) FROM usage_months").await, 12);
}

/// R-41: the same report by many at once, in two processes, and with other events between.
async fn r_41_repeats_at_once_in_two_processes(app: &App) {
    let platform = app.platform().await;
    let other = app.another_server();
    switch(app, true, None).await;
    let fabrikam = json!({ "organization": "fabrikam", "items": [{ "offer": LOAD, "metered": { "on": true } }],
        "billing": { "subscription": app.as_(SUE).await.subscription("Fabrikam Production").await } });
    app.as_("ada@fabrikam.example").await.post("/v1/purchases", fabrikam).await.status(201);
    let at = &tests::now();
    let reports = (0..16).map(|number| {
        let platform = if number % 2 == 0 { platform.clone() } else { platform.at(&other.url) };
        async move {
            let mut events: Vec<_> = (0..40).map(|n| event(&format!("same-{n}"), 3, at)).collect();
            // The same ids for another organization: whoever comes first has them.
            events.extend((0..10).map(|n| {
                let mut event = event(&format!("either-{n}"), 1, at);
                event["organization"] = json!(if number % 3 == 0 { "fabrikam" } else { "tailspin" });
                event
            }));
            if number % 4 == 0 {
                events.reverse();
            }
            report(&platform, &events).await
        }
    });
    let answers = join_all(reports).await;
    let accepted: i64 = answers.iter().map(|answer| answer["accepted"].as_i64().expect("a number")).sum();
    assert_eq!(accepted, 50);
    for answer in &answers {
        let counts = [&answer["accepted"], &answer["repeated"]].map(|count| count.as_i64().expect("a number"));
        assert_eq!(counts[0] + counts[1] + answer["refused"].as_array().expect("refused").len() as i64, 50);
        for refused in answer["refused"].as_array().expect("refused") {
            assert_eq!(refused["code"], "id_reused", "{answer}");
        }
    }
    assert_eq!(app.database.number("SELECT CAST(sum(used) AS BIGINT) FROM usage_months").await, 130);
}

/// R-41: a month takes its own use until it is turned, by the job or a command; then the open one takes it, marked. Also on
/// 31 January, in its last instant.
async fn r_41_each_month_takes_its_own_until_it_is_turned(app: &App) {
    let (sue, platform) = (app.as_(SUE).await, app.platform().await);
    switch(app, true, None).await;
    report(&platform, &[event("last", 30_000, "2018-01-31T23:59:59.999999Z")]).await;
    // A clock that is ahead: the next month's use is not this month's.
    report(&platform, &[event("ahead", 1, "2018-02-01T00:00:00Z")]).await;
    assert_eq!(metered(app).await["used"], 30_000);
    app.move_clock("2018-02-01T01:59:59Z").await;
    report(&platform, &[event("own", 5_000, "2018-01-31T12:00:00Z"), event("new", 2, "2018-02-01T01:00:00Z")]).await;
    let used = async |month: &str| {
        let sql = format!("SELECT CAST(coalesce(sum(used), 0) AS BIGINT) FROM usage_months WHERE month = '{month}'");
        app.database.number(&sql).await
    };
    assert_eq!(
        (used("2018-01-01").await, used("2018-02-01").await, metered(app).await["used"].clone()),
        (35_000, 3, json!(3))
    );
    let coming = upcoming(&sue).await;
    assert_eq!((&coming["month"], &coming["net"]["amount"]), (&json!("2018-02-01"), &json!("30.00")), "{coming}");
    app.move_clock("2018-02-01T02:00:00Z").await;
    assert_eq!(essence(&newest_invoice(&sue).await), essence(&coming));
    report(&platform, &[event("late", 40_000, "2018-01-31T12:00:00Z")]).await;
    assert_eq!((used("2018-01-01").await, used("2018-02-01").await), (35_000, 40_003));
    let coming = upcoming(&sue).await;
    let steps = coming["lines"][0]["why"].as_array().expect("steps");
    assert!(steps.iter().any(|why| why["step"] == "late" && why["value"] == "40000"), "{coming}");
    // A command of the new month turns its organization before the job does.
    app.move_clock("2018-03-01T00:10:00Z").await;
    sue.buys("tailspin", "ms.feed", 1, Billing::Linked).await.status(201);
    report(&platform, &[event("after", 7, "2018-02-28T23:59:59Z")]).await;
    assert_eq!((used("2018-02-01").await, used("2018-03-01").await), (40_003, 7));
    app.move_clock("2018-03-01T02:00:00Z").await;
    assert_eq!(newest_invoice(&sue).await["net"]["amount"], "40.01");
}

/// R-41: exactly 35 days and exactly 5 minutes are taken; a microsecond more is not. The test clock counts.
async fn r_41_the_ends_of_what_is_taken(app: &App) {
    let platform = app.platform().await;
    switch(app, true, None).await;
    for (id, at, code) in [
        ("a", "2018-03-11T10:00:00Z", None),
        ("b", "2018-03-11T09:59:59.999999Z", Some("too_old")),
        ("c", "2018-04-15T10:05:00Z", None),
        ("d", "2018-04-15T10:05:00.000001Z", Some("in_the_future")),
        ("e", "0001-01-01T00:00:00Z", Some("too_old")),
        ("f", "9999-12-31T23:59:59Z", Some("in_the_future")),
    ] {
        let answer = report(&platform, &[event(id, 1, at)]).await;
        let expected = code.map_or(json!([1, 0, []]), |code| json!([0, 0, [code]]));
        assert_eq!(outcome(&answer), expected, "{id}");
    }
    assert_eq!(metered(app).await["used"], 2, "what was used before it was switched on counts in the open month");
    app.move_clock("2018-04-15T10:00:00.000001Z").await;
    let events = [event("b", 1, "2018-03-11T10:00:00Z"), event("d", 1, "2018-04-15T10:05:00.000001Z")];
    assert_eq!(outcome(&report(&platform, &events).await), json!([1, 0, ["too_old"]]));
}

/// R-14: while its payer cannot pay nothing is counted; what was used before is billed; once fixed it goes on.
async fn r_14_metered_stops_at_once(app: &App) {
    let (sue, platform) = (app.as_(SUE).await, app.platform().await);
    switch(app, true, Some(50_000)).await;
    let at = "2018-04-15T09:00:00Z";
    report(&platform, &[event("a", 30_000, at)]).await;
    let set = async |status: &str| {
        let sql = format!("UPDATE subscriptions SET status = '{status}' WHERE name = 'Fabrikam Production'");
        app.database.sql(&sql).await;
    };
    for (status, code) in [("past_due", "past_due"), ("disabled", "disabled")] {
        set(status).await;
        assert_eq!(outcome(&report(&platform, &[event("b", 1, at)]).await), json!([0, 0, [code]]));
        assert_eq!(outcome(&report(&platform, &[event("a", 30_000, at)]).await), json!([0, 1, []]));
    }
    let has = sue.entitlement("tailspin", LOAD).await;
    assert_eq!((&has["state"], &has["usable"]), (&json!("suspended"), &json!(0)), "{has}");
    let raise = json!([{ "offer": LOAD, "metered": { "on": true, "cap": 60_000 } }]);
    sue.post("/v1/purchases", json!({ "organization": "tailspin", "items": raise }))
        .await
        .problem("subscription-not-eligible");
    let coming = upcoming(&sue).await;
    assert_eq!(coming["net"]["amount"], "20.00", "{coming}");
    app.move_clock("2018-05-01T02:00:00Z").await;
    assert_eq!(newest_invoice(&sue).await["net"]["amount"], "20.00");
    set("warned").await;
    assert_eq!(outcome(&report(&platform, &[event("b", 1, "2018-05-01T01:00:00Z")]).await), json!([1, 0, []]));
    set("past_due").await;
    switch(app, false, None).await;
}

/// R-40: what was used before it was switched off is billed; nothing is counted after.
async fn r_40_switched_off_within_the_month(app: &App) {
    let (sue, platform) = (app.as_(SUE).await, app.platform().await);
    switch(app, true, Some(50_000)).await;
    let at = "2018-04-15T09:00:00Z";
    report(&platform, &[event("a", 30_000, at)]).await;
    switch(app, false, None).await;
    assert_eq!(metered(app).await, json!({ "on": false, "cap": null, "used": 30_000 }));
    assert_eq!(outcome(&report(&platform, &[event("b", 1, at)]).await), json!([0, 0, ["not_switched_on"]]));
    assert_eq!(upcoming(&sue).await["net"]["amount"], "20.00");
    app.move_clock("2018-05-01T02:00:00Z").await;
    assert_eq!(newest_invoice(&sue).await["net"]["amount"], "20.00");
    app.move_clock("2018-06-01T02:00:00Z").await;
    assert_eq!(newest_invoice(&sue).await["net"]["amount"], "20.00", "and nothing after");
    assert!(app.prints(&["renew"]).starts_with("0 organizations"), "nothing is due any more");
}

/// R-41: reports, purchases and the month's turn at once: every unit is in a month, and in that month's charge.
async fn r_40_a_turn_amid_reports_loses_nothing(app: &App) {
    let (sue, platform) = (app.as_(SUE).await, app.platform().await);
    switch(app, true, None).await;
    app.move_clock("2018-05-01T00:00:00Z").await;
    let reports = (0..20).map(|number| {
        let platform = platform.clone();
        async move {
            let events: Vec<_> =
                (0..50).map(|n| event(&format!("{number}-{n}"), 100, "2018-04-30T23:00:00Z")).collect();
            report(&platform, &events).await
        }
    });
    let (answers, _, moved) = tokio::join!(
        join_all(reports),
        sue.buys("tailspin", "ms.feed", 1, Billing::Linked),
        sue.post("/v1/clock", json!({ "now": "2018-05-01T02:00:00Z" })),
    );
    moved.ok();
    assert!(answers.iter().all(|answer| answer["accepted"] == 50), "{answers:?}");
    assert_eq!(app.database.number("SELECT CAST(sum(used) AS BIGINT) FROM usage_months").await, 100_000);
    app.move_clock("2018-06-01T02:00:00Z").await;
    app.verify();
}

const YEN: &str = r#"
[[offer]]
slug = "yen.load"
name = "Yen load"
publisher = "berichthaus"
kind = "load_testing"
unit = "minute"
included = 10
maximum = 100
[offer.prices.JPY]
model = "package"
size = 25
unit = "333.5"
"#;

fn yen() -> String {
    String::from(
        r#"
[[user]]
email = "ada@fabrikam.example"
name = "Ada Palmer"
[[organization]]
slug = "jpy"
name = "JPY"
country = "JP"
members = [{ user = "ada@fabrikam.example", role = "owner", access = "basic" }]
[[subscription]]
key = "jpy"
name = "JPY"
kind = "pay_as_you_go"
status = "active"
country = "JP"
currency = "JPY"
payment = { card = "tok_ok" }
roles = [{ user = "ada@fabrikam.example", role = "owner" }]
linked = ["jpy"]
"#,
    )
}

/// R-24, R-32, R-51: yen have no minor digits, blocks are rounded up, the partner has its share, and the offer's maximum of
/// paid units holds without a cap.
async fn r_42_yen_and_the_whole_price_model(app: &App) {
    let (ada, platform) = (app.as_("ada@fabrikam.example").await, app.platform().await);
    let items = json!([{ "offer": "yen.load", "metered": { "on": true } }]);
    ada.post("/v1/purchases", json!({ "organization": "jpy", "items": items })).await.status(201);
    let event = |id: &str, quantity: i64| json!({ "id": id, "organization": "jpy", "offer": "yen.load", "quantity": quantity, "at": "2018-04-15T09:00:00Z" });
    report(&platform, &[event("a", 10)]).await;
    assert_eq!(outcome(&report(&platform, &[event("b", 101)]).await), json!([0, 0, ["over_cap"]]));
    report(&platform, &[event("c", 26)]).await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    let payer = ada.subscription("JPY").await;
    let list = ada.all(&format!("/v1/subscriptions/{payer}/invoices")).await;
    assert_eq!(list[0]["net"], json!({ "amount": "667", "currency": "JPY" }));
    let share = "SELECT CAST(sum(amount) AS BIGINT) FROM transfers WHERE credit = 'publisher_payable/berichthaus'";
    assert_eq!(app.database.number(share).await, 534);
}

/// R-53: off, on, at the cap, in the next month, and where the payer cannot pay.
async fn r_53_the_platform_learns_of_the_cap(app: &App) {
    let platform = app.platform().await;
    let path = format!("/v1/organizations/tailspin/allowance/{LOAD}");
    let none = platform.get(&path).await.ok();
    assert_eq!((&none["allowed"], &none["usable"]), (&json!(false), &json!(0)), "{none}");
    assert_eq!(none["reasons"][0]["code"], "not_switched_on");
    switch(app, true, Some(100)).await;
    let on = platform.get(&path).await.ok();
    assert_eq!(
        (&on["allowed"], &on["usable"], &on["until"]),
        (&json!(true), &json!(100), &json!("2018-05-01T00:00:00Z"))
    );
    report(&platform, &[event("a", 60, "2018-04-15T09:00:00Z")]).await;
    assert_eq!(platform.get(&path).await.ok()["usable"], 40);
    report(&platform, &[event("b", 40, "2018-04-15T09:00:00Z")]).await;
    let full = platform.get(&path).await.ok();
    assert_eq!((&full["allowed"], &full["usable"]), (&json!(false), &json!(0)), "{full}");
    assert_eq!(full["reasons"][0]["code"], "over_cap");
    assert!(full["reasons"][0]["remedy"].as_str().is_some_and(|remedy| remedy.contains("cap")), "{full}");
    app.move_clock("2018-05-01T02:00:00Z").await;
    assert_eq!(platform.get(&path).await.ok()["usable"], 100);
    app.database.sql("UPDATE subscriptions SET status = 'past_due' WHERE name = 'Fabrikam Production'").await;
    let stopped = async || (platform.get(&path).await.ok()["reasons"][0]["code"] == "past_due").then_some(());
    tests::eventually("that the payer cannot pay", std::time::Duration::from_secs(20), stopped).await;
}

/// R-53: a process that counted nothing learns by the event feed that the cap is reached.
async fn r_53_other_processes_learn_of_the_cap(app: &App) {
    let platform = app.platform().await;
    let other = app.another_server();
    let elsewhere = platform.at(&other.url);
    let path = format!("/v1/organizations/tailspin/allowance/{LOAD}");
    switch(app, true, Some(100)).await;
    assert_eq!(elsewhere.get(&path).await.ok()["usable"], 100);
    report(&platform, &[event("a", 100, &tests::now())]).await;
    let seen = async || (elsewhere.get(&path).await.ok()["reasons"][0]["code"] == "over_cap").then_some(());
    tests::eventually("the cap in another process", std::time::Duration::from_secs(4), seen).await;
}

/// A report that cannot be taken is refused whole, with where it is wrong, and counts nothing.
async fn usage_that_is_none(app: &App) {
    let platform = app.platform().await;
    switch(app, true, None).await;
    let at = "2018-04-15T09:00:00Z";
    let with = |field: &str, value: Value| {
        let mut odd = event("odd", 1, at);
        odd[field] = value;
        json!([event("fine", 1, at), odd])
    };
    for (field, value) in [
        ("id", json!("")),
        ("id", json!("x".repeat(256))),
        ("id", json!("ä")),
        ("id", json!(7)),
        ("organization", json!(null)),
        ("offer", json!(["ms.load-testing"])),
        ("quantity", json!("1")),
        ("quantity", json!(1.5)),
        ("quantity", json!(9_223_372_036_854_775_808_u64)),
        ("at", json!("yesterday")),
        ("at", json!("2018-04-31T00:00:00Z")),
        ("at", json!(1_523_000_000)),
        ("unheard", json!(true)),
    ] {
        let answer = platform.post("/v1/usage", with(field, value)).await;
        answer.invalid(&format!("/1/{field}"));
    }
    let many: Vec<_> = (0..1_001).map(|n| event(&format!("{n}"), 1, at)).collect();
    platform.post("/v1/usage", json!(many)).await.invalid("");
    platform.post("/v1/usage", event("alone", 1, at)).await.problem("invalid-request");
    let raw = async |body: Vec<u8>| {
        platform.raw(Method::POST, "/v1/usage", body, &[("content-type", "application/json")]).await
    };
    raw(b"[{\"id\": \"\xff\"}]".to_vec()).await.problem("invalid-request");
    raw(b"[".to_vec()).await.problem("invalid-request");
    assert_eq!(raw(vec![b' '; 2 << 20]).await.status, 413);
    assert_eq!(outcome(&report(&platform, &[]).await), json!([0, 0, []]));
    assert_eq!(app.database.number("SELECT count(*) FROM usage_events").await, 0);
    assert_eq!(outcome(&report(&platform, &many[..1_000]).await), json!([1_000, 0, []]));
    // Sums past the largest number are refused, not wrapped.
    let large = [event("l", i64::MAX, at), event("m", i64::MAX - 999, at), event("n", 1, at)];
    assert_eq!(outcome(&report(&platform, &large).await), json!([1, 0, ["over_cap", "over_cap"]]));
}

/// Switched on, capped and switched off on pages, and what was used on the organization's and the bill's.
async fn metered_use_on_pages(app: &App) {
    let (sue, platform) = (app.as_(SUE).await, app.platform().await);
    let visitor = Visitor::signed_in(app, SUE).await;
    visitor.get("/organizations/tailspin").await.says(200, "Switch on").says(200, "Off");
    switch(app, true, Some(40_000)).await;
    report(&platform, &[event("a", 30_000, "2018-04-15T09:00:00Z")]).await;
    let page = visitor.get("/organizations/tailspin").await;
    page.says(200, "30,000 of 40,000 used this month").says(200, "Change the cap").says(200, "Switch off");
    let payer = sue.subscription("Fabrikam Production").await;
    let bill = visitor.get(&format!("/subscriptions/{payer}/invoices/upcoming")).await;
    bill.says(200, "10,000 used above the included ones, April 2018").says(200, "$20.00");
    visitor.get(&format!("/subscriptions/{payer}")).await.says(200, "Used so far").says(200, "$20.00");
    report(&platform, &[event("b", 10_000, "2018-04-15T09:00:00Z")]).await;
    visitor.get("/organizations/tailspin").await.says(200, "At the cap");
    // The cap is raised from what it is, and then it is switched off.
    let change = [("organization", "tailspin"), ("offer", LOAD), ("on", "yes"), ("cap", "40000")];
    let checkout = visitor.send_form("/checkouts", &change).await.leads_to();
    visitor.get(&checkout).await.says(200, "value=\"40000\"");
    let off = [("organization", "tailspin"), ("offer", LOAD), ("on", "no"), ("counted", "yes")];
    let checkout = visitor.send_form("/checkouts", &off).await.leads_to();
    let page = visitor.get(&checkout).await;
    page.says(200, "Switch off");
    let (quote, linked) = (page.hidden("quote"), page.hidden("linked"));
    visitor.send_form(&format!("{checkout}/buy"), &[("quote", &quote), ("linked", &linked)]).await.leads_to();
    assert_eq!(metered(app).await, json!({ "on": false, "cap": null, "used": 40_000 }));
}
