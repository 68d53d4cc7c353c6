//! Claims about relations between limits that a `const` assertion cannot state.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test that overruns fails, which is what it is for"
)]

use super::{
    FRAME_BYTES_MAX, HELLO_BYTES_MAX, ID_BYTES_MAX, LENGTH_BYTES, Limits, PAYLOAD_BYTES_MAX, TOKEN_BYTES_MAX,
    UNCONFIRMED_BYTES_MAX, WINDOW_MAX,
};
use crate::frame::encoded_bytes;
use crate::wire;
use bytes::Bytes;

fn id_max() -> String {
    "a".repeat(ID_BYTES_MAX)
}

/// Seen to fail when: FRAME_BYTES_MAX is 65,792.
#[test]
fn the_largest_message_fits_a_frame_in_both_directions() {
    let (id, payload) = (id_max(), Bytes::from(vec![7; PAYLOAD_BYTES_MAX]));
    let conversation = format!("d:{id}:{id}");
    let deliver = wire::server_frame::Frame::Deliver(wire::Deliver {
        offset: u64::MAX,
        conversation: conversation.clone(),
        sequence: u64::MAX,
        previous_sequence: u64::MAX,
        sender: id.clone(),
        device: id,
        message_id: Bytes::from(vec![7; 16]),
        server_time: u64::MAX,
        payload: payload.clone(),
    });
    let send = wire::client_frame::Frame::Send(wire::Send {
        request_id: u64::MAX,
        message_id: Bytes::from(vec![7; 16]),
        payload,
        ack_through: Some(u64::MAX),
        target: Some(wire::send::Target::Conversation(conversation)),
    });
    let body_bytes_max = FRAME_BYTES_MAX.saturating_add(LENGTH_BYTES);
    assert!(encoded_bytes(&wire::ServerFrame { frame: Some(deliver) }) <= body_bytes_max);
    assert!(encoded_bytes(&wire::ClientFrame { frame: Some(send) }) <= body_bytes_max);
}

/// Seen to fail when: HELLO_BYTES_MAX is TOKEN_BYTES_MAX.
#[test]
fn a_hello_with_the_largest_token_fits_before_login() {
    let hello = wire::client_frame::Frame::Hello(wire::Hello {
        versions: vec![u32::MAX; 16],
        capabilities: vec!["capability".into(); 32],
        token: "t".repeat(TOKEN_BYTES_MAX),
        resume_offset: Some(u64::MAX),
        window: WINDOW_MAX,
        heartbeat_s: 600,
        instance: u32::MAX,
        attempt: u32::MAX,
    });
    let frame = wire::ClientFrame { frame: Some(hello) };
    assert!(encoded_bytes(&frame) <= HELLO_BYTES_MAX.saturating_add(LENGTH_BYTES));
}

/// Seen to fail when: the default `devices` is 4,000, whose list no frame holds.
#[test]
fn a_list_of_all_devices_fits_a_frame() {
    let device = wire::Device {
        device: id_max(),
        connected: true,
        linked_at: u64::MAX,
        last_seen_at: u64::MAX,
        acked_through: u64::MAX,
    };
    let count = usize::try_from(Limits::default().devices).unwrap();
    let list = wire::DeviceList { request_id: u64::MAX, devices: vec![device; count] };
    let frame = wire::ServerFrame { frame: Some(wire::server_frame::Frame::DeviceList(list)) };
    assert!(encoded_bytes(&frame) <= FRAME_BYTES_MAX.saturating_add(LENGTH_BYTES));
}

/// Seen to fail when: `inbox_envelopes_hard` leaves SHARDS_MAX out.
#[test]
fn the_hard_marks_are_the_soft_ones_plus_what_every_shard_may_hold() {
    let limits = Limits::default();
    assert_eq!(limits.inbox_envelopes_hard(), 10_000 + 64 * 64);
    assert_eq!(limits.inbox_bytes_hard(), (48 << 20) + 64 * (256 << 10));
}

/// Seen to fail when: UNCONFIRMED_BYTES_MAX is 32 KiB.
#[test]
fn the_largest_payload_fits_what_an_owner_holds_for_a_recipient() {
    assert!(u64::try_from(PAYLOAD_BYTES_MAX).unwrap() <= UNCONFIRMED_BYTES_MAX);
}
