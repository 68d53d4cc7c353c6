//! Removal of rows that no session knows: after an unlink, a detach, or an ack that passed what was never read.
//!
//! Invariants
//! - A purge removes rows at or below `through` alone: what was cold before its fence. Nothing else removes those
//!   rows while it runs, so that none is counted twice.

use crate::loads::Question;
use crate::shard::Shard;
use crate::stored::After;
use crate::user::Content;
use iris_protocol::Offset;
use iris_storage::load::LoadRequest;
use iris_storage::op::{Entry, Op};
use smallvec::smallvec;

/// A purge under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purge {
    /// Rows at or below were looked at.
    pub(crate) after: Offset,
    /// What was cold at the start.
    pub(crate) through: Offset,
    /// Something above `through` was acked meanwhile: start again.
    pub(crate) is_again: bool,
}

/// One page of a purge.
const PURGE_ENTRIES_MAX: u32 = 256;
const PURGE_BYTES_MAX: u64 = 1 << 20;

impl Shard {
    /// Removes every cold row that all devices have passed.
    pub(crate) fn purge(&mut self, index: u32) {
        let user = &mut self.users[index];
        if user.cold_entries == 0 || user.device_count() == 0 {
            return;
        }
        if let Some(purge) = user.rare.as_mut().and_then(|rare| rare.purge.as_mut()) {
            purge.is_again = true;
            return;
        }
        let through = user.cold_through;
        user.rare().purge = Some(Purge { after: Offset::NONE, through, is_again: false });
        self.fence(index);
    }

    /// Looks for rows that all devices have passed in a user that was just loaded: nothing is in flight for it.
    pub(crate) fn purge_at_load(&mut self, index: u32) {
        let user = &mut self.users[index];
        let is_purging = user.rare.as_ref().is_some_and(|rare| rare.purge.is_some());
        if user.cold_entries == 0 || user.device_count() == 0 || is_purging {
            return;
        }
        let through = user.cold_through;
        user.rare().purge = Some(Purge { after: Offset::NONE, through, is_again: false });
        self.purge_page(index);
    }

    /// Lets the purge read once everything emitted before is durable: the settle in the same record holds it back.
    pub(crate) fn fence(&mut self, index: u32) {
        self.settle_now(index);
        let user = &self.users[index];
        let op = Op::User { user: user.id.clone(), row: user.row };
        self.store_of(index, smallvec![op], After::Fence { user: index });
    }

    /// Asks for the next page.
    pub(crate) fn purge_page(&mut self, index: u32) {
        let user = &mut self.users[index];
        let Some(purge) = user.rare.as_ref().and_then(|rare| rare.purge) else { return };
        user.tickets += 1;
        let request = LoadRequest::Inbox {
            user: user.id.clone(),
            after: purge.after,
            // Mostly there is nothing to remove: one row tells.
            entries_max: if purge.after == Offset::NONE { 1 } else { PURGE_ENTRIES_MAX },
            bytes_max: PURGE_BYTES_MAX,
        };
        self.load(request, Question::Purge { user: index });
    }

    pub(crate) fn purge_loaded(&mut self, index: u32, entries: Vec<(Offset, Entry)>, complete: bool) {
        self.users[index].tickets -= 1;
        let floor = self.users[index].purge_floor();
        let Some(purge) = self.users[index].rare.as_ref().and_then(|rare| rare.purge) else { return };
        let mut is_done = complete;
        for (offset, entry) in entries {
            if offset > floor || offset > purge.through {
                is_done = true;
                break;
            }
            let bytes = Content::of_entry(entry).bytes();
            let user = &mut self.users[index];
            assert!(user.cold_entries > 0, "offset {offset} of {} is cold and not counted", user.id);
            user.cold_entries -= 1;
            user.forget_rows(1, u64::from(bytes));
            self.work(index).removes.push(offset);
            self.counters.removed += 1;
            if let Some(purge) = &mut self.users[index].rare().purge {
                purge.after = offset;
            }
        }
        self.list_user(index);
        if is_done { self.purge_done(index) } else { self.purge_page(index) }
    }

    fn purge_done(&mut self, index: u32) {
        let purge = self.users[index].rare().purge.take();
        if purge.is_some_and(|purge| purge.is_again) {
            self.purge(index);
        }
        self.judge_user(index);
        self.take_waiting_unlinks(index);
    }

    /// The tables cannot read the rows: they stay, and are tried again when something moves.
    pub(crate) fn purge_failed(&mut self, index: u32) {
        self.users[index].tickets -= 1;
        self.users[index].rare().purge = None;
        self.take_waiting_unlinks(index);
    }
}
