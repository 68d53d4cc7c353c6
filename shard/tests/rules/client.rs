//! A device that checks what it is sent by the rules that clients apply, and keeps a log.

use bytes::Bytes;
use iris_protocol::wire::{self, server_frame};
use iris_protocol::{CloseCode, DeviceId, MessageId, RejectCode, UserId};
use iris_shard::io::{ConnId, Frame};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A device: what it stored survives its connections.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "switches of a test's device")]
pub(crate) struct Client {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) conn: Option<ConnId>,
    pub(crate) window: u32,
    /// Acks everything at once.
    pub(crate) acks: bool,
    /// Reports its bytes as sent at once.
    pub(crate) reads: bool,
    /// Sends its resume offset in Hello.
    pub(crate) resumes: bool,
    /// Last offset stored.
    pub(crate) stored: u64,
    pub(crate) acked: u64,
    /// Last sequence applied, by conversation.
    pub(crate) last: BTreeMap<String, u64>,
    /// Conversations whose next envelope is their base: a gap that names none says so of all. What was applied
    /// before stays applied: a duplicate is one still.
    pub(crate) rebases: BTreeSet<String>,
    pub(crate) frames: VecDeque<server_frame::Frame>,
    pub(crate) welcome: Option<wire::Welcome>,
    pub(crate) applied: Vec<(String, u64, MessageId, Bytes)>,
    pub(crate) offsets: Vec<u64>,
    pub(crate) raw_duplicates: u64,
    pub(crate) gaps: Vec<wire::Gap>,
    pub(crate) accepted: BTreeMap<MessageId, wire::Accepted>,
    pub(crate) rejected: Vec<(MessageId, RejectCode)>,
    pub(crate) refused: Vec<RejectCode>,
    /// When to come back, of every refusal.
    pub(crate) retries: Vec<(RejectCode, Option<u32>)>,
    pub(crate) closed: Vec<CloseCode>,
    /// When to come back, of every close.
    pub(crate) returns: Vec<Option<u32>>,
    pub(crate) is_reading: bool,
    pub(crate) unsent: usize,
    pub(crate) others: Vec<server_frame::Frame>,
}

impl Client {
    pub(crate) fn new(user: &str, device: &str) -> Self {
        Self {
            user: UserId::parse(user).unwrap(),
            device: DeviceId::parse(device).unwrap(),
            conn: None,
            window: 256,
            acks: true,
            reads: true,
            resumes: true,
            stored: 0,
            acked: 0,
            last: BTreeMap::new(),
            rebases: BTreeSet::new(),
            frames: VecDeque::new(),
            welcome: None,
            applied: Vec::new(),
            offsets: Vec::new(),
            raw_duplicates: 0,
            gaps: Vec::new(),
            accepted: BTreeMap::new(),
            rejected: Vec::new(),
            refused: Vec::new(),
            retries: Vec::new(),
            closed: Vec::new(),
            returns: Vec::new(),
            is_reading: true,
            unsent: 0,
            others: Vec::new(),
        }
    }

    /// Sequences applied in a conversation, in order.
    pub(crate) fn sequences(&self, conversation: &str) -> Vec<u64> {
        let of_it = self.applied.iter().filter(|(id, ..)| id == conversation);
        of_it.map(|(_, sequence, ..)| *sequence).collect()
    }

    pub(crate) fn payloads(&self) -> Vec<String> {
        self.applied.iter().map(|(.., payload)| String::from_utf8_lossy(payload).into_owned()).collect()
    }

    /// Takes one frame: the rules of "clients apply strictly".
    pub(crate) fn take(&mut self, frame: server_frame::Frame) {
        match frame {
            server_frame::Frame::Welcome(welcome) => {
                assert!(welcome.window <= self.window, "granted more than asked for");
                // Who names no offset continues from the server's cursor, which may lie behind.
                assert!(!self.resumes || welcome.resumed_at >= self.stored, "the session starts too low");
                self.stored = welcome.resumed_at;
                if welcome.linked_now {
                    // A new life: what was applied in another one is no base.
                    self.last.clear();
                    self.applied.clear();
                }
                self.welcome = Some(welcome);
            }
            server_frame::Frame::Deliver(deliver) => {
                let id = MessageId::parse(&deliver.message_id).unwrap();
                self.place(deliver.offset);
                let place = (deliver.sequence, deliver.previous_sequence);
                self.apply(&deliver.conversation, place, id, deliver.payload);
            }
            server_frame::Frame::Accepted(accepted) => self.take_accepted(accepted),
            server_frame::Frame::Gap(gap) => {
                if gap.conversation.is_empty() {
                    self.rebases.extend(self.last.keys().cloned());
                    // A gap is acked like a delivery.
                    self.acked = 0;
                } else {
                    self.place(gap.offset);
                    let last = self.last.entry(gap.conversation.clone()).or_default();
                    *last = (*last).max(gap.through_sequence);
                }
                self.gaps.push(gap);
            }
            server_frame::Frame::Rejected(rejected) => {
                let code = RejectCode::from_number(rejected.code).unwrap();
                self.retries.push((code, rejected.retry_after_ms));
                match rejected.message_id.and_then(|id| MessageId::parse(&id).ok()) {
                    Some(id) => self.rejected.push((id, code)),
                    None => self.refused.push(code),
                }
            }
            frame @ (server_frame::Frame::Refreshed(_)
            | server_frame::Frame::Pong(_)
            | server_frame::Frame::GoAway(_)
            | server_frame::Frame::Close(_)
            | server_frame::Frame::DeviceList(_)
            | server_frame::Frame::Unlinked(_)
            | server_frame::Frame::Ping(_)) => self.others.push(frame),
        }
    }

    fn take_accepted(&mut self, accepted: wire::Accepted) {
        let id = MessageId::parse(&accepted.message_id).unwrap();
        if let Some(before) = self.accepted.get(&id) {
            assert_eq!(before.sequence, accepted.sequence, "answers differ for {id}");
            assert_eq!(before.server_time, accepted.server_time, "answers differ for {id}");
            assert_eq!(before.conversation, accepted.conversation, "answers differ for {id}");
        }
        if let Some(offset) = accepted.offset {
            self.place(offset);
            let place = (accepted.sequence, accepted.previous_sequence);
            self.apply(&accepted.conversation, place, id, Bytes::new());
        }
        self.accepted.insert(id, accepted);
    }

    /// An offset came: they only rise on a connection.
    fn place(&mut self, offset: u64) {
        assert!(offset > self.stored, "{} {}: offset {offset} after {}", self.user, self.device, self.stored);
        self.stored = offset;
        self.offsets.push(offset);
    }

    fn apply(&mut self, conversation: &str, (sequence, previous): (u64, u64), id: MessageId, payload: Bytes) {
        let last = self.last.get(conversation).copied();
        match last {
            Some(last) if sequence <= last => self.raw_duplicates += 1,
            Some(last) => {
                assert!(
                    previous <= last || self.rebases.remove(conversation),
                    "{} {}: {conversation} {sequence} follows {previous}, applied was {last}",
                    self.user,
                    self.device
                );
                self.last.insert(conversation.to_owned(), sequence);
                self.applied.push((conversation.to_owned(), sequence, id, payload));
            }
            None => {
                self.last.insert(conversation.to_owned(), sequence);
                self.applied.push((conversation.to_owned(), sequence, id, payload));
            }
        }
    }

    /// The connection is gone: everything that belonged to it is, too.
    pub(crate) fn drop_conn(&mut self) {
        self.conn = None;
        self.frames.clear();
        self.welcome = None;
        self.unsent = 0;
        self.is_reading = true;
        self.acked = self.stored;
    }
}

/// A frame as it goes over the wire.
pub(crate) fn wire_of(frame: Frame) -> server_frame::Frame {
    match frame {
        Frame::Other(frame) => frame,
        Frame::Deliver { offset, previous, envelope } => server_frame::Frame::Deliver(wire::Deliver {
            offset: offset.0,
            conversation: envelope.conversation.to_string(),
            sequence: envelope.sequence.0,
            previous_sequence: previous.0,
            sender: envelope.sender.to_string(),
            device: envelope.device.to_string(),
            message_id: Bytes::copy_from_slice(envelope.message_id.as_bytes()),
            server_time: envelope.server_time.0,
            payload: envelope.payload.clone(),
        }),
    }
}
