//! Claims about offsets and clocks.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test that overruns fails, which is what it is for"
)]

use super::{Generation, Mono, Offset, Sequence, Wall};
use proptest::prelude::*;
use std::time::Duration;

/// Proves: G-OFFSET-1 (below 2^53)
/// Seen to fail when: N_BITS is 34.
#[test]
fn every_offset_fits_a_javascript_number() {
    let highest = Offset::new(Generation(Generation::MAX.saturating_sub(1)), Offset::N_MAX);
    assert_eq!(highest.0, (1 << 53) - 1);
}

/// Seen to fail when: `new` joins with `^` of a shifted n, or shifts by 32.
#[test]
fn an_offset_is_the_generation_shifted_by_33_and_a_number() {
    assert_eq!(Offset::new(Generation(1), 1).0, (1 << 33) + 1);
    assert_eq!(Offset::new(Generation(3), 7).0, 25_769_803_783);
    assert_eq!(Offset::NONE.generation(), 0);
}

proptest! {
    /// Seen to fail when: `n` masks with N_MAX >> 1.
    #[test]
    fn an_offset_gives_back_its_parts(generation in 1..Generation::MAX, n in 0..=Offset::N_MAX) {
        let offset = Offset::new(Generation(generation), n);
        prop_assert_eq!(offset.generation(), u64::from(generation));
        prop_assert_eq!(offset.n(), n);
    }

    /// Proves: G-OFFSET-1 (a raised generation is above all earlier offsets)
    /// Seen to fail when: the generation is put into the lower bits.
    #[test]
    fn a_later_generation_is_above_every_offset_of_an_earlier_one(
        generation in 1..Generation::MAX - 1,
        n in 0..=Offset::N_MAX,
        later_n in 0..=Offset::N_MAX,
    ) {
        let earlier = Offset::new(Generation(generation), n);
        let later = Offset::new(Generation(generation.saturating_add(1)), later_n);
        prop_assert!(earlier < later);
    }

    /// Seen to fail when: `generation` is cut to 20 bits, which would let an absurd offset pass as an old one.
    #[test]
    fn an_absurd_offset_has_an_absurd_generation(raw in (1_u64 << 53)..) {
        prop_assert!(Offset(raw).generation() >= u64::from(Generation::MAX));
    }
}

/// Seen to fail when: the assert on the generation is dropped.
#[test]
#[should_panic(expected = "generation")]
fn a_generation_that_does_not_fit_is_our_own_mistake() {
    let _ = Offset::new(Generation(Generation::MAX), 1);
}

/// Seen to fail when: the assert on n is dropped.
#[test]
#[should_panic(expected = "offset number")]
fn a_number_that_does_not_fit_is_our_own_mistake() {
    let _ = Offset::new(Generation(1), Offset::N_MAX.saturating_add(1));
}

/// Seen to fail when: WARN is 900,000.
#[test]
fn the_warning_comes_when_nine_tenths_of_the_generations_are_used() {
    assert_eq!(u64::from(Generation::WARN), u64::from(Generation::MAX) * 9 / 10);
}

/// Seen to fail when: `next` adds nothing.
#[test]
fn sequences_count_from_one() {
    assert_eq!(Sequence::NONE.next(), Sequence(1));
    assert_eq!(Sequence(41).next(), Sequence(42));
}

/// Seen to fail when: `since` subtracts the other way round.
#[test]
fn monotonic_time_never_runs_out_of_its_range() {
    assert_eq!(Mono(5).after(Duration::from_nanos(7)), Mono(12));
    assert_eq!(Mono(u64::MAX).after(Duration::from_secs(1)), Mono(u64::MAX));
    assert_eq!(Mono(0).after(Duration::MAX), Mono(u64::MAX));
    assert_eq!(Mono(12).since(Mono(5)), Duration::from_nanos(7));
    assert_eq!(Mono(5).since(Mono(12)), Duration::ZERO);
}

/// Seen to fail when: `day` divides by 86,400.
#[test]
fn a_day_has_86_400_000_milliseconds() {
    assert_eq!(Wall(86_399_999).day(), 0);
    assert_eq!(Wall(86_400_000).day(), 1);
    assert_eq!(Wall(u64::MAX).day(), u32::MAX);
    assert_eq!(Wall(u64::MAX).after_ms(1), Wall(u64::MAX));
}
