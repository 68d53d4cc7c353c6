//! The host's clock jumps: by an hour, by a day, to 1970, by ten years.
#![cfg(test)]

use iris_simulator::plan::Faults;
use iris_simulator::reached::Reached;
use iris_simulator::{Plan, run};

/// Proves: G-CLOCK-1 (no clock decides order or identity), G-DEDUP-1 (a retry has one effect)
/// The process starts again and again while messages flow, and each time the host's clock may be an hour or a day ahead or behind,
/// or stand in 1970; ten years ahead it does not start until the clock is right again. Nothing is lost, doubled or refused.
#[test]
fn f_42_a_clock_that_jumps_over_restarts_loses_doubles_and_refuses_nothing() {
    let plan = Plan { faults: Faults::parse("crash,network,device,clock").unwrap(), ..Plan::default() };
    let mut reached = Reached::default();
    // Every fourth seed has ids that grow old, or narrow limits, and a steady clock.
    for seed in (0..80).filter(|seed| seed % 4 > 1) {
        let outcome = run(seed, &plan);
        assert_eq!(outcome.violations, [], "{}", plan.command(seed));
        reached.add(&outcome.reached);
    }
    assert!(reached.clock_jumps > 15 && reached.clock_refused > 15, "{:?}", reached.list());
    assert!(reached.retry_accepted > 40, "{:?}", reached.list());
}

/// Proves: G-CLOCK-1 (a clock that is years ahead when the process starts is refused, also where entries expire: they go on to, and
/// none before its time)
/// Entries live for a second and a half here, and every expired one is judged by the true time since it was accepted.
/// Seen to fail when: opening takes any clock.
#[test]
fn f_43_a_clock_years_ahead_at_a_start_expires_nothing_before_its_time() {
    let plan = Plan { faults: Faults::parse("crash,network,device,clock,limit").unwrap(), ..Plan::default() };
    let mut reached = Reached::default();
    // Those of the narrow worlds in which entries expire.
    for seed in (1..16 * 24).step_by(16) {
        let outcome = run(seed, &plan);
        assert_eq!(outcome.violations, [], "{}", plan.command(seed));
        reached.add(&outcome.reached);
    }
    assert!(reached.clock_refused > 5 && reached.expired_gap > 20, "{:?}", reached.list());
}
