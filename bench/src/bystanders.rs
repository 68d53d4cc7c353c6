//! Users who have nothing to do with what is done to a gateway: the same load of theirs is measured before it, and meanwhile.
//!
//! Invariants
//! - Their messages are verified each time: whatever costs one of them fails the run.

use crate::drive::{self, Driven, Target, Watcher};
use crate::error::BenchError;
use crate::gateway::Credential;
use crate::plan::TrafficPlan;
use crate::report::Report;

/// Under which name what comes later is compared with.
const BEFORE: &str = "before.delivery.p99_us";

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

    /// Measures them twice, unless that was done: what a first load links and fills is not what comes later is compared with.
    ///
    /// # Errors
    /// The gateway or the load failed.
    pub fn measure_before(&mut self) -> Result<(), BenchError> {
        if self.report.value(BEFORE).is_some() {
            return Ok(());
        }
        self.measure("warm", &mut drive::Nobody)?;
        self.measure("before", &mut drive::Nobody)
    }

    /// Judges what was measured under this name: its 99th percentile may be so many times that before, or, where it was measured, that
    /// while the same was done to another gateway on the same host.
    pub fn compare(&mut self, name: &str, ratio_max: f64) {
        let p99 = format!("{name}.delivery.p99_us");
        let (to_before, to_elsewhere) = (format!("ratio.{name}_p99"), format!("ratio.{name}_p99_elsewhere"));
        self.report.ratio(&to_before, &p99, BEFORE);
        self.report.ratio(&to_elsewhere, &p99, &format!("{}.delivery.p99_us", elsewhere(name)));
        let judged = self.report.value(&to_elsewhere).map(|ratio| (ratio, "while it was done elsewhere"));
        let judged = judged.or(self.report.value(&to_before).map(|ratio| (ratio, "before")));
        if let Some((_, than)) = judged.filter(|(ratio, _)| *ratio > ratio_max) {
            self.verdict.push(format!("{name}: p99 is more than {ratio_max} times that {than}"));
        }
    }
}

/// The name of what is measured while the same is done to another gateway on this host, whose cores and attackers are the same: what
/// bystanders suffer then is the host's.
pub fn elsewhere(name: &str) -> String {
    format!("{name}.elsewhere")
}

fn describe(name: &str, driven: &Driven, report: &mut Report) {
    report.summary(&format!("{name}.delivery"), driven.tally.delivery.summary());
    report.number(&format!("{name}.login_s"), driven.login.as_secs_f64());
    report.count(&format!("{name}.delivered"), driven.tally.delivered);
    report.count(&format!("{name}.disconnects"), driven.tally.disconnects);
    report.number(&format!("{name}.steal_percent"), driven.cost.steal_percent);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Security;
    use iris_protocol::Durability;
    use std::time::Duration;

    /// What bystanders suffer is compared with what they suffered before, or, where that was measured, elsewhere: what is the host's is
    /// not held against a gateway, and what is a gateway's is.
    /// Seen to fail when: the ratio to before is judged where there is one to elsewhere; or no ratio is judged.
    #[test]
    fn elsewhere_is_what_bystanders_are_compared_with() {
        let plan = TrafficPlan::small(1, 1.0, Duration::from_secs(1)).unwrap();
        let judge = |before: f64, elsewhere: Option<f64>, meanwhile: f64| {
            let target = Target {
                address: ([127, 0, 0, 1], 1).into(),
                security: Security::Plain,
                pid: None,
                durability: Durability::Os,
                fresh: true,
            };
            let report = Report::default();
            let mut bystanders =
                Bystanders { plan: &plan, credentials: &[], target, report, verdict: Vec::new() };
            bystanders.report.number(BEFORE, before);
            bystanders.report.number("storm.delivery.p99_us", meanwhile);
            if let Some(elsewhere) = elsewhere {
                bystanders.report.number("storm.elsewhere.delivery.p99_us", elsewhere);
            }
            bystanders.compare("storm", 2.0);
            bystanders.verdict.len()
        };
        assert_eq!(judge(100.0, None, 190.0), 0);
        assert_eq!(judge(100.0, None, 210.0), 1);
        assert_eq!(judge(100.0, Some(150.0), 290.0), 0);
        assert_eq!(judge(100.0, Some(90.0), 190.0), 1);
    }
}
