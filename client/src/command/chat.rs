//! `chat`: each line typed is a message; what arrives is shown.
//!
//! Invariants
//! - At the end of the input, what was typed is still sent and answered before the command ends.

use super::options::{self, Common};
use super::{Failure, Status, after_close};
use bytes::Bytes;
use iris_client::driver::Notice;
use iris_client::{Driver, Event, Stores, Target};
use iris_protocol::{CloseCode, UserId};
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long to wait at once.
const WAIT: Duration = Duration::from_mins(1);
/// How long to wait for answers after the end of the input.
const FAREWELL: Duration = Duration::from_mins(1);
/// Bytes taken from the input at once.
const INPUT_BYTES: usize = 4096;

pub(crate) fn run(common: &Common, to: &str) -> Result<Status, Failure> {
    let target = options::target(to)?;
    let (mut driver, mut show) = super::driver(common, Stores::AfterHandling)?;
    show.in_conversation(&target);
    if std::io::stdin().is_terminal() && !common.json {
        greet(&driver.claims().user, to);
    }
    let mut input = Lines::default();
    let mut leave_by = None;
    loop {
        while let Some(notice) = driver.take_notice() {
            show.notice(&notice)?;
            if let Some(status) = ends(&notice, &driver) {
                driver.close()?;
                return Ok(status);
            }
        }
        if leave_by.is_some() && driver.unanswered_count() == 0 {
            driver.close()?;
            return Ok(Status::Done);
        }
        let left =
            leave_by.map_or(WAIT, |leave_by: Instant| leave_by.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            driver.close()?;
            return Ok(Status::Unanswered);
        }
        let stdin = std::io::stdin();
        let watched = leave_by.is_none().then(|| stdin.as_fd());
        if driver.turn(watched, left)? && !input.read(&mut driver, &target)? {
            leave_by = Some(Instant::now() + FAREWELL);
        }
    }
}

fn greet(user: &UserId, to: &str) {
    let text = format!("{user} to {to}; times are UTC; end with ctrl-d\n");
    // Nothing can be done about a broken standard error.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
}

/// A refused token of a chat that is under way may still be renewed in its file.
fn ends(notice: &Notice, driver: &Driver) -> Option<Status> {
    let Notice::Event(event) = notice else {
        return None;
    };
    let Event::Closed(closed) = event else {
        return None;
    };
    let renewable = closed.code == Some(CloseCode::TokenExpired);
    after_close(event, driver.session().next()).filter(|_| !renewable)
}

/// Lines of the input, as they become complete.
#[derive(Default)]
struct Lines {
    part: Vec<u8>,
}

impl Lines {
    /// Takes what is there and submits complete lines. False: the input has ended.
    fn read(&mut self, driver: &mut Driver, target: &Target) -> Result<bool, Failure> {
        let mut buffer = [0; INPUT_BYTES];
        let count = match rustix::io::read(std::io::stdin(), &mut buffer) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(true),
            Err(error) => return Err(Failure::Input(error.into())),
        };
        self.part.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if count == 0 && !self.part.is_empty() {
            self.part.push(b'\n');
        }
        while let Some(end) = self.part.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.part.drain(..=end).collect();
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if !text.is_empty() {
                driver.submit(target.clone(), Bytes::copy_from_slice(text))?;
            }
        }
        Ok(count > 0)
    }
}
