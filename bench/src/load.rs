//! Purchases over HTTP: a closed loop of clients, each with its own kept connection.
//!
//! Of a hundred requests five repeat an earlier one to the byte and must be given the same answer, one asks for more than
//! the maximum and must be refused; the others buy some more of an offer. What was answered is summed up, so that
//! `bench/run.py` can hold it against the database. Prints `begin` and `end` around the measured time and then one line
//! of JSON.

use crate::http::{Connection, find};
use crate::latency::Latency;
use crate::people::{Tokens, organization, token_key};
use crate::pick::{Random, Spread};
use clap::Args;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Offers that are bought: each price model, and partners' items whose sale is shared.
const OFFERS: [&str; 5] =
    ["ms.vss-vstsuser", "ms.vss-testmanager-web", "ms.feed", "berichthaus.tfstimetracker", "spartez.agile-cards"];
/// More than the maximum of any of them.
const TOO_MUCH: u32 = 2_000_000;
/// Answers that may be asked for again.
const REMEMBERED: usize = 1024;

/// What the load is.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// HOST:PORT of the server.
    #[arg(long)]
    address: String,
    /// The server's secret file.
    #[arg(long)]
    secret_file: PathBuf,
    /// How many organizations there are.
    #[arg(long, default_value_t = 100_000)]
    organizations: u32,
    /// How many clients.
    #[arg(long)]
    clients: u32,
    /// How long to measure.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How long to load before that.
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// How the load is spread.
    #[arg(long, value_enum, default_value = "uniform")]
    spread: Spread,
    /// Units that every organization has of every offer already.
    #[arg(long, default_value_t = 0)]
    bought: u32,
    /// Every organization has billing already.
    #[arg(long)]
    all_linked: bool,
    /// Chooses the requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Billing {
    None,
    BeingSetUp,
    SetUp,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Purchase { number: u32, first: bool },
    Refusal,
    Replay { place: usize },
}

/// What was asked and answered, so that it can be asked again.
struct Earlier {
    request: Vec<u8>,
    answer: Vec<u8>,
}

struct Shared {
    options: Options,
    random: Random,
    tokens: Vec<String>,
    billing: Vec<Billing>,
    totals: Vec<u32>,
    earlier: Vec<Earlier>,
    oldest: usize,
    keys: u64,
    sums: Sums,
    latency: Latency,
    window: Option<(Instant, Instant)>,
    stopping: bool,
}

/// What was answered, from the first request to the last.
#[derive(Default)]
struct Sums {
    accepted: u64,
    accepted_in_window: u64,
    first: u64,
    replayed: u64,
    refused: u64,
    replies_differ: u64,
    unexpected: BTreeMap<String, u64>,
    units: i64,
    charged: i64,
}

/// Runs the load and prints what came of it.
pub async fn run(options: Options) {
    let tokens = Tokens::new(token_key(&options.secret_file));
    let tokens: Vec<String> = (1..=options.organizations).map(|number| tokens.mint(number)).collect();
    let billing = (1..=options.organizations)
        .map(|number| if options.all_linked || number % 2 == 0 { Billing::SetUp } else { Billing::None })
        .collect();
    let (warm_up, seconds) = (Duration::from_secs_f64(options.warm_up), Duration::from_secs_f64(options.seconds));
    let shared = Rc::new(RefCell::new(Shared {
        random: Random::new(options.seed),
        tokens,
        billing,
        totals: vec![options.bought; index(options.organizations) * OFFERS.len()],
        earlier: Vec::with_capacity(REMEMBERED),
        oldest: 0,
        keys: 0,
        sums: Sums::default(),
        latency: Latency::default(),
        window: None,
        stopping: false,
        options: options.clone(),
    }));
    let local = tokio::task::LocalSet::new();
    let clients: Vec<_> = (0..options.clients).map(|_| local.spawn_local(client(Rc::clone(&shared)))).collect();
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
    let sums = &shared.sums;
    let line = json!({
        "accepted": sums.accepted, "first": sums.first, "replayed": sums.replayed, "refused": sums.refused,
        "differing_replays": sums.replies_differ, "unexpected": sums.unexpected,
        "units": sums.units, "charged": sums.charged,
        "seconds": options.seconds, "answered_in_window": shared.latency.len(),
        "accepted_in_window": sums.accepted_in_window,
        "p50_ms": times.first(), "p99_ms": times.get(1), "max_ms": times.get(2),
    });
    say(&line.to_string());
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody who reads");
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("at least 32 bits")
}

async fn client(shared: Rc<RefCell<Shared>>) {
    let address = shared.borrow().options.address.clone();
    let mut connection = Connection::open(&address).await.expect("the server");
    let mut request = Vec::with_capacity(2048);
    loop {
        let kind = {
            let mut shared = shared.borrow_mut();
            if shared.stopping {
                return;
            }
            shared.compose(&mut request)
        };
        let began = Instant::now();
        match connection.send(&request).await {
            Ok(answer) => {
                let took = began.elapsed();
                let mut shared = shared.borrow_mut();
                shared.account(kind, &request, answer.status, answer.head, answer.body);
                let ended = began + took;
                if shared.window.is_some_and(|(begin, end)| began >= begin && ended <= end) {
                    shared.latency.record(took);
                    if answer.status == 201 && !matches!(kind, Kind::Replay { .. }) {
                        shared.sums.accepted_in_window += 1;
                    }
                }
            }
            Err(error) => {
                let mut shared = shared.borrow_mut();
                *shared.sums.unexpected.entry(format!("connection: {error}")).or_insert(0) += 1;
                return;
            }
        }
    }
}

impl Shared {
    /// Writes the next request into `request`.
    fn compose(&mut self, request: &mut Vec<u8>) -> Kind {
        request.clear();
        let lot = self.random.below(100);
        if lot < 5 && !self.earlier.is_empty() {
            let bound = u32::try_from(self.earlier.len()).expect("few");
            let place = index(self.random.below(bound));
            request.extend_from_slice(&self.earlier[place].request);
            return Kind::Replay { place };
        }
        // One whose first purchase is under way is left alone: a second one with billing data of its own would be
        // refused, and rightly.
        let number = loop {
            let number = self.random.organization(self.options.spread, self.options.organizations);
            if self.billing[index(number - 1)] != Billing::BeingSetUp {
                break number;
            }
        };
        let offer = index(self.random.below(5));
        let first = self.billing[index(number - 1)] == Billing::None;
        let (kind, quantity) = if lot == 99 {
            (Kind::Refusal, TOO_MUCH)
        } else {
            let step = 1 + self.random.below(if self.options.spread == Spread::Hot { 2 } else { 20 });
            let total = &mut self.totals[index(number - 1) * OFFERS.len() + offer];
            *total += step;
            (Kind::Purchase { number, first }, *total)
        };
        if first && kind != Kind::Refusal {
            self.billing[index(number - 1)] = Billing::BeingSetUp;
        }
        self.keys += 1;
        let billing = if first {
            r#","billing":{"new_subscription":{"name":"Production","country":"DE","currency":"EUR","payment":{"method":"card","token":"tok_ok"}}}"#
        } else {
            ""
        };
        let body = format!(
            r#"{{"organization":"{}","items":[{{"offer":"{}","quantity":{quantity}}}]{billing}}}"#,
            organization(number),
            OFFERS[offer],
        );
        write!(
            request,
            "POST /v1/purchases HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Idempotency-Key: {:x}-{}\r\nContent-Length: {}\r\n\r\n{body}",
            self.options.address,
            self.tokens[index(number - 1)],
            self.options.seed,
            self.keys,
            body.len(),
        )
        .expect("memory");
        kind
    }

    /// Takes an answer into the sums.
    fn account(&mut self, kind: Kind, request: &[u8], status: u16, head: &[u8], body: &[u8]) {
        match (kind, status) {
            (Kind::Purchase { number, first }, 201) => {
                self.billing[index(number - 1)] = Billing::SetUp;
                self.sums.accepted += 1;
                self.sums.first += u64::from(first);
                let (from, to, charged) = facts(body).expect("a purchase");
                self.sums.units += to - from;
                self.sums.charged += charged;
                self.remember(request, body);
            }
            (Kind::Refusal, 422) => self.sums.refused += 1,
            (Kind::Replay { place }, 201) => {
                self.sums.replayed += 1;
                let told = find(head, b"idempotent-replayed: true").is_some();
                // A place may have been taken by another one meanwhile; then the request tells which it was.
                let known = self.earlier.get(place).filter(|earlier| earlier.request == request);
                if !told || known.is_some_and(|earlier| earlier.answer != body) {
                    self.sums.replies_differ += 1;
                }
            }
            (kind, status) => {
                if let Kind::Purchase { number, first: true } = kind {
                    self.billing[index(number - 1)] = Billing::None;
                }
                let detail: String = String::from_utf8_lossy(body).chars().take(200).collect();
                let unexpected = &mut self.sums.unexpected;
                let name = if unexpected.len() < 10 { format!("{status} {detail}") } else { format!("{status}") };
                *unexpected.entry(name).or_insert(0) += 1;
            }
        }
    }

    fn remember(&mut self, request: &[u8], answer: &[u8]) {
        let earlier = Earlier { request: request.to_vec(), answer: answer.to_vec() };
        if self.earlier.len() < REMEMBERED {
            self.earlier.push(earlier);
        } else {
            self.earlier[self.oldest] = earlier;
            self.oldest = (self.oldest + 1) % REMEMBERED;
        }
    }
}

/// Units before and after and what is charged now, in minor units, of a purchase of one line in a currency of two digits.
fn facts(body: &[u8]) -> Option<(i64, i64, i64)> {
    let line = body.get(find(body, b"\"quantity\":{\"from\":")? + 19..)?;
    let from = digits(line)?;
    let to = digits(line.get(find(line, b"\"to\":")? + 5..)?)?;
    let now = line.get(find(line, b"\"now\":{\"amount\":\"")? + 17..)?;
    Some((from, to, digits(now)?))
}

/// The number that `text` begins with; a decimal point is passed over.
fn digits(text: &[u8]) -> Option<i64> {
    let mut number: i64 = 0;
    for byte in text {
        match byte {
            b'0'..=b'9' => number = number.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?,
            b'.' => {}
            _ => break,
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_a_purchase_are_read() {
        let body = br#"{"id":"pur_1","lines":[{"offer":"ms.feed","quantity":{"from":3,"to":17},"included":5,
            "usable":{"from":8,"to":22},"now":{"amount":"12.05","currency":"EUR"}}]}"#;
        assert_eq!(facts(body), Some((3, 17, 1205)));
        assert_eq!(facts(b"{}"), None);
    }
}
