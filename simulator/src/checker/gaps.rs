//! Gaps: legal with a cause alone, and a device that was told of one goes on right behind it.
//!
//! Invariants
//! - A gap of one conversation is judged when its row is durable, or when it leaves the server without one; a gap of all
//!   conversations when it leaves the server.

use super::inboxes::Hole;
use super::{Checker, Places, Violation};
use iris_protocol::wire::server_frame::Frame;
use iris_protocol::wire::{Gap, GapReason};
use iris_protocol::{ConversationId, DeviceId, Generation, Offset, Sequence};
use iris_shard::io::ConnId;
use std::collections::BTreeSet;

impl Checker {
    /// A frame that is neither a delivery nor an acceptance leaves the server.
    pub fn answered(&mut self, conn: ConnId, frame: &Frame) {
        match frame {
            Frame::Welcome(welcome) => {
                let found = self.wires.welcomed(conn, Offset(welcome.resumed_at));
                self.note(found);
            }
            Frame::Gap(gap) => self.gap_sent(conn, gap),
            Frame::Rejected(rejected) => self.rejected(rejected),
            Frame::Accepted(_)
            | Frame::Deliver(_)
            | Frame::Refreshed(_)
            | Frame::DeviceList(_)
            | Frame::Unlinked(_)
            | Frame::Ping(_)
            | Frame::Pong(_)
            | Frame::GoAway(_)
            | Frame::Close(_) => {}
        }
    }

    /// The server closes a connection, or hears that it is gone.
    pub fn ended(&mut self, conn: ConnId) {
        self.wires.ended(conn, self.now);
    }

    /// A device finds no place: its user has as many as there may be, with rows or on their way to one.
    pub fn no_place(&mut self, conn: ConnId) {
        self.rare.too_many_devices += 1;
        let Some(wire) = self.wires.get(conn) else { return };
        let (user, refused) = (wire.user.clone(), wire.device.clone());
        self.wires.refused(conn);
        let rows = self.inboxes.devices_of(&user).map(|device| format!("{user}/{device}"));
        let mut devices: BTreeSet<String> = rows.chain(self.wires.devices_of(&user)).collect();
        devices.remove(&refused);
        let most = self.inboxes.devices_max();
        if devices.len() < most {
            self.violate("C8", format!("{refused} finds no place beside {devices:?}, {most} are the most"));
        }
    }

    /// A device's acknowledgement arrives.
    pub fn acked(&mut self, conn: ConnId, through: Offset, generation: Generation) {
        let is_too_high = self.wires.acked(conn, through, generation, self.now);
        self.rare.ack_too_high += u64::from(is_too_high);
    }

    /// The highest offset that was shown to a device.
    pub fn shown(&self, device: &str) -> Offset {
        self.wires.shown_of(device)
    }

    /// A gap leaves the server.
    fn gap_sent(&mut self, conn: ConnId, gap: &Gap) {
        let Some(wire) = self.wires.get(conn) else { return };
        let (user, name) = (wire.user.clone(), wire.device.clone());
        if self.progress.was_linked(&name) && !self.progress.is_linked(&name) {
            self.violate("C5", format!("{name} was taken away, and is sent {gap:?}"));
        }
        let offset = Offset(gap.offset);
        if let Ok(conversation) = ConversationId::parse(&gap.conversation) {
            let reason = match gap.reason() {
                GapReason::InboxFull => iris_protocol::GapReason::InboxFull,
                GapReason::Expired => iris_protocol::GapReason::Expired,
                GapReason::AlreadyAcked
                | GapReason::DeviceDetached
                | GapReason::HistoryRewound
                | GapReason::Unspecified => iris_protocol::GapReason::AlreadyAcked,
            };
            let (from, through) = (Sequence(gap.from_sequence), Sequence(gap.through_sequence));
            let hole = Hole { conversation: &conversation, from, through, reason };
            let found = self.inboxes.gap_sent(&user, offset, &hole);
            self.note(found);
            let found = self.wires.shown(conn, offset);
            return self.note(found);
        }
        match gap.reason() {
            GapReason::DeviceDetached => {
                self.progress.gap_sent(&name);
                if let Some(device) = name.split_once('/').and_then(|(_, id)| DeviceId::parse(id).ok()) {
                    self.inboxes.returned(&user, &device);
                }
            }
            GapReason::AlreadyAcked => {
                let acked = self.wires.acked_of(&name);
                if acked < offset {
                    let what = format!("{name} is told that it has {offset}, it acknowledged {acked}");
                    self.violate("C1", what);
                }
            }
            GapReason::Expired
            | GapReason::InboxFull
            | GapReason::HistoryRewound
            | GapReason::Unspecified => {
                self.violate("C1", format!("{name} is told of a hole without a conversation: {gap:?}"));
            }
        }
    }

    /// A device is told of a gap: of one conversation, or of all.
    pub fn told(
        &mut self,
        device: &str,
        conversation: Option<&ConversationId>,
        hole: (Sequence, Sequence),
        reason: GapReason,
    ) {
        match reason {
            GapReason::Expired => self.rare.expired_gap += 1,
            GapReason::InboxFull => self.rare.own_copy_gap += 1,
            GapReason::DeviceDetached => self.rare.detached_back += 1,
            GapReason::AlreadyAcked => self.rare.already_acked += 1,
            GapReason::HistoryRewound | GapReason::Unspecified => {
                return self.violate("C1", format!("{device} was told of a hole: {reason:?}"));
            }
        }
        let found = match conversation {
            Some(conversation) => self.progress.covered(device, conversation, hole),
            None if reason == GapReason::DeviceDetached => {
                self.progress.detached(device);
                None
            }
            None => {
                self.progress.already_acked(device);
                None
            }
        };
        self.note(found);
    }

    /// A device comes back from an older state.
    pub fn forgot(&mut self, device: &str, last: Places, is_empty: bool) {
        self.progress.forgot(device, last, is_empty);
    }

    pub(super) fn note(&mut self, found: Option<Violation>) {
        self.violations.extend(found);
    }
}
