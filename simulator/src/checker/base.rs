//! What the disks hold after the host lost writes: from there on, everything is judged as before.
//!
//! Invariants
//! - Read from the tables before the process serves anybody: no record is later than it.

use super::{Place, Places};
use iris_protocol::{DeviceId, Offset, Sequence, UserId};
use iris_storage::op::{CursorRow, Entry};
use std::collections::BTreeSet;

/// One user's part.
pub struct UserBase {
    /// Whose.
    pub user: UserId,
    /// What stands in the inbox.
    pub rows: Vec<(Offset, Entry)>,
    /// Linked devices.
    pub devices: Vec<(DeviceId, CursorRow)>,
    /// Accepted and not in the inbox yet, with the bytes of their payloads.
    pub waiting: Vec<(Place, u64)>,
    /// How far the inbox took each conversation.
    pub watermarks: Places,
}

/// All users, and the last sequence of each conversation.
#[derive(Default)]
pub struct Base {
    /// The users.
    pub users: Vec<UserBase>,
    /// The last sequences.
    pub last: Places,
}

impl Base {
    /// Every linked device, as the world names it.
    pub(super) fn devices(&self) -> BTreeSet<String> {
        let named = |base: &UserBase| {
            let names = base.devices.iter().map(|(device, _)| format!("{}/{device}", base.user));
            names.collect::<Vec<_>>()
        };
        self.users.iter().flat_map(named).collect()
    }

    /// True for what was taken from everybody.
    pub(super) fn is_lost(&self, (conversation, sequence): &Place) -> bool {
        *sequence > self.last.get(conversation).copied().unwrap_or(Sequence::NONE)
    }
}
