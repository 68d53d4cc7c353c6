//! From a verified Hello to the Welcome: load, link or resume, take over.
//!
//! Invariants
//! - A new device's row is durable before its Welcome.
//! - A device has one live session: the newest, and of one run of a client the one that it opened last.
//! - Nothing at or below a session's start is sent on it.

use crate::ack::{Claim, judge_offset};
use crate::io::{ConnId, Login};
use crate::mutant::{self, Mutant};
use crate::session::{Arrival, Phase, READ_LOGIN, Session};
use crate::shard::Shard;
use crate::stored::After;
use crate::user::{Device, NOBODY, Waiter};
use iris_protocol::limits::{FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX, SEND_WINDOW, WINDOW_MAX};
use iris_protocol::wire::{self, server_frame};
use iris_protocol::{CloseCode, DeviceId, GapReason, Offset};
use iris_storage::op::Op;
use smallvec::smallvec;
use std::hash::BuildHasher;

/// The protocol version this server speaks.
const VERSION: u32 = 1;

impl Shard {
    pub(crate) fn login(&mut self, conn: ConnId, login: Box<Login>) {
        assert!(self.session_of(conn).is_none(), "{conn:?} logs in twice");
        let owner = self.config.placement.shard_of(login.user.slot());
        assert!(owner == self.config.shard, "user {} is at home on shard {owner}", login.user);
        let user_id = login.user.clone();
        let refusal = self.refusal(&login);
        let index = self.sessions.insert(Session::new(conn, self.now, login));
        if let Some(code) = refusal {
            let retry_after_ms = (code == CloseCode::GoingAway).then(|| self.spread_ms(index));
            return self.close(index, code, retry_after_ms);
        }
        let user = self.user(&user_id);
        if self.users[user].is_loaded {
            self.login_loaded(conn);
        } else {
            self.read(index, READ_LOGIN, false);
            self.users[user].rare().waiters.push(Waiter::Login(conn));
        }
    }

    fn refusal(&self, login: &Login) -> Option<CloseCode> {
        if self.is_draining {
            Some(CloseCode::GoingAway)
        } else if !login.hello.versions.contains(&VERSION) {
            Some(CloseCode::VersionUnsupported)
        } else if login.hello.window == 0 {
            Some(CloseCode::InvalidWindow)
        } else if login.ends_at <= self.now {
            Some(CloseCode::TokenExpired)
        } else {
            None
        }
    }

    /// The user is loaded: link or resume.
    pub(crate) fn login_loaded(&mut self, conn: ConnId) {
        let Some(index) = self.session_of(conn) else { return };
        let Some(arrival) = self.sessions[index].arrival.as_ref() else { return };
        let (id, device) = (arrival.login.user.clone(), arrival.login.device.clone());
        let hello = &arrival.login.hello;
        let (resume, window) = (hello.resume_offset.map(Offset), hello.window.min(WINDOW_MAX));
        let heartbeat_s = self.heartbeat_s(hello.heartbeat_s);
        let Some(user) = self.find_user(&id) else { unreachable!("user {id} is not in memory") };
        // Rule: resume (above the last one assigned)
        let last = self.users[user].row.last_offset;
        let is_too_high = |offset| judge_offset(offset, last, self.config.generation) == Claim::TooHigh;
        if resume.is_some_and(is_too_high) {
            return self.close(index, CloseCode::AckTooHigh, None);
        }
        let place = match self.users[user].place_of(&device) {
            Some(place) => place,
            None if self.users[user].device_count() >= self.config.limits.devices as usize
                && !mutant::is_on(Mutant::DevicesUnlimited) =>
            {
                return self.close(index, CloseCode::TooManyDevices, None);
            }
            None => self.link(user, device, resume),
        };
        if self.is_overtaken(index, user, place) {
            return self.close(index, CloseCode::Conflict, None);
        }
        self.take_over(user, place);
        let session = &mut self.sessions[index];
        (session.user, session.place) = (user, place);
        session.window = u16::try_from(window).unwrap_or(u16::MAX);
        session.heartbeat_s = heartbeat_s;
        self.users[user].device_mut(place).session = index;
        self.users[user].is_touched = true;
        self.resume(index, resume);
    }

    // Rule: devices (a new device's cursor: the last assigned offset; the oldest unclaimed entry for the first)
    /// Links a device. One that names an offset was linked before, and does not know that it was taken away: it is told
    /// of a gap, as one that was detached.
    fn link(&mut self, user: u32, id: DeviceId, named: Option<Offset>) -> u8 {
        let wall = self.wall();
        let state = &mut self.users[user];
        let is_first = !state.has_active_device();
        let starts_at_oldest = is_first && !mutant::is_on(Mutant::FirstDeviceAtEnd);
        let cursor = if starts_at_oldest { state.unclaimed_start() } else { state.row.last_offset };
        state.add_device(Device {
            id,
            cursor,
            sent_through: cursor,
            linked_at: wall,
            last_seen_at: wall,
            session: NOBODY,
            detached: false,
            owes_gap: named.is_some_and(|named| named > Offset::NONE)
                && !mutant::is_on(Mutant::RelinkedUntold),
            is_durable: false,
            is_returning: false,
            is_dirty: true,
        })
    }

    // Rule: one connection a device (of one run of a client, its latest)
    /// True if the device has a session that the same run of the client opened later: a Hello that was on its way for
    /// longer than the client waited throws nobody out.
    fn is_overtaken(&self, index: u32, user: u32, place: u8) -> bool {
        let live = self.users[user].device(place).session;
        if live == NOBODY || mutant::is_on(Mutant::LateHelloWins) {
            return false;
        }
        let (late, live) = (&self.sessions[index], &self.sessions[live]);
        late.instance != 0 && late.instance == live.instance && late.attempt < live.attempt
    }

    /// The session that a device had is closed; what it had in flight is sent again on the new one.
    fn take_over(&mut self, user: u32, place: u8) {
        let old = self.users[user].device(place).session;
        if old != NOBODY {
            self.counters.takeovers += 1;
            if !mutant::is_on(Mutant::OldConnectionKept) {
                self.close(old, CloseCode::Conflict, None);
            }
        }
    }

    // Rule: resume (the larger of the device's offset and the stored cursor; a resume offset counts as an ack)
    fn resume(&mut self, index: u32, resume: Option<Offset>) {
        let (user, place) = (self.sessions[index].user, self.sessions[index].place);
        let was_claimed = self.users[user].has_active_device();
        let last = self.users[user].row.last_offset;
        let fresh_start = if was_claimed { last } else { self.users[user].unclaimed_start() };
        let device = self.users[user].device_mut(place);
        if device.detached {
            // It holds no entries: it starts where a new device would.
            device.detached = false;
            device.is_returning = !mutant::is_on(Mutant::ReturnNotDurable);
            device.owes_gap = !mutant::is_on(Mutant::DetachedUntold);
            device.is_dirty = true;
            device.cursor = device.cursor.max(fresh_start);
        }
        let mut start = device.cursor.max(resume.unwrap_or_default());
        if mutant::is_on(Mutant::ResumeBelowCursor) {
            start = resume.unwrap_or(device.cursor);
        }
        let is_jump = start > device.cursor;
        if is_jump {
            device.cursor = start;
            device.is_dirty = true;
        }
        device.sent_through = device.sent_through.max(start);
        // Rule: detaching (who returns waits until its row says detached: it may take its start for what it has, and must hear of
        // the gap after a stop all the same; and until what the last holder had removed is on the disk: it would be read from the
        // tables)
        let is_ready = device.is_durable && !device.is_returning;
        self.sessions[index].position = start;
        let was_detached = device.owes_gap;
        let linked_now = !device.is_durable;
        if let Some(arrival) = &mut self.sessions[index].arrival {
            arrival.linked_now = linked_now;
            arrival.was_detached = was_detached;
        }
        self.see_device(user, place);
        self.release(user);
        if is_jump {
            self.purge(user);
        }
        if is_ready || mutant::is_on(Mutant::LinkNotDurable) {
            self.list_user(user);
            return self.welcome(index);
        }
        self.read(index, READ_LOGIN, false);
        self.store_link(index);
    }

    // Rule: devices (the cursor is durable before the Welcome)
    fn store_link(&mut self, index: u32) {
        let (conn, user, place) =
            (self.sessions[index].conn, self.sessions[index].user, self.sessions[index].place);
        self.settle_now(user);
        let state = &self.users[user];
        let device = state.device(place);
        let op = Op::Cursor { user: state.id.clone(), device: device.id.clone(), row: device.row() };
        self.store_of(user, smallvec![op], After::Linked { conn, user });
    }

    pub(crate) fn linked_durable(&mut self, conn: ConnId, user: u32) {
        self.users[user].tickets -= 1;
        // A device that was unlinked meanwhile has a session that ends.
        let waits = |shard: &Self| {
            shard.session_of(conn).filter(|index| shard.sessions[*index].phase == Phase::Login)
        };
        if let Some(index) = waits(self) {
            let place = self.sessions[index].place;
            let device = self.users[user].device_mut(place);
            (device.is_durable, device.is_returning) = (true, false);
        }
        // Without its connection the device is linked all the same: its next login stores the row once more.
        self.judge_user(user);
        if let Some(index) = waits(self) {
            self.welcome(index);
        }
    }

    fn welcome(&mut self, index: u32) {
        let Some(arrival) = self.sessions[index].arrival.take() else { return };
        let session = &mut self.sessions[index];
        session.phase = Phase::Live;
        self.counters.logins += 1;
        self.send_welcome(index, &arrival);
        let Arrival { login, early, linked_now, was_detached } = *arrival;
        let start = self.sessions[index].position;
        let named = login.hello.resume_offset.map(Offset);
        // Rule: resume (the first frame says that the session starts above what the device named)
        if was_detached {
            self.send_hole(index, start, GapReason::DeviceDetached);
        } else if named.is_some_and(|named| named < start)
            && !linked_now
            && !mutant::is_on(Mutant::AlreadyAckedUntold)
        {
            self.send_hole(index, start, GapReason::AlreadyAcked);
        }
        self.read(index, crate::session::READ_LOGIN, true);
        self.begin_token(index);
        self.arm(index);
        let conn = self.sessions[index].conn;
        self.pump(index);
        self.replay_early(conn, early);
    }

    fn send_welcome(&mut self, index: u32, arrival: &Arrival) {
        let session = &self.sessions[index];
        let user = &self.users[session.user];
        let limits = self.config.limits;
        let offered = arrival.login.hello.capabilities.iter();
        let capabilities = offered.filter(|name| self.config.capabilities.contains(name)).cloned().collect();
        let end =
            if user.entries() > 0 { user.row.last_offset.max(session.position) } else { session.position };
        let welcome = wire::Welcome {
            version: VERSION,
            capabilities,
            server_time: self.wall().0,
            incarnation: bytes::Bytes::copy_from_slice(&self.config.incarnation.0),
            resumed_at: session.position.0,
            linked_now: arrival.linked_now,
            end_offset: end.0,
            window: u32::from(session.window),
            send_window: SEND_WINDOW,
            heartbeat_s: u32::from(session.heartbeat_s),
            limits: Some(wire::Limits {
                payload_bytes_max: u32::try_from(PAYLOAD_BYTES_MAX).unwrap_or(u32::MAX),
                frame_bytes_max: u32::try_from(FRAME_BYTES_MAX).unwrap_or(u32::MAX),
                devices_max: limits.devices,
                sends_per_second: limits.sends_per_second,
                sends_burst: limits.sends_burst,
            }),
            durability: self.config.durability.to_wire().into(),
        };
        self.send_frame(index, server_frame::Frame::Welcome(welcome));
    }

    /// A gap that names no conversation: each takes its next envelope as its base.
    fn send_hole(&mut self, index: u32, offset: Offset, reason: GapReason) {
        let gap = wire::Gap {
            offset: offset.0,
            conversation: String::new(),
            from_sequence: 0,
            through_sequence: 0,
            reason: reason.to_wire().into(),
        };
        self.send_frame(index, server_frame::Frame::Gap(gap));
    }

    /// Tells a session that the server will close.
    pub(crate) fn tell_to_go(&mut self, index: u32) {
        if self.sessions[index].phase != Phase::Live {
            return;
        }
        let go_away = wire::GoAway {
            reason: CloseCode::GoingAway.number(),
            reconnect_after_ms: self.spread_ms(index),
            close_after_ms: u32::try_from(self.config.limits.drain.as_millis()).unwrap_or(u32::MAX),
        };
        self.send_frame(index, server_frame::Frame::GoAway(go_away));
    }

    /// A reconnect time: spread by connection, so that not everybody comes at once.
    pub(crate) fn spread_ms(&self, index: u32) -> u32 {
        let hash = self.sessions.state().hash_one(self.sessions[index].conn.0);
        let spread_ms = u64::try_from(self.config.limits.reconnect_spread.as_millis()).unwrap_or(u64::MAX);
        u32::try_from(hash % spread_ms.max(1)).unwrap_or(0)
    }
}
