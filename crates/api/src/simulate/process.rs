//! A process of the product, opened on the simulation's database: the till, the catalogue, the provider; and a way to kill it.

use crate::app;
use crate::commands::Fault;
use kernel::{FixedClock, IdSource};
use marketplace::catalogue::Catalogue;
use marketplace::till::{Lanes, Limits, Till};
use marketplace::{Policy, Shelf};
use providers::Providers;
use std::sync::Arc;
use std::time::Duration;
use store::fuse::Fuse;
use store::{Db, DbOptions};

/// A process at work.
pub struct Process {
    pub db: Db,
    pub till: Till,
    pub shelf: Arc<Shelf>,
    pub providers: Providers,
    fuse: Option<Fuse>,
    lanes: Lanes,
}

impl Process {
    /// Opens the database, brings its schema up to date, and puts what works on it together.
    pub async fn open(
        url: &str,
        fuse: Option<Fuse>,
        policy: Arc<Policy>,
        clock: Arc<FixedClock>,
        ids: IdSource,
    ) -> Result<Self, Fault> {
        let options = DbOptions { url: url.to_owned(), pool: 1, lanes: 1, patience: Duration::from_secs(10) };
        let db = Db::connect(&options).await?;
        app::migrations_up(&db).await?;
        let shelf = Arc::new(Shelf::new(Catalogue::load(&db).await?));
        let db = db.with_fuse(fuse.clone());
        let limits = Limits { batch: 64, queue: 1_000, wait: Duration::from_secs(60) };
        let (till, lanes) =
            Till::open_with(db.clone(), Arc::clone(&shelf), policy, clock, (limits, 1), Arc::new(|_| ()), ids);
        let providers = Providers::new(db.clone(), None);
        Ok(Self { db, till, shelf, providers, fuse, lanes })
    }

    /// Whether it was killed.
    pub fn is_killed(&self) -> bool {
        self.fuse.as_ref().is_some_and(Fuse::is_burnt)
    }

    /// Ends it: what is in hand is answered, or not, where it was killed.
    pub async fn end(self) {
        self.till.close();
        self.lanes.finish().await;
        self.db.close().await;
    }
}
