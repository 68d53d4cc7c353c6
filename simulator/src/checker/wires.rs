//! Connections as the server's side of the wire shows them: one a device, in order, inside the window.
//!
//! Invariants
//! - A device's newest connection is its only one; what it acknowledged is never sent to it again.
//! - Nothing is sent to a device that no synced record has, and nothing but a close after an ack that was too high.

use super::{NEWS, Violation};
use iris_protocol::{ConversationId, DeviceId, Generation, Mono, Offset, Sequence, UserId};
use iris_shard::io::ConnId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// One connection.
pub(super) struct Wire {
    pub(super) user: UserId,
    pub(super) device: String,
    window: usize,
    last: Offset,
    sequences: BTreeMap<ConversationId, Sequence>,
    unacked: VecDeque<Offset>,
    is_welcomed: bool,
    /// What its Hello named: acknowledged once it is served. A connection that ends before changes nothing.
    named: Offset,
    /// It acknowledged what it never got.
    is_too_high: bool,
    /// Its device found no place.
    is_refused: bool,
}

/// One device, over its connections.
#[derive(Default)]
struct Seen {
    /// The highest offset that this boot showed to it.
    shown: Offset,
    /// The highest that it acknowledged, as far as the server can know.
    acked: Offset,
    /// Of that, what is on the disk.
    stored: Offset,
    /// When it last showed life.
    life: Mono,
    /// Its last silence, and when that ended.
    silence: (Duration, Mono),
}

/// All connections.
#[derive(Default)]
pub(super) struct Wires {
    open: BTreeMap<ConnId, Wire>,
    devices: BTreeMap<String, Seen>,
    /// Devices that said Hello since the process started.
    back: BTreeSet<String>,
    /// Of those, whose connection ended before they were welcomed or refused: a row of theirs may be on its way.
    unserved: BTreeSet<String>,
}

fn broken(claim: &'static str, what: String) -> Violation {
    Violation { claim, what }
}

/// What a Hello says.
pub struct Hello<'a> {
    /// Whose.
    pub user: &'a UserId,
    /// Which device.
    pub device: &'a DeviceId,
    /// Deliveries that it takes unacknowledged.
    pub window: u32,
    /// The resume offset.
    pub named: Option<Offset>,
}

impl Wires {
    /// The process stopped at this time.
    pub(super) fn stopped(&mut self, now: Mono) {
        for wire in self.open.values().filter(|wire| wire.is_welcomed) {
            if let Some(seen) = self.devices.get_mut(&wire.device) {
                seen.life = now;
            }
        }
        self.open.clear();
        self.back.clear();
        self.unserved.clear();
        for seen in self.devices.values_mut() {
            (seen.shown, seen.acked) = (Offset::NONE, seen.stored);
        }
    }

    pub(super) fn logged_in(&mut self, conn: ConnId, hello: &Hello<'_>, now: Mono) {
        let device = format!("{}/{}", hello.user, hello.device);
        let silence = self.silence(&device, now);
        let seen = self.devices.entry(device.clone()).or_default();
        seen.silence = (silence, now);
        self.back.insert(device.clone());
        let wire = Wire {
            user: hello.user.clone(),
            device,
            window: usize::try_from(hello.window).unwrap_or(usize::MAX),
            last: Offset::NONE,
            sequences: BTreeMap::new(),
            unacked: VecDeque::new(),
            is_welcomed: false,
            named: hello.named.unwrap_or_default(),
            is_too_high: false,
            is_refused: false,
        };
        self.open.insert(conn, wire);
    }

    /// The server welcomes a device: its older connection must be closed by now.
    pub(super) fn welcomed(&mut self, conn: ConnId, resumed_at: Offset) -> Option<Violation> {
        let wire = self.open.get_mut(&conn)?;
        wire.is_welcomed = true;
        let seen = self.devices.entry(wire.device.clone()).or_default();
        seen.shown = seen.shown.max(resumed_at);
        seen.acked = seen.acked.max(wire.named);
        let device = wire.device.clone();
        let mut others = self.open.iter().filter(|(other, _)| **other != conn);
        let (other, _) = others.find(|(_, other)| other.is_welcomed && other.device == device)?;
        Some(broken("C5", format!("{device} has {conn:?}, and {other:?} is still open")))
    }

    /// The server closes a connection, or hears that it is gone.
    pub(super) fn ended(&mut self, conn: ConnId, now: Mono) {
        let Some(wire) = self.open.remove(&conn) else { return };
        // One that ends before it is served is no life of its device: the server may never have read whose it was.
        if !wire.is_welcomed {
            if !wire.is_refused {
                self.unserved.insert(wire.device);
            }
        } else if let Some(seen) = self.devices.get_mut(&wire.device) {
            seen.life = now;
        }
    }

    /// True if a device said Hello since the process started: also one whose row says detached may hold entries then.
    pub(super) fn is_back(&self, device: &str) -> bool {
        self.back.contains(device)
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&Wire> {
        self.open.get(&conn)
    }

    /// The devices of a user that have connections, or may have a row on its way.
    pub(super) fn devices_of(&self, user: &UserId) -> impl Iterator<Item = String> {
        let open = self.open.values().filter(move |wire| wire.user == *user).map(|wire| wire.device.clone());
        let unserved = self.unserved.iter().filter(move |device| {
            device.strip_prefix(user.as_str()).is_some_and(|rest| rest.starts_with('/'))
        });
        open.chain(unserved.cloned())
    }

    /// A device found no place.
    pub(super) fn refused(&mut self, conn: ConnId) {
        if let Some(wire) = self.open.get_mut(&conn) {
            wire.is_refused = true;
        }
    }

    /// A message leaves the server.
    pub(super) fn delivered(
        &mut self,
        conn: ConnId,
        offset: Offset,
        (conversation, sequence): (&ConversationId, Sequence),
    ) -> Option<Violation> {
        let wire = self.open.get_mut(&conn)?;
        let known = wire.sequences.insert(conversation.clone(), sequence).unwrap_or_default();
        wire.unacked.push_back(offset);
        let (unacked, window) = (wire.unacked.len(), wire.window);
        if known >= sequence {
            return Some(broken("C2", format!("{conn:?} was sent {conversation} {sequence} after {known}")));
        }
        if unacked > window {
            let what = format!("{conn:?} has {unacked} deliveries to acknowledge, its window is {window}");
            return Some(broken("C8", what));
        }
        self.shown(conn, offset)
    }

    /// Something with a place in the inbox leaves the server.
    pub(super) fn shown(&mut self, conn: ConnId, offset: Offset) -> Option<Violation> {
        let wire = self.open.get_mut(&conn)?;
        let before = std::mem::replace(&mut wire.last, offset);
        let seen = self.devices.entry(wire.device.clone()).or_default();
        seen.shown = seen.shown.max(offset);
        if before >= offset {
            return Some(broken("C2", format!("{conn:?} was sent offset {offset} after {before}")));
        }
        if seen.acked >= offset {
            return Some(broken("C3", format!("{} was sent {offset}, it has {}", wire.device, seen.acked)));
        }
        if wire.is_too_high {
            let what = format!("{} acknowledged what it never got, and is sent {offset}", wire.device);
            return Some(broken("C1", what));
        }
        None
    }

    /// Rows that were taken away, or became gap entries, wait for no acknowledgement.
    pub(super) fn dropped(&mut self, user: &UserId, offset: Offset) {
        for wire in self.open.values_mut().filter(|wire| wire.user == *user) {
            wire.unacked.retain(|unacked| *unacked != offset);
        }
    }

    /// A device's acknowledgement arrives. True: it is one of what it never got.
    pub(super) fn acked(&mut self, conn: ConnId, through: Offset, generation: Generation, now: Mono) -> bool {
        let Some(wire) = self.open.get_mut(&conn).filter(|wire| wire.is_welcomed) else { return false };
        let seen = self.devices.entry(wire.device.clone()).or_default();
        seen.life = now;
        if through.generation() >= u64::from(generation.0) && through > seen.shown {
            wire.is_too_high = true;
            return true;
        }
        seen.acked = seen.acked.max(through);
        while wire.unacked.front().is_some_and(|offset| *offset <= through) {
            wire.unacked.pop_front();
        }
        false
    }

    /// A synced record holds a device's cursor.
    pub(super) fn cursor_stored(&mut self, device: &str, cursor: Offset) {
        let seen = self.devices.entry(device.to_owned()).or_default();
        seen.stored = seen.stored.max(cursor);
    }

    /// A synced record takes a device away: what it acknowledged counts for nothing when it comes back.
    pub(super) fn unlinked(&mut self, device: &str) {
        if let Some(seen) = self.devices.get_mut(device) {
            (seen.acked, seen.stored) = (Offset::NONE, Offset::NONE);
        }
    }

    /// The highest offset that a device acknowledged, or at which it was linked.
    pub(super) fn acked_of(&self, device: &str) -> Offset {
        self.devices.get(device).map_or(Offset::NONE, |seen| seen.acked.max(seen.stored))
    }

    /// The highest offset that this boot showed to a device.
    pub(super) fn shown_of(&self, device: &str) -> Offset {
        self.devices.get(device).map_or(Offset::NONE, |seen| seen.shown)
    }

    /// How long a device is silent, or was until a moment ago.
    pub(super) fn silence(&self, device: &str, now: Mono) -> Duration {
        let Some(seen) = self.devices.get(device) else { return Duration::MAX };
        let is_open = self.open.values().any(|wire| wire.device == device);
        let silence = if is_open { Duration::ZERO } else { now.since(seen.life) };
        let (before, until) = seen.silence;
        if now.since(until) <= NEWS { silence.max(before) } else { silence }
    }
}
