use super::*;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

fn meta() -> Meta {
    let vouch = |number| Vouch { number: RecordNumber(number), segment: SegmentSequence(number / 10) };
    Meta {
        generation: Generation(7),
        clock: Wall(123),
        host_boot: "3c9b-boot".into(),
        origin: 9,
        moving: Some(Moving { shards: 3, id: Generation(8) }),
        durability: Durability::Os,
        clean: false,
        vouched: vec![vouch(40), vouch(0)],
        ..Meta::new(Incarnation([0xab; 16]), LogKey(0xfeed), 2)
    }
}

fn written() -> (TempDir, PathBuf, MetaFile) {
    let folder = tempfile::tempdir().unwrap();
    let mut file = MetaFile::new(Box::new(FolderMeta::new(folder.path())), meta());
    file.change(|_| {}).unwrap();
    let path = folder.path().join(META_FILE);
    (folder, path, file)
}

/// Seen to fail when: a line is added or changes its place.
#[test]
fn the_text_of_a_meta_stays() {
    let (_folder, path, _) = written();
    let text = fs::read_to_string(path).unwrap();
    let expected = "iris-data 1\nincarnation abababababababababababababababab\nlog-key 000000000000feed\ngeneration 7\n\
                    clock 123\nhost-boot 3c9b-boot\norigin 0000000000000009\nshards 2\nmoving 3:8\ndurability os\n\
                    clean no\nvouched 40:4\nvouched 0:0\nchecksum ";
    assert!(text.starts_with(expected), "{text}");
}

/// Proves: G-META-1 (one process, one format, one boot number): what is written is read back, over any change.
/// Seen to fail when: `clean` is printed as a constant.
#[test]
fn a_meta_is_read_back() {
    let (folder, _, mut file) = written();
    assert_eq!(MetaFile::read(folder.path()).unwrap().unwrap().meta(), &meta());
    assert!(!file.raise_generation(|meta| meta.shards = 1).unwrap());
    file.vouch(0, Vouch { number: RecordNumber(39), segment: SegmentSequence(9) }).unwrap();
    file.store_clock(Wall(100)).unwrap();
    file.stop_clean(
        Wall(200),
        &[Vouch::default(), Vouch { number: RecordNumber(5), segment: SegmentSequence(1) }],
    )
    .unwrap();
    let read = MetaFile::read(folder.path()).unwrap().unwrap();
    assert_eq!(read.meta(), file.meta());
    let found = read.meta();
    assert_eq!((found.generation, found.clock, found.clean), (Generation(8), Wall(200), true));
    assert_eq!(
        found.vouched[0],
        Vouch { number: RecordNumber(40), segment: SegmentSequence(9) },
        "never falls"
    );
    assert_eq!(found.vouched[1].number, RecordNumber(5));
    assert!(!folder.path().join("META.new").exists());
}

/// Proves: G-META-1 (one process, one format, one boot number): a damaged file is an error at every byte, and never a
/// default.
/// Seen to fail when: the checksum is not compared.
#[test]
fn a_meta_damaged_or_cut_at_any_byte_is_refused() {
    let (folder, path, _) = written();
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 7);
        fs::write(&path, &flipped).unwrap();
        let error = MetaFile::read(folder.path()).expect_err("a damaged META");
        assert!(matches!(error, MetaError::Damaged { .. } | MetaError::Version { .. }), "byte {at}: {error}");
        fs::write(&path, &bytes[..at]).unwrap();
        let error = MetaFile::read(folder.path()).expect_err("a cut META");
        assert!(matches!(error, MetaError::Damaged { .. }), "cut at {at}: {error}");
    }
    fs::write(&path, &bytes).unwrap();
    assert!(MetaFile::read(folder.path()).is_ok());
}

/// Proves: G-META-1 (one process, one format, one boot number): another version is named, not guessed at.
/// Seen to fail when: the version is not compared.
#[test]
fn f_41_another_format_version_is_refused() {
    let (folder, path, _) = written();
    let text = fs::read_to_string(&path).unwrap().replace("iris-data 1\n", "iris-data 2\n");
    fs::write(&path, text).unwrap();
    let error = MetaFile::read(folder.path()).expect_err("a later version");
    assert!(matches!(error, MetaError::Version { found: 2, known: 1, .. }), "{error}");
    assert!(MetaFile::read(&folder.path().join("nothing here")).unwrap().is_none());
}

/// Proves: G-META-1 (one process, one format, one boot number): what cannot be read is not taken for missing.
/// Seen to fail when: every error counts as a missing file.
#[test]
fn a_meta_that_cannot_be_read_is_not_missing() {
    let (folder, path, _) = written();
    fs::remove_file(&path).unwrap();
    assert!(MetaFile::read(folder.path()).unwrap().is_none());
    fs::create_dir(&path).unwrap();
    let error = MetaFile::read(folder.path()).expect_err("a folder in its place");
    assert!(matches!(error, MetaError::Io { what: "read", .. }), "{error}");
    assert!(error.to_string().contains(META_FILE), "{error}");
}

/// Proves: G-META-1 (one process, one format, one boot number): a number of shards that no server has, or whose logs nothing
/// vouches for, is damage, whatever the checksum says.
/// Seen to fail when: a bound or the number of vouched is not compared; the limit is refused, with those above it or alone.
#[test]
fn a_meta_of_no_possible_number_of_shards_is_refused() {
    let (folder, _, mut file) = written();
    let mut read = |shards: u16, vouched: usize| {
        file.change(|meta| {
            meta.shards = shards;
            meta.vouched = vec![Vouch::default(); vouched];
        })
        .unwrap();
        MetaFile::read(folder.path()).map(|read| read.unwrap().meta().shards)
    };
    let max = iris_protocol::limits::SHARDS_MAX;
    for (shards, vouched) in [(1, 1), (1, 3), (max, usize::from(max))] {
        assert_eq!(read(shards, vouched).unwrap(), shards);
    }
    let many = usize::from(max) + 1;
    for (shards, vouched) in [(0, 0), (0, 2), (max + 1, many), (max + 1, 1), (3, 2), (1, 0)] {
        let error = read(shards, vouched).expect_err("not a number of shards");
        assert!(matches!(error, MetaError::Damaged { .. }), "{shards} of {vouched}: {error}");
    }
}

/// Proves: G-LIMIT-5 (a full disk refuses instead of failing): a lack of room is told from every other error.
/// Seen to fail when: every error counts as one, none, or every other.
#[test]
fn a_full_disk_is_told_from_other_errors() {
    let failed =
        |kind: io::ErrorKind| MetaError::Io { what: "write", path: "META".into(), source: kind.into() };
    assert!(failed(io::ErrorKind::StorageFull).is_disk_full());
    assert!(!failed(io::ErrorKind::PermissionDenied).is_disk_full());
    assert!(!MetaError::GenerationsUsed { max: 1 }.is_disk_full());
}

/// Seen to fail when: what is put into a memory is not there for the next process.
#[test]
fn a_meta_in_memory_outlives_its_process() {
    let store = SharedMeta::default();
    assert!(Meta::read(&mut store.clone()).unwrap().is_none());
    MetaFile::new(Box::new(store.clone()), meta()).store_clock(Wall(500)).unwrap();
    let read = Meta::read(&mut store.clone()).unwrap().unwrap();
    assert_eq!(read, Meta { clock: Wall(500), ..meta() });
    assert_eq!(store.path(), PathBuf::from(META_FILE));
    let (folder, _, file) = written();
    assert_eq!(file.directory(), folder.path());
}

/// Proves: G-META-1 (one process, one format, one boot number): a stop while it is written leaves the old one.
/// Seen to fail when: the file is overwritten in place.
#[test]
fn a_stop_in_the_middle_of_a_write_leaves_the_old_meta() {
    let (folder, path, file) = written();
    let before = fs::read(&path).unwrap();
    fs::write(folder.path().join("META.new"), b"iris-data 1\nincarn").unwrap();
    assert_eq!(MetaFile::read(folder.path()).unwrap().unwrap().meta(), &meta());
    // A write that fails does not touch it either.
    fs::remove_file(folder.path().join("META.new")).unwrap();
    fs::create_dir(folder.path().join("META.new")).unwrap();
    let mut file = file;
    let error = file.store_clock(Wall(900)).expect_err("the new file cannot be made");
    assert!(matches!(error, MetaError::Io { what: "write", .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(file.meta(), &meta(), "what could not be made durable is not believed");
}

/// Proves: G-OFFSET-1 (offsets of an inbox only rise): boot numbers are not reused, and end with an error.
/// Seen to fail when: the limit wraps to 0.
#[test]
fn generations_warn_and_then_end() {
    let folder = tempfile::tempdir().unwrap();
    let start = Meta { generation: Generation(Generation::WARN - 2), ..meta() };
    let mut file = MetaFile::new(Box::new(FolderMeta::new(folder.path())), start);
    assert!(!file.raise_generation(|_| {}).unwrap());
    assert!(file.raise_generation(|_| {}).unwrap());
    let last = Meta { generation: Generation(Generation::MAX - 2), ..meta() };
    let mut file = MetaFile::new(Box::new(FolderMeta::new(folder.path())), last);
    assert!(file.raise_generation(|_| {}).unwrap());
    let error = file.raise_generation(|_| {}).expect_err("all are used");
    assert!(matches!(error, MetaError::GenerationsUsed { .. }), "{error}");
    assert_eq!(
        MetaFile::read(folder.path()).unwrap().unwrap().meta().generation,
        Generation(Generation::MAX - 1)
    );
}
