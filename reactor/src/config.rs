//! What a reactor may use: rings, descriptors, queue lengths, buffers and the times after which it changes its mind.
//!
//! Invariants
//! - Every number has a range, checked once in [`Config::check`]; nothing below re-checks.

use std::time::Duration;

/// Most rings one reactor may open. 256: the ring takes eight bits of a connection's number.
pub(crate) const RINGS_MAX: u16 = 256;

/// Most descriptors in one ring's table. Source: IORING_MAX_FIXED_FILES in the kernel's io_uring/rsrc.c.
pub(crate) const DESCRIPTORS_MAX: u32 = 1 << 20;

/// Most buffers in a provided-buffer ring. Source: io_uring_register_buf_ring(3).
pub(crate) const BUFFERS_MAX: u16 = 1 << 15;

/// How an accepted connection's peer address is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PeerAddresses {
    /// Not at all: one multishot accept, and `Accepted` carries no address.
    #[default]
    Off,
    /// Single-shot accepts that carry an address, 64 in flight a listener.
    WithAccept,
    /// One multishot accept, then SO_PEERNAME asked of each new socket through the ring.
    Asked,
}

/// Settings of one reactor.
#[derive(Debug, Clone)]
pub struct Config {
    /// Most rings to open, 1 to 256. The first is opened at once, another when the table of those open is full.
    pub rings: u16,
    /// Descriptors in one ring's table, 1 to 2^20; lowered to the soft RLIMIT_NOFILE, which the kernel enforces.
    pub descriptors_per_ring: u32,
    /// Length of the submission queue, in operations; a full one is submitted early.
    pub submissions: u32,
    /// Length of the completion queue. A burst beyond it is kept by the kernel, at a cost, and counted.
    pub completions: u32,
    /// Most receive buffers of one ring; a power of two, at most 2^15. It begins with 64.
    pub receive_buffers: u16,
    /// Bytes of one receive buffer.
    pub receive_buffer_bytes: u32,
    /// Bytes after which a connection that received them in one turn must wait for the next turn.
    pub receive_bytes_per_turn: u32,
    /// Silence after which a connection's receive is replaced by a poll, which pins less kernel memory. `None`: never.
    pub idle_after: Option<Duration>,
    /// How long a closed connection's unread bytes are still taken, so that a reset does not overtake our last frame.
    /// Zero: close at once.
    pub close_linger: Duration,
    /// Completions taken in one turn at most.
    pub reap_max: usize,
    /// How the peer's address of an accepted connection is learned.
    pub peer_addresses: PeerAddresses,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rings: 1,
            descriptors_per_ring: 1 << 16,
            submissions: 1024,
            completions: 8192,
            receive_buffers: 1024,
            receive_buffer_bytes: 4096,
            receive_bytes_per_turn: 256 << 10,
            idle_after: Some(Duration::from_secs(10)),
            close_linger: Duration::from_secs(1),
            reap_max: 1024,
            peer_addresses: PeerAddresses::Off,
        }
    }
}

impl Config {
    /// The first setting outside its range, in words.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let rules = [
            ((1..=RINGS_MAX).contains(&self.rings), "rings must be 1 to 256"),
            (
                (1..=DESCRIPTORS_MAX).contains(&self.descriptors_per_ring),
                "descriptors_per_ring must be 1 to 1048576",
            ),
            ((8..=32768).contains(&self.submissions), "submissions must be 8 to 32768"),
            (
                (self.submissions..=65536).contains(&self.completions),
                "completions must be at least submissions and at most 65536",
            ),
            (
                self.receive_buffers.is_power_of_two() && self.receive_buffers <= BUFFERS_MAX,
                "receive_buffers must be a power of two, at most 32768",
            ),
            (
                (64..=1 << 24).contains(&self.receive_buffer_bytes),
                "receive_buffer_bytes must be 64 to 16777216",
            ),
            (self.receive_bytes_per_turn > 0, "receive_bytes_per_turn must not be 0"),
            (self.reap_max > 0, "reap_max must not be 0"),
            (
                self.idle_after.is_none_or(|idle| idle >= Duration::from_millis(8)),
                "idle_after must be at least 8 ms",
            ),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(rule))
    }
}
