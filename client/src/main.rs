//! `iris-client`: chat, send and listen at a terminal.
//!
//! Invariants
//! - What was typed is in [`command::args`], what it means in [`command::options`].
//! - Standard output carries messages and what became of them; everything else goes to standard error.

mod command;

use clap::Parser;
use command::args::Args;
use std::io::IsTerminal;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("IRIS_LOG").unwrap_or_else(|_| "warn".into()),
        )
        .init();
    command::run(args).into()
}
