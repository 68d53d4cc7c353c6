//! RLIMIT_NOFILE: it bounds each ring's table, and the ordinary descriptors of the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

/// What no limit of open files may be raised above.
const NR_OPEN: &str = "/proc/sys/fs/nr_open";

/// Raises the process's limit of open files as far as it may without a privilege, and gives what it is then.
///
/// A shell's limit is often 1,024, for programs that wait with `select`; what a ring's table and the tables' files need is
/// what the service was granted. To be called before the first [`Reactor`](crate::Reactor) is made.
///
/// Source: setrlimit(2).
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = |current| setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum });
    if raised(limit.maximum).is_err()
        && let Some(most) = fs::read_to_string(NR_OPEN).ok().and_then(|text| text.trim().parse::<u64>().ok())
    {
        // The hard limit was granted before this one was lowered. What cannot be raised stays what it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: Some(most) });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The soft RLIMIT_NOFILE, which bounds each descriptor table.
pub(crate) fn descriptor_limit() -> u32 {
    let limit = getrlimit(Resource::Nofile).current;
    u32::try_from(limit.unwrap_or(u64::MAX)).unwrap_or(u32::MAX)
}
