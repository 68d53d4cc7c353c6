//! The command lines of what a gateway is put through, with bystanders or without.
//!
//! Invariants
//! - Nothing here checks more than a single value; relations between values are `plan`'s.

use super::{GatewayArgs, OutputArgs, TrafficArgs, duration};
use crate::hostile::Attack;
use clap::Args;
use std::time::Duration;

/// Bystanders of something that is done to a gateway.
#[derive(Clone, Debug, Args)]
pub struct BystanderArgs {
    /// Pairs of users who have nothing to do with it.
    #[arg(long, default_value_t = 100)]
    pub bystanders: u32,
    /// Their messages a second.
    #[arg(long, default_value_t = 500.0)]
    pub bystander_rate: f64,
    /// Their measured time, before and meanwhile.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub bystander_duration: Duration,
    /// Their 99th percentile may be so many times that before, or elsewhere if that is measured; the run fails above it.
    #[arg(long, default_value_t = 2.0)]
    pub ratio_max: f64,
}

/// `storm`.
#[derive(Clone, Debug, Args)]
pub struct StormArgs {
    /// Devices, each of another user.
    #[arg(long, default_value_t = 5_000)]
    pub devices: u32,
    /// Every device comes back at a random time within this.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub within: Duration,
    /// How long until the last device must be back.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub patience: Duration,
    /// Connections a second while they are made for the first time.
    #[arg(long, default_value_t = 1_000.0)]
    pub connect_rate: f64,
    /// Connections on their way at the same time, while they are made for the first time.
    #[arg(long, default_value_t = 64)]
    pub connecting: u32,
    /// Silence after which either side asks for life; the server's default if not given.
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub heartbeat: Duration,
    /// The gateway is killed (SIGKILL) and started again, instead of connections being cut; nobody stays then.
    #[arg(long)]
    pub kill: bool,
    /// Let the same storm blow at another gateway on this host first, and compare those who stay with that.
    #[arg(long, conflicts_with = "kill")]
    pub elsewhere: bool,
    /// Those who stay.
    #[command(flatten)]
    pub bystanders: BystanderArgs,
    /// The gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `drain`.
#[derive(Clone, Debug, Args)]
pub struct DrainArgs {
    /// Entries that wait for the second device of each user.
    #[arg(long, default_value_t = 200)]
    pub waiting: u32,
    /// How long until the last device must have everything.
    #[arg(long, default_value = "2m", value_parser = duration)]
    pub patience: Duration,
    /// Private memory of the gateway may grow by so many MiB while entries are delivered.
    #[arg(long, default_value_t = 64.0)]
    pub growth_max: f64,
    /// The users, and how fast their devices come.
    #[command(flatten)]
    pub traffic: TrafficArgs,
    /// The gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `fanin`.
#[derive(Clone, Debug, Args)]
pub struct FaninArgs {
    /// Users who write to one.
    #[arg(long, default_value_t = 9_999)]
    pub senders: u32,
    /// Messages a second, all senders together.
    #[arg(long, default_value_t = 2_000.0)]
    pub rate: f64,
    /// The load of the senders; --pairs is not asked for.
    #[command(flatten)]
    pub traffic: TrafficArgs,
    /// Those who have nothing to do with it.
    #[command(flatten)]
    pub bystanders: BystanderArgs,
    /// The gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `stall`.
#[derive(Clone, Debug, Args)]
pub struct StallArgs {
    /// How long the disk stands still.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub stall: Duration,
    /// Pairs of users of the shard that stalls.
    #[arg(long, default_value_t = 100)]
    pub stalled: u32,
    /// Their messages a second.
    #[arg(long, default_value_t = 100.0)]
    pub stalled_rate: f64,
    /// The users of the others.
    #[command(flatten)]
    pub bystanders: BystanderArgs,
    /// The gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `hostile`.
#[derive(Clone, Debug, Args)]
pub struct HostileArgs {
    /// Messages a second of the honest users, all pairs together.
    #[arg(long, default_value_t = 2_000.0)]
    pub rate: f64,
    /// Which attacks, one after the other; by default all.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub attack: Vec<Attack>,
    /// Connections of an attack at the same time, at most.
    #[arg(long, default_value_t = 10_000)]
    pub attackers: u32,
    /// Addresses that they come from.
    #[arg(long, default_value_t = 1_000)]
    pub addresses: u32,
    /// New connections of an attack a second.
    #[arg(long, default_value_t = 2_000.0)]
    pub attack_rate: f64,
    /// How long an attack lasts before honest users are measured.
    #[arg(long, default_value = "6s", value_parser = duration)]
    pub siege: Duration,
    /// The 99th percentile under attack may be so many times that before, or elsewhere if that is measured; the run fails above it.
    #[arg(long, default_value_t = 2.0)]
    pub ratio_max: f64,
    /// Attack another gateway on this host in the same way first, and compare honest users with that.
    #[arg(long)]
    pub elsewhere: bool,
    /// The load of the honest users.
    #[command(flatten)]
    pub traffic: TrafficArgs,
    /// The gateway; it speaks TLS.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

impl HostileArgs {
    /// The attacks asked for.
    pub fn attacks(&self) -> Vec<Attack> {
        if self.attack.is_empty() { Attack::ALL.to_vec() } else { self.attack.clone() }
    }
}
