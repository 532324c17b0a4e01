//! The platform keeps people and organizations in step, by a service key; and payers' role holders are kept by owners.

use serde_json::json;
use tests::{App, Billing, Options, on_both, seeds};

on_both! {
    organizations_and_members_by_the_platform: Options::new();
    roles_of_a_subscription: Options::new();
    seeding_twice_is_once: Options::new();
    service_keys: Options::new();
}

/// Put twice is once; a person made this way can sign in and buy.
async fn organizations_and_members_by_the_platform(app: &App) {
    let platform = app.platform().await;
    let body = json!({ "name": "Wide World", "country": "DE" });
    let first = platform.put("/v1/organizations/wide-world", body.clone()).await;
    assert!([200, 201, 204].contains(&first.status), "{first}");
    platform.put("/v1/organizations/wide-world", body).await.ok();
    let member = json!({ "name": "Wanda", "role": "owner", "access": "basic" });
    for _ in 0..2 {
        platform.put("/v1/organizations/wide-world/members/Wanda@Wide.Example", member.clone()).await.ok();
    }
    assert_eq!(app.database.number("SELECT count(*) FROM organizations").await, 4);
    assert_eq!(app.database.number("SELECT count(*) FROM users WHERE email = 'wanda@wide.example'").await, 1);

    let wanda = app.as_("wanda@wide.example").await;
    let new = Billing::New { name: "Wide payments", country: "DE", currency: "EUR" };
    wanda.buys("wide-world", "ms.feed", 2, new).await.status(201);
    platform.put("/v1/organizations/wide-world", json!({ "name": "Wider World", "country": "FR" })).await.ok();
    let seen = wanda.get("/v1/organizations/wide-world").await.ok();
    assert_eq!(
        (&seen["name"], &seen["country"], &seen["role"]),
        (&json!("Wider World"), &json!("FR"), &json!("owner"))
    );

    let member = json!({ "name": "Mo", "role": "member", "access": "stakeholder" });
    platform.put("/v1/organizations/wide-world/members/mo@wide.example", member).await.ok();
    let mo = app.as_("mo@wide.example").await;
    mo.get("/v1/organizations/wide-world").await.ok();
    platform.delete("/v1/organizations/wide-world/members/mo@wide.example").await.ok();
    mo.get("/v1/organizations/wide-world").await.problem("not-found");
    let again = platform.delete("/v1/organizations/wide-world/members/mo@wide.example").await;
    assert!([200, 204, 404].contains(&again.status), "{again}");

    for (path, body) in [
        ("wide-world", json!({ "name": "", "country": "DE" })),
        ("wide-world", json!({ "name": "x", "country": "XX" })),
        ("wide-world", json!({ "name": "x", "country": "DE", "unheard": 1 })),
        ("Wide%20World", json!({ "name": "x", "country": "DE" })),
        ("wide-world/members/nonsense", json!({ "name": "x", "role": "member", "access": "basic" })),
        ("wide-world/members/x@example.com", json!({ "name": "x", "role": "chief", "access": "basic" })),
        ("wide-world/members/x@example.com", json!({ "name": "x", "role": "member", "access": "full" })),
    ] {
        let refused = platform.put(&format!("/v1/organizations/{path}"), body).await;
        assert!([400, 404, 422].contains(&refused.status), "{refused}");
    }
    let orphan = json!({ "name": "x", "role": "member", "access": "basic" });
    platform.put("/v1/organizations/unheard/members/x@example.com", orphan).await.problem("not-found");
}

/// the payer's owner gives and takes roles, and what they allow follows at once.
async fn roles_of_a_subscription(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let payer = sue.subscription("Fabrikam Production").await;
    let role = |email: &str| format!("/v1/subscriptions/{payer}/roles/{email}");
    let rita = app.as_("rita@fabrikam.example").await;
    rita.buys("tailspin", "ms.feed", 1, Billing::Linked).await.problem("permission-denied");
    sue.put(&role("rita@fabrikam.example"), json!({ "role": "billing_manager" })).await.ok();
    rita.buys("tailspin", "ms.feed", 1, Billing::Linked).await.status(201);
    sue.delete(&role("rita@fabrikam.example")).await.ok();
    rita.get(&format!("/v1/subscriptions/{payer}")).await.problem("not-found");
    rita.buys("tailspin", "ms.feed", 2, Billing::Linked).await.problem("not-found");
    sue.put(&role("rita@fabrikam.example"), json!({ "role": "chief" })).await.problem("invalid-request");
    sue.put(&role("unheard@example.com"), json!({ "role": "reader" })).await.problem("not-found");
    // Somebody must be left who may.
    sue.delete(&role("ada@fabrikam.example")).await.ok();
    let last = sue.delete(&role("sue@fabrikam.example")).await;
    assert!((400..500).contains(&last.status), "{last}");
    sue.get(&format!("/v1/subscriptions/{payer}")).await.ok();
}

async fn seeding_twice_is_once(app: &App) {
    let tables = ["users", "organizations", "members", "subscriptions", "subscription_roles", "links", "events"];
    let mut before = Vec::new();
    for table in tables {
        before.push(app.database.number(&format!("SELECT count(*) FROM {table}")).await);
    }
    let file = app.file("again.toml", seeds::COMPANY);
    app.prints(&["seed", &file]);
    for (table, before) in tables.iter().zip(before) {
        assert_eq!(app.database.number(&format!("SELECT count(*) FROM {table}")).await, before, "{table}");
    }
    for (name, text) in [
        ("unknown-field", "[[user]]\nemail = 'a@example.com'\nname = 'A'\nunheard = 1\n"),
        ("no-email", "[[user]]\nname = 'A'\n"),
        ("bad-country", "[[organization]]\nslug = 'a'\nname = 'A'\ncountry = 'XX'\n"),
        (
            "unknown-member",
            "[[organization]]\nslug = 'a'\nname = 'A'\ncountry = 'DE'\nmembers = [{ user = 'no@example.com', role = 'owner', access = 'basic' }]\n",
        ),
        ("broken", "[[user"),
    ] {
        let said = app.fails(&["seed", &app.file(name, text)]);
        assert!(!said.contains("panicked"), "{said}");
    }
    assert_eq!(app.database.number("SELECT count(*) FROM users").await, 10, "a seed is whole or not at all");
}

/// Shown once, kept as a hash; two keys are two callers.
async fn service_keys(app: &App) {
    let one = app.prints(&["key", "create", "--name", "one"]);
    let two = app.prints(&["key", "create", "--name", "two"]);
    assert!(one.starts_with("psk_") && one.len() == 47 && one != two, "{one}");
    for key in [&one, &two] {
        app.with_bearer(key).get("/v1/events").await.ok();
    }
    let text = match app.database.db {
        tests::Db::Sqlite => "SELECT count(*) FROM service_keys WHERE length(hash) = 32",
        tests::Db::Postgres => "SELECT count(*) FROM service_keys WHERE octet_length(hash) = 32",
    };
    assert_eq!(app.database.number(text).await, 2);
}
