//! `iris-tuning`: whether this host can carry a gateway, and what to type if not.
//!
//! Invariants
//! - The exit status is 0 if the plan can be met, 1 if something must be changed, 2 if the command was mistyped,
//!   74 if the answer could not be printed.

mod args;

use args::{PlanArgs, Typed, Verb};
use clap::Parser;
use iris_tuning::probe::{self, SYNC_P99_MAX, Spread, WAKE_P99_MAX};
use iris_tuning::{CHECKS, Capacity, Finding, Outcome, Verdict, apply, capacity, findings, script};
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// How the command ends.
#[derive(Clone, Copy)]
enum Exit {
    Met = 0,
    Unmet = 1,
    Output = 74,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let exit = match Typed::parse().verb {
        Verb::Check { plan, json } => check(&mut out, plan, json),
        Verb::Apply { plan, dry_run, json } => apply_all(&mut out, plan, dry_run, json),
        Verb::Script { plan } => print_script(&mut out, plan),
        Verb::Probe { data_dir, json } => probe(&mut out, &data_dir, json),
        Verb::List { json } => list(&mut out, json),
    };
    exit.unwrap_or(Exit::Output).into()
}

/// The answer of `check --json`.
#[derive(Serialize)]
struct Report {
    capacity: Capacity,
    summary: String,
    findings: Vec<Finding>,
}

impl Report {
    fn of(plan: PlanArgs) -> (iris_tuning::Host, Self) {
        let (host, plan) = plan.into_host_and_plan();
        let capacity = capacity(&host, &plan);
        let report = Self { summary: capacity.to_string(), findings: findings(&host, &plan), capacity };
        (host, report)
    }
}

fn check(out: &mut impl Write, plan: PlanArgs, json: bool) -> io::Result<Exit> {
    let (_, report) = Report::of(plan);
    if json {
        write_json(out, &report)?;
    } else {
        write_text(out, &report)?;
    }
    let unmet = report.findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if unmet { Exit::Unmet } else { Exit::Met })
}

fn apply_all(out: &mut impl Write, plan: PlanArgs, dry_run: bool, json: bool) -> io::Result<Exit> {
    let (host, report) = Report::of(plan);
    let steps = apply(&host, &report.findings, dry_run);
    if json {
        write_json(out, &steps)?;
    } else {
        for step in &steps {
            writeln!(out, "{step}")?;
        }
        if steps.is_empty() {
            writeln!(out, "nothing to do; {}", report.summary)?;
        }
    }
    let refused = steps.iter().any(|step| matches!(step.outcome, Outcome::Failed { .. }));
    Ok(if refused { Exit::Unmet } else { Exit::Met })
}

fn print_script(out: &mut impl Write, plan: PlanArgs) -> io::Result<Exit> {
    let (_, report) = Report::of(plan);
    out.write_all(script(&report.findings, &report.summary).as_bytes())?;
    Ok(Exit::Met)
}

/// The answer of `probe --json`.
#[derive(Serialize)]
struct Probes {
    synced_write: Option<Spread>,
    wake_up: Option<Spread>,
}

fn probe(out: &mut impl Write, data_dir: &Path, json: bool) -> io::Result<Exit> {
    let probes = Probes { synced_write: probe::synced_writes(data_dir)?, wake_up: probe::wake_ups()? };
    let rows =
        [("synced write", probes.synced_write, SYNC_P99_MAX), ("wake-up", probes.wake_up, WAKE_P99_MAX)];
    let slow =
        rows.iter().any(|(_, spread, p99_max)| spread.is_none_or(|spread| !spread.is_within(*p99_max)));
    if json {
        write_json(out, &probes)?;
    } else {
        for (name, spread, p99_max) in rows {
            let Some(Spread { p50_us, p99_us, max_us, count }) = spread else { continue };
            let verdict = if p99_us > p99_max.as_secs_f64() * 1e6 { "slow" } else { "ok" };
            writeln!(
                out,
                "{verdict:5} {name:13} p50 {p50_us:.0} us, p99 {p99_us:.0} us (at most {} us), max {max_us:.0} us, of {count}",
                p99_max.as_micros()
            )?;
        }
    }
    Ok(if slow { Exit::Unmet } else { Exit::Met })
}

fn write_text(out: &mut impl Write, report: &Report) -> io::Result<()> {
    for finding in &report.findings {
        writeln!(out, "{:4}  {:20} {}", finding.verdict, finding.check, finding.found)?;
        if let Some(remedy) = &finding.remedy {
            writeln!(out, "      wanted: {}", finding.wanted)?;
            writeln!(out, "      why:    {}", finding.why)?;
            writeln!(out, "      type:   {remedy}")?;
        }
    }
    writeln!(out, "\n{}", report.summary)
}

fn list(out: &mut impl Write, json: bool) -> io::Result<Exit> {
    #[derive(Serialize)]
    struct Row {
        check: &'static str,
        reads: String,
        why: &'static str,
    }
    let row = |c: &iris_tuning::Check| Row { check: c.name, reads: format!("/{}", c.reads), why: c.why };
    let rows: Vec<Row> = CHECKS.iter().map(row).collect();
    if json {
        write_json(out, &rows)?;
    } else {
        for Row { check, reads, why } in rows {
            writeln!(out, "{check:20} {reads}\n{:20} {why}", "")?;
        }
    }
    Ok(Exit::Met)
}

fn write_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}
