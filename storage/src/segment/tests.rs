use super::*;

const KEY: LogKey = LogKey(77);

fn head() -> SegmentHead {
    SegmentHead {
        sequence: SegmentSequence(3),
        first: RecordNumber(100),
        previous: Checksum(5),
        generation: Generation(2),
        padding: Padding::Eight,
    }
}

/// Proves: G-LOG-1 (a torn tail is told from damage): a damaged head is no head.
/// Seen to fail when: the checksum covers the fields only.
#[test]
fn a_flipped_bit_anywhere_makes_a_head_unreadable() {
    let mut block = [0; SEGMENT_HEAD_BYTES];
    head().write(KEY, &mut block);
    assert_eq!(SegmentHead::read(KEY, &block), Some(head()));
    assert_eq!(SegmentHead::read(LogKey(78), &block), None);
    for bit in 0..SEGMENT_HEAD_BYTES * 8 {
        let mut flipped = block;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(SegmentHead::read(KEY, &flipped), None, "bit {bit}");
    }
    assert_eq!(SegmentHead::read(KEY, &block[..4095]), None);
}

/// Seen to fail when: a layout changes.
#[test]
fn the_bytes_of_a_head_stay() {
    assert_eq!((SEGMENT_HEAD_BYTES, SEGMENT_BYTES), (4096, 64 << 20));
    let mut block = [0; SEGMENT_HEAD_BYTES];
    head().write(KEY, &mut block);
    let expected = "4972697353656731000000000000000300000000000000640000000000000005000000020200";
    assert_eq!(crate::tables::hex(&block[..38]), expected);
}

/// Seen to fail when: `up` adds a unit to an aligned length.
#[test]
fn lengths_are_rounded_up_to_the_padding() {
    for (length, block, eight) in
        [(0, 0, 0), (1, 4096, 8), (8, 4096, 8), (4096, 4096, 4096), (4097, 8192, 4104)]
    {
        assert_eq!((Padding::Block.up(length), Padding::Eight.up(length)), (block, eight));
    }
}

/// Proves: G-LOG-2 (a failed write ends the process): a segment is real blocks of zeros before its first record, so that no write
/// into it needs room.
/// Seen to fail when: no zeros are written; or a file that was removed stays open.
#[test]
fn a_segment_in_a_folder_is_made_of_blocks_of_zeros() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let mut log = DirectoryLog::open(&folder.path().join("log")).unwrap();
    let bytes: u64 = (2 << 20) + 4096;
    for id in [SegmentId(3), SegmentId(1)] {
        log.create(id, bytes).unwrap();
        assert_eq!(log.length(id).unwrap(), bytes);
        let facts = std::fs::metadata(log.path(id)).unwrap();
        assert!(facts.blocks() * 512 >= bytes, "{} blocks", facts.blocks());
    }
    assert_eq!(log.list().unwrap(), [SegmentId(1), SegmentId(3)]);
    let error = log.create(SegmentId(1), bytes).expect_err("it is there");
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    // What is zeroed is zero, and nothing around it.
    std::fs::write(log.path(SegmentId(3)), vec![7; 3 << 20]).unwrap();
    let (from, length) = (1000, (1 << 20) + 500);
    log.zero(SegmentId(3), 1000, length).unwrap();
    log.sync(SegmentId(3)).unwrap();
    let mut found = vec![1; (3 << 20) + 100];
    assert_eq!(log.read_at(SegmentId(3), 0, &mut found).unwrap(), 3 << 20);
    let end = from + usize::try_from(length).unwrap();
    assert!(found[..from].iter().chain(&found[end..3 << 20]).all(|byte| *byte == 7));
    assert!(found[from..end].iter().all(|byte| *byte == 0));
    let mut piece = [0; 8];
    assert_eq!(log.read_at(SegmentId(3), (3 << 20) - 3, &mut piece).unwrap(), 3, "as far as the file goes");
    log.remove(SegmentId(3)).unwrap();
    assert_eq!(log.list().unwrap(), [SegmentId(1)]);
    assert!(log.length(SegmentId(3)).is_err() && log.sync(SegmentId(3)).is_err());
    assert_eq!(log.length(SegmentId(1)).unwrap(), bytes, "the other file is read, not the one that was open");
}

/// Proves: G-LOG-2 (a failed write ends the process): a read that fails is an error, not a file that ends.
/// Seen to fail when: an error is taken for an interruption, and the read is tried for ever.
#[test]
fn a_segment_that_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = DirectoryLog::open(folder.path()).unwrap();
    // Nothing is mapped where a process's memory begins.
    std::os::unix::fs::symlink("/proc/self/mem", log.path(SegmentId(1))).unwrap();
    let error = log.read_at(SegmentId(1), 0, &mut [0; 16]).expect_err("a disk that does not read");
    assert_ne!(error.kind(), io::ErrorKind::Interrupted);
}
