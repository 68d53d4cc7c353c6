//! Durable state of one shard: records, record log, recovery; tables in memory or RocksDB (feature `rocks`).
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

pub mod load;
pub mod op;
