//! What was recognized as revenue, and the sums that are kept of the ledger's postings.

use super::{looked_up, read_all};
use crate::row::Row;
use crate::{Reads, StoreError};
use kernel::RecognitionId;
use sea_orm::DatabaseBackend;

/// What was recognized as revenue.
#[derive(Clone, Debug)]
pub struct RecognitionProof {
    /// Its id.
    pub id: RecognitionId,
    /// The month of service.
    pub month: String,
    /// The account that it was deferred in.
    pub account: String,
    /// In which currency.
    pub currency: String,
    /// How often something of the month was recognized before.
    pub part: i64,
    /// Minor units.
    pub amount: i64,
    /// When, microseconds since 1970.
    pub at: i64,
}

/// Recognitions by their ids.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn recognitions(reads: &impl Reads, ids: &[RecognitionId]) -> Result<Vec<RecognitionProof>, StoreError> {
    let rows = looked_up(reads, ids, |set| format!("SELECT t.* FROM {set} JOIN recognitions t ON t.id = r.id")).await?;
    read_all("recognitions", &rows, |row| {
        Ok(RecognitionProof {
            id: row.id("id")?,
            month: row.text("month")?,
            account: row.text("account")?,
            currency: row.text("currency")?,
            part: row.int("part")?,
            amount: row.int("amount")?,
            at: row.int("at")?,
        })
    })
}

/// The day of an instant, and the first part of an account's name, as the triggers have them.
fn words(backend: DatabaseBackend) -> (&'static str, impl Fn(&str) -> String) {
    let day = match backend {
        DatabaseBackend::Sqlite => "date(t.at / 1000000, 'unixepoch')",
        _ => "to_char(to_timestamp(t.at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    };
    let head = move |side: &str| match backend {
        DatabaseBackend::Sqlite => format!("substr(t.{side}, 1, instr(t.{side} || '/', '/') - 1)"),
        _ => format!("split_part(t.{side}, '/', 1)"),
    };
    (day, head)
}

/// The first day of an account that is not what was posted: as it is named, what is stored, and what was posted.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn ledger_days_difference(reads: &impl Reads) -> Result<Option<(String, String, String)>, StoreError> {
    let (day, head) = words(reads.backend());
    let side = |side: &str, debit: &str, credit: &str| {
        let head = head(side);
        format!(
            "SELECT CASE WHEN {head} IN ('cash', 'tax', 'publisher_payable') THEN t.{side} ELSE {head} END AS account, \
             t.currency, {day} AS day, 0 AS stored_debit, 0 AS stored_credit, {debit} AS debit, {credit} AS credit FROM transfers t"
        )
    };
    let sql = format!(
        "SELECT account, currency, day, CAST(SUM(stored_debit) AS BIGINT) AS stored_debit, \
         CAST(SUM(stored_credit) AS BIGINT) AS stored_credit, CAST(SUM(debit) AS BIGINT) AS debit, \
         CAST(SUM(credit) AS BIGINT) AS credit FROM ( \
         SELECT account, currency, day, debit AS stored_debit, credit AS stored_credit, 0 AS debit, 0 AS credit FROM ledger_days \
         UNION ALL {} UNION ALL {}) x GROUP BY account, currency, day \
         HAVING SUM(stored_debit) <> SUM(debit) OR SUM(stored_credit) <> SUM(credit) ORDER BY day, account, currency LIMIT 1",
        side("debit", "t.amount", "0"),
        side("credit", "0", "t.amount"),
    );
    let rows = reads.rows(&sql, vec![]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let name = format!("{} in {} on {}", row.text("account")?, row.text("currency")?, row.text("day")?);
    let said = |debit, credit| Ok::<_, StoreError>(format!("debit {}, credit {}", row.int(debit)?, row.int(credit)?));
    Ok(Some((name, said("stored_debit", "stored_credit")?, said("debit", "credit")?)))
}

/// The first month of service for which not what was charged, less what was recognized, is kept as deferred: as it is named, what
/// is stored, and what is left of the postings; minor units.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn deferred_difference(reads: &impl Reads) -> Result<Option<(String, i64, i64)>, StoreError> {
    let (day, head) = words(reads.backend());
    let side = |side: &str, amount: &str| {
        format!(
            "SELECT COALESCE(c.month, r.month, substr({day}, 1, 8) || '01') AS month, t.{side} AS account, t.currency, \
             0 AS stored, {amount} AS posted FROM transfers t LEFT JOIN charges c ON c.id = t.fact \
             LEFT JOIN recognitions r ON r.id = t.fact WHERE {} = 'deferred_revenue'",
            head(side)
        )
    };
    let sql = format!(
        "SELECT month, account, currency, CAST(SUM(stored) AS BIGINT) AS stored, CAST(SUM(posted) AS BIGINT) AS posted FROM ( \
         SELECT month, account, currency, amount AS stored, 0 AS posted FROM deferred_months UNION ALL {} UNION ALL {}) x \
         GROUP BY month, account, currency HAVING SUM(stored) <> SUM(posted) ORDER BY month, account, currency LIMIT 1",
        side("credit", "t.amount"),
        side("debit", "-t.amount"),
    );
    let rows = reads.rows(&sql, vec![]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let name = format!("{} in {} for {}", row.text("account")?, row.text("currency")?, row.text("month")?);
    Ok(Some((name, row.int("stored")?, row.int("posted")?)))
}

/// The first month of service of which something was left when it was recognized, for nothing was posted for it since: as it is
/// named, and what is left, minor units.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn left_unrecognized(reads: &impl Reads) -> Result<Option<(String, i64)>, StoreError> {
    let (day, _) = words(reads.backend());
    // Few: what was charged late and waits for the next run.
    let sql = format!(
        "SELECT d.month, d.account, d.currency, d.amount FROM ( \
         SELECT month, account, currency, CAST(SUM(amount) AS BIGINT) AS amount FROM deferred_months \
         GROUP BY month, account, currency HAVING SUM(amount) <> 0) d \
         JOIN (SELECT month, account, currency, MAX(at) AS at FROM recognitions GROUP BY month, account, currency) l \
            ON l.month = d.month AND l.account = d.account AND l.currency = d.currency \
         WHERE NOT EXISTS (SELECT 1 FROM transfers t LEFT JOIN charges c ON c.id = t.fact \
            WHERE d.account IN (t.debit, t.credit) AND t.currency = d.currency AND t.at >= l.at \
            AND COALESCE(c.month, substr({day}, 1, 8) || '01') = d.month \
            AND NOT EXISTS (SELECT 1 FROM recognitions r WHERE r.id = t.fact)) ORDER BY d.month, d.account, d.currency LIMIT 1"
    );
    let rows = reads.rows(&sql, vec![]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let name = format!("{} in {} for {}", row.text("account")?, row.text("currency")?, row.text("month")?);
    Ok(Some((name, row.int("amount")?)))
}
