//! The arithmetic of the open loop.
#![cfg(test)]

use super::*;

const SECOND: u64 = 1_000_000_000;

/// Without a ramp message k leaves k / rate after the start.
/// Seen to fail when: `number / self.per_second` becomes `number / (self.per_second + 1.0)`.
#[test]
fn a_fixed_rate_spaces_messages_evenly() {
    let schedule = Schedule::new(Mono(SECOND), 10_000.0, Duration::ZERO);
    assert_eq!(schedule.intended(0), Mono(SECOND));
    assert_eq!(schedule.intended(1), Mono(SECOND + 100_000));
    assert_eq!(schedule.intended(25_000), Mono(SECOND + 2_500_000_000));
}

/// A linear ramp of 2 s at 1,000/s lets half of 2,000 messages out, then the full rate follows.
/// Seen to fail when: the ramp's share is not halved.
#[test]
fn a_ramp_lets_half_the_messages_out() {
    let schedule = Schedule::new(Mono(0), 1_000.0, Duration::from_secs(2));
    assert_eq!(schedule.intended(1_000), Mono(2 * SECOND));
    assert_eq!(schedule.intended(2_000), Mono(3 * SECOND));
    assert_eq!(schedule.due(Mono(2 * SECOND)), 1_001);
    assert_eq!(schedule.due(Mono(SECOND)), 251);
}

/// `intended` never decreases, and a message is due at its intended time and not one message earlier.
/// Seen to fail when: `due` does not count the message that is due right now.
#[test]
fn due_inverts_intended_and_time_never_runs_back() {
    let schedule = Schedule::new(Mono(SECOND), 7_777.0, Duration::from_millis(1_500));
    let mut last = Mono(0);
    for number in 0..40_000 {
        let intended = schedule.intended(number);
        assert!(intended >= last, "message {number} is meant to leave before its predecessor");
        last = intended;
        // A nanosecond covers the rounding of the intended time.
        let (before, at) = (schedule.due(Mono(intended.0 - 1)), schedule.due(Mono(intended.0 + 1)));
        assert_eq!(at, number + 1, "message {number} at {intended:?}");
        assert!(before <= number, "message {number} is due before {intended:?}");
    }
    assert_eq!(schedule.due(Mono(0)), 0);
}

/// A window takes its first instant and leaves out its last.
/// Seen to fail when: `<` becomes `<=`.
#[test]
fn a_window_is_half_open() {
    let window = Window { from: Mono(5), until: Mono(9) };
    assert!(!window.contains(Mono(4)));
    assert!(window.contains(Mono(5)));
    assert!(window.contains(Mono(8)));
    assert!(!window.contains(Mono(9)));
}
