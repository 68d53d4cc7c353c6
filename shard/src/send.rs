//! A Send at the sender's home: ids, size, rate, membership; then on to the owner of the conversation.
//!
//! Invariants
//! - Sends of one session into one conversation reach the owner in the order in which they came.
//! - Every Send is answered exactly once while its connection lives.

use crate::channel::Parked;
use crate::io::ConnId;
use crate::mail::{Body, RequestRef};
use crate::mutant::{self, Mutant};
use crate::rate::interval;
use crate::session::Phase;
use crate::shard::Shard;
use crate::user::NOBODY;
use bytes::Bytes;
use iris_protocol::frame::{Send, Target};
use iris_protocol::limits::PAYLOAD_BYTES_MAX;
use iris_protocol::wire::{self, server_frame};
use iris_protocol::{CloseCode, ConversationId, MessageId, Offset, RejectCode, Sequence, UserId};
use std::time::Duration;

/// A Send whose ids are checked.
struct Checked {
    conn: ConnId,
    request_id: u64,
    message_id: MessageId,
    payload: Bytes,
}

/// When to come back after a refusal that is worth a retry.
pub(crate) fn retry_after_ms(code: RejectCode) -> Option<u32> {
    match code {
        // About four confirm rounds.
        RejectCode::Busy => Some(100),
        RejectCode::NotOwner => Some(1_000),
        RejectCode::StorageFull => Some(10_000),
        RejectCode::InboxFull => Some(30_000),
        RejectCode::RateLimited
        | RejectCode::UnknownFrame
        | RejectCode::InvalidId
        | RejectCode::InvalidMessageId
        | RejectCode::PayloadTooLarge
        | RejectCode::IdempotencyConflict
        | RejectCode::ClockSkew
        | RejectCode::Forbidden
        | RejectCode::UnknownDevice
        | RejectCode::TokenRefused
        | RejectCode::MessageIdTooOld => None,
    }
}

fn ms_of(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}

impl Shard {
    pub(crate) fn send_in(&mut self, index: u32, send: Send) {
        self.counters.sends += 1;
        if let Some(through) = send.ack_through
            && !self.ack(index, Offset(through))
        {
            return;
        }
        if self.sessions[index].expires_at <= self.now {
            return self.close(index, CloseCode::TokenExpired, None);
        }
        let channel = match self.check(index, &send) {
            Ok(channel) => channel,
            Err((code, after)) => return self.refuse_here(index, &send, code, after),
        };
        let Ok(message_id) = send.message_id.parse() else {
            return self.refuse_here(index, &send, RejectCode::InvalidMessageId, None);
        };
        let conn = self.sessions[index].conn;
        let checked = Checked { conn, request_id: send.request_id, message_id, payload: send.payload };
        self.count_unanswered(index);
        let waits = &mut self.channels[channel];
        if waits.waiting > 0 || !waits.parked.is_empty() {
            let Checked { conn, request_id, message_id, payload } = checked;
            waits.parked.push_back(Parked::Send { conn, request_id, message_id, payload });
            return;
        }
        self.send_on(index, channel, checked);
    }

    /// A parked Send whose channel is loaded.
    pub(crate) fn unpark_send(&mut self, channel: u32, parked: Parked) {
        let Parked::Send { conn, request_id, message_id, payload } = parked else {
            unreachable!("only a Send is unparked here");
        };
        let live = self.session_of(conn).filter(|index| self.sessions[*index].phase == Phase::Live);
        if let Some(index) = live {
            self.send_on(index, channel, Checked { conn, request_id, message_id, payload });
        }
    }

    fn refuse_here(&mut self, index: u32, send: &Send, code: RejectCode, after: Option<Duration>) {
        self.counters.rejected_here += 1;
        let frame = wire::Rejected {
            request_id: send.request_id,
            message_id: Some(Bytes::copy_from_slice(send.message_id.first_bytes())),
            code: code.number(),
            retry_after_ms: after.map(ms_of),
            server_time: self.wall().0,
        };
        self.send_frame(index, server_frame::Frame::Rejected(frame));
    }

    /// Size, rate, target and membership; gives the sender's channel of the conversation.
    fn check(&mut self, index: u32, send: &Send) -> Result<u32, (RejectCode, Option<Duration>)> {
        if send.payload.len() > PAYLOAD_BYTES_MAX {
            return Err((RejectCode::PayloadTooLarge, None));
        }
        let (now, limits) = (self.now, self.config.limits);
        let every = interval(Duration::from_secs(1), limits.sends_per_second);
        let user = self.sessions[index].user;
        let sends = &mut self.users[user].sends;
        let taken = sends.take(now, every, limits.sends_burst);
        if !mutant::is_on(Mutant::SendsUnlimited) {
            taken.map_err(|after| (RejectCode::RateLimited, Some(after)))?;
        }
        if let Some(channel) = self.recent_channel(index, send) {
            return Ok(channel);
        }
        let conversation = self.target(user, send).map_err(|code| (code, None))?;
        let slot = self.users[user].id.slot();
        let channel = self.channel(&conversation, slot);
        let serial = self.channels[channel].serial;
        let session = &mut self.sessions[index];
        (session.recent, session.recent_serial) = (channel, serial);
        Ok(channel)
    }

    /// The channel of the session's last Send, if this one goes there too: saves parsing and hashing.
    fn recent_channel(&mut self, index: u32, send: &Send) -> Option<u32> {
        let session = &self.sessions[index];
        let channel = self.channels.at_mut(session.recent)?;
        if channel.serial != session.recent_serial {
            return None;
        }
        let conversation = channel.conversation.as_str();
        let is_same = match send.target.as_ref()? {
            Target::Conversation(text) => text == conversation,
            Target::To(to) => is_pair(conversation, self.users[session.user].id.as_str(), to),
        };
        channel.is_touched = true;
        is_same.then_some(session.recent)
    }

    fn target(&self, user: u32, send: &Send) -> Result<ConversationId, RejectCode> {
        let sender = &self.users[user].id;
        match &send.target {
            Some(Target::To(to)) => {
                let to = UserId::parse(to).map_err(|_| RejectCode::InvalidId)?;
                Ok(ConversationId::direct(sender, &to))
            }
            Some(Target::Conversation(text)) => {
                let conversation = ConversationId::parse(text).map_err(|_| RejectCode::InvalidId)?;
                // The same answer for what exists and what does not.
                let is_member = conversation.is_direct_member(sender);
                if is_member { Ok(conversation) } else { Err(RejectCode::Forbidden) }
            }
            None => Err(RejectCode::InvalidId),
        }
    }

    /// Counts a new conversation, then submits.
    fn send_on(&mut self, index: u32, channel: u32, checked: Checked) {
        let user = self.sessions[index].user;
        if let Err(after) = self.count_conversation(user, channel) {
            self.counters.rejected_here += 1;
            let refusal = (RejectCode::RateLimited, Some(ms_of(after)));
            self.reject_send(index, checked.request_id, checked.message_id, refusal);
            return self.count_answered(index);
        }
        let place = self.sessions[index].place;
        let device = self.users[user].device(place).id.clone();
        let shard = self.config.shard;
        let request = RequestRef { shard, conn: checked.conn, request_id: checked.request_id };
        let body = Body::Submit {
            request,
            sender: self.users[user].id.clone(),
            device,
            conversation: self.channels[channel].conversation.clone(),
            message_id: checked.message_id,
            payload: checked.payload,
        };
        self.submit(self.channels[channel].owner, body);
    }

    /// A conversation in which this user never saw a message counts against the hourly limit, once.
    fn count_conversation(&mut self, user: u32, channel: u32) -> Result<(), Duration> {
        let Some(member) = self.channels[channel].member_of(user) else {
            unreachable!("user {user} is no member of channel {channel}");
        };
        if mutant::is_on(Mutant::ConversationsUnlimited) {
            return Ok(());
        }
        let state = &self.channels[channel];
        let is_known = state.members()[usize::from(member)].taken > Sequence::NONE;
        if is_known || state.is_counted {
            return Ok(());
        }
        let count = self.config.limits.new_conversations_per_hour;
        let every = interval(Duration::from_hours(1), count);
        let now = self.now;
        self.users[user].rare().conversations.take(now, every, count)?;
        self.channels[channel].is_counted = true;
        Ok(())
    }
}

/// True if `conversation` is the direct one of `user` and `other`, without making it.
fn is_pair(conversation: &str, user: &str, other: &str) -> bool {
    let Some(pair) = conversation.strip_prefix("d:") else { return false };
    let (low, high) = if user <= other { (user, other) } else { (other, user) };
    pair.len() == low.len() + 1 + high.len()
        && pair.starts_with(low)
        && pair.as_bytes()[low.len()] == b':'
        && pair.ends_with(high)
}

const _: () = assert!(NOBODY == u32::MAX, "a session without a recent channel finds none");

#[cfg(test)]
mod tests;
