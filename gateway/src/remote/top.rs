//! `top`: what the cores do a second, on a screen that keys command, or as lines where there is no screen.
//!
//! Invariants
//! - It needs no credential, and shows nobody.
//! - Figures are computed in [`watch`], drawn in [`draw`], and only [`screen`] knows a terminal, a clock or the gateway.

mod draw;
mod figures;
mod plain;
mod screen;
mod watch;

use super::{Remote, RemoteError};
use crate::exit::ExitStatus;
use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

/// Until it is ended, or so many times.
///
/// # Errors
/// [`RemoteError`] if the gateway does not answer at the beginning; later only where there is no screen.
pub(super) fn run(
    remote: &Remote,
    interval: Duration,
    count: Option<u32>,
) -> Result<ExitStatus, RemoteError> {
    if remote.json || count.is_some() || !has_screen() {
        return plain::run(remote, interval, count);
    }
    screen::run(remote, interval)
}

/// True if standard output is a terminal that can move its cursor.
fn has_screen() -> bool {
    stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb")
}
