//! What this host takes for the two things that every durable message waits for: a synced write, and a thread's wake-up.
//!
//! Invariants
//! - A probe is bounded in time and leaves no file.

use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// A block as the record log writes it.
const BLOCK_BYTES: usize = 4096;
/// Blocks of the file that is written over and over: written once before, as a log's segments are.
const BLOCKS: u64 = 256;
/// Most writes, and most time for them.
const WRITES_MAX: usize = 1_000;
const WRITING_MAX: Duration = Duration::from_secs(3);
/// Wake-ups, each after a pause in which the other core falls idle.
const WAKES: usize = 500;
const PAUSE: Duration = Duration::from_millis(2);
/// Above it, the 99th percentile of a synced write is what users feel.
pub const SYNC_P99_MAX: Duration = Duration::from_millis(10);
/// Above it, cores sleep deeper, or the host gives them away for longer, than a messaging host should.
pub const WAKE_P99_MAX: Duration = Duration::from_millis(1);

/// A probe's distribution, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// Largest.
    pub max_us: f64,
    /// How many were measured.
    pub count: usize,
}

impl Spread {
    /// The spread of these times; `None` of none.
    fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let at = |share: usize| times.get(times.len().checked_sub(1)? * share / 100).copied();
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        Some(Self { p50_us: us(at(50)?), p99_us: us(at(99)?), max_us: us(at(100)?), count: times.len() })
    }

    /// True if the 99th percentile is within this.
    pub fn is_within(&self, p99_max: Duration) -> bool {
        self.p99_us <= p99_max.as_secs_f64() * 1e6
    }
}

/// Synced writes of a block into a file that was written before, in this directory.
///
/// # Errors
/// The directory takes no file, or a write or sync failed.
pub fn synced_writes(directory: &Path) -> io::Result<Option<Spread>> {
    let path = directory.join(format!(".iris-tuning-probe-{}", std::process::id()));
    let times = write_synced(&path);
    let removed = fs::remove_file(&path);
    let times = times?;
    removed.map(|()| Spread::of(times))
}

fn write_synced(path: &Path) -> io::Result<Vec<Duration>> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    for _ in 0..BLOCKS {
        file.write_all(&[0; BLOCK_BYTES])?;
    }
    file.sync_all()?;
    let (mut times, begun) = (Vec::new(), Instant::now());
    for block in (0..BLOCKS).cycle().take(WRITES_MAX) {
        if begun.elapsed() > WRITING_MAX {
            break;
        }
        let since = Instant::now();
        file.write_all_at(&[1; BLOCK_BYTES], block * BLOCK_BYTES as u64)?;
        file.sync_data()?;
        times.push(since.elapsed());
    }
    Ok(times)
}

/// From the moment at which one thread wakes another to the moment at which that one runs.
///
/// # Errors
/// No thread could be started.
pub fn wake_ups() -> io::Result<Option<Spread>> {
    let (wake, waked): (Sender<Instant>, Receiver<Instant>) = channel();
    let sleeper = std::thread::Builder::new()
        .name("sleeper".to_owned())
        .spawn(move || waked.iter().map(|since| since.elapsed()).collect::<Vec<_>>())?;
    for _ in 0..WAKES {
        std::thread::sleep(PAUSE);
        // The sleeper ends only when the sender is gone.
        let _ = wake.send(Instant::now());
    }
    drop(wake);
    Ok(sleeper.join().ok().and_then(Spread::of))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen to fail when: times are not sorted.
    #[test]
    fn a_spread_is_of_sorted_times() {
        let times = (1..=200).rev().map(Duration::from_micros).collect();
        let spread = Spread::of(times).unwrap();
        assert_eq!(
            (spread.p50_us.round(), spread.p99_us.round(), spread.max_us.round()),
            (100.0, 198.0, 200.0)
        );
        assert!(
            spread.is_within(Duration::from_micros(199)) && !spread.is_within(Duration::from_micros(197))
        );
        assert_eq!(Spread::of(Vec::new()), None);
    }

    /// Seen to fail when: the file is not removed.
    #[test]
    fn a_probe_measures_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let spread = synced_writes(directory.path()).unwrap().unwrap();
        assert!(spread.count > 0 && spread.p50_us > 0.0);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(synced_writes(&directory.path().join("missing")).is_err());
        assert_eq!(wake_ups().unwrap().unwrap().count, WAKES);
    }
}
