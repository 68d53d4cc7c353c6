use super::*;
use crate::log::{LogConfig, RecordLog};
use crate::number::Checksum;
use crate::op::Op;
use crate::record::RECORD_HEAD_BYTES;
use crate::segment::{DirectoryLog, MemoryLog, SEGMENT_HEAD_BYTES};
use crate::testing::{Choice, KEY, Place, Traffic, Writer, samples, small_config, user};
use iris_protocol::Offset;
use proptest::prelude::*;

mod files;

fn plan(padding: Padding, applied: Mark) -> RecoveryPlan {
    let generation = Generation(1);
    let vouched = Vouch::default();
    RecoveryPlan { key: KEY, padding, applied, vouched, generation, host_lost_writes: false }
}

struct Recovered {
    records: Vec<DurableRecord>,
    position: LogPosition,
    report: RecoveryReport,
}

fn recovered(disk: &mut dyn LogFiles, plan: &RecoveryPlan) -> Result<Recovered, RecoveryError> {
    let mut records = Vec::new();
    let (position, report) = recover(disk, plan, &mut |record| {
        records.push(record);
        Ok(())
    })?;
    Ok(Recovered { records, position, report })
}

fn big(count: usize) -> Op {
    Op::Remove { user: user(1), offsets: vec![Offset(7); count] }
}

/// A log of `count` records over some segments.
fn written(padding: Padding, count: usize) -> (Writer, Vec<(DurableRecord, Place)>) {
    let mut writer = Writer::empty(padding);
    let records = (0..count)
        .map(|at| if at % 2 == 0 { writer.write(&[big(at * 379 % 4000)]) } else { writer.write(&samples()) })
        .collect();
    (writer, records)
}

fn numbers(records: &[DurableRecord]) -> Vec<u64> {
    records.iter().map(|record| record.number().0).collect()
}

/// Proves: G-CRASH-1 (a stop at any point is survived): recovery hands out what was acknowledged, from any mark on, and
/// a log that goes on from there is read back again.
/// Seen to fail when: a resumed log keeps the offset of the record it appended last.
#[test]
fn recovery_equals_what_was_acknowledged_from_any_mark() {
    for padding in [Padding::Block, Padding::Eight] {
        let (writer, written) = written(padding, 70);
        assert!(writer.log.used_segments().len() > 2);
        for applied in (0..=written.len()).step_by(3) {
            let mark = written[..applied].last().map_or(Mark::default(), |(record, _)| record.head().mark());
            let mut disk = writer.disk.clone();
            let found = recovered(&mut disk, &plan(padding, mark)).unwrap();
            let expected: Vec<_> =
                written[applied..].iter().map(|(record, _)| record.ops().unwrap()).collect();
            let ops: Vec<_> = found.records.iter().map(|record| record.ops().unwrap()).collect();
            assert_eq!(ops, expected, "from {applied}");
            assert_eq!(found.report.tail, Tail::Clean);
            assert_eq!(found.position.last, written.last().unwrap().0.head().mark());
            let mut goes_on = Writer::new(small_config(padding), found.position, disk);
            for _ in 0..9 {
                goes_on.write(&[big(3000)]);
            }
            let again = recovered(&mut goes_on.disk, &plan(padding, mark)).unwrap();
            assert_eq!(again.records.len(), written.len() - applied + 9, "from {applied}");
        }
    }
}

/// What a power cut leaves of a write: its first bytes, with what was there before behind them, or something else.
#[derive(Clone, Copy, Debug)]
enum Torn {
    Cut,
    Zeroed,
    Garbled,
}

fn tear(disk: &mut MemoryLog, place: &Place, at: usize, torn: Torn, before: &[u8]) {
    let bytes = disk.bytes_mut(place.segment).unwrap();
    let end = place.offset + place.bytes;
    match torn {
        Torn::Cut => bytes[place.offset + at..end].copy_from_slice(&before[place.offset + at..end]),
        Torn::Zeroed => bytes[place.offset + at..end].fill(0),
        Torn::Garbled => {
            for (index, byte) in bytes[place.offset + at..end].iter_mut().enumerate() {
                *byte = (index * 31 + at) as u8 | 1;
            }
        }
    }
}

fn torn_tail_is_cut(padding: Padding, rounds: usize) {
    // Enough rounds through few segments that the tail lies in a reused one.
    let mut writer = Writer::empty(padding);
    let mut last = Mark::default();
    for _ in 0..rounds {
        let (record, _) = writer.write(&[big(2500)]);
        last = record.head().mark();
        writer.log.flushed(record.number());
    }
    let (kept, _) = writer.write(&[big(1)]);
    let before = writer.disk.clone();
    let (record, place) = writer.write(&samples());
    let plan = plan(padding, last);
    for torn in [Torn::Cut, Torn::Zeroed, Torn::Garbled] {
        // Every byte of head and body; of the padding behind them, some.
        let body = RECORD_HEAD_BYTES + record.body().len();
        for at in (0..place.bytes - 1).filter(|at| *at <= body || at % 64 == 63) {
            let mut disk = writer.disk.clone();
            tear(&mut disk, &place, at, torn, before.bytes(place.segment).unwrap());
            if disk == writer.disk {
                continue;
            }
            let found =
                recovered(&mut disk, &plan).unwrap_or_else(|error| panic!("{torn:?} at {at}: {error}"));
            assert_eq!(numbers(&found.records), [kept.number().0], "{torn:?} at {at}");
            // What goes on from there is found again, and nothing of the torn record is.
            let mut goes_on = Writer::new(small_config(padding), found.position, disk);
            let (next, _) = goes_on.write(&[big(2)]);
            let again = recovered(&mut goes_on.disk, &plan).unwrap();
            assert_eq!(numbers(&again.records), [kept.number().0, next.number().0]);
            assert_eq!(again.records[1].ops().unwrap(), [big(2)]);
        }
    }
}

/// Proves: G-LOG-1 (a torn tail is told from damage): cut, zeroed or garbled at any byte, the last record is a tail that
/// was never acknowledged, and is cut.
/// Seen to fail when: `verify` skips the checksum.
#[test]
fn f_34_a_last_record_torn_at_any_byte_is_cut_in_a_fresh_segment() {
    torn_tail_is_cut(Padding::Block, 3);
    torn_tail_is_cut(Padding::Eight, 3);
}

/// Proves: G-LOG-1 (a torn tail is told from damage): so is one behind which a reused segment holds older records.
/// Seen to fail when: the walk takes a readable record of a lower number for damage.
#[test]
fn f_34_a_last_record_torn_at_any_byte_is_cut_in_a_reused_segment() {
    torn_tail_is_cut(Padding::Block, 40);
    torn_tail_is_cut(Padding::Eight, 97);
}

/// Proves: G-LOG-1 (a torn tail is told from damage): of a segment's first write, the disk may keep the record and lose the
/// head. It was never acknowledged; but a second record behind a lost head was.
/// Seen to fail when: `is_torn_beginning` is always false.
#[test]
fn a_segment_whose_head_was_torn_off_is_a_tail_with_one_record_and_damage_with_two() {
    for reused in [false, true] {
        let mut writer = Writer::empty(Padding::Block);
        let mut last = None;
        let (begun, place, before) = loop {
            let image = writer.disk.clone();
            let (record, place) = writer.write(&[big(3000)]);
            let rounds = if reused { 60 } else { 20 };
            if place.offset == 0 && record.number().0 > rounds {
                break (record, place, image);
            }
            if reused {
                writer.log.flushed(record.number());
            }
            last = Some(record);
        };
        let last = last.unwrap();
        let old = before.bytes(place.segment).unwrap()[..4096].to_vec();
        let plan = plan(Padding::Block, last.head().mark());
        let mut disk = writer.disk.clone();
        disk.bytes_mut(place.segment).unwrap()[..4096].copy_from_slice(&old);
        let found = recovered(&mut disk, &plan).unwrap();
        assert_eq!(found.position.last, last.head().mark(), "record {} was not acknowledged", begun.number());
        let mut goes_on = Writer::new(small_config(Padding::Block), found.position, disk);
        goes_on.write(&[big(1)]);
        assert_eq!(recovered(&mut goes_on.disk, &plan).unwrap().records.len(), 1);
        writer.write(&[big(1)]);
        writer.disk.bytes_mut(place.segment).unwrap()[..4096].copy_from_slice(&old);
        assert!(recovered(&mut writer.disk, &plan).is_err(), "two records: the first was acknowledged");
    }
}

/// Proves: G-LOG-1 (a torn tail is told from damage): a flipped bit in any byte before the last record refuses to start.
/// Seen to fail when: the scan for readable records behind the end is left out.
#[test]
fn f_35_a_flipped_bit_at_any_byte_of_an_earlier_record_refuses() {
    for padding in [Padding::Block, Padding::Eight] {
        let (writer, written) = written(padding, 10);
        let last = &written.last().unwrap().1;
        let mut checked = 0;
        for (_, place) in &written[..written.len() - 1] {
            for at in place.offset..place.offset + place.bytes {
                let mut disk = writer.disk.clone();
                disk.bytes_mut(place.segment).unwrap()[at] ^= 1 << (at % 8);
                let result = recovered(&mut disk, &plan(padding, Mark::default()));
                let Err(error) = result else { panic!("byte {at} of {place:?}, last {last:?}") };
                assert!(is_refusal(&error), "{error}");
                checked += 1;
            }
        }
        assert!(checked > 10_000, "{checked} bytes");
    }
}

fn is_refusal(error: &RecoveryError) -> bool {
    matches!(
        error,
        RecoveryError::Damaged { .. }
            | RecoveryError::DamagedHead { .. }
            | RecoveryError::BrokenChain { .. }
            | RecoveryError::MissingSegment { .. }
            | RecoveryError::BeginsAfterTables { .. }
    )
}

/// Proves: G-LOG-1 (a torn tail is told from damage): no segment can go missing, the last one included.
/// Seen to fail when: the sequence that META vouches for is not compared.
#[test]
fn f_35_a_missing_segment_refuses() {
    let (writer, written) = written(Padding::Block, 25);
    let used: Vec<_> = writer.log.used_segments().to_vec();
    assert!(used.len() >= 3);
    for segment in &used {
        let mut disk = writer.disk.clone();
        disk.remove(segment.id).unwrap();
        let plan = RecoveryPlan { vouched: writer.log.vouch(), ..plan(Padding::Block, Mark::default()) };
        let error = recovered(&mut disk, &plan).map(|_| ()).expect_err("a segment is missing");
        assert!(is_refusal(&error), "{error}");
        assert!(error.to_string().contains("restore"), "says what to do: {error}");
    }
    // Unless the tables hold everything in it.
    let first = used[0];
    let mark = written.iter().find(|(record, _)| record.number() == first.last).unwrap().0.head().mark();
    let mut disk = writer.disk.clone();
    disk.remove(first.id).unwrap();
    let found = recovered(&mut disk, &plan(Padding::Block, mark)).unwrap();
    assert_eq!(found.records.len(), written.len() - usize::try_from(first.last.0).unwrap());
}

/// Proves: G-LOG-1 (a torn tail is told from damage): a cut segment is damage if anything follows, or was vouched for.
/// Seen to fail when: the last number is not held against META's.
#[test]
fn a_truncated_log_refuses_below_what_is_vouched_for() {
    let (writer, written) = written(Padding::Block, 12);
    let (last, place) = written.last().unwrap();
    let (before, _) = &written[written.len() - 2];
    let mut disk = writer.disk.clone();
    disk.bytes_mut(place.segment).unwrap().truncate(place.offset);
    let vouch = writer.log.vouch();
    let vouched = RecoveryPlan { vouched: vouch, ..plan(Padding::Block, Mark::default()) };
    let error = recovered(&mut disk.clone(), &vouched).map(|_| ()).expect_err("the vouched record is gone");
    assert!(
        matches!(error, RecoveryError::EndsBeforeVouched { last, vouched } if last == before.number() && vouched == vouch.number),
        "{error}"
    );
    let applied = plan(Padding::Block, last.head().mark());
    let error = recovered(&mut disk.clone(), &applied).map(|_| ()).expect_err("the tables are ahead");
    assert!(matches!(error, RecoveryError::EndsBeforeTables { .. }), "{error}");
    let first = writer.log.used_segments()[0];
    disk.bytes_mut(first.id).unwrap().truncate(5000);
    assert!(recovered(&mut disk, &plan(Padding::Block, Mark::default())).is_err());
}

/// Proves: G-LOG-1 (a torn tail is told from damage): a log and tables of different histories refuse each other.
/// Seen to fail when: `check_history` is left out.
#[test]
fn another_history_refuses() {
    let (mut writer, written) = written(Padding::Eight, 5);
    let mark = written[2].0.head().mark();
    let other = Mark { checksum: Checksum(mark.checksum.0 ^ 1), ..mark };
    let error = recovered(&mut writer.disk, &plan(Padding::Eight, other)).map(|_| ()).unwrap_err();
    assert!(matches!(error, RecoveryError::OtherHistory { number } if number == mark.number), "{error}");
    let later = RecoveryPlan { generation: Generation(0), ..plan(Padding::Eight, mark) };
    let error = recovered(&mut writer.disk, &later).map(|_| ()).unwrap_err();
    assert!(matches!(error, RecoveryError::LaterGeneration { known: Generation(0), .. }), "{error}");
    // A record that another history wrote over the last one.
    let (mut fork, _) = self::written(Padding::Eight, 4);
    let (_, place) = fork.write(&[big(9)]);
    let (_, after) = fork.write(&[big(10)]);
    let from = fork.disk.bytes(after.segment).unwrap()[after.offset..after.offset + after.bytes].to_vec();
    let (_, own) = &written[4];
    assert_eq!((own.offset, own.segment), (place.offset, place.segment));
    let at = own.offset + own.bytes;
    writer.disk.bytes_mut(own.segment).unwrap()[at..at + from.len()].copy_from_slice(&from);
    let error = recovered(&mut writer.disk, &plan(Padding::Eight, Mark::default())).map(|_| ()).unwrap_err();
    assert!(matches!(error, RecoveryError::BrokenChain { .. }), "{error}");
}

/// Proves: G-LOG-1 (a torn tail is told from damage): damage among records that the tables hold is reported, and loses
/// nothing.
/// Seen to fail when: `rejoin` looks for the first record only.
#[test]
fn damage_behind_what_the_tables_hold_is_reported_and_loses_nothing() {
    let (writer, written) = written(Padding::Block, 25);
    let last = written.last().unwrap().0.number();
    for applied in 1..=written.len() {
        let mark = written[applied - 1].0.head().mark();
        for (_, place) in &written[..applied - 1] {
            let mut disk = writer.disk.clone();
            disk.bytes_mut(place.segment).unwrap()[place.offset + place.bytes - 4096 + 20] ^= 4;
            let found = recovered(&mut disk, &plan(Padding::Block, mark)).unwrap();
            assert_eq!(found.position.last.number, last);
            assert_eq!(found.records.len(), written.len() - applied, "{place:?} behind {applied}");
        }
    }
    let mut disk = writer.disk.clone();
    let place = written[0].1;
    disk.bytes_mut(place.segment).unwrap()[place.offset + 4096 + 20] ^= 4;
    let mark = written[1].0.head().mark();
    assert!(recovered(&mut disk, &plan(Padding::Block, mark)).unwrap().report.damage_behind_tables);
}

/// Proves: G-LOG-1 (a torn tail is told from damage): damage where the tables stand does not hide that the log is of another history.
/// Seen to fail when: `rejoin` takes the next record by its number alone.
#[test]
fn damage_where_the_tables_stand_hides_no_other_history() {
    let (writer, written) = written(Padding::Block, 25);
    for (record, place) in &written[1..written.len() - 1] {
        let mark = record.head().mark();
        let other = Mark { checksum: Checksum(mark.checksum.0 ^ 1), ..mark };
        let mut disk = writer.disk.clone();
        disk.bytes_mut(place.segment).unwrap()[place.offset + place.bytes - 4096 + 20] ^= 4;
        let mut replayed = 0;
        let outcome = recover(&mut disk, &plan(Padding::Block, other), &mut |_| {
            replayed += 1;
            Ok(())
        });
        let error = outcome.map(|_| ()).unwrap_err();
        let says_so = matches!(error, RecoveryError::OtherHistory { .. });
        assert!(says_so || is_refusal(&error), "{error}");
        assert_eq!(replayed, 0, "records of another history behind {:?}", mark.number);
    }
}

/// Proves: G-LOG-1 (damage among records that the tables hold loses nothing, in the last of them neither): what follows is
/// replayed.
/// Seen to fail when: `rejoin` looks for the tables' last record alone.
#[test]
fn damage_in_the_last_record_that_the_tables_hold_loses_nothing() {
    let (writer, written) = written(Padding::Block, 25);
    for at in 1..written.len() - 1 {
        let (record, place) = &written[at];
        let mut disk = writer.disk.clone();
        disk.bytes_mut(place.segment).unwrap()[place.offset + place.bytes - 4096 + 20] ^= 4;
        let found = recovered(&mut disk, &plan(Padding::Block, record.head().mark())).unwrap();
        let expected: Vec<u64> = written[at + 1..].iter().map(|(record, _)| record.number().0).collect();
        assert_eq!(numbers(&found.records), expected);
    }
}

/// Proves: G-LOG-1 (a torn tail is told from damage): a segment's first record whose head did not arrive was never acknowledged only if
/// it follows the last one that is readable.
/// Seen to fail when: `is_torn_beginning` looks only at where the record stands.
#[test]
fn a_first_record_without_its_head_behind_a_damaged_one_refuses() {
    let mut checked = 0;
    for count in 5..25 {
        let (mut writer, written) = written(Padding::Block, count);
        let [.., (_, before), (_, last)] = written.as_slice() else { unreachable!() };
        if last.segment == before.segment {
            continue;
        }
        checked += 1;
        writer.disk.bytes_mut(last.segment).unwrap()[..SEGMENT_HEAD_BYTES].fill(0);
        let mut torn = writer.disk.clone();
        let found = recovered(&mut torn, &plan(Padding::Block, Mark::default())).unwrap();
        assert_eq!(found.records.len(), count - 1);
        writer.disk.bytes_mut(before.segment).unwrap()[before.offset + before.bytes - 4096 + 20] ^= 4;
        let outcome = recovered(&mut writer.disk, &plan(Padding::Block, Mark::default()));
        let error = outcome.map(|found| found.records.len()).unwrap_err();
        assert!(is_refusal(&error), "{error}");
    }
    assert!(checked > 0, "no segment began with the last record");
}

/// Proves: G-LOG-1 (a torn tail is told from damage): nor is it a torn beginning if it has the next number, and another predecessor.
/// Seen to fail when: `is_torn_beginning` is content with either of the two.
#[test]
fn a_first_record_without_its_head_of_another_history_refuses() {
    let write = |other: Option<usize>| {
        let mut writer = Writer::empty(Padding::Block);
        let mut places = Vec::new();
        while places.last().is_none_or(|place: &Place| place.segment == SegmentId(0)) {
            let offset = Offset(if other == Some(places.len()) { 8 } else { 7 });
            places.push(writer.write(&[Op::Remove { user: user(1), offsets: vec![offset; 3000] }]).1);
        }
        (writer.disk, places)
    };
    let (own, places) = write(None);
    let [.., _, begun] = places.as_slice() else { unreachable!() };
    let (fork, others) = write(Some(places.len() - 2));
    assert_eq!(others, places, "they differ in the last record of the first segment alone");
    let (from, to) = (begun.offset + SEGMENT_HEAD_BYTES, begun.offset + begun.bytes);
    for (first, is_own) in [(&own, true), (&fork, false)] {
        let mut disk = own.clone();
        let segment = disk.bytes_mut(begun.segment).unwrap();
        segment[..SEGMENT_HEAD_BYTES].fill(0);
        segment[from..to].copy_from_slice(&first.bytes(begun.segment).unwrap()[from..to]);
        let outcome = recovered(&mut disk, &plan(Padding::Block, Mark::default()));
        match outcome.map(|found| found.records.len()) {
            Ok(records) => assert!(is_own && records == places.len() - 1, "{records} records"),
            Err(error) => assert!(!is_own && is_refusal(&error), "{error}"),
        }
    }
}

/// Seen to fail when: sequences are not compared.
#[test]
fn a_segment_that_was_copied_in_refuses() {
    let (mut writer, _) = written(Padding::Block, 12);
    let first = writer.log.used_segments()[0];
    let copy = writer.disk.bytes(first.id).unwrap().to_vec();
    writer.disk.create(SegmentId(99), first.bytes).unwrap();
    writer.disk.bytes_mut(SegmentId(99)).unwrap().copy_from_slice(&copy);
    let error = recovered(&mut writer.disk, &plan(Padding::Block, Mark::default())).map(|_| ()).unwrap_err();
    assert!(matches!(error, RecoveryError::DoubleSegment { .. }), "{error}");
}

/// Proves: G-LOG-1 (a torn tail is told from damage): bytes that a client sent cannot pass for a record.
/// Seen to fail when: the checksum is not seeded with the log's key.
#[test]
fn a_record_in_a_payload_is_not_a_record() {
    // An attacker who knows the format, but not the key: a record far ahead, as a payload.
    let after = Mark { number: RecordNumber(1 << 40), ..Mark::default() };
    let forged = crate::record::RecordBuilder::record(&samples(), LogKey(0), after, Generation(1));
    let conversation = iris_protocol::ConversationId::direct(&user(1), &user(2));
    let mut writer = Writer::empty(Padding::Eight);
    let mut last = 0;
    for shift in 0..8 {
        let mut payload = vec![0; shift];
        payload.extend_from_slice(forged.as_bytes());
        let envelope = crate::testing::envelope(&conversation, 1, &payload);
        last = writer.write(&[crate::testing::accept(&envelope)]).0.number().0;
    }
    let found = recovered(&mut writer.disk, &plan(Padding::Eight, Mark::default())).unwrap();
    assert_eq!(found.records.len(), usize::try_from(last).unwrap());
}

/// Proves: G-INCARNATION-1 (a rewound history is announced): after a stop of the host that lost unsynced writes, the log
/// is cut at the first hole, whatever is behind it, and is sound from then on.
/// Seen to fail when: readable records behind the hole are left.
#[test]
fn a_host_that_lost_writes_is_cut_at_the_first_hole() {
    let (writer, written) = written(Padding::Eight, 60);
    assert!(writer.log.used_segments().len() > 2);
    for hole in 0..written.len() {
        for applied in [0, 3, 31, 50, 60] {
            let mark = written[..applied].last().map_or(Mark::default(), |(record, _)| record.head().mark());
            let mut disk = writer.disk.clone();
            let place = &written[hole].1;
            disk.bytes_mut(place.segment).unwrap()[place.offset..place.offset + place.bytes].fill(0);
            let strict = RecoveryPlan { vouched: writer.log.vouch(), ..plan(Padding::Eight, mark) };
            let lossy = RecoveryPlan { host_lost_writes: true, ..strict };
            let found = recovered(&mut disk, &lossy).unwrap();
            let last = found.records.last().map_or(mark.number.0, |record| record.number().0);
            let expected = if hole < applied { last } else { u64::try_from(hole).unwrap() };
            assert_eq!(last, expected.max(mark.number.0), "hole {hole}, applied {applied}");
            let first = found.records.first().map(|record| record.number().0);
            assert!(first.is_none_or(|first| first == mark.number.0 + 1), "{first:?} after {mark:?}");
            let mut goes_on = Writer::new(small_config(Padding::Eight), found.position, disk);
            goes_on.write(&[big(100)]);
            let now = Vouch { number: RecordNumber(last), ..goes_on.log.vouch() };
            let strict = RecoveryPlan { vouched: now, ..strict };
            let again = recovered(&mut goes_on.disk, &strict)
                .unwrap_or_else(|error| panic!("hole {hole}, applied {applied}: {error}"));
            assert_eq!(again.position.last.number.0, last + 1, "hole {hole}, applied {applied}");
        }
    }
}

/// Proves: G-CRASH-1 (a stop at any point is survived): a recovery that stops anywhere is repeated.
/// Seen to fail when: the tail is zeroed from the record before it.
#[test]
fn f_33_a_recovery_that_fails_midway_is_repeated() {
    let (writer, written) = written(Padding::Block, 8);
    let (_, place) = written.last().unwrap();
    let mut disk = writer.disk.clone();
    disk.bytes_mut(place.segment).unwrap()[place.offset + place.bytes - 4096 + 70] ^= 1;
    let plan = plan(Padding::Block, Mark::default());
    disk.fail_writes_after(Some(0));
    let error = recovered(&mut disk, &plan).map(|_| ()).expect_err("the cut cannot be written");
    assert!(matches!(error, RecoveryError::Io { what: "write", .. }), "{error}");
    disk.fail_writes_after(None);
    for _ in 0..3 {
        let mut replayed = 0;
        let stopped = recover(&mut disk, &plan, &mut |record| {
            replayed += 1;
            let cause = String::new();
            let error = crate::tables::TableError::Engine { table: "test", cause };
            if replayed == 4 {
                Err(error.into())
            } else {
                drop(record);
                Ok(())
            }
        });
        assert!(matches!(stopped, Err(RecoveryError::Tables(_))));
    }
    let found = recovered(&mut disk, &plan).unwrap();
    assert_eq!(found.records.len(), 7);
    assert!(matches!(found.report.tail, Tail::Cut { torn: true, .. }), "{:?}", found.report);
    assert_eq!(recovered(&mut disk, &plan).unwrap().report.tail, Tail::Clean, "cut once");
}

/// Proves: G-LOG-1 (what recovery cut off is said): the beginning of the next record, or what is none.
/// Seen to fail when: `begins` is true, false, or compares the wrong way.
#[test]
fn a_cut_says_whether_the_next_record_began_there() {
    // The last record has another one before it in its segment.
    let several = (5..12).map(|count| written(Padding::Block, count));
    let is_second = |written: &[(DurableRecord, Place)]| {
        let [.., (_, before), (_, last)] = written else { return false };
        before.segment == last.segment
    };
    let (writer, written) = several.into_iter().find(|(_, written)| is_second(written)).unwrap();
    let place = &written.last().unwrap().1;
    for (at, began) in [(place.bytes - 4096 + 70, true), (0, false)] {
        let mut disk = writer.disk.clone();
        disk.bytes_mut(place.segment).unwrap()[place.offset + at] ^= 1;
        let found = recovered(&mut disk, &plan(Padding::Block, Mark::default())).unwrap();
        let Tail::Cut { torn, .. } = found.report.tail else { panic!("{:?}", found.report) };
        assert_eq!(torn, began, "byte {at}");
    }
}

/// Proves: G-LOG-1 (nothing of a torn record is left), also where one is longer than what is read at a time.
/// Seen to fail when: `used_through` ends with the first piece.
#[test]
fn what_is_left_of_a_torn_record_is_found_in_the_whole_segment() {
    let (mut disk, id, bytes) = (MemoryLog::new(), SegmentId(7), 3 << 20);
    disk.create(id, bytes).unwrap();
    assert_eq!(window::used_through(&mut disk, id, 4096, bytes).unwrap(), 4096);
    for last in [5_000, (5 << 19) + 1, (3 << 20) - 1] {
        disk.bytes_mut(id).unwrap()[last] = 1;
        assert_eq!(window::used_through(&mut disk, id, 4096, bytes).unwrap(), last as u64 + 1);
    }
}

/// Proves: G-CRASH-1 (a stop at any point is survived): files give what memory gives.
/// Seen to fail when: a window smaller than a record is not read anew.
#[test]
fn a_log_in_files_is_read_like_one_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = DirectoryLog::open(&folder.path().join("log")).unwrap();
    let config =
        LogConfig { segment_bytes: 3 << 20, record_bytes_max: 1 << 20, ..small_config(Padding::Block) };
    let mut log = RecordLog::new(config, LogPosition::default());
    let mut ops = Vec::new();
    for count in [100_000, 700_000, 5, 900_000, 1_000_000, 1, 999_999] {
        while let Some(segment) = log.needs_segment() {
            files.create(segment.id, segment.bytes).unwrap();
            assert!(files.create(segment.id, segment.bytes).is_err(), "made once");
            log.provide(segment);
        }
        ops.push(big(count));
        log.append(&[big(count)]);
        let write = log.seal().unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(files.path(write.segment())).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, write.bytes(), write.offset()).unwrap();
        log.written(write);
    }
    let found = recovered(&mut files, &plan(Padding::Block, Mark::default())).unwrap();
    let read: Vec<_> = found.records.iter().flat_map(|record| record.ops().unwrap()).collect();
    assert_eq!(read, ops);
    assert_eq!(found.position.last, log.last());
    assert_eq!(SegmentId::from_file_name("segment-00000007.log"), Some(SegmentId(7)));
    assert_eq!(SegmentId::from_file_name("segment-7.log"), None);
}

/// A change of the padding begins a new segment, and both kinds are read back.
/// Seen to fail when: `sealed` is not set for another padding.
#[test]
fn a_log_changes_its_padding_at_a_segment() {
    let (writer, written) = written(Padding::Eight, 5);
    let mut disk = writer.disk;
    let found = recovered(&mut disk, &plan(Padding::Block, Mark::default())).unwrap();
    let mut direct = Writer::new(small_config(Padding::Block), found.position, disk);
    let (_, place) = direct.write(&[big(3)]);
    assert_eq!(place.offset % 4096, 0);
    assert_ne!(place.segment, written.last().unwrap().1.segment);
    let found = recovered(&mut direct.disk, &plan(Padding::Block, Mark::default())).unwrap();
    assert_eq!(found.records.len(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Proves: G-CRASH-1 (a stop at any point is survived): over any number of stops with a torn record in flight, what was
    /// acknowledged is found, in order and nothing else, whatever was flushed and reused in between.
    /// Seen to fail when: recovery frees segments behind the replayed instead of the flushed number.
    #[test]
    fn acknowledged_records_survive_any_sequence_of_stops(
        steps in proptest::collection::vec((any::<Choice>(), any::<u8>(), any::<u16>()), 1..80),
        block in any::<bool>(),
    ) {
        let padding = if block { Padding::Block } else { Padding::Eight };
        let mut writer = Writer::empty(padding);
        let mut traffic = Traffic::default();
        let mut acknowledged: Vec<DurableRecord> = Vec::new();
        let mut flushed = Mark::default();
        for (choice, then, at) in steps {
            let mut ops = vec![traffic.op(choice)];
            ops.extend((0..then % 8).map(|more| big(usize::from(more) * 200)));
            let before = writer.disk.clone();
            let (record, place) = writer.write(&ops);
            if then < 64 {
                // Stopped while this record was in flight.
                let at = usize::from(at) % place.bytes;
                let torn = [Torn::Cut, Torn::Zeroed, Torn::Garbled][usize::from(then % 3)];
                let old = before.bytes(place.segment).map_or_else(|| vec![0; 32 << 10], <[u8]>::to_vec);
                let mut disk = writer.disk.clone();
                tear(&mut disk, &place, at, torn, &old);
                let found = recovered(&mut disk, &plan(padding, flushed)).unwrap();
                if found.position.last.number >= record.number() {
                    acknowledged.push(record);
                }
                let expected: Vec<_> = acknowledged.iter().filter(|record| record.number() > flushed.number).collect();
                prop_assert_eq!(found.records.len(), expected.len());
                for (found, expected) in found.records.iter().zip(expected) {
                    prop_assert_eq!(found.head(), expected.head());
                    prop_assert_eq!(found.body(), expected.body());
                }
                writer = Writer::new(small_config(padding), found.position, disk);
            } else {
                acknowledged.push(record);
            }
            if then % 5 == 0 {
                flushed = acknowledged.last().map_or(Mark::default(), |record| record.head().mark());
                writer.log.flushed(flushed.number);
            }
        }
    }
}

/// Proves: G-LOG-1 (a torn tail is told from damage): a start that is refused leaves the log as it is, so that it can be put
/// right and started again: a vouched segment whose only record lost its head is not dropped as a torn beginning.
/// Seen to fail when: what looks like a torn beginning is dropped before the refusal.
#[test]
fn f_35_a_refused_log_is_left_as_it_is() {
    let mut writer = Writer::empty(Padding::Block);
    let mut place = writer.write(&[big(2500)]).1;
    let first = place.segment;
    while place.segment == first {
        place = writer.write(&[big(2500)]).1;
    }
    let vouched = writer.log.vouch();
    let plan = RecoveryPlan { vouched, ..plan(Padding::Block, Mark::default()) };
    let mut disk = writer.disk.clone();
    disk.bytes_mut(place.segment).unwrap()[100] ^= 4;
    let before = disk.clone();
    let refused = recovered(&mut disk, &plan).map(|found| found.position);
    assert!(matches!(refused, Err(RecoveryError::MissingSegment { .. })), "{refused:?}");
    assert!(disk == before, "the log was changed");
    disk.bytes_mut(place.segment).unwrap()[100] ^= 4;
    assert_eq!(recovered(&mut disk, &plan).unwrap().position.last.number, vouched.number);
}
