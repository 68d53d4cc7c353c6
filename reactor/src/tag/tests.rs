use super::*;

/// Seen to fail when: two entries of `Kind::ALL` are swapped.
#[test]
fn every_kind_survives_the_way_through_the_kernel() {
    for (place, kind) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, place + 1);
        let tag = Tag::from_bits(Tag::new(kind, 0x00ab_cdef, 0x1234_5678).bits());
        assert_eq!((tag.kind(), tag.index(), tag.generation()), (kind, 0x00ab_cdef, 0x1234_5678));
    }
    assert_eq!(Kind::ALL.len(), Kind::Waker as usize);
}

/// Seen to fail when: `LABEL_BITS` is 48.
#[test]
fn a_label_keeps_all_its_bits() {
    let label = (1 << 56) - 2;
    assert_eq!(Tag::labelled(Kind::Arrived, label).label(), label);
    assert_eq!(Tag::labelled(Kind::Arrived, label).kind(), Kind::Arrived);
}
