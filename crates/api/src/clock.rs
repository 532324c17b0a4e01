//! Business time: the system's, or the test clock's where the database holds one.

use kernel::{Clock, SystemClock, Timestamp, from_micros, micros};
use std::sync::atomic::{AtomicI64, Ordering};

/// No test clock.
const NONE: i64 = i64::MIN;

/// Business time as this process knows it. The till reads the database's clock with each batch; this is for the rest.
#[derive(Debug)]
pub struct BusinessClock {
    test: AtomicI64,
}

impl BusinessClock {
    /// Follows the system's clock until a test clock is set.
    pub fn new() -> Self {
        Self { test: AtomicI64::new(NONE) }
    }

    /// Sets what the database says of a test clock.
    pub fn set_test(&self, instant: Option<Timestamp>) {
        self.test.store(instant.map_or(NONE, micros), Ordering::Relaxed);
    }

    /// Whether a test clock is set.
    pub fn is_test(&self) -> bool {
        self.test.load(Ordering::Relaxed) != NONE
    }
}

impl Clock for BusinessClock {
    fn now(&self) -> Timestamp {
        match self.test.load(Ordering::Relaxed) {
            NONE => SystemClock.now(),
            instant => from_micros(instant),
        }
    }
}
