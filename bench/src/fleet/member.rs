//! One device of the load: its session, what it has under way, and what it has seen of its partner.
//!
//! Invariants
//! - The message id of a message carries its number, so that an answer finds its intended time.
//! - A member believes its ledger, not its session: what the session let through is judged again.

use super::FleetPlan;
use super::tally::Tally;
use crate::gateway::Credential;
use crate::ledger::{Line, Stream};
use crate::links::LinkId;
use crate::payload::{Letter, Member as MemberId, Number, Run};
use hashbrown::HashMap;
use iris_client::session::{Event, Message, Output, Rejected, Session, SessionConfig};
use iris_client::{DeviceState, Target};
use iris_protocol::{Durability, MessageId, Mono, RejectClass, UserId, wire};
use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

/// Longer than any run: acknowledgements leave when the fleet says so, at the end of a turn.
const NEVER: Duration = Duration::from_secs(1_000_000);

/// What a session's events ask of the fleet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Note {
    /// It is time to connect.
    Connect,
    /// The connection must be closed.
    Disconnect,
    /// A message was delivered: acknowledge at the end of the turn.
    Delivered,
    /// The own copy of a message came.
    OwnCopy,
    /// A message of this member was put off by the server.
    PutOff(Number),
    /// A message of this member was refused for good.
    Refused(Number),
}

/// The messages of one member to another, as the other one sees them.
#[derive(Debug)]
pub(super) struct Flow {
    from: MemberId,
    line: Line,
    stream: Stream,
}

impl Flow {
    fn new(from: MemberId, plan: &FleetPlan) -> Self {
        let line = if plan.fresh { Line::from_the_start() } else { Line::from_anywhere() };
        Self { from, line, stream: Stream::default() }
    }
}

/// What arrives at a member.
#[derive(Debug)]
pub(super) enum Inbound {
    /// From the one that it writes to; its own copies are of the same conversation.
    Partner(Flow),
    /// From each of many.
    Everyone(HashMap<UserId, Flow>),
}

impl Inbound {
    pub(super) fn partner(from: MemberId, plan: &FleetPlan) -> Self {
        Self::Partner(Flow::new(from, plan))
    }

    pub(super) fn everyone(from: impl Iterator<Item = (UserId, MemberId)>, plan: &FleetPlan) -> Self {
        Self::Everyone(from.map(|(user, from)| (user, Flow::new(from, plan))).collect())
    }

    fn flow(&mut self, sender: &UserId) -> Option<&mut Flow> {
        match self {
            Self::Partner(flow) => Some(flow),
            Self::Everyone(flows) => flows.get_mut(sender),
        }
    }
}

/// One device.
pub(super) struct Member {
    pub(super) link: Option<LinkId>,
    pub(super) touched: bool,
    inbound: Inbound,
    id: MemberId,
    run: Run,
    token: String,
    user: UserId,
    partner: UserId,
    session: Session,
    durability: Durability,
    greeted: bool,
    online: bool,
    connecting_since: Mono,
    sent: u64,
    under_way: VecDeque<(Number, Mono)>,
    /// Deliveries since the last acknowledgement.
    unacked: u64,
}

impl Member {
    pub(super) fn new(
        id: MemberId,
        credential: Credential,
        partner: UserId,
        inbound: Inbound,
        plan: &FleetPlan,
    ) -> Self {
        let config = SessionConfig {
            ack_every: u32::MAX,
            ack_delay: NEVER,
            own_ack_delay: plan.own_ack_delay,
            heartbeat: plan.heartbeat,
            jitter_seed: u64::from(id.0),
            outbox_max: usize::MAX,
            backoff: plan.backoff,
            ..SessionConfig::default()
        };
        Self {
            link: None,
            touched: false,
            inbound,
            id,
            run: plan.run,
            token: credential.token,
            session: Session::new(config, credential.user.clone(), DeviceState::default()),
            user: credential.user,
            partner,
            durability: plan.durability,
            greeted: false,
            online: false,
            connecting_since: Mono(0),
            sent: 0,
            under_way: VecDeque::new(),
            unacked: 0,
        }
    }

    /// Messages that the session took.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn user(&self) -> &UserId {
        &self.user
    }

    /// The messages of one sender.
    pub(super) fn stream_of(&mut self, sender: &UserId) -> Option<&mut Stream> {
        self.inbound.flow(sender).map(|flow| &mut flow.stream)
    }

    /// A connection is on its way.
    pub(super) fn connecting(&mut self, link: LinkId, now: Mono) {
        self.link = Some(link);
        self.connecting_since = now;
    }

    /// The connection is gone; true if the member was logged in.
    pub(super) fn go_offline(&mut self) -> bool {
        std::mem::take(&mut self.online)
    }

    pub(super) fn connected(&mut self, now: Mono) {
        self.session.connected(now, &self.token);
    }

    pub(super) fn disconnected(&mut self, now: Mono) {
        self.session.disconnected(now);
    }

    pub(super) fn handle(&mut self, now: Mono, frame: wire::ServerFrame) {
        self.session.handle(now, frame);
    }

    /// Does what is due; true if something was.
    pub(super) fn tick(&mut self, now: Mono) -> bool {
        let due = self.session.next_deadline().is_some_and(|deadline| deadline <= now);
        if due {
            self.session.tick(now);
        }
        due
    }

    /// Sends the acknowledgement of everything received; gives the deliveries that it covers.
    pub(super) fn flush_acks(&mut self, now: Mono) -> u64 {
        self.touched = false;
        self.session.flush_acks(now);
        std::mem::take(&mut self.unacked)
    }

    /// When an acknowledgement leaves that no turn's end sends; `None`: none waits.
    pub(super) fn ack_deadline(&self) -> Option<Mono> {
        self.session.ack_deadline()
    }

    /// Hands the next message to the session; false if it did not take it.
    pub(super) fn send(&mut self, now: Mono, intended: Mono, plan: &FleetPlan) -> bool {
        let number = Number(self.sent);
        let letter = Letter { run: self.run, sender: self.id, number, intended };
        let Some(message_id) = message_id(self.id, number, self.run) else { return false };
        let target = Target::To(self.partner.clone());
        let taken = self.session.send(now, target, message_id, letter.encode(plan.payload_bytes)).is_ok();
        if taken {
            self.sent += 1;
            self.under_way.push_back((number, intended));
        }
        taken
    }

    /// Takes all outputs of the session: frames to `out`, events into the tally and notes.
    pub(super) fn drain(&mut self, now: Mono, out: &mut Vec<u8>, tally: &mut Tally, notes: &mut Vec<Note>) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Frame(frame) => iris_protocol::frame::encode_client(frame, out),
                Output::Event(event) => self.event(now, event, tally, notes),
                Output::Connect => notes.push(Note::Connect),
                Output::Disconnect { reason } => {
                    tally.complain(|| format!("a session left: {reason:?}"));
                    notes.push(Note::Disconnect);
                }
            }
        }
    }

    fn event(&mut self, now: Mono, event: Event, tally: &mut Tally, notes: &mut Vec<Note>) {
        match event {
            Event::Welcome(welcome) => {
                self.online = true;
                tally.welcome(!std::mem::replace(&mut self.greeted, true), now.since(self.connecting_since));
                if welcome.durability != Some(self.durability) {
                    tally.server_faults += 1;
                    tally.complain(|| format!("Welcome promises {:?}", welcome.durability));
                }
            }
            Event::Message(message) => self.message(now, &message, tally, notes),
            Event::Duplicate { .. } => tally.repeats += 1,
            Event::Accepted(accepted) => {
                if let Some(intended) = self.answered(accepted.message_id) {
                    tally.record_ack(intended, now);
                }
            }
            Event::Rejected(rejected) => self.rejected(&rejected, tally, notes),
            Event::Unknown { message_id, code, .. } => {
                // Whether it was accepted cannot be known: it stays expected, and counts as lost if it does not come.
                self.answered(message_id);
                tally.complain(|| format!("outcome unknown, code {code}"));
            }
            Event::Gap(gap) => {
                tally.gaps += 1;
                tally.complain(|| format!("{gap:?}"));
                if let Some(offset) = gap.offset {
                    self.session.stored(now, offset);
                }
                notes.push(Note::Delivered);
            }
            Event::Closed(closed) => {
                tally.closes += 1;
                tally.complain(|| format!("{closed:?}"));
            }
            Event::ServerFault(fault) => {
                tally.server_faults += 1;
                tally.complain(|| fault.to_string());
            }
            Event::CaughtUp { .. }
            | Event::GoAway { .. }
            | Event::Refreshed { .. }
            | Event::Devices { .. }
            | Event::Unlinked { .. }
            | Event::RequestRejected { .. } => {}
        }
    }

    fn message(&mut self, now: Mono, message: &Message, tally: &mut Tally, notes: &mut Vec<Note>) {
        self.session.stored(now, message.offset);
        tally.arrived += 1;
        let is_partner = matches!(self.inbound, Inbound::Partner(_));
        let Some(flow) = self.inbound.flow(&message.sender) else {
            tally.faults.corrupted += 1;
            return;
        };
        flow.line.arrived(message.sequence, &mut tally.faults);
        if message.sender == self.user {
            notes.push(Note::OwnCopy);
            return;
        }
        notes.push(Note::Delivered);
        let Some(letter) = Letter::decode(&message.payload) else {
            tally.faults.corrupted += 1;
            return;
        };
        if letter.run != self.run {
            tally.foreign += 1;
            return;
        }
        let is_known = !is_partner || message.sender == self.partner;
        if !is_known || (flow.from, message_number(message.message_id)) != (letter.sender, letter.number) {
            tally.faults.corrupted += 1;
            return;
        }
        let before = tally.faults.duplicated;
        flow.stream.arrived(letter.number, &mut tally.faults);
        if tally.faults.duplicated == before {
            tally.record_delivery(letter.intended, now);
            self.unacked += 1;
        }
    }

    fn rejected(&mut self, rejected: &Rejected, tally: &mut Tally, notes: &mut Vec<Note>) {
        tally.complain(|| format!("{rejected:?}"));
        let number = message_number(rejected.message_id);
        match rejected.class {
            RejectClass::RetrySameId => {
                tally.put_off += 1;
                notes.push(Note::PutOff(number));
            }
            RejectClass::Refused => {
                tally.refused += 1;
                self.answered(rejected.message_id);
                notes.push(Note::Refused(number));
            }
            RejectClass::OutcomeUnknown => {}
        }
    }

    /// The intended time of a message that was answered; `None` if it was answered before.
    fn answered(&mut self, message_id: MessageId) -> Option<Mono> {
        let number = message_number(message_id);
        let index = self.under_way.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.under_way.remove(index).map(|(_, intended)| intended)
    }
}

/// A UUIDv7 whose random part is the run, the member and the number: unique, and readable in an answer.
fn message_id(MemberId(member): MemberId, Number(number): Number, Run(run): Run) -> Option<MessageId> {
    let ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let ms = u64::try_from(ms).unwrap_or(u64::MAX);
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    let [_, run_high, run_middle, run_low] = run.to_be_bytes();
    bytes[6] = 0x70 | run_high & 0x0f;
    bytes[7] = run_middle;
    bytes[8] = 0x80 | run_low & 0x3f;
    bytes[9..12].copy_from_slice(&member.to_be_bytes()[1..]);
    bytes[12..].copy_from_slice(&u32::try_from(number).ok()?.to_be_bytes());
    MessageId::parse(&bytes).ok()
}

/// The number in a message id of the load.
fn message_number(id: MessageId) -> Number {
    let [.., a, b, c, d] = *id.as_bytes();
    Number(u64::from(u32::from_be_bytes([a, b, c, d])))
}

#[cfg(test)]
mod tests;
