//! The end-to-end harness: it starts the real `purser` on a database of its own, speaks HTTP to it as a person would,
//! and ends every test by proving the books. It knows the contract and nothing of the server's code.
//!
//! A test is an `async fn name(app: &App)`; [`on_both!`] names it once a database. [`run`] starts the server, runs the
//! test, and then asserts what every test must leave behind: the outbox drained, a graceful stop, `purser verify` content.

#![allow(
    clippy::disallowed_methods,
    reason = "the harness is outside the product: real time and environment are its business"
)]

mod actor;
mod answer;
mod app;
mod binary;
pub mod browser;
mod database;
mod forward;
mod postgres;
pub mod seeds;
mod server;
mod smtp;
pub mod stripe;
mod template;
mod visitor;

pub use actor::{Actor, Billing, body_of, items_of, lines_of};
pub use answer::Answer;
pub use app::{App, Options};
pub use binary::{purser, repository};
pub use database::{Database, Db};
pub use forward::Forwarder;
pub use futures_util::future::join_all;
pub use postgres::Cluster;
pub use server::{Server, output};
pub use smtp::{Mail, Sink};
pub use stripe::Stripe;
pub use visitor::{Page, Visitor};

use std::time::{Duration, Instant};

/// Starts a server on a fresh database, runs the test, and asserts what every test must leave behind.
pub fn run(db: Db, options: Options, test: impl AsyncFn(&App)) {
    block_on(async {
        let app = App::start(db, options).await;
        test(&app).await;
        app.finish().await;
    });
}

/// Runs a test that sets up its own server.
pub fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// Asks again until the answer is there, at most `limit`: for what the server does after it has answered.
pub async fn eventually<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    loop {
        pause.tick().await;
        if let Some(found) = ask().await {
            return found;
        }
        assert!(started.elapsed() < limit, "{what} did not come about within {limit:?}");
    }
}

/// Names each test once a database: `on_both! { buying_twice: Options::new(); }` makes `buying_twice::sqlite` and
/// `buying_twice::postgres` of `async fn buying_twice(app: &App)`.
#[macro_export]
macro_rules! on_both {
    ($($name:ident: $options:expr;)+) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            #[test]
            fn sqlite() {
                $crate::run($crate::Db::Sqlite, $options, super::$name);
            }
            #[test]
            fn postgres() {
                $crate::run($crate::Db::Postgres, $options, super::$name);
            }
        }
    )+};
}

/// Real time, for tests of several processes: a test clock belongs to one.
pub fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// A number that whoever runs the tests may set in the environment.
pub fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |value| value.parse().expect("a number"))
}

/// A name that nothing else has.
pub(crate) fn unique() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// A client of servers on this machine. The program's own client speaks TLS, so that this one must be able to as well.
fn http() -> reqwest::ClientBuilder {
    // Whoever came first has installed the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}
