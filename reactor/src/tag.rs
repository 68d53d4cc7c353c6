//! What an operation's `user_data` says: which kind it is, and whose.
//!
//! Invariants
//! - A tag that went into a ring comes back unchanged, so an unknown kind can only be our own mistake.

use crate::conn::INDEX_BITS;

/// What an operation is for, and so who takes its completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Nobody waits for it: cancellations and wake-ups that we sent.
    Ignored = 1,
    /// Multishot receive of a connection.
    Receive,
    /// One-shot poll of a silent connection.
    Poll,
    Send,
    Shutdown,
    Close,
    /// Creation of a socket to connect.
    Socket,
    /// Socket options and bind before a connect, and the linger option before an abort.
    Prepare,
    Connect,
    /// Question for the peer's address.
    PeerName,
    /// A descriptor on its way to another core.
    Move,
    /// A descriptor that another core sent; index and generation are its label.
    Arrived,
    /// Multishot accept of a listener.
    Accept,
    /// One of a listener's single-shot accepts.
    AcceptOne,
    FileWrite,
    FileSync,
    /// Another core's wake-up.
    Wake,
    /// The poll on the waker's eventfd.
    Waker,
}

impl Kind {
    const ALL: [Self; 18] = [
        Self::Ignored,
        Self::Receive,
        Self::Poll,
        Self::Send,
        Self::Shutdown,
        Self::Close,
        Self::Socket,
        Self::Prepare,
        Self::Connect,
        Self::PeerName,
        Self::Move,
        Self::Arrived,
        Self::Accept,
        Self::AcceptOne,
        Self::FileWrite,
        Self::FileSync,
        Self::Wake,
        Self::Waker,
    ];
}

/// Kind (8 bits), index (24 bits), generation (32 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(u64);

/// Bits of what another core may say with a descriptor or a wake-up.
pub(crate) const LABEL_BITS: u32 = 56;

impl Tag {
    pub(crate) fn new(kind: Kind, index: u32, generation: u32) -> Self {
        assert!(index < 1 << INDEX_BITS, "index out of range: {index}");
        Self((kind as u64) << 56 | u64::from(index) << 32 | u64::from(generation))
    }

    pub(crate) fn labelled(kind: Kind, label: u64) -> Self {
        assert!(label < 1 << LABEL_BITS, "label out of range: {label}");
        Self((kind as u64) << 56 | label)
    }

    pub(crate) fn of(kind: Kind) -> Self {
        Self::labelled(kind, 0)
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) fn kind(self) -> Kind {
        let number = usize::from((self.0 >> 56) as u8);
        assert!((1..=Kind::ALL.len()).contains(&number), "completion of an unknown kind: {:#x}", self.0);
        Kind::ALL[number - 1]
    }

    pub(crate) fn index(self) -> u32 {
        (self.0 >> 32) as u32 & ((1 << INDEX_BITS) - 1)
    }

    #[allow(clippy::cast_possible_truncation, reason = "the low half is the generation")]
    pub(crate) fn generation(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn label(self) -> u64 {
        self.0 & ((1 << LABEL_BITS) - 1)
    }
}

#[cfg(test)]
mod tests;
