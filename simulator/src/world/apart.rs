//! Two camps on shards of their own: bystanders, and an attacker among neighbours. What happens to the bystanders is hashed, so
//! that a run with the attacker can be compared with one without (C9).
//!
//! Invariants
//! - Nobody of one camp writes to anybody of the other.
//! - Whatever is drawn by chance is drawn from a stream of the shard, or of the pair of shards, that it is for, and ids and
//!   payloads are numbered for each device: the camps share no chance and no count.

use super::{Happening, World};
use crate::people::Person;
use crate::random::Random;
use bytes::Bytes;
use iris_client::session::Accepted;
use iris_protocol::limits::PAYLOAD_BYTES_MAX;
use iris_protocol::wire::client_frame::Frame;
use iris_protocol::wire::{self, send::Target as WireTarget};
use iris_protocol::{DeviceId, MessageId, Mono, Placement, UserId};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

/// What one camp has to bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// A sync of one shard takes ten seconds.
    StalledDisk,
    /// One core takes a millisecond for everything, a hundred times what a core needs.
    SlowCore,
    /// So many users of one camp write to one of them, all at once.
    HotReceiver {
        /// How many.
        senders: usize,
    },
    /// So many users send whatever a client may not send, as fast as they can.
    HostileClients {
        /// How many.
        clients: usize,
    },
}

/// What a camp did and saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Camp {
    /// Messages that its devices wrote.
    pub written: u64,
    /// Of these: accepted.
    pub accepted: u64,
    /// Refusals of them, each for a while: the device tries again.
    pub refused: u64,
    /// Messages that devices got.
    pub applied: u64,
    /// The longest time from writing to acceptance, and the sum of all, in microseconds.
    pub longest_wait_us: u64,
    /// See there.
    pub waits_us: u64,
    /// Frames that no client may send.
    pub hostile_frames: u64,
    /// Connections that the server ended.
    pub closed: u64,
}

impl Camp {
    /// From writing to acceptance on average, in microseconds.
    pub fn mean_wait_us(&self) -> u64 {
        self.waits_us.checked_div(self.accepted).unwrap_or(0)
    }
}

/// What came of a world of two camps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Apart {
    /// The hash of everything that happened to the bystanders and their shards.
    pub trace: u64,
    /// How many happenings that is.
    pub happenings: u64,
    /// Mail that the bystanders' shards had from those of the other camp: states of users go to every shard.
    pub foreign_mail: u64,
    /// Times at which a bystanders' shard wanted no more read from its sockets.
    pub reads_stopped: u64,
    /// Syncs that stalled.
    pub stalled_syncs: u64,
    /// Happenings that waited for a slow core.
    pub slow_turns: u64,
    /// Those who must notice nothing.
    pub bystanders: Camp,
    /// Those who share shards with the attacker.
    pub neighbours: Camp,
    /// The attackers.
    pub attackers: Camp,
}

/// Shards of such a world: the first half is the attacker's camp.
pub(super) const SHARDS: u16 = 4;
/// The shard that stalls, is slow, or has the hot receiver.
const STRUCK: usize = 0;
const USERS_OF_A_CAMP: usize = 8;
/// Users whose devices are linked while the attack goes on: their state goes to every shard.
const LATE_USERS: usize = 2;
/// When the attack begins and when the last message is written, since the start.
const STRIKES: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_secs(10);
/// Bystanders are compared until then: a sync that stalled at the last moment is over.
const COMPARED: Duration = Duration::from_secs(24);
/// When devices are linked and first write, in microseconds: those that are there anyway, and those that come with the attack.
const SOON: (u64, u64) = (0, 1_000);
const SOON_WRITES: (u64, u64) = (2_000_000, 2_100_000);
const LATE: (u64, u64) = (3_000_000, 4_000_000);
const LATE_WRITES: (u64, u64) = (4_000_000, 5_000_000);
const STALLED_SYNC: Duration = Duration::from_secs(10);
/// What a slow core takes for one happening.
const SLOW_TURN: Duration = Duration::from_millis(1);
/// Between two messages of a device, of one of many senders, and of a hostile client, in microseconds.
const PACE: (u64, u64) = (1_000, 60_000);
const FAN_PACE: (u64, u64) = (1_000_000, 4_000_000);
const HOSTILE_PACE: (u64, u64) = (1_000, 20_000);

/// What a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Bystander,
    Neighbour,
    Fan,
    Hostile,
}

/// For whom something is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stream {
    Shard(usize),
    Pair(usize, usize),
}

/// A world of two camps.
pub(super) struct Camps {
    seed: u64,
    attack: Option<Attack>,
    streams: BTreeMap<Stream, Random>,
    /// By device.
    roles: Vec<Role>,
    homes: Vec<usize>,
    written: Vec<u64>,
    open: BTreeMap<(usize, MessageId), Mono>,
    /// What waits for the slow core.
    waiting: VecDeque<Happening>,
    trace: Xxh3,
    seen: Apart,
}

impl Camps {
    pub(super) fn new(seed: u64, attack: Option<Attack>) -> Self {
        Self {
            seed,
            attack,
            streams: BTreeMap::new(),
            roles: Vec::new(),
            homes: Vec::new(),
            written: Vec::new(),
            open: BTreeMap::new(),
            waiting: VecDeque::new(),
            trace: Xxh3::new(),
            seen: Apart::default(),
        }
    }

    pub(super) fn seen(mut self) -> Apart {
        self.seen.trace = self.trace.digest();
        self.seen
    }

    fn camp(&mut self, person: usize) -> &mut Camp {
        match self.roles[person] {
            Role::Bystander => &mut self.seen.bystanders,
            Role::Neighbour => &mut self.seen.neighbours,
            Role::Fan | Role::Hostile => &mut self.seen.attackers,
        }
    }

    /// The number of a device's next message.
    pub(super) fn next_number(&mut self, person: usize) -> u64 {
        self.camp(person).written += 1;
        self.written[person] += 1;
        (person as u64) << 32 | self.written[person]
    }

    /// The shard that something happens to, or whose user it happens to.
    fn shard_of(&self, happening: &Happening) -> Option<usize> {
        match happening {
            Happening::Compose { person }
            | Happening::Connect { person }
            | Happening::ToServer { person, .. }
            | Happening::ToPerson { person, .. }
            | Happening::PersonTick { person }
            | Happening::Break { person }
            | Happening::NextBreak { person }
            | Happening::Restart { person } => Some(self.homes[*person]),
            Happening::Gone { shard, .. }
            | Happening::ShardTick { shard, .. }
            | Happening::Synced { shard, .. }
            | Happening::Answer { shard, .. }
            | Happening::Room { shard, .. } => Some(*shard),
            Happening::Mail { to, .. } => Some(*to),
            Happening::SlowTurn => Some(STRUCK),
            Happening::Flush | Happening::Sync | Happening::Crash | Happening::Act(_) => None,
        }
    }
}

/// True for a shard of the bystanders.
fn is_calm_side(shard: usize) -> bool {
    shard >= usize::from(SHARDS / 2)
}

/// True for what a core does, not a device or the disk.
fn is_core_work(happening: &Happening) -> bool {
    match happening {
        Happening::ToServer { .. }
        | Happening::Gone { .. }
        | Happening::ShardTick { .. }
        | Happening::Synced { .. }
        | Happening::Answer { .. }
        | Happening::Mail { .. } => true,
        Happening::Compose { .. }
        | Happening::Connect { .. }
        | Happening::ToPerson { .. }
        | Happening::PersonTick { .. }
        | Happening::Flush
        | Happening::Sync
        | Happening::Crash
        | Happening::Break { .. }
        | Happening::NextBreak { .. }
        | Happening::Restart { .. }
        | Happening::Room { .. }
        | Happening::SlowTurn
        | Happening::Act(_) => false,
    }
}

impl World {
    fn since_start(&self) -> Duration {
        self.now.since(super::BEGIN)
    }

    /// Everybody of both camps, and the attackers after them: who is there anyway has the same number in every run.
    pub(super) fn people_apart(&mut self) {
        let half = usize::from(SHARDS / 2);
        for (role, name, first) in [(Role::Bystander, "bystander", half), (Role::Neighbour, "neighbour", 0)] {
            for place in 0..USERS_OF_A_CAMP {
                let is_late = place + LATE_USERS >= USERS_OF_A_CAMP;
                for device in 0..2 {
                    let name = (&*format!("{name}{place}"), device);
                    self.settle_apart(name, first + place % half, role, is_late);
                }
            }
        }
        let (count, role) = match self.attack() {
            Some(Attack::HotReceiver { senders }) => (senders, Role::Fan),
            Some(Attack::HostileClients { clients }) => (clients, Role::Hostile),
            Some(Attack::StalledDisk | Attack::SlowCore) | None => (0, Role::Fan),
        };
        for place in 0..count {
            self.settle_apart((&format!("attacker{place}"), 0), place % half, role, true);
        }
    }

    fn attack(&self) -> Option<Attack> {
        self.apart.as_ref().and_then(|apart| apart.attack)
    }

    /// A device of a user whose home is this shard: linked at the start, or while the attack goes on.
    fn settle_apart(&mut self, (name, device): (&str, usize), shard: usize, role: Role, is_late: bool) {
        let placement = Placement::even(SHARDS);
        let mut names = (0_u32..).map(|number| super::id(UserId::parse(&format!("{name}-{number}"))));
        let Some(user) = names.find(|user| usize::from(placement.shard_of(user.slot()).0) == shard) else {
            return;
        };
        let device = super::id(DeviceId::parse(&format!("device{device}")));
        let (linked, writes) = if is_late { (LATE, LATE_WRITES) } else { (SOON, SOON_WRITES) };
        self.draw_from(Stream::Shard(shard), |world| {
            let person = Person::new(user.clone(), device, world.random.next());
            world.checker.device(person.name(), user);
            world.people.push(person);
            let person = world.people.len() - 1;
            if let Some(apart) = &mut world.apart {
                apart.roles.push(role);
                apart.homes.push(shard);
                apart.written.push(0);
            }
            world.plan_in(linked.0, linked.1, Happening::Connect { person });
            world.plan_in(writes.0, writes.1, Happening::Compose { person });
        });
    }

    /// Does something with the chance of a stream.
    pub(super) fn draw_from<T>(&mut self, stream: Stream, then: impl FnOnce(&mut Self) -> T) -> T {
        let Some(apart) = &mut self.apart else { return then(self) };
        let (one, other) = match stream {
            Stream::Shard(shard) => (shard, 0),
            Stream::Pair(from, to) => (from, 1 + to),
        };
        let fresh = || Random::new(apart.seed ^ Random::new((one << 16 | other) as u64 + 1).next());
        let own = apart.streams.remove(&stream).unwrap_or_else(fresh);
        let before = std::mem::replace(&mut self.random, own);
        let done = then(self);
        let own = std::mem::replace(&mut self.random, before);
        if let Some(apart) = &mut self.apart {
            apart.streams.insert(stream, own);
        }
        done
    }

    /// From which stream a happening draws.
    pub(super) fn stream_of(&self, happening: &Happening) -> Option<Stream> {
        let apart = self.apart.as_ref()?;
        apart.shard_of(happening).map(Stream::Shard)
    }

    /// What a slow core does not come to yet.
    pub(super) fn when_it_is_its_turn(&mut self, happening: Happening) -> Option<Happening> {
        let is_slow = self.attack() == Some(Attack::SlowCore) && self.since_start() >= STRIKES;
        let Some(apart) = self.apart.as_mut().filter(|_| is_slow) else { return Some(happening) };
        if apart.shard_of(&happening) != Some(STRUCK) || !is_core_work(&happening) {
            return Some(happening);
        }
        apart.waiting.push_back(happening);
        if apart.waiting.len() == 1 {
            self.plan_at(self.now.after(SLOW_TURN), Happening::SlowTurn);
        }
        None
    }

    /// A slow core comes to what has waited longest.
    pub(super) fn slow_turn(&mut self) {
        let Some(apart) = &mut self.apart else { return };
        let Some(happening) = apart.waiting.pop_front() else { return };
        apart.seen.slow_turns += 1;
        if !apart.waiting.is_empty() {
            self.plan_at(self.now.after(SLOW_TURN), Happening::SlowTurn);
        }
        self.carry(happening);
    }

    /// How long a sync takes that stalls; `None`: it does not.
    pub(super) fn stalled_sync(&mut self, shard: usize) -> Option<Duration> {
        let is_time = (STRIKES..QUIET).contains(&self.since_start());
        if self.attack() != Some(Attack::StalledDisk) || shard != STRUCK || !is_time {
            return None;
        }
        if let Some(apart) = &mut self.apart {
            apart.seen.stalled_syncs += 1;
        }
        Some(STALLED_SYNC)
    }

    /// Adds to the bystanders' trace what happens to them.
    pub(super) fn note_apart(&mut self, happening: &Happening, (kind, who, bytes): (u8, usize, &[u8])) {
        let is_compared = self.since_start() < COMPARED;
        let Some(apart) = self.apart.as_mut().filter(|_| is_compared) else { return };
        if !apart.shard_of(happening).is_some_and(is_calm_side) {
            return;
        }
        if let Happening::Mail { from, .. } = happening
            && !is_calm_side(usize::from(*from))
        {
            apart.seen.foreign_mail += 1;
            return;
        }
        apart.seen.happenings += 1;
        apart.trace.update(&self.now.0.to_be_bytes());
        apart.trace.update(&[kind]);
        apart.trace.update(&(who as u64).to_be_bytes());
        apart.trace.update(bytes);
    }

    /// Adds to the bystanders' trace what their shards have written.
    pub(super) fn note_write(&mut self, shard: usize, bytes: &[u8]) {
        let is_compared = self.since_start() < COMPARED;
        if let Some(apart) = self.apart.as_mut().filter(|_| is_compared && is_calm_side(shard)) {
            apart.trace.update(bytes);
        }
    }

    /// A shard wants no more read from its sockets.
    pub(super) fn reads_stop(&mut self, shard: usize) {
        if let Some(apart) = self.apart.as_mut().filter(|_| is_calm_side(shard)) {
            apart.seen.reads_stopped += 1;
        }
    }

    /// A device of a camp writes.
    pub(super) fn compose_apart(&mut self, person: usize) {
        let Some(apart) = &self.apart else { return };
        if self.since_start() >= QUIET {
            self.calm = true;
            return;
        }
        let role = apart.roles[person];
        match role {
            Role::Bystander | Role::Neighbour => {
                let camp: Vec<usize> =
                    (0..apart.roles.len()).filter(|other| apart.roles[*other] == role).collect();
                let peer = camp[self.random.index(camp.len())];
                self.write_to(person, self.people[peer].user.clone());
                self.plan_in(PACE.0, PACE.1, Happening::Compose { person });
            }
            Role::Fan => {
                let star = (0..apart.roles.len())
                    .find(|other| apart.roles[*other] == Role::Neighbour && apart.homes[*other] == STRUCK);
                if let Some(star) = star {
                    self.write_to(person, self.people[star].user.clone());
                }
                self.plan_in(FAN_PACE.0, FAN_PACE.1, Happening::Compose { person });
            }
            Role::Hostile => {
                self.be_hostile(person);
                self.plan_in(HOSTILE_PACE.0, HOSTILE_PACE.1, Happening::Compose { person });
            }
        }
    }

    /// Sends what no client may send. Answers to request 0 change nothing in a session.
    fn be_hostile(&mut self, person: usize) {
        let Some(conn) = self.people[person].conn.filter(|_| self.people[person].session.is_online()) else {
            return;
        };
        let send = |to: &str, message_id: &[u8], length: usize| {
            Frame::Send(wire::Send {
                request_id: 0,
                target: Some(WireTarget::To(to.to_owned())),
                message_id: Bytes::copy_from_slice(message_id),
                payload: Bytes::from(vec![b'!'; length]),
                ack_through: None,
            })
        };
        let id = *self.mint(0).as_bytes();
        let nobody = "n".repeat(1_000);
        let frame = match self.random.below(40) {
            0 => Frame::Ack(wire::Ack { through_offset: u64::MAX }),
            1 => {
                let at = self.now.after(Duration::from_micros(50));
                let body = Bytes::from_static(&[0x0f, 0xff, 0xff]);
                self.count_hostile(person);
                return self.plan_at(at, Happening::ToServer { person, conn, body });
            }
            2..10 => send("no such user", &id, 1),
            10..20 => send("x", b"short", 1),
            20..25 => send("x", &id, PAYLOAD_BYTES_MAX + 1),
            25..30 => send(&nobody, &id, 0),
            30..35 => Frame::Unlink(wire::Unlink { request_id: 0, device: nobody }),
            _ => Frame::Pong(wire::Pong { nonce: 77 }),
        };
        self.count_hostile(person);
        self.send_to_server(person, frame);
    }

    fn count_hostile(&mut self, person: usize) {
        if let Some(apart) = &mut self.apart {
            apart.camp(person).hostile_frames += 1;
        }
    }

    pub(super) fn is_hostile(&self, person: usize) -> bool {
        self.apart.as_ref().is_some_and(|apart| apart.roles[person] == Role::Hostile)
    }

    pub(super) fn wrote_apart(&mut self, person: usize, message_id: MessageId) {
        let now = self.now;
        if let Some(apart) = &mut self.apart {
            apart.open.insert((person, message_id), now);
        }
    }

    pub(super) fn accepted_apart(&mut self, person: usize, accepted: &Accepted) {
        let now = self.now;
        let Some(apart) = &mut self.apart else { return };
        let Some(at) = apart.open.remove(&(person, accepted.message_id)) else { return };
        let wait = u64::try_from(now.since(at).as_micros()).unwrap_or(u64::MAX);
        let camp = apart.camp(person);
        camp.accepted += 1;
        camp.waits_us += wait;
        camp.longest_wait_us = camp.longest_wait_us.max(wait);
    }

    pub(super) fn refused_apart(&mut self, person: usize) {
        if let Some(apart) = &mut self.apart {
            apart.camp(person).refused += 1;
        }
    }

    pub(super) fn applied_apart(&mut self, person: usize) {
        if let Some(apart) = &mut self.apart {
            apart.camp(person).applied += 1;
        }
    }

    pub(super) fn closed_apart(&mut self, person: usize) {
        if let Some(apart) = &mut self.apart {
            apart.camp(person).closed += 1;
        }
    }

    /// True while bystanders are still to be compared; a crowd is not asked after each step whether it is done.
    pub(super) fn goes_on_apart(&self, happening: &Happening) -> bool {
        let is_flush = matches!(happening, Happening::Flush);
        self.apart.is_some() && (self.since_start() < COMPARED || !is_flush)
    }
}
