//! `latency`: the main gate. Floors, then the gateway under a fixed rate, then the ratios between them.
//!
//! Invariants
//! - The floors run in the same invocation, at the same rate, over as many connections, with frames as long as a
//!   Send, on the same transport and as many shards.
//! - A run whose verdict is bad publishes its report all the same.

use crate::cpu::us_per_message;
use crate::drive::{self, Driven, Nobody, Target};
use crate::error::BenchError;
use crate::floor;
use crate::gateway::{Gateway, GatewayPlan, Keyring, ServerStats};
use crate::histogram::Latencies;
use crate::host;
use crate::options::{DurabilityArg, Engine, LatencyArgs, ServeKind};
use crate::output::{Progress, publish};
use crate::plan::{CommitPlan, FloorPlan, Span, TrafficPlan};
use crate::report::Report;
use crate::schedule::exact;
use crate::shape;
use std::time::Duration;

/// Log bytes of a message beside its payload, where nothing better is known: a sequence, a dedup row and the
/// envelope's header with its key.
const LOG_OVERHEAD_BYTES: usize = 256;
/// Warm-up of a floor: it has no caches to fill beyond its connections.
const FLOOR_WARMUP: Duration = Duration::from_secs(1);

type Distributions = Vec<(String, Latencies)>;

/// Runs the gate.
///
/// # Errors
/// It could not be completed, or [`BenchError::Verdict`].
pub fn run(args: &LatencyArgs) -> Result<(), BenchError> {
    let plan = TrafficPlan::new(&args.traffic, args.rate)?;
    let server = GatewayPlan::new(&args.gateway)?;
    let mut report = Report::new("latency");
    let mut distributions = Distributions::new();
    let keys = Keyring::new(&server, plan.pairs * 2)?;
    let sizes = shape::sizes(&keys.credentials, plan.payload_bytes);
    let floors = Floors { plan: &plan, server: &server, sizes, args };
    let mut measured = Report::default();
    if !args.no_floors {
        floors.before(&mut measured, &mut distributions)?;
    }
    let mut gateway = Gateway::start(&server, &keys)?;
    let before = gateway.stats();
    let target = Target::of(&gateway, &server);
    let driven = drive::drive(&plan, &target, &keys.credentials, &mut Nobody);
    let driven = driven.map_err(|error| gateway.explain(error))?;
    let after = gateway.stats();
    let affinities = gateway.pid.map(host::thread_affinities);
    gateway.stop()?;
    if !args.no_floors {
        floors.after(&mut measured, &mut distributions)?;
    }
    describe(&plan, &driven, &mut report);
    if let (Some(before), Some(after)) = (before, after) {
        work(&before, &after, &mut report);
    }
    report.extend(measured);
    ratios(server.durability, &mut report);
    crate::gateway::describe(&server, &mut report);
    report.text("server.affinity", affinities.as_deref().unwrap_or("unknown"));
    driven.cost.describe(&mut report);
    host::describe(&mut report);
    let verdict = driven.tally.verdict(args.verify);
    report.flag("verified", args.verify);
    report.text("verdict", verdict.as_deref().unwrap_or("good"));
    distributions.push(("delivery".to_owned(), driven.tally.delivery));
    distributions.push(("ack".to_owned(), driven.tally.ack));
    publish(&report, &distributions, plan.span.duration, &args.output)?;
    verdict.map_or(Ok(()), |why| Err(BenchError::Verdict(why)))
}

/// Puts what a load found into a report.
pub fn describe(plan: &TrafficPlan, driven: &Driven, report: &mut Report) {
    let (tally, cost) = (&driven.tally, &driven.cost);
    report.summary("delivery", tally.delivery.summary());
    report.summary("ack", tally.ack.summary());
    if let Some(server) = cost.server {
        report.number("server.cpu_us_per_message", us_per_message(server, tally.completed));
        report.number("total.cpu_us_per_message", us_per_message(server + cost.load, tally.completed));
        report.number("server.cpu_cores", server.as_secs_f64() / plan.span.duration.as_secs_f64());
    }
    report.number("load.cpu_us_per_message", us_per_message(cost.load, tally.completed));
    report.summary("load.lag", tally.lag.summary());
    report.count("sent", tally.sent);
    report.count("accepted", tally.accepted);
    report.count("delivered", tally.delivered);
    report.count("completed", tally.completed);
    report.count("lost", tally.faults.lost);
    report.count("duplicated", tally.duplicated());
    report.count("reordered", tally.faults.reordered);
    report.count("corrupted", tally.faults.corrupted);
    report.count("holes", tally.faults.holes);
    report.count("put_off", tally.put_off);
    report.count("refused", tally.refused);
    report.count("gaps", tally.gaps);
    report.count("foreign", tally.foreign);
    report.count("disconnects", tally.disconnects);
    report.count("repeats", tally.repeats);
    report.summary("login", tally.login.summary());
    report.count("server_faults", tally.server_faults);
    report.number("backlog.slope_per_second", driven.backlog.slope);
    report.number("backlog.offered_slope_per_second", driven.backlog.offered_slope);
    report.flag("backlog.held", driven.backlog.held);
    report.number("rate", plan.rate);
    report.count("pairs", u64::from(plan.pairs));
    report.count("connections", u64::from(plan.pairs) * 2);
    report.count("payload_bytes", u64::try_from(plan.payload_bytes).unwrap_or(u64::MAX));
    report.number("ramp_s", plan.span.ramp.as_secs_f64());
    report.number("warmup_s", plan.span.warmup.as_secs_f64());
    report.number("duration_s", plan.span.duration.as_secs_f64());
    report.number("login_s", driven.login.as_secs_f64());
    report.count("load.threads", u64::from(plan.threads));
    report.number("load.own_ack_delay_ms", plan.own_ack_delay.as_secs_f64() * 1_000.0);
}

/// What the server did for a message, and on what a delivered one spent its time on average, ramp and warm-up included; its own counters.
const WORK: [&str; 10] = [
    "turns",
    "enters",
    "receives",
    "sends",
    "mails",
    "wakes_sent",
    "appended",
    "log_bytes",
    "loads",
    "resident_loads",
];

/// What the gateway's flight recorder tells apart, in the order of a message's life.
const STAGES: [&str; 8] =
    ["receive", "decode", "mail", "sequence", "store_wait", "commit", "deliver", "send"];

/// Puts into a report what a gateway did between two looks at its statistics.
pub fn work(before: &ServerStats, after: &ServerStats, report: &mut Report) {
    let grown = |name: &str| after.growth(before, name);
    let (Some(records), Some(messages)) = (grown("records"), grown("record_messages")) else { return };
    report.count("server.records", records);
    report.count("server.record_messages", messages);
    report.number("server.messages_per_record", exact(messages) / exact(records.max(1)));
    // With `os` a record is durable for its purpose once it is copied: there is nothing to wait for.
    if let Some(microseconds) = grown("record_write_us").filter(|microseconds| *microseconds > 0) {
        report.number("server.record_write_us", exact(microseconds) / exact(records.max(1)));
    }
    for name in WORK {
        if let Some(count) = grown(name) {
            report.number(&format!("server.{name}_per_message"), exact(count) / exact(messages.max(1)));
        }
    }
    let Some(timed) = grown("timed").filter(|timed| *timed > 0) else { return };
    for stage in STAGES {
        if let Some(microseconds) = grown(&format!("stage_{stage}_us")) {
            report.number(&format!("server.stage.{stage}_us"), exact(microseconds) / exact(timed));
        }
    }
}

fn ratios(durability: DurabilityArg, report: &mut Report) {
    report.ratio("ratio.delivery_p50", "delivery.p50_us", "floor.routed.p50_us");
    report.ratio("ratio.delivery_p50_echo", "delivery.p50_us", "floor.echo.p50_us");
    let ack_floor = match durability {
        DurabilityArg::Fsync => "floor.commit.p50_us",
        DurabilityArg::Os => "floor.routed.p50_us",
    };
    report.ratio("ratio.ack_p50", "ack.p50_us", ack_floor);
    report.ratio("ratio.cpu", "server.cpu_us_per_message", "floor.message.cpu_us");
}

/// The floors of one invocation.
struct Floors<'a> {
    plan: &'a TrafficPlan,
    server: &'a GatewayPlan,
    sizes: shape::Sizes,
    args: &'a LatencyArgs,
}

impl Floors<'_> {
    fn before(&self, report: &mut Report, distributions: &mut Distributions) -> Result<(), BenchError> {
        for kind in [ServeKind::Echo, ServeKind::Routed] {
            self.add(kind, report, distributions)?;
        }
        Ok(())
    }

    fn after(&self, report: &mut Report, distributions: &mut Distributions) -> Result<(), BenchError> {
        self.add(ServeKind::Message, report, distributions)?;
        let progress = Progress::new();
        progress.say("measuring floor.commit");
        let plan = CommitPlan {
            rate: self.plan.rate,
            message_bytes: self.args.log_bytes.unwrap_or(self.plan.payload_bytes + LOG_OVERHEAD_BYTES),
            span: self.span(),
            shards: self.server.shards,
            data_dir: self.server.data_dir.clone(),
        };
        let result = floor::run_commit(&plan)?;
        report.extend(result.report);
        distributions.extend(result.distributions);
        Ok(())
    }

    fn add(
        &self,
        kind: ServeKind,
        report: &mut Report,
        distributions: &mut Distributions,
    ) -> Result<(), BenchError> {
        let progress = Progress::new();
        progress.say(&format!("measuring floor.{}", kind.name()));
        let result = floor::run(&FloorPlan {
            kind,
            engine: Engine::Uring,
            connections: self.plan.pairs * 2,
            rate: self.plan.rate,
            frame_bytes: self.sizes.send,
            answer_bytes: self.sizes.accepted,
            span: self.span(),
            tls: self.server.is_tls(),
            shards: self.server.shards,
            data_dir: self.server.data_dir.clone(),
        })?;
        report.extend(result.report.without(&["hiccup.", "host."]));
        distributions.extend(result.distributions);
        Ok(())
    }

    fn span(&self) -> Span {
        Span { ramp: Duration::ZERO, warmup: FLOOR_WARMUP, duration: self.args.floor_duration }
    }
}
