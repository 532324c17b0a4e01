//! The ledger read by account: what each account came to day by day, what is deferred by month of service, and what of it
//! was recognized as revenue.
//!
//! Sums are kept by triggers on `transfers`, whoever writes there. On PostgreSQL each connection has rows of its own
//! (`writer`), so that no two transactions wait for each other; what is read is their sum.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, TABLES, &[]).await?;
        let connection = manager.get_connection();
        let backend = manager.get_database_backend();
        let sqlite = backend == DatabaseBackend::Sqlite;
        for sum in [DAYS, DEFERRED] {
            connection.execute_unprepared(&kept_sum(backend, sum)).await?;
        }
        // An account's entries, in the order in which their facts came to be; letter by letter, whatever the database's language.
        let bytes = if sqlite { "" } else { " COLLATE \"C\"" };
        for side in ["debit", "credit"] {
            let index = format!("CREATE INDEX transfers_by_{side} ON transfers ({side}{bytes}, fact, leg)");
            connection.execute_unprepared(&index).await?;
        }
        let triggers = if sqlite { sqlite_triggers() } else { postgres_triggers() };
        for statement in triggers {
            connection.execute_unprepared(&statement).await?;
        }
        Ok(())
    }
}

const TABLES: &[&str] = &[
    // `account` is a control account: those of payers and offers are one each, those of providers, countries and publishers
    // each their own.
    "CREATE TABLE ledger_days (
        account TEXT NOT NULL,
        currency TEXT NOT NULL,
        day TEXT NOT NULL,
        writer BIGINT NOT NULL,
        debit BIGINT NOT NULL,
        credit BIGINT NOT NULL,
        PRIMARY KEY (account, currency, day, writer))",
    // What is in an account of deferred revenue for a month of service: of a charge that of its service, of what was
    // recognized the month that it was recognized for, of all else the month in which it was posted.
    "CREATE TABLE deferred_months (
        month TEXT NOT NULL,
        account TEXT NOT NULL,
        currency TEXT NOT NULL,
        writer BIGINT NOT NULL,
        amount BIGINT NOT NULL,
        PRIMARY KEY (month, account, currency, writer))",
    // Revenue of an offer in a month of service, by its account of deferred revenue; `part` counts from 0 what was recognized of it at different times, for
    // something may be charged late. Minor units, less than 0 where more was taken back.
    "CREATE TABLE recognitions (
        id UUID NOT NULL PRIMARY KEY,
        month TEXT NOT NULL,
        account TEXT NOT NULL,
        currency TEXT NOT NULL,
        part BIGINT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount <> 0),
        at BIGINT NOT NULL,
        UNIQUE (month, account, currency, part))",
];

/// A kept sum: its table with its key and amounts, and the rows that a set of postings `t` adds to it (`{by}` of each).
struct Sum {
    insert: &'static str,
    add: &'static str,
    rows: &'static str,
}

const DAYS: &Sum = &Sum {
    insert: "INSERT INTO ledger_days (account, currency, day, writer, debit, credit)",
    add: "ON CONFLICT (account, currency, day, writer) \
          DO UPDATE SET debit = ledger_days.debit + excluded.debit, credit = ledger_days.credit + excluded.credit",
    rows: "SELECT account, currency, day, {writer}, {whole}SUM(debit){end}, {whole}SUM(credit){end} FROM ( \
             SELECT {control:debit} AS account, currency, {day} AS day, {by} AS debit, 0 AS credit FROM {set} t \
             UNION ALL SELECT {control:credit}, currency, {day}, 0, {by} FROM {set} t) x \
           WHERE true GROUP BY account, currency, day ORDER BY account, currency, day",
};

const DEFERRED: &Sum = &Sum {
    insert: "INSERT INTO deferred_months (month, account, currency, writer, amount)",
    add: "ON CONFLICT (month, account, currency, writer) \
          DO UPDATE SET amount = deferred_months.amount + excluded.amount",
    rows: "SELECT month, account, currency, {writer}, {whole}SUM(amount){end} FROM ( \
             SELECT COALESCE((SELECT c.month FROM charges c WHERE c.id = t.fact), \
                (SELECT r.month FROM recognitions r WHERE r.id = t.fact), {month}) AS month, \
                CASE WHEN t.credit LIKE 'deferred_revenue/%' THEN t.credit ELSE t.debit END AS account, currency, \
                CASE WHEN t.credit LIKE 'deferred_revenue/%' THEN {by} ELSE -{by} END AS amount \
             FROM {set} t WHERE t.credit LIKE 'deferred_revenue/%' OR t.debit LIKE 'deferred_revenue/%') x \
           WHERE true GROUP BY month, account, currency ORDER BY month, account, currency",
};

/// The control account that an account is part of, or itself.
fn control(backend: DatabaseBackend, account: &str) -> String {
    let head = match backend {
        DatabaseBackend::Sqlite => format!("substr({account}, 1, instr({account} || '/', '/') - 1)"),
        _ => format!("split_part({account}, '/', 1)"),
    };
    format!(
        "CASE WHEN {account} LIKE 'cash/%' OR {account} LIKE 'tax/%' OR {account} LIKE 'publisher_payable/%' \
         THEN {account} ELSE {head} END"
    )
}

/// The statement that adds a set of postings to a sum, each counted `sign` times its amount.
fn statement(backend: DatabaseBackend, sum: &Sum, set: &str, sign: &str) -> String {
    let (day, writer, whole, end) = match backend {
        DatabaseBackend::Sqlite => ("date(t.at / 1000000, 'unixepoch')", "0", "", ""),
        _ => (
            "to_char(to_timestamp(t.at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
            "pg_backend_pid()",
            "CAST(",
            " AS BIGINT)",
        ),
    };
    let month = format!("substr({day}, 1, 8) || '01'");
    let rows = sum
        .rows
        .replace("{control:debit}", &control(backend, "t.debit"))
        .replace("{control:credit}", &control(backend, "t.credit"))
        .replace("{day}", day)
        .replace("{month}", &month)
        .replace("{writer}", writer)
        .replace("{whole}", whole)
        .replace("{end}", end)
        .replace("{by}", &format!("({sign} * t.amount)"))
        .replace("{set}", set);
    format!("{} {rows} {}", sum.insert, sum.add)
}

/// The sum of what is there already.
fn kept_sum(backend: DatabaseBackend, sum: &Sum) -> String {
    statement(backend, sum, "transfers", "1")
}

/// A row at a time, each side for itself: what a set of one row would cost is several times that. What is changed by hand is
/// followed too, so that `purser verify` finds the row and not the sum.
fn sqlite_triggers() -> Vec<String> {
    let day = "date({row}.at / 1000000, 'unixepoch')";
    let side = |row: &str, side: &str, sign: &str| {
        let by = format!("{sign} * {row}.amount");
        let amounts = if side == "debit" { format!("{by}, 0") } else { format!("0, {by}") };
        let (account, day) = (control(DatabaseBackend::Sqlite, &format!("{row}.{side}")), day.replace("{row}", row));
        format!("{} VALUES ({account}, {row}.currency, {day}, 0, {amounts}) {};", DAYS.insert, DAYS.add)
    };
    let deferred = |row: &str, side: &str, sign: &str| {
        format!(
            "{} SELECT COALESCE((SELECT month FROM charges WHERE id = {row}.fact), \
             (SELECT month FROM recognitions WHERE id = {row}.fact), substr({}, 1, 8) || '01'), \
             {row}.{side}, {row}.currency, 0, {sign} * {row}.amount \
             WHERE {row}.{side} >= 'deferred_revenue/' AND {row}.{side} < 'deferred_revenue0' {};",
            DEFERRED.insert,
            day.replace("{row}", row),
            DEFERRED.add
        )
    };
    let adds = |row: &str, plus: &str, minus: &str| {
        [
            side(row, "debit", plus),
            side(row, "credit", plus),
            deferred(row, "credit", plus),
            deferred(row, "debit", minus),
        ]
        .concat()
    };
    let (new, old) = (adds("NEW", "1", "-1"), adds("OLD", "-1", "1"));
    vec![
        format!("CREATE TRIGGER ledger_of_new AFTER INSERT ON transfers BEGIN {new} END"),
        format!("CREATE TRIGGER ledger_of_changed AFTER UPDATE ON transfers BEGIN {old} {new} END"),
        format!("CREATE TRIGGER ledger_of_removed AFTER DELETE ON transfers BEGIN {old} END"),
    ]
}

/// Once a statement, for all of its rows.
fn postgres_triggers() -> Vec<String> {
    let backend = DatabaseBackend::Postgres;
    let adds = |set: &str, sign: &str| [DAYS, DEFERRED].map(|sum| statement(backend, sum, set, sign) + ";").concat();
    let (new, old) = (adds("new_rows", "1"), adds("old_rows", "-1"));
    vec![
        "ALTER TABLE ledger_days SET (fillfactor = 50)".to_owned(),
        "ALTER TABLE deferred_months SET (fillfactor = 50)".to_owned(),
        format!(
            "CREATE FUNCTION ledger_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF TG_OP <> 'INSERT' THEN {old} END IF; IF TG_OP <> 'DELETE' THEN {new} END IF; RETURN NULL; END $$"
        ),
        "CREATE TRIGGER ledger_of_new AFTER INSERT ON transfers REFERENCING NEW TABLE AS new_rows \
         FOR EACH STATEMENT EXECUTE FUNCTION ledger_kept()"
            .to_owned(),
        "CREATE TRIGGER ledger_of_changed AFTER UPDATE ON transfers REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows \
         FOR EACH STATEMENT EXECUTE FUNCTION ledger_kept()"
            .to_owned(),
        "CREATE TRIGGER ledger_of_removed AFTER DELETE ON transfers REFERENCING OLD TABLE AS old_rows \
         FOR EACH STATEMENT EXECUTE FUNCTION ledger_kept()"
            .to_owned(),
    ]
}
