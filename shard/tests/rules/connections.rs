//! Connections: unsent bytes, reading, heartbeats, drain.

use crate::accepting::pair;
use crate::world::{World, conversation};
use iris_protocol::CloseCode;
use iris_protocol::limits::{Limits, SEND_WINDOW, UNSENT_BYTES_MAX};
use iris_protocol::wire::{Pong, client_frame, server_frame};
use iris_shard::io::Input;
use std::collections::BTreeSet;
use std::time::Duration;

/// Proves: G-WINDOW-1 (a slow device falls behind in its own inbox), G-EDGE-1
/// Seen to fail when: `has_room` does not look at unsent bytes; or `check_stall` never closes.
#[test]
fn f_48_a_slow_consumer_is_bounded_and_closed_only_when_nothing_moves() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.clients[1].reads = false;
    let text = "x".repeat(8000);
    for _ in 0..40 {
        world.send(0, &bob, &text);
        world.settle();
    }
    let unsent = world.clients[1].unsent;
    assert!(unsent >= UNSENT_BYTES_MAX, "{unsent} bytes were emitted");
    assert!(unsent <= UNSENT_BYTES_MAX + 9000, "{unsent} bytes were emitted");
    assert!(!world.clients[1].is_reading, "a connection above its unsent bytes is still read");
    // A trickle keeps it alive.
    let conn = world.clients[1].conn.unwrap();
    let home = world.home(&world.clients[1].user.clone());
    for _ in 0..10 {
        world.pass(Duration::from_secs(8));
        world.input(home, Input::Sent { conn, bytes: 1 });
        world.frame(1, client_frame::Frame::Pong(Pong { nonce: 0 }));
    }
    assert!(world.clients[1].closed.is_empty());
    world.pass(Duration::from_secs(25));
    assert_eq!(world.clients[1].closed, [CloseCode::SlowConsumer]);
    assert_eq!(world.sum(|it| it.slow_consumers), 1);
    let closed: usize = world.clients.iter().map(|client| client.closed.len()).sum();
    assert_eq!(usize::try_from(world.sum(|it| it.closes)), Ok(closed));
    world.clients[1].reads = true;
    world.connect(1);
    world.settle();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)).len(), 40);
}

/// Proves: G-WINDOW-1 (unsent bytes are counted to the byte)
/// Seen to fail when: `framed_bytes` forgets the tag.
#[test]
fn a_connection_that_reads_again_is_read_again() {
    let (mut world, _, bob) = pair(2, 0, 1);
    world.clients[1].reads = false;
    let text = "x".repeat(8000);
    for _ in 0..20 {
        world.send(0, &bob, &text);
        world.send(1, "someone", "small");
        world.settle();
    }
    assert!(!world.clients[1].is_reading);
    world.clients[1].reads = true;
    world.settle();
    assert!(world.clients[1].is_reading);
    // Everything was reported as sent: if the shard had counted less or more, it would stall or never stop.
    world.clients[1].reads = false;
    world.pass(Duration::from_secs(40));
    assert!(world.clients[1].closed.is_empty(), "bytes are left that were never emitted");
    world.send(1, "someone", "small");
    world.settle();
    let (home, conn) = (world.home(&world.clients[1].user), world.clients[1].conn.unwrap());
    let bytes = world.clients[1].unsent - 1;
    world.input(home, Input::Sent { conn, bytes });
    world.pass(Duration::from_secs(30));
    assert_eq!(world.clients[1].closed, [CloseCode::SlowConsumer], "the last byte was not counted");
}

/// Proves: G-WINDOW-1 (a frame starts below 64 KiB of unsent bytes; a connection is read again below half of that)
/// Seen to fail when: `has_room` lets a frame start at the mark; `sent` has the connection read again at half of it; or
/// `count_unsent` stops reading it below.
#[test]
fn the_marks_of_unsent_bytes_hold_to_the_byte() {
    let (mut world, _, bob) = pair(2, 0, 1);
    let half = UNSENT_BYTES_MAX / 2;
    // All that follow name the one before them: they differ in their payload alone.
    world.send(0, &bob, "before");
    world.settle();
    world.clients[1].reads = false;
    world.send(0, &bob, &"x".repeat(30_000));
    world.settle();
    assert!(world.clients[1].is_reading, "not read below the mark");
    let first = world.clients[1].unsent;
    let second = UNSENT_BYTES_MAX - first - (first - 30_000);
    world.send(0, &bob, &"x".repeat(second));
    world.settle();
    world.send(0, &bob, "waits");
    world.settle();
    assert_eq!(world.clients[1].unsent, UNSENT_BYTES_MAX, "a frame started at the mark");
    assert!(!world.clients[1].is_reading);
    let (home, conn) = (world.home(&world.clients[1].user), world.clients[1].conn.unwrap());
    world.input(home, Input::Sent { conn, bytes: UNSENT_BYTES_MAX - half });
    assert!(!world.clients[1].is_reading, "read again with half of it unsent");
    let third = world.clients[1].unsent - UNSENT_BYTES_MAX;
    assert!(third > 0, "nothing started though there was room");
    world.input(home, Input::Sent { conn, bytes: third + 1 });
    assert!(world.clients[1].is_reading);
}

/// Proves: G-REJECT-1 (every Send is answered), G-WINDOW-1
/// Seen to fail when: `count_unanswered` never stops reading.
#[test]
fn a_hundred_unanswered_sends_stop_the_reading() {
    let (mut world, _, bob) = pair(1, 0, 0);
    world.hold_stores = true;
    for number in 0..SEND_WINDOW {
        assert!(world.clients[0].is_reading, "stopped after {number}");
        world.send(0, &bob, "x");
        world.run();
        // The owner answers BUSY beyond K.
        if !world.clients[0].rejected.is_empty() {
            break;
        }
    }
    world.hold_stores = false;
    world.settle();
    assert!(world.clients[0].is_reading);
    let me = world.clients[0].user.to_string();
    let conn = world.clients[0].conn.unwrap();
    world.hold_loads = true;
    for _ in 0..SEND_WINDOW {
        world.send(0, "a-stranger", "x");
    }
    assert!(!world.clients[0].is_reading, "a hundred sends are unanswered");
    world.hold_loads = false;
    world.settle();
    assert!(world.clients[0].is_reading);
    assert_eq!(world.clients[0].conn, Some(conn));
    assert!(!me.is_empty());
}

/// Proves: G-EDGE-2 (a dead peer is found)
/// Seen to fail when: `check_session` does not wait for the answer to a ping, and closes at once; or never closes.
#[test]
fn f_46_a_silent_peer_is_pinged_and_closed_when_it_does_not_answer() {
    let (mut world, _, _) = pair(1, 0, 0);
    world.pass(Duration::from_secs(62));
    let is_ping = |frame: &server_frame::Frame| matches!(frame, server_frame::Frame::Ping(_));
    assert!(world.clients[0].others.iter().any(is_ping), "no ping after a quiet minute");
    world.frame(0, client_frame::Frame::Pong(Pong { nonce: 0 }));
    world.pass(Duration::from_secs(30));
    assert!(world.clients[0].closed.is_empty(), "the one that answered was closed");
    assert_eq!(world.clients[1].closed, [CloseCode::HeartbeatTimeout]);
    assert_eq!(world.sum(|it| it.heartbeat_timeouts), 1);
}

/// Proves: G-EDGE-2 (a client is granted the heartbeat that it asks for, from 5 seconds to 10 minutes)
/// Seen to fail when: `heartbeat_s` does not look at what is asked for.
#[test]
fn f_46_a_client_is_granted_its_heartbeat_within_bounds() {
    let mut world = World::new(1);
    let phone = world.client("alice", "phone");
    for (asked, granted) in [(0, 60), (1, 5), (5, 5), (7, 7), (600, 600), (601, 600), (u32::MAX, 600)] {
        world.connect_with(phone, |login| login.hello.heartbeat_s = asked);
        world.run();
        assert_eq!(world.clients[phone].welcome.as_ref().unwrap().heartbeat_s, granted, "{asked} s");
    }
}

/// Proves: G-DRAIN-1 (a drain loses nothing and leaves nobody guessing)
/// Seen to fail when: `take_drain` closes nobody; or `login` lets somebody in.
#[test]
fn f_68_a_drain_says_when_to_come_back_and_answers_what_it_took() {
    let (mut world, _, bob) = pair(2, 0, 1);
    world.hold_stores = true;
    let id = world.send(0, &bob, "in flight");
    world.run();
    for shard in 0..2 {
        world.input(shard, Input::Drain);
    }
    assert!(!world.nodes[0].shard.settled() || !world.nodes[1].shard.settled());
    world.hold_stores = false;
    world.settle();
    assert!(world.clients[0].accepted.contains_key(&id));
    let is_go_away = |frame: &server_frame::Frame| matches!(frame, server_frame::Frame::GoAway(_));
    assert!(world.clients.iter().all(|client| client.others.iter().any(is_go_away)));
    let late = world.client(&bob, "tablet");
    world.connect(late);
    world.run();
    assert_eq!(world.clients[late].closed, [CloseCode::GoingAway]);
    assert!(world.clients[late].returns[0].is_some(), "it is not told when to come back");
    world.pass(Duration::from_secs(1));
    assert!(world.clients[0].closed.is_empty(), "closed before its time");
    world.pass(Duration::from_secs(5));
    assert_eq!(world.clients[0].closed, [CloseCode::GoingAway]);
    assert!(world.nodes.iter().all(|node| node.shard.settled()));
}

/// Proves: G-DRAIN-1 (a process that drains does not end while something waits, whatever it is)
/// Seen to fail when: `settled` leaves one of them out (tried: each).
#[test]
fn a_shard_is_settled_only_when_nothing_waits() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.send(0, &bob, "known");
    world.pass(Duration::from_secs(1));
    let settled = |world: &World| [0, 1].map(|shard: usize| world.nodes[shard].shard.settled());
    assert_eq!(settled(&world), [true, true]);
    // A question to the tables.
    world.hold_loads = true;
    let late = world.client("late", "phone");
    let home = world.home(&world.clients[late].user.clone());
    world.connect(late);
    world.run();
    assert!(!settled(&world)[home] && settled(&world)[1 - home]);
    world.hold_loads = false;
    world.pass(Duration::from_secs(1));
    // A Send that the owner has to answer.
    world.hold_mail = true;
    world.send(1, &alice, "on its way");
    world.run();
    assert_eq!(settled(&world), [true, false]);
    world.hold_mail = false;
    world.pass(Duration::from_secs(1));
    // A record.
    world.hold_stores = true;
    world.send(0, &bob, "not durable");
    world.run();
    assert_eq!(settled(&world), [false, true]);
    // An own copy that its sender has not acknowledged; its recipient has the other.
    (world.hold_stores, world.hold_mail) = (false, true);
    world.clients[0].acks = false;
    world.run();
    assert_eq!(settled(&world), [false, true]);
    world.clients[0].acks = true;
    world.ack(0, world.clients[0].stored);
    world.pass(Duration::from_secs(1));
    assert_eq!(settled(&world), [true, true], "what waits for its home is in the outbox");
    // An entry that is in no record.
    world.clients[1].acks = false;
    assert!(world.mail_one(0, 1));
    world.run();
    assert_eq!(settled(&world), [true, false]);
    world.pass(Duration::from_secs(1));
    assert_eq!(settled(&world), [true, true]);
    // A confirmation that is in no record.
    assert!(world.mail_one(1, 0));
    assert_eq!(settled(&world), [false, true]);
    world.pass(Duration::from_secs(1));
    assert_eq!(settled(&world), [true, true]);
}

/// Proves: G-DRAIN-1 (those who are sent away are told different times, inside the span that is configured, and when they are closed)
/// Seen to fail when: `spread_ms` gives the span itself.
#[test]
fn a_drain_spreads_the_times_at_which_its_clients_come_back() {
    let limits = Limits {
        drain: Duration::from_secs(2),
        reconnect_spread: Duration::from_millis(500),
        ..Limits::default()
    };
    let mut world = World::with_limits(1, limits);
    for number in 0..40 {
        let user = world.user_on(&format!("user{number}"), 0);
        world.online(&user, "phone");
    }
    world.input(0, Input::Drain);
    world.run();
    let mut told = Vec::new();
    for frame in world.clients.iter().flat_map(|client| &client.others) {
        if let server_frame::Frame::GoAway(go_away) = frame {
            told.push((go_away.reconnect_after_ms, go_away.close_after_ms));
        }
    }
    assert_eq!(told.len(), 40);
    assert!(told.iter().all(|(reconnect, close)| *reconnect < 500 && *close == 2000), "{told:?}");
    let times: BTreeSet<u32> = told.iter().map(|(reconnect, _)| *reconnect).collect();
    assert!(times.len() > 20, "{times:?}");
    world.pass(Duration::from_secs(3));
    assert!(world.clients.iter().all(|client| client.closed == [CloseCode::GoingAway]));
}

/// Proves: G-LIMIT-2 (nothing is accepted for a home that has not reported since boot)
/// Seen to fail when: `recipients_verdict` does not look at `has_reported`.
#[test]
fn nothing_is_accepted_for_a_home_that_has_not_reported() {
    let mut world = World::new(2);
    let (alice, bob) = (world.user_on("a", 0), world.user_on("b", 1));
    world.online(&alice, "phone");
    world.online(&bob, "phone");
    world.hold_mail = true;
    world.crash();
    world.connect(0);
    world.run();
    assert_eq!(world.owner(&conversation(&alice, &bob)), 0);
    let id = world.send(0, &bob, "hello");
    world.run();
    assert_eq!(world.clients[0].rejected, [(id, iris_protocol::RejectCode::Busy)]);
    world.hold_mail = false;
    world.run();
    world.send_id(0, &bob, id, "hello");
    world.settle();
    assert_eq!(world.clients[0].accepted[&id].sequence, 1);
}
