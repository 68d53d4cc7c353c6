//! Frames by hand, on a bare connection.

use crate::harness::*;
use bytes::Bytes;
use iris_client::raw::{RawConn, Read};
use iris_protocol::wire::{self, client_frame::Frame as ClientFrame, server_frame::Frame};
use iris_protocol::{CloseCode, RejectCode};

pub(crate) fn hello(token: &str) -> ClientFrame {
    ClientFrame::Hello(wire::Hello {
        versions: vec![1],
        token: token.to_owned(),
        window: 16,
        ..Default::default()
    })
}

pub(crate) fn next_frame(conn: &mut RawConn) -> Option<Frame> {
    match conn.read_frame(PATIENCE).unwrap() {
        Read::Frame(frame) => frame.frame,
        Read::Closed => None,
        Read::TimedOut => panic!("no frame"),
    }
}

pub(crate) fn logged_in(gateway: &Gateway, token: &str) -> RawConn {
    let mut conn = RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
    conn.send_frame(hello(token)).unwrap();
    assert!(matches!(next_frame(&mut conn), Some(Frame::Welcome(_))));
    conn
}

/// Reads until the Close frame; its code.
pub(crate) fn close_code(conn: &mut RawConn) -> Option<CloseCode> {
    loop {
        if let Frame::Close(close) = next_frame(conn)? {
            return CloseCode::from_number(close.code);
        }
    }
}

pub(crate) fn send(to: wire::send::Target, message_id: &[u8], payload: usize) -> ClientFrame {
    ClientFrame::Send(wire::Send {
        request_id: 7,
        target: Some(to),
        message_id: Bytes::copy_from_slice(message_id),
        payload: Bytes::from(vec![0; payload]),
        ack_through: None,
    })
}

pub(crate) fn fresh_id() -> [u8; 16] {
    *uuid::Uuid::now_v7().as_bytes()
}

pub(crate) fn reject_code(conn: &mut RawConn) -> Option<RejectCode> {
    let frame = next_frame(conn)?;
    let Frame::Rejected(rejected) = frame else { panic!("not a reject: {frame:?}") };
    RejectCode::from_number(rejected.code)
}

/// The next answer to a Send, or the Close that came instead.
pub(crate) fn answer(conn: &mut RawConn) -> Option<Frame> {
    loop {
        let frame = next_frame(conn)?;
        if matches!(frame, Frame::Accepted(_) | Frame::Rejected(_) | Frame::Close(_)) {
            return Some(frame);
        }
    }
}

/// Sends a message until it is accepted: its place, and since when it stands there.
pub(crate) fn accepted(conn: &mut RawConn, to: &str, id: [u8; 16]) -> (u64, u64) {
    loop {
        conn.send_frame(send(wire::send::Target::To(to.to_owned()), &id, 10)).unwrap();
        match answer(conn) {
            Some(Frame::Accepted(accepted)) => return (accepted.sequence, accepted.server_time),
            // The other cores have not reported yet.
            Some(Frame::Rejected(rejected)) if rejected.code == RejectCode::Busy.number() => {}
            other => panic!("{other:?}"),
        }
    }
}
