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
