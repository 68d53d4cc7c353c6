//! What was typed.

use clap::{Args, Parser, Subcommand};
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
    Check(CheckArgs),
    /// List the checks.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Read the settings below this directory instead of this host's.
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
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
