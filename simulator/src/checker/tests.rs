//! The judge is judged: each claim is caught when it is broken.
use super::base::{Base, UserBase};
use super::{Checker, Hello, Places};
use bytes::Bytes;
use iris_protocol::limits::Limits;
use iris_protocol::wire::{self, GapReason, server_frame::Frame};
use iris_protocol::{
    ConversationId, DeviceId, Envelope, Generation, MessageId, Mono, Offset, PayloadHash, Placement,
    RejectCode, Sequence, ShardId, UserId, Wall,
};
use iris_shard::io::ConnId;
use iris_shard::mail::{Body, RecipientState};
use iris_storage::op::{CursorRow, Entry, Op};
use std::sync::Arc;
use std::time::Duration;

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn message(number: u8) -> MessageId {
    let mut bytes = [number; 16];
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    MessageId::parse(&bytes).unwrap()
}

fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

fn cursor(of: &str, name: &str, acked: u64, detached: bool) -> Op {
    let row = CursorRow { acked_through: Offset(acked), linked_at: Wall(0), last_seen_at: Wall(0), detached };
    Op::Cursor { user: user(of), device: device(name), row }
}

fn link(checker: &mut Checker, of: &str, name: &str) {
    checker.recorded(ShardId(0), &[cursor(of, name, 0, false)]);
}

fn log_in(checker: &mut Checker, conn: u64, window: u32) {
    let (user, device) = (user("bob"), device("phone"));
    checker.logged_in(ConnId(conn), &Hello { user: &user, device: &device, window, named: None });
    checker.answered(ConnId(conn), &Frame::Welcome(wire::Welcome::default()));
}

/// Alice sends messages 1 and 2 to bob; both are stored.
fn checker() -> (Checker, ConversationId) {
    let conversation = ConversationId::direct(&user("alice"), &user("bob"));
    let mut checker = Checker::default();
    checker.device("bob/phone".into(), user("bob"));
    link(&mut checker, "bob", "phone");
    for number in [1, 2] {
        checker.sent(conversation.clone(), message(number), user("alice"), Bytes::from(vec![number]));
        checker.stored(&conversation, message(number), Sequence(u64::from(number)));
    }
    (checker, conversation)
}

fn apply(checker: &mut Checker, conversation: &ConversationId, number: u8) {
    let place = (conversation, Sequence(u64::from(number)));
    checker.applied("bob/phone", place, message(number), &Bytes::from(vec![number]));
}

fn claims(checker: Checker) -> Vec<&'static str> {
    checker.finish().0.into_iter().map(|violation| violation.claim).collect()
}

#[test]
fn a_run_without_faults_has_no_violation() {
    let (mut checker, conversation) = checker();
    apply(&mut checker, &conversation, 1);
    apply(&mut checker, &conversation, 2);
    assert!(checker.has_converged());
    assert!(claims(checker).is_empty());
}

/// Proves: G-SIM-2 (a lost message)
#[test]
fn f_84_a_lost_message_is_c1() {
    let (mut checker, conversation) = checker();
    apply(&mut checker, &conversation, 1);
    assert!(!checker.has_converged());
    assert_eq!(claims(checker), ["C1"]);
}

/// Proves: G-SIM-2 (order)
#[test]
fn f_84_a_message_applied_twice_or_out_of_order_is_c3() {
    for order in [[1, 1], [2, 1]] {
        let (mut checker, conversation) = checker();
        for number in order {
            apply(&mut checker, &conversation, number);
        }
        assert!(claims(checker).contains(&"C3"), "{order:?}");
    }
}

/// Proves: G-SIM-2 (one sequence for a message)
#[test]
fn f_84_a_message_stored_under_two_sequences_is_c2() {
    let (mut checker, conversation) = checker();
    checker.stored(&conversation, message(1), Sequence(3));
    assert!(claims(checker).contains(&"C2"));
}

/// Proves: G-SIM-2 (dense sequences)
#[test]
fn f_84_two_messages_at_one_place_and_a_hole_are_c4() {
    let (mut checker, conversation) = checker();
    checker.stored(&conversation, message(3), Sequence(2));
    assert!(claims(checker).contains(&"C4"));
    let (mut checker, conversation) = self::checker();
    checker.stored(&conversation, message(3), Sequence(4));
    assert!(claims(checker).contains(&"C4"));
}

/// Proves: G-SIM-2 (nothing else, nobody else)
#[test]
fn f_84_a_phantom_an_altered_payload_and_a_leak_are_c5() {
    let (mut checker, conversation) = checker();
    checker.applied("bob/phone", (&conversation, Sequence(1)), message(9), &Bytes::new());
    assert!(claims(checker).contains(&"C5"));
    let (mut checker, conversation) = self::checker();
    checker.applied("bob/phone", (&conversation, Sequence(1)), message(1), &Bytes::from_static(b"other"));
    assert!(claims(checker).contains(&"C5"));
    let (mut checker, conversation) = self::checker();
    checker.device("eve/phone".into(), user("eve"));
    link(&mut checker, "eve", "phone");
    checker.applied("eve/phone", (&conversation, Sequence(1)), message(1), &Bytes::from(vec![1]));
    assert!(claims(checker).contains(&"C5"));
}

/// Proves: G-SIM-2 (acknowledged means stored)
#[test]
fn f_84_an_acknowledgement_before_the_disk_is_c6() {
    let (mut checker, conversation) = checker();
    checker.acknowledged(&conversation, message(1), Sequence(1));
    checker.acknowledged(&conversation, message(3), Sequence(3));
    assert!(claims(checker).contains(&"C6"));
}

/// Proves: G-SIM-2 (a link is stored before it is used)
#[test]
fn a_delivery_before_the_link_is_on_the_disk_is_c6() {
    let (mut checker, conversation) = checker();
    checker.device("bob/tablet".into(), user("bob"));
    let place = (&conversation, Sequence(1));
    checker.applied("bob/tablet", place, message(1), &Bytes::from(vec![1]));
    assert!(claims(checker).contains(&"C6"));
}

/// Proves: G-SIM-2 (late links)
/// A second device has what is stored after its link, and may have the last of what was there before.
#[test]
fn a_hole_behind_a_late_link_is_c1() {
    for (first, expected) in [(2, false), (3, false), (4, true)] {
        let (mut checker, conversation) = checker();
        apply(&mut checker, &conversation, 1);
        apply(&mut checker, &conversation, 2);
        checker.device("bob/tablet".into(), user("bob"));
        link(&mut checker, "bob", "tablet");
        for number in [3, 4] {
            checker.sent(conversation.clone(), message(number), user("alice"), Bytes::from(vec![number]));
            checker.stored(&conversation, message(number), Sequence(u64::from(number)));
            apply(&mut checker, &conversation, number);
        }
        for number in first..=4 {
            let place = (&conversation, Sequence(u64::from(number)));
            checker.applied("bob/tablet", place, message(number), &Bytes::from(vec![number]));
        }
        assert_eq!(claims(checker).contains(&"C1"), expected, "first is {first}");
    }
}

/// Proves: G-SIM-2 (late links)
/// A device that was detached and is back holds entries, whatever its row says: another one that is linked then starts at the newest.
/// Seen to fail when: `has_one_back` is false; or is true for every device that was detached.
#[test]
fn a_device_beside_one_that_is_back_is_not_the_first() {
    for is_back in [false, true] {
        let mut checker = narrow();
        checker.device("bob/tablet".into(), user("bob"));
        let conversation = ConversationId::direct(&user("alice"), &user("bob"));
        for sequence in 1..=2 {
            checker.recorded(ShardId(0), &[accepted(sequence, "alice")]);
        }
        checker.recorded(ShardId(0), &[cursor("bob", "phone", 0, true)]);
        if is_back {
            log_in(&mut checker, 1, 8);
        }
        link(&mut checker, "bob", "tablet");
        checker.sent(conversation.clone(), message(3), user("alice"), Bytes::from(vec![3]));
        checker.recorded(ShardId(0), &[accepted(3, "alice")]);
        checker.applied("bob/tablet", (&conversation, Sequence(3)), message(3), &Bytes::from(vec![3]));
        assert_eq!(first(&checker) == Some("C1"), !is_back, "{:?}", checker.violations());
    }
}

/// Proves: G-SIM-2 (wire and window)
/// Offsets and sequences rise on a connection, and no more is unacknowledged than its window.
#[test]
fn what_a_wire_must_not_show() {
    let wire = |deliveries: &[(u64, u64)], acked: u64| {
        let (mut checker, conversation) = checker();
        log_in(&mut checker, 1, 2);
        for (offset, sequence) in deliveries {
            checker.delivered(ConnId(1), Offset(*offset), (&conversation, Sequence(*sequence)));
            checker.acked(ConnId(1), Offset(acked), Generation(0));
        }
        checker.violations().first().map(|violation| violation.claim)
    };
    assert_eq!(wire(&[(1, 1), (2, 2)], 0), None);
    assert_eq!(wire(&[(1, 1), (2, 2), (3, 3)], 1), None);
    assert_eq!(wire(&[(1, 1), (2, 2), (3, 3)], 0), Some("C8"));
    assert_eq!(wire(&[(1, 1), (1, 2)], 1), Some("C2"));
    assert_eq!(wire(&[(1, 1), (2, 1)], 1), Some("C2"));
}

/// Proves: G-SIM-2 (watermarks)
/// What every device has for good must be known for good, in the same record at the latest.
#[test]
fn a_cursor_beyond_the_watermark_is_c2() {
    for watermark in [None, Some(Sequence(1))] {
        let (mut checker, conversation) = checker();
        log_in(&mut checker, 1, 8);
        checker.delivered(ConnId(1), Offset(5), (&conversation, Sequence(1)));
        let mut ops = vec![cursor("bob", "phone", 5, false)];
        if let Some(through) = watermark {
            ops.push(Op::Elide { user: user("bob"), watermarks: vec![(conversation.clone(), through)] });
        }
        checker.recorded(ShardId(0), &ops);
        assert_eq!(checker.violations().is_empty(), watermark.is_some());
    }
}

/// The first thing that a checker finds when bob's phone is told of a gap from sequence 3.
fn gap_from(reason: GapReason, through: u64, last: u8) -> Vec<&'static str> {
    let (mut checker, conversation) = checker();
    for number in 1..=last {
        apply(&mut checker, &conversation, number);
    }
    for number in [3, 4] {
        checker.stored(&conversation, message(number), Sequence(u64::from(number)));
    }
    checker.told("bob/phone", Some(&conversation), (Sequence(3), Sequence(through)), reason);
    claims(checker)
}

/// Proves: G-SIM-2 (a gap covers what it names, and nothing else)
/// Seen to fail when: `covered` lets a device go on anywhere.
#[test]
fn a_gap_covers_what_it_names() {
    assert!(gap_from(GapReason::Expired, 4, 2).is_empty());
    assert_eq!(gap_from(GapReason::Expired, 3, 2), ["C1"], "4 is missing");
    assert_eq!(gap_from(GapReason::Expired, 4, 1), ["C3"], "2 is missing");
}

fn accepted(sequence: u64, sender: &str) -> Op {
    let envelope = Envelope {
        conversation: ConversationId::direct(&user("alice"), &user("bob")),
        sequence: Sequence(sequence),
        sender: user(sender),
        device: device("phone"),
        message_id: message(u8::try_from(sequence).unwrap()),
        server_time: Wall(1_000),
        payload: Bytes::new(),
    };
    Op::Accept {
        envelope: Arc::new(envelope),
        hash: PayloadHash([0; 16]),
        recipients: iris_storage::op::Slots::new(),
    }
}

fn gap_row(offset: u64, reason: iris_protocol::GapReason) -> Op {
    let conversation = ConversationId::direct(&user("alice"), &user("bob"));
    let entry = Entry::Gap { conversation, from: Sequence(1), through: Sequence(1), reason };
    Op::Append { user: user("bob"), offset: Offset(offset), entry }
}

/// A checker of narrow limits: two entries, a second of retention.
fn narrow() -> Checker {
    let mut checker = Checker::default();
    let limits = Limits { inbox_envelopes: 2, retention: Duration::from_secs(1), ..Limits::default() };
    checker.limits(limits, 1);
    checker.at(Mono(1), Wall(1_500));
    checker.device("bob/phone".into(), user("bob"));
    link(&mut checker, "bob", "phone");
    checker
}

fn first(checker: &Checker) -> Option<&'static str> {
    checker.violations().first().map(|violation| violation.claim)
}

/// Proves: G-SIM-2 (a gap needs a cause)
/// Seen to fail when: `judge_gap` takes any reason.
#[test]
fn a_gap_without_its_cause_is_c1() {
    use iris_protocol::GapReason::{Expired, InboxFull};
    let judged = |senders: &[&str], wall: u64, reason| {
        let mut checker = narrow();
        for (sequence, sender) in (1..).zip(senders) {
            checker.recorded(ShardId(0), &[accepted(sequence, sender)]);
        }
        checker.at(Mono(2), Wall(wall));
        checker.recorded(ShardId(0), &[gap_row(9, reason)]);
        first(&checker)
    };
    assert_eq!(judged(&["alice"], 2_001, Expired), None);
    assert_eq!(judged(&["alice"], 1_999, Expired), Some("C1"), "it is young");
    assert_eq!(judged(&["bob", "alice"], 1_500, InboxFull), None);
    assert_eq!(judged(&["alice", "alice"], 1_500, InboxFull), Some("C1"), "it is no own copy");
    assert_eq!(judged(&["bob"], 1_500, InboxFull), Some("C1"), "the inbox has room");
    assert_eq!(judged(&[], 1_500, Expired), Some("C5"), "there is no such message");
}

/// Proves: G-SIM-2 (a detached device was behind, or silent)
/// Seen to fail when: `cursor` takes every detaching.
#[test]
fn a_device_that_is_detached_without_a_cause_is_c1() {
    for (messages, expected) in [(1, Some("C1")), (2, None)] {
        let mut checker = narrow();
        log_in(&mut checker, 1, 8);
        for sequence in 1..=messages {
            checker.recorded(ShardId(0), &[accepted(sequence, "alice")]);
        }
        checker.recorded(ShardId(0), &[cursor("bob", "phone", 0, true)]);
        assert_eq!(first(&checker), expected, "{messages} messages behind");
    }
}

/// Proves: G-SIM-2 (a refusal of a full inbox needs one, and comes before acceptance)
/// Seen to fail when: `refused_full` takes every refusal.
#[test]
fn a_refusal_of_an_inbox_with_room_is_c8_and_one_after_acceptance_c2() {
    let refused = |messages: u64, id: u8| {
        let mut checker = narrow();
        let conversation = ConversationId::direct(&user("alice"), &user("bob"));
        checker.sent(conversation, message(9), user("alice"), Bytes::new());
        for sequence in 1..=messages {
            checker.recorded(ShardId(0), &[accepted(sequence, "alice")]);
        }
        let rejected = wire::Rejected {
            message_id: Some(Bytes::copy_from_slice(message(id).as_bytes())),
            code: RejectCode::InboxFull.number(),
            ..wire::Rejected::default()
        };
        checker.rejected(&rejected);
        first(&checker)
    };
    assert_eq!(refused(1, 9), Some("C8"));
    assert_eq!(refused(2, 9), None);
    assert_eq!(refused(2, 1), Some("C2"));
}

/// Proves: G-SIM-2 (an owner accepts for whom it may)
/// Seen to fail when: `accepts` looks at no recipient that lives elsewhere.
#[test]
fn an_owner_that_accepts_against_what_it_was_told_is_c8() {
    let placement = Placement::even(2);
    let home = placement.shard_of(user("bob").slot());
    let owner = ShardId(1 - home.0);
    let judged = |state: Option<RecipientState>, reported: bool, messages: u64| {
        let mut checker = Checker::default();
        let other = placement.shard_of(user("alice").slot());
        for from in [home, other].into_iter().filter(|_| reported) {
            checker.mail(from, owner, &Body::Booted);
        }
        if let Some(state) = state {
            checker.mail(home, owner, &Body::State { user: user("bob"), state, reply: true });
        }
        for sequence in 2..messages + 2 {
            let op = accepted(sequence % 200 + 2, "alice");
            checker.emitted(owner, &[op], &placement);
        }
        first(&checker)
    };
    assert_eq!(judged(Some(RecipientState::Open), true, 64), None);
    assert_eq!(judged(Some(RecipientState::Open), true, 65), Some("C8"), "K");
    assert_eq!(judged(Some(RecipientState::Open), false, 1), Some("C8"), "it has not reported");
    assert_eq!(judged(Some(RecipientState::Full), true, 1), Some("C8"));
    assert_eq!(judged(Some(RecipientState::Unclaimed), true, 1), None);
    assert_eq!(judged(Some(RecipientState::Unclaimed), true, 2), Some("C8"));
    assert_eq!(judged(None, true, 1), Some("C8"), "it knows nothing");
}

/// Proves: G-SIM-2 (an owner accepts nothing for unclaimed inboxes that are full together)
/// Seen to fail when: the end of it is not taken.
#[test]
fn an_owner_that_accepts_for_unclaimed_inboxes_that_are_full_is_c8() {
    let placement = Placement::even(2);
    let home = placement.shard_of(user("bob").slot());
    let owner = ShardId(1 - home.0);
    let judged = |state: RecipientState, told: &[bool]| {
        let mut checker = Checker::default();
        for is_full in told {
            checker.mail(home, owner, &Body::Unclaimed { is_full: *is_full });
        }
        for from in [home, placement.shard_of(user("alice").slot())] {
            checker.mail(from, owner, &Body::Booted);
        }
        checker.mail(home, owner, &Body::State { user: user("bob"), state, reply: true });
        checker.emitted(owner, &[accepted(2, "alice")], &placement);
        first(&checker)
    };
    assert_eq!(judged(RecipientState::Unclaimed, &[]), None);
    assert_eq!(judged(RecipientState::Unclaimed, &[true]), Some("C8"));
    assert_eq!(judged(RecipientState::Unclaimed, &[true, false]), None);
    assert_eq!(judged(RecipientState::Open, &[true]), None);
}

/// Proves: G-SIM-2 (a refusal of unclaimed inboxes that are full together has its cause)
/// Seen to fail when: `refused_full` takes every refusal.
#[test]
fn a_refusal_of_unclaimed_inboxes_with_room_together_is_c8() {
    let refused = |messages: u64, is_linked: bool| {
        let mut checker = Checker::default();
        let unclaimed_total_bytes = 2 * iris_protocol::limits::UNCLAIMED_ENTRY_BYTES;
        checker.limits(Limits { unclaimed_total_bytes, ..Limits::default() }, 1);
        checker.sent(
            ConversationId::direct(&user("alice"), &user("bob")),
            message(9),
            user("alice"),
            Bytes::new(),
        );
        for name in ["alice", "bob"].into_iter().filter(|name| is_linked || *name == "alice") {
            link(&mut checker, name, "phone");
        }
        // Later, so that nobody can have missed that they are linked.
        checker.at(Mono(60_000_000_000), Wall(60_000));
        for sequence in 1..=messages {
            checker.recorded(ShardId(0), &[accepted(sequence, "alice")]);
        }
        let rejected = wire::Rejected {
            message_id: Some(Bytes::copy_from_slice(message(9).as_bytes())),
            code: RejectCode::InboxFull.number(),
            ..wire::Rejected::default()
        };
        checker.rejected(&rejected);
        first(&checker)
    };
    assert_eq!(refused(1, false), Some("C8"));
    assert_eq!(refused(2, false), None);
    assert_eq!(refused(2, true), Some("C8"));
}

/// Proves: G-SIM-2 (one connection a device, and none without a device)
/// Seen to fail when: `welcomed` looks at wires of other devices.
#[test]
fn two_connections_of_a_device_and_one_of_none_are_c5() {
    let (mut checker, conversation) = checker();
    log_in(&mut checker, 1, 8);
    log_in(&mut checker, 2, 8);
    assert_eq!(first(&checker), Some("C5"));
    let (mut checker, _) = self::checker();
    log_in(&mut checker, 1, 8);
    checker.recorded(ShardId(0), &[Op::Unlink { user: user("bob"), device: device("phone") }]);
    checker.delivered(ConnId(1), Offset(1), (&conversation, Sequence(1)));
    assert_eq!(first(&checker), Some("C5"));
}

/// Proves: G-SIM-2 (a session begins behind what was acknowledged, and ends with an ack of what never came)
/// Seen to fail when: `shown` lets through what was acknowledged last.
#[test]
fn what_was_acknowledged_comes_no_more_and_nothing_after_too_high_an_ack() {
    let next = |acks: &[u64], offset: u64| {
        let (mut checker, conversation) = checker();
        log_in(&mut checker, 1, 8);
        checker.delivered(ConnId(1), Offset(5), (&conversation, Sequence(1)));
        for through in acks {
            checker.acked(ConnId(1), Offset(*through), Generation(0));
        }
        checker.ended(ConnId(1));
        log_in(&mut checker, 2, 8);
        checker.delivered(ConnId(2), Offset(offset), (&conversation, Sequence(2)));
        first(&checker)
    };
    assert_eq!(next(&[4], 5), None);
    assert_eq!(next(&[5], 5), Some("C3"));
    let (mut checker, conversation) = checker();
    log_in(&mut checker, 1, 8);
    checker.acked(ConnId(1), Offset(1), Generation(0));
    checker.delivered(ConnId(1), Offset(5), (&conversation, Sequence(1)));
    assert_eq!(first(&checker), Some("C1"));
}

/// Proves: G-SIM-2 (no more devices than there may be, and no fewer)
/// Seen to fail when: `no_place` takes every refusal.
#[test]
fn a_device_too_many_is_c8_and_so_is_one_that_finds_no_place_for_no_reason() {
    for (devices, refused, linked) in [(1, None, Some("C8")), (2, Some("C8"), None)] {
        let limits = Limits { devices, ..Limits::default() };
        let (bob, tablet) = (user("bob"), device("tablet"));
        let (mut checker, _) = checker();
        checker.limits(limits, 1);
        checker.logged_in(ConnId(2), &Hello { user: &bob, device: &tablet, window: 8, named: None });
        checker.no_place(ConnId(2));
        assert_eq!(first(&checker), refused, "refused with {devices}");
        let (mut checker, _) = self::checker();
        checker.limits(limits, 1);
        link(&mut checker, "bob", "tablet");
        assert_eq!(first(&checker), linked, "linked with {devices}");
    }
}

/// Proves: G-SIM-2 (after a rewound host, what it left is judged as before)
/// Seen to fail when: `follows` judges nothing any more.
#[test]
fn after_the_host_lost_writes_what_it_left_is_judged() {
    let (mut checker, conversation) = checker();
    let row =
        CursorRow { acked_through: Offset(4), linked_at: Wall(0), last_seen_at: Wall(0), detached: false };
    let through = Sequence(2);
    let reason = iris_protocol::GapReason::Expired;
    let gap = Entry::Gap { conversation: conversation.clone(), from: through, through, reason };
    let bob = UserBase {
        user: user("bob"),
        rows: vec![(Offset(5), gap)],
        devices: vec![(device("phone"), row)],
        waiting: Vec::new(),
        watermarks: Places::new(),
    };
    checker.rewound(Base { users: vec![bob], last: Places::from([(conversation.clone(), through)]) });
    let remove = |offset| Op::Remove { user: user("bob"), offsets: vec![Offset(offset)] };
    checker.recorded(ShardId(0), &[remove(5)]);
    // The home had lost message 2, the owner had not.
    checker.follows(&conversation, Sequence(3), Sequence(1));
    assert_eq!(first(&checker), None);
    checker.follows(&conversation, Sequence(5), Sequence(3));
    assert_eq!(first(&checker), Some("C3"));
    checker.recorded(ShardId(0), &[remove(5)]);
    assert_eq!(checker.violations().len(), 2);
}
