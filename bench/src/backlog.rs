//! Whether a rate was held: "without a growing backlog".
//!
//! Invariants
//! - A run that is too short to be judged was not held.
//! - All of these must hold: the slope of accepted minus delivered, and of offered minus delivered, over the last 15 s
//!   is at most 0.1 % of the rate; the p99 of the last 5 s is at most twice that of the first 5 s.

use crate::schedule::exact;
use iris_protocol::Mono;
use std::time::Duration;

/// Time over which the slope is taken.
pub const SLOPE_SPAN: Duration = Duration::from_secs(15);
/// Time at each end of the window whose p99 is compared.
pub const EDGE: Duration = Duration::from_secs(5);
/// Largest slope, as a share of the rate.
const SLOPE_MAX: f64 = 0.001;
/// How much the p99 may grow from the first to the last seconds.
const P99_GROWTH_MAX: f64 = 2.0;
/// Fewest samples that make a slope.
const SAMPLES_MIN: usize = 10;

/// The counters of a load at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Mono,
    /// Messages that were meant to have left.
    pub offered: u64,
    /// Messages accepted.
    pub accepted: u64,
    /// Messages delivered.
    pub delivered: u64,
}

/// What became of the backlog.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backlog {
    /// Growth of accepted minus delivered, messages a second.
    pub slope: f64,
    /// Growth of offered minus delivered, messages a second.
    pub offered_slope: f64,
    /// p99 of the last seconds over that of the first.
    pub p99_growth: f64,
    /// True if the rate was held.
    pub held: bool,
}

impl Backlog {
    /// Judges a window that ends with its last sample, at `rate` messages a second.
    pub fn judge(samples: &[Sample], rate: f64, first_p99_us: f64, last_p99_us: f64) -> Self {
        let end = samples.last().map_or(Mono(0), |sample| sample.at);
        let tail: Vec<Sample> =
            samples.iter().copied().filter(|sample| end.since(sample.at) <= SLOPE_SPAN).collect();
        let slope = slope_of(&tail, |sample| exact(sample.accepted) - exact(sample.delivered));
        let offered_slope = slope_of(&tail, |sample| exact(sample.offered) - exact(sample.delivered));
        let p99_growth = if first_p99_us > 0.0 { last_p99_us / first_p99_us } else { f64::INFINITY };
        let calm = [slope, offered_slope].into_iter().all(|slope| slope <= rate * SLOPE_MAX);
        let held = tail.len() >= SAMPLES_MIN && calm && p99_growth <= P99_GROWTH_MAX;
        Self { slope, offered_slope, p99_growth, held }
    }
}

/// The least-squares slope of a backlog, a second; 0 for fewer than two samples.
fn slope_of(samples: &[Sample], backlog: impl Fn(&Sample) -> f64) -> f64 {
    let Some(first) = samples.first() else { return 0.0 };
    let points: Vec<(f64, f64)> =
        samples.iter().map(|sample| (sample.at.since(first.at).as_secs_f64(), backlog(sample))).collect();
    let count = exact(u64::try_from(points.len()).unwrap_or(u64::MAX));
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - mean_x).powi(2)).sum();
    let together: f64 = points.iter().map(|point| (point.0 - mean_x) * (point.1 - mean_y)).sum();
    if spread > 0.0 { together / spread } else { 0.0 }
}

#[cfg(test)]
mod tests;
