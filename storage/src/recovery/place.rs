//! Where a walk along the chain of segments stands.

use crate::codec::wide;
use crate::segment::SEGMENT_HEAD_BYTES;

/// A byte of a segment of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) index: usize,
    pub(super) offset: u64,
    /// The walk came here from the segment before, or starts with this one's head.
    by_head: bool,
}

impl Place {
    /// A segment's first record.
    pub(super) fn beginning(index: usize) -> Self {
        Self { index, offset: wide(SEGMENT_HEAD_BYTES), by_head: true }
    }

    /// A record in the middle of the log, found by scanning.
    pub(super) fn at(index: usize, offset: u64) -> Self {
        Self { index, offset, by_head: false }
    }

    pub(super) fn is_beginning(self) -> bool {
        self.by_head
    }

    pub(super) fn next_segment(self) -> Self {
        Self::beginning(self.index.saturating_add(1))
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        self.offset = self.offset.saturating_add(wide(bytes));
    }
}
