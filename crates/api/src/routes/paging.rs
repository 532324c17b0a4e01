//! Pages of lists: `?limit=&after=`, answered as `{data, next}`.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

use crate::problem::Problem;

/// Rows of a page where the client names no number.
const DEFAULT: i64 = 20;
/// Most rows of a page.
const MOST: i64 = 100;

/// The query of a list.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Rows of the page, 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<i64>,
    /// `next` of the page before.
    pub after: Option<String>,
}

/// How many rows are asked for.
///
/// # Errors
/// 422 outside of 1 to 100.
pub fn limit(asked: Option<i64>) -> Result<i64, Problem> {
    match asked.unwrap_or(DEFAULT) {
        limit @ 1..=MOST => Ok(limit),
        _ => Err(Problem::invalid("/limit", format!("must be from 1 to {MOST}"))),
    }
}

/// The cursor of a page.
///
/// # Errors
/// 422 where it is none that a page gave.
pub fn after<T: FromStr>(asked: Option<&str>) -> Result<Option<T>, Problem> {
    asked
        .map(|text| text.parse().map_err(|_| Problem::invalid("/after", "is not the next of a page of this list")))
        .transpose()
}

/// A page of a list.
#[derive(Clone, Debug, Serialize)]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// `after` of the next page; null on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` rows, out of `limit + 1` that were asked for, so that a last page is known as such.
    pub fn of<R>(mut rows: Vec<R>, limit: i64, cursor: impl Fn(&R) -> String, view: impl Fn(R) -> T) -> Self {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > most;
        rows.truncate(most);
        let next = rows.last().filter(|_| more).map(cursor);
        Self { data: rows.into_iter().map(view).collect(), next }
    }
}

/// Most characters of a text that is looked for.
const LONGEST_SEARCH: usize = 200;

/// The text that a list is searched for; none finds all.
///
/// # Errors
/// 422 where it is longer than any name: a database refuses very long patterns.
pub fn search(asked: Option<String>) -> Result<String, Problem> {
    let q = asked.unwrap_or_default();
    if q.chars().count() > LONGEST_SEARCH {
        return Err(Problem::invalid("/q", format!("must be at most {LONGEST_SEARCH} characters")));
    }
    Ok(q)
}
