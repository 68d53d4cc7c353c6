//! What is sampled around a window: CPU of server and load, the host's own stalls, steal and load average.
//!
//! Invariants
//! - All samples of one measurement cover the same window.

use crate::clock::Clock;
use crate::cpu::CpuTime;
use crate::error::BenchError;
use crate::hiccup::HiccupMeter;
use crate::histogram::Summary;
use crate::host::{Steal, load_average};
use crate::report::Report;
use crate::schedule::Window;
use std::time::Duration;

/// What a window cost.
#[derive(Clone, Debug)]
pub struct Cost {
    /// CPU of the server's process; `None` if there is none to be told apart.
    pub server: Option<Duration>,
    /// CPU of this process: the load.
    pub load: Duration,
    /// Stalls of the host.
    pub hiccup: Summary,
    /// Per cent of the CPU time that the hypervisor gave away.
    pub steal_percent: f64,
    /// Load averages at the end.
    pub load_average: String,
}

/// A window that has begun.
pub struct Measurement {
    server: Option<(u32, CpuTime)>,
    own: CpuTime,
    steal: Steal,
    hiccup: HiccupMeter,
}

impl Measurement {
    /// Begins now.
    ///
    /// # Errors
    /// The server is gone.
    pub fn begin(server: Option<u32>) -> Result<Self, BenchError> {
        let hiccup = HiccupMeter::start()?;
        let steal = Steal::now();
        let own = CpuTime::of(std::process::id())?;
        let server = server.map(|pid| CpuTime::of(pid).map(|time| (pid, time))).transpose()?;
        Ok(Self { server, own, steal, hiccup })
    }

    /// Ends now.
    ///
    /// # Errors
    /// The server is gone.
    pub fn end(self) -> Result<Cost, BenchError> {
        let server = match self.server {
            Some((pid, before)) => Some(CpuTime::of(pid)?.since(before)),
            None => None,
        };
        let load = CpuTime::of(std::process::id())?.since(self.own);
        let steal_percent = Steal::now().percent_since(self.steal);
        let hiccup = self.hiccup.stop().summary();
        Ok(Cost { server, load, hiccup, steal_percent, load_average: load_average() })
    }
}

/// Samples at both ends of `window`, which must lie ahead; blocks until it is over.
///
/// # Errors
/// The server is gone.
pub fn over(window: Window, clock: Clock, server: Option<u32>) -> Result<Cost, BenchError> {
    clock.sleep_until(window.from);
    let measurement = Measurement::begin(server)?;
    clock.sleep_until(window.until);
    measurement.end()
}

impl Cost {
    /// Puts hiccups, steal and load average into a report.
    pub fn describe(&self, report: &mut Report) {
        report.summary("hiccup", self.hiccup);
        report.number("host.steal_percent", self.steal_percent);
        report.text("host.load_average_after", &self.load_average);
    }
}
