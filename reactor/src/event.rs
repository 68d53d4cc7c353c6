//! What a reactor reports.
//!
//! Invariants
//! - `Closed` or `Moved` is the last event of a connection; each connection that was announced gets exactly one of them.
//! - The bytes of a connection arrive in the order in which they were sent.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use crate::aligned::AlignedBuffer;
use crate::buffers::Lease;
use crate::conn::{Conn, Listener};

/// One thing that happened.
#[derive(Debug)]
pub enum Event {
    /// A listener took a connection; it is receiving already.
    Accepted {
        /// The new connection.
        conn: Conn,
        /// Who accepted it.
        listener: Listener,
        /// Who it is, if the reactor was asked to find out; `None` too when the peer had gone already.
        peer: Option<SocketAddr>,
    },
    /// The end of a [`connect`](crate::Reactor::connect). After an error, `Closed` follows.
    Connected {
        /// The connection.
        conn: Conn,
        /// Whether it is open, and receiving.
        result: io::Result<()>,
    },
    /// Bytes came. They may still come for a moment after a pause or a close was asked for.
    Received {
        /// From whom.
        conn: Conn,
        /// The bytes, in a receive buffer that goes back when this is dropped: do not keep it across turns.
        bytes: Lease,
    },
    /// A whole buffer has been handed to the kernel.
    Sent {
        /// To whom.
        conn: Conn,
        /// The buffer, with its bytes, to be used again.
        buffer: Vec<u8>,
    },
    /// The last event of a connection: no operation of it is left in the kernel.
    Closed {
        /// Which.
        conn: Conn,
        /// Why.
        cause: CloseCause,
    },
    /// A [`detach`](crate::Reactor::detach) is complete: all received bytes were reported, nothing is being sent.
    Detached {
        /// Which.
        conn: Conn,
    },
    /// Another core has the connection; its name here is gone.
    Moved {
        /// Its name here, until now.
        conn: Conn,
    },
    /// The other core had no room. The connection is still here, detached: `arm` it to go on.
    MoveFailed {
        /// Which.
        conn: Conn,
    },
    /// Another core sent a connection here. It does not receive before it is armed.
    Arrived {
        /// Its name here.
        conn: Conn,
        /// What the sender called it.
        label: u64,
    },
    /// A file write ended.
    Written {
        /// The caller's number.
        token: u64,
        /// Bytes written: less than asked for is the caller's to judge.
        result: io::Result<usize>,
        /// The buffer, to be used again.
        buffer: AlignedBuffer,
    },
    /// A file sync ended.
    Synced {
        /// The caller's number.
        token: u64,
        /// Whether the data is durable.
        result: io::Result<()>,
    },
    /// A waker fired, or another core sent a wake-up; once a turn at most.
    Woken,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCause {
    /// The peer closed its side. What was being sent then goes out first, as long as the peer takes it.
    Peer,
    /// The peer, or the network, reset it.
    Reset,
    /// An operation failed with this error number.
    Error(i32),
    /// It was closed or aborted here.
    Local,
}

impl CloseCause {
    /// The cause that an operation's error number tells.
    pub(crate) fn of_errno(errno: i32) -> Self {
        match errno {
            libc::ECONNRESET | libc::EPIPE => Self::Reset,
            other => Self::Error(other),
        }
    }
}

/// How long a turn may wait for something to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    Poll,
    /// Until then.
    Until(Instant),
    /// Until something happens.
    Forever,
}
