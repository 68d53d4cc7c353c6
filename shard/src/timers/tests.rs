use super::*;

fn alarm(session: u32) -> Alarm {
    Alarm { session, stamp: 0 }
}

fn at_s(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

/// Seen to fail when: `arm` rounds down.
#[test]
fn an_alarm_comes_after_its_time_and_within_two_ticks() {
    let mut wheel = Wheel::new(at_s(5));
    for second in 6..600 {
        wheel.arm(at_s(second), alarm(u32::try_from(second).unwrap()));
    }
    let mut seen = 0;
    while let Some(due) = wheel.next_due() {
        let mut taken = Vec::new();
        wheel.take(due, &mut taken);
        for alarm in taken {
            let wanted = at_s(u64::from(alarm.session));
            assert!(due >= wanted, "{alarm:?} at {due:?}");
            assert!(due.since(wanted) <= Duration::from_millis(269));
            seen += 1;
        }
    }
    assert_eq!(seen, 594);
}

/// Seen to fail when: `take` stops after one tick.
#[test]
fn a_long_pause_takes_everything_that_is_due() {
    let mut wheel = Wheel::new(at_s(1));
    for second in [2, 3, 500, 2_000] {
        wheel.arm(at_s(second), alarm(1));
    }
    let mut taken = Vec::new();
    wheel.take(at_s(100_000), &mut taken);
    assert_eq!(taken.len(), 4);
    assert_eq!(wheel.next_due(), None);
    wheel.arm(at_s(100_001), alarm(2));
    assert!(wheel.next_due().unwrap() >= at_s(100_001));
}

/// Seen to fail when: `pop_due` does not compare.
#[test]
fn a_delayed_item_is_not_due_before_its_delay() {
    let mut queue = Delayed::new(Duration::from_millis(10));
    queue.push(Mono(0), 'a');
    queue.push(Mono(5), 'b');
    assert_eq!(queue.pop_due(Mono(9_999_999)), None);
    assert_eq!(queue.pop_due(Mono(10_000_000)), Some('a'));
    assert_eq!(queue.pop_due(Mono(10_000_000)), None);
    assert_eq!(queue.next_due(), Some(Mono(10_000_005)));
}
