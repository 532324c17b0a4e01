//! Warnings of budgets: from four fifths on the payer is warned, once a month and budget, whatever brought it there: a
//! purchase, the month's turn, metered use, or a lower budget. Nothing of that waits for it, so it is a job's, found from the
//! data.

use crate::state::State;
use actix_web::web::Data;
use kernel::{Clock, IdSource, Month, Timestamp};
use marketplace::budget::BudgetView;
use marketplace::question::Desk;
use marketplace::{Policy, Shelf};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use store::budgets::{self, Scope};
use store::{Actor, Db, NewEvent, StoreError, audit, subscriptions};

/// How often it is looked whether a budget is nearly used.
const LOOK: Duration = Duration::from_secs(30);
/// Budgets that are looked up at a time.
const STRIDE: i64 = 256;

/// What warnings are given with.
pub struct Work<'a> {
    /// The database.
    pub db: &'a Db,
    /// The catalogue.
    pub shelf: &'a Shelf,
    /// What the operator configured.
    pub policy: &'a Arc<Policy>,
    /// Business time.
    pub clock: &'a dyn Clock,
    /// Ids of this process.
    pub ids: IdSource,
}

impl std::fmt::Debug for Work<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").finish_non_exhaustive()
    }
}

impl<'a> Work<'a> {
    /// Of a server.
    pub fn of(state: &'a State) -> Self {
        let State { db, shelf, policy, clock, .. } = state;
        Self { db, shelf, policy, clock: clock.as_ref(), ids: state.ids() }
    }

    /// Warns of all budgets that are due for it at `now`; how many.
    ///
    /// # Errors
    /// The store's; what was done stays done, and the next run goes on.
    pub async fn run(&self, now: Timestamp) -> Result<u64, StoreError> {
        let (mut warned, mut after) = (0_u64, None);
        let desk = Desk { db: self.db, shelf: self.shelf, policy: self.policy, clock: self.clock };
        loop {
            let due = budgets::to_warn(self.db, Month::of(now), after, STRIDE).await?;
            let Some(last) = due.last().copied() else { return Ok(warned) };
            after = Some(last);
            for scope in due {
                let Some(view) = desk.budget(scope).await?.filter(BudgetView::warns) else { continue };
                if self.warn(scope, &view, now).await? {
                    warned = warned.saturating_add(1);
                }
            }
        }
    }

    /// Twice is once, also of two processes.
    async fn warn(&self, scope: Scope, view: &BudgetView, now: Timestamp) -> Result<bool, StoreError> {
        let (budget, month) = (view.budget.minor(), view.this_month.month);
        let told = json!({
            "subscription": scope.subscription, "organization": scope.organization, "month": month, "budget": budget,
            "used": view.this_month.used.minor(), "currency": view.budget.currency(),
        });
        self.db
            .write("warn-of-budget", async |tx| {
                subscriptions::hold(tx, scope.subscription).await?;
                if !budgets::warned(tx, scope, budget, month, now).await? {
                    return Ok(false);
                }
                let event = NewEvent {
                    kind: "budget.warned",
                    organization: scope.organization,
                    actor: Actor::System,
                    at: now,
                    public: told.to_string(),
                    private: None,
                };
                let sealed = audit::seal(vec![event], &mut self.ids.clone(), now, uuid::Uuid::nil());
                audit::write_sealed(tx, sealed).await?;
                Ok::<bool, StoreError>(true)
            })
            .await
    }
}

/// Warns as budgets are used, until told to stop.
pub async fn keep_warning(state: Data<State>, mut stop: tokio::sync::watch::Receiver<bool>) {
    loop {
        match on_the_way(&state).await {
            Ok(0) => {}
            Ok(budgets) => tracing::info!(budgets, "payers were warned of their budgets"),
            Err(error) => tracing::warn!(%error, "warnings of budgets wait; they go on by themselves"),
        }
        tokio::select! {
            _ = stop.changed() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Warns of what is used at the present instant; how many budgets.
///
/// # Errors
/// The store's.
pub async fn on_the_way(state: &State) -> Result<u64, StoreError> {
    let warned = Work::of(state).run(state.now()).await?;
    if warned > 0 {
        state.committed.notify_one();
    }
    Ok(warned)
}
