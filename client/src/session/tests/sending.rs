//! Claims about messages that wait for an answer.

#![cfg(test)]

use super::*;
use crate::session::{SendError, event};
use iris_protocol::{RejectClass, RejectCode, limits};

fn rejections(rig: &Rig) -> Vec<&event::Rejected> {
    let rejected = rig
        .events
        .iter()
        .map(|event| if let Event::Rejected(rejected) = event { Some(rejected) } else { None });
    rejected.flatten().collect()
}

/// Proves: G-CLIENT-2 (same id, same bytes, after a reconnect)
/// Seen to fail when: `requeue` drops what was on the wire, or `sort_unstable_by_key` is left out.
#[test]
fn unanswered_messages_go_out_again_in_order_after_a_reconnect() {
    let config = SessionConfig { send_window: 2, ..SessionConfig::default() };
    let mut rig = Rig::with(config, DeviceState::default());
    rig.login(welcome(0));
    for number in 1..=4 {
        rig.send(number);
    }
    assert_eq!(rig.sent(), [1, 2]);
    rig.accept(1, 1, 1);
    assert_eq!(rig.sent(), [1, 2, 3]);
    rig.lose_connection();
    rig.clear();
    rig.login(welcome(0));
    assert_eq!(rig.sent(), [2, 3]);
    let payloads: Vec<&[u8]> = rig.sends().iter().map(|send| &send.payload[..]).collect();
    assert_eq!(payloads, [&[2_u8][..], &[3_u8][..]]);
    assert_eq!(rig.sends()[0].message_id, id_bytes(2));
}

/// Proves: G-CLIENT-2 (over restarts)
/// Seen to fail when: `Session::state` leaves out what is on the wire.
#[test]
fn unanswered_messages_survive_a_restart_of_the_process() {
    let mut rig = Rig::online();
    for number in 1..=3 {
        rig.send(number);
    }
    rig.reject(1, RejectCode::Busy.number(), Some(60_000));
    rig.accept(2, 2, 1);
    let mut restarted = rig.restarted();
    restarted.login(welcome(0));
    assert_eq!(restarted.sent(), [1, 3]);
}

/// Seen to fail when: `self.unsaved = true` in `send` is left out.
#[test]
fn a_new_message_must_be_saved_before_its_frame_is_written() {
    let mut rig = Rig::online();
    rig.session.saved();
    rig.send(1);
    assert!(rig.session.unsaved());
    assert_eq!(rig.session.state().outbox[0].message_id, message_id(1));
    rig.session.saved();
    assert!(!rig.session.unsaved());
}

/// Seen to fail when: `may_transmit` compares with the configured window alone.
#[test]
fn no_more_sends_are_unanswered_than_the_server_allows() {
    let mut rig = Rig::new();
    rig.login(wire::Welcome { send_window: 3, ..welcome(0) });
    for number in 1..=5 {
        rig.send(number);
    }
    assert_eq!(rig.sent(), [1, 2, 3]);
    assert!(!rig.session.can_transmit());
    rig.accept(2, 2, 1);
    assert_eq!(rig.sent(), [1, 2, 3, 4]);
}

/// Proves: G-CLIENT-2 (a retry keeps its id), G-REJECT-1 (retry the same id later)
/// Seen to fail when: `retry_at` is not called, or `release_retries` does not look at `due`.
#[test]
fn a_retryable_reject_sends_the_same_message_again_when_the_server_said() {
    for code in [
        RejectCode::RateLimited,
        RejectCode::InboxFull,
        RejectCode::StorageFull,
        RejectCode::Busy,
        RejectCode::NotOwner,
    ] {
        let mut rig = Rig::online();
        rig.send(1);
        rig.clear();
        rig.reject(1, code.number(), Some(1000));
        assert_eq!(rejections(&rig)[0].class, RejectClass::RetrySameId);
        rig.pass(Duration::from_millis(999));
        assert_eq!(rig.sent(), Vec::<u8>::new(), "{code}");
        rig.pass(Duration::from_millis(252));
        assert_eq!(rig.sent(), [1], "{code}");
        assert_eq!(&rig.sends()[0].payload[..], [1]);
    }
}

/// Seen to fail when: `retry_later` takes a delay of zero without a hint.
#[test]
fn a_retryable_reject_without_a_hint_backs_off() {
    let mut rig = Rig::online();
    rig.send(1);
    let mut waited = Vec::new();
    for request_id in 1..=8 {
        rig.reject(request_id, RejectCode::Busy.number(), None);
        waited.extend(rejections(&rig).last().and_then(|rejected| rejected.retry_after));
        rig.pass(Duration::from_mins(1));
        rig.pass(Duration::ZERO);
    }
    assert_eq!(rig.sent().len(), 9);
    let cap = |attempt: u32| Duration::from_secs(1) * 2_u32.pow(attempt);
    for (attempt, delay) in (0..).zip(&waited) {
        assert!(*delay < cap(attempt), "attempt {attempt} waits {delay:?}");
    }
    assert!(waited.iter().max() > Some(&Duration::from_secs(1)), "no backoff in {waited:?}");
}

/// Seen to fail when: `release_retries` puts a message behind all others.
#[test]
fn a_due_retry_goes_before_younger_messages_that_wait() {
    let config = SessionConfig { send_window: 1, ..SessionConfig::default() };
    let mut rig = Rig::with(config, DeviceState::default());
    rig.login(welcome(0));
    for number in 1..=3 {
        rig.send(number);
    }
    rig.reject(1, RejectCode::Busy.number(), Some(100));
    assert_eq!(rig.sent(), [1, 2]);
    rig.pass(Duration::from_millis(200));
    rig.accept(2, 2, 1);
    assert_eq!(rig.sent(), [1, 2, 1]);
}

/// Proves: G-REJECT-1 (refused for good)
/// Seen to fail when: `on_rejected` keeps a refused message.
#[test]
fn a_refused_message_is_told_and_dropped() {
    let codes = RejectCode::ALL.iter().filter(|code| code.class() == RejectClass::Refused);
    for code in codes {
        let mut rig = Rig::online();
        rig.send(1);
        rig.clear();
        rig.reject(1, code.number(), Some(10));
        rig.pass(Duration::from_secs(1));
        rig.lose_connection();
        rig.login(welcome(0));
        assert_eq!(rig.sent(), Vec::<u8>::new(), "{code}");
        assert_eq!(rejections(&rig)[0].code, Some(*code));
        assert_eq!(rig.session.unanswered_count(), 0);
    }
}

/// Seen to fail when: `on_rejected` takes every number that it does not know as unknown.
#[test]
fn a_code_of_a_later_version_is_treated_by_the_class_of_its_number() {
    for (number, class, left) in [(19, RejectClass::RetrySameId, 1), (59, RejectClass::Refused, 0)] {
        assert_eq!(RejectCode::from_number(number), None);
        let mut rig = Rig::online();
        rig.send(1);
        rig.reject(1, number, Some(10));
        assert_eq!((rejections(&rig)[0].class, rejections(&rig)[0].number), (class, number));
        assert_eq!(rig.session.unanswered_count(), left);
    }
}

/// Proves: G-CLIENT-2 (never under a new id by itself), G-REJECT-1 (outcome unknown)
/// Seen to fail when: `outcome_unknown` puts the message back into the outbox, or drops it.
#[test]
fn an_unknown_outcome_is_kept_visible_and_never_sent_again() {
    for code in [RejectCode::MessageIdTooOld.number(), 4_000_000] {
        let mut rig = Rig::online();
        rig.send(1);
        rig.clear();
        rig.reject(1, code, None);
        let unknown =
            |event: &Event| matches!(event, Event::Unknown { message_id: id, .. } if *id == message_id(1));
        assert_eq!(rig.count(unknown), 1);
        let mut restarted = rig.restarted();
        restarted.login(welcome(0));
        assert_eq!(restarted.sent(), Vec::<u8>::new());
        assert_eq!(restarted.session.unknown()[0].message_id, message_id(1));
        assert!(restarted.session.forget_unknown(message_id(1)).is_some());
        assert!(restarted.session.unknown().is_empty());
    }
}

/// Proves: G-EDGE-2 (a dead peer is found)
/// Seen to fail when: the answer deadline in `tick_online` is left out.
#[test]
fn an_unanswered_send_reconnects_and_is_sent_again() {
    let mut rig = Rig::online();
    rig.send(1);
    rig.pass(Duration::from_secs(19));
    assert_eq!(rig.disconnects, []);
    assert_eq!(rig.session.next_deadline(), Some(rig.now.after(Duration::from_secs(1))));
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.disconnects, [DisconnectReason::AnswerTimeout]);
    rig.login(welcome(0));
    assert_eq!(rig.sent(), [1, 1]);
}

/// Seen to fail when: `transmissions` is counted per connection.
#[test]
fn an_acceptance_says_whether_it_answers_a_retry() {
    let mut rig = Rig::online();
    rig.send(1);
    rig.lose_connection();
    rig.login(welcome(0));
    rig.accept(2, 1, 1);
    let transmissions = rig.events.iter().find_map(|event| {
        if let Event::Accepted(accepted) = event { Some(accepted.transmissions) } else { None }
    });
    assert_eq!(transmissions, Some(2));
}

/// Seen to fail when: `on_accepted` does not compare id and conversation, or `open` is not asked.
#[test]
fn an_answer_that_fits_no_open_request_is_a_server_fault() {
    let strange = [
        accepted(9, 1, 1),
        accepted(1, 2, 1),
        accepted(1, 1, 0),
        wire::Accepted { conversation: "d:alice:carol".into(), ..accepted(1, 1, 1) },
        wire::Accepted { offset: Some(3), previous_sequence: 1, ..accepted(1, 1, 1) },
    ];
    for accepted in strange {
        let mut rig = Rig::online();
        rig.send(1);
        rig.handle(server_frame::Frame::Accepted(accepted));
        assert_eq!(rig.count(is_fault), 1);
        assert_eq!(rig.session.unanswered_count(), 1, "the message still waits for its answer");
    }
}

/// Seen to fail when: the checks in `send` are left out.
#[test]
fn a_message_above_a_limit_is_not_taken() {
    let config = SessionConfig { outbox_max: 2, ..SessionConfig::default() };
    let mut rig = Rig::with(config, DeviceState::default());
    let to = Target::To(UserId::parse("bob").unwrap());
    let large = Bytes::from(vec![0; limits::PAYLOAD_BYTES_MAX + 1]);
    let refused = rig.session.send(rig.now, to.clone(), message_id(1), large);
    assert!(matches!(refused, Err(SendError::PayloadTooLarge { .. })));
    rig.send(1);
    rig.send(2);
    let refused = rig.session.send(rig.now, to, message_id(3), Bytes::new());
    assert_eq!(refused, Err(SendError::OutboxFull { waiting: 2 }));
    assert_eq!(rig.session.unanswered_count(), 2);
}
