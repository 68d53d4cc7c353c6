//! One peer misbehaves; nobody else notices, and it gets its documented code.

use crate::harness::*;
use crate::raw::*;
use iris_client::driver::Driver;
use iris_client::raw::RawConn;
use iris_protocol::wire::{self, client_frame::Frame as ClientFrame, server_frame::Frame};
use iris_protocol::{CloseCode, RejectCode};
use std::time::Duration;

const IDLE: usize = 200;
/// How a TLS connection begins: a handshake record of 512 bytes with a ClientHello.
const CLIENT_HELLO: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

/// What a hostile peer writes, and how it is answered: with a close of this code, or by silence.
type Attack = (&'static str, Vec<u8>, Option<CloseCode>);

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn attacks_before_login() -> Vec<Attack> {
    let ack = wire::ClientFrame { frame: Some(ClientFrame::Ack(wire::Ack { through_offset: 1 })) };
    vec![
        ("garbage", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Some(CloseCode::FrameTooLarge)),
        ("tls on the plain port", CLIENT_HELLO.to_vec(), Some(CloseCode::FrameTooLarge)),
        ("zero length", vec![0; 4], Some(CloseCode::FrameTooLarge)),
        ("4097 bytes", 4097_u32.to_be_bytes().to_vec(), Some(CloseCode::FrameTooLarge)),
        ("2^31 bytes", (1_u32 << 31).to_be_bytes().to_vec(), Some(CloseCode::FrameTooLarge)),
        ("2^32-1 bytes", u32::MAX.to_be_bytes().to_vec(), Some(CloseCode::FrameTooLarge)),
        ("not protobuf", framed(&[0xff; 20]), Some(CloseCode::MalformedFrame)),
        ("ack before hello", framed(&prost::Message::encode_to_vec(&ack)), Some(CloseCode::HelloExpected)),
        ("unknown frame before hello", framed(&[0xfa, 0x7f, 0x00]), Some(CloseCode::HelloExpected)),
        ("half a frame", vec![0, 0, 0, 100, 1, 2, 3], None),
    ]
}

fn check_before_login(gateway: &Gateway) {
    for (what, bytes, code) in attacks_before_login() {
        let mut conn = RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
        conn.send_bytes(&bytes).unwrap();
        match code {
            Some(code) => assert_eq!(close_code(&mut conn), Some(code), "{what}"),
            None => conn.reset().unwrap(),
        }
    }
    let forged = gateway.token("mallory", "phone");
    // The last character has two bits of the signature: of a quarter of all tokens it is an A already.
    let last = if forged.ends_with('A') { 'Q' } else { 'A' };
    let forged = format!("{}{last}", &forged[..forged.len() - 1]);
    let mut conn = RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
    conn.send_frame(hello(&forged)).unwrap();
    assert_eq!(close_code(&mut conn), Some(CloseCode::AuthFailed));
}

fn check_after_login(gateway: &Gateway) {
    let token = gateway.token("mallory", "phone");
    for (what, bytes, code) in [
        ("131073 bytes", 131_073_u32.to_be_bytes().to_vec(), CloseCode::FrameTooLarge),
        ("2^32-1 bytes", u32::MAX.to_be_bytes().to_vec(), CloseCode::FrameTooLarge),
        ("not protobuf", framed(&[0xff; 20]), CloseCode::MalformedFrame),
    ] {
        let mut conn = logged_in(gateway, &token);
        conn.send_bytes(&bytes).unwrap();
        assert_eq!(close_code(&mut conn), Some(code), "{what}");
    }
    let mut conn = logged_in(gateway, &token);
    conn.send_frame(ClientFrame::Ack(wire::Ack { through_offset: 1 << 52 })).unwrap();
    assert_eq!(close_code(&mut conn), Some(CloseCode::AckTooHigh));
    let mut conn = logged_in(gateway, &token);
    conn.send_frame(hello(&token)).unwrap();
    assert_eq!(close_code(&mut conn), Some(CloseCode::UnexpectedHello));
    for half in [1, 5, 60] {
        let mut conn = logged_in(gateway, &token);
        conn.send_bytes(&vec![0; half]).unwrap();
        conn.reset().unwrap();
    }
    check_rejects(gateway, &token);
}

/// Refusals after which the connection stays.
fn check_rejects(gateway: &Gateway, token: &str) {
    use wire::send::Target::{Conversation, To};
    let mut conn = logged_in(gateway, token);
    let mut old = fresh_id();
    old[..6].copy_from_slice(&[0, 0, 0, 0, 0, 1]);
    let mut ahead = fresh_id();
    ahead[0] = 0x7f;
    let cases = [
        (
            "another's conversation",
            send(Conversation("d:alice:bob".into()), &fresh_id(), 1),
            RejectCode::Forbidden,
        ),
        ("a group", send(Conversation("g:nobody".into()), &fresh_id(), 1), RejectCode::Forbidden),
        ("an id with a space", send(To("a b".into()), &fresh_id(), 1), RejectCode::InvalidId),
        ("a short message id", send(To("alice".into()), &[1; 15], 1), RejectCode::InvalidMessageId),
        ("a random message id", send(To("alice".into()), &[0; 16], 1), RejectCode::InvalidMessageId),
        ("a large payload", send(To("alice".into()), &fresh_id(), 65_537), RejectCode::PayloadTooLarge),
        ("an old id", send(To("alice".into()), &old, 1), RejectCode::MessageIdTooOld),
        ("an id from the future", send(To("alice".into()), &ahead, 1), RejectCode::ClockSkew),
        (
            "an unknown device",
            ClientFrame::Unlink(wire::Unlink { request_id: 7, device: "none".into() }),
            RejectCode::UnknownDevice,
        ),
    ];
    for (what, frame, code) in cases {
        conn.send_frame(frame).unwrap();
        assert_eq!(reject_code(&mut conn), Some(code), "{what}");
    }
    conn.send_bytes(&framed(&[0xfa, 0x7f, 0x00])).unwrap();
    assert_eq!(reject_code(&mut conn), Some(RejectCode::UnknownFrame));
    conn.send_frame(ClientFrame::Ping(wire::Ping { nonce: 9 })).unwrap();
    assert!(
        matches!(next_frame(&mut conn), Some(Frame::Pong(pong)) if pong.nonce == 9),
        "the connection stays"
    );
}

/// Proves: G-EDGE-1 (what one connection sends harms no other; each fault has its documented code)
/// Seen to fail when: a malformed frame ends the core loop instead of the connection.
#[test]
fn f_52_two_hundred_idle_clients_stay_while_one_attacks() {
    let gateway = Gateway::start(Setup::default());
    let mut idle: Vec<RawConn> = (0..IDLE)
        .map(|number| logged_in(&gateway, &gateway.token(&format!("idle{number}"), "phone")))
        .collect();
    check_before_login(&gateway);
    check_after_login(&gateway);
    for (number, conn) in idle.iter_mut().enumerate() {
        conn.send_frame(ClientFrame::Ping(wire::Ping { nonce: number as u64 })).unwrap();
        let pong = next_frame(conn);
        assert!(
            matches!(&pong, Some(Frame::Pong(pong)) if pong.nonce == number as u64),
            "{number}: {pong:?}"
        );
    }
}

/// Proves: G-TLS-1 (no plaintext and no garbage on the TLS port)
/// Seen to fail when: a TLS error is ignored in `Core::received`.
#[test]
fn f_52_plaintext_on_the_tls_port_is_hung_up_on() {
    use std::io::{Read as _, Write as _};
    // Nothing but the broken handshake may end it.
    let setup = Setup { extra: "[limits]\nlogin = \"1m\"\n".into(), ..Setup::default() };
    let gateway = Gateway::start(setup);
    let mut socket = std::net::TcpStream::connect(gateway.tls_address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE / 2)).unwrap();
    socket.write_all(&framed(b"not a handshake, and long enough to be judged")).unwrap();
    let mut answer = Vec::new();
    if let Err(error) = socket.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it was not hung up on");
    }
    assert!(answer.len() < 20, "an alert at most: {answer:?}");
    let mut alice: Driver = gateway.device(gateway.over_tls(), "alice", "phone");
    wait_welcome(&mut alice);
}

/// Proves: G-EDGE-2 (a connection that never logs in is closed in time)
/// Seen to fail when: `Core::accepted` sets no login deadline.
#[test]
fn f_49_a_connection_that_never_logs_in_is_closed() {
    let setup = Setup { extra: "[limits]\nlogin = \"300ms\"\n".into(), ..Setup::default() };
    let gateway = Gateway::start(setup);
    let mut conn = RawConn::connect(&gateway.over_tcp(), Duration::from_secs(5)).unwrap();
    assert_eq!(close_code(&mut conn), Some(CloseCode::LoginTimeout));
}
