//! The month's turn as a job: at 02:00 UTC on the 1st, under a lease, all organizations that have not come to the
//! month by a command of their own are brought there, through the till like everything else; then their payers are billed.
//! It is found from the data what is due, so a server that was down for months does what it missed, and two schedulers at once do it once.

use crate::app::terms;
use crate::problem::Problem;
use crate::state::{State, store_problem};
use actix_web::web::Data;
use chrono::TimeDelta;
use kernel::{Clock, IdSource, Month, OrganizationId, SystemClock, Timestamp, micros};
use marketplace::invoicing::{self, Issued, Terms};
use marketplace::order::Command;
use marketplace::till::{Failure, Till};
use std::fmt;
use std::time::Duration;
use store::{Db, StoreError, invoices, leases, months, settings};
use tokio::task::JoinSet;

/// Hours after the month's begin at which the job comes.
const HOUR: i64 = 2;
/// How often the job looks whether a month has come.
const LOOK: Duration = Duration::from_secs(30);
/// Name of the lease under which months are turned.
const LEASE: &str = "month-turn";
/// How long the lease is held without renewal.
const LEASE_SECONDS: i64 = 120;
/// Organizations handed to the till at a time: some batches of it, and small beside its queue.
const STRIDE: i64 = 256;

/// The month that organizations are to have come to at `now`.
pub fn due_at(now: Timestamp) -> Month {
    Month::of(now.checked_sub_signed(TimeDelta::hours(HOUR)).unwrap_or(now))
}

/// What was run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Organizations that came to a month.
    pub turned: u64,
    /// Invoices that were issued.
    pub issued: u64,
    /// Organizations and payers that cannot be billed as they are; each has its line in the log, and is tried again.
    pub failed: u64,
}

impl Ran {
    fn and(self, other: Self) -> Self {
        Self {
            turned: self.turned.saturating_add(other.turned),
            issued: self.issued.saturating_add(other.issued),
            failed: self.failed.saturating_add(other.failed),
        }
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { turned, issued, failed } = self;
        write!(f, "{turned} organizations came to a new month, {issued} invoices were issued, {failed} failed")
    }
}

/// The first month up to `until` that something is due for.
async fn first_due(db: &Db, until: Month) -> Result<Option<Month>, StoreError> {
    let turn = months::earliest(db, until).await?.map(Month::next);
    let bill = invoices::earliest(db, until).await?;
    Ok(turn.into_iter().chain(bill).min())
}

/// Runs what is due up to `until`, month by month: all organizations come to it, then their payers are billed for it. One
/// that cannot be billed keeps no other from it.
///
/// # Errors
/// The store's, where the database or the till is away; what was done stays done, and the next run goes on.
pub async fn run(db: &Db, till: &Till, terms: &Terms, until: Month, now: Timestamp) -> Result<Ran, StoreError> {
    let mut ran = Ran::default();
    let mut month = first_due(db, until).await?.unwrap_or(until.next());
    while month <= until {
        ran = ran.and(run_month(db, till, terms, month, now).await?);
        month = month.next();
    }
    Ok(ran)
}

async fn run_month(db: &Db, till: &Till, terms: &Terms, month: Month, now: Timestamp) -> Result<Ran, StoreError> {
    let turned = turn_all(db, till, month).await?;
    // A payer whose organizations have not all come waits for them, since its bill takes what they renew.
    let Issued { issued, failed } =
        invoicing::issue_all(db, terms, month, turned.failed > 0, now, &mut IdSource::from_os()).await?;
    metrics::counter!("invoices_issued_total").increment(issued);
    metrics::counter!("invoices_failed_total").increment(failed);
    Ok(turned.and(Ran { turned: 0, issued, failed }))
}

async fn turn_all(db: &Db, till: &Till, month: Month) -> Result<Ran, StoreError> {
    let (mut ran, mut after) = (Ran::default(), None);
    loop {
        let due = months::due(db, month, after, STRIDE).await?;
        let Some(last) = due.last().copied() else { return Ok(ran) };
        after = Some(last);
        ran = ran.and(stride(till, due, month).await?);
    }
}

async fn stride(till: &Till, due: Vec<OrganizationId>, month: Month) -> Result<Ran, StoreError> {
    let mut handed = JoinSet::new();
    for organization in due {
        let till = till.clone();
        handed.spawn(async move { (organization, till.submit(Command::turn(organization, month)).await) });
    }
    let (mut ran, mut away) = (Ran::default(), None);
    while let Some(answer) = handed.join_next().await {
        match answer {
            Ok((_, Ok(_))) => ran.turned = ran.turned.saturating_add(1),
            Ok((_, Err(Failure::Unavailable))) => {
                away = Some(StoreError::Unavailable("the till is full or the database away".into()));
            }
            Ok((organization, Err(failure))) => {
                tracing::error!(%organization, %month, ?failure, "an organization cannot come to its month");
                ran.failed = ran.failed.saturating_add(1);
            }
            Err(error) => away = Some(StoreError::Unavailable(error.to_string())),
        }
    }
    metrics::counter!("months_turned_total").increment(ran.turned);
    metrics::counter!("months_failed_total").increment(ran.failed);
    away.map_or(Ok(ran), Err)
}

/// Turns months as they come, until told to stop.
pub async fn keep_turning(state: Data<State>, mut stop: tokio::sync::watch::Receiver<bool>) {
    loop {
        match look(&state).await {
            Ok(ran) if ran == Ran::default() => {}
            Ok(Ran { turned, issued, failed }) => tracing::info!(turned, issued, failed, "a month came"),
            Err(error) => tracing::warn!(%error, "a month's turn waits; it goes on by itself"),
        }
        tokio::select! {
            _ = stop.changed() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn look(state: &State) -> Result<Ran, StoreError> {
    let month = due_at(state.now());
    if first_due(&state.db, month).await?.is_none() {
        return Ok(Ran::default());
    }
    let now = SystemClock.now();
    let until = now + TimeDelta::seconds(LEASE_SECONDS);
    let held =
        state.db.write("month-turn", async |tx| leases::take(tx, LEASE, state.process, now, until).await).await?;
    // Another process is at it; what it leaves is found the next time. Both at once would do no harm but work.
    if held.is_none() {
        return Ok(Ran::default());
    }
    let ran = run(&state.db, &state.till, &terms(&state.config), month, state.now()).await;
    let given: Result<(), StoreError> =
        state.db.write("month-turn", async |tx| leases::give_back(tx, LEASE, state.process).await).await;
    if let Err(error) = given {
        tracing::debug!(%error, "the lease of months runs out by itself");
    }
    // What an invoice changed is in the feed.
    state.committed.notify_one();
    ran
}

/// Runs what falls due on the test clock's way to `target`, in order: the clock stands at each month's hour while its
/// month is turned.
///
/// # Errors
/// The store's, where the till cannot take it now; what was done stays done.
pub async fn on_the_way(state: &State, target: Timestamp) -> Result<(), Problem> {
    let Some(stored) = settings::number(&state.db, settings::CLOCK).await.map_err(store_problem)? else {
        return Ok(());
    };
    if micros(target) < stored {
        return Ok(());
    }
    let until = due_at(target);
    let mut month = first_due(&state.db, until).await.map_err(store_problem)?.unwrap_or(until.next());
    while month <= until {
        show(state, month.start() + TimeDelta::hours(HOUR)).await?;
        let ran = run_month(&state.db, &state.till, &terms(&state.config), month, state.now()).await;
        ran.map_err(store_problem)?;
        month = month.next();
    }
    state.committed.notify_one();
    Ok(())
}

/// Lets the test clock show an instant, if it is later than what it shows.
async fn show(state: &State, instant: Timestamp) -> Result<(), Problem> {
    let write = state.db.write("move-clock", async |tx| {
        settings::hold(tx, settings::CLOCK).await?;
        let stored = settings::number(tx, settings::CLOCK).await?.unwrap_or(i64::MAX);
        if stored < micros(instant) {
            settings::set_number(tx, settings::CLOCK, micros(instant)).await?;
        }
        Ok::<(), StoreError>(())
    });
    write.await.map_err(store_problem)?;
    if state.clock.is_test() && state.now() < instant {
        state.clock.set_test(Some(instant));
    }
    Ok(())
}
