//! Iris client.
