//! Claims about reading a Send without the generated code.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test that overruns fails, which is what it is for"
)]

use super::*;
use prost::Message;

fn body(send: wire::Send) -> Vec<u8> {
    wire::ClientFrame { frame: Some(client_frame::Frame::Send(send)) }.encode_to_vec()
}

/// What the encoder writes is read here, not left to the generated code, and says the same.
/// Seen to fail when: `ACK_THROUGH` has another number; or the payload's range begins one byte too late.
#[test]
fn what_is_encoded_is_read() {
    let full = wire::Send {
        request_id: 300,
        target: Some(wire::send::Target::To("bob".to_owned())),
        message_id: Bytes::from_static(&[7; 16]),
        payload: Bytes::from(vec![9; 300]),
        ack_through: Some(0),
    };
    let conversation = Some(wire::send::Target::Conversation("d:alice:bob".to_owned()));
    for send in [wire::Send::default(), wire::Send { target: conversation, ..full.clone() }, full] {
        let body = body(send.clone());
        assert!(read(&body).is_some());
        let expected = ClientFrame::Send(send.into());
        assert_eq!(ClientFrame::copied(&body), Ok(expected.clone()));
        assert_eq!(ClientFrame::shared(body.into()), Ok(expected));
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
