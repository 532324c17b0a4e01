//! The catalogue that this process has in memory, loaded again when another process changed it.

use crate::catalogue::Catalogue;
use std::sync::{Arc, PoisonError, RwLock};
use store::{Reads, StoreError};

/// Holds the current catalogue.
#[derive(Debug)]
pub struct Shelf(RwLock<Arc<Catalogue>>);

impl Shelf {
    /// A shelf with what was loaded at the start.
    #[must_use]
    pub fn new(catalogue: Catalogue) -> Self {
        Self(RwLock::new(Arc::new(catalogue)))
    }

    /// The catalogue as this process knows it.
    #[must_use]
    pub fn current(&self) -> Arc<Catalogue> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The catalogue of a revision that the database was seen to have: the one held, or loaded anew.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be loaded.
    pub async fn at(&self, reads: &impl Reads, revision: i64) -> Result<Arc<Catalogue>, StoreError> {
        let held = self.current();
        if held.revision == revision {
            return Ok(held);
        }
        let loaded = Arc::new(Catalogue::load(reads).await?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&loaded);
        Ok(loaded)
    }
}
