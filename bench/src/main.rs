//! The `iris-bench` command.

use clap::Parser;
use iris_bench::options::Options;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[allow(clippy::print_stderr, reason = "a command's last word goes to standard error")]
fn main() -> ExitCode {
    match iris_bench::run::run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("iris-bench: {error}");
            error.status().into()
        }
    }
}
