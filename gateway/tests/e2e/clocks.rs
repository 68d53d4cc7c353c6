//! The host's wall clock jumps: a library in front of libc moves it as a file says.

use crate::harness::*;
use crate::preload::compile;
use crate::raw::*;
use iris_client::driver::Driver;
use std::path::PathBuf;
use tempfile::TempDir;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// What a server may not follow without `--accept-clock`.
const TEN_YEARS: &str = "+315532800";

/// A gateway whose wall clock can be moved, with two people who talk.
struct Host {
    gateway: Gateway,
    clock: PathBuf,
    _folder: TempDir,
}

impl Host {
    /// `None` without a compiler.
    fn start() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let library = compile("clock", folder.path())?;
        let clock = folder.path().join("clock");
        let environment =
            vec![("LD_PRELOAD", library.into_os_string()), ("IRIS_CLOCK", clock.clone().into_os_string())];
        let gateway = Gateway::start(Setup { environment, ..Setup::default() });
        Some(Self { gateway, clock, _folder: folder })
    }

    fn jump(&self, to: &str) {
        // Replaced as a whole: it is read all the time.
        let beside = self.clock.with_extension("new");
        std::fs::write(&beside, to).unwrap();
        std::fs::rename(&beside, &self.clock).unwrap();
    }

    fn device(&self, user: &str) -> Driver {
        let mut device = self.gateway.device(self.gateway.over_tcp(), user, "phone");
        wait_welcome(&mut device);
        device
    }

    /// The shard clock less the clock of this test, in seconds.
    fn ahead_s(&mut self) -> i64 {
        // The sum over both cores; each publishes its part ten times a second.
        wait_until("the figures", || self.gateway.stats()["clock_ms"].as_u64() > Some(3_000_000_000_000));
        let cores = 2;
        let shard_ms = self.gateway.stats()["clock_ms"].as_i64().unwrap() / cores;
        let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        shard_ms / 1000 - i64::try_from(here.as_secs()).unwrap()
    }
}

/// Alice writes, and Bob gets it in its place.
fn talk(alice: &mut Driver, bob: &mut Driver, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        send_accepted(alice, to("bob"), &format!("{sequence}"));
        let message = wait_message(bob);
        assert_eq!((message.sequence.0, text(&message)), (sequence, format!("{sequence}")));
    }
}

/// Proves: G-CLOCK-1 (while the server runs, the host's clock jumps by an hour, ten years, back, and to 1970: who is connected
/// talks on, in order, and a retry has its answer)
#[test]
fn f_42_a_running_server_does_not_notice_that_the_clock_jumps() {
    let Some(mut host) = Host::start() else { return };
    let (mut alice, mut bob) = (host.device("alice"), host.device("bob"));
    let mut carol = logged_in(&host.gateway, &host.gateway.token("carol", "phone"));
    let id = fresh_id();
    let first = accepted(&mut carol, "carol", id);
    for (jump, from) in ["+3600", TEN_YEARS, "-3600", "@5", "+0"].into_iter().zip((1..).step_by(10)) {
        host.jump(jump);
        talk(&mut alice, &mut bob, from..=from + 9);
        assert_eq!(accepted(&mut carol, "carol", id), first, "a retry after {jump}");
        assert!(host.ahead_s().abs() < 60, "{jump} was followed");
    }
    assert_eq!(host.gateway.terminate(), Some(0), "{}", host.gateway.log());
}

/// Proves: G-CLOCK-1 (the server starts with a clock that is wrong and set right soon after, as on a host without a battery:
/// nothing is refused, order and retries stay), G-META-1 (ten years ahead it does not start)
#[test]
fn f_42_a_server_that_starts_with_a_wrong_clock_keeps_order_and_retries() {
    let Some(mut host) = Host::start() else { return };
    let id = fresh_id();
    let mut first = None;
    for (jump, from) in ["+0", "+3600", "-3600", "@5", "+0"].into_iter().zip((1..).step_by(5)) {
        let (mut alice, mut bob) = (host.device("alice"), host.device("bob"));
        talk(&mut alice, &mut bob, from..=from + 4);
        let mut carol = logged_in(&host.gateway, &host.gateway.token("carol", "phone"));
        let found = accepted(&mut carol, "carol", id);
        assert_eq!(found, *first.get_or_insert(found), "a retry before {jump}");
        bob.close().unwrap();
        alice.close().unwrap();
        host.gateway.kill();
        host.jump(jump);
        host.gateway.restart();
        host.jump("+0");
        let ahead_s = host.ahead_s();
        assert!((-60..=2 * 3_600).contains(&ahead_s), "{jump}: {ahead_s} s ahead");
    }
    host.gateway.kill();
    host.jump(TEN_YEARS);
    assert_eq!(host.gateway.try_restart(), Err(Some(75)), "{}", host.gateway.log());
    assert!(host.gateway.log().contains("CLOCK_UNACCEPTED"));
    host.jump("+0");
    host.gateway.restart();
    host.device("alice");
}

/// Proves: G-TOKEN-3 (a session lives as long as its token, by the clock that judged the token), G-CLOCK-1
/// The host's clock was a day ahead at a start, and set right: the shard clock stays ahead, and tokens of a day are good all
/// the same.
#[test]
fn f_44_tokens_are_good_on_a_server_whose_clock_was_a_day_ahead() {
    let Some(mut host) = Host::start() else { return };
    host.gateway.kill();
    host.jump(&format!("+{}", DAY + HOUR));
    host.gateway.restart();
    host.jump("+0");
    assert!(host.ahead_s() > i64::try_from(DAY).unwrap());
    let (mut alice, mut bob) = (host.device("alice"), host.device("bob"));
    talk(&mut alice, &mut bob, 1..=20);
}
