#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks the events that it waits for")]

use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::os::fd::{FromRawFd, OwnedFd};

use io_uring::{opcode, types};

use super::*;
use crate::Wait;
use crate::ring::Limit;
use crate::tag::{Kind, Tag};

fn host() -> (Reactor, std::net::SocketAddr) {
    let settings = Config { descriptors_per_ring: 16, close_linger: Duration::ZERO, ..Config::default() };
    let mut reactor = Reactor::new(&settings).expect("a reactor");
    let socket = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("an address");
    reactor.listen(socket);
    (reactor, address)
}

fn until<T>(reactor: &mut Reactor, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        while let Some(event) = reactor.next() {
            if let Some(found) = wanted(event) {
                return found;
            }
        }
        assert!(Instant::now() < deadline, "it did not happen: {:?}", reactor.counters());
        reactor.turn(Wait::Until(deadline)).expect("a turn");
    }
}

fn pair(reactor: &mut Reactor, address: std::net::SocketAddr) -> (TcpStream, Conn) {
    let stream = TcpStream::connect(address).expect("connected");
    let conn = until(reactor, |event| match event {
        Event::Accepted { conn, .. } => Some(conn),
        _ => None,
    });
    (stream, conn)
}

/// A completion that comes after its slot has a new owner does not reach that owner.
/// Seen to fail when: `Slots::owned` does not compare generations.
#[test]
fn a_late_completion_does_not_reach_the_slots_next_owner() {
    let (mut reactor, address) = host();
    let (stream, gone) = pair(&mut reactor, address);
    drop(stream);
    until(&mut reactor, |event| matches!(event, Event::Closed { .. }).then_some(()));
    let (mut stream, conn) = pair(&mut reactor, address);
    assert_eq!((conn.ring(), conn.index()), (gone.ring(), gone.index()), "the slot is used again");
    for kind in [Kind::Receive, Kind::Poll, Kind::Send, Kind::Close, Kind::Connect, Kind::Move] {
        let tag = Tag::new(kind, gone.index(), gone.generation());
        reactor.rings[0].owe(1);
        reactor.dispatch(0, Completion { tag, result: 0, flags: 0 });
    }
    assert_eq!(reactor.counters().late_completions, 6);
    assert!(reactor.next().is_none(), "nobody is told");
    stream.write_all(b"alive").expect("written");
    let heard = until(&mut reactor, |event| match event {
        Event::Received { bytes, .. } => Some(bytes.to_vec()),
        other => panic!("unexpected {other:?}"),
    });
    assert_eq!(heard, b"alive");
    reactor.send(conn, heard);
    until(&mut reactor, |event| matches!(event, Event::Sent { .. }).then_some(()));
    let mut back = [0; 5];
    stream.read_exact(&mut back).expect("read");
    assert_eq!(&back, b"alive");
}

/// An ordinary descriptor of a socket in the table.
fn installed(reactor: &mut Reactor, conn: Conn) -> OwnedFd {
    let descriptor = reactor.rings[0].slots.peek(conn.index()).descriptor;
    let install = opcode::FixedFdInstall::new(types::Fixed(descriptor), 0).build();
    let ring = &mut reactor.rings[0];
    // SAFETY: the entry points to nothing.
    unsafe { ring.push(install.user_data(Tag::of(Kind::Ignored).bits())) };
    let mut counters = Counters::default();
    let mut taken = Vec::new();
    while taken.is_empty() {
        ring.enter(Limit::Never, &mut counters).expect("entered");
        ring.reap(1, &mut taken);
    }
    assert_eq!(taken[0].tag.kind(), Kind::Ignored);
    assert!(taken[0].result >= 0, "not installed: {}", taken[0].result);
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(taken[0].result) }
}

/// Seen to fail when: `listen` does not set the option on the listening socket.
#[test]
fn an_accepted_connection_sends_without_delay() {
    let (mut reactor, address) = host();
    let (_stream, conn) = pair(&mut reactor, address);
    let socket = socket2::Socket::from(installed(&mut reactor, conn));
    assert!(socket.tcp_nodelay().expect("an answer"), "TCP_NODELAY is inherited from the listener");
}

/// Seen to fail when: `push_connect` leaves the option out.
#[test]
fn a_connection_made_here_sends_without_delay() {
    let (mut reactor, address) = host();
    let conn = reactor.connect(address, None).expect("room");
    let mut events = 0;
    until(&mut reactor, |_| {
        events += 1;
        (events == 2).then_some(())
    });
    let socket = socket2::Socket::from(installed(&mut reactor, conn));
    assert!(socket.tcp_nodelay().expect("an answer"));
}

/// Seen to fail when: `on_send` takes a part for the whole.
#[test]
fn a_send_of_which_the_kernel_took_a_part_is_continued() {
    let (mut reactor, address) = host();
    let (mut stream, conn) = pair(&mut reactor, address);
    let said: Vec<u8> = (0..32u32 << 18).flat_map(u32::to_le_bytes).collect();
    reactor.send(conn, said.clone());
    reactor.turn(Wait::Poll).expect("a turn");
    // The peer does not read, so the send is stuck half-way; told to end, it reports what it has done.
    reactor.rings[0].cancel(Tag::new(Kind::Send, conn.index(), conn.generation()).bits());
    while reactor.counters().short_sends == 0 {
        reactor.turn(Wait::Until(Instant::now() + Duration::from_millis(5))).expect("a turn");
        assert!(reactor.next().is_none());
    }
    let count = said.len();
    let peer = std::thread::spawn(move || {
        let mut heard = vec![0; count];
        stream.read_exact(&mut heard).map(|()| heard)
    });
    let buffer = until(&mut reactor, |event| match event {
        Event::Sent { buffer, .. } => Some(buffer),
        other => panic!("unexpected {other:?}"),
    });
    assert!(buffer == said, "the whole buffer comes back");
    assert!(peer.join().expect("peer").expect("read") == said, "bytes were lost or turned round");
}

/// A host that is out of descriptors or memory refuses each accept at once.
/// Seen to fail when: `on_refusal` does not back off (the accept is armed again at once, and would be refused at once).
#[test]
fn an_accept_that_the_host_refuses_waits_and_goes_on() {
    let (mut reactor, address) = host();
    reactor.turn(Wait::Poll).expect("a turn");
    reactor.cancel_accepts(Listener(0));
    let (mut counters, mut taken) = (Counters::default(), Vec::new());
    while reactor.rings[0].accepts > taken.len().try_into().expect("small") {
        reactor.rings[0].enter(Limit::Never, &mut counters).expect("entered");
        reactor.rings[0].reap(usize::MAX, &mut taken);
    }
    for completion in taken {
        reactor.dispatch(0, Completion { result: -libc::ENFILE, ..completion });
    }
    assert_eq!((reactor.rings[0].accepts, reactor.counters().accept_backoffs), (0, 1));
    let wait = reactor.next_accept().expect("a moment").saturating_duration_since(Instant::now());
    assert!(wait > Duration::from_millis(30) && wait <= Duration::from_millis(50), "{wait:?}");
    let before = reactor.counters().enters;
    let (mut stream, conn) = pair(&mut reactor, address);
    assert!(reactor.counters().enters - before < 10, "it spins");
    reactor.send(conn, b"welcome".to_vec());
    until(&mut reactor, |event| matches!(event, Event::Sent { .. }).then_some(()));
    let mut heard = [0; 7];
    stream.read_exact(&mut heard).expect("read");
}

/// Seen to fail when: `quiesce` does not take completions, or does not cancel.
#[test]
fn a_ring_that_is_dropped_waits_for_what_the_kernel_holds() {
    let (mut reactor, address) = host();
    let (_stream, conn) = pair(&mut reactor, address);
    reactor.send(conn, vec![1; 32 << 20]);
    reactor.turn(Wait::Poll).expect("a turn");
    assert!(reactor.is_sending(conn), "the peer does not read");
    assert_eq!(reactor.rings[0].quiesce(), Ok(()));
}
