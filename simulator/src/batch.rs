//! Many seeds, on as many threads as the host has, added up.
//!
//! Invariants
//! - What a batch says does not depend on the number of threads, except for its time.

use crate::plan::{Faults, Plan};
use crate::reached::Reached;
use crate::world::{Outcome, run};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// A batch of so many seeds, with every fault, must reach every rare state: otherwise its silence proves nothing (C12).
const SEEDS_THAT_REACH: u64 = 500;
/// One seed in so many runs twice: the same seed is the same history (C11).
const TWICE: u64 = 100;

/// What a batch added up to.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// Histories.
    pub runs: u64,
    /// Messages stored.
    pub messages: u64,
    /// Acknowledgements that were judged.
    pub acknowledgements: u64,
    /// Happenings.
    pub steps: u64,
    /// Simulated time.
    pub simulated_seconds: f64,
    /// Rare states.
    pub reached: Reached,
    /// Histories in which a claim did not hold, by seed.
    pub failed: Vec<(Outcome, Plan)>,
    /// Seeds whose second history was another one, ascending.
    pub indeterminate: Vec<u64>,
}

impl Sum {
    /// Rare states that a batch should have reached and did not.
    pub fn unreached(&self, faults: &Faults) -> Vec<&'static str> {
        if self.runs < SEEDS_THAT_REACH || *faults != Faults::ALL {
            return Vec::new();
        }
        self.reached.list().into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
    }

    /// Adds one history.
    fn add(&mut self, outcome: Outcome, plan: &Plan) {
        self.runs += 1;
        self.messages += outcome.messages;
        self.acknowledgements += outcome.acknowledgements;
        self.steps += outcome.steps;
        self.simulated_seconds += outcome.simulated.as_secs_f64();
        self.reached.add(&outcome.reached);
        if !outcome.violations.is_empty() {
            self.failed.push((outcome, plan.clone()));
        }
    }

    fn join(&mut self, other: Self) {
        self.runs += other.runs;
        self.messages += other.messages;
        self.acknowledgements += other.acknowledgements;
        self.steps += other.steps;
        self.simulated_seconds += other.simulated_seconds;
        self.reached.add(&other.reached);
        self.failed.extend(other.failed);
        self.indeterminate.extend(other.indeterminate);
    }

    fn in_order(mut self) -> Self {
        self.failed.sort_by_key(|(outcome, plan)| (outcome.seed, plan.stop_at));
        self.indeterminate.sort_unstable();
        self
    }
}

/// What somebody who watches a batch is told: histories done, and the one that begins.
pub trait Watch: Sync {
    /// A history begins on this thread.
    fn begins(&self, seed: u64, plan: &Plan);
    /// So many are done.
    fn done(&self, count: u64);
}

/// Runs every seed of a range.
pub fn run_seeds(seeds: Range<u64>, plan: &Plan, watch: &impl Watch) -> Sum {
    let is_single = seeds.end - seeds.start == 1;
    on_threads(seeds, watch, |seed, sum| {
        watch.begins(seed, plan);
        let outcome = run(seed, plan);
        if (seed % TWICE == 0 || is_single) && run(seed, plan).trace != outcome.trace {
            sum.indeterminate.push(seed);
        }
        sum.add(outcome, plan);
    })
}

/// Runs one seed again and again, and stops the process after another one of its happenings each time: every step of the
/// write path, of deliveries and of acknowledgements is the last one once.
pub fn stop_at_every_step(seed: u64, plan: &Plan, watch: &impl Watch) -> Sum {
    let steps = run(seed, plan).steps;
    on_threads(1..steps + 1, watch, |step, sum| {
        let plan = Plan { stop_at: Some(step), ..plan.clone() };
        watch.begins(seed, &plan);
        sum.add(run(seed, &plan), &plan);
    })
}

fn on_threads(range: Range<u64>, watch: &impl Watch, each: impl Fn(u64, &mut Sum) + Sync) -> Sum {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (next, done) = (AtomicU64::new(range.start), AtomicU64::new(0));
    let work = || {
        let mut sum = Sum::default();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= range.end {
                return sum;
            }
            each(at, &mut sum);
            watch.done(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let mut sum = Sum::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(part) => sum.join(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    sum.in_order()
}

#[cfg(test)]
mod tests;
