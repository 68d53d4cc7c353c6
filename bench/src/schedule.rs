//! When each message of an open loop is meant to leave.
//!
//! Invariants
//! - The intended time of a message depends on its number alone, never on what was answered: a slow server
//!   cannot slow the load down (no coordinated omission).
//! - Intended times never decrease.

use iris_protocol::Mono;
use std::time::Duration;

/// A fixed rate, reached by a linear ramp.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start: Mono,
    per_second: f64,
    ramp_s: f64,
}

impl Schedule {
    /// `per_second` messages a second from `start + ramp` on; during the ramp the rate rises linearly from zero.
    pub fn new(start: Mono, per_second: f64, ramp: Duration) -> Self {
        assert!(per_second > 0.0, "a rate of {per_second} messages a second is no rate");
        Self { start, per_second, ramp_s: ramp.as_secs_f64() }
    }

    /// The intended time of message `number`, from 0.
    pub fn intended(&self, number: u64) -> Mono {
        let number = exact(number);
        let ramped = self.per_second * self.ramp_s / 2.0;
        let seconds = if number < ramped {
            (2.0 * number * self.ramp_s / self.per_second).sqrt()
        } else {
            self.ramp_s + (number - ramped) / self.per_second
        };
        self.start.after(Duration::from_secs_f64(seconds))
    }

    /// How many messages are due at `now`: all those with an intended time at or before it.
    pub fn due(&self, now: Mono) -> u64 {
        if now < self.start {
            return 0;
        }
        let seconds = now.since(self.start).as_secs_f64();
        let due = if seconds < self.ramp_s {
            self.per_second * seconds * seconds / (2.0 * self.ramp_s)
        } else {
            self.per_second * (seconds - self.ramp_s / 2.0)
        };
        whole(due) + 1
    }
}

/// The part of a run that is measured; what lies before is warm-up, what lies after is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First instant that counts.
    pub from: Mono,
    /// First instant that no longer counts.
    pub until: Mono,
}

impl Window {
    /// True if `time` lies inside.
    pub fn contains(&self, time: Mono) -> bool {
        self.from <= time && time < self.until
    }

    /// Its length.
    pub fn length(&self) -> Duration {
        self.until.since(self.from)
    }
}

/// A count as a floating-point number. Exact below 2^53, which no run reaches.
#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn exact(count: u64) -> f64 {
    count as f64
}

/// A floating-point number cut to a count; negative numbers and NaN are 0.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturating by definition of `as`"
)]
pub fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests;
