//! Quotes: no effect, 15 minutes, and a purchase by one is what it said or nothing (contract, R-28).

use serde_json::{Value, json};
use tests::{Actor, Answer, App, Billing, Options, body_of, items_of, lines_of, on_both};

on_both! {
    a_quote_has_no_effect: Options::at("2018-04-15T10:00:00Z");
    buying_by_a_quote: Options::at("2018-04-15T10:00:00Z");
    an_old_quote_is_refused: Options::at("2018-04-15T10:00:00Z");
    a_quote_holds_for_what_it_said: Options::at("2018-04-15T10:00:00Z");
    a_price_that_changed_is_shown_first: Options::at("2018-04-15T10:00:00Z");
}

const OFFER: &str = "ms.build-release-private-pipelines";

async fn by(actor: &Actor, quote: &Value, items: &[(&str, i64)]) -> Answer {
    let mut body = body_of("tailspin", items_of(items), Billing::Linked);
    body["quote"] = quote["id"].clone();
    actor.post("/v1/purchases", body).await
}

async fn a_quote_has_no_effect(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let tables =
        ["purchases", "charges", "transfers", "entitlements", "links", "subscriptions", "events", "idempotency"];
    let mut before = Vec::new();
    for table in tables {
        before.push(app.database.number(&format!("SELECT count(*) FROM {table}")).await);
    }
    let new = Billing::New { name: "Never made", country: "US", currency: "USD" };
    let one = ada.quotes("fabrikam", OFFER, 5, new).await.ok();
    let other = ada.quotes("fabrikam", OFFER, 5, new).await.ok();
    assert!(one["id"].as_str().is_some_and(|id| id.starts_with("quo_")), "{one}");
    assert_eq!((&one["at"], &one["expires_at"]), (&json!("2018-04-15T10:00:00Z"), &json!("2018-04-15T10:15:00Z")));
    assert_eq!((&one["lines"], &one["now"]), (&other["lines"], &other["now"]));
    for (table, before) in tables.iter().zip(before) {
        assert_eq!(app.database.number(&format!("SELECT count(*) FROM {table}")).await, before, "{table}");
    }
}

async fn buying_by_a_quote(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let quote = sue.quotes("tailspin", OFFER, 2, Billing::Linked).await.ok();
    let bought = by(&sue, &quote, &[(OFFER, 2)]).await.status(201);
    for member in ["organization", "subscription", "now", "renewal", "collected"] {
        assert_eq!(bought[member], quote[member], "{member}");
    }
    assert_eq!(lines_of(&bought), lines_of(&quote));
    // The quantities are no longer the quote's.
    let problem = by(&sue, &quote, &[(OFFER, 2)]).await.problem("price-changed");
    assert_eq!(problem["quote"]["lines"][0]["quantity"], json!({ "from": 2, "to": 2 }), "{problem}");
    // Somebody else may buy by it: it says what, not who.
    let quote = sue.quotes("tailspin", OFFER, 3, Billing::Linked).await.ok();
    by(&app.as_("bill@fabrikam.example").await, &quote, &[(OFFER, 3)]).await.status(201);
}

async fn an_old_quote_is_refused(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let quote = sue.quotes("tailspin", OFFER, 2, Billing::Linked).await.ok();
    app.move_clock("2018-04-15T10:14:59Z").await;
    let last = sue.quotes("tailspin", OFFER, 2, Billing::Linked).await.ok();
    app.move_clock("2018-04-15T10:15:00Z").await;
    let problem = by(&sue, &quote, &[(OFFER, 2)]).await.problem("price-changed");
    assert_eq!(sue.entitlement("tailspin", OFFER).await["next"], 0, "nothing has happened");
    assert_eq!(problem["quote"]["at"], "2018-04-15T10:15:00Z", "{problem}");
    by(&sue, &last, &[(OFFER, 2)]).await.status(201);
    // Tokens keep real time: the clock of 2018 has not made this one invalid, nor does the new quote need another.
    assert_ne!(problem["quote"]["id"], quote["id"]);
}

async fn a_quote_holds_for_what_it_said(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let quote = sue.quotes("tailspin", OFFER, 2, Billing::Linked).await.ok();
    by(&sue, &quote, &[(OFFER, 3)]).await.problem("price-changed");
    by(&sue, &quote, &[(OFFER, 2), ("ms.feed", 1)]).await.problem("price-changed");
    by(&sue, &quote, &[("ms.feed", 2)]).await.problem("price-changed");
    // How metered use is switched, and its cap, are of the quote too, though they cost nothing yet.
    let metered = |cap: i64, quote: &Value| {
        let items = json!([{ "offer": "ms.load-testing", "metered": { "on": true, "cap": cap } }]);
        let mut body = json!({ "organization": "tailspin", "items": items });
        if let Some(id) = quote.get("id") {
            body["quote"] = id.clone();
        }
        body
    };
    let quote = sue.post("/v1/quotes", metered(100, &Value::Null)).await.ok();
    sue.post("/v1/purchases", metered(900_000, &quote)).await.problem("price-changed");
    sue.post("/v1/purchases", metered(100, &quote)).await.status(201);
    // The day's end is within 15 minutes of it, and then it costs less.
    app.move_clock("2018-04-15T23:55:00Z").await;
    let quote = sue.quotes("tailspin", OFFER, 2, Billing::Linked).await.ok();
    app.move_clock("2018-04-16T00:00:00Z").await;
    let problem = by(&sue, &quote, &[(OFFER, 2)]).await.problem("price-changed");
    assert_eq!(problem["quote"]["now"]["net"]["amount"], "14.00", "30 × 14/30: {problem}");
    by(&sue, &problem["quote"], &[(OFFER, 2)]).await.status(201);
    // An id that nobody gave.
    let mut forged = problem["quote"].clone();
    for id in ["quo_", "nonsense", "quo_00000000000000000000000000", ""] {
        forged["id"] = json!(id);
        let refused = by(&sue, &forged, &[(OFFER, 2)]).await;
        assert!([400, 409, 422].contains(&refused.status), "{refused}");
    }
    assert_eq!(sue.entitlement("tailspin", OFFER).await["next"], 2);
}

/// R-23: a new price is applied between quote and purchase.
async fn a_price_that_changed_is_shown_first(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let quote = sue.quotes("tailspin", OFFER, 2, Billing::Linked).await.ok();
    assert_eq!(quote["now"]["net"]["amount"], "15.00");
    let catalog =
        app.options.catalog.as_deref().expect("a catalogue").replace(r#"unit = "15.00""#, r#"unit = "17.00""#);
    app.prints(&["catalog", "apply", &app.file("new.toml", &catalog)]);
    let problem = by(&sue, &quote, &[(OFFER, 2)]).await.problem("price-changed");
    assert_eq!(problem["quote"]["now"]["net"]["amount"], "17.00", "{problem}");
    let bought = by(&sue, &problem["quote"], &[(OFFER, 2)]).await.status(201);
    assert_eq!(bought["lines"][0]["why"][0]["value"], "2", "version 2 of the price: {bought}");
}
