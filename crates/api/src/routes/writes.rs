//! What handlers write themselves: one transaction with its events and, for POSTs, the answer kept under the caller's
//! key. Purchases and all else that changes what an organization has go through the till instead.

use crate::caller::Caller;
use crate::problem::Problem;
use crate::routes::keys;
use crate::state::{State, store_problem};
use actix_web::{HttpRequest, HttpResponse};
use billing::collection::Desk;
use kernel::{Id, IdempotencyKey, OrganizationId, Timestamp};
use marketplace::order::request_hash;
use serde::Serialize;
use serde_json::{Map, Value};
use store::idempotency::{self, Kept};
use store::{Actor, AsStore, NewEvent, Reads, StoreError, Tx, audit};

/// Why nothing was written.
#[derive(Debug)]
pub enum Fault {
    /// The database.
    Store(StoreError),
    /// The request cannot be granted.
    Refused(Problem),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => store_problem(error),
            Fault::Refused(problem) => problem,
        }
    }
}

impl AsStore for Fault {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_conflict())
    }
}

/// Who writes, and from where.
#[derive(Clone, Debug)]
pub struct By {
    actor: Actor,
    address: Option<String>,
}

impl By {
    /// The caller of a request.
    pub fn of(caller: &Caller, request: &HttpRequest) -> Self {
        Self { actor: caller.actor(), address: request.peer_addr().map(|peer| peer.ip().to_string()) }
    }
}

/// One act of a handler: its instant, its ids and the events that tell of it.
pub struct Act<'a> {
    /// When, in business time.
    pub at: Timestamp,
    state: &'a State,
    by: &'a By,
    events: Vec<NewEvent>,
}

impl Act<'_> {
    /// A fresh id.
    pub fn id<I: Id>(&self) -> I {
        self.state.ids().next(self.at)
    }

    /// Does some work on what a payer owes, by this act's actor and at its instant; what it tells is this act's.
    ///
    /// # Errors
    /// The store's.
    pub async fn at_desk<T>(
        &mut self,
        tx: &Tx,
        work: impl AsyncFnOnce(&mut Desk<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (state, at) = (self.state, self.at);
        let mut new_id = || state.ids().uuid(at);
        let mut desk = Desk { tx, at, actor: self.by.actor, new_id: &mut new_id, events: Vec::new() };
        let done = work(&mut desk).await?;
        let events = desk.events;
        self.events.extend(events);
        Ok(done)
    }

    /// Tells what happened: facts by ids in `public`; names, addresses and free text in the object `personal`, which
    /// can be erased and which the address of the request is added to.
    pub fn event(&mut self, kind: &'static str, organization: Option<OrganizationId>, public: &Value, personal: Value) {
        let mut private = match personal {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        private.retain(|_, part| !part.is_null());
        if let Some(address) = &self.by.address {
            private.insert("address".to_owned(), Value::from(address.as_str()));
        }
        let private = (!private.is_empty()).then(|| Value::Object(private).to_string());
        let (actor, at, public) = (self.by.actor, self.at, public.to_string());
        self.events.push(NewEvent { kind, organization, actor, at, public, private });
    }
}

/// Runs `work` in one transaction, writes the events it told in the same one, and lets their readers know. `work` may
/// run more than once and has no effect outside the transaction.
///
/// # Errors
/// What `work` answers, and the store's; then nothing was changed.
pub async fn write<T>(
    state: &State,
    name: &'static str,
    by: &By,
    mut work: impl AsyncFnMut(&Tx, &mut Act<'_>) -> Result<T, Fault>,
) -> Result<T, Problem> {
    let mut touched = Vec::new();
    let done = state
        .db
        .write(name, async |tx| {
            let mut act = Act { at: state.now(), state, by, events: Vec::new() };
            let value = work(tx, &mut act).await?;
            touched = act.events.iter().filter_map(|event| event.organization).collect();
            // All of this process's acts share one source, so that ids go up also while a test clock stands still.
            let sealed = audit::seal(act.events, &mut state.ids(), act.at, uuid::Uuid::nil());
            audit::write_sealed(tx, sealed).await?;
            Ok::<T, Fault>(value)
        })
        .await?;
    state.wrote(&touched);
    Ok(done)
}

/// A POST with the key that it may carry: the answer of what it changed is kept for good.
#[derive(Debug)]
pub struct Keyed {
    caller: String,
    route: &'static str,
    key: Option<IdempotencyKey>,
    hash: [u8; 32],
}

impl Keyed {
    /// The key of a request with this parsed body; `route` is method and path.
    ///
    /// # Errors
    /// 400 where the key is none.
    pub fn of(
        caller: &Caller,
        route: &'static str,
        request: &HttpRequest,
        body: &impl Serialize,
    ) -> Result<Self, Problem> {
        let key = keys::optional(request)?;
        Ok(Self { caller: caller.actor().to_string(), route, key, hash: request_hash(body) })
    }

    /// The answer that was given under the key before.
    ///
    /// # Errors
    /// `idempotency-key-reused` where it was given to another body; the store's.
    pub async fn earlier(&self, reads: &impl Reads) -> Result<Option<HttpResponse>, Fault> {
        let Some(key) = &self.key else { return Ok(None) };
        let kept = idempotency::find(reads, &self.caller, self.route, key.as_str()).await?;
        Ok(kept.map(|kept| keys::replay(kept, &self.hash)).transpose()?)
    }

    /// Keeps an answer in the transaction that did what it tells, and gives it: `body` as JSON with `status`.
    ///
    /// # Errors
    /// The store's; a conflict where another kept one first, upon which the transaction runs again and finds it.
    pub async fn answer(
        &self,
        tx: &Tx,
        status: actix_web::http::StatusCode,
        body: &impl Serialize,
        at: Timestamp,
    ) -> Result<HttpResponse, Fault> {
        let answer = serde_json::to_string(body).map_err(Problem::internal)?;
        if let Some(key) = &self.key {
            let kept =
                Kept { request_hash: self.hash.to_vec(), status: i64::from(status.as_u16()), answer: answer.clone() };
            idempotency::keep(tx, (&self.caller, self.route, key.as_str()), &kept, at).await?;
        }
        Ok(HttpResponse::build(status).content_type("application/json").body(answer))
    }
}

/// An act of a page that is done once however often its form is sent: by the word that the form carries, and its data.
#[derive(Debug)]
pub struct Once {
    caller: String,
    route: &'static str,
    key: String,
}

impl Once {
    /// The act `route` of a form with this word and this data.
    pub fn of(caller: &Caller, route: &'static str, word: &str, data: &impl Serialize) -> Self {
        let key = hex::encode(request_hash(&(word, data)));
        Self { caller: caller.actor().to_string(), route, key }
    }

    /// What came of it before.
    ///
    /// # Errors
    /// The store's.
    pub async fn earlier(&self, reads: &impl Reads) -> Result<Option<String>, StoreError> {
        let kept = idempotency::find(reads, &self.caller, self.route, &self.key).await?;
        Ok(kept.map(|kept| kept.answer))
    }

    /// Keeps what came of it, in the transaction that did it.
    ///
    /// # Errors
    /// The store's.
    pub async fn keep(&self, tx: &Tx, outcome: &str, at: Timestamp) -> Result<(), StoreError> {
        let kept = Kept { request_hash: Vec::new(), status: 303, answer: outcome.to_owned() };
        idempotency::keep(tx, (&self.caller, self.route, &self.key), &kept, at).await
    }
}
