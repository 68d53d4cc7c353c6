//! The merger: gathers the row changes of durable records and writes them in one batch. What lives shorter than
//! the interval between two fills never reaches the tables.
//!
//! Keys stand in one arena, values are pieces of the records themselves, rows lie in a slab that is reused: a row change
//! costs one hash, one probe and, if its key is new, one copy of the key.
//!
//! Invariants
//! - Tables after a fill are what applying the same records one by one would have made.
//! - A put and a delete meet and vanish only if the tables cannot hold the key: those of a table whose keys are put
//!   once, put since the last fill. Every other delete is written.
//! - A batch carries the mark of the last record in it.

use crate::codec::{DecodeError, length_u32, narrow, wide};
use crate::key::{Key, KeyRange};
use crate::number::Mark;
use crate::record::{DurableRecord, each_op};
use crate::row::{self, FloorRow, RowSink, Value, sequence_from_value};
use crate::tables::{Change, Changes, Table, TableError, Tables};
use crate::view::Number;
use hashbrown::HashTable;
use iris_protocol::limits::SLOTS;
use iris_protocol::{Slot, Wall};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Where a row's value stands.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// In the arena.
    Arena,
    /// In the body of this record of `records`.
    Record(u32),
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    length: u32,
}

/// What is known of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not in use.
    Vacant,
    /// Put, and the tables cannot hold the key.
    Fresh,
    /// Put, and the tables may hold the key.
    Put,
    /// Deleted, and the tables may hold the key.
    Deleted,
    /// A watermark that is at least this.
    Raised,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    hash: u64,
    key: Span,
    value: Span,
    source: Source,
    table: Table,
    state: State,
}

/// What a merger holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeCounters {
    /// Records absorbed.
    pub records: u64,
    /// Row changes absorbed.
    pub changes: u64,
    /// Rows that were put and deleted without reaching the tables.
    pub vanished: u64,
    /// Rows written to the tables.
    pub written: u64,
    /// Batches written.
    pub fills: u64,
}

/// Merges records into batches.
pub struct Merger {
    seed: u64,
    arena: Vec<u8>,
    rows: Vec<Row>,
    vacant: Vec<u32>,
    index: HashTable<u32>,
    records: Vec<DurableRecord>,
    record_bytes: usize,
    /// Users whose inbox or devices changed, by the hash of their key.
    touched: HashTable<u64>,
    /// By slot: the floors, and whether they changed since the last fill.
    floors: Vec<(FloorRow, bool)>,
    floors_changed: Vec<Slot>,
    ranges: Vec<KeyRange>,
    /// The lowest day of a dedup row that waits.
    lowest_day: u32,
    applied: Mark,
    counters: MergeCounters,
}

impl std::fmt::Debug for Merger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merger")
            .field("applied", &self.applied)
            .field("rows", &self.rows())
            .finish_non_exhaustive()
    }
}

impl Merger {
    /// A merger on top of these tables. `seed` keeps clients from choosing keys that collide.
    ///
    /// # Errors
    /// [`TableError`]: the floors cannot be read.
    pub fn new(seed: u64, tables: &dyn Tables) -> Result<Self, TableError> {
        let mut floors = vec![(FloorRow::default(), false); usize::from(SLOTS)];
        let all = KeyRange::all();
        tables.scan(Table::Floor, &all.from, &all.end, &mut |key, value| {
            let malformed = |source| TableError::malformed(Table::Floor, key, source);
            let Key::Floor { slot } = crate::key::parse(Table::Floor, key).map_err(malformed)? else {
                return Ok(crate::tables::Next::Continue);
            };
            if let Some(floor) = floors.get_mut(usize::from(slot.number())) {
                floor.0 = FloorRow::from_value(value).map_err(malformed)?;
            }
            Ok(crate::tables::Next::Continue)
        })?;
        Ok(Self {
            seed,
            arena: Vec::new(),
            rows: Vec::new(),
            vacant: Vec::new(),
            index: HashTable::new(),
            records: Vec::new(),
            record_bytes: 0,
            touched: HashTable::new(),
            floors,
            floors_changed: Vec::new(),
            ranges: Vec::new(),
            lowest_day: u32::MAX,
            applied: tables.applied(),
            counters: MergeCounters::default(),
        })
    }

    /// Takes a record's changes.
    ///
    /// # Errors
    /// [`DecodeError`]: the record is of another version; end the process.
    pub fn absorb(&mut self, record: DurableRecord) -> Result<(), DecodeError> {
        let expected = self.applied.number.next();
        assert_eq!(record.number(), expected, "records are merged in order");
        let mut absorb = Absorb { record: length_u32(self.records.len()), body: record.body(), merger: self };
        each_op(&record, |op| {
            row::apply(&op, &mut absorb);
            Ok(())
        })?;
        self.applied = record.head().mark();
        self.record_bytes = self.record_bytes.saturating_add(record.buffer_bytes());
        self.counters.records = self.counters.records.saturating_add(1);
        self.records.push(record);
        Ok(())
    }

    /// How far the tables will be after the next fill.
    pub fn mark(&self) -> Mark {
        self.applied
    }

    /// Rows that wait.
    pub fn rows(&self) -> usize {
        self.index.len()
    }

    /// Bytes that are held until the next fill.
    pub fn bytes(&self) -> usize {
        self.arena.len().saturating_add(self.record_bytes)
    }

    /// Memory of everything here, in bytes: what waits, and room that is kept for what comes next.
    pub fn memory_bytes(&self) -> usize {
        let kept = [
            self.arena.capacity(),
            self.rows.capacity().saturating_mul(size_of::<Row>()),
            self.vacant.capacity().saturating_mul(size_of::<u32>()),
            self.floors.capacity().saturating_mul(size_of::<(FloorRow, bool)>()),
            self.index.allocation_size(),
            self.touched.allocation_size(),
            self.record_bytes,
        ];
        kept.into_iter().fold(0, usize::saturating_add)
    }

    /// What was merged since the start.
    pub fn counters(&self) -> MergeCounters {
        self.counters
    }

    /// True if nothing waits for the tables.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Writes one batch.
    ///
    /// # Errors
    /// [`TableError`]: end the process.
    pub fn fill(&mut self, tables: &mut dyn Tables) -> Result<(), TableError> {
        if self.is_empty() {
            return Ok(());
        }
        self.settle_raised(tables)?;
        tables.apply(&Merged(self), self.applied)?;
        self.counters.fills = self.counters.fills.saturating_add(1);
        self.counters.written = self.counters.written.saturating_add(wide(self.index.len()));
        self.arena.clear();
        self.rows.clear();
        self.vacant.clear();
        self.index.clear();
        self.touched.clear();
        for slot in self.floors_changed.drain(..) {
            if let Some((_, changed)) = self.floors.get_mut(usize::from(slot.number())) {
                *changed = false;
            }
        }
        self.ranges.clear();
        self.lowest_day = u32::MAX;
        self.record_bytes = 0;
        self.records.clear();
        Ok(())
    }

    /// A raised watermark needs what is stored.
    fn settle_raised(&mut self, tables: &dyn Tables) -> Result<(), TableError> {
        let mut stored = Vec::new();
        for at in 0..self.rows.len() {
            let Some(row) = self.rows.get(at).copied().filter(|row| row.state == State::Raised) else {
                continue;
            };
            let key = self.key(&row);
            let mut state = State::Put;
            if tables.get(row.table, key, &mut stored)? {
                let malformed = |source| TableError::malformed(row.table, key, source);
                let before = sequence_from_value(&stored).map_err(malformed)?;
                let to = sequence_from_value(self.value(&row)).map_err(malformed)?;
                if before >= to {
                    state = State::Vacant;
                }
            }
            if let Some(row) = self.rows.get_mut(at) {
                row.state = state;
            }
        }
        Ok(())
    }

    fn key(&self, row: &Row) -> &[u8] {
        piece(&self.arena, row.key)
    }

    fn value(&self, row: &Row) -> &[u8] {
        match row.source {
            Source::Arena => piece(&self.arena, row.value),
            Source::Record(record) => {
                let record = self.records.get(narrow(u64::from(record)));
                piece(record.map(DurableRecord::body).unwrap_or_default(), row.value)
            }
        }
    }

    /// True if rows wait that an answer about this key needs.
    pub(crate) fn holds(&mut self, key: Key<'_>) -> bool {
        let (span, hash) = self.write_key(key);
        let found = self.find(key.table(), span, hash).is_some();
        self.arena.truncate(narrow(u64::from(span.start)));
        found
    }

    /// True if days of dedup rows wait to be dropped.
    pub(crate) fn drops_days(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// True if rows of the user's inbox or devices wait.
    pub(crate) fn touches(&self, slot: Slot, user: &[u8]) -> bool {
        let hash = self.user_hash(slot, user);
        self.touched.find(hash, |touched| *touched == hash).is_some()
    }

    fn user_hash(&self, slot: Slot, user: &[u8]) -> u64 {
        xxh3_64_with_seed(user, self.seed ^ u64::from(slot.number()))
    }

    fn touch(&mut self, slot: Slot, user: &[u8]) {
        let hash = self.user_hash(slot, user);
        self.touched.entry(hash, |touched| *touched == hash, |touched| *touched).or_insert(hash);
    }

    /// Writes the key at the arena's end; the caller cuts it off again if the key is known.
    fn write_key(&mut self, key: Key<'_>) -> (Span, u64) {
        let start = self.arena.len();
        key.write(&mut self.arena);
        let length = self.arena.len().saturating_sub(start);
        let bytes = self.arena.get(start..).unwrap_or_default();
        let hash = xxh3_64_with_seed(bytes, self.seed.wrapping_add(wide(key.table().index())));
        (Span { start: length_u32(start), length: length_u32(length) }, hash)
    }

    fn find(&self, table: Table, span: Span, hash: u64) -> Option<u32> {
        let key = piece(&self.arena, span);
        let same = |at: &u32| {
            self.rows.get(narrow(u64::from(*at))).is_some_and(|row| {
                row.hash == hash && row.table == table && piece(&self.arena, row.key) == key
            })
        };
        self.index.find(hash, same).copied()
    }

    fn insert(&mut self, row: Row) {
        let at = if let Some(at) = self.vacant.pop() {
            if let Some(place) = self.rows.get_mut(narrow(u64::from(at))) {
                *place = row;
            }
            at
        } else {
            self.rows.push(row);
            length_u32(self.rows.len().saturating_sub(1))
        };
        let rows = &self.rows;
        let hash_of = |at: &u32| rows.get(narrow(u64::from(*at))).map_or(0, |row| row.hash);
        self.index.insert_unique(row.hash, at, hash_of);
    }

    fn remove(&mut self, at: u32, hash: u64) {
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == at) {
            entry.remove();
        }
        if let Some(row) = self.rows.get_mut(narrow(u64::from(at))) {
            row.state = State::Vacant;
        }
        self.vacant.push(at);
    }

    /// Finds the key's row, or says where a new one's key stands.
    fn locate(&mut self, key: Key<'_>) -> (Option<u32>, Span, u64) {
        let (span, hash) = self.write_key(key);
        let found = self.find(key.table(), span, hash);
        if found.is_some() {
            self.arena.truncate(narrow(u64::from(span.start)));
        }
        (found, span, hash)
    }

    fn drop_days(&mut self, slot: Slot, first_day: u32) {
        let range = KeyRange::days_below(slot, first_day);
        if self.lowest_day < first_day {
            for at in 0..self.rows.len() {
                let Some(row) = self.rows.get(at).copied() else { continue };
                let waits = row.table == Table::Dedup && row.state != State::Vacant;
                if waits && range.contains(self.key(&row)) {
                    self.remove(length_u32(at), row.hash);
                }
            }
        }
        self.ranges.push(range);
    }
}

fn piece(bytes: &[u8], span: Span) -> &[u8] {
    let start = narrow(u64::from(span.start));
    let length = narrow(u64::from(span.length));
    bytes.get(start..start.saturating_add(length)).unwrap_or_default()
}

/// What a fill writes: ranges first, since rows put after them may lie inside.
struct Merged<'m>(&'m Merger);

impl Changes for Merged<'_> {
    fn visit(&self, sink: &mut dyn FnMut(Change<'_>)) {
        for range in &self.0.ranges {
            sink(Change::DeleteRange { table: Table::Dedup, from: &range.from, end: &range.end });
        }
        for row in &self.0.rows {
            let (table, key) = (row.table, self.0.key(row));
            match row.state {
                State::Fresh | State::Put => sink(Change::Put { table, key, value: self.0.value(row) }),
                State::Deleted => sink(Change::Delete { table, key }),
                State::Vacant => {}
                State::Raised => unreachable!("raised watermarks are settled before a fill"),
            }
        }
        for slot in &self.0.floors_changed {
            if let Some((floor, _)) = self.0.floors.get(usize::from(slot.number())) {
                let key = slot.number().to_be_bytes();
                sink(Change::Put { table: Table::Floor, key: &key, value: &floor.to_value() });
            }
        }
    }
}

/// Takes one record's changes.
struct Absorb<'m> {
    merger: &'m mut Merger,
    record: u32,
    body: &'m [u8],
}

impl Absorb<'_> {
    /// The sequence that a waiting watermark row holds.
    fn waiting_sequence(&self, row: &Row) -> Option<u64> {
        let value = match row.source {
            Source::Record(record) if record == self.record => piece(self.body, row.value),
            Source::Record(_) | Source::Arena => self.merger.value(row),
        };
        sequence_from_value(value).ok().map(|sequence| sequence.0)
    }

    fn place_value(&mut self, value: Value<'_>) -> (Source, Span) {
        match value {
            Value::Piece(piece) => {
                let span = Span { start: length_u32(piece.at), length: length_u32(piece.bytes.len()) };
                (Source::Record(self.record), span)
            }
            Value::Dedup(bytes) => {
                let start = length_u32(self.merger.arena.len());
                self.merger.arena.extend_from_slice(&bytes);
                (Source::Arena, Span { start, length: length_u32(bytes.len()) })
            }
        }
    }

    fn count(&mut self) {
        self.merger.counters.changes = self.merger.counters.changes.saturating_add(1);
    }
}

impl<'a> RowSink<'a> for Absorb<'_> {
    fn put(&mut self, key: Key<'_>, value: Value<'a>) {
        self.count();
        match key {
            Key::Inbox { slot, user, .. } | Key::Cursor { slot, user, .. } => self.merger.touch(slot, user),
            Key::Dedup { day, .. } => self.merger.lowest_day = self.merger.lowest_day.min(day),
            Key::Sequence { .. }
            | Key::Outbox { .. }
            | Key::OutboxPending { .. }
            | Key::Watermark { .. }
            | Key::User { .. }
            | Key::Floor { .. } => {}
        }
        let table = key.table();
        let (found, span, hash) = self.merger.locate(key);
        let (source, value) = self.place_value(value);
        let Some(at) = found else {
            let state = if table.puts_once() { State::Fresh } else { State::Put };
            self.merger.insert(Row { hash, key: span, value, source, table, state });
            return;
        };
        if let Some(row) = self.merger.rows.get_mut(narrow(u64::from(at))) {
            row.value = value;
            row.source = source;
            row.state = match row.state {
                State::Fresh => State::Fresh,
                State::Put | State::Deleted | State::Raised | State::Vacant => State::Put,
            };
        }
    }

    fn delete(&mut self, key: Key<'_>) {
        self.count();
        if let Key::Inbox { slot, user, .. } | Key::Cursor { slot, user, .. } = key {
            self.merger.touch(slot, user);
        }
        let table = key.table();
        let (found, span, hash) = self.merger.locate(key);
        let Some(at) = found else {
            let (source, value) = (Source::Arena, Span { start: 0, length: 0 });
            self.merger.insert(Row { hash, key: span, value, source, table, state: State::Deleted });
            return;
        };
        match self.merger.rows.get(narrow(u64::from(at))).map(|row| row.state) {
            Some(State::Fresh) => {
                self.merger.remove(at, hash);
                self.merger.counters.vanished = self.merger.counters.vanished.saturating_add(1);
            }
            Some(State::Put | State::Deleted | State::Raised | State::Vacant) | None => {
                if let Some(row) = self.merger.rows.get_mut(narrow(u64::from(at))) {
                    row.state = State::Deleted;
                }
            }
        }
    }

    fn raise(&mut self, key: Key<'_>, to: Number<'a>) {
        self.count();
        let table = key.table();
        let (found, span, hash) = self.merger.locate(key);
        let (source, value) = self.place_value(Value::Piece(to.piece));
        let Some(at) = found else {
            self.merger.insert(Row { hash, key: span, value, source, table, state: State::Raised });
            return;
        };
        let Some(row) = self.merger.rows.get(narrow(u64::from(at))).copied() else { return };
        let before = match row.state {
            State::Deleted | State::Vacant => None,
            State::Fresh | State::Put | State::Raised => self.waiting_sequence(&row),
        };
        let state = if row.state == State::Deleted { State::Put } else { row.state };
        if before.is_none_or(|before| before < to.value)
            && let Some(row) = self.merger.rows.get_mut(narrow(u64::from(at)))
        {
            *row = Row { value, source, state, ..*row };
        }
    }

    fn floor(&mut self, slot: Slot, first_day: Option<u32>, highest: Wall) {
        self.count();
        if let Some(first_day) = first_day {
            self.merger.drop_days(slot, first_day);
        }
        let Some((floor, changed)) = self.merger.floors.get_mut(usize::from(slot.number())) else { return };
        let raised = floor.max(FloorRow { first_day: first_day.unwrap_or(0), highest });
        if raised != *floor {
            *floor = raised;
            if !*changed {
                *changed = true;
                self.merger.floors_changed.push(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests;
