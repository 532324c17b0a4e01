//! What was chosen is kept and bought once, whatever becomes of the page meanwhile.

use super::{ADA, DAY, at_quantity, at_review, users};
use tests::browser::{Browser, Hands};
use tests::{App, Options, on_both};

on_both! {
    a_double_click_buys_once: Options::at(DAY);
    two_tabs_buy_once: Options::at(DAY);
    nothing_is_lost_on_the_way: Options::new();
}

async fn purchases(app: &App) -> usize {
    app.as_(ADA).await.all("/v1/organizations/fabrikam/purchases").await.len()
}

/// also in a browser whose scripts do not hold the second press back.
async fn a_double_click_buys_once(app: &App) {
    let browser = at_review(app, "5").await;
    browser.press_twice("Buy now").await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    assert_eq!((purchases(app).await, users(app).await), (1, (5, 5)));
    browser.quit().await;

    let browser = Browser::signed_in(app, Hands::NoScripts, ADA).await;
    browser.open("/organizations/fabrikam").await;
    browser.press("Change Basic users").await;
    browser.fill("Basic users: how many", "6").await;
    browser.press("Continue").await;
    browser.sees("5 → 6 users").await;
    browser.press_twice("Buy now").await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    assert_eq!((purchases(app).await, users(app).await), (2, (6, 6)));
    browser.quit().await;
}

async fn two_tabs_buy_once(app: &App) {
    let browser = at_review(app, "5").await;
    let checkout = browser.path().await;
    browser.new_tab().await;
    browser.open(&checkout).await;
    browser.sees("Everything happens together").await;
    browser.press("Buy now").await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    browser.tab(0).await;
    browser.press("Buy now").await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    assert_eq!((purchases(app).await, users(app).await), (1, (5, 5)));
    // The steps before lead to the receipt too, and change nothing.
    browser.open(&format!("{checkout}?step=quantity")).await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    browser.quit().await;
}

/// Reload, the way back, a browser that was closed, a server that went away and came back.
async fn nothing_is_lost_on_the_way(app: &App) {
    let browser = at_quantity(app).await;
    let checkout = browser.path().await;
    browser.fill("Basic users: how many", "7").await;
    browser.press("Continue").await;
    browser.sees("0 → 7 users").await;
    browser.reload().await;
    browser.sees("0 → 7 users").await;
    browser.back().await;
    browser.reload().await;
    browser.sees("7 users").await;
    browser.press("Marketplace").await;
    browser.sees("Hosted pipelines").await;
    browser.back().await;
    browser.open(&checkout).await;
    browser.sees("0 → 7 users").await;
    browser.press("Change quantity").await;
    browser.sees("how many paid users in all").await;
    assert_eq!(browser.value("Basic users: how many").await, "7");
    browser.press("Change billing").await;
    browser.sees("Choose where its charges go").await;
    browser.press("Use this subscription").await;
    browser.quit().await;

    let browser = Browser::signed_in(app, Hands::Mouse, ADA).await;
    browser.open(&checkout).await;
    browser.sees("0 → 7 users").await;
    app.kill().await;
    browser.press("Buy now").await;
    app.start_again().await;
    browser.open(&checkout).await;
    browser.sees("0 → 7 users").await;
    assert_eq!(users(app).await, (0, 0));
    browser.press("Buy now").await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    let receipt = browser.text().await;
    browser.reload().await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    assert_eq!(browser.text().await, receipt);

    browser.open("/marketplace/ms.feed?organization=fabrikam").await;
    browser.press("Buy for Fabrikam Fiber").await;
    browser.press("Give up this checkout").await;
    browser.at("/organizations/").await;
    assert_eq!((purchases(app).await, users(app).await), (1, (7, 7)));
    browser.quit().await;
}
