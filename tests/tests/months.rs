//! The month's turn (R-30): what is renewed, charged in full, by whoever comes first, once; what is not paid for stops.

use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tests::{App, Billing, Database, Db, Options, eventually, join_all, on_both, seeds};

on_both! {
    r_30_the_month_is_charged_in_full: Options::at("2018-04-15T10:00:00Z");
    r_30_a_command_of_the_new_month_turns_its_organization_first: Options::at("2018-04-15T10:00:00Z");
    r_30_once_by_whoever_comes_first: Options::at("2018-04-15T10:00:00Z").seed(&many());
    r_30_months_that_were_missed_are_made_up: Options::at("2018-04-15T10:00:00Z");
    r_30_a_crash_in_the_middle_changes_nothing: Options::at("2018-04-15T10:00:00Z").seed(&many()).config(PATIENT);
    r_30_one_that_cannot_be_billed_stops_no_other: Options::at("2018-04-15T10:00:00Z");
    r_14_who_cannot_pay_is_suspended: Options::at("2018-04-15T10:00:00Z");
    r_23_the_price_of_the_first_day_counts: Options::at("2018-04-15T10:00:00Z");
    r_49_the_rate_of_the_first_day_counts: Options::at("2018-04-15T10:00:00Z").config(RATES);
    r_31_r_27_the_ends_of_months: Options::at("2020-01-31T23:59:59.999999Z");
}

const SUE: &str = "sue@fabrikam.example";
const USERS: &str = "ms.vss-vstsuser";
/// Time enough for nobody to be dunned.
const PATIENT: &str = "[payments]\ndue_days = 365\n";
const RATES: &str = r#"
[[tax.rates]]
country = "US"
percent = "5"
from = "2018-01-01"
[[tax.rates]]
country = "US"
percent = "7.5"
from = "2018-05-01"
"#;

fn many() -> String {
    // The usual people are there already.
    let ada = "email = \"ada@fabrikam.example\"\nname = \"Ada Palmer\"\n";
    let load = seeds::load(40).replace(ada, "email = \"load-2@example.com\"\nname = \"Second\"\n");
    format!("{}\n{load}", seeds::COMPANY)
}

async fn renewals(database: &Database) -> i64 {
    let nil = match database.db {
        Db::Sqlite => "X'00000000000000000000000000000000'",
        Db::Postgres => "'00000000-0000-0000-0000-000000000000'",
    };
    database.number(&format!("SELECT count(*) FROM charges WHERE purchase_id = {nil}")).await
}

async fn charged(database: &Database, month: &str) -> i64 {
    let sql = format!("SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM charges WHERE month = '{month}'");
    database.number(&sql).await
}

fn quantities(has: &Value) -> [i64; 3] {
    ["committed", "next", "usable"].map(|name| has[name].as_i64().expect("a number"))
}

/// R-30, R-29, R-42: committed becomes next, the full month is charged, and the next invoice knew it beforehand.
async fn r_30_the_month_is_charged_in_full(app: &App) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    let lowered = sue.buys("tailspin", USERS, 7, Billing::Linked).await.status(201);
    // 5 × 6 + 5 × 8 for half of April, and 5 × 6 + 2 × 8 for May.
    assert_eq!(lowered["next_invoice"]["net"]["amount"], "81.00", "{lowered}");
    assert_eq!(quantities(&sue.entitlement("tailspin", USERS).await), [10, 7, 15]);

    app.move_clock("2018-05-01T01:59:59Z").await;
    let before = sue.entitlement("tailspin", USERS).await;
    assert_eq!(quantities(&before), [10, 7, 15], "until it is turned, the old capacity stays usable");
    app.move_clock("2018-05-01T02:00:00Z").await;
    let has = sue.entitlement("tailspin", USERS).await;
    assert_eq!((quantities(&has), &has["next_on"]), ([7, 7, 12], &json!("2018-06-01")));
    assert_eq!((renewals(&app.database).await, charged(&app.database, "2018-05-01").await), (1, 4_600));
    // What was charged so far is billed; the next invoice is the next full month.
    let quote = sue.quotes("tailspin", USERS, 7, Billing::Linked).await.ok();
    assert_eq!(quote["next_invoice"]["net"]["amount"], "46.00", "{quote}");

    // Increases of the new month begin at nothing: 1 × 8 for 21 of 31 days.
    app.move_clock("2018-05-10T12:00:00Z").await;
    let more = sue.buys("tailspin", USERS, 8, Billing::Linked).await.status(201);
    assert_eq!(more["now"]["net"]["amount"], "5.42", "{more}");
    // Cancelled: the month is used to its end, and nothing is renewed.
    sue.buys("tailspin", USERS, 0, Billing::Linked).await.status(201);
    app.move_clock("2018-06-01T02:00:00Z").await;
    assert_eq!(quantities(&sue.entitlement("tailspin", USERS).await), [0, 0, 5]);
    assert_eq!((renewals(&app.database).await, charged(&app.database, "2018-06-01").await), (1, 0));

    let told = app.events().await.into_iter().filter(|event| event.to_string().contains("month.turned")).count();
    assert_eq!(told, 2, "one event an organization and month");
    let id = app.events().await.into_iter().find_map(|event| {
        event.to_string().contains("month.turned").then(|| event["data"]["lines"][0]["charge"].clone())
    });
    let charge = id.and_then(|id| id.as_str().map(str::to_owned)).expect("a charge");
    let explained = app.prints(&["explain", &charge]);
    assert!(explained.contains("the month was renewed") && explained.contains("46.00 USD"), "{explained}");
}

/// R-30: a purchase of the new month finds its organization turned; the job does not do it again.
async fn r_30_a_command_of_the_new_month_turns_its_organization_first(app: &App) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    sue.buys("tailspin", USERS, 5, Billing::Linked).await.status(201);
    app.move_clock("2018-05-01T00:30:00Z").await;
    let quote = sue.quotes("tailspin", USERS, 6, Billing::Linked).await.ok();
    assert_eq!(renewals(&app.database).await, 0, "a quote has no effect");
    // 1 × 8 for 30 of 31 days: what is bought in a month is not in that month's turn.
    assert_eq!(quote["now"]["net"]["amount"], "7.74", "{quote}");
    let bought = sue.buys("tailspin", USERS, 6, Billing::Linked).await.status(201);
    assert_eq!((&bought["now"], &bought["next_invoice"]), (&quote["now"], &quote["next_invoice"]));
    assert_eq!((renewals(&app.database).await, charged(&app.database, "2018-05-01").await), (1, 3_774));
    // A refused command turns its organization all the same, and nothing else.
    app.move_clock("2018-05-01T03:00:00Z").await;
    assert_eq!((renewals(&app.database).await, charged(&app.database, "2018-05-01").await), (1, 3_774));
    app.move_clock("2018-06-01T00:10:00Z").await;
    sue.buys("tailspin", USERS, 200_000, Billing::Linked).await.problem("quantity-out-of-range");
    assert_eq!((renewals(&app.database).await, charged(&app.database, "2018-06-01").await), (2, 3_800));
}

/// Each of forty organizations buys something in April.
async fn forty(app: &App) {
    let load = app.as_("load@example.com").await;
    let payer = load.subscription("Load").await;
    let all = (1..=40).map(|number| {
        let (load, payer) = (load.clone(), payer.clone());
        async move {
            let organization = format!("load-{number}");
            load.buys(&organization, USERS, 5 + number, Billing::Existing(&payer)).await.status(201);
        }
    });
    join_all(all).await;
}

/// R-30: the job of several processes, the command line and commands, all at once: each organization comes once.
async fn r_30_once_by_whoever_comes_first(app: &App) {
    forty(app).await;
    let load = app.as_("load@example.com").await;
    app.move_clock("2018-05-01T00:00:00Z").await;
    let runs = (0..3).map(|_| {
        let mut renew = app.command(&["renew", "--until", "2018-05-01"]);
        async move { tokio::task::spawn_blocking(move || renew.output()).await }
    });
    let (ended, _, moved) = tokio::join!(
        join_all(runs),
        join_all((1..=40).map(|number| {
            let load = load.clone();
            async move { load.buys(&format!("load-{number}"), USERS, 6 + number, Billing::Linked).await.status(201) }
        })),
        load.post("/v1/clock", json!({ "now": "2018-05-01T02:00:00Z" })),
    );
    moved.ok();
    for ended in ended {
        let done = ended.expect("a thread").expect("an end");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    assert_eq!(renewals(&app.database).await, 40);
    assert!(app.fails(&["renew", "--until", "2018-06-01"]).contains("in the future"));
    assert!(app.prints(&["renew"]).starts_with("0 organizations"));
}

/// R-30: a server that was down for three months comes to the same as one that was not.
async fn r_30_months_that_were_missed_are_made_up(app: &App) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    app.stop().await;
    // Time goes on without it.
    let later = kernel_micros("2018-08-03T09:00:00Z");
    app.database.sql(&format!("UPDATE settings SET value = '{later}' WHERE key = 'clock'")).await;
    app.start_again().await;
    let at = async || {
        let has = sue.entitlement("tailspin", USERS).await;
        (renewals(&app.database).await == 4).then_some(has)
    };
    let has = eventually("the months that were missed", Duration::from_secs(20), at).await;
    assert_eq!(quantities(&has), [10, 10, 15]);
    for month in ["2018-05-01", "2018-06-01", "2018-07-01", "2018-08-01"] {
        assert_eq!(charged(&app.database, month).await, 7_000, "{month}");
    }
}

fn kernel_micros(instant: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(instant).expect("an instant").timestamp_micros()
}

/// R-30: `kill -9` while months are turned; after the start each has come once.
async fn r_30_a_crash_in_the_middle_changes_nothing(app: &App) {
    forty(app).await;
    let load = app.as_("load@example.com").await;
    let moving = tokio::spawn(async move {
        let body = br#"{"now": "2018-09-02T00:00:00Z"}"#.to_vec();
        load.try_raw(Method::POST, "/v1/clock", body, &[("content-type", "application/json")]).await.is_ok()
    });
    eventually("the first months", Duration::from_secs(20), async || {
        (renewals(&app.database).await > 10).then_some(())
    })
    .await;
    app.kill().await;
    let _ = moving.await;
    app.start_again().await;
    app.move_clock("2018-09-02T00:00:00Z").await;
    assert_eq!(renewals(&app.database).await, 40 * 5);
    let (may, september) = (charged(&app.database, "2018-05-01").await, charged(&app.database, "2018-09-01").await);
    assert_eq!(may, september);
}

/// R-30, R-42: an organization whose rows cannot be read keeps its own payer waiting, and nobody else; once mended it
/// comes like all others.
async fn r_30_one_that_cannot_be_billed_stops_no_other(app: &App) {
    let (ada, sue) = (app.as_("ada@fabrikam.example").await, app.as_(SUE).await);
    let europe = ada.subscription("Fabrikam Europe").await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    ada.buys("fabrikam", USERS, 10, Billing::Existing(&europe)).await.status(201);
    let tailspin = "(SELECT id FROM organizations WHERE slug = 'tailspin')";
    let accrued = |text: &str| format!("UPDATE entitlements SET accrued = '{text}' WHERE organization_id = {tailspin}");
    app.database.sql("CREATE TABLE kept AS SELECT accrued FROM entitlements WHERE false").await;
    app.database
        .sql(&format!("INSERT INTO kept SELECT accrued FROM entitlements WHERE organization_id = {tailspin}"))
        .await;
    app.database.sql(&accrued("nonsense")).await;
    app.move_clock("2018-06-01T02:00:00Z").await;
    let count = |slug: &str| {
        format!(
            "SELECT count(*) FROM invoices i JOIN links l ON l.subscription_id = i.subscription_id \
             JOIN organizations o ON o.id = l.organization_id WHERE o.slug = '{slug}'"
        )
    };
    assert_eq!(app.database.number(&count("fabrikam")).await, 2, "others are billed");
    assert_eq!(app.database.number(&count("tailspin")).await, 0, "its payer waits");
    let said = app.fails(&["renew"]);
    assert!(said.contains("2 failed") && said.contains("cannot come to its month"), "{said}");
    let mend =
        format!("UPDATE entitlements SET accrued = (SELECT accrued FROM kept) WHERE organization_id = {tailspin}");
    app.database.sql(&mend).await;
    app.database.sql("DROP TABLE kept").await;
    app.prints(&["renew"]);
    assert_eq!(app.database.number(&count("tailspin")).await, 2, "it comes, month by month");
    assert_eq!(charged(&app.database, "2018-06-01").await, 7_000 + 5_950);
}

/// R-14: while its payer cannot pay, nothing is charged and nothing paid is usable; next is kept.
async fn r_14_who_cannot_pay_is_suspended(app: &App) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    let set = |status: &str| {
        let (begin, payer) = seeds::COMPANY.split_once("name = \"Fabrikam Production\"").expect("the payer");
        let payer = payer.replacen("status = \"active\"", &format!("status = \"{status}\""), 1);
        app.prints(&["seed", &app.file("status.toml", &format!("{begin}name = \"Fabrikam Production\"{payer}"))]);
    };
    set("past_due");
    assert_eq!(quantities(&sue.entitlement("tailspin", USERS).await), [10, 10, 15], "paid for to the month's end");
    app.move_clock("2018-05-02T00:00:00Z").await;
    let has = sue.entitlement("tailspin", USERS).await;
    assert_eq!((quantities(&has), &has["state"]), ([0, 10, 5], &json!("suspended")));
    assert_eq!(has["reasons"][0]["code"], "past_due", "{has}");
    assert_eq!(renewals(&app.database).await, 0);
    // Warned still pays; whether a purchase or the job comes first, what is left of the month is charged once.
    set("warned");
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    assert_eq!(charged(&app.database, "2018-05-01").await, 6_548);
    app.move_clock("2018-06-01T02:00:00Z").await;
    assert_eq!(charged(&app.database, "2018-06-01").await, 7_000);
}

/// R-23: renewal at the version in force on its day, announced beforehand.
async fn r_23_the_price_of_the_first_day_counts(app: &App) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", "ms.feed", 10, Billing::Linked).await.status(201);
    let dearer = seeds::catalog().replace(
        "[offer.prices.USD]\nmodel = \"per_unit\"\nbands = [{ unit = \"4.00\" }]",
        "[offer.prices.USD]\nfrom = \"2018-05-01\"\nmodel = \"per_unit\"\nbands = [{ unit = \"5.00\" }]",
    );
    app.prints(&["catalog", "apply", &app.file("dearer.toml", &dearer)]);
    let quote = sue.quotes("tailspin", "ms.feed", 10, Billing::Linked).await.ok();
    assert_eq!(quote["renewal"]["net"]["amount"], "50.00", "{quote}");
    app.move_clock("2018-05-01T02:00:00Z").await;
    assert_eq!(charged(&app.database, "2018-05-01").await, 5_000);
}

/// R-49: tax by the rate of the month's first day.
async fn r_49_the_rate_of_the_first_day_counts(app: &App) {
    let sue = app.as_(SUE).await;
    let bought = sue.buys("tailspin", "ms.feed", 10, Billing::Linked).await.status(201);
    // 20.00 at 5 % and 40.00 at 7.5 %.
    assert_eq!(bought["next_invoice"]["tax"]["amount"], "4.00", "{bought}");
    app.move_clock("2018-05-01T02:00:00Z").await;
    let rates = "SELECT count(*) FROM charges WHERE month = '2018-05-01' AND tax_rate = '7.5'";
    assert_eq!(app.database.number(rates).await, 1);
}

/// R-27, R-30: the last instant of January, a leap day, and what the 1st makes of them.
async fn r_31_r_27_the_ends_of_months(app: &App) {
    let sue = app.as_(SUE).await;
    let last = sue.buys("tailspin", USERS, 5, Billing::Linked).await.status(201);
    assert_eq!((&last["now"]["net"]["amount"], &last["renewal"]["on"]), (&json!("0.00"), &json!("2020-02-01")));
    app.move_clock("2020-02-29T23:59:59Z").await;
    assert_eq!(charged(&app.database, "2020-02-01").await, 3_000);
    let leap = sue.buys("tailspin", USERS, 6, Billing::Linked).await.status(201);
    assert_eq!(leap["now"]["net"]["amount"], "0.00");
    app.move_clock("2020-03-01T02:00:00Z").await;
    assert_eq!(charged(&app.database, "2020-03-01").await, 3_800);
}
