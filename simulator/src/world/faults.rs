//! What goes wrong, when the seed says so.

use super::{Happening, World};
use crate::node::{Boot, Node};
use iris_protocol::{Generation, ShardId, Wall};
use iris_shard::io::{Input, Ticket};
use iris_shard::mutant::{self, Mutant};
use iris_storage::log::LogWrite;
use std::collections::VecDeque;

/// The generation that a boot uses.
fn stored_generation(raised: Generation) -> Generation {
    if mutant::is_on(Mutant::GenerationNotRaised) { Generation(1) } else { raised }
}

/// Between two times without room on a disk, and how long one is, in microseconds.
const FULL: (u64, u64) = (100_000, 2_000_000);
const FULL_FOR: (u64, u64) = (10_000, 400_000);
/// A server's clock is off by at most this: ids five minutes ahead of it are refused.
const CLOCK_OFF_MS: u64 = 240_000;
/// Between two crashes of the process, in microseconds.
const CRASHES: (u64, u64) = (20_000, 1_500_000);
/// Between two breaks of connections.
const BREAKS: (u64, u64) = (5_000, 400_000);
/// Between two restarts of devices.
const RESTARTS: (u64, u64) = (100_000, 2_000_000);

impl World {
    pub(super) fn plan_faults(&mut self) {
        const AFTER_LINKING: u64 = 2_000_000;
        self.plan_in(100_000, 2_000_000, Happening::Flush);
        if self.plan.faults.crashes {
            self.plan_in(AFTER_LINKING, AFTER_LINKING + CRASHES.1, Happening::Crash);
        }
        if self.plan.faults.network {
            let person = self.anybody();
            self.plan_in(AFTER_LINKING, AFTER_LINKING + BREAKS.1, Happening::NextBreak { person });
        }
        if self.plan.faults.full_disk {
            self.plan_full(AFTER_LINKING);
        }
        if self.plan.faults.devices {
            let person = self.anybody();
            self.plan_in(AFTER_LINKING, AFTER_LINKING + RESTARTS.1, Happening::Restart { person });
        }
    }

    fn anybody(&mut self) -> usize {
        self.random.index(self.people.len())
    }

    /// What the server's clock shows at a boot: never less than what was persisted.
    fn boot_clock(&mut self) -> Wall {
        let off_ms = if self.plan.faults.clock && !self.calm {
            self.random.below(2 * CLOCK_OFF_MS)
        } else {
            CLOCK_OFF_MS
        };
        self.reached.clock_behind += u64::from(off_ms < CLOCK_OFF_MS);
        let shown = Wall(self.wall().after_ms(off_ms).0 - CLOCK_OFF_MS);
        // The process writes its clock down now and then: what the last one showed at its boot is there for certain.
        self.clock_persisted = self.clock_persisted.max(shown);
        self.clock_persisted
    }

    /// All shards open their disks.
    pub(super) fn boot(&mut self) {
        self.generation = Generation(self.generation.0 + 1);
        let clock = self.boot_clock();
        let boot = Boot {
            shards: self.plan.shards,
            known: stored_generation(Generation(self.generation.0 - 1)),
            generation: stored_generation(self.generation),
            clock,
            now: self.now,
            limits: self.limits,
        };
        let mut nodes = Vec::new();
        for (shard, disk) in (0..self.plan.shards).zip(&mut self.disks) {
            match Node::open(ShardId(shard), &boot, disk, &mut self.reached) {
                Ok(node) => nodes.push(node),
                Err(why) => {
                    self.checker.violate("C1", format!("shard {shard}: {why}"));
                    return;
                }
            }
        }
        self.nodes = nodes;
    }

    /// The process stops, or the power is cut, and everything starts again.
    pub(super) fn crash(&mut self) {
        self.reached.crashes += 1;
        let power = self.random.one_in(2);
        self.reached.power_cut += u64::from(power);
        let mut flying: Vec<Option<LogWrite>> = Vec::new();
        for (node, disk) in self.nodes.iter_mut().zip(&mut self.disks) {
            self.reached.count(node.shard.counters());
            let write = node.writing.take();
            if let Some(write) = &write {
                self.reached.crash_in_flight += 1;
                disk.tear(write, &mut self.random, &mut self.reached);
            }
            if power {
                disk.cut_power();
            }
            flying.push(write);
        }
        self.mail_last.clear();
        self.mail_count.clear();
        self.full.fill(false);
        self.boot_after(&flying);
        if !self.calm {
            self.plan_in(CRASHES.0, CRASHES.1, Happening::Crash);
        }
    }

    fn boot_after(&mut self, flying: &[Option<LogWrite>]) {
        self.boot();
        if self.nodes.len() != self.disks.len() || !self.checker.violations().is_empty() {
            return;
        }
        for (shard, write) in flying.iter().enumerate() {
            if let Some(write) = write
                && self.nodes[shard].log.last().number >= write.number()
            {
                self.now_durable(shard, Ticket(write.through().0));
            }
        }
        self.waiting = self.nodes.iter().map(|_| VecDeque::new()).collect();
        self.conns.clear();
        self.checker.stopped();
        for person in 0..self.people.len() {
            self.people[person].conn = None;
            let now = self.now;
            self.people[person].session.disconnected(now);
        }
        for shard in 0..self.nodes.len() {
            self.after_input(shard);
        }
        for person in 0..self.people.len() {
            self.take_outputs(person);
        }
    }

    pub(super) fn restart(&mut self, person: usize) {
        self.reached.device_restarts += 1;
        self.hang_up(person);
        self.people[person].restart();
        self.plan_in(1_000, 500_000, Happening::Connect { person });
        if !self.calm {
            let person = self.anybody();
            self.plan_in(RESTARTS.0, RESTARTS.1, Happening::Restart { person });
        }
    }

    /// The next disk that has no room for a while.
    fn plan_full(&mut self, after: u64) {
        let (shard, boot) = (self.random.index(self.nodes.len()), self.generation);
        self.plan_in(after + FULL.0, after + FULL.1, Happening::Room { shard, boot, available: false });
    }

    pub(super) fn room(&mut self, shard: usize, boot: Generation, available: bool) {
        if boot == self.generation {
            self.full[shard] = !available;
            self.input(shard, Input::StorageRoom { available });
        }
        if available {
            if !self.calm {
                self.plan_full(0);
            }
        } else {
            self.reached.full_disks += u64::from(boot == self.generation);
            // A process that started meanwhile finds room; this one has it again.
            self.plan_in(FULL_FOR.0, FULL_FOR.1, Happening::Room { shard, boot, available: true });
        }
    }

    /// The next break, of anybody's connection.
    pub(super) fn plan_break(&mut self) {
        if !self.calm {
            let person = self.anybody();
            self.plan_in(BREAKS.0, BREAKS.1, Happening::NextBreak { person });
        }
    }
}
