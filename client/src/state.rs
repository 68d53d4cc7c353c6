//! What a device must remember to resume without loss and without doubles.
//!
//! Invariants
//! - `stored_through` and `last` belong together: `last` is what was applied up to that offset.
//! - An outbox entry keeps its id and its bytes until the server has answered it.

use bytes::Bytes;
use iris_protocol::{ConversationId, Incarnation, MessageId, Offset, Sequence, UserId};
use std::collections::BTreeMap;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The direct conversation with this user.
    To(UserId),
    /// A conversation by its id.
    Conversation(ConversationId),
}

impl Target {
    /// The conversation it names, for this sender.
    pub fn conversation(&self, sender: &UserId) -> ConversationId {
        match self {
            Self::To(user) => ConversationId::direct(sender, user),
            Self::Conversation(conversation) => conversation.clone(),
        }
    }
}

/// A message that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its idempotency key: every transmission carries the same.
    pub message_id: MessageId,
    /// Where it goes.
    pub target: Target,
    /// Its bytes: every transmission carries the same.
    pub payload: Bytes,
}

/// A text that has no message id yet, because it was never transmitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Where it goes.
    pub target: Target,
    /// Its bytes.
    pub payload: Bytes,
}

/// The last sequence that was applied in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Everything up to here was applied, or is covered by a gap.
    pub sequence: Sequence,
    /// The next envelope above it is the new base, whatever lies between.
    pub rebase: bool,
}

/// The persistent state of one device. The default is a device that never logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceState {
    /// The history that offsets and sequences belong to.
    pub incarnation: Option<Incarnation>,
    /// Every entry up to here was stored by the application; `None` before the first Welcome.
    pub stored_through: Option<Offset>,
    /// The last applied sequence by conversation, as of `stored_through`.
    pub last: BTreeMap<ConversationId, Applied>,
    /// Unanswered messages, oldest first.
    pub outbox: Vec<OutboxEntry>,
    /// Messages of unknown outcome, kept until the user decides. Never re-sent.
    pub unknown: Vec<OutboxEntry>,
    /// Texts without a message id, oldest first.
    pub drafts: Vec<Draft>,
}
