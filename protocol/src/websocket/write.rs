//! Messages and control frames as bytes, each as one frame.

use super::head::{CONTROL_BYTES_MAX, Head, Opcode, apply_mask};
use crate::limits::LENGTH_BYTES;

/// Most bytes of a server's head: two, and a length of eight.
const HEAD_BYTES_MAX: usize = 10;

/// Appends a whole message or control frame. A client gives a key for each frame that nobody can foresee; a server none.
pub fn encode(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    assert!(!opcode.is_control() || payload.len() <= CONTROL_BYTES_MAX, "a control frame is too long");
    head(opcode, payload.len(), mask).encode(out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let (Some(key), Some(payload)) = (mask, out.get_mut(start..)) {
        apply_mask(payload, key, 0);
    }
}

/// Turns the length-prefixed frame that begins at `start` and ends with `out` into a server's binary message. No memory is
/// taken but what `out` may lack.
pub fn reframe(out: &mut Vec<u8>, start: usize) {
    let (body, end) = (start.saturating_add(LENGTH_BYTES), out.len());
    assert!(end > body, "no frame begins at {start}");
    head(Opcode::Binary, end.saturating_sub(body), None).encode(out);
    let mut new = [0; HEAD_BYTES_MAX];
    let written = out.len().saturating_sub(end);
    for (to, from) in new.iter_mut().zip(out.iter().skip(end)) {
        *to = *from;
    }
    out.truncate(end);
    // Of 126 to 65,535 bytes, which is most, the new head has the old prefix's length, and nothing moves.
    out.splice(start..body, new.into_iter().take(written));
}

fn head(opcode: Opcode, payload_bytes: usize, mask: Option<[u8; 4]>) -> Head {
    Head { fin: true, opcode, mask, payload_bytes: u64::try_from(payload_bytes).unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests;
