//! The catalogue: a file that is checked, compared and applied, and the offers that people see (R-21 to R-23, R-32).

use serde_json::{Value, json};
use tests::{App, Billing, Options, on_both, seeds};

on_both! {
    the_real_catalogue_is_offered: Options::new();
    offers_are_searched_and_paged: Options::new();
    applied_twice_changes_nothing: Options::new();
    lint_errors_stop_apply: Options::new();
    lint_warnings_do_not: Options::new();
    r_23_a_new_price_is_in_force_from_its_day: Options::at("2018-04-15T10:00:00Z");
    what_is_hidden_is_not_found: Options::new().more_offers(STATES);
}

const STATES: &str = r#"
[[offer]]
slug = "ms.hidden"
name = "Hidden thing"
publisher = "ms"
kind = "extension"
unit = "user"
state = "hidden"
[[offer]]
slug = "ms.retired"
name = "Retired thing"
publisher = "ms"
kind = "extension"
unit = "user"
state = "retired"
[[offer]]
slug = "ms.preview"
name = "Preview thing"
publisher = "ms"
kind = "extension"
unit = "user"
state = "preview"
"#;

const ADA: &str = "ada@fabrikam.example";

async fn the_real_catalogue_is_offered(app: &App) {
    let ada = app.as_(ADA).await;
    let offers = ada.all("/v1/offers").await;
    assert_eq!(offers.len(), 9, "{offers:?}");
    let users = ada.get("/v1/offers/ms.vss-vstsuser").await.ok();
    assert!(offers.contains(&users), "shown in the list as alone: {users}");
    for (member, value) in [
        ("slug", json!("ms.vss-vstsuser")),
        ("name", json!("Basic users")),
        ("kind", json!("users")),
        ("unit", json!("user")),
        ("state", json!("listed")),
        ("included", json!(5)),
        ("minimum", json!(0)),
        ("maximum", json!(100_000)),
        ("proration", json!("days_after")),
        ("trial_days", json!(0)),
        ("first_paid_replaces_included", json!(false)),
        ("bring_your_own_license", json!(false)),
        ("collection", json!("on_invoice")),
        ("countries", json!(["*"])),
    ] {
        assert_eq!(users[member], value, "{member}");
    }
    assert!(users["publisher"].to_string().contains("ms"), "{users}");
    let usd = &users["prices"]["USD"];
    assert_eq!(
        (&usd["model"], &usd["bands"][0]),
        (&json!("graduated"), &json!({ "up_to": 5, "unit": "6.00" })),
        "{usd}"
    );
    assert!(users["price_version"].is_number() || usd["price_version"].is_number(), "{users}");
    let id = users["id"].as_str().expect("an id");
    assert_eq!(ada.get(&format!("/v1/offers/{id}")).await.ok(), users, "by id as by slug");
    ada.get("/v1/offers/unheard.of").await.problem("not-found");
}

async fn offers_are_searched_and_paged(app: &App) {
    let ada = app.as_(ADA).await;
    let slugs = async |query: &str| -> Vec<String> {
        let offers = ada.all(&format!("/v1/offers?{query}")).await;
        offers.iter().map(|offer| offer["slug"].as_str().expect("a slug").to_owned()).collect()
    };
    let whole = slugs("limit=100").await;
    assert_eq!(slugs("limit=2").await, whole);
    assert_eq!(slugs("kind=pipelines").await.len(), 2);
    assert_eq!(slugs("kind=extension&limit=2").await.len(), 5);
    assert_eq!(slugs("q=TIMETRACKER").await, ["berichthaus.tfstimetracker"]);
    assert_eq!(slugs("q=parallel").await, Vec::<String>::new(), "by name and summary, not by unit");
    assert_eq!(slugs("q=cards&kind=extension").await, ["spartez.agile-cards"]);
    assert_eq!(slugs("q=%25").await, Vec::<String>::new(), "a percent sign is one");
    assert_eq!(slugs("q=_").await, Vec::<String>::new(), "an underscore is one");
    for bad in ["kind=nonsense", "limit=0", "limit=101", "limit=x", "after=nonsense", "unheard=1"] {
        ada.get(&format!("/v1/offers?{bad}")).await.problem("invalid-request");
    }
}

async fn applied_twice_changes_nothing(app: &App) {
    let prices = app.database.number("SELECT count(*) FROM prices").await;
    let events = app.database.number("SELECT count(*) FROM events").await;
    let file = app.file("again.toml", &seeds::catalog());
    let diff = app.prints(&["catalog", "diff", &file]);
    assert!(!diff.contains("ms.feed"), "{diff}");
    app.prints(&["catalog", "apply", &file]);
    app.prints(&["catalog", "lint", &file]);
    assert_eq!(app.database.number("SELECT count(*) FROM prices").await, prices);
    assert_eq!(app.database.number("SELECT count(*) FROM events").await, events);
    // The shipped file is the one that was handed over: nothing in it to warn of.
    let changed = seeds::catalog().replace(r#"unit = "4.00" }]"#, r#"unit = "4.50" }]"#);
    let diff = app.prints(&["catalog", "diff", &app.file("changed.toml", &changed)]);
    assert!(diff.contains("ms.feed") && diff.contains("4.50"), "{diff}");
    assert_eq!(app.database.number("SELECT count(*) FROM prices").await, prices, "diff only tells");
}

/// An offer with these lines, and the rest of a catalogue.
fn offer(lines: &str) -> String {
    let head = "[[publisher]]\nslug = 'ms'\nname = 'The platform'\nshare = '0'\n\
                [[offer]]\nslug = 'ms.new'\nname = 'New'\npublisher = 'ms'\nkind = 'extension'\nunit = 'user'\n";
    format!("{head}{lines}\n")
}

async fn lint_errors_stop_apply(app: &App) {
    let prices = app.database.number("SELECT count(*) FROM prices").await;
    for lines in [
        "[offer.prices.USD]\nmodel = 'graduated'\nbands = [{ up_to = 5, unit = '1' }]",
        "[offer.prices.USD]\nmodel = 'graduated'\nbands = [{ up_to = 5, unit = '1' }, { up_to = 5, unit = '2' }, { unit = '3' }]",
        "[offer.prices.USD]\nmodel = 'graduated'\nbands = [{ up_to = 9, unit = '1' }, { up_to = 5, unit = '2' }, { unit = '3' }]",
        "[offer.prices.USD]\nmodel = 'graduated'\nbands = [{ unit = '1' }, { unit = '2' }]",
        "[offer.prices.USD]\nmodel = 'graduated'\nbands = []",
        "[offer.prices.USD]\nmodel = 'per_unit'\nbands = [{ unit = '-1' }]",
        "[offer.prices.USD]\nmodel = 'per_unit'\nbands = [{ unit = '1.0000000000001' }]",
        "[offer.prices.USD]\nmodel = 'per_unit'\nbands = [{ unit = 1 }]",
        "[offer.prices.USD]\nmodel = 'unheard'\nbands = [{ unit = '1' }]",
        "[offer.prices.USD]\nmodel = 'package'\nsize = 0\nunit = '1'",
        "[offer.prices.XYZ]\nmodel = 'per_unit'\nbands = [{ unit = '1' }]",
        "[offer.prices.USD]\nmodel = 'per_unit'\nbands = [{ unit = '90000000000000' }]",
        "minimum = 5\nmaximum = 4",
        "included = -1",
        "unheard = 1",
        "kind = 'extension'",
        "proration = 'monthly'",
        "countries = ['XX']",
        "state = ",
        "[[offer]]\nslug = 'ms.new'\nname = 'Again'\npublisher = 'ms'\nkind = 'extension'\nunit = 'user'",
        "[[offer]]\nslug = 'other.new'\nname = 'New'\npublisher = 'unheard'\nkind = 'extension'\nunit = 'user'",
    ] {
        let file = app.file("bad.toml", &offer(lines));
        let said = app.fails(&["catalog", "lint", &file]);
        assert!(!said.contains("panicked"), "{lines}: {said}");
        app.fails(&["catalog", "apply", &file]);
    }
    assert_eq!(app.database.number("SELECT count(*) FROM prices").await, prices);
    app.as_(ADA).await.get("/v1/offers/ms.new").await.problem("not-found");
    app.fails(&["catalog", "lint", "unheard-of.toml"]);
}

/// A total that falls, and a day rule by which buying and cancelling gains.
async fn lint_warnings_do_not(app: &App) {
    let falls = "[offer.prices.USD]\nmodel = 'volume'\nbands = [{ up_to = 20, unit = '25' }, { unit = '20' }]";
    let file = app.file("falls.toml", &offer(falls));
    let said = app.purser(&["catalog", "lint", &file]);
    assert!(said.status.success());
    let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.contains("ms.new") && said.contains("20") && said.contains("21"), "X-A15: {said}");
    app.prints(&["catalog", "apply", &file]);
    assert_eq!(app.as_(ADA).await.get("/v1/offers/ms.new").await.ok()["slug"], "ms.new");
}

/// R-23: now by the version of today, the renewal by the one that will be in force; never within a paid month.
async fn r_23_a_new_price_is_in_force_from_its_day(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let offer = "ms.build-release-private-pipelines";
    let bought = sue.buys("tailspin", offer, 2, Billing::Linked).await.status(201);
    assert_eq!((money(&bought, "now"), money(&bought, "renewal")), ("15.00", "30.00"), "{bought}");

    let old = "[offer.prices.USD]\nmodel = \"per_unit\"\nbands = [{ unit = \"15.00\" }]";
    let new = old.replace("model", "from = \"2018-05-01\"\nmodel").replace("15.00", "20.00");
    let catalog = seeds::catalog();
    assert!(catalog.contains(old));
    let file = app.file("may.toml", &catalog.replace(old, &new));
    app.prints(&["catalog", "apply", &file]);
    app.prints(&["catalog", "apply", &file]);
    let versions =
        "SELECT count(*) FROM prices p JOIN offers o ON o.id = p.offer_id WHERE p.currency = 'USD' AND o.slug = ";
    assert_eq!(app.database.number(&format!("{versions}'{offer}'")).await, 2, "a new version, once");

    let quote = sue.quotes("tailspin", offer, 4, Billing::Linked).await.ok();
    assert_eq!((money(&quote, "now"), money(&quote, "renewal")), ("15.00", "80.00"), "2 × 15 × 15/30; 4 × 20: {quote}");
    assert_eq!(sue.get(&format!("/v1/offers/{offer}")).await.ok()["prices"]["USD"]["bands"][0]["unit"], "15.00");
    app.move_clock("2018-04-30T23:59:59Z").await;
    assert_eq!(sue.get(&format!("/v1/offers/{offer}")).await.ok()["prices"]["USD"]["bands"][0]["unit"], "15.00");
}

fn money<'a>(quote: &'a Value, part: &str) -> &'a str {
    quote[part]["net"]["amount"].as_str().expect("an amount")
}

/// Hidden: unknown to everybody who has not bought it; retired: still told of, not sold; preview: sold.
async fn what_is_hidden_is_not_found(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let listed = sue.all("/v1/offers?q=thing").await;
    let listed: Vec<_> = listed.iter().map(|offer| offer["slug"].as_str().expect("a slug")).collect();
    assert!(listed.contains(&"ms.preview") && !listed.contains(&"ms.hidden"), "{listed:?}");
    sue.get("/v1/offers/ms.hidden").await.problem("not-found");
    sue.buys("tailspin", "ms.hidden", 1, Billing::Linked).await.problem("not-found");
    sue.get("/v1/organizations/tailspin/entitlements/ms.hidden").await.problem("not-found");
    sue.buys("tailspin", "ms.preview", 1, Billing::Linked).await.status(201);
    let retired = sue.buys("tailspin", "ms.retired", 1, Billing::Linked).await;
    assert!((400..500).contains(&retired.status), "{retired}");
}
