//! Settling: cursors, watermarks, entries and removals of a home go into records together.
//!
//! Invariants
//! - Entries go into records in offset order. An elided watermark goes into one record with the cursors that elided it.
//! - A confirmation says what is durable, never what is on its way.
//! - An entry is in a record, or elided, at most [`SETTLE_DELAY_MAX`](iris_protocol::limits::SETTLE_DELAY_MAX)
//!   after it was appended; an own copy that only the device that sent it lacks, at most
//!   [`OWN_COPY_DELAY_MAX`](iris_protocol::limits::OWN_COPY_DELAY_MAX) after.

use crate::ack::falls_behind;
use crate::mail::Body;
use crate::mutant::{self, Mutant};
use crate::shard::Shard;
use crate::stored::After;
use crate::timers::Delayed;
use crate::user::{Content, Item, User, Work};
use iris_protocol::limits::{
    OWN_ACK_DELAY, OWN_COPIES_WAITING_MAX, OWN_COPY_DELAY_MAX, SETTLE_DELAY_MAX, UNCONFIRMED_BYTES_MAX,
};
use iris_protocol::{ConversationId, Sequence};
use iris_storage::op::Op;
use std::time::Duration;

/// A dirty user is settled after this time. Entries younger than [`SETTLE_AGE_MIN`] stay for the next round, so that
/// those that are being acked need no record, and none waits longer than two rounds.
pub(crate) const SETTLE_DELAY: Duration = Duration::from_millis(10);
/// Users with own copies that wait are looked at after this time: the acknowledgement of the device that sent them may
/// ride on its next Send, or on its next Ack (docs/decisions/0015).
pub(crate) const OWN_COPY_DELAY: Duration = Duration::from_millis(250);
/// Payload bytes in no record of a user whose own copies may wait.
const OWN_COPIES_BYTES_MAX: u64 = UNCONFIRMED_BYTES_MAX / 4;
/// Confirmations go into a record after this time.
pub(crate) const CONFIRM_DELAY: Duration = Duration::from_millis(10);
/// What is due within this time is settled along, so that one record carries it.
const SETTLE_SLACK: Duration = Duration::from_millis(2);
/// Age below which an entry is left for the next round.
const SETTLE_AGE_MIN: Duration = Duration::from_millis(8);
/// Age below which an own copy that only its sender lacks is left for the next round.
const OWN_COPY_AGE_MIN: Duration = Duration::from_millis(248);
/// A record's part is ended here, so that no record grows beyond what the log takes.
const BATCH_OPS_MAX: usize = 512;
const BATCH_BYTES_MAX: u64 = 512 << 10;
/// Work boxes kept for reuse.
const SPARE_WORK_MAX: usize = 1024;

const _: () = assert!(SETTLE_DELAY.as_millis() * 2 <= SETTLE_DELAY_MAX.as_millis());
const _: () = assert!(OWN_COPY_DELAY.as_millis() * 2 <= OWN_COPY_DELAY_MAX.as_millis());
const _: () = assert!(OWN_COPY_DELAY.as_millis() > OWN_ACK_DELAY.as_millis());
const _: () = assert!(OWN_COPY_AGE_MIN.as_millis() <= OWN_COPY_DELAY.as_millis() - SETTLE_SLACK.as_millis());
const _: () = assert!(SETTLE_AGE_MIN.as_millis() <= SETTLE_DELAY.as_millis() - SETTLE_SLACK.as_millis());

/// A watermark that is durable with a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) channel: u32,
    pub(crate) member: u8,
    pub(crate) through: Sequence,
}

/// Operations that go into one record, and what is durable with them.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) ops: Vec<Op>,
    pub(crate) marks: Vec<Mark>,
    bytes: u64,
}

impl Batch {
    fn is_large(&self) -> bool {
        self.ops.len() >= BATCH_OPS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    fn mark(&mut self, mark: Mark) {
        if let Some(last) = self.marks.last_mut()
            && (last.channel, last.member) == (mark.channel, mark.member)
        {
            last.through = mark.through;
        } else {
            self.marks.push(mark);
        }
    }
}

impl Shard {
    /// Has a user settled in the next round.
    pub(crate) fn list_user(&mut self, index: u32) {
        let now = self.now;
        if !std::mem::replace(&mut self.users[index].is_listed, true) {
            self.dirty_users.push(now, index);
        }
    }

    // Rule: inbox entries (at once when a device is offline or its window is full, else within 20 ms)
    /// Has new entries settled, at once or in the next rounds.
    pub(crate) fn settle_soon(&mut self, index: u32) {
        if falls_behind(self, &self.users[index]) {
            self.settle_now(index);
        } else {
            self.list_fresh(index);
        }
    }

    // Rule: own copies (their acknowledgement may ride on the next Send)
    /// Has entries that are in no record looked at in time.
    fn list_fresh(&mut self, index: u32) {
        let user = &self.users[index];
        if fresh_items(user).all(|item| may_wait(user, item)) {
            let now = self.now;
            if !std::mem::replace(&mut self.users[index].has_waiting_copy, true) {
                self.waiting_copies.push(now, index);
            }
        } else {
            self.list_user(index);
        }
    }

    pub(crate) fn settle_now(&mut self, index: u32) {
        let mut batch = Batch::default();
        self.settle(index, Duration::ZERO, &mut batch);
        self.flush(&mut batch);
    }

    /// Settles every user and records every confirmation that is due.
    pub(crate) fn take_settles(&mut self) {
        let is_due = |at: Option<iris_protocol::Mono>| at.is_some_and(|at| at <= self.now);
        let dues =
            [&self.dirty_users, &self.waiting_copies, &self.dirty_conversations].map(Delayed::next_due);
        if !dues.into_iter().any(is_due) {
            return;
        }
        let until = self.now.after(SETTLE_SLACK);
        let mut batch = Batch::default();
        for _ in 0..self.waiting_copies.len() {
            let Some(index) = self.waiting_copies.pop_due(until) else { break };
            self.users[index].has_waiting_copy = false;
            if self.users[index].fresh_entries > 0 {
                self.settle_round(index, &mut batch);
            }
        }
        // What is listed again now is due in a later round.
        for _ in 0..self.dirty_users.len() {
            let Some(index) = self.dirty_users.pop_due(until) else { break };
            self.users[index].is_listed = false;
            self.settle_round(index, &mut batch);
        }
        for _ in 0..self.dirty_conversations.len() {
            let Some(index) = self.dirty_conversations.pop_due(until) else { break };
            self.emit_confirms(index, &mut batch);
            if batch.is_large() {
                self.flush(&mut batch);
            }
        }
        self.flush(&mut batch);
    }

    /// Settles a user whose turn has come; what is too young is looked at again.
    fn settle_round(&mut self, index: u32, batch: &mut Batch) {
        self.settle(index, SETTLE_AGE_MIN, batch);
        if self.users[index].fresh_entries > 0 {
            self.list_fresh(index);
        }
        if batch.is_large() {
            self.flush(batch);
        }
    }

    /// Emits a batch, if it has something.
    pub(crate) fn flush(&mut self, batch: &mut Batch) {
        let Batch { ops, marks, bytes } = std::mem::take(batch);
        assert!(!ops.is_empty() || (marks.is_empty() && bytes == 0), "watermarks without operations");
        if ops.is_empty() {
            return;
        }
        let ticket = self.store(ops.into());
        if mutant::is_on(Mutant::ConfirmedBeforeDurable) {
            self.settled_durable(marks);
        } else if !marks.is_empty() {
            self.after(ticket, After::Settled(marks));
        }
    }

    /// Puts into the batch what a user has: elided watermarks with their cursors, removals, entries of at least
    /// this age, usage.
    fn settle(&mut self, index: u32, age_min: Duration, batch: &mut Batch) {
        let work = self.users[index].work.take();
        if let Some(work) = &work {
            self.settle_elided(index, work, batch);
        }
        self.settle_cursors(index, batch);
        if let Some(mut work) = work {
            let removes = std::mem::take(&mut work.removes);
            if !removes.is_empty() {
                batch.ops.push(Op::Remove { user: self.users[index].id.clone(), offsets: removes });
            }
            self.keep_work(work);
        }
        self.settle_entries(index, age_min, batch);
        self.settle_usage(index, batch);
        // The batch goes out with the next ticket, and nothing is stored before it.
        self.users[index].last_ticket = Some(self.next_ticket());
    }

    /// An offset alone is written before the user leaves memory; usage with what changes it.
    fn settle_usage(&mut self, index: u32, batch: &mut Batch) {
        let user = &mut self.users[index];
        let has_usage = user.row.stored_entries > 0 || user.row.stored_bytes > 0;
        if user.is_row_dirty && (has_usage || user.had_usage) {
            user.is_row_dirty = false;
            user.had_usage = has_usage;
            batch.ops.push(Op::User { user: user.id.clone(), row: user.row });
        }
    }

    fn settle_elided(&mut self, index: u32, work: &Work, batch: &mut Batch) {
        if work.elided.is_empty() {
            return;
        }
        let ticket = self.next_ticket();
        let mut watermarks: Vec<(ConversationId, Sequence)> = Vec::with_capacity(work.elided.len());
        for (channel, member) in &work.elided {
            let state = &mut self.channels[*channel];
            state.last_ticket = ticket;
            let through = std::mem::take(&mut state.members[usize::from(*member)].elided);
            watermarks.push((state.conversation.clone(), through));
            batch.mark(Mark { channel: *channel, member: *member, through });
        }
        if mutant::is_on(Mutant::WatermarkLost) {
            return;
        }
        batch.ops.push(Op::Elide { user: self.users[index].id.clone(), watermarks });
    }

    fn settle_cursors(&mut self, index: u32, batch: &mut Batch) {
        let user = &mut self.users[index];
        for place in 0..user.device_count() {
            let id = user.id.clone();
            let device = user.device_mut(u8::try_from(place).unwrap_or(0));
            if std::mem::replace(&mut device.is_dirty, false) {
                batch.ops.push(Op::Cursor { user: id, device: device.id.clone(), row: device.row() });
            }
        }
    }

    // Rule: inbox entries (in offset order)
    fn settle_entries(&mut self, index: u32, age_min: Duration, batch: &mut Batch) {
        let now_ms = self.now_ms();
        let user = &self.users[index];
        let is_due = |item: &Item| {
            let wait = if may_wait(user, item) && !age_min.is_zero() { OWN_COPY_AGE_MIN } else { age_min };
            now_ms.wrapping_sub(item.since_ms) >= u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)
        };
        // What is due takes everything before it along.
        let first = first_fresh(user);
        let due = fresh_items(user).enumerate().filter(|(_, item)| is_due(item)).last();
        let until = due.map_or(first, |(at, _)| first + at + 1);
        for at in first..until {
            if batch.is_large() {
                // Usage goes with the rows that it counts, also when they are more than one record takes.
                self.settle_usage(index, batch);
                self.flush(batch);
            }
            self.settle_entry(index, at, batch);
        }
        if mutant::is_on(Mutant::EntriesOutOfOrder) {
            batch.ops.reverse();
        }
    }

    fn settle_entry(&mut self, index: u32, at: usize, batch: &mut Batch) {
        let ticket = self.next_ticket();
        let user = &mut self.users[index];
        let id = user.id.clone();
        let Some(item) = user.items.at_mut(at) else { return };
        item.ticket = Some(ticket);
        self.channels[item.channel].last_ticket = ticket;
        let through = item.content.through();
        batch.mark(Mark { channel: item.channel, member: item.member, through });
        batch.bytes += u64::from(item.bytes);
        batch.ops.push(Op::Append { user: id, offset: item.offset, entry: item.content.to_entry() });
        let bytes = u64::from(item.bytes);
        user.fresh_entries -= 1;
        user.fresh_bytes -= bytes;
        user.row.stored_entries += 1;
        user.row.stored_bytes += bytes;
        user.is_row_dirty = true;
        self.counters.appended += 1;
    }

    fn keep_work(&mut self, mut work: Box<Work>) {
        if self.spare_work.len() < SPARE_WORK_MAX {
            work.elided.clear();
            self.spare_work.push(work);
        }
    }

    // Rule: confirm only what is durable
    /// Watermarks are durable: owners are told, entries may leave memory.
    pub(crate) fn settled_durable(&mut self, marks: Vec<Mark>) {
        for mark in marks {
            let member = &mut self.channels[mark.channel].members[usize::from(mark.member)];
            member.durable = member.durable.max(mark.through);
            assert!(member.durable <= member.taken, "durable {} beyond {}", member.durable, member.taken);
            let user = member.user;
            self.confirm(mark.channel);
            self.drop_replaced(user);
            self.trim(user);
        }
    }

    /// Tells the owner what the slot holds durably, if that is news.
    fn confirm(&mut self, channel: u32) {
        let state = &self.channels[channel];
        if state.durable() > state.confirmed {
            self.send_confirm(channel);
        }
    }

    // Rule: watermark (an envelope at or below it is confirmed as soon as the watermark is durable)
    /// An envelope came that was known: its owner may not have heard of an earlier confirmation.
    pub(crate) fn confirm_again(&mut self, channel: u32, sequence: Sequence) {
        if self.channels[channel].durable() >= sequence {
            self.send_confirm(channel);
        }
    }

    fn send_confirm(&mut self, channel: u32) {
        let state = &mut self.channels[channel];
        let through = state.durable();
        state.confirmed = through;
        let body = Body::Confirm { conversation: state.conversation.clone(), slot: state.slot, through };
        let owner = state.owner;
        self.counters.confirms += 1;
        self.reply(owner, body);
    }
}

/// Where the entries begin that are in no record: they are at the end of the items.
fn first_fresh(user: &User) -> usize {
    user.items.len() - usize::try_from(user.fresh_entries).unwrap_or(usize::MAX)
}

fn fresh_items(user: &User) -> impl Iterator<Item = &Item> {
    (first_fresh(user)..user.items.len()).filter_map(|at| user.items.at(at))
}

/// True for an own copy that nobody lacks but the device that sent it, while the user has few entries in no record.
fn may_wait(user: &User, item: &Item) -> bool {
    let Content::Message { envelope, .. } = &item.content else { return false };
    user.fresh_entries <= OWN_COPIES_WAITING_MAX
        && user.fresh_bytes <= OWN_COPIES_BYTES_MAX
        && envelope.sender == user.id
        && user.has_active_device()
        && user
            .devices()
            .filter(|device| !device.detached)
            .all(|device| device.cursor >= item.offset || device.id == envelope.device)
}
