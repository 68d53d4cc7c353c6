//! A byte buffer that direct file I/O accepts.
//!
//! Invariants
//! - The address is a multiple of [`ALIGNMENT`] for the whole life of the buffer.
//! - Bytes up to `len` are initialised; growing keeps them.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

/// Alignment of address, offset and length for O_DIRECT. 4,096 suits every block device in use.
/// Source: open(2), "O_DIRECT".
pub const ALIGNMENT: usize = 4096;

/// A growable byte buffer whose address is a multiple of [`ALIGNMENT`], as is its capacity.
#[derive(Debug)]
pub struct AlignedBuffer {
    start: NonNull<u8>,
    len: usize,
    capacity: usize,
}

// SAFETY: the buffer owns its memory like a Vec<u8>; nothing about it belongs to a thread.
unsafe impl Send for AlignedBuffer {}
// SAFETY: shared references only read the bytes.
unsafe impl Sync for AlignedBuffer {}

impl AlignedBuffer {
    /// An empty buffer without memory.
    pub const fn new() -> Self {
        Self { start: NonNull::dangling(), len: 0, capacity: 0 }
    }

    /// An empty buffer with room for at least `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Self::new();
        buffer.reserve(bytes);
        buffer
    }

    /// Bytes that fit without another allocation.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes room for `additional` bytes more.
    pub fn reserve(&mut self, additional: usize) {
        let wanted = self.len.checked_add(additional).map(|bytes| bytes.next_multiple_of(ALIGNMENT));
        let wanted = wanted.unwrap_or(usize::MAX);
        if wanted <= self.capacity {
            return;
        }
        let capacity = wanted.max(self.capacity.saturating_mul(2));
        let layout = layout(capacity);
        // SAFETY: the layout has a size above zero, because `wanted` exceeds the present capacity.
        let fresh = unsafe { alloc(layout) };
        let Some(fresh) = NonNull::new(fresh) else { handle_alloc_error(layout) };
        // SAFETY: both blocks are valid for `len` bytes and are different allocations.
        unsafe { ptr::copy_nonoverlapping(self.start.as_ptr(), fresh.as_ptr(), self.len) };
        self.release();
        self.start = fresh;
        self.capacity = capacity;
    }

    /// Appends bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        // SAFETY: `reserve` made room for them behind `len`, and a slice cannot overlap memory that we own alone.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(self.len), bytes.len()) };
        self.len += bytes.len();
    }

    /// Sets the length; new bytes have this value.
    pub fn resize(&mut self, len: usize, value: u8) {
        if len > self.len {
            self.reserve(len - self.len);
            // SAFETY: `reserve` made room up to `len`.
            unsafe { ptr::write_bytes(self.start.as_ptr().add(self.len), value, len - self.len) };
        }
        self.len = len;
    }

    /// Appends zeros up to the next multiple of [`ALIGNMENT`], the unit of a direct write.
    pub fn pad(&mut self) {
        self.resize(self.len.next_multiple_of(ALIGNMENT), 0);
    }

    /// Forgets the bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    fn release(&mut self) {
        if self.capacity > 0 {
            // SAFETY: the block was allocated with this very layout and is not used after this.
            unsafe { dealloc(self.start.as_ptr(), layout(self.capacity)) };
        }
    }
}

/// The layout of a block of this many bytes; a size beyond the address space is an allocation that cannot succeed.
fn layout(bytes: usize) -> Layout {
    let Ok(layout) = Layout::from_size_align(bytes, ALIGNMENT) else {
        handle_alloc_error(Layout::new::<u8>());
    };
    layout
}

impl Default for AlignedBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        self.release();
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: bytes up to `len` are initialised and ours; a dangling start goes with length zero only.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and the mutable borrow makes this the only access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests;
