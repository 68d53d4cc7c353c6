//! The `iris-gateway` command.

use clap::Parser as _;
use iris_gateway::args::Task;
use iris_gateway::cli::Cli;
use iris_gateway::exit::ExitStatus;
use iris_gateway::{commands, echo, fsck, remote, serve};
use std::io::Write as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let status = match Task::of(Cli::parse()) {
        Ok(task) => run(task),
        Err(error) => {
            commands::complain(error);
            ExitStatus::Usage
        }
    };
    // What is not a whole line is still in the buffer; nobody is left to be told that it cannot be written.
    let _unwritten = std::io::stdout().flush();
    // Not by returning: the destructors of RocksDB's statics would run beside threads that still use them.
    status.exit_now()
}

fn run(task: Task) -> ExitStatus {
    match task {
        Task::Serve(plan) => serve::run(&plan),
        Task::ConfigCheck { sources, flags, json } => commands::config_check(&sources, flags, json),
        Task::ConfigDefault => commands::config_default(),
        Task::TokenKeygen { out } => commands::token_keygen(&out),
        Task::TokenIssue(plan) => commands::token_issue(&plan),
        Task::TokenVerify(plan) => commands::token_verify(&plan),
        Task::TlsSelfsigned { out, names } => commands::tls_selfsigned(&out, &names),
        Task::Remote(remote, order) => remote::run(&remote, &order),
        Task::AdminKeygen { out } => commands::admin_keygen(&out),
        Task::Fsck { data_dir, json } => fsck::run(&data_dir, json),
        Task::WebsocketEcho(plan) => echo::run(&plan),
        Task::Version { json } => commands::version(json),
    }
}
