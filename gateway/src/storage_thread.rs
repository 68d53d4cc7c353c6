//! The storage thread beside each core: it fills RocksDB from durable records and answers reads.
//!
//! Invariants
//! - A read sees every record that was handed over before it was asked. A read on the core's own thread sees those that were
//!   filled, and waits for no disk.
//! - A thread that rests takes a record within [`ABSORB_INTERVAL`]: if it sleeps longer, it has announced that and is woken (the flag is
//!   that of the cores, checked with loom in `iris_reactor::mail`).
//! - Memory between core and thread is bounded: a core without room does not seal another record.
//! - An error of the engine ends the process; it is never retried as success.

use crate::exit::ExitStatus;
use crate::fatal::die;
use crate::place::CorePlace;
use crossbeam_queue::{ArrayQueue, SegQueue};
use crossbeam_utils::sync::{Parker, Unparker};
use iris_reactor::Waker;
use iris_reactor::mail::Sleep;
use iris_shard::io::{LoadId, Ticket};
use iris_storage::engine::{EngineError, StorageEngine};
use iris_storage::load::{LoadError, LoadRequest, Loaded, load_resident};
use iris_storage::log::NewSegment;
use iris_storage::number::RecordNumber;
use iris_storage::record::DurableRecord;
use iris_storage::segment::{DirectoryLog, LogFiles};
use iris_storage::space::Space;
use iris_storage::tables::{Rows, Tables};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Records handed over and not yet absorbed; above, the core seals no further one.
const RECORDS_MAX: usize = 4096;
/// The thread looks at its records this often while they come.
const ABSORB_INTERVAL: Duration = Duration::from_millis(25);
/// Free space and background errors are looked at this often.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What the thread works on.
pub(crate) struct StorageParts<T> {
    /// Tables and the rows merged for them.
    pub(crate) engine: StorageEngine<T>,
    /// The record log's folder, where it makes segments.
    pub(crate) files: DirectoryLog,
    /// Decides when the disk is full.
    pub(crate) space: Space,
    /// Durable rows are merged for this long before they are written to the tables.
    pub(crate) fill_interval: Duration,
}

struct Shared {
    records: ArrayQueue<(DurableRecord, Ticket)>,
    questions: SegQueue<(LoadId, LoadRequest)>,
    answers: SegQueue<(LoadId, Result<Loaded, LoadError>)>,
    wanted_segments: SegQueue<NewSegment>,
    made_segments: SegQueue<NewSegment>,
    flushed_number: AtomicU64,
    /// The last ticket whose record is in the tables.
    filled_through: AtomicU64,
    memory_bytes: AtomicU64,
    flush_wanted: AtomicBool,
    sleep: Sleep,
    full: AtomicBool,
    stop: AtomicBool,
}

/// The core's end.
pub(crate) struct StorageHandle {
    shared: Arc<Shared>,
    unparker: Unparker,
    resident: Option<Box<dyn Rows + Send>>,
    told_full: bool,
    told_flushed: u64,
    told_filled: u64,
    asked_segment: Option<NewSegment>,
}

impl StorageHandle {
    /// True if another record can be handed over.
    pub(crate) fn has_room(&self) -> bool {
        !self.shared.records.is_full()
    }

    /// Hands over a durable record, the last one of the tickets through this.
    pub(crate) fn absorb(&mut self, record: DurableRecord, through: Ticket) {
        let refused = self.shared.records.push((record, through));
        assert!(refused.is_ok(), "a record was sealed without room at the storage thread");
        if self.shared.sleep.claim_wake() {
            self.unparker.unpark();
        }
    }

    /// Has a segment made ahead of need; asking again for the same one changes nothing.
    pub(crate) fn make_segment(&mut self, segment: NewSegment) {
        if self.asked_segment != Some(segment) {
            self.asked_segment = Some(segment);
            self.shared.wanted_segments.push(segment);
            self.unparker.unpark();
        }
    }

    /// The next segment that was made.
    pub(crate) fn next_segment(&mut self) -> Option<NewSegment> {
        self.shared.made_segments.pop()
    }

    /// Has the tables flushed, so that segments can be used again.
    pub(crate) fn ask_flush(&mut self) {
        if !self.shared.flush_wanted.swap(true, Ordering::Relaxed) {
            self.unparker.unpark();
        }
    }

    /// Answers on this thread, if the tables may be asked as they stand and memory tells; `None`: ask.
    pub(crate) fn read_resident(&self, request: &LoadRequest) -> Option<Loaded> {
        load_resident(self.resident.as_deref()?, request)
    }

    /// Asks the tables.
    pub(crate) fn ask(&mut self, id: LoadId, request: LoadRequest) {
        self.shared.questions.push((id, request));
        self.unparker.unpark();
    }

    /// The next answer.
    pub(crate) fn next_answer(&mut self) -> Option<(LoadId, Result<Loaded, LoadError>)> {
        self.shared.answers.pop()
    }

    /// The last record whose rows are on the disk, if that changed since the last call.
    pub(crate) fn newly_flushed(&mut self) -> Option<RecordNumber> {
        let flushed = self.shared.flushed_number.load(Ordering::Acquire);
        (std::mem::replace(&mut self.told_flushed, flushed) != flushed).then_some(RecordNumber(flushed))
    }

    /// The last ticket whose record is in the tables, if that changed since the last call.
    pub(crate) fn newly_filled(&mut self) -> Option<Ticket> {
        let filled = self.shared.filled_through.load(Ordering::Acquire);
        (std::mem::replace(&mut self.told_filled, filled) != filled).then_some(Ticket(filled))
    }

    /// Memory of the tables and of what waits for them, in bytes, as of the last second in which the thread had work.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.shared.memory_bytes.load(Ordering::Relaxed)
    }

    /// True if free space has run out, false if it came back; `None` while nothing changed.
    pub(crate) fn room_changed(&mut self) -> Option<bool> {
        let full = self.shared.full.load(Ordering::Relaxed);
        (std::mem::replace(&mut self.told_full, full) != full).then_some(!full)
    }
}

/// The thread to be joined at the end.
pub(crate) struct StorageThread {
    shared: Arc<Shared>,
    unparker: Unparker,
    thread: JoinHandle<()>,
}

impl StorageThread {
    /// Writes and flushes everything handed over, then ends the thread.
    pub(crate) fn finish(self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.unparker.unpark();
        if self.thread.join().is_err() {
            die(ExitStatus::StorageEngineFailed, "storage thread panicked");
        }
    }
}

/// Starts the thread on the given core.
///
/// # Errors
/// The operating system's, if no thread can be made.
pub(crate) fn start<T: Tables + Send + 'static>(
    parts: StorageParts<T>,
    waker: Waker,
    place: CorePlace,
) -> std::io::Result<(StorageHandle, StorageThread)> {
    let StorageParts { engine, files, space, fill_interval } = parts;
    let shared = Arc::new(Shared {
        records: ArrayQueue::new(RECORDS_MAX),
        questions: SegQueue::new(),
        answers: SegQueue::new(),
        wanted_segments: SegQueue::new(),
        made_segments: SegQueue::new(),
        flushed_number: AtomicU64::new(0),
        filled_through: AtomicU64::new(0),
        memory_bytes: AtomicU64::new(0),
        flush_wanted: AtomicBool::new(false),
        sleep: Sleep::new(),
        full: AtomicBool::new(false),
        stop: AtomicBool::new(false),
    });
    let parker = Parker::new();
    let unparker = parker.unparker().clone();
    let resident = engine.tables().resident_rows();
    let now = Instant::now();
    let mut worker = Worker {
        shared: Arc::clone(&shared),
        parker,
        waker,
        engine,
        files,
        space,
        fill_interval,
        filled_at: now,
        checked_at: now,
        flushing: false,
        absorbed_through: Ticket::default(),
    };
    // Before anything is accepted.
    worker.check();
    let thread = std::thread::Builder::new().name(format!("storage-{}", place.shard)).spawn(move || {
        place.pin();
        place.step_back();
        worker.run();
    })?;
    let handle = StorageHandle {
        shared: Arc::clone(&shared),
        unparker: unparker.clone(),
        resident,
        told_full: false,
        told_flushed: 0,
        told_filled: 0,
        asked_segment: None,
    };
    Ok((handle, StorageThread { shared, unparker, thread }))
}

struct Worker<T: Tables> {
    shared: Arc<Shared>,
    parker: Parker,
    waker: Waker,
    engine: StorageEngine<T>,
    files: DirectoryLog,
    space: Space,
    fill_interval: Duration,
    filled_at: Instant,
    checked_at: Instant,
    flushing: bool,
    absorbed_through: Ticket,
}

impl<T: Tables> Worker<T> {
    fn run(mut self) {
        loop {
            let stopping = self.shared.stop.load(Ordering::SeqCst);
            let absorbed = self.absorb();
            self.answer();
            let now = Instant::now();
            if stopping || now.duration_since(self.filled_at) >= self.fill_interval {
                self.filled_at = now;
                or_die(self.engine.fill());
            }
            if stopping {
                or_die(self.engine.flush());
            } else if self.shared.flush_wanted.swap(false, Ordering::Relaxed) {
                or_die(self.engine.start_flush());
                self.flushing = true;
            }
            self.tell_filled();
            self.tell_flushed();
            self.make_segments();
            if now.duration_since(self.checked_at) >= CHECK_INTERVAL {
                self.checked_at = now;
                self.check();
            }
            if stopping {
                return;
            }
            self.rest(absorbed);
        }
    }

    /// Sleeps: shortly while records come, until it is woken when none do.
    fn rest(&mut self, absorbed: bool) {
        if absorbed || self.flushing {
            self.parker.park_timeout(ABSORB_INTERVAL);
            return;
        }
        self.shared.sleep.announce();
        if self.shared.records.is_empty() && self.shared.questions.is_empty() {
            self.parker.park_timeout(CHECK_INTERVAL);
        }
        self.shared.sleep.cancel();
    }

    fn absorb(&mut self) -> bool {
        let mut absorbed = false;
        while let Some((record, through)) = self.shared.records.pop() {
            absorbed = true;
            or_die(self.engine.absorb(record));
            self.absorbed_through = through;
        }
        absorbed
    }

    fn answer(&mut self) {
        let mut answered = false;
        while let Some((id, request)) = self.shared.questions.pop() {
            self.absorb();
            let answer = or_die(self.engine.load(&request));
            if let Err(error) = &answer {
                tracing::warn!(%error, "read failed");
            }
            self.shared.answers.push((id, answer));
            answered = true;
        }
        if answered {
            self.waker.wake();
        }
    }

    /// Tells the core how far the tables are. Nobody waits for it.
    fn tell_filled(&mut self) {
        if self.engine.is_filled() {
            self.shared.filled_through.store(self.absorbed_through.0, Ordering::Release);
        }
    }

    /// Tells the core how far the tables are on the disk, while a flush runs in the background.
    fn tell_flushed(&mut self) {
        if !self.flushing {
            return;
        }
        let flushed = or_die(self.engine.flushed_number()).0;
        if self.shared.flushed_number.swap(flushed, Ordering::Release) != flushed {
            self.flushing = false;
            self.waker.wake();
        }
    }

    fn make_segments(&mut self) {
        while let Some(segment) = self.shared.wanted_segments.pop() {
            if let Err(error) = self.files.create(segment.id, segment.bytes) {
                let full = error.kind() == std::io::ErrorKind::StorageFull;
                let status = if full { ExitStatus::DiskFull } else { ExitStatus::StorageWriteFailed };
                die(status, &format!("cannot make log segment {}: {error}", segment.id.file_name()));
            }
            self.shared.made_segments.push(segment);
            self.waker.wake();
        }
    }

    fn check(&mut self) {
        or_die(self.engine.check_background_errors());
        self.shared.memory_bytes.store(self.engine.memory_bytes(), Ordering::Relaxed);
        let full = match self.space.is_full() {
            Ok(full) => full,
            Err(error) => {
                tracing::warn!(%error, "cannot read free space");
                return;
            }
        };
        if self.shared.full.swap(full, Ordering::Relaxed) != full {
            tracing::warn!(full, "storage room changed");
            self.waker.wake();
        }
        if full {
            self.release_ballast();
        }
    }

    /// Acknowledgements and deletions get the last room.
    fn release_ballast(&self) {
        match self.space.release_ballast() {
            Ok(true) => tracing::warn!("the disk has no room but that of the ballast, which was let go"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "cannot let the ballast go"),
        }
    }
}

/// The engine's errors end the process: what it holds in memory can no longer be trusted to reach the disk.
fn or_die<V>(result: Result<V, EngineError>) -> V {
    match result {
        Ok(value) => value,
        Err(error) if error.is_disk_full() => die(ExitStatus::DiskFull, &error.to_string()),
        Err(error) => die(ExitStatus::StorageEngineFailed, &error.to_string()),
    }
}
