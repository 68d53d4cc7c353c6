//! What shards say to each other. Every message carries the sender's epoch (in one process: the generation).
//!
//! Invariants
//! - A request holds a credit, which reserves the room of its reply; a reply is never refused.
//! - Mail of an ordered pair of shards arrives in the order in which it was sent.

use crate::io::ConnId;
use bytes::Bytes;
use iris_protocol::{
    ConversationId, DeviceId, Envelope, Generation, MessageId, RejectCode, Sequence, ShardId, Slot, UserId,
    Wall,
};
use std::sync::Arc;

/// One message between shards.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The sender's epoch.
    pub epoch: Generation,
    /// The content.
    pub body: Body,
}

/// Names a Send that waits for its answer: the connection and the client's request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestRef {
    /// The shard that asked.
    pub shard: ShardId,
    /// The connection there.
    pub conn: ConnId,
    /// The client's request id.
    pub request_id: u64,
}

/// The content of a [`Mail`].
#[derive(Clone, Debug)]
pub enum Body {
    /// Request, sender's home to owner: sequence this message.
    Submit {
        /// Who waits.
        request: RequestRef,
        /// From the session.
        sender: UserId,
        /// From the session.
        device: DeviceId,
        /// Checked: the sender is a member.
        conversation: ConversationId,
        /// Checked.
        message_id: MessageId,
        /// At most the payload limit.
        payload: Bytes,
    },
    /// Reply to Submit.
    Submitted {
        /// Who waits.
        request: RequestRef,
        /// Which message.
        message_id: MessageId,
        /// Which conversation.
        conversation: ConversationId,
        /// Durable, or refused.
        outcome: Outcome,
    },
    /// Request, owner to home: take this envelope into the inboxes of the members in this slot.
    Forward {
        /// The recipient slot.
        slot: Slot,
        /// The unconfirmed sequence before it for this slot; 0: none.
        previous: Sequence,
        /// The message.
        envelope: Arc<Envelope>,
        /// Set towards the sender's slot, on the first forward alone: the Send that this answers as well.
        answers: Option<RequestRef>,
    },
    /// Reply to Forward: everything through this sequence is durable at the home of this slot.
    Confirm {
        /// The conversation.
        conversation: ConversationId,
        /// The recipient slot.
        slot: Slot,
        /// Cumulative.
        through: Sequence,
    },
    /// Reply to Forward: the home misses something before; send again from the lowest unconfirmed.
    Reforward {
        /// The conversation.
        conversation: ConversationId,
        /// The recipient slot.
        slot: Slot,
    },
    /// Request, owner to home: may this user take messages?
    Ask {
        /// The recipient.
        user: UserId,
    },
    /// Reply to Ask; also a request, sent to every shard unasked when the state of a user changes.
    State {
        /// The recipient.
        user: UserId,
        /// Its state.
        state: RecipientState,
        /// True: the reply to an Ask (returns its credit).
        reply: bool,
    },
    /// Request, sent to every shard unasked: all unclaimed inboxes of this shard together are full, or not any more.
    Unclaimed {
        /// True: none of them takes anything.
        is_full: bool,
    },
    /// Request: every full inbox of this shard was reported, the boot report is complete.
    Booted,
    /// Reply to a State that nobody asked for, to Unclaimed and to Booted: returns the credit.
    Noted,
    /// Reply to Forward or Ask: the slot is not owned by this shard. Never a confirmation.
    NotOwner {
        /// Which slot.
        slot: Slot,
        /// Of the Forward; `None`: the reply to an Ask.
        conversation: Option<ConversationId>,
    },
}

/// The owner's answer to a Send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable at this place.
    Accepted {
        /// The sequence.
        sequence: Sequence,
        /// The owner's shard clock at acceptance.
        server_time: Wall,
    },
    /// Refused.
    Rejected {
        /// Why.
        code: RejectCode,
        /// When to try again.
        retry_after_ms: Option<u32>,
    },
}

/// Whether a user's inbox takes direct messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientState {
    /// Up to K unconfirmed.
    Open,
    /// No device yet: one envelope at a time.
    Unclaimed,
    /// INBOX_FULL.
    Full,
}
