//! Worlds with narrow limits: devices that stay away until inboxes fill, entries expire or they are given up; devices that
//! are taken away and come back; clients that remember less than they acknowledged, or claim more than they got.
//!
//! Invariants
//! - One seed of four is such a world, and each of them is of one kind, by its number. In one of four of each kind all unclaimed
//!   inboxes together are narrow, too.
//! - Whoever leaves comes back, also when the world is calm.

use super::{Happening, World};
use crate::people::Person;
use crate::plan::Plan;
use bytes::Bytes;
use iris_client::state::DeviceState;
use iris_protocol::limits::{Limits, UNCLAIMED_ENTRY_BYTES};
use iris_protocol::wire::client_frame::Frame;
use iris_protocol::wire::{self, send::Target as WireTarget};
use iris_protocol::{MessageId, Mono, Offset, UserId};
use iris_shard::io::ConnId;
use iris_storage::op::Op;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What a narrow world is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Entries expire within seconds.
    Expiry,
    /// Nights of hours, in which devices fall silent.
    Nights,
    /// Few new conversations, few messages a second, and a place less than each user has devices.
    Strangers,
    /// Many messages at once.
    Bursts,
    /// The same, long ones among them, and inboxes that are narrow in bytes, too.
    LongBursts,
}

/// What may happen in a narrow world.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Devices go offline for a while: one, or all of a user.
    Leave,
    /// A device is back.
    Return { person: usize },
    /// A device takes one of its user's devices away.
    Unlink,
    /// A device takes itself away.
    Part { person: usize },
    /// A device loses what it learnt lately.
    Forget,
    /// A device acknowledges what it never got.
    AckTooHigh,
    /// A device uses an id again, for other words.
    Conflict,
    /// Everybody writes to one user.
    Burst,
    /// Hours pass.
    Night,
}

impl Act {
    /// For the trace.
    pub(super) fn number(self) -> usize {
        match self {
            Self::Leave => 1,
            Self::Unlink => 2,
            Self::Forget => 3,
            Self::AckTooHigh => 4,
            Self::Conflict => 5,
            Self::Burst => 6,
            Self::Night => 7,
            Self::Return { person } => 8 + 2 * person,
            Self::Part { person } => 9 + 2 * person,
        }
    }
}

/// When each act happens first, and then again, in microseconds.
const FIRST: (u64, u64) = (2_000_000, 3_000_000);
const AGAIN: (u64, u64) = (150_000, 1_500_000);
/// How long a device is away, in microseconds.
const AWAY: (u64, u64) = (200_000, 4_000_000);
/// A device that was taken away comes back after this long.
const RELINK: (u64, u64) = (1_000, 1_500_000);
/// A device takes itself away so long after a burst that may have put another one of its user a whole inbox behind.
const PART: (u64, u64) = (5_000, 1_000_000);
/// Or so long after a shard gave that one up, and began to remove what it held: within a slow sync.
const PART_IN_PURGE: (u64, u64) = (1_000, 80_000);
/// In half of the worlds with bursts a device that a shard gives up is back so soon, in microseconds, without anything that it
/// stored: so often.
const BLANK: (u64, u64) = (1, 5_000);
const BLANKS: u32 = 3;
/// So long is a disk slow after a burst.
const BUSY: Duration = Duration::from_secs(1);
/// Between two messages of a device.
const PACE: (u64, u64) = (1_000, 240_000);
/// A device that found no place tries again after this long.
const NO_PLACE: (u64, u64) = (50_000, 1_000_000);
/// Messages of each device of a burst.
const BURST: u64 = 16;
/// What inboxes hold where messages are long, in bytes, and what the longest has.
const INBOX_BYTES: u64 = 2 << 10;
const UNCLAIMED_BYTES: u64 = 512;
/// What all unclaimed inboxes of a shard hold together where that is narrow: three short messages.
const UNCLAIMED_TOTAL: u64 = 3 * UNCLAIMED_ENTRY_BYTES;
const LONG_MAX: u64 = 512;
const HOUR: u64 = 3_600;
/// A night in seconds, and how many there are: connections outlive none of their tokens.
const NIGHT: (u64, u64) = (HOUR, 3 * HOUR);
const NIGHTS_MAX: u32 = 3;
/// Ids that may be used again.
const MINTED_MAX: usize = 64;

/// A narrow world.
pub(super) struct Narrow {
    kind: Kind,
    away: BTreeSet<usize>,
    /// Devices that found no place.
    out: BTreeSet<usize>,
    /// What devices may fall back to.
    saved: BTreeMap<usize, DeviceState>,
    minted: VecDeque<(UserId, UserId, MessageId)>,
    nights: u32,
    /// Until then syncs are slow: the burst keeps disks busy.
    busy_until: Mono,
    /// Acknowledgements of what was never sent, on their way.
    lies: BTreeSet<(ConnId, Offset)>,
    /// Devices that came back without anything: the process stops when such a one hears where it starts. And how many more will.
    blank: BTreeSet<usize>,
    blanks: u32,
    /// Now and then the host's clock is years ahead at a start, though it is right otherwise.
    years_ahead: bool,
}

impl Narrow {
    /// The narrow world of a seed, if it is one. Its limits, and what else must be different.
    pub(super) fn of(seed: u64, plan: &mut Plan, limits: &mut Limits) -> Option<Self> {
        if !plan.faults.limits || seed % 4 != 1 {
            return None;
        }
        let kind = match seed / 4 % 4 {
            0 => Kind::Expiry,
            1 => Kind::Nights,
            2 => Kind::Strangers,
            _ if (seed / 16).is_multiple_of(2) => Kind::Bursts,
            _ => Kind::LongBursts,
        };
        limits.inbox_envelopes = u32::try_from(12 + seed / 16 % 29).unwrap_or(12);
        limits.unclaimed_envelopes = 5;
        if seed / 32 % 4 == 1 {
            limits.unclaimed_total_bytes = UNCLAIMED_TOTAL;
        }
        limits.devices = 3;
        match kind {
            Kind::Expiry => limits.retention = Duration::from_millis(1_500),
            Kind::Nights => limits.detach = Duration::from_secs(2 * HOUR),
            Kind::Strangers => {
                limits.new_conversations_per_hour = 2;
                (limits.sends_per_second, limits.sends_burst) = (10, 10);
                limits.devices = u32::try_from(plan.devices).unwrap_or(u32::MAX);
                plan.devices += 1;
                plan.calm = Duration::from_secs(4 * HOUR);
            }
            Kind::Bursts => {}
            Kind::LongBursts => {
                (limits.inbox_bytes, limits.unclaimed_bytes) = (INBOX_BYTES, UNCLAIMED_BYTES);
            }
        }
        // Ages and silences are judged to the second: no clock is followed that is off.
        let years_ahead = plan.faults.clock && kind == Kind::Expiry;
        plan.faults.clock = false;
        plan.faults.reads = false;
        Some(Self {
            kind,
            away: BTreeSet::new(),
            out: BTreeSet::new(),
            saved: BTreeMap::new(),
            minted: VecDeque::new(),
            nights: 0,
            busy_until: Mono(0),
            lies: BTreeSet::new(),
            blank: BTreeSet::new(),
            blanks: if (seed / 64).is_multiple_of(2) { 0 } else { BLANKS },
            years_ahead,
        })
    }
}

impl Happening {
    /// True if it does not happen at night.
    fn sleeps(&self) -> bool {
        match self {
            Self::Compose { .. }
            | Self::Connect { .. }
            | Self::Flush
            | Self::Sync
            | Self::Crash
            | Self::NextBreak { .. }
            | Self::Restart { .. }
            | Self::Room { .. }
            | Self::Act(_) => true,
            Self::ToServer { .. }
            | Self::ToPerson { .. }
            | Self::Gone { .. }
            | Self::PersonTick { .. }
            | Self::ShardTick { .. }
            | Self::Synced { .. }
            | Self::Answer { .. }
            | Self::Mail { .. }
            | Self::SlowTurn
            | Self::Break { .. } => false,
        }
    }
}

impl World {
    pub(super) fn plan_acts(&mut self) {
        let Some(narrow) = &self.narrow else { return };
        let mut acts = vec![Act::Leave, Act::Leave, Act::Unlink, Act::Forget, Act::AckTooHigh, Act::Conflict];
        match narrow.kind {
            Kind::Nights => acts.push(Act::Night),
            Kind::Bursts | Kind::LongBursts => acts.push(Act::Burst),
            Kind::Expiry | Kind::Strangers => {}
        }
        for act in acts {
            self.plan_in(FIRST.0, FIRST.1, Happening::Act(act));
        }
    }

    pub(super) fn act(&mut self, act: Act) {
        if let Act::Return { person } = act {
            return self.come_back(person);
        }
        if let Act::Part { person } = act {
            let device = self.people[person].device.as_str().to_owned();
            return self.ask_to_unlink(person, &device);
        }
        if self.calm {
            return;
        }
        self.plan_in(AGAIN.0, AGAIN.1, Happening::Act(act));
        match act {
            Act::Return { .. } | Act::Part { .. } => {}
            Act::Leave => self.leave(),
            Act::Unlink => self.unlink(),
            Act::Forget => self.forget_lately(),
            Act::AckTooHigh => self.ack_too_high(),
            Act::Conflict => self.use_again(),
            Act::Burst => self.burst(),
            Act::Night => self.night(),
        }
    }

    /// True while a burst keeps disks busy.
    pub(super) fn is_busy(&self) -> bool {
        self.narrow.as_ref().is_some_and(|narrow| self.now < narrow.busy_until)
    }

    /// True if the host's clock may be years ahead at a start.
    pub(super) fn may_be_years_ahead(&self) -> bool {
        self.plan.faults.clock || self.narrow.as_ref().is_some_and(|narrow| narrow.years_ahead)
    }

    /// True for a device that is away.
    pub(super) fn is_away(&self, person: usize) -> bool {
        self.narrow.as_ref().is_some_and(|narrow| narrow.away.contains(&person))
    }

    /// A device found no place: it tries again, unless nobody will leave any more.
    pub(super) fn no_place(&mut self, person: usize) {
        self.hang_up(person);
        self.people[person].restart();
        let Some(narrow) = &mut self.narrow else { return };
        narrow.out.insert(person);
        if !self.calm {
            self.plan_in(NO_PLACE.0, NO_PLACE.1, Happening::Connect { person });
        }
    }

    /// A device has a place.
    pub(super) fn welcomed(&mut self, person: usize) {
        let Some(narrow) = &mut self.narrow else { return };
        narrow.out.remove(&person);
        if narrow.blank.remove(&person) && !self.calm {
            self.reached.crash_at_return += 1;
            self.plan_in(1, 2, Happening::Crash);
        }
    }

    /// True for a device that found no place.
    pub(super) fn is_out(&self, person: usize) -> bool {
        self.narrow.as_ref().is_some_and(|narrow| narrow.out.contains(&person))
    }

    /// How many bytes a message is longer than it must be.
    pub(super) fn length(&mut self) -> usize {
        let is_long = self.narrow.as_ref().is_some_and(|narrow| narrow.kind == Kind::LongBursts);
        if is_long && self.random.one_in(2) {
            usize::try_from(self.random.below(LONG_MAX)).unwrap_or(0)
        } else {
            0
        }
    }

    /// Between two messages of a device, in microseconds.
    pub(super) fn pace(&self) -> (u64, u64) {
        if self.narrow.is_some() { PACE } else { (1_000, 60_000) }
    }

    fn leave(&mut self) {
        let chosen = self.random.index(self.people.len());
        let user = self.people[chosen].user.clone();
        let whole = self.random.one_in(2);
        for person in 0..self.people.len() {
            if person != chosen && !(whole && self.people[person].user == user) {
                continue;
            }
            let is_new = self.narrow.as_mut().is_some_and(|narrow| narrow.away.insert(person));
            if is_new {
                self.hang_up(person);
                let now = self.now;
                self.people[person].session.disconnected(now);
                self.take_outputs(person);
                self.plan_in(AWAY.0, AWAY.1, Happening::Act(Act::Return { person }));
            }
        }
    }

    fn come_back(&mut self, person: usize) {
        if let Some(narrow) = &mut self.narrow {
            narrow.away.remove(&person);
        }
        self.connect(person);
    }

    fn unlink(&mut self) {
        let person = self.random.index(self.people.len());
        let user = self.people[person].user.clone();
        let devices: Vec<String> = self
            .people
            .iter()
            .filter(|other| other.user == user)
            .map(|other| other.device.as_str().to_owned())
            .collect();
        let device = devices[self.random.index(devices.len())].clone();
        self.ask_to_unlink(person, &device);
    }

    /// Nobody asks while it is offline.
    fn ask_to_unlink(&mut self, person: usize, device: &str) {
        let now = self.now;
        if self.people[person].session.unlink(now, device).is_ok() {
            self.take_outputs(person);
        }
    }

    /// A device learns that it was taken away: it forgets everything, and comes back as a new one.
    pub(super) fn taken_away(&mut self, person: usize) {
        if let Some(narrow) = &mut self.narrow {
            narrow.saved.remove(&person);
        }
        self.fall_back(person, DeviceState::default());
        self.plan_in(RELINK.0, RELINK.1, Happening::Connect { person });
    }

    /// A device comes back from what it had saved a while ago, or saves it for the next time.
    fn forget_lately(&mut self) {
        let person = self.random.index(self.people.len());
        let state = self.people[person].session.state();
        let Some(narrow) = &mut self.narrow else { return };
        match narrow.saved.remove(&person) {
            Some(saved) => {
                self.fall_back(person, saved);
                self.plan_in(1_000, 500_000, Happening::Connect { person });
            }
            None => {
                narrow.saved.insert(person, state);
            }
        }
    }

    fn fall_back(&mut self, person: usize, state: DeviceState) {
        self.hang_up(person);
        let is_empty = state.stored_through.is_none();
        let known = state.last.iter().filter(|(_, applied)| !applied.rebase);
        let last = known.map(|(conversation, applied)| (conversation.clone(), applied.sequence)).collect();
        self.checker.forgot(&self.people[person].name(), last, is_empty);
        self.people[person].restart_from(state);
    }

    fn ack_too_high(&mut self) {
        let person = self.random.index(self.people.len());
        if !self.people[person].session.is_online() {
            return;
        }
        let shown = self.checker.shown(&self.people[person].name());
        let above = if self.random.one_in(2) { 1 } else { 1_000 };
        let through_offset = shown.max(Offset::new(self.generation, 1)).0 + above;
        if let (Some(narrow), Some(conn)) = (&mut self.narrow, self.people[person].conn) {
            narrow.lies.insert((conn, Offset(through_offset)));
        }
        self.send_to_server(person, Frame::Ack(wire::Ack { through_offset }));
    }

    /// True for an acknowledgement that a device made up, of what was sent to it since: what it never got, it would lose.
    pub(super) fn came_true(&mut self, person: usize, conn: ConnId, through: Offset) -> bool {
        let was_lie = self.narrow.as_mut().is_some_and(|narrow| narrow.lies.remove(&(conn, through)));
        was_lie && through <= self.checker.shown(&self.people[person].name())
    }

    /// Remembers an id that was used.
    pub(super) fn minted(&mut self, from: UserId, to: UserId, message_id: MessageId) {
        let Some(narrow) = &mut self.narrow else { return };
        narrow.minted.push_back((from, to, message_id));
        if narrow.minted.len() > MINTED_MAX {
            narrow.minted.pop_front();
        }
    }

    /// Sends other words under an id that is on a disk. Answers to request 0 change nothing in a session.
    fn use_again(&mut self) {
        let Some(narrow) = &self.narrow else { return };
        let stored: Vec<_> =
            narrow.minted.iter().filter(|(_, _, id)| self.checker.is_stored(*id)).cloned().collect();
        if stored.is_empty() {
            return;
        }
        let (from, to, message_id) = stored[self.random.index(stored.len())].clone();
        let online = self.people.iter().position(|person| person.user == from && person.session.is_online());
        let Some(person) = online else { return };
        let send = wire::Send {
            request_id: 0,
            target: Some(WireTarget::To(to.as_str().to_owned())),
            message_id: Bytes::copy_from_slice(message_id.as_bytes()),
            payload: Bytes::from_static(b"other words"),
            ack_through: None,
        };
        self.send_to_server(person, Frame::Send(send));
    }

    /// Everybody writes to the user of a device that is away, if there is one. The device that is there may leave for good in
    /// the middle: what it had is being removed while nobody else is left who holds it.
    fn burst(&mut self) {
        let away: Vec<usize> =
            self.narrow.as_ref().map(|narrow| narrow.away.iter().copied().collect()).unwrap_or_default();
        let one = if away.is_empty() || self.random.one_in(4) {
            self.random.index(self.people.len())
        } else {
            away[self.random.index(away.len())]
        };
        let to = self.people[one].user.clone();
        let busy_until = self.now.after(BUSY);
        if let Some(narrow) = &mut self.narrow {
            narrow.busy_until = busy_until;
        }
        let there =
            (0..self.people.len()).find(|other| self.people[*other].user == to && !away.contains(other));
        if let Some(person) = there.filter(|_| away.contains(&one)) {
            self.plan_in(PART.0, PART.1, Happening::Act(Act::Part { person }));
        }
        for person in 0..self.people.len() {
            for _ in 0..BURST {
                if self.people[person].user != to {
                    self.write_to(person, to.clone());
                }
            }
        }
    }

    /// A shard gives up devices that are a whole inbox behind, and removes what was kept for them alone. Who is left of their
    /// user leaves for good in the middle: nobody holds entries then, while some are gone and some are not. Or who was given up
    /// comes back before that is durable.
    pub(super) fn gave_up(&mut self, ops: &[Op]) {
        let kind = self.narrow.as_ref().map(|narrow| narrow.kind);
        if self.calm || !matches!(kind, Some(Kind::Bursts | Kind::LongBursts)) {
            return;
        }
        for op in ops {
            let Op::Cursor { user, device, row } = op else { continue };
            if !row.detached {
                continue;
            }
            let is_left = |person: &Person| {
                person.user == *user && person.device != *device && person.session.is_online()
            };
            if let Some(person) = self.people.iter().position(is_left) {
                self.reached.parted_in_purge += 1;
                self.plan_in(PART_IN_PURGE.0, PART_IN_PURGE.1, Happening::Act(Act::Part { person }));
            }
            let is_given_up = |person: &Person| person.user == *user && person.device == *device;
            if let Some(person) = self.people.iter().position(is_given_up) {
                self.come_back_blank(person);
            }
        }
    }

    /// A device comes back without anything that it stored.
    fn come_back_blank(&mut self, person: usize) {
        let Some(narrow) = &mut self.narrow else { return };
        if !self.plan.faults.crashes || narrow.blanks == 0 {
            return;
        }
        narrow.blanks -= 1;
        narrow.blank.insert(person);
        narrow.away.remove(&person);
        self.fall_back(person, DeviceState::default());
        self.plan_in(BLANK.0, BLANK.1, Happening::Connect { person });
    }

    /// Hours pass in which little happens: everything else is put off.
    fn night(&mut self) {
        let Some(narrow) = &mut self.narrow else { return };
        narrow.nights += 1;
        if narrow.nights > NIGHTS_MAX {
            return;
        }
        self.reached.nights += 1;
        let length = Duration::from_secs(self.random.within(NIGHT.0, NIGHT.1));
        let agenda = std::mem::take(&mut self.agenda);
        self.agenda = agenda
            .into_iter()
            .map(|((at, made), happening)| {
                let at = if happening.sleeps() { at.after(length) } else { at };
                ((at, made), happening)
            })
            .collect();
    }
}
