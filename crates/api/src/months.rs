//! The month's turn as a job: at 02:00 UTC on the 1st, under a lease, all organizations that have not come to the
//! month by a command of their own are brought there, through the till like everything else; then their payers are billed.
//! It is found from the data what is due, so a server that was down for months does what it missed, and two schedulers at once do it once.

use crate::app::terms;
use crate::budgeting;
use crate::collecting;
use crate::problem::Problem;
use crate::resuming;
use crate::state::{State, store_problem};
use actix_web::web::Data;
use chrono::{NaiveDate, NaiveTime, TimeDelta};
use kernel::{Clock, Month, OrganizationId, SystemClock, Timestamp, micros};
use marketplace::invoicing::{self, Issued, Terms};
use marketplace::order::Command;
use marketplace::recognition;
use marketplace::till::{Answer, Failure, Till};
use std::fmt;
use std::time::Duration;
use store::{Db, StoreError, invoices, leases, ledger, months, payments, settings};
use tokio::task::JoinSet;

/// Hours after the month's begin at which the job comes.
const HOUR: i64 = 2;
/// How often the job looks whether a month has come.
const LOOK: Duration = Duration::from_secs(30);
/// Name of the lease under which months are turned.
const LEASE: &str = "month-turn";
/// How long the lease is held without renewal.
const LEASE_SECONDS: i64 = 120;
/// Organizations that are looked up at a time.
const STRIDE: i64 = 256;
/// Organizations that are in the till's hands at a time where purchases wait behind them: half a batch.
const BESIDE_PURCHASES: usize = 32;
/// The same where the till does nothing else: some batches, so that no lane waits for them.
const ALONE: usize = 256;

/// The month that organizations are to have come to at `now`.
pub fn due_at(now: Timestamp) -> Month {
    Month::of(now.checked_sub_signed(TimeDelta::hours(HOUR)).unwrap_or(now))
}

/// The day whose work is to be done at `now`: it begins with the month's own hour.
pub fn day_at(now: Timestamp) -> NaiveDate {
    now.checked_sub_signed(TimeDelta::hours(HOUR)).unwrap_or(now).date_naive()
}

/// What months are run with.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    db: &'a Db,
    till: &'a Till,
    terms: &'a Terms,
    in_hand: usize,
}

impl fmt::Debug for Work<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").finish_non_exhaustive()
    }
}

impl<'a> Work<'a> {
    /// In a till that purchases wait at too.
    fn beside_purchases(state: &'a State, terms: &'a Terms) -> Self {
        Self { db: &state.db, till: &state.till, terms, in_hand: BESIDE_PURCHASES }
    }

    /// In a till that is there for nothing else.
    pub const fn alone(db: &'a Db, till: &'a Till, terms: &'a Terms) -> Self {
        Self { db, till, terms, in_hand: ALONE }
    }
}

/// What was run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Organizations that came to a month.
    pub turned: u64,
    /// Invoices that were issued.
    pub issued: u64,
    /// Postings by which what was deferred became revenue.
    pub recognized: u64,
    /// Organizations and payers that cannot be billed as they are; each has its line in the log, and is tried again.
    pub failed: u64,
}

impl Ran {
    fn and(self, other: Self) -> Self {
        Self {
            turned: self.turned.saturating_add(other.turned),
            issued: self.issued.saturating_add(other.issued),
            recognized: self.recognized.saturating_add(other.recognized),
            failed: self.failed.saturating_add(other.failed),
        }
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { turned, issued, recognized, failed } = self;
        write!(
            f,
            "{turned} organizations came to a new month, {issued} invoices were issued, {failed} failed; {recognized} postings of revenue"
        )
    }
}

/// The first month up to `until` that something is due for.
///
/// # Errors
/// The store's.
pub async fn first_due(db: &Db, until: Month) -> Result<Option<Month>, StoreError> {
    let turn = months::earliest(db, until).await?.map(Month::next);
    let bill = invoices::earliest(db, until).await?;
    let over = ledger::first_deferred(db, until).await?.map(Month::next);
    Ok(turn.into_iter().chain(bill).chain(over).min())
}

/// Runs what is due up to `until`, month by month: all organizations come to it, then their payers are billed for it. One
/// that cannot be billed keeps no other from it.
///
/// # Errors
/// The store's, where the database or the till is away; what was done stays done, and the next run goes on.
pub async fn run(work: &Work<'_>, until: Month, now: Timestamp) -> Result<Ran, StoreError> {
    let mut ran = Ran::default();
    let mut month = first_due(work.db, until).await?.unwrap_or(until.next());
    while month <= until {
        ran = ran.and(run_month(work, month, now).await?);
        month = month.next();
    }
    Ok(ran)
}

async fn run_month(work: &Work<'_>, month: Month, now: Timestamp) -> Result<Ran, StoreError> {
    let turned = turn_all(work, month).await?;
    // A payer whose organizations have not all come waits for them, since its bill takes what they renew.
    let Issued { issued, failed } =
        invoicing::issue_all(work.db, work.terms, month, turned.failed > 0, now, &mut work.till.ids()).await?;
    metrics::counter!("invoices_issued_total").increment(issued);
    metrics::counter!("invoices_failed_total").increment(failed);
    // What is charged for the month that is over by an organization that comes later is recognized then.
    let recognized = recognition::recognize_all(work.db, month, now, &work.till.ids()).await?;
    Ok(turned.and(Ran { issued, failed, recognized, ..Ran::default() }))
}

async fn turn_all(work: &Work<'_>, month: Month) -> Result<Ran, StoreError> {
    let (mut ran, mut after, mut handed) = (Ran::default(), None, JoinSet::new());
    loop {
        let due = months::due(work.db, month, after, STRIDE).await?;
        let Some(last) = due.last().copied() else { break };
        after = Some(last);
        for organization in due {
            if handed.len() >= work.in_hand {
                ran = ran.and(came(&mut handed, month).await?);
            }
            let till = work.till.clone();
            handed.spawn(async move { (organization, till.submit(Command::turn(organization, month)).await) });
        }
    }
    while !handed.is_empty() {
        ran = ran.and(came(&mut handed, month).await?);
    }
    Ok(ran)
}

/// Waits for one of those that were handed to the till.
async fn came(
    handed: &mut JoinSet<(OrganizationId, Result<Answer, Failure>)>,
    month: Month,
) -> Result<Ran, StoreError> {
    match handed.join_next().await {
        None => Ok(Ran::default()),
        Some(Ok((_, Ok(_)))) => {
            metrics::counter!("months_turned_total").increment(1);
            Ok(Ran { turned: 1, ..Ran::default() })
        }
        Some(Ok((_, Err(Failure::Unavailable)))) => {
            Err(StoreError::Unavailable("the till is full or the database away".into()))
        }
        Some(Ok((organization, Err(failure)))) => {
            tracing::error!(%organization, %month, ?failure, "an organization cannot come to its month");
            metrics::counter!("months_failed_total").increment(1);
            Ok(Ran { failed: 1, ..Ran::default() })
        }
        Some(Err(error)) => Err(StoreError::Unavailable(error.to_string())),
    }
}

/// Turns months as they come, until told to stop.
pub async fn keep_turning(state: Data<State>, mut stop: tokio::sync::watch::Receiver<bool>) {
    loop {
        match look(&state).await {
            Ok(ran) if ran == Ran::default() => {}
            Ok(Ran { turned, issued, recognized, failed }) => {
                tracing::info!(turned, issued, recognized, failed, "a month came");
            }
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
    let ran = run(&Work::beside_purchases(state, &terms(&state.config)), month, state.now()).await;
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
    // Whose payer was put right by now resumes before time goes on.
    resuming::all(&state.db, &state.till, Month::of(state.now())).await.map_err(store_problem)?;
    let (until, last) = (due_at(target), day_at(target));
    let mut month = first_due(&state.db, until).await.map_err(store_problem)?.unwrap_or(until.next());
    // What cannot be done today is tried again with whatever comes next, and holds nothing up.
    let mut done = None;
    loop {
        let day = payments::first_due(&state.db, done).await.map_err(store_problem)?.filter(|day| *day <= last);
        if month <= until && day.is_none_or(|day| month.first_day() <= day) {
            show(state, month.start() + TimeDelta::hours(HOUR)).await?;
            let ran = run_month(&Work::beside_purchases(state, &terms(&state.config)), month, state.now()).await;
            ran.map_err(store_problem)?;
            budgeting::on_the_way(state).await.map_err(store_problem)?;
            month = month.next();
        } else if let Some(day) = day {
            show(state, day.and_time(NaiveTime::MIN).and_utc() + TimeDelta::hours(HOUR)).await?;
            collecting::on_the_way(state).await?;
            done = Some(day);
        } else {
            break;
        }
    }
    budgeting::on_the_way(state).await.map_err(store_problem)?;
    // What was left in between is found out whatever the day.
    if !payments::asked(&state.db, None, 1).await.map_err(store_problem)?.is_empty() {
        collecting::on_the_way(state).await?;
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
