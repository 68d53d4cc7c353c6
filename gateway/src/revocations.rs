//! Tokens that were revoked: in memory for every core, and in the file REVOCATIONS of the data directory.
//!
//! Invariants
//! - What is in force is in the file, synced, before anybody is told; a file that cannot be read refuses the start.
//! - The file is replaced as a whole: written beside, synced, renamed, directory synced.
//! - Bounded: an entry lives as long as a token can, and there are at most [`ENTRIES_MAX`].

mod file;
mod set;

pub(crate) use file::FileError;
pub(crate) use set::{Entry, Set, Target, TokenMark};

use crate::token::LIFETIME_SECONDS_MAX;
use iris_protocol::Wall;
use std::hash::RandomState;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Most entries. 100,000 are some 15 MiB in memory and 10 MiB in the file, which is written anew for each.
pub(crate) const ENTRIES_MAX: usize = 100_000;
/// How long an entry lives: no token that was issued before it is accepted any more. A day, and twice the largest
/// `tokens.leeway`: one for `iat`, one for `exp`.
const ENTRY_LIFE_MS: u64 = (LIFETIME_SECONDS_MAX + 2 * 300) * 1000;

/// Why something is not revoked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevokeError {
    /// There are too many.
    #[error("there are {ENTRIES_MAX} revocations already; each lives for a day")]
    Full,
    /// The file could not be written; what was in force stays.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The revocations of this process. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Revocations(Arc<Shared>);

struct Shared {
    directory: PathBuf,
    /// Key of the fingerprints: random, so that nobody can look for collisions.
    key: RandomState,
    /// Serial of the last entry, as cores see it without a lock.
    last: AtomicU64,
    set: RwLock<Arc<Set>>,
}

impl Revocations {
    /// Reads the file of a data directory; without one, nothing is revoked.
    ///
    /// # Errors
    /// [`FileError`]: do not start, since what was revoked would be accepted.
    pub(crate) fn open(directory: &Path, now: Wall) -> Result<Self, FileError> {
        let entries = file::read(directory)?;
        let key = RandomState::new();
        let set = Set::new(entries.into_iter().filter(|entry| entry.ends_at > now).map(Arc::new), &key);
        let last = AtomicU64::new(set.last());
        let shared = Shared { directory: directory.to_owned(), key, last, set: RwLock::new(Arc::new(set)) };
        Ok(Self(Arc::new(shared)))
    }

    /// What is in force.
    pub(crate) fn current(&self) -> Arc<Set> {
        Arc::clone(&self.0.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serial of the last entry: another one than before means another [`Revocations::current`].
    pub(crate) fn last(&self) -> u64 {
        self.0.last.load(Ordering::Acquire)
    }

    /// A token as it is compared.
    pub(crate) fn mark(&self, jti: &str, issued_at: Wall) -> TokenMark {
        TokenMark::new(&self.0.key, jti, issued_at)
    }

    /// Revokes; durable and in force for logins when it returns, for sessions once the cores have looked. Called by one
    /// thread.
    ///
    /// # Errors
    /// [`RevokeError`]: nothing has changed.
    pub(crate) fn revoke(&self, target: Target, now: Wall) -> Result<Arc<Entry>, RevokeError> {
        let before = self.current();
        let ends_at = now.after_ms(ENTRY_LIFE_MS);
        let entry = Arc::new(Entry { serial: before.last() + 1, target, made_at: now, ends_at });
        let mut entries: Vec<Arc<Entry>> =
            before.entries().iter().filter(|entry| entry.ends_at > now).map(Arc::clone).collect();
        if entries.len() >= ENTRIES_MAX {
            return Err(RevokeError::Full);
        }
        entries.push(Arc::clone(&entry));
        file::write(&self.0.directory, &entries)?;
        let set = Set::new(entries.into_iter(), &self.0.key);
        *self.0.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        self.0.last.store(entry.serial, Ordering::Release);
        Ok(entry)
    }
}

#[cfg(test)]
mod tests;
