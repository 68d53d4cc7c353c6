//! How long the gateway's frames are on the wire, so that the floors move frames of the same length.
//!
//! Invariants
//! - Lengths come from the real encoder and the load's real ids.

use crate::gateway::Credential;
use bytes::Bytes;
use iris_protocol::frame::encoded_bytes;
use iris_protocol::wire::{self, client_frame, server_frame};
use iris_protocol::{ConversationId, Generation, Offset};

/// Lengths on the wire, prefix included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// A Send of the load.
    pub send: usize,
    /// Its Accepted.
    pub accepted: usize,
}

/// The lengths for these users, in the middle of a run.
pub fn sizes(credentials: &[Credential], payload_bytes: usize) -> Sizes {
    let [sender, .., recipient] = credentials else {
        return Sizes { send: payload_bytes, accepted: payload_bytes };
    };
    let message_id = Bytes::from_static(&[7; 16]);
    let send = wire::Send {
        request_id: 1_000,
        target: Some(wire::send::Target::To(recipient.user.as_str().to_owned())),
        message_id: message_id.clone(),
        payload: Bytes::from(vec![0; payload_bytes]),
        ack_through: None,
    };
    let accepted = wire::Accepted {
        request_id: 1_000,
        message_id,
        conversation: ConversationId::direct(&sender.user, &recipient.user).as_str().to_owned(),
        sequence: 1_000,
        server_time: 1_800_000_000_000,
        durability: wire::Durability::Fsync.into(),
        offset: Some(Offset::new(Generation(1), 1_000).0),
        previous_sequence: 999,
    };
    let send = wire::ClientFrame { frame: Some(client_frame::Frame::Send(send)) };
    let accepted = wire::ServerFrame { frame: Some(server_frame::Frame::Accepted(accepted)) };
    Sizes { send: encoded_bytes(&send), accepted: encoded_bytes(&accepted) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iris_protocol::{DeviceId, UserId};

    /// A Send is its payload and some tens of bytes; an Accepted does not depend on the payload.
    /// Seen to fail when: the payload is left out.
    #[test]
    fn lengths_follow_the_payload() {
        let credential = |user: &str| Credential {
            user: UserId::parse(user).unwrap(),
            device: DeviceId::parse("d1").unwrap(),
            token: String::new(),
        };
        let users = [credential("u0"), credential("u1"), credential("u1999")];
        let (small, large) = (sizes(&users, 128), sizes(&users, 1_128));
        assert!((128 + 20..128 + 64).contains(&small.send), "{small:?}");
        assert!((1_000..=1_004).contains(&(large.send - small.send)), "{small:?} {large:?}");
        assert_eq!(small.accepted, large.accepted);
    }
}
