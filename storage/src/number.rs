//! Numbers of the record log: which record, which receipt, which segment.
//!
//! Invariants
//! - Record numbers and tickets are dense, from 1. 0 means "none yet".
//! - A segment's id names its file and never changes; its sequence is its place in the log and grows with each reuse.

use iris_protocol::Generation;
use std::fmt;

/// A record's place in its log, dense from 1. 0: before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordNumber(pub u64);

impl RecordNumber {
    /// Before the first record.
    pub const NONE: Self = Self(0);

    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The receipt of one append, dense from 1 for the life of a log value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// XXH3-64 of a record or of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Checksum(pub u64);

/// The seed of a log's checksums: bytes that a client made cannot look like a record, and a file of another
/// core's log is not readable as one of this log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogKey(pub u64);

impl LogKey {
    /// The key of one core's log, from the data directory's.
    #[must_use]
    pub fn of_core(self, core: u16) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64_with_seed(&core.to_be_bytes(), self.0))
    }
}

/// A segment's file. Never reused for another file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u32);

impl SegmentId {
    /// The file's name in the log's folder.
    pub fn file_name(self) -> String {
        format!("segment-{:08}.log", self.0)
    }

    /// The id that a file name stands for; `None` if it is no segment's name.
    pub fn from_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_prefix("segment-")?.strip_suffix(".log")?;
        let id = Self(digits.parse().ok()?);
        (id.file_name() == name).then_some(id)
    }
}

/// A segment's place in the log, from 1: the order in which segments were begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentSequence(pub u64);

impl SegmentSequence {
    /// The sequence after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// How far a log or its tables are: the last record, its checksum and the generation that wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The record.
    pub number: RecordNumber,
    /// Its checksum: the next record names it.
    pub checksum: Checksum,
    /// The generation that wrote it.
    pub generation: Generation,
}

/// What the data directory vouches for: a log that ends before it has lost records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vouch {
    /// A record that was durable.
    pub number: RecordNumber,
    /// The segment that was begun.
    pub segment: SegmentSequence,
}

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_number!(RecordNumber, Ticket, SegmentId, SegmentSequence);

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
