//! Memory: how much there is, locked memory, huge pages, swapping.

use super::{Answer, Check, sysctl};
use crate::capacity::{available_bytes, bytes_per_connection};
use crate::finding::Remedy;
use crate::host::{Host, ReadError};
use crate::plan::Plan;

/// Bytes that one shard may lock: its registered log buffers, with room.
const LOCKED_BYTES_PER_SHARD: u64 = 4 << 20;
/// The highest tendency to swap that keeps an idle connection's memory where it is.
const SWAPPINESS_MAX: u64 = 10;

pub(super) const AVAILABLE: Check = Check {
    name: "memory",
    reads: "proc/meminfo",
    why: "an idle connection takes kernel memory, TLS state and a session; without memory the process is killed",
    ask: available,
};

pub(super) const LOCKED: Check = Check {
    name: "memlock",
    reads: "proc/self/limits",
    why: "registered buffers count as locked memory: without room, a ring cannot be set up",
    ask: locked,
};

pub(super) const HUGE_PAGES: Check = Check {
    name: "thp",
    reads: "sys/kernel/mm/transparent_hugepage/enabled",
    why: "huge pages for everything make idle memory larger, and stall a core while they are put together",
    ask: huge_pages,
};

pub(super) const SWAPPINESS: Check = Check {
    name: "swappiness",
    reads: "proc/sys/vm/swappiness",
    why: "the memory of a quiet connection goes to the swap first, and the core waits for it at the next message",
    ask: swappiness,
};

fn available(host: &Host, plan: &Plan) -> Result<Answer, ReadError> {
    let found = available_bytes(host)? >> 20;
    let wanted = plan.connections.saturating_mul(bytes_per_connection()).div_ceil(1 << 20);
    let advice = format!("give the host or its memory cgroup {} MiB more", wanted.saturating_sub(found));
    let answer = Answer::new(format!("{found} MiB available"), format!("at least {wanted} MiB"));
    Ok(answer.or_fail(found >= wanted, Remedy::Advice(advice)))
}

fn locked(host: &Host, plan: &Plan) -> Result<Answer, ReadError> {
    let found = host.resource_limit("Max locked memory")?.soft;
    let wanted = LOCKED_BYTES_PER_SHARD * u64::from(plan.shards.max(1));
    let answer = Answer::new(format!("{found} bytes"), format!("at least {wanted} bytes"));
    Ok(answer.or_warn(found >= wanted, Remedy::LockedBytes(wanted)))
}

fn huge_pages(host: &Host, _: &Plan) -> Result<Answer, ReadError> {
    let found = match host.choice(HUGE_PAGES.reads) {
        Err(error) if error.is_missing() => "not built in".to_owned(),
        other => other?,
    };
    let held = found != "always";
    let remedy = Remedy::Kernel { path: HUGE_PAGES.reads.to_owned(), value: "madvise".to_owned() };
    Ok(Answer::new(found, "madvise or never").or_warn(held, remedy))
}

/// Without a swap device the tendency has no effect on idle memory.
fn swappiness(host: &Host, _: &Plan) -> Result<Answer, ReadError> {
    let found = host.number(SWAPPINESS.reads)?;
    // One line of headings, then one for each device.
    let has_swap = match host.text("proc/swaps") {
        Err(error) if error.is_missing() => false,
        text => text?.lines().count() > 1,
    };
    let answer = Answer::new(found.to_string(), format!("at most {SWAPPINESS_MAX}, or no swap"));
    Ok(answer.or_warn(!has_swap || found <= SWAPPINESS_MAX, sysctl(SWAPPINESS.reads, "1")))
}
