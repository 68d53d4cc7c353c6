//! Stored values: the value and four bytes of checksum over key and value.

use super::{Table, TableError};
use crate::codec::{DecodeError, Reader};
use crate::number::{Checksum, Mark, RecordNumber};
use iris_protocol::Generation;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// 4: a damaged value passes once in 2^32, behind RocksDB's own block checksums; 8 would cost 200 M dedup rows 800 MB.
const CHECKSUM_BYTES: usize = 4;

fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [_, _, _, _, low @ ..] = xxh3_64_with_seed(value, xxh3_64(key)).to_be_bytes();
    low
}

/// Writes what is stored for a value into `out` (cleared first).
pub(crate) fn seal_value(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(value);
    out.extend_from_slice(&checksum(key, value));
}

/// The value of what is stored.
pub(crate) fn open_value<'s>(table: Table, key: &[u8], stored: &'s [u8]) -> Result<&'s [u8], TableError> {
    match stored.split_last_chunk::<CHECKSUM_BYTES>() {
        Some((value, found)) if *found == checksum(key, value) => Ok(value),
        Some(_) | None => Err(TableError::damaged(table, key)),
    }
}

/// The key of the mark in the facts.
pub(crate) const MARK_KEY: &[u8] = b"mark";

/// A mark as a value.
pub(crate) fn mark_value(mark: Mark) -> Vec<u8> {
    let mut value = Vec::with_capacity(20);
    value.extend_from_slice(&mark.number.0.to_be_bytes());
    value.extend_from_slice(&mark.checksum.0.to_be_bytes());
    value.extend_from_slice(&mark.generation.0.to_be_bytes());
    value
}

/// A mark from its value.
#[cfg_attr(not(feature = "rocks"), allow(dead_code, reason = "tables in memory keep the mark itself"))]
pub(crate) fn mark_from_value(value: &[u8]) -> Result<Mark, DecodeError> {
    let mut reader = Reader::new(value);
    let number = RecordNumber(reader.u64()?);
    let checksum = Checksum(reader.u64()?);
    let mark = Mark { number, checksum, generation: Generation(reader.u32()?) };
    reader.end()?;
    Ok(mark)
}
