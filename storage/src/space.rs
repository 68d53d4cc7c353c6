//! Room on the disk: decides when nothing new is accepted, and keeps a ballast for acks and deletions.
//!
//! Invariants
//! - STORAGE_FULL is decided before a write, from the free space of the file system.
//! - The ballast is real blocks: letting it go makes room at once.

use crate::codec::wide;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The ballast's file in the data directory.
pub const BALLAST_FILE: &str = "BALLAST";

/// When a disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceConfig {
    /// Below this many free bytes nothing new is accepted: room for the segment that is made ahead, and for a flush
    /// and a compaction of the tables.
    pub free_bytes_min: u64,
    /// Accepted again above this many; more than `free_bytes_min`, so that it does not flap.
    pub free_bytes_resume: u64,
    /// Bytes of the ballast.
    pub ballast_bytes: u64,
}

impl Default for SpaceConfig {
    /// 512 MiB, 640 MiB, 64 MiB.
    fn default() -> Self {
        Self { free_bytes_min: 512 << 20, free_bytes_resume: 640 << 20, ballast_bytes: 64 << 20 }
    }
}

/// Watches the file system of a data directory.
#[derive(Clone, Debug)]
pub struct Space {
    directory: PathBuf,
    config: SpaceConfig,
    full: bool,
}

impl Space {
    /// Watches this directory.
    pub fn new(directory: &Path, config: SpaceConfig) -> Self {
        assert!(config.free_bytes_resume >= config.free_bytes_min, "accepting again below full: {config:?}");
        Self { directory: directory.to_owned(), config, full: false }
    }

    /// Free bytes for this process.
    ///
    /// # Errors
    /// The file system cannot be asked.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let facts = statvfs(&self.directory)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }

    /// Bytes of the whole file system.
    ///
    /// # Errors
    /// The file system cannot be asked.
    pub fn total_bytes(&self) -> io::Result<u64> {
        let facts = statvfs(&self.directory)?;
        Ok(facts.f_blocks.saturating_mul(facts.f_frsize))
    }

    /// True if nothing new may be accepted. Ask about once a second.
    ///
    /// # Errors
    /// The file system cannot be asked.
    pub fn is_full(&mut self) -> io::Result<bool> {
        let free = self.free_bytes()?;
        Ok(self.judge(free))
    }

    /// The decision for a number of free bytes.
    pub fn judge(&mut self, free: u64) -> bool {
        let bound = if self.full { self.config.free_bytes_resume } else { self.config.free_bytes_min };
        self.full = free < bound;
        self.full
    }

    /// Makes the ballast, unless the disk is already full; true if it is there.
    ///
    /// # Errors
    /// The file cannot be made for another reason than lack of room.
    pub fn make_ballast(&mut self) -> io::Result<bool> {
        let path = self.directory.join(BALLAST_FILE);
        let bytes = self.config.ballast_bytes;
        if fs::metadata(&path).is_ok_and(|found| found.len() == bytes) {
            return Ok(true);
        }
        if self.free_bytes()? < self.config.free_bytes_min.saturating_add(bytes) {
            return Ok(false);
        }
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        match fill(&file, bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                fs::remove_file(&path)?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Lets the ballast go if less than its size is free; true if it went. Ask about once a second.
    ///
    /// # Errors
    /// The file system cannot be asked, or the file cannot be removed.
    pub fn release_ballast(&self) -> io::Result<bool> {
        if self.free_bytes()? < self.config.ballast_bytes { self.drop_ballast() } else { Ok(false) }
    }

    /// Lets the ballast go; true if there was one. It is made again at a start with enough room.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn drop_ballast(&self) -> io::Result<bool> {
        match fs::remove_file(self.directory.join(BALLAST_FILE)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn fill(file: &File, bytes: u64) -> io::Result<()> {
    use io::Write;
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => return file.sync_all(),
        Err(rustix::io::Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    let piece = vec![0_u8; 1 << 20];
    let (mut file, mut left) = (file, bytes);
    while left > 0 {
        let length = crate::codec::narrow(left).min(piece.len());
        file.write_all(piece.get(..length).unwrap_or_default())?;
        left = left.saturating_sub(wide(length));
    }
    file.sync_all()
}

#[cfg(test)]
mod tests;
