//! What the disks hold before the process serves anybody.

use super::World;
use crate::checker::base::{Base, UserBase};
use iris_protocol::{ConversationId, Offset, Sequence, Slot, UserId};
use iris_storage::load::{LoadRequest, Loaded};
use std::collections::BTreeSet;

impl World {
    /// Everything that checkers begin with after the host lost writes.
    pub(super) fn base(&mut self) -> Base {
        let users: BTreeSet<UserId> = self.people.iter().map(|person| person.user.clone()).collect();
        let pairs = users.iter().flat_map(|one| users.iter().map(move |other| (one, other)));
        let conversations: BTreeSet<ConversationId> =
            pairs.map(|(one, other)| ConversationId::direct(one, other)).collect();
        let mut base = Base::default();
        for conversation in &conversations {
            let request = LoadRequest::Conversation(conversation.clone());
            let Loaded::Conversation(last) = self.load(conversation.slot(), &request) else { continue };
            base.last.insert(conversation.clone(), last);
        }
        for user in &users {
            let of_user = conversations.iter().filter(|conversation| conversation.is_direct_member(user));
            let conversations: Vec<ConversationId> = of_user.cloned().collect();
            base.users.push(self.user_base(user, &conversations));
        }
        base
    }

    fn user_base(&mut self, user: &UserId, conversations: &[ConversationId]) -> UserBase {
        let slot = user.slot();
        let mut base = UserBase {
            user: user.clone(),
            rows: Vec::new(),
            devices: Vec::new(),
            waiting: Vec::new(),
            watermarks: conversations
                .iter()
                .map(|conversation| (conversation.clone(), Sequence::NONE))
                .collect(),
        };
        if let Loaded::User { devices, .. } = self.load(slot, &LoadRequest::User(user.clone())) {
            base.devices = devices;
        }
        let all = LoadRequest::Inbox {
            user: user.clone(),
            after: Offset::NONE,
            entries_max: u32::MAX,
            bytes_max: u64::MAX,
        };
        if let Loaded::Inbox { entries, .. } = self.load(slot, &all) {
            base.rows = entries;
        }
        for (conversation, watermark) in &mut base.watermarks {
            let request = LoadRequest::Watermark(user.clone(), conversation.clone());
            if let Loaded::Watermark(through) = self.load(slot, &request) {
                *watermark = through;
            }
        }
        for (envelope, slots) in &self.outbox {
            let taken = base.watermarks.get(&envelope.conversation);
            if slots.contains(&slot) && taken.is_some_and(|taken| envelope.sequence > *taken) {
                let place = (envelope.conversation.clone(), envelope.sequence);
                base.waiting.push((place, envelope.payload.len() as u64));
            }
        }
        base
    }

    /// Asks the tables of the shard that has a slot.
    fn load(&mut self, slot: Slot, request: &LoadRequest) -> Loaded {
        let shard = usize::from(self.placement().shard_of(slot).0);
        let answer = self.nodes[shard].engine.load(request);
        let answer = answer.unwrap_or_else(|error| unreachable!("no fault was injected: {error}"));
        answer.unwrap_or_else(|error| unreachable!("a row is damaged: {error}"))
    }
}
