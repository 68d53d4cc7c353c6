//! Answers questions from the tables.

use super::{LoadError, LoadRequest, Loaded};
use crate::codec::{DecodeError, Reader, wide};
use crate::key::{self, Key, KeyRange};
use crate::merge::Merger;
use crate::op::{CursorRow, DedupRow, Entry, UserRow, payload_bytes};
use crate::row::sequence_from_value;
use crate::tables::{Next, Rows, Table, TableError};
use crate::view::{self, EntryView, EnvelopeView};
use iris_protocol::{ConversationId, DeviceId, Envelope, Offset, Sequence, Slot, UserId, Wall};

impl From<TableError> for LoadError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Damaged { table, key } | TableError::Malformed { table, key, .. } => {
                Self::Damaged { table, key }
            }
            TableError::Engine { table, cause } => Self::Engine { table, cause },
            TableError::OnDisk { table } => Self::Engine { table, cause: "only the disk can tell".into() },
            TableError::Background { cause } => Self::Engine { table: "background", cause },
        }
    }
}

impl LoadRequest {
    /// True if rows wait in the merger that the answer needs.
    pub(crate) fn depends_on(&self, merger: &mut Merger) -> bool {
        match self {
            Self::User(user) => {
                let (slot, id) = (user.slot(), user.as_str().as_bytes());
                merger.touches(slot, id) || merger.holds(Key::User { slot, user: id })
            }
            Self::Inbox { user, .. } => merger.touches(user.slot(), user.as_str().as_bytes()),
            Self::Watermark(user, conversation) => merger.holds(watermark_key(user, conversation)),
            Self::Conversation(conversation) => merger.holds(sequence_key(conversation)),
            // A floor that rose may have removed the row from the merger, but not yet from the tables.
            Self::Dedup(key) => {
                merger.drops_days()
                    || merger.holds(key::dedup(&key.conversation, &key.sender, &key.message_id))
            }
            Self::Expired { .. } => !merger.is_empty(),
        }
    }
}

/// Answers a question from the tables. What waits in a merger is not seen: see [`crate::engine::StorageEngine::load`].
///
/// # Errors
/// [`LoadError`]: this read failed; others are not affected.
pub fn load(tables: &dyn Rows, request: &LoadRequest) -> Result<Loaded, LoadError> {
    match request {
        LoadRequest::User(user) => load_user(tables, user),
        LoadRequest::Inbox { user, after, entries_max, bytes_max } => {
            let page = Page { after: *after, entries_max: *entries_max, bytes_max: *bytes_max };
            load_inbox(tables, user, page)
        }
        LoadRequest::Watermark(user, conversation) => {
            Ok(Loaded::Watermark(last_sequence(tables, watermark_key(user, conversation))?))
        }
        LoadRequest::Conversation(conversation) => {
            Ok(Loaded::Conversation(last_sequence(tables, sequence_key(conversation))?))
        }
        LoadRequest::Dedup(key) => {
            let key = key::dedup(&key.conversation, &key.sender, &key.message_id);
            Ok(Loaded::Dedup(get(tables, key, dedup_value)?))
        }
        LoadRequest::Expired { slot, from, before, rows_max } => {
            load_expired(tables, *slot, from.as_ref(), *before, *rows_max)
        }
    }
}

/// Answers a question from rows that memory tells, where the asker knows that nothing of the answer waits for the tables; `None`: ask
/// the thread that writes them, which also tells why a read failed. Questions about pages of rows are always for that thread.
pub fn load_resident(rows: &dyn Rows, request: &LoadRequest) -> Option<Loaded> {
    match request {
        LoadRequest::User(_) | LoadRequest::Watermark(..) | LoadRequest::Conversation(_) => {
            load(rows, request).ok()
        }
        LoadRequest::Inbox { .. } | LoadRequest::Dedup(_) | LoadRequest::Expired { .. } => None,
    }
}

fn watermark_key<'a>(user: &'a UserId, conversation: &'a ConversationId) -> Key<'a> {
    let (slot, user) = (user.slot(), user.as_str().as_bytes());
    Key::Watermark { slot, user, conversation: conversation.as_str().as_bytes() }
}

fn sequence_key(conversation: &ConversationId) -> Key<'_> {
    Key::Sequence { slot: conversation.slot(), conversation: conversation.as_str().as_bytes() }
}

fn get<T>(
    tables: &dyn Rows,
    key: Key<'_>,
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
) -> Result<Option<T>, TableError> {
    let bytes = key.to_vec();
    let mut value = Vec::new();
    if !tables.get(key.table(), &bytes, &mut value)? {
        return Ok(None);
    }
    decode(&value).map(Some).map_err(|source| TableError::malformed(key.table(), &bytes, source))
}

pub(crate) fn last_sequence(tables: &dyn Rows, key: Key<'_>) -> Result<Sequence, TableError> {
    Ok(get(tables, key, sequence_from_value)?.unwrap_or(Sequence::NONE))
}

fn whole<T>(
    value: &[u8],
    read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut reader = Reader::new(value);
    let decoded = read(&mut reader)?;
    reader.end()?;
    Ok(decoded)
}

pub(crate) fn dedup_value(value: &[u8]) -> Result<DedupRow, DecodeError> {
    whole(value, view::dedup_row)
}

pub(crate) fn user_value(value: &[u8]) -> Result<UserRow, DecodeError> {
    whole(value, view::user_row)
}

pub(crate) fn cursor_value(value: &[u8]) -> Result<CursorRow, DecodeError> {
    whole(value, view::cursor_row)
}

pub(crate) fn entry_value(value: &[u8]) -> Result<Entry, DecodeError> {
    let mut reader = Reader::new(value);
    let entry = EntryView::read(&mut reader)?;
    reader.end()?;
    entry.to_entry()
}

pub(crate) fn envelope_value(value: &[u8]) -> Result<Envelope, DecodeError> {
    let mut reader = Reader::new(value);
    let envelope = EnvelopeView::read(&mut reader)?;
    reader.end()?;
    envelope.to_envelope()
}

fn load_user(tables: &dyn Rows, user: &UserId) -> Result<Loaded, LoadError> {
    let key = Key::User { slot: user.slot(), user: user.as_str().as_bytes() };
    let row = get(tables, key, user_value)?.unwrap_or_default();
    Ok(Loaded::User { row, devices: devices_of(tables, user)? })
}

/// A user's devices with their rows, by id.
pub(super) fn devices_of(tables: &dyn Rows, user: &UserId) -> Result<Vec<(DeviceId, CursorRow)>, TableError> {
    let range = KeyRange::user(user);
    let mut devices = Vec::new();
    tables.scan(Table::Cursors, &range.from, &range.end, &mut |key, value| {
        let malformed = |source| TableError::malformed(Table::Cursors, key, source);
        if let Key::Cursor { device, .. } = key::parse(Table::Cursors, key).map_err(malformed)? {
            let device = view::device_id(device).map_err(malformed)?;
            devices.push((device, cursor_value(value).map_err(malformed)?));
        }
        Ok(Next::Continue)
    })?;
    Ok(devices)
}

#[derive(Clone, Copy)]
struct Page {
    after: Offset,
    entries_max: u32,
    bytes_max: u64,
}

fn load_inbox(tables: &dyn Rows, user: &UserId, page: Page) -> Result<Loaded, LoadError> {
    let range = KeyRange::user(user);
    let first = Offset(page.after.0.saturating_add(1));
    let from = Key::Inbox { slot: user.slot(), user: user.as_str().as_bytes(), offset: first }.to_vec();
    let (mut entries, mut bytes, mut complete) = (Vec::new(), 0_u64, true);
    tables.scan(Table::Inbox, &from, &range.end, &mut |key, value| {
        if wide(entries.len()) >= u64::from(page.entries_max) || bytes > page.bytes_max {
            complete = false;
            return Ok(Next::Stop);
        }
        let (_, offset, entry) = inbox_row(key, value)?;
        bytes = bytes.saturating_add(entry_bytes(&entry));
        entries.push((offset, entry));
        Ok(Next::Continue)
    })?;
    Ok(Loaded::Inbox { entries, complete })
}

/// Payload bytes that an entry accounts for.
pub(crate) fn entry_bytes(entry: &Entry) -> u64 {
    match entry {
        Entry::Message { envelope, .. } => payload_bytes(&envelope.payload),
        Entry::Gap { .. } => 0,
    }
}

/// An inbox row read back.
pub(crate) fn inbox_row(key: &[u8], value: &[u8]) -> Result<(UserId, Offset, Entry), TableError> {
    let malformed = |source| TableError::malformed(Table::Inbox, key, source);
    let Key::Inbox { user, offset, .. } = key::parse(Table::Inbox, key).map_err(malformed)? else {
        return Err(malformed(DecodeError::Truncated));
    };
    Ok((view::user_id(user).map_err(malformed)?, offset, entry_value(value).map_err(malformed)?))
}

/// The server time of an inbox row without taking memory; gaps have none.
fn server_time(key: &[u8], value: &[u8]) -> Result<Option<Wall>, TableError> {
    let malformed = |source| TableError::malformed(Table::Inbox, key, source);
    match EntryView::read(&mut Reader::new(value)).map_err(malformed)? {
        EntryView::Message { envelope, .. } => Ok(Some(Wall(envelope.server_time))),
        EntryView::Gap { .. } => Ok(None),
    }
}

fn load_expired(
    tables: &dyn Rows,
    slot: Slot,
    from: Option<&(UserId, Offset)>,
    before: Wall,
    rows_max: u32,
) -> Result<Loaded, LoadError> {
    let range = KeyRange::slot(slot);
    let start = from.map_or(range.from, |(user, offset)| {
        Key::Inbox { slot, user: user.as_str().as_bytes(), offset: *offset }.to_vec()
    });
    let (mut entries, mut next, mut looked) = (Vec::new(), None, 0_u32);
    tables.scan(Table::Inbox, &start, &range.end, &mut |key, value| {
        if looked >= rows_max {
            let (user, offset, _) = inbox_row(key, value)?;
            next = Some((user, offset));
            return Ok(Next::Stop);
        }
        looked = looked.saturating_add(1);
        if server_time(key, value)?.is_some_and(|time| time < before) {
            entries.push(inbox_row(key, value)?);
        }
        Ok(Next::Continue)
    })?;
    Ok(Loaded::Expired { entries, next })
}
