//! Tokens end while their sessions live.

use crate::harness::*;
use crate::raw::*;
use crate::traffic::UNHURRIED;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use iris_client::driver::{Driver, DriverConfig, Notice};
use iris_client::raw::RawConn;
use iris_client::session::{Event, Next};
use iris_client::token::TokenSource;
use iris_protocol::wire::{self, client_frame::Frame as ClientFrame, server_frame::Frame};
use iris_protocol::{CloseCode, RejectCode};
use std::time::{Duration, SystemTime};

/// How late a session may end: a tick of the wheel, and what a busy host adds.
const LATE: Duration = Duration::from_secs(1);

/// A gateway that grants no leeway: tokens end when they say.
fn gateway() -> Gateway {
    let environment = vec![("IRIS__TOKENS__LEEWAY", "0s".into())];
    let extra = format!("{UNHURRIED}unclaimed_envelopes = 1000000\nunclaimed_bytes = \"1GiB\"\n");
    Gateway::start(Setup { extra, environment, ..Setup::default() })
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

/// `exp` of a token.
fn end_of(token: &str) -> Duration {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    Duration::from_secs(claims["exp"].as_u64().unwrap())
}

fn assert_on_time(end: Duration) {
    let late = now().saturating_sub(end);
    assert!(now() >= end, "ended {:?} before its token", end.saturating_sub(now()));
    assert!(late < LATE, "ended {late:?} after its token");
}

/// Proves: G-TOKEN-3 (a live session that sends is closed with TOKEN_EXPIRED when its token ends, nothing is accepted after, a
/// login with the token is refused, and a fresh one goes on with what was not accepted)
/// Seen to fail when: `Shard::send_in` does not look at the end of the token.
#[test]
fn f_76_a_live_session_ends_with_its_token() {
    let gateway = gateway();
    let token = gateway.token_for("alice", "phone", "3s");
    let end = end_of(&token);
    let mut idle = logged_in(&gateway, &gateway.token_for("carol", "phone", "3s"));
    let mut busy = logged_in(&gateway, &token);
    let mut accepted = 0_u64;
    let code = loop {
        busy.send_frame(send(wire::send::Target::To("bob".into()), &fresh_id(), 1)).unwrap();
        match answer(&mut busy) {
            Some(Frame::Accepted(answer)) => {
                accepted += 1;
                assert!(
                    answer.server_time < u64::try_from(end.as_millis()).unwrap(),
                    "accepted after the end"
                );
            }
            // A home that is asked faster than its disk writes.
            Some(Frame::Rejected(answer)) => {
                assert_eq!(RejectCode::from_number(answer.code), Some(RejectCode::Busy));
            }
            Some(Frame::Close(close)) => break CloseCode::from_number(close.code),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, Some(CloseCode::TokenExpired));
    assert_on_time(end);
    assert!(accepted > 10, "only {accepted} messages: no traffic, no proof");
    assert_eq!(close_code(&mut idle), Some(CloseCode::TokenExpired));
    let mut late = RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
    late.send_frame(hello(&token)).unwrap();
    assert_eq!(close_code(&mut late), Some(CloseCode::AuthFailed));
}

/// Proves: G-TOKEN-3 (a session whose client has no fresh token waits for one, and then goes on with what was not answered)
/// Seen to fail when: the session is closed with AUTH_FAILED.
#[test]
fn f_76_a_client_goes_on_with_a_fresh_token() {
    let gateway = gateway();
    let token = TokenSource::Fixed(gateway.token_for("alice", "phone", "2s"));
    let mut alice = Driver::new(DriverConfig::new(gateway.over_tls(), token)).unwrap();
    wait_welcome(&mut alice);
    let closed = wait_for(&mut alice, "close", |notice| match notice {
        Notice::Event(Event::Closed(closed)) => Some(closed.clone()),
        Notice::Event(_) | Notice::Sending { .. } | Notice::Lost { .. } => None,
    });
    assert_eq!((closed.code, closed.next), (Some(CloseCode::TokenExpired), Next::FreshToken));
    alice.submit(to("bob"), Bytes::from_static(b"later")).unwrap();
    alice.replace_token(&gateway.token("alice", "phone"));
    wait_welcome(&mut alice);
    let mut bob = gateway.device(gateway.over_tls(), "bob", "phone");
    wait_for(&mut alice, "acceptance", |notice| {
        matches!(notice, Notice::Event(Event::Accepted(_))).then_some(())
    });
    assert_eq!(text(&wait_message(&mut bob)), "later");
}

fn refresh(conn: &mut RawConn, token: &str) -> Frame {
    let refresh = wire::Refresh { request_id: 9, token: token.to_owned() };
    conn.send_frame(ClientFrame::Refresh(refresh)).unwrap();
    loop {
        let frame = next_frame(conn).unwrap();
        if matches!(frame, Frame::Refreshed(_) | Frame::Rejected(_)) {
            return frame;
        }
    }
}

/// Proves: G-TOKEN-3 (a Refresh keeps a live session beyond the end of its first token, to the end of the second; one with an
/// ended token is refused and changes nothing)
/// Seen to fail when: `Shard::refreshed` does not take the new end.
#[test]
fn f_73_a_refreshed_session_lives_as_long_as_its_new_token() {
    let gateway = gateway();
    let ended = gateway.token_for("alice", "phone", "1s");
    let first = gateway.token_for("alice", "phone", "3s");
    let mut conn = logged_in(&gateway, &first);
    wait_until("the end of a token", || now() >= end_of(&ended));
    let Frame::Rejected(rejected) = refresh(&mut conn, &ended) else { panic!("an ended token was taken") };
    assert_eq!(RejectCode::from_number(rejected.code), Some(RejectCode::TokenRefused));
    let second = gateway.token_for("alice", "phone", "4s");
    let Frame::Refreshed(refreshed) = refresh(&mut conn, &second) else { panic!("not refreshed") };
    assert_eq!(Duration::from_millis(refreshed.expires_at), end_of(&second));
    wait_until("the end of the first token", || now() >= end_of(&first) + LATE);
    conn.send_frame(send(wire::send::Target::To("bob".into()), &fresh_id(), 1)).unwrap();
    assert!(matches!(answer(&mut conn), Some(Frame::Accepted(_))));
    assert_eq!(close_code(&mut conn), Some(CloseCode::TokenExpired));
    assert_on_time(end_of(&second));
}
