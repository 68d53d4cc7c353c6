//! Queues, buffers and tables that are full.

use std::io::Write;
use std::time::{Duration, Instant};

use iris_reactor::{Config, Event, Full, Lease, PeerAddresses, Wait};

use crate::harness::{Host, config, pattern, read_exactly, read_to_end};

/// Seen to fail when: the completion queue may not overflow (`cq_overflows` stays 0 with a queue of 4,096).
#[test]
fn an_overflown_completion_queue_loses_nothing() {
    let settings = Config { submissions: 8, completions: 8, receive_buffers: 512, ..config() };
    let mut host = Host::new(&settings);
    let mut streams: Vec<_> = (0..100).map(|_| host.dial()).collect();
    let mut accepted = 0;
    host.until(|_, event| {
        accepted += usize::from(matches!(event, Event::Accepted { .. }));
        (accepted == 100).then_some(())
    });
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&[u8::try_from(number).expect("small"); 3]).expect("written");
    }
    let mut sent = 0;
    host.until(|reactor, event| {
        match event {
            Event::Received { conn, bytes } => reactor.send(conn, bytes.to_vec()),
            Event::Sent { .. } => sent += 1,
            other => panic!("unexpected {other:?}"),
        }
        (sent == 100).then_some(())
    });
    for (number, stream) in streams.iter_mut().enumerate() {
        assert_eq!(read_exactly(stream, 3), [u8::try_from(number).expect("small"); 3]);
    }
    drop(streams);
    host.until_holds(|reactor| reactor.connections() == 0);
    assert!(host.reactor.counters().cq_overflows > 0, "{:?}", host.reactor.counters());
}

/// Seen to fail when: `starve` does not queue the connection (it never receives again).
#[test]
fn a_connection_without_a_buffer_goes_on_when_leases_come_back() {
    let mut host = Host::new(&Config { receive_buffers: 4, ..config() });
    let (mut stream, conn) = host.pair();
    let (mut neighbour, other) = host.pair();
    let said = pattern(10 * 4096);
    stream.write_all(&said).expect("written");
    let mut held: Vec<Lease> = Vec::new();
    host.until(|_, event| {
        if let Event::Received { bytes, .. } = event {
            held.push(bytes);
        }
        (held.len() == 4).then_some(())
    });
    neighbour.write_all(b"me too").expect("written");
    host.until_holds(|reactor| reactor.counters().buffer_exhausted >= 1);
    let turns = host.reactor.counters();
    for _ in 0..10 {
        host.reactor.turn(Wait::Until(Instant::now() + Duration::from_millis(2))).expect("a turn");
        assert!(host.reactor.next().is_none(), "there is no buffer to receive into");
    }
    let later = host.reactor.counters();
    assert!(later.buffer_exhausted - turns.buffer_exhausted <= 2, "it does not try again and again");
    let mut heard: Vec<u8> = held.drain(..).flat_map(|lease| lease.to_vec()).collect();
    let mut neighbours = Vec::new();
    host.until(|_, event| {
        if let Event::Received { conn: from, bytes } = event {
            if from == conn { &mut heard } else { &mut neighbours }.extend_from_slice(&bytes);
            assert!(from == conn || from == other);
        }
        (heard.len() + neighbours.len() == said.len() + 6).then_some(())
    });
    assert!(heard == said, "bytes were lost or turned round");
    assert_eq!(neighbours, b"me too");
}

fn full_table(addresses: PeerAddresses) -> u64 {
    const ROOM: u32 = 8;
    let mut host = Host::new(&Config { descriptors_per_ring: ROOM, peer_addresses: addresses, ..config() });
    let mut streams: Vec<_> = (0..ROOM + 4).map(|_| host.dial()).collect();
    let mut accepted = Vec::new();
    host.until(|_, event| {
        if let Event::Accepted { conn, .. } = event {
            accepted.push(conn);
        }
        (accepted.len() == ROOM as usize).then_some(())
    });
    assert!(matches!(host.reactor.connect(host.address, None), Err(Full { open: 8, capacity: 8 })));
    let before = host.reactor.counters();
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        host.reactor.turn(Wait::Until(until)).expect("a turn");
        assert!(host.reactor.next().is_none(), "there is no room");
    }
    let after = host.reactor.counters();
    assert!(after.enters - before.enters < 20, "it spins: {} enters in 300 ms", after.enters - before.enters);
    assert!(after.accept_backoffs >= 1);
    // One ends, and one that waited takes its place at once.
    let began = Instant::now();
    host.reactor.close(accepted[3]);
    let conn = host.until(|_, event| match event {
        Event::Accepted { conn, .. } => Some(conn),
        _ => None,
    });
    assert!(began.elapsed() < Duration::from_secs(1));
    host.say(conn, b"welcome");
    let welcomed = streams.iter_mut().filter_map(|stream| {
        stream.set_nonblocking(true).expect("an option");
        (read_to_end(stream).0 == b"welcome").then_some(())
    });
    assert_eq!(welcomed.count(), 1);
    after.accept_backoffs
}

/// A full descriptor table: accept pauses, does not spin, and goes on.
/// Seen to fail when: `end_backoffs` does not run.
#[test]
fn a_full_table_makes_the_multishot_accept_wait_and_not_spin() {
    full_table(PeerAddresses::Off);
}

/// The same with single-shot accepts.
/// Seen to fail when: `push_places` ignores the room (as many accepts as places are refused at once).
#[test]
fn a_full_table_makes_single_shot_accepts_wait_and_not_spin() {
    full_table(PeerAddresses::WithAccept);
}
