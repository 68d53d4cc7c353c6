//! A core's record log on a real disk.
//!
//! With `fsync` durability each record is one direct write with RWF_DSYNC through the ring, and is durable when that
//! completes. With `os` durability a record is copied into the mapped segment, durable for its purpose at once, and synced
//! within 100 ms.
//!
//! Invariants
//! - One record is in flight at most; the next gathers meanwhile.
//! - A write or sync that fails ends the process; it is never retried as success.
//! - A record is at the storage thread before the shard hears that it is durable.

use crate::control::LogFigures;
use crate::storage_thread::StorageHandle;
use crossbeam_channel::Sender;
use iris_protocol::Durability;
use iris_protocol::limits::OS_SYNC_INTERVAL;
use iris_reactor::{AlignedBuffer, MappedFile, Reactor, Write};
use iris_shard::io::Ticket;
use iris_storage::log::{LogWrite, RecordLog};
use iris_storage::number::{SegmentId, Vouch};
use iris_storage::op::Op;
use rustix::fs::{Mode, OFlags, open};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Segments that hold unflushed records before the tables are flushed.
const USED_SEGMENTS_MAX: usize = 3;

/// Operations that nobody waits for (cursors, watermarks, confirmations) ride in the next record that an accepted message
/// begins, or begin one after this time: each record of their own would hold up the messages behind it for a sync.
const RIDE_ALONG: Duration = Duration::from_millis(3);

/// Why the log cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// A segment's file cannot be opened.
    #[error("cannot open log segment {path}: {cause}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        cause: io::Error,
    },
    /// A write failed.
    #[error("cannot write record {number}: {cause}")]
    Write {
        /// The record.
        number: u64,
        /// The operating system's reason.
        cause: io::Error,
    },
    /// A write stopped early.
    #[error("record {number}: {written} of {bytes} bytes were written")]
    Short {
        /// The record.
        number: u64,
        /// Written.
        written: usize,
        /// Asked for.
        bytes: usize,
    },
    /// A sync failed.
    #[error("cannot sync the record log: {0}")]
    Sync(io::Error),
}

impl WriteError {
    /// True if the disk is full.
    pub(crate) fn is_disk_full(&self) -> bool {
        let cause = match self {
            Self::Open { cause, .. } | Self::Write { cause, .. } | Self::Sync(cause) => cause,
            Self::Short { .. } => return false,
        };
        cause.kind() == io::ErrorKind::StorageFull
    }
}

/// The log and the file it writes to.
pub(crate) struct DurableLog {
    log: RecordLog,
    core: u16,
    directory: PathBuf,
    durability: Durability,
    files: HashMap<SegmentId, Rc<File>>,
    /// With `os` durability: the segment that is written.
    mapped: Option<(SegmentId, MappedFile)>,
    in_flight: Option<LogWrite>,
    /// When the last record was closed and its write began.
    sealed_at: Instant,
    buffer: AlignedBuffer,
    unsynced: Vec<Rc<File>>,
    syncs: usize,
    sync_at: Instant,
    /// The gathered operations may wait until then; `None`: nothing waits, or a message does.
    ride_until: Option<Instant>,
    vouches: Sender<(u16, Vouch)>,
    figures: LogFigures,
}

impl DurableLog {
    /// A log whose segments live in `directory`.
    pub(crate) fn new(
        log: RecordLog,
        core: u16,
        directory: PathBuf,
        durability: Durability,
        vouches: Sender<(u16, Vouch)>,
    ) -> Self {
        Self {
            log,
            core,
            directory,
            durability,
            files: HashMap::new(),
            mapped: None,
            in_flight: None,
            sealed_at: Instant::now(),
            buffer: AlignedBuffer::new(),
            unsynced: Vec::new(),
            syncs: 0,
            sync_at: Instant::now(),
            ride_until: None,
            vouches,
            figures: LogFigures::default(),
        }
    }

    /// Adds operations to the record that gathers. `now` is the tick's time, which what may wait counts from.
    pub(crate) fn append(&mut self, ticket: Ticket, ops: &[Op], now: Instant) {
        let nothing_waited = !self.log.has_gathered();
        let found = self.log.append(ops);
        assert_eq!(found.0, ticket.0, "the shard's tickets and the log's are the same");
        let accepts = ops.iter().filter(|op| matches!(op, Op::Accept { .. })).count();
        self.figures.messages += accepts as u64;
        if accepts > 0 {
            self.ride_until = None;
        } else if nothing_waited {
            self.ride_until = Some(now + RIDE_ALONG);
        }
    }

    /// Writes the gathered record, if nothing is in flight. The ticket, if it is durable already.
    ///
    /// # Errors
    /// [`WriteError`]: the process must end.
    pub(crate) fn write(
        &mut self,
        reactor: &mut Reactor,
        storage: &mut StorageHandle,
    ) -> Result<Option<Ticket>, WriteError> {
        self.tend_segments(storage);
        self.sync_written(reactor);
        if self.in_flight.is_some() || !storage.has_room() || self.may_wait(reactor.now()) {
            return Ok(None);
        }
        let Some(write) = self.log.seal() else {
            return Ok(None);
        };
        self.ride_until = None;
        self.sealed_at = Instant::now();
        let file = self.file(write.segment())?;
        match self.durability {
            Durability::Os => {
                let number = write.number().0;
                let written = self.write_mapped(write.segment(), &file, write.offset(), write.bytes());
                written.map_err(|cause| WriteError::Write { number, cause })?;
                self.remember_unsynced(&file);
                Ok(Some(self.finish(write, storage)))
            }
            Durability::Fsync => {
                let mut buffer = std::mem::take(&mut self.buffer);
                buffer.clear();
                buffer.extend_from_slice(write.bytes());
                let token = write.number().0;
                reactor.write(token, &file, Write { offset: write.offset(), buffer, sync: true });
                self.in_flight = Some(write);
                Ok(None)
            }
        }
    }

    /// A write through the ring ended: the ticket that is durable now.
    ///
    /// # Errors
    /// [`WriteError`]: the process must end.
    pub(crate) fn written(
        &mut self,
        token: u64,
        result: io::Result<usize>,
        buffer: AlignedBuffer,
        storage: &mut StorageHandle,
    ) -> Result<Option<Ticket>, WriteError> {
        let Some(write) = self.in_flight.take() else { return Ok(None) };
        self.figures.write_us += u64::try_from(self.sealed_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        assert_eq!(write.number().0, token, "a write ended that was not in flight");
        let written = result.map_err(|cause| WriteError::Write { number: token, cause })?;
        if written != buffer.len() {
            return Err(WriteError::Short { number: token, written, bytes: buffer.len() });
        }
        self.buffer = buffer;
        Ok(Some(self.finish(write, storage)))
    }

    /// A sync ended.
    ///
    /// # Errors
    /// [`WriteError::Sync`]: the process must end.
    pub(crate) fn synced(&mut self, _token: u64, result: io::Result<()>) -> Result<(), WriteError> {
        self.syncs -= 1;
        result.map_err(WriteError::Sync)
    }

    /// When the record that became durable last was closed.
    pub(crate) fn sealed_at(&self) -> Instant {
        self.sealed_at
    }

    /// When something must be written or synced.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let sync = (!self.unsynced.is_empty() && self.syncs == 0).then_some(self.sync_at);
        let ride = self.ride_until.filter(|_| self.in_flight.is_none());
        [sync, ride].into_iter().flatten().min()
    }

    /// True if operations wait for a record that can be written now.
    pub(crate) fn has_waiting(&self, now: Instant) -> bool {
        self.in_flight.is_none() && !self.log.is_idle() && !self.log.is_stalled() && !self.may_wait(now)
    }

    fn may_wait(&self, now: Instant) -> bool {
        self.ride_until.is_some_and(|until| now < until)
    }

    /// True if everything is written and synced.
    pub(crate) fn is_idle(&self) -> bool {
        self.log.is_idle() && self.unsynced.is_empty() && self.syncs == 0
    }

    /// What the data directory may vouch for at a clean stop.
    pub(crate) fn vouch(&self) -> Vouch {
        self.log.vouch()
    }

    /// Figures so far.
    pub(crate) fn figures(&self) -> LogFigures {
        LogFigures { last_number: self.log.last().number.0, ..self.figures }
    }

    fn finish(&mut self, write: LogWrite, storage: &mut StorageHandle) -> Ticket {
        self.figures.records += 1;
        self.figures.bytes += write.bytes().len() as u64;
        let durable = self.log.written(write);
        let through = Ticket(durable.through.0);
        storage.absorb(self.log.compact(durable.record), through);
        if let Some(vouch) = durable.vouch {
            // The main thread ends before the cores only when the process ends.
            let _gone = self.vouches.send((self.core, vouch));
        }
        through
    }

    fn file(&mut self, segment: SegmentId) -> Result<Rc<File>, WriteError> {
        if let Some(file) = self.files.get(&segment) {
            return Ok(Rc::clone(file));
        }
        let path = self.directory.join(segment.file_name());
        let access = match self.durability {
            Durability::Fsync => OFlags::WRONLY | OFlags::DIRECT,
            // A mapping needs both.
            Durability::Os => OFlags::RDWR,
        };
        let opened = open(&path, access | OFlags::CLOEXEC, Mode::empty());
        let file = opened.map_err(|cause| WriteError::Open { path, cause: cause.into() })?;
        let file = Rc::new(File::from(file));
        self.files.insert(segment, Rc::clone(&file));
        Ok(file)
    }

    fn write_mapped(&mut self, segment: SegmentId, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mapped = match &mut self.mapped {
            Some((other, mapped)) if *other == segment => mapped,
            mapped => &mut mapped.insert((segment, MappedFile::new(file)?)).1,
        };
        mapped.write(offset, bytes)
    }

    fn remember_unsynced(&mut self, file: &Rc<File>) {
        if self.unsynced.is_empty() {
            self.sync_at = Instant::now() + OS_SYNC_INTERVAL;
        }
        if !self.unsynced.iter().any(|other| Rc::ptr_eq(other, file)) {
            self.unsynced.push(Rc::clone(file));
        }
    }

    /// With `os` durability: syncs what was written, once the time has come.
    fn sync_written(&mut self, reactor: &mut Reactor) {
        if self.unsynced.is_empty() || self.syncs > 0 || reactor.now() < self.sync_at {
            return;
        }
        for file in self.unsynced.drain(..) {
            reactor.sync(0, &file);
            self.syncs += 1;
        }
    }

    /// Takes segments that the storage thread made, frees those it has flushed, asks for more.
    fn tend_segments(&mut self, storage: &mut StorageHandle) {
        if let Some(flushed) = storage.newly_flushed() {
            self.log.flushed(flushed);
        }
        while let Some(segment) = storage.next_segment() {
            self.log.provide(segment);
        }
        if let Some(segment) = self.log.needs_segment() {
            storage.make_segment(segment);
        }
        if self.log.used_segments().len() > USED_SEGMENTS_MAX {
            storage.ask_flush();
        }
    }
}
