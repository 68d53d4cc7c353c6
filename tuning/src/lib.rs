//! Iris tuning.
