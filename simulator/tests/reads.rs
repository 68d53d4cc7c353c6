//! Reads of the tables that fail.
#![cfg(test)]

use iris_simulator::plan::Faults;
use iris_simulator::reached::Reached;
use iris_simulator::{Plan, run};

/// Proves: G-EDGE-1 (the device that needs a row that cannot be read is told, nobody else notices), G-DELIVER-1 (and has
/// everything in the end)
#[test]
fn f_39_a_read_that_fails_is_told_to_its_own_device_and_loses_nothing() {
    let plan = Plan { faults: Faults::parse("crash,network,device,read").unwrap(), ..Plan::default() };
    let mut reached = Reached::default();
    for seed in (0..60).filter(|seed| seed % 4 != 1) {
        let outcome = run(seed, &plan);
        assert_eq!(outcome.violations, [], "{}", plan.command(seed));
        reached.add(&outcome.reached);
    }
    assert!(reached.failed_reads > 40 && reached.storage_faults > 5, "{:?}", reached.list());
}
