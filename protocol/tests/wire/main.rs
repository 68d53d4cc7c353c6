//! The wire as a whole: round trips of every frame, golden bytes, arbitrary bytes, and the documentation.
#![cfg(test)]

mod arbitrary_bytes;
mod docs;
mod golden;
mod round_trip;
mod samples;
mod schema;
mod sends;
