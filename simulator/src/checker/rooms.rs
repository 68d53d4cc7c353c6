//! Owners: for whom they may accept, by what they were told, and how much at once.
//!
//! Invariants
//! - Judged when an owner emits the record of a message, on the mail that had reached it by then.
//! - What was accepted before a boot does not count: an owner knows of more than this does.

use super::Violation;
use iris_protocol::limits::{Limits, UNCONFIRMED_BYTES_MAX, UNCONFIRMED_MAX};
use iris_protocol::{ConversationId, Envelope, Mono, Placement, Sequence, ShardId, UserId};
use iris_shard::mail::{Body, RecipientState};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// With the bytes of their payloads.
type Held = BTreeMap<(ConversationId, Sequence), u64>;

/// All owners, since the last boot.
#[derive(Default)]
pub(super) struct Rooms {
    limits: Limits,
    /// What a shard was told of a user that lives elsewhere.
    told: BTreeMap<(ShardId, UserId), RecipientState>,
    /// Shards (first) whose report reached another one.
    reported: BTreeSet<(ShardId, ShardId)>,
    /// Shards (first) of which another one was told that their unclaimed inboxes together are full.
    unclaimed_full: BTreeSet<(ShardId, ShardId)>,
    /// Accepted by a shard for a user, and not confirmed.
    held: BTreeMap<(ShardId, UserId), Held>,
    /// First messages of conversations, by sender.
    begun: BTreeMap<UserId, u64>,
    sends: BTreeMap<UserId, u64>,
    booted_at: Mono,
}

fn beyond(what: String) -> Violation {
    Violation { claim: "C8", what }
}

impl Rooms {
    pub(super) fn set(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The process stopped at this time.
    pub(super) fn stopped(&mut self, now: Mono) {
        *self = Self { limits: self.limits, booted_at: now, ..Self::default() };
    }

    /// Mail is taken.
    pub(super) fn mail(&mut self, from: ShardId, to: ShardId, body: &Body) {
        match body {
            Body::State { user, state, .. } => {
                self.told.insert((to, user.clone()), *state);
            }
            Body::Unclaimed { is_full: true } => {
                self.unclaimed_full.insert((from, to));
            }
            Body::Unclaimed { is_full: false } => {
                self.unclaimed_full.remove(&(from, to));
            }
            Body::Booted => {
                self.reported.insert((from, to));
            }
            Body::Confirm { conversation, slot, through } => {
                let Some((low, high)) = conversation.direct_users() else { return };
                for user in [low, high].into_iter().filter(|user| user.slot() == *slot) {
                    self.confirmed(to, &user, conversation, *through);
                }
            }
            Body::Submit { .. }
            | Body::Submitted { .. }
            | Body::Forward { .. }
            | Body::Reforward { .. }
            | Body::Ask { .. }
            | Body::Noted
            | Body::NotOwner { .. } => {}
        }
    }

    /// An owner may have heard that a recipient's home has everything up to here.
    pub(super) fn confirmed(
        &mut self,
        owner: ShardId,
        user: &UserId,
        conversation: &ConversationId,
        through: Sequence,
    ) {
        if let Some(held) = self.held.get_mut(&(owner, user.clone())) {
            held.retain(|(other, sequence), _| other != conversation || *sequence > through);
        }
    }

    /// An owner accepts a message.
    pub(super) fn accepts(
        &mut self,
        owner: ShardId,
        envelope: &Envelope,
        placement: &Placement,
        now: Mono,
    ) -> Option<Violation> {
        let (low, high) = envelope.conversation.direct_users()?;
        let members = if low == high { vec![low] } else { vec![low, high] };
        let place = (envelope.conversation.clone(), envelope.sequence);
        for user in members {
            let home = placement.shard_of(user.slot());
            let held = self.held.entry((owner, user.clone())).or_default();
            held.insert(place.clone(), envelope.payload.len() as u64);
            let (held, bytes) = (held.len(), held.values().sum::<u64>());
            if held > UNCONFIRMED_MAX as usize || (held > 1 && bytes > UNCONFIRMED_BYTES_MAX) {
                let what = format!("{owner} holds {held} messages of {bytes} bytes for {user} unconfirmed");
                return Some(beyond(what));
            }
            if home == owner {
                continue;
            }
            if !self.reported.contains(&(home, owner)) {
                return Some(beyond(format!(
                    "{owner} accepts for {user}, whose home {home} has not reported"
                )));
            }
            let told = self.told.get(&(owner, user.clone()));
            let is_own = user == envelope.sender;
            match told {
                Some(RecipientState::Open) => {}
                _ if is_own => {}
                Some(RecipientState::Unclaimed) if self.unclaimed_full.contains(&(home, owner)) => {
                    let what =
                        format!("{owner} accepts for {user}, and unclaimed inboxes of {home} are full");
                    return Some(beyond(what));
                }
                Some(RecipientState::Unclaimed) if held == 1 => {}
                Some(state) => {
                    return Some(beyond(format!(
                        "{owner} accepts for {user}, it holds {held}, and was told {state:?}"
                    )));
                }
                None => return Some(beyond(format!("{owner} accepts for {user}, and knows nothing of it"))),
            }
        }
        self.count(envelope, now)
    }

    /// Rates of a sender: bursts, and what refilled since the boot.
    fn count(&mut self, envelope: &Envelope, now: Mono) -> Option<Violation> {
        let (limits, sender) = (self.limits, &envelope.sender);
        let since = now.since(self.booted_at);
        let most = |burst: u32, count: u32, period: Duration| {
            let refilled = since.as_millis() * u128::from(count) / period.as_millis().max(1);
            u64::from(burst).saturating_add(u64::try_from(refilled).unwrap_or(u64::MAX)).saturating_add(1)
        };
        let sends = self.sends.entry(sender.clone()).or_default();
        *sends += 1;
        let sends_most = most(limits.sends_burst, limits.sends_per_second, Duration::from_secs(1));
        if *sends > sends_most {
            return Some(beyond(format!(
                "{sends} messages of {sender} were accepted, {sends_most} are the most"
            )));
        }
        if envelope.sequence.0 > 1 {
            return None;
        }
        let begun = self.begun.entry(sender.clone()).or_default();
        *begun += 1;
        let count = limits.new_conversations_per_hour;
        let begun_most = most(count, count, Duration::from_hours(1)) - 1;
        (*begun > begun_most)
            .then(|| format!("{sender} began {begun} conversations, {begun_most} are the most"))
            .map(beyond)
    }
}
