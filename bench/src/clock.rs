//! One monotonic clock for every thread of a run.
//!
//! Invariants
//! - A copy of a [`Clock`] names the same instants as the original: latencies may start on one thread and end
//!   on another.

use iris_protocol::Mono;
use std::time::{Duration, Instant};

/// Turns the system's monotonic clock into [`Mono`] times since the run began.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that starts a second ago, so that "a moment before the start" is still a time.
    pub fn start() -> Self {
        let now = Instant::now();
        Self { origin: now.checked_sub(Duration::from_secs(1)).unwrap_or(now) }
    }

    /// Now.
    pub fn now(&self) -> Mono {
        Mono(nanos(self.origin.elapsed()))
    }

    /// The system's instant of a time of this clock, to wait for.
    pub fn instant(&self, time: Mono) -> Instant {
        self.origin + Duration::from_nanos(time.0)
    }

    /// Blocks the thread until `time`; returns at once if it has passed.
    pub fn sleep_until(&self, time: Mono) {
        std::thread::sleep(time.since(self.now()));
    }
}

/// A duration in whole nanoseconds, saturating.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
