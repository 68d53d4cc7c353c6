//! Who may come in: addresses, and the places that their connections take until they log in.
//!
//! Invariants
//! - A connection that is refused costs nothing but its descriptor, for a moment: no TLS, no state, no answer.
//! - A place is given back when the token was taken or the connection ended, whichever is first.

use super::Core;
use super::handshakes::retry_ms;
use crate::address::{Refusal, Seat};
use crate::control::DoorFigures;
use iris_protocol::Mono;
use iris_reactor::{Conn, Listener};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Places that an empty map keeps.
const SEATS_KEPT: usize = 1024;
/// Without memory for newcomers, so many at a time are let in as far as their Hello, to be told; others are reset.
const TOLD_MAX: usize = 256;

/// A core's door.
#[derive(Default)]
pub(crate) struct Door {
    seats: HashMap<Conn, Seat>,
    figures: DoorFigures,
}

impl Door {
    /// A connection takes its place.
    pub(super) fn seat(&mut self, conn: Conn, seat: Seat) {
        let before = self.seats.insert(conn, seat);
        assert!(before.is_none(), "{conn:?} has two places");
    }

    /// The connection has logged in or ended.
    pub(super) fn leave(&mut self, conn: Conn) {
        self.seats.remove(&conn);
        if self.seats.is_empty() {
            self.seats.shrink_to(SEATS_KEPT);
        }
    }

    /// Connections that have not logged in.
    pub(super) fn waiting(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn figures(&self) -> DoorFigures {
        self.figures
    }

    /// A connection is refused because there is no memory for it. When it may come back, in milliseconds.
    pub(super) fn refuse_for_memory(&mut self) -> u32 {
        self.figures.memory += 1;
        retry_ms(self.figures.memory)
    }

    fn count(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::Banned => self.figures.banned += 1,
            Refusal::Unauthenticated => self.figures.unauthenticated += 1,
            Refusal::Handshakes => self.figures.handshakes += 1,
            Refusal::Gone => {}
        }
    }
}

impl Core {
    /// A connection has come: it is taken, or reset.
    pub(super) fn knocked(&mut self, now: Mono, conn: Conn, listener: Listener, peer: Option<SocketAddr>) {
        if self.parts.control.is_memory_full() && self.door.waiting() >= TOLD_MAX {
            self.door.refuse_for_memory();
            return self.parts.reactor.abort(conn);
        }
        match self.parts.addresses.admit(peer, self.instant(now)) {
            Ok(seat) => self.accepted(now, conn, listener, seat),
            Err(refusal) => {
                tracing::debug!(shard = self.parts.id.0, conn = conn.to_bits(), %refusal, "refused");
                self.door.count(refusal);
                self.parts.reactor.abort(conn);
            }
        }
    }
}
