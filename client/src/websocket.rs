//! A connection as a WebSocket: the upgrade, and messages instead of length prefixes.
//!
//! Invariants
//! - No frame leaves before the server has answered the upgrade (RFC 6455, section 4.1).
//! - Each frame is masked with a key of its own.

use crate::conn::ConnError;
use bytes::{Buf, Bytes, BytesMut};
use iris_protocol::limits::{FRAME_BYTES_MAX, LENGTH_BYTES};
use iris_protocol::websocket::upgrade::{Target, read_answer, request_to};
use iris_protocol::websocket::write::encode;
use iris_protocol::websocket::{Close, CloseStatus, Event, Opcode, Reader, Role};

/// Where a WebSocket stands.
enum Stage {
    /// The upgrade is not answered: the key of the request, and what is sent after it.
    Upgrading {
        key: [u8; 16],
        waiting: Vec<u8>,
    },
    Open,
    Closed,
}

/// The state of one connection.
pub(crate) struct WebSocket {
    stage: Stage,
    reader: Reader,
}

impl WebSocket {
    /// Appends the request to `output`.
    pub(crate) fn begin(target: Target<'_>, output: &mut BytesMut) -> Self {
        let mut key = [0; 16];
        for part in key.as_chunks_mut().0 {
            *part = random();
        }
        output.extend_from_slice(&request_to(target, key, None));
        let stage = Stage::Upgrading { key, waiting: Vec::new() };
        Self { stage, reader: Reader::new(Role::Client, false) }
    }

    /// Appends a length-prefixed frame as a message.
    pub(crate) fn queue_frame(&mut self, frame: &[u8], output: &mut BytesMut) {
        self.queue_message(Opcode::Binary, frame.get(LENGTH_BYTES..).unwrap_or_default(), output);
    }

    fn queue_message(&mut self, opcode: Opcode, payload: &[u8], output: &mut BytesMut) {
        let mut bytes = Vec::new();
        encode(opcode, payload, Some(random()), &mut bytes);
        self.queue(&bytes, output);
    }

    /// Appends bytes as they are, after the upgrade.
    pub(crate) fn queue(&mut self, bytes: &[u8], output: &mut BytesMut) {
        match &mut self.stage {
            Stage::Upgrading { waiting, .. } => waiting.extend_from_slice(bytes),
            Stage::Open => output.extend_from_slice(bytes),
            Stage::Closed => {}
        }
    }

    /// The next frame's body; `None`: read more. Answers of the protocol itself are appended to `output`.
    ///
    /// # Errors
    /// [`ConnError`]: the server refused, or sends what is no WebSocket.
    pub(crate) fn next_body(
        &mut self,
        input: &mut BytesMut,
        output: &mut BytesMut,
    ) -> Result<Option<Bytes>, ConnError> {
        if let Stage::Upgrading { key, waiting } = &mut self.stage {
            let Some(head_bytes) = read_answer(input, *key)? else { return Ok(None) };
            input.advance(head_bytes);
            output.extend_from_slice(waiting);
            self.stage = Stage::Open;
        }
        loop {
            let mut unread: &[u8] = input;
            let event = self.reader.next(&mut unread, FRAME_BYTES_MAX)?;
            let taken = input.len().saturating_sub(unread.len());
            input.advance(taken);
            match event {
                None => return Ok(None),
                Some(Event::Binary(body)) => return Ok(Some(body)),
                Some(Event::Ping(payload)) => self.queue_message(Opcode::Pong, &payload, output),
                Some(Event::Text(_) | Event::Pong(_)) => {}
                Some(Event::Close(close)) => self.close(close.map(|close| close.status), output),
            }
        }
    }

    /// Says that nothing follows.
    pub(crate) fn close(&mut self, status: Option<CloseStatus>, output: &mut BytesMut) {
        if matches!(self.stage, Stage::Open) {
            let payload = status.map(|status| Close::payload(status, "")).unwrap_or_default();
            self.queue_message(Opcode::Close, &payload, output);
            self.stage = Stage::Closed;
        }
    }
}

/// The part of a UUID that is drawn at random for each of them.
fn random() -> [u8; 4] {
    let bytes = uuid::Uuid::now_v7().into_bytes();
    bytes.last_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
