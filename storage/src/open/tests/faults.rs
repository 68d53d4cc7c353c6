//! A disk that stops taking writes, at each write of recovery and of a move.

use super::*;
use crate::number::{RecordNumber, SegmentId};
use crate::tables::{Changes, Rows, Table, Visit};
use std::cell::Cell;
use std::rc::Rc;

/// Writes that still succeed.
type Left = Rc<Cell<u32>>;

const ALL: u32 = u32::MAX;

/// Counts a write; true if it may happen.
fn spend(left: &Left) -> bool {
    let may = left.get() > 0;
    left.set(left.get().saturating_sub(1));
    may
}

fn write(left: &Left, act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    if spend(left) { act() } else { Err(io::Error::other("injected: input/output error")) }
}

fn change(left: &Left, act: impl FnOnce() -> Result<(), TableError>) -> Result<(), TableError> {
    let failed = || TableError::Engine { table: "injected", cause: "input/output error".into() };
    if spend(left) { act() } else { Err(failed()) }
}

/// The disk of a host, which fails every write from some write on.
struct FailingDisk<'d> {
    disk: &'d mut Disk,
    left: Left,
}

struct FailingLog {
    log: SharedLog,
    left: Left,
}

struct FailingTables {
    tables: SharedTables<MemoryTables>,
    left: Left,
}

impl Databases for FailingDisk<'_> {
    type Tables = FailingTables;
    type Files = FailingLog;

    fn cores(&mut self) -> io::Result<Vec<u16>> {
        self.disk.cores()
    }
    fn tables(&mut self, core: u16) -> Result<FailingTables, TableError> {
        Ok(FailingTables { tables: self.disk.tables(core)?, left: Rc::clone(&self.left) })
    }
    fn files(&mut self, core: u16) -> io::Result<FailingLog> {
        Ok(FailingLog { log: self.disk.files(core)?, left: Rc::clone(&self.left) })
    }
    fn remove(&mut self, core: u16) -> io::Result<()> {
        write(&self.left, || self.disk.remove(core))
    }
}

impl LogFiles for FailingLog {
    fn list(&mut self) -> io::Result<Vec<SegmentId>> {
        self.log.list()
    }
    fn length(&mut self, id: SegmentId) -> io::Result<u64> {
        self.log.length(id)
    }
    fn read_at(&mut self, id: SegmentId, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.log.read_at(id, offset, out)
    }
    /// The write that fails leaves half of its zeros.
    fn zero(&mut self, id: SegmentId, offset: u64, length: u64) -> io::Result<()> {
        let length_now = if self.left.get() == 0 { length / 2 } else { length };
        self.log.zero(id, offset, length_now)?;
        write(&self.left, || Ok(()))
    }
    fn create(&mut self, id: SegmentId, bytes: u64) -> io::Result<()> {
        write(&self.left, || self.log.create(id, bytes))
    }
    fn sync(&mut self, id: SegmentId) -> io::Result<()> {
        write(&self.left, || self.log.sync(id))
    }
    fn remove(&mut self, id: SegmentId) -> io::Result<()> {
        write(&self.left, || self.log.remove(id))
    }
}

impl Rows for FailingTables {
    fn get(&self, table: Table, key: &[u8], out: &mut Vec<u8>) -> Result<bool, TableError> {
        self.tables.get(table, key, out)
    }
    fn scan(&self, table: Table, from: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), TableError> {
        self.tables.scan(table, from, end, visit)
    }
}

impl Tables for FailingTables {
    fn apply(&mut self, changes: &dyn Changes, mark: Mark) -> Result<(), TableError> {
        change(&self.left, || self.tables.apply(changes, mark))
    }
    fn applied(&self) -> Mark {
        self.tables.applied()
    }
    fn flush(&mut self) -> Result<(), TableError> {
        change(&self.left, || self.tables.flush())
    }
    fn start_flush(&mut self) -> Result<(), TableError> {
        change(&self.left, || self.tables.start_flush())
    }
    fn flushed_number(&mut self) -> Result<RecordNumber, TableError> {
        self.tables.flushed_number()
    }
    fn check_background_errors(&self) -> Result<(), TableError> {
        self.tables.check_background_errors()
    }
    fn approximate_rows(&self, table: Table) -> Result<u64, TableError> {
        self.tables.approximate_rows(table)
    }
}

impl Site {
    /// Opens on a disk that takes this many writes, then stops as a kill does; how many it needed, if that was enough.
    fn opens_with(&mut self, writes: u32) -> Option<u32> {
        let left = Rc::new(Cell::new(writes));
        let mut disk = FailingDisk { disk: &mut self.disk, left: Rc::clone(&left) };
        let opened = open_directory(self.folder.path(), &mut disk, &self.request, &mut |_| Ok(()));
        let text = opened.as_ref().err().map(ToString::to_string);
        assert!(text.as_ref().is_none_or(|text| text.contains("input/output error")), "{text:?}");
        let spent = opened.is_ok().then(|| writes - left.get());
        drop(opened);
        self.disk.power_cut();
        spent
    }

    fn meta(&self) -> Vec<u8> {
        fs::read(self.folder.path().join(crate::meta::META_FILE)).unwrap()
    }

    fn put_meta(&self, bytes: &[u8]) {
        fs::write(self.folder.path().join(crate::meta::META_FILE), bytes).unwrap();
    }
}

/// A stopped directory whose logs end with a torn record, and whose tables are behind.
fn stopped(shards: u16, flushes: bool, ops: u32) -> Site {
    let mut site = Site::new(shards);
    site.flushes = flushes;
    let mut opened = site.open().unwrap();
    site.serve(&mut opened, ops);
    for (core, opened) in (0..).zip(&mut opened.cores) {
        opened.log.append(&crate::testing::samples());
        let write = opened.log.seal().unwrap();
        let torn = &write.bytes()[..100];
        let log = &site.disk.cores[&core].1;
        log.with(|log| log.write_at(write.segment(), write.offset(), torn)).unwrap();
    }
    drop(opened);
    site.disk.power_cut();
    site
}

/// Proves: G-CRASH-1 (a stop at any point is survived): recovery stopped by a failing write, a half one too, three times in
/// a row, at each of its writes, ends with the tables of one that was not stopped.
/// Seen to fail when: `recover_core` frees segments without a flush of the tables.
#[test]
fn f_33_recovery_stopped_at_each_write_three_times_ends_with_the_same_tables() {
    for flushes in [false, true] {
        let mut site = stopped(2, flushes, 300);
        let (meta, disk) = (site.meta(), site.disk.copied());
        let needed = site.opens_with(ALL).unwrap();
        site.check(2);
        let expected = site.disk.contents();
        assert!(needed >= 6, "{needed} writes");
        for writes in 0..=needed {
            site.disk = disk.copied();
            site.put_meta(&meta);
            for writes in [writes, writes.saturating_sub(1), writes] {
                site.opens_with(writes);
            }
            assert!(site.opens_with(ALL).is_some(), "after {writes} writes");
            assert!(site.disk.contents() == expected, "after {writes} writes, flushed before: {flushes}");
            drop(site.open().unwrap());
            site.check(2);
        }
    }
}

/// Proves: G-MOVE-1 (a change of the core count loses nothing): a move that is stopped by a failing write, at each of its
/// first and last writes and at every few of the many between, is continued by the next start, also by one with yet another number of cores.
/// Seen to fail when: rows are deleted at the source before the target is flushed.
#[test]
fn f_41_a_move_stopped_by_a_failing_write_is_finished_with_that_number_of_cores_or_another() {
    for (from, to, next, first) in [(2, 3, 3, 150), (3, 2, 4, 20), (1, 4, 1, 20), (2, 1, 2, 20)] {
        let mut site = stopped(from, true, 250);
        let (meta, disk) = (site.meta(), site.disk.copied());
        site.request.shards = to;
        let needed = site.opens_with(ALL).unwrap();
        assert!(needed > 500, "{needed} writes from {from} to {to}");
        let all = 0..needed;
        for writes in all.filter(|at| *at < first || at % 23 == 0 || at + 16 > needed) {
            site.disk = disk.copied();
            site.put_meta(&meta);
            site.request.shards = to;
            assert_eq!(site.opens_with(writes), None);
            site.opens_with(writes / 2);
            site.request.shards = next;
            let finished = site.opens_with(ALL);
            assert!(finished.is_some(), "{from} to {to}, then {next}, after {writes} writes");
            site.check(next);
            assert_eq!(site.disk.cores.len(), usize::from(next), "no database is left behind");
        }
    }
}

/// Proves: G-MOVE-1 (a change of the core count loses nothing), G-CRASH-1 (a stop at any point is survived): where META
/// cannot be written, nothing is served, and the next start goes on.
/// Seen to fail when: META is not told that a move begins.
#[test]
fn f_41_a_move_whose_meta_cannot_be_written_is_finished_by_the_next_start() {
    for at in [0, 3, 4, 200, 700, 1030] {
        let mut site = stopped(2, true, 250);
        site.request.shards = 3;
        let blocked = site.folder.path().join("META.new");
        let mut steps = 0;
        let block = blocked.clone();
        let opened = site.open_observed(&mut |_| {
            if steps == at {
                fs::create_dir(&block).unwrap();
            }
            steps += 1;
            Ok(())
        });
        let error = opened.map(|opened| opened.generation).expect_err("META cannot be written");
        assert!(matches!(error, OpenError::Meta(MetaError::Io { what: "write", .. })), "{error}");
        site.disk.power_cut();
        fs::remove_dir(blocked).unwrap();
        drop(site.open().unwrap());
        site.disk.power_cut();
        site.check(3);
    }
}
