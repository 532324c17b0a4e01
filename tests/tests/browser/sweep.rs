//! Every page and state, looked at: axe finds nothing, nothing sticks out, the focus is seen, wide and light, narrow and
//! dark. With `PURSER_PICTURES=1` (`./test pictures`) it writes them as pictures, in both lights each.

use super::{ADA, DAY, USERS, names};
use serde_json::json;
use std::path::PathBuf;
use tests::browser::{Browser, Hands, Scheme};
use tests::{App, Billing, Db, Options, repository, run, setting};

/// Pictures that the documentation shows; the others stay in a folder that is not kept.
const KEPT: &[&str] = &[
    "marketplace-1280-light",
    "checkout-billing-1280-light",
    "checkout-review-1280-dark",
    "receipt-1280-light",
    "organization-1280-light",
    "set-up-billing-1280-light",
    "checkout-changed-1280-light",
    "checkout-quantity-320-dark",
];

/// When invoices are out.
const LATER: &str = "2018-05-02T10:00:00Z";
const CARLA: &str = "carla@fabrikam.example";

#[test]
fn pictures_of_the_demonstration() {
    let demo = std::fs::read_to_string(repository().join("config/demo.toml")).expect("config/demo.toml");
    run(Db::Sqlite, Options::at(DAY).seed(&demo), demonstration);
}

#[test]
fn pictures_of_ugly_data() {
    run(Db::Sqlite, names::ugly(&"Wordswithoutanyspace".repeat(10)), ugly);
}

/// Looks at a page in each way, and takes pictures where they are wanted.
struct Look<'a> {
    browser: &'a Browser,
    pictures: Option<PathBuf>,
}

impl<'a> Look<'a> {
    fn new(browser: &'a Browser) -> Self {
        let pictures = (setting("PURSER_PICTURES", 0) > 0).then(|| repository().join("docs/pictures"));
        Self { browser, pictures }
    }

    async fn at(&self, name: &str) {
        let all = [(1280, Scheme::Light), (320, Scheme::Dark), (1280, Scheme::Dark), (320, Scheme::Light)];
        let ways = if self.pictures.is_some() { &all[..] } else { &all[..2] };
        for (width, scheme) in ways {
            self.browser.resize(*width).await;
            self.browser.prefer(*scheme).await;
            let name = format!("{name}-{width}-{}", if *scheme == Scheme::Dark { "dark" } else { "light" });
            self.browser.audit(&name).await;
            if let Some(folder) = &self.pictures {
                std::fs::create_dir_all(folder.join("all")).expect("a folder");
                self.browser.picture(&folder.join(format!("all/{name}.png")), None).await;
                if KEPT.contains(&name.as_str()) {
                    self.browser.picture(&folder.join(format!("{name}.png")), Some(800)).await;
                }
            }
        }
        self.browser.resize(1280).await;
        self.browser.prefer(Scheme::Light).await;
    }

    async fn open(&self, path: &str, name: &str) {
        self.browser.open(path).await;
        self.at(name).await;
    }
}

async fn demonstration(app: &App) {
    let browser = Browser::start(app, Hands::Mouse).await;
    let look = Look::new(&browser);
    look.open("/sign-in", "sign-in").await;
    browser.fill("Token", "nonsense").await;
    browser.press("Sign in").await;
    browser.sees("The token is malformed").await;
    look.at("sign-in-refused").await;
    browser.sign_in_as(ADA).await;
    browser.sees("Hosted pipelines").await;
    look.at("marketplace").await;
    for (path, name) in [
        ("/marketplace?q=track", "marketplace-found"),
        ("/marketplace?q=unheard", "marketplace-nothing"),
        ("/services", "services"),
        ("/organizations", "organizations"),
        ("/organizations?q=x", "organizations-nothing"),
        ("/organizations/fabrikam", "organization-without-billing"),
        ("/subscriptions", "subscriptions"),
        ("/subscriptions/new", "subscription-new"),
        ("/marketplace/ms.vss-vstsuser?organization=fabrikam&quantity=250", "offer"),
        ("/marketplace/ms.vss-vstsuser?quantity=-1", "offer-no-number"),
        ("/marketplace/ms.load-testing?organization=fabrikam", "offer-metered"),
        ("/marketplace/agile-extensions.backlog-essentials?organization=fabrikam", "offer-free"),
        ("/marketplace/spartez.agile-cards", "offer-package"),
        ("/nowhere", "not-found"),
        ("/problems", "problems"),
        ("/problems/price-changed", "problem"),
    ] {
        look.open(path, name).await;
    }
    checkout(app, &look).await;
    afterwards(app, &look).await;
    browser.quit().await;
}

/// Each step of a checkout, and what may go wrong in it.
async fn checkout(app: &App, look: &Look<'_>) {
    let browser = look.browser;
    browser.open("/marketplace/ms.vss-testmanager-web").await;
    browser.press("Buy").await;
    browser.sees("Choose where its charges go").await;
    look.at("checkout-billing").await;
    browser.choose("Create a new subscription").await;
    look.at("checkout-new-subscription").await;
    let checkout = browser.path().await;
    let wrong =
        [("choice", "new"), ("name", ""), ("country", "US"), ("currency", "USD"), ("pay", "card"), ("email", "no")];
    browser.send_form(&format!("{checkout}/billing"), &wrong).await;
    look.at("checkout-new-subscription-wrong").await;
    look.open(&format!("{checkout}?step=organization"), "checkout-organization").await;
    browser.open(&checkout).await;
    browser.choose("Fabrikam Production").await;
    browser.press("Use this subscription").await;
    browser.fill("Test Manager: how many", "12").await;
    browser.press("Update the sum").await;
    browser.sees("0 → 12 users").await;
    look.at("checkout-quantity").await;
    browser.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "100001"), ("go", "on")]).await;
    browser.sees("out of range").await;
    look.at("checkout-quantity-refused").await;
    browser.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "12"), ("go", "on")]).await;
    browser.sees("Everything happens together").await;
    look.at("checkout-review").await;
    browser.press("How this is worked out").await;
    look.at("checkout-review-explained").await;

    let ada = app.as_(ADA).await;
    let payer = ada.subscription("Fabrikam Production").await;
    ada.buys("fabrikam", "ms.vss-testmanager-web", 3, Billing::Existing(&payer)).await.status(201);
    browser.press("Buy now").await;
    browser.sees("This has changed since you looked").await;
    look.at("checkout-changed").await;
    browser.press("Buy now").await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    look.at("receipt").await;
    browser.send_form("/checkouts", &[("offer", "ms.load-testing"), ("organization", "fabrikam"), ("on", "yes")]).await;
    browser.sees("At most a month").await;
    look.at("checkout-metered").await;
}

/// What an organization and a subscription show once something was bought, and what others may not.
async fn afterwards(app: &App, look: &Look<'_>) {
    let browser = look.browser;
    let ada = app.as_(ADA).await;
    for (offer, quantity) in [(USERS, 250), ("ms.feed", 40), ("ms.build-release-hosted-pipelines", 3)] {
        ada.buys("fabrikam", offer, quantity, Billing::Linked).await.status(201);
    }
    ada.buys("fabrikam", "ms.feed", 10, Billing::Linked).await.status(201);
    ada.buys("fabrikam", "ms.build-release-hosted-pipelines", 0, Billing::Linked).await.status(201);
    let payer = ada.subscription("Fabrikam Production").await;
    for (path, name) in [
        ("/organizations/fabrikam", "organization"),
        ("/organizations/fabrikam/purchases", "purchases"),
        ("/organizations/fabrikam/billing", "billing-linked"),
        (&*format!("/subscriptions/{payer}/payments"), "payments-none"),
        (&*format!("/subscriptions/{payer}/invoices/upcoming"), "invoice-upcoming"),
        (&*format!("/subscriptions/{payer}"), "subscription"),
    ] {
        look.open(path, name).await;
    }
    browser.fill("Address", "nobody@fabrikam.example").await;
    browser.press("Give the role").await;
    browser.sees("There is no such person").await;
    look.at("subscription-refused").await;
    browser.open("/organizations/fabrikam").await;
    browser.press("Cancel Basic users").await;
    browser.press("Cancel the renewal").await;
    browser.sees("has what was changed").await;
    look.at("receipt-of-a-cancellation").await;

    browser.press("Sign out").await;
    browser.sign_in_as("lee@tailspin.example").await;
    look.open("/organizations/tailspin/billing", "set-up-billing-none").await;
    browser.open("/marketplace/ms.feed?organization=tailspin").await;
    browser.press("Buy for Tailspin Toys").await;
    look.at("checkout-no-subscription").await;

    browser.press("Sign out").await;
    browser.sign_in_as(CARLA).await;
    look.open("/organizations/fabrikam", "organization-as-member").await;
    look.open(&format!("/marketplace/{USERS}?organization=fabrikam"), "offer-as-member").await;
    let fields = [("offer", USERS), ("organization", "fabrikam"), ("quantity", "5"), ("counted", "yes")];
    browser.send_form("/checkouts", &fields).await;
    browser.sees("Who can help").await;
    look.at("checkout-not-permitted").await;

    browser.press("Sign out").await;
    browser.sign_in_as("olga@purser.example").await;
    look.open("/organizations", "organizations-as-operator").await;
    look.open("/subscriptions", "subscriptions-as-operator").await;
    collected(app, look, &payer).await;
    set_up_billing(app).await;
}

/// The next month's invoice, and what an operator records of it.
async fn collected(app: &App, look: &Look<'_>, payer: &str) {
    let browser = look.browser;
    app.move_clock(LATER).await;
    look.open(&format!("/subscriptions/{payer}/invoices"), "invoices").await;
    let olga = app.as_("olga@purser.example").await;
    let invoice = &olga.all(&format!("/v1/subscriptions/{payer}/invoices")).await[0];
    look.open(&format!("/invoices/{}", invoice["id"].as_str().expect("an id")), "invoice").await;
    browser.open(&format!("/subscriptions/{payer}/payments")).await;
    let body = [("amount", "1.234,5"), ("received_on", "2018-05-02"), ("reference", "Fabrikam, May")];
    browser.send_form(&format!("/subscriptions/{payer}/payments"), &body).await;
    browser.sees("The amount").await;
    look.at("payments-refused").await;
    let body = [("amount", "100000.00"), ("received_on", "2018-05-02"), ("reference", "Fabrikam, May")];
    browser.send_form(&format!("/subscriptions/{payer}/payments"), &body).await;
    browser.sees("received").await;
    look.at("payments").await;
}

/// Ada's picker, of an organization of hers that has no billing.
async fn set_up_billing(app: &App) {
    let platform = app.platform().await;
    let organization = "/v1/organizations/northwind";
    platform.put(organization, json!({ "name": "Northwind Traders", "country": "US" })).await.ok();
    let ada = json!({ "name": "Ada Palmer", "role": "owner", "access": "basic" });
    platform.put(&format!("{organization}/members/{ADA}"), ada).await.ok();
    let browser = Browser::signed_in(app, Hands::Mouse, ADA).await;
    let look = Look::new(&browser);
    look.open("/organizations/northwind/billing", "set-up-billing").await;
    browser.press("Link").await;
    browser.choose("Fabrikam Production").await;
    browser.press("Link").await;
    browser.sees("Billing is set up.").await;
    look.at("billing-just-linked").await;
    look.open("/marketplace/ms.feed", "offer-of-two-organizations").await;
    browser.press("Buy").await;
    browser.sees("Who is this for?").await;
    look.at("checkout-organizations").await;
    browser.quit().await;
}

async fn ugly(app: &App) {
    let browser = Browser::start(app, Hands::Mouse).await;
    let look = Look::new(&browser);
    look.open("/sign-in", "ugly-sign-in").await;
    browser.sign_in_as(ADA).await;
    for (path, name) in [
        ("/marketplace", "ugly-marketplace"),
        ("/organizations", "ugly-organizations"),
        ("/organizations/fabrikam", "ugly-organization-without-billing"),
        ("/organizations/fabrikam/billing", "ugly-set-up-billing"),
        ("/marketplace/ugly.thing?quantity=12", "ugly-offer"),
    ] {
        look.open(path, name).await;
    }
    browser.press("Buy for ").await;
    browser.sees("Choose where its charges go").await;
    look.at("ugly-checkout-billing").await;
    let payer = browser.ask("return document.querySelector('[name=choice]:not([disabled])').value").await;
    let payer = payer.as_str().expect("a payer");
    let checkout = browser.path().await;
    browser.send_form(&format!("{checkout}/billing"), &[("choice", payer)]).await;
    browser.sees("how many paid").await;
    look.at("ugly-checkout-quantity").await;
    browser.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "1000"), ("go", "on")]).await;
    browser.sees("Everything happens together").await;
    browser.press("How this is worked out").await;
    look.at("ugly-checkout-review").await;
    browser.press("Buy now").await;
    browser.sees("has what was bought").await;
    look.at("ugly-receipt").await;
    look.open("/organizations/fabrikam", "ugly-organization").await;
    look.open(&format!("/subscriptions/{payer}"), "ugly-subscription").await;
    browser.quit().await;
}
