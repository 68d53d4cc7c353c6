//! Histories that broke a claim once, each under the name of the bug that it found.
#![cfg(test)]

use iris_simulator::plan::Faults;
use iris_simulator::{Plan, run};
use std::ops::Range;

fn hold(seeds: Range<u64>, plan: &Plan) {
    let mut messages = 0;
    for seed in seeds {
        let outcome = run(seed, plan);
        assert_eq!(outcome.violations, [], "{}", plan.command(seed));
        messages += outcome.messages;
    }
    assert!(messages > 0, "nothing was sent");
}

/// Proves: G-INCARNATION-1 (a rewound history is announced)
/// The host lost a log's only segment; the next process vouched for it, and the one after that refused to start.
/// Seen to fail when: a log vouches for a segment that it does not have.
#[test]
fn f_85_a_segment_that_the_host_lost_is_not_vouched_for() {
    let faults = "crash,network,device,stall,link,full,core,flip,os";
    let plan = Plan { ops: 1, users: 3, faults: Faults::parse(faults).unwrap(), ..Plan::default() };
    hold(60..90, &plan);
}

/// Proves: G-INCARNATION-1 (a rewound history is announced)
/// The host lost what an owner had, not what the home had: the next messages got known sequences, and were ignored.
/// Seen to fail when: homes are not cut after the host lost writes.
#[test]
fn f_85_a_message_after_a_rewound_start_is_not_taken_for_a_lost_one() {
    let plan = Plan { ops: 150, faults: Faults::parse("crash,os").unwrap(), ..Plan::default() };
    hold(0..60, &plan);
}
