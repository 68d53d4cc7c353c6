//! Latencies of a run: an HdrHistogram in nanoseconds, reported in microseconds.
//!
//! Invariants
//! - Every recorded latency is counted: what is above the range is clamped to it, never dropped.
//! - Three significant digits everywhere.

use crate::schedule::exact;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Longest latency told apart; a run that waits longer than this for a message has failed anyway.
const LATENCY_MAX: Duration = Duration::from_mins(10);

/// A distribution of latencies; a file has it as pairs of nanoseconds and counts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Latencies {
    histogram: Histogram<u64>,
}

/// The four figures that every distribution is reported by, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// Largest.
    pub max_us: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// Nothing recorded.
    pub fn new() -> Self {
        let high = crate::clock::nanos(LATENCY_MAX);
        let histogram = match Histogram::new_with_bounds(1, high, 3) {
            Ok(histogram) => histogram,
            Err(error) => unreachable!("constant bounds 1 to {high} at 3 digits: {error}"),
        };
        Self { histogram }
    }

    /// Counts one latency.
    pub fn record(&mut self, latency: Duration) {
        self.histogram.saturating_record(crate::clock::nanos(latency));
    }

    /// Counts everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        let merged = self.histogram.add(&other.histogram);
        assert!(merged.is_ok(), "histograms of equal bounds do not add up: {merged:?}");
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency at a quantile, 0 to 1, in microseconds; 0 when empty.
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        exact(self.histogram.value_at_quantile(quantile)) / 1_000.0
    }

    /// p50, p99, p99.9 and the maximum.
    pub fn summary(&self) -> Summary {
        Summary {
            p50_us: self.quantile_us(0.5),
            p99_us: self.quantile_us(0.99),
            p999_us: self.quantile_us(0.999),
            max_us: exact(self.histogram.max()) / 1_000.0,
        }
    }

    /// The histogram itself, in nanoseconds.
    pub fn inner(&self) -> &Histogram<u64> {
        &self.histogram
    }
}

impl From<Latencies> for Vec<(u64, u64)> {
    fn from(latencies: Latencies) -> Self {
        let recorded = latencies.histogram.iter_recorded();
        recorded.map(|it| (it.value_iterated_to(), it.count_at_value())).collect()
    }
}

impl From<Vec<(u64, u64)>> for Latencies {
    fn from(recorded: Vec<(u64, u64)>) -> Self {
        let mut latencies = Self::new();
        for (nanos, count) in recorded {
            latencies.histogram.saturating_record_n(nanos, count);
        }
        latencies
    }
}

#[cfg(test)]
mod tests;
