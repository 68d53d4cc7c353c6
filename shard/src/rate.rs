//! Rate limits in eight bytes: the generic cell rate algorithm.
//!
//! Invariants
//! - A refused request costs nothing: the bucket is as it was.

use iris_protocol::Mono;
use std::time::Duration;

/// A token bucket kept as the time at which it will be full again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket(Mono);

impl Bucket {
    /// Takes one token of a bucket of `burst` that refills one token every `interval`.
    ///
    /// # Errors
    /// How long until there is one.
    pub(crate) fn take(&mut self, now: Mono, interval: Duration, burst: u32) -> Result<(), Duration> {
        let full_at = self.0.max(now);
        let next = full_at.after(interval);
        let depth = interval.saturating_mul(burst);
        let latest = now.after(depth);
        if next > latest {
            return Err(next.since(latest));
        }
        self.0 = next;
        Ok(())
    }
}

impl Bucket {
    /// True if it would be the same as a new one.
    pub(crate) fn is_full(self, now: Mono) -> bool {
        self.0 <= now
    }
}

/// The refill interval of `count` tokens in `period`; a count of 0 never refills.
pub(crate) fn interval(period: Duration, count: u32) -> Duration {
    period.checked_div(count).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
