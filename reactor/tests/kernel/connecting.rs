//! Connections that the reactor makes, and what is known of those it accepts.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use iris_reactor::{CloseCause, Config, Event, PeerAddresses};

use crate::harness::{Host, config, reset};

/// Seen to fail when: `on_connect` does not settle (nothing is received).
#[test]
fn a_connection_from_a_chosen_address_talks() {
    let mut host = Host::new(&Config { peer_addresses: PeerAddresses::WithAccept, ..config() });
    let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)), 0);
    let dialled = host.reactor.connect(host.address, Some(from)).expect("room");
    let (mut accepted, mut connected) = (None, false);
    host.until(|_, event| {
        match event {
            Event::Accepted { conn, peer, .. } => accepted = Some((conn, peer)),
            Event::Connected { conn, result } => connected = conn == dialled && result.is_ok(),
            other => panic!("unexpected {other:?}"),
        }
        (accepted.is_some() && connected).then_some(())
    });
    let (accepted, peer) = accepted.expect("accepted");
    assert_eq!(peer.map(|peer| peer.ip()), Some(from.ip()));
    host.reactor.send(accepted, b"welcome".to_vec());
    host.until(|_, event| matches!(event, Event::Received { conn, .. } if conn == dialled).then_some(()));
    host.reactor.send(dialled, b"question".to_vec());
    let heard = host.until(|_, event| match event {
        Event::Received { conn, bytes } if conn == accepted => Some(bytes.to_vec()),
        _ => None,
    });
    assert_eq!(heard, b"question");
    host.reactor.send(accepted, heard);
    host.until(|_, event| matches!(event, Event::Received { conn, .. } if conn == dialled).then_some(()));
    host.reactor.close(dialled);
    let mut ends = Vec::new();
    host.until(|_, event| {
        if let Event::Closed { conn, cause } = event {
            ends.push((conn, cause));
        }
        (ends.len() == 2).then_some(())
    });
    assert!(
        ends.contains(&(dialled, CloseCause::Local)) && ends.contains(&(accepted, CloseCause::Peer)),
        "{ends:?}"
    );
}

/// Seen to fail when: `fail_connect` does not begin the close.
#[test]
fn a_refused_connection_says_so_and_is_closed() {
    let mut host = Host::new(&config());
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("an address");
    let conn = host.reactor.connect(nobody, None).expect("room");
    let kind = host.until(|_, event| match event {
        Event::Connected { result, .. } => result.err().map(|error| error.kind()),
        _ => None,
    });
    assert_eq!(kind, ErrorKind::ConnectionRefused);
    assert_eq!(host.closed(conn), CloseCause::Error(libc::ECONNREFUSED));
    assert_eq!(host.reactor.connections(), 0);
}

/// Seen to fail when: `on_prepare` does not note the first error (ECANCELED is told instead).
#[test]
fn a_bind_that_fails_is_the_error_that_is_told() {
    let mut host = Host::new(&config());
    let foreign: SocketAddr = "192.0.2.1:0".parse().expect("an address");
    let conn = host.reactor.connect(host.address, Some(foreign)).expect("room");
    let errno = host.until(|_, event| match event {
        Event::Connected { result, .. } => result.err().and_then(|error| error.raw_os_error()),
        _ => None,
    });
    assert_eq!(errno, libc::EADDRNOTAVAIL);
    assert_eq!(host.closed(conn), CloseCause::Error(libc::EADDRNOTAVAIL));
}

/// Seen to fail when: `abort` does not cancel the connect (it waits for the network's answer, minutes later).
#[test]
fn a_connection_in_the_making_can_be_given_up() {
    let mut host = Host::new(&config());
    // A full backlog does not answer.
    let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    deaf.bind(&any.into()).expect("bound");
    deaf.listen(0).expect("listening");
    let address = deaf.local_addr().expect("an address").as_socket().expect("an address");
    let conns = [(); 4].map(|()| host.reactor.connect(address, None).expect("room"));
    let mut open = Vec::new();
    host.until(|_, event| {
        if let Event::Connected { conn, result: Ok(()) } = event {
            open.push(conn);
        }
        (!open.is_empty()).then_some(())
    });
    for conn in conns {
        host.reactor.close(conn);
    }
    let mut ends = 0;
    host.until(|_, event| {
        ends += usize::from(matches!(event, Event::Closed { cause: CloseCause::Local, .. }));
        (ends == 4).then_some(())
    });
    assert_eq!(host.reactor.connections(), 0);
}

fn names_its_peers(addresses: PeerAddresses, at: &str) {
    let mut host = Host::at(&Config { peer_addresses: addresses, ..config() }, at);
    // More than there are single-shot accepts.
    let streams: Vec<_> = (0..100).map(|_| host.dial()).collect();
    let mut expected: Vec<_> =
        streams.iter().map(|stream| stream.local_addr().expect("an address")).collect();
    let mut named = Vec::new();
    host.until(|_, event| {
        if let Event::Accepted { peer, .. } = event {
            named.push(peer.expect("a name"));
        }
        (named.len() == expected.len()).then_some(())
    });
    named.sort_unstable();
    expected.sort_unstable();
    assert_eq!(named, expected);
    for stream in streams {
        reset(stream);
    }
    host.until_holds(|reactor| reactor.connections() == 0);
}

/// Loopback addresses of this host; not every host has one of version 6.
fn families() -> impl Iterator<Item = &'static str> {
    ["127.0.0.1:0", "[::1]:0"].into_iter().filter(|address| TcpListener::bind(address).is_ok())
}

/// Seen to fail when: an accept's place is not used again.
#[test]
fn single_shot_accepts_name_their_peers() {
    for at in families() {
        names_its_peers(PeerAddresses::WithAccept, at);
    }
}

/// Seen to fail when: `into_question` leaves the command a setsockopt.
#[test]
fn peers_can_be_asked_for_their_names() {
    for at in families() {
        names_its_peers(PeerAddresses::Asked, at);
    }
}

/// Seen to fail when: `on_peer_name` does not settle.
#[test]
fn a_peer_that_was_gone_before_it_was_asked_ends_like_any_other() {
    let mut host = Host::new(&Config { peer_addresses: PeerAddresses::Asked, ..config() });
    for _ in 0..20 {
        reset(host.dial());
    }
    let mut ends = 0;
    host.until(|_, event| {
        ends += usize::from(matches!(event, Event::Closed { .. }));
        (ends == 20).then_some(())
    });
    assert_eq!(host.reactor.connections(), 0);
}
