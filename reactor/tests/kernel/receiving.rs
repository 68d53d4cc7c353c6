//! Echo, pause, silence, shares.

use std::io::Write;
use std::time::{Duration, Instant};

use iris_reactor::{CloseCause, Config, Event, Wait};

use crate::harness::{Host, config, pattern, read_exactly};

/// Seen to fail when: all buffers of a pool are the same memory.
#[test]
fn what_a_peer_says_comes_back_byte_for_byte() {
    let mut host = Host::new(&config());
    let (mut stream, conn) = host.pair();
    for count in [1, 127, 4096, 4097, 1 << 20] {
        let said = pattern(count);
        let peer = std::thread::spawn({
            let (said, mut stream) = (said.clone(), stream.try_clone().expect("a handle"));
            move || {
                stream.write_all(&said).expect("written");
                read_exactly(&mut stream, said.len())
            }
        });
        let heard = host.bytes(conn, count);
        assert_eq!(heard, said, "{count} bytes here");
        host.say(conn, &heard);
        assert_eq!(peer.join().expect("peer"), said, "{count} bytes there");
    }
    drop(stream.flush());
    drop(stream);
    assert_eq!(host.closed(conn), CloseCause::Peer);
    assert_eq!(host.reactor.connections(), 0);
}

/// Seen to fail when: `set_paused` does not settle, or `on_receive` drops the bytes of a paused connection.
#[test]
fn a_paused_connection_loses_nothing_and_reads_nothing_more() {
    let mut host = Host::new(&config());
    let (mut stream, conn) = host.pair();
    let said = pattern(8 << 20);
    let peer = std::thread::spawn({
        let said = said.clone();
        move || {
            stream.write_all(&said).expect("written");
            stream
        }
    });
    let mut heard = Vec::new();
    let mut pauses = 0;
    while heard.len() < said.len() {
        let before = heard.len();
        host.until(|_, event| {
            if let Event::Received { bytes, .. } = event {
                heard.extend_from_slice(&bytes);
            }
            (heard.len() > before).then_some(())
        });
        host.reactor.pause(conn);
        // The end of the receive is a completion like others: after a few turns without bytes it is in.
        let mut quiet = 0;
        while quiet < 3 {
            host.reactor.turn(Wait::Poll).expect("a turn");
            let before = heard.len();
            while let Some(event) = host.reactor.next() {
                if let Event::Received { bytes, .. } = event {
                    heard.extend_from_slice(&bytes);
                }
            }
            quiet = if heard.len() == before { quiet + 1 } else { 0 };
        }
        pauses += 1;
        host.reactor.resume(conn);
    }
    assert!(heard == said, "bytes were lost or turned round");
    assert!(pauses > 2, "it was hardly ever paused");
    drop(peer.join().expect("peer"));
    host.reactor.pause(conn);
    host.reactor.resume(conn);
    assert_eq!(host.closed(conn), CloseCause::Peer);
}

/// Seen to fail when: `settle_receive` ignores `paused`.
#[test]
fn a_paused_connection_makes_its_peer_wait() {
    let mut host = Host::new(&config());
    let (mut stream, conn) = host.pair();
    host.reactor.pause(conn);
    host.reactor.turn(Wait::Poll).expect("a turn");
    host.reactor.turn(Wait::Poll).expect("a turn");
    stream.set_nonblocking(true).expect("an option");
    let chunk = vec![7; 64 << 10];
    let mut written = 0;
    while let Ok(count) = stream.write(&chunk) {
        written += count;
        host.reactor.turn(Wait::Poll).expect("a turn");
        assert!(host.reactor.next().is_none(), "a paused connection reported something");
        assert!(written < 64 << 20, "the peer never had to wait");
    }
    host.reactor.resume(conn);
    assert_eq!(host.bytes(conn, written).len(), written);
}

fn dozing() -> Config {
    Config { idle_after: Some(Duration::from_millis(40)), ..config() }
}

/// Lets as much time pass as makes a connection silent.
fn fall_silent(host: &mut Host) {
    let until = Instant::now() + 2 * dozing().idle_after.unwrap();
    host.until_holds(|_| Instant::now() >= until);
}

/// Seen to fail when: `on_poll` always clears `silent`.
#[test]
fn a_silent_connection_is_polled_and_what_it_says_now_and_then_changes_nothing() {
    let mut host = Host::new(&dozing());
    let (mut stream, conn) = host.pair();
    host.until_holds(|reactor| reactor.counters().idle_falls == 1);
    for _ in 0..5 {
        fall_silent(&mut host);
        host.talks(&mut stream, conn);
    }
    let counters = host.reactor.counters();
    assert_eq!((counters.idle_falls, counters.idle_returns, counters.rearms), (1, 0, 0));
    drop(stream);
    assert_eq!(host.closed(conn), CloseCause::Peer, "a poll notices the peer's end too");
}

/// Seen to fail when: `on_poll` leaves `silent` set (polls for ever), or `turn_wheel` never sets it.
#[test]
fn a_silent_connection_that_goes_on_talking_is_received_from_again() {
    let mut host = Host::new(&dozing());
    let (mut stream, conn) = host.pair();
    for round in 1..=3 {
        host.until_holds(|reactor| reactor.counters().idle_falls == round);
        let mut said = 0;
        while host.reactor.counters().idle_returns < round {
            host.talks(&mut stream, conn);
            said += 1;
            assert!(said < 1000, "{said} exchanges, and it counts as silent");
        }
        assert!(said > 3, "{said} words are not enough");
    }
}

/// More than a buffer holds, from a connection that is polled: all of it comes, in order, and as much again after it.
/// Seen to fail when: `on_receive` arms nothing after a single receive.
#[test]
fn all_that_a_silent_connection_says_at_once_arrives() {
    let mut host = Host::new(&dozing());
    let (mut stream, conn) = host.pair();
    for _ in 0..3 {
        host.until_holds(|reactor| {
            let counters = reactor.counters();
            counters.idle_falls == counters.idle_returns + 1
        });
        let long = pattern(400_000);
        let mut writer = stream.try_clone().expect("a clone");
        let said = long.clone();
        let writing = std::thread::spawn(move || writer.write_all(&said));
        assert!(host.bytes(conn, long.len()) == long, "bytes are missing or in another order");
        writing.join().expect("the writer").expect("written");
        host.talks(&mut stream, conn);
    }
}

/// A silent connection that nobody wants bytes from, when some come: they wait until it is wanted again.
/// Seen to fail when: `settle_receive` receives once from a connection that is paused.
#[test]
fn what_a_silent_connection_says_while_it_is_paused_waits() {
    let mut host = Host::new(&dozing());
    let (mut stream, conn) = host.pair();
    host.until_holds(|reactor| reactor.counters().idle_falls == 1);
    host.reactor.turn(Wait::Poll).expect("a turn");
    host.reactor.pause(conn);
    stream.write_all(b"later").expect("written");
    fall_silent(&mut host);
    assert!(host.reactor.next().is_none(), "a paused connection reported something");
    host.reactor.resume(conn);
    assert_eq!(host.bytes(conn, 5), b"later");
    host.talks(&mut stream, conn);
}

/// Seen to fail when: `deliver` does not note the tick.
#[test]
fn a_busy_connection_does_not_fall_back() {
    let mut host = Host::new(&dozing());
    let (mut stream, conn) = host.pair();
    let until = Instant::now() + Duration::from_millis(200);
    let mut longest = Duration::ZERO;
    while Instant::now() < until {
        let began = Instant::now();
        host.hears(&mut stream, conn, b"still here");
        longest = longest.max(began.elapsed());
    }
    // A host that stalls for longer than the silence makes it a silent connection indeed.
    assert!(host.reactor.counters().idle_falls == 0 || longest > Duration::from_millis(30));
}

fn kernel_counts_receives() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(17))
}

/// Seen to fail when: `deliver` never throttles (the first turn brings more than the share and its last buffers).
#[test]
fn one_connection_takes_its_share_of_a_turn_and_no_more() {
    const SHARE: u32 = 16 << 10;
    let settings = Config { receive_bytes_per_turn: SHARE, receive_buffers: 1024, ..config() };
    let mut host = Host::new(&settings);
    let (mut stream, greedy) = host.pair();
    let said = pattern(1 << 20);
    let peer = std::thread::spawn({
        let said = said.clone();
        move || stream.write_all(&said).map(|()| stream)
    });
    let mut heard = Vec::new();
    let mut largest = 0;
    while heard.len() < said.len() {
        let before = heard.len();
        host.reactor.turn(Wait::Forever).expect("a turn");
        while let Some(event) = host.reactor.next() {
            if let Event::Received { conn, bytes } = event {
                assert_eq!(conn, greedy);
                heard.extend_from_slice(&bytes);
            }
        }
        largest = largest.max(heard.len() - before);
    }
    assert!(heard == said, "bytes were lost or turned round");
    assert!(host.reactor.counters().throttled > 2, "{:?}", host.reactor.counters());
    // A kernel before 6.17 cannot be told the share, and fills buffers until it is told to stop.
    if kernel_counts_receives() {
        assert!(largest <= 2 * SHARE as usize, "{largest} bytes in one turn");
    }
    drop(peer.join().expect("peer"));
}

/// A send that is submitted in the middle of a turn's work reaches its peer before that work ends; what becomes of it is told by the
/// next turn.
/// Seen to fail when: `submit` does nothing.
#[test]
fn what_is_submitted_leaves_before_the_next_turn() {
    let mut host = Host::new(&config());
    let (mut stream, conn) = host.pair();
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    host.reactor.send(conn, b"now".to_vec());
    host.reactor.submit().expect("submitted");
    assert_eq!(read_exactly(&mut stream, 3), b"now");
    assert!(host.reactor.next().is_none(), "nothing was collected");
    host.until(|_, event| matches!(event, Event::Sent { conn: to, .. } if to == conn).then_some(()));
    host.talks(&mut stream, conn);
}
