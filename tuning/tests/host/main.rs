//! The checks and the command, against directories that look like a host.
#![cfg(test)]

mod capacity;
mod checks;
mod sysroot;
