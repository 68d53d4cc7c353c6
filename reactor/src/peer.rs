//! How one core names another's rings, to wake it or to give it a connection.
//!
//! Invariants
//! - A ring's descriptor that was published stays open as long as anybody holds the [`Peer`].

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::tag::LABEL_BITS;

/// Largest label that a moved connection can carry.
pub const LABEL_MAX: u64 = (1 << LABEL_BITS) - 1;

/// The rings of one core, for the other cores.
#[derive(Clone)]
pub struct Peer {
    shared: Arc<Shared>,
}

struct Shared {
    /// Copies of the rings' descriptors, in the order in which they were opened.
    rings: Box<[OnceLock<OwnedFd>]>,
    /// The ring that takes arrivals.
    landing: AtomicUsize,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("first_ring", &self.first_ring()).finish_non_exhaustive()
    }
}

impl Peer {
    pub(crate) fn new(rings: u16) -> Self {
        let rings = (0..rings).map(|_| OnceLock::new()).collect();
        Self { shared: Arc::new(Shared { rings, landing: AtomicUsize::new(0) }) }
    }

    /// Makes a ring known, through a copy of its descriptor.
    pub(crate) fn publish(&self, number: usize, ring: BorrowedFd<'_>) -> io::Result<()> {
        let copy = rustix::io::fcntl_dupfd_cloexec(ring, 0)?;
        assert!(self.shared.rings[number].set(copy).is_ok(), "ring {number} is published twice");
        Ok(())
    }

    /// Sends arrivals to this ring from now on.
    pub(crate) fn set_landing(&self, number: usize) {
        self.shared.landing.store(number, Ordering::Release);
    }

    /// The ring that is woken.
    pub(crate) fn first_ring(&self) -> RawFd {
        self.ring(0)
    }

    /// The ring that takes a connection.
    pub(crate) fn landing_ring(&self) -> RawFd {
        self.ring(self.shared.landing.load(Ordering::Acquire))
    }

    fn ring(&self, number: usize) -> RawFd {
        // The kernel answers EBADF to -1, which a sender takes for a peer that cannot.
        self.shared.rings[number].get().map_or(-1, AsRawFd::as_raw_fd)
    }
}
