//! What a check found, and what to type about it.
//!
//! Invariants
//! - A finding that is not ok says what to do.

use serde::{Serialize, Serializer};
use std::fmt;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works, but slower, or not under load, or it could not be read.
    Warn,
    /// The plan cannot be met.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

/// What to do about a finding; its `Display` is what to type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A kernel setting.
    Sysctl {
        /// Its dotted name.
        key: String,
        /// The value to set.
        value: String,
    },
    /// A file of the kernel that is not a sysctl.
    Kernel {
        /// Its path without the leading slash; may hold a `*`.
        path: String,
        /// The text to write.
        value: String,
    },
    /// RLIMIT_NOFILE of the process.
    OpenFiles(u64),
    /// RLIMIT_MEMLOCK of the process, in bytes.
    LockedBytes(u64),
    /// Something that no command does.
    Advice(String),
}

impl Remedy {
    /// The kernel's file (without the leading slash; may hold a `*`) and what to write into it; `None` if it is no file.
    pub fn setting(&self) -> Option<(String, &str)> {
        match self {
            Self::Sysctl { key, value } => Some((format!("proc/sys/{}", key.replace('.', "/")), value)),
            Self::Kernel { path, value } => Some((path.clone(), value)),
            Self::OpenFiles(_) | Self::LockedBytes(_) | Self::Advice(_) => None,
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl { key, value } => write!(f, "sysctl -w {key}='{value}'"),
            Self::Kernel { path, value } => write!(f, "echo {value} | tee /{path}"),
            Self::OpenFiles(limit) => write!(f, "ulimit -n {limit} (systemd: LimitNOFILE={limit})"),
            Self::LockedBytes(bytes) => {
                write!(f, "ulimit -l {} (systemd: LimitMEMLOCK={bytes})", bytes / 1024)
            }
            Self::Advice(text) => f.write_str(text),
        }
    }
}

impl Serialize for Remedy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name.
    pub check: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What was read.
    pub found: String,
    /// What it should be.
    pub wanted: String,
    /// What to do; `None` exactly when the verdict is ok.
    pub remedy: Option<Remedy>,
    /// What goes wrong otherwise.
    pub why: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found {}, wanted {}", self.check, self.found, self.wanted)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {}; {remedy}", self.why),
            None => Ok(()),
        }
    }
}
