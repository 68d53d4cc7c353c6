//! The checks and the command, against directories that look like a host.
#![cfg(test)]

mod applying;
mod capacity;
mod checks;
mod sysroot;
