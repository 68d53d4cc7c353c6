use super::*;

struct Nobody;

impl Watch for Nobody {
    fn begins(&self, _: u64, _: &Plan) {}
    fn done(&self, _: u64) {}
}

/// A batch that is large enough and has every fault must have reached every state; others need not.
/// Seen to fail when: `unreached` looks at no counter, or at batches of any size.
#[test]
fn f_83_a_state_that_a_large_batch_never_reached_is_named() {
    let mut sum = Sum { runs: SEEDS_THAT_REACH, ..Sum::default() };
    sum.reached.crashes = 1;
    let unreached = sum.unreached(&Faults::ALL);
    assert!(unreached.contains(&"torn_tail") && !unreached.contains(&"crashes"), "{unreached:?}");
    assert!(sum.unreached(&Faults { crashes: true, ..Faults::NONE }).is_empty());
    sum.runs -= 1;
    assert!(sum.unreached(&Faults::ALL).is_empty());
}

/// Proves: G-SIM-1 (a batch adds up the same histories on any number of threads)
/// Seen to fail when: a batch begins with its second seed.
#[test]
fn a_batch_runs_every_seed_once() {
    let plan = Plan { ops: 20, ..Plan::default() };
    let batch = run_seeds(3..11, &plan, &Nobody);
    let alone: Vec<Outcome> = (3..11).map(|seed| run(seed, &plan)).collect();
    assert_eq!(batch.runs, 8);
    assert_eq!(batch.messages, alone.iter().map(|outcome| outcome.messages).sum::<u64>());
    assert_eq!(batch.steps, alone.iter().map(|outcome| outcome.steps).sum::<u64>());
    assert!(batch.failed.is_empty() && batch.indeterminate.is_empty());
}

/// Proves: G-CRASH-1 (a stop at any point is survived): after every single happening of a history.
/// Seen to fail when: what was accepted is not forwarded after a boot.
#[test]
fn f_31_a_stop_after_any_happening_is_survived() {
    let plan = Plan { ops: 16, faults: Faults::NONE, ..Plan::default() };
    let batch = stop_at_every_step(1, &plan, &Nobody);
    assert!(batch.runs > 300, "{} happenings", batch.runs);
    assert_eq!(batch.reached.crashes, batch.runs);
    assert!(batch.failed.is_empty(), "{:?}", batch.failed.first());
}
