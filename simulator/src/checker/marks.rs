//! Watermarks on the disk: what every device of a user has passed for good must be known for good.
//!
//! A home that forgot what its devices acknowledged would take the same message again after a stop, and deliver it again.
//! Clients drop what they have, so that devices alone would not show it.
//!
//! Invariants
//! - Judged after each durable record, on what records hold, and on the places that the wire named since the last boot.

use super::base::{Base, UserBase};
use iris_protocol::{ConversationId, DeviceId, Offset, Sequence, UserId};
use iris_storage::op::{Entry, Op};
use std::collections::BTreeMap;

/// One user's part.
#[derive(Default)]
struct Marks {
    watermarks: BTreeMap<ConversationId, Sequence>,
    cursors: BTreeMap<DeviceId, Offset>,
    /// What stands at an offset, as a delivery said since the last boot.
    places: BTreeMap<Offset, (ConversationId, Sequence)>,
}

/// All users.
#[derive(Default)]
pub(super) struct MarkChecker {
    users: BTreeMap<UserId, Marks>,
}

impl MarkChecker {
    /// The host lost writes: this is what it left.
    pub(super) fn rewound(base: &Base) -> Self {
        let marks = |base: &UserBase| {
            let cursors = base.devices.iter().map(|(device, row)| (device.clone(), row.acked_through));
            let (watermarks, cursors) = (base.watermarks.clone(), cursors.collect());
            (base.user.clone(), Marks { watermarks, cursors, places: BTreeMap::new() })
        };
        Self { users: base.users.iter().map(marks).collect() }
    }

    /// A delivery names the place of a message.
    pub(super) fn delivered(&mut self, user: &UserId, offset: Offset, place: (&ConversationId, Sequence)) {
        let marks = self.users.entry(user.clone()).or_default();
        marks.places.insert(offset, (place.0.clone(), place.1));
    }

    /// The process stopped: places that were in no record are given anew.
    pub(super) fn stopped(&mut self) {
        for marks in self.users.values_mut() {
            marks.places.clear();
        }
    }

    /// A durable record holds this.
    pub(super) fn stored(&mut self, op: &Op) {
        match op {
            Op::Cursor { user, device, row } => {
                let marks = self.users.entry(user.clone()).or_default();
                let cursor = marks.cursors.entry(device.clone()).or_default();
                *cursor = (*cursor).max(row.acked_through);
            }
            Op::Elide { user, watermarks } => {
                for (conversation, through) in watermarks {
                    self.raise(user, conversation, *through);
                }
            }
            Op::Append { user, entry, .. } => match entry {
                Entry::Message { envelope, .. } => {
                    self.raise(user, &envelope.conversation, envelope.sequence);
                }
                Entry::Gap { conversation, through, .. } => self.raise(user, conversation, *through),
            },
            Op::Unlink { user, device } => {
                self.users.entry(user.clone()).or_default().cursors.remove(device);
            }
            Op::Accept { .. }
            | Op::Confirm { .. }
            | Op::Remove { .. }
            | Op::User { .. }
            | Op::DedupFloor { .. } => {}
        }
    }

    fn raise(&mut self, user: &UserId, conversation: &ConversationId, through: Sequence) {
        let marks = self.users.entry(user.clone()).or_default();
        let watermark = marks.watermarks.entry(conversation.clone()).or_default();
        *watermark = (*watermark).max(through);
    }

    /// After a record: the first message that every device has passed and no watermark covers.
    pub(super) fn forgotten(&mut self) -> Option<String> {
        for (user, marks) in &mut self.users {
            let passed = marks.cursors.values().copied().min().unwrap_or_default();
            while let Some(first) = marks.places.first_entry().filter(|first| *first.key() <= passed) {
                let (offset, (conversation, sequence)) = first.remove_entry();
                let watermark = marks.watermarks.get(&conversation).copied().unwrap_or_default();
                if watermark < sequence {
                    return Some(format!(
                        "all devices of {user} have {conversation} {sequence} at {offset}, on the disk it is known through {watermark}"
                    ));
                }
            }
        }
        None
    }
}
