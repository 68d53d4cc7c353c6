//! The end of a process that cannot go on.
//!
//! Invariants
//! - The reason is on standard error before the process ends, whatever state the log is in.

use crate::exit::ExitStatus;
use std::io::Write;

/// Says why and ends the process at once.
pub(crate) fn die(status: ExitStatus, reason: &str) -> ! {
    tracing::error!(status = status.name(), reason, "stopping");
    // The log thread may not get to write any more; a write that fails here has nobody left to tell.
    let _unwritten = writeln!(std::io::stderr(), "iris-gateway: {}: {reason}", status.name());
    status.exit_now()
}
