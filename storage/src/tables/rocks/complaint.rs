//! Why background work of RocksDB failed: its counters only say how often, its log says why.
//!
//! Invariants
//! - At most the last 64 KiB of the log are read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// How much of the log's end is looked at.
const TAIL_BYTES: u64 = 64 << 10;
/// RocksDB's words before the reason (`BackgroundCallFlush`, `BackgroundCallCompaction`).
const BEFORE: [&str; 2] =
    ["Waiting after background flush error: ", "Waiting after background compaction error: "];
/// RocksDB's words behind it.
const BEHIND: &str = "Accumulated background error counts";

/// The reason of the last failure of background work that the database in this folder logged; `None`: none, or the log
/// cannot be read.
pub(super) fn last(folder: &Path) -> Option<String> {
    let tail = tail(&folder.join("LOG")).ok()?;
    last_in(&tail).map(str::to_owned)
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).into_owned())
}

fn last_in(log: &str) -> Option<&str> {
    let behind =
        |line| BEFORE.iter().find_map(|before| str::split_once(line, before)).map(|(_, reason)| reason);
    let reason = log.lines().rev().find_map(behind)?;
    let reason = reason.split_once(BEHIND).map_or(reason, |(reason, _)| reason);
    Some(reason.trim_end_matches([',', ' ']))
}

#[cfg(test)]
mod tests;
