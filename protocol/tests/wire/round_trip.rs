//! Round trips of every frame with arbitrary field values.

use bytes::Bytes;
use iris_protocol::frame::{body_length, decode_client, decode_server, encode, encoded_bytes};
use iris_protocol::limits::LENGTH_BYTES;
use iris_protocol::wire::{self, client_frame, server_frame};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,24}|[a-zA-Z0-9_.-]{1,64}"
}

fn blob() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn target() -> impl Strategy<Value = wire::send::Target> {
    prop_oneof![text().prop_map(wire::send::Target::Conversation), text().prop_map(wire::send::Target::To),]
}

fn hello() -> impl Strategy<Value = wire::Hello> {
    let lists = (vec(any::<u32>(), 0..5), vec(text(), 0..5));
    (lists, text(), any::<Option<u64>>(), any::<[u32; 4]>()).prop_map(
        |((versions, capabilities), token, resume_offset, [window, heartbeat_s, instance, attempt])| {
            wire::Hello {
                versions,
                capabilities,
                token,
                resume_offset,
                window,
                heartbeat_s,
                instance,
                attempt,
            }
        },
    )
}

pub(crate) fn send() -> impl Strategy<Value = wire::Send> {
    (any::<u64>(), option::of(target()), blob(), blob(), any::<Option<u64>>()).prop_map(
        |(request_id, target, message_id, payload, ack_through)| wire::Send {
            request_id,
            target,
            message_id,
            payload,
            ack_through,
        },
    )
}

fn client_frame() -> impl Strategy<Value = client_frame::Frame> {
    use client_frame::Frame;
    prop_oneof![
        hello().prop_map(Frame::Hello),
        send().prop_map(Frame::Send),
        any::<u64>().prop_map(|through_offset| Frame::Ack(wire::Ack { through_offset })),
        (any::<u64>(), text())
            .prop_map(|(request_id, token)| Frame::Refresh(wire::Refresh { request_id, token })),
        any::<u64>().prop_map(|request_id| Frame::Devices(wire::Devices { request_id })),
        (any::<u64>(), text())
            .prop_map(|(request_id, device)| Frame::Unlink(wire::Unlink { request_id, device })),
        any::<u64>().prop_map(|nonce| Frame::Ping(wire::Ping { nonce })),
        any::<u64>().prop_map(|nonce| Frame::Pong(wire::Pong { nonce })),
    ]
}

fn limits() -> impl Strategy<Value = wire::Limits> {
    any::<[u32; 5]>().prop_map(
        |[payload_bytes_max, frame_bytes_max, devices_max, sends_per_second, sends_burst]| wire::Limits {
            payload_bytes_max,
            frame_bytes_max,
            devices_max,
            sends_per_second,
            sends_burst,
        },
    )
}

fn welcome() -> impl Strategy<Value = wire::Welcome> {
    let numbers = (any::<[u64; 3]>(), any::<[u32; 4]>(), any::<bool>(), any::<i32>());
    (numbers, vec(text(), 0..4), blob(), option::of(limits())).prop_map(
        |((longs, ints, linked_now, durability), capabilities, incarnation, limits)| {
            let [server_time, resumed_at, end_offset] = longs;
            let [version, window, send_window, heartbeat_s] = ints;
            wire::Welcome {
                version,
                capabilities,
                server_time,
                incarnation,
                resumed_at,
                linked_now,
                end_offset,
                window,
                send_window,
                heartbeat_s,
                limits,
                durability,
            }
        },
    )
}

fn accepted() -> impl Strategy<Value = wire::Accepted> {
    (any::<[u64; 4]>(), any::<Option<u64>>(), any::<i32>(), text(), blob()).prop_map(
        |(
            [request_id, sequence, server_time, previous_sequence],
            offset,
            durability,
            conversation,
            message_id,
        )| {
            wire::Accepted {
                request_id,
                message_id,
                conversation,
                sequence,
                server_time,
                durability,
                offset,
                previous_sequence,
            }
        },
    )
}

fn rejected() -> impl Strategy<Value = wire::Rejected> {
    (any::<[u64; 2]>(), option::of(blob()), any::<u32>(), any::<Option<u32>>()).prop_map(
        |([request_id, server_time], message_id, code, retry_after_ms)| wire::Rejected {
            request_id,
            message_id,
            code,
            retry_after_ms,
            server_time,
        },
    )
}

fn deliver() -> impl Strategy<Value = wire::Deliver> {
    (any::<[u64; 4]>(), [text(), text(), text()], blob(), blob()).prop_map(
        |([offset, sequence, previous_sequence, server_time], texts, message_id, payload)| {
            let [conversation, sender, device] = texts;
            wire::Deliver {
                offset,
                conversation,
                sequence,
                previous_sequence,
                sender,
                device,
                message_id,
                server_time,
                payload,
            }
        },
    )
}

fn gap() -> impl Strategy<Value = wire::Gap> {
    (any::<[u64; 3]>(), text(), any::<i32>()).prop_map(
        |([offset, from_sequence, through_sequence], conversation, reason)| wire::Gap {
            offset,
            conversation,
            from_sequence,
            through_sequence,
            reason,
        },
    )
}

fn device() -> impl Strategy<Value = wire::Device> {
    (text(), any::<bool>(), any::<[u64; 3]>()).prop_map(
        |(device, connected, [linked_at, last_seen_at, acked_through])| wire::Device {
            device,
            connected,
            linked_at,
            last_seen_at,
            acked_through,
        },
    )
}

fn ending() -> impl Strategy<Value = server_frame::Frame> {
    use server_frame::Frame;
    prop_oneof![
        any::<[u32; 3]>().prop_map(|[reason, reconnect_after_ms, close_after_ms]| {
            Frame::GoAway(wire::GoAway { reason, reconnect_after_ms, close_after_ms })
        }),
        (any::<u32>(), text(), any::<Option<u32>>()).prop_map(|(code, message, retry_after_ms)| {
            Frame::Close(wire::Close { code, message, retry_after_ms })
        }),
    ]
}

fn server_frame() -> impl Strategy<Value = server_frame::Frame> {
    use server_frame::Frame;
    prop_oneof![
        welcome().prop_map(Frame::Welcome),
        accepted().prop_map(Frame::Accepted),
        rejected().prop_map(Frame::Rejected),
        deliver().prop_map(Frame::Deliver),
        gap().prop_map(Frame::Gap),
        any::<[u64; 2]>().prop_map(|[request_id, expires_at]| {
            Frame::Refreshed(wire::Refreshed { request_id, expires_at })
        }),
        any::<u64>().prop_map(|nonce| Frame::Pong(wire::Pong { nonce })),
        ending(),
        (any::<u64>(), vec(device(), 0..9)).prop_map(|(request_id, devices)| {
            Frame::DeviceList(wire::DeviceList { request_id, devices })
        }),
        (any::<u64>(), text())
            .prop_map(|(request_id, device)| { Frame::Unlinked(wire::Unlinked { request_id, device }) }),
        any::<u64>().prop_map(|nonce| Frame::Ping(wire::Ping { nonce })),
    ]
}

/// Encodes, checks the prefix against `encoded_bytes`, and gives the body.
fn body(frame: &impl prost::Message) -> Bytes {
    let mut bytes = Vec::new();
    encode(frame, &mut bytes);
    assert_eq!(bytes.len(), encoded_bytes(frame));
    assert_eq!(body_length(&bytes, usize::MAX).unwrap(), Some(bytes.len() - LENGTH_BYTES));
    Bytes::from(bytes).slice(LENGTH_BYTES..)
}

proptest! {
    /// Seen to fail when: `decode_client` sets `ack_through` to `Some(0)` where it is absent.
    #[test]
    fn every_client_frame_survives_the_wire(frame in client_frame()) {
        let frame = wire::ClientFrame { frame: Some(frame) };
        prop_assert_eq!(decode_client(body(&frame)).unwrap(), frame);
    }

    /// Seen to fail when: `decode_server` drops the payload of a Deliver.
    #[test]
    fn every_server_frame_survives_the_wire(frame in server_frame()) {
        let frame = wire::ServerFrame { frame: Some(frame) };
        prop_assert_eq!(decode_server(body(&frame)).unwrap(), frame);
    }

    /// Seen to fail when: `body_length` judges a prefix of which three bytes are in, or `encode` clears `out`.
    #[test]
    fn frames_cut_at_any_byte_are_put_together_again(
        frames in vec(client_frame(), 1..6),
        cuts in vec(1_usize..64, 1..40),
    ) {
        let frames: Vec<_> = frames.into_iter().map(|frame| wire::ClientFrame { frame: Some(frame) }).collect();
        let mut stream = Vec::new();
        for frame in &frames {
            encode(frame, &mut stream);
        }
        let (mut buffer, mut decoded, mut sizes) = (Vec::new(), Vec::new(), cuts.iter().cycle());
        while !stream.is_empty() {
            let size = stream.len().min(*sizes.next().unwrap());
            buffer.extend(stream.drain(..size));
            while let Some(length) = body_length(&buffer, usize::MAX).unwrap() {
                let end = length + LENGTH_BYTES;
                if buffer.len() < end {
                    break;
                }
                let frame: Vec<u8> = buffer.drain(..end).collect();
                decoded.push(decode_client(Bytes::from(frame).slice(LENGTH_BYTES..)).unwrap());
            }
        }
        prop_assert_eq!(decoded, frames);
    }
}
