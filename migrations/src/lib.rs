//! The schema, one file a step, forward only.
//!
//! Statements are written once for both databases with the standard type names; [`dialect`] turns them into SQLite's
//! strict storage classes. What only one database has (stored functions, fill factors) stands in its own list.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};

mod m0001_first_purchase;

pub use sea_orm_migration::MigratorTrait;

/// Applies the steps in order; each runs once a database.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_first_purchase::Migration)]
    }
}

/// Runs each statement of `common`, and on PostgreSQL each of `postgres` after them.
async fn run(manager: &SchemaManager<'_>, common: &[&str], postgres: &[&str]) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let backend = manager.get_database_backend();
    for statement in common {
        connection.execute_unprepared(&dialect(backend, statement)).await?;
    }
    if backend == DatabaseBackend::Postgres {
        for statement in postgres {
            connection.execute_unprepared(statement).await?;
        }
    }
    Ok(())
}

/// The statement in the words of `backend`: SQLite's strict tables know INTEGER, TEXT and BLOB, and keep rows in the
/// primary key's order (`WITHOUT ROWID`), which was measured faster for 16-byte keys.
fn dialect(backend: DatabaseBackend, statement: &str) -> String {
    if backend != DatabaseBackend::Sqlite {
        return statement.to_owned();
    }
    let mut text = statement
        .replace(" UUID", " BLOB")
        .replace(" BYTEA", " BLOB")
        .replace(" BIGINT", " INTEGER")
        .replace(" BOOLEAN", " INTEGER");
    if text.trim_start().starts_with("CREATE TABLE") {
        text.push_str(" STRICT, WITHOUT ROWID");
    }
    text
}
