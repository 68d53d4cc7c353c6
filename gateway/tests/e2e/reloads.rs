//! SIGHUP: what changes, what stays, and who notices.

use crate::harness::*;
use crate::raw::*;
use iris_client::endpoint::Endpoint;
use iris_client::raw::RawConn;
use iris_protocol::RejectCode;
use iris_protocol::wire::send::Target::To;
use iris_protocol::wire::{self, client_frame::Frame as ClientFrame, server_frame::Frame};
use std::path::Path;

fn over_tls(endpoint: &Endpoint, token: &str) -> Option<RawConn> {
    let mut conn = RawConn::connect(endpoint, PATIENCE).unwrap();
    conn.send_frame(hello(token)).ok()?;
    matches!(next_frame(&mut conn), Some(Frame::Welcome(_))).then_some(conn)
}

fn lives(conn: &mut RawConn, nonce: u64) {
    conn.send_frame(ClientFrame::Ping(wire::Ping { nonce })).unwrap();
    assert!(matches!(next_frame(conn), Some(Frame::Pong(pong)) if pong.nonce == nonce));
}

/// Another authority, and a certificate of it.
fn another_certificate(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    assert!(run(&["tls", "selfsigned", "--out", folder.to_str().unwrap()]).status.success());
}

/// Proves: G-RELOAD-1 (a new certificate is shown to those who come from now on; who is connected stays, and the old authority's
/// clients are the ones that are refused)
/// Seen to fail when: `InForce::put_in_force` leaves the certificate.
#[test]
fn a_new_certificate_is_shown_from_now_on_and_nobody_is_dropped() {
    let mut gateway = Gateway::start(Setup::default());
    let (alice, bob) = (gateway.token("alice", "phone"), gateway.token("bob", "phone"));
    let old = gateway.over_tls();
    let mut stays = over_tls(&old, &alice).unwrap();
    let other = gateway.dir.path().join("other");
    another_certificate(&other);
    for name in ["server.pem", "server.key"] {
        std::fs::copy(other.join(name), gateway.dir.path().join(name)).unwrap();
    }
    gateway.reload(|_| {});
    lives(&mut stays, 1);
    let new = Endpoint::tls(gateway.tls_address(), &other.join("ca.pem")).unwrap();
    lives(&mut over_tls(&new, &bob).unwrap(), 2);
    let stranger = Endpoint::tls(gateway.tls_address(), &gateway.dir.path().join("ca.pem")).unwrap();
    assert!(over_tls(&stranger, &bob).is_none(), "the old certificate is still shown");
    lives(&mut stays, 3);
}

/// Proves: G-RELOAD-1 (limits of users and addresses and the log's level hold at once, for those who are connected too; what waits for a
/// restart is named)
/// Seen to fail when: `Core::look_at_control` gives the shard nothing.
#[test]
fn limits_of_a_reload_hold_for_those_who_are_connected() {
    let mut gateway = Gateway::start(Setup::default());
    let mut conn = logged_in(&gateway, &gateway.token("alice", "phone"));
    assert!(!gateway.log().contains("\"level\":\"DEBUG\""));
    let answer = gateway.reload(|setup| {
        setup.level = "debug";
        setup.durability = "os";
        setup.extra =
            "[limits]\nsends_per_second = 1\nsends_burst = 1\naddress_allow = [\"127.0.0.0/8\"]\n".into();
    });
    for key in ["limits.sends_burst", "limits.address_allow", "log.level"] {
        assert!(answer.contains(key), "{key} is not in {answer}");
    }
    let waits = |gateway: &Gateway| {
        gateway.log().lines().rfind(|line| line.contains("wait for a restart")).map(str::to_owned)
    };
    wait_until("the keys that wait", || waits(&gateway).is_some());
    let waits = waits(&gateway).unwrap();
    assert!(waits.contains("storage.durability") && !waits.contains("limits."), "{waits}");
    // The cores take the limits within a tick of theirs, which comes ten times a second: long before the old burst is used up.
    let mut sent = 0;
    wait_until("the new limits", || {
        sent += 2;
        conn.send_frame(send(To("bob".into()), &fresh_id(), 1)).unwrap();
        conn.send_frame(send(To("bob".into()), &fresh_id(), 1)).unwrap();
        (0..2).filter(|_| is_rate_limited(&answer_of(&mut conn))).count() > 0
    });
    assert!(sent < 100, "{sent} messages were taken, as by the old limits");
    lives(&mut logged_in(&gateway, &gateway.token("carol", "phone")), 1);
    assert!(gateway.log().contains("\"level\":\"DEBUG\""), "the level has not changed");
    lives(&mut conn, 2);
}

fn is_rate_limited(frame: &Frame) -> bool {
    let limited = Some(RejectCode::RateLimited);
    matches!(frame, Frame::Rejected(rejected) if RejectCode::from_number(rejected.code) == limited)
}

fn answer_of(conn: &mut RawConn) -> Frame {
    answer(conn).unwrap_or_else(|| panic!("hung up on"))
}

/// Proves: G-RELOAD-1 (a file with a fault, or one that names such a file, changes nothing at all, and says so)
/// Seen to fail when: `Reload::read` goes on with problems.
#[test]
fn a_faulty_file_changes_nothing_and_says_so() {
    let mut gateway = Gateway::start(Setup::default());
    let alice = gateway.token("alice", "phone");
    let at = |name: &str| gateway.dir.path().join(name);
    let (key, jwks, certificate) = (at("server.key"), at("jwks.json"), at("server.pem"));
    let strict = "[limits]\nsends_burst = 1\nsends_per_second = 1\n";
    let kept = |gateway: &mut Gateway, what: &str, fault: &str, extra: &str| {
        let answer = gateway.reload(|setup| extra.clone_into(&mut setup.extra));
        assert!(answer.contains("not reloaded") && answer.contains("WARN"), "{what}: {answer}");
        assert!(answer.contains(fault), "{what}: {answer}");
        lives(&mut over_tls(&gateway.over_tls(), &alice).unwrap(), 1);
    };
    kept(&mut gateway, "an unknown key", "limits.sends", &format!("{strict}sends = 1\n"));
    kept(&mut gateway, "a value out of range", "limits.devices", &format!("{strict}devices = 0\n"));
    kept(&mut gateway, "no TOML", "iris.toml", &format!("{strict}[[[\n"));
    for file in [&key, &jwks, &certificate] {
        let before = std::fs::read(file).unwrap();
        std::fs::write(file, "nothing of use").unwrap();
        kept(&mut gateway, "a file of nothing", file.to_str().unwrap(), strict);
        std::fs::write(file, before).unwrap();
    }
    let mut conn = logged_in(&gateway, &gateway.token("carol", "phone"));
    for _ in 0..20 {
        conn.send_frame(send(To("bob".into()), &fresh_id(), 1)).unwrap();
        assert!(!is_rate_limited(&answer_of(&mut conn)));
    }
}
