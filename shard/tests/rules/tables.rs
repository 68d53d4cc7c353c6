//! Tables as plain maps: what `op.rs` and `load.rs` promise, and nothing else.

use iris_protocol::{
    ConversationId, DeviceId, Envelope, MessageId, Offset, PayloadHash, Sequence, Slot, UserId, Wall,
};
use iris_storage::load::{BootState, LoadError, LoadRequest, Loaded};
use iris_storage::op::{CursorRow, DedupKey, DedupRow, Entry, Op, UserRow};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The durable state of one shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    pub(crate) sequences: BTreeMap<ConversationId, Sequence>,
    pub(crate) outbox: BTreeMap<(ConversationId, Sequence), (Arc<Envelope>, BTreeSet<Slot>)>,
    pub(crate) dedup: BTreeMap<DedupKey, DedupRow>,
    pub(crate) inbox: BTreeMap<(UserId, Offset), Entry>,
    pub(crate) watermarks: BTreeMap<(UserId, ConversationId), Sequence>,
    pub(crate) users: BTreeMap<UserId, UserRow>,
    pub(crate) cursors: BTreeMap<(UserId, DeviceId), CursorRow>,
    pub(crate) floors: BTreeMap<Slot, (u32, Wall)>,
    pub(crate) broken_users: BTreeSet<UserId>,
    pub(crate) broken_conversations: BTreeSet<ConversationId>,
    /// Operations ever applied, by kind.
    pub(crate) applied: BTreeMap<&'static str, u64>,
    /// The watermark and cursor at each moment are compared after each record.
    pub(crate) payload_bytes_written: u64,
}

impl Tables {
    pub(crate) fn apply(&mut self, ops: &[Op]) {
        for op in ops {
            self.apply_one(op);
        }
        self.check_watermarks();
    }

    fn count(&mut self, kind: &'static str) {
        *self.applied.entry(kind).or_default() += 1;
    }

    fn apply_one(&mut self, op: &Op) {
        match op {
            Op::Accept { envelope, hash, recipients } => self.accept(envelope, *hash, recipients),
            Op::Confirm { conversation, recipient, sequences } => {
                self.count("confirm");
                for (sequence, is_last) in sequences {
                    self.confirm(conversation, *recipient, *sequence, *is_last);
                }
            }
            Op::Append { user, offset, entry } => {
                self.count("append");
                let (conversation, through) = place_of(entry);
                if let Entry::Message { envelope, .. } = entry {
                    self.payload_bytes_written += envelope.payload.len() as u64;
                }
                let before = self.inbox.insert((user.clone(), *offset), entry.clone());
                assert!(before.is_none(), "a row was put where one stands: {user} {offset}");
                self.raise(user, &conversation, through);
            }
            Op::Elide { user, watermarks } => {
                self.count("elide");
                for (conversation, through) in watermarks {
                    self.raise(user, conversation, *through);
                }
            }
            Op::Remove { user, offsets } => {
                self.count("remove");
                for offset in offsets {
                    let old = self.inbox.remove(&(user.clone(), *offset));
                    assert!(old.is_some(), "removed row {offset} of {user} does not exist");
                }
            }
            Op::User { user, row } => {
                self.count("user");
                self.users.insert(user.clone(), *row);
                let rows: Vec<_> = self.rows_of(user).collect();
                assert_eq!(rows.len(), row.stored_entries as usize, "usage of {user}: {row:?}");
                let bytes: u64 = rows.iter().map(|(_, entry)| bytes_of(entry)).sum();
                assert_eq!(bytes, row.stored_bytes, "bytes of {user}");
            }
            Op::Cursor { user, device, row } => {
                self.count("cursor");
                let old = self.cursors.insert((user.clone(), device.clone()), *row);
                let fell = old.is_some_and(|old| old.acked_through > row.acked_through);
                assert!(!fell, "the cursor of {user} {device} falls to {}", row.acked_through);
            }
            Op::Unlink { user, device } => {
                self.count("unlink");
                assert!(
                    self.cursors.remove(&(user.clone(), device.clone())).is_some(),
                    "{device} is not linked"
                );
            }
            Op::DedupFloor { slot, floor_day } => {
                self.count("floor");
                let floor = self.floors.entry(*slot).or_default();
                assert!(*floor_day >= floor.0, "the floor of {slot:?} falls");
                floor.0 = *floor_day;
                self.dedup.retain(|key, _| {
                    key.conversation.slot() != *slot || key.message_id.minted_at().day() >= *floor_day
                });
            }
        }
    }

    fn accept(&mut self, envelope: &Arc<Envelope>, hash: PayloadHash, recipients: &[Slot]) {
        self.count("accept");
        let conversation = &envelope.conversation;
        let last = self.sequences.entry(conversation.clone()).or_default();
        assert_eq!(last.next(), envelope.sequence, "sequences of {conversation} are not dense");
        *last = envelope.sequence;
        let key = DedupKey {
            conversation: conversation.clone(),
            sender: envelope.sender.clone(),
            message_id: envelope.message_id,
        };
        let row = DedupRow { sequence: envelope.sequence, server_time: envelope.server_time, hash };
        assert!(self.dedup.insert(key, row).is_none(), "{} was accepted twice", envelope.message_id);
        assert!(recipients.is_sorted(), "recipients are not ascending");
        let slots = recipients.iter().copied().collect();
        self.outbox.insert((conversation.clone(), envelope.sequence), (Arc::clone(envelope), slots));
        let floor = self.floors.entry(conversation.slot()).or_default();
        floor.1 = floor.1.max(envelope.message_id.minted_at());
        self.payload_bytes_written += envelope.payload.len() as u64;
    }

    fn confirm(&mut self, id: &ConversationId, slot: Slot, sequence: Sequence, is_last: bool) {
        let key = (id.clone(), sequence);
        let (_, slots) =
            self.outbox.get_mut(&key).unwrap_or_else(|| panic!("{id} {sequence} is not pending"));
        assert!(slots.remove(&slot), "{id} {sequence} is confirmed twice by {slot:?}");
        assert_eq!(slots.is_empty(), is_last, "{id} {sequence}: last slot");
        if is_last {
            self.outbox.remove(&key);
        }
    }

    fn raise(&mut self, user: &UserId, conversation: &ConversationId, through: Sequence) {
        let mark = self.watermarks.entry((user.clone(), conversation.clone())).or_default();
        *mark = (*mark).max(through);
    }

    /// An envelope that was taken is in the inbox, or every device's cursor passed it: here, or the entry is lost.
    fn check_watermarks(&self) {
        for ((user, device), row) in &self.cursors {
            assert!(row.acked_through.0 < 1 << 53, "{user} {device}: offset beyond 2^53");
        }
    }

    pub(crate) fn rows_of(&self, user: &UserId) -> impl Iterator<Item = (Offset, &Entry)> {
        let user = user.clone();
        self.inbox
            .range((user.clone(), Offset(0))..)
            .take_while(move |((other, _), _)| *other == user)
            .map(|((_, offset), entry)| (*offset, entry))
    }

    pub(crate) fn accepted(
        &self,
        conversation: &ConversationId,
        sender: &UserId,
        id: MessageId,
    ) -> Option<DedupRow> {
        let key = DedupKey { conversation: conversation.clone(), sender: sender.clone(), message_id: id };
        self.dedup.get(&key).copied()
    }

    pub(crate) fn load(&self, request: &LoadRequest) -> Result<Loaded, LoadError> {
        Ok(match request {
            LoadRequest::User(user) => {
                if self.broken_users.contains(user) {
                    return Err(LoadError::Damaged { table: "users", key: user.to_string() });
                }
                let devices = self.cursors.iter().filter(|((owner, _), _)| owner == user);
                Loaded::User {
                    row: self.users.get(user).copied().unwrap_or_default(),
                    devices: devices.map(|((_, device), row)| (device.clone(), *row)).collect(),
                }
            }
            LoadRequest::Inbox { user, after, entries_max, bytes_max } => {
                self.page(user, *after, *entries_max, *bytes_max)
            }
            LoadRequest::Watermark(user, conversation) => {
                let key = (user.clone(), conversation.clone());
                Loaded::Watermark(self.watermarks.get(&key).copied().unwrap_or_default())
            }
            LoadRequest::Conversation(id) => {
                if self.broken_conversations.contains(id) {
                    return Err(LoadError::Damaged { table: "sequence", key: id.to_string() });
                }
                Loaded::Conversation(self.sequences.get(id).copied().unwrap_or_default())
            }
            LoadRequest::Dedup(key) => Loaded::Dedup(self.dedup.get(key).copied()),
            LoadRequest::Expired { slot, before, .. } => {
                let expired = |entry: &Entry| match entry {
                    Entry::Message { envelope, .. } => envelope.server_time < *before,
                    Entry::Gap { .. } => false,
                };
                let rows =
                    self.inbox.iter().filter(|((user, _), entry)| user.slot() == *slot && expired(entry));
                let entries = rows.map(|((user, offset), entry)| (user.clone(), *offset, entry.clone()));
                Loaded::Expired { entries: entries.collect(), next: None }
            }
        })
    }

    fn page(&self, user: &UserId, after: Offset, entries_max: u32, bytes_max: u64) -> Loaded {
        let mut entries = Vec::new();
        let (mut bytes, mut complete) = (0, true);
        for (offset, entry) in self.rows_of(user).filter(|(offset, _)| *offset > after) {
            if entries.len() >= entries_max as usize || bytes > bytes_max {
                complete = false;
                break;
            }
            bytes += bytes_of(entry);
            entries.push((offset, entry.clone()));
        }
        Loaded::Inbox { entries, complete }
    }

    /// What a boot is told.
    pub(crate) fn boot_state(&self, crowded_from: u32) -> BootState {
        let mut boot = BootState::default();
        for ((id, _), (envelope, slots)) in &self.outbox {
            boot.outbox.push((Arc::clone(envelope), slots.iter().copied().collect()));
            if boot.last_sequences.last().map(|(last, _)| last) != Some(id) {
                boot.last_sequences.push((id.clone(), self.sequences[id]));
            }
        }
        boot.floors = self.floors.iter().map(|(slot, (day, at))| (*slot, *day, *at)).collect();
        for (user, row) in self.users.iter().filter(|(_, row)| row.stored_entries >= crowded_from) {
            let devices = self.cursors.iter().filter(|((owner, _), _)| owner == user);
            let devices = devices.map(|((_, device), row)| (device.clone(), *row)).collect();
            boot.crowded.push((user.clone(), *row, devices));
        }
        let claimed: BTreeSet<_> =
            self.cursors.iter().filter(|(_, row)| !row.detached).map(|((user, _), _)| user).collect();
        let unclaimed = self.users.iter().filter(|(user, _)| !claimed.contains(user));
        boot.unclaimed_bytes = unclaimed.map(|(_, row)| row.held_bytes()).sum();
        boot.dedup_rows = self.dedup.len() as u64;
        boot
    }
}

fn place_of(entry: &Entry) -> (ConversationId, Sequence) {
    match entry {
        Entry::Message { envelope, .. } => (envelope.conversation.clone(), envelope.sequence),
        Entry::Gap { conversation, through, .. } => (conversation.clone(), *through),
    }
}

fn bytes_of(entry: &Entry) -> u64 {
    match entry {
        Entry::Message { envelope, .. } => envelope.payload.len() as u64,
        Entry::Gap { .. } => 0,
    }
}
