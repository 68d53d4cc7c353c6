//! CPU time of a process, threads and finished threads included.
//!
//! Two sources, because each misses something: `/proc/PID/task/*/schedstat` counts nanoseconds but forgets
//! threads that ended, `/proc/PID/stat` remembers them but counts ticks of 10 ms.
//!
//! Invariants
//! - User and system time both count, and so do the kernel's io_uring workers: they are threads of the process.

use crate::error::BenchError;
use std::fs;
use std::time::Duration;

/// Length of a tick of `/proc/PID/stat`: USER_HZ is 100 on every Linux this runs on. Source: proc_pid_stat(5).
const TICK: Duration = Duration::from_millis(10);

/// How much more `stat` must show than `schedstat` before a thread is taken to have ended: utime and stime are
/// each cut to a tick at both ends of a window.
const TICKS_SLACK: Duration = Duration::from_millis(40);

/// CPU time used by a process up to an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    threads: Duration,
    process: Duration,
}

impl CpuTime {
    /// Reads it.
    ///
    /// # Errors
    /// The process is gone, or `/proc` is not there.
    pub fn of(pid: u32) -> Result<Self, BenchError> {
        let stat_path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&stat_path).map_err(BenchError::io(stat_path.clone()))?;
        let process = process_time(&stat)
            .ok_or_else(|| BenchError::Protocol(format!("{stat_path} has no utime and stime: {stat}")))?;
        let tasks_path = format!("/proc/{pid}/task");
        let tasks = fs::read_dir(&tasks_path).map_err(BenchError::io(tasks_path))?;
        let mut threads = Duration::ZERO;
        for task in tasks.flatten() {
            // A thread may end between the listing and the reading: its time is in `process`.
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            threads += thread_time(&text).unwrap_or_default();
        }
        Ok(Self { threads, process })
    }

    /// CPU time used since `earlier`.
    pub fn since(self, earlier: Self) -> Duration {
        let threads = self.threads.saturating_sub(earlier.threads);
        let process = self.process.saturating_sub(earlier.process);
        if process > threads + TICKS_SLACK { process } else { threads }
    }
}

/// The first number of `schedstat`: time on a CPU, in nanoseconds.
fn thread_time(text: &str) -> Option<Duration> {
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// utime + stime of `stat`: the 14th and 15th field, counted behind the command's closing parenthesis.
fn process_time(text: &str) -> Option<Duration> {
    let (_, behind) = text.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * user.checked_add(system)?)
}

/// CPU microseconds a message; 0 without messages.
pub fn us_per_message(cpu: Duration, messages: u64) -> f64 {
    if messages == 0 { 0.0 } else { cpu.as_secs_f64() * 1e6 / crate::schedule::exact(messages) }
}

#[cfg(test)]
mod tests;
