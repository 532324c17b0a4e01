//! One purchase a commit on SQLite: what the file itself can do when nothing is around it.
//!
//! The rows are those of the server's purchases, their texts as long as real ones (`samples` holds one purchase of each
//! offer); the reads are the till's. One connection, prepared statements, the server's pragmas.

use crate::pick::{Random, Spread};
use clap::Args;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use uuid::{NoContext, Timestamp, Uuid};

/// What to write where.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The database file, as `bench/run.py` loads it.
    #[arg(long)]
    file: PathBuf,
    /// One purchase of each offer, JSON.
    #[arg(long)]
    samples: PathBuf,
    /// How many organizations there are.
    #[arg(long, default_value_t = 100_000)]
    organizations: u32,
    /// How long.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
}

#[derive(Deserialize)]
struct Sample {
    offer: String,
    answer: String,
    public: String,
    private: String,
    basis: String,
    transfers: u8,
}

const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
    PRAGMA wal_autocheckpoint = 8000; PRAGMA cache_size = -16000;";

/// Commits for the time asked and prints how many.
pub fn run(options: &Options) {
    let text = std::fs::read_to_string(&options.samples).expect("the samples");
    let samples: Vec<Sample> = serde_json::from_str(&text).expect("the samples' form");
    let mut connection = Connection::open(&options.file).expect("the database");
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(PRAGMAS).expect("the pragmas");
    let mut random = Random::new(7);
    let mut took = Vec::new();
    let length = Duration::from_secs_f64(options.seconds);
    let begin = Instant::now();
    while begin.elapsed() < length {
        let began = Instant::now();
        let number = random.organization(Spread::Uniform, options.organizations);
        let sample = usize::try_from(random.below(u32::try_from(samples.len()).expect("few"))).expect("few");
        purchase(&mut connection, &mut random, number, &samples[sample]).expect("a purchase");
        took.push(began.elapsed().as_micros());
    }
    let seconds = begin.elapsed().as_secs_f64();
    took.sort_unstable();
    let per_s = u32::try_from(took.len()).map_or(0.0, |count| f64::from(count) / seconds);
    println!(
        "{}",
        json!({"per_s": per_s.round(), "p50_us": took[took.len() / 2], "p99_us": took[took.len() * 99 / 100]})
    );
}

fn id(kind: u64, number: u32) -> [u8; 16] {
    *Uuid::from_u64_pair(0x0189_0000_0000_7000, kind | u64::from(number)).as_bytes()
}

fn new_id(random: &mut Random) -> [u8; 16] {
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    let at = Timestamp::from_unix(NoContext, now.as_secs(), now.subsec_nanos());
    let (seconds, nanos) = at.to_unix();
    let millis = seconds * 1000 + u64::from(nanos) / 1_000_000;
    let mut tail = [0; 10];
    tail[..8].copy_from_slice(&random.next().to_be_bytes());
    *uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid().as_bytes()
}

type Held = (i64, i64);

fn purchase(connection: &mut Connection, random: &mut Random, number: u32, sample: &Sample) -> rusqlite::Result<()> {
    let (organization, user) = (id(0x8000_0000_0000_0000, number), id(0x9000_0000_0000_0000, number));
    let offer = hex::decode(&sample.offer).expect("an offer's id");
    let key = format!("raw-{:x}", random.next());
    let (month, at) = ("2018-05-01", 1_526_000_000_000_000_i64);
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let linked: Option<[u8; 16]> = tx
        .prepare_cached(
            "SELECT u.operator, o.slug, m.role, l.subscription_id, s.status, sr.role, p.answer, \
             (SELECT value FROM settings WHERE key = 'catalogue'), (SELECT value FROM settings WHERE key = 'clock') \
             FROM (SELECT ?1 AS organization, ?2 AS actor, ?3 AS key) AS r \
             LEFT JOIN users u ON u.id = r.actor LEFT JOIN organizations o ON o.id = r.organization \
             LEFT JOIN members m ON m.organization_id = r.organization AND m.user_id = r.actor \
             LEFT JOIN links l ON l.organization_id = r.organization AND l.ended_at IS NULL \
             LEFT JOIN subscriptions s ON s.id = l.subscription_id \
             LEFT JOIN subscription_roles sr ON sr.subscription_id = s.id AND sr.user_id = r.actor \
             LEFT JOIN purchases p ON p.actor_id = r.actor AND p.key = r.key",
        )?
        .query_row(params![organization, user, key], |row| row.get(3))?;
    let subscription = match linked {
        Some(id) => id,
        None => first(&tx, random, organization, user, at)?,
    };
    let held: Option<Held> = tx
        .prepare_cached("SELECT next, version FROM entitlements WHERE organization_id = ?1 AND offer_id = ?2")?
        .query_row(params![organization, offer], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let renewed: i64 = tx
        .prepare_cached(
            "SELECT COUNT(*) FROM links l JOIN entitlements e ON e.organization_id = l.organization_id AND e.next > 0 \
             WHERE l.subscription_id = ?1 AND l.ended_at IS NULL",
        )?
        .query_row(params![subscription], |row| row.get(0))?;
    let (next, version) = held.unwrap_or((0, 0));
    let amount = 100 + renewed;
    tx.prepare_cached(
        "INSERT INTO entitlements (organization_id, offer_id, committed, next, month, accrued, charged, installed, metered, \
         cap, version, changed_at) VALUES (?1, ?2, ?3, ?3, ?4, '110/3', ?5, 1, 0, 0, ?6, ?7) \
         ON CONFLICT (organization_id, offer_id) DO UPDATE SET committed = excluded.committed, next = excluded.next, \
         accrued = excluded.accrued, charged = excluded.charged, version = excluded.version, changed_at = excluded.changed_at",
    )?
    .execute(params![organization, offer, next + 5, month, amount, version + 1, at])?;
    let (purchase, charge, block) = (new_id(random), new_id(random), new_id(random));
    tx.prepare_cached(
        "INSERT INTO purchases (id, organization_id, subscription_id, actor_id, key, request_hash, state, answer, at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'completed', ?7, ?8)",
    )?
    .execute(params![purchase, organization, subscription, user, key, [7_u8; 32], sample.answer, at])?;
    tx.prepare_cached(
        "INSERT INTO charges (id, purchase_id, subscription_id, organization_id, offer_id, amount, currency, month, \
         tax_rate, basis, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'USD', ?7, '', ?8, ?9)",
    )?
    .execute(params![charge, purchase, subscription, organization, offer, amount, month, sample.basis, at])?;
    let account = format!("unbilled/sub_{}", hex::encode(subscription));
    for leg in 0..sample.transfers {
        tx.prepare_cached(
            "INSERT INTO transfers (fact, leg, debit, credit, amount, currency, at) \
             VALUES (?1, ?2, ?3, 'deferred_revenue/off_01cc00000000000000000000', ?4, 'USD', ?5)",
        )?
        .execute(params![charge, leg, account, amount, at])?;
    }
    tx.prepare_cached(
        "INSERT INTO unbilled (subscription_id, month, tax_rate, amount) VALUES (?1, ?2, '', ?3) \
         ON CONFLICT (subscription_id, month, tax_rate) DO UPDATE SET amount = unbilled.amount + excluded.amount",
    )?
    .execute(params![subscription, month, amount])?;
    tx.prepare_cached("INSERT INTO blocks (id, origin, at, events, hash) VALUES (?1, ?1, ?2, 1, ?3)")?
        .execute(params![block, at, [7_u8; 32]])?;
    tx.prepare_cached(
        "INSERT INTO events (id, block_id, place, kind, organization_id, actor, at, public, private, salt, commitment) \
         VALUES (?1, ?2, 0, 'purchase.completed', ?3, 'usr_01cc00000000000000000000', ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        new_id(random),
        block,
        organization,
        at,
        sample.public,
        sample.private,
        [7_u8; 16],
        [7_u8; 32]
    ])?;
    tx.commit()
}

/// Billing set up in the same act.
fn first(
    tx: &rusqlite::Transaction<'_>,
    random: &mut Random,
    organization: [u8; 16],
    user: [u8; 16],
    at: i64,
) -> rusqlite::Result<[u8; 16]> {
    let subscription = new_id(random);
    tx.prepare_cached(
        "INSERT INTO subscriptions (id, name, kind, status, country, currency, payment_method, payment_token, spending_limit, \
         marketplace_enabled, profile, seed_key, created_by, created_at) \
         VALUES (?1, 'Production', 'pay_as_you_go', 'active', 'DE', 'EUR', 'card', 'tok_ok', 0, 0, '{}', '', \
         'usr_01cc00000000000000000000', ?2)",
    )?
    .execute(params![subscription, at])?;
    tx.prepare_cached("INSERT INTO subscription_roles (subscription_id, user_id, role) VALUES (?1, ?2, 'owner')")?
        .execute(params![subscription, user])?;
    tx.prepare_cached(
        "INSERT INTO links (id, organization_id, subscription_id, linked_by, linked_at) \
         VALUES (?1, ?2, ?3, 'usr_01cc00000000000000000000', ?4)",
    )?
    .execute(params![new_id(random), organization, subscription, at])?;
    Ok(subscription)
}
