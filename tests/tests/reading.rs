//! What people and the platform read: entitlements, actions, the platform's question, events, audit.

use serde_json::{Value, json};
use tests::{Actor, App, Billing, Options, on_both};

on_both! {
    entitlements_of_what_nobody_bought: Options::new();
    r_53_allowance: Options::at("2018-04-15T10:00:00Z");
    actions_for_an_offer: Options::new();
    r_31_installing_what_is_free: Options::new();
    r_55_the_audit_trail_of_an_organization: Options::new();
    r_54_events_in_one_order: Options::new();
    organizations_and_subscriptions_are_paged: Options::new();
}

const USERS: &str = "ms.vss-vstsuser";

/// Zeros for a visible offer that nobody bought; after buying, the list has it as the single one.
async fn entitlements_of_what_nobody_bought(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    for (offer, included, usable, maximum) in [
        (USERS, 5, 5, 100_000),
        ("ms.vss-testmanager-web", 0, 0, 100_000),
        ("ms.build-release-hosted-pipelines", 1, 1, 500),
    ] {
        let has = sue.entitlement("tailspin", offer).await;
        assert_eq!(has["offer"], offer, "{has}");
        for (member, value) in [
            ("included", json!(included)),
            ("committed", json!(0)),
            ("next", json!(0)),
            ("usable", json!(usable)),
            ("assigned", json!(0)),
            ("maximum", json!(maximum)),
            ("trial", json!(null)),
            ("metered", json!(null)),
            ("reasons", json!([])),
        ] {
            assert_eq!(has[member], value, "{offer}, {member}: {has}");
        }
        assert!(has["installed"].is_boolean() && has["state"].is_string(), "{has}");
    }
    sue.get("/v1/organizations/tailspin/entitlements/unheard.of").await.problem("not-found");
    sue.buys_all("tailspin", &[("ms.feed", 3), (USERS, 4)], Billing::Linked).await.status(201);
    let listed = sue.all("/v1/organizations/tailspin/entitlements?limit=1").await;
    for offer in ["ms.feed", USERS] {
        let alone = sue.entitlement("tailspin", offer).await;
        assert!(listed.contains(&alone), "{alone} is not in {listed:?}");
        let listed = listed.iter().filter(|one| one["offer"] == offer).count();
        assert_eq!(listed, 1, "{offer}");
    }
}

/// may this organization use this now, how many, until when, and if not why.
async fn r_53_allowance(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let (mia, platform) = (app.as_("mia@fabrikam.example").await, app.platform().await);
    let path = |offer: &str| format!("/v1/organizations/tailspin/allowance/{offer}");
    let extension = "ms.vss-testmanager-web";
    let none = platform.get(&path(extension)).await.ok();
    assert_eq!((&none["allowed"], &none["usable"]), (&json!(false), &json!(0)), "{none}");
    let reason = &none["reasons"][0];
    assert!(["code", "message", "remedy"].iter().all(|member| reason[member].is_string()), "{none}");
    assert!(none["as_of"].is_string() && none["until"].is_string() | none["until"].is_null(), "{none}");

    let free = platform.get(&path(USERS)).await.ok();
    assert_eq!((&free["allowed"], &free["usable"], &free["reasons"]), (&json!(true), &json!(5), &json!([])), "{free}");
    // What was bought is known to the next question.
    for quantity in [3, 7] {
        sue.buys_all("tailspin", &[(extension, quantity), (USERS, quantity)], Billing::Linked).await.status(201);
        for actor in [&platform, &mia] {
            let now = actor.get(&path(extension)).await.ok();
            assert_eq!((&now["allowed"], &now["usable"]), (&json!(true), &json!(quantity)), "{now}");
            assert_eq!(actor.get(&path(USERS)).await.ok()["usable"], 5 + quantity);
        }
    }
    platform.get(&path("unheard.of")).await.problem("not-found");
    platform.get("/v1/organizations/unheard/allowance/ms.feed").await.problem("not-found");
    let id = sue.get("/v1/organizations/tailspin").await.ok()["id"].as_str().expect("an id").to_owned();
    assert_eq!(platform.get(&format!("/v1/organizations/{id}/allowance/{USERS}")).await.ok()["usable"], 12);
}

async fn action(actor: &Actor, organization: &str, offer: &str, action: &str) -> Value {
    let answer = actor.get(&format!("/v1/organizations/{organization}/actions?offer={offer}")).await.ok();
    let all = answer.as_array().or(answer["data"].as_array()).unwrap_or_else(|| panic!("no list: {answer}")).clone();
    let found = all.iter().find(|one| one["action"] == action);
    found.unwrap_or_else(|| panic!("no {action} in {answer}")).clone()
}

/// what a person may do with an offer here, and what to do if not.
async fn actions_for_an_offer(app: &App) {
    for (who, organization, buy, request) in [
        ("ada@fabrikam.example", "fabrikam", true, None),
        ("adam@fabrikam.example", "fabrikam", true, None),
        ("mia@fabrikam.example", "fabrikam", false, Some(true)),
        ("sue@fabrikam.example", "tailspin", true, None),
        ("rita@fabrikam.example", "tailspin", false, None),
        ("otto@fabrikam.example", "tailspin", false, None),
    ] {
        let actor = app.as_(who).await;
        let may = action(&actor, organization, USERS, "buy").await;
        assert_eq!(may["allowed"], buy, "{who}: {may}");
        let reasons = may["reasons"].as_array().expect("reasons");
        assert_eq!(reasons.is_empty(), buy, "{who}: {may}");
        for reason in reasons {
            assert!(["code", "message", "remedy"].iter().all(|member| reason[member].is_string()), "{who}: {may}");
        }
        if let Some(request) = request {
            let may = action(&actor, organization, USERS, "request").await;
            assert!(may["allowed"] == request || !may["reasons"].as_array().is_none_or(Vec::is_empty), "{who}: {may}");
        }
    }
    let ada = app.as_("ada@fabrikam.example").await;
    ada.get("/v1/organizations/fabrikam/actions?offer=unheard.of").await.problem("not-found");
    ada.get("/v1/organizations/fabrikam/actions").await.problem("invalid-request");
    ada.get("/v1/organizations/contoso/actions?offer=ms.feed").await.problem("not-found");
}

/// a free extension is installed without a payer, and usable only where it is.
async fn r_31_installing_what_is_free(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let offer = "agile-extensions.backlog-essentials";
    let path = format!("/v1/organizations/fabrikam/entitlements/{offer}/installation");
    for (on, usable) in [(true, 1), (true, 1), (false, 0), (false, 0), (true, 1)] {
        if on {
            ada.put(&path, json!({})).await.ok()
        } else {
            ada.delete(&path).await.ok()
        };
        let has = ada.entitlement("fabrikam", offer).await;
        assert_eq!((&has["installed"], &has["usable"]), (&json!(on), &json!(usable)), "{has}");
        let may = ada.get(&format!("/v1/organizations/fabrikam/allowance/{offer}")).await.ok();
        assert_eq!((&may["allowed"], &may["usable"]), (&json!(on), &json!(usable)), "{may}");
    }
    for (offer, slug) in [("unheard.of", "not-found"), (USERS, "invalid-request")] {
        let path = format!("/v1/organizations/fabrikam/entitlements/{offer}/installation");
        ada.put(&path, json!({})).await.problem(slug);
    }
    assert_eq!(ada.get("/v1/organizations/fabrikam/billing").await.ok()["state"], "not_set_up");
}

/// who, what, before, after and from where, of one organization only.
async fn r_55_the_audit_trail_of_an_organization(app: &App) {
    let (ada, olga) = (app.as_("ada@fabrikam.example").await, app.as_("olga@platform.example").await);
    let payer = ada.subscription("Fabrikam Production").await;
    let bought = ada.buys("fabrikam", "ms.feed", 3, Billing::Existing(&payer)).await.status(201);
    app.as_("sue@fabrikam.example").await.buys("tailspin", "ms.feed", 3, Billing::Linked).await.status(201);
    app.events().await;
    let trail = ada.all("/v1/audit?organization=fabrikam&limit=1").await;
    let entry = trail.iter().find(|entry| entry.to_string().contains(bought["id"].as_str().expect("an id")));
    let entry = entry.unwrap_or_else(|| panic!("the purchase is not in {trail:?}")).to_string();
    assert!(entry.contains(bought["purchased_by"].as_str().expect("who")), "{entry}");
    assert!(entry.contains("127.0.0.1"), "from where: {entry}");
    let organization = bought["organization"].as_str().expect("an id");
    let foreign = trail.iter().filter(|entry| !entry.to_string().contains(organization));
    assert_eq!(foreign.count(), 0, "{trail:?}");
    let all = olga.all("/v1/audit").await;
    assert!(all.len() > trail.len() && trail.iter().all(|entry| all.contains(entry)), "the operator reads all");
}

/// each act once, in an order that never changes; who, what, before and after; people by id only.
async fn r_54_events_in_one_order(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let seeded = app.events().await.len();
    let mut made = Vec::new();
    for quantity in 1..=5 {
        let bought = sue.buys("tailspin", "ms.feed", quantity, Billing::Linked).await.status(201);
        made.push(bought["id"].as_str().expect("an id").to_owned());
    }
    let events = app.events().await;
    assert_eq!(events.len(), seeded + 5, "one act, one event");
    let bought = events.iter().filter(|event| event.to_string().contains("purchase.completed"));
    let order: Vec<&String> = bought
        .map(|event| made.iter().find(|id| event.to_string().contains(*id)).expect("a purchase of ours"))
        .collect();
    assert_eq!(order, made.iter().collect::<Vec<_>>());
    let platform = app.platform().await;
    assert_eq!(platform.all("/v1/events?limit=2").await, events, "the same by smaller pages");
    for event in &events {
        let id = event["id"].as_str().expect("an id");
        assert!(id.starts_with("evt_"), "{event}");
        assert!(!event.to_string().contains('@'), "people by id: {event}");
    }
    // A reader goes on from what it has read.
    let first = platform.get("/v1/events?limit=3").await.ok();
    let after = first["next"].as_str().expect("more");
    let rest = platform.all_after("/v1/events", after).await;
    assert_eq!(rest[..], events[3..]);
    platform.get("/v1/events?after=nonsense").await.problem("invalid-request");
}

async fn organizations_and_subscriptions_are_paged(app: &App) {
    let adam = app.as_("adam@fabrikam.example").await;
    let mine = adam.all("/v1/organizations?limit=1").await;
    let mut slugs: Vec<_> = mine.iter().map(|one| (one["slug"].as_str(), one["role"].as_str())).collect();
    slugs.sort();
    let administrator = Some("administrator");
    assert_eq!(slugs, [(Some("fabrikam"), administrator), (Some("tailspin"), administrator)], "{mine:?}");
    assert_eq!(adam.get("/v1/organizations/fabrikam").await.ok()["name"], "Fabrikam Fiber");

    // also those billed to the caller's subscriptions.
    let rita = app.as_("rita@fabrikam.example").await;
    let mine = rita.all("/v1/organizations").await;
    assert_eq!(mine.iter().map(|one| one["slug"].as_str()).collect::<Vec<_>>(), [Some("tailspin")]);

    let ada = app.as_("ada@fabrikam.example").await;
    for number in 1..=5 {
        let body = json!({ "name": format!("S{number}"), "country": "US", "currency": "USD", "payment": { "method": "invoice" } });
        ada.post("/v1/subscriptions", body).await.status(201);
    }
    let whole = ada.all("/v1/subscriptions?limit=100").await;
    assert_eq!(whole.len(), 7);
    assert_eq!(ada.all("/v1/subscriptions?limit=2").await, whole);
    // The operator reads all (R-9a).
    let olga = app.as_("olga@platform.example").await;
    assert_eq!(olga.all("/v1/organizations").await.len(), 3);
}
