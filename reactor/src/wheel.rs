//! A coarse timing wheel over slots: which receiving connections might have fallen silent.
//!
//! Activity costs nothing here: a connection notes the tick in its slot, and only when its bucket comes up is it
//! decided whether it was silent long enough or goes into a later bucket.
//!
//! Invariants
//! - A slot is in at most one bucket, and stays there until the bucket comes up, whatever became of it.
//! - One turn looks at no more than a fixed number of slots.

use std::time::{Duration, Instant};

use crate::slots::{NONE, Slots};

/// Ticks in the time of silence: a connection falls back between one and nine eighths of it.
const SPAN: u32 = 8;
/// Buckets; a power of two above `SPAN`.
const BUCKETS: u32 = 16;
/// Slots looked at in one turn at most: about 10 us.
const LOOKS_MAX: u32 = 256;

const _: () = assert!(BUCKETS.is_power_of_two() && BUCKETS > SPAN);

pub(crate) struct Wheel {
    start: Instant,
    tick: Duration,
    heads: [u32; BUCKETS as usize],
    /// The first tick whose bucket is not finished.
    cursor: u32,
    waiting: u32,
}

impl Wheel {
    pub(crate) fn new(start: Instant, silence: Duration) -> Self {
        Self { start, tick: silence / SPAN, heads: [NONE; BUCKETS as usize], cursor: 0, waiting: 0 }
    }

    /// The tick of a moment.
    pub(crate) fn tick_at(&self, now: Instant) -> u32 {
        let ticks = now.saturating_duration_since(self.start).as_nanos() / self.tick.as_nanos().max(1);
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    /// True if there was silence for the whole time between two ticks.
    pub(crate) fn is_silence(since: u32, now: u32) -> bool {
        now.saturating_sub(since) >= SPAN
    }

    /// When the next bucket comes up, if anything waits in any.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        (self.waiting > 0).then(|| self.start + self.tick * self.cursor.saturating_add(1))
    }

    /// Puts a slot into the bucket of the moment at which it will have been silent for long enough.
    pub(crate) fn insert(&mut self, slots: &mut Slots, index: u32) {
        let slot = slots.at(index);
        if slot.flags.in_wheel() {
            return;
        }
        slot.flags.set_in_wheel(true);
        // Never into the bucket that is being emptied, however far behind the cursor is.
        let due = slot.last_tick.saturating_add(SPAN).clamp(self.cursor + 1, self.cursor + BUCKETS - 1);
        let bucket = (due & (BUCKETS - 1)) as usize;
        slot.wheel_next = self.heads[bucket];
        self.heads[bucket] = index;
        self.waiting += 1;
    }

    /// The next slot that has been silent for the whole time, up to the tick `now`; `looks` counts down the turn's allowance.
    pub(crate) fn next_silent(&mut self, slots: &mut Slots, now: u32, looks: &mut u32) -> Option<u32> {
        if self.waiting == 0 {
            self.cursor = self.cursor.max(now);
            return None;
        }
        self.cursor = self.cursor.max(now.saturating_sub(BUCKETS));
        while self.cursor < now {
            let bucket = (self.cursor & (BUCKETS - 1)) as usize;
            let index = self.heads[bucket];
            if index == NONE {
                self.cursor += 1;
                continue;
            }
            if *looks == 0 {
                return None;
            }
            *looks -= 1;
            let slot = slots.at(index);
            self.heads[bucket] = slot.wheel_next;
            slot.wheel_next = NONE;
            slot.flags.set_in_wheel(false);
            self.waiting -= 1;
            if !slot.is_receiving() {
                continue;
            }
            if Self::is_silence(slot.last_tick, now) {
                return Some(index);
            }
            self.insert(slots, index);
        }
        None
    }

    /// A turn's allowance.
    pub(crate) fn looks() -> u32 {
        LOOKS_MAX
    }
}

#[cfg(test)]
mod tests;
