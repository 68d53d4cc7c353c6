//! A device's state in one small file: replaced as a whole, checksummed, never half.
//!
//! Invariants
//! - The file holds a whole state at every moment: written beside it, synced, renamed over it, directory synced.
//! - What was damaged is refused with a typed error, never read in part.
//! - One process at a time uses a state file.

mod codec;

use crate::state::DeviceState;
use crate::token::Claims;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why a state cannot be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("{}: cannot {step}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// Another process uses this state: stop it, or use another file.
    #[error("{}: in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("{}: not the state of a device", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later version: use that one.
    #[error("{}: format {version}, this program knows 1", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The format's number.
        version: u32,
    },
    /// The file is damaged: restore it, or move it away and start anew; the server then says what is missing.
    #[error("{}: damaged ({what})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// The state of another device.
    #[error("{}: the state of {found}, not of {wanted}", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
}

/// The steps of a save, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Write,
    Sync,
    Rename,
    SyncDirectory,
}

/// The state file of one device.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    owner: String,
    /// Held as long as the store is.
    _lock: File,
}

impl Store {
    /// Opens or creates the state file of this device and gives what it holds.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was changed.
    pub fn open(path: &Path, owner: &Claims) -> Result<(Self, DeviceState), StoreError> {
        let lock = lock(path)?;
        let owner = format!("{}/{}", owner.user, owner.device);
        let store = Self { path: path.to_owned(), owner, _lock: lock };
        let state = match std::fs::read(path) {
            Ok(bytes) => store.decode(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => DeviceState::default(),
            Err(source) => return Err(store.io("read it", source)),
        };
        Ok((store, state))
    }

    fn decode(&self, bytes: &[u8]) -> Result<DeviceState, StoreError> {
        let path = || self.path.clone();
        let (found, state) = codec::decode(bytes).map_err(|error| match error {
            codec::DecodeError::Foreign => StoreError::Foreign { path: path() },
            codec::DecodeError::Version(version) => StoreError::Version { path: path(), version },
            codec::DecodeError::Damaged(what) => StoreError::Damaged { path: path(), what },
        })?;
        if found != self.owner {
            return Err(StoreError::Owner { path: path(), found, wanted: self.owner.clone() });
        }
        Ok(state)
    }

    /// Saves a state: when this returns, it survives a stop of the process and of the host.
    ///
    /// # Errors
    /// [`StoreError::Io`]: the file holds the state before or this one, whole.
    pub fn save(&self, state: &DeviceState) -> Result<(), StoreError> {
        self.save_through(state, Step::SyncDirectory)
    }

    /// Stops after a step, as a crash would.
    fn save_through(&self, state: &DeviceState, last: Step) -> Result<(), StoreError> {
        let bytes = codec::encode(&self.owner, state);
        let temporary = beside(&self.path, "new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|source| self.io("create the new one beside it", source))?;
        file.write_all(&bytes).map_err(|source| self.io("write the new one", source))?;
        if last == Step::Write {
            return Ok(());
        }
        file.sync_all().map_err(|source| self.io("sync the new one", source))?;
        if last == Step::Sync {
            return Ok(());
        }
        std::fs::rename(&temporary, &self.path).map_err(|source| self.io("replace it", source))?;
        if last == Step::Rename {
            return Ok(());
        }
        self.sync_directory().map_err(|source| self.io("sync its directory", source))
    }

    fn sync_directory(&self) -> io::Result<()> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        File::open(directory)?.sync_all()
    }

    fn io(&self, step: &'static str, source: io::Error) -> StoreError {
        StoreError::Io { path: self.path.clone(), step, source }
    }
}

/// A file's neighbour: its name with an ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, "lock");
    let refused = |source| StoreError::Io { path: lock_path.clone(), step: "lock it", source };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(refused)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(error) => Err(refused(error.into())),
    }
}

#[cfg(test)]
mod tests;
