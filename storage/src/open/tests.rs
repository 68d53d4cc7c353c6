use super::*;
use crate::log::NewSegment;
use crate::number::{Mark, Vouch};
use crate::op::Op;
use crate::segment::{LogFiles, MemoryLog, SharedLog};
use crate::tables::{MemoryTables, SharedTables};
use crate::testing::{Choice, Model, Traffic, dump};
use std::collections::BTreeMap;
use tempfile::TempDir;

/// The disk of a host: tables and logs of each core.
#[derive(Default)]
struct Disk {
    cores: BTreeMap<u16, (SharedTables<MemoryTables>, SharedLog)>,
}

impl Disk {
    fn copied(&self) -> Self {
        let copied = |(tables, log): &(SharedTables<MemoryTables>, SharedLog)| {
            let log = SharedLog::new(log.with(|log| log.clone()));
            (SharedTables::new(tables.with(|tables| tables.clone())), log)
        };
        Self { cores: self.cores.iter().map(|(core, disk)| (*core, copied(disk))).collect() }
    }

    /// Every row and every byte of the logs.
    fn contents(&self) -> BTreeMap<u16, (Model, MemoryLog)> {
        let contents = |(tables, log): &(SharedTables<MemoryTables>, SharedLog)| {
            (tables.with(|tables| dump(tables)), log.with(|log| log.clone()))
        };
        self.cores.iter().map(|(core, disk)| (*core, contents(disk))).collect()
    }

    fn power_cut(&self) {
        self.cores.values().for_each(|(tables, _)| tables.with(MemoryTables::power_cut));
    }
}

impl Databases for Disk {
    type Tables = SharedTables<MemoryTables>;
    type Files = SharedLog;

    fn cores(&mut self) -> io::Result<Vec<u16>> {
        Ok(self.cores.keys().copied().collect())
    }
    fn tables(&mut self, core: u16) -> Result<Self::Tables, TableError> {
        Ok(self.cores.entry(core).or_default().0.clone())
    }
    fn files(&mut self, core: u16) -> io::Result<SharedLog> {
        Ok(self.cores.entry(core).or_default().1.clone())
    }
    fn remove(&mut self, core: u16) -> io::Result<()> {
        self.cores.remove(&core);
        Ok(())
    }
}

fn slot_of(op: &Op) -> Slot {
    match op {
        Op::Accept { envelope, .. } => envelope.conversation.slot(),
        Op::Confirm { conversation, .. } => conversation.slot(),
        Op::Append { user, .. }
        | Op::Elide { user, .. }
        | Op::Remove { user, .. }
        | Op::User { user, .. }
        | Op::Cursor { user, .. }
        | Op::Unlink { user, .. } => user.slot(),
        Op::DedupFloor { slot, .. } => *slot,
    }
}

/// A data directory, what is on its disk, and what should be.
struct Site {
    folder: TempDir,
    disk: Disk,
    traffic: Traffic,
    model: Model,
    choices: u32,
    request: OpenRequest,
    /// False: nothing is flushed while serving, so everything is replayed.
    flushes: bool,
}

type Opened = OpenedDirectory<SharedTables<MemoryTables>>;

impl Site {
    fn new(shards: u16) -> Self {
        let request = OpenRequest {
            incarnation: Incarnation([1; 16]),
            random: 42,
            host_boot: "boot-1".into(),
            segment_bytes: 64 << 10,
            record_bytes_max: 8 << 10,
            ..OpenRequest::new(shards, Durability::Fsync, Wall(1_000_000))
        };
        let folder = tempfile::tempdir().unwrap();
        let (disk, traffic, model) = (Disk::default(), Traffic::default(), Model::default());
        Self { folder, disk, traffic, model, choices: 0, request, flushes: true }
    }

    fn open_observed(&mut self, observe: &mut Observer<'_>) -> Result<Opened, OpenError> {
        open_directory(self.folder.path(), &mut self.disk, &self.request, observe)
    }

    fn open(&mut self) -> Result<Opened, OpenError> {
        self.open_observed(&mut |_| Ok(()))
    }

    /// Serves some operations: each is written to the log of the core that owns it, and some are filled and flushed.
    fn serve(&mut self, opened: &mut Opened, ops: u32) {
        let shards = self.request.shards;
        for _ in 0..ops {
            self.choices = self.choices.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [what, who, much, then] = self.choices.to_be_bytes();
            let choice: Choice = (what, who, much);
            let op = self.traffic.op(choice);
            let core = owner(slot_of(&op), shards);
            self.model.apply(&op);
            let at = opened.cores.get_mut(usize::from(core)).unwrap();
            let disk = &self.disk.cores[&core].1;
            while let Some(NewSegment { id, bytes }) = at.log.needs_segment() {
                disk.clone().create(id, bytes).unwrap();
                at.log.provide(NewSegment { id, bytes });
            }
            at.log.append(&[op]);
            let write = at.log.seal().unwrap();
            disk.with(|disk| disk.write_at(write.segment(), write.offset(), write.bytes())).unwrap();
            let durable = at.log.written(write);
            if let Some(vouch) = durable.vouch {
                opened.meta.vouch(core, vouch).unwrap();
            }
            at.engine.absorb(durable.record).unwrap();
            if then % 8 == 0 {
                at.engine.fill().unwrap();
            }
            if then % 32 == 0 && self.flushes {
                let flushed = at.engine.flush().unwrap();
                at.log.flushed(flushed);
            }
        }
    }

    /// Every row is there once, on the core that owns its slot.
    fn check(&self, shards: u16) {
        let mut found = Model::default();
        for (core, (tables, _)) in &self.disk.cores {
            let rows = tables.with(|tables| dump(tables)).rows;
            for ((table, key), value) in rows {
                let slot = Slot::new(u16::from_be_bytes([key[0], key[1]])).unwrap();
                assert_eq!(owner(slot, shards), *core, "{table:?} {key:?}");
                assert!(found.rows.insert((table, key), value).is_none());
            }
        }
        assert!(found == self.model, "{} rows instead of {}", found.rows.len(), self.model.rows.len());
    }
}

/// Stops at the n-th step.
fn stop_at(n: usize) -> impl FnMut(OpenStep) -> Result<(), Stopped> {
    let mut left = n;
    move |_| {
        if left == 0 {
            return Err(Stopped);
        }
        left -= 1;
        Ok(())
    }
}

/// Proves: G-CRASH-1 (a stop at any point is survived): stopped at each step of opening, three times in a row, by a kill
/// that loses all that was not flushed, a directory opens with everything that was written.
/// Seen to fail when: `recover_core` does not flush before segments are freed.
#[test]
fn f_33_a_stop_at_any_step_of_opening_is_survived() {
    let mut step = 0;
    loop {
        let mut site = Site::new(2);
        let mut opened = site.open().unwrap();
        site.serve(&mut opened, 300);
        drop(opened);
        site.disk.power_cut();
        let mut stopped = false;
        for _ in 0..3 {
            match site.open_observed(&mut stop_at(step)) {
                Err(OpenError::Stopped) => stopped = true,
                Err(error) => panic!("step {step}: {error}"),
                Ok(mut opened) => site.serve(&mut opened, 50),
            }
            site.disk.power_cut();
        }
        let mut opened = site.open().unwrap();
        site.check(2);
        site.serve(&mut opened, 100);
        drop(opened);
        site.disk.power_cut();
        drop(site.open().unwrap());
        site.check(2);
        if !stopped {
            break;
        }
        step += 1;
    }
    assert!(step >= 5, "{step} steps");
}

fn count_steps(shards: u16, to: u16) -> usize {
    let mut site = Site::new(shards);
    let mut opened = site.open().unwrap();
    site.serve(&mut opened, 300);
    drop(opened);
    site.request.shards = to;
    let mut steps = 0;
    site.open_observed(&mut |_| {
        steps += 1;
        Ok(())
    })
    .unwrap();
    steps
}

/// Proves: G-MOVE-1 (a change of the core count loses nothing): a move that is stopped at any step, with all that was not
/// flushed lost, is finished by the next start, also one that asks for yet another number.
/// Seen to fail when: rows are deleted at the source before the target is flushed.
#[test]
fn f_41_a_move_stopped_at_any_step_is_finished_by_the_next_start() {
    for (from, to, next) in [(1, 2, 2), (2, 3, 3), (3, 1, 1), (2, 3, 2), (1, 4, 3)] {
        let steps = count_steps(from, to);
        let all = 0..steps;
        for step in all.clone().filter(|step| *step < 8 || step % 401 == 0 || step + 8 > steps) {
            let mut site = Site::new(from);
            let mut opened = site.open().unwrap();
            site.serve(&mut opened, 300);
            drop(opened);
            site.request.shards = to;
            for attempt in 0..2 {
                let result = site.open_observed(&mut stop_at(step));
                // The second attempt has less to do.
                let stopped = matches!(result, Err(OpenError::Stopped)) || (attempt == 1 && result.is_ok());
                assert!(stopped, "{from} to {to}, step {step} of {steps}");
                drop(result);
                site.disk.power_cut();
            }
            site.request.shards = next;
            let mut opened =
                site.open().unwrap_or_else(|error| panic!("{from} to {to}, step {step}: {error}"));
            assert_eq!(opened.cores.len(), usize::from(next));
            site.check(next);
            assert_eq!(site.disk.cores.len(), usize::from(next), "no database is left behind");
            site.serve(&mut opened, 50);
            drop(opened);
            site.disk.power_cut();
            drop(site.open().unwrap());
            site.check(next);
        }
    }
}

/// Proves: G-MOVE-1 (a change of the core count loses nothing): what was in flight between shards is there after a move.
/// Seen to fail when: `OutboxPending` is left out of the tables that move.
#[test]
fn a_move_carries_the_outbox() {
    let mut site = Site::new(2);
    let mut opened = site.open().unwrap();
    site.serve(&mut opened, 400);
    let pending: usize = opened
        .cores
        .iter_mut()
        .map(|core| {
            core.engine.fill().unwrap();
            core.engine.tables().with(|tables| tables.keys(crate::tables::Table::OutboxPending).len())
        })
        .sum();
    drop(opened);
    site.request.shards = 5;
    let mut told = Vec::new();
    let opened = site.open_observed(&mut |step| {
        told.push(step);
        Ok(())
    });
    let opened = opened.unwrap();
    let report = opened.moved.unwrap();
    assert_eq!((report.from, report.to), (2, 5));
    assert!(report.rows > 100 && pending > 10, "{report:?}, {pending} pending");
    let found: usize =
        opened.cores.iter().flat_map(|core| &core.boot.outbox).map(|(_, slots)| slots.len()).sum();
    assert_eq!(found, pending);
    let copied = told.iter().filter(|step| matches!(step, OpenStep::SlotCopied { .. })).count();
    assert_eq!(copied, usize::from(report.slots));
    assert_eq!(opened.meta.meta().moving, None);
    assert_eq!(opened.meta.meta().vouched.len(), 5);
}

/// Proves: G-MOVE-1 (a change of the core count loses nothing): what an attempt or another move left at the target neither
/// stays nor stands for the slot's rows, and floors never fall.
/// Seen to fail when: a mark of another move counts; rows that were left stay; a floor is replaced.
#[test]
fn what_was_left_at_the_target_of_a_move_neither_stays_nor_stands_for_its_rows() {
    use crate::key::Key;
    use crate::row::FloorRow;
    use crate::tables::{ChangeList, Table};
    let mut site = Site::new(2);
    let mut opened = site.open().unwrap();
    site.serve(&mut opened, 300);
    drop(opened);
    site.disk.power_cut();
    drop(site.open().unwrap());
    let taken = |slot: &Slot| owner(*slot, 2) != owner(*slot, 3) && owner(*slot, 3) < 2;
    let floor = FloorRow { first_day: 30_000, highest: Wall(u64::MAX >> 1) };
    let inbox: Vec<_> = site.model.rows.keys().filter(|(table, _)| *table == Table::Inbox).cloned().collect();
    let mut left_rows = 0;
    for slot in (0..1024).filter_map(Slot::new).filter(taken) {
        let mut left = ChangeList::default();
        left.put(Table::Facts, format!("moved:{}", slot.number()).as_bytes(), &[0, 0, 0, 77]);
        let gone = Key::Inbox { slot, user: b"gone", offset: iris_protocol::Offset(1) };
        left.put(Table::Inbox, &gone.to_vec(), b"of a user who has left");
        left.put(Table::Sequence, &Key::Sequence { slot, conversation: b"d:a:b" }.to_vec(), &[9]);
        for (table, key) in inbox.iter().filter(|(_, key)| key.starts_with(&slot.number().to_be_bytes())) {
            left.put(*table, key, b"half of a row");
            left_rows += 1;
        }
        let key = Key::Floor { slot }.to_vec();
        let known = site.model.rows.get(&(Table::Floor, key.clone())).cloned();
        left.put(Table::Floor, &key, &floor.to_value());
        if let Some(known) = known {
            let both = FloorRow::from_value(&known).unwrap().max(floor);
            site.model.rows.insert((Table::Floor, key), both.to_value().to_vec());
        } else {
            // Only what the source has is merged; what is left of a slot without rows is no harm.
            site.model.rows.insert((Table::Floor, key), floor.to_value().to_vec());
        }
        let (tables, _) = &site.disk.cores[&owner(slot, 3)];
        tables.with(|tables| {
            let mark = tables.applied();
            tables.apply(&left, mark).unwrap();
            tables.flush().unwrap();
        });
    }
    assert!(left_rows > 0, "no slot of a user with an inbox moves");
    site.request.shards = 3;
    drop(site.open().unwrap());
    site.disk.power_cut();
    site.check(3);
}

/// Proves: G-PRIVACY-1 (payloads and tokens are not logged): what is open can be shown without a payload.
/// Seen to fail when: `RecordBuilder` derives `Debug`.
#[test]
fn what_is_open_shows_no_payload() {
    let mut site = Site::new(1);
    let mut opened = site.open().unwrap();
    let conversation =
        iris_protocol::ConversationId::direct(&crate::testing::user(1), &crate::testing::user(2));
    let message = crate::testing::envelope(&conversation, 1, &[222; 40]);
    let core = &mut opened.cores[0];
    core.log.append(&[crate::testing::accept(&message)]);
    let shown = format!("{opened:?}{:?}", opened.cores[0].log);
    let write = opened.cores[0].log.seal().unwrap();
    let shown = format!("{shown}{write:?}");
    let durable = opened.cores[0].log.written(write);
    let shown = format!("{shown}{durable:?}");
    opened.cores[0].engine.absorb(durable.record).unwrap();
    let shown = format!("{shown}{:?}{:?}", opened.cores[0], opened.cores[0].engine);
    assert!(!shown.contains("222, 222") && !shown.contains("\\xde"), "{shown}");
    let facts =
        ["RecordBuilder { ops: 1", "DurableRecord { head: RecordHead", "OpenedCore { report:", "rows: 5"];
    assert!(facts.iter().all(|fact| shown.contains(fact)), "{shown}");
}

/// Proves: G-META-1 (one process, one format, one boot number): a directory has one user.
/// Seen to fail when: `flock` is not called.
#[test]
fn a_directory_in_use_is_refused() {
    let mut site = Site::new(1);
    let opened = site.open().unwrap();
    let error = site.open().expect_err("in use");
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    drop(opened);
    site.open().unwrap();
}

/// Proves: G-META-1 (one process, one format, one boot number): each boot has a generation of its own, durable before the
/// first record of it.
/// Seen to fail when: the generation is raised in memory only.
#[test]
fn each_boot_raises_the_generation_before_it_serves() {
    let mut site = Site::new(1);
    for boot in 1..5 {
        let mut opened = site.open().unwrap();
        assert_eq!(opened.generation, Generation(boot));
        assert_eq!(MetaFile::read(site.folder.path()).unwrap().unwrap().meta().generation, Generation(boot));
        site.serve(&mut opened, 3);
        assert_eq!(opened.cores[0].log.last().generation, Generation(boot));
    }
}

/// Proves: G-META-1 (one process, one format, one boot number): a META that is gone, or older than the data, is not made
/// up for.
/// Seen to fail when: a missing META is replaced by a new one.
#[test]
fn a_lost_or_stale_meta_is_refused() {
    let mut site = Site::new(1);
    site.flushes = false;
    drop(site.open().unwrap());
    let path = site.folder.path().join(crate::meta::META_FILE);
    let old = fs::read(&path).unwrap();
    let mut opened = site.open().unwrap();
    site.serve(&mut opened, 20);
    drop(opened);
    site.disk.power_cut();
    let new = fs::read(&path).unwrap();
    fs::write(&path, &old).unwrap();
    let error = site.open().expect_err("the log is of a later generation");
    assert!(
        matches!(error, OpenError::Recovery { source: RecoveryError::LaterGeneration { .. }, .. }),
        "{error}"
    );
    fs::write(&path, &new).unwrap();
    drop(site.open().unwrap());
    fs::write(&path, &old).unwrap();
    let error = site.open().expect_err("the tables are of a later generation");
    assert!(
        matches!(error, OpenError::MetaOlder { found: Generation(2), known: Generation(1), .. }),
        "{error}"
    );
    fs::remove_file(&path).unwrap();
    let error = site.open().expect_err("there is no META");
    assert!(matches!(error, OpenError::MetaMissing { cores: 1, .. }), "{error}");
    fs::write(&path, b"iris-data 9\n").unwrap();
    let error = site.open().expect_err("a later format");
    assert!(matches!(error, OpenError::Meta(MetaError::Version { found: 9, .. })), "{error}");
}

/// Proves: G-INCARNATION-1 (a rewound history is announced): it changes when acknowledged writes may be lost, and only then.
/// Seen to fail when: the boot id of the host is not compared.
#[test]
fn the_incarnation_changes_when_writes_may_be_lost_and_only_then() {
    let mut site = Site::new(1);
    let opens = |site: &mut Site, byte: u8| {
        site.request.incarnation = Incarnation([byte; 16]);
        let opened = site.open().unwrap();
        (opened.new_incarnation, opened.meta.meta().incarnation.0[0])
    };
    assert_eq!(opens(&mut site, 1), (Some(NewIncarnation::FirstStart), 1));
    assert_eq!(opens(&mut site, 2), (None, 1), "a kill of the process");
    site.request.host_boot = "boot-2".into();
    assert_eq!(opens(&mut site, 3), (None, 1), "a stop of the host, with everything synced");
    site.request.durability = Durability::Os;
    assert_eq!(opens(&mut site, 4), (None, 1), "what ran before was synced");
    assert_eq!(opens(&mut site, 5), (None, 1), "a kill of the process keeps the page cache");
    site.request.host_boot = "boot-3".into();
    let stopped = site.open_observed(&mut stop_at(2));
    assert!(stopped.is_err());
    site.request.durability = Durability::Fsync;
    assert_eq!(
        opens(&mut site, 6),
        (Some(NewIncarnation::HostStopped), 6),
        "also after a start that was stopped"
    );
    assert_eq!(opens(&mut site, 7), (None, 6));
    site.request.durability = Durability::Os;
    let mut opened = site.open().unwrap();
    let vouch = opened.cores[0].log.vouch();
    opened.meta.stop_clean(Wall(2_000_000), &[vouch]).unwrap();
    drop(opened);
    site.request.host_boot = "boot-4".into();
    assert_eq!(opens(&mut site, 8), (None, 6), "a clean stop");
    site.request.restored = true;
    assert_eq!(opens(&mut site, 9), (Some(NewIncarnation::Restored), 9));
    site.request.restored = false;
    fs::remove_file(site.folder.path().join(LOCK_FILE)).unwrap();
    assert_eq!(opens(&mut site, 10), (Some(NewIncarnation::Copied), 10), "another lock file: a copy");
}

/// Proves: G-INCARNATION-1 (a rewound history is announced): records that the host lost are cut, and it starts.
/// Seen to fail when: `host_lost_writes` is not handed on.
#[test]
fn a_host_that_stopped_under_os_durability_starts_with_what_it_has() {
    let mut site = Site::new(1);
    site.request.durability = Durability::Os;
    site.flushes = false;
    let mut opened = site.open().unwrap();
    site.serve(&mut opened, 60);
    let used: Vec<_> = opened.cores[0].log.used_segments().to_vec();
    drop(opened);
    site.disk.power_cut();
    let log = &site.disk.cores[&0].1;
    log.with(|log| log.bytes_mut(used[0].id).unwrap()[6000..9000].fill(0));
    let error = site.open().expect_err("a kill alone loses nothing: this is damage");
    assert!(matches!(error, OpenError::Recovery { .. }), "{error}");
    site.request.host_boot = "boot-2".into();
    let mut opened = site.open().unwrap();
    assert_eq!(opened.new_incarnation, Some(NewIncarnation::HostStopped));
    assert!(opened.cores[0].report.dropped_records > 0, "{:?}", opened.cores[0].report);
    site.model = dump_of(&mut opened);
    site.serve(&mut opened, 40);
    drop(opened);
    site.disk.power_cut();
    drop(site.open().unwrap());
    site.check(1);
}

fn dump_of(opened: &mut Opened) -> Model {
    opened.cores[0].engine.fill().unwrap();
    dump(opened.cores[0].engine.tables())
}

/// Proves: G-CLOCK-1 (no clock decides order or identity): the stored clock never goes back, and jumps only when confirmed.
/// Seen to fail when: the stored clock is not read.
#[test]
fn f_43_the_clock_follows_the_hosts_by_seven_days_at_most() {
    const DAY: u64 = 86_400_000;
    let mut site = Site::new(1);
    site.request.wall = Wall(100 * DAY);
    assert_eq!(site.open().unwrap().clock, Wall(100 * DAY));
    site.request.wall = Wall(5);
    assert_eq!(site.open().unwrap().clock, Wall(100 * DAY), "never back");
    site.request.wall = Wall(107 * DAY);
    assert_eq!(site.open().unwrap().clock, Wall(107 * DAY));
    site.request.wall = Wall(115 * DAY);
    let error = site.open().expect_err("eight days");
    assert!(matches!(error, OpenError::ClockJump { days: 8 }), "{error}");
    site.request.accept_clock = true;
    assert_eq!(site.open().unwrap().clock, Wall(115 * DAY));
}

/// Seen to fail when: the limit is refused, with those above it or alone.
#[test]
fn a_number_of_shards_that_no_server_has_is_refused() {
    let mut site = Site::new(1);
    for shards in [0, SHARDS_MAX + 1, SHARDS_MAX + 2, u16::MAX] {
        site.request.shards = shards;
        let error = site.open().expect_err("not a number of shards");
        assert!(matches!(error, OpenError::Shards { shards: found } if found == shards), "{error}");
    }
    assert_eq!(site.disk.cores.len(), 0, "nothing was made");
    site.request.shards = SHARDS_MAX;
    assert_eq!(site.open().unwrap().cores.len(), usize::from(SHARDS_MAX));
}

/// Proves: G-LOG-1 (a torn tail is told from damage): each core's log must reach what META vouches for.
/// Seen to fail when: META is not told of a change of segment.
#[test]
fn a_log_that_lost_its_last_segment_is_refused() {
    let mut site = Site::new(2);
    let mut opened = site.open().unwrap();
    site.serve(&mut opened, 300);
    let used: Vec<_> = opened.cores[1].log.used_segments().to_vec();
    drop(opened);
    site.disk.power_cut();
    let mut log = site.disk.cores[&1].1.clone();
    let last = used.last().unwrap().id;
    let bytes = log.with(|log| log.bytes(last).unwrap().to_vec());
    log.remove(last).unwrap();
    let error = site.open().expect_err("a segment is missing");
    assert!(
        matches!(error, OpenError::Recovery { core: 1, source: RecoveryError::MissingSegment { .. } }),
        "{error}"
    );
    log.create(last, 64 << 10).unwrap();
    log.with(|log| log.write_at(last, 0, &bytes)).unwrap();
    drop(site.open().unwrap());
    site.check(2);
    // Logs of two cores, exchanged.
    let (zero, one) = (site.disk.cores[&0].clone(), site.disk.cores[&1].clone());
    site.disk.cores.insert(0, (zero.0, one.1));
    site.disk.cores.insert(1, (one.0, zero.1));
    assert!(matches!(site.open().err(), Some(OpenError::Recovery { .. })));
}

/// Seen to fail when: a core is given another folder than the one that it has on the disks of older servers.
#[test]
fn the_folders_of_a_core_stay() {
    let folders =
        |core| [core_folder, log_folder, tables_folder].map(|folder| folder(Path::new("/data"), core));
    assert_eq!(folders(3), ["/data/core-03", "/data/core-03/log", "/data/core-03/tables"].map(PathBuf::from));
    assert_eq!(folders(63)[0], PathBuf::from("/data/core-63"));
}

/// Seen to fail when: slots are dealt out in another way than `slot % shards`.
#[test]
fn every_slot_has_an_owner_below_the_number_of_shards() {
    for shards in 1..=SHARDS_MAX {
        for slot in (0..1024).filter_map(Slot::new) {
            assert_eq!(owner(slot, shards), slot.number() % shards);
        }
    }
    assert_eq!(Mark::default().generation, Generation(0));
    assert_eq!(
        Vouch::default(),
        Vouch { number: crate::number::RecordNumber(0), segment: crate::number::SegmentSequence(0) }
    );
}

mod faults;
mod meta;
#[cfg(feature = "rocks")]
mod rocks;
