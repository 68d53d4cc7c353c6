//! The order in which a herd and those who are logged in are served.

use super::{BUDGET, BYTES_MAX, Handshakes, Turn, WAITING_MAX};
use iris_reactor::Conn;
use std::time::Duration;

const HANDSHAKE: Duration = Duration::from_micros(110);
/// As many as fit into a budget, and the one that goes over it.
const PER_TICK: usize = 19;

/// One tick of a loop: what came in this order, then those who wait. Gives who was greeted.
fn tick(handshakes: &mut Handshakes, came: impl IntoIterator<Item = u64>) -> Vec<u64> {
    handshakes.begin_tick();
    let mut greeted = Vec::new();
    for conn in came {
        if handshakes.offer(Conn::from_bits(conn), b"hello") == Turn::Now {
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

/// Proves: G-EDGE-4 (what waits is bounded in connections and bytes; the newest is refused, and who was there keeps its place)
/// Seen to fail when: the length of the queue is not looked at.
#[test]
fn what_waits_is_bounded_and_the_newest_is_refused() {
    let mut handshakes = Handshakes::default();
    handshakes.spend(BUDGET);
    let conn = |number: usize| Conn::from_bits(u64::try_from(number).unwrap());
    for number in 0..WAITING_MAX {
        assert_eq!(handshakes.offer(conn(number), b"hello"), Turn::Later);
    }
    assert_eq!(handshakes.offer(conn(WAITING_MAX), b"hello"), Turn::Refused);
    assert_eq!(handshakes.offer(conn(0), b" again"), Turn::Later);
    assert_eq!(handshakes.offer(conn(1), &vec![0; BYTES_MAX]), Turn::Refused);
    handshakes.forget(conn(1));
    handshakes.begin_tick();
    assert_eq!(handshakes.next(), Some((conn(0), b"hello again".to_vec())));
    assert_eq!(handshakes.next(), Some((conn(2), b"hello".to_vec())), "who has left is passed over");
    assert_eq!(handshakes.figures().refused, 2);
}
