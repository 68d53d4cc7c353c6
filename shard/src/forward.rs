//! From an owner to the homes: every lane in sequence order from its lowest unconfirmed.
//!
//! Invariants
//! - Only what is durable is forwarded.
//! - A lane sends nothing new while it goes back for something old.

use crate::credit::Kind;
use crate::mail::Body;
use crate::shard::Shard;
use iris_protocol::{ConversationId, Sequence, ShardId, Slot};
use std::hash::BuildHasher;
use std::sync::Arc;

impl Shard {
    // Rule: forwarding order
    /// Forwards what a lane may, as far as credits reach.
    pub(crate) fn forward(&mut self, index: u32, lane_number: u8) {
        let own = self.config.shard;
        let at = usize::from(lane_number);
        loop {
            let state = &mut self.conversations[index];
            let (durable_through, id_slot_lane) = (state.durable_through, state.lane_of);
            let lane = &mut state.lanes[at];
            if lane.is_queued || lane.is_rewinding || lane.forwarded >= durable_through {
                return;
            }
            let to = lane.shard;
            if to != own && !self.peers[usize::from(to.0)].take(Kind::Forward) {
                lane.is_queued = true;
                self.peers[usize::from(to.0)].waiting_lanes.push_back((index, lane_number));
                return;
            }
            let (slot, before) = (lane.slot, lane.forwarded);
            let previous = if before > lane.confirmed { before } else { Sequence::NONE };
            lane.forwarded = before.next();
            lane.outstanding += 1;
            let sequence = lane.forwarded;
            let Some(pending) = state.pending_mut(sequence) else {
                unreachable!("sequence {sequence} of a lane is not in the outbox");
            };
            let envelope = Arc::clone(&pending.envelope);
            let is_low = self.recipients[state.members[0]].user == envelope.sender;
            let sender_lane = id_slot_lane[usize::from(!is_low)];
            let answers = if sender_lane == lane_number {
                state.pending_mut(sequence).and_then(|pending| pending.request.take())
            } else {
                None
            };
            self.counters.forwarded += 1;
            self.post_forward(to, Body::Forward { slot, previous, envelope, answers });
        }
    }

    /// A home did not take a forward: the lane goes back once every answer is in.
    pub(crate) fn forward_refused(&mut self, from: ShardId, id: &ConversationId, slot: Slot) {
        self.refund(from, Kind::Forward, 1);
        let Some((index, lane_number)) = self.lane(id, slot) else { return };
        let lane = &mut self.conversations[index].lanes[usize::from(lane_number)];
        assert!(lane.outstanding > 0, "a forward was refused that was never sent");
        lane.outstanding -= 1;
        lane.is_rewinding = true;
        if lane.outstanding == 0 {
            lane.forwarded = lane.confirmed;
            self.loads.retry(self.now, crate::loads::Retry::Lane { conversation: index, lane: lane_number });
        }
    }

    /// A refused lane starts again.
    pub(crate) fn forward_again(&mut self, index: u32, lane: u8) {
        self.conversations[index].lanes[usize::from(lane)].is_rewinding = false;
        self.forward(index, lane);
    }

    /// The lane of a conversation to a slot.
    pub(crate) fn lane(&self, id: &ConversationId, slot: Slot) -> Option<(u32, u8)> {
        let hash = self.conversations.state().hash_one(id.as_str());
        let index = self.conversations.find(hash, |state| state.id == *id)?;
        let lane = self.conversations[index].lanes().iter().position(|lane| lane.slot == slot)?;
        Some((index, u8::try_from(lane).unwrap_or(0)))
    }
}
