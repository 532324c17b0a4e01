//! The ledger read by account: trial balance, entries, and revenue that is recognized month by month.

use crate::row::Row;
use crate::sheet::{Columns, Kind, Sheet, selected, source};
use crate::till::TRANSFERS;
use crate::{Reads, StoreError, Tx};
use chrono::NaiveDate;
use kernel::{Currency, Month, RecognitionId, Timestamp, micros};
use sea_orm::DatabaseBackend;
use uuid::Uuid;

/// What was debited and credited to an account in one currency, minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// The account: one for all payers, or offers, of a kind; else its own name.
    pub account: String,
    /// The currency.
    pub currency: Currency,
    /// Sum of its debits.
    pub debit: i64,
    /// Sum of its credits.
    pub credit: i64,
}

/// All accounts at the end of a day, by currency and name.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn trial_balance(reads: &impl Reads, on: NaiveDate) -> Result<Vec<AccountRow>, StoreError> {
    let sql = "SELECT account, currency, CAST(SUM(debit) AS BIGINT) AS debit, CAST(SUM(credit) AS BIGINT) AS credit \
         FROM ledger_days WHERE day <= $1 GROUP BY account, currency ORDER BY currency, account";
    let rows = reads.rows(sql, vec![on.to_string().into()]).await?;
    rows.iter()
        .map(|row| {
            Ok(AccountRow {
                account: row.text("account")?,
                currency: row.word("currency")?,
                debit: row.int("debit")?,
                credit: row.int("credit")?,
            })
        })
        .collect()
}

/// One side of a posting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// The account.
    pub account: String,
    /// What it is of.
    pub fact: Uuid,
    /// The table of that; empty for none known here.
    pub kind: String,
    /// Which of the fact's postings.
    pub leg: i64,
    /// Whether the account was debited, else credited.
    pub debited: bool,
    /// The account on the other side.
    pub contra: String,
    /// Minor units.
    pub amount: i64,
    /// In which currency.
    pub currency: Currency,
    /// When.
    pub at: Timestamp,
}

/// Where a page of entries ends: account, fact and leg.
pub type EntryPlace = (String, Uuid, i64);

/// Entries of an account, or of all whose names begin with `account` and a slash; account by account, in the order in which
/// their facts came to be, after one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn entries(
    reads: &impl Reads,
    account: &str,
    after: Option<EntryPlace>,
    limit: i64,
) -> Result<Vec<EntryRow>, StoreError> {
    let bytes = if reads.backend() == DatabaseBackend::Sqlite { "" } else { " COLLATE \"C\"" };
    // Names hold nothing below a space; what follows a slash is a zero.
    let (first, end) = if account.contains('/') {
        (account.to_owned(), format!("{account}\u{1}"))
    } else {
        (format!("{account}/"), format!("{account}0"))
    };
    let (name, fact, leg) = after.filter(|(name, ..)| *name >= first).unwrap_or_else(|| (first, Uuid::nil(), -1));
    let side = |side: &str, contra: &str, debited: i32| {
        format!(
            "SELECT * FROM (SELECT {side} AS account, {contra} AS contra, {debited} AS debited, fact, leg, amount, currency, at \
             FROM transfers WHERE ({side}{bytes}, fact, leg) > ($1, $2, $3) AND {side}{bytes} < $4 \
             ORDER BY {side}{bytes}, fact, leg LIMIT $5) {side}s"
        )
    };
    let of = |table: &str| format!("WHEN EXISTS (SELECT 1 FROM {table} f WHERE f.id = t.fact) THEN '{table}'");
    let kinds =
        ["charges", "invoices", "payments", "allocations", "recognitions", "credit_notes", "refunds", "credits"]
            .map(of);
    let sql = format!(
        "SELECT t.*, CASE {} ELSE '' END AS kind FROM (SELECT * FROM ({} UNION ALL {}) b \
         ORDER BY account{bytes}, fact, leg LIMIT $5) t ORDER BY account{bytes}, fact, leg",
        kinds.join(" "),
        side("debit", "credit", 1),
        side("credit", "debit", 0)
    );
    let values = vec![name.into(), fact.into(), leg.into(), end.into(), limit.into()];
    reads.rows(&sql, values).await?.iter().map(entry).collect()
}

fn entry(row: &sea_orm::QueryResult) -> Result<EntryRow, StoreError> {
    let debited: i32 = row.try_get("", "debited").map_err(|e| StoreError::corrupt(format!("debited: {e}")))?;
    let fact: uuid::Uuid = row.try_get("", "fact").map_err(|e| StoreError::corrupt(format!("fact: {e}")))?;
    Ok(EntryRow {
        account: row.text("account")?,
        fact,
        kind: row.text("kind")?,
        leg: row.int("leg")?,
        debited: debited == 1,
        contra: row.text("contra")?,
        amount: row.int("amount")?,
        currency: row.word("currency")?,
        at: row.instant("at")?,
    })
}

/// The first month of service before `month` of which something is still deferred.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn first_deferred(reads: &impl Reads, month: Month) -> Result<Option<Month>, StoreError> {
    let sql = "SELECT month FROM deferred_months WHERE month < $1 AND amount <> 0 ORDER BY month LIMIT 1";
    let rows = reads.rows(sql, vec![month.to_string().into()]).await?;
    rows.first().map(|row| row.word("month")).transpose()
}

/// What is deferred in an account for a month of service, minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeferredRow {
    /// The account.
    pub account: String,
    /// Its currency.
    pub currency: Currency,
    /// How much.
    pub amount: i64,
}

/// Takes what is deferred for a month of service out of the sums that are kept, so that nobody else recognizes it: several rows
/// an account, one a connection that wrote. What is not recognized in this transaction has to be put back.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn take_deferred(tx: &Tx, month: Month) -> Result<Vec<DeferredRow>, StoreError> {
    let sql = "DELETE FROM deferred_months WHERE month = $1 RETURNING account, currency, amount";
    let rows = tx.query(sql, vec![month.to_string().into()]).await?;
    rows.iter()
        .map(|row| {
            Ok(DeferredRow {
                account: row.text("account")?,
                currency: row.word("currency")?,
                amount: row.int("amount")?,
            })
        })
        .collect()
}

/// How often something of a month of service was recognized, by account and currency.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn parts(reads: &impl Reads, month: Month) -> Result<Vec<DeferredRow>, StoreError> {
    let sql =
        "SELECT account, currency, COUNT(*) AS parts FROM recognitions WHERE month = $1 GROUP BY account, currency";
    let rows = reads.rows(sql, vec![month.to_string().into()]).await?;
    let row = |row: &sea_orm::QueryResult| {
        Ok(DeferredRow { account: row.text("account")?, currency: row.word("currency")?, amount: row.int("parts")? })
    };
    rows.iter().map(row).collect()
}

/// Revenue that was recognized, with its posting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecognitionRow {
    /// Its id.
    pub id: RecognitionId,
    /// The month of service.
    pub month: Month,
    /// The account of deferred revenue that it was in.
    pub account: String,
    /// Its currency.
    pub currency: Currency,
    /// How often something was recognized of the month before.
    pub part: i64,
    /// Minor units; less than 0 where more was taken back than was charged.
    pub amount: i64,
    /// When.
    pub at: Timestamp,
    /// The posting: debit, credit, minor units.
    pub posting: (String, String, i64),
}

const DEFERRED: Columns =
    &[("month", Kind::Text), ("account", Kind::Text), ("currency", Kind::Text), ("amount", Kind::Int)];

const RECOGNITIONS: Columns = &[
    ("id", Kind::Uuid),
    ("month", Kind::Text),
    ("account", Kind::Text),
    ("currency", Kind::Text),
    ("part", Kind::Int),
    ("amount", Kind::Int),
    ("at", Kind::Int),
];

/// Writes what was recognized of a month after [`take_deferred`]; its postings take it out of the sums.
///
/// # Errors
/// [`StoreError::Conflict`] where another did; else as [`StoreError`] says.
pub async fn recognize(tx: &Tx, month: Month, recognized: &[RecognitionRow]) -> Result<(), StoreError> {
    let (mut sums, mut rows, mut postings) = (Sheet::new(DEFERRED), Sheet::new(RECOGNITIONS), Sheet::new(TRANSFERS));
    for row in recognized {
        let (id, currency, at) = (row.id.uuid(), row.currency.code(), micros(row.at));
        sums.push([month.to_string().into(), row.account.as_str().into(), currency.into(), row.amount.into()]);
        rows.push([
            id.into(),
            row.month.to_string().into(),
            row.account.as_str().into(),
            currency.into(),
            row.part.into(),
            row.amount.into(),
            at.into(),
        ]);
        let (debit, credit, amount) = &row.posting;
        postings.push([
            id.into(),
            0_i64.into(),
            debit.as_str().into(),
            credit.as_str().into(),
            (*amount).into(),
            currency.into(),
            at.into(),
        ]);
    }
    if !sums.is_empty() {
        // Under the name of this connection, as its postings will be: the two add up to nothing.
        let writer = if tx.backend() == DatabaseBackend::Sqlite { "0" } else { "pg_backend_pid()" };
        let (cells, set) = (selected(tx.backend(), DEFERRED), source(tx.backend(), DEFERRED, 1));
        let sql = format!(
            "INSERT INTO deferred_months (month, account, currency, amount, writer) SELECT {cells}, {writer} FROM {set}"
        );
        tx.execute(&sql, sums.into_values(tx.backend())).await?;
    }
    crate::sheet::insert(tx, "recognitions", RECOGNITIONS, rows, "").await?;
    crate::sheet::insert(tx, "transfers", TRANSFERS, postings, "").await?;
    let sql = "DELETE FROM deferred_months WHERE month = $1 AND amount = 0";
    tx.execute(sql, vec![month.to_string().into()]).await?;
    Ok(())
}
