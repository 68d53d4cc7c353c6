//! The borrowed Deliver is byte for byte the generated one.
use super::{deliver_bytes, encode_deliver, encode_server};
use crate::id::{ConversationId, DeviceId, MessageId, UserId};
use crate::time::{Offset, Sequence, Wall};
use crate::{Envelope, wire};
use bytes::Bytes;
use proptest::prelude::*;

proptest! {
    /// Seen to fail when: `put_number` writes zeros, or a field number of `Delivery::encode` is another.
    #[test]
    fn a_borrowed_deliver_has_the_bytes_of_the_generated_one(
        numbers in prop::array::uniform4(prop_oneof![Just(0_u64), 0_u64..300, any::<u64>()]),
        names in prop::array::uniform3("[a-z0-9_.-]{1,64}"),
        tail in any::<[u8; 8]>(),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let [offset, sequence, previous, server_time] = numbers;
        let [sender, other, device] = names;
        let mut id = [0x70; 16];
        id[8..].copy_from_slice(&tail);
        id[8] = 0x80 | (id[8] & 0x3f);
        let sender = UserId::parse(&sender).unwrap();
        let envelope = Envelope {
            conversation: ConversationId::direct(&sender, &UserId::parse(&other).unwrap()),
            sequence: Sequence(sequence),
            sender,
            device: DeviceId::parse(&device).unwrap(),
            message_id: MessageId::parse(&id).unwrap(),
            server_time: Wall(server_time),
            payload: Bytes::from(payload),
        };
        let generated = wire::Deliver {
            offset,
            conversation: envelope.conversation.to_string(),
            sequence,
            previous_sequence: previous,
            sender: envelope.sender.to_string(),
            device: envelope.device.to_string(),
            message_id: Bytes::copy_from_slice(envelope.message_id.as_bytes()),
            server_time,
            payload: envelope.payload.clone(),
        };
        let mut expected = Vec::new();
        encode_server(wire::server_frame::Frame::Deliver(generated), &mut expected);
        let mut found = Vec::new();
        encode_deliver(Offset(offset), Sequence(previous), &envelope, &mut found);
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(deliver_bytes(Offset(offset), Sequence(previous), &envelope), expected.len());
    }
}
