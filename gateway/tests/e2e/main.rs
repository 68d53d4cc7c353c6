//! The real process: real sockets, real TLS, real RocksDB, real SIGKILL. No gateway code is linked here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

mod admin;
mod boot;
mod clocks;
mod cores;
mod crowd;
mod cuts;
mod descriptors;
mod disk;
mod disk_errors;
mod drains;
mod floods;
mod fsck;
mod half_open;
mod harness;
mod hostile;
mod kills;
mod memory;
mod operators;
mod paths;
mod pauses;
mod preload;
mod privacy;
mod raw;
mod reloads;
mod resets;
mod revoked;
mod service;
mod slow;
mod talk;
mod tickets;
mod tokens;
mod top;
mod traffic;
mod websocket;
