//! Notices as lines: text for people, JSON for programs.
//!
//! Invariants
//! - A line is written whole and flushed before the event counts as stored.
//! - What others wrote cannot steer a terminal: control characters are shown, not sent.

use super::Failure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use iris_client::driver::Notice;
use iris_client::session::{Accepted, Closed, Gap, Message, Next, Rejected, Welcome};
use iris_client::{Event, OutboxEntry, Target};
use iris_protocol::{
    CloseCode, ConversationId, DeviceId, Durability, RejectClass, RejectCode, UserId, Wall, wire,
};
use serde_json::{Value, json};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes notices.
pub(crate) struct Show {
    json: bool,
    user: UserId,
    /// The conversation on the screen: its name is left out.
    conversation: Option<ConversationId>,
}

impl Show {
    pub(crate) fn new(json: bool, user: UserId) -> Self {
        Self { json, user, conversation: None }
    }

    /// Leaves the name of this conversation out of text lines.
    pub(crate) fn in_conversation(&mut self, target: &Target) {
        self.conversation = Some(target.conversation(&self.user));
    }

    /// Writes a notice, if it says something to people or programs.
    pub(crate) fn notice(&self, notice: &Notice) -> Result<(), Failure> {
        let line =
            if self.json { json_line(notice).map(|value| value.to_string()) } else { self.text(notice) };
        match line {
            Some(line) => write_line(&line),
            None => Ok(()),
        }
    }

    /// Reminds of a message of an earlier run whose outcome is unknown.
    pub(crate) fn unknown(&self, entry: &OutboxEntry) -> Result<(), Failure> {
        let conversation = entry.target.conversation(&self.user);
        let line = if self.json {
            let value = json!({
                "event": "still_unknown", "message_id": entry.message_id.to_string(),
                "conversation": conversation.as_str(),
            });
            with_payload(value, &entry.payload).to_string()
        } else {
            format!(
                "-- whether {} arrived in {conversation} is still not known: {}",
                entry.message_id,
                readable(&entry.payload)
            )
        };
        write_line(&line)
    }

    fn text(&self, notice: &Notice) -> Option<String> {
        match notice {
            Notice::Sending { message_id, payload, .. } => {
                Some(format!("{} {}: {}  [sent {message_id}]", clock(now()), self.user, readable(payload)))
            }
            Notice::Lost { why } => Some(format!("{} -- connection lost: {why}; trying again", clock(now()))),
            Notice::Event(event) => self.event_text(event),
        }
    }

    fn event_text(&self, event: &Event) -> Option<String> {
        let at = clock(now());
        Some(match event {
            Event::Welcome(welcome) => format!("{at} -- connected{}", welcome_text(welcome)),
            Event::CaughtUp { .. } => format!("{at} -- up to date"),
            Event::Message(message) => return self.message_text(message),
            Event::Accepted(accepted) => self.accepted_text(accepted),
            Event::Rejected(rejected) => format!("{at} -- {}", rejected_text(rejected)),
            Event::Unknown { message_id, code, .. } => format!(
                "{at} -- whether {message_id} arrived cannot be known ({}); it is not sent again",
                code_name(*code)
            ),
            Event::Gap(gap) => format!("{at} -- {}", gap_text(gap)),
            Event::Closed(closed) => format!("{at} -- {}", closed_text(closed)),
            Event::GoAway { reconnect_after, .. } => {
                format!("{at} -- the server restarts; back in {:.1} s", reconnect_after.as_secs_f64())
            }
            Event::ServerFault(fault) => format!("{at} -- the server broke a rule: {fault}; connecting anew"),
            Event::Refreshed { expires_at, .. } => {
                format!("{at} -- fresh token until {}", clock(*expires_at))
            }
            Event::RequestRejected { code, .. } => format!("{at} -- refused: {}", code_name(*code)),
            Event::Duplicate { .. } | Event::Devices { .. } | Event::Unlinked { .. } => return None,
        })
    }

    /// The own copy that an acceptance brought is on the screen already.
    fn message_text(&self, message: &Message) -> Option<String> {
        message.device.as_ref()?;
        let place = if self.conversation.as_ref() == Some(&message.conversation) {
            String::new()
        } else {
            format!("[{}] ", message.conversation)
        };
        let (at, text) = (clock(message.server_time), readable(&message.payload));
        Some(format!("{at} {place}{}: {text}  [delivered #{}]", message.sender, message.sequence))
    }

    fn accepted_text(&self, accepted: &Accepted) -> String {
        let at = clock(accepted.server_time);
        let retry = if accepted.transmissions > 1 { ", after a retry" } else { "" };
        let durable = durability_name(accepted.durability);
        format!(
            "{at} {}: [accepted #{} {} (durable: {durable}{retry})]",
            self.user, accepted.sequence, accepted.message_id
        )
    }
}

/// One whole line, flushed.
fn write_line(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .map_err(Failure::Output)
}

fn now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A time of day, in UTC.
fn clock(at: Wall) -> String {
    let seconds = at.0 / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A payload as text that cannot steer a terminal.
fn readable(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' || is_direction(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Characters that turn the direction of the text around them: Unicode TR 9, explicit formatting.
fn is_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn durability_name(durability: Option<Durability>) -> &'static str {
    match durability {
        Some(Durability::Fsync) => "fsync",
        Some(Durability::Os) => "os",
        None => "unknown",
    }
}

fn code_name(number: u32) -> String {
    RejectCode::from_number(number).map_or_else(|| format!("code {number}"), |code| code.name().to_owned())
}

fn welcome_text(welcome: &Welcome) -> String {
    if welcome.linked_now { "; this device is new".to_owned() } else { String::new() }
}

fn rejected_text(rejected: &Rejected) -> String {
    match (rejected.class, rejected.retry_after) {
        (RejectClass::RetrySameId, Some(after)) => {
            format!(
                "{} not yet taken: {}; again in {:.1} s",
                rejected.message_id,
                code_name(rejected.number),
                after.as_secs_f64()
            )
        }
        (RejectClass::RetrySameId | RejectClass::Refused | RejectClass::OutcomeUnknown, _) => {
            format!("{} refused: {}", rejected.message_id, code_name(rejected.number))
        }
    }
}

fn gap_text(gap: &Gap) -> String {
    let place = gap.conversation.as_ref().map_or("all conversations", ConversationId::as_str);
    let why = match gap.reason {
        wire::GapReason::AlreadyAcked => "this device's place was moved on elsewhere",
        wire::GapReason::Expired => "messages were older than the server keeps them",
        wire::GapReason::DeviceDetached => "this device was away too long",
        wire::GapReason::InboxFull => "the inbox was full",
        wire::GapReason::HistoryRewound => "the server's history was restored from an earlier time",
        wire::GapReason::Unspecified => "the server gives no reason",
    };
    match &gap.conversation {
        Some(_) => format!("messages {} to {} of {place} are missing: {why}", gap.from, gap.through),
        None => format!("messages may be missing in {place}: {why}"),
    }
}

fn closed_text(closed: &Closed) -> String {
    let name = closed.code.map_or_else(|| format!("code {}", closed.number), |code| code.name().to_owned());
    let next = match closed.next {
        Next::Reconnect => "connecting anew",
        Next::FreshToken => "a fresh token is needed",
        Next::Stop => "not connecting again",
    };
    format!("closed by the server: {name}; {next}")
}

/// A notice as a JSON object; its `event` says what it is.
fn json_line(notice: &Notice) -> Option<Value> {
    Some(match notice {
        Notice::Sending { message_id, payload, .. } => with_payload(
            json!({"event": "sent", "message_id": message_id.to_string(), "time_ms": now().0}),
            payload,
        ),
        Notice::Lost { why } => json!({"event": "lost", "why": why}),
        Notice::Event(event) => return event_json(event),
    })
}

fn event_json(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Welcome(welcome) => json!({
            "event": "welcome", "resumed_at": welcome.resumed_at.0, "end_offset": welcome.end_offset.0,
            "linked_now": welcome.linked_now, "durability": durability_name(welcome.durability),
            "server_time_ms": welcome.server_time.0,
        }),
        Event::CaughtUp { end_offset } => json!({"event": "caught_up", "end_offset": end_offset.0}),
        Event::Message(message) => message_json(message),
        Event::Duplicate { offset, conversation, sequence, message_id } => json!({
            "event": "duplicate", "offset": offset.0, "conversation": conversation.as_str(),
            "sequence": sequence.0, "message_id": message_id.to_string(),
        }),
        Event::Accepted(accepted) => json!({
            "event": "accepted", "message_id": accepted.message_id.to_string(),
            "conversation": accepted.conversation.as_str(), "sequence": accepted.sequence.0,
            "server_time_ms": accepted.server_time.0, "durability": durability_name(accepted.durability),
            "transmissions": accepted.transmissions,
        }),
        Event::Rejected(rejected) => json!({
            "event": "rejected", "message_id": rejected.message_id.to_string(), "code": code_name(rejected.number), "number": rejected.number,
            "retry_after_ms": rejected.retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            "server_time_ms": rejected.server_time.0,
        }),
        Event::Unknown { message_id, conversation, code } => json!({
            "event": "unknown", "message_id": message_id.to_string(), "conversation": conversation.as_str(),
            "code": code_name(*code),
        }),
        Event::Gap(gap) => json!({
            "event": "gap", "offset": gap.offset.map(|offset| offset.0),
            "conversation": gap.conversation.as_ref().map(ConversationId::as_str),
            "from_sequence": gap.from.0, "through_sequence": gap.through.0, "reason": gap.reason.as_str_name(),
        }),
        Event::Closed(closed) => json!({
            "event": "closed", "code": closed.code.map(CloseCode::name), "number": closed.number,
            "message": closed.message,
        }),
        Event::GoAway { reason, .. } => json!({"event": "go_away", "reason": reason}),
        Event::ServerFault(fault) => json!({"event": "server_fault", "fault": fault.to_string()}),
        Event::Refreshed { expires_at, .. } => json!({"event": "refreshed", "expires_at_ms": expires_at.0}),
        Event::RequestRejected { code, .. } => json!({"event": "refused", "code": code_name(*code)}),
        Event::Devices { .. } | Event::Unlinked { .. } => return None,
    })
}

fn message_json(message: &Message) -> Value {
    let value = json!({
        "event": "message", "offset": message.offset.0, "conversation": message.conversation.as_str(),
        "sequence": message.sequence.0, "sender": message.sender.as_str(),
        "device": message.device.as_ref().map(DeviceId::as_str),
        "message_id": message.message_id.to_string(), "server_time_ms": message.server_time.0,
    });
    with_payload(value, &message.payload)
}

/// Adds the payload as `text`, or as `payload_base64` if it is none.
fn with_payload(mut value: Value, payload: &[u8]) -> Value {
    if let Value::Object(fields) = &mut value {
        match std::str::from_utf8(payload) {
            Ok(text) => fields.insert("text".to_owned(), text.into()),
            Err(_) => fields.insert("payload_base64".to_owned(), STANDARD.encode(payload).into()),
        };
    }
    value
}

#[cfg(test)]
mod tests;
