//! From reactor events to shard inputs: TLS, framing, login.
//!
//! Invariants
//! - A token is checked before the shard, or another core, hears of the connection.
//! - Every refusal of a token waits for the same fixed delay.

use super::timing::push;
use super::{Core, Scheme};
use crate::address::Seat;
use crate::conn::{ConnState, Phase, TlsLink, Transport};
use crate::frames::FrameBody;
use crate::framing::{Cut, CutError, Framing};
use crate::gate::{Shown, TokenGate};
use crate::tls::TlsState;
use crate::token::{REFUSAL_DELAY, TokenError};
use crate::websocket::WebSocketLink;
use iris_protocol::frame::ClientFrame;
use iris_protocol::websocket::Refusal;
use iris_protocol::wire::{Hello, client_frame::Frame};
use iris_protocol::{CloseCode, Mono};
use iris_reactor::{CloseCause, Conn, Listener};
use iris_shard::io::{Input, Login, Renewal};

impl Core {
    pub(super) fn accepted(&mut self, now: Mono, conn: Conn, listener: Listener, seat: Seat) {
        let scheme = self.listening.iter().find(|(other, _)| *other == listener).map(|(_, scheme)| scheme);
        let Some((transport, framing)) = scheme.and_then(begin) else {
            self.parts.reactor.abort(conn);
            return;
        };
        self.conns.insert(ConnState::new(conn, transport, framing));
        self.door.seat(conn, seat);
        let deadline = self.instant(now) + self.parts.login_timeout;
        push(&mut self.timing.logins, deadline, conn);
        tracing::debug!(shard = self.parts.id.0, conn = conn.to_bits(), "accepted");
    }

    pub(super) fn take_received(&mut self, now: Mono, conn: Conn, bytes: &mut [u8]) {
        let Some(state) = self.conns.find(conn) else { return };
        let Transport::Tls(link) = &mut state.transport else {
            self.take_bytes(now, conn, bytes);
            return;
        };
        let mut plain = std::mem::take(&mut self.scratch);
        plain.clear();
        let outcome = link.conn.receive(bytes, &mut link.sealed, |part| plain.extend_from_slice(part));
        // A ticket alone can wait for the answer to the Hello, and leave in the same send.
        let only_ticket = state.phase == Phase::Login && matches!(outcome, Ok(TlsState::Open));
        if !link.sealed.is_empty() && !only_ticket {
            self.mark_dirty(conn);
        }
        if !plain.is_empty() {
            self.take_bytes(now, conn, &plain);
        }
        self.scratch = plain;
        if let Err(error) = outcome {
            tracing::debug!(shard = self.parts.id.0, conn = conn.to_bits(), %error, "tls failed");
            self.hang_up(conn);
        }
    }

    /// Cuts plain bytes into frames, and takes each.
    pub(super) fn take_bytes(&mut self, now: Mono, conn: Conn, mut bytes: &[u8]) {
        loop {
            let Some(state) = self.conns.find(conn) else { return };
            match state.phase {
                Phase::Moving => return state.framing.keep(bytes),
                Phase::Refused | Phase::Closing => return,
                Phase::Login | Phase::Open => {}
            }
            let bytes_max = state.frame_bytes_max();
            match state.framing.next(&mut bytes, &self.parts.upgrades, bytes_max) {
                Ok(Some(Cut::Frame(body))) => self.take_frame(now, conn, body),
                Ok(Some(Cut::Upgraded(_))) if self.draining => {
                    return self.refuse_cut(conn, CutError::Refused(Refusal::Unavailable));
                }
                Ok(Some(Cut::Upgraded(_))) if self.parts.control.is_memory_full() => {
                    self.door.refuse_for_memory();
                    return self.refuse_cut(conn, CutError::Refused(Refusal::Unavailable));
                }
                Ok(Some(Cut::Upgraded(answer))) => self.send_raw(conn, &answer),
                Ok(Some(Cut::Pong)) => self.mark_dirty(conn),
                Ok(Some(Cut::Closed(status))) => {
                    state.framing.answer_close(status, &mut state.pending);
                    return self.hang_up(conn);
                }
                Ok(None) => return,
                Err(error) => return self.refuse_cut(conn, error),
            }
        }
    }

    /// Tells a peer what is wrong with its bytes, and closes.
    pub(super) fn refuse_cut(&mut self, conn: Conn, error: CutError) {
        tracing::debug!(shard = self.parts.id.0, conn = conn.to_bits(), %error, "refused");
        match error {
            CutError::Frame(error) => self.close_with(conn, error.close_code(), None),
            CutError::WebSocket(error) => self.close_as(conn, error.close_code(), error.status(), None),
            CutError::Refused(refusal) => {
                self.send_raw(conn, &refusal.answer());
                self.hang_up(conn);
            }
        }
    }

    fn take_frame(&mut self, now: Mono, conn: Conn, body: FrameBody<'_>) {
        let began = self.now();
        let frame = match body.decode() {
            Ok(frame) => frame,
            Err(error) => return self.close_with(conn, error.close_code(), None),
        };
        let Some(state) = self.conns.find(conn) else { return };
        let id = state.id();
        if !matches!(state.phase, Phase::Open) {
            match frame {
                ClientFrame::Other(Some(Frame::Hello(hello))) => self.take_hello(now, conn, hello),
                ClientFrame::Send(_) | ClientFrame::Other(_) => {
                    self.close_with(conn, CloseCode::HelloExpected, None);
                }
            }
            return;
        }
        if let ClientFrame::Other(Some(Frame::Refresh(refresh))) = &frame {
            let (token, request_id) = (&refresh.token, refresh.request_id);
            return self.take_refresh(now, conn, token, request_id);
        }
        trace_frame(self.parts.id.0, conn, &frame);
        self.follow_frame(&frame, now, began);
        self.give(now, Input::Frame { conn: id, frame });
    }

    fn take_refresh(&mut self, now: Mono, conn: Conn, token: &str, request_id: u64) {
        let Some(id) = self.conns.find(conn).map(|state| state.id()) else { return };
        let shown = self.parts.tokens.check(token).ok();
        let renewal = shown.map(|Shown { claims, mark }| {
            // The shard refuses a token of somebody else: then the session lives by its old one.
            let is_own = self.parts.shard.view_conn(id).is_some_and(|view| {
                view.is_welcomed && view.user == claims.user && view.device == claims.device
            });
            if is_own {
                self.conns.set_mark(conn, mark);
            }
            let ends_at = self.now().after(TokenGate::life(&claims));
            Box::new(Renewal {
                ends_at,
                user: claims.user,
                device: claims.device,
                expires_at: claims.refused_from,
            })
        });
        self.give(now, Input::Refreshed { conn: id, request_id, renewal });
    }

    fn take_hello(&mut self, now: Mono, conn: Conn, mut hello: Hello) {
        if self.parts.control.is_memory_full() {
            let retry_ms = self.door.refuse_for_memory();
            return self.close_with(conn, CloseCode::Overloaded, Some(retry_ms));
        }
        let token = std::mem::take(&mut hello.token);
        let Shown { claims, mark } = match self.parts.tokens.check(&token) {
            Ok(shown) => shown,
            Err(error) => return self.refuse(now, conn, error),
        };
        self.door.leave(conn);
        let home = self.parts.placement.shard_of(claims.user.slot());
        let ends_at = self.now().after(TokenGate::life(&claims));
        let login = Box::new(Login { user: claims.user, device: claims.device, ends_at, hello });
        self.conns.set_mark(conn, mark);
        if home == self.parts.id { self.log_in(now, conn, login) } else { self.start_move(conn, login) }
    }

    /// The token is not accepted: told after a fixed delay.
    fn refuse(&mut self, now: Mono, conn: Conn, error: TokenError) {
        tracing::debug!(shard = self.parts.id.0, conn = conn.to_bits(), %error, "token refused");
        let tell_at = self.instant(now) + REFUSAL_DELAY;
        self.timing.refusals.push_back((tell_at, conn));
        if let Some(state) = self.conns.find(conn) {
            state.phase = Phase::Refused;
        }
    }

    /// The connection lives here: the shard takes over.
    pub(super) fn log_in(&mut self, now: Mono, conn: Conn, login: Box<Login>) {
        let Some(mark) = self.conns.mark(conn) else { return };
        // It may have been revoked while the connection moved here.
        if self.parts.tokens.is_revoked(&login.user, &login.device, mark) {
            return self.refuse(now, conn, TokenError::Revoked);
        }
        let Some(state) = self.conns.find(conn) else { return };
        state.phase = Phase::Open;
        state.in_shard = true;
        let id = state.id();
        tracing::debug!(
            shard = self.parts.id.0,
            conn = conn.to_bits(),
            user = login.user.as_str(),
            device = login.device.as_str(),
            "login"
        );
        self.give(now, Input::Login { conn: id, login });
    }

    pub(super) fn closed(&mut self, now: Mono, conn: Conn, cause: CloseCause) {
        tracing::debug!(shard = self.parts.id.0, conn = conn.to_bits(), ?cause, "closed");
        self.forget_move(conn);
        self.door.leave(conn);
        self.handshakes.forget(conn);
        self.recorder.closed(conn);
        let Some(state) = self.conns.remove(conn) else { return };
        if state.in_shard {
            self.give(now, Input::Gone { conn: state.id() });
        }
    }
}

/// A connection's state before its first byte; `None` if the system gives no random bytes.
fn begin(scheme: &Scheme) -> Option<(Transport, Framing)> {
    let transport = match &scheme.tls {
        None => Transport::Plain,
        Some(tls) => {
            let conn = tls.conn().ok()?;
            Transport::Tls(Box::new(TlsLink { conn, sealed: Vec::new() }))
        }
    };
    let framing =
        if scheme.is_websocket { Framing::websocket(WebSocketLink::new()) } else { Framing::default() };
    Some((transport, framing))
}

/// One TRACE line for each message that arrives.
fn trace_frame(shard: u16, conn: Conn, frame: &ClientFrame) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    match frame {
        ClientFrame::Send(send) => {
            let message_id = send.message_id.parse().map(|id| id.to_string()).unwrap_or_default();
            tracing::trace!(shard, conn = conn.to_bits(), message_id, request_id = send.request_id, "send");
            if let Some(through) = send.ack_through {
                tracing::trace!(shard, conn = conn.to_bits(), offset = through, "ack");
            }
        }
        ClientFrame::Other(Some(Frame::Ack(ack))) => {
            tracing::trace!(shard, conn = conn.to_bits(), offset = ack.through_offset, "ack");
        }
        ClientFrame::Other(
            Some(
                Frame::Hello(_)
                | Frame::Send(_)
                | Frame::Refresh(_)
                | Frame::Devices(_)
                | Frame::Unlink(_)
                | Frame::Ping(_)
                | Frame::Pong(_),
            )
            | None,
        ) => {}
    }
}
