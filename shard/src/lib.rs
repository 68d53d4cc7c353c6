//! The per-core state machine of Iris. Sans-IO: input and time in, effects out.

pub mod io;
pub mod mail;
