//! A file that is written through memory: no system call for a write.
//!
//! Invariants
//! - Writes stay inside the mapping. The file must keep its length while it is mapped: the kernel ends a process that
//!   writes beyond the end (SIGBUS), as it does when a page cannot be read from the disk.
//! - What was written survives the process at once, and a crash of the host after the file's next sync.

use std::fs::File;
use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A whole file, mapped shared and writable.
#[derive(Debug)]
pub struct MappedFile {
    start: NonNull<u8>,
    bytes: usize,
}

impl MappedFile {
    /// Maps a file that is open for reading and writing.
    ///
    /// # Errors
    /// The file is empty, or the kernel cannot map it.
    pub fn new(file: &File) -> io::Result<Self> {
        let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice touches no other memory of this process.
        let start = unsafe { mmap(ptr::null_mut(), bytes, access, MapFlags::SHARED, file, 0) }?;
        NonNull::new(start.cast())
            .map(|start| Self { start, bytes })
            .ok_or_else(|| io::Error::other("mapped at zero"))
    }

    /// Writes at an offset in bytes.
    ///
    /// # Errors
    /// `InvalidInput` if that is not inside the file; nothing is written then.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let end = start.and_then(|start| start.checked_add(bytes.len()));
        let (Some(start), Some(_)) = (start, end.filter(|end| *end <= self.bytes)) else {
            let (length, file) = (bytes.len(), self.bytes);
            let what = format!("{length} bytes at {offset} of a file of {file} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        };
        // SAFETY: the target lies inside the mapping, which nobody else borrows, and the source is not in it.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(start), bytes.len()) };
        Ok(())
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping made in `new`; nothing borrows it any more.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn file(bytes: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(bytes).unwrap();
        file
    }

    /// What was written is in the file at once, for every other reader of it; the rest of the file is as it was.
    /// Seen to fail when: the mapping is private.
    #[test]
    fn a_write_is_in_the_file_at_once() {
        let file = file(3 * 4096);
        let mut mapped = MappedFile::new(&file).unwrap();
        mapped.write(4090, b"across a page").unwrap();
        mapped.write(0, b"first").unwrap();
        mapped.write(3 * 4096 - 4, b"last").unwrap();
        let mut content = vec![0xff; 3 * 4096];
        file.read_exact_at(&mut content, 0).unwrap();
        assert_eq!(&content[..5], b"first");
        assert_eq!(&content[4090..4103], b"across a page");
        assert_eq!(&content[3 * 4096 - 4..], b"last");
        assert_eq!(content.iter().filter(|byte| **byte != 0).count(), 5 + 13 + 4);
    }

    /// A write that does not lie inside the file changes nothing and says so.
    /// Seen to fail when: the end is compared with `<` one byte further.
    #[test]
    fn a_write_beyond_the_end_is_refused() {
        let file = file(4096);
        let mut mapped = MappedFile::new(&file).unwrap();
        for (offset, bytes) in [(4096, 1), (4090, 7), (u64::MAX, 1), (1 << 40, 1)] {
            let refused = mapped.write(offset, &vec![1; bytes]).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{bytes} bytes at {offset}");
        }
        let mut content = vec![0xff; 4096];
        file.read_exact_at(&mut content, 0).unwrap();
        assert!(content.iter().all(|byte| *byte == 0));
        mapped.write(4090, &[7; 6]).unwrap();
    }
}
