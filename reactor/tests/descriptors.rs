//! More connections than RLIMIT_NOFILE allows descriptors. In a program of its own, because it lowers the limit.
#![cfg(test)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks the events that it waits for")]

use std::collections::HashMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use iris_reactor::{Config, Conn, Event, Reactor, Wait};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const LIMIT: u32 = 100;
const PAIRS: usize = 300;

/// Echoes at whatever was accepted, and counts what comes back to what was dialled.
fn run(reactor: &mut Reactor, dialled: &[Conn]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut heard: HashMap<Conn, Vec<u8>> = HashMap::new();
    while heard.len() < PAIRS {
        assert!(Instant::now() < deadline, "{} of {PAIRS}: {:?}", heard.len(), reactor.counters());
        reactor.turn(Wait::Until(deadline)).expect("a turn");
        while let Some(event) = reactor.next() {
            match event {
                Event::Connected { conn, result } => {
                    result.expect("connected");
                    reactor.send(conn, conn.to_bits().to_le_bytes().to_vec());
                }
                Event::Received { conn, bytes } if dialled.contains(&conn) => {
                    heard.entry(conn).or_default().extend_from_slice(&bytes);
                }
                Event::Received { conn, bytes } => reactor.send(conn, bytes.to_vec()),
                Event::Closed { conn, cause } => panic!("{conn:?} closed: {cause:?}"),
                _ => {}
            }
        }
    }
    for conn in dialled {
        assert_eq!(heard[conn], conn.to_bits().to_le_bytes());
    }
}

/// A foreign thread's waker reaches a reactor that waits for several rings.
fn wakes(reactor: &mut Reactor) {
    while reactor.next().is_some() {}
    let waker = reactor.waker();
    let thread = std::thread::spawn(move || waker.wake());
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut woken = false;
    while !woken {
        assert!(Instant::now() < deadline, "nobody woke it");
        reactor.turn(Wait::Until(deadline)).expect("a turn");
        woken = std::iter::from_fn(|| reactor.next()).any(|event| matches!(event, Event::Woken));
    }
    thread.join().expect("thread");
}

/// Where RLIMIT_NOFILE cannot be raised, more rings hold more connections.
/// Seen to fail when: only the first ring's accept is armed, or a ring's eventfd is not registered (it hangs).
#[test]
fn more_rings_hold_more_connections_than_the_process_may_have_descriptors() {
    let old = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT.into()), maximum: old.maximum })
        .expect("a lower limit");
    let settings = Config {
        rings: 10,
        descriptors_per_ring: 1 << 16,
        receive_buffers: 64,
        idle_after: Some(Duration::from_millis(50)),
        close_linger: Duration::ZERO,
        ..Config::default()
    };
    let mut reactor = Reactor::new(&settings).expect("a reactor");
    assert_eq!(reactor.capacity(), LIMIT as usize, "a table is no larger than the limit");
    let socket = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("an address");
    reactor.listen(socket);
    let dialled: Vec<Conn> = (0..PAIRS).map(|_| reactor.connect(address, None).expect("room")).collect();
    run(&mut reactor, &dialled);
    assert_eq!(reactor.connections(), 2 * PAIRS);
    assert!(reactor.connections() > LIMIT as usize);
    // Waits for all rings at once, and hears each of them.
    let before = reactor.counters();
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        reactor.turn(Wait::Until(until)).expect("a turn");
    }
    let after = reactor.counters();
    assert!(after.idle_falls >= 2 * PAIRS as u64, "the silent ones are polled: {after:?}");
    assert!(after.turns - before.turns < 500, "it spins: {} turns in 300 ms", after.turns - before.turns);
    wakes(&mut reactor);
    for conn in &dialled {
        reactor.close(*conn);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while reactor.connections() > 0 {
        assert!(Instant::now() < deadline, "{} are left: {:?}", reactor.connections(), reactor.counters());
        reactor.turn(Wait::Until(deadline)).expect("a turn");
        while reactor.next().is_some() {}
    }
}
