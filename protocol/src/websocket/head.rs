//! The head of a frame and its mask (RFC 6455, sections 5.2 and 5.3).
//!
//! Invariants
//! - A head is refused by the first of its bytes that is wrong, whether or not the rest is there.

use super::{Role, WebSocketError};
use bytes::BufMut;

/// Most payload bytes of a control frame; a length byte above it announces a longer length.
pub const CONTROL_BYTES_MAX: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
/// A length byte: 16 bits of length follow.
const LENGTH_16: u8 = 126;
/// A length byte: 64 bits of length follow.
const LENGTH_64: u8 = 127;
/// Lengths have 63 bits.
const LENGTH_MAX: u64 = (1 << 63) - 1;

/// The kinds of frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of a fragmented message.
    Continuation,
    /// Text, or its first fragment.
    Text,
    /// Bytes, or their first fragment.
    Binary,
    /// The last frame of this side.
    Close,
    /// Wants a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

impl Opcode {
    fn of(number: u8) -> Result<Self, WebSocketError> {
        match number {
            0 => Ok(Self::Continuation),
            1 => Ok(Self::Text),
            2 => Ok(Self::Binary),
            8 => Ok(Self::Close),
            9 => Ok(Self::Ping),
            10 => Ok(Self::Pong),
            opcode => Err(WebSocketError::Opcode { opcode }),
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// True for frames that may come between the fragments of a message.
    pub fn is_control(self) -> bool {
        match self {
            Self::Continuation | Self::Text | Self::Binary => false,
            Self::Close | Self::Ping | Self::Pong => true,
        }
    }
}

/// What stands before a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last fragment of its message.
    pub fin: bool,
    /// The kind.
    pub opcode: Opcode,
    /// The key of a masked payload.
    pub mask: Option<[u8; 4]>,
    /// Length of the payload; the payload follows.
    pub payload_bytes: u64,
}

impl Head {
    /// The head at the front of `bytes`, as `reader` takes it, and its length; `None` while it is incomplete.
    ///
    /// # Errors
    /// [`WebSocketError`]: close the connection.
    pub fn decode(bytes: &[u8], reader: Role) -> Result<Option<(Self, usize)>, WebSocketError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(WebSocketError::ReservedBit);
        }
        let opcode = Opcode::of(first & 0x0f)?;
        let fin = first & FIN != 0;
        if opcode.is_control() && !fin {
            return Err(WebSocketError::Control);
        }
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        let is_masked = second & MASKED != 0;
        if is_masked != (reader == Role::Server) {
            return Err(WebSocketError::Mask);
        }
        let short = second & !MASKED;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(WebSocketError::Control);
        }
        let Some((payload_bytes, rest)) = decode_length(short, rest)? else { return Ok(None) };
        let (mask, rest) = if is_masked {
            let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            (Some(*mask), rest)
        } else {
            (None, rest)
        };
        let head_bytes = bytes.len().saturating_sub(rest.len());
        Ok(Some((Self { fin, opcode, mask, payload_bytes }, head_bytes)))
    }

    /// Appends the head to `out`; the payload, masked with its key, is up to the caller.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(self.opcode.number() | if self.fin { FIN } else { 0 });
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        match (u8::try_from(self.payload_bytes), u16::try_from(self.payload_bytes)) {
            (Ok(short), _) if short < LENGTH_16 => out.put_u8(masked | short),
            (_, Ok(length)) => {
                out.put_u8(masked | LENGTH_16);
                out.put_u16(length);
            }
            _ => {
                out.put_u8(masked | LENGTH_64);
                out.put_u64(self.payload_bytes);
            }
        }
        out.extend(self.mask.into_iter().flatten());
    }
}

/// The length behind a length byte, and what follows it.
fn decode_length(short: u8, bytes: &[u8]) -> Result<Option<(u64, &[u8])>, WebSocketError> {
    let (length, least, rest) = match short {
        LENGTH_16 => match bytes.split_first_chunk() {
            Some((length, rest)) => (u16::from_be_bytes(*length).into(), LENGTH_16.into(), rest),
            None => return Ok(None),
        },
        LENGTH_64 => match bytes.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), 1 << 16, rest),
            None => return Ok(None),
        },
        short => (short.into(), 0, bytes),
    };
    if length < least || length > LENGTH_MAX {
        return Err(WebSocketError::LengthForm);
    }
    Ok(Some((length, rest)))
}

/// Masks bytes or takes their mask off. `offset` is how many bytes of the payload came before them.
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4], offset: usize) {
    let mut key = key;
    key.rotate_left(offset % 4);
    let pattern = [key; 4];
    // Blocks of a fixed size become vector instructions.
    let (blocks, rest) = bytes.as_chunks_mut::<16>();
    for block in blocks.iter_mut().map(<[u8; 16]>::as_mut_slice).chain([rest]) {
        for (byte, key) in block.iter_mut().zip(pattern.as_flattened()) {
            *byte ^= key;
        }
    }
}

#[cfg(test)]
mod tests;
