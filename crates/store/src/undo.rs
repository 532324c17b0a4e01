//! Purchases that are undone: their rows say so, a link that came into being by one ends, and the answer is kept
//! under the caller's key. What goes back besides are rows like any other's.

use crate::idempotency::{self, Kept};
use crate::{StoreError, Tx};
use kernel::{LinkId, PurchaseId, Timestamp, micros};

/// A purchase that was undone.
#[derive(Clone, Debug)]
pub struct UndoneRow {
    /// The purchase.
    pub purchase: PurchaseId,
    /// What came of it, JSON.
    pub undone: String,
    /// When.
    pub at: Timestamp,
    /// The link that ends with it.
    pub unlinked: Option<LinkId>,
    /// Caller, route and key under which the answer is kept.
    pub kept: Option<([String; 3], Kept)>,
}

/// Writes what was undone.
///
/// # Errors
/// [`StoreError::Conflict`] where another undid it first or ended the link; else as [`StoreError`] says.
pub async fn write(tx: &Tx, undone: &[UndoneRow]) -> Result<(), StoreError> {
    for row in undone {
        let sql = "UPDATE purchases SET state = 'undone', undone = $2 WHERE id = $1 AND state = 'completed'";
        once(tx.execute(sql, vec![row.purchase.uuid().into(), row.undone.as_str().into()]).await?)?;
        if let Some(link) = row.unlinked {
            let sql = "UPDATE links SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";
            once(tx.execute(sql, vec![link.uuid().into(), micros(row.at).into()]).await?)?;
        }
        if let Some(([caller, route, key], kept)) = &row.kept {
            idempotency::keep(tx, (caller, route, key), kept, row.at).await?;
        }
    }
    Ok(())
}

fn once(changed: u64) -> Result<(), StoreError> {
    if changed == 1 { Ok(()) } else { Err(StoreError::Conflict("a purchase was undone by another".into())) }
}
