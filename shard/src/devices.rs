//! Devices of a user: the list, unlinking, and detaching those that were silent or too far behind.
//!
//! Invariants
//! - Once an unlink is asked for, nothing more is sent to that device; it is answered when it is durable.
//! - The most advanced device is never detached for being behind.

use crate::io::ConnId;
use crate::mutant::{self, Mutant};
use crate::session::Phase;
use crate::shard::Shard;
use crate::stored::{After, Unlinked};
use crate::user::{Device, NOBODY};
use iris_protocol::wire::{self, server_frame};
use iris_protocol::{CloseCode, DeviceId, Offset, RejectCode};
use iris_storage::op::Op;
use smallvec::smallvec;

impl Shard {
    pub(crate) fn list_devices(&mut self, index: u32, request_id: u64) {
        let user = &self.users[self.sessions[index].user];
        let devices = user.devices().map(|device| wire::Device {
            device: device.id.as_str().to_owned(),
            connected: device.session != NOBODY,
            linked_at: device.linked_at.0,
            last_seen_at: device.last_seen_at.0,
            acked_through: device.cursor.0,
        });
        let list = wire::DeviceList { request_id, devices: devices.collect() };
        self.send_frame(index, server_frame::Frame::DeviceList(list));
    }

    pub(crate) fn unlink(&mut self, index: u32, request_id: u64, device: &str) {
        let Ok(id) = DeviceId::parse(device) else {
            return self.reject(index, request_id, RejectCode::InvalidId);
        };
        let user = self.sessions[index].user;
        let Some(place) = self.users[user].place_of(&id) else {
            return self.reject(index, request_id, RejectCode::UnknownDevice);
        };
        let asked_by = self.sessions[index].conn;
        let is_purging = self.users[user].rare.as_ref().is_some_and(|rare| rare.purge.is_some());
        let holds = |device: &Device| !device.detached || mutant::is_on(Mutant::UnlinkedInPurge);
        let is_last = !self.users[user].devices().any(|device| device.id != id && holds(device));
        if is_purging && is_last {
            // Whoever holds entries next starts at the oldest row: none below this device's cursor may be left.
            let unlink = (asked_by, request_id, device.to_owned());
            return self.users[user].rare().unlinks.push(unlink);
        }
        let closes = if mutant::is_on(Mutant::UnlinkedKept) { None } else { self.take_device(user, place) };
        self.settle_now(user);
        let op = Op::Unlink { user: self.users[user].id.clone(), device: id };
        let unlinked = Unlinked { asked_by, request_id, device: device.to_owned(), closes, user };
        self.store_of(user, smallvec![op], After::Unlinked(Box::new(unlinked)));
        self.after_fewer_devices(user);
    }

    /// Unlinks that waited for a purge.
    pub(crate) fn take_waiting_unlinks(&mut self, user: u32) {
        let is_purging = self.users[user].rare.as_ref().is_some_and(|rare| rare.purge.is_some());
        if is_purging {
            return;
        }
        let rare = self.users[user].rare.as_mut();
        for (conn, request_id, device) in
            rare.map(|rare| std::mem::take(&mut rare.unlinks)).unwrap_or_default()
        {
            let live = self.session_of(conn).filter(|index| self.sessions[*index].phase == Phase::Live);
            if let Some(index) = live {
                self.unlink(index, request_id, &device);
            }
        }
    }

    /// Takes a device out of memory; its session, if any, gets nothing more.
    fn take_device(&mut self, user: u32, place: u8) -> Option<ConnId> {
        let removed = self.users[user].remove_device(place);
        let Some(device) = removed else { unreachable!("user {user} has no device at place {place}") };
        // The devices behind it have moved one place forward.
        for place in 0..self.users[user].device_count() {
            let place = u8::try_from(place).unwrap_or(0);
            let session = self.users[user].device(place).session;
            if session != NOBODY {
                self.sessions[session].place = place;
            }
        }
        let session = self.sessions.at_mut(device.session)?;
        session.phase = Phase::Ending;
        Some(session.conn)
    }

    /// Entries that were kept for a device alone may go.
    fn after_fewer_devices(&mut self, user: u32) {
        self.release(user);
        self.purge(user);
        self.list_user(user);
        self.judge_user(user);
    }

    pub(crate) fn unlinked_durable(&mut self, unlinked: &Unlinked) {
        self.users[unlinked.user].tickets -= 1;
        if let Some(index) = self.session_of(unlinked.asked_by) {
            let frame = wire::Unlinked { request_id: unlinked.request_id, device: unlinked.device.clone() };
            self.send_frame(index, server_frame::Frame::Unlinked(frame));
        }
        if let Some(index) = unlinked.closes.and_then(|conn| self.session_of(conn)) {
            self.close(index, CloseCode::DeviceUnlinked, None);
        }
    }

    /// Who is connected is not silent, also if nothing comes for it: a stop would leave its row as old as its last ack.
    pub(crate) fn see_connected(&mut self, user: u32) {
        for place in 0..self.users[user].device_count() {
            let place = u8::try_from(place).unwrap_or(0);
            let is_connected = self.users[user].device(place).session != NOBODY;
            if is_connected && !mutant::is_on(Mutant::ConnectedIsSilent) {
                self.see_device(user, place);
            }
        }
    }

    // Rule: detaching (silent)
    /// Detaches devices that were silent for too long. True: there was one.
    pub(crate) fn detach_silent(&mut self, user: u32) -> bool {
        let wall = self.wall();
        let mut silence_ms = u64::try_from(self.config.limits.detach.as_millis()).unwrap_or(u64::MAX);
        if mutant::is_on(Mutant::NotSilentDetached) {
            silence_ms = 0;
        }
        let silent: Vec<u8> = (0..self.users[user].device_count())
            .filter_map(|place| u8::try_from(place).ok())
            .filter(|place| {
                let device = self.users[user].device(*place);
                !device.detached
                    && device.session == NOBODY
                    && device.last_seen_at.after_ms(silence_ms) < wall
            })
            .collect();
        for place in &silent {
            self.detach(user, *place);
        }
        !silent.is_empty()
    }

    /// A user that stays in memory has its silent devices detached by the sweep.
    pub(crate) fn detach_in_sweep(&mut self, user: u32) {
        if self.detach_silent(user) {
            self.after_fewer_devices(user);
        }
    }

    // Rule: detaching (a whole inbox behind)
    /// The inbox is at its mark: devices behind the most advanced one are as far behind as that. True: one was
    /// detached, and the inbox is judged again.
    pub(crate) fn detach_laggards(&mut self, user: u32) -> bool {
        let active = self.users[user].devices().filter(|device| !device.detached);
        let newest = active.map(|device| device.cursor).max().unwrap_or(Offset::NONE);
        let Some(floor) = self.users[user].acked_by_all().filter(|floor| *floor < newest) else {
            return false;
        };
        let is_purging = self.users[user].rare.as_ref().is_some_and(|rare| rare.purge.is_some());
        if is_purging {
            return false;
        }
        let behind: Vec<u8> = (0..self.users[user].device_count())
            .filter_map(|place| u8::try_from(place).ok())
            .filter(|place| {
                let device = self.users[user].device(*place);
                !device.detached && (device.cursor == floor || mutant::is_on(Mutant::NotBehindDetached))
            })
            .collect();
        for place in behind {
            self.detach(user, place);
        }
        self.after_fewer_devices(user);
        true
    }

    /// A device holds no entries any more; a live session of it is closed, and told when it returns.
    fn detach(&mut self, user: u32, place: u8) {
        self.counters.detached += 1;
        let device = self.users[user].device_mut(place);
        device.detached = true;
        device.is_dirty = true;
        let session = device.session;
        if session != NOBODY {
            self.close(session, CloseCode::SlowConsumer, None);
        }
        self.list_user(user);
    }
}
