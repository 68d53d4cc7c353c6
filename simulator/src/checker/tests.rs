//! The judge is judged: each claim is caught when it is broken.
use super::Checker;
use bytes::Bytes;
use iris_protocol::{ConversationId, DeviceId, MessageId, Offset, Sequence, UserId, Wall};
use iris_shard::io::ConnId;
use iris_storage::op::{CursorRow, Op};

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn message(number: u8) -> MessageId {
    let mut bytes = [number; 16];
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    MessageId::parse(&bytes).unwrap()
}

/// Alice sends messages 1 and 2 to bob; both are stored.
fn checker() -> (Checker, ConversationId) {
    let conversation = ConversationId::direct(&user("alice"), &user("bob"));
    let mut checker = Checker::default();
    checker.device("bob/phone".into(), user("bob"));
    checker.linked(&user("bob"), "bob/phone".into());
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
fn a_lost_message_is_c1() {
    let (mut checker, conversation) = checker();
    apply(&mut checker, &conversation, 1);
    assert!(!checker.has_converged());
    assert_eq!(claims(checker), ["C1"]);
}

/// Proves: G-SIM-2 (order)
#[test]
fn a_message_applied_twice_or_out_of_order_is_c3() {
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
fn a_message_stored_under_two_sequences_is_c2() {
    let (mut checker, conversation) = checker();
    checker.stored(&conversation, message(1), Sequence(3));
    assert!(claims(checker).contains(&"C2"));
}

/// Proves: G-SIM-2 (dense sequences)
#[test]
fn two_messages_at_one_place_and_a_hole_are_c4() {
    let (mut checker, conversation) = checker();
    checker.stored(&conversation, message(3), Sequence(2));
    assert!(claims(checker).contains(&"C4"));
    let (mut checker, conversation) = self::checker();
    checker.stored(&conversation, message(3), Sequence(4));
    assert!(claims(checker).contains(&"C4"));
}

/// Proves: G-SIM-2 (nothing else, nobody else)
#[test]
fn a_phantom_an_altered_payload_and_a_leak_are_c5() {
    let (mut checker, conversation) = checker();
    checker.applied("bob/phone", (&conversation, Sequence(1)), message(9), &Bytes::new());
    assert!(claims(checker).contains(&"C5"));
    let (mut checker, conversation) = self::checker();
    checker.applied("bob/phone", (&conversation, Sequence(1)), message(1), &Bytes::from_static(b"other"));
    assert!(claims(checker).contains(&"C5"));
    let (mut checker, conversation) = self::checker();
    checker.device("eve/phone".into(), user("eve"));
    checker.linked(&user("eve"), "eve/phone".into());
    checker.applied("eve/phone", (&conversation, Sequence(1)), message(1), &Bytes::from(vec![1]));
    assert!(claims(checker).contains(&"C5"));
}

/// Proves: G-SIM-2 (acknowledged means stored)
#[test]
fn an_acknowledgement_before_the_disk_is_c6() {
    let (mut checker, conversation) = checker();
    checker.acknowledged(conversation.as_str(), message(1), Sequence(1));
    checker.acknowledged(conversation.as_str(), message(3), Sequence(3));
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
        checker.linked(&user("bob"), "bob/tablet".into());
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

/// Proves: G-SIM-2 (wire and window)
/// Offsets and sequences rise on a connection, and no more is unacknowledged than its window.
#[test]
fn what_a_wire_must_not_show() {
    let wire = |deliveries: &[(u64, u64)], acked: u64| {
        let (mut checker, conversation) = checker();
        checker.logged_in(ConnId(1), &user("bob"), 2);
        for (offset, sequence) in deliveries {
            checker.delivered(ConnId(1), Offset(*offset), (&conversation, Sequence(*sequence)));
            checker.acked(ConnId(1), Offset(acked));
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
        checker.logged_in(ConnId(1), &user("bob"), 8);
        checker.delivered(ConnId(1), Offset(5), (&conversation, Sequence(1)));
        let row = CursorRow {
            acked_through: Offset(5),
            linked_at: Wall(0),
            last_seen_at: Wall(0),
            detached: false,
        };
        let mut ops = vec![Op::Cursor { user: user("bob"), device: DeviceId::parse("phone").unwrap(), row }];
        if let Some(through) = watermark {
            ops.push(Op::Elide { user: user("bob"), watermarks: vec![(conversation.clone(), through)] });
        }
        checker.recorded(&ops);
        assert_eq!(checker.violations().is_empty(), watermark.is_some());
    }
}
