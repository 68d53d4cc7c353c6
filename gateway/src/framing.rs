//! How a connection's bytes become frames, and frames its bytes: with length prefixes, or as WebSocket messages.
//!
//! Invariants
//! - A connection with length prefixes holds no memory here unless a frame is incomplete.
//! - What was not read travels with the framing when the connection moves to another core.

use crate::frames::{FrameBody, FrameReader};
use crate::websocket::{Upgrades, WebSocketLink};
use iris_protocol::CloseCode;
use iris_protocol::frame::FrameError;
use iris_protocol::websocket::{CloseStatus, Refusal, WebSocketError};
use iris_shard::memory::block_bytes;

/// One connection's framing.
#[derive(Default)]
pub(crate) struct Framing(Option<Box<Kept>>);

enum Kept {
    Prefixed(FrameReader),
    WebSocket(WebSocketLink),
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut<'a> {
    /// The body of a frame.
    Frame(FrameBody<'a>),
    /// The connection has become a WebSocket: this is sent as it is.
    Upgraded(Vec<u8>),
    /// A pong waits in the framing to be sent.
    Pong,
    /// The peer has sent its last message: answer with a close frame of this status, then close.
    Closed(Option<CloseStatus>),
}

/// Why nothing more is taken from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CutError {
    /// A length that no frame has.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// No WebSocket for this request.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Not RFC 6455.
    #[error(transparent)]
    WebSocket(#[from] WebSocketError),
}

impl Framing {
    /// A connection that is to become a WebSocket.
    pub(crate) fn websocket(link: WebSocketLink) -> Self {
        Self(Some(Box::new(Kept::WebSocket(link))))
    }

    /// The next thing in `input`; `None` when it is used up. Call again until then.
    ///
    /// # Errors
    /// [`CutError`]: close the connection.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        upgrades: &Upgrades,
        bytes_max: usize,
    ) -> Result<Option<Cut<'a>>, CutError> {
        let mut fresh = FrameReader::default();
        let (reader, is_kept) = match self.0.as_deref_mut() {
            Some(Kept::WebSocket(link)) => return link.next(input, upgrades, bytes_max),
            Some(Kept::Prefixed(reader)) => (reader, true),
            None => (&mut fresh, false),
        };
        let body = reader.next(input, bytes_max)?;
        match (is_kept, reader.is_idle()) {
            (true, true) => self.0 = None,
            (false, false) => self.0 = Some(Box::new(Kept::Prefixed(fresh))),
            (true, false) | (false, true) => {}
        }
        Ok(body.map(Cut::Frame))
    }

    /// Keeps bytes without looking at them: the connection is moving to another core.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match &mut **self.0.get_or_insert_with(|| Box::new(Kept::Prefixed(FrameReader::default()))) {
            Kept::Prefixed(reader) => reader.keep(bytes),
            Kept::WebSocket(link) => link.keep(bytes),
        }
    }

    /// Bytes that were kept and must go through [`Framing::next`] once more.
    pub(crate) fn take_kept(&mut self) -> Vec<u8> {
        self.link().map(WebSocketLink::take_kept).unwrap_or_default()
    }

    /// Memory that is held here, in bytes. An incomplete WebSocket message is not in it.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.as_deref().map_or(0, |kept| {
            let bytes = match kept {
                Kept::Prefixed(reader) => reader.bytes(),
                Kept::WebSocket(link) => link.bytes(),
            };
            block_bytes(size_of::<Kept>()) + block_bytes(bytes)
        })
    }

    /// False before a WebSocket's upgrade: its peer does not understand frames.
    pub(crate) fn takes_frames(&mut self) -> bool {
        self.link().is_none_or(|link| link.is_open())
    }

    /// True if the connection was asked for a WebSocket, and has become one.
    pub(crate) fn is_upgraded(&mut self) -> bool {
        self.link().is_some_and(|link| link.is_open())
    }

    /// A length-prefixed frame was appended to `out`, from `start` on: gives it the form that is sent.
    pub(crate) fn form(&mut self, out: &mut Vec<u8>, start: usize) {
        if let Some(link) = self.link() {
            link.form(out, start);
        }
    }

    /// Appends what says that nothing follows the Close frame.
    pub(crate) fn close(&mut self, code: CloseCode, status: CloseStatus, out: &mut Vec<u8>) {
        if let Some(link) = self.link() {
            link.close(Some(status), code.name(), out);
        }
    }

    /// Appends the answer to the peer's close frame.
    pub(crate) fn answer_close(&mut self, status: Option<CloseStatus>, out: &mut Vec<u8>) {
        if let Some(link) = self.link() {
            link.close(status, "", out);
        }
    }

    /// True if [`Framing::append_pong`] has something to append.
    pub(crate) fn has_pong(&mut self) -> bool {
        self.link().is_some_and(|link| link.has_pong())
    }

    /// Appends the pong that waits.
    pub(crate) fn append_pong(&mut self, out: &mut Vec<u8>) {
        if let Some(link) = self.link() {
            link.append_pong(out);
        }
    }

    /// Of `bytes` that are about to be sent, those that the shard counts: as if every frame had a length prefix, and
    /// nothing else were sent.
    pub(crate) fn take_counted(&mut self, bytes: usize) -> usize {
        self.link().map_or(bytes, |link| link.take_counted(bytes))
    }

    fn link(&mut self) -> Option<&mut WebSocketLink> {
        match self.0.as_deref_mut() {
            Some(Kept::WebSocket(link)) => Some(link),
            Some(Kept::Prefixed(_)) | None => None,
        }
    }
}

#[cfg(test)]
mod tests;
