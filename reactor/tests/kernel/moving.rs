//! Connections that move from core to core.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use iris_reactor::{CloseCause, Config, Conn, Event, LABEL_MAX, Peer, Reactor, Wait};

use crate::harness::{Host, PATIENCE, config, pattern, read_exactly, reset, until};

/// A second core on a thread of its own that echoes what arrives there, until it is told to stop.
struct Other {
    peer: Peer,
    stop: Arc<AtomicBool>,
    waker: iris_reactor::Waker,
    thread: std::thread::JoinHandle<Vec<u64>>,
}

impl Other {
    fn start(settings: Config) -> Self {
        let (tell, told) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut reactor = Reactor::new(&settings).expect("a reactor");
            tell.send((reactor.peer(), reactor.waker())).expect("sent");
            let mut labels = Vec::new();
            let mut waiting: HashMap<Conn, Vec<u8>> = HashMap::new();
            while !stopped.load(Ordering::Acquire) {
                reactor.turn(Wait::Until(Instant::now() + PATIENCE)).expect("a turn");
                while let Some(event) = reactor.next() {
                    echo(&mut reactor, event, &mut waiting, &mut labels);
                }
            }
            labels
        });
        let (peer, waker) = told.recv().expect("told");
        Self { peer, stop, waker, thread }
    }

    /// The labels of what arrived.
    fn stop(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        self.thread.join().expect("core")
    }
}

fn echo(reactor: &mut Reactor, event: Event, waiting: &mut HashMap<Conn, Vec<u8>>, labels: &mut Vec<u64>) {
    match event {
        Event::Arrived { conn, label } => {
            labels.push(label);
            reactor.arm(conn);
        }
        Event::Received { conn, bytes } if reactor.is_sending(conn) => {
            waiting.entry(conn).or_default().extend_from_slice(&bytes);
        }
        Event::Received { conn, bytes } => reactor.send(conn, bytes.to_vec()),
        Event::Sent { conn, .. } => {
            if let Some(more) = waiting.remove(&conn) {
                reactor.send(conn, more);
            }
        }
        _ => {}
    }
}

/// Says a lot and listens at the same time; what came back.
fn converse(stream: TcpStream, said: Vec<u8>) -> std::thread::JoinHandle<Vec<u8>> {
    let mut writer = stream.try_clone().expect("a handle");
    let count = said.len();
    let writing = std::thread::spawn(move || {
        for part in said.chunks(777) {
            writer.write_all(part).expect("written");
        }
    });
    let mut reader = stream;
    std::thread::spawn(move || {
        let mut heard = vec![0; count];
        reader.read_exact(&mut heard).expect("read");
        writing.join().expect("writer");
        heard
    })
}

/// A connection moves to another core with bytes in flight both ways: none lost, none turned round.
/// Seen to fail when: `on_move` drains instead of closing (it shuts the socket that the other core has now).
#[test]
fn a_connection_moves_with_bytes_in_flight_both_ways() {
    for round in 0..8u64 {
        let mut host = Host::new(&config());
        let other = Other::start(config());
        let (stream, conn) = host.pair();
        let said = pattern(2 << 20);
        let peer = converse(stream, said.clone());
        // This core echoes a while, then gives it away in the middle of the stream.
        let (mut waiting, mut labels, mut heard) = (HashMap::new(), Vec::new(), 0);
        let give_away = 20_000 * (round + 1);
        let mut detaching = false;
        let mut rest: Vec<u8> = Vec::new();
        host.until(|reactor, event| {
            match event {
                Event::Detached { .. } => return Some(()),
                Event::Received { bytes, .. } if detaching => rest.extend_from_slice(&bytes),
                Event::Received { conn, bytes } => {
                    heard += bytes.len() as u64;
                    echo(reactor, Event::Received { conn, bytes }, &mut waiting, &mut labels);
                }
                event => echo(reactor, event, &mut waiting, &mut labels),
            }
            if !detaching && heard > give_away && waiting.is_empty() {
                reactor.detach(conn);
                detaching = true;
            }
            None
        });
        // What was taken and not answered yet goes out before the move (a gateway sends it along by mail).
        if !rest.is_empty() {
            host.reactor.pause(conn);
            host.reactor.arm(conn);
            host.reactor.send(conn, std::mem::take(&mut rest));
            let mut late = Vec::new();
            host.until(|reactor, event| match event {
                Event::Sent { .. } => {
                    reactor.detach(conn);
                    None
                }
                Event::Received { bytes, .. } => {
                    late.extend_from_slice(&bytes);
                    None
                }
                Event::Detached { .. } => Some(()),
                other => panic!("unexpected {other:?}"),
            });
            assert!(late.is_empty(), "bytes came to a paused connection");
        }
        host.reactor.resume(conn);
        host.reactor.move_to(conn, &other.peer, LABEL_MAX - round);
        host.until(|_, event| matches!(event, Event::Moved { conn: gone } if gone == conn).then_some(()));
        assert_eq!(host.reactor.connections(), 0);
        let heard = peer.join().expect("peer");
        assert!(heard == said, "bytes were lost or turned round in round {round}");
        assert_eq!(other.stop(), [LABEL_MAX - round]);
    }
}

/// Seen to fail when: `on_move` takes a failure for a success.
#[test]
fn a_move_to_a_full_table_fails_and_the_connection_stays_usable() {
    let mut host = Host::new(&config());
    let mut other = Host::new(&Config { descriptors_per_ring: 1, ..config() });
    let (_occupant, _) = other.pair();
    let (mut stream, conn) = host.pair();
    let peer = other.reactor.peer();
    for _ in 0..3 {
        host.reactor.detach(conn);
        host.until(|_, event| matches!(event, Event::Detached { .. }).then_some(()));
        host.reactor.move_to(conn, &peer, 1);
        // Both are on this thread: the other must run for the answer to come.
        let deadline = Instant::now() + PATIENCE;
        loop {
            host.reactor.turn(Wait::Poll).expect("a turn");
            other.reactor.turn(Wait::Poll).expect("a turn");
            match host.reactor.next() {
                Some(Event::MoveFailed { conn: stays }) => break assert_eq!(stays, conn),
                Some(other) => panic!("unexpected {other:?}"),
                None => assert!(Instant::now() < deadline),
            }
        }
        host.reactor.arm(conn);
        host.talks(&mut stream, conn);
    }
    assert_eq!(host.reactor.counters().move_failures, 3);
}

/// A reset while moving shows at the other core.
/// Seen to fail when: `arrive` arms nothing later.
#[test]
fn a_reset_while_moving_closes_at_the_other_core() {
    let mut host = Host::new(&config());
    let mut other = Reactor::new(&config()).expect("a reactor");
    let (stream, conn) = host.pair();
    host.reactor.detach(conn);
    host.until(|_, event| matches!(event, Event::Detached { .. }).then_some(()));
    host.reactor.move_to(conn, &other.peer(), 5);
    reset(stream);
    host.until(|_, event| matches!(event, Event::Moved { .. }).then_some(()));
    let arrived = until(&mut other, |_, event| match event {
        Event::Arrived { conn, label: 5 } => Some(conn),
        _ => None,
    });
    other.arm(arrived);
    let cause = until(&mut other, |_, event| match event {
        Event::Closed { cause, .. } => Some(cause),
        _ => None,
    });
    assert_eq!(cause, CloseCause::Reset);
    assert_eq!((host.reactor.connections(), other.connections()), (0, 0));
}

/// Seen to fail when: the other core's fallen `Peer` blocks or panics instead of failing the move.
#[test]
fn a_move_to_a_core_that_is_gone_fails() {
    let mut host = Host::new(&config());
    let peer =
        std::thread::spawn(|| Reactor::new(&config()).expect("a reactor").peer()).join().expect("core");
    let (mut stream, conn) = host.pair();
    host.reactor.detach(conn);
    host.until(|_, event| matches!(event, Event::Detached { .. }).then_some(()));
    host.reactor.move_to(conn, &peer, 0);
    host.until(|_, event| matches!(event, Event::MoveFailed { .. }).then_some(()));
    host.reactor.arm(conn);
    host.talks(&mut stream, conn);
    host.reactor.wake(&peer);
    host.reactor.turn(Wait::Poll).expect("a turn");
}

/// Seen to fail when: a connection that arrived receives before it is armed.
#[test]
fn bytes_wait_in_the_kernel_until_the_connection_is_armed() {
    let mut host = Host::new(&config());
    let mut other = Host::new(&config());
    let (mut stream, conn) = host.pair();
    host.reactor.detach(conn);
    host.until(|_, event| matches!(event, Event::Detached { .. }).then_some(()));
    stream.write_all(b"early").expect("written");
    host.reactor.move_to(conn, &other.reactor.peer(), 9);
    host.until(|_, event| matches!(event, Event::Moved { .. }).then_some(()));
    let arrived = other.until(|_, event| match event {
        Event::Arrived { conn, .. } => Some(conn),
        other => panic!("unexpected {other:?}"),
    });
    other.reactor.turn(Wait::Until(Instant::now() + Duration::from_millis(20))).expect("a turn");
    assert!(other.reactor.next().is_none());
    other.reactor.arm(arrived);
    assert_eq!(other.bytes(arrived, 5), b"early");
    other.say(arrived, b"late");
    assert_eq!(read_exactly(&mut stream, 4), b"late");
}

/// Seen to fail when: `find_landing` is not called (the first ring's table is full, and moves fail).
#[test]
fn arrivals_open_another_ring_before_the_first_is_full() {
    const COUNT: u32 = 300;
    let mut host = Host::new(&Config { descriptors_per_ring: 64, ..config() });
    let settings = Config { rings: 4, descriptors_per_ring: 128, ..config() };
    let mut other = Reactor::new(&settings).expect("a reactor");
    let peer = other.peer();
    let mut arrived = Vec::new();
    let mut streams = Vec::new();
    for label in 0..COUNT {
        let (stream, conn) = host.pair();
        host.reactor.detach(conn);
        host.until(|_, event| matches!(event, Event::Detached { .. }).then_some(()));
        host.reactor.move_to(conn, &peer, label.into());
        host.reactor.turn(Wait::Poll).expect("a turn");
        let conn = until(&mut other, |_, event| match event {
            Event::Arrived { conn, label: told } if told == u64::from(label) => Some(conn),
            _ => None,
        });
        host.until(|_, event| matches!(event, Event::Moved { .. }).then_some(()));
        other.arm(conn);
        arrived.push(conn);
        streams.push(stream);
    }
    assert_eq!((host.reactor.connections(), other.connections()), (0, COUNT as usize));
    // Every ring hears, and one wait is for all of them.
    for (stream, conn) in streams.iter_mut().zip(arrived) {
        stream.write_all(b"hello").expect("written");
        let from = until(&mut other, |_, event| match event {
            Event::Received { conn, .. } => Some(conn),
            _ => None,
        });
        assert_eq!(from, conn);
    }
}

/// Seen to fail when: `settle_detach` waits for the send only, or `deliver` drops bytes while detaching.
#[test]
fn bytes_that_were_taken_are_reported_before_the_detach() {
    // One completion a turn: the others lie in the queue when the connection is detached.
    let mut host = Host::new(&Config { reap_max: 1, ..config() });
    let (mut stream, conn) = host.pair();
    let said = pattern(3 * 4096);
    stream.write_all(&said).expect("written");
    let mut heard = host.until(|_, event| match event {
        Event::Received { bytes, .. } => Some(bytes.to_vec()),
        other => panic!("unexpected {other:?}"),
    });
    assert!(heard.len() < said.len(), "it came in one piece");
    host.reactor.detach(conn);
    host.until(|_, event| match event {
        Event::Received { bytes, .. } => {
            heard.extend_from_slice(&bytes);
            None
        }
        Event::Detached { .. } => Some(()),
        other => panic!("unexpected {other:?}"),
    });
    assert!(heard == said, "{} of {} bytes came before the detach", heard.len(), said.len());
}
