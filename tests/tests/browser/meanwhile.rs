//! What changes between the look and the press is shown, and nothing is silently accepted.

use super::journeys::{assert_linked, assert_sum_is};
use super::{ADA, DAY, USERS, at_quantity, at_review, users};
use serde_json::json;
use tests::browser::{Browser, Hands};
use tests::{App, Billing, Options, on_both, seeds};

on_both! {
    another_person_changed_the_quantity: Options::at(DAY);
    the_price_changed: Options::at(DAY);
    somebody_else_set_billing_up: Options::at(DAY);
    the_session_ended: Options::at(DAY);
    the_sum_is_right_after_each_change: Options::at(DAY);
}

/// two people do not undo each other unseen.
async fn another_person_changed_the_quantity(app: &App) {
    let browser = Browser::signed_in(app, Hands::Mouse, ADA).await;
    browser.open(&format!("/marketplace/{USERS}?organization=tailspin")).await;
    browser.press("Buy for Tailspin Toys").await;
    browser.fill("Basic users: how many", "5").await;
    browser.press("Continue").await;
    browser.sees("0 → 5 users").await;
    let sue = app.as_("sue@fabrikam.example").await;
    sue.buys("tailspin", USERS, 7, Billing::Linked).await.status(201);
    browser.press("Buy now").await;
    browser.sees("The quantity has changed").await;
    browser.sees("This has changed since you looked").await;
    browser.sees("7 → 5 users").await;
    let has = sue.entitlement("tailspin", USERS).await;
    assert_eq!((&has["committed"], &has["next"]), (&json!(7), &json!(7)), "{has}");
    // Now that it is seen, it may be decided again.
    browser.press("Reduce").await;
    browser.sees("Changed").await;
    let has = sue.entitlement("tailspin", USERS).await;
    assert_eq!((&has["committed"], &has["next"]), (&json!(7), &json!(5)), "{has}");
    browser.quit().await;
}

/// what was shown is no longer what would be charged.
async fn the_price_changed(app: &App) {
    let browser = at_review(app, "5").await;
    browser.sees("$30.00").await;
    let catalog = seeds::catalog();
    let dearer = catalog.replace("bands = [{ up_to = 5, unit = \"6.00\" }", "bands = [{ up_to = 5, unit = \"7.00\" }");
    assert_ne!(catalog, dearer);
    app.prints(&["catalog", "apply", &app.file("dearer.toml", &dearer)]);
    browser.press("Buy now").await;
    browser.sees("The price has changed").await;
    browser.sees("This has changed since you looked").await;
    browser.sees("Then each month: $30.00, now $35.00").await;
    assert_eq!(users(app).await, (0, 0));
    browser.press("Buy now").await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    assert_eq!(users(app).await, (5, 5));
    browser.quit().await;
}

/// the payer that somebody else chose is shown, and bought on only by another press.
async fn somebody_else_set_billing_up(app: &App) {
    let browser = at_review(app, "5").await;
    let ada = app.as_(ADA).await;
    let other = ada.subscription("Fabrikam Europe").await;
    ada.put("/v1/organizations/fabrikam/billing", json!({ "subscription": other })).await.ok();
    browser.press("Buy now").await;
    browser.sees("Billing is set up already").await;
    browser.sees("Billed to Fabrikam Europe").await;
    browser.sees("€25.50").await;
    assert_eq!(users(app).await, (0, 0));
    browser.press("Buy now").await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    assert_linked(app, ADA, "Fabrikam Europe").await;
    browser.quit().await;

    let browser = Browser::signed_in(app, Hands::Mouse, ADA).await;
    browser.open("/organizations/fabrikam/billing").await;
    browser.sees("Linked: billed to Fabrikam Europe").await;
    let subscription = ada.subscription("Fabrikam Production").await;
    browser.send_form("/organizations/fabrikam/billing", &[("subscription", &subscription)]).await;
    browser.sees("Linked: billed to Fabrikam Europe").await;
    assert_linked(app, ADA, "Fabrikam Europe").await;
    browser.quit().await;
}

/// Whoever's session has ended signs in and is back where they were, with all that was chosen.
async fn the_session_ended(app: &App) {
    let browser = at_quantity(app).await;
    let checkout = browser.path().await;
    browser.forget().await;
    browser.press("Continue").await;
    browser.sees("Sign in as").await;
    browser.sign_in_as(ADA).await;
    browser.at(&checkout).await;
    browser.sees("Fabrikam Production").await;
    browser.sees("how many paid users in all").await;
    browser.forget().await;
    browser.open("/organizations/fabrikam?done=linked").await;
    browser.sees("Sign in as").await;
    // Signing in leads nowhere else.
    for bad in ["//evil.example", "https://evil.example", "/%5Cevil.example"] {
        browser.forget().await;
        browser.open(&format!("/sign-in?next={bad}")).await;
        browser.sign_in_as(ADA).await;
        browser.at("/marketplace").await;
    }
    browser.press("Sign out").await;
    browser.sees("Sign in as").await;
    browser.back().await;
    browser.reload().await;
    browser.sees("Sign in as").await;
    browser.open("/sign-in").await;
    browser.fill("Token", "not.a.token").await;
    browser.press("Sign in").await;
    browser.sees("Sign in with a token").await;
    browser.fill("Token", app.as_(ADA).await.bearer()).await;
    browser.press("Sign in").await;
    browser.at("/marketplace").await;
    browser.quit().await;
}

/// The sum beside the checkout is the API's quote after every change, typed or pressed, with the focus where it was.
async fn the_sum_is_right_after_each_change(app: &App) {
    let browser = at_quantity(app).await;
    let ada = app.as_(ADA).await;
    let payer = ada.subscription("Fabrikam Production").await;
    for count in [3, 5, 6, 200, 1500, 100_000] {
        browser.fill("Basic users: how many", &count.to_string()).await;
        browser.keys("\u{e004}".to_owned()).await;
        let words = if count == 100_000 { "→ 100,000 users".to_owned() } else { format!("→ {count} users") };
        browser.sees(&words.replace("1500", "1,500")).await;
        let quote = ada.quotes("fabrikam", USERS, count, Billing::Existing(&payer)).await.ok();
        assert_sum_is(&browser, &quote).await;
        let at = browser.ask("return document.activeElement.getAttribute('aria-label')").await;
        assert_eq!(at, "One more", "the focus stays");
    }
    browser.press("One less").await;
    browser.sees("99,999 users").await;
    assert_eq!(browser.value("Basic users: how many").await, "99999");
    let quote = ada.quotes("fabrikam", USERS, 99_999, Billing::Existing(&payer)).await.ok();
    assert_sum_is(&browser, &quote).await;
    browser.quit().await;
}
