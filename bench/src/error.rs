//! What can go wrong in a run, and the status the process exits with.
//!
//! Invariants
//! - A status is decided in one place, [`BenchError::status`].

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a run did not end well.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The host has no usable io_uring.
    #[error("{0}")]
    Reactor(#[from] iris_reactor::SetupError),
    /// No room for another connection on this side.
    #[error("the load generator ran out of connections: {0}")]
    Connections(#[from] iris_reactor::Full),
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program that is needed is not there.
    #[error("{what} was not found at {path}: {command} provides it")]
    Missing {
        /// What is needed.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// The command that provides it.
        command: &'static str,
    },
    /// A child process ended, or said something unexpected.
    #[error("{program}: {problem}")]
    Child {
        /// Which.
        program: String,
        /// What happened.
        problem: String,
    },
    /// TLS keys, certificates or a handshake.
    #[error("tls: {0}")]
    Tls(String),
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds} s")]
    Timeout {
        /// What.
        what: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// What was asked for makes no sense, or was not compiled in.
    #[error("{0}")]
    Usage(String),
    /// A file that was given does not hold what it should.
    #[error("{path}: {problem}")]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The run was asked to end.
    #[error("interrupted")]
    Interrupted,
    /// Measured, and what was measured is bad.
    #[error("{0}")]
    Verdict(String),
    /// The peer broke the protocol of a floor, or the server a promise that ends the run.
    #[error("{0}")]
    Protocol(String),
}

impl BenchError {
    /// Adds what was tried to a system error.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The exit status that this ends the process with.
    pub fn status(&self) -> Status {
        match self {
            Self::Reactor(_) => Status::NoIoUring,
            Self::Missing { .. } => Status::Missing,
            Self::Verdict(_) => Status::Bad,
            Self::Usage(_) | Self::Input { .. } => Status::Usage,
            Self::Connections(_)
            | Self::Io { .. }
            | Self::Child { .. }
            | Self::Tls(_)
            | Self::Timeout { .. }
            | Self::Interrupted
            | Self::Protocol(_) => Status::Failed,
        }
    }
}

/// Exit statuses of `iris-bench` other than 0: measured, and nothing was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A message was lost, duplicated, reordered or corrupted, nothing was sent, or a comparison failed.
    Bad,
    /// The command line or a file given on it is wrong.
    Usage,
    /// A needed program is missing.
    Missing,
    /// The run could not be completed.
    Failed,
    /// The host has no usable io_uring.
    NoIoUring,
}

impl Status {
    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Self::Bad => 1,
            Self::Usage => 2,
            Self::Missing => 3,
            Self::Failed => 4,
            Self::NoIoUring => 78,
        }
    }
}

impl From<iris_tls::TlsError> for BenchError {
    fn from(error: iris_tls::TlsError) -> Self {
        Self::Tls(error.to_string())
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}
