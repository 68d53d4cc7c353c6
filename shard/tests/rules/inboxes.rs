//! Inboxes: what goes into records, what is elided, pages, usage, expiry.

use crate::accepting::pair;
use crate::expiry::fail_one;
use crate::world::{World, conversation};
use iris_protocol::limits::{Limits, OWN_COPY_DELAY_MAX};
use iris_protocol::{CloseCode, ConversationId, GapReason, RejectCode, UserId};
use iris_storage::load::LoadRequest;
use iris_storage::op::{Op, Ops};
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// Proves: G-INBOX-1, G-WATERMARK-1 (the mark goes with the cursor that elided the entry)
/// Seen to fail when: `settle` appends entries whatever their age; or `release` stores what was acked.
#[test]
fn an_exchange_between_people_who_are_online_writes_each_payload_once() {
    let (mut world, _, bob) = pair(2, 0, 1);
    for _ in 0..50 {
        // Bob's device takes 3 ms: rounds find entries that are not acked yet.
        world.clients[1].reads = false;
        world.send(0, &bob, "0123456789");
        world.pass(Duration::from_millis(3));
        world.clients[1].reads = true;
        world.run();
    }
    world.settle();
    let written: u64 = world.nodes.iter().map(|node| node.tables.payload_bytes_written).sum();
    assert_eq!(written, 500, "payload bytes in records");
    let appends: u64 = world.nodes.iter().filter_map(|node| node.tables.applied.get("append")).sum();
    assert_eq!(appends, 0);
    assert_eq!(world.outbox_rows(), 0);
    // Both inboxes had an entry of each.
    assert_eq!((world.sum(|it| it.forwarded), world.sum(|it| it.taken)), (100, 100));
    assert_eq!((world.sum(|it| it.delivered), world.sum(|it| it.acked)), (100, 100));
    assert!(world.sum(|it| it.confirms) > 0);
    assert_eq!((world.sum(|it| it.elided), world.sum(|it| it.removed)), (100, 0));
}

/// Proves: G-INBOX-1 (entries go into records in time)
/// Seen to fail when: `settle_soon` always waits for the next round.
#[test]
fn an_entry_is_in_a_record_at_once_if_a_device_is_offline_and_else_within_20_ms() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.disconnect(1);
    world.send(0, &bob, "offline");
    world.run();
    assert_eq!(world.rows(&bob), 1, "an entry for an offline device waited");
    world.connect(1);
    world.settle();
    world.clients[1].acks = false;
    world.send(0, &bob, "online");
    world.run();
    assert_eq!(world.rows(&bob), 0, "an entry that may yet be acked was written");
    world.pass(Duration::from_millis(20));
    assert_eq!(world.rows(&bob), 1, "an entry was in no record after 20 ms");
    assert!(!alice.is_empty());
}

/// Proves: G-WINDOW-1 (a device gets no more than its window)
/// Seen to fail when: `has_room` does not look at the window.
#[test]
fn f_10_a_device_gets_its_window_and_the_rest_when_it_acks() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.disconnect(1);
    world.clients[1].window = 5;
    world.clients[1].acks = false;
    world.connect(1);
    for number in 0..20 {
        world.send(0, &bob, &format!("{number}"));
    }
    world.settle();
    assert_eq!(world.clients[1].applied.len(), 5);
    world.pass(Duration::from_mins(5));
    assert_eq!(world.clients[1].raw_duplicates, 0, "resent inside a live connection");
    world.clients[1].acks = true;
    world.connect(1);
    world.settle();
    let expected: Vec<u64> = (1..=20).collect();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), expected);
}

/// Proves: G-INBOX-1, G-ORDER-1 (a long backlog comes in pages, in order, once)
/// Seen to fail when: `trim` does not count what it drops; or `page_loaded` takes every page for the last one.
#[test]
fn a_backlog_beyond_memory_is_read_in_pages_and_removed_as_it_is_acked() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.disconnect(1);
    let text = "x".repeat(3000);
    for number in 0..900 {
        world.send(0, &bob, &text);
        if number % 20 == 19 {
            world.settle();
        }
    }
    world.settle();
    let stored = world.rows(&bob);
    assert_eq!(stored, 900 - world.clients[0].rejected.len());
    for round in 0..3 {
        world.clients[1].acks = round > 0;
        world.clients[1].window = 100;
        world.connect(1);
        world.run();
        if round == 1 {
            world.send(0, &bob, "one more");
            world.settle();
        }
    }
    world.settle();
    let expected: Vec<u64> = (1..=stored as u64 + 1).collect();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), expected);
    assert_eq!(world.rows(&bob), 0);
    assert_eq!(world.tables(&bob).users[&UserId::parse(&bob).unwrap()].stored_entries, 0);
}

/// Proves: G-LIMIT-2 (memory keeps 512 entries and 256 KiB of an inbox, and reads the others from the tables)
/// Seen to fail when: `trim` looks at bytes only where there are too many entries.
#[test]
fn memory_keeps_the_newest_entries_of_an_inbox() {
    for (count, size, is_read) in [(8, 32_768, false), (9, 32_768, true), (512, 10, false), (513, 10, true)] {
        let (mut world, _, bob) = pair(2, 0, 1);
        world.disconnect(1);
        for number in 0..count {
            world.send(0, &bob, &"x".repeat(size));
            if number % 8 == 7 {
                world.pass(Duration::from_millis(20));
            }
        }
        world.settle();
        assert_eq!(world.rows(&bob), count);
        let loads = world.sum(|it| it.loads);
        world.connect(1);
        world.settle();
        assert_eq!(world.sum(|it| it.loads) > loads, is_read, "{count} of {size} bytes");
        assert_eq!(world.clients[1].applied.len(), count);
    }
}

/// Proves: G-INBOX-1 (over stops), G-CRASH-1
/// Seen to fail when: `user_loaded` leaves `cold_entries` at 0.
#[test]
fn a_backlog_survives_a_restart_and_two_devices_read_it_at_their_own_pace() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.online(&bob, "tablet");
    world.disconnect(1);
    world.disconnect(2);
    for number in 0..200 {
        world.send(0, &bob, &format!("{number}"));
        if number % 40 == 0 {
            world.settle();
        }
    }
    world.settle();
    let stored = world.rows(&bob);
    world.crash();
    world.clients[1].window = 7;
    world.connect(1);
    world.run();
    assert_eq!(world.rows(&bob), stored, "removed although the tablet has not acked");
    world.clients[2].window = 3;
    world.connect(2);
    world.connect(0);
    world.settle();
    world.send(0, &bob, "fresh");
    world.settle();
    let expected: Vec<u64> = (1..=stored as u64 + 1).collect();
    for client in [1, 2] {
        assert_eq!(world.clients[client].sequences(&conversation(&alice, &bob)), expected);
    }
    assert_eq!(world.rows(&bob), 0);
}

/// Proves: G-RESUME-1 (an offset that passes unread rows removes them), G-LIMIT-1 (usage is exact)
/// Seen to fail when: `resume` does not purge.
#[test]
fn rows_that_a_resume_offset_passes_are_removed() {
    let (mut world, _, bob) = pair(2, 0, 1);
    world.clients[1].acks = false;
    for number in 0..100 {
        world.send(0, &bob, &format!("{number}"));
        if number % 30 == 0 {
            world.settle();
        }
    }
    world.settle();
    let stored = world.rows(&bob);
    assert!(stored > 90);
    world.crash();
    // Bob is loaded, and what is done at the load is over, before the device comes.
    world.connect(0);
    world.run();
    world.send(0, &bob, "one more");
    world.settle();
    assert_eq!(world.rows(&bob), stored + 1);
    world.clients[1].acks = true;
    world.connect(1);
    world.settle();
    assert_eq!(world.rows(&bob), 0, "rows below the cursor are left");
}

/// Proves: G-EDGE-1 (the device that needs a damaged row is told, nobody else notices)
/// Seen to fail when: `user_failed` leaves the session waiting.
#[test]
fn f_39_a_user_that_cannot_be_read_is_told_and_others_are_served() {
    let (mut world, alice, bob) = pair(1, 0, 0);
    world.crash();
    let broken = UserId::parse(&bob).unwrap();
    world.nodes[0].tables.broken_users.insert(broken.clone());
    world.connect(0);
    world.connect(1);
    world.send(0, &alice, "to myself");
    world.send(0, &bob, "to bob");
    world.settle();
    assert_eq!(world.clients[1].closed, [CloseCode::StorageFault]);
    assert_eq!(world.clients[0].sequences(&conversation(&alice, &alice)), [1]);
    // Repaired: what waited goes on.
    world.nodes[0].tables.broken_users.clear();
    world.pass(Duration::from_secs(3));
    world.connect(1);
    world.settle();
    assert_eq!(world.clients[1].payloads(), ["to bob"]);
}

/// Proves: G-INBOX-1 (what every device has acked leaves the disk)
/// Seen to fail when: `ack` does not purge where an ack of an older generation passes what the session has read.
#[test]
fn an_ack_of_an_older_generation_removes_rows_that_the_session_never_read() {
    let (mut world, _, bob) = pair(2, 0, 1);
    world.clients[1].acks = false;
    for number in 0..3 {
        world.send(0, &bob, &format!("{number}"));
    }
    world.settle();
    assert_eq!(world.rows(&bob), 3);
    let had = world.clients[1].stored;
    world.crash();
    world.clients[1].resumes = false;
    world.clients[1].window = 1;
    world.connect(1);
    world.settle();
    world.ack(1, had);
    world.settle();
    assert_eq!(world.rows(&bob), 0);
    assert!(world.clients[1].closed.is_empty());
}

/// Proves: G-INBOX-1 (what every device has acked leaves the disk, also while an earlier part of the inbox is looked through)
/// Seen to fail when: `remove_cold` does not ask for another purge, or asks for one only below what the present one takes.
#[test]
fn rows_that_are_acked_while_a_purge_runs_leave_the_disk() {
    let (mut world, _, bob) = pair(2, 0, 1);
    world.clients[1].acks = false;
    for number in 0..3 {
        world.send(0, &bob, &format!("{number}"));
    }
    world.settle();
    let had = world.clients[1].stored;
    world.crash();
    world.connect(0);
    world.run();
    // His inbox is in memory when he comes back, and the rows of the past are not read yet: his ack has them purged.
    world.send(0, &bob, "while away");
    world.settle();
    world.hold_loads = true;
    world.clients[1].window = 600;
    world.clients[1].resumes = false;
    world.connect(1);
    world.run();
    world.ack(1, had);
    world.run();
    let home = world.home(&UserId::parse(&bob).unwrap());
    assert_eq!(world.nodes[home].loads.len(), 2, "a page of the session, and one of the purge");
    world.load_one(home);
    // More than memory keeps: the oldest of them are in the tables alone.
    let mut early = 0;
    for batch in 0..13 {
        for number in 0..40 {
            world.send(0, &bob, &format!("{batch} {number}"));
        }
        world.settle();
        if batch == 0 {
            early = *world.clients[1].offsets.iter().filter(|offset| **offset > had).nth(4).expect("five");
        }
    }
    world.ack(1, early);
    world.run();
    let waits = matches!(world.nodes[home].loads[0].1, LoadRequest::Inbox { entries_max: 1, .. });
    assert!(waits, "the purge has its page already");
    world.hold_loads = false;
    world.settle();
    assert_eq!(world.rows(&bob), 1 + 13 * 40 - 5);
    assert!(world.clients[1].closed.is_empty());
}

/// Proves: G-INBOX-1 (rows of the past leave the disk one by one, each counted once)
/// Seen to fail when: `remove_cold` counts nothing, or removes nothing.
#[test]
fn rows_of_the_past_that_are_read_and_acked_leave_the_disk() {
    let (mut world, _, bob) = pair(2, 0, 1);
    world.disconnect(1);
    for number in 0..3 {
        world.send(0, &bob, &format!("{number}"));
    }
    world.settle();
    world.crash();
    world.connect(1);
    world.settle();
    assert_eq!((world.clients[1].payloads().len(), world.rows(&bob)), (3, 0));
    assert_eq!(world.sum(|it| it.removed), 3);
}

/// Proves: G-INBOX-1 (many users are settled together, in parts that a record can take)
/// Seen to fail when: `is_large` is never true, or always; or `settle_entry` does not count bytes.
#[test]
fn a_round_of_many_users_goes_into_parts_of_bounded_size() {
    let mut world = World::new(1);
    let users: Vec<usize> = (0..300).map(|number| world.online(&format!("user{number}"), "phone")).collect();
    world.settle();
    for &user in &users {
        let own = world.clients[user].user.to_string();
        world.send(user, &own, "to myself");
    }
    world.run();
    world.hold_stores = true;
    world.settle();
    let parts: Vec<usize> = world.nodes[0].stores.iter().map(|(_, ops)| ops.len()).collect();
    // Each has a cursor and a watermark.
    assert!(parts.iter().sum::<usize>() >= 600, "{parts:?}");
    assert!(parts.iter().all(|ops| *ops <= 512 + 2) && parts.len() < 10, "{parts:?}");
    // Entries are bounded by their bytes.
    world.hold_stores = false;
    world.settle();
    for &user in &users[..60] {
        world.clients[user].acks = false;
        let own = world.clients[user].user.to_string();
        world.send(user, &own, &"x".repeat(30_000));
    }
    world.run();
    world.hold_stores = true;
    world.pass(OWN_COPY_DELAY_MAX);
    let appends = |ops: &Ops| ops.iter().filter(|op| matches!(op, Op::Append { .. })).count();
    let parts: Vec<usize> = world.nodes[0].stores.iter().map(|(_, ops)| appends(ops)).collect();
    assert_eq!(parts.iter().sum::<usize>(), 60, "{parts:?}");
    assert!(parts.iter().all(|entries| *entries <= (512 << 10) / 30_000 + 1), "{parts:?}");
}

/// Proves: G-EDGE-1 (who needs a damaged row is told, nobody else notices)
/// Seen to fail when: `conversation_failed` does nothing (the Sends wait), or does not forget the conversation (never read again).
#[test]
fn f_39_a_conversation_that_cannot_be_read_refuses_its_sends_and_others_go_on() {
    let (mut world, alice, bob) = pair(1, 0, 0);
    world.send(0, &bob, "before");
    world.settle();
    world.crash();
    let broken = ConversationId::parse(&conversation(&alice, &bob)).unwrap();
    world.nodes[0].tables.broken_conversations.insert(broken);
    world.connect(0);
    world.connect(1);
    let refused: Vec<_> = (0..3).map(|number| world.send(0, &bob, &format!("{number}"))).collect();
    world.send(0, &alice, "to myself");
    world.settle();
    let expected: Vec<_> = refused.iter().map(|id| (*id, RejectCode::Busy)).collect();
    assert_eq!(world.clients[0].rejected, expected);
    assert_eq!(world.clients[0].sequences(&conversation(&alice, &alice)), [1]);
    // Repaired: a retry is accepted, behind what was there.
    world.nodes[0].tables.broken_conversations.clear();
    world.send_id(0, &bob, refused[0], "0");
    world.settle();
    assert_eq!(world.clients[1].payloads(), ["before", "0"]);
    assert_eq!(world.clients[0].accepted[&refused[0]].sequence, 2);
}

/// Proves: G-GAP-1 (no hole without a word)
/// Seen to fail when: `rewrite_done` removes without a gap entry; or the gap takes a new offset; or the row that it
/// replaces is not removed first.
#[test]
fn expired_entries_are_replaced_by_one_gap_a_conversation_that_comes_first() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    let carl = world.user_on("carl", 0);
    world.online(&carl, "phone");
    world.disconnect(1);
    for number in 0..5 {
        world.send(0, &bob, &format!("old {number}"));
        world.send(2, &bob, &format!("old {number}"));
    }
    world.settle();
    for _ in 0..29 {
        world.jump(DAY);
    }
    world.connect(0);
    world.run();
    world.send(0, &bob, "young");
    world.settle();
    for _ in 0..40_000 {
        world.pass(Duration::from_mins(1));
        if world.rows(&bob) == 3 {
            break;
        }
    }
    assert_eq!(world.rows(&bob), 3, "two gaps and the young one");
    world.connect(1);
    world.settle();
    let gaps: Vec<_> = world.clients[1]
        .gaps
        .iter()
        .map(|gap| (gap.from_sequence, gap.through_sequence, gap.reason))
        .collect();
    let expired = i32::from(GapReason::Expired.to_wire());
    let told: Vec<_> = gaps.iter().filter(|gap| gap.2 == expired).collect();
    assert_eq!(told, [&(1, 5, expired), &(1, 5, expired)]);
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), [6]);
    assert_eq!(world.rows(&bob), 0);
}

/// Proves: G-INBOX-1, G-OFFSET-1 (idle state leaves memory and comes back as it was)
/// Seen to fail when: `may_leave` does not wait for the row; or `sweep_channels` drops what is not durable.
#[test]
fn idle_state_leaves_memory_and_comes_back_as_it_was() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    for round in 0..3 {
        world.send(0, &bob, &format!("{round} online"));
        world.settle();
        world.disconnect(0);
        world.disconnect(1);
        // Rows that are written before a user leaves are on their way for long.
        world.hold_stores = true;
        world.pass(Duration::from_secs(700));
        world.hold_stores = false;
        world.pass(Duration::from_secs(700));
        let evicted: u64 = world.nodes.iter().map(|node| node.shard.counters().evicted).sum();
        assert!(evicted > 0, "nothing left memory");
        world.connect(0);
        world.run();
        // So is the record of what bob's home took.
        world.hold_stores = true;
        world.send(0, &bob, &format!("{round} offline"));
        world.run();
        assert!(world.store_one(world.owner(&conversation(&alice, &bob))));
        world.pass(Duration::from_secs(700));
        world.hold_stores = false;
        world.settle();
        world.connect(0);
        world.connect(1);
        world.settle();
    }
    let expected: Vec<u64> = (1..=6).collect();
    assert_eq!(world.clients[0].sequences(&conversation(&alice, &bob)), expected);
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), expected);
    assert!(world.clients[1].offsets.is_sorted());
}

/// Proves: G-DEVICE-2 (a note to oneself reaches the other devices)
/// Seen to fail when: `accept` counts a note to self twice in K.
#[test]
fn a_note_to_oneself_is_one_message_on_every_device() {
    let limits = Limits { sends_per_second: 1000, sends_burst: 1000, ..Limits::default() };
    let mut world = World::with_limits(1, limits);
    world.online("alice", "phone");
    world.online("alice", "tablet");
    for number in 0..100 {
        world.send(0, "alice", &format!("{number}"));
        world.settle();
    }
    let expected: Vec<u64> = (1..=100).collect();
    assert_eq!(world.clients[0].sequences("d:alice:alice"), expected);
    assert_eq!(world.clients[1].sequences("d:alice:alice"), expected);
    assert_eq!(world.outbox_rows(), 0);
}

/// Proves: G-DELIVER-1 (what was accepted reaches every device): a device whose inbox cannot be read is told STORAGE_FAULT, nobody else
/// notices, and its next session gets everything.
/// Seen to fail when: `page_failed` does nothing.
#[test]
fn a_device_whose_inbox_cannot_be_read_is_told_and_comes_back() {
    let (mut world, alice, bob) = pair(1, 0, 0);
    world.disconnect(1);
    for text in ["one", "two"] {
        world.send(0, &bob, text);
        world.settle();
    }
    world.crash();
    world.connect(0);
    world.settle();
    world.hold_loads = true;
    world.connect(1);
    let is_page = |(_, request): &(_, LoadRequest)| matches!(request, LoadRequest::Inbox { entries_max, .. } if *entries_max > 1);
    let page = (0..20).find_map(|_| {
        world.run();
        let at = world.nodes[0].loads.iter().position(is_page);
        if at.is_none() {
            world.load_one(0);
        }
        at
    });
    fail_one(&mut world, page.expect("his inbox is not read"));
    world.hold_loads = false;
    world.settle();
    assert_eq!(world.clients[1].closed, [CloseCode::StorageFault]);
    assert!(world.clients[0].conn.is_some() && world.clients[0].closed.is_empty());
    world.connect(1);
    world.settle();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), [1, 2]);
}

/// Proves: G-ORDER-1 (a sequence is read where it stands): a conversation, what its homes know of it, and its users stay in memory until
/// the tables hold their last records, so that a question about them needs nothing but the tables.
/// Seen to fail when: `Tickets::is_filled` is always true.
#[test]
fn what_the_tables_do_not_hold_yet_stays_in_memory() {
    let (mut world, _, bob) = pair(2, 0, 1);
    let evicted =
        |world: &World| -> u64 { world.nodes.iter().map(|node| node.shard.counters().evicted).sum() };
    world.send(0, &bob, "filled");
    world.settle();
    world.hold_fills = true;
    world.send(0, &bob, "durable");
    world.settle();
    world.disconnect(0);
    world.disconnect(1);
    for _ in 0..3 {
        world.pass(Duration::from_secs(700));
    }
    assert_eq!(evicted(&world), 0, "something left memory before the tables had it");
    world.hold_fills = false;
    world.fill();
    for _ in 0..3 {
        world.pass(Duration::from_secs(700));
    }
    assert_eq!(evicted(&world), 7, "two users, two channels, a conversation, two recipients");
}

/// Proves: G-DELIVER-1 (what was accepted reaches every device): what waits for long - for the tables, for the answer of a recipient's home, for a
/// record - keeps what it waits in.
/// Seen to fail when: `Conversation::is_idle` is always true, or does not look at what is parked.
#[test]
fn what_waits_for_long_does_not_leave_memory() {
    type Hold = fn(&mut World, bool);
    // A Send that waits for its sender's own home goes with its connection; the owner keeps what it has got.
    let waits: [(Hold, &[u64]); 3] = [
        (|world, is_held| world.hold_loads = is_held, &[]),
        (|world, is_held| world.hold_mail = is_held, &[1]),
        (|world, is_held| world.hold_stores = is_held, &[1]),
    ];
    for (hold, kept) in waits {
        let (mut world, alice, bob) = pair(2, 0, 1);
        hold(&mut world, true);
        let id = world.send(0, &bob, "late");
        world.run();
        world.disconnect(0);
        world.disconnect(1);
        for _ in 0..3 {
            world.pass(Duration::from_secs(700));
        }
        hold(&mut world, false);
        world.settle();
        world.connect(0);
        world.connect(1);
        world.settle();
        assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), kept);
        world.send_id(0, &bob, id, "late");
        world.settle();
        assert_eq!(world.clients[0].accepted[&id].sequence, 1);
        assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), [1]);
    }
}

/// Proves: G-LIMIT-1 (what a boot finds unconfirmed is counted once, a note to oneself too), G-LIMIT-2
/// Seen to fail when: `boot_pending` counts it for each of the two members.
#[test]
fn a_note_to_oneself_that_a_boot_finds_is_counted_once() {
    let mut world = World::new(1);
    world.online("alice", "phone");
    world.online("bob", "phone");
    world.hold_stores = true;
    world.send(0, "alice", "a note");
    world.run();
    assert!(world.store_one(0));
    world.crash();
    world.hold_stores = false;
    assert_eq!(world.outbox_rows(), 1);
    world.connect(0);
    world.connect(1);
    world.settle();
    assert_eq!((world.clients[0].sequences("d:alice:alice"), world.outbox_rows()), (vec![1], 0));
    world.disconnect(0);
    world.send(1, "bob", "a note, too");
    world.pass(Duration::from_secs(10));
    // Their channels, conversations and recipients, and alice.
    assert_eq!(world.sum(|it| it.evicted), 7);
}

/// Proves: G-LIMIT-2 (no queue grows without a bound): what everybody confirmed and nobody touches leaves memory whole: both
/// users, what their homes and the owner know of the conversation, and of its recipients.
/// Seen to fail when: `drop_confirmed` keeps what every lane confirmed; when `confirm_in` counts up what is outstanding.
#[test]
fn a_confirmed_conversation_leaves_memory_with_everything_about_it() {
    let (mut world, _, bob) = pair(2, 0, 1);
    for _ in 0..3 {
        world.send(0, &bob, "confirmed");
        world.settle();
    }
    world.disconnect(0);
    world.disconnect(1);
    for _ in 0..3 {
        world.pass(Duration::from_secs(700));
    }
    let evicted: u64 = world.nodes.iter().map(|node| node.shard.counters().evicted).sum();
    assert_eq!(evicted, 7, "two users, two channels, a conversation, two recipients");
}
