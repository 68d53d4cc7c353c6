//! Cuts a byte stream into messages and control frames.
//!
//! Invariants
//! - A message's announced bytes are judged before memory is taken; memory then grows with the bytes that come.
//! - Control frames are told when they come, also inside a fragmented message.
//! - Nothing is told after a close frame or an error.

use super::close::Close;
use super::head::{Head, Opcode, apply_mask};
use super::utf8::Utf8;
use super::{Role, WebSocketError};
use bytes::Bytes;

/// What has arrived as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A text message: valid UTF-8.
    Text(Bytes),
    /// A binary message, right-sized.
    Binary(Bytes),
    /// Answer with a pong of the same bytes; of several, the newest is enough.
    Ping(Bytes),
    /// The peer answers a ping, or shows that it lives.
    Pong(Bytes),
    /// The peer's last frame: answer with a close frame, then close.
    Close(Option<Close>),
}

/// One direction of a connection.
#[derive(Debug)]
pub struct Reader {
    role: Role,
    takes_text: bool,
    ended: bool,
    /// Nearly always absent.
    partial: Option<Box<Partial>>,
}

/// What is not complete yet.
#[derive(Debug, Default)]
struct Partial {
    /// Bytes of an incomplete head.
    head: Vec<u8>,
    frame: Option<Frame>,
    message: Option<Message>,
    /// Payload of an incomplete control frame.
    control: Vec<u8>,
}

#[derive(Debug)]
struct Frame {
    head: Head,
    /// Payload bytes that came already.
    taken: usize,
}

#[derive(Debug, Default)]
struct Message {
    /// The check of a text message.
    text: Option<Utf8>,
    payload: Vec<u8>,
}

impl Reader {
    /// Reads what the peer of `role` sends: binary messages, and text if `takes_text`.
    pub fn new(role: Role, takes_text: bool) -> Self {
        Self { role, takes_text, ended: false, partial: None }
    }

    /// The next event; `None` when `input` is used up. Call again until then.
    ///
    /// # Errors
    /// [`WebSocketError`]: close the connection. What follows is not looked at.
    pub fn next(&mut self, input: &mut &[u8], bytes_max: usize) -> Result<Option<Event>, WebSocketError> {
        if self.ended {
            *input = &[];
            return Ok(None);
        }
        let mut partial = self.partial.take().map_or_else(Partial::default, |partial| *partial);
        let outcome = self.advance(&mut partial, input, bytes_max);
        self.ended = matches!(outcome, Err(_) | Ok(Some(Event::Close(_))));
        if !self.ended && !partial.is_idle() {
            self.partial = Some(Box::new(partial));
        }
        outcome
    }

    /// True between messages: nothing incomplete is held.
    pub fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    fn advance(
        &self,
        partial: &mut Partial,
        input: &mut &[u8],
        bytes_max: usize,
    ) -> Result<Option<Event>, WebSocketError> {
        loop {
            if partial.frame.is_none() {
                let Some(head) = partial.take_head(input, self.role)? else { return Ok(None) };
                self.begin(partial, head, bytes_max)?;
            }
            let Some(mut frame) = partial.frame.take() else { return Ok(None) };
            if !partial.take_payload(&mut frame, input)? {
                partial.frame = Some(frame);
                return Ok(None);
            }
            if let Some(event) = partial.end(frame.head)? {
                return Ok(Some(event));
            }
        }
    }

    /// Judges a head by what came before it.
    fn begin(&self, partial: &mut Partial, head: Head, bytes_max: usize) -> Result<(), WebSocketError> {
        match (head.opcode, &partial.message) {
            (Opcode::Text, _) if !self.takes_text => return Err(WebSocketError::Text),
            (Opcode::Text | Opcode::Binary, Some(_)) | (Opcode::Continuation, None) => {
                return Err(WebSocketError::Fragment);
            }
            (Opcode::Text, None) => {
                partial.message = Some(Message { text: Some(Utf8::default()), ..Message::default() });
            }
            (Opcode::Binary, None) => partial.message = Some(Message::default()),
            (Opcode::Continuation, Some(_)) | (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {}
        }
        if !head.opcode.is_control() {
            let before = partial.message.as_ref().map_or(0, |message| message.payload.len());
            let bytes = head.payload_bytes.saturating_add(u64::try_from(before).unwrap_or(u64::MAX));
            if usize::try_from(bytes).map_or(true, |bytes| bytes > bytes_max) {
                return Err(WebSocketError::TooLarge { bytes, bytes_max });
            }
        }
        partial.frame = Some(Frame { head, taken: 0 });
        Ok(())
    }
}

impl Partial {
    fn is_idle(&self) -> bool {
        self.head.is_empty() && self.frame.is_none() && self.message.is_none()
    }

    /// The next head; `None` if the input ends before it is complete.
    fn take_head(&mut self, input: &mut &[u8], role: Role) -> Result<Option<Head>, WebSocketError> {
        if self.head.is_empty() {
            if let Some((head, head_bytes)) = Head::decode(input, role)? {
                *input = input.get(head_bytes..).unwrap_or_default();
                return Ok(Some(head));
            }
            self.head.extend_from_slice(input);
            *input = &[];
            return Ok(None);
        }
        while let Some((&byte, rest)) = input.split_first() {
            self.head.push(byte);
            *input = rest;
            if let Some((head, _)) = Head::decode(&self.head, role)? {
                self.head = Vec::new();
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    /// Takes what the input has of a frame's payload. True: that was all of it.
    fn take_payload(&mut self, frame: &mut Frame, input: &mut &[u8]) -> Result<bool, WebSocketError> {
        let payload_bytes = usize::try_from(frame.head.payload_bytes).unwrap_or(usize::MAX);
        let missing = payload_bytes.saturating_sub(frame.taken);
        let (piece, rest) = input.split_at(missing.min(input.len()));
        *input = rest;
        let (to, text) = match &mut self.message {
            Some(message) if !frame.head.opcode.is_control() => (&mut message.payload, &mut message.text),
            Some(_) | None => (&mut self.control, &mut None),
        };
        let start = to.len();
        to.extend_from_slice(piece);
        let added = to.get_mut(start..).unwrap_or_default();
        if let Some(key) = frame.head.mask {
            apply_mask(added, key, frame.taken);
        }
        if let Some(text) = text {
            text.push(added)?;
        }
        frame.taken = frame.taken.saturating_add(piece.len());
        Ok(frame.taken == payload_bytes)
    }

    /// What a complete frame means: a control frame, the end of a message, or nothing yet.
    fn end(&mut self, head: Head) -> Result<Option<Event>, WebSocketError> {
        match head.opcode {
            Opcode::Ping => Ok(Some(Event::Ping(right_sized(std::mem::take(&mut self.control))))),
            Opcode::Pong => Ok(Some(Event::Pong(right_sized(std::mem::take(&mut self.control))))),
            Opcode::Close => Ok(Some(Event::Close(Close::decode(&self.control)?))),
            Opcode::Text | Opcode::Binary | Opcode::Continuation if !head.fin => Ok(None),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                let Message { text, payload } = self.message.take().unwrap_or_default();
                match text {
                    Some(text) if !text.is_complete() => Err(WebSocketError::NotUtf8),
                    Some(_) => Ok(Some(Event::Text(right_sized(payload)))),
                    None => Ok(Some(Event::Binary(right_sized(payload)))),
                }
            }
        }
    }
}

fn right_sized(bytes: Vec<u8>) -> Bytes {
    Bytes::from(bytes.into_boxed_slice())
}

#[cfg(test)]
mod tests;
