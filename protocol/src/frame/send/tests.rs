//! Claims about reading a Send without the generated code.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test that overruns fails, which is what it is for"
)]

use super::*;
use proptest::prelude::*;
use prost::Message;

fn body(send: wire::Send) -> Vec<u8> {
    wire::ClientFrame { frame: Some(client_frame::Frame::Send(send)) }.encode_to_vec()
}

fn sends() -> impl Strategy<Value = wire::Send> {
    let target = prop_oneof![
        Just(None),
        "[a-z:é]{0,40}".prop_map(|text| Some(wire::send::Target::To(text))),
        "[a-z:é]{0,40}".prop_map(|text| Some(wire::send::Target::Conversation(text))),
    ];
    let bytes = |max: usize| proptest::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from);
    (any::<u64>(), target, bytes(20), bytes(300), any::<Option<u64>>()).prop_map(
        |(request_id, target, message_id, payload, ack_through)| wire::Send {
            request_id,
            target,
            message_id,
            payload,
            ack_through,
        },
    )
}

proptest! {
    /// Every Send that the encoder writes is read here, and is what the generated code reads.
    /// Seen to fail when: `ACK_THROUGH` has another number; or the payload's range begins one byte too late.
    #[test]
    fn what_is_encoded_is_read(send in sends()) {
        let body = body(send.clone());
        prop_assert!(read(&body).is_some());
        let expected = ClientFrame::Send(send.into());
        prop_assert_eq!(ClientFrame::copied(&body), Ok(expected.clone()));
        prop_assert_eq!(ClientFrame::shared(body.into()), Ok(expected));
    }

    /// Whatever stands in a body, both readers say the same: cut, with a byte changed, put in, or with a second body behind it.
    /// Seen to fail when: text need not be UTF-8; or what is behind the Send is skipped.
    #[test]
    fn whatever_comes_is_read_as_the_generated_code_does(
        first in sends(),
        second in sends(),
        cut in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        text in proptest::collection::vec(any::<u8>(), 0..4),
        how in 0_u8..5,
    ) {
        let mut body = body(first.clone());
        let at = cut.index(body.len() + 1);
        match how {
            0 => body.truncate(at),
            1 => body.insert(at, byte),
            2 => {
                let last = body.len() - 1;
                body[at.min(last)] = byte;
            }
            3 => body.extend(self::body(second)),
            // Fields of a second Send inside the first, and text that may be none.
            _ => {
                let mut inside = first.encode_to_vec();
                inside.extend(second.encode_to_vec());
                prost::encoding::bytes::encode(3, &text, &mut inside);
                body.clear();
                prost::encoding::bytes::encode(2, &inside, &mut body);
            }
        }
        let expected = decode_client(&body[..]).map(ClientFrame::from);
        prop_assert_eq!(ClientFrame::copied(&body), expected.clone());
        prop_assert_eq!(ClientFrame::shared(body.into()), expected);
    }
}

/// An id with more bytes than an id has is none, and its first ones are told.
/// Seen to fail when: its length is not looked at.
#[test]
fn a_longer_id_is_none() {
    let mut shown = [7; 17];
    (shown[6], shown[8]) = (0x70, 0x80);
    assert!(ShownId::new(&shown[..16]).parse().is_ok());
    assert!(ShownId::new(&shown).parse().is_err());
    assert_eq!(ShownId::new(&shown).first_bytes(), &shown[..16]);
    assert_eq!(ShownId::new(&shown[..3]).first_bytes(), &shown[..3]);
}

/// A payload that is shared is a part of its body.
/// Seen to fail when: `shared` copies it.
#[test]
fn a_shared_payload_is_a_part_of_its_body() {
    let body = Bytes::from(body(wire::Send { payload: vec![9; 300].into(), ..wire::Send::default() }));
    let Ok(ClientFrame::Send(send)) = ClientFrame::shared(body.clone()) else { panic!("a Send was encoded") };
    assert!(body.as_ptr_range().contains(&send.payload.as_ptr()));
}
