//! What a process holds: memory, descriptors, threads.
//!
//! Invariants
//! - A figure that cannot be read is an error, never zero.

use crate::error::BenchError;
use std::fs;

/// A process's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Private_Dirty, in bytes: what only this process holds and would have to be written somewhere else.
    pub private_dirty: u64,
    /// Rss, in bytes.
    pub resident: u64,
}

impl Reading {
    /// Reads `smaps_rollup`.
    ///
    /// # Errors
    /// The process is gone.
    pub fn of(pid: u32) -> Result<Self, BenchError> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).map_err(BenchError::io(path.clone()))?;
        Self::parse(&text).ok_or_else(|| BenchError::Protocol(format!("{path} has no Private_Dirty and Rss")))
    }

    fn parse(text: &str) -> Option<Self> {
        Some(Self { private_dirty: field(text, "Private_Dirty")?, resident: field(text, "Rss")? })
    }
}

/// The kernel's small objects of the whole host, in bytes: sockets are among them.
///
/// # Errors
/// The host does not tell.
pub fn slab() -> Result<u64, BenchError> {
    const MEMINFO: &str = "/proc/meminfo";
    let text = fs::read_to_string(MEMINFO).map_err(BenchError::io(MEMINFO.to_owned()))?;
    field(&text, "Slab").ok_or_else(|| BenchError::Protocol(format!("{MEMINFO} has no Slab")))
}

/// A field in kB, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Open descriptors of a process. Connections in a ring's own table are not among them.
///
/// # Errors
/// The process is gone.
pub fn descriptors(pid: u32) -> Result<u64, BenchError> {
    entries(&format!("/proc/{pid}/fd"))
}

/// Threads of a process, the kernel's io_uring workers included.
///
/// # Errors
/// The process is gone.
pub fn threads(pid: u32) -> Result<u64, BenchError> {
    entries(&format!("/proc/{pid}/task"))
}

fn entries(path: &str) -> Result<u64, BenchError> {
    let listed = fs::read_dir(path).map_err(BenchError::io(path.to_owned()))?;
    Ok(u64::try_from(listed.count()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLLUP: &str = "5560-7ffd ---p 00000000 00:00 0    [rollup]\nRss:                1234 kB\n\
                          Pss:                1000 kB\nPrivate_Clean:        12 kB\nPrivate_Dirty:       900 kB\n";

    /// The figures are found by their whole names, in bytes.
    /// Seen to fail when: any line that starts with Private is taken, or kB are not multiplied.
    #[test]
    fn figures_are_read_by_name_in_bytes() {
        let expected = Reading { private_dirty: 900 * 1024, resident: 1234 * 1024 };
        assert_eq!(Reading::parse(ROLLUP), Some(expected));
        assert_eq!(Reading::parse("Rss: 5 kB\n"), None);
    }

    /// An opened file is one more descriptor, and a process that is not there is an error.
    /// Seen to fail when: the descriptors of another process are counted.
    #[test]
    fn an_opened_file_is_one_more_descriptor() {
        let before = descriptors(std::process::id()).unwrap();
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        assert_eq!(descriptors(std::process::id()).unwrap(), before + 1);
        drop(file);
        assert!(threads(std::process::id()).unwrap() >= 1);
        assert!(descriptors(u32::MAX).is_err());
    }
}
