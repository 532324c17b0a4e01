//! The pages without a browser: sessions, forms, headers, what refusals look like, hosted checkout, and how large they are.

use serde_json::{Value, json};
use tests::{App, Billing, Db, Options, Page, Visitor, join_all, on_both, run};

on_both! {
    sessions_begin_anew_and_end: Options::new();
    forms_of_others_are_refused: Options::new();
    every_page_is_strict: Options::new();
    names_are_text: Options::new().seed(&marked()).more_offers(MARKED_OFFER);
    a_checkout_keeps_what_was_chosen: Options::new();
    a_checkout_buys_once: Options::new();
    what_changed_meanwhile_is_shown: Options::new();
    what_another_tab_chose_is_shown: Options::new();
    a_month_that_ended_meanwhile_is_shown: Options::at("2018-04-30T23:59:59Z");
    another_ones_checkout_is_not_found: Options::new();
    hosted_checkout: Options::new();
    numbers_that_are_none: Options::new();
    long_lists_have_pages: Options::new().seed(&tests::seeds::load(120));
    subscriptions_have_people: Options::new();
    problems_are_explained: Options::new();
}

const ADA: &str = "ada@fabrikam.example";
const TEST_MANAGER: &str = "ms.vss-testmanager-web";

pub(crate) async fn begins(visitor: &Visitor, offer: &str, organization: &str, quantity: &str) -> String {
    let fields = [("offer", offer), ("organization", organization), ("quantity", quantity)];
    visitor.send_form("/checkouts", &fields).await.leads_to()
}

/// The fields of the last form of a checkout, as its page carries them.
fn last_form(page: &Page) -> Vec<(String, String)> {
    let form = page.html.split("/buy\">").nth(1).unwrap_or_else(|| panic!("no last form in {}", page.html));
    let form = form.split("</form>").next().expect("its end");
    let mut fields = Vec::new();
    for input in form.split("<input type=\"hidden\" ").skip(1) {
        let value = |name: &str| input.split(&format!("{name}=\"")).nth(1)?.split('"').next();
        fields.push((value("name").expect("a name").into(), value("value").expect("a value").replace("&#8722;", "−")));
    }
    fields
}

pub(crate) async fn buys(visitor: &Visitor, checkout: &str) -> Page {
    let page = visitor.get(checkout).await;
    let fields = last_form(&page);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    visitor.post(&format!("{checkout}/buy"), &fields).await
}

/// The session's cookie is new at every sign-in, and the former session is no more; signing out ends it for good.
async fn sessions_begin_anew_and_end(app: &App) {
    let ada = Visitor::new(app);
    let asked = ada.get("/organizations/fabrikam?after=x").await;
    assert_eq!(asked.leads_to(), "/sign-in?next=%2Forganizations%2Ffabrikam%3Fafter%3Dx");
    let entered = ada.post("/sign-in", &[("person", ADA), ("next", "/organizations")]).await;
    assert_eq!(entered.leads_to(), "/organizations");
    let cookie = entered.header("set-cookie").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/"), "{cookie}");
    let first = ada.cookie();
    ada.get("/services").await.says(200, "Ada Palmer");
    ada.post("/sign-in", &[("person", ADA)]).await.leads_to();
    let second = ada.cookie();
    assert_ne!(first, second);
    ada.set_cookie(&first);
    ada.get("/services").await.leads_to();
    ada.set_cookie(&second);
    ada.send_form("/sign-out", &[]).await.leads_to();
    ada.set_cookie(&second);
    assert_eq!(ada.get("/services").await.leads_to(), "/sign-in?next=%2Fservices");

    // A token of this installation signs in as well; others do not, and nobody is led elsewhere.
    let token = app.prints(&["token", "--user", ADA]);
    let entered = ada.post("/sign-in", &[("token", &token), ("next", "https://evil.example")]).await;
    assert_eq!(entered.leads_to(), "/marketplace");
    let other = Visitor::signed_in(app, ADA).await;
    ada.send_form("/sign-out/everywhere", &[]).await.leads_to();
    other.get("/services").await.leads_to();
    for (field, value) in [("token", "nonsense"), ("person", "nobody@fabrikam.example"), ("person", "no address")] {
        other.post("/sign-in", &[(field, value)]).await.says(422, "role=\"alert\"");
    }
    // Of a cookie only its hash is kept.
    assert_eq!(app.database.number("SELECT count(*) FROM sessions WHERE length(hash) <> 32").await, 0);
}

/// Only forms of this site's own pages, in the present session, are taken.
async fn forms_of_others_are_refused(app: &App) {
    let ada = Visitor::signed_in(app, ADA).await;
    let sue = Visitor::signed_in(app, "sue@fabrikam.example").await;
    let payer = app.as_(ADA).await.subscription("Fabrikam Production").await;
    let path = "/organizations/fabrikam/billing";
    let word = ada.get("/services").await.hidden("csrf");
    let foreign = sue.get("/services").await.hidden("csrf");
    ada.post(path, &[("subscription", &payer)]).await.says(400, "not sent by a page");
    ada.post(path, &[("subscription", &payer), ("csrf", &foreign)]).await.says(400, "not sent by a page");
    let fields = [("subscription", payer.as_str()), ("csrf", word.as_str())];
    for header in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        ada.post_with(path, &fields, &[header]).await.says(400, "not sent by a page");
    }
    let signing = ada.post_with("/sign-in", &[("person", ADA)], &[("origin", "https://evil.example")]).await;
    signing.says(400, "not sent by a page");
    let billing = app.as_(ADA).await.get("/v1/organizations/fabrikam/billing").await.ok();
    assert_eq!(billing["state"], "not_set_up", "nothing was changed");
    let large = "x".repeat(70_000);
    ada.post(path, &[("csrf", &word), ("subscription", &large)]).await.says(413, "larger than");
    ada.post(path, &fields).await.leads_to();
    // A browser's cookie is no way into the API, and a token none into the pages.
    let sneaky = app.with_bearer(ada.cookie().trim_start_matches("purser="));
    sneaky.get("/v1/organizations").await.problem("unauthenticated");
}

/// Whatever comes back to a browser is strict, bears no inline script or style, and names nothing of third parties.
async fn every_page_is_strict(app: &App) {
    let ada = Visitor::signed_in(app, ADA).await;
    let checkout = begins(&ada, TEST_MANAGER, "fabrikam", "").await;
    let paths = ["/sign-in", "/marketplace", "/marketplace/ms.feed", "/organizations", "/organizations/fabrikam"];
    let more = ["/organizations/fabrikam/billing", "/subscriptions", "/subscriptions/new", "/services", "/problems"];
    let others = ["/nowhere", "/organizations/unheard", "/problems/not-found", checkout.as_str()];
    for path in paths.iter().chain(&more).chain(&others) {
        let page = if *path == "/sign-in" { Visitor::new(app).get(path).await } else { ada.get(path).await };
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(page.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        assert!(!page.header("x-request-id").is_empty(), "{path}");
        for bad in ["<style", " style=", "javascript:", "onclick", "https://", "src=\"http", "href=\"http"] {
            assert!(!page.html.contains(bad), "{path} has {bad}: {}", page.html);
        }
        let style = page.html.split("href=\"/assets/").nth(1).and_then(|rest| rest.split('"').next()).expect("a style");
        let style = ada.get(&format!("/assets/{style}")).await;
        assert!(style.header("cache-control").contains("immutable"), "{path}");
        let size = page.html.len() + style.html.len();
        assert!(size < 60 * 1024, "{path}: {size} bytes");
        assert!(page.html.contains("<h1>") && page.html.contains("lang=\"en\""), "{path}: {}", page.html);
    }
    // Programs that ask for no page get problems.
    app.anonymous().get("/nowhere").await.problem("not-found");
}

const MARKUP: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;";

const MARKED_OFFER: &str = r#"
[[publisher]]
slug = "marked"
name = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"
share = "0.5"
[[offer]]
slug = "marked.offer"
name = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"
summary = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"
publisher = "ms"
kind = "extension"
unit = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"
included = 1
[offer.prices.USD]
model = "per_unit"
bands = [{ unit = "5.00" }]
"#;

fn marked() -> String {
    let name = json!(MARKUP).to_string();
    format!(
        r#"
[[user]]
email = "ada@fabrikam.example"
name = {name}
[[organization]]
slug = "marked"
name = {name}
country = "DE"
members = [{{ user = "ada@fabrikam.example", role = "owner", access = "basic" }}]
[[subscription]]
key = "marked"
name = {name}
kind = "pay_as_you_go"
status = "active"
country = "US"
currency = "USD"
payment = "invoice"
roles = [{{ user = "ada@fabrikam.example", role = "owner" }}]
"#
    )
}

/// Markup in every name is shown as text, on every page that shows a name.
async fn names_are_text(app: &App) {
    let ada = Visitor::signed_in(app, ADA).await;
    let payer = app.as_(ADA).await.subscription(MARKUP).await;
    let checkout = begins(&ada, "marked.offer", "marked", "3").await;
    let mut paths = vec!["/sign-in".to_owned(), "/services".into(), "/marketplace".into(), "/organizations".into()];
    paths.extend(["/marketplace/marked.offer?organization=marked&quantity=2".into(), "/organizations/marked".into()]);
    paths.extend(["/organizations/marked/billing".into(), "/subscriptions".into(), format!("/subscriptions/{payer}")]);
    paths.extend([checkout.clone(), format!("{checkout}?step=organization"), format!("{checkout}?step=billing")]);
    ada.send_form(&format!("{checkout}/billing"), &[("choice", &payer)]).await.leads_to();
    ada.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "3"), ("go", "on")]).await.leads_to();
    paths.push(format!("/marketplace?q={}", MARKUP.replace('&', "%26").replace('<', "%3C").replace(' ', "+")));
    for path in &paths {
        let page = if path == "/sign-in" { Visitor::new(app).get(path).await } else { ada.get(path).await };
        page.says(200, "&#60;script&#62;").lacks("<script>alert").lacks("<img");
    }
    buys(&ada, &checkout).await.leads_to();
    let receipt = ada.get(&checkout).await;
    receipt.says(200, "Billing is set up").lacks("<script>alert").lacks("<img");
    ada.get("/organizations/marked/purchases").await.says(200, "&#60;script").lacks("<script>alert");
    ada.get("/organizations/%3Cscript%3E").await.says(404, "Not found").lacks("<script>");
}

/// A reload, the way back and a second visit find what was chosen; what was typed wrong is kept too.
async fn a_checkout_keeps_what_was_chosen(app: &App) {
    let ada = Visitor::signed_in(app, ADA).await;
    let checkout = begins(&ada, TEST_MANAGER, "", "").await;
    ada.get(&checkout).await.says(200, "Who is this for?");
    ada.send_form(&format!("{checkout}/organization"), &[("organization", "fabrikam")]).await.leads_to();
    ada.get(&checkout).await.says(200, "Set up billing").says(200, "Fabrikam Europe");
    let wrong = [("choice", "new"), ("name", "Kept Name"), ("country", "DE"), ("currency", "EUR"), ("pay", "card")];
    let wrong = [&wrong[..], &[("token", "4242424242424242"), ("email", "no address")]].concat();
    let again = ada.send_form(&format!("{checkout}/billing"), &wrong).await;
    again.says(422, "Kept Name").says(422, "must be an e-mail address").says(422, "no address");
    let numbered = [("choice", "new"), ("name", "N"), ("country", "DE"), ("currency", "EUR"), ("pay", "card")];
    let numbered = [&numbered[..], &[("token", "4242424242424242")]].concat();
    ada.send_form(&format!("{checkout}/billing"), &numbered).await.says(422, "card number").lacks("42424242");
    let right =
        [("choice", "new"), ("name", "Fabrikam Payments"), ("country", "DE"), ("currency", "EUR"), ("pay", "invoice")];
    ada.send_form(&format!("{checkout}/billing"), &right).await.leads_to();
    ada.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "5"), ("nudge", "0:1")]).await.leads_to();
    ada.get(&checkout).await.says(200, "Fabrikam Payments").says(200, "value=\"6\"");

    // Another browser, later: the same person finds it as it was left, and the other payer's name in the step before.
    let later = Visitor::signed_in(app, ADA).await;
    later.get(&checkout).await.says(200, "value=\"6\"").says(200, "€");
    later.get(&format!("{checkout}?step=billing")).await.says(200, "Fabrikam Payments");
    assert!(app.as_(ADA).await.all("/v1/subscriptions").await.len() == 2, "nothing exists until it is bought");
    later.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "6"), ("go", "on")]).await.leads_to();
    buys(&later, &checkout).await.leads_to();
    later.get(&checkout).await.says(200, "was created with this purchase");
    // Giving up what was bought, from an old tab, leads to the receipt too.
    assert_eq!(later.send_form(&format!("{checkout}/cancel"), &[]).await.leads_to(), checkout);
    later.get(&checkout).await.says(200, "was created with this purchase");
    assert_eq!(app.as_(ADA).await.entitlement("fabrikam", TEST_MANAGER).await["committed"], 6);

    let given_up = begins(&later, TEST_MANAGER, "fabrikam", "7").await;
    later.send_form(&format!("{given_up}/cancel"), &[]).await.leads_to();
    later.get(&given_up).await.says(404, "begin a new one");
}

/// R-19: pressed twice, in two tabs at once, and again from an old page: one purchase, and everywhere its receipt.
async fn a_checkout_buys_once(app: &App) {
    let ada = Visitor::signed_in(app, ADA).await;
    let payer = app.as_(ADA).await.subscription("Fabrikam Production").await;
    let checkout = begins(&ada, TEST_MANAGER, "fabrikam", "3").await;
    ada.send_form(&format!("{checkout}/billing"), &[("choice", &payer)]).await.leads_to();
    ada.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "3"), ("go", "on")]).await.leads_to();
    let page = ada.get(&checkout).await;
    let fields = last_form(&page);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let buy = format!("{checkout}/buy");
    let pressed = join_all((0..6).map(|_| ada.post(&buy, &fields))).await;
    for answer in &pressed {
        assert_eq!(answer.leads_to(), checkout);
    }
    ada.get(&checkout).await.says(200, "Billing is set up").says(200, "pur_");
    assert_eq!(app.database.number("SELECT count(*) FROM purchases").await, 1);
    // An old tab with another number does not buy either: the receipt is what there is.
    ada.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "9"), ("go", "on")]).await.leads_to();
    let mut other: Vec<(&str, &str)> = fields.clone();
    other.push(("quantity-0", "9"));
    ada.post(&buy, &other).await.leads_to();
    assert_eq!(app.database.number("SELECT count(*) FROM purchases").await, 1);
}

/// R-26: what another person did between the look and the press is shown in both words, and not silently accepted.
async fn what_changed_meanwhile_is_shown(app: &App) {
    let ada = Visitor::signed_in(app, ADA).await;
    let api = app.as_(ADA).await;
    let payer = api.subscription("Fabrikam Production").await;
    let checkout = begins(&ada, TEST_MANAGER, "fabrikam", "3").await;
    ada.send_form(&format!("{checkout}/billing"), &[("choice", &payer)]).await.leads_to();
    ada.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "3"), ("go", "on")]).await.leads_to();
    let seen = last_form(&ada.get(&checkout).await);
    let seen: Vec<(&str, &str)> = seen.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();

    // Billing is set up by somebody else, with another subscription.
    let europe = api.subscription("Fabrikam Europe").await;
    api.put("/v1/organizations/fabrikam/billing", json!({ "subscription": europe })).await.ok();
    let refused = ada.post(&format!("{checkout}/buy"), &seen).await;
    refused
        .says(409, "Billing is set up already")
        .says(409, "Billed to Fabrikam Europe")
        .says(409, "has changed since");
    // And a number is changed too.
    api.buys("fabrikam", TEST_MANAGER, 5, Billing::Linked).await.status(201);
    let now = last_form(&refused);
    let now: Vec<(&str, &str)> = now.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let refused = ada.post(&format!("{checkout}/buy"), &now).await;
    refused.says(409, "The quantity has changed").says(409, "Test Manager: 0 → 3 users, now 5 → 3 users from");
    assert_eq!(api.entitlement("fabrikam", TEST_MANAGER).await["next"], 5);
    let bought = last_form(&refused);
    let bought: Vec<(&str, &str)> = bought.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    ada.post(&format!("{checkout}/buy"), &bought).await.leads_to();
    assert_eq!(api.entitlement("fabrikam", TEST_MANAGER).await["next"], 3);
}

/// R-27: the last second of a month costs nothing of it; the first of the next nearly all, and the page says so.
async fn a_month_that_ended_meanwhile_is_shown(app: &App) {
    let ada = Visitor::signed_in(app, ADA).await;
    let payer = app.as_(ADA).await.subscription("Fabrikam Production").await;
    let checkout = begins(&ada, TEST_MANAGER, "fabrikam", "3").await;
    ada.send_form(&format!("{checkout}/billing"), &[("choice", &payer)]).await.leads_to();
    ada.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "3"), ("go", "on")]).await.leads_to();
    let seen = last_form(&ada.get(&checkout).await);
    let seen: Vec<(&str, &str)> = seen.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    app.move_clock("2018-05-01T00:00:00Z").await;
    let refused = ada.post(&format!("{checkout}/buy"), &seen).await;
    refused.says(409, "Rest of April: $0.00, no longer").says(409, "Rest of May: $150.97, new");
}

/// What another tab chose is not bought from a page that showed something else, and the page says what differs.
async fn what_another_tab_chose_is_shown(app: &App) {
    let ada = Visitor::signed_in(app, ADA).await;
    let payer = app.as_(ADA).await.subscription("Fabrikam Production").await;
    let checkout = begins(&ada, TEST_MANAGER, "fabrikam", "3").await;
    let new = |name| [("choice", "new"), ("name", name), ("country", "US"), ("currency", "USD"), ("pay", "invoice")];
    ada.send_form(&format!("{checkout}/billing"), &new("First Name")).await.leads_to();
    ada.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "3"), ("go", "on")]).await.leads_to();
    let seen = last_form(&ada.get(&checkout).await);
    let seen: Vec<(&str, &str)> = seen.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    ada.send_form(&format!("{checkout}/billing"), &new("Second Name")).await.leads_to();
    let refused = ada.post(&format!("{checkout}/buy"), &seen).await;
    refused.says(409, "Billed to: First Name, new with this purchase (USD), now Second Name");
    ada.send_form(&format!("{checkout}/billing"), &[("choice", &payer)]).await.leads_to();
    let refused = ada.post(&format!("{checkout}/buy"), &seen).await;
    refused.says(409, "now Fabrikam Production").lacks("Organization: ");
    assert_eq!(app.database.number("SELECT count(*) FROM purchases").await, 0);
}

/// R-9: whose it is not may not know of it.
async fn another_ones_checkout_is_not_found(app: &App) {
    let ada = Visitor::signed_in(app, ADA).await;
    let checkout = begins(&ada, TEST_MANAGER, "fabrikam", "3").await;
    let owen = Visitor::signed_in(app, "owen@contoso.example").await;
    owen.get(&checkout).await.says(404, "no such checkout").lacks("Fabrikam");
    owen.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "1")]).await.says(404, "no such checkout");
    owen.send_form(&format!("{checkout}/cancel"), &[]).await.says(404, "no such checkout");
    owen.send_form("/checkouts", &[("offer", TEST_MANAGER), ("organization", "fabrikam")]).await.says(404, "Not found");
    for path in ["/organizations/fabrikam", "/organizations/fabrikam/billing", "/organizations/fabrikam/purchases"] {
        owen.get(path).await.says(404, "Not found").lacks("Fabrikam Fiber");
    }
    // A member without rights is told so, and whom to ask.
    let mia = Visitor::signed_in(app, "mia@fabrikam.example").await;
    mia.get("/organizations/fabrikam").await.says(200, "owner or an administrator can set billing up");
    let hers = begins(&mia, TEST_MANAGER, "fabrikam", "1").await;
    mia.get(&format!("{hers}?step=organization")).await.says(200, "disabled").says(200, "You may not set up billing");
}

/// R-9a: the platform opens a checkout, a person takes it up and buys under their own rights, and is led on.
async fn hosted_checkout(app: &App) {
    let platform = app.platform().await;
    let body = json!({ "organization": "fabrikam", "items": [{ "offer": TEST_MANAGER, "quantity": 2 }],
        "success_url": "https://forge.example/bought?a=1&b=2", "cancel_url": "https://forge.example/back" });
    let opened = platform.post("/v1/checkouts", body.clone()).await.status(201);
    assert_eq!((&opened["state"], &opened["purchase"]), (&json!("open"), &Value::Null), "{opened}");
    let url = opened["url"].as_str().expect("a url");
    assert!(url.starts_with(&format!("{}/checkout/chk_", app.url())), "{url}");
    let path = url.strip_prefix(app.url()).expect("here");

    // It is for Fabrikam: whoever may not know of that neither takes it up nor gives it up.
    let owen = Visitor::signed_in(app, "owen@contoso.example").await;
    owen.get(path).await.says(404, "no such checkout");
    for (act, fields) in [
        ("cancel", vec![]),
        ("quantity", vec![("quantity-0", "1"), ("go", "on")]),
        ("organization", vec![("organization", "contoso")]),
        ("billing", vec![("choice", "new")]),
        ("buy", vec![]),
    ] {
        owen.send_form(&format!("{path}/{act}"), &fields).await.says(404, "no such checkout");
    }
    let ada = Visitor::signed_in(app, ADA).await;
    ada.get(path).await.says(200, "https://forge.example/back");
    let payer = app.as_(ADA).await.subscription("Fabrikam Production").await;
    ada.send_form(&format!("{path}/billing"), &[("choice", &payer)]).await.leads_to();
    let adam = Visitor::signed_in(app, "adam@fabrikam.example").await;
    adam.get(path).await.says(404, "no such checkout");
    buys(&ada, path).await.leads_to();
    ada.get(path).await.says(200, "https://forge.example/bought?a=1&#38;b=2");
    let id = opened["id"].as_str().expect("an id");
    let after = platform.get(&format!("/v1/checkouts/{id}")).await.ok();
    assert_eq!(after["state"], "completed", "{after}");
    assert!(after["purchase"].as_str().is_some_and(|purchase| purchase.starts_with("pur_")), "{after}");

    for (pointer, value) in [
        ("/success_url", json!("javascript:alert(1)")),
        ("/cancel_url", json!("//evil.example")),
        ("/items", json!([])),
        ("/items", json!([{ "offer": TEST_MANAGER, "quantity": 2, "from": 0 }])),
    ] {
        let mut wrong = body.clone();
        *wrong.pointer_mut(pointer).expect("a field") = value;
        platform.post("/v1/checkouts", wrong).await.problem("invalid-request");
    }
    for (pointer, value) in [("/organization", json!("unheard")), ("/items/0/offer", json!("unheard.of"))] {
        let mut wrong = body.clone();
        *wrong.pointer_mut(pointer).expect("a field") = value;
        platform.post("/v1/checkouts", wrong).await.problem("not-found");
    }
}

/// Whatever is typed as a number gets a clear answer, and the draft stays as it was.
async fn numbers_that_are_none(app: &App) {
    let ada = Visitor::signed_in(app, ADA).await;
    let payer = app.as_(ADA).await.subscription("Fabrikam Production").await;
    let checkout = begins(&ada, TEST_MANAGER, "fabrikam", "3").await;
    ada.send_form(&format!("{checkout}/billing"), &[("choice", &payer)]).await.leads_to();
    for text in ["", "x", "-1", "1.5", "99999999999999999999", "1e3"] {
        let page = ada.send_form(&format!("{checkout}/quantity"), &[("quantity-0", text), ("go", "on")]).await;
        page.says(422, "Enter a whole number").says(422, "value=\"3\"").lacks("/items/");
    }
    let largest = i64::MAX.to_string();
    for text in ["100001", largest.as_str()] {
        ada.send_form(&format!("{checkout}/quantity"), &[("quantity-0", text), ("go", "on")]).await.leads_to();
        ada.get(&checkout).await.says(200, "out of range").says(200, "100,000");
    }
    // Only the stepper stops at nothing.
    ada.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "0"), ("nudge", "0:-1")]).await.leads_to();
    ada.get(&format!("{checkout}?step=quantity")).await.says(200, "value=\"0\"");
    assert_eq!(app.database.number("SELECT count(*) FROM purchases").await, 0);
}

/// Lists of any length come in pages, each bounded, with a way to the next.
async fn long_lists_have_pages(app: &App) {
    let load = Visitor::signed_in(app, "load@example.com").await;
    let mut path = "/organizations".to_owned();
    let (mut seen, mut pages) = (0, 0);
    loop {
        let page = load.get(&path).await;
        assert!(page.html.len() < 60 * 1024, "{} bytes", page.html.len());
        seen += page.html.matches("href=\"/organizations/").count();
        pages += 1;
        let Some(next) = page.html.split("href=\"/organizations?").nth(1) else { break };
        path = format!("/organizations?{}", next.split('"').next().expect("an address").replace("&#38;", "&"));
    }
    assert_eq!((seen, pages), (120, 5));
    load.get("/organizations?q=load-12").await.says(200, "load-120");
    load.get("/organizations?q=nothing+at+all").await.says(200, "Nothing found");
    for bad in ["after=nonsense", "limit=5", "q=%ff"] {
        let page = load.get(&format!("/organizations?{bad}")).await;
        assert!(page.status == 400 || page.status == 422, "{bad}: {}", page.html);
    }
}

/// R-7: owners keep the people of a subscription; the last owner stays.
async fn subscriptions_have_people(app: &App) {
    let ada = Visitor::signed_in(app, ADA).await;
    let new = [("name", "Mine"), ("country", "DE"), ("currency", "EUR"), ("pay", "invoice"), ("once", "same")];
    let first = ada.send_form("/subscriptions", &new).await.leads_to();
    let again = ada.send_form("/subscriptions", &new).await.leads_to();
    assert_eq!(first, again, "pressed twice is made once");
    let page = ada.get(&first).await;
    page.says(200, "Mine").says(200, "No organization is billed to it yet");
    let give = [("email", "mia@fabrikam.example"), ("role", "billing_manager")];
    ada.send_form(&format!("{first}/roles"), &give).await.leads_to();
    ada.get(&first).await.says(200, "Mia Member").says(200, "billing manager");
    let unknown = [("email", "nobody@fabrikam.example"), ("role", "reader")];
    ada.send_form(&format!("{first}/roles"), &unknown).await.says(404, "no such person");
    ada.send_form(&format!("{first}/roles/remove"), &[("email", ADA)]).await.says(422, "last owner");
    ada.send_form(&format!("{first}/roles/remove"), &[("email", "mia@fabrikam.example")]).await.leads_to();
    let mia = Visitor::signed_in(app, "mia@fabrikam.example").await;
    mia.get(&first).await.says(404, "Not found");
    let production = app.as_(ADA).await.subscription("Fabrikam Production").await;
    app.as_("sue@fabrikam.example").await.buys("tailspin", "ms.feed", 3, Billing::Linked).await.status(201);
    let rita = Visitor::signed_in(app, "rita@fabrikam.example").await;
    let page = rita.get(&format!("/subscriptions/{production}")).await;
    page.says(200, "Tailspin Toys").says(200, "$12.00").lacks("Give the role");
    rita.send_form(&format!("/subscriptions/{production}/roles"), &give).await.says(403, "Who can help");
}

/// Each kind of problem has its page, and the API's `type` leads there.
async fn problems_are_explained(app: &App) {
    let visitor = Visitor::new(app);
    let all = visitor.get("/problems").await;
    for slug in ["billing-setup-required", "price-changed", "permission-denied", "unavailable", "internal-error"] {
        all.says(200, slug);
        visitor.get(&format!("/problems/{slug}")).await.says(200, slug).says(200, "HTTP ");
    }
    visitor.get("/problems/unheard").await.says(404, "Not found");
}

/// Without `demo.sign_in` nobody can sign in as just anybody.
#[test]
fn without_a_demonstration_nobody_is_listed() {
    let options = Options::new().env("PURSER__DEMO__SIGN_IN", "false");
    run(Db::Sqlite, options, async |app: &App| {
        let visitor = Visitor::new(app);
        visitor.get("/sign-in").await.says(200, "Sign in with a token").lacks(ADA).lacks("Demonstration");
        visitor.post("/sign-in", &[("person", ADA)]).await.says(422, "Paste a token");
        let token = app.prints(&["token", "--user", ADA]);
        visitor.post("/sign-in", &[("token", &token)]).await.leads_to();
        visitor.get("/services").await.says(200, "Ada Palmer");
    });
}
