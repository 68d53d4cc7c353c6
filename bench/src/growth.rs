//! `growth`: the same load at several sizes, one thing growing at a time, as curves.
//!
//! Invariants
//! - Every step gets a gateway with an empty data directory: what one step left behind does not burden the next.
//! - Nothing but the thing that grows differs between the steps of a sweep.
//! - A sweep of rates ends with the second in turn that was not held: beyond it, latencies say how long the run was. One alone
//!   may be the host's own stall.

use crate::chart::{Chart, Point, Scale, Series};
use crate::drive::{self, Driven, Nobody, Target};
use crate::error::BenchError;
use crate::footprint::Reading;
use crate::gateway::{Credential, Gateway, GatewayPlan, Keyring};
use crate::host;
use crate::latency;
use crate::options::{GrowthArgs, Sweep};
use crate::output::{Curves, Progress, publish_with};
use crate::past::Past;
use crate::plan::{TrafficPlan, check_shards, check_skew};
use crate::report::Report;
use crate::schedule::exact;
use std::time::Duration;

/// Rates in turn that are not held before their sweep ends.
const NOT_HELD_MAX: usize = 2;
/// Warm-up of a sweep of connections, at least: all are parked by then that have nothing to say, on both sides.
const PARKED: Duration = Duration::from_secs(15);
/// Pairs of a sweep of waiting entries, at most: more entries than they have are not made in time.
const WAITING_PAIRS_MAX: u32 = 100;

/// What is drawn of the steps' reports.
struct Drawn {
    title: &'static str,
    unit: &'static str,
    scale: Scale,
    /// Keys of the report, each with its name in the chart.
    keys: &'static [(&'static str, &'static str)],
}

const DRAWN: [Drawn; 3] = [
    Drawn {
        title: "latency of delivery",
        unit: "us",
        scale: Scale::Logarithmic,
        keys: &[("delivery.p50_us", "p50"), ("delivery.p99_us", "p99"), ("delivery.p999_us", "p99.9")],
    },
    Drawn {
        title: "processor time a message",
        unit: "us",
        scale: Scale::FromZero,
        keys: &[("server.cpu_us_per_message", "gateway"), ("load.cpu_us_per_message", "load")],
    },
    Drawn {
        title: "memory of the gateway",
        unit: "MiB",
        scale: Scale::FromZero,
        keys: &[("server.private_dirty_mib", "private, at the end")],
    },
];

/// One size.
struct Step {
    sweep: Sweep,
    /// The size on the axis.
    size: f64,
    plan: TrafficPlan,
    server: GatewayPlan,
    past: Past,
}

impl Step {
    /// Users that log in, then or before.
    fn users(&self) -> u32 {
        let past = if let Past::Users(users) = self.past { users } else { 0 };
        past.max(self.plan.pairs * 2)
    }

    /// Users with a second device.
    fn pairs_with_absent(&self) -> u32 {
        if let Past::Waiting(_) = self.past { self.plan.pairs } else { 0 }
    }
}

/// What was found at one size.
struct Found {
    size: f64,
    report: Report,
    held: bool,
}

/// Sweeps.
///
/// # Errors
/// A step could not be completed, or [`BenchError::Verdict`]: messages of a step were lost, doubled, reordered or altered.
pub fn run(args: &GrowthArgs) -> Result<(), BenchError> {
    let server = GatewayPlan::new(&args.gateway)?;
    if server.is_running_already() {
        return Err(BenchError::Usage("growth starts its own gateways: leave --server out".to_owned()));
    }
    let sweeps = args.sweeps();
    let mut steps = Vec::new();
    for &sweep in &sweeps {
        steps.extend(steps_of(sweep, args, &server)?);
    }
    let users = steps.iter().map(Step::users).max().unwrap_or(2);
    let keys = Keyring::new(&server, users)?;
    let absent =
        keys.second_devices(&server, steps.iter().map(Step::pairs_with_absent).max().unwrap_or(0) * 2)?;
    let keys = Keys { present: &keys, absent: &absent };
    let mut report = Report::new("growth");
    let (mut charts, mut complaints) = (Vec::new(), Vec::new());
    for &sweep in &sweeps {
        let found = climb(steps.iter().filter(|step| step.sweep == sweep), keys, &mut complaints)?;
        for step in &found {
            report.extend(step.report.clone().under(&format!("{}.{}", sweep.name(), step.size)));
        }
        charts.extend(DRAWN.iter().filter_map(|drawn| chart(sweep, drawn, &found)));
    }
    crate::gateway::describe(&server, &mut report);
    host::describe(&mut report);
    report.text("verdict", if complaints.is_empty() { "good" } else { "bad" });
    let curves = Curves { charts, intervals: None };
    publish_with(&report, &[], &curves, args.traffic.duration, &args.output)?;
    if complaints.is_empty() { Ok(()) } else { Err(BenchError::Verdict(complaints.join("; "))) }
}

fn steps_of(sweep: Sweep, args: &GrowthArgs, server: &GatewayPlan) -> Result<Vec<Step>, BenchError> {
    let step = |size: f64, change: &dyn Fn(&mut Step)| {
        let plan = TrafficPlan::new(&args.traffic, args.rate)?;
        let mut step = Step { sweep, size, plan, server: server.clone(), past: Past::Nothing };
        change(&mut step);
        Ok(step)
    };
    match sweep {
        Sweep::Connections => {
            at_least(2, "connections", &args.connections)?;
            let grow = |step: &mut Step, size: u32| {
                step.plan.pairs = size / 2;
                step.plan.span.warmup = step.plan.span.warmup.max(PARKED);
            };
            let sizes = args.connections.iter();
            sizes.map(|&size| step(f64::from(size), &|step| grow(step, size))).collect()
        }
        Sweep::Rate => args.rates.iter().map(|&rate| step(rate, &|step| step.plan.rate = rate)).collect(),
        Sweep::Payload => {
            let mut steps = Vec::new();
            for &payload in &args.payloads {
                let traffic = crate::options::TrafficArgs { payload, ..args.traffic.clone() };
                let plan = TrafficPlan::new(&traffic, args.rate)?;
                steps.push(step(exact(payload as u64), &|step| step.plan = plan.clone())?);
            }
            Ok(steps)
        }
        Sweep::Shards => {
            args.shard_counts.iter().try_for_each(|&shards| check_shards(shards))?;
            let sizes = args.shard_counts.iter();
            sizes.map(|&size| step(f64::from(size), &|step| step.server.shards = size)).collect()
        }
        Sweep::Users => {
            at_least(2, "users", &args.users)?;
            let sizes = args.users.iter().map(|users| users / 2 * 2);
            sizes.map(|size| step(f64::from(size), &|step| step.past = Past::Users(size))).collect()
        }
        Sweep::Waiting => {
            at_least(1, "waiting entries", &args.waiting)?;
            let wait = |step: &mut Step, entries: u32| {
                step.plan.pairs = step.plan.pairs.min(WAITING_PAIRS_MAX);
                step.past = Past::Waiting(entries);
            };
            let sizes = args.waiting.iter();
            sizes.map(|&size| step(f64::from(size), &|step| wait(step, size))).collect()
        }
        Sweep::Skew => {
            args.skews.iter().try_for_each(|&skew| check_skew(skew))?;
            args.skews.iter().map(|&skew| step(skew, &|step| step.plan.skew = skew)).collect()
        }
    }
}

fn at_least(least: u32, what: &str, sizes: &[u32]) -> Result<(), BenchError> {
    if sizes.iter().all(|size| *size >= least) {
        return Ok(());
    }
    Err(BenchError::Usage(format!("allowed: {least} {what} or more")))
}

/// Who may log in.
#[derive(Clone, Copy)]
struct Keys<'a> {
    present: &'a Keyring,
    /// Second devices of the first users.
    absent: &'a [Credential],
}

/// Takes the steps of one sweep, the smallest first as they were typed.
fn climb<'a>(
    steps: impl Iterator<Item = &'a Step>,
    keys: Keys<'_>,
    complaints: &mut Vec<String>,
) -> Result<Vec<Found>, BenchError> {
    let (mut found, mut not_held) = (Vec::new(), 0);
    for step in steps {
        let name = format!("{} {}", step.sweep.name(), step.size);
        Progress::new().say(&format!("starting a gateway for {name}"));
        let (driven, report) = measure(step, keys)?;
        let complaint = driven.tally.verdict(true);
        let held = driven.backlog.held && complaint.is_none();
        found.push(Found { size: step.size, report, held });
        not_held = if held { 0 } else { not_held + 1 };
        let is_saturated = step.sweep == Sweep::Rate && !held;
        if !is_saturated {
            complaints.extend(complaint.map(|complaint| format!("{name}: {complaint}")));
        } else if not_held >= NOT_HELD_MAX {
            break;
        }
    }
    Ok(found)
}

fn measure(step: &Step, keys: Keys<'_>) -> Result<(Driven, Report), BenchError> {
    let mut gateway = Gateway::start(&step.server, keys.present)?;
    let mut target = Target::of(&gateway, &step.server);
    let devices = &keys.present.credentials;
    let absent = &keys.absent[..step.pairs_with_absent() as usize * 2];
    let past = step.past.make(&step.plan, &target, devices, absent);
    past.map_err(|error| gateway.explain(error))?;
    target.fresh &= !step.past.is_something();
    let before = gateway.stats();
    let driven = drive::drive(&step.plan, &target, devices, &mut Nobody);
    let driven = driven.map_err(|error| gateway.explain(error))?;
    let after = gateway.stats();
    let mut report = Report::default();
    latency::describe(&step.plan, &driven, &mut report);
    driven.cost.describe(&mut report);
    if let (Some(before), Some(after)) = (before, after) {
        latency::work(&before, &after, &mut report);
    }
    if let Some(pid) = gateway.pid {
        let private_dirty = Reading::of(pid)?.private_dirty;
        report.number("server.private_dirty_mib", exact(private_dirty) / exact(1 << 20));
    }
    gateway.stop()?;
    Ok((driven, report))
}

/// `None` if no step has any of the figures.
fn chart(sweep: Sweep, drawn: &Drawn, found: &[Found]) -> Option<Chart> {
    let mut series = Vec::new();
    for (key, name) in drawn.keys {
        let point = |step: &Found| {
            step.report.value(key).map(|value| Point { x: step.size, y: value, is_good: step.held })
        };
        let points: Vec<Point> = found.iter().filter_map(point).collect();
        if !points.is_empty() {
            series.push(Series { name: (*name).to_owned(), points });
        }
    }
    let axis = sweep.axis().to_owned();
    let title = format!("{} by {axis}", drawn.title);
    (!series.is_empty()).then(|| Chart {
        title,
        axis,
        unit: drawn.unit.to_owned(),
        across: sweep.scale(),
        up: drawn.scale,
        series,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Command, Options};
    use clap::{Parser, ValueEnum};

    fn args(words: &[&str]) -> GrowthArgs {
        let gateway = std::env::current_exe().unwrap();
        let mut line = vec!["iris-bench", "growth", "--gateway", gateway.to_str().unwrap()];
        line.extend(words);
        let Command::Growth(args) = Options::parse_from(line).command else { unreachable!() };
        args
    }

    fn steps(sweep: Sweep, words: &[&str]) -> Result<Vec<Step>, BenchError> {
        let args = args(words);
        steps_of(sweep, &args, &GatewayPlan::new(&args.gateway)?)
    }

    /// In each sweep one thing grows, and the others stay as they were typed.
    /// Seen to fail when: a sweep of payloads takes the rates along.
    #[test]
    fn one_thing_grows_at_a_time() {
        let words = [
            "--pairs",
            "50",
            "--rate",
            "700",
            "--connections",
            "10,400",
            "--rates",
            "100,9000",
            "--payloads",
            "64,65536",
        ];
        for &sweep in Sweep::value_variants() {
            let steps = steps(sweep, &words).unwrap();
            assert!(steps.len() > 1, "{sweep:?}");
            let shards = steps[0].server.shards;
            for step in &steps {
                let fixed = [
                    (Sweep::Connections, step.plan.pairs == 50),
                    (Sweep::Rate, (step.plan.rate - 700.0).abs() < 1e-9),
                    (Sweep::Payload, step.plan.payload_bytes == 128),
                    (Sweep::Shards, step.server.shards == shards),
                    (Sweep::Skew, step.plan.skew == 0.0),
                    (Sweep::Users, !matches!(step.past, Past::Users(_))),
                    (Sweep::Waiting, !matches!(step.past, Past::Waiting(_))),
                ];
                let grown: Vec<_> =
                    fixed.iter().filter(|(_, is_fixed)| !is_fixed).map(|(sweep, _)| *sweep).collect();
                assert!(grown.iter().all(|grown| *grown == sweep), "{sweep:?} at {}: {grown:?}", step.size);
            }
        }
        let pairs: Vec<_> =
            steps(Sweep::Connections, &words).unwrap().iter().map(|step| step.plan.pairs).collect();
        assert_eq!(pairs, [5, 200]);
    }

    /// Sizes that no gateway or load takes are refused before anything is started.
    /// Seen to fail when: `check_shards` is left out.
    #[test]
    fn impossible_sizes_are_refused() {
        assert!(steps(Sweep::Shards, &["--shard-counts", "1,65"]).is_err());
        assert!(steps(Sweep::Connections, &["--connections", "1"]).is_err());
        assert!(steps(Sweep::Users, &["--users", "1"]).is_err());
        assert!(steps(Sweep::Waiting, &["--waiting", "0"]).is_err());
        assert!(steps(Sweep::Skew, &["--skews=-1"]).is_err());
        assert!(steps(Sweep::Payload, &["--payloads", "65537"]).is_err());
        assert!(steps(Sweep::Payload, &["--payloads", "65536"]).is_ok());
    }
}
