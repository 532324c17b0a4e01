//! VAT numbers and reverse charge (R-49): what is checked when it is typed, what an operator confirms, and that quote, charge,
//! next invoice, issued invoice and e-invoice say one thing.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Actor, App, Billing, Options, on_both};

on_both! {
    r_49_vat_numbers_are_checked_where_they_are_typed: begin();
    r_49_a_confirmed_business_across_a_border_owes_the_tax_itself: begin();
    r_49_another_number_loses_the_confirmation: begin();
    r_49_no_border_no_reverse_charge: begin();
    r_49_who_may_confirm_and_by_what: begin();
}

const ADA: &str = "ada@fabrikam.example";
const OLGA: &str = "olga@platform.example";
const USERS: &str = "ms.vss-vstsuser";
const FRENCH: &str = "FR40303265045";
const RATES: &str = r#"
[seller]
name = "Purser Sales"
country = "DE"
address = "Hauptstrasse 1\n10115 Berlin"
tax_id = "DE136695976"
series = "P"
[[tax.rates]]
country = "FR"
percent = "20"
from = "2018-01-01"
[[tax.rates]]
country = "DE"
percent = "19"
from = "2018-01-01"
"#;

fn begin() -> Options {
    Options::at("2018-04-15T10:00:00Z").config(RATES)
}

fn business(country: &str, tax_id: &str) -> Value {
    json!({ "name": "Fabrikam France", "country": country, "currency": "EUR", "payment": { "method": "invoice" },
        "tax_id": tax_id, "address": "1 rue Neuve\n75001 Paris", "email": "bills@fabrikam.example" })
}

/// A French payer of Ada's with its number, and the path of its confirmation.
async fn french(ada: &Actor) -> (String, String) {
    let made = ada.post("/v1/subscriptions", business("FR", FRENCH)).await.status(201);
    let payer = made["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/subscriptions/{payer}/tax-confirmation");
    (payer, path)
}

fn vies(tax_id: &str) -> Value {
    json!({ "tax_id": tax_id, "evidence": "VIES WAPIAAAAYqFgEQ8V" })
}

/// `[net, tax]` of some totals.
fn sums(totals: &Value) -> [&str; 2] {
    ["net", "tax"].map(|part| totals[part]["amount"].as_str().expect("an amount"))
}

fn tax_step(quote: &Value) -> Value {
    let why = quote["lines"][0]["why"].as_array().expect("steps");
    why.iter().find(|step| step["step"] == "tax").expect("a tax step").clone()
}

async fn r_49_vat_numbers_are_checked_where_they_are_typed(app: &App) {
    let ada = app.as_(ADA).await;
    for (country, bad) in [("FR", "FR40303265046"), ("FR", "4030326504"), ("DE", "DE136695977"), ("GR", "GR1")] {
        ada.post("/v1/subscriptions", business(country, bad)).await.invalid("/tax_id");
        let items = json!([{ "offer": USERS, "quantity": 5 }]);
        let body = json!({ "organization": "fabrikam", "items": items,
            "billing": { "new_subscription": business(country, bad) } });
        ada.post("/v1/purchases", body).await.invalid("/billing/new_subscription/tax_id");
    }
    let made = ada.post("/v1/subscriptions", business("FR", "40 303 265 045")).await.status(201);
    let path = format!("/v1/subscriptions/{}", made["id"].as_str().expect("an id"));
    assert_eq!(ada.get(&path).await.ok()["tax_id"], FRENCH, "as it is written on invoices");
    ada.patch(&path, json!({ "tax_id": "FR40303265046" })).await.invalid("/tax_id");
    assert_eq!(ada.patch(&path, json!({ "tax_id": null })).await.ok()["tax_id"], Value::Null);
    // Other countries' numbers are nobody's here to check.
    ada.post("/v1/subscriptions", business("US", "12-3456789")).await.status(201);
}

async fn r_49_a_confirmed_business_across_a_border_owes_the_tax_itself(app: &App) {
    let (ada, olga) = (app.as_(ADA).await, app.as_(OLGA).await);
    let (payer, path) = french(&ada).await;
    let billing = Billing::Existing(&payer);
    let before = ada.quotes("fabrikam", USERS, 10, billing).await.ok();
    assert_eq!((sums(&before["now"]), tax_step(&before)["value"].as_str()), (["29.75", "5.95"], Some("20")));
    let detail = tax_step(&before)["detail"].as_str().expect("words").to_owned();
    assert!(detail.contains("not confirmed") && detail.contains("once an operator"), "{detail}");

    let confirmed = olga.put(&path, vies(FRENCH)).await.status(200);
    assert_eq!((&confirmed["tax_id"], &confirmed["evidence"]), (&json!(FRENCH), &vies("")["evidence"]));
    assert_eq!(ada.get(&path).await.ok(), confirmed);
    let quote = ada.quotes("fabrikam", USERS, 10, billing).await.ok();
    assert_eq!((sums(&quote["now"]), tax_step(&quote)["value"].as_str()), (["29.75", "0.00"], Some("reverse")));
    assert_eq!(sums(&quote["renewal"]), ["59.50", "0.00"]);
    let bought = ada.buys("fabrikam", USERS, 10, billing).await.status(201);
    assert_eq!((&bought["now"], &bought["renewal"]), (&quote["now"], &quote["renewal"]));
    let items = json!([{ "offer": "ms.load-testing", "metered": { "on": true } }]);
    ada.post("/v1/purchases", json!({ "organization": "fabrikam", "items": items })).await.status(201);
    let used = json!([{ "id": "a", "organization": "fabrikam", "offer": "ms.load-testing", "quantity": 30_000,
        "at": "2018-04-15T09:00:00Z" }]);
    app.platform().await.post("/v1/usage", used).await.ok();

    let upcoming = ada.get(&format!("/v1/subscriptions/{payer}/invoices/upcoming")).await.ok();
    app.move_clock("2018-05-01T02:00:00Z").await;
    let newest = &ada.all(&format!("/v1/subscriptions/{payer}/invoices")).await[0];
    for part in ["net", "tax", "total"] {
        assert_eq!(newest[part], upcoming[part], "{part}: what comes is what is issued");
    }
    assert_eq!(sums(newest), ["106.25", "0.00"]);
    let id = newest["id"].as_str().expect("an invoice");
    let invoice = ada.get(&format!("/v1/invoices/{id}")).await.ok();
    assert_eq!(invoice["taxes"].as_array().map(Vec::len), Some(1), "{invoice}");
    assert_eq!(invoice["taxes"][0]["rate"], "reverse");
    let accept = [("accept", "application/xml")];
    let xml = ada.raw(Method::GET, &format!("/v1/invoices/{id}"), Vec::new(), &accept).await;
    assert_eq!(xml.status, 200, "EN 16931 lacks nothing: {xml}");
    for part in ["<cbc:ID>AE</cbc:ID>", FRENCH, "DE136695976"] {
        assert!(xml.text().contains(part), "{part} is not in {}", xml.text());
    }
    let charge = bought["charges"][0].as_str().expect("a charge");
    assert!(app.prints(&["explain", charge]).contains("reverse charge"));
    assert!(app.prints(&["explain", id]).contains("reverse charge"));
    app.verify();
    // A charge that says so of whom nobody confirmed is found.
    olga.delete(&path).await.ok();
    app.verify();
    app.stop().await;
    let forged = "UPDATE events SET kind = 'tax.forgotten' WHERE kind = 'tax.confirmed'";
    assert_eq!(app.database.sql(forged).await, 1);
    app.fails(&["verify"]);
    let mended = "UPDATE events SET kind = 'tax.confirmed' WHERE kind = 'tax.forgotten'";
    assert_eq!(app.database.sql(mended).await, 1);
}

async fn r_49_another_number_loses_the_confirmation(app: &App) {
    let (ada, olga) = (app.as_(ADA).await, app.as_(OLGA).await);
    let (payer, path) = french(&ada).await;
    olga.put(&path, vies(FRENCH)).await.status(200);
    let subscription = format!("/v1/subscriptions/{payer}");
    ada.patch(&subscription, json!({ "name": "Renamed", "tax_id": FRENCH })).await.ok();
    ada.get(&path).await.ok();
    ada.patch(&subscription, json!({ "tax_id": "FR23334175221" })).await.ok();
    ada.get(&path).await.problem("not-found");
    let quote = ada.quotes("fabrikam", USERS, 10, Billing::Existing(&payer)).await.ok();
    assert_eq!(tax_step(&quote)["value"], "20");
    // The one that was asked about is no longer its number.
    olga.put(&path, vies(FRENCH)).await.invalid("/tax_id");
    olga.put(&path, vies("FR 23 334 175 221")).await.status(200);
    ada.buys("fabrikam", USERS, 10, Billing::Existing(&payer)).await.status(201);
    assert_eq!(olga.delete(&path).await.status, 204);
    assert_eq!(olga.delete(&path).await.status, 204, "twice is once");
    // What was charged stays as it was; the new month is taxed.
    app.move_clock("2018-05-01T02:00:00Z").await;
    let newest = &ada.all(&format!("{subscription}/invoices")).await[0];
    assert_eq!(sums(newest), ["89.25", "11.90"]);
    app.verify();
}

async fn r_49_no_border_no_reverse_charge(app: &App) {
    let (ada, olga) = (app.as_(ADA).await, app.as_(OLGA).await);
    let made = ada.post("/v1/subscriptions", business("DE", "DE136695976")).await.status(201);
    let payer = made["id"].as_str().expect("an id");
    olga.put(&format!("/v1/subscriptions/{payer}/tax-confirmation"), vies("DE136695976")).await.status(200);
    let quote = ada.quotes("fabrikam", USERS, 10, Billing::Existing(payer)).await.ok();
    assert_eq!(tax_step(&quote)["value"], "19");
    let made = ada.post("/v1/subscriptions", business("US", "12-3456789")).await.status(201);
    let payer = made["id"].as_str().expect("an id");
    olga.put(&format!("/v1/subscriptions/{payer}/tax-confirmation"), vies("12-3456789")).await.invalid("/tax_id");
}

async fn r_49_who_may_confirm_and_by_what(app: &App) {
    let (ada, olga) = (app.as_(ADA).await, app.as_(OLGA).await);
    let (_, path) = french(&ada).await;
    assert_eq!(ada.put(&path, vies(FRENCH)).await.problem("permission-denied")["missing"], "tax.confirm");
    app.as_("owen@contoso.example").await.put(&path, vies(FRENCH)).await.problem("not-found");
    for evidence in ["", " ", "a\nb"] {
        olga.put(&path, json!({ "tax_id": FRENCH, "evidence": evidence })).await.invalid("/evidence");
    }
    olga.put(&path, vies(FRENCH)).await.status(200);
    olga.put(&path, vies(FRENCH)).await.status(200);
    let told = "SELECT count(*) FROM events WHERE kind = 'tax.confirmed'";
    assert_eq!(app.database.number(told).await, 1);
}
