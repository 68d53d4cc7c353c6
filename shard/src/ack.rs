//! Acknowledgements of devices: cursors rise, and what every device has leaves the inbox.
//!
//! Invariants
//! - A cursor never falls, and moves only by its own device.
//! - Each row is removed exactly once: by the ack with which the last device passes it, or by a purge.

use crate::mutant::{self, Mutant};
use crate::session::{InFlight, Phase};
use crate::shard::Shard;
use crate::user::{Item, User, Work};
use iris_protocol::{CloseCode, Generation, Offset};

/// What an offset that a device names is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It may count as an ack.
    Good,
    /// It was never sent.
    TooHigh,
}

// Rule: resume (ACK_TOO_HIGH; an older generation is always accepted)
/// Judges an offset against the highest that this generation can have shown to the device.
pub(crate) fn judge_offset(offset: Offset, shown: Offset, generation: Generation) -> Claim {
    let own = u64::from(generation.0);
    if offset.generation() > own || (offset.generation() == own && offset > shown) {
        Claim::TooHigh
    } else {
        Claim::Good
    }
}

impl Shard {
    /// A device acks everything through an offset. False: the session was closed for it.
    pub(crate) fn ack(&mut self, index: u32, through: Offset) -> bool {
        let session = &self.sessions[index];
        if session.phase != Phase::Live {
            return true;
        }
        let (user, place, position) = (session.user, session.place, session.position);
        let device = self.users[user].device(place);
        let claim = judge_offset(through, device.sent_through, self.config.generation);
        if claim == Claim::TooHigh && !mutant::is_on(Mutant::AckTooHighIgnored) {
            self.close(index, CloseCode::AckTooHigh, None);
            return false;
        }
        self.take_gap_ack(user, place, through);
        if through <= self.users[user].device(place).cursor {
            return true;
        }
        self.users[user].device_mut(place).cursor = through;
        self.users[user].device_mut(place).is_dirty = true;
        self.take_acked(index, through);
        if through > position {
            // An offset of an older generation may pass rows that this session never read.
            self.sessions[index].position = through;
            if self.users[user].cold_entries > 0 {
                self.purge(user);
            }
        }
        self.see_device(user, place);
        self.release(user);
        self.list_user(user);
        let conn = self.sessions[index].conn;
        self.judge_user(user);
        if self.session_of(conn).is_none() {
            // It was detached, for being a whole inbox behind even now.
            return false;
        }
        self.pump(index);
        true
    }

    // Rule: detaching (told until it is acked)
    /// A device that came back after it was detached acks the gap that says so.
    fn take_gap_ack(&mut self, user: u32, place: u8, through: Offset) {
        let device = self.users[user].device_mut(place);
        if device.owes_gap && through >= device.cursor {
            device.owes_gap = false;
            device.is_dirty = true;
            self.list_user(user);
        }
    }

    /// Takes acked deliveries out of the window; those that lie in the tables alone go if no device needs them.
    fn take_acked(&mut self, index: u32, through: Offset) {
        let index_of_user = self.sessions[index].user;
        let floor = self.users[index_of_user].acked_by_all().unwrap_or(Offset::NONE);
        while let Some(sent) = self.sessions[index].in_flight.front().copied() {
            if sent.offset > through {
                return;
            }
            self.sessions[index].in_flight.pop_front();
            self.counters.acked += 1;
            if sent.offset <= self.users[index_of_user].cold_through && sent.offset <= floor {
                self.remove_cold(index_of_user, sent);
            }
        }
    }

    /// A row that memory does not hold goes, unless a purge is at it.
    fn remove_cold(&mut self, user: u32, sent: InFlight) {
        let state = &mut self.users[user];
        if let Some(purge) = state.rare.as_mut().and_then(|rare| rare.purge.as_mut()) {
            purge.is_again |= sent.offset > purge.through;
            return;
        }
        assert!(state.cold_entries > 0, "offset {} of {} is cold and not counted", sent.offset, state.id);
        state.cold_entries -= 1;
        state.forget_rows(1, u64::from(sent.bytes));
        self.work(user).removes.push(sent.offset);
        self.counters.removed += 1;
    }

    /// What a user's next settle has to do.
    pub(crate) fn work(&mut self, user: u32) -> &mut Work {
        let spare = &mut self.spare_work;
        self.users[user].work.get_or_insert_with(|| spare.pop().unwrap_or_default())
    }

    // Rule: nothing is deleted because it was sent
    /// Takes entries that every device acked out of memory, and has their rows removed.
    pub(crate) fn release(&mut self, index: u32) {
        let Some(floor) = self.users[index].acked_by_all() else { return };
        while self.users[index].items.front().is_some_and(|item| item.offset <= floor) {
            let Some(item) = self.users[index].items.pop_front() else { return };
            self.forget_item(index, &item);
            if item.ticket.is_none() {
                self.elide(index, &item);
            }
        }
    }

    // Rule: watermark (elided with the cursor that passed it)
    /// An entry that needs no record: its watermark goes with the next cursors.
    fn elide(&mut self, user: u32, item: &Item) {
        self.counters.elided += 1;
        let channel = &mut self.channels[item.channel];
        let member = &mut channel.members[usize::from(item.member)];
        assert!(member.user == user, "an item of {user} names a member of {}", channel.conversation);
        if member.elided.0 == 0 {
            self.work(user).elided.push((item.channel, item.member));
        }
        let member = &mut self.channels[item.channel].members[usize::from(item.member)];
        member.elided = item.content.through();
        if member.open_gap == item.offset {
            member.open_gap = Offset::NONE;
        }
    }

    // Rule: device facts (last seen to the hour at best)
    /// A device showed life.
    pub(crate) fn see_device(&mut self, user: u32, place: u8) {
        let wall = self.wall();
        let device = self.users[user].device_mut(place);
        if wall.0.saturating_sub(device.last_seen_at.0) >= SEEN_MS {
            device.last_seen_at = wall;
            device.is_dirty = true;
            self.list_user(user);
        }
    }
}

/// A device's last_seen_at is at most this much behind.
const SEEN_MS: u64 = 3_600_000;

/// True if a device of this user is offline, or has more than its window before it.
pub(crate) fn falls_behind(shard: &Shard, user: &User) -> bool {
    let mut is_claimed = false;
    for device in user.devices().filter(|device| !device.detached) {
        is_claimed = true;
        let Some(session) = shard.sessions.at(device.session) else { return true };
        let last = user.items.back().map_or(Offset::NONE, |item| item.offset);
        if session.phase != Phase::Live || session.position < last {
            return true;
        }
    }
    !is_claimed
}
