//! The storage engine of one core: the merger on top of its tables. What a core's storage thread runs.
//!
//! Invariants
//! - A read sees every record that was absorbed before it.
//! - Records are absorbed in order, each once.

use crate::codec::DecodeError;
use crate::load::{LoadError, LoadRequest, Loaded, load};
use crate::merge::{MergeCounters, Merger};
use crate::number::{Mark, RecordNumber};
use crate::record::DurableRecord;
use crate::tables::{TableError, Tables};
use std::fmt;

/// A batch is written at the latest when this much is held: three seconds at 20 MB/s of records.
pub const MERGE_BYTES_MAX: usize = 64 << 20;

/// Why the engine cannot go on. The process ends; the next start recovers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The tables cannot be written.
    #[error("cannot write the tables: {0}")]
    Tables(#[from] TableError),
    /// A record passes its checksum but does not decode.
    #[error("record {number} does not decode: {source}; it was written by another version of the server")]
    Record {
        /// The record.
        number: RecordNumber,
        /// Why.
        source: DecodeError,
    },
}

impl EngineError {
    /// True if the disk has no room.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Tables(error) => error.is_disk_full(),
            Self::Record { .. } => false,
        }
    }
}

/// Merger and tables. Calls block: they are made on the storage thread.
pub struct StorageEngine<T> {
    merger: Merger,
    tables: T,
}

/// Without tables: they hold payloads.
impl<T> fmt::Debug for StorageEngine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageEngine").field("merger", &self.merger).finish_non_exhaustive()
    }
}

impl<T: Tables> StorageEngine<T> {
    /// An engine on these tables. `seed` keeps clients from choosing keys that collide.
    ///
    /// # Errors
    /// [`EngineError`]: the tables cannot be read.
    pub fn new(seed: u64, tables: T) -> Result<Self, EngineError> {
        Ok(Self { merger: Merger::new(seed, &tables)?, tables })
    }

    /// Takes a durable record; writes a batch if much is held.
    ///
    /// # Errors
    /// [`EngineError`]: end the process.
    pub fn absorb(&mut self, record: DurableRecord) -> Result<(), EngineError> {
        let number = record.number();
        self.merger.absorb(record).map_err(|source| EngineError::Record { number, source })?;
        if self.merger.bytes() >= MERGE_BYTES_MAX { self.fill() } else { Ok(()) }
    }

    /// Answers a question. Writes what is merged first, if the answer depends on it.
    ///
    /// # Errors
    /// Outer: end the process. Inner: this read failed; the device that needed it is told, others are not affected.
    pub fn load(&mut self, request: &LoadRequest) -> Result<Result<Loaded, LoadError>, EngineError> {
        if request.depends_on(&mut self.merger) {
            self.fill()?;
        }
        Ok(load(&self.tables, request))
    }

    /// Writes what is merged in one batch.
    ///
    /// # Errors
    /// [`EngineError`]: end the process.
    pub fn fill(&mut self) -> Result<(), EngineError> {
        Ok(self.merger.fill(&mut self.tables)?)
    }

    /// Fills, makes everything durable and waits for it.
    ///
    /// # Errors
    /// [`EngineError`]: end the process.
    pub fn flush(&mut self) -> Result<RecordNumber, EngineError> {
        self.fill()?;
        self.tables.flush()?;
        self.flushed_number()
    }

    /// Fills, and begins to make everything durable in the background.
    ///
    /// # Errors
    /// [`EngineError`]: end the process.
    pub fn start_flush(&mut self) -> Result<(), EngineError> {
        self.fill()?;
        Ok(self.tables.start_flush()?)
    }

    /// The record up to which the tables are durable: tell [`crate::log::RecordLog::flushed`].
    ///
    /// # Errors
    /// [`EngineError`]: end the process.
    pub fn flushed_number(&mut self) -> Result<RecordNumber, EngineError> {
        Ok(self.tables.flushed_number()?)
    }

    /// Polls the tables' background work; a few times a second.
    ///
    /// # Errors
    /// [`EngineError`]: end the process.
    pub fn check_background_errors(&self) -> Result<(), EngineError> {
        Ok(self.tables.check_background_errors()?)
    }

    /// How far the tables will be after the next fill.
    pub fn mark(&self) -> Mark {
        self.merger.mark()
    }

    /// True if the tables hold every record that was absorbed.
    pub fn is_filled(&self) -> bool {
        self.merger.is_empty()
    }

    /// Rows that wait for the next fill.
    pub fn merged_rows(&self) -> usize {
        self.merger.rows()
    }

    /// Bytes that are held until the next fill.
    pub fn merged_bytes(&self) -> usize {
        self.merger.bytes()
    }

    /// Memory of the tables' engine and of the merger, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        let merged = u64::try_from(self.merger.memory_bytes()).unwrap_or(u64::MAX);
        self.tables.memory_bytes().saturating_add(merged)
    }

    /// What was merged since the start.
    pub fn counters(&self) -> MergeCounters {
        self.merger.counters()
    }

    /// The tables; what is merged is not in them.
    pub fn tables(&self) -> &T {
        &self.tables
    }

    /// The tables alone; nothing may wait to be merged.
    pub(crate) fn into_tables(self) -> T {
        assert!(self.merger.is_empty(), "{} rows would be dropped", self.merger.rows());
        self.tables
    }

    /// The tables, to inject faults or to close them.
    pub fn tables_mut(&mut self) -> &mut T {
        &mut self.tables
    }
}

#[cfg(test)]
mod tests;
