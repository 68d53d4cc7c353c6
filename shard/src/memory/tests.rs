use super::*;
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

struct Number(u64);

impl Keyed for Number {
    fn key_hash(&self, state: &FixedState) -> u64 {
        state.hash_one(self.0)
    }
}

/// Proves: G-ADMIN-6 (a block is as large as the allocator's next class)
/// Seen to fail when: eight steps are taken to each doubling.
#[test]
fn blocks_have_the_allocators_sizes() {
    let classes =
        [(0, 0), (1, 16), (16, 16), (17, 32), (56, 64), (128, 128), (129, 160), (257, 320), (4_097, 5_120)];
    for (bytes, block) in classes {
        assert_eq!(block_bytes(bytes), block, "{bytes}");
    }
}

/// Proves: G-ADMIN-6 (a round sums up every value once, however many steps it takes, and a new round begins at nothing)
/// Seen to fail when: the sum of a round is kept for the next one.
#[test]
fn a_round_of_the_survey_counts_every_value_once() {
    let mut arena = Arena::new(7);
    let indices: Vec<u32> = (0..10_000).map(|number| arena.insert(Number(number))).collect();
    for index in indices.iter().step_by(3) {
        arena.remove(*index);
    }
    let held = u64::from(arena.peak()) - 3_334;
    let mut hand = Hand::default();
    for _round in 0..3 {
        let mut steps = 0;
        hand.last = 0;
        while hand.last == 0 {
            hand.walk(&arena, |_| 5);
            steps += 1;
        }
        assert_eq!(hand.last, 5 * held);
        assert!((20..=21).contains(&steps), "{steps}");
    }
}
