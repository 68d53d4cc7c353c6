//! The client's side of a session, as a state machine: frames and time in, frames and events out.
//!
//! The caller owns the socket, the clock, the token, the ids of messages and the file of the state. It calls
//! [`Session::connected`] when a transport is up, hands in every frame, and after each call takes outputs from
//! [`Session::poll`] until there are none. [`Session::next_deadline`] says when [`Session::tick`] is due.
//! The first connection is the caller's to make; later ones are asked for by [`Output::Connect`].
//!
//! Invariants
//! - No clock, I/O, thread or randomness: the same calls give the same outputs.
//! - A message is applied once and in order; what breaks that is a server fault, never a silent skip.
//! - Nothing is acknowledged, and nothing is named as the place to resume from, that the caller has not stored.
//! - An unanswered message is sent again under the same id with the same bytes, until it is answered.

mod answers;
mod config;
mod event;
mod frames;
mod incoming;
mod link;
mod outgoing;
#[cfg(test)]
mod tests;
mod timing;

pub use config::{Backoff, SessionConfig};
pub use event::{
    Accepted, Closed, DisconnectReason, Event, Gap, Message, Next, Output, Rejected, ServerFault, Welcome,
};

use crate::state::{DeviceState, OutboxEntry, Target};
use bytes::Bytes;
use config::Jitter;
use incoming::Incoming;
use iris_protocol::wire::client_frame::Frame;
use iris_protocol::{Incarnation, MessageId, Mono, Offset, UserId, limits, wire};
use link::{Link, Phase, Request};
use outgoing::Outgoing;
use std::collections::VecDeque;

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The payload is above the limit: it would be refused.
    #[error("payload of {bytes} bytes, allowed are {bytes_max}")]
    PayloadTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Too many messages wait for an answer: try again after one was answered.
    #[error("{waiting} messages wait for an answer already")]
    OutboxFull {
        /// How many wait.
        waiting: usize,
    },
}

impl SendError {
    /// Judges a payload before it is taken.
    ///
    /// # Errors
    /// [`SendError::PayloadTooLarge`].
    pub fn check(payload: &[u8]) -> Result<(), Self> {
        let (bytes, bytes_max) = (payload.len(), limits::PAYLOAD_BYTES_MAX);
        if bytes > bytes_max { Err(Self::PayloadTooLarge { bytes, bytes_max }) } else { Ok(()) }
    }
}

/// A request needs a logged-in connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not logged in")]
pub struct Offline;

/// One device's session. Outlives its connections.
pub struct Session {
    config: SessionConfig,
    user: UserId,
    incarnation: Option<Incarnation>,
    incoming: Incoming,
    outgoing: Outgoing,
    unknown: Vec<OutboxEntry>,
    link: Link,
    jitter: Jitter,
    outputs: VecDeque<Output>,
    unsaved: bool,
}

impl Session {
    /// A session that continues from `state`. Drafts in the state stay the caller's.
    pub fn new(config: SessionConfig, user: UserId, state: DeviceState) -> Self {
        let mut outgoing = Outgoing::default();
        for entry in state.outbox {
            let conversation = entry.target.conversation(&user);
            outgoing.push(entry, conversation);
        }
        Self {
            jitter: Jitter::new(config.jitter_seed),
            config,
            user,
            incarnation: state.incarnation,
            incoming: Incoming::new(state.last, state.stored_through),
            outgoing,
            unknown: state.unknown,
            link: Link::new(),
            outputs: VecDeque::new(),
            unsaved: false,
        }
    }

    /// A transport is up: says Hello. Frames of an earlier connection that were not taken are dropped.
    pub fn connected(&mut self, now: Mono, token: &str) {
        self.drop_frames();
        self.outgoing.requeue();
        let named = self.incoming.stored_through().filter(|_| !self.link.resume_refused);
        let instance = self.config.instance;
        let attempt = if instance == 0 { 0 } else { self.link.connections };
        self.link.begin(now, named);
        self.emit(
            now,
            Frame::Hello(wire::Hello {
                versions: vec![PROTOCOL_VERSION],
                capabilities: self.config.capabilities.clone(),
                token: token.to_owned(),
                resume_offset: named.map(|offset| offset.0),
                window: self.config.window,
                heartbeat_s: u32::try_from(self.config.heartbeat.as_secs()).unwrap_or(u32::MAX),
                instance,
                attempt,
            }),
        );
    }

    /// The transport is gone, or could not be made: plans the next one. Without effect while one is planned.
    pub fn disconnected(&mut self, now: Mono) {
        self.drop_frames();
        self.go_offline(now);
    }

    /// Leaves for good: flushes acknowledgements, asks to close, and does not reconnect before `restart`.
    pub fn close(&mut self, now: Mono) {
        self.acknowledge(now);
        self.link.next = Next::Stop;
        self.leave(now, DisconnectReason::ByCaller);
    }

    /// Ends a stop (see [`Next`]): plans a reconnect after the backoff.
    pub fn restart(&mut self, now: Mono) {
        if self.link.next != Next::Reconnect {
            self.link.next = Next::Reconnect;
            self.plan_reconnect(now);
        }
    }

    /// Takes a message: sends it as soon as the connection and the window allow, and again until it is answered.
    /// Mint `message_id` right before the first transmission; [`Session::can_transmit`] says when that is now.
    ///
    /// # Errors
    /// [`SendError`]: nothing was taken.
    pub fn send(
        &mut self,
        now: Mono,
        target: Target,
        message_id: MessageId,
        payload: Bytes,
    ) -> Result<(), SendError> {
        SendError::check(&payload)?;
        let waiting = self.outgoing.len() + self.unknown.len();
        if waiting >= self.config.outbox_max {
            return Err(SendError::OutboxFull { waiting });
        }
        let conversation = target.conversation(&self.user);
        self.outgoing.push(OutboxEntry { message_id, target, payload }, conversation);
        self.unsaved = true;
        self.transmit(now);
        Ok(())
    }

    /// The caller has stored every Message and Gap up to this offset: it may be acknowledged.
    pub fn stored(&mut self, now: Mono, through: Offset) {
        self.unsaved |= self.incoming.stored(through);
        self.settle(now);
    }

    /// Sends an Ack for everything stored: to be called at the end of a batch of frames. Own copies alone wait: for a
    /// Send or another Ack to ride on, or for `own_ack_delay`.
    pub fn flush_acks(&mut self, now: Mono) {
        if self.incoming.is_pressing() || self.config.own_ack_delay.is_zero() {
            self.acknowledge(now);
        }
    }

    /// When the acknowledgement that waits is sent by `tick`; `None`: none waits.
    pub fn ack_deadline(&self) -> Option<Mono> {
        self.incoming.ack_deadline()
    }

    fn acknowledge(&mut self, now: Mono) {
        if !self.link.is_online() {
            return;
        }
        if let Some(through) = self.incoming.take_ack() {
            self.emit(now, Frame::Ack(wire::Ack { through_offset: through.0 }));
        }
    }

    /// Gives the server a fresh token; the answer is an event with the returned request id.
    ///
    /// # Errors
    /// [`Offline`]: log in with the token instead.
    pub fn refresh(&mut self, now: Mono, token: &str) -> Result<u64, Offline> {
        let token = token.to_owned();
        self.request(now, |request_id| Frame::Refresh(wire::Refresh { request_id, token }))
    }

    /// Asks for the user's devices; the answer is an event with the returned request id.
    ///
    /// # Errors
    /// [`Offline`]: try again after the next Welcome.
    pub fn devices(&mut self, now: Mono) -> Result<u64, Offline> {
        self.request(now, |request_id| Frame::Devices(wire::Devices { request_id }))
    }

    /// Unlinks a device of this user; the answer is an event with the returned request id.
    ///
    /// # Errors
    /// [`Offline`]: try again after the next Welcome.
    pub fn unlink(&mut self, now: Mono, device: &str) -> Result<u64, Offline> {
        let device = device.to_owned();
        self.request(now, |request_id| Frame::Unlink(wire::Unlink { request_id, device }))
    }

    fn request(&mut self, now: Mono, frame: impl FnOnce(u64) -> Frame) -> Result<u64, Offline> {
        if !self.link.is_online() {
            return Err(Offline);
        }
        let request_id = self.link.request_id();
        self.link.requests.push_back(Request { request_id, sent_at: now });
        self.emit(now, frame(request_id));
        Ok(request_id)
    }

    /// The next output, in order; `None`: nothing to do until the next call or deadline.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// True once Welcome has come, until the connection ends.
    pub fn is_online(&self) -> bool {
        self.link.is_online()
    }

    /// True from `connected` until the connection ends.
    pub fn is_connected(&self) -> bool {
        !matches!(self.link.phase, Phase::Offline(_))
    }

    /// What happens after the current or last connection.
    pub fn next(&self) -> Next {
        self.link.next
    }

    /// True if a message taken now would go onto the wire now.
    pub fn can_transmit(&self) -> bool {
        self.may_transmit() && self.outgoing.waiting_count() == 0
    }

    /// Messages without an answer.
    pub fn unanswered_count(&self) -> usize {
        self.outgoing.len()
    }

    /// Messages of unknown outcome. They are never re-sent; [`Session::forget_unknown`] drops one.
    pub fn unknown(&self) -> &[OutboxEntry] {
        &self.unknown
    }

    /// The user has decided what becomes of a message of unknown outcome. Gives it back.
    pub fn forget_unknown(&mut self, message_id: MessageId) -> Option<OutboxEntry> {
        let index = self.unknown.iter().position(|entry| entry.message_id == message_id)?;
        self.unsaved = true;
        Some(self.unknown.remove(index))
    }

    /// The state as it must be saved now: everything up to the stored offset, and every unanswered message.
    pub fn state(&self) -> DeviceState {
        DeviceState {
            incarnation: self.incarnation,
            stored_through: self.incoming.stored_through(),
            last: self.incoming.last_as_stored(),
            outbox: self.outgoing.entries(),
            unknown: self.unknown.clone(),
            drafts: Vec::new(),
        }
    }

    /// True if the state must be saved before the next frame is written: a message is new, or the stored offset moved.
    pub fn unsaved(&self) -> bool {
        self.unsaved
    }

    /// The state was saved.
    pub fn saved(&mut self) {
        self.unsaved = false;
    }

    fn drop_frames(&mut self) {
        self.outputs.retain(|output| !matches!(output, Output::Frame(_)));
    }

    fn emit(&mut self, now: Mono, frame: Frame) {
        assert!(self.is_connected(), "a frame without a connection");
        self.link.last_sent = now;
        self.outputs.push_back(Output::Frame(frame));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn may_transmit(&self) -> bool {
        self.link.is_online()
            && self.link.leave.is_none()
            && self.outgoing.on_wire_count() < self.link.send_window
    }

    /// Puts waiting messages onto the wire, as many as the window allows. Acknowledgements ride along.
    fn transmit(&mut self, now: Mono) {
        while self.may_transmit() {
            let request_id = self.link.next_request_id;
            let Some(message) = self.outgoing.transmit(now, request_id) else {
                return;
            };
            let target = match &message.entry.target {
                Target::To(user) => wire::send::Target::To(user.as_str().to_owned()),
                Target::Conversation(id) => wire::send::Target::Conversation(id.as_str().to_owned()),
            };
            let send = wire::Send {
                request_id,
                target: Some(target),
                message_id: message.message_id.clone(),
                payload: message.entry.payload.clone(),
                ack_through: self.incoming.take_ack().map(|through| through.0),
            };
            self.link.next_request_id += 1;
            self.emit(now, Frame::Send(send));
        }
    }
}

/// The version of the protocol that this client speaks.
const PROTOCOL_VERSION: u32 = 1;
