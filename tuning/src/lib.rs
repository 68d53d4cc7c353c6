//! Whether this host can carry a gateway: how many connections it holds now, what stops it first, what to type.
//!
//! Invariants
//! - Checks only read; `apply` alone changes something.
//! - Every reader works below a root directory, so a check can be shown to fail without touching the host.
//! - A file that cannot be read or understood is a finding, never an "ok".

pub mod apply;
pub mod capacity;
pub mod check;
pub mod finding;
pub mod host;
pub mod plan;
pub mod probe;
pub mod script;

pub use apply::{Outcome, Step, apply};
pub use capacity::{Bound, Capacity, available_bytes, capacity};
pub use check::{CHECKS, Check};
pub use finding::{Finding, Remedy, Verdict};
pub use host::{Host, ReadError};
pub use plan::Plan;
pub use script::script;

/// Every check's finding, in the order of [`CHECKS`].
pub fn findings(host: &Host, plan: &Plan) -> Vec<Finding> {
    CHECKS.iter().map(|check| check.judge(host, plan)).collect()
}

/// The findings that are not [`Verdict::Ok`]: what a gateway logs when it starts.
///
/// A finding of [`Verdict::Fail`] means that the plan cannot be met; it does not stop a start by itself.
pub fn failed(host: &Host, plan: &Plan) -> Vec<Finding> {
    findings(host, plan).into_iter().filter(|finding| finding.verdict != Verdict::Ok).collect()
}
