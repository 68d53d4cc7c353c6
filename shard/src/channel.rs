//! A conversation as the home of one slot sees it: which members live there and how far each inbox took it.
//!
//! Invariants
//! - `durable <= taken` for every member; `Confirm` never says more than the smallest `durable`.
//! - A channel with `durable < taken` stays in memory.

use crate::arena::Keyed;
use crate::io::{ConnId, Ticket};
use crate::mail::RequestRef;
use crate::ring::Ring;
use foldhash::fast::FixedState;
use iris_protocol::{ConversationId, Envelope, MessageId, Offset, Sequence, ShardId, Slot};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

/// One member's inbox in a channel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Member {
    /// Index of the user.
    pub(crate) user: u32,
    /// Highest sequence taken into the inbox.
    pub(crate) taken: Sequence,
    /// Highest sequence whose watermark is durable.
    pub(crate) durable: Sequence,
    /// Highest sequence elided and in no record yet; 0: none.
    pub(crate) elided: Sequence,
    /// The open INBOX_FULL gap entry of this conversation; 0: none.
    pub(crate) open_gap: Offset,
}

/// What waits for a channel to be loaded.
#[derive(Debug)]
pub(crate) enum Parked {
    Forward { previous: Sequence, envelope: Arc<Envelope>, answers: Option<RequestRef> },
    Send { conn: ConnId, request_id: u64, message_id: MessageId, payload: bytes::Bytes },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) conversation: ConversationId,
    pub(crate) slot: Slot,
    /// The conversation's owner.
    pub(crate) owner: ShardId,
    /// Tells a reused index from the channel that had it before.
    pub(crate) serial: u32,
    pub(crate) members: [Member; 2],
    pub(crate) member_count: u8,
    /// Users and watermarks that are still to be loaded.
    pub(crate) waiting: u8,
    /// The last record part with a watermark of its members.
    pub(crate) last_ticket: Ticket,
    /// Highest sequence confirmed to the owner since boot.
    pub(crate) confirmed: Sequence,
    pub(crate) parked: Ring<Parked>,
    /// Its sender's first message was counted as a new conversation.
    pub(crate) is_counted: bool,
    pub(crate) is_touched: bool,
}

impl Channel {
    pub(crate) fn members(&self) -> &[Member] {
        &self.members[..usize::from(self.member_count)]
    }

    /// What the home of this slot holds durably, for all its members.
    pub(crate) fn durable(&self) -> Sequence {
        self.members().iter().map(|member| member.durable).min().unwrap_or_default()
    }

    /// The member whose inbox belongs to this user.
    pub(crate) fn member_of(&self, user: u32) -> Option<u8> {
        self.members().iter().position(|member| member.user == user).and_then(|at| u8::try_from(at).ok())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting == 0
            && self.parked.is_empty()
            && self.members().iter().all(|member| {
                member.durable == member.taken
                    && member.elided == Sequence::NONE
                    && member.open_gap == Offset::NONE
            })
    }
}

/// The hash of a channel's key.
pub(crate) fn channel_hash(state: &FixedState, conversation: &ConversationId, slot: Slot) -> u64 {
    let mut hasher = state.build_hasher();
    conversation.as_str().hash(&mut hasher);
    slot.number().hash(&mut hasher);
    hasher.finish()
}

impl Keyed for Channel {
    fn key_hash(&self, state: &FixedState) -> u64 {
        channel_hash(state, &self.conversation, self.slot)
    }
}
