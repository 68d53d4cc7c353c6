//! The client's side, against the server's codec.
use super::WebSocket;
use crate::conn::ConnError;
use bytes::{Bytes, BytesMut};
use iris_protocol::frame::encode_client;
use iris_protocol::websocket::upgrade::{Target, read_request};
use iris_protocol::websocket::write::encode;
use iris_protocol::websocket::{
    AnswerError, CloseStatus, Event, Opcode, Origins, PATH, Reader, Refusal, Role, Rules, WebSocketError,
};
use iris_protocol::wire::{Ping, client_frame::Frame};

const TARGET: Target<'static> = Target { authority: "localhost:7444", path: PATH };

fn frame() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_client(Frame::Ping(Ping { nonce: 7 }), &mut bytes);
    bytes
}

/// A client that has sent its request and one frame, with the answer that the server gives.
fn begun() -> (WebSocket, BytesMut, Vec<u8>) {
    let mut output = BytesMut::new();
    let mut websocket = WebSocket::begin(TARGET, &mut output);
    websocket.queue_frame(&frame(), &mut output);
    let granted = read_request(&output, &Rules::iris(&Origins::default())).unwrap().unwrap();
    assert_eq!(granted.head_bytes, output.len(), "nothing follows the request");
    (websocket, BytesMut::new(), granted.answer)
}

fn server(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(opcode, payload, None, &mut bytes);
    bytes
}

fn sent(output: &[u8]) -> Vec<Event> {
    let (mut reader, mut input, mut events) = (Reader::new(Role::Server, false), output, Vec::new());
    while let Some(event) = reader.next(&mut input, 1000).unwrap() {
        events.push(event);
    }
    events
}

/// Proves: G-WS-2 (a client sends no frame before the server has proved that it read the request)
/// Seen to fail when: what waits is sent with the request, or dropped at the answer.
#[test]
fn frames_wait_for_the_answer_to_the_upgrade() {
    let (mut websocket, mut output, answer) = begun();
    let mut input = BytesMut::from(&answer[..answer.len() - 1]);
    assert!(websocket.next_body(&mut input, &mut output).unwrap().is_none() && output.is_empty());
    input.extend_from_slice(&answer[answer.len() - 1..]);
    input.extend_from_slice(&server(Opcode::Binary, b"behind the answer"));
    let body = websocket.next_body(&mut input, &mut output).unwrap();
    assert_eq!(body, Some(Bytes::from_static(b"behind the answer")));
    assert_eq!(sent(&output), [Event::Binary(frame().split_off(4).into())]);
    websocket.queue_frame(&frame(), &mut output);
    assert_eq!(sent(&output).len(), 2);
}

/// Proves: G-WS-2 (an answer that refuses, or belongs to another request, is told)
/// Seen to fail when: the answer is not looked at.
#[test]
fn an_answer_that_does_not_grant_the_upgrade_is_an_error() {
    let (mut websocket, mut output, _) = begun();
    let refused = websocket.next_body(&mut BytesMut::from(&Refusal::Forbidden.answer()[..]), &mut output);
    assert!(matches!(refused, Err(ConnError::Upgrade(AnswerError::Status { status: 403 }))), "{refused:?}");
    let (mut websocket, mut output, _) = begun();
    let (_, _, of_another) = begun();
    let refused = websocket.next_body(&mut BytesMut::from(&of_another[..]), &mut output);
    assert!(matches!(refused, Err(ConnError::Upgrade(AnswerError::Mismatch))), "{refused:?}");
}

/// Proves: G-WS-1 (a client answers pings and closes, and takes neither text nor masked frames)
/// Seen to fail when: a ping is not answered, a frame is queued behind the close, or the client reads as a server.
#[test]
fn pings_and_closes_are_answered_and_nothing_follows_a_close() {
    let (mut websocket, mut output, answer) = begun();
    let close = [0x03, 0xe9];
    let input = [answer, server(Opcode::Ping, b"?"), server(Opcode::Close, &close)].concat();
    assert!(websocket.next_body(&mut BytesMut::from(&input[..]), &mut output).unwrap().is_none());
    let before = output.len();
    websocket.queue_frame(&frame(), &mut output);
    assert_eq!(output.len(), before, "nothing is sent behind the close");
    let events = sent(&output);
    assert_eq!(events[1], Event::Pong(Bytes::from_static(b"?")));
    assert!(matches!(&events[2], Event::Close(Some(close)) if close.status == CloseStatus::GOING_AWAY));
    assert_eq!(events.len(), 3);
    for (bytes, error) in
        [(vec![0x81, 0x00], WebSocketError::Text), (vec![0x82, 0x80, 0, 0, 0, 0], WebSocketError::Mask)]
    {
        let (mut websocket, mut output, answer) = begun();
        let input = [answer, bytes].concat();
        let refused = websocket.next_body(&mut BytesMut::from(&input[..]), &mut output);
        assert!(matches!(&refused, Err(ConnError::WebSocket(found)) if *found == error), "{refused:?}");
    }
}
