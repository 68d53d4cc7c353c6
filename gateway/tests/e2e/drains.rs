//! SIGTERM while everybody talks, and what comes in the middle of a drain.

use crate::harness::*;
use crate::raw::{close_code, logged_in, next_frame};
use crate::traffic::*;
use iris_client::raw::RawConn;
use iris_protocol::CloseCode;
use iris_protocol::wire::server_frame::Frame;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// `server.drain` of the tests' gateways.
const DRAIN: Duration = Duration::from_secs(5);

fn lines(gateway: &Gateway, what: &str) -> usize {
    gateway.log().matches(what).count()
}

/// Sends SIGTERM and waits until the drain has begun.
fn begin_drain(gateway: &Gateway) {
    let before = lines(gateway, "\"draining\"");
    signal(gateway.pid(), "TERM");
    wait_until("the drain to begin", || lines(gateway, "\"draining\"") > before);
}

/// Proves: G-DRAIN-1 (SIGTERM under traffic: exit status 0 in time, nothing is left for recovery, and nothing is lost, doubled or
/// out of order)
/// Seen to fail when: `run_core` does not finish its storage thread.
#[test]
fn f_68_a_drain_under_traffic_ends_in_time_and_loses_nothing() {
    let mut gateway = Gateway::start(Setup { extra: UNHURRIED.into(), ..Setup::default() });
    let crowd = Crowd::start(&gateway);
    for round in 1..=3 {
        crowd.talk(200);
        let begun = Instant::now();
        assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
        let took = begun.elapsed();
        println!("drained in {took:.1?}");
        assert!(took < DRAIN + Duration::from_secs(3), "{took:?}");
        gateway.restart();
        assert_eq!(
            gateway.clean_recoveries(),
            2 * (round + 1),
            "recovered after a clean stop:\n{}",
            gateway.log()
        );
    }
    let messages = crowd.finish();
    println!("{messages} messages");
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
}

/// Proves: G-DRAIN-1 (a second SIGTERM ends a drain that somebody holds up at once, with status 0; nothing is lost)
/// Seen to fail when: `Main::drain` takes the second signal for a first one.
#[test]
fn f_69_a_second_sigterm_ends_the_drain_at_once_and_loses_nothing() {
    let mut gateway = Gateway::start(Setup { extra: UNHURRIED.into(), ..Setup::default() });
    let crowd = Crowd::start(&gateway);
    let stayer = gateway.token("stayer", "phone");
    for _ in 0..3 {
        crowd.talk(200);
        let stays = logged_in(&gateway, &stayer);
        begin_drain(&gateway);
        let begun = Instant::now();
        assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
        assert!(begun.elapsed() < DRAIN / 2, "{:?}", begun.elapsed());
        drop(stays);
        gateway.restart();
    }
    println!("{} messages", crowd.finish());
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
}

/// Proves: G-DRAIN-1 (SIGKILL in the middle of a drain is a stop like any other: nothing is lost, doubled or out of order)
/// Seen to fail when: what was accepted before a stop is not forwarded after it.
#[test]
fn f_69_a_kill_in_the_middle_of_a_drain_loses_nothing() {
    let mut gateway = Gateway::start(Setup { extra: UNHURRIED.into(), ..Setup::default() });
    let crowd = Crowd::start(&gateway);
    let stayer = gateway.token("stayer", "phone");
    let mut random = Random(20_261_123);
    for _ in 0..8 {
        crowd.talk(100);
        let stays = logged_in(&gateway, &stayer);
        begin_drain(&gateway);
        // The moment of the kill is the fault, not a wait for something.
        std::thread::park_timeout(Duration::from_millis(random.below(40)));
        gateway.kill();
        drop(stays);
        gateway.restart();
    }
    println!("{} messages", crowd.finish());
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
}

/// Proves: G-DRAIN-1 (SIGTERM says goodbye: each client is told its own time inside the configured span, is closed after half of the
/// drain, and the process ends with 0 before the whole of it)
/// Seen to fail when: `Config::shard_limits` leaves the protocol's defaults.
#[test]
fn f_68_a_drain_tells_everybody_another_time_to_come_back() {
    let spread = vec![("IRIS__SERVER__RECONNECT_SPREAD", "400ms".into())];
    let mut gateway = Gateway::start(Setup { environment: spread, ..Setup::default() });
    let mut conns: Vec<RawConn> = (0..30)
        .map(|number| logged_in(&gateway, &gateway.token(&format!("user{number}"), "phone")))
        .collect();
    signal(gateway.pid(), "TERM");
    let begun = Instant::now();
    let mut times = BTreeSet::new();
    for conn in &mut conns {
        let Some(Frame::GoAway(go_away)) = next_frame(conn) else { panic!("no goodbye") };
        assert!(go_away.reconnect_after_ms < 400, "{go_away:?}");
        assert_eq!(u128::from(go_away.close_after_ms), DRAIN.as_millis() / 2);
        times.insert(go_away.reconnect_after_ms);
    }
    assert!(times.len() > 15, "{times:?}");
    for conn in &mut conns {
        assert_eq!(close_code(conn), Some(CloseCode::GoingAway));
    }
    drop(conns);
    assert_eq!(gateway.ended(), Some(0), "{}", gateway.log());
    assert!(begun.elapsed() < DRAIN, "{:?}", begun.elapsed());
}
