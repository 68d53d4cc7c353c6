//! A recipient as an owner shard knows it: may it take messages, and how much it has unconfirmed (K).
//!
//! Invariants
//! - A recipient has at most K envelopes and K bytes (or one envelope) unconfirmed at one owner shard.
//! - Nothing is accepted for a home that has not reported since boot, or whose answer is not known.

use crate::arena::Keyed;
use crate::mail::{Body, RecipientState};
use crate::mutant::{self, Mutant};
use crate::shard::Shard;
use foldhash::fast::FixedState;
use iris_protocol::limits::{UNCONFIRMED_BYTES_MAX, UNCONFIRMED_MAX};
use iris_protocol::{RejectCode, ShardId, Slot, UserId};
use std::hash::BuildHasher;

/// See the module.
#[derive(Debug)]
pub(crate) struct Recipient {
    pub(crate) user: UserId,
    /// Its home.
    pub(crate) home: ShardId,
    /// `None`: not told yet.
    pub(crate) state: Option<RecipientState>,
    pub(crate) is_asked: bool,
    pub(crate) is_touched: bool,
    pub(crate) unconfirmed: u32,
    pub(crate) bytes: u64,
    /// Conversations that name it by index.
    pub(crate) pins: u32,
    /// Conversations that wait for its state.
    pub(crate) waiters: Vec<u32>,
}

impl Keyed for Recipient {
    fn key_hash(&self, state: &FixedState) -> u64 {
        state.hash_one(self.user.as_str())
    }
}

/// Whether a recipient can take a message of a size now.
pub(crate) enum Room {
    Yes,
    No(RejectCode),
    /// Ask, and wait for the answer.
    Unknown,
}

impl Recipient {
    // Rule: INBOX_FULL and K
    /// Room for one more message of `bytes`; `is_own`: it would be the sender's own copy, which nothing but K refuses;
    /// `is_unclaimed_full`: all unclaimed inboxes of its home together are full.
    pub(crate) fn room(&self, bytes: u64, is_own: bool, is_unclaimed_full: bool) -> Room {
        let unconfirmed_max = match (is_own, self.state) {
            (false, Some(RecipientState::Unclaimed))
                if is_unclaimed_full && !mutant::is_on(Mutant::UnclaimedTotalIgnored) =>
            {
                return Room::No(RejectCode::InboxFull);
            }
            (false, Some(RecipientState::Full)) if mutant::is_on(Mutant::InboxFullIgnored) => UNCONFIRMED_MAX,
            (false, Some(RecipientState::Unclaimed)) if mutant::is_on(Mutant::UnclaimedUnlimited) => {
                UNCONFIRMED_MAX
            }
            (true, _) | (false, Some(RecipientState::Open)) => UNCONFIRMED_MAX,
            (false, Some(RecipientState::Full)) => return Room::No(RejectCode::InboxFull),
            (false, Some(RecipientState::Unclaimed)) => 1,
            (false, None) => return Room::Unknown,
        };
        let is_unlimited = mutant::is_on(Mutant::UnconfirmedUnlimited) && unconfirmed_max == UNCONFIRMED_MAX;
        let unconfirmed_max = if is_unlimited { u32::MAX } else { unconfirmed_max };
        let too_many_bytes = self.unconfirmed > 0 && self.bytes + bytes > UNCONFIRMED_BYTES_MAX;
        if self.unconfirmed >= unconfirmed_max || too_many_bytes {
            Room::No(RejectCode::Busy)
        } else {
            Room::Yes
        }
    }

    /// One more is unconfirmed. A boot may hold more than K: what was confirmed and not yet recorded is there again.
    pub(crate) fn hold(&mut self, bytes: u64) {
        self.unconfirmed += 1;
        self.bytes += bytes;
    }

    pub(crate) fn release(&mut self, bytes: u64) {
        assert!(self.unconfirmed > 0 && self.bytes >= bytes, "more confirmed than held for {}", self.user);
        self.unconfirmed -= 1;
        self.bytes -= bytes;
    }
}

impl Shard {
    /// The recipient of this id, made if it is not there.
    pub(crate) fn recipient(&mut self, user: &UserId) -> u32 {
        let hash = self.recipients.state().hash_one(user.as_str());
        if let Some(found) = self.recipients.find(hash, |recipient| recipient.user == *user) {
            return found;
        }
        let home = self.config.placement.shard_of(user.slot());
        self.recipients.insert(Recipient {
            user: user.clone(),
            home,
            state: None,
            is_asked: false,
            is_touched: true,
            unconfirmed: 0,
            bytes: 0,
            pins: 0,
            waiters: Vec::new(),
        })
    }

    /// Asks the home of a recipient, once, and lets a conversation wait for the answer.
    pub(crate) fn ask(&mut self, index: u32, conversation: u32) {
        let recipient = &mut self.recipients[index];
        if !recipient.waiters.contains(&conversation) {
            recipient.waiters.push(conversation);
        }
        if !std::mem::replace(&mut recipient.is_asked, true) {
            let (home, user) = (recipient.home, recipient.user.clone());
            self.request(home, Body::Ask { user });
        }
    }

    /// The slot of recipients that were asked for has another owner: their senders try again later.
    pub(crate) fn ask_refused(&mut self, slot: Slot) {
        let refused: Vec<u32> = self
            .recipients
            .iter()
            .filter(|(_, recipient)| recipient.is_asked && recipient.user.slot() == slot)
            .map(|(index, _)| index)
            .collect();
        for index in refused {
            self.recipients[index].is_asked = false;
            for conversation in std::mem::take(&mut self.recipients[index].waiters) {
                self.refuse_parked(conversation, RejectCode::NotOwner);
            }
        }
    }

    /// A home told the state of a user.
    pub(crate) fn recipient_state(&mut self, user: &UserId, state: RecipientState, reply: bool) {
        let hash = self.recipients.state().hash_one(user.as_str());
        let found = self.recipients.find(hash, |recipient| recipient.user == *user);
        let index = match found {
            Some(index) => index,
            // A full inbox is remembered also before somebody writes to it.
            None if state == RecipientState::Full => self.recipient(user),
            None => return,
        };
        let recipient = &mut self.recipients[index];
        recipient.state = Some(state);
        if reply {
            recipient.is_asked = false;
        }
        for conversation in std::mem::take(&mut self.recipients[index].waiters) {
            self.advance(conversation);
        }
    }
}
