//! Target `websocket`: the first bytes say how the rest is read and cut; the rest is a stream, a request and an answer.
//!
//! Invariants checked
//! - Events, and the error that ends them, are the same wherever the stream is cut.
//! - No message is above the limit, text is UTF-8, and nothing is held after the last whole frame.
//! - What was read is written again so that it reads as the same.
//! - A request or an answer that is judged before its end is judged the same with more bytes behind it.

use iris_protocol::websocket::upgrade::{read_answer, read_request};
use iris_protocol::websocket::write::encode;
use iris_protocol::websocket::{Event, Opcode, Origins, Reader, Role, Rules, WebSocketError};

const LIMIT: usize = 1000;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Judges one input; panics on a broken invariant.
pub(crate) fn check(bytes: &[u8]) {
    let Some((&[flags, cut], stream)) = bytes.split_first_chunk() else { return };
    let role = if flags & 1 == 0 { Role::Server } else { Role::Client };
    let takes_text = flags & 2 == 0;
    let whole = read(role, takes_text, stream.chunks(stream.len().max(1)));
    let pieces = usize::from(cut % 32) + 1;
    assert_eq!(read(role, takes_text, stream.chunks(pieces)), whole, "in pieces of {pieces}");
    for event in &whole.0 {
        judge(event);
    }
    request(stream);
    answer(stream);
}

type Seen = (Vec<Event>, Option<WebSocketError>);

fn read<'a>(role: Role, takes_text: bool, pieces: impl Iterator<Item = &'a [u8]>) -> Seen {
    let mut reader = Reader::new(role, takes_text);
    let mut events = Vec::new();
    let mut error = None;
    for mut piece in pieces {
        loop {
            match reader.next(&mut piece, LIMIT) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(found) => {
                    assert!(error.replace(found).is_none(), "a second error");
                    assert!(reader.is_idle(), "memory after an error");
                }
            }
        }
        assert!(piece.is_empty(), "input is used up before None");
    }
    (events, error)
}

fn judge(event: &Event) {
    let (opcode, payload) = match event {
        Event::Text(text) => {
            assert!(std::str::from_utf8(text).is_ok());
            (Opcode::Text, text)
        }
        Event::Binary(body) => (Opcode::Binary, body),
        Event::Ping(payload) => (Opcode::Ping, payload),
        Event::Pong(payload) => (Opcode::Pong, payload),
        Event::Close(_) => return,
    };
    assert!(payload.len() <= if opcode.is_control() { 125 } else { LIMIT });
    let mut bytes = Vec::new();
    encode(opcode, payload, Some(KEY), &mut bytes);
    let again = read(Role::Server, true, std::iter::once(bytes.as_slice()));
    assert_eq!(again, (vec![event.clone()], None));
}

fn request(bytes: &[u8]) {
    let origins = Origins::parse(["https://chat.example.org"]).expect("an origin");
    let (mut rules, mut last) = (Rules::iris(&origins), None);
    for _ in 0..2 {
        // Some ends of many: each looks at all bytes before it.
        for end in (0..bytes.len()).step_by(bytes.len() / 16 + 1).chain([bytes.len()]) {
            let verdict = read_request(&bytes[..end], &rules);
            if let Ok(Some(upgrade)) = &verdict {
                assert!(upgrade.head_bytes <= end && upgrade.answer.starts_with(b"HTTP/1.1 101 "));
            }
            let is_final = last.as_ref().is_none_or(|last| *last == verdict);
            assert!(is_final, "{last:?} becomes {verdict:?} at {end}");
            if !matches!(verdict, Ok(None)) {
                last = Some(verdict);
            }
        }
        last = None;
        rules = Rules { path: None, subprotocol: None, origins: None };
    }
}

fn answer(bytes: &[u8]) {
    let whole = read_answer(bytes, [7; 16]);
    let more = read_answer(&[bytes, b"\r\nmore"].concat(), [7; 16]);
    if !matches!(whole, Ok(None)) {
        assert_eq!(whole, more, "more bytes change nothing");
    }
}
