//! Target `frame`: arbitrary bytes as the prefix and as the body of both kinds of frame.
//!
//! Invariants checked
//! - A length is refused exactly if it is zero or above the limit.
//! - Decoding never panics: it gives a frame, no frame (an unknown kind), or a typed error.
//! - The gateway's own reader of a Send says what the generated code says.
//! - What was decoded encodes again, to bytes that decode to the same and encode to the same.

use bytes::Bytes;
use iris_protocol::frame::{ClientFrame, body_length, decode_client, decode_server, encode};
use iris_protocol::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX, LENGTH_BYTES};
use prost::Message;

/// Judges one input; panics on a broken invariant.
pub(crate) fn check(bytes: &[u8]) {
    for limit in [HELLO_BYTES_MAX, FRAME_BYTES_MAX] {
        lengths(bytes, limit);
    }
    for start in [0, LENGTH_BYTES] {
        let body = Bytes::copy_from_slice(bytes.get(start..).unwrap_or_default());
        let read = decode_client(body.clone());
        assert_eq!(ClientFrame::copied(&body), read.clone().map(ClientFrame::from));
        assert_eq!(ClientFrame::shared(body.clone()), read.clone().map(ClientFrame::from));
        if let Ok(frame) = read {
            let again = |body| decode_client(body).expect("what we encoded is a frame");
            assert!(frame.frame.is_none() || stable(&frame, again), "{frame:?}");
        }
        if let Ok(frame) = decode_server(body) {
            let again = |body| decode_server(body).expect("what we encoded is a frame");
            assert!(frame.frame.is_none() || stable(&frame, again), "{frame:?}");
        }
    }
}

fn lengths(bytes: &[u8], limit: usize) {
    let found = body_length(bytes, limit);
    let Some(prefix) = bytes.first_chunk::<LENGTH_BYTES>() else {
        assert_eq!(found, Ok(None), "a prefix is judged when it is complete");
        return;
    };
    let length = u64::from(u32::from_be_bytes(*prefix));
    let allowed = length > 0 && length <= u64::try_from(limit).expect("a limit fits 64 bits");
    assert_eq!(found.is_ok(), allowed, "length {length} against {limit}");
    assert!(!matches!(found, Ok(None)), "four bytes are a complete prefix");
}

/// True if encoding and decoding lead back to the same frame, and encoding that to the same bytes.
fn stable<F: Message + PartialEq>(frame: &F, decode: impl Fn(Bytes) -> F) -> bool {
    let mut first = Vec::new();
    encode(frame, &mut first);
    let back = decode(Bytes::from(first.clone()).slice(LENGTH_BYTES..));
    let mut second = Vec::new();
    encode(&back, &mut second);
    back == *frame && first == second
}
