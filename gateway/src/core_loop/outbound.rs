//! From shard effects to sends, records, questions and mail.
//!
//! Invariants
//! - Frames of one tick leave in one send per connection.
//! - The Close frame is the last one, on a WebSocket with a close frame behind it, and the socket closes after it.

use super::timing::CLOSE_TIMEOUT;
use super::{Core, CoreMail};
use crate::conn::{ConnState, Phase, Transport};
use iris_protocol::frame::{encode_accepted, encode_deliver, encode_server};
use iris_protocol::websocket::CloseStatus;
use iris_protocol::wire::{Close, server_frame};
use iris_protocol::{CloseCode, Mono};
use iris_reactor::Conn;
use iris_shard::io::{ConnId, Effect, Frame, Input, LoadId};
use iris_storage::load::LoadRequest;
use std::time::Instant;

/// Send buffers kept for reuse, and the largest one that is kept.
const SPARE_MAX: usize = 512;
const SPARE_BYTES_MAX: usize = 64 << 10;

impl Core {
    /// Carries out everything the shard has asked for.
    pub(super) fn carry_out_effects(&mut self) {
        let mut time = None;
        while let Some(effect) = self.parts.shard.poll_effect() {
            // For the recorder, once for what was decided together.
            let at = *time.get_or_insert_with(|| self.now());
            match effect {
                Effect::Send { conn, frame } => self.send_frame(at, conn, frame),
                Effect::Accept { conn, acceptance } => {
                    crate::trace::accepted(self.parts.id, conn, &acceptance);
                    self.leave_accepted(at, conn, &acceptance.message_id);
                    self.with_pending(conn, |pending| encode_accepted(&acceptance, pending));
                }
                Effect::Close { conn, code, retry_after_ms } => {
                    self.close_with(Conn::from_bits(conn.0), code, retry_after_ms);
                }
                Effect::Read { conn, on } => self.set_reading(Conn::from_bits(conn.0), on),
                Effect::Store { ticket, ops } => {
                    crate::trace::stored(self.parts.id, &ops);
                    self.gather_ops(at, ticket, &ops);
                    self.parts.log.append(ticket, &ops, self.parts.reactor.now());
                }
                Effect::Load { id, request } => self.load(at, id, request),
                Effect::Mail { to, mail } => {
                    crate::trace::mailed(self.parts.id, to, &mail);
                    let flight = self.flight_of(at, &mail);
                    let refused = self.parts.post.send(usize::from(to.0), CoreMail::Shard(mail, flight));
                    assert!(refused.is_ok(), "mail ring to shard {to} is full in spite of credits");
                }
            }
        }
        self.send_waiting_moves();
    }

    /// Answers from the tables' memory, or asks the storage thread, which costs two wake-ups and waits behind its work.
    fn load(&mut self, now: Mono, id: LoadId, request: LoadRequest) {
        if let Some(loaded) = self.parts.storage.read_resident(&request) {
            self.resident_loads += 1;
            self.give(now, Input::Loaded { id, answer: Ok(loaded) });
        } else {
            self.recorder.ask(id);
            self.parts.storage.ask(id, request);
        }
    }

    fn send_frame(&mut self, at: Mono, conn: ConnId, frame: Frame) {
        crate::trace::delivered(self.parts.id, conn, &frame);
        match frame {
            Frame::Deliver { offset, previous, envelope } => {
                self.leave_delivered(at, conn, &envelope);
                self.with_pending(conn, |pending| encode_deliver(offset, previous, &envelope, pending));
            }
            Frame::Other(frame) => self.with_pending(conn, |pending| encode_server(frame, pending)),
        }
    }

    /// Lets `append` add a frame to what a connection will send; nothing happens if it is closing or gone.
    fn with_pending(&mut self, conn: ConnId, append: impl FnOnce(&mut Vec<u8>)) {
        let conn = Conn::from_bits(conn.0);
        let Some(state) = self.conns.find(conn) else { return };
        if matches!(state.phase, Phase::Closing) {
            return;
        }
        if state.pending.capacity() == 0 {
            state.pending = self.spare.pop().unwrap_or_default();
        }
        let start = state.pending.len();
        append(&mut state.pending);
        state.framing.form(&mut state.pending, start);
        if !std::mem::replace(&mut state.dirty, true) {
            self.dirty.push(conn);
        }
    }

    /// Sends bytes that are no frame.
    pub(super) fn send_raw(&mut self, conn: Conn, bytes: &[u8]) {
        if let Some(state) = self.conns.find(conn) {
            state.pending.extend_from_slice(bytes);
            self.mark_dirty(conn);
        }
    }

    pub(super) fn mark_dirty(&mut self, conn: Conn) {
        if let Some(state) = self.conns.find(conn)
            && !std::mem::replace(&mut state.dirty, true)
        {
            self.dirty.push(conn);
        }
    }

    /// Sends a Close frame as the last one, then closes.
    pub(super) fn close_with(&mut self, conn: Conn, code: CloseCode, retry_after_ms: Option<u32>) {
        self.close_as(conn, code, CloseStatus::of_code(code), retry_after_ms);
    }

    /// As `close_with`, with another status for a WebSocket. Who does not understand frames yet is just hung up on.
    pub(super) fn close_as(
        &mut self,
        conn: Conn,
        code: CloseCode,
        status: CloseStatus,
        retry_after_ms: Option<u32>,
    ) {
        let Some(state) = self.conns.find(conn) else { return };
        let (id, takes_frames) = (state.id(), state.framing.takes_frames());
        tracing::debug!(shard = self.parts.id.0, conn = conn.to_bits(), code = code.name(), "close");
        let close = Close { code: code.number(), message: code.name().to_owned(), retry_after_ms };
        if takes_frames {
            self.with_pending(id, |pending| encode_server(server_frame::Frame::Close(close), pending));
        }
        if let Some(state) = self.conns.find(conn) {
            state.framing.close(code, status, &mut state.pending);
        }
        self.hang_up(conn);
    }

    /// Closes once everything pending is out.
    pub(super) fn hang_up(&mut self, conn: Conn) {
        let Some(state) = self.conns.find(conn) else { return };
        if matches!(state.phase, Phase::Closing) {
            return;
        }
        state.phase = Phase::Closing;
        if let Transport::Tls(link) = &mut state.transport {
            // The alert comes after the last frame; a handshake that never ended has no frames.
            if link.conn.seal(&state.pending, &mut link.sealed).is_ok() {
                link.conn.close(&mut link.sealed);
            }
            state.pending.clear();
        }
        self.timing.closes.push_back((Instant::now() + CLOSE_TIMEOUT, conn));
        self.mark_dirty(conn);
    }

    fn set_reading(&mut self, conn: Conn, on: bool) {
        if self.conns.find(conn).is_none() {
            return;
        }
        if on { self.parts.reactor.resume(conn) } else { self.parts.reactor.pause(conn) }
    }

    /// Sends what is pending on every connection that has something and is not sending.
    pub(super) fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for conn in dirty.drain(..) {
            self.flush_conn(conn);
        }
        self.dirty = dirty;
    }

    fn flush_conn(&mut self, conn: Conn) {
        let Some(state) = self.conns.find(conn) else { return };
        state.dirty = false;
        if state.closed || state.phase == Phase::Moving || self.parts.reactor.is_sending(conn) {
            return;
        }
        let buffer = take_outgoing(state, &mut self.spare);
        let closing = matches!(state.phase, Phase::Closing);
        if let Some(buffer) = buffer {
            self.parts.reactor.send(conn, buffer);
        }
        if closing {
            state.closed = true;
            self.parts.reactor.close(conn);
        }
    }

    pub(super) fn sent(&mut self, now: Mono, conn: Conn, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && buffer.capacity() <= SPARE_BYTES_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
        self.recorder.sent(conn, now);
        let Some(state) = self.conns.find(conn) else { return };
        let bytes = std::mem::take(&mut state.sending_bytes) as usize;
        let waiting = !state.pending.is_empty() || state.transport.has_sealed() || state.framing.has_pong();
        if state.in_shard && bytes > 0 {
            let id = state.id();
            self.give(now, Input::Sent { conn: id, bytes });
        }
        if waiting {
            self.mark_dirty(conn);
        }
    }
}

/// The next buffer to send, after TLS; `None` if nothing waits.
fn take_outgoing(state: &mut ConnState, spare: &mut Vec<Vec<u8>>) -> Option<Vec<u8>> {
    state.framing.append_pong(&mut state.pending);
    let plain = std::mem::take(&mut state.pending);
    let counted = state.framing.take_counted(plain.len());
    state.sending_bytes = u32::try_from(counted).unwrap_or(u32::MAX);
    let Transport::Tls(link) = &mut state.transport else {
        return (!plain.is_empty()).then_some(plain);
    };
    let mut sealed = std::mem::take(&mut link.sealed);
    if !plain.is_empty() {
        if sealed.capacity() == 0 {
            sealed = spare.pop().unwrap_or_default();
        }
        // A session that cannot seal is broken: its receive side reports it and closes.
        let _broken = link.conn.seal(&plain, &mut sealed);
    }
    if plain.capacity() > 0 && spare.len() < SPARE_MAX {
        let mut plain = plain;
        plain.clear();
        spare.push(plain);
    }
    (!sealed.is_empty()).then_some(sealed)
}
