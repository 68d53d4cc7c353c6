//! Cuts a byte stream into frames.
//!
//! Invariants
//! - A length is judged before memory is taken for the frame.
//! - Memory is held only while a frame is incomplete.

use bytes::Bytes;
use iris_protocol::frame::{FrameError, body_length};
use iris_protocol::limits::LENGTH_BYTES;

/// The incomplete frame at the end of what a connection sent so far.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    #[allow(clippy::box_collection, reason = "nearly always absent, and there is one for each connection")]
    partial: Option<Box<Vec<u8>>>,
}

impl FrameReader {
    /// A reader that begins with bytes taken over from another one.
    pub(crate) fn with_unread(unread: Vec<u8>) -> Self {
        Self { partial: (!unread.is_empty()).then(|| Box::new(unread)) }
    }

    /// The body of the next whole frame; `None` when `input` is used up. Call again until then.
    ///
    /// # Errors
    /// [`FrameError::Length`]: close the connection.
    pub(crate) fn next(&mut self, input: &mut &[u8], bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
        let Some(partial) = &mut self.partial else {
            return self.next_from_input(input, bytes_max);
        };
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
        partial.drain(..frame_bytes);
        if partial.is_empty() {
            self.partial = None;
        }
        Ok(body)
    }

    /// Keeps bytes without looking at them: the connection is moving to another core.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.partial.get_or_insert_default().extend_from_slice(bytes);
        }
    }

    /// Everything that was not cut into frames yet.
    pub(crate) fn into_unread(self) -> Vec<u8> {
        self.partial.map(|partial| *partial).unwrap_or_default()
    }

    fn next_from_input(&mut self, input: &mut &[u8], bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
        let length = body_length(input, bytes_max)?;
        let whole = length.and_then(|length| input.split_at_checked(LENGTH_BYTES + length));
        let Some((frame, rest)) = whole else {
            self.keep(input);
            *input = &[];
            return Ok(None);
        };
        *input = rest;
        Ok(frame.get(LENGTH_BYTES..).map(Bytes::copy_from_slice))
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
