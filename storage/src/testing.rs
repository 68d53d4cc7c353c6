//! What the tests share: ids, operations that a shard could make, a model of the tables, and a disk.

use crate::codec::put_varint;
use crate::encode::{put_cursor_row, put_entry, put_envelope, put_user_row};
use crate::key::{self, Key, KeyRange};
use crate::log::{LogConfig, LogPosition, RecordLog};
use crate::number::{LogKey, RecordNumber};
use crate::op::{CursorRow, Entry, Op, UserRow};
use crate::record::DurableRecord;
use crate::row::FloorRow;
use crate::segment::{LogFiles, MemoryLog, Padding};
use crate::tables::{Next, Table, Tables};
use bytes::Bytes;
use iris_protocol::{
    ConversationId, DeviceId, Envelope, GapReason, Generation, MessageId, Offset, PayloadHash, Sequence,
    Slot, UserId, Wall,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) const KEY: LogKey = LogKey(0x1234_5678_9abc_def0);
pub(crate) const DAY_MS: u64 = 86_400_000;

pub(crate) fn user(number: u8) -> UserId {
    UserId::parse(&format!("user-{number}")).unwrap()
}

pub(crate) fn device(number: u8) -> DeviceId {
    DeviceId::parse(&format!("dev-{number}")).unwrap()
}

pub(crate) fn message_id(number: u64, minted_at: Wall) -> MessageId {
    let mut id = [0_u8; 16];
    id[..6].copy_from_slice(&minted_at.0.to_be_bytes()[2..]);
    id[6] = 0x70;
    id[8..].copy_from_slice(&number.to_be_bytes());
    id[8] = 0x80;
    MessageId::parse(&id).unwrap()
}

pub(crate) fn envelope(conversation: &ConversationId, sequence: u64, payload: &[u8]) -> Arc<Envelope> {
    let sender = conversation.direct_users().unwrap().0;
    let server_time = Wall(20_000 * DAY_MS + sequence);
    Arc::new(Envelope {
        conversation: conversation.clone(),
        sequence: Sequence(sequence),
        sender,
        device: device(1),
        message_id: message_id(sequence, server_time),
        server_time,
        payload: Bytes::copy_from_slice(payload),
    })
}

pub(crate) fn accept(envelope: &Arc<Envelope>) -> Op {
    let (one, other) = envelope.conversation.direct_users().unwrap();
    let recipients: BTreeSet<_> = [one.slot(), other.slot()].into();
    Op::Accept {
        envelope: Arc::clone(envelope),
        hash: PayloadHash([7; 16]),
        recipients: recipients.into_iter().collect(),
    }
}

/// One operation of each kind, and each kind of entry.
pub(crate) fn samples() -> Vec<Op> {
    let conversation = ConversationId::direct(&user(1), &user(2));
    let group = ConversationId::parse("g:team").unwrap();
    let first = envelope(&conversation, 1, b"hello");
    let row = CursorRow {
        acked_through: Offset(1 << 33 | 4),
        linked_at: Wall(5),
        last_seen_at: Wall(6),
        detached: true,
    };
    let gap = Entry::Gap {
        conversation: group.clone(),
        from: Sequence(3),
        through: Sequence(300),
        reason: GapReason::Expired,
    };
    vec![
        accept(&first),
        Op::Append {
            user: user(2),
            offset: Offset(1 << 33 | 1),
            entry: Entry::Message { envelope: first, previous: Sequence(0) },
        },
        Op::Append { user: user(2), offset: Offset(1 << 33 | 2), entry: gap },
        Op::Confirm {
            conversation: conversation.clone(),
            recipient: user(2).slot(),
            sequences: vec![(Sequence(1), false), (Sequence(2), true)],
        },
        Op::Elide { user: user(3), watermarks: vec![(conversation, Sequence(9)), (group, Sequence(1))] },
        Op::Remove { user: user(2), offsets: vec![Offset(1 << 33 | 1), Offset(1 << 33 | 2)] },
        Op::User {
            user: user(2),
            row: UserRow { last_offset: Offset(1 << 33 | 2), stored_entries: 2, stored_bytes: 70_000 },
        },
        Op::Cursor { user: user(2), device: device(1), row },
        Op::Unlink { user: user(2), device: device(1) },
        Op::DedupFloor { slot: Slot::new(1023).unwrap(), floor_day: 19_990 },
    ]
}

/// Makes operations as a shard would, from arbitrary choices: each key of a table whose keys are put once is put once.
#[derive(Default)]
pub(crate) struct Traffic {
    messages: u64,
    last: BTreeMap<ConversationId, u64>,
    pending: Vec<(ConversationId, Sequence, BTreeSet<Slot>)>,
    inbox: BTreeMap<UserId, (u64, Vec<Offset>)>,
}

/// One choice: what, who, how much.
pub(crate) type Choice = (u8, u8, u8);

impl Traffic {
    pub(crate) fn op(&mut self, (what, who, much): Choice) -> Op {
        let (one, other) = (user(who % 5), user(much % 5));
        match what % 12 {
            0..=3 => self.accept(&one, &other, much),
            4 | 5 => self.confirm(who).unwrap_or_else(|| self.accept(&one, &other, much)),
            6 | 7 => self.append(&one, &other, much),
            8 => self.remove(&one, much).unwrap_or_else(|| self.append(&one, &other, much)),
            9 => self.elide(&one, &other),
            10 if much % 4 == 0 => Op::Unlink { user: one, device: device(much % 3) },
            10 => {
                let acked_through = Offset(u64::from(much));
                let (linked_at, last_seen_at) = (Wall(1), Wall(u64::from(who)));
                let row = CursorRow { acked_through, linked_at, last_seen_at, detached: who % 2 == 0 };
                Op::Cursor { user: one, device: device(much % 3), row }
            }
            _ if much % 5 == 0 => {
                let slot = ConversationId::direct(&one, &other).slot();
                Op::DedupFloor { slot, floor_day: 19_999 + u32::from(who % 4) }
            }
            _ => {
                let row = UserRow {
                    last_offset: Offset(u64::from(much)),
                    stored_entries: u32::from(who),
                    stored_bytes: u64::from(much) << 20,
                };
                Op::User { user: one, row }
            }
        }
    }

    fn accept(&mut self, one: &UserId, other: &UserId, much: u8) -> Op {
        let conversation = ConversationId::direct(one, other);
        self.messages += 1;
        let last = self.last.entry(conversation.clone()).or_default();
        *last += 1;
        let sequence = Sequence(*last);
        let minted_at = Wall((20_000 + u64::from(much % 3)) * DAY_MS + self.messages);
        let slots: BTreeSet<_> = [one.slot(), other.slot()].into();
        self.pending.push((conversation.clone(), sequence, slots.clone()));
        let envelope = Envelope {
            conversation,
            sequence,
            sender: one.clone(),
            device: device(1),
            message_id: message_id(self.messages, minted_at),
            server_time: minted_at,
            payload: Bytes::from(vec![much; usize::from(much)]),
        };
        let recipients = slots.into_iter().collect();
        Op::Accept { envelope: Arc::new(envelope), hash: PayloadHash([much; 16]), recipients }
    }

    fn confirm(&mut self, who: u8) -> Option<Op> {
        let at = usize::from(who) % self.pending.len().max(1);
        let (conversation, sequence, slots) = self.pending.get_mut(at)?;
        let recipient = slots.pop_first()?;
        let last = slots.is_empty();
        let op =
            Op::Confirm { conversation: conversation.clone(), recipient, sequences: vec![(*sequence, last)] };
        if last {
            self.pending.remove(at);
        }
        Some(op)
    }

    fn append(&mut self, one: &UserId, other: &UserId, much: u8) -> Op {
        let conversation = ConversationId::direct(one, other);
        let last = self.last.get(&conversation).copied().unwrap_or(0);
        let (n, offsets) = self.inbox.entry(one.clone()).or_default();
        *n += 1;
        let offset = Offset::new(Generation(1), *n);
        offsets.push(offset);
        let entry = if much.is_multiple_of(3) {
            let through = Sequence(u64::from(much) / 3);
            Entry::Gap { conversation, from: Sequence(1), through, reason: GapReason::InboxFull }
        } else {
            let payload = vec![much; usize::from(much % 16)];
            Entry::Message { envelope: envelope(&conversation, last + 1, &payload), previous: Sequence(last) }
        };
        Op::Append { user: one.clone(), offset, entry }
    }

    fn remove(&mut self, one: &UserId, much: u8) -> Option<Op> {
        let (_, offsets) = self.inbox.get_mut(one).filter(|(_, offsets)| !offsets.is_empty())?;
        let count = usize::from(much % 3).min(offsets.len() - 1) + 1;
        Some(Op::Remove { user: one.clone(), offsets: offsets.drain(..count).collect() })
    }

    fn elide(&mut self, one: &UserId, other: &UserId) -> Op {
        let conversation = ConversationId::direct(one, other);
        let last = self.last.get(&conversation).copied().unwrap_or(0);
        Op::Elide { user: one.clone(), watermarks: vec![(conversation, Sequence(last + 2))] }
    }
}

/// Rows as the statements of the operations say, written without the code under test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
}

impl Model {
    fn put(&mut self, key: Key<'_>, value: Vec<u8>) {
        self.rows.insert((key.table(), key.to_vec()), value);
    }

    fn delete(&mut self, key: Key<'_>) {
        self.rows.remove(&(key.table(), key.to_vec()));
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Accept { envelope, hash, recipients } => self.accept(envelope, *hash, recipients),
            Op::Confirm { conversation, recipient, sequences } => {
                let (slot, id) = (conversation.slot(), conversation.as_str().as_bytes());
                for (sequence, last) in sequences {
                    let sequence = *sequence;
                    let recipient = *recipient;
                    self.delete(Key::OutboxPending { slot, conversation: id, sequence, recipient });
                    if *last {
                        self.delete(Key::Outbox { slot, conversation: id, sequence });
                    }
                }
            }
            Op::Append { user, offset, entry } => {
                let mut value = Vec::new();
                put_entry(&mut value, entry);
                let id = user.as_str().as_bytes();
                self.put(Key::Inbox { slot: user.slot(), user: id, offset: *offset }, value);
                match entry {
                    Entry::Message { envelope, .. } => {
                        self.watermark(user, &envelope.conversation, envelope.sequence);
                    }
                    Entry::Gap { conversation, through, .. } => {
                        let before = self.stored_watermark(user, conversation);
                        self.watermark(user, conversation, before.max(*through));
                    }
                }
            }
            Op::Elide { user, watermarks } => {
                for (conversation, sequence) in watermarks {
                    self.watermark(user, conversation, *sequence);
                }
            }
            Op::Remove { user, offsets } => {
                for offset in offsets {
                    let id = user.as_str().as_bytes();
                    self.delete(Key::Inbox { slot: user.slot(), user: id, offset: *offset });
                }
            }
            Op::User { user, row } => {
                let mut value = Vec::new();
                put_user_row(&mut value, row);
                self.put(Key::User { slot: user.slot(), user: user.as_str().as_bytes() }, value);
            }
            Op::Cursor { user, device, row } => {
                let mut value = Vec::new();
                put_cursor_row(&mut value, row);
                self.put(cursor_key(user, device), value);
            }
            Op::Unlink { user, device } => self.delete(cursor_key(user, device)),
            Op::DedupFloor { slot, floor_day } => {
                let range = KeyRange::days_below(*slot, *floor_day);
                self.rows.retain(|(table, key), _| *table != Table::Dedup || !range.contains(key));
                self.raise_floor(*slot, FloorRow { first_day: *floor_day, highest: Wall(0) });
            }
        }
    }

    fn accept(&mut self, envelope: &Envelope, hash: PayloadHash, recipients: &[Slot]) {
        let slot = envelope.conversation.slot();
        let conversation = envelope.conversation.as_str().as_bytes();
        let sequence = envelope.sequence;
        self.put(Key::Sequence { slot, conversation }, varint(sequence.0));
        let mut row = sequence.0.to_be_bytes().to_vec();
        row.extend(envelope.server_time.0.to_be_bytes());
        row.extend(hash.0);
        self.put(key::dedup(&envelope.conversation, &envelope.sender, &envelope.message_id), row);
        let mut value = Vec::new();
        put_envelope(&mut value, envelope);
        self.put(Key::Outbox { slot, conversation, sequence }, value);
        for recipient in recipients.iter().copied() {
            self.put(Key::OutboxPending { slot, conversation, sequence, recipient }, Vec::new());
        }
        self.raise_floor(slot, FloorRow { first_day: 0, highest: envelope.message_id.minted_at() });
    }

    fn stored_watermark(&self, user: &UserId, conversation: &ConversationId) -> Sequence {
        let key = watermark_key(user, conversation);
        let stored = self.rows.get(&(Table::Watermarks, key.to_vec()));
        stored.map_or(Sequence(0), |value| crate::row::sequence_from_value(value).unwrap())
    }

    fn watermark(&mut self, user: &UserId, conversation: &ConversationId, to: Sequence) {
        self.put(watermark_key(user, conversation), varint(to.0));
    }

    fn raise_floor(&mut self, slot: Slot, to: FloorRow) {
        let key = Key::Floor { slot };
        let before =
            self.rows.get(&(Table::Floor, key.to_vec())).map(|value| FloorRow::from_value(value).unwrap());
        let before = before.unwrap_or_default();
        let after = FloorRow {
            first_day: before.first_day.max(to.first_day),
            highest: before.highest.max(to.highest),
        };
        self.put(key, after.to_value().to_vec());
    }
}

fn cursor_key<'a>(user: &'a UserId, device: &'a DeviceId) -> Key<'a> {
    Key::Cursor { slot: user.slot(), user: user.as_str().as_bytes(), device: device.as_str().as_bytes() }
}

fn watermark_key<'a>(user: &'a UserId, conversation: &'a ConversationId) -> Key<'a> {
    let conversation = conversation.as_str().as_bytes();
    Key::Watermark { slot: user.slot(), user: user.as_str().as_bytes(), conversation }
}

fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, value);
    out
}

/// All rows of all tables but the tables' own facts.
pub(crate) fn dump(tables: &dyn Tables) -> Model {
    let all = KeyRange::all();
    let mut model = Model::default();
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Facts) {
        tables
            .scan(table, &all.from, &all.end, &mut |key, value| {
                model.rows.insert((table, key.to_vec()), value.to_vec());
                Ok(Next::Continue)
            })
            .unwrap();
    }
    model
}

pub(crate) fn small_config(padding: Padding) -> LogConfig {
    LogConfig {
        key: KEY,
        generation: Generation(1),
        padding,
        segment_bytes: 32 << 10,
        record_bytes_max: 8 << 10,
    }
}

/// A log on a disk in memory: what is written is durable at once.
pub(crate) struct Writer {
    pub(crate) log: RecordLog,
    pub(crate) disk: MemoryLog,
}

impl Writer {
    pub(crate) fn new(config: LogConfig, position: LogPosition, disk: MemoryLog) -> Self {
        Self { log: RecordLog::new(config, position), disk }
    }

    pub(crate) fn empty(padding: Padding) -> Self {
        Self::new(small_config(padding), LogPosition::default(), MemoryLog::new())
    }

    /// Writes one record with these operations; the record, and where it stands: segment, offset, bytes.
    pub(crate) fn write(&mut self, ops: &[Op]) -> (DurableRecord, Place) {
        while let Some(segment) = self.log.needs_segment() {
            self.disk.create(segment.id, segment.bytes).unwrap();
            self.log.provide(segment);
        }
        self.log.append(ops);
        let write = self.log.seal().expect("nothing is in flight, and a segment is free");
        self.disk.write_at(write.segment(), write.offset(), write.bytes()).unwrap();
        let place = Place {
            segment: write.segment(),
            offset: usize::try_from(write.offset()).unwrap(),
            bytes: write.bytes().len(),
            number: write.number(),
        };
        (self.log.written(write).record, place)
    }
}

/// Where a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: crate::number::SegmentId,
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
    pub(crate) number: RecordNumber,
}
