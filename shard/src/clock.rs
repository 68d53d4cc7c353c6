//! The shard clock: wall time that never goes back, advanced by monotonic time.
//!
//! Invariants
//! - Two readings of one clock never decrease, whatever monotonic time it is given.
//! - Nothing that orders messages reads it.

use iris_protocol::{Mono, Wall};

/// See the module. The driver persists its readings and hands the last one to the next boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardClock {
    base: Wall,
    base_at: Mono,
}

impl ShardClock {
    pub(crate) fn new(base: Wall, now: Mono) -> Self {
        Self { base, base_at: now }
    }

    // Rule: clock
    pub(crate) fn read(&self, now: Mono) -> Wall {
        self.base.after_ms(now.0.saturating_sub(self.base_at.0) / 1_000_000)
    }
}
