//! Iris bench.
