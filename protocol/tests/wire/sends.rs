//! A Send as the gateway reads it, beside the generated code.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test that overruns fails, which is what it is for"
)]

use crate::round_trip::send;
use iris_protocol::frame::{ClientFrame, decode_client};
use iris_protocol::wire::{self, client_frame};
use proptest::prelude::*;
use prost::Message;

fn body(send: wire::Send) -> Vec<u8> {
    wire::ClientFrame { frame: Some(client_frame::Frame::Send(send)) }.encode_to_vec()
}

proptest! {
    /// Whatever stands in a body, both readers say the same: cut, with a byte changed, put in, or with a second body behind it.
    /// Seen to fail when: text need not be UTF-8; or what is behind the Send is skipped.
    #[test]
    fn whatever_comes_is_read_as_the_generated_code_does(
        first in send(),
        second in send(),
        cut in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        text in proptest::collection::vec(any::<u8>(), 0..4),
        how in 0_u8..5,
    ) {
        let mut body = self::body(first.clone());
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
