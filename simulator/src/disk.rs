//! What survives a stop: the synced image of each shard's log, and its tables as of their last flush.

use crate::random::Random;
use crate::reached::Reached;
use iris_storage::log::LogWrite;
use iris_storage::segment::MemoryLog;
use iris_storage::tables::{MemoryTables, SharedTables};

/// One shard's disk.
pub(crate) struct Disk {
    /// The log's synced image.
    pub(crate) log: MemoryLog,
    /// The tables.
    pub(crate) tables: SharedTables<MemoryTables>,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self { log: MemoryLog::new(), tables: SharedTables::new(MemoryTables::new()) }
    }

    /// A synced write.
    pub(crate) fn write(&mut self, write: &LogWrite) {
        let written = self.log.write_at(write.segment(), write.offset(), write.bytes());
        assert!(written.is_ok(), "the log writes into segments that exist: {written:?}");
    }

    /// The process stopped during a write: none of it, all of it, a part, or garbage is there.
    pub(crate) fn tear(&mut self, write: &LogWrite, random: &mut Random, reached: &mut Reached) {
        let bytes = write.bytes();
        let mut torn = bytes.to_vec();
        let cut = usize::try_from(random.below(bytes.len() as u64)).unwrap_or(0);
        match random.below(4) {
            0 => return,
            1 => reached.written_unacknowledged += 1,
            2 => torn.truncate(cut),
            _ => {
                for byte in &mut torn[cut..] {
                    *byte = u8::try_from(random.below(256)).unwrap_or(0);
                }
            }
        }
        let written = self.log.write_at(write.segment(), write.offset(), &torn);
        assert!(written.is_ok(), "the log writes into segments that exist: {written:?}");
    }

    /// The power is cut: tables fall back to their last flush.
    pub(crate) fn cut_power(&mut self) {
        self.tables.with(MemoryTables::power_cut);
    }
}
