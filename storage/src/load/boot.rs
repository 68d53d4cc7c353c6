//! What a shard needs before it serves, with the checks that its rows agree with each other.
//!
//! Invariants
//! - Sequences in outbox and dedup are not above the conversation's last, and no two messages have the same.

use super::BootState;
use super::read::{cursor_value, dedup_value, devices_of, envelope_value, last_sequence, user_value};
use crate::codec::DecodeError;
use crate::key::{self, Key, KeyRange};
use crate::op::UserRow;
use crate::row::FloorRow;
use crate::tables::{Next, Table, TableError, Tables};
use crate::view;
use hashbrown::HashMap;
use iris_protocol::{ConversationId, Envelope, MessageId, Sequence, Slot, UserId};
use std::sync::Arc;

/// How much a boot looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootLimits {
    /// Inboxes with at least this many entries are reported.
    pub crowded_entries: u32,
    /// Inboxes with at least this many bytes are reported.
    pub crowded_bytes: u64,
    /// Dedup rows that are checked, shared evenly by the slots; `iris-gateway fsck` checks all.
    pub dedup_rows_checked: u64,
}

/// Why a shard's rows cannot be served. The server does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// The tables cannot be read.
    #[error("cannot read the tables: {0}")]
    Tables(#[from] TableError),
    /// A stored sequence is above the conversation's last.
    #[error(
        "{table} holds sequence {sequence} of {conversation}, whose last is {last}; run iris-gateway fsck, and \
             restore the data directory from a backup"
    )]
    AboveLast {
        /// The table.
        table: &'static str,
        /// The conversation.
        conversation: ConversationId,
        /// The sequence found.
        sequence: Sequence,
        /// The conversation's last.
        last: Sequence,
    },
    /// Two message ids have one sequence.
    #[error(
        "messages {one} and {other} have the same sequence {sequence} in {conversation}; run iris-gateway fsck, and \
             restore the data directory from a backup"
    )]
    Twice {
        /// The conversation.
        conversation: ConversationId,
        /// The sequence.
        sequence: Sequence,
        /// One message.
        one: MessageId,
        /// The other.
        other: MessageId,
    },
    /// An outbox row waits for nobody, or a pending row has no envelope.
    #[error(
        "outbox and outbox_pending disagree on sequence {sequence} of {conversation}; run iris-gateway fsck"
    )]
    Pending {
        /// The conversation.
        conversation: ConversationId,
        /// The sequence.
        sequence: Sequence,
    },
}

/// Reads what a shard needs before it serves.
///
/// # Errors
/// [`BootError`]: refuse to start.
pub fn boot_state(tables: &dyn Tables, limits: &BootLimits) -> Result<BootState, BootError> {
    let mut state = BootState { dedup_rows: tables.approximate_rows(Table::Dedup)?, ..BootState::default() };
    let mut check = SequenceCheck::default();
    let pending = read_pending(tables)?;
    let mut pending = pending.into_iter().peekable();
    for envelope in read_outbox(tables)? {
        let last = check.last(tables, &envelope.conversation)?;
        if state.last_sequences.last().is_none_or(|(conversation, _)| *conversation != envelope.conversation)
        {
            state.last_sequences.push((envelope.conversation.clone(), last));
        }
        check.look(tables, "outbox", &envelope.conversation, (envelope.sequence, envelope.message_id))?;
        let place = (&envelope.conversation, envelope.sequence);
        let mut slots = Vec::new();
        while let Some((_, _, slot)) =
            pending.next_if(|(conversation, sequence, _)| (conversation, *sequence) == place)
        {
            slots.push(slot);
        }
        if slots.is_empty() {
            let (conversation, sequence) = (envelope.conversation.clone(), envelope.sequence);
            return Err(BootError::Pending { conversation, sequence });
        }
        state.outbox.push((Arc::new(envelope), slots));
    }
    if let Some((conversation, sequence, _)) = pending.next() {
        return Err(BootError::Pending { conversation, sequence });
    }
    state.floors = read_floors(tables)?;
    read_inboxes(tables, limits, &mut state)?;
    check_dedup(tables, limits.dedup_rows_checked)?;
    order_by_conversation(&mut state);
    Ok(state)
}

/// Keys go by slot first; callers expect order by conversation.
fn order_by_conversation(state: &mut BootState) {
    state.outbox.sort_by(|(one, _), (other, _)| {
        (&one.conversation, one.sequence).cmp(&(&other.conversation, other.sequence))
    });
    state.last_sequences.sort();
}

fn read_outbox(tables: &dyn Tables) -> Result<Vec<Envelope>, TableError> {
    let all = KeyRange::all();
    let mut envelopes = Vec::new();
    tables.scan(Table::Outbox, &all.from, &all.end, &mut |key, value| {
        let malformed = |source| TableError::malformed(Table::Outbox, key, source);
        envelopes.push(envelope_value(value).map_err(malformed)?);
        Ok(Next::Continue)
    })?;
    Ok(envelopes)
}

fn read_pending(tables: &dyn Tables) -> Result<Vec<(ConversationId, Sequence, Slot)>, TableError> {
    let all = KeyRange::all();
    let mut rows = Vec::new();
    tables.scan(Table::OutboxPending, &all.from, &all.end, &mut |key, _| {
        let malformed = |source| TableError::malformed(Table::OutboxPending, key, source);
        let Key::OutboxPending { conversation, sequence, recipient, .. } =
            key::parse(Table::OutboxPending, key).map_err(malformed)?
        else {
            return Err(malformed(DecodeError::Truncated));
        };
        rows.push((view::conversation_id(conversation).map_err(malformed)?, sequence, recipient));
        Ok(Next::Continue)
    })?;
    Ok(rows)
}

fn read_floors(tables: &dyn Tables) -> Result<Vec<(Slot, u32, iris_protocol::Wall)>, TableError> {
    let all = KeyRange::all();
    let mut floors = Vec::new();
    tables.scan(Table::Floor, &all.from, &all.end, &mut |key, value| {
        let malformed = |source| TableError::malformed(Table::Floor, key, source);
        if let Key::Floor { slot } = key::parse(Table::Floor, key).map_err(malformed)? {
            let row = FloorRow::from_value(value).map_err(malformed)?;
            floors.push((slot, row.first_day, row.highest));
        }
        Ok(Next::Continue)
    })?;
    Ok(floors)
}

/// Inboxes that hold something: those that are crowded, and what all unclaimed ones have together. Slot by slot: no more
/// users than those of one slot are in memory, and devices are read in one pass, not user by user.
fn read_inboxes(tables: &dyn Tables, limits: &BootLimits, state: &mut BootState) -> Result<(), TableError> {
    for slot in (0..iris_protocol::limits::SLOTS).filter_map(Slot::new) {
        let mut inboxes = inboxes_of(tables, slot)?;
        if !inboxes.is_empty() {
            find_claimed(tables, slot, &mut inboxes)?;
        }
        for Inbox { user, row, is_claimed } in inboxes {
            if !is_claimed {
                state.unclaimed_bytes = state.unclaimed_bytes.saturating_add(row.held_bytes());
            }
            if row.stored_entries >= limits.crowded_entries || row.stored_bytes >= limits.crowded_bytes {
                let devices = devices_of(tables, &user)?;
                state.crowded.push((user, row, devices));
            }
        }
    }
    Ok(())
}

/// An inbox that holds something.
struct Inbox {
    user: UserId,
    row: UserRow,
    is_claimed: bool,
}

/// In the order of their users.
fn inboxes_of(tables: &dyn Tables, slot: Slot) -> Result<Vec<Inbox>, TableError> {
    let (range, mut inboxes) = (KeyRange::slot(slot), Vec::new());
    tables.scan(Table::Users, &range.from, &range.end, &mut |key, value| {
        let malformed = |source| TableError::malformed(Table::Users, key, source);
        let row = user_value(value).map_err(malformed)?;
        let holds = row.stored_entries > 0 || row.stored_bytes > 0;
        if holds && let Key::User { user, .. } = key::parse(Table::Users, key).map_err(malformed)? {
            let user = view::user_id(user).map_err(malformed)?;
            inboxes.push(Inbox { user, row, is_claimed: false });
        }
        Ok(Next::Continue)
    })?;
    Ok(inboxes)
}

/// Says of inboxes, which are in the order of their users, whether a device holds their entries.
fn find_claimed(tables: &dyn Tables, slot: Slot, inboxes: &mut [Inbox]) -> Result<(), TableError> {
    let range = KeyRange::slot(slot);
    let mut inboxes = inboxes.iter_mut().peekable();
    tables.scan(Table::Cursors, &range.from, &range.end, &mut |key, value| {
        let malformed = |source| TableError::malformed(Table::Cursors, key, source);
        let Key::Cursor { user, .. } = key::parse(Table::Cursors, key).map_err(malformed)? else {
            return Err(malformed(DecodeError::Truncated));
        };
        while inboxes.next_if(|inbox| inbox.user.as_str().as_bytes() < user).is_some() {}
        match inboxes.peek_mut() {
            None => return Ok(Next::Stop),
            Some(inbox) if inbox.user.as_str().as_bytes() == user => {
                inbox.is_claimed |= !cursor_value(value).map_err(malformed)?.detached;
            }
            Some(_) => {}
        }
        Ok(Next::Continue)
    })
}

/// Two messages that took one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TakenTwice {
    pub(crate) one: MessageId,
    pub(crate) other: MessageId,
}

/// Remembers which message took which sequence.
#[derive(Debug, Default)]
pub(crate) struct SequenceCheck {
    last: HashMap<ConversationId, Sequence>,
    taken: HashMap<(ConversationId, Sequence), MessageId>,
}

impl SequenceCheck {
    /// Forgets everything: sequences of another slot cannot meet those of this one.
    pub(crate) fn clear(&mut self) {
        self.last.clear();
        self.taken.clear();
    }

    /// The conversation's last sequence.
    pub(crate) fn last(
        &mut self,
        tables: &dyn Tables,
        conversation: &ConversationId,
    ) -> Result<Sequence, TableError> {
        if let Some(last) = self.last.get(conversation) {
            return Ok(*last);
        }
        let slot = conversation.slot();
        let last =
            last_sequence(tables, Key::Sequence { slot, conversation: conversation.as_str().as_bytes() })?;
        self.last.insert(conversation.clone(), last);
        Ok(last)
    }

    /// Notes who took a sequence; the other one if it was taken.
    pub(crate) fn take(
        &mut self,
        conversation: &ConversationId,
        (sequence, message_id): (Sequence, MessageId),
    ) -> Option<TakenTwice> {
        let before = self.taken.insert((conversation.clone(), sequence), message_id)?;
        (before != message_id).then_some(TakenTwice { one: before, other: message_id })
    }

    fn look(
        &mut self,
        tables: &dyn Tables,
        table: &'static str,
        conversation: &ConversationId,
        (sequence, message_id): (Sequence, MessageId),
    ) -> Result<(), BootError> {
        let last = self.last(tables, conversation)?;
        if sequence > last {
            return Err(BootError::AboveLast { table, conversation: conversation.clone(), sequence, last });
        }
        match self.take(conversation, (sequence, message_id)) {
            None => Ok(()),
            Some(TakenTwice { one, other }) => {
                Err(BootError::Twice { conversation: conversation.clone(), sequence, one, other })
            }
        }
    }
}

/// A dedup row read back: conversation, sequence, message.
pub(crate) fn dedup_place(
    key: &[u8],
    value: &[u8],
) -> Result<(ConversationId, Sequence, MessageId), TableError> {
    let malformed = |source| TableError::malformed(Table::Dedup, key, source);
    let Key::Dedup { conversation, message_id, .. } = key::parse(Table::Dedup, key).map_err(malformed)?
    else {
        return Err(malformed(DecodeError::Truncated));
    };
    let id = MessageId::parse(message_id).map_err(|error| malformed(DecodeError::Id(error)))?;
    let row = dedup_value(value).map_err(malformed)?;
    Ok((view::conversation_id(conversation).map_err(malformed)?, row.sequence, id))
}

fn check_dedup(tables: &dyn Tables, rows_max: u64) -> Result<(), BootError> {
    let each = rows_max.div_ceil(u64::from(iris_protocol::limits::SLOTS));
    let mut check = SequenceCheck::default();
    for slot in (0..iris_protocol::limits::SLOTS).filter_map(Slot::new) {
        if each == 0 {
            break;
        }
        check.clear();
        let (range, mut rows) = (KeyRange::slot(slot), Vec::new());
        tables.scan(Table::Dedup, &range.from, &range.end, &mut |key, value| {
            rows.push(dedup_place(key, value)?);
            let enough = crate::codec::wide(rows.len()) >= each;
            Ok(if enough { Next::Stop } else { Next::Continue })
        })?;
        for (conversation, sequence, message_id) in rows {
            check.look(tables, "dedup", &conversation, (sequence, message_id))?;
        }
    }
    Ok(())
}
