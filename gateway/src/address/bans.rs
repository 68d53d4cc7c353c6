//! Addresses that are refused for a while.
//!
//! Invariants
//! - Without bans, asking costs one load.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

/// Most bans at a time: some 4 MiB.
const BANS_MAX: usize = 1 << 16;

/// No more bans fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{BANS_MAX} addresses are banned already")]
pub struct TooManyBans;

#[derive(Debug, Default)]
pub(super) struct Bans {
    count: AtomicUsize,
    until: RwLock<BTreeMap<IpAddr, Instant>>,
}

impl Bans {
    pub(super) fn has(&self, source: IpAddr, now: Instant) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let until = self.until.read().unwrap_or_else(PoisonError::into_inner);
        until.get(&source).is_some_and(|until| now < *until)
    }

    pub(super) fn add(&self, source: IpAddr, until: Instant) -> Result<(), TooManyBans> {
        self.change(|bans| {
            if bans.len() >= BANS_MAX && !bans.contains_key(&source) {
                let now = Instant::now();
                bans.retain(|_, until| now < *until);
            }
            if bans.len() >= BANS_MAX && !bans.contains_key(&source) {
                return Err(TooManyBans);
            }
            bans.insert(source, until);
            Ok(())
        })
    }

    pub(super) fn remove(&self, source: IpAddr) -> bool {
        self.change(|bans| bans.remove(&source).is_some())
    }

    pub(super) fn list(&self, now: Instant) -> Vec<(IpAddr, Instant)> {
        self.change(|bans| {
            bans.retain(|_, until| now < *until);
            bans.iter().map(|(source, until)| (*source, *until)).collect()
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<IpAddr, Instant>) -> T) -> T {
        let mut bans = self.until.write().unwrap_or_else(PoisonError::into_inner);
        let outcome = change(&mut bans);
        self.count.store(bans.len(), Ordering::Release);
        outcome
    }
}
