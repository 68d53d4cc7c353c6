//! What one thread of the load counts.
//!
//! Invariants
//! - Latencies are those of messages that were meant to leave inside the window; counts are of the whole run unless
//!   they say otherwise.

use crate::backlog::EDGE;
use crate::histogram::Latencies;
use crate::ledger::Faults;
use crate::schedule::Window;
use iris_protocol::Mono;
use iris_reactor::CloseCause;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a distribution of its own is kept of.
pub const MINUTE: Duration = Duration::from_mins(1);

/// Counters of a running thread, for progress and backlog.
#[derive(Debug, Default)]
pub struct Meter {
    sent: AtomicU64,
    accepted: AtomicU64,
    delivered: AtomicU64,
    logged_in: AtomicU64,
}

impl Meter {
    pub(super) fn show(&self, tally: &Tally) {
        self.sent.store(tally.sent, Ordering::Relaxed);
        self.accepted.store(tally.accepted, Ordering::Relaxed);
        self.delivered.store(tally.delivered, Ordering::Relaxed);
        self.logged_in.store(u64::try_from(tally.logged_in).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Messages accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Messages delivered so far.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Devices logged in so far.
    pub fn logged_in(&self) -> u64 {
        self.logged_in.load(Ordering::Relaxed)
    }
}

/// All counts and distributions of one thread.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Tally {
    /// The measured part of the run; a file has none: its times are over.
    #[serde(skip, default = "never")]
    pub window: Window,
    /// Intended time to delivery.
    pub delivery: Latencies,
    /// Deliveries of the window's first seconds.
    pub first: Latencies,
    /// Deliveries of the window's last seconds.
    pub last: Latencies,
    /// Deliveries of each minute of the window, by their intended time.
    pub minutes: Vec<Latencies>,
    /// Intended time to acceptance.
    pub ack: Latencies,
    /// Intended time to the load's own attempt.
    pub lag: Latencies,
    /// Messages due and handed to their session.
    pub sent: u64,
    /// Messages that a session took.
    pub transmitted: u64,
    /// Messages accepted.
    pub accepted: u64,
    /// Messages delivered for the first time.
    pub delivered: u64,
    /// Messages delivered whose acknowledgement left inside the window.
    pub completed: u64,
    /// Messages put off by the server, each time.
    pub put_off: u64,
    /// Messages refused for good.
    pub refused: u64,
    /// Envelopes that came in for the first time, of whatever run, own copies among them.
    pub arrived: u64,
    /// Connections that the server closed and said why.
    pub closes: u64,
    /// Messages of another run that came in.
    pub foreign: u64,
    /// Holes that the server announced.
    pub gaps: u64,
    /// Connections lost.
    pub disconnects: u64,
    /// Rules that the server broke, as the session saw it.
    pub server_faults: u64,
    /// What was wrong.
    pub faults: Faults,
    /// Devices that logged in at least once.
    pub logged_in: usize,
    /// Devices that are logged in now.
    pub online: usize,
    /// Logins after a device's first.
    pub returns: u64,
    /// Connections that the load ended by itself.
    pub cut_off: u64,
    /// Envelopes that came again and were recognised by the session: allowed after a return only.
    pub repeats: u64,
    /// Begin of a connection to its Welcome.
    pub login: Latencies,
    complaint: Option<String>,
}

impl Tally {
    /// Nothing counted, and a window that never comes.
    pub fn new() -> Self {
        Self::of(never())
    }

    /// Nothing counted.
    pub fn of(window: Window) -> Self {
        Self {
            window,
            delivery: Latencies::new(),
            first: Latencies::new(),
            last: Latencies::new(),
            minutes: Vec::new(),
            ack: Latencies::new(),
            lag: Latencies::new(),
            sent: 0,
            transmitted: 0,
            accepted: 0,
            delivered: 0,
            completed: 0,
            put_off: 0,
            refused: 0,
            arrived: 0,
            closes: 0,
            foreign: 0,
            gaps: 0,
            disconnects: 0,
            server_faults: 0,
            faults: Faults::default(),
            logged_in: 0,
            online: 0,
            returns: 0,
            cut_off: 0,
            repeats: 0,
            login: Latencies::new(),
            complaint: None,
        }
    }

    /// Adds another thread's.
    pub fn add(&mut self, other: &Self) {
        let minutes = self.minutes.len().max(other.minutes.len());
        self.minutes.resize_with(minutes, Latencies::new);
        self.minutes.iter_mut().zip(&other.minutes).for_each(|(own, other)| own.merge(other));
        self.logged_in += other.logged_in;
        self.online += other.online;
        self.count(other);
    }

    /// Puts an earlier run of the same devices before this one. Messages that are set against CPU stay those of this one.
    pub fn resume(&mut self, mut before: Self) {
        before.minutes.append(&mut self.minutes);
        self.minutes = std::mem::take(&mut before.minutes);
        let completed = self.completed;
        self.count(&before);
        self.completed = completed;
    }

    /// The same with the distributions of these minutes only.
    pub(super) fn of_minutes(&mut self, minutes: Range<usize>) -> Self {
        let all = std::mem::take(&mut self.minutes);
        let minutes = minutes.map(|minute| all.get(minute).cloned().unwrap_or_default()).collect();
        let part = Self { minutes, ..self.clone() };
        self.minutes = all;
        part
    }

    /// Adds what can be added whatever `other` is.
    fn count(&mut self, other: &Self) {
        self.delivery.merge(&other.delivery);
        self.first.merge(&other.first);
        self.last.merge(&other.last);
        self.ack.merge(&other.ack);
        self.lag.merge(&other.lag);
        self.sent += other.sent;
        self.transmitted += other.transmitted;
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.completed += other.completed;
        self.put_off += other.put_off;
        self.refused += other.refused;
        self.arrived += other.arrived;
        self.closes += other.closes;
        self.foreign += other.foreign;
        self.gaps += other.gaps;
        self.disconnects += other.disconnects;
        self.server_faults += other.server_faults;
        self.faults.add(other.faults);
        self.returns += other.returns;
        self.cut_off += other.cut_off;
        self.repeats += other.repeats;
        self.login.merge(&other.login);
        if self.complaint.is_none() {
            self.complaint.clone_from(&other.complaint);
        }
    }

    /// Messages that came twice. After a return a repeat is no fault: the device's acknowledgement may have been lost.
    pub fn duplicated(&self) -> u64 {
        let repeats = if self.returns == 0 { self.repeats } else { 0 };
        self.faults.duplicated + repeats
    }

    /// What makes this run a failure; `None` if nothing does. With `verify` off, only missing traffic.
    pub fn verdict(&self, verify: bool) -> Option<String> {
        if self.sent == 0 || self.delivery.count() == 0 || self.ack.count() == 0 {
            return Some("no message was sent, accepted and delivered inside the window".to_owned());
        }
        if !verify {
            return None;
        }
        let faults = &self.faults;
        let mut wrong = Vec::new();
        for (count, what) in [
            (faults.lost, "lost"),
            (self.duplicated(), "duplicated"),
            (faults.reordered, "reordered"),
            (faults.corrupted, "corrupted"),
            (faults.holes, "out of sequence in their conversation"),
            (self.refused, "refused"),
            (self.gaps, "gaps announced"),
            (self.server_faults, "rules of the protocol broken"),
        ] {
            if count > 0 {
                wrong.push(format!("{count} {what}"));
            }
        }
        if wrong.is_empty() {
            return None;
        }
        Some(format!("of {} messages: {} ({})", self.sent, wrong.join(", "), self.last_close()))
    }

    /// The first thing that a server said or did that ends a connection.
    pub fn last_close(&self) -> &str {
        self.complaint.as_deref().unwrap_or("no connection was closed")
    }

    pub(super) fn complain(&mut self, what: impl FnOnce() -> String) {
        if self.complaint.is_none() {
            self.complaint = Some(what());
        }
    }

    pub(super) fn welcome(&mut self, first: bool, login: Duration) {
        self.online += 1;
        if first {
            self.logged_in += 1;
        } else {
            self.returns += 1;
        }
        self.login.record(login);
    }

    pub(super) fn offline(&mut self, was_online: bool) {
        self.online -= usize::from(was_online);
    }

    pub(super) fn take_logins(&mut self, before: &Self) {
        self.logged_in = before.logged_in;
        self.online = before.online;
        self.returns = before.returns;
        self.login = before.login.clone();
        self.disconnects = before.disconnects;
        self.complaint.clone_from(&before.complaint);
    }

    pub(super) fn record_lag(&mut self, intended: Mono, now: Mono) {
        if self.window.contains(intended) {
            self.lag.record(now.since(intended));
        }
    }

    pub(super) fn record_ack(&mut self, intended: Mono, now: Mono) {
        self.accepted += 1;
        if self.window.contains(intended) {
            self.ack.record(now.since(intended));
        }
    }

    pub(super) fn record_delivery(&mut self, intended: Mono, now: Mono) {
        self.delivered += 1;
        if !self.window.contains(intended) {
            return;
        }
        let latency = now.since(intended);
        self.delivery.record(latency);
        self.minute(intended).record(latency);
        if intended.since(self.window.from) < EDGE {
            self.first.record(latency);
        }
        if self.window.until.since(intended) <= EDGE {
            self.last.record(latency);
        }
    }

    fn minute(&mut self, intended: Mono) -> &mut Latencies {
        let minute = intended.since(self.window.from).as_secs() / MINUTE.as_secs();
        let minute = usize::try_from(minute).unwrap_or(usize::MAX);
        if minute >= self.minutes.len() {
            self.minutes.resize_with(minute + 1, Latencies::new);
        }
        &mut self.minutes[minute]
    }

    pub(super) fn completed(&mut self, messages: u64, now: Mono) {
        if self.window.contains(now) {
            self.completed += messages;
        }
    }

    pub(super) fn disconnected(&mut self, cause: CloseCause) {
        self.disconnects += 1;
        self.complain(|| format!("a connection ended: {cause:?}"));
    }
}

fn never() -> Window {
    Window { from: Mono(u64::MAX), until: Mono(u64::MAX) }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        let mut tally = Tally::of(Window { from: Mono(0), until: Mono(20_000_000_000) });
        tally.sent = 1;
        tally.record_ack(Mono(1), Mono(2_000));
        tally.record_delivery(Mono(1), Mono(3_000));
        tally
    }

    /// A run without traffic fails, verified or not.
    /// Seen to fail when: the check for traffic is dropped.
    #[test]
    fn a_run_without_traffic_fails() {
        assert!(Tally::of(Window { from: Mono(0), until: Mono(9) }).verdict(true).is_some());
        assert!(Tally::new().verdict(false).is_some());
        assert_eq!(tally().verdict(true), None);
    }

    /// Each kind of fault alone fails a run.
    /// Seen to fail when: any of them is left out of the verdict.
    #[test]
    fn every_kind_of_fault_fails_a_run() {
        let breaks: [fn(&mut Tally); 9] = [
            |tally| tally.faults.lost = 1,
            |tally| tally.faults.duplicated = 1,
            |tally| tally.repeats = 1,
            |tally| tally.faults.reordered = 1,
            |tally| tally.faults.corrupted = 1,
            |tally| tally.faults.holes = 1,
            |tally| tally.refused = 1,
            |tally| tally.gaps = 1,
            |tally| tally.server_faults = 1,
        ];
        for (kind, break_it) in breaks.into_iter().enumerate() {
            let mut broken = tally();
            break_it(&mut broken);
            assert!(broken.verdict(true).is_some(), "fault {kind}");
            let mut sum = tally();
            sum.add(&broken);
            assert!(sum.verdict(true).is_some(), "fault {kind} of another thread");
            assert_eq!(broken.verdict(false), None, "fault {kind}, not verified");
        }
    }

    /// An envelope that comes again is a fault, unless a device came back before.
    /// Seen to fail when: returns are not asked for.
    #[test]
    fn a_repeat_after_a_return_is_allowed() {
        let mut tally = tally();
        tally.repeats = 3;
        assert_eq!(tally.duplicated(), 3);
        tally.welcome(false, Duration::ZERO);
        assert_eq!((tally.duplicated(), tally.verdict(true)), (0, None));
        tally.faults.duplicated = 1;
        assert_eq!(tally.duplicated(), 1);
    }

    /// Each minute of the window has its own distribution, also one in which nothing was delivered.
    /// Seen to fail when: minutes of another thread are dropped where this one has none.
    #[test]
    fn every_minute_has_its_own_distribution() {
        let minute = |minute: u64| Mono(100 + minute * 60_000_000_000);
        let mut tally = Tally::of(Window { from: Mono(100), until: minute(4) });
        tally.record_delivery(minute(0), Mono(150));
        tally.record_delivery(Mono(minute(1).0 - 1), minute(1));
        let mut other = Tally::of(tally.window);
        other.record_delivery(minute(2), minute(3));
        tally.add(&other);
        let counts: Vec<_> = tally.minutes.iter().map(Latencies::count).collect();
        assert_eq!(counts, [2, 0, 1]);
    }

    /// What was handed in minute by minute and read back from a file is what was counted; a run that goes on comes after it.
    /// Seen to fail when: minutes of a resumed run are merged with those before it; or counts of the run before are left out.
    #[test]
    fn a_resumed_run_goes_on_where_the_one_before_ended() {
        let minute = |minute: u64| Mono(100 + minute * 60_000_000_000);
        let mut whole = Tally::of(Window { from: Mono(100), until: minute(9) });
        for number in 0..5 {
            whole.sent += 1;
            whole.record_delivery(minute(number / 2), minute(number + 1));
        }
        whole.repeats = 2;
        let handed_in = whole.of_minutes(1..3);
        assert_eq!(handed_in.minutes.iter().map(Latencies::count).collect::<Vec<_>>(), [2, 1]);
        let file = serde_json::to_string(&whole.of_minutes(0..3)).unwrap();
        let before: Tally = serde_json::from_str(&file).unwrap();
        let mut tally = tally();
        tally.resume(before);
        assert_eq!(tally.minutes.iter().map(Latencies::count).collect::<Vec<_>>(), [2, 2, 1, 1]);
        assert_eq!((tally.sent, tally.delivered, tally.repeats), (6, 6, 2));
        assert_eq!(tally.delivery.count(), 6);
        assert!((tally.delivery.summary().max_us - whole.delivery.summary().max_us).abs() < 1.0);
    }

    /// Only messages meant to leave inside the window have latencies; all are counted.
    /// Seen to fail when: the window is not asked.
    #[test]
    fn warm_up_is_counted_and_not_measured() {
        let mut tally = Tally::of(Window { from: Mono(100), until: Mono(200) });
        tally.record_delivery(Mono(99), Mono(150));
        tally.record_delivery(Mono(100), Mono(400));
        tally.record_delivery(Mono(200), Mono(201));
        assert_eq!((tally.delivered, tally.delivery.count()), (3, 1));
    }
}
