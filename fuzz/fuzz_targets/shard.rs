//! Fuzz target `shard`: see src/shard.rs. `scripts/fuzz shard 60` runs it.
#![no_main]

#[path = "../src/shard.rs"]
mod shard;
#[path = "../src/world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shard::check(bytes));
