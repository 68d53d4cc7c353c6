//! All unclaimed inboxes of this shard together: what they hold, and whether that is too much.
//!
//! Invariants
//! - What a user is counted with when it leaves memory is what its rows say: a load counts it neither twice nor not at all.
//! - Owners hear of it before they hear that this shard has booted.

use crate::mail::Body;
use crate::shard::Shard;
use crate::user::User;
use iris_protocol::ShardId;
use iris_storage::op::{CursorRow, UserRow};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Unclaimed {
    held_bytes: u64,
    is_full: bool,
}

impl Unclaimed {
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }
}

/// What the rows of a user count for.
pub(crate) fn counted_bytes(row: &UserRow, mut devices: impl Iterator<Item = CursorRow>) -> u64 {
    if devices.any(|device| !device.detached) { 0 } else { row.held_bytes() }
}

fn held_bytes(user: &User) -> u64 {
    if user.has_active_device() { 0 } else { user.usage().held_bytes() }
}

impl Shard {
    /// What the tables hold at a boot.
    pub(crate) fn boot_unclaimed(&mut self, held_bytes: u64) {
        self.unclaimed.held_bytes = held_bytes;
        self.judge_unclaimed();
    }

    /// Counts a user again after its inbox or its devices changed.
    pub(crate) fn count_unclaimed(&mut self, index: u32) {
        let holds = held_bytes(&self.users[index]);
        self.count_user(index, holds);
    }

    /// Counts a user that leaves memory as it will be loaded.
    pub(crate) fn count_leaving(&mut self, index: u32) {
        let user = &self.users[index];
        let holds = counted_bytes(&user.row, user.devices().map(crate::user::Device::row));
        self.count_user(index, holds);
    }

    fn count_user(&mut self, index: u32, holds: u64) {
        let counted = std::mem::replace(&mut self.users[index].counted_bytes, holds);
        if counted == holds {
            return;
        }
        let held = self.unclaimed.held_bytes;
        assert!(held >= counted, "{counted} bytes of {} are counted, of {held}", self.users[index].id);
        self.unclaimed.held_bytes = held - counted + holds;
        self.judge_unclaimed();
    }

    // Rule: INBOX_FULL (all unclaimed inboxes together)
    /// Tells every shard whether what unclaimed inboxes hold is too much, if that is news.
    pub(crate) fn judge_unclaimed(&mut self) {
        let mark = self.config.limits.unclaimed_total_bytes;
        // Open again an eighth below the mark: a report to every shard at each message would not do.
        let slack = if self.unclaimed.is_full { mark / 8 } else { 0 };
        let is_full = self.unclaimed.held_bytes >= (mark - slack).max(1);
        if std::mem::replace(&mut self.unclaimed.is_full, is_full) == is_full {
            return;
        }
        let own = self.config.shard;
        self.peer(own).is_unclaimed_full = is_full;
        for shard in (0..self.config.placement.shards()).map(ShardId).filter(|shard| *shard != own) {
            self.request(shard, Body::Unclaimed { is_full });
        }
    }
}
