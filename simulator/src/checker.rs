//! The claims, checked on what devices saw and disks held. Independent of the shard's code.
//!
//! - C1: every accepted message is applied by every device of its members, or that device was told of a gap with a cause.
//! - C2: a device applies a sequence once, and a message has one sequence.
//! - C3: a device applies a conversation in ascending order, and goes on right behind what it has or was told of.
//! - C4: sequences are dense, and each is one message.
//! - C5: what is applied was sent, by that sender, with that payload, to that conversation.
//! - C6: an acknowledged message is in the synced image at that moment.
//! - C8: a connection has no more to acknowledge than its window, a mail ring never more than its room, an inbox and an
//!   owner never more than their limits; and who is refused for a limit, is refused for one that was reached.
//! - C9: who is told of a read that failed is the one whose read it was.

use base::{Base, UserBase};
use bytes::Bytes;
use inboxes::{Inboxes, Row};
use iris_protocol::limits::Limits;
use iris_protocol::wire::Rejected;
use iris_protocol::{
    ConversationId, DeviceId, MessageId, Mono, Offset, Placement, RejectCode, Sequence, ShardId, UserId, Wall,
};
use iris_shard::io::ConnId;
use iris_shard::mail::Body;
use iris_storage::load::LoadRequest;
use iris_storage::op::{CursorRow, Entry, Op};
use marks::MarkChecker;
use progress::Progress;
use rooms::Rooms;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use wires::Wires;

pub use progress::Places;
pub use wires::Hello;

pub mod base;
mod gaps;
mod inboxes;
mod marks;
mod progress;
mod rooms;
mod wires;

/// A claim that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The claim: C1 to C9.
    pub claim: &'static str,
    /// What was seen.
    pub what: String,
}

/// A message's place.
pub type Place = (ConversationId, Sequence);

/// What is done may rest on a state that is so old: mail to a core that stalls, and what queues behind it.
const NEWS: Duration = Duration::from_secs(5);

/// Rare things that only the checkers see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rare {
    /// A full inbox refused.
    pub inbox_full: u64,
    /// Of these: it had no device.
    pub unclaimed_full: u64,
    /// Of these: it had room for more messages, but not for their bytes.
    pub inbox_full_bytes: u64,
    /// Of these: it had no device.
    pub unclaimed_full_bytes: u64,
    /// Of the full ones: it had room, but all unclaimed inboxes together had not.
    pub unclaimed_full_together: u64,
    /// A device found no place.
    pub too_many_devices: u64,
    /// A device was taken away.
    pub unlinked: u64,
    /// A device that was taken away was linked again.
    pub relinked: u64,
    /// A device was told that it had been detached.
    pub detached_back: u64,
    /// A device was told that it had more than it named.
    pub already_acked: u64,
    /// A device was told of expired messages.
    pub expired_gap: u64,
    /// A device was told of own copies that its inbox did not take.
    pub own_copy_gap: u64,
    /// An acknowledgement of what was never sent came in.
    pub ack_too_high: u64,
    /// Another payload under a known id was refused.
    pub conflict: u64,
    /// A message was refused because its sender was too fast.
    pub rate_limited: u64,
}

/// Everything that was seen so far.
#[derive(Default)]
pub struct Checker {
    sent: BTreeMap<(ConversationId, MessageId), (UserId, Bytes)>,
    durable: BTreeMap<(ConversationId, MessageId), Sequence>,
    /// What was on the disk before the host last lost writes: it may be there, or not.
    before: BTreeMap<(ConversationId, MessageId), Sequence>,
    /// What the host left when it last lost writes.
    left: Option<Places>,
    accepted: BTreeMap<Place, MessageId>,
    progress: Progress,
    wires: Wires,
    inboxes: Inboxes,
    rooms: Rooms,
    marks: MarkChecker,
    violations: Vec<Violation>,
    acknowledgements: u64,
    /// Users of whom a read failed since the last boot.
    unreadable: BTreeSet<UserId>,
    now: Mono,
    rare: Rare,
}

impl Checker {
    /// The limits in force, and how many shards there are.
    pub fn limits(&mut self, limits: Limits, shards: u16) {
        self.inboxes.set(limits, shards);
        self.rooms.set(limits);
    }

    /// It is later.
    pub fn at(&mut self, now: Mono, wall: Wall) {
        self.now = now;
        self.inboxes.at(now, wall);
    }

    /// A device says Hello.
    pub fn logged_in(&mut self, conn: ConnId, hello: &Hello<'_>) {
        self.wires.logged_in(conn, hello, self.now);
    }

    /// A read fails.
    pub fn unreadable(&mut self, request: &LoadRequest) {
        match request {
            LoadRequest::User(user) | LoadRequest::Inbox { user, .. } => {
                self.unreadable.insert(user.clone());
            }
            LoadRequest::Watermark(..)
            | LoadRequest::Conversation(_)
            | LoadRequest::Dedup(_)
            | LoadRequest::Expired { .. } => {}
        }
    }

    /// A device is told that what it needs cannot be read: a read of its own user failed.
    pub fn told_unreadable(&mut self, conn: ConnId) {
        let Some(wire) = self.wires.get(conn) else { return };
        if !self.unreadable.contains(&wire.user) {
            let what = format!("{} is told of a read that failed for somebody else", wire.device);
            self.violate("C9", what);
        }
    }

    /// The process stopped.
    pub fn stopped(&mut self) {
        self.wires.stopped(self.now);
        self.inboxes.stopped();
        self.rooms.stopped(self.now);
        self.marks.stopped();
        self.progress.stopped();
        self.unreadable.clear();
    }

    /// The server sends a delivery, or an acceptance that counts as one.
    pub fn delivered(&mut self, conn: ConnId, offset: Offset, place: (&ConversationId, Sequence)) {
        let Some(wire) = self.wires.get(conn) else { return };
        let (user, device) = (wire.user.clone(), wire.device.clone());
        self.marks.delivered(&user, offset, place);
        if self.progress.was_linked(&device) && !self.progress.is_linked(&device) {
            self.violate("C5", format!("{device} was taken away, and is sent {} {}", place.0, place.1));
        }
        let found = self.wires.delivered(conn, offset, place);
        self.note(found);
    }

    /// The sequence that a delivery names as the one before it: in a direct conversation, no member misses any.
    pub fn follows(&mut self, conversation: &ConversationId, sequence: Sequence, previous: Sequence) {
        // A home that lost more than the owner misses it in front of the first message since.
        let left = self.left.as_ref().map(|left| left.get(conversation).copied().unwrap_or_default());
        let is_judged = left.is_none_or(|left| sequence > left.next());
        if previous.next() != sequence && is_judged {
            self.violate("C3", format!("{conversation} {sequence} is said to follow {previous}"));
        }
    }

    /// The host lost writes, and says so: what was there before may be gone. What is stored from now on may not, for the
    /// devices that are linked on the disk and all that will be.
    pub fn rewound(&mut self, base: Base) {
        self.before.append(&mut self.durable);
        self.accepted.clear();
        self.progress.rewound(&base.devices());
        self.wires = Wires::default();
        self.marks = MarkChecker::rewound(&base);
        for UserBase { user, devices, .. } in &base.users {
            for (device, row) in devices {
                self.wires.cursor_stored(&format!("{user}/{device}"), row.acked_through);
            }
        }
        self.inboxes.rewound(&base);
        self.left = Some(base.last);
    }

    /// A device exists. It gets messages once it is linked.
    pub fn device(&mut self, name: String, user: UserId) {
        self.progress.add(name, user);
    }

    /// A message is sent for the first time.
    pub fn sent(&mut self, conversation: ConversationId, id: MessageId, sender: UserId, payload: Bytes) {
        self.sent.insert((conversation, id), (sender, payload));
    }

    /// A shard emits operations for its next record.
    pub fn emitted(&mut self, shard: ShardId, ops: &[Op], placement: &Placement) {
        for op in ops {
            match op {
                Op::Accept { envelope, .. } => {
                    let found = self.rooms.accepts(shard, envelope, placement, self.now);
                    self.note(found);
                }
                Op::Remove { user, offsets } => {
                    for offset in offsets {
                        self.wires.dropped(user, *offset);
                    }
                }
                Op::Cursor { user, device, row } => {
                    let name = format!("{user}/{device}");
                    if row.detached && row.acked_through > self.wires.acked_of(&name) {
                        self.progress.returns(&name, row.acked_through);
                    }
                }
                Op::Append { user, offset, entry: Entry::Gap { .. } } => self.wires.dropped(user, *offset),
                Op::Append { entry: Entry::Message { .. }, .. }
                | Op::Confirm { .. }
                | Op::Elide { .. }
                | Op::User { .. }
                | Op::Unlink { .. }
                | Op::DedupFloor { .. } => {}
            }
        }
    }

    /// Mail is taken.
    pub fn mail(&mut self, from: ShardId, to: ShardId, body: &Body) {
        self.rooms.mail(from, to, body);
    }

    /// A synced record of a shard holds these operations.
    pub fn recorded(&mut self, shard: ShardId, ops: &[Op]) {
        for op in ops {
            self.recorded_op(shard, op);
            self.marks.stored(op);
        }
        if let Some(forgotten) = self.marks.forgotten() {
            self.violate("C2", forgotten);
        }
    }

    fn recorded_op(&mut self, shard: ShardId, op: &Op) {
        match op {
            Op::Accept { envelope, .. } => {
                self.stored(&envelope.conversation, envelope.message_id, envelope.sequence);
                self.inboxes.accepted(envelope);
            }
            Op::Append { user, offset, entry } => {
                let (conversation, through) = place_of(entry);
                self.rooms.confirmed(shard, user, conversation, through);
                let found = self.inboxes.appended(user, *offset, entry);
                self.note(found);
            }
            Op::Elide { user, watermarks } => {
                for (conversation, through) in watermarks {
                    self.rooms.confirmed(shard, user, conversation, *through);
                    self.inboxes.elided(user, conversation, *through);
                }
            }
            Op::Remove { user, offsets } => {
                let found = self.inboxes.removed(user, offsets);
                self.note(found);
            }
            Op::Cursor { user, device, row } => self.recorded_cursor(user, device, row),
            Op::Unlink { user, device } => {
                self.inboxes.unlinked(user, device);
                let name = format!("{user}/{device}");
                self.progress.unlinked(&name);
                self.wires.unlinked(&name);
                self.rare.unlinked += 1;
            }
            Op::Confirm { .. } | Op::User { .. } | Op::DedupFloor { .. } => {}
        }
    }

    fn recorded_cursor(&mut self, user: &UserId, device: &DeviceId, row: &CursorRow) {
        let name = format!("{user}/{device}");
        // Above what it acknowledged it goes by its return alone.
        let is_return = row.detached && row.acked_through > self.wires.acked_of(&name);
        if is_return {
            self.progress.returned(&name, row.acked_through);
            self.inboxes.returned(user, device);
        }
        self.wires.cursor_stored(&name, row.acked_through);
        let silence = self.wires.silence(&name, self.now);
        // A device that was detached and is back holds entries; its row says so once it has acknowledged the gap.
        let is_back = |other: &DeviceId| self.wires.is_back(&format!("{user}/{other}"));
        let has_one_back = self.inboxes.detached_of(user).any(|other| other != device && is_back(other));
        let (row, found) = self.inboxes.cursor(user, device, row, silence);
        self.note(found);
        if let Row::Linked { is_first, is_again } = row {
            self.rare.relinked += u64::from(is_again);
            self.progress.linked(&name, is_first && !has_one_back);
        }
    }

    /// A synced record holds this message.
    fn stored(&mut self, conversation: &ConversationId, id: MessageId, sequence: Sequence) {
        let before = self.durable.insert((conversation.clone(), id), sequence);
        self.progress.stored(conversation, sequence);
        if before.is_some_and(|before| before != sequence) {
            self.violate("C2", format!("{id} in {conversation} was stored as {before:?} and as {sequence}"));
        }
    }

    /// The server refuses a message.
    pub fn rejected(&mut self, rejected: &Rejected) {
        let Some(id) = rejected.message_id.as_ref().and_then(|id| MessageId::parse(id).ok()) else { return };
        match RejectCode::from_number(rejected.code) {
            // It may not say that the outcome is unknown of one that is on the disk.
            Some(RejectCode::MessageIdTooOld) if self.is_stored(id) => {
                self.violate("C2", format!("{id} is on the disk, and was called too old to be known"));
            }
            Some(RejectCode::InboxFull) => self.refused_full(id),
            Some(RejectCode::IdempotencyConflict) => self.rare.conflict += 1,
            Some(RejectCode::RateLimited) => self.rare.rate_limited += 1,
            Some(_) | None => {}
        }
    }

    /// A request that no session knows is refused: one that no message of this world explains is a fault.
    pub fn refused_request(&mut self, device: &str, code: u32) {
        match RejectCode::from_number(code) {
            Some(RejectCode::IdempotencyConflict | RejectCode::RateLimited | RejectCode::UnknownDevice) => {}
            code => self.violate("C1", format!("{device}: a request is refused with {code:?}")),
        }
    }

    /// True if a message of this id is on a disk.
    pub fn is_stored(&self, id: MessageId) -> bool {
        self.durable.keys().any(|(_, stored)| *stored == id)
    }

    /// A refusal of a full inbox comes before acceptance, and from an inbox that is full.
    fn refused_full(&mut self, id: MessageId) {
        self.rare.inbox_full += 1;
        if self.is_stored(id) {
            return self.violate("C2", format!("{id} is on the disk, and was refused by a full inbox"));
        }
        let mut sent = self.sent.iter().filter(|((_, sent), _)| *sent == id);
        let Some(((conversation, _), (sender, _))) = sent.next() else { return };
        let Some((low, high)) = conversation.direct_users() else { return };
        let to = if low == *sender { high } else { low };
        match self.inboxes.refused_full(&to) {
            Ok(full) => {
                self.rare.unclaimed_full += u64::from(full.is_unclaimed);
                self.rare.inbox_full_bytes += u64::from(full.by_bytes);
                self.rare.unclaimed_full_bytes += u64::from(full.by_bytes && full.is_unclaimed);
                self.rare.unclaimed_full_together += u64::from(full.by_all);
            }
            Err(violation) => self.note(Some(violation)),
        }
    }

    /// The server acknowledges: judged against the synced image at this moment.
    pub fn acknowledged(&mut self, conversation: &ConversationId, id: MessageId, sequence: Sequence) {
        self.acknowledgements += 1;
        if !self.is_at(conversation, id, sequence) {
            self.violate(
                "C6",
                format!("{id} was acknowledged as {conversation} {sequence}, and is not on the disk"),
            );
        }
        let before = self.accepted.insert((conversation.clone(), sequence), id);
        if before.is_some_and(|before| before != id) {
            self.violate("C4", format!("{conversation} {sequence} is {before:?} and {id}"));
        }
    }

    /// A device applies a message.
    pub fn applied(
        &mut self,
        device: &str,
        place: (&ConversationId, Sequence),
        id: MessageId,
        payload: &Bytes,
    ) {
        let (conversation, sequence) = place;
        if !self.progress.was_linked(device) {
            let what = format!("{device} got {conversation} {sequence} and is not linked on the disk");
            self.violate("C6", what);
        }
        let found = self.progress.applied(device, conversation, sequence);
        self.note(found);
        let user = self.progress.user_of(device);
        match self.sent.get(&(conversation.clone(), id)) {
            None => self.violate("C5", format!("{device} got {id} in {conversation}, which nobody sent")),
            Some((_, sent)) if sent != payload => {
                self.violate("C5", format!("{device} got {id} with another payload"));
            }
            Some(_) if !user.is_some_and(|user| conversation.is_direct_member(user)) => {
                self.violate("C5", format!("{device} is no member of {conversation}"));
            }
            Some(_) => {}
        }
        if !self.is_at(conversation, id, sequence) {
            self.violate("C6", format!("{device} got {conversation} {sequence} before it was on the disk"));
        }
    }

    /// True if this is, or before the host lost writes was, on the disk.
    fn is_at(&self, conversation: &ConversationId, id: MessageId, sequence: Sequence) -> bool {
        let place = (conversation.clone(), id);
        self.durable.get(&place) == Some(&sequence) || self.before.get(&place) == Some(&sequence)
    }

    /// Something that must never happen without an injected cause.
    pub fn violate(&mut self, claim: &'static str, what: String) {
        self.violations.push(Violation { claim, what });
    }

    /// True if every device has everything that was stored.
    pub fn has_converged(&self) -> bool {
        self.progress.missing().is_none()
    }

    /// The end of a run: nothing is missing, and sequences are dense.
    pub fn finish(mut self) -> (Vec<Violation>, u64) {
        if let Some(missing) = self.progress.missing() {
            self.violate("C1", missing);
        }
        let mut by_conversation: BTreeMap<&ConversationId, BTreeSet<Sequence>> = BTreeMap::new();
        let mut twice = Vec::new();
        for ((conversation, id), sequence) in &self.durable {
            if !by_conversation.entry(conversation).or_default().insert(*sequence) {
                twice.push(format!("{conversation} {sequence} is {id} and another message"));
            }
        }
        let holes: Vec<String> = by_conversation
            .iter()
            .filter(|(_, sequences)| {
                let span = sequences.first().zip(sequences.last()).map(|(first, last)| last.0 - first.0 + 1);
                span != Some(sequences.len() as u64)
            })
            .map(|(conversation, sequences)| {
                format!("{conversation} has {} messages, last {:?}", sequences.len(), sequences.last())
            })
            .collect();
        for what in twice.into_iter().chain(holes) {
            self.violate("C4", what);
        }
        (self.violations, self.acknowledgements)
    }

    /// What was found so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Rare things so far.
    pub fn rare(&self) -> Rare {
        self.rare
    }

    /// Messages that were on the disk at some time: what a host lost again counts, too.
    pub fn stored_count(&self) -> usize {
        self.before.len() + self.durable.len()
    }
}

/// How far an entry of an inbox takes its conversation.
fn place_of(entry: &Entry) -> (&ConversationId, Sequence) {
    match entry {
        Entry::Message { envelope, .. } => (&envelope.conversation, envelope.sequence),
        Entry::Gap { conversation, through, .. } => (conversation, *through),
    }
}

#[cfg(test)]
mod tests;
