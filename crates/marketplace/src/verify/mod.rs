//! `purser verify`: proves the books from the facts, whatever the instant.
//!
//! The facts are the events. First the audit chain proves that they are what was written (`chain`); then they are
//! replayed (`replay`), and every purchase, charge, posting, link, entitlement and price
//! version must be what they say, no row less and no row more. What a charge comes to is worked out by `checker` and
//! `days`, which share no code with the pricing. All is read in pages from one snapshot of the database, nearly in the
//! order of its writing: memory holds a page, the catalogue, and what a share of the organizations has.

mod chain;
mod checker;
mod credited;
mod days;
mod evidence;
mod extra;
mod invoice;
mod invoice_lines;
mod line;
mod month;
mod payment;
mod purchase;
mod replay;
mod resumed;
mod shop;
mod told;
mod usage;

use std::collections::BTreeMap;
use std::fmt;

use kernel::{BlockId, Currency, EventId};
use store::proof::{self, Counts};
use store::{Db, StoreError, Tx};

use chain::Chained;
use evidence::Evidence;
use replay::Replay;
use shop::Shop;
use told::Told;

/// Rows of one page.
const PAGE: i64 = 500;
/// Entitlements that are replayed in one go, at most; some 300 bytes each.
const SHARE: i64 = 200_000;

/// The first place where a row is not what the facts say; its text is a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{table} {row}: stored is {stored}; the facts say {facts}")]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// The row's id or key.
    pub row: String,
    /// What stands there.
    pub stored: String,
    /// What should.
    pub facts: String,
}

/// Why the books are not proven.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// They are wrong.
    #[error(transparent)]
    Difference(#[from] Difference),
    /// They could not be read.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> Self {
        match error {
            // Nothing of ours writes what it cannot read.
            StoreError::Corrupt(what) => Self::Difference(Difference {
                table: "a row",
                row: "that cannot be read".to_owned(),
                stored: what,
                facts: "something of another type".to_owned(),
            }),
            other => Self::Store(other),
        }
    }
}

/// Names a row, so that what differs in it can be told.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a>(pub(crate) &'static str, pub(crate) &'a (dyn fmt::Display + Sync));

impl Row<'_> {
    pub(crate) fn differs(self, stored: impl Into<String>, facts: impl Into<String>) -> Difference {
        Difference { table: self.0, row: self.1.to_string(), stored: stored.into(), facts: facts.into() }
    }

    pub(crate) fn missing(self, fact: EventId) -> Difference {
        self.differs("no such row", format!("event {fact} wrote it"))
    }

    /// What is stored is what the facts say.
    pub(crate) fn same<A, B>(self, column: &str, stored: A, facts: B) -> Result<(), Difference>
    where
        A: PartialEq<B> + fmt::Display,
        B: fmt::Display,
    {
        if stored == facts {
            return Ok(());
        }
        Err(self.differs(format!("{column} {}", quoted(stored)), format!("{column} {}", quoted(facts))))
    }
}

fn quoted(value: impl fmt::Display) -> String {
    let text = value.to_string();
    if text.is_empty() { "(empty)".to_owned() } else { text }
}

/// What was proven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Organizations.
    pub organizations: i64,
    /// Purchases.
    pub purchases: i64,
    /// Charges.
    pub charges: i64,
    /// Invoices.
    pub invoices: i64,
    /// Payments, those that cards were asked for among them.
    pub payments: i64,
    /// Usage events.
    pub usage: i64,
    /// Events.
    pub events: i64,
    /// Blocks in the chain.
    pub blocks: i64,
    /// Blocks that wait for their number.
    pub unchained_blocks: i64,
    /// Signed checkpoints.
    pub checkpoints: i64,
    /// Sums of the charges by currency, minor units.
    pub charged: BTreeMap<Currency, i128>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            organizations,
            purchases,
            charges,
            invoices,
            payments,
            usage,
            events,
            blocks,
            unchained_blocks,
            checkpoints,
            charged,
        } = self;
        writeln!(f, "the books follow from the facts")?;
        writeln!(
            f,
            "audit: {events} events, {blocks} chained blocks, {unchained_blocks} not chained yet, {checkpoints} checkpoints"
        )?;
        write!(
            f,
            "bought: {purchases} purchases of {organizations} organizations, {charges} charges, {invoices} invoices, {payments} payments"
        )?;
        if *usage > 0 {
            write!(f, "\nmetered: {usage} usage events")?;
        }
        for (currency, minor) in charged {
            write!(f, "\ncharged: {} {currency}", checker::written(*minor, currency.digits()))?;
        }
        Ok(())
    }
}

/// Proves the books. `checkpoint_key` is the secret half of the key that checkpoints are signed with,
/// `platform_publisher` the slug of the publisher that is the platform itself.
///
/// # Errors
/// [`VerifyError::Difference`]: the first row that is not what the facts say.
pub async fn verify(db: &Db, checkpoint_key: &[u8; 32], platform_publisher: &str) -> Result<Summary, VerifyError> {
    let tx = db.begin_snapshot().await?;
    let proven = prove(&tx, checkpoint_key, platform_publisher).await;
    tx.rollback().await;
    proven
}

async fn prove(tx: &Tx, checkpoint_key: &[u8; 32], platform_publisher: &str) -> Result<Summary, VerifyError> {
    proof::look_up(tx, false).await?;
    let counts = proof::counts(tx).await?;
    proof::look_up(tx, true).await?;
    let Chained { blocks, unchained, checkpoints } = chain::prove(tx, &counts, checkpoint_key).await?;
    let shop = Shop::prove(tx, platform_publisher).await?;
    let mut seen = replay_all(tx, &shop, counts.entitlements).await?;
    let invoices = invoice::prove(tx, &counts, &mut seen).await?;
    let credited = credited::prove(tx, &mut seen).await?;
    let payments = payment::prove(tx, &counts, &mut seen, credited).await?;
    extra::none(tx, &counts, &seen).await?;
    proof::look_up(tx, false).await?;
    extra::sums(tx, &seen).await?;
    Ok(Summary {
        organizations: counts.organizations,
        purchases: seen.purchases,
        charges: seen.charges,
        invoices,
        payments,
        usage: seen.usage,
        events: counts.events,
        blocks,
        unchained_blocks: unchained,
        checkpoints,
        charged: seen.charged,
    })
}

/// Rows that were found to be what the facts say.
#[derive(Clone, Debug, Default)]
struct Seen {
    purchases: i64,
    charges: i64,
    transfers: i64,
    links: i64,
    usage: i64,
    charged: BTreeMap<Currency, i128>,
    /// Nets of credit notes by currency, minor units.
    credited: BTreeMap<Currency, i128>,
}

/// Replays the events of all organizations, and proves what they have.
async fn replay_all(tx: &Tx, shop: &Shop, entitlements: i64) -> Result<Seen, VerifyError> {
    let mut seen = Seen::default();
    let shares = u64::try_from(entitlements / SHARE).unwrap_or(0) + 1;
    for share in 0..shares {
        let mut replay = Replay::new((share, shares), usize::try_from(entitlements.min(SHARE)).unwrap_or(0));
        let mut last = (BlockId::from_uuid(uuid::Uuid::nil()), 0);
        loop {
            let mut page = proof::facts_after(tx, last, PAGE).await?;
            let Some(end) = page.last() else { break };
            last = end.place;
            page.retain(|fact| fact.organization.is_some_and(|organization| replay.has(organization)));
            let told = page.iter().map(Told::of).collect::<Result<Vec<_>, _>>()?;
            let mut evidence = Evidence::gather(tx, &told).await?;
            for (fact, told) in page.iter().zip(told) {
                if let Told::Counted(counted) = &told {
                    // One report at a time, for a page of them may have many rows.
                    evidence.usage = usage::rows(tx, counted).await?;
                }
                replay.tell(shop, fact, told, &mut evidence, &mut seen)?;
            }
        }
        replay.settle(tx).await?;
    }
    Ok(seen)
}

/// True where as many rows are stored as the facts say.
fn complete(counts: &Counts, seen: &Seen) -> bool {
    let stored = [counts.purchases, counts.charges, counts.transfers, counts.links, counts.usage];
    stored == [seen.purchases, seen.charges, seen.transfers, seen.links, seen.usage]
}
