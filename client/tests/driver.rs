//! Claims about the driver and the raw connection, against a scripted server on real sockets.

#![cfg(test)]

#[path = "support/fake_server.rs"]
mod fake_server;

use bytes::Bytes;
use fake_server::{FakeServer, PATIENCE, Peer, accepted, deliver, rejected, token, welcome};
use iris_client::driver::Notice;
use iris_client::raw::Read;
use iris_client::session::Backoff;
use iris_client::{
    ConnError, Driver, DriverConfig, Endpoint, Event, Flow, RawConn, Stores, Target, TokenSource,
};
use iris_protocol::wire::{client_frame, server_frame};
use iris_protocol::{CloseCode, RejectCode, UserId, wire};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

fn bob() -> Target {
    Target::To(UserId::parse("bob").unwrap())
}

fn config(endpoint: Endpoint) -> DriverConfig {
    let mut config = DriverConfig::new(endpoint, TokenSource::Fixed(token("alice", "phone")));
    config.session.backoff = Backoff {
        base: Duration::from_millis(1),
        cap: Duration::from_millis(10),
        stable_after: Duration::from_secs(10),
    };
    config
}

fn driver(server: &FakeServer) -> Driver {
    Driver::new(config(server.endpoint())).unwrap()
}

/// Runs until an event is the wanted one; everything seen on the way is given back.
fn run_until(driver: &mut Driver, wanted: impl Fn(&Notice) -> bool) -> Vec<Notice> {
    let mut seen = Vec::new();
    let found = driver.run(PATIENCE, |notice| {
        seen.push(notice.clone());
        if wanted(notice) { Flow::Stop } else { Flow::Continue }
    });
    assert!(found.unwrap(), "never came; seen {seen:?}");
    seen
}

fn is_accepted(notice: &Notice) -> bool {
    matches!(notice, Notice::Event(Event::Accepted(_)))
}

/// Waits for the client to leave.
fn read_to_end(peer: &mut Peer) -> Vec<client_frame::Frame> {
    std::iter::from_fn(|| peer.read()).collect()
}

/// Proves: G-TLS-1 (the reference client talks TLS 1.3 to a server that proves itself)
/// Seen to fail when: the roots are left empty, or `tls.write_tls` is not called.
#[test]
fn a_message_is_sent_and_accepted_over_tls() {
    let server = FakeServer::tls("localhost", |_, peer| {
        peer.login(welcome());
        while let Some(send) = peer.read_send() {
            peer.write(accepted(&send, 1));
        }
    });
    let mut driver = driver(&server);
    driver.submit(bob(), Bytes::from(vec![7; 60_000])).unwrap();
    run_until(&mut driver, is_accepted);
    assert_eq!(driver.unanswered_count(), 0);
    driver.close().unwrap();
}

/// Proves: G-TLS-1 (a server that does not prove itself gets no token)
/// Seen to fail when: a verifier that accepts everything is installed.
#[test]
fn a_server_with_a_strange_certificate_never_sees_a_frame() {
    let (report, reports) = mpsc::channel();
    let impostor = FakeServer::tls("localhost", move |_, peer| report.send(peer.read().is_some()).unwrap());
    let real = FakeServer::tls("localhost", |_, _| {});
    let server = format!("localhost:{}", impostor.address.port());
    let endpoint = Endpoint::tls(&server, real.authority().unwrap()).unwrap();
    let mut driver = Driver::new(config(endpoint)).unwrap();
    let seen = run_until(&mut driver, |notice| matches!(notice, Notice::Lost { .. }));
    let Some(Notice::Lost { why }) = seen.last() else {
        panic!("{seen:?}");
    };
    assert!(why.contains("certificate"), "{why}");
    assert!(!reports.recv_timeout(PATIENCE).unwrap());
}

/// Seen to fail when: the name is not given to rustls.
#[test]
fn a_certificate_of_another_name_is_refused() {
    let server = FakeServer::tls("elsewhere.example", |_, peer| assert!(peer.read().is_none()));
    let mut driver = driver(&server);
    let seen = run_until(&mut driver, |notice| matches!(notice, Notice::Lost { .. }));
    assert!(format!("{seen:?}").contains("certificate"), "{seen:?}");
}

/// Seen to fail when: the check of the address in `connect` is left out (192.0.2.1 is a test network, RFC 5737).
#[test]
fn plain_text_goes_no_further_than_this_host() {
    let endpoint = Endpoint::insecure_plaintext("192.0.2.1:7443").unwrap();
    let refused = RawConn::connect(&endpoint, Duration::from_secs(1));
    assert!(matches!(refused, Err(ConnError::NotLoopback { .. })));
}

/// Proves: G-CLIENT-2 (same id, same bytes)
/// Seen to fail when: the driver mints an id at each transmission, or `lost` does not tell the session.
#[test]
fn a_message_without_an_answer_is_sent_again_after_the_connection_broke() {
    let (report, reports) = mpsc::channel();
    let server = FakeServer::plaintext(move |index, peer| {
        peer.login(welcome());
        let send = peer.read_send().unwrap();
        if index == 2 {
            peer.write(accepted(&send, 1));
        }
        report.send((send.message_id, send.payload)).unwrap();
        if index == 2 {
            peer.read();
        }
    });
    let mut driver = driver(&server);
    driver.submit(bob(), Bytes::from_static(b"once")).unwrap();
    let seen = run_until(&mut driver, is_accepted);
    assert_eq!(seen.iter().filter(|notice| matches!(notice, Notice::Sending { .. })).count(), 1);
    let sends: Vec<_> = reports.iter().take(3).collect();
    assert!(sends.windows(2).all(|pair| pair[0] == pair[1]), "{sends:?}");
}

/// Proves: G-CLIENT-2 (over restarts)
/// Seen to fail when: `save` in `work` comes after `drain`.
#[test]
fn a_message_is_in_the_state_file_before_it_is_on_the_wire() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let file = state.clone();
    let (report, reports) = mpsc::channel();
    let server = FakeServer::plaintext(move |index, peer| {
        peer.login(welcome());
        let Some(send) = peer.read_send() else { return };
        let saved = std::fs::read(&file).unwrap();
        let is_saved = saved.windows(16).any(|window| window == &send.message_id[..]);
        report.send((send.message_id.clone(), is_saved)).unwrap();
        if index > 0 {
            peer.write(accepted(&send, 1));
            peer.read();
        }
    });
    let with_state = || DriverConfig { state: Some(state.clone()), ..config(server.endpoint()) };
    let mut first = Driver::new(with_state()).unwrap();
    first.submit(bob(), Bytes::from_static(b"kept")).unwrap();
    run_until(&mut first, |notice| matches!(notice, Notice::Lost { .. }));
    drop(first);
    let mut second = Driver::new(with_state()).unwrap();
    run_until(&mut second, is_accepted);
    let sends: Vec<_> = reports.iter().take(2).collect();
    assert_eq!(sends[0].0, sends[1].0, "another id after the restart");
    assert!(sends.iter().all(|(_, is_saved)| *is_saved), "on the wire before it was saved");
}

/// Seen to fail when: `save` leaves the drafts out.
#[test]
fn what_was_typed_without_a_connection_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let nobody = Endpoint::insecure_plaintext("127.0.0.1:1").unwrap();
    let mut offline = Driver::new(DriverConfig { state: Some(state.clone()), ..config(nobody) }).unwrap();
    offline.submit(bob(), Bytes::from_static(b"later")).unwrap();
    run_until(&mut offline, |notice| matches!(notice, Notice::Lost { .. }));
    offline.turn(None, Duration::ZERO).unwrap();
    drop(offline);
    let server = FakeServer::plaintext(|_, peer| {
        peer.login(welcome());
        let send = peer.read_send().unwrap();
        assert_eq!(&send.payload[..], b"later");
        peer.write(accepted(&send, 1));
        peer.read();
    });
    let online = DriverConfig { state: Some(state), ..config(server.endpoint()) };
    run_until(&mut Driver::new(online).unwrap(), is_accepted);
}

/// Proves: G-CLIENT-1 (acknowledges only from what it has stored)
/// Seen to fail when: `take_notice` stores what it gives out at once.
#[test]
fn a_message_is_acknowledged_after_the_caller_has_handled_it() {
    let handled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&handled);
    let (report, reports) = mpsc::channel();
    let server = FakeServer::plaintext(move |_, peer| {
        peer.login(welcome());
        peer.write(deliver(5, 1, "hello"));
        let Some(client_frame::Frame::Ack(ack)) = peer.read() else { panic!("no Ack") };
        let acked = ack.through_offset;
        report.send((acked, flag.load(Ordering::SeqCst))).unwrap();
        peer.read();
    });
    let mut driver = driver(&server);
    run_until(&mut driver, |notice| matches!(notice, Notice::Event(Event::Message(_))));
    for _ in 0..10 {
        driver.turn(None, Duration::from_millis(1)).unwrap();
    }
    handled.store(true, Ordering::SeqCst);
    driver.close().unwrap();
    assert_eq!(reports.recv_timeout(PATIENCE).unwrap(), (5, true));
}

/// Seen to fail when: `handled` ignores `Stores::ByCaller`.
#[test]
fn a_caller_that_stores_nothing_acknowledges_nothing() {
    let (report, reports) = mpsc::channel();
    let server = FakeServer::plaintext(move |_, peer| {
        peer.login(welcome());
        peer.write(deliver(5, 1, "hello"));
        report.send(read_to_end(peer)).unwrap();
    });
    let mut driver =
        Driver::new(DriverConfig { stores: Stores::ByCaller, ..config(server.endpoint()) }).unwrap();
    run_until(&mut driver, |notice| matches!(notice, Notice::Event(Event::Message(_))));
    driver.close().unwrap();
    assert_eq!(reports.recv_timeout(PATIENCE).unwrap(), []);
}

/// Seen to fail when: bytes that are no frame are passed over.
#[test]
fn garbage_from_a_server_is_a_fault_and_a_new_connection() {
    let server = FakeServer::plaintext(|index, peer| {
        peer.login(welcome());
        match index {
            0 => peer.write_bytes(&[0xff; 64]),
            1 => peer.write_bytes(&[0, 0, 0, 2, 0xff, 0xff]),
            _ => peer.write(deliver(5, 1, "hello")),
        }
        peer.read();
    });
    let mut driver = driver(&server);
    let seen = run_until(&mut driver, |notice| matches!(notice, Notice::Event(Event::Message(_))));
    let faults = seen.iter().filter(|notice| matches!(notice, Notice::Event(Event::ServerFault(_))));
    assert_eq!(faults.count(), 2);
}

/// Seen to fail when: `check_token` does not restart a session that waits for a fresh token.
#[test]
fn a_renewed_token_file_ends_the_wait_for_a_fresh_token() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, token("alice", "old")).unwrap();
    let (report, reports) = mpsc::channel();
    let server = FakeServer::plaintext(move |_, peer| {
        let Some(client_frame::Frame::Hello(hello)) = peer.read() else { panic!("no Hello") };
        report.send(hello.token).unwrap();
        peer.close(CloseCode::AuthFailed);
    });
    let mut config = config(server.endpoint());
    config.token = TokenSource::File(file.clone());
    config.token_check = Duration::from_millis(5);
    let mut driver = Driver::new(config).unwrap();
    run_until(&mut driver, |notice| matches!(notice, Notice::Event(Event::Closed(_))));
    assert_eq!(reports.recv_timeout(PATIENCE).unwrap(), token("alice", "old"));
    std::fs::write(&file, token("alice", "new")).unwrap();
    run_until(&mut driver, |notice| matches!(notice, Notice::Event(Event::Closed(_))));
    assert_eq!(reports.recv_timeout(PATIENCE).unwrap(), token("alice", "new"));
}

/// Seen to fail when: a renewed token is kept for the next login instead of being sent.
#[test]
fn a_token_is_renewed_on_a_running_session() {
    let server = FakeServer::plaintext(|_, peer| {
        peer.login(welcome());
        let Some(client_frame::Frame::Refresh(refresh)) = peer.read() else { panic!("no Refresh") };
        assert_eq!(refresh.token, "e30.new.none");
        let refreshed = wire::Refreshed { request_id: refresh.request_id, expires_at: 9 };
        peer.write(server_frame::Frame::Refreshed(refreshed));
        peer.read();
    });
    let mut driver = driver(&server);
    run_until(&mut driver, |notice| matches!(notice, Notice::Event(Event::Welcome(_))));
    driver.replace_token("e30.new.none");
    run_until(&mut driver, |notice| matches!(notice, Notice::Event(Event::Refreshed { .. })));
}

/// Seen to fail when: `mint_drafts` takes a draft out of the queue while the wire takes none.
#[test]
fn no_more_ids_are_minted_than_the_wire_takes() {
    let server = FakeServer::plaintext(|_, peer| {
        peer.login(wire::Welcome { send_window: 2, ..welcome() });
        let first = peer.read_send().unwrap();
        let second = peer.read_send().unwrap();
        peer.write(rejected(&second, RejectCode::Forbidden));
        let third = peer.read_send().unwrap();
        peer.write(accepted(&first, 1));
        peer.write(accepted(&third, 2));
        peer.read();
    });
    let mut driver = driver(&server);
    for text in ["one", "two", "three"] {
        driver.submit(bob(), Bytes::from(text)).unwrap();
    }
    let seen = run_until(
        &mut driver,
        |notice| matches!(notice, Notice::Event(Event::Accepted(accepted)) if accepted.sequence.0 == 2),
    );
    let position = |wanted: &dyn Fn(&Notice) -> bool| seen.iter().position(wanted).unwrap();
    let refused = position(&|notice| matches!(notice, Notice::Event(Event::Rejected(_))));
    let third =
        position(&|notice| matches!(notice, Notice::Sending { payload, .. } if &payload[..] == b"three"));
    assert!(refused < third, "{seen:?}");
}

/// Seen to fail when: `read_frame` gives up at the first part of a frame.
#[test]
fn a_raw_connection_sends_any_bytes_and_reads_frames() {
    for over_tls in [false, true] {
        let script = |_, peer: &mut Peer| {
            peer.login(welcome());
            let mut bytes = Vec::new();
            iris_protocol::frame::encode_server(deliver(5, 1, "hello"), &mut bytes);
            for part in bytes.chunks(3) {
                peer.write_bytes(part);
            }
            peer.read();
        };
        let server =
            if over_tls { FakeServer::tls("localhost", script) } else { FakeServer::plaintext(script) };
        let mut raw = RawConn::connect(&server.endpoint(), PATIENCE).unwrap();
        let mut hello = Vec::new();
        iris_protocol::frame::encode_client(client_frame::Frame::Hello(wire::Hello::default()), &mut hello);
        let (head, tail) = hello.split_at(2);
        raw.send_bytes(head).unwrap();
        assert_eq!(raw.read_frame(Duration::from_millis(1)).unwrap(), Read::TimedOut);
        raw.send_bytes(tail).unwrap();
        let welcomed = raw.read_frame(PATIENCE).unwrap();
        assert!(
            matches!(
                welcomed,
                Read::Frame(wire::ServerFrame { frame: Some(server_frame::Frame::Welcome(_)) })
            ),
            "{welcomed:?}"
        );
        let delivered = Read::Frame(wire::ServerFrame { frame: Some(deliver(5, 1, "hello")) });
        assert_eq!(raw.read_frame(PATIENCE).unwrap(), delivered);
        raw.send_frame(client_frame::Frame::Ping(wire::Ping { nonce: 1 })).unwrap();
        assert_eq!(raw.read_frame(PATIENCE).unwrap(), Read::Closed);
    }
}

/// Seen to fail when: `reset` closes in order.
#[test]
fn a_raw_connection_can_end_with_a_reset() {
    let (report, reports) = mpsc::channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::insecure_plaintext(&listener.local_addr().unwrap().to_string()).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut byte = [0];
        report.send(std::io::Read::read(&mut stream, &mut byte).map_err(|error| error.kind())).unwrap();
    });
    let raw = RawConn::connect(&endpoint, PATIENCE).unwrap();
    raw.reset().unwrap();
    assert_eq!(reports.recv_timeout(PATIENCE).unwrap(), Err(std::io::ErrorKind::ConnectionReset));
}
