//! `purser verify` proves the books from the facts, and finds one tampered row wherever it is.

use crate::at_purchase::{JOBS, OFFER};
use crate::payments::pays_by;
use serde_json::json;
use tests::{Actor, App, Billing, Db, Options, on_both};

on_both! {
    one_tampered_row_is_found: Options::at("2018-04-15T10:00:00Z").more_offers(OFFER);
}

/// What is damaged: a table, and a change or removal of one of its rows.
const DAMAGE: &[(&str, &str)] = &[
    // purchase
    ("purchases", "UPDATE purchases SET at = at + 1"),
    ("purchases", "UPDATE purchases SET state = 'undone' WHERE state = 'completed'"),
    ("purchases", "UPDATE purchases SET subscription_id = organization_id"),
    ("purchases", "DELETE FROM purchases"),
    // line
    (
        "purchases",
        "UPDATE purchases SET answer = replace(answer, '\"to\":5', '\"to\":6') WHERE answer LIKE '%\"to\":5%'",
    ),
    ("purchases", "UPDATE purchases SET answer = replace(answer, '12.75', '12.76') WHERE answer LIKE '%12.75%'"),
    (
        "purchases",
        "UPDATE purchases SET found = replace(found, '\"next\":5', '\"next\":6') WHERE found LIKE '%\"next\":5%'",
    ),
    ("purchases", "UPDATE purchases SET found = ''"),
    // one that was undone
    ("purchases", "UPDATE purchases SET undone = 'x' WHERE state = 'completed'"),
    ("purchases", "UPDATE purchases SET state = 'completed' WHERE state = 'undone'"),
    ("purchases", "UPDATE purchases SET state = 'completed', undone = '' WHERE state = 'undone'"),
    ("purchases", "UPDATE purchases SET undone = replace(undone, '3.37', '3.38') WHERE state = 'undone'"),
    ("charges", "UPDATE charges SET amount = amount + 1 WHERE amount < 0"),
    ("charges", "UPDATE charges SET amount = -amount WHERE amount < 0"),
    ("charges", "UPDATE charges SET month = '2018-05-01' WHERE amount < 0"),
    ("charges", "UPDATE charges SET bill = '2018-06-01' WHERE amount < 0"),
    ("charges", "UPDATE charges SET tax_rate = '19' WHERE amount < 0"),
    ("charges", "UPDATE charges SET purchase_id = id WHERE amount < 0"),
    (
        "charges",
        "UPDATE charges SET basis = replace(basis, '\"kept\":1', '\"kept\":0') WHERE basis LIKE '%\"kept\":1%'",
    ),
    ("charges", "DELETE FROM charges WHERE amount < 0"),
    ("transfers", "UPDATE transfers SET amount = amount + 1 WHERE debit LIKE 'deferred_revenue/%'"),
    ("transfers", "UPDATE transfers SET credit = debit || 'x' WHERE debit LIKE 'publisher_payable/%'"),
    ("transfers", "DELETE FROM transfers WHERE debit LIKE 'deferred_revenue/%'"),
    ("events", "DELETE FROM events WHERE kind = 'purchase.undone'"),
    ("links", "UPDATE links SET ended_at = ended_at + 1 WHERE ended_at IS NOT NULL"),
    ("links", "DELETE FROM links WHERE ended_at IS NOT NULL"),
    // paid at once, waiting and released
    ("purchases", "UPDATE purchases SET state = 'completed' WHERE state = 'pending'"),
    ("purchases", "DELETE FROM purchases WHERE state = 'pending'"),
    ("purchases", "UPDATE purchases SET at = at + 1 WHERE answer LIKE '%\"invoice\"%'"),
    ("collections", "UPDATE collections SET state = 'released' WHERE state = 'pending'"),
    ("collections", "UPDATE collections SET state = 'pending' WHERE state = 'completed'"),
    ("collections", "UPDATE collections SET reason = 'another' WHERE state = 'released'"),
    ("collections", "UPDATE collections SET subscription_id = purchase_id"),
    ("collections", "UPDATE collections SET payment_id = purchase_id"),
    ("collections", "UPDATE collections SET at = at + 1"),
    ("collections", "UPDATE collections SET settled_at = settled_at + 1"),
    ("collections", "DELETE FROM collections"),
    ("held_offers", "UPDATE held_offers SET purchase_id = organization_id"),
    ("held_offers", "UPDATE held_offers SET amount = amount + 1"),
    ("held_offers", "UPDATE held_offers SET renewal = renewal + 1"),
    ("held_offers", "UPDATE held_offers SET month = '2018-04-01'"),
    ("held_offers", "UPDATE held_offers SET subscription_id = organization_id"),
    ("held_offers", "DELETE FROM held_offers"),
    ("charges", "UPDATE charges SET bill = '2018-06-01' WHERE bill LIKE 'pur%'"),
    ("invoices", "UPDATE invoices SET bill = '2018-06-01' WHERE bill LIKE 'pur%'"),
    ("payments", "UPDATE payments SET purchase_id = id WHERE state = 'asked'"),
    ("payments", "UPDATE payments SET amount = amount + 1 WHERE state = 'asked'"),
    ("events", "DELETE FROM events WHERE kind = 'purchase.pending'"),
    ("events", "DELETE FROM events WHERE kind = 'purchase.released'"),
    // charge
    ("charges", "UPDATE charges SET amount = amount + 1"),
    ("charges", "UPDATE charges SET month = '2018-05-01'"),
    ("charges", "UPDATE charges SET basis = replace(basis, '5.10', '5.00') WHERE basis LIKE '%5.10%'"),
    ("charges", "DELETE FROM charges"),
    // what a new month charged
    ("charges", "UPDATE charges SET amount = amount + 1 WHERE month = '2018-05-01'"),
    ("charges", "UPDATE charges SET month = '2018-06-01' WHERE month = '2018-05-01'"),
    ("charges", "UPDATE charges SET purchase_id = id WHERE month = '2018-05-01'"),
    (
        "charges",
        "UPDATE charges SET basis = replace(basis, '5.10', '5.00') WHERE month = '2018-05-01' AND basis LIKE '%5.10%'",
    ),
    ("charges", "UPDATE charges SET tax_rate = '19' WHERE month = '2018-05-01'"),
    ("charges", "DELETE FROM charges WHERE month = '2018-05-01'"),
    (
        "events",
        "UPDATE events SET public = replace(public, '\"committed\":7', '\"committed\":8') WHERE kind = 'month.turned'",
    ),
    ("events", "DELETE FROM events WHERE kind = 'month.turned'"),
    // invoice
    ("invoices", "UPDATE invoices SET net = net + 1"),
    ("invoices", "UPDATE invoices SET tax = tax + 1, total = total + 1"),
    ("invoices", "UPDATE invoices SET number = 'P-2018-000099'"),
    ("invoices", "UPDATE invoices SET due_on = '2018-12-31'"),
    ("invoices", "UPDATE invoices SET bill = '2018-04-01'"),
    ("invoices", "UPDATE invoices SET document = replace(document, 'DE', 'FR') WHERE document LIKE '%\"DE\"%'"),
    ("invoices", "DELETE FROM invoices"),
    // its lines
    ("invoice_lines", "UPDATE invoice_lines SET slug = slug || 'x'"),
    ("invoice_lines", "UPDATE invoice_lines SET name = 'Another'"),
    ("invoice_lines", "UPDATE invoice_lines SET offer_name = 'Another'"),
    ("invoice_lines", "UPDATE invoice_lines SET tax = tax + 1"),
    ("invoice_lines", "UPDATE invoice_lines SET organization_net = organization_net + 1"),
    ("invoice_lines", "UPDATE invoice_lines SET place = place + 10"),
    ("invoice_lines", "UPDATE invoice_lines SET charge_id = invoice_id"),
    ("invoice_lines", "DELETE FROM invoice_lines"),
    ("counters", "UPDATE counters SET last = last + 1"),
    ("charges", "UPDATE charges SET bill = '2018-06-01' WHERE bill = '2018-05-01'"),
    ("transfers", "UPDATE transfers SET amount = amount + 1 WHERE debit LIKE 'receivable/%'"),
    ("transfers", "DELETE FROM transfers WHERE debit LIKE 'receivable/%'"),
    ("events", "DELETE FROM events WHERE kind = 'invoice.issued'"),
    // metered use
    ("usage_events", "UPDATE usage_events SET quantity = quantity + 1"),
    ("usage_events", "UPDATE usage_events SET id = id || 'x'"),
    ("usage_events", "UPDATE usage_events SET month = '2018-05-01' WHERE month = '2018-04-01'"),
    ("usage_events", "UPDATE usage_events SET at = at + 1"),
    ("usage_events", "UPDATE usage_events SET organization_id = offer_id"),
    ("usage_events", "DELETE FROM usage_events"),
    ("usage_months", "UPDATE usage_months SET used = used + 1"),
    ("usage_months", "UPDATE usage_months SET late = late + 1 WHERE late < used"),
    ("usage_months", "UPDATE usage_months SET month = '2018-03-01' WHERE month = '2018-04-01'"),
    ("usage_months", "UPDATE usage_months SET open = (1 = 1) WHERE month = '2018-04-01'"),
    ("usage_months", "UPDATE usage_months SET open = (1 = 0) WHERE month = '2018-05-01'"),
    ("usage_months", "UPDATE usage_months SET subscription_id = organization_id"),
    ("usage_months", "UPDATE usage_months SET subscription_id = organization_id WHERE month = '2018-05-01'"),
    ("usage_months", "DELETE FROM usage_months"),
    ("charges", "UPDATE charges SET amount = amount + 1 WHERE basis LIKE '%\"usage\"%'"),
    ("charges", "UPDATE charges SET basis = replace(basis, '\"late\":0', '\"late\":1') WHERE basis LIKE '%\"usage\"%'"),
    ("charges", "UPDATE charges SET tax_rate = '19' WHERE basis LIKE '%\"usage\"%'"),
    ("charges", "DELETE FROM charges WHERE basis LIKE '%\"usage\"%'"),
    ("events", "DELETE FROM events WHERE kind = 'usage.counted'"),
    // payment
    ("payments", "UPDATE payments SET amount = amount + 1"),
    ("payments", "UPDATE payments SET amount = amount + 1 WHERE state = 'declined'"),
    ("payments", "UPDATE payments SET state = 'received' WHERE state = 'declined'"),
    ("payments", "UPDATE payments SET state = 'declined', reason = 'card_declined' WHERE state = 'received'"),
    ("payments", "UPDATE payments SET state = 'asked' WHERE state = 'received' AND provider = 'simulated'"),
    ("payments", "UPDATE payments SET reason = 'another' WHERE state = 'declined'"),
    ("payments", "UPDATE payments SET provider = 'stripe' WHERE provider = 'simulated' AND state = 'received'"),
    ("payments", "UPDATE payments SET subscription_id = id"),
    ("payments", "UPDATE payments SET invoice_id = id WHERE provider = 'simulated'"),
    ("payments", "UPDATE payments SET attempt = attempt + 10 WHERE provider = 'simulated'"),
    ("payments", "UPDATE payments SET currency = 'USD'"),
    ("payments", "UPDATE payments SET received_on = '2018-05-03' WHERE state = 'received'"),
    ("payments", "UPDATE payments SET settled_at = settled_at + 1 WHERE state = 'received'"),
    ("payments", "UPDATE payments SET settled_at = settled_at + 1 WHERE state = 'declined'"),
    ("payments", "UPDATE payments SET asked_at = asked_at + 1 WHERE provider = 'simulated'"),
    ("payments", "UPDATE payments SET asked_at = asked_at + 1 WHERE provider = 'transfer'"),
    ("payments", "DELETE FROM payments WHERE provider = 'transfer'"),
    ("payments", "DELETE FROM payments WHERE state = 'declined'"),
    // where it went
    ("allocations", "UPDATE allocations SET amount = amount + 1"),
    ("allocations", "UPDATE allocations SET invoice_id = id"),
    ("allocations", "UPDATE allocations SET payment_id = id"),
    ("allocations", "UPDATE allocations SET subscription_id = id"),
    ("allocations", "UPDATE allocations SET at = at + 1"),
    ("allocations", "DELETE FROM allocations"),
    ("invoices", "UPDATE invoices SET paid = paid - 1 WHERE paid > 0"),
    ("subscriptions", "UPDATE subscriptions SET credit = credit + 1 WHERE credit > 0"),
    ("subscriptions", "UPDATE subscriptions SET credit = 1 WHERE credit = 0"),
    ("transfers", "UPDATE transfers SET amount = amount + 1 WHERE debit LIKE 'cash/%'"),
    ("transfers", "UPDATE transfers SET debit = 'cash/stripe' WHERE debit = 'cash/transfer'"),
    ("transfers", "UPDATE transfers SET credit = 'revenue' WHERE debit LIKE 'cash/%'"),
    ("transfers", "UPDATE transfers SET at = at + 1 WHERE debit LIKE 'cash/%'"),
    ("transfers", "UPDATE transfers SET amount = amount + 1 WHERE debit LIKE 'credit/%'"),
    ("transfers", "DELETE FROM transfers WHERE debit LIKE 'cash/%'"),
    ("transfers", "DELETE FROM transfers WHERE debit LIKE 'credit/%'"),
    ("events", "DELETE FROM events WHERE kind = 'payment.received'"),
    ("events", "DELETE FROM events WHERE kind = 'payment.declined'"),
    ("events", "DELETE FROM events WHERE kind = 'credit.used'"),
    // revenue, and the sums that are kept of the postings
    ("recognitions", "UPDATE recognitions SET amount = amount + 1"),
    ("recognitions", "UPDATE recognitions SET month = '2018-03-01'"),
    ("recognitions", "UPDATE recognitions SET account = account || 'x'"),
    ("recognitions", "UPDATE recognitions SET currency = 'XXX'"),
    ("recognitions", "UPDATE recognitions SET part = part + 1"),
    ("recognitions", "UPDATE recognitions SET at = at + 1"),
    ("recognitions", "DELETE FROM recognitions"),
    ("transfers", "UPDATE transfers SET amount = amount + 1 WHERE credit LIKE 'revenue/%'"),
    ("transfers", "UPDATE transfers SET credit = 'revenue/x' WHERE credit LIKE 'revenue/%'"),
    ("transfers", "DELETE FROM transfers WHERE credit LIKE 'revenue/%'"),
    ("events", "DELETE FROM events WHERE kind = 'revenue.recognized'"),
    ("ledger_days", "UPDATE ledger_days SET debit = debit + 1"),
    ("ledger_days", "UPDATE ledger_days SET credit = credit + 1 WHERE account = 'revenue'"),
    ("ledger_days", "UPDATE ledger_days SET day = '2018-04-14' WHERE day = '2018-05-01'"),
    ("ledger_days", "DELETE FROM ledger_days WHERE account = 'unbilled'"),
    ("deferred_months", "UPDATE deferred_months SET amount = amount + 1 WHERE month = '2018-05-01'"),
    ("deferred_months", "UPDATE deferred_months SET month = '2018-03-01' WHERE month = '2018-05-01'"),
    ("deferred_months", "DELETE FROM deferred_months WHERE month = '2018-05-01'"),
    // budget
    ("budgets", "UPDATE budgets SET amount = amount + 1"),
    ("budgets", "UPDATE budgets SET since = '2018-04-01'"),
    ("budgets", "UPDATE budgets SET organization_id = subscription_id"),
    ("budgets", "DELETE FROM budgets"),
    ("budget_months", "UPDATE budget_months SET charged = charged + 1"),
    ("budget_months", "UPDATE budget_months SET month = '2018-07-01'"),
    ("budget_months", "UPDATE budget_months SET warned_at = 1 WHERE warned_at = 0"),
    ("budget_months", "UPDATE budget_months SET warned_at = 0 WHERE warned_at > 0"),
    ("budget_months", "DELETE FROM budget_months"),
    ("subscriptions", "UPDATE subscriptions SET budgeted = (1 = 0) WHERE budgeted"),
    ("subscriptions", "UPDATE subscriptions SET budgeted = (1 = 1) WHERE NOT budgeted"),
    ("events", "DELETE FROM events WHERE kind = 'budget.set'"),
    ("events", "DELETE FROM events WHERE kind = 'budget.warned'"),
    // entitlement
    ("entitlements", "UPDATE entitlements SET committed = committed + 1"),
    ("entitlements", "UPDATE entitlements SET next = next + 1"),
    ("entitlements", "UPDATE entitlements SET charged = charged + 1"),
    ("entitlements", "UPDATE entitlements SET purchase_id = offer_id"),
    ("entitlements", "DELETE FROM entitlements"),
    // what SQLite keeps of the entitlements
    ("renewals", "UPDATE renewals SET organizations = organizations + 1"),
    ("renewals", "DELETE FROM renewals"),
    // link
    ("links", "UPDATE links SET subscription_id = organization_id"),
    ("links", "UPDATE links SET ended_at = linked_at WHERE ended_at IS NULL"),
    ("links", "DELETE FROM links"),
    // price version
    ("prices", "UPDATE prices SET spec = replace(spec, '5.10', '5.00') WHERE spec LIKE '%5.10%'"),
    ("prices", "UPDATE prices SET spec = replace(spec, '52.00', '51.00') WHERE spec LIKE '%52.00%'"),
    ("prices", "UPDATE prices SET valid_from = '2018-04-16' WHERE spec LIKE '%5.10%'"),
    ("prices", "DELETE FROM prices WHERE spec LIKE '%5.10%'"),
    // credit notes, refunds, and credits that were granted
    ("credit_notes", "UPDATE credit_notes SET net = net + 1, total = total + 1"),
    ("credit_notes", "UPDATE credit_notes SET number = 'CN-P-2018-000099'"),
    ("credit_notes", "UPDATE credit_notes SET reduced = reduced - 1 WHERE reduced > 0"),
    ("credit_notes", "UPDATE credit_notes SET reason = 'Another'"),
    ("credit_notes", "UPDATE credit_notes SET issued_on = '2018-01-01'"),
    ("credit_notes", "UPDATE credit_notes SET document = replace(document, 'DE', 'FR') WHERE document LIKE '%\"DE\"%'"),
    ("credit_notes", "DELETE FROM credit_notes"),
    ("credit_note_lines", "UPDATE credit_note_lines SET net = net + 1"),
    ("credit_note_lines", "UPDATE credit_note_lines SET tax = tax + 1"),
    ("credit_note_lines", "UPDATE credit_note_lines SET earlier = earlier + 1"),
    ("credit_note_lines", "UPDATE credit_note_lines SET charge_id = credit_note_id"),
    ("credit_note_lines", "DELETE FROM credit_note_lines"),
    ("invoices", "UPDATE invoices SET credited = credited + 1 WHERE credited > 0 AND credited < total"),
    ("invoices", "UPDATE invoices SET reduced = reduced - 1 WHERE reduced > 0"),
    ("refunds", "UPDATE refunds SET amount = amount + 1"),
    ("refunds", "UPDATE refunds SET state = 'declined' WHERE state = 'refunded'"),
    ("refunds", "UPDATE refunds SET reference = 'x'"),
    ("refunds", "UPDATE refunds SET payment_id = id"),
    ("refunds", "DELETE FROM refunds"),
    ("payments", "UPDATE payments SET refunded = refunded - 1 WHERE refunded > 0"),
    ("credits", "UPDATE credits SET amount = amount + 1"),
    ("credits", "UPDATE credits SET reason = 'Another'"),
    ("credits", "DELETE FROM credits"),
    ("events", "DELETE FROM events WHERE kind = 'credit_note.issued'"),
    ("events", "DELETE FROM events WHERE kind = 'refund.paid'"),
    // ledger
    ("transfers", "UPDATE transfers SET amount = amount + 1"),
    ("transfers", "UPDATE transfers SET credit = debit || 'x'"),
    ("transfers", "DELETE FROM transfers WHERE leg = (SELECT max(leg) FROM transfers)"),
    ("unbilled", "UPDATE unbilled SET amount = amount + 1"),
    // audit
    ("events", "UPDATE events SET public = replace(public, '5', '6') WHERE public LIKE '%5%'"),
    ("events", "UPDATE events SET at = at + 1"),
    ("events", "UPDATE events SET actor = 'system' WHERE actor LIKE 'usr%'"),
    ("events", "DELETE FROM events"),
    ("blocks", "UPDATE blocks SET at = at + 1"),
    ("blocks", "DELETE FROM blocks WHERE number = (SELECT max(number) FROM blocks)"),
];

async fn one_tampered_row_is_found(app: &App) {
    let ada = app.as_("ada@fabrikam.example").await;
    let payer = ada.subscription("Fabrikam Europe").await;
    // A first purchase is undone, and its link with it.
    let undone = [("ms.build-release-hosted-pipelines", 3), ("berichthaus.tfstimetracker", 12)];
    let undone = ada.buys_all("fabrikam", &undone, Billing::Existing(&payer)).await.status(201);
    crate::undo::undo(&ada, &undone).await.ok();
    let all = [("ms.vss-vstsuser", 5), ("berichthaus.tfstimetracker", 12)];
    ada.buys_all("fabrikam", &all, Billing::Existing(&payer)).await.status(201);
    ada.buys("fabrikam", "ms.vss-vstsuser", 7, Billing::Linked).await.status(201);
    used(app, "2018-04-15T09:00:00Z").await;
    ada.put(&format!("/v1/subscriptions/{payer}/budget"), json!({"amount": "115.00", "currency": "EUR"})).await.ok();
    ada.put("/v1/organizations/fabrikam/budget", json!({"amount": "9000.00", "currency": "EUR"})).await.ok();
    // Another payer's card is declined, and replaced.
    let sue = app.as_("sue@fabrikam.example").await;
    sue.buys("tailspin", "ms.feed", 5, Billing::Linked).await.status(201);
    let other = sue.subscription("Fabrikam Production").await;
    pays_by(&sue, &other, "tok_expired").await;
    let olga = app.as_("olga@platform.example").await;
    transfers(&olga, &payer, "1.00", "T-1").await;
    app.move_clock("2018-05-02T00:00:00Z").await;
    used(app, "2018-05-01T09:00:00Z").await;
    pays_by(&sue, &other, "tok_ok").await;
    // Credit is used, the rest comes in two parts, and there is credit again.
    transfers(&olga, &payer, "2.00", "T-2").await;
    credited(&ada, &olga, &payer, json!({"reason": "w"})).await;
    transfers(&olga, &payer, "900.00", "T-3").await;
    // Of what was billed some is credited: what was open, and what is paid back and refused.
    credited(&sue, &olga, &other, json!({"reason": "x", "refund": true})).await;
    credited(&ada, &olga, &payer, json!({"reason": "y", "refund": true, "refund_reference": "BACK"})).await;
    let granted = json!({"amount": {"amount": "5.00", "currency": "EUR"}, "reason": "z"});
    olga.post(&format!("/v1/subscriptions/{payer}/credits"), granted).await.status(201);
    ada.buys("fabrikam", "ms.vss-vstsuser", 9, Billing::Linked).await.status(201);
    ada.put(&format!("/v1/subscriptions/{payer}/budget"), json!({"amount": "100.00", "currency": "EUR"})).await.ok();
    app.move_clock("2018-05-02T00:00:01Z").await;
    // Paid at once, declined, and waiting for an answer that does not come.
    for (token, status) in [("tok_ok", 201), ("tok_expired", 402), ("tok_away", 202)] {
        pays_by(&sue, &other, token).await;
        let has = sue.entitlement("tailspin", JOBS).await["next"].as_i64().expect("a number");
        sue.buys("tailspin", JOBS, has + 4, Billing::Linked).await.status(status);
    }
    app.events().await;
    app.stop().await;
    app.verify();
    let database = &app.database;
    let mut missed = Vec::new();
    for (table, damage) in DAMAGE {
        if *table == "renewals" && database.db == Db::Postgres {
            continue;
        }
        database.sql(&format!("CREATE TABLE kept AS SELECT * FROM {table}")).await;
        assert!(database.sql(&one_row(table, damage)).await > 0, "{damage}: nothing was damaged");
        let done = app.purser(&["verify"]);
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        if done.status.code() != Some(1) || said.contains("panicked") || said.trim().is_empty() {
            missed.push(format!("{damage}: {}: {said}", done.status));
        }
        database.sql(&format!("DELETE FROM {table}")).await;
        database.sql(&format!("INSERT INTO {table} SELECT * FROM kept")).await;
        database.sql("DROP TABLE kept").await;
        app.verify();
    }
    assert!(missed.is_empty(), "verify did not find:\n{}", missed.join("\n"));
}

/// Load testing is used, above what is included and below.
async fn used(app: &App, at: &str) {
    let (ada, platform) = (app.as_("ada@fabrikam.example").await, app.platform().await);
    let items = serde_json::json!([{ "offer": "ms.load-testing", "metered": { "on": true } }]);
    ada.post("/v1/purchases", serde_json::json!({ "organization": "fabrikam", "items": items })).await.status(201);
    let event = |n: i64| {
        serde_json::json!({ "id": format!("{at}-{n}"), "organization": "fabrikam", "offer": "ms.load-testing",
            "quantity": 20_000 + n, "at": at })
    };
    platform.post("/v1/usage", serde_json::json!([event(1), event(2)])).await.ok();
}

/// The first line of a payer's invoice is credited in part, and then again.
async fn credited(holder: &Actor, olga: &Actor, payer: &str, mut body: serde_json::Value) {
    let all = holder.all(&format!("/v1/subscriptions/{payer}/invoices")).await;
    let id = all[0]["id"].as_str().expect("an id");
    let invoice = holder.get(&format!("/v1/invoices/{id}")).await.ok();
    for amount in ["1.00", "0.37"] {
        let amount = json!({"amount": amount, "currency": invoice["total"]["currency"]});
        body["lines"] = json!([{"charge": invoice["lines"][0]["charge"], "amount": amount}]);
        olga.post(&format!("/v1/invoices/{id}/credit-notes"), body.clone()).await.status(201);
    }
}

async fn transfers(olga: &Actor, payer: &str, amount: &str, reference: &str) {
    let amount = json!({"amount": amount, "currency": "EUR"});
    let body = json!({"amount": amount, "received_on": "2018-04-15", "reference": reference});
    olga.post(&format!("/v1/subscriptions/{payer}/payments"), body).await.status(201);
}

/// The damage done to one row only, the first that it fits.
fn one_row(table: &str, damage: &str) -> String {
    let key = match table {
        "entitlements" | "held_offers" => "offer_id",
        "collections" => "purchase_id",
        "transfers" => "fact",
        "unbilled" | "renewals" => "subscription_id",
        "budgets" => "organization_id",
        "budget_months" => "charged",
        "counters" => "name",
        "invoice_lines" => "charge_id",
        "usage_months" | "deferred_months" => "month",
        "ledger_days" => "account",
        "credit_note_lines" => "credit_note_id",
        _ => "id",
    };
    let (act, fits) = damage.split_once(" WHERE ").unwrap_or((damage, "1 = 1"));
    format!("{act} WHERE {key} = (SELECT {key} FROM {table} WHERE {fits} ORDER BY {key} LIMIT 1) AND {fits}")
}
