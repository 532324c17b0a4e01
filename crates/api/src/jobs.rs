//! What runs beside requests: events get their place in the chain, and this process learns of others' changes.

use crate::state::State;
use actix_web::web::Data;
use ed25519_dalek::{Signer, SigningKey};
use kernel::{Clock, SystemClock};
use std::time::Duration;
use store::{Db, StoreError, audit, leases, settings};
use uuid::Uuid;

/// Name of the lease under which blocks are chained.
const LEASE: &str = "audit-chain";
/// How long the lease is held without renewal.
const LEASE_SECONDS: i64 = 10;
/// Pause between two turns of the chain under load: what was committed meanwhile is chained together.
const PAUSE: Duration = Duration::from_millis(100);
/// How long to wait for a commit before looking anyway, for those of other processes.
const IDLE: Duration = Duration::from_secs(1);
/// A checkpoint is signed every so many blocks.
const CHECKPOINT_BLOCKS: i64 = 1_000;
/// Blocks looked at in one statement.
const STRIDE: i64 = 5_000;
/// Name of the lease under which the test clock is held.
const CLOCK_LEASE: &str = "test-clock";
/// How long it is held without renewal.
const CLOCK_SECONDS: i64 = 3;
/// How often this process looks for others' changes.
const LOOK: Duration = Duration::from_millis(300);

/// Chains blocks and signs checkpoints.
pub struct Chainer {
    state: Data<State>,
    key: SigningKey,
    holder: Uuid,
    last_checkpoint: i64,
}

impl Chainer {
    /// A chainer that signs with this key.
    pub fn new(state: Data<State>, key: &[u8; 32]) -> Self {
        let holder = state.process;
        Self { state, key: SigningKey::from_bytes(key), holder, last_checkpoint: 0 }
    }

    /// Runs until told to stop, by the end of `stop`.
    pub async fn run(mut self, mut stop: tokio::sync::watch::Receiver<bool>) {
        loop {
            tokio::select! {
                _ = stop.changed() => break,
                _ = tokio::time::timeout(IDLE, self.state.committed.notified()) => {}
            }
            if let Err(error) = self.turn(false).await {
                tracing::debug!(%error, "the audit chain waits");
            }
            tokio::select! {
                _ = stop.changed() => break,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        if let Err(error) = self.turn(true).await {
            tracing::warn!(%error, "the audit chain was left open; the next start goes on");
        }
    }

    /// Chains what was committed since; at the end gives the lease back and signs a checkpoint.
    ///
    /// # Errors
    /// The store's.
    pub async fn turn(&mut self, end: bool) -> Result<(), StoreError> {
        let now = SystemClock.now();
        let until = now + chrono::TimeDelta::seconds(LEASE_SECONDS);
        let (key, holder, mut last) = (&self.key, self.holder, self.last_checkpoint);
        loop {
            let (new, checkpoint) = self
                .state
                .db
                .write("audit-chain", async |tx| {
                    if leases::take(tx, LEASE, holder, now, until).await?.is_none() {
                        return Ok::<_, StoreError>((0, last));
                    }
                    let (head, new) = audit::chain(tx).await?;
                    let due = head.number - last >= CHECKPOINT_BLOCKS || (end && head.number > last);
                    let mut checkpoint = last;
                    if due {
                        let signature = key.sign(&audit::checkpoint_message(head.number, &head.chain));
                        audit::put_checkpoint(tx, &head, now, &signature.to_bytes()).await?;
                        // Kept outside of the database too, so that a cut-off chain shows.
                        tracing::info!(number = head.number, chain = %hex::encode(&head.chain), "audit checkpoint");
                        checkpoint = head.number;
                    }
                    if end {
                        leases::give_back(tx, LEASE, holder).await?;
                    }
                    Ok((new, checkpoint))
                })
                .await?;
            last = checkpoint;
            if new == 0 {
                break;
            }
            metrics::counter!("audit_blocks_chained_total").increment(u64::try_from(new).unwrap_or(0));
        }
        self.last_checkpoint = last;
        Ok(())
    }
}

/// Learns what other processes changed: organizations, the catalogue, the test clock.
pub async fn follow(state: Data<State>, mut stop: tokio::sync::watch::Receiver<bool>) {
    let mut seen = None;
    loop {
        if let Err(error) = look(&state, &mut seen).await {
            tracing::debug!(%error, "cannot look for others' changes");
        }
        tokio::select! {
            _ = stop.changed() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    if state.clock.is_test() {
        let given = state.db.write("clock-lease", async |tx| leases::give_back(tx, CLOCK_LEASE, state.process).await);
        if let Err(error) = given.await {
            tracing::debug!(%error, "the test clock's lease runs out by itself");
        }
    }
}

/// Keeps SQLite's log short, so that no purchase has to wait until it was moved into the file.
pub async fn tidy(state: Data<State>, mut stop: tokio::sync::watch::Receiver<bool>) {
    let mut seen = None;
    loop {
        let log = match state.db.checkpoint().await {
            Ok(Some(log)) => Some(log),
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "the database's log stays as it is");
                seen
            }
        };
        let pause = if log == seen { IDLE } else { PAUSE };
        seen = log;
        tokio::select! {
            _ = stop.changed() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Takes or keeps the test clock for this process; false where another holds it.
///
/// # Errors
/// The store's.
pub async fn hold_clock(db: &Db, process: Uuid) -> Result<bool, StoreError> {
    let now = SystemClock.now();
    let until = now + chrono::TimeDelta::seconds(CLOCK_SECONDS);
    db.write("clock-lease", async |tx| Ok(leases::take(tx, CLOCK_LEASE, process, now, until).await?.is_some())).await
}

async fn look(state: &State, seen: &mut Option<i64>) -> Result<(), StoreError> {
    let began = SystemClock.now();
    let head = audit::last_number(&state.db).await?;
    let mut last = seen.unwrap_or(head);
    while last < head {
        // What this process's till wrote is known already.
        let until = head.min(last.saturating_add(STRIDE));
        state.allowances.forget(&audit::touched(&state.db, last, until, state.till.origin()).await?);
        last = until;
        *seen = Some(last);
    }
    *seen = Some(last);
    let revision = settings::number(&state.db, settings::CATALOGUE).await?.unwrap_or(0);
    state.shelf.at(&state.db, revision).await?;
    if state.clock.is_test() {
        if !hold_clock(&state.db, state.process).await? {
            tracing::error!("another process took the test clock");
        }
        let instant = settings::number(&state.db, settings::CLOCK).await?;
        state.clock.set_test(instant.map(kernel::from_micros));
    }
    state.allowances.fresh_at(began);
    Ok(())
}
