//! Two shards, their tables, their mail and their connections, for target `shard`: it hands on whatever the shards ask
//! for when it is told to, and holds what comes out against a few rules.
//!
//! Invariants checked
//! - Tickets are dense; the mail of a pair fits into its ring; nothing is left undrained after an input.
//! - What is acknowledged is durable, under the sequence that it has for ever.
//! - Offsets on a connection rise.

use iris_protocol::frame::{deliver_bytes, encoded_bytes};
use iris_protocol::limits::Limits;
use iris_protocol::wire::{self, server_frame};
use iris_protocol::{Durability, Generation, Incarnation, MessageId, Mono, Offset, Placement, ShardId, UserId, Wall};
use iris_shard::io::{ConnId, Effect, Frame, Input, LoadId, Ticket};
use iris_shard::mail::Mail;
use iris_shard::{Config, MAIL_RING_MIN, Shard};
use iris_storage::load::{BootLimits, LoadError, LoadRequest, boot_state};
use iris_storage::op::{Op, Ops};
use iris_storage::record::RecordBuilder;
use iris_storage::tables::MemoryTables;
use iris_storage::{LogKey, Mark, StorageEngine};
use std::collections::{BTreeMap, VecDeque};

pub(crate) const SHARDS: u16 = 2;
/// 2026-01-01 in ms since 1970.
const START: Wall = Wall(1_767_225_600_000);
const KEY: LogKey = LogKey(7);
/// Message ids that a shard keeps in memory: so few that some leave it.
const DEDUP_IDS: usize = 3;

pub(crate) struct Node {
    pub(crate) shard: Shard,
    engine: StorageEngine<MemoryTables>,
    mark: Mark,
    tickets: u64,
    waiting: VecDeque<(Ticket, Ops)>,
    loads: VecDeque<(LoadId, LoadRequest)>,
}

pub(crate) struct Conn {
    pub(crate) id: ConnId,
    pub(crate) user: UserId,
    pub(crate) home: usize,
    pub(crate) unsent: usize,
    pub(crate) last: u64,
    pub(crate) is_closed: bool,
}

pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) conns: Vec<Conn>,
    pub(crate) now: Mono,
    pub(crate) generation: Generation,
    mail: BTreeMap<(usize, usize), VecDeque<Mail>>,
    /// What the disks hold: the message at each place of each conversation, for ever.
    places: BTreeMap<(String, u64), MessageId>,
}

fn limits() -> Limits {
    Limits {
        inbox_envelopes: 12,
        inbox_bytes: 4_000,
        unclaimed_envelopes: 3,
        unclaimed_bytes: 1_000,
        unclaimed_total_bytes: 1_500,
        devices: 2,
        dedup_rows: 200,
        ..Limits::default()
    }
}

fn boot_limits() -> BootLimits {
    let limits = limits();
    let crowded_entries = limits.inbox_envelopes.min(limits.unclaimed_envelopes);
    let crowded_bytes = limits.inbox_bytes.min(limits.unclaimed_bytes);
    BootLimits { crowded_entries, crowded_bytes, dedup_rows_checked: 1 << 20 }
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            nodes: Vec::new(),
            conns: Vec::new(),
            now: Mono(1_000_000_000),
            generation: Generation(1),
            mail: BTreeMap::new(),
            places: BTreeMap::new(),
        };
        for shard in 0..SHARDS {
            let engine = StorageEngine::new(3, MemoryTables::new()).expect("empty tables");
            world.boot(shard, engine, Mark::default(), START);
        }
        world
    }

    fn boot(&mut self, shard: u16, mut engine: StorageEngine<MemoryTables>, mark: Mark, clock: Wall) {
        engine.fill().expect("no fault is injected");
        let boot = boot_state(engine.tables(), &boot_limits()).expect("the rows agree with each other");
        let config = Config {
            shard: ShardId(shard),
            placement: Placement::even(SHARDS),
            generation: self.generation,
            incarnation: Incarnation([1; 16]),
            durability: Durability::Fsync,
            limits: limits(),
            dedup_ids: DEDUP_IDS,
            hash_seed: 11,
            mail_ring: MAIL_RING_MIN,
            clock,
            capabilities: Vec::new(),
        };
        let shard = Shard::new(self.now, config, boot);
        let (waiting, loads) = (VecDeque::new(), VecDeque::new());
        self.nodes.push(Node { shard, engine, mark, tickets: 0, waiting, loads });
        self.drain(self.nodes.len() - 1);
    }

    /// The process stops and starts: what is not durable is gone.
    pub(crate) fn crash(&mut self, down_ms: u64) {
        self.generation = Generation(self.generation.0 + 1);
        let clock = self.nodes.iter().map(|node| node.shard.clock(self.now)).max();
        let clock = clock.unwrap_or(START).after_ms(down_ms);
        self.mail.clear();
        self.conns.clear();
        for (shard, node) in (0..SHARDS).zip(std::mem::take(&mut self.nodes)) {
            self.boot(shard, node.engine, node.mark, clock);
        }
    }

    pub(crate) fn home(user: &UserId) -> usize {
        usize::from(Placement::even(SHARDS).shard_of(user.slot()).0)
    }

    pub(crate) fn input(&mut self, shard: usize, input: Input) {
        // Sockets go on: what has no credit waits in the shard.
        let _backpressure = self.nodes[shard].shard.handle(self.now, input);
        self.drain(shard);
        assert!(self.nodes[shard].shard.poll_effect().is_none(), "an effect is left");
    }

    fn drain(&mut self, shard: usize) {
        while let Some(effect) = self.nodes[shard].shard.poll_effect() {
            match effect {
                Effect::Send { conn, frame: Frame::Deliver { offset, previous, envelope } } => {
                    let bytes = deliver_bytes(offset, previous, &envelope);
                    self.arrives(conn, bytes, Some(offset));
                }
                Effect::Send { conn, frame: Frame::Other(frame) } => {
                    let offset = match &frame {
                        server_frame::Frame::Gap(gap) => Some(Offset(gap.offset)),
                        _ => None,
                    };
                    self.arrives(conn, encoded_bytes(&wire::ServerFrame { frame: Some(frame) }), offset);
                }
                Effect::Accept { conn, acceptance } => self.accepted(conn, acceptance.to_wire()),
                Effect::Close { conn, .. } => {
                    self.conns
                        .iter_mut()
                        .filter(|found| found.id == conn)
                        .for_each(|conn| conn.is_closed = true);
                }
                Effect::Read { .. } => {}
                Effect::Store { ticket, ops } => {
                    let node = &mut self.nodes[shard];
                    node.tickets += 1;
                    assert_eq!(ticket.0, node.tickets, "tickets are dense");
                    node.waiting.push_back((ticket, ops));
                }
                Effect::Load { id, request } => self.nodes[shard].loads.push_back((id, request)),
                Effect::Mail { to, mail } => {
                    let queue = self.mail.entry((shard, usize::from(to.0))).or_default();
                    queue.push_back(mail);
                    assert!(queue.len() <= MAIL_RING_MIN, "the ring from {shard} to {to} is full");
                }
            }
        }
    }

    fn arrives(&mut self, id: ConnId, bytes: usize, offset: Option<Offset>) {
        let Some(conn) = self.conns.iter_mut().find(|conn| conn.id == id) else { return };
        conn.unsent += bytes;
        if let Some(offset) = offset.filter(|offset| offset.0 != 0) {
            assert!(offset.0 > conn.last, "{offset} after {} on {id:?}", conn.last);
            conn.last = offset.0;
        }
    }

    fn accepted(&mut self, conn: ConnId, accepted: wire::Accepted) {
        let place = (accepted.conversation.clone(), accepted.sequence);
        let durable = self.places.get(&place).map(|id| &id.as_bytes()[..]);
        assert_eq!(durable, Some(&accepted.message_id[..]), "{place:?} is acknowledged");
        let offset = accepted.offset.map(Offset);
        let frame = Some(server_frame::Frame::Accepted(accepted));
        self.arrives(conn, encoded_bytes(&wire::ServerFrame { frame }), offset);
    }

    /// Makes what waits durable: at most so many records.
    pub(crate) fn store(&mut self, shard: usize, most: usize) -> bool {
        let node = &mut self.nodes[shard];
        let count = most.min(node.waiting.len());
        let parts: Vec<_> = node.waiting.drain(..count).collect();
        let Some((through, _)) = parts.last() else { return false };
        let through = *through;
        let ops: Vec<Op> = parts.into_iter().flat_map(|(_, ops)| ops).collect();
        let record = RecordBuilder::record(&ops, KEY, node.mark, self.generation);
        node.mark = record.head().mark();
        node.engine.absorb(record).expect("no fault is injected");
        for op in &ops {
            if let Op::Accept { envelope, .. } = op {
                let place = (envelope.conversation.to_string(), envelope.sequence.0);
                let old = self.places.insert(place.clone(), envelope.message_id);
                assert!(old.is_none(), "{place:?} is given twice");
                let before = (place.0, place.1 - 1);
                assert!(before.1 == 0 || self.places.contains_key(&before), "{before:?} is left out");
            }
        }
        self.input(shard, Input::Stored { through });
        if self.nodes[shard].engine.is_filled() {
            self.input(shard, Input::Filled { through });
        }
        true
    }

    pub(crate) fn load(&mut self, shard: usize, fails: bool) -> bool {
        let node = &mut self.nodes[shard];
        let Some((id, request)) = node.loads.pop_front() else { return false };
        let answer = if fails {
            Err(LoadError::Engine { table: "injected", cause: String::new() })
        } else {
            node.engine.load(&request).expect("no fault is injected")
        };
        self.input(shard, Input::Loaded { id, answer });
        true
    }

    pub(crate) fn mail(&mut self, from: usize) -> bool {
        let to = 1 - from;
        let Some(mail) = self.mail.get_mut(&(from, to)).and_then(VecDeque::pop_front) else { return false };
        self.input(to, Input::Mail { from: ShardId(u16::from(from == 1)), mail });
        true
    }

    /// Everything that can happen without time, sockets aside.
    pub(crate) fn run(&mut self) {
        let mut is_busy = true;
        while is_busy {
            is_busy = false;
            for shard in 0..self.nodes.len() {
                is_busy |= self.store(shard, usize::MAX) | self.load(shard, false) | self.mail(shard);
            }
        }
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now = self.now.after(std::time::Duration::from_millis(ms));
        for shard in 0..self.nodes.len() {
            if self.nodes[shard].shard.next_deadline().0 <= self.now {
                self.input(shard, Input::Tick);
            }
        }
    }

    /// Gives the shards what they ask for, and time, until nothing waits to become durable or to be answered.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200 {
            self.run();
            if self.nodes.iter().all(|node| node.shard.settled()) {
                return;
            }
            self.pass(50);
        }
        panic!("something still waits after ten seconds");
    }
}
