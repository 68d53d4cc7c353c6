//! The loop of one core: reactor, shard and record log, one tick after the other.
//!
//! Invariants
//! - Nothing here blocks but the turn of the reactor, and a buffered write with `os` durability.
//! - Effects are carried out in the order in which the shard made them.
//! - A core sleeps only after it said so and looked at its mail once more.

mod asked;
mod door;
mod handshakes;
mod inbound;
mod outbound;
mod recording;
mod relocation;
mod timing;

use crate::address::AddressTable;
use crate::asks::Ask;
use crate::conn::ConnTable;
use crate::control::{Control, CoreStats};
use crate::durable::{DurableLog, WriteError};
use crate::flight::{Flight, Recorder};
use crate::gate::TokenGate;
use crate::storage_thread::StorageHandle;
use crate::tls::ServerTls;
use crate::websocket::Upgrades;
use asked::Asked;
use crossbeam_channel::Receiver;
use door::Door;
pub(crate) use handshakes::HandshakeFigures;
use handshakes::Handshakes;
use iris_protocol::{Mono, Placement, ShardId};
use iris_reactor::mail::Post;
use iris_reactor::{Conn, Event, Listener, Peer, Reactor, Wait};
use iris_shard::Shard;
use iris_shard::io::{Input, Ticket};
use iris_shard::mail::Mail;
use iris_storage::number::Vouch;
use relocation::{MovingConn, Relocations};
use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use timing::Timing;

/// Mail taken from other cores in one tick at most.
const MAIL_MAX: usize = 4096;
/// Rounds of effects and log writes in one tick before the sockets are looked at again.
const ROUNDS_MAX: usize = 4;
/// A core looks at its control flags at least this often.
const CONTROL_INTERVAL: Duration = Duration::from_millis(100);

/// What cores send to each other.
pub(crate) enum CoreMail {
    /// Between shards, with the flight of the message in it.
    Shard(Mail, Option<Flight>),
    /// A connection whose descriptor comes through the ring.
    Move(Box<MovingConn>),
}

/// How a listener's connections speak.
#[derive(Clone)]
pub(crate) struct Scheme {
    /// TLS 1.3; without it, TCP on loopback, by flag.
    pub(crate) tls: Option<Arc<ServerTls>>,
    /// WebSocket messages instead of length prefixes.
    pub(crate) is_websocket: bool,
}

/// Why a core stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CoreError {
    /// The ring failed.
    #[error("io_uring failed: {0}")]
    Ring(#[from] std::io::Error),
    /// The record log could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Everything a core is made of.
pub(crate) struct CoreParts {
    /// Its ring.
    pub(crate) reactor: Reactor,
    /// Its state machine.
    pub(crate) shard: Shard,
    /// Its place.
    pub(crate) id: ShardId,
    /// Which shard owns which slot.
    pub(crate) placement: Placement,
    /// Its mail box.
    pub(crate) post: Post<CoreMail>,
    /// The other cores' rings, by shard.
    pub(crate) peers: Vec<Peer>,
    /// Its record log.
    pub(crate) log: DurableLog,
    /// Its storage thread.
    pub(crate) storage: StorageHandle,
    /// Its share of the listening sockets.
    pub(crate) listeners: Vec<(TcpListener, Scheme)>,
    /// What addresses may do.
    pub(crate) addresses: Arc<AddressTable>,
    /// Judges the upgrades of WebSockets.
    pub(crate) upgrades: Upgrades,
    /// Checks tokens.
    pub(crate) tokens: TokenGate,
    /// What the admin port asks.
    pub(crate) asks: Receiver<Ask>,
    /// Flags from the main thread.
    pub(crate) control: Arc<Control>,
    /// Figures for the main thread.
    pub(crate) stats: Arc<CoreStats>,
    /// Zero of the shard's monotonic time, the same for all cores.
    pub(crate) started: Instant,
    /// Time to log in.
    pub(crate) login_timeout: Duration,
}

/// One running core.
pub(crate) struct Core {
    parts: CoreParts,
    listening: Vec<(Listener, Scheme)>,
    conns: ConnTable,
    door: Door,
    handshakes: Handshakes,
    dirty: Vec<Conn>,
    held: VecDeque<Event>,
    relocations: Relocations,
    asked: Asked,
    recorder: Recorder,
    resident_loads: u64,
    timing: Timing,
    scratch: Vec<u8>,
    spare: Vec<Vec<u8>>,
    draining: bool,
    limits_seen: u64,
    next_control: Instant,
}

impl Core {
    /// Takes the listening sockets and starts.
    pub(crate) fn new(mut parts: CoreParts) -> Self {
        let listeners = std::mem::take(&mut parts.listeners);
        let listening =
            listeners.into_iter().map(|(socket, scheme)| (parts.reactor.listen(socket), scheme)).collect();
        let next_control = parts.started;
        Self {
            parts,
            listening,
            conns: ConnTable::default(),
            door: Door::default(),
            handshakes: Handshakes::default(),
            dirty: Vec::new(),
            held: VecDeque::new(),
            relocations: Relocations::default(),
            asked: Asked::default(),
            recorder: Recorder::new(),
            resident_loads: 0,
            timing: Timing::default(),
            scratch: Vec::new(),
            spare: Vec::new(),
            draining: false,
            limits_seen: 0,
            next_control,
        }
    }

    /// Runs until the process is told to stop and everything accepted is durable.
    ///
    /// # Errors
    /// [`CoreError`]: the process must end with the status that belongs to it.
    pub(crate) fn run(mut self) -> Result<Core, CoreError> {
        loop {
            let wait = self.wait();
            self.parts.reactor.turn(wait)?;
            self.parts.post.after_sleep();
            let now = self.mono(self.parts.reactor.now());
            self.handshakes.begin_tick();
            self.take_events(now)?;
            self.take_mail(now);
            self.take_answers(now);
            self.end_revoked(now);
            self.take_asks(now);
            self.keep_time(now);
            let mut more = self.carry_out(now)?;
            // First in the submission: another core begins while this one sends.
            self.wake_peers();
            self.flush();
            if self.handshakes.is_waiting() {
                // Whoever is logged in has what is due to them before a herd takes its part of the tick.
                self.parts.reactor.submit()?;
                self.greet_waiting(now);
                more |= self.carry_out(now)?;
                self.wake_peers();
                self.flush();
            }
            self.recorder.end_tick();
            self.timing.more = more;
            if self.is_done() {
                return Ok(self);
            }
        }
    }

    /// What the data directory may vouch for, once the core has run to its end.
    pub(crate) fn vouch(&self) -> Vouch {
        self.parts.log.vouch()
    }

    fn now(&self) -> Mono {
        self.mono(Instant::now())
    }

    fn mono(&self, at: Instant) -> Mono {
        let since = at.saturating_duration_since(self.parts.started);
        Mono(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    fn instant(&self, at: Mono) -> Instant {
        self.parts.started + Duration::from_nanos(at.0)
    }

    /// How long the next turn may wait: not at all if something is left to do.
    fn wait(&mut self) -> Wait {
        let waits = !self.held.is_empty() || self.handshakes.is_waiting();
        let held = waits && self.parts.shard.reads_allowed();
        if self.timing.more || held || self.relocations.waits_for_room() || !self.parts.post.before_sleep() {
            return Wait::Poll;
        }
        let mut until = self.next_control.max(self.parts.started);
        until = until.min(self.instant(self.parts.shard.next_deadline().0));
        for deadline in [self.timing.next(), self.parts.log.next_deadline()].into_iter().flatten() {
            until = until.min(deadline);
        }
        Wait::Until(until)
    }

    fn take_events(&mut self, now: Mono) -> Result<(), CoreError> {
        while self.parts.shard.reads_allowed()
            && let Some(event) = self.held.pop_front()
        {
            self.take_event(now, event)?;
        }
        while let Some(event) = self.parts.reactor.next() {
            let is_input = matches!(event, Event::Received { .. });
            if is_input && !self.parts.shard.reads_allowed() {
                // Leases stay with us: the buffer ring runs dry, and the kernel stops reading.
                self.held.push_back(event);
            } else {
                self.take_event(now, event)?;
            }
        }
        Ok(())
    }

    fn take_event(&mut self, now: Mono, event: Event) -> Result<(), CoreError> {
        match event {
            Event::Accepted { conn, listener, peer } => self.knocked(now, conn, listener, peer),
            Event::Received { conn, mut bytes } => self.received(now, conn, &mut bytes),
            Event::Sent { conn, buffer } => self.sent(now, conn, buffer),
            Event::Closed { conn, cause } => self.closed(now, conn, cause),
            Event::Detached { conn } => self.detached(conn),
            Event::Moved { conn } => self.moved(conn),
            Event::MoveFailed { conn } => self.move_failed(now, conn),
            Event::Arrived { conn, label } => self.arrived(now, conn, label),
            Event::Written { token, result, buffer } => {
                if let Some(through) =
                    self.parts.log.written(token, result, buffer, &mut self.parts.storage)?
                {
                    self.stored(now, through);
                }
            }
            Event::Synced { token, result } => self.parts.log.synced(token, result)?,
            Event::Connected { .. } => unreachable!("a gateway does not connect"),
            Event::Woken => {}
        }
        Ok(())
    }

    fn take_mail(&mut self, now: Mono) {
        for _ in 0..MAIL_MAX {
            let Some((from, mail)) = self.parts.post.receive(1).next() else { break };
            match mail {
                CoreMail::Shard(mail, flight) => {
                    self.follow_mail(&mail, flight);
                    let from = ShardId(u16::try_from(from).unwrap_or(u16::MAX));
                    self.give(now, Input::Mail { from, mail });
                }
                CoreMail::Move(moving) => self.state_arrived(now, moving),
            }
        }
    }

    fn take_answers(&mut self, now: Mono) {
        while let Some((id, answer)) = self.parts.storage.next_answer() {
            self.take_load(now, id, answer);
        }
        if let Some(through) = self.parts.storage.newly_filled() {
            self.give(now, Input::Filled { through });
        }
        if let Some(available) = self.parts.storage.room_changed() {
            self.give(now, Input::StorageRoom { available });
        }
    }

    /// Carries out effects, writes the log, and repeats while that made new ones. True: something is left.
    fn carry_out(&mut self, now: Mono) -> Result<bool, CoreError> {
        for _ in 0..ROUNDS_MAX {
            self.carry_out_effects();
            let stored = self.parts.log.write(&mut self.parts.reactor, &mut self.parts.storage)?;
            match stored {
                Some(through) => self.stored(now, through),
                None => return Ok(false),
            }
        }
        self.carry_out_effects();
        Ok(self.parts.log.has_waiting(self.parts.reactor.now()))
    }

    fn stored(&mut self, now: Mono, through: Ticket) {
        let sealed = self.mono(self.parts.log.sealed_at());
        self.recorder.stored(through, sealed, self.now());
        self.give(now, Input::Stored { through });
    }

    /// Hands an input to the shard. Backpressure is read from it before the next socket is.
    fn give(&mut self, now: Mono, input: Input) {
        let _backpressure = self.parts.shard.handle(now, input);
    }

    fn wake_peers(&mut self) {
        for peer in self.parts.post.take_wakes() {
            self.parts.reactor.wake(&self.parts.peers[peer]);
        }
    }

    fn is_done(&self) -> bool {
        self.draining && self.parts.control.must_stop() && self.parts.log.is_idle() && self.dirty.is_empty()
    }
}
