//! The home of a slot: takes forwarded envelopes into inboxes, once and in order.
//!
//! Invariants
//! - An envelope at or below the watermark is never taken again.
//! - What was accepted is taken: a full inbox refuses only before acceptance, or leaves a gap for the sender's own copy.

use crate::channel::{Channel, Member, Parked, channel_hash};
use crate::delivery::Own;
use crate::io::Ticket;
use crate::loads::Question;
use crate::mail::{Body, RecipientState, RequestRef};
use crate::mutant::{self, Mutant};
use crate::ring::Ring;
use crate::shard::Shard;
use crate::stored::Durable;
use crate::user::{Content, Hole, Item, Waiter};
use iris_protocol::{
    Acceptance, ConversationId, Envelope, GapReason, Offset, Sequence, ShardId, Slot, UserId,
};
use iris_storage::load::LoadRequest;
use std::sync::Arc;

impl Shard {
    /// The channel of a conversation in a slot of this shard, loaded or on its way.
    pub(crate) fn channel(&mut self, conversation: &ConversationId, slot: Slot) -> u32 {
        let hash = channel_hash(self.channels.state(), conversation, slot);
        let found =
            self.channels.find(hash, |channel| channel.slot == slot && channel.conversation == *conversation);
        match found {
            Some(index) => {
                self.channels[index].is_touched = true;
                index
            }
            None => self.new_channel(conversation, slot),
        }
    }

    fn new_channel(&mut self, conversation: &ConversationId, slot: Slot) -> u32 {
        let Some((low, high)) = conversation.direct_users() else {
            unreachable!("conversation {conversation} is not direct");
        };
        let both = low != high && low.slot() == high.slot();
        let users: &[&UserId] = if both {
            &[&low, &high]
        } else if low.slot() == slot {
            &[&low]
        } else {
            &[&high]
        };
        assert!(users.iter().all(|user| user.slot() == slot), "{conversation} has no member in {slot:?}");
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        let channel = self.channels.insert(Channel {
            conversation: conversation.clone(),
            slot,
            owner: self.config.placement.shard_of(conversation.slot()),
            serial,
            members: [Member::default(); 2],
            member_count: u8::from(both) + 1,
            waiting: 0,
            last_ticket: Ticket::default(),
            confirmed: Sequence::NONE,
            parked: Ring::default(),
            is_counted: false,
            is_touched: true,
        });
        for (at, id) in users.iter().enumerate() {
            let user = self.user(id);
            self.users[user].pins += 1;
            self.channels[channel].members[at].user = user;
            self.channels[channel].waiting += 1;
            let member = u8::try_from(at).unwrap_or(0);
            self.load(
                LoadRequest::Watermark((*id).clone(), conversation.clone()),
                Question::Watermark { channel, member },
            );
            if !self.users[user].is_loaded {
                self.channels[channel].waiting += 1;
                self.users[user].rare().waiters.push(Waiter::Channel(channel));
            }
        }
        channel
    }

    pub(crate) fn watermark_loaded(&mut self, channel: u32, member: u8, through: Sequence) {
        let member = &mut self.channels[channel].members[usize::from(member)];
        (member.taken, member.durable) = (through, through);
        self.channel_waits_less(channel);
    }

    /// One thing less to load; the last one lets what was parked go on.
    pub(crate) fn channel_waits_less(&mut self, channel: u32) {
        let state = &mut self.channels[channel];
        assert!(state.waiting > 0, "channel {} waits for nothing", state.conversation);
        state.waiting -= 1;
        if state.waiting > 0 {
            return;
        }
        while let Some(parked) = self.channels[channel].parked.pop_front() {
            match parked {
                Parked::Forward { .. } => self.take_forward(channel, parked),
                Parked::Send { .. } => self.unpark_send(channel, parked),
            }
        }
        self.channels[channel].parked.release();
    }

    pub(crate) fn forward_in(&mut self, from: ShardId, slot: Slot, parked: Parked) {
        let Parked::Forward { envelope, .. } = &parked else {
            unreachable!("only a Forward comes here");
        };
        // Rule: forwarding order (mail for a slot that is not owned here is never confirmed)
        if self.config.placement.shard_of(slot) != self.config.shard {
            self.counters.not_owner += 1;
            let conversation = Some(envelope.conversation.clone());
            return self.reply(from, Body::NotOwner { slot, conversation });
        }
        let channel = self.channel(&envelope.conversation, slot);
        let state = &mut self.channels[channel];
        assert!(
            state.owner == from,
            "shard {from} forwards for {}, owned by {}",
            state.conversation,
            state.owner
        );
        if state.waiting > 0 {
            state.parked.push_back(parked);
        } else {
            self.take_forward(channel, parked);
        }
    }

    // Rule: watermark
    fn take_forward(&mut self, channel: u32, parked: Parked) {
        let Parked::Forward { previous, envelope, answers } = parked else {
            unreachable!("only a Forward is taken");
        };
        let mut is_known = true;
        let mut is_answered = false;
        for at in 0..self.channels[channel].member_count {
            let member = self.channels[channel].members[usize::from(at)];
            // Rule: forwarding order (inside one process a home never misses what comes before)
            assert!(
                member.taken >= previous,
                "{} took {} of {}, the owner says {previous} is unconfirmed",
                self.users[member.user].id,
                member.taken,
                envelope.conversation,
            );
            if envelope.sequence > member.taken || mutant::is_on(Mutant::WatermarkIgnored) {
                is_known = false;
                let is_sender = self.users[member.user].id == envelope.sender;
                is_answered |= self.take(channel, at, &envelope, answers.filter(|_| is_sender));
            }
        }
        if is_known {
            self.counters.forward_duplicates += 1;
            if !mutant::is_on(Mutant::KnownNotConfirmed) {
                self.confirm_again(channel, envelope.sequence);
            }
        }
        // The own copy answers in its place, if it can; else the answer goes out without one.
        if let Some(request) = answers.filter(|_| !is_answered)
            && let Some(index) = self.session_of(request.conn)
        {
            self.acknowledge_at(index, &envelope, request, None);
        }
    }

    /// Acknowledges a Send whose envelope was forwarded here.
    pub(crate) fn acknowledge_at(
        &mut self,
        index: u32,
        envelope: &Envelope,
        request: RequestRef,
        place: Option<(Offset, Sequence)>,
    ) {
        let acceptance = Acceptance {
            request_id: request.request_id,
            message_id: envelope.message_id,
            conversation: envelope.conversation.clone(),
            sequence: envelope.sequence,
            server_time: envelope.server_time,
            durability: self.config.durability,
            place,
        };
        self.acknowledge(index, acceptance, &Durable::of_forward(&request));
        self.count_answered(index);
    }

    /// Takes an envelope into one inbox and pushes it to the devices. True: the Send was answered with that.
    fn take(&mut self, channel: u32, at: u8, envelope: &Arc<Envelope>, own: Option<RequestRef>) -> bool {
        let member = self.channels[channel].members[usize::from(at)];
        if mutant::strikes(Mutant::MessageDropped, self.counters.taken)
            || mutant::is_on(Mutant::UnclaimedDropped) && !self.users[member.user].has_active_device()
        {
            self.counters.taken += 1;
            self.channels[channel].members[usize::from(at)].taken = envelope.sequence;
            return false;
        }
        let user = &self.users[member.user];
        // Rule: INBOX_FULL (the sender's own copy never refuses: it leaves a gap)
        let leaves_gap = user.state == RecipientState::Full && user.id == envelope.sender;
        if leaves_gap && mutant::is_on(Mutant::OwnCopyGapMissing) {
            self.channels[channel].members[usize::from(at)].taken = envelope.sequence;
            return false;
        }
        let content = if leaves_gap {
            self.widen_gap(channel, at, envelope.sequence)
        } else {
            Content::Message { envelope: Arc::clone(envelope), previous: member.taken }
        };
        let offset = self.append(channel, at, content);
        if leaves_gap {
            self.replace_gap(member.user, member.open_gap, offset);
        }
        let member = &mut self.channels[channel].members[usize::from(at)];
        member.taken = envelope.sequence;
        member.open_gap = if leaves_gap { offset } else { Offset::NONE };
        let user = member.user;
        self.counters.taken += 1;
        let own = own.filter(|_| !leaves_gap).map(|request| Own { request, offset });
        let is_answered = self.push(user, own);
        self.settle_soon(user);
        self.judge_user(user);
        is_answered
    }

    /// Puts an entry at the next offset.
    fn append(&mut self, channel: u32, member: u8, content: Content) -> Offset {
        let generation = self.config.generation;
        let since_ms = self.now_ms();
        let bytes = content.bytes();
        let user = &mut self.users[self.channels[channel].members[usize::from(member)].user];
        let offset = user.next_offset(generation);
        user.is_touched = true;
        user.fresh_entries += 1;
        user.fresh_bytes += u64::from(bytes);
        user.items.push_back(Item { offset, ticket: None, content, channel, bytes, since_ms, member });
        offset
    }

    // Rule: at most one open gap entry a conversation
    /// The gap entry that takes the place of an own copy: it swallows the open one before it.
    fn widen_gap(&mut self, channel: u32, at: u8, through: Sequence) -> Content {
        self.counters.gaps_inbox_full += 1;
        let member = self.channels[channel].members[usize::from(at)];
        let mut from = member.taken.next();
        if let Some(Item { content: Content::Gap(hole), ticket, .. }) =
            self.users[member.user].item(member.open_gap)
        {
            from = hole.from;
            if ticket.is_none() {
                self.take_out(member.user, member.open_gap);
            }
        }
        Content::Gap(Box::new(Hole {
            conversation: self.channels[channel].conversation.clone(),
            from,
            through,
            reason: GapReason::InboxFull,
        }))
    }

    /// The gap entry at `new` says what the one at `old` says. One that is in a record stays until the new one is durable:
    /// a stop before that takes the new one away, and leaves the old one behind a device that has passed its place.
    fn replace_gap(&mut self, index: u32, old: Offset, new: Offset) {
        let user = &mut self.users[index];
        let is_left = user.item(old).is_some();
        if let Some(rare) = &mut user.rare {
            for (_, by) in rare.replaced.iter_mut().filter(|(_, by)| *by == old && !is_left) {
                *by = new;
            }
        }
        if is_left {
            user.rare().replaced.push((old, new));
        }
    }

    /// Gap entries go that a durable one says again.
    pub(crate) fn drop_replaced(&mut self, index: u32) {
        let Some(rare) = self.users[index].rare.as_mut().filter(|rare| !rare.replaced.is_empty()) else {
            return;
        };
        let (replaced, before) = (std::mem::take(&mut rare.replaced), self.counters.removed);
        for (old, by) in replaced {
            let ticket = self.users[index].item(by).map(|item| item.ticket);
            let is_durable = |ticket: Option<Ticket>| ticket.is_some_and(|it| self.tickets.is_durable(it));
            if ticket.is_none_or(is_durable) {
                self.take_out(index, old);
            } else {
                self.users[index].rare().replaced.push((old, by));
            }
        }
        if self.counters.removed > before {
            self.list_user(index);
            self.judge_user(index);
        }
    }

    /// Takes an item out of memory, if it is there, and its row out of the tables.
    fn take_out(&mut self, index: u32, offset: Offset) {
        let user = &mut self.users[index];
        let place = user.items.partition_point(|item| item.offset < offset);
        if user.item(offset).is_none() {
            return;
        }
        if let Some(item) = user.items.remove(place) {
            self.forget_item(index, &item);
            self.forget_in_flight(index, offset);
        }
    }

    /// Takes an item out of the accounts: its row goes, or it never gets one.
    pub(crate) fn forget_item(&mut self, user: u32, item: &Item) {
        let state = &mut self.users[user];
        if item.ticket.is_some() {
            state.forget_rows(1, u64::from(item.bytes));
            self.work(user).removes.push(item.offset);
            self.counters.removed += 1;
        } else {
            state.fresh_entries -= 1;
            state.fresh_bytes -= u64::from(item.bytes);
        }
    }

    pub(crate) fn ask_in(&mut self, from: ShardId, user: &UserId) {
        if self.config.placement.shard_of(user.slot()) != self.config.shard {
            self.counters.not_owner += 1;
            return self.reply(from, Body::NotOwner { slot: user.slot(), conversation: None });
        }
        let index = self.user(user);
        if self.users[index].is_loaded {
            self.answer_ask(from, index);
        } else {
            self.users[index].rare().waiters.push(Waiter::Ask(from));
        }
    }

    pub(crate) fn answer_ask(&mut self, from: ShardId, index: u32) {
        let user = &self.users[index];
        let body = Body::State { user: user.id.clone(), state: user.state, reply: true };
        self.reply(from, body);
    }

    // Rule: INBOX_FULL (judged on the most advanced device: whoever is a whole inbox behind it is detached)
    /// Looks at a user's state again after its inbox or its devices changed.
    pub(crate) fn judge_user(&mut self, index: u32) {
        self.count_unclaimed(index);
        let (is_over, is_claimed) = self.measure(index);
        if is_over && is_claimed && self.detach_laggards(index) {
            return;
        }
        let state = self.state_of(index, is_over, is_claimed);
        if std::mem::replace(&mut self.users[index].state, state) != state {
            self.announce(index);
        }
    }

    /// A user's state when it is loaded. Owners that heard of it before are told if it may be another one now:
    /// `is_changed` says that the load itself changed something. Whether devices are too far behind is judged when the purge
    /// at load is done: rows that all of them have, left by a stop, put nobody behind.
    pub(crate) fn first_judgement(&mut self, index: u32, is_changed: bool) {
        self.count_unclaimed(index);
        self.users[index].state = RecipientState::Full;
        let (may_have_been_full, _) = self.measure(index);
        self.users[index].state = RecipientState::Open;
        let (is_over, is_claimed) = self.measure(index);
        self.users[index].state = self.state_of(index, is_over, is_claimed);
        if is_changed || may_have_been_full {
            self.announce(index);
        }
    }

    /// Whether the inbox is at its mark, and whether it has devices.
    fn measure(&self, index: u32) -> (bool, bool) {
        let limits = self.config.limits;
        let user = &self.users[index];
        let is_claimed = user.has_active_device();
        let (entries_max, bytes_max) = if is_claimed {
            (limits.inbox_envelopes, limits.inbox_bytes)
        } else {
            (limits.unclaimed_envelopes, limits.unclaimed_bytes)
        };
        // A full inbox opens again a sixteenth below its mark: a report to every shard at each message would not do.
        let slack = if user.state == RecipientState::Full { 16 } else { u64::MAX };
        let entries_mark = u64::from(entries_max) - u64::from(entries_max) / slack;
        let bytes_mark = bytes_max - bytes_max / slack;
        (user.entries() >= entries_mark.max(1) || user.bytes() >= bytes_mark.max(1), is_claimed)
    }

    fn state_of(&self, index: u32, is_over: bool, is_claimed: bool) -> RecipientState {
        let is_purging = self.users[index].rare.as_ref().is_some_and(|rare| rare.purge.is_some());
        match (is_over, is_claimed) {
            // What is being removed does not count, but is not known yet.
            (true, true) if is_purging => RecipientState::Open,
            (true, _) => RecipientState::Full,
            (false, true) => RecipientState::Open,
            (false, false) => RecipientState::Unclaimed,
        }
    }

    /// Tells every shard the state of a user.
    fn announce(&mut self, index: u32) {
        let (id, state) = (self.users[index].id.clone(), self.users[index].state);
        for shard in 0..self.config.placement.shards() {
            if ShardId(shard) == self.config.shard {
                self.recipient_state(&id, state, false);
            } else {
                self.request(ShardId(shard), Body::State { user: id.clone(), state, reply: false });
            }
        }
    }

    /// The user of this id, loaded or on its way.
    pub(crate) fn user(&mut self, id: &UserId) -> u32 {
        if let Some(found) = self.find_user(id) {
            self.users[found].is_touched = true;
            return found;
        }
        let index = self.users.insert(crate::user::User::new(id.clone()));
        self.load(LoadRequest::User(id.clone()), Question::User { user: index });
        index
    }

    pub(crate) fn find_user(&self, id: &UserId) -> Option<u32> {
        let hash = std::hash::BuildHasher::hash_one(self.users.state(), id.as_str());
        self.users.find(hash, |user| user.id == *id)
    }
}
