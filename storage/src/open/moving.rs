//! Moves slots between the databases of cores when the number of shards changed.
//!
//! A slot's rows are copied to the target together with a mark that says so, flushed, and only then deleted at the
//! source. META says that a move is under way, so that a stop in between continues it.
//!
//! Invariants
//! - At any instant every row is durable at the source or at the target.
//! - A slot whose mark is durable is not copied again; one without is copied from the start.
//! - Floors are merged by maximum; everything else moves as it is.
//! - A core that owns no slots is removed only if it holds no rows.

use super::{Databases, Judged, Observer, OpenError, OpenRequest, OpenStep, recover_one};
use crate::key::KeyRange;
use crate::meta::{Meta, MetaFile, Moving};
use crate::row::FloorRow;
use crate::tables::{ChangeList, Next, Table, TableError, Tables};
use iris_protocol::limits::SLOTS;
use iris_protocol::{Generation, Slot};

/// Bytes of rows copied in one batch.
const BATCH_BYTES: usize = 8 << 20;
/// Slots copied with one flush: a flush costs some ten milliseconds, whatever the rows.
const SLOTS_AT_A_TIME: usize = 64;

/// What a move did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoveReport {
    /// Shards before.
    pub from: u16,
    /// Shards now.
    pub to: u16,
    /// Slots whose owner changed.
    pub slots: u16,
    /// Rows copied by this process.
    pub rows: u64,
}

/// The shard that owns a slot: slots are dealt out in turn.
pub fn owner(slot: Slot, shards: u16) -> u16 {
    slot.number().checked_rem(shards).unwrap_or(0)
}

/// Moves slots until the directory has the number of shards asked for.
pub(super) fn move_slots<D: Databases>(
    databases: &mut D,
    file: &mut MetaFile,
    request: &OpenRequest,
    found: &Judged,
    observe: &mut Observer<'_>,
) -> Result<Option<MoveReport>, OpenError> {
    let mut report: Option<MoveReport> = None;
    loop {
        let from = file.meta().shards;
        let to = file.meta().moving.map_or(request.shards, |moving| moving.shards);
        if from == to {
            return Ok(report);
        }
        let mut step = Step { databases, file, request, found, observe };
        let moved = step.run(from, to)?;
        let before = report.unwrap_or(MoveReport { from, ..MoveReport::default() });
        report = Some(MoveReport {
            from: before.from,
            to,
            slots: before.slots.saturating_add(moved.slots),
            rows: before.rows.saturating_add(moved.rows),
        });
    }
}

struct Step<'s, 'o, D: Databases> {
    databases: &'s mut D,
    file: &'s mut MetaFile,
    request: &'s OpenRequest,
    found: &'s Judged,
    observe: &'s mut Observer<'o>,
}

impl<D: Databases> Step<'_, '_, D> {
    fn run(&mut self, from: u16, to: u16) -> Result<MoveReport, OpenError> {
        let cores = from.max(to);
        let mut tables = Vec::with_capacity(usize::from(cores));
        for core in 0..cores {
            tables.push(recovered(self.databases, self.file.meta(), self.request, (self.found, core))?);
            (self.observe)(OpenStep::Recovered { core })?;
        }
        let moves = moves(from, to);
        let slots = u16::try_from(moves.len()).unwrap_or(SLOTS);
        let id = self.begin(to, cores, slots)?;
        let mut rows = 0_u64;
        let mut done = 0_u16;
        for group in moves.chunks(SLOTS_AT_A_TIME) {
            rows = rows.saturating_add(copy_group(&mut tables, group, (from, to), id)?);
            for slot in group.iter().copied() {
                done = done.saturating_add(1);
                (self.observe)(OpenStep::SlotCopied { slot, done, slots })?;
            }
            for slot in group.iter().copied() {
                let core = owner(slot, from);
                let source = tables.get_mut(usize::from(core));
                let dropped = source.map_or(Ok(()), |source| drop_slot(source, slot));
                dropped.map_err(|source| OpenError::Tables { core, source })?;
                (self.observe)(OpenStep::SlotDropped { slot })?;
            }
        }
        for (core, tables) in (0_u16..).zip(&mut tables) {
            tables.flush().map_err(|source| OpenError::Tables { core, source })?;
        }
        (self.observe)(OpenStep::SourcesFlushed)?;
        drop(tables);
        self.file.change(|meta| {
            meta.shards = to;
            meta.moving = None;
            meta.vouched.truncate(usize::from(to));
        })?;
        (self.observe)(OpenStep::MoveDone)?;
        Ok(MoveReport { from, to, slots, rows })
    }

    /// Makes the move durable in META, unless an earlier process did.
    fn begin(&mut self, to: u16, cores: u16, slots: u16) -> Result<Generation, OpenError> {
        if self.file.meta().moving.is_none() {
            let id = Generation(self.file.meta().generation.0.saturating_add(1));
            self.file.change(|meta| {
                meta.moving = Some(Moving { shards: to, id });
                let length = meta.vouched.len().max(usize::from(cores));
                meta.vouched.resize(length, crate::number::Vouch::default());
            })?;
        }
        (self.observe)(OpenStep::MoveBegun { slots })?;
        let generation = self.file.meta().generation;
        Ok(self.file.meta().moving.map_or(generation, |moving| moving.id))
    }
}

/// A core's tables with its log replayed and flushed: the log holds nothing that the tables lack.
fn recovered<D: Databases>(
    databases: &mut D,
    meta: &Meta,
    request: &OpenRequest,
    (found, core): (&Judged, u16),
) -> Result<D::Tables, OpenError> {
    let plan = found.core_plan(meta, request, (core, meta.generation));
    let (recovered, _) = recover_one(databases, &plan)?;
    Ok(recovered.engine.into_tables())
}

/// A core that owns no slots, as META knows it, must hold no rows: else META is older than the move that filled it.
pub(super) fn check_leftover<D: Databases>(
    databases: &mut D,
    meta: &Meta,
    request: &OpenRequest,
    (found, core): (&Judged, u16),
) -> Result<(), OpenError> {
    let tables = recovered(databases, meta, request, (found, core))?;
    for table in moving_tables() {
        let holds = has_rows(&tables, table, &KeyRange::all());
        if holds.map_err(|source| OpenError::Tables { core, source })? {
            return Err(OpenError::UnknownCore { core, shards: meta.shards });
        }
    }
    Ok(())
}

/// Slots whose owner changes, ascending.
fn moves(from: u16, to: u16) -> Vec<Slot> {
    (0..SLOTS).filter_map(Slot::new).filter(|slot| owner(*slot, from) != owner(*slot, to)).collect()
}

fn with_pair<T>(
    tables: &mut [T],
    source: u16,
    target: u16,
    act: impl FnOnce(&mut T, &mut T) -> Result<u64, TableError>,
) -> Result<u64, TableError> {
    assert!(source != target, "core {source} moves a slot to itself");
    match tables.get_disjoint_mut([usize::from(source), usize::from(target)]) {
        Ok([one, other]) => act(one, other),
        Err(_) => Err(TableError::Engine { table: "move", cause: format!("no core {source} or {target}") }),
    }
}

/// Copies some slots, durably.
fn copy_group<T: Tables>(
    tables: &mut [T],
    group: &[Slot],
    (from, to): (u16, u16),
    id: Generation,
) -> Result<u64, OpenError> {
    let mut rows = 0_u64;
    for slot in group.iter().copied() {
        let (source, target) = (owner(slot, from), owner(slot, to));
        let copied = with_pair(tables, source, target, |one, other| copy_slot(one, other, slot, id));
        rows = rows.saturating_add(copied.map_err(|source| OpenError::Tables { core: target, source })?);
    }
    for (core, tables) in (0_u16..).zip(tables) {
        if group.iter().any(|slot| owner(*slot, to) == core) {
            tables.flush().map_err(|source| OpenError::Tables { core, source })?;
        }
    }
    Ok(rows)
}

fn moved_key(slot: Slot) -> Vec<u8> {
    format!("moved:{}", slot.number()).into_bytes()
}

/// Copies a slot's rows; returns how many, 0 if they are there already.
fn copy_slot<T: Tables>(source: &T, target: &mut T, slot: Slot, id: Generation) -> Result<u64, TableError> {
    let (key, value) = (moved_key(slot), id.0.to_be_bytes());
    let mut found = Vec::new();
    if target.get(Table::Facts, &key, &mut found)? && found == value {
        return Ok(0);
    }
    let range = KeyRange::slot(slot);
    let mut batch = ChangeList::default();
    // What an attempt that was stopped left behind.
    for table in moving_tables().filter(|table| *table != Table::Floor) {
        if has_rows(target, table, &range)? {
            batch.delete_range(table, &range.from, &range.end);
        }
    }
    let mut rows = 0_u64;
    for table in moving_tables() {
        rows = rows.saturating_add(copy_rows(source, target, (table, &range), &mut batch)?);
    }
    batch.put(Table::Facts, &key, &value);
    target.apply(&batch, target.applied())?;
    Ok(rows)
}

fn has_rows(tables: &impl Tables, table: Table, range: &KeyRange) -> Result<bool, TableError> {
    let mut found = false;
    tables.scan(table, &range.from, &range.end, &mut |_, _| {
        found = true;
        Ok(Next::Stop)
    })?;
    Ok(found)
}

fn moving_tables() -> impl Iterator<Item = Table> {
    Table::ALL.into_iter().filter(|table| *table != Table::Facts)
}

fn copy_rows<T: Tables>(
    source: &T,
    target: &mut T,
    (table, range): (Table, &KeyRange),
    batch: &mut ChangeList,
) -> Result<u64, TableError> {
    let mut rows = 0_u64;
    let mut stored = Vec::new();
    source.scan(table, &range.from, &range.end, &mut |key, value| {
        rows = rows.saturating_add(1);
        if table == Table::Floor && target.get(table, key, &mut stored)? {
            let malformed = |source| TableError::malformed(table, key, source);
            let here = FloorRow::from_value(&stored).map_err(malformed)?;
            let there = FloorRow::from_value(value).map_err(malformed)?;
            batch.put(table, key, &here.max(there).to_value());
        } else {
            batch.put(table, key, value);
        }
        if batch.bytes() >= BATCH_BYTES {
            target.apply(batch, target.applied())?;
            batch.clear();
        }
        Ok(Next::Continue)
    })?;
    Ok(rows)
}

fn drop_slot<T: Tables>(source: &mut T, slot: Slot) -> Result<(), TableError> {
    let range = KeyRange::slot(slot);
    let mut batch = ChangeList::default();
    for table in moving_tables() {
        if has_rows(source, table, &range)? {
            batch.delete_range(table, &range.from, &range.end);
        }
    }
    // The slot may come back in a later move.
    batch.delete(Table::Facts, &moved_key(slot));
    source.apply(&batch, source.applied())
}
