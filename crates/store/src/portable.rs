//! The whole database as rows that either database takes: what backups, restores and moves between the two are made of.
//!
//! A row is one line of JSON, an array with a cell a column: text as it is, whole numbers, `true` and `false`, UUIDs and
//! bytes in hexadecimal, `null`. The same rows give the same lines on SQLite and PostgreSQL, and a set of lines is loaded
//! by one statement. Reading pages by the primary key within one snapshot keeps memory at a page.

mod tables;

pub use tables::{LEFT_BEHIND, TABLES, Table};

use crate::db::SCHEMA_LOCK;
use crate::{Db, Reads, StoreError, Tx};
use kernel::{Timestamp, micros};
use sea_orm::{DatabaseBackend, QueryResult, TryGetable, Value};
use serde::{Deserialize, Serialize};

/// Rows of one page.
const PAGE: i64 = 500;
/// Bytes of a name in PostgreSQL, at most.
const NAME: usize = 63;

/// What a column holds; any may be NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A UUID, 32 hexadecimal digits.
    Uuid,
    /// A 64-bit integer.
    Int,
    /// Text.
    Text,
    /// Bytes, in hexadecimal.
    Bytes,
    /// True or false.
    Bool,
}

/// Name and columns of a table whose rows are to be loaded: of this version's schema or of an earlier one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The table.
    pub table: String,
    /// Its columns, in the order of a row's cells.
    pub columns: Vec<(String, Kind)>,
}

impl Table {
    /// Name and columns.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let columns = self.columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Shape { table: self.name.to_owned(), columns }
    }
}

/// Reads a table page by page, in the order of its key.
#[derive(Debug)]
pub struct Pages<'a> {
    tx: &'a Tx,
    table: &'static Table,
    last: Option<Vec<Value>>,
}

impl<'a> Pages<'a> {
    /// From the first row on, as `tx`, a snapshot, sees the table.
    #[must_use]
    pub fn of(tx: &'a Tx, table: &'static Table) -> Self {
        Self { tx, table, last: None }
    }

    /// The next rows, a line each; none at the end.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn next(&mut self) -> Result<Vec<String>, StoreError> {
        let Table { name, key, columns } = self.table;
        let names = columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let order = key.join(", ");
        let mut values = self.last.take().unwrap_or_default();
        let after = if values.is_empty() {
            String::new()
        } else {
            let last = (1..=values.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
            format!("WHERE ({order}) > ({last})")
        };
        let limit = values.len() + 1;
        values.push(PAGE.into());
        let sql = format!("SELECT {names} FROM {name} {after} ORDER BY {order} LIMIT ${limit}");
        let rows = self.tx.query(&sql, values).await?;
        if let Some(row) = rows.last() {
            let kept = |column: &&str| {
                let kind = columns.iter().find(|(name, _)| name == column).map(|(_, kind)| *kind);
                key_cell(row, column, kind.unwrap_or(Kind::Text))
            };
            self.last = Some(key.iter().map(kept).collect::<Result<_, _>>()?);
        }
        rows.iter().map(|row| line(name, columns, row)).collect()
    }
}

fn line(table: &str, columns: &[(&str, Kind)], row: &QueryResult) -> Result<String, StoreError> {
    let cells = columns.iter().map(|(name, kind)| cell(row, name, *kind)).collect::<Result<Vec<_>, _>>();
    let cells = cells.map_err(|error| StoreError::corrupt(format!("{table}: {error}")))?;
    Ok(serde_json::Value::Array(cells).to_string())
}

fn cell(row: &QueryResult, column: &str, kind: Kind) -> Result<serde_json::Value, StoreError> {
    Ok(match kind {
        Kind::Uuid => read::<uuid::Uuid>(row, column)?.map(|id| id.simple().to_string()).into(),
        Kind::Int => read::<i64>(row, column)?.into(),
        Kind::Text => read::<String>(row, column)?.into(),
        Kind::Bytes => read::<Vec<u8>>(row, column)?.map(hex::encode).into(),
        Kind::Bool => read::<bool>(row, column)?.into(),
    })
}

fn key_cell(row: &QueryResult, column: &str, kind: Kind) -> Result<Value, StoreError> {
    Ok(match kind {
        Kind::Uuid => read::<uuid::Uuid>(row, column)?.into(),
        Kind::Int => read::<i64>(row, column)?.into(),
        Kind::Text => read::<String>(row, column)?.into(),
        Kind::Bytes => read::<Vec<u8>>(row, column)?.into(),
        Kind::Bool => read::<bool>(row, column)?.into(),
    })
}

fn read<T: TryGetable>(row: &QueryResult, column: &str) -> Result<Option<T>, StoreError> {
    row.try_get("", column).map_err(|e| StoreError::corrupt(format!("{column}: {e}")))
}

/// Loads rows into an empty database, within one transaction.
#[derive(Debug)]
pub struct Load<'a> {
    tx: &'a Tx,
}

impl<'a> Load<'a> {
    /// Holds the tables until the end of `tx`, which writes, and makes sure that nothing is in them. None where the
    /// database is empty, else the first table that is not.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn begin(tx: &'a Tx) -> Result<Result<Self, &'static str>, StoreError> {
        let postgres = tx.backend() == DatabaseBackend::Postgres;
        if postgres {
            // A server that starts meanwhile waits, and then gives up.
            tx.query(SCHEMA_LOCK, vec![]).await?;
        }
        for table in TABLES {
            // Of an earlier schema, a later table may not be there yet.
            if !exists(tx, table.name).await? {
                continue;
            }
            if postgres {
                tx.execute(&format!("LOCK TABLE {} IN EXCLUSIVE MODE", table.name), vec![]).await?;
            }
            if tx.query_one(&format!("SELECT 1 AS one FROM {} LIMIT 1", table.name), vec![]).await?.is_some() {
                return Ok(Err(table.name));
            }
        }
        Ok(Ok(Self { tx }))
    }

    /// Loads rows of a table, lines as [`Pages`] gives them.
    ///
    /// # Errors
    /// As [`StoreError`] says; [`StoreError::Refused`] for a shape or rows that are none.
    pub async fn rows(&self, shape: &Shape, lines: &[String]) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        let sql = insert(self.tx.backend(), shape)?;
        let rows = format!("[{}]", lines.join(","));
        let written = self.tx.execute(&sql, vec![rows.into()]).await?;
        if u64::try_from(lines.len()) == Ok(written) {
            return Ok(());
        }
        Err(StoreError::Refused(format!("{}: {} rows were given, {written} written", shape.table, lines.len())))
    }

    /// What is left to do when all rows are there: numbers that the database gives go on after them.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn finish(self) -> Result<(), StoreError> {
        if self.tx.backend() == DatabaseBackend::Postgres {
            for (table, column) in tables::NUMBERED {
                let sequence = format!("pg_get_serial_sequence('{table}', '{column}')");
                let sql = format!("SELECT setval({sequence}, MAX({column})) FROM {table} HAVING MAX({column}) > 0");
                self.tx.query(&sql, vec![]).await?;
            }
        }
        Ok(())
    }
}

/// The statement that loads a set of lines, its one parameter.
fn insert(backend: DatabaseBackend, shape: &Shape) -> Result<String, StoreError> {
    let fit = |name: &str| {
        (1..=NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let names: Vec<&str> = shape.columns.iter().map(|(name, _)| name.as_str()).collect();
    let refused = !fit(&shape.table) || names.is_empty() || !names.iter().all(|name| fit(name));
    if refused || LEFT_BEHIND.contains(&shape.table.as_str()) {
        return Err(StoreError::Refused(format!("{:?} is no table of a backup", shape.table)));
    }
    let cells: Vec<String> =
        shape.columns.iter().enumerate().map(|(place, (_, kind))| kind.select(backend, place)).collect();
    let source = match backend {
        DatabaseBackend::Postgres => "json_array_elements($1::json) AS r(value)",
        _ => "json_each($1) AS r",
    };
    Ok(format!("INSERT INTO {} ({}) SELECT {} FROM {source}", shape.table, names.join(", "), cells.join(", ")))
}

impl Kind {
    /// The cell at `place` of a line, as a column takes it.
    fn select(self, backend: DatabaseBackend, place: usize) -> String {
        let cell = format!("r.value->>{place}");
        match (self, backend) {
            (Self::Uuid, DatabaseBackend::Postgres) => format!("({cell})::uuid"),
            (Self::Int, DatabaseBackend::Postgres) => format!("({cell})::bigint"),
            (Self::Bool, DatabaseBackend::Postgres) => format!("({cell})::boolean"),
            (Self::Bytes, DatabaseBackend::Postgres) => format!("decode({cell}, 'hex')"),
            (Self::Uuid | Self::Bytes, _) => format!("unhex({cell})"),
            _ => cell,
        }
    }
}

async fn exists(tx: &Tx, table: &str) -> Result<bool, StoreError> {
    let sql = match tx.backend() {
        DatabaseBackend::Postgres => "SELECT 1 AS one WHERE to_regclass($1) IS NOT NULL",
        _ => "SELECT 1 AS one FROM sqlite_master WHERE type = 'table' AND name = $1",
    };
    Ok(tx.query_one(sql, vec![table.into()]).await?.is_some())
}

/// The lease that a running server holds on the database at `now`, real time; none where none runs, or where one was
/// killed and its leases ran out.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn held(reads: &impl Reads, now: Timestamp) -> Result<Option<String>, StoreError> {
    use crate::row::Row;
    let rows = reads.rows("SELECT name FROM leases WHERE until > $1 LIMIT 1", vec![micros(now).into()]).await?;
    rows.first().map(|row| row.text("name")).transpose()
}

/// Keeps others from writing (SQLite) or from starting to serve (PostgreSQL) until the transaction ends; it writes
/// nothing itself.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn hold_still(db: &Db) -> Result<Tx, StoreError> {
    match db.schema_guard().await? {
        Some(guard) => Ok(guard),
        None => db.begin_till().await,
    }
}

/// Lets the database know how large its tables are now, which after a load it would learn only by and by.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn analyse(db: &Db) -> Result<(), StoreError> {
    let tx = db.begin_till().await?;
    tx.execute("ANALYZE", vec![]).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests;
