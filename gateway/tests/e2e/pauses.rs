//! The process stands still for a while, as one does on a host that was suspended or starved.

use crate::harness::*;
use crate::traffic::*;
use std::time::Duration;

/// 8 s, or what `IRIS_PAUSE_SECONDS` says: longer than clients wait for an answer and than the heartbeat.
fn pause() -> Duration {
    let seconds = std::env::var("IRIS_PAUSE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(8))
}

/// Proves: G-DELIVER-1 (a process that stood still under load and goes on: clients come back, nothing is lost, doubled or
/// out of order)
/// Seen to fail when: a login resumes at the last offset of the inbox.
#[test]
fn f_45_a_process_that_stood_still_goes_on_without_loss() {
    let extra = format!("{UNHURRIED}heartbeat = \"1s\"\n");
    let mut gateway = Gateway::start(Setup { extra, ..Setup::default() });
    let crowd = Crowd::start(&gateway);
    crowd.talk(500);
    let before = crowd.returns();
    signal(gateway.pid(), "STOP");
    // The length of the pause is the fault, not a wait for something.
    std::thread::park_timeout(pause());
    signal(gateway.pid(), "CONT");
    crowd.talk(500);
    wait_until("every device to come back", || {
        crowd.returns().iter().zip(&before).all(|(returns, before)| returns > before)
    });
    let messages = crowd.finish();
    println!("{:?} of standstill, {messages} messages", pause());
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
}
