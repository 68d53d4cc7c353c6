//! Numbers with a meaning: sequences, offsets, generations and the two clocks.
//!
//! Invariants
//! - An offset is `generation << 33 | n`, n from 1, and stays below 2^53, so a JavaScript number holds it.
//! - Order never uses a clock.

use std::fmt;
use std::time::Duration;

/// A place in a conversation, from 1, without gaps. 0 means "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first message of a conversation.
    pub const NONE: Self = Self(0);

    /// The sequence after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The boot number of a data directory, from 1: the upper part of every offset that a boot hands out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// Exclusive upper bound: 2^20 generations fit below 2^53.
    pub const MAX: u32 = 1 << 20;
    /// From here on a boot warns: 90 % are used.
    pub const WARN: u32 = 943_718;
}

/// A place in a user's inbox: strictly increasing, with holes. 0 means "before everything".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// Before the first entry.
    pub const NONE: Self = Self(0);
    /// Bits of n, the number inside a generation.
    pub const N_BITS: u32 = 33;
    /// Highest n of a generation.
    pub const N_MAX: u64 = (1 << Self::N_BITS) - 1;

    /// The n-th offset of a generation.
    #[must_use]
    pub fn new(generation: Generation, n: u64) -> Self {
        assert!(generation.0 < Generation::MAX, "generation {generation:?} out of range");
        assert!(n <= Self::N_MAX, "offset number {n} out of range");
        Self(u64::from(generation.0) << Self::N_BITS | n)
    }

    /// The generation that handed this offset out. Not clamped: an absurd offset has an absurd generation.
    #[must_use]
    pub fn generation(self) -> u64 {
        self.0 >> Self::N_BITS
    }

    /// The number inside its generation.
    #[must_use]
    pub fn n(self) -> u64 {
        self.0 & Self::N_MAX
    }
}

/// Monotonic time in nanoseconds since an arbitrary start; the only time the shard computes deadlines with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// This time plus a duration, saturating.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Wall-clock time in milliseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

impl Wall {
    /// This time plus a number of milliseconds, saturating.
    #[must_use]
    pub fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The day number since 1970.
    #[must_use]
    pub fn day(self) -> u32 {
        u32::try_from(self.0 / 86_400_000).unwrap_or(u32::MAX)
    }
}

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_number!(Sequence, Generation, Offset, Wall);

#[cfg(test)]
mod tests;
