//! What goes into a shard and what comes out: the whole contract with its driver.
//!
//! Invariants
//! - A shard never waits: what it needs from outside is an effect, and the answer is an input.
//! - [`Effect::Accept`] comes from [`Input::Stored`], or from the replay of a key that is already durable, alone.

use crate::mail::Mail;
use iris_protocol::frame::ClientFrame;
use iris_protocol::limits::Limits;
use iris_protocol::{CloseCode, DeviceId, Mono, ShardId, UserId, Wall, wire};
use iris_storage::load::{LoadError, LoadRequest, Loaded};
use iris_storage::op::Ops;

/// A connection as its driver names it. Unique for the life of the process, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// The receipt of a [`Effect::Store`]: dense and ascending per shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The name of a question to the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadId(pub u64);

/// Who a connection is, from its verified token and its Hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The token's `sub`.
    pub user: UserId,
    /// The token's `dev`.
    pub device: DeviceId,
    /// When the token is no longer taken, by the clock of the shard's ticks: the wall clock may be another one than the issuer's.
    pub ends_at: Mono,
    /// The frame; its token has been checked and is not looked at again.
    pub hello: wire::Hello,
}

/// What a verified token of a Refresh says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The token's `sub`.
    pub user: UserId,
    /// The token's `dev`.
    pub device: DeviceId,
    /// When the token is no longer taken, by the clock of the shard's ticks.
    pub ends_at: Mono,
    /// The time at which it ends, for the client.
    pub expires_at: Wall,
}

/// Everything that can happen to a shard.
#[derive(Debug)]
pub enum Input {
    /// A verified Hello on a connection that lives on this core.
    Login {
        /// The connection.
        conn: ConnId,
        /// Who.
        login: Box<Login>,
    },
    /// A frame after login.
    Frame {
        /// The connection.
        conn: ConnId,
        /// The decoded frame.
        frame: ClientFrame,
    },
    /// A Refresh whose token was checked by the driver.
    Refreshed {
        /// The connection.
        conn: ConnId,
        /// From the frame.
        request_id: u64,
        /// What the token says; `None`: it was refused. The shard compares user and device with the session's.
        renewal: Option<Box<Renewal>>,
    },
    /// Bytes of earlier frames left the process's buffer.
    Sent {
        /// The connection.
        conn: ConnId,
        /// How many, prefix included, before TLS.
        bytes: usize,
    },
    /// The driver ends a session: by an operator's order, or because its token was revoked.
    End {
        /// The connection.
        conn: ConnId,
        /// What its client is told.
        code: CloseCode,
    },
    /// The connection is gone. The last input of this connection.
    Gone {
        /// The connection.
        conn: ConnId,
    },
    /// Every ticket up to this one is durable.
    Stored {
        /// The highest durable ticket.
        through: Ticket,
    },
    /// The tables hold every record up to this ticket: what the shard forgets from now on, they can tell.
    Filled {
        /// The highest such ticket; never above the durable one.
        through: Ticket,
    },
    /// The disk has no room for new messages, or has again.
    StorageRoom {
        /// False: refuse Sends with STORAGE_FULL.
        available: bool,
    },
    /// An answer of the tables.
    Loaded {
        /// The question's name.
        id: LoadId,
        /// The answer.
        answer: Result<Loaded, LoadError>,
    },
    /// From another shard, in the order in which that shard sent it.
    Mail {
        /// The sender.
        from: ShardId,
        /// The content.
        mail: Mail,
    },
    /// Other limits are in force, for what is judged from now on.
    Limits(Box<Limits>),
    /// A deadline has come.
    Tick,
    /// Refuse new logins, tell sessions to go.
    Drain,
}

/// Everything a shard can ask of its driver. The order of effects is kept, per target.
#[derive(Debug)]
pub enum Effect {
    /// Send a frame that acknowledges nothing.
    Send {
        /// To whom.
        conn: ConnId,
        /// What.
        frame: Frame,
    },
    /// The acknowledgement of a Send.
    Accept {
        /// To whom.
        conn: ConnId,
        /// What.
        acceptance: iris_protocol::Acceptance,
    },
    /// Send a Close frame and hang up. [`Input::Gone`] follows.
    Close {
        /// Whom.
        conn: ConnId,
        /// Why.
        code: CloseCode,
        /// When to come back.
        retry_after_ms: Option<u32>,
    },
    /// Stop or resume reading a connection's socket.
    Read {
        /// Whose.
        conn: ConnId,
        /// False: stop.
        on: bool,
    },
    /// Put operations into the next record. [`Input::Stored`] follows.
    Store {
        /// Dense, ascending.
        ticket: Ticket,
        /// In order.
        ops: Ops,
    },
    /// Ask the tables. [`Input::Loaded`] follows. About a user, a watermark or a conversation the tables may be asked as they stand:
    /// nothing of it waits to be filled.
    Load {
        /// The question's name.
        id: LoadId,
        /// The question.
        request: LoadRequest,
    },
    /// To another shard. There is always room: the shard counts credits.
    Mail {
        /// The recipient, never this shard itself.
        to: ShardId,
        /// The content.
        mail: Mail,
    },
}

/// A frame to a client, as cheap to make as it can be: text fields are shared ids, not copies.
#[derive(Clone, Debug)]
pub enum Frame {
    /// A message in its place of the inbox.
    Deliver {
        /// The place.
        offset: iris_protocol::Offset,
        /// The sequence before it for this user.
        previous: iris_protocol::Sequence,
        /// The message.
        envelope: std::sync::Arc<iris_protocol::Envelope>,
    },
    /// Every other frame.
    Other(wire::server_frame::Frame),
}

/// The driver must stop reading the sockets that feed this shard until effects were drained and mail was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shard has no credit: stop reading sockets")]
pub struct Backpressure;

/// Why the shard wants to be called at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Entries, cursors and watermarks go into a record.
    Settle,
    /// Confirmations go into a record.
    Confirm,
    /// A heartbeat, or the end of a token.
    Session,
    /// Unsent bytes are looked at.
    Stall,
    /// A question to the tables is repeated.
    Retry,
    /// Idle state leaves memory; entries and ids expire.
    Sweep,
    /// What is still connected is closed.
    Drain,
}
