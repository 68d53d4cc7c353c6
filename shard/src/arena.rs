//! Values by index and by key: a slab, and a table of indices that stores no keys of its own.
//!
//! Invariants
//! - One value a key. An index is reused only after its value was removed.
//! - The table is seeded by configuration; nothing iterates over it. The slab is walked in index order.

use crate::memory::to_u64;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use slab::Slab;
use std::ops::{Index, IndexMut};

/// A value that knows the hash of its key.
pub(crate) trait Keyed {
    fn key_hash(&self, state: &FixedState) -> u64;
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    slab: Slab<T>,
    table: HashTable<u32>,
    state: FixedState,
    /// Most places that were ever in use: those behind them were never touched.
    peak: u32,
}

impl<T: Keyed> Arena<T> {
    pub(crate) fn new(seed: u64) -> Self {
        Self { slab: Slab::new(), table: HashTable::new(), state: FixedState::with_seed(seed), peak: 0 }
    }

    pub(crate) fn state(&self) -> &FixedState {
        &self.state
    }

    /// The index of the value with this key's hash for which `is_key` holds.
    pub(crate) fn find(&self, hash: u64, mut is_key: impl FnMut(&T) -> bool) -> Option<u32> {
        self.table.find(hash, |index| is_key(&self.slab[*index as usize])).copied()
    }

    /// Adds a value whose key is not there yet.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let hash = value.key_hash(&self.state);
        let index = u32::try_from(self.slab.insert(value)).unwrap_or(u32::MAX);
        assert!(index != u32::MAX, "more than 2^32 values in an arena");
        self.peak = self.peak.max(index + 1);
        let (slab, state) = (&self.slab, &self.state);
        self.table.insert_unique(hash, index, |index| slab[*index as usize].key_hash(state));
        index
    }

    pub(crate) fn remove(&mut self, index: u32) -> T {
        let hash = self.slab[index as usize].key_hash(&self.state);
        let entry = self.table.find_entry(hash, |other| *other == index);
        assert!(entry.is_ok(), "value {index} is not in its table");
        if let Ok(entry) = entry {
            entry.remove();
        }
        self.slab.remove(index as usize)
    }

    /// One more than the highest index ever used.
    pub(crate) fn bound(&self) -> u32 {
        u32::try_from(self.slab.capacity()).unwrap_or(u32::MAX)
    }

    /// Places that hold a value, or held one.
    pub(crate) fn peak(&self) -> u32 {
        self.peak
    }

    /// Memory of slab and table, in bytes; without what the values own elsewhere.
    pub(crate) fn bytes(&self) -> u64 {
        // The slab tells an empty place by a value that `T` cannot have, where it has one.
        let place = size_of::<Option<T>>().max(size_of::<Option<usize>>());
        to_u64(place) * u64::from(self.peak) + to_u64(self.table.allocation_size())
    }

    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        self.slab.get(index as usize)
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slab.get_mut(index as usize)
    }

    /// Every value in index order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slab.iter().map(|(index, value)| (u32::try_from(index).unwrap_or(u32::MAX), value))
    }
}

impl<T> Index<u32> for Arena<T> {
    type Output = T;
    fn index(&self, index: u32) -> &T {
        &self.slab[index as usize]
    }
}

impl<T> IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.slab[index as usize]
    }
}

#[cfg(test)]
mod tests;
