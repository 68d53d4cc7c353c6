//! File writes and syncs through the ring.
//!
//! Invariants
//! - The buffer and the file are kept until the operation's completion, then the buffer goes back to the caller.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use io_uring::opcode;
use io_uring::squeue::{self, Flags};
use io_uring::types::{Fd, FsyncFlags};
use slab::Slab;

use crate::aligned::AlignedBuffer;
use crate::event::Event;
use crate::ring::{Completion, Output, Ring};
use crate::tag::{Kind, Tag};

/// One write.
#[derive(Debug)]
pub struct Write {
    /// Where in the file, in bytes. A direct write needs a multiple of [`ALIGNMENT`](crate::ALIGNMENT).
    pub offset: u64,
    /// What; all of its bytes. It comes back with `Written`.
    pub buffer: AlignedBuffer,
    /// Whether the write is complete only when the data is durable (RWF_DSYNC).
    pub sync: bool,
}

/// An operation in the ring.
#[derive(Debug)]
struct Operation {
    token: u64,
    buffer: AlignedBuffer,
    /// Keeps the descriptor open.
    _file: Rc<File>,
}

#[derive(Debug, Default)]
pub(crate) struct Files {
    operations: Slab<Operation>,
}

impl Files {
    fn insert(&mut self, token: u64, file: &Rc<File>, buffer: AlignedBuffer) -> u32 {
        let operation = Operation { token, buffer, _file: Rc::clone(file) };
        u32::try_from(self.operations.insert(operation)).unwrap_or(u32::MAX)
    }

    /// Builds the write and keeps its buffer.
    fn write_entry(&mut self, token: u64, file: &Rc<File>, write: Write) -> squeue::Entry {
        let bytes = u32::try_from(write.buffer.len());
        assert!(bytes.is_ok(), "a write of {} bytes", write.buffer.len());
        let place = self.insert(token, file, write.buffer);
        let buffer = &self.operations[place as usize].buffer;
        let flags = if write.sync { libc::RWF_DSYNC } else { 0 };
        opcode::Write::new(Fd(file.as_raw_fd()), buffer.as_ptr(), bytes.unwrap_or(0))
            .offset(write.offset)
            .rw_flags(flags)
            .build()
            .user_data(Tag::new(Kind::FileWrite, place, 0).bits())
    }

    fn sync_entry(&mut self, token: u64, file: &Rc<File>) -> squeue::Entry {
        let place = self.insert(token, file, AlignedBuffer::new());
        let sync = opcode::Fsync::new(Fd(file.as_raw_fd())).flags(FsyncFlags::DATASYNC).build();
        sync.user_data(Tag::new(Kind::FileSync, place, 0).bits())
    }

    pub(crate) fn write(&mut self, ring: &mut Ring, token: u64, file: &Rc<File>, write: Write) {
        let entry = self.write_entry(token, file, write);
        ring.owe(1);
        // SAFETY: the buffer and the file stay in `operations`, untouched, until the completion.
        unsafe { ring.push(entry) };
    }

    pub(crate) fn sync(&mut self, ring: &mut Ring, token: u64, file: &Rc<File>) {
        let entry = self.sync_entry(token, file);
        ring.owe(1);
        // SAFETY: the file stays in `operations` until the completion.
        unsafe { ring.push(entry) };
    }

    pub(crate) fn write_then_sync(&mut self, ring: &mut Ring, token: u64, file: &Rc<File>, write: Write) {
        let chain =
            [self.write_entry(token, file, write).flags(Flags::IO_LINK), self.sync_entry(token, file)];
        ring.owe(2);
        // SAFETY: the buffer and the file stay in `operations`, untouched, until the completions.
        unsafe { ring.push_linked(&chain) };
    }

    pub(crate) fn complete(&mut self, completion: Completion, output: &mut Output) {
        let operation = self.operations.remove(completion.tag.index() as usize);
        let (token, buffer) = (operation.token, operation.buffer);
        let result = match completion.errno() {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(usize::try_from(completion.result).unwrap_or(0)),
        };
        output.counters.file_operations += 1;
        output.events.push_back(if completion.tag.kind() == Kind::FileSync {
            Event::Synced { token, result: result.map(|_| ()) }
        } else {
            Event::Written { token, result, buffer }
        });
    }

    /// Gives up what the kernel may still use.
    pub(crate) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.operations));
    }
}
