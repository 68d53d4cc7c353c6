//! Load and acceptance gate of Iris.
//!
//! `iris-bench latency` drives a gateway at a fixed rate and states its latency and CPU as ratios to floors: what the
//! bare machine does with the same bytes at the same rate, over as many connections, on the same transport. The
//! gateway is started as a program and never linked.
//!
//! Invariants
//! - Load is open loop: latency counts from the time a message was meant to leave.
//! - A run that lost, doubled, reordered or corrupted a message, or that had no traffic, fails.
//! - A server's CPU is its whole process's, over the window that the messages are counted in.

pub mod backlog;
pub mod beside;
pub mod bystanders;
pub mod channel;
pub mod chart;
pub mod clock;
pub mod compare;
pub mod cpu;
pub mod drain;
pub mod drive;
pub mod error;
pub mod fanin;
pub mod fleet;
pub mod floor;
pub mod footprint;
pub mod framing;
pub mod gateway;
pub mod growth;
pub mod handshakes;
pub mod hiccup;
pub mod histogram;
pub mod host;
pub mod hostile;
pub mod instructions;
pub mod latency;
pub mod ledger;
pub mod links;
pub mod measure;
pub mod memory;
pub mod options;
pub mod orders;
pub mod output;
pub mod page;
pub mod past;
pub mod payload;
pub mod plan;
pub mod process;
pub mod rate;
pub mod report;
pub mod run;
pub mod schedule;
pub mod senders;
pub mod shape;
pub mod soak;
pub mod stall;
pub mod storm;
pub mod volume;
