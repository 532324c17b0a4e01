//! Invoices (R-42, R-43, R-24, R-49): one a payer and month, what upcoming said to the cent, numbered without gaps.

use serde_json::{Value, json};
use tests::{Actor, App, Billing, Options, Page, Visitor, join_all, on_both};

on_both! {
    r_42_upcoming_is_what_is_issued: Options::at("2018-04-15T10:00:00Z").config(RATES);
    r_43_numbers_have_no_gaps: Options::at("2018-11-20T10:00:00Z").seed(&payers()).config(PATIENT);
    r_42_nothing_is_no_invoice: Options::at("2018-04-30T10:00:00Z");
    r_42_currencies_of_none_and_three_digits: Options::at("2018-04-15T10:00:00Z").more_offers(ODD).seed(&odd());
    r_7_who_sees_invoices: Options::at("2018-04-15T10:00:00Z");
    r_7_what_others_charge_is_the_payers_to_see: Options::at("2018-04-15T10:00:00Z");
    r_42_upcoming_waits_for_the_job: Options::at("2018-04-15T10:00:00Z").config(&format!("{RATES}{PATIENT}"));
    r_14_who_cannot_pay_has_nothing_renewed_to_come: Options::at("2018-04-15T10:00:00Z");
    r_42_charges_go_on_a_bill_that_is_open: Options::at("2018-04-15T10:00:00Z");
    invoices_as_pages: Options::at("2018-04-15T10:00:00Z").config(RATES);
    a_long_bill_is_paged: Options::at("2018-04-15T10:00:00Z").config(RATES);
    r_42_a_long_bill_with_metered_use_is_paged: Options::at("2018-04-15T10:00:00Z").config(RATES);
}

const SUE: &str = "sue@fabrikam.example";
const USERS: &str = "ms.vss-vstsuser";
/// Time enough for nobody to be dunned.
const PATIENT: &str = "[payments]\ndue_days = 365\n";
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
[[tax.rates]]
country = "US"
percent = "19"
from = "2018-05-01"
"#;

async fn payer(actor: &Actor) -> String {
    actor.subscription("Fabrikam Production").await
}

async fn invoices(actor: &Actor, payer: &str) -> Vec<Value> {
    actor.all(&format!("/v1/subscriptions/{payer}/invoices")).await
}

/// What must be the same of the next invoice and of the one that it becomes.
fn essence(bill: &Value) -> Value {
    let line = |line: &Value| {
        let names = ["organization", "offer", "kind", "month", "quantity", "amount", "tax_rate", "tax", "why"];
        names.map(|name| line[name].clone())
    };
    let lines: Vec<_> = bill["lines"].as_array().expect("lines").iter().map(line).collect();
    let names = ["month", "issued_on", "due_on", "taxes", "net", "tax", "total", "seller", "payer"];
    json!([lines, names.map(|name| bill[name].clone())])
}

/// R-42, R-24: two organizations, three offers, up, down and cancelled, two tax rates; to the cent, line by line.
async fn r_42_upcoming_is_what_is_issued(app: &App) {
    let (ada, sue) = (app.as_("ada@fabrikam.example").await, app.as_(SUE).await);
    let payer = payer(&sue).await;
    sue.buys_all("tailspin", &[(USERS, 13), ("ms.feed", 3)], Billing::Linked).await.status(201);
    ada.buys("fabrikam", "berichthaus.tfstimetracker", 7, Billing::Linked).await.problem("billing-setup-required");
    ada.buys("fabrikam", "ms.vss-testmanager-web", 7, Billing::Existing(&payer)).await.status(201);
    app.move_clock("2018-04-20T10:00:00Z").await;
    sue.buys("tailspin", USERS, 17, Billing::Linked).await.status(201);
    sue.buys("tailspin", USERS, 11, Billing::Linked).await.status(201);
    let last = sue.buys("tailspin", "ms.feed", 0, Billing::Linked).await.status(201);
    let path = format!("/v1/subscriptions/{payer}/invoices/upcoming");
    let upcoming = sue.get(&path).await.ok();
    assert_eq!((&upcoming["id"], &upcoming["state"]), (&Value::Null, &json!("upcoming")), "{upcoming}");
    for sum in ["net", "tax", "total"] {
        assert_eq!(upcoming[sum], last["next_invoice"][sum], "the quote said so: {upcoming}");
    }
    app.move_clock("2018-05-01T02:00:00Z").await;
    let issued = invoices(&sue, &payer).await;
    assert_eq!(issued.len(), 1, "{issued:?}");
    assert_eq!((&issued[0]["number"], &issued[0]["lines"]), (&json!("P-2018-000001"), &json!([])));
    let id = issued[0]["id"].as_str().expect("an id");
    let invoice = sue.get(&format!("/v1/invoices/{id}")).await.ok();
    assert_eq!(essence(&invoice), essence(&upcoming));
    assert_eq!((&invoice["state"], &invoice["due_on"]), (&json!("open"), &json!("2018-05-31")));
    assert_eq!((&invoice["open"], &invoice["seller"]["name"]), (&invoice["total"], &json!("Purser Sales")));
    let lines = invoice["lines"].as_array().expect("lines");
    let (mut net, mut tax) = (0, 0);
    for line in lines {
        net += cents(&line["amount"]);
        tax += cents(&line["tax"]);
        let charge = line["charge"].as_str().expect("a charge");
        assert!(app.prints(&["explain", charge]).contains(charge));
    }
    assert_eq!((net, tax), (cents(&invoice["net"]), cents(&invoice["tax"])), "the lines add up");
    let explained = app.prints(&["explain", id]);
    for words in ["P-2018-000001", "Tailspin Toys", "7.25 %", "19 %", "renewal of 2018-05-01"] {
        assert!(explained.contains(words), "no {words:?}: {explained}");
    }
    // The next month again, without anything new; and the event is in the feed once.
    let upcoming = sue.get(&path).await.ok();
    app.move_clock("2018-06-01T02:00:00Z").await;
    let newest = &invoices(&sue, &payer).await[0];
    let newest = sue.get(&format!("/v1/invoices/{}", newest["id"].as_str().expect("an id"))).await.ok();
    assert_eq!(essence(&newest), essence(&upcoming));
    let told = app.events().await.into_iter().filter(|event| event.to_string().contains("invoice.issued")).count();
    assert_eq!(told, 2);
}

fn cents(money: &Value) -> i64 {
    money["amount"].as_str().expect("an amount").replace('.', "").parse().expect("digits")
}

fn payers() -> String {
    let mut seed = String::from("[[user]]\nemail = \"ada@fabrikam.example\"\nname = \"Ada Palmer\"\n");
    for number in 1..=12 {
        seed += &*format!(
            r#"
[[organization]]
slug = "o{number}"
name = "O {number}"
country = "US"
members = [{{ user = "ada@fabrikam.example", role = "owner", access = "basic" }}]
[[subscription]]
key = "s{number}"
name = "S {number}"
kind = "pay_as_you_go"
status = "active"
country = "US"
currency = "USD"
payment = {}
roles = [{{ user = "ada@fabrikam.example", role = "owner" }}]
linked = ["o{number}"]
"#,
            if number == 1 { "{ card = \"tok_ok\" }" } else { "\"invoice\"" }
        );
    }
    seed
}

/// R-43, R-47: each series and year counts from 1; a card is due at once.
async fn r_43_numbers_have_no_gaps(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    join_all((1..=12).map(|number| {
        let ada = ada.clone();
        async move { ada.buys(&format!("o{number}"), USERS, number, Billing::Linked).await.status(201) }
    }))
    .await;
    app.move_clock("2019-02-01T02:00:00Z").await;
    let mut numbers = Vec::new();
    for number in 1..=12 {
        let payer = ada.subscription(&format!("S {number}")).await;
        for invoice in invoices(&ada, &payer).await {
            let (issued, due) = (&invoice["issued_on"], &invoice["due_on"]);
            assert_eq!(issued == due, number == 1, "{invoice}");
            numbers.push(invoice["number"].as_str().expect("a number").to_owned());
        }
    }
    numbers.sort();
    let expected = (1..=12).map(|n| format!("P-2018-{n:06}")).chain((1..=24).map(|n| format!("P-2019-{n:06}")));
    assert_eq!(numbers, expected.collect::<Vec<_>>());
}

/// R-42: no line that is not nothing, no invoice.
async fn r_42_nothing_is_no_invoice(app: &App) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    sue.buys("tailspin", USERS, 0, Billing::Linked).await.status(201);
    app.move_clock("2018-06-02T00:00:00Z").await;
    assert!(invoices(&sue, &payer(&sue).await).await.is_empty());
    let upcoming = sue.get(&format!("/v1/subscriptions/{}/invoices/upcoming", payer(&sue).await)).await.ok();
    assert_eq!((&upcoming["lines"], &upcoming["total"]["amount"]), (&json!([]), &json!("0.00")));
}

const ODD: &str = r#"
[[offer]]
slug = "odd.offer"
name = "Odd"
publisher = "ms"
kind = "pipelines"
unit = "job"
[offer.prices.JPY]
model = "per_unit"
bands = [{ unit = "333.5" }]
[offer.prices.BHD]
model = "per_unit"
bands = [{ unit = "1.2345" }]
"#;

fn odd() -> String {
    let user = "[[user]]\nemail = \"ada@fabrikam.example\"\nname = \"Ada Palmer\"\n".to_owned();
    let part = |currency: &str| {
        format!(
            r#"
[[organization]]
slug = "{low}"
name = "{currency}"
country = "US"
members = [{{ user = "ada@fabrikam.example", role = "owner", access = "basic" }}]
[[subscription]]
key = "{low}"
name = "{currency}"
kind = "pay_as_you_go"
status = "active"
country = "US"
currency = "{currency}"
payment = "invoice"
roles = [{{ user = "ada@fabrikam.example", role = "owner" }}]
linked = ["{low}"]
"#,
            low = currency.to_lowercase()
        )
    };
    [user, part("JPY"), part("BHD")].concat()
}

/// R-24: yen have no minor digits, dinars three; and the largest amounts are refused, not wrapped.
async fn r_42_currencies_of_none_and_three_digits(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    for (organization, renewal, half) in [("jpy", "1001", "500"), ("bhd", "3.704", "1.852")] {
        let bought = ada.buys(organization, "odd.offer", 3, Billing::Linked).await.status(201);
        assert_eq!(bought["renewal"]["net"]["amount"], renewal, "{bought}");
        assert_eq!(bought["now"]["net"]["amount"], half, "{bought}");
    }
    app.move_clock("2018-05-01T02:00:00Z").await;
    for (name, total) in [("JPY", "1501"), ("BHD", "5.556")] {
        let payer = ada.subscription(name).await;
        assert_eq!(invoices(&ada, &payer).await[0]["total"]["amount"], total);
    }
}

/// R-7, R-9: any role on the subscription; others do not know of it.
async fn r_7_who_sees_invoices(app: &App) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    app.move_clock("2018-05-01T02:00:00Z").await;
    let payer = payer(&sue).await;
    let id = invoices(&sue, &payer).await[0]["id"].as_str().expect("an id").to_owned();
    for (who, sees) in
        [("rita@fabrikam.example", true), ("olga@platform.example", true), ("otto@fabrikam.example", false)]
    {
        let answer = app.as_(who).await.get(&format!("/v1/invoices/{id}")).await;
        if sees {
            drop(answer.ok())
        } else {
            drop(answer.problem("not-found"))
        }
        let answer = app.as_(who).await.get(&format!("/v1/subscriptions/{payer}/invoices")).await;
        if sees { drop(answer.ok()) } else { drop(answer.problem("not-found")) }
    }
}

/// R-7, R-9: a quote and a purchase say what the payer's whole next invoice is to whom the bill is to see; others learn
/// what these lines come to, and nothing of what other organizations charge the same payer.
async fn r_7_what_others_charge_is_the_payers_to_see(app: &App) {
    let (ada, sue) = (app.as_("ada@fabrikam.example").await, app.as_(SUE).await);
    let payer = payer(&sue).await;
    ada.buys("fabrikam", "ms.vss-testmanager-web", 7, Billing::Existing(&payer)).await.status(201);
    let bought = sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    let id = bought["id"].as_str().expect("an id");
    let sum =
        |answer: &Value| json!([answer["next_invoice"]["net"]["amount"], answer["next_invoice"]["total"]["amount"]]);
    // Fabrikam's 182.00 and 364.00 besides.
    let (all, own) = (json!(["651.00", "651.00"]), json!(["105.00", "105.00"]));
    for (who, sees) in [
        (SUE, &all),
        ("rita@fabrikam.example", &all),
        ("olga@platform.example", &all),
        ("otto@fabrikam.example", &own),
        ("mia@fabrikam.example", &own),
    ] {
        let actor = app.as_(who).await;
        assert_eq!(sum(&actor.get(&format!("/v1/purchases/{id}")).await.ok()), *sees, "{who}");
        let list = actor.get("/v1/organizations/tailspin/purchases").await.ok();
        assert_eq!(sum(&list["data"][0]), *sees, "{who}");
        let quote = actor.quotes("tailspin", USERS, 10, Billing::Linked).await.ok();
        // What was charged already is no part of a quote of its own.
        assert_eq!(quote["next_invoice"]["net"]["amount"] == "651.00", sees == &all, "{who}: {quote}");
        let receipt = Visitor::signed_in(app, who).await.get(&format!("/purchases/{id}")).await;
        assert_eq!(receipt.html.contains("what else this subscription pays"), sees == &all, "{who}");
        receipt.says(200, if sees == &all { "$651.00" } else { "$105.00" });
    }
}

/// R-42: from the month's begin to the job, what it will issue is what is upcoming, also where only renewals are due.
async fn r_42_upcoming_waits_for_the_job(app: &App) {
    let sue = app.as_(SUE).await;
    let payer = payer(&sue).await;
    let path = format!("/v1/subscriptions/{payer}/invoices/upcoming");
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    for month in ["2018-05-01", "2018-06-01", "2018-07-01"] {
        app.move_clock(&format!("{month}T01:59:59Z")).await;
        let upcoming = sue.get(&path).await.ok();
        assert_eq!(upcoming["issued_on"], month, "{upcoming}");
        app.move_clock(&format!("{month}T02:00:00Z")).await;
        let newest = &invoices(&sue, &payer).await[0];
        let newest = sue.get(&format!("/v1/invoices/{}", newest["id"].as_str().expect("an id"))).await.ok();
        assert_eq!(essence(&newest), essence(&upcoming));
    }
}

/// R-14: nothing is renewed for whom cannot pay, and the quote and the subscription's page know it.
async fn r_14_who_cannot_pay_has_nothing_renewed_to_come(app: &App) {
    let sue = app.as_(SUE).await;
    let payer = payer(&sue).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    app.database.sql("UPDATE subscriptions SET status = 'past_due' WHERE name = 'Fabrikam Production'").await;
    let upcoming = sue.get(&format!("/v1/subscriptions/{payer}/invoices/upcoming")).await.ok();
    assert_eq!(upcoming["total"]["amount"], "35.00", "{upcoming}");
    let quote = sue.quotes("tailspin", USERS, 7, Billing::Linked).await.ok();
    assert_eq!(quote["next_invoice"]["total"], upcoming["total"], "{quote}");
    let page = Visitor::signed_in(app, SUE).await.get(&format!("/subscriptions/{payer}")).await;
    page.says(200, "$35.00").lacks("$105.00");
    app.move_clock("2018-05-01T02:00:00Z").await;
    assert_eq!(invoices(&sue, &payer).await[0]["total"]["amount"], "35.00");
}

/// R-42: a month's bill that is out takes no more charges, whatever comes late.
async fn r_42_charges_go_on_a_bill_that_is_open(app: &App) {
    let sue = app.as_(SUE).await;
    let payer = payer(&sue).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    let ahead = "UPDATE subscriptions SET billed_through = '2018-05-01' WHERE name = 'Fabrikam Production'";
    app.database.sql(ahead).await;
    let late = sue.buys("tailspin", USERS, 11, Billing::Linked).await.status(201);
    assert_eq!(late["now"]["net"]["amount"], "4.00", "{late}");
    let june = "SELECT count(*) FROM charges WHERE bill = '2018-06-01' AND amount = 400";
    assert_eq!(app.database.number(june).await, 1);
    app.move_clock("2018-06-01T02:00:00Z").await;
    let totals: Vec<_> = invoices(&sue, &payer).await.iter().map(|one| one["total"]["amount"].clone()).collect();
    // May's renewal comes with June's: its bill is out already. What had waited for it is billed all the same.
    assert_eq!(totals, [json!("160.00"), json!("35.00")]);
}

/// The pages of the bill: list, one explained, the next one.
async fn invoices_as_pages(app: &App) {
    let sue = app.as_(SUE).await;
    let payer = payer(&sue).await;
    let rita = Visitor::signed_in(app, "rita@fabrikam.example").await;
    rita.get(&format!("/subscriptions/{payer}/invoices")).await.says(200, "No invoices yet");
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    let next = rita.get(&format!("/subscriptions/{payer}/invoices/upcoming")).await;
    next.says(200, "Next invoice, on 1 May 2018").says(200, "10 for May 2018").says(200, "Tailspin Toys");
    app.move_clock("2018-05-01T02:00:00Z").await;
    let list = rita.get(&format!("/subscriptions/{payer}/invoices")).await;
    list.says(200, "P-2018-000001").says(200, "31 May 2018");
    let id = invoices(&sue, &payer).await[0]["id"].as_str().expect("an id").to_owned();
    let page = rita.get(&format!("/invoices/{id}")).await;
    page.says(200, "P-2018-000001").says(200, "Tax 7.25 % on $35.00").says(200, "Tax 19 % on $70.00");
    page.says(200, "Purser Sales").says(200, "How this is worked out");
    Visitor::signed_in(app, "otto@fabrikam.example").await.get(&format!("/invoices/{id}")).await.says(404, "Not found");
}

/// A bill of many lines, before and after it is issued: thirty a page, each part with the sum of all its lines.
async fn a_long_bill_is_paged(app: &App) {
    let sue = app.as_(SUE).await;
    let payer = payer(&sue).await;
    let rita = Visitor::signed_in(app, "rita@fabrikam.example").await;
    for users in 10..42 {
        sue.buys("tailspin", USERS, users, Billing::Linked).await.status(201);
    }
    let ada = app.as_("ada@fabrikam.example").await;
    ada.buys("fabrikam", "ms.feed", 3, Billing::Existing(&payer)).await.status(201);
    let upcoming = sue.get(&format!("/v1/subscriptions/{payer}/invoices/upcoming")).await.ok();
    assert_eq!(upcoming["lines"].as_array().map(Vec::len), Some(35), "{upcoming}");
    let lines = upcoming["lines"].as_array().expect("lines").iter();
    let of_tailspin = lines.filter(|line| line["organization"]["slug"] == "tailspin");
    let net: i64 = of_tailspin.map(|line| cents(&line["amount"])).sum();
    let net = format!("<b class=\"num\">${}.{:02}</b>", net / 100, net % 100);
    let total = format!("<dd class=\"num\">${}</dd>", upcoming["total"]["amount"].as_str().expect("an amount"));
    let whole = |path: String| {
        let (rita, net, total) = (&rita, &net, total.clone());
        async move {
            let first = rita.get(&path).await;
            first.says(200, "Lines 1 to 30 of 35.").says(200, net).says(200, &format!("{path}?after=30"));
            let link = first.html.split("href=\"").find(|link| link.contains("?after=30")).expect("a link");
            let link = link.split('"').next().expect("its end").replace("&#38;", "&").replace("&amp;", "&");
            let last = rita.get(&link).await;
            last.says(200, "Lines 31 to 35 of 35.").says(200, net);
            last.lacks("More lines");
            let lines = |page: &Page| page.html.matches("How this is worked out").count();
            first.says(200, &total);
            last.says(200, &total);
            assert_eq!((lines(&first), lines(&last)), (30, 5));
            rita.get(&format!("{path}?after=18446744073709551615")).await.says(200, "Lines 1 to 30 of 35.");
            for odd in ["after=-1", "after=x", "after=18446744073709551616", "after=30&at=x.1", "after=30&at=1"] {
                assert_eq!(rita.get(&format!("{path}?{odd}")).await.status, 422, "{odd}");
            }
        }
    };
    whole(format!("/subscriptions/{payer}/invoices/upcoming")).await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    let id = invoices(&sue, &payer).await[0]["id"].as_str().expect("an id").to_owned();
    whole(format!("/invoices/{id}")).await;
}

/// R-40, R-42: metered use of two organizations is on the pages of a long bill, each line once, and in its sums; what is
/// within the included units is no line.
async fn r_42_a_long_bill_with_metered_use_is_paged(app: &App) {
    const LOAD: &str = "ms.load-testing";
    let (sue, ada) = (app.as_(SUE).await, app.as_("ada@fabrikam.example").await);
    let payer = payer(&sue).await;
    let rita = Visitor::signed_in(app, "rita@fabrikam.example").await;
    for users in 10..40 {
        sue.buys("tailspin", USERS, users, Billing::Linked).await.status(201);
    }
    ada.buys("fabrikam", "ms.feed", 3, Billing::Existing(&payer)).await.status(201);
    for (actor, organization) in [(&sue, "tailspin"), (&ada, "fabrikam")] {
        let items = json!([{ "offer": LOAD, "metered": { "on": true } }]);
        actor.post("/v1/purchases", json!({ "organization": organization, "items": items })).await.status(201);
    }
    let platform = app.platform().await;
    let used = async |id: &str, organization: &str, quantity: i64| {
        let event = json!([{ "id": id, "organization": organization, "offer": LOAD, "quantity": quantity,
            "at": "2018-04-15T09:00:00Z" }]);
        assert_eq!(platform.post("/v1/usage", event).await.ok()["accepted"], 1);
    };
    let upcoming = async || sue.get(&format!("/v1/subscriptions/{payer}/invoices/upcoming")).await.ok();
    let path = format!("/subscriptions/{payer}/invoices/upcoming");
    used("a", "tailspin", 20_000).await;
    rita.get(&path).await.says(200, "Lines 1 to 30 of 33.").lacks("used above the included ones");
    used("b", "tailspin", 30_000).await;
    used("c", "fabrikam", 40_000).await;
    let bill = upcoming().await;
    assert_eq!(bill["lines"].as_array().map(Vec::len), Some(35), "{bill}");
    let total = format!("<dd class=\"num\">${}</dd>", bill["total"]["amount"].as_str().expect("an amount"));
    let first = rita.get(&path).await;
    first.says(200, "Lines 1 to 30 of 35.").says(200, &total);
    let link = first.html.split("href=\"").find(|link| link.contains("?after=30")).expect("a link");
    let link = link.split('"').next().expect("its end").replace("&#38;", "&").replace("&amp;", "&");
    let last = rita.get(&link).await;
    last.says(200, "Lines 31 to 35 of 35.").says(200, &total);
    for used in ["30,000 used above the included ones", "20,000 used above the included ones"] {
        let on_pages = [&first, &last].map(|page| page.html.matches(used).count());
        assert_eq!(on_pages.iter().sum::<usize>(), 1, "{used}: {on_pages:?}");
    }
    app.move_clock("2018-05-01T02:00:00Z").await;
    let issued = &invoices(&sue, &payer).await[0];
    assert_eq!(issued["total"], bill["total"], "{issued}");
    app.prints(&["verify"]);
}
