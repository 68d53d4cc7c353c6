//! Tables in RocksDB: one database a core, a column family a table, no write-ahead log of its own.
//!
//! Invariants
//! - Batches are written without a log and flushed atomically over all families, so that after a stop the tables stand
//!   at one record in all of them.
//! - The mark is in the same batch as the rows.
//! - An error of background work is found by polling and ends the process.

use super::value::MARK_KEY;
use super::{Change, Changes, Next, Rows, Table, TableError, Tables, Visit};
use super::{mark_from_value, mark_value, open_value, seal_value};
use crate::number::{Mark, RecordNumber};
use rocksdb::{
    ColumnFamily, DB, ErrorKind, FlushOptions, ReadOptions, ReadTier, WriteBatch, WriteOptions, properties,
};
use std::path::Path;
use std::sync::Arc;

mod complaint;
mod options;

use options::CacheShare;
pub use options::{RocksConfig, RocksShared};

/// Tables in a RocksDB database.
pub struct RocksTables {
    rows: RocksRows,
    applied: Mark,
    flushed: Mark,
    flushing: Option<Mark>,
    unlogged: WriteOptions,
    stored: Vec<u8>,
    cache: CacheShare,
}

impl std::fmt::Debug for RocksTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (applied, flushed) = (self.applied, self.flushed);
        f.debug_struct("RocksTables")
            .field("applied", &applied)
            .field("flushed", &flushed)
            .finish_non_exhaustive()
    }
}

fn engine(table: &'static str) -> impl Fn(rocksdb::Error) -> TableError {
    move |error| TableError::Engine { table, cause: error.into_string() }
}

fn read(table: Table) -> impl Fn(rocksdb::Error) -> TableError {
    move |error| {
        if error.kind() == ErrorKind::Incomplete {
            TableError::OnDisk { table: table.name() }
        } else {
            engine(table.name())(error)
        }
    }
}

/// Reads a database: all of it, or what is in memtables, and in blocks and filters that are cached.
struct RocksRows {
    db: Arc<DB>,
    tier: fn() -> ReadOptions,
    points: ReadOptions,
}

impl RocksRows {
    fn new(db: Arc<DB>, tier: fn() -> ReadOptions) -> Self {
        Self { db, tier, points: tier() }
    }

    fn resident(&self) -> Self {
        Self::new(Arc::clone(&self.db), || {
            let mut options = ReadOptions::default();
            options.set_read_tier(ReadTier::BlockCache);
            options
        })
    }

    fn family(&self, table: Table) -> Result<&ColumnFamily, TableError> {
        let missing = || TableError::Engine { table: table.name(), cause: "no such column family".into() };
        self.db.cf_handle(table.name()).ok_or_else(missing)
    }
}

impl Rows for RocksRows {
    fn get(&self, table: Table, key: &[u8], out: &mut Vec<u8>) -> Result<bool, TableError> {
        out.clear();
        let found = self.db.get_pinned_cf_opt(self.family(table)?, key, &self.points).map_err(read(table))?;
        let Some(stored) = found else {
            return Ok(false);
        };
        out.extend_from_slice(open_value(table, key, &stored)?);
        Ok(true)
    }

    fn scan(&self, table: Table, from: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), TableError> {
        if from >= end {
            return Ok(());
        }
        let mut options = (self.tier)();
        options.set_iterate_upper_bound(end);
        let mut rows = self.db.raw_iterator_cf_opt(self.family(table)?, options);
        rows.seek(from);
        while let (Some(key), Some(stored)) = (rows.key(), rows.value()) {
            if visit(key, open_value(table, key, stored)?)? == Next::Stop {
                return Ok(());
            }
            rows.next();
        }
        rows.status().map_err(read(table))
    }
}

impl RocksTables {
    /// Opens or makes the database in this folder.
    ///
    /// # Errors
    /// [`TableError`]: it is damaged, of a newer version, or in use.
    pub fn open(folder: &Path, shared: &RocksShared) -> Result<Self, TableError> {
        let db = DB::open_cf_descriptors(&shared.database_options(), folder, shared.families());
        let rows = RocksRows::new(Arc::new(db.map_err(engine("open"))?), ReadOptions::default);
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        let (applied, flushed) = (Mark::default(), Mark::default());
        let cache = shared.cache_share();
        let mut tables = Self { rows, applied, flushed, flushing: None, unlogged, stored: Vec::new(), cache };
        let mut value = Vec::new();
        if tables.get(Table::Facts, MARK_KEY, &mut value)? {
            let malformed = |source| TableError::malformed(Table::Facts, MARK_KEY, source);
            tables.applied = mark_from_value(&value).map_err(malformed)?;
            tables.flushed = tables.applied;
        }
        Ok(tables)
    }

    fn families(&self) -> Result<Vec<&ColumnFamily>, TableError> {
        Table::ALL.into_iter().map(|table| self.rows.family(table)).collect()
    }

    fn property(&self, table: Table, name: &properties::PropName) -> Result<u64, TableError> {
        let value = self
            .rows
            .db
            .property_int_value_cf(self.rows.family(table)?, name)
            .map_err(engine(table.name()))?;
        Ok(value.unwrap_or(0))
    }

    fn flush_families(&self, wait: bool) -> Result<(), TableError> {
        let mut options = FlushOptions::default();
        options.set_wait(wait);
        self.rows.db.flush_cfs_opt(&self.families()?, &options).map_err(engine("flush"))
    }

    /// True if no memtable waits to be flushed: each was made immutable when the flush was started.
    fn is_flushed(&self) -> Result<bool, TableError> {
        for table in Table::ALL {
            if self.property(table, properties::NUM_IMMUTABLE_MEM_TABLE)? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Rows for RocksTables {
    fn get(&self, table: Table, key: &[u8], out: &mut Vec<u8>) -> Result<bool, TableError> {
        self.rows.get(table, key, out)
    }

    fn scan(&self, table: Table, from: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), TableError> {
        self.rows.scan(table, from, end, visit)
    }
}

impl Tables for RocksTables {
    fn memory_bytes(&self) -> u64 {
        // What cannot be read is left out: this is for people to look at.
        let read = |table, name| self.property(table, name).unwrap_or(0);
        let parts = Table::ALL.into_iter().flat_map(|table| {
            [properties::SIZE_ALL_MEM_TABLES, properties::ESTIMATE_TABLE_READERS_MEM]
                .map(|name| read(table, name))
        });
        parts.fold(self.cache.bytes(), u64::saturating_add)
    }

    fn resident_rows(&self) -> Option<Box<dyn Rows + Send>> {
        Some(Box::new(self.rows.resident()))
    }

    fn apply(&mut self, changes: &dyn Changes, mark: Mark) -> Result<(), TableError> {
        assert!(mark.number >= self.applied.number, "mark {mark:?} behind {:?}", self.applied);
        let mut stored = std::mem::take(&mut self.stored);
        let mut batch = WriteBatch::default();
        let families = self.families()?;
        changes.visit(&mut |change| match change {
            Change::Put { table, key, value } => {
                seal_value(key, value, &mut stored);
                if let Some(family) = families.get(table.index()) {
                    batch.put_cf(family, key, &stored);
                }
            }
            Change::Delete { table, key } => {
                if let Some(family) = families.get(table.index()) {
                    batch.delete_cf(family, key);
                }
            }
            Change::DeleteRange { table, from, end } => {
                if let Some(family) = families.get(table.index()).filter(|_| from < end) {
                    batch.delete_range_cf(family, from, end);
                }
            }
        });
        seal_value(MARK_KEY, &mark_value(mark), &mut stored);
        batch.put_cf(self.rows.family(Table::Facts)?, MARK_KEY, &stored);
        self.rows.db.write_opt(batch, &self.unlogged).map_err(engine("batch"))?;
        self.stored = stored;
        self.applied = mark;
        Ok(())
    }

    fn applied(&self) -> Mark {
        self.applied
    }

    fn flush(&mut self) -> Result<(), TableError> {
        self.flush_families(true)?;
        self.check_background_errors()?;
        self.flushed = self.applied;
        self.flushing = None;
        Ok(())
    }

    fn start_flush(&mut self) -> Result<(), TableError> {
        if self.flushing.is_none() {
            self.flush_families(false)?;
            self.flushing = Some(self.applied);
        }
        Ok(())
    }

    fn flushed_number(&mut self) -> Result<RecordNumber, TableError> {
        if let Some(mark) = self.flushing
            && self.is_flushed()?
        {
            self.check_background_errors()?;
            self.flushed = mark;
            self.flushing = None;
        }
        Ok(self.flushed.number)
    }

    fn check_background_errors(&self) -> Result<(), TableError> {
        let errors = self.property(Table::Facts, properties::BACKGROUND_ERRORS)?;
        let stopped = self.property(Table::Facts, properties::IS_WRITE_STOPPED)?;
        if errors == 0 {
            return Ok(());
        }
        let stops = if stopped > 0 { ", and writes are stopped" } else { "" };
        let reason = complaint::last(self.rows.db.path());
        let reason = reason.as_deref().unwrap_or("see the file LOG in the tables' folder");
        let cause = format!("{errors} errors of flushes or compactions{stops}: {reason}");
        Err(TableError::Background { cause })
    }

    fn approximate_rows(&self, table: Table) -> Result<u64, TableError> {
        self.property(table, properties::ESTIMATE_NUM_KEYS)
    }
}

#[cfg(test)]
impl RocksTables {
    /// Stores bytes as they are, without a checksum.
    pub(super) fn put_raw(&self, table: Table, key: &[u8], stored: &[u8]) {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.rows.family(table).unwrap(), key, stored);
        self.rows.db.write_opt(batch, &self.unlogged).unwrap();
    }
}
