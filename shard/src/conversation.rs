//! A conversation at its owner: the last sequence, and what is accepted but not confirmed by every recipient slot.
//!
//! Invariants
//! - `outbox` holds the dense sequences above the lowest confirmation, up to `last`.
//! - Per lane: `emitted <= confirmed <= forwarded <= durable_through <= last`.

use crate::arena::Keyed;
use crate::io::{LoadId, Ticket};
use crate::mail::RequestRef;
use crate::ring::Ring;
use bytes::Bytes;
use foldhash::fast::FixedState;
use iris_protocol::{ConversationId, DeviceId, Envelope, MessageId, Sequence, ShardId, Slot};
use iris_storage::op::DedupRow;
use std::hash::BuildHasher;
use std::sync::Arc;

/// The way to one recipient slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) slot: Slot,
    pub(crate) shard: ShardId,
    /// Sent up to here.
    pub(crate) forwarded: Sequence,
    /// Durable at the home up to here.
    pub(crate) confirmed: Sequence,
    /// Confirmed in a record up to here.
    pub(crate) emitted: Sequence,
    /// Forwards whose credit is not back.
    pub(crate) outstanding: u32,
    /// It is in the queue of lanes that wait for credit.
    pub(crate) is_queued: bool,
    /// It goes back to its lowest unconfirmed once all answers are in.
    pub(crate) is_rewinding: bool,
}

/// Accepted and not confirmed by every lane.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) envelope: Arc<Envelope>,
    /// The Send that waits for it.
    pub(crate) request: Option<RequestRef>,
}

/// What the dedup table said about a parked Send.
#[derive(Debug)]
pub(crate) enum Known {
    /// Not asked: memory knows enough.
    Unasked,
    /// Asked.
    Asked(LoadId),
    /// Answered. What was not there has not come since: whatever came with the same id before was judged before, and is in memory.
    Told(Option<DedupRow>),
    /// The table could not answer.
    Failed,
}

/// A Send at its owner.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) request: RequestRef,
    /// Which of the two members sent it: 0 the smaller id.
    pub(crate) sender: u8,
    pub(crate) device: DeviceId,
    pub(crate) message_id: MessageId,
    pub(crate) payload: Bytes,
    pub(crate) known: Known,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) id: ConversationId,
    pub(crate) slot: Slot,
    pub(crate) last: Sequence,
    pub(crate) durable_through: Sequence,
    /// The record part that took `last`.
    pub(crate) last_ticket: Ticket,
    /// Indices of the recipients: smaller id first; both the same for a note to self.
    pub(crate) members: [u32; 2],
    /// The lane of each member.
    pub(crate) lane_of: [u8; 2],
    pub(crate) lanes: [Lane; 2],
    pub(crate) lane_count: u8,
    pub(crate) outbox: Ring<Pending>,
    /// Sends that wait for something to be loaded, in order.
    pub(crate) parked: Ring<Submission>,
    pub(crate) is_loaded: bool,
    /// It is in the queue of conversations with confirmations to record.
    pub(crate) is_listed: bool,
    pub(crate) is_touched: bool,
}

impl Conversation {
    pub(crate) fn lanes(&self) -> &[Lane] {
        &self.lanes[..usize::from(self.lane_count)]
    }

    /// The entry with this sequence, if some lane still needs it.
    pub(crate) fn pending_mut(&mut self, sequence: Sequence) -> Option<&mut Pending> {
        let first = self.outbox.front()?.envelope.sequence;
        let index = usize::try_from(sequence.0.checked_sub(first.0)?).ok()?;
        self.outbox.at_mut(index)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.is_loaded
            && !self.is_listed
            && self.outbox.is_empty()
            && self.parked.is_empty()
            && self.lanes().iter().all(|lane| lane.outstanding == 0 && !lane.is_queued && !lane.is_rewinding)
    }
}

impl Keyed for Conversation {
    fn key_hash(&self, state: &FixedState) -> u64 {
        state.hash_one(self.id.as_str())
    }
}
