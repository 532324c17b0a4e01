//! Reads over HTTP: allowances of organizations, by their owners.

use crate::http::Connection;
use crate::latency::Latency;
use crate::people::{Tokens, organization, token_key};
use crate::pick::{Random, Spread};
use clap::Args;
use serde_json::json;
use std::cell::RefCell;
use std::io::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What the load is.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// HOST:PORT of the server.
    #[arg(long)]
    address: String,
    /// The server's secret file.
    #[arg(long)]
    secret_file: PathBuf,
    /// Of how many organizations to ask.
    #[arg(long, default_value_t = 10_000)]
    organizations: u32,
    /// Of which offer.
    #[arg(long, default_value = "ms.vss-vstsuser")]
    offer: String,
    /// How many clients.
    #[arg(long)]
    clients: u32,
    /// How long to measure.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How long to load before that, once every organization was asked for.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
}

struct Shared {
    requests: Vec<Vec<u8>>,
    first: usize,
    random: Random,
    latency: Latency,
    failed: u64,
    window: Option<(Instant, Instant)>,
    stopping: bool,
}

/// Runs the reads and prints what came of it, as [`crate::load::run`] does.
pub async fn run(options: Options) {
    let tokens = Tokens::new(token_key(&options.secret_file));
    let requests = (1..=options.organizations).map(|number| {
        format!(
            "GET /v1/organizations/{}/allowance/{} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
            organization(number),
            options.offer,
            options.address,
            tokens.mint(number)
        )
        .into_bytes()
    });
    let shared = Rc::new(RefCell::new(Shared {
        requests: requests.collect(),
        first: 0,
        random: Random::new(1),
        latency: Latency::default(),
        failed: 0,
        window: None,
        stopping: false,
    }));
    let seconds = Duration::from_secs_f64(options.seconds);
    let local = tokio::task::LocalSet::new();
    let clients: Vec<_> =
        (0..options.clients).map(|_| local.spawn_local(client(Rc::clone(&shared), options.address.clone()))).collect();
    local
        .run_until(async {
            while shared.borrow().first < shared.borrow().requests.len() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(Duration::from_secs_f64(options.warm_up)).await;
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
        "answered_in_window": shared.latency.len(), "failed": shared.failed, "seconds": options.seconds,
        "p50_ms": times.first(), "p99_ms": times.get(1), "max_ms": times.get(2),
    });
    say(&line.to_string());
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody who reads");
}

async fn client(shared: Rc<RefCell<Shared>>, address: String) {
    let mut connection = Connection::open(&address).await.expect("the server");
    let mut request = Vec::with_capacity(1024);
    loop {
        {
            let mut shared = shared.borrow_mut();
            if shared.stopping {
                return;
            }
            let all = shared.requests.len();
            let place = if shared.first < all {
                shared.first += 1;
                shared.first - 1
            } else {
                let number = shared.random.organization(Spread::Uniform, u32::try_from(all).expect("32 bits"));
                usize::try_from(number - 1).expect("32 bits")
            };
            request.clear();
            request.extend_from_slice(&shared.requests[place]);
        }
        let began = Instant::now();
        let answered = connection.send(&request).await.is_ok_and(|answer| answer.status == 200);
        let took = began.elapsed();
        let mut shared = shared.borrow_mut();
        shared.failed += u64::from(!answered);
        if shared.window.is_some_and(|(begin, end)| began >= begin && began + took <= end) {
            shared.latency.record(took);
        }
    }
}
