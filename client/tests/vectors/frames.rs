//! Frames as the vectors write them.

use iris_protocol::wire::{self, client_frame, server_frame};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Reads the fields of one object, and complains about one that is left over.
struct Fields<'a> {
    object: &'a Map<String, Value>,
    read: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn of(value: &'a Value) -> Self {
        Self { object: value.as_object().unwrap(), read: Vec::new() }
    }

    fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.read.push(name);
        self.object.get(name)
    }

    fn maybe_u64(&mut self, name: &'static str) -> Option<u64> {
        self.get(name).map(|value| value.as_u64().unwrap())
    }

    fn u64(&mut self, name: &'static str) -> u64 {
        self.maybe_u64(name).unwrap_or(0)
    }

    fn maybe_u32(&mut self, name: &'static str) -> Option<u32> {
        self.maybe_u64(name).map(|number| u32::try_from(number).unwrap())
    }

    fn u32(&mut self, name: &'static str) -> u32 {
        self.maybe_u32(name).unwrap_or(0)
    }

    fn bool(&mut self, name: &'static str) -> bool {
        self.get(name).is_some_and(|value| value.as_bool().unwrap())
    }

    fn text(&mut self, name: &'static str) -> String {
        self.get(name).map_or_else(String::new, |value| value.as_str().unwrap().to_owned())
    }

    fn maybe_bytes(&mut self, name: &'static str) -> Option<bytes::Bytes> {
        self.get(name).map(|value| from_hex(value.as_str().unwrap()).into())
    }

    fn bytes(&mut self, name: &'static str) -> bytes::Bytes {
        self.maybe_bytes(name).unwrap_or_default()
    }

    fn end(self) {
        let left: Vec<&String> =
            self.object.keys().filter(|key| !self.read.contains(&key.as_str())).collect();
        assert!(left.is_empty(), "unknown fields {left:?}");
    }
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|digit| *digit != '-').collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap()).collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn durability_number(name: &str) -> i32 {
    wire::Durability::from_str_name(name).unwrap_or_default().into()
}

/// The frame of the server that this JSON stands for.
pub(crate) fn server_frame(json: &Value) -> wire::ServerFrame {
    let Some((kind, value)) = json.as_object().unwrap().iter().next() else {
        return wire::ServerFrame { frame: None };
    };
    let mut fields = Fields::of(value);
    let frame = match kind.as_str() {
        "welcome" => server_frame::Frame::Welcome(welcome(&mut fields)),
        "accepted" => server_frame::Frame::Accepted(accepted(&mut fields)),
        "deliver" => server_frame::Frame::Deliver(deliver(&mut fields)),
        "deviceList" => server_frame::Frame::DeviceList(device_list(&mut fields)),
        _ => small_frame(kind, &mut fields),
    };
    fields.end();
    wire::ServerFrame { frame: Some(frame) }
}

fn small_frame(kind: &str, fields: &mut Fields<'_>) -> server_frame::Frame {
    use server_frame::Frame;
    match kind {
        "rejected" => Frame::Rejected(wire::Rejected {
            request_id: fields.u64("requestId"),
            message_id: fields.maybe_bytes("messageId"),
            code: fields.u32("code"),
            retry_after_ms: fields.maybe_u32("retryAfterMs"),
            server_time: fields.u64("serverTime"),
        }),
        "gap" => Frame::Gap(wire::Gap {
            offset: fields.u64("offset"),
            conversation: fields.text("conversation"),
            from_sequence: fields.u64("fromSequence"),
            through_sequence: fields.u64("throughSequence"),
            reason: wire::GapReason::from_str_name(&fields.text("reason")).unwrap_or_default().into(),
        }),
        "refreshed" => Frame::Refreshed(wire::Refreshed {
            request_id: fields.u64("requestId"),
            expires_at: fields.u64("expiresAt"),
        }),
        "unlinked" => Frame::Unlinked(wire::Unlinked {
            request_id: fields.u64("requestId"),
            device: fields.text("device"),
        }),
        "goAway" => Frame::GoAway(wire::GoAway {
            reason: fields.u32("reason"),
            reconnect_after_ms: fields.u32("reconnectAfterMs"),
            close_after_ms: fields.u32("closeAfterMs"),
        }),
        "close" => Frame::Close(wire::Close {
            code: fields.u32("code"),
            message: fields.text("message"),
            retry_after_ms: fields.maybe_u32("retryAfterMs"),
        }),
        "ping" => Frame::Ping(wire::Ping { nonce: fields.text("nonce").parse().unwrap() }),
        "pong" => Frame::Pong(wire::Pong { nonce: fields.text("nonce").parse().unwrap() }),
        _ => panic!("no frame {kind}"),
    }
}

fn welcome(fields: &mut Fields<'_>) -> wire::Welcome {
    wire::Welcome {
        version: fields.u32("version"),
        capabilities: Vec::new(),
        server_time: fields.u64("serverTime"),
        incarnation: fields.bytes("incarnation"),
        resumed_at: fields.u64("resumedAt"),
        linked_now: fields.bool("linkedNow"),
        end_offset: fields.u64("endOffset"),
        window: fields.u32("window"),
        send_window: fields.u32("sendWindow"),
        heartbeat_s: fields.u32("heartbeatS"),
        limits: None,
        durability: durability_number(&fields.text("durability")),
    }
}

fn accepted(fields: &mut Fields<'_>) -> wire::Accepted {
    wire::Accepted {
        request_id: fields.u64("requestId"),
        message_id: fields.bytes("messageId"),
        conversation: fields.text("conversation"),
        sequence: fields.u64("sequence"),
        server_time: fields.u64("serverTime"),
        durability: durability_number(&fields.text("durability")),
        offset: fields.maybe_u64("offset"),
        previous_sequence: fields.u64("previousSequence"),
    }
}

fn deliver(fields: &mut Fields<'_>) -> wire::Deliver {
    wire::Deliver {
        offset: fields.u64("offset"),
        conversation: fields.text("conversation"),
        sequence: fields.u64("sequence"),
        previous_sequence: fields.u64("previousSequence"),
        sender: fields.text("sender"),
        device: fields.text("device"),
        message_id: fields.bytes("messageId"),
        server_time: fields.u64("serverTime"),
        payload: fields.bytes("payload"),
    }
}

fn device_list(fields: &mut Fields<'_>) -> wire::DeviceList {
    let device = |value| {
        let mut fields = Fields::of(value);
        let device = wire::Device {
            device: fields.text("device"),
            connected: fields.bool("connected"),
            linked_at: fields.u64("linkedAt"),
            last_seen_at: fields.u64("lastSeenAt"),
            acked_through: fields.u64("ackedThrough"),
        };
        fields.end();
        device
    };
    let devices = fields.get("devices").and_then(Value::as_array).into_iter().flatten().map(device);
    wire::DeviceList { devices: devices.collect(), request_id: fields.u64("requestId") }
}

/// An object without the fields that have no value.
pub(crate) fn object(fields: &[(&str, Value)]) -> Value {
    let is_default = |value: &Value| {
        value.is_null()
            || *value == json!(0)
            || *value == json!("")
            || *value == json!(false)
            || *value == json!([])
    };
    fields
        .iter()
        .filter(|(_, value)| !is_default(value))
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

/// The JSON of a frame of the client.
pub(crate) fn client_frame(frame: &client_frame::Frame) -> Value {
    use client_frame::Frame;
    match frame {
        Frame::Hello(hello) => {
            let mut value = object(&[
                ("versions", json!(hello.versions)),
                ("capabilities", json!(hello.capabilities)),
                ("token", json!(hello.token)),
                ("window", json!(hello.window)),
                ("heartbeatS", json!(hello.heartbeat_s)),
                ("instance", json!(hello.instance)),
                ("attempt", json!(hello.attempt)),
            ]);
            put(&mut value, "resumeOffset", hello.resume_offset);
            json!({ "hello": value })
        }
        Frame::Send(send) => json!({ "send": send_json(send) }),
        Frame::Ack(ack) => json!({ "ack": object(&[("throughOffset", json!(ack.through_offset))]) }),
        Frame::Refresh(refresh) => {
            json!({ "refresh": { "requestId": refresh.request_id, "token": refresh.token } })
        }
        Frame::Devices(devices) => json!({ "devices": { "requestId": devices.request_id } }),
        Frame::Unlink(unlink) => {
            json!({ "unlink": { "requestId": unlink.request_id, "device": unlink.device } })
        }
        Frame::Ping(ping) => json!({ "ping": { "nonce": ping.nonce.to_string() } }),
        Frame::Pong(pong) => json!({ "pong": { "nonce": pong.nonce.to_string() } }),
    }
}

fn put(value: &mut Value, name: &str, field: Option<u64>) {
    if let (Some(field), Some(object)) = (field, value.as_object_mut()) {
        object.insert(name.to_owned(), json!(field));
    }
}

fn send_json(send: &wire::Send) -> Value {
    let (kind, target) = match send.target.as_ref().unwrap() {
        wire::send::Target::Conversation(conversation) => ("conversation", conversation),
        wire::send::Target::To(user) => ("to", user),
    };
    let mut value = object(&[
        ("requestId", json!(send.request_id)),
        (kind, json!(target)),
        ("messageId", json!(to_hex(&send.message_id))),
        ("payload", json!(to_hex(&send.payload))),
    ]);
    put(&mut value, "ackThrough", send.ack_through);
    value
}
