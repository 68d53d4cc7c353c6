//! Streams of frames by hand, cut at every byte.
#![allow(clippy::indexing_slicing, reason = "a test that overruns fails, which is what it is for")]

use super::{Event, Reader};
use crate::websocket::{Close, CloseStatus, Role, WebSocketError};
use bytes::Bytes;

const KEY: [u8; 4] = [0xa1, 0x02, 0x73, 0xff];
const LIMIT: usize = 1000;

/// A client's frame: `first` is the byte of flags and opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    if let Ok(length @ 0..126) = u8::try_from(payload.len()) {
        bytes.push(0x80 | length);
    } else {
        bytes.push(0xfe);
        bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    }
    bytes.extend(KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn take(reader: &mut Reader, mut input: &[u8], events: &mut Vec<Event>) -> Result<(), WebSocketError> {
    while let Some(event) = reader.next(&mut input, LIMIT)? {
        events.push(event);
    }
    assert!(input.is_empty(), "input is used up before None");
    Ok(())
}

fn of(text: &'static [u8]) -> Bytes {
    Bytes::from_static(text)
}

fn conversation() -> (Vec<u8>, Vec<Event>) {
    let long: Vec<u8> = (0..=255).cycle().take(300).collect();
    let stream = [
        frame(0x82, b"one"),
        frame(0x89, b"are you there"),
        frame(0x02, &long[..200]),
        frame(0x8a, b""),
        frame(0x00, b""),
        frame(0x80, &long[200..]),
        frame(0x82, b""),
        frame(0x01, "gr\u{fc}".as_bytes().split_last().unwrap().1),
        frame(0x89, b"between"),
        frame(0x80, b"\xbc\xc3\x9fe"),
        frame(0x88, b"\x03\xe8bye"),
    ]
    .concat();
    let close = Close { status: CloseStatus::NORMAL, reason: "bye".to_owned() };
    let events = vec![
        Event::Binary(of(b"one")),
        Event::Ping(of(b"are you there")),
        Event::Pong(of(b"")),
        Event::Binary(long.into()),
        Event::Binary(of(b"")),
        Event::Ping(of(b"between")),
        Event::Text(of("grüße".as_bytes())),
        Event::Close(Some(close)),
    ];
    (stream, events)
}

/// Proves: G-WS-1 (fragments, control frames between them and every cut of the stream give the same messages)
/// Seen to fail when: a piece's mask begins anew, a control frame's payload goes to the message, or a head that is cut is
/// forgotten.
#[test]
fn messages_are_the_same_wherever_the_stream_is_cut() {
    let (stream, expected) = conversation();
    for first in 0..=stream.len() {
        for second in (first..=stream.len()).step_by(13) {
            let mut reader = Reader::new(Role::Server, true);
            let mut events = Vec::new();
            for piece in [&stream[..first], &stream[first..second], &stream[second..], b"after the close"] {
                take(&mut reader, piece, &mut events).unwrap();
            }
            assert_eq!(events, expected, "cut at {first} and {second}");
            assert!(reader.is_idle());
        }
    }
}

/// Seen to fail when: an idle reader keeps its box.
#[test]
fn memory_is_held_only_while_something_is_incomplete() {
    let (stream, _) = conversation();
    let mut reader = Reader::new(Role::Server, true);
    let whole = frame(0x82, b"one");
    for byte in &whole[..whole.len() - 1] {
        take(&mut reader, &[*byte], &mut Vec::new()).unwrap();
        assert!(!reader.is_idle());
    }
    take(&mut reader, &whole[whole.len() - 1..], &mut Vec::new()).unwrap();
    assert!(reader.is_idle());
    take(&mut reader, &stream[..whole.len()], &mut Vec::new()).unwrap();
    assert!(reader.is_idle() && size_of::<Reader>() <= 16);
}

/// Proves: G-WS-1 (what breaks the protocol is refused, in one piece and byte by byte, and nothing is told after it)
/// Seen to fail when: a continuation may come first, a message may begin inside another, text is cut inside a character
/// and taken, or the reader goes on after an error.
#[test]
fn what_breaks_the_protocol_is_refused_and_nothing_is_told_after_it() {
    let two = |first: u8, second: u8| [frame(first, b"a"), frame(second, b"b")].concat();
    let violations = [
        (frame(0x80, b"a"), WebSocketError::Fragment),
        (frame(0x00, b"a"), WebSocketError::Fragment),
        (two(0x02, 0x82), WebSocketError::Fragment),
        (two(0x01, 0x81), WebSocketError::Fragment),
        (two(0x02, 0x01), WebSocketError::Fragment),
        ([two(0x02, 0x80), frame(0x80, b"c")].concat(), WebSocketError::Fragment),
        (frame(0xc2, b"a"), WebSocketError::ReservedBit),
        (two(0x02, 0xa0), WebSocketError::ReservedBit),
        (frame(0x83, b""), WebSocketError::Opcode { opcode: 3 }),
        (frame(0x09, b""), WebSocketError::Control),
        (frame(0x88, b"\x03"), WebSocketError::Close),
        (frame(0x88, b"\x03\xed"), WebSocketError::Close),
        (frame(0x88, b"\x03\xe8\xff"), WebSocketError::NotUtf8),
        (frame(0x81, b"gr\xc3"), WebSocketError::NotUtf8),
        (frame(0x81, b"gr\xc3x"), WebSocketError::NotUtf8),
        ([frame(0x01, b"gr\xc3"), frame(0x80, b"")].concat(), WebSocketError::NotUtf8),
    ];
    for (bytes, error) in violations {
        let all = [frame(0x82, b"before"), bytes.clone(), frame(0x82, b"after")].concat();
        for piece in [1, all.len()] {
            let mut reader = Reader::new(Role::Server, true);
            let mut events = Vec::new();
            let outcomes: Vec<_> =
                all.chunks(piece).map(|piece| take(&mut reader, piece, &mut events)).collect();
            let errors: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
            assert_eq!(errors, [error], "{bytes:x?} in pieces of {piece}");
            assert!(take(&mut reader, &frame(0x82, b"later"), &mut events).is_ok());
            let told = events.iter().filter(|event| matches!(event, Event::Binary(body) if body == "before"));
            assert_eq!(told.count(), 1, "{events:?}");
            assert!(
                !events.contains(&Event::Binary(of(b"after")))
                    && !events.contains(&Event::Binary(of(b"later")))
            );
        }
    }
}

/// Proves: G-WS-4 (a message above the limit is refused by the head that announces it)
/// Seen to fail when: the fragments before are not counted.
#[test]
fn a_message_above_the_limit_is_refused_by_its_head() {
    let announced = |first: u8, bytes: u64| {
        let mut head = vec![first, 0xff];
        head.extend(bytes.to_be_bytes());
        head.extend(KEY);
        head
    };
    let too_large = |bytes| WebSocketError::TooLarge { bytes, bytes_max: LIMIT };
    for bytes in [65_536, 1 << 31, 1 << 32, (1 << 63) - 1] {
        let mut reader = Reader::new(Role::Server, true);
        let refused = reader.next(&mut announced(0x82, bytes).as_slice(), LIMIT);
        assert_eq!(refused, Err(too_large(bytes)));
    }
    let mut reader = Reader::new(Role::Server, true);
    let mut events = Vec::new();
    take(&mut reader, &frame(0x02, &[7; 999]), &mut events).unwrap();
    take(&mut reader, &frame(0x00, &[7; 1]), &mut events).unwrap();
    take(&mut reader, &frame(0x89, &[7; 125]), &mut events).unwrap();
    let head = &frame(0x80, &[7; 1])[..6];
    assert_eq!(take(&mut reader, head, &mut events), Err(too_large(1001)));
}

/// Proves: G-WS-1 (text is refused by its first byte where only binary messages are taken)
/// Seen to fail when: `takes_text` is not looked at.
#[test]
fn text_is_refused_where_it_is_not_taken() {
    let mut reader = Reader::new(Role::Server, false);
    let mut events = Vec::new();
    take(&mut reader, &frame(0x82, b"binary"), &mut events).unwrap();
    assert_eq!(take(&mut reader, &frame(0x81, b"text"), &mut events), Err(WebSocketError::Text));
    assert_eq!(events, [Event::Binary(of(b"binary"))]);
}

/// Seen to fail when: a message is told with the capacity that it grew to.
#[test]
fn a_message_that_came_in_pieces_holds_no_more_than_its_bytes() {
    let mut reader = Reader::new(Role::Server, false);
    let mut events = Vec::new();
    for byte in frame(0x82, &[7; 700]) {
        take(&mut reader, &[byte], &mut events).unwrap();
    }
    let Some(Event::Binary(body)) = events.pop() else { panic!("{events:?}") };
    let kept = body.try_into_mut().unwrap();
    assert_eq!((kept.len(), kept.capacity()), (700, 700));
}
