//! Both framings through one upgrades.
use super::{Cut, CutError, Framing};
use crate::frames::FrameBody;
use crate::gate::Current;
use crate::websocket::{Upgrades, WebSocketLink};
use bytes::Bytes;
use iris_protocol::frame::encode_server;
use iris_protocol::websocket::upgrade::request;
use iris_protocol::websocket::write::encode;
use iris_protocol::websocket::{CloseStatus, Event, Opcode, Origins, Reader, Refusal, Role, WebSocketError};
use iris_protocol::wire::{Pong, server_frame::Frame};

const LIMIT: usize = 1000;
const KEY: [u8; 4] = [1, 2, 3, 4];

fn upgrades() -> Upgrades {
    Upgrades::Iris(Current::new(Origins::default()))
}

/// Apart from the bytes that it came in.
fn owned(cut: Cut<'_>) -> Cut<'static> {
    match cut {
        Cut::Frame(body) => Cut::Frame(FrameBody::Owned(Bytes::copy_from_slice(body.bytes()))),
        Cut::Upgraded(answer) => Cut::Upgraded(answer),
        Cut::Pong => Cut::Pong,
        Cut::Closed(status) => Cut::Closed(status),
    }
}

fn cuts(framing: &mut Framing, mut input: &[u8]) -> Vec<Result<Cut<'static>, CutError>> {
    let mut found = Vec::new();
    while let Some(cut) = framing.next(&mut input, &upgrades(), LIMIT).transpose() {
        let is_last = cut.is_err();
        found.push(cut.map(owned));
        if is_last {
            return found;
        }
    }
    assert!(input.is_empty(), "input is used up before None");
    found
}

fn message(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(opcode, payload, Some(KEY), &mut bytes);
    bytes
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn open() -> Framing {
    let mut framing = Framing::websocket(WebSocketLink::new());
    let found = cuts(&mut framing, &request("localhost:7444", [7; 16], None));
    let [Ok(Cut::Upgraded(answer))] = &found[..] else { panic!("{found:?}") };
    assert!(framing.takes_frames());
    assert_eq!(framing.take_counted(answer.len()), 0, "the shard does not count the answer");
    framing
}

/// Proves: G-WS-3 (a stream is the same wherever it is cut, from the request's first byte on)
#[test]
fn a_websocket_is_the_same_wherever_its_stream_is_cut() {
    let stream = [
        request("localhost:7444", [7; 16], None),
        message(Opcode::Binary, b"one"),
        message(Opcode::Ping, b"?"),
        message(Opcode::Binary, &[7; 300]),
        message(Opcode::Close, &[0x03, 0xe8]),
    ]
    .concat();
    for cut in 0..=stream.len() {
        let mut framing = Framing::websocket(WebSocketLink::new());
        let mut found = cuts(&mut framing, &stream[..cut]);
        found.extend(cuts(&mut framing, &stream[cut..]));
        let [Ok(Cut::Upgraded(_)), rest @ ..] = &found[..] else { panic!("cut at {cut}: {found:?}") };
        let expected = [
            Ok(Cut::Frame(FrameBody::Borrowed(b"one"))),
            Ok(Cut::Pong),
            Ok(Cut::Frame(FrameBody::Borrowed(&[7; 300]))),
            Ok(Cut::Closed(Some(CloseStatus::NORMAL))),
        ];
        assert_eq!(rest, expected, "cut at {cut}");
    }
}

/// Proves: G-WS-3 (what is kept while a connection moves is read at its new core, in both framings)
#[test]
fn what_is_kept_on_the_way_is_read_after_it() {
    let mut prefixed = Framing::default();
    let (first, second) = (framed(b"hello"), framed(b"next"));
    assert_eq!(cuts(&mut prefixed, &[first.as_slice(), &second[..3]].concat()).len(), 1);
    prefixed.keep(&second[3..]);
    let kept = prefixed.take_kept();
    assert_eq!(cuts(&mut prefixed, &kept), [Ok(Cut::Frame(FrameBody::Borrowed(b"next")))]);
    assert!(prefixed.0.is_none(), "no memory between frames");
    let (mut websocket, stream) = (open(), message(Opcode::Binary, b"next"));
    assert!(cuts(&mut websocket, &stream[..5]).is_empty());
    websocket.keep(&stream[5..7]);
    websocket.keep(&stream[7..]);
    let kept = websocket.take_kept();
    assert_eq!(cuts(&mut websocket, &kept), [Ok(Cut::Frame(FrameBody::Borrowed(b"next")))]);
}

/// Proves: G-WS-3 (a slow WebSocket is judged by the same bytes as any other connection)
#[test]
fn the_shard_counts_frames_as_if_they_had_prefixes() {
    let mut framing = open();
    let mut out = Vec::new();
    let mut counted = 0;
    for size in [1, 100, 200, 70_000] {
        let start = out.len();
        out.extend(framed(&vec![7; size]));
        counted += out.len() - start;
        framing.form(&mut out, start);
    }
    cuts(&mut framing, &message(Opcode::Ping, b"answered"));
    assert!(framing.has_pong());
    framing.append_pong(&mut out);
    assert_eq!(framing.take_counted(out.len()), counted);
    assert_eq!(framing.take_counted(10), 10, "and only once");
}

/// Proves: G-WS-4 (of many pings without an answer one pong is held: the newest)
#[test]
fn of_many_pings_the_newest_is_answered() {
    let mut framing = open();
    for number in 0..1000 {
        assert_eq!(
            cuts(&mut framing, &message(Opcode::Ping, format!("{number}").as_bytes())),
            [Ok(Cut::Pong)]
        );
    }
    let mut out = Vec::new();
    framing.append_pong(&mut out);
    framing.append_pong(&mut out);
    let (mut reader, mut input) = (Reader::new(Role::Client, false), out.as_slice());
    assert_eq!(reader.next(&mut input, LIMIT), Ok(Some(Event::Pong(Bytes::from_static(b"999")))));
    assert!(input.is_empty(), "one pong");
}

#[test]
fn one_close_frame_is_sent_and_nothing_after_it() {
    let mut framing = open();
    cuts(&mut framing, &message(Opcode::Ping, b"?"));
    let mut out = Vec::new();
    encode_server(Frame::Pong(Pong { nonce: 1 }), &mut out);
    framing.form(&mut out, 0);
    framing.answer_close(Some(CloseStatus::GOING_AWAY), &mut out);
    framing.answer_close(None, &mut out);
    framing.append_pong(&mut out);
    let (mut reader, mut input) = (Reader::new(Role::Client, false), out.as_slice());
    assert!(matches!(reader.next(&mut input, LIMIT), Ok(Some(Event::Binary(_)))));
    let last = reader.next(&mut input, LIMIT);
    assert!(matches!(&last, Ok(Some(Event::Close(Some(close)))) if close.status == CloseStatus::GOING_AWAY));
    assert!(input.is_empty(), "nothing follows: {input:?}");
    let mut early = Framing::websocket(WebSocketLink::new());
    let mut out = Vec::new();
    early.answer_close(None, &mut out);
    assert!(out.is_empty() && !early.takes_frames());
}

/// Proves: G-WS-2 (what is no upgrade ends there)
#[test]
fn what_is_not_taken_is_an_error() {
    let mut framing = Framing::websocket(WebSocketLink::new());
    let found = cuts(&mut framing, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(found, [Err(CutError::Refused(Refusal::NotFound))]);
    assert!(!framing.takes_frames());
    let found = cuts(&mut open(), &message(Opcode::Text, b"hello"));
    assert_eq!(found, [Err(CutError::WebSocket(WebSocketError::Text))]);
    let found = cuts(&mut open(), &message(Opcode::Binary, b""));
    assert!(matches!(found[..], [Err(CutError::Frame(_))]), "{found:?}");
    let found = cuts(&mut open(), &message(Opcode::Binary, &[7; LIMIT + 1]));
    assert!(matches!(found[..], [Err(CutError::WebSocket(WebSocketError::TooLarge { .. }))]), "{found:?}");
}
