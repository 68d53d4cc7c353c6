//! A log's segments in memory, for tests and the simulator.

use super::LogFiles;
use crate::codec::{narrow, wide};
use crate::number::SegmentId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

/// Segments in memory. What is in it is the disk's synced image; a simulated disk keeps unsynced writes beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryLog {
    segments: BTreeMap<SegmentId, Vec<u8>>,
    /// Writing and creating calls that still succeed; `None`: all.
    writes_left: Option<u32>,
}

impl MemoryLog {
    /// No segments.
    pub fn new() -> Self {
        Self::default()
    }

    /// A segment's bytes, to damage or to compare.
    pub fn bytes_mut(&mut self, id: SegmentId) -> Option<&mut Vec<u8>> {
        self.segments.get_mut(&id)
    }

    /// A segment's bytes.
    pub fn bytes(&self, id: SegmentId) -> Option<&[u8]> {
        self.segments.get(&id).map(Vec::as_slice)
    }

    /// Carries out a write, as the disk would.
    ///
    /// # Errors
    /// The segment does not exist or ends before.
    pub fn write_at(&mut self, id: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let segment = self.segments.get_mut(&id).ok_or_else(missing)?;
        let start = narrow(offset);
        let place = segment.get_mut(start..start.saturating_add(bytes.len())).ok_or_else(missing)?;
        place.copy_from_slice(bytes);
        Ok(())
    }

    /// From now on, this many writing calls succeed and all later ones fail, as on a disk without room.
    pub fn fail_writes_after(&mut self, writes: Option<u32>) {
        self.writes_left = writes;
    }

    fn spend_write(&mut self) -> io::Result<()> {
        match self.writes_left {
            None => Ok(()),
            Some(0) => Err(io::Error::from(io::ErrorKind::StorageFull)),
            Some(left) => {
                self.writes_left = Some(left.saturating_sub(1));
                Ok(())
            }
        }
    }
}

impl LogFiles for MemoryLog {
    fn list(&mut self) -> io::Result<Vec<SegmentId>> {
        Ok(self.segments.keys().copied().collect())
    }

    fn length(&mut self, id: SegmentId) -> io::Result<u64> {
        self.segments.get(&id).map(|bytes| wide(bytes.len())).ok_or(io::Error::from(io::ErrorKind::NotFound))
    }

    fn read_at(&mut self, id: SegmentId, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.segments.get(&id).ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        let rest = bytes.get(narrow(offset)..).unwrap_or_default();
        let length = rest.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        Ok(length)
    }

    fn zero(&mut self, id: SegmentId, offset: u64, length: u64) -> io::Result<()> {
        self.spend_write()?;
        let zeros = vec![0; narrow(length)];
        self.write_at(id, offset, &zeros)
    }

    fn create(&mut self, id: SegmentId, bytes: u64) -> io::Result<()> {
        self.spend_write()?;
        if self.segments.contains_key(&id) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        self.segments.insert(id, vec![0; narrow(bytes)]);
        Ok(())
    }

    fn sync(&mut self, id: SegmentId) -> io::Result<()> {
        self.length(id).map(|_| ())
    }

    fn remove(&mut self, id: SegmentId) -> io::Result<()> {
        self.spend_write()?;
        self.segments.remove(&id);
        Ok(())
    }
}

/// Segments that outlive the process that writes them: a simulated host keeps them. On one thread.
#[derive(Clone, Debug, Default)]
pub struct SharedLog(Rc<RefCell<MemoryLog>>);

impl SharedLog {
    /// Shares these segments.
    pub fn new(log: MemoryLog) -> Self {
        Self(Rc::new(RefCell::new(log)))
    }

    /// Looks at the segments, or changes them, between calls.
    pub fn with<R>(&self, use_it: impl FnOnce(&mut MemoryLog) -> R) -> R {
        use_it(&mut self.0.borrow_mut())
    }
}

impl LogFiles for SharedLog {
    fn list(&mut self) -> io::Result<Vec<SegmentId>> {
        self.0.borrow_mut().list()
    }

    fn length(&mut self, id: SegmentId) -> io::Result<u64> {
        self.0.borrow_mut().length(id)
    }

    fn read_at(&mut self, id: SegmentId, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read_at(id, offset, out)
    }

    fn zero(&mut self, id: SegmentId, offset: u64, length: u64) -> io::Result<()> {
        self.0.borrow_mut().zero(id, offset, length)
    }

    fn create(&mut self, id: SegmentId, bytes: u64) -> io::Result<()> {
        self.0.borrow_mut().create(id, bytes)
    }

    fn sync(&mut self, id: SegmentId) -> io::Result<()> {
        self.0.borrow_mut().sync(id)
    }

    fn remove(&mut self, id: SegmentId) -> io::Result<()> {
        self.0.borrow_mut().remove(id)
    }
}
