//! From the stored state to a shard that serves: the outbox first, full inboxes reported.
//!
//! Invariants
//! - What was accepted before the boot is forwarded before anything new, lane by lane.
//! - The report of full inboxes ends with Booted; nothing is accepted for a home before its report is complete.

use crate::conversation::Pending;
use crate::mail::{Body, RecipientState};
use crate::mutant::{self, Mutant};
use crate::shard::Shard;
use iris_protocol::{DeviceId, Envelope, Sequence, ShardId, Slot, UserId};
use iris_storage::load::BootState;
use iris_storage::op::{CursorRow, UserRow};
use std::sync::Arc;

/// A user whose inbox may be full, with its devices.
type Crowded = (UserId, UserRow, Vec<(DeviceId, CursorRow)>);

impl Shard {
    pub(crate) fn boot(&mut self, boot: BootState) {
        let BootState { outbox, last_sequences, crowded, unclaimed_bytes, .. } = boot;
        for (id, last) in last_sequences {
            let index = self.new_conversation(&id);
            let state = &mut self.conversations[index];
            state.last = last;
            state.durable_through = last;
            state.is_loaded = true;
            for lane in &mut state.lanes {
                lane.forwarded = last;
                lane.confirmed = last;
                lane.emitted = last;
            }
        }
        let mut touched = Vec::new();
        for (envelope, slots) in outbox {
            let index = self.boot_pending(&envelope, &slots);
            if touched.last() != Some(&index) {
                touched.push(index);
            }
        }
        self.boot_unclaimed(unclaimed_bytes);
        self.report_full(crowded);
        // Rule: forwarding order (after a restart old entries before any new one)
        for index in touched.into_iter().filter(|_| !mutant::is_on(Mutant::OutboxForgotten)) {
            for lane in 0..self.conversations[index].lane_count {
                self.forward(index, lane);
            }
        }
    }

    /// One accepted envelope that some slots have not confirmed.
    fn boot_pending(&mut self, envelope: &Arc<Envelope>, slots: &[Slot]) -> u32 {
        let hash =
            std::hash::BuildHasher::hash_one(self.conversations.state(), envelope.conversation.as_str());
        let found = self.conversations.find(hash, |state| state.id == envelope.conversation);
        let Some(index) = found else {
            unreachable!("the last sequence of {} is not known", envelope.conversation);
        };
        let state = &mut self.conversations[index];
        let last = state.outbox.back().map(|pending| pending.envelope.sequence);
        let sequence = envelope.sequence;
        assert!(sequence <= state.last, "outbox sequence {sequence} of {} is above its last", state.id);
        assert!(last.is_none_or(|last| last.next() == sequence), "the outbox of {} has a hole", state.id);
        state.outbox.push_back(Pending { envelope: Arc::clone(envelope), request: None });
        let before = Sequence(sequence.0 - 1);
        let bytes = u64::try_from(envelope.payload.len()).unwrap_or(u64::MAX);
        for at in 0..usize::from(self.conversations[index].lane_count) {
            let state = &mut self.conversations[index];
            let lane = &mut state.lanes[at];
            if !slots.contains(&lane.slot) {
                continue;
            }
            if lane.confirmed > before {
                (lane.confirmed, lane.emitted) = (before, before);
                if !mutant::is_on(Mutant::NewBeforeOld) {
                    lane.forwarded = before;
                }
            }
            let (members, lane_of) = (state.members, state.lane_of);
            for (number, member) in members.into_iter().enumerate() {
                let is_double = number == 1 && members[0] == members[1];
                if usize::from(lane_of[number]) == at && !is_double {
                    self.recipients[member].hold(bytes);
                }
            }
        }
        index
    }

    // Rule: full inboxes are reported at boot
    fn report_full(&mut self, crowded: Vec<Crowded>) {
        for (id, row, devices) in crowded {
            let limits = self.config.limits;
            let is_claimed = devices.iter().any(|(_, row)| !row.detached);
            let (entries_max, bytes_max) = if is_claimed {
                (limits.inbox_envelopes, limits.inbox_bytes)
            } else {
                (limits.unclaimed_envelopes, limits.unclaimed_bytes)
            };
            if row.stored_entries < entries_max && row.stored_bytes < bytes_max {
                continue;
            }
            let state = RecipientState::Full;
            self.recipient_state(&id, state, false);
            self.request_all(&Body::State { user: id.clone(), state, reply: false });
            // Loading it removes what no device needs any more, and tells everybody the state it has then.
            self.user(&id);
        }
        self.request_all(&Body::Booted);
    }

    fn request_all(&mut self, body: &Body) {
        for shard in 0..self.config.placement.shards() {
            if ShardId(shard) != self.config.shard {
                self.request(ShardId(shard), body.clone());
            }
        }
    }
}
