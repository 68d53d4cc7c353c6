//! Tables: the materialised view of the log, in memory or in RocksDB.
//!
//! Invariants
//! - A batch is applied wholly or not at all, and its mark with it: tables always stand at a record.
//! - After a stop, tables stand at a record that was applied, never between two.
//! - A stored value carries a checksum of key and value, verified at every read.

use crate::codec::DecodeError;
use crate::number::{Mark, RecordNumber};

mod memory;
#[cfg(feature = "rocks")]
mod rocks;
mod shared;
mod value;

pub use memory::{MemoryFaults, MemoryTables};
#[cfg(feature = "rocks")]
pub use rocks::{RocksConfig, RocksShared, RocksTables};
pub use shared::SharedTables;
#[cfg(feature = "rocks")]
pub(crate) use value::mark_from_value;
pub(crate) use value::{mark_value, open_value, seal_value};

/// A table of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Last sequence of each conversation.
    Sequence,
    /// Accepted envelopes.
    Outbox,
    /// Recipient slots that have not confirmed.
    OutboxPending,
    /// Message ids.
    Dedup,
    /// Entries of inboxes.
    Inbox,
    /// Highest sequence taken into an inbox.
    Watermarks,
    /// Facts of users.
    Users,
    /// Facts of devices.
    Cursors,
    /// Dedup floors and highest id times.
    Floor,
    /// The tables' own: mark, owner, moves. Its keys are texts, and it does not move with slots.
    Facts,
}

impl Table {
    /// Every table, by index.
    pub const ALL: [Self; 10] = [
        Self::Sequence,
        Self::Outbox,
        Self::OutboxPending,
        Self::Dedup,
        Self::Inbox,
        Self::Watermarks,
        Self::Users,
        Self::Cursors,
        Self::Floor,
        Self::Facts,
    ];
    /// Names that later capabilities will use.
    pub const RESERVED: [&'static str; 4] = ["members", "receipts", "prekeys", "accounts"];

    /// Its name, as RocksDB's column family. Facts live in the default family.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequence => "sequence",
            Self::Outbox => "outbox",
            Self::OutboxPending => "outbox_pending",
            Self::Dedup => "dedup",
            Self::Inbox => "inbox",
            Self::Watermarks => "watermarks",
            Self::Users => "users",
            Self::Cursors => "cursors",
            Self::Floor => "floor",
            Self::Facts => "default",
        }
    }

    /// Its place in [`Table::ALL`].
    pub fn index(self) -> usize {
        match self {
            Self::Sequence => 0,
            Self::Outbox => 1,
            Self::OutboxPending => 2,
            Self::Dedup => 3,
            Self::Inbox => 4,
            Self::Watermarks => 5,
            Self::Users => 6,
            Self::Cursors => 7,
            Self::Floor => 8,
            Self::Facts => 9,
        }
    }

    /// True if a key of this table is put once in its life: what was put and deleted since the last fill was never in
    /// the tables.
    pub(crate) fn puts_once(self) -> bool {
        match self {
            Self::Outbox | Self::OutboxPending | Self::Dedup | Self::Inbox => true,
            Self::Sequence | Self::Watermarks | Self::Users | Self::Cursors | Self::Floor | Self::Facts => {
                false
            }
        }
    }
}

/// How the system, and with it RocksDB, calls ENOSPC.
const NO_SPACE: &str = "No space left on device";

/// Why tables could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A stored value does not pass its checksum.
    #[error("damaged row in table {table} at key {key}")]
    Damaged {
        /// The table.
        table: &'static str,
        /// The key in hex.
        key: String,
    },
    /// A stored value passes its checksum but does not decode: written by another version, or a bug.
    #[error("row in table {table} at key {key} does not decode: {source}")]
    Malformed {
        /// The table.
        table: &'static str,
        /// The key in hex.
        key: String,
        /// Why.
        source: DecodeError,
    },
    /// The engine failed.
    #[error("table {table}: {cause}")]
    Engine {
        /// The table, or what else failed.
        table: &'static str,
        /// The engine's words.
        cause: String,
    },
    /// Memory does not tell, and the reader does not wait for the disk: see [`Tables::resident_rows`].
    #[error("only the disk can tell a row of table {table}")]
    OnDisk {
        /// The table.
        table: &'static str,
    },
    /// The engine reported an error of its background work: the process must end.
    #[error("the tables reported a background error: {cause}")]
    Background {
        /// The engine's words.
        cause: String,
    },
}

impl TableError {
    /// True if the disk has no room.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Engine { cause, .. } | Self::Background { cause } => cause.contains(NO_SPACE),
            Self::Damaged { .. } | Self::Malformed { .. } | Self::OnDisk { .. } => false,
        }
    }

    pub(crate) fn damaged(table: Table, key: &[u8]) -> Self {
        Self::Damaged { table: table.name(), key: hex(key) }
    }

    pub(crate) fn malformed(table: Table, key: &[u8], source: DecodeError) -> Self {
        Self::Malformed { table: table.name(), key: hex(key), source }
    }
}

/// Bytes as hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One change of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// The row is there with this value.
    Put {
        /// The table.
        table: Table,
        /// The key.
        key: &'a [u8],
        /// The value, without its checksum.
        value: &'a [u8],
    },
    /// The row is gone.
    Delete {
        /// The table.
        table: Table,
        /// The key.
        key: &'a [u8],
    },
    /// All rows of a range are gone.
    DeleteRange {
        /// The table.
        table: Table,
        /// First key.
        from: &'a [u8],
        /// Exclusive end.
        end: &'a [u8],
    },
}

/// Changes that go into one batch, in order.
pub trait Changes {
    /// Calls `sink` with each change.
    fn visit(&self, sink: &mut dyn FnMut(Change<'_>));
}

/// Whether a scan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// With the next row.
    Continue,
    /// No more rows.
    Stop,
}

/// Takes the rows of a scan: key and value.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<Next, TableError> + 'v;

/// Rows that can be read.
pub trait Rows {
    /// A row's value into `out` (cleared first); false if there is no such row.
    ///
    /// # Errors
    /// [`TableError`]: this read failed; others may succeed.
    fn get(&self, table: Table, key: &[u8], out: &mut Vec<u8>) -> Result<bool, TableError>;

    /// Rows with keys in `from..end`, ascending, until `visit` stops.
    ///
    /// # Errors
    /// [`TableError`]: this read failed, or `visit` did.
    fn scan(&self, table: Table, from: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), TableError>;
}

/// What a shard's rows are kept in. Calls block: they are made on the storage thread.
pub trait Tables: Rows {
    /// Memory of the engine itself, in bytes, as far as it tells; 0 for tables that are memory.
    fn memory_bytes(&self) -> u64 {
        0
    }

    /// The rows as of the last batch that was applied, for another thread, as far as memory tells: a read that would have to wait
    /// for the disk fails with [`TableError::OnDisk`]. `None`: these tables have no such hand.
    fn resident_rows(&self) -> Option<Box<dyn Rows + Send>> {
        None
    }

    /// Applies changes and the mark in one batch, wholly or not at all. Not durable until flushed.
    ///
    /// # Errors
    /// [`TableError`]: end the process.
    fn apply(&mut self, changes: &dyn Changes, mark: Mark) -> Result<(), TableError>;

    /// How far the tables are.
    fn applied(&self) -> Mark;

    /// Makes everything applied durable, and waits for it.
    ///
    /// # Errors
    /// [`TableError`]: end the process.
    fn flush(&mut self) -> Result<(), TableError>;

    /// Begins to make everything applied durable in the background; a second call while one runs does nothing.
    /// `flushed_number` rises when it is done.
    ///
    /// # Errors
    /// [`TableError`]: end the process.
    fn start_flush(&mut self) -> Result<(), TableError>;

    /// The record up to which everything is durable. Polls a flush that was started.
    ///
    /// # Errors
    /// [`TableError`]: end the process.
    fn flushed_number(&mut self) -> Result<RecordNumber, TableError>;

    /// Errors of background work since the start.
    ///
    /// # Errors
    /// [`TableError::Background`]: end the process.
    fn check_background_errors(&self) -> Result<(), TableError>;

    /// Rows of a table, estimated.
    ///
    /// # Errors
    /// [`TableError`]: the engine does not answer.
    fn approximate_rows(&self, table: Table) -> Result<u64, TableError>;
}

/// Changes with memory of their own, for moves and tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeList {
    changes: Vec<OwnedChange>,
    bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnedChange {
    Put(Table, Vec<u8>, Vec<u8>),
    Delete(Table, Vec<u8>),
    DeleteRange(Table, Vec<u8>, Vec<u8>),
}

impl ChangeList {
    /// Adds a row.
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.bytes = self.bytes.saturating_add(key.len()).saturating_add(value.len());
        self.changes.push(OwnedChange::Put(table, key.to_vec(), value.to_vec()));
    }

    /// Removes a row.
    pub fn delete(&mut self, table: Table, key: &[u8]) {
        self.bytes = self.bytes.saturating_add(key.len());
        self.changes.push(OwnedChange::Delete(table, key.to_vec()));
    }

    /// Removes all rows with keys in `from..end`.
    pub fn delete_range(&mut self, table: Table, from: &[u8], end: &[u8]) {
        self.bytes = self.bytes.saturating_add(from.len()).saturating_add(end.len());
        self.changes.push(OwnedChange::DeleteRange(table, from.to_vec(), end.to_vec()));
    }

    /// Bytes of keys and values in it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.bytes = 0;
    }
}

impl Changes for ChangeList {
    fn visit(&self, sink: &mut dyn FnMut(Change<'_>)) {
        for change in &self.changes {
            match change {
                OwnedChange::Put(table, key, value) => sink(Change::Put { table: *table, key, value }),
                OwnedChange::Delete(table, key) => sink(Change::Delete { table: *table, key }),
                OwnedChange::DeleteRange(table, from, end) => {
                    sink(Change::DeleteRange { table: *table, from, end });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
