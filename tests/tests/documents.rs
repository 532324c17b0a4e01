//! The documents of an invoice: what `Accept` asks for and what the page offers is the same file, and says what the
//! invoice says.

use reqwest::Method;
use serde_json::json;
use tests::{Actor, Answer, App, Billing, Options, Visitor, on_both};

on_both! {
    r_42_an_invoice_as_documents: Options::at("2018-04-15T10:00:00Z").config(RATES);
    e_invoices_name_what_they_lack: Options::at("2018-04-15T10:00:00Z").config(RATES);
}

const SUE: &str = "sue@fabrikam.example";
const USERS: &str = "ms.vss-vstsuser";
const RATES: &str = r#"
[seller]
name = "Purser Sales"
country = "US"
address = "1 Main Street"
tax_id = "12-345"
series = "P"
[[tax.rates]]
country = "US"
percent = "7.25"
from = "2018-01-01"
"#;

async fn document(actor: &Actor, id: &str, accept: &str) -> Answer {
    actor.raw(Method::GET, &format!("/v1/invoices/{id}"), Vec::new(), &[("accept", accept)]).await
}

/// The newest invoice of a payer.
async fn newest(actor: &Actor, payer: &str) -> String {
    let payer = actor.subscription(payer).await;
    let all = actor.all(&format!("/v1/subscriptions/{payer}/invoices")).await;
    all[0]["id"].as_str().expect("an invoice").to_owned()
}

/// R-42, R-7: by `Accept` and from the page, for whoever may see the invoice and nobody else.
async fn r_42_an_invoice_as_documents(app: &App) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    app.move_clock("2018-05-01T02:00:00Z").await;
    let id = newest(&sue, "Fabrikam Production").await;
    let invoice = sue.get(&format!("/v1/invoices/{id}")).await.ok();
    for accept in ["*/*", "application/json", "image/png", "application/pdf;q=0.1, application/json"] {
        assert_eq!(document(&sue, &id, accept).await.ok(), invoice, "{accept}");
    }
    let pdf = document(&sue, &id, "application/pdf").await;
    assert_eq!((pdf.status, pdf.header("content-type")), (200, Some("application/pdf")), "{pdf}");
    assert_eq!(pdf.header("content-disposition"), Some("attachment; filename=\"P-2018-000001.pdf\""));
    assert!(pdf.body.starts_with(b"%PDF-1.7"), "{pdf}");
    let csv = document(&sue, &id, "text/csv").await;
    assert_eq!((csv.status, csv.header("content-type")), (200, Some("text/csv; charset=utf-8")), "{csv}");
    let lines = invoice["lines"].as_array().expect("lines");
    let text = csv.text();
    assert_eq!(text.lines().count(), lines.len() + 1, "{text}");
    for line in lines {
        let amount = |name: &str| line[name]["amount"].as_str().expect("an amount").to_owned();
        let charge = line["charge"].as_str().expect("a charge");
        let row = text.lines().find(|row| row.contains(charge)).expect("its row");
        assert!(row.contains(&format!("USD,{},7.25,{},", amount("amount"), amount("tax"))), "{row}");
    }
    let focus = sue.get(&format!("/v1/invoices/{id}/focus")).await;
    assert_eq!(
        focus.header("content-disposition"),
        Some("attachment; filename=\"P-2018-000001.focus.csv\""),
        "{focus}"
    );
    assert!(focus.text().contains(",P-2018-000001,Purser Sales,"), "{focus}");
    let visitor = Visitor::signed_in(app, SUE).await;
    let page = visitor.get(&format!("/invoices/{id}")).await;
    for (name, expected) in [("pdf", &pdf.body), ("csv", &csv.body), ("focus.csv", &focus.body)] {
        let path = format!("/invoices/{id}/{name}");
        page.says(200, &format!("href=\"{path}\""));
        let cookie = visitor.cookie();
        let file = app.anonymous().raw(Method::GET, &path, Vec::new(), &[("cookie", &cookie)]).await;
        assert!(file.status == 200 && file.body == *expected, "{name}: {}", file.status);
    }
    visitor.get(&format!("/invoices/{id}/doc")).await.says(404, "no such document");
    let other = app.as_("owen@contoso.example").await;
    for accept in ["application/pdf", "text/csv"] {
        document(&other, &id, accept).await.problem("not-found");
    }
    other.get(&format!("/v1/invoices/{id}/focus")).await.problem("not-found");
}

/// What an e-invoice needs and nobody filled in is named; once it is there, later invoices have one.
async fn e_invoices_name_what_they_lack(app: &App) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    app.move_clock("2018-05-01T02:00:00Z").await;
    let id = newest(&sue, "Fabrikam Production").await;
    let answer = document(&sue, &id, "application/xml").await;
    answer.invalid("/payer/address");
    answer.invalid("/seller/tax_id");
    let page = Visitor::signed_in(app, SUE).await.get(&format!("/invoices/{id}/xml")).await;
    page.says(422, "/payer/address");
    let payer = sue.subscription("Fabrikam Production").await;
    sue.patch(&format!("/v1/subscriptions/{payer}"), json!({ "address": "1 Main Street\nSpringfield" })).await.ok();
    app.move_clock("2018-06-01T02:00:00Z").await;
    let id = newest(&sue, "Fabrikam Production").await;
    let answer = document(&sue, &id, "application/xml").await;
    assert_eq!(answer.invalid("/seller/tax_id")["errors"].as_array().map(Vec::len), Some(1), "{answer}");
}
