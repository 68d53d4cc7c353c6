//! Iris gateway.
