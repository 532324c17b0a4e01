//! The till: the one place where an organization's commercial state changes.
//!
//! A bounded queue and a few lanes, an organization in the hands of one lane at a time. A lane takes what waits, up to a
//! batch, and runs it in one transaction with a fixed number of statements: lock, load, decide each in turn against the
//! same book, write, commit, answer. A batch of one is the same code; no command waits for company.

use crate::book::{Book, Standing};
use crate::catalogue::Catalogue;
use crate::command::{Decision, Writes, decide};
use crate::order::{Command, Settling};
use crate::pending::{self, Collects};
use crate::policy::Policy;
use crate::queue::{self, Batch, Queue};
use crate::record::record;
use crate::refusal::Refusal;
use crate::settling;
use crate::shelf::Shelf;
use crate::turn::turn;
use crate::undo;
use kernel::{Clock, IdSource, OrganizationId, Timestamp};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::till::Record;
use store::{Db, StoreError};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

/// How often a batch that met another process is run again before its commands are answered 503.
const TRIES: u32 = 10;

/// The till's limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most commands in one transaction.
    pub batch: usize,
    /// Most commands that wait.
    pub queue: usize,
    /// Longest wait.
    pub wait: Duration,
}

/// What a command is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done now; the body to give, empty where the act has none.
    Done(String),
    /// It was done before under the same key: the same body.
    Replayed(String),
    /// A purchase waits for its payment, which is to be asked for; how it stands.
    Asked(Settling, String),
    /// It waits for its payment still: how it stands.
    Pending(String),
    /// There was nothing to do.
    Nothing,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub enum Failure {
    /// It may not be, or not so.
    Refused(Refusal),
    /// The queue is full, the wait was too long, or the database is away: the same command may be sent again.
    Unavailable,
    /// A fault of ours, which the log tells.
    Fault,
}

/// Called after each commit with the organizations that it touched.
pub type AfterCommit = Arc<dyn Fn(&[OrganizationId]) + Send + Sync>;

struct Slip {
    command: Command,
    answer: oneshot::Sender<Result<Answer, Failure>>,
}

type Waiting = queue::Waiting<Slip>;

#[derive(Default)]
struct Counter {
    queue: Queue<Slip>,
    /// Lanes that have a batch in hand.
    working: usize,
    closed: bool,
}

impl Counter {
    /// Whether an idle lane is to take what waits: at once where none works, and beside others when a quarter of a batch
    /// waits. A lane that takes each command alone the moment it comes keeps the database busy with commits.
    fn calls_a_lane(&self, limits: Limits) -> bool {
        let depth = self.working.saturating_mul(limits.batch.div_ceil(4));
        !self.queue.is_empty() && (self.working == 0 || self.queue.len() >= depth.max(1))
    }
}

struct Shared {
    counter: Mutex<Counter>,
    arrived: Notify,
    limits: Limits,
    db: Db,
    shelf: Arc<Shelf>,
    policy: Arc<Policy>,
    clock: Arc<dyn Clock>,
    after_commit: AfterCommit,
    /// One source for the whole process, so that ids are in the order in which things happen, whoever does them.
    ids: IdSource,
    origin: Uuid,
}

/// The till; cheap to clone.
#[derive(Clone)]
pub struct Till {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Till {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Till").finish_non_exhaustive()
    }
}

/// The lanes at work; ends when the till is closed and empty.
#[derive(Debug)]
pub struct Lanes(Vec<tokio::task::JoinHandle<()>>);

impl Lanes {
    /// Waits until all that was accepted is answered.
    pub async fn finish(self) {
        for lane in self.0 {
            if let Err(error) = lane.await {
                tracing::error!(%error, "a lane of the till broke");
            }
        }
    }
}

impl Till {
    /// Opens a till with so many lanes.
    #[must_use]
    pub fn open(
        db: Db,
        shelf: Arc<Shelf>,
        policy: Arc<Policy>,
        clock: Arc<dyn Clock>,
        (limits, lanes): (Limits, usize),
        after_commit: AfterCommit,
    ) -> (Self, Lanes) {
        Self::open_with(db, shelf, policy, clock, (limits, lanes), after_commit, IdSource::from_os())
    }

    /// The same with a source of ids that is handed in: a simulation's makes the same ones again.
    #[must_use]
    pub fn open_with(
        db: Db,
        shelf: Arc<Shelf>,
        policy: Arc<Policy>,
        clock: Arc<dyn Clock>,
        (limits, lanes): (Limits, usize),
        after_commit: AfterCommit,
        mut ids: IdSource,
    ) -> (Self, Lanes) {
        let origin = ids.uuid(clock.now());
        let shared = Arc::new(Shared {
            counter: Mutex::default(),
            arrived: Notify::new(),
            limits,
            db,
            shelf,
            policy,
            clock,
            after_commit,
            ids,
            origin,
        });
        let lanes = (0..lanes.max(1)).map(|_| tokio::spawn(lane(Arc::clone(&shared)))).collect();
        (Self { shared }, Lanes(lanes))
    }

    /// Hands a command in and waits for its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn submit(&self, command: Command) -> Result<Answer, Failure> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut counter = self.shared.lock();
            if counter.closed || counter.queue.len() >= self.shared.limits.queue {
                metrics::counter!("till_refused_total").increment(1);
                return Err(Failure::Unavailable);
            }
            let organization = command.organization();
            let item = Slip { command, answer: sender };
            counter.queue.push(Waiting { organization, since: Instant::now(), item });
            if counter.calls_a_lane(self.shared.limits) {
                self.shared.arrived.notify_one();
            }
        }
        // Beside the wait in the queue a batch may itself wait for others' locks. Who is told to come again asks with the
        // same key and gets what was done meanwhile.
        match tokio::time::timeout(self.shared.limits.wait.saturating_mul(2), receiver).await {
            Ok(answered) => answered.unwrap_or(Err(Failure::Fault)),
            Err(_) => Err(Failure::Unavailable),
        }
    }

    /// What the blocks of this till's commits are marked with.
    #[must_use]
    pub fn origin(&self) -> Uuid {
        self.shared.origin
    }

    /// Where this process's ids come from.
    #[must_use]
    pub fn ids(&self) -> IdSource {
        self.shared.ids.clone()
    }

    /// Takes no more commands; what was accepted is answered.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_waiters();
        self.shared.arrived.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Counter> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits, up to a batch, of organizations that no other lane holds; none once closed and empty.
    async fn take(&self) -> Option<Vec<Waiting>> {
        loop {
            let arrived = self.arrived.notified();
            let expired = {
                let mut counter = self.lock();
                let batch = if counter.calls_a_lane(self.limits) {
                    counter.queue.take(self.limits.batch, Instant::now(), self.limits.wait)
                } else {
                    Batch::default()
                };
                if !batch.taken.is_empty() {
                    counter.working += 1;
                    if counter.calls_a_lane(self.limits) {
                        self.arrived.notify_one();
                    }
                    expire(batch.expired);
                    return Some(batch.taken);
                }
                if counter.closed && counter.queue.is_empty() {
                    // The next lane is waiting to hear it too.
                    self.arrived.notify_one();
                    expire(batch.expired);
                    return None;
                }
                batch.expired
            };
            expire(expired);
            arrived.await;
        }
    }

    /// Gives organizations back, and commands that are to be decided in the next batch to the front of the queue.
    fn give_back(&self, held: &HashSet<OrganizationId>, later: Vec<Waiting>) {
        let mut counter = self.lock();
        counter.working = counter.working.saturating_sub(1);
        counter.queue.give_back(held, later);
        if counter.calls_a_lane(self.limits) || counter.closed {
            self.arrived.notify_one();
        }
    }
}

fn expire(waiting: Vec<Waiting>) {
    for waiting in waiting {
        metrics::counter!("till_expired_total").increment(1);
        // Who hung up meanwhile asks again with the same key.
        let _ = waiting.item.answer.send(Err(Failure::Unavailable));
    }
}

async fn lane(shared: Arc<Shared>) {
    while let Some(batch) = shared.take().await {
        let held: HashSet<_> = batch.iter().map(|waiting| waiting.organization).collect();
        metrics::histogram!("till_batch_commands").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        let later = run(&shared, batch).await;
        shared.give_back(&held, later);
    }
}

/// Runs a batch to its answers; what must be decided in the next one comes back.
async fn run(shared: &Shared, batch: Vec<Waiting>) -> Vec<Waiting> {
    let mut tried = 0;
    loop {
        let commands: Vec<&Command> = batch.iter().map(|waiting| &waiting.item.command).collect();
        tried += 1;
        match attempt(shared, &commands).await {
            Ok(verdict) => return answer(shared, batch, verdict),
            Err(StoreError::Conflict(why)) if tried < TRIES => {
                tracing::debug!(%why, tried, "a batch of the till is run again");
                metrics::counter!("till_retries_total").increment(1);
                tokio::time::sleep(store::db::backoff(tried)).await;
            }
            Err(StoreError::Conflict(why)) if batch.len() > 1 => {
                tracing::warn!(%why, commands = batch.len(), "a batch of the till is run singly");
                return singly(shared, batch).await;
            }
            Err(error @ (StoreError::Unavailable(_) | StoreError::Conflict(_))) => {
                tracing::warn!(%error, commands = batch.len(), "the till cannot write");
                for waiting in batch {
                    let _ = waiting.item.answer.send(Err(Failure::Unavailable));
                }
                return Vec::new();
            }
            Err(error) if batch.len() > 1 => {
                // One command breaks the batch: the others are answered without it.
                tracing::error!(%error, commands = batch.len(), "a batch of the till failed; it is run singly");
                return singly(shared, batch).await;
            }
            Err(error) => {
                tracing::error!(%error, "a command of the till failed");
                for waiting in batch {
                    let _ = waiting.item.answer.send(Err(Failure::Fault));
                }
                return Vec::new();
            }
        }
    }
}

async fn singly(shared: &Shared, batch: Vec<Waiting>) -> Vec<Waiting> {
    let mut later = Vec::new();
    for waiting in batch {
        later.extend(Box::pin(run(shared, vec![waiting])).await);
    }
    later
}

/// A decision without what was written: the reply to give, or none where the next batch decides.
type Settled = Option<Result<Answer, Refusal>>;

/// What became of a batch.
struct Verdict {
    /// One for each command.
    settled: Vec<Settled>,
    /// The organizations that something was written of.
    touched: Vec<OrganizationId>,
}

fn answer(shared: &Shared, batch: Vec<Waiting>, Verdict { settled, touched }: Verdict) -> Vec<Waiting> {
    let mut later = Vec::new();
    if !touched.is_empty() {
        // Before the answers go out, so that who has one reads what it did.
        (shared.after_commit)(&touched);
    }
    for (waiting, settled) in batch.into_iter().zip(settled) {
        match settled {
            // Who hung up meanwhile asks again with the same key.
            Some(reply) => drop(waiting.item.answer.send(reply.map_err(Failure::Refused))),
            None => later.push(waiting),
        }
    }
    later
}

/// One transaction: lock, load, decide each, write, commit.
async fn attempt(shared: &Shared, commands: &[&Command]) -> Result<Verdict, StoreError> {
    let asks: Vec<_> = commands.iter().map(|command| command.ask()).collect();
    let tx = shared.db.begin_till().await?;
    let worked = async {
        store::till::lock(&tx, &asks).await?;
        let loaded = store::till::facts(&tx, &asks).await?;
        let holdings = store::till::holdings(&tx, &asks).await?;
        let catalogue: Arc<Catalogue> = shared.shelf.at(&tx, loaded.catalogue).await?;
        let now = loaded.clock.unwrap_or_else(|| shared.clock.now());
        let (mut book, standings) =
            Book::gather(catalogue, Arc::clone(&shared.policy), &asks, (loaded.facts, holdings), now)?;
        if let Some((scopes, months)) = book.budgeted(&asks, now) {
            book.budgets.hold(store::budgets::load(&tx, &scopes, months).await?);
        }
        book.undoing = undo::load(&tx, commands).await?;
        for purchase in commands.iter().filter_map(|command| command.settles()) {
            book.collections.extend(pending::load(&tx, purchase).await?);
        }
        let (verdict, rows, collects) = settle(shared, &mut book, commands, &standings, now);
        let anything = rows.is_some();
        if let Some(rows) = rows {
            store::till::record(&tx, rows).await?;
        }
        if !collects.is_empty() {
            settling::write(&tx, &book, collects, now, &mut shared.ids.clone()).await?;
        }
        Ok((verdict, anything))
    };
    match worked.await {
        Ok((verdict, true)) => tx.commit().await.map(|()| verdict),
        Ok((verdict, false)) => {
            tx.rollback().await;
            Ok(verdict)
        }
        Err(error) => {
            tx.rollback().await;
            Err(error)
        }
    }
}

/// Decides each command in turn against the same book; the replies, the rows to write where there are any, and what else is
/// to be written of purchases that are paid at once.
fn settle(
    shared: &Shared,
    book: &mut Book,
    commands: &[&Command],
    standings: &[Standing],
    now: Timestamp,
) -> (Verdict, Option<Record>, Vec<Collects>) {
    let mut ids = shared.ids.clone();
    let mut writes = Vec::with_capacity(commands.len());
    let mut settled = Vec::with_capacity(commands.len());
    for (command, standing) in commands.iter().zip(standings) {
        writes.extend(turn(book, command.organization(), command.month(now), now, &mut ids));
        settled.push(match decide(book, command, standing, now, &mut ids) {
            Ok(Decision::Write(write, body)) => {
                writes.push(*write);
                Some(Ok(Answer::Done(body)))
            }
            Ok(Decision::Pend(write, settling, body)) => {
                writes.push(*write);
                Some(Ok(Answer::Asked(settling, body)))
            }
            Ok(Decision::Release(write, refusal)) => {
                writes.push(*write);
                Some(Err(refusal))
            }
            Ok(Decision::Pending(body)) => Some(Ok(Answer::Pending(body))),
            Ok(Decision::Replay(body)) => Some(Ok(Answer::Replayed(body))),
            Ok(Decision::Nothing) => Some(Ok(Answer::Nothing)),
            Ok(Decision::NextBatch) => None,
            Err(refusal) => Some(Err(refusal)),
        });
    }
    let touched = writes.iter().map(|write| write.organization).collect();
    let collects = writes.iter_mut().filter_map(|write: &mut Writes| write.collects.take()).collect();
    let rows = (!writes.is_empty()).then(|| record(book, writes, &mut ids, now, shared.origin));
    (Verdict { settled, touched }, rows, collects)
}
