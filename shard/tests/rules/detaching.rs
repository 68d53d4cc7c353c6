//! Devices that are given up: silent, or a whole inbox behind; what they are told, and what becomes of what they held.

use crate::accepting::pair;
use crate::world::{World, conversation};
use iris_protocol::limits::Limits;
use iris_protocol::wire::{self, client_frame};
use iris_protocol::{CloseCode, GapReason};
use iris_storage::load::LoadRequest;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// Proves: G-DEVICE-5 (silent is who is not connected)
/// Seen to fail when: `see_connected` looks at nobody.
#[test]
fn a_device_that_is_connected_for_a_month_is_not_silent_when_the_process_stops() {
    let (mut world, _, bob) = pair(2, 0, 1);
    let ends_at = world.now.after(60 * DAY);
    world.connect_with(1, |login| login.ends_at = ends_at);
    world.run();
    for _ in 0..31 {
        world.jump(DAY);
        world.frame(1, client_frame::Frame::Ping(wire::Ping { nonce: 1 }));
        world.pass(Duration::from_secs(2));
    }
    assert_eq!(world.clients[1].closed.iter().filter(|code| **code != CloseCode::Conflict).count(), 0);
    world.crash();
    world.connect(1);
    world.settle();
    assert!(world.clients[1].gaps.is_empty(), "{bob}'s phone was detached");
}

/// Proves: G-DEVICE-5 (an abandoned device does not hold the others up), G-GAP-1
/// Seen to fail when: `acked_by_all` counts detached devices; or `detach_silent` never detaches.
#[test]
fn f_65_a_device_that_was_silent_for_a_month_is_detached_and_told_on_its_return() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    let tablet = world.online(&bob, "tablet");
    world.disconnect(tablet);
    world.send(0, &bob, "kept");
    world.settle();
    assert_eq!(world.rows(&bob), 1);
    for _ in 0..31 {
        world.jump(DAY);
        for client in [0, 1] {
            world.connect(client);
        }
        world.send(0, &bob, "daily");
        world.settle();
    }
    world.disconnect(1);
    world.crash();
    world.connect(1);
    world.settle();
    assert_eq!(world.rows(&bob), 0, "entries are kept for a detached device");
    world.connect(tablet);
    world.send(0, &bob, "new");
    world.connect(0);
    world.send(0, &bob, "newer");
    world.settle();
    let gap = world.clients[tablet].gaps.first().expect("no gap was sent");
    assert_eq!(gap.reason, i32::from(GapReason::DeviceDetached.to_wire()));
    assert_eq!(world.clients[tablet].payloads().last().unwrap(), "newer");
    assert!(world.clients[tablet].sequences(&conversation(&alice, &bob)).is_sorted());
}

/// Proves: G-DEVICE-5 (told until it is acked)
/// Seen to fail when: `take_gap_ack` takes any ack for one of the gap, or none.
#[test]
fn an_ack_of_what_a_device_had_before_it_was_detached_is_none_of_the_gap() {
    let (mut world, _, bob) = pair(2, 0, 1);
    let tablet = world.online(&bob, "tablet");
    world.send(0, &bob, "had");
    world.settle();
    let had = world.clients[tablet].stored;
    world.disconnect(tablet);
    for _ in 0..31 {
        world.jump(DAY);
        for client in [0, 1] {
            world.connect(client);
        }
        world.send(0, &bob, "missed");
        world.settle();
    }
    // It comes back, acks what it had, and loses the connection before it hears anything.
    world.clients[tablet].reads = false;
    world.connect(tablet);
    world.run();
    world.ack(tablet, had);
    world.run();
    world.disconnect(tablet);
    assert!(world.clients[tablet].gaps.is_empty());
    world.clients[tablet].reads = true;
    world.connect(tablet);
    world.settle();
    let gap = world.clients[tablet].gaps.first().expect("no gap was sent");
    assert_eq!(gap.reason, i32::from(GapReason::DeviceDetached.to_wire()));
    // Its ack is durable: it is not told again.
    world.crash();
    world.connect(tablet);
    world.settle();
    assert_eq!(world.clients[tablet].gaps.len(), 1);
}

/// Proves: G-DEVICE-5 (silent for 30 days, also while the user stays in memory)
/// Seen to fail when: `sweep_users` does not look for silent devices.
#[test]
fn a_silent_device_of_a_user_that_is_always_online_is_detached() {
    let (mut world, _, bob) = pair(2, 0, 1);
    let tablet = world.online(&bob, "tablet");
    world.disconnect(tablet);
    world.send(0, &bob, "kept");
    world.settle();
    for _ in 0..31 {
        world.jump(DAY);
        world.connect(0);
        world.connect(1);
        world.run();
    }
    world.pass(Duration::from_mins(1));
    assert_eq!(world.rows(&bob), 0, "entries are kept for a silent device");
}

/// Proves: G-DEVICE-5 (silent for 30 days, also the only device of a user that stays in memory because messages come for it)
/// Seen to fail when: `detach_in_sweep` looks at users with more than one device alone.
#[test]
fn a_silent_only_device_is_detached_while_messages_come_for_it() {
    let (mut world, _, bob) = pair(2, 0, 1);
    world.disconnect(1);
    for day in 0..29 {
        world.jump(DAY);
        world.connect(0);
        world.run();
        world.send(0, &bob, &format!("day {day}"));
        world.settle();
    }
    assert_eq!(world.sum(|it| it.detached), 0, "its last day is not over");
    world.hold_loads = true;
    world.jump(DAY);
    world.pass(Duration::from_secs(2));
    let is_user = |(_, request): &(_, LoadRequest)| matches!(request, LoadRequest::User(_));
    assert!(!world.nodes[1].loads.iter().any(is_user), "he left memory");
    assert_eq!(world.sum(|it| it.detached), 1);
    world.hold_loads = false;
    world.connect(1);
    world.settle();
    let gap = world.clients[1].gaps.first().expect("no gap was sent");
    assert_eq!(gap.reason, i32::from(GapReason::DeviceDetached.to_wire()));
    assert_eq!(world.clients[1].payloads().last().unwrap(), "day 28");
}

/// Proves: G-INBOX-1 (what its last holder removed is not read by who claims an inbox), G-DEVICE-5
/// The process stopped between a cursor and the removal of the rows that it passed, and the device stayed silent.
/// Seen to fail when: `unclaimed_start` is 0.
#[test]
fn who_claims_an_inbox_starts_where_its_last_holder_stood() {
    let limits = Limits { detach: DAY, ..Limits::default() };
    let mut world = World::with_limits(1, limits);
    let [alice, phone] =
        [("alice", "phone"), ("bob", "phone")].map(|(user, device)| world.online(user, device));
    world.clients[phone].acks = false;
    for number in 0..5 {
        world.send(alice, "bob", &format!("{number}"));
        world.settle();
    }
    let third = world.clients[phone].offsets[2];
    world.crash();
    // It names what it has: rows that this session never read are passed, and a purge looks for them.
    world.clients[phone].resumes = false;
    world.connect(phone);
    world.run();
    world.disconnect(phone);
    world.hold_loads = true;
    world.connect_with(phone, |login| login.hello.resume_offset = Some(third));
    world.pass(Duration::from_millis(200));
    world.crash();
    world.hold_loads = false;
    assert_eq!(world.rows("bob"), 5, "nothing was removed");
    let rows = world.nodes[0].tables.cursors.iter();
    let cursors: Vec<u64> =
        rows.filter(|((user, _), _)| user.as_str() == "bob").map(|(_, row)| row.acked_through.0).collect();
    assert_eq!(cursors, [third], "and the cursor is durable");
    world.jump(DAY + DAY / 24);
    let tablet = world.client("bob", "tablet");
    world.clients[tablet].acks = false;
    world.connect(tablet);
    world.settle();
    assert_eq!(world.clients[tablet].payloads(), ["3", "4"]);
    assert_eq!(world.rows("bob"), 2);
}

/// Proves: G-LIMIT-1 (what is being removed fills no inbox)
/// A tablet that is a whole inbox behind is given up. What was kept for it alone is still being removed when the next message comes.
/// Seen to fail when: `state_of` does not look whether a purge is under way.
#[test]
fn an_inbox_that_is_being_emptied_refuses_nothing() {
    let limits =
        Limits { inbox_envelopes: 12, sends_per_second: 1000, sends_burst: 10_000, ..Limits::default() };
    let mut world = World::with_limits(1, limits);
    let [alice, phone, tablet] = [("alice", "phone"), ("bob", "phone"), ("bob", "tablet")]
        .map(|(user, device)| world.online(user, device));
    world.disconnect(tablet);
    for number in 0..10 {
        world.send(alice, "bob", &format!("{number}"));
        world.settle();
    }
    world.crash();
    world.connect(alice);
    world.connect(phone);
    world.send(alice, "bob", "10");
    world.settle();
    world.crash();
    world.connect(alice);
    world.connect(phone);
    world.settle();
    // All eleven rows are in the tables alone. The phone acknowledges no more.
    world.clients[phone].acks = false;
    let warm = world.send(alice, "alice", "her own conversation, and his, are loaded");
    world.settle();
    assert!(world.clients[alice].accepted.contains_key(&warm));
    world.hold_loads = true;
    world.send(alice, "bob", "11");
    while world.nodes[0].loads.iter().any(|(_, request)| !matches!(request, LoadRequest::Inbox { .. })) {
        world.load_one(0);
        world.run();
    }
    world.run();
    assert_eq!(world.sum(|it| it.detached), 1, "the tablet is a whole inbox behind");
    assert_eq!(world.rows("bob"), 12, "what was kept for it is still there");
    let next = world.send(alice, "bob", "12");
    world.settle();
    assert!(world.clients[alice].accepted.contains_key(&next), "{:?}", world.clients[alice].rejected);
    world.hold_loads = false;
    world.clients[phone].acks = true;
    world.clients[phone].resumes = true;
    world.connect(phone);
    world.settle();
    assert_eq!(world.clients[phone].payloads().len(), 13);
    assert_eq!(world.rows("bob"), 0);
}

/// Proves: G-DEVICE-5 (a device that is the whole inbox limit behind is detached), G-LIMIT-1
/// Seen to fail when: `judge_user` does not detach laggards.
#[test]
fn f_65_a_device_that_is_a_whole_inbox_behind_is_detached_and_the_others_go_on() {
    let limits =
        Limits { inbox_envelopes: 50, sends_per_second: 1000, sends_burst: 10_000, ..Limits::default() };
    let mut world = World::with_limits(2, limits);
    let (alice, bob) = (world.user_on("alice", 0), world.user_on("bob", 1));
    world.online(&alice, "phone");
    world.online(&bob, "phone");
    let tablet = world.online(&bob, "tablet");
    world.disconnect(tablet);
    for number in 0..200 {
        world.send(0, &bob, &format!("{number}"));
        world.settle();
    }
    assert!(world.clients[0].rejected.is_empty(), "the abandoned device filled the inbox");
    assert_eq!(world.sum(|it| it.detached), 1);
    let expected: Vec<u64> = (1..=200).collect();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), expected);
    assert_eq!(world.rows(&bob), 0);
    world.connect(tablet);
    world.settle();
    assert_eq!(world.clients[tablet].gaps[0].reason, i32::from(GapReason::DeviceDetached.to_wire()));
}

/// Proves: G-DEVICE-5 (a device is detached only if it was silent or a whole inbox behind): rows that all devices have, left by
/// a stop, put nobody behind.
/// Seen to fail when: `first_judgement` detaches laggards before the purge at load.
#[test]
fn f_65_rows_that_a_stop_left_put_no_device_behind() {
    let limits =
        Limits { inbox_envelopes: 12, sends_per_second: 1000, sends_burst: 10_000, ..Limits::default() };
    let mut world = World::with_limits(1, limits);
    world.online("alice", "phone");
    let bob: Vec<usize> = ["phone", "laptop", "tablet"].map(|device| world.online("bob", device)).into();
    for client in &bob {
        world.clients[*client].acks = false;
    }
    for number in 0..10 {
        world.send(0, "bob", &format!("{number}"));
        world.settle();
    }
    let offsets = world.clients[bob[0]].offsets.clone();
    world.ack(bob[0], offsets[5]);
    world.ack(bob[1], offsets[2]);
    world.settle();
    world.crash();
    world.connect(0);
    world.send(0, "bob", "10");
    world.settle();
    // The tablet is detached. The process stops between that and the removal of what was kept for it alone.
    world.send(0, "bob", "11");
    world.run();
    world.crash();
    assert_eq!(world.rows("bob"), 12);
    // It names nothing that it has: the server's cursor counts.
    world.clients[bob[1]].resumes = false;
    world.connect(bob[1]);
    world.settle();
    assert!(world.clients[bob[1]].gaps.is_empty(), "the laptop was nine entries behind, and is detached");
    assert_eq!(world.rows("bob"), 9);
    world.connect(bob[2]);
    world.settle();
    assert_eq!(world.clients[bob[2]].gaps.len(), 1, "the tablet was a whole inbox behind");
}

/// Proves: G-DEVICE-5 (a device is detached only if it was silent or a whole inbox behind): one that acked every day on one
/// long connection was not silent, although the process was killed before the connection ended.
/// Seen to fail when: `ack` does not note that it saw the device.
#[test]
fn a_device_that_acks_for_a_month_on_one_connection_is_not_silent() {
    let (mut world, _, bob) = pair(2, 0, 1);
    for client in [0, 1] {
        let ends_at = world.now.after(40 * DAY);
        world.connect_with(client, |login| login.ends_at = ends_at);
    }
    world.settle();
    for _ in 0..31 {
        world.jump(DAY);
        world.send(0, &bob, "daily");
        world.settle();
    }
    assert_eq!(world.clients[1].payloads().len(), 31);
    assert!(world.clients[1].closed.is_empty(), "{:?}", world.clients[1].closed);
    world.crash();
    world.settle();
    world.connect(0);
    world.settle();
    world.send(0, &bob, "after the stop");
    world.settle();
    world.connect(1);
    world.settle();
    assert!(world.clients[1].gaps.is_empty(), "{:?}", world.clients[1].gaps);
    assert_eq!(world.clients[1].payloads().last().unwrap(), "after the stop");
}

/// Proves: G-GAP-1 (no hole without a word), G-DEVICE-5 (a detached device is told when it returns)
/// A device without any state was detached, came back, and took where its session starts for what it has; the process stopped
/// before it heard of the gap, and before its row said detached.
/// Seen to fail when: `resume` lets `is_returning` be false.
#[test]
fn a_device_that_was_detached_is_told_although_the_process_stops_at_its_welcome() {
    let limits =
        Limits { inbox_envelopes: 12, sends_per_second: 1000, sends_burst: 10_000, ..Limits::default() };
    let mut times_told = 0;
    for (durable, records) in (0..16).flat_map(|durable| [(durable, 0), (durable, 1), (durable, 2)]) {
        let mut world = World::with_limits(1, limits);
        let [alice, phone, tablet] = [("alice", "phone"), ("bob", "phone"), ("bob", "tablet")]
            .map(|(user, device)| world.online(user, device));
        world.disconnect(tablet);
        for number in 0..durable {
            world.send(alice, "bob", &format!("{number}"));
            world.settle();
        }
        world.hold_stores = true;
        world.send(alice, "bob", "the last one");
        world.run();
        for _ in 0..records {
            world.store_one(0);
            world.run();
        }
        world.connect_with(tablet, |login| login.hello.resume_offset = None);
        world.run();
        // Its Welcome may be all that it took.
        let named = Some(world.clients[tablet].stored).filter(|_| world.clients[tablet].welcome.is_some());
        world.clients[tablet].gaps.clear();
        world.crash();
        world.hold_stores = false;
        world.connect_with(tablet, |login| login.hello.resume_offset = named);
        world.connect(phone);
        world.settle();
        let is_told = world.clients[tablet].gaps.iter().any(|gap| gap.conversation.is_empty());
        times_told += u32::from(is_told);
        let [got, all] = [tablet, phone].map(|client| world.clients[client].payloads());
        assert!(
            is_told || got == all,
            "{durable} messages and {records} records: {got:?}, it named {named:?}"
        );
    }
    assert!(times_told > 0, "it was never detached");
}

/// Proves: G-GAP-1 (no hole without a word), G-INBOX-1 (each row is removed once)
/// The last device that held entries acknowledged them and was unlinked, and a detached one came before that was on the disk: it was
/// sent rows that were on their way out, with holes, and its acknowledgements removed them a second time.
/// Seen to fail when: `resume` lets `is_returning` be false.
#[test]
fn a_detached_device_that_claims_the_inbox_reads_nothing_that_was_removed() {
    let limits = Limits { detach: DAY, ..Limits::default() };
    let mut world = World::with_limits(1, limits);
    let [bob, phone, laptop] = [("bob", "phone"), ("alice", "phone"), ("alice", "laptop")]
        .map(|(user, device)| world.online(user, device));
    world.send(bob, "alice", "before");
    world.settle();
    world.disconnect(laptop);
    world.jump(DAY + DAY / 24);
    world.connect(bob);
    world.connect(phone);
    world.clients[phone].acks = false;
    for number in 0..5 {
        world.send(bob, "alice", &format!("{number}"));
        world.settle();
    }
    // Out of memory: the rows are in the tables alone. The phone names no offset, which would acknowledge them.
    world.crash();
    world.clients[phone].resumes = false;
    world.connect(bob);
    world.connect(phone);
    world.settle();
    world.hold_stores = true;
    let third = world.clients[phone].offsets.iter().rev().nth(2).copied().unwrap();
    world.ack(phone, third);
    let unlink = wire::Unlink { request_id: 3, device: "phone".to_owned() };
    world.frame(phone, client_frame::Frame::Unlink(unlink));
    world.connect(laptop);
    world.run();
    assert_eq!(world.clients[laptop].payloads(), ["before"], "it was sent what was removed");
    world.hold_stores = false;
    world.settle();
    assert_eq!(world.rows("alice"), 0);
    world.send(bob, "alice", "after");
    world.settle();
    assert_eq!(world.clients[laptop].payloads(), ["before", "3", "4", "after"]);
    let welcome = world.clients[laptop].welcome.as_ref().unwrap();
    assert!(!welcome.linked_now, "a device that was detached is none that was linked now");
}
