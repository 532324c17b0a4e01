//! Reports of metered use over HTTP, up to 1,000 usage events each, and the same rows written by SQLite alone.
//!
//! One report in twenty is sent twice and must be answered as repeated. Prints `begin` and `end` around the measured time and
//! then one line of JSON, as the other loads do.

use crate::http::Connection;
use crate::latency::Latency;
use crate::people::organization;
use crate::pick::{Random, Spread};
use clap::Args;
use kernel::{Clock, SystemClock, rfc3339};
use rusqlite::{Connection as File, TransactionBehavior, params};
use serde::Deserialize;
use serde_json::json;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One report in so many is sent a second time.
const REPEATED: u32 = 20;

/// What the load is.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// HOST:PORT of the server.
    #[arg(long)]
    address: String,
    /// A service key.
    #[arg(long)]
    key: String,
    /// How many organizations there are, all with load testing on.
    #[arg(long)]
    organizations: u32,
    /// How many of them a report is of.
    #[arg(long, default_value_t = 50)]
    spread: u32,
    /// Usage events in a report.
    #[arg(long, default_value_t = 1_000)]
    events: u32,
    /// How many clients.
    #[arg(long)]
    clients: u32,
    /// How long to measure.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How long to load before that.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Chooses the ids.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

struct Shared {
    options: Options,
    random: Random,
    latency: Latency,
    accepted: u64,
    answered_in_window: u64,
    wrong: Vec<String>,
    window: Option<(Instant, Instant)>,
    stopping: bool,
}

#[derive(Deserialize)]
struct Answer {
    accepted: u64,
    repeated: u64,
    refused: Vec<serde_json::Value>,
}

/// Runs the load and prints what came of it.
pub async fn run(options: Options) {
    let (clients, seconds) = (options.clients, Duration::from_secs_f64(options.seconds));
    let (warm_up, address) = (Duration::from_secs_f64(options.warm_up), options.address.clone());
    let shared = Rc::new(RefCell::new(Shared {
        random: Random::new(options.seed),
        options,
        latency: Latency::default(),
        accepted: 0,
        answered_in_window: 0,
        wrong: Vec::new(),
        window: None,
        stopping: false,
    }));
    let local = tokio::task::LocalSet::new();
    let clients: Vec<_> =
        (0..clients).map(|_| local.spawn_local(client(Rc::clone(&shared), address.clone()))).collect();
    local
        .run_until(async {
            tokio::time::sleep(warm_up).await;
            let begin = Instant::now();
            shared.borrow_mut().window = Some((begin, begin + seconds));
            say("begin");
            tokio::time::sleep(seconds).await;
            say("end");
            shared.borrow_mut().stopping = true;
            for client in clients {
                client.await.expect("a client");
            }
        })
        .await;
    let mut shared = shared.borrow_mut();
    let times = shared.latency.per_mille(&[500, 990, 1000]);
    let line = json!({
        "answered_in_window": shared.answered_in_window, "accepted": shared.accepted, "seconds": seconds.as_secs_f64(),
        "wrong": shared.wrong, "p50_ms": times.first(), "p99_ms": times.get(1), "max_ms": times.get(2),
    });
    say(&line.to_string());
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody who reads");
}

/// An id in no order, as random UUIDs are.
fn id(random: &mut Random) -> String {
    format!("{:016x}{:016x}", random.next(), random.next())
}

fn request(shared: &mut Shared) -> Vec<u8> {
    let Shared { options, random, .. } = shared;
    let at = rfc3339(SystemClock.now());
    let chosen: Vec<String> = (0..options.spread.max(1))
        .map(|_| organization(random.organization(Spread::Uniform, options.organizations)).to_string())
        .collect();
    let mut body = String::with_capacity(200 * 1_000);
    for (place, organization) in (0..options.events).zip(chosen.iter().cycle()) {
        body.push(if place == 0 { '[' } else { ',' });
        let (id, quantity) = (id(random), 1 + random.below(9));
        write!(
            body,
            r#"{{"id":"{id}","organization":"{organization}","offer":"ms.load-testing","quantity":{quantity},"at":"{at}"}}"#
        )
        .expect("text");
    }
    body.push(']');
    format!(
        "POST /v1/usage HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        options.address,
        options.key,
        body.len()
    )
    .into_bytes()
}

async fn client(shared: Rc<RefCell<Shared>>, address: String) {
    let mut connection = Connection::open(&address).await.expect("the server");
    loop {
        let (request, twice) = {
            let mut shared = shared.borrow_mut();
            if shared.stopping {
                return;
            }
            (request(&mut shared), shared.random.below(REPEATED) == 0)
        };
        send(&shared, &mut connection, &request, false).await;
        if twice {
            send(&shared, &mut connection, &request, true).await;
        }
    }
}

async fn send(shared: &Rc<RefCell<Shared>>, connection: &mut Connection, request: &[u8], repeated: bool) {
    let began = Instant::now();
    let answer = connection.send(request).await.expect("an answer");
    let took = began.elapsed();
    let (status, read) = (answer.status, serde_json::from_slice::<Answer>(answer.body).ok());
    let mut shared = shared.borrow_mut();
    let events = u64::from(shared.options.events);
    let right = read.as_ref().is_some_and(|answer| {
        let counts = if repeated { (0, events) } else { (events, 0) };
        status == 200 && (answer.accepted, answer.repeated) == counts && answer.refused.is_empty()
    });
    shared.accepted += read.map_or(0, |answer| answer.accepted);
    if !right && shared.wrong.len() < 10 {
        shared.wrong.push(format!("status {status}, repeated: {repeated}"));
    }
    if shared.window.is_some_and(|(begin, end)| began >= begin && began + took <= end) {
        shared.latency.record(took);
        shared.answered_in_window += events;
    }
}

/// What to write where.
#[derive(Clone, Debug, Args)]
pub struct Alone {
    /// The database file.
    #[arg(long)]
    file: PathBuf,
    /// Rows a commit.
    #[arg(long, default_value_t = 1_000)]
    events: u32,
    /// How long.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
}

/// Writes batches of rows and nothing else for the time asked, and prints how many.
pub fn alone(options: &Alone) {
    const INSERT: &str = "INSERT INTO usage_events (batch, place, id, organization_id, offer_id, quantity, at, month) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, '2018-05-01')";
    let mut file = File::open(&options.file).expect("the database");
    file.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 16000; PRAGMA cache_size = -16000;")
        .expect("the pragmas");
    let mut random = Random::new(99);
    let (begin, length) = (Instant::now(), Duration::from_secs_f64(options.seconds));
    let mut written = 0_u64;
    while begin.elapsed() < length {
        let at = kernel::micros(SystemClock.now());
        let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate).expect("a transaction");
        {
            let mut insert = transaction.prepare_cached(INSERT).expect("a statement");
            let batch = uuid::Uuid::from_u64_pair(written, random.next()).into_bytes();
            let some = uuid::Uuid::from_u64_pair(random.next(), 7).into_bytes();
            for place in 0..options.events {
                insert
                    .execute(params![batch, place, id(&mut random), some, some, 1 + random.below(9), at])
                    .expect("a row");
            }
        }
        transaction.commit().expect("a commit");
        written += u64::from(options.events);
    }
    let seconds = begin.elapsed().as_secs_f64();
    say(&json!({ "written": written, "seconds": seconds }).to_string());
}
