//! A log's real files, damaged at every byte, and mixed up.

use super::*;
use iris_protocol::DeviceId;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use tempfile::TempDir;

/// Enough for three segments or four of either padding.
const RECORDS: [(Padding, u64, usize); 2] =
    [(Padding::Eight, 12 << 10, 300), (Padding::Block, 128 << 10, 70)];

struct Written {
    record: DurableRecord,
    segment: SegmentId,
    start: usize,
    end: usize,
}

impl Written {
    fn number(&self) -> RecordNumber {
        self.record.number()
    }
}

/// A log in a folder, and what its files should hold.
struct Folder {
    place: TempDir,
    config: LogConfig,
    log: RecordLog,
    written: Vec<Written>,
    files: BTreeMap<SegmentId, Vec<u8>>,
}

/// In memory where the system has such a folder: thousands of recoveries sync their files.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn small(number: usize) -> Op {
    let device = DeviceId::parse(&format!("dev-{}", "x".repeat(number % 23))).unwrap();
    Op::Unlink { user: user(1), device }
}

impl Folder {
    fn new(padding: Padding, segment_bytes: u64, key: LogKey) -> Self {
        let config = LogConfig { key, segment_bytes, record_bytes_max: 4 << 10, ..small_config(padding) };
        let log = RecordLog::new(config, LogPosition::default());
        Self { place: folder(), config, log, written: Vec::new(), files: BTreeMap::new() }
    }

    fn filled((padding, segment_bytes, records): (Padding, u64, usize), key: LogKey) -> Self {
        let mut folder = Self::new(padding, segment_bytes, key);
        (0..records).for_each(|number| folder.write(&[small(number)]));
        folder.remember();
        folder
    }

    fn disk(&self) -> DirectoryLog {
        DirectoryLog::open(self.place.path()).unwrap()
    }

    fn write(&mut self, ops: &[Op]) {
        let mut disk = self.disk();
        while let Some(segment) = self.log.needs_segment() {
            disk.create(segment.id, segment.bytes).unwrap();
            self.log.provide(segment);
        }
        self.log.append(ops);
        let write = self.log.seal().unwrap();
        let file = fs::OpenOptions::new().write(true).open(disk.path(write.segment())).unwrap();
        file.write_all_at(write.bytes(), write.offset()).unwrap();
        let (segment, end) =
            (write.segment(), usize::try_from(write.offset()).unwrap() + write.bytes().len());
        let record = self.log.written(write).record;
        let start = end - record.as_bytes().len();
        self.written.push(Written { record, segment, start, end });
    }

    fn remember(&mut self) {
        let mut disk = self.disk();
        let ids = disk.list().unwrap();
        self.files = ids.into_iter().map(|id| (id, fs::read(disk.path(id)).unwrap())).collect();
    }

    /// Puts every file back as it was.
    fn restore(&self) {
        let mut disk = self.disk();
        for id in disk.list().unwrap() {
            if !self.files.contains_key(&id) {
                disk.remove(id).unwrap();
            }
        }
        self.files.iter().for_each(|(id, bytes)| fs::write(disk.path(*id), bytes).unwrap());
    }

    fn damage(&self, segment: SegmentId, bytes: &[u8]) {
        fs::write(self.disk().path(segment), bytes).unwrap();
    }

    fn plan(&self) -> RecoveryPlan {
        RecoveryPlan { key: self.config.key, ..plan(self.config.padding, Mark::default()) }
    }

    fn recovered(&self, plan: &RecoveryPlan) -> Result<Recovered, RecoveryError> {
        recovered(&mut self.disk(), plan)
    }

    fn refusal(&self, plan: &RecoveryPlan) -> RecoveryError {
        let error = self.recovered(plan).map(|found| found.report).expect_err("damage is refused");
        let text = error.to_string();
        assert!(text.contains("restore") || text.contains("remove the file"), "says what to do: {text}");
        error
    }

    /// The first record that a file with these bytes does not hold any more, and the first behind it that is readable.
    fn lost(&self, segment: SegmentId, bytes: &[u8]) -> (Option<RecordNumber>, Option<RecordNumber>) {
        let whole = |written: &&Written| {
            let place = written.start..written.end;
            written.segment != segment || bytes.get(place.clone()) == self.files[&segment].get(place)
        };
        let lost = self.written.iter().find(|written| !whole(written)).map(Written::number);
        let behind = |written: &&Written| lost.is_some_and(|lost| written.number() > lost);
        (lost, self.written.iter().filter(behind).find(whole).map(Written::number))
    }

    /// Recovery of a log with one damaged file does what it should; leaves the files as they were.
    fn judge(&self, segment: SegmentId, bytes: &[u8], what: &str) {
        self.damage(segment, bytes);
        let plan = self.plan();
        let all = self.written.len();
        match self.lost(segment, bytes) {
            (None, _) => assert_eq!(self.recovered(&plan).unwrap().records.len(), all, "{what}"),
            (Some(lost), Some(readable)) => {
                let error = self.refusal(&plan);
                let named = matches!(error, RecoveryError::Damaged { number, segment: place, readable: found, .. }
                    if number == lost && place == segment && found >= readable);
                assert!(named, "{what}: record {lost} is lost and {readable} is not: {error}");
            }
            (Some(lost), None) => self.judge_tail(lost, what),
        }
        self.restore();
    }

    /// Everything from `lost` on is gone. It is a tail unless META vouches for it, and the log goes on behind it.
    fn judge_tail(&self, lost: RecordNumber, what: &str) {
        let plan = self.plan();
        let vouched = RecoveryPlan { vouched: Vouch { number: lost, ..Vouch::default() }, ..plan };
        let error = self.refusal(&vouched);
        assert!(
            matches!(error, RecoveryError::EndsBeforeVouched { vouched, .. } if vouched == lost),
            "{what}: {error}"
        );
        let found = self.recovered(&plan).unwrap_or_else(|error| panic!("{what}: {error}"));
        let kept = usize::try_from(lost.0).unwrap() - 1;
        assert!(self.holds(&found.records, kept), "{what}: {} records, not {kept}", found.records.len());
        let mut disk = self.disk();
        let mut log = RecordLog::new(self.config, found.position);
        log.append(&[small(kept)]);
        let write = log.seal().expect("a segment is free");
        let file = fs::OpenOptions::new().write(true).open(disk.path(write.segment())).unwrap();
        file.write_all_at(write.bytes(), write.offset()).unwrap();
        let next = log.written(write).record;
        let again = recovered(&mut disk, &plan).unwrap_or_else(|error| panic!("{what}, then: {error}"));
        let (newest, records) = again.records.split_last().unwrap();
        assert!(self.holds(records, kept) && newest.head() == next.head(), "{what}, then one more");
        assert_eq!(again.report.tail, Tail::Clean, "{what}");
    }

    fn holds(&self, records: &[DurableRecord], count: usize) -> bool {
        let same = |(found, written): (&DurableRecord, &Written)| {
            found.head() == written.record.head() && found.body() == written.record.body()
        };
        records.len() == count && records.iter().zip(&self.written).all(same)
    }
}

/// What happens to a file from a byte on.
fn damages(file: &[u8], at: usize) -> [(&'static str, Vec<u8>); 4] {
    let with_rest = |rest: fn(usize) -> u8| {
        let rest = (at..file.len()).map(rest);
        file[..at].iter().copied().chain(rest).collect()
    };
    let mut flipped = file.to_vec();
    if let Some(byte) = flipped.get_mut(at) {
        *byte ^= 1 << (at % 8);
    }
    [
        ("cut", file[..at].to_vec()),
        ("zeroed", with_rest(|_| 0)),
        ("garbled", with_rest(|at| (at * 31) as u8 | 1)),
        ("flipped", flipped),
    ]
}

/// The bytes of a record to damage: all of head and operations, its end, and of what it is padded with, some.
fn bytes_of(written: &Written) -> impl Iterator<Item = usize> {
    let (start, end) = (written.start, written.end);
    let body = start + RECORD_HEAD_BYTES + written.record.body().len();
    (start..=end).filter(move |at| *at <= body || at % 509 == 0 || *at == end)
}

/// Proves: G-LOG-1 (a torn tail is told from damage): in real files, cut, zeroed, garbled or flipped at any byte and any
/// border of the last record, it is a tail that is cut and nothing else is; what META vouches for is never one; and damage
/// to a record before it refuses and names the segment as soon as anything behind it can be read.
/// Seen to fail when: `refuse_holes` does not look at the readable records; when it does not compare with META.
#[test]
fn f_34_in_files_a_last_record_damaged_at_any_byte_is_a_tail_and_an_earlier_one_is_not() {
    for shape in RECORDS {
        let folder = Folder::filled(shape, KEY);
        let count = folder.written.len();
        let mut damaged = 0;
        for written in folder.written[count - 3..].iter().chain(&folder.written[count / 5..=count / 5]) {
            let file = &folder.files[&written.segment];
            for at in bytes_of(written) {
                for (how, bytes) in damages(file, at) {
                    let what = format!("record {} of {count}, {how} at {at}", written.number());
                    folder.judge(written.segment, &bytes, &what);
                    damaged += 1;
                }
            }
        }
        assert!(damaged > 1000, "{damaged}");
    }
}

/// Proves: G-LOG-1 (a torn tail is told from damage): a bit flipped anywhere in any record of the files, and a file that
/// ends at any record's border, is found.
/// Seen to fail when: `verify` does not compare the checksum.
#[test]
fn f_35_in_files_a_flipped_bit_anywhere_and_a_cut_at_any_border_is_found() {
    let folder = Folder::filled(RECORDS[0], KEY);
    for written in &folder.written {
        let file = &folder.files[&written.segment];
        for at in (written.start..written.end).step_by(7).chain([written.end - 1]) {
            let [_, _, _, (how, bytes)] = damages(file, at);
            folder.judge(written.segment, &bytes, &format!("record {}, {how} at {at}", written.number()));
        }
        for border in [written.start, written.end] {
            folder.judge(written.segment, &file[..border], &format!("cut at record {}", written.number()));
        }
    }
}

/// Proves: G-LOG-1 (a torn tail is told from damage): a segment whose head cannot be read is named, as long as it holds
/// records.
/// Seen to fail when: the head's checksum is not compared; when `hole` takes a damaged head for a damaged record.
#[test]
fn f_35_in_files_a_damaged_head_is_refused_by_the_name_of_its_file() {
    let folder = Folder::filled(RECORDS[0], KEY);
    let used: Vec<_> = folder.log.used_segments().iter().map(|segment| segment.id).collect();
    for id in used {
        let file = &folder.files[&id];
        let first = folder.written.iter().find(|written| written.segment == id).unwrap();
        for at in (0..first.start).step_by(97).chain([0, first.start - 1]) {
            let mut bytes = file.clone();
            bytes[at] ^= 1 << (at % 8);
            folder.damage(id, &bytes);
            let error = folder.refusal(&folder.plan());
            let named = matches!(error, RecoveryError::DamagedHead { segment, readable }
                if segment == id && readable == first.number());
            assert!(named, "byte {at} of {id}: {error}");
        }
        folder.restore();
    }
}

/// Proves: G-LOG-1 (a torn tail is told from damage): a file that is missing, doubled, or of another log is refused, at any
/// place of the log; two files that change names lose nothing, for the place of a segment is in it.
/// Seen to fail when: two segments may have one sequence; when a gap in the sequences is not judged; when the checksum of
/// a head, which the log's key seeds, is not compared.
#[test]
fn f_35_in_files_segments_that_are_missing_doubled_or_foreign_are_refused() {
    let folder = Folder::filled(RECORDS[0], KEY);
    let plan = RecoveryPlan { vouched: folder.log.vouch(), ..folder.plan() };
    let used: Vec<_> = folder.log.used_segments().to_vec();
    assert!(used.len() >= 3, "{used:?}");
    let stranger = Folder::filled(RECORDS[0], KEY.of_core(1));
    for (index, segment) in used.iter().enumerate() {
        let (id, sequence) = (segment.id, segment.sequence);
        let path = folder.disk().path(id);
        let gone = |error: &RecoveryError| {
            let first = index == 0
                && matches!(error, RecoveryError::BeginsAfterTables { applied, .. } if applied.0 == 0);
            first
                || matches!(error, RecoveryError::MissingSegment { sequence: missing } if *missing == sequence)
        };
        fs::remove_file(&path).unwrap();
        let error = folder.refusal(&plan);
        assert!(gone(&error), "without {id}: {error}");
        fs::write(&path, &stranger.files[&id]).unwrap();
        let error = folder.refusal(&plan);
        assert!(gone(&error), "{id} of another core: {error}");
        folder.restore();
        let other = used[(index + 1) % used.len()].id;
        for place in [SegmentId(99), other] {
            fs::copy(&path, folder.disk().path(place)).unwrap();
            let error = folder.refusal(&plan);
            assert!(matches!(error, RecoveryError::DoubleSegment { .. }), "{id} as {place}: {error}");
            folder.restore();
        }
        fs::write(&path, &folder.files[&other]).unwrap();
        fs::write(folder.disk().path(other), &folder.files[&id]).unwrap();
        let found = folder.recovered(&plan).unwrap();
        assert!(folder.holds(&found.records, folder.written.len()), "{id} and {other}, exchanged");
        folder.restore();
    }
}
