//! Messages and control frames as bytes, each as one frame.

use super::head::{CONTROL_BYTES_MAX, Head, Opcode, apply_mask};
use crate::limits::LENGTH_BYTES;

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

/// Turns the length-prefixed frame that begins at `start` and ends with `out` into a server's binary message.
pub fn reframe(out: &mut Vec<u8>, start: usize) {
    let body = start.saturating_add(LENGTH_BYTES);
    assert!(out.len() > body, "no frame begins at {start}");
    let mut new = Vec::with_capacity(10);
    head(Opcode::Binary, out.len().saturating_sub(body), None).encode(&mut new);
    // Of 126 to 65,535 bytes, which is most, the new head has the old prefix's length, and nothing moves.
    out.splice(start..body, new);
}

fn head(opcode: Opcode, payload_bytes: usize, mask: Option<[u8; 4]>) -> Head {
    Head { fin: true, opcode, mask, payload_bytes: u64::try_from(payload_bytes).unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests;
