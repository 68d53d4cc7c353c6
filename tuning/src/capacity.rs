//! How many connections the host can hold now, and what stops it first.
//!
//! Invariants
//! - A bound that cannot be read bounds nothing, and is a finding of its check.

use crate::finding::Remedy;
use crate::host::{Host, ReadError};
use crate::plan::{KERNEL_BYTES_PER_CONNECTION, Plan, USER_BYTES_PER_CONNECTION};
use serde::Serialize;
use std::fmt;

/// Open files left to everybody else on the host.
pub const FILES_OF_OTHERS: u64 = 10_000;

/// Bytes that an idle connection takes, in the kernel and in the server.
pub const fn bytes_per_connection() -> u64 {
    KERNEL_BYTES_PER_CONNECTION + USER_BYTES_PER_CONNECTION
}

/// One thing that bounds the number of connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// What it is, for people.
    pub by: String,
    /// How many connections it allows.
    pub connections: u64,
    /// What raises it to what is planned.
    pub remedy: Remedy,
}

/// How many connections the host can hold now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capacity {
    /// What is planned.
    pub planned: u64,
    /// All bounds that could be read, lowest first.
    pub bounds: Vec<Bound>,
}

impl Capacity {
    /// The lowest bound: what stops the host first. `None` if nothing could be read.
    pub fn first(&self) -> Option<&Bound> {
        self.bounds.first()
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.first() else {
            return f.write_str("this host does not tell how many connections it can hold");
        };
        let Bound { by, connections, remedy } = first;
        let planned = grouped(self.planned);
        write!(f, "this host can hold {} connections now; {by} stops it first", grouped(*connections))?;
        if *connections >= self.planned {
            return write!(f, "; the {planned} planned fit");
        }
        write!(f, ". For {planned}: {remedy}")?;
        for bound in self.bounds.iter().skip(1).filter(|bound| bound.connections < self.planned) {
            write!(f, "; then {}: {}", bound.by, bound.remedy)?;
        }
        Ok(())
    }
}

/// How many connections the host can hold now, as far as it tells.
pub fn capacity(host: &Host, plan: &Plan) -> Capacity {
    let read = [by_open_files(host, plan), by_host_files(host, plan), by_memory(host, plan)];
    let mut bounds: Vec<Bound> = read.into_iter().filter_map(Result::ok).collect();
    if !bounds.is_empty() {
        bounds.push(by_configuration(plan));
    }
    bounds.sort_by_key(|bound| bound.connections);
    Capacity { planned: plan.connections, bounds }
}

/// Each ring's table may have as many entries as the process may have open files; the gateway raises its limit as far as it may.
fn by_open_files(host: &Host, plan: &Plan) -> Result<Bound, ReadError> {
    let limit = host.resource_limit("Max open files")?.hard;
    Ok(Bound {
        by: format!("RLIMIT_NOFILE ({limit}, one table for each of {} rings)", plan.rings()),
        connections: limit.saturating_mul(plan.rings()),
        remedy: Remedy::OpenFiles(plan.descriptors()),
    })
}

fn by_configuration(plan: &Plan) -> Bound {
    let table = plan.descriptors_per_ring;
    let wanted = plan.connections_per_ring();
    Bound {
        by: format!("connections.descriptors_per_ring ({table} in each of {} rings)", plan.rings()),
        connections: u64::from(table).saturating_mul(plan.rings()),
        remedy: Remedy::Advice(format!(
            "configure connections.descriptors_per_ring = {wanted}, or more rings"
        )),
    }
}

fn by_host_files(host: &Host, plan: &Plan) -> Result<Bound, ReadError> {
    let limit = host.number("proc/sys/fs/file-max")?;
    let value = plan.connections.saturating_add(FILES_OF_OTHERS).to_string();
    Ok(Bound {
        by: format!("fs.file-max ({limit})"),
        connections: limit.saturating_sub(FILES_OF_OTHERS),
        remedy: Remedy::Sysctl { key: "fs.file-max".to_owned(), value },
    })
}

fn by_memory(host: &Host, plan: &Plan) -> Result<Bound, ReadError> {
    let bytes = available_bytes(host)?;
    let wanted = plan.connections.saturating_mul(bytes_per_connection());
    Ok(Bound {
        by: format!("memory ({} MiB available, {} B a connection)", bytes >> 20, bytes_per_connection()),
        connections: bytes / bytes_per_connection(),
        remedy: Remedy::Advice(format!("have {} MiB available", wanted.div_ceil(1 << 20))),
    })
}

/// Bytes that this process may still take: the host's, or less if a memory cgroup says so.
///
/// MemAvailable alone says too much: it takes the inodes of open sockets for memory that could be reclaimed, 2 GB a million
/// connections. So no more counts as available than what is free and what caches files.
///
/// # Errors
/// The host does not tell.
pub fn available_bytes(host: &Host) -> Result<u64, ReadError> {
    let said = meminfo(host, "MemAvailable")?;
    let parts = ["MemFree", "Active(file)", "Inactive(file)"].map(|field| meminfo(host, field));
    let certain = parts.into_iter().sum::<Result<u64, ReadError>>().unwrap_or(said);
    Ok(said.min(certain).min(cgroup_bytes(host)))
}

/// A field of /proc/meminfo, in bytes.
fn meminfo(host: &Host, field: &str) -> Result<u64, ReadError> {
    const MEMINFO: &str = "proc/meminfo";
    let text = host.field(MEMINFO, field)?;
    let kib = text.strip_suffix(" kB").and_then(|number| number.trim().parse::<u64>().ok());
    Ok(kib.ok_or_else(|| ReadError::form(MEMINFO))?.saturating_mul(1024))
}

/// What the memory cgroups of this process leave, of both versions; the largest number if there is no limit.
fn cgroup_bytes(host: &Host) -> u64 {
    let Ok(text) = host.text("proc/self/cgroup") else { return u64::MAX };
    text.lines().filter_map(|line| cgroup_room(host, line)).min().unwrap_or(u64::MAX)
}

/// What one line `number:controllers:/path` leaves, and every group above it.
fn cgroup_room(host: &Host, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (base, limit, used) = match fields.next()? {
        "" => ("sys/fs/cgroup", "memory.max", "memory.current"),
        "memory" => ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        _ => return None,
    };
    let path = fields.next()?.trim_matches('/');
    let groups =
        std::iter::successors(Some(path), |group| Some(group.rsplit_once('/').map_or("", |(up, _)| up)))
            .take(path.matches('/').count() + 2);
    groups
        .filter_map(|group| {
            let path = |name: &str| format!("{base}/{group}/{name}");
            let limit = host.number(&path(limit)).ok()?;
            let used =
                host.number(&path(used)).unwrap_or(0).saturating_sub(file_bytes(host, &path("memory.stat")));
            Some(limit.saturating_sub(used))
        })
        .min()
}

/// What of a group's memory caches files, and makes room when it is needed; 0 if the group does not tell.
fn file_bytes(host: &Host, stat: &str) -> u64 {
    let text = host.text(stat).unwrap_or_default();
    let value =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    ["active_file ", "inactive_file "].into_iter().filter_map(value).sum()
}

/// A number for people: 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
