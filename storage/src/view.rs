//! Operations read in place: borrowed from a record's body, without taking memory.
//!
//! Invariants
//! - Any bytes give a view or an error, never a panic, and never memory for a length that is not there.
//! - A view's lists were walked when it was made, so walking them again cannot fail.

use crate::codec::{DecodeError, Reader};
use crate::encode::{reason_of, tag};
use crate::op::{CursorRow, DedupRow, Entry, Op, UserRow};
use bytes::Bytes;
use iris_protocol::{
    ConversationId, DeviceId, Envelope, GapReason, MessageId, Offset, PayloadHash, Sequence, Slot, UserId,
    Wall,
};
use std::str;
use std::sync::Arc;

/// Bytes and where they stand in what is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

/// A number and its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'a> {
    pub(crate) value: u64,
    pub(crate) piece: Piece<'a>,
}

/// Things in a row whose bytes were checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<'a> {
    pub(crate) count: usize,
    reader: Reader<'a>,
}

/// An envelope in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnvelopeView<'a> {
    pub(crate) conversation: &'a [u8],
    pub(crate) sequence: Number<'a>,
    pub(crate) sender: &'a [u8],
    pub(crate) device: &'a [u8],
    pub(crate) message_id: &'a [u8; 16],
    pub(crate) server_time: u64,
    pub(crate) payload: &'a [u8],
    pub(crate) whole: Piece<'a>,
}

/// An entry in place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EntryView<'a> {
    Message { envelope: EnvelopeView<'a>, previous: u64 },
    Gap { conversation: &'a [u8], from: u64, through: Number<'a>, reason: GapReason },
}

/// An operation in place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OpView<'a> {
    Accept { envelope: EnvelopeView<'a>, hash: &'a [u8; 16], recipients: List<'a> },
    Confirm { conversation: &'a [u8], recipient: Slot, sequences: List<'a> },
    Append { user: &'a [u8], offset: u64, entry: EntryView<'a>, whole: Piece<'a> },
    Elide { user: &'a [u8], watermarks: List<'a> },
    Remove { user: &'a [u8], offsets: List<'a> },
    User { user: &'a [u8], row: UserRow, whole: Piece<'a> },
    Cursor { user: &'a [u8], device: &'a [u8], row: CursorRow, whole: Piece<'a> },
    Unlink { user: &'a [u8], device: &'a [u8] },
    DedupFloor { slot: Slot, floor_day: u32 },
}

fn number<'a>(reader: &mut Reader<'a>) -> Result<Number<'a>, DecodeError> {
    let (at, before) = (reader.position(), *reader);
    let value = reader.varint()?;
    Ok(Number { value, piece: since(before, at, reader) })
}

/// What `reader` took since it was at `before`.
fn since<'a>(before: Reader<'a>, at: usize, reader: &Reader<'a>) -> Piece<'a> {
    let length = reader.position().saturating_sub(at);
    Piece { bytes: before.rest().get(..length).unwrap_or_default(), at }
}

fn slot(reader: &mut Reader<'_>) -> Result<Slot, DecodeError> {
    let value = reader.varint()?;
    u16::try_from(value).ok().and_then(Slot::new).ok_or(DecodeError::Range { value })
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(DecodeError::Tag { tag: other }),
    }
}

fn confirm(reader: &mut Reader<'_>) -> Result<(Sequence, bool), DecodeError> {
    Ok((Sequence(reader.varint()?), flag(reader)?))
}

fn watermark<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], Number<'a>), DecodeError> {
    Ok((reader.text()?, number(reader)?))
}

impl<'a> List<'a> {
    fn read<T>(
        reader: &mut Reader<'a>,
        item: impl Fn(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Self, DecodeError> {
        let count = reader.count()?;
        let list = Self { count, reader: *reader };
        for _ in 0..count {
            item(reader)?;
        }
        Ok(list)
    }

    fn items<T: 'a>(
        self,
        item: impl Fn(&mut Reader<'a>) -> Result<T, DecodeError> + 'a,
    ) -> impl Iterator<Item = T> + 'a {
        let mut reader = self.reader;
        (0..self.count).map_while(move |_| item(&mut reader).ok())
    }

    pub(crate) fn slots(self) -> impl Iterator<Item = Slot> + 'a {
        self.items(slot)
    }

    pub(crate) fn confirms(self) -> impl Iterator<Item = (Sequence, bool)> + 'a {
        self.items(confirm)
    }

    pub(crate) fn offsets(self) -> impl Iterator<Item = Offset> + 'a {
        self.items(|reader| reader.varint().map(Offset))
    }

    pub(crate) fn watermarks(self) -> impl Iterator<Item = (&'a [u8], Number<'a>)> + 'a {
        self.items(watermark)
    }
}

impl<'a> EnvelopeView<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (at, before) = (reader.position(), *reader);
        let conversation = reader.text()?;
        let sequence = number(reader)?;
        let sender = reader.text()?;
        let device = reader.text()?;
        let message_id = reader.array::<16>()?;
        let server_time = reader.varint()?;
        let payload = reader.bytes()?;
        let whole = since(before, at, reader);
        Ok(Self { conversation, sequence, sender, device, message_id, server_time, payload, whole })
    }

    /// The day of the id's time: part of the dedup key.
    pub(crate) fn minted_at(&self) -> Wall {
        let mut time = [0; 8];
        let (_, low) = time.split_at_mut(2);
        low.copy_from_slice(self.message_id.first_chunk::<6>().unwrap_or(&[0; 6]));
        Wall(u64::from_be_bytes(time))
    }

    pub(crate) fn to_envelope(self) -> Result<Envelope, DecodeError> {
        Ok(Envelope {
            conversation: conversation_id(self.conversation)?,
            sequence: Sequence(self.sequence.value),
            sender: user_id(self.sender)?,
            device: device_id(self.device)?,
            message_id: MessageId::parse(self.message_id)?,
            server_time: Wall(self.server_time),
            payload: Bytes::copy_from_slice(self.payload),
        })
    }
}

impl<'a> EntryView<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            tag::MESSAGE => {
                let previous = reader.varint()?;
                Ok(Self::Message { previous, envelope: EnvelopeView::read(reader)? })
            }
            tag::GAP => {
                let reason = reader.u8()?;
                let reason = reason_of(reason).ok_or(DecodeError::Tag { tag: reason })?;
                let conversation = reader.text()?;
                Ok(Self::Gap { reason, conversation, from: reader.varint()?, through: number(reader)? })
            }
            tag => Err(DecodeError::Tag { tag }),
        }
    }

    pub(crate) fn to_entry(self) -> Result<Entry, DecodeError> {
        match self {
            Self::Message { envelope, previous } => Ok(Entry::Message {
                envelope: Arc::new(envelope.to_envelope()?),
                previous: Sequence(previous),
            }),
            Self::Gap { conversation, from, through, reason } => Ok(Entry::Gap {
                conversation: conversation_id(conversation)?,
                from: Sequence(from),
                through: Sequence(through.value),
                reason,
            }),
        }
    }
}

/// Reads a users row's value.
pub(crate) fn user_row(reader: &mut Reader<'_>) -> Result<UserRow, DecodeError> {
    Ok(UserRow {
        last_offset: Offset(reader.varint()?),
        stored_entries: reader.varint_u32()?,
        stored_bytes: reader.varint()?,
    })
}

/// Reads a cursors row's value.
pub(crate) fn cursor_row(reader: &mut Reader<'_>) -> Result<CursorRow, DecodeError> {
    Ok(CursorRow {
        acked_through: Offset(reader.varint()?),
        linked_at: Wall(reader.varint()?),
        last_seen_at: Wall(reader.varint()?),
        detached: flag(reader)?,
    })
}

/// Reads a dedup row's value.
pub(crate) fn dedup_row(reader: &mut Reader<'_>) -> Result<DedupRow, DecodeError> {
    let sequence = Sequence(reader.u64()?);
    let server_time = Wall(reader.u64()?);
    Ok(DedupRow { sequence, server_time, hash: PayloadHash(*reader.array()?) })
}

impl<'a> OpView<'a> {
    /// The next operation.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            tag::ACCEPT => {
                let hash = reader.array::<16>()?;
                let recipients = List::read(reader, slot)?;
                Ok(Self::Accept { hash, recipients, envelope: EnvelopeView::read(reader)? })
            }
            tag::CONFIRM => {
                let conversation = reader.text()?;
                let recipient = slot(reader)?;
                Ok(Self::Confirm { conversation, recipient, sequences: List::read(reader, confirm)? })
            }
            tag::APPEND => {
                let (user, offset) = (reader.text()?, reader.varint()?);
                let (at, before) = (reader.position(), *reader);
                let entry = EntryView::read(reader)?;
                Ok(Self::Append { user, offset, entry, whole: since(before, at, reader) })
            }
            tag::ELIDE => {
                let user = reader.text()?;
                Ok(Self::Elide { user, watermarks: List::read(reader, watermark)? })
            }
            tag::REMOVE => {
                let user = reader.text()?;
                Ok(Self::Remove { user, offsets: List::read(reader, Reader::varint)? })
            }
            tag => Self::read_small(tag, reader),
        }
    }

    fn read_small(tag: u8, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match tag {
            tag::USER => {
                let user = reader.text()?;
                let (at, before) = (reader.position(), *reader);
                let row = user_row(reader)?;
                Ok(Self::User { user, row, whole: since(before, at, reader) })
            }
            tag::CURSOR => {
                let (user, device) = (reader.text()?, reader.text()?);
                let (at, before) = (reader.position(), *reader);
                let row = cursor_row(reader)?;
                Ok(Self::Cursor { user, device, row, whole: since(before, at, reader) })
            }
            tag::UNLINK => Ok(Self::Unlink { user: reader.text()?, device: reader.text()? }),
            tag::DEDUP_FLOOR => Ok(Self::DedupFloor { slot: slot(reader)?, floor_day: reader.varint_u32()? }),
            tag => Err(DecodeError::Tag { tag }),
        }
    }

    /// The operation with memory of its own.
    pub(crate) fn to_op(self) -> Result<Op, DecodeError> {
        Ok(match self {
            Self::Accept { envelope, hash, recipients } => Op::Accept {
                envelope: Arc::new(envelope.to_envelope()?),
                hash: PayloadHash(*hash),
                recipients: recipients.slots().collect(),
            },
            Self::Confirm { conversation, recipient, sequences } => Op::Confirm {
                conversation: conversation_id(conversation)?,
                recipient,
                sequences: sequences.confirms().collect(),
            },
            Self::Append { user, offset, entry, .. } => {
                Op::Append { user: user_id(user)?, offset: Offset(offset), entry: entry.to_entry()? }
            }
            Self::Elide { user, watermarks } => Op::Elide {
                user: user_id(user)?,
                watermarks: watermarks
                    .watermarks()
                    .map(|(text, number)| Ok((conversation_id(text)?, Sequence(number.value))))
                    .collect::<Result<_, DecodeError>>()?,
            },
            Self::Remove { user, offsets } => {
                Op::Remove { user: user_id(user)?, offsets: offsets.offsets().collect() }
            }
            Self::User { user, row, .. } => Op::User { user: user_id(user)?, row },
            Self::Cursor { user, device, row, .. } => {
                Op::Cursor { user: user_id(user)?, device: device_id(device)?, row }
            }
            Self::Unlink { user, device } => Op::Unlink { user: user_id(user)?, device: device_id(device)? },
            Self::DedupFloor { slot, floor_day } => Op::DedupFloor { slot, floor_day },
        })
    }
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    str::from_utf8(bytes).map_err(|_| DecodeError::Id(iris_protocol::IdError::Alphabet))
}

pub(crate) fn user_id(bytes: &[u8]) -> Result<UserId, DecodeError> {
    Ok(UserId::parse(text(bytes)?)?)
}

pub(crate) fn device_id(bytes: &[u8]) -> Result<DeviceId, DecodeError> {
    Ok(DeviceId::parse(text(bytes)?)?)
}

pub(crate) fn conversation_id(bytes: &[u8]) -> Result<ConversationId, DecodeError> {
    Ok(ConversationId::parse(text(bytes)?)?)
}
