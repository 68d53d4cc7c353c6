//! Exit statuses, in one place, and the failures that lead to them.
//!
//! Invariants
//! - A number keeps its meaning: scripts rely on it.

use iris_client::session::SendError;
use iris_client::{DriverError, EndpointError, StoreError};
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Refused = 3,
    OutcomeUnknown = 4,
    Unanswered = 5,
    TokenRefused = 6,
    Conflict = 7,
    ClosedForGood = 8,
    State = 9,
}

/// The statuses, for the long help.
pub(crate) const EXIT_HELP: &str = "Exit status:
  0  everything asked for was done
  1  something else failed
  2  the command line is wrong
  3  a message was refused for good
  4  whether a message was accepted cannot be known; it was not sent again
  5  not everything was answered in time; with --state it is kept and sent by the next start
  6  the token was refused
  7  this device logged in elsewhere
  8  the server closed the connection for good
  9  the state file cannot be used

Text on standard output can be followed by programs with --json. IRIS_LOG sets the log level.";

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("cannot read standard input: {0}")]
    Input(std::io::Error),
    #[error("cannot write standard output: {0}")]
    Output(std::io::Error),
}

impl Failure {
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Usage(_)
            | Self::Endpoint(
                EndpointError::Address { .. }
                | EndpointError::Url { .. }
                | EndpointError::Encrypted { .. }
                | EndpointError::Unencrypted { .. },
            ) => Status::Usage,
            Self::Driver(DriverError::Store(error)) => match error {
                StoreError::Io { .. }
                | StoreError::InUse { .. }
                | StoreError::Foreign { .. }
                | StoreError::Version { .. }
                | StoreError::Damaged { .. }
                | StoreError::Owner { .. } => Status::State,
            },
            Self::Driver(DriverError::Token(_)) => Status::TokenRefused,
            Self::Driver(DriverError::Send(_)) | Self::Send(_) => Status::Refused,
            Self::Driver(DriverError::Wait(_))
            | Self::Endpoint(
                EndpointError::Authority { .. }
                | EndpointError::Certificate { .. }
                | EndpointError::Tls { .. },
            )
            | Self::Input(_)
            | Self::Output(_) => Status::Failed,
        }
    }
}
