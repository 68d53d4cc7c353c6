//! What a thread of the load counted so far, handed in every minute, so that an interrupted run is not lost.

use super::{Fleet, MINUTE, Tally};

/// One thread's counts and distributions since the beginning.
#[derive(Debug)]
pub struct Part {
    /// The number of the thread's first member: which thread.
    pub first: u32,
    /// Minutes of the window that passed a minute ago or more.
    pub minutes: usize,
    /// The counts; of the minutes' distributions only those that were not handed in before.
    pub tally: Tally,
}

impl Fleet {
    /// Hands in what was counted a minute after each minute of the window has passed: by then most of its messages have arrived. The
    /// last ones are in the result.
    pub(super) fn hand_in(&mut self) {
        let (Some(parts), now) = (&self.plan.parts, self.clock.now()) else { return };
        let passed = now.since(self.tally.window.from).as_secs() / MINUTE.as_secs();
        let passed = usize::try_from(passed).unwrap_or(usize::MAX).saturating_sub(1);
        if passed <= self.handed_in || now >= self.tally.window.until {
            return;
        }
        let part = Part {
            first: self.plan.first,
            minutes: passed,
            tally: self.tally.of_minutes(self.handed_in..passed),
        };
        self.handed_in = passed;
        // Who does not listen any more has an error of its own.
        let _ = parts.send(part);
    }
}
