//! The journeys that everything else serves: a first purchase that sets up billing on the way, in its three forms, and
//! billing set up ahead of buying.

use serde_json::{Value, json};
use tests::{App, Billing, Options, lines_of, on_both};

on_both! {
    journey_extension: Options::new();
    journey_users: Options::new();
    journey_new_subscription: Options::new();
    journey_setting_up_ahead: Options::new();
}

/// Asserts what a finished first purchase has left behind, as its buyer sees it.
async fn assert_bought(app: &App, who: &str, organization: &str, purchase: &Value) {
    let buyer = app.as_(who).await;
    assert_eq!(purchase["state"], "completed", "{purchase}");
    assert_eq!(purchase["billing_set_up"], true, "{purchase}");
    assert!(purchase["purchased_by"].as_str().is_some_and(|id| id.starts_with("usr_")), "{purchase}");

    let id = purchase["id"].as_str().expect("an id");
    assert!(id.starts_with("pur_") && id.len() == 30, "{id}");
    assert_eq!(buyer.get(&format!("/v1/purchases/{id}")).await.ok(), *purchase);
    let listed = buyer.all(&format!("/v1/organizations/{organization}/purchases")).await;
    assert_eq!(listed.iter().filter(|listed| listed["id"] == id).count(), 1);

    let billing = buyer.get(&format!("/v1/organizations/{organization}/billing")).await.ok();
    assert_eq!(billing["state"], "linked", "{billing}");
    assert!(billing["linked_at"].is_string() && billing["scheduled"].is_null(), "{billing}");

    for line in purchase["lines"].as_array().expect("lines") {
        let offer = line["offer"].as_str().expect("an offer");
        let has = buyer.entitlement(organization, offer).await;
        assert_eq!(has["committed"], line["quantity"]["to"], "{has}");
        assert_eq!(has["next"], line["quantity"]["to"], "{has}");
        assert_eq!(has["usable"], line["usable"]["to"], "{has}");
    }
    let completed = app.events().await;
    let of_it = completed
        .iter()
        .filter(|event| event.to_string().contains("\"purchase.completed\"") && event.to_string().contains(id));
    assert_eq!(of_it.count(), 1, "one act, one event: {completed:?}");
}

/// buying an extension for an organization without billing; the refusal alone leads on.
async fn journey_extension(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let found = ada.get("/v1/offers?kind=extension&q=test%20manager").await.ok();
    assert_eq!(found["data"][0]["slug"], "ms.vss-testmanager-web", "{found}");
    assert_eq!(ada.get("/v1/organizations/fabrikam/billing").await.ok()["state"], "not_set_up");

    let refused = ada.buys("fabrikam", "ms.vss-testmanager-web", 3, Billing::Linked).await;
    let problem = refused.problem("billing-setup-required");
    assert_eq!(problem["can_create"], true, "{problem}");
    let payers = problem["subscriptions"].as_array().expect("the picker");
    let payer = payers.iter().find(|payer| payer["eligible"] == true && payer["currency"] == "USD").expect("a payer");

    let bought = ada.buys("fabrikam", "ms.vss-testmanager-web", 3, Billing::Existing(text(&payer["id"]))).await;
    let purchase = bought.status(201);
    assert_eq!(purchase["subscription"], payer["id"]);
    assert_eq!(purchase["billing"], "will_link");
    assert_eq!(purchase["renewal"]["net"], json!({ "amount": "156.00", "currency": "USD" }));
    assert_bought(app, "ada@fabrikam.example", "fabrikam", &purchase).await;
    let has = ada.entitlement("fabrikam", "ms.vss-testmanager-web").await;
    assert_eq!((&has["installed"], &has["usable"]), (&json!(true), &json!(3)), "{has}");
}

/// paying for users; the second purchase finds billing set up.
async fn journey_users(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let payer = ada.subscription("Fabrikam Production").await;
    let quote = ada.quotes("fabrikam", "ms.vss-vstsuser", 5, Billing::Existing(&payer)).await.ok();
    assert_eq!(quote["billing"], "will_link", "{quote}");
    assert_eq!(quote["allowed"], true, "{quote}");
    assert!(quote["lines"][0]["why"].as_array().is_some_and(|steps| !steps.is_empty()), "{quote}");

    let mut body = tests::body_of("fabrikam", tests::items_of(&[("ms.vss-vstsuser", 5)]), Billing::Existing(&payer));
    body["quote"] = quote["id"].clone();
    let purchase = ada.post("/v1/purchases", body).await.status(201);
    assert_eq!(purchase["lines"][0]["quantity"], json!({ "from": 0, "to": 5 }));
    assert_eq!(purchase["lines"][0]["usable"], json!({ "from": 5, "to": 10 }));
    assert_eq!(lines_of(&purchase), lines_of(&quote), "a purchase is its quote, kept");
    assert_bought(app, "ada@fabrikam.example", "fabrikam", &purchase).await;

    let more = ada.buys("fabrikam", "ms.vss-vstsuser", 7, Billing::Linked).await.status(201);
    assert_eq!(more["billing"], "linked");
    assert_eq!(more["billing_set_up"], false);
    assert_eq!(more["lines"][0]["quantity"], json!({ "from": 5, "to": 7 }));
}

/// the subscription is made in the same act, and its creator owns it.
async fn journey_new_subscription(app: &App) {
    let adam = app.as_("adam@fabrikam.example").await;
    let new = Billing::New { name: "Fabrikam Payments", country: "DE", currency: "EUR" };
    let quote = adam.quotes("fabrikam", "ms.vss-vstsuser", 5, new).await.ok();
    assert_eq!((&quote["billing"], &quote["subscription"]), (&json!("will_create"), &Value::Null), "{quote}");
    assert!(adam.get("/v1/subscriptions").await.ok()["data"].as_array().is_some_and(Vec::is_empty));

    let purchase = adam.buys("fabrikam", "ms.vss-vstsuser", 5, new).await.status(201);
    assert_eq!(purchase["subscription_created"], true, "{purchase}");
    assert_eq!(purchase["renewal"]["net"], json!({ "amount": "25.50", "currency": "EUR" }));
    assert_bought(app, "adam@fabrikam.example", "fabrikam", &purchase).await;

    let made = adam.get(&format!("/v1/subscriptions/{}", text(&purchase["subscription"]))).await.ok();
    assert_eq!(made["name"], "Fabrikam Payments");
    assert_eq!((&made["kind"], &made["status"]), (&json!("pay_as_you_go"), &json!("active")), "{made}");
    assert_eq!((&made["country"], &made["currency"]), (&json!("DE"), &json!("EUR")), "{made}");
    let roles = made["roles"].to_string();
    assert!(roles.contains("adam@fabrikam.example") && roles.contains("owner"), "{made}");
}

/// billing is set up ahead of buying, then shown as linked; buying needs no choice any more.
async fn journey_setting_up_ahead(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let picker = ada.get("/v1/organizations/fabrikam/subscriptions").await.ok();
    let payer = picker["data"].as_array().and_then(|all| all.iter().find(|one| one["eligible"] == true));
    let payer = text(&payer.expect("a payer")["id"]).to_owned();

    ada.put("/v1/organizations/fabrikam/billing", json!({ "subscription": payer })).await.ok();
    let billing = ada.get("/v1/organizations/fabrikam/billing").await.ok();
    assert_eq!(billing["state"], "linked");
    assert!(billing["subscription"].to_string().contains(&payer), "{billing}");
    assert!(!billing["linked_by"].is_null() && billing["linked_at"].is_string(), "{billing}");

    // The same choice again changes nothing.
    ada.put("/v1/organizations/fabrikam/billing", json!({ "subscription": payer })).await.ok();
    assert_eq!(ada.get("/v1/organizations/fabrikam/billing").await.ok(), billing);

    let purchase = ada.buys("fabrikam", "ms.vss-vstsuser", 5, Billing::Linked).await.status(201);
    assert_eq!((&purchase["billing"], &purchase["billing_set_up"]), (&json!("linked"), &json!(false)), "{purchase}");
    let other = ada.subscription("Fabrikam Europe").await;
    let refused = ada.buys("fabrikam", "ms.vss-vstsuser", 6, Billing::Existing(&other)).await;
    assert!(refused.problem("billing-already-set-up")["subscription"].to_string().contains(&payer));
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not text: {value}"))
}
