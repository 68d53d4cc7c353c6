//! A failing history made small: fewer messages, devices, users, shards and faults, as long as the same claim breaks.

use crate::plan::Plan;
use crate::world::{Outcome, run};

/// Another plan is another history of the same seed: so many seeds are tried with each.
const SEEDS: u64 = 24;

/// Happenings that may be spent on it, some seconds' worth.
const STEPS_MAX: u64 = 20_000_000;

/// The smallest failing history that was found from this one.
pub fn shrink(failed: &Outcome, plan: &Plan) -> (Outcome, Plan) {
    let (mut smallest, mut plan) = (failed.clone(), plan.clone());
    let Some(claim) = failed.violations.first().map(|(_, violation)| violation.claim) else {
        return (smallest, plan);
    };
    let mut left = STEPS_MAX;
    while let Some((outcome, smaller)) =
        smaller(&plan).into_iter().find_map(|smaller| fails(smallest.seed, smaller, claim, &mut left))
    {
        (smallest, plan) = (outcome, smaller);
    }
    (smallest, plan)
}

/// The first history of this plan, from this seed on, in which the claim breaks.
fn fails(seed: u64, plan: Plan, claim: &str, left: &mut u64) -> Option<(Outcome, Plan)> {
    for seed in seed..seed.saturating_add(SEEDS) {
        if *left == 0 {
            return None;
        }
        let outcome = run(seed, &plan);
        *left = left.saturating_sub(outcome.steps);
        if outcome.violations.first().is_some_and(|(_, violation)| violation.claim == claim) {
            return Some((outcome, plan));
        }
    }
    None
}

/// Plans with less in them, the least ones first.
fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut add = |change: &dyn Fn(&mut Plan)| {
        let mut changed = plan.clone();
        change(&mut changed);
        if changed != *plan {
            plans.push(changed);
        }
    };
    for part in [16, 4, 2] {
        add(&|changed| changed.ops = (plan.ops / part).max(1));
    }
    add(&|changed| changed.devices = 1);
    add(&|changed| changed.shards = 1);
    add(&|changed| changed.users = plan.users.saturating_sub(1).max(2));
    for less in plan.faults.one_less() {
        add(&|changed| changed.faults = less);
    }
    add(&|changed| changed.ops = (plan.ops * 7 / 8).max(1));
    plans
}
