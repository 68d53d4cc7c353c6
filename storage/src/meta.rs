//! META: the one small file of a data directory that says what it is and how far it must reach.
//!
//! It is text, a fact a line, so that an operator can read it; the last line is a checksum over the lines before.
//!
//! Invariants
//! - It is replaced in one step: written beside, synced, renamed, the directory synced.
//! - The generation is raised and durable before a process lets its first offset out, and never falls.
//! - A file that is damaged, of another version or older than the data is an error, never a default.

use crate::number::{LogKey, RecordNumber, SegmentSequence, Vouch};
use iris_protocol::{Durability, Generation, Incarnation, Wall};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

mod store;
mod text;

pub use store::{FolderMeta, SharedMeta};

/// The version of everything in a data directory.
pub const FORMAT_VERSION: u32 = 1;
/// The file's name.
pub const META_FILE: &str = "META";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The random identity of the history.
    pub incarnation: Incarnation,
    /// The seed of the logs' checksums.
    pub log_key: LogKey,
    /// The boot number: raised at each boot.
    pub generation: Generation,
    /// The shard clock, at the last time it was written.
    pub clock: Wall,
    /// The host's boot id at the last start.
    pub host_boot: String,
    /// Which directory this is: changes when it is copied or restored.
    pub origin: u64,
    /// Number of shards whose databases hold the slots.
    pub shards: u16,
    /// Set while slots move to another number of shards.
    pub moving: Option<Moving>,
    /// The durability of the last start.
    pub durability: Durability,
    /// True if the last process ended in order.
    pub clean: bool,
    /// By core: what its log must reach.
    pub vouched: Vec<Vouch>,
}

/// A change of the number of shards that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moving {
    /// The new number.
    pub shards: u16,
    /// The generation that began it: tells this move from others.
    pub id: Generation,
}

/// Why a META cannot be used. The server does not start.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// It cannot be read or written.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// The attempt.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Its checksum does not match, or a line is not what it should be.
    #[error("{path} is damaged: {what}; restore it together with the whole data directory from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Another version wrote it.
    #[error("{path} has format version {found}, this server knows {known}: start the version that wrote it")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// This server's.
        known: u32,
    },
    /// The boot numbers are used up.
    #[error("all {max} generations are used: export the data into a new data directory")]
    GenerationsUsed {
        /// How many there are.
        max: u32,
    },
}

impl MetaError {
    /// True if the disk has no room.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            Self::Damaged { .. } | Self::Version { .. } | Self::GenerationsUsed { .. } => false,
        }
    }
}

/// Where META is kept: a folder, or memory in tests and the simulator.
pub trait MetaStore: fmt::Debug {
    /// What is there; `None` if there is nothing.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read(&mut self) -> Result<Option<Vec<u8>>, MetaError>;
    /// Puts this in its place, in one step and durably.
    ///
    /// # Errors
    /// [`MetaError::Io`]: end the process; what is there now is one of before and after.
    fn replace(&mut self, bytes: &[u8]) -> Result<(), MetaError>;
    /// The name for messages.
    fn path(&self) -> PathBuf;
}

/// META in its place.
#[derive(Debug)]
pub struct MetaFile {
    store: Box<dyn MetaStore>,
    meta: Meta,
}

impl MetaFile {
    /// Reads a folder's file; `None` if there is none.
    ///
    /// # Errors
    /// [`MetaError`]: refuse to start.
    pub fn read(directory: &Path) -> Result<Option<Self>, MetaError> {
        let mut store = FolderMeta::new(directory);
        let meta = Meta::read(&mut store)?;
        Ok(meta.map(|meta| Self::new(Box::new(store), meta)))
    }

    /// The file of a store that holds this, or nothing yet.
    pub fn new(store: Box<dyn MetaStore>, meta: Meta) -> Self {
        Self { store, meta }
    }

    /// The directory that it describes.
    pub(crate) fn directory(&self) -> PathBuf {
        let path = self.store.path();
        path.parent().unwrap_or(&path).to_owned()
    }

    /// What it says.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Changes it and makes the change durable.
    ///
    /// # Errors
    /// [`MetaError::Io`]: end the process; what the file says now is one of before and after.
    pub fn change(&mut self, change: impl FnOnce(&mut Meta)) -> Result<(), MetaError> {
        let mut meta = self.meta.clone();
        change(&mut meta);
        assert!(meta.generation >= self.meta.generation, "the generation fell to {}", meta.generation);
        assert!(meta.clock >= self.meta.clock, "the shard clock fell to {}", meta.clock);
        self.store.replace(text::print(&meta).as_bytes())?;
        self.meta = meta;
        Ok(())
    }

    /// Raises the generation for a boot, and makes it durable. True if few are left (from
    /// [`Generation::WARN`] on): warn the operator.
    ///
    /// # Errors
    /// [`MetaError::GenerationsUsed`] at the limit; [`MetaError::Io`].
    pub fn raise_generation(&mut self, change: impl FnOnce(&mut Meta)) -> Result<bool, MetaError> {
        let next = self.meta.generation.0.saturating_add(1);
        if next >= Generation::MAX {
            return Err(MetaError::GenerationsUsed { max: Generation::MAX });
        }
        self.change(|meta| {
            meta.generation = Generation(next);
            change(meta);
        })?;
        Ok(next >= Generation::WARN)
    }

    /// Notes what a core's log has reached: at a boot, a change of segment, a clean stop.
    ///
    /// # Errors
    /// [`MetaError::Io`]: end the process.
    pub fn vouch(&mut self, core: u16, vouch: Vouch) -> Result<(), MetaError> {
        self.change(|meta| {
            if let Some(place) = meta.vouched.get_mut(usize::from(core)) {
                place.number = place.number.max(vouch.number);
                place.segment = place.segment.max(vouch.segment);
            }
        })
    }

    /// Notes the shard clock.
    ///
    /// # Errors
    /// [`MetaError::Io`]: end the process.
    pub fn store_clock(&mut self, clock: Wall) -> Result<(), MetaError> {
        self.change(|meta| meta.clock = meta.clock.max(clock))
    }

    /// Notes a clean stop: the last thing a process writes, after its logs and tables.
    ///
    /// # Errors
    /// [`MetaError::Io`].
    pub fn stop_clean(&mut self, clock: Wall, vouched: &[Vouch]) -> Result<(), MetaError> {
        self.change(|meta| {
            meta.clock = meta.clock.max(clock);
            meta.clean = true;
            for (place, vouch) in meta.vouched.iter_mut().zip(vouched) {
                place.number = place.number.max(vouch.number);
                place.segment = place.segment.max(vouch.segment);
            }
        })
    }
}

impl Meta {
    /// Reads what a store holds; `None` if there is nothing.
    ///
    /// # Errors
    /// [`MetaError`]: refuse to start.
    pub fn read(store: &mut dyn MetaStore) -> Result<Option<Self>, MetaError> {
        let Some(bytes) = store.read()? else {
            return Ok(None);
        };
        let path = store.path();
        text::parse(&bytes).map(Some).map_err(|problem| match problem {
            text::Problem::Version(found) => MetaError::Version { path, found, known: FORMAT_VERSION },
            text::Problem::Damaged(what) => MetaError::Damaged { path, what },
        })
    }

    /// A new directory's: nothing stored yet.
    pub fn new(incarnation: Incarnation, log_key: LogKey, shards: u16) -> Self {
        let vouch = Vouch { number: RecordNumber::NONE, segment: SegmentSequence(0) };
        Self {
            incarnation,
            log_key,
            generation: Generation(0),
            clock: Wall(0),
            host_boot: "-".into(),
            origin: 0,
            shards,
            moving: None,
            durability: Durability::Fsync,
            clean: true,
            vouched: vec![vouch; usize::from(shards)],
        }
    }
}

#[cfg(test)]
mod tests;
