//! What the host is meant to carry.
//!
//! Invariants
//! - Derived numbers (shares, memory) come from here, so that checks and capacity agree.

use std::path::PathBuf;

/// Bytes of kernel memory of one connection with its receive armed.
///
/// Source: measured on Linux 6.18 with 1,240,000 connections: 4,167 B with a poll armed, and 608 B more for a receive.
pub const KERNEL_BYTES_PER_CONNECTION: u64 = 4_775;
/// Bytes of the server's own memory of one idle connection: TLS state (3.3 KB measured) and the session.
pub const USER_BYTES_PER_CONNECTION: u64 = 6_144;
/// Ordinary descriptors of one shard: table files, log segments, the ring, wake-ups.
pub const DESCRIPTORS_PER_SHARD: u64 = 512;
/// Ordinary descriptors of the process besides its shards: listeners, admin, logs.
pub const DESCRIPTORS_OF_PROCESS: u64 = 256;
/// Rings that one core may open, as the gateway's configuration has it by default.
pub const RINGS_PER_SHARD: u16 = 16;
/// Descriptors in the table of one ring, as the gateway's configuration has it by default.
pub const DESCRIPTORS_PER_RING: u32 = 1 << 16;

/// What the host is meant to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Connections held at the same time.
    pub connections: u64,
    /// Cores that serve, each with rings of its own; at least 1.
    pub shards: u16,
    /// Most rings of one core; each has a descriptor table of its own. At least 1.
    pub rings_per_shard: u16,
    /// Most descriptors in the table of one ring; RLIMIT_NOFILE may allow fewer.
    pub descriptors_per_ring: u32,
    /// Ports that the gateway listens on.
    pub ports: Vec<u16>,
    /// The data directory; it need not exist yet.
    pub data_dir: PathBuf,
}

impl Default for Plan {
    /// 100,000 connections on this host's cores, default ports, the working directory.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            connections: 100_000,
            shards: u16::try_from(cores).unwrap_or(u16::MAX),
            rings_per_shard: RINGS_PER_SHARD,
            descriptors_per_ring: DESCRIPTORS_PER_RING,
            ports: vec![7443, 7444, 7480],
            data_dir: PathBuf::from("."),
        }
    }
}

impl Plan {
    /// Rings of all shards.
    pub(crate) fn rings(&self) -> u64 {
        u64::from(self.shards.max(1)) * u64::from(self.rings_per_shard.max(1))
    }

    /// Connections in each ring's table when all are full.
    pub(crate) fn connections_per_ring(&self) -> u64 {
        self.connections.div_ceil(self.rings())
    }

    /// What RLIMIT_NOFILE must be: it bounds each ring's table, and the process's ordinary descriptors.
    pub(crate) fn descriptors(&self) -> u64 {
        let ordinary = DESCRIPTORS_OF_PROCESS + DESCRIPTORS_PER_SHARD * u64::from(self.shards.max(1));
        self.connections_per_ring().max(ordinary)
    }

    /// How many may knock at once: everybody comes back within about a second after a restart, and a core may be
    /// away for 50 ms of it. Between the kernel's default and the largest value it takes.
    pub(crate) fn knocking(&self) -> u64 {
        (self.connections / 20).clamp(4_096, 65_535)
    }
}
