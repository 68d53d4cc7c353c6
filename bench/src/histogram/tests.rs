//! What the figures of a distribution mean.
#![cfg(test)]

use super::*;

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= right * 0.001
}

/// The percentiles of 1..=1000 us are 500, 990, 999 and 1000 us.
/// Seen to fail when: `quantile_us` divides by 1,024.
#[test]
fn percentiles_are_in_microseconds() {
    let mut latencies = Latencies::new();
    for us in 1..=1_000 {
        latencies.record(Duration::from_micros(us));
    }
    let summary = latencies.summary();
    assert_eq!(latencies.count(), 1_000);
    assert!(close(summary.p50_us, 500.0), "{summary:?}");
    assert!(close(summary.p99_us, 990.0), "{summary:?}");
    assert!(close(summary.p999_us, 999.0), "{summary:?}");
    assert!(close(summary.max_us, 1_000.0), "{summary:?}");
}

/// A latency above the range, and one of zero, are counted all the same.
/// Seen to fail when: `saturating_record` becomes `record(..).ok()`.
#[test]
fn no_latency_is_left_out() {
    let mut latencies = Latencies::new();
    latencies.record(Duration::from_secs(10_000));
    latencies.record(Duration::ZERO);
    assert_eq!(latencies.count(), 2);
    assert!(latencies.summary().max_us >= 599_000_000.0);
}

/// Merging keeps both counts and the larger maximum.
/// Seen to fail when: `merge` keeps only the other histogram.
#[test]
fn merging_loses_nothing() {
    let (mut left, mut right) = (Latencies::new(), Latencies::new());
    left.record(Duration::from_micros(10));
    right.record(Duration::from_micros(30));
    right.record(Duration::from_micros(20));
    left.merge(&right);
    assert_eq!(left.count(), 3);
    assert!(close(left.summary().max_us, 30.0));
}
