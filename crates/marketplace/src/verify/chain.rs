//! The audit trail proves itself: each block holds its events, follows the one before, and no number is missing;
//! checkpoints are signed and are of this chain, which is not shorter than the last of them.

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use store::Tx;
use store::audit::{Head, StoredBlock, StoredEvent, blocks_after, checkpoint_message};
use store::proof::{self, Counts};

use super::{Difference, Row, VerifyError};

/// Blocks of one page. A batch of the till makes one block, a seed file one whatever its length.
const PAGE: i64 = 200;

/// What the trail holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chained {
    /// Blocks in the chain.
    pub blocks: i64,
    /// Blocks that wait for their number.
    pub unchained: i64,
    /// Checkpoints.
    pub checkpoints: i64,
}

/// Proves the whole trail.
///
/// # Errors
/// The first block, event or checkpoint that is not as it was written.
pub async fn prove(tx: &Tx, counts: &Counts, checkpoint_key: &[u8; 32]) -> Result<Chained, VerifyError> {
    let key = SigningKey::from_bytes(checkpoint_key).verifying_key();
    let (mut head, mut events, mut checkpoints) = (Head::default(), 0, 0);
    loop {
        let page = blocks_after(tx, head.number, PAGE).await?;
        if page.is_empty() {
            break;
        }
        let mut signed = proof::checkpoints(tx, head.number, head.number.saturating_add(PAGE)).await?;
        for (block, held) in page {
            let number = head.number.saturating_add(1);
            if block.number != Some(number) {
                return Err(Row("blocks", &number)
                    .differs("no block of that number", "one between its neighbours")
                    .into());
            }
            holds(&block, &held)?;
            events += block.events;
            if !block.follows(&head) {
                let stored = format!("chain hash {}", hex::encode(block.chain.as_deref().unwrap_or_default()));
                return Err(Row("blocks", &block.id)
                    .differs(stored, format!("another, after block {}", head.number))
                    .into());
            }
            head = Head { number, chain: block.chain.unwrap_or_default() };
            if let Some((chain, signature)) = signed.remove(&number) {
                attests(&key, &head, &chain, &signature)?;
                checkpoints += 1;
            }
        }
        // One whose number no block of this page has.
        if let Some(number) = signed.keys().min() {
            return Err(cut_off(*number, head.number).into());
        }
    }
    if head.number != counts.chained {
        let next = proof::next_number(tx, head.number).await?.unwrap_or_default();
        let facts = format!("block {} before it", head.number.saturating_add(1));
        return Err(Row("blocks", &format!("number {next}")).differs("this block", facts).into());
    }
    if checkpoints != counts.checkpoints {
        let later = proof::checkpoints(tx, head.number, i64::MAX).await?;
        return Err(cut_off(later.keys().min().copied().unwrap_or_default(), head.number).into());
    }
    let (unchained, waiting) = waiting(tx).await?;
    events += waiting;
    if events != counts.events {
        let lost = proof::event_without_block(tx).await?;
        return Err(lost
            .map_or_else(
                || Row("events", &"of all blocks").differs(counts.events.to_string(), events.to_string()),
                |(event, block)| Row("events", &event).differs(format!("block {block}"), "no such block"),
            )
            .into());
    }
    Ok(Chained { blocks: head.number, unchained, checkpoints })
}

/// Proves the blocks that have no number yet; how many there are, and their events.
async fn waiting(tx: &Tx) -> Result<(i64, i64), VerifyError> {
    let (mut last, mut blocks, mut events) = (i64::MIN, 0, 0);
    loop {
        let (page, end) = proof::unchained_blocks(tx, last, PAGE).await?;
        last = end;
        if page.is_empty() {
            return Ok((blocks, events));
        }
        for (block, held) in page {
            holds(&block, &held)?;
            if block.chain.is_some() {
                return Err(Row("blocks", &block.id).differs("a chain hash without a number", "both or none").into());
            }
            blocks += 1;
            events += block.events;
        }
    }
}

fn cut_off(checkpoint: i64, head: i64) -> Difference {
    Row("checkpoints", &checkpoint)
        .differs(format!("a checkpoint of block {checkpoint}"), format!("a chain that ends with block {head}"))
}

fn attests(key: &VerifyingKey, head: &Head, chain: &[u8], signature: &[u8]) -> Result<(), Difference> {
    let row = Row("checkpoints", &head.number);
    row.same("chain hash", hex::encode(chain), hex::encode(&head.chain))?;
    let valid = Signature::from_slice(signature)
        .is_ok_and(|signature| key.verify_strict(&checkpoint_message(head.number, chain), &signature).is_ok());
    if valid {
        Ok(())
    } else {
        Err(row.differs("a signature that does not hold", "one made with this installation's key"))
    }
}

fn holds(block: &StoredBlock, events: &[StoredEvent]) -> Result<(), Difference> {
    let row = Row("blocks", &block.id);
    let held = i64::try_from(events.len()).unwrap_or(i64::MAX);
    row.same("number of events", block.events, held)?;
    for (place, event) in (0..).zip(events) {
        Row("events", &event.id).same("place", event.cursor.1, place)?;
    }
    if block.holds(events) {
        return Ok(());
    }
    let names: Vec<String> = events.iter().take(3).map(|event| event.id.to_string()).collect();
    let more = if events.len() > names.len() { ", …" } else { "" };
    let stored = format!("hash {} over its events", hex::encode(&block.hash));
    Err(row.differs(stored, format!("another hash: it, or one of {}{more} was altered", names.join(", "))))
}
