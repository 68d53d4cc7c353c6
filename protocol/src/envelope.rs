//! The envelope: a message's header and opaque payload, as stored and forwarded.

use crate::id::{ConversationId, DeviceId, MessageId, UserId};
use crate::time::{Offset, Sequence, Wall};
use bytes::Bytes;

/// One accepted message. Immutable from its acceptance on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The conversation it belongs to.
    pub conversation: ConversationId,
    /// Its place there.
    pub sequence: Sequence,
    /// Who sent it.
    pub sender: UserId,
    /// From which of the sender's devices.
    pub device: DeviceId,
    /// The client's id for it.
    pub message_id: MessageId,
    /// The owner's shard clock at acceptance.
    pub server_time: Wall,
    /// Opaque, byte-exact, at most the payload limit.
    pub payload: Bytes,
}

/// The acknowledgement of a Send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The client's number for the Send.
    pub request_id: u64,
    /// The client's id for the message.
    pub message_id: MessageId,
    /// Where the message is.
    pub conversation: ConversationId,
    /// Its place there.
    pub sequence: Sequence,
    /// The owner's shard clock at acceptance.
    pub server_time: Wall,
    /// What it promises.
    pub durability: Durability,
    /// The place of the sender's own copy in its inbox and the sequence before it, if this counts as its Deliver.
    pub place: Option<(Offset, Sequence)>,
}

impl Acceptance {
    /// As it goes over the wire.
    pub fn to_wire(&self) -> crate::wire::Accepted {
        crate::wire::Accepted {
            request_id: self.request_id,
            message_id: Bytes::copy_from_slice(self.message_id.as_bytes()),
            conversation: self.conversation.as_str().to_owned(),
            sequence: self.sequence.0,
            server_time: self.server_time.0,
            durability: self.durability.to_wire().into(),
            offset: self.place.map(|(offset, _)| offset.0),
            previous_sequence: self.place.map_or(0, |(_, previous)| previous.0),
        }
    }
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Synced to the disk before the acknowledgement.
    Fsync,
    /// Written to the operating system before it, synced within 100 ms.
    Os,
}

impl Durability {
    /// Its value on the wire.
    pub fn to_wire(self) -> crate::wire::Durability {
        match self {
            Self::Fsync => crate::wire::Durability::Fsync,
            Self::Os => crate::wire::Durability::Os,
        }
    }
}

/// Why a device is told of a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// The session starts above the offset that the device named.
    AlreadyAcked,
    /// Entries were older than the retention.
    Expired,
    /// The device was detached and holds no entries any more.
    DeviceDetached,
    /// Entries were left out because the inbox was full.
    InboxFull,
}

impl GapReason {
    /// Its value on the wire.
    pub fn to_wire(self) -> crate::wire::GapReason {
        match self {
            Self::AlreadyAcked => crate::wire::GapReason::AlreadyAcked,
            Self::Expired => crate::wire::GapReason::Expired,
            Self::DeviceDetached => crate::wire::GapReason::DeviceDetached,
            Self::InboxFull => crate::wire::GapReason::InboxFull,
        }
    }
}

#[cfg(test)]
mod tests;
