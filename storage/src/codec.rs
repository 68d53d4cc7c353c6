//! Bytes in and out: varints, length prefixes, fixed integers. Shared by records and rows.
//!
//! Invariants
//! - Reading never panics and never takes memory for a length that was not checked against the bytes that are there.
//! - Every value has one encoding: a longer varint than needed is refused.

use iris_protocol::IdError;

/// Why bytes do not decode. In bytes that passed their checksum it means another version, or a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("ends inside a field")]
    Truncated,
    /// A varint of more than ten bytes, or longer than needed.
    #[error("malformed varint")]
    Varint,
    /// A number that its type cannot hold.
    #[error("number {value} out of range")]
    Range {
        /// The number.
        value: u64,
    },
    /// A kind that this version does not know.
    #[error("unknown kind {tag}")]
    Tag {
        /// The kind's number.
        tag: u8,
    },
    /// Bytes left over after the last field.
    #[error("{bytes} bytes too many")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A text that is not an id.
    #[error("not an id: {0}")]
    Id(#[from] IdError),
    /// Another count of operations than the header names.
    #[error("{found} operations where the header names {expected}")]
    Count {
        /// In the header.
        expected: u32,
        /// In the body.
        found: u32,
    },
}

/// Longest text of an id or a conversation in bytes: `d:` + 64 + `:` + 64.
pub(crate) const TEXT_BYTES_MAX: usize = 2 + 64 + 1 + 64;

/// Appends a varint (LEB128, least significant group first).
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, wide(bytes.len()));
    out.extend_from_slice(bytes);
}

fn low_byte(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

/// A length as a 64-bit number.
pub(crate) fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A 64-bit number as a length; saturates.
pub(crate) fn narrow(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// A length that is known to fit into 32 bits.
pub(crate) fn length_u32(length: usize) -> u32 {
    let fits = u32::try_from(length);
    assert!(fits.is_ok(), "length {length} does not fit into 32 bits");
    fits.unwrap_or(u32::MAX)
}

/// Takes fields off the front of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    /// Reads these bytes from their start.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len() }
    }

    /// How many bytes were taken.
    pub(crate) fn position(&self) -> usize {
        self.total.saturating_sub(self.rest.len())
    }

    /// What was not taken yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// True at the end.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Fails unless everything was taken.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing { bytes }),
        }
    }

    /// The next `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// One byte.
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array::<1>()?;
        Ok(*byte)
    }

    /// Two bytes, big-endian.
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(*self.array()?))
    }

    /// Four bytes, big-endian.
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(*self.array()?))
    }

    /// Eight bytes, big-endian.
    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(*self.array()?))
    }

    /// A varint.
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0_u32..64).step_by(7) {
            let byte = self.u8()?;
            let group = u64::from(byte & 0x7f);
            if shift == 63 && group > 1 {
                return Err(DecodeError::Varint);
            }
            value |= group << shift;
            if byte & 0x80 == 0 {
                let padded = group == 0 && shift > 0;
                return if padded { Err(DecodeError::Varint) } else { Ok(value) };
            }
        }
        Err(DecodeError::Varint)
    }

    /// A varint that fits into 32 bits.
    pub(crate) fn varint_u32(&mut self) -> Result<u32, DecodeError> {
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| DecodeError::Range { value })
    }

    /// A length, checked against what is there, and as many bytes.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.varint()?;
        self.take(narrow(length))
    }

    /// Bytes of at most an id's length.
    pub(crate) fn text(&mut self) -> Result<&'a [u8], DecodeError> {
        let bytes = self.bytes()?;
        if bytes.is_empty() || bytes.len() > TEXT_BYTES_MAX {
            return Err(DecodeError::Range { value: wide(bytes.len()) });
        }
        Ok(bytes)
    }

    /// A count of things of at least one byte each: never more than bytes that are there.
    pub(crate) fn count(&mut self) -> Result<usize, DecodeError> {
        let value = self.varint()?;
        let count = narrow(value);
        if count > self.rest.len() { Err(DecodeError::Range { value }) } else { Ok(count) }
    }
}
