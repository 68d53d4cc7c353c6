//! Checks a data directory that no process uses: every row's checksum, the logs' chains, and that rows agree with each
//! other. `iris-gateway fsck` runs it. It changes nothing.
//!
//! Invariants
//! - Findings are values: a damaged row does not hide the next one's.
//! - Memory is bounded by one slot's rows.

use crate::key::{self, Key, KeyRange};
use crate::load::{SequenceCheck, TakenTwice, dedup_place, entry_bytes, envelope_value, inbox_row};
use crate::load::{cursor_value, user_value};
use crate::op::{Entry, UserRow};
use crate::row::{FloorRow, sequence_from_value};
use crate::tables::{Next, Table, TableError, Tables};
use crate::view;
use iris_protocol::limits::SLOTS;
use iris_protocol::{Offset, Sequence, Slot, UserId};
use std::collections::BTreeMap;

mod logs;

pub use logs::check_log;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is lost.
    Note,
    /// A guarantee is broken: restore from a backup.
    Damage,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The core.
    pub core: u16,
    /// How bad.
    pub severity: Severity,
    /// The table, or `log`, or `meta`.
    pub place: &'static str,
    /// What is wrong, in words.
    pub text: String,
}

/// What was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// Rows read.
    pub rows: u64,
    /// Records read.
    pub records: u64,
    /// What was found, in the order of reading.
    pub findings: Vec<Finding>,
}

impl FsckReport {
    /// True if nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }

    fn damage(&mut self, core: u16, place: &'static str, text: String) {
        self.findings.push(Finding { core, severity: Severity::Damage, place, text });
    }
}

/// Checks all rows of a core. `owns` says which slots it should hold. `progress` is told of slots done.
pub fn check_tables(
    tables: &dyn Tables,
    core: u16,
    owns: &dyn Fn(Slot) -> bool,
    progress: &mut dyn FnMut(u16),
    report: &mut FsckReport,
) {
    for slot in (0..SLOTS).filter_map(Slot::new) {
        let mut check =
            SlotCheck { tables, core, slot, report, sequences: SequenceCheck::default(), rows: 0 };
        check.outbox();
        check.dedup();
        let inbox = check.inbox();
        check.watermarks(&inbox);
        check.users(&inbox);
        check.small();
        if check.rows > 0 && !owns(slot) {
            let text = format!("slot {} has {} rows but belongs to another core", slot.number(), check.rows);
            report.damage(core, "slots", text);
        }
        progress(slot.number());
    }
}

/// A user's inbox as its rows say.
#[derive(Default)]
struct Inbox {
    row: UserRow,
    /// Highest sequence by conversation.
    highest: BTreeMap<Vec<u8>, Sequence>,
}

struct SlotCheck<'c> {
    tables: &'c dyn Tables,
    core: u16,
    slot: Slot,
    report: &'c mut FsckReport,
    sequences: SequenceCheck,
    rows: u64,
}

impl SlotCheck<'_> {
    /// Visits every row of a table, over damaged ones too.
    fn each(&mut self, table: Table, mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), TableError>) {
        let range = KeyRange::slot(self.slot);
        let mut from = range.from.clone();
        loop {
            let mut at = from.clone();
            let mut rows = 0_u64;
            let result = self.tables.scan(table, &from, &range.end, &mut |key, value| {
                at.clear();
                at.extend_from_slice(key);
                rows = rows.saturating_add(1);
                visit(key, value)?;
                Ok(Next::Continue)
            });
            self.rows = self.rows.saturating_add(rows);
            self.report.rows = self.report.rows.saturating_add(rows);
            let Err(error) = result else { return };
            let damaged = match &error {
                TableError::Damaged { key, .. } | TableError::Malformed { key, .. } => unhex(key),
                TableError::Engine { .. } | TableError::OnDisk { .. } | TableError::Background { .. } => None,
            };
            self.report.damage(self.core, table.name(), error.to_string());
            let Some(mut next) = damaged else { return };
            // Goes on right behind the damaged row.
            next.push(0);
            from = next;
        }
    }

    fn damage(&mut self, place: &'static str, text: String) {
        self.report.damage(self.core, place, text);
    }

    fn outbox(&mut self) {
        let mut envelopes = Vec::new();
        self.each(Table::Outbox, |key, value| {
            let malformed = |source| TableError::malformed(Table::Outbox, key, source);
            let envelope = envelope_value(value).map_err(malformed)?;
            envelopes.push((envelope.conversation, envelope.sequence, envelope.message_id));
            Ok(())
        });
        let mut waiting = BTreeMap::new();
        self.each(Table::OutboxPending, |key, _| {
            let malformed = |source| TableError::malformed(Table::OutboxPending, key, source);
            let parsed = key::parse(Table::OutboxPending, key).map_err(malformed)?;
            if let Key::OutboxPending { conversation, sequence, .. } = parsed {
                waiting.insert((view::conversation_id(conversation).map_err(malformed)?, sequence), false);
            }
            Ok(())
        });
        for (conversation, sequence, message_id) in envelopes {
            match waiting.get_mut(&(conversation.clone(), sequence)) {
                Some(seen) => *seen = true,
                None => {
                    self.damage("outbox", format!("sequence {sequence} of {conversation} waits for nobody"));
                }
            }
            self.sequence("outbox", &conversation, (sequence, message_id));
        }
        for ((conversation, sequence), _) in waiting.into_iter().filter(|(_, seen)| !seen) {
            self.damage("outbox_pending", format!("sequence {sequence} of {conversation} has no envelope"));
        }
    }

    fn dedup(&mut self) {
        let mut places = Vec::new();
        self.each(Table::Dedup, |key, value| {
            places.push(dedup_place(key, value)?);
            Ok(())
        });
        for (conversation, sequence, message_id) in places {
            self.sequence("dedup", &conversation, (sequence, message_id));
        }
    }

    fn sequence(
        &mut self,
        place: &'static str,
        conversation: &iris_protocol::ConversationId,
        (sequence, message_id): (Sequence, iris_protocol::MessageId),
    ) {
        match self.sequences.last(self.tables, conversation) {
            Ok(last) if sequence > last => {
                self.damage(
                    place,
                    format!("sequence {sequence} of {conversation} is above its last, {last}"),
                );
            }
            Ok(_) => {}
            Err(error) => self.damage("sequence", error.to_string()),
        }
        if let Some(TakenTwice { one, other }) = self.sequences.take(conversation, (sequence, message_id)) {
            self.damage(place, format!("{one} and {other} both have sequence {sequence} of {conversation}"));
        }
    }

    fn inbox(&mut self) -> BTreeMap<UserId, Inbox> {
        let mut inboxes: BTreeMap<UserId, Inbox> = BTreeMap::new();
        self.each(Table::Inbox, |key, value| {
            let (user, offset, entry) = inbox_row(key, value)?;
            let inbox = inboxes.entry(user).or_default();
            inbox.row.last_offset = offset;
            inbox.row.stored_entries = inbox.row.stored_entries.saturating_add(1);
            inbox.row.stored_bytes = inbox.row.stored_bytes.saturating_add(entry_bytes(&entry));
            let (conversation, sequence) = match &entry {
                Entry::Message { envelope, .. } => (&envelope.conversation, envelope.sequence),
                Entry::Gap { conversation, through, .. } => (conversation, *through),
            };
            let highest = inbox.highest.entry(conversation.as_str().as_bytes().to_vec()).or_default();
            *highest = sequence.max(*highest);
            Ok(())
        });
        inboxes
    }

    fn watermarks(&mut self, inboxes: &BTreeMap<UserId, Inbox>) {
        let mut marks = BTreeMap::new();
        self.each(Table::Watermarks, |key, value| {
            let malformed = |source| TableError::malformed(Table::Watermarks, key, source);
            let parsed = key::parse(Table::Watermarks, key).map_err(malformed)?;
            if let Key::Watermark { user, conversation, .. } = parsed {
                let mark = sequence_from_value(value).map_err(malformed)?;
                marks.insert((user.to_vec(), conversation.to_vec()), mark);
            }
            Ok(())
        });
        for (user, inbox) in inboxes {
            for (conversation, highest) in &inbox.highest {
                let key = (user.as_str().as_bytes().to_vec(), conversation.clone());
                let mark = marks.get(&key).copied().unwrap_or_default();
                if mark < *highest {
                    let conversation = String::from_utf8_lossy(conversation).into_owned();
                    let text =
                        format!("{user} holds sequence {highest} of {conversation}, the mark is {mark}");
                    self.damage("watermarks", text);
                }
            }
        }
    }

    fn users(&mut self, inboxes: &BTreeMap<UserId, Inbox>) {
        let mut rows = BTreeMap::new();
        self.each(Table::Users, |key, value| {
            let malformed = |source| TableError::malformed(Table::Users, key, source);
            if let Key::User { user, .. } = key::parse(Table::Users, key).map_err(malformed)? {
                rows.insert(view::user_id(user).map_err(malformed)?, user_value(value).map_err(malformed)?);
            }
            Ok(())
        });
        for (user, inbox) in inboxes {
            let row = rows.remove(user).unwrap_or_default();
            if row.last_offset < inbox.row.last_offset {
                let (last, found) = (row.last_offset, inbox.row.last_offset);
                self.damage("users", format!("{user} holds offset {found}, the last assigned is {last}"));
            }
            self.usage(user, row, inbox.row);
        }
        for (user, row) in rows {
            self.usage(&user, row, UserRow { last_offset: Offset::NONE, ..UserRow::default() });
        }
    }

    fn usage(&mut self, user: &UserId, row: UserRow, found: UserRow) {
        if (row.stored_entries, row.stored_bytes) != (found.stored_entries, found.stored_bytes) {
            let text = format!(
                "{user} is counted with {} entries of {} bytes, and holds {} of {}",
                row.stored_entries, row.stored_bytes, found.stored_entries, found.stored_bytes
            );
            self.damage("users", text);
        }
    }

    fn small(&mut self) {
        self.each(Table::Cursors, |key, value| {
            let malformed = |source| TableError::malformed(Table::Cursors, key, source);
            key::parse(Table::Cursors, key).map_err(malformed)?;
            cursor_value(value).map(|_| ()).map_err(malformed)
        });
        self.each(Table::Sequence, |key, value| {
            let malformed = |source| TableError::malformed(Table::Sequence, key, source);
            key::parse(Table::Sequence, key).map_err(malformed)?;
            sequence_from_value(value).map(|_| ()).map_err(malformed)
        });
        self.each(Table::Floor, |key, value| {
            let malformed = |source| TableError::malformed(Table::Floor, key, source);
            FloorRow::from_value(value).map(|_| ()).map_err(malformed)
        });
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks_exact(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests;
