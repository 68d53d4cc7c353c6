//! The body of the fuzz target `frame`, on bytes from proptest: what runs where cargo-fuzz is missing.

#[path = "../../../fuzz/src/frame.rs"]
mod frame;

use crate::samples;
use iris_protocol::frame::encode;
use proptest::collection::vec;
use proptest::prelude::*;

/// A valid frame, so that a few changed bytes reach deep into the decoder.
fn sample() -> impl Strategy<Value = Vec<u8>> {
    let mut all = Vec::new();
    for (_, frame) in samples::client() {
        let mut bytes = Vec::new();
        encode(&frame, &mut bytes);
        all.push(bytes);
    }
    for (_, frame) in samples::server() {
        let mut bytes = Vec::new();
        encode(&frame, &mut bytes);
        all.push(bytes);
    }
    proptest::sample::select(all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Proves: G-LIMIT-4 (no bytes make the codec panic)
    /// Seen to fail when: `decode_client` unwraps.
    #[test]
    fn f_52_arbitrary_bytes_are_a_frame_or_a_typed_error(bytes in vec(any::<u8>(), 0..600)) {
        frame::check(&bytes);
    }

    /// Proves: G-LIMIT-4 (no bytes near a valid frame make the codec panic)
    /// Seen to fail when: `decode_server` unwraps, or `body_length` lets zero pass.
    #[test]
    fn f_52_a_frame_with_changed_bytes_is_a_frame_or_a_typed_error(
        mut bytes in sample(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in option_of_index(),
    ) {
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        frame::check(&bytes);
    }
}

fn option_of_index() -> impl Strategy<Value = Option<prop::sample::Index>> {
    proptest::option::weighted(0.2, any::<prop::sample::Index>())
}
