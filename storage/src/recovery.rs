//! Reads a log back after a stop: verifies it, replays what the tables do not hold, cuts a torn tail, and refuses
//! everything else.
//!
//! Invariants
//! - An acknowledged record is never skipped in silence: damage is a torn tail only if no readable record of a higher
//!   number exists anywhere in the log, which is proved by scanning all of it.
//! - Recovery can be repeated: stopped at any point, the next one finds the same records.
//! - Memory is bounded by one record and one window, whatever the log's length.

use crate::engine::EngineError;
use crate::log::{LogPosition, SegmentState};
use crate::number::{LogKey, Mark, RecordNumber, SegmentId, SegmentSequence, Vouch};
use crate::record::DurableRecord;
use crate::segment::{LogFiles, Padding, SegmentHead};
use iris_protocol::Generation;
use std::io;

mod place;
mod window;

use place::Place;
use window::{Scanned, Window};

/// What a log is judged against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryPlan {
    /// The log's key.
    pub key: LogKey,
    /// How the next records will be padded.
    pub padding: Padding,
    /// How far the tables are, flushed.
    pub applied: Mark,
    /// What the data directory vouches for.
    pub vouched: Vouch,
    /// The highest generation that may have written.
    pub generation: Generation,
    /// The host stopped while writes were not synced (`os` durability): what is damaged or missing was lost with it.
    /// The log is cut at the first hole, and the incarnation changes.
    pub host_lost_writes: bool,
}

/// What stood behind the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Zeros, or the segment's end.
    Clean,
    /// A torn record, or what a reused segment held before: proved to hide no readable record, and zeroed.
    Cut {
        /// The file.
        segment: SegmentId,
        /// From here.
        offset: u64,
        /// Bytes that were zeroed.
        bytes: u64,
        /// True if it was the beginning of the next record.
        torn: bool,
    },
}

/// What recovery did; for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Records replayed into the tables.
    pub replayed_records: u64,
    /// Bytes of them.
    pub replayed_bytes: u64,
    /// What stood behind the last record.
    pub tail: Tail,
    /// Readable records behind a hole that were dropped. Only after a stop of the host under `os` durability.
    pub dropped_records: u64,
    /// Records were damaged that the tables hold already: nothing is lost, but the disk should be looked at.
    pub damage_behind_tables: bool,
}

/// Why a log is refused. The server does not start.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The disk cannot be read or written.
    #[error(
        "cannot {what} log segment {segment}: {source}; check the disk and file permissions, then start again"
    )]
    Io {
        /// The attempt.
        what: &'static str,
        /// The file.
        segment: SegmentId,
        /// The system's words.
        source: io::Error,
    },
    /// Damage with readable records behind it.
    #[error(
        "record {number} is damaged in segment {segment} at byte {offset}, but record {readable} after it is readable: \
         acknowledged messages are damaged; restore the data directory from a backup"
    )]
    Damaged {
        /// The record that cannot be read.
        number: RecordNumber,
        /// Where it should be.
        segment: SegmentId,
        /// Where it should be, in bytes.
        offset: u64,
        /// A readable record behind it.
        readable: RecordNumber,
    },
    /// A segment that holds records, and does not say which.
    #[error(
        "the head of log segment {segment} is damaged, but record {readable} in it is readable: acknowledged messages \
         are damaged; restore the data directory from a backup"
    )]
    DamagedHead {
        /// The file.
        segment: SegmentId,
        /// A record in it.
        readable: RecordNumber,
    },
    /// A record does not name its predecessor.
    #[error(
        "record {number} in segment {segment} does not follow its predecessor: the log is mixed from two \
             histories; restore the data directory from one backup"
    )]
    BrokenChain {
        /// The record.
        number: RecordNumber,
        /// Its file.
        segment: SegmentId,
    },
    /// A segment between others, or the last one, is not there.
    #[error(
        "log segment with sequence {sequence} is missing: put the file back or restore the data directory from a backup"
    )]
    MissingSegment {
        /// Its place in the log.
        sequence: SegmentSequence,
    },
    /// Two files claim the same place.
    #[error(
        "segments {segment} and {other} have the same place in the log: remove the file that was copied in"
    )]
    DoubleSegment {
        /// One file.
        segment: SegmentId,
        /// The other.
        other: SegmentId,
    },
    /// The log ends before what the data directory vouches for.
    #[error(
        "the log ends at record {last}, but record {vouched} was durable: acknowledged messages are lost; restore \
             the data directory from a backup"
    )]
    EndsBeforeVouched {
        /// The last readable record.
        last: RecordNumber,
        /// The record that META names.
        vouched: RecordNumber,
    },
    /// The log ends before what the tables hold.
    #[error(
        "the log ends at record {last}, but the tables hold record {applied}: restore log and tables from the same backup"
    )]
    EndsBeforeTables {
        /// The last readable record.
        last: RecordNumber,
        /// What the tables hold.
        applied: RecordNumber,
    },
    /// The log begins after what the tables hold.
    #[error(
        "the log begins at record {first}, but the tables end at record {applied}: restore log and tables from the same backup"
    )]
    BeginsAfterTables {
        /// The first record.
        first: RecordNumber,
        /// What the tables hold.
        applied: RecordNumber,
    },
    /// The tables were filled from another log.
    #[error(
        "record {number} of the log is not the one in the tables: restore log and tables from the same backup"
    )]
    OtherHistory {
        /// The record that both name.
        number: RecordNumber,
    },
    /// The log was written with another key, or for another core.
    #[error(
        "log segment {segment} is of another data directory or another core: META, tables and log must be of one; \
             restore the whole data directory from one backup"
    )]
    OtherLog {
        /// The file.
        segment: SegmentId,
    },
    /// A record of a generation that the data directory does not know yet.
    #[error(
        "record {number} was written by generation {generation}, but META knows {known} only: META is from an older \
             backup; restore the whole data directory from one backup"
    )]
    LaterGeneration {
        /// The record.
        number: RecordNumber,
        /// Its writer.
        generation: Generation,
        /// The highest known.
        known: Generation,
    },
    /// Replay failed.
    #[error(transparent)]
    Tables(#[from] EngineError),
}

/// Recovers a log: replays what the tables lack through `replay`, in order, and says where to go on.
///
/// # Errors
/// [`RecoveryError`]: refuse to start, and show it.
pub fn recover(
    files: &mut dyn LogFiles,
    plan: &RecoveryPlan,
    replay: &mut dyn FnMut(DurableRecord) -> Result<(), EngineError>,
) -> Result<(LogPosition, RecoveryReport), RecoveryError> {
    let segments = find_segments(files, plan.key)?;
    let mut walk = Walk::new(plan, &segments);
    let mut window = Window::new(files, plan.key);
    if let Some(start) = walk.start()? {
        walk.follow(&mut window, start, replay)?;
    }
    let mut readable = scan(&mut window, &segments, walk.last.number)?;
    walk.rejoin(&mut window, &readable, replay)?;
    readable.retain(|found| found.number > walk.last.number);
    // What the host lost may look like that.
    if !plan.host_lost_writes
        && walk.chain.is_empty()
        && readable.is_empty()
        && let Some(segment) = window.other_log(&segments)?
    {
        return Err(RecoveryError::OtherLog { segment });
    }
    if plan.host_lost_writes {
        walk.drop_readable(files, &readable)?;
    } else if let [only] = readable.as_slice()
        && walk.is_torn_beginning(only)
    {
        // What is refused stays as it is.
        walk.refuse_holes(&[])?;
        walk.drop_readable(files, &readable)?;
        readable.clear();
    } else {
        walk.refuse_holes(&readable)?;
    }
    for segment in &walk.walked {
        let sync = |source| RecoveryError::Io { what: "sync", segment: segment.id, source };
        files.sync(segment.id).map_err(sync)?;
    }
    walk.finish(files, wide_count(readable.len()))
}

fn wide_count(count: usize) -> u64 {
    crate::codec::wide(count)
}

/// A segment's file and head.
#[derive(Clone, Copy, Debug)]
struct Found {
    id: SegmentId,
    bytes: u64,
    head: Option<SegmentHead>,
}

fn find_segments(files: &mut dyn LogFiles, key: LogKey) -> Result<Vec<Found>, RecoveryError> {
    let ids =
        files.list().map_err(|source| RecoveryError::Io { what: "list", segment: SegmentId(0), source })?;
    let mut block = vec![0_u8; crate::segment::SEGMENT_HEAD_BYTES];
    let mut found = Vec::new();
    for id in ids {
        let read = |source| RecoveryError::Io { what: "read", segment: id, source };
        let bytes = files.length(id).map_err(read)?;
        let length = files.read_at(id, 0, &mut block).map_err(read)?;
        let head = SegmentHead::read(key, block.get(..length).unwrap_or_default());
        found.push(Found { id, bytes, head });
    }
    Ok(found)
}

fn scan(
    window: &mut Window<'_>,
    segments: &[Found],
    above: RecordNumber,
) -> Result<Vec<Scanned>, RecoveryError> {
    let mut readable = Vec::new();
    for segment in segments {
        window.scan(segment.id, segment.bytes, above, &mut readable)?;
    }
    Ok(readable)
}

/// A walk along the chain.
struct Walk<'a> {
    plan: &'a RecoveryPlan,
    all: &'a [Found],
    /// Segments with a head, ascending by sequence.
    chain: Vec<(Found, SegmentHead)>,
    last: Mark,
    /// Where the walk ended: index into `chain`, and offset.
    end: Option<(usize, u64)>,
    /// Segments walked, with their last records.
    walked: Vec<SegmentState>,
    replayed_records: u64,
    replayed_bytes: u64,
    rejoined: bool,
}

impl<'a> Walk<'a> {
    fn new(plan: &'a RecoveryPlan, all: &'a [Found]) -> Self {
        let mut chain: Vec<_> = all.iter().filter_map(|found| Some((*found, found.head?))).collect();
        chain.sort_by_key(|(_, head)| head.sequence);
        Self {
            plan,
            all,
            chain,
            last: Mark::default(),
            end: None,
            walked: Vec::new(),
            replayed_records: 0,
            replayed_bytes: 0,
            rejoined: false,
        }
    }

    /// The segment that holds the first record the tables lack, or the last one they hold.
    fn start(&mut self) -> Result<Option<Place>, RecoveryError> {
        for (one, other) in self.chain.iter().zip(self.chain.iter().skip(1)) {
            if one.1.sequence == other.1.sequence {
                return Err(RecoveryError::DoubleSegment { segment: one.0.id, other: other.0.id });
            }
        }
        let next = self.plan.applied.number.next();
        let Some(index) = self.chain.iter().rposition(|(_, head)| head.first <= next) else {
            self.last = self.plan.applied;
            return Ok(None);
        };
        Ok(Some(Place::beginning(index)))
    }

    fn follow(
        &mut self,
        window: &mut Window<'_>,
        start: Place,
        replay: &mut dyn FnMut(DurableRecord) -> Result<(), EngineError>,
    ) -> Result<(), RecoveryError> {
        let mut place = start;
        while let Some((found, head)) = self.chain.get(place.index).copied() {
            if place.is_beginning() && !self.enter(&found, &head)? {
                break;
            }
            self.walked.push(SegmentState {
                id: found.id,
                bytes: found.bytes,
                sequence: head.sequence,
                last: self.last.number,
            });
            self.walk_segment(window, &found, &mut place, replay)?;
            self.end = Some((place.index, place.offset));
            place = place.next_segment();
        }
        Ok(())
    }

    /// Checks that a segment follows what was walked; false if it does not and that may be a lost write.
    fn enter(&mut self, found: &Found, head: &SegmentHead) -> Result<bool, RecoveryError> {
        if head.generation > self.plan.generation {
            return Err(self.later(head.first, head.generation));
        }
        let Some(before) = self.walked.last() else {
            self.last = Mark {
                number: RecordNumber(head.first.0.saturating_sub(1)),
                checksum: head.previous,
                generation: head.generation,
            };
            self.check_history()?;
            return Ok(true);
        };
        // What the tables hold may be damaged: `rejoin` goes on behind it.
        let may_miss = self.plan.host_lost_writes || self.last.number < self.plan.applied.number;
        if head.sequence != before.sequence.next() {
            // `refuse_holes` looks whether the one between them is gone, or only its head.
            return Ok(false);
        }
        if head.first == self.last.number.next() && head.previous == self.last.checksum {
            return Ok(true);
        }
        if may_miss {
            return Ok(false);
        }
        if head.first == self.last.number.next() {
            return Err(RecoveryError::BrokenChain { number: head.first, segment: found.id });
        }
        let (index, offset) = self.end.unwrap_or_default();
        let segment = self.chain.get(index).map_or(found.id, |(found, _)| found.id);
        Err(RecoveryError::Damaged { number: self.last.number.next(), segment, offset, readable: head.first })
    }

    fn later(&self, number: RecordNumber, generation: Generation) -> RecoveryError {
        RecoveryError::LaterGeneration { number, generation, known: self.plan.generation }
    }

    /// The record that the tables end with must be the log's own.
    fn check_history(&self) -> Result<(), RecoveryError> {
        let applied = self.plan.applied;
        let same = self.last.number != applied.number
            || applied.number == RecordNumber::NONE
            || self.last.checksum == applied.checksum;
        if same { Ok(()) } else { Err(RecoveryError::OtherHistory { number: applied.number }) }
    }

    fn walk_segment(
        &mut self,
        window: &mut Window<'_>,
        found: &Found,
        place: &mut Place,
        replay: &mut dyn FnMut(DurableRecord) -> Result<(), EngineError>,
    ) -> Result<(), RecoveryError> {
        while let Some((head, bytes)) = window.record_at(found.id, found.bytes, place.offset)? {
            if head.number != self.last.number.next() {
                // A lower number is a former life's; a higher one is found by the scan.
                break;
            }
            if head.previous != self.last.checksum {
                if self.plan.host_lost_writes {
                    break;
                }
                return Err(RecoveryError::BrokenChain { number: head.number, segment: found.id });
            }
            if head.generation > self.plan.generation {
                return Err(self.later(head.number, head.generation));
            }
            self.last = head.mark();
            self.check_history()?;
            if head.number > self.plan.applied.number {
                self.replayed_records = self.replayed_records.saturating_add(1);
                self.replayed_bytes = self.replayed_bytes.saturating_add(wide_count(head.total_bytes));
                replay(DurableRecord::sealed(head, bytes.to_vec(), 0))?;
            }
            place.advance(head.total_bytes);
            if let Some(walked) = self.walked.last_mut() {
                walked.last = head.number;
            }
        }
        Ok(())
    }

    /// Damage among records that the tables hold already loses nothing: goes on behind the last one they hold.
    fn rejoin(
        &mut self,
        window: &mut Window<'_>,
        readable: &[Scanned],
        replay: &mut dyn FnMut(DurableRecord) -> Result<(), EngineError>,
    ) -> Result<(), RecoveryError> {
        let applied = self.plan.applied;
        if self.last.number >= applied.number {
            return Ok(());
        }
        let own = |found: &&Scanned| found.number == applied.number && found.checksum == applied.checksum;
        let next =
            |found: &&Scanned| found.number == applied.number.next() && found.previous == applied.checksum;
        let found = readable.iter().find(own).or_else(|| readable.iter().find(next)).copied();
        let index =
            found.and_then(|found| self.chain.iter().position(|(segment, _)| segment.id == found.segment));
        if let (Some(found), Some(index)) = (found, index) {
            let number = RecordNumber(found.number.0.saturating_sub(1));
            self.last = Mark { number, checksum: found.previous, generation: applied.generation };
            self.walked.clear();
            self.rejoined = true;
            return self.follow(window, Place::at(index, found.offset), replay);
        }
        if self.plan.host_lost_writes {
            self.last = applied;
            self.walked.clear();
            self.end = None;
        }
        Ok(())
    }

    /// A segment's head and first record are one write. If the head did not arrive, the record was never acknowledged:
    /// the only record behind the last one, and it stands where a segment's first record does.
    fn is_torn_beginning(&self, only: &Scanned) -> bool {
        only.number == self.last.number.next()
            && only.previous == self.last.checksum
            && only.offset == wide_count(crate::segment::SEGMENT_HEAD_BYTES)
            && self.walked.iter().all(|segment| segment.id != only.segment)
            && !self.has_later_segment()
    }

    /// A segment that the walk did not come to.
    fn has_later_segment(&self) -> bool {
        let sequence = self.walked.last().map_or(SegmentSequence(0), |segment| segment.sequence);
        self.chain.iter().any(|(_, head)| head.sequence > sequence)
    }

    fn refuse_holes(&self, readable: &[Scanned]) -> Result<(), RecoveryError> {
        let last = self.last.number;
        if let Some(found) =
            readable.iter().filter(|found| found.number > last).min_by_key(|found| found.number)
        {
            return Err(self.hole(found));
        }
        self.refuse_unwalked()?;
        let sequence = self.walked.last().map_or(SegmentSequence(0), |segment| segment.sequence);
        if self.has_later_segment() || sequence < self.plan.vouched.segment {
            return Err(RecoveryError::MissingSegment { sequence: sequence.next() });
        }
        if last < self.plan.vouched.number {
            return Err(RecoveryError::EndsBeforeVouched { last, vouched: self.plan.vouched.number });
        }
        if last < self.plan.applied.number {
            return Err(RecoveryError::EndsBeforeTables { last, applied: self.plan.applied.number });
        }
        Ok(())
    }

    /// What is wrong, if this is the first readable record behind the last one.
    fn hole(&self, found: &Scanned) -> RecoveryError {
        let (segment, readable) = (found.segment, found.number);
        if self.chain.iter().all(|(chained, _)| chained.id != segment) {
            return RecoveryError::DamagedHead { segment, readable };
        }
        if let Err(error) = self.refuse_unwalked() {
            return error;
        }
        let (index, offset) = self.end.unwrap_or_default();
        let segment = self.chain.get(index).map_or(segment, |(found, _)| found.id);
        RecoveryError::Damaged { number: self.last.number.next(), segment, offset, readable }
    }

    /// Segments that the walk did not come to lack one before them.
    fn refuse_unwalked(&self) -> Result<(), RecoveryError> {
        let Some(before) = self.walked.last() else {
            let Some((_, head)) = self.chain.first() else { return Ok(()) };
            let applied = self.plan.applied.number;
            return Err(RecoveryError::BeginsAfterTables { first: head.first, applied });
        };
        let sequence = before.sequence.next();
        let there = self.chain.iter().any(|(_, head)| head.sequence == sequence);
        if self.has_later_segment() && !there {
            return Err(RecoveryError::MissingSegment { sequence });
        }
        Ok(())
    }

    /// Makes readable records behind a hole unreadable, so that the next start does not find them.
    fn drop_readable(&self, files: &mut dyn LogFiles, readable: &[Scanned]) -> Result<(), RecoveryError> {
        for found in readable {
            zero(files, found.segment, found.offset, wide_count(crate::record::RECORD_HEAD_BYTES))?;
        }
        if !self.plan.host_lost_writes {
            return Ok(());
        }
        let kept = |id: SegmentId| self.walked.iter().any(|segment| segment.id == id);
        let heads = crate::segment::SEGMENT_HEAD_BYTES.saturating_add(crate::record::RECORD_HEAD_BYTES);
        for found in self.all.iter().filter(|found| !kept(found.id)) {
            // The first record's head, too: torn ones in a row would look like another log.
            zero(files, found.id, 0, wide_count(heads).min(found.bytes))?;
        }
        Ok(())
    }

    fn finish(
        self,
        files: &mut dyn LogFiles,
        dropped_records: u64,
    ) -> Result<(LogPosition, RecoveryReport), RecoveryError> {
        let tail = self.cut(files)?;
        let current = self.walked.last().map(|segment| segment.id);
        let needed =
            |segment: &&SegmentState| segment.last > self.plan.applied.number || Some(segment.id) == current;
        let used: Vec<_> = self.walked.iter().filter(needed).copied().collect();
        let in_use = |id: SegmentId| used.iter().any(|segment| segment.id == id);
        let free =
            self.all.iter().filter(|found| !in_use(found.id)).map(|found| (found.id, found.bytes)).collect();
        let padding = self.end.and_then(|(index, _)| self.chain.get(index)).map(|(_, head)| head.padding);
        let highest = self.chain.last().map_or(SegmentSequence(0), |(_, head)| head.sequence);
        let sequence =
            self.walked.last().map_or(highest.max(self.plan.vouched.segment), |last| last.sequence);
        let position = LogPosition {
            last: self.last,
            used,
            offset: self.end.map_or(0, |(_, offset)| offset),
            sealed: padding != Some(self.plan.padding),
            free,
            sequence,
            next_id: SegmentId(self.all.last().map_or(0, |found| found.id.0.saturating_add(1))),
        };
        let report = RecoveryReport {
            replayed_records: self.replayed_records,
            replayed_bytes: self.replayed_bytes,
            tail,
            dropped_records,
            damage_behind_tables: self.rejoined,
        };
        Ok((position, report))
    }

    /// Zeros what stands behind the last record, as far as a torn record can reach.
    fn cut(&self, files: &mut dyn LogFiles) -> Result<Tail, RecoveryError> {
        let Some((index, offset)) = self.end else {
            return Ok(Tail::Clean);
        };
        let Some((found, _)) = self.chain.get(index) else {
            return Ok(Tail::Clean);
        };
        let end = window::used_through(files, found.id, offset, found.bytes)?;
        let bytes = end.saturating_sub(offset);
        if bytes == 0 {
            return Ok(Tail::Clean);
        }
        let torn = window::begins(files, found.id, offset, self.last.number.next())?;
        zero(files, found.id, offset, bytes)?;
        Ok(Tail::Cut { segment: found.id, offset, bytes, torn })
    }
}

fn zero(files: &mut dyn LogFiles, segment: SegmentId, offset: u64, bytes: u64) -> Result<(), RecoveryError> {
    files.zero(segment, offset, bytes).map_err(|source| RecoveryError::Io { what: "write", segment, source })
}

#[cfg(test)]
mod tests;
