//! A seeded world around real shards, real record logs and real client sessions: one seed is one history.
//!
//! The world owns time, network, disks and people. Shards, logs, recovery and sessions are the production code.
//!
//! Invariants
//! - Everything that happens follows from the seed and the plan: the same seed gives the same trace hash.
//! - Checkers see what devices saw and what disks held, never a shard's memory.

pub mod batch;
pub mod checker;
mod disk;
mod node;
mod people;
pub mod plan;
mod random;
pub mod reached;
pub mod shrink;
mod story;
pub mod world;

pub use plan::Plan;
pub use world::{Apart, Attack, Camp, Outcome, run, run_and_tell, run_apart};
