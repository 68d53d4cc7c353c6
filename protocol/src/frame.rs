//! The frame codec: a 4-byte big-endian body length, then one protobuf message.
//!
//! Invariants
//! - A length is judged before a byte is taken for the body.
//! - A frame is decoded from a right-sized [`Bytes`], which its payload shares.

use crate::code::CloseCode;
use crate::limits::LENGTH_BYTES;
use crate::wire;
use bytes::{BufMut, Bytes};
use prost::Message;

/// Why bytes are not a frame. Each closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is above the limit for this state, or zero.
    #[error("frame of {bytes} bytes, allowed are 1 to {bytes_max}")]
    Length {
        /// The length that the prefix named.
        bytes: usize,
        /// The limit in force.
        bytes_max: usize,
    },
    /// The body is not a protobuf message of the expected kind.
    #[error("malformed frame")]
    Malformed,
}

impl FrameError {
    /// The code that the connection is closed with.
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Length { .. } => CloseCode::FrameTooLarge,
            Self::Malformed => CloseCode::MalformedFrame,
        }
    }
}

/// Finds the first frame in `bytes`: `Some(body length)` once the prefix is complete (the body may
/// still be missing), `None` while it is not.
///
/// # Errors
/// [`FrameError::Length`] for zero or above `bytes_max`: close the connection.
pub fn body_length(bytes: &[u8], bytes_max: usize) -> Result<Option<usize>, FrameError> {
    let Some(prefix) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
    if length == 0 || length > bytes_max {
        return Err(FrameError::Length { bytes: length, bytes_max });
    }
    Ok(Some(length))
}

/// Decodes a client's frame body. `frame: None` inside is a frame of an unknown kind: answer
/// UNKNOWN_FRAME and go on. Fields that this version does not know are skipped.
///
/// # Errors
/// [`FrameError::Malformed`]: close the connection.
pub fn decode_client(body: Bytes) -> Result<wire::ClientFrame, FrameError> {
    wire::ClientFrame::decode(body).map_err(|_| FrameError::Malformed)
}

/// Decodes a server's frame body. `frame: None` inside is a frame of an unknown kind: skip it.
///
/// # Errors
/// [`FrameError::Malformed`]: a server fault, close the connection.
pub fn decode_server(body: Bytes) -> Result<wire::ServerFrame, FrameError> {
    wire::ServerFrame::decode(body).map_err(|_| FrameError::Malformed)
}

/// Appends prefix and body of a frame to `out`. The frame is not empty; keeping it below the peer's limit
/// is up to the caller, who knows what is in it.
pub fn encode(frame: &impl Message, out: &mut Vec<u8>) {
    let length = frame.encoded_len();
    assert!(length > 0, "an empty frame has no place on the wire");
    let prefix = u32::try_from(length).ok();
    assert!(prefix.is_some(), "frame of {length} bytes does not fit its prefix");
    out.reserve(length.saturating_add(LENGTH_BYTES));
    out.put_u32(prefix.unwrap_or(u32::MAX));
    frame.encode_raw(out);
}

/// Bytes that [`encode`] appends for this frame.
pub fn encoded_bytes(frame: &impl Message) -> usize {
    frame.encoded_len().saturating_add(LENGTH_BYTES)
}

/// Appends a server frame to `out`.
pub fn encode_server(frame: wire::server_frame::Frame, out: &mut Vec<u8>) {
    encode(&wire::ServerFrame { frame: Some(frame) }, out);
}

/// Appends a client frame to `out`.
pub fn encode_client(frame: wire::client_frame::Frame, out: &mut Vec<u8>) {
    encode(&wire::ClientFrame { frame: Some(frame) }, out);
}

#[cfg(test)]
mod tests;
