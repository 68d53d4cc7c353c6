//! One suite for every kind of tables.

use super::*;
use crate::number::Checksum;
use crate::testing::dump;
use iris_protocol::Generation;

/// Tables that a test can stop.
trait Host {
    type Tables: Tables;
    fn new() -> Self;
    fn open(&mut self) -> Self::Tables;
    /// The process is killed: what was flushed is there.
    fn kill(&mut self, tables: Self::Tables) -> Self::Tables;
    /// Changes a stored value behind the tables' back; they are open.
    fn damage(&mut self, tables: &mut Self::Tables, table: Table, key: &[u8]);
}

struct MemoryHost;

impl Host for MemoryHost {
    type Tables = MemoryTables;

    fn new() -> Self {
        Self
    }

    fn open(&mut self) -> MemoryTables {
        MemoryTables::new()
    }

    fn kill(&mut self, mut tables: MemoryTables) -> MemoryTables {
        tables.power_cut();
        tables
    }

    fn damage(&mut self, tables: &mut MemoryTables, table: Table, key: &[u8]) {
        assert!(tables.flip_bit(table, key, 3), "no such row");
    }
}

/// Tables in memory that a simulated host keeps.
struct SharedHost;

impl Host for SharedHost {
    type Tables = SharedTables<MemoryTables>;

    fn new() -> Self {
        Self
    }

    fn open(&mut self) -> Self::Tables {
        SharedTables::new(MemoryTables::new())
    }

    /// What is there is what the other hand sees.
    fn kill(&mut self, tables: Self::Tables) -> Self::Tables {
        let kept = tables.clone();
        drop(tables);
        kept.with(MemoryTables::power_cut);
        kept
    }

    fn damage(&mut self, tables: &mut Self::Tables, table: Table, key: &[u8]) {
        assert!(tables.with(|tables| tables.flip_bit(table, key, 3)), "no such row");
    }
}

fn mark(number: u64) -> Mark {
    Mark { number: RecordNumber(number), checksum: Checksum(number * 7), generation: Generation(1) }
}

fn rows(tables: &dyn Tables, table: Table, from: &[u8], end: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    tables
        .scan(table, from, end, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            Ok(Next::Continue)
        })
        .unwrap();
    rows
}

fn get(tables: &dyn Tables, table: Table, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = b"left over".to_vec();
    tables.get(table, key, &mut value).unwrap().then_some(value)
}

fn a_batch_is_applied_in_order_with_its_mark<H: Host>() {
    let mut host = H::new();
    let mut tables = host.open();
    assert_eq!(tables.applied(), Mark::default());
    let mut batch = ChangeList::default();
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Facts) {
        batch.put(table, b"\x00\x01a", b"one");
        batch.put(table, b"\x00\x01b", b"");
        batch.put(table, b"\x00\x02c", b"three");
        batch.delete(table, b"\x00\x01a");
        batch.put(table, b"\x00\x01a", b"two");
        batch.delete(table, b"\x00\x02c");
        batch.delete(table, b"\x00\x02never there");
    }
    tables.apply(&batch, mark(3)).unwrap();
    assert_eq!(tables.applied(), mark(3));
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Facts) {
        let expected = [(b"\x00\x01a".to_vec(), b"two".to_vec()), (b"\x00\x01b".to_vec(), Vec::new())];
        assert_eq!(rows(&tables, table, b"", b"\x04"), expected, "{table:?}");
        assert_eq!(get(&tables, table, b"\x00\x01b"), Some(Vec::new()));
        assert_eq!(get(&tables, table, b"\x00\x02c"), None);
    }
    let mut batch = ChangeList::default();
    batch.delete_range(Table::Inbox, b"\x00\x01b", b"\x00\x02");
    batch.put(Table::Inbox, b"\x00\x01ba", b"after the range was deleted");
    tables.apply(&batch, mark(4)).unwrap();
    let left: Vec<_> = rows(&tables, Table::Inbox, b"", b"\x04").into_iter().map(|(key, _)| key).collect();
    assert_eq!(left, [b"\x00\x01a".to_vec(), b"\x00\x01ba".to_vec()]);
}

fn a_scan_keeps_to_its_range_and_stops<H: Host>() {
    let mut host = H::new();
    let mut tables = host.open();
    let mut batch = ChangeList::default();
    for number in 0_u8..100 {
        batch.put(Table::Users, &[0, number], &[number]);
    }
    tables.apply(&batch, mark(1)).unwrap();
    tables.flush().unwrap();
    let found = rows(&tables, Table::Users, &[0, 10], &[0, 20]);
    assert_eq!(found.len(), 10);
    assert_eq!(found[0].0, [0, 10]);
    assert_eq!(rows(&tables, Table::Users, &[0, 20], &[0, 10]), []);
    let mut seen = 0;
    tables
        .scan(Table::Users, &[0, 5], &[1], &mut |_, _| {
            seen += 1;
            Ok(if seen == 3 { Next::Stop } else { Next::Continue })
        })
        .unwrap();
    assert_eq!(seen, 3);
    let stop = |_: &[u8], _: &[u8]| Err(TableError::Background { cause: "visit".into() });
    assert!(tables.scan(Table::Users, &[0], &[1], &mut { stop }).is_err());
    assert_eq!(tables.approximate_rows(Table::Users).unwrap(), 100);
}

fn after_a_kill_tables_stand_at_a_flushed_record<H: Host>() {
    let mut host = H::new();
    let mut tables = host.open();
    let mut flushed = 0;
    for number in 1..=30_u64 {
        let mut batch = ChangeList::default();
        for table in Table::ALL.into_iter().filter(|table| *table != Table::Facts) {
            batch.put(table, &number.to_be_bytes(), &number.to_be_bytes());
            batch.put(table, b"last", &number.to_be_bytes());
        }
        tables.apply(&batch, mark(number)).unwrap();
        if number % 7 == 0 {
            tables.flush().unwrap();
            flushed = number;
            assert_eq!(tables.flushed_number().unwrap(), RecordNumber(number));
        }
    }
    assert_eq!(tables.flushed_number().unwrap(), RecordNumber(flushed));
    let tables = host.kill(tables);
    let at = tables.applied();
    assert_eq!(at, mark(flushed));
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Facts) {
        assert_eq!(get(&tables, table, b"last"), Some(flushed.to_be_bytes().to_vec()), "{table:?}");
        assert_eq!(rows(&tables, table, b"", b"k").len(), usize::try_from(flushed).unwrap());
    }
}

fn a_started_flush_is_durable_when_its_number_is_reported<H: Host>() {
    let mut host = H::new();
    let mut tables = host.open();
    let mut batch = ChangeList::default();
    batch.put(Table::Dedup, b"key", b"value");
    tables.apply(&batch, mark(5)).unwrap();
    tables.start_flush().unwrap();
    tables.start_flush().unwrap();
    let mut later = ChangeList::default();
    later.put(Table::Dedup, b"later", b"value");
    tables.apply(&later, mark(6)).unwrap();
    while tables.flushed_number().unwrap() < RecordNumber(5) {
        std::thread::yield_now();
    }
    assert_eq!(tables.flushed_number().unwrap(), RecordNumber(5));
    let tables = host.kill(tables);
    assert_eq!(get(&tables, Table::Dedup, b"key"), Some(b"value".to_vec()));
    assert_eq!(tables.applied(), mark(5));
}

fn a_damaged_value_is_found_by_every_read<H: Host>() {
    let mut host = H::new();
    let mut tables = host.open();
    let mut batch = ChangeList::default();
    for key in [b"\x00\x01a", b"\x00\x01b", b"\x00\x01c"] {
        batch.put(Table::Inbox, key, b"value");
    }
    tables.apply(&batch, mark(1)).unwrap();
    host.damage(&mut tables, Table::Inbox, b"\x00\x01b");
    let damaged = TableError::Damaged { table: "inbox", key: "000162".into() };
    assert_eq!(tables.get(Table::Inbox, b"\x00\x01b", &mut Vec::new()), Err(damaged.clone()));
    assert_eq!(tables.scan(Table::Inbox, b"", b"\x04", &mut |_, _| Ok(Next::Continue)), Err(damaged));
    assert_eq!(get(&tables, Table::Inbox, b"\x00\x01c"), Some(b"value".to_vec()), "others are not affected");
    assert_eq!(tables.check_background_errors(), Ok(()));
}

macro_rules! suite {
    ($name:ident, $host:ty) => {
        mod $name {
            #[allow(unused_imports, reason = "hosts are named by path or from here")]
            use super::*;

            /// Proves: G-CRASH-1 (a stop at any point is survived): a batch is one step.
            /// Seen to fail when: ranges are deleted after the rows of the same batch are put.
            #[test]
            fn a_batch_is_applied_in_order_with_its_mark() {
                super::a_batch_is_applied_in_order_with_its_mark::<$host>();
            }

            /// Seen to fail when: the end of the range is not given to the iterator.
            #[test]
            fn a_scan_keeps_to_its_range_and_stops() {
                super::a_scan_keeps_to_its_range_and_stops::<$host>();
            }

            /// Proves: G-CRASH-1 (a stop at any point is survived): all tables stand at the same record.
            /// Seen to fail when: the mark is taken for flushed before the flush (memory), or one family is left out
            /// of the flush (RocksDB).
            #[test]
            fn after_a_kill_tables_stand_at_a_flushed_record() {
                super::after_a_kill_tables_stand_at_a_flushed_record::<$host>();
            }

            /// Proves: G-CRASH-1 (a stop at any point is survived): a number is reported when it is durable.
            /// Seen to fail when: the number at the time of the report is taken instead of the one at the start.
            #[test]
            fn a_started_flush_is_durable_when_its_number_is_reported() {
                super::a_started_flush_is_durable_when_its_number_is_reported::<$host>();
            }

            /// Proves: G-LOG-1 (a torn tail is told from damage): damaged rows are found when they are read.
            /// Seen to fail when: `open_value` does not compare.
            #[test]
            fn a_damaged_value_is_found_by_every_read() {
                super::a_damaged_value_is_found_by_every_read::<$host>();
            }
        }
    };
}

suite!(memory, MemoryHost);
suite!(shared, SharedHost);
#[cfg(feature = "rocks")]
suite!(rocks, super::rocks_host::RocksHost);

#[cfg(feature = "rocks")]
mod rocks_host;

#[cfg(feature = "rocks")]
mod resident;

#[cfg(feature = "fault-env")]
mod power;

/// Seen to fail when: the key is left out of the checksum.
#[test]
fn a_value_under_another_key_is_damage() {
    let mut stored = Vec::new();
    seal_value(b"one", b"value", &mut stored);
    assert_eq!(open_value(Table::Users, b"one", &stored), Ok(b"value".as_slice()));
    assert!(open_value(Table::Users, b"two", &stored).is_err());
    assert!(open_value(Table::Users, b"one", b"abc").is_err());
    for bit in 0..stored.len() * 8 {
        let mut flipped = stored.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open_value(Table::Users, b"one", &flipped).is_err(), "bit {bit}");
    }
}

/// Seen to fail when: a mark is written as nothing, or read as none.
#[test]
fn the_bytes_of_a_mark_stay() {
    let mark =
        Mark { number: RecordNumber(0x0102), checksum: Checksum(0xabcd), generation: Generation(0x0304) };
    let value = mark_value(mark);
    assert_eq!(hex(&value), "0000000000000102000000000000abcd00000304");
    assert_eq!(value::mark_from_value(&value), Ok(mark));
    assert!(value::mark_from_value(&value[..19]).is_err());
    assert!(value::mark_from_value(&[value, vec![0]].concat()).is_err());
    let mut tables = MemoryTables::new();
    tables.apply(&ChangeList::default(), mark).unwrap();
    assert_eq!(get(&tables, Table::Facts, value::MARK_KEY), Some(mark_value(mark)), "a row like any other");
}

/// A move writes a batch when it is large, and begins the next one empty.
/// Seen to fail when: a list counts nothing, or keeps what was cleared.
#[test]
fn a_list_counts_its_bytes_until_it_is_cleared() {
    let mut list = ChangeList::default();
    for round in 0..2 {
        assert_eq!(list.bytes(), 0);
        list.put(Table::Users, b"key", b"value");
        list.delete(Table::Users, b"other");
        list.delete_range(Table::Users, b"a", b"bc");
        assert_eq!(list.bytes(), 3 + 5 + 5 + 1 + 2);
        let mut visited = 0;
        list.visit(&mut |_| visited += 1);
        assert_eq!(visited, 3, "round {round}");
        list.clear();
        list.visit(&mut |change| panic!("{change:?} is left"));
    }
    assert_eq!(MemoryTables::new().memory_bytes(), 0, "tables that are memory themselves");
}

/// Seen to fail when: the bit is taken in another byte, or at another place in its byte.
#[test]
fn a_flipped_bit_is_the_one_that_was_named() {
    let mut tables = MemoryTables::new();
    let mut batch = ChangeList::default();
    batch.put(Table::Users, b"key", b"ab");
    tables.apply(&batch, mark(1)).unwrap();
    // Two bytes, and four of checksum.
    for bit in 0..48 {
        assert!(tables.flip_bit(Table::Users, b"key", bit));
        assert!(tables.get(Table::Users, b"key", &mut Vec::new()).is_err(), "bit {bit}");
        for other in (0..48).filter(|other| *other != bit) {
            assert!(tables.flip_bit(Table::Users, b"key", other));
            assert!(tables.get(Table::Users, b"key", &mut Vec::new()).is_err(), "bits {bit} and {other}");
            assert!(tables.flip_bit(Table::Users, b"key", other));
        }
        assert!(tables.flip_bit(Table::Users, b"key", bit));
        assert_eq!(get(&tables, Table::Users, b"key"), Some(b"ab".to_vec()));
    }
    assert!(!tables.flip_bit(Table::Users, b"key", 48));
    assert!(!tables.flip_bit(Table::Users, b"other", 0));
}

/// Proves: G-LOG-2 (a failed write ends the process): faults are reported as what they are, and a batch that failed
/// changed nothing.
/// Seen to fail when: `apply` changes rows before it fails.
#[test]
fn injected_faults_are_errors_and_change_nothing() {
    let mut tables = MemoryTables::new();
    let mut batch = ChangeList::default();
    batch.put(Table::Users, b"key", b"value");
    tables.faults.applies_to_fail = 1;
    assert!(tables.apply(&batch, mark(1)).is_err());
    assert_eq!(dump(&tables).rows.len(), 0);
    assert_eq!(tables.applied(), Mark::default());
    tables.apply(&batch, mark(1)).unwrap();
    tables.faults.flushes_to_fail = 2;
    assert!(tables.flush().is_err() && tables.start_flush().is_err());
    assert_eq!(tables.flushed_number(), Ok(RecordNumber(0)));
    tables.faults.reads_to_fail.set(1);
    assert!(tables.get(Table::Users, b"key", &mut Vec::new()).is_err());
    assert_eq!(get(&tables, Table::Users, b"key"), Some(b"value".to_vec()));
    tables.faults.background_error = Some("compaction".into());
    assert!(matches!(tables.check_background_errors(), Err(TableError::Background { .. })));
    let shared = SharedTables::new(tables.clone());
    assert_eq!(shared.check_background_errors(), tables.check_background_errors(), "by another hand, too");
    tables.power_cut();
    assert_eq!(dump(&tables).rows.len(), 0);
}
