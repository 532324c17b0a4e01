//! Rows handed to a statement as a set, so that its text never varies with their number and stays prepared.
//!
//! On PostgreSQL a sheet is one array a column (`UNNEST`), on SQLite one JSON text (`json_each`); a statement names the
//! set `{rows}` and reads it as `r`, with `r.n` the row's number from 1.

use crate::{StoreError, Tx};
use sea_orm::sea_query::ArrayType;
use sea_orm::{DatabaseBackend, Value};
use std::fmt::Write as _;
use uuid::Uuid;

/// What a column holds. Arrays cannot carry NULL, so a nullable column has a value that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A UUID.
    Uuid,
    /// A UUID; the nil one is NULL.
    NullUuid,
    /// A 64-bit integer.
    Int,
    /// Text.
    Text,
    /// Text; the empty one is NULL.
    NullText,
    /// Bytes.
    Bytes,
    /// Bytes; none is NULL.
    NullBytes,
    /// True or false.
    Bool,
}

impl Kind {
    fn postgres(self) -> (&'static str, ArrayType) {
        match self {
            Self::Uuid | Self::NullUuid => ("uuid", ArrayType::Uuid),
            Self::Int => ("bigint", ArrayType::BigInt),
            Self::Text | Self::NullText => ("text", ArrayType::String),
            Self::Bytes | Self::NullBytes => ("bytea", ArrayType::Bytes),
            Self::Bool => ("boolean", ArrayType::Bool),
        }
    }

    fn stored_as_hex(self) -> bool {
        matches!(self, Self::Uuid | Self::NullUuid | Self::Bytes | Self::NullBytes)
    }

    /// How a column of this kind is selected from the set.
    fn select(self, backend: DatabaseBackend, name: &str) -> String {
        let postgres = backend == DatabaseBackend::Postgres;
        match self {
            Self::NullText => format!("NULLIF(r.{name}, '')"),
            Self::NullUuid if postgres => format!("NULLIF(r.{name}, '00000000-0000-0000-0000-000000000000'::uuid)"),
            Self::NullUuid => format!("NULLIF(r.{name}, zeroblob(16))"),
            Self::NullBytes if postgres => format!("NULLIF(r.{name}, ''::bytea)"),
            Self::NullBytes => format!("NULLIF(r.{name}, x'')"),
            _ => format!("r.{name}"),
        }
    }
}

/// Names and kinds of a set's columns.
pub type Columns = &'static [(&'static str, Kind)];

/// The set as a statement names it: `… AS r(a, b, n)`, its parameters from `$first` on.
#[must_use]
pub fn source(backend: DatabaseBackend, columns: Columns, first: usize) -> String {
    let mut text = String::new();
    if backend == DatabaseBackend::Sqlite {
        text.push_str("(SELECT ");
        for (place, (name, kind)) in columns.iter().enumerate() {
            let value = format!("value->>{place}");
            let value = if kind.stored_as_hex() { format!("unhex({value})") } else { value };
            let _ = write!(text, "{value} AS {name}, ");
        }
        let _ = write!(text, "key + 1 AS n FROM json_each(${first})) AS r");
        return text;
    }
    text.push_str("UNNEST(");
    for (place, (_, kind)) in columns.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}${}::{}[]", first + place, kind.postgres().0);
    }
    text.push_str(") WITH ORDINALITY AS r(");
    for (name, _) in columns {
        let _ = write!(text, "{name}, ");
    }
    text.push_str("n)");
    text
}

/// The columns, selected from the set.
#[must_use]
pub fn selected(backend: DatabaseBackend, columns: Columns) -> String {
    columns.iter().map(|(name, kind)| kind.select(backend, name)).collect::<Vec<_>>().join(", ")
}

/// The statement that writes a set into `table`, its parameters from `$first` on.
#[must_use]
pub fn insert_statement(backend: DatabaseBackend, table: &str, columns: Columns, tail: &str, first: usize) -> String {
    let names = columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    // SQLite needs the WHERE to tell ON CONFLICT from a join's ON.
    let (selected, source) = (selected(backend, columns), source(backend, columns, first));
    format!("INSERT INTO {table} ({names}) SELECT {selected} FROM {source} WHERE true {tail}")
}

/// Writes a set into `table`; nothing for no rows. Answers the rows written.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn insert(tx: &Tx, table: &str, columns: Columns, rows: Sheet, tail: &str) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let sql = insert_statement(tx.backend(), table, columns, tail, 1);
    tx.execute(&sql, rows.into_values(tx.backend())).await
}

/// The rows.
#[derive(Clone, Debug)]
pub struct Sheet {
    columns: Columns,
    cells: Vec<Vec<Value>>,
    rows: usize,
}

impl Sheet {
    /// No rows yet.
    #[must_use]
    pub fn new(columns: Columns) -> Self {
        Self { columns, cells: vec![Vec::new(); columns.len()], rows: 0 }
    }

    /// Adds a row, its cells in the columns' order.
    pub fn push<const N: usize>(&mut self, row: [Value; N]) {
        debug_assert_eq!(N, self.columns.len(), "a row has a cell a column");
        for (column, cell) in self.cells.iter_mut().zip(row) {
            column.push(cell);
        }
        self.rows += 1;
    }

    /// True without rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// The statement's parameters that carry the rows.
    #[must_use]
    pub fn into_values(self, backend: DatabaseBackend) -> Vec<Value> {
        if backend == DatabaseBackend::Sqlite {
            return vec![Value::from(self.into_json())];
        }
        self.columns
            .iter()
            .zip(self.cells)
            .map(|((_, kind), cells)| Value::Array(kind.postgres().1, Some(Box::new(cells))))
            .collect()
    }

    fn into_json(self) -> String {
        let mut text = String::with_capacity(self.rows * self.columns.len() * 24 + 2);
        let mut columns: Vec<_> = self.cells.into_iter().map(Vec::into_iter).collect();
        text.push('[');
        for row in 0..self.rows {
            text.push_str(if row == 0 { "[" } else { ",[" });
            for (place, column) in columns.iter_mut().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                if let Some(cell) = column.next() {
                    push_json(&mut text, &cell);
                }
            }
            text.push(']');
        }
        text.push(']');
        text
    }
}

fn push_json(text: &mut String, cell: &Value) {
    match cell {
        Value::Uuid(Some(id)) => {
            let _ = write!(text, "\"{}\"", id.simple());
        }
        Value::Bytes(Some(bytes)) => {
            let _ = write!(text, "\"{}\"", hex::encode(bytes));
        }
        Value::BigInt(Some(number)) => {
            let _ = write!(text, "{number}");
        }
        Value::Bool(Some(yes)) => text.push(if *yes { '1' } else { '0' }),
        Value::String(Some(words)) => text.push_str(&serde_json::Value::from(words.as_str()).to_string()),
        other => {
            debug_assert!(false, "a sheet holds no {other:?}");
            text.push_str("null");
        }
    }
}

/// The value that stands for "none" in a nullable UUID column.
#[must_use]
pub fn or_nil(id: Option<Uuid>) -> Value {
    Value::from(id.unwrap_or_else(Uuid::nil))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    const COLUMNS: Columns = &[("id", Kind::Uuid), ("name", Kind::Text), ("amount", Kind::Int), ("yes", Kind::Bool)];

    #[test]
    fn the_text_does_not_vary_with_the_rows() {
        assert_eq!(
            source(DatabaseBackend::Postgres, COLUMNS, 3),
            "UNNEST($3::uuid[], $4::text[], $5::bigint[], $6::boolean[]) WITH ORDINALITY AS r(id, name, amount, yes, n)"
        );
        assert_eq!(
            source(DatabaseBackend::Sqlite, COLUMNS, 1),
            "(SELECT unhex(value->>0) AS id, value->>1 AS name, value->>2 AS amount, value->>3 AS yes, key + 1 AS n FROM json_each($1)) AS r"
        );
    }

    #[test]
    fn markup_and_quotes_stay_what_they_were() {
        let mut sheet = Sheet::new(COLUMNS);
        sheet.push([Uuid::nil().into(), "a\"\\<b>\u{1F600}".into(), i64::MAX.into(), true.into()]);
        let Value::String(Some(text)) = sheet.into_values(DatabaseBackend::Sqlite).remove(0) else { panic!() };
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read[0][1], "a\"\\<b>\u{1F600}");
        assert_eq!(read[0][2], i64::MAX);
    }
}
