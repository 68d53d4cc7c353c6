//! The process stops, and starts again: the production code opens what its disks hold.

use super::{Happening, World};
use crate::disk::Disk;
use crate::node::{Boot, Node};
use iris_protocol::{Generation, Incarnation, ShardId, Wall};
use iris_shard::io::Ticket;
use iris_shard::mutant::{self, Mutant};
use iris_storage::RecordNumber;
use iris_storage::load::BootLimits;
use iris_storage::log::LogWrite;
use iris_storage::open::{DataSite, OpenError, OpenRequest, OpenStep, OpenedDirectory, Stopped, open_site};
use iris_storage::recovery::Tail;
use iris_storage::tables::{MemoryTables, SharedTables};
use std::collections::{BTreeMap, VecDeque};

/// A server's clock is off by at most this, unless it jumped: ids five minutes ahead of it are refused.
const CLOCK_OFF_MS: u64 = 240_000;
const HOUR_MS: u64 = 3_600_000;
/// A clock that is so far ahead is not followed.
const TEN_YEARS_MS: u64 = 3_653 * 24 * HOUR_MS;
/// The host's clock jumped before one boot in so many.
const JUMPS: u64 = 3;
/// Between two crashes of the process, in microseconds.
pub(super) const CRASHES: (u64, u64) = (20_000, 1_500_000);
/// Small segments, so that a run passes many.
const SEGMENT_BYTES: u64 = 96 << 10;
const RECORD_BYTES_MAX: usize = 48 << 10;
/// Shards that a process may have, once their number changes.
pub(super) const SHARDS_MAX: u16 = 4;
/// Steps of opening among which one is chosen to stop at: a move of slots has more.
const OPEN_STEPS: u64 = 12;
const MOVE_STEPS: u64 = 2_000;

/// By core: the last record that the first start after a stop found.
pub(super) type Found = BTreeMap<u16, RecordNumber>;
type Opened = OpenedDirectory<SharedTables<MemoryTables>>;

impl World {
    /// What the server's clock shows at a boot.
    fn boot_clock(&mut self) -> Wall {
        let off_ms = if self.plan.faults.clock && !self.calm {
            self.random.below(2 * CLOCK_OFF_MS)
        } else {
            CLOCK_OFF_MS
        };
        self.reached.clock_behind += u64::from(off_ms < CLOCK_OFF_MS);
        Wall(self.wall().after_ms(off_ms).0 - CLOCK_OFF_MS)
    }

    /// What it shows if it has jumped since the boot before. An empty directory takes any clock: its first one is right.
    fn jumped_clock(&mut self) -> Option<Wall> {
        if !self.plan.faults.clock || self.calm || self.meta.is_none() || !self.jumps.one_in(JUMPS) {
            return None;
        }
        self.reached.clock_jumps += 1;
        let right = self.wall();
        Some(match self.jumps.below(5) {
            0 => Wall(0),
            1 => Wall(right.0 - HOUR_MS),
            2 => Wall(right.0 - 24 * HOUR_MS),
            3 => right.after_ms(HOUR_MS),
            _ => right.after_ms(24 * HOUR_MS),
        })
    }

    /// Now and then the host's clock is years ahead: the process does not start until somebody sets it right.
    fn boot_in_ten_years(&mut self, found: &mut Found) {
        if !self.may_be_years_ahead() || self.calm || self.meta.is_none() || !self.jumps.one_in(JUMPS) {
            return;
        }
        match self.open(self.wall().after_ms(TEN_YEARS_MS), None, found) {
            Err(OpenError::ClockJump { .. }) => self.reached.clock_refused += 1,
            other => {
                let what =
                    format!("ten years ahead, the process starts: {:?}", other.map(|opened| opened.clock));
                self.checker.violate("C2", what);
            }
        }
    }

    /// The process opens its disks, and may be stopped while it does.
    pub(super) fn boot(&mut self, found: &mut Found) {
        self.boot_in_ten_years(found);
        let near = self.boot_clock();
        let wall = self.jumped_clock().unwrap_or(near);
        let mut stops = self.stops();
        let opened = loop {
            match self.open(wall, stops.pop(), found) {
                Ok(opened) => break opened,
                Err(OpenError::Stopped) => {
                    self.reached.crash_in_boot += 1;
                    self.maybe_cut_power();
                }
                Err(error) => {
                    self.checker.violate("C1", format!("the process does not start: {error}"));
                    return;
                }
            }
        };
        self.run_on(opened);
    }

    /// At which steps of opening the process is stopped, one boot each.
    fn stops(&mut self) -> Vec<u64> {
        if !self.plan.faults.crashes || self.calm || !self.random.one_in(4) {
            return Vec::new();
        }
        let steps = if self.random.one_in(2) { OPEN_STEPS } else { MOVE_STEPS };
        (0..=self.random.below(3)).map(|_| self.random.below(steps)).collect()
    }

    fn open(&mut self, wall: Wall, stop_at: Option<u64>, found: &mut Found) -> Result<Opened, OpenError> {
        let request = OpenRequest {
            incarnation: Incarnation([self.host_boots; 16]),
            host_boot: format!("boot {}", self.host_boots),
            random: 7,
            segment_bytes: SEGMENT_BYTES,
            record_bytes_max: RECORD_BYTES_MAX,
            boot: BootLimits {
                crowded_entries: self.limits.inbox_envelopes,
                crowded_bytes: self.limits.inbox_bytes,
                dedup_rows_checked: 1 << 20,
            },
            ..OpenRequest::new(self.shards, self.durability, wall)
        };
        let cores = self.disks.cores.clone();
        let (mut steps, is_rewound) = (0, &mut self.is_rewound);
        let site = DataSite::simulated(self.disks.meta.clone());
        open_site(site, &mut self.disks, &request, &mut |step| {
            if let OpenStep::Recovered { core } = step {
                let last = cores.get(&core).map_or(RecordNumber::NONE, Disk::applied);
                found.entry(core).or_insert(last);
                if let Some(disk) = cores.get(&core) {
                    disk.cached.sync();
                }
            }
            *is_rewound |= matches!(step, OpenStep::Rewound { .. });
            steps += 1;
            if stop_at.is_some_and(|stop_at| steps > stop_at) { Err(Stopped) } else { Ok(()) }
        })
    }

    fn run_on(&mut self, opened: Opened) {
        self.generation = opened.generation;
        self.reached.core_changes += u64::from(opened.moved.is_some());
        let is_raised = !mutant::is_on(Mutant::GenerationNotRaised);
        let boot = Boot {
            shards: self.shards,
            generation: if is_raised { opened.generation } else { Generation(1) },
            incarnation: opened.meta.meta().incarnation,
            clock: opened.clock,
            now: self.now,
            limits: self.limits,
            dedup_ids: self.dedup_ids,
            durability: self.durability,
        };
        self.outbox = opened.cores.iter().flat_map(|core| core.boot.outbox.clone()).collect();
        self.meta = Some(opened.meta);
        self.nodes.clear();
        for (shard, core) in (0..).zip(opened.cores) {
            self.reached.torn_tail += u64::from(core.report.tail != Tail::Clean);
            self.nodes.push(Node::new(ShardId(shard), &boot, core));
        }
        self.full = vec![false; self.nodes.len()];
    }

    /// The process stops, or the power is cut, and everything starts again.
    pub(super) fn crash(&mut self) {
        self.reached.crashes += 1;
        let mut flying = Vec::new();
        for (core, node) in (0..).zip(&mut self.nodes) {
            self.reached.count(node.shard.counters());
            if let Some(write) = node.writing.take() {
                self.reached.crash_in_flight += 1;
                self.disks.core(core).tear(&write, &mut self.random, &mut self.reached);
                flying.push((core, write));
            }
        }
        self.maybe_cut_power();
        self.mail_last.clear();
        self.mail_count.clear();
        if self.plan.faults.cores && !self.calm && self.random.one_in(4) {
            self.shards = 1 + u16::try_from(self.random.below(u64::from(SHARDS_MAX))).unwrap_or(0);
        }
        self.flip_and_boot(&flying);
        if self.plan.faults.crashes && !self.calm {
            self.plan_in(CRASHES.0, CRASHES.1, Happening::Crash);
        }
    }

    fn maybe_cut_power(&mut self) {
        if self.random.one_in(2) {
            self.reached.power_cut += 1;
            self.host_boots = self.host_boots.saturating_add(1);
            for disk in self.disks.cores.values() {
                disk.cut_power(&mut self.random);
            }
        }
    }

    /// A log with a flipped bit is refused, or the bit did not matter: nothing is lost then.
    fn flip_and_boot(&mut self, flying: &[(u16, LogWrite)]) {
        let mut found = Found::new();
        if self.plan.faults.flips
            && !self.calm
            && self.random.one_in(4)
            && let Some(flip) = self.disks.flip(&mut self.random)
        {
            self.reached.flipped += 1;
            let wall = self.boot_clock();
            match self.open(wall, None, &mut found) {
                Err(OpenError::Recovery { .. }) => {
                    self.reached.flip_refused += 1;
                    self.disks.turn(flip);
                }
                Ok(_) => {}
                Err(error) => {
                    self.checker.violate("C1", format!("a flipped bit was not told: {error}"));
                    return;
                }
            }
        }
        self.boot_after(flying, found);
    }

    fn boot_after(&mut self, flying: &[(u16, LogWrite)], mut found: Found) {
        self.boot(&mut found);
        if !self.checker.violations().is_empty() {
            return;
        }
        for (core, write) in flying {
            if found.get(core).is_some_and(|last| *last >= write.number()) {
                self.now_durable(usize::from(*core), Ticket(write.through().0));
            }
        }
        if std::mem::take(&mut self.is_rewound) {
            self.reached.rewound += 1;
            let base = self.base();
            self.checker.rewound(base);
        }
        self.waiting = self.nodes.iter().map(|_| VecDeque::new()).collect();
        self.conns.clear();
        self.left.clear();
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
}
