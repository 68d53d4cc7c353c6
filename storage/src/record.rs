//! A record: everything that becomes durable in one write.
//!
//! Layout, 64 bytes of head (integers big-endian), then the body of operations, then zeros up to the padding:
//! magic 8 | total bytes 4 | body bytes 4 | number 8 | predecessor's checksum 8 | generation 4 | operations 4 |
//! reserved 16 (zeros) | checksum 8. The checksum is XXH3-64, seeded with the log's key, over the rest of the head
//! and the body.
//!
//! Invariants
//! - Numbers are dense and each record names its predecessor's checksum.
//! - A flipped bit anywhere in a record makes it unreadable: what the checksum leaves out must be zero.
//! - Reading never panics, whatever the bytes.

use crate::codec::{DecodeError, Reader, length_u32, narrow};
use crate::encode::put_op;
use crate::number::{Checksum, LogKey, Mark, RecordNumber};
use crate::op::Op;
use crate::segment::{Padding, SEGMENT_HEAD_BYTES};
use crate::view::OpView;
use bytes::{Bytes, BytesMut};
use iris_protocol::Generation;
use iris_protocol::limits::{FRAME_BYTES_MAX, SLOTS};
use std::fmt;
use std::ops::Deref;
use xxhash_rust::xxh3::Xxh3;

/// Bytes of a record's head.
pub const RECORD_HEAD_BYTES: usize = 64;
/// Most bytes of a record's body, unless configured lower: one write of this size takes about 4 ms on a disk of
/// 1 GB/s, and a group commit of it holds thousands of messages.
pub const RECORD_BYTES_MAX: usize = 4 << 20;
/// Memory that compact records share, in bytes.
const PIECE_BYTES: usize = 64 << 10;
/// Starts each record.
pub(crate) const RECORD_MAGIC: [u8; 8] = *b"IrisRec1";
/// Where the checksum stands in the head.
const CHECKSUM_AT: usize = 56;

/// The largest operation: an envelope of a full frame to members in every slot.
pub(crate) const OP_BYTES_MAX: usize = FRAME_BYTES_MAX + 4 * 1024;
#[allow(clippy::as_conversions, reason = "const context; 1,024 slots of at most three bytes each")]
const _: () = assert!(OP_BYTES_MAX >= FRAME_BYTES_MAX + 3 * SLOTS as usize);
const _: () = assert!(RECORD_BYTES_MAX >= 16 * OP_BYTES_MAX, "a batch of operations fits into a record");

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not the start of a record.
    #[error("no record here")]
    Magic,
    /// Lengths that contradict each other or the segment.
    #[error("record lengths out of range")]
    Length,
    /// The checksum does not match, or bytes that must be zero are not.
    #[error("record checksum mismatch")]
    Checksum,
}

/// A record's head, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// Bytes of the whole record, padding included.
    pub total_bytes: usize,
    /// Bytes of its operations.
    pub body_bytes: usize,
    /// Its number.
    pub number: RecordNumber,
    /// The predecessor's checksum.
    pub previous: Checksum,
    /// Who wrote it.
    pub generation: Generation,
    /// How many operations it holds.
    pub ops: u32,
    /// Its own checksum.
    pub checksum: Checksum,
}

impl RecordHead {
    /// Reads a head; the checksum is not verified yet.
    ///
    /// # Errors
    /// [`RecordError`] if these bytes do not start a record.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let head = bytes.first_chunk::<RECORD_HEAD_BYTES>().ok_or(RecordError::Length)?;
        if !head.starts_with(&RECORD_MAGIC) {
            return Err(RecordError::Magic);
        }
        let head = Self::fields(head).map_err(|_| RecordError::Length)?;
        let smallest = RECORD_HEAD_BYTES.saturating_add(head.body_bytes);
        let slack = head.total_bytes.checked_sub(smallest).ok_or(RecordError::Length)?;
        if slack >= Padding::Block.bytes() || !head.total_bytes.is_multiple_of(Padding::Eight.bytes()) {
            return Err(RecordError::Length);
        }
        Ok(head)
    }

    fn fields(head: &[u8; RECORD_HEAD_BYTES]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(head);
        reader.take(RECORD_MAGIC.len())?;
        let total_bytes = narrow(u64::from(reader.u32()?));
        let body_bytes = narrow(u64::from(reader.u32()?));
        let number = RecordNumber(reader.u64()?);
        let previous = Checksum(reader.u64()?);
        let (generation, ops) = (Generation(reader.u32()?), reader.u32()?);
        reader.take(16)?;
        let checksum = Checksum(reader.u64()?);
        Ok(Self { total_bytes, body_bytes, number, previous, generation, ops, checksum })
    }

    /// How far a log is with this record.
    pub fn mark(&self) -> Mark {
        Mark { number: self.number, checksum: self.checksum, generation: self.generation }
    }

    fn write(&self, head: &mut [u8; RECORD_HEAD_BYTES]) {
        *head = [0; RECORD_HEAD_BYTES];
        let total = length_u32(self.total_bytes).to_be_bytes();
        let body = length_u32(self.body_bytes).to_be_bytes();
        let fields: [(usize, &[u8]); 8] = [
            (0, &RECORD_MAGIC),
            (8, &total),
            (12, &body),
            (16, &self.number.0.to_be_bytes()),
            (24, &self.previous.0.to_be_bytes()),
            (32, &self.generation.0.to_be_bytes()),
            (36, &self.ops.to_be_bytes()),
            (CHECKSUM_AT, &self.checksum.0.to_be_bytes()),
        ];
        for (at, field) in fields {
            if let Some(place) = head.get_mut(at..at.saturating_add(field.len())) {
                place.copy_from_slice(field);
            }
        }
    }
}

fn checksum(key: LogKey, head: &[u8; RECORD_HEAD_BYTES], body: &[u8]) -> Checksum {
    let mut hasher = Xxh3::with_seed(key.0);
    hasher.update(head.get(..CHECKSUM_AT).unwrap_or_default());
    hasher.update(body);
    Checksum(hasher.digest())
}

/// Verifies a whole record: head, checksum, padding.
///
/// # Errors
/// [`RecordError`]: the bytes are torn, damaged, or no record of this log.
pub fn verify(key: LogKey, bytes: &[u8]) -> Result<RecordHead, RecordError> {
    let head = RecordHead::read(bytes)?;
    let record = bytes.get(..head.total_bytes).ok_or(RecordError::Length)?;
    let (raw, rest) = record.split_first_chunk::<RECORD_HEAD_BYTES>().ok_or(RecordError::Length)?;
    let (body, padding) = rest.split_at_checked(head.body_bytes).ok_or(RecordError::Length)?;
    let zero = padding.iter().all(|byte| *byte == 0);
    if zero && checksum(key, raw, body) == head.checksum { Ok(head) } else { Err(RecordError::Checksum) }
}

/// A record that is durable: what the storage thread merges into the tables.
#[derive(Clone, PartialEq, Eq)]
pub struct DurableRecord {
    head: RecordHead,
    /// The head stands at `start`.
    bytes: Memory,
    start: usize,
}

#[derive(Clone)]
enum Memory {
    Own(Vec<u8>),
    /// Of a piece with others.
    Shared(Bytes),
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl PartialEq for Memory {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Memory {}

/// Memory for compact records: a piece of it holds many of them, and is free when the last of them is gone.
#[derive(Debug, Default)]
pub struct Pieces(BytesMut);

impl Pieces {
    fn keep(&mut self, bytes: &[u8]) -> Bytes {
        if self.0.capacity() < bytes.len() {
            self.0 = BytesMut::with_capacity(bytes.len().max(PIECE_BYTES));
        }
        self.0.extend_from_slice(bytes);
        self.0.split().freeze()
    }
}

/// Without its bytes: they hold payloads.
impl fmt::Debug for DurableRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableRecord").field("head", &self.head).finish_non_exhaustive()
    }
}

impl DurableRecord {
    /// Takes verified bytes.
    ///
    /// # Errors
    /// [`RecordError`] if they are not a record of this log.
    pub fn from_bytes(key: LogKey, bytes: Vec<u8>) -> Result<Self, RecordError> {
        let head = verify(key, &bytes)?;
        Ok(Self { head, bytes: Memory::Own(bytes), start: 0 })
    }

    pub(crate) fn sealed(head: RecordHead, bytes: Vec<u8>, start: usize) -> Self {
        Self { head, bytes: Memory::Own(bytes), start }
    }

    /// Its head.
    pub fn head(&self) -> &RecordHead {
        &self.head
    }

    /// Its number.
    pub fn number(&self) -> RecordNumber {
        self.head.number
    }

    /// Head and operations in shared memory, and the buffer they were written from: the writer uses that again at once, and what
    /// waits to be merged is no larger than it must be.
    pub(crate) fn compact(self, pieces: &mut Pieces) -> (Self, Vec<u8>) {
        let end = self.start.saturating_add(RECORD_HEAD_BYTES).saturating_add(self.head.body_bytes);
        let bytes = Memory::Shared(pieces.keep(self.bytes.get(self.start..end).unwrap_or_default()));
        let buffer = match self.bytes {
            Memory::Own(buffer) => buffer,
            Memory::Shared(_) => Vec::new(),
        };
        (Self { head: self.head, bytes, start: 0 }, buffer)
    }

    /// Its operations as bytes.
    pub fn body(&self) -> &[u8] {
        let start = self.start.saturating_add(RECORD_HEAD_BYTES);
        self.bytes.get(start..start.saturating_add(self.head.body_bytes)).unwrap_or_default()
    }

    /// Its operations.
    ///
    /// # Errors
    /// [`DecodeError`]: another version wrote it, or a bug.
    pub fn ops(&self) -> Result<Vec<Op>, DecodeError> {
        let mut ops = Vec::new();
        each_op(self, |op| {
            ops.push(op.to_op()?);
            Ok(())
        })?;
        Ok(ops)
    }

    /// Bytes of memory that it holds.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Calls `visit` with each operation of a record, in order, and holds the count against the head.
pub(crate) fn each_op<'a>(
    record: &'a DurableRecord,
    mut visit: impl FnMut(OpView<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(record.body());
    let mut found = 0_u32;
    while !reader.is_empty() {
        visit(OpView::read(&mut reader)?)?;
        found = found.saturating_add(1);
    }
    let expected = record.head.ops;
    if found == expected { Ok(()) } else { Err(DecodeError::Count { expected, found }) }
}

/// Gathers operations into one buffer, which becomes a record without being copied.
///
/// The buffer keeps room in front for a segment's head, so that a segment's first record goes out in one write.
pub struct RecordBuilder {
    bytes: Vec<u8>,
    ops: u32,
}

/// Without its bytes: they hold payloads.
impl fmt::Debug for RecordBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordBuilder").field("ops", &self.ops).finish_non_exhaustive()
    }
}

/// Where the record's head stands in a builder's buffer.
pub(crate) const RECORD_AT: usize = SEGMENT_HEAD_BYTES;
/// Where its body stands.
pub(crate) const BODY_AT: usize = RECORD_AT + RECORD_HEAD_BYTES;

impl Default for RecordBuilder {
    fn default() -> Self {
        Self::reusing(Vec::new())
    }
}

impl RecordBuilder {
    /// An empty record in a buffer that was used before.
    pub fn reusing(mut bytes: Vec<u8>) -> Self {
        bytes.resize(BODY_AT, 0);
        Self { bytes, ops: 0 }
    }

    /// Adds one operation.
    pub fn push(&mut self, op: &Op) {
        put_op(&mut self.bytes, op);
        self.ops = self.ops.saturating_add(1);
    }

    /// How many operations it holds.
    pub fn ops(&self) -> u32 {
        self.ops
    }

    /// Bytes of its body.
    pub fn body_bytes(&self) -> usize {
        self.bytes.len().saturating_sub(BODY_AT)
    }

    /// Moves everything behind the first `ops` operations of `body_bytes` bytes into a builder of its own.
    pub(crate) fn split_off(&mut self, ops: u32, body_bytes: usize, buffer: Vec<u8>) -> Self {
        let mut tail = Self::reusing(buffer);
        let at = BODY_AT.saturating_add(body_bytes);
        tail.bytes.extend_from_slice(self.bytes.get(at..).unwrap_or_default());
        tail.ops = self.ops.saturating_sub(ops);
        self.bytes.truncate(at);
        self.ops = ops;
        tail
    }

    /// Pads, numbers and checks the record.
    pub(crate) fn seal(
        self,
        key: LogKey,
        padding: Padding,
        after: Mark,
        generation: Generation,
    ) -> DurableRecord {
        let body_bytes = self.body_bytes();
        let total_bytes = padding.up(RECORD_HEAD_BYTES.saturating_add(body_bytes));
        let Self { mut bytes, ops } = self;
        bytes.resize(RECORD_AT.saturating_add(total_bytes), 0);
        let mut head = RecordHead {
            total_bytes,
            body_bytes,
            number: after.number.next(),
            previous: after.checksum,
            generation,
            ops,
            checksum: Checksum(0),
        };
        let record = bytes.get_mut(RECORD_AT..).unwrap_or_default();
        if let Some((raw, rest)) = record.split_first_chunk_mut::<RECORD_HEAD_BYTES>() {
            head.write(raw);
            head.checksum = checksum(key, raw, rest.get(..body_bytes).unwrap_or_default());
            head.write(raw);
        }
        DurableRecord::sealed(head, bytes, RECORD_AT)
    }

    /// A record of these operations, without a log: for tests and tools.
    pub fn record(ops: &[Op], key: LogKey, after: Mark, generation: Generation) -> DurableRecord {
        let mut builder = Self::default();
        for op in ops {
            builder.push(op);
        }
        builder.seal(key, Padding::Eight, after, generation)
    }
}

impl DurableRecord {
    /// The whole record as written: head, body, padding.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The segment's head in front, and the record.
    pub(crate) fn with_segment_head(&self) -> &[u8] {
        &self.bytes
    }

    /// The room for a segment's head in front of the record.
    pub(crate) fn segment_head_mut(&mut self) -> Option<&mut [u8; SEGMENT_HEAD_BYTES]> {
        match &mut self.bytes {
            Memory::Own(bytes) => bytes.first_chunk_mut(),
            Memory::Shared(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
