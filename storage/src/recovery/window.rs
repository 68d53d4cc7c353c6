//! Reads a log in pieces: records at known places, and all readable records by scanning.

use super::{Found, RecoveryError};
use crate::codec::{narrow, wide};
use crate::number::{Checksum, LogKey, RecordNumber, SegmentId};
use crate::record::{RECORD_HEAD_BYTES, RECORD_MAGIC, RecordHead, verify};
use crate::segment::{LogFiles, Padding, SEGMENT_HEAD_BYTES};

/// Bytes read at a time.
const WINDOW_BYTES: usize = 1 << 20;

/// A readable record that a scan found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanned {
    pub(super) segment: SegmentId,
    pub(super) offset: u64,
    pub(super) number: RecordNumber,
    pub(super) previous: Checksum,
    pub(super) checksum: Checksum,
}

/// A piece of a segment, read ahead.
pub(super) struct Window<'f> {
    files: &'f mut dyn LogFiles,
    key: LogKey,
    segment: Option<SegmentId>,
    start: u64,
    /// Room for a piece: it only grows.
    bytes: Vec<u8>,
    /// How much of it the piece takes.
    filled: usize,
}

impl<'f> Window<'f> {
    pub(super) fn new(files: &'f mut dyn LogFiles, key: LogKey) -> Self {
        Self { files, key, segment: None, start: 0, bytes: Vec::new(), filled: 0 }
    }

    /// Makes `length` bytes from `offset` on available; false if the file ends before.
    fn ensure(&mut self, segment: SegmentId, offset: u64, length: usize) -> Result<bool, RecoveryError> {
        let end = self.start.saturating_add(wide(self.filled));
        let inside = offset >= self.start && offset.saturating_add(wide(length)) <= end;
        if self.segment == Some(segment) && inside {
            return Ok(true);
        }
        if self.bytes.len() < length.max(WINDOW_BYTES) {
            self.bytes.resize(length.max(WINDOW_BYTES), 0);
        }
        (self.segment, self.filled) = (None, 0);
        let read = self.files.read_at(segment, offset, &mut self.bytes);
        let read = read.map_err(|source| RecoveryError::Io { what: "read", segment, source })?;
        self.filled = read;
        self.segment = Some(segment);
        self.start = offset;
        Ok(read >= length)
    }

    fn slice(&self, offset: u64, length: usize) -> &[u8] {
        let at = narrow(offset.saturating_sub(self.start));
        let piece = self.bytes.get(..self.filled).unwrap_or_default();
        piece.get(at..at.saturating_add(length)).unwrap_or_default()
    }

    /// The record at this place with its bytes, if a readable one stands there.
    pub(super) fn record_at(
        &mut self,
        segment: SegmentId,
        segment_bytes: u64,
        offset: u64,
    ) -> Result<Option<(RecordHead, &[u8])>, RecoveryError> {
        if !self.ensure(segment, offset, RECORD_HEAD_BYTES)? {
            return Ok(None);
        }
        let Ok(head) = RecordHead::read(self.slice(offset, RECORD_HEAD_BYTES)) else {
            return Ok(None);
        };
        let past_end = offset.saturating_add(wide(head.total_bytes)) > segment_bytes;
        if past_end || !self.ensure(segment, offset, head.total_bytes)? {
            return Ok(None);
        }
        let bytes = self.slice(offset, head.total_bytes);
        Ok(verify(self.key, bytes).ok().map(|head| (head, bytes)))
    }

    /// Finds every readable record above `above`, wherever it stands.
    pub(super) fn scan(
        &mut self,
        segment: SegmentId,
        segment_bytes: u64,
        above: RecordNumber,
        readable: &mut Vec<Scanned>,
    ) -> Result<(), RecoveryError> {
        let mut offset = wide(SEGMENT_HEAD_BYTES);
        let mut candidates = Vec::new();
        while offset < segment_bytes {
            let length = narrow(segment_bytes.saturating_sub(offset)).min(WINDOW_BYTES);
            self.ensure(segment, offset, length)?;
            candidates.clear();
            candidates_in(self.slice(offset, length), offset, &mut candidates);
            for at in &candidates {
                if let Some((head, _)) = self.record_above(segment, segment_bytes, *at, above)? {
                    let (number, previous, checksum) = (head.number, head.previous, head.checksum);
                    readable.push(Scanned { segment, offset: *at, number, previous, checksum });
                }
            }
            offset = offset.saturating_add(wide(length));
        }
        Ok(())
    }

    /// A segment of a log with another key: it holds two records in a row, which a torn first write does not.
    pub(super) fn other_log(&mut self, segments: &[Found]) -> Result<Option<SegmentId>, RecoveryError> {
        for found in segments {
            let at = wide(SEGMENT_HEAD_BYTES);
            let Some(first) = self.head_at(found, at)? else { continue };
            let next = self.head_at(found, at.saturating_add(wide(first.total_bytes)))?;
            if next.is_some_and(|next| next.number == first.number.next()) {
                return Ok(Some(found.id));
            }
        }
        Ok(None)
    }

    /// What stands at a place as a record's head, with any key.
    fn head_at(&mut self, found: &Found, offset: u64) -> Result<Option<RecordHead>, RecoveryError> {
        if !self.ensure(found.id, offset, RECORD_HEAD_BYTES)? {
            return Ok(None);
        }
        Ok(RecordHead::read(self.slice(offset, RECORD_HEAD_BYTES)).ok())
    }

    /// As `record_at`, but looks at the number first: a former life's records cost no checksum.
    fn record_above(
        &mut self,
        segment: SegmentId,
        segment_bytes: u64,
        offset: u64,
        above: RecordNumber,
    ) -> Result<Option<(RecordHead, &[u8])>, RecoveryError> {
        if !self.ensure(segment, offset, RECORD_HEAD_BYTES)? {
            return Ok(None);
        }
        match RecordHead::read(self.slice(offset, RECORD_HEAD_BYTES)) {
            Ok(head) if head.number > above => self.record_at(segment, segment_bytes, offset),
            Ok(_) | Err(_) => Ok(None),
        }
    }
}

/// Places where a record may start: aligned, and with the magic.
fn candidates_in(bytes: &[u8], start: u64, candidates: &mut Vec<u64>) {
    let step = Padding::Eight.bytes();
    for (index, word) in bytes.chunks_exact(step).enumerate() {
        if word == RECORD_MAGIC {
            candidates.push(start.saturating_add(wide(index.saturating_mul(step))));
        }
    }
}

/// The end of what is not zero between `offset` and the segment's end.
pub(super) fn used_through(
    files: &mut dyn LogFiles,
    segment: SegmentId,
    offset: u64,
    segment_bytes: u64,
) -> Result<u64, RecoveryError> {
    let mut buffer = vec![0_u8; WINDOW_BYTES.min(narrow(segment_bytes.saturating_sub(offset)))];
    let (mut at, mut used) = (offset, offset);
    while at < segment_bytes {
        let read = files.read_at(segment, at, &mut buffer);
        let read = read.map_err(|source| RecoveryError::Io { what: "read", segment, source })?;
        let piece = buffer.get(..read).unwrap_or_default();
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            used = at.saturating_add(wide(last)).saturating_add(1);
        }
        if read == 0 {
            break;
        }
        at = at.saturating_add(wide(read));
    }
    Ok(used)
}

/// True if the record with this number begins at this place, readable or not.
pub(super) fn begins(
    files: &mut dyn LogFiles,
    segment: SegmentId,
    offset: u64,
    number: RecordNumber,
) -> Result<bool, RecoveryError> {
    let mut head = [0_u8; RECORD_HEAD_BYTES];
    let read = files.read_at(segment, offset, &mut head);
    read.map_err(|source| RecoveryError::Io { what: "read", segment, source })?;
    Ok(RecordHead::read(&head).is_ok_and(|head| head.number == number))
}
