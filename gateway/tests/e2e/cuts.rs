//! Connections that are cut at every byte of a Send, and of its answer.

use crate::harness::*;
use crate::raw::*;
use crate::traffic::UNHURRIED;
use iris_client::driver::Driver;
use iris_client::raw::RawConn;
use iris_protocol::frame::{decode_server, encode_client};
use iris_protocol::wire::{self, client_frame::Frame as ClientFrame, server_frame::Frame};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A Send of a text to bob, as its bytes on the wire.
fn send_bytes(id: [u8; 16], text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let frame = wire::Send {
        request_id: 7,
        target: Some(wire::send::Target::To("bob".into())),
        message_id: id.to_vec().into(),
        payload: text.as_bytes().to_vec().into(),
        ack_through: None,
    };
    encode_client(ClientFrame::Send(frame), &mut bytes);
    bytes
}

/// The next message of bob's is this one.
fn assert_received(bob: &mut Driver, sequence: u64, expected: &str) {
    let message = wait_message(bob);
    assert_eq!((message.sequence.0, text(&message).as_str()), (sequence, expected));
}

/// Sends it on a connection of its own until it is answered: its sequence.
fn settle(gateway: &Gateway, token: &str, bytes: &[u8]) -> u64 {
    let mut conn = logged_in(gateway, token);
    conn.send_bytes(bytes).unwrap();
    match answer(&mut conn) {
        Some(Frame::Accepted(accepted)) => accepted.sequence,
        other => panic!("{other:?}"),
    }
}

/// Ends in order, or with a reset.
fn cut(conn: RawConn, number: usize) {
    if number.is_multiple_of(2) { drop(conn) } else { conn.reset().unwrap() }
}

/// The next frame and its length, with the prefix.
fn read_frame(socket: &mut TcpStream) -> (Option<Frame>, usize) {
    let mut prefix = [0; 4];
    socket.read_exact(&mut prefix).unwrap();
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(prefix)).unwrap()];
    socket.read_exact(&mut body).unwrap();
    let length = prefix.len() + body.len();
    (decode_server(&body[..]).unwrap().frame, length)
}

/// A logged-in socket that can be read byte by byte.
fn socket_in(gateway: &Gateway, token: &str) -> TcpStream {
    let mut socket = TcpStream::connect(gateway.plaintext_address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    encode_client(hello(token), &mut bytes);
    socket.write_all(&bytes).unwrap();
    while !matches!(read_frame(&mut socket).0, Some(Frame::Welcome(_))) {}
    socket
}

/// Bytes from a Send to the end of its answer.
fn answer_bytes(gateway: &Gateway, token: &str) -> usize {
    let mut socket = socket_in(gateway, token);
    socket.write_all(&send_bytes(fresh_id(), "first")).unwrap();
    let mut bytes = 0;
    loop {
        let (frame, length) = read_frame(&mut socket);
        bytes += length;
        if matches!(frame, Some(Frame::Accepted(_))) {
            return bytes;
        }
    }
}

/// Proves: G-DEDUP-1 (a connection that is cut after each byte of a Send: half of one has no effect, a whole one has one, and a
/// retry settles both with the next sequence)
/// Seen to fail when: an id whose record is in flight counts as unknown.
#[test]
fn f_17_a_send_cut_at_any_byte_has_no_effect_and_its_retry_has_one() {
    let gateway = Gateway::start(Setup { extra: UNHURRIED.into(), ..Setup::default() });
    let mut bob = gateway.device(gateway.over_tcp(), "bob", "phone");
    wait_welcome(&mut bob);
    let token = gateway.token("alice", "phone");
    let length = send_bytes(fresh_id(), "000").len();
    for kept in 0..=length {
        let (id, text) = (fresh_id(), format!("{kept:03}"));
        let bytes = send_bytes(id, &text);
        let mut conn = logged_in(&gateway, &token);
        conn.send_bytes(&bytes[..kept]).unwrap();
        cut(conn, kept);
        assert_eq!(settle(&gateway, &token, &bytes), kept as u64 + 1, "cut after {kept} bytes");
        assert_received(&mut bob, kept as u64 + 1, &text);
    }
    println!("{} cuts", length + 1);
}

/// Proves: G-DEDUP-1 (a connection that is cut while its Accepted is read, after each byte: the retry gets the same place, and
/// the message is delivered once)
/// Seen to fail when: an id whose record is in flight counts as unknown.
#[test]
fn f_17_an_answer_cut_at_any_byte_leaves_one_message() {
    let gateway = Gateway::start(Setup { extra: UNHURRIED.into(), ..Setup::default() });
    let mut bob = gateway.device(gateway.over_tcp(), "bob", "phone");
    wait_welcome(&mut bob);
    let token = gateway.token("alice", "phone");
    let length = answer_bytes(&gateway, &token);
    assert_received(&mut bob, 1, "first");
    for read in 0..=length {
        let (sequence, text) = (read as u64 + 2, format!("{read:03}"));
        let bytes = send_bytes(fresh_id(), &text);
        let mut socket = socket_in(&gateway, &token);
        socket.write_all(&bytes).unwrap();
        socket.read_exact(&mut vec![0; read]).unwrap();
        if read.is_multiple_of(2) {
            // With a reset instead of an end.
            rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).unwrap();
        }
        drop(socket);
        assert_eq!(settle(&gateway, &token, &bytes), sequence, "cut after {read} bytes of the answer");
        assert_received(&mut bob, sequence, &text);
    }
    println!("{} cuts", length + 1);
}
