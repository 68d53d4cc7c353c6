//! Events and states as the vectors write them.

use super::frames::{object, to_hex};
use iris_client::session::{DisconnectReason, Event, Next, ServerFault};
use iris_client::{DeviceState, OutboxEntry, Target};
use iris_protocol::{Durability, MessageId, wire};
use serde_json::{Map, Value, json};
use std::time::Duration;

fn id_text(id: &MessageId) -> String {
    uuid::Uuid::from_bytes(*id.as_bytes()).hyphenated().to_string()
}

/// A time in whole ms, rounded up.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap()
}

/// An object without its null fields.
fn some(mut value: Value) -> Value {
    value.as_object_mut().unwrap().retain(|_, field| !field.is_null());
    value
}

fn level(durability: Option<Durability>) -> Option<&'static str> {
    durability.map(|durability| match durability {
        Durability::Fsync => "fsync",
        Durability::Os => "os",
    })
}

pub(crate) fn next(next: Next) -> &'static str {
    match next {
        Next::Reconnect => "reconnect",
        Next::FreshToken => "fresh token",
        Next::Stop => "stop",
    }
}

pub(crate) fn reason(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::ServerFault => "server fault",
        DisconnectReason::AnswerTimeout => "answer timeout",
        DisconnectReason::LoginTimeout => "login timeout",
        DisconnectReason::HeartbeatTimeout => "heartbeat timeout",
        DisconnectReason::ClosedByServer => "closed by server",
        DisconnectReason::GoAway => "go away",
        DisconnectReason::ByCaller => "by caller",
    }
}

/// The JSON of an event.
pub(crate) fn event(event: &Event) -> Value {
    match event {
        Event::Welcome(welcome) => some(json!({
            "type": "welcome",
            "incarnation": to_hex(&welcome.incarnation.0),
            "resumedAt": welcome.resumed_at.0,
            "linkedNow": welcome.linked_now,
            "endOffset": welcome.end_offset.0,
            "window": welcome.window,
            "sendWindow": welcome.send_window,
            "heartbeatMs": ms(welcome.heartbeat),
            "durability": level(welcome.durability),
            "serverTime": welcome.server_time.0,
        })),
        Event::CaughtUp { end_offset } => json!({ "type": "caught up", "endOffset": end_offset.0 }),
        Event::Message(message) => some(json!({
            "type": "message",
            "offset": message.offset.0,
            "conversation": message.conversation.as_str(),
            "sequence": message.sequence.0,
            "sender": message.sender.as_str(),
            "device": message.device.as_ref().map(iris_protocol::DeviceId::as_str),
            "messageId": id_text(&message.message_id),
            "serverTime": message.server_time.0,
            "payload": to_hex(&message.payload),
        })),
        Event::Duplicate { offset, conversation, sequence, message_id } => json!({
            "type": "duplicate",
            "offset": offset.0,
            "conversation": conversation.as_str(),
            "sequence": sequence.0,
            "messageId": id_text(message_id),
        }),
        Event::Accepted(_) | Event::Rejected(_) | Event::Unknown { .. } => answer(event),
        Event::Gap(gap) => some(json!({
            "type": "gap",
            "offset": gap.offset.map(|offset| offset.0),
            "conversation": gap.conversation.as_ref().map(iris_protocol::ConversationId::as_str),
            "from": gap.from.0,
            "through": gap.through.0,
            "reason": gap.reason.as_str_name(),
        })),
        Event::Closed(closed) => json!({
            "type": "closed",
            "code": closed.number,
            "message": closed.message,
            "next": next(closed.next),
        }),
        Event::GoAway { reason, reconnect_after, close_after } => json!({
            "type": "go away",
            "reason": reason,
            "reconnectAfterMs": ms(*reconnect_after),
            "closeAfterMs": ms(*close_after),
        }),
        Event::ServerFault(found) => json!({ "type": "server fault", "fault": fault(found) }),
        Event::Refreshed { .. }
        | Event::Devices { .. }
        | Event::Unlinked { .. }
        | Event::RequestRejected { .. } => request(event),
    }
}

/// What became of a message of ours.
fn answer(event: &Event) -> Value {
    if let Event::Accepted(accepted) = event {
        return some(json!({
            "type": "accepted",
            "messageId": id_text(&accepted.message_id),
            "conversation": accepted.conversation.as_str(),
            "sequence": accepted.sequence.0,
            "serverTime": accepted.server_time.0,
            "durability": level(accepted.durability),
            "transmissions": accepted.transmissions,
            "offset": accepted.offset.map(|offset| offset.0),
        }));
    }
    if let Event::Rejected(rejected) = event {
        return some(json!({
            "type": "rejected",
            "messageId": id_text(&rejected.message_id),
            "conversation": rejected.conversation.as_str(),
            "code": rejected.number,
            "class": rejected.class.name(),
            "retryAfterMs": rejected.retry_after.map(ms),
            "serverTime": rejected.server_time.0,
        }));
    }
    let Event::Unknown { message_id, conversation, code } = event else {
        panic!("not an answer: {event:?}");
    };
    json!({
        "type": "unknown",
        "messageId": id_text(message_id),
        "conversation": conversation.as_str(),
        "code": code,
    })
}

/// What became of another request.
fn request(event: &Event) -> Value {
    if let Event::Refreshed { request_id, expires_at } = event {
        return json!({ "type": "refreshed", "requestId": request_id, "expiresAt": expires_at.0 });
    }
    if let Event::Devices { request_id, devices } = event {
        let device = |device: &wire::Device| {
            object(&[
                ("device", json!(device.device)),
                ("connected", json!(device.connected)),
                ("linkedAt", json!(device.linked_at)),
                ("lastSeenAt", json!(device.last_seen_at)),
                ("ackedThrough", json!(device.acked_through)),
            ])
        };
        let devices: Vec<Value> = devices.iter().map(device).collect();
        return json!({ "type": "devices", "requestId": request_id, "devices": devices });
    }
    if let Event::Unlinked { request_id, device } = event {
        return json!({ "type": "unlinked", "requestId": request_id, "device": device });
    }
    let Event::RequestRejected { request_id, code } = event else {
        panic!("not an answer: {event:?}");
    };
    json!({ "type": "request rejected", "requestId": request_id, "code": code })
}

/// `GoAway` and `message_id` as `goAway` and `messageId`.
fn camel(name: &str) -> String {
    let mut text = String::new();
    let mut upper = false;
    for (index, letter) in name.chars().enumerate() {
        if letter == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            text.push(letter.to_ascii_uppercase());
        } else {
            text.push(if index == 0 { letter.to_ascii_lowercase() } else { letter });
        }
    }
    text
}

fn fault(fault: &ServerFault) -> Value {
    match fault {
        ServerFault::Unexpected { frame } => json!({ "fault": "unexpected", "frame": camel(frame) }),
        ServerFault::Invalid { frame, field } => {
            json!({ "fault": "invalid", "frame": camel(frame), "field": camel(field) })
        }
        ServerFault::SequenceSkipped { conversation, last, previous, sequence } => json!({
            "fault": "sequence skipped",
            "conversation": conversation.as_str(),
            "last": last.0,
            "previous": previous.0,
            "sequence": sequence.0,
        }),
        ServerFault::OffsetNotIncreasing { offset, received } => {
            json!({ "fault": "offset not increasing", "offset": offset.0, "received": received.0 })
        }
        ServerFault::Answer { request_id } => json!({ "fault": "answer", "requestId": request_id }),
    }
}

fn entry(entry: &OutboxEntry) -> Value {
    let (kind, target) = match &entry.target {
        Target::To(user) => ("to", user.as_str()),
        Target::Conversation(conversation) => ("conversation", conversation.as_str()),
    };
    json!({ kind: target, "messageId": id_text(&entry.message_id), "payload": to_hex(&entry.payload) })
}

/// The JSON of a saved state.
pub(crate) fn state(state: &DeviceState) -> Value {
    let last: Map<String, Value> = state
        .last
        .iter()
        .map(|(conversation, applied)| {
            let sequence = json!({ "sequence": applied.sequence.0 });
            let rebase = json!({ "sequence": applied.sequence.0, "rebase": true });
            (conversation.to_string(), if applied.rebase { rebase } else { sequence })
        })
        .collect();
    json!({
        "incarnation": state.incarnation.map(|incarnation| to_hex(&incarnation.0)),
        "storedThrough": state.stored_through.map(|offset| offset.0),
        "last": last,
        "outbox": state.outbox.iter().map(entry).collect::<Vec<Value>>(),
        "unknown": state.unknown.iter().map(entry).collect::<Vec<Value>>(),
    })
}
