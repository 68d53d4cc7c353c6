//! The receiving half: what to apply, what to drop, what to acknowledge.
//!
//! Invariants
//! - A sequence is applied at most once, in ascending order, and never past a hole that nobody explained.
//! - Only what the caller has stored is acknowledged, and only what this connection has brought.
//! - The state as of `stored_through` can be had at any time: each unstored entry keeps its undo.

use super::event::ServerFault;
use crate::state::Applied;
use iris_protocol::{ConversationId, Mono, Offset, Sequence};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The place of an envelope.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: Offset,
    pub(super) sequence: Sequence,
    pub(super) previous: Sequence,
    /// The own copy of a message that this device sent, in its acceptance.
    pub(super) is_own: bool,
}

/// What to do with an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Apply,
    Duplicate,
}

/// What an entry is to its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A delivery or a gap.
    News,
    /// An own copy.
    Own,
    /// A duplicate: the caller has nothing to store for it.
    Silent,
}

/// How long acknowledgements may wait.
#[derive(Clone, Copy)]
pub(super) struct AckWaits {
    /// That of a delivery or a gap.
    pub(super) delivery: Duration,
    /// That of own copies alone.
    pub(super) own_copy: Duration,
}

/// How to take back what an unstored entry did.
enum Undo {
    Nothing,
    One(ConversationId, Option<Applied>),
    All(BTreeMap<ConversationId, Applied>),
}

/// An entry that was received and is not reported as stored.
struct Unstored {
    offset: Offset,
    undo: Undo,
    /// A duplicate: the caller has nothing to store for it.
    silent: bool,
    /// From before the history changed.
    rewound: bool,
    /// An own copy: its acknowledgement may wait.
    is_own: bool,
}

#[derive(Default)]
pub(super) struct Incoming {
    last: BTreeMap<ConversationId, Applied>,
    stored_through: Option<Offset>,
    unstored: VecDeque<Unstored>,
    /// Highest offset of this history, over all connections.
    seen: Offset,
    /// Highest offset of this connection.
    received: Offset,
    /// Highest offset acknowledged in this connection.
    acked: Offset,
    unacked_count: u32,
    /// How many of them are own copies.
    unacked_own_count: u32,
    ack_deadline: Option<Mono>,
}

impl Incoming {
    pub(super) fn new(last: BTreeMap<ConversationId, Applied>, stored_through: Option<Offset>) -> Self {
        let seen = stored_through.unwrap_or_default();
        Self { last, stored_through, seen, ..Self::default() }
    }

    pub(super) fn stored_through(&self) -> Option<Offset> {
        self.stored_through
    }

    pub(super) fn received(&self) -> Offset {
        self.received
    }

    pub(super) fn ack_deadline(&self) -> Option<Mono> {
        self.ack_deadline
    }

    /// True unless own copies are all that is stored and not acknowledged.
    pub(super) fn is_pressing(&self) -> bool {
        self.unacked_own_count < self.unacked_count.max(1)
    }

    /// True when nothing waits for the caller to store it.
    pub(super) fn all_stored(&self) -> bool {
        self.unstored.is_empty()
    }

    /// Starts a connection: nothing at or below `resumed_at` will come.
    pub(super) fn resume(&mut self, named: Option<Offset>, resumed_at: Offset) {
        if self.stored_through.is_none() {
            self.stored_through = Some(resumed_at);
            self.seen = resumed_at;
        }
        self.received = resumed_at;
        self.acked = named.map_or(resumed_at, |named| named.min(resumed_at));
        self.unacked_count = 0;
        self.unacked_own_count = 0;
        self.ack_deadline = None;
    }

    /// The server's history is another one: every conversation starts anew.
    pub(super) fn rewind(&mut self, resumed_at: Offset) {
        self.last.clear();
        self.stored_through = Some(resumed_at);
        self.seen = resumed_at;
        for entry in &mut self.unstored {
            entry.undo = Undo::Nothing;
            entry.rewound = true;
        }
    }

    /// Takes an envelope and says whether it is to be applied.
    pub(super) fn envelope(
        &mut self,
        conversation: &ConversationId,
        place: Place,
    ) -> Result<Verdict, ServerFault> {
        let before = self.last.get(conversation).copied();
        match before {
            Some(last) if place.sequence <= last.sequence => {
                self.take(place.offset, Undo::Nothing, Kind::Silent);
                return Ok(Verdict::Duplicate);
            }
            Some(last) if !last.rebase && place.previous > last.sequence => {
                return Err(ServerFault::SequenceSkipped {
                    conversation: conversation.clone(),
                    last: last.sequence,
                    previous: place.previous,
                    sequence: place.sequence,
                });
            }
            Some(_) | None => {}
        }
        if place.offset <= self.received {
            return Err(ServerFault::OffsetNotIncreasing { offset: place.offset, received: self.received });
        }
        self.set(conversation, place.sequence);
        let kind = if place.is_own { Kind::Own } else { Kind::News };
        self.take(place.offset, Undo::One(conversation.clone(), before), kind);
        Ok(Verdict::Apply)
    }

    /// Takes a gap: of one conversation, or (`None`) of all. False if it was taken before.
    pub(super) fn gap(
        &mut self,
        offset: Offset,
        conversation: Option<&ConversationId>,
        through: Sequence,
    ) -> bool {
        let again = match conversation {
            Some(_) => offset <= self.seen,
            None => self.rebased_at(offset),
        };
        if again {
            self.take(offset, Undo::Nothing, Kind::Silent);
            return false;
        }
        let undo = match conversation {
            None => self.rebase_all(),
            Some(conversation) => {
                let before = self.last.get(conversation).copied();
                let known = before.map_or(Sequence::NONE, |last| last.sequence);
                self.set(conversation, known.max(through));
                Undo::One(conversation.clone(), before)
            }
        };
        self.take(offset, undo, Kind::News);
        true
    }

    /// True if an unstored gap of all conversations stands at this offset.
    fn rebased_at(&self, offset: Offset) -> bool {
        self.unstored.iter().any(|entry| entry.offset == offset && matches!(entry.undo, Undo::All(_)))
    }

    fn set(&mut self, conversation: &ConversationId, sequence: Sequence) {
        let applied = Applied { sequence, rebase: false };
        if let Some(last) = self.last.get_mut(conversation) {
            *last = applied;
        } else {
            self.last.insert(conversation.clone(), applied);
        }
    }

    fn rebase_all(&mut self) -> Undo {
        let before = self.last.clone();
        for last in self.last.values_mut() {
            last.rebase = true;
        }
        Undo::All(before)
    }

    fn take(&mut self, offset: Offset, undo: Undo, kind: Kind) {
        let silent = kind == Kind::Silent;
        self.received = self.received.max(offset);
        self.seen = self.seen.max(offset);
        if silent && self.unstored.is_empty() {
            self.stored_through = self.stored_through.max(Some(offset));
            self.count_unacked(false);
            return;
        }
        let behind = self.unstored.back().is_some_and(|back| !back.rewound && offset <= back.offset);
        if silent && behind {
            self.count_unacked(false);
            return;
        }
        let is_own = kind == Kind::Own;
        self.unstored.push_back(Unstored { offset, undo, silent, rewound: false, is_own });
    }

    fn count_unacked(&mut self, is_own: bool) {
        self.unacked_count += 1;
        self.unacked_own_count += u32::from(is_own);
    }

    /// The caller has stored everything up to `through`. True if that moved the resume offset.
    pub(super) fn stored(&mut self, through: Offset) -> bool {
        if self.unstored.front().is_some_and(|front| front.rewound && front.offset <= through) {
            while self.unstored.pop_front_if(|front| front.rewound && front.offset <= through).is_some() {}
            return false;
        }
        while self.unstored.pop_front_if(|front| front.rewound).is_some() {}
        let before = self.stored_through;
        let done = |front: &mut Unstored| front.offset <= through || front.silent;
        while let Some(entry) = self.unstored.pop_front_if(done) {
            self.stored_through = self.stored_through.max(Some(entry.offset));
            self.count_unacked(entry.is_own);
        }
        self.stored_through != before
    }

    /// What may be acknowledged now and was not yet.
    fn ackable(&self) -> Option<Offset> {
        let through = self.stored_through?.min(self.received);
        (through > self.acked).then_some(through)
    }

    /// True when an Ack should go out without waiting; otherwise its deadline is set.
    pub(super) fn ack_is_due(&mut self, now: Mono, every: u32, waits: AckWaits) -> bool {
        if self.ackable().is_none() {
            return false;
        }
        let wait = if self.is_pressing() { waits.delivery } else { waits.own_copy };
        let latest = now.after(wait);
        self.ack_deadline = Some(self.ack_deadline.map_or(latest, |deadline| deadline.min(latest)));
        self.unacked_count >= every || self.ack_deadline.is_some_and(|deadline| deadline <= now)
    }

    /// The offset for an Ack that goes out now; `None`: nothing new to acknowledge.
    pub(super) fn take_ack(&mut self) -> Option<Offset> {
        self.unacked_count = 0;
        self.unacked_own_count = 0;
        self.ack_deadline = None;
        let through = self.ackable()?;
        assert!(Some(through) <= self.stored_through, "acknowledging {through}, which is not stored");
        self.acked = through;
        Some(through)
    }

    /// The last sequences as of `stored_through`.
    pub(super) fn last_as_stored(&self) -> BTreeMap<ConversationId, Applied> {
        let mut last = self.last.clone();
        for entry in self.unstored.iter().rev() {
            match &entry.undo {
                Undo::Nothing => {}
                Undo::One(conversation, Some(before)) => {
                    last.insert(conversation.clone(), *before);
                }
                Undo::One(conversation, None) => {
                    last.remove(conversation);
                }
                Undo::All(before) => last.clone_from(before),
            }
        }
        last
    }
}
