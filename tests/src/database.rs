//! A database for one test: an SQLite file or a database in a cluster. Tests look into it and damage it by plain SQL.

use crate::postgres::Cluster;
use sea_orm::sqlx::{AssertSqlSafe, Connection, Error as SqlxError, Executor, PgConnection, Row, SqliteConnection};
use std::path::Path;
use std::time::Duration;

/// How long a statement may take on a busy machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Db {
    Sqlite,
    Postgres,
}

/// One database, by its URL.
#[derive(Clone, Debug)]
pub struct Database {
    pub db: Db,
    pub url: String,
}

impl Database {
    /// An SQLite file in `folder`.
    pub fn sqlite(folder: &Path) -> Self {
        Self { db: Db::Sqlite, url: format!("sqlite://{}", folder.join("purser.db").display()) }
    }

    /// A database of its own in the shared cluster, cloned from `template` (`template0` is empty).
    pub async fn postgres(template: &str) -> Self {
        Self::in_cluster(&Cluster::shared(), &format!("t_{}", crate::unique()), template).await
    }

    /// The database `name` in the cluster at `url`, made from `template`.
    pub async fn in_cluster(url: &str, name: &str, template: &str) -> Self {
        let cluster = Self { db: Db::Postgres, url: format!("{url}/postgres") };
        cluster.sql(&format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")).await;
        Self { db: Db::Postgres, url: format!("{url}/{name}") }
    }

    /// Whether the cluster at `url` has the database `name`.
    pub async fn exists(url: &str, name: &str) -> bool {
        let cluster = Self { db: Db::Postgres, url: format!("{url}/postgres") };
        cluster.number(&format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'")).await > 0
    }

    /// Removes it from its cluster; an SQLite file goes with its folder.
    pub async fn remove(&self) {
        if self.db == Db::Postgres {
            let (cluster, name) = self.url.rsplit_once('/').expect("a URL with a database");
            let cluster = Self { db: Db::Postgres, url: format!("{cluster}/postgres") };
            cluster.sql(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }

    /// Runs one statement and answers how many rows it touched.
    pub async fn sql(&self, text: &str) -> u64 {
        bounded(text, async {
            match self.db {
                Db::Sqlite => {
                    let mut connection = SqliteConnection::connect(&self.url).await?;
                    let done = connection.execute(AssertSqlSafe(text)).await?;
                    connection.close().await.map(|()| done.rows_affected())
                }
                Db::Postgres => {
                    let mut connection = PgConnection::connect(&self.url).await?;
                    let done = connection.execute(AssertSqlSafe(text)).await?;
                    connection.close().await.map(|()| done.rows_affected())
                }
            }
        })
        .await
    }

    /// The one whole number that a query answers.
    pub async fn number(&self, text: &str) -> i64 {
        bounded(text, async {
            match self.db {
                Db::Sqlite => {
                    let mut connection = SqliteConnection::connect(&self.url).await?;
                    let number = connection.fetch_one(AssertSqlSafe(text)).await?.try_get(0)?;
                    connection.close().await.map(|()| number)
                }
                Db::Postgres => {
                    let mut connection = PgConnection::connect(&self.url).await?;
                    let number = connection.fetch_one(AssertSqlSafe(text)).await?.try_get(0)?;
                    connection.close().await.map(|()| number)
                }
            }
        })
        .await
    }
}

/// What came of a statement, which is not waited for for ever. Each has a connection of its own and no pool around it, whose
/// end would be waited for as well.
async fn bounded<T>(text: &str, done: impl Future<Output = Result<T, SqlxError>>) -> T {
    let done = tokio::time::timeout(PATIENCE, done).await.unwrap_or_else(|_| panic!("{text}: no answer"));
    done.unwrap_or_else(|error| panic!("{text}: {error}"))
}
