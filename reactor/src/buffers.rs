//! The receive buffers of one ring, lent by the kernel to whoever received something.
//!
//! Invariants
//! - A buffer is with the kernel or in exactly one [`Lease`], never both.
//! - The memory outlives the ring (the reactor closes rings first) and every lease (each holds the pool).
//! - The kernel has a few buffers at first, and twice as many whenever few of them are left: it takes them in turn, so that all it
//!   has are soon in use, and what a core fills again and again should stay in its cache.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Buffers that a pool begins with.
const OFFERED_AT_FIRST: u16 = 64;

/// An anonymous, private, page-aligned mapping.
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    fn new(bytes: usize) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe {
            mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        }?;
        NonNull::new(start.cast())
            .map(|start| Self { start, bytes })
            .ok_or_else(|| io::Error::other("mapped at zero"))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping made in `new`; its users have borrowed it and are gone.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// A ring of provided buffers: the kernel takes from its head, we give back at its tail.
pub(crate) struct Pool {
    entries: Mapping,
    memory: Mapping,
    buffers: u16,
    buffer_bytes: u32,
    /// Where the next returned buffer goes. Wraps.
    tail: Cell<u16>,
    /// Buffers that the kernel knows of, in leases or not.
    offered: Cell<u16>,
    /// Buffers in leases.
    lent: Cell<u16>,
    /// Buffers that were ever filled; the kernel takes them in the order of their numbers at first.
    touched: Cell<u16>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("buffers", &self.buffers)
            .field("lent", &self.lent.get())
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Maps the memory; the first buffers are offered to the kernel as soon as the ring is registered.
    pub(crate) fn new(buffers: u16, buffer_bytes: u32) -> io::Result<Rc<Self>> {
        let entries = Mapping::new(usize::from(buffers) * size_of::<BufRingEntry>())?;
        let memory = Mapping::new(usize::from(buffers) * buffer_bytes as usize)?;
        let pool = Self {
            entries,
            memory,
            buffers,
            buffer_bytes,
            tail: Cell::new(0),
            offered: Cell::new(0),
            lent: Cell::new(0),
            touched: Cell::new(0),
        };
        pool.offer(OFFERED_AT_FIRST.min(buffers));
        Ok(Rc::new(pool))
    }

    /// Lets the kernel know of so many buffers more.
    fn offer(&self, more: u16) {
        let first = self.offered.get();
        self.offered.set(first + more);
        self.lent.set(self.lent.get() + more);
        for id in first..first + more {
            self.give_back(id);
        }
    }

    /// Offers as many buffers again. False if all are offered.
    pub(crate) fn grow(&self) -> bool {
        let more = self.offered.get().min(self.buffers - self.offered.get());
        self.offer(more);
        more > 0
    }

    /// The address to register.
    pub(crate) fn entries_address(&self) -> u64 {
        self.entries.start.as_ptr().addr() as u64
    }

    /// Bytes of the buffers that were ever filled, and of their ring.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.bytes + usize::from(self.touched.get()) * self.buffer_bytes as usize
    }

    pub(crate) fn buffers(&self) -> u16 {
        self.buffers
    }

    /// Buffers that the kernel has.
    pub(crate) fn free(&self) -> u16 {
        self.offered.get() - self.lent.get()
    }

    /// Takes over the buffer that a completion named.
    pub(crate) fn lend(self: &Rc<Self>, id: u16, len: u32) -> Lease {
        assert!(id < self.buffers, "the kernel named buffer {id} of {}", self.buffers);
        assert!(
            len <= self.buffer_bytes,
            "the kernel wrote {len} bytes into a buffer of {}",
            self.buffer_bytes
        );
        self.lent.set(self.lent.get() + 1);
        self.touched.set(self.touched.get().max(id + 1));
        if self.free() < self.offered.get() / 4 {
            self.grow();
        }
        Lease { pool: Rc::clone(self), id, len }
    }

    fn buffer(&self, id: u16) -> *mut u8 {
        // SAFETY: `id` is below `buffers`, so the offset lies inside the mapping.
        unsafe { self.memory.start.as_ptr().add(usize::from(id) * self.buffer_bytes as usize) }
    }

    #[allow(clippy::cast_ptr_alignment, reason = "a mapping begins at a page")]
    fn first_entry(&self) -> *mut BufRingEntry {
        self.entries.start.as_ptr().cast()
    }

    fn give_back(&self, id: u16) {
        let base = self.first_entry();
        let tail = self.tail.get();
        let place = usize::from(tail & (self.buffers - 1));
        // SAFETY: `place` is below `buffers`, the mapping is page-aligned and zeroed, and the kernel does not read this
        // entry before the tail below says that it is there.
        let entry = unsafe { &mut *base.add(place) };
        entry.set_addr(self.buffer(id).addr() as u64);
        entry.set_len(self.buffer_bytes);
        entry.set_bid(id);
        self.tail.set(tail.wrapping_add(1));
        // SAFETY: the tail lies in the first entry's reserved field, which `set_*` do not touch; the kernel only reads it.
        let published = unsafe { &*BufRingEntry::tail(base).cast::<AtomicU16>() };
        published.store(self.tail.get(), Ordering::Release);
        self.lent.set(self.lent.get() - 1);
    }
}

/// Received bytes, in the kernel's buffer. Dropping it gives the buffer back for the next receive.
pub struct Lease {
    pool: Rc<Pool>,
    id: u16,
    len: u32,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("id", &self.id).field("len", &self.len).finish_non_exhaustive()
    }
}

impl Lease {
    /// True if there was no room for more.
    pub(crate) fn is_full(&self) -> bool {
        self.len == self.pool.buffer_bytes
    }
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the kernel wrote `len` bytes and gave the buffer to this lease alone; the pool keeps it mapped.
        unsafe { std::slice::from_raw_parts(self.pool.buffer(self.id), self.len as usize) }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and the mutable borrow makes this the only access.
        unsafe { std::slice::from_raw_parts_mut(self.pool.buffer(self.id), self.len as usize) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.give_back(self.id);
    }
}

#[cfg(test)]
mod tests;
