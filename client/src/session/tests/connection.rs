//! Claims about logging in, staying alive and coming back.

#![cfg(test)]

use super::*;
use crate::session::{Backoff, Next};
use iris_protocol::{CloseCode, RejectCode};

/// Seen to fail when: `connected` names an offset although none is stored.
#[test]
fn a_device_without_state_names_no_offset() {
    let mut rig = Rig::new();
    rig.login(wire::Welcome { linked_now: true, ..welcome(40) });
    assert_eq!(rig.hello().resume_offset, None);
    assert_eq!((rig.hello().versions.as_slice(), rig.hello().window), (&[1][..], 256));
    rig.lose_connection();
    rig.login(welcome(40));
    assert_eq!(rig.hello().resume_offset, Some(40));
}

/// Seen to fail when: `delay` is not multiplied by `2^attempts`, or the jitter is left out.
#[test]
fn reconnects_back_off_with_full_jitter() {
    let base = Duration::from_millis(100);
    let cap = Duration::from_secs(3);
    let backoff = Backoff { base, cap, ..Backoff::default() };
    let mut longest = [Duration::ZERO; 8];
    let mut shortest = [Duration::MAX; 8];
    for jitter_seed in 0..200 {
        let config = SessionConfig { backoff, jitter_seed, ..SessionConfig::default() };
        let mut rig = Rig::with(config, DeviceState::default());
        for attempt in 0..8 {
            rig.lose_connection();
            let delay = rig.session.next_deadline().unwrap().since(rig.now);
            longest[attempt] = longest[attempt].max(delay);
            shortest[attempt] = shortest[attempt].min(delay);
            rig.pass(delay);
            assert_eq!(rig.connects, attempt + 1);
        }
    }
    for attempt in 0..8 {
        let bound = (base * 2_u32.pow(u32::try_from(attempt).unwrap())).min(cap);
        assert!(longest[attempt] < bound, "attempt {attempt}: {:?}", longest[attempt]);
        assert!(longest[attempt] > bound * 9 / 10, "attempt {attempt} never waits long");
        assert!(shortest[attempt] < bound / 10, "attempt {attempt} never waits briefly");
    }
}

/// Seen to fail when: `attempts` is set to 0 by every Welcome.
#[test]
fn only_a_stable_connection_resets_the_backoff() {
    let mut rig = Rig::new();
    for _ in 0..12 {
        rig.login(welcome(0));
        rig.lose_connection();
        rig.pass(Duration::from_mins(1));
    }
    assert_eq!(rig.session.link.attempts, 12);
    rig.login(welcome(0));
    rig.pass(Duration::from_mins(1));
    rig.lose_connection();
    assert_eq!(rig.session.link.attempts, 1);
}

/// Seen to fail when: `go_offline` plans again while a reconnect is planned.
#[test]
fn a_second_notice_of_the_same_end_changes_nothing() {
    let mut rig = Rig::online();
    rig.lose_connection();
    let planned = rig.session.next_deadline();
    rig.lose_connection();
    assert_eq!(rig.session.next_deadline(), planned);
}

/// Seen to fail when: the hint of Close is ignored.
#[test]
fn a_close_with_a_hint_waits_for_it() {
    let mut rig = Rig::online();
    rig.close(CloseCode::Overloaded.number(), Some(30_000));
    assert_eq!(rig.disconnects, [DisconnectReason::ClosedByServer]);
    let wait = rig.session.next_deadline().unwrap().since(rig.now);
    assert!(wait >= Duration::from_secs(30) && wait < Duration::from_secs(31), "{wait:?}");
}

/// Seen to fail when: `on_close` gives a client's fault no hint.
#[test]
fn after_a_fault_of_its_own_a_client_comes_back_at_the_longest_wait_only() {
    for code in [CloseCode::MalformedFrame, CloseCode::InvalidWindow, CloseCode::AckTooHigh] {
        let mut rig = Rig::online();
        rig.close(code.number(), None);
        let wait = rig.session.next_deadline().unwrap().since(rig.now);
        assert!(wait >= Duration::from_mins(1), "{code}: {wait:?}");
    }
}

/// Proves: G-DEVICE-3 (a device that was taken over stays away)
/// Seen to fail when: `after_close(Stop)` is `Next::Reconnect`.
#[test]
fn after_a_conflict_nothing_reconnects_by_itself() {
    let mut rig = Rig::online();
    rig.close(CloseCode::Conflict.number(), None);
    rig.lose_connection();
    rig.pass(Duration::from_hours(24));
    assert_eq!((rig.connects, rig.session.next_deadline()), (0, None));
    assert_eq!(rig.session.next(), Next::Stop);
    rig.session.restart(rig.now);
    rig.pass(Duration::from_mins(1));
    assert_eq!(rig.connects, 1);
}

/// Seen to fail when: `after_close(FreshToken)` is `Next::Reconnect`.
#[test]
fn a_refused_token_waits_for_a_fresh_one_and_then_backs_off() {
    for code in [CloseCode::AuthFailed, CloseCode::TokenExpired] {
        let mut rig = Rig::new();
        rig.session.connected(rig.now, "old");
        rig.close(code.number(), None);
        rig.lose_connection();
        rig.pass(Duration::from_hours(1));
        assert_eq!((rig.connects, rig.session.next()), (0, Next::FreshToken), "{code}");
        rig.session.restart(rig.now);
        assert!(rig.session.next_deadline().is_some());
        rig.pass(Duration::from_mins(1));
        assert_eq!(rig.connects, 1);
    }
}

/// Seen to fail when: `resume_refused` is not set.
#[test]
fn an_offset_that_is_too_high_for_the_server_is_not_named_again() {
    let mut rig = Rig::online();
    rig.deliver(deliver(900, 0, 8));
    rig.lose_connection();
    rig.session.connected(rig.now, "token");
    rig.drain();
    assert_eq!(rig.hello().resume_offset, Some(900));
    rig.close(CloseCode::AckTooHigh.number(), None);
    rig.pass(Duration::from_mins(1));
    rig.login(wire::Welcome { incarnation: Bytes::copy_from_slice(&[2; 16]), ..welcome(5) });
    assert_eq!(rig.hello().resume_offset, None);
    rig.deliver(deliver(6, 0, 3));
    assert_eq!(rig.applied(), [8, 3]);
}

/// Seen to fail when: the login deadline in `tick` is left out.
#[test]
fn a_hello_without_an_answer_reconnects() {
    let mut rig = Rig::new();
    rig.session.connected(rig.now, "token");
    rig.pass(Duration::from_secs(20));
    assert_eq!(rig.disconnects, [DisconnectReason::LoginTimeout]);
    assert!(rig.session.next_deadline().is_some());
}

/// Proves: G-EDGE-2 (a dead peer is found)
/// Seen to fail when: `ping` is not called, or `dead_at` is not looked at.
#[test]
fn a_silent_server_is_asked_for_life_and_then_left() {
    let mut rig = Rig::online();
    rig.pass(Duration::from_secs(59));
    assert!(rig.frames.is_empty());
    rig.pass(Duration::from_secs(1));
    assert!(matches!(rig.frames[..], [client_frame::Frame::Ping(_)]));
    rig.pass(Duration::from_secs(19));
    assert_eq!((rig.frames.len(), rig.disconnects.len()), (1, 0));
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.disconnects, [DisconnectReason::HeartbeatTimeout]);
}

/// Seen to fail when: `last_received` is set by Pong alone.
#[test]
fn any_frame_counts_as_life() {
    let mut rig = Rig::online();
    for sequence in 1..=5 {
        rig.pass(Duration::from_secs(70));
        rig.deliver(deliver(sequence, sequence - 1, sequence));
    }
    assert_eq!(rig.disconnects, []);
}

/// Seen to fail when: `on_ping` does nothing.
#[test]
fn a_ping_is_answered_with_its_nonce() {
    let mut rig = Rig::online();
    rig.handle(server_frame::Frame::Ping(wire::Ping { nonce: 17 }));
    assert_eq!(rig.frames, [client_frame::Frame::Pong(wire::Pong { nonce: 17 })]);
}

/// Proves: G-DRAIN-1 (nobody is left guessing)
/// Seen to fail when: `settle` leaves at once, or `may_transmit` ignores the leave.
#[test]
fn after_go_away_answers_are_awaited_and_nothing_new_is_sent() {
    let mut rig = Rig::online();
    rig.send(1);
    let go_away = wire::GoAway { reason: 0, reconnect_after_ms: 4000, close_after_ms: 2000 };
    rig.handle(server_frame::Frame::GoAway(go_away));
    rig.send(2);
    assert_eq!((rig.sent(), rig.disconnects.len()), (vec![1], 0));
    let said_at = rig.now;
    rig.pass(Duration::from_millis(500));
    rig.accept(1, 1, 1);
    assert_eq!(rig.disconnects, [DisconnectReason::GoAway]);
    assert_eq!(rig.session.next_deadline(), Some(said_at.after(Duration::from_secs(4))));
    rig.login(welcome(0));
    assert_eq!(rig.sent(), [1, 2]);
}

/// Proves: G-TOKEN-3 (who is told that the token ends goes on sending and receiving until the close)
/// Seen to fail when: `on_go_away` does not look at the reason.
#[test]
fn a_token_that_ends_is_no_reason_to_leave() {
    let mut rig = Rig::online();
    let reason = CloseCode::TokenExpired.number();
    let go_away = wire::GoAway { reason, reconnect_after_ms: 1000, close_after_ms: 1000 };
    rig.handle(server_frame::Frame::GoAway(go_away));
    rig.send(1);
    rig.pass(Duration::from_secs(2));
    assert_eq!((rig.sent(), rig.disconnects.len()), (vec![1], 0));
}

/// Seen to fail when: the deadline of the leave is not looked at.
#[test]
fn after_go_away_the_connection_ends_in_time() {
    let mut rig = Rig::online();
    rig.send(1);
    let go_away = wire::GoAway { reason: 0, reconnect_after_ms: 4000, close_after_ms: 2000 };
    rig.handle(server_frame::Frame::GoAway(go_away));
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.disconnects, [DisconnectReason::GoAway]);
}

/// Seen to fail when: `handle_login` lets other frames pass, or `handle_online` a second Welcome.
#[test]
fn frames_at_the_wrong_time_are_server_faults() {
    let mut rig = Rig::new();
    rig.session.connected(rig.now, "token");
    rig.deliver(deliver(10, 0, 1));
    assert_eq!((rig.count(is_fault), rig.applied().len()), (1, 0));
    let mut rig = Rig::online();
    rig.handle(server_frame::Frame::Welcome(welcome(0)));
    assert_eq!(rig.count(is_fault), 1);
    let mut rig = Rig::new();
    rig.login(wire::Welcome { version: 2, ..welcome(0) });
    assert_eq!(rig.count(is_fault), 1);
    let mut rig = Rig::new();
    rig.login(wire::Welcome { incarnation: Bytes::new(), ..welcome(0) });
    assert_eq!(rig.count(is_fault), 1);
}

/// Seen to fail when: `handle` does not ask whether a connection is up.
#[test]
fn a_late_frame_of_an_ended_connection_is_ignored() {
    let mut rig = Rig::online();
    rig.lose_connection();
    rig.deliver(deliver(10, 0, 1));
    assert!(rig.events.is_empty());
}

/// Seen to fail when: `drop_frames` is left out.
#[test]
fn frames_of_an_ended_connection_are_not_written_to_the_next() {
    let mut rig = Rig::online();
    let to = Target::To(UserId::parse("bob").unwrap());
    rig.session.send(rig.now, to, message_id(1), Bytes::new()).unwrap();
    rig.session.disconnected(rig.now);
    rig.session.connected(rig.now, "token");
    rig.drain();
    assert!(matches!(rig.frames[..], [client_frame::Frame::Hello(_)]));
}

/// Seen to fail when: `handle` treats a frame of an unknown kind as a fault.
#[test]
fn a_frame_of_a_later_version_is_ignored() {
    let mut rig = Rig::online();
    rig.session.handle(rig.now, wire::ServerFrame { frame: None });
    rig.drain();
    assert!(rig.events.is_empty() && rig.disconnects.is_empty());
}

/// Seen to fail when: `on_answer` does not close the request.
#[test]
fn requests_are_answered_by_their_ids() {
    let mut rig = Rig::online();
    let refresh = rig.session.refresh(rig.now, "fresh").unwrap();
    let devices = rig.session.devices(rig.now).unwrap();
    let unlink = rig.session.unlink(rig.now, "old").unwrap();
    rig.handle(server_frame::Frame::Refreshed(wire::Refreshed { request_id: refresh, expires_at: 9 }));
    rig.handle(server_frame::Frame::DeviceList(wire::DeviceList { request_id: devices, devices: vec![] }));
    rig.reject(unlink, RejectCode::UnknownDevice.number(), None);
    assert_eq!(
        rig.count(|event| matches!(event, Event::Refreshed { request_id, .. } if *request_id == refresh)),
        1
    );
    assert_eq!(
        rig.count(|event| matches!(event, Event::Devices { request_id, .. } if *request_id == devices)),
        1
    );
    let rejected =
        |event: &Event| matches!(event, Event::RequestRejected { request_id, .. } if *request_id == unlink);
    assert_eq!(rig.count(rejected), 1);
    rig.handle(server_frame::Frame::Refreshed(wire::Refreshed { request_id: refresh, expires_at: 9 }));
    assert_eq!(rig.count(is_fault), 1);
}

/// Seen to fail when: `answer_deadline` looks at messages alone.
#[test]
fn an_unanswered_request_reconnects() {
    let mut rig = Rig::online();
    rig.session.devices(rig.now).unwrap();
    rig.pass(Duration::from_secs(20));
    assert_eq!(rig.disconnects, [DisconnectReason::AnswerTimeout]);
    assert!(rig.session.devices(rig.now).is_err());
}

/// Seen to fail when: `close` does not flush, or leaves `next` as it was.
#[test]
fn a_closed_session_acknowledges_and_stays_away() {
    let mut rig = Rig::online();
    rig.deliver(deliver(10, 0, 1));
    rig.session.close(rig.now);
    rig.drain();
    rig.lose_connection();
    rig.pass(Duration::from_hours(1));
    assert_eq!(rig.acks(), [10]);
    assert_eq!((rig.disconnects.as_slice(), rig.connects), (&[DisconnectReason::ByCaller][..], 0));
}
