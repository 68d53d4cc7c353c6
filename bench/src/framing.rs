//! Cuts a stream of bytes into frames: a 4-byte big-endian body length, then the body.
//!
//! Invariants
//! - Bytes are copied only when a frame lies across two receives.
//! - What is left over is always the start of one frame, never a whole one.

use crate::error::BenchError;
use iris_protocol::frame::body_length;
use iris_protocol::limits::{FRAME_BYTES_MAX, LENGTH_BYTES};

/// Calls `each` with the body of every frame that is complete now; `partial` keeps the rest for the next call.
///
/// # Errors
/// A length above the limit, or what `each` failed with.
pub fn split(
    partial: &mut Vec<u8>,
    received: &[u8],
    mut each: impl FnMut(&[u8]) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    if partial.is_empty() {
        let used = whole_frames(received, &mut each)?;
        partial.extend_from_slice(&received[used..]);
    } else {
        partial.extend_from_slice(received);
        let used = whole_frames(partial, &mut each)?;
        partial.drain(..used);
    }
    Ok(())
}

fn whole_frames(
    bytes: &[u8],
    each: &mut impl FnMut(&[u8]) -> Result<(), BenchError>,
) -> Result<usize, BenchError> {
    let mut used = 0;
    loop {
        let rest = &bytes[used..];
        let length = body_length(rest, FRAME_BYTES_MAX)
            .map_err(|error| BenchError::Protocol(format!("a peer sent a {error}")))?;
        let Some(body) = length.and_then(|length| rest.get(LENGTH_BYTES..LENGTH_BYTES + length)) else {
            return Ok(used);
        };
        each(body)?;
        used += LENGTH_BYTES + body.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(bodies: &[&[u8]]) -> Vec<u8> {
        let framed =
            bodies.iter().map(|body| [&u32::try_from(body.len()).unwrap().to_be_bytes(), *body].concat());
        framed.collect::<Vec<_>>().concat()
    }

    /// However a stream is cut, the same frames come out.
    /// Seen to fail when: `partial.drain(..used)` is dropped.
    #[test]
    fn any_cut_of_a_stream_gives_the_same_frames() {
        let bodies: [&[u8]; 4] = [b"a", b"bcd", &[7; 300], b"z"];
        let stream = stream(&bodies);
        for size in 1..=stream.len() {
            let (mut partial, mut seen) = (Vec::new(), Vec::new());
            for chunk in stream.chunks(size) {
                let take = |body: &[u8]| {
                    seen.push(body.to_vec());
                    Ok(())
                };
                split(&mut partial, chunk, take).unwrap();
            }
            assert_eq!(seen, bodies, "cut into pieces of {size}");
            assert!(partial.is_empty());
        }
    }

    /// A length above the limit ends the connection.
    /// Seen to fail when: the error of `body_length` is taken for "not yet".
    #[test]
    fn an_absurd_length_is_refused() {
        assert!(split(&mut Vec::new(), &[0xff; 8], |_| Ok(())).is_err());
    }
}
