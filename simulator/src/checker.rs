//! The claims, checked on what devices saw and disks held. Independent of the shard's code.
//!
//! - C1: every accepted message is applied by every device of its members.
//! - C2: a device applies a sequence once, and a message has one sequence.
//! - C3: a device applies a conversation in ascending order.
//! - C4: sequences are dense, and each is one message.
//! - C5: what is applied was sent, by that sender, with that payload, to that conversation.
//! - C6: an acknowledged message is in the synced image at that moment.
//! - C8: a connection has no more to acknowledge than its window, a mail ring never more than its room.

use bytes::Bytes;
use iris_protocol::wire::Rejected;
use iris_protocol::{ConversationId, MessageId, Offset, RejectCode, Sequence, UserId};
use iris_shard::io::ConnId;
use iris_storage::op::Op;
use marks::MarkChecker;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

mod marks;

/// A claim that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The claim: C1 to C8.
    pub claim: &'static str,
    /// What was seen.
    pub what: String,
}

type Place = (ConversationId, Sequence);

/// One connection, as the server's side of the wire saw it.
struct Wire {
    user: UserId,
    window: usize,
    last: Offset,
    sequences: BTreeMap<ConversationId, Sequence>,
    unacked: VecDeque<Offset>,
}

/// Everything that was seen so far.
#[derive(Default)]
pub struct Checker {
    sent: BTreeMap<(ConversationId, MessageId), (UserId, Bytes)>,
    durable: BTreeMap<(ConversationId, MessageId), Sequence>,
    /// What was on the disk before the host last lost writes: it may be there, or not.
    before: BTreeMap<(ConversationId, MessageId), Sequence>,
    /// The first sequence of each conversation since then.
    first: BTreeMap<ConversationId, Sequence>,
    /// The last sequence of each conversation on the disk.
    last: BTreeMap<ConversationId, Sequence>,
    accepted: BTreeMap<Place, MessageId>,
    applied: BTreeMap<String, BTreeMap<ConversationId, Sequence>>,
    members: BTreeMap<String, UserId>,
    /// Linked devices, with the last sequence of each conversation when they were.
    floors: BTreeMap<String, BTreeMap<ConversationId, Sequence>>,
    wires: BTreeMap<ConnId, Wire>,
    marks: MarkChecker,
    violations: Vec<Violation>,
    acknowledgements: u64,
}

impl Checker {
    /// A device says Hello.
    pub fn logged_in(&mut self, conn: ConnId, user: &UserId, window: u32) {
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        let wire = Wire {
            user: user.clone(),
            window,
            last: Offset::NONE,
            sequences: BTreeMap::new(),
            unacked: VecDeque::new(),
        };
        self.wires.insert(conn, wire);
    }

    /// The process stopped.
    pub fn stopped(&mut self) {
        self.wires.clear();
        self.marks.stopped();
    }

    /// The server sends a delivery, or an acceptance that counts as one.
    pub fn delivered(&mut self, conn: ConnId, offset: Offset, place: (&ConversationId, Sequence)) {
        let (conversation, sequence) = place;
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        let before = std::mem::replace(&mut wire.last, offset);
        let known = wire.sequences.insert(conversation.clone(), sequence).unwrap_or_default();
        wire.unacked.push_back(offset);
        let (unacked, window) = (wire.unacked.len(), wire.window);
        self.marks.delivered(&wire.user, offset, place);
        if before >= offset {
            self.violate("C2", format!("{conn:?} was sent offset {offset} after {before}"));
        }
        if known >= sequence {
            self.violate("C2", format!("{conn:?} was sent {conversation} {sequence} after {known}"));
        }
        if unacked > window {
            self.violate(
                "C8",
                format!("{conn:?} has {unacked} deliveries to acknowledge, its window is {window}"),
            );
        }
    }

    /// A device's acknowledgement arrives.
    pub fn acked(&mut self, conn: ConnId, through: Offset) {
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        while wire.unacked.front().is_some_and(|offset| *offset <= through) {
            wire.unacked.pop_front();
        }
    }

    /// The host lost writes, and says so: what was there before may be gone. What is stored from now on may not, for the
    /// devices that are linked on the disk and all that will be.
    pub fn rewound(&mut self, linked: BTreeSet<String>) {
        self.before.append(&mut self.durable);
        self.accepted.clear();
        self.first.clear();
        self.last.clear();
        self.applied.values_mut().for_each(BTreeMap::clear);
        self.floors = linked.into_iter().map(|device| (device, BTreeMap::new())).collect();
        self.marks = MarkChecker::rewound();
    }

    /// A device exists. It gets messages once it is linked.
    pub fn device(&mut self, name: String, user: UserId) {
        self.applied.insert(name.clone(), BTreeMap::new());
        self.members.insert(name, user);
    }

    /// A message is sent for the first time.
    pub fn sent(&mut self, conversation: ConversationId, id: MessageId, sender: UserId, payload: Bytes) {
        self.sent.insert((conversation, id), (sender, payload));
    }

    /// A synced record holds these operations.
    pub fn recorded(&mut self, ops: &[Op]) {
        for op in ops {
            if let Op::Accept { envelope, .. } = op {
                self.stored(&envelope.conversation, envelope.message_id, envelope.sequence);
            }
            if let Op::Cursor { user, device, .. } = op {
                self.linked(user, format!("{user}/{device}"));
            }
            self.marks.stored(op);
        }
        if let Some(forgotten) = self.marks.forgotten() {
            self.violate("C2", forgotten);
        }
    }

    /// A synced record holds a device. The first one of its user has everything from the first message on, another one
    /// what is stored from now on.
    pub fn linked(&mut self, user: &UserId, device: String) {
        if self.floors.contains_key(&device) {
            return;
        }
        let is_first = !self.floors.keys().any(|other| self.members.get(other) == Some(user));
        let floor = if is_first { BTreeMap::new() } else { self.last.clone() };
        self.floors.insert(device, floor);
    }

    /// A synced record holds this message.
    fn stored(&mut self, conversation: &ConversationId, id: MessageId, sequence: Sequence) {
        self.first.entry(conversation.clone()).or_insert(sequence);
        let last = self.last.entry(conversation.clone()).or_default();
        *last = (*last).max(sequence);
        let before = self.durable.insert((conversation.clone(), id), sequence);
        if before.is_some_and(|before| before != sequence) {
            self.violate("C2", format!("{id} in {conversation} was stored as {before:?} and as {sequence}"));
        }
    }

    /// The server refuses a message: it may not say that the outcome is unknown of one that is on the disk.
    pub fn rejected(&mut self, rejected: &Rejected) {
        let is_too_old = rejected.code == RejectCode::MessageIdTooOld.number();
        let id = rejected.message_id.as_ref().and_then(|id| MessageId::parse(id).ok());
        if let Some(id) = id.filter(|_| is_too_old)
            && self.durable.keys().any(|(_, stored)| *stored == id)
        {
            self.violate("C2", format!("{id} is on the disk, and was called too old to be known"));
        }
    }

    /// The server acknowledges: judged against the synced image at this moment.
    pub fn acknowledged(&mut self, conversation: &str, id: MessageId, sequence: Sequence) {
        self.acknowledgements += 1;
        let Ok(conversation) = ConversationId::parse(conversation) else {
            return self.violate("C5", format!("{id} was accepted into {conversation:?}"));
        };
        if !self.is_stored(&conversation, id, sequence) {
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
        let first = self.first.get(conversation).copied();
        let is_new = first.is_some_and(|first| sequence >= first);
        let Some(last) = self.applied.get_mut(device) else { return };
        let before = if is_new { last.insert(conversation.clone(), sequence) } else { None };
        match (before, self.floors.get(device)) {
            (_, None) => {
                let what = format!("{device} got {conversation} {sequence} and is not linked on the disk");
                self.violate("C6", what);
            }
            (Some(before), Some(_)) if before.next() != sequence => {
                self.violate("C3", format!("{device} applied {conversation} {sequence} after {before}"));
            }
            (None, Some(floor)) => {
                // What was stored before it was linked may come, then everything.
                let floor = floor.get(conversation).copied().unwrap_or_default();
                if is_new && sequence > floor.next().max(first.unwrap_or_default()) {
                    let what =
                        format!("{device} begins {conversation} at {sequence}, it was linked at {floor}");
                    self.violate("C1", what);
                }
            }
            (Some(_), Some(_)) => {}
        }
        let user = self.members.get(device);
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
        if !self.is_stored(conversation, id, sequence) {
            self.violate("C6", format!("{device} got {conversation} {sequence} before it was on the disk"));
        }
    }

    /// True if this is, or before the host lost writes was, on the disk.
    fn is_stored(&self, conversation: &ConversationId, id: MessageId, sequence: Sequence) -> bool {
        let place = (conversation.clone(), id);
        self.durable.get(&place) == Some(&sequence) || self.before.get(&place) == Some(&sequence)
    }

    /// Something that must never happen without an injected cause.
    pub fn violate(&mut self, claim: &'static str, what: String) {
        self.violations.push(Violation { claim, what });
    }

    /// True if every device has everything that was stored.
    pub fn has_converged(&self) -> bool {
        self.missing().is_none()
    }

    /// The first device that lacks something.
    fn missing(&self) -> Option<String> {
        for (device, applied) in &self.applied {
            let (Some(user), Some(floor)) = (self.members.get(device), self.floors.get(device)) else {
                continue;
            };
            for (conversation, sequence) in &self.last {
                let has = applied.get(conversation).or(floor.get(conversation)).copied().unwrap_or_default();
                if conversation.is_direct_member(user) && has < *sequence {
                    return Some(format!("{device} has {conversation} through {has}, stored is {sequence}"));
                }
            }
        }
        None
    }

    /// The end of a run: nothing is missing, and sequences are dense.
    pub fn finish(mut self) -> (Vec<Violation>, u64) {
        if let Some(missing) = self.missing() {
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

    /// Messages on the disk.
    pub fn stored_count(&self) -> usize {
        self.durable.len()
    }
}

#[cfg(test)]
mod tests;
