//! Deadlines of the loop itself: logins, refusals, closes; and the flags of the main thread.
//!
//! Invariants
//! - Each queue holds deadlines in the order in which they come, so its front is its earliest.

use super::{CONTROL_INTERVAL, Core};
use crate::conn::Phase;
use crate::control::LedgerFigures;
use crate::framing::CutError;
use iris_protocol::websocket::Refusal;
use iris_protocol::{CloseCode, Mono};
use iris_reactor::Conn;
use iris_shard::io::Input;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A Close frame that is not out by then is given up, with the connection.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Places that an empty queue keeps.
const QUEUE_KEPT: usize = 1024;

/// Connections by what they wait for.
#[derive(Default)]
pub(crate) struct Timing {
    /// Until then a Hello must have come.
    pub(crate) logins: VecDeque<(Instant, Conn)>,
    /// Then the refusal is told.
    pub(crate) refusals: VecDeque<(Instant, Conn)>,
    /// Until then the Close frame must be out.
    pub(crate) closes: VecDeque<(Instant, Conn)>,
    /// The last tick left something to do.
    pub(crate) more: bool,
}

impl Timing {
    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        [&self.logins, &self.refusals, &self.closes]
            .into_iter()
            .filter_map(|queue| queue.front().map(|(at, _)| *at))
            .min()
    }
}

/// Adds a deadline. After a delay was made shorter, the first ones wait until the last of the longer ones has come.
pub(super) fn push(queue: &mut VecDeque<(Instant, Conn)>, at: Instant, conn: Conn) {
    let last = queue.back().map_or(at, |(last, _)| *last);
    queue.push_back((at.max(last), conn));
}

fn due(queue: &mut VecDeque<(Instant, Conn)>, now: Instant) -> Option<Conn> {
    let Some(&(at, conn)) = queue.front() else {
        // A crowd that came at once is served: its memory goes back.
        queue.shrink_to(QUEUE_KEPT);
        return None;
    };
    (at <= now).then(|| {
        queue.pop_front();
        conn
    })
}

impl Core {
    /// Everything whose time has come.
    pub(super) fn keep_time(&mut self, now: Mono) {
        let instant = self.instant(now);
        while let Some(conn) = due(&mut self.timing.logins, instant) {
            self.login_missed(conn);
        }
        while let Some(conn) = due(&mut self.timing.refusals, instant) {
            self.close_with(conn, CloseCode::AuthFailed, None);
        }
        while let Some(conn) = due(&mut self.timing.closes, instant) {
            if self.conns.find(conn).is_some() {
                self.parts.reactor.abort(conn);
            }
        }
        if self.parts.shard.next_deadline().0 <= now {
            self.give(now, Input::Tick);
        }
        if instant >= self.next_control {
            self.next_control = instant + CONTROL_INTERVAL;
            self.look_at_control(now);
        }
    }

    /// The time to log in is over: whoever has not is told in its own tongue.
    fn login_missed(&mut self, conn: Conn) {
        let Some(state) = self.conns.find(conn) else { return };
        if !matches!(state.phase, Phase::Login) {
            return;
        }
        if state.framing.takes_frames() {
            self.close_with(conn, CloseCode::LoginTimeout, None);
        } else {
            self.refuse_cut(conn, CutError::Refused(Refusal::Timeout));
        }
    }

    fn look_at_control(&mut self, now: Mono) {
        if let Some(limits) = self.parts.control.changed_limits(&mut self.limits_seen) {
            self.parts.login_timeout = limits.login;
            self.give(now, Input::Limits(Box::new(limits)));
        }
        if self.parts.control.is_draining() && !self.draining {
            self.draining = true;
            for (listener, _) in std::mem::take(&mut self.listening) {
                self.parts.reactor.stop_listening(listener);
            }
            self.give(now, Input::Drain);
        }
        let ledger = self.ledger();
        self.parts.stats.publish(&crate::control::CoreFigures {
            connections: self.conns.len(),
            unauthenticated: self.door.waiting(),
            door: self.door.figures(),
            handshakes: self.handshakes.figures(),
            flights: self.recorder.figures(),
            ledger,
            clock: self.parts.shard.clock(now),
            settled: self.parts.shard.settled() && self.parts.log.is_idle(),
            has_storage_room: self.parts.shard.has_storage_room(),
            unclaimed_bytes: self.parts.shard.unclaimed_bytes(),
            log: self.parts.log.figures(),
            resident_loads: self.resident_loads,
            cpu_us: thread_cpu_us(),
            reactor: self.parts.reactor.counters(),
            shard: self.parts.shard.counters(),
        });
    }

    /// What this core holds in memory.
    fn ledger(&mut self) -> LedgerFigures {
        let (connections, tls) = self.conns.memory();
        let bytes = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let spare: usize = self.spare.iter().map(Vec::capacity).sum();
        LedgerFigures {
            shard: self.parts.shard.memory(),
            connections,
            tls,
            buffers: bytes(self.parts.reactor.memory_bytes() + spare + self.scratch.capacity()),
            mail: bytes(self.parts.post.memory_bytes()),
            tables: self.parts.storage.memory_bytes(),
        }
    }
}

/// Microseconds that the thread which asks has computed.
fn thread_cpu_us() -> u64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(spent).ok().and_then(|spent| u64::try_from(spent.as_micros()).ok()).unwrap_or(u64::MAX)
}
