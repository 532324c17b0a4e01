//! Mail: invoices, receipts, reminders and what becomes of who does not pay, to the billing address, once each, by
//! real SMTP.

use serde_json::{Value, json};
use std::time::Duration;
use tests::{Actor, App, Billing, Mail, Options, Sink, eventually, on_both, output};

on_both! {
    r_47_an_invoice_and_its_receipt_are_mailed: begin();
    r_47_every_step_of_dunning_is_mailed: begin();
    r_47_a_declined_card_is_mailed_with_what_to_do: begin();
    r_47_without_a_billing_address_owners_are_told: begin();
    r_47_what_is_refused_for_now_is_tried_again: begin();
    r_47_what_is_refused_for_good_is_not: begin();
    r_47_a_server_that_is_away_is_waited_for: begin();
    r_54_a_kill_between_sending_and_recording_loses_nothing: begin();
    r_54_an_event_is_mailed_once: begin();
    r_43_a_credit_note_is_mailed: begin();
    names_end_no_line_and_no_header: begin();
    what_is_paid_meanwhile_is_not_asked_for: begin();
    mail_that_is_off_tells_nothing_later_either: Options::at(START);
    mail_without_a_sender_stops_the_start: Options::at(START);
}

const START: &str = "2018-04-15T10:00:00Z";
const SUE: &str = "sue@fabrikam.example";
const BILLS: &str = "bills@fabrikam.example";
const USERS: &str = "ms.vss-vstsuser";
const PATIENCE: Duration = Duration::from_secs(60);

fn begin() -> Options {
    Options::at(START).mailing()
}

fn sink(app: &App) -> &Sink {
    app.options.mail.as_deref().expect("a sink")
}

/// Ten users on Fabrikam Production: 105.00 on the invoice of 1 May. Its bills go to `email`.
async fn buys(app: &App, email: &str) -> (Actor, String) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    let payer = sue.subscription("Fabrikam Production").await;
    let profile = json!({"email": email, "purchase_order": "PO 4711", "address": "1 Main Street\nSeattle"});
    sue.patch(&format!("/v1/subscriptions/{payer}"), profile).await.ok();
    (sue, payer)
}

async fn pays_by(sue: &Actor, payer: &str, token: &str) {
    let body = json!({"method": "card", "token": token});
    sue.put(&format!("/v1/subscriptions/{payer}/payment"), body).await.ok();
}

async fn transfer(app: &App, payer: &str, amount: &str, reference: &str) {
    let body = json!({"amount": {"amount": amount, "currency": "USD"}, "received_on": "2018-04-15",
        "reference": reference});
    app.as_("olga@platform.example").await.post(&format!("/v1/subscriptions/{payer}/payments"), body).await.status(201);
}

/// Waits until all that happened was told.
async fn told(app: &App) {
    app.events().await;
    eventually("all events told", PATIENCE, async || {
        let left = "SELECT count(*) FROM mail_cursor WHERE number <= (SELECT COALESCE(max(number), 0) FROM blocks)";
        (app.database.number(left).await == 0).then_some(())
    })
    .await;
}

async fn states(app: &App, state: &str) -> i64 {
    app.database.number(&format!("SELECT count(*) FROM mails WHERE state = '{state}'")).await
}

/// All mails, once nothing waits to be sent.
async fn mails(app: &App) -> Vec<Mail> {
    told(app).await;
    eventually("all mail sent", PATIENCE, async || (states(app, "waiting").await == 0).then_some(())).await;
    sink(app).mails()
}

fn subjects(mails: &[Mail]) -> Vec<String> {
    let mut subjects: Vec<_> = mails.iter().map(|mail| mail.header("Subject").to_owned()).collect();
    subjects.sort();
    subjects
}

#[track_caller]
fn says<'a>(mails: &'a [Mail], subject: &str, facts: &[&str]) -> &'a Mail {
    let mut found = mails.iter().filter(|mail| mail.header("Subject") == subject);
    let mail = found.next().unwrap_or_else(|| panic!("no {subject:?} in {:?}", subjects(mails)));
    assert!(found.next().is_none(), "{subject:?} twice");
    for fact in facts {
        assert!(mail.text.contains(fact), "{fact:?} is not in\n{}", mail.text);
    }
    mail
}

/// The sums, the payer's own reference and address, and what to do; with one id, from the configured sender.
async fn r_47_an_invoice_and_its_receipt_are_mailed(app: &App) {
    let (_, payer) = buys(app, BILLS).await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    transfer(app, &payer, "120.00", "T-1").await;
    let all = mails(app).await;
    assert_eq!(all.len(), 2, "{:?}", subjects(&all));
    let receipt = says(
        &all,
        "Receipt: $120.00 received",
        &[
            "Received on:     15 April 2018\n",
            "How:             transfer\n",
            "Its reference:   T-1\n",
            "                 1 Main Street\n                 Seattle\n",
            "Your reference:  PO 4711\n",
            "Invoice P-2018-000001: $105.00 of $105.00\n",
            "Kept as credit:  $15.00.",
            &format!("/subscriptions/{payer}/payments"),
        ],
    );
    // Whether it was paid when it was written is a matter of moments.
    let invoice = all.iter().find(|mail| *mail != receipt).expect("the invoice");
    assert!(invoice.header("Subject").starts_with("Invoice P-2018-000001: $105.00, "), "{invoice:?}");
    for fact in [
        "Billed to:       Fabrikam Production\n                 1 Main Street\n                 Seattle\n",
        "Your reference:  PO 4711\n",
        "Issued on:       1 May 2018\n",
        "Total:           $105.00\n",
        "/invoices/inv_",
    ] {
        assert!(invoice.text.contains(fact), "{fact:?} is not in\n{}", invoice.text);
    }
    for mail in [invoice, receipt] {
        assert_eq!(mail.to, [BILLS]);
        assert_eq!(mail.header("To"), BILLS);
        assert_eq!(mail.header("From"), "Purser Demonstration <billing@purser.example>");
        let id = mail.header("Message-ID");
        assert!(id.starts_with("<evt_") && id.ends_with("@purser.example>"), "{id}");
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
        assert!(mail.header("Content-Type").starts_with("text/plain"), "{mail:?}");
        mail.header("Date");
    }
    assert_ne!(invoice.header("Message-ID"), receipt.header("Message-ID"));
    let metrics = app.anonymous().get("/metrics").await.text();
    assert!(metrics.contains("mails_total{outcome=\"sent\"} 2"), "{metrics}");
    let log = app.with_server(|server| server.log()).await;
    assert!(!log.contains(BILLS) && !log.contains("hush"), "{log}");
    // What was written to people is kept no longer than until it is sent.
    assert_eq!(app.database.number("SELECT count(*) FROM mails WHERE body <> '' OR subject <> ''").await, 0);
}

/// each step says which it is, what comes next and when, and what it means for what was bought.
async fn r_47_every_step_of_dunning_is_mailed(app: &App) {
    let (_, payer) = buys(app, BILLS).await;
    let overdue = "Overdue: invoice P-2018-000001, $105.00 open";
    let mut before = 0;
    for (instant, new) in [
        (
            "2018-05-01T02:00:00Z",
            vec![("Invoice P-2018-000001: $105.00, due 31 May 2018", "Please transfer $105.00 by 31 May 2018")],
        ),
        (
            "2018-06-01T02:00:00Z",
            vec![
                (overdue, "This is reminder 1 of 4.\nThe next one comes on 3 June 2018."),
                ("Fabrikam Production has an overdue invoice", "All that was bought stays usable"),
                ("Invoice P-2018-000002: $70.00, due 1 July 2018", "To be paid:      $70.00"),
            ],
        ),
        ("2018-06-03T02:00:00Z", vec![(overdue, "This is reminder 2 of 4.\nThe next one comes on 7 June 2018.")]),
        (
            "2018-06-07T02:00:00Z",
            vec![(overdue, "This is reminder 3 of 4.\nOn 14 June 2018 the subscription becomes past due")],
        ),
        (
            "2018-06-14T02:00:00Z",
            vec![
                (overdue, "This is reminder 4 of 4.\nOn 28 June 2018 the subscription is disabled."),
                ("Fabrikam Production is past due", "to the end of the month that it was paid for"),
            ],
        ),
        (
            "2018-06-28T02:00:00Z",
            vec![
                (overdue, "This is the last notice.\n\nWhat to do:"),
                ("Fabrikam Production is disabled", "Nothing can be bought"),
            ],
        ),
    ] {
        app.move_clock(instant).await;
        let all = mails(app).await;
        assert_eq!(all.len() - before, new.len(), "{instant}: {:?}", subjects(&all[before..]));
        for (subject, fact) in new {
            says(&all[before..], subject, &[fact]);
        }
        before = all.len();
    }
    transfer(app, &payer, "175.00", "T-1").await;
    let all = mails(app).await;
    assert_eq!(subjects(&all[before..]), ["Fabrikam Production is active again", "Receipt: $175.00 received"]);
    says(&all[before..], "Fabrikam Production is active again", &["becomes usable again"]);
}

/// Why, what comes next, and where to replace the card; nothing of the card itself.
async fn r_47_a_declined_card_is_mailed_with_what_to_do(app: &App) {
    let (sue, payer) = buys(app, BILLS).await;
    pays_by(&sue, &payer, "tok_expired").await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    let all = mails(app).await;
    let page = format!("/subscriptions/{payer}/payments");
    let facts = ["$105.00 for invoice", "expired card", "asked again on 2 May 2018", "another one", &page];
    let mail = says(&all, "Your card was declined for invoice P-2018-000001", &facts);
    assert!(!mail.text.contains("tok_"), "{}", mail.text);
    says(&all, "Invoice P-2018-000001: $105.00, due 1 May 2018", &["Your card is charged $105.00 on 1 May 2018"]);
    assert_eq!(all.len(), 2, "{:?}", subjects(&all));
    // The last try, after which the card is not asked again.
    app.move_clock("2018-05-15T02:00:00Z").await;
    let all = mails(app).await;
    assert!(
        all.iter()
            .any(|mail| mail.text.contains("not asked again by itself. The subscription is disabled on 29 May 2018")),
        "{all:?}"
    );
}

async fn r_47_without_a_billing_address_owners_are_told(app: &App) {
    let sue = app.as_(SUE).await;
    sue.buys("tailspin", USERS, 10, Billing::Linked).await.status(201);
    app.move_clock("2018-05-01T02:00:00Z").await;
    let all = mails(app).await;
    let mut to: Vec<_> = all.iter().flat_map(|mail| mail.to.clone()).collect();
    to.sort();
    assert_eq!(to, ["ada@fabrikam.example", SUE], "each by itself, and nobody else who has a role");
    assert_ne!(all[0].header("Message-ID"), all[1].header("Message-ID"));
}

/// It waits, with the server's code; once it is taken, it comes once, and a backup carries all of it.
async fn r_47_what_is_refused_for_now_is_tried_again(app: &App) {
    buys(app, "later@fabrikam.example").await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    told(app).await;
    let again = "SELECT count(*) FROM mails WHERE state = 'waiting' AND reason = '451' AND tries >= 2";
    eventually("a second try", PATIENCE, async || (app.database.number(again).await == 1).then_some(())).await;
    assert_eq!(sink(app).mails(), []);
    let file = app.folder.path().join("mail.backup").to_str().expect("a plain path").to_owned();
    app.prints(&["backup", &file]);
    let copy = app.new_database(app.database.db).await;
    let done = output(app.command_on(&copy, &["restore", &file]));
    assert!(done.status.success(), "{done:?}");
    assert_eq!(copy.number("SELECT count(*) FROM mails WHERE state = 'waiting' AND body LIKE '%105.00%'").await, 1);
    assert_eq!(copy.number("SELECT count(*) FROM mail_cursor").await, 1);
    copy.remove().await;
    sink(app).takes_later();
    hurry(app).await;
    assert_eq!(mails(app).await.len(), 1);
    assert_eq!(states(app, "sent").await, 1);
    // After three days it is given up.
    let old = "UPDATE mails SET state = 'waiting', recipient = 'reject@b', queued_at = queued_at - 259200000000";
    app.database.sql(old).await;
    sink(app).stop();
    hurry(app).await;
    eventually("the end of trying", PATIENCE, async || (states(app, "failed").await == 1).then_some(())).await;
}

/// Mails that wait are due at once.
async fn hurry(app: &App) {
    app.database.sql("UPDATE mails SET next_at = 0 WHERE state = 'waiting'").await;
}

async fn r_47_what_is_refused_for_good_is_not(app: &App) {
    buys(app, "reject@fabrikam.example").await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    assert_eq!(mails(app).await, []);
    let refused = "SELECT count(*) FROM mails WHERE state = 'failed' AND reason = '550' AND tries = 1 AND body = ''";
    assert_eq!(app.database.number(refused).await, 1);
    let log = app.with_server(|server| server.log()).await;
    assert!(log.contains("a mail cannot be sent") && !log.contains("reject@"), "{log}");
}

async fn r_47_a_server_that_is_away_is_waited_for(app: &App) {
    sink(app).stop();
    buys(app, BILLS).await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    let away = "SELECT count(*) FROM mails WHERE state = 'waiting' AND reason = 'connection'";
    eventually("a try", PATIENCE, async || (app.database.number(away).await == 1).then_some(())).await;
    sink(app).start_again();
    assert_eq!(mails(app).await.len(), 1);
}

/// The server has the mail, but was killed before it could record so: it is sent again, as the same mail, and then no more.
async fn r_54_a_kill_between_sending_and_recording_loses_nothing(app: &App) {
    buys(app, "hold@fabrikam.example").await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    eventually("a mail under way", PATIENCE, async || (sink(app).mails().len() == 1).then_some(())).await;
    app.kill().await;
    assert_eq!(app.database.number("SELECT count(*) FROM mails WHERE state = 'waiting' AND tries = 1").await, 1);
    sink(app).releases();
    app.start_again().await;
    hurry(app).await;
    let all = mails(app).await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].header("Message-ID"), all[1].header("Message-ID"), "so that it can be known as the same");
    assert_eq!((states(app, "sent").await, all[0].text == all[1].text), (1, true));
}

/// The same events read once more, as after a restart from an old cursor, and by two processes at once.
async fn r_54_an_event_is_mailed_once(app: &App) {
    let (_, payer) = buys(app, BILLS).await;
    app.move_clock("2018-06-01T02:00:00Z").await;
    let before = mails(app).await;
    assert_eq!(before.len(), 4, "{:?}", subjects(&before));
    app.database.sql("UPDATE mail_cursor SET number = 1, place = -1").await;
    assert_eq!(mails(app).await, before);
    app.stop().await;
    app.start_again().await;
    transfer(app, &payer, "5.00", "T-1").await;
    let after = mails(app).await;
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(subjects(&after[before.len()..]), ["Receipt: $5.00 received"]);
}

/// Markup, signs of all scripts and ends of lines in what people name themselves are text, and nothing else.
async fn names_end_no_line_and_no_header(app: &App) {
    let (sue, payer) = buys(app, BILLS).await;
    let name =
        "<b>Zoë 🦊 & Søn</b> =?utf-8?q?x?= {{ seller }} a very long name that must be folded somewhere in the subject";
    let profile = json!({"name": name, "email": BILLS, "purchase_order": "PO\nBcc: eve@evil.example\n\nTo be paid: 0",
        "address": "1 <i>Main</i>\nBcc: eve@evil.example\n.\nSeattle 🌲"});
    sue.patch(&format!("/v1/subscriptions/{payer}"), profile).await.ok();
    app.move_clock("2018-06-01T02:00:00Z").await;
    let all = mails(app).await;
    says(
        &all,
        &format!("{} has an overdue invoice", name.replace("=?", "= ?")),
        &[&format!("An invoice of the subscription {name} is overdue.")],
    );
    says(
        &all,
        "Invoice P-2018-000001: $105.00, due 31 May 2018",
        &[
            &format!(
                "Billed to:       {name}\n                 1 <i>Main</i>\n                 Bcc: eve@evil.example\n"
            ),
            "                 .\n                 Seattle 🌲\n",
            "Your reference:  PO Bcc: eve@evil.example To be paid: 0\n",
        ],
    );
    for mail in &all {
        assert_eq!((mail.to.as_slice(), mail.headers().contains(&"Bcc")), ([BILLS.to_owned()].as_slice(), false));
    }
}

/// A reminder that could not be written until its invoice was paid is none.
async fn what_is_paid_meanwhile_is_not_asked_for(app: &App) {
    let (_, payer) = buys(app, BILLS).await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    let before = mails(app).await.len();
    // Nothing is read until the cursor is back.
    app.database.sql("UPDATE mail_cursor SET name = 'away'").await;
    app.move_clock("2018-06-01T01:00:00Z").await;
    app.move_clock("2018-06-01T02:00:00Z").await;
    transfer(app, &payer, "105.00", "T-1").await;
    app.database.sql("UPDATE mail_cursor SET name = 'mail'").await;
    let all = mails(app).await;
    let new = subjects(&all[before..]);
    assert!(new.contains(&"Receipt: $105.00 received".to_owned()), "{new:?}");
    assert!(!new.iter().any(|subject| subject.starts_with("Overdue")), "{new:?}");
}

/// who switches mail on tells of what happens from then on.
async fn mail_that_is_off_tells_nothing_later_either(app: &App) {
    let sink = Sink::start();
    buys(app, BILLS).await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    told(app).await;
    assert_eq!(app.database.number("SELECT count(*) FROM mails").await, 0);
    app.stop().await;
    let file = app.folder.path().join("config/default.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let on = format!("[mail]\nfrom = \"billing@purser.example\" # \nurl = \"{}\"\n", sink.url());
    let (before, after) = text.split_once("[mail]\n").expect("the section");
    let after = after.split_once("\n[").expect("a section after it").1;
    std::fs::write(&file, format!("{before}{on}\n[{after}")).expect("the configuration");
    app.start_again().await;
    app.move_clock("2018-06-01T01:00:00Z").await;
    app.move_clock("2018-06-01T02:00:00Z").await;
    told(app).await;
    eventually("all mail sent", PATIENCE, async || (states(app, "waiting").await == 0).then_some(())).await;
    let all = sink.mails();
    assert!(all.iter().any(|mail| mail.header("Subject").starts_with("Invoice P-2018-000002")), "{all:?}");
    assert!(!all.iter().any(|mail| mail.header("Subject").starts_with("Invoice P-2018-000001")), "{all:?}");
}

async fn mail_without_a_sender_stops_the_start(app: &App) {
    for (from, url, key) in [
        ("", "smtp://u:hush@127.0.0.1:1", "mail.from"),
        ("nobody", "smtp://u:hush@127.0.0.1:1", "mail.from"),
        ("a@b.example", "ftp://u:hush@127.0.0.1:1", "mail.url"),
    ] {
        let done = app.purser_with(&[("PURSER__MAIL__URL", url), ("PURSER__MAIL__FROM", from)], &["serve"]);
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(!done.status.success() && said.contains(key) && !said.contains("hush"), "{said}");
    }
    let _: Value = app.as_(SUE).await.get("/v1/organizations").await.ok();
}

/// the billing address is told of a credit note: why, how much, and where it went.
async fn r_43_a_credit_note_is_mailed(app: &App) {
    let (sue, payer) = buys(app, BILLS).await;
    app.move_clock("2018-05-01T02:00:00Z").await;
    transfer(app, &payer, "95.00", "T-1").await;
    let all = sue.all(&format!("/v1/subscriptions/{payer}/invoices")).await;
    let path = format!("/v1/invoices/{}/credit-notes", all[0]["id"].as_str().expect("an id"));
    let body = json!({"reason": "Out\nfor two days"});
    app.as_("olga@platform.example").await.post(&path, body).await.status(201);
    says(
        &mails(app).await,
        "Credit note CN-P-2018-000001: $105.00 on invoice P-2018-000001",
        &["Why:             Out for two days\n", "Not owed:        $10.00", "Kept as credit:  $95.00.", "PO 4711"],
    );
}
