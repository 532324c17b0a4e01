//! A database for one test: an SQLite file or a database in a cluster. Tests look into it and damage it by plain SQL.

use crate::postgres::Cluster;
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use std::path::Path;

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
        let connection = self.connect().await;
        let done = connection.execute_unprepared(text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
        connection.close().await.expect("closing the connection");
        done.rows_affected()
    }

    /// The one whole number that a query answers.
    pub async fn number(&self, text: &str) -> i64 {
        let connection = self.connect().await;
        let backend = match self.db {
            Db::Sqlite => DbBackend::Sqlite,
            Db::Postgres => DbBackend::Postgres,
        };
        let row = connection.query_one_raw(Statement::from_string(backend, text)).await;
        let row = row.unwrap_or_else(|error| panic!("{text}: {error}")).expect("a row");
        let number = row.try_get_by_index(0).expect("a whole number");
        connection.close().await.expect("closing the connection");
        number
    }

    async fn connect(&self) -> DatabaseConnection {
        let mut options = ConnectOptions::new(self.url.clone());
        options.max_connections(1).sqlx_logging(false);
        sea_orm::Database::connect(options).await.unwrap_or_else(|error| panic!("{}: {error}", self.url))
    }
}
