//! What is done during a soak to the gateway, or to those who use it: one fault after the other, in turn.
//!
//! Invariants
//! - One fault at a time; a disk that stands still goes on before the load ends.
//! - Crowds and slow devices are loads of their own beside the soak's, verified as it is.
//! - A fault that nobody noticed proves nothing: it fails the run.

use crate::drive::{self, Driven, Nobody, Target};
use crate::error::BenchError;
use crate::fleet::{Partners, Tally};
use crate::gateway::{Credential, Gateway};
use crate::orders::Orders;
use crate::plan::TrafficPlan;
use crate::report::Report;
use clap::ValueEnum;
use iris_protocol::Mono;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::Duration;

/// Those who write to one user, the one among them; an even number.
const CROWD: u32 = 1_000;
/// What they write, in messages a second.
const CROWD_RATE: f64 = 200.0;
/// Pairs of which one device does not read.
const SLOW_PAIRS: u32 = 4;
/// What they write to each other, in messages a second, and how long such a message is: more than sockets hold.
const SLOW_RATE: f64 = 200.0;
const SLOW_PAYLOAD_BYTES: usize = 16 << 10;
/// Of a stall, or of the time in which nobody reads: so much of it the slowest message must have waited.
const WAITED: f64 = 0.8;
/// Time at the end of a soak in which no fault begins.
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
}

/// Users that these faults need beside those of the soak.
pub(super) fn users(faults: &[Fault]) -> u32 {
    faults.iter().map(|fault| fault.users()).sum()
}

/// When faults begin, and how long they last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// From the beginning of one to that of the next.
    pub(super) every: Duration,
    /// Of one that has an end.
    pub(super) length: Duration,
    /// Of the soak.
    pub(super) soak: Duration,
}

/// Faults in turn.
pub(super) struct Faults {
    kinds: Vec<Fault>,
    timing: Timing,
    orders: Orders,
    /// The load of a crowd or of slow devices goes here.
    target: Target,
    /// Devices that only a fault needs.
    devices: BTreeMap<Fault, Vec<Credential>>,
    pub(super) found: Found,
    begun: Option<Mono>,
    due: Option<Mono>,
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
    Stall { since: Mono },
    Load { fault: Fault, thread: JoinHandle<Result<Driven, BenchError>> },
}

impl Faults {
    /// These, in turn; `credentials` are of as many users as they need.
    pub(super) fn new(
        kinds: &[Fault],
        timing: Timing,
        orders: &Orders,
        target: &Target,
        mut credentials: &[Credential],
    ) -> Self {
        let mut devices = BTreeMap::new();
        for &fault in kinds {
            let (own, rest) = credentials.split_at_checked(fault.users() as usize).unwrap_or_default();
            devices.insert(fault, own.to_vec());
            credentials = rest;
        }
        Self {
            kinds: kinds.to_vec(),
            timing,
            orders: orders.clone(),
            target: Target { pid: None, ..target.clone() },
            devices,
            found: Found::default(),
            begun: None,
            due: None,
            under_way: UnderWay::Nothing,
        }
    }

    /// Ends what has lasted long enough, and begins what is due. What began, if it did.
    ///
    /// # Errors
    /// The gateway could not be restarted, or its disk not be stopped.
    pub(super) fn look(&mut self, at: Mono, gateway: &mut Gateway) -> Result<Option<Fault>, BenchError> {
        let begun = *self.begun.get_or_insert(at);
        match &self.under_way {
            UnderWay::Stall { since } if at.since(*since) >= self.timing.length => self.thaw(gateway)?,
            UnderWay::Load { thread, .. } if thread.is_finished() => self.join(),
            UnderWay::Nothing => {}
            UnderWay::Stall { .. } | UnderWay::Load { .. } => return Ok(None),
        }
        let due = *self.due.get_or_insert(begun.after(self.timing.every));
        let is_over = at.since(begun) + self.timing.length + PEACE > self.timing.soak;
        let turn = self.found.counts.values().sum::<u64>();
        let turn = usize::try_from(turn).unwrap_or(0).checked_rem(self.kinds.len());
        let Some(&fault) = turn.filter(|_| at >= due && !is_over).and_then(|turn| self.kinds.get(turn))
        else {
            return Ok(None);
        };
        self.due = Some(at.after(self.timing.every));
        *self.found.counts.entry(fault).or_default() += 1;
        match fault {
            Fault::Disconnect => self.orders.cut_off(),
            Fault::Kill => gateway.kill_and_restart()?,
            Fault::Slow | Fault::Hot => self.spawn(fault)?,
            Fault::Stall => {
                gateway.volume().map_or(Ok(()), crate::volume::Volume::freeze)?;
                self.under_way = UnderWay::Stall { since: at };
            }
        }
        Ok(Some(fault))
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
        self.join();
        self.thaw(gateway)
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
        for &fault in &self.kinds {
            if !self.found.counts.contains_key(&fault) {
                complaints.push(format!("there was no time for: {}", fault.name()));
            }
        }
        if self.found.counts.contains_key(&Fault::Stall) {
            complaints.extend(nobody_waited("the soak", tally, self.timing.length));
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

    fn spawn(&mut self, fault: Fault) -> Result<(), BenchError> {
        let length = self.timing.length;
        let plan = if fault == Fault::Slow {
            let slow = TrafficPlan::small(SLOW_PAIRS, SLOW_RATE, length)?;
            TrafficPlan { is_slow: true, payload_bytes: SLOW_PAYLOAD_BYTES, ..slow }
        } else {
            TrafficPlan { partners: Partners::First, ..TrafficPlan::small(CROWD / 2, CROWD_RATE, length)? }
        };
        let devices = self.devices.get(&fault).cloned().unwrap_or_default();
        let is_first = self.found.counts.get(&fault).is_none_or(|&count| count <= 1);
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
                let waited = || nobody_waited("the slow", &driven.tally, self.timing.length);
                driven.tally.verdict(true).or_else(|| (fault == Fault::Slow).then(waited).flatten())
            }
            Err(error) => Some(error.to_string()),
        };
        self.found.complaints.extend(complaint.map(|what| format!("{}: {what}", fault.name())));
    }
}

fn nobody_waited(whose: &str, tally: &Tally, length: Duration) -> Option<String> {
    let slowest = tally.delivery.summary().max_us / 1e6;
    (slowest < length.as_secs_f64() * WAITED)
        .then(|| format!("nobody waited: the slowest message of {whose} took {slowest:.1} s"))
}
