//! Confirmations at the owner: K is free at once, the rows go with the next record.
//!
//! Invariants
//! - A lane's confirmation is cumulative and never goes back.
//! - An outbox row is deleted by the operation of the last lane, in the order in which operations are emitted.

use crate::credit::Kind;
use crate::settle::Batch;
use crate::shard::Shard;
use iris_protocol::{ConversationId, Sequence, ShardId, Slot};
use iris_storage::op::Op;

impl Shard {
    pub(crate) fn confirm_in(&mut self, from: ShardId, id: &ConversationId, slot: Slot, through: Sequence) {
        let Some((index, lane_number)) = self.lane(id, slot) else { return };
        let now = self.now;
        let state = &mut self.conversations[index];
        let lane = &mut state.lanes[usize::from(lane_number)];
        if through <= lane.confirmed {
            return;
        }
        assert!(through <= state.durable_through, "sequence {through} was confirmed and is not durable");
        let first = lane.confirmed.next();
        lane.confirmed = through;
        // After a restart a home may hold more than was forwarded since: that needs no forward any more.
        let forwarded = through.min(lane.forwarded).0.saturating_sub(first.0 - 1);
        lane.forwarded = lane.forwarded.max(through);
        let returned = u32::try_from(forwarded).unwrap_or(u32::MAX).min(lane.outstanding);
        lane.outstanding -= returned;
        if !std::mem::replace(&mut state.is_listed, true) {
            self.dirty_conversations.push(now, index);
        }
        for sequence in first.0..=through.0 {
            self.release_held(index, lane_number, Sequence(sequence));
        }
        self.drop_confirmed(index);
        self.refund(from, Kind::Forward, returned);
    }

    /// Frees K of the members behind a lane.
    fn release_held(&mut self, index: u32, lane: u8, sequence: Sequence) {
        let state = &mut self.conversations[index];
        let (members, lane_of) = (state.members, state.lane_of);
        let Some(pending) = state.pending_mut(sequence) else {
            unreachable!("sequence {sequence} is confirmed and not in the outbox");
        };
        let bytes = u64::try_from(pending.envelope.payload.len()).unwrap_or(u64::MAX);
        if lane_of[0] == lane {
            self.recipients[members[0]].release(bytes);
        }
        if lane_of[1] == lane && members[1] != members[0] {
            self.recipients[members[1]].release(bytes);
        }
    }

    /// Entries that every lane confirmed leave memory.
    fn drop_confirmed(&mut self, index: u32) {
        let state = &mut self.conversations[index];
        let through = state.lanes().iter().map(|lane| lane.confirmed).min().unwrap_or_default();
        while state.outbox.front().is_some_and(|pending| pending.envelope.sequence <= through) {
            state.outbox.pop_front();
        }
        state.outbox.release();
    }

    /// Puts the confirmations of a conversation into a record.
    pub(crate) fn emit_confirms(&mut self, index: u32, batch: &mut Batch) {
        let state = &mut self.conversations[index];
        state.is_listed = false;
        for at in 0..usize::from(state.lane_count) {
            let lane = state.lanes[at];
            if lane.emitted >= lane.confirmed {
                continue;
            }
            let others = state.lanes().iter().enumerate().filter(|(other, _)| *other != at);
            let others_through = others.map(|(_, other)| other.emitted).min().unwrap_or(lane.confirmed);
            let sequences = (lane.emitted.0 + 1..=lane.confirmed.0)
                .map(|sequence| (Sequence(sequence), sequence <= others_through.0))
                .collect();
            state.lanes[at].emitted = lane.confirmed;
            batch.ops.push(Op::Confirm { conversation: state.id.clone(), recipient: lane.slot, sequences });
        }
    }
}
