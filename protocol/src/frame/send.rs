//! A Send as it is judged: its short fields stand in place, and it is read without the generated code, which takes memory for each.
//!
//! Invariants
//! - What [`read`] understands is what the generated code understands; whatever is unusual it leaves to that.

use super::{FrameError, decode_client};
use crate::id::{IdError, MessageId};
use crate::wire::{self, client_frame};
use bytes::Bytes;
use prost::encoding::decode_varint;
use smol_str::SmolStr;
use std::ops::Range;

/// A client's frame, read.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientFrame {
    /// A Send.
    Send(Send),
    /// Any other kind; `None`: one that is not known. Never a Send: those are made by `From`.
    Other(Option<client_frame::Frame>),
}

/// A Send whose ids are not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// As shown.
    pub request_id: u64,
    /// Where to; `None`: nothing was said.
    pub target: Option<Target>,
    /// What was shown as the message's id.
    pub message_id: ShownId,
    /// The payload.
    pub payload: Bytes,
    /// Acknowledged on the way; `None`: nothing.
    pub ack_through: Option<u64>,
}

/// Where a Send goes, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A conversation's id.
    Conversation(SmolStr),
    /// The other user of a direct conversation.
    To(SmolStr),
}

/// What was shown as a message's id: as many bytes of it as an id has, and whether there were more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShownId {
    bytes: [u8; 16],
    /// 17: it was longer.
    length: u8,
}

impl ShownId {
    /// Takes the first 16 bytes.
    pub fn new(shown: &[u8]) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(shown) {
            *to = *from;
        }
        Self { bytes, length: u8::try_from(shown.len().min(17)).unwrap_or(17) }
    }

    /// Its first bytes, 16 at most.
    pub fn first_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }

    /// The id, if it is one.
    ///
    /// # Errors
    /// As of [`MessageId::parse`].
    pub fn parse(&self) -> Result<MessageId, IdError> {
        if self.length > 16 { Err(IdError::MessageId) } else { MessageId::parse(self.first_bytes()) }
    }
}

impl From<wire::Send> for Send {
    fn from(send: wire::Send) -> Self {
        let target = send.target.map(|target| match target {
            wire::send::Target::Conversation(text) => Target::Conversation(text.into()),
            wire::send::Target::To(text) => Target::To(text.into()),
        });
        Self {
            request_id: send.request_id,
            target,
            message_id: ShownId::new(&send.message_id),
            payload: send.payload,
            ack_through: send.ack_through,
        }
    }
}

impl From<wire::ClientFrame> for ClientFrame {
    fn from(frame: wire::ClientFrame) -> Self {
        match frame.frame {
            Some(client_frame::Frame::Send(send)) => Self::Send(send.into()),
            other => Self::Other(other),
        }
    }
}

impl ClientFrame {
    /// Reads a frame's body, of which the payload is copied.
    ///
    /// # Errors
    /// As of [`decode_client`].
    pub fn copied(body: &[u8]) -> Result<Self, FrameError> {
        match read(body) {
            Some((send, payload)) => {
                let payload = Bytes::copy_from_slice(body.get(payload).unwrap_or_default());
                Ok(Self::Send(Send { payload, ..send }))
            }
            None => decode_client(body).map(Self::from),
        }
    }

    /// Reads a frame's body, whose memory the payload shares.
    ///
    /// # Errors
    /// As of [`decode_client`].
    pub fn shared(body: Bytes) -> Result<Self, FrameError> {
        match read(&body) {
            Some((send, payload)) => Ok(Self::Send(Send { payload: body.slice(payload), ..send })),
            None => decode_client(body).map(Self::from),
        }
    }
}

/// Keys as they stand on the wire: a field's number, and below it 0 for a number or 2 for what has a length.
const SEND: u64 = 2 << 3 | 2;
const REQUEST_ID: u64 = 1 << 3;
const CONVERSATION: u64 = 2 << 3 | 2;
const TO: u64 = 3 << 3 | 2;
const MESSAGE_ID: u64 = 4 << 3 | 2;
const PAYLOAD: u64 = 5 << 3 | 2;
const ACK_THROUGH: u64 = 6 << 3;

/// Reads a body that is one Send of known fields, of which the last one counts if one comes twice: the Send without its payload, and
/// where in the body that stands. `None` for anything else, good or bad.
fn read(body: &[u8]) -> Option<(Send, Range<usize>)> {
    let mut rest = body;
    if decode_varint(&mut rest).ok()? != SEND || decode_varint(&mut rest).ok()? != length_of(rest) {
        return None;
    }
    let mut send = Send {
        request_id: 0,
        target: None,
        message_id: ShownId::default(),
        payload: Bytes::new(),
        ack_through: None,
    };
    let mut payload = 0..0;
    while !rest.is_empty() {
        match decode_varint(&mut rest).ok()? {
            REQUEST_ID => send.request_id = decode_varint(&mut rest).ok()?,
            ACK_THROUGH => send.ack_through = Some(decode_varint(&mut rest).ok()?),
            CONVERSATION => send.target = Some(Target::Conversation(text(take(&mut rest)?)?)),
            TO => send.target = Some(Target::To(text(take(&mut rest)?)?)),
            MESSAGE_ID => send.message_id = ShownId::new(take(&mut rest)?),
            PAYLOAD => {
                let bytes = take(&mut rest)?;
                let end = body.len().checked_sub(rest.len())?;
                payload = end.checked_sub(bytes.len())?..end;
            }
            _ => return None,
        }
    }
    Some((send, payload))
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// A field's length and bytes.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
    let (taken, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(taken)
}

fn text(bytes: &[u8]) -> Option<SmolStr> {
    std::str::from_utf8(bytes).ok().map(SmolStr::new)
}

#[cfg(test)]
mod tests;
