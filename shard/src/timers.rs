//! Deadlines: queues of one constant delay, and a wheel for sessions.
//!
//! Invariants
//! - Adding and taking a deadline costs O(1), and an idle session costs eight bytes.
//! - A wheel entry may be stale: its owner compares the stamp.

use crate::memory::block_bytes;
use iris_protocol::Mono;
use std::collections::VecDeque;
use std::time::Duration;

/// Things that are due a constant delay after they were added.
#[derive(Debug)]
pub(crate) struct Delayed<T> {
    queue: VecDeque<(Mono, T)>,
    delay: Duration,
}

impl<T> Delayed<T> {
    pub(crate) fn new(delay: Duration) -> Self {
        Self { queue: VecDeque::new(), delay }
    }

    pub(crate) fn push(&mut self, now: Mono, item: T) {
        let due = now.after(self.delay);
        assert!(self.queue.back().is_none_or(|(last, _)| *last <= due), "time went back to {now:?}");
        self.queue.push_back((due, item));
    }

    pub(crate) fn next_due(&self) -> Option<Mono> {
        self.queue.front().map(|(due, _)| *due)
    }

    /// The first item, if it is due at `until`.
    pub(crate) fn pop_due(&mut self, until: Mono) -> Option<T> {
        if self.next_due()? > until {
            return None;
        }
        self.queue.pop_front().map(|(_, item)| item)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

/// One tick: 2^27 ns, about 134 ms: heartbeats and token ends are that exact.
const TICK_SHIFT: u32 = 27;
/// Buckets: the wheel turns once in about 1,100 s, more than the longest heartbeat and its answer.
const BUCKETS: u64 = 8192;
/// A bucket keeps room for this many entries when it was emptied.
const BUCKET_KEEP: usize = 64;

/// An entry: whose, and the stamp it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) session: u32,
    pub(crate) stamp: u32,
}

/// The session wheel.
#[derive(Debug)]
pub(crate) struct Wheel {
    buckets: Vec<Vec<Alarm>>,
    /// Every tick below was taken.
    tick: u64,
    /// The lowest tick that may hold something; `u64::MAX`: nothing.
    next: u64,
    entries: usize,
}

impl Wheel {
    pub(crate) fn new(now: Mono) -> Self {
        let buckets = (0..BUCKETS).map(|_| Vec::new()).collect();
        Self { buckets, tick: now.0 >> TICK_SHIFT, next: u64::MAX, entries: 0 }
    }

    /// Adds an alarm at the first tick that does not lie before `at`; farther than a turn: at its end.
    pub(crate) fn arm(&mut self, at: Mono, alarm: Alarm) {
        let wanted = (at.0 >> TICK_SHIFT).saturating_add(1);
        let tick = wanted.clamp(self.tick, self.tick + BUCKETS - 1);
        self.bucket(tick).push(alarm);
        self.entries += 1;
        self.next = self.next.min(tick);
    }

    /// Memory of the wheel, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let buckets = self.buckets.iter().map(|bucket| block_bytes(bucket.capacity() * size_of::<Alarm>()));
        block_bytes(self.buckets.capacity() * size_of::<Vec<Alarm>>()) + buckets.sum::<u64>()
    }

    pub(crate) fn next_due(&self) -> Option<Mono> {
        (self.entries > 0).then_some(Mono(self.next.saturating_mul(1 << TICK_SHIFT)))
    }

    /// Moves everything due at `now` to `due`.
    pub(crate) fn take(&mut self, now: Mono, due: &mut Vec<Alarm>) {
        let last = now.0 >> TICK_SHIFT;
        while self.entries > 0 && self.next <= last {
            let tick = self.next;
            let bucket = self.bucket(tick);
            let taken = bucket.len();
            due.append(bucket);
            bucket.shrink_to(BUCKET_KEEP);
            self.entries -= taken;
            self.tick = tick + 1;
            self.next = self.find_from(tick + 1);
        }
        self.tick = self.tick.max(last);
    }

    fn find_from(&self, tick: u64) -> u64 {
        if self.entries == 0 {
            return u64::MAX;
        }
        let found = (tick..tick + BUCKETS).find(|tick| !self.buckets[bucket_index(*tick)].is_empty());
        found.unwrap_or(u64::MAX)
    }

    fn bucket(&mut self, tick: u64) -> &mut Vec<Alarm> {
        &mut self.buckets[bucket_index(tick)]
    }
}

fn bucket_index(tick: u64) -> usize {
    usize::try_from(tick % BUCKETS).unwrap_or(0)
}

#[cfg(test)]
mod tests;
