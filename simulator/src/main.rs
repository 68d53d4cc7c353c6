//! The `iris-simulator` command: runs seeds, makes a failure small, and says how to run it again.

use clap::Parser;
use iris_simulator::batch::{Sum, Watch, run_seeds, stop_at_every_step};
use iris_simulator::plan::Faults;
use iris_simulator::shrink::shrink;
use iris_simulator::{Outcome, Plan, run_and_tell};
use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::process::ExitCode;

/// Seeded histories of a whole gateway, checked.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// One seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Seeds A to B, B not included.
    #[arg(long, value_parser = range, default_value = "0..100")]
    seeds: Range<u64>,
    /// Messages a seed.
    #[arg(long, default_value_t = 300)]
    ops: u64,
    /// Shards of the process.
    #[arg(long, default_value_t = 2)]
    shards: u16,
    /// Users.
    #[arg(long, default_value_t = 4)]
    users: u64,
    /// Devices of each user.
    #[arg(long, default_value_t = 2)]
    devices: u64,
    /// Which faults, with commas between them.
    #[arg(long, default_value = "all", value_parser = Faults::parse, long_help = fault_help())]
    fault: Faults,
    /// The process stops after this happening.
    #[arg(long)]
    stop_at: Option<u64>,
    /// Runs one seed once for each of its happenings, and stops the process after that one.
    #[arg(long, conflicts_with_all = ["seeds", "stop_at"], requires = "seed")]
    every_step: bool,
    /// Lines that tell the end of a failing history.
    #[arg(long, default_value_t = 60)]
    lines: usize,
    /// One JSON object at the end.
    #[arg(long)]
    json: bool,
}

fn fault_help() -> String {
    format!("Which faults: a list of {}, with commas between them", Faults::NAMES.join(", "))
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("a range is A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    let (from, to) = (number(from)?, number(to)?);
    if from < to { Ok(from..to) } else { Err("a range A..B has A below B".to_owned()) }
}

thread_local! {
    /// What this thread runs, for the words of an assertion that fails.
    static RUNNING: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Shows progress on a terminal, and what ran when an assertion failed.
struct Screen {
    of: Option<u64>,
}

impl Watch for Screen {
    fn begins(&self, seed: u64, plan: &Plan) {
        RUNNING.with_borrow_mut(|running| *running = plan.command(seed));
    }

    fn done(&self, count: u64) {
        if std::io::stderr().is_terminal() && count.is_multiple_of(10) {
            let of = self.of.map_or_else(String::new, |of| format!(" of {of}"));
            let _unseen = write!(std::io::stderr(), "\r{count}{of} histories");
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let plan = Plan {
        ops: cli.ops,
        shards: cli.shards,
        users: cli.users,
        devices: cli.devices,
        faults: cli.fault,
        stop_at: cli.stop_at,
        ..Plan::default()
    };
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        let again = RUNNING.with_borrow(String::clone);
        let _unseen = writeln!(std::io::stderr(), "  again: {again}");
    }));
    let seeds = cli.seed.map_or(cli.seeds.clone(), |seed| seed..seed + 1);
    let started = std::time::Instant::now();
    let sum = if cli.every_step {
        stop_at_every_step(seeds.start, &plan, &Screen { of: None })
    } else {
        run_seeds(seeds.clone(), &plan, &Screen { of: Some(seeds.end - seeds.start) })
    };
    let seconds = started.elapsed().as_secs_f64();
    let unreached = sum.unreached(&cli.fault);
    let mut out = std::io::stdout().lock();
    let _unseen = if cli.json {
        tell_json(&mut out, &sum, &unreached, seconds)
    } else {
        tell(&mut out, &sum, &unreached, seconds, cli.lines)
    };
    let is_good = sum.failed.is_empty() && sum.indeterminate.is_empty() && unreached.is_empty();
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// With n clean runs, the rate of failing runs is below 3/n with 95 % confidence (rule of three).
#[allow(clippy::cast_precision_loss, reason = "a bound to three digits")]
fn failure_rate_below(sum: &Sum) -> f64 {
    3.0 / sum.runs as f64
}

fn tell_json(out: &mut impl Write, sum: &Sum, unreached: &[&str], seconds: f64) -> std::io::Result<()> {
    let reached: serde_json::Map<_, _> = sum
        .reached
        .list()
        .iter()
        .map(|(name, count)| ((*name).to_owned(), serde_json::json!(count)))
        .collect();
    let failed: Vec<_> = sum.failed.iter().map(|(outcome, plan)| plan.command(outcome.seed)).collect();
    writeln!(
        out,
        "{}",
        serde_json::json!({
            "runs": sum.runs, "messages": sum.messages, "acknowledgements": sum.acknowledgements,
            "steps": sum.steps, "simulated_seconds": sum.simulated_seconds, "seconds": seconds,
            "faults_injected": sum.reached.faults(),
            "reached": reached, "failed": failed, "indeterminate": sum.indeterminate,
            "unreached": unreached,
            "failure_rate_below": failure_rate_below(sum),
        })
    )
}

fn tell(
    out: &mut impl Write,
    sum: &Sum,
    unreached: &[&str],
    seconds: f64,
    lines: usize,
) -> std::io::Result<()> {
    writeln!(
        out,
        "{} histories, {} messages, {} acknowledgements judged, {} faults injected, {} steps; {:.0} simulated seconds in \
         {seconds:.1} s ({:.0} times as fast)",
        sum.runs,
        sum.messages,
        sum.acknowledgements,
        sum.reached.faults(),
        sum.steps,
        sum.simulated_seconds,
        sum.simulated_seconds / seconds
    )?;
    writeln!(out, "reached: {:?}", sum.reached.list())?;
    if !unreached.is_empty() {
        writeln!(out, "never reached (C12): {unreached:?}")?;
    }
    if sum.failed.is_empty() && sum.indeterminate.is_empty() {
        let bound = failure_rate_below(sum) * 100.0;
        return writeln!(out, "violations: 0 (a run fails in less than {bound:.3} % of all, 95 %)");
    }
    for (outcome, plan) in &sum.failed {
        tell_failure(out, outcome, plan)?;
    }
    if let Some((outcome, plan)) = sum.failed.first() {
        tell_smallest(out, outcome, plan, lines)?;
    }
    for seed in &sum.indeterminate {
        writeln!(out, "seed {seed}: two runs had different histories (C11)")?;
    }
    Ok(())
}

fn tell_failure(out: &mut impl Write, outcome: &Outcome, plan: &Plan) -> std::io::Result<()> {
    for (micros, violation) in outcome.violations.iter().take(3) {
        writeln!(out, "seed {} at {micros} us: {} {}", outcome.seed, violation.claim, violation.what)?;
    }
    writeln!(out, "  again: {}", plan.command(outcome.seed))
}

fn tell_smallest(out: &mut impl Write, outcome: &Outcome, plan: &Plan, lines: usize) -> std::io::Result<()> {
    let (outcome, plan) = shrink(outcome, plan);
    writeln!(out, "the first of them, made small:")?;
    tell_failure(out, &outcome, &plan)?;
    for line in run_and_tell(outcome.seed, &plan, lines).1 {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
