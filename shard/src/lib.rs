//! The per-core state machine of Iris. Sans-IO: input and time in, effects out.
//!
//! Invariants
//! - No I/O, clock, thread, randomness or hash order inside: the same inputs give the same effects.
//! - The only code that acknowledges a message is in `stored`.

pub mod counters;
pub mod inspect;
pub mod io;
pub mod mail;
pub mod memory;
pub mod mutant;

mod ack;
mod arena;
mod boot;
mod channel;
mod clock;
mod confirm;
mod conversation;
mod credit;
mod dedup;
mod delivery;
mod devices;
mod expiry;
mod forward;
mod heartbeat;
mod home;
mod loads;
mod login;
mod owner;
mod purge;
mod rate;
mod recipient;
mod ring;
mod send;
mod session;
mod settle;
mod shard;
mod stored;
mod sweep;
mod timers;
mod unclaimed;
mod user;

pub use counters::Counters;
pub use credit::MAIL_RING_MIN;
pub use shard::{Config, Shard};
