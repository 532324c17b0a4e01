//! The till: the one place where an organization's commercial state changes.
//!
//! A bounded queue and a few lanes, an organization in the hands of one lane at a time. A lane takes what waits, up to a
//! batch, and runs it in one transaction with a fixed number of statements: lock, load, decide each in turn against the
//! same book, write, commit, answer. A batch of one is the same code; no command waits for company.

use crate::book::Book;
use crate::catalogue::Catalogue;
use crate::shelf::Shelf;
use crate::command::{Decision, Writes, decide};
use crate::order::Command;
use crate::policy::Policy;
use crate::record::record;
use crate::refusal::Refusal;
use kernel::{Clock, IdSource, OrganizationId, Timestamp};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Db, StoreError};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

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

struct Waiting {
    command: Command,
    since: Instant,
    answer: oneshot::Sender<Result<Answer, Failure>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    busy: HashSet<OrganizationId>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    arrived: Notify,
    limits: Limits,
    db: Db,
    shelf: Arc<Shelf>,
    policy: Arc<Policy>,
    clock: Arc<dyn Clock>,
    after_commit: AfterCommit,
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
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            arrived: Notify::new(),
            limits,
            db,
            shelf,
            policy,
            clock,
            after_commit,
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
            let mut queue = self.shared.lock();
            if queue.closed || queue.waiting.len() >= self.shared.limits.queue {
                metrics::counter!("till_refused_total").increment(1);
                return Err(Failure::Unavailable);
            }
            queue.waiting.push_back(Waiting { command, since: Instant::now(), answer: sender });
        }
        self.shared.arrived.notify_one();
        receiver.await.unwrap_or(Err(Failure::Fault))
    }

    /// Takes no more commands; what was accepted is answered.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_waiters();
        self.shared.arrived.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits, up to a batch, of organizations that no other lane holds; none once closed and empty.
    async fn take(&self) -> Option<Vec<Waiting>> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut queue = self.lock();
                let batch = pick(&mut queue, self.limits);
                if !batch.is_empty() {
                    if !queue.waiting.is_empty() {
                        self.arrived.notify_one();
                    }
                    return Some(batch);
                }
                if queue.closed && queue.waiting.is_empty() {
                    // The next lane is waiting to hear it too.
                    self.arrived.notify_one();
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// Gives organizations back, and commands that are to be decided in the next batch to the front of the queue.
    fn give_back(&self, held: &HashSet<OrganizationId>, later: Vec<Waiting>) {
        let mut queue = self.lock();
        for organization in held {
            queue.busy.remove(organization);
        }
        for waiting in later.into_iter().rev() {
            queue.waiting.push_front(waiting);
        }
        if !queue.waiting.is_empty() || queue.closed {
            self.arrived.notify_one();
        }
    }
}

/// Takes commands in their order; no organization has more than half of a batch, and one whose turn it is not keeps its
/// place and its order.
fn pick(queue: &mut Queue, limits: Limits) -> Vec<Waiting> {
    let mut batch = Vec::new();
    let mut share: HashMap<OrganizationId, usize> = HashMap::new();
    let mut kept = VecDeque::new();
    let most = limits.batch.div_ceil(2).max(1);
    while let Some(waiting) = queue.waiting.pop_front() {
        if batch.len() >= limits.batch.max(1) {
            kept.push_back(waiting);
            break;
        }
        if waiting.since.elapsed() > limits.wait {
            metrics::counter!("till_expired_total").increment(1);
            let _ = waiting.answer.send(Err(Failure::Unavailable));
            continue;
        }
        let organization = waiting.command.organization();
        let taken = share.entry(organization).or_insert(0);
        if queue.busy.contains(&organization) || *taken >= most {
            // Later ones of the same organization stay behind it.
            *taken = usize::MAX;
            kept.push_back(waiting);
            continue;
        }
        *taken += 1;
        batch.push(waiting);
    }
    kept.append(&mut queue.waiting);
    queue.waiting = kept;
    for waiting in &batch {
        queue.busy.insert(waiting.command.organization());
    }
    batch
}

async fn lane(shared: Arc<Shared>) {
    let mut ids = IdSource::from_os();
    while let Some(batch) = shared.take().await {
        let held: HashSet<_> = batch.iter().map(|waiting| waiting.command.organization()).collect();
        metrics::histogram!("till_batch_commands").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        let later = run(&shared, batch, &mut ids).await;
        shared.give_back(&held, later);
    }
}

/// Runs a batch to its answers; what must be decided in the next one comes back.
async fn run(shared: &Shared, batch: Vec<Waiting>, ids: &mut IdSource) -> Vec<Waiting> {
    let mut tried = 0;
    loop {
        let commands: Vec<&Command> = batch.iter().map(|waiting| &waiting.command).collect();
        tried += 1;
        match attempt(shared, &commands, ids).await {
            Ok(decided) => return answer(shared, batch, decided),
            Err(StoreError::Conflict(why)) if tried < TRIES => {
                tracing::debug!(%why, tried, "a batch of the till is run again");
                metrics::counter!("till_retries_total").increment(1);
                tokio::time::sleep(store::db::backoff(tried)).await;
            }
            Err(StoreError::Conflict(why)) if batch.len() > 1 => {
                tracing::warn!(%why, commands = batch.len(), "a batch of the till is run singly");
                return singly(shared, batch, ids).await;
            }
            Err(error @ (StoreError::Unavailable(_) | StoreError::Conflict(_))) => {
                tracing::warn!(%error, commands = batch.len(), "the till cannot write");
                for waiting in batch {
                    let _ = waiting.answer.send(Err(Failure::Unavailable));
                }
                return Vec::new();
            }
            Err(error) if batch.len() > 1 => {
                // One command breaks the batch: the others are answered without it.
                tracing::error!(%error, commands = batch.len(), "a batch of the till failed; it is run singly");
                return singly(shared, batch, ids).await;
            }
            Err(error) => {
                tracing::error!(%error, "a command of the till failed");
                for waiting in batch {
                    let _ = waiting.answer.send(Err(Failure::Fault));
                }
                return Vec::new();
            }
        }
    }
}

async fn singly(shared: &Shared, batch: Vec<Waiting>, ids: &mut IdSource) -> Vec<Waiting> {
    let mut later = Vec::new();
    for waiting in batch {
        later.extend(Box::pin(run(shared, vec![waiting], ids)).await);
    }
    later
}

fn answer(shared: &Shared, batch: Vec<Waiting>, decided: Vec<Result<Decision, Refusal>>) -> Vec<Waiting> {
    let mut later = Vec::new();
    let mut touched = Vec::new();
    for (waiting, decision) in batch.into_iter().zip(decided) {
        let reply = match decision {
            Ok(Decision::Write(writes, body)) => {
                touched.push(writes.organization);
                Ok(Answer::Done(body))
            }
            Ok(Decision::Replay(body)) => Ok(Answer::Replayed(body)),
            Ok(Decision::Nothing) => Ok(Answer::Nothing),
            Ok(Decision::NextBatch) => {
                later.push(waiting);
                continue;
            }
            Err(refusal) => Err(Failure::Refused(refusal)),
        };
        // Who hung up meanwhile asks again with the same key.
        let _ = waiting.answer.send(reply);
    }
    if !touched.is_empty() {
        (shared.after_commit)(&touched);
    }
    later
}

/// One transaction: lock, load, decide each, write, commit.
async fn attempt(
    shared: &Shared,
    commands: &[&Command],
    ids: &mut IdSource,
) -> Result<Vec<Result<Decision, Refusal>>, StoreError> {
    let asks: Vec<_> = commands.iter().map(|command| command.ask()).collect();
    let tx = shared.db.begin_till().await?;
    let worked = async {
        store::till::lock(&tx, &asks).await?;
        let loaded = store::till::facts(&tx, &asks).await?;
        let holdings = store::till::holdings(&tx, &asks).await?;
        let catalogue: Arc<Catalogue> = shared.shelf.at(&tx, loaded.catalogue).await?;
        let now = loaded.clock.unwrap_or_else(|| shared.clock.now());
        let (mut book, standings) =
            Book::gather(catalogue, Arc::clone(&shared.policy), &asks, loaded.facts, holdings)?;
        let decided: Vec<_> = commands
            .iter()
            .zip(&standings)
            .map(|(command, standing)| decide(&mut book, command, standing, now, ids))
            .collect();
        let writes = written(&decided);
        let anything = !writes.is_empty();
        if anything {
            store::till::record(&tx, record(&book, writes, ids, now)).await?;
        }
        Ok((decided, anything))
    };
    match worked.await {
        Ok((decided, true)) => tx.commit().await.map(|()| decided),
        Ok((decided, false)) => {
            tx.rollback().await;
            Ok(decided)
        }
        Err(error) => {
            tx.rollback().await;
            Err(error)
        }
    }
}

fn written(decided: &[Result<Decision, Refusal>]) -> Vec<Writes> {
    decided
        .iter()
        .filter_map(|decision| match decision {
            Ok(Decision::Write(writes, _)) => Some(writes.as_ref().clone()),
            _ => None,
        })
        .collect()
}

/// The instant of a question, by the test clock where there is one.
#[must_use]
pub fn instant_of(test_clock: Option<Timestamp>, clock: &dyn Clock) -> Timestamp {
    test_clock.unwrap_or_else(|| clock.now())
}
