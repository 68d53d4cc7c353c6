//! Claims about what is applied, dropped and acknowledged.

#![cfg(test)]

use super::*;
use crate::session::{ServerFault, event};
use wire::GapReason;

/// Proves: G-CLIENT-1 (once and in order)
/// Seen to fail when: `Incoming::envelope` compares with `<` instead of `<=`.
#[test]
fn an_envelope_at_or_below_the_last_one_is_dropped_and_acknowledged() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 1));
    rig.deliver(deliver(11, 1, 2));
    rig.deliver(deliver(12, 1, 2));
    rig.deliver(deliver(13, 0, 1));
    rig.flush();
    assert_eq!(rig.applied(), [1, 2]);
    assert_eq!(rig.count(is_duplicate), 2);
    assert_eq!(rig.acks(), [13]);
}

/// Seen to fail when: `Incoming::envelope` demands `previous == 0` without state.
#[test]
fn without_state_the_first_envelope_of_a_conversation_is_the_base() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 40, 41));
    rig.deliver(deliver_in("d:alice:carol", 11, 7, 9));
    rig.deliver(deliver(12, 41, 42));
    assert_eq!(rig.applied(), [41, 9, 42]);
}

/// Seen to fail when: `place.previous > last.sequence` becomes `place.previous != last.sequence`.
#[test]
fn a_predecessor_below_the_last_one_is_no_hole() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 5));
    rig.deliver(deliver(11, 3, 6));
    assert_eq!(rig.applied(), [5, 6]);
    assert_eq!(rig.count(is_fault), 0);
}

/// Proves: G-CLIENT-1 (reports a server that breaks the order instead of acknowledging)
/// Seen to fail when: the check of `place.previous` in `Incoming::envelope` is left out.
#[test]
fn a_missing_predecessor_is_a_server_fault_that_acknowledges_nothing() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 1));
    rig.flush();
    rig.clear();
    rig.deliver(deliver(12, 2, 3));
    rig.flush();
    assert_eq!(rig.applied(), Vec::<u64>::new());
    assert_eq!(rig.acks(), Vec::<u64>::new());
    assert_eq!(rig.disconnects, [DisconnectReason::ServerFault]);
    let Some(Event::ServerFault(ServerFault::SequenceSkipped { last, previous, sequence, .. })) =
        rig.events.first()
    else {
        panic!("not reported: {:?}", rig.events);
    };
    assert_eq!((last.0, previous.0, sequence.0), (1, 2, 3));
}

/// Seen to fail when: an envelope behind a hole moves `stored_through`.
#[test]
fn after_a_server_fault_the_session_resumes_from_what_is_stored() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 1));
    rig.deliver(deliver(12, 2, 3));
    rig.deliver(deliver(13, 3, 4));
    rig.login(welcome(10));
    assert_eq!(rig.hello().resume_offset, Some(10));
    rig.deliver(deliver(11, 1, 2));
    rig.deliver(deliver(12, 2, 3));
    assert_eq!(rig.applied(), [1, 2, 3]);
}

/// Seen to fail when: the comparison with `received` in `Incoming::envelope` is left out.
#[test]
fn a_new_envelope_at_a_passed_offset_is_a_server_fault() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 1));
    rig.deliver(deliver(10, 1, 2));
    assert_eq!(rig.applied(), [1]);
    assert_eq!(rig.count(is_fault), 1);
}

/// Proves: G-CLIENT-1 (acknowledges only from what it has stored)
/// Seen to fail when: `Incoming::ackable` gives `received`.
#[test]
fn nothing_is_acknowledged_before_the_caller_has_stored_it() {
    let mut rig = Rig::online();
    rig.stores = false;
    rig.deliver(deliver(10, 0, 1));
    rig.deliver(deliver(11, 1, 2));
    rig.deliver(deliver(12, 2, 3));
    rig.flush();
    rig.pass(Duration::from_secs(1));
    rig.send(77);
    assert_eq!(rig.acks(), Vec::<u64>::new());
    assert_eq!(rig.sends()[0].ack_through, None);
    rig.session.stored(rig.now, Offset(11));
    rig.flush();
    assert_eq!(rig.acks(), [11]);
}

/// Proves: G-CLIENT-1 (resumes only from what it has stored)
/// Seen to fail when: `Session::state` saves `self.incoming.last` instead of `last_as_stored()`.
#[test]
fn a_saved_state_knows_nothing_that_was_not_stored() {
    let mut rig = Rig::online();
    rig.stores = false;
    rig.deliver(deliver(10, 0, 1));
    rig.deliver(deliver(11, 1, 2));
    rig.deliver(deliver_in("d:alice:carol", 12, 0, 1));
    rig.session.stored(rig.now, Offset(10));
    let mut restarted = rig.restarted();
    restarted.login(welcome(10));
    assert_eq!(restarted.hello().resume_offset, Some(10));
    restarted.deliver(deliver(11, 1, 2));
    restarted.deliver(deliver_in("d:alice:carol", 12, 0, 1));
    assert_eq!(restarted.applied(), [2, 1]);
}

/// Seen to fail when: `take` drops a silent entry behind unstored ones.
#[test]
fn a_duplicate_behind_an_unstored_message_waits_for_it() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 1));
    rig.flush();
    rig.clear();
    rig.stores = false;
    rig.deliver(deliver(11, 1, 2));
    rig.deliver(deliver(12, 0, 1));
    rig.flush();
    assert_eq!(rig.acks(), Vec::<u64>::new());
    rig.session.stored(rig.now, Offset(11));
    rig.flush();
    assert_eq!(rig.acks(), [12]);
}

/// Seen to fail when: `Incoming::ackable` does not take the minimum with `received`.
#[test]
fn an_acknowledgement_never_passes_what_this_connection_has_brought() {
    let mut rig = Rig::online();
    rig.stores = false;
    for (offset, sequence) in [(10, 1), (11, 2), (12, 3)] {
        rig.deliver(deliver(offset, sequence - 1, sequence));
    }
    rig.lose_connection();
    rig.login(welcome(0));
    rig.session.stored(rig.now, Offset(12));
    rig.deliver(deliver(10, 0, 1));
    rig.flush();
    assert_eq!(rig.acks(), [10]);
    rig.deliver(deliver(11, 1, 2));
    rig.deliver(deliver(12, 2, 3));
    rig.flush();
    assert_eq!(rig.acks(), [10, 12]);
    assert_eq!(rig.applied(), [1, 2, 3]);
}

/// Seen to fail when: `ack_is_due` ignores `every`.
#[test]
fn an_ack_goes_out_after_ack_every_deliveries_and_after_the_delay() {
    let config = SessionConfig { ack_every: 3, ..SessionConfig::default() };
    let mut rig = Rig::with(config, DeviceState::default());
    rig.login(welcome(0));
    for sequence in 1..=3 {
        rig.deliver(deliver(sequence, sequence - 1, sequence));
    }
    assert_eq!(rig.acks(), [3]);
    rig.deliver(deliver(4, 3, 4));
    assert_eq!(rig.acks(), [3]);
    assert_eq!(rig.session.next_deadline(), Some(rig.now.after(Duration::from_millis(5))));
    rig.pass(Duration::from_millis(5));
    assert_eq!(rig.acks(), [3, 4]);
}

/// Seen to fail when: `ack_every` takes the window that was asked for.
#[test]
fn a_small_window_is_acknowledged_before_it_is_full() {
    let mut rig = Rig::new();
    rig.login(wire::Welcome { window: 4, ..welcome(0) });
    rig.deliver(deliver(1, 0, 1));
    assert_eq!(rig.acks(), Vec::<u64>::new());
    rig.deliver(deliver(2, 1, 2));
    assert_eq!(rig.acks(), [2]);
}

/// Seen to fail when: `take_ack` in `Session::transmit` becomes `None`.
#[test]
fn an_acknowledgement_rides_on_a_send() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 1));
    rig.send(77);
    rig.flush();
    assert_eq!(rig.sends()[0].ack_through, Some(10));
    assert_eq!(rig.acks(), Vec::<u64>::new());
}

/// Proves: G-GAP-1 (a hole with a word)
/// Seen to fail when: `Incoming::gap` leaves the last sequence as it is.
#[test]
fn a_gap_moves_the_last_sequence_and_is_acknowledged() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 1));
    rig.handle(gap(11, CONVERSATION, 2, 5, GapReason::Expired));
    rig.deliver(deliver(12, 5, 6));
    rig.flush();
    assert_eq!(rig.applied(), [1, 6]);
    assert_eq!(rig.acks(), [12]);
    assert_eq!(rig.count(|event| matches!(event, Event::Gap(gap) if gap.through == Sequence(5))), 1);
}

/// Seen to fail when: `known.max(through)` becomes `through`.
#[test]
fn a_gap_never_moves_the_last_sequence_back() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 9));
    rig.handle(gap(11, CONVERSATION, 2, 5, GapReason::InboxFull));
    rig.deliver(deliver(12, 5, 8));
    assert_eq!(rig.applied(), [9]);
}

/// Seen to fail when: the check of `seen` in `Incoming::gap` is left out.
#[test]
fn a_gap_that_comes_again_after_a_reconnect_is_told_once() {
    let mut rig = Rig::online();
    rig.stores = false;
    rig.handle(gap(11, CONVERSATION, 2, 5, GapReason::Expired));
    rig.lose_connection();
    rig.login(welcome(0));
    rig.handle(gap(11, CONVERSATION, 2, 5, GapReason::Expired));
    assert_eq!(rig.count(|event| matches!(event, Event::Gap(_))), 1);
}

/// Proves: G-GAP-1 (already acknowledged, detached)
/// Seen to fail when: `rebase_all` sets no flag.
#[test]
fn after_a_gap_of_all_conversations_the_next_envelope_of_each_is_its_base() {
    for reason in [GapReason::AlreadyAcked, GapReason::DeviceDetached] {
        let mut rig = Rig::online();
        rig.deliver(deliver(10, 0, 1));
        rig.deliver(deliver_in("d:alice:carol", 11, 0, 1));
        rig.lose_connection();
        rig.login(welcome(50));
        rig.handle(gap(50, "", 0, 0, reason));
        rig.deliver(deliver(51, 30, 31));
        rig.deliver(deliver_in("d:alice:carol", 52, 8, 9));
        rig.deliver(deliver(53, 31, 32));
        rig.flush();
        assert_eq!(rig.applied(), [1, 1, 31, 9, 32]);
        assert_eq!(rig.acks().last(), Some(&53));
        assert_eq!(rig.count(is_fault), 0);
    }
}

/// Seen to fail when: `set` keeps `rebase: true`.
#[test]
fn a_base_is_taken_once() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 1));
    rig.handle(gap(11, "", 0, 0, GapReason::DeviceDetached));
    rig.deliver(deliver(12, 5, 6));
    rig.deliver(deliver(13, 7, 8));
    assert_eq!(rig.applied(), [1, 6]);
    assert_eq!(rig.count(is_fault), 1);
}

/// Seen to fail when: `Incoming::resume` moves `stored_through` to `resumed_at`.
#[test]
fn a_lost_gap_of_all_conversations_comes_again() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 1));
    rig.lose_connection();
    rig.login(welcome(50));
    rig.lose_connection();
    rig.login(welcome(50));
    assert_eq!(rig.hello().resume_offset, Some(10));
    rig.handle(gap(50, "", 0, 0, GapReason::AlreadyAcked));
    rig.lose_connection();
    rig.login(welcome(50));
    assert_eq!(rig.hello().resume_offset, Some(50));
}

/// Proves: G-CLIENT-1 (own copies obey the same order)
/// Seen to fail when: `own_copy` is not called.
#[test]
fn an_acceptance_with_an_offset_is_the_delivery_of_the_own_copy() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 1));
    rig.send(42);
    let own = wire::Accepted { offset: Some(11), previous_sequence: 1, ..accepted(1, 42, 2) };
    rig.handle(server_frame::Frame::Accepted(own));
    rig.deliver(deliver(12, 2, 3));
    rig.flush();
    assert_eq!(rig.applied(), [1, 2, 3]);
    assert_eq!(rig.acks(), [12]);
    let copies = rig
        .events
        .iter()
        .filter_map(|event| if let Event::Message(message) = event { Some(message) } else { None });
    let copies = copies.filter(|message| message.message_id == message_id(42));
    let copies: Vec<&event::Message> = copies.collect();
    assert_eq!(copies.len(), 1);
    assert_eq!((copies[0].sender.as_str(), &copies[0].payload[..]), ("alice", &[42_u8][..]));
    assert_eq!(copies[0].device, None);
}

/// Seen to fail when: `own_copy` applies without asking `Incoming::envelope`.
#[test]
fn an_own_copy_behind_a_hole_is_accepted_but_not_applied() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 1));
    rig.send(42);
    let own = wire::Accepted { offset: Some(12), previous_sequence: 2, ..accepted(1, 42, 3) };
    rig.handle(server_frame::Frame::Accepted(own));
    assert_eq!(rig.applied(), [1]);
    assert_eq!(rig.count(|event| matches!(event, Event::Accepted(_))), 1);
    assert_eq!(rig.disconnects, [DisconnectReason::ServerFault]);
    assert_eq!(rig.session.unanswered_count(), 0);
}

/// Seen to fail when: `on_accepted` applies a copy although no offset came.
#[test]
fn an_acceptance_without_an_offset_leaves_the_copy_to_a_delivery() {
    let mut rig = Rig::online();
    rig.send(42);
    rig.accept(1, 42, 1);
    assert_eq!(rig.applied(), Vec::<u64>::new());
    let copy = wire::Deliver { sender: "alice".into(), message_id: id_bytes(42), ..deliver(10, 0, 1) };
    rig.deliver(copy);
    assert_eq!(rig.applied(), [1]);
}

/// Seen to fail when: `tell_if_caught_up` compares with `<`, or does not take the offset.
#[test]
fn caught_up_is_told_once_the_end_offset_is_reached() {
    let mut rig = Rig::new();
    rig.login(wire::Welcome { end_offset: 12, ..welcome(10) });
    let caught_up = |event: &Event| matches!(event, Event::CaughtUp { .. });
    rig.deliver(deliver(11, 0, 1));
    assert_eq!(rig.count(caught_up), 0);
    rig.deliver(deliver(12, 1, 2));
    assert_eq!(rig.count(caught_up), 1);
    rig.deliver(deliver(13, 2, 3));
    assert_eq!(rig.count(caught_up), 1);
}

/// Proves: G-INCARNATION-1 (tells its user once, takes new bases)
/// Seen to fail when: `Incoming::rewind` keeps the last sequences.
#[test]
fn a_new_incarnation_resets_every_base_and_is_told_once() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 8));
    rig.lose_connection();
    let other = Bytes::copy_from_slice(&[2; 16]);
    rig.login(wire::Welcome { incarnation: other.clone(), ..welcome(5) });
    rig.deliver(deliver(6, 0, 3));
    rig.lose_connection();
    rig.login(wire::Welcome { incarnation: other, ..welcome(6) });
    assert_eq!(rig.hello().resume_offset, Some(6));
    rig.deliver(deliver(7, 3, 4));
    assert_eq!(rig.applied(), [8, 3, 4]);
    let rewound = |event: &Event| matches!(event, Event::Gap(gap) if gap.reason == GapReason::HistoryRewound);
    assert_eq!(rig.count(rewound), 1);
}

/// Seen to fail when: `Incoming::stored` does not tell rewound entries from new ones.
#[test]
fn what_was_stored_of_an_old_history_acknowledges_nothing_of_the_new_one() {
    let mut rig = Rig::online();
    rig.stores = false;
    rig.deliver(deliver(900, 0, 8));
    rig.lose_connection();
    rig.login(wire::Welcome { incarnation: Bytes::copy_from_slice(&[2; 16]), ..welcome(5) });
    rig.deliver(deliver(6, 0, 3));
    rig.session.stored(rig.now, Offset(900));
    rig.flush();
    assert!(!rig.acks().contains(&6), "{:?}", rig.acks());
    rig.session.stored(rig.now, Offset(6));
    rig.flush();
    assert_eq!(rig.acks().last(), Some(&6));
}

/// Seen to fail when: `on_deliver` skips the check of `previous_sequence` or `is_foreign`.
#[test]
fn a_delivery_with_an_invalid_field_is_a_server_fault() {
    let broken = [
        wire::Deliver { conversation: "alice".into(), ..deliver(10, 0, 1) },
        wire::Deliver { conversation: "d:bob:carol".into(), ..deliver(10, 0, 1) },
        wire::Deliver { sender: String::new(), ..deliver(10, 0, 1) },
        wire::Deliver { device: "a b".into(), ..deliver(10, 0, 1) },
        wire::Deliver { message_id: Bytes::new(), ..deliver(10, 0, 1) },
        deliver(10, 0, 0),
        deliver(10, 4, 4),
    ];
    for deliver in broken {
        let mut rig = Rig::online();
        let shown = format!("{deliver:?}");
        rig.deliver(deliver);
        assert_eq!((rig.count(is_fault), rig.applied().len()), (1, 0), "{shown}");
    }
}
