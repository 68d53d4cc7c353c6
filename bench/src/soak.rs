//! `soak`: a long load during which connections are lost, and faults come in turn. Every message must end delivered, and the
//! gateway must not grow.
//!
//! Invariants
//! - With a directory for results, what was counted is in a file every minute: an interrupted soak goes on where it ended.

mod faults;
mod growth;
mod part;

pub use faults::Fault;

use crate::backlog::Sample;
use crate::chart::{Chart, Point, Scale, Series};
use crate::drive::{self, Driven, Target, Watcher};
use crate::error::{BenchError, Status};
use crate::fleet::MINUTE;
use crate::footprint::{self, Reading};
use crate::gateway::{Gateway, GatewayPlan, Keyring};
use crate::histogram::{Latencies, Summary};
use crate::host;
use crate::latency;
use crate::options::SoakArgs;
use crate::output::{Curves, Intervals, publish_with};
use crate::plan::{Span, TrafficPlan};
use crate::report::Report;
use faults::{Course, Faults};
use growth::{Growth, Holding, Look};
use iris_client::session::Backoff;
use iris_protocol::Mono;
use part::{Keeping, Kept};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Sessions come back quickly: the point is to lose many connections, not to wait.
const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(50),
    cap: Duration::from_secs(1),
    stable_after: Duration::from_secs(2),
};
/// Connections a second that come back when all were lost, at least: the pauses of sessions grow so far.
const RETURNS_PER_SECOND: f64 = 2_500.0;
/// Time between two looks at the gateway's memory: one costs the kernel a walk over its page tables.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Soaks.
///
/// # Errors
/// The run could not be completed, or [`BenchError::Verdict`].
pub fn run(args: &SoakArgs) -> Result<(), BenchError> {
    let server = GatewayPlan::new(&args.gateway)?;
    let mut plan = plan(args)?;
    let mut kinds: Vec<Fault> = Vec::new();
    for &fault in &args.fault {
        if !kinds.contains(&fault) {
            kinds.push(fault);
        }
    }
    if !kinds.is_empty()
        && (server.is_running_already() || args.fault_every.is_zero() || args.fault_for.is_zero())
    {
        let needed = "faults need a gateway that is started here, and --fault-every and --fault-for above 0";
        return Err(BenchError::Usage(needed.to_owned()));
    }
    let settings = format!("{plan:?} {kinds:?} {:?} {server:?}", (args.fault_every, args.fault_for));
    let before = Kept::before(args, settings)?;
    plan.span.duration = plan.span.duration.saturating_sub(MINUTE * before.minutes());
    let (hand_in, parts) = channel();
    plan.parts = args.output.out.is_some().then_some(hand_in);
    let users = plan.pairs * 2;
    let keys = Keyring::new(&server, users + faults::users(&kinds))?;
    let (credentials, beside) = keys.credentials.split_at(users as usize);
    let mut gateway = Gateway::start(&server, &keys)?;
    if kinds.contains(&Fault::Stall) {
        gateway.move_core(server.shards - 1)?;
    }
    let empty = Holding::of(&mut gateway)?;
    let mut target = Target::of(&gateway, &server);
    if kinds.contains(&Fault::Kill) {
        // A killed process takes its CPU time along.
        target.pid = None;
    }
    let (every, length, soak) = (args.fault_every, args.fault_for, plan.span.duration);
    let course = Course { kinds, every, length, soak };
    let faults = Faults::new(course, &plan.orders, &target, beside, before.found());
    let mut keeper = Keeper {
        gateway,
        faults,
        looks: Vec::new(),
        full: Holding::default(),
        keeping: Keeping { parts, threads: plan.threads, before, latest: Vec::new() },
        is_interrupted: interruption()?,
    };
    let driven = drive::drive(&plan, &target, credentials, &mut keeper);
    let ended = keeper.faults.end(&mut keeper.gateway);
    let driven = driven.and_then(|driven| ended.map(|()| driven));
    let driven = driven.map_err(|error| keeper.gateway.explain(error))?;
    let growth = Growth::of(&keeper.looks, driven.tally.delivered);
    let ledger = empty.until(&keeper.full, users);
    // What was measured is told even if the end is not in peace.
    let stopped = keeper.gateway.stop();
    let mut soaked = Soaked { driven, growth, ledger, faults: keeper.faults, before: keeper.keeping.before };
    let (mut report, complaints) = soaked.judge(args, &plan);
    if let Ok(Some(took)) = &stopped {
        report.number("server.stop_s", took.as_secs_f64());
    }
    crate::gateway::describe(&server, &mut report);
    soaked.driven.cost.describe(&mut report);
    host::describe(&mut report);
    report.text("verdict", if complaints.is_empty() { "good" } else { "bad" });
    let tally = soaked.driven.tally;
    let distributions = [
        ("delivery".to_owned(), tally.delivery),
        ("ack".to_owned(), tally.ack),
        ("login".to_owned(), tally.login),
    ];
    let minutes = Intervals { name: "delivery", parts: &tally.minutes, each: MINUTE };
    let curves = Curves { charts: vec![by_minute(minutes.parts)], intervals: Some(minutes) };
    publish_with(&report, &distributions, &curves, args.traffic.duration, &args.output)?;
    soaked.before.forget()?;
    stopped?;
    if complaints.is_empty() { Ok(()) } else { Err(BenchError::Verdict(complaints.join("; "))) }
}

/// The load as typed.
fn plan(args: &SoakArgs) -> Result<TrafficPlan, BenchError> {
    let mut traffic = args.traffic.clone();
    traffic.pairs = args.connections.map_or(traffic.pairs, |connections| connections / 2);
    let mut plan = TrafficPlan::new(&traffic, args.rate)?;
    if !(args.churn >= 0.0 && args.churn.is_finite()) {
        return Err(BenchError::Usage("allowed: --churn of 0 or above".to_owned()));
    }
    let all_back = Duration::from_secs_f64(f64::from(plan.pairs * 2) / RETURNS_PER_SECOND);
    (plan.churn, plan.backoff) = (args.churn, Backoff { cap: BACKOFF.cap.max(all_back), ..BACKOFF });
    Ok(plan)
}

/// Says so when this process is asked to end; asked twice, it ends at once.
fn interruption() -> Result<Arc<AtomicBool>, BenchError> {
    let is_interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let status = i32::from(Status::Failed.code());
        flag::register_conditional_shutdown(signal, status, Arc::clone(&is_interrupted))
            .and_then(|_| flag::register(signal, Arc::clone(&is_interrupted)))
            .map_err(BenchError::io("listening to signals"))?;
    }
    Ok(is_interrupted)
}

/// What a soak found.
struct Soaked {
    driven: Driven,
    growth: Growth,
    ledger: growth::Audit,
    faults: Faults,
    before: Kept,
}

impl Soaked {
    /// Joins it with what was counted before an interruption: the report, and what was wrong.
    fn judge(&mut self, args: &SoakArgs, plan: &TrafficPlan) -> (Report, Vec<String>) {
        let mut report = Report::new("soak");
        self.before.join(&mut self.driven.tally, &mut report);
        let tally = &self.driven.tally;
        // What it cost is told of this stretch alone: the process of another one is gone.
        let whole =
            TrafficPlan { span: Span { duration: args.traffic.duration, ..plan.span }, ..plan.clone() };
        latency::describe(&whole, &self.driven, &mut report);
        report.number("churn_per_second", args.churn);
        report.count("cut_off", tally.cut_off);
        report.count("returns", tally.returns);
        self.faults.describe(&mut report);
        self.growth.describe(&mut report);
        for (minute, latencies) in (1..).zip(&tally.minutes) {
            report.summary(&format!("minute.{minute:03}.delivery"), latencies.summary());
        }
        self.ledger.describe(&mut report);
        let mut complaints: Vec<String> = [
            tally.verdict(true),
            self.growth.verdict(args),
            args.ledger_within.and_then(|within| self.ledger.verdict(within)),
        ]
        .into_iter()
        .flatten()
        .collect();
        complaints.extend(self.faults.verdict(tally));
        (report, complaints)
    }
}

/// Looks at the gateway, keeps what was counted, and does what is due to both.
struct Keeper {
    gateway: Gateway,
    faults: Faults,
    /// Of the present process only.
    looks: Vec<Look>,
    /// At the last look.
    full: Holding,
    keeping: Keeping,
    is_interrupted: Arc<AtomicBool>,
}

impl Watcher for Keeper {
    fn look(&mut self, at: Mono, sample: &Sample) -> Result<(), BenchError> {
        if self.is_interrupted.load(Ordering::Relaxed) {
            return Err(BenchError::Interrupted);
        }
        if self.faults.look(sample, &mut self.gateway)? == Some(Fault::Kill) {
            self.looks.clear();
        }
        self.keeping.look(self.faults.found())?;
        // A gateway whose disk stands still need not answer.
        let due = self.looks.last().is_none_or(|last| at.since(last.at) >= LOOK_EVERY);
        if let (true, false, Some(pid)) = (due, self.faults.is_stalled(), self.gateway.pid) {
            self.full = Holding::of(&mut self.gateway)?;
            self.looks.push(Look {
                at,
                delivered: sample.delivered,
                private_dirty: Reading::of(pid)?.private_dirty,
                descriptors: footprint::descriptors(pid)?,
                threads: footprint::threads(pid)?,
            });
        }
        Ok(())
    }
}

/// Latencies of delivery, minute by minute; a minute without any has no point.
fn by_minute(minutes: &[Latencies]) -> Chart {
    let series = |name: &str, of: fn(&Summary) -> f64| {
        let parts = (1_u32..).zip(minutes).filter(|(_, latencies)| latencies.count() > 0);
        let point = |(minute, latencies): (u32, &Latencies)| Point {
            x: f64::from(minute),
            y: of(&latencies.summary()),
            is_good: true,
        };
        Series { name: name.to_owned(), points: parts.map(point).collect() }
    };
    Chart {
        title: "latency of delivery by minute".to_owned(),
        axis: "minute".to_owned(),
        unit: "us".to_owned(),
        across: Scale::FromZero,
        up: Scale::Logarithmic,
        series: vec![
            series("p50", |it| it.p50_us),
            series("p99", |it| it.p99_us),
            series("p99.9", |it| it.p999_us),
            series("largest", |it| it.max_us),
        ],
    }
}
