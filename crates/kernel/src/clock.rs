//! Instants: UTC, whole microseconds, and the clocks that hand them out. The database keeps [`micros`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::text::TextError;

/// An instant in UTC. Those of this program are whole microseconds.
pub type Timestamp = DateTime<Utc>;

/// Where business time comes from: handed in, so that it can stand still or be moved (contract, "Test clock").
pub trait Clock: Send + Sync {
    /// The present instant, truncated to microseconds.
    fn now(&self) -> Timestamp;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for business time")]
    fn now(&self) -> Timestamp {
        truncated(Utc::now())
    }
}

/// A clock that stands still until it is set.
#[derive(Debug)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    /// A clock that shows `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(AtomicI64::new(micros(at)))
    }

    /// Shows `at` from now on, earlier instants included: what may not run backwards is for the caller to say.
    pub fn set(&self, at: Timestamp) {
        self.0.store(micros(at), Ordering::SeqCst);
    }

    /// Moves the clock by `by`; the part below a microsecond is dropped.
    pub fn advance(&self, by: TimeDelta) {
        let step = by.num_microseconds().unwrap_or(0);
        self.0.fetch_add(step, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Microseconds since 1970-01-01T00:00:00Z, as both databases keep an instant.
pub fn micros(t: Timestamp) -> i64 {
    t.timestamp_micros()
}

/// The instant `us` microseconds after 1970-01-01T00:00:00Z; beyond what can be represented, the nearest that can.
pub fn from_micros(us: i64) -> Timestamp {
    let end = if us < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    DateTime::from_timestamp_micros(us).unwrap_or(end)
}

fn truncated(t: Timestamp) -> Timestamp {
    from_micros(micros(t))
}

/// RFC 3339 in UTC: `2018-04-15T10:00:00Z`, with six decimals only where the fraction is not zero.
pub fn rfc3339(t: Timestamp) -> String {
    let fraction = if t.timestamp_subsec_micros() == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros };
    t.to_rfc3339_opts(fraction, true)
}

/// Reads an RFC 3339 instant of any offset, truncated to microseconds.
///
/// # Errors
/// A sentence, where the text is not such an instant.
pub fn parse_rfc3339(s: &str) -> Result<Timestamp, TextError> {
    DateTime::parse_from_rfc3339(s)
        .map(|t| truncated(t.with_timezone(&Utc)))
        .map_err(|_| TextError::new("must be an RFC 3339 instant such as 2018-04-15T10:00:00Z"))
}
