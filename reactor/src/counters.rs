//! What a reactor counts.
//!
//! Invariants
//! - Counters only grow; they wrap after 2^64.

/// Running totals of one reactor, since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Turns taken.
    pub turns: u64,
    /// System calls that entered a ring or waited for several.
    pub enters: u64,
    /// Completions taken from the rings.
    pub completions: u64,
    /// Times a completion queue was found overflown. Nothing is lost, but it costs: raise `completions`.
    pub cq_overflows: u64,
    /// Completions of a slot's former owner, ignored.
    pub late_completions: u64,
    /// Calls with a connection that was gone, ignored.
    pub stale_calls: u64,
    /// Connections accepted.
    pub accepts: u64,
    /// Times a listener stopped accepting for a while, because a table was full or the host was out of something.
    pub accept_backoffs: u64,
    /// Connections made.
    pub connects: u64,
    /// Receive completions that carried bytes.
    pub receives: u64,
    /// Bytes received.
    pub receive_bytes: u64,
    /// Times a receive was armed again after it had ended by itself.
    pub rearms: u64,
    /// Times a receive ended because every buffer was out.
    pub buffer_exhausted: u64,
    /// Times a connection had to wait for the next turn, because it took its share of this one.
    pub throttled: u64,
    /// Times a silent connection fell back to a poll.
    pub idle_falls: u64,
    /// Times such a connection was received from all the time again, because it went on talking.
    pub idle_returns: u64,
    /// Whole buffers sent.
    pub sends: u64,
    /// Bytes sent.
    pub send_bytes: u64,
    /// Sends that had to be continued, because the kernel took a part.
    pub short_sends: u64,
    /// Connections closed, for any cause.
    pub closes: u64,
    /// Connections given to another core.
    pub moves_out: u64,
    /// Connections taken from another core.
    pub moves_in: u64,
    /// Moves that the other core could not take.
    pub move_failures: u64,
    /// File writes and syncs finished.
    pub file_operations: u64,
    /// Wake-ups sent to other cores.
    pub wakes_sent: u64,
    /// Times a foreign thread found this reactor awake and saved its wake-up.
    pub wakes_saved: u64,
    /// Times this reactor was woken by mail or by a waker.
    pub wakes: u64,
    /// Rings opened.
    pub rings_opened: u64,
    /// Rings that could not be opened when they were wanted.
    pub ring_failures: u64,
}
