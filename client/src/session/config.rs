//! What a caller may set, and the deterministic jitter behind every delay.
//!
//! Invariants
//! - A delay depends on the seed and the inputs alone.

use super::incoming::AckWaits;
use iris_protocol::limits;
use std::time::Duration;

/// Settings of a session.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Deliveries the device takes unacknowledged; the server may grant less.
    pub window: u32,
    /// Unanswered sends on the wire; the smaller of this and the server's limit holds.
    pub send_window: u32,
    /// Idle time after which either side asks for life; zero: the server's default.
    pub heartbeat: Duration,
    /// Names of optional capabilities.
    pub capabilities: Vec<String>,
    /// How long a Hello, a Send or another request may stay unanswered before the session reconnects.
    pub answer_timeout: Duration,
    /// Stored deliveries after which an Ack goes out at once. At least 1; above half the window granted it is lowered.
    pub ack_every: u32,
    /// The longest time a stored delivery waits for its Ack.
    pub ack_delay: Duration,
    /// The longest time a stored own copy waits for its Ack, if nothing else is to be acknowledged: it rides on the next
    /// Send or Ack before that. Zero: as a delivery.
    pub own_ack_delay: Duration,
    /// Delays between connections, and before a rejected message is sent again.
    pub backoff: Backoff,
    /// Most messages that may wait for an answer, those of unknown outcome included.
    pub outbox_max: usize,
    /// Seed of the jitter: different for each device.
    pub jitter_seed: u64,
    /// Which run of the client this is, so that the server knows a late Hello of it: different for each start. Zero: not told.
    pub instance: u32,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            window: limits::WINDOW_DEFAULT,
            send_window: limits::SEND_WINDOW,
            heartbeat: Duration::ZERO,
            capabilities: Vec::new(),
            answer_timeout: limits::PONG_TIMEOUT,
            ack_every: 64,
            ack_delay: Duration::from_millis(5),
            own_ack_delay: limits::OWN_ACK_DELAY,
            backoff: Backoff::default(),
            outbox_max: 10_000,
            jitter_seed: 0,
            instance: 0,
        }
    }
}

impl SessionConfig {
    pub(super) fn ack_waits(&self) -> AckWaits {
        let own_copy = if self.own_ack_delay.is_zero() { self.ack_delay } else { self.own_ack_delay };
        AckWaits { delivery: self.ack_delay, own_copy }
    }

    /// Stored deliveries before an Ack: never so many that the window granted is full before.
    pub(super) fn ack_every(&self, window: u32) -> u32 {
        self.ack_every.clamp(1, (window / 2).max(1))
    }
}

/// Exponential backoff with full jitter: uniform below `base * 2^attempts`, capped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper end of the first delay.
    pub base: Duration,
    /// Upper end of every delay.
    pub cap: Duration,
    /// A connection that was logged in for so long starts again at `base`.
    pub stable_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_mins(1),
            stable_after: Duration::from_mins(1),
        }
    }
}

impl Backoff {
    /// The delay before attempt number `attempts` (from 0).
    pub(super) fn delay(&self, attempts: u32, jitter: &mut Jitter) -> Duration {
        let doubled = self.base.saturating_mul(1_u32.checked_shl(attempts).unwrap_or(u32::MAX));
        jitter.below(doubled.min(self.cap))
    }
}

/// SplitMix64: small, seeded, good enough to spread delays.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A uniform duration in `[0, bound)`; zero for zero.
    pub(super) fn below(&mut self, bound: Duration) -> Duration {
        let bound_ns = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        let scaled = (u128::from(self.next()) * u128::from(bound_ns)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(bound_ns))
    }
}
