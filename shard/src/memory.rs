//! What a shard's state takes in memory, by what it is for.
//!
//! Slabs and tables are counted from their lengths. What single values own elsewhere (entries of inboxes, waiting messages, long
//! ids) is found by a survey that looks at a part of them each time that it is asked.
//!
//! Invariants
//! - Counting changes nothing else and has no effects. What the survey says is of the last round that was complete.
//! - An envelope that several hold is shared evenly among them, so that the sum has it once.

use crate::arena::{Arena, Keyed};
use crate::channel::{Channel, Parked};
use crate::conversation::{Conversation, Pending, Submission};
use crate::io::Effect;
use crate::mail::Body;
use crate::recipient::Recipient;
use crate::session::{Arrival, Session};
use crate::shard::Shard;
use crate::user::{Content, Device, Hole, Item, Rare, User, Work};
use iris_protocol::Envelope;
use std::sync::Arc;

/// Questions after which everything was looked at once: a minute's, for a driver that asks ten times a second.
const SURVEY_ROUNDS: u32 = 600;
/// Values of each kind looked at each time at least: some 50 us of them all.
const SURVEY_MIN: u32 = 512;
/// Bytes of a text that its id holds itself; a longer one is a block of its own.
const ID_INLINE_BYTES: usize = 23;
/// Counts in front of what is shared.
const ARC_BYTES: usize = 16;

/// Bytes of a shard's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Sessions, and what they have in flight.
    pub sessions: u64,
    /// Users and their devices.
    pub users: u64,
    /// Entries of inboxes that are in memory.
    pub inboxes: u64,
    /// Conversations as their owner and as their members' homes see them, with what is not confirmed.
    pub routes: u64,
    /// Message ids that are remembered.
    pub dedup: u64,
    /// Alarms of sessions.
    pub timers: u64,
    /// Effects and mail on their way.
    pub queues: u64,
}

/// What a block of so many bytes takes from the allocator.
///
/// Source: mimalloc's size classes: multiples of 16 up to 128 bytes, above it four steps to each doubling.
pub fn block_bytes(bytes: usize) -> u64 {
    let step = match bytes {
        0 => return 0,
        1..=128 => 16,
        larger => larger.next_power_of_two() / 8,
    };
    to_u64(bytes.next_multiple_of(step))
}

pub(crate) fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Walks over an arena, a part at a time, and sums up what its values own.
#[derive(Debug, Default)]
struct Hand {
    next: u32,
    sum: u64,
    /// Of the last whole round.
    last: u64,
}

impl Hand {
    fn walk<T: Keyed>(&mut self, arena: &Arena<T>, owned: impl Fn(&T) -> u64) {
        let bound = arena.peak();
        let end = self.next.saturating_add((bound / SURVEY_ROUNDS).max(SURVEY_MIN)).min(bound);
        self.sum += (self.next..end).filter_map(|index| arena.at(index)).map(owned).sum::<u64>();
        self.next = end;
        if end == bound {
            (self.last, self.sum, self.next) = (self.sum, 0, 0);
        }
    }
}

/// Where the survey stands.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    sessions: Hand,
    users: Hand,
    inboxes: Hand,
    channels: Hand,
    conversations: Hand,
    recipients: Hand,
    timers: u64,
}

impl Shard {
    /// What the state takes in memory. Goes on with the survey.
    pub fn memory(&mut self) -> Memory {
        self.take_survey();
        let survey = &self.survey;
        let routes = self.channels.bytes() + self.conversations.bytes() + self.recipients.bytes();
        Memory {
            sessions: self.sessions.bytes() + survey.sessions.last,
            users: self.users.bytes() + survey.users.last,
            inboxes: survey.inboxes.last,
            routes: routes + survey.channels.last + survey.conversations.last + survey.recipients.last,
            dedup: self.dedup.bytes(),
            timers: survey.timers,
            queues: block_bytes(self.effects.capacity() * size_of::<Effect>())
                + block_bytes(self.local.capacity() * size_of::<Body>()),
        }
    }

    fn take_survey(&mut self) {
        let survey = &mut self.survey;
        survey.sessions.walk(&self.sessions, of_session);
        survey.users.walk(&self.users, of_user);
        survey.inboxes.walk(&self.users, of_inbox);
        survey.channels.walk(&self.channels, of_channel);
        survey.conversations.walk(&self.conversations, of_conversation);
        survey.recipients.walk(&self.recipients, of_recipient);
        survey.timers = self.wheel.bytes();
    }
}

fn of_session(session: &Session) -> u64 {
    // A login's token is no longer here; its Hello is small.
    let arrival = session
        .arrival
        .as_ref()
        .map_or(0, |arrival| block_bytes(size_of::<Arrival>()) + block_bytes(size_of_val(&*arrival.login)));
    session.in_flight.bytes() + arrival
}

fn of_user(user: &User) -> u64 {
    let rare = user.rare.as_ref().map_or(0, |rare| {
        block_bytes(size_of::<Rare>()) + block_bytes(rare.devices.capacity() * size_of::<Device>())
    });
    let work = user.work.as_ref().map_or(0, |_| block_bytes(size_of::<Work>()));
    let names = user.devices().map(|device| of_text(device.id.as_str())).sum::<u64>();
    rare + work + names + of_text(user.id.as_str())
}

fn of_inbox(user: &User) -> u64 {
    let entries = user.items.iter().map(|Item { content, .. }| match content {
        Content::Message { envelope, .. } => of_envelope(envelope),
        Content::Gap(_) => block_bytes(size_of::<Hole>()),
    });
    user.items.bytes() + entries.sum::<u64>()
}

fn of_channel(channel: &Channel) -> u64 {
    let parked = channel.parked.iter().map(|parked| match parked {
        Parked::Forward { envelope, .. } => of_envelope(envelope),
        Parked::Send { payload, .. } => block_bytes(payload.len()),
    });
    channel.parked.bytes() + parked.sum::<u64>() + of_text(channel.conversation.as_str())
}

fn of_conversation(conversation: &Conversation) -> u64 {
    let pending = conversation.outbox.iter().map(|Pending { envelope, .. }| of_envelope(envelope));
    let parked = conversation.parked.iter().map(|Submission { payload, .. }| block_bytes(payload.len()));
    conversation.outbox.bytes()
        + conversation.parked.bytes()
        + pending.sum::<u64>()
        + parked.sum::<u64>()
        + of_text(conversation.id.as_str())
}

fn of_recipient(recipient: &Recipient) -> u64 {
    block_bytes(recipient.waiters.capacity() * size_of::<u32>()) + of_text(recipient.user.as_str())
}

/// The share of one of its holders.
fn of_envelope(envelope: &Arc<Envelope>) -> u64 {
    let bytes = block_bytes(ARC_BYTES + size_of::<Envelope>()) + block_bytes(envelope.payload.len());
    bytes / to_u64(Arc::strong_count(envelope)).max(1)
}

fn of_text(text: &str) -> u64 {
    if text.len() > ID_INLINE_BYTES { block_bytes(ARC_BYTES + text.len()) } else { 0 }
}

#[cfg(test)]
mod tests;
