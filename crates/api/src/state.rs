//! What handlers share, and how the store's and the till's answers become problems.

use crate::allowance::Allowances;
use crate::clock::BusinessClock;
use crate::config::Config;
use crate::problem::{FieldError, Problem};
use crate::token::Tokens;
use kernel::{Clock, IdSource, OrganizationId, Timestamp};
use marketplace::catalogue::Catalogue;
use marketplace::order::FieldFault;
use marketplace::till::Till;
use marketplace::{Policy, Shelf};
use providers::Providers;
use std::sync::Arc;
use store::{Db, StoreError};
use tokio::sync::Notify;
use uuid::Uuid;

/// How long a client waits before it asks again where the database is away, in seconds.
const RETRY_AFTER: u32 = 1;

/// What handlers share.
pub struct State {
    /// The configuration in force.
    pub config: Config,
    /// The database.
    pub db: Db,
    /// The catalogue in memory.
    pub shelf: Arc<Shelf>,
    /// What decisions depend on.
    pub policy: Arc<Policy>,
    /// Who takes payments by card.
    pub providers: Providers,
    /// Business time.
    pub clock: Arc<BusinessClock>,
    /// Where organizations change.
    pub till: Till,
    /// Tokens that this server mints and believes.
    pub tokens: Tokens,
    /// What organizations may use, in memory.
    pub allowances: Arc<Allowances>,
    /// Wakes the job that chains events.
    pub committed: Arc<Notify>,
    /// This process, as leases know it.
    pub process: Uuid,
}

impl State {
    /// Gathers it.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        config: Config,
        db: Db,
        shelf: Arc<Shelf>,
        policy: Arc<Policy>,
        providers: Providers,
        clock: Arc<BusinessClock>,
        till: Till,
        tokens: Tokens,
        allowances: Arc<Allowances>,
        committed: Arc<Notify>,
        process: Uuid,
    ) -> Self {
        Self { config, db, shelf, policy, providers, clock, till, tokens, allowances, committed, process }
    }

    /// Business time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The catalogue as this process knows it, for what is answered from memory.
    pub fn known_catalogue(&self) -> Arc<Catalogue> {
        self.shelf.current()
    }

    /// The catalogue as it is now, whichever process changed it.
    ///
    /// # Errors
    /// The store's.
    pub async fn catalogue(&self) -> Result<Arc<Catalogue>, Problem> {
        let revision = store::settings::number(&self.db, store::settings::CATALOGUE).await.map_err(store_problem)?;
        self.shelf.at(&self.db, revision.unwrap_or(0)).await.map_err(store_problem)
    }

    /// Where this process's ids come from.
    pub fn ids(&self) -> IdSource {
        self.till.ids()
    }

    /// The organization that a path or body names by id or slug.
    ///
    /// # Errors
    /// `not-found`, or the store's.
    pub async fn organization(&self, named: &str) -> Result<OrganizationId, Problem> {
        let found = self.allowances.resolve(&self.db, named).await.map_err(store_problem)?;
        found.ok_or_else(|| Problem::not_found("organization"))
    }

    /// After a handler's own write: readers of the organization's state and of events learn of it.
    pub fn wrote(&self, organizations: &[OrganizationId]) {
        self.allowances.forget(organizations);
        self.committed.notify_one();
    }
}

/// What a client is told of a store's error.
pub fn store_problem(error: StoreError) -> Problem {
    match error {
        StoreError::Unavailable(_) | StoreError::Conflict(_) => Problem::unavailable(RETRY_AFTER).with_cause(error),
        StoreError::Corrupt(_) | StoreError::Refused(_) => Problem::internal(error),
    }
}

/// Fields that an order cannot be taken with.
pub fn field_problem(faults: Vec<FieldFault>) -> Problem {
    let errors = faults.into_iter().map(|f| FieldError { pointer: f.pointer, detail: f.detail }).collect();
    Problem::invalid_fields(errors)
}

/// The server cannot take it now.
pub fn unavailable() -> Problem {
    Problem::unavailable(RETRY_AFTER)
}
