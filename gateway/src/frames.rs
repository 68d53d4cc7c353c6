//! Cuts a byte stream into length-prefixed frames.
//!
//! Invariants
//! - A length is judged before memory is taken for the frame.
//! - Memory is held only while a frame is incomplete.
//! - A frame that came whole is not copied.

use bytes::Bytes;
use iris_protocol::frame::{ClientFrame, FrameError, body_length};
use iris_protocol::limits::LENGTH_BYTES;

/// The incomplete frame at the end of what a connection sent so far.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    partial: Vec<u8>,
}

/// The body of a frame: of the bytes that came in, or put together from several pieces.
#[derive(Debug)]
pub(crate) enum FrameBody<'a> {
    Borrowed(&'a [u8]),
    Owned(Bytes),
}

impl FrameBody<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(body) => body,
            Self::Owned(body) => body,
        }
    }

    /// What a client says with it.
    ///
    /// # Errors
    /// [`FrameError::Malformed`]: close the connection.
    pub(crate) fn decode(self) -> Result<ClientFrame, FrameError> {
        match self {
            Self::Borrowed(body) => ClientFrame::copied(body),
            Self::Owned(body) => ClientFrame::shared(body),
        }
    }
}

/// Bodies are compared as what they say, however they came.
impl PartialEq for FrameBody<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for FrameBody<'_> {}

impl FrameReader {
    /// The body of the next whole frame; `None` when `input` is used up. Call again until then.
    ///
    /// # Errors
    /// [`FrameError::Length`]: close the connection.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        bytes_max: usize,
    ) -> Result<Option<FrameBody<'a>>, FrameError> {
        if self.partial.is_empty() {
            return self.next_from_input(input, bytes_max);
        }
        let partial = &mut self.partial;
        fill(partial, input, LENGTH_BYTES);
        let Some(length) = body_length(partial, bytes_max)? else {
            return Ok(None);
        };
        let frame_bytes = LENGTH_BYTES + length;
        fill(partial, input, frame_bytes);
        if partial.len() < frame_bytes {
            return Ok(None);
        }
        let body = partial.get(LENGTH_BYTES..frame_bytes).map(Bytes::copy_from_slice);
        let body = body.map(FrameBody::Owned);
        partial.drain(..frame_bytes);
        if partial.is_empty() {
            *partial = Vec::new();
        }
        Ok(body)
    }

    /// Keeps bytes without looking at them: the connection is moving to another core.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
    }

    /// Memory of what is kept, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// True if no byte is kept.
    pub(crate) fn is_idle(&self) -> bool {
        self.partial.is_empty()
    }

    fn next_from_input<'a>(
        &mut self,
        input: &mut &'a [u8],
        bytes_max: usize,
    ) -> Result<Option<FrameBody<'a>>, FrameError> {
        let length = body_length(input, bytes_max)?;
        let whole = length.and_then(|length| input.split_at_checked(LENGTH_BYTES + length));
        let Some((frame, rest)) = whole else {
            self.keep(input);
            *input = &[];
            return Ok(None);
        };
        *input = rest;
        Ok(frame.get(LENGTH_BYTES..).map(FrameBody::Borrowed))
    }
}

/// Moves bytes from `input` until `partial` holds `wanted`.
fn fill(partial: &mut Vec<u8>, input: &mut &[u8], wanted: usize) {
    let missing = wanted.saturating_sub(partial.len()).min(input.len());
    let (taken, rest) = input.split_at(missing);
    partial.extend_from_slice(taken);
    *input = rest;
}

#[cfg(test)]
mod tests;
