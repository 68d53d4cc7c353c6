//! Accepting: one effect a message id, one record, and no answer before it is durable.

use crate::world::{START, World, conversation, message_id};
use bytes::Bytes;
use iris_protocol::limits::PAYLOAD_BYTES_MAX;
use iris_protocol::wire::{self, client_frame, send::Target};
use iris_protocol::{RejectCode, Wall};
use iris_shard::io::Input;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// A world with two users at home on these shards, both online.
pub(crate) fn pair(shards: u16, a: u16, b: u16) -> (World, String, String) {
    let mut world = World::new(shards);
    let (alice, bob) = (world.user_on("alice", a), world.user_on("bob", b));
    world.online(&alice, "phone");
    world.online(&bob, "phone");
    (world, alice, bob)
}

/// Proves: G-ACK-1 (Accepted means stored)
/// Seen to fail when: `accept` calls `accepted_durable` right after `store`.
#[test]
fn an_acknowledgement_waits_for_the_durable_record() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.hold_stores = true;
    let id = world.send(0, &bob, "hello");
    world.run();
    assert!(world.clients[0].accepted.is_empty(), "acknowledged before it was durable");
    assert!(world.clients[1].applied.is_empty(), "delivered before it was durable");
    world.hold_stores = false;
    world.run();
    assert_eq!(world.clients[0].accepted[&id].sequence, 1);
    assert_eq!(world.clients[1].payloads(), ["hello"]);
    assert_eq!(world.clients[0].accepted[&id].conversation, conversation(&alice, &bob));
}

/// Proves: G-ACK-2 (an acknowledgement names its level)
/// Seen to fail when: `acknowledge` fills in `durability: 0`.
#[test]
fn an_acknowledgement_names_its_durability() {
    let (mut world, _, bob) = pair(1, 0, 0);
    let id = world.send(0, &bob, "hello");
    world.run();
    assert_eq!(world.clients[0].accepted[&id].durability(), wire::Durability::Fsync);
    assert_eq!(world.clients[0].welcome.as_ref().unwrap().durability(), wire::Durability::Fsync);
}

/// Proves: G-DEDUP-1 (a retry has one effect)
/// Seen to fail when: `look_up` answers `Lookup::New` for an id in memory.
#[test]
fn f_01_a_message_sent_many_times_has_one_sequence_and_one_answer() {
    let (mut world, _, bob) = pair(2, 0, 1);
    let id = world.send(0, &bob, "once");
    for _ in 0..20 {
        world.send_id(0, &bob, id, "once");
        world.run();
    }
    world.settle();
    assert_eq!(world.clients[1].payloads(), ["once"]);
    assert_eq!(world.clients[1].raw_duplicates, 0);
    assert!(world.clients[0].rejected.is_empty());
}

/// Proves: G-DEDUP-1 (a retry has one effect)
/// Seen to fail when: `replay` answers at once without looking at the ticket; or `stored` leaves the answer to a later record.
#[test]
fn f_04_a_retry_of_a_message_in_flight_waits_for_the_same_record() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.hold_stores = true;
    let id = world.send(0, &bob, "once");
    world.send_id(0, &bob, id, "once");
    world.run();
    assert!(world.clients[0].accepted.is_empty(), "the retry was answered before the record was durable");
    let owner = world.owner(&conversation(&alice, &bob));
    assert!(world.store_one(owner));
    world.run();
    assert_eq!((world.sum(|it| it.replayed), world.sum(|it| it.acknowledged)), (1, 2));
    world.hold_stores = false;
    world.settle();
    assert_eq!(world.clients[0].accepted[&id].sequence, 1);
    assert_eq!(world.clients[1].payloads(), ["once"]);
}

/// Proves: G-DEDUP-1 (a retry has one effect)
/// Seen to fail when: `look_up` answers `Lookup::New` for an id in memory.
#[test]
fn f_02_a_retry_after_a_lost_answer_gets_the_same_answer() {
    let (mut world, _, bob) = pair(2, 0, 1);
    world.clients[0].reads = false;
    let id = world.send(0, &bob, "once");
    world.run();
    world.disconnect(0);
    world.clients[0].reads = true;
    world.connect(0);
    world.send_id(0, &bob, id, "once");
    world.settle();
    assert_eq!(world.clients[0].accepted[&id].sequence, 1);
    assert_eq!(world.clients[1].payloads(), ["once"]);
}

/// Proves: G-DEDUP-1 (a retry has one effect), G-CRASH-1 (a stop at any point is survived)
/// Seen to fail when: `Dedup::new` starts horizons at 0 instead of the stored highest id times.
#[test]
fn f_05_a_retry_after_a_restart_gets_the_same_answer() {
    let (mut world, _, bob) = pair(2, 0, 1);
    let id = world.send(0, &bob, "once");
    world.run();
    let before = world.clients[0].accepted[&id].clone();
    world.crash();
    world.connect(0);
    world.connect(1);
    world.settle();
    world.clients[0].accepted.clear();
    world.send_id(0, &bob, id, "once");
    world.settle();
    let after = &world.clients[0].accepted[&id];
    assert_eq!((after.sequence, after.server_time), (before.sequence, before.server_time));
    assert_eq!(world.clients[1].payloads(), ["once"]);
}

/// Proves: G-DEDUP-1 (a retry has one effect), G-DEDUP-3 (an id that was forgotten is never accepted a second time)
/// Seen to fail when: `age_refusal` leaves out the window; or `verdict` judges before the lookup.
#[test]
fn f_06_a_retry_inside_the_window_is_answered_and_an_unknown_old_id_is_refused() {
    let (mut world, _, bob) = pair(1, 0, 0);
    let old = world.new_id();
    let id = world.send(0, &bob, "once");
    world.run();
    // A known id is answered whatever its age.
    world.jump(DAY * 8);
    for client in [0, 1] {
        world.connect(client);
    }
    world.run();
    world.send_id(0, &bob, id, "once");
    world.send_id(0, &bob, old, "too late");
    world.settle();
    assert_eq!(world.clients[0].accepted[&id].sequence, 1);
    assert_eq!(world.clients[0].rejected, [(old, RejectCode::MessageIdTooOld)]);
    assert_eq!(world.clients[1].payloads(), ["once"]);
}

/// Proves: G-DEDUP-3 (to the millisecond)
/// Seen to fail when: `age_refusal` refuses a millisecond earlier, or later.
#[test]
fn an_id_is_good_through_the_last_millisecond_of_the_window() {
    let (mut world, _, bob) = pair(1, 0, 0);
    let window_ms = 7 * 86_400_000;
    let last = world.id_at(Wall(world.wall().0 - window_ms));
    let older = world.id_at(Wall(world.wall().0 - window_ms - 1));
    world.send_id(0, &bob, older, "too old");
    world.send_id(0, &bob, last, "just in time");
    world.run();
    assert_eq!(world.clients[0].rejected, [(older, RejectCode::MessageIdTooOld)]);
    assert_eq!(world.clients[1].payloads(), ["just in time"]);
}

/// Proves: G-DEDUP-3 (an id that was forgotten is never accepted a second time)
/// Seen to fail when: `age_refusal` leaves out the floor (the window alone lets the id in where the clock went back).
#[test]
fn f_06_an_id_below_the_floor_is_too_old_and_stays_so_over_a_restart() {
    let (mut world, _, bob) = pair(1, 0, 0);
    let id = world.send(0, &bob, "once");
    world.run();
    world.jump(DAY * 16);
    for _ in 0..30_000 {
        if world.nodes[0].tables.dedup.is_empty() {
            break;
        }
        world.pass(Duration::from_secs(30));
    }
    assert!(world.nodes[0].tables.dedup.is_empty(), "old ids were never forgotten");
    world.crash();
    world.connect(0);
    world.run();
    world.send_id(0, &bob, id, "once");
    world.settle();
    assert_eq!(world.clients[0].rejected, [(id, RejectCode::MessageIdTooOld)]);
    // The floor is stored: it refuses also when the clock says that the id is inside the window.
    world.crash_at(START);
    world.connect(0);
    world.run();
    world.send_id(0, &bob, id, "once");
    world.settle();
    assert_eq!(world.clients[0].rejected, [(id, RejectCode::MessageIdTooOld); 2]);
}

/// Proves: G-CLOCK-2 (an id from the future is refused)
/// Seen to fail when: `age_refusal` leaves out the skew.
#[test]
fn f_06_an_id_from_the_future_is_clock_skew() {
    let (mut world, _, bob) = pair(1, 0, 0);
    let near = world.id_at(world.wall().after_ms(4 * 60_000));
    let far = world.id_at(world.wall().after_ms(6 * 60_000));
    world.send_id(0, &bob, near, "near");
    world.send_id(0, &bob, far, "far");
    world.settle();
    assert_eq!(world.clients[0].accepted[&near].sequence, 1);
    assert_eq!(world.clients[0].rejected, [(far, RejectCode::ClockSkew)]);
}

/// Proves: G-DEDUP-2 (a message id stands for one payload)
/// Seen to fail when: `verdict` does not compare hashes.
#[test]
fn f_07_another_payload_under_an_id_is_a_conflict_and_another_conversation_another_message() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    let id = world.send(0, &bob, "first");
    world.run();
    world.send_id(0, &bob, id, "second");
    world.run();
    assert_eq!(world.clients[0].rejected, [(id, RejectCode::IdempotencyConflict)]);
    world.clients[0].accepted.clear();
    world.send_id(0, &alice, id, "to myself");
    world.settle();
    assert_eq!(world.clients[0].accepted[&id].conversation, conversation(&alice, &alice));
    assert_eq!(world.clients[1].payloads(), ["first"]);
}

/// Proves: G-DEDUP-2 (a message id stands for one payload)
/// Seen to fail when: the dedup key leaves out the sender, in the hash and in `look_up`'s comparison.
#[test]
fn f_08_an_id_belongs_to_a_user_not_to_a_device() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    let tablet = world.online(&alice, "tablet");
    let id = world.send(0, &bob, "same");
    world.run();
    world.send_id(tablet, &bob, id, "same");
    world.send_id(1, &alice, id, "mine");
    world.settle();
    assert_eq!(world.clients[tablet].accepted[&id].sequence, 1);
    assert_eq!(world.clients[1].accepted[&id].sequence, 2);
    assert_eq!(world.clients[0].sequences(&conversation(&alice, &bob)), [1, 2]);
}

/// Proves: G-REJECT-1 (a refusal says what to do next)
/// Seen to fail when: `check` leaves out the payload size, or refuses the largest; or `send_in` takes a malformed message id for
/// another one.
#[test]
fn f_09_malformed_sends_are_refused_with_their_reason() {
    let (mut world, _, bob) = pair(1, 0, 0);
    let good = world.new_id();
    let bad_ids: [&[u8]; 4] = [b"", &[0; 16], &[0xff; 16], &[1; 1024]];
    for bytes in bad_ids {
        let send = wire::Send {
            request_id: 1,
            target: Some(Target::To(bob.clone())),
            message_id: Bytes::copy_from_slice(bytes),
            payload: Bytes::new(),
            ack_through: None,
        };
        world.frame(0, client_frame::Frame::Send(send));
    }
    let targets = [
        (Some(Target::To("no spaces".to_owned())), RejectCode::InvalidId),
        (Some(Target::Conversation("x:y".to_owned())), RejectCode::InvalidId),
        (None, RejectCode::InvalidId),
        (Some(Target::Conversation("d:x:y".to_owned())), RejectCode::Forbidden),
        (Some(Target::Conversation("g:club".to_owned())), RejectCode::Forbidden),
    ];
    let mut expected = Vec::new();
    for (target, code) in targets {
        let message_id = Bytes::copy_from_slice(good.as_bytes());
        let send = wire::Send { request_id: 1, target, message_id, payload: Bytes::new(), ack_through: None };
        world.frame(0, client_frame::Frame::Send(send));
        expected.push((good, code));
    }
    world.send_id(0, &bob, good, &"x".repeat(PAYLOAD_BYTES_MAX + 1));
    expected.push((good, RejectCode::PayloadTooLarge));
    world.send_id(0, &bob, good, &"x".repeat(PAYLOAD_BYTES_MAX));
    world.run();
    assert_eq!(world.clients[0].refused[..], [RejectCode::InvalidMessageId; 4]);
    assert_eq!(world.clients[0].rejected, expected);
    assert!(world.clients[0].accepted.contains_key(&good), "a payload of just the limit is refused");
    assert_eq!((world.sum(|it| it.sends), world.sum(|it| it.rejected_here)), (11, 10));
    assert!(world.clients[0].closed.is_empty());
}

/// Proves: G-SEQ-1 (sequences are dense)
/// Seen to fail when: `judge` counts `last` up at a refusal.
#[test]
fn f_21_a_refused_message_uses_no_sequence() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.send(0, &bob, "one");
    let far = world.id_at(world.wall().after_ms(3_600_000));
    world.send_id(0, &bob, far, "refused");
    world.send(0, &bob, "two");
    world.settle();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), [1, 2]);
    assert_eq!(world.clients[1].payloads(), ["one", "two"]);
}

/// Proves: G-LIMIT-5 (a full disk refuses instead of failing)
/// Seen to fail when: `age_refusal` leaves out `has_storage_room`.
#[test]
fn f_37_without_disk_room_new_messages_are_refused_and_known_ones_answered() {
    let (mut world, _, bob) = pair(1, 0, 0);
    let id = world.send(0, &bob, "before");
    world.run();
    assert!(world.nodes[0].shard.has_storage_room());
    world.input(0, Input::StorageRoom { available: false });
    assert!(!world.nodes[0].shard.has_storage_room());
    let refused = world.send(0, &bob, "during");
    world.send_id(0, &bob, id, "before");
    world.run();
    assert_eq!(world.clients[0].rejected, [(refused, RejectCode::StorageFull)]);
    assert_eq!(world.clients[0].retries, [(RejectCode::StorageFull, Some(10_000))]);
    world.input(0, Input::StorageRoom { available: true });
    world.send_id(0, &bob, refused, "during");
    world.settle();
    assert_eq!(world.clients[1].payloads(), ["before", "during"]);
}

/// Proves: G-DEDUP-1 (a retry has one effect)
/// Seen to fail when: `age_refusal` refuses one row too late.
#[test]
fn f_66_at_the_capacity_of_the_dedup_table_new_ids_are_refused_and_known_ones_answered() {
    let (mut world, _, bob) = {
        let limits = iris_protocol::limits::Limits { dedup_rows: 3, ..Default::default() };
        let mut world = World::with_limits(1, limits);
        let (alice, bob) = (world.user_on("alice", 0), world.user_on("bob", 0));
        world.online(&alice, "phone");
        world.online(&bob, "phone");
        (world, alice, bob)
    };
    let ids: Vec<_> = (0..4).map(|_| world.send(0, &bob, "x")).collect();
    world.run();
    world.send_id(0, &bob, ids[0], "x");
    world.settle();
    assert_eq!(world.clients[0].rejected, [(ids[3], RejectCode::Busy)]);
    assert_eq!(world.clients[0].accepted.len(), 3);
}

/// Proves: G-DEDUP-1 (a retry has one effect), G-ORDER-1 (everybody sees one order)
/// Seen to fail when: `submit_in` judges a Send although earlier ones of the conversation are parked.
#[test]
fn a_send_whose_id_is_looked_up_on_disk_is_not_overtaken() {
    let (mut world, alice, bob) = pair(1, 0, 0);
    let ahead = world.id_at(world.wall().after_ms(60_000));
    world.send_id(0, &bob, ahead, "zero");
    world.settle();
    world.crash();
    world.connect(0);
    world.connect(1);
    world.settle();
    // The conversation itself is loaded: only the look-up of an id may hold a Send back.
    let warm = world.id_at(world.wall().after_ms(90_000));
    world.send_id(0, &bob, warm, "warm");
    world.settle();
    world.hold_loads = true;
    // Below the horizon: the tables must be asked. The next one is above it.
    world.send(0, &bob, "one");
    let above = world.id_at(world.wall().after_ms(120_000));
    world.send_id(0, &bob, above, "two");
    world.run();
    world.hold_loads = false;
    world.settle();
    let of_bob = &world.clients[1];
    assert_eq!(of_bob.sequences(&conversation(&alice, &bob)), [1, 2, 3, 4]);
    assert_eq!(of_bob.payloads(), ["zero", "warm", "one", "two"]);
}

/// Proves: G-CLOCK-1 (no clock decides order or identity)
/// Seen to fail when: `Dedup::new` starts horizons at the boot's clock.
#[test]
fn after_a_restart_ids_below_the_stored_horizon_are_looked_up() {
    let (mut world, _, bob) = pair(1, 0, 0);
    let first = world.send(0, &bob, "first");
    let ahead = world.id_at(world.wall().after_ms(60_000));
    world.send_id(0, &bob, ahead, "ahead");
    world.run();
    world.crash();
    world.connect(0);
    world.run();
    let loads = world.nodes[0].shard.counters().loads;
    // Never accepted, older than the horizon: the tables say so.
    let older = message_id(Wall(START.0 - 1000), 77);
    world.send_id(0, &bob, older, "older");
    world.run();
    assert!(world.nodes[0].shard.counters().loads > loads, "the tables were not asked");
    world.send_id(0, &bob, first, "first");
    // The horizon is the highest id time that was stored, also when the clock is not there yet.
    world.send_id(0, &bob, ahead, "ahead");
    world.settle();
    assert_eq!(world.clients[0].accepted[&first].sequence, 1);
    assert_eq!(world.clients[0].accepted[&ahead].sequence, 2);
    assert_eq!(world.clients[0].accepted[&older].sequence, 3);
}

/// Proves: G-DEDUP-1 (a retry has one effect): two copies wait for the tables, which know neither. The second is the first one's retry.
/// Seen to fail when: `verdict` takes what the tables said before it looks into memory.
#[test]
fn two_copies_that_wait_for_the_tables_have_one_effect() {
    let (mut world, _, bob) = pair(1, 0, 0);
    let ahead = world.id_at(world.wall().after_ms(60_000));
    world.send_id(0, &bob, ahead, "zero");
    world.settle();
    world.crash();
    for client in [0, 1] {
        world.connect(client);
    }
    let warm = world.id_at(world.wall().after_ms(90_000));
    world.send_id(0, &bob, warm, "warm");
    world.settle();
    // Older than what is stored: the tables are asked for each copy.
    world.hold_loads = true;
    let id = world.new_id();
    for _ in 0..2 {
        world.send_id(0, &bob, id, "once");
    }
    world.run();
    let asked: Vec<_> = world.nodes[0].loads.drain(..).collect();
    assert_eq!(asked.len(), 2);
    for (load, request) in asked.into_iter().rev() {
        let answer = world.nodes[0].tables.load(&request);
        world.input(0, Input::Loaded { id: load, answer });
    }
    world.settle();
    assert_eq!(world.clients[0].accepted[&id].sequence, 3);
    assert_eq!(world.clients[1].payloads(), ["zero", "warm", "once"]);
    assert_eq!(world.sum(|it| it.replayed), 1);
}

/// Proves: G-DEDUP-1 (a retry has one effect): ids that left memory are asked for.
/// Seen to fail when: `forget_oldest` does not raise the horizon.
#[test]
fn a_retry_whose_id_left_memory_is_answered_from_the_tables() {
    let mut world = World::new(1);
    world.dedup_ids = 2;
    world.crash();
    for user in ["alice", "bob"] {
        world.online(user, "phone");
    }
    let ids: Vec<_> = (0..8).map(|number| world.send(0, "bob", &format!("{number}"))).collect();
    world.settle();
    world.send(0, "bob", "the tables hold what came before");
    world.settle();
    assert!(world.sum(|it| it.ids_forgotten) >= 2, "all are in memory");
    for (number, id) in ids.iter().enumerate() {
        world.clients[0].accepted.clear();
        world.send_id(0, "bob", *id, &format!("{number}"));
        world.settle();
        assert_eq!(world.clients[0].accepted[id].sequence, number as u64 + 1);
    }
    assert_eq!(world.clients[1].payloads().len(), 9);
}
