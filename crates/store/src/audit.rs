//! The audit trail, which is the outbox too.
//!
//! What one commit wrote is a block that holds its events' hash. A leased job numbers blocks after their commit and
//! chains them, so that readers' order never skips one and no two transactions meet at a head of the chain. Personal
//! parts stand apart and enter the hash as a salted commitment: erasing a person deletes part and salt, and the chain
//! still proves.

use crate::row::Row;
use crate::sheet::{Columns, Kind, Sheet, or_nil, source};
use crate::{Db, StoreError, Tx};
use kernel::{BlockId, EventId, Id, IdSource, OrganizationId, ServiceKeyId, Timestamp, UserId, micros};
use sea_orm::{DatabaseBackend, QueryResult, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Actor {
    /// A person.
    User(UserId),
    /// The platform, by a service key.
    Service(ServiceKeyId),
    /// The operator at the machine, or a job.
    System,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::Service(id) => id.fmt(f),
            Self::System => f.write_str("system"),
        }
    }
}

/// Something that happened, not written yet.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What, `noun.past` (`purchase.completed`).
    pub kind: &'static str,
    /// Whose, where it is one organization's.
    pub organization: Option<OrganizationId>,
    /// Who did it.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
    /// Facts by ids, JSON; before and after.
    pub public: String,
    /// Personal part (address, free text), JSON; erasable.
    pub private: Option<String>,
}

/// An event as it is stored.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its id.
    pub id: EventId,
    /// The block's number and the event's place in it: the readers' cursor.
    pub cursor: (i64, i64),
    /// As in [`NewEvent`].
    pub kind: String,
    /// As in [`NewEvent`].
    pub organization: Option<OrganizationId>,
    /// As in [`NewEvent`], as text.
    pub actor: String,
    /// As in [`NewEvent`].
    pub at: Timestamp,
    /// As in [`NewEvent`].
    pub public: String,
    /// As in [`NewEvent`]; none once erased.
    pub private: Option<String>,
    /// Salt of the commitment; none once erased.
    pub salt: Option<Vec<u8>>,
    /// SHA-256 of salt and personal part; empty where there was none.
    pub commitment: Vec<u8>,
}

pub(crate) const EVENTS: Columns = &[
    ("id", Kind::Uuid),
    ("block_id", Kind::Uuid),
    ("place", Kind::Int),
    ("kind", Kind::Text),
    ("organization_id", Kind::NullUuid),
    ("actor", Kind::Text),
    ("at", Kind::Int),
    ("public", Kind::Text),
    ("private", Kind::NullText),
    ("salt", Kind::NullBytes),
    ("commitment", Kind::Bytes),
];

pub(crate) const BLOCKS: Columns =
    &[("id", Kind::Uuid), ("origin", Kind::Uuid), ("at", Kind::Int), ("events", Kind::Int), ("hash", Kind::Bytes)];

/// The rows of one commit's events and of their block; none for no events.
#[must_use]
pub fn seal(events: Vec<NewEvent>, ids: &mut IdSource, at: Timestamp, origin: Uuid) -> (Sheet, Sheet) {
    let (mut rows, mut blocks) = (Sheet::new(EVENTS), Sheet::new(BLOCKS));
    if events.is_empty() {
        return (rows, blocks);
    }
    let block: BlockId = ids.next(at);
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    let mut hash = block_hasher(block, at, count);
    for (place, event) in (0_i64..).zip(events) {
        let id: EventId = ids.next(at);
        let (salt, commitment) = match &event.private {
            None => (Vec::new(), Vec::new()),
            Some(part) => {
                let salt = ids.bytes::<16>().to_vec();
                let commitment = commitment(&salt, part);
                (salt, commitment)
            }
        };
        let organization = event.organization.map(Id::uuid);
        hash.update(event_hash(
            id,
            event.kind,
            organization.unwrap_or_default().as_bytes(),
            &event.actor.to_string(),
            micros(event.at),
            &event.public,
            &commitment,
        ));
        rows.push([
            id.uuid().into(),
            block.uuid().into(),
            place.into(),
            event.kind.into(),
            or_nil(organization),
            event.actor.to_string().into(),
            micros(event.at).into(),
            event.public.into(),
            event.private.unwrap_or_default().into(),
            salt.into(),
            commitment.into(),
        ]);
    }
    blocks.push([block.uuid().into(), origin.into(), micros(at).into(), count.into(), hash.finalize().to_vec().into()]);
    (rows, blocks)
}

/// Writes events as a block of their own, in the caller's transaction.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn append(tx: &Tx, events: Vec<NewEvent>, ids: &mut IdSource, at: Timestamp) -> Result<(), StoreError> {
    write_sealed(tx, seal(events, ids, at, Uuid::nil())).await
}

/// Writes what [`seal`] made, in the caller's transaction: for who shares a source of ids and cannot keep it meanwhile.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn write_sealed(tx: &Tx, (rows, blocks): (Sheet, Sheet)) -> Result<(), StoreError> {
    crate::sheet::insert(tx, "blocks", BLOCKS, blocks, "").await?;
    crate::sheet::insert(tx, "events", EVENTS, rows, "").await?;
    Ok(())
}

fn block_hasher(block: BlockId, at: Timestamp, events: i64) -> Sha256 {
    let mut hash = Sha256::new_with_prefix(b"purser block 1");
    hash.update(block.uuid().as_bytes());
    hash.update(micros(at).to_be_bytes());
    hash.update(events.to_be_bytes());
    hash
}

fn commitment(salt: &[u8], part: &str) -> Vec<u8> {
    let mut hash = Sha256::new_with_prefix(b"purser part 1");
    hash.update(salt);
    hash.update(part.as_bytes());
    hash.finalize().to_vec()
}

/// Each field is preceded by its length, so that no two different events are the same bytes.
fn event_hash(
    id: EventId,
    kind: &str,
    organization: &[u8; 16],
    actor: &str,
    at: i64,
    public: &str,
    commitment: &[u8],
) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"purser event 1");
    hash.update(id.uuid().as_bytes());
    hash.update(organization);
    hash.update(at.to_be_bytes());
    for field in [kind.as_bytes(), actor.as_bytes(), public.as_bytes(), commitment] {
        hash.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}

fn chain_hash(previous: &[u8], number: i64, block: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new_with_prefix(b"purser chain 1");
    hash.update(previous);
    hash.update(number.to_be_bytes());
    hash.update(block);
    hash.finalize().to_vec()
}

/// The head of the chain: the last block's number and chain hash; nothing before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the last block, 0 before the first.
    pub number: i64,
    /// Its chain hash; empty before the first.
    pub chain: Vec<u8>,
}

const NUMBERS: Columns = &[("id", Kind::Uuid), ("number", Kind::Int), ("chain", Kind::Bytes)];

/// Numbers a set of blocks: an insertion that always meets its row, since that begins with the set whatever the planner
/// believes of the table, where an update may read all blocks at each turn.
pub(crate) fn chain_statement(backend: DatabaseBackend) -> String {
    format!(
        "INSERT INTO blocks (seq, id, origin, at, events, hash, number, chain) \
         SELECT b.seq, b.id, b.origin, b.at, b.events, b.hash, r.number, r.chain \
         FROM {} CROSS JOIN blocks b WHERE b.id = r.id \
         ON CONFLICT (seq) DO UPDATE SET number = excluded.number, chain = excluded.chain",
        source(backend, NUMBERS, 1)
    )
}

/// How many blocks one turn of the job numbers.
const TURN: i64 = 2_000;

/// Numbers and chains what was committed since, in the caller's transaction, which must hold the lease `audit-chain`.
/// Answers the head and how many blocks are new.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn chain(tx: &Tx) -> Result<(Head, usize), StoreError> {
    let mut head = head(tx).await?;
    let rows =
        tx.query("SELECT id, hash FROM blocks WHERE number IS NULL ORDER BY seq LIMIT $1", vec![TURN.into()]).await?;
    let mut sheet = Sheet::new(NUMBERS);
    for row in rows {
        head.number = head.number.saturating_add(1);
        head.chain = chain_hash(&head.chain, head.number, &row.bytes("hash")?);
        let id: BlockId = row.id("id")?;
        sheet.push([id.uuid().into(), head.number.into(), head.chain.clone().into()]);
    }
    let new = sheet.len();
    if new > 0 {
        let touched = tx.execute(&chain_statement(tx.backend()), sheet.into_values(tx.backend())).await?;
        if usize::try_from(touched) != Ok(new) {
            return Err(StoreError::Conflict("blocks were numbered by another".into()));
        }
    }
    Ok((head, new))
}

/// The head of the chain as this transaction sees it.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn head(tx: &Tx) -> Result<Head, StoreError> {
    let row = tx
        .query_one("SELECT number, chain FROM blocks WHERE number IS NOT NULL ORDER BY number DESC LIMIT 1", vec![])
        .await?;
    row.map_or(Ok(Head::default()), |row| Ok(Head { number: row.int("number")?, chain: row.bytes("chain")? }))
}

/// Keeps a signed checkpoint of the chain's head.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn put_checkpoint(tx: &Tx, head: &Head, at: Timestamp, signature: &[u8]) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO checkpoints (number, chain, at, signature) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        vec![head.number.into(), head.chain.clone().into(), micros(at).into(), signature.to_vec().into()],
    )
    .await?;
    Ok(())
}

/// What a checkpoint signs.
#[must_use]
pub fn checkpoint_message(number: i64, chain: &[u8]) -> Vec<u8> {
    let mut message = b"purser checkpoint 1".to_vec();
    message.extend(number.to_be_bytes());
    message.extend(chain);
    message
}

/// A block as it is stored, for proving the chain.
#[derive(Clone, Debug)]
pub struct StoredBlock {
    /// Its id.
    pub id: BlockId,
    /// When it was committed.
    pub at: Timestamp,
    /// How many events it holds.
    pub events: i64,
    /// Hash of the events.
    pub hash: Vec<u8>,
    /// Place in the chain, once given.
    pub number: Option<i64>,
    /// Chain hash, once given.
    pub chain: Option<Vec<u8>>,
}

impl StoredBlock {
    /// Reads a row of `blocks`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a column cannot be read.
    pub fn read(row: &QueryResult) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id")?,
            at: row.instant("at")?,
            events: row.int("events")?,
            hash: row.bytes("hash")?,
            number: row.maybe_int("number")?,
            chain: row.maybe_bytes("chain")?,
        })
    }

    /// True where `events`, in their places, are what this block was sealed over.
    #[must_use]
    pub fn holds(&self, events: &[StoredEvent]) -> bool {
        if usize::try_from(self.events) != Ok(events.len()) {
            return false;
        }
        let mut hash = block_hasher(self.id, self.at, self.events);
        for event in events {
            let committed = match (&event.private, &event.salt) {
                (Some(part), Some(salt)) => commitment(salt, part) == event.commitment,
                (None, None) => true,
                _ => false,
            };
            if !committed {
                return false;
            }
            hash.update(event_hash(
                event.id,
                &event.kind,
                event.organization.map(Id::uuid).unwrap_or_default().as_bytes(),
                &event.actor,
                micros(event.at),
                &event.public,
                &event.commitment,
            ));
        }
        self.hash == *hash.finalize()
    }

    /// True where the block follows `previous` in the chain.
    #[must_use]
    pub fn follows(&self, previous: &Head) -> bool {
        let number = previous.number.saturating_add(1);
        self.number == Some(number)
            && self.chain.as_deref() == Some(chain_hash(&previous.chain, number, &self.hash).as_slice())
    }
}

const EVENT_COLUMNS: &str = "e.id, COALESCE(b.number, 0) AS number, e.place, e.kind, e.organization_id, e.actor, e.at, \
     e.public, e.private, e.salt, e.commitment";

fn event(row: &QueryResult) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        id: row.id("id")?,
        cursor: (row.int("number")?, row.int("place")?),
        kind: row.text("kind")?,
        organization: row.maybe_id("organization_id")?,
        actor: row.text("actor")?,
        at: row.instant("at")?,
        public: row.text("public")?,
        private: row.maybe_text("private")?,
        salt: row.maybe_bytes("salt")?,
        commitment: row.bytes("commitment")?,
    })
}

/// Chained events after a cursor, in the chain's order.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn events_after(db: &Db, after: (i64, i64), limit: i64) -> Result<Vec<StoredEvent>, StoreError> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM blocks b JOIN events e ON e.block_id = b.id \
         WHERE b.number >= $1 AND (b.number > $1 OR e.place > $2) ORDER BY b.number, e.place LIMIT $3"
    );
    let rows = db.query(&sql, vec![after.0.into(), after.1.into(), limit.into()]).await?;
    rows.iter().map(event).collect()
}

/// An organization's trail, newest first, before an event.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn trail(
    db: &Db,
    organization: OrganizationId,
    before: Option<EventId>,
    limit: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM events e JOIN blocks b ON b.id = e.block_id \
         WHERE e.organization_id = $1 AND e.id < $2 ORDER BY e.id DESC LIMIT $3"
    );
    let before = before.map_or(uuid::Uuid::max(), Id::uuid);
    let rows = db.query(&sql, vec![organization.uuid().into(), before.into(), limit.into()]).await?;
    rows.iter().map(event).collect()
}

/// The whole trail, newest first, before an event.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn whole_trail(db: &Db, before: Option<EventId>, limit: i64) -> Result<Vec<StoredEvent>, StoreError> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM events e JOIN blocks b ON b.id = e.block_id WHERE e.id < $1 ORDER BY e.id DESC LIMIT $2"
    );
    let before = before.map_or(uuid::Uuid::max(), Id::uuid);
    let rows = db.query(&sql, vec![before.into(), limit.into()]).await?;
    rows.iter().map(event).collect()
}

/// The chain's head outside a transaction, for readers that start now.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn last_number(db: &Db) -> Result<i64, StoreError> {
    let row = db.query_one("SELECT COALESCE(MAX(number), 0) AS number FROM blocks", vec![]).await?;
    row.map_or(Ok(0), |row| row.int("number"))
}

/// Organizations that had an event in blocks of the chain in `(after, until]`, those of the till of `origin` apart.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn touched(db: &Db, after: i64, until: i64, origin: Uuid) -> Result<Vec<OrganizationId>, StoreError> {
    let rows = db
        .query(
            "SELECT e.organization_id FROM blocks b JOIN events e ON e.block_id = b.id \
             WHERE b.number > $1 AND b.number <= $2 AND b.origin <> $3",
            vec![after.into(), until.into(), origin.into()],
        )
        .await?;
    rows.iter().filter_map(|row| row.maybe_id("organization_id").transpose()).collect()
}

/// Events of the blocks in `(after, after + count]` of the chain, with their blocks, for proving it.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn blocks_after(tx: &Tx, after: i64, count: i64) -> Result<Vec<(StoredBlock, Vec<StoredEvent>)>, StoreError> {
    let bounds: Vec<Value> = vec![after.into(), count.into()];
    let rows = tx
        .query("SELECT * FROM blocks WHERE number > $1 AND number <= $1 + $2 ORDER BY number", bounds.clone())
        .await?;
    let mut blocks =
        rows.iter().map(|r| Ok((StoredBlock::read(r)?, vec![]))).collect::<Result<Vec<_>, StoreError>>()?;
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM blocks b JOIN events e ON e.block_id = b.id \
         WHERE b.number > $1 AND b.number <= $1 + $2 ORDER BY b.number, e.place"
    );
    let mut place = blocks.iter_mut().peekable();
    for row in tx.query(&sql, bounds).await? {
        let event = event(&row)?;
        while place.peek().is_some_and(|(block, _)| block.number < Some(event.cursor.0)) {
            place.next();
        }
        if let Some((_, events)) = place.peek_mut() {
            events.push(event);
        }
    }
    Ok(blocks)
}

/// The signed checkpoints, oldest first: number, chain hash, signature.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn checkpoints(tx: &Tx) -> Result<Vec<(i64, Vec<u8>, Vec<u8>)>, StoreError> {
    let rows = tx.query("SELECT number, chain, signature FROM checkpoints ORDER BY number", vec![]).await?;
    rows.iter().map(|r| Ok((r.int("number")?, r.bytes("chain")?, r.bytes("signature")?))).collect()
}
