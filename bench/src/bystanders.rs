//! Users who have nothing to do with what is done to a gateway: the same load of theirs is measured before it, and meanwhile.
//!
//! Invariants
//! - Their messages are verified each time: whatever costs one of them fails the run.

use crate::drive::{self, Driven, Target, Watcher};
use crate::error::BenchError;
use crate::gateway::Credential;
use crate::plan::TrafficPlan;
use crate::report::Report;

/// What they do, and what was found so far.
pub struct Bystanders<'a> {
    /// Their load.
    pub plan: &'a TrafficPlan,
    /// Their devices.
    pub credentials: &'a [Credential],
    /// The gateway.
    pub target: Target,
    /// Latencies of each time, under its name.
    pub report: Report,
    /// What was wrong.
    pub verdict: Vec<String>,
}

impl Bystanders<'_> {
    /// Measures them under this name.
    ///
    /// # Errors
    /// The gateway, the load or the watcher failed.
    pub fn measure(&mut self, name: &str, watcher: &mut impl Watcher) -> Result<(), BenchError> {
        let driven = drive::drive(self.plan, &self.target, self.credentials, watcher)?;
        self.target.fresh = false;
        describe(name, &driven, &mut self.report);
        self.verdict.extend(driven.tally.verdict(true).map(|complaint| format!("{name}: {complaint}")));
        Ok(())
    }

    /// Measures them twice: what a first load links and fills is not what comes later is compared with.
    ///
    /// # Errors
    /// The gateway or the load failed.
    pub fn measure_before(&mut self) -> Result<(), BenchError> {
        self.measure("warm", &mut drive::Nobody)?;
        self.measure("before", &mut drive::Nobody)
    }

    /// Judges what was measured under this name: its 99th percentile may be so many times that before.
    pub fn compare(&mut self, name: &str, ratio_max: f64) {
        let key = format!("ratio.{name}_p99");
        self.report.ratio(&key, &format!("{name}.delivery.p99_us"), "before.delivery.p99_us");
        if self.report.value(&key).is_some_and(|ratio| ratio > ratio_max) {
            self.verdict.push(format!("{name}: p99 is more than {ratio_max} times that before"));
        }
    }
}

fn describe(name: &str, driven: &Driven, report: &mut Report) {
    report.summary(&format!("{name}.delivery"), driven.tally.delivery.summary());
    report.number(&format!("{name}.login_s"), driven.login.as_secs_f64());
    report.count(&format!("{name}.delivered"), driven.tally.delivered);
    report.count(&format!("{name}.disconnects"), driven.tally.disconnects);
    report.number(&format!("{name}.steal_percent"), driven.cost.steal_percent);
}
