//! Random servers and networks: what is applied stays exactly once and in order.

#![cfg(test)]

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::GapReason;

const CONVERSATIONS: [&str; 3] = ["d:alice:bob", "d:alice:carol", "g:team"];

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody writes into a conversation.
    Write(usize),
    /// Alice sends to a conversation.
    Send(usize),
    /// The server takes the client's frames and pushes what fits.
    Serve { answers: bool, own_offset: bool },
    /// The connection breaks; with a chance, frames under way are lost.
    Break { lose: usize },
    /// The server forgets which entries it delivered and appends them again under new offsets.
    Duplicate,
    /// The client stops and starts from its saved state.
    Restart,
    /// The caller stores what it has seen so far.
    Store,
    /// Time passes.
    Pass(u64),
}

/// A server that follows the protocol: one inbox, one device, a cursor.
#[derive(Default)]
struct Server {
    generation: u64,
    n: u64,
    cursor: u64,
    window: usize,
    sequences: BTreeMap<usize, u64>,
    /// (offset, conversation, previous, sequence, id), not acknowledged.
    inbox: Vec<(u64, usize, u64, u64, Bytes)>,
    known: BTreeMap<Bytes, (usize, u64)>,
    /// Highest offset delivered in this connection.
    delivered: u64,
    online: bool,
    to_client: VecDeque<server_frame::Frame>,
    next_id: u64,
}

impl Server {
    fn offset(&mut self) -> u64 {
        self.n += 1;
        self.generation << 33 | self.n
    }

    fn append(&mut self, conversation: usize, id: Bytes) -> (u64, u64, u64) {
        let last = self.sequences.entry(conversation).or_default();
        let previous = *last;
        *last += 1;
        let sequence = *last;
        let offset = self.offset();
        self.known.insert(id.clone(), (conversation, sequence));
        self.inbox.push((offset, conversation, previous, sequence, id));
        (offset, previous, sequence)
    }

    fn write(&mut self, conversation: usize) {
        self.next_id += 1;
        let mut id = [0x70; 16];
        id[8..].copy_from_slice(&(1 << 63 | self.next_id).to_be_bytes());
        self.append(conversation, Bytes::copy_from_slice(&id));
    }

    fn ack(&mut self, through: u64) {
        assert!(through <= self.delivered.max(self.cursor), "acknowledged {through}, which was not sent");
        self.cursor = self.cursor.max(through);
        let cursor = self.cursor;
        self.inbox.retain(|entry| entry.0 > cursor);
    }

    fn take(&mut self, frame: &client_frame::Frame, answers: bool, own_offset: bool) {
        match frame {
            client_frame::Frame::Hello(hello) => self.hello(hello),
            client_frame::Frame::Ack(ack) => self.ack(ack.through_offset),
            client_frame::Frame::Send(send) => {
                if let Some(through) = send.ack_through {
                    self.ack(through);
                }
                self.send(send, answers, own_offset);
            }
            client_frame::Frame::Ping(ping) => {
                self.to_client.push_back(server_frame::Frame::Pong(wire::Pong { nonce: ping.nonce }));
            }
            client_frame::Frame::Refresh(_)
            | client_frame::Frame::Devices(_)
            | client_frame::Frame::Unlink(_)
            | client_frame::Frame::Pong(_) => panic!("unexpected {frame:?}"),
        }
    }

    fn hello(&mut self, hello: &wire::Hello) {
        let named = hello.resume_offset.unwrap_or(0);
        let last = self.generation << 33 | self.n;
        assert!(named <= last, "resumes from {named}, above {last}");
        self.online = true;
        self.to_client.clear();
        self.delivered = self.cursor;
        self.ack(self.cursor.max(named.min(last)).min(self.delivered.max(self.cursor)));
        self.cursor = self.cursor.max(named);
        let cursor = self.cursor;
        self.inbox.retain(|entry| entry.0 > cursor);
        self.delivered = cursor;
        let welcome = wire::Welcome { end_offset: last, send_window: 3, ..welcome(cursor) };
        self.to_client.push_back(server_frame::Frame::Welcome(welcome));
        if hello.resume_offset.is_some_and(|named| named < cursor) {
            self.to_client.push_back(gap(cursor, "", 0, 0, GapReason::AlreadyAcked));
        }
    }

    fn send(&mut self, send: &wire::Send, answers: bool, own_offset: bool) {
        let wire::send::Target::Conversation(name) = send.target.clone().unwrap() else {
            panic!("sent to a user");
        };
        let conversation = CONVERSATIONS.iter().position(|known| *known == name).unwrap();
        let known = self.known.get(&send.message_id).copied();
        if known.is_none() && !answers {
            let rejected = wire::Rejected {
                request_id: send.request_id,
                code: iris_protocol::RejectCode::Busy.number(),
                ..wire::Rejected::default()
            };
            self.to_client.push_back(server_frame::Frame::Rejected(rejected));
            return;
        }
        let mut answer = accepted(send.request_id, 0, 0);
        answer.message_id = send.message_id.clone();
        answer.conversation = name;
        if let Some((_, sequence)) = known {
            answer.sequence = sequence;
        } else {
            let waits = self.inbox.iter().any(|entry| entry.0 > self.delivered);
            let (offset, previous, sequence) = self.append(conversation, send.message_id.clone());
            answer.sequence = sequence;
            if own_offset && !waits && self.inbox.len() <= self.window {
                answer.offset = Some(offset);
                answer.previous_sequence = previous;
                self.delivered = offset;
            }
        }
        self.to_client.push_back(server_frame::Frame::Accepted(answer));
    }

    fn push(&mut self) {
        let next: Vec<_> =
            self.inbox.iter().take(self.window).filter(|entry| entry.0 > self.delivered).cloned().collect();
        for (offset, conversation, previous, sequence, message_id) in next {
            self.delivered = offset;
            let deliver = deliver_in(CONVERSATIONS[conversation], offset, previous, sequence);
            let deliver = wire::Deliver { message_id, ..deliver };
            self.to_client.push_back(server_frame::Frame::Deliver(deliver));
        }
    }

    /// A crash that lost offsets and watermarks: unacknowledged entries come back under new offsets, with
    /// copies of some that the device may have had.
    fn duplicate(&mut self) {
        self.generation += 1;
        self.n = 0;
        self.online = false;
        let entries = std::mem::take(&mut self.inbox);
        for (_, conversation, previous, sequence, id) in entries.iter().chain(entries.iter()).cloned() {
            let offset = self.offset();
            let again = self.inbox.iter().any(|entry| entry.1 == conversation && entry.3 > sequence);
            if !again {
                self.inbox.push((offset, conversation, previous, sequence, id));
            }
        }
    }
}

/// Client, server and what the application has, which survives a restart of the client.
struct World {
    rig: Rig,
    server: Server,
    /// What the application stored: (conversation, sequence).
    stored: Vec<(String, u64)>,
    unstored: Vec<(Offset, Option<(String, u64)>)>,
    sent: u64,
    sent_ids: BTreeSet<Bytes>,
    rebased: usize,
}

impl World {
    fn new(window: usize) -> Self {
        let mut rig = Rig::new();
        rig.stores = false;
        let server = Server { window, generation: 1, ..Server::default() };
        Self {
            rig,
            server,
            stored: Vec::new(),
            unstored: Vec::new(),
            sent: 0,
            sent_ids: BTreeSet::new(),
            rebased: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write(conversation) => self.server.write(conversation),
            Step::Send(conversation) => self.send(conversation),
            Step::Serve { answers, own_offset } => self.serve(answers, own_offset),
            Step::Break { lose } => self.break_connection(lose),
            Step::Duplicate => {
                self.break_connection(0);
                self.server.duplicate();
            }
            Step::Restart => {
                self.store();
                self.break_connection(0);
                let state = self.rig.session.state();
                self.rig = Rig::with(SessionConfig::default(), state);
                self.rig.stores = false;
            }
            Step::Store => self.store(),
            Step::Pass(seconds) => self.rig.pass(Duration::from_secs(seconds)),
        }
        self.collect();
    }

    fn send(&mut self, conversation: usize) {
        self.sent += 1;
        let mut id = [0x71; 16];
        id[8..].copy_from_slice(&(1 << 63 | self.sent).to_be_bytes());
        self.sent_ids.insert(Bytes::copy_from_slice(&id));
        let target = iris_protocol::ConversationId::parse(CONVERSATIONS[conversation]).unwrap();
        let payload = Bytes::copy_from_slice(&self.sent.to_be_bytes());
        let id = MessageId::parse(&id).unwrap();
        self.rig.session.send(self.rig.now, Target::Conversation(target), id, payload).unwrap();
        self.rig.drain();
    }

    fn serve(&mut self, answers: bool, own_offset: bool) {
        if !std::mem::take(&mut self.rig.disconnects).is_empty() {
            self.server.online = false;
            self.rig.frames.clear();
        }
        if !self.server.online {
            self.rig.session.connected(self.rig.now, "token");
            self.rig.drain();
        }
        for frame in std::mem::take(&mut self.rig.frames) {
            self.server.take(&frame, answers, own_offset);
        }
        self.server.push();
        while let Some(frame) = self.server.to_client.pop_front() {
            self.rig.handle(frame);
        }
        self.collect();
        self.rig.flush();
    }

    fn break_connection(&mut self, lose: usize) {
        if self.server.online {
            for frame in std::mem::take(&mut self.rig.frames) {
                self.server.take(&frame, true, true);
            }
            self.server.push();
            let arrives = self.server.to_client.len().saturating_sub(lose);
            for frame in self.server.to_client.drain(..arrives).collect::<Vec<_>>() {
                self.rig.handle(frame);
            }
        }
        self.server.online = false;
        self.server.to_client.clear();
        self.rig.lose_connection();
        self.rig.frames.clear();
    }

    fn collect(&mut self) {
        for event in std::mem::take(&mut self.rig.events) {
            assert!(!is_fault(&event), "a correct server was blamed: {event:?}");
            if let Event::Message(message) = event {
                let entry = (message.conversation.to_string(), message.sequence.0);
                self.unstored.push((message.offset, Some(entry)));
            } else if let Event::Gap(gap) = event {
                self.rebased += 1;
                self.unstored.extend(gap.offset.map(|offset| (offset, None)));
            }
        }
    }

    fn store(&mut self) {
        self.collect();
        let Some(through) = self.unstored.last().map(|(offset, _)| *offset) else {
            return;
        };
        self.stored.extend(std::mem::take(&mut self.unstored).into_iter().filter_map(|(_, entry)| entry));
        self.rig.session.stored(self.rig.now, through);
        self.rig.drain();
    }

    /// Everything settles: an answering server, a storing caller, no more breaks.
    fn finish(&mut self) {
        for _ in 0..400 {
            self.serve(true, true);
            self.store();
            self.rig.pass(Duration::from_secs(1));
        }
        self.serve(true, true);
    }

    fn judge(&self) {
        for (index, name) in CONVERSATIONS.iter().enumerate() {
            let applied = self.stored.iter().filter(|(conversation, _)| conversation == name);
            let applied: Vec<u64> = applied.map(|(_, sequence)| *sequence).collect();
            let last = self.server.sequences.get(&index).copied().unwrap_or(0);
            assert_eq!(applied, (1..=last).collect::<Vec<_>>(), "{name}");
        }
        assert_eq!(self.rig.session.unanswered_count(), 0, "a message was never answered");
        for id in &self.sent_ids {
            assert!(self.server.known.contains_key(id), "a message was lost");
        }
        assert_eq!(self.rebased, 0, "a gap without a reason");
        assert_eq!(self.server.inbox.len(), 0, "an entry was never acknowledged");
    }
}

fn step() -> impl Strategy<Value = Step> {
    let conversation = 0..CONVERSATIONS.len();
    prop_oneof![
        6 => conversation.clone().prop_map(Step::Write),
        4 => conversation.prop_map(Step::Send),
        8 => any::<(bool, bool)>().prop_map(|(answers, own_offset)| Step::Serve { answers, own_offset }),
        2 => (0_usize..6).prop_map(|lose| Step::Break { lose }),
        1 => Just(Step::Duplicate),
        1 => Just(Step::Restart),
        4 => Just(Step::Store),
        1 => (0_u64..30).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Proves: G-CLIENT-1 (once and in order), G-CLIENT-2 (one effect of a retry)
    /// Seen to fail when: `Incoming::envelope` drops nothing; when `requeue` drops what was on the wire; when
    /// `ackable` gives `received`.
    #[test]
    fn whatever_breaks_everything_is_applied_once_and_in_order(
        window in 1_usize..6,
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(window);
        for step in &steps {
            world.step(step);
        }
        world.finish();
        world.judge();
    }
}
