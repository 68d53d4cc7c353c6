//! Where the halves of a connection meet that comes from another core: its descriptor, through the ring, and its state, by mail.
//! Either may be first.
//!
//! Invariants
//! - A half is given out with the other half of its label alone, and once: nothing is armed before both are here.

use std::collections::HashMap;

/// Halves that wait for their other one, by label.
#[derive(Debug)]
pub struct Handover<D, S> {
    descriptors: HashMap<u64, D>,
    states: HashMap<u64, S>,
}

impl<D, S> Default for Handover<D, S> {
    fn default() -> Self {
        Self { descriptors: HashMap::new(), states: HashMap::new() }
    }
}

impl<D, S> Handover<D, S> {
    /// A descriptor came: both halves, if its state is here.
    pub fn descriptor_came(&mut self, label: u64, descriptor: D) -> Option<(D, S)> {
        if let Some(state) = self.states.remove(&label) {
            return Some((descriptor, state));
        }
        let other = self.descriptors.insert(label, descriptor);
        assert!(other.is_none(), "two descriptors came under label {label}");
        None
    }

    /// A state came: both halves, if its descriptor is here.
    pub fn state_came(&mut self, label: u64, state: S) -> Option<(D, S)> {
        if let Some(descriptor) = self.descriptors.remove(&label) {
            return Some((descriptor, state));
        }
        let other = self.states.insert(label, state);
        assert!(other.is_none(), "two states came under label {label}");
        None
    }
}

#[cfg(all(test, loom))]
mod tests;
