//! One example of every frame, with every field set to a value of its own: what the golden files pin.

use bytes::Bytes;
use iris_protocol::wire::{self, client_frame, server_frame};

/// 0192f0c1-2345-7abc-8def-0123456789ab, minted 1730616042309 ms after 1970.
pub(crate) const MESSAGE_ID: [u8; 16] =
    [0x01, 0x92, 0xf0, 0xc1, 0x23, 0x45, 0x7a, 0xbc, 0x8d, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab];

/// Generation 3, number 7.
const OFFSET: u64 = 3 << 33 | 7;

fn message_id() -> Bytes {
    Bytes::from_static(&MESSAGE_ID)
}

/// The name of a client frame's kind, as the .proto spells it.
pub(crate) fn client_kind(frame: &client_frame::Frame) -> &'static str {
    match frame {
        client_frame::Frame::Hello(_) => "hello",
        client_frame::Frame::Send(_) => "send",
        client_frame::Frame::Ack(_) => "ack",
        client_frame::Frame::Refresh(_) => "refresh",
        client_frame::Frame::Devices(_) => "devices",
        client_frame::Frame::Unlink(_) => "unlink",
        client_frame::Frame::Ping(_) => "ping",
        client_frame::Frame::Pong(_) => "pong",
    }
}

/// The name of a server frame's kind, as the .proto spells it.
pub(crate) fn server_kind(frame: &server_frame::Frame) -> &'static str {
    match frame {
        server_frame::Frame::Welcome(_) => "welcome",
        server_frame::Frame::Accepted(_) => "accepted",
        server_frame::Frame::Rejected(_) => "rejected",
        server_frame::Frame::Deliver(_) => "deliver",
        server_frame::Frame::Gap(_) => "gap",
        server_frame::Frame::Refreshed(_) => "refreshed",
        server_frame::Frame::Pong(_) => "pong",
        server_frame::Frame::GoAway(_) => "go_away",
        server_frame::Frame::Close(_) => "close",
        server_frame::Frame::DeviceList(_) => "device_list",
        server_frame::Frame::Unlinked(_) => "unlinked",
        server_frame::Frame::Ping(_) => "ping",
    }
}

fn send_to_a_conversation() -> wire::Send {
    wire::Send {
        request_id: 2,
        target: Some(wire::send::Target::Conversation("d:alice:bob".into())),
        message_id: message_id(),
        payload: Bytes::from_static(b"\x00\xff hello \xed\xa0\x80"),
        ack_through: Some(OFFSET),
    }
}

fn send_to_a_user() -> wire::Send {
    wire::Send {
        request_id: 1,
        target: Some(wire::send::Target::To("bob".into())),
        message_id: message_id(),
        payload: Bytes::from_static(b"hello"),
        ack_through: None,
    }
}

/// Every client frame with its file name.
pub(crate) fn client() -> Vec<(String, wire::ClientFrame)> {
    use client_frame::Frame;
    let hello = wire::Hello {
        versions: vec![1, 300],
        capabilities: vec!["receipts".into(), "typing".into()],
        token: "eyJhbGciOiJFZERTQSJ9.e30.c2ln".into(),
        resume_offset: Some(OFFSET),
        window: 256,
        heartbeat_s: 600,
        instance: 4_000_000_001,
        attempt: 7,
    };
    let frames = [
        ("", Frame::Hello(hello)),
        ("_conversation", Frame::Send(send_to_a_conversation())),
        ("_to", Frame::Send(send_to_a_user())),
        ("", Frame::Ack(wire::Ack { through_offset: OFFSET })),
        ("", Frame::Refresh(wire::Refresh { request_id: 3, token: "eyJ.e30.c2ln".into() })),
        ("", Frame::Devices(wire::Devices { request_id: 4 })),
        ("", Frame::Unlink(wire::Unlink { request_id: 5, device: "phone-1".into() })),
        ("", Frame::Ping(wire::Ping { nonce: 42 })),
        ("", Frame::Pong(wire::Pong { nonce: 43 })),
    ];
    let named = |(suffix, frame): (&str, Frame)| {
        let name = format!("client_{}{suffix}", client_kind(&frame));
        (name, wire::ClientFrame { frame: Some(frame) })
    };
    frames.into_iter().map(named).collect()
}

fn welcome() -> wire::Welcome {
    wire::Welcome {
        version: 1,
        capabilities: vec!["receipts".into()],
        server_time: 1_730_626_855_800,
        incarnation: Bytes::from_static(&[0xa5; 16]),
        resumed_at: OFFSET,
        linked_now: true,
        end_offset: OFFSET + 9,
        window: 256,
        send_window: 100,
        heartbeat_s: 60,
        limits: Some(wire::Limits {
            payload_bytes_max: 65_536,
            frame_bytes_max: 131_072,
            devices_max: 8,
            sends_per_second: 20,
            sends_burst: 100,
        }),
        durability: wire::Durability::Fsync.into(),
    }
}

fn accepted() -> wire::Accepted {
    wire::Accepted {
        request_id: 1,
        message_id: message_id(),
        conversation: "d:alice:bob".into(),
        sequence: 6,
        server_time: 1_730_626_855_810,
        durability: wire::Durability::Os.into(),
        offset: Some(OFFSET + 1),
        previous_sequence: 5,
    }
}

fn rejected() -> wire::Rejected {
    wire::Rejected {
        request_id: 2,
        message_id: Some(message_id()),
        code: 2,
        retry_after_ms: Some(1500),
        server_time: 1_730_626_855_820,
    }
}

fn deliver() -> wire::Deliver {
    wire::Deliver {
        offset: OFFSET + 2,
        conversation: "d:alice:bob".into(),
        sequence: 7,
        previous_sequence: 6,
        sender: "bob".into(),
        device: "phone-1".into(),
        message_id: message_id(),
        server_time: 1_730_626_855_830,
        payload: Bytes::from_static(b"\x00\xff hello \xed\xa0\x80"),
    }
}

fn gap() -> wire::Gap {
    wire::Gap {
        offset: OFFSET + 3,
        conversation: "d:alice:bob".into(),
        from_sequence: 8,
        through_sequence: 11,
        reason: wire::GapReason::Expired.into(),
    }
}

fn device_list() -> wire::DeviceList {
    let device = wire::Device {
        device: "phone-1".into(),
        connected: true,
        linked_at: 1_730_000_000_000,
        last_seen_at: 1_730_626_855_000,
        acked_through: OFFSET,
    };
    wire::DeviceList { request_id: 4, devices: vec![device.clone(), device] }
}

/// Every server frame with its file name.
pub(crate) fn server() -> Vec<(String, wire::ServerFrame)> {
    use server_frame::Frame;
    let close = wire::Close { code: 117, message: "overloaded".into(), retry_after_ms: Some(30_000) };
    let frames = [
        Frame::Welcome(welcome()),
        Frame::Accepted(accepted()),
        Frame::Rejected(rejected()),
        Frame::Deliver(deliver()),
        Frame::Gap(gap()),
        Frame::Refreshed(wire::Refreshed { request_id: 3, expires_at: 1_730_713_255_000 }),
        Frame::Pong(wire::Pong { nonce: 42 }),
        Frame::GoAway(wire::GoAway { reason: 113, reconnect_after_ms: 4000, close_after_ms: 9000 }),
        Frame::Close(close),
        Frame::DeviceList(device_list()),
        Frame::Unlinked(wire::Unlinked { request_id: 5, device: "phone-1".into() }),
        Frame::Ping(wire::Ping { nonce: 43 }),
    ];
    let named =
        |frame: Frame| (format!("server_{}", server_kind(&frame)), wire::ServerFrame { frame: Some(frame) });
    frames.into_iter().map(named).collect()
}
