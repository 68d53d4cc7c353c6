//! What a stop of the host under `os` durability leaves behind: each core's log ends where it ends.
//!
//! A home may remember a sequence that its owner has lost. Given to another message, that one would count as known there,
//! and be ignored. So owners go on behind whatever any home remembers.
//!
//! Invariants
//! - After a rewound start no conversation's last sequence is below a watermark of one of its members.

use super::moving::owner;
use crate::codec::put_varint;
use crate::key::{Key, KeyRange, parse, slot_of_conversation};
use crate::load::last_sequence;
use crate::row::sequence_from_value;
use crate::tables::{ChangeList, Next, Table, TableError, Tables};
use iris_protocol::Sequence;
use std::collections::BTreeMap;

/// Raises sequences to the watermarks of all cores, durably. By core; returns how many were raised.
///
/// # Errors
/// The core whose tables failed, and why.
pub(super) fn raise_sequences<T: Tables>(tables: &mut [&mut T]) -> Result<u64, (u16, TableError)> {
    let shards = u16::try_from(tables.len()).unwrap_or(u16::MAX);
    let mut raised: BTreeMap<(u16, Vec<u8>), Sequence> = BTreeMap::new();
    for (core, home) in (0_u16..).zip(tables.iter()) {
        let range = KeyRange::all();
        let scanned = home.scan(Table::Watermarks, &range.from, &range.end, &mut |key, value| {
            let malformed = |source| TableError::malformed(Table::Watermarks, key, source);
            let Key::Watermark { conversation, .. } = parse(Table::Watermarks, key).map_err(malformed)?
            else {
                unreachable!("a key of another table")
            };
            let watermark = sequence_from_value(value).map_err(malformed)?;
            let slot = slot_of_conversation(conversation);
            let (owner, sequence) = (owner(slot, shards), Key::Sequence { slot, conversation });
            let Some(owned) = tables.get(usize::from(owner)) else { return Ok(Next::Continue) };
            if last_sequence(&**owned, sequence)? < watermark {
                let highest = raised.entry((owner, sequence.to_vec())).or_default();
                *highest = (*highest).max(watermark);
            }
            Ok(Next::Continue)
        });
        scanned.map_err(|error| (core, error))?;
    }
    for (core, owner) in (0_u16..).zip(tables.iter_mut()) {
        let mut batch = ChangeList::default();
        for ((_, key), sequence) in raised.range((core, Vec::new())..(core.saturating_add(1), Vec::new())) {
            let mut value = Vec::new();
            put_varint(&mut value, sequence.0);
            batch.put(Table::Sequence, key, &value);
        }
        let written = owner.apply(&batch, owner.applied()).and_then(|()| owner.flush());
        written.map_err(|error| (core, error))?;
    }
    Ok(u64::try_from(raised.len()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
