//! The writer of one core's record log: gathers operations, and says what to write where. Sans-IO: the driver writes
//! (io_uring, `pwrite`, a simulated disk) and reports back.
//!
//! ```text
//! append(ops) -> Ticket      gathers into the open record
//! seal() -> LogWrite         when nothing is in flight and something waits
//! written(LogWrite) -> Durable   after the write and its sync: tickets through, and the record for the storage thread
//! ```
//! A write or sync that fails ends the process: there is no call that takes a failed write back.
//!
//! Invariants
//! - One write is in flight at most; while it syncs, the next record gathers (group commit).
//! - The operations of one append are in one record.
//! - A segment is used again only when the tables hold everything in it, flushed.

use crate::codec::wide;
use crate::number::{LogKey, Mark, RecordNumber, SegmentId, SegmentSequence, Ticket, Vouch};
use crate::op::Op;
use crate::record::{DurableRecord, Pieces, RECORD_AT, RECORD_BYTES_MAX, RECORD_HEAD_BYTES, RecordBuilder};
use crate::segment::{Padding, SEGMENT_BYTES, SEGMENT_HEAD_BYTES, SegmentHead};
use iris_protocol::Generation;
use std::collections::VecDeque;

/// Buffers kept for reuse: one open, one in flight, and some of records that were gathered behind a full one.
const SPARE_BUFFERS_MAX: usize = 16;
/// A buffer that grew beyond this is not kept.
const SPARE_BUFFER_BYTES_MAX: usize = 1 << 20;

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The seed of its checksums.
    pub key: LogKey,
    /// This boot's generation, at least that of every record in the log.
    pub generation: Generation,
    /// To what records are padded: `Block` for direct I/O.
    pub padding: Padding,
    /// Bytes of a new segment.
    pub segment_bytes: u64,
    /// Most bytes of a record's body. A batch of operations must fit.
    pub record_bytes_max: usize,
}

impl LogConfig {
    /// The defaults: direct I/O, 64 MiB segments.
    pub fn new(key: LogKey, generation: Generation) -> Self {
        Self {
            key,
            generation,
            padding: Padding::Block,
            segment_bytes: SEGMENT_BYTES,
            record_bytes_max: RECORD_BYTES_MAX,
        }
    }

    fn check(&self) {
        let record = self.padding.up(self.record_bytes_max.saturating_add(RECORD_HEAD_BYTES));
        let least = wide(SEGMENT_HEAD_BYTES.saturating_add(record));
        assert!(
            self.segment_bytes >= least,
            "segment of {} bytes, a record needs {least}",
            self.segment_bytes
        );
        assert!(
            self.segment_bytes.is_multiple_of(4096),
            "segment of {} bytes, not of blocks",
            self.segment_bytes
        );
    }
}

/// A segment that holds records, as the log knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentState {
    /// Its file.
    pub id: SegmentId,
    /// Its file's length.
    pub bytes: u64,
    /// Its place in the log.
    pub sequence: SegmentSequence,
    /// Its last record so far.
    pub last: RecordNumber,
}

/// Where a log stands: what recovery found, and where a writer goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPosition {
    /// The last record.
    pub last: Mark,
    /// The segments that hold records the tables may still need, ascending by sequence; the last one is written next.
    pub used: Vec<SegmentState>,
    /// Where the next record goes in the last of `used`.
    pub offset: u64,
    /// True if the next record must begin a new segment: other padding, or none used yet.
    pub sealed: bool,
    /// Segments that are free.
    pub free: Vec<(SegmentId, u64)>,
    /// The sequence of the last segment begun.
    pub sequence: SegmentSequence,
    /// The next file's id.
    pub next_id: SegmentId,
}

/// A segment that should be made ahead of need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewSegment {
    /// Its file.
    pub id: SegmentId,
    /// Its length: all zeros, synced.
    pub bytes: u64,
}

/// One write, in flight until it is given back to [`RecordLog::written`].
#[derive(Debug)]
pub struct LogWrite {
    segment: SegmentId,
    offset: u64,
    through: Ticket,
    begins_segment: bool,
    record: DurableRecord,
}

impl LogWrite {
    /// The file to write into.
    pub fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Where, in bytes; a multiple of the padding.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What; its length is a multiple of the padding. For direct I/O, copy it into an aligned buffer.
    pub fn bytes(&self) -> &[u8] {
        if self.begins_segment { self.record.with_segment_head() } else { self.record.as_bytes() }
    }

    /// The record's number.
    pub fn number(&self) -> RecordNumber {
        self.record.number()
    }

    /// The last ticket in it.
    pub fn through(&self) -> Ticket {
        self.through
    }
}

/// What a finished write made durable.
#[derive(Debug)]
pub struct Durable {
    /// Every ticket up to this one is durable.
    pub through: Ticket,
    /// For the storage thread, in order.
    pub record: DurableRecord,
    /// Set if a segment was begun: the data directory should vouch for it.
    pub vouch: Option<Vouch>,
}

#[derive(Debug)]
struct Gathered {
    builder: RecordBuilder,
    through: Ticket,
}

/// The writer.
#[derive(Debug)]
pub struct RecordLog {
    config: LogConfig,
    position: LogPosition,
    open: RecordBuilder,
    /// Full records in front of the open one.
    full: VecDeque<Gathered>,
    tickets: Ticket,
    in_flight: bool,
    waiting_bytes: usize,
    buffers: Vec<Vec<u8>>,
    /// Where records are that wait to be merged.
    pieces: Pieces,
}

impl RecordLog {
    /// Goes on where recovery stopped. `position` of an empty folder is the default.
    pub fn new(config: LogConfig, mut position: LogPosition) -> Self {
        config.check();
        assert!(position.last.generation <= config.generation, "log of a later generation: {position:?}");
        position.sealed |= position.used.is_empty();
        Self {
            config,
            position,
            open: RecordBuilder::default(),
            full: VecDeque::new(),
            tickets: Ticket(0),
            in_flight: false,
            waiting_bytes: 0,
            buffers: Vec::new(),
            pieces: Pieces::default(),
        }
    }

    /// Gathers operations that belong together into the open record. Not empty.
    pub fn append(&mut self, ops: &[Op]) -> Ticket {
        assert!(!ops.is_empty(), "an append without operations would have no record");
        let (ops_before, bytes_before) = (self.open.ops(), self.open.body_bytes());
        for op in ops {
            self.open.push(op);
        }
        let added = self.open.body_bytes().saturating_sub(bytes_before);
        assert!(added <= self.config.record_bytes_max, "a batch of {added} bytes does not fit into a record");
        self.waiting_bytes = self.waiting_bytes.saturating_add(added);
        if self.open.body_bytes() > self.config.record_bytes_max {
            let buffer = self.buffers.pop().unwrap_or_default();
            let tail = self.open.split_off(ops_before, bytes_before, buffer);
            let builder = std::mem::replace(&mut self.open, tail);
            self.full.push_back(Gathered { builder, through: self.tickets });
        }
        self.tickets = Ticket(self.tickets.0.saturating_add(1));
        self.tickets
    }

    /// Bytes that are gathered and not in flight yet.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// True if a write is in flight.
    pub fn is_in_flight(&self) -> bool {
        self.in_flight
    }

    /// True if operations are gathered that no record in flight holds.
    pub fn has_gathered(&self) -> bool {
        !self.full.is_empty() || self.open.ops() > 0
    }

    /// True if nothing waits and nothing is in flight.
    pub fn is_idle(&self) -> bool {
        !self.in_flight && self.full.is_empty() && self.open.ops() == 0
    }

    /// The last ticket handed out.
    pub fn last_ticket(&self) -> Ticket {
        self.tickets
    }

    /// How far the log is, the record in flight included.
    pub fn last(&self) -> Mark {
        self.position.last
    }

    /// The next record, if nothing is in flight, something waits, and there is a segment for it.
    /// Call it again after `append`, `written` and `provide`.
    pub fn seal(&mut self) -> Option<LogWrite> {
        if self.in_flight || (self.full.is_empty() && self.open.ops() == 0) {
            return None;
        }
        let body = self.full.front().map_or(self.open.body_bytes(), |full| full.builder.body_bytes());
        let total = self.config.padding.up(RECORD_HEAD_BYTES.saturating_add(body));
        let begins_segment = self.make_room(wide(total))?;
        let Gathered { builder, through } = self.take_gathered();
        self.waiting_bytes = self.waiting_bytes.saturating_sub(body);
        let (key, generation) = (self.config.key, self.config.generation);
        let previous = self.position.last;
        let mut record = builder.seal(key, self.config.padding, previous, generation);
        if begins_segment && let Some(block) = record.segment_head_mut() {
            let sequence = self.position.sequence;
            let padding = self.config.padding;
            let (first, previous) = (record_number(previous), previous.checksum);
            SegmentHead { sequence, first, previous, generation, padding }.write(key, block);
        }
        let write = self.place(record, through, begins_segment)?;
        self.in_flight = true;
        Some(write)
    }

    /// Makes sure that the current segment has room; true if that begins a new one, `None` if none is free.
    fn make_room(&mut self, total: u64) -> Option<bool> {
        let end = self.position.offset.saturating_add(total);
        let fits = self.position.used.last().is_some_and(|segment| end <= segment.bytes);
        if fits && !self.position.sealed {
            return Some(false);
        }
        let needed = wide(SEGMENT_HEAD_BYTES).saturating_add(total);
        let index = self.position.free.iter().position(|(_, bytes)| *bytes >= needed)?;
        let (id, bytes) = self.position.free.remove(index);
        self.position.sequence = self.position.sequence.next();
        let (sequence, last) = (self.position.sequence, self.position.last.number);
        self.position.used.push(SegmentState { id, bytes, sequence, last });
        self.position.offset = 0;
        self.position.sealed = false;
        Some(true)
    }

    fn take_gathered(&mut self) -> Gathered {
        self.full.pop_front().unwrap_or_else(|| {
            let next = RecordBuilder::reusing(self.buffers.pop().unwrap_or_default());
            Gathered { builder: std::mem::replace(&mut self.open, next), through: self.tickets }
        })
    }

    fn place(&mut self, record: DurableRecord, through: Ticket, begins_segment: bool) -> Option<LogWrite> {
        let offset = self.position.offset;
        let current = self.position.used.last_mut()?;
        let segment = current.id;
        current.last = record.number();
        let head = if begins_segment { RECORD_AT } else { 0 };
        let written = head.saturating_add(record.head().total_bytes);
        self.position.offset = offset.saturating_add(wide(written));
        assert!(self.position.offset <= current.bytes, "record {} passes its segment", record.number());
        self.position.last = record.head().mark();
        Some(LogWrite { segment, offset, through, begins_segment, record })
    }

    /// The write is durable (or written, under `os` durability). Ask [`RecordLog::seal`] for the next one.
    pub fn written(&mut self, write: LogWrite) -> Durable {
        assert!(self.in_flight, "record {} was not in flight", write.number());
        assert_eq!(write.number(), self.position.last.number, "another record was in flight");
        self.in_flight = false;
        let LogWrite { through, begins_segment, record, .. } = write;
        let vouch = begins_segment.then(|| self.vouch());
        Durable { through, record, vouch }
    }

    /// What the data directory may vouch for at a clean stop, when nothing is in flight.
    pub fn vouch(&self) -> Vouch {
        assert!(!self.in_flight, "a record in flight cannot be vouched for");
        // A segment that is not there any more (the host lost it) cannot be vouched for, though its place stays taken.
        let segment = self.position.used.last().map_or(SegmentSequence(0), |segment| segment.sequence);
        Vouch { number: self.position.last.number, segment }
    }

    /// The segment to make ahead of need; `None` while one is free. Make it with [`crate::segment::LogFiles::create`]
    /// on the storage thread, then call [`RecordLog::provide`]. The same until it is provided.
    pub fn needs_segment(&self) -> Option<NewSegment> {
        let whole = |(_, bytes): &(SegmentId, u64)| *bytes >= self.config.segment_bytes;
        if self.position.free.iter().any(whole) {
            return None;
        }
        Some(NewSegment { id: self.position.next_id, bytes: self.config.segment_bytes })
    }

    /// The segment exists now.
    pub fn provide(&mut self, segment: NewSegment) {
        assert_eq!(segment.id, self.position.next_id, "segment was not asked for, or provided twice");
        self.position.next_id = SegmentId(segment.id.0.saturating_add(1));
        self.position.free.push((segment.id, segment.bytes));
    }

    /// True if records wait for a segment: ask [`RecordLog::needs_segment`], or flush the tables.
    pub fn is_stalled(&self) -> bool {
        let Some(body) = self
            .full
            .front()
            .map(|full| full.builder.body_bytes())
            .or_else(|| (self.open.ops() > 0).then(|| self.open.body_bytes()))
        else {
            return false;
        };
        let total = wide(self.config.padding.up(RECORD_HEAD_BYTES.saturating_add(body)));
        let end = self.position.offset.saturating_add(total);
        let fits = self.position.used.last().is_some_and(|segment| end <= segment.bytes);
        let needed = wide(SEGMENT_HEAD_BYTES).saturating_add(total);
        (!fits || self.position.sealed) && !self.position.free.iter().any(|(_, bytes)| *bytes >= needed)
    }

    /// The tables hold every record up to this one, flushed: segments wholly behind it are free again.
    pub fn flushed(&mut self, through: RecordNumber) {
        let current = self.position.sequence;
        let free = |segment: &SegmentState| segment.last <= through && segment.sequence != current;
        let freed = self.position.used.iter().filter(|segment| free(segment));
        self.position.free.extend(freed.map(|segment| (segment.id, segment.bytes)));
        self.position.used.retain(|segment| !free(segment));
    }

    /// Segments that hold records which the tables may need: when they are many, flush the tables.
    pub fn used_segments(&self) -> &[SegmentState] {
        &self.position.used
    }

    /// Moves a record that was written to where it may wait, and takes back its buffer.
    #[must_use]
    pub fn compact(&mut self, record: DurableRecord) -> DurableRecord {
        let (record, buffer) = record.compact(&mut self.pieces);
        self.reuse(buffer);
        record
    }

    fn reuse(&mut self, buffer: Vec<u8>) {
        if self.buffers.len() < SPARE_BUFFERS_MAX && buffer.capacity() <= SPARE_BUFFER_BYTES_MAX {
            self.buffers.push(buffer);
        }
    }
}

fn record_number(after: Mark) -> RecordNumber {
    after.number.next()
}

#[cfg(test)]
mod tests;
