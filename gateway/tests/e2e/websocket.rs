//! WebSocket against the real process: upgrades, what is refused, and the same sessions as everywhere else.

mod by_hand;
mod conformance;

use crate::harness::*;
use crate::raw::{fresh_id, hello, send};
use crate::traffic::{Crowd, UNHURRIED};
use by_hand::*;
use bytes::Bytes;
use iris_client::Endpoint;
use iris_client::driver::Notice;
use iris_protocol::CloseCode;
use iris_protocol::websocket::upgrade::request;
use iris_protocol::websocket::{CloseStatus, Event, Opcode};
use iris_protocol::wire::{self, client_frame::Frame as ClientFrame, send::Target, server_frame::Frame};
use std::io::{Read as _, Write as _};

const ORIGIN: &str = "https://chat.example.org";
const ORIGINS: &str = "[websocket]\norigins = [\"https://chat.example.org\"]\n";

fn serving(extra: &str) -> Gateway {
    Gateway::start(Setup { websocket: true, extra: extra.to_owned(), ..Setup::default() })
}

fn upgraded(gateway: &Gateway) -> WebSocket {
    WebSocket::open(Socket::plain(gateway.websocket_plaintext_address()))
}

fn logged_in(gateway: &Gateway, user: &str) -> WebSocket {
    let mut conn = upgraded(gateway);
    conn.send_frame(hello(&gateway.token(user, "browser")));
    assert!(matches!(conn.next_frame(), Some(Frame::Welcome(_))));
    conn
}

/// Proves: G-WS-3 (users of every core log in, also with a Hello right behind the request, cut anywhere)
#[test]
fn users_of_every_core_log_in_without_waiting_for_the_upgrade() {
    let gateway = serving("");
    for number in 0..16 {
        let token = gateway.token(&format!("user{number}"), "browser");
        let hello = masked(Opcode::Binary, &body(hello(&token)));
        let frame = ClientFrame::Ping(wire::Ping { nonce: number });
        let stream =
            [request("localhost", [9; 16], None), hello, masked(Opcode::Binary, &body(frame))].concat();
        let mut socket = Socket::plain(gateway.websocket_plaintext_address());
        let cut = stream.len() * usize::try_from(number).unwrap() / 16;
        socket.write_all(&stream[..cut]).unwrap();
        socket.write_all(&stream[cut..]).unwrap();
        let mut conn = WebSocket::answered(socket, [9; 16]);
        assert!(matches!(conn.next_frame(), Some(Frame::Welcome(_))), "user{number}");
        assert!(matches!(conn.next_frame(), Some(Frame::Pong(pong)) if pong.nonce == number), "user{number}");
    }
}

/// Proves: G-WS-3 (a WebSocket over TLS and a device of the TLS port talk; payloads of every length of head arrive unaltered)
#[test]
fn a_websocket_and_a_tls_device_talk() {
    let gateway = serving("");
    let authority = gateway.dir.path().join("ca.pem");
    let mut alice = WebSocket::open(Socket::tls(gateway.websocket_address(), &authority));
    alice.send_frame(hello(&gateway.token("alice", "browser")));
    assert!(matches!(alice.next_frame(), Some(Frame::Welcome(_))));
    let mut bob = gateway.device(gateway.over_tls(), "bob", "phone");
    wait_welcome(&mut bob);
    for size in [0, 1, 100, 1000, 65_000, 65_536] {
        alice.send_frame(send(Target::To("bob".into()), &fresh_id(), size));
        let accepted = alice.next_frame();
        assert!(matches!(accepted, Some(Frame::Accepted(_))), "{size} bytes: {accepted:?}");
        assert_eq!(wait_message_of(&mut bob, "alice").payload.len(), size);
        send_accepted(&mut bob, to("alice"), &"x".repeat(size));
        let Some(Frame::Deliver(deliver)) = alice.next_frame() else { panic!("no message of {size} bytes") };
        assert_eq!(deliver.payload, vec![b'x'; size]);
        alice.send_frame(ClientFrame::Ack(wire::Ack { through_offset: deliver.offset }));
    }
    bob.close().unwrap();
}

/// Proves: G-WS-3 (a device on a WebSocket resumes after a broken connection and after SIGKILL, and talks to devices of the TLS
/// port all the while)
#[test]
fn a_websocket_device_resumes_like_any_other() {
    let mut gateway = serving("");
    let mut alice = gateway.device(gateway.over_websocket(), "alice", "browser");
    let mut bob = gateway.device(gateway.over_tls(), "bob", "phone");
    wait_welcome(&mut alice);
    wait_welcome(&mut bob);
    send_accepted(&mut alice, to("bob"), "one");
    assert_eq!(text(&wait_message(&mut bob)), "one");
    alice.break_connection();
    send_accepted(&mut bob, to("alice"), "two");
    assert_eq!(text(&wait_message_of(&mut alice, "bob")), "two");
    gateway.kill();
    gateway.restart();
    send_accepted(&mut bob, to("alice"), "three");
    assert_eq!(text(&wait_message_of(&mut alice, "bob")), "three");
    send_accepted(&mut alice, to("bob"), "four");
    assert_eq!(text(&wait_message_of(&mut bob, "alice")), "four");
    assert_eq!(gateway.terminate(), Some(0));
}

/// Proves: G-WS-3 (the URL of a WebSocket is all that a client needs: over TLS, in plain text, with a query; another path is told)
/// Seen to fail when: the client asks every server for "/".
#[test]
fn a_url_leads_to_the_websocket() {
    let gateway = serving("");
    let authority = gateway.dir.path().join("ca.pem");
    let secure = Endpoint::tls(&format!("wss://{}", gateway.websocket_address()), &authority).unwrap();
    let plain = |path: &str| {
        Endpoint::insecure_plaintext(&format!("ws://{}{path}", gateway.websocket_plaintext_address()))
            .unwrap()
    };
    let mut alice = gateway.device(secure, "alice", "phone");
    let mut bob = gateway.device(plain("/v1/connect?from=a-test"), "bob", "phone");
    wait_welcome(&mut alice);
    wait_welcome(&mut bob);
    send_accepted(&mut alice, to("bob"), "over wss");
    assert_eq!(text(&wait_message_of(&mut bob, "alice")), "over wss");
    send_accepted(&mut bob, to("alice"), "over ws");
    assert_eq!(text(&wait_message_of(&mut alice, "bob")), "over ws");
    let mut lost = gateway.device(plain("/elsewhere"), "carol", "phone");
    let why = wait_for(&mut lost, "refusal", |notice| match notice {
        Notice::Lost { why } => Some(why.clone()),
        Notice::Event(_) | Notice::Sending { .. } => None,
    });
    assert!(why.contains("status 404"), "{why}");
}

/// Proves: G-WS-3 (several users of each core, on WebSockets, talk in order through moves, cuts and kills)
#[test]
fn a_crowd_on_websockets_loses_doubles_and_reorders_nothing() {
    let mut gateway = serving(UNHURRIED);
    let crowd = Crowd::start_on(&gateway, [Gateway::over_websocket, Gateway::over_tls]);
    crowd.talk(300);
    gateway.kill();
    gateway.restart();
    crowd.talk(300);
    println!("{} messages", crowd.finish());
}

/// What a peer writes after the upgrade or the login, the code of the Close frame, and the status.
type Fault = (&'static str, Vec<u8>, Option<CloseCode>, u16);

fn faults() -> Vec<Fault> {
    let unmasked = [vec![0x82, 0x05], b"hello".to_vec()].concat();
    let huge = [vec![0x82, 0xff], (1_u64 << 40).to_be_bytes().to_vec(), vec![0; 4]].concat();
    let malformed = Some(CloseCode::MalformedFrame);
    vec![
        ("text", masked(Opcode::Text, b"hello"), malformed, 1003),
        ("an unmasked frame", unmasked, malformed, 1002),
        ("a reserved bit", vec![0xc2], malformed, 1002),
        ("an unknown opcode", vec![0x83], malformed, 1002),
        ("a continuation of nothing", masked(Opcode::Continuation, b"x"), malformed, 1002),
        ("a fragmented ping", vec![0x09], malformed, 1002),
        ("a long ping", vec![0x89, 0xfe], malformed, 1002),
        ("a close of one byte", masked(Opcode::Close, &[3]), malformed, 1002),
        ("a close with 1005", masked(Opcode::Close, &[3, 0xed]), malformed, 1002),
        ("a close that is not utf-8", masked(Opcode::Close, &[3, 0xe8, 0xff]), malformed, 1007),
        ("2^40 bytes", huge, Some(CloseCode::FrameTooLarge), 1009),
        ("an empty message", masked(Opcode::Binary, b""), Some(CloseCode::FrameTooLarge), 1009),
        ("not protobuf", masked(Opcode::Binary, &[0xff; 20]), malformed, 1007),
    ]
}

/// Proves: G-WS-1 (before and after the login, each fault has its Close frame, its status, and ends its own connection alone)
#[test]
fn each_fault_has_its_close_frame_and_its_status() {
    let gateway = serving("");
    let mut bystander = logged_in(&gateway, "bystander");
    for is_in in [false, true] {
        for (what, bytes, code, status) in faults() {
            let mut conn = if is_in { logged_in(&gateway, "mallory") } else { upgraded(&gateway) };
            conn.write(&bytes);
            assert_eq!(conn.ending(), (code, Some(status)), "{what}, logged in: {is_in}");
        }
        let (mut conn, limit) =
            if is_in { (logged_in(&gateway, "mallory"), 131_072) } else { (upgraded(&gateway), 4096) };
        conn.write(&fragment(0x02, &vec![7; limit]));
        conn.write(&fragment(0x80, b"x"));
        assert_eq!(
            conn.ending(),
            (Some(CloseCode::FrameTooLarge), Some(1009)),
            "over the limit in two fragments"
        );
    }
    let mut conn = upgraded(&gateway);
    conn.send_frame(ClientFrame::Ack(wire::Ack { through_offset: 1 }));
    assert_eq!(conn.ending(), (Some(CloseCode::HelloExpected), Some(1008)));
    let mut conn = upgraded(&gateway);
    conn.send_frame(hello("no token"));
    assert_eq!(conn.ending(), (Some(CloseCode::AuthFailed), Some(4101)));
    bystander.send_frame(ClientFrame::Ping(wire::Ping { nonce: 5 }));
    assert!(matches!(bystander.next_frame(), Some(Frame::Pong(pong)) if pong.nonce == 5));
}

/// Proves: G-WS-1 (fragments, pings between them and the peer's own close are answered by the letter)
#[test]
fn a_fragmented_hello_logs_in_and_a_close_is_answered() {
    let gateway = serving("");
    let mut conn = upgraded(&gateway);
    let body = body(hello(&gateway.token("alice", "browser")));
    let (first, second) = body.split_at(body.len() / 2);
    conn.write(&fragment(0x02, first));
    conn.write(&masked(Opcode::Ping, b"between"));
    assert_eq!(conn.next_event(), Some(Event::Pong(Bytes::from_static(b"between"))));
    conn.write(&fragment(0x00, b""));
    conn.write(&fragment(0x80, second));
    assert!(matches!(conn.next_frame(), Some(Frame::Welcome(_))));
    conn.write(&masked(Opcode::Close, &[0x03, 0xe9]));
    conn.write(&masked(Opcode::Binary, b"after the close"));
    assert_eq!(conn.ending(), (None, Some(CloseStatus::GOING_AWAY.number())));
    let mut conn = logged_in(&gateway, "alice");
    conn.write(&masked(Opcode::Close, b""));
    assert_eq!(conn.ending(), (None, None), "a close without a status is answered with one");
}

/// Proves: G-WS-2 (each request that is not a complete upgrade of an allowed origin is refused, and its connection closed)
/// Seen to fail when: a query belongs to the path.
#[test]
fn a_request_that_lacks_something_is_refused_with_its_status() {
    let gateway = serving(ORIGINS);
    let whole = String::from_utf8(request("localhost:7444", [7; 16], Some(ORIGIN))).unwrap();
    let changed = |old: &str, new: &str| {
        assert!(whole.contains(old), "{old}");
        whole.replacen(old, new, 1)
    };
    let requests = [
        (whole.clone(), 101),
        (changed("Origin: https://chat.example.org\r\n", ""), 101),
        (changed(ORIGIN, "https://evil.example"), 403),
        (changed(ORIGIN, "null"), 403),
        (changed("/v1/connect", "/"), 404),
        (changed("/v1/connect", "/?/v1/connect"), 404),
        (changed("/v1/connect", "/v1/connect?from=a-query"), 101),
        (changed("GET", "POST"), 405),
        (changed("Upgrade: websocket\r\n", ""), 426),
        (changed("Version: 13", "Version: 12"), 426),
        (changed("iris.v1", "chat"), 400),
        (changed("Host: localhost:7444\r\n", ""), 400),
        (changed("Origin: ", &format!("X: {}\r\nOrigin: ", "x".repeat(4096))), 431),
        ("\u{16}\u{3}\u{1}garbage".to_owned(), 400),
    ];
    for (text, status) in requests {
        let mut socket = Socket::plain(gateway.websocket_plaintext_address());
        socket.write_all(text.as_bytes()).unwrap();
        assert_eq!(socket.status(), status, "{text}");
        if status != 101 {
            socket.expect_end();
        }
    }
    assert!(!gateway.log().contains("a-query"), "{}", gateway.log());
    let unlisted = serving("");
    let mut socket = Socket::plain(unlisted.websocket_plaintext_address());
    socket.write_all(whole.as_bytes()).unwrap();
    assert_eq!(socket.status(), 403, "without a list no page may connect");
}

/// Proves: G-WS-4 (the time to log in covers TLS and the upgrade, and does not begin anew with it; a request that is not complete by
/// then is answered with 408)
/// Seen to fail when: `login_missed` closes a connection without an upgrade as any other.
#[test]
fn a_slow_upgrade_is_closed_at_the_login_deadline() {
    let gateway = serving("[limits]\nlogin = \"1s\"\n");
    let authority = gateway.dir.path().join("ca.pem");
    let plain = || Socket::plain(gateway.websocket_plaintext_address());
    let tls = || Socket::tls(gateway.websocket_address(), &authority);
    let whole = request("localhost:7444", [7; 16], None);
    let cases: [(&dyn Fn() -> Socket, usize); 4] =
        [(&plain, whole.len() - 1), (&plain, 1), (&plain, 0), (&tls, 40)];
    for (connect, bytes) in cases {
        let (mut socket, sent) = (connect(), &whole[..bytes]);
        socket.write_all(sent).unwrap();
        let head = socket.head();
        assert!(head.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{bytes} bytes: {head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{bytes} bytes: {head}");
        socket.expect_end();
    }
    let mut without_tls = Socket::plain(gateway.websocket_address());
    let mut rest = Vec::new();
    without_tls.write_all(&[0x16, 0x03, 0x01]).unwrap();
    without_tls.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"", "whoever has no TLS yet cannot be told");
    let mut silent = upgraded(&gateway);
    assert_eq!(silent.ending(), (Some(CloseCode::LoginTimeout), Some(4112)));
}

/// Proves: G-WS-4 (a flood of pings by a peer that reads nothing makes the server hold one pong)
#[test]
fn a_flood_of_pings_is_answered_with_the_newest() {
    const PINGS: u32 = 300_000;
    let mut gateway = serving("");
    let mut conn = logged_in(&gateway, "alice");
    let before = resident_bytes(gateway.pid());
    let mut flood = Vec::new();
    for number in 0..PINGS {
        flood.extend(masked(Opcode::Ping, &[number.to_be_bytes().as_slice(), &[7; 121]].concat()));
    }
    conn.write(&flood);
    let (mut pongs, mut newest) = (0, None);
    while newest != Some(PINGS - 1) {
        let Some(Event::Pong(payload)) = conn.next_event() else { panic!("no pong after {newest:?}") };
        pongs += 1;
        newest = Some(u32::from_be_bytes(*payload.first_chunk().unwrap()));
    }
    let grown = resident_bytes(gateway.pid()).saturating_sub(before);
    println!("{pongs} pongs for {PINGS} pings, {grown} bytes more");
    assert!(grown < 8 << 20, "the server has grown by {grown} bytes");
    assert!(!gateway.has_ended());
}
