//! What a session tells its caller.
//!
//! Invariants
//! - [`Event::Message`] comes exactly once for each sequence of a conversation, in order.

use bytes::Bytes;
use iris_protocol::{
    CloseCode, ConversationId, DeviceId, Durability, Incarnation, MessageId, Offset, RejectClass, RejectCode,
    Sequence, UserId, Wall, wire,
};
use std::time::Duration;

/// One thing for the caller to do, in this order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Write this frame. If [`super::Session::unsaved`] is true, save the state first.
    Frame(wire::client_frame::Frame),
    /// Show or store this.
    Event(Event),
    /// It is time to connect: call `connected` when the transport is up, `disconnected` when it failed.
    Connect,
    /// Close the transport now. The session has already planned what comes next.
    Disconnect {
        /// Why.
        reason: DisconnectReason,
    },
}

/// Why the session wants its transport closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The server broke a rule of the protocol.
    ServerFault,
    /// A request stayed unanswered.
    AnswerTimeout,
    /// The Hello stayed unanswered.
    LoginTimeout,
    /// No frame came within the heartbeat.
    HeartbeatTimeout,
    /// The server sent Close.
    ClosedByServer,
    /// The server asked to leave, and nothing is unanswered.
    GoAway,
    /// The caller asked for it.
    ByCaller,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Logged in.
    Welcome(Welcome),
    /// Everything that waited when the session started has come.
    CaughtUp {
        /// The offset that was reached.
        end_offset: Offset,
    },
    /// A message to apply. Report it with `stored` once it is safe.
    Message(Message),
    /// An envelope that was applied before came again; nothing to do.
    Duplicate {
        /// Its offset this time.
        offset: Offset,
        /// Its conversation.
        conversation: ConversationId,
        /// Its place there.
        sequence: Sequence,
        /// Its id.
        message_id: MessageId,
    },
    /// A message of ours is durable and will reach every device.
    Accepted(Accepted),
    /// A message of ours was refused; `class` says whether the session tries again.
    Rejected(Rejected),
    /// Whether this message was accepted cannot be known. It stays in the state's list of unknown outcomes.
    Unknown {
        /// The message.
        message_id: MessageId,
        /// Its conversation.
        conversation: ConversationId,
        /// The number of the code.
        code: u32,
    },
    /// Messages are missing that will not come. Report it with `stored` as a message, if it has an offset.
    Gap(Gap),
    /// The server closed the connection.
    Closed(Closed),
    /// The server will close soon: the session leaves by itself. With reason TOKEN_EXPIRED it stays, and a Refresh keeps it.
    GoAway {
        /// The number of the close that will follow.
        reason: u32,
        /// When to come back, counted from now.
        reconnect_after: Duration,
        /// When the server closes, counted from now.
        close_after: Duration,
    },
    /// The server broke a rule: nothing of that frame was applied or acknowledged.
    ServerFault(ServerFault),
    /// The new token of a Refresh holds.
    Refreshed {
        /// The request.
        request_id: u64,
        /// When it expires.
        expires_at: Wall,
    },
    /// The devices of this user.
    Devices {
        /// The request.
        request_id: u64,
        /// In the server's order.
        devices: Vec<wire::Device>,
    },
    /// A device is no longer linked.
    Unlinked {
        /// The request.
        request_id: u64,
        /// The device.
        device: String,
    },
    /// A request other than a Send was refused, or a frame was not known (request 0).
    RequestRejected {
        /// The request.
        request_id: u64,
        /// The number of the code.
        code: u32,
    },
}

/// A login's facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The server's history.
    pub incarnation: Incarnation,
    /// Nothing at or below comes in this session.
    pub resumed_at: Offset,
    /// This login linked the device.
    pub linked_now: bool,
    /// Caught up when reached.
    pub end_offset: Offset,
    /// The delivery window granted.
    pub window: u32,
    /// Unanswered sends allowed.
    pub send_window: u32,
    /// The heartbeat that holds.
    pub heartbeat: Duration,
    /// What an acceptance promises on this server; `None`: a level this client does not know.
    pub durability: Option<Durability>,
    /// The server's time.
    pub server_time: Wall,
    /// The server's limits.
    pub limits: wire::Limits,
}

/// An envelope in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its place in this user's inbox.
    pub offset: Offset,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its place there.
    pub sequence: Sequence,
    /// Who sent it.
    pub sender: UserId,
    /// From which device; `None`: from this one, as its acceptance said.
    pub device: Option<DeviceId>,
    /// Its id.
    pub message_id: MessageId,
    /// When it was accepted.
    pub server_time: Wall,
    /// Its bytes.
    pub payload: Bytes,
}

/// An acceptance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The message.
    pub message_id: MessageId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its place there.
    pub sequence: Sequence,
    /// When it was accepted.
    pub server_time: Wall,
    /// What the acceptance promises; `None`: a level this client does not know, to be taken as the weaker one.
    pub durability: Option<Durability>,
    /// How often it was transmitted by this process: above 1 it was a retry.
    pub transmissions: u32,
    /// The place of this device's own copy, if it counts as delivered: the Message event follows.
    pub offset: Option<Offset>,
}

/// A refusal of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The message.
    pub message_id: MessageId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Why; `None` for a code of a later version, whose number still tells its class.
    pub code: Option<RejectCode>,
    /// The code's number.
    pub number: u32,
    /// What follows from it: `RetrySameId` stays in the outbox, `Refused` is gone.
    pub class: RejectClass,
    /// When the session sends it again, counted from now; `None`: never.
    pub retry_after: Option<Duration>,
    /// The server's time: tells how far off a clock is after CLOCK_SKEW.
    pub server_time: Wall,
}

/// A hole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Its place in the inbox; `None`: found by the client itself.
    pub offset: Option<Offset>,
    /// The conversation; `None`: all of them.
    pub conversation: Option<ConversationId>,
    /// First missing sequence.
    pub from: Sequence,
    /// Last missing sequence.
    pub through: Sequence,
    /// Why.
    pub reason: wire::GapReason,
}

/// A close by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Why; `None` for a code of a later version.
    pub code: Option<CloseCode>,
    /// The code's number.
    pub number: u32,
    /// The server's words.
    pub message: String,
    /// What the session does next.
    pub next: Next,
}

/// What a session does after its connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It connects again by itself.
    Reconnect,
    /// It waits for `restart`, after the caller has a fresh token.
    FreshToken,
    /// It waits for `restart`: the user must decide.
    Stop,
}

/// How a server broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerFault {
    /// A frame that may not come now.
    #[error("{frame} is not allowed now")]
    Unexpected {
        /// The frame's name.
        frame: &'static str,
    },
    /// A field that is not what it must be.
    #[error("{frame}.{field} is invalid")]
    Invalid {
        /// The frame's name.
        frame: &'static str,
        /// The field's name.
        field: &'static str,
    },
    /// An envelope whose predecessor never came.
    #[error("{conversation}: sequence {sequence} follows {previous}, but the last one here is {last}")]
    SequenceSkipped {
        /// The conversation.
        conversation: ConversationId,
        /// The last one applied.
        last: Sequence,
        /// The one that should have come.
        previous: Sequence,
        /// The one that came.
        sequence: Sequence,
    },
    /// A new envelope at an offset that was passed.
    #[error("offset {offset} came after {received}")]
    OffsetNotIncreasing {
        /// The offset.
        offset: Offset,
        /// The highest received in this connection.
        received: Offset,
    },
    /// An answer that fits no open request.
    #[error("an answer to request {request_id}, which is not open or is another one")]
    Answer {
        /// The request it names.
        request_id: u64,
    },
}
