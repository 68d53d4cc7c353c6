//! What the message floor does for a message beside receiving and sending: one log append and one table put.
//!
//! The append is a plain `pwrite` (durability `os`) of the message's bytes and a record's header into a file that
//! was written before, once a tick for all messages of that tick, as a record groups them. The put is an insert of
//! a 40-byte key and the message's bytes into an ordered map of bounded size: a stand-in for a table, cheaper than
//! any database, so that the floor stays a floor.
//!
//! Invariants
//! - The file never grows and the map never holds more than its bound.

use crate::error::BenchError;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of the pre-written file; the append goes round in it.
const LOG_BYTES: u64 = 32 << 20;
/// Bytes of header that one message's operation takes in the log beside its frame.
const OPERATION_BYTES: usize = 32;
/// Rows that the map holds.
const ROWS_MAX: usize = 100_000;
/// Bytes of a row's key: slot, conversation of two users, sequence.
const KEY_BYTES: usize = 40;

/// The log and the table of one core.
pub(super) struct Work {
    log: File,
    offset: u64,
    record: Vec<u8>,
    table: BTreeMap<[u8; KEY_BYTES], Box<[u8]>>,
    rows: u64,
    acks: u64,
    answer_bytes: usize,
}

impl Work {
    /// Writes the log file in `directory` full of zeros, synced.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(super) fn new(directory: &Path, shard: u16, answer_bytes: usize) -> Result<Self, BenchError> {
        let path = directory.join(format!("floor-message-{shard}.log"));
        let log = prewritten(&path, LOG_BYTES)?;
        Ok(Self {
            log,
            offset: 0,
            record: Vec::new(),
            table: BTreeMap::new(),
            rows: 0,
            acks: 0,
            answer_bytes,
        })
    }

    /// Bytes of the answer to a sender.
    pub(super) fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }

    /// Gathers a message for this tick's append and puts its row.
    pub(super) fn message(&mut self, body: &[u8]) {
        self.record.extend_from_slice(&[0; OPERATION_BYTES]);
        self.record.extend_from_slice(body);
        self.rows += 1;
        // A row's place depends on its conversation: scattered, as keys of different conversations are.
        let mut key = [0_u8; KEY_BYTES];
        key[..8].copy_from_slice(&self.rows.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        key[KEY_BYTES - 8..].copy_from_slice(&self.rows.to_be_bytes());
        self.table.insert(key, body.into());
        if self.table.len() > ROWS_MAX {
            self.table.pop_first();
        }
    }

    /// Counts a recipient's acknowledgement.
    pub(super) fn acked(&mut self) {
        self.acks += 1;
    }

    /// Appends what was gathered: one write.
    ///
    /// # Errors
    /// The write failed.
    pub(super) fn finish(&mut self) -> Result<(), BenchError> {
        if self.record.is_empty() {
            return Ok(());
        }
        let bytes = u64::try_from(self.record.len()).unwrap_or(u64::MAX);
        if self.offset + bytes > LOG_BYTES {
            self.offset = 0;
        }
        self.log
            .write_all_at(&self.record, self.offset)
            .map_err(BenchError::io("writing the floor's log"))?;
        self.offset += bytes;
        self.record.clear();
        Ok(())
    }
}

/// Makes a file full of zeros, written and synced: a later write into it changes no metadata.
///
/// # Errors
/// No room, or no permission.
pub(super) fn prewritten(path: &Path, bytes: u64) -> Result<File, BenchError> {
    let what = || format!("writing {}", path.display());
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(BenchError::io(what()))?;
    let zeros = vec![0_u8; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all(&zeros[..chunk]).map_err(BenchError::io(what()))?;
        left -= u64::try_from(chunk).unwrap_or(left);
    }
    file.sync_all().map_err(BenchError::io(what()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages of a tick are in the file after it, the file is as long as before, the map is bounded.
    /// Seen to fail when: `finish` writes nothing, or the oldest row is kept.
    #[test]
    fn a_tick_appends_its_messages_and_nothing_grows() {
        let directory = tempfile::tempdir().unwrap();
        let mut work = Work::new(directory.path(), 0, 64).unwrap();
        let path = directory.path().join("floor-message-0.log");
        work.message(b"first");
        work.message(b"second");
        work.finish().unwrap();
        let written = std::fs::read(&path).unwrap();
        assert_eq!(&written[OPERATION_BYTES..OPERATION_BYTES + 5], b"first");
        assert_eq!(&written[2 * OPERATION_BYTES + 5..2 * OPERATION_BYTES + 11], b"second");
        for _ in 0..ROWS_MAX + 1_000 {
            work.message(&[1; 400]);
            work.finish().unwrap();
        }
        assert_eq!(work.table.len(), ROWS_MAX);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), LOG_BYTES);
    }
}
