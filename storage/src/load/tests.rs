use super::*;
use crate::engine::StorageEngine;
use crate::number::Mark;
use crate::op::Op;
use crate::record::RecordBuilder;
use crate::tables::{ChangeList, MemoryTables, SharedTables, Table, Tables};
use crate::testing::{DAY_MS, KEY, accept, device, envelope, user};
use iris_protocol::limits::UNCLAIMED_ENTRY_BYTES;
use iris_protocol::{GapReason, Generation, PayloadHash};

struct Store {
    engine: StorageEngine<MemoryTables>,
    last: Mark,
}

impl Store {
    fn new() -> Self {
        Self { engine: StorageEngine::new(3, MemoryTables::new()).unwrap(), last: Mark::default() }
    }

    fn write(&mut self, ops: &[Op]) {
        let record = RecordBuilder::record(ops, KEY, self.last, Generation(1));
        self.last = record.head().mark();
        self.engine.absorb(record).unwrap();
    }

    fn load(&mut self, request: &LoadRequest) -> Loaded {
        self.engine.load(request).unwrap().unwrap()
    }
}

fn append(owner: &UserId, n: u64, sequence: u64, payload: &[u8]) -> Op {
    let conversation = ConversationId::direct(&user(1), &user(2));
    let entry =
        Entry::Message { envelope: envelope(&conversation, sequence, payload), previous: Sequence(0) };
    Op::Append { user: owner.clone(), offset: Offset::new(Generation(1), n), entry }
}

fn cursor(acked: u64) -> CursorRow {
    CursorRow { acked_through: Offset(acked), linked_at: Wall(1), last_seen_at: Wall(2), detached: false }
}

/// Proves: G-DEDUP-1 (a retry has one effect): each kind of question sees a record that was absorbed just before it, and
/// one that was changed since the last fill.
/// Seen to fail when: `depends_on` is false for one kind of request.
#[test]
fn every_question_sees_what_was_absorbed_before_it() {
    let mut store = Store::new();
    let conversation = ConversationId::direct(&user(1), &user(2));
    let key = |message: &Envelope| DedupKey {
        conversation: message.conversation.clone(),
        sender: message.sender.clone(),
        message_id: message.message_id,
    };
    for round in 1..=3_u64 {
        let message = envelope(&conversation, round, b"payload");
        let row = UserRow { last_offset: Offset(round), stored_entries: 1, stored_bytes: round };
        let (owner, name) = (user(2), device(1));
        assert_eq!(store.load(&LoadRequest::Dedup(key(&message))), Loaded::Dedup(None));
        store.write(&[accept(&message)]);
        let dedup = DedupRow {
            sequence: Sequence(round),
            server_time: message.server_time,
            hash: PayloadHash([7; 16]),
        };
        assert_eq!(store.load(&LoadRequest::Dedup(key(&message))), Loaded::Dedup(Some(dedup)));
        store.write(&[accept(&envelope(&conversation, 100 + round, b""))]);
        let last = Loaded::Conversation(Sequence(100 + round));
        assert_eq!(store.load(&LoadRequest::Conversation(conversation.clone())), last);
        store.write(&[append(&owner, round, round, b"x")]);
        let mark = LoadRequest::Watermark(owner.clone(), conversation.clone());
        assert_eq!(store.load(&mark), Loaded::Watermark(Sequence(round)));
        store.write(&[Op::User { user: owner.clone(), row }]);
        let devices = (round > 1).then(|| (name.clone(), cursor(round - 1))).into_iter().collect();
        assert_eq!(store.load(&LoadRequest::User(owner.clone())), Loaded::User { row, devices });
        store.write(&[Op::Cursor { user: owner.clone(), device: name.clone(), row: cursor(round) }]);
        let devices = vec![(name.clone(), cursor(round))];
        assert_eq!(store.load(&LoadRequest::User(owner.clone())), Loaded::User { row, devices });
        store.write(&[append(&owner, 10 + round, round, b"y")]);
        let inbox =
            LoadRequest::Inbox { user: owner.clone(), after: Offset(0), entries_max: 99, bytes_max: 999 };
        let count = |loaded: Loaded| match loaded {
            Loaded::Inbox { entries, complete: true } => entries.len(),
            Loaded::Inbox { complete: false, .. }
            | Loaded::User { .. }
            | Loaded::Watermark(_)
            | Loaded::Conversation(_)
            | Loaded::Dedup(_)
            | Loaded::Expired { .. } => panic!("not a whole inbox"),
        };
        assert_eq!(count(store.load(&inbox)), usize::try_from(round).unwrap() + 1);
        store.write(&[Op::Remove {
            user: owner.clone(),
            offsets: vec![Offset::new(Generation(1), 10 + round)],
        }]);
        assert_eq!(count(store.load(&inbox)), usize::try_from(round).unwrap());
    }
    store.write(&[Op::DedupFloor { slot: conversation.slot(), floor_day: 20_001 }]);
    let first = envelope(&conversation, 1, b"");
    assert_eq!(store.load(&LoadRequest::Dedup(key(&first))), Loaded::Dedup(None), "below the floor");
}

/// Proves: G-ORDER-1 (a sequence is read where it stands): what memory answers about a conversation and its users is what the tables
/// hold, and nothing that waits for them; a read that fails and every other question are left to the thread that writes.
/// Seen to fail when: `load_resident` answers nothing.
#[test]
fn memory_answers_about_users_and_conversations_as_the_tables_stand() {
    let tables = SharedTables::new(MemoryTables::new());
    let mut engine = StorageEngine::new(3, tables.clone()).unwrap();
    let conversation = ConversationId::direct(&user(1), &user(2));
    let owner = user(2);
    let asked = [
        LoadRequest::Conversation(conversation.clone()),
        LoadRequest::Watermark(owner.clone(), conversation.clone()),
        LoadRequest::User(owner.clone()),
    ];
    let answers = || asked.each_ref().map(|request| load_resident(&tables, request));
    let told = |sequence, mark, row, devices| {
        let user = Loaded::User { row, devices };
        [Loaded::Conversation(Sequence(sequence)), Loaded::Watermark(Sequence(mark)), user].map(Some)
    };
    let nothing = told(0, 0, UserRow::default(), Vec::new());
    assert_eq!(answers(), nothing);
    let message = envelope(&conversation, 7, b"payload");
    let row = UserRow { last_offset: Offset(1), stored_entries: 1, stored_bytes: 1 };
    let ops = [
        accept(&message),
        append(&owner, 1, 6, b"x"),
        Op::User { user: owner.clone(), row },
        Op::Cursor { user: owner.clone(), device: device(1), row: cursor(1) },
    ];
    engine.absorb(RecordBuilder::record(&ops, KEY, Mark::default(), Generation(1))).unwrap();
    assert!(!engine.is_filled());
    assert_eq!(answers(), nothing, "what is merged is not in the tables");
    engine.fill().unwrap();
    assert!(engine.is_filled());
    assert_eq!(answers(), told(7, 6, row, vec![(device(1), cursor(1))]));
    let key = DedupKey {
        conversation: message.conversation.clone(),
        sender: message.sender.clone(),
        message_id: message.message_id,
    };
    let inbox = LoadRequest::Inbox { user: owner, after: Offset(0), entries_max: 99, bytes_max: 999 };
    for request in [inbox, LoadRequest::Dedup(key)] {
        assert_eq!(load_resident(&tables, &request), None, "{request:?}");
    }
    tables.with(|tables| tables.faults.reads_to_fail.set(1));
    assert_eq!(load_resident(&tables, &asked[0]), None, "a read that failed");
}

/// A question about somebody else costs no batch: what waits goes on waiting.
/// Seen to fail when: `depends_on` is true for each request; or `touches`, `holds` or `drops_days` is.
#[test]
fn a_question_about_what_does_not_wait_writes_nothing() {
    let mut store = Store::new();
    let (conversation, other) =
        (ConversationId::direct(&user(1), &user(2)), ConversationId::direct(&user(3), &user(4)));
    let message = envelope(&conversation, 1, b"");
    let row = UserRow { last_offset: Offset(1), stored_entries: 1, stored_bytes: 1 };
    store.write(&[accept(&message), append(&user(2), 1, 1, b""), Op::User { user: user(2), row }]);
    let stranger = envelope(&other, 1, b"");
    let key = DedupKey {
        conversation: other.clone(),
        sender: stranger.sender.clone(),
        message_id: stranger.message_id,
    };
    let inbox = |user| LoadRequest::Inbox { user, after: Offset(0), entries_max: 9, bytes_max: 9 };
    for request in [
        LoadRequest::User(user(3)),
        inbox(user(3)),
        LoadRequest::Watermark(user(2), other.clone()),
        LoadRequest::Conversation(other),
        LoadRequest::Dedup(key),
    ] {
        store.load(&request);
        assert_eq!(store.engine.counters().fills, 0, "{request:?}");
    }
    store.load(&inbox(user(2)));
    assert_eq!(store.engine.counters().fills, 1);
    let expired = LoadRequest::Expired { slot: user(2).slot(), from: None, before: Wall(0), rows_max: 9 };
    store.load(&expired);
    assert_eq!(store.engine.counters().fills, 1, "nothing waits");
    store.write(&[append(&user(3), 1, 1, b"")]);
    store.load(&expired);
    assert_eq!(store.engine.counters().fills, 2);
}

/// Proves: G-DELIVER-1 (what was accepted reaches every device): an inbox is read in pages, in order, without a hole.
/// Seen to fail when: the page starts at `after` instead of behind it.
#[test]
fn an_inbox_is_read_in_pages_without_hole_or_overlap() {
    let mut store = Store::new();
    let owner = user(2);
    for n in 1..=30 {
        store.write(&[append(&owner, n * 3, n, &[1; 10])]);
        store.write(&[append(&user(3), n, n, &[1; 10])]);
    }
    let mut after = Offset::NONE;
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let request = LoadRequest::Inbox { user: owner.clone(), after, entries_max: 7, bytes_max: 1000 };
        let Loaded::Inbox { entries, complete } = store.load(&request) else { panic!("another answer") };
        pages += 1;
        seen.extend(entries.iter().map(|(offset, _)| offset.n()));
        after = entries.last().map_or(after, |(offset, _)| *offset);
        if complete {
            break;
        }
        assert_eq!(entries.len(), 7);
    }
    assert_eq!(seen, (1..=30).map(|n| n * 3).collect::<Vec<_>>());
    assert_eq!(pages, 5);
    for (bytes_max, count) in [(25, 3), (29, 3), (30, 4)] {
        let user = owner.clone();
        let bytes = LoadRequest::Inbox { user, after: Offset::NONE, entries_max: 99, bytes_max };
        let Loaded::Inbox { entries, complete } = store.load(&bytes) else { panic!("another answer") };
        assert_eq!((entries.len(), complete), (count, false), "the entry that passes the bytes is the last");
    }
}

/// Proves: G-GAP-1 (no hole without a word): expired entries are found page by page, gaps and younger ones are not.
/// Seen to fail when: `next` names the last row of the page.
#[test]
fn expired_entries_are_found_page_by_page() {
    let mut store = Store::new();
    let conversation = ConversationId::direct(&user(1), &user(2));
    let owner = user(2);
    for n in 1..=20 {
        store.write(&[append(&owner, n, n, b"")]);
    }
    let gap =
        Entry::Gap { conversation, from: Sequence(1), through: Sequence(1), reason: GapReason::Expired };
    store.write(&[Op::Append { user: owner.clone(), offset: Offset(1), entry: gap }]);
    let before = Wall(20_000 * DAY_MS + 11);
    let mut from = None;
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        let request = LoadRequest::Expired { slot: owner.slot(), from, before, rows_max: 4 };
        let Loaded::Expired { entries, next } = store.load(&request) else { panic!("another answer") };
        found.extend(entries.into_iter().map(|(_, offset, _)| offset.n()));
        pages += 1;
        from = next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(found, (1..=10).collect::<Vec<_>>());
    assert_eq!(pages, 6);
}

/// Seen to fail when: the damaged row's error ends the engine.
#[test]
fn a_read_that_fails_harms_no_other() {
    let mut store = Store::new();
    store.write(&[append(&user(2), 1, 1, b"a"), append(&user(3), 1, 1, b"b")]);
    store.engine.fill().unwrap();
    let key = store
        .engine
        .tables()
        .keys(Table::Inbox)
        .into_iter()
        .find(|key| key.starts_with(&user(2).slot().number().to_be_bytes()))
        .unwrap();
    assert!(store.engine.tables_mut().flip_bit(Table::Inbox, &key, 9));
    let inbox = |owner| LoadRequest::Inbox { user: owner, after: Offset(0), entries_max: 9, bytes_max: 9 };
    let damaged = store.engine.load(&inbox(user(2))).unwrap();
    assert!(matches!(damaged, Err(LoadError::Damaged { table: "inbox", .. })), "{damaged:?}");
    let Loaded::Inbox { entries, .. } = store.load(&inbox(user(3))) else { panic!("another answer") };
    assert_eq!(entries.len(), 1);
    store.engine.tables().faults.reads_to_fail.set(1);
    let failed = store.engine.load(&inbox(user(3))).unwrap();
    assert!(matches!(failed, Err(LoadError::Engine { .. })), "{failed:?}");
    assert!(store.engine.load(&inbox(user(3))).unwrap().is_ok());
}

fn limits() -> BootLimits {
    BootLimits { crowded_entries: 3, crowded_bytes: 1000, dedup_rows_checked: 1 << 20 }
}

/// Proves: G-FORWARD-1 (forwarding keeps order over a restart): a boot finds what is unconfirmed, in order, with the
/// slots that wait.
/// Seen to fail when: the outbox stays in the order of its keys.
#[test]
fn a_boot_finds_the_outbox_in_order_with_the_slots_that_wait() {
    let mut store = Store::new();
    let ids: Vec<_> = (1..7).map(|number| ConversationId::direct(&user(number), &user(number + 1))).collect();
    let one = ids[0].clone();
    assert!(
        !ids.is_sorted_by_key(ConversationId::slot),
        "keys, which go by slot, have another order than ids"
    );
    for sequence in 1..=3 {
        for id in ids.iter().rev() {
            store.write(&[accept(&envelope(id, sequence, b""))]);
        }
    }
    let confirmed = Op::Confirm {
        conversation: one.clone(),
        recipient: user(1).slot(),
        sequences: vec![(Sequence(2), false)],
    };
    store.write(&[confirmed]);
    store.engine.fill().unwrap();
    let state = boot_state(store.engine.tables(), &limits()).unwrap();
    let places: Vec<_> = state
        .outbox
        .iter()
        .map(|(envelope, _)| (envelope.conversation.clone(), envelope.sequence.0))
        .collect();
    let expected: Vec<_> = ids.iter().flat_map(|id| (1..=3).map(|n| (id.clone(), n))).collect();
    assert_eq!(places, expected);
    let second = state
        .outbox
        .iter()
        .find(|(envelope, _)| envelope.conversation == one && envelope.sequence == Sequence(2));
    assert_eq!(second.unwrap().1, [user(2).slot()]);
    let last: Vec<_> = ids.into_iter().map(|id| (id, Sequence(3))).collect();
    assert_eq!(state.last_sequences, last);
    assert_eq!(state.dedup_rows, 18);
    let slots: std::collections::BTreeSet<Slot> =
        state.outbox.iter().map(|(envelope, _)| envelope.conversation.slot()).collect();
    assert!(state.floors.iter().map(|(slot, _, _)| *slot).eq(slots), "{:?}", state.floors);
    assert!(state.floors.iter().all(|(_, day, highest)| *day == 0 && highest.day() == 20_000));
}

/// Seen to fail when: either bound is not compared.
#[test]
fn a_boot_finds_crowded_inboxes_with_their_devices() {
    let mut store = Store::new();
    let row = |stored_entries, stored_bytes| UserRow { last_offset: Offset(9), stored_entries, stored_bytes };
    for (number, row) in [(1, row(2, 999)), (2, row(3, 0)), (3, row(0, 1000))] {
        store.write(&[Op::User { user: user(number), row }]);
        store.write(&[Op::Cursor { user: user(number), device: device(number), row: cursor(1) }]);
    }
    store.engine.fill().unwrap();
    let state = boot_state(store.engine.tables(), &limits()).unwrap();
    let mut crowded: Vec<_> =
        state.crowded.iter().map(|(user, _, devices)| (user.clone(), devices.len())).collect();
    crowded.sort();
    assert_eq!(crowded, [(user(2), 1), (user(3), 1)]);
}

/// Proves: G-LIMIT-6 (all unclaimed inboxes together: what they hold is counted at a start)
/// Seen to fail when: a detached device counts as one that holds entries; or `find_claimed` stops at the first user,
/// or takes the device of one without entries for the next one's.
#[test]
fn a_boot_counts_what_unclaimed_inboxes_hold_together() {
    let mut store = Store::new();
    let user = |number: u32| UserId::parse(&format!("user-{number}")).unwrap();
    let row = |stored_entries| UserRow { last_offset: Offset(9), stored_entries, stored_bytes: 10 };
    let link = |number, at, detached| Op::Cursor {
        user: user(number),
        device: device(at),
        row: CursorRow { detached, ..cursor(1) },
    };
    // Four users a slot, so that they stand side by side.
    for number in 0..4_000 {
        store.write(&[Op::User { user: user(number), row: row(number % 7) }]);
        match number % 4 {
            0 => {}
            1 => store.write(&[link(number, 1, true)]),
            2 => store.write(&[link(number, 1, true), link(number, 2, false)]),
            _ => store.write(&[link(number, 1, false)]),
        }
    }
    // Devices of users who hold nothing claim nobody else's entries.
    for number in 5_000..7_000 {
        store.write(&[link(number, 1, false)]);
    }
    // Whoever has everything holds nothing.
    store.write(&[Op::User { user: user(4_000), row: UserRow { stored_bytes: 0, ..row(0) } }]);
    store.engine.fill().unwrap();
    let state = boot_state(store.engine.tables(), &limits()).unwrap();
    let unclaimed = (0..4_000_u64).filter(|number| number % 4 < 2);
    let held: u64 = unclaimed.map(|number| number % 7 * UNCLAIMED_ENTRY_BYTES + 10).sum();
    assert_eq!(state.unclaimed_bytes, held);
}

/// Proves: G-SEQ-1 (sequences are dense): rows that contradict each other refuse to start.
/// Seen to fail when: `check_dedup` or the check of the outbox is left out.
#[test]
fn sequences_above_the_last_or_given_twice_refuse_to_start() {
    let conversation = ConversationId::direct(&user(1), &user(2));
    let build = |ops: &[Op]| {
        let mut store = Store::new();
        store.write(ops);
        store.engine.fill().unwrap();
        store.engine
    };
    // The last sequence is put back below what outbox and dedup hold.
    let mut engine = build(&[accept(&envelope(&conversation, 5, b""))]);
    let key = engine.tables().keys(Table::Sequence).remove(0);
    let mut lower = ChangeList::default();
    lower.put(Table::Sequence, &key, &[4]);
    let mark = engine.tables().applied();
    engine.tables_mut().apply(&lower, mark).unwrap();
    let error = boot_state(engine.tables(), &limits()).unwrap_err();
    assert!(matches!(error, BootError::AboveLast { table: "outbox", .. }), "{error}");
    let mut only_dedup = ChangeList::default();
    for table in [Table::Outbox, Table::OutboxPending] {
        engine.tables().keys(table).iter().for_each(|key| only_dedup.delete(table, key));
    }
    engine.tables_mut().apply(&only_dedup, mark).unwrap();
    let error = boot_state(engine.tables(), &limits()).unwrap_err();
    assert!(matches!(error, BootError::AboveLast { table: "dedup", .. }), "{error}");
    // Two messages with one sequence.
    let other = Arc::new(Envelope {
        message_id: crate::testing::message_id(77, Wall(20_000 * DAY_MS)),
        ..(*envelope(&conversation, 5, b"")).clone()
    });
    let engine = build(&[accept(&envelope(&conversation, 5, b"")), accept(&other)]);
    let error = boot_state(engine.tables(), &limits()).unwrap_err();
    assert!(matches!(error, BootError::Twice { sequence: Sequence(5), .. }), "{error}");
    // An envelope that waits for nobody.
    let mut engine = build(&[accept(&envelope(&conversation, 5, b""))]);
    let mut nobody = ChangeList::default();
    engine
        .tables()
        .keys(Table::OutboxPending)
        .iter()
        .for_each(|key| nobody.delete(Table::OutboxPending, key));
    engine.tables_mut().apply(&nobody, mark).unwrap();
    assert!(matches!(boot_state(engine.tables(), &limits()).unwrap_err(), BootError::Pending { .. }));
}
