//! What is remembered of accepted message ids: the newest in memory, the rest in the tables, and when the tables
//! need not be asked.
//!
//! Invariants
//! - Every id accepted since boot whose time is above its slot's horizon is in memory, and so is every one that the tables do not
//!   hold yet.
//! - Every id accepted since boot that left memory is in the filter, or its slot's `asks_through` is above it.
//! - An id that is below the floor and not found is never accepted.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use iris_protocol::limits::SLOTS;
use iris_protocol::{ConversationId, MessageId, PayloadHash, Sequence, Slot, Wall};
use iris_storage::load::BootState;
use iris_storage::op::DedupRow;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher};

use crate::io::Ticket;
use crate::memory::to_u64;
use crate::mutant::{self, Mutant};

/// An idempotency key: the sender of a direct conversation is one of two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) conversation: &'a ConversationId,
    pub(crate) sender: u8,
    pub(crate) message_id: MessageId,
}

#[derive(Debug)]
struct Remembered {
    conversation: ConversationId,
    message_id: MessageId,
    sequence: Sequence,
    server_time: Wall,
    hash: PayloadHash,
    ticket: Ticket,
    sender: u8,
}

/// What a slot knows beside the ids in memory.
#[derive(Clone, Copy, Debug, Default)]
struct SlotState {
    /// Unknown ids at or below need the tables: something that old was there before boot.
    asks_through: Wall,
    /// Unknown ids at or below need the filter: something that new left memory.
    horizon: Wall,
    floor_day: u32,
}

/// What memory says about an id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Accepted, in this record.
    Known(DedupRow, Ticket),
    /// Never accepted.
    New,
    /// Only the tables know.
    Ask,
}

/// Bits of the filter: 2 MiB hold 1.7 M ids at 1 % false answers, and a false answer costs one read.
const FILTER_BITS: u64 = 1 << 24;
const FILTER_IDS_MAX: u32 = 1_700_000;
const FILTER_PROBES: u64 = 6;
/// Ids that leave memory when one comes: more than one, so that a delay is made up.
const TRIM_IDS_MAX: u64 = 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct Dedup {
    state: FixedState,
    /// In order of acceptance; the first has position `first`.
    entries: VecDeque<Remembered>,
    entries_max: usize,
    first: u64,
    index: HashTable<u64>,
    slots: Vec<SlotState>,
    /// Made when the first id leaves memory.
    filter: Vec<u64>,
    filter_ids: u32,
    /// Rows by day of the id, estimated; those from before boot count for the boot's day.
    rows: BTreeMap<u32, u64>,
    rows_total: u64,
}

impl Dedup {
    /// Keeps `entries_max` ids in memory.
    pub(crate) fn new(entries_max: usize, seed: u64, clock: Wall, boot: &BootState) -> Self {
        let mut slots = vec![SlotState::default(); usize::from(SLOTS)];
        for (slot, floor_day, highest) in &boot.floors {
            let highest = match highest {
                _ if mutant::is_on(Mutant::HorizonAtZero) => &Wall(0),
                _ if mutant::is_on(Mutant::HorizonAtClock) => &clock,
                stored => stored,
            };
            // Rule: dedup (the horizon starts at the highest id time ever stored, never at the clock)
            slots[usize::from(slot.number())] =
                SlotState { asks_through: *highest, horizon: *highest, floor_day: *floor_day };
        }
        Self {
            state: FixedState::with_seed(seed),
            entries: VecDeque::new(),
            entries_max,
            first: 0,
            index: HashTable::new(),
            slots,
            filter: Vec::new(),
            filter_ids: 0,
            rows: BTreeMap::from([(clock.day(), boot.dedup_rows)]),
            rows_total: boot.dedup_rows,
        }
    }

    fn hash(&self, key: &Key<'_>) -> u64 {
        let mut hasher = self.state.build_hasher();
        key.message_id.as_bytes().hash(&mut hasher);
        key.sender.hash(&mut hasher);
        key.conversation.as_str().hash(&mut hasher);
        hasher.finish()
    }

    /// Memory, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let rows = self.entries.len() * size_of::<Remembered>();
        let fixed = size_of_val(&*self.slots) + size_of_val(&*self.filter);
        to_u64(rows + fixed + self.index.allocation_size())
    }

    fn entry(&self, position: u64) -> &Remembered {
        &self.entries[usize::try_from(position - self.first).unwrap_or(usize::MAX)]
    }

    /// Looks an id up, before its age is judged.
    pub(crate) fn look_up(&self, key: &Key<'_>, slot: Slot) -> Lookup {
        let hash = self.hash(key);
        let is_key = |position: &u64| {
            let entry = self.entry(*position);
            entry.message_id == key.message_id
                && entry.sender == key.sender
                && entry.conversation == *key.conversation
        };
        if let Some(position) = self.index.find(hash, is_key) {
            let entry = self.entry(*position);
            let row = DedupRow { sequence: entry.sequence, server_time: entry.server_time, hash: entry.hash };
            return Lookup::Known(row, entry.ticket);
        }
        let minted_at = key.message_id.minted_at();
        let state = &self.slots[usize::from(slot.number())];
        if minted_at <= state.asks_through || (minted_at <= state.horizon && self.may_hold(hash)) {
            Lookup::Ask
        } else {
            Lookup::New
        }
    }

    /// Remembers an accepted id.
    pub(crate) fn remember(&mut self, key: &Key<'_>, row: DedupRow, ticket: Ticket) {
        let hash = self.hash(key);
        let position = self.first + to_u64(self.entries.len());
        self.entries.push_back(Remembered {
            conversation: key.conversation.clone(),
            message_id: key.message_id,
            sequence: row.sequence,
            server_time: row.server_time,
            hash: row.hash,
            ticket,
            sender: key.sender,
        });
        let (entries, first, state) = (&self.entries, self.first, &self.state);
        self.index.insert_unique(hash, position, |position| {
            let entry = &entries[usize::try_from(position - first).unwrap_or(usize::MAX)];
            let mut hasher = state.build_hasher();
            entry.message_id.as_bytes().hash(&mut hasher);
            entry.sender.hash(&mut hasher);
            entry.conversation.as_str().hash(&mut hasher);
            hasher.finish()
        });
        *self.rows.entry(key.message_id.minted_at().day()).or_default() += 1;
        self.rows_total += 1;
    }

    // Rule: nothing leaves memory before the tables hold it
    /// Lets the oldest ids leave memory while there are too many: a few, since each call follows one that is new. Gives how many.
    pub(crate) fn trim(&mut self, is_filled: impl Fn(Ticket) -> bool) -> u64 {
        let mut forgotten = 0;
        while forgotten < TRIM_IDS_MAX && self.entries.len() > self.entries_max {
            if !self.entries.front().is_some_and(|oldest| is_filled(oldest.ticket)) {
                break;
            }
            self.forget_oldest();
            forgotten += 1;
        }
        forgotten
    }

    /// The oldest id leaves memory: its slot's horizon rises to it, and the filter takes it.
    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.front() else { return };
        let key =
            Key { conversation: &oldest.conversation, sender: oldest.sender, message_id: oldest.message_id };
        let (hash, slot) = (self.hash(&key), oldest.conversation.slot());
        let minted_at = oldest.message_id.minted_at();
        let position = self.first;
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == position) {
            entry.remove();
        }
        self.entries.pop_front();
        self.first += 1;
        if mutant::is_on(Mutant::ForgottenIdIsNew) {
            return;
        }
        let state = &mut self.slots[usize::from(slot.number())];
        state.horizon = state.horizon.max(minted_at);
        self.filter_add(hash);
    }

    fn filter_add(&mut self, hash: u64) {
        if self.filter.is_empty() {
            self.filter = vec![0; usize::try_from(FILTER_BITS / 64).unwrap_or(0)];
        }
        if self.filter_ids >= FILTER_IDS_MAX {
            for state in &mut self.slots {
                state.asks_through = state.asks_through.max(state.horizon);
            }
            self.filter.fill(0);
            self.filter_ids = 0;
        }
        self.filter_ids += 1;
        for probe in 0..FILTER_PROBES {
            let (word, bit) = filter_place(hash, probe);
            self.filter[word] |= bit;
        }
    }

    fn may_hold(&self, hash: u64) -> bool {
        !self.filter.is_empty()
            && (0..FILTER_PROBES).all(|probe| {
                let (word, bit) = filter_place(hash, probe);
                self.filter[word] & bit != 0
            })
    }

    /// First day of ids that may still be accepted in a slot.
    pub(crate) fn floor_day(&self, slot: Slot) -> u32 {
        self.slots[usize::from(slot.number())].floor_day
    }

    /// Raises a slot's floor; it never falls. False: it stands there already.
    pub(crate) fn raise_floor(&mut self, slot: Slot, day: u32) -> bool {
        let state = &mut self.slots[usize::from(slot.number())];
        let rises = day > state.floor_day;
        if rises {
            state.floor_day = day;
        }
        rises
    }

    /// Rows of days below were dropped in every slot.
    pub(crate) fn forget_days_below(&mut self, day: u32) {
        while let Some(entry) = self.rows.first_entry() {
            if *entry.key() >= day {
                return;
            }
            self.rows_total = self.rows_total.saturating_sub(entry.remove());
        }
    }

    /// Rows in the table, estimated, never too low.
    pub(crate) fn rows(&self) -> u64 {
        self.rows_total
    }
}

fn filter_place(hash: u64, probe: u64) -> (usize, u64) {
    let step = (hash >> 32) | 1;
    let bit = hash.wrapping_add(probe.wrapping_mul(step)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let bit = bit % FILTER_BITS;
    (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
}

#[cfg(test)]
mod tests;
