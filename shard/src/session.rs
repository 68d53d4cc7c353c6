//! A session: one device's live connection, and the frames that come in and go out on it.
//!
//! Invariants
//! - `unsent` is what was emitted and not reported as sent; Deliver and Gap start only below UNSENT_BYTES_MAX.
//! - A session that was closed is forgotten at once: later inputs of its connection change nothing.
//! - An idle session owns no heap memory of its own.

use crate::arena::Keyed;
use crate::heartbeat::ms_of;
use crate::io::{ConnId, Effect, Frame, Login, Renewal};
use crate::mutant::{self, Mutant};
use crate::ring::Ring;
use crate::shard::Shard;
use crate::user::NOBODY;
use foldhash::fast::FixedState;
use iris_protocol::frame::{ClientFrame, deliver_bytes};
use iris_protocol::limits::{LENGTH_BYTES, SEND_WINDOW, UNSENT_BYTES_MAX};
use iris_protocol::wire::{self, client_frame, server_frame};
use iris_protocol::{CloseCode, Mono, Offset, RejectCode};
use std::hash::BuildHasher;

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waits for its user to be loaded, or for its device's row to be durable.
    Login,
    /// Welcomed.
    Live,
    /// Its device was unlinked: it is closed once that is durable.
    Ending,
}

/// Reasons for which a connection's socket is not read.
pub(crate) const READ_UNSENT: u8 = 1;
pub(crate) const READ_UNANSWERED: u8 = 2;
pub(crate) const READ_LOGIN: u8 = 4;

/// A delivery that was not acked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub(crate) offset: Offset,
    pub(crate) bytes: u32,
}

/// What a session needs until its Welcome.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) login: Box<Login>,
    /// Frames that came early.
    pub(crate) early: Vec<ClientFrame>,
    pub(crate) linked_now: bool,
    pub(crate) was_detached: bool,
}

/// See the module.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, one byte each")]
pub(crate) struct Session {
    pub(crate) conn: ConnId,
    /// When its token ends.
    pub(crate) expires_at: Mono,
    /// Everything at or below was sent, or need not be.
    pub(crate) position: Offset,
    pub(crate) in_flight: Ring<InFlight>,
    pub(crate) arrival: Option<Box<Arrival>>,
    /// Index of the user.
    pub(crate) user: u32,
    /// The channel of its last Send, and that channel's serial.
    pub(crate) recent: u32,
    pub(crate) recent_serial: u32,
    pub(crate) unsent: u32,
    /// As its Hello said: which run of the client it is, and which connection of that run.
    pub(crate) instance: u32,
    pub(crate) attempt: u32,
    /// Stamp of its alarm in the wheel.
    pub(crate) stamp: u32,
    /// Last frame heard, and last progress of its unsent bytes, in ms of monotonic time.
    pub(crate) heard_ms: u32,
    pub(crate) progress_ms: u32,
    pub(crate) heartbeat_s: u16,
    pub(crate) window: u16,
    /// Its device's place; meaningful once it is attached.
    pub(crate) place: u8,
    pub(crate) unanswered: u8,
    pub(crate) read_off: u8,
    pub(crate) phase: Phase,
    pub(crate) is_pinged: bool,
    /// It knows when its token ends.
    pub(crate) is_told: bool,
    pub(crate) is_watched: bool,
    pub(crate) is_reading_page: bool,
}

impl Session {
    pub(crate) fn new(conn: ConnId, now: Mono, login: Box<Login>) -> Self {
        let now_ms = ms_of(now);
        let (instance, attempt) = (login.hello.instance, login.hello.attempt);
        Self {
            conn,
            expires_at: login.ends_at,
            position: Offset::NONE,
            in_flight: Ring::default(),
            arrival: Some(Box::new(Arrival {
                login,
                early: Vec::new(),
                linked_now: false,
                was_detached: false,
            })),
            user: NOBODY,
            recent: NOBODY,
            recent_serial: 0,
            unsent: 0,
            instance,
            attempt,
            stamp: 0,
            heard_ms: now_ms,
            progress_ms: now_ms,
            heartbeat_s: 0,
            window: 0,
            place: u8::MAX,
            unanswered: 0,
            read_off: 0,
            phase: Phase::Login,
            is_pinged: false,
            is_told: false,
            is_watched: false,
            is_reading_page: false,
        }
    }

    // Rule: flow control
    /// True if another Deliver or Gap may start.
    pub(crate) fn has_room(&self) -> bool {
        self.phase == Phase::Live
            && (self.in_flight.len() < usize::from(self.window) || mutant::is_on(Mutant::WindowIgnored))
            && (self.unsent as usize) < UNSENT_BYTES_MAX
    }
}

impl Keyed for Session {
    fn key_hash(&self, state: &FixedState) -> u64 {
        state.hash_one(self.conn.0)
    }
}

impl Shard {
    pub(crate) fn session_of(&self, conn: ConnId) -> Option<u32> {
        let hash = self.sessions.state().hash_one(conn.0);
        self.sessions.find(hash, |session| session.conn == conn)
    }

    pub(crate) fn frame_in(&mut self, conn: ConnId, frame: ClientFrame) {
        let Some(index) = self.session_of(conn) else { return };
        let now_ms = self.now_ms();
        let session = &mut self.sessions[index];
        session.heard_ms = now_ms;
        session.is_pinged = false;
        match session.phase {
            Phase::Ending => {}
            Phase::Login => {
                if let Some(arrival) = &mut session.arrival {
                    arrival.early.push(frame);
                }
            }
            Phase::Live => self.dispatch(index, frame),
        }
    }

    fn dispatch(&mut self, index: u32, frame: ClientFrame) {
        let frame = match frame {
            ClientFrame::Send(send) => return self.send_in(index, send),
            ClientFrame::Other(frame) => frame,
        };
        let Some(frame) = frame else {
            return self.reject(index, 0, RejectCode::UnknownFrame);
        };
        match frame {
            client_frame::Frame::Send(send) => self.send_in(index, send.into()),
            client_frame::Frame::Ack(ack) => {
                self.ack(index, Offset(ack.through_offset));
            }
            client_frame::Frame::Ping(wire::Ping { nonce }) => {
                self.send_frame(index, server_frame::Frame::Pong(wire::Pong { nonce }));
            }
            client_frame::Frame::Pong(_) => {}
            client_frame::Frame::Devices(request) => self.list_devices(index, request.request_id),
            client_frame::Frame::Unlink(request) => self.unlink(index, request.request_id, &request.device),
            // The driver checks the token of a Refresh: a frame that comes here carries none that was checked.
            client_frame::Frame::Refresh(request) => {
                self.reject(index, request.request_id, RejectCode::TokenRefused);
            }
            client_frame::Frame::Hello(_) => self.close(index, CloseCode::UnexpectedHello, None),
        }
    }

    /// Frames that came before the Welcome.
    pub(crate) fn replay_early(&mut self, conn: ConnId, early: Vec<ClientFrame>) {
        for frame in early {
            self.frame_in(conn, frame);
        }
    }

    pub(crate) fn refreshed(&mut self, conn: ConnId, request_id: u64, renewal: Option<&Renewal>) {
        let Some(index) = self.session_of(conn) else { return };
        let now_ms = self.now_ms();
        let session = &mut self.sessions[index];
        session.heard_ms = now_ms;
        if session.phase != Phase::Live {
            return;
        }
        let user = &self.users[session.user];
        let is_same =
            |renewal: &&Renewal| renewal.user == user.id && renewal.device == user.device(session.place).id;
        let Some(renewal) = renewal.filter(is_same) else {
            return self.reject(index, request_id, RejectCode::TokenRefused);
        };
        self.sessions[index].expires_at = renewal.ends_at;
        self.begin_token(index);
        let frame = wire::Refreshed { request_id, expires_at: renewal.expires_at.0 };
        self.send_frame(index, server_frame::Frame::Refreshed(frame));
        self.arm(index);
    }

    /// Bytes left the process.
    pub(crate) fn sent(&mut self, conn: ConnId, bytes: usize) {
        let Some(index) = self.session_of(conn) else { return };
        let now_ms = self.now_ms();
        let session = &mut self.sessions[index];
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        session.unsent = session.unsent.saturating_sub(bytes);
        session.progress_ms = now_ms;
        if session.read_off & READ_UNSENT != 0 && (session.unsent as usize) < UNSENT_BYTES_MAX / 2 {
            self.read(index, READ_UNSENT, true);
        }
        self.pump(index);
    }

    /// Sends a frame that acknowledges nothing.
    pub(crate) fn send_frame(&mut self, index: u32, frame: server_frame::Frame) {
        let bytes = LENGTH_BYTES + frame.encoded_len();
        let conn = self.sessions[index].conn;
        self.effects.push_back(Effect::Send { conn, frame: Frame::Other(frame) });
        self.count_unsent(index, bytes);
    }

    pub(crate) fn send_deliver(
        &mut self,
        index: u32,
        offset: Offset,
        previous: iris_protocol::Sequence,
        envelope: std::sync::Arc<iris_protocol::Envelope>,
    ) {
        let bytes = deliver_bytes(offset, previous, &envelope);
        let mut conn = self.sessions[index].conn;
        if mutant::strikes(Mutant::DeliveredTwice, self.counters.delivered) {
            let frame = Frame::Deliver { offset, previous, envelope: std::sync::Arc::clone(&envelope) };
            self.effects.push_back(Effect::Send { conn, frame });
        }
        if mutant::strikes(Mutant::DeliveredToStranger, self.counters.delivered) {
            conn = self.sessions.iter().map(|(_, session)| session.conn).max().unwrap_or(conn);
        }
        self.effects.push_back(Effect::Send { conn, frame: Frame::Deliver { offset, previous, envelope } });
        if mutant::is_on(Mutant::DeliveriesSwapped) && self.effects.len() > 1 {
            let last = self.effects.len() - 1;
            self.effects.swap(last - 1, last);
        }
        self.count_unsent(index, bytes);
    }

    pub(crate) fn count_unsent(&mut self, index: u32, bytes: usize) {
        let now = self.now;
        let now_ms = self.now_ms();
        let session = &mut self.sessions[index];
        if session.unsent == 0 {
            session.progress_ms = now_ms;
        }
        session.unsent = session.unsent.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if !std::mem::replace(&mut session.is_watched, true) {
            self.stalls.push(now, session.conn);
        }
        if self.sessions[index].unsent as usize >= UNSENT_BYTES_MAX {
            self.read(index, READ_UNSENT, false);
        }
    }

    /// Adds or takes away a reason not to read a connection.
    pub(crate) fn read(&mut self, index: u32, reason: u8, on: bool) {
        let session = &mut self.sessions[index];
        let before = session.read_off;
        session.read_off = if on { before & !reason } else { before | reason };
        if (before == 0) != (session.read_off == 0) {
            let conn = session.conn;
            self.effects.push_back(Effect::Read { conn, on: session.read_off == 0 });
        }
    }

    /// One more Send waits for its answer.
    pub(crate) fn count_unanswered(&mut self, index: u32) {
        let session = &mut self.sessions[index];
        session.unanswered = session.unanswered.saturating_add(1);
        if u32::from(session.unanswered) >= SEND_WINDOW {
            self.read(index, READ_UNANSWERED, false);
        }
    }

    /// A Send was answered.
    pub(crate) fn count_answered(&mut self, index: u32) {
        let session = &mut self.sessions[index];
        session.unanswered = session.unanswered.saturating_sub(1);
        if session.read_off & READ_UNANSWERED != 0 && u32::from(session.unanswered) < SEND_WINDOW {
            self.read(index, READ_UNANSWERED, true);
        }
    }

    /// Refuses a request that names no message.
    pub(crate) fn reject(&mut self, index: u32, request_id: u64, code: RejectCode) {
        let server_time = self.wall().0;
        let frame = wire::Rejected {
            request_id,
            message_id: None,
            code: code.number(),
            retry_after_ms: None,
            server_time,
        };
        self.send_frame(index, server_frame::Frame::Rejected(frame));
    }

    /// Tells the driver to close, and forgets the session.
    pub(crate) fn close(&mut self, index: u32, code: CloseCode, retry_after_ms: Option<u32>) {
        let conn = self.sessions[index].conn;
        self.counters.closes += 1;
        self.effects.push_back(Effect::Close { conn, code, retry_after_ms });
        self.forget_session(index);
    }

    /// The connection is gone.
    pub(crate) fn gone(&mut self, conn: ConnId) {
        if let Some(index) = self.session_of(conn) {
            self.forget_session(index);
        }
    }

    /// Takes a session out of memory; what it had in flight stays in the inbox.
    fn forget_session(&mut self, index: u32) {
        let session = self.sessions.remove(index);
        if session.user == NOBODY {
            return;
        }
        let user = &mut self.users[session.user];
        user.is_touched = true;
        let attached = user.devices().any(|device| device.session == index);
        if !attached {
            return;
        }
        user.device_mut(session.place).session = NOBODY;
        user.items.release();
        self.see_device(session.user, session.place);
        // Rule: inbox entries (at once when a device of the user is offline)
        if self.users[session.user].fresh_entries > 0 {
            self.settle_now(session.user);
        }
    }
}

// See the budget in `user`.
const _: () = assert!(size_of::<Session>() <= 96);
