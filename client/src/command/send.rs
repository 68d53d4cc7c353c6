//! `send`: messages out, answers awaited.
//!
//! Invariants
//! - What arrives meanwhile is neither stored nor acknowledged: it stays for `chat` and `listen`.

use super::options::{Common, Send};
use super::{Failure, Status, after_close};
use bytes::Bytes;
use iris_client::driver::Notice;
use iris_client::{Driver, Event, Stores};
use iris_protocol::RejectClass;
use std::io::BufRead;
use std::time::Instant;

pub(crate) fn run(common: &Common, options: &Send) -> Result<Status, Failure> {
    let (mut driver, mut show) = super::driver(common, Stores::ByCaller)?;
    show.in_conversation(&options.target);
    let mut outcome = Outcome::default();
    submit(&mut driver, options)?;
    let deadline = Instant::now() + options.timeout;
    while driver.unanswered_count() > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(notice) = driver.next(left)? else {
            driver.close()?;
            return Ok(Status::Unanswered);
        };
        if is_shown(&notice) {
            show.notice(&notice)?;
        }
        if let Notice::Event(event) = &notice {
            outcome.note(event);
            if let Some(status) = after_close(event, driver.session().next()) {
                driver.close()?;
                return Ok(status);
            }
        }
    }
    for notice in std::iter::from_fn(|| driver.take_notice()) {
        if is_shown(&notice) {
            show.notice(&notice)?;
        }
        if let Notice::Event(event) = &notice {
            outcome.note(event);
        }
    }
    driver.close()?;
    Ok(outcome.status())
}

fn submit(driver: &mut Driver, options: &Send) -> Result<(), Failure> {
    if let Some(text) = &options.text {
        let payload = Bytes::copy_from_slice(text.as_bytes());
        for _ in 0..options.count {
            driver.submit(options.target.clone(), payload.clone())?;
        }
        return Ok(());
    }
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line.map_err(Failure::Input)?;
        if !line.is_empty() {
            driver.submit(options.target.clone(), line.into())?;
        }
    }
    Ok(())
}

/// Everything but what others sent.
fn is_shown(notice: &Notice) -> bool {
    let of_others = matches!(
        notice,
        Notice::Event(Event::Message(_) | Event::Duplicate { .. } | Event::Gap(_) | Event::CaughtUp { .. })
    );
    !of_others
}

/// The worst that happened to a message.
#[derive(Default)]
struct Outcome {
    refused: bool,
    unknown: bool,
}

impl Outcome {
    fn note(&mut self, event: &Event) {
        if let Event::Rejected(rejected) = event {
            self.refused |= rejected.class == RejectClass::Refused;
        }
        self.unknown |= matches!(event, Event::Unknown { .. });
    }

    fn status(&self) -> Status {
        match (self.unknown, self.refused) {
            (true, _) => Status::OutcomeUnknown,
            (false, true) => Status::Refused,
            (false, false) => Status::Done,
        }
    }
}
