//! Idle state leaves memory: users, channels, conversations and recipients that nothing needs for a while.
//!
//! Invariants
//! - Only what the tables hold leaves: what is loaded again, by whomever, is what was there.
//! - A user leaves after the channels that name it; a recipient after its conversations.

use crate::shard::Shard;
use crate::stored::After;
use crate::user::NOBODY;
use iris_protocol::Mono;
use iris_storage::op::Op;
use smallvec::smallvec;
use std::time::Duration;

/// The sweep looks at a part of everything this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Rounds in which everything is looked at once: idle state stays for one to two times this many seconds.
const SWEEP_ROUNDS: u32 = 300;
/// Entries of each kind looked at in a round at least.
const SWEEP_MIN: u32 = 16;

/// Where the sweep stands.
#[derive(Debug)]
pub(crate) struct Sweep {
    next: Mono,
    users: u32,
    channels: u32,
    conversations: u32,
    recipients: u32,
}

impl Sweep {
    pub(crate) fn new(now: Mono) -> Self {
        Self { next: now.after(SWEEP_INTERVAL), users: 0, channels: 0, conversations: 0, recipients: 0 }
    }

    pub(crate) fn next_due(&self) -> Mono {
        self.next
    }
}

/// The next indices to look at, and where the hand stands then.
fn part(hand: u32, bound: u32) -> (impl Iterator<Item = u32>, u32) {
    let count = (bound / SWEEP_ROUNDS).max(SWEEP_MIN).min(bound);
    let start = if hand >= bound { 0 } else { hand };
    let end = (start + count).min(bound);
    (start..end, end)
}

impl Shard {
    pub(crate) fn take_sweep(&mut self) {
        if self.sweep.next > self.now {
            return;
        }
        self.sweep.next = self.now.after(SWEEP_INTERVAL);
        self.sweep_channels();
        self.sweep_users();
        self.sweep_conversations();
        self.sweep_recipients();
        self.expiry_tick();
    }

    fn sweep_channels(&mut self) {
        let (indices, hand) = part(self.sweep.channels, self.channels.bound());
        self.sweep.channels = hand;
        for index in indices {
            let Some(channel) = self.channels.at_mut(index) else { continue };
            let is_filled = self.tickets.is_filled(channel.last_ticket);
            if std::mem::replace(&mut channel.is_touched, false) || !channel.is_idle() || !is_filled {
                continue;
            }
            let channel = self.channels.remove(index);
            for member in channel.members() {
                self.users[member.user].pins -= 1;
            }
            self.counters.evicted += 1;
        }
    }

    fn sweep_users(&mut self) {
        let (indices, hand) = part(self.sweep.users, self.users.bound());
        self.sweep.users = hand;
        for index in indices {
            if self.users.at(index).is_none_or(|user| !user.is_loaded) {
                continue;
            }
            self.see_connected(index);
            self.detach_in_sweep(index);
            let user = &mut self.users[index];
            user.tidy(self.now);
            if std::mem::replace(&mut user.is_touched, false) || !self.may_leave(index) {
                continue;
            }
            if std::mem::replace(&mut self.users[index].is_row_dirty, false) {
                self.store_row(index);
                continue;
            }
            self.count_leaving(index);
            let user = self.users.remove(index);
            assert!(user.fresh_entries == 0, "user {} leaves with entries in no record", user.id);
            self.counters.evicted += 1;
        }
    }

    fn may_leave(&self, index: u32) -> bool {
        let user = &self.users[index];
        // Rule: new conversations (counted also while their sender is away)
        let has_rare_work = user.rare.as_ref().is_some_and(|rare| {
            rare.purge.is_some() || !rare.waiters.is_empty() || !rare.conversations.is_full(self.now)
        });
        let has_session = user.devices().any(|device| device.session != NOBODY || device.is_dirty);
        user.pins == 0
            && user.tickets == 0
            && user.work.is_none()
            && !user.is_listed
            && !user.has_waiting_copy
            && !has_rare_work
            && !has_session
            && user.last_ticket.is_none_or(|ticket| self.tickets.is_filled(ticket))
    }

    // Rule: offset (the last one assigned is written before the user's memory is dropped)
    fn store_row(&mut self, index: u32) {
        let user = &mut self.users[index];
        user.had_usage = user.row.stored_entries > 0;
        let op = Op::User { user: user.id.clone(), row: user.row };
        self.store_of(index, smallvec![op], After::Row { user: index });
    }

    fn sweep_conversations(&mut self) {
        let (indices, hand) = part(self.sweep.conversations, self.conversations.bound());
        self.sweep.conversations = hand;
        for index in indices {
            let Some(state) = self.conversations.at_mut(index) else { continue };
            let is_filled = self.tickets.is_filled(state.last_ticket);
            if !std::mem::replace(&mut state.is_touched, false) && state.is_idle() && is_filled {
                self.drop_conversation(index);
                self.counters.evicted += 1;
            }
        }
    }

    /// Takes a conversation out of memory.
    pub(crate) fn drop_conversation(&mut self, index: u32) {
        let state = self.conversations.remove(index);
        for member in state.members {
            self.recipients[member].pins -= 1;
        }
    }

    fn sweep_recipients(&mut self) {
        let (indices, hand) = part(self.sweep.recipients, self.recipients.bound());
        self.sweep.recipients = hand;
        for index in indices {
            let Some(recipient) = self.recipients.at_mut(index) else { continue };
            let is_idle = recipient.pins == 0 && recipient.unconfirmed == 0 && !recipient.is_asked;
            if !std::mem::replace(&mut recipient.is_touched, false) && is_idle {
                self.recipients.remove(index);
                self.counters.evicted += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
