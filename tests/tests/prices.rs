//! What things cost, by the real catalogue and a test clock: models, day rules, rounding, up and down (R-21 to R-32).

use serde_json::{Value, json};
use tests::{Actor, App, Billing, Options, body_of, items_of, on_both};

on_both! {
    r_21_a_full_month_by_every_model: Options::at("2018-04-15T10:00:00Z");
    r_27_ten_users_on_15_april: Options::at("2018-04-15T10:00:00Z");
    r_28_one_more_on_10_may: Options::at("2018-05-10T09:00:00Z");
    r_27_each_day_rule: Options::at("2018-05-10T12:00:00Z").more_offers(DAY_RULES);
    r_27_first_and_last_day: Options::at("2018-04-01T00:00:00Z");
    r_24_half_a_cent_goes_up: Options::at("2018-04-15T10:00:00Z").more_offers(SMALL);
    r_28_many_small_steps_cost_what_one_costs: Options::at("2018-04-15T10:00:00Z").more_offers(SMALL);
    r_29_down_and_up_again_costs_nothing: Options::at("2018-04-15T10:00:00Z");
    r_31_the_first_paid_pipeline_replaces_the_free_one: Options::at("2018-04-15T10:00:00Z");
    r_32_minimum_and_maximum: Options::at("2018-04-15T10:00:00Z").more_offers(SMALL);
    r_42_the_next_invoice_is_said_beforehand: Options::at("2018-04-15T10:00:00Z");
    r_24_what_is_too_large_is_refused: Options::at("2018-04-15T10:00:00Z").more_offers(DEAR);
    r_49_tax_by_the_payers_country: Options::at("2018-04-15T10:00:00Z").config(TAX);
    r_25_why_leads_to_the_amount: Options::at("2018-04-15T10:00:00Z");
    real_time_cannot_be_moved: Options::new();
    a_seeded_link_does_not_hold_the_clock: Options::at("2018-04-15T10:00:00Z");
}

const USD: Billing<'static> = Billing::New { name: "Dollars", country: "US", currency: "USD" };
const EUR: Billing<'static> = Billing::New { name: "Euros", country: "DE", currency: "EUR" };

const TAX: &str = r#"
[[tax.rates]]
country = "DE"
percent = "19"
from = "2007-01-01"
[[tax.rates]]
country = "DE"
percent = "16"
from = "2020-07-01"
"#;

/// 31 units a month by each rule of R-27.
const DAY_RULES: &str = r#"
[[offer]]
slug = "ms.days-after"
name = "a"
publisher = "ms"
kind = "pipelines"
unit = "job"
proration = "days_after"
[offer.prices.USD]
model = "per_unit"
bands = [{ unit = "31.00" }]
[[offer]]
slug = "ms.inclusive-days"
name = "b"
publisher = "ms"
kind = "pipelines"
unit = "job"
proration = "inclusive_days"
[offer.prices.USD]
model = "per_unit"
bands = [{ unit = "31.00" }]
[[offer]]
slug = "ms.half-open-days"
name = "c"
publisher = "ms"
kind = "pipelines"
unit = "job"
proration = "half_open_days"
[offer.prices.USD]
model = "per_unit"
bands = [{ unit = "31.00" }]
[[offer]]
slug = "ms.fixed-30"
name = "d"
publisher = "ms"
kind = "pipelines"
unit = "job"
proration = "fixed_30"
[offer.prices.USD]
model = "per_unit"
bands = [{ unit = "31.00" }]
[[offer]]
slug = "ms.seconds"
name = "e"
publisher = "ms"
kind = "pipelines"
unit = "job"
proration = "seconds"
[offer.prices.USD]
model = "per_unit"
bands = [{ unit = "31.00" }]
[[offer]]
slug = "ms.none"
name = "f"
publisher = "ms"
kind = "pipelines"
unit = "job"
proration = "none"
[offer.prices.USD]
model = "per_unit"
bands = [{ unit = "31.00" }]
"#;

/// A cent a month, a yen a month, flat and volume prices, and a minimum.
const SMALL: &str = r#"
[[offer]]
slug = "ms.cent"
name = "Cent"
publisher = "ms"
kind = "pipelines"
unit = "job"
[offer.prices.USD]
model = "per_unit"
bands = [{ unit = "0.01" }]
[offer.prices.JPY]
model = "per_unit"
bands = [{ unit = "1" }]
[offer.prices.BHD]
model = "per_unit"
bands = [{ unit = "0.001" }]
[[offer]]
slug = "ms.from-five"
name = "From five"
publisher = "ms"
kind = "pipelines"
unit = "job"
minimum = 5
maximum = 50
[offer.prices.USD]
model = "flat"
bands = [{ flat = "100.00" }]
[[offer]]
slug = "ms.volume"
name = "Volume"
publisher = "ms"
kind = "pipelines"
unit = "job"
[offer.prices.USD]
model = "volume"
bands = [{ up_to = 5, unit = "7.00" }, { up_to = 10, unit = "6.50" }, { unit = "6.00", flat = "1.00" }]
"#;

/// Prices of which few units are all that an amount can hold.
const DEAR: &str = r#"
[[offer]]
slug = "ms.dear"
name = "Dear"
publisher = "ms"
kind = "pipelines"
unit = "job"
maximum = 1000
proration = "none"
[offer.prices.USD]
model = "per_unit"
bands = [{ unit = "90000000000000.00" }]
[[offer]]
slug = "ms.dearer"
name = "Dearer"
publisher = "ms"
kind = "pipelines"
unit = "job"
maximum = 1000
proration = "none"
[offer.prices.USD]
model = "per_unit"
bands = [{ unit = "90000000000000.00" }]
"#;

/// `amount` of a line's `now` or `renewal`.
fn amount<'a>(line: &'a Value, part: &str) -> &'a str {
    line[part]["amount"].as_str().unwrap_or_else(|| panic!("no {part} in {line}"))
}

/// The only line of a quote that is asked for now.
async fn line(actor: &Actor, organization: &str, offer: &str, quantity: i64, billing: Billing<'_>) -> Value {
    let quote = actor.quotes(organization, offer, quantity, billing).await.ok();
    assert_eq!(quote["now"]["net"], quote["lines"][0]["now"], "{quote}");
    assert_eq!(quote["renewal"]["net"], quote["lines"][0]["renewal"], "{quote}");
    quote["lines"][0].clone()
}

/// R-21, R-22: the bands count paid units; X-A1 and X-A2 of the worked examples among them.
async fn r_21_a_full_month_by_every_model(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    for (offer, quantity, usd, eur) in [
        ("ms.vss-vstsuser", 1, "6.00", "5.10"),
        ("ms.vss-vstsuser", 5, "30.00", "25.50"),
        ("ms.vss-vstsuser", 6, "38.00", "32.30"),
        ("ms.vss-vstsuser", 95, "750.00", "637.50"),
        ("ms.vss-vstsuser", 96, "754.00", "640.90"),
        ("ms.vss-vstsuser", 1495, "5350.00", "4547.50"),
        ("ms.build-release-hosted-pipelines", 3, "120.00", "101.19"),
        ("ms.build-release-private-pipelines", 3, "45.00", "37.95"),
        ("ms.vss-testmanager-web", 2, "104.00", "87.70"),
        ("ms.feed", 3, "12.00", "10.11"),
        ("berichthaus.tfstimetracker", 10, "25.00", "21.00"),
        ("berichthaus.tfstimetracker", 12, "29.00", "24.40"),
        ("spartez.agile-cards", 1, "10.00", "8.50"),
        ("spartez.agile-cards", 25, "10.00", "8.50"),
        ("spartez.agile-cards", 26, "20.00", "17.00"),
        ("agile-extensions.backlog-essentials", 1, "0.00", "0.00"),
        ("ms.feed", 0, "0.00", "0.00"),
    ] {
        for (billing, expected) in [(USD, usd), (EUR, eur)] {
            let line = line(&ada, "fabrikam", offer, quantity, billing).await;
            assert_eq!(amount(&line, "renewal"), expected, "{offer} × {quantity}: {line}");
        }
    }
}

/// R-27, X-C1: ten bought on 15 April cost 15/30 of a month, and a whole one from 1 May.
async fn r_27_ten_users_on_15_april(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let purchase = ada.buys("fabrikam", "ms.build-release-hosted-pipelines", 10, USD).await.status(201);
    assert_eq!(purchase["at"], "2018-04-15T10:00:00Z", "{purchase}");
    assert_eq!(amount(&purchase["lines"][0], "now"), "200.00", "{purchase}");
    assert_eq!(amount(&purchase["lines"][0], "renewal"), "400.00");
    assert_eq!(purchase["renewal"]["on"], "2018-05-01");
    let users = ada.buys("fabrikam", "ms.vss-vstsuser", 10, Billing::Linked).await.status(201);
    // 5 × 6 + 5 × 8 = 70, half of it now.
    assert_eq!((amount(&users["lines"][0], "now"), amount(&users["lines"][0], "renewal")), ("35.00", "70.00"));
}

/// R-28, X-C2: one more on 10 May costs 21/31 of the difference, by the whole price model.
async fn r_28_one_more_on_10_may(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let ten = ada.buys("fabrikam", "ms.vss-vstsuser", 10, USD).await.status(201);
    assert_eq!(amount(&ten["lines"][0], "now"), "47.42", "70 × 21/31: {ten}");
    let more = ada.buys("fabrikam", "ms.vss-vstsuser", 11, Billing::Linked).await.status(201);
    // (70 + 8) × 21/31 = 52.8387…, of which 47.42 was charged before.
    assert_eq!(amount(&more["lines"][0], "now"), "5.42", "{more}");
    let jobs = ada.buys("fabrikam", "ms.build-release-hosted-pipelines", 1, Billing::Linked).await.status(201);
    assert_eq!(amount(&jobs["lines"][0], "now"), "27.10", "40 × 21/31: {jobs}");
}

async fn r_27_each_day_rule(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    for (offer, now) in [
        ("ms.days-after", "21.00"),
        ("ms.inclusive-days", "22.00"),
        ("ms.half-open-days", "22.00"),
        ("ms.fixed-30", "21.70"),
        ("ms.seconds", "21.50"),
        ("ms.none", "31.00"),
    ] {
        let line = line(&ada, "fabrikam", offer, 1, USD).await;
        assert_eq!((amount(&line, "now"), amount(&line, "renewal")), (now, "31.00"), "{offer}: {line}");
    }
}

/// R-27: the first day costs 29/30 and the last nothing, and a leap February has 29 days.
async fn r_27_first_and_last_day(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    for (clock, now, on) in [
        ("2018-04-01T00:00:00Z", "38.67", "2018-05-01"),
        ("2018-04-30T00:00:00Z", "0.00", "2018-05-01"),
        ("2018-04-30T23:59:59.999999Z", "0.00", "2018-05-01"),
        ("2018-12-16T12:00:00Z", "19.35", "2019-01-01"),
        ("2019-02-14T12:00:00Z", "20.00", "2019-03-01"),
        ("2020-02-14T12:00:00Z", "20.69", "2020-03-01"),
    ] {
        app.move_clock(clock).await;
        let quote = ada.quotes("fabrikam", "ms.build-release-hosted-pipelines", 1, USD).await.ok();
        assert_eq!(amount(&quote["lines"][0], "now"), now, "{clock}: {quote}");
        assert_eq!(quote["renewal"]["on"], on, "{clock}: {quote}");
    }
}

/// R-24: once, at the end, half away from zero, to what the currency has.
async fn r_24_half_a_cent_goes_up(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    for (currency, country, quantity, now, renewal) in [
        ("USD", "US", 1, "0.01", "0.01"),
        ("USD", "US", 2, "0.01", "0.02"),
        ("USD", "US", 3, "0.02", "0.03"),
        ("JPY", "JP", 1, "1", "1"),
        ("JPY", "JP", 4, "2", "4"),
        ("BHD", "BH", 1, "0.001", "0.001"),
        ("BHD", "BH", 4, "0.002", "0.004"),
    ] {
        let billing = Billing::New { name: "Payer", country, currency };
        let line = line(&ada, "fabrikam", "ms.cent", quantity, billing).await;
        assert_eq!((amount(&line, "now"), amount(&line, "renewal")), (now, renewal), "{quantity} {currency}: {line}");
    }
    // X-A8: all units at the last band's price, its flat fee besides.
    for (quantity, renewal) in [(5, "35.00"), (6, "39.00"), (10, "65.00"), (11, "67.00"), (20, "121.00")] {
        let line = line(&ada, "fabrikam", "ms.volume", quantity, USD).await;
        assert_eq!(amount(&line, "renewal"), renewal, "{line}");
    }
}

/// R-28: no fraction is won or lost by buying in steps.
async fn r_28_many_small_steps_cost_what_one_costs(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let mut charged = Vec::new();
    for quantity in 1..=10 {
        let purchase =
            ada.buys("fabrikam", "ms.cent", quantity, if quantity == 1 { USD } else { Billing::Linked }).await;
        charged.push(amount(&purchase.status(201)["lines"][0], "now").to_owned());
    }
    // Half a cent each: 1, 1, 2, 2, 3, 3… cents in all, and 5 for ten.
    assert_eq!(charged.iter().filter(|charged| *charged == "0.01").count(), 5, "{charged:?}");
    assert_eq!(charged.iter().filter(|charged| *charged == "0.00").count(), 5, "{charged:?}");
    let sum = app.database.number("SELECT CAST(sum(amount) AS BIGINT) FROM charges").await;
    assert_eq!(sum, 5);
}

/// R-29: a decrease stops the renewal only; up to what is committed nothing is charged again.
async fn r_29_down_and_up_again_costs_nothing(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    for (total, billing, now, committed) in [
        (10, USD, "35.00", 10),
        (4, Billing::Linked, "0.00", 10),
        (0, Billing::Linked, "0.00", 10),
        (7, Billing::Linked, "0.00", 10),
        (10, Billing::Linked, "0.00", 10),
        (3, Billing::Linked, "0.00", 10),
        (11, Billing::Linked, "4.00", 11),
    ] {
        let purchase = ada.buys("fabrikam", "ms.vss-vstsuser", total, billing).await.status(201);
        assert_eq!(amount(&purchase["lines"][0], "now"), now, "to {total}: {purchase}");
        let has = ada.entitlement("fabrikam", "ms.vss-vstsuser").await;
        assert_eq!((&has["committed"], &has["next"]), (&json!(committed), &json!(total)), "{has}");
        assert_eq!((&has["usable"], &has["next_on"]), (&json!(5 + committed), &json!("2018-05-01")), "{has}");
    }
}

/// R-31: hosted pipelines: the first one bought lifts the limit of the free one instead of adding to it.
async fn r_31_the_first_paid_pipeline_replaces_the_free_one(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let offer = "ms.build-release-hosted-pipelines";
    for (total, billing, from, to) in [(1, USD, 1, 1), (3, Billing::Linked, 1, 3), (0, Billing::Linked, 3, 3)] {
        let purchase = ada.buys("fabrikam", offer, total, billing).await.status(201);
        assert_eq!(purchase["lines"][0]["usable"], json!({ "from": from, "to": to }), "{purchase}");
        assert_eq!(purchase["lines"][0]["included"], 1);
    }
    let line = line(&ada, "fabrikam", "ms.build-release-private-pipelines", 2, Billing::Linked).await;
    assert_eq!(line["usable"], json!({ "from": 1, "to": 3 }), "{line}");
    // An extension is usable only where it is installed, and buying installs it.
    assert_eq!(ada.entitlement("fabrikam", "ms.feed").await["usable"], 0);
    let line = ada.buys("fabrikam", "ms.feed", 2, Billing::Linked).await.status(201)["lines"][0].clone();
    assert_eq!(line["usable"], json!({ "from": 0, "to": 7 }), "{line}");
}

/// R-32, R-26: outside the bounds is refused with the numbers; to stop is always allowed.
async fn r_32_minimum_and_maximum(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    for quantity in [1, 4, 51, i64::MAX] {
        for answer in [
            ada.buys("fabrikam", "ms.from-five", quantity, USD).await,
            ada.quotes("fabrikam", "ms.from-five", quantity, USD).await,
        ] {
            let problem = answer.problem("quantity-out-of-range");
            assert_eq!((&problem["minimum"], &problem["maximum"]), (&json!(5), &json!(50)), "{problem}");
        }
    }
    let bought = ada.buys("fabrikam", "ms.from-five", 5, USD).await.status(201);
    assert_eq!((amount(&bought["lines"][0], "now"), amount(&bought["lines"][0], "renewal")), ("50.00", "100.00"));
    let more = ada.buys("fabrikam", "ms.from-five", 50, Billing::Linked).await.status(201);
    assert_eq!(amount(&more["lines"][0], "now"), "0.00", "a flat price: {more}");
    ada.buys("fabrikam", "ms.from-five", 0, Billing::Linked).await.status(201);
    let has = ada.entitlement("fabrikam", "ms.from-five").await;
    assert_eq!((&has["committed"], &has["next"], &has["maximum"]), (&json!(50), &json!(0), &json!(50)), "{has}");
}

/// R-42: part month and full month on one bill surprise nobody, whatever else the payer is billed for.
async fn r_42_the_next_invoice_is_said_beforehand(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let payer = ada.subscription("Fabrikam Production").await;
    let first = ada.buys("fabrikam", "ms.vss-vstsuser", 10, Billing::Existing(&payer)).await.status(201);
    assert_eq!(first["next_invoice"]["on"], "2018-05-01", "{first}");
    assert_eq!(first["next_invoice"]["net"]["amount"], "105.00", "35 and 70: {first}");
    assert_eq!(first["collected"], "on_invoice");
    let second = ada.buys("tailspin", "ms.feed", 10, Billing::Linked).await.status(201);
    assert_eq!(second["next_invoice"]["net"]["amount"], "165.00", "105, 20 and 40: {second}");
    let less = ada.quotes("fabrikam", "ms.vss-vstsuser", 5, Billing::Linked).await.ok();
    assert_eq!(less["next_invoice"]["net"]["amount"], "125.00", "35, 30, 20 and 40: {less}");
    // What was only quoted is on no bill.
    let same = ada.quotes("fabrikam", "ms.vss-vstsuser", 10, Billing::Linked).await.ok();
    assert_eq!(same["next_invoice"]["net"]["amount"], "165.00", "{same}");
}

/// R-24: arithmetic cannot overflow: what no amount can hold is refused, line, sum or bill, and nothing is changed.
async fn r_24_what_is_too_large_is_refused(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let refused = |answer: tests::Answer| assert!((400..500).contains(&answer.status), "{answer}");
    for items in [
        &[("ms.dear", 1_000_000_000)][..],
        &[("ms.dear", 1_000)],
        &[("ms.dear", 600)],
        &[("ms.dear", 300), ("ms.dearer", 300)],
    ] {
        refused(ada.buys_all("fabrikam", items, USD).await);
        refused(ada.quotes_all("fabrikam", items, USD).await);
    }
    let bought = ada.buys("fabrikam", "ms.dear", 400, USD).await.status(201);
    assert_eq!(amount(&bought["lines"][0], "now"), "36000000000000000.00");
    refused(ada.buys("fabrikam", "ms.dearer", 400, Billing::Linked).await);
    refused(ada.buys("fabrikam", "ms.dear", 600, Billing::Linked).await);
    assert_eq!(ada.entitlement("fabrikam", "ms.dear").await["next"], 400);
}

/// R-24, R-49: the payer's country, the rate of the service's first day, taken on the sum.
async fn r_49_tax_by_the_payers_country(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let money = |amount: &str, currency: &str| json!({ "amount": amount, "currency": currency });
    let none = ada.quotes("fabrikam", "ms.vss-vstsuser", 5, USD).await.ok();
    assert_eq!((&none["now"]["tax"], &none["now"]["total"]), (&money("0.00", "USD"), &money("15.00", "USD")), "{none}");

    let items = items_of(&[("ms.vss-vstsuser", 5), ("ms.feed", 3)]);
    let quote = ada.post("/v1/quotes", body_of("fabrikam", items, EUR)).await.ok();
    // 12.75 + 5.055 → 5.06; 19 % of 17.81 is 3.3839.
    assert_eq!(quote["now"]["net"], money("17.81", "EUR"), "{quote}");
    assert_eq!(quote["now"]["tax"], money("3.38", "EUR"), "{quote}");
    assert_eq!(quote["now"]["total"], money("21.19", "EUR"), "{quote}");
    // 25.50 + 10.11; 19 % of 35.61 is 6.7659.
    assert_eq!(quote["renewal"]["tax"], money("6.77", "EUR"), "{quote}");
    assert_eq!(quote["next_invoice"]["net"], money("53.42", "EUR"), "{quote}");
    assert_eq!(quote["next_invoice"]["tax"], money("10.15", "EUR"), "{quote}");
    // Before billing exists by the organization's country, and said to be provisional.
    let open = ada.quotes("fabrikam", "ms.vss-vstsuser", 5, Billing::Linked).await.ok();
    assert_eq!(open["now"]["tax"], money("2.85", "USD"), "{open}");
    assert!(open.to_string().contains("provisional"), "{open}");
}

/// R-25: the explanation of quote, purchase and `purser explain` is one, and its charge is the amount.
async fn r_25_why_leads_to_the_amount(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let quote = ada.quotes("fabrikam", "ms.vss-vstsuser", 10, USD).await.ok();
    let bought = ada.buys("fabrikam", "ms.vss-vstsuser", 10, USD).await.status(201);
    let why = &bought["lines"][0]["why"];
    assert_eq!(quote["lines"][0]["why"], *why);
    let steps = why.as_array().expect("steps");
    let step =
        |name: &str| steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name}: {why}"));
    for member in ["step", "detail", "value"] {
        assert!(steps.iter().all(|step| step[member].is_string()), "{why}");
    }
    assert_eq!(step("price_version")["value"], "1", "{why}");
    assert!(["1/2", "15/30"].contains(&step("days")["value"].as_str().expect("a value")), "{why}");
    assert_eq!(step("rounding")["value"], "35.00", "{why}");
    let parts = steps.iter().filter(|step| step["step"] == "price_after").map(|step| step["value"].clone());
    assert_eq!(parts.collect::<Vec<_>>(), [json!("30"), json!("40")], "one a band: {why}");

    let text = bought.to_string();
    let at = text.find("chg_").expect("the charge's id in the purchase");
    let explained = app.prints(&["explain", &text[at..at + 30]]);
    for part in ["ms.vss-vstsuser", "35.00", "15", "30"] {
        assert!(explained.contains(part), "{explained}");
    }
    for step in steps.iter().filter(|step| step["step"] != "renewal" && step["step"] != "tax") {
        let detail = step["detail"].as_str().expect("a detail");
        assert!(explained.contains(detail), "{detail} is not in\n{explained}");
    }
    assert!(!app.fails(&["explain", "chg_00000000000000000000000000"]).contains("panicked"));
}

/// What was seeded or applied in real time must not push the test clock's business time forward.
async fn a_seeded_link_does_not_hold_the_clock(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let bought = sue.buys("tailspin", "ms.feed", 10, Billing::Linked).await.status(201);
    assert_eq!((&bought["at"], &bought["now"]["net"]["amount"]), (&json!("2018-04-15T10:00:00Z"), &json!("20.00")));
    app.move_clock("2018-04-20T10:00:00Z").await;
    let more = sue.buys("tailspin", "ms.feed", 11, Billing::Linked).await.status(201);
    assert_eq!((&more["at"], &more["now"]["net"]["amount"]), (&json!("2018-04-20T10:00:00Z"), &json!("1.33")));
    // Forward only; a restart keeps what is stored.
    sue.post("/v1/clock", json!({ "now": "2018-04-19T10:00:00Z" })).await.problem("invalid-request");
    app.stop().await;
    app.start_again().await;
    let quote = sue.quotes("tailspin", "ms.feed", 12, Billing::Linked).await.ok();
    assert_eq!(quote["at"], "2018-04-20T10:00:00Z", "{quote}");
}

/// Where there is no test clock, nobody moves time.
async fn real_time_cannot_be_moved(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let answer = ada.post("/v1/clock", json!({ "now": "2036-04-19T10:00:00Z" })).await;
    assert!([404, 409, 422].contains(&answer.status), "{answer}");
    let quote = ada.quotes("tailspin", "ms.feed", 1, Billing::Linked).await.ok();
    assert!(quote["at"].as_str().is_some_and(|at| !at.starts_with("2036")), "{quote}");
}
