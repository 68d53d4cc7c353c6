//! Fuzz target `frame`: see src/frame.rs. `scripts/fuzz frame 60` runs it.
#![no_main]

#[path = "../src/frame.rs"]
mod frame;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| frame::check(bytes));
