use super::*;
use crate::op::Op;
use crate::record::RecordBuilder;
use crate::tables::{MemoryTables, Table};
use crate::testing::{KEY, device, user};
use iris_protocol::Generation;

fn record(after: Mark) -> DurableRecord {
    let row = crate::op::UserRow::default();
    let ops = [Op::User { user: user(1), row }, Op::Unlink { user: user(1), device: device(1) }];
    RecordBuilder::record(&ops, KEY, after, Generation(1))
}

/// Proves: G-LOG-2 (a failed write ends the process): an error of the tables is the engine's error, at each call.
/// Seen to fail when: `fill` drops the error.
#[test]
fn errors_of_the_tables_are_not_hidden() {
    let mut engine = StorageEngine::new(1, MemoryTables::new()).unwrap();
    engine.absorb(record(Mark::default())).unwrap();
    engine.tables_mut().faults.applies_to_fail = 3;
    assert!(matches!(engine.fill(), Err(EngineError::Tables(_))));
    assert!(matches!(engine.load(&LoadRequest::User(user(1))), Err(EngineError::Tables(_))));
    assert!(engine.flush().is_err());
    engine.fill().unwrap();
    engine.tables_mut().faults.flushes_to_fail = 2;
    assert!(engine.flush().is_err());
    assert!(engine.start_flush().is_err());
    engine.tables_mut().faults.background_error = Some("disk".into());
    assert!(engine.check_background_errors().is_err());
}

/// Proves: G-LIMIT-5 (a lack of room is told from every other error of the tables).
/// Seen to fail when: every `IO error` counts as one.
#[test]
fn a_full_disk_is_told_from_other_errors() {
    let engine = |cause: &str| EngineError::from(TableError::Engine { table: "flush", cause: cause.into() });
    let full =
        "IO error: No space left on device: While appending to file: 000012.sst: No space left on device";
    assert!(engine(full).is_disk_full());
    assert!(!engine("IO error: While fsync: 000012.sst: Input/output error").is_disk_full());
    assert!(!EngineError::from(TableError::damaged(Table::Users, b"key")).is_disk_full());
}

/// Seen to fail when: `start_flush` does not fill first.
#[test]
fn a_flush_covers_what_was_absorbed() {
    let mut engine = StorageEngine::new(1, MemoryTables::new()).unwrap();
    let first = record(Mark::default());
    let after = first.head().mark();
    engine.absorb(first).unwrap();
    assert_eq!(engine.flushed_number().unwrap(), RecordNumber(0));
    assert_eq!(engine.flush().unwrap(), RecordNumber(1));
    engine.absorb(record(after)).unwrap();
    engine.tables_mut().faults.flush_hangs = true;
    engine.start_flush().unwrap();
    assert_eq!(engine.flushed_number().unwrap(), RecordNumber(1));
    engine.tables_mut().faults.flush_hangs = false;
    assert_eq!(engine.flushed_number().unwrap(), RecordNumber(2));
    assert_eq!(engine.tables().keys(Table::Users).len(), 1);
}

/// Seen to fail when: rows, bytes, memory, counters or the mark of what waits are given as none.
#[test]
fn an_engine_says_what_waits_for_its_tables() {
    let mut engine = StorageEngine::new(1, MemoryTables::new()).unwrap();
    let idle = engine.memory_bytes();
    assert_eq!((engine.mark(), engine.merged_rows(), engine.merged_bytes()), (Mark::default(), 0, 0));
    let first = record(Mark::default());
    let (after, bytes) = (first.head().mark(), first.as_bytes().len());
    engine.absorb(first).unwrap();
    assert_eq!((engine.mark(), engine.merged_rows()), (after, 2));
    assert!(engine.merged_bytes() > bytes, "{} bytes", engine.merged_bytes());
    assert!(engine.memory_bytes() > idle + crate::codec::wide(bytes), "{} bytes", engine.memory_bytes());
    assert_eq!((engine.counters().records, engine.counters().fills), (1, 0));
    engine.fill().unwrap();
    assert_eq!((engine.mark(), engine.merged_rows(), engine.merged_bytes()), (after, 0, 0));
    assert_eq!((engine.counters().records, engine.counters().fills), (1, 1));
}

/// What is held between two fills has a bound, whoever asks for a fill.
/// Seen to fail when: `MERGE_BYTES_MAX` is 0.
#[test]
fn a_batch_is_written_when_much_is_held() {
    let mut engine = StorageEngine::new(1, MemoryTables::new()).unwrap();
    let conversation = iris_protocol::ConversationId::direct(&user(1), &user(2));
    let message = crate::testing::envelope(&conversation, 1, &vec![7; 60_000]);
    let ops: Vec<Op> = (0..60).map(|_| crate::testing::accept(&message)).collect();
    let mut records = 0;
    while engine.counters().fills == 0 {
        let held = engine.merged_bytes();
        assert!(held < MERGE_BYTES_MAX && records < 100, "{held} bytes of {records} records are held");
        engine.absorb(RecordBuilder::record(&ops, KEY, engine.mark(), Generation(1))).unwrap();
        records += 1;
    }
    assert_eq!((engine.merged_bytes(), engine.tables().applied()), (0, engine.mark()));
    assert_eq!(records, MERGE_BYTES_MAX.div_ceil(60 * 60_000), "not earlier");
}
