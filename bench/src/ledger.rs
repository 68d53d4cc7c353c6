//! Judges what arrived: lost, duplicated, reordered or corrupted, and holes in a conversation.
//!
//! The session under test refuses much of this by itself; the ledger believes nothing and counts again, from payloads
//! and sequences alone.
//!
//! Invariants
//! - Every message of a sender is exactly one of: arrived once in order, lost, duplicated, reordered, corrupted (a
//!   corrupted one is also lost, because nobody can say which it was).
//! - A ledger that saw nothing is not clean.

use crate::payload::Number;
use iris_protocol::Sequence;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What was wrong in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Faults {
    /// Sent and not refused, and never arrived.
    pub lost: u64,
    /// Arrived more than once.
    pub duplicated: u64,
    /// Arrived after a later one of the same sender, without having been rejected in between.
    pub reordered: u64,
    /// Not byte for byte what was sent, or by another sender than it says.
    pub corrupted: u64,
    /// Sequences of a conversation that a member never saw, or saw out of order.
    pub holes: u64,
}

impl Faults {
    /// Adds another part's.
    pub fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
        self.holes += other.holes;
    }

    /// True if nothing was wrong.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// The messages of one sender as one recipient sees them, by number.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    next: u64,
    missing: BTreeSet<u64>,
    excused: BTreeSet<u64>,
}

impl Stream {
    /// A message arrived.
    pub fn arrived(&mut self, Number(number): Number, faults: &mut Faults) {
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
        } else if !self.missing.remove(&number) {
            faults.duplicated += 1;
        } else if !self.excused.contains(&number) {
            faults.reordered += 1;
        }
    }

    /// The server refused a message for now: later ones may overtake it.
    pub fn excuse(&mut self, Number(number): Number) {
        self.excused.insert(number);
    }

    /// The server refused a message for good: it will not arrive, and that is not a loss.
    pub fn refused(&mut self, Number(number): Number) {
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
        } else {
            self.missing.remove(&number);
        }
    }

    /// Messages that have not arrived, of `sent` in all.
    pub fn missing_count(&self, sent: u64) -> u64 {
        let holes = u64::try_from(self.missing.len()).unwrap_or(u64::MAX);
        holes + sent.saturating_sub(self.next)
    }
}

/// A conversation as one member's device sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    last: Option<Sequence>,
}

impl Line {
    /// A line that begins where the conversation begins.
    pub fn from_the_start() -> Self {
        Self { last: Some(Sequence::NONE) }
    }

    /// A line that begins at whatever comes first: for a conversation with a past.
    pub fn from_anywhere() -> Self {
        Self { last: None }
    }

    /// An envelope of the conversation arrived.
    pub fn arrived(&mut self, sequence: Sequence, faults: &mut Faults) {
        let expected = self.last.map_or(sequence, Sequence::next);
        faults.holes += sequence.0.abs_diff(expected.0);
        self.last = Some(self.last.map_or(sequence, |last| last.max(sequence)));
    }

    /// The last sequence seen.
    pub fn last(&self) -> Sequence {
        self.last.unwrap_or(Sequence::NONE)
    }
}

#[cfg(test)]
mod tests;
