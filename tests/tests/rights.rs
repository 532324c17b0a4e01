//! Who may do what, walked whole: every endpoint with every role, every pair of roles for buying, and strangers.

use serde_json::{Value, json};
use tests::{Actor, App, Billing, Db, Options, on_both};

on_both! {
    r_8_every_endpoint_with_every_role: Options::at("2018-04-15T10:00:00Z");
    r_1_first_purchase_takes_both_sides: Options::new().seed(&pairs(false));
    r_2_later_purchases_take_the_payer_only: Options::new().seed(&pairs(true));
    r_3_creating_a_subscription: Options::new().seed(&pairs(false));
    r_9_a_refusal_names_who_can_help: Options::new();
    r_9_what_is_foreign_is_not_found: Options::new();
}

/// Whom the columns of the table below stand for, in Tailspin and on Fabrikam Production, which pays for it.
const COLUMNS: &[&str] = &[
    "otto@fabrikam.example", // owner of the organization
    "adam@fabrikam.example", // administrator
    "mia@fabrikam.example",  // member
    "sue@fabrikam.example",  // owner of the subscription
    "con@fabrikam.example",  // contributor
    "bill@fabrikam.example", // billing_manager
    "rita@fabrikam.example", // reader
    "owen@contoso.example",  // none of these
    "olga@platform.example", // operator
    "the platform",          // a service key
    "nobody",                // anonymous
];

/// Method, path, body, and for each column the status: `2` any success, `1` 401, `3` 403, `4` 404, `5` 422, `9` 409.
/// `{payer}` and `{purchase}` are ids; a path's query is no part of the endpoint.
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("GET", "/v1/offers", "", "222 2222 2221"),
    ("GET", "/v1/offers/ms.feed", "", "222 2222 2221"),
    ("GET", "/v1/organizations", "", "222 2222 2221"),
    ("GET", "/v1/organizations/tailspin", "", "222 2222 4221"),
    ("GET", "/v1/organizations/tailspin/actions?offer=ms.feed", "", "222 2222 4221"),
    ("GET", "/v1/organizations/tailspin/billing", "", "222 2222 4221"),
    ("GET", "/v1/organizations/tailspin/subscriptions?offer=ms.feed", "", "222 2222 4231"),
    ("GET", "/v1/organizations/tailspin/purchases", "", "222 2222 4221"),
    ("GET", "/v1/organizations/tailspin/entitlements", "", "222 2222 4221"),
    ("GET", "/v1/organizations/tailspin/entitlements/ms.feed", "", "222 2222 4221"),
    ("GET", "/v1/organizations/tailspin/allowance/ms.feed", "", "222 3333 4221"),
    ("GET", "/v1/purchases/{purchase}", "", "222 2222 4221"),
    (
        "POST",
        "/v1/quotes",
        r#"{"organization": "tailspin", "items": [{"offer": "ms.feed", "quantity": 3}]}"#,
        "222 2222 4231",
    ),
    (
        "POST",
        "/v1/purchases",
        r#"{"organization": "tailspin", "items": [{"offer": "ms.feed", "quantity": 3}]}"#,
        "333 2223 4331",
    ),
    ("POST", "/v1/purchases/{purchase}/undo", "", "333 2223 4331"),
    ("PUT", "/v1/organizations/tailspin", r#"{"name": "Tailspin Toys", "country": "US"}"#, "333 3333 3321"),
    (
        "PUT",
        "/v1/organizations/tailspin/members/new@fabrikam.example",
        r#"{"name": "New", "role": "member", "access": "basic"}"#,
        "333 3333 3321",
    ),
    ("DELETE", "/v1/organizations/tailspin/members/new@fabrikam.example", "", "333 3333 3321"),
    ("GET", "/v1/subscriptions", "", "222 2222 2231"),
    (
        "POST",
        "/v1/subscriptions",
        r#"{"name": "Mine", "country": "US", "currency": "USD", "payment": {"method": "invoice"}}"#,
        "222 2222 2231",
    ),
    ("GET", "/v1/subscriptions/{payer}", "", "444 2222 4241"),
    ("PATCH", "/v1/subscriptions/{payer}", r#"{"name": "Fabrikam Production"}"#, "444 2333 4341"),
    ("PUT", "/v1/subscriptions/{payer}/roles/rita@fabrikam.example", r#"{"role": "reader"}"#, "444 2333 4341"),
    ("DELETE", "/v1/subscriptions/{payer}/roles/nobody@fabrikam.example", "", "444 4333 4341"),
    ("GET", "/v1/subscriptions/{payer}/budget", "", "444 2222 4241"),
    ("PUT", "/v1/subscriptions/{payer}/budget", r#"{"amount": "1000000.00", "currency": "USD"}"#, "444 2333 4341"),
    ("DELETE", "/v1/subscriptions/{payer}/budget", "", "444 2333 4341"),
    ("GET", "/v1/organizations/tailspin/budget", "", "223 2222 4231"),
    ("PUT", "/v1/organizations/tailspin/budget", r#"{"amount": "1000000.00", "currency": "USD"}"#, "333 2333 4331"),
    ("DELETE", "/v1/organizations/tailspin/budget", "", "333 2333 4331"),
    ("PUT", "/v1/organizations/tailspin/billing", r#"{"subscription": "{payer}"}"#, "443 3333 4331"),
    ("POST", "/v1/organizations/tailspin/billing/preview", r#"{"subscription": "{payer}"}"#, "442 2222 4231"),
    ("PUT", "/v1/organizations/tailspin/entitlements/ms.feed/installation", "", "223 3333 4331"),
    ("DELETE", "/v1/organizations/tailspin/entitlements/ms.feed/installation", "", "223 3333 4331"),
    (
        "POST",
        "/v1/checkouts",
        r#"{"items": [{"offer": "ms.feed", "quantity": 3}], "success_url": "https://forge.example/a", "cancel_url": "https://forge.example/b"}"#,
        "333 3333 3321",
    ),
    ("GET", "/v1/subscriptions/{payer}/invoices", "", "444 2222 4241"),
    ("GET", "/v1/subscriptions/{payer}/invoices/upcoming", "", "444 2222 4241"),
    ("GET", "/v1/subscriptions/{payer}/payments", "", "444 2222 4241"),
    (
        "POST",
        "/v1/subscriptions/{payer}/payments",
        r#"{"amount": {"amount": "1.00", "currency": "USD"}, "received_on": "2018-04-15", "reference": "T-1"}"#,
        "444 3333 4241",
    ),
    ("GET", "/v1/subscriptions/{payer}/tax-confirmation", "", "444 4444 4441"),
    (
        "PUT",
        "/v1/subscriptions/{payer}/tax-confirmation",
        r#"{"tax_id": "DE136695976", "evidence": "x"}"#,
        "444 3333 4541",
    ),
    ("DELETE", "/v1/subscriptions/{payer}/tax-confirmation", "", "444 3333 4241"),
    ("PUT", "/v1/subscriptions/{payer}/payment", r#"{"method": "invoice"}"#, "444 2333 4341"),
    ("GET", "/v1/invoices/inv_00000000000000000000000000", "", "444 4444 4441"),
    ("GET", "/v1/invoices/inv_00000000000000000000000000/focus", "", "444 4444 4441"),
    ("GET", "/v1/ledger/trial-balance?on=2018-04-15", "", "333 3333 3231"),
    ("GET", "/v1/ledger/entries?account=receivable", "", "333 3333 3231"),
    ("GET", "/v1/invoices/inv_00000000000000000000000000/credit-notes", "", "444 4444 4441"),
    ("POST", "/v1/invoices/inv_00000000000000000000000000/credit-notes", r#"{"reason": "x"}"#, "444 4444 4441"),
    ("GET", "/v1/credit-notes/crn_00000000000000000000000000", "", "444 4444 4441"),
    (
        "POST",
        "/v1/subscriptions/{payer}/credits",
        r#"{"amount": {"amount": "1.00", "currency": "USD"}, "reason": "x"}"#,
        "444 3333 4241",
    ),
    ("GET", "/v1/checkouts/chk_00000000000000000000000000", "", "333 3333 3341"),
    ("POST", "/v1/usage", "[]", "333 3333 3321"),
    ("GET", "/v1/audit?organization=tailspin", "", "223 3333 4231"),
    ("GET", "/v1/audit", "", "333 3333 3231"),
    ("GET", "/v1/events", "", "333 3333 3221"),
    ("POST", "/v1/clock", r#"{"now": "2018-04-15T10:00:00Z"}"#, "222 2222 2221"),
];

/// R-2, R-3, R-7, R-8, R-9a: the table above.
async fn r_8_every_endpoint_with_every_role(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let payer = sue.subscription("Fabrikam Production").await;
    let bought = sue.buys("tailspin", "ms.feed", 3, Billing::Linked).await.status(201);
    let purchase = bought["id"].as_str().expect("an id");
    let mut wrong = Vec::new();
    for (method, path, body, expected) in TABLE {
        let path = path.replace("{payer}", &payer).replace("{purchase}", purchase);
        let body = body.replace("{payer}", &payer);
        let expected: Vec<char> = expected.chars().filter(|c| !c.is_whitespace()).collect();
        assert_eq!(expected.len(), COLUMNS.len(), "{method} {path}");
        for (who, expected) in COLUMNS.iter().zip(expected) {
            let answer = request(&actor(app, who).await, method, &path, &body).await;
            let got = match answer.status {
                200..=299 => '2',
                401 => '1',
                403 => '3',
                404 => '4',
                409 => '9',
                422 => '5',
                _ => '?',
            };
            if got != expected {
                wrong.push(format!("{who}: {answer}: expected {expected}"));
            }
            match answer.status {
                401 => drop(answer.problem("unauthenticated")),
                403 => assert!(answer.problem("permission-denied")["missing"].is_string(), "{answer}"),
                404 => drop(answer.problem("not-found")),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// R-8: no endpoint of the API's own description is missing in the table.
#[test]
fn r_8_the_table_has_every_endpoint() {
    tests::run(Db::Sqlite, Options::new(), async |app: &App| {
        let document = app.anonymous().get("/openapi.json").await.ok();
        for (path, item) in document["paths"].as_object().expect("paths") {
            let methods = item.as_object().expect("a path's methods").keys();
            let methods = methods.filter(|key| ["get", "post", "put", "patch", "delete"].contains(&key.as_str()));
            for method in methods.filter(|_| path.starts_with("/v1/")) {
                let known = TABLE.iter().any(|(m, p, ..)| m.eq_ignore_ascii_case(method) && matches(path, p));
                assert!(known, "{method} {path} is in no row of the table");
            }
        }
    });
}

/// Whether a path of the table is one of the document's template: `/v1/offers/ms.feed` of `/v1/offers/{offer}`.
fn matches(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len() && template.iter().zip(path).all(|(t, p)| t.starts_with('{') || *t == p)
}

async fn actor(app: &App, who: &str) -> Actor {
    match who {
        "nobody" => app.anonymous(),
        "the platform" => app.platform().await,
        email => app.as_(email).await,
    }
}

async fn request(actor: &Actor, method: &str, path: &str, body: &str) -> tests::Answer {
    let body: Option<Value> = (!body.is_empty()).then(|| serde_json::from_str(body).expect("a body"));
    let key = (method == "POST").then(|| actor.fresh_key());
    actor.call(method.parse().expect("a method"), path, body.as_ref(), key.as_deref()).await
}

const ORGANIZATION_ROLES: &[&str] = &["owner", "administrator", "member", "none"];
const PAYER_ROLES: &[&str] = &["owner", "contributor", "billing_manager", "reader", "none"];

/// An organization and a person for each pair of an organization's and a payer's role; one payer for all.
fn pairs(linked: bool) -> String {
    let (mut seed, mut roles, mut links) = (String::new(), String::new(), String::new());
    for organization in ORGANIZATION_ROLES {
        for payer in PAYER_ROLES {
            let (slug, email) = pair(organization, payer);
            seed += &format!("[[user]]\nemail = '{email}'\nname = '{slug}'\n");
            let member = match *organization {
                "none" => String::new(),
                role => format!("{{ user = '{email}', role = '{role}', access = 'basic' }}"),
            };
            seed +=
                &format!("[[organization]]\nslug = '{slug}'\nname = '{slug}'\ncountry = 'US'\nmembers = [{member}]\n");
            if *payer != "none" {
                roles += &format!("{{ user = '{email}', role = '{payer}' }}, ");
            }
            links += &format!("'{slug}', ");
        }
    }
    let links = if linked { links } else { String::new() };
    seed += &format!(
        "[[user]]\nemail = 'chief@example.com'\nname = 'Chief'\n\
         [[subscription]]\nkey = 'payer'\nname = 'Payer'\nkind = 'pay_as_you_go'\nstatus = 'active'\ncountry = 'US'\n\
         currency = 'USD'\npayment = 'invoice'\nroles = [{roles}{{ user = 'chief@example.com', role = 'owner' }}]\n\
         linked = [{links}]\n"
    );
    seed
}

fn pair(organization: &str, payer: &str) -> (String, String) {
    let slug = format!("{organization}-{payer}").replace('_', "-");
    let email = format!("{slug}@example.com");
    (slug, email)
}

/// R-1: a first purchase, or a link ahead of it, takes both sides; R-9 says what each lack is called.
async fn r_1_first_purchase_takes_both_sides(app: &App) {
    let id = app.as_("chief@example.com").await.subscription("Payer").await;
    for organization in ORGANIZATION_ROLES {
        for payer in PAYER_ROLES {
            let (slug, email) = pair(organization, payer);
            let actor = app.as_(&email).await;
            let ahead =
                async || actor.put(&format!("/v1/organizations/{slug}/billing"), json!({ "subscription": id })).await;
            let buy = async || actor.buys(&slug, "ms.vss-vstsuser", 1, Billing::Existing(&id)).await;
            match (*organization, *payer) {
                ("owner" | "administrator", "owner" | "contributor" | "billing_manager") => {
                    let purchase = buy().await.status(201);
                    assert_eq!(purchase["billing_set_up"], true, "{slug}");
                    ahead().await.ok();
                    continue;
                }
                ("owner" | "administrator", "reader") => {
                    for answer in [buy().await, ahead().await] {
                        let problem = answer.problem("subscription-not-eligible");
                        assert_eq!(problem["reasons"][0]["code"], "not_permitted", "{answer}");
                    }
                }
                ("member", "none") => {
                    for answer in [buy().await, ahead().await] {
                        assert!([403, 404].contains(&answer.status), "{answer}");
                    }
                }
                (_, "none") | ("none", _) => {
                    for answer in [buy().await, ahead().await] {
                        answer.problem("not-found");
                    }
                }
                _ => {
                    for answer in [buy().await, ahead().await] {
                        let problem = answer.problem("permission-denied");
                        assert_eq!(problem["missing"], "billing.set_up", "{answer}");
                    }
                }
            }
        }
    }
    let links = app.database.number("SELECT count(*) FROM links").await;
    assert_eq!(links, 6, "only those with both sides have linked");
}

/// R-2: once billing is set up, changing quantities takes a purchasing role on the payer and nothing else; and those
/// who have one find the organization in their list.
async fn r_2_later_purchases_take_the_payer_only(app: &App) {
    for organization in ORGANIZATION_ROLES {
        for payer in PAYER_ROLES {
            let (slug, email) = pair(organization, payer);
            let actor = app.as_(&email).await;
            let answer = actor.buys(&slug, "ms.vss-vstsuser", 1, Billing::Linked).await;
            match (*organization, *payer) {
                (_, "owner" | "contributor" | "billing_manager") => drop(answer.status(201)),
                ("none", "none") => drop(answer.problem("not-found")),
                _ => assert_eq!(answer.problem("permission-denied")["missing"], "subscription.use", "{answer}"),
            }
            let seen = actor.all("/v1/organizations?limit=100").await;
            let listed = seen.iter().any(|seen| seen["slug"] == slug.as_str());
            assert_eq!(listed, (*organization, *payer) != ("none", "none"), "{slug}: {seen:?}");
        }
    }
}

/// R-3: in checkout an owner or administrator creates the payer and owns it; outside anyone signed in does.
async fn r_3_creating_a_subscription(app: &App) {
    for organization in ORGANIZATION_ROLES {
        let (slug, email) = pair(organization, "none");
        let actor = app.as_(&email).await;
        let new = Billing::New { name: "Made in checkout", country: "US", currency: "USD" };
        let answer = actor.buys(&slug, "ms.vss-vstsuser", 1, new).await;
        match *organization {
            "owner" | "administrator" => {
                let purchase = answer.status(201);
                let id = purchase["subscription"].as_str().expect("an id");
                let path = format!("/v1/subscriptions/{id}/roles/chief@example.com");
                actor.put(&path, json!({ "role": "reader" })).await.ok();
            }
            "member" => {
                let problem = answer.problem("permission-denied");
                let missing = problem["missing"].as_str().expect("a permission");
                assert!(["billing.set_up", "subscription.create_in_checkout"].contains(&missing), "{answer}");
            }
            _ => drop(answer.problem("not-found")),
        }
    }
    let anyone = app.as_(&pair("none", "none").1).await;
    let body = json!({ "name": "My own", "country": "DE", "currency": "EUR", "payment": { "method": "invoice" } });
    let made = anyone.post("/v1/subscriptions", body).await.status(201);
    let id = made["id"].as_str().expect("an id");
    assert!(id.starts_with("sub_"), "{made}");
    let patched = anyone.patch(&format!("/v1/subscriptions/{id}"), json!({ "name": "Renamed" })).await.ok();
    assert_eq!(patched["name"], "Renamed", "its creator owns it: {patched}");
    assert_eq!(anyone.subscription("Renamed").await, id);
}

/// R-9: the missing permission and the people who can grant it or act instead, by name.
async fn r_9_a_refusal_names_who_can_help(app: &App) {
    let payer = app.as_("ada@fabrikam.example").await.subscription("Fabrikam Production").await;
    let mia = app.as_("mia@fabrikam.example").await;
    let refused = mia.buys("fabrikam", "ms.vss-vstsuser", 5, Billing::Linked).await;
    let problem = refused.problem("permission-denied");
    assert_eq!(problem["missing"], "billing.set_up", "{problem}");
    let ask: Vec<_> = problem["ask"].as_array().expect("people").iter().map(|one| one["name"].clone()).collect();
    assert!(ask.contains(&json!("Ada Palmer")) && ask.contains(&json!("Adam Minister")), "{problem}");
    assert!(!ask.contains(&json!("Mia Member")), "{problem}");

    let otto = app.as_("otto@fabrikam.example").await;
    let refused = otto.buys("tailspin", "ms.vss-vstsuser", 5, Billing::Linked).await;
    let problem = refused.problem("permission-denied");
    assert_eq!(problem["missing"], "subscription.use", "{problem}");
    let ask = problem["ask"].to_string();
    assert!(ask.contains("Sue Subscription") && !ask.contains("Rita Reader"), "{problem}");

    let rita = app.as_("rita@fabrikam.example").await;
    rita.patch(&format!("/v1/subscriptions/{payer}"), json!({ "name": "x" })).await.problem("permission-denied");
}

/// R-9: what a caller may not know exists answers exactly as what does not exist.
async fn r_9_what_is_foreign_is_not_found(app: &App) {
    let owen = app.as_("owen@contoso.example").await;
    let ada = app.as_("ada@fabrikam.example").await;
    let (foreign, unknown) = (owen.subscription("Contoso Main").await, "sub_00000000000000000000000000");
    let same = |one: tests::Answer, other: tests::Answer, names: [&str; 2]| {
        let strip = |answer: &tests::Answer, name: &str| {
            let mut problem = answer.problem("not-found");
            problem["instance"] = Value::Null;
            problem.to_string().replace(name, "NAME")
        };
        assert_eq!(strip(&one, names[0]), strip(&other, names[1]), "{one} tells more than {other}");
    };
    for path in
        ["", "/billing", "/purchases", "/entitlements", "/entitlements/ms.feed", "/subscriptions", "/allowance/ms.feed"]
    {
        let one = ada.get(&format!("/v1/organizations/contoso{path}")).await;
        let other = ada.get(&format!("/v1/organizations/unheard{path}")).await;
        same(one, other, ["contoso", "unheard"]);
    }
    let one = ada.get(&format!("/v1/subscriptions/{foreign}")).await;
    same(one, ada.get(&format!("/v1/subscriptions/{unknown}")).await, [&foreign, unknown]);
    let one = ada.buys("contoso", "ms.feed", 5, Billing::Linked).await;
    same(one, ada.buys("unheard", "ms.feed", 5, Billing::Linked).await, ["contoso", "unheard"]);
    let one = ada.buys("fabrikam", "ms.feed", 5, Billing::Existing(&foreign)).await;
    same(one, ada.buys("fabrikam", "ms.feed", 5, Billing::Existing(unknown)).await, [&foreign, unknown]);
}
