//! Keys of rows: slot first (2 bytes, big-endian), ids end with 0x00, integers big-endian.
//!
//! Invariants
//! - Bytewise order of keys is order by slot, then id, then number: a scan of a user or conversation is one range.
//! - No id contains 0x00, so no id's range holds another's keys.
//! - A slot is that of the id that owns the row, so a slot's rows are one range of each table and can move.

use crate::codec::{DecodeError, Reader};
use crate::tables::Table;
use iris_protocol::limits::SLOTS;
use iris_protocol::{ConversationId, MessageId, Offset, Sequence, Slot, UserId};
use xxhash_rust::xxh3::xxh3_64;

/// A row's key, in parts. Ids are bytes: they come from records in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key<'a> {
    Sequence { slot: Slot, conversation: &'a [u8] },
    Outbox { slot: Slot, conversation: &'a [u8], sequence: Sequence },
    OutboxPending { slot: Slot, conversation: &'a [u8], sequence: Sequence, recipient: Slot },
    Dedup { slot: Slot, day: u32, conversation: &'a [u8], sender: &'a [u8], message_id: &'a [u8; 16] },
    Inbox { slot: Slot, user: &'a [u8], offset: Offset },
    Watermark { slot: Slot, user: &'a [u8], conversation: &'a [u8] },
    User { slot: Slot, user: &'a [u8] },
    Cursor { slot: Slot, user: &'a [u8], device: &'a [u8] },
    Floor { slot: Slot },
}

impl Key<'_> {
    /// The table it is a key of.
    pub(crate) fn table(&self) -> Table {
        match self {
            Self::Sequence { .. } => Table::Sequence,
            Self::Outbox { .. } => Table::Outbox,
            Self::OutboxPending { .. } => Table::OutboxPending,
            Self::Dedup { .. } => Table::Dedup,
            Self::Inbox { .. } => Table::Inbox,
            Self::Watermark { .. } => Table::Watermarks,
            Self::User { .. } => Table::Users,
            Self::Cursor { .. } => Table::Cursors,
            Self::Floor { .. } => Table::Floor,
        }
    }

    /// Appends the key's bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Sequence { slot, conversation } => put_owner(out, slot, conversation),
            Self::Outbox { slot, conversation, sequence } => {
                put_owner(out, slot, conversation);
                out.extend_from_slice(&sequence.0.to_be_bytes());
            }
            Self::OutboxPending { slot, conversation, sequence, recipient } => {
                put_owner(out, slot, conversation);
                out.extend_from_slice(&sequence.0.to_be_bytes());
                out.extend_from_slice(&recipient.number().to_be_bytes());
            }
            Self::Dedup { slot, day, conversation, sender, message_id } => {
                put_slot(out, slot);
                out.extend_from_slice(&day.to_be_bytes());
                put_id(out, conversation);
                put_id(out, sender);
                out.extend_from_slice(message_id);
            }
            Self::Inbox { slot, user, offset } => {
                put_owner(out, slot, user);
                out.extend_from_slice(&offset.0.to_be_bytes());
            }
            Self::Watermark { slot, user, conversation: id } | Self::Cursor { slot, user, device: id } => {
                put_owner(out, slot, user);
                put_id(out, id);
            }
            Self::User { slot, user } => put_owner(out, slot, user),
            Self::Floor { slot } => put_slot(out, slot),
        }
    }

    /// The key's bytes.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        self.write(&mut out);
        out
    }
}

fn put_slot(out: &mut Vec<u8>, slot: Slot) {
    out.extend_from_slice(&slot.number().to_be_bytes());
}

fn put_id(out: &mut Vec<u8>, id: &[u8]) {
    out.extend_from_slice(id);
    out.push(0);
}

/// The prefix of all keys of a user or conversation.
fn put_owner(out: &mut Vec<u8>, slot: Slot, id: &[u8]) {
    put_slot(out, slot);
    put_id(out, id);
}

/// A range of keys: from, and exclusive end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    /// First key.
    pub(crate) from: Vec<u8>,
    /// Exclusive end.
    pub(crate) end: Vec<u8>,
}

impl KeyRange {
    /// All keys of a slot.
    pub(crate) fn slot(slot: Slot) -> Self {
        let from = slot.number().to_be_bytes().to_vec();
        let end = slot.number().saturating_add(1).to_be_bytes().to_vec();
        Self { from, end }
    }

    /// All keys of all slots.
    pub(crate) fn all() -> Self {
        Self { from: Vec::new(), end: SLOTS.to_be_bytes().to_vec() }
    }

    /// All keys of a user in a table whose keys start with users.
    pub(crate) fn user(user: &UserId) -> Self {
        let mut from = Vec::with_capacity(80);
        put_owner(&mut from, user.slot(), user.as_str().as_bytes());
        let mut end = from.clone();
        end.pop();
        end.push(1);
        Self { from, end }
    }

    /// Dedup keys of a slot with days below `day`.
    pub(crate) fn days_below(slot: Slot, day: u32) -> Self {
        let from = slot.number().to_be_bytes().to_vec();
        let mut end = from.clone();
        end.extend_from_slice(&day.to_be_bytes());
        Self { from, end }
    }

    /// True if the key is inside.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        key >= self.from.as_slice() && key < self.end.as_slice()
    }
}

/// The slot of a user's or group's id.
pub(crate) fn slot_of_id(id: &[u8]) -> Slot {
    let number = xxh3_64(id).checked_rem(u64::from(SLOTS)).and_then(|number| u16::try_from(number).ok());
    let slot = number.and_then(Slot::new);
    assert!(slot.is_some(), "a remainder of {SLOTS} is a slot");
    slot.unwrap_or_else(|| Slot::of(""))
}

/// The slot of a conversation: of its smaller user, or of its group.
pub(crate) fn slot_of_conversation(conversation: &[u8]) -> Slot {
    let owner = match conversation.strip_prefix(b"d:") {
        Some(pair) => pair.split(|byte| *byte == b':').next().unwrap_or(pair),
        None => conversation.strip_prefix(b"g:").unwrap_or(conversation),
    };
    slot_of_id(owner)
}

/// The dedup key of a message.
pub(crate) fn dedup<'a>(
    conversation: &'a ConversationId,
    sender: &'a UserId,
    message_id: &'a MessageId,
) -> Key<'a> {
    Key::Dedup {
        slot: conversation.slot(),
        day: message_id.minted_at().day(),
        conversation: conversation.as_str().as_bytes(),
        sender: sender.as_str().as_bytes(),
        message_id: message_id.as_bytes(),
    }
}

/// A key read back into its parts.
pub(crate) fn parse(table: Table, key: &[u8]) -> Result<Key<'_>, DecodeError> {
    let mut reader = Reader::new(key);
    let number = reader.u16()?;
    let slot = slot(number)?;
    let parsed = match table {
        Table::Sequence => Key::Sequence { slot, conversation: id(&mut reader)? },
        Table::Outbox => {
            Key::Outbox { slot, conversation: id(&mut reader)?, sequence: Sequence(reader.u64()?) }
        }
        Table::OutboxPending => Key::OutboxPending {
            slot,
            conversation: id(&mut reader)?,
            sequence: Sequence(reader.u64()?),
            recipient: self::slot(reader.u16()?)?,
        },
        Table::Dedup => Key::Dedup {
            slot,
            day: reader.u32()?,
            conversation: id(&mut reader)?,
            sender: id(&mut reader)?,
            message_id: reader.array()?,
        },
        Table::Inbox => Key::Inbox { slot, user: id(&mut reader)?, offset: Offset(reader.u64()?) },
        Table::Watermarks => Key::Watermark { slot, user: id(&mut reader)?, conversation: id(&mut reader)? },
        Table::Users => Key::User { slot, user: id(&mut reader)? },
        Table::Cursors => Key::Cursor { slot, user: id(&mut reader)?, device: id(&mut reader)? },
        Table::Floor => Key::Floor { slot },
        Table::Facts => return Err(DecodeError::Tag { tag: 0 }),
    };
    reader.end()?;
    Ok(parsed)
}

fn slot(number: u16) -> Result<Slot, DecodeError> {
    Slot::new(number).ok_or(DecodeError::Range { value: u64::from(number) })
}

fn id<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let end = reader.rest().iter().position(|byte| *byte == 0).ok_or(DecodeError::Truncated)?;
    let id = reader.take(end)?;
    reader.u8()?;
    Ok(id)
}

#[cfg(test)]
mod tests;
