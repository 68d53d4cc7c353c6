//! Fuzz target `websocket`: see src/websocket.rs. `scripts/fuzz websocket 60` runs it.
#![no_main]

#[path = "../src/websocket.rs"]
mod websocket;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| websocket::check(bytes));
