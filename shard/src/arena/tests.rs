use super::*;
use std::hash::BuildHasher;

struct Number(u64);

impl Keyed for Number {
    fn key_hash(&self, state: &FixedState) -> u64 {
        state.hash_one(self.0)
    }
}

fn find(arena: &Arena<Number>, number: u64) -> Option<u32> {
    arena.find(arena.state().hash_one(number), |value| value.0 == number)
}

/// Proves: G-ADMIN-6 (an arena takes what its places take, those that were in use once among them, and its table)
/// Seen to fail when: `peak` is one less; or `bytes` leaves the table out.
#[test]
fn an_arena_finds_its_values_and_keeps_their_places() {
    let mut arena = Arena::new(7);
    let indices: Vec<u32> = (0..100).map(|number| arena.insert(Number(number))).collect();
    assert!((0..100).zip(&indices).all(|(number, index)| find(&arena, number) == Some(*index)));
    assert_eq!(find(&arena, 100), None);
    for index in &indices[10..20] {
        arena.remove(*index);
    }
    assert_eq!((find(&arena, 10), arena.at(indices[10]).is_none(), arena.peak()), (None, true, 100));
    assert_eq!(arena.iter().count(), 90);
    assert_eq!(arena.bytes(), 100 * 16 + to_u64(arena.table.allocation_size()));
    assert!(arena.bound() >= 100);
    // The place that was free last is used first.
    assert_eq!(arena.insert(Number(7_000)), indices[19]);
    assert_eq!(arena.peak(), 100);
}
