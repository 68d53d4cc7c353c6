//! What RocksDB writes, word for word, and a failure that it has in earnest.

use super::last_in;
use crate::number::{Checksum, Mark, RecordNumber};
use crate::tables::rocks::{RocksConfig, RocksShared, RocksTables};
use crate::tables::{ChangeList, Table, TableError, Tables};
use iris_protocol::Generation;
use std::time::{Duration, Instant};

const FULL: &str =
    "IO error: No space left on device: While appending to file: /x/000012.sst: No space left on device";

/// Proves: G-LIMIT-5 (a background flush without room is told from every other failure)
/// Seen to fail when: the first reason in the log is taken; or what is behind the reason is kept.
#[test]
fn the_last_reason_in_the_log_is_the_one_that_counts() {
    let log = format!(
        "2026/11/28-10:00:00.1 7 [ERROR] [db/x.cc:1] [JOB 3] Waiting after background flush error: IO error: \
         While fsync: a.sst: Input/output error, Accumulated background error counts: 1\n\
         2026/11/28-10:00:01.1 7 [WARN] something else\n\
         2026/11/28-10:00:02.1 7 [ERROR] [db/x.cc:1] Waiting after background compaction error: {FULL}, \
         Accumulated background error counts: 2\n2026/11/28-10:00:03.1 7 [WARN] half a li"
    );
    assert_eq!(last_in(&log), Some(FULL));
    assert!(TableError::Background { cause: FULL.to_owned() }.is_disk_full());
    assert_eq!(last_in("2026/11/28-10:00:01.1 7 [WARN] all is well\n"), None);
}

/// Proves: G-LIMIT-5 (the reason of a failed background flush is in the error that ends the process)
/// Seen to fail when: `check_background_errors` does not ask for the reason.
#[test]
fn a_failed_background_flush_is_reported_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let shared = RocksShared::new(RocksConfig::default());
    let mut tables = RocksTables::open(folder.path(), &shared).unwrap();
    // A folder stands wherever the next table's file would be made.
    for number in 0..200 {
        std::fs::create_dir(folder.path().join(format!("{number:06}.sst"))).unwrap();
    }
    let mark = Mark { number: RecordNumber(1), checksum: Checksum(1), generation: Generation(1) };
    let mut changes = ChangeList::default();
    changes.put(Table::Users, b"key", b"value");
    tables.apply(&changes, mark).unwrap();
    tables.start_flush().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    let reason = loop {
        match tables.check_background_errors() {
            Err(TableError::Background { cause }) if cause.contains(": IO error") => break cause,
            Ok(()) | Err(_) => assert!(Instant::now() < until, "no flush failed, or nobody said why"),
        }
        std::thread::yield_now();
    };
    assert!(reason.contains("Is a directory"), "{reason}");
}
