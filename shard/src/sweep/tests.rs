use super::*;

/// Proves: G-LIMIT-2 (no queue grows without a bound): the sweep looks at everything in 300 rounds, and at 16 of a kind at least.
/// Seen to fail when: `part` takes another share, or does not begin again at the end.
#[test]
fn a_round_of_the_sweep_looks_at_its_share() {
    let looked_at = |hand, bound| {
        let (indices, end) = part(hand, bound);
        (indices.collect::<Vec<u32>>(), end)
    };
    assert_eq!(looked_at(0, 0), (vec![], 0));
    assert_eq!(looked_at(0, 10), ((0..10).collect(), 10));
    assert_eq!(looked_at(10, 10), ((0..10).collect(), 10));
    assert_eq!(looked_at(16, 40), ((16..32).collect(), 32));
    assert_eq!(looked_at(32, 40), ((32..40).collect(), 40));
    assert_eq!(looked_at(40, 6_050), ((40..60).collect(), 60));
    assert_eq!(looked_at(6_049, 6_050), (vec![6_049], 6_050));
}
