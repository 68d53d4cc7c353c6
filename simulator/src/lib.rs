//! Iris simulator.
