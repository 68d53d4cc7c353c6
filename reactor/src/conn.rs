//! The names a reactor gives out: connections and listeners.
//!
//! Invariants
//! - A [`Conn`] is never given out twice: its generation changes each time its slot is freed (it repeats after 2^32
//!   owners of one slot).

/// Bits of a slot's index, in connections and in operations' tags.
pub(crate) const INDEX_BITS: u32 = 24;

/// One connection, from the event that announced it to its `Closed` or `Moved`. A later use is ignored and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Conn(u64);

impl Conn {
    pub(crate) fn new(ring: u8, index: u32, generation: u32) -> Self {
        assert!(index < 1 << INDEX_BITS, "slot index out of range: {index}");
        Self(u64::from(ring) << 56 | u64::from(index) << 32 | u64::from(generation))
    }

    /// The number itself, to be carried in a message or used as a key.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The connection of a number that came from [`Conn::to_bits`]; any other number names no connection.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Ring and slot: dense numbers, so that a table can be indexed by them. Another connection may follow in the same
    /// place; compare the whole name before use.
    pub fn place(self) -> (usize, usize) {
        (self.ring(), self.index() as usize)
    }

    pub(crate) fn ring(self) -> usize {
        usize::from((self.0 >> 56) as u8)
    }

    pub(crate) fn index(self) -> u32 {
        (self.0 >> 32) as u32 & ((1 << INDEX_BITS) - 1)
    }

    #[allow(clippy::cast_possible_truncation, reason = "the low half is the generation")]
    pub(crate) fn generation(self) -> u32 {
        self.0 as u32
    }
}

/// One listening socket of a reactor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Listener(pub(crate) u16);

/// Every descriptor table is full, and no further ring may or can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no free connection slot: {open} of {capacity} are in use")]
pub struct Full {
    /// Connections that are open.
    pub open: usize,
    /// Connections that the rings opened so far can hold.
    pub capacity: usize,
}
