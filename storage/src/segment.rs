//! Segments: the preallocated files that a record log consists of.
//!
//! A segment is written once with zeros, then again and again with records: a merely allocated extent would cost a
//! journal commit at each sync. Its first block is the head; records follow without holes.
//!
//! Invariants
//! - A head goes out in the same write as the segment's first record.
//! - A record never spans segments.
//! - What a reused segment still holds of its former life has lower record numbers than its head names.

use crate::codec::Reader;
use crate::number::{Checksum, LogKey, RecordNumber, SegmentId, SegmentSequence};
use iris_protocol::Generation;
use std::io;

mod directory;
mod memory;

pub use directory::DirectoryLog;
pub(crate) use directory::sync_folder;
pub use memory::{MemoryLog, SharedLog};

/// Bytes of a segment's head: one block of direct I/O.
pub const SEGMENT_HEAD_BYTES: usize = 4096;
/// Bytes of a segment, unless configured otherwise: zeroing one ahead of need takes about 0.1 s, and at 10 MB/s of
/// records a segment lasts six seconds.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Starts each segment.
const SEGMENT_MAGIC: [u8; 8] = *b"IrisSeg1";
/// Where the head's checksum stands: over everything before it.
const CHECKSUM_AT: usize = SEGMENT_HEAD_BYTES - 8;

/// To what records are padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// 4,096 bytes, for direct I/O.
    Block,
    /// 8 bytes, for buffered writes.
    Eight,
}

impl Padding {
    /// The alignment in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Block => 4096,
            Self::Eight => 8,
        }
    }

    /// A length rounded up to the alignment.
    pub fn up(self, length: usize) -> usize {
        length.checked_next_multiple_of(self.bytes()).unwrap_or(usize::MAX)
    }

    fn number(self) -> u8 {
        match self {
            Self::Block => 1,
            Self::Eight => 2,
        }
    }

    fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Block),
            2 => Some(Self::Eight),
            _ => None,
        }
    }
}

/// A segment's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    /// Its place in the log.
    pub sequence: SegmentSequence,
    /// The number of its first record.
    pub first: RecordNumber,
    /// The checksum of the record before that.
    pub previous: Checksum,
    /// Who began it.
    pub generation: Generation,
    /// To what its records are padded.
    pub padding: Padding,
}

impl SegmentHead {
    /// Reads a head; `None` if the bytes are not one of this log.
    pub fn read(key: LogKey, bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<SEGMENT_HEAD_BYTES>()?;
        let mut reader = Reader::new(head);
        if reader.array::<8>().ok()? != &SEGMENT_MAGIC {
            return None;
        }
        let (fields, stored) = head.split_at_checked(CHECKSUM_AT)?;
        if Reader::new(stored).u64().ok()? != checksum(key, fields) {
            return None;
        }
        Some(Self {
            sequence: SegmentSequence(reader.u64().ok()?),
            first: RecordNumber(reader.u64().ok()?),
            previous: Checksum(reader.u64().ok()?),
            generation: Generation(reader.u32().ok()?),
            padding: Padding::of(reader.u8().ok()?)?,
        })
    }

    /// Writes the whole block.
    pub fn write(&self, key: LogKey, block: &mut [u8; SEGMENT_HEAD_BYTES]) {
        let mut bytes = Vec::with_capacity(SEGMENT_HEAD_BYTES);
        bytes.extend_from_slice(&SEGMENT_MAGIC);
        bytes.extend_from_slice(&self.sequence.0.to_be_bytes());
        bytes.extend_from_slice(&self.first.0.to_be_bytes());
        bytes.extend_from_slice(&self.previous.0.to_be_bytes());
        bytes.extend_from_slice(&self.generation.0.to_be_bytes());
        bytes.push(self.padding.number());
        bytes.resize(CHECKSUM_AT, 0);
        let checksum = checksum(key, &bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        block.copy_from_slice(&bytes);
    }
}

fn checksum(key: LogKey, fields: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(fields, key.0)
}

/// The files of one log, as recovery and preparation see them: a folder, or memory in tests and the simulator.
/// Calls block.
pub trait LogFiles {
    /// Every segment, ascending by id.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn list(&mut self) -> io::Result<Vec<SegmentId>>;
    /// A segment's length in bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    fn length(&mut self, id: SegmentId) -> io::Result<u64>;
    /// Fills `out` from `offset` on as far as the file goes; returns how many bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read_at(&mut self, id: SegmentId, offset: u64, out: &mut [u8]) -> io::Result<usize>;
    /// Writes zeros from `offset` on, and syncs.
    ///
    /// # Errors
    /// The file cannot be written.
    fn zero(&mut self, id: SegmentId, offset: u64, length: u64) -> io::Result<()>;
    /// Makes a new segment of zeros, synced, its name too.
    ///
    /// # Errors
    /// No room, or the folder cannot be written.
    fn create(&mut self, id: SegmentId, bytes: u64) -> io::Result<()>;
    /// Makes earlier writes of this segment durable, also those of a process that ended.
    ///
    /// # Errors
    /// The file cannot be synced.
    fn sync(&mut self, id: SegmentId) -> io::Result<()>;
    /// Removes a segment that is not needed.
    ///
    /// # Errors
    /// The folder cannot be written.
    fn remove(&mut self, id: SegmentId) -> io::Result<()>;
}

#[cfg(test)]
mod tests;
