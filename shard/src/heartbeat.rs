//! Time on a session: heartbeats, the end of its token, and unsent bytes that do not move.
//!
//! Invariants
//! - A live session has one valid alarm in the wheel, at or before its next heartbeat and its token's end.
//! - A session with unsent bytes is in the stall queue.

use crate::io::ConnId;
use crate::session::Phase;
use crate::shard::Shard;
use crate::timers::Alarm;
use iris_protocol::limits::{HEARTBEAT_MAX, PONG_TIMEOUT, STALL_MAX, TOKEN_NOTICE};
use iris_protocol::wire::{self, server_frame};
use iris_protocol::{CloseCode, Mono};
use std::time::Duration;

/// Shortest heartbeat a client may ask for: a ping costs both sides a wake-up.
const HEARTBEAT_MIN_S: u32 = 5;

impl Shard {
    /// The heartbeat granted to a client that asks for this many seconds; 0: the default.
    pub(crate) fn heartbeat_s(&self, asked_s: u32) -> u16 {
        let seconds_max = u32::try_from(HEARTBEAT_MAX.as_secs()).unwrap_or(u32::MAX);
        let default_s = u32::try_from(self.config.limits.heartbeat.as_secs()).unwrap_or(seconds_max).max(1);
        let granted = if asked_s == 0 { default_s } else { asked_s.max(HEARTBEAT_MIN_S) };
        u16::try_from(granted.min(seconds_max)).unwrap_or(u16::MAX)
    }

    /// Sets a session's alarm to the next thing that can be due.
    pub(crate) fn arm(&mut self, index: u32) {
        let now = self.now;
        let now_ms = self.now_ms();
        let session = &mut self.sessions[index];
        let quiet = Duration::from_millis(u64::from(now_ms.wrapping_sub(session.heard_ms)));
        let patience = Duration::from_secs(u64::from(session.heartbeat_s))
            + if session.is_pinged { PONG_TIMEOUT } else { Duration::ZERO };
        let life = session.expires_at.since(now);
        let notice = if session.is_told { life } else { life.saturating_sub(TOKEN_NOTICE) };
        let at = now.after(patience.saturating_sub(quiet).min(notice));
        session.stamp = session.stamp.wrapping_add(1);
        self.wheel.arm(at, Alarm { session: index, stamp: session.stamp });
    }

    /// Everything the wheel holds for now.
    pub(crate) fn take_alarms(&mut self) {
        let mut due = std::mem::take(&mut self.due_alarms);
        self.wheel.take(self.now, &mut due);
        for alarm in due.drain(..) {
            let is_valid = self
                .sessions
                .at(alarm.session)
                .is_some_and(|session| session.stamp == alarm.stamp && session.phase == Phase::Live);
            if is_valid {
                self.check_session(alarm.session);
            }
        }
        self.due_alarms = due;
    }

    fn check_session(&mut self, index: u32) {
        let (now, now_ms) = (self.now, self.now_ms());
        let session = &mut self.sessions[index];
        if session.expires_at <= now {
            return self.close(index, CloseCode::TokenExpired, None);
        }
        let life = session.expires_at.since(now);
        if life <= TOKEN_NOTICE && !std::mem::replace(&mut session.is_told, true) {
            self.tell_of_end(index, life);
        }
        let session = &mut self.sessions[index];
        let quiet_ms = u64::from(now_ms.wrapping_sub(session.heard_ms));
        let heartbeat_ms = u64::from(session.heartbeat_s) * 1000;
        let timeout_ms = u64::try_from(PONG_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        if session.is_pinged && quiet_ms >= heartbeat_ms + timeout_ms {
            self.counters.heartbeat_timeouts += 1;
            return self.close(index, CloseCode::HeartbeatTimeout, None);
        }
        if quiet_ms >= heartbeat_ms && !session.is_pinged {
            session.is_pinged = true;
            let ping = wire::Ping { nonce: u64::from(now_ms) };
            self.send_frame(index, server_frame::Frame::Ping(ping));
        }
        let session = &mut self.sessions[index];
        session.in_flight.release();
        let user = session.user;
        self.users[user].tidy(self.now);
        self.arm(index);
    }

    /// A session has a new token: it is told of its end, unless that is so near that the client knows.
    pub(crate) fn begin_token(&mut self, index: u32) {
        let now = self.now;
        let session = &mut self.sessions[index];
        session.is_told = session.expires_at.since(now) <= TOKEN_NOTICE;
    }

    /// Tells a session that its token ends: a Refresh keeps it.
    fn tell_of_end(&mut self, index: u32, life: Duration) {
        let ms = u32::try_from(life.as_millis()).unwrap_or(u32::MAX);
        let reason = CloseCode::TokenExpired.number();
        let go_away = wire::GoAway { reason, reconnect_after_ms: ms, close_after_ms: ms };
        self.send_frame(index, server_frame::Frame::GoAway(go_away));
    }

    // Rule: flow control (a started frame without progress)
    /// Looks at the sessions that had unsent bytes a while ago.
    pub(crate) fn take_stalls(&mut self) {
        let now = self.now;
        while let Some(conn) = self.stalls.pop_due(now) {
            self.check_stall(conn);
        }
    }

    fn check_stall(&mut self, conn: ConnId) {
        let (now, now_ms) = (self.now, self.now_ms());
        let Some(index) = self.session_of(conn) else { return };
        let session = &mut self.sessions[index];
        if session.unsent == 0 {
            session.is_watched = false;
            return;
        }
        let stalled = Duration::from_millis(u64::from(now_ms.wrapping_sub(session.progress_ms)));
        if stalled >= STALL_MAX {
            self.counters.slow_consumers += 1;
            self.close(index, CloseCode::SlowConsumer, None);
        } else {
            self.stalls.push(now, conn);
        }
    }
}

/// How often the stall queue looks at a session: a stall is found within this time after [`STALL_MAX`].
pub(crate) const STALL_CHECK: Duration = Duration::from_secs(2);

/// Milliseconds of monotonic time, wrapping after 49 days: for differences only.
pub(crate) fn ms_of(now: Mono) -> u32 {
    u32::try_from((now.0 / 1_000_000) & u64::from(u32::MAX)).unwrap_or(0)
}
