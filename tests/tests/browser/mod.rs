//! The shop as a person meets it: real Chromium, step by step, on both databases. What was done is checked by the API.

mod journeys;
mod keeping;
mod lists;
mod meanwhile;
mod names;
mod refusals;
mod sweep;

use tests::App;
use tests::browser::{Browser, Hands};

const ADA: &str = "ada@fabrikam.example";
const ADAM: &str = "adam@fabrikam.example";
const DAY: &str = "2018-04-15T10:00:00Z";
const USERS: &str = "ms.vss-vstsuser";

/// A browser at the last step: Ada would buy so many users for Fabrikam, billed to her Fabrikam Production.
async fn at_review(app: &App, quantity: &str) -> Browser {
    let browser = at_quantity(app).await;
    browser.fill("Basic users: how many", quantity).await;
    browser.press("Continue").await;
    browser.sees("Everything happens together").await;
    browser
}

/// The same one step before.
async fn at_quantity(app: &App) -> Browser {
    let browser = Browser::signed_in(app, Hands::Mouse, ADA).await;
    browser.open(&format!("/marketplace/{USERS}?organization=fabrikam")).await;
    browser.press("Buy for Fabrikam Fiber").await;
    browser.choose("Fabrikam Production").await;
    browser.press("Use this subscription").await;
    browser.sees("how many paid users in all").await;
    browser
}

/// What Fabrikam has of users: paid this month, and next.
async fn users(app: &App) -> (i64, i64) {
    let has = app.as_(ADA).await.entitlement("fabrikam", USERS).await;
    (has["committed"].as_i64().expect("a number"), has["next"].as_i64().expect("a number"))
}
