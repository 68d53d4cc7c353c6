//! One TLS 1.3 connection without I/O, from either side: rustls' unbuffered interface, and the one buffer that it leaves to
//! its user.
//!
//! A connection of rustls' own buffered kind keeps some 4 KiB for what it may receive, which no call gives back; this one
//! keeps nothing while it is idle. The gateway holds a million of them as the server, `iris-bench` as many as the client.
//!
//! Invariants
//! - Between calls nothing is buffered but an incomplete record.

mod conn;
mod side;

pub use conn::{LEFTOVER_BYTES_MAX, TlsConn, TlsError, TlsState};
pub use side::{Client, Server, Side};

#[cfg(test)]
mod tests;
