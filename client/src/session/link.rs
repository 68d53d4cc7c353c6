//! The connection as the session sees it: phase, heartbeat, reconnect plan.
//!
//! Invariants
//! - Exactly one phase at a time. Offline with a plan and no stop is the only one that leads to a Connect.

use super::event::Next;
use iris_protocol::{Mono, Offset, limits};
use std::collections::VecDeque;
use std::time::Duration;

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No transport. With a time: connect then. Without: the caller is connecting, or has to start.
    Offline(Option<Mono>),
    /// Hello is out.
    LoggingIn(Mono),
    /// Welcome is in.
    Online(Mono),
}

/// What the server's GoAway asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leave {
    pub(super) reconnect_at: Mono,
    pub(super) close_at: Mono,
}

/// A request other than a Send.
pub(super) struct Request {
    pub(super) request_id: u64,
    pub(super) sent_at: Mono,
}

pub(super) struct Link {
    pub(super) phase: Phase,
    /// Why no reconnect happens by itself; `Reconnect`: it does.
    pub(super) next: Next,
    /// Connections since the last stable one.
    pub(super) attempts: u32,
    /// Connections so far.
    pub(super) connections: u32,
    pub(super) last_sent: Mono,
    pub(super) last_received: Mono,
    pub(super) last_ping: Mono,
    pub(super) ping_nonce: u64,
    pub(super) heartbeat: Duration,
    /// Deliveries that the server sends unacknowledged.
    pub(super) window: u32,
    pub(super) send_window: usize,
    /// Reached: caught up. `None` once it was told.
    pub(super) end_offset: Option<Offset>,
    pub(super) leave: Option<Leave>,
    /// The resume offset that Hello named.
    pub(super) named: Option<Offset>,
    /// The server refused the resume offset as too high: the next Hello names none.
    pub(super) resume_refused: bool,
    /// When to come back, as the server's last words said.
    pub(super) hint: Option<Mono>,
    pub(super) next_request_id: u64,
    pub(super) requests: VecDeque<Request>,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Offline(None),
            next: Next::Reconnect,
            attempts: 0,
            connections: 0,
            last_sent: Mono(0),
            last_received: Mono(0),
            last_ping: Mono(0),
            ping_nonce: 0,
            heartbeat: Duration::ZERO,
            window: 0,
            send_window: 0,
            end_offset: None,
            leave: None,
            named: None,
            resume_refused: false,
            hint: None,
            next_request_id: 1,
            requests: VecDeque::new(),
        }
    }

    pub(super) fn is_online(&self) -> bool {
        matches!(self.phase, Phase::Online(_))
    }

    pub(super) fn request_id(&mut self) -> u64 {
        let request_id = self.next_request_id;
        self.next_request_id += 1;
        request_id
    }

    /// A transport is up and Hello goes out now.
    pub(super) fn begin(&mut self, now: Mono, named: Option<Offset>) {
        self.phase = Phase::LoggingIn(now);
        self.connections += 1;
        self.next = Next::Reconnect;
        self.named = named;
        self.hint = None;
        self.leave = None;
        self.end_offset = None;
        self.last_sent = now;
        self.last_received = now;
        self.last_ping = now;
        self.requests.clear();
    }

    /// When to ask for life: either direction was silent for a heartbeat.
    pub(super) fn ping_at(&self) -> Mono {
        self.last_sent.min(self.last_received).max(self.last_ping).after(self.heartbeat)
    }

    /// When silence means that the peer is gone.
    pub(super) fn dead_at(&self) -> Mono {
        self.last_received.after(self.heartbeat).after(limits::PONG_TIMEOUT)
    }

    /// Takes an open request by its id. False: no such request is open.
    pub(super) fn close_request(&mut self, request_id: u64) -> bool {
        match self.requests.iter().position(|request| request.request_id == request_id) {
            Some(index) => self.requests.remove(index).is_some(),
            None => false,
        }
    }
}
