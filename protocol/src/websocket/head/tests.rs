//! Heads at every length, and every way in which one is wrong.
#![allow(clippy::indexing_slicing, reason = "a test that overruns fails, which is what it is for")]

use super::{Head, LENGTH_MAX, Opcode, apply_mask};
use crate::websocket::{Role, WebSocketError};

const OPCODES: [Opcode; 6] =
    [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];

/// Proves: G-WS-1 (a head of each kind and length reads back, and needs all of its bytes)
/// Seen to fail when: a length of 126 bytes is written in one byte.
#[test]
fn a_head_reads_back_as_it_was_written_and_not_before_it_is_complete() {
    for opcode in OPCODES {
        for payload_bytes in [0, 1, 125, 126, 127, 128, 65_535, 65_536, LENGTH_MAX] {
            for (reader, mask) in [(Role::Server, Some([1, 2, 3, 4])), (Role::Client, None)] {
                if opcode.is_control() && payload_bytes > 125 {
                    continue;
                }
                let head = Head { fin: true, opcode, mask, payload_bytes };
                let mut bytes = Vec::new();
                head.encode(&mut bytes);
                let end = bytes.len();
                for cut in 0..end {
                    assert_eq!(Head::decode(&bytes[..cut], reader), Ok(None), "{head:?} cut at {cut}");
                }
                bytes.extend_from_slice(b"payload");
                assert_eq!(Head::decode(&bytes, reader), Ok(Some((head, end))));
            }
        }
    }
}

/// Proves: G-WS-1 (what is wrong in a head is refused by the byte that makes it wrong)
/// Seen to fail when: the reserved bits are judged with the second byte, the side of the mask is not compared, a control
/// frame may be fragmented, a control frame may have 126 bytes, or a longer form of a length is taken.
#[test]
fn a_wrong_head_is_refused_by_its_first_wrong_byte() {
    let reserved = [0x10, 0x20, 0x40].into_iter().map(|bit| (vec![0x82 | bit], WebSocketError::ReservedBit));
    let opcodes = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15];
    let opcodes = opcodes.map(|opcode| (vec![0x80 | opcode], WebSocketError::Opcode { opcode }));
    let others = [
        (vec![0x08], WebSocketError::Control),
        (vec![0x09], WebSocketError::Control),
        (vec![0x0a], WebSocketError::Control),
        (vec![0x89, 0xfe], WebSocketError::Control),
        (vec![0x88, 0xff], WebSocketError::Control),
        (vec![0x82, 0x05], WebSocketError::Mask),
        (vec![0x82, 0xfe, 0, 125], WebSocketError::LengthForm),
        (vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], WebSocketError::LengthForm),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], WebSocketError::LengthForm),
    ];
    for (bytes, error) in reserved.chain(opcodes).chain(others) {
        let (_, before) = bytes.split_last().unwrap();
        assert_eq!(Head::decode(before, Role::Server), Ok(None), "{bytes:?} without its last byte");
        assert_eq!(Head::decode(&bytes, Role::Server), Err(error), "{bytes:?}");
    }
    assert_eq!(
        Head::decode(&[0x82, 0x85], Role::Client),
        Err(WebSocketError::Mask),
        "a server masks nothing"
    );
}

/// Seen to fail when: the key is not turned by the offset.
#[test]
fn a_mask_is_the_same_in_one_piece_and_in_many() {
    let plain: Vec<u8> = (0..100).collect();
    let key = [0x11, 0x22, 0x44, 0x88];
    let masked: Vec<u8> = plain.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    for cut in 0..=plain.len() {
        let mut bytes = plain.clone();
        let (first, second) = bytes.split_at_mut(cut);
        apply_mask(first, key, 0);
        apply_mask(second, key, cut);
        assert_eq!(bytes, masked, "in two pieces, cut at {cut}");
    }
}
