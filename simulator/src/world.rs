//! The world: an ordered list of what happens next, and what each of it does.
//!
//! Invariants
//! - Events happen in the order of their time, and of their making where times are equal.
//! - A frame of a connection that broke never arrives.

mod apart;
mod base;
mod boot;
mod faults;
mod limits;
mod links;
mod shards;

use crate::checker::{Checker, Violation};
use crate::disk::Disks;
use crate::node::Node;
use crate::people::Person;
use crate::plan::{Faults, Plan};
use crate::random::Random;
use crate::reached::Reached;
use crate::story::{Story, words};
use apart::Camps;
use bytes::Bytes;
use iris_client::session::{Event as Told, Output};
use iris_client::state::Target;
use iris_protocol::limits::{DEDUP_MEMORY_MAX, Limits};
use iris_protocol::wire::GapReason;
use iris_protocol::{
    CloseCode, ConversationId, DeviceId, Durability, Envelope, Generation, MessageId, Mono, Placement, Slot,
    UserId, Wall,
};
use iris_shard::io::{ConnId, LoadId};
use iris_shard::mail::Mail;
use iris_storage::load::LoadRequest;
use iris_storage::meta::MetaFile;
use iris_storage::op::Ops;
use limits::{Act, Narrow};
use shards::is_due;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

pub use apart::{Apart, Attack, Camp};

/// 2026-01-01 in ms since 1970.
const START: Wall = Wall(1_767_225_600_000);
/// The age at which an unknown id is refused, in some runs.
const SHORT_DEDUP: Duration = Duration::from_secs(3);
/// How many message ids a shard keeps in memory at least, in some runs.
const FORGETFUL: usize = 2;
/// When late devices are linked, in microseconds: messages flow since 2 s.
const LATE: (u64, u64) = (2_100_000, 3_500_000);
/// A stop that aims at the moment after a late device's first words, in microseconds.
const AFTER_LINK: (u64, u64) = (0, 40_000);
/// Simulated time starts here, so that "never" can be 0.
const BEGIN: Mono = Mono(1_000_000_000);

/// Something that will happen.
pub(crate) enum Happening {
    /// A device sends a message.
    Compose { person: usize },
    /// A device connects.
    Connect { person: usize },
    /// Bytes of a frame reach the server.
    ToServer { person: usize, conn: ConnId, body: Bytes },
    /// Bytes of a frame reach a device.
    ToPerson { person: usize, conn: ConnId, body: Bytes },
    /// The server notices that a connection is gone.
    Gone { shard: usize, conn: ConnId, boot: Generation },
    /// A device's deadline.
    PersonTick { person: usize },
    /// A shard's deadline.
    ShardTick { shard: usize, boot: Generation },
    /// A write is synced.
    Synced { shard: usize, boot: Generation },
    /// The tables answer.
    Answer { shard: usize, boot: Generation, id: LoadId, request: LoadRequest },
    /// Mail arrives.
    Mail { from: u16, to: usize, boot: Generation, mail: Box<Mail> },
    /// The tables are flushed.
    Flush,
    /// With `os` durability: what was written is synced.
    Sync,
    /// The process stops.
    Crash,
    /// A connection breaks.
    Break { person: usize },
    /// A connection breaks, and another one will.
    NextBreak { person: usize },
    /// A device stops and comes back.
    Restart { person: usize },
    /// A shard's disk has no room any more, or has room again.
    Room { shard: usize, boot: Generation, available: bool },
    /// A slow core comes to what has waited longest.
    SlowTurn,
    /// What belongs to narrow limits.
    Act(Act),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Claims that did not hold, with the simulated time in microseconds.
    pub violations: Vec<(u64, Violation)>,
    /// Rare states.
    pub reached: Reached,
    /// Acknowledgements that were judged.
    pub acknowledgements: u64,
    /// Messages stored.
    pub messages: u64,
    /// Happenings.
    pub steps: u64,
    /// Equal for equal histories.
    pub trace: u64,
    /// Simulated time.
    pub simulated: Duration,
}

/// See the module.
pub(crate) struct World {
    plan: Plan,
    random: Random,
    /// The chance of the host's clock: a stream of its own, so that its jumps change nothing else.
    jumps: Random,
    now: Mono,
    agenda: BTreeMap<(Mono, u64), Happening>,
    made: u64,
    disks: Disks,
    /// META of the process that runs.
    meta: Option<MetaFile>,
    /// Shards of the process that runs.
    shards: u16,
    durability: Durability,
    /// Starts of the host.
    host_boots: u8,
    /// The host lost writes: clients will see a new incarnation.
    is_rewound: bool,
    nodes: Vec<Node>,
    /// What was accepted and not confirmed when the process started, with the slots that had not confirmed it.
    outbox: Vec<(Arc<Envelope>, Vec<Slot>)>,
    people: Vec<Person>,
    conns: BTreeMap<ConnId, (usize, usize)>,
    /// The same of connections that their devices gave up, until the process knows.
    left: BTreeMap<ConnId, (usize, usize)>,
    mail_last: BTreeMap<(u16, usize), Mono>,
    /// Mail on its way, by sender and receiver.
    mail_count: BTreeMap<(u16, usize), usize>,
    waiting: Vec<VecDeque<(u64, Ops)>>,
    /// Shards whose disk has no room.
    full: Vec<bool>,
    generation: Generation,
    checker: Checker,
    reached: Reached,
    trace: Xxh3,
    next_conn: u64,
    composed: u64,
    calm: bool,
    steps: u64,
    limits: Limits,
    /// Message ids that a shard keeps in memory.
    dedup_ids: usize,
    /// What happened in words, if somebody wants to read it.
    story: Option<Story>,
    narrow: Option<Narrow>,
    apart: Option<Camps>,
}

/// Runs one seed to its end.
pub fn run(seed: u64, plan: &Plan) -> Outcome {
    play(World::new(seed, plan.clone()), seed, plan).0
}

/// Runs a world of two camps, one of which may be attacked, without any other fault; and tells what the camps saw.
pub fn run_apart(seed: u64, attack: Option<Attack>) -> (Outcome, Apart) {
    let plan = Plan { users: 0, shards: apart::SHARDS, faults: Faults::NONE, ..Plan::default() };
    let mut world = World::new(seed, plan.clone());
    world.apart = Some(Camps::new(seed, attack));
    let violations = world.live(&plan);
    let camps = world.apart.take().map(Camps::seen).unwrap_or_default();
    (world.end(seed, violations), camps)
}

/// Runs one seed to its end, and tells what happened last, in so many lines.
pub fn run_and_tell(seed: u64, plan: &Plan, lines_max: usize) -> (Outcome, Vec<String>) {
    let mut world = World::new(seed, plan.clone());
    world.story = Some(Story::new(lines_max));
    play(world, seed, plan)
}

fn play(mut world: World, seed: u64, plan: &Plan) -> (Outcome, Vec<String>) {
    let violations = world.live(plan);
    let story = world.story.take().map(Story::lines).unwrap_or_default();
    (world.end(seed, violations), story)
}

impl World {
    fn new(seed: u64, mut plan: Plan) -> Self {
        let mut limits = Limits { sends_per_second: 10_000, sends_burst: 10_000, ..Limits::default() };
        if plan.faults.old_ids && seed.is_multiple_of(4) {
            // A retry may be too old to be judged, unless it is known.
            limits.dedup = SHORT_DEDUP;
            // A clock that is minutes ahead would call every id old.
            plan.faults.clock = false;
        }
        // Others have narrow limits, or ids that grow old.
        let is_os = plan.faults.os && seed % 4 == 3;
        let durability = if is_os { Durability::Os } else { Durability::Fsync };
        let narrow = Narrow::of(seed, &mut plan, &mut limits);
        // Others again keep few ids in memory.
        let is_forgetful = plan.faults.limits && seed % 4 == 2;
        let dedup_ids = if is_forgetful {
            FORGETFUL + usize::try_from(seed / 4 % 13).unwrap_or(0)
        } else {
            DEDUP_MEMORY_MAX
        };
        let mut checker = Checker::default();
        checker.limits(limits, if plan.faults.cores { boot::SHARDS_MAX } else { plan.shards });
        Self {
            random: Random::new(seed),
            jumps: Random::new(!seed),
            now: BEGIN,
            agenda: BTreeMap::new(),
            made: 0,
            disks: Disks::default(),
            meta: None,
            shards: plan.shards,
            durability,
            host_boots: 1,
            is_rewound: false,
            nodes: Vec::new(),
            outbox: Vec::new(),
            people: Vec::new(),
            conns: BTreeMap::new(),
            left: BTreeMap::new(),
            mail_last: BTreeMap::new(),
            mail_count: BTreeMap::new(),
            waiting: Vec::new(),
            full: Vec::new(),
            generation: Generation(0),
            checker,
            reached: Reached::default(),
            trace: Xxh3::new(),
            next_conn: 1,
            composed: 0,
            calm: false,
            steps: 0,
            limits,
            dedup_ids,
            story: None,
            narrow,
            apart: None,
            plan,
        }
    }

    /// Everything happens, until a claim is violated, or the calm world has settled or had its time.
    fn live(&mut self, plan: &Plan) -> Vec<(u64, Violation)> {
        self.start();
        let mut deadline = None;
        while let Some(((at, _), happening)) = self.agenda.pop_first() {
            self.now = at;
            self.steps += 1;
            self.checker.at(at, self.wall());
            let goes_on = self.goes_on_apart(&happening);
            self.happen(happening);
            if plan.stop_at == Some(self.steps) {
                self.crash();
            }
            if let Some(first) = self.checker.violations().first() {
                return vec![(self.micros(), first.clone())];
            }
            if self.calm && deadline.is_none() {
                deadline = Some(self.now.after(self.plan.calm));
            }
            let settled = self.calm && !goes_on && self.is_settled();
            if settled || deadline.is_some_and(|deadline| self.now > deadline) {
                break;
            }
        }
        Vec::new()
    }

    fn start(&mut self) {
        self.boot(&mut boot::Found::new());
        self.waiting = self.nodes.iter().map(|_| VecDeque::new()).collect();
        for shard in 0..self.nodes.len() {
            self.after_input(shard);
        }
        for user in 0..self.plan.users {
            for device in 0..self.plan.devices {
                let user = id(UserId::parse(&format!("user{user}")));
                let device = id(DeviceId::parse(&format!("device{device}")));
                let jitter = self.random.next();
                let person = Person::new(user.clone(), device, jitter);
                self.checker.device(person.name(), user);
                self.people.push(person);
                let person = self.people.len() - 1;
                let (from, to) = if self.is_late(person) { LATE } else { (0, 1_000) };
                self.plan_in(from, to, Happening::Connect { person });
            }
        }
        for person in 0..self.people.len() {
            let (from, to) =
                if self.is_late(person) { (LATE.1, LATE.1 + 500_000) } else { (2_000_000, 3_000_000) };
            self.plan_in(from, to, Happening::Compose { person });
        }
        self.plan_faults();
        self.plan_acts();
        if self.apart.is_some() {
            self.people_apart();
        }
    }

    /// True for the devices of the last user and for the last device of the one before: they are linked late.
    fn is_late(&self, person: usize) -> bool {
        let devices = usize::try_from(self.plan.devices).unwrap_or(usize::MAX);
        let users = usize::try_from(self.plan.users).unwrap_or(usize::MAX);
        let (user, device) = (person / devices, person % devices);
        let is_last = user + 1 == users || (user + 2 == users && device > 0 && device + 1 == devices);
        self.plan.faults.late_links && user > 0 && is_last
    }

    /// Something happens between `from` and `to` microseconds from now.
    pub(crate) fn plan_in(&mut self, from: u64, to: u64, happening: Happening) {
        let micros = self.random.within(from, to);
        let at = self.now.after(Duration::from_micros(micros));
        self.plan_at(at, happening);
    }

    pub(crate) fn plan_at(&mut self, at: Mono, happening: Happening) {
        self.made += 1;
        self.agenda.insert((at, self.made), happening);
    }

    fn happen(&mut self, happening: Happening) {
        let Some(happening) = self.when_it_is_its_turn(happening) else { return };
        match self.stream_of(&happening) {
            None => self.carry(happening),
            Some(stream) => self.draw_from(stream, |world| world.carry(happening)),
        }
    }

    fn carry(&mut self, happening: Happening) {
        self.note(&happening);
        self.tell(&happening);
        match happening {
            Happening::Compose { person } => self.compose(person),
            Happening::Connect { person } => {
                self.connect(person);
                if self.is_late(person) && self.plan.faults.crashes && !self.calm && self.random.one_in(3) {
                    self.reached.crash_at_link += 1;
                    self.plan_in(AFTER_LINK.0, AFTER_LINK.1, Happening::Crash);
                }
            }
            Happening::ToServer { person, conn, body } => self.take_at_server(person, conn, body),
            Happening::ToPerson { person, conn, body } => self.take_at_device(person, conn, body),
            Happening::Gone { shard, conn, boot } => self.gone(shard, conn, boot),
            Happening::PersonTick { person } => {
                if !is_due(self.people[person].tick_at, self.now) {
                    return;
                }
                self.people[person].tick_at = None;
                let now = self.now;
                self.people[person].session.tick(now);
                self.take_outputs(person);
            }
            Happening::ShardTick { shard, boot } => self.shard_tick(shard, boot),
            Happening::Synced { shard, boot } => self.synced(shard, boot),
            Happening::Answer { shard, boot, id, request } => self.answer(shard, boot, id, &request),
            Happening::Mail { from, to, boot, mail } => self.mail(from, to, boot, *mail),
            Happening::Flush => self.flush(),
            Happening::Sync => self.sync(),
            Happening::Crash => self.crash(),
            Happening::Break { person } => self.break_connection(person),
            Happening::NextBreak { person } => {
                self.break_connection(person);
                self.plan_break();
            }
            Happening::Restart { person } => self.restart(person),
            Happening::Room { shard, boot, available } => self.room(shard, boot, available),
            Happening::SlowTurn => self.slow_turn(),
            Happening::Act(act) => self.act(act),
        }
    }

    fn tell(&mut self, happening: &Happening) {
        let micros = self.micros();
        let people = &self.people;
        if let Some(story) = &mut self.story
            && let Some(words) = words(happening, |person| people[person].name())
        {
            story.tell(micros, &words);
        }
    }

    /// The trace: what happened, to whom, when.
    fn note(&mut self, happening: &Happening) {
        let (kind, who, bytes): (u8, usize, &[u8]) = match happening {
            Happening::Compose { person } => (1, *person, &[]),
            Happening::Connect { person } => (2, *person, &[]),
            Happening::ToServer { person, body, .. } => (3, *person, body),
            Happening::ToPerson { person, body, .. } => (4, *person, body),
            Happening::Gone { shard, .. } => (5, *shard, &[]),
            Happening::PersonTick { person } => (6, *person, &[]),
            Happening::ShardTick { shard, .. } => (7, *shard, &[]),
            Happening::Synced { shard, .. } => (8, *shard, &[]),
            Happening::Answer { shard, .. } => (9, *shard, &[]),
            Happening::Mail { to, .. } => (10, *to, &[]),
            Happening::Flush => (11, 0, &[]),
            Happening::Crash => (12, 0, &[]),
            Happening::Break { person } => (13, *person, &[]),
            Happening::Restart { person } => (14, *person, &[]),
            Happening::NextBreak { person } => (15, *person, &[]),
            Happening::Room { shard, .. } => (16, *shard, &[]),
            Happening::Sync => (17, 0, &[]),
            Happening::Act(act) => (18, act.number(), &[]),
            Happening::SlowTurn => (19, 0, &[]),
        };
        self.note_apart(happening, (kind, who, bytes));
        self.trace.update(&self.now.0.to_be_bytes());
        self.trace.update(&[kind]);
        self.trace.update(&(who as u64).to_be_bytes());
        self.trace.update(bytes);
    }

    fn wall(&self) -> Wall {
        START.after_ms(self.micros() / 1000)
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.now.since(BEGIN).as_micros()).unwrap_or(u64::MAX)
    }

    /// A device writes to somebody.
    fn compose(&mut self, person: usize) {
        if self.apart.is_some() {
            return self.compose_apart(person);
        }
        if self.composed >= self.plan.ops {
            self.calm = true;
            return;
        }
        let peer = self.random.index(self.people.len());
        let to = self.people[peer].user.clone();
        self.write_to(person, to);
        let (from, to) = self.pace();
        self.plan_in(from, to, Happening::Compose { person });
    }

    /// A device writes to a user; a fresh id, as a client mints it right before the first transmission.
    fn write_to(&mut self, person: usize, to: UserId) {
        let sender = self.people[person].user.clone();
        self.composed += 1;
        let number = self.apart.as_mut().map_or(self.composed, |apart| apart.next_number(person));
        let message_id = self.mint(number);
        let mut words = format!("{} {number}", self.people[person].name());
        words.extend(std::iter::repeat_n('.', self.length()));
        let payload = Bytes::from(words);
        let conversation = ConversationId::direct(&sender, &to);
        self.minted(sender.clone(), to.clone(), message_id);
        self.wrote_apart(person, message_id);
        let now = self.now;
        let taken = self.people[person].session.send(now, Target::To(to), message_id, payload.clone());
        if taken.is_ok() {
            self.checker.sent(conversation, message_id, sender, payload);
        }
        self.take_outputs(person);
    }

    fn mint(&self, number: u64) -> MessageId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(self.wall().0 << 16).to_be_bytes());
        bytes[6] = 0x70;
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        bytes[8] = 0x80;
        id(MessageId::parse(&bytes))
    }

    /// What a session told: to the checker, and back as stored.
    fn told(&mut self, person: usize, told: Told) {
        let name = self.people[person].name();
        match told {
            Told::Message(message) => {
                let place = (&message.conversation, message.sequence);
                self.checker.applied(&name, place, message.message_id, &message.payload);
                self.applied_apart(person);
                let now = self.now;
                self.people[person].session.stored(now, message.offset);
            }
            Told::Gap(gap) if gap.reason == GapReason::HistoryRewound && self.reached.rewound > 0 => {
                self.reached.rewound_told += 1;
            }
            Told::Gap(gap) => {
                let hole = (gap.from, gap.through);
                self.checker.told(&name, gap.conversation.as_ref(), hole, gap.reason);
                if let Some(offset) = gap.offset {
                    let now = self.now;
                    self.people[person].session.stored(now, offset);
                }
            }
            Told::ServerFault(fault) => self.checker.violate("C3", format!("{name}: {fault}")),
            // Judged when it was sent: what is on the disk is never too old.
            Told::Unknown { .. } => self.reached.too_old += 1,
            Told::Accepted(accepted) => {
                self.reached.retry_accepted += u64::from(accepted.transmissions > 1);
                self.accepted_apart(person, &accepted);
            }
            Told::Rejected(rejected) => {
                self.reached.busy += 1;
                self.refused_apart(person);
                if rejected.retry_after.is_none() {
                    self.checker.violate("C1", format!("{name}: refused for good: {rejected:?}"));
                }
            }
            Told::Duplicate { .. } => self.reached.raw_duplicates += 1,
            Told::Closed(closed) if closed.code == Some(CloseCode::DeviceUnlinked) => self.taken_away(person),
            Told::Closed(closed) if closed.code == Some(CloseCode::TooManyDevices) => self.no_place(person),
            Told::Closed(closed) if closed.code == Some(CloseCode::Conflict) => self.thrown_out(person),
            Told::Welcome(_) => self.welcomed(person),
            Told::RequestRejected { .. } if self.is_hostile(person) => self.refused_apart(person),
            Told::RequestRejected { code, .. } => self.checker.refused_request(&name, code),
            Told::CaughtUp { .. }
            | Told::Closed(_)
            | Told::GoAway { .. }
            | Told::Refreshed { .. }
            | Told::Devices { .. }
            | Told::Unlinked { .. } => {}
        }
    }

    pub(crate) fn take_outputs(&mut self, person: usize) {
        while let Some(output) = self.people[person].session.poll() {
            match output {
                Output::Frame(frame) => self.send_to_server(person, frame),
                Output::Event(told) => self.told(person, told),
                Output::Connect => self.connect(person),
                Output::Disconnect { .. } => self.hang_up(person),
            }
        }
        if let Some(deadline) = self.people[person].session.next_deadline()
            && self.people[person].tick_at.is_none_or(|at| deadline < at)
        {
            let at = deadline.max(self.now.after(Duration::from_micros(1)));
            self.people[person].tick_at = Some(at);
            self.plan_at(at, Happening::PersonTick { person });
        }
    }

    fn placement(&self) -> Placement {
        Placement::even(self.shards)
    }

    fn is_settled(&self) -> bool {
        let is_done = |person: &Person| person.session.unanswered_count() == 0 && person.session.is_online();
        self.people.iter().enumerate().all(|(number, person)| self.is_out(number) || is_done(person))
            && self.checker.has_converged()
    }

    /// Messages that wait for an answer, of devices that have a place.
    fn unanswered(&self) -> usize {
        let people = self.people.iter().enumerate().filter(|(number, _)| !self.is_out(*number));
        people.map(|(_, person)| person.session.unanswered_count()).sum()
    }

    fn end(mut self, seed: u64, mut violations: Vec<(u64, Violation)>) -> Outcome {
        for node in &self.nodes {
            self.reached.count(node.shard.counters());
        }
        let (micros, simulated) = (self.micros(), self.now.since(BEGIN));
        let unanswered = self.unanswered();
        if unanswered > 0 && violations.is_empty() {
            self.checker.violate("C7", format!("{unanswered} messages are unanswered in a calm world"));
        }
        self.reached.saw(&self.checker.rare());
        let messages = self.checker.stored_count() as u64;
        let (found, acknowledgements) = self.checker.finish();
        if violations.is_empty() {
            violations.extend(found.into_iter().map(|violation| (micros, violation)));
        }
        Outcome {
            seed,
            violations,
            reached: self.reached,
            acknowledgements,
            messages,
            steps: self.steps,
            trace: self.trace.digest(),
            simulated,
        }
    }
}

/// Ids that the world makes are valid.
fn id<T>(parsed: Result<T, iris_protocol::IdError>) -> T {
    parsed.unwrap_or_else(|error| unreachable!("the world's own id: {error}"))
}
