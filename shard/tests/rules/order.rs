//! Order: one sequence for everybody, kept over late mail, pages and restarts.

use crate::accepting::pair;
use crate::world::{World, conversation};
use iris_protocol::UserId;
use iris_protocol::limits::Limits;
use iris_shard::mail::Body;
use std::time::Duration;

/// Proves: G-ORDER-1 (everybody sees one order, also two users whose inboxes lie in one slot, and a user alone)
/// Seen to fail when: `new_channel` gives the two one member, or a user alone two.
#[test]
fn two_users_of_one_slot_talk_to_each_other_and_to_themselves() {
    let mut world = World::new(2);
    let slot = |id: &str| UserId::parse(id).unwrap().slot();
    let alice = world.user_on("alice", 0);
    let bob =
        (0..1_000_000).map(|number| format!("bob{number}")).find(|id| slot(id) == slot(&alice)).unwrap();
    world.online(&alice, "phone");
    world.online(&bob, "phone");
    world.send(0, &bob, "hello");
    world.run();
    world.send(1, &alice, "hi");
    world.run();
    world.send(0, &alice, "to myself");
    world.settle();
    for client in [0, 1] {
        assert_eq!(world.clients[client].sequences(&conversation(&alice, &bob)), [1, 2]);
    }
    assert_eq!(world.clients[0].sequences(&conversation(&alice, &alice)), [1]);
    assert_eq!((world.clients[0].applied.len(), world.clients[1].applied.len()), (3, 2));
    assert_eq!(world.outbox_rows(), 0);
}

/// Proves: G-ORDER-1 (a Send goes into the conversation that it names, also when its last one left memory, and the other side of
/// the same conversation took its place there)
/// Seen to fail when: `recent_channel` does not look whose place it is.
#[test]
fn a_send_does_not_go_where_the_last_one_s_conversation_was() {
    let mut world = World::new(1);
    for user in ["alice", "bob", "carl"] {
        world.online(user, "phone");
    }
    world.send(0, "bob", "first");
    world.settle();
    let evicted = world.sum(|it| it.evicted);
    world.pass(Duration::from_secs(5));
    assert!(world.sum(|it| it.evicted) >= evicted + 2, "the conversation is in memory");
    // The place that was free last goes to somebody else, and that of alice's side to bob's.
    world.send(2, "carl", "to myself");
    world.run();
    world.send(1, "alice", "second");
    world.run();
    world.send(0, "bob", "third");
    world.settle();
    for client in [0, 1] {
        assert_eq!(world.clients[client].sequences("d:alice:bob"), [1, 2, 3]);
    }
}

/// Proves: G-ORDER-1 (everybody sees one order), G-DEVICE-2 (all devices of a user end equal)
/// Seen to fail when: `accept` gives every message the sequence 1; or `push` skips devices without the own copy.
#[test]
fn f_18_concurrent_senders_and_devices_see_one_order() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    let tablet = world.online(&alice, "tablet");
    for round in 0..20 {
        world.send(0, &bob, &format!("phone {round}"));
        world.send(tablet, &bob, &format!("tablet {round}"));
        world.send(1, &alice, &format!("bob {round}"));
        if round % 3 == 0 {
            world.run();
        }
    }
    world.settle();
    // Nothing else wakes the tablet up.
    world.send(0, &bob, "last");
    world.settle();
    let id = conversation(&alice, &bob);
    let expected: Vec<u64> = (1..=61).collect();
    for client in 0..3 {
        assert_eq!(world.clients[client].sequences(&id), expected);
    }
    let order =
        |client: usize| world.clients[client].applied.iter().map(|(_, _, id, _)| *id).collect::<Vec<_>>();
    assert_eq!(order(0), order(1));
    assert_eq!(order(0), order(2));
}

/// Proves: G-ORDER-1 (everybody sees one order), G-MAIL-1 (no pair is reordered)
/// Seen to fail when: `forward` starts at `durable_through` instead of after `forwarded`.
#[test]
fn f_19_late_mail_of_different_pairs_keeps_the_order() {
    // So small a ring that lanes also wait for credit, while more becomes durable.
    let mut world = World::with_ring(3, Limits::default(), 64);
    let users: Vec<String> = (0..3).map(|shard| world.user_on("user", shard)).collect();
    for user in &users {
        world.online(user, "phone");
    }
    world.hold_mail = true;
    for round in 0..10 {
        for from in 0..3 {
            for to in &users {
                world.send(from, to, &format!("{round}"));
            }
        }
        world.run();
        let (from, to) = [(0, 1), (2, 0), (1, 2), (1, 0), (0, 2), (2, 1)][round % 6];
        while world.mail_one(from, to) {}
        world.run();
    }
    world.hold_mail = false;
    world.settle();
    for a in 0..3 {
        for b in a..3 {
            let id = conversation(&users[a], &users[b]);
            let expected: Vec<u64> = (1..=if a == b { 10 } else { 20 }).collect();
            assert_eq!(world.clients[a].sequences(&id), expected, "{id}");
            assert_eq!(world.clients[b].sequences(&id), expected, "{id}");
        }
    }
}

/// Proves: G-ORDER-1 (everybody sees one order), G-RESUME-1 (a device continues right after what it has)
/// Seen to fail when: `page_loaded` sets the position to `cold_through` of now; or `pump` sends hot entries first.
#[test]
fn f_20_a_message_that_arrives_in_the_middle_of_a_drain_waits_for_its_place() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.disconnect(1);
    for number in 0..700 {
        world.send(0, &bob, &format!("{number}"));
        if number % 50 == 49 {
            world.settle();
        }
    }
    world.settle();
    world.clients[1].window = 16;
    world.clients[1].acks = false;
    world.connect(1);
    world.run();
    world.hold_loads = true;
    world.clients[1].acks = true;
    world.ack(1, world.clients[1].stored);
    for number in 700..705 {
        world.send(0, &bob, &format!("{number}"));
        world.run();
    }
    // 705 less the 512 in memory are read as pages: the last page has one of them, and more leaves memory meanwhile.
    while world.clients[1].applied.len() < 192 {
        assert!(world.load_one(1), "no page was asked for");
        world.run();
    }
    assert_eq!(world.clients[1].applied.len(), 192);
    for number in 705..710 {
        world.send(0, &bob, &format!("{number}"));
        world.run();
    }
    world.hold_loads = false;
    world.run();
    world.settle();
    let expected: Vec<u64> = (1..=710).collect();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), expected);
    assert_eq!(world.clients[1].raw_duplicates, 0, "an entry was sent twice");
    assert_eq!(world.rows(&bob), 0);
}

/// Proves: G-DELIVER-1 (what was accepted reaches every device), G-CRASH-1
/// Seen to fail when: `boot` does not forward what the outbox holds.
#[test]
fn after_a_restart_what_was_accepted_goes_out_without_anything_new() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.send(0, &bob, "first");
    world.settle();
    world.hold_mail = true;
    world.send(0, &bob, "old");
    world.run();
    assert_eq!(world.outbox_rows(), 1);
    world.hold_mail = false;
    world.crash();
    world.connect(1);
    world.settle();
    assert_eq!(world.clients[1].payloads(), ["first", "old"]);
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), [1, 2]);
    assert_eq!(world.outbox_rows(), 0);
}

/// Proves: G-FORWARD-1 (forwarding keeps order over a restart)
/// Seen to fail when: `boot_pending` leaves a lane where the last sequence is.
#[test]
fn f_22_after_a_restart_what_was_accepted_comes_before_anything_new() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.send(0, &bob, "first");
    world.settle();
    world.hold_mail = true;
    for number in 0..5 {
        world.send(0, &bob, &format!("old {number}"));
    }
    world.run();
    assert_eq!(world.outbox_rows(), 5);
    world.hold_mail = false;
    // Twice, the second time before anything old has gone out.
    world.crash();
    world.crash();
    for client in [0, 1] {
        world.connect(client);
    }
    for number in 0..5 {
        world.send(0, &bob, &format!("new {number}"));
    }
    world.settle();
    for number in 5..8 {
        world.send(0, &bob, &format!("new {number}"));
    }
    world.settle();
    let id = conversation(&alice, &bob);
    let accepted = world.clients[0].accepted.len() as u64;
    assert!(accepted >= 4, "{accepted}");
    let expected: Vec<u64> = (1..=world.clients[1].applied.len() as u64).collect();
    assert_eq!(world.clients[0].sequences(&id), expected);
    assert_eq!(world.clients[1].sequences(&id), expected);
    assert_eq!(world.clients[1].payloads()[..6], ["first", "old 0", "old 1", "old 2", "old 3", "old 4"]);
    assert_eq!(world.outbox_rows(), 0);
}

/// Proves: G-WATERMARK-1 (a message enters an inbox once)
/// Seen to fail when: `take_forward` takes what is not above the watermark.
#[test]
fn f_16_an_envelope_that_is_forwarded_again_after_a_restart_is_taken_once() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.disconnect(1);
    for number in 0..3 {
        world.send(0, &bob, &format!("{number}"));
    }
    // The entries are durable at bob's home; the confirmations never reach the owner.
    let owner = world.owner(&conversation(&alice, &bob));
    world.run();
    let home = world.home(&world.clients[1].user.clone());
    if owner != home {
        let (from, to) = (u16::try_from(home).unwrap(), u16::try_from(owner).unwrap());
        world.mail.entry((from, to)).or_default().clear();
    }
    assert_eq!(world.rows(&bob), 3);
    world.crash();
    world.settle();
    assert_eq!(world.rows(&bob), 3, "taken twice");
    assert_eq!(world.sum(|counters| counters.forward_duplicates), 3);
    assert_eq!(world.outbox_rows(), 0, "known envelopes were not confirmed");
    world.connect(1);
    world.settle();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), [1, 2, 3]);
}

/// Proves: G-FORWARD-1 (a forward names the unconfirmed one before it, and none where everything is confirmed)
/// Seen to fail when: `forward` names no predecessor, or always one.
#[test]
fn a_forward_names_the_unconfirmed_one_before_it() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    let owner = u16::try_from(world.owner(&conversation(&alice, &bob))).unwrap();
    let named = |world: &mut World, count: usize| {
        world.hold_mail = true;
        for _ in 0..count {
            world.send(usize::from(owner), if owner == 0 { &bob } else { &alice }, "next");
        }
        world.run();
        let forwards = world.mail[&(owner, 1 - owner)].iter();
        let named: Vec<u64> = forwards
            .filter_map(
                |mail| if let Body::Forward { previous, .. } = mail.body { Some(previous.0) } else { None },
            )
            .collect();
        world.hold_mail = false;
        world.settle();
        named
    };
    // The owner asks the recipient's home before the first one.
    world.send(0, &bob, "first");
    world.settle();
    assert_eq!(named(&mut world, 3), [0, 2, 3]);
    assert_eq!(named(&mut world, 2), [0, 5]);
}

/// Proves: G-INBOX-1 (nothing is deleted because it was sent), G-DELIVER-1
/// Seen to fail when: the home confirms what is not durable, `flush` calling `settled_durable` at once.
#[test]
fn what_a_home_has_not_made_durable_stays_in_the_outbox() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.clients[1].acks = false;
    world.clients[0].acks = false;
    world.run();
    let id = conversation(&alice, &bob);
    let (owner, bob_home) = (world.owner(&id), world.home(&world.clients[1].user.clone()));
    assert_ne!(owner, bob_home, "the confirmation must leave the home");
    world.send(0, &bob, "hello");
    world.run();
    world.hold_stores = true;
    world.pass(Duration::from_millis(100));
    // Whatever the owner has recorded is durable; what bob's home has is not.
    while world.store_one(owner) {
        world.pass(Duration::from_millis(100));
    }
    assert!(!world.nodes[bob_home].stores.is_empty(), "nothing waits at the home");
    assert_eq!(world.outbox_rows(), 1, "dropped from the outbox before it was durable at the home");
    assert_eq!(world.clients[1].payloads(), ["hello"]);
    for node in &mut world.nodes {
        node.stores.clear();
    }
    world.hold_stores = false;
    world.crash();
    world.connect(1);
    world.settle();
    assert_eq!(world.clients[1].sequences(&id), [1]);
    assert_eq!(world.clients[1].raw_duplicates, 1, "the entry was lost with the home's record");
    assert_eq!(world.rows(&bob), 1);
}

/// Proves: G-FORWARD-1 (forwarding keeps order over a restart)
/// Seen to fail when: the assertion in `take_forward` is taken out.
#[test]
#[should_panic(expected = "the owner says 5 is unconfirmed")]
fn a_home_that_misses_what_comes_before_says_so_loudly() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.send(0, &bob, "hello");
    world.settle();
    world.hold_mail = true;
    world.send(0, &bob, "again");
    world.run();
    let id = conversation(&alice, &bob);
    let (owner, other) = (world.owner(&id), 1 - world.owner(&id));
    let (from, to) = (u16::try_from(owner).unwrap(), u16::try_from(other).unwrap());
    // Mail to the submitting side may come first.
    if world.mail.get(&(from, to)).is_none_or(std::collections::VecDeque::is_empty) {
        world.mail_one(to, from);
        world.run();
    }
    let queue = world.mail.get_mut(&(from, to)).unwrap();
    for mail in queue.iter_mut() {
        if let Body::Forward { previous, .. } = &mut mail.body {
            previous.0 = 5;
        }
    }
    world.hold_mail = false;
    world.run();
}

/// Proves: G-MAIL-1 (no mail of another epoch has an effect)
/// Seen to fail when: `mail_in` does not compare epochs.
#[test]
fn f_60_mail_of_another_epoch_has_no_effect() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.hold_mail = true;
    world.send(0, &bob, "hello");
    world.send(1, &alice, "hello");
    world.run();
    for queue in world.mail.values_mut() {
        for mail in queue.iter_mut() {
            mail.epoch.0 += 1;
        }
    }
    world.hold_mail = false;
    world.settle();
    let stale: u64 = world.nodes.iter().map(|node| node.shard.counters().stale_mail).sum();
    assert!(stale > 0);
    assert!(world.clients.iter().any(|client| client.applied.is_empty()));
}
