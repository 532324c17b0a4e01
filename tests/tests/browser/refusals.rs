//! Each refusal that a page can meet is a state of that page: what is so, what to do next, and whom to ask.

use super::{ADA, ADAM, USERS, at_quantity, at_review, users};
use serde_json::Value;
use tests::browser::{Browser, Hands};
use tests::{App, Options, on_both, seeds};

on_both! {
    ineligible_subscriptions_are_greyed_with_every_reason: Options::new().seed(seeds::PAYERS);
    who_may_not_is_told_whom_to_ask: Options::new();
    a_reader_of_the_subscription_is_told_whom_to_ask: Options::new();
    numbers_that_cannot_be: Options::new();
    a_purchase_without_a_payer_leads_to_the_second_step: Options::new();
    a_declined_card_creates_nothing: Options::new();
    addresses_that_lead_nowhere: Options::new();
    forms_that_no_page_sent: Options::new();
}

/// the picker of a checkout shows what that of the API shows, greyed where it cannot pay.
async fn ineligible_subscriptions_are_greyed_with_every_reason(app: &App) {
    let offer = "berichthaus.tfstimetracker";
    let browser = Browser::signed_in(app, Hands::Mouse, ADA).await;
    browser.open(&format!("/marketplace/{offer}")).await;
    browser.press("Buy for Fabrikam Fiber").await;
    browser.sees("Choose where its charges go").await;
    let picker = app.as_(ADA).await.all(&format!("/v1/organizations/fabrikam/subscriptions?offer={offer}")).await;
    assert_eq!(picker.len(), 15, "{picker:?}");
    assert_picker(&browser, &picker).await;
    browser.choose("pays-by-card").await;
    browser.press("Use this subscription").await;
    browser.sees("Timetracker: how many paid users in all").await;

    browser.open("/organizations/fabrikam/billing").await;
    let picker = app.as_(ADA).await.all("/v1/organizations/fabrikam/subscriptions").await;
    assert_picker(&browser, &picker).await;
    let refused = picker.iter().find(|one| one["eligible"] == false).expect("one that cannot pay");
    browser.send_form("/organizations/fabrikam/billing", &[("subscription", text(refused, "id"))]).await;
    browser.sees("The subscription cannot pay for this").await;
    for reason in refused["reasons"].as_array().expect("reasons") {
        browser.sees(text(reason, "remedy")).await;
    }
    browser.choose("pays-csp").await;
    browser.press("Link").await;
    browser.sees("Linked: billed to pays-csp").await;
    browser.quit().await;
}

async fn assert_picker(browser: &Browser, picker: &[Value]) {
    let shown = "return Object.fromEntries([...document.querySelectorAll('label.choice')].map((one) =>
        [one.querySelector('b').textContent, [!one.querySelector('input').disabled, one.innerText.replace(/\\s+/g, ' ')]]))";
    let shown = browser.ask(shown).await;
    for one in picker {
        let (name, eligible) = (text(one, "name"), &one["eligible"]);
        let row = &shown[name];
        assert_eq!(&row[0], eligible, "{name}: {row}");
        for reason in one["reasons"].as_array().expect("reasons") {
            for said in [text(reason, "message"), text(reason, "remedy")] {
                assert!(row[1].as_str().is_some_and(|words| words.contains(said)), "{name}: no “{said}” in {row}");
            }
        }
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}"))
}

/// a member sees what is missing and whom to ask, on every page that leads towards buying.
async fn who_may_not_is_told_whom_to_ask(app: &App) {
    let mia = "mia@fabrikam.example";
    let browser = Browser::signed_in(app, Hands::Mouse, mia).await;
    browser.open(&format!("/marketplace/{USERS}?organization=fabrikam")).await;
    browser.sees("You can’t buy this for Fabrikam Fiber").await;
    browser.sees("Ask someone with the role organization owner or organization administrator.").await;
    assert!(!browser.offers("Buy for Fabrikam Fiber").await);

    browser.open(&format!("/marketplace/{USERS}")).await;
    browser.press("Buy").await;
    browser.sees("Who is this for?").await;
    assert!(!browser.offers("Fabrikam Fiber").await, "greyed");
    assert!(!browser.offers("Tailspin Toys").await, "greyed");
    browser.sees("Ask someone with the role").await;
    // Whoever gets past the greyed choice by a form of their own does not get past the review.
    let checkout = browser.path().await;
    browser.send_form(&format!("{checkout}/organization"), &[("organization", "fabrikam")]).await;
    browser.open(&format!("{checkout}?step=billing")).await;
    browser.sees("Set up billing").await;
    assert!(!browser.offers("Create a new subscription").await, "R-3");

    browser.open("/organizations/fabrikam").await;
    browser.sees("Its owner or an administrator can set billing up").await;
    assert!(!browser.offers("Set up billing").await);
    browser.open("/organizations/fabrikam/billing").await;
    browser.sees("Ada Palmer (owner)").await;
    assert!(!browser.offers("Link").await && !browser.offers("Create a new subscription").await);
    browser.quit().await;
}

/// who may only look at the linked subscription is told who may give the role.
async fn a_reader_of_the_subscription_is_told_whom_to_ask(app: &App) {
    let browser = Browser::signed_in(app, Hands::Mouse, "rita@fabrikam.example").await;
    browser.open("/organizations/tailspin").await;
    browser.sees("reader of its subscription").await;
    let fields = [("offer", USERS), ("organization", "tailspin"), ("quantity", "5"), ("counted", "yes")];
    browser.send_form("/checkouts", &fields).await;
    browser.sees("This cannot be bought as it is").await;
    browser.sees("Who can help: ").await;
    browser.sees("Sue Subscription (owner)").await;
    assert!(!browser.offers("Buy now").await);
    let checkout = browser.path().await;
    let linked = browser.ask("return document.querySelector('[name=linked]').value").await;
    let linked = linked.as_str().expect("a payer").to_owned();
    let fields = [("linked", linked.as_str()), ("quantity-0", "5"), ("from-0", "0")];
    browser.send_form(&format!("{checkout}/buy"), &fields).await;
    browser.sees("Sue Subscription").await;
    assert_eq!(app.as_(ADA).await.entitlement("tailspin", USERS).await["committed"], 0);
    browser.quit().await;
}

/// what is no whole number in range is refused where it was typed, with the numbers.
async fn numbers_that_cannot_be(app: &App) {
    let browser = at_quantity(app).await;
    let checkout = browser.path().await;
    let checkout = checkout.split('?').next().expect("a path").to_owned();
    for (typed, said) in [
        ("", "Enter a whole number"),
        ("many", "Enter a whole number"),
        ("1.5", "Enter a whole number"),
        ("<b>5</b>", "Enter a whole number"),
        ("99999999999999999999", "Enter a whole number"),
        ("-1", "Enter a whole number"),
        ("9223372036854775807", "out of range"),
        ("100001", "out of range"),
    ] {
        browser.send_form(&format!("{checkout}/quantity"), &[("quantity-0", typed), ("go", "on")]).await;
        browser.sees(said).await;
        browser.sees("From 1 to 100,000.").await;
        browser.sees("how many paid users in all").await;
        assert!(!browser.offers("Buy now").await, "{typed}");
    }
    // What a browser would not send is told by the browser.
    browser.fill("Basic users: how many", "100001").await;
    browser.press("Continue").await;
    browser.sees("how many paid users in all").await;
    let fields = [("quantity-0", "9223372036854775807"), ("from-0", "0")];
    browser.send_form(&format!("{checkout}/buy"), &fields).await;
    browser.sees("out of range").await;
    // What is no change cannot be bought.
    browser.send_form(&format!("{checkout}/quantity"), &[("quantity-0", "0"), ("go", "on")]).await;
    browser.sees("Nothing would change").await;
    assert!(!browser.offers("Buy now").await);
    assert_eq!(users(app).await, (0, 0));

    for typed in ["-1", "many", "99999999999999999999"] {
        browser.open(&format!("/marketplace/{USERS}?quantity={typed}")).await;
        browser.sees("Enter a whole number, 0 or more.").await;
    }
    browser.open(&format!("/marketplace/{USERS}?quantity=9223372036854775807")).await;
    browser.sees("That is more than can be billed").await;
    browser.open(&format!("/marketplace/{USERS}?quantity=5")).await;
    browser.sees("5 users paid: $30.00 a month").await;
    browser.quit().await;
}

/// without a payer nothing is bought silently: the second step comes.
async fn a_purchase_without_a_payer_leads_to_the_second_step(app: &App) {
    let browser = Browser::signed_in(app, Hands::Mouse, ADA).await;
    let fields = [("offer", USERS), ("organization", "fabrikam"), ("quantity", "5"), ("counted", "yes")];
    browser.send_form("/checkouts", &fields).await;
    browser.sees("Choose where its charges go").await;
    let checkout = browser.path().await;
    browser.send_form(&format!("{checkout}/buy"), &[("quantity-0", "5"), ("from-0", "0")]).await;
    browser.sees("Billing is not set up").await;
    browser.sees("Choose where its charges go").await;
    browser.press("Use this subscription").await;
    browser.sees("Choose who pays").await;
    browser.choose("Fabrikam Production").await;
    browser.press("Use this subscription").await;
    browser.sees("Everything happens together").await;
    assert_eq!(users(app).await, (0, 0));
    browser.quit().await;
}

/// nothing is created with a card that is declined; another one goes on where it was.
async fn a_declined_card_creates_nothing(app: &App) {
    let browser = Browser::signed_in(app, Hands::Mouse, ADAM).await;
    browser.open(&format!("/marketplace/{USERS}?organization=fabrikam")).await;
    browser.press("Buy for Fabrikam Fiber").await;
    browser.choose("Create a new subscription").await;
    browser.fill("Name", "By card").await;
    browser.choose("Card").await;
    browser.fill("Card", "Test card that is declined").await;
    browser.press("Use this subscription").await;
    if !browser.text().await.contains("declined; nothing was created") {
        browser.press("Continue").await;
        browser.press("Buy now").await;
    }
    browser.sees("The card was declined").await;
    let adam = app.as_(ADAM).await;
    assert_eq!(adam.all("/v1/subscriptions").await, Vec::<Value>::new());
    assert_eq!(browser.value("Name").await, "By card", "what was typed is kept");
    browser.fill("Card", "Test card that is accepted").await;
    browser.press("Use this subscription").await;
    browser.sees("how many paid users in all").await;
    browser.press("Continue").await;
    browser.press("Buy now").await;
    browser.sees("was created with this purchase").await;
    adam.subscription("By card").await;
    browser.quit().await;
}

/// what is not there, or not for one's eyes, is a page that says so and leads on; each kind has an explanation.
async fn addresses_that_lead_nowhere(app: &App) {
    let mine = at_quantity(app).await;
    let checkout = mine.path().await;
    mine.quit().await;
    let browser = Browser::signed_in(app, Hands::Mouse, ADAM).await;
    browser.open(&checkout).await;
    browser.sees("it is another person’s").await;
    for path in [
        "/nowhere",
        "/marketplace/unheard.of",
        "/marketplace?kind=unheard",
        "/organizations/contoso",
        "/organizations/contoso/billing",
        "/organizations/contoso/purchases",
        "/subscriptions/sub_00000000000000000000000000",
        "/purchases/pur_00000000000000000000000000",
        "/checkout/chk_00000000000000000000000000",
        "/checkout/%3Cscript%3E",
        "/problems/unheard",
    ] {
        browser.open(path).await;
        browser.sees("Not found").await;
        browser.sees("Look for it in the lists").await;
        assert!(browser.offers("Organizations").await, "{path}");
    }
    browser.press("What this means").await;
    browser.sees("There is no such thing, or none that you may know of.").await;
    browser.press("What refusals mean").await;
    let kinds = browser.ask("return [...document.querySelectorAll('main h2 a')].map((one) => one.pathname)").await;
    assert_eq!(kinds.as_array().map(Vec::len), Some(21), "{kinds}");
    for kind in kinds.as_array().expect("kinds").iter().filter_map(Value::as_str) {
        browser.open(kind).await;
        browser.sees("· HTTP ").await;
    }
    browser.quit().await;
}

/// Forms of another session, of an old page or of another site do nothing, and say how to go on.
async fn forms_that_no_page_sent(app: &App) {
    let browser = at_review(app, "5").await;
    let checkout = browser.path().await;
    for word in ["", "0000", "ÿ"] {
        let fields = [("csrf", word), ("quantity-0", "5"), ("from-0", "0")];
        browser.send_form(&format!("{checkout}/buy"), &fields).await;
        browser.sees("This form was not sent by a page of your present session").await;
        browser.open(&checkout).await;
    }
    // Signed out and in again in another tab: the old page's form is one of the session that ended.
    browser.new_tab().await;
    browser.open("/marketplace").await;
    browser.press("Sign out").await;
    browser.sign_in_as(ADA).await;
    browser.sees("Marketplace").await;
    browser.tab(0).await;
    browser.press("Buy now").await;
    browser.sees("This form was not sent by a page of your present session").await;
    assert_eq!(users(app).await, (0, 0));
    browser.open(&checkout).await;
    browser.press("Buy now").await;
    browser.sees("Fabrikam Fiber has what was bought").await;
    browser.quit().await;
}
