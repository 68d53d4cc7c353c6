//! The session's rules, each as a claim.

mod connection;
mod random;
mod receiving;
mod sending;

use super::{DisconnectReason, Event, Output, Session, SessionConfig};
use crate::state::{DeviceState, Target};
use bytes::Bytes;
use iris_protocol::wire::{client_frame, server_frame};
use iris_protocol::{MessageId, Mono, Offset, Sequence, UserId, wire};
use std::time::Duration;

const CONVERSATION: &str = "d:alice:bob";
const INCARNATION: [u8; 16] = [1; 16];

fn message_id(number: u8) -> MessageId {
    let mut bytes = [number; 16];
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    MessageId::parse(&bytes).unwrap()
}

fn id_bytes(number: u8) -> Bytes {
    Bytes::copy_from_slice(message_id(number).as_bytes())
}

fn welcome(resumed_at: u64) -> wire::Welcome {
    wire::Welcome {
        version: 1,
        incarnation: Bytes::copy_from_slice(&INCARNATION),
        resumed_at,
        end_offset: resumed_at,
        window: 256,
        send_window: 100,
        heartbeat_s: 60,
        durability: wire::Durability::Fsync.into(),
        ..wire::Welcome::default()
    }
}

/// An envelope of bob: its sequence is also the number of its id.
fn deliver(offset: u64, previous: u64, sequence: u64) -> wire::Deliver {
    deliver_in(CONVERSATION, offset, previous, sequence)
}

fn deliver_in(conversation: &str, offset: u64, previous: u64, sequence: u64) -> wire::Deliver {
    wire::Deliver {
        offset,
        conversation: conversation.to_owned(),
        sequence,
        previous_sequence: previous,
        sender: "bob".to_owned(),
        device: "phone".to_owned(),
        message_id: id_bytes(u8::try_from(sequence % 256).unwrap()),
        server_time: 7,
        payload: Bytes::from(vec![9; 3]),
    }
}

/// A session of alice with a caller that stores everything at once, unless told otherwise.
struct Rig {
    session: Session,
    now: Mono,
    stores: bool,
    frames: Vec<client_frame::Frame>,
    events: Vec<Event>,
    connects: usize,
    disconnects: Vec<DisconnectReason>,
}

impl Rig {
    fn new() -> Self {
        Self::with(SessionConfig::default(), DeviceState::default())
    }

    fn with(config: SessionConfig, state: DeviceState) -> Self {
        let session = Session::new(config, UserId::parse("alice").unwrap(), state);
        Self {
            session,
            now: Mono(1),
            stores: true,
            frames: Vec::new(),
            events: Vec::new(),
            connects: 0,
            disconnects: Vec::new(),
        }
    }

    /// Logged in, with nothing waiting.
    fn online() -> Self {
        let mut rig = Self::new();
        rig.login(welcome(0));
        rig.clear();
        rig
    }

    fn login(&mut self, welcome: wire::Welcome) {
        self.session.connected(self.now, "token");
        self.handle(server_frame::Frame::Welcome(welcome));
    }

    /// The same session after the process was stopped and started: only the saved state is left.
    fn restarted(&self) -> Self {
        Self::with(SessionConfig::default(), self.session.state())
    }

    fn clear(&mut self) {
        self.frames.clear();
        self.events.clear();
        self.disconnects.clear();
        self.connects = 0;
    }

    fn handle(&mut self, frame: server_frame::Frame) {
        self.session.handle(self.now, wire::ServerFrame { frame: Some(frame) });
        self.drain();
    }

    fn deliver(&mut self, deliver: wire::Deliver) {
        self.handle(server_frame::Frame::Deliver(deliver));
    }

    fn send(&mut self, number: u8) {
        let to = Target::To(UserId::parse("bob").unwrap());
        self.session.send(self.now, to, message_id(number), Bytes::from(vec![number])).unwrap();
        self.drain();
    }

    fn accept(&mut self, request_id: u64, number: u8, sequence: u64) {
        self.handle(server_frame::Frame::Accepted(accepted(request_id, number, sequence)));
    }

    fn reject(&mut self, request_id: u64, code: u32, retry_after_ms: Option<u32>) {
        let rejected = wire::Rejected { request_id, code, retry_after_ms, ..wire::Rejected::default() };
        self.handle(server_frame::Frame::Rejected(rejected));
    }

    fn close(&mut self, code: u32, retry_after_ms: Option<u32>) {
        let close = wire::Close { code, message: String::new(), retry_after_ms };
        self.handle(server_frame::Frame::Close(close));
    }

    fn lose_connection(&mut self) {
        self.session.disconnected(self.now);
        self.drain();
    }

    fn flush(&mut self) {
        self.session.flush_acks(self.now);
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.session.tick(self.now);
        self.drain();
    }

    /// Takes outputs until there are none.
    fn drain(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Frame(frame) => self.frames.push(frame),
                Output::Event(event) => {
                    let offset = offset_of(&event);
                    self.events.push(event);
                    if let Some(offset) = offset.filter(|_| self.stores) {
                        self.session.stored(self.now, offset);
                    }
                }
                Output::Connect => self.connects += 1,
                Output::Disconnect { reason } => self.disconnects.push(reason),
            }
        }
    }

    fn hello(&self) -> &wire::Hello {
        let hellos = self.frames.iter().filter_map(|frame| {
            if let client_frame::Frame::Hello(hello) = frame { Some(hello) } else { None }
        });
        hellos.last().expect("a Hello went out")
    }

    fn sends(&self) -> Vec<&wire::Send> {
        let sends = self
            .frames
            .iter()
            .map(|frame| if let client_frame::Frame::Send(send) = frame { Some(send) } else { None });
        sends.flatten().collect()
    }

    /// Numbers of the messages that went onto the wire, in order.
    fn sent(&self) -> Vec<u8> {
        self.sends().iter().map(|send| send.message_id[0]).collect()
    }

    fn acks(&self) -> Vec<u64> {
        let acks = self.frames.iter().map(|frame| {
            if let client_frame::Frame::Ack(ack) = frame { Some(ack.through_offset) } else { None }
        });
        acks.flatten().collect()
    }

    /// Sequences that were applied, in order.
    fn applied(&self) -> Vec<u64> {
        let applied = self
            .events
            .iter()
            .map(|event| if let Event::Message(message) = event { Some(message.sequence.0) } else { None });
        applied.flatten().collect()
    }

    fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }
}

fn accepted(request_id: u64, number: u8, sequence: u64) -> wire::Accepted {
    wire::Accepted {
        request_id,
        message_id: id_bytes(number),
        conversation: CONVERSATION.to_owned(),
        sequence,
        server_time: 7,
        durability: wire::Durability::Fsync.into(),
        offset: None,
        previous_sequence: 0,
    }
}

fn gap(
    offset: u64,
    conversation: &str,
    from: u64,
    through: u64,
    reason: wire::GapReason,
) -> server_frame::Frame {
    server_frame::Frame::Gap(wire::Gap {
        offset,
        conversation: conversation.to_owned(),
        from_sequence: from,
        through_sequence: through,
        reason: reason.into(),
    })
}

/// Thousands of sessions live in one process, and each output moves through a queue.
/// Seen to fail when: `Incoming` holds an array of 256 offsets.
#[test]
fn a_session_and_its_outputs_are_small() {
    assert!(size_of::<Session>() <= 1024, "{} bytes", size_of::<Session>());
    assert!(size_of::<Output>() <= 256, "{} bytes", size_of::<Output>());
}

/// The offset that a caller reports once it has stored this event.
fn offset_of(event: &Event) -> Option<Offset> {
    if let Event::Message(message) = event {
        return Some(message.offset);
    }
    if let Event::Gap(gap) = event { gap.offset } else { None }
}

fn is_fault(event: &Event) -> bool {
    matches!(event, Event::ServerFault(_))
}

fn is_duplicate(event: &Event) -> bool {
    matches!(event, Event::Duplicate { .. })
}
