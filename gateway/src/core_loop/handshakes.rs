//! Handshakes wait for their turn: a tick spends so much time on those who have not logged in, and no more.
//!
//! Invariants
//! - Who is logged in waits for one handshake of its own tick, if that one came before, and for a budget of the tick before: a tick
//!   greets those who wait when everything else of it has left.
//! - First come, first served; the bytes of a connection stay in order.
//! - What waits is bounded, in connections and in bytes of each; what is above is refused, the newest first.
//! - Who has had a turn is not refused for those who have not: a handshake that was begun is not made in vain.
//! - Who is refused is told when to come back, unless there is no TLS yet to tell it in.

use super::Core;
use crate::conn::{ConnState, Phase, Transport};
use crate::framing::CutError;
use iris_protocol::websocket::Refusal;
use iris_protocol::{CloseCode, Mono};
use iris_reactor::Conn;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Time of a tick for handshakes, full or resumed, and for the tokens behind them. 2 ms: some 15 full ones, of 110 us and a token's
/// signature each; a message of somebody who is logged in is that much later in a storm.
const BUDGET: Duration = Duration::from_millis(2);
/// Connections that wait at most before their first turn. 4,096: about half a second of handshakes, a tenth of the time to log in.
const WAITING_MAX: usize = 4096;
/// Connections that wait at most, those included that have begun.
const WAITING_MAX_BEGUN: usize = 2 * WAITING_MAX;
/// Bytes of a connection that wait at most: a ClientHello has up to 2 KiB, and a Hello without TLS 4 KiB.
const BYTES_MAX: usize = 8 << 10;
/// When the first who is refused is asked to come back, in milliseconds; each after it a millisecond later, up to twice this. So a
/// core gets at most 1,000 of them a second, of the some 3,000 that it could log in.
const RETRY_MS: u32 = 5_000;

/// When the one that was refused as the `refused`th may come back, in milliseconds.
pub(super) fn retry_ms(refused: u64) -> u32 {
    let spread = refused % u64::from(RETRY_MS);
    RETRY_MS.saturating_add(u32::try_from(spread).unwrap_or(RETRY_MS))
}

/// When bytes of a connection that has not logged in are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    Later,
    /// Never: too much waits already.
    Refused,
}

/// What a core's handshakes have come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HandshakeFigures {
    /// Connections that wait for their turn.
    pub(crate) waiting: usize,
    /// Times that one had to wait for another tick.
    pub(crate) put_off: u64,
    /// Connections that were refused because too much waited.
    pub(crate) refused: u64,
    /// Microseconds spent.
    pub(crate) spent_us: u64,
}

/// The handshakes of a core.
#[derive(Default)]
pub(crate) struct Handshakes {
    queue: VecDeque<Conn>,
    /// The bytes of those in the queue. Who has left has none, and its place in the queue is passed over.
    bytes: HashMap<Conn, Vec<u8>>,
    /// In this tick.
    spent: Duration,
    put_off: u64,
    refused: u64,
    /// In all ticks before.
    spent_before: Duration,
}

impl Handshakes {
    /// A new tick has a new budget.
    pub(super) fn begin_tick(&mut self) {
        self.spent_before += std::mem::take(&mut self.spent);
    }

    /// Bytes of a connection that has not logged in have come: they are kept unless their turn is now.
    pub(super) fn offer(&mut self, conn: Conn, has_begun: bool, bytes: &[u8]) -> Turn {
        if self.queue.is_empty() && self.spent.is_zero() {
            return Turn::Now;
        }
        let is_new = !self.bytes.contains_key(&conn);
        let kept = self.bytes.get(&conn).map_or(0, Vec::len);
        let waiting_max = if has_begun { WAITING_MAX_BEGUN } else { WAITING_MAX };
        if kept + bytes.len() > BYTES_MAX || is_new && self.queue.len() >= waiting_max {
            self.refused += 1;
            return Turn::Refused;
        }
        self.bytes.entry(conn).or_default().extend_from_slice(bytes);
        if is_new {
            self.put_off += 1;
            self.queue.push_back(conn);
        }
        Turn::Later
    }

    /// When the one that was refused last may come back, in milliseconds.
    fn retry_ms(&self) -> u32 {
        retry_ms(self.refused)
    }

    /// Who is next, while the tick has time left.
    pub(super) fn next(&mut self) -> Option<(Conn, Vec<u8>)> {
        while self.spent < BUDGET {
            let conn = self.queue.pop_front()?;
            if let Some(bytes) = self.bytes.remove(&conn) {
                return Some((conn, bytes));
            }
        }
        None
    }

    /// A handshake has taken this long.
    pub(super) fn spend(&mut self, time: Duration) {
        self.spent += time;
    }

    /// The connection has ended.
    pub(super) fn forget(&mut self, conn: Conn) {
        self.bytes.remove(&conn);
    }

    /// True while somebody waits.
    pub(super) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(super) fn figures(&self) -> HandshakeFigures {
        let spent = self.spent_before + self.spent;
        HandshakeFigures {
            waiting: self.bytes.len(),
            put_off: self.put_off,
            refused: self.refused,
            spent_us: u64::try_from(spent.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl Core {
    /// Bytes have come: they are taken at once, but for those of a herd that wants to log in.
    pub(super) fn received(&mut self, now: Mono, conn: Conn, bytes: &mut [u8]) {
        let Some(state) = self.conns.find(conn).filter(|state| state.phase == Phase::Login) else {
            return self.take_received(now, conn, bytes);
        };
        let has_begun = has_begun(state);
        match self.handshakes.offer(conn, has_begun, bytes) {
            Turn::Now => self.greet(now, conn, bytes),
            Turn::Later => {}
            Turn::Refused => self.turn_away(conn),
        }
    }

    /// Too much waits. A TLS handshake would cost what is not there, so who has none is reset.
    fn turn_away(&mut self, conn: Conn) {
        tracing::debug!(shard = self.parts.id.0, conn = conn.to_bits(), "refused: too many handshakes wait");
        self.handshakes.forget(conn);
        let retry_ms = self.handshakes.retry_ms();
        let Some(state) = self.conns.find(conn) else { return };
        let can_be_told = match &state.transport {
            Transport::Plain => true,
            Transport::Tls(link) => link.conn.is_open(),
        };
        if !can_be_told {
            state.phase = Phase::Closing;
            self.parts.reactor.abort(conn);
        } else if state.framing.takes_frames() {
            self.close_with(conn, CloseCode::Overloaded, Some(retry_ms));
        } else {
            self.refuse_cut(conn, CutError::Refused(Refusal::Unavailable));
        }
    }

    /// Goes on with those who wait, for as long as the tick has time for them.
    pub(super) fn greet_waiting(&mut self, now: Mono) {
        while self.parts.shard.reads_allowed()
            && let Some((conn, mut bytes)) = self.handshakes.next()
        {
            if self.conns.find(conn).is_some_and(|state| state.phase == Phase::Login) {
                self.greet(now, conn, &mut bytes);
            }
        }
    }

    fn greet(&mut self, now: Mono, conn: Conn, bytes: &mut [u8]) {
        let begun = Instant::now();
        self.take_received(now, conn, bytes);
        self.handshakes.spend(begun.elapsed());
    }
}

/// True if a turn was spent on a connection that would be lost with it.
fn has_begun(state: &mut ConnState) -> bool {
    match &state.transport {
        Transport::Plain => state.framing.is_upgraded(),
        Transport::Tls(link) => link.conn.has_begun(),
    }
}

#[cfg(test)]
mod tests;
