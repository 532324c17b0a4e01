//! The three journeys and setting up ahead, by mouse, by keyboard alone and without scripts, each checked by the API.

use super::{ADA, ADAM, DAY};
use serde_json::{Value, json};
use tests::browser::{Browser, Hands};
use tests::{App, Billing, Options, on_both};

on_both! {
    extension_by_mouse: Options::at(DAY);
    extension_by_keyboard: Options::at(DAY);
    extension_without_scripts: Options::at(DAY);
    users_by_mouse: Options::at(DAY);
    users_by_keyboard: Options::at(DAY);
    users_without_scripts: Options::at(DAY);
    new_subscription_by_mouse: Options::at(DAY);
    new_subscription_by_keyboard: Options::at(DAY);
    new_subscription_without_scripts: Options::at(DAY);
    setting_up_ahead_by_mouse: Options::at(DAY);
    setting_up_ahead_by_keyboard: Options::at(DAY);
    setting_up_ahead_without_scripts: Options::at(DAY);
}

async fn extension_by_mouse(app: &App) {
    extension(app, Hands::Mouse).await;
}

async fn extension_by_keyboard(app: &App) {
    extension(app, Hands::Keyboard).await;
}

async fn extension_without_scripts(app: &App) {
    extension(app, Hands::NoScripts).await;
}

async fn users_by_mouse(app: &App) {
    users(app, Hands::Mouse).await;
}

async fn users_by_keyboard(app: &App) {
    users(app, Hands::Keyboard).await;
}

async fn users_without_scripts(app: &App) {
    users(app, Hands::NoScripts).await;
}

async fn new_subscription_by_mouse(app: &App) {
    new_subscription(app, Hands::Mouse).await;
}

async fn new_subscription_by_keyboard(app: &App) {
    new_subscription(app, Hands::Keyboard).await;
}

async fn new_subscription_without_scripts(app: &App) {
    new_subscription(app, Hands::NoScripts).await;
}

async fn setting_up_ahead_by_mouse(app: &App) {
    setting_up_ahead(app, Hands::Mouse).await;
}

async fn setting_up_ahead_by_keyboard(app: &App) {
    setting_up_ahead(app, Hands::Keyboard).await;
}

async fn setting_up_ahead_without_scripts(app: &App) {
    setting_up_ahead(app, Hands::NoScripts).await;
}

/// an extension, found by searching; billing is set up on the way with a subscription that is there.
async fn extension(app: &App, hands: Hands) {
    let browser = Browser::signed_in(app, hands, ADA).await;
    browser.fill("Search the marketplace", "test manager").await;
    browser.press("Search").await;
    browser.misses("Basic users").await;
    browser.press("Test Manager").await;
    browser.sees("$52.00 / user").await;
    browser.press("Buy").await;
    browser.sees("Who is this for?").await;
    browser.choose("Fabrikam Fiber").await;
    browser.press("Continue").await;
    browser.sees("Choose where its charges go").await;
    browser.choose("Fabrikam Production").await;
    browser.press("Use this subscription").await;
    browser.sees("how many paid users in all").await;
    browser.fill("Test Manager: how many", "3").await;
    browser.press("Continue").await;
    browser.sees("Everything happens together").await;
    assert_sum(app, &browser, "fabrikam", "ms.vss-testmanager-web", 3, "Fabrikam Production").await;
    browser.press("Buy now").await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    browser.sees("pays from now on").await;

    let ada = app.as_(ADA).await;
    let has = ada.entitlement("fabrikam", "ms.vss-testmanager-web").await;
    assert_eq!((&has["installed"], &has["committed"], &has["usable"]), (&json!(true), &json!(3), &json!(3)), "{has}");
    assert_linked(app, ADA, "Fabrikam Production").await;
    assert_bought(app, "billing_set_up").await;
    browser.quit().await;
}

/// more users for an organization, found by kind; then more of them, billing being there already.
async fn users(app: &App, hands: Hands) {
    let browser = Browser::signed_in(app, hands, ADA).await;
    browser.press("Users").await;
    browser.press("Basic users").await;
    browser.sees("First 5 free").await;
    browser.press("Buy").await;
    browser.choose("Fabrikam Fiber").await;
    browser.press("Continue").await;
    browser.choose("Fabrikam Europe").await;
    browser.press("Use this subscription").await;
    browser.fill("Basic users: how many", "5").await;
    browser.press("Continue").await;
    browser.sees("Everything happens together").await;
    assert_sum(app, &browser, "fabrikam", "ms.vss-vstsuser", 5, "Fabrikam Europe").await;
    browser.press("Buy now").await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    browser.sees("5 → 10").await;
    let ada = app.as_(ADA).await;
    assert_eq!(ada.entitlement("fabrikam", "ms.vss-vstsuser").await["usable"], 10);
    assert_linked(app, ADA, "Fabrikam Europe").await;

    browser.press("What Fabrikam Fiber has").await;
    browser.press("Change Basic users").await;
    browser.sees("Paid so far: 5.").await;
    browser.press("One more").await;
    browser.sees("5 → 6 users").await;
    browser.press("Continue").await;
    browser.sees("Everything happens together").await;
    browser.press("Buy now").await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    let has = ada.entitlement("fabrikam", "ms.vss-vstsuser").await;
    assert_eq!((&has["committed"], &has["usable"]), (&json!(6), &json!(11)), "{has}");

    browser.press("What Fabrikam Fiber has").await;
    browser.press("Cancel Basic users").await;
    browser.press("Cancel the renewal").await;
    browser.sees("Changed").await;
    let has = ada.entitlement("fabrikam", "ms.vss-vstsuser").await;
    assert_eq!((&has["committed"], &has["next"]), (&json!(6), &json!(0)), "{has}");
    browser.quit().await;
}

/// who has no subscription makes one in place; nothing exists until it is bought.
async fn new_subscription(app: &App, hands: Hands) {
    let browser = Browser::signed_in(app, hands, ADAM).await;
    browser.press("Basic users").await;
    browser.press("Buy").await;
    browser.choose("Fabrikam Fiber").await;
    browser.press("Continue").await;
    browser.sees("Takes effect with this purchase").await;
    assert_eq!(browser.value("Name").await, "Fabrikam Fiber");
    browser.choose("Create a new subscription").await;
    browser.fill("Name", "Fabrikam Payments").await;
    browser.fill("Currency, for good", "EUR").await;
    browser.choose("Invoice").await;
    browser.press("Use this subscription").await;
    browser.fill("Basic users: how many", "5").await;
    browser.press("Continue").await;
    browser.sees("Everything happens together").await;
    let adam = app.as_(ADAM).await;
    let new = Billing::New { name: "Fabrikam Payments", country: "DE", currency: "EUR" };
    let quote = adam.quotes("fabrikam", "ms.vss-vstsuser", 5, new).await.ok();
    assert_sum_is(&browser, &quote).await;
    assert_eq!(adam.get("/v1/subscriptions").await.ok()["data"], json!([]), "nothing exists before it is bought");
    browser.press("Buy now").await;
    browser.sees("was created with this purchase").await;

    let made = adam.subscription("Fabrikam Payments").await;
    let made = adam.get(&format!("/v1/subscriptions/{made}")).await.ok();
    assert_eq!((&made["country"], &made["currency"]), (&json!("DE"), &json!("EUR")), "{made}");
    assert_eq!(adam.entitlement("fabrikam", "ms.vss-vstsuser").await["committed"], 5);
    assert_linked(app, ADAM, "Fabrikam Payments").await;
    assert_bought(app, "subscription_created").await;
    browser.quit().await;
}

/// All services, Organizations, the organization, Set up billing, choose, Link; then it is shown as linked.
async fn setting_up_ahead(app: &App, hands: Hands) {
    let browser = Browser::signed_in(app, hands, ADA).await;
    browser.press("All services").await;
    browser.at("/services").await;
    browser.press("Organizations").await;
    browser.press("Fabrikam Fiber").await;
    browser.sees("No subscription pays for Fabrikam Fiber yet").await;
    browser.press("Set up billing").await;
    browser.choose("Fabrikam Production").await;
    browser.press("Link").await;
    browser.sees("Billing is set up.").await;
    browser.sees("Linked: billed to Fabrikam Production").await;
    browser.sees("Ada Palmer linked it on 15 April 2018").await;
    assert_linked(app, ADA, "Fabrikam Production").await;
    assert!(!browser.offers("Set up billing").await, "it is set up");
    browser.quit().await;
}

/// The sum beside the checkout is what the API quotes.
async fn assert_sum(app: &App, browser: &Browser, organization: &str, offer: &str, quantity: i64, payer: &str) {
    let ada = app.as_(ADA).await;
    let payer = ada.subscription(payer).await;
    let quote = ada.quotes(organization, offer, quantity, Billing::Existing(&payer)).await.ok();
    assert_sum_is(browser, &quote).await;
}

/// The sum beside a checkout is that of this quote: rest of the month, next invoice, each month.
pub async fn assert_sum_is(browser: &Browser, quote: &Value) {
    let text = browser.ask("return document.querySelector('[aria-label=\"Order summary\"]').innerText").await;
    let text = text.as_str().expect("a sum");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let beside = |words: &str| {
        let at =
            lines.iter().position(|line| line.starts_with(words)).unwrap_or_else(|| panic!("no {words} in {text}"));
        lines[at + 1]
    };
    for (words, amount) in [
        ("Rest of", &quote["now"]["net"]),
        ("Tax", &quote["now"]["tax"]),
        ("On 1", &quote["next_invoice"]["total"]),
        ("Then each month", &quote["renewal"]["total"]),
    ] {
        assert_eq!(beside(words), money(amount), "{words} of {text}\nby {quote}");
    }
}

/// An amount as a page writes it for an American.
fn money(amount: &Value) -> String {
    let sign = match amount["currency"].as_str() {
        Some("USD") => "$",
        Some("EUR") => "€",
        other => panic!("{other:?}"),
    };
    let (whole, cents) = amount["amount"].as_str().and_then(|text| text.split_once('.')).expect("an amount");
    let groups: Vec<_> =
        whole.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    format!("{sign}{}.{cents}", groups.join(","))
}

pub async fn assert_linked(app: &App, who: &str, payer: &str) {
    let who = app.as_(who).await;
    let billing = who.get("/v1/organizations/fabrikam/billing").await.ok();
    assert_eq!(
        (&billing["state"], &billing["subscription"]),
        (&json!("linked"), &json!(who.subscription(payer).await))
    );
}

/// Fabrikam has one purchase, of which this holds.
async fn assert_bought(app: &App, what: &str) {
    let purchases = app.as_(ADA).await.all("/v1/organizations/fabrikam/purchases").await;
    assert_eq!(purchases.len(), 1, "{purchases:?}");
    assert_eq!((&purchases[0]["state"], &purchases[0][what]), (&json!("completed"), &json!(true)), "{purchases:?}");
}
