//! The lock of a data directory.
//!
//! Invariants
//! - It is held by an open file, so the system lets it go when the process ends, however it ends.

use super::OpenError;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;
use xxhash_rust::xxh3::xxh3_64;

/// The file that is locked.
pub const LOCK_FILE: &str = "LOCK";

/// A lock that is held.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    /// Takes the lock of a directory, which is made if it is missing.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if another process, or this one, holds it; [`OpenError::Io`].
    pub fn take(directory: &Path) -> Result<Self, OpenError> {
        let failed = |what| move |source| OpenError::Io { what, path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(failed("make"))?;
        let path = directory.join(LOCK_FILE);
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(failed("make the lock file in"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked { path: directory.to_owned() }),
            Err(error) => Err(failed("lock")(error.into())),
        }
    }

    /// Which directory this is: a copy's lock file is another file, made at another time.
    pub fn origin(&self) -> u64 {
        let Ok(facts) = self.file.metadata() else { return 0 };
        let made = facts.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let mut bytes = facts.ino().to_be_bytes().to_vec();
        bytes.extend_from_slice(&made.map_or(0, |made| made.as_nanos()).to_be_bytes());
        xxh3_64(&bytes)
    }
}
