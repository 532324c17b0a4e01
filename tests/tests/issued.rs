//! An issued invoice never changes (R-43): whatever is renamed afterwards, and where it was issued before lines were kept.

use serde_json::{Value, json};
use tests::{Actor, App, Billing, Options, Visitor, on_both, seeds};

on_both! {
    r_43_names_stay_as_they_were_issued: Options::at("2018-04-15T10:00:00Z").config(RATES);
    r_43_invoices_from_before_get_their_lines: Options::at("2018-04-15T10:00:00Z").config(RATES);
}

const SUE: &str = "sue@fabrikam.example";
const USERS: &str = "ms.vss-vstsuser";
const RATES: &str = r#"
[[tax.rates]]
country = "US"
percent = "7.25"
from = "2018-01-01"
[[tax.rates]]
country = "US"
percent = "19"
from = "2018-05-01"
"#;

/// Two organizations, two offers, two tax rates; the invoice's path.
async fn issued(app: &App, sue: &Actor) -> String {
    let ada = app.as_("ada@fabrikam.example").await;
    let payer = sue.subscription("Fabrikam Production").await;
    sue.buys_all("tailspin", &[(USERS, 13), ("ms.feed", 3)], Billing::Linked).await.status(201);
    sue.buys("tailspin", USERS, 17, Billing::Linked).await.status(201);
    ada.buys("fabrikam", "ms.vss-testmanager-web", 7, Billing::Existing(&payer)).await.status(201);
    app.move_clock("2018-05-01T02:00:00Z").await;
    let list = sue.get(&format!("/v1/subscriptions/{payer}/invoices")).await.ok();
    format!("/invoices/{}", list["data"][0]["id"].as_str().expect("an id"))
}

/// An organization and an offer get other names; answer, page and explanation are what they were.
async fn r_43_names_stay_as_they_were_issued(app: &App) {
    let sue = app.as_(SUE).await;
    let path = issued(app, &sue).await;
    let rita = Visitor::signed_in(app, "rita@fabrikam.example").await;
    let id = path.trim_start_matches("/invoices/");
    let sees = async || {
        let page = rita.get(&path).await;
        page.says(200, "Tailspin Toys").says(200, "Basic users").lacks("Aardvark").lacks("Simple users");
        let answer: Value = sue.get(&format!("/v1{path}")).await.ok();
        (answer, app.prints(&["explain", id]))
    };
    let before = sees().await;
    let renamed = json!({ "name": "Aardvark", "country": "US" });
    app.platform().await.put("/v1/organizations/tailspin", renamed).await.ok();
    let catalog = seeds::catalog().replace(r#"name = "Basic users""#, r#"name = "Simple users""#);
    app.prints(&["catalog", "apply", &app.file("renamed.toml", &catalog)]);
    let organizations: Vec<_> =
        before.0["lines"].as_array().expect("lines").iter().map(|line| &line["organization"]["name"]).collect();
    assert!(organizations.windows(2).all(|two| two[0].as_str() <= two[1].as_str()), "{organizations:?}");
    assert_eq!(sees().await, before);
    // What is issued next has the new names, and both are proven.
    app.move_clock("2018-06-01T02:00:00Z").await;
    let payer = sue.subscription("Fabrikam Production").await;
    let next = sue.get(&format!("/v1/subscriptions/{payer}/invoices")).await.ok();
    let next = sue.get(&format!("/v1/invoices/{}", next["data"][0]["id"].as_str().expect("an id"))).await.ok();
    assert_eq!(next["lines"][0]["organization"]["name"], "Aardvark");
    assert!(next.to_string().contains("Simple users"), "{next}");
    app.prints(&["catalog", "apply", &app.file("named.toml", &seeds::catalog())]);
    app.verify();
}

/// The step that brought the lines works out what issuing would have kept.
async fn r_43_invoices_from_before_get_their_lines(app: &App) {
    let sue = app.as_(SUE).await;
    let path = format!("/v1{}", issued(app, &sue).await);
    let before = sue.get(&path).await.ok();
    app.stop().await;
    app.database.sql("CREATE TABLE kept AS SELECT * FROM invoice_lines").await;
    app.database.sql("DROP TABLE invoice_lines").await;
    assert!(!app.purser(&["verify"]).status.success());
    app.database.sql("DELETE FROM seaql_migrations WHERE version = 'm0006_invoice_lines'").await;
    app.prints(&["migrate"]);
    let other = "SELECT count(*) FROM (SELECT * FROM kept EXCEPT SELECT * FROM invoice_lines) x";
    assert_eq!(app.database.number(other).await, 0);
    assert!(app.database.number("SELECT count(*) FROM invoice_lines").await >= 6);
    app.database.sql("DROP TABLE kept").await;
    app.verify();
    app.start_again().await;
    assert_eq!(app.as_(SUE).await.get(&path).await.ok(), before);
}
