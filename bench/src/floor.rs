//! The floors: what the bare machine does with the same bytes at the same rate.
//!
//! - `floor.echo`: the reactor's echo, or a rival's.
//! - `floor.routed`: echo to the pair's other connection, over the mail for the pairs that span two cores.
//! - `floor.commit`: sojourn of a bare group commit.
//! - `floor.message`: CPU of two receives, two sends, a log append and a table put, batched alike.
//!
//! Invariants
//! - A floor's server is a process of its own: its CPU is not mixed with the load's.
//! - A floor does everything its definition says for every message, or fails; it never leaves work out.

pub mod commit;
pub mod frame;
pub mod load;
mod relay;
mod rivals;
pub mod server;
pub mod spread;
mod work;

use crate::channel::{Identity, Security};
use crate::clock::Clock;
use crate::cpu::us_per_message;
use crate::error::BenchError;
use crate::histogram::Latencies;
use crate::host;
use crate::measure::{self, Cost};
use crate::options::ServeKind;
use crate::plan::{CommitPlan, FloorPlan};
use crate::process::Process;
use crate::report::Report;
use load::{LoadOutcome, LoadTarget};
use server::Ready;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long a floor's server may take to start.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// A floor's figures and its distributions by name.
pub struct FloorResult {
    /// The figures.
    pub report: Report,
    /// The distributions.
    pub distributions: Vec<(String, Latencies)>,
}

/// Runs the echo, routed or message floor.
///
/// # Errors
/// The server did not start, broke off, or did not bring everything back.
pub fn run(plan: &FloorPlan) -> Result<FloorResult, BenchError> {
    let (mut server, target) = start_server(plan)?;
    let clock = Clock::start();
    let (send_window, windows) = channel();
    let load_plan = plan.clone();
    let thread = std::thread::Builder::new()
        .name("load".to_owned())
        .spawn(move || load::run(&load_plan, target, clock, &send_window))
        .map_err(BenchError::io("starting the load"))?;
    let cost = windows.recv().ok().map(|window| measure::over(window, clock, Some(server.pid())));
    let affinities = host::thread_affinities(server.pid());
    let outcome = thread.join().map_err(|_| BenchError::Protocol("the load panicked".to_owned()));
    if !server.is_running() {
        // Its own error explains more than the load's.
        server.line(START_PATIENCE)?;
    }
    let outcome = outcome??;
    let cost = cost.ok_or_else(|| BenchError::Protocol("the load never began".to_owned()))??;
    let mut report = Report::default();
    describe(plan, &outcome, &cost, &mut report);
    report.text(&key(plan, "server_affinity"), &affinities);
    cost.describe(&mut report);
    let name = format!("floor.{}", plan.kind.name());
    Ok(FloorResult { report, distributions: vec![(name, outcome.latencies)] })
}

fn start_server(plan: &FloorPlan) -> Result<(Process, LoadTarget), BenchError> {
    let program = std::env::current_exe().map_err(BenchError::io("finding this program"))?;
    let mut command = Command::new(program);
    command
        .args(["serve-floor", plan.kind.name(), "--engine", plan.engine.name()])
        .args(["--shards", &plan.shards.to_string()])
        .args(["--answer-bytes", &plan.answer_bytes.to_string()])
        .arg("--data-dir")
        .arg(&plan.data_dir);
    if plan.tls {
        command.arg("--tls");
    }
    let mut server = Process::start(command, "the floor's server", None)?;
    let line = server.line(START_PATIENCE)?;
    let ready: Ready = serde_json::from_str(&line).map_err(|error| BenchError::Child {
        program: "the floor's server".to_owned(),
        problem: format!("printed {line:?}: {error}"),
    })?;
    let security = match ready.certificate {
        Some(certificate) => Identity { certificate, key: Vec::new() }.client()?,
        None => Security::Plain,
    };
    Ok((server, LoadTarget { ports: ready.ports, security }))
}

fn key(plan: &FloorPlan, last: &str) -> String {
    format!("floor.{}.{last}", plan.kind.name())
}

fn describe(plan: &FloorPlan, outcome: &LoadOutcome, cost: &Cost, report: &mut Report) {
    report.summary(&format!("floor.{}", plan.kind.name()), outcome.latencies.summary());
    let server = cost.server.unwrap_or_default();
    report.number(&key(plan, "cpu_us"), us_per_message(server, outcome.completed));
    report.number(&key(plan, "load_cpu_us"), us_per_message(cost.load, outcome.completed));
    report.number(&key(plan, "lag_p99_us"), outcome.lag.summary().p99_us);
    report.count(&key(plan, "sent"), outcome.sent);
    report.count(&key(plan, "completed"), outcome.completed);
    report.count(&key(plan, "measured"), outcome.latencies.count());
    report.text(&key(plan, "engine"), plan.engine.name());
    report.text(&key(plan, "transport"), if plan.tls { "tls" } else { "plain" });
    report.count(&key(plan, "connections"), u64::from(plan.connections));
    report.number(&key(plan, "rate"), plan.rate);
    report.count(&key(plan, "frame_bytes"), u64::try_from(plan.frame_bytes).unwrap_or(u64::MAX));
    report.count(&key(plan, "shards"), u64::from(plan.shards));
    if plan.kind != ServeKind::Echo {
        report.number(&key(plan, "hop_share"), 1.0 - 1.0 / f64::from(plan.shards));
    }
}

/// Runs the commit floor.
///
/// # Errors
/// The disk refused.
pub fn run_commit(plan: &CommitPlan) -> Result<FloorResult, BenchError> {
    let outcome = commit::run(plan, Clock::start())?;
    let mut report = Report::default();
    report.summary("floor.commit", outcome.sojourn.summary());
    report.count("floor.commit.messages", outcome.messages);
    report.count("floor.commit.writes", outcome.writes);
    let each = crate::schedule::exact(outcome.messages) / crate::schedule::exact(outcome.writes.max(1));
    report.number("floor.commit.messages_per_write", each);
    report.count("floor.commit.message_bytes", u64::try_from(plan.message_bytes).unwrap_or(u64::MAX));
    report.number("floor.commit.rate", plan.rate);
    report.count("floor.commit.committers", u64::from(plan.shards));
    Ok(FloorResult { report, distributions: vec![("floor.commit".to_owned(), outcome.sojourn)] })
}
