//! What is written reads back.
#![allow(clippy::indexing_slicing, reason = "a test that overruns fails, which is what it is for")]

use super::{encode, reframe};
use crate::websocket::{Event, Opcode, Reader, Role};

const SIZES: [usize; 9] = [1, 2, 125, 126, 127, 1000, 65_535, 65_536, 70_000];

fn read(role: Role, mut bytes: &[u8]) -> Vec<Event> {
    let mut reader = Reader::new(role, true);
    let mut events = Vec::new();
    while let Some(event) = reader.next(&mut bytes, 1 << 20).unwrap() {
        events.push(event);
    }
    assert!(reader.is_idle());
    events
}

/// Proves: G-WS-1 (messages of every length go both ways)
/// Seen to fail when: a client's payload is not masked.
#[test]
fn what_one_side_writes_the_other_reads() {
    for size in SIZES {
        let payload: Vec<u8> = (0..=255).cycle().take(size).collect();
        for (reader, mask) in [(Role::Server, Some([9, 8, 7, 6])), (Role::Client, None)] {
            let mut bytes = b"before".to_vec();
            encode(Opcode::Binary, &payload, mask, &mut bytes);
            assert_eq!(read(reader, &bytes[6..]), [Event::Binary(payload.clone().into())], "{size} bytes");
        }
    }
}

/// Proves: G-WS-3 (a server's frame becomes a message of the same body)
/// Seen to fail when: the prefix is overwritten in place whatever the head's length.
#[test]
fn a_prefixed_frame_becomes_a_message_of_the_same_body() {
    for size in SIZES {
        let body: Vec<u8> = (0..=255).cycle().take(size).collect();
        let mut bytes = Vec::new();
        encode(Opcode::Pong, b"first", None, &mut bytes);
        let start = bytes.len();
        bytes.extend_from_slice(&u32::try_from(size).unwrap().to_be_bytes());
        bytes.extend_from_slice(&body);
        reframe(&mut bytes, start);
        encode(Opcode::Text, b"last", None, &mut bytes);
        let expected = [
            Event::Pong(b"first".as_slice().into()),
            Event::Binary(body.into()),
            Event::Text(b"last".as_slice().into()),
        ];
        assert_eq!(read(Role::Client, &bytes), expected, "{size} bytes");
    }
}
