//! What operators may see of a shard: views that change nothing, and the end of a connection by order.
//!
//! Invariants
//! - A view is made from memory alone: what is not loaded is told as such, and nothing is loaded for it.

use crate::io::ConnId;
use crate::session::{Phase, Session};
use crate::shard::Shard;
use crate::user::{Device, NOBODY, User, Waiter};
use iris_protocol::{CloseCode, DeviceId, Offset, UserId, Wall};
use std::time::Duration;

/// A user's device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// Its id.
    pub id: DeviceId,
    /// Its live connection.
    pub conn: Option<ConnId>,
    /// When it was linked.
    pub linked_at: Wall,
    /// When it was last heard.
    pub last_seen_at: Wall,
    /// Everything at or below is acknowledged.
    pub acked_through: Offset,
    /// It holds no entries any more.
    pub is_detached: bool,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserView {
    /// The last offset of the inbox.
    pub last_offset: Offset,
    /// Entries that some device has not acknowledged.
    pub entries: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// The linked devices.
    pub devices: Vec<DeviceView>,
}

/// A logged-in connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnView {
    /// Whose.
    pub user: UserId,
    /// The user's device.
    pub device: DeviceId,
    /// False until its Welcome.
    pub is_welcomed: bool,
    /// For so long its token is still taken.
    pub life: Duration,
    /// Deliveries that wait for their acknowledgement.
    pub in_flight: usize,
    /// Bytes that wait to be sent.
    pub unsent_bytes: u32,
    /// Sends that wait for their answer.
    pub unanswered: u8,
}

impl Shard {
    /// A user of this shard; `None`: not in memory.
    pub fn view_user(&self, id: &UserId) -> Option<UserView> {
        let user = &self.users[self.find_user(id)?];
        user.is_loaded.then(|| UserView {
            last_offset: user.row.last_offset,
            entries: user.entries(),
            bytes: user.bytes(),
            devices: user.devices().map(|device| self.view_device(device)).collect(),
        })
    }

    fn view_device(&self, device: &Device) -> DeviceView {
        DeviceView {
            id: device.id.clone(),
            conn: self.sessions.at(device.session).map(|session| session.conn),
            linked_at: device.linked_at,
            last_seen_at: device.last_seen_at,
            acked_through: device.cursor,
            is_detached: device.detached,
        }
    }

    /// A connection that has shown its token; `None`: the shard does not know it, or its device was unlinked.
    pub fn view_conn(&self, conn: ConnId) -> Option<ConnView> {
        let session = &self.sessions[self.session_of(conn)?];
        let (user, device) = self.bearer(session)?;
        Some(ConnView {
            user,
            device,
            is_welcomed: session.phase == Phase::Live,
            life: session.expires_at.since(self.now),
            in_flight: session.in_flight.len(),
            unsent_bytes: session.unsent,
            unanswered: session.unanswered,
        })
    }

    /// Whose a session is.
    fn bearer(&self, session: &Session) -> Option<(UserId, DeviceId)> {
        match (&session.arrival, session.phase) {
            (Some(arrival), _) => Some((arrival.login.user.clone(), arrival.login.device.clone())),
            (None, Phase::Live) => {
                let user = &self.users[session.user];
                Some((user.id.clone(), user.device(session.place).id.clone()))
            }
            (None, Phase::Login | Phase::Ending) => None,
        }
    }

    /// The connections of a user, or of one of its devices: welcomed, or waiting for that.
    pub fn conns_of(&self, id: &UserId, device: Option<&DeviceId>) -> Vec<ConnId> {
        let Some(user) = self.find_user(id) else { return Vec::new() };
        let user = &self.users[user];
        let is_asked = |other: &DeviceId| device.is_none_or(|device| device == other);
        let devices = user.devices().filter(|device| device.session != NOBODY && is_asked(&device.id));
        let attached = devices.filter_map(|device| self.sessions.at(device.session)).map(|s| s.conn);
        let waiting =
            arriving(user).filter(|conn| self.view_conn(*conn).is_some_and(|view| is_asked(&view.device)));
        attached.chain(waiting).collect()
    }

    /// Ends a connection by order of the driver. What it has in flight stays in the inbox.
    pub(crate) fn end(&mut self, conn: ConnId, code: CloseCode) {
        if let Some(index) = self.session_of(conn) {
            self.close(index, code, None);
        }
    }
}

/// Connections that wait for the user to be loaded.
fn arriving(user: &User) -> impl Iterator<Item = ConnId> {
    let waiters = user.rare.iter().flat_map(|rare| &rare.waiters);
    waiters.filter_map(|waiter| match waiter {
        Waiter::Login(conn) => Some(*conn),
        Waiter::Ask(_) | Waiter::Channel(_) | Waiter::Expiry => None,
    })
}
