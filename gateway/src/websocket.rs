//! One WebSocket connection of the server: upgrade, messages, pongs, close.
//!
//! Invariants
//! - Of several pings without an answer the newest gets its pong (RFC 6455, section 5.5.3); no second one is held.
//! - One close frame is sent, and nothing after it.

use crate::frames::FrameBody;
use crate::framing::{Cut, CutError};
use crate::gate::Current;
use bytes::Bytes;
use iris_protocol::frame::FrameError;
use iris_protocol::websocket::upgrade::{HEAD_BYTES_MAX, read_request};
use iris_protocol::websocket::write::{encode, reframe};
use iris_protocol::websocket::{
    Close, CloseStatus, Event, Opcode, Origins, Reader, Refusal, Role, Rules, Upgrade, WebSocketError,
};

/// Who becomes a WebSocket.
#[derive(Clone)]
pub(crate) enum Upgrades {
    /// Clients of Iris, and of web pages those of the origins in force.
    Iris(Current<Origins>),
}

impl Upgrades {
    fn judge(&self, head: &[u8]) -> Result<Option<Upgrade>, Refusal> {
        match self {
            Self::Iris(origins) => read_request(head, &Rules::iris(&origins.current())),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Upgrading,
    Open,
    Closed,
}

/// A connection's state.
pub(crate) struct WebSocketLink {
    stage: Stage,
    reader: Reader,
    /// The request so far; later, what came while the connection moves.
    kept: Vec<u8>,
    pong: Option<Bytes>,
    /// Bytes that wait to be sent beyond the length-prefixed frames that they carry.
    uncounted: isize,
}

impl WebSocketLink {
    /// A connection before its request.
    pub(crate) fn new() -> Self {
        let reader = Reader::new(Role::Server, false);
        Self { stage: Stage::Upgrading, reader, kept: Vec::new(), pong: None, uncounted: 0 }
    }

    /// As [`crate::framing::Framing::next`].
    ///
    /// # Errors
    /// [`CutError`]: close the connection.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        upgrades: &Upgrades,
        bytes_max: usize,
    ) -> Result<Option<Cut<'a>>, CutError> {
        if self.stage == Stage::Upgrading {
            return Ok(self.upgrade(input, upgrades)?.map(Cut::Upgraded));
        }
        loop {
            return Ok(Some(match self.reader.next(input, bytes_max)? {
                None => return Ok(None),
                Some(Event::Pong(_)) => continue,
                Some(Event::Text(_)) => return Err(WebSocketError::Text.into()),
                Some(Event::Binary(body)) if body.is_empty() => {
                    return Err(FrameError::Length { bytes: 0, bytes_max }.into());
                }
                Some(Event::Binary(body)) => Cut::Frame(FrameBody::Owned(body)),
                Some(Event::Ping(payload)) => {
                    self.pong = Some(payload);
                    Cut::Pong
                }
                Some(Event::Close(close)) => Cut::Closed(close.map(|close| close.status)),
            }));
        }
    }

    /// Takes bytes of the request's head; what is sent back once it is complete and granted.
    fn upgrade(&mut self, input: &mut &[u8], upgrades: &Upgrades) -> Result<Option<Vec<u8>>, Refusal> {
        let before = self.kept.len();
        let (piece, _) = input.split_at(input.len().min(HEAD_BYTES_MAX.saturating_sub(before)));
        self.kept.extend_from_slice(piece);
        let Some(Upgrade { head_bytes, answer }) = upgrades.judge(&self.kept)? else {
            *input = &[];
            return Ok(None);
        };
        *input = input.get(head_bytes.saturating_sub(before)..).unwrap_or_default();
        self.kept = Vec::new();
        self.stage = Stage::Open;
        self.count(answer.len(), 0);
        Ok(Some(answer))
    }

    /// Memory of the request so far, or of what came while the connection moves, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.kept.capacity()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
    }

    pub(crate) fn take_kept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }

    pub(crate) fn form(&mut self, out: &mut Vec<u8>, start: usize) {
        let before = out.len();
        reframe(out, start);
        self.count(out.len(), before);
    }

    /// Appends our close frame, if it was not sent yet.
    pub(crate) fn close(&mut self, status: Option<CloseStatus>, reason: &str, out: &mut Vec<u8>) {
        if self.stage == Stage::Open {
            let payload = status.map(|status| Close::payload(status, reason)).unwrap_or_default();
            encode(Opcode::Close, &payload, None, out);
            self.stage = Stage::Closed;
        }
    }

    pub(crate) fn has_pong(&self) -> bool {
        self.pong.is_some()
    }

    pub(crate) fn append_pong(&mut self, out: &mut Vec<u8>) {
        if let (Stage::Open, Some(payload)) = (self.stage, self.pong.take()) {
            let before = out.len();
            encode(Opcode::Pong, &payload, None, out);
            self.count(out.len(), before);
        }
    }

    pub(crate) fn take_counted(&mut self, bytes: usize) -> usize {
        bytes.saturating_add_signed(-std::mem::take(&mut self.uncounted))
    }

    /// Notes that what waits has grown to `after` without the shard's knowledge.
    fn count(&mut self, after: usize, before: usize) {
        // Both are lengths of a buffer, so neither is above isize::MAX.
        self.uncounted += after.cast_signed() - before.cast_signed();
    }
}
