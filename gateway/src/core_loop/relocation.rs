//! Moving a connection to the core that owns its user.
//!
//! Invariants
//! - Bytes that came before the receive was cancelled travel with the connection; nothing is read twice.
//! - The mail with the state leaves only after the descriptor has arrived; the two are joined by a label.

use super::{Core, CoreMail};
use crate::conn::{ConnState, Phase, Transport};
use crate::framing::Framing;
use crate::revocations::TokenMark;
use iris_protocol::{CloseCode, Mono};
use iris_reactor::{Conn, Handover};
use iris_shard::io::Login;
use std::collections::{HashMap, VecDeque};

/// Told to a client that met a full core.
const RETRY_MS: u32 = 5_000;

/// What travels beside the descriptor.
pub(crate) struct MovingConn {
    label: u64,
    transport: Transport,
    framing: Framing,
    /// An upgrade's answer, to a client that did not wait for it.
    pending: Vec<u8>,
    login: Box<Login>,
    mark: TokenMark,
}

struct Leaving {
    login: Box<Login>,
    label: u64,
}

/// Moves under way.
#[derive(Default)]
pub(crate) struct Relocations {
    next_label: u64,
    /// Connections on their way to another core, with the Hello that goes along.
    leaving: HashMap<Conn, Leaving>,
    /// Those that come from other cores.
    arriving: Handover<Conn, Box<MovingConn>>,
    outgoing: VecDeque<(usize, Box<MovingConn>)>,
}

impl Relocations {
    /// True while a state waits for room in a mail ring.
    pub(crate) fn waits_for_room(&self) -> bool {
        !self.outgoing.is_empty()
    }
}

impl Core {
    /// The user lives on another core: stop reading here.
    pub(super) fn start_move(&mut self, conn: Conn, login: Box<Login>) {
        if let Some(state) = self.conns.find(conn) {
            state.phase = Phase::Moving;
            self.relocations.next_label += 1;
            let label = u64::from(self.parts.id.0) << 48 | self.relocations.next_label;
            self.relocations.leaving.insert(conn, Leaving { login, label });
            self.parts.reactor.detach(conn);
        }
    }

    pub(super) fn detached(&mut self, conn: Conn) {
        // What was closed on its way stays here: its end is under way.
        if self.conns.find(conn).is_none_or(|state| state.phase != Phase::Moving) {
            return;
        }
        let Some(Leaving { login, label }) = self.relocations.leaving.get(&conn) else { return };
        let (home, label) = (self.parts.placement.shard_of(login.user.slot()), *label);
        tracing::debug!(shard = self.parts.id.0, conn = conn.to_bits(), home = home.0, label, "moving");
        self.parts.reactor.move_to(conn, &self.parts.peers[usize::from(home.0)], label);
    }

    /// The connection ended while it was moving.
    pub(super) fn forget_move(&mut self, conn: Conn) {
        self.relocations.leaving.remove(&conn);
    }

    /// The descriptor is at its new core: the state follows.
    pub(super) fn moved(&mut self, conn: Conn) {
        let leaving = self.relocations.leaving.remove(&conn);
        let mark = self.conns.mark(conn).unwrap_or_default();
        let (Some(Leaving { login, label }), Some(state)) = (leaving, self.conns.remove(conn)) else {
            unreachable!("a connection moved without being told to: {conn:?}");
        };
        let home = self.parts.placement.shard_of(login.user.slot());
        let ConnState { transport, framing, pending, .. } = *state;
        let moving = MovingConn { label, transport, framing, pending, login, mark };
        self.relocations.outgoing.push_back((usize::from(home.0), Box::new(moving)));
        self.send_waiting_moves();
    }

    pub(super) fn send_waiting_moves(&mut self) {
        while let Some((to, moving)) = self.relocations.outgoing.pop_front() {
            if let Err(CoreMail::Move(moving)) = self.parts.post.send(to, CoreMail::Move(moving)) {
                self.relocations.outgoing.push_front((to, moving));
                return;
            }
        }
    }

    /// The other core has no room: the client is told when to come back.
    pub(super) fn move_failed(&mut self, _now: Mono, conn: Conn) {
        self.relocations.leaving.remove(&conn);
        if let Some(state) = self.conns.find(conn) {
            state.phase = Phase::Login;
            self.parts.reactor.arm(conn);
            self.close_with(conn, CloseCode::Overloaded, Some(RETRY_MS));
        }
    }

    pub(super) fn arrived(&mut self, now: Mono, conn: Conn, label: u64) {
        tracing::debug!(shard = self.parts.id.0, conn = conn.to_bits(), label, "arrived");
        if let Some((conn, moving)) = self.relocations.arriving.descriptor_came(label, conn) {
            self.settle_in(now, conn, *moving);
        }
    }

    pub(super) fn state_arrived(&mut self, now: Mono, moving: Box<MovingConn>) {
        if let Some((conn, moving)) = self.relocations.arriving.state_came(moving.label, moving) {
            self.settle_in(now, conn, *moving);
        }
    }

    /// Descriptor and state are both here.
    fn settle_in(&mut self, now: Mono, conn: Conn, moving: MovingConn) {
        let MovingConn { transport, mut framing, pending, login, mark, .. } = moving;
        let kept = framing.take_kept();
        let mut state = ConnState::new(conn, transport, framing);
        state.pending = pending;
        self.conns.insert(state);
        self.conns.set_mark(conn, mark);
        self.mark_dirty(conn);
        self.log_in(now, conn, login);
        self.take_bytes(now, conn, &kept);
        self.parts.reactor.arm(conn);
    }
}
