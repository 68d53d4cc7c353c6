use super::*;
use crate::slots::{Phase, Receive};

fn receiving(slots: &mut Slots, wheel: &mut Wheel, tick: u32) -> u32 {
    let index = slots.insert();
    let slot = slots.at(index);
    slot.phase = Phase::Open;
    slot.receive = Receive::Armed;
    slot.last_tick = tick;
    wheel.insert(slots, index);
    index
}

fn silent(slots: &mut Slots, wheel: &mut Wheel, now: u32) -> Vec<u32> {
    let mut looks = Wheel::looks();
    std::iter::from_fn(|| wheel.next_silent(slots, now, &mut looks)).collect()
}

/// Seen to fail when: `next_silent` compares with half of `SPAN`.
#[test]
fn a_slot_is_silent_after_the_span_and_not_before() {
    let (mut slots, mut wheel) =
        (Slots::with_capacity(4), Wheel::new(Instant::now(), Duration::from_secs(8)));
    let early = receiving(&mut slots, &mut wheel, 0);
    for now in 0..SPAN {
        slots.at(early).last_tick = now.min(3);
        assert!(silent(&mut slots, &mut wheel, now).is_empty(), "tick {now}");
    }
    let found = (SPAN..4 * SPAN).find(|now| silent(&mut slots, &mut wheel, *now) == [early]);
    assert!(found.is_some_and(|tick| (3 + SPAN..=3 + SPAN + 1).contains(&tick)), "found at {found:?}");
    assert_eq!(wheel.next_deadline(), None);
}

/// Seen to fail when: the clamp in `insert` is dropped (the bucket under the cursor takes back what was taken from it).
#[test]
fn a_wheel_that_was_left_behind_catches_up() {
    let (mut slots, mut wheel) =
        (Slots::with_capacity(4), Wheel::new(Instant::now(), Duration::from_secs(8)));
    let busy = receiving(&mut slots, &mut wheel, 0);
    for late in [7, 15, 16, 17, 24, 160] {
        slots.at(busy).last_tick = late;
        assert!(silent(&mut slots, &mut wheel, late).is_empty());
        assert_eq!(wheel.cursor, late, "every bucket up to now was emptied");
    }
}

/// Seen to fail when: the allowance is not counted down.
#[test]
fn one_turn_looks_at_a_bounded_number_of_slots() {
    let (mut slots, mut wheel) =
        (Slots::with_capacity(4), Wheel::new(Instant::now(), Duration::from_secs(8)));
    let all: Vec<u32> = (0..LOOKS_MAX + 10).map(|_| receiving(&mut slots, &mut wheel, 0)).collect();
    assert_eq!(silent(&mut slots, &mut wheel, 20).len(), LOOKS_MAX as usize);
    assert_eq!(
        silent(&mut slots, &mut wheel, 20).len(),
        10,
        "the rest of {} comes in the next turn",
        all.len()
    );
}

/// Seen to fail when: `insert` does not look at `in_wheel`.
#[test]
fn a_freed_slot_that_is_used_again_stays_in_one_bucket() {
    let (mut slots, mut wheel) =
        (Slots::with_capacity(4), Wheel::new(Instant::now(), Duration::from_secs(8)));
    let first = receiving(&mut slots, &mut wheel, 0);
    slots.remove(first);
    let second = receiving(&mut slots, &mut wheel, 4);
    assert_eq!(first, second, "the slot is used again");
    assert_eq!(wheel.waiting, 1);
    assert!(silent(&mut slots, &mut wheel, 9).is_empty(), "its own silence counts, not its predecessor's");
    assert_eq!(silent(&mut slots, &mut wheel, 14), [second]);
}
