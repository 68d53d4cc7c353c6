//! The process: inputs and effects of its shards, its logs, its mail.

use super::apart::Stream;
use super::{Happening, World};
use crate::node::MAIL_RING;
use iris_protocol::frame::{encode_accepted, encode_deliver, encode_server};
use iris_protocol::limits::OS_SYNC_INTERVAL;
use iris_protocol::wire::{Close, server_frame};
use iris_protocol::{CloseCode, Durability, Generation, Mono, ShardId};
use iris_shard::io::{Effect, Frame, Input, LoadId, Ticket};
use iris_shard::mail::Mail;
use iris_storage::load::{LoadError, LoadRequest, Loaded, load_resident};
use iris_storage::op::{Op, Ops};
use std::time::Duration;

/// A sync in microseconds, on a good day and on a bad one.
const SYNC: (u64, u64) = (100, 400);
const SLOW_SYNC: (u64, u64) = (1_000, 200_000);
/// A write that is not synced.
const CACHED: (u64, u64) = (1, 10);
/// One read in so many fails.
const FAILING_READS: u64 = 20;
/// Mail and reads in microseconds.
const HOP: (u64, u64) = (1, 300);
/// Mail to a core that stalls, in microseconds: what follows waits behind it.
const STALL: (u64, u64) = (1_000, 800_000);
/// The shortest time between two ticks of a shard.
const TICK: Duration = Duration::from_micros(10);

impl World {
    /// Gives a shard an input and carries out what follows.
    pub(super) fn input(&mut self, shard: usize, input: Input) {
        let now = self.now;
        // Reads go on: the network holds what the shard has no credit for.
        if self.nodes[shard].shard.handle(now, input).is_err() {
            self.reads_stop(shard);
        }
        self.after_input(shard);
    }

    pub(super) fn after_input(&mut self, shard: usize) {
        while let Some(effect) = self.nodes[shard].shard.poll_effect() {
            self.carry_out(shard, effect);
        }
        self.write(shard);
        let (at, _) = self.nodes[shard].shard.next_deadline();
        let at = at.max(self.now.after(TICK));
        if self.nodes[shard].tick_at.is_none_or(|planned| at < planned) {
            self.nodes[shard].tick_at = Some(at);
            let boot = self.generation;
            self.plan_at(at, Happening::ShardTick { shard, boot });
        }
    }

    fn carry_out(&mut self, shard: usize, effect: Effect) {
        match effect {
            Effect::Send { conn, frame } => {
                let mut bytes = Vec::new();
                match frame {
                    Frame::Deliver { offset, previous, envelope } => {
                        let place = (&envelope.conversation, envelope.sequence);
                        self.checker.delivered(conn, offset, place);
                        self.checker.follows(place.0, place.1, previous);
                        encode_deliver(offset, previous, &envelope, &mut bytes);
                    }
                    Frame::Other(frame) => {
                        self.checker.answered(conn, &frame);
                        encode_server(frame, &mut bytes);
                    }
                }
                self.send_to_device(conn, bytes);
            }
            Effect::Accept { conn, acceptance } => {
                let (conversation, sequence) = (&acceptance.conversation, acceptance.sequence);
                if let Some((offset, previous)) = acceptance.place {
                    self.checker.delivered(conn, offset, (conversation, sequence));
                    self.checker.follows(conversation, sequence, previous);
                }
                self.checker.acknowledged(conversation, acceptance.message_id, sequence);
                let mut bytes = Vec::new();
                encode_accepted(&acceptance, &mut bytes);
                self.send_to_device(conn, bytes);
            }
            Effect::Close { conn, code, retry_after_ms } => {
                if code == CloseCode::StorageFault {
                    self.reached.storage_faults += 1;
                    self.checker.told_unreadable(conn);
                }
                let close = Close { code: code.number(), message: code.name().to_owned(), retry_after_ms };
                let mut bytes = Vec::new();
                encode_server(server_frame::Frame::Close(close), &mut bytes);
                if code == CloseCode::TooManyDevices {
                    self.checker.no_place(conn);
                }
                self.checker.ended(conn);
                self.send_to_device(conn, bytes);
                self.closed_by_server(conn);
            }
            Effect::Read { .. } => {}
            Effect::Store { ticket, ops } => self.store(shard, ticket, ops),
            Effect::Load { id, request } => self.ask(shard, id, request),
            Effect::Mail { to, mail } => self.post(shard, to, mail),
        }
    }

    /// A question is answered at once, from the tables as they stand, or later, with what waits for them.
    fn ask(&mut self, shard: usize, id: LoadId, request: LoadRequest) {
        let is_resident = self.random.one_in(2);
        let answer =
            is_resident.then(|| load_resident(self.nodes[shard].engine.tables(), &request)).flatten();
        if let Some(loaded) = answer {
            self.reached.resident_loads += 1;
            self.loaded(shard, id, Ok(loaded));
        } else {
            let boot = self.generation;
            self.plan_in(HOP.0, HOP.1, Happening::Answer { shard, boot, id, request });
        }
    }

    fn loaded(&mut self, shard: usize, id: LoadId, answer: Result<Loaded, LoadError>) {
        let now = self.now;
        if self.nodes[shard].shard.handle(now, Input::Loaded { id, answer }).is_err() {
            self.reads_stop(shard);
        }
    }

    /// A record part goes to the log.
    fn store(&mut self, shard: usize, ticket: Ticket, ops: Ops) {
        let id = ShardId(u16::try_from(shard).unwrap_or(u16::MAX));
        self.checker.emitted(id, &ops, &self.placement());
        self.gave_up(&ops);
        let found = self.nodes[shard].log.append(&ops);
        assert_eq!(found.0, ticket.0, "the shard's tickets and the log's are the same");
        if self.full[shard] && ops.iter().any(|op| matches!(op, Op::Accept { .. })) {
            let what = format!("shard {shard} accepts a message without room on its disk");
            self.checker.violate("C8", what);
        }
        self.waiting[shard].push_back((ticket.0, ops));
    }

    /// Mail leaves a shard: after a delay, and not before what was sent earlier.
    fn post(&mut self, shard: usize, to: ShardId, mail: Mail) {
        let boot = self.generation;
        let from = u16::try_from(shard).unwrap_or(u16::MAX);
        let to = usize::from(to.0);
        let is_stalled = self.plan.faults.stalls && !self.calm && self.random.one_in(500);
        self.reached.stalled_cores += u64::from(is_stalled);
        let (least, most) = if is_stalled { STALL } else { HOP };
        let pair = Stream::Pair(shard, to);
        let delay = self.draw_from(pair, |world| Duration::from_micros(world.random.within(least, most)));
        let before = self.mail_last.get(&(from, to)).copied().unwrap_or_default();
        let at = self.now.after(delay).max(before);
        self.mail_last.insert((from, to), at);
        let count = self.mail_count.entry((from, to)).or_default();
        *count += 1;
        if *count > MAIL_RING {
            let what =
                format!("{count} pieces of mail from shard {from} to shard {to}, the ring has {MAIL_RING}");
            self.checker.violate("C8", what);
        }
        self.plan_at(at, Happening::Mail { from, to, boot, mail: Box::new(mail) });
    }

    fn write(&mut self, shard: usize) {
        if self.nodes[shard].begin_write(self.disks.core(core(shard))) {
            let slow = self.plan.faults.slow_disk && (self.is_busy() || !self.calm && self.random.one_in(20));
            let (from, to) = match self.durability {
                Durability::Os => CACHED,
                Durability::Fsync if slow => SLOW_SYNC,
                Durability::Fsync => SYNC,
            };
            let boot = self.generation;
            match self.stalled_sync(shard) {
                None => self.plan_in(from, to, Happening::Synced { shard, boot }),
                Some(stall) => self.plan_at(self.now.after(stall), Happening::Synced { shard, boot }),
            }
        }
    }

    pub(super) fn synced(&mut self, shard: usize, boot: Generation) {
        if boot != self.generation {
            return;
        }
        let Some(write) = self.nodes[shard].writing.take() else { return };
        self.disks.core(core(shard)).write(&write, self.durability);
        self.note_write(shard, write.bytes());
        let through = Ticket(write.through().0);
        self.now_durable(shard, through);
        let node = &mut self.nodes[shard];
        let durable = node.log.written(write);
        let absorbed = node.engine.absorb(durable.record);
        assert!(absorbed.is_ok(), "no fault was injected: {absorbed:?}");
        node.absorbed_through = through;
        // The process writes it down soon, or stops before.
        if let (Some(vouch), Some(meta)) = (durable.vouch, &mut self.meta)
            && self.random.one_in(2)
        {
            let vouched = meta.vouch(core(shard), vouch);
            assert!(vouched.is_ok(), "META in memory: {vouched:?}");
        }
        self.input(shard, Input::Stored { through });
    }

    /// Tells the checker what the synced image holds now.
    pub(super) fn now_durable(&mut self, shard: usize, through: Ticket) {
        while self.waiting[shard].front().is_some_and(|(ticket, _)| *ticket <= through.0) {
            let ops = self.waiting[shard].pop_front().map(|(_, ops)| ops).unwrap_or_default();
            self.checker.recorded(ShardId(u16::try_from(shard).unwrap_or(u16::MAX)), &ops);
        }
    }

    pub(super) fn answer(&mut self, shard: usize, boot: Generation, id: LoadId, request: &LoadRequest) {
        if boot != self.generation {
            return;
        }
        if self.plan.faults.reads && !self.calm && self.random.one_in(FAILING_READS) {
            self.fail_read(shard, request);
        }
        let answer = self.nodes[shard].engine.load(request);
        let answer = answer.unwrap_or_else(|error| unreachable!("only reads fail: {error}"));
        self.input(shard, Input::Loaded { id, answer });
    }

    /// The tables fail at the next read. What is merged goes into them first: a failing write ends the process.
    fn fail_read(&mut self, shard: usize, request: &LoadRequest) {
        self.reached.failed_reads += 1;
        self.checker.unreadable(request);
        let engine = &mut self.nodes[shard].engine;
        let filled = engine.fill();
        assert!(filled.is_ok(), "no fault was injected: {filled:?}");
        engine.tables().with(|tables| tables.faults.reads_to_fail.set(1));
    }

    pub(super) fn mail(&mut self, from: u16, to: usize, boot: Generation, mail: Mail) {
        if boot == self.generation {
            if let Some(count) = self.mail_count.get_mut(&(from, to)) {
                *count -= 1;
            }
            let receiver = ShardId(u16::try_from(to).unwrap_or(u16::MAX));
            self.checker.mail(ShardId(from), receiver, &mail.body);
            self.input(to, Input::Mail { from: ShardId(from), mail });
        }
    }

    pub(super) fn shard_tick(&mut self, shard: usize, boot: Generation) {
        if boot != self.generation || !is_due(self.nodes[shard].tick_at, self.now) {
            return;
        }
        self.nodes[shard].tick_at = None;
        if self.nodes[shard].shard.next_deadline().0 <= self.now {
            self.input(shard, Input::Tick);
        } else {
            self.after_input(shard);
        }
    }

    /// With `os` durability: everything written so far is on the disks.
    pub(super) fn sync(&mut self) {
        for disk in self.disks.cores.values() {
            disk.cached.sync();
        }
        let interval = u64::try_from(OS_SYNC_INTERVAL.as_micros()).unwrap_or(u64::MAX);
        self.plan_in(interval, interval + 1, Happening::Sync);
    }

    pub(super) fn flush(&mut self) {
        for node in &mut self.nodes {
            node.flush();
        }
        for shard in 0..self.nodes.len() {
            let through = self.nodes[shard].absorbed_through;
            self.draw_from(Stream::Shard(shard), |world| world.input(shard, Input::Filled { through }));
        }
        if let (Some(meta), Some(node)) = (&mut self.meta, self.nodes.first()) {
            let stored = meta.store_clock(node.shard.clock(self.now));
            assert!(stored.is_ok(), "META in memory: {stored:?}");
        }
        for shard in 0..self.nodes.len() {
            self.draw_from(Stream::Shard(shard), |world| world.write(shard));
        }
        self.plan_in(100_000, 2_000_000, Happening::Flush);
    }
}

/// False for a tick in whose place an earlier one was planned, which plans the next.
pub(super) fn is_due(planned: Option<Mono>, now: Mono) -> bool {
    planned.is_some_and(|at| at <= now)
}

/// A shard's core has its number.
fn core(shard: usize) -> u16 {
    u16::try_from(shard).unwrap_or(u16::MAX)
}
