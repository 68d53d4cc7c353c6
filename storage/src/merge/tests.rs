use super::*;
use crate::number::RecordNumber;
use crate::op::{Entry, Op};
use crate::record::RecordBuilder;
use crate::tables::{MemoryTables, Rows as _};
use crate::testing::{Choice, KEY, Model, Traffic, accept, device, dump, envelope, user};
use iris_protocol::{ConversationId, GapReason, Generation, Offset, Sequence};
use proptest::prelude::*;

fn record(ops: &[Op], after: Mark) -> DurableRecord {
    RecordBuilder::record(ops, KEY, after, Generation(1))
}

fn fill(merger: &mut Merger, tables: &mut MemoryTables) {
    merger.fill(tables).unwrap();
}

/// What happens between two operations.
fn run(choices: &[(Choice, u8)]) -> Result<(), TestCaseError> {
    let mut traffic = Traffic::default();
    let mut model = Model::default();
    let mut flushed: (Model, Mark) = (Model::default(), Mark::default());
    let mut tables = MemoryTables::new();
    let mut merger = Merger::new(7, &tables).unwrap();
    let mut log: Vec<DurableRecord> = Vec::new();
    let mut waiting = Vec::new();
    for (choice, then) in choices {
        waiting.push(traffic.op(*choice));
        if then % 4 != 0 {
            let after = log.last().map_or(Mark::default(), |record| record.head().mark());
            let record = record(&waiting, after);
            waiting.drain(..).for_each(|op| model.apply(&op));
            log.push(record.clone());
            merger.absorb(record).unwrap();
        }
        match then {
            0..64 => {
                fill(&mut merger, &mut tables);
                prop_assert_eq!(&dump(&tables), &model);
            }
            64..80 => {
                fill(&mut merger, &mut tables);
                tables.flush().unwrap();
                flushed = (model.clone(), tables.applied());
            }
            80..96 => {
                tables.power_cut();
                prop_assert_eq!(tables.applied(), flushed.1);
                prop_assert_eq!(&dump(&tables), &flushed.0);
                merger = Merger::new(8, &tables).unwrap();
                for record in log.iter().filter(|record| record.number() > flushed.1.number) {
                    merger.absorb(record.clone()).unwrap();
                }
            }
            96.. => {}
        }
    }
    fill(&mut merger, &mut tables);
    prop_assert_eq!(&dump(&tables), &model);
    prop_assert_eq!(tables.applied().number, log.last().map_or(RecordNumber(0), DurableRecord::number));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Proves: G-CRASH-1 (a stop at any point is survived): merging, filling and losing what was not flushed, at random,
    /// leads to the rows that applying each operation alone leads to.
    /// Seen to fail when: a delete of a row that reached the tables vanishes (`puts_once` is true for cursors).
    #[test]
    fn merged_rows_equal_rows_applied_one_by_one(
        choices in proptest::collection::vec((any::<Choice>(), any::<u8>()), 1..120)
    ) {
        run(&choices)?;
    }
}

/// Seen to fail when: a put and a delete of the same key are both written.
#[test]
fn a_message_that_lived_between_two_fills_never_reaches_outbox_and_inbox() {
    let mut tables = MemoryTables::new();
    let mut merger = Merger::new(1, &tables).unwrap();
    let conversation = ConversationId::direct(&user(1), &user(2));
    let mut after = Mark::default();
    for sequence in 1..=100_u64 {
        let envelope = envelope(&conversation, sequence, &[1; 128]);
        let slots = std::collections::BTreeSet::from([user(1).slot(), user(2).slot()]);
        let mut ops = vec![accept(&envelope)];
        let count = slots.len();
        for (index, recipient) in slots.into_iter().enumerate() {
            let sequences = vec![(envelope.sequence, index + 1 == count)];
            ops.push(Op::Confirm { conversation: conversation.clone(), recipient, sequences });
        }
        let record = record(&ops, after);
        after = record.head().mark();
        merger.absorb(record).unwrap();
    }
    assert_eq!(merger.counters().vanished, 300);
    fill(&mut merger, &mut tables);
    assert_eq!(tables.keys(Table::Outbox).len(), 0);
    assert_eq!(tables.keys(Table::OutboxPending).len(), 0);
    assert_eq!(tables.keys(Table::Dedup).len(), 100);
    assert_eq!(merger.counters().written, 101, "dedup rows, and one sequence");
    assert_eq!(merger.rows(), 0);
}

/// Proves: G-INBOX-1 (what was removed stays removed)
/// Seen to fail when: a put over a row that is deleted counts as fresh.
#[test]
fn a_row_whose_place_was_taken_again_is_gone_when_that_is_removed() {
    let mut tables = MemoryTables::new();
    let mut merger = Merger::new(1, &tables).unwrap();
    let conversation = ConversationId::direct(&user(1), &user(2));
    let offset = Offset(7);
    let entry = Entry::Message { envelope: envelope(&conversation, 1, &[1; 8]), previous: Sequence(0) };
    let hole = (Sequence(1), Sequence(1), GapReason::Expired);
    let gap =
        Entry::Gap { conversation: conversation.clone(), from: hole.0, through: hole.1, reason: hole.2 };
    let append = |entry| Op::Append { user: user(1), offset, entry };
    let remove = || Op::Remove { user: user(1), offsets: vec![offset] };
    let first = record(&[append(entry)], Mark::default());
    let after = first.head().mark();
    merger.absorb(first).unwrap();
    fill(&mut merger, &mut tables);
    assert_eq!(tables.keys(Table::Inbox).len(), 1);
    let second = record(&[remove(), append(gap)], after);
    let after = second.head().mark();
    merger.absorb(second).unwrap();
    merger.absorb(record(&[remove()], after)).unwrap();
    fill(&mut merger, &mut tables);
    assert_eq!(tables.keys(Table::Inbox).len(), 0);
}

/// Seen to fail when: `locate` keeps the key of a row that is known.
#[test]
fn a_counter_that_changes_a_thousand_times_is_one_row() {
    let mut tables = MemoryTables::new();
    let mut merger = Merger::new(1, &tables).unwrap();
    let mut after = Mark::default();
    for number in 1..=1000 {
        let row = crate::op::CursorRow {
            acked_through: iris_protocol::Offset(number),
            linked_at: Wall(1),
            last_seen_at: Wall(2),
            detached: false,
        };
        let record = record(&[Op::Cursor { user: user(1), device: device(1), row }], after);
        after = record.head().mark();
        merger.absorb(record).unwrap();
    }
    assert_eq!(merger.rows(), 1);
    assert!(merger.arena.len() < 64, "{} bytes of keys", merger.arena.len());
    fill(&mut merger, &mut tables);
    assert_eq!(tables.keys(Table::Cursors).len(), 1);
    assert_eq!(tables.applied().number, RecordNumber(1000));
}

/// Proves: G-WATERMARK-1 (a message enters an inbox once): a gap raises a mark, and never takes it back, also over one of the same
/// record, and two in a row over what is stored.
/// Seen to fail when: what waits in the record that is being absorbed is not looked at (`waiting_sequence`); or a second gap
/// counts as a message, and what is stored is not looked at.
#[test]
fn gaps_never_take_a_mark_back() {
    let conversation = ConversationId::direct(&user(1), &user(2));
    let message = |offset, sequence| Op::Append {
        user: user(1),
        offset: Offset(offset),
        entry: Entry::Message { envelope: envelope(&conversation, sequence, b""), previous: Sequence(0) },
    };
    let gap = |offset, through| Op::Append {
        user: user(1),
        offset: Offset(offset),
        entry: Entry::Gap {
            conversation: conversation.clone(),
            from: Sequence(1),
            through: Sequence(through),
            reason: GapReason::Expired,
        },
    };
    for ops in [[gap(1, 9), gap(2, 3)], [gap(1, 3), gap(2, 9)], [message(1, 9), gap(2, 3)]] {
        let mut tables = MemoryTables::new();
        let mut merger = Merger::new(1, &tables).unwrap();
        let mut model = Model::default();
        for op in &ops {
            model.apply(op);
        }
        merger.absorb(record(&ops, Mark::default())).unwrap();
        fill(&mut merger, &mut tables);
        assert_eq!(dump(&tables), model);
        let mut mark = Vec::new();
        let key = tables.keys(Table::Watermarks).remove(0);
        assert!(tables.get(Table::Watermarks, &key, &mut mark).unwrap());
        assert_eq!(mark, [9]);
        merger.absorb(record(&[gap(3, 4), gap(4, 6)], merger.mark())).unwrap();
        fill(&mut merger, &mut tables);
        assert!(tables.get(Table::Watermarks, &key, &mut mark).unwrap());
        assert_eq!(mark, [9], "stored");
    }
}

/// Proves: G-DELIVER-1 (what was accepted reaches every device): however many users' rows wait, none of them is overlooked.
/// Seen to fail when: `touch` takes another user's hash for the one it looks for.
#[test]
fn of_a_thousand_users_whose_rows_wait_none_is_overlooked() {
    let tables = MemoryTables::new();
    let mut merger = Merger::new(1, &tables).unwrap();
    let user = |number: u32| iris_protocol::UserId::parse(&format!("user-{number}")).unwrap();
    let ops: Vec<Op> = (0..1000).map(|number| Op::Unlink { user: user(number), device: device(1) }).collect();
    merger.absorb(record(&ops, Mark::default())).unwrap();
    let touches = |number| merger.touches(user(number).slot(), user(number).as_str().as_bytes());
    let found: Vec<u32> = (0..2000).filter(|number| touches(*number)).collect();
    assert_eq!(found, (0..1000).collect::<Vec<_>>());
}

/// What waits for a fill is counted, so that much of it is written early.
/// Seen to fail when: a record counts as 0 or 1 bytes; `mark` is that of no record.
#[test]
fn what_waits_is_counted_until_it_is_filled() {
    let mut tables = MemoryTables::new();
    let mut merger = Merger::new(1, &tables).unwrap();
    let conversation = ConversationId::direct(&user(1), &user(2));
    let mut records: Vec<DurableRecord> = Vec::new();
    for sequence in 1..=3_u64 {
        let after = records.last().map_or(Mark::default(), |record| record.head().mark());
        let ops = [accept(&envelope(&conversation, sequence, &[1; 4000]))];
        records.push(record(&ops, after));
        merger.absorb(records.last().unwrap().clone()).unwrap();
        let bytes: usize = records.iter().map(|record| record.as_bytes().len()).sum();
        assert!(merger.bytes() >= bytes, "{} bytes instead of {bytes}", merger.bytes());
        assert!(merger.memory_bytes() >= merger.bytes());
        assert_eq!(merger.mark(), records.last().unwrap().head().mark());
    }
    let before = merger.counters();
    // Sequence, dedup, outbox, floor, and a row for each recipient's slot.
    let slots = std::collections::BTreeSet::from([user(1).slot(), user(2).slot()]).len();
    assert_eq!((before.records, before.changes, before.fills), (3, 3 * (4 + wide(slots)), 0));
    merger.fill(&mut tables).unwrap();
    assert_eq!((merger.bytes(), merger.counters().fills), (0, 1));
    assert!(merger.memory_bytes() > 0, "room is kept for what comes next");
    fill(&mut merger, &mut tables);
    assert_eq!(merger.counters().fills, 1, "nothing waits: nothing is written");
}

#[test]
#[should_panic(expected = "records are merged in order")]
fn a_record_out_of_order_is_a_bug() {
    let tables = MemoryTables::new();
    let mut merger = Merger::new(1, &tables).unwrap();
    let first = record(&[Op::Unlink { user: user(1), device: device(1) }], Mark::default());
    let second = record(&[Op::Unlink { user: user(1), device: device(1) }], first.head().mark());
    merger.absorb(second).unwrap();
}
