//! Logs and metrics: what an operator sees of a running server.
//!
//! Logs are lines on standard error, so that whatever runs the program can keep them. Metrics are kept in
//! the process and read through `/metrics`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use metrics::{Counter, Histogram, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use thiserror::Error;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Requests answered, by method, route and status.
const REQUESTS: &str = "http_requests_total";
/// How long they took, by method and route.
const SECONDS: &str = "http_request_seconds";

/// Bounds of what is told apart of a duration, in seconds.
/// Of the till's batches, in commands.
const BATCH: &str = "till_batch_commands";
const BATCHES: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How often measured durations are put into their buckets where nobody reads the metrics; until then
/// each takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Why there are no logs or metrics.
#[derive(Debug, Error)]
#[error("telemetry cannot start: {0}")]
pub struct TelemetryFault(String);

/// The filter of a text such as `info,sqlx=warn`, or what is wrong with it.
///
/// # Errors
/// A sentence part for the operator.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(text).map_err(|fault| format!("is no filter of log lines: {fault}"))
}

/// Starts logs and metrics; once a process, before anything is to be logged or counted.
///
/// # Errors
/// [`TelemetryFault`] if they run already, or the filter is none.
pub fn init(config: &Config) -> Result<(), TelemetryFault> {
    let filter = filter(&config.log.filter).map_err(TelemetryFault)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match config.log.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|fault| TelemetryFault(fault.to_string()))?;
    start_metrics()
}

fn start_metrics() -> Result<(), TelemetryFault> {
    let fault = |fault: &dyn std::fmt::Display| TelemetryFault(fault.to_string());
    let handle = PrometheusBuilder::new()
        .set_buckets(&BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full(BATCH.to_owned()), &BATCHES))
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|it| fault(&it))?;
    metrics::describe_counter!(REQUESTS, "Requests answered, by method, route and status.");
    metrics::describe_histogram!(SECONDS, Unit::Seconds, "Time to answer, by method and route.");
    let upkeep = handle.clone();
    std::thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || {
            loop {
                std::thread::park_timeout(UPKEEP);
                upkeep.run_upkeep();
            }
        })
        .map_err(|it| fault(&it))?;
    HANDLE.set(handle).ok();
    Ok(())
}

/// What renders `/metrics`; `None` before [`init`].
pub fn metrics_handle() -> Option<PrometheusHandle> {
    HANDLE.get().cloned()
}

/// Counts a request. `route` is the pattern and not the path: a label must have few values.
pub fn count_request(method: &Method, route: &str, status: StatusCode, took: Duration) {
    thread_local! {
        /// Looking a metric up by its labels costs more than counting, and there are few.
        static KNOWN: RefCell<HashMap<String, Vec<Known>>> = RefCell::default();
    }
    let method = method_label(method);
    KNOWN.with_borrow_mut(|routes| {
        let known = match routes.get_mut(route) {
            Some(known) => known,
            None => routes.entry(route.to_owned()).or_default(),
        };
        let same = |one: &&Known| one.method == method && one.status == status;
        if let Some(one) = known.iter().find(same) {
            one.count(took);
            return;
        }
        let one = Known::new(method, route, status);
        one.count(took);
        known.push(one);
    });
}

struct Known {
    method: &'static str,
    status: StatusCode,
    requests: Counter,
    seconds: Histogram,
}

impl Known {
    fn new(method: &'static str, route: &str, status: StatusCode) -> Self {
        let route = route.to_owned();
        Self {
            method,
            status,
            requests: metrics::counter!(REQUESTS, "method" => method, "route" => route.clone(),
                "status" => status.as_str().to_owned()),
            seconds: metrics::histogram!(SECONDS, "method" => method, "route" => route),
        }
    }

    fn count(&self, took: Duration) {
        self.requests.increment(1);
        self.seconds.record(took.as_secs_f64());
    }
}

/// The method, if it is one that anything here answers: a client may invent others without end.
pub fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        for good in ["info", "info,sqlx=warn", "off", "api::request_id=debug"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["info,,=x=", "loud=loud", "a=b=c"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn requests_are_counted_by_route() {
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS).unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let took = Duration::from_millis(2);
            for _ in 0..3 {
                count_request(&Method::GET, "/v1/offers/{offer}", StatusCode::OK, took);
            }
            let odd = Method::from_bytes(b"BREW").unwrap();
            count_request(&odd, "unmatched", StatusCode::NOT_FOUND, took);
        });
        let text = handle.render();
        for line in [
            r#"http_requests_total{method="GET",route="/v1/offers/{offer}",status="200"} 3"#,
            r#"http_requests_total{method="OTHER",route="unmatched",status="404"} 1"#,
            r#"http_request_seconds_bucket{method="GET",route="/v1/offers/{offer}",le="0.001"} 0"#,
            r#"http_request_seconds_bucket{method="GET",route="/v1/offers/{offer}",le="0.0025"} 3"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
