//! The operations that records consist of: everything that changes a shard's durable state.
//!
//! Invariants
//! - Applying the same operations in the same order gives the same rows, in memory and in RocksDB.
//! - No operation names a shard or a core: slots only, so that rows can move.

use bytes::Bytes;
use iris_protocol::limits::UNCLAIMED_ENTRY_BYTES;
use iris_protocol::{
    ConversationId, DeviceId, Envelope, GapReason, MessageId, Offset, PayloadHash, Sequence, Slot, UserId,
    Wall,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// Operations of a record, or of a part of one. An acceptance alone takes no memory of its own.
pub type Ops = SmallVec<[Op; 1]>;

/// Slots of a conversation's members: those of a direct one take no memory of their own.
pub type Slots = SmallVec<[Slot; 2]>;

/// One change of durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The owner accepts a message: sequence, dedup, outbox and pending rows, and the slot's highest id time.
    Accept {
        /// The message with its sequence and server time.
        envelope: Arc<Envelope>,
        /// Tells a retry from a conflict.
        hash: PayloadHash,
        /// The slots of all members at acceptance, ascending, without doubles.
        recipients: Slots,
    },
    /// A recipient slot holds these envelopes durably: their pending rows go, and the outbox rows with them when
    /// it was the last slot.
    Confirm {
        /// The conversation.
        conversation: ConversationId,
        /// The slot that confirmed.
        recipient: Slot,
        /// Sequence, and true if no other slot is pending for it.
        sequences: Vec<(Sequence, bool)>,
    },
    /// The home puts an entry into a user's inbox: inbox and watermark rows. The place is free: it was never taken, or
    /// the row that stood there was removed before. A put that replaced a row would meet the row's removal, and the row
    /// that was replaced would be back.
    Append {
        /// Whose inbox.
        user: UserId,
        /// Its place there.
        offset: Offset,
        /// The entry.
        entry: Entry,
    },
    /// Entries whose devices all acked before they were put into a record: the watermarks alone.
    Elide {
        /// Whose inbox.
        user: UserId,
        /// Highest sequence taken, by conversation.
        watermarks: Vec<(ConversationId, Sequence)>,
    },
    /// Entries that every device has acked, or that expired: their inbox rows go.
    Remove {
        /// Whose inbox.
        user: UserId,
        /// The offsets of rows that exist.
        offsets: Vec<Offset>,
    },
    /// The user's facts: last assigned offset and usage.
    User {
        /// Who.
        user: UserId,
        /// The row.
        row: UserRow,
    },
    /// A device's cursor and facts; also links the device.
    Cursor {
        /// Whose device.
        user: UserId,
        /// Which.
        device: DeviceId,
        /// The row.
        row: CursorRow,
    },
    /// A device is unlinked: its cursor row goes.
    Unlink {
        /// Whose device.
        user: UserId,
        /// Which.
        device: DeviceId,
    },
    /// Dedup rows of days below `floor_day` go; the floor never falls.
    DedupFloor {
        /// The slot.
        slot: Slot,
        /// First day kept.
        floor_day: u32,
    },
}

/// What stands at a place of an inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A message.
    Message {
        /// The envelope.
        envelope: Arc<Envelope>,
        /// The sequence before it in this conversation for this user; 0: none known.
        previous: Sequence,
    },
    /// A hole that the devices must know of.
    Gap {
        /// The conversation.
        conversation: ConversationId,
        /// First sequence left out.
        from: Sequence,
        /// Last sequence left out.
        through: Sequence,
        /// Why.
        reason: GapReason,
    },
}

/// A user's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserRow {
    /// Highest offset assigned; written before the user's memory may be dropped.
    pub last_offset: Offset,
    /// Rows in the inbox table.
    pub stored_entries: u32,
    /// Payload bytes in the inbox table.
    pub stored_bytes: u64,
}

impl UserRow {
    /// What its rows count for if they are in an unclaimed inbox, in bytes: payloads, and a fixed part an entry.
    pub fn held_bytes(&self) -> u64 {
        u64::from(self.stored_entries).saturating_mul(UNCLAIMED_ENTRY_BYTES).saturating_add(self.stored_bytes)
    }
}

/// A device's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorRow {
    /// Everything at or below is acked.
    pub acked_through: Offset,
    /// Shard clock at linking.
    pub linked_at: Wall,
    /// Shard clock at the last ack or connection, to the hour at best.
    pub last_seen_at: Wall,
    /// The device holds no entries any more: its next session starts with `Gap{DEVICE_DETACHED}`.
    pub detached: bool,
}

/// What is remembered of an accepted message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupRow {
    /// The sequence it got.
    pub sequence: Sequence,
    /// The server time it got.
    pub server_time: Wall,
    /// Of its payload.
    pub hash: PayloadHash,
}

/// The idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupKey {
    /// The conversation.
    pub conversation: ConversationId,
    /// The sender.
    pub sender: UserId,
    /// The client's id.
    pub message_id: MessageId,
}

/// Bytes of a payload that an entry accounts for.
pub fn payload_bytes(payload: &Bytes) -> u64 {
    u64::try_from(payload.len()).unwrap_or(u64::MAX)
}
