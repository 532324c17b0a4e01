//! However much there is, a page is of bounded size and leads on; and where there is nothing, it says so.

use tests::browser::{Browser, Hands};
use tests::{App, Billing, Options, join_all, on_both, seeds};

const LOAD: &str = "load@example.com";
const MANY: usize = 2_000;
/// Bytes on the wire of a page with its style and script (issue 3).
const MOST: u64 = 60_000;

on_both! {
    thousands_stand_behind_pagers: many();
    nothing_is_a_state_too: Options::new().seed("[[user]]\nemail = 'load@example.com'\nname = 'Load'\n");
}

fn many() -> Options {
    let mut seed = seeds::load(MANY);
    let mut offers = String::new();
    for number in 1..=MANY {
        seed += &format!(
            "[[subscription]]\nkey = 's{number}'\nname = 'Payer {number}'\nkind = 'pay_as_you_go'\nstatus = 'active'\n\
             country = 'US'\ncurrency = 'USD'\npayment = 'invoice'\nroles = [{{ user = '{LOAD}', role = 'owner' }}]\n"
        );
        offers += &format!(
            "[[offer]]\nslug = 'ms.x{number}'\nname = 'Extension {number}'\npublisher = 'ms'\nkind = 'extension'\n\
             unit = 'user'\n[offer.prices.USD]\nmodel = 'per_unit'\nbands = [{{ unit = '1' }}]\n"
        );
    }
    Options::new().seed(&seed).more_offers(&offers)
}

async fn thousands_stand_behind_pagers(app: &App) {
    let load = app.as_(LOAD).await;
    let payer = load.subscription("Load").await;
    load.buys("load-1", "ms.feed", 1, Billing::Existing(&payer)).await.status(201);
    for offers in (1..=300).collect::<Vec<_>>().chunks(50) {
        join_all(offers.iter().map(async |number| {
            load.buys("load-1", &format!("ms.x{number}"), 1, Billing::Linked).await.status(201);
        }))
        .await;
    }
    let browser = Browser::signed_in(app, Hands::Mouse, LOAD).await;
    for (page, rows, more, last) in [
        ("/organizations", "tbody tr", "More organizations", "Load 1999"),
        ("/subscriptions", "tbody tr", "More subscriptions", "Payer 1999"),
        ("/marketplace?kind=extension", "a.tile", "More extensions", "Extension 1999"),
    ] {
        browser.open(page).await;
        assert_bounded(&browser, page, rows).await;
        let first = rows_of(&browser, rows).await;
        browser.press(more).await;
        browser.at(&format!("{}?", page.split('?').next().expect("a path"))).await;
        let second = rows_of(&browser, rows).await;
        assert!(!second.is_empty() && second.iter().all(|row| !first.contains(row)), "{page}: {second:?}");
        browser
            .open(&format!("{page}{}q={}", if page.contains('?') { "&" } else { "?" }, last.replace(' ', "%20")))
            .await;
        browser.sees(last).await;
        assert_eq!(rows_of(&browser, rows).await.len(), 1, "{page}");
    }
    browser.open("/marketplace").await;
    assert_bounded(&browser, "/marketplace", "a.tile").await;

    browser.open("/organizations/load-1").await;
    assert_bounded(&browser, "an organization", "section:nth-of-type(1) tbody tr").await;
    browser.press("More of what it has").await;
    browser.at("/organizations/load-1?after=").await;
    browser.press("All purchases").await;
    assert_bounded(&browser, "purchases", "tbody tr").await;
    let mut seen = 0;
    loop {
        seen += rows_of(&browser, "tbody tr").await.len();
        if !browser.offers("Earlier purchases").await {
            break;
        }
        let before = browser.path().await;
        browser.press("Earlier purchases").await;
        tests::eventually("the next page", std::time::Duration::from_secs(10), async || {
            (browser.path().await != before).then_some(())
        })
        .await;
    }
    assert_eq!(seen, 301, "every purchase once");

    browser.open("/marketplace/ms.feed").await;
    assert_bounded(&browser, "an offer", "tr").await;
    browser.fill("Organization", "load-77").await;
    browser.press("Show what I may do").await;
    browser.press("Buy for Load 77").await;
    browser.sees("Choose where its charges go").await;
    assert_bounded(&browser, "a checkout's payers", "label.choice").await;
    browser.press("More subscriptions").await;
    browser.fill("Search subscriptions", "Payer 1999").await;
    browser.press("Search").await;
    browser.choose("Payer 1999").await;
    browser.press("Use this subscription").await;
    browser.sees("how many paid users in all").await;
    browser.press("Change organization").await;
    assert_bounded(&browser, "a checkout's organizations", "label.choice").await;
    browser.fill("Search organizations", "Load 1999").await;
    browser.press("Search").await;
    browser.choose("Load 1999").await;
    browser.press("Continue").await;
    browser.sees("Choose where its charges go").await;
    browser.open("/organizations/load-77/billing").await;
    assert_bounded(&browser, "setting up", "label.choice").await;
    browser.quit().await;
}

async fn rows_of(browser: &Browser, rows: &str) -> Vec<String> {
    let names = format!("return [...document.querySelectorAll({rows:?})].map((one) => one.innerText)");
    let names = browser.ask(&names).await;
    names.as_array().expect("rows").iter().filter_map(|row| row.as_str().map(str::to_owned)).collect()
}

async fn assert_bounded(browser: &Browser, page: &str, rows: &str) {
    let count = rows_of(browser, rows).await.len();
    assert!((1..=52).contains(&count), "{page} has {count} rows");
    let bytes = "return ['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind))
        .reduce((sum, one) => sum + one.encodedBodySize + 500, 0)";
    let bytes = browser.ask(bytes).await;
    assert!(bytes.as_u64().is_some_and(|bytes| bytes < MOST), "{page} is of {bytes} bytes");
}

async fn nothing_is_a_state_too(app: &App) {
    let browser = Browser::signed_in(app, Hands::Mouse, LOAD).await;
    for (page, said) in [
        ("/organizations", "No organizations yet"),
        ("/organizations?q=x", "Nothing found"),
        ("/subscriptions", "No subscriptions yet"),
        ("/subscriptions?q=x", "Nothing found"),
        ("/marketplace?q=unheard", "Nothing here is called “unheard”"),
        ("/marketplace/ms.feed", "You belong to no organization yet"),
    ] {
        browser.open(page).await;
        browser.sees(said).await;
    }
    browser.open("/subscriptions").await;
    browser.press("New subscription").await;
    browser.fill("Name", "Mine").await;
    browser.press("Create").await;
    browser.sees("No organization is billed to it yet").await;
    browser.press("Organizations").await;
    browser.sees("No organizations yet").await;
    browser.quit().await;
}
