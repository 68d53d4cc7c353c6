use super::*;

/// Seen to fail when: `layout` asks for an alignment of 512.
#[test]
fn the_address_stays_aligned_while_the_buffer_grows_and_keeps_its_bytes() {
    let mut buffer = AlignedBuffer::new();
    let mut expected = Vec::new();
    for round in 0..200u32 {
        let bytes = vec![round.to_le_bytes()[0]; usize::try_from(round * 7 + 1).expect("small")];
        buffer.extend_from_slice(&bytes);
        expected.extend_from_slice(&bytes);
        assert_eq!(buffer.as_ptr().addr() % ALIGNMENT, 0, "after {} bytes", buffer.len());
        assert_eq!(buffer.capacity() % ALIGNMENT, 0);
    }
    assert_eq!(&buffer[..], &expected[..]);
}

/// Seen to fail when: `pad` leaves the length unchanged.
#[test]
fn padding_appends_zeros_up_to_the_unit_of_a_direct_write() {
    let mut buffer = AlignedBuffer::with_capacity(1);
    buffer.pad();
    assert!(buffer.is_empty(), "nothing needs no padding");
    buffer.extend_from_slice(b"record");
    buffer.pad();
    assert_eq!(buffer.len(), ALIGNMENT);
    assert_eq!(&buffer[..6], b"record");
    assert!(buffer[6..].iter().all(|byte| *byte == 0));
    buffer.clear();
    assert!(buffer.is_empty() && buffer.capacity() >= ALIGNMENT);
}
