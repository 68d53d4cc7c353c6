//! What the command line means: checked values.
//!
//! Invariants
//! - A plan that exists can be run: rates and times are positive, connections come in pairs, frames hold their head.

use crate::error::BenchError;
use crate::fleet::{Part, Partners};
use crate::floor::frame::FRAME_BYTES_MIN;
use crate::host;
use crate::options::{BystanderArgs, CommitArgs, Engine, FloorArgs, MessageArgs, ServeKind, TrafficArgs};
use crate::orders::Orders;
use crate::payload::PAYLOAD_BYTES_MIN;
use iris_client::session::Backoff;
use iris_protocol::limits::{self, FRAME_BYTES_MAX, LENGTH_BYTES, PAYLOAD_BYTES_MAX, SHARDS_MAX};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// Largest exponent of the senders' shares: the busiest sends nine of ten messages then.
const SKEW_MAX: f64 = 3.0;

/// Payload of a small load, in bytes.
const SMALL_PAYLOAD_BYTES: usize = 128;

/// Time in which a measurement is made.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Time in which the rate rises.
    pub ramp: Duration,
    /// Time at full rate before the measured time.
    pub warmup: Duration,
    /// Measured time.
    pub duration: Duration,
}

/// A floor with a server and a load.
#[derive(Clone, Debug)]
pub struct FloorPlan {
    /// What the server does.
    pub kind: ServeKind,
    /// What the server runs on.
    pub engine: Engine,
    /// Connections, in pairs.
    pub connections: u32,
    /// Messages a second.
    pub rate: f64,
    /// Bytes of a frame on the wire.
    pub frame_bytes: usize,
    /// Bytes of an answer to a sender on the wire.
    pub answer_bytes: usize,
    /// When to measure.
    pub span: Span,
    /// TLS or plain.
    pub tls: bool,
    /// Server threads.
    pub shards: u16,
    /// Where the log of the message floor is.
    pub data_dir: PathBuf,
}

/// The commit floor.
#[derive(Clone, Debug)]
pub struct CommitPlan {
    /// Messages a second, all committers together.
    pub rate: f64,
    /// Log bytes of a message.
    pub message_bytes: usize,
    /// When to measure.
    pub span: Span,
    /// Committers.
    pub shards: u16,
    /// Where the log is.
    pub data_dir: PathBuf,
}

impl FloorPlan {
    /// An echo or routed floor as typed.
    ///
    /// # Errors
    /// [`BenchError::Usage`] says which value is impossible.
    pub fn new(kind: ServeKind, engine: Engine, args: &FloorArgs) -> Result<Self, BenchError> {
        let plan = Self {
            kind,
            engine,
            connections: args.connections,
            rate: args.rate,
            frame_bytes: args.bytes,
            answer_bytes: FRAME_BYTES_MIN,
            span: Span { ramp: Duration::ZERO, warmup: args.warmup, duration: args.duration },
            tls: args.tls,
            shards: args.shards.unwrap_or_else(host::cores),
            data_dir: std::env::temp_dir(),
        };
        plan.check().map(|()| plan)
    }

    /// The message floor as typed.
    ///
    /// # Errors
    /// [`BenchError::Usage`] says which value is impossible.
    pub fn message(args: &MessageArgs) -> Result<Self, BenchError> {
        let mut plan = Self::new(ServeKind::Message, Engine::Uring, &args.load)?;
        plan.answer_bytes = args.answer_bytes;
        plan.data_dir = data_dir(args.data_dir.as_ref());
        plan.check().map(|()| plan)
    }

    fn check(&self) -> Result<(), BenchError> {
        let frame = FRAME_BYTES_MIN..=FRAME_BYTES_MAX + LENGTH_BYTES;
        let frames = format!("frames of {} to {} bytes", frame.start(), frame.end());
        allow(self.connections >= 2 && self.connections.is_multiple_of(2), "an even number of connections")?;
        allow(frame.contains(&self.frame_bytes) && frame.contains(&self.answer_bytes), &frames)?;
        check_rate(self.rate)?;
        check_span(self.span)?;
        check_shards(self.shards)
    }
}

impl CommitPlan {
    /// The commit floor as typed.
    ///
    /// # Errors
    /// [`BenchError::Usage`] says which value is impossible.
    pub fn new(args: &CommitArgs) -> Result<Self, BenchError> {
        let plan = Self {
            rate: args.rate,
            message_bytes: args.bytes,
            span: Span { ramp: Duration::ZERO, warmup: args.warmup, duration: args.duration },
            shards: args.shards.unwrap_or_else(host::cores),
            data_dir: data_dir(args.data_dir.as_ref()),
        };
        allow((1..=PAYLOAD_BYTES_MAX * 2).contains(&plan.message_bytes), "1 to 131072 log bytes a message")?;
        check_rate(plan.rate)?;
        check_span(plan.span)?;
        check_shards(plan.shards).map(|()| plan)
    }
}

/// The load on a gateway.
#[derive(Clone, Debug)]
pub struct TrafficPlan {
    /// Pairs of users.
    pub pairs: u32,
    /// Messages a second.
    pub rate: f64,
    /// Whom devices write to; if all write to one, there is one thread.
    pub partners: Partners,
    /// Zipf's exponent of the senders' shares; 0: all take turns.
    pub skew: f64,
    /// Bytes of a payload.
    pub payload_bytes: usize,
    /// When to measure.
    pub span: Span,
    /// How long the last messages may take.
    pub drain: Duration,
    /// How long the acknowledgement of a sender's own copy may wait for a Send to ride on.
    pub own_ack_delay: Duration,
    /// Silence after which either side asks for life; zero: the server's default.
    pub heartbeat: Duration,
    /// Threads of the load.
    pub threads: u16,
    /// Connections on their way at the same time, in each thread.
    pub connecting: u32,
    /// Connections a second while they are made.
    pub connect_rate: f64,
    /// Connections that the load ends by itself, a second.
    pub churn: f64,
    /// How long sessions wait before they connect again.
    pub backoff: Backoff,
    /// Every other device does not read what comes in the measured time, until its session gives the connection up.
    pub is_slow: bool,
    /// What it is told while it runs.
    pub orders: Orders,
    /// Who is told every minute what was counted so far.
    pub parts: Option<Sender<Part>>,
}

impl TrafficPlan {
    /// The load as typed, at `rate`.
    ///
    /// # Errors
    /// [`BenchError::Usage`] says which value is impossible.
    pub fn new(args: &TrafficArgs, rate: f64) -> Result<Self, BenchError> {
        let payload = PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX;
        allow(args.pairs >= 1, "at least one pair")?;
        allow(
            payload.contains(&args.payload),
            &format!("payloads of {PAYLOAD_BYTES_MIN} to {PAYLOAD_BYTES_MAX} bytes"),
        )?;
        let most = u16::try_from(args.pairs).unwrap_or(u16::MAX);
        let threads = args.client_threads.unwrap_or_else(|| host::cores().min(most));
        allow((1..=most).contains(&threads), "1 thread to 1 a pair")?;
        allow(args.connecting >= 1, "at least one connection on its way")?;
        check_rate(args.connect_rate)?;
        check_rate(rate)?;
        check_skew(args.skew)?;
        let span = Span { ramp: args.ramp, warmup: args.warmup, duration: args.duration };
        check_span(span)?;
        Ok(Self {
            pairs: args.pairs,
            rate,
            partners: Partners::Neighbours,
            skew: args.skew,
            payload_bytes: args.payload,
            span,
            drain: args.drain,
            own_ack_delay: args.own_ack_delay,
            heartbeat: args.heartbeat,
            threads,
            connecting: args.connecting,
            connect_rate: args.connect_rate,
            churn: 0.0,
            backoff: Backoff::default(),
            is_slow: false,
            orders: Orders::default(),
            parts: None,
        })
    }
}

impl TrafficPlan {
    /// The load of bystanders: one thread, so that the rest of the load has the others.
    ///
    /// # Errors
    /// [`BenchError::Usage`] says which value is impossible.
    pub fn bystanders(args: &BystanderArgs) -> Result<Self, BenchError> {
        let (pairs, rate, duration) = (args.bystanders, args.bystander_rate, args.bystander_duration);
        Self::small(pairs, rate, duration)
    }

    /// A small load of one thread, with everything else as by default.
    ///
    /// # Errors
    /// [`BenchError::Usage`] says which value is impossible.
    pub fn small(pairs: u32, rate: f64, duration: Duration) -> Result<Self, BenchError> {
        allow(pairs >= 1, "at least one pair")?;
        check_rate(rate)?;
        let span = Span { ramp: Duration::from_secs(1), warmup: Duration::from_secs(2), duration };
        check_span(span)?;
        Ok(Self {
            pairs,
            rate,
            partners: Partners::Neighbours,
            skew: 0.0,
            payload_bytes: SMALL_PAYLOAD_BYTES,
            span,
            drain: Duration::from_secs(30),
            own_ack_delay: limits::OWN_ACK_DELAY,
            heartbeat: Duration::ZERO,
            threads: 1,
            connecting: 64,
            connect_rate: 2_000.0,
            churn: 0.0,
            backoff: Backoff::default(),
            is_slow: false,
            orders: Orders::default(),
            parts: None,
        })
    }
}

/// The directory given, or the system's for temporary files.
pub fn data_dir(given: Option<&PathBuf>) -> PathBuf {
    given.cloned().unwrap_or_else(std::env::temp_dir)
}

fn check_rate(rate: f64) -> Result<(), BenchError> {
    allow(rate.is_finite() && rate > 0.0 && rate <= 1e8, "a rate above 0 and up to 100,000,000 a second")
}

/// Checks Zipf's exponent.
///
/// # Errors
/// [`BenchError::Usage`] names the bounds.
pub fn check_skew(skew: f64) -> Result<(), BenchError> {
    allow((0.0..=SKEW_MAX).contains(&skew), &format!("a skew of 0 to {SKEW_MAX}"))
}

fn check_span(span: Span) -> Result<(), BenchError> {
    allow(!span.duration.is_zero(), "a measured time above 0")
}

/// Checks a number of shards.
///
/// # Errors
/// [`BenchError::Usage`] names the bounds.
pub fn check_shards(shards: u16) -> Result<(), BenchError> {
    allow((1..=SHARDS_MAX).contains(&shards), &format!("1 to {SHARDS_MAX} shards"))
}

fn allow(holds: bool, allowed: &str) -> Result<(), BenchError> {
    if holds { Ok(()) } else { Err(BenchError::Usage(format!("allowed: {allowed}"))) }
}
