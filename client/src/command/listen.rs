//! `listen`: prints what arrives. A message is acknowledged after its line was written.

use super::args::ListenArgs;
use super::options::Common;
use super::{Failure, Status, after_close};
use iris_client::driver::Notice;
use iris_client::{Event, Stores};
use std::time::{Duration, Instant};

/// How long to wait at once when no end was asked for.
const WAIT: Duration = Duration::from_hours(1);

pub(crate) fn run(common: &Common, args: &ListenArgs) -> Result<Status, Failure> {
    let (mut driver, show) = super::driver(common, Stores::AfterHandling)?;
    let deadline = args.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut left_count = args.count;
    while left_count != Some(0) {
        let left = deadline.map_or(WAIT, |deadline| deadline.saturating_duration_since(Instant::now()));
        let Some(notice) = driver.next(left)? else {
            if deadline.is_none() {
                continue;
            }
            driver.close()?;
            return Ok(if args.count.is_some() { Status::Unanswered } else { Status::Done });
        };
        show.notice(&notice)?;
        let Notice::Event(event) = &notice else {
            continue;
        };
        if let Some(status) = after_close(event, driver.session().next()) {
            driver.close()?;
            return Ok(status);
        }
        match event {
            Event::Message(_) => left_count = left_count.map(|count| count.saturating_sub(1)),
            Event::CaughtUp { .. } if args.until_caught_up => break,
            Event::CaughtUp { .. }
            | Event::Welcome(_)
            | Event::Duplicate { .. }
            | Event::Accepted(_)
            | Event::Rejected(_)
            | Event::Unknown { .. }
            | Event::Gap(_)
            | Event::Closed(_)
            | Event::GoAway { .. }
            | Event::ServerFault(_)
            | Event::Refreshed { .. }
            | Event::Devices { .. }
            | Event::Unlinked { .. }
            | Event::RequestRejected { .. } => {}
        }
    }
    driver.close()?;
    Ok(Status::Done)
}
