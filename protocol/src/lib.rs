//! The wire vocabulary of Iris: ids, limits, frames, rejects. Pure data, no I/O, no clock.
//!
//! Invariants
//! - Every byte that comes from outside passes a length check before memory is taken for it.
//! - A code number, a field number and a limit are defined once, here.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

pub mod code;
pub mod envelope;
pub mod frame;
pub mod id;
pub mod limits;
pub mod placement;
pub mod time;
pub mod websocket;

/// The generated messages of package `iris.v1`; their fields are described in the .proto.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "generated code"
)]
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/iris.v1.rs"));
}

pub use code::{CloseClass, CloseCode, RejectClass, RejectCode};
pub use envelope::{Acceptance, Durability, Envelope, GapReason};
pub use id::{ConversationId, DeviceId, IdError, Incarnation, MessageId, PayloadHash, ShardId, Slot, UserId};
pub use limits::Limits;
pub use placement::Placement;
pub use time::{Generation, Mono, Offset, Sequence, Wall};
