//! Connections that are reset, that crawl, and that come back all at once.

use crate::harness::*;
use crate::raw::*;
use crate::traffic::Random;
use iris_client::raw::RawConn;
use iris_protocol::CloseCode;
use iris_protocol::wire::{self, client_frame::Frame as ClientFrame, server_frame::Frame};
use std::time::{Duration, Instant};

const RESETS: u64 = 1_500;
const RETURNING: usize = 300;

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Logs in. The Hello of an earlier connection of the device, which was reset, may reach its core later than this one's, and take
/// the session over.
fn log_in(gateway: &Gateway, token: &str) -> RawConn {
    loop {
        let mut conn = RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
        conn.send_frame(hello(token)).unwrap();
        match next_frame(&mut conn) {
            Some(Frame::Welcome(_)) => return conn,
            Some(Frame::Close(close)) if close.code == CloseCode::Conflict.number() => {}
            other => panic!("{other:?} instead of a Welcome"),
        }
    }
}

/// Connects, gets as far as `stage` says, and resets.
fn reset_at(gateway: &Gateway, stage: u64, bytes: &[u8], token: &str) {
    match stage {
        0 => RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap().reset().unwrap(),
        1 => {
            let mut conn = RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
            conn.send_bytes(bytes).unwrap();
            conn.reset().unwrap();
        }
        2 => {
            let mut conn = RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
            conn.send_frame(hello(token)).unwrap();
            conn.reset().unwrap();
        }
        3 => log_in(gateway, token).reset().unwrap(),
        _ => {
            let mut conn = log_in(gateway, token);
            conn.send_frame(send(wire::send::Target::To("bob".into()), &fresh_id(), 100)).unwrap();
            conn.reset().unwrap();
        }
    }
}

/// Proves: G-EDGE-1 (a flood of connections that are reset at any moment: no place, no descriptor and nothing of a user is held
/// afterwards)
#[test]
fn f_47_connections_that_are_reset_at_any_moment_leave_nothing_behind() {
    let mut gateway = Gateway::start(Setup { extra: crate::traffic::UNHURRIED.into(), ..Setup::default() });
    let tokens: Vec<String> = (0..8).map(|user| gateway.token(&format!("user{user}"), "phone")).collect();
    drop(logged_in(&gateway, &tokens[0]));
    gateway.stats_with("connections", 0);
    let before = descriptors(gateway.pid());
    let mut random = Random(47);
    for number in 0..RESETS {
        let half = vec![0; usize::try_from(random.below(40)).unwrap()];
        let token = &tokens[usize::try_from(number % 8).unwrap()];
        reset_at(&gateway, random.below(5), &half, token);
    }
    gateway.stats_with("connections", 0);
    // The tables open a few files of their own.
    let after = descriptors(gateway.pid());
    assert!(after < before + 50, "{before} descriptors before, {after} after");
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    wait_welcome(&mut alice);
    send_accepted(&mut alice, to("alice"), "still here");
    alice.close().unwrap();
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
}

/// Proves: G-EDGE-2 (who sends a Hello byte by byte has no more time than who sends nothing; nobody else waits for it)
#[test]
fn f_49_a_hello_that_crawls_is_closed_in_time() {
    let setup = Setup { extra: "[limits]\nlogin = \"700ms\"\n".into(), ..Setup::default() };
    let gateway = Gateway::start(setup);
    let mut crawling = RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
    crawling.send_bytes(&[0, 0, 4, 0]).unwrap();
    let begun = Instant::now();
    let mut served = 0;
    let code = loop {
        // A byte at a time is the fault; the peer may be hung up on in between.
        let _hung_up = crawling.send_bytes(&[0]);
        if let Ok(iris_client::raw::Read::Frame(frame)) = crawling.read_frame(Duration::from_millis(20)) {
            break frame.frame;
        }
        assert!(begun.elapsed() < PATIENCE, "it crawls on");
        let mut conn = logged_in(&gateway, &gateway.token("alice", "phone"));
        conn.send_frame(ClientFrame::Ping(wire::Ping { nonce: served })).unwrap();
        assert!(matches!(next_frame(&mut conn), Some(Frame::Pong(pong)) if pong.nonce == served));
        served += 1;
    };
    let Some(Frame::Close(close)) = code else { panic!("{code:?}") };
    assert_eq!(CloseCode::from_number(close.code), Some(CloseCode::LoginTimeout));
    assert!(begun.elapsed() >= Duration::from_millis(600) && served > 3, "{:?}, {served}", begun.elapsed());
}

/// Proves: G-EDGE-2 (a frame that crawls after the login is no sign of life: the session ends as one whose peer is gone)
#[test]
fn f_49_a_frame_that_crawls_after_the_login_keeps_no_session_alive() {
    let setup = Setup { extra: "[limits]\nheartbeat = \"1s\"\n".into(), ..Setup::default() };
    let gateway = Gateway::start(setup);
    let mut crawling = logged_in(&gateway, &gateway.token("mallory", "phone"));
    crawling.send_bytes(&[0, 1, 0, 0]).unwrap();
    let begun = Instant::now();
    loop {
        let _hung_up = crawling.send_bytes(&[0]);
        match crawling.read_frame(Duration::from_millis(500)).unwrap() {
            iris_client::raw::Read::Frame(wire::ServerFrame { frame: Some(Frame::Close(close)) }) => {
                assert_eq!(CloseCode::from_number(close.code), Some(CloseCode::HeartbeatTimeout));
                break;
            }
            iris_client::raw::Read::Closed => panic!("closed without a word"),
            iris_client::raw::Read::Frame(_) | iris_client::raw::Read::TimedOut => {}
        }
        assert!(begun.elapsed() < PATIENCE, "it crawls on");
    }
}

/// Proves: G-CRASH-1 (everybody comes back at once after a kill: everybody is served, and has what waited)
#[test]
fn f_50_everybody_who_comes_back_at_once_after_a_kill_is_served() {
    let mut gateway = Gateway::start(Setup { extra: crate::traffic::UNHURRIED.into(), ..Setup::default() });
    let tokens: Vec<String> =
        (0..RETURNING).map(|user| gateway.token(&format!("user{user}"), "phone")).collect();
    let mut conns: Vec<RawConn> = tokens.iter().map(|token| logged_in(&gateway, token)).collect();
    let ids: Vec<_> = (0..RETURNING).map(|_| fresh_id()).collect();
    for (user, conn) in conns.iter_mut().enumerate() {
        let peer = format!("user{}", (user + 1) % RETURNING);
        accepted(conn, &peer, ids[user]);
    }
    gateway.kill();
    gateway.restart();
    let begun = Instant::now();
    let mut conns: Vec<RawConn> = tokens
        .iter()
        .map(|token| {
            let mut conn = RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
            conn.send_frame(hello(token)).unwrap();
            conn
        })
        .collect();
    for (user, conn) in conns.iter_mut().enumerate() {
        assert!(matches!(next_frame(conn), Some(Frame::Welcome(_))), "user{user}");
        let from = ids[(user + RETURNING - 1) % RETURNING];
        loop {
            match next_frame(conn) {
                Some(Frame::Deliver(deliver)) if deliver.message_id[..] == from => break,
                Some(Frame::Deliver(_) | Frame::Ping(_)) => {}
                other => panic!("user{user}: {other:?}"),
            }
        }
    }
    println!("{RETURNING} devices were back after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(20), "a return is bounded");
}
