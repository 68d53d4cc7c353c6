//! The owner of a conversation: known ids, age, recipients, then the next sequence and one record.
//!
//! Invariants
//! - The sequence is taken after every check that may refuse, in the same step that emits the record.
//! - Sends of a conversation are judged in the order in which they came, also when one waits for the tables.

use crate::conversation::{Conversation, Known, Lane, Pending, Submission};
use crate::dedup::{Key, Lookup};
use crate::io::{LoadId, Ticket};
use crate::loads::Question;
use crate::mail::Body;
use crate::mutant::{self, Mutant};
use crate::recipient::Room;
use crate::ring::Ring;
use crate::shard::Shard;
use crate::stored::After;
use iris_protocol::limits::SKEW_MAX;
use iris_protocol::{
    ConversationId, Envelope, MessageId, PayloadHash, RejectCode, Sequence, ShardId, UserId,
};
use iris_storage::load::LoadRequest;
use iris_storage::op::{DedupKey, DedupRow, Op, Slots};
use sha2::{Digest, Sha256};
use smallvec::smallvec;
use std::hash::BuildHasher;
use std::sync::Arc;

/// What becomes of a Send.
enum Verdict {
    /// Known already.
    Replay(DedupRow, Option<Ticket>),
    Refuse(RejectCode),
    Accept(PayloadHash),
    /// Something must be loaded first.
    Wait,
}

/// What the dedup table answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DedupAnswer {
    Told(Option<DedupRow>),
    Failed,
}

fn hash_of(payload: &[u8]) -> PayloadHash {
    let digest = Sha256::digest(payload);
    let mut hash = [0; 16];
    hash.copy_from_slice(&digest[..16]);
    PayloadHash(hash)
}

impl Shard {
    pub(crate) fn submit_in(&mut self, from: ShardId, body: Body) {
        let Body::Submit { request, sender, device, conversation, message_id, payload } = body else {
            unreachable!("only a Submit comes here");
        };
        assert!(request.shard == from, "shard {from} asks for shard {}", request.shard);
        if self.config.placement.shard_of(conversation.slot()) != self.config.shard {
            return self.refuse(request, message_id, &conversation, RejectCode::NotOwner);
        }
        let index = self.conversation(&conversation);
        self.conversations[index].is_touched = true;
        let Some(sender) = self.member_number(index, &sender) else {
            return self.refuse(request, message_id, &conversation, RejectCode::Forbidden);
        };
        let mut submission =
            Submission { request, sender, device, message_id, payload, known: Known::Unasked };
        let state = &self.conversations[index];
        if state.is_loaded && state.parked.is_empty() && self.judge(index, &mut submission) {
            return;
        }
        self.ask_early(index, &mut submission);
        self.conversations[index].parked.push_back(submission);
    }

    /// Which of the two members a user is.
    fn member_number(&self, index: u32, user: &UserId) -> Option<u8> {
        let members = self.conversations[index].members;
        let place = members.iter().position(|member| self.recipients[*member].user == *user)?;
        u8::try_from(place).ok()
    }

    /// A parked Send asks for its id while it waits, so that many of them wait for one read, not for one each.
    fn ask_early(&mut self, index: u32, submission: &mut Submission) {
        let state = &self.conversations[index];
        let key =
            Key { conversation: &state.id, sender: submission.sender, message_id: submission.message_id };
        let must_ask =
            matches!(submission.known, Known::Unasked) && self.dedup.look_up(&key, state.slot) == Lookup::Ask;
        if must_ask {
            self.ask_dedup(index, submission);
        }
    }

    fn ask_dedup(&mut self, index: u32, submission: &mut Submission) {
        let state = &self.conversations[index];
        let sender = self.recipients[state.members[usize::from(submission.sender)]].user.clone();
        let key = DedupKey { conversation: state.id.clone(), sender, message_id: submission.message_id };
        let id = self.load(LoadRequest::Dedup(key), Question::Dedup { conversation: index });
        submission.known = Known::Asked(id);
    }

    /// Judges parked Sends, oldest first, until one has to wait.
    pub(crate) fn advance(&mut self, index: u32) {
        while self.conversations.at(index).is_some_and(|state| state.is_loaded) {
            let Some(mut submission) = self.conversations[index].parked.pop_front() else { return };
            if !self.judge(index, &mut submission) {
                self.conversations[index].parked.push_front(submission);
                return;
            }
        }
    }

    /// Decides about one Send. False: it must wait.
    fn judge(&mut self, index: u32, submission: &mut Submission) -> bool {
        let request = submission.request;
        match self.verdict(index, submission) {
            Verdict::Wait => return false,
            Verdict::Refuse(code) => {
                if mutant::is_on(Mutant::InboxFullAfterAcceptance) && code == RejectCode::InboxFull {
                    self.accept(index, submission, hash_of(&submission.payload));
                }
                let conversation = self.conversations[index].id.clone();
                self.refuse(request, submission.message_id, &conversation, code);
            }
            Verdict::Replay(row, ticket) => {
                let conversation = self.conversations[index].id.clone();
                self.replay(request, submission.message_id, conversation, (row, ticket));
            }
            Verdict::Accept(hash) => self.accept(index, submission, hash),
        }
        true
    }

    // Rule: dedup (look up first, judge age and skew after)
    fn verdict(&mut self, index: u32, submission: &mut Submission) -> Verdict {
        let state = &self.conversations[index];
        let slot = state.slot;
        let key =
            Key { conversation: &state.id, sender: submission.sender, message_id: submission.message_id };
        let hash = hash_of(&submission.payload);
        let compare = |row: DedupRow, ticket| {
            if row.hash == hash || mutant::is_on(Mutant::ConflictIgnored) {
                Verdict::Replay(row, ticket)
            } else {
                Verdict::Refuse(RejectCode::IdempotencyConflict)
            }
        };
        if mutant::is_on(Mutant::AgeBeforeLookUp)
            && let Some(code) = self.age_refusal(index, submission.message_id)
        {
            return Verdict::Refuse(code);
        }
        match self.dedup.look_up(&key, slot) {
            Lookup::Known(_, ticket)
                if mutant::is_on(Mutant::InFlightUnknown) && !self.tickets.is_durable(ticket) => {}
            Lookup::Known(row, ticket) => return compare(row, Some(ticket)),
            Lookup::New => {}
            Lookup::Ask => match &submission.known {
                Known::Told(Some(row)) => return compare(*row, None),
                Known::Told(None) => {}
                Known::Failed => return Verdict::Refuse(RejectCode::Busy),
                Known::Asked(_) => return Verdict::Wait,
                Known::Unasked => {
                    self.ask_dedup(index, submission);
                    return Verdict::Wait;
                }
            },
        }
        if let Some(code) = self.age_refusal(index, submission.message_id) {
            return Verdict::Refuse(code);
        }
        self.recipients_verdict(index, submission, hash)
    }

    /// Age and skew of an id that is not known, and room for it.
    fn age_refusal(&self, index: u32, message_id: MessageId) -> Option<RejectCode> {
        let (wall, minted_at) = (self.wall(), message_id.minted_at());
        let skew_ms = u64::try_from(SKEW_MAX.as_millis()).unwrap_or(u64::MAX);
        let window_ms = u64::try_from(self.config.limits.dedup.as_millis()).unwrap_or(u64::MAX);
        let slot = self.conversations[index].slot;
        if minted_at > wall.after_ms(skew_ms) {
            return Some(RejectCode::ClockSkew);
        }
        if minted_at.after_ms(window_ms) < wall || minted_at.day() < self.dedup.floor_day(slot) {
            return Some(RejectCode::MessageIdTooOld);
        }
        if !self.has_storage_room && !mutant::is_on(Mutant::FullDiskIgnored) {
            return Some(RejectCode::StorageFull);
        }
        (self.dedup.rows() >= self.config.limits.dedup_rows).then_some(RejectCode::Busy)
    }

    /// Homes that reported, inboxes that are not full, K.
    fn recipients_verdict(&mut self, index: u32, submission: &Submission, hash: PayloadHash) -> Verdict {
        let bytes = u64::try_from(submission.payload.len()).unwrap_or(u64::MAX);
        let members = self.conversations[index].members;
        for (number, member) in members.into_iter().enumerate() {
            let recipient = &mut self.recipients[member];
            recipient.is_touched = true;
            let is_own = number == usize::from(submission.sender) || members[0] == members[1];
            let home = &self.peers[usize::from(recipient.home.0)];
            if !home.has_reported {
                return Verdict::Refuse(RejectCode::Busy);
            }
            match recipient.room(bytes, is_own, home.is_unclaimed_full) {
                Room::Yes => {}
                Room::No(code) => return Verdict::Refuse(code),
                Room::Unknown => {
                    self.ask(member, index);
                    return Verdict::Wait;
                }
            }
        }
        Verdict::Accept(hash)
    }

    // Rule: one record (sequence, dedup and outbox together)
    fn accept(&mut self, index: u32, submission: &mut Submission, hash: PayloadHash) {
        let server_time = self.wall();
        let state = &mut self.conversations[index];
        let mut sequence = state.last.next();
        if mutant::strikes(Mutant::SequenceSkipped, self.counters.accepted) {
            sequence = sequence.next();
        }
        let mut payload = std::mem::take(&mut submission.payload);
        if mutant::strikes(Mutant::PayloadAltered, self.counters.accepted) {
            payload = bytes::Bytes::from_static(b"altered");
        }
        let envelope = Arc::new(Envelope {
            conversation: state.id.clone(),
            sequence,
            sender: self.recipients[state.members[usize::from(submission.sender)]].user.clone(),
            device: submission.device.clone(),
            message_id: submission.message_id,
            server_time,
            payload,
        });
        let bytes = u64::try_from(envelope.payload.len()).unwrap_or(u64::MAX);
        state.last = sequence;
        state.is_touched = true;
        let mut slots: Slots = state.lanes().iter().map(|lane| lane.slot).collect();
        slots.sort_unstable();
        state
            .outbox
            .push_back(Pending { envelope: Arc::clone(&envelope), request: Some(submission.request) });
        let members = state.members;
        self.recipients[members[0]].hold(bytes);
        if members[1] != members[0] {
            self.recipients[members[1]].hold(bytes);
        }
        self.counters.accepted += 1;
        let ticket = self.store(smallvec![Op::Accept { envelope, hash, recipients: slots }]);
        self.conversations[index].last_ticket = ticket;
        if mutant::is_on(Mutant::AckBeforeStored) {
            self.accepted_durable(index, sequence);
        } else {
            self.after(ticket, After::Accepted { conversation: index, sequence });
        }
        let key = Key {
            conversation: &self.conversations[index].id,
            sender: submission.sender,
            message_id: submission.message_id,
        };
        self.dedup.remember(&key, DedupRow { sequence, server_time, hash }, ticket);
        self.counters.ids_forgotten += self.dedup.trim(|ticket| self.tickets.is_filled(ticket));
    }

    /// The record of an accepted message is durable: it goes to the homes, and with that to its sender.
    pub(crate) fn accepted_durable(&mut self, index: u32, sequence: Sequence) {
        let state = &mut self.conversations[index];
        assert!(state.durable_through < sequence, "sequence {sequence} is durable twice");
        state.durable_through = sequence;
        for lane in 0..state.lane_count {
            self.forward(index, lane);
        }
    }

    /// The conversation of this id, loaded or on its way.
    pub(crate) fn conversation(&mut self, id: &ConversationId) -> u32 {
        let hash = self.conversations.state().hash_one(id.as_str());
        if let Some(found) = self.conversations.find(hash, |state| state.id == *id) {
            self.conversations[found].is_touched = true;
            return found;
        }
        let index = self.new_conversation(id);
        self.load(LoadRequest::Conversation(id.clone()), Question::Conversation { conversation: index });
        index
    }

    /// Makes a conversation that is not loaded.
    pub(crate) fn new_conversation(&mut self, id: &ConversationId) -> u32 {
        let Some((low, high)) = id.direct_users() else {
            unreachable!("conversation {id} is not direct");
        };
        let members = [self.recipient(&low), self.recipient(&high)];
        for member in members {
            self.recipients[member].pins += 1;
        }
        let lane = |user: &UserId| Lane {
            slot: user.slot(),
            shard: self.config.placement.shard_of(user.slot()),
            forwarded: Sequence::NONE,
            confirmed: Sequence::NONE,
            emitted: Sequence::NONE,
            outstanding: 0,
            is_queued: false,
            is_rewinding: false,
        };
        let lanes = [lane(&low), lane(&high)];
        let has_two = lanes[0].slot != lanes[1].slot;
        self.conversations.insert(Conversation {
            id: id.clone(),
            slot: id.slot(),
            last: Sequence::NONE,
            durable_through: Sequence::NONE,
            last_ticket: Ticket::default(),
            members,
            lane_of: [0, u8::from(has_two)],
            lanes,
            lane_count: 1 + u8::from(has_two),
            outbox: Ring::default(),
            parked: Ring::default(),
            is_loaded: false,
            is_listed: false,
            is_touched: true,
        })
    }

    /// The last sequence of a conversation without outbox is known.
    pub(crate) fn conversation_loaded(&mut self, index: u32, last: Sequence) {
        let state = &mut self.conversations[index];
        assert!(!state.is_loaded, "conversation {} is loaded twice", state.id);
        state.is_loaded = true;
        state.last = last;
        state.durable_through = last;
        for lane in &mut state.lanes {
            lane.forwarded = last;
            lane.confirmed = last;
            lane.emitted = last;
        }
        self.advance(index);
    }

    /// The tables cannot tell the last sequence: nothing of this conversation can be judged.
    pub(crate) fn conversation_failed(&mut self, index: u32) {
        self.refuse_parked(index, RejectCode::Busy);
        self.drop_conversation(index);
    }

    /// Refuses every Send that waits in a conversation.
    pub(crate) fn refuse_parked(&mut self, index: u32, code: RejectCode) {
        let Some(state) = self.conversations.at(index) else { return };
        let id = state.id.clone();
        while let Some(submission) = self.conversations[index].parked.pop_front() {
            self.refuse(submission.request, submission.message_id, &id, code);
        }
    }

    /// The tables answered for a parked Send.
    pub(crate) fn dedup_loaded(&mut self, index: u32, id: LoadId, answer: DedupAnswer) {
        let Some(state) = self.conversations.at_mut(index) else { return };
        for at in 0..state.parked.len() {
            if let Some(submission) = state.parked.at_mut(at)
                && matches!(submission.known, Known::Asked(asked) if asked == id)
            {
                submission.known = match answer {
                    DedupAnswer::Told(row) => Known::Told(row),
                    DedupAnswer::Failed => Known::Failed,
                };
            }
        }
        self.advance(index);
    }
}
