//! Tables in memory, for the simulator and for tests, with the faults that a disk has.
//!
//! Invariants
//! - A power cut takes them back to the last flush, at a record's boundary, as RocksDB without its own log does.

use super::value::MARK_KEY;
use super::{
    Change, Changes, Next, Rows, Table, TableError, Tables, Visit, mark_value, open_value, seal_value,
};
use crate::codec::wide;
use crate::number::{Mark, RecordNumber};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Bound;

type Sorted = BTreeMap<Vec<u8>, Vec<u8>>;

/// Faults that happen when they are asked for.
#[derive(Clone, Debug, Default)]
pub struct MemoryFaults {
    /// Reads that fail from now on.
    pub reads_to_fail: Cell<u32>,
    /// Batches that fail from now on.
    pub applies_to_fail: u32,
    /// Flushes that fail from now on.
    pub flushes_to_fail: u32,
    /// What a background job complained about.
    pub background_error: Option<String>,
    /// A started flush is not done until this is false.
    pub flush_hangs: bool,
}

/// Tables in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryTables {
    rows: [Sorted; Table::ALL.len()],
    applied: Mark,
    flushed: Mark,
    flushing: Option<(Mark, usize)>,
    /// How to take back what was applied since the last flush, oldest first.
    undo: Vec<Undo>,
    /// Faults to happen.
    pub faults: MemoryFaults,
}

#[derive(Clone, Debug)]
struct Undo {
    table: Table,
    key: Vec<u8>,
    before: Option<Vec<u8>>,
}

impl MemoryTables {
    /// Empty tables.
    pub fn new() -> Self {
        Self::default()
    }

    fn rows(&self, table: Table) -> Option<&Sorted> {
        self.rows.get(table.index())
    }

    fn set(&mut self, table: Table, key: &[u8], stored: Option<Vec<u8>>) {
        let Some(rows) = self.rows.get_mut(table.index()) else { return };
        let before = match stored {
            Some(stored) => rows.insert(key.to_vec(), stored),
            None => rows.remove(key),
        };
        self.undo.push(Undo { table, key: key.to_vec(), before });
    }

    /// The power is cut: what was not flushed is gone.
    pub fn power_cut(&mut self) {
        while let Some(Undo { table, key, before }) = self.undo.pop() {
            if let Some(rows) = self.rows.get_mut(table.index()) {
                match before {
                    Some(stored) => rows.insert(key, stored),
                    None => rows.remove(&key),
                };
            }
        }
        self.applied = self.flushed;
        self.flushing = None;
        self.faults = MemoryFaults::default();
    }

    /// Flips one bit of a stored value; false if there is no such row or bit.
    pub fn flip_bit(&mut self, table: Table, key: &[u8], bit: usize) -> bool {
        let stored = self.rows.get_mut(table.index()).and_then(|rows| rows.get_mut(key));
        let byte = stored.and_then(|stored| stored.get_mut(bit / 8));
        byte.map(|byte| *byte ^= 1 << (bit % 8)).is_some()
    }

    /// The keys of a table, ascending.
    pub fn keys(&self, table: Table) -> Vec<Vec<u8>> {
        self.rows(table).map(|rows| rows.keys().cloned().collect()).unwrap_or_default()
    }

    fn fail_read(&self, table: Table) -> Result<(), TableError> {
        match self.faults.reads_to_fail.get() {
            0 => Ok(()),
            left => {
                self.faults.reads_to_fail.set(left.saturating_sub(1));
                Err(TableError::Engine { table: table.name(), cause: "injected: input/output error".into() })
            }
        }
    }

    fn finish_flush(&mut self) {
        if let Some((mark, undo)) = self.flushing.take() {
            self.flushed = mark;
            self.undo.drain(..undo);
        }
    }
}

fn injected(what: &'static str, left: &mut u32) -> Result<(), TableError> {
    if *left == 0 {
        return Ok(());
    }
    *left = left.saturating_sub(1);
    Err(TableError::Engine { table: what, cause: "injected: input/output error".into() })
}

impl Rows for MemoryTables {
    fn get(&self, table: Table, key: &[u8], out: &mut Vec<u8>) -> Result<bool, TableError> {
        self.fail_read(table)?;
        out.clear();
        let Some(stored) = self.rows(table).and_then(|rows| rows.get(key)) else {
            return Ok(false);
        };
        out.extend_from_slice(open_value(table, key, stored)?);
        Ok(true)
    }

    fn scan(&self, table: Table, from: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), TableError> {
        self.fail_read(table)?;
        let Some(rows) = self.rows(table).filter(|_| from < end) else {
            return Ok(());
        };
        for (key, stored) in rows.range::<[u8], _>((Bound::Included(from), Bound::Excluded(end))) {
            if visit(key, open_value(table, key, stored)?)? == Next::Stop {
                break;
            }
        }
        Ok(())
    }
}

impl Tables for MemoryTables {
    fn apply(&mut self, changes: &dyn Changes, mark: Mark) -> Result<(), TableError> {
        injected("batch", &mut self.faults.applies_to_fail)?;
        assert!(mark.number >= self.applied.number, "mark {mark:?} behind {:?}", self.applied);
        let mut stored = Vec::new();
        changes.visit(&mut |change| match change {
            Change::Put { table, key, value } => {
                seal_value(key, value, &mut stored);
                self.set(table, key, Some(stored.clone()));
            }
            Change::Delete { table, key } => self.set(table, key, None),
            Change::DeleteRange { table, from, end } => {
                let keys: Vec<_> = self
                    .rows(table)
                    .filter(|_| from < end)
                    .map(|rows| rows.range::<[u8], _>((Bound::Included(from), Bound::Excluded(end))))
                    .map(|range| range.map(|(key, _)| key.clone()).collect())
                    .unwrap_or_default();
                for key in keys {
                    self.set(table, &key, None);
                }
            }
        });
        seal_value(MARK_KEY, &mark_value(mark), &mut stored);
        self.set(Table::Facts, MARK_KEY, Some(stored));
        self.applied = mark;
        Ok(())
    }

    fn applied(&self) -> Mark {
        self.applied
    }

    fn flush(&mut self) -> Result<(), TableError> {
        injected("flush", &mut self.faults.flushes_to_fail)?;
        self.flushing = Some((self.applied, self.undo.len()));
        self.finish_flush();
        Ok(())
    }

    fn start_flush(&mut self) -> Result<(), TableError> {
        injected("flush", &mut self.faults.flushes_to_fail)?;
        if self.flushing.is_none() {
            self.flushing = Some((self.applied, self.undo.len()));
        }
        Ok(())
    }

    fn flushed_number(&mut self) -> Result<RecordNumber, TableError> {
        if !self.faults.flush_hangs {
            self.finish_flush();
        }
        Ok(self.flushed.number)
    }

    fn check_background_errors(&self) -> Result<(), TableError> {
        match &self.faults.background_error {
            None => Ok(()),
            Some(cause) => Err(TableError::Background { cause: cause.clone() }),
        }
    }

    fn approximate_rows(&self, table: Table) -> Result<u64, TableError> {
        Ok(self.rows(table).map_or(0, |rows| wide(rows.len())))
    }
}
