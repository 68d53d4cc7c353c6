//! What a shard asks its tables, and what it is told.
//!
//! Invariants
//! - A read sees every record that was durable before it was asked.

use crate::op::{CursorRow, DedupKey, DedupRow, Entry, UserRow};
use iris_protocol::{ConversationId, DeviceId, Envelope, Offset, Sequence, Slot, UserId, Wall};
use std::sync::Arc;

mod boot;
mod read;

pub use boot::{BootError, BootLimits, boot_state};
pub(crate) use boot::{SequenceCheck, TakenTwice, dedup_place};
pub(crate) use read::{cursor_value, entry_bytes, envelope_value, inbox_row, last_sequence, user_value};
pub use read::{load, load_resident};

/// A question to the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadRequest {
    /// The user's row and all its devices.
    User(UserId),
    /// Inbox entries above `after`, oldest first.
    Inbox {
        /// Whose inbox.
        user: UserId,
        /// Exclusive lower bound.
        after: Offset,
        /// Most entries.
        entries_max: u32,
        /// Stops after the entry that passes this many payload bytes.
        bytes_max: u64,
    },
    /// Highest sequence taken into this inbox.
    Watermark(UserId, ConversationId),
    /// The conversation's last sequence.
    Conversation(ConversationId),
    /// The stored result of a message id.
    Dedup(DedupKey),
    /// Inbox entries of a slot whose server time is below `before`, for expiry: a page from `from` on.
    Expired {
        /// The slot.
        slot: Slot,
        /// Continue here; `None`: from the slot's first row.
        from: Option<(UserId, Offset)>,
        /// Server time bound, exclusive.
        before: Wall,
        /// Most rows looked at.
        rows_max: u32,
    },
}

/// The answer to a [`LoadRequest`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// See [`LoadRequest::User`]. A user that was never seen has the default row and no devices.
    User {
        /// The row.
        row: UserRow,
        /// Linked devices, by id.
        devices: Vec<(DeviceId, CursorRow)>,
    },
    /// See [`LoadRequest::Inbox`].
    Inbox {
        /// Ascending offsets.
        entries: Vec<(Offset, Entry)>,
        /// True if nothing is stored above the last of `entries`.
        complete: bool,
    },
    /// See [`LoadRequest::Watermark`]; 0: none.
    Watermark(Sequence),
    /// See [`LoadRequest::Conversation`]; 0: none.
    Conversation(Sequence),
    /// See [`LoadRequest::Dedup`].
    Dedup(Option<DedupRow>),
    /// See [`LoadRequest::Expired`].
    Expired {
        /// Expired entries.
        entries: Vec<(UserId, Offset, Entry)>,
        /// Where the next page starts; `None`: the slot is done.
        next: Option<(UserId, Offset)>,
    },
}

/// Why a read failed. The device that needed it is told; others are not affected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A stored value does not pass its checksum or does not decode.
    #[error("damaged row in table {table} at key {key}")]
    Damaged {
        /// The table.
        table: &'static str,
        /// The key in hex.
        key: String,
    },
    /// The engine could not read.
    #[error("cannot read table {table}: {cause}")]
    Engine {
        /// The table.
        table: &'static str,
        /// The engine's words.
        cause: String,
    },
}

/// A user with a full inbox: the row, and the devices' cursors by id.
pub type CrowdedUser = (UserId, UserRow, Vec<(DeviceId, CursorRow)>);

/// What a shard needs to know before it serves: read once from its tables after recovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootState {
    /// Accepted and unconfirmed, ascending by (conversation, sequence), with the slots still pending.
    pub outbox: Vec<(Arc<Envelope>, Vec<Slot>)>,
    /// Last sequence of each conversation in `outbox`.
    pub last_sequences: Vec<(ConversationId, Sequence)>,
    /// By slot: first day kept in dedup, and the highest id time ever stored.
    pub floors: Vec<(Slot, u32, Wall)>,
    /// Rows of users whose inbox holds at least `full_from` entries or bytes, with their devices' cursors.
    pub crowded: Vec<CrowdedUser>,
    /// What the inboxes of users without a device that holds entries have together: see [`UserRow::held_bytes`].
    pub unclaimed_bytes: u64,
    /// Rows in the dedup table, estimated.
    pub dedup_rows: u64,
}

#[cfg(test)]
mod tests;
