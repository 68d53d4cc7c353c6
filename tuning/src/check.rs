//! The checks: each reads a few files, compares with the plan, and says what to type.
//!
//! Invariants
//! - A check's name is unique and never reused for another question.
//! - A setting that cannot be read is a warning.

use crate::finding::{Finding, Remedy, Verdict};
use crate::host::{Host, ReadError};
use crate::plan::Plan;

mod descriptors;
mod disk;
mod kernel;
mod memory;
mod network;

/// One question to the host.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its name, as printed and logged.
    pub name: &'static str,
    /// The files that it reads.
    pub reads: &'static str,
    /// What goes wrong when it is not as wanted.
    pub why: &'static str,
    ask: fn(&Host, &Plan) -> Result<Answer, ReadError>,
}

/// What a check read and made of it.
struct Answer {
    found: String,
    wanted: String,
    /// `None`: as wanted.
    complaint: Option<(Verdict, Remedy)>,
}

impl Answer {
    fn new(found: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self { found: found.into(), wanted: wanted.into(), complaint: None }
    }

    /// Warns unless `held`.
    fn or_warn(self, held: bool, remedy: Remedy) -> Self {
        self.or(held, Verdict::Warn, remedy)
    }

    /// Fails unless `held`.
    fn or_fail(self, held: bool, remedy: Remedy) -> Self {
        self.or(held, Verdict::Fail, remedy)
    }

    fn or(mut self, held: bool, verdict: Verdict, remedy: Remedy) -> Self {
        if !held && self.complaint.is_none() {
            self.complaint = Some((verdict, remedy));
        }
        self
    }
}

/// A sysctl that must be at least a number.
fn at_least(host: &Host, path: &str, wanted: u64, verdict: Verdict) -> Result<Answer, ReadError> {
    let found = host.number(path)?;
    let answer = Answer::new(found.to_string(), format!("at least {wanted}"));
    Ok(answer.or(found >= wanted, verdict, sysctl(path, wanted.to_string())))
}

/// The remedy that sets the sysctl at `path`.
fn sysctl(path: &str, value: impl Into<String>) -> Remedy {
    let name = path.strip_prefix("proc/sys/").unwrap_or(path);
    Remedy::Sysctl { key: name.replace('/', "."), value: value.into() }
}

impl Check {
    /// Asks the host.
    pub fn judge(&self, host: &Host, plan: &Plan) -> Finding {
        let (verdict, found, wanted, remedy) = match (self.ask)(host, plan) {
            Ok(Answer { found, wanted, complaint: None }) => (Verdict::Ok, found, wanted, None),
            Ok(Answer { found, wanted, complaint: Some((verdict, remedy)) }) => {
                (verdict, found, wanted, Some(remedy))
            }
            Err(error) => {
                let advice = Remedy::Advice(format!("look at /{} by hand", self.reads));
                (Verdict::Warn, error.to_string(), "a readable setting".to_owned(), Some(advice))
            }
        };
        Finding { check: self.name, verdict, found, wanted, remedy, why: self.why }
    }
}

/// Every check, most important first.
pub const CHECKS: &[Check] = &[
    kernel::IO_URING,
    kernel::VERSION,
    descriptors::OPEN_FILES,
    descriptors::NR_OPEN,
    descriptors::FILE_MAX,
    memory::AVAILABLE,
    memory::LOCKED,
    disk::FILESYSTEM,
    network::LISTEN_QUEUE,
    network::SYN_QUEUE,
    network::TCP_MEMORY,
    network::LOCAL_PORTS,
    network::CONNTRACK,
    memory::HUGE_PAGES,
    memory::SWAPPINESS,
    kernel::GOVERNOR,
    kernel::CLOCK_SOURCE,
];
