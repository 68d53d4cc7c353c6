//! Facts about the host that a figure means nothing without.
//!
//! Invariants
//! - A fact that cannot be read is reported as missing, never guessed.

use crate::report::Report;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs;

/// Steal time and total time of all CPUs, in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steal {
    stolen: u64,
    total: u64,
}

impl Steal {
    /// Reads `/proc/stat`; zeros where there is none.
    pub fn now() -> Self {
        steal_of(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// Per cent of all CPU time since `earlier` that the hypervisor gave to somebody else.
    pub fn percent_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        let stolen = self.stolen.saturating_sub(earlier.stolen);
        if total == 0 { 0.0 } else { 100.0 * crate::schedule::exact(stolen) / crate::schedule::exact(total) }
    }
}

fn steal_of(text: &str) -> Steal {
    let ticks: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // user nice system idle iowait irq softirq steal; guest times are part of user. Source: proc_stat(5).
    Steal { stolen: ticks.get(7).copied().unwrap_or(0), total: ticks.iter().take(8).sum() }
}

/// The CPUs this process may run on.
pub fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return vec![0];
    };
    (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

/// How many CPUs this process may use, at least one.
pub fn cores() -> u16 {
    u16::try_from(allowed_cpus().len()).unwrap_or(u16::MAX).max(1)
}

/// Pins the calling thread to the `index`-th CPU that this process may use, wrapping around. A host that refuses
/// leaves the thread where it is: the report's affinities show it.
pub fn pin(index: u16) {
    let allowed = allowed_cpus();
    let Some(&cpu) = allowed.get(usize::from(index) % allowed.len().max(1)) else {
        return;
    };
    let mut set = CpuSet::new();
    set.set(cpu);
    let _ = sched_setaffinity(None, &set);
}

/// Puts kernel, CPU, memory, load, affinity and commit into a report.
pub fn describe(report: &mut Report) {
    report.text("host.cpu", &cpu_model());
    report.count("host.cores", u64::from(cores()));
    report.text("host.kernel", &read_trimmed("/proc/sys/kernel/osrelease"));
    report.count("host.memory_mib", memory_mib());
    report.text("host.load_average", &load_average());
    report.text("host.affinity", &status_field("/proc/self/status", "Cpus_allowed_list"));
    report.text(
        "host.clocksource",
        &read_trimmed("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    );
    report.text("commit", &commit());
    report.text("version", env!("CARGO_PKG_VERSION"));
}

/// The affinity of each thread of a process, as `name=list`, equal ones once.
pub fn thread_affinities(pid: u32) -> String {
    let mut all: Vec<String> = Vec::new();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        let status = task.path().join("status").to_string_lossy().into_owned();
        let entry =
            format!("{}={}", status_field(&status, "Name"), status_field(&status, "Cpus_allowed_list"));
        if !all.contains(&entry) {
            all.push(entry);
        }
    }
    all.sort();
    all.join(" ")
}

/// The three load averages.
pub fn load_average() -> String {
    read_trimmed("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or_else(missing, |rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
}

fn memory_mib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    kib.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn status_field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map_or_else(missing, |rest| rest.trim().to_owned())
}

fn read_trimmed(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| missing(), |text| text.trim().to_owned())
}

fn missing() -> String {
    "unknown".to_owned()
}

/// The commit of the working directory's checkout, with `+` when it has changes.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(id) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return missing();
    };
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    if changed { id + "+" } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steal is the eighth number of the first line, and a share of all eight.
    /// Seen to fail when: the seventh is taken.
    #[test]
    fn steal_is_a_share_of_all_cpu_time() {
        let before = steal_of("cpu  100 0 100 700 0 0 0 100 50 0\ncpu0 1 1 1 1 1 1 1 1\n");
        let after = steal_of("cpu  150 0 150 1450 0 0 50 200 50 0\n");
        assert!((after.percent_since(before) - 10.0).abs() < 1e-9);
        assert!(after.percent_since(after).abs() < 1e-9);
    }
}
