//! Every limit, once: value, unit, reason, refusal.
//!
//! Invariants
//! - Relations between limits are `const` assertions.
//! - Limits that operators may raise are the defaults of [`Limits`]; the wire's own are constants.

use std::time::Duration;

/// Number of slots: fixed, stored keys start with a slot.
pub const SLOTS: u16 = 1024;
/// Most shards of one process.
pub const SHARDS_MAX: u16 = 64;
/// Length of a user, device or group id, in bytes.
pub const ID_BYTES_MAX: usize = 64;
/// Bytes of the length prefix of a frame.
pub const LENGTH_BYTES: usize = 4;
/// Body of a frame after login, in bytes; above: FRAME_TOO_LARGE.
pub const FRAME_BYTES_MAX: usize = 128 << 10;
/// Body of a frame before login, in bytes: a Hello with a token fits; above: FRAME_TOO_LARGE.
pub const HELLO_BYTES_MAX: usize = 4 << 10;
/// Payload of a message, in bytes; above: PAYLOAD_TOO_LARGE.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// Token, in bytes; above: AUTH_FAILED.
pub const TOKEN_BYTES_MAX: usize = 2 << 10;
/// Largest delivery window a device may ask for; more is granted as this.
pub const WINDOW_MAX: u32 = 1024;
/// Delivery window recommended to clients.
pub const WINDOW_DEFAULT: u32 = 256;
/// Unanswered Sends of a connection; above, the server stops reading it.
pub const SEND_WINDOW: u32 = 100;
/// K: envelopes that an owner shard holds unconfirmed for a recipient; above: BUSY.
pub const UNCONFIRMED_MAX: u32 = 64;
/// K in bytes, or one envelope; above: BUSY.
pub const UNCONFIRMED_BYTES_MAX: u64 = 256 << 10;
/// A frame may start while a connection's unsent bytes are below this.
pub const UNSENT_BYTES_MAX: usize = 64 << 10;
/// How far ahead of the shard clock a message id's time may be; above: CLOCK_SKEW.
pub const SKEW_MAX: Duration = Duration::from_mins(5);
/// A started frame without progress for this long closes with SLOW_CONSUMER.
pub const STALL_MAX: Duration = Duration::from_secs(20);
/// How long a peer has to answer a Ping.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(20);
/// A session is told this long before its token ends, if it began earlier: time for a Refresh.
pub const TOKEN_NOTICE: Duration = Duration::from_secs(30);
/// Shortest heartbeat that is granted: a ping costs both sides a wake-up.
pub const HEARTBEAT_MIN: Duration = Duration::from_secs(5);
/// Longest heartbeat that is granted.
pub const HEARTBEAT_MAX: Duration = Duration::from_mins(10);
/// An appended entry is in a record, or elided, this long after at most.
pub const SETTLE_DELAY_MAX: Duration = Duration::from_millis(20);
/// How long a client may put off the acknowledgement of its own copy, to let it ride on a Send or on another Ack.
pub const OWN_ACK_DELAY: Duration = Duration::from_millis(200);
/// An own copy that only the device that sent it lacks is in a record, or elided, this long after at most.
pub const OWN_COPY_DELAY_MAX: Duration = Duration::from_millis(500);
/// Entries in no record of a user whose own copies may wait that long; above, all of them go into a record.
pub const OWN_COPIES_WAITING_MAX: u32 = UNCONFIRMED_MAX / 4;
/// With `os` durability a write is synced within this time.
pub const OS_SYNC_INTERVAL: Duration = Duration::from_millis(100);
/// How far the wall clock may move the shard clock over a restart without a confirmation.
pub const CLOCK_ADVANCE_MAX: Duration = Duration::from_hours(7 * 24);
/// What an entry of an unclaimed inbox counts for beside its payload, in bytes: the key, the names and the ids of its row.
pub const UNCLAIMED_ENTRY_BYTES: u64 = 256;
/// Ids a shard's dedup memory holds before its horizon rises.
pub const DEDUP_MEMORY_MAX: usize = 1_000_000;

const _: () = assert!(FRAME_BYTES_MAX > PAYLOAD_BYTES_MAX + 1024);
const _: () = assert!(HELLO_BYTES_MAX > TOKEN_BYTES_MAX + 1024);
const _: () = assert!(WINDOW_MAX >= WINDOW_DEFAULT);
const _: () = assert!(OWN_ACK_DELAY.as_millis() * 2 < OWN_COPY_DELAY_MAX.as_millis());
const _: () = assert!(SETTLE_DELAY_MAX.as_millis() < OWN_ACK_DELAY.as_millis());
const _: () = assert!(HEARTBEAT_MIN.as_secs() < HEARTBEAT_MAX.as_secs());

/// Limits that configuration may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Soft mark of a user's inbox, in envelopes; above: INBOX_FULL.
    pub inbox_envelopes: u32,
    /// Soft mark of a user's inbox, in payload bytes; above: INBOX_FULL.
    pub inbox_bytes: u64,
    /// Inbox of a user without devices, in envelopes.
    pub unclaimed_envelopes: u32,
    /// Inbox of a user without devices, in bytes.
    pub unclaimed_bytes: u64,
    /// All unclaimed inboxes of a shard together, in bytes: payloads, and [`UNCLAIMED_ENTRY_BYTES`] an entry; above:
    /// INBOX_FULL for whoever has no device.
    pub unclaimed_total_bytes: u64,
    /// Devices of a user; above: TOO_MANY_DEVICES.
    pub devices: u32,
    /// Sustained sends a second of a user; above: RATE_LIMITED.
    pub sends_per_second: u32,
    /// Burst of sends of a user.
    pub sends_burst: u32,
    /// New direct conversations an hour a sender; above: RATE_LIMITED.
    pub new_conversations_per_hour: u32,
    /// Idle time after which the server pings.
    pub heartbeat: Duration,
    /// Time a connection has to log in.
    pub login: Duration,
    /// How long an accepted message id is remembered.
    pub dedup: Duration,
    /// Age at which an undelivered entry expires.
    pub retention: Duration,
    /// Silence after which a device is detached.
    pub detach: Duration,
    /// Dedup rows a shard may hold; above: BUSY.
    pub dedup_rows: u64,
    /// Time between a drain's GoAway and the close of what is still connected.
    pub drain: Duration,
    /// Over which reconnects after a drain are spread.
    pub reconnect_spread: Duration,
}

impl Limits {
    /// HARD = SOFT + SHARDS_MAX x K: what an inbox can hold at most, in envelopes.
    pub fn inbox_envelopes_hard(&self) -> u64 {
        u64::from(self.inbox_envelopes)
            .saturating_add(u64::from(SHARDS_MAX).saturating_mul(u64::from(UNCONFIRMED_MAX)))
    }

    /// HARD = SOFT + SHARDS_MAX x K: what an inbox can hold at most, in bytes.
    pub fn inbox_bytes_hard(&self) -> u64 {
        self.inbox_bytes.saturating_add(u64::from(SHARDS_MAX).saturating_mul(UNCONFIRMED_BYTES_MAX))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inbox_envelopes: 10_000,
            inbox_bytes: 48 << 20,
            unclaimed_envelopes: 100,
            unclaimed_bytes: 1 << 20,
            unclaimed_total_bytes: 1 << 30,
            devices: 8,
            sends_per_second: 20,
            sends_burst: 100,
            new_conversations_per_hour: 60,
            heartbeat: Duration::from_mins(1),
            login: Duration::from_secs(5),
            dedup: Duration::from_hours(7 * 24),
            retention: Duration::from_hours(30 * 24),
            detach: Duration::from_hours(30 * 24),
            dedup_rows: 200_000_000,
            drain: Duration::from_secs(5),
            reconnect_spread: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests;
