//! The kernel itself: io_uring, version, frequency governor, clock source.

use super::{Answer, Check, sysctl};
use crate::finding::Remedy;
use crate::host::{Host, ReadError};
use crate::plan::Plan;

/// Capability bit 21. Source: capabilities(7).
const CAP_SYS_ADMIN: u64 = 1 << 21;
/// The oldest kernel with everything that the core loop uses: major, minor.
const KERNEL_MIN: (u32, u32) = (6, 12);
/// Clock sources that are read without a system call.
const FAST_CLOCKS: [&str; 4] = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"];

pub(super) const IO_URING: Check = Check {
    name: "io_uring",
    reads: "proc/sys/kernel/io_uring_disabled",
    why: "the gateway runs on io_uring and exits with status 78 without it",
    ask: io_uring,
};

pub(super) const VERSION: Check = Check {
    name: "kernel",
    reads: "proc/sys/kernel/osrelease",
    why: "older kernels lack io_uring operations that the core loop uses",
    ask: version,
};

pub(super) const GOVERNOR: Check = Check {
    name: "governor",
    reads: "sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    why: "a core that clocks down while idle answers late when work comes",
    ask: governor,
};

pub(super) const CLOCK_SOURCE: Check = Check {
    name: "clocksource",
    reads: "sys/devices/system/clocksource/clocksource0/current_clocksource",
    why: "each core reads the clock every tick; a slow source makes a system call of it",
    ask: clock_source,
};

/// 0: for all; 1: for CAP_SYS_ADMIN and members of io_uring_group; 2: for nobody.
/// Source: Documentation/admin-guide/sysctl/kernel.rst.
fn io_uring(host: &Host, _: &Plan) -> Result<Answer, ReadError> {
    let built_in = |error: &ReadError| !error.is_missing();
    let disabled = match host.number(IO_URING.reads) {
        Ok(disabled) => disabled,
        Err(error) if built_in(&error) => return Err(error),
        Err(_) => {
            let advice = "run a kernel of 6.12 or later that has CONFIG_IO_URING".to_owned();
            return Ok(Answer::new("no such setting", "0").or_fail(false, Remedy::Advice(advice)));
        }
    };
    let allowed = disabled == 0 || (disabled == 1 && is_privileged(host)?);
    Ok(Answer::new(disabled.to_string(), "0").or_fail(allowed, sysctl(IO_URING.reads, "0")))
}

/// True if this process may use io_uring where it is restricted to some.
fn is_privileged(host: &Host) -> Result<bool, ReadError> {
    const STATUS: &str = "proc/self/status";
    let effective = u64::from_str_radix(&host.field(STATUS, "CapEff")?, 16);
    if effective.map_err(|_| ReadError::form(STATUS))? & CAP_SYS_ADMIN != 0 {
        return Ok(true);
    }
    // -1: no group.
    let group = host.text("proc/sys/kernel/io_uring_group")?;
    let own = host.field(STATUS, "Groups")? + " " + &host.field(STATUS, "Gid")?;
    Ok(own.split_whitespace().any(|id| id == group))
}

fn version(host: &Host, _: &Plan) -> Result<Answer, ReadError> {
    let release = host.text(VERSION.reads)?;
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        return Err(ReadError::form(VERSION.reads));
    };
    let (wanted_major, wanted_minor) = KERNEL_MIN;
    let wanted = format!("{wanted_major}.{wanted_minor} or later");
    let advice = Remedy::Advice(format!("boot a kernel of {wanted}"));
    Ok(Answer::new(release, wanted).or_fail((major, minor) >= KERNEL_MIN, advice))
}

/// A host without frequency control (most virtual ones) is as wanted.
fn governor(host: &Host, _: &Plan) -> Result<Answer, ReadError> {
    const CPUS: &str = "sys/devices/system/cpu";
    let mut governors = Vec::new();
    for name in host.names(CPUS) {
        match host.text(&format!("{CPUS}/{name}/cpufreq/scaling_governor")) {
            Ok(governor) => governors.push(governor),
            Err(error) if error.is_missing() || !is_cpu(&name) => {}
            Err(error) => return Err(error),
        }
    }
    governors.sort();
    governors.dedup();
    let held = governors.iter().all(|governor| governor == "performance");
    let found = if governors.is_empty() { "no control".to_owned() } else { governors.join(", ") };
    let remedy = Remedy::Kernel { path: GOVERNOR.reads.to_owned(), value: "performance".to_owned() };
    Ok(Answer::new(found, "performance").or_warn(held, remedy))
}

fn is_cpu(name: &str) -> bool {
    name.strip_prefix("cpu").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn clock_source(host: &Host, _: &Plan) -> Result<Answer, ReadError> {
    let found = host.text(CLOCK_SOURCE.reads)?;
    let available = host.text("sys/devices/system/clocksource/clocksource0/available_clocksource")?;
    let held = FAST_CLOCKS.contains(&found.as_str());
    let faster = available.split_whitespace().find(|source| FAST_CLOCKS.contains(source));
    let remedy = faster.map_or_else(
        || {
            Remedy::Advice(
                "none of this host's clock sources is fast: choose another machine type".to_owned(),
            )
        },
        |source| Remedy::Kernel { path: CLOCK_SOURCE.reads.to_owned(), value: source.to_owned() },
    );
    Ok(Answer::new(found, FAST_CLOCKS.join(" or ")).or_warn(held, remedy))
}
