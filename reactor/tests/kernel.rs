//! The reactor against a real kernel, over loopback: nothing is simulated, and nothing sleeps to synchronise.
#![cfg(test)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks the events that it waits for")]

#[path = "kernel/closing.rs"]
mod closing;
#[path = "kernel/connecting.rs"]
mod connecting;
#[path = "kernel/files.rs"]
mod files;
#[path = "kernel/harness.rs"]
mod harness;
#[path = "kernel/limits.rs"]
mod limits;
#[path = "kernel/moving.rs"]
mod moving;
#[path = "kernel/receiving.rs"]
mod receiving;
#[path = "kernel/waking.rs"]
mod waking;
