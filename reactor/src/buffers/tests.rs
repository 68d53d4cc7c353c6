//! How many buffers the kernel is given.
use super::{Lease, Pool};

/// Seen to fail when: `lend` does not grow the pool, or `grow` offers one buffer twice.
#[test]
fn the_kernel_gets_more_buffers_when_few_are_left() {
    let pool = Pool::new(256, 64).expect("mapped");
    for id in (0..64).cycle().take(1000) {
        drop(pool.lend(id, 1));
    }
    assert_eq!((pool.free(), pool.touched.get()), (64, 64), "one at a time needs no more");
    let mut held: Vec<Lease> = (0..48).map(|id| pool.lend(id, 1)).collect();
    assert_eq!(pool.free(), 16);
    held.push(pool.lend(48, 1));
    assert_eq!(pool.free(), 15 + 64, "the kernel has less than a quarter");
    held.extend((49..256).map(|id| pool.lend(id, 1)));
    assert_eq!(pool.free(), 0, "all are in leases");
    assert!(!pool.grow(), "there are no more");
    drop(held);
    assert_eq!(pool.free(), 256);
}
