//! Durable state of one shard: records, record log, recovery; tables in memory or RocksDB (feature `rocks`).
//!
//! The way of a change: operations ([`op`]) are gathered by the [`log`] into records, which the driver writes and
//! syncs; the storage thread's [`engine`] merges durable records into [`tables`]; [`recovery`] replays what the
//! tables did not hold.
//!
//! Invariants
//! - Durable state changes by records alone; the same records in the same order give the same tables.
//! - Nothing stored names a shard or a core.
//! - What was acknowledged is never skipped in silence: damage refuses to start.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "tests stop at a wrong index as they should"
    )
)]

mod codec;
mod encode;
pub mod engine;
pub mod fsck;
mod key;
pub mod load;
pub mod log;
pub mod merge;
pub mod meta;
pub mod number;
pub mod op;
pub mod open;
pub mod record;
pub mod recovery;
mod row;
pub mod segment;
pub mod space;
pub mod tables;
#[cfg(test)]
mod testing;
mod view;

pub use codec::DecodeError;
pub use engine::{EngineError, StorageEngine};
pub use log::{Durable, LogConfig, LogPosition, LogWrite, NewSegment, RecordLog};
pub use number::{Checksum, LogKey, Mark, RecordNumber, SegmentId, SegmentSequence, Ticket, Vouch};
pub use record::DurableRecord;
