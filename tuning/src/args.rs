//! What was typed.

use clap::{Args, Parser, Subcommand};
use iris_tuning::{Host, Plan};
use std::path::PathBuf;

/// Checks whether this host can carry a gateway, and says what to type.
#[derive(Debug, Parser)]
#[command(name = "iris-tuning", version, about)]
pub(crate) struct Typed {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Read this host's settings and compare them with what is planned; exits with 1 if something must be changed.
    Check {
        #[command(flatten)]
        plan: PlanArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write the settings that `check` asks for; limits of processes and advice are told. Exits with 1 if one was refused.
    Apply {
        #[command(flatten)]
        plan: PlanArgs,
        /// Say what would be written, and write nothing.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a shell script that does the same, and keeps it over a boot.
    Script {
        #[command(flatten)]
        plan: PlanArgs,
    },
    /// Measure a synced write in the data directory and a thread's wake-up; takes some 5 s. Exits with 1 if one is slow.
    Probe {
        /// The data directory, or another directory on its disk.
        #[arg(long, value_name = "DIR", default_value = ".")]
        data_dir: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the checks.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What is planned, and where it is looked at.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Read and write the settings below this directory instead of this host's.
    #[arg(long, value_name = "DIR")]
    pub(crate) sysroot: Option<PathBuf>,
    /// Connections to hold at the same time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) connections: Option<u64>,
    /// Cores that serve; all of this host's if absent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) shards: Option<u16>,
    /// Most rings of each core, as configured by connections.rings.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) rings: Option<u16>,
    /// Descriptors of each ring, as configured by connections.descriptors_per_ring.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) descriptors_per_ring: Option<u32>,
    /// The data directory; it need not exist yet.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

impl PlanArgs {
    /// The host, and what it is to carry.
    pub(crate) fn into_host_and_plan(self) -> (Host, Plan) {
        let standard = Plan::default();
        let plan = Plan {
            connections: self.connections.unwrap_or(standard.connections),
            shards: self.shards.unwrap_or(standard.shards),
            data_dir: self.data_dir.unwrap_or(standard.data_dir),
            rings_per_shard: self.rings.unwrap_or(standard.rings_per_shard),
            descriptors_per_ring: self.descriptors_per_ring.unwrap_or(standard.descriptors_per_ring),
            ports: standard.ports,
        };
        (self.sysroot.map_or_else(Host::here, Host::at), plan)
    }
}
