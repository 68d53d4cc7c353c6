//! A user in memory: its devices and the part of its inbox that is not only in the tables.
//!
//! Invariants
//! - `items` has ascending offsets, all above `cold_through`; rows at or below `cold_through` are in the tables alone.
//! - `row` counts what the emitted operations leave in the inbox table; `fresh_*` what is in no record yet.
//! - An idle user with one device owns no heap memory of its own.

use crate::arena::Keyed;
use crate::io::{ConnId, Ticket};
use crate::mail::RecipientState;
use crate::mutant::{self, Mutant};
use crate::rate::Bucket;
use crate::ring::Ring;
use foldhash::fast::FixedState;
use iris_protocol::{
    DeviceId, Envelope, GapReason, Generation, Mono, Offset, Sequence, ShardId, UserId, Wall,
};
use iris_storage::op::{CursorRow, Entry, UserRow};
use std::hash::BuildHasher;
use std::sync::Arc;

/// No session.
pub(crate) const NOBODY: u32 = u32::MAX;

/// A linked device.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, one byte each")]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    /// Everything at or below is acked.
    pub(crate) cursor: Offset,
    /// The highest offset that was ever sent to it, as far as memory goes.
    pub(crate) sent_through: Offset,
    pub(crate) linked_at: Wall,
    pub(crate) last_seen_at: Wall,
    /// Index of its session, or [`NOBODY`].
    pub(crate) session: u32,
    pub(crate) detached: bool,
    /// It was detached, is back, and has not acked the gap that tells it: until then its row says detached.
    pub(crate) owes_gap: bool,
    /// Its row is durable: it may be welcomed.
    pub(crate) is_durable: bool,
    /// It was detached and came back: it is welcomed once its row, and everything stored before, is durable.
    pub(crate) is_returning: bool,
    /// The row in the tables is older than this.
    pub(crate) is_dirty: bool,
}

impl Device {
    pub(crate) fn row(&self) -> CursorRow {
        CursorRow {
            acked_through: self.cursor,
            linked_at: self.linked_at,
            last_seen_at: self.last_seen_at,
            detached: self.detached || self.owes_gap,
        }
    }
}

/// What stands at a place of the inbox.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Message { envelope: Arc<Envelope>, previous: Sequence },
    Gap(Box<Hole>),
}

/// A gap entry.
#[derive(Clone, Debug)]
pub(crate) struct Hole {
    pub(crate) conversation: iris_protocol::ConversationId,
    pub(crate) from: Sequence,
    pub(crate) through: Sequence,
    pub(crate) reason: GapReason,
}

impl Content {
    pub(crate) fn of_entry(entry: Entry) -> Self {
        match entry {
            Entry::Message { envelope, previous } => Self::Message { envelope, previous },
            Entry::Gap { conversation, from, through, reason } => {
                Self::Gap(Box::new(Hole { conversation, from, through, reason }))
            }
        }
    }

    pub(crate) fn to_entry(&self) -> Entry {
        match self {
            Self::Message { envelope, previous } => {
                Entry::Message { envelope: Arc::clone(envelope), previous: *previous }
            }
            Self::Gap(hole) => Entry::Gap {
                conversation: hole.conversation.clone(),
                from: hole.from,
                through: hole.through,
                reason: hole.reason,
            },
        }
    }

    /// The sequence up to which this entry takes its conversation.
    pub(crate) fn through(&self) -> Sequence {
        match self {
            Self::Message { envelope, .. } => envelope.sequence,
            Self::Gap(hole) => hole.through,
        }
    }

    /// Payload bytes it accounts for.
    pub(crate) fn bytes(&self) -> u32 {
        match self {
            Self::Message { envelope, .. } => u32::try_from(envelope.payload.len()).unwrap_or(u32::MAX),
            Self::Gap(_) => 0,
        }
    }
}

/// An inbox entry in memory.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) offset: Offset,
    /// Its record; `None`: in no record yet.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) content: Content,
    /// Index of its channel and the member there; meaningful while it is in no record.
    pub(crate) channel: u32,
    pub(crate) bytes: u32,
    /// When it was appended, in ms of monotonic time.
    pub(crate) since_ms: u32,
    pub(crate) member: u8,
}

/// Who waits for a user to be loaded.
#[derive(Debug)]
pub(crate) enum Waiter {
    Login(ConnId),
    Ask(ShardId),
    Channel(u32),
    Expiry,
}

/// What a user's next settle has to do, beside its cursors.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Channels (and members) with elided watermarks.
    pub(crate) elided: Vec<(u32, u8)>,
    /// Rows to remove.
    pub(crate) removes: Vec<Offset>,
}

/// What few users have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) conversations: Bucket,
    /// Removal of rows that no session knows: see `purge`.
    pub(crate) purge: Option<crate::purge::Purge>,
    /// Unlinks of the last device that wait for the purge: connection, request, device.
    pub(crate) unlinks: Vec<(ConnId, u64, String)>,
    /// Its rows are being rewritten by the retention: no session reads them.
    pub(crate) is_rewriting: bool,
    /// Gap entries that go once the one at the second offset is durable.
    pub(crate) replaced: Vec<(Offset, Offset)>,
    /// Counts rewrites: a page that was asked for before one is worth nothing.
    pub(crate) version: u32,
    /// Devices beside the first.
    pub(crate) devices: Vec<Device>,
}

/// See the module.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, one byte each")]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) row: UserRow,
    /// Rows at or below may exist that memory does not hold.
    pub(crate) cold_through: Offset,
    pub(crate) fresh_bytes: u64,
    /// What it has in the sum of all unclaimed inboxes.
    pub(crate) counted_bytes: u64,
    pub(crate) items: Ring<Item>,
    pub(crate) first_device: Option<Device>,
    pub(crate) rare: Option<Box<Rare>>,
    pub(crate) work: Option<Box<Work>>,
    pub(crate) sends: Bucket,
    pub(crate) cold_entries: u32,
    pub(crate) fresh_entries: u32,
    /// Channels that name this user by index.
    pub(crate) pins: u32,
    /// Records in flight, and pages, whose completion names this user.
    pub(crate) tickets: u16,
    /// The last record that may hold something of it.
    pub(crate) last_ticket: Option<Ticket>,
    pub(crate) is_loaded: bool,
    pub(crate) is_listed: bool,
    /// Listed among those whose own copies wait.
    pub(crate) has_waiting_copy: bool,
    pub(crate) is_row_dirty: bool,
    /// The row in the tables counts entries.
    pub(crate) had_usage: bool,
    pub(crate) is_touched: bool,
    pub(crate) state: RecipientState,
}

impl User {
    pub(crate) fn new(id: UserId) -> Self {
        Self {
            id,
            row: UserRow::default(),
            cold_through: Offset::NONE,
            fresh_bytes: 0,
            counted_bytes: 0,
            items: Ring::default(),
            first_device: None,
            rare: None,
            work: None,
            sends: Bucket::default(),
            cold_entries: 0,
            fresh_entries: 0,
            pins: 0,
            tickets: 0,
            last_ticket: None,
            is_loaded: false,
            is_listed: false,
            has_waiting_copy: false,
            is_row_dirty: false,
            had_usage: false,
            is_touched: true,
            state: RecipientState::Unclaimed,
        }
    }

    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Gives memory back that an idle user does not need.
    pub(crate) fn tidy(&mut self, now: Mono) {
        self.items.release();
        let is_needed = self.rare.as_ref().is_some_and(|rare| {
            !rare.waiters.is_empty()
                || !rare.devices.is_empty()
                || rare.purge.is_some()
                || !rare.replaced.is_empty()
                || rare.version > 0
                || !rare.conversations.is_full(now)
        });
        if !is_needed {
            self.rare = None;
        }
    }

    pub(crate) fn devices(&self) -> impl Iterator<Item = &Device> {
        self.first_device.iter().chain(self.rare.iter().flat_map(|rare| rare.devices.iter()))
    }

    pub(crate) fn device_count(&self) -> usize {
        self.devices().count()
    }

    /// The device at a place; places change only when a device is removed.
    pub(crate) fn device(&self, place: u8) -> &Device {
        let found = match place {
            0 => self.first_device.as_ref(),
            place => self.rare.as_ref().and_then(|rare| rare.devices.get(usize::from(place) - 1)),
        };
        let Some(device) = found else { unreachable!("user {} has no device at place {place}", self.id) };
        device
    }

    pub(crate) fn device_mut(&mut self, place: u8) -> &mut Device {
        let found = match place {
            0 => self.first_device.as_mut(),
            place => self.rare.as_mut().and_then(|rare| rare.devices.get_mut(usize::from(place) - 1)),
        };
        let Some(device) = found else { unreachable!("no device at place {place}") };
        device
    }

    pub(crate) fn place_of(&self, id: &DeviceId) -> Option<u8> {
        self.devices().position(|device| device.id == *id).and_then(|place| u8::try_from(place).ok())
    }

    /// Adds a device and gives its place.
    pub(crate) fn add_device(&mut self, device: Device) -> u8 {
        assert!(self.place_of(&device.id).is_none(), "device {} of {} is linked twice", device.id, self.id);
        if self.first_device.is_none() {
            self.first_device = Some(device);
            return 0;
        }
        let rare = self.rare();
        rare.devices.push(device);
        u8::try_from(rare.devices.len()).unwrap_or(u8::MAX)
    }

    /// Takes a device out; the devices behind it move one place forward.
    pub(crate) fn remove_device(&mut self, place: u8) -> Option<Device> {
        let rest = self.rare.as_mut().map(|rare| &mut rare.devices);
        if place > 0 {
            let index = usize::from(place) - 1;
            return rest.filter(|rest| index < rest.len()).map(|rest| rest.remove(index));
        }
        let next = rest.filter(|rest| !rest.is_empty()).map(|rest| rest.remove(0));
        std::mem::replace(&mut self.first_device, next)
    }

    /// The entry at an offset, if memory holds it.
    pub(crate) fn item(&self, offset: Offset) -> Option<&Item> {
        let at = self.items.partition_point(|item| item.offset < offset);
        self.items.at(at).filter(|item| item.offset == offset)
    }

    /// True if some device holds entries: then entries may be elided and deleted.
    pub(crate) fn has_active_device(&self) -> bool {
        self.devices().any(|device| !device.detached)
    }

    // Rule: devices (eliding or deleting an entry needs at least one device)
    /// Everything at or below was acked by every device; `None`: there is no device.
    pub(crate) fn acked_by_all(&self) -> Option<Offset> {
        let cursors = self.devices().filter(|device| !device.detached);
        if mutant::is_on(Mutant::DeletedWhenSent) {
            return cursors.map(|device| device.sent_through).min();
        }
        if mutant::is_on(Mutant::OneDeviceIsEnough) {
            return cursors.map(|device| device.cursor).max();
        }
        cursors.map(|device| device.cursor).min()
    }

    /// Where a device starts when no other holds entries: behind everything that some device had. What lies below
    /// may have holes, left by removals that a stop cut short.
    pub(crate) fn unclaimed_start(&self) -> Offset {
        self.devices().map(|device| device.cursor).max().unwrap_or(Offset::NONE)
    }

    /// Rows at or below may be removed.
    pub(crate) fn purge_floor(&self) -> Offset {
        self.acked_by_all().unwrap_or_else(|| self.unclaimed_start())
    }

    // Rule: offset
    /// The next place of the inbox.
    pub(crate) fn next_offset(&mut self, generation: Generation) -> Offset {
        let last = self.row.last_offset;
        assert!(last.generation() <= u64::from(generation.0), "offset {last} is of a later generation");
        let n = if last.generation() == u64::from(generation.0) { last.n() + 1 } else { 1 };
        let next = Offset::new(generation, n);
        assert!(next > last, "offset {next} of {} does not rise above {last}", self.id);
        self.row.last_offset = next;
        self.is_row_dirty = true;
        next
    }

    pub(crate) fn entries(&self) -> u64 {
        u64::from(self.row.stored_entries) + u64::from(self.fresh_entries)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.row.stored_bytes + self.fresh_bytes
    }

    /// The row, with what is in no record yet.
    pub(crate) fn usage(&self) -> UserRow {
        let stored_entries = self.row.stored_entries.saturating_add(self.fresh_entries);
        UserRow { stored_entries, stored_bytes: self.bytes(), ..self.row }
    }

    /// Forgets `entries` rows of `bytes` payload bytes.
    pub(crate) fn forget_rows(&mut self, entries: u32, bytes: u64) {
        assert!(
            self.row.stored_entries >= entries,
            "{} rows counted, {entries} removed",
            self.row.stored_entries
        );
        self.row.stored_entries -= entries;
        self.row.stored_bytes = self.row.stored_bytes.saturating_sub(bytes);
        self.is_row_dirty = true;
    }
}

impl Keyed for User {
    fn key_hash(&self, state: &FixedState) -> u64 {
        state.hash_one(self.id.as_str())
    }
}

// The budget of an idle logged-in user with one device: 350 bytes with its session, indices and alarm.
const _: () = assert!(size_of::<User>() <= 224);
