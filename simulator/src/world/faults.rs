//! What goes wrong, when the seed says so.

use super::boot::CRASHES;
use super::{Happening, World};
use iris_protocol::{Durability, Generation};
use iris_shard::io::Input;

/// Between two times without room on a disk, and how long one is, in microseconds.
const FULL: (u64, u64) = (100_000, 2_000_000);
const FULL_FOR: (u64, u64) = (10_000, 400_000);
/// Between two breaks of connections.
const BREAKS: (u64, u64) = (5_000, 400_000);
/// Between two restarts of devices.
const RESTARTS: (u64, u64) = (100_000, 2_000_000);

impl World {
    pub(super) fn plan_faults(&mut self) {
        const AFTER_LINKING: u64 = 2_000_000;
        self.plan_in(100_000, 2_000_000, Happening::Flush);
        if self.durability == Durability::Os {
            self.plan_in(1, 100_000, Happening::Sync);
        }
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
