//! The order in which a herd and those who are logged in are served.

use super::{BUDGET, BYTES_MAX, Handshakes, RETRY_MS, Turn, WAITING_MAX, WAITING_MAX_BEGUN};
use iris_reactor::Conn;
use std::collections::HashSet;
use std::time::Duration;

const HANDSHAKE: Duration = Duration::from_micros(110);
/// As many as fit into a budget, and the one that goes over it.
const PER_TICK: usize = 19;

/// One tick of a loop: what came in this order, then those who wait. Gives who was greeted.
fn tick(handshakes: &mut Handshakes, came: impl IntoIterator<Item = u64>) -> Vec<u64> {
    handshakes.begin_tick();
    let mut greeted = Vec::new();
    for conn in came {
        if handshakes.offer(Conn::from_bits(conn), false, b"hello") == Turn::Now {
            handshakes.spend(HANDSHAKE);
            greeted.push(conn);
        }
    }
    while let Some((conn, bytes)) = handshakes.next() {
        assert_eq!(bytes, b"hello");
        handshakes.spend(HANDSHAKE);
        greeted.push(conn.to_bits());
    }
    greeted
}

/// Proves: G-EDGE-4 (a tick greets for so long and then goes on, and the herd is served in the order in which it came)
/// Seen to fail when: `Handshakes::offer` says Now while others wait.
#[test]
fn a_herd_is_greeted_in_order_and_a_budget_at_a_time() {
    assert_eq!(PER_TICK, usize::try_from(BUDGET.as_micros() / HANDSHAKE.as_micros()).unwrap() + 1);
    let mut handshakes = Handshakes::default();
    let mut greeted = tick(&mut handshakes, 0..100);
    assert_eq!(greeted.len(), PER_TICK);
    let mut late = 100..150;
    while handshakes.is_waiting() {
        let in_this_tick = tick(&mut handshakes, late.by_ref().take(10));
        assert!((1..=PER_TICK).contains(&in_this_tick.len()), "{in_this_tick:?}");
        greeted.extend(in_this_tick);
    }
    greeted.extend(tick(&mut handshakes, late));
    assert_eq!(greeted, (0..150).collect::<Vec<u64>>());
}

/// Proves: G-EDGE-4 (in a turn, what is due to those who are logged in is held up by one handshake: the second waits until it has left)
/// Seen to fail when: `Handshakes::offer` says Now while the budget lasts.
#[test]
fn the_second_handshake_of_a_turn_waits_for_what_is_due_to_others() {
    let mut handshakes = Handshakes::default();
    for _ in 0..2 {
        handshakes.begin_tick();
        assert_eq!(handshakes.offer(Conn::from_bits(1), false, b"hello"), Turn::Now);
        handshakes.spend(HANDSHAKE);
        assert_eq!(handshakes.offer(Conn::from_bits(2), false, b"hello"), Turn::Later);
        assert_eq!(handshakes.next(), Some((Conn::from_bits(2), b"hello".to_vec())));
    }
}

/// Proves: G-EDGE-4 (what waits is bounded in connections and bytes; the newest is refused, and who was there keeps its place)
/// Seen to fail when: the length of the queue is not looked at.
#[test]
fn what_waits_is_bounded_and_the_newest_is_refused() {
    let mut handshakes = Handshakes::default();
    handshakes.spend(BUDGET);
    let conn = |number: usize| Conn::from_bits(u64::try_from(number).unwrap());
    for number in 0..WAITING_MAX {
        assert_eq!(handshakes.offer(conn(number), false, b"hello"), Turn::Later);
    }
    assert_eq!(handshakes.offer(conn(WAITING_MAX), false, b"hello"), Turn::Refused);
    assert_eq!(handshakes.offer(conn(0), false, b" again"), Turn::Later);
    assert_eq!(handshakes.offer(conn(1), false, &vec![0; BYTES_MAX]), Turn::Refused);
    handshakes.forget(conn(1));
    handshakes.begin_tick();
    assert_eq!(handshakes.next(), Some((conn(0), b"hello again".to_vec())));
    assert_eq!(handshakes.next(), Some((conn(2), b"hello".to_vec())), "who has left is passed over");
    assert_eq!(handshakes.figures().refused, 2);
}

/// Proves: G-EDGE-4 (whose handshake was begun is heard out while newcomers are refused, up to a bound of its own)
/// Seen to fail when: `Handshakes::offer` has one bound for all.
#[test]
fn who_has_begun_is_not_refused_for_newcomers() {
    let mut handshakes = Handshakes::default();
    handshakes.spend(BUDGET);
    let conn = |number: usize| Conn::from_bits(u64::try_from(number).unwrap());
    for number in 0..WAITING_MAX {
        assert_eq!(handshakes.offer(conn(number), false, b"hello"), Turn::Later);
    }
    for number in WAITING_MAX..WAITING_MAX_BEGUN {
        assert_eq!(handshakes.offer(conn(number), true, b"finished"), Turn::Later);
    }
    for has_begun in [true, false] {
        assert_eq!(handshakes.offer(conn(WAITING_MAX_BEGUN), has_begun, b"hello"), Turn::Refused);
    }
}

/// A storm of ten times what a core can greet: how many have logged in after so many ticks, of how many begun handshakes. Each
/// takes two turns, and who is refused is gone.
fn storm(ticks: u64, mut offer: impl FnMut(&mut Handshakes, Conn, bool) -> Turn) -> (usize, usize) {
    let (mut handshakes, mut begun, mut done) = (Handshakes::default(), HashSet::new(), 0);
    let mut answered = Vec::new();
    for tick in 0..ticks {
        handshakes.begin_tick();
        let newcomers = (0..10 * PER_TICK as u64).map(|number| (Conn::from_bits(tick << 32 | number), false));
        let finishing = std::mem::take(&mut answered).into_iter().map(|conn| (conn, true));
        let mut greet = |handshakes: &mut Handshakes, conn: Conn| {
            handshakes.spend(HANDSHAKE);
            if begun.insert(conn) { answered.push(conn) } else { done += 1 }
        };
        for (conn, has_begun) in newcomers.chain(finishing) {
            if offer(&mut handshakes, conn, has_begun) == Turn::Now {
                greet(&mut handshakes, conn);
            }
        }
        while let Some((conn, _)) = handshakes.next() {
            greet(&mut handshakes, conn);
        }
    }
    (done, begun.len())
}

/// Proves: G-EDGE-4 (in a storm that does not end, what a core spends on handshakes is spent on logins)
/// Seen to fail when: `Handshakes::offer` has one bound for all: then 99 of 100 handshakes are begun in vain.
#[test]
fn a_storm_does_not_turn_away_those_whose_handshake_was_begun() {
    let (done, begun) =
        storm(2_000, |handshakes, conn, has_begun| handshakes.offer(conn, has_begun, b"hello"));
    // Who was begun last has not come to its second turn yet.
    assert!(done + WAITING_MAX_BEGUN >= begun && done > begun / 2, "{done} logins of {begun} begun");
    let (without, begun) = storm(2_000, |handshakes, conn, _| handshakes.offer(conn, false, b"hello"));
    assert!(without < begun / 4, "{without} logins of {begun} begun: the storm proves nothing");
}

/// Seen to fail when: the time is the same for all.
#[test]
fn those_who_are_refused_are_asked_back_one_after_the_other() {
    let mut handshakes = Handshakes::default();
    handshakes.spend(BUDGET);
    let mut asked = Vec::new();
    for number in 0..2 * u64::from(RETRY_MS) {
        assert_eq!(handshakes.offer(Conn::from_bits(number), true, &[0; BYTES_MAX + 1]), Turn::Refused);
        asked.push(handshakes.retry_ms());
    }
    asked.sort_unstable();
    let each_twice = (RETRY_MS..2 * RETRY_MS).flat_map(|at| [at, at]);
    assert!(asked.into_iter().eq(each_twice));
}
