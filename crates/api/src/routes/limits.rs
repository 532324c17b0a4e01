//! How often may be called without being signed in: a bucket an address.

use crate::problem::Problem;
use actix_web::HttpRequest;
use kernel::{Clock, SystemClock, micros};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Most addresses that are remembered; then all are forgotten.
const MOST: usize = 10_000;
const MINUTE: i64 = 60_000_000;

/// The limits of this process, shared by its HTTP threads.
#[derive(Clone, Debug)]
pub struct Limits {
    anonymous_per_minute: i64,
    /// Of each address: when its bucket would be full again, microseconds.
    seen: Arc<Mutex<HashMap<IpAddr, i64>>>,
}

impl Limits {
    /// As configured; 0 is no limit.
    pub fn new(config: &crate::config::Limits) -> Self {
        Self { anonymous_per_minute: i64::from(config.anonymous_per_minute), seen: Arc::default() }
    }

    /// Counts an anonymous call.
    ///
    /// # Errors
    /// `too-many-requests` with the seconds to wait.
    pub fn anonymous(&self, request: &HttpRequest) -> Result<(), Problem> {
        let Some(peer) = request.peer_addr().filter(|_| self.anonymous_per_minute > 0) else { return Ok(()) };
        let now = micros(SystemClock.now());
        let each = MINUTE.checked_div(self.anonymous_per_minute).unwrap_or(0);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST {
            seen.clear();
        }
        // A leaky bucket: each call fills it by its share of a minute, and it leaks as time goes by.
        let full_at = seen.entry(peer.ip()).or_insert(now);
        let next = (*full_at).max(now).saturating_add(each);
        let over = next.saturating_sub(now).saturating_sub(MINUTE);
        if over > 0 {
            let seconds = over.checked_div(1_000_000).unwrap_or(0).saturating_add(1);
            return Err(Problem::too_many_requests(u32::try_from(seconds).unwrap_or(60)));
        }
        *full_at = next;
        Ok(())
    }
}
