//! What an operation does to rows: the one place that says so, for the merger, for recovery and for tests.
//!
//! Invariants
//! - The effect of an operation depends on nothing but the operation and the rows.
//! - A mark of a message replaces the mark before it, since a home takes sequences in order; a gap's only raises it.

use crate::codec::{DecodeError, Reader};
use crate::key::{Key, slot_of_conversation, slot_of_id};
use crate::view::{EntryView, Number, OpView, Piece};
use iris_protocol::{Offset, Sequence, Slot, Wall};

/// A value to be stored: a piece of the record, or some bytes of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Piece(Piece<'a>),
    Dedup([u8; DEDUP_VALUE_BYTES]),
}

/// Sequence 8, server time 8, hash 16.
pub(crate) const DEDUP_VALUE_BYTES: usize = 32;

/// Takes the changes of rows.
pub(crate) trait RowSink<'a> {
    /// The row is there with this value.
    fn put(&mut self, key: Key<'_>, value: Value<'a>);
    /// The row is gone.
    fn delete(&mut self, key: Key<'_>);
    /// The watermark is at least this.
    fn raise(&mut self, key: Key<'_>, to: Number<'a>);
    /// The slot's floors are at least these; dedup rows of days below `first_day` are gone.
    fn floor(&mut self, slot: Slot, first_day: Option<u32>, highest: Wall);
}

const EMPTY: Value<'static> = Value::Piece(Piece { bytes: &[], at: 0 });

/// Applies one operation to `sink`.
pub(crate) fn apply<'a>(op: &OpView<'a>, sink: &mut impl RowSink<'a>) {
    match *op {
        OpView::Accept { .. } => accept(op, sink),
        OpView::Confirm { conversation, recipient, sequences } => {
            let slot = slot_of_conversation(conversation);
            for (sequence, last) in sequences.confirms() {
                sink.delete(Key::OutboxPending { slot, conversation, sequence, recipient });
                if last {
                    sink.delete(Key::Outbox { slot, conversation, sequence });
                }
            }
        }
        OpView::Append { user, offset, entry, whole } => {
            let slot = slot_of_id(user);
            sink.put(Key::Inbox { slot, user, offset: Offset(offset) }, Value::Piece(whole));
            match entry {
                EntryView::Message { envelope, .. } => {
                    let key = Key::Watermark { slot, user, conversation: envelope.conversation };
                    sink.put(key, Value::Piece(envelope.sequence.piece));
                }
                EntryView::Gap { conversation, through, .. } => {
                    sink.raise(Key::Watermark { slot, user, conversation }, through);
                }
            }
        }
        OpView::Elide { user, watermarks } => {
            let slot = slot_of_id(user);
            for (conversation, sequence) in watermarks.watermarks() {
                sink.put(Key::Watermark { slot, user, conversation }, Value::Piece(sequence.piece));
            }
        }
        OpView::Remove { user, offsets } => {
            let slot = slot_of_id(user);
            for offset in offsets.offsets() {
                sink.delete(Key::Inbox { slot, user, offset });
            }
        }
        OpView::User { user, whole, .. } => {
            sink.put(Key::User { slot: slot_of_id(user), user }, Value::Piece(whole));
        }
        OpView::Cursor { user, device, whole, .. } => {
            sink.put(Key::Cursor { slot: slot_of_id(user), user, device }, Value::Piece(whole));
        }
        OpView::Unlink { user, device } => sink.delete(Key::Cursor { slot: slot_of_id(user), user, device }),
        OpView::DedupFloor { slot, floor_day } => sink.floor(slot, Some(floor_day), Wall(0)),
    }
}

fn accept<'a>(op: &OpView<'a>, sink: &mut impl RowSink<'a>) {
    let OpView::Accept { envelope, hash, recipients } = *op else { return };
    let conversation = envelope.conversation;
    let slot = slot_of_conversation(conversation);
    let sequence = Sequence(envelope.sequence.value);
    let minted_at = envelope.minted_at();
    sink.put(Key::Sequence { slot, conversation }, Value::Piece(envelope.sequence.piece));
    let (sender, message_id) = (envelope.sender, envelope.message_id);
    let day = minted_at.day();
    let dedup = Key::Dedup { slot, day, conversation, sender, message_id };
    sink.put(dedup, Value::Dedup(dedup_value(sequence, Wall(envelope.server_time), hash)));
    sink.put(Key::Outbox { slot, conversation, sequence }, Value::Piece(envelope.whole));
    for recipient in recipients.slots() {
        sink.put(Key::OutboxPending { slot, conversation, sequence, recipient }, EMPTY);
    }
    sink.floor(slot, None, minted_at);
}

fn dedup_value(sequence: Sequence, server_time: Wall, hash: &[u8; 16]) -> [u8; DEDUP_VALUE_BYTES] {
    let mut value = [0; DEDUP_VALUE_BYTES];
    let (numbers, rest) = value.split_at_mut(16);
    let (first, second) = numbers.split_at_mut(8);
    first.copy_from_slice(&sequence.0.to_be_bytes());
    second.copy_from_slice(&server_time.0.to_be_bytes());
    rest.copy_from_slice(hash);
    value
}

/// A slot's floors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FloorRow {
    /// First day whose dedup rows are kept.
    pub(crate) first_day: u32,
    /// Highest time of an id ever stored.
    pub(crate) highest: Wall,
}

impl FloorRow {
    pub(crate) fn to_value(self) -> [u8; 12] {
        let mut value = [0; 12];
        let (day, highest) = value.split_at_mut(4);
        day.copy_from_slice(&self.first_day.to_be_bytes());
        highest.copy_from_slice(&self.highest.0.to_be_bytes());
        value
    }

    pub(crate) fn from_value(value: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        let row = Self { first_day: reader.u32()?, highest: Wall(reader.u64()?) };
        reader.end()?;
        Ok(row)
    }

    /// The larger of both, floor by floor.
    #[must_use]
    pub(crate) fn max(self, other: Self) -> Self {
        Self { first_day: self.first_day.max(other.first_day), highest: self.highest.max(other.highest) }
    }
}

/// A sequence's or watermark's value.
pub(crate) fn sequence_from_value(value: &[u8]) -> Result<Sequence, DecodeError> {
    let mut reader = Reader::new(value);
    let sequence = Sequence(reader.varint()?);
    reader.end()?;
    Ok(sequence)
}
