//! Money comes in as a job: what is due of each open invoice is found from the data, day by day: a card is asked,
//! or a step of dunning taken. No provider is called inside a transaction: what it will be asked is recorded, then it is asked,
//! then what came of it is recorded. What was left in between, by a crash or a lost answer, is settled by asking what came of
//! it first. So two at once, or one twice, take no money twice.

use crate::app::schedule;
use crate::months;
use crate::paying;
use crate::problem::Problem;
use crate::refunding;
use crate::resuming;
use crate::state::{State, store_problem};
use actix_web::web::Data;
use billing::collection::{self, Desk, Next};
use billing::dunning::Schedule;
use billing::payment::Outcome;
use chrono::{NaiveDate, TimeDelta};
use futures_util::{StreamExt, stream};
use kernel::{Clock, Month, PaymentId, SubscriptionId, SystemClock, Timestamp};
use marketplace::till::Till;
use providers::Providers;
use std::fmt;
use std::time::Duration;
use store::payments::{OpenInvoice, PaymentRow};
use store::{Actor, Db, StoreError, audit, leases, payments};

/// How often the job looks whether something is due.
const LOOK: Duration = Duration::from_secs(30);
/// Name of the lease under which money is collected.
const LEASE: &str = "collection";
/// How long the lease is held without renewal.
const LEASE_SECONDS: i64 = 120;
/// Invoices and payments that are looked up at a time.
const STRIDE: i64 = 100;
/// Invoices that are worked on at a time: a provider takes its time.
const AT_ONCE: usize = 8;
/// Open invoices of a payer that are asked for when its card is replaced; the job goes on with the others.
const OF_PAYER: i64 = 20;

/// What collection runs with.
#[derive(Clone)]
pub struct Work {
    /// The database.
    pub db: Db,
    /// Where organizations change.
    pub till: Till,
    /// Who takes payments by card.
    pub providers: Providers,
    /// When what is not paid is asked for again.
    pub schedule: Schedule,
    /// The present instant.
    pub now: Timestamp,
    at_once: usize,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Work {
    /// At `now`.
    pub const fn new(db: Db, till: Till, providers: Providers, schedule: Schedule, now: Timestamp) -> Self {
        Self { db, till, providers, schedule, now, at_once: AT_ONCE }
    }

    /// The same, an invoice after the other, so that what happens happens in one order.
    pub fn one_by_one(self) -> Self {
        Self { at_once: 1, ..self }
    }

    /// In a server, at its present instant.
    pub fn of(state: &State) -> Self {
        Self::new(state.db.clone(), state.till.clone(), state.providers.clone(), schedule(&state.config), state.now())
    }

    /// The day whose work is to be done.
    pub fn today(&self) -> NaiveDate {
        months::day_at(self.now)
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Invoices that something was due for.
    pub invoices: u64,
    /// Payments and refunds of which nobody knows yet what came.
    pub unknown: u64,
    /// Organizations whose suspended entitlements resumed.
    pub resumed: u64,
}

/// Does what is due by today: first what came of payments that were left in between is found out, then each open invoice has
/// what is due of it, and what is suspended of who pays again resumes.
///
/// # Errors
/// The store's; what was done stays done, and the next run goes on.
pub async fn run(work: &Work) -> Result<Collected, StoreError> {
    let mut done = Collected {
        unknown: settle_all(work).await?.saturating_add(refunding::settle_all(work).await?),
        ..Collected::default()
    };
    let mut after = None;
    loop {
        let due = payments::due(&work.db, work.today(), after, STRIDE).await?;
        let Some(last) = due.last() else { break };
        after = last.next_on.map(|day| (day, last.id));
        done.invoices = done.invoices.saturating_add(u64::try_from(due.len()).unwrap_or(0));
        let mut working = stream::iter(&due).map(|invoice| one(work, invoice)).buffer_unordered(work.at_once);
        while let Some(came) = working.next().await {
            match came {
                Ok(()) => {}
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                Err(error) => {
                    tracing::error!(%error, "an invoice cannot be collected");
                    metrics::counter!("collection_failed_total").increment(1);
                }
            }
        }
    }
    done.resumed = resuming::all(&work.db, &work.till, Month::of(work.now)).await?;
    Ok(done)
}

/// What is due of one invoice.
async fn one(work: &Work, invoice: &OpenInvoice) -> Result<(), StoreError> {
    let begun = work.db.write("collect", async |tx| {
        let mut ids = work.till.ids();
        let mut new_id = || ids.uuid(work.now);
        let mut desk = Desk { tx, at: work.now, actor: Actor::System, new_id: &mut new_id, events: Vec::new() };
        let next = collection::begin(&mut desk, &work.schedule, invoice, work.today()).await?;
        let events = desk.events;
        audit::append(tx, events, &mut ids, work.now).await?;
        Ok::<_, StoreError>(next)
    });
    let Next::Ask(demand) = begun.await? else { return Ok(()) };
    let outcome = work.providers.pay(&demand).await;
    conclude(work, demand.payment, &outcome).await
}

/// Records what came of a payment, once; money goes to what its payer owes, and what is over is credit.
///
/// # Errors
/// The store's.
pub async fn conclude(work: &Work, payment: PaymentId, outcome: &Outcome) -> Result<(), StoreError> {
    count(outcome);
    let concluded = work.db.write("conclude-payment", async |tx| {
        let mut ids = work.till.ids();
        let mut new_id = || ids.uuid(work.now);
        let mut desk = Desk { tx, at: work.now, actor: Actor::System, new_id: &mut new_id, events: Vec::new() };
        if matches!(outcome, Outcome::Received(_)) {
            marketplace::settling::create_payer(&mut desk, payment).await?;
        }
        collection::conclude(&mut desk, &work.schedule, payment, outcome, work.today()).await?;
        let events = desk.events;
        audit::append(tx, events, &mut ids, work.now).await
    });
    concluded.await
}

/// Counts what came of asking a provider.
pub fn count(outcome: &Outcome) {
    let word = match outcome {
        Outcome::Received(_) => "received",
        Outcome::Declined { .. } => "declined",
        Outcome::Unknown => "unknown",
    };
    metrics::counter!("payments_total", "outcome" => word).increment(1);
}

/// Finds out what came of payments that were left in between; how many are still unknown.
async fn settle_all(work: &Work) -> Result<u64, StoreError> {
    let (mut unknown, mut after) = (0_u64, None);
    loop {
        let asked = payments::asked(&work.db, after, STRIDE).await?;
        let Some(last) = asked.last() else { return Ok(unknown) };
        after = Some(last.id);
        for row in &asked {
            if settle(work, row).await? == Outcome::Unknown {
                unknown = unknown.saturating_add(1);
            }
        }
    }
}

/// Asks what came of a payment before it is asked for again, under the same key.
async fn settle(work: &Work, row: &PaymentRow) -> Result<Outcome, StoreError> {
    if let Some(purchase) = row.purchase {
        return paying::settle(work, row, purchase).await;
    }
    let demand = collection::demand(row);
    let outcome = match work.providers.look_up(&demand).await {
        Some(outcome) => outcome,
        // Never heard of, so the demand was lost; a refused one is not asked for again.
        None if row.state == "asked" => work.providers.pay(&demand).await,
        None => Outcome::Unknown,
    };
    conclude(work, row.id, &outcome).await?;
    Ok(outcome)
}

/// Somebody says that something came of a payment: the provider is asked.
///
/// # Errors
/// The store's.
pub async fn hear(state: &State, payment: PaymentId) -> Result<(), StoreError> {
    let Some(row) = payments::find(&state.db, payment).await? else { return Ok(()) };
    if row.state != "received" {
        settle(&Work::of(state), &row).await?;
        resuming::of_payer(state, row.subscription).await;
        state.committed.notify_one();
    }
    Ok(())
}

/// Asks a payer's card for what it owes, whatever then resumes.
///
/// # Errors
/// The store's; what is due stays due, and the job goes on.
pub async fn ask(work: &Work, payer: SubscriptionId) -> Result<(), StoreError> {
    for invoice in payments::open(&work.db, payer, OF_PAYER).await? {
        one(work, &invoice).await?;
    }
    Ok(())
}

/// Asks a payer's card for what it owes.
///
/// # Errors
/// The store's; what is due stays due, and the job goes on.
pub async fn of_payer(state: &State, payer: SubscriptionId) -> Result<(), StoreError> {
    ask(&Work::of(state), payer).await?;
    resuming::of_payer(state, payer).await;
    state.committed.notify_one();
    Ok(())
}

/// Collects as days come, until told to stop.
pub async fn keep_collecting(state: Data<State>, mut stop: tokio::sync::watch::Receiver<bool>) {
    loop {
        match look(&state).await {
            Ok(done) if done == Collected::default() => {}
            Ok(Collected { invoices, unknown, resumed }) => {
                tracing::info!(invoices, unknown, resumed, "what is owed was asked for");
            }
            Err(error) => tracing::warn!(%error, "collection waits; it goes on by itself"),
        }
        tokio::select! {
            _ = stop.changed() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn look(state: &State) -> Result<Collected, StoreError> {
    let work = Work::of(state);
    let due = payments::first_due(&state.db, None).await?.is_some_and(|day| day <= work.today());
    let due = due || resuming::is_due(&state.db, Month::of(work.now)).await?;
    let asked = !payments::asked(&state.db, None, 1).await?.is_empty()
        || !store::refunds::asked(&state.db, None, 1).await?.is_empty();
    if !due && !asked {
        return Ok(Collected::default());
    }
    let now = SystemClock.now();
    let until = now + TimeDelta::seconds(LEASE_SECONDS);
    let held =
        state.db.write("collection", async |tx| leases::take(tx, LEASE, state.process, now, until).await).await?;
    if held.is_none() {
        return Ok(Collected::default());
    }
    let done = run(&work).await;
    let given: Result<(), StoreError> =
        state.db.write("collection", async |tx| leases::give_back(tx, LEASE, state.process).await).await;
    if let Err(error) = given {
        tracing::debug!(%error, "the lease of collection runs out by itself");
    }
    state.committed.notify_one();
    done
}

/// Does what is due by the present instant of the test clock.
///
/// # Errors
/// The store's, as a problem; what was done stays done.
pub async fn on_the_way(state: &State) -> Result<(), Problem> {
    run(&Work::of(state)).await.map_err(store_problem)?;
    state.committed.notify_one();
    Ok(())
}
