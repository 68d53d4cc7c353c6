//! RocksDB under power cuts: its own fault-injecting file system keeps what was synced, and loses the rest.
//!
//! Invariants
//! - The order of a cut: nothing can be written any more, the database is closed, unsynced data is dropped, the file
//!   system works again. Dropping first, or without `lose_unsynced` set before the open, loses nothing.
#![allow(
    unsafe_code,
    reason = "the file system is C++: a handle, used by one thread, freed after its databases"
)]

use crate::load::BootLimits;
use crate::log::LogPosition;
use crate::number::{Mark, RecordNumber, Vouch};
use crate::open::{CorePlan, open_core};
use crate::segment::{MemoryLog, Padding};
use crate::tables::rocks::{RocksConfig, RocksShared, RocksTables};
use crate::tables::{ChangeList, Rows as _, Table, Tables};
use crate::testing::{KEY, Model, Traffic, Writer, dump, small_config};
use iris_protocol::{Durability, Generation};
use rocksdb::Env;
use std::ffi::c_void;
use std::path::Path;

// SAFETY: as declared in fault/shim.cc.
unsafe extern "C" {
    fn iris_fault_new() -> *mut c_void;
    fn iris_fault_env(fault: *mut c_void) -> *mut c_void;
    fn iris_fault_lose_unsynced(fault: *mut c_void, lose: bool);
    fn iris_fault_set_active(fault: *mut c_void, active: bool);
    fn iris_fault_drop_unsynced(fault: *mut c_void) -> bool;
    fn iris_fault_free(fault: *mut c_void);
}

struct Disk {
    fault: *mut c_void,
}

impl Disk {
    fn new() -> Self {
        // SAFETY: the handle is freed by `drop` alone; loss is switched on before any database is opened.
        unsafe {
            let fault = iris_fault_new();
            iris_fault_lose_unsynced(fault, true);
            Self { fault }
        }
    }

    fn shared(&self) -> RocksShared {
        let config =
            RocksConfig { block_cache_bytes: 8 << 20, memtable_bytes: 8 << 20, ..RocksConfig::default() };
        // SAFETY: the shim makes an environment that the caller owns.
        let env = unsafe { Env::from_raw(iris_fault_env(self.fault).cast()) };
        RocksShared::new(config).with_env(env)
    }

    fn cut(&self, tables: RocksTables) {
        // SAFETY: the handle lives as long as `self`; the database is closed between the calls.
        unsafe {
            iris_fault_set_active(self.fault, false);
            drop(tables);
            assert!(iris_fault_drop_unsynced(self.fault), "unsynced data could not be dropped");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // SAFETY: environments hold the file system themselves.
        unsafe { iris_fault_free(self.fault) }
    }
}

fn open(path: &Path, shared: &RocksShared) -> RocksTables {
    RocksTables::open(path, shared).unwrap()
}

fn mark(number: u64) -> Mark {
    Mark { number: RecordNumber(number), generation: Generation(1), ..Mark::default() }
}

fn put(tables: &mut RocksTables, number: u64) {
    let mut batch = ChangeList::default();
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Facts) {
        batch.put(table, &number.to_be_bytes(), &[1; 200]);
        batch.put(table, b"last", &number.to_be_bytes());
        if number > 3 {
            batch.delete(table, &(number - 3).to_be_bytes());
        }
    }
    tables.apply(&batch, mark(number)).unwrap();
}

fn check(tables: &RocksTables) -> u64 {
    let number = tables.applied().number.0;
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Facts && number > 0) {
        let mut last = Vec::new();
        assert!(tables.get(table, b"last", &mut last).unwrap(), "{table:?} at {number}");
        assert_eq!(last, number.to_be_bytes(), "{table:?} stands at another record");
    }
    number
}

/// Proves: G-CRASH-1 (a stop at any point is survived): after each power cut all tables stand at one record, at or above
/// the one that was reported as flushed.
/// Seen to fail when: the number of a started flush is reported at once.
#[test]
fn f_32_after_a_power_cut_tables_stand_at_one_record_at_or_above_the_flushed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new();
    let shared = disk.shared();
    let mut lost = 0;
    let (mut number, mut flushed) = (0_u64, 0_u64);
    for round in 0..14_u64 {
        let mut tables = open(folder.path(), &shared);
        let found = check(&tables);
        assert!(found >= flushed, "round {round}: {found} after {flushed} was flushed");
        assert!(found <= number);
        lost += number - found;
        number = found;
        for step in 0..round % 9 * 3 {
            number += 1;
            put(&mut tables, number);
            match (round + step) % 7 {
                0 => tables.flush().unwrap(),
                3 => tables.start_flush().unwrap(),
                _ => {}
            }
            flushed = tables.flushed_number().unwrap().0;
        }
        disk.cut(tables);
    }
    assert!(lost > 10, "{lost} records lost: a cut that loses nothing tests nothing");
    assert!(flushed > 20);
}

/// The mutant beside the test above: numbers that were applied and not flushed do not survive.
/// Seen to fail when: `lose_unsynced` is not set.
#[test]
fn a_power_cut_loses_what_was_not_flushed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new();
    let shared = disk.shared();
    let mut tables = open(folder.path(), &shared);
    put(&mut tables, 1);
    tables.flush().unwrap();
    (2..10).for_each(|number| put(&mut tables, number));
    disk.cut(tables);
    assert_eq!(check(&open(folder.path(), &shared)), 1);
}

/// Proves: G-CRASH-1 (a stop at any point is survived): what the tables lost is replayed from the log.
/// Seen to fail when: segments are freed behind the applied instead of the flushed number.
#[test]
fn f_32_what_the_tables_lost_is_replayed_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new();
    let shared = disk.shared();
    let boot = BootLimits { crowded_entries: u32::MAX, crowded_bytes: u64::MAX, dedup_rows_checked: 0 };
    let (mut traffic, mut model) = (Traffic::default(), Model::default());
    let mut files = MemoryLog::new();
    let mut choices = 99_u32;
    let (mut replayed, mut vouched) = (0, Vouch::default());
    for round in 0..8_u32 {
        let plan = CorePlan {
            core: 0,
            key: KEY,
            known: Generation(1),
            generation: Generation(1),
            durability: Durability::Os,
            segment_bytes: 32 << 10,
            record_bytes_max: 8 << 10,
            vouched,
            host_lost_writes: false,
            merge_seed: 5,
            boot,
        };
        let mut opened = open_core(open(folder.path(), &shared), &mut files, &plan).unwrap();
        replayed += opened.report.replayed_records;
        assert!(dump(opened.engine.tables()) == model, "round {round}");
        let mut writer = Writer::new(small_config(Padding::Eight), LogPosition::default(), files);
        writer.log = opened.log;
        for step in 0..60_u32 {
            choices = choices.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [what, who, much, then] = choices.to_be_bytes();
            let op = traffic.op((what, who, much));
            model.apply(&op);
            let (record, _) = writer.write(&[op]);
            opened.engine.absorb(record).unwrap();
            match then % 16 {
                0 => opened.engine.fill().unwrap(),
                1 => opened.engine.start_flush().unwrap(),
                2 if step % 2 == 0 => drop(opened.engine.flush().unwrap()),
                _ => {}
            }
            writer.log.flushed(opened.engine.flushed_number().unwrap());
        }
        vouched = writer.log.vouch();
        files = writer.disk;
        opened.engine.fill().unwrap();
        disk.cut(opened.engine.into_tables());
    }
    assert!(replayed > 20, "{replayed} records replayed");
}
