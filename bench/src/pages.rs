//! Pages over HTTP, one kind after the other: how long each takes and how large it is.
//!
//! The cases are JSON, `[{"name", "paths", "cookie"}]`; a case's paths are asked for in turn. Prints one line of JSON a
//! case.

use crate::http::Connection;
use crate::latency::Latency;
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

/// What is asked for.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// HOST:PORT of the server.
    #[arg(long)]
    address: String,
    /// The cases' file.
    #[arg(long)]
    cases: PathBuf,
    /// How many clients.
    #[arg(long)]
    clients: usize,
    /// Requests that are measured of each case.
    #[arg(long, default_value_t = 300)]
    requests: usize,
    /// Requests before those.
    #[arg(long, default_value_t = 20)]
    warm_up: usize,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    paths: Vec<String>,
    cookie: String,
}

#[derive(Default)]
struct Shared {
    sent: usize,
    latency: Latency,
    head: usize,
    body: usize,
    failed: usize,
    status: u16,
}

/// Runs the cases and prints what came of each.
pub async fn run(options: Options) {
    let text = std::fs::read_to_string(&options.cases).expect("the cases");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("cases");
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            for case in cases {
                one(&options, case).await;
            }
        })
        .await;
}

async fn one(options: &Options, case: Case) {
    let requests: Rc<Vec<Vec<u8>>> =
        Rc::new(case.paths.iter().map(|path| request(options, path, &case.cookie)).collect());
    let shared = Rc::new(RefCell::new(Shared::default()));
    let began = Instant::now();
    let clients: Vec<_> = (0..options.clients)
        .map(|_| tokio::task::spawn_local(client(options.clone(), Rc::clone(&requests), Rc::clone(&shared))))
        .collect();
    for client in clients {
        client.await.expect("a client");
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut shared = shared.borrow_mut();
    let times = shared.latency.per_mille(&[500, 990, 1000]);
    let line = json!({
        "name": case.name, "clients": options.clients, "requests": shared.latency.len(), "failed": shared.failed,
        "status": shared.status, "p50_ms": times.first(), "p99_ms": times.get(1), "max_ms": times.get(2),
        "head_bytes": shared.head, "body_bytes": shared.body, "seconds": seconds,
    });
    println!("{line}");
}

fn request(options: &Options, path: &str, cookie: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/html\r\nAccept-Language: en\r\nCookie: {cookie}\r\n\r\n",
        options.address
    )
    .into_bytes()
}

async fn client(options: Options, requests: Rc<Vec<Vec<u8>>>, shared: Rc<RefCell<Shared>>) {
    let mut connection = Connection::open(&options.address).await.expect("the server");
    loop {
        let number = {
            let mut shared = shared.borrow_mut();
            shared.sent += 1;
            shared.sent - 1
        };
        if number >= options.warm_up + options.requests {
            return;
        }
        let began = Instant::now();
        let answer = connection.send(&requests[number % requests.len()]).await.expect("an answer");
        let took = began.elapsed();
        let mut shared = shared.borrow_mut();
        shared.failed += usize::from(answer.status != 200);
        if answer.status != 200 || shared.status == 0 {
            shared.status = answer.status;
        }
        // The largest of a case's pages counts.
        shared.head = shared.head.max(answer.head.len());
        shared.body = shared.body.max(answer.body.len());
        if number >= options.warm_up {
            shared.latency.record(took);
        }
    }
}
