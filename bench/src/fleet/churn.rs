//! Connections that the load ends by itself, or does not read from: one by one, or all at once.
//!
//! Invariants
//! - A member that was cut off comes back by its session's own plan, with what was unanswered.
//! - Half of the endings are resets, so that frames are lost on their way in both directions.

use super::Fleet;
use crate::error::BenchError;
use crate::floor::spread::{sender, stride};
use crate::links::{Ending, Links, Wires};
use crate::orders::Orders;
use iris_protocol::Mono;
use std::time::Duration;

/// How many connections were ended, and when the next one is.
#[derive(Debug, Default)]
pub(super) struct Churn {
    count: u64,
    next: Option<Mono>,
    /// How often all of them were ended.
    cuts: u64,
}

impl Churn {
    /// None so far; what was ordered before is not done again.
    pub(super) fn after(orders: &Orders) -> Self {
        Self { cuts: orders.cuts(), ..Self::default() }
    }
}

impl Fleet {
    /// Ends the connections that are due.
    pub(super) fn churn(&mut self, wires: &mut Wires, now: Mono) {
        let cuts = self.plan.orders.cuts();
        if std::mem::replace(&mut self.churn.cuts, cuts) != cuts {
            self.hang_up_all(wires, now);
        }
        if self.plan.churn <= 0.0 {
            return;
        }
        let pause = Duration::from_secs_f64(1.0 / self.plan.churn);
        let mut next = self.churn.next.unwrap_or_else(|| now.after(pause));
        let members = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        while next <= now {
            let index = sender(self.churn.count, members, stride(members));
            let how = if self.churn.count.is_multiple_of(2) { Ending::Abort } else { Ending::Close };
            self.hang_up(wires, index as usize, how, now);
            self.churn.count += 1;
            next = next.after(pause);
        }
        self.churn.next = Some(next);
    }

    /// Ends all connections with a reset; the sessions plan their return.
    ///
    /// # Errors
    /// The ring failed.
    pub fn cut_off(&mut self, links: &mut Links) -> Result<(), BenchError> {
        let now = self.clock.now();
        self.hang_up_all(links.wires(), now);
        self.pump(links, now)
    }

    /// Inside the window of a slow load every other connection is not received from; afterwards all are again.
    pub(super) fn slow_down(&mut self, wires: &mut Wires) {
        let pause = self.plan.is_slow && self.tally.window.contains(self.clock.now());
        if std::mem::replace(&mut self.is_paused, pause) == pause {
            return;
        }
        for link in self.members.iter().skip(1).step_by(2).filter_map(|member| member.link) {
            wires.pause(link, pause);
        }
    }

    fn hang_up_all(&mut self, wires: &mut Wires, now: Mono) {
        for index in 0..self.members.len() {
            self.hang_up(wires, index, Ending::Abort, now);
        }
    }

    fn hang_up(&mut self, wires: &mut Wires, index: usize, how: Ending, now: Mono) {
        let member = &mut self.members[index];
        let Some(link) = member.link.take() else { return };
        wires.end(link, how);
        self.tally.cut_off += 1;
        self.tally.offline(member.go_offline());
        member.disconnected(now);
        self.drain(wires, index, now);
    }
}
