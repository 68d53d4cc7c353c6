//! What the answers to our messages do.
//!
//! Invariants
//! - An answer that fits no open request changes nothing: the message goes on waiting.

use super::Session;
use super::event::{Accepted, Event, Message, Rejected, ServerFault};
use super::frames::{Handled, durability, ms};
use super::incoming::Place;
use super::outgoing::Unanswered;
use iris_protocol::{Mono, Offset, RejectClass, RejectCode, Sequence, Wall, wire};
use std::time::Duration;

impl Session {
    pub(super) fn on_accepted(&mut self, accepted: &wire::Accepted) -> Handled {
        let request_id = accepted.request_id;
        let Some(message) = self.outgoing.open(request_id) else {
            return Err(ServerFault::Answer { request_id });
        };
        if message.message_id != accepted.message_id || message.conversation.as_str() != accepted.conversation
        {
            return Err(ServerFault::Answer { request_id });
        }
        if accepted.sequence == 0
            || accepted.offset.is_some() && accepted.previous_sequence >= accepted.sequence
        {
            return Err(ServerFault::Invalid { frame: "Accepted", field: "sequence" });
        }
        let Some(message) = self.outgoing.answered(request_id) else {
            return Err(ServerFault::Answer { request_id });
        };
        self.tell(Event::Accepted(Accepted {
            message_id: message.entry.message_id,
            conversation: message.conversation.clone(),
            sequence: Sequence(accepted.sequence),
            server_time: Wall(accepted.server_time),
            durability: durability(accepted.durability()),
            transmissions: message.transmissions,
            offset: accepted.offset.map(Offset),
        }));
        match accepted.offset {
            Some(offset) => self.own_copy(Offset(offset), accepted, message),
            None => Ok(()),
        }
    }

    /// An acceptance with an offset counts as the delivery of this device's own copy.
    fn own_copy(&mut self, offset: Offset, accepted: &wire::Accepted, own: Unanswered) -> Handled {
        let place = Place {
            offset,
            sequence: Sequence(accepted.sequence),
            previous: Sequence(accepted.previous_sequence),
            is_own: true,
        };
        let message = Message {
            offset,
            conversation: own.conversation,
            sequence: place.sequence,
            sender: self.user.clone(),
            device: None,
            message_id: own.entry.message_id,
            server_time: Wall(accepted.server_time),
            payload: own.entry.payload,
        };
        self.apply(place, message)
    }

    pub(super) fn on_rejected(&mut self, now: Mono, rejected: &wire::Rejected) -> Handled {
        let request_id = rejected.request_id;
        let Some(message) = self.outgoing.open(request_id) else {
            let known = self.link.close_request(request_id) || request_id == 0;
            if !known {
                return Err(ServerFault::Answer { request_id });
            }
            self.tell(Event::RequestRejected { request_id, code: rejected.code });
            return Ok(());
        };
        if rejected.message_id.as_ref().is_some_and(|id| *id != message.message_id) {
            return Err(ServerFault::Answer { request_id });
        }
        let Some(message) = self.outgoing.answered(request_id) else {
            return Err(ServerFault::Answer { request_id });
        };
        match RejectClass::of_number(rejected.code) {
            RejectClass::RetrySameId => self.retry_later(now, rejected, message),
            RejectClass::Refused => self.tell_rejected(rejected, &message, None),
            RejectClass::OutcomeUnknown => self.outcome_unknown(rejected.code, message),
        }
        Ok(())
    }

    /// The server's hint plus up to a quarter, or the backoff of this message.
    fn retry_later(&mut self, now: Mono, rejected: &wire::Rejected, message: Unanswered) {
        let retry_after = match rejected.retry_after_ms {
            Some(hint_ms) => ms(hint_ms) + self.jitter.below(ms(hint_ms) / 4),
            None => self.config.backoff.delay(message.rejections, &mut self.jitter),
        };
        self.tell_rejected(rejected, &message, Some(retry_after));
        self.outgoing.retry_at(now.after(retry_after), message);
    }

    fn tell_rejected(
        &mut self,
        rejected: &wire::Rejected,
        message: &Unanswered,
        retry_after: Option<Duration>,
    ) {
        self.tell(Event::Rejected(Rejected {
            message_id: message.entry.message_id,
            conversation: message.conversation.clone(),
            code: RejectCode::from_number(rejected.code),
            number: rejected.code,
            class: RejectClass::of_number(rejected.code),
            retry_after,
            server_time: Wall(rejected.server_time),
        }));
    }

    fn outcome_unknown(&mut self, code: u32, message: Unanswered) {
        self.tell(Event::Unknown {
            message_id: message.entry.message_id,
            conversation: message.conversation,
            code,
        });
        self.unknown.push(message.entry);
        self.unsaved = true;
    }
}
