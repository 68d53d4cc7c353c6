//! The command line as it is typed. What it means is in `plan`.
//!
//! Invariants
//! - Nothing here checks more than a single value; relations between values are `plan`'s.

mod trials;

pub use trials::{BystanderArgs, DrainArgs, FaninArgs, HostileArgs, StallArgs, StormArgs};

use crate::chart::Scale;
use crate::soak::Fault;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Load and acceptance gate of Iris: latency, floors, memory and highest rate of a gateway.
#[derive(Debug, Parser)]
#[command(name = "iris-bench", version)]
pub struct Options {
    /// What to measure.
    #[command(subcommand)]
    pub command: Command,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Latency of delivery and acknowledgement at a fixed rate, beside the floors of the same run.
    Latency(LatencyArgs),
    /// What the bare machine does at the same rate, frame size, connections and transport.
    Floor {
        /// Which floor.
        #[command(subcommand)]
        floor: FloorCommand,
    },
    /// Instructions and allocations of a message, counted by valgrind's callgrind: no clock is involved.
    Instructions(InstructionsArgs),
    /// Memory of an idle connection: slope of the gateway's Private_Dirty.
    Memory(MemoryArgs),
    /// Highest rate that is held without a growing backlog, by bisection.
    Rate(RateArgs),
    /// The same load at several sizes, one thing growing at a time: connections, rate, payload, shards, known users, entries
    /// that wait in inboxes, skew of the senders. With --out, curves on a page.
    Growth(GrowthArgs),
    /// A long load with lost connections and, if asked for, killed gateways: nothing may be lost, nothing may grow.
    Soak(SoakArgs),
    /// All devices lose their connections at once and come back: how long until the last is served, and what those notice who
    /// stayed.
    Storm(StormArgs),
    /// Devices that were away come back to many messages: how fast they get them, and whether that needs memory.
    Drain(DrainArgs),
    /// Thousands write to one user: what they and bystanders notice.
    Fanin(FaninArgs),
    /// The disk of one shard stands still for a while: what users of the others notice. Needs root, for a file system of its own.
    Stall(StallArgs),
    /// What a login over TLS costs, full and resumed, beside a bare handshake and one verification of a token.
    Handshakes(HandshakesArgs),
    /// Latency of honest users before, during and after attacks by many connections from many addresses.
    Hostile(HostileArgs),
    /// Compare two reports.
    Compare(CompareArgs),
    /// The server side of a floor; started by the other commands.
    #[command(hide = true)]
    ServeFloor(ServeArgs),
}

/// Which floor.
#[derive(Debug, Subcommand)]
pub enum FloorCommand {
    /// The bare reactor's echo, or that of a rival.
    Echo(EchoArgs),
    /// Echo to the pair's other connection, over one cross-core hop for the pairs that span cores.
    Routed(FloorArgs),
    /// Sojourn of an open-loop group commit into pre-written segments.
    Commit(CommitArgs),
    /// CPU of one message: two receives, two sends, one log append, one table put.
    Message(MessageArgs),
}

/// What every command understands.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Write report.json, report.html, and .hlog and .hgrm of each distribution, into this directory.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// The load of a floor.
#[derive(Clone, Debug, Args)]
pub struct FloorArgs {
    /// Connections; an even number.
    #[arg(long, default_value_t = 1_000)]
    pub connections: u32,
    /// Messages a second, all connections together.
    #[arg(long, default_value_t = 10_000.0)]
    pub rate: f64,
    /// Bytes of a frame on the wire, prefix included.
    #[arg(long, default_value_t = 128)]
    pub bytes: usize,
    /// Measured time.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub duration: Duration,
    /// Time at full rate before the measured time.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub warmup: Duration,
    /// TLS 1.3 instead of plain TCP.
    #[arg(long)]
    pub tls: bool,
    /// Server threads, each pinned to a core; by default one for each core.
    #[arg(long)]
    pub shards: Option<u16>,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `floor echo`.
#[derive(Clone, Debug, Args)]
pub struct EchoArgs {
    /// What the server runs on. All but uring need a build with the feature `rivals`.
    #[arg(long, value_enum, default_value_t = Engine::Uring)]
    pub engine: Engine,
    /// The load.
    #[command(flatten)]
    pub load: FloorArgs,
}

/// `floor message`.
#[derive(Clone, Debug, Args)]
pub struct MessageArgs {
    /// The load.
    #[command(flatten)]
    pub load: FloorArgs,
    /// Bytes of the answer to a sender.
    #[arg(long, default_value_t = 80)]
    pub answer_bytes: usize,
    /// Where the log is; its filesystem is the one that is measured.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `floor commit`.
#[derive(Clone, Debug, Args)]
pub struct CommitArgs {
    /// Messages a second, all committers together.
    #[arg(long, default_value_t = 10_000.0)]
    pub rate: f64,
    /// Log bytes of a message.
    #[arg(long, default_value_t = 384)]
    pub bytes: usize,
    /// Measured time.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub duration: Duration,
    /// Time at full rate before the measured time.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub warmup: Duration,
    /// Committers, each pinned to a core; by default one for each core.
    #[arg(long)]
    pub shards: Option<u16>,
    /// Where the log is; its filesystem is the one that is measured.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What an echo server runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The bare reactor.
    Uring,
    /// monoio 0.2.
    Monoio,
    /// glommio 0.9.
    Glommio,
    /// tokio 1, one current-thread runtime a core.
    Tokio,
}

impl Engine {
    /// Its name, as typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Monoio => "monoio",
            Self::Glommio => "glommio",
            Self::Tokio => "tokio",
        }
    }
}

/// What a floor's server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ServeKind {
    /// Send back what came.
    Echo,
    /// Send on to the pair's other connection.
    Routed,
    /// As routed, with an answer, a log append and a table put.
    Message,
}

impl ServeKind {
    /// Its name, as typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Routed => "routed",
            Self::Message => "message",
        }
    }
}

/// `serve-floor`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// What to do with a frame.
    #[arg(value_enum)]
    pub kind: ServeKind,
    /// What to run on.
    #[arg(long, value_enum, default_value_t = Engine::Uring)]
    pub engine: Engine,
    /// Threads.
    #[arg(long)]
    pub shards: u16,
    /// TLS with a certificate made at start.
    #[arg(long)]
    pub tls: bool,
    /// Bytes of an answer.
    #[arg(long, default_value_t = 80)]
    pub answer_bytes: usize,
    /// Where the log is.
    #[arg(long, default_value = ".")]
    pub data_dir: PathBuf,
}

/// How durable an acknowledged message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DurabilityArg {
    /// Written to the operating system.
    Os,
    /// Synced to the disk.
    Fsync,
}

impl DurabilityArg {
    /// Its name, as typed and as configured.
    pub fn name(self) -> &'static str {
        match self {
            Self::Os => "os",
            Self::Fsync => "fsync",
        }
    }
}

/// Which gateway, and how to reach it.
#[derive(Clone, Debug, Args)]
pub struct GatewayArgs {
    /// The gateway's program; by default iris-gateway beside this program.
    #[arg(long, value_name = "PATH")]
    pub gateway: Option<PathBuf>,
    /// TLS 1.3 instead of plain TCP.
    #[arg(long)]
    pub tls: bool,
    /// WebSocket instead of frames with a length before them.
    #[arg(long)]
    pub websocket: bool,
    /// The gateway's shards; by default one for each core.
    #[arg(long)]
    pub shards: Option<u16>,
    /// Directory in which a temporary data directory is made; its filesystem is the one that is measured.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What an acknowledgement promises.
    #[arg(long, value_enum, default_value_t = DurabilityArg::Fsync)]
    pub durability: DurabilityArg,
    /// Use this running gateway instead of starting one.
    #[arg(long, value_name = "ADDR", requires = "tokens")]
    pub server: Option<SocketAddr>,
    /// Tokens for the running gateway: lines of user, device and token, as `iris-gateway token issue` writes.
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// Process of the running gateway, to measure its CPU and memory.
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Certificate authority of the running gateway, in PEM.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// The load on a gateway.
#[derive(Clone, Debug, Args)]
pub struct TrafficArgs {
    /// Pairs of users; each user has one device and both send.
    #[arg(long, default_value_t = 1_000)]
    pub pairs: u32,
    /// Zipf's exponent of the senders' shares: the k-th busiest sends in proportion to 1 / k^SKEW. 0: all take turns.
    #[arg(long, default_value_t = 0.0)]
    pub skew: f64,
    /// Bytes of a payload, at least 32.
    #[arg(long, default_value_t = 128)]
    pub payload: usize,
    /// Time in which the rate rises from zero.
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub ramp: Duration,
    /// Time at full rate before the measured time.
    #[arg(long, default_value = "3s", value_parser = duration)]
    pub warmup: Duration,
    /// Measured time.
    #[arg(long, default_value = "20s", value_parser = duration)]
    pub duration: Duration,
    /// How long the last messages may take after the measured time; what has not come by then is lost.
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub drain: Duration,
    /// How long the acknowledgement of a sender's own copy may wait for a Send or an Ack to ride on; 0: not at all.
    #[arg(long, default_value = "200ms", value_parser = duration)]
    pub own_ack_delay: Duration,
    /// Silence after which either side asks for life, up to 10m; 0: the gateway's default, a minute. A million connections that ask
    /// each other every minute are 17,000 Pings and as many Pongs a second.
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub heartbeat: Duration,
    /// Threads of the load; by default one for each core, since one alone can keep half of a core from its shard.
    #[arg(long)]
    pub client_threads: Option<u16>,
    /// Connections that may be on their way at the same time.
    #[arg(long, default_value_t = 64)]
    pub connecting: u32,
    /// Connections a second while they are made.
    #[arg(long, default_value_t = 2_000.0)]
    pub connect_rate: f64,
}

/// `latency`.
#[derive(Clone, Debug, Args)]
pub struct LatencyArgs {
    /// Messages a second, all pairs together.
    #[arg(long, default_value_t = 10_000.0)]
    pub rate: f64,
    /// The load.
    #[command(flatten)]
    pub traffic: TrafficArgs,
    /// The gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Check order, duplicates, losses and payload hashes.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub verify: bool,
    /// Do not measure the floors.
    #[arg(long)]
    pub no_floors: bool,
    /// Measured time of each floor.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub floor_duration: Duration,
    /// Log bytes of a message for floor.commit; by default what the gateway's statistics say.
    #[arg(long)]
    pub log_bytes: Option<usize>,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `rate`.
#[derive(Clone, Debug, Args)]
pub struct RateArgs {
    /// Rate to begin with, messages a second.
    #[arg(long, default_value_t = 20_000.0)]
    pub start: f64,
    /// Highest rate to try.
    #[arg(long, default_value_t = 200_000.0)]
    pub limit: f64,
    /// The bisection ends when the bounds are this close, in per cent of the rate.
    #[arg(long, default_value_t = 5.0)]
    pub precision: f64,
    /// Attempts at a rate before it counts as not held.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempts: u32,
    /// The load.
    #[command(flatten)]
    pub traffic: TrafficArgs,
    /// The gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `instructions`.
#[derive(Clone, Debug, Args)]
pub struct InstructionsArgs {
    /// Messages a second of the slow load; what a record waits for must still come with the next message.
    #[arg(long, default_value_t = 30.0)]
    pub slow: f64,
    /// Messages a second of the fast load; each must still be alone in its ticks.
    #[arg(long, default_value_t = 80.0)]
    pub fast: f64,
    /// How long each load lasts.
    #[arg(long, default_value = "8s", value_parser = duration)]
    pub duration: Duration,
    /// Pairs of a slow and a fast load; the median counts.
    #[arg(long, default_value_t = 5)]
    pub rounds: u32,
    /// The gateway; one shard unless said otherwise.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `memory`.
#[derive(Clone, Debug, Args)]
pub struct MemoryArgs {
    /// Connections at the first reading.
    #[arg(long, default_value_t = 5_000)]
    pub from: u32,
    /// Connections at the second reading.
    #[arg(long, default_value_t = 15_000)]
    pub to: u32,
    /// Quiet time before each reading: pools and receives have settled by then.
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub settle: Duration,
    /// Fail unless the gateway's own ledger says what was measured a connection, within so many per cent.
    #[arg(long, value_name = "PER_CENT")]
    pub ledger_within: Option<f64>,
    /// Connections a second while they are made.
    #[arg(long, default_value_t = 1_000.0)]
    pub connect_rate: f64,
    /// The gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sweep {
    /// Connections, at a fixed rate.
    Connections,
    /// Messages a second, until they are not held.
    Rate,
    /// Bytes of a payload.
    Payload,
    /// Cores of the gateway; more than the host has share them.
    Shards,
    /// Users that the gateway has had, each with a conversation.
    Users,
    /// Entries that wait in the inbox of each user, for a second device that does not come.
    Waiting,
    /// Zipf's exponent of the senders' shares.
    Skew,
}

impl Sweep {
    /// Its name, as typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Rate => "rate",
            Self::Payload => "payload",
            Self::Shards => "shards",
            Self::Users => "users",
            Self::Waiting => "waiting",
            Self::Skew => "skew",
        }
    }

    /// What its sizes are.
    pub fn axis(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Rate => "messages a second",
            Self::Payload => "bytes of a payload",
            Self::Shards => "shards",
            Self::Users => "known users",
            Self::Waiting => "waiting entries a user",
            Self::Skew => "exponent of the senders' shares",
        }
    }

    /// How its sizes are drawn.
    pub fn scale(self) -> Scale {
        match self {
            Self::Connections | Self::Rate | Self::Payload | Self::Shards | Self::Users | Self::Waiting => {
                Scale::Logarithmic
            }
            Self::Skew => Scale::FromZero,
        }
    }
}

/// `growth`.
#[derive(Clone, Debug, Args)]
pub struct GrowthArgs {
    /// What grows, one after the other; by default everything.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub sweep: Vec<Sweep>,
    /// Messages a second where it is not the rate that grows.
    #[arg(long, default_value_t = 2_000.0)]
    pub rate: f64,
    /// Connections of that sweep; half of them are pairs.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000])]
    pub connections: Vec<u32>,
    /// Rates of that sweep.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000.0, 2_000.0, 5_000.0, 10_000.0, 15_000.0, 20_000.0, 30_000.0])]
    pub rates: Vec<f64>,
    /// Payloads of that sweep, in bytes.
    #[arg(long, value_delimiter = ',', default_values_t = [32, 128, 1_024, 4_096, 16_384, 65_536])]
    pub payloads: Vec<usize>,
    /// Numbers of shards of that sweep.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8])]
    pub shard_counts: Vec<u16>,
    /// Numbers of known users of that sweep; as many as are measured at least.
    #[arg(long, value_delimiter = ',', default_values_t = [2_000, 20_000, 200_000])]
    pub users: Vec<u32>,
    /// Numbers of waiting entries a user of that sweep, which has at most 100 pairs.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1_000, 5_000])]
    pub waiting: Vec<u32>,
    /// Exponents of that sweep.
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.5, 1.0, 1.5])]
    pub skews: Vec<f64>,
    /// The load.
    #[command(flatten)]
    pub traffic: TrafficArgs,
    /// The gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

impl GrowthArgs {
    /// What is asked to grow.
    pub fn sweeps(&self) -> Vec<Sweep> {
        if self.sweep.is_empty() { Sweep::value_variants().to_vec() } else { self.sweep.clone() }
    }
}

/// `soak`.
#[derive(Clone, Debug, Args)]
pub struct SoakArgs {
    /// Messages a second, all pairs together.
    #[arg(long, default_value_t = 2_000.0)]
    pub rate: f64,
    /// Connections that the load ends by itself, a second; every other one with a reset.
    #[arg(long, default_value_t = 20.0)]
    pub churn: f64,
    /// Faults that come in turn; none by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub fault: Vec<Fault>,
    /// Time from the beginning of one fault to that of the next.
    #[arg(long, default_value = "1m", value_parser = duration)]
    pub fault_every: Duration,
    /// How long a fault lasts that has an end.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub fault_for: Duration,
    /// Go on from what an interrupted soak with the same settings left in the directory of --out.
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Connections; without it, two for each of --pairs. Half of them are pairs that talk to each other.
    #[arg(long)]
    pub connections: Option<u32>,
    /// Fail unless the gateway's own ledger says what was measured, within so many per cent of it and 32 MiB.
    #[arg(long, value_name = "PER_CENT")]
    pub ledger_within: Option<f64>,
    /// Descriptors of the gateway may grow by so many over the run: its tables' files are among them.
    #[arg(long, default_value_t = 64)]
    pub descriptors_growth_max: u64,
    /// Private memory of the gateway may grow by 64 MiB and so many bytes a message in the second half of the run: what
    /// it must remember of a message, in its tables' memory too.
    #[arg(long, default_value_t = 1_024.0)]
    pub bytes_per_message_max: f64,
    /// The load.
    #[command(flatten)]
    pub traffic: TrafficArgs,
    /// The gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `handshakes`.
#[derive(Clone, Debug, Args)]
pub struct HandshakesArgs {
    /// Devices, each of another user.
    #[arg(long, default_value_t = 1_000)]
    pub devices: u32,
    /// Logins that are measured, of each kind.
    #[arg(long, default_value_t = 10_000)]
    pub logins: u32,
    /// Logins on their way at the same time.
    #[arg(long, default_value_t = 32)]
    pub at_once: u32,
    /// The gateway; it speaks TLS.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// The report to compare with.
    pub base: PathBuf,
    /// The report that is judged.
    pub next: PathBuf,
    /// A condition that fails the comparison, such as `ratio.cpu>1.1x` (times BASE's),
    /// `allocations>+0.5` (BASE's and so much more) or `lost>0`; may be given repeatedly.
    #[arg(long = "fail-if", value_name = "KEY>LIMIT")]
    pub fail_if: Vec<String>,
    /// More conditions, one a line, each behind the name of the report that it is for: the name of BASE's file
    /// without its ending.
    #[arg(long, value_name = "FILE")]
    pub conditions: Option<PathBuf>,
    /// Where and how to report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Reads a duration such as `20s`, `500ms`, `2m` or `1h`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 =
        digits.trim().parse().map_err(|_| format!("{text:?} is no duration, such as 20s or 500ms"))?;
    let seconds = match &text[digits.len()..] {
        "" | "s" => number,
        "ms" => number / 1_000.0,
        "us" => number / 1_000_000.0,
        "m" => number * 60.0,
        "h" => number * 3_600.0,
        unit => return Err(format!("{unit:?} is no unit of time: us, ms, s, m or h")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{text:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// The definition of the command line has no contradictions.
    /// Seen to fail when: two options of one command share a name.
    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    /// Durations take the units that people type, and nothing else.
    /// Seen to fail when: `ms` is taken for minutes.
    #[test]
    fn durations_have_units() {
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("20"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert!(duration("5 parsecs").is_err());
        assert!(duration("-1s").is_err());
        assert!(duration("s").is_err());
    }
}
