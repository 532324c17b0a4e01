//! The audit trail for proving it: blocks that are not chained yet, checkpoints, and what events say.

use super::{looked_up, read_all};
use crate::audit::{StoredBlock, StoredEvent};
use crate::row::Row;
use crate::{Reads, StoreError};
use kernel::{BlockId, EventId, OrganizationId};
use sea_orm::QueryResult;
use std::collections::HashMap;

/// A block with its events, in their places.
pub type BlockOfEvents = (StoredBlock, Vec<StoredEvent>);

/// Blocks without a number after a place in the order of their writing, and the place to go on after.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn unchained_blocks(
    reads: &impl Reads,
    after: i64,
    limit: i64,
) -> Result<(Vec<BlockOfEvents>, i64), StoreError> {
    let rows = reads
        .rows(
            "SELECT * FROM blocks WHERE number IS NULL AND seq > $1 ORDER BY seq LIMIT $2",
            vec![after.into(), limit.into()],
        )
        .await?;
    let end = rows.last().map_or(Ok(after), |row| row.int("seq"))?;
    let blocks = rows.iter().map(StoredBlock::read).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<BlockId> = blocks.iter().map(|block| block.id).collect();
    let rows = looked_up(reads, &ids, |set| {
        format!("SELECT e.* FROM {set} JOIN events e ON e.block_id = r.id ORDER BY e.block_id, e.place")
    })
    .await?;
    let mut events: HashMap<BlockId, Vec<StoredEvent>> = HashMap::new();
    for row in rows {
        events.entry(row.id("block_id")?).or_default().push(StoredEvent {
            id: row.id("id")?,
            cursor: (0, row.int("place")?),
            kind: row.text("kind")?,
            organization: row.maybe_id("organization_id")?,
            actor: row.text("actor")?,
            at: row.instant("at")?,
            public: row.text("public")?,
            private: row.maybe_text("private")?,
            salt: row.maybe_bytes("salt")?,
            commitment: row.bytes("commitment")?,
        });
    }
    let blocks = blocks.into_iter().map(|block| {
        let held = events.remove(&block.id).unwrap_or_default();
        (block, held)
    });
    Ok((blocks.collect(), end))
}

/// The lowest number above `number` that a block has.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn next_number(reads: &impl Reads, number: i64) -> Result<Option<i64>, StoreError> {
    let rows = reads.rows("SELECT MIN(number) AS number FROM blocks WHERE number > $1", vec![number.into()]).await?;
    rows.first().map_or(Ok(None), |row| row.maybe_int("number"))
}

/// Signed checkpoints with numbers in `(after, up_to]`: number, chain hash, signature.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn checkpoints(
    reads: &impl Reads,
    after: i64,
    up_to: i64,
) -> Result<HashMap<i64, (Vec<u8>, Vec<u8>)>, StoreError> {
    let rows = reads
        .rows(
            "SELECT number, chain, signature FROM checkpoints WHERE number > $1 AND number <= $2",
            vec![after.into(), up_to.into()],
        )
        .await?;
    rows.iter().map(|row| Ok((row.int("number")?, (row.bytes("chain")?, row.bytes("signature")?)))).collect()
}

/// An event whose block is not there.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn event_without_block(reads: &impl Reads) -> Result<Option<(EventId, BlockId)>, StoreError> {
    let rows = reads
        .rows(
            "SELECT e.id, e.block_id FROM events e \
             WHERE NOT EXISTS (SELECT 1 FROM blocks b WHERE b.id = e.block_id) ORDER BY e.id LIMIT 1",
            vec![],
        )
        .await?;
    rows.first().map(|row| Ok((row.id("id")?, row.id("block_id")?))).transpose()
}

/// What an event says, without the parts that only its hash needs.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Its id.
    pub id: EventId,
    /// Its block, and its place in it.
    pub place: (BlockId, i64),
    /// What happened.
    pub kind: String,
    /// To whom.
    pub organization: Option<OrganizationId>,
    /// Who did it.
    pub actor: String,
    /// When, microseconds since 1970.
    pub at: i64,
    /// The facts, JSON.
    pub public: String,
}

const FACT: &str = "SELECT id, block_id, place, kind, organization_id, actor, at, public FROM events";

pub(super) fn fact(row: &QueryResult) -> Result<Fact, StoreError> {
    Ok(Fact {
        id: row.id("id")?,
        place: (row.id("block_id")?, row.int("place")?),
        kind: row.text("kind")?,
        organization: row.maybe_id("organization_id")?,
        actor: row.text("actor")?,
        at: row.int("at")?,
        public: row.text("public")?,
    })
}

/// Events of organizations after a place, block by block.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn facts_after(
    reads: &impl Reads,
    (block, place): (BlockId, i64),
    limit: i64,
) -> Result<Vec<Fact>, StoreError> {
    let sql = format!(
        "{FACT} WHERE (block_id, place) > ($1, $2) AND organization_id IS NOT NULL ORDER BY block_id, place LIMIT $3"
    );
    let rows = reads.rows(&sql, vec![block.uuid().into(), place.into(), limit.into()]).await?;
    read_all("events", &rows, fact)
}

/// Events that are no organization's, in the order of their ids.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn facts_of_none(reads: &impl Reads, after: EventId, limit: i64) -> Result<Vec<Fact>, StoreError> {
    let sql = format!("{FACT} WHERE organization_id IS NULL AND id > $1 ORDER BY id LIMIT $2");
    let rows = reads.rows(&sql, vec![after.uuid().into(), limit.into()]).await?;
    read_all("events", &rows, fact)
}
