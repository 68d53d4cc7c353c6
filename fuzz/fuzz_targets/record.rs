//! Fuzz target `record`: see src/record.rs. `scripts/fuzz record 60` runs it.
#![no_main]

#[path = "../src/record.rs"]
mod record;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| record::check(bytes));
