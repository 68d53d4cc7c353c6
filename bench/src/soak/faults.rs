//! What is done during a soak to the gateway, or to those who use it: one fault after the other, in turn.
//!
//! Invariants
//! - One fault at a time; a disk that stands still goes on before the load ends.
//! - Crowds and slow devices are loads of their own beside the soak's, verified as it is.
//! - A fault counts when it has ended; one that nobody noticed, or that never came, fails the run.

use crate::backlog::Sample;
use crate::drive::{self, Driven, Nobody, Target};
use crate::error::BenchError;
use crate::fleet::{Partners, Tally};
use crate::gateway::{Credential, Gateway};
use crate::orders::Orders;
use crate::plan::TrafficPlan;
use crate::report::Report;
use crate::schedule::exact;
use clap::ValueEnum;
use iris_protocol::{Mono, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::Duration;

/// A crowd: those who write to one user, and that one; an even number.
const CROWD: u32 = 1_000;
/// What they write, in messages a second.
const CROWD_RATE: f64 = 200.0;
/// Pairs of which one device does not read.
const SLOW_PAIRS: u32 = 4;
/// What they write to each other, in messages a second, and how long such a message is: more than sockets hold.
const SLOW_RATE: f64 = 200.0;
const SLOW_PAYLOAD_BYTES: usize = 16 << 10;
/// Of the time in which nobody reads: so much of it the slowest message must have waited.
const WAITED: f64 = 0.8;
/// A device that does not read finds no answers either: its session leaves then, and its next connection reads.
const READS_AGAIN: Duration = limits::PONG_TIMEOUT;
/// Of what is due while the disk of a core stands still, so much at most may be delivered: every second of two users is at home there.
const DELIVERED_BESIDE: f64 = 0.9;
/// Time at the end of a soak in which no fault may last: connections that were lost come back, devices of a fault log in and drain.
const PEACE: Duration = Duration::from_secs(5);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Deserialize, Serialize)]
pub enum Fault {
    /// All connections of the load end at once, with a reset.
    Disconnect,
    /// The gateway is killed (SIGKILL) and started again.
    Kill,
    /// Devices that much is sent to do not read.
    Slow,
    /// A thousand write to one user.
    Hot,
    /// The disk of the last core stands still; needs root, for a file system of its own.
    Stall,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::Kill => "kill",
            Self::Slow => "slow",
            Self::Hot => "hot",
            Self::Stall => "stall",
        }
    }

    /// Users that it needs beside those of the soak.
    fn users(self) -> u32 {
        match self {
            Self::Disconnect | Self::Kill | Self::Stall => 0,
            Self::Slow => SLOW_PAIRS * 2,
            Self::Hot => CROWD,
        }
    }

    /// Whether it lasts.
    fn has_end(self) -> bool {
        match self {
            Self::Disconnect | Self::Kill => false,
            Self::Slow | Self::Hot | Self::Stall => true,
        }
    }
}

/// Users that these faults need beside those of the soak.
pub(super) fn users(faults: &[Fault]) -> u32 {
    faults.iter().map(|fault| fault.users()).sum()
}

/// Which faults come, when they begin, and how long they last.
#[derive(Clone, Debug)]
pub(super) struct Course {
    /// Which, in turn.
    pub(super) kinds: Vec<Fault>,
    /// From the beginning of one to that of the next.
    pub(super) every: Duration,
    /// Of one that has an end.
    pub(super) length: Duration,
    /// Of the soak.
    pub(super) soak: Duration,
}

/// Whose turn it is.
struct Turns {
    course: Course,
    /// How many began.
    count: usize,
    begun: Option<Mono>,
    due: Option<Mono>,
}

impl Turns {
    /// The fault that begins now, if one does.
    fn begin(&mut self, at: Mono) -> Option<Fault> {
        let begun = *self.begun.get_or_insert(at);
        let due = *self.due.get_or_insert(begun.after(self.course.every));
        let fault = *self.course.kinds.get(self.count.checked_rem(self.course.kinds.len())?)?;
        let length = if fault.has_end() { self.course.length } else { Duration::ZERO };
        if at < due || at.since(begun) + length + PEACE > self.course.soak {
            return None;
        }
        self.due = Some(at.after(self.course.every));
        self.count += 1;
        Some(fault)
    }
}

/// Faults in turn.
pub(super) struct Faults {
    turns: Turns,
    orders: Orders,
    /// The load of a crowd or of slow devices goes here.
    target: Target,
    /// Devices that only a fault needs.
    devices: BTreeMap<Fault, Vec<Credential>>,
    found: Found,
    under_way: UnderWay,
}

/// What came of the faults so far.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Found {
    counts: BTreeMap<Fault, u64>,
    /// Messages of crowds and slow devices that were delivered.
    delivered: BTreeMap<Fault, u64>,
    complaints: Vec<String>,
}

enum UnderWay {
    Nothing,
    Stall { since: Sample },
    Load { fault: Fault, thread: JoinHandle<Result<Driven, BenchError>> },
}

impl Faults {
    /// These, in turn, after what was found before; `credentials` are of as many users as they need.
    pub(super) fn new(
        course: Course,
        orders: &Orders,
        target: &Target,
        mut credentials: &[Credential],
        found: Found,
    ) -> Self {
        let mut devices = BTreeMap::new();
        for &fault in &course.kinds {
            let (own, rest) = credentials.split_at(fault.users() as usize);
            devices.insert(fault, own.to_vec());
            credentials = rest;
        }
        let count = usize::try_from(found.counts.values().sum::<u64>()).unwrap_or(0);
        Self {
            turns: Turns { course, count, begun: None, due: None },
            orders: orders.clone(),
            target: Target { pid: None, ..target.clone() },
            devices,
            found,
            under_way: UnderWay::Nothing,
        }
    }

    /// What came of them so far.
    pub(super) fn found(&self) -> &Found {
        &self.found
    }

    /// Ends what has lasted long enough, and begins what is due. What began, if it did.
    ///
    /// # Errors
    /// The gateway could not be restarted, or its disk not be stopped.
    pub(super) fn look(&mut self, now: &Sample, gateway: &mut Gateway) -> Result<Option<Fault>, BenchError> {
        match &self.under_way {
            UnderWay::Stall { since } if now.at.since(since.at) >= self.turns.course.length => {
                self.found.complaints.extend(nobody_stood_still(since, now));
                self.count(Fault::Stall);
                self.thaw(gateway)?;
            }
            UnderWay::Load { thread, .. } if thread.is_finished() => self.join(),
            UnderWay::Nothing => {}
            UnderWay::Stall { .. } | UnderWay::Load { .. } => return Ok(None),
        }
        let Some(fault) = self.turns.begin(now.at) else { return Ok(None) };
        match fault {
            Fault::Disconnect => {
                self.orders.cut_off();
                self.count(fault);
            }
            Fault::Kill => {
                gateway.kill_and_restart()?;
                self.count(fault);
            }
            Fault::Slow => {
                let plan = TrafficPlan::small(SLOW_PAIRS, SLOW_RATE, self.turns.course.length)?;
                let plan = TrafficPlan { is_slow: true, payload_bytes: SLOW_PAYLOAD_BYTES, ..plan };
                self.spawn(fault, plan)?;
            }
            Fault::Hot => {
                let plan = TrafficPlan::small(CROWD / 2, CROWD_RATE, self.turns.course.length)?;
                self.spawn(fault, TrafficPlan { partners: Partners::First, ..plan })?;
            }
            Fault::Stall => {
                let missing = || BenchError::Protocol("no core has a disk of its own".to_owned());
                gateway.volume().ok_or_else(missing)?.freeze()?;
                self.under_way = UnderWay::Stall { since: *now };
            }
        }
        Ok(Some(fault))
    }

    fn count(&mut self, fault: Fault) {
        *self.found.counts.entry(fault).or_default() += 1;
    }

    /// True while the disk stands still.
    pub(super) fn is_stalled(&self) -> bool {
        matches!(self.under_way, UnderWay::Stall { .. })
    }

    /// Waits for what is under way.
    ///
    /// # Errors
    /// The disk does not go on.
    pub(super) fn end(&mut self, gateway: &mut Gateway) -> Result<(), BenchError> {
        self.thaw(gateway)?;
        self.join();
        Ok(())
    }

    /// Puts what was done into a report.
    pub(super) fn describe(&self, report: &mut Report) {
        for (fault, count) in &self.found.counts {
            report.count(&format!("faults.{}", fault.name()), *count);
        }
        for (fault, delivered) in &self.found.delivered {
            report.count(&format!("faults.{}.delivered", fault.name()), *delivered);
        }
    }

    /// What was wrong with them, given what the soak's own load found.
    pub(super) fn verdict(&self, tally: &Tally) -> Vec<String> {
        let mut complaints = self.found.complaints.clone();
        for &fault in &self.turns.course.kinds {
            if !self.found.counts.contains_key(&fault) {
                complaints.push(format!("there was no time for: {}", fault.name()));
            }
        }
        // Some are on their way back from something else at that moment.
        let half = u64::try_from(tally.online).unwrap_or(u64::MAX) / 2;
        for (fault, ended) in [(Fault::Disconnect, tally.cut_off), (Fault::Kill, tally.disconnects)] {
            let times = self.found.counts.get(&fault).copied().unwrap_or(0);
            if ended < half.saturating_mul(times) {
                complaints.push(format!("{}: {ended} connections ended in {times} times", fault.name()));
            }
        }
        complaints
    }

    fn thaw(&mut self, gateway: &mut Gateway) -> Result<(), BenchError> {
        if self.is_stalled() {
            self.under_way = UnderWay::Nothing;
        }
        gateway.volume().map_or(Ok(()), crate::volume::Volume::thaw)
    }

    fn spawn(&mut self, fault: Fault, plan: TrafficPlan) -> Result<(), BenchError> {
        let plan = TrafficPlan { orders: self.orders.clone(), ..plan };
        let devices = self.devices.get(&fault).cloned().unwrap_or_default();
        let is_first = !self.found.counts.contains_key(&fault);
        let target = Target { fresh: self.target.fresh && is_first, ..self.target.clone() };
        let work = move || drive::drive(&plan, &target, &devices, &mut Nobody);
        let thread = std::thread::Builder::new().name(fault.name().to_owned()).spawn(work);
        let thread = thread.map_err(BenchError::io("starting a fault's load"))?;
        self.under_way = UnderWay::Load { fault, thread };
        Ok(())
    }

    fn join(&mut self) {
        if !matches!(self.under_way, UnderWay::Load { .. }) {
            return;
        }
        let under_way = std::mem::replace(&mut self.under_way, UnderWay::Nothing);
        let UnderWay::Load { fault, thread } = under_way else { return };
        let panicked = |_| Err(BenchError::Protocol("the load panicked".to_owned()));
        let complaint = match thread.join().unwrap_or_else(panicked) {
            Ok(driven) => {
                *self.found.delivered.entry(fault).or_default() += driven.tally.delivered;
                let waited = || nobody_waited(&driven.tally, self.turns.course.length);
                driven.tally.verdict(true).or_else(|| (fault == Fault::Slow).then(waited).flatten())
            }
            Err(error) => Some(error.to_string()),
        };
        self.found.complaints.extend(complaint.map(|what| format!("{}: {what}", fault.name())));
        self.count(fault);
    }
}

/// A stall in which everything went on is none.
fn nobody_stood_still(before: &Sample, after: &Sample) -> Option<String> {
    let delivered = exact(after.delivered.saturating_sub(before.delivered));
    let due = exact(after.offered.saturating_sub(before.offered));
    (delivered > due * DELIVERED_BESIDE)
        .then(|| format!("stall: {delivered} of {due} messages were delivered"))
}

fn nobody_waited(tally: &Tally, length: Duration) -> Option<String> {
    let slowest = tally.delivery.summary().max_us / 1e6;
    (slowest < length.min(READS_AGAIN).as_secs_f64() * WAITED)
        .then(|| format!("nobody waited: the slowest message took {slowest:.1} s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    /// Faults come in turn, one after each interval, none in the last seconds; one without an end needs no time for it. A resumed soak
    /// goes on with the next one.
    /// Seen to fail when: a length is asked of a kill; the last seconds are not left in peace; or every turn is the first one's.
    #[test]
    fn faults_come_in_turn() {
        let seconds = Duration::from_secs;
        let began = |kinds: &[Fault], count: usize, soak: u64| {
            let course = Course {
                kinds: kinds.to_vec(),
                every: seconds(15),
                length: seconds(10),
                soak: seconds(soak),
            };
            let mut turns = Turns { course, count, begun: None, due: None };
            let began = (100..160).filter_map(|second| Some((second - 100, turns.begin(at(second))?)));
            began.collect::<Vec<_>>()
        };
        let (kill, hot) = (Fault::Kill, Fault::Hot);
        assert_eq!(began(&[kill], 0, 50), [(15, kill), (30, kill), (45, kill)]);
        assert_eq!(began(&[kill], 0, 49), [(15, kill), (30, kill)], "it would not end in peace");
        assert_eq!(began(&[kill, hot], 0, 50), [(15, kill), (30, hot), (45, kill)]);
        assert_eq!(began(&[kill, hot], 1, 50), [(15, hot), (30, kill)], "the third would last too long");
        assert_eq!(began(&[], 0, 50), []);
    }

    /// A stall in which messages were delivered as before is none.
    /// Seen to fail when: what was delivered before the stall counts.
    #[test]
    fn a_stall_in_which_everything_went_on_is_none() {
        let sample = |second, messages, delivered| Sample {
            at: at(second),
            offered: messages,
            accepted: delivered,
            delivered,
        };
        let before = sample(1, 1_000, 1_000);
        assert!(nobody_stood_still(&before, &sample(11, 2_000, 1_950)).is_some());
        assert_eq!(nobody_stood_still(&before, &sample(11, 2_000, 1_300)), None);
    }
}
