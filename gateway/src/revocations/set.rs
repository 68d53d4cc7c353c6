//! What is revoked, arranged for the questions of a core.

use iris_protocol::{DeviceId, UserId, Wall};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

/// Which tokens are revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The one with this `jti`.
    Token(Box<str>),
    /// Those of a device that were issued up to now.
    Device(UserId, DeviceId),
    /// Those of a user that were issued up to now.
    User(UserId),
}

/// One revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Rises from entry to entry.
    pub(crate) serial: u64,
    /// What is revoked.
    pub(crate) target: Target,
    /// When it was revoked.
    pub(crate) made_at: Wall,
    /// From here on it is not needed any more.
    pub(crate) ends_at: Wall,
}

/// What is kept of a connection's token: 12 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenMark {
    /// Of its `jti`: 64 bits in two halves, so that four bytes align it.
    fingerprint: [u32; 2],
    /// When it was issued, in seconds since 1970.
    issued_s: u32,
}

const _: () = assert!(size_of::<TokenMark>() == 12);

impl TokenMark {
    /// The mark of a token.
    pub(super) fn new(key: &RandomState, jti: &str, issued_at: Wall) -> Self {
        let issued_s = u32::try_from(issued_at.0 / 1000).unwrap_or(u32::MAX);
        Self { fingerprint: fingerprint(key, jti), issued_s }
    }

    /// True if the token was issued up to that time.
    pub(crate) fn was_issued_by(self, time: Wall) -> bool {
        u64::from(self.issued_s) <= time.0 / 1000
    }
}

fn fingerprint(key: &RandomState, jti: &str) -> [u32; 2] {
    let hash = key.hash_one(jti);
    [u32::try_from(hash >> 32).unwrap_or(0), u32::try_from(hash & u64::from(u32::MAX)).unwrap_or(0)]
}

/// Since when a user's tokens are accepted again.
#[derive(Debug, Default)]
struct Cuts {
    all: Option<Wall>,
    devices: HashMap<DeviceId, Wall>,
}

/// See the module. Immutable: another revocation makes another set.
#[derive(Debug, Default)]
pub(crate) struct Set {
    /// In the order of their serials.
    entries: Vec<Arc<Entry>>,
    tokens: HashSet<[u32; 2]>,
    users: HashMap<UserId, Cuts>,
}

impl Set {
    /// Arranges entries, which come in the order of their serials.
    pub(super) fn new(entries: impl Iterator<Item = Arc<Entry>>, key: &RandomState) -> Self {
        let mut set = Self::default();
        for entry in entries {
            match &entry.target {
                Target::Token(jti) => {
                    set.tokens.insert(fingerprint(key, jti));
                }
                Target::Device(user, device) => {
                    let cuts = set.users.entry(user.clone()).or_default();
                    let cut = cuts.devices.entry(device.clone()).or_default();
                    *cut = entry.made_at.max(*cut);
                }
                Target::User(user) => {
                    let cuts = set.users.entry(user.clone()).or_default();
                    cuts.all = cuts.all.max(Some(entry.made_at));
                }
            }
            set.entries.push(entry);
        }
        set
    }

    /// Every revocation, in the order of their serials.
    pub(crate) fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// Revocations with a higher serial.
    pub(crate) fn after(&self, serial: u64) -> &[Arc<Entry>] {
        &self.entries[self.entries.partition_point(|entry| entry.serial <= serial)..]
    }

    /// Serial of the last one; 0: there is none.
    pub(crate) fn last(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.serial)
    }

    /// True if a token of this bearer is revoked.
    pub(crate) fn covers(&self, user: &UserId, device: &DeviceId, mark: TokenMark) -> bool {
        if self.has_token(mark) {
            return true;
        }
        let Some(cuts) = self.users.get(user) else { return false };
        [cuts.all, cuts.devices.get(device).copied()].into_iter().flatten().any(|cut| mark.was_issued_by(cut))
    }

    /// True if the token itself is revoked, by its `jti`.
    pub(crate) fn has_token(&self, mark: TokenMark) -> bool {
        self.tokens.contains(&mark.fingerprint)
    }
}
