//! When a rate counts as held.
#![cfg(test)]

use super::*;

/// Samples every 100 ms for 20 s at 10,000/s, whose backlogs grow by so many messages a second.
fn samples(accept_lag: f64, deliver_lag: f64) -> Vec<Sample> {
    let at = |tick: u32| {
        let seconds = f64::from(tick) / 10.0;
        let offered = 10_000.0 * seconds;
        let accepted = offered - accept_lag * seconds;
        let delivered = accepted - deliver_lag * seconds;
        let count = |number: f64| crate::schedule::whole(number.round());
        Sample {
            at: Mono(u64::from(tick) * 100_000_000),
            offered: count(offered),
            accepted: count(accepted),
            delivered: count(delivered),
        }
    };
    (0..=200).map(at).collect()
}

/// A backlog that does not grow, with a steady p99, is held.
/// Seen to fail when: the limit of the slope is 0.
#[test]
fn a_steady_backlog_is_held() {
    let backlog = Backlog::judge(&samples(0.0, 0.0), 10_000.0, 500.0, 600.0);
    assert!(backlog.held, "{backlog:?}");
    assert!(Backlog::judge(&samples(0.0, 9.0), 10_000.0, 500.0, 600.0).held);
}

/// 0.2 % of the rate that piles up behind the acceptance is not held, and the slope says how much.
/// Seen to fail when: the slope is taken of the delivered count alone.
#[test]
fn a_growing_backlog_is_not_held() {
    let backlog = Backlog::judge(&samples(0.0, 20.0), 10_000.0, 500.0, 600.0);
    assert!(!backlog.held, "{backlog:?}");
    assert!((backlog.slope - 20.0).abs() < 0.1, "{backlog:?}");
}

/// What piles up before the acceptance counts as well.
/// Seen to fail when: only accepted minus delivered is judged.
#[test]
fn a_backlog_before_the_acceptance_is_seen() {
    let backlog = Backlog::judge(&samples(50.0, 0.0), 10_000.0, 500.0, 600.0);
    assert!(!backlog.held && backlog.slope.abs() < 0.1, "{backlog:?}");
}

/// A p99 that more than doubles is not held.
/// Seen to fail when: the p99 is not judged.
#[test]
fn a_p99_that_doubles_is_not_held() {
    assert!(Backlog::judge(&samples(0.0, 0.0), 10_000.0, 500.0, 1_000.0).held);
    assert!(!Backlog::judge(&samples(0.0, 0.0), 10_000.0, 500.0, 1_001.0).held);
}

/// No samples, no traffic: not held.
/// Seen to fail when: the minimum of samples is dropped, or an empty first part counts as no growth.
#[test]
fn nothing_is_never_held() {
    assert!(!Backlog::judge(&[], 10_000.0, 500.0, 500.0).held);
    assert!(!Backlog::judge(&samples(0.0, 0.0), 10_000.0, 0.0, 0.0).held);
}

/// Only the last 15 s make the slope: a backlog that came at the start and stayed is not growing.
/// Seen to fail when: the slope is taken over all samples.
#[test]
fn the_first_seconds_do_not_count() {
    let mut all = samples(0.0, 0.0);
    for sample in all.iter_mut().skip(50) {
        sample.delivered -= 5_000;
    }
    assert!(Backlog::judge(&all, 10_000.0, 500.0, 500.0).held);
}
