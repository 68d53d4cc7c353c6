//! The judge is judged: every mutant of the shard runs through the simulator until a checker notices.
//!
//! A mutant runs in a process of its own, because one that an assertion of the shard notices aborts it.
//!
//! Invariants
//! - A mutant that nobody notices fails the run, as does a violation in the shard as it is.

use clap::Parser;
use iris_shard::mutant::{Mutant, switch_on};
use iris_simulator::{Plan, run};
use std::io::Write;
use std::process::{Command, ExitCode};

/// Switches rules of the shard off, one after the other, and expects the simulator to notice each.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Seeds at most for each.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// Messages a seed.
    #[arg(long, default_value_t = 300)]
    ops: u64,
    /// Judge this one alone, in this process.
    #[arg(long, value_parser = mutant)]
    mutant: Option<Mutant>,
    /// Judge the shard as it is, in this process.
    #[arg(long, conflicts_with = "mutant")]
    unchanged: bool,
}

fn mutant(name: &str) -> Result<Mutant, String> {
    let found = Mutant::ALL.iter().find(|mutant| mutant.name() == name);
    found.copied().ok_or_else(|| format!("{name:?} is no mutant"))
}

fn main() -> std::io::Result<ExitCode> {
    let cli = Cli::parse();
    let mut out = std::io::stdout().lock();
    let is_alone = cli.mutant.is_some() || cli.unchanged;
    let is_good = if is_alone { judge(&cli, &mut out)? } else { judge_all(&cli, &mut out)? };
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs seeds until one is violated. Each is named before it begins, for whoever watches this process abort.
fn judge(cli: &Cli, out: &mut impl Write) -> std::io::Result<bool> {
    if let Some(mutant) = cli.mutant {
        switch_on(mutant);
    }
    let plan = Plan { ops: cli.ops, ..Plan::default() };
    for seed in 0..cli.seeds {
        writeln!(out, "seed {seed}")?;
        out.flush()?;
        if let Some((micros, violation)) = run(seed, &plan).violations.first() {
            writeln!(out, "{} at {micros} us: {}", violation.claim, violation.what)?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// Seeds of the shard as it is: enough to see that what catches the mutants is not simply strict. The simulator runs more.
const CONTROL_SEEDS: u64 = 200;

/// What became of one process.
enum Verdict {
    /// No seed was violated.
    Clean,
    /// In this seed, with these words.
    Caught { seed: u64, by: String },
}

fn judge_all(cli: &Cli, out: &mut impl Write) -> std::io::Result<bool> {
    let mut is_good = true;
    let control = cli.seeds.min(CONTROL_SEEDS);
    match judge_apart(cli, control, &["--unchanged"])? {
        Verdict::Clean => writeln!(out, "{:<24} clean in {control} seeds", "(unchanged)")?,
        Verdict::Caught { seed, by } => {
            is_good = false;
            writeln!(out, "{:<24} VIOLATED in seed {seed}: {by}", "(unchanged)")?;
        }
    }
    for mutant in Mutant::ALL {
        match judge_apart(cli, cli.seeds, &["--mutant", mutant.name()])? {
            Verdict::Clean => {
                is_good = false;
                writeln!(out, "{:<24} NOT CAUGHT in {} seeds", mutant.name(), cli.seeds)?;
            }
            Verdict::Caught { seed, by } => {
                writeln!(out, "{:<24} caught after {} seeds: {by}", mutant.name(), seed + 1)?;
            }
        }
    }
    Ok(is_good)
}

fn judge_apart(cli: &Cli, seeds: u64, arguments: &[&str]) -> std::io::Result<Verdict> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--seeds", &seeds.to_string(), "--ops", &cli.ops.to_string()]).args(arguments);
    let output = command.output()?;
    if output.status.success() {
        return Ok(Verdict::Clean);
    }
    let (told, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let seeds = told.lines().filter_map(|line| line.strip_prefix("seed ")?.parse().ok());
    let Some(seed) = seeds.max() else {
        return Err(std::io::Error::other(format!(
            "{arguments:?} ended with {}: {complaint}",
            output.status
        )));
    };
    let violation = told.lines().last().filter(|line| !line.starts_with("seed "));
    // A panic says where, then what.
    let abort =
        || format!("assertion: {}", complaint.lines().nth(2).or(complaint.lines().last()).unwrap_or("?"));
    Ok(Verdict::Caught { seed, by: violation.map_or_else(abort, str::to_owned) })
}
