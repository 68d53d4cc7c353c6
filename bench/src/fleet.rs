//! One thread of the load on a gateway: many sessions on one reactor, an open loop of messages between pairs.
//!
//! Invariants
//! - All frames of a session that one turn makes leave in one send, its acknowledgement among them.
//! - A member and whom it writes to are on the same thread.

mod churn;
mod member;
mod part;
mod tally;

pub use part::Part;
pub use tally::{MINUTE, Meter, Tally};

use crate::clock::Clock;
use crate::error::BenchError;
use crate::framing;
use crate::gateway::{Credential, source_address};
use crate::histogram::Latencies;
use crate::ledger::Stream;
use crate::links::{Ending, LinkId, Links, Traffic, Wires};
use crate::orders::Orders;
use crate::payload::{Member as MemberId, PAYLOAD_BYTES_MIN, Run};
use crate::schedule::Schedule;
use crate::senders::Senders;
use bytes::Bytes;
use churn::Churn;
use hashbrown::HashMap;
use iris_client::session::Backoff;
use iris_protocol::frame::decode_server;
use iris_protocol::{Durability, Mono};
use iris_reactor::{CloseCause, Wait};
use member::{Inbound, Member, Note};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How often sessions' deadlines are looked at: they are seconds away.
const SWEEP: Duration = Duration::from_millis(100);
/// Sessions looked at each time, at least; and in how many times all are: a deadline is 2 s late at most, and a million sessions
/// are not walked through ten times a second.
const SWEEP_SESSIONS_MIN: usize = 20_000;
const SWEEPS: usize = 20;
/// How long a login may take.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Connections of idle devices on their way at the same time.
const CONNECTING: u32 = 64;

/// Whom the members of a fleet write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partners {
    /// Each to its neighbour: 0 and 1 to each other, and so on.
    Neighbours,
    /// All to the first member, who writes to nobody.
    First,
}

impl Partners {
    /// The index of the member that this one writes to.
    fn of(self, index: usize) -> usize {
        match self {
            Self::Neighbours => index ^ 1,
            Self::First => 0,
        }
    }
}

/// What a fleet is to do.
#[derive(Clone, Debug)]
pub struct FleetPlan {
    /// Where the gateway is.
    pub server: SocketAddr,
    /// The number of the first member among those of all threads.
    pub first: u32,
    /// The run.
    pub run: Run,
    /// Whom members write to.
    pub partners: Partners,
    /// Zipf's exponent of the senders' shares.
    pub skew: f64,
    /// Bytes of a payload.
    pub payload_bytes: usize,
    /// How long a sender's acknowledgement of its own copy may wait.
    pub own_ack_delay: Duration,
    /// Silence after which either side asks for life; zero: the server's default.
    pub heartbeat: Duration,
    /// How long the last messages may take.
    pub drain: Duration,
    /// What every Welcome must promise.
    pub durability: Durability,
    /// Conversations begin at sequence 1.
    pub fresh: bool,
    /// Connections on their way at the same time.
    pub connecting: u32,
    /// Connections a second.
    pub connect_rate: f64,
    /// Connections that the load ends by itself, a second.
    pub churn: f64,
    /// How long sessions wait before they connect again.
    pub backoff: Backoff,
    /// Every other member does not read what comes inside the window, until its session gives the connection up.
    pub is_slow: bool,
    /// What the fleet is told while it runs.
    pub orders: Orders,
    /// Who is told every minute what was counted so far.
    pub parts: Option<Sender<Part>>,
}

impl FleetPlan {
    /// Devices that log in, come back when they lose their connection, and write nothing.
    pub fn idle(server: SocketAddr, durability: Durability, connect_rate: f64) -> Self {
        Self {
            server,
            first: 0,
            run: Run(0),
            partners: Partners::Neighbours,
            skew: 0.0,
            payload_bytes: PAYLOAD_BYTES_MIN,
            drain: Duration::ZERO,
            own_ack_delay: Duration::ZERO,
            heartbeat: Duration::ZERO,
            durability,
            fresh: false,
            connecting: CONNECTING,
            connect_rate,
            churn: 0.0,
            backoff: Backoff::default(),
            is_slow: false,
            orders: Orders::default(),
            parts: None,
        }
    }
}

/// The sessions of one thread.
pub struct Fleet {
    plan: FleetPlan,
    clock: Clock,
    members: Vec<Member>,
    by_link: HashMap<LinkId, usize>,
    /// Members whose session wants a connection.
    connects: Vec<usize>,
    /// Members that received something in this turn.
    touched: Vec<usize>,
    /// Members with an acknowledgement of an own copy, by the time at which it is due.
    own_acks: VecDeque<(Mono, usize)>,
    notes: Vec<Note>,
    next_sweep: Mono,
    /// The next session to be looked at.
    hand: usize,
    churn: Churn,
    /// Whether every other member does not read now.
    is_paused: bool,
    /// Minutes that were handed in.
    handed_in: usize,
    tally: Tally,
    meter: Arc<Meter>,
}

impl Fleet {
    /// A fleet of these devices; neighbours are pairs. Nothing is connected yet.
    pub fn new(plan: FleetPlan, clock: Clock, credentials: Vec<Credential>, meter: Arc<Meter>) -> Self {
        let users: Vec<_> = credentials.iter().map(|credential| credential.user.clone()).collect();
        let id = |index: usize| MemberId(plan.first + u32::try_from(index).unwrap_or(u32::MAX));
        let member = |(index, credential): (usize, Credential)| {
            let partner = plan.partners.of(index);
            let user = users.get(partner).unwrap_or(&credential.user).clone();
            let inbound = match plan.partners {
                Partners::First if index == 0 => {
                    let others = (1..).zip(users.iter().skip(1));
                    Inbound::everyone(others.map(|(index, user)| (user.clone(), id(index))), &plan)
                }
                Partners::First | Partners::Neighbours => Inbound::partner(id(partner), &plan),
            };
            Member::new(id(index), credential, user, inbound, &plan)
        };
        let members = credentials.into_iter().enumerate().map(member).collect();
        Self {
            members,
            clock,
            by_link: HashMap::new(),
            connects: Vec::new(),
            touched: Vec::new(),
            own_acks: VecDeque::new(),
            notes: Vec::new(),
            next_sweep: clock.now().after(SWEEP),
            hand: 0,
            churn: Churn::after(&plan.orders),
            is_paused: false,
            handed_in: 0,
            tally: Tally::new(),
            meter,
            plan,
        }
    }

    /// Connects the members up to `count` at the pace of the plan and waits until all are logged in.
    ///
    /// # Errors
    /// Not all could log in.
    pub fn log_in(&mut self, links: &mut Links, count: usize) -> Result<(), BenchError> {
        let count = count.min(self.members.len());
        let mut started = self.tally.logged_in;
        let pace = Schedule::new(self.clock.now(), self.plan.connect_rate, Duration::ZERO);
        let first = started;
        let mut deadline = self.clock.now().after(PATIENCE);
        while self.tally.logged_in < count {
            let due = usize::try_from(pace.due(self.clock.now())).unwrap_or(usize::MAX).saturating_add(first);
            let room = self.tally.logged_in.saturating_add(self.plan.connecting as usize);
            while started < count.min(due).min(room) {
                self.connects.push(started);
                started += 1;
                deadline = self.clock.now().after(PATIENCE);
            }
            let next =
                if started < count.min(room) { pace.intended((started - first) as u64) } else { deadline };
            self.pump(links, next)?;
            if self.clock.now() > deadline {
                let (there, why) = (self.tally.logged_in, self.tally.last_close());
                let what = format!("the login of {count} devices ({there} are logged in; {why})");
                return Err(BenchError::Timeout { what, seconds: PATIENCE.as_secs() });
            }
        }
        Ok(())
    }

    /// Serves the connections until `done` says so; looks at least every millisecond.
    ///
    /// # Errors
    /// The ring failed.
    pub fn serve_until(
        &mut self,
        links: &mut Links,
        mut done: impl FnMut() -> bool,
    ) -> Result<(), BenchError> {
        while !done() {
            self.pump(links, self.clock.now().after(Duration::from_millis(1)))?;
        }
        Ok(())
    }

    /// Serves the connections until the counts are so, or until `deadline`.
    ///
    /// # Errors
    /// The ring failed.
    pub fn serve_until_counted(
        &mut self,
        links: &mut Links,
        deadline: Mono,
        mut is_so: impl FnMut(&Tally) -> bool,
    ) -> Result<(), BenchError> {
        while !is_so(&self.tally) && self.clock.now() < deadline {
            self.pump(links, deadline)?;
        }
        Ok(())
    }

    /// Forgets how long logins took so far.
    pub fn forget_logins(&mut self) {
        self.tally.login = Latencies::new();
    }

    /// What was counted.
    pub fn into_tally(self) -> Tally {
        self.tally
    }

    /// Sends messages by `schedule` to the end of the tally's window, then waits until all have been delivered and
    /// acknowledged, or for as long as the plan allows.
    ///
    /// # Errors
    /// The ring failed.
    pub fn run(
        mut self,
        links: &mut Links,
        schedule: Schedule,
        mut tally: Tally,
    ) -> Result<Tally, BenchError> {
        tally.take_logins(&self.tally);
        self.tally = tally;
        let window = self.tally.window;
        let total = schedule.due(window.until);
        let count = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let receivers = match self.plan.partners {
            Partners::Neighbours => 0,
            Partners::First => 1,
        };
        let senders = Senders::new(count.saturating_sub(receivers), self.plan.skew);
        let deadline = window.until.after(self.plan.drain);
        while !self.is_over(total) && self.clock.now() < deadline && !self.plan.orders.is_stopped() {
            let due = schedule.due(self.clock.now()).min(total);
            while self.tally.sent < due {
                let intended = schedule.intended(self.tally.sent);
                let sender = receivers + senders.of(self.tally.sent);
                self.send(links.wires(), sender as usize, intended);
            }
            let next = if self.tally.sent < total { schedule.intended(self.tally.sent) } else { deadline };
            self.pump(links, next)?;
            self.hand_in();
            self.slow_down(links.wires());
        }
        self.settle_accounts();
        Ok(self.tally)
    }

    fn is_over(&self, total: u64) -> bool {
        let tally = &self.tally;
        let answered = tally.accepted + tally.refused;
        tally.sent == total && answered == total && tally.delivered + tally.refused >= total
    }

    fn settle_accounts(&mut self) {
        for index in 0..self.members.len() {
            let sent = self.members[index].sent();
            self.tally.transmitted += sent;
            self.tally.faults.lost += self.stream(index).map_or(0, |stream| stream.missing_count(sent));
        }
    }

    /// What the partner of a member has seen of it.
    fn stream(&mut self, index: usize) -> Option<&mut Stream> {
        let sender = self.members.get(index)?.user().clone();
        self.members.get_mut(self.plan.partners.of(index))?.stream_of(&sender)
    }

    fn send(&mut self, wires: &mut Wires, index: usize, intended: Mono) {
        let now = self.clock.now();
        self.tally.sent += 1;
        self.tally.record_lag(intended, now);
        let sent = self.members[index].send(now, intended, &self.plan);
        if !sent {
            self.tally.refused += 1;
            return;
        }
        self.drain(wires, index, now);
    }

    /// One turn: acknowledgements and deadlines, new connections, sends, then whatever happens until `until`.
    fn pump(&mut self, links: &mut Links, until: Mono) -> Result<(), BenchError> {
        let now = self.clock.now();
        self.acknowledge(links.wires(), now);
        if now >= self.next_sweep {
            self.next_sweep = now.after(SWEEP);
            self.sweep(links.wires(), now);
        }
        self.churn(links.wires(), now);
        for index in std::mem::take(&mut self.connects) {
            let global = self.plan.first + u32::try_from(index).unwrap_or(0);
            let from = self.plan.server.ip().is_loopback().then(|| source_address(global));
            let link = links.connect(self.plan.server, from)?;
            self.by_link.insert(link, index);
            self.members[index].connecting(link, now);
        }
        links.flush()?;
        self.meter.show(&self.tally);
        let own_ack = self.own_acks.front().map_or(until, |(due, _)| *due);
        let wake = until.min(self.next_sweep).min(own_ack);
        links.turn(Wait::Until(self.clock.instant(wake)), self)?;
        Ok(())
    }

    fn acknowledge(&mut self, wires: &mut Wires, now: Mono) {
        while let Some(index) = self.touched.pop() {
            let delivered = self.members[index].flush_acks(now);
            self.tally.completed(delivered, now);
            self.drain(wires, index, now);
        }
        while let Some(&(due, index)) = self.own_acks.front() {
            // Most have ridden on a Send or another Ack by then.
            let is_waiting = self.members[index].ack_deadline().is_some_and(|deadline| deadline <= due);
            if is_waiting && due > now {
                return;
            }
            self.own_acks.pop_front();
            if is_waiting && self.members[index].tick(now) {
                self.drain(wires, index, now);
            }
        }
    }

    fn sweep(&mut self, wires: &mut Wires, now: Mono) {
        let count = self.members.len();
        for _ in 0..count.min(SWEEP_SESSIONS_MIN.max(count.div_ceil(SWEEPS))) {
            let index = self.hand;
            self.hand = (index + 1) % count;
            if self.members[index].tick(now) {
                self.drain(wires, index, now);
            }
        }
    }

    /// Takes a session's outputs: frames onto its wire, events into the tally.
    fn drain(&mut self, wires: &mut Wires, index: usize, now: Mono) {
        let member = &mut self.members[index];
        let mut unsent = Vec::new();
        let out = member.link.and_then(|link| wires.out(link)).unwrap_or(&mut unsent);
        member.drain(now, out, &mut self.tally, &mut self.notes);
        if self.notes.is_empty() {
            return;
        }
        for note in std::mem::take(&mut self.notes) {
            self.note(wires, index, now, note);
        }
    }

    fn note(&mut self, wires: &mut Wires, index: usize, now: Mono, note: Note) {
        let member = &mut self.members[index];
        match note {
            Note::Connect => self.connects.push(index),
            Note::Disconnect => {
                if let Some(link) = member.link.take() {
                    wires.end(link, Ending::Close);
                }
                self.tally.offline(member.go_offline());
            }
            Note::Delivered => {
                if !member.touched {
                    member.touched = true;
                    self.touched.push(index);
                }
            }
            Note::OwnCopy => {
                if self.plan.own_ack_delay.is_zero() {
                    self.note(wires, index, now, Note::Delivered);
                } else {
                    self.own_acks.push_back((now.after(self.plan.own_ack_delay), index));
                }
            }
            Note::PutOff(number) => {
                if let Some(stream) = self.stream(index) {
                    stream.excuse(number);
                }
            }
            Note::Refused(number) => {
                if let Some(stream) = self.stream(index) {
                    stream.refused(number);
                }
            }
        }
    }

    /// Whose connection this is; `None` for one that its member has left already.
    fn member_of(&self, link: LinkId) -> Option<usize> {
        self.by_link.get(&link).copied().filter(|&index| self.members[index].link == Some(link))
    }

    fn frame(&mut self, wires: &mut Wires, index: usize, body: &[u8]) -> Result<(), BenchError> {
        let now = self.clock.now();
        let frame = decode_server(Bytes::copy_from_slice(body))
            .map_err(|error| BenchError::Protocol(format!("the gateway sent a {error}")))?;
        self.members[index].handle(now, frame);
        self.drain(wires, index, now);
        Ok(())
    }
}

impl Traffic for Fleet {
    fn opened(&mut self, wires: &mut Wires, link: LinkId) -> Result<(), BenchError> {
        let now = self.clock.now();
        if let Some(index) = self.member_of(link) {
            self.members[index].connected(now);
            self.drain(wires, index, now);
        }
        Ok(())
    }

    fn received(&mut self, wires: &mut Wires, link: LinkId, bytes: &[u8]) -> Result<(), BenchError> {
        let Some(index) = self.member_of(link) else { return Ok(()) };
        let mut partial = wires.take_partial(link);
        let result = framing::split(&mut partial, bytes, |body| self.frame(wires, index, body));
        wires.put_partial(link, partial);
        result
    }

    fn closed(&mut self, wires: &mut Wires, link: LinkId, cause: CloseCause) -> Result<(), BenchError> {
        let Some(index) = self.by_link.remove(&link) else { return Ok(()) };
        let now = self.clock.now();
        let member = &mut self.members[index];
        if member.link == Some(link) {
            member.link = None;
            self.tally.disconnected(cause);
            self.tally.offline(member.go_offline());
            member.disconnected(now);
            self.drain(wires, index, now);
        }
        Ok(())
    }
}
