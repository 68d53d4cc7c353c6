//! Runs what was asked for.
//!
//! Invariants
//! - A command that ends without an error measured what it was asked to, and found nothing wrong.

use crate::error::BenchError;
use crate::floor::{self, FloorResult};
use crate::host;
use crate::options::{Command, Engine, FloorCommand, Options, OutputArgs, ServeKind};
use crate::output::{Progress, publish};
use crate::plan::{CommitPlan, FloorPlan};
use crate::report::Report;
use crate::{
    compare, drain, fanin, growth, handshakes, hostile, instructions, latency, memory, rate, soak, stall,
    storm,
};
use std::time::Duration;

/// Runs a command.
///
/// # Errors
/// Why it could not be completed, or what was wrong: [`BenchError::status`] is the exit status.
pub fn run(options: Options) -> Result<(), BenchError> {
    iris_reactor::raise_descriptor_limit();
    match options.command {
        Command::Floor { floor } => floor_command(floor),
        Command::ServeFloor(args) => floor::server::serve(&args),
        Command::Latency(args) => latency::run(&args),
        Command::Instructions(args) => instructions::run(&args),
        Command::Memory(args) => memory::run(&args),
        Command::Rate(args) => rate::run(&args),
        Command::Growth(args) => growth::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Storm(args) => storm::run(&args),
        Command::Drain(args) => drain::run(&args),
        Command::Fanin(args) => fanin::run(&args),
        Command::Stall(args) => stall::run(&args),
        Command::Handshakes(args) => handshakes::run(&args),
        Command::Hostile(args) => hostile::run(&args),
        Command::Compare(args) => compare::run(&args),
    }
}

fn floor_command(command: FloorCommand) -> Result<(), BenchError> {
    let progress = Progress::new();
    progress.say("measuring a floor");
    match command {
        FloorCommand::Echo(args) => {
            let plan = FloorPlan::new(ServeKind::Echo, args.engine, &args.load)?;
            finish("floor echo", floor::run(&plan)?, plan.span.duration, &args.load.output)
        }
        FloorCommand::Routed(args) => {
            let plan = FloorPlan::new(ServeKind::Routed, Engine::Uring, &args)?;
            finish("floor routed", floor::run(&plan)?, plan.span.duration, &args.output)
        }
        FloorCommand::Message(args) => {
            let plan = FloorPlan::message(&args)?;
            finish("floor message", floor::run(&plan)?, plan.span.duration, &args.load.output)
        }
        FloorCommand::Commit(args) => {
            let plan = CommitPlan::new(&args)?;
            finish("floor commit", floor::run_commit(&plan)?, plan.span.duration, &args.output)
        }
    }
}

fn finish(name: &str, result: FloorResult, length: Duration, output: &OutputArgs) -> Result<(), BenchError> {
    let mut report = Report::new(name);
    report.extend(result.report);
    host::describe(&mut report);
    publish(&report, &result.distributions, length, output)
}
