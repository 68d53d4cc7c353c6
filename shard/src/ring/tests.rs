use super::*;

/// Proves: G-ADMIN-6 (a queue takes what its blocks take, and none when it was emptied and released)
/// Seen to fail when: `release` keeps an empty queue; or `bytes` leaves one of the two blocks out.
#[test]
fn an_empty_ring_that_was_released_holds_no_memory() {
    let mut ring = Ring::default();
    assert_eq!((ring.bytes(), ring.len()), (0, 0));
    let mut same = VecDeque::new();
    for number in 0..100_u64 {
        ring.push_back(number);
        same.push_back(number);
    }
    let blocks = block_bytes(size_of::<VecDeque<u64>>()) + block_bytes(same.capacity() * size_of::<u64>());
    assert_eq!((ring.bytes(), ring.len()), (blocks, 100));
    ring.release();
    assert_eq!((ring.front(), ring.back(), ring.at(1)), (Some(&0), Some(&99), Some(&1)), "it was not empty");
    while ring.pop_front().is_some() {}
    assert_eq!(ring.bytes(), blocks);
    ring.release();
    assert_eq!(ring.bytes(), 0);
}
