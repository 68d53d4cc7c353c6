//! Claims about lengths, bodies and what is skipped.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test that overruns fails, which is what it is for"
)]

use super::{FrameError, body_length, decode_client, decode_server, encode, encode_client, encoded_bytes};
use crate::code::CloseCode;
use crate::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX, LENGTH_BYTES};
use crate::wire::{self, client_frame, server_frame};
use bytes::Bytes;
use prost::Message;

fn ping() -> client_frame::Frame {
    client_frame::Frame::Ping(wire::Ping { nonce: 7 })
}

fn send(payload: &[u8]) -> client_frame::Frame {
    client_frame::Frame::Send(wire::Send {
        payload: Bytes::copy_from_slice(payload),
        ..wire::Send::default()
    })
}

/// Proves: G-LIMIT-4 (a length is judged before anything is taken for its body)
///
/// `body_length` sees a slice and gives a number: nothing could have been allocated for the body.
/// Seen to fail when: zero is allowed, or `>` becomes `>=`, or the prefix is read little-endian.
#[test]
fn f_51_a_length_of_zero_or_above_the_limit_is_refused_from_its_four_bytes_alone() {
    for limit in [HELLO_BYTES_MAX, FRAME_BYTES_MAX] {
        let limit_u32 = u32::try_from(limit).unwrap();
        for length in [0, limit_u32 + 1, 1 << 31, u32::MAX] {
            let refused = FrameError::Length { bytes: usize::try_from(length).unwrap(), bytes_max: limit };
            assert_eq!(body_length(&length.to_be_bytes(), limit), Err(refused), "{length}");
            assert_eq!(refused.close_code(), CloseCode::FrameTooLarge);
        }
        for length in [1, 2, limit_u32 - 1, limit_u32] {
            let found = body_length(&length.to_be_bytes(), limit);
            assert_eq!(found, Ok(Some(usize::try_from(length).unwrap())), "{length}");
        }
    }
}

/// Proves: G-LIMIT-4 (128 KiB, 4 KiB before login)
/// Seen to fail when: HELLO_BYTES_MAX is 8 KiB.
#[test]
fn f_51_the_limits_of_the_protocol_are_4096_before_and_131072_after_login() {
    let before = body_length(&4097_u32.to_be_bytes(), HELLO_BYTES_MAX);
    let after = body_length(&131_073_u32.to_be_bytes(), FRAME_BYTES_MAX);
    assert_eq!(before, Err(FrameError::Length { bytes: 4097, bytes_max: 4096 }));
    assert_eq!(after, Err(FrameError::Length { bytes: 131_073, bytes_max: 131_072 }));
}

/// Proves: G-LIMIT-4 (also when the prefix arrives in pieces)
/// Seen to fail when: a prefix of which three bytes are in is judged.
#[test]
fn f_51_a_prefix_split_over_reads_is_judged_when_its_fourth_byte_is_in() {
    let mut bytes = Vec::new();
    encode_client(send(b"hello"), &mut bytes);
    let body = bytes.len() - LENGTH_BYTES;
    for taken in 0..=bytes.len() {
        let expected = (taken >= LENGTH_BYTES).then_some(body);
        assert_eq!(body_length(&bytes[..taken], FRAME_BYTES_MAX), Ok(expected), "{taken} bytes read");
    }
}

/// Seen to fail when: `encoded_bytes` leaves the prefix out, or `encode` clears `out`.
#[test]
fn frames_are_appended_one_behind_the_other() {
    let mut bytes = vec![0xee];
    encode_client(ping(), &mut bytes);
    encode_client(send(b"x"), &mut bytes);
    let mut rest = &bytes[1..];
    for frame in [ping(), send(b"x")] {
        let expected = wire::ClientFrame { frame: Some(frame) };
        let length = body_length(rest, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(length + LENGTH_BYTES, encoded_bytes(&expected));
        let (body, behind) = rest[LENGTH_BYTES..].split_at(length);
        assert_eq!(decode_client(Bytes::copy_from_slice(body)), Ok(expected));
        rest = behind;
    }
    assert_eq!(rest, b"");
}

/// Seen to fail when: the assert on the length is dropped.
#[test]
#[should_panic(expected = "an empty frame")]
fn a_frame_without_a_kind_is_our_own_mistake() {
    encode(&wire::ClientFrame { frame: None }, &mut Vec::new());
}

/// Seen to fail when: `decode_client` copies the payload.
#[test]
fn a_payload_shares_the_memory_of_its_body() {
    let mut bytes = Vec::new();
    encode_client(send(&[9; 300]), &mut bytes);
    let body = Bytes::from(bytes).slice(LENGTH_BYTES..);
    let Some(client_frame::Frame::Send(send)) = decode_client(body.clone()).unwrap().frame else {
        panic!("a Send was encoded");
    };
    assert_eq!(send.payload, [9; 300].as_slice());
    assert!(body.as_ptr_range().contains(&send.payload.as_ptr()));
}

/// Proves: G-WIRE-1 (an unknown frame is told from a malformed one)
/// Seen to fail when: no frame is taken as an error.
#[test]
fn f_52_a_frame_of_an_unknown_kind_is_no_frame_and_no_error() {
    for field in [9_u8, 15] {
        let body = Bytes::from(vec![field << 3 | 2, 3, 0x08, 0x01, 0x00]);
        assert_eq!(decode_client(body).unwrap().frame, None, "{field}");
    }
    let later_kinds: [&[u8]; 3] = [&[13 << 3 | 2, 0], &[0xfa, 0x01, 0x00], &[0x80, 0x7d, 0x05]];
    for body in later_kinds {
        assert_eq!(decode_server(Bytes::from_static(body)).unwrap().frame, None, "{body:?}");
    }
}

/// Proves: G-WIRE-1 (unknown fields are ignored)
/// Seen to fail when: a body that is longer than what was understood of it is refused.
#[test]
fn f_71_fields_of_a_later_version_are_skipped() {
    let unknown_fields: [&[u8]; 4] = [
        &[15 << 3, 0x96, 0x01],                 // a varint
        &[15 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8], // 64 bits
        &[15 << 3 | 2, 2, 0xff, 0xfe],          // bytes
        &[15 << 3 | 5, 1, 2, 3, 4],             // 32 bits
    ];
    for unknown in unknown_fields {
        let mut inner = unknown.to_vec();
        inner.extend([0x08, 7]);
        inner.extend(unknown);
        let mut body = vec![7 << 3 | 2, u8::try_from(inner.len()).unwrap()];
        body.extend(inner);
        body.extend([0x80, 0x7d, 0x05]);
        assert_eq!(decode_client(Bytes::from(body)).unwrap().frame, Some(ping()), "{unknown:?}");
    }
}

/// Proves: G-LIMIT-4 (foreign protocols and broken lengths are a typed error)
/// Seen to fail when: an error of the decoder is taken as an unknown kind.
#[test]
fn f_52_bytes_that_are_no_protobuf_are_malformed() {
    let bodies: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\nHost: iris\r\n\r\n",
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01], // the beginning of a TLS handshake
        &[0x00, 0x00],                         // field 0
        &[0x3a, 0x05, 0x08, 0x07],             // a Ping shorter than it says
        &[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f], // a Ping of 4 GiB
        &[0x38, 0x01],                         // a Ping as a varint
        &[0x0c],                               // the end of a group that never began
        &[0xff; 16],
    ];
    for body in bodies {
        assert_eq!(decode_client(Bytes::from_static(body)), Err(FrameError::Malformed), "{body:?}");
        assert_eq!(FrameError::Malformed.close_code(), CloseCode::MalformedFrame);
    }
    assert_eq!(decode_server(Bytes::from_static(&[0x22, 0x01])), Err(FrameError::Malformed));
}

/// Proves: G-LIMIT-4 (nesting does not exhaust the stack)
/// Seen to fail when: an error of the decoder is taken as an unknown kind.
#[test]
fn f_52_groups_nested_without_end_are_malformed() {
    let body = vec![0x7b; FRAME_BYTES_MAX];
    assert_eq!(decode_client(Bytes::from(body)), Err(FrameError::Malformed));
}

fn hello_with_token(token: &[u8]) -> Bytes {
    let mut hello = vec![3 << 3 | 2, u8::try_from(token.len()).unwrap()];
    hello.extend(token);
    let mut body = vec![1 << 3 | 2, u8::try_from(hello.len()).unwrap()];
    body.extend(hello);
    Bytes::from(body)
}

/// Seen to fail when: a short body that cannot be decoded is taken as an empty frame.
#[test]
fn f_54_text_that_is_not_utf_8_is_malformed() {
    let texts: [&[u8]; 6] = [
        &[0xed, 0xa0, 0x80], // a lone surrogate, U+D800
        &[0xed, 0xbf, 0xbf], // a lone surrogate, U+DFFF
        &[0xc0, 0x80],       // NUL in two bytes
        &[0xff],
        &[0xf5, 0x80, 0x80, 0x80], // above U+10FFFF
        &[0xe2, 0x82],             // cut
    ];
    for text in texts {
        assert_eq!(decode_client(hello_with_token(text)), Err(FrameError::Malformed), "{text:?}");
    }
    for text in ["a\0b", "\u{202e}שלום", "😀", "\u{10ffff}"] {
        let frame = decode_client(hello_with_token(text.as_bytes())).unwrap().frame;
        let Some(client_frame::Frame::Hello(hello)) = frame else { panic!("a Hello was encoded") };
        assert_eq!(hello.token, text);
    }
}

/// Seen to fail when: `decode_client` makes the payload valid UTF-8.
#[test]
fn f_54_a_payload_is_byte_exact_whatever_it_holds() {
    let all_bytes: Vec<u8> = (0..=255).collect();
    for payload in [b"\0".as_slice(), b"\xed\xa0\x80", "\u{202e}😀".as_bytes(), &all_bytes, b""] {
        let mut bytes = Vec::new();
        encode_client(send(payload), &mut bytes);
        let body = Bytes::from(bytes).slice(LENGTH_BYTES..);
        assert_eq!(decode_client(body).unwrap().frame, Some(send(payload)));
    }
}

/// The last one wins, as protobuf says; a server need not guard against it.
///
/// Seen to fail when: the expected frame is the first one; it pins what the decoder does.
#[test]
fn of_two_kinds_in_one_frame_the_last_counts() {
    let body = Bytes::from_static(&[3 << 3 | 2, 2, 0x08, 0x01, 7 << 3 | 2, 2, 0x08, 0x07]);
    assert_eq!(decode_client(body).unwrap().frame, Some(ping()));
}

/// Seen to fail when: `resume_offset` loses its `optional`: it does not compile.
#[test]
fn an_absent_resume_offset_differs_from_zero() {
    let hello = |resume_offset| wire::Hello { resume_offset, ..wire::Hello::default() };
    let (absent, zero) = (hello(None).encode_to_vec(), hello(Some(0)).encode_to_vec());
    assert_eq!(wire::Hello::decode(absent.as_slice()).unwrap().resume_offset, None);
    assert_eq!(wire::Hello::decode(zero.as_slice()).unwrap().resume_offset, Some(0));
}

/// Seen to fail when: the .proto drops `optional` of `Accepted.offset`: it does not compile.
#[test]
fn an_accepted_without_an_offset_differs_from_one_at_zero() {
    let frame =
        |offset| server_frame::Frame::Accepted(wire::Accepted { offset, ..wire::Accepted::default() });
    let encoded = |offset| wire::ServerFrame { frame: Some(frame(offset)) }.encode_to_vec();
    assert_ne!(encoded(None), encoded(Some(0)));
}
