//! Names that hold markup, and names that are as long as names may be: text, nothing else, on every page.

use super::{ADA, DAY};
use serde_json::json;
use tests::browser::{Browser, Hands};
use tests::{App, Options, on_both};

on_both! {
    markup_is_shown_as_text: ugly(MARKUP);
    long_names_break_no_page: ugly(&"W".repeat(200));
}

const MARKUP: &str =
    r#""><img src=x onerror="window.hurt=1"><script>window.hurt=1</script>{{7*7}}&lt;b&gt;' </h1><h1>"#;

/// People, organizations, subscriptions, offers and publishers of this name.
pub fn ugly(name: &str) -> Options {
    let name = toml::Value::String(name.to_owned());
    let seed = format!(
        "[[user]]\nemail = '{ADA}'\nname = {name}\n\
         [[organization]]\nslug = 'fabrikam'\nname = {name}\ncountry = 'US'\n\
         members = [{{ user = '{ADA}', role = 'owner', access = 'basic' }}]\n\
         [[subscription]]\nkey = 'payer'\nname = {name}\nkind = 'pay_as_you_go'\nstatus = 'active'\ncountry = 'US'\n\
         currency = 'USD'\npayment = {{ card = 'tok_ok' }}\nroles = [{{ user = '{ADA}', role = 'owner' }}]\n\
         [[subscription]]\nkey = 'trial'\nname = {name}\nkind = 'free_trial'\nstatus = 'active'\ncountry = 'US'\n\
         currency = 'USD'\npayment = 'invoice'\nroles = [{{ user = '{ADA}', role = 'owner' }}]\n"
    );
    let offer = format!(
        "[[publisher]]\nslug = 'ugly'\nname = {name}\nshare = '0'\n\
         [[offer]]\nslug = 'ugly.thing'\nname = {name}\nsummary = {name}\npublisher = 'ugly'\nkind = 'extension'\n\
         unit = {name}\nincluded = 2\n\
         [offer.prices.USD]\nmodel = 'per_unit'\nbands = [{{ unit = '1234567.89' }}]\n"
    );
    Options::at(DAY).seed(&seed).more_offers(&offer)
}

async fn markup_is_shown_as_text(app: &App) {
    walk(app, async |browser, page| {
        assert!(browser.text().await.contains("{{7*7}}&lt;b&gt;'"), "{page}: shows the name as it is");
        let made =
            browser.ask("return [window.hurt ?? null, document.querySelectorAll('img, body script').length]").await;
        assert_eq!(made, json!([null, 0]), "{page}: made of a name");
        browser.audit_layout(page).await;
    })
    .await;
}

async fn long_names_break_no_page(app: &App) {
    walk(app, async |browser, page| {
        assert!(browser.text().await.contains(&"W".repeat(200)), "{page}: shows the name");
        browser.audit_layout(page).await;
    })
    .await;
}

/// Every page that shows a name, narrow.
async fn walk(app: &App, look: impl AsyncFn(&Browser, &str)) {
    let browser = Browser::start(app, Hands::Mouse).await;
    browser.resize(320).await;
    browser.open("/sign-in").await;
    look(&browser, "sign in").await;
    browser.sign_in_as(ADA).await;
    for page in ["/marketplace", "/marketplace?q=thing", "/services", "/organizations", "/subscriptions"] {
        browser.open(page).await;
        look(&browser, page).await;
    }
    browser.open("/marketplace/ugly.thing?quantity=12").await;
    look(&browser, "offer").await;
    browser.press("Buy for ").await;
    browser.sees("Choose where its charges go").await;
    look(&browser, "billing").await;
    let payer = browser.ask("return document.querySelector('[name=choice]:not([disabled])').value").await;
    let checkout = browser.path().await;
    browser.open(&format!("{checkout}?step=organization")).await;
    look(&browser, "organization").await;
    let payer = payer.as_str().expect("a payer");
    browser.send_form(&format!("{checkout}/billing"), &[("choice", payer)]).await;
    browser.sees("how many paid").await;
    look(&browser, "quantity").await;
    browser.press("Continue").await;
    browser.sees("Everything happens together").await;
    browser.press("How this is worked out").await;
    look(&browser, "review").await;
    browser.press("Buy now").await;
    browser.sees("has what was bought").await;
    look(&browser, "receipt").await;
    for page in ["", "/purchases", "/billing"] {
        let page = format!("/organizations/fabrikam{page}");
        browser.open(&page).await;
        look(&browser, &page).await;
    }
    browser.open(&format!("/subscriptions/{payer}")).await;
    look(&browser, "subscription").await;
    browser.quit().await;
}
