//! The Accepted that is written without copies is byte for byte the generated one.
use super::{accepted_bytes, encode_accepted, encode_server};
use crate::envelope::{Acceptance, Durability};
use crate::id::{ConversationId, MessageId, UserId};
use crate::time::{Offset, Sequence, Wall};
use crate::wire;
use proptest::prelude::*;

proptest! {
    /// Seen to fail when: `encode_accepted` leaves an offset of zero out, or another field number.
    #[test]
    fn an_accepted_without_copies_has_the_bytes_of_the_generated_one(
        numbers in prop::array::uniform3(prop_oneof![Just(0_u64), 0_u64..300, any::<u64>()]),
        names in prop::array::uniform2("[a-z0-9_.-]{1,64}"),
        tail in any::<[u8; 8]>(),
        place in prop::option::of((prop_oneof![Just(0_u64), any::<u64>()], prop_oneof![Just(0_u64), any::<u64>()])),
        is_synced in any::<bool>(),
    ) {
        let [request_id, sequence, server_time] = numbers;
        let [one, other] = names.map(|name| UserId::parse(&name).unwrap());
        let mut id = [0x70; 16];
        id[8..].copy_from_slice(&tail);
        id[8] = 0x80 | (id[8] & 0x3f);
        let acceptance = Acceptance {
            request_id,
            message_id: MessageId::parse(&id).unwrap(),
            conversation: ConversationId::direct(&one, &other),
            sequence: Sequence(sequence),
            server_time: Wall(server_time),
            durability: if is_synced { Durability::Fsync } else { Durability::Os },
            place: place.map(|(offset, previous)| (Offset(offset), Sequence(previous))),
        };
        let mut expected = Vec::new();
        encode_server(wire::server_frame::Frame::Accepted(acceptance.to_wire()), &mut expected);
        let mut found = Vec::new();
        encode_accepted(&acceptance, &mut found);
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(accepted_bytes(&acceptance), expected.len());
    }
}
