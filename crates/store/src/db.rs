//! Connections and transactions: which pool serves what, how a write starts, and which refusals of the database are
//! worth another try.
//!
//! SQLite has one writing connection (`BEGIN IMMEDIATE`, WAL, `synchronous=FULL`) and readers apart. PostgreSQL has a
//! pool for the till alone, so that nothing else can keep a purchase waiting, and one for the rest.

use crate::fuse::{self, Commit, Fuse};
use crate::row::Row;
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, DatabaseBackend, DatabaseConnection, DatabaseTransaction,
    DbErr, QueryResult, RuntimeErr, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
};
use std::time::Duration;

/// How often a write that the database refused for others' sake is run again.
const TRIES: u32 = 10;

/// Holds other processes off the schema, and so from starting to serve, until the transaction ends; PostgreSQL's.
pub(crate) const SCHEMA_LOCK: &str = "SELECT pg_advisory_xact_lock(7265736572)";

/// What the store can answer instead of rows.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or is shutting down; the same call may work later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Others were in the way (serialization failure, deadlock, a unique fact written first): run again from the load.
    #[error("the write met another one: {0}")]
    Conflict(String),
    /// A row says what no code of ours writes.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
    /// Anything else: a fault of ours.
    #[error("the database refused: {0}")]
    Refused(String),
}

impl StoreError {
    /// A row that cannot be read, with what was read.
    pub fn corrupt(what: impl std::fmt::Display) -> Self {
        Self::Corrupt(what.to_string())
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let sqlx = match &error {
            DbErr::ConnectionAcquire(_) => return Self::Unavailable(error.to_string()),
            DbErr::Conn(RuntimeErr::SqlxError(e))
            | DbErr::Exec(RuntimeErr::SqlxError(e))
            | DbErr::Query(RuntimeErr::SqlxError(e)) => e,
            _ => return Self::Refused(error.to_string()),
        };
        match sqlx.as_ref() {
            sqlx::Error::Database(refusal) => {
                let code = refusal.code().unwrap_or_default();
                match code.as_ref() {
                    // serialization, deadlock, lock timeout, unique violation; SQLite: busy, busy recovery, busy
                    // snapshot, unique and primary key violation
                    "40001" | "40P01" | "55P03" | "23505" | "5" | "261" | "517" | "2067" | "1555" => {
                        Self::Conflict(refusal.to_string())
                    }
                    // read-only after a fail-over, shutting down, starting up, too many connections, disk full
                    "25006" | "57P01" | "57P02" | "57P03" | "53300" | "53100" | "08006" | "08003" | "13" => {
                        Self::Unavailable(refusal.to_string())
                    }
                    _ => Self::Refused(format!("{code} {refusal}")),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Unavailable(sqlx.to_string()),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// What a caller sets of the connections.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// `sqlite://path` or `postgres://…`.
    pub url: String,
    /// Connections for everything but the till; on SQLite the readers.
    pub pool: u32,
    /// Connections of the till, one a lane; SQLite has one whatever is asked.
    pub lanes: u32,
    /// How long to wait for a connection before the database counts as away.
    pub patience: Duration,
}

/// The database, by one URL.
#[derive(Clone, Debug)]
pub struct Db {
    backend: DatabaseBackend,
    till: DatabaseConnection,
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    fuse: Option<Fuse>,
}

impl Db {
    /// Connects; a SQLite file and its folder are made if missing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the database does not answer, [`StoreError::Refused`] for another kind of URL.
    pub async fn connect(options: &DbOptions) -> Result<Self, StoreError> {
        if options.url.starts_with("sqlite:") {
            let writer = sqlite(options, 1, false).await?;
            let reader = sqlite(options, options.pool.max(1), true).await?;
            return Ok(Self { backend: DatabaseBackend::Sqlite, till: writer.clone(), writer, reader, fuse: None });
        }
        if options.url.starts_with("postgres:") || options.url.starts_with("postgresql:") {
            let till = postgres(options, options.lanes.max(1), true).await?;
            let reader = postgres(options, options.pool.max(2), false).await?;
            return Ok(Self { backend: DatabaseBackend::Postgres, till, writer: reader.clone(), reader, fuse: None });
        }
        Err(StoreError::Refused("a database URL begins with sqlite:// or postgres://".into()))
    }

    /// The same with a fuse, which simulations burn through.
    #[must_use]
    pub fn with_fuse(self, fuse: Option<Fuse>) -> Self {
        Self { fuse, ..self }
    }

    fn pass(&self) -> Result<(), StoreError> {
        self.fuse.as_ref().map_or(Ok(()), Fuse::pass)
    }

    /// Which database this is.
    #[must_use]
    pub fn backend(&self) -> DatabaseBackend {
        self.backend
    }

    /// The connection that changes the schema.
    #[must_use]
    pub fn schema_connection(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Holds other processes off the schema until the transaction ends; SQLite needs no guard, its steps are short and
    /// its writer is one.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn schema_guard(&self) -> Result<Option<Tx>, StoreError> {
        if self.backend == DatabaseBackend::Sqlite {
            return Ok(None);
        }
        let tx = self.begin(&self.till).await?;
        tx.query(SCHEMA_LOCK, vec![]).await?;
        Ok(Some(tx))
    }

    /// Rows of a constant statement, outside any transaction.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn query(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, StoreError> {
        self.pass()?;
        query(&self.reader, self.backend, sql, values).await
    }

    /// One row of a constant statement, outside any transaction.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn query_one(&self, sql: &str, values: Vec<Value>) -> Result<Option<QueryResult>, StoreError> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    /// Starts a transaction of the till.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn begin_till(&self) -> Result<Tx, StoreError> {
        self.begin(&self.till).await
    }

    /// Starts a transaction that sees one state of the database throughout, and writes nothing.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn begin_snapshot(&self) -> Result<Tx, StoreError> {
        let options = TransactionOptions {
            isolation_level: (self.backend == DatabaseBackend::Postgres)
                .then_some(sea_orm::IsolationLevel::RepeatableRead),
            access_mode: (self.backend == DatabaseBackend::Postgres).then_some(AccessMode::ReadOnly),
            sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
        };
        self.pass()?;
        let inner = self.reader.begin_with_options(options).await?;
        Ok(Tx { inner, backend: self.backend, fuse: self.fuse.clone() })
    }

    async fn begin(&self, connection: &DatabaseConnection) -> Result<Tx, StoreError> {
        let options = TransactionOptions {
            isolation_level: None,
            access_mode: None,
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        };
        self.pass()?;
        let inner = connection.begin_with_options(options).await?;
        Ok(Tx { inner, backend: self.backend, fuse: self.fuse.clone() })
    }

    /// Runs `work` in one writing transaction, again from its start when others were in the way. `work` may have no
    /// effect outside the transaction, and its own refusals roll it back.
    ///
    /// # Errors
    /// What `work` answers, and [`StoreError`] turned into it.
    pub async fn write<T, E, F>(&self, name: &'static str, mut work: F) -> Result<T, E>
    where
        E: From<StoreError> + AsStore,
        F: AsyncFnMut(&Tx) -> Result<T, E>,
    {
        let mut tried = 1;
        loop {
            let tx = self.begin(&self.writer).await?;
            let outcome = match work(&tx).await {
                Ok(value) => tx.commit().await.map(|()| value).map_err(E::from),
                Err(refusal) => {
                    tx.rollback().await;
                    Err(refusal)
                }
            };
            match outcome {
                Err(refusal) if tried < TRIES && refusal.is_conflict() => {
                    metrics::counter!("db_transaction_retries_total", "name" => name).increment(1);
                    tried += 1;
                    tokio::time::sleep(backoff(tried)).await;
                }
                done => return done,
            }
        }
    }

    /// Moves what was committed from SQLite's log into its file, beside the writer and not in its way; how much the log
    /// has held since it last began anew, in pages. PostgreSQL sees to its own.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn checkpoint(&self) -> Result<Option<i64>, StoreError> {
        if self.backend != DatabaseBackend::Sqlite {
            return Ok(None);
        }
        let row = self.query_one("PRAGMA wal_checkpoint(PASSIVE)", vec![]).await?;
        row.map(|row| row.int("log")).transpose()
    }

    /// Ends all connections.
    pub async fn close(self) {
        for pool in [self.till, self.writer, self.reader] {
            if let Err(error) = pool.close().await {
                tracing::debug!(%error, "a pool did not close");
            }
        }
    }
}

/// Lets [`Db::write`] see in a caller's error whether the store asks for another try.
pub trait AsStore {
    /// True where the transaction met another one and may be run again.
    fn is_conflict(&self) -> bool;
}

impl AsStore for StoreError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

/// A pause before another try, 0 to 50 ms, so that two who met do not meet again.
#[must_use]
pub fn backoff(tried: u32) -> Duration {
    Duration::from_millis(u64::from(rand::random::<u8>()) * u64::from(tried.min(5)) / 25)
}

/// Reading rows, inside a transaction or outside.
pub trait Reads {
    /// Which database this is.
    fn backend(&self) -> DatabaseBackend;
    /// Rows of a constant statement.
    fn rows(&self, sql: &str, values: Vec<Value>) -> impl Future<Output = Result<Vec<QueryResult>, StoreError>> + Send;
}

impl Reads for Db {
    fn backend(&self) -> DatabaseBackend {
        self.backend
    }
    async fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, StoreError> {
        self.query(sql, values).await
    }
}

impl Reads for Tx {
    fn backend(&self) -> DatabaseBackend {
        self.backend
    }
    async fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, StoreError> {
        self.query(sql, values).await
    }
}

/// A transaction. It ends by [`Tx::commit`] or [`Tx::rollback`].
#[derive(Debug)]
pub struct Tx {
    inner: DatabaseTransaction,
    backend: DatabaseBackend,
    fuse: Option<Fuse>,
}

impl Tx {
    /// Which database this is.
    #[must_use]
    pub fn backend(&self) -> DatabaseBackend {
        self.backend
    }

    /// Rows of a constant statement.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn query(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, StoreError> {
        query(&self.inner, self.backend, sql, values).await
    }

    /// One row of a constant statement.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn query_one(&self, sql: &str, values: Vec<Value>) -> Result<Option<QueryResult>, StoreError> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    /// Runs a constant statement; the number of rows it touched.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn execute(&self, sql: &str, values: Vec<Value>) -> Result<u64, StoreError> {
        let statement = Statement::from_sql_and_values(self.backend, sql, values);
        Ok(self.inner.execute_raw(statement).await?.rows_affected())
    }

    /// Makes it so.
    ///
    /// # Errors
    /// As [`StoreError`] says; after [`StoreError::Unavailable`] the outcome is unknown and must be read, not assumed.
    pub async fn commit(self) -> Result<(), StoreError> {
        let fate = self.fuse.as_ref().map_or(Commit::Through, Fuse::commit);
        if fate == Commit::Lost {
            self.rollback().await;
            return Err(fuse::dead());
        }
        self.inner.commit().await?;
        if fate == Commit::Unheard { Err(fuse::dead()) } else { Ok(()) }
    }

    /// Leaves everything as it was.
    pub async fn rollback(self) {
        if let Err(error) = self.inner.rollback().await {
            tracing::debug!(%error, "a rollback was not answered");
        }
    }
}

async fn query(
    connection: &impl ConnectionTrait,
    backend: DatabaseBackend,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<QueryResult>, StoreError> {
    let statement = Statement::from_sql_and_values(backend, sql, values);
    Ok(connection.query_all_raw(statement).await?)
}

/// The end of a statement that holds the rows it reads; SQLite's one writer holds everything already.
pub(crate) fn row_lock(backend: DatabaseBackend) -> &'static str {
    if backend == DatabaseBackend::Postgres { " FOR NO KEY UPDATE" } else { "" }
}

async fn sqlite(options: &DbOptions, size: u32, reader: bool) -> Result<DatabaseConnection, StoreError> {
    use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
    if let Some(folder) = std::path::Path::new(options.url.trim_start_matches("sqlite://")).parent() {
        std::fs::create_dir_all(folder).map_err(|e| StoreError::Unavailable(e.to_string()))?;
    }
    let mut connect = ConnectOptions::new(options.url.clone());
    common(&mut connect, options, size);
    connect.test_before_acquire(false).map_sqlx_sqlite_opts(move |o| {
        o.create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true)
            .pragma("query_only", if reader { "on" } else { "off" })
            // `Db::checkpoint` sees to the log; the writer only where that cannot keep up.
            .pragma("wal_autocheckpoint", "16000")
            .pragma("cache_size", if reader { "-4000" } else { "-16000" })
            // What a statement of many rows would undo is kept in memory and not in a file beside.
            .pragma("temp_store", "memory")
            // All that a statement of the till answers, so that reading it is not waited for.
            .row_buffer_size(4_096)
    });
    Ok(Database::connect(connect).await?)
}

async fn postgres(options: &DbOptions, size: u32, till: bool) -> Result<DatabaseConnection, StoreError> {
    let mut connect = ConnectOptions::new(options.url.clone());
    common(&mut connect, options, size);
    connect.set_application_name(if till { "purser-till" } else { "purser" });
    connect.test_before_acquire_if_idle_for(Duration::from_secs(5));
    connect.map_sqlx_postgres_opts(move |o| {
        let o = o.options([("lock_timeout", "4000"), ("statement_timeout", "60000"), ("jit", "off")]);
        if till {
            // The till's statements look a few rows up by index, whatever the planner believes of tables that grew since
            // they were last analysed. Their texts leave one good plan each, which need not be made for every batch.
            o.options([
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                ("enable_seqscan", "off"),
                ("plan_cache_mode", "force_generic_plan"),
            ])
        } else {
            o
        }
    });
    Ok(Database::connect(connect).await?)
}

fn common(connect: &mut ConnectOptions, options: &DbOptions, size: u32) {
    connect
        .max_connections(size)
        .min_connections(size)
        .acquire_timeout(options.patience)
        .connect_timeout(options.patience)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .sqlx_logging(false);
}
