//! How connections end, in every state.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use iris_reactor::{CloseCause, Config, Event, Wait};

use crate::harness::{Host, config, pattern, read_exactly, read_to_end, reset};

/// Seen to fail when: `settle_close` does not wait for the send.
#[test]
fn a_close_waits_for_the_send_in_flight() {
    let mut host = Host::new(&config());
    let (mut stream, conn) = host.pair();
    let said = pattern(8 << 20);
    host.reactor.send(conn, said.clone());
    host.reactor.close(conn);
    let peer = std::thread::spawn(move || read_to_end(&mut stream));
    let mut sent = false;
    let cause = host.until(|_, event| match event {
        Event::Sent { buffer, .. } => {
            sent = buffer.len() == said.len();
            None
        }
        Event::Closed { cause, .. } => Some(cause),
        _ => None,
    });
    assert_eq!((sent, cause), (true, CloseCause::Local));
    let (heard, end) = peer.join().expect("peer");
    assert!(heard == said && end.is_none(), "{} of {} bytes, then {end:?}", heard.len(), said.len());
}

/// Seen to fail when: `close` goes to `begin_close` at once (the unread bytes make the kernel send a reset).
#[test]
fn the_last_frame_is_not_overtaken_by_a_reset_when_the_peer_was_still_talking() {
    let mut host = Host::new(&Config { close_linger: Duration::from_secs(20), ..config() });
    let (mut stream, conn) = host.pair();
    host.reactor.pause(conn);
    for _ in 0..5 {
        host.reactor.turn(Wait::Poll).expect("a turn");
    }
    stream.write_all(&pattern(100_000)).expect("written");
    host.reactor.send(conn, b"goodbye".to_vec());
    host.reactor.close(conn);
    host.until(|_, event| matches!(event, Event::Sent { .. }).then_some(()));
    for _ in 0..5 {
        host.reactor.turn(Wait::Poll).expect("a turn");
    }
    assert_eq!(read_exactly(&mut stream, 7), b"goodbye");
    stream.write_all(&pattern(100_000)).expect("still written: nobody resets");
    host.reactor.turn(Wait::Poll).expect("a turn");
    drop(stream);
    let cause = host.until(|_, event| match event {
        Event::Closed { cause, .. } => Some(cause),
        Event::Received { .. } => panic!("bytes of a closed connection were reported"),
        _ => None,
    });
    assert_eq!(cause, CloseCause::Local);
    assert_eq!(host.reactor.connections(), 0);
}

/// Seen to fail when: `end_lingering` is not called.
#[test]
fn a_peer_that_never_hangs_up_is_closed_when_the_time_is_up() {
    let mut host = Host::new(&Config { close_linger: Duration::from_millis(50), ..config() });
    let (mut stream, conn) = host.pair();
    host.reactor.close(conn);
    assert_eq!(host.closed(conn), CloseCause::Local);
    assert_eq!(read_to_end(&mut stream), (Vec::new(), None));
}

/// Seen to fail when: `abort` does not set the option (the peer sees an orderly end).
#[test]
fn an_abort_resets_the_peer_and_gives_up_the_send() {
    let mut host = Host::new(&config());
    let (mut stream, conn) = host.pair();
    host.reactor.send(conn, pattern(32 << 20));
    host.reactor.turn(Wait::Poll).expect("a turn");
    assert!(host.reactor.is_sending(conn), "the peer does not read, so it cannot be out");
    host.reactor.abort(conn);
    assert_eq!(host.closed(conn), CloseCause::Local);
    assert_eq!(read_to_end(&mut stream).1, Some(ErrorKind::ConnectionReset));
    assert_eq!(host.reactor.connections(), 0);
}

/// A reset before the accept leaves nothing behind.
/// Seen to fail when: `on_end` ignores ECONNRESET.
#[test]
fn f_47_a_reset_before_the_accept_leaves_nothing_behind() {
    let mut host = Host::new(&config());
    for _ in 0..20 {
        reset(host.dial());
    }
    let mut ends = 0;
    host.until(|_, event| {
        match event {
            Event::Accepted { .. } => {}
            Event::Closed { cause, .. } => {
                assert!(matches!(cause, CloseCause::Reset | CloseCause::Peer), "{cause:?}");
                ends += 1;
            }
            other => panic!("unexpected {other:?}"),
        }
        (ends == 20).then_some(())
    });
    assert_eq!(host.reactor.connections(), 0);
}

/// A reset while receiving.
/// Seen to fail when: `on_end` ignores ECONNRESET.
#[test]
fn f_47_a_reset_while_receiving_closes() {
    let mut host = Host::new(&config());
    let (mut stream, conn) = host.pair();
    host.talks(&mut stream, conn);
    reset(stream);
    assert_eq!(host.closed(conn), CloseCause::Reset);
    assert_eq!(host.reactor.connections(), 0);
}

/// A reset while a silent connection is polled.
/// Seen to fail when: `on_poll` arms nothing.
#[test]
fn a_reset_while_silent_closes() {
    let mut host = Host::new(&Config { idle_after: Some(Duration::from_millis(20)), ..config() });
    let (stream, conn) = host.pair();
    host.until_holds(|reactor| reactor.counters().idle_falls == 1);
    host.reactor.turn(Wait::Poll).expect("a turn");
    reset(stream);
    assert_eq!(host.closed(conn), CloseCause::Reset);
    assert_eq!(host.reactor.connections(), 0);
}

/// A reset while sending.
/// Seen to fail when: a failed send does not begin the close.
#[test]
fn f_47_a_reset_while_sending_closes() {
    let mut host = Host::new(&config());
    let (stream, conn) = host.pair();
    host.reactor.send(conn, pattern(32 << 20));
    host.reactor.turn(Wait::Poll).expect("a turn");
    assert!(host.reactor.is_sending(conn));
    reset(stream);
    assert_eq!(host.closed(conn), CloseCause::Reset);
    assert_eq!(host.reactor.connections(), 0);
}

/// A reset while paused is noticed at the latest when it reads again.
/// Seen to fail when: `set_paused` settles a pause only.
#[test]
fn a_reset_while_paused_closes_when_it_reads_again() {
    let mut host = Host::new(&config());
    let (stream, conn) = host.pair();
    host.reactor.pause(conn);
    host.reactor.turn(Wait::Poll).expect("a turn");
    host.reactor.turn(Wait::Poll).expect("a turn");
    reset(stream);
    host.reactor.turn(Wait::Poll).expect("a turn");
    host.reactor.resume(conn);
    assert_eq!(host.closed(conn), CloseCause::Reset);
}

/// A reset of a detached connection shows when it is armed.
/// Seen to fail when: `arm` does not settle.
#[test]
fn a_reset_while_detached_closes_when_it_is_armed() {
    let mut host = Host::new(&config());
    let (stream, conn) = host.pair();
    host.reactor.detach(conn);
    host.until(|_, event| matches!(event, Event::Detached { .. }).then_some(()));
    reset(stream);
    host.reactor.arm(conn);
    assert_eq!(host.closed(conn), CloseCause::Reset);
}

/// A reset that meets a detach ends in exactly one of Detached and Closed, then in Closed.
/// Seen to fail when: `on_end` ignores the phase Detaching.
#[test]
fn f_47_a_reset_that_meets_a_detach_loses_nothing() {
    let mut host = Host::new(&config());
    for _ in 0..50 {
        let (stream, conn) = host.pair();
        reset(stream);
        host.reactor.detach(conn);
        host.until(|reactor, event| match event {
            Event::Detached { .. } => {
                reactor.arm(conn);
                None
            }
            Event::Closed { .. } => Some(()),
            other => panic!("unexpected {other:?}"),
        });
    }
    assert_eq!(host.reactor.connections(), 0);
}

/// A flood of connections that are reset leaves no slot, no descriptor and no buffer behind.
/// Seen to fail when: `on_close` frees nothing of a connection that was reset.
#[test]
fn f_47_a_flood_of_resets_leaves_nothing_behind() {
    let settings =
        Config { descriptors_per_ring: 32, idle_after: Some(Duration::from_millis(10)), ..config() };
    let mut host = Host::new(&settings);
    for round in 1..=100 {
        for number in 0..10 {
            let mut stream = host.dial();
            if number % 2 == 0 {
                stream.write_all(b"and gone").expect("written");
            }
            reset(stream);
        }
        host.reactor.turn(Wait::Poll).expect("a turn");
        if round % 10 == 0 {
            host.until_holds(|reactor| {
                reactor.counters().accepts == round * 10 && reactor.connections() == 0
            });
        }
        while host.reactor.next().is_some() {}
    }
    let pairs: Vec<_> = (0..16).map(|_| host.pair()).collect();
    for (mut stream, conn) in pairs {
        host.talks(&mut stream, conn);
    }
}

/// Seen to fail when: `find` does not compare generations.
#[test]
fn a_name_of_a_connection_that_is_gone_does_nothing() {
    let mut host = Host::new(&config());
    let (stream, gone) = host.pair();
    drop(stream);
    host.closed(gone);
    let (mut stream, conn) = host.pair();
    assert_eq!(conn.to_bits() >> 32, gone.to_bits() >> 32, "the slot is used again");
    assert_ne!(conn, gone);
    host.reactor.send(gone, b"for somebody else".to_vec());
    host.reactor.abort(gone);
    assert!(!host.reactor.is_sending(gone));
    host.talks(&mut stream, conn);
    assert_eq!(host.reactor.counters().stale_calls, 2);
}

/// Seen to fail when: `stop_accept` does not cancel.
#[test]
fn a_listener_that_was_stopped_refuses_and_its_connections_go_on() {
    let mut host = Host::new(&config());
    let (mut stream, conn) = host.pair();
    host.reactor.stop_listening(host.listener);
    let address = host.address;
    for _ in 0..5 {
        host.reactor.turn(Wait::Poll).expect("a turn");
    }
    assert!(std::net::TcpStream::connect(address).is_err(), "the very next one is refused");
    while host.reactor.next().is_some() {}
    host.talks(&mut stream, conn);
}

/// Seen to fail when: `drop` leaks the rings (the peers never see an end).
#[test]
fn a_reactor_can_be_dropped_in_the_middle_of_everything() {
    let mut host = Host::new(&config());
    let (mut stream, conn) = host.pair();
    let (mut other, _receiving) = host.pair();
    host.reactor.send(conn, pattern(16 << 20));
    host.reactor.turn(Wait::Poll).expect("a turn");
    drop(host);
    let (heard, end) = read_to_end(&mut stream);
    assert!(heard.len() < 16 << 20 && matches!(end, None | Some(ErrorKind::ConnectionReset)), "{end:?}");
    assert_eq!(read_to_end(&mut other), (Vec::new(), None));
}
