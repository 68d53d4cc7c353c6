//! SIGKILL under load, again and again: 50 times, or as often as `IRIS_KILLS` says.

use crate::harness::*;
use crate::traffic::*;
use std::time::{Duration, Instant};

/// 50, or what `IRIS_KILLS` says.
fn kills() -> u64 {
    std::env::var("IRIS_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(50)
}

fn survive(durability: &'static str) {
    let mut gateway = Gateway::start(Setup { durability, extra: UNHURRIED.into(), ..Setup::default() });
    let crowd = Crowd::start(&gateway);
    let mut random = Random(20_261_122);
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    for _ in 0..kills() {
        // The moment of the kill is the fault, not a wait for something.
        std::thread::park_timeout(Duration::from_millis(60 + random.below(300)));
        gateway.kill();
        gateway.restart();
        slowest = slowest.max(gateway.started_in);
    }
    let messages = crowd.finish();
    assert!(messages > 500, "only {messages} messages: no traffic, no proof");
    let took = begun.elapsed();
    println!("{durability}: {} kills, {messages} messages, {took:.1?}, slowest start {slowest:?}", kills());
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
}

/// Proves: G-CRASH-1 (fifty SIGKILLs under load: every accepted message is applied once, in order, by every device)
/// Seen to fail when: `Effect::Store` leaves `Op::Accept` out.
#[test]
fn f_31_kills_under_load_lose_and_double_nothing_with_fsync() {
    survive("fsync");
}

/// Proves: G-CRASH-1 (the same with `os` durability: a kill of the process keeps what was written)
/// Seen to fail when: with `os` durability a record is reported without being written.
#[test]
fn f_31_kills_under_load_lose_and_double_nothing_with_os() {
    survive("os");
}
