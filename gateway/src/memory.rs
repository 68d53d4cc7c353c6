//! Whether there is memory for more connections: looked at a few times a second, before the host runs out.
//!
//! Invariants
//! - Who is connected is served on; only newcomers are refused.
//! - Between "full" and "room again" lies a gap, so that each connection that ends does not let one in.

use crate::control::Control;
use iris_tuning::plan::KERNEL_BYTES_PER_CONNECTION;
use iris_tuning::{Host, available_bytes};
use std::fs;
use std::time::{Duration, Instant};

/// Time between two looks. 5,000 connections that come meanwhile take some 40 MB, less than [`RESERVE_MIN`].
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// The host is asked what it has left this often; it costs the kernel more than the process's own figures do.
const HOST_INTERVAL: Duration = Duration::from_secs(1);
/// Of what the host has at the start, so much is left to others: an eighth, and no less than [`RESERVE_MIN`].
const RESERVE_SHARE: u64 = 8;
/// What the host must have left for a newcomer to be let in, in bytes.
const RESERVE_MIN: u64 = 64 << 20;
/// Below the limit by this share, a full gateway has room again.
const ROOM_SHARE: u64 = 32;

/// What the process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryFigures {
    /// Its own resident memory, without files that it maps, in bytes.
    pub(crate) resident: u64,
    /// What the kernel holds for its connections, in bytes: their number times what one was measured to take.
    pub(crate) kernel: u64,
    /// Above this, newcomers are refused.
    pub(crate) limit: u64,
}

/// Looks at the memory, and says when newcomers must be refused.
pub(crate) struct MemoryGuard {
    host: Host,
    /// With no limit configured.
    standard_limit: u64,
    left: u64,
    look_at: Instant,
    ask_host_at: Instant,
    is_full: bool,
}

impl MemoryGuard {
    /// A guard that takes what the host has now for what there is.
    pub(crate) fn new() -> Self {
        let host = Host::here();
        // Without a figure there is no limit but the one that is configured.
        let left = available_bytes(&host).unwrap_or(u64::MAX);
        let reserve = (left / RESERVE_SHARE).max(RESERVE_MIN);
        let standard_limit = resident_bytes().saturating_add(left.saturating_sub(reserve));
        let now = Instant::now();
        Self { host, standard_limit, left, look_at: now, ask_host_at: now + HOST_INTERVAL, is_full: false }
    }

    /// Looks if it is time, and tells the cores. `configured` is the operator's limit, 0: none.
    pub(crate) fn look(&mut self, configured: u64, connections: u64, control: &Control) {
        let now = Instant::now();
        if now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_INTERVAL;
        if now >= self.ask_host_at {
            self.ask_host_at = now + HOST_INTERVAL;
            self.left = available_bytes(&self.host).unwrap_or(u64::MAX);
        }
        let figures = MemoryFigures {
            resident: resident_bytes(),
            kernel: connections.saturating_mul(KERNEL_BYTES_PER_CONNECTION),
            limit: if configured == 0 { self.standard_limit } else { configured },
        };
        let is_full = judge(self.is_full, figures, self.left);
        if is_full != self.is_full {
            let MemoryFigures { resident, kernel, limit } = figures;
            tracing::warn!(is_full, resident, kernel, limit, left = self.left, "memory for connections");
        }
        self.is_full = is_full;
        control.set_memory(figures, is_full);
    }
}

/// True if newcomers must be refused.
fn judge(was_full: bool, figures: MemoryFigures, left: u64) -> bool {
    let used = figures.resident.saturating_add(figures.kernel);
    if was_full {
        used > figures.limit - figures.limit / ROOM_SHARE || left < 2 * RESERVE_MIN
    } else {
        used >= figures.limit || left < RESERVE_MIN
    }
}

/// Resident memory of this process, without files that it maps, in bytes; 0 if the system does not tell.
fn resident_bytes() -> u64 {
    fs::read_to_string("/proc/self/statm").ok().and_then(|text| resident_of(&text)).unwrap_or(0)
}

/// Source: proc_pid_statm(5): size, resident, shared, in pages.
fn resident_of(statm: &str) -> Option<u64> {
    let mut pages = statm.split_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(0);
    Some(resident.saturating_sub(shared).saturating_mul(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: u64 = 1 << 40;

    fn figures(resident: u64, kernel: u64) -> MemoryFigures {
        MemoryFigures { resident, kernel, limit: 3_200 }
    }

    /// Proves: G-LIMIT-7 (the process's memory and the kernel's count together, and room comes back only below the gap)
    /// Seen to fail when: the kernel's part is left out, or `was_full` is ignored.
    #[test]
    fn a_full_gateway_has_room_again_below_a_gap() {
        assert!(!judge(false, figures(2_000, 1_199), PLENTY));
        assert!(judge(false, figures(2_000, 1_200), PLENTY));
        assert!(judge(true, figures(2_000, 1_101), PLENTY));
        assert!(!judge(true, figures(2_000, 1_100), PLENTY));
    }

    /// Proves: G-LIMIT-7 (a host that has nothing left refuses newcomers, whatever the limit says)
    /// Seen to fail when: `left` is not looked at.
    #[test]
    fn a_host_without_memory_refuses_newcomers() {
        assert!(judge(false, figures(1, 1), RESERVE_MIN - 1));
        assert!(!judge(false, figures(1, 1), RESERVE_MIN));
        assert!(judge(true, figures(1, 1), 2 * RESERVE_MIN - 1));
    }

    /// The second field counts, without the third, in pages.
    /// Seen to fail when: the first field is taken.
    #[test]
    fn mapped_files_are_not_resident_memory() {
        let page = u64::try_from(rustix::param::page_size()).unwrap();
        assert_eq!(resident_of("900 100 30 7 0 50 0\n"), Some(70 * page));
        assert_eq!(resident_of("900"), None);
        assert!(resident_bytes() > 0);
    }
}
