//! Files that only their owner may read: keys and tokens.
//!
//! Invariants
//! - A secret is never, not even for an instant, readable by others: the mode is given when the file is made.
//! - Nothing is overwritten.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes a file with mode 0600.
///
/// # Errors
/// As the system says; `AlreadyExists` if the file exists.
pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes a file with mode 0600, with these bytes, synced.
///
/// # Errors
/// As [`create`].
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
