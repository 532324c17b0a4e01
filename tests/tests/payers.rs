//! Which subscriptions can pay, and how the picker shows them (R-10 to R-13).

use serde_json::{Value, json};
use tests::{App, Billing, Options, on_both, seeds};

/// An offer of a partner that only payers of these countries may buy: it is what brings every code of R-11 out.
const SERVED_HERE: &str = r#"
[[offer]]
slug = "spartez.local"
name = "Local"
publisher = "spartez"
kind = "extension"
unit = "user"
countries = ["US", "JP"]
[offer.prices.USD]
model = "per_unit"
bands = [{ unit = "10.00" }]
"#;

fn payers() -> Options {
    Options::new()
        .seed(seeds::PAYERS)
        .more_offers(SERVED_HERE)
        .config("[payments]\nmethods = ['invoice', 'simulated']\nallow_simulated = true\n")
}

on_both! {
    r_11_each_code_and_what_to_do: payers();
    r_10_kinds_that_pay: payers();
    r_13_a_payer_in_arrears_may_only_go_down: payers();
    r_11_the_picker_is_paged_and_searched: payers();
}

const CODES: &[&str] = &[
    "not_permitted",
    "free_trial",
    "unsupported_kind",
    "spending_limit_on",
    "past_due",
    "disabled",
    "card_required",
    "currency_mismatch",
    "country_not_served",
    "marketplace_disabled",
];

/// R-11, R-12: the picker, the quote and the purchase give the same reasons, each with a sentence and a remedy.
async fn r_11_each_code_and_what_to_do(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let picker = ada.all("/v1/organizations/fabrikam/subscriptions?offer=spartez.local&limit=100").await;
    let named = |name: &str| picker.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    for code in CODES {
        let shown = named(code);
        assert_eq!(shown["eligible"], false, "{shown}");
        let reasons = shown["reasons"].as_array().expect("reasons");
        let codes: Vec<_> = reasons.iter().map(|reason| reason["code"].as_str().expect("a code")).collect();
        assert!(codes.contains(code), "{code}: {shown}");
        assert!(codes.iter().all(|code| CODES.contains(code)), "{shown}");
        for reason in reasons {
            let said = |member: &str| reason[member].as_str().is_some_and(|text| text.ends_with('.'));
            assert!(said("message") && said("remedy"), "{code}: {reason}");
        }
        let payer = shown["id"].as_str().expect("an id");
        let refused = ada.buys("fabrikam", "spartez.local", 2, Billing::Existing(payer)).await;
        assert_eq!(refused.problem("subscription-not-eligible")["reasons"], shown["reasons"], "{code}");
        let quote = ada.quotes("fabrikam", "spartez.local", 2, Billing::Existing(payer)).await;
        if *code == "currency_mismatch" {
            // Without a price there is nothing to quote.
            assert_eq!(quote.problem("subscription-not-eligible")["reasons"], shown["reasons"]);
        } else {
            let quote = quote.ok();
            assert_eq!((&quote["allowed"], &quote["reasons"]), (&json!(false), &shown["reasons"]), "{code}");
        }
    }
    for name in ["pays-by-card", "pays-warned", "pays-enterprise", "pays-csp", "pays-benefit"] {
        assert_eq!((&named(name)["eligible"], &named(name)["reasons"]), (&json!(true), &json!([])), "{name}");
    }
    // The same choice stands in the refusal of a purchase without one (R-16).
    let refused = ada.buys("fabrikam", "spartez.local", 2, Billing::Linked).await;
    let problem = refused.problem("billing-setup-required");
    let shown = problem["subscriptions"].as_array().expect("the picker");
    assert!(!shown.is_empty() && shown.iter().all(|one| picker.contains(one)), "{problem}");
    assert_eq!(app.database.number("SELECT count(*) FROM links").await, 0, "nothing of it did anything");
}

/// R-10, R-12: each kind that pays does; a partner's extension takes a card, the platform's own does not.
async fn r_10_kinds_that_pay(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    for (name, own, partner) in [
        ("pays-by-card", true, true),
        ("pays-warned", true, true),
        ("pays-enterprise", true, true),
        ("pays-csp", true, true),
        ("pays-benefit", true, true),
        ("card_required", true, false),
        ("marketplace_disabled", true, false),
        ("free_trial", false, false),
        ("unsupported_kind", false, false),
        ("spending_limit_on", false, false),
        ("past_due", false, false),
        ("disabled", false, false),
    ] {
        let payer = ada.subscription(name).await;
        for (offer, allowed) in [("ms.vss-testmanager-web", own), ("spartez.local", partner)] {
            let quote = ada.quotes("fabrikam", offer, 1, Billing::Existing(&payer)).await.ok();
            assert_eq!(quote["allowed"], allowed, "{name}, {offer}: {quote}");
        }
    }
    // A price of nothing fits every currency (R-22).
    let payer = ada.subscription("currency_mismatch").await;
    let free = ada.quotes("fabrikam", "agile-extensions.backlog-essentials", 1, Billing::Existing(&payer)).await.ok();
    assert_eq!(free["allowed"], true, "{free}");
    let payer = ada.subscription("pays-enterprise").await;
    ada.buys("fabrikam", "spartez.local", 1, Billing::Existing(&payer)).await.status(201);
}

/// R-13: what needs a payer in order, and what does not.
async fn r_13_a_payer_in_arrears_may_only_go_down(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let payer = ada.subscription("pays-by-card").await;
    ada.buys("fabrikam", "ms.vss-testmanager-web", 10, Billing::Existing(&payer)).await.status(201);
    app.stop().await;
    for status in ["past_due", "disabled"] {
        let set = format!("UPDATE subscriptions SET status = '{status}' WHERE name = 'pays-by-card'");
        assert_eq!(app.database.sql(&set).await, 1);
        app.start_again().await;
        for offer in ["ms.vss-testmanager-web", "ms.feed"] {
            let refused = ada.buys("fabrikam", offer, 11, Billing::Linked).await;
            let problem = refused.problem("subscription-not-eligible");
            assert_eq!(problem["reasons"][0]["code"], status, "{problem}");
        }
        let quantity = if status == "past_due" { 4 } else { 0 };
        let down = ada.buys("fabrikam", "ms.vss-testmanager-web", quantity, Billing::Linked).await.status(201);
        assert_eq!(down["lines"][0]["quantity"]["to"], quantity);
        app.stop().await;
    }
    app.database.sql("UPDATE subscriptions SET status = 'active' WHERE name = 'pays-by-card'").await;
}

/// R-11: paged without gaps or repeats, searched by name, ineligible ones included.
async fn r_11_the_picker_is_paged_and_searched(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let path = "/v1/organizations/fabrikam/subscriptions?offer=ms.feed";
    let whole = ada.all(&format!("{path}&limit=100")).await;
    assert_eq!(whole.len(), 15);
    let paged = ada.all(&format!("{path}&limit=4")).await;
    assert_eq!(paged, whole);
    let first = ada.get(&format!("{path}&limit=4")).await.ok();
    assert_eq!(first["data"].as_array().map(Vec::len), Some(4));
    assert_eq!(first["can_create"], true);
    let found = ada.all(&format!("{path}&q=PAYS-")).await;
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found.iter().all(|one| one["name"].as_str().is_some_and(|name| name.starts_with("pays-"))));
    assert_eq!(ada.all(&format!("{path}&q=nothing-like-it")).await, Vec::<Value>::new());
}
