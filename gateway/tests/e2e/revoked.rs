//! Tokens that are revoked while their sessions live.

use crate::admin::{Reply, with_admin};
use crate::harness::*;
use crate::raw::*;
use crate::traffic::UNHURRIED;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use iris_client::raw::RawConn;
use iris_protocol::wire::{self, client_frame::Frame as ClientFrame, server_frame::Frame};
use iris_protocol::{CloseCode, RejectCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};

/// How late a session may end.
const LATE: Duration = Duration::from_secs(1);

fn gateway() -> Gateway {
    let extra = format!("{UNHURRIED}unclaimed_envelopes = 1000000\nunclaimed_bytes = \"1GiB\"\n");
    Gateway::start(Setup { extra, ..with_admin() })
}

fn revoke(gateway: &Gateway, what: &Value) -> Value {
    let reply: Reply = gateway.order("POST", "/api/v1/revocations", &what.to_string());
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(reply.json()["in_force"], true, "{reply:?}");
    reply.json()
}

fn claim(token: &str, name: &str) -> Value {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()[name].clone()
}

/// A token that is issued in a later second than a revocation was made.
fn token_after(gateway: &Gateway, revocation: &Value, user: &str, device: &str) -> String {
    let made_s = revocation["made_at_ms"].as_u64().unwrap() / 1000;
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    wait_until("the next second", || now() > made_s);
    gateway.token(user, device)
}

fn assert_refused(gateway: &Gateway, token: &str) {
    let mut conn = RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
    conn.send_frame(hello(token)).unwrap();
    assert_eq!(close_code(&mut conn), Some(CloseCode::AuthFailed));
}

fn refreshed(conn: &mut RawConn, token: &str) -> Result<(), Option<RejectCode>> {
    conn.send_frame(ClientFrame::Refresh(wire::Refresh { request_id: 9, token: token.to_owned() })).unwrap();
    loop {
        let frame = next_frame(conn).unwrap();
        if let Frame::Rejected(rejected) = frame {
            return Err(RejectCode::from_number(rejected.code));
        }
        if matches!(frame, Frame::Refreshed(_)) {
            return Ok(());
        }
    }
}

/// Proves: G-TOKEN-4 (a session that sends all the time ends within a second of the revocation of its token, nothing is accepted
/// after, the token is refused by Hello and Refresh, also after SIGKILL, and another token of the device is not)
/// Seen to fail when: `Core::end_revoked` looks at users and devices only; or `TokenGate::check` does not ask `is_revoked`.
#[test]
fn f_76_a_revoked_token_ends_its_session_and_opens_no_other() {
    let mut gateway = gateway();
    let (bad, good) = (gateway.token("alice", "phone"), gateway.token("alice", "phone"));
    let mut other = logged_in(&gateway, &gateway.token("alice", "tablet"));
    let mut busy = logged_in(&gateway, &bad);
    let (mut accepted, mut revoked_at) = (0_u64, None);
    let code = loop {
        busy.send_frame(send(wire::send::Target::To("bob".into()), &fresh_id(), 1)).unwrap();
        match answer(&mut busy) {
            Some(Frame::Accepted(_)) => accepted += 1,
            Some(Frame::Rejected(refused)) => {
                assert_eq!(RejectCode::from_number(refused.code), Some(RejectCode::Busy));
            }
            Some(Frame::Close(close)) => break CloseCode::from_number(close.code),
            other => panic!("{other:?}"),
        }
        if accepted == 20 && revoked_at.is_none() {
            revoke(&gateway, &json!({ "jti": claim(&bad, "jti") }));
            revoked_at = Some((Instant::now(), accepted));
        }
        assert!(revoked_at.is_none_or(|(at, _)| at.elapsed() < LATE), "the session lives");
    };
    assert_eq!(code, Some(CloseCode::AuthFailed));
    assert_eq!(revoked_at.unwrap().1, accepted, "accepted after the revocation was answered");
    assert_refused(&gateway, &bad);
    assert_eq!(refreshed(&mut other, &bad), Err(Some(RejectCode::TokenRefused)));
    let mut again = logged_in(&gateway, &good);
    assert_eq!(refreshed(&mut again, &bad), Err(Some(RejectCode::TokenRefused)));
    gateway.kill();
    gateway.restart();
    assert_refused(&gateway, &bad);
    let mut again = logged_in(&gateway, &good);
    assert_eq!(refreshed(&mut again, &bad), Err(Some(RejectCode::TokenRefused)));
}

/// Proves: G-TOKEN-4 (by device and by user: every token issued up to then, whatever was refreshed in between; later ones and other
/// devices and users are not touched; the same after SIGKILL)
/// Seen to fail when: `take_refresh` does not keep the mark of the new token; or `end_revoked` takes a device for its user.
#[test]
fn f_76_revoked_devices_and_users_end_with_what_they_were_issued() {
    let mut gateway = gateway();
    let token = |user: &str, device: &str| gateway.token(user, device);
    let (phone_token, tablet_token, bob_token) =
        (token("alice", "phone"), token("alice", "tablet"), token("bob", "phone"));
    let mut phone = logged_in(&gateway, &phone_token);
    let mut tablet = logged_in(&gateway, &tablet_token);
    let mut bob = logged_in(&gateway, &bob_token);
    let first = revoke(&gateway, &json!({ "user": "alice", "device": "tablet" }));
    assert_eq!(close_code(&mut tablet), Some(CloseCode::AuthFailed));
    assert_eq!(refreshed(&mut phone, &phone_token), Ok(()), "another device was ended");
    assert_refused(&gateway, &tablet_token);
    let tablet_later = token_after(&gateway, &first, "alice", "tablet");
    let mut tablet = logged_in(&gateway, &tablet_later);

    let second = revoke(&gateway, &json!({ "user": "alice" }));
    assert_eq!(close_code(&mut tablet), Some(CloseCode::AuthFailed));
    assert_eq!(close_code(&mut phone), Some(CloseCode::AuthFailed));
    assert_eq!(refreshed(&mut bob, &bob_token), Ok(()), "another user was ended");
    let phone_later = token_after(&gateway, &second, "alice", "phone");
    let mut phone = logged_in(&gateway, &phone_later);

    // A session lives by its newest token: the revocation of an older one of the same device does not end it.
    let newest = gateway.token("alice", "phone");
    assert_eq!(refreshed(&mut phone, &newest), Ok(()));
    revoke(&gateway, &json!({ "jti": claim(&phone_later, "jti") }));
    assert_eq!(refreshed(&mut phone, &newest), Ok(()));
    revoke(&gateway, &json!({ "jti": claim(&newest, "jti") }));
    assert_eq!(close_code(&mut phone), Some(CloseCode::AuthFailed));

    gateway.kill();
    gateway.restart();
    for revoked in [&phone_token, &tablet_token, &tablet_later, &phone_later, &newest] {
        assert_refused(&gateway, revoked);
    }
    logged_in(&gateway, &bob_token);
    logged_in(&gateway, &gateway.token("alice", "phone"));
    let listed = gateway.order("GET", "/api/v1/revocations", "").json();
    assert_eq!(listed["revocations"].as_array().unwrap().len(), 4, "{listed}");
    assert_eq!(listed["revocations"][0]["device"], "tablet");
}

/// Proves: G-TOKEN-4 (a device that is revoked while messages stream to it gets nothing behind its Close, and loses none of them)
/// Seen to fail when: the shard's `end` forgets the session without a Close.
#[test]
fn f_28_a_revoked_device_gets_nothing_more_and_nothing_is_lost() {
    let gateway = gateway();
    let mut bob = logged_in(&gateway, &gateway.token("bob", "phone"));
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    for number in 0..40 {
        send_accepted(&mut alice, to("bob"), &format!("m{number}"));
    }
    let revocation = revoke(&gateway, &json!({ "user": "bob", "device": "phone" }));
    for number in 40..60 {
        send_accepted(&mut alice, to("bob"), &format!("m{number}"));
    }
    assert_eq!(close_code(&mut bob), Some(CloseCode::AuthFailed));
    assert!(next_frame(&mut bob).is_none(), "a frame behind the Close");
    token_after(&gateway, &revocation, "bob", "phone");
    let mut bob = gateway.device(gateway.over_tls(), "bob", "phone");
    let expected: Vec<String> = (0..60).map(|number| format!("m{number}")).collect();
    assert_eq!(caught_up(&mut bob), expected);
}

/// Proves: G-TOKEN-4 (whoever logs in while its user is revoked, and moves between cores meanwhile, has no session afterwards)
#[test]
fn f_76_a_login_in_the_middle_of_a_revocation_leaves_no_session() {
    let gateway = gateway();
    let at = |name: &str| gateway.dir.path().join(name).to_str().unwrap().to_owned();
    let (key, out) = (at("issuer.key"), at("tokens"));
    let many = ["--users", "u%d", "--count", "400", "--device", "phone", "--out", &out];
    let issued = run(&[&["token", "issue", "--key", &key], &many[..]].concat());
    assert!(issued.status.success());
    for (number, line) in (0..).zip(std::fs::read_to_string(out).unwrap().lines()) {
        let words: Vec<&str> = line.split(' ').collect();
        let mut conn = RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
        let body = json!({ "user": words[0] });
        std::thread::scope(|scope| {
            scope.spawn(|| revoke(&gateway, &body));
            // The moment of the Hello is the fault, not a wait for something.
            let moment = Instant::now() + Duration::from_micros(50 * (number % 100));
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
            conn.send_frame(hello(words[2])).unwrap();
        });
        assert_eq!(close_code(&mut conn), Some(CloseCode::AuthFailed), "{line}");
    }
}

/// Proves: G-TOKEN-4 (what is no revocation is refused, and a damaged file of revocations refuses the start)
/// Seen to fail when: a damaged file counts as none.
#[test]
fn a_damaged_file_of_revocations_refuses_the_start() {
    let mut gateway = gateway();
    let post = |body: &str| gateway.order("POST", "/api/v1/revocations", body);
    for body in [
        r#"{"jti":""}"#,
        r#"{"device":"phone"}"#,
        r#"{"jti":"a","user":"alice"}"#,
        r#"{"user":"a:b"}"#,
        &json!({ "jti": "x".repeat(129) }).to_string(),
    ] {
        post(body).assert_refused(400, "INVALID");
    }
    revoke(&gateway, &json!({ "user": "alice" }));
    gateway.kill();
    let path = gateway.data_dir().join("REVOCATIONS");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, whole.replace("alice", "alicf")).unwrap();
    assert_eq!(gateway.try_restart(), Err(Some(68)), "{}", gateway.log());
    std::fs::write(&path, whole.replace("revocations 1", "revocations 2")).unwrap();
    assert_eq!(gateway.try_restart(), Err(Some(69)), "{}", gateway.log());
    std::fs::write(&path, whole).unwrap();
    gateway.restart();
}
