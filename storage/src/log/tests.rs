use super::*;
use crate::record::verify;
use crate::segment::{LogFiles, MemoryLog};
use crate::testing::{KEY, Writer, samples, small_config, user};
use iris_protocol::Offset;

fn op(bytes: usize) -> Op {
    let offsets = (0..u64::try_from(bytes).unwrap()).map(|_| Offset(1)).collect();
    Op::Remove { user: user(1), offsets }
}

fn provided(padding: Padding) -> RecordLog {
    let mut log = RecordLog::new(small_config(padding), LogPosition::default());
    let segment = log.needs_segment().unwrap();
    log.provide(segment);
    log
}

/// Proves: G-ACK-1 (accepted means stored): a ticket is through only when the write that holds it came back.
/// Seen to fail when: `seal` takes the tickets of what is gathered after it.
#[test]
fn what_gathers_while_a_write_is_in_flight_is_in_the_next_record() {
    let mut log = provided(Padding::Eight);
    let first = log.append(&samples());
    let write = log.seal().unwrap();
    assert_eq!((write.through(), log.last_ticket()), (first, first));
    let second = log.append(&[op(1)]);
    let third = log.append(&[op(2)]);
    assert_eq!((first, second, third), (Ticket(1), Ticket(2), Ticket(3)));
    assert!(log.seal().is_none(), "a second write while one is in flight");
    assert!(log.is_in_flight() && !log.is_idle());
    let durable = log.written(write);
    assert_eq!(durable.through, first);
    assert_eq!(durable.record.ops().unwrap(), samples());
    let write = log.seal().unwrap();
    assert_eq!(write.number(), RecordNumber(2));
    let durable = log.written(write);
    assert_eq!(durable.through, third);
    assert_eq!(durable.record.ops().unwrap(), [op(1), op(2)]);
    assert!(log.is_idle());
    assert_eq!(log.waiting_bytes(), 0);
}

/// What a log says of itself is what its driver waits for: at a stop, and before it looks for the next record.
/// Seen to fail when: `is_idle`, `has_gathered` or `waiting_bytes` leaves out the open record, the full ones, or the one in
/// flight.
#[test]
fn a_log_is_idle_when_nothing_waits_and_nothing_is_in_flight() {
    let mut log = provided(Padding::Eight);
    let says = |log: &RecordLog| (log.has_gathered(), log.is_in_flight(), log.is_idle(), log.is_stalled());
    assert_eq!((says(&log), log.waiting_bytes()), ((false, false, true, false), 0));
    log.append(&[op(5000)]);
    assert_eq!(says(&log), (true, false, false, false), "in the open record");
    let one = log.waiting_bytes();
    assert!((5000..5100).contains(&one), "{one} bytes");
    let write = log.seal().unwrap();
    assert_eq!((says(&log), log.waiting_bytes()), ((false, true, false, false), 0), "in flight alone");
    log.append(&[op(5000)]);
    log.append(&[op(5000)]);
    assert_eq!((says(&log), log.waiting_bytes()), ((true, true, false, false), 2 * one), "a full one");
    log.written(write);
    let write = log.seal().unwrap();
    assert_eq!((says(&log), log.waiting_bytes()), ((true, true, false, false), one));
    log.written(write);
    assert_eq!(says(&log), (true, false, false, false));
    let write = log.seal().unwrap();
    log.written(write);
    assert_eq!((says(&log), log.waiting_bytes()), ((false, false, true, false), 0));
    assert_eq!(log.last_ticket(), Ticket(3));
}

/// Seen to fail when: a full record is not closed in front of the batch that does not fit.
#[test]
fn a_batch_is_never_torn_over_two_records() {
    let mut log = provided(Padding::Eight);
    let batches: Vec<Vec<Op>> = (1..40).map(|n| vec![op(n * 20), op(n), op(n * 30)]).collect();
    let tickets: Vec<Ticket> = batches.iter().map(|batch| log.append(batch)).collect();
    let mut through = Ticket(0);
    let mut seen: Vec<Op> = Vec::new();
    let mut records = 0;
    loop {
        while let Some(segment) = log.needs_segment() {
            log.provide(segment);
        }
        let Some(write) = log.seal() else { break };
        let durable = log.written(write);
        assert!(durable.through > through, "tickets go up");
        through = durable.through;
        seen.extend(durable.record.ops().unwrap());
        let whole: Vec<Op> = batches[..usize::try_from(through.0).unwrap()].concat();
        assert_eq!(seen, whole, "through {through}");
        assert!(durable.record.body().len() <= small_config(Padding::Eight).record_bytes_max);
        records += 1;
    }
    assert_eq!(through, *tickets.last().unwrap());
    assert!(records > 5, "{records} records");
    assert_eq!(log.waiting_bytes(), 0);
}

/// Seen to fail when: `make_room` begins a segment that is not free; or only a log that must begin one counts as stalled.
#[test]
fn without_a_free_segment_records_wait() {
    let mut log = RecordLog::new(small_config(Padding::Block), LogPosition::default());
    assert!(!log.is_stalled(), "nothing waits");
    let ticket = log.append(&[op(1)]);
    assert!(log.seal().is_none());
    assert!(log.is_stalled());
    let segment = log.needs_segment().unwrap();
    assert_eq!(log.needs_segment(), Some(segment), "asked again before it is provided");
    log.provide(segment);
    assert!(!log.is_stalled());
    let write = log.seal().unwrap();
    assert_eq!(log.written(write).through, ticket);
    let next = log.needs_segment().unwrap();
    assert_ne!(next.id, segment.id, "the next one is asked for ahead of need");
    let mut records = 1;
    let ticket = loop {
        let ticket = log.append(&[op(3000)]);
        let Some(write) = log.seal() else { break ticket };
        assert!(!log.is_stalled());
        log.written(write);
        records += 1;
    };
    assert!(log.is_stalled() && records > 3, "the segment is full, with {records} records");
    log.provide(next);
    assert!(!log.is_stalled());
    let write = log.seal().unwrap();
    assert_eq!((write.segment(), write.offset()), (next.id, 0));
    assert_eq!(log.written(write).through, ticket);
}

/// Proves: G-CRASH-1 (a stop at any point is survived): a segment is written again only when the tables hold it.
/// Seen to fail when: `flushed` frees segments whose last record is above the flushed number.
#[test]
fn a_segment_is_free_again_only_behind_the_flushed_number() {
    let mut writer = Writer::empty(Padding::Block);
    let mut last_of = Vec::new();
    for _ in 0..20 {
        let (record, place) = writer.write(&[op(3000)]);
        if last_of.last().is_none_or(|(segment, _)| *segment != place.segment) {
            last_of.push((place.segment, record.number()));
        }
        last_of.last_mut().unwrap().1 = record.number();
    }
    assert!(last_of.len() >= 3, "{last_of:?}");
    let used = writer.log.used_segments().len();
    let (first, last) = last_of[0];
    writer.log.flushed(RecordNumber(last.0 - 1));
    assert_eq!(writer.log.used_segments().len(), used);
    writer.log.flushed(last);
    assert_eq!(writer.log.used_segments().len(), used - 1);
    assert!(writer.log.used_segments().iter().all(|segment| segment.id != first));
    writer.log.flushed(RecordNumber(u64::MAX));
    assert_eq!(writer.log.used_segments().len(), 1, "the current segment stays");
    let segments = writer.disk.list().unwrap().len();
    for _ in 0..200 {
        let (record, _) = writer.write(&[op(3000)]);
        writer.log.flushed(record.number());
    }
    assert!(writer.disk.list().unwrap().len() <= segments + 1, "segments are used again");
}

/// Proves: G-LOG-1 (a torn tail is told from damage): the first record of a segment brings the head with it.
/// Seen to fail when: the head names the number of the record before.
#[test]
fn a_segment_begins_with_its_head_in_the_same_write() {
    let mut log = provided(Padding::Block);
    log.append(&[op(1)]);
    let write = log.seal().unwrap();
    assert_eq!(write.offset(), 0);
    assert_eq!(write.bytes().len(), 8192);
    let head = SegmentHead::read(KEY, write.bytes()).unwrap();
    assert_eq!((head.sequence, head.first), (SegmentSequence(1), RecordNumber(1)));
    assert_eq!(verify(KEY, &write.bytes()[4096..]).unwrap().number, RecordNumber(1));
    let durable = log.written(write);
    assert_eq!(durable.vouch, Some(Vouch { number: RecordNumber(1), segment: SegmentSequence(1) }));
    log.append(&[op(1)]);
    let write = log.seal().unwrap();
    assert_eq!((write.offset(), write.bytes().len()), (8192, 4096));
    assert_eq!(log.written(write).vouch, None);
}

/// Seen to fail when: a reused buffer keeps the bytes of its former record; or a compact record begins with those before it in its piece.
#[test]
fn a_reused_buffer_brings_nothing_along() {
    let mut fresh = provided(Padding::Eight);
    let mut reusing = provided(Padding::Eight);
    for count in [700, 3, 500, 1] {
        fresh.append(&[op(count)]);
        reusing.append(&[op(count)]);
        let (one, other) = (fresh.seal().unwrap(), reusing.seal().unwrap());
        assert_eq!(one.bytes(), other.bytes());
        fresh.written(one);
        let record = reusing.written(other).record;
        let compact = reusing.compact(record.clone());
        assert_eq!((compact.head(), compact.body()), (record.head(), record.body()));
    }
}

/// Seen to fail when: `append` closes a record that is exactly full, and in front of it one without operations.
#[test]
fn a_batch_as_large_as_a_record_is_one_record() {
    let mut log = provided(Padding::Eight);
    let max = small_config(Padding::Eight).record_bytes_max;
    let around = {
        log.append(&[op(8000)]);
        log.waiting_bytes() - 8000
    };
    let write = log.seal().unwrap();
    log.written(write);
    for _ in 0..2 {
        log.append(&[op(max - around)]);
        assert_eq!(log.waiting_bytes(), max);
        let write = log.seal().unwrap();
        let durable = log.written(write);
        assert_eq!((durable.record.body().len(), durable.record.ops().unwrap().len()), (max, 1));
        assert!(log.is_idle());
        while let Some(segment) = log.needs_segment() {
            log.provide(segment);
        }
    }
}

/// What is kept for the next record has a bound, in number and in size.
/// Seen to fail when: `reuse` keeps nothing; keeps every buffer; or keeps large ones.
#[test]
fn few_and_small_buffers_are_kept_for_reuse() {
    let mut log = provided(Padding::Eight);
    log.reuse(Vec::with_capacity((1 << 20) + 1));
    assert_eq!(log.buffers.len(), 0, "a large one is not kept");
    for count in 1..=SPARE_BUFFERS_MAX + 5 {
        log.reuse(Vec::with_capacity(1 << 20));
        assert_eq!(log.buffers.len(), count.min(SPARE_BUFFERS_MAX));
    }
    log.append(&[op(1)]);
    let write = log.seal().unwrap();
    log.written(write);
    assert_eq!(log.buffers.len(), SPARE_BUFFERS_MAX - 1, "the next record gathers in one of them");
}

#[test]
#[should_panic(expected = "an append without operations")]
fn an_empty_append_is_a_bug() {
    provided(Padding::Eight).append(&[]);
}

#[test]
#[should_panic(expected = "does not fit into a record")]
fn a_batch_larger_than_a_record_is_a_bug() {
    provided(Padding::Eight).append(&[op(9000)]);
}

/// Seen to fail when: `check` looks at nothing.
#[test]
#[should_panic(expected = "a record needs 12288")]
fn segments_that_cannot_hold_a_record_are_a_bug() {
    let config = LogConfig { segment_bytes: 8192, record_bytes_max: 8000, ..small_config(Padding::Block) };
    RecordLog::new(config, LogPosition::default());
}

/// Seen to fail when: `new` takes any position.
#[test]
#[should_panic(expected = "log of a later generation")]
fn going_on_behind_a_later_generation_is_a_bug() {
    let later = Mark { generation: Generation(2), ..Mark::default() };
    RecordLog::new(small_config(Padding::Block), LogPosition { last: later, ..LogPosition::default() });
}

/// Seen to fail when: `check` looks at nothing.
#[test]
#[should_panic(expected = "not of blocks")]
fn segments_that_end_inside_a_block_are_a_bug() {
    let config = LogConfig { segment_bytes: (32 << 10) + 8, ..small_config(Padding::Block) };
    RecordLog::new(config, LogPosition::default());
}

/// Seen to fail when: `MemoryLog::create` overwrites.
#[test]
fn a_disk_in_memory_makes_a_segment_once() {
    let mut disk = MemoryLog::new();
    disk.create(SegmentId(1), 8192).unwrap();
    assert!(disk.create(SegmentId(1), 8192).is_err());
    disk.fail_writes_after(Some(0));
    assert!(disk.create(SegmentId(2), 8192).is_err());
    assert_eq!(disk.list().unwrap(), [SegmentId(1)]);
    let mut shared = crate::segment::SharedLog::new(disk.clone());
    assert!(disk.sync(SegmentId(1)).is_ok() && shared.sync(SegmentId(1)).is_ok());
    assert!(disk.sync(SegmentId(2)).is_err() && shared.sync(SegmentId(2)).is_err(), "it is not there");
}
