//! The judge is judged: each claim is caught when it is broken.
use super::Checker;
use bytes::Bytes;
use iris_protocol::{ConversationId, MessageId, Sequence, UserId};

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

#[test]
fn a_lost_message_is_c1() {
    let (mut checker, conversation) = checker();
    apply(&mut checker, &conversation, 1);
    assert!(!checker.has_converged());
    assert_eq!(claims(checker), ["C1"]);
}

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

#[test]
fn a_message_stored_under_two_sequences_is_c2() {
    let (mut checker, conversation) = checker();
    checker.stored(&conversation, message(1), Sequence(3));
    assert!(claims(checker).contains(&"C2"));
}

#[test]
fn two_messages_at_one_place_and_a_hole_are_c4() {
    let (mut checker, conversation) = checker();
    checker.stored(&conversation, message(3), Sequence(2));
    assert!(claims(checker).contains(&"C4"));
    let (mut checker, conversation) = self::checker();
    checker.stored(&conversation, message(3), Sequence(4));
    assert!(claims(checker).contains(&"C4"));
}

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
    checker.applied("eve/phone", (&conversation, Sequence(1)), message(1), &Bytes::from(vec![1]));
    assert!(claims(checker).contains(&"C5"));
}

#[test]
fn an_acknowledgement_before_the_disk_is_c6() {
    let (mut checker, conversation) = checker();
    checker.acknowledged(conversation.as_str(), message(1), Sequence(1));
    checker.acknowledged(conversation.as_str(), message(3), Sequence(3));
    assert!(claims(checker).contains(&"C6"));
}
