//! The same with RocksDB and files.

use super::slot_of;
use crate::open::{OpenRequest, RocksDatabases, open_directory, owner};
use crate::segment::{DirectoryLog, LogFiles};
use crate::tables::{RocksConfig, RocksShared};
use crate::testing::{Model, Traffic, dump};
use iris_protocol::{Durability, Wall};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

/// Proves: G-MOVE-1 (a change of the core count loses nothing): over restarts and changes of the number of cores, real
/// databases and files hold what was written.
/// Seen to fail when: `RocksTables::apply` leaves out the mark; when `cores` leaves what is left of a removed core.
#[test]
fn directories_on_disk_are_opened_and_moved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let config =
        RocksConfig { block_cache_bytes: 8 << 20, memtable_bytes: 8 << 20, ..RocksConfig::default() };
    let mut databases = RocksDatabases::new(path, RocksShared::new(config));
    let mut traffic = Traffic::default();
    let mut model = Model::default();
    let mut choices = 7_u32;
    let half_removed = path.join("core-01.removed");
    for shards in [1, 2, 2, 1] {
        // As a stop in the middle of a removal leaves it.
        std::fs::create_dir_all(half_removed.join("log")).unwrap();
        let request = OpenRequest {
            segment_bytes: 64 << 10,
            record_bytes_max: 8 << 10,
            ..OpenRequest::new(shards, Durability::Fsync, Wall(1)).with_host().unwrap()
        };
        let mut opened = open_directory(path, &mut databases, &request, &mut |_| Ok(())).unwrap();
        assert!(!half_removed.exists(), "{shards} shards");
        assert_eq!(path.join("core-01").exists(), shards == 2);
        let mut found = Model::default();
        for core in &opened.cores {
            found.rows.extend(dump(core.engine.tables()).rows);
        }
        assert!(found == model, "{} rows instead of {}", found.rows.len(), model.rows.len());
        for at in 0..200_u32 {
            choices = choices.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [what, who, much, _] = choices.to_be_bytes();
            let op = traffic.op((what, who, much));
            model.apply(&op);
            let core = owner(slot_of(&op), shards);
            let opened_core = &mut opened.cores[usize::from(core)];
            let mut files = DirectoryLog::open(&crate::open::log_folder(path, core)).unwrap();
            while let Some(segment) = opened_core.log.needs_segment() {
                files.create(segment.id, segment.bytes).unwrap();
                opened_core.log.provide(segment);
            }
            opened_core.log.append(&[op]);
            let write = opened_core.log.seal().unwrap();
            let file = OpenOptions::new().write(true).open(files.path(write.segment())).unwrap();
            file.write_all_at(write.bytes(), write.offset()).unwrap();
            let durable = opened_core.log.written(write);
            opened_core.engine.absorb(durable.record).unwrap();
            if at % 40 == 0 {
                opened_core.engine.fill().unwrap();
            }
        }
    }
}
