//! Files that only their owner may read: keys and tokens.
//!
//! Invariants
//! - A secret is never, not even for an instant, readable by others: the mode is given when the file is made.
//! - Nothing is overwritten.
//! - What others may read is refused.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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

/// Most bytes of a secret that is read.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Reads a secret text, if its file is its owner's alone.
///
/// # Errors
/// As the system says; `PermissionDenied` if others may read or write the file.
pub fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let why = format!("others may read it (mode {mode:04o}); `chmod 600` makes it its owner's alone");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut text = String::new();
    file.take(SECRET_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
