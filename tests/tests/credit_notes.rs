//! Credit notes on issued invoices, what is paid back, and credits that operators grant (R-43, R-45, R-46, R-9a).

use crate::payments::{buys, count, invoices, payments, pays_by, row, states, status};
use serde_json::{Value, json};
use tests::{Actor, App, Options, join_all, on_both};

on_both! {
    r_43_a_credit_note_takes_off_what_is_open: begin();
    r_43_what_is_not_left_is_refused: begin();
    r_43_numbers_of_credit_notes_are_gapless: begin();
    r_43_two_at_once_never_credit_more_than_is_left: begin();
    r_43_what_was_paid_becomes_credit: begin();
    r_46_what_was_paid_by_card_is_paid_back: begin();
    r_46_what_was_paid_by_transfer_is_paid_back_by_the_operators_word: begin();
    r_46_a_refund_whose_answer_is_lost_is_found: begin();
    r_46_a_refund_that_is_declined_is_credit_again: begin();
    r_46_a_refund_that_nobody_answers_is_settled_after_a_crash: begin();
    r_9a_a_granted_credit_pays_invoices: begin();
    r_13_who_owes_nothing_after_a_credit_note_is_active_again: begin();
    r_43_a_credit_note_is_a_document: begin();
    r_25_a_credit_note_is_explained: begin();
    r_24_taxes_are_mirrored_exactly: Options::at("2018-04-15T10:00:00Z").config(RATES);
}

const OLGA: &str = "olga@platform.example";
const RATES: &str = "[[tax.rates]]\ncountry = 'US'\npercent = '7.7'\nfrom = '2000-01-01'\n";

fn begin() -> Options {
    Options::at("2018-04-15T10:00:00Z")
}

fn usd(amount: &str) -> Value {
    json!({"amount": amount, "currency": "USD"})
}

/// A payer that was billed 105.00 on 1 May: 35.00 for the rest of April, 70.00 for May.
async fn billed(app: &App, token: Option<&str>) -> (Actor, Actor, String, Value) {
    let (sue, payer) = buys(app).await;
    if let Some(token) = token {
        pays_by(&sue, &payer, token).await;
    }
    app.move_clock("2018-05-01T02:00:00Z").await;
    let invoice = last_invoice(&sue, &payer).await;
    (sue, app.as_(OLGA).await, payer, invoice)
}

async fn last_invoice(sue: &Actor, payer: &str) -> Value {
    let all = sue.all(&format!("/v1/subscriptions/{payer}/invoices")).await;
    let id = all[0]["id"].as_str().expect("an id");
    sue.get(&format!("/v1/invoices/{id}")).await.ok()
}

fn path_of(invoice: &Value) -> String {
    format!("/v1/invoices/{}/credit-notes", invoice["id"].as_str().expect("an id"))
}

fn of_line(invoice: &Value, place: usize, amount: &str) -> Value {
    json!({"charge": invoice["lines"][place]["charge"], "amount": usd(amount)})
}

async fn transfer(olga: &Actor, payer: &str, amount: &str, reference: &str) {
    let body = json!({"amount": usd(amount), "received_on": "2018-05-01", "reference": reference});
    olga.post(&format!("/v1/subscriptions/{payer}/payments"), body).await.status(201);
}

/// part of a line, then all that is left; the invoice's content stays as it is, and its credit notes say of what line
/// they are and how they are worked out.
async fn r_43_a_credit_note_takes_off_what_is_open(app: &App) {
    let (sue, olga, payer, invoice) = billed(app, None).await;
    let path = path_of(&invoice);
    let body = json!({"lines": [of_line(&invoice, 1, "20.00")], "reason": " Out for two days "});
    let note = olga.post_keyed(&path, &body, "k").await.status(201);
    assert_eq!((&note["number"], &note["reason"]), (&json!("CN-P-2018-000001"), &json!("Out for two days")), "{note}");
    assert_eq!((&note["total"], &note["reduced"], &note["credited"]), (&usd("20.00"), &usd("20.00"), &usd("0.00")));
    assert_eq!((&note["invoice"], &note["invoice_number"]), (&invoice["id"], &invoice["number"]), "{note}");
    let line = &note["lines"][0];
    assert_eq!((&line["line"], &line["charge"]), (&json!(2), &invoice["lines"][1]["charge"]), "{note}");
    let steps: Vec<_> = line["why"].as_array().expect("steps").iter().map(|step| step["value"].clone()).collect();
    assert_eq!(steps, [json!("70.00"), json!("20.00"), json!("50.00"), json!("0.00")], "{note}");
    // The same key gives the same answer, another body is refused.
    let again = olga.post_keyed(&path, &body, "k").await;
    assert!(again.replayed());
    assert_eq!(again.status(201), note);
    olga.post_keyed(&path, &json!({"reason": "x"}), "k").await.problem("idempotency-key-reused");
    assert_eq!(invoices(&sue, &payer).await, [row("0.00", "85.00", "open")]);
    let rest = olga.post(&path, json!({"reason": "All of it"})).await.status(201);
    assert_eq!((&rest["number"], &rest["total"]), (&json!("CN-P-2018-000002"), &usd("85.00")), "{rest}");
    assert_eq!(invoices(&sue, &payer).await, [row("0.00", "0.00", "paid")]);
    let mut after = last_invoice(&sue, &payer).await;
    assert_eq!(after["credited"], usd("105.00"));
    for member in ["state", "open", "credited"] {
        after[member] = invoice[member].clone();
    }
    assert_eq!(after, invoice, "an issued invoice never changes");
    let listed = sue.all(&path).await;
    assert_eq!(
        listed.iter().map(|note| note["number"].clone()).collect::<Vec<_>>(),
        [json!("CN-P-2018-000002"), json!("CN-P-2018-000001")]
    );
    let shown = sue.get(&format!("/v1/credit-notes/{}", note["id"].as_str().expect("an id"))).await.ok();
    assert_eq!(shown, note);
    assert_eq!((count(app, "credit_note.issued").await, count(app, "invoice.reduced").await), (2, 2));
    // Nothing is asked for any more.
    app.move_clock("2018-07-15T02:00:00Z").await;
    assert_eq!(count(app, "invoice.overdue").await, 4, "of the invoice of June alone");
}

/// each field that cannot be taken is named, and nothing is written.
async fn r_43_what_is_not_left_is_refused(app: &App) {
    let (sue, olga, payer, invoice) = billed(app, None).await;
    let path = path_of(&invoice);
    let ada = app.as_("ada@fabrikam.example").await;
    let other = json!({"charge": "chg_00000000000000000000000000", "amount": usd("1.00")});
    for (lines, pointer) in [
        (json!([of_line(&invoice, 0, "0.00")]), "/lines/0/amount/amount"),
        (json!([of_line(&invoice, 0, "-1.00")]), "/lines/0/amount/amount"),
        (json!([of_line(&invoice, 0, "35.01")]), "/lines/0/amount/amount"),
        (json!([of_line(&invoice, 0, "92233720368547758.07")]), "/lines/0/amount/amount"),
        (json!([of_line(&invoice, 0, "1.00"), of_line(&invoice, 0, "1.00")]), "/lines/1/charge"),
        (json!([of_line(&invoice, 0, "1.00"), other]), "/lines/1/charge"),
        (json!([]), "/lines"),
    ] {
        olga.post(&path, json!({"lines": lines, "reason": "x"})).await.invalid(pointer);
    }
    let mut euro = of_line(&invoice, 0, "1.00");
    euro["amount"]["currency"] = json!("EUR");
    olga.post(&path, json!({"lines": [euro], "reason": "x"})).await.invalid("/lines/0/amount/currency");
    for reason in ["", " \n ", "a\u{7}b", &"x".repeat(1001)] {
        olga.post(&path, json!({"reason": reason})).await.invalid("/reason");
    }
    olga.post(&path, json!({"reason": "x", "refund_reference": "R-1"})).await.invalid("/refund_reference");
    for amount in ["1.001", "92233720368547758.08", "one"] {
        let lines = json!([{"charge": invoice["lines"][0]["charge"], "amount": usd(amount)}]);
        olga.post(&path, json!({"lines": lines, "reason": "x"})).await.problem("invalid-request");
    }
    sue.post(&path, json!({"reason": "x"})).await.problem("permission-denied");
    app.as_("owen@contoso.example").await.post(&path, json!({"reason": "x"})).await.problem("not-found");
    drop(ada);
    assert_eq!(app.database.number("SELECT count(*) FROM credit_notes").await, 0);
    olga.post(&path, json!({"reason": "x"})).await.status(201);
    olga.post(&path, json!({"reason": "x"})).await.invalid("/lines");
    // The line of one invoice is none of another, whoever's.
    app.move_clock("2018-06-01T02:00:00Z").await;
    let june = last_invoice(&sue, &payer).await;
    let lines = json!([of_line(&invoice, 0, "1.00")]);
    olga.post(&path_of(&june), json!({"lines": lines, "reason": "x"})).await.invalid("/lines/0/charge");
}

/// what is refused takes no number, and a year has its own.
async fn r_43_numbers_of_credit_notes_are_gapless(app: &App) {
    let (_, olga, _, invoice) = billed(app, None).await;
    let path = path_of(&invoice);
    let one =
        async |amount: &str| olga.post(&path, json!({"lines": [of_line(&invoice, 0, amount)], "reason": "x"})).await;
    assert_eq!(one("1.00").await.status(201)["number"], "CN-P-2018-000001");
    one("99.00").await.invalid("/lines/0/amount/amount");
    assert_eq!(one("1.00").await.status(201)["number"], "CN-P-2018-000002");
    app.move_clock("2019-01-15T02:00:00Z").await;
    assert_eq!(one("1.00").await.status(201)["number"], "CN-P-2019-000001");
}

/// however many operators at once, never more than is left.
async fn r_43_two_at_once_never_credit_more_than_is_left(app: &App) {
    let (sue, olga, payer, invoice) = billed(app, None).await;
    let path = path_of(&invoice);
    let many = join_all((0..8).map(|_| {
        let body = json!({"lines": [of_line(&invoice, 1, "30.00")], "reason": "x"});
        let (olga, path) = (&olga, &path);
        async move { olga.post(path, body).await.status }
    }))
    .await;
    assert_eq!(many.iter().filter(|status| **status == 201).count(), 2, "{many:?}");
    assert_eq!(invoices(&sue, &payer).await, [row("0.00", "45.00", "open")]);
    let many = join_all((0..4).map(|_| {
        let (olga, path) = (&olga, &path);
        async move { olga.post_keyed(path, &json!({"reason": "y"}), "once").await.status }
    }))
    .await;
    assert!(many.iter().all(|status| *status == 201), "{many:?}");
    assert_eq!(app.database.number("SELECT count(*) FROM credit_notes").await, 3);
}

/// what was open is open no more, what had been paid is credit, which goes to what is open and to the next invoice.
async fn r_43_what_was_paid_becomes_credit(app: &App) {
    let (sue, olga, payer, invoice) = billed(app, None).await;
    transfer(&olga, &payer, "95.00", "T-1").await;
    let note = olga.post(&path_of(&invoice), json!({"reason": "x"})).await.status(201);
    assert_eq!((&note["reduced"], &note["credited"]), (&usd("10.00"), &usd("95.00")), "{note}");
    assert_eq!(invoices(&sue, &payer).await, [row("95.00", "0.00", "paid")]);
    app.move_clock("2018-06-01T02:00:00Z").await;
    assert_eq!(invoices(&sue, &payer).await[1], row("70.00", "0.00", "paid"), "paid by credit");
    // 25.00 are left and go to the next, of which 45.00 are open.
    app.move_clock("2018-07-01T02:00:00Z").await;
    assert_eq!(invoices(&sue, &payer).await[2], row("25.00", "45.00", "open"));
}

/// through the provider, never twice, never more than the payment brought in.
async fn r_46_what_was_paid_by_card_is_paid_back(app: &App) {
    let (sue, olga, payer, invoice) = billed(app, Some("tok_ok")).await;
    let path = path_of(&invoice);
    let body = json!({"lines": [of_line(&invoice, 0, "5.00")], "reason": "x", "refund": true});
    let note = olga.post(&path, body).await.status(201);
    assert_eq!(note["refunds"][0]["amount"], usd("5.00"), "{note}");
    let rest = olga.post(&path, json!({"reason": "x", "refund": true})).await.status(201);
    assert_eq!(rest["credited"], usd("100.00"), "{rest}");
    let all = payments(&sue, &payer).await;
    assert_eq!(all[0]["refunded"], usd("105.00"), "{all:?}");
    let refunds = all[0]["refunds"].as_array().expect("refunds");
    assert!(refunds.iter().all(|refund| refund["state"] == "refunded"), "{all:?}");
    assert_eq!(
        app.database.number("SELECT CAST(sum(amount) AS BIGINT) FROM simulated_refunds WHERE paid").await,
        10_500
    );
    assert_eq!(app.database.number("SELECT count(*) FROM subscriptions WHERE credit > 0").await, 0);
    app.prints(&["renew"]);
    assert_eq!(app.database.number("SELECT count(*) FROM simulated_refunds").await, 2);
}

/// a transfer is paid back by a transfer that the operator names.
async fn r_46_what_was_paid_by_transfer_is_paid_back_by_the_operators_word(app: &App) {
    let (sue, olga, payer, invoice) = billed(app, None).await;
    transfer(&olga, &payer, "95.00", "T-1").await;
    let path = path_of(&invoice);
    olga.post(&path, json!({"reason": "x", "refund": true})).await.invalid("/refund_reference");
    assert_eq!(invoices(&sue, &payer).await, [row("95.00", "10.00", "open")], "nothing was written");
    let body = json!({"reason": "x", "refund": true, "refund_reference": "BACK-1"});
    let note = olga.post(&path, body).await.status(201);
    let refund = &note["refunds"][0];
    assert_eq!((&refund["state"], &refund["amount"]), (&json!("refunded"), &usd("95.00")), "{note}");
    assert_eq!((&refund["reference"], &refund["provider"]), (&json!("BACK-1"), &json!("transfer")), "{note}");
}

/// the money went and the answer was lost: it is asked what came of it, and nothing is paid back a second time.
async fn r_46_a_refund_whose_answer_is_lost_is_found(app: &App) {
    for token in ["tok_timeout", "tok_lost"] {
        let (sue, olga, payer, invoice) = if token == "tok_timeout" {
            billed(app, Some(token)).await
        } else {
            let sue = app.as_("sue@fabrikam.example").await;
            let payer = sue.subscription("Fabrikam Production").await;
            pays_by(&sue, &payer, token).await;
            app.move_clock("2018-06-01T02:00:00Z").await;
            let invoice = last_invoice(&sue, &payer).await;
            (sue, app.as_(OLGA).await, payer, invoice)
        };
        app.prints(&["renew"]);
        assert!(states(&sue, &payer).await.iter().all(|state| state == "received"));
        olga.post(&path_of(&invoice), json!({"reason": "x", "refund": true})).await.status(201);
        app.prints(&["renew"]);
        let all = payments(&sue, &payer).await;
        let last = all.last().expect("a payment");
        assert_eq!(last["refunds"][0]["state"], "refunded", "{token}: {last}");
        assert_eq!(last["refunds"].as_array().map(Vec::len), Some(1), "{token}: {last}");
    }
    assert_eq!(
        app.database.number("SELECT CAST(sum(amount) AS BIGINT) FROM simulated_refunds WHERE paid").await,
        17_500
    );
}

/// what the provider does not pay back is the payer's credit.
async fn r_46_a_refund_that_is_declined_is_credit_again(app: &App) {
    let (sue, olga, payer, invoice) = billed(app, Some("tok_refund_declined")).await;
    olga.post(&path_of(&invoice), json!({"reason": "x", "refund": true})).await.status(201);
    let all = payments(&sue, &payer).await;
    let refund = &all[0]["refunds"][0];
    assert_eq!(
        (&refund["state"], &refund["reason"]),
        (&json!("declined"), &json!("expired_or_canceled_card")),
        "{all:?}"
    );
    assert_eq!(all[0]["refunded"], usd("0.00"));
    app.move_clock("2018-06-01T02:00:00Z").await;
    assert_eq!(invoices(&sue, &payer).await[1], row("70.00", "0.00", "paid"), "paid by credit");
    assert_eq!(payments(&sue, &payer).await.len(), 1, "no card was asked for it");
}

/// asked, and then the server dies; what was recorded is settled by asking first.
async fn r_46_a_refund_that_nobody_answers_is_settled_after_a_crash(app: &App) {
    let (sue, olga, payer, invoice) = billed(app, Some("tok_refund_away")).await;
    olga.post(&path_of(&invoice), json!({"reason": "x", "refund": true})).await.status(201);
    assert_eq!(payments(&sue, &payer).await[0]["refunds"][0]["state"], "asked");
    // What is being paid back is no credit that the next invoice could use.
    app.move_clock("2018-06-01T02:00:00Z").await;
    assert_eq!(invoices(&sue, &payer).await[1].1, "0.00", "by card");
    app.kill().await;
    app.database.sql("UPDATE payments SET token = 'tok_ok'").await;
    app.start_again().await;
    app.prints(&["renew"]);
    app.prints(&["renew"]);
    assert_eq!(payments(&sue, &payer).await[0]["refunds"][0]["state"], "refunded");
    assert_eq!(app.database.number("SELECT count(*) FROM simulated_refunds WHERE paid").await, 1);
}

/// R-9a: an operator grants a credit with a reason; open invoices use it at once, later ones when they are issued.
async fn r_9a_a_granted_credit_pays_invoices(app: &App) {
    let (sue, olga, payer, _) = billed(app, None).await;
    let path = format!("/v1/subscriptions/{payer}/credits");
    let body = json!({"amount": usd("115.00"), "reason": "For the trouble"});
    let granted = olga.post_keyed(&path, &body, "k").await.status(201);
    assert_eq!((&granted["amount"], &granted["reason"]), (&usd("115.00"), &json!("For the trouble")), "{granted}");
    assert!(olga.post_keyed(&path, &body, "k").await.replayed());
    assert_eq!(invoices(&sue, &payer).await, [row("105.00", "0.00", "paid")]);
    app.move_clock("2018-06-01T02:00:00Z").await;
    assert_eq!(invoices(&sue, &payer).await[1], row("10.00", "60.00", "open"));
    for (body, pointer) in [
        (json!({"amount": usd("0.00"), "reason": "x"}), "/amount/amount"),
        (json!({"amount": usd("-1.00"), "reason": "x"}), "/amount/amount"),
        (json!({"amount": {"amount": "1.00", "currency": "EUR"}, "reason": "x"}), "/amount/currency"),
        (json!({"amount": usd("1.00"), "reason": "  "}), "/reason"),
    ] {
        olga.post(&path, body).await.invalid(pointer);
    }
    let most = json!({"amount": usd("92233720368547758.07"), "reason": "x"});
    olga.post(&path, most.clone()).await.status(201);
    olga.post(&path, most).await.invalid("/amount/amount");
    sue.post(&path, json!({"amount": usd("1.00"), "reason": "x"})).await.problem("permission-denied");
}

/// a credit note puts right what an unpaid invoice did, as a payment does.
async fn r_13_who_owes_nothing_after_a_credit_note_is_active_again(app: &App) {
    let (sue, olga, payer, invoice) = billed(app, Some("tok_expired")).await;
    app.move_clock("2018-05-29T02:00:00Z").await;
    assert_eq!(status(&sue, &payer).await, "disabled");
    let path = path_of(&invoice);
    olga.post(&path, json!({"lines": [of_line(&invoice, 1, "70.00")], "reason": "x"})).await.status(201);
    assert_eq!(status(&sue, &payer).await, "disabled", "35.00 are open");
    olga.post(&path, json!({"reason": "x"})).await.status(201);
    assert_eq!(status(&sue, &payer).await, "active");
    assert_eq!(invoices(&sue, &payer).await, [row("0.00", "0.00", "paid")]);
}

/// taxes of parts add up to the invoice's tax, and the ledger has nothing left.
async fn r_24_taxes_are_mirrored_exactly(app: &App) {
    let (_, olga, _, invoice) = billed(app, None).await;
    assert_eq!(invoice["tax"], usd("8.09"), "{invoice}");
    let path = path_of(&invoice);
    let mut taxes = Vec::new();
    for (place, amount) in [(0, "0.06"), (1, "0.07"), (0, "11.11"), (1, "33.33")] {
        let body = json!({"lines": [of_line(&invoice, place, amount)], "reason": "x"});
        taxes.push(olga.post(&path, body).await.status(201)["tax"]["amount"].clone());
    }
    let rest = olga.post(&path, json!({"reason": "x"})).await.status(201);
    assert_eq!(rest["net"], usd("60.43"), "{rest}");
    let given = taxes.iter().chain([&rest["tax"]["amount"]]);
    let given: i64 =
        given.map(|tax| tax.as_str().expect("an amount").replace('.', "").parse::<i64>().expect("cents")).sum();
    assert_eq!(given, 809, "{taxes:?} {rest}");
    // What was earned of April by the time of the note is taken back in May, so an offer's revenue counts with what is deferred.
    let left = "SELECT count(*) FROM (SELECT a, sum(n) AS n FROM (SELECT replace(debit, 'deferred_', '') AS a, amount AS n \
         FROM transfers UNION ALL SELECT replace(credit, 'deferred_', ''), -amount FROM transfers) x WHERE a NOT LIKE 'goodwill%' GROUP BY a HAVING sum(n) <> 0) y";
    assert_eq!(app.database.number(left).await, 0, "every account is back at nothing");
}

/// on paper, as lines, and on the invoice's page.
async fn r_43_a_credit_note_is_a_document(app: &App) {
    let (sue, olga, _, invoice) = billed(app, None).await;
    let body = json!({"lines": [of_line(&invoice, 1, "20.00")], "reason": "Out for <two> days"});
    let note = olga.post(&path_of(&invoice), body).await.status(201);
    let path = format!("/v1/credit-notes/{}", note["id"].as_str().expect("an id"));
    let as_ =
        async |accept: &str| sue.raw("GET".parse().expect("a method"), &path, vec![], &[("accept", accept)]).await;
    let pdf = as_("application/pdf").await;
    assert_eq!((pdf.status, pdf.header("content-type")), (200, Some("application/pdf")), "{pdf}");
    let csv = as_("text/csv").await;
    assert!(csv.text().contains("CN-P-2018-000001") && csv.text().contains(",20.00,"), "{csv}");
    assert_eq!(as_("application/json").await.ok(), note);
    as_("application/xml").await.problem("invalid-request");
    app.as_("owen@contoso.example").await.get(&path).await.problem("not-found");
}

/// by hand, from the invoice's line to the ledger.
async fn r_25_a_credit_note_is_explained(app: &App) {
    let (_, olga, _, invoice) = billed(app, None).await;
    let body = json!({"lines": [of_line(&invoice, 1, "20.00")], "reason": "Out for two days"});
    let note = olga.post(&path_of(&invoice), body).await.status(201);
    let text = app.prints(&["explain", note["id"].as_str().expect("an id")]);
    for words in
        ["CN-P-2018-000001", "Out for two days", "line 2 of invoice P-2018-000001", "50.00", "Dr deferred_revenue/"]
    {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
}
