//! The Iris server process, as a library of its parts: the command `iris-gateway` is a thin binary around it.
//!
//! The edges are here: command line, configuration, certificates, tokens, logs, exit statuses. The core loop joins a
//! reactor, a shard and a record log on one thread per core.
//!
//! Invariants
//! - A thread of a core never blocks but in its reactor.
//! - The process ends with one of [`exit::ExitStatus`], and says why first.

pub mod address;
mod admin;
pub mod args;
mod asks;
mod bind;
mod boot;
pub mod cli;
pub mod commands;
pub mod config;
mod conn;
mod control;
mod core_loop;
mod demo;
mod durable;
pub mod echo;
pub mod exit;
mod fatal;
mod flight;
mod frames;
mod framing;
pub mod fsck;
mod gate;
mod host;
mod in_force;
pub mod logging;
mod memory;
mod place;
mod reload;
pub mod remote;
mod revocations;
pub mod secret_file;
pub mod serve;
mod service;
mod storage_thread;
pub mod tls;
pub mod token;
mod trace;
mod websocket;
