//! A queue that costs 8 bytes while it is empty: most users and sessions have nothing in theirs.
//!
//! Invariants
//! - An empty ring that was released holds no heap memory.

use crate::memory::block_bytes;
use std::collections::VecDeque;

/// A double-ended queue behind one pointer.
#[derive(Debug)]
#[allow(clippy::box_collection, reason = "8 bytes instead of 32 in every idle session")]
pub(crate) struct Ring<T>(Option<Box<VecDeque<T>>>);

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Ring<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |items| items.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn push_back(&mut self, item: T) {
        self.0.get_or_insert_default().push_back(item);
    }

    pub(crate) fn push_front(&mut self, item: T) {
        self.0.get_or_insert_default().push_front(item);
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        self.0.as_mut()?.pop_front()
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.0.as_ref()?.front()
    }

    pub(crate) fn back(&self) -> Option<&T> {
        self.0.as_ref()?.back()
    }

    pub(crate) fn at(&self, index: usize) -> Option<&T> {
        self.0.as_ref()?.get(index)
    }

    pub(crate) fn at_mut(&mut self, index: usize) -> Option<&mut T> {
        self.0.as_mut()?.get_mut(index)
    }

    pub(crate) fn remove(&mut self, index: usize) -> Option<T> {
        self.0.as_mut()?.remove(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|items| items.iter())
    }

    /// Index of the first item for which `before` is false; the items must be ordered by it.
    pub(crate) fn partition_point(&self, before: impl FnMut(&T) -> bool) -> usize {
        self.0.as_ref().map_or(0, |items| items.partition_point(before))
    }

    /// Memory of the queue, in bytes; without what its items own elsewhere.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |items| {
            block_bytes(size_of::<VecDeque<T>>()) + block_bytes(items.capacity() * size_of::<T>())
        })
    }

    /// Gives the memory of an empty queue back.
    pub(crate) fn release(&mut self) {
        if self.is_empty() {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests;
