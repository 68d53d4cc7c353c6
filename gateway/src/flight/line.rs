//! The line above which a message is slow: the 99.9th percentile of the ten seconds before.
//!
//! Invariants
//! - A window has at least [`MESSAGES_MIN`] messages, so that its 99.9th percentile is not its maximum.
//! - Before the first window is complete, every message is above the line: a quiet gateway shows its last ones.

use super::{Flight, Spent, Stage};
use hdrhistogram::Histogram;
use iris_protocol::Mono;
use std::time::Duration;

/// How long a window lasts at least.
const WINDOW: Duration = Duration::from_secs(10);
/// Messages of a window at least.
const MESSAGES_MIN: u64 = 1_000;
/// The longest time that is told apart.
const TOTAL_US_MAX: u64 = 60_000_000;

/// A window that is complete.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    /// Messages in it.
    pub(crate) messages: u64,
    /// Median, in microseconds.
    pub(crate) p50_us: u64,
    /// 99th percentile, in microseconds.
    pub(crate) p99_us: u64,
    /// 99.9th percentile, in microseconds: the line.
    pub(crate) p999_us: u64,
    /// Means by stage, in microseconds.
    pub(crate) means_us: [f64; Stage::ALL.len()],
}

/// See the module.
pub(crate) struct Line {
    totals: Histogram<u32>,
    spent_us: [u64; Stage::ALL.len()],
    ends_at: Mono,
    last: Summary,
}

impl Line {
    /// A line at zero.
    pub(crate) fn new() -> Self {
        let Ok(totals) = Histogram::new_with_bounds(1, TOTAL_US_MAX, 2) else {
            unreachable!("the bounds are constants that fit two digits")
        };
        let (spent_us, ends_at) = ([0; Stage::ALL.len()], Mono(0));
        Self { totals, spent_us, ends_at, last: Summary::default() }
    }

    /// Counts a flight that is over. True: it is above the line.
    pub(crate) fn judge(&mut self, flight: &Flight, now: Mono) -> bool {
        let is_slow = u64::from(flight.total_us()) > self.last.p999_us;
        self.totals.saturating_record(u64::from(flight.total_us()).max(1));
        self.add(flight.spent_us());
        if self.totals.len() >= MESSAGES_MIN && now >= self.ends_at {
            self.roll(now);
        }
        is_slow
    }

    /// The last window that was complete.
    pub(crate) fn summary(&self) -> &Summary {
        &self.last
    }

    fn add(&mut self, spent_us: Spent) {
        for (sum, us) in self.spent_us.iter_mut().zip(spent_us) {
            *sum += u64::from(us);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a mean, and sums far below 2^52")]
    fn roll(&mut self, now: Mono) {
        let messages = self.totals.len();
        self.last = Summary {
            messages,
            p50_us: self.totals.value_at_quantile(0.5),
            p99_us: self.totals.value_at_quantile(0.99),
            p999_us: self.totals.value_at_quantile(0.999),
            means_us: self.spent_us.map(|sum| sum as f64 / messages as f64),
        };
        self.totals.reset();
        self.spent_us = [0; Stage::ALL.len()];
        let window_ns = u64::try_from(WINDOW.as_nanos()).unwrap_or(u64::MAX);
        self.ends_at = Mono(now.0.saturating_add(window_ns));
    }
}
