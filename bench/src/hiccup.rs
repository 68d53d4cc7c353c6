//! How much the host itself stalls: a thread that asks for 1 ms of sleep and records by how much it overslept.
//!
//! Invariants
//! - It is pinned nowhere and does nothing else, so what it records is the host, not the load.

use crate::error::BenchError;
use crate::histogram::Latencies;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// One step. 1 ms: fine enough to see a stall, coarse enough to cost under 1 % of a core.
const STEP: Duration = Duration::from_millis(1);

/// A meter that runs until it is stopped.
pub struct HiccupMeter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Latencies>,
}

impl HiccupMeter {
    /// Starts metering.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start() -> Result<Self, BenchError> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = Builder::new()
            .name("hiccup".to_owned())
            .spawn(move || meter(&seen))
            .map_err(BenchError::io("starting the hiccup meter"))?;
        Ok(Self { stop, thread })
    }

    /// Stops it and gives what it recorded.
    pub fn stop(self) -> Latencies {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn meter(stop: &AtomicBool) -> Latencies {
    exact_timers();
    let mut overshoots = Latencies::new();
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        std::thread::sleep(STEP);
        overshoots.record(asked.elapsed().saturating_sub(STEP));
    }
    overshoots
}

/// Asks the kernel not to delay this thread's timers: by default it may add 50 us. Source: PR_SET_TIMERSLACK(2const).
pub fn exact_timers() {
    // Refused only by a kernel without timer slack, where there is nothing to turn off.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}
