//! The sending half: every message is waiting, on the wire, or waiting for its retry.
//!
//! Invariants
//! - An entry leaves only by an answer. Its id and its bytes never change.
//! - First transmissions, and re-transmissions after a reconnect, go out in the order of `send`.
//! - Request ids rise, so what is on the wire is sorted by request id and by time.

use crate::state::OutboxEntry;
use bytes::Bytes;
use iris_protocol::{ConversationId, Mono};
use std::collections::VecDeque;

/// A message without an answer.
pub(super) struct Unanswered {
    /// Place in the order of `send`.
    order: u64,
    pub(super) entry: OutboxEntry,
    pub(super) conversation: ConversationId,
    /// The id as a frame carries it, shared by all transmissions.
    pub(super) message_id: Bytes,
    pub(super) transmissions: u32,
    pub(super) rejections: u32,
}

struct OnWire {
    request_id: u64,
    sent_at: Mono,
    message: Unanswered,
}

struct Retry {
    due: Mono,
    message: Unanswered,
}

#[derive(Default)]
pub(super) struct Outgoing {
    waiting: VecDeque<Unanswered>,
    on_wire: VecDeque<OnWire>,
    retries: Vec<Retry>,
    next_order: u64,
}

impl Outgoing {
    pub(super) fn push(&mut self, entry: OutboxEntry, conversation: ConversationId) {
        let message_id = Bytes::copy_from_slice(entry.message_id.as_bytes());
        let order = self.next_order;
        self.next_order += 1;
        self.waiting.push_back(Unanswered {
            order,
            entry,
            conversation,
            message_id,
            transmissions: 0,
            rejections: 0,
        });
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.on_wire.len() + self.retries.len()
    }

    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn on_wire_count(&self) -> usize {
        self.on_wire.len()
    }

    /// Takes the next message onto the wire as this request.
    pub(super) fn transmit(&mut self, now: Mono, request_id: u64) -> Option<&Unanswered> {
        let mut message = self.waiting.pop_front()?;
        message.transmissions += 1;
        if let Some(back) = self.on_wire.back() {
            assert!(back.request_id < request_id, "request id {request_id} was used before");
        }
        self.on_wire.push_back(OnWire { request_id, sent_at: now, message });
        self.on_wire.back().map(|on_wire| &on_wire.message)
    }

    /// The message of an open request.
    pub(super) fn open(&self, request_id: u64) -> Option<&Unanswered> {
        let index = self.index(request_id)?;
        self.on_wire.get(index).map(|on_wire| &on_wire.message)
    }

    /// Takes the message of an answered request off the wire.
    pub(super) fn answered(&mut self, request_id: u64) -> Option<Unanswered> {
        let index = self.index(request_id)?;
        self.on_wire.remove(index).map(|on_wire| on_wire.message)
    }

    fn index(&self, request_id: u64) -> Option<usize> {
        self.on_wire.binary_search_by_key(&request_id, |on_wire| on_wire.request_id).ok()
    }

    /// Keeps a rejected message for a retry.
    pub(super) fn retry_at(&mut self, due: Mono, mut message: Unanswered) {
        message.rejections += 1;
        self.retries.push(Retry { due, message });
    }

    /// Lets due retries wait for the wire again, in their old order.
    pub(super) fn release_retries(&mut self, now: Mono) {
        for retry in self.retries.extract_if(.., |retry| retry.due <= now) {
            let place = self.waiting.partition_point(|waiting| waiting.order < retry.message.order);
            self.waiting.insert(place, retry.message);
        }
    }

    pub(super) fn retry_deadline(&self) -> Option<Mono> {
        self.retries.iter().map(|retry| retry.due).min()
    }

    /// When the oldest message on the wire was sent.
    pub(super) fn oldest_sent_at(&self) -> Option<Mono> {
        self.on_wire.front().map(|on_wire| on_wire.sent_at)
    }

    /// The connection is gone: what was on the wire waits again, before everything sent later.
    pub(super) fn requeue(&mut self) {
        if self.on_wire.is_empty() {
            return;
        }
        self.waiting.extend(self.on_wire.drain(..).map(|on_wire| on_wire.message));
        self.waiting.make_contiguous().sort_unstable_by_key(|message| message.order);
    }

    /// Every unanswered message, oldest first.
    pub(super) fn entries(&self) -> Vec<OutboxEntry> {
        let retries = self.retries.iter().map(|retry| &retry.message);
        let on_wire = self.on_wire.iter().map(|on_wire| &on_wire.message);
        let mut all: Vec<&Unanswered> = self.waiting.iter().chain(on_wire).chain(retries).collect();
        all.sort_unstable_by_key(|message| message.order);
        all.into_iter().map(|message| message.entry.clone()).collect()
    }
}
