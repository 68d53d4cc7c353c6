//! UTF-8 that arrives in pieces.
//!
//! Invariants
//! - A byte that no text can continue with is refused when it comes, not at the end.

use super::WebSocketError;
use std::str::from_utf8;

/// Longest begin of a character that is not complete.
const BEGIN_BYTES_MAX: usize = 3;

/// The incomplete character at the end of what came so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8 {
    begin: [u8; BEGIN_BYTES_MAX],
    begin_bytes: u8,
}

impl Utf8 {
    /// Takes the next piece.
    ///
    /// # Errors
    /// [`WebSocketError::NotUtf8`].
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), WebSocketError> {
        while let (false, Some((&next, rest))) = (self.is_complete(), bytes.split_first()) {
            let mut character = [0; BEGIN_BYTES_MAX + 1];
            let (begin, _) = self.begin.split_at(usize::from(self.begin_bytes));
            for (to, from) in character.iter_mut().zip(begin.iter().chain([&next])) {
                *to = *from;
            }
            let (character, _) = character.split_at(begin.len().saturating_add(1));
            self.keep_incomplete(character)?;
            bytes = rest;
        }
        if bytes.is_empty() { Ok(()) } else { self.keep_incomplete(bytes) }
    }

    /// True if what came so far ends with a whole character.
    pub(super) fn is_complete(self) -> bool {
        self.begin_bytes == 0
    }

    /// Keeps the incomplete character at the end of `bytes`, which begin with a character.
    fn keep_incomplete(&mut self, bytes: &[u8]) -> Result<(), WebSocketError> {
        let rest = match from_utf8(bytes) {
            Ok(_) => &[],
            Err(error) if error.error_len().is_some() => return Err(WebSocketError::NotUtf8),
            Err(error) => bytes.get(error.valid_up_to()..).unwrap_or_default(),
        };
        self.begin_bytes = 0;
        for (to, from) in self.begin.iter_mut().zip(rest) {
            *to = *from;
            self.begin_bytes = self.begin_bytes.saturating_add(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
