//! The io_uring driver of one core: accept, connect, receive, send, file writes, wake-ups and mail between cores.
//!
//! A [`Reactor`] belongs to one thread. The thread calls methods that queue operations, then [`Reactor::turn`], which
//! submits all of them with one system call and collects completions, then [`Reactor::next`] until it is empty.
//! Nothing here knows what the bytes mean.
//!
//! Invariants
//! - Every operation that the kernel holds keeps its memory alive: send buffers, file buffers and addresses live in
//!   side tables until the operation's last completion, and a dropped reactor waits for them or leaks them.
//! - A slot is reused only after the last completion of its last owner, and its generation has moved on by then.
//! - Nothing is lost in a queue: a full submission queue is submitted, an overflown completion queue is flushed.
//! - This crate is the only one with `unsafe` code, and each block says why it is sound.
#![allow(
    unsafe_code,
    reason = "io_uring shares memory with the kernel; this crate is where that is contained"
)]

mod aligned;
mod buffers;
mod config;
mod conn;
mod counters;
mod descriptors;
mod event;
mod file;
mod handover;
pub mod mail;
mod mapped;
mod peer;
mod reactor;
mod ring;
mod setup;
mod slots;
mod tag;
mod waker;
mod wheel;

pub use aligned::{ALIGNMENT, AlignedBuffer};
pub use buffers::Lease;
pub use config::{Config, PeerAddresses};
pub use conn::{Conn, Full, Listener};
pub use counters::Counters;
pub use descriptors::raise_descriptor_limit;
pub use event::{CloseCause, Event, Wait};
pub use file::Write;
pub use handover::Handover;
pub use mapped::MappedFile;
pub use peer::{LABEL_MAX, Peer};
pub use reactor::Reactor;
pub use setup::SetupError;
pub use waker::Waker;
