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
