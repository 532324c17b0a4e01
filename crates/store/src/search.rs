//! Searching names for a part of them without reading all: SQLite keeps which three signs stand where
//! (`…_grams`, one row for each of a name's places), PostgreSQL has an index of its own.
//!
//! The rarest part of the term is looked up; where few rows have it, these alone are looked at. Where many have even that one,
//! reading names in the order of the page finds enough of them soon.

use crate::row::Row;
use crate::{Reads, StoreError};
use sea_orm::DatabaseBackend;

/// Rows that are looked at one by one, at most.
const FEW: i64 = 1_000;

/// Places of a term that are looked at; a longer one is told apart by these.
const PLACES: usize = 40;

/// What the term is as names are compared with it: SQLite folds the case of ASCII alone.
pub(crate) fn folded(backend: DatabaseBackend, q: &str) -> String {
    if backend == DatabaseBackend::Sqlite { q.to_ascii_lowercase() } else { q.to_lowercase() }
}

/// A pattern that finds `q` anywhere, whatever signs are in it.
pub(crate) fn like(backend: DatabaseBackend, q: &str) -> String {
    let escaped: String = folded(backend, q)
        .chars()
        .flat_map(|c| if matches!(c, '%' | '_' | '!') { vec!['!', c] } else { vec![c] })
        .collect();
    format!("%{escaped}%")
}

/// The parts of a term that names must have: three signs from each place, or the whole of a shorter term.
fn parts(folded: &str) -> Vec<String> {
    let signs: Vec<char> = folded.chars().collect();
    if signs.len() < 3 {
        return vec![folded.to_owned()];
    }
    let mut parts: Vec<String> = signs.windows(3).take(PLACES).map(|three| three.iter().collect()).collect();
    parts.sort_unstable();
    parts.dedup();
    parts
}

/// What the parts that begin so end before.
pub(crate) fn end(part: &str) -> String {
    format!("{part}\u{10FFFF}")
}

/// A part of the term that few names have, from `table`, which is one of this crate's; none where each is common, or where
/// the database finds names by itself.
///
/// # Errors
/// As [`StoreError`] says.
pub(crate) async fn rare(reads: &impl Reads, table: &'static str, q: &str) -> Result<Option<String>, StoreError> {
    if reads.backend() != DatabaseBackend::Sqlite || q.is_empty() {
        return Ok(None);
    }
    let parts = serde_json::Value::from(parts(&folded(reads.backend(), q))).to_string();
    let sql = format!(
        "SELECT r.value AS part, (SELECT COUNT(*) FROM (SELECT 1 FROM {table} g \
         WHERE g.gram >= r.value AND g.gram < r.value || char(1114111) LIMIT $2)) AS rows FROM json_each($1) r \
         ORDER BY rows LIMIT 1"
    );
    let rows = reads.rows(&sql, vec![parts.into(), FEW.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(if row.int("rows")? < FEW { Some(row.text("part")?) } else { None })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_cut_into_what_names_must_have() {
        assert_eq!(parts("ab"), ["ab"]);
        assert_eq!(parts("banana"), ["ana", "ban", "nan"]);
        assert_eq!(parts("größe"), ["grö", "röß", "öße"]);
        assert_eq!(parts(&"x1".repeat(500)), ["1x1", "x1x"]);
    }

    #[test]
    fn signs_of_patterns_are_found_as_they_are() {
        assert_eq!(like(DatabaseBackend::Sqlite, "A%É"), "%a!%É%");
        assert_eq!(like(DatabaseBackend::Postgres, "A_É!"), "%a!_é!!%");
    }
}
