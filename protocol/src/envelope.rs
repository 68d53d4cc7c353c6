//! The envelope: a message's header and opaque payload, as stored and forwarded.

use crate::id::{ConversationId, DeviceId, MessageId, UserId};
use crate::time::{Sequence, Wall};
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
