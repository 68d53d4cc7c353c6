//! Does what findings say to type, as far as a file of the kernel takes it.
//!
//! Invariants
//! - Only settings of findings that are not ok are written, and nothing at all in a dry run.
//! - What cannot be done here (limits of a process, advice) is told, never passed over.

use crate::finding::{Finding, Remedy};
use crate::host::Host;
use serde::Serialize;
use std::fmt;

/// What became of a finding's remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "outcome")]
pub enum Outcome {
    /// Written.
    Done,
    /// A dry run would write it.
    Planned,
    /// Nothing that this command can write.
    Left,
    /// The kernel, or a missing right, refused it.
    Failed {
        /// What the system said.
        problem: String,
    },
}

/// One remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The check that asked for it.
    pub check: &'static str,
    /// What to type.
    pub remedy: Remedy,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, remedy, outcome } = self;
        match outcome {
            Outcome::Done => write!(f, "done    {check:20} {remedy}"),
            Outcome::Planned => write!(f, "would   {check:20} {remedy}"),
            Outcome::Left => write!(f, "yours   {check:20} {remedy}"),
            Outcome::Failed { problem } => write!(f, "FAILED  {check:20} {remedy}: {problem}"),
        }
    }
}

/// Writes the settings that findings ask for, in their order; a dry run only says which.
pub fn apply(host: &Host, findings: &[Finding], dry_run: bool) -> Vec<Step> {
    let remedies = findings.iter().filter_map(|finding| Some((finding.check, finding.remedy.clone()?)));
    remedies
        .map(|(check, remedy)| {
            let outcome = outcome(host, &remedy, dry_run);
            Step { check, remedy, outcome }
        })
        .collect()
}

fn outcome(host: &Host, remedy: &Remedy, dry_run: bool) -> Outcome {
    let Some((path, value)) = remedy.setting() else { return Outcome::Left };
    if dry_run {
        return Outcome::Planned;
    }
    match host.write(&path, value) {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed { problem: error.to_string() },
    }
}
