//! Which shard owns which slot.
//!
//! Invariants
//! - Every slot has exactly one owner, below the number of shards.

use crate::limits::{SHARDS_MAX, SLOTS};
use crate::{ShardId, Slot};
use std::sync::Arc;

/// The slot table of a process. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    table: Arc<[ShardId]>,
    shards: u16,
}

impl Placement {
    /// Slots dealt out in turn to `shards` shards, 1 to [`SHARDS_MAX`].
    #[must_use]
    pub fn even(shards: u16) -> Self {
        assert!((1..=SHARDS_MAX).contains(&shards), "{shards} shards are not 1 to {SHARDS_MAX}");
        let table = (0..SLOTS).map(|slot| ShardId(slot.checked_rem(shards).unwrap_or(0))).collect();
        Self { table, shards }
    }

    /// The owner of a slot.
    #[must_use]
    pub fn shard_of(&self, slot: Slot) -> ShardId {
        // The table has a place for every slot.
        self.table.get(usize::from(slot.number())).copied().unwrap_or(ShardId(0))
    }

    /// Number of shards.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The slots of a shard, ascending.
    pub fn slots_of(&self, shard: ShardId) -> impl Iterator<Item = Slot> {
        (0..SLOTS).filter_map(Slot::new).filter(move |slot| self.shard_of(*slot) == shard)
    }
}
