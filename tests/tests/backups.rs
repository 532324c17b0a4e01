//! `backup`, `restore` and `move`: what comes out of either database goes into either, to the byte, or not at all.

use crate::buyer::{Buyer, LOAD, ORGANIZATIONS, USERS};
use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tests::{App, Billing, Database, Db, Options, eventually, join_all, on_both, output, seeds};

on_both! {
    a_backup_under_load_restores_into_either: Options::new().seed(&seeds::load(ORGANIZATIONS));
    moved_there_and_back: Options::new();
    a_damaged_backup_is_refused: Options::new();
    a_backup_of_an_earlier_version_is_brought_up_to_date: Options::at("2018-04-15T10:00:00Z");
    nothing_is_overwritten: Options::new();
    a_killed_restore_leaves_nothing: Options::new();
    sessions_stay_behind: Options::new();
}

const BOTH: [Db; 2] = [Db::Sqlite, Db::Postgres];

fn said(done: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

#[track_caller]
fn succeeds(command: Command) -> String {
    let done = output(command);
    assert!(done.status.success(), "{}: {}", done.status, said(&done));
    said(&done)
}

#[track_caller]
fn fails(command: Command, because: &str) {
    let done = output(command);
    assert!(!done.status.success() && said(&done).contains(because), "{because}? {}: {}", done.status, said(&done));
}

fn path(app: &App, name: &str) -> String {
    app.folder.path().join(name).to_str().expect("a plain path").to_owned()
}

/// The lines of a backup.
fn lines(file: &str) -> Vec<String> {
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(file).expect("a backup")).read_to_string(&mut text).expect("gzip of text");
    text.lines().map(str::to_owned).collect()
}

/// All rows of a database, as a backup has them: without what says when and by what it was made.
fn rows(app: &App, database: &Database) -> Vec<String> {
    let file = path(app, &format!("{}.backup", rand::random::<u64>()));
    succeeds(app.command_on(database, &["backup", &file]));
    let lines = lines(&file);
    lines[1..lines.len() - 1].to_vec()
}

/// Purchases acknowledged before a backup began are in it; wherever it is restored, the same keys get the same answers
/// and all goes on from there.
async fn a_backup_under_load_restores_into_either(app: &App) {
    let mut buyers = Buyer::all(&app.as_(LOAD).await);
    let (acknowledged, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let file = path(app, "under-load.backup");
    let backup = async {
        while acknowledged.load(Ordering::Relaxed) < 40 {
            tokio::task::yield_now().await;
        }
        let before = acknowledged.load(Ordering::Relaxed);
        let command = app.command(&["backup", &file]);
        let printed = tokio::task::spawn_blocking(|| succeeds(command)).await.expect("a backup");
        assert!(printed.contains("secret file"), "{printed}");
        let during = acknowledged.load(Ordering::Relaxed) - before;
        done.store(true, Ordering::Relaxed);
        (before, during)
    };
    let load = join_all(buyers.iter_mut().map(async |buyer| {
        let mut known = None;
        while !done.load(Ordering::Relaxed) {
            assert!(buyer.buy_one().await);
            if acknowledged.fetch_add(1, Ordering::Relaxed) < 40 {
                known = Some(buyer.bought.len());
            }
        }
        known.unwrap_or(0)
    }));
    let ((before, during), known) = tokio::join!(backup, load);
    assert!(before >= 40 && during > 0, "{during} purchases beside the backup");
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    let written = lines(&file);

    for db in BOTH {
        let database = app.new_database(db).await;
        let printed = succeeds(app.command_on(&database, &["restore", &file]));
        assert!(printed.contains("the books follow from the facts"), "{printed}");
        assert_eq!(rows(app, &database), written[1..written.len() - 1], "restored into {db:?}");
        let copy = app.beside(database);
        for (buyer, known) in buyers.iter().zip(&known) {
            let there = buyer.actor.at(copy.url());
            for (key, body, answer) in &buyer.bought[..*known] {
                let again = there.post_keyed("/v1/purchases", body, key).await;
                assert!(again.replayed() && again.body == answer.body, "{again}");
            }
            there.buys(&buyer.organization, USERS, 9_000, Billing::Linked).await.status(201);
        }
        copy.finish().await;
    }
    for buyer in &mut buyers {
        buyer.settle().await;
    }
}

/// Into the other database and back into the first kind: each time the rows are the same, and the source untouched.
async fn moved_there_and_back(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let body = tests::body_of("tailspin", tests::items_of(&[(USERS, 5)]), Billing::Linked);
    let bought = sue.post_keyed("/v1/purchases", &body, "moved").await;
    bought.status(201);
    app.events().await;
    let [other, back] = match app.database.db {
        Db::Sqlite => [Db::Postgres, Db::Sqlite],
        Db::Postgres => [Db::Sqlite, Db::Postgres],
    };
    let there = app.new_database(other).await;
    fails(app.command(&["move", "--to", &there.url]), "a server holds the source");
    app.stop().await;
    let before = rows(app, &app.database);
    fails(app.command(&["move", "--to", &app.database.url]), "not empty");
    let printed = succeeds(app.command(&["move", "--to", &there.url]));
    assert!(printed.contains("the books follow from the facts") && !printed.contains(&there.url), "{printed}");
    assert_eq!(rows(app, &app.database), before, "the source is as it was");
    assert_eq!(rows(app, &there), before);
    fails(app.command(&["move", "--to", &there.url]), "not empty");

    let back = app.new_database(back).await;
    succeeds(app.command_on(&there, &["move", "--to", &back.url]));
    assert_eq!(rows(app, &back), before);
    for database in [there, back] {
        let copy = app.beside(database);
        let again = sue.at(copy.url()).post_keyed("/v1/purchases", &body, "moved").await;
        assert!(again.replayed() && again.body == bought.body, "{again}");
        sue.at(copy.url()).buys("tailspin", USERS, 6, Billing::Linked).await.status(201);
        copy.finish().await;
    }
}

/// Whatever is wrong with a file, the database stays empty, and the message says what to do.
async fn a_damaged_backup_is_refused(app: &App) {
    let file = path(app, "whole.backup");
    app.prints(&["backup", &file]);
    let whole = std::fs::read(&file).expect("the backup");
    let middle = whole.len() / 2;
    let flipped = [&whole[..middle], &[whole[middle] ^ 0xff], &whole[middle + 1..]].concat();
    let later = |from: &str, to: &str| {
        let text = lines(&file).join("\n") + "\n";
        assert!(text.contains(from), "{from}");
        packed(&text.replacen(from, to, 1))
    };
    let database = app.new_database(app.database.db).await;
    for (name, bytes, because) in [
        ("flipped", flipped, "damaged"),
        ("cut", whole[..whole.len() - 9].to_vec(), "damaged"),
        ("long", [&whole[..], b"rubbish"].concat(), "damaged"),
        ("format", later("\"purser_backup\":1", "\"purser_backup\":2"), "a later one"),
        ("schema", later("\"m0001_first_purchase\"", "\"m9999_to_come\""), "m9999_to_come"),
        ("changed", later("tailspin", "tailspun"), "damaged"),
        ("foreign", b"-- PostgreSQL database dump".to_vec(), "no backup"),
    ] {
        let file = path(app, name);
        std::fs::write(&file, bytes).expect("the file");
        fails(app.command_on(&database, &["restore", &file]), because);
    }
    fails(app.command_on(&database, &["restore", &path(app, "unheard-of")]), "cannot be read");
    succeeds(app.command_on(&database, &["migrate"]));
    assert_eq!(database.number("SELECT count(*) FROM users").await, 0);
    succeeds(app.command_on(&database, &["restore", &file]));
    database.remove().await;
}

/// Takes the last columns of a row, or of a table's head.
fn cut(line: &mut Value, columns: usize) {
    let cells = if line.is_array() { line } else { &mut line["columns"] };
    let cells = cells.as_array_mut().expect("columns");
    cells.truncate(cells.len() - columns);
}

/// Rows without what purchases keep for their undoing, which cannot be made up for those of an earlier version.
fn before_undo(rows: &[String]) -> Vec<Value> {
    let mut columns = 0;
    let rows = rows.iter().map(|line| {
        let mut value: Value = serde_json::from_str(line).expect("JSON");
        match value["table"].as_str() {
            Some("purchases") => columns = 2,
            Some("entitlements") => columns = 1,
            Some(_) => columns = 0,
            None => {}
        }
        if columns > 0 {
            cut(&mut value, columns);
        }
        value
    });
    rows.collect()
}

/// Before the shop there were no checkouts: its step is taken after the rows are there.
async fn a_backup_of_an_earlier_version_is_brought_up_to_date(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    sue.buys("tailspin", "ms.vss-vstsuser", 10, Billing::Linked).await.status(201);
    app.events().await;
    // A server writes it when it starts.
    app.database.sql("DELETE FROM mail_cursor").await;
    let file = path(app, "now.backup");
    app.prints(&["backup", &file]);
    let mut now: Vec<String> = lines(&file);
    let mut trailer: Value = serde_json::from_str(&now.pop().expect("a trailer")).expect("JSON");
    let steps = [
        "m0002_shop",
        "m0003_months",
        "m0004_invoices",
        "m0005_links",
        "m0006_invoice_lines",
        "m0007_kept",
        "m0008_usage",
    ];
    let steps: String = steps
        .iter()
        .chain(&["m0010_payments", "m0011_mail", "m0012_resume", "m0013_undo", "m0014_credit_notes", "m0015_budgets"])
        .chain(&["m0016_ledger", "m0017_tax", "m0018_collections"])
        .map(|step| format!(",\"{step}\""))
        .collect();
    assert!(now[0].contains(&steps), "{}", now[0]);
    let mut earlier = vec![now[0].replace(&steps, "")];
    // What later steps brought: tables, and the last columns of some.
    let new = [
        "checkouts",
        "counters",
        "invoices",
        "invoice_lines",
        "usage_events",
        "usage_months",
        "payments",
        "allocations",
        "budgets",
        "budget_months",
        "collections",
        "held_offers",
        "simulated_payments",
        "provider_customers",
        "mails",
        "mail_cursor",
        "tax_confirmations",
        "credit_notes",
        "credit_note_lines",
        "refunds",
        "credits",
        "recognitions",
    ];
    let mut table = String::new();
    for line in &now[1..] {
        let mut value: Value = serde_json::from_str(line).expect("JSON");
        if let Some(name) = value["table"].as_str() {
            name.clone_into(&mut table);
        }
        match table.as_str() {
            name if new.contains(&name) => continue,
            name @ ("subscriptions" | "charges" | "purchases" | "entitlements") => {
                let later = match name {
                    "subscriptions" => 4,
                    "purchases" => 2,
                    _ => 1,
                };
                cut(&mut value, later);
                earlier.push(value.to_string());
            }
            // It was by the month of the service; now it is by the bill.
            "unbilled" => earlier.push(line.replace("2018-05-01", "2018-04-01")),
            _ => earlier.push(line.clone()),
        }
    }
    for table in new {
        assert_eq!(trailer["rows"].as_object_mut().expect("counts").remove(table), Some(0.into()));
    }
    let text = earlier.join("\n") + "\n";
    trailer["sha256"] = hex::encode(Sha256::digest(&text)).into();
    let earlier = path(app, "earlier.backup");
    std::fs::write(&earlier, packed(&format!("{text}{trailer}\n"))).expect("the file");

    let database = app.new_database(app.database.db).await;
    // The rows are there; that no earlier version told of what a purchase found is what the proof says of this one.
    fails(app.command_on(&database, &["restore", &earlier]), "SHA-256 of found");
    assert!(succeeds(app.command_on(&database, &["check"])).contains("the schema is up to date"));
    assert_eq!(before_undo(&rows(app, &database)), before_undo(&rows(app, &app.database)));
    database.remove().await;
    let migrated = app.new_database(app.database.db).await;
    succeeds(app.command_on(&migrated, &["migrate"]));
    fails(app.command_on(&migrated, &["restore", &earlier]), "give a new, empty database");
    migrated.remove().await;
}

/// What a backup of these lines is as a file.
fn packed(text: &str) -> Vec<u8> {
    let mut out = flate2::GzBuilder::new().operating_system(255).write(Vec::new(), flate2::Compression::default());
    out.write_all(text.as_bytes()).expect("memory");
    out.finish().expect("memory")
}

async fn nothing_is_overwritten(app: &App) {
    let file = path(app, "first.backup");
    app.prints(&["backup", &file]);
    let first = std::fs::read(&file).expect("the backup");
    fails(app.command(&["backup", &file]), "overwrites nothing");
    fails(app.command(&["restore", &file]), "not empty");
    fails(app.command(&["backup", &path(app, "no/such/folder")]), "cannot write");
    assert_eq!(std::fs::read(&file).expect("the backup"), first);
    let left = |path: &Path| std::fs::read_dir(path).expect("the folder").flatten().map(|file| file.file_name());
    assert!(!left(app.folder.path()).any(|name| name.to_string_lossy().contains("partial")), "a draft is left");

    let database = app.new_database(app.database.db).await;
    let mut without = app.command_on(&database, &["restore", &file]);
    without.env("PURSER__SERVER__SECRET_FILE", path(app, "lost"));
    fails(without, "put that of the installation there first");
    // At its end the server signs a checkpoint, which another secret cannot prove: the rows are there all the same.
    let sue = app.as_("sue@fabrikam.example").await;
    sue.buys("tailspin", USERS, 5, Billing::Linked).await.status(201);
    app.stop().await;
    let signed = path(app, "signed.backup");
    app.prints(&["backup", &signed]);
    std::fs::write(path(app, "another"), "ab".repeat(32)).expect("the file");
    let mut another = app.command_on(&database, &["restore", &signed]);
    another.env("PURSER__SERVER__SECRET_FILE", path(app, "another"));
    fails(another, "checkpoint");
    assert_eq!(rows(app, &database), rows(app, &app.database));
    succeeds(app.command_on(&database, &["verify"]));
    database.remove().await;
}

/// `kill -9` while rows are being loaded, which a slow trigger on the last large table makes sure of.
async fn a_killed_restore_leaves_nothing(app: &App) {
    let file = path(app, "whole.backup");
    app.prints(&["backup", &file]);
    let database = app.new_database(app.database.db).await;
    succeeds(app.command_on(&database, &["migrate"]));
    let postgres = database.db == Db::Postgres;
    if postgres {
        let wait = "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(300); RETURN new; END $$";
        database.sql(&format!("CREATE FUNCTION wait() {wait}")).await;
        database.sql("CREATE TRIGGER slow BEFORE INSERT ON events EXECUTE FUNCTION wait()").await;
    } else {
        let numbers = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1e15) SELECT n FROM c";
        let slow = format!("SELECT count(*) FROM ({numbers})");
        database.sql(&format!("CREATE TRIGGER slow BEFORE INSERT ON events BEGIN {slow}; END")).await;
    }
    let mut restore = app.command_on(&database, &["restore", &file]);
    let mut restore = restore.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("purser starts");
    let sleeping =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    eventually("a restore amid its rows", Duration::from_secs(60), async || {
        let amid = if postgres { database.number(sleeping).await > 0 } else { busy(restore.id()) };
        amid.then_some(())
    })
    .await;
    restore.kill().expect("it runs");
    restore.wait().expect("its end");
    for table in ["users", "purchases", "blocks", "events"] {
        assert_eq!(database.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    if postgres {
        // The database would learn only after its sleep that nobody waits for it any more.
        database.sql(&sleeping.replace("count(*)", "pg_terminate_backend(pid)")).await;
    }
    database.sql(if postgres { "DROP TRIGGER slow ON events" } else { "DROP TRIGGER slow" }).await;
    succeeds(app.command_on(&database, &["restore", &file]));
    assert_eq!(rows(app, &database), rows(app, &app.database));
    database.remove().await;
}

/// Whether a process has worked for two seconds: by then it is where it never ends.
fn busy(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a running process");
    let after_name = stat.rsplit_once(')').expect("its name").1;
    let ticks = after_name.split_whitespace().nth(11).and_then(|ticks| ticks.parse::<u64>().ok());
    ticks.expect("its time") > 200
}

/// All tables are in a backup but those that must not: a session would be good in the copy, a lease would be waited for.
async fn sessions_stay_behind(app: &App) {
    let bytes = |byte: &str| match app.database.db {
        Db::Sqlite => format!("x'{}'", byte.repeat(32)),
        Db::Postgres => format!("'\\x{}'::bytea", byte.repeat(32)),
    };
    let session = format!("SELECT {}, id, 1, 9000000000000000 FROM users LIMIT 1", bytes("ab"));
    app.database.sql(&format!("INSERT INTO sessions (hash, user_id, created_at, expires_at) {session}")).await;
    let checkout = "SELECT id, id, '{\"quantity\":5}', '', '', 1, 9000000000000000 FROM users LIMIT 1";
    let columns = "id, user_id, draft, success_url, cancel_url, created_at, expires_at";
    app.database.sql(&format!("INSERT INTO checkouts ({columns}) {checkout}")).await;
    let file = path(app, "whole.backup");
    app.prints(&["backup", &file]);
    let listed = lines(&file).iter().filter(|line| line.starts_with("{\"table\"")).count();
    // Sessions, leases, steps and the sums of the ledger; on SQLite also the three tables that its triggers keep.
    let behind = if app.database.db == Db::Sqlite { 8 } else { 5 };
    let all = match app.database.db {
        Db::Sqlite => "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        Db::Postgres => "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'",
    };
    assert_eq!(i64::try_from(listed + behind), Ok(app.database.number(all).await));
    let trailer: Value = serde_json::from_str(lines(&file).last().expect("a line")).expect("JSON");
    assert!(trailer["rows"]["users"].as_u64().is_some_and(|users| users > 0), "{trailer}");
    let database = app.new_database(app.database.db).await;
    succeeds(app.command_on(&database, &["restore", &file]));
    assert_eq!(database.number("SELECT count(*) FROM sessions").await, 0);
    assert_eq!(database.number("SELECT count(*) FROM leases").await, 0);
    assert_eq!(database.number("SELECT count(*) FROM checkouts").await, 1);
    database.remove().await;
}
