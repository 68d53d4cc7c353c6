//! Mail to other shards: credits, queues for what has none, and where arriving mail goes.
//!
//! Invariants
//! - Requests outstanding at a peer never exceed half of the ring, so that every reply has room.
//! - Submits, forwards and control requests have credits of their own: none can starve the others.
//! - Mail to this shard itself never leaves it and needs no credit.

use crate::io::Effect;
use crate::mail::{Body, Mail, Outcome, RequestRef};
use crate::mutant::{self, Mutant};
use crate::shard::{Config, Shard};
use iris_protocol::{ConversationId, MessageId, RejectCode, ShardId};
use std::collections::VecDeque;

/// Smallest ring of an ordered pair: one of each kind of request must fit into its half.
pub const MAIL_RING_MIN: usize = 64;

/// A kind of request, each with its own credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Submit,
    Forward,
    Control,
}

/// What this shard has to do with another.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    submits: u32,
    forwards: u32,
    controls: u32,
    submits_max: u32,
    forwards_max: u32,
    controls_max: u32,
    /// Submits without credit: while there are any, sockets are not read.
    pub(crate) waiting_submits: VecDeque<Body>,
    waiting_controls: VecDeque<Body>,
    /// Lanes (conversation, lane) that wait for credit.
    pub(crate) waiting_lanes: VecDeque<(u32, u8)>,
    /// Its boot report is complete.
    pub(crate) has_reported: bool,
    /// Its unclaimed inboxes together are full.
    pub(crate) is_unclaimed_full: bool,
}

impl Peer {
    // Rule: mail never deadlocks
    pub(crate) fn all(config: &Config) -> Vec<Self> {
        assert!(config.mail_ring >= MAIL_RING_MIN, "a mail ring of {} is too small", config.mail_ring);
        let part = |sixteenths: usize| u32::try_from(config.mail_ring * sixteenths / 16).unwrap_or(u32::MAX);
        (0..config.placement.shards())
            .map(|shard| Self {
                submits_max: part(4),
                forwards_max: part(3),
                controls_max: part(1),
                has_reported: ShardId(shard) == config.shard,
                ..Self::default()
            })
            .collect()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.submits == 0 && self.waiting_submits.is_empty() && self.waiting_controls.is_empty()
    }

    /// Takes a credit, if there is one.
    pub(crate) fn take(&mut self, kind: Kind) -> bool {
        let (used, most) = match kind {
            Kind::Submit => (&mut self.submits, self.submits_max),
            Kind::Forward => (&mut self.forwards, self.forwards_max),
            Kind::Control => (&mut self.controls, self.controls_max),
        };
        if *used >= most && !mutant::is_on(Mutant::CreditsIgnored) {
            return false;
        }
        *used += 1;
        true
    }

    fn refund(&mut self, kind: Kind, count: u32) {
        let used = match kind {
            Kind::Submit => &mut self.submits,
            Kind::Forward => &mut self.forwards,
            Kind::Control => &mut self.controls,
        };
        assert!(*used >= count, "{count} credits of {kind:?} returned, {used} outstanding");
        *used -= count;
    }

    /// Replaces a queued report about the same user, so that the queue is bounded by users, not by changes.
    fn replace_state(&mut self, body: &Body) -> bool {
        let Body::State { user, state, reply: false } = body else { return false };
        let queued = self.waiting_controls.iter_mut().find_map(|queued| match queued {
            Body::State { user: other, state, reply: false } if other == user => Some(state),
            Body::State { .. }
            | Body::Submit { .. }
            | Body::Submitted { .. }
            | Body::Forward { .. }
            | Body::Confirm { .. }
            | Body::Reforward { .. }
            | Body::Ask { .. }
            | Body::Unclaimed { .. }
            | Body::Booted
            | Body::Noted
            | Body::NotOwner { .. } => None,
        });
        queued.map(|queued| *queued = *state).is_some()
    }

    /// The same for a report about all unclaimed inboxes.
    fn replace_unclaimed(&mut self, body: &Body) -> bool {
        if !matches!(body, Body::Unclaimed { .. }) {
            return false;
        }
        let mut queued = self.waiting_controls.iter_mut();
        let found = queued.find(|queued| matches!(queued, Body::Unclaimed { .. }));
        found.map(|found| *found = body.clone()).is_some()
    }
}

impl Shard {
    pub(crate) fn peer(&mut self, shard: ShardId) -> &mut Peer {
        &mut self.peers[usize::from(shard.0)]
    }

    fn post(&mut self, to: ShardId, body: Body) {
        let mail = Mail { epoch: self.config.generation, body };
        self.counters.mails += 1;
        self.effects.push_back(Effect::Mail { to, mail });
    }

    /// Answers a request; its credit reserved the room.
    pub(crate) fn reply(&mut self, to: ShardId, body: Body) {
        if to == self.config.shard {
            self.local.push_back(body);
        } else {
            self.post(to, body);
        }
    }

    /// Sends a Submit, now or when there is credit.
    pub(crate) fn submit(&mut self, to: ShardId, body: Body) {
        if to == self.config.shard {
            self.local.push_back(body);
            return;
        }
        let peer = self.peer(to);
        if peer.waiting_submits.is_empty() && peer.take(Kind::Submit) {
            self.post(to, body);
        } else {
            peer.waiting_submits.push_back(body);
        }
    }

    /// Sends an Ask, State, Unclaimed or Booted, now or when there is credit.
    pub(crate) fn request(&mut self, to: ShardId, body: Body) {
        if to == self.config.shard {
            self.local.push_back(body);
            return;
        }
        let peer = self.peer(to);
        if peer.waiting_controls.is_empty() && peer.take(Kind::Control) {
            self.post(to, body);
        } else if !peer.replace_state(&body) && !peer.replace_unclaimed(&body) {
            peer.waiting_controls.push_back(body);
        }
    }

    /// Sends a Forward whose credit was taken.
    pub(crate) fn post_forward(&mut self, to: ShardId, body: Body) {
        if to == self.config.shard {
            self.local.push_back(body);
        } else {
            self.post(to, body);
        }
    }

    /// Credits came back from a peer.
    pub(crate) fn refund(&mut self, from: ShardId, kind: Kind, count: u32) {
        if from == self.config.shard || count == 0 {
            return;
        }
        self.peer(from).refund(kind, count);
        match kind {
            Kind::Submit => self.send_waiting(from, Kind::Submit),
            Kind::Control => self.send_waiting(from, Kind::Control),
            Kind::Forward => self.forward_waiting(from),
        }
    }

    fn send_waiting(&mut self, to: ShardId, kind: Kind) {
        loop {
            let peer = self.peer(to);
            let queue = if kind == Kind::Submit { &peer.waiting_submits } else { &peer.waiting_controls };
            if queue.is_empty() || !peer.take(kind) {
                return;
            }
            let queue =
                if kind == Kind::Submit { &mut peer.waiting_submits } else { &mut peer.waiting_controls };
            let Some(body) = queue.pop_front() else { return };
            self.post(to, body);
        }
    }

    /// Lanes that waited for credit, oldest first.
    fn forward_waiting(&mut self, to: ShardId) {
        for _ in 0..self.peer(to).waiting_lanes.len() {
            let Some((conversation, lane)) = self.peer(to).waiting_lanes.pop_front() else { return };
            self.conversations[conversation].lanes[usize::from(lane)].is_queued = false;
            self.forward(conversation, lane);
            if self.conversations[conversation].lanes[usize::from(lane)].is_queued {
                return;
            }
        }
    }

    pub(crate) fn mail_in(&mut self, from: ShardId, mail: Mail) {
        assert!(from != self.config.shard, "mail from shard {from} to itself");
        // Rule: epoch
        if mail.epoch != self.config.generation {
            self.counters.stale_mail += 1;
            return;
        }
        self.body_in(from, mail.body);
    }

    pub(crate) fn body_in(&mut self, from: ShardId, body: Body) {
        match body {
            Body::Submit { .. } => self.submit_in(from, body),
            Body::Submitted { request, message_id, conversation, outcome } => {
                self.refund(from, Kind::Submit, 1);
                self.submitted(request, message_id, &conversation, outcome);
            }
            Body::Forward { slot, previous, envelope, answers } => {
                if answers.is_some() {
                    self.refund(from, Kind::Submit, 1);
                }
                self.forward_in(from, slot, crate::channel::Parked::Forward { previous, envelope, answers });
            }
            Body::Confirm { conversation, slot, through } => {
                self.confirm_in(from, &conversation, slot, through);
            }
            Body::Reforward { conversation, slot } => self.forward_refused(from, &conversation, slot),
            Body::Ask { user } => self.ask_in(from, &user),
            Body::State { user, state, reply } => {
                if reply {
                    self.refund(from, Kind::Control, 1);
                } else {
                    self.reply(from, Body::Noted);
                }
                self.recipient_state(&user, state, reply);
            }
            Body::Unclaimed { is_full } => {
                self.reply(from, Body::Noted);
                self.peer(from).is_unclaimed_full = is_full;
            }
            Body::Booted => {
                self.reply(from, Body::Noted);
                self.peer(from).has_reported = true;
            }
            Body::Noted => self.refund(from, Kind::Control, 1),
            Body::NotOwner { slot, conversation: Some(conversation) } => {
                self.forward_refused(from, &conversation, slot);
            }
            Body::NotOwner { slot, conversation: None } => {
                self.refund(from, Kind::Control, 1);
                self.ask_refused(slot);
            }
        }
    }

    /// Refuses a Submit.
    pub(crate) fn refuse(
        &mut self,
        request: RequestRef,
        message_id: MessageId,
        conversation: &ConversationId,
        code: RejectCode,
    ) {
        self.counters.rejected_owner += 1;
        match code {
            RejectCode::Busy => self.counters.busy += 1,
            RejectCode::InboxFull => self.counters.inbox_full += 1,
            RejectCode::NotOwner => self.counters.not_owner += 1,
            RejectCode::RateLimited
            | RejectCode::StorageFull
            | RejectCode::UnknownFrame
            | RejectCode::InvalidId
            | RejectCode::InvalidMessageId
            | RejectCode::PayloadTooLarge
            | RejectCode::IdempotencyConflict
            | RejectCode::ClockSkew
            | RejectCode::Forbidden
            | RejectCode::UnknownDevice
            | RejectCode::TokenRefused
            | RejectCode::MessageIdTooOld => {}
        }
        let outcome = Outcome::Rejected { code, retry_after_ms: crate::send::retry_after_ms(code) };
        let body = Body::Submitted { request, message_id, conversation: conversation.clone(), outcome };
        self.reply(request.shard, body);
    }
}

#[cfg(test)]
mod tests;
