//! The frame codec: a 4-byte big-endian body length, then one protobuf message.
//!
//! Invariants
//! - A length is judged before a byte is taken for the body.
//! - What is decoded keeps nothing of what it was decoded from, unless that is a [`bytes::Bytes`], which its payload shares.

use crate::code::CloseCode;
use crate::envelope::{Acceptance, Envelope};
use crate::limits::LENGTH_BYTES;
use crate::time::{Offset, Sequence};
use crate::wire;
use bytes::{Buf, BufMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

mod send;

pub use send::{ClientFrame, Send, ShownId, Target};

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
/// UNKNOWN_FRAME and go on. Fields that this version does not know are skipped. Payload and ids are copied out of a slice; of
/// [`bytes::Bytes`] they are a part.
///
/// # Errors
/// [`FrameError::Malformed`]: close the connection.
pub fn decode_client(body: impl Buf) -> Result<wire::ClientFrame, FrameError> {
    wire::ClientFrame::decode(body).map_err(|_| FrameError::Malformed)
}

/// Decodes a server's frame body. `frame: None` inside is a frame of an unknown kind: skip it.
///
/// # Errors
/// [`FrameError::Malformed`]: a server fault, close the connection.
pub fn decode_server(body: impl Buf) -> Result<wire::ServerFrame, FrameError> {
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

/// The fields of a Deliver, borrowed from an envelope: nothing is copied before it is encoded.
struct Delivery<'a> {
    offset: Offset,
    previous: Sequence,
    envelope: &'a Envelope,
}

impl Delivery<'_> {
    fn body_bytes(&self) -> usize {
        let envelope = self.envelope;
        let numbers = [self.offset.0, envelope.sequence.0, self.previous.0, envelope.server_time.0];
        let texts = [
            envelope.conversation.as_str().len(),
            envelope.sender.as_str().len(),
            envelope.device.as_str().len(),
            envelope.message_id.as_bytes().len(),
            envelope.payload.len(),
        ];
        let number_bytes: usize =
            numbers.iter().filter(|n| **n != 0).map(|n| encoded_len_varint(*n).saturating_add(1)).sum();
        let text_bytes: usize = texts.iter().filter(|n| **n != 0).map(|n| field_bytes(*n)).sum();
        number_bytes.saturating_add(text_bytes)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let envelope = self.envelope;
        put_number(1, self.offset.0, out);
        put_bytes(2, envelope.conversation.as_str().as_bytes(), out);
        put_number(3, envelope.sequence.0, out);
        put_number(4, self.previous.0, out);
        put_bytes(5, envelope.sender.as_str().as_bytes(), out);
        put_bytes(6, envelope.device.as_str().as_bytes(), out);
        put_bytes(7, envelope.message_id.as_bytes(), out);
        put_number(8, envelope.server_time.0, out);
        put_bytes(9, &envelope.payload, out);
    }
}

/// Field number of `deliver` in ServerFrame.
const DELIVER_FIELD: u32 = 4;

fn varint_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Bytes of a length-delimited field with a one-byte key.
fn field_bytes(length: usize) -> usize {
    length.saturating_add(encoded_len_varint(varint_of(length))).saturating_add(1)
}

fn put_number(field: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        encode_key(field, WireType::Varint, out);
        encode_varint(value, out);
    }
}

fn put_bytes(field: u32, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        encode_key(field, WireType::LengthDelimited, out);
        encode_varint(varint_of(value.len()), out);
        out.extend_from_slice(value);
    }
}

/// Bytes that [`encode_deliver`] appends.
pub fn deliver_bytes(offset: Offset, previous: Sequence, envelope: &Envelope) -> usize {
    let body = Delivery { offset, previous, envelope }.body_bytes();
    field_bytes(body).saturating_add(LENGTH_BYTES)
}

/// Appends a Deliver to `out`: the same bytes as [`encode_server`], without owned copies of the ids.
pub fn encode_deliver(offset: Offset, previous: Sequence, envelope: &Envelope, out: &mut Vec<u8>) {
    let delivery = Delivery { offset, previous, envelope };
    let body = delivery.body_bytes();
    let frame = field_bytes(body);
    out.reserve(frame.saturating_add(LENGTH_BYTES));
    out.put_u32(u32::try_from(frame).unwrap_or(u32::MAX));
    encode_key(DELIVER_FIELD, WireType::LengthDelimited, out);
    encode_varint(varint_of(body), out);
    delivery.encode(out);
}

/// Field number of `accepted` in ServerFrame.
const ACCEPTED_FIELD: u32 = 2;

/// Bytes of an Accepted without its key and length.
fn acceptance_bytes(acceptance: &Acceptance) -> usize {
    let numbers = [
        acceptance.request_id,
        acceptance.sequence.0,
        acceptance.server_time.0,
        enum_of(acceptance),
        acceptance.place.map_or(0, |(_, previous)| previous.0),
    ];
    let texts = [acceptance.message_id.as_bytes().len(), acceptance.conversation.as_str().len()];
    let number_bytes: usize =
        numbers.iter().filter(|n| **n != 0).map(|n| encoded_len_varint(*n).saturating_add(1)).sum();
    let text_bytes: usize = texts.iter().map(|n| field_bytes(*n)).sum();
    let offset = acceptance.place.map_or(0, |(offset, _)| encoded_len_varint(offset.0).saturating_add(1));
    number_bytes.saturating_add(text_bytes).saturating_add(offset)
}

fn enum_of(acceptance: &Acceptance) -> u64 {
    u64::from(i32::from(acceptance.durability.to_wire()).unsigned_abs())
}

/// Bytes that [`encode_accepted`] appends.
pub fn accepted_bytes(acceptance: &Acceptance) -> usize {
    field_bytes(acceptance_bytes(acceptance)).saturating_add(LENGTH_BYTES)
}

/// Appends an Accepted to `out`: the same bytes as [`encode_server`], without owned copies of the ids.
pub fn encode_accepted(acceptance: &Acceptance, out: &mut Vec<u8>) {
    let body = acceptance_bytes(acceptance);
    let frame = field_bytes(body);
    out.reserve(frame.saturating_add(LENGTH_BYTES));
    out.put_u32(u32::try_from(frame).unwrap_or(u32::MAX));
    encode_key(ACCEPTED_FIELD, WireType::LengthDelimited, out);
    encode_varint(varint_of(body), out);
    put_number(1, acceptance.request_id, out);
    put_bytes(2, acceptance.message_id.as_bytes(), out);
    put_bytes(3, acceptance.conversation.as_str().as_bytes(), out);
    put_number(4, acceptance.sequence.0, out);
    put_number(5, acceptance.server_time.0, out);
    put_number(6, enum_of(acceptance), out);
    if let Some((offset, previous)) = acceptance.place {
        // Present, also if it is zero.
        encode_key(7, WireType::Varint, out);
        encode_varint(offset.0, out);
        put_number(8, previous.0, out);
    }
}

#[cfg(test)]
mod accepted_tests;
#[cfg(test)]
mod deliver_tests;
#[cfg(test)]
mod tests;
