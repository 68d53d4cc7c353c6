//! Sessions: resume, acks, takeover, and what a device is told first.

use crate::accepting::pair;
use crate::world::{World, conversation};
use iris_protocol::wire::{self, client_frame, server_frame};
use iris_protocol::{CloseCode, GapReason, RejectCode};
use iris_shard::io::{Input, Login, Renewal};
use std::time::Duration;

const N_BITS: u32 = 33;

/// Proves: G-RESUME-1 (a device continues right after what it has), G-INBOX-1
/// Seen to fail when: `resume` starts at the stored cursor alone.
#[test]
fn f_11_a_device_whose_acks_were_lost_resumes_after_what_it_stored() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.clients[1].acks = false;
    for number in 0..5 {
        world.send(0, &bob, &format!("{number}"));
    }
    world.settle();
    assert_eq!(world.rows(&bob), 5);
    world.clients[1].acks = true;
    world.disconnect(1);
    world.send(0, &bob, "5");
    world.run();
    world.connect(1);
    world.settle();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), [1, 2, 3, 4, 5, 6]);
    assert_eq!(world.clients[1].raw_duplicates, 0, "something below the resume offset was sent again");
    assert_eq!(world.rows(&bob), 0, "a resume offset counts as an ack");
}

/// Proves: G-INBOX-1 (nothing is deleted because it was sent)
/// Seen to fail when: `count_delivery` moves the device's cursor.
#[test]
fn f_15_what_was_sent_and_never_acked_is_delivered_at_the_next_login() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.clients[1].reads = false;
    world.send(0, &bob, "hello");
    world.settle();
    world.disconnect(1);
    world.clients[1].reads = true;
    world.crash();
    world.connect(1);
    world.settle();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), [1]);
}

/// Proves: G-RESUME-2 (acknowledgements are cumulative)
/// Seen to fail when: `ack` sets the cursor to a lower offset.
#[test]
fn f_12_acks_that_are_doubled_or_go_back_change_nothing() {
    let (mut world, _, bob) = pair(2, 0, 1);
    for number in 0..5 {
        world.send(0, &bob, &format!("{number}"));
    }
    world.settle();
    let last = world.clients[1].stored;
    for through in [last, last, last - 1, 0] {
        world.ack(1, through);
    }
    world.disconnect(1);
    world.clients[1].resumes = false;
    world.connect(1);
    world.settle();
    assert_eq!(world.clients[1].welcome.as_ref().unwrap().resumed_at, last);
    assert_eq!(world.clients[1].raw_duplicates, 0);
    assert!(world.clients[1].closed.is_empty());
}

/// Proves: G-RESUME-2 (an acknowledgement moves only its own device, and only to what it was sent)
/// Seen to fail when: `judge_offset` always answers `Good`.
#[test]
fn f_13_an_ack_of_what_was_never_sent_closes_and_changes_nothing() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.send(0, &bob, "one");
    world.settle();
    world.disconnect(1);
    world.send(0, &bob, "two");
    world.settle();
    world.clients[1].window = 1;
    world.clients[1].acks = false;
    world.connect(1);
    world.send(0, &bob, "three");
    world.settle();
    world.ack(1, world.clients[1].stored + 1);
    assert_eq!(world.clients[1].closed, [CloseCode::AckTooHigh]);
    for absurd in [5 << N_BITS, u64::MAX] {
        world.connect(1);
        world.run();
        world.ack(1, absurd);
    }
    assert_eq!(world.clients[1].closed.len(), 3);
    world.clients[1].acks = true;
    world.connect(1);
    world.settle();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), [1, 2, 3]);
}

/// Proves: G-RESUME-2 (an acknowledgement may ride on a Send; one of what was never sent closes, and nothing is sent)
/// Seen to fail when: `send_in` drops a Send whose acknowledgement is good.
#[test]
fn a_send_may_carry_an_acknowledgement() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.clients[1].acks = false;
    world.send(0, &bob, "question");
    world.settle();
    assert_eq!(world.rows(&bob), 1);
    let through = world.clients[1].stored;
    let id = world.send_acking(1, &alice, "answer", through);
    world.settle();
    assert!(world.clients[1].accepted.contains_key(&id));
    assert_eq!(world.rows(&bob), 0, "what was acknowledged is kept");
    world.send_acking(1, &alice, "never sent", world.clients[1].stored + 1);
    world.settle();
    assert_eq!(world.clients[1].closed, [CloseCode::AckTooHigh]);
    assert_eq!(world.clients[0].payloads(), ["", "answer"]);
}

/// Proves: G-RESUME-2 (an acknowledgement moves only its own device), G-TOKEN-2 (nobody moves another's inbox)
/// An offset says nothing of whose it is: somebody who acknowledges or resumes with another user's moves at most the own inbox.
#[test]
fn f_14_an_offset_of_another_user_moves_no_inbox_but_the_own() {
    let (mut world, alice, bob) = pair(1, 0, 0);
    world.online("mallory", "phone");
    world.disconnect(1);
    for number in 0..5 {
        world.send(0, &bob, &format!("{number}"));
    }
    world.settle();
    let (rows, theirs) = (world.rows(&bob), world.clients[0].stored);
    assert_eq!(rows, 5);
    world.ack(2, theirs);
    world.connect_with(2, |login| login.hello.resume_offset = Some(theirs));
    world.settle();
    assert_eq!(world.clients[2].closed, [CloseCode::AckTooHigh; 2]);
    assert_eq!(world.rows(&bob), rows, "somebody else's acknowledgement removed rows");
    world.connect(1);
    world.settle();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), [1, 2, 3, 4, 5]);
}

/// Proves: G-RESUME-2 (only to what it was sent), G-RESUME-1 (with offsets of earlier generations)
/// Seen to fail when: `judge_offset` refuses every offset above the last assigned.
#[test]
fn f_30_a_resume_ahead_is_refused_and_one_of_an_older_generation_accepted() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.send(0, &bob, "one");
    world.settle();
    let stored = world.clients[1].stored;
    world.disconnect(1);
    world.clients[1].stored = stored + 1;
    world.connect(1);
    world.run();
    assert_eq!(world.clients[1].closed, [CloseCode::AckTooHigh]);
    world.crash();
    // The same offset is of an older generation now.
    world.connect(1);
    world.run();
    assert_eq!(world.clients[1].closed.len(), 1);
    world.send(0, &bob, "lost with the connection");
    world.connect(0);
    world.run();
    world.send(0, &bob, "two");
    world.settle();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), [1, 2]);
}

/// Proves: G-RESUME-1 (a device that named less is told so), G-GAP-1
/// Seen to fail when: `welcome` sends no gap.
#[test]
fn f_30_a_device_that_names_less_than_the_cursor_is_told_of_the_hole_first() {
    let (mut world, _, bob) = pair(2, 0, 1);
    for number in 0..3 {
        world.send(0, &bob, &format!("{number}"));
    }
    world.settle();
    let cursor = world.clients[1].stored;
    world.disconnect(1);
    world.clients[1].stored = 0;
    world.clients[1].resumes = false;
    world.connect_with(1, |login| login.hello.resume_offset = Some(0));
    world.run();
    assert_eq!(world.clients[1].welcome.as_ref().unwrap().resumed_at, cursor);
    let gap = world.clients[1].gaps.first().expect("no gap was sent");
    assert_eq!(gap.reason, i32::from(GapReason::AlreadyAcked.to_wire()));
    assert_eq!((gap.offset, gap.conversation.as_str()), (cursor, ""));
    world.send(0, &bob, "next");
    world.settle();
    assert_eq!(world.clients[1].payloads().last().unwrap(), "next");
}

/// Proves: G-DEVICE-3 (one connection a device)
/// Seen to fail when: `take_over` does not close; or the new session starts at what was sent.
#[test]
fn f_24_a_second_login_closes_the_first_and_loses_nothing() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.clients[1].acks = false;
    world.clients[1].reads = false;
    for number in 0..4 {
        world.send(0, &bob, &format!("{number}"));
    }
    world.run();
    let half_open = world.clients[1].conn.unwrap();
    let again = world.client(&bob, "phone");
    world.connect(again);
    world.settle();
    assert_eq!(world.clients[1].closed, [CloseCode::Conflict]);
    assert_eq!((world.sum(|it| it.logins), world.sum(|it| it.takeovers)), (3, 1));
    assert_eq!(world.clients[again].sequences(&conversation(&alice, &bob)), [1, 2, 3, 4]);
    // Late inputs of the closed connection change nothing.
    let home = world.home(&world.clients[1].user.clone());
    world.input(home, Input::Sent { conn: half_open, bytes: 100 });
    world.input(home, Input::Gone { conn: half_open });
    world.send(0, &bob, "4");
    world.settle();
    assert_eq!(world.clients[again].sequences(&conversation(&alice, &bob)), [1, 2, 3, 4, 5]);
}

/// Proves: G-DEVICE-3 (of one run of a client the connection that it opened last stays, in whatever order the Hellos come)
/// Seen to fail when: mutant `LateHelloWins` is on; or `is_overtaken` compares no instance; or takes 0 for one.
#[test]
fn f_24_a_late_hello_of_the_same_run_throws_nobody_out() {
    let hello = |instance, attempt| {
        move |login: &mut Login| (login.hello.instance, login.hello.attempt) = (instance, attempt)
    };
    for (live, late, stays) in [
        ((7, 2), (7, 1), true),
        // A Hello that says the same is a new one, of a client that does not count.
        ((7, 2), (7, 2), false),
        ((7, 1), (7, 2), false),
        // Another run of the client knows nothing of this one.
        ((7, 2), (8, 0), false),
        ((0, 2), (0, 1), false),
    ] {
        let (mut world, alice, bob) = pair(2, 0, 0);
        let phone = world.client(&bob, "phone");
        world.connect_with(phone, hello(live.0, live.1));
        world.settle();
        let again = world.client(&bob, "phone");
        world.connect_with(again, hello(late.0, late.1));
        world.settle();
        let (winner, loser) = if stays { (phone, again) } else { (again, phone) };
        assert_eq!(world.clients[loser].closed, [CloseCode::Conflict], "{live:?}, then {late:?}");
        assert_eq!(world.clients[winner].closed, [], "{live:?}, then {late:?}");
        world.send(0, &bob, "hello");
        world.settle();
        assert_eq!(world.clients[winner].sequences(&conversation(&alice, &bob)), [1], "{live:?}");
    }
}

/// Proves: G-TOKEN-2 (user and device come from the token alone)
/// Seen to fail when: `refreshed` does not compare the device.
#[test]
fn f_25_a_refresh_with_another_device_s_token_is_refused() {
    let (mut world, alice, _) = pair(1, 0, 0);
    let (conn, user) = (world.clients[0].conn.unwrap(), world.clients[0].user.clone());
    let (ends_at, expires_at) = (world.now.after(Duration::from_hours(48)), world.wall().after_ms(5));
    let device = iris_protocol::DeviceId::parse("other").unwrap();
    let mut renewal = Renewal { user, device, ends_at, expires_at };
    world.input(0, Input::Refreshed { conn, request_id: 5, renewal: Some(Box::new(renewal.clone())) });
    world.input(0, Input::Refreshed { conn, request_id: 6, renewal: None });
    renewal.device = world.clients[0].device.clone();
    world.input(0, Input::Refreshed { conn, request_id: 7, renewal: Some(Box::new(renewal)) });
    world.run();
    assert_eq!(world.clients[0].refused, [RejectCode::TokenRefused; 2]);
    let refreshed =
        server_frame::Frame::Refreshed(wire::Refreshed { request_id: 7, expires_at: expires_at.0 });
    assert!(world.clients[0].others.contains(&refreshed));
    assert!(!alice.is_empty());
}

/// Proves: G-TOKEN-3 (an ended token ends the session)
/// Seen to fail when: `check_session` does not look at the expiry; or `send_in` does not.
#[test]
fn f_76_a_session_ends_with_its_token() {
    let (mut world, alice, bob) = pair(1, 0, 0);
    world.disconnect(0);
    let ends_at = world.now.after(Duration::from_secs(10));
    world.connect_with(0, |login| login.ends_at = ends_at);
    world.run();
    world.pass(Duration::from_secs(9));
    assert!(world.clients[0].closed.is_empty());
    world.pass(Duration::from_secs(2));
    assert_eq!(world.clients[0].closed, [CloseCode::TokenExpired]);
    // Without a tick in between, a Send finds out.
    let ends_at = world.now.after(Duration::from_secs(1));
    world.connect_with(0, |login| login.ends_at = ends_at);
    world.run();
    world.now = world.now.after(Duration::from_secs(2));
    world.send(0, &bob, "too late");
    assert_eq!(world.clients[0].closed.len(), 2);
    world.settle();
    assert!(world.clients[1].sequences(&conversation(&alice, &bob)).is_empty());
}

/// Proves: G-TOKEN-3 (a session is told 30 seconds before its token ends, once, and a Refresh then keeps it and has it told again)
/// Seen to fail when: `arm` does not look at the notice; or `refreshed` does not call `begin_token`.
#[test]
fn f_76_a_session_is_told_before_its_token_ends() {
    let (mut world, ..) = pair(1, 0, 0);
    world.disconnect(0);
    let ends_at = world.now.after(Duration::from_secs(100));
    world.connect_with(0, |login| login.ends_at = ends_at);
    world.run();
    let told = |world: &World| -> Vec<wire::GoAway> {
        let frames = world.clients[0].others.iter();
        let go_away = |frame: &server_frame::Frame| {
            if let server_frame::Frame::GoAway(go_away) = frame { Some(*go_away) } else { None }
        };
        frames.filter_map(go_away).collect()
    };
    world.pass(Duration::from_secs(69));
    assert_eq!(told(&world), []);
    world.frame(0, client_frame::Frame::Pong(wire::Pong { nonce: 0 }));
    world.pass(Duration::from_secs(2));
    let [first] = told(&world)[..] else { panic!("{:?}", told(&world)) };
    assert_eq!(first.reason, CloseCode::TokenExpired.number());
    assert!((29_000..=30_000).contains(&first.close_after_ms), "{first:?}");
    let (conn, user) = (world.clients[0].conn.unwrap(), world.clients[0].user.clone());
    // To 50 seconds behind the first end.
    let (device, expires_at) = (world.clients[0].device.clone(), world.wall());
    let ends_at = world.now.after(Duration::from_secs(79));
    let renewal = Some(Box::new(Renewal { user, device, ends_at, expires_at }));
    world.input(0, Input::Refreshed { conn, request_id: 1, renewal });
    world.run();
    world.pass(Duration::from_secs(47));
    assert_eq!((told(&world).len(), world.clients[0].closed.len()), (1, 0));
    world.frame(0, client_frame::Frame::Pong(wire::Pong { nonce: 0 }));
    world.pass(Duration::from_secs(5));
    assert_eq!(told(&world).len(), 2);
    world.pass(Duration::from_secs(28));
    assert_eq!(world.clients[0].closed, [CloseCode::TokenExpired]);
    let ends_at = world.now.after(Duration::from_secs(20));
    world.connect_with(0, |login| login.ends_at = ends_at);
    world.run();
    assert_eq!(told(&world).len(), 2, "a session that begins with less is not told");
}

/// Proves: G-EDGE-1 (a broken client harms itself alone)
/// Seen to fail when: `refusal` leaves one out (tried: the version, the window, the token's end).
#[test]
fn f_52_a_hello_that_cannot_be_served_is_closed_with_its_reason() {
    let mut world = World::new(1);
    let client = world.client("alice", "phone");
    world.connect_with(client, |login| login.hello.versions = vec![9]);
    world.run();
    world.connect_with(client, |login| login.hello.window = 0);
    world.run();
    let ends_at = world.now.after(Duration::ZERO);
    world.connect_with(client, |login| login.ends_at = ends_at);
    world.run();
    let expected = [CloseCode::VersionUnsupported, CloseCode::InvalidWindow, CloseCode::TokenExpired];
    assert_eq!(world.clients[client].closed, expected);
    world.connect(client);
    world.run();
    world.frame(client, client_frame::Frame::Hello(wire::Hello::default()));
    assert_eq!(world.clients[client].closed.last(), Some(&CloseCode::UnexpectedHello));
}

/// Proves: G-REJECT-1 (a refusal says what to do next), G-WIRE-1 (an unknown frame is UNKNOWN_FRAME)
/// Seen to fail when: `dispatch` ignores a frame of an unknown kind.
#[test]
fn f_52_an_unknown_frame_is_refused_and_the_connection_stays() {
    let (mut world, _, _) = pair(1, 0, 0);
    let conn = world.clients[0].conn.unwrap();
    world.input(0, Input::Frame { conn, frame: wire::ClientFrame { frame: None }.into() });
    world.frame(0, client_frame::Frame::Ping(wire::Ping { nonce: 9 }));
    world.run();
    assert_eq!(world.clients[0].refused, [RejectCode::UnknownFrame]);
    assert!(world.clients[0].others.contains(&server_frame::Frame::Pong(wire::Pong { nonce: 9 })));
    assert!(world.clients[0].closed.is_empty());
}

/// Proves: G-DELIVER-1 (frames of a login that is still being loaded are not lost)
/// Seen to fail when: `frame_in` drops frames of a session in its login.
#[test]
fn frames_that_come_before_the_welcome_are_taken_after_it() {
    let (mut world, _, bob) = pair(1, 0, 0);
    world.disconnect(0);
    world.crash();
    world.connect(1);
    world.run();
    world.hold_loads = true;
    world.connect(0);
    let id = world.send(0, &bob, "early");
    world.run();
    world.hold_loads = false;
    world.settle();
    assert_eq!(world.clients[0].accepted[&id].sequence, 1);
    assert_eq!(world.clients[1].payloads(), ["early"]);
}

/// Proves: G-OFFSET-1 (offsets of an inbox only rise)
/// Seen to fail when: `next_offset` starts again at 1 without the generation (its own assertion); or counts on
/// without it.
#[test]
fn offsets_rise_over_restarts_that_lost_the_newest_state() {
    let (mut world, _, bob) = pair(2, 0, 1);
    for round in 0..4 {
        for number in 0..3 {
            world.send(0, &bob, &format!("{round} {number}"));
        }
        world.run();
        // Delivered, and lost before it was settled.
        world.crash();
        world.connect(0);
        world.connect(1);
        world.run();
    }
    world.settle();
    assert!(world.clients[1].offsets.is_sorted());
    assert!(world.clients[1].offsets.iter().all(|offset| *offset < 1 << 53));
    assert!(world.clients[1].offsets.last().unwrap() >> N_BITS >= 4);
}
