//! What a stop of the host under `os` durability leaves behind: each core's log ends where it ends.
//!
//! A home may remember messages that their owner has lost. The next ones would get the same sequences, count as known there,
//! and be ignored. So homes forget what owners have lost: the history ends for all where it ends for its owner. Clients
//! learn of it by the new incarnation.
//!
//! Invariants
//! - After a rewound start no watermark is above the last sequence of its conversation, and no inbox holds what is.

use super::moving::owner;
use crate::codec::{DecodeError, put_varint};
use crate::encode::{put_entry, put_user_row};
use crate::key::{Key, KeyRange, parse, slot_of_conversation};
use crate::load::{entry_bytes, inbox_row, last_sequence, user_value};
use crate::op::{Entry, UserRow};
use crate::row::sequence_from_value;
use crate::tables::{ChangeList, Next, Table, TableError, Tables};
use crate::view::user_id;
use iris_protocol::{Sequence, UserId};
use std::collections::BTreeMap;

/// By user and conversation: what the owner has.
type Ahead = BTreeMap<UserId, BTreeMap<Vec<u8>, Sequence>>;

/// Makes every home forget what is above the last sequence of its conversation, durably. Returns how many inboxes were
/// ahead of one.
///
/// # Errors
/// The core whose tables failed, and why.
pub(super) fn cut_homes<T: Tables>(tables: &mut [&mut T]) -> Result<u64, (u16, TableError)> {
    let mut cut = 0_u64;
    for core in 0..u16::try_from(tables.len()).unwrap_or(u16::MAX) {
        let failed = |error| (core, error);
        let ahead = find_ahead(tables, core).map_err(failed)?;
        let Some(home) = tables.get_mut(usize::from(core)) else { continue };
        let mut batch = ChangeList::default();
        for (user, conversations) in &ahead {
            cut = cut.saturating_add(1);
            cut_user(*home, user, conversations, &mut batch).map_err(failed)?;
        }
        home.apply(&batch, home.applied()).and_then(|()| home.flush()).map_err(failed)?;
    }
    Ok(cut)
}

/// Watermarks of a core that are above the last sequence of their conversation.
fn find_ahead<T: Tables>(tables: &[&mut T], core: u16) -> Result<Ahead, TableError> {
    let shards = u16::try_from(tables.len()).unwrap_or(u16::MAX);
    let mut ahead = Ahead::new();
    let Some(home) = tables.get(usize::from(core)) else { return Ok(ahead) };
    let range = KeyRange::all();
    home.scan(Table::Watermarks, &range.from, &range.end, &mut |key, value| {
        let malformed = |source| TableError::malformed(Table::Watermarks, key, source);
        let parsed = parse(Table::Watermarks, key).map_err(malformed)?;
        let Key::Watermark { user, conversation, .. } = parsed else {
            return Err(malformed(DecodeError::Truncated));
        };
        let watermark = sequence_from_value(value).map_err(malformed)?;
        let slot = slot_of_conversation(conversation);
        let Some(owner) = tables.get(usize::from(owner(slot, shards))) else { return Ok(Next::Continue) };
        let last = last_sequence(&**owner, Key::Sequence { slot, conversation })?;
        if watermark > last {
            let user = user_id(user).map_err(malformed)?;
            ahead.entry(user).or_default().insert(conversation.to_vec(), last);
        }
        Ok(Next::Continue)
    })?;
    Ok(ahead)
}

/// One inbox: watermarks fall, entries above them go, gaps end with them, and the user's usage follows.
fn cut_user(
    home: &impl Tables,
    user: &UserId,
    conversations: &BTreeMap<Vec<u8>, Sequence>,
    batch: &mut ChangeList,
) -> Result<(), TableError> {
    let (slot, name) = (user.slot(), user.as_str().as_bytes());
    // An earlier stop may have taken what stood before the entries that go: a device must not be told that it was there.
    let mut marks = conversations.clone();
    let (mut entries, mut bytes) = (0_u32, 0_u64);
    let range = KeyRange::user(user);
    home.scan(Table::Inbox, &range.from, &range.end, &mut |key, value| {
        let (_, _, entry) = inbox_row(key, value)?;
        let (conversation, from, through) = match &entry {
            Entry::Message { envelope, .. } => (&envelope.conversation, envelope.sequence, envelope.sequence),
            Entry::Gap { conversation, from, through, .. } => (conversation, *from, *through),
        };
        let last = conversations.get(conversation.as_str().as_bytes()).copied();
        let Some(last) = last.filter(|last| through > *last) else { return Ok(Next::Continue) };
        match &entry {
            Entry::Gap { conversation, reason, .. } if from <= last => {
                let mut value = Vec::new();
                let conversation = conversation.clone();
                put_entry(&mut value, &Entry::Gap { conversation, from, through: last, reason: *reason });
                batch.put(Table::Inbox, key, &value);
            }
            Entry::Message { .. } | Entry::Gap { .. } => {
                let before = match &entry {
                    Entry::Message { previous, .. } => *previous,
                    Entry::Gap { .. } => Sequence(from.0.saturating_sub(1)),
                };
                if let Some(mark) = marks.get_mut(conversation.as_str().as_bytes()) {
                    *mark = (*mark).min(before);
                }
                entries = entries.saturating_add(1);
                bytes = bytes.saturating_add(entry_bytes(&entry));
                batch.delete(Table::Inbox, key);
            }
        }
        Ok(Next::Continue)
    })?;
    for (conversation, mark) in &marks {
        let mut value = Vec::new();
        put_varint(&mut value, mark.0);
        batch.put(Table::Watermarks, &Key::Watermark { slot, user: name, conversation }.to_vec(), &value);
    }
    let key = Key::User { slot, user: name }.to_vec();
    let mut stored = Vec::new();
    if home.get(Table::Users, &key, &mut stored)? {
        let row = user_value(&stored).map_err(|source| TableError::malformed(Table::Users, &key, source))?;
        let row = UserRow {
            stored_entries: row.stored_entries.saturating_sub(entries),
            stored_bytes: row.stored_bytes.saturating_sub(bytes),
            ..row
        };
        let mut value = Vec::new();
        put_user_row(&mut value, &row);
        batch.put(Table::Users, &key, &value);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
