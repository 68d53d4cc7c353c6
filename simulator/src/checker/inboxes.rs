//! Inboxes on the disks: what stands in them, how full they are, and whether what was given up had a cause.
//!
//! `waiting` counts what is accepted and neither in a row nor elided, so that rows and `waiting` together are never
//! less than what a home counts.
//!
//! Invariants
//! - Judged on what records hold, in their order, and on the times of connections.

use super::base::{Base, UserBase};
use super::{NEWS, Place, Violation};
use iris_protocol::limits::{Limits, UNCLAIMED_ENTRY_BYTES, UNCONFIRMED_BYTES_MAX, UNCONFIRMED_MAX};
use iris_protocol::{ConversationId, DeviceId, Envelope, GapReason, Mono, Offset, Sequence, UserId, Wall};
use iris_storage::op::{CursorRow, Entry};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

/// A device's last sign of life is written down to the hour.
const SEEN: Duration = Duration::from_hours(1);

/// One user's part.
#[derive(Default)]
struct Inbox {
    /// Rows, with the bytes of their payloads.
    rows: BTreeMap<Offset, u64>,
    /// Messages of rows, by offset.
    messages: BTreeMap<Offset, Place>,
    /// With the bytes of their payloads.
    waiting: BTreeMap<Place, u64>,
    appended: Offset,
    /// Own copies that a full inbox did not take.
    refused: BTreeSet<Place>,
    cursors: BTreeMap<DeviceId, CursorRow>,
    unlinked: BTreeSet<DeviceId>,
    /// Detached devices that came back since the last boot.
    returned: BTreeSet<DeviceId>,
    /// When it was last at its mark; true: by its bytes alone.
    full_at: Option<(Mono, bool)>,
    /// When it last had no device that holds entries.
    unclaimed_at: Option<Mono>,
}

impl Inbox {
    fn count(&self) -> u64 {
        (self.rows.len() + self.waiting.len()) as u64
    }

    /// Puts a row. False: one was there.
    fn put(&mut self, offset: Offset, entry: &Entry) -> bool {
        let bytes = match entry {
            Entry::Message { envelope, .. } => {
                self.messages.insert(offset, (envelope.conversation.clone(), envelope.sequence));
                envelope.payload.len() as u64
            }
            Entry::Gap { .. } => {
                self.messages.remove(&offset);
                0
            }
        };
        self.rows.insert(offset, bytes).is_none()
    }

    fn bytes(&self) -> u64 {
        self.rows.values().chain(self.waiting.values()).sum()
    }

    /// What stands above an offset, or is on its way: entries and bytes.
    fn behind(&self, offset: Offset) -> (u64, u64) {
        let above = self.rows.range((Bound::Excluded(offset), Bound::Unbounded));
        let (count, bytes) = above.fold((0, 0), |(count, sum), (_, bytes)| (count + 1, sum + bytes));
        (count + self.waiting.len() as u64, bytes + self.waiting.values().sum::<u64>())
    }

    fn is_claimed(&self) -> bool {
        self.cursors.iter().any(|(device, row)| !row.detached || self.returned.contains(device))
    }

    /// True while what is done may rest on a time when no device held its entries.
    fn is_unclaimed_lately(&self, now: Mono) -> bool {
        self.unclaimed_at.is_some_and(|at| now.since(at) <= NEWS)
    }

    fn wait_no_more(&mut self, conversation: &ConversationId, through: Sequence) {
        self.waiting.retain(|(other, sequence), _| other != conversation || *sequence > through);
    }
}

/// All inboxes.
#[derive(Default)]
pub(super) struct Inboxes {
    users: BTreeMap<UserId, Inbox>,
    accepted: BTreeMap<Place, (UserId, Wall)>,
    limits: Limits,
    shards: u32,
    now: Mono,
    wall: Wall,
    /// When the unclaimed ones last were at their mark together.
    unclaimed_full_at: Option<Mono>,
}

/// True at a mark, or so little below that an inbox does not open again: a sixteenth.
fn is_at(has: u64, mark: u64) -> bool {
    has >= mark - mark / 16
}

/// A full inbox refused a message.
pub(super) struct Full {
    /// It had no device.
    pub(super) is_unclaimed: bool,
    /// It had room for more messages, but not for their bytes.
    pub(super) by_bytes: bool,
    /// It had room for both, but all unclaimed inboxes together had not.
    pub(super) by_all: bool,
}

/// What a gap leaves out, and why.
pub(super) struct Hole<'a> {
    pub(super) conversation: &'a ConversationId,
    pub(super) from: Sequence,
    pub(super) through: Sequence,
    pub(super) reason: GapReason,
}

/// What happened to a device's row.
pub(super) enum Row {
    /// It is there, for the first time or again.
    Linked {
        /// No other device of its user holds entries.
        is_first: bool,
        /// It was taken away before.
        is_again: bool,
    },
    /// It was there.
    Known,
}

impl Inboxes {
    pub(super) fn set(&mut self, limits: Limits, shards: u16) {
        (self.limits, self.shards) = (limits, u32::from(shards));
    }

    pub(super) fn at(&mut self, now: Mono, wall: Wall) {
        (self.now, self.wall) = (now, wall);
    }

    /// The host lost writes: inboxes are what it left.
    pub(super) fn rewound(&mut self, base: &Base) {
        self.accepted.retain(|place, _| !base.is_lost(place));
        for UserBase { user, rows, devices, waiting, .. } in &base.users {
            let inbox = self.users.entry(user.clone()).or_default();
            inbox.refused.retain(|place| !base.is_lost(place));
            inbox.rows.clear();
            inbox.messages.clear();
            for (offset, entry) in rows {
                inbox.put(*offset, entry);
            }
            inbox.waiting = waiting.iter().cloned().collect();
            inbox.cursors = devices.iter().cloned().collect();
            inbox.unlinked.retain(|device| !inbox.cursors.contains_key(device));
        }
    }

    /// The process stopped.
    pub(super) fn stopped(&mut self) {
        for inbox in self.users.values_mut() {
            inbox.returned.clear();
        }
        self.measure_unclaimed();
    }

    /// Notes how full all unclaimed inboxes together are. Those of one shard are not more.
    fn measure_unclaimed(&mut self) {
        let mark = self.limits.unclaimed_total_bytes;
        if mark >= Limits::default().unclaimed_total_bytes {
            return;
        }
        let (now, detach) = (self.now, self.limits.detach);
        let may_be_silent = Duration::from_nanos(now.0) >= detach;
        let holds = |inbox: &&Inbox| may_be_silent || !inbox.is_claimed() || inbox.is_unclaimed_lately(now);
        let unclaimed = self.users.values().filter(holds);
        let held = |inbox: &Inbox| inbox.bytes() + inbox.count() * UNCLAIMED_ENTRY_BYTES;
        if unclaimed.map(held).sum::<u64>() >= mark - mark / 8 {
            self.unclaimed_full_at = Some(now);
        }
    }

    /// A detached device is back.
    pub(super) fn returned(&mut self, user: &UserId, device: &DeviceId) {
        self.users.entry(user.clone()).or_default().returned.insert(device.clone());
    }

    /// Notes how full an inbox is, before and after it changes.
    fn measure(&mut self, user: &UserId) {
        let (now, limits) = (self.now, self.limits);
        let inbox = self.users.entry(user.clone()).or_default();
        // Devices that were silent for long hold nothing, also before their rows say so.
        if !inbox.is_claimed() || Duration::from_nanos(now.0) >= limits.detach {
            inbox.unclaimed_at = Some(now);
        }
        let is_news = inbox.is_unclaimed_lately(now);
        let (mut mark, mut bytes_mark) = (limits.inbox_envelopes, limits.inbox_bytes);
        if is_news {
            mark = mark.min(limits.unclaimed_envelopes);
            bytes_mark = bytes_mark.min(limits.unclaimed_bytes);
        }
        let by_count = is_at(inbox.count(), u64::from(mark));
        if by_count || is_at(inbox.bytes(), bytes_mark) {
            inbox.full_at = Some((now, !by_count));
        }
        self.measure_unclaimed();
    }

    fn was_full(&self, user: &UserId) -> bool {
        let full_at = self.users.get(user).and_then(|inbox| inbox.full_at);
        full_at.is_some_and(|(at, _)| self.now.since(at) <= NEWS)
    }

    /// A message is on its owner's disk.
    pub(super) fn accepted(&mut self, envelope: &Envelope) {
        let place = (envelope.conversation.clone(), envelope.sequence);
        self.accepted.insert(place.clone(), (envelope.sender.clone(), envelope.server_time));
        let Some((low, high)) = envelope.conversation.direct_users() else { return };
        for user in [low, high] {
            self.measure(&user);
            let waiting = &mut self.users.entry(user.clone()).or_default().waiting;
            waiting.insert(place.clone(), envelope.payload.len() as u64);
            self.measure(&user);
        }
    }

    /// A row is put into an inbox: once at each place, unless it was removed from there.
    pub(super) fn appended(&mut self, user: &UserId, offset: Offset, entry: &Entry) -> Option<Violation> {
        self.measure(user);
        let found = match entry {
            Entry::Message { .. } => None,
            Entry::Gap { conversation, from, through, reason } => {
                let hole = Hole { conversation, from: *from, through: *through, reason: *reason };
                self.judge_gap(user, &hole)
            }
        };
        let inbox = self.users.entry(user.clone()).or_default();
        let is_new = inbox.put(offset, entry);
        // A gap of the retention stands where the last entry stood that it replaces.
        let is_expiry = matches!(entry, Entry::Gap { reason: GapReason::Expired, .. });
        let before = inbox.appended;
        inbox.appended = before.max(offset);
        match entry {
            Entry::Message { envelope, .. } => {
                inbox.waiting.remove(&(envelope.conversation.clone(), envelope.sequence));
            }
            Entry::Gap { conversation, through, .. } => inbox.wait_no_more(conversation, *through),
        }
        let rows = (inbox.rows.len() as u64, inbox.rows.values().sum());
        self.measure(user);
        if !is_new || (offset <= before && !is_expiry) {
            let what = format!("{user}: {offset} was put into the inbox after {before}, new: {is_new}");
            return Some(Violation { claim: "C3", what });
        }
        found.or_else(|| self.judge_size(user, rows))
    }

    /// HARD, with as many shards as there are: never passed, not even by what was on its way.
    fn judge_size(&self, user: &UserId, (rows, bytes): (u64, u64)) -> Option<Violation> {
        let hard = u64::from(self.limits.inbox_envelopes) + u64::from(self.shards * UNCONFIRMED_MAX);
        let hard_bytes = self.limits.inbox_bytes + u64::from(self.shards) * UNCONFIRMED_BYTES_MAX;
        (rows > hard || bytes > hard_bytes).then(|| {
            let what =
                format!("{user} has {rows} rows of {bytes} bytes, {hard} of {hard_bytes} are the most");
            Violation { claim: "C8", what }
        })
    }

    /// What is left out must have a reason that is true.
    fn judge_gap(&mut self, user: &UserId, hole: &Hole<'_>) -> Option<Violation> {
        let Hole { conversation, from, through, reason } = *hole;
        let is_full = self.was_full(user);
        for sequence in from.0..=through.0 {
            let place = (conversation.clone(), Sequence(sequence));
            let Some((sender, server_time)) = self.accepted.get(&place) else {
                let what = format!("{user} gets a gap over {conversation} {sequence}, which is no message");
                return Some(Violation { claim: "C5", what });
            };
            let inbox = self.users.entry(user.clone()).or_default();
            let retention_ms = u64::try_from(self.limits.retention.as_millis()).unwrap_or(u64::MAX);
            let is_old = server_time.0.saturating_add(retention_ms) < self.wall.0;
            let has_cause = match reason {
                GapReason::InboxFull => sender == user && (is_full || inbox.refused.contains(&place)),
                GapReason::Expired => is_old || inbox.refused.contains(&place),
                GapReason::AlreadyAcked | GapReason::DeviceDetached => false,
            };
            if !has_cause {
                let what = format!("{user} gets {reason:?} over {conversation} {sequence} without a cause");
                return Some(Violation { claim: "C1", what });
            }
            if reason == GapReason::InboxFull {
                inbox.refused.insert(place);
            }
        }
        None
    }

    /// Entries were acknowledged by all before they needed a row.
    pub(super) fn elided(&mut self, user: &UserId, conversation: &ConversationId, through: Sequence) {
        self.measure(user);
        self.users.entry(user.clone()).or_default().wait_no_more(conversation, through);
    }

    /// Rows go.
    pub(super) fn removed(&mut self, user: &UserId, offsets: &[Offset]) -> Option<Violation> {
        self.measure(user);
        let inbox = self.users.entry(user.clone()).or_default();
        for offset in offsets {
            inbox.messages.remove(offset);
            if inbox.rows.remove(offset).is_none() {
                let what = format!("{user}: {offset} is removed, and is not there");
                return Some(Violation { claim: "C8", what });
            }
        }
        None
    }

    /// The devices of a user whose rows say that they were detached.
    pub(super) fn detached_of(&self, user: &UserId) -> impl Iterator<Item = &DeviceId> {
        let cursors = self.users.get(user).into_iter().flat_map(|inbox| &inbox.cursors);
        cursors.filter(|(_, row)| row.detached).map(|(device, _)| device)
    }

    /// A device's row is written. `silence`: for so long it showed no life.
    pub(super) fn cursor(
        &mut self,
        user: &UserId,
        device: &DeviceId,
        row: &CursorRow,
        silence: Duration,
    ) -> (Row, Option<Violation>) {
        self.measure(user);
        let is_full = self.was_full(user);
        let limits = self.limits;
        let inbox = self.users.entry(user.clone()).or_default();
        let is_first = !inbox.is_claimed();
        let before = inbox.cursors.insert(device.clone(), *row);
        let is_again = inbox.unlinked.remove(device);
        self.measure(user);
        let Some(before) = before else {
            let found = self.judge_places(user);
            return (Row::Linked { is_first, is_again }, found);
        };
        if before.detached || !row.detached {
            return (Row::Known, None);
        }
        let inbox = self.users.entry(user.clone()).or_default();
        // Where it stood when it was detached: one that is back since then has gone on.
        let is_back = inbox.returned.contains(device);
        let stood = if is_back { before.acked_through } else { row.acked_through };
        let (behind, bytes) = inbox.behind(stood);
        let is_far = is_at(behind, u64::from(limits.inbox_envelopes)) || is_at(bytes, limits.inbox_bytes);
        let is_behind = is_full && is_far;
        let is_silent = silence.saturating_add(SEEN) >= limits.detach;
        let what = format!(
            "{user}/{device} is detached: {behind} entries of {bytes} bytes behind, silent for {silence:?}"
        );
        let found = (!is_behind && !is_silent).then_some(Violation { claim: "C1", what });
        (Row::Known, found)
    }

    /// No user has more devices than there may be.
    fn judge_places(&self, user: &UserId) -> Option<Violation> {
        let (devices, most) = (self.devices_of(user).count(), self.limits.devices as usize);
        (devices > most).then(|| {
            let what = format!("{user} has {devices} devices, {most} are the most");
            Violation { claim: "C8", what }
        })
    }

    /// How many devices a user may have.
    pub(super) fn devices_max(&self) -> usize {
        self.limits.devices as usize
    }

    /// The devices of a user that have rows.
    pub(super) fn devices_of(&self, user: &UserId) -> impl Iterator<Item = &DeviceId> {
        self.users.get(user).into_iter().flat_map(|inbox| inbox.cursors.keys())
    }

    /// A device's row goes.
    pub(super) fn unlinked(&mut self, user: &UserId, device: &DeviceId) {
        let inbox = self.users.entry(user.clone()).or_default();
        if inbox.cursors.remove(device).is_some() {
            inbox.unlinked.insert(device.clone());
        }
        self.measure(user);
    }

    /// A message to a user is refused because the inbox is full.
    pub(super) fn refused_full(&mut self, user: &UserId) -> Result<Full, Violation> {
        self.measure(user);
        let (is_full, now) = (self.was_full(user), self.now);
        let inbox = self.users.entry(user.clone()).or_default();
        if is_full {
            let by_bytes = inbox.full_at.is_some_and(|(_, by_bytes)| by_bytes);
            return Ok(Full { is_unclaimed: !inbox.is_claimed(), by_bytes, by_all: false });
        }
        let all_full = self.unclaimed_full_at.is_some_and(|at| now.since(at) <= NEWS);
        if all_full && inbox.is_unclaimed_lately(now) {
            return Ok(Full { is_unclaimed: !inbox.is_claimed(), by_bytes: false, by_all: true });
        }
        let (count, bytes) = (inbox.count(), inbox.bytes());
        let what =
            format!("the inbox of {user} is called full, it has {count} entries of {bytes} bytes at most");
        Err(Violation { claim: "C8", what })
    }

    /// A gap of a conversation leaves the server; one that no row holds is judged now.
    pub(super) fn gap_sent(&mut self, user: &UserId, offset: Offset, hole: &Hole<'_>) -> Option<Violation> {
        let inbox = self.users.entry(user.clone()).or_default();
        let is_row = inbox.rows.contains_key(&offset) && !inbox.messages.contains_key(&offset);
        if is_row { None } else { self.judge_gap(user, hole) }
    }
}
