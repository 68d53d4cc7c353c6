//! Target `record`: arbitrary bytes as a record, as the operations of a sound record, and as damage to a sound log.
//!
//! Invariants checked
//! - Nothing panics.
//! - A record is taken only with its checksum, which is computed here once more.
//! - What decodes encodes again to the same bytes.
//! - Recovery hands out what was written, from the first record on, and leaves out none below one that can still be
//!   read; a second recovery finds the same.

use iris_protocol::{Generation, Offset, UserId};
use iris_storage::log::{LogConfig, LogPosition};
use iris_storage::op::Op;
use iris_storage::record::{DurableRecord, RECORD_HEAD_BYTES, RecordBuilder, verify};
use iris_storage::recovery::{RecoveryPlan, Tail, recover};
use iris_storage::segment::{LogFiles, MemoryLog, Padding, SEGMENT_HEAD_BYTES};
use iris_storage::{LogKey, Mark, RecordLog, SegmentId, Vouch};
use std::sync::OnceLock;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const KEY: LogKey = LogKey(7);
const SEGMENT_BYTES: u64 = 8 << 10;
const RECORDS: usize = 60;
/// Where the checksum stands in a record's head.
const CHECKSUM_AT: usize = 56;

/// Judges one input; panics on a broken invariant.
pub(crate) fn check(bytes: &[u8]) {
    raw(bytes);
    sealed(bytes);
    damaged(bytes);
}

fn raw(bytes: &[u8]) {
    let Ok(head) = verify(KEY, bytes) else { return };
    let body = &bytes[..RECORD_HEAD_BYTES + head.body_bytes];
    let hashed = [&body[..CHECKSUM_AT], &body[RECORD_HEAD_BYTES..]].concat();
    assert_eq!(xxh3_64_with_seed(&hashed, KEY.0), head.checksum.0, "{head:?}");
    assert!(bytes[body.len()..head.total_bytes].iter().all(|byte| *byte == 0), "{head:?}");
}

/// Arbitrary operations in a record whose head and checksum are sound.
fn sealed(bytes: &[u8]) {
    let Some((ops, body)) = bytes.split_first() else { return };
    let total = (RECORD_HEAD_BYTES + body.len()).next_multiple_of(8);
    let mut record = b"IrisRec1".to_vec();
    record.extend(u32::try_from(total).expect("inputs are small").to_be_bytes());
    record.extend(u32::try_from(body.len()).expect("inputs are small").to_be_bytes());
    record.extend(1_u64.to_be_bytes());
    record.extend(0_u64.to_be_bytes());
    record.extend(1_u32.to_be_bytes());
    record.extend(u32::from(*ops % 8).to_be_bytes());
    record.resize(CHECKSUM_AT, 0);
    let checksum = xxh3_64_with_seed(&[&record, body].concat(), KEY.0);
    record.extend(checksum.to_be_bytes());
    record.extend_from_slice(body);
    record.resize(total, 0);
    let taken = DurableRecord::from_bytes(KEY, record.clone()).expect("head and checksum are sound");
    if let Ok(decoded) = taken.ops() {
        let again = RecordBuilder::record(&decoded, KEY, Mark::default(), Generation(1));
        assert_eq!(again.as_bytes(), record, "{decoded:?}");
    }
    // With any other checksum it is no record.
    record[CHECKSUM_AT + usize::from(*ops % 8)] ^= 1 << (ops / 8 % 8);
    assert!(verify(KEY, &record).is_err());
}

/// A log of some segments, and the records in it.
fn sound() -> &'static (MemoryLog, Vec<Vec<u8>>) {
    static SOUND: OnceLock<(MemoryLog, Vec<Vec<u8>>)> = OnceLock::new();
    SOUND.get_or_init(|| {
        let config = LogConfig {
            padding: Padding::Eight,
            segment_bytes: SEGMENT_BYTES,
            record_bytes_max: 1 << 10,
            ..LogConfig::new(KEY, Generation(1))
        };
        let mut log = RecordLog::new(config, LogPosition::default());
        let (mut disk, mut records) = (MemoryLog::new(), Vec::new());
        for number in 0..RECORDS {
            while let Some(segment) = log.needs_segment() {
                disk.create(segment.id, segment.bytes).expect("a segment in memory");
                log.provide(segment);
            }
            let user = UserId::parse("user").expect("an id");
            log.append(&[Op::Remove { user, offsets: vec![Offset(1 << 40); 1 + number * 7 % 30] }]);
            let write = log.seal().expect("nothing is in flight");
            disk.write_at(write.segment(), write.offset(), write.bytes()).expect("the segment exists");
            records.push(log.written(write).record.as_bytes().to_vec());
        }
        (disk, records)
    })
}

fn plan() -> RecoveryPlan {
    RecoveryPlan {
        key: KEY,
        padding: Padding::Eight,
        applied: Mark::default(),
        vouched: Vouch::default(),
        generation: Generation(1),
        host_lost_writes: false,
    }
}

fn damaged(mut edits: &[u8]) {
    let (disk, written) = sound();
    let mut disk = disk.clone();
    while let [kind, segment, high, low, rest @ ..] = edits {
        let id = SegmentId(u32::from(*segment % 5));
        let at = usize::from(u16::from_be_bytes([*high, *low])) % (SEGMENT_BYTES as usize);
        edits = damage(&mut disk, *kind, (id, at), rest);
    }
    let before = disk.clone();
    let Ok((found, _)) = recovered(&mut disk) else { return };
    assert!(found.len() <= written.len(), "{} records were made up", found.len() - written.len());
    assert!(found.iter().zip(written).all(|(found, written)| found == written), "a record is another");
    let last = u64::try_from(found.len()).expect("few records");
    let readable = readable(before, last);
    assert!(readable.is_empty() || readable == [last + 1], "after {last}, {readable:?} can be read");
    let (again, tail) = recovered(&mut disk).expect("what was recovered is sound");
    assert!(again == found && tail == Tail::Clean, "{} records, then {}: {tail:?}", found.len(), again.len());
}

/// One edit; what is left of the input.
fn damage<'i>(disk: &mut MemoryLog, kind: u8, (id, at): (SegmentId, usize), rest: &'i [u8]) -> &'i [u8] {
    let count = rest.first().map_or(1, |count| 1 + usize::from(*count));
    let other = SegmentId(u32::try_from(count % 7).expect("small"));
    match kind % 8 {
        0 | 1 => {
            let (new, rest) = rest.split_at(count.min(rest.len()));
            overwrite(disk, id, at, new);
            return rest;
        }
        2 => overwrite(disk, id, at, &vec![0; count]),
        3 => overwrite(disk, id, at, &vec![0xa5; count * 8]),
        4 => {
            if let Some(byte) = disk.bytes_mut(id).and_then(|bytes| bytes.get_mut(at)) {
                *byte ^= 1 << (count % 8);
            }
        }
        5 => {
            if let Some(bytes) = disk.bytes_mut(id) {
                bytes.truncate(at);
            }
        }
        6 => drop(disk.remove(id)),
        _ => copy(disk, id, other, at),
    }
    rest.get(1..).unwrap_or_default()
}

fn overwrite(disk: &mut MemoryLog, id: SegmentId, at: usize, new: &[u8]) {
    let Some(bytes) = disk.bytes_mut(id) else { return };
    let old = bytes.get_mut(at..).unwrap_or_default();
    old.iter_mut().zip(new).for_each(|(old, new)| *old = *new);
}

/// A segment from some byte on, into another one or a new one.
fn copy(disk: &mut MemoryLog, from: SegmentId, to: SegmentId, at: usize) {
    let Some(bytes) = disk.bytes(from).map(<[u8]>::to_vec) else { return };
    // Refused if it is there already, which is as good.
    let _exists = disk.create(to, SEGMENT_BYTES);
    let start = if at.is_multiple_of(2) { 0 } else { at.next_multiple_of(8) };
    overwrite(disk, to, start, bytes.get(start..).unwrap_or_default());
}

fn recovered(disk: &mut MemoryLog) -> Result<(Vec<Vec<u8>>, Tail), ()> {
    let mut found = Vec::new();
    let result = recover(disk, &plan(), &mut |record| {
        found.push(record.as_bytes().to_vec());
        Ok(())
    });
    result.map(|(_, report)| (found, report.tail)).map_err(|_| ())
}

/// The numbers above `last` of the records that stand anywhere.
fn readable(mut disk: MemoryLog, last: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    for id in disk.list().expect("segments in memory") {
        let bytes = disk.bytes(id).unwrap_or_default();
        for at in (SEGMENT_HEAD_BYTES..bytes.len()).step_by(8) {
            numbers.extend(verify(KEY, &bytes[at..]).ok().map(|head| head.number.0));
        }
    }
    numbers.retain(|number| *number > last);
    numbers
}
