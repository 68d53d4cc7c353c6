//! `iris-tuning`: whether this host can carry a gateway, and what to type if not.
//!
//! Invariants
//! - The exit status is 0 if the plan can be met, 1 if something must be changed, 2 if the command was mistyped,
//!   74 if the answer could not be printed.

mod args;

use args::{CheckArgs, Typed, Verb};
use clap::Parser;
use iris_tuning::{CHECKS, Capacity, Finding, Host, Plan, Verdict, capacity, findings};
use serde::Serialize;
use std::io::{self, Write};
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
        Verb::Check(typed) => check(&mut out, typed),
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

fn check(out: &mut impl Write, typed: CheckArgs) -> io::Result<Exit> {
    let standard = Plan::default();
    let plan = Plan {
        connections: typed.connections.unwrap_or(standard.connections),
        shards: typed.shards.unwrap_or(standard.shards),
        data_dir: typed.data_dir.unwrap_or(standard.data_dir),
        rings_per_shard: typed.rings.unwrap_or(standard.rings_per_shard),
        descriptors_per_ring: typed.descriptors_per_ring.unwrap_or(standard.descriptors_per_ring),
        ports: standard.ports,
    };
    let host = typed.sysroot.map_or_else(Host::here, Host::at);
    let capacity = capacity(&host, &plan);
    let report = Report { summary: capacity.to_string(), findings: findings(&host, &plan), capacity };
    if typed.json {
        write_json(out, &report)?;
    } else {
        write_text(out, &report)?;
    }
    let unmet = report.findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if unmet { Exit::Unmet } else { Exit::Met })
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
