//! The commit floor: an open-loop bare group commit, as many committers as shards.
//!
//! A committer writes all messages that are due as one block-aligned write into a segment that was written before
//! (O_DIRECT, RWF_DSYNC, through the reactor's ring); while it is in flight the next ones gather. The sojourn of a
//! message is from its intended arrival until its write is durable.
//!
//! Invariants
//! - One write in flight a committer.
//! - A write that fails or is short fails the floor.

use super::work::prewritten;
use crate::clock::Clock;
use crate::error::BenchError;
use crate::hiccup::exact_timers;
use crate::histogram::Latencies;
use crate::host;
use crate::plan::CommitPlan;
use crate::schedule::{Schedule, Window};
use iris_protocol::Mono;
use iris_reactor::{ALIGNMENT, AlignedBuffer, Config, Event, Reactor, Wait, Write};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::thread::Builder;
use std::time::Duration;

/// Bytes of a committer's segment; writes go round in it, as segments are recycled.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Bytes of a record beside its messages: number, predecessor's checksum, checksum.
const RECORD_BYTES: usize = 64;
/// Time to start all committers before the first arrival.
const HEAD_START: Duration = Duration::from_millis(50);

/// What the committers found.
#[derive(Default)]
pub struct CommitOutcome {
    /// Intended arrival to sync returned, for the arrivals of the window.
    pub sojourn: Latencies,
    /// Writes of the window's messages.
    pub writes: u64,
    /// Messages of the window.
    pub messages: u64,
}

/// Runs the floor in this process: it has no server whose CPU would have to be told apart.
///
/// # Errors
/// The disk refused.
pub fn run(plan: &CommitPlan, clock: Clock) -> Result<CommitOutcome, BenchError> {
    let directory = tempfile::Builder::new()
        .prefix("iris-floor-commit-")
        .tempdir_in(&plan.data_dir)
        .map_err(BenchError::io(format!("a directory in {}", plan.data_dir.display())))?;
    for index in 0..plan.shards {
        prewritten(&segment(directory.path(), index), SEGMENT_BYTES)?;
    }
    let start = clock.now().after(HEAD_START);
    let from = start.after(plan.span.warmup);
    let window = Window { from, until: from.after(plan.span.duration) };
    let mut threads = Vec::new();
    for index in 0..plan.shards {
        let (plan, path) = (plan.clone(), segment(directory.path(), index));
        let committer = move || {
            host::pin(index);
            exact_timers();
            // Committers take turns, so that all arrivals together are evenly spaced.
            let offset = Duration::from_secs_f64(f64::from(index) / plan.rate);
            let rate = plan.rate / f64::from(plan.shards);
            let schedule = Schedule::new(start.after(offset), rate, Duration::ZERO);
            Committer::new(&path, plan.message_bytes, Arrivals { clock, schedule, window })?.run()
        };
        let thread = Builder::new().name(format!("commit-{index}")).spawn(committer);
        threads.push(thread.map_err(BenchError::io("starting a committer"))?);
    }
    let mut outcome = CommitOutcome::default();
    for thread in threads {
        let part = thread.join().map_err(|_| BenchError::Protocol("a committer panicked".to_owned()))??;
        outcome.sojourn.merge(&part.sojourn);
        outcome.writes += part.writes;
        outcome.messages += part.messages;
    }
    Ok(outcome)
}

fn segment(directory: &Path, index: u16) -> std::path::PathBuf {
    directory.join(format!("segment-{index}"))
}

/// When messages arrive, and which of them count.
#[derive(Clone, Copy)]
struct Arrivals {
    clock: Clock,
    schedule: Schedule,
    window: Window,
}

struct Committer {
    reactor: Reactor,
    file: Rc<File>,
    buffer: Option<AlignedBuffer>,
    offset: u64,
    message_bytes: usize,
    arrivals: Arrivals,
    outcome: CommitOutcome,
}

impl Committer {
    fn new(path: &Path, message_bytes: usize, arrivals: Arrivals) -> Result<Self, BenchError> {
        let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| {
            BenchError::io(format!("opening {} with O_DIRECT", path.display()))(error.into())
        })?;
        Ok(Self {
            reactor: Reactor::new(&Config { descriptors_per_ring: 1, ..Config::default() })?,
            file: Rc::new(File::from(file)),
            buffer: Some(AlignedBuffer::new()),
            offset: 0,
            message_bytes,
            arrivals,
            outcome: CommitOutcome::default(),
        })
    }

    fn run(mut self) -> Result<CommitOutcome, BenchError> {
        let total = self.arrivals.schedule.due(self.arrivals.window.until);
        let mut next = 0;
        let mut in_flight = None;
        while next < total || in_flight.is_some() {
            let due = self.arrivals.schedule.due(self.arrivals.clock.now()).min(total);
            if in_flight.is_none() && due > next {
                self.write(next..due);
                in_flight = Some(next..due);
                next = due;
            }
            let wait = if in_flight.is_some() { Wait::Forever } else { self.until(next) };
            self.reactor.turn(wait).map_err(BenchError::io("io_uring_enter"))?;
            if self.written()?
                && let Some(messages) = in_flight.take()
            {
                self.record(messages);
            }
        }
        Ok(self.outcome)
    }

    fn until(&self, next: u64) -> Wait {
        Wait::Until(self.arrivals.clock.instant(self.arrivals.schedule.intended(next)))
    }

    fn write(&mut self, messages: Range<u64>) {
        let count = usize::try_from(messages.end - messages.start).unwrap_or(usize::MAX);
        let mut buffer = self.buffer.take().unwrap_or_default();
        buffer.clear();
        buffer.resize(RECORD_BYTES + count * self.message_bytes, 0x5a);
        buffer.pad();
        assert!(buffer.len().is_multiple_of(ALIGNMENT), "a direct write of {} bytes", buffer.len());
        let bytes = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        if self.offset + bytes > SEGMENT_BYTES {
            self.offset = 0;
        }
        self.reactor.write(bytes, &self.file, Write { offset: self.offset, buffer, sync: true });
        self.offset += bytes;
    }

    /// True if the write in flight is durable.
    fn written(&mut self) -> Result<bool, BenchError> {
        let mut done = false;
        while let Some(event) = self.reactor.next() {
            // Nothing but the one write was asked of this reactor.
            if let Event::Written { token, result, buffer } = event {
                let written = result.map_err(BenchError::io("a synced write into the floor's segment"))?;
                if u64::try_from(written).ok() != Some(token) {
                    return Err(BenchError::Protocol(format!("a write of {token} bytes wrote {written}")));
                }
                self.buffer = Some(buffer);
                done = true;
            }
        }
        Ok(done)
    }

    fn record(&mut self, messages: Range<u64>) {
        let now: Mono = self.arrivals.clock.now();
        let mut counted = false;
        for number in messages {
            let intended = self.arrivals.schedule.intended(number);
            if self.arrivals.window.contains(intended) {
                self.outcome.sojourn.record(now.since(intended));
                self.outcome.messages += 1;
                counted = true;
            }
        }
        self.outcome.writes += u64::from(counted);
    }
}
