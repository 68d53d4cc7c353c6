//! The shard itself: what it is made of, and where each input goes.
//!
//! Invariants
//! - State changes only inside [`Shard::handle`]; time comes in with the input and never goes back.
//! - Effects come out in the order in which they were made.

use crate::arena::Arena;
use crate::channel::Channel;
use crate::clock::ShardClock;
use crate::conversation::Conversation;
use crate::counters::Counters;
use crate::credit::Peer;
use crate::dedup::Dedup;
use crate::expiry::Expiry;
use crate::heartbeat::{STALL_CHECK, ms_of};
use crate::io::{Backpressure, ConnId, Deadline, Effect, Input};
use crate::loads::Loads;
use crate::mail::Body;
use crate::memory::Survey;
use crate::recipient::Recipient;
use crate::session::Session;
use crate::settle::{CONFIRM_DELAY, OWN_COPY_DELAY, SETTLE_DELAY};
use crate::stored::Tickets;
use crate::sweep::Sweep;
use crate::timers::{Alarm, Delayed, Wheel};
use crate::unclaimed::Unclaimed;
use crate::user::{User, Work};
use iris_protocol::{Durability, Generation, Incarnation, Limits, Mono, Placement, ShardId, Wall};
use iris_storage::load::BootState;
use std::collections::VecDeque;

/// Everything a shard is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which shard this is.
    pub shard: ShardId,
    /// Which shard owns which slot; also says how many shards there are.
    pub placement: Placement,
    /// The boot number: the upper part of offsets, and the epoch of mail.
    pub generation: Generation,
    /// The history's identity, for Welcome.
    pub incarnation: Incarnation,
    /// What an Accepted promises.
    pub durability: Durability,
    /// Limits in force.
    pub limits: Limits,
    /// Message ids kept in memory, [`DEDUP_MEMORY_MAX`](iris_protocol::limits::DEDUP_MEMORY_MAX) in a server: those that the
    /// tables do not hold yet come on top.
    pub dedup_ids: usize,
    /// Seed of every hash map: random per boot, so that clients cannot aim at collisions.
    pub hash_seed: u64,
    /// Capacity of the mail ring of an ordered pair of shards, at least [`MAIL_RING_MIN`](crate::MAIL_RING_MIN). Half of
    /// it is for requests: a quarter for Submit, most of another quarter for Forward. A Forward holds its credit
    /// until it is confirmed, some 20 ms, so that a pair of shards carries about ring / 6 messages in that time.
    pub mail_ring: usize,
    /// The shard clock at boot: the persisted one, advanced over the restart.
    pub clock: Wall,
    /// Capabilities this server offers; Welcome names those that the client knows too.
    pub capabilities: Vec<String>,
}

/// One core's state machine. See the crate.
#[derive(Debug)]
pub struct Shard {
    pub(crate) config: Config,
    pub(crate) now: Mono,
    pub(crate) clock: ShardClock,
    pub(crate) effects: VecDeque<Effect>,
    /// Mail to this shard itself.
    pub(crate) local: VecDeque<Body>,
    pub(crate) sessions: Arena<Session>,
    pub(crate) users: Arena<User>,
    pub(crate) channels: Arena<Channel>,
    pub(crate) conversations: Arena<Conversation>,
    pub(crate) recipients: Arena<Recipient>,
    pub(crate) dedup: Dedup,
    pub(crate) peers: Vec<Peer>,
    pub(crate) tickets: Tickets,
    pub(crate) loads: Loads,
    pub(crate) wheel: Wheel,
    pub(crate) due_alarms: Vec<Alarm>,
    /// Sessions with unsent bytes.
    pub(crate) stalls: Delayed<ConnId>,
    /// Users with something to put into a record.
    pub(crate) dirty_users: Delayed<u32>,
    /// Users with own copies that wait for the acknowledgement of the device that sent them.
    pub(crate) waiting_copies: Delayed<u32>,
    /// Conversations with confirmations to record.
    pub(crate) dirty_conversations: Delayed<u32>,
    pub(crate) sweep: Sweep,
    pub(crate) survey: Survey,
    pub(crate) expiry: Expiry,
    pub(crate) unclaimed: Unclaimed,
    #[allow(clippy::vec_box, reason = "the boxes are what is kept for reuse")]
    pub(crate) spare_work: Vec<Box<Work>>,
    pub(crate) next_serial: u32,
    pub(crate) has_storage_room: bool,
    pub(crate) drain_at: Option<Mono>,
    pub(crate) is_draining: bool,
    pub(crate) counters: Counters,
}

impl Shard {
    /// A shard with the state its tables hold. Its first effects forward what the outbox holds and report full inboxes.
    #[must_use]
    pub fn new(now: Mono, config: Config, boot: BootState) -> Self {
        let seed = config.hash_seed;
        let peers = Peer::all(&config);
        let mut shard = Self {
            now,
            clock: ShardClock::new(config.clock, now),
            effects: VecDeque::new(),
            local: VecDeque::new(),
            sessions: Arena::new(seed),
            users: Arena::new(seed),
            channels: Arena::new(seed),
            conversations: Arena::new(seed),
            recipients: Arena::new(seed),
            dedup: Dedup::new(config.dedup_ids, seed, config.clock, &boot),
            peers,
            tickets: Tickets::default(),
            loads: Loads::new(),
            wheel: Wheel::new(now),
            due_alarms: Vec::new(),
            stalls: Delayed::new(STALL_CHECK),
            dirty_users: Delayed::new(SETTLE_DELAY),
            waiting_copies: Delayed::new(OWN_COPY_DELAY),
            dirty_conversations: Delayed::new(CONFIRM_DELAY),
            sweep: Sweep::new(now),
            survey: Survey::default(),
            expiry: Expiry::new(now, &config),
            unclaimed: Unclaimed::default(),
            spare_work: Vec::new(),
            next_serial: 1,
            has_storage_room: true,
            drain_at: None,
            is_draining: false,
            counters: Counters::default(),
            config,
        };
        shard.boot(boot);
        shard.take_local();
        shard
    }

    /// Takes one input. Effects are ready when it returns.
    ///
    /// # Errors
    /// [`Backpressure`]: the input was taken all the same, but the driver must stop reading sockets until
    /// [`Shard::reads_allowed`] is true again; everything else (mail, answers, ticks) it goes on giving.
    pub fn handle(&mut self, now: Mono, input: Input) -> Result<(), Backpressure> {
        self.now = self.now.max(now);
        match input {
            Input::Login { conn, login } => self.login(conn, login),
            Input::Frame { conn, frame } => self.frame_in(conn, frame),
            Input::Refreshed { conn, request_id, renewal } => {
                self.refreshed(conn, request_id, renewal.as_deref());
            }
            Input::Sent { conn, bytes } => self.sent(conn, bytes),
            Input::End { conn, code } => self.end(conn, code),
            Input::Gone { conn } => self.gone(conn),
            Input::Stored { through } => self.stored(through),
            Input::Filled { through } => self.tickets.filled(through),
            Input::StorageRoom { available } => self.has_storage_room = available,
            Input::Loaded { id, answer } => self.loaded(id, answer),
            Input::Mail { from, mail } => self.mail_in(from, mail),
            Input::Limits(limits) => {
                self.config.limits = *limits;
                self.judge_unclaimed();
            }
            Input::Tick => self.tick(),
            Input::Drain => self.drain(),
        }
        self.take_local();
        if self.reads_allowed() {
            return Ok(());
        }
        self.counters.backpressure += 1;
        Err(Backpressure)
    }

    /// The next thing to do; drain until `None` after every input.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to send [`Input::Tick`], and why. Changes with every input.
    pub fn next_deadline(&self) -> (Mono, Deadline) {
        let mut next = (self.sweep.next_due(), Deadline::Sweep);
        let mut consider = |at: Option<Mono>, why| {
            if let Some(at) = at.filter(|at| *at < next.0) {
                next = (at, why);
            }
        };
        consider(self.dirty_users.next_due(), Deadline::Settle);
        consider(self.waiting_copies.next_due(), Deadline::Settle);
        consider(self.dirty_conversations.next_due(), Deadline::Confirm);
        consider(self.wheel.next_due(), Deadline::Session);
        consider(self.stalls.next_due(), Deadline::Stall);
        consider(self.loads.next_retry(), Deadline::Retry);
        consider(self.drain_at, Deadline::Drain);
        next
    }

    /// True while sockets may be read: every Send that was taken has gone to its owner.
    pub fn reads_allowed(&self) -> bool {
        self.peers.iter().all(|peer| peer.waiting_submits.is_empty())
    }

    /// The shard clock at a time.
    pub fn clock(&self, now: Mono) -> Wall {
        self.clock.read(now)
    }

    /// False while new messages are refused with STORAGE_FULL.
    pub fn has_storage_room(&self) -> bool {
        self.has_storage_room
    }

    /// What users without a device that holds entries have in their inboxes, as
    /// [`Limits::unclaimed_total_bytes`] counts it.
    pub fn unclaimed_bytes(&self) -> u64 {
        self.unclaimed.held_bytes()
    }

    /// What it counted since boot.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// True if nothing in memory is waiting to become durable or to be answered: a drained process may exit.
    pub fn settled(&self) -> bool {
        self.effects.is_empty()
            && self.tickets.is_idle()
            && self.dirty_users.is_empty()
            && self.waiting_copies.is_empty()
            && self.dirty_conversations.is_empty()
            && self.loads.is_idle()
            && self.peers.iter().all(Peer::is_idle)
    }

    pub(crate) fn wall(&self) -> Wall {
        self.clock.read(self.now)
    }

    pub(crate) fn now_ms(&self) -> u32 {
        ms_of(self.now)
    }

    fn tick(&mut self) {
        self.take_settles();
        self.take_alarms();
        self.take_stalls();
        self.take_retries();
        self.take_sweep();
        self.take_drain();
    }

    fn take_local(&mut self) {
        while let Some(body) = self.local.pop_front() {
            self.body_in(self.config.shard, body);
        }
    }

    fn drain(&mut self) {
        if std::mem::replace(&mut self.is_draining, true) {
            return;
        }
        self.drain_at = Some(self.now.after(self.config.limits.drain));
        let indices: Vec<u32> = self.sessions.iter().map(|(index, _)| index).collect();
        for index in indices {
            self.tell_to_go(index);
        }
    }

    fn take_drain(&mut self) {
        if self.drain_at.is_none_or(|at| at > self.now) {
            return;
        }
        self.drain_at = None;
        let indices: Vec<u32> = self.sessions.iter().map(|(index, _)| index).collect();
        for index in indices {
            let retry_after_ms = Some(self.spread_ms(index));
            self.close(index, iris_protocol::CloseCode::GoingAway, retry_after_ms);
        }
    }
}
