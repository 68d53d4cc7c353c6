use super::*;
use crate::number::LogKey;
use crate::testing::{KEY, samples};
use proptest::prelude::*;

fn golden(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn sample_record() -> DurableRecord {
    let after = Mark { number: RecordNumber(41), checksum: Checksum(0xabcd), generation: Generation(2) };
    RecordBuilder::record(&samples(), KEY, after, Generation(3))
}

/// Proves: G-CRASH-1 (a stop at any point is survived): what a log holds decodes to what was put in.
/// Seen to fail when: `put_entry` writes `through` before `from`.
#[test]
fn every_kind_of_operation_decodes_to_itself() {
    let record = sample_record();
    assert_eq!(record.ops().unwrap(), samples());
    assert_eq!(record.number(), RecordNumber(42));
    let read = DurableRecord::from_bytes(KEY, record.as_bytes().to_vec()).unwrap();
    assert_eq!(read.ops().unwrap(), samples());
}

/// Seen to fail when: a tag or the order of fields changes.
#[test]
fn the_encoding_of_each_operation_stays() {
    let file = include_str!("golden.txt");
    let expected: Vec<Vec<u8>> = file.lines().filter(|line| !line.starts_with('#')).map(golden).collect();
    let found: Vec<Vec<u8>> = samples()
        .iter()
        .map(|op| {
            let mut bytes = Vec::new();
            put_op(&mut bytes, op);
            bytes
        })
        .collect();
    let text = |bytes: &[u8]| crate::tables::hex(bytes);
    let lines: Vec<_> = found.iter().map(|bytes| text(bytes)).collect();
    assert_eq!(found, expected, "as text:\n{}", lines.join("\n"));
    let record = text(sample_record().as_bytes());
    let head =
        golden("4972697352656331 00000180 0000013a 000000000000002a 000000000000abcd 00000003 0000000a");
    assert!(record.starts_with(&text(&head)), "head of {record}");
    assert_eq!(Checksum(0xabcd).to_string(), "000000000000abcd", "as it is shown");
}

/// Proves: G-GAP-1 (no hole without a word): each reason of a gap is stored, and read back as itself.
/// Seen to fail when: one of the numbers stands for no reason.
#[test]
fn the_number_of_each_reason_stays() {
    use crate::encode::{reason_number, reason_of};
    use iris_protocol::GapReason::{AlreadyAcked, DeviceDetached, Expired, InboxFull};
    for (number, reason) in (1..).zip([AlreadyAcked, Expired, DeviceDetached, InboxFull]) {
        assert_eq!((reason_number(reason), reason_of(number)), (number, Some(reason)));
    }
    assert_eq!((reason_of(0), reason_of(5), reason_of(255)), (None, None, None));
}

/// Proves: G-LOG-1 (a torn tail is told from damage): no flipped bit goes unnoticed.
/// Seen to fail when: `verify` does not look at the padding.
#[test]
fn a_flipped_bit_anywhere_makes_a_record_unreadable() {
    for padding in [Padding::Block, Padding::Eight] {
        let mut builder = RecordBuilder::default();
        for op in &samples() {
            builder.push(op);
        }
        let record = builder.seal(KEY, padding, Mark::default(), Generation(1));
        let bytes = record.as_bytes();
        assert!(bytes.len().is_multiple_of(padding.bytes()), "{} bytes", bytes.len());
        assert_eq!(verify(KEY, bytes).unwrap(), *record.head());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(KEY, &flipped).is_err(), "bit {bit} of {padding:?}");
        }
        for length in 0..bytes.len() {
            assert!(verify(KEY, &bytes[..length]).is_err(), "cut at {length} of {padding:?}");
        }
    }
}

/// Seen to fail when: the checksum is not seeded.
#[test]
fn a_record_of_another_key_is_not_readable() {
    let record = sample_record();
    assert_eq!(verify(LogKey(1), record.as_bytes()), Err(RecordError::Checksum));
    assert_eq!(verify(KEY.of_core(0), record.as_bytes()), Err(RecordError::Checksum));
    assert_ne!(KEY.of_core(0), KEY.of_core(1));
}

/// Proves: G-LOG-1 (a torn tail is told from damage): what no writer pads like that is no record, whatever its checksum says.
/// Seen to fail when: either of the two conditions on a record's padding is enough (`&&` in `RecordHead::read`).
#[test]
fn a_head_whose_lengths_contradict_each_other_starts_no_record() {
    let record = sample_record();
    let total = record.head().total_bytes;
    let read = |total: usize| {
        let mut bytes = record.as_bytes().to_vec();
        bytes[8..12].copy_from_slice(&length_u32(total).to_be_bytes());
        RecordHead::read(&bytes).map(|head| head.total_bytes)
    };
    let smallest = RECORD_HEAD_BYTES + record.head().body_bytes;
    assert_eq!(read(total), Ok(total));
    assert_eq!(read(total + 4088), Ok(total + 4088), "less than a block behind the body");
    for wrong in [0, smallest - 8, total - 8, total + 1, total + 4, total + 4096, total + (1 << 20)] {
        assert_eq!(read(wrong), Err(RecordError::Length), "{wrong} bytes, of {total}");
    }
}

/// Seen to fail when: `each_op` does not count.
#[test]
fn another_count_of_operations_is_refused() {
    let mut builder = RecordBuilder::default();
    builder.push(&samples()[0]);
    builder.ops = 2;
    let record = builder.seal(KEY, Padding::Eight, Mark::default(), Generation(1));
    assert_eq!(record.ops(), Err(DecodeError::Count { expected: 2, found: 1 }));
}

/// Seen to fail when: the tenth group of a varint may hold more than the bit that is left.
#[test]
fn a_number_of_64_bits_ends_with_its_last_bit() {
    let read = |last: &[u8]| {
        let bytes: Vec<u8> = [0xff; 9].iter().chain(last).copied().collect();
        Reader::new(&bytes).varint()
    };
    assert_eq!(read(&[1]), Ok(u64::MAX));
    for last in [&[0][..], &[2], &[3], &[0x7f], &[0x81, 0], &[0x80, 1]] {
        assert_eq!(read(last), Err(DecodeError::Varint), "{last:?}");
    }
    assert_eq!(read(&[]), Err(DecodeError::Truncated));
}

/// Proves: G-LIMIT-4 (no memory is taken on a stranger's word): an id in a record has a byte, and no more than any id may have.
/// Seen to fail when: `Reader::text` refuses neither; or refuses the longest of them, with those above it or alone.
#[test]
fn the_text_of_an_id_is_neither_empty_nor_longer_than_any() {
    let read = |length: usize| {
        let mut bytes = Vec::new();
        crate::codec::put_bytes(&mut bytes, &vec![b'a'; length]);
        Reader::new(&bytes).text().map(<[u8]>::len)
    };
    for length in [1, 64, 130, 131] {
        assert_eq!(read(length), Ok(length));
    }
    for length in [0, 132, 500] {
        assert_eq!(read(length), Err(DecodeError::Range { value: crate::codec::wide(length) }));
    }
}

/// Bytes that are often the groups of a varint, and often at its edges.
fn groups() -> impl Strategy<Value = Vec<u8>> {
    let group = prop_oneof![Just(0_u8), Just(0x80), Just(0x81), Just(0xff), any::<u8>()];
    proptest::collection::vec(group, 0..12)
}

proptest! {
    /// Proves: G-LIMIT-4 (no memory is taken on a stranger's word): decoding survives any bytes.
    /// Seen to fail when: `Reader::take` slices instead of splitting checked.
    #[test]
    fn any_bytes_decode_or_are_refused(body in proptest::collection::vec(any::<u8>(), 0..200), tag in 0_u8..12) {
        let mut bytes = vec![tag];
        bytes.extend(body);
        let mut reader = Reader::new(&bytes);
        if let Ok(op) = OpView::read(&mut reader) {
            // What decodes is what would be written again.
            if let Ok(op) = op.to_op() {
                let mut again = Vec::new();
                put_op(&mut again, &op);
                prop_assert_eq!(&again, &bytes[..reader.position()]);
            }
        }
        let _ = verify(KEY, &bytes);
    }

    /// Seen to fail when: `List::read` does not walk its items.
    #[test]
    fn damaged_operations_decode_or_are_refused(which in 0_usize..10, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        put_op(&mut bytes, &samples()[which]);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut reader = Reader::new(&bytes);
        if let Ok(op) = OpView::read(&mut reader).and_then(OpView::to_op) {
            let mut again = Vec::new();
            put_op(&mut again, &op);
            prop_assert_eq!(&again, &bytes[..reader.position()]);
        }
    }

    /// Seen to fail when: a varint of eleven bytes, or a padded one, is taken.
    #[test]
    fn a_number_has_one_encoding(value in any::<u64>(), raw in groups()) {
        let mut bytes = Vec::new();
        crate::codec::put_varint(&mut bytes, value);
        prop_assert_eq!(Reader::new(&bytes).varint(), Ok(value));
        let mut reader = Reader::new(&raw);
        if let Ok(value) = reader.varint() {
            let mut again = Vec::new();
            crate::codec::put_varint(&mut again, value);
            prop_assert_eq!(&again, &raw[..reader.position()]);
        }
    }
}
