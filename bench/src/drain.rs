//! `drain`: devices that were away come back to what waited for them: how fast they get it, and what it takes of the gateway.
//!
//! Invariants
//! - Every entry comes once, in order, and after its acknowledgement not again: a second login gets nothing.

use crate::clock::Clock;
use crate::cpu::us_per_message;
use crate::drive::{Target, fleet_plan, load_config};
use crate::error::BenchError;
use crate::fleet::{Fleet, FleetPlan, Meter, Tally};
use crate::footprint::Reading;
use crate::gateway::{Gateway, GatewayPlan, Keyring};
use crate::hiccup::exact_timers;
use crate::host;
use crate::links::Links;
use crate::measure::{Cost, Measurement};
use crate::options::DrainArgs;
use crate::output::{Progress, publish};
use crate::past::Past;
use crate::payload::Run;
use crate::plan::TrafficPlan;
use crate::report::Report;
use crate::schedule::exact;
use iris_client::session::Backoff;
use std::sync::Arc;
use std::time::Duration;

/// Until acknowledgements are recorded, and rows are gone.
const SETTLE: Duration = Duration::from_secs(2);
/// Time between two looks at the gateway's memory.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Devices that were cut off come back within this.
const WITHIN: Duration = Duration::from_secs(1);

/// Drains.
///
/// # Errors
/// The run could not be completed, or [`BenchError::Verdict`]: entries were lost, doubled or out of order, came again after they
/// were acknowledged, or needed memory.
pub fn run(args: &DrainArgs) -> Result<(), BenchError> {
    if args.waiting == 0 {
        return Err(BenchError::Usage("allowed: --waiting above 0".to_owned()));
    }
    let server = GatewayPlan::new(&args.gateway)?;
    if server.is_running_already() {
        return Err(BenchError::Usage("drain starts its own gateway: leave --server out".to_owned()));
    }
    let plan = TrafficPlan::new(&args.traffic, args.traffic.connect_rate)?;
    let progress = Progress::new();
    progress.say("making keys and tokens");
    let keys = Keyring::new(&server, plan.pairs * 2)?;
    let absent = keys.second_devices(&server, plan.pairs * 2)?;
    let gateway = Gateway::start(&server, &keys)?;
    let target = Target::of(&gateway, &server);
    let messages = Past::Waiting(args.waiting).make(&plan, &target, &keys.credentials, &absent);
    // Each is an entry of its recipient, and the own copy of its sender.
    let entries = messages.map_err(|error| gateway.explain(error))? * 2;
    progress.say(&format!("{} devices come back to {entries} entries", absent.len()));
    // A thread of its own for each core would hide what one connection after the other costs.
    let single = TrafficPlan { threads: 1, own_ack_delay: Duration::ZERO, ..plan };
    let backoff = Backoff { base: WITHIN, cap: WITHIN * 4, stable_after: Duration::ZERO };
    let fleet = FleetPlan { backoff, ..fleet_plan(&single, &target, Run(1), 0) };
    let clock = Clock::start();
    let fleet = Fleet::new(fleet, clock, absent, Arc::new(Meter::default()));
    let Some(pid) = gateway.pid else { unreachable!("a gateway that was started here has a process") };
    let drained = Drained::measure(fleet, clock, &gateway, pid, (entries, args.patience));
    let drained = drained.map_err(|error| gateway.explain(error))?;
    gateway.stop()?;
    let mut report = Report::new("drain");
    report.count("devices", u64::from(single.pairs) * 2);
    report.count("drain.waiting", u64::from(args.waiting));
    drained.describe(entries, &mut report);
    crate::gateway::describe(&server, &mut report);
    drained.cost.describe(&mut report);
    host::describe(&mut report);
    let verdict = drained.verdict(entries, args.growth_max);
    report.text("verdict", if verdict.is_empty() { "good" } else { "bad" });
    publish(&report, &[("drain.login".to_owned(), drained.tally.login)], drained.took, &args.output)?;
    if verdict.is_empty() { Ok(()) } else { Err(BenchError::Verdict(verdict.join("; "))) }
}

/// What came of it.
struct Drained {
    took: Duration,
    cost: Cost,
    /// Envelopes that had come when all had, or the time was over.
    arrived: u64,
    /// Private memory of the gateway: before, at most meanwhile, after.
    memory: [u64; 3],
    /// Of everything, the second login included.
    tally: Tally,
}

impl Drained {
    fn measure(
        mut fleet: Fleet,
        clock: Clock,
        gateway: &Gateway,
        pid: u32,
        (entries, patience): (u64, Duration),
    ) -> Result<Self, BenchError> {
        exact_timers();
        let mut links = Links::new(&load_config(), gateway.security.clone())?;
        let before = Reading::of(pid)?.private_dirty;
        let mut most = before;
        let measurement = Measurement::begin(Some(pid))?;
        let since = clock.now();
        let deadline = since.after(patience);
        fleet.log_in(&mut links, usize::MAX)?;
        let mut arrived = 0;
        while clock.now() < deadline && arrived < entries {
            let look = deadline.min(clock.now().after(LOOK_EVERY));
            fleet.serve_until_counted(&mut links, look, |tally| {
                arrived = tally.arrived;
                arrived >= entries
            })?;
            most = most.max(Reading::of(pid)?.private_dirty);
        }
        let took = clock.now().since(since);
        let cost = measurement.end()?;
        fleet.serve_until_counted(&mut links, clock.now().after(SETTLE), |_| false)?;
        let after = Reading::of(pid)?.private_dirty;
        fleet.cut_off(&mut links)?;
        fleet.serve_until_counted(&mut links, clock.now().after(patience), |tally| {
            tally.returns > 0 && tally.online >= tally.logged_in
        })?;
        fleet.serve_until_counted(&mut links, clock.now().after(SETTLE), |_| false)?;
        Ok(Self { took, cost, arrived, memory: [before, most, after], tally: fleet.into_tally() })
    }

    fn describe(&self, entries: u64, report: &mut Report) {
        let seconds = self.took.as_secs_f64();
        report.count("drain.entries", entries);
        report.count("drain.arrived", self.arrived);
        report.number("drain.seconds", seconds);
        report.number("drain.entries_per_second", exact(self.arrived) / seconds);
        report.count("drain.again", self.again());
        report.summary("drain.login", self.tally.login.summary());
        if let Some(cpu) = self.cost.server {
            report.number("server.cpu_us_per_entry", us_per_message(cpu, self.arrived));
        }
        report.number("load.cpu_us_per_entry", us_per_message(self.cost.load, self.arrived));
        let [before, most, after] = self.memory.map(|bytes| exact(bytes) / exact(1 << 20));
        report.number("server.private_dirty_before_mib", before);
        report.number("server.private_dirty_most_mib", most);
        report.number("server.private_dirty_after_mib", after);
        report.count("reordered", self.tally.faults.reordered);
        report.count("holes", self.tally.faults.holes);
        report.count("corrupted", self.tally.faults.corrupted);
    }

    /// Envelopes that came after all had been acknowledged, known to their session or not.
    fn again(&self) -> u64 {
        self.tally.repeats + self.tally.arrived.saturating_sub(self.arrived)
    }

    fn verdict(&self, entries: u64, growth_max: f64) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.arrived != entries {
            wrong.push(format!("{} of {entries} entries came ({})", self.arrived, self.tally.last_close()));
        }
        if self.again() > 0 {
            wrong.push(format!("{} came again after they were acknowledged", self.again()));
        }
        if !self.tally.faults.is_clean() || self.tally.gaps > 0 {
            wrong.push(format!("{:?}, {} gaps", self.tally.faults, self.tally.gaps));
        }
        let [before, most, _] = self.memory;
        let grown = exact(most.saturating_sub(before)) / exact(1 << 20);
        if grown > growth_max {
            wrong.push(format!("memory grew by {grown:.0} MiB"));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Latencies;

    fn drained() -> Drained {
        let cost = Cost {
            server: None,
            load: Duration::ZERO,
            hiccup: Latencies::new().summary(),
            steal_percent: 0.0,
            load_average: String::new(),
        };
        let mut tally = Tally::new();
        tally.arrived = 10;
        Drained { took: Duration::from_secs(1), cost, arrived: 10, memory: [1 << 20; 3], tally }
    }

    /// Each thing that may go wrong alone fails a drain.
    /// Seen to fail when: any of them is left out of the verdict.
    #[test]
    fn every_kind_of_fault_fails_a_drain() {
        assert_eq!(drained().verdict(10, 1.0), Vec::<String>::new());
        assert_eq!(drained().verdict(11, 1.0).len(), 1, "one is missing");
        let breaks: [fn(&mut Drained); 5] = [
            |it| it.tally.repeats = 1,
            |it| it.tally.arrived = 11,
            |it| it.tally.faults.holes = 1,
            |it| it.tally.gaps = 1,
            |it| it.memory[1] = 3 << 20,
        ];
        for (kind, break_it) in breaks.into_iter().enumerate() {
            let mut broken = drained();
            break_it(&mut broken);
            assert_eq!(broken.verdict(10, 1.0).len(), 1, "fault {kind}");
        }
    }
}
