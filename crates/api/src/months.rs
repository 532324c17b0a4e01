//! The month's turn as a job: at 02:00 UTC on the 1st, under a lease, all organizations that have not come to the
//! month by a command of their own are brought there, through the till like everything else; then their payers are billed.
//! It is found from the data what is due, so a server that was down for months does what it missed, and two schedulers at once do it once.

use crate::app::terms;
use crate::problem::Problem;
use crate::state::{State, store_problem};
use actix_web::web::Data;
use chrono::TimeDelta;
use kernel::{Clock, IdSource, Month, OrganizationId, SystemClock, Timestamp, micros};
use marketplace::invoicing::{self, Terms};
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
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} organizations came to a new month, {} invoices were issued", self.turned, self.issued)
    }
}

/// The first month up to `until` that something is due for.
async fn first_due(db: &Db, until: Month) -> Result<Option<Month>, StoreError> {
    let turn = months::earliest(db, until).await?.map(Month::next);
    let bill = invoices::earliest(db, until).await?;
    Ok(turn.into_iter().chain(bill).min())
}

/// Runs what is due up to `until`, month by month: all organizations come to it, then their payers are billed for it.
///
/// # Errors
/// The store's; what was done stays done, and the next run goes on.
pub async fn run(db: &Db, till: &Till, terms: &Terms, until: Month, now: Timestamp) -> Result<Ran, StoreError> {
    let mut ran = Ran::default();
    while let Some(month) = first_due(db, until).await? {
        let one = run_month(db, till, terms, month, now).await?;
        if one == Ran::default() && first_due(db, until).await? == Some(month) {
            return Err(StoreError::Refused(format!("nothing of {month} moves")));
        }
        ran = Ran { turned: ran.turned.saturating_add(one.turned), issued: ran.issued.saturating_add(one.issued) };
    }
    Ok(ran)
}

async fn run_month(db: &Db, till: &Till, terms: &Terms, month: Month, now: Timestamp) -> Result<Ran, StoreError> {
    let turned = turn_all(db, till, month).await?;
    let issued = invoicing::issue_all(db, terms, month, now, &mut IdSource::from_os()).await?;
    metrics::counter!("invoices_issued_total").increment(issued);
    Ok(Ran { turned, issued })
}

async fn turn_all(db: &Db, till: &Till, month: Month) -> Result<u64, StoreError> {
    let (mut turned, mut after) = (0, None);
    loop {
        let due = months::due(db, month, after, STRIDE).await?;
        let Some(last) = due.last().copied() else { return Ok(turned) };
        after = Some(last);
        turned += stride(till, due, month).await?;
    }
}

async fn stride(till: &Till, due: Vec<OrganizationId>, month: Month) -> Result<u64, StoreError> {
    let mut handed = JoinSet::new();
    for organization in due {
        let till = till.clone();
        handed.spawn(async move { till.submit(Command::turn(organization, month)).await });
    }
    let mut turned = 0;
    let mut failed = None;
    while let Some(answer) = handed.join_next().await {
        match answer {
            Ok(Ok(_)) => turned += 1,
            Ok(Err(Failure::Unavailable)) => failed = Some(StoreError::Unavailable("the till is full or away".into())),
            Ok(Err(failure)) => failed = Some(StoreError::Refused(format!("an organization's month: {failure:?}"))),
            Err(error) => failed = Some(StoreError::Refused(error.to_string())),
        }
    }
    metrics::counter!("months_turned_total").increment(turned);
    failed.map_or(Ok(turned), Err)
}

/// Turns months as they come, until told to stop.
pub async fn keep_turning(state: Data<State>, mut stop: tokio::sync::watch::Receiver<bool>) {
    loop {
        match look(&state).await {
            Ok(ran) if ran == Ran::default() => {}
            Ok(Ran { turned, issued }) => tracing::info!(turned, issued, "a month came"),
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
    while let Some(month) = first_due(&state.db, until).await.map_err(store_problem)? {
        show(state, month.start() + TimeDelta::hours(HOUR)).await?;
        let ran = run(&state.db, &state.till, &terms(&state.config), month, state.now()).await;
        ran.map_err(store_problem)?;
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
